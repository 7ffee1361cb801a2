//! Files that `kubectl cp` copies: its streams are tar archives.
//!
//! A copy is looked at while it flows; what it is made of becomes events. A stream that is no archive, or of a kind that is
//! not read here, flows on: an event says so.
mod tar;

use crate::{Target, facts};
use serde_json::{Value, json};
use tar::{Entry, Reader};

/// Files of one copy that have an event each.
const MOST_FILES: u64 = 10_000;
/// The longest path in an event, in bytes.
const LONGEST_PATH: usize = 4096;

/// Which way files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the container.
    Upload,
    /// Out of it.
    Download,
}

impl Way {
    /// As in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "uploaded",
            Self::Download => "downloaded",
        }
    }
}

/// A file that went through whole, or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where to, or its name in the archive: `tar` takes the leading slash off.
    pub path: String,
    /// Which way it went.
    pub way: Way,
    /// Its size.
    pub bytes: u64,
    /// Its permissions.
    pub mode: u32,
    /// The digest of its bytes, in hexadecimal; none for what is no plain file.
    pub sha256: Option<String>,
    /// `file`, `symlink`, `hardlink`, `device`.
    pub kind: &'static str,
    /// What a link points to.
    pub to: Option<String>,
}

impl File {
    /// What a recording holds of it.
    pub fn to_json(&self) -> Value {
        json!({
            "direction": self.way.as_str(), "path": self.path, "bytes": self.bytes, "mode": self.mode,
            "sha256": self.sha256, "kind": self.kind, "to": self.to,
        })
    }
}

/// What a whole copy came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Which way it went.
    pub way: Way,
    /// Files and links.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why files may have gone of which nothing is known.
    pub problem: Option<String>,
}

impl Sum {
    /// What a recording holds of it.
    pub fn to_json(&self) -> Value {
        json!({ "direction": self.way.as_str(), "files": self.files, "bytes": self.bytes, "problem": self.problem })
    }
}

/// A copy while it flows.
#[derive(Debug)]
pub struct Copying {
    way: Way,
    /// The folder that is copied into.
    into: String,
    reader: Reader,
    files: u64,
    bytes: u64,
}

impl Copying {
    /// The copy that a request begins; none where it is no copy.
    pub fn of(target: &Target) -> Option<Self> {
        let words: Vec<&str> = target.parameters("command").collect();
        let is_exec = target.resource()?.subresource.as_deref() == Some("exec");
        let way = facts::copy_of(&words).filter(|_| is_exec)?;
        let folder = words.iter().skip_while(|w| **w != "-C").nth(1).copied().unwrap_or_default();
        let into = if way == Way::Upload { folder.trim_end_matches('/').to_owned() } else { String::new() };
        Some(Self { way, into, reader: Reader::default(), files: 0, bytes: 0 })
    }

    /// A message of a stream as it went: the number of its channel, and data. Gives the files that are through.
    pub fn see(&mut self, from_client: bool, message: &[u8]) -> Vec<File> {
        let Some((channel, data)) = message.split_first() else { return Vec::new() };
        let is_it = match self.way {
            Way::Upload => from_client && *channel == 0,
            Way::Download => !from_client && *channel == 1,
        };
        if !is_it {
            return Vec::new();
        }
        let mut entries = Vec::new();
        self.reader.push(data, &mut entries);
        entries.into_iter().filter_map(|entry| self.file(entry)).collect()
    }

    fn file(&mut self, entry: Entry) -> Option<File> {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(entry.size);
        let path = if self.into.is_empty() {
            text(&entry.path)
        } else {
            format!("{}/{}", self.into, text(&entry.path).trim_start_matches('/'))
        };
        (self.files <= MOST_FILES).then(|| File {
            path,
            way: self.way,
            bytes: entry.size,
            mode: entry.mode,
            sha256: entry.sha256.map(hex::encode),
            kind: entry.kind.as_str(),
            to: (!entry.link.is_empty()).then(|| text(&entry.link)),
        })
    }

    /// The stream has ended.
    pub fn finish(self) -> Sum {
        let problem = self.reader.problem().or_else(|| {
            (self.files > MOST_FILES).then(|| format!("each of the first {MOST_FILES} files is written down alone"))
        });
        Sum { way: self.way, files: self.files, bytes: self.bytes, problem }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(LONGEST_PATH)).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copying(command: &str) -> Option<Copying> {
        let words: String = command.split(' ').map(|w| format!("&command={w}")).collect();
        let path = format!("/api/v1/namespaces/a/pods/p/exec?stdin=true{words}");
        Copying::of(&Target::parse("POST", &path).unwrap())
    }

    #[test]
    fn a_copy_is_told_by_its_command() {
        assert_eq!(copying("tar+cf+-+x").map(|c| c.way), None);
        assert_eq!(copying("tar cf - /etc/hosts").map(|c| c.way), Some(Way::Download));
        let up = copying("tar -xmf - -C /tmp/").unwrap();
        assert_eq!((up.way, up.into.as_str()), (Way::Upload, "/tmp"));
        assert!(copying("id").is_none());
    }

    #[test]
    fn files_are_told_with_where_they_go() {
        let archive = tar::tests::archive(&[("a/b.txt", b"hello"), ("c", b"")]);
        let mut up = copying("tar -xmf - -C /tmp").unwrap();
        let mut files = Vec::new();
        for piece in archive.chunks(700) {
            assert!(up.see(false, &[&[1], piece].concat()).is_empty(), "the other way");
            files.extend(up.see(true, &[&[0], piece].concat()));
        }
        let told: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.bytes, f.mode)).collect();
        assert_eq!(told, [("/tmp/a/b.txt", 5, 0o644), ("/tmp/c", 0, 0o644)]);
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(files[0].sha256.as_deref(), Some(hash));
        assert_eq!(up.finish(), Sum { way: Way::Upload, files: 2, bytes: 5, problem: None });
        let mut down = copying("tar cf - x").unwrap();
        assert!(down.see(false, b"\x01tar: x: no such file").is_empty());
        assert!(down.finish().problem.is_some());
    }
}
