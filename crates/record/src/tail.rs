//! Following the audit log while it grows: for shipping it elsewhere.
use crate::{
    audit_files::{file_name, numbers, read_line},
    chain::{Body, Head, parse_line},
    entries::Entry,
};
use doorward_model::AuditEvent;
use memchr::memmem;
use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

/// Why a log cannot be followed on.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// A file cannot be read.
    #[error("the audit log cannot be read at `{path}`: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What comes next was there once.
    #[error("line {next} of the audit log is gone{}: its files were removed before it was read", oldest(*.first))]
    Gone {
        /// The line that is looked for.
        next: u64,
        /// The oldest line that there is.
        first: Option<u64>,
    },
    /// What is there does not follow what was read before.
    #[error("the audit log was changed at line {seq}: {what}. Verify it")]
    Changed {
        /// Which line.
        seq: u64,
        /// What is wrong.
        what: String,
    },
}

fn oldest(seq: Option<u64>) -> String {
    seq.map_or_else(String::new, |s| format!(", the oldest that is there is {s}"))
}

/// Reads a log line by line, in order, each line checked against the one before.
///
/// INVARIANT: nothing beyond the sequence number that the caller says is committed is read.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    file: u64,
    from: Option<BufReader<File>>,
    at: Head,
    log: String,
    line: Vec<u8>,
}

/// A line that was read.
#[derive(Debug)]
pub enum TailLine {
    /// An entry.
    Entry(Box<Entry>),
    /// A line of the log itself: a file's first, a checkpoint.
    Own,
}

impl Tail {
    /// Opens the log in `dir` behind the line `after`; without one, at the oldest line that there is. `None` as long as
    /// there is no line at all.
    ///
    /// # Errors
    /// [`TailError`]. A line that is not there, or has another hash, is never passed over.
    pub fn open(dir: &Path, after: Option<Head>) -> Result<Option<Self>, TailError> {
        let mut found = None;
        let mut oldest = None;
        for number in numbers(dir).map_err(|source| TailError::Io { path: dir.to_owned(), source })? {
            let Some((before, log)) = opening(dir, number)? else { continue };
            oldest.get_or_insert(before.seq.saturating_add(1));
            if found.is_some() && after.is_none_or(|a| before.seq > a.seq) {
                break;
            }
            found = Some((number, before, log));
        }
        let Some((file, at, log)) = found else {
            return match after {
                Some(head) => Err(TailError::Gone { next: head.seq.saturating_add(1), first: None }),
                None => Ok(None),
            };
        };
        let mut tail = Self { dir: dir.to_owned(), file, from: None, at, log, line: Vec::new() };
        let Some(after) = after else { return Ok(Some(tail)) };
        if at.seq > after.seq {
            return Err(TailError::Gone { next: after.seq.saturating_add(1), first: oldest });
        }
        while tail.at.seq < after.seq {
            tail.next(after.seq)?;
        }
        if tail.at != after {
            let what = "it is not the line that was read before".to_owned();
            return Err(TailError::Changed { seq: after.seq, what });
        }
        Ok(Some(tail))
    }

    /// The last line that was read.
    pub const fn at(&self) -> Head {
        self.at
    }

    /// The log's random identifier.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The next line, as long as it is not beyond `committed`. Blocks on the disk.
    ///
    /// # Errors
    /// [`TailError`]. Open it anew after one.
    pub fn next(&mut self, committed: u64) -> Result<Option<TailLine>, TailError> {
        while self.at.seq < committed {
            let path = self.dir.join(file_name(self.file));
            let next = self.at.seq.saturating_add(1);
            let from = match &mut self.from {
                Some(from) => from,
                None => self.from.insert(BufReader::with_capacity(1 << 16, open(&path, next)?)),
            };
            let read =
                read_line(from, &mut self.line).map_err(|source| TailError::Io { path: path.clone(), source })?;
            if read > 0 {
                return self.take(next).map(Some);
            }
            // A committed line that is not in this file is in the next, which was made before it was written.
            let following = self.file.saturating_add(1);
            if !self.dir.join(file_name(following)).exists() {
                return Err(TailError::Gone { next, first: None });
            }
            self.file = following;
            self.from = None;
        }
        Ok(None)
    }

