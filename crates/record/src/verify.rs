//! Offline verification of the audit log: needs the files and the public key, nothing else.
use crate::{
    audit_files::{file_name, head_path, numbers, read_line},
    chain::{Body, Checkpoint, Head, Line, parse_line},
    known::Known,
    retention::{BeginFile, Beginning, read_begin},
};
use doorward_model::AuditEvent;
use ed25519_dalek::VerifyingKey;
use std::{
    fmt,
    fs::{self, File},
    io::{self, BufReader},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// More findings than this are counted, not kept.
const MAX_FINDINGS: usize = 1000;

/// What the verifier knows from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// A head that the log is known to have had: shows that the log was cut back, even where the head
    /// file was put back too.
    pub at_least: Option<Head>,
    /// Lines that others have of it: one that the log does not have shows that it was put back to an earlier state, and written on.
    pub known: Known,
    /// Told the number of each line that was read.
    pub progress: Option<Arc<AtomicU64>>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// The line in it, from 1; 0 for the file as a whole.
    pub line: u64,
    /// The sequence number there, or that was expected there.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: sequence {}: {}", self.file, self.line, self.seq, self.what)
    }
}

/// The result of a verification.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Files read.
    pub files: u64,
    /// Events read.
    pub entries: u64,
    /// Where the log begins, if old files were removed in an orderly way. What was in them is not verified.
    pub begins: Option<Beginning>,
    /// The last line.
    pub head: Head,
    /// The sequence number that the last good checkpoint signs.
    pub signed_seq: u64,
    /// Events after it: chained, not yet signed.
    pub unsigned_entries: u64,
    /// Whether the log was closed in an orderly way.
    pub closed: bool,
    /// Tampering or damage. Empty for an intact log.
    pub problems: Vec<Finding>,
    /// What is not as usual, yet explained by a crash or by the gateway still running.
    pub warnings: Vec<Finding>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }
}

struct Verifier<'a> {
    key: &'a VerifyingKey,
    options: &'a VerifyOptions,
    known: Known,
    report: Report,
    log: Option<String>,
    file: String,
    line: u64,
    met_expected: bool,
    /// The head that the head file signs, and whether its line was met with its hash.
    head_file: Option<Checkpoint>,
    met_head: bool,
    started: bool,
}

/// Verifies the log in `dir` against the gateway's public key. Reads it as a stream.
///
/// # Errors
/// Where a file cannot be read; what is wrong with a file that can is in the report.
pub fn verify_log(dir: &Path, key: &VerifyingKey, options: &VerifyOptions) -> io::Result<Report> {
    let mut v = Verifier {
        key,
        options,
        known: options.known.clone(),
        report: Report::default(),
        log: None,
        file: String::new(),
        line: 0,
        met_expected: false,
        head_file: None,
        met_head: false,
        started: false,
    };
    v.known.sort();
    v.read_head(dir)?;
    let numbers = numbers(dir)?;
    let last = numbers.last().copied().unwrap_or(0);
    let mut expected = v.read_begin(dir)?;
    for number in numbers {
        if number < expected {
            v.file = file_name(number);
            v.line = 0;
            v.warn(0, "the file was to be removed: retention was interrupted, and removes it the next time".to_owned());
            continue;
        }
        while expected < number {
            v.file = file_name(expected);
            v.line = 0;
            v.problem(v.report.head.seq.saturating_add(1), "the file is missing".to_owned());
            expected = expected.saturating_add(1);
        }
        v.read_file(dir, number, number == last)?;
        expected = number.saturating_add(1);
    }
    v.finish();
    Ok(v.report)
}

