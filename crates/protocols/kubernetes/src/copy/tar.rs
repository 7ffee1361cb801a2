//! Reads a tar archive while it comes: POSIX ustar and pax (IEEE Std 1003.1, pax, "ustar Interchange Format"), GNU's long
//! names and binary numbers (GNU tar manual, "Basic Tar Format"). Strict: what could be read in two ways ends the reading.
use sha2::{Digest as _, Sha256};

const BLOCK: usize = 512;
/// The longest extended header, or name, in bytes.
const LONGEST_HEADER: u64 = 64 * 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Hardlink,
    Symlink,
    Device,
    Folder,
    /// Extended headers for the next entry, or for all: pax `x` and `g`, GNU `L` and `K`.
    Extended,
    Global,
    LongName,
    LongLink,
}

impl Kind {
    const fn of(flag: u8) -> Option<Self> {
        Some(match flag {
            b'0' | b'\0' | b'7' => Self::File,
            b'1' => Self::Hardlink,
            b'2' => Self::Symlink,
            b'3' | b'4' | b'6' => Self::Device,
            b'5' => Self::Folder,
            b'x' => Self::Extended,
            b'g' => Self::Global,
            b'L' => Self::LongName,
            b'K' => Self::LongLink,
            _ => return None,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Hardlink => "hardlink",
            Self::Symlink => "symlink",
            Self::Device => "device",
            Self::Folder => "folder",
            Self::Extended | Self::Global | Self::LongName | Self::LongLink => "header",
        }
    }

    const fn is_header(self) -> bool {
        matches!(self, Self::Extended | Self::Global | Self::LongName | Self::LongLink)
    }
}

/// A file or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) sha256: Option<[u8; 32]>,
}

/// What extended headers say of the next entry.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

#[derive(Debug, Default)]
enum State {
    /// In a header: what there is of it is in the buffer.
    #[default]
    Header,
    /// In the data of an entry.
    Data { entry: Entry, left: u64, hash: Sha256 },
    /// In an extended header: what there is of it is in the buffer.
    Extension { kind: Kind, left: u64 },
    /// In what fills up a block.
    Padding(usize),
    /// After so many blocks of zeros at the end.
    End(usize),
    /// No more is read, because of this.
    Lost(&'static str),
}

/// A reader of one archive: bytes in, entries out.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    buffer: Vec<u8>,
    extended: Extended,
    any: bool,
}

