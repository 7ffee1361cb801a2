//! A log that was restored from a back-up. What the gateway wrote after the back-up is not in it, and the numbers of those lines are
//! about to be given again: so the log goes on under another identifier, in a file of its own, and says so.
use crate::chain::Head;
use doorward_model::{AuditEvent, AuditKind};
use std::{fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

const MARKER: &str = "restored";
/// No more is read of what was written into it.
const LONGEST: usize = 1_000;

/// Marks the log in `dir` as restored, before it is opened; `from`: by whom, and from what, for people.
///
/// # Errors
/// Where the mark cannot be written.
pub fn mark_restored(dir: &Path, from: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(dir.join(MARKER))?;
    file.write_all(from.as_bytes())?;
    file.sync_all()?;
    fs::File::open(dir)?.sync_all()
}

pub(crate) fn read(dir: &Path) -> io::Result<Option<String>> {
    match fs::read(dir.join(MARKER)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(&bytes)).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The new log says durably where it comes from: the mark has done its work.
pub(crate) fn forget(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(MARKER)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn note(from: &str, log: &str, head: Head) -> AuditEvent {
    let what = format!("restore the audit log from a back-up: log {log} goes on after line {}. {from}", head.seq);
    let kind = AuditKind::Administration { by: "local".to_owned(), what };
    AuditEvent { time: crate::audit::now(), session: None, kind, parties: None }
}