    fn take(&mut self, next: u64) -> Result<TailLine, TailError> {
        let changed = |what: String| TailError::Changed { seq: next, what };
        let text = self.line.strip_suffix(b"\n").ok_or_else(|| changed("it is not whole".to_owned()))?;
        let line = parse_line(text).map_err(changed)?;
        if line.seq != next {
            return Err(changed(format!("line {} stands there", line.seq)));
        }
        if line.computed != line.stated {
            return Err(changed("it does not have the hash it states".to_owned()));
        }
        if line.prev != self.at.hash {
            return Err(changed("it does not follow the line before it".to_owned()));
        }
        let said = match line.body {
            Body::Event(raw) => {
                let event =
                    serde_json::from_str(raw.get()).map_err(|e| changed(format!("it is no known event: {e}")))?;
                let json = raw.get().to_owned();
                TailLine::Entry(Box::new(Entry { seq: line.seq, hash: line.stated, event, json }))
            }
            Body::Checkpoint(_) => TailLine::Own,
            Body::File(f) => {
                self.log = f.log;
                TailLine::Own
            }
        };
        self.at = Head { seq: line.seq, hash: line.stated };
        Ok(said)
    }
}

fn open(path: &Path, next: u64) -> Result<File, TailError> {
    File::open(path).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound {
            return TailError::Gone { next, first: None };
        }
        TailError::Io { path: path.to_owned(), source }
    })
}

/// What comes before a file's first line, and of which log it is; `None` for a file without a whole first line, which a
/// crash leaves.
pub(crate) fn opening(dir: &Path, number: u64) -> Result<Option<(Head, String)>, TailError> {
    let path = dir.join(file_name(number));
    let io = |source| TailError::Io { path: path.clone(), source };
    let mut line = Vec::new();
    read_line(&mut BufReader::new(File::open(&path).map_err(io)?), &mut line).map_err(io)?;
    let Some(text) = line.strip_suffix(b"\n") else { return Ok(None) };
    let parsed = parse_line(text).map_err(|what| TailError::Changed { seq: 0, what })?;
    let Body::File(f) = parsed.body else {
        let what = format!("`{}` does not begin as a file of the log does", path.display());
        return Err(TailError::Changed { seq: parsed.seq, what });
    };
    Ok(Some((Head { seq: parsed.seq.saturating_sub(1), hash: parsed.prev }, f.log)))
}

/// Goes through the entries up to line `until` that say who a session belongs to, and which ended: for a reader that
/// begins in the middle. Looks into the newest `files` files of that part only.
///
/// # Errors
/// Where a file cannot be read.
pub fn session_entries(dir: &Path, until: u64, files: usize, mut each: impl FnMut(AuditEvent)) -> io::Result<()> {
    let wanted = ["session_opened", "authenticated", "session_ended"]
        .map(|kind| memmem::Finder::new(&format!("\"event\":\"{kind}\"")).into_owned());
    let mut before = Vec::new();
    for number in numbers(dir)? {
        match opening(dir, number) {
            Ok(Some((head, _))) if head.seq < until => before.push(number),
            Ok(_) | Err(_) => {}
        }
    }
    let mut line = Vec::new();
    for number in before.split_off(before.len().saturating_sub(files)) {
        let mut from = BufReader::with_capacity(1 << 18, File::open(dir.join(file_name(number)))?);
        while read_line(&mut from, &mut line)? > 0 {
            if !wanted.iter().any(|w| w.find(&line).is_some()) {
                continue;
            }
            let Some(Ok(parsed)) = line.strip_suffix(b"\n").map(parse_line) else { continue };
            if parsed.seq > until {
                return Ok(());
            }
            if let Body::Event(raw) = parsed.body
                && let Ok(event) = serde_json::from_str(raw.get())
            {
                each(event);
            }
        }
    }
    Ok(())
}
