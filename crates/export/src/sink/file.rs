//! A file of lines.
use super::{SendError, lines};
use crate::reader::Batch;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Appends, and waits for the disk.
#[derive(Debug)]
pub(crate) struct FileSink {
    path: PathBuf,
}

impl FileSink {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(crate) async fn send(&self, batch: &Batch) -> Result<u64, SendError> {
        let (path, bytes) = (self.path.clone(), lines(&batch.items));
        let written = tokio::task::spawn_blocking(move || append(&path, &bytes)).await;
        written
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(|e| SendError::new(format!("`{}` cannot be written: {e}", self.path.display())))?;
        Ok(0)
    }
}

/// Opened for each batch: whoever rotates the file moves it away and needs to tell nobody.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let whole = whole_lines(&mut file)?;
    let is_new = whole == 0;
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half of a batch is sent again as a whole.
        let _ = file.set_len(whole);
    }
    if is_new && let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    written
}

/// Cuts off a line that a crash left unfinished: it comes again. Says how long the file is then.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let mut end = len;
    let mut block = [0u8; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        file.seek(SeekFrom::Start(start))?;
        let size = usize::try_from(end.saturating_sub(start)).unwrap_or(block.len());
        let Some(part) = block.get_mut(..size) else { break };
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|b| *b == b'\n') {
            end = start.saturating_add(at as u64).saturating_add(1);
            break;
        }
        end = start;
    }
    if end < len {
        file.set_len(end)?;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        append(&path, b"one\n").unwrap();
        let read = || std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("one\ntw{}", "o".repeat(10_000))).unwrap();
        append(&path, b"two\n").unwrap();
        assert_eq!(read(), "one\ntwo\n");
        std::fs::write(&path, "never finished").unwrap();
        append(&path, b"x\n").unwrap();
        assert_eq!(read(), "x\n");
    }
}