impl Reader {
    /// Takes bytes, cut anywhere.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Entry>) {
        while !bytes.is_empty() {
            self.any = true;
            bytes = match std::mem::take(&mut self.state) {
                State::Header => self.header(bytes, out),
                State::Data { entry, left, hash } => self.data(bytes, entry, left, hash, out),
                State::Extension { kind, left } => self.extension(bytes, kind, left),
                State::Padding(left) => {
                    let (_, rest) = bytes.split_at(left.min(bytes.len()));
                    let left = left.saturating_sub(bytes.len());
                    self.state = if left == 0 { State::Header } else { State::Padding(left) };
                    rest
                }
                State::End(seen) => {
                    // Others might read on after the end.
                    let zeros = bytes.iter().all(|b| *b == 0);
                    let seen = seen.saturating_add(bytes.len());
                    self.state =
                        if zeros { State::End(seen) } else { State::Lost("bytes after the end of the archive") };
                    &[]
                }
                State::Lost(why) => {
                    self.state = State::Lost(why);
                    &[]
                }
            };
        }
    }

    /// Why not all that went is known; nothing where it is.
    pub(super) fn problem(&self) -> Option<String> {
        match &self.state {
            State::Lost(why) => Some((*why).to_owned()),
            _ if !self.any => Some("nothing came".to_owned()),
            // One block of zeros does for GNU's tar.
            State::End(seen) if *seen >= BLOCK => None,
            // Go's archive/tar, and so some clients, may end without blocks of zeros.
            State::Header if self.buffer.is_empty() => None,
            State::Header | State::Data { .. } | State::Extension { .. } | State::Padding(_) | State::End(_) => {
                Some("the archive breaks off".to_owned())
            }
        }
    }

    fn lost<'a>(&mut self, why: &'static str) -> &'a [u8] {
        self.state = State::Lost(why);
        self.buffer = Vec::new();
        &[]
    }

    fn header<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<Entry>) -> &'a [u8] {
        let wanted = BLOCK.saturating_sub(self.buffer.len());
        let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
        self.buffer.extend_from_slice(taken);
        let Ok(block) = <[u8; BLOCK]>::try_from(self.buffer.as_slice()) else { return rest };
        self.buffer.clear();
        if block.iter().all(|b| *b == 0) {
            self.state = State::End(BLOCK);
            return rest;
        }
        match self.begin(&block, out) {
            Ok(()) => rest,
            Err(why) => self.lost(why),
        }
    }

    /// A whole header.
    fn begin(&mut self, block: &[u8; BLOCK], out: &mut Vec<Entry>) -> Result<(), &'static str> {
        let field = |at: usize, len: usize| block.get(at..at.saturating_add(len)).unwrap_or_default();
        let is_checksum = |at: &usize| (148..156).contains(at);
        let sum: u64 = block.iter().enumerate().map(|(at, b)| if is_checksum(&at) { 32 } else { u64::from(*b) }).sum();
        if number(field(148, 8)) != Some(sum) {
            return Err("it is no tar archive");
        }
        let flag = block.get(156).copied().unwrap_or_default();
        let kind = Kind::of(flag).ok_or("an entry of a kind that is not read here, such as a sparse file")?;
        let size = number(field(124, 12)).ok_or("a size that is no number")?;
        if kind.is_header() {
            if size > LONGEST_HEADER {
                return Err("an extended header that is too long");
            }
            self.state = State::Extension { kind, left: size };
            if size == 0 {
                self.extended(kind)?;
            }
            return Ok(());
        }
        let extended = std::mem::take(&mut self.extended);
        let mut path = text(field(0, 100)).to_vec();
        let prefix = text(field(345, 155));
        // GNU's own format has times where ustar has the prefix.
        if field(257, 8) == b"ustar\x0000" && !prefix.is_empty() {
            path = [prefix, b"/", &path].concat();
        }
        let has_data = matches!(kind, Kind::File);
        let entry = Entry {
            kind,
            path: extended.path.unwrap_or(path),
            link: extended.link.unwrap_or_else(|| text(field(157, 100)).to_vec()),
            size: if has_data { extended.size.unwrap_or(size) } else { 0 },
            mode: number(field(100, 8)).and_then(|m| u32::try_from(m & 0o7777).ok()).unwrap_or_default(),
            sha256: None,
        };
        if !has_data && extended.size.unwrap_or(size) != 0 {
            // Some take these bytes for data, others for the next header.
            return Err("an entry with data that has none");
        }
        // Old archives have folders whose names end in a slash.
        let kind =
            if kind == Kind::File && entry.path.ends_with(b"/") && entry.size == 0 { Kind::Folder } else { kind };
        if has_data && kind == Kind::File && entry.size > 0 {
            self.state = State::Data { left: entry.size, entry, hash: Sha256::new() };
        } else if kind != Kind::Folder {
            let sha256 = has_data.then(|| Sha256::digest([]).into());
            out.push(Entry { sha256, ..entry });
        }
        Ok(())
    }

    fn data<'a>(
        &mut self,
        bytes: &'a [u8],
        entry: Entry,
        left: u64,
        mut hash: Sha256,
        out: &mut Vec<Entry>,
    ) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (data, rest) = bytes.split_at(here);
        hash.update(data);
        let left = left.saturating_sub(here as u64);
        if left > 0 {
            self.state = State::Data { entry, left, hash };
            return rest;
        }
        self.state = padding(entry.size);
        out.push(Entry { sha256: Some(hash.finalize().into()), ..entry });
        rest
    }

    fn extension<'a>(&mut self, bytes: &'a [u8], kind: Kind, left: u64) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (data, rest) = bytes.split_at(here);
        self.buffer.extend_from_slice(data);
        let left = left.saturating_sub(here as u64);
        if left > 0 {
            self.state = State::Extension { kind, left };
            return rest;
        }
        match self.extended(kind) {
            Ok(()) => rest,
            Err(why) => self.lost(why),
        }
    }

    /// A whole extended header.
    fn extended(&mut self, kind: Kind) -> Result<(), &'static str> {
        let bytes = std::mem::take(&mut self.buffer);
        self.state = padding(bytes.len() as u64);
        match kind {
            Kind::LongName => self.extended.path = Some(text(&bytes).to_vec()),
            Kind::LongLink => self.extended.link = Some(text(&bytes).to_vec()),
            Kind::Extended | Kind::Global => {
                let records = records(&bytes).ok_or("an extended header that is malformed")?;
                for (key, value) in records {
                    let is_named = matches!(key, b"path" | b"linkpath" | b"size");
                    if key.starts_with(b"GNU.sparse.") || (kind == Kind::Global && is_named) {
                        return Err("an extended header of a kind that is not read here");
                    }
                    match key {
                        b"path" => self.extended.path = Some(value.to_vec()),
                        b"linkpath" => self.extended.link = Some(value.to_vec()),
                        b"size" => self.extended.size = Some(decimal(value).ok_or("a size that is no number")?),
                        _ => {}
                    }
                }
            }
            Kind::File | Kind::Hardlink | Kind::Symlink | Kind::Device | Kind::Folder => {}
        }
        Ok(())
    }
}

