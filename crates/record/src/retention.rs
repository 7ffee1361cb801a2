//! Removing whole old files of the audit log, so that what is left can still be verified.
//!
//! The file `begin` says where the log begins since then: which file is its first, and the number and hash of the line
//! before, signed. It is durable before anything is removed. A log whose first files are missing without it, or with an
//! older one, is a log from which somebody took them.
use crate::{
    audit_files::{file_name, head_path, numbers},
    chain::{Body, ChainHash, Checkpoint, Head, parse_line},
    tail::{TailError, opening},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use doorward_model::{AuditEvent, Timestamp};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Its own words, so that no checkpoint of the log can be taken for one.
const ORIGIN: &str = "doorward/audit-begin";
/// The last line of a file is a checkpoint, which is short.
const LAST_LINE: u64 = 4096;

/// Where a log begins since old files were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The log's random identifier.
    pub log: String,
    /// The last line that was removed.
    pub after: Head,
    /// The number of the first file that is left.
    pub file: u64,
    /// When this was signed.
    pub time: Timestamp,
}

impl Beginning {
    fn text(&self) -> String {
        let Head { seq, hash } = self.after;
        format!("{ORIGIN}/{}\n{seq}\n{hash}\nfile {}\ntime {}\n", self.log, self.file, self.time.as_micros())
    }

    fn to_note(&self, key: &SigningKey) -> String {
        let signature = STANDARD.encode(key.sign(self.text().as_bytes()).to_bytes());
        format!("{}\n\u{2014} {ORIGIN} {signature}\n", self.text())
    }

    /// Reads a note back; `None` unless it is, byte for byte, what was written, and signed by the key.
    fn from_note(note: &str, key: &VerifyingKey) -> Option<Self> {
        let mut lines = note.lines();
        let log = lines.next()?.strip_prefix(ORIGIN)?.strip_prefix('/')?.to_owned();
        let seq = lines.next()?.parse().ok()?;
        let hash: ChainHash = lines.next()?.parse().ok()?;
        let file = lines.next()?.strip_prefix("file ")?.parse().ok()?;
        let time = Timestamp::from_micros(lines.next()?.strip_prefix("time ")?.parse().ok()?);
        let begin = Self { log, after: Head { seq, hash }, file, time };
        let signed =
            note.strip_prefix(&begin.text())?.strip_prefix(&format!("\n\u{2014} {ORIGIN} "))?.strip_suffix('\n')?;
        let signature = Signature::from_slice(&STANDARD.decode(signed).ok()?).ok()?;
        key.verify_strict(begin.text().as_bytes(), &signature).is_ok().then_some(begin)
    }
}

/// What the file `begin` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BeginFile {
    /// Nothing was ever removed.
    Absent,
    /// It is signed.
    Signed(Beginning),
    /// It was changed, or signed by another key.
    Forged,
}

fn begin_path(dir: &Path) -> PathBuf {
    dir.join("begin")
}