impl Verifier<'_> {
    fn problem(&mut self, seq: u64, what: String) {
        if self.report.problems.len() < MAX_FINDINGS {
            self.report.problems.push(Finding { file: self.file.clone(), line: self.line, seq, what });
        }
    }

    fn warn(&mut self, seq: u64, what: String) {
        if self.report.warnings.len() < MAX_FINDINGS {
            self.report.warnings.push(Finding { file: self.file.clone(), line: self.line, seq, what });
        }
    }

    fn read_head(&mut self, dir: &Path) -> io::Result<()> {
        "head".clone_into(&mut self.file);
        let text = match fs::read(head_path(dir)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.problem(0, "the head file is missing".to_owned());
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        match Checkpoint::from_note(&text, self.key) {
            Some(c) if c.is_signed_by(self.key) => self.head_file = Some(c),
            Some(_) | None => self.problem(0, "the head file was changed or signed by another key".to_owned()),
        }
        Ok(())
    }

    /// Says which file is the first.
    fn read_begin(&mut self, dir: &Path) -> io::Result<u64> {
        "begin".clone_into(&mut self.file);
        match read_begin(dir, self.key)? {
            BeginFile::Absent => Ok(1),
            BeginFile::Forged => {
                self.problem(0, "the file was changed or signed by another key".to_owned());
                Ok(1)
            }
            BeginFile::Signed(begin) => {
                let file = begin.file;
                self.report.head = begin.after;
                self.log = Some(begin.log.clone());
                self.met_expected |= self.options.at_least == Some(begin.after);
                self.report.begins = Some(begin);
                Ok(file)
            }
        }
    }

    fn read_file(&mut self, dir: &Path, number: u64, newest: bool) -> io::Result<()> {
        self.file = file_name(number);
        self.line = 0;
        let mut from = BufReader::with_capacity(1 << 18, File::open(dir.join(&self.file))?);
        let mut bytes = Vec::new();
        while read_line(&mut from, &mut bytes)? > 0 {
            self.line = self.line.saturating_add(1);
            let next = self.report.head.seq.saturating_add(1);
            match bytes.strip_suffix(b"\n") {
                Some(text) => match parse_line(text) {
                    Ok(line) => self.line(&line, number),
                    Err(what) => self.problem(next, what),
                },
                None => self.problem(next, "the file ends within a line".to_owned()),
            }
        }
        if self.line == 0 {
            let what = "the file is empty".to_owned();
            let seq = self.report.head.seq;
            if newest { self.warn(seq, what) } else { self.problem(seq, what) }
        }
        self.report.files = self.report.files.saturating_add(1);
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>, number: u64) {
        self.order(line);
        if line.computed != line.stated {
            self.problem(line.seq, "the line was changed: it does not have the hash it states".to_owned());
        }
        match &line.body {
            Body::File(f) => self.file_line(f, number, line.seq),
            Body::Event(_) | Body::Checkpoint(_) if self.line == 1 => {
                self.problem(line.seq, "the file's first line is missing".to_owned())
            }
            Body::Event(raw) => {
                self.report.entries = self.report.entries.saturating_add(1);
                self.report.unsigned_entries = self.report.unsigned_entries.saturating_add(1);
                if serde_json::from_str::<AuditEvent>(raw.get()).is_err() {
                    self.warn(line.seq, "this program does not know the event".to_owned());
                }
            }
            Body::Checkpoint(c) => self.checkpoint(c, line),
        }
        // What the line states is taken as given from here on, so that one change is one finding.
        let head = Head { seq: line.seq, hash: line.stated };
        self.met_head |= self.head_file.as_ref().and_then(Checkpoint::signed_head) == Some(head);
        self.met_expected |= self.options.at_least == Some(head);
        if self.known.of(head.seq).any(|known| *known != head) {
            let what = "the line is known with another hash: the log was put back to an earlier state and written on, or rewritten";
            self.problem(head.seq, what.to_owned());
        }
        self.report.head = head;
        self.started = true;
        if let Some(progress) = &self.options.progress {
            progress.store(head.seq, Relaxed);
        }
    }

    fn order(&mut self, line: &Line<'_>) {
        let (at, next) = (self.report.head.seq, self.report.head.seq.saturating_add(1));
        if line.seq > next {
            self.problem(next, format!("lines {next} to {} are missing", line.seq.saturating_sub(1)));
        } else if line.seq < next {
            self.problem(line.seq, format!("line {} stands after line {at}: moved, repeated or inserted", line.seq));
        } else if line.prev != self.report.head.hash {
            self.problem(
                line.seq,
                format!("the line does not follow line {at}: that one was changed, or this one inserted"),
            );
        }
    }

    fn file_line(&mut self, f: &crate::chain::FileLine, number: u64, seq: u64) {
        if self.line != 1 {
            self.problem(seq, "a file's first line stands within a file".to_owned());
        }
        if f.number != number {
            self.problem(seq, format!("the file was written as {}: it was renamed", file_name(f.number)));
        }
        if f.key != hex::encode(self.key.as_bytes()) {
            self.problem(seq, "the file was written under another key".to_owned());
        }
        let log = self.log.get_or_insert_with(|| f.log.clone());
        if *log == f.log {
            return;
        }
        if f.after.as_deref() != Some(log.as_str()) {
            self.problem(seq, "the file belongs to another log".to_owned());
            return;
        }
        let what = format!(
            "log {log} was restored from a back-up here, and goes on as {}: what it had after is not in it",
            f.log
        );
        self.log = Some(f.log.clone());
        self.warn(seq, what);
    }

    fn checkpoint(&mut self, c: &Checkpoint, line: &Line<'_>) {
        if !c.is_signed_by(self.key) {
            self.problem(line.seq, "the checkpoint was changed or signed by another key".to_owned());
            return;
        }
        if self.log.as_ref() != Some(&c.log) {
            self.problem(line.seq, "the checkpoint belongs to another log".to_owned());
        }
        if c.signed_head() == Some(self.report.head) {
            self.report.signed_seq = c.seq;
            self.report.unsigned_entries = 0;
        } else {
            self.problem(
                line.seq,
                format!("the checkpoint signs line {} with another hash: lines up to it were changed", c.seq),
            );
        }
    }

    /// Of what is known, that which is before or after the log.
    fn finish_known(&mut self, begins: u64) {
        let before = self.known.up_to(begins);
        if before > 0 {
            self.warn(begins, format!("{before} known lines cannot be looked for: the log begins after line {begins}"));
        }
        let seq = self.report.head.seq;
        let after = self.known.after(seq);
        if let Some(last) = after.last() {
            let what = format!("{} lines after it are known, up to {last}: the end was cut off", after.len());
            self.problem(seq, what);
        }
    }

    fn finish(&mut self) {
        let (seq, here) = (self.report.head.seq, self.report.head);
        if !self.started {
            self.problem(0, "the log has no lines".to_owned());
        }
        if let Some(c) = self.head_file.take() {
            let problem = if self.log.as_ref().is_some_and(|l| *l != c.log) {
                Some("the head file belongs to another log".to_owned())
            } else if c.seq > seq {
                Some(format!("the log ends at line {seq}, but line {} was signed: the end was cut off", c.seq))
            } else if !self.met_head {
                Some(format!("the head file signs line {} with another hash: the log was rewritten", c.seq))
            } else if c.is_final && seq > c.seq.saturating_add(1) {
                Some(format!("the log was closed at line {}, but goes on to line {seq}", c.seq))
            } else if c.is_final && seq == c.seq {
                Some("the last checkpoint was cut off".to_owned())
            } else {
                None
            };
            self.report.closed = c.is_final && problem.is_none();
            if let Some(what) = problem {
                self.problem(c.seq, what);
            } else if c.seq < self.report.signed_seq && !c.is_final {
                self.warn(c.seq, "the head file is older than the last checkpoint".to_owned());
            }
        }
        let begins = self.report.begins.as_ref().map_or(0, |b| b.after.seq);
        if let Some(removed) = self.options.at_least.filter(|e| e.seq < begins) {
            self.warn(removed.seq, format!("{removed} cannot be looked for: the log begins after line {begins}"));
        } else if let Some(expected) = self.options.at_least.filter(|_| !self.met_expected) {
            self.problem(expected.seq, format!("the log should hold {expected}, and ends at {here}"));
        }
        self.finish_known(begins);
        let unsigned = self.report.unsigned_entries;
        if unsigned > 0 {
            self.warn(seq, format!("the last {unsigned} entries are chained but not signed yet"));
        }
    }
}