/// What fills up the last block of so many bytes.
fn padding(size: u64) -> State {
    match usize::try_from(size % BLOCK as u64).unwrap_or_default() {
        0 => State::Header,
        over => State::Padding(BLOCK.saturating_sub(over)),
    }
}

/// A text: until its first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// A number: octal digits, or GNU's binary form.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first == 0x80 {
        let start = rest.len().saturating_sub(8);
        let (high, low) = rest.split_at_checked(start)?;
        let value = low.iter().fold(0_u64, |n, b| (n << 8) | u64::from(*b));
        return (high.iter().all(|b| *b == 0)).then_some(value);
    }
    let digits = text(field).trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    digits.iter().try_fold(0_u64, |n, b| {
        let digit = b.checked_sub(b'0').filter(|d| *d < 8)?;
        n.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, b| {
        let digit = b.checked_sub(b'0').filter(|d| *d < 10)?;
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The records of a pax header: `length key=value\n`.
fn records(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().take(8).position(|b| *b == b' ')?;
        let (digits, _) = bytes.split_at(space);
        let len = usize::try_from(decimal(digits)?).ok()?;
        let (record, rest) = bytes.split_at_checked(len)?;
        let record = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        let (key, value) = record.split_at(equals);
        all.push((key, value.get(1..)?));
        bytes = rest;
    }
    Some(all)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    fn header(name: &[u8], size: usize, flag: u8) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name);
        block[100..107].copy_from_slice(b"0000644");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].copy_from_slice(b"        ");
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn padded(data: &[u8]) -> Vec<u8> {
        let mut out = data.to_vec();
        out.resize(data.len().div_ceil(BLOCK) * BLOCK, 0);
        out
    }

    pub(in super::super) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, data) in files {
            out.extend(header(name.as_bytes(), data.len(), b'0'));
            out.extend(padded(data));
        }
        out.extend([0; 2 * BLOCK]);
        out
    }

    fn read(archive: &[u8], cut: usize) -> (Vec<Entry>, Option<String>) {
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        archive.chunks(cut).for_each(|piece| reader.push(piece, &mut out));
        (out, reader.problem())
    }

    fn names(archive: &[u8]) -> (String, Option<String>) {
        let (all, problem) = read(archive, 99);
        let told = |e: &Entry| format!("{} {} {}", e.kind.as_str(), String::from_utf8_lossy(&e.path), e.size);
        (all.iter().map(told).collect::<Vec<_>>().join(", "), problem)
    }

    /// What the tar of this machine writes, in each of its formats.
    #[test]
    fn archives_of_gnu_tar_are_read() {
        let dir = std::env::temp_dir().join(format!("doorward-tar-{}", std::process::id()));
        let long = "l".repeat(120);
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(dir.join("d/a"), vec![b'x'; 1000]).unwrap();
        std::fs::write(dir.join(format!("d/{long}")), b"").unwrap();
        for format in ["gnu", "pax", "ustar"] {
            let name = if format == "ustar" { "d/a" } else { "d" };
            let out = Command::new("tar").args(["cf", "-", "-H", format, name]).current_dir(&dir).output().unwrap();
            let (said, problem) = names(&out.stdout);
            assert_eq!(problem, None, "{format}");
            assert!(said.contains("file d/a 1000"), "{format}: {said}");
            assert_eq!(said.contains(&format!("file d/{long} 0")), format != "ustar", "{format}: {said}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// What is read is what tar would unpack.
    #[test]
    fn tar_agrees() {
        let archive = archive(&[("a", b"1"), ("b/c", &[7; 513])]);
        let mut child =
            Command::new("tar").args(["tf", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.stdout, b"a\nb/c\n");
        assert_eq!(names(&archive), ("file a 1, file b/c 513".to_owned(), None));
    }

    #[test]
    fn odd_archives_are_told() {
        let problem = |bytes: &[u8]| names(bytes).1.unwrap_or_default();
        assert_eq!(problem(b""), "nothing came");
        assert_eq!(problem(&[b'x'; 600]), "it is no tar archive");
        assert_eq!(problem(b"short"), "the archive breaks off");
        assert_eq!(problem(&header(b"a", 5, b'0')), "the archive breaks off");
        assert!(problem(&header(b"a", 5, b'S')).contains("sparse"));
        assert!(problem(&header(b"a", 1 << 30, b'x')).contains("too long"));
        let hidden = [archive(&[("a", b"1")]), archive(&[("hidden", b"2")])].concat();
        assert_eq!(problem(&hidden), "bytes after the end of the archive");
        let pax = [header(b"p", 14, b'x'), padded(b"14 path=other\n"), header(b"a", 0, b'0')].concat();
        assert_eq!(names(&pax).0, "file other 0");
        for record in ["14 path=other", "99 path=other\n", "x path=a\n", "-1 a=b\n", "0 a=b\n"] {
            let pax = [header(b"p", record.len(), b'x'), padded(record.as_bytes())].concat();
            assert_eq!(problem(&pax), "an extended header that is malformed", "{record}");
        }
        assert_eq!(problem(&header(b"l", 9, b'2')), "an entry with data that has none");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(sizes in prop::collection::vec(0usize..2000, 0..5), cut in 1usize..1500) {
            let data: Vec<(String, Vec<u8>)> =
                sizes.iter().enumerate().map(|(n, s)| (format!("f{n}"), vec![n as u8; *s])).collect();
            let files: Vec<(&str, &[u8])> = data.iter().map(|(n, d)| (n.as_str(), d.as_slice())).collect();
            let archive = archive(&files);
            let (all, problem) = read(&archive, cut);
            prop_assert_eq!(problem, None);
            prop_assert_eq!(all.len(), files.len());
            for (entry, (name, data)) in all.iter().zip(&files) {
                prop_assert_eq!(entry.path.as_slice(), name.as_bytes());
                let hash: [u8; 32] = Sha256::digest(data).into();
                prop_assert_eq!(entry.sha256, Some(hash));
            }
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0usize..1500) {
            let mut bytes = [archive(&[("a", &bytes)]), bytes].concat();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x55;
            }
            let _read = read(&bytes, 333);
        }
    }
}