pub(crate) fn read_begin(dir: &Path, key: &VerifyingKey) -> io::Result<BeginFile> {
    match fs::read(begin_path(dir)) {
        Ok(bytes) => {
            Ok(Beginning::from_note(&String::from_utf8_lossy(&bytes), key).map_or(BeginFile::Forged, BeginFile::Signed))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BeginFile::Absent),
        Err(e) => Err(e),
    }
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A file cannot be read, written or removed.
    #[error("the audit log in `{dir}` cannot be pruned: {source}")]
    Io {
        /// Which log.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be: what is damaged is not removed.
    #[error("the audit log cannot be pruned: {0}")]
    Damaged(#[from] TailError),
    /// The file `begin` is not ours.
    #[error("the audit log in `{dir}` cannot be pruned: its file `begin` was changed. Verify the log")]
    Forged {
        /// Which log.
        dir: PathBuf,
    },
    /// The caller would not have it written down.
    #[error("the audit log is not pruned: {0}")]
    NotNoted(String),
}

/// Finds out which files of the log in `dir` may go: those whose entries are all older than `before` and all in lines
/// before `needed_from`. The newest file always stays, and the line that the head file signs. `None` where nothing may go.
///
/// # Errors
/// [`PruneError`].
pub fn prunable(
    dir: &Path,
    key: &VerifyingKey,
    before: Timestamp,
    needed_from: u64,
) -> Result<Option<Beginning>, PruneError> {
    let io = |source| PruneError::Io { dir: dir.to_owned(), source };
    // The line that the head file signs stays: without it nothing shows where the log ends at least.
    let head = fs::read_to_string(head_path(dir)).ok().and_then(|note| Checkpoint::from_note(&note, key));
    let needed_from = needed_from.min(head.map_or(0, |c| c.seq));
    let all = numbers(dir).map_err(io)?;
    let mut found = None;
    for (number, next) in all.iter().zip(all.iter().skip(1)) {
        let Some((after, log)) = opening(dir, *next)? else { break };
        let last = last_time(&dir.join(file_name(*number))).map_err(io)?;
        if number.checked_add(1) != Some(*next) || after.seq >= needed_from || last.is_none_or(|t| t >= before) {
            break;
        }
        found = Some(Beginning { log, after, file: *next, time: crate::audit::now() });
    }
    Ok(found)
}

/// Signs where the log begins from now on, and removes the files before. The caller has written into the log, durably,
/// that it will.
///
/// # Errors
/// [`PruneError`]. Files that could not be removed go the next time.
pub fn prune(dir: &Path, key: &SigningKey, begin: &Beginning) -> Result<u64, PruneError> {
    let io = |source| PruneError::Io { dir: dir.to_owned(), source };
    match read_begin(dir, &key.verifying_key()).map_err(io)? {
        BeginFile::Forged => return Err(PruneError::Forged { dir: dir.to_owned() }),
        BeginFile::Signed(old) if old.file >= begin.file || !is_of_this_log(dir, &old.log, &begin.log)? => {
            return Err(PruneError::Forged { dir: dir.to_owned() });
        }
        BeginFile::Signed(_) | BeginFile::Absent => {}
    }
    write_durably(dir, &begin.to_note(key)).map_err(io)?;
    remove_before(dir, begin.file).map_err(io)
}

/// Whether a log is the one that begins now, or one that this went on from after a restore.
fn is_of_this_log(dir: &Path, old: &str, new: &str) -> Result<bool, PruneError> {
    if old == new {
        return Ok(true);
    }
    for number in numbers(dir).map_err(|source| PruneError::Io { dir: dir.to_owned(), source })? {
        if opening(dir, number)?.is_some_and(|(_, log)| log == old) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes what an earlier [`prune`] signed off and could not remove any more.
///
/// # Errors
/// Where a file cannot be read or removed.
pub fn finish_pruning(dir: &Path, key: &VerifyingKey) -> Result<u64, PruneError> {
    let io = |source| PruneError::Io { dir: dir.to_owned(), source };
    match read_begin(dir, key).map_err(io)? {
        BeginFile::Signed(begin) => remove_before(dir, begin.file).map_err(io),
        BeginFile::Absent => Ok(0),
        BeginFile::Forged => Err(PruneError::Forged { dir: dir.to_owned() }),
    }
}

fn write_durably(dir: &Path, note: &str) -> io::Result<()> {
    let temporary = dir.join("begin.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, begin_path(dir))?;
    File::open(dir)?.sync_all()
}

/// Oldest first: a crash in between leaves no gap.
fn remove_before(dir: &Path, file: u64) -> io::Result<u64> {
    let mut removed = 0u64;
    for number in numbers(dir)?.into_iter().filter(|n| *n < file) {
        fs::remove_file(dir.join(file_name(number)))?;
        removed = removed.saturating_add(1);
    }
    if removed > 0 {
        File::open(dir)?.sync_all()?;
    }
    Ok(removed)
}

/// When the checkpoint that ends a file was signed.
fn last_time(path: &Path) -> io::Result<Option<Timestamp>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(LAST_LINE)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(whole) = tail.strip_suffix(b"\n") else { return Ok(None) };
    let last = whole.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    Ok(match parse_line(last).map(|l| l.body) {
        Ok(Body::Checkpoint(c)) => Some(Timestamp::from_micros(c.time)),
        // As a copy of an open log ends, which was restored.
        Ok(Body::Event(raw)) => serde_json::from_str::<AuditEvent>(raw.get()).ok().map(|e| e.time),
        Ok(Body::File(_)) | Err(_) => None,
    })
}

/// Removes recordings in `dir` that nobody has written to since `before`, and gives how many: those of sessions that `keeps` says stay.
/// `remove` is asked for each that is to go: it removes it by what it is given, or not, and says whether it did.
///
/// # Errors
/// Where the directory cannot be read, a file not be removed, or `remove` fails.
pub fn prune_recordings(
    dir: &Path,
    before: Timestamp,
    keeps: impl Fn(&str) -> bool,
    mut remove: impl FnMut(&str, &dyn Fn() -> io::Result<()>) -> Result<bool, PruneError>,
) -> Result<u64, PruneError> {
    let io = |source| PruneError::Io { dir: dir.to_owned(), source };
    let mut count = 0u64;
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let Some(session) = name.to_str().and_then(|n| n.strip_suffix(".dwr")) else { continue };
        let written = entry.metadata().and_then(|m| m.modified()).map_err(io)?;
        if Timestamp::from(written) >= before || keeps(session) {
            continue;
        }
        let is_gone = remove(session, &|| fs::remove_file(entry.path()))?;
        count = count.saturating_add(u64::from(is_gone));
    }
    Ok(count)
}
