//! Finding a line of the audit log by its number, without reading all that is before it; what proves an entry.
use crate::{
    audit_files::{MAX_LINE, file_name, numbers, read_line},
    chain::{Body, ChainHash, Checkpoint, parse_line},
    entries::Entry,
};
use std::{
    fs::File,
    io::{self, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// Below this a file is read from front to end.
const SMALL: u64 = 64 << 10;
/// Lines of a proof.
const MOST_LINES: usize = 2_000;
/// Bytes of a proof.
const MOST_BYTES: usize = 4 << 20;

/// What shows, with the gateway's public key and nothing else, that an entry was signed as it stands.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The entry.
    pub entry: Entry,
    /// The hash of the line before it.
    pub previous: ChainHash,
    /// Its line and those behind it up to the one that the checkpoint signs, as they are on the disk. Each holds the hash
    /// of the one before.
    pub lines: Vec<String>,
    /// What signs the last of them; none where the entry is not signed yet, or the checkpoint is too far off to be shown.
    pub checkpoint: Option<Checkpoint>,
}

/// The sequence number at the beginning of a line.
fn seq_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"seq\":")?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// Where the first line begins whose number is not below `seq`; the end of what is whole where there is none.
pub(crate) fn offset(path: &Path, seq: u64) -> io::Result<u64> {
    let file = File::open(path)?;
    let (mut low, mut high) = (0, file.metadata()?.len());
    let mut from = BufReader::with_capacity(8 << 10, file);
    let mut line = Vec::new();
    // INVARIANT: a line begins at `low`, and all before it have smaller numbers.
    while high.saturating_sub(low) > SMALL {
        let middle = low.midpoint(high);
        from.seek(SeekFrom::Start(middle))?;
        let rest = read_line(&mut from, &mut line)?;
        if rest >= MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of the audit log is too long"));
        }
        let start = middle.saturating_add(rest as u64);
        read_line(&mut from, &mut line)?;
        match seq_of(&line).filter(|_| line.ends_with(b"\n") && start < high) {
            Some(found) if found < seq => low = start,
            Some(_) | None => high = middle,
        }
    }
    from.seek(SeekFrom::Start(low))?;
    loop {
        let read = read_line(&mut from, &mut line)?;
        let is_below = line.ends_with(b"\n") && seq_of(&line).is_none_or(|found| found < seq);
        if read == 0 || !is_below {
            return Ok(low);
        }
        low = low.saturating_add(read as u64);
    }
}

/// The sequence number of the first line of a file.
pub(crate) fn first_seq(path: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    read_line(&mut BufReader::new(File::open(path)?), &mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(|l| parse_line(l).ok()).map(|l| l.seq))
}

/// The files from the one on that has the line `seq`.
fn files_from(dir: &Path, seq: u64) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for number in numbers(dir)?.into_iter().rev() {
        let path = dir.join(file_name(number));
        let first = first_seq(&path)?;
        out.push(path);
        if first.is_some_and(|first| first <= seq) {
            out.reverse();
            return Ok(out);
        }
    }
    Ok(Vec::new())
}

/// The number of the oldest line that there is.
///
/// # Errors
/// Where the folder or a file cannot be read.
pub fn oldest_line(dir: &Path) -> io::Result<Option<u64>> {
    for number in numbers(dir)? {
        if let Some(first) = first_seq(&dir.join(file_name(number)))? {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// One entry, by its number; none where there is no such entry, or it cannot be read.
///
/// # Errors
/// Where a file cannot be read.
pub fn find_entry(dir: &Path, seq: u64) -> io::Result<Option<Entry>> {
    let Some(path) = files_from(dir, seq)?.into_iter().next() else { return Ok(None) };
    let mut from = BufReader::new(File::open(&path)?);
    from.seek(SeekFrom::Start(offset(&path, seq)?))?;
    let mut line = Vec::new();
    read_line(&mut from, &mut line)?;
    Ok(line.strip_suffix(b"\n").and_then(|text| read(text, seq)).map(|(entry, _)| entry))
}

fn read(text: &[u8], seq: u64) -> Option<(Entry, ChainHash)> {
    let line = parse_line(text).ok().filter(|l| l.seq == seq)?;
    let Body::Event(raw) = line.body else { return None };
    let event = serde_json::from_str(raw.get()).ok()?;
    Some((Entry { seq, hash: line.stated, event, json: raw.get().to_owned() }, line.prev))
}

/// One entry with what proves it. Nothing is checked here: who doubts does it, with the lines.
///
/// # Errors
/// Where a file cannot be read.
pub fn prove_entry(dir: &Path, seq: u64) -> io::Result<Option<Proof>> {
    let files = files_from(dir, seq)?;
    let Some(first) = files.first() else { return Ok(None) };
    let mut begin = offset(first, seq)?;
    let mut proof: Option<Proof> = None;
    let mut bytes = 0;
    let mut line = Vec::new();
    for path in &files {
        let mut from = BufReader::new(File::open(path)?);
        from.seek(SeekFrom::Start(std::mem::take(&mut begin)))?;
        while read_line(&mut from, &mut line)? > 0 {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let Some(proof) = &mut proof else {
                let Some((entry, previous)) = read(text, seq) else { return Ok(None) };
                let lines = vec![String::from_utf8_lossy(text).into_owned()];
                proof = Some(Proof { entry, previous, lines, checkpoint: None });
                continue;
            };
            if let Ok(Body::Checkpoint(checkpoint)) = parse_line(text).map(|l| l.body) {
                proof.checkpoint = Some(checkpoint);
                return Ok(Some(proof.clone()));
            }
            bytes += text.len();
            if proof.lines.len() >= MOST_LINES || bytes > MOST_BYTES {
                return Ok(Some(proof.clone()));
            }
            proof.lines.push(String::from_utf8_lossy(text).into_owned());
        }
    }
    Ok(proof)
}
