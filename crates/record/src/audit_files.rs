//! The files of an audit log: names, reservation of room, recovery after a crash.
use crate::{
    audit::OpenError,
    chain::{Body, Checkpoint, Head, parse_line},
};
use ed25519_dalek::VerifyingKey;
use rustix::{
    fs::{FallocateFlags, fallocate, fstatvfs},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// No line is longer; longer ones are refused on writing and are damage on reading.
pub(crate) const MAX_LINE: usize = 4 << 20;

pub(crate) fn file_name(number: u64) -> String {
    format!("audit-{number:08}.log")
}

pub(crate) fn head_path(dir: &Path) -> PathBuf {
    dir.join("head")
}

/// The numbers of the log files that are there, in order.
pub(crate) fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix("audit-")?.strip_suffix(".log")?.parse().ok());
        // A number in another form (`audit-1.log`) is not a file of ours.
        out.extend(number.filter(|n| name.to_str() == Some(&file_name(*n))));
    }
    out.sort_unstable();
    Ok(out)
}

/// Reads a line of bounded length; the line feed stays on it. Empty at the end of the file.
pub(crate) fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    from.by_ref().take(MAX_LINE as u64).read_until(b'\n', line)
}

/// A log file that is written to, with the room reserved in it.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) file: File,
    pub(crate) number: u64,
    /// Bytes written.
    pub(crate) len: u64,
    /// Bytes for which the file system has set blocks aside.
    pub(crate) reserved: u64,
}

impl LogFile {
    pub(crate) fn create(dir: &Path, number: u64) -> io::Result<Self> {
        let path = dir.join(file_name(number));
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // Only an empty left-over of a crash may be taken up.
        if file.metadata()?.len() != 0 {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the next audit file exists already"));
        }
        File::open(dir)?.sync_all()?;
        Ok(Self { file, number, len: 0, reserved: 0 })
    }

    pub(crate) fn open_at(dir: &Path, number: u64, len: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(dir.join(file_name(number)))?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Self { file, number, len, reserved: len })
    }

    /// Sets blocks aside for `room` bytes beyond what is written; takes less where there is less.
    /// Says how many bytes more are reserved now.
    pub(crate) fn reserve(&mut self, room: u64) -> io::Result<u64> {
        let mut last = Errno::NOSPC;
        for divisor in [1, 4, 16] {
            let target = self.len.saturating_add(room / divisor);
            let more = target.saturating_sub(self.reserved);
            if more == 0 {
                return Ok(0);
            }
            match fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.reserved, more) {
                Ok(()) => {
                    self.reserved = target;
                    return Ok(more);
                }
                // Where blocks cannot be set aside, looking whether there are any is the next best.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    let stat = fstatvfs(&self.file)?;
                    if stat.f_bavail.saturating_mul(stat.f_frsize) > more.saturating_mul(2) {
                        self.reserved = target;
                        return Ok(more);
                    }
                }
                Err(e) => last = e,
            }
        }
        Err(last.into())
    }

    pub(crate) fn write_durably(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        self.file.sync_data()
    }

    /// Gives blocks back that were set aside and are not needed.
    pub(crate) fn release(&self) {
        // Failing to give room back harms nobody: the next open tries again.
        let _ = self.file.set_len(self.len);
    }
}

/// Puts a new head file in place of the old one.
pub(crate) fn write_head(dir: &Path, checkpoint: &Checkpoint, key: &VerifyingKey, sync: bool) -> io::Result<()> {
    let temporary = dir.join("head.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(checkpoint.to_note(key).as_bytes())?;
    if sync {
        file.sync_data()?;
    }
    fs::rename(&temporary, head_path(dir))?;
    if sync {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// What the newest file of a log holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) head: Head,
    pub(crate) log: Option<String>,
    /// Bytes up to and with the last good line.
    pub(crate) good: u64,
    /// Bytes after it.
    pub(crate) torn: u64,
    /// Why they are not lines.
    pub(crate) why: String,
    /// Events after the last checkpoint.
    pub(crate) unsigned: u64,
    /// The last checkpoint in the file.
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// Walks the newest file up to its last good line.
pub(crate) fn scan(dir: &Path, number: u64, key: &VerifyingKey) -> Result<Scan, OpenError> {
    let path = dir.join(file_name(number));
    let file = File::open(&path).map_err(|e| OpenError::io(&path, e))?;
    let total = file.metadata().map_err(|e| OpenError::io(&path, e))?.len();
    let mut from = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut scan, mut first) = (Vec::new(), Scan::default(), true);
    loop {
        let n = read_line(&mut from, &mut line).map_err(|e| OpenError::io(&path, e))?;
        if n == 0 {
            break;
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            "the line is not whole".clone_into(&mut scan.why);
            break;
        };
        match step(text, &mut scan, first, number, key) {
            Ok(()) => {}
            Err(Step::Torn(why)) => {
                scan.why = why;
                break;
            }
            Err(Step::WrongKey) => return Err(OpenError::OtherKey { path }),
        }
        first = false;
        scan.good = scan.good.saturating_add(n as u64);
    }
    scan.torn = total.saturating_sub(scan.good);
    Ok(scan)
}

enum Step {
    Torn(String),
    WrongKey,
}

fn step(text: &[u8], scan: &mut Scan, first: bool, number: u64, key: &VerifyingKey) -> Result<(), Step> {
    let line = parse_line(text).map_err(Step::Torn)?;
    if line.computed != line.stated {
        return Err(Step::Torn(format!("line {} does not have its own hash", line.seq)));
    }
    if !first && (line.prev != scan.head.hash || Some(line.seq) != scan.head.seq.checked_add(1)) {
        return Err(Step::Torn(format!("line {} does not follow line {}", line.seq, scan.head.seq)));
    }
    match line.body {
        Body::File(f) if first && f.number == number => {
            if f.key != hex::encode(key.as_bytes()) {
                return Err(Step::WrongKey);
            }
            scan.log = Some(f.log);
        }
        Body::Event(_) if !first => scan.unsigned = scan.unsigned.saturating_add(1),
        Body::Checkpoint(c) if !first && c.is_signed_by(key) => {
            scan.unsigned = 0;
            scan.checkpoint = Some(c);
        }
        Body::File(_) | Body::Event(_) | Body::Checkpoint(_) => {
            return Err(Step::Torn(format!("line {} is not what belongs there", line.seq)));
        }
    }
    scan.head = Head { seq: line.seq, hash: line.stated };
    Ok(())
}

/// Moves what follows the last good line into a file of its own and cuts it off. Says where it is.
pub(crate) fn set_torn_tail_aside(dir: &Path, number: u64, scan: &Scan) -> io::Result<PathBuf> {
    let path = dir.join(file_name(number));
    let mut from = OpenOptions::new().read(true).write(true).open(path)?;
    from.seek(SeekFrom::Start(scan.good))?;
    let mut tail = Vec::new();
    (&from).take(scan.torn).read_to_end(&mut tail)?;
    let mut suffix = 0u32;
    let aside = loop {
        let aside = dir.join(format!("torn-after-{}-{suffix}.bin", scan.head.seq));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside) {
            Ok(mut file) => {
                file.write_all(&tail)?;
                file.sync_all()?;
                break aside;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => suffix = suffix.saturating_add(1),
            Err(e) => return Err(e),
        }
    };
    File::open(dir)?.sync_all()?;
    from.set_len(scan.good)?;
    from.sync_all()?;
    Ok(aside)
}
