//! Reading the audit log from its end: for pages that show the newest first.
use crate::{
    audit_files::{MAX_LINE, file_name, numbers},
    chain::{Body, parse_line},
    entries::Entry,
    lookup::{first_seq, offset},
};
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// How much is read at once.
const BLOCK: usize = 64 << 10;

/// Iterates over the entries of a log, newest first. A torn last line, and lines that cannot be read, are passed over: this
/// is for looking, [`crate::verify_log`] finds what is wrong.
#[derive(Debug)]
pub struct Backwards {
    dir: PathBuf,
    /// Files not read yet, the newest last.
    files: Vec<u64>,
    current: Option<FromEnd>,
    before: u64,
}

/// The lines of a file, last first.
#[derive(Debug)]
struct FromEnd {
    file: File,
    /// Where what is in `buffer` begins.
    start: u64,
    buffer: Vec<u8>,
}

impl FromEnd {
    fn open(path: &Path, end: SeekFrom) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let start = file.seek(end)?;
        let mut from = Self { file, start, buffer: Vec::new() };
        // What is behind the last line feed is being written, or torn.
        from.line()?;
        Ok(from)
    }

    /// The last line that was not read yet, without its line feed.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = self.buffer.len();
        loop {
            let found = self.buffer.get(..searched).unwrap_or_default().iter().rposition(|b| *b == b'\n');
            if let Some(at) = found {
                let line = self.buffer.split_off(at + 1);
                self.buffer.truncate(at);
                return Ok(Some(line));
            }
            if self.start == 0 {
                return Ok((!self.buffer.is_empty()).then(|| std::mem::take(&mut self.buffer)));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of the audit log is too long"));
            }
            let more = usize::try_from(self.start).unwrap_or(BLOCK).min(BLOCK);
            let mut block = vec![0; more];
            self.start -= more as u64;
            self.file.seek(SeekFrom::Start(self.start))?;
            self.file.read_exact(&mut block)?;
            block.extend_from_slice(&self.buffer);
            self.buffer = block;
            searched = more;
        }
    }
}

impl Backwards {
    /// Reads the log in `dir`, from the entry before this sequence number, else from its end. It may be open for writing
    /// elsewhere.
    ///
    /// # Errors
    /// Where the directory or a file cannot be read.
    pub fn open(dir: &Path, before: Option<u64>) -> io::Result<Self> {
        let mut files = numbers(dir)?;
        if let Some(before) = before {
            while let Some(last) = files.last() {
                if first_seq(&dir.join(file_name(*last)))?.is_some_and(|first| first < before) {
                    break;
                }
                files.pop();
            }
        }
        let mut current = None;
        if let (Some(before), Some(number)) = (before, files.last()) {
            let path = dir.join(file_name(*number));
            current = Some(FromEnd::open(&path, SeekFrom::Start(offset(&path, before)?))?);
            files.pop();
        }
        Ok(Self { dir: dir.to_owned(), files, current, before: before.unwrap_or(u64::MAX) })
    }

    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(current) = self.current.as_mut() {
                if let Some(line) = current.line()? {
                    return Ok(Some(line));
                }
                self.current = None;
            }
            let Some(number) = self.files.pop() else { return Ok(None) };
            self.current = Some(FromEnd::open(&self.dir.join(file_name(number)), SeekFrom::End(0))?);
        }
    }
}

impl Iterator for Backwards {
    type Item = io::Result<Entry>;
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.line() {
                Ok(line) => line?,
                Err(e) => {
                    self.files.clear();
                    self.current = None;
                    return Some(Err(e));
                }
            };
            let Ok(line) = parse_line(&line) else { continue };
            let Body::Event(raw) = line.body else { continue };
            if line.seq >= self.before {
                continue;
            }
            if let Ok(event) = serde_json::from_str(raw.get()) {
                return Some(Ok(Entry { seq: line.seq, hash: line.stated, event, json: raw.get().to_owned() }));
            }
        }
    }
}
