//! Reading the audit log: for listing and exporting. Use [`crate::verify_log`] to trust it.
use crate::{
    audit_files::{file_name, numbers, read_line},
    chain::{Body, ChainHash, parse_line},
};
use doorward_model::{AuditEvent, SessionId, Timestamp};
use serde_json::Value;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

/// Which entries are wanted; the default is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this session only.
    pub session: Option<SessionId>,
    /// Of these kinds only, named as in the log (`request`, `session_opened`); empty: of any.
    pub kinds: Vec<String>,
}

/// One entry as it was read.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its sequence number.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
    /// What it says.
    pub event: AuditEvent,
    /// The event's JSON as it is on the disk.
    pub json: String,
}

/// Iterates over the entries of a log, oldest first. Ends at a torn last line.
#[derive(Debug)]
pub struct Entries {
    files: VecDeque<PathBuf>,
    current: Option<BufReader<File>>,
    filter: Filter,
    line: Vec<u8>,
}

impl Entries {
    /// Reads the log in `dir`; it may be open for writing elsewhere.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn open(dir: &Path, filter: Filter) -> io::Result<Self> {
        let files = numbers(dir)?.into_iter().map(|n| dir.join(file_name(n))).collect();
        Ok(Self { files, current: None, filter, line: Vec::new() })
    }

    fn step(&mut self) -> io::Result<Option<Option<Entry>>> {
        if self.current.is_none() {
            let Some(path) = self.files.pop_front() else { return Ok(None) };
            self.current = Some(BufReader::with_capacity(1 << 17, File::open(path)?));
        }
        let Some(from) = self.current.as_mut() else { return Ok(None) };
        if read_line(from, &mut self.line)? == 0 {
            self.current = None;
            return Ok(Some(None));
        }
        let Some(text) = self.line.strip_suffix(b"\n") else {
            self.current = None;
            return Ok(Some(None));
        };
        let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let line = parse_line(text).map_err(bad)?;
        let Body::Event(raw) = line.body else { return Ok(Some(None)) };
        let event: AuditEvent =
            serde_json::from_str(raw.get()).map_err(|e| bad(format!("line {} is no known event: {e}", line.seq)))?;
        let wanted = self.filter.wants(&event, raw.get());
        Ok(Some(wanted.then(|| Entry { seq: line.seq, hash: line.stated, event, json: raw.get().to_owned() })))
    }
}

impl Filter {
    fn wants(&self, event: &AuditEvent, json: &str) -> bool {
        self.since.is_none_or(|t| event.time >= t)
            && self.until.is_none_or(|t| event.time < t)
            && self.session.is_none_or(|s| event.session == Some(s))
            && (self.kinds.is_empty() || self.wants_kind(json))
    }

    fn wants_kind(&self, json: &str) -> bool {
        let value: Value = serde_json::from_str(json).unwrap_or_default();
        let kind = value.get("event").and_then(Value::as_str).unwrap_or_default();
        self.kinds.iter().any(|k| k == kind)
    }
}

impl Iterator for Entries {
    type Item = io::Result<Entry>;
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Some(Some(entry))) => return Some(Ok(entry)),
                Ok(Some(None)) => {}
                Ok(None) => return None,
                Err(e) => {
                    // One bad line is reported; the rest of the file can still be read.
                    if e.kind() != io::ErrorKind::InvalidData {
                        self.files.clear();
                        self.current = None;
                    }
                    return Some(Err(e));
                }
            }
        }
    }
}
