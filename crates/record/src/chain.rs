//! The lines of the audit log: their form, their hashes, their signatures.
//!
//! A log is a directory of files `audit-00000001.log`, `audit-00000002.log`, …; a file is lines; a
//! line is one JSON object without spaces, its members in this order:
//!
//! ```text
//! {"seq":7,"prev":"<hash of line 6>","event":{…},"hash":"<hash of this line>"}
//! {"seq":8,"prev":"…","checkpoint":{"log":"…","seq":7,"head":"…","time":…,"final":false,"signature":"…"},"hash":"…"}
//! {"seq":9,"prev":"…","file":{"number":2,"log":"…","key":"…","format":1},"hash":"…"}
//! ```
//!
//! - `seq` counts all lines from 1, across files. `prev` of line 1 is 64 zeros.
//! - `hash` is SHA-256 over `doorward/audit/line/v1\n` and the line's own bytes up to, and without,
//!   the `,"hash":` that ends it. As the bytes on the disk are what is hashed, there is no second
//!   serialisation that could differ; as sequence and previous hash are among them, a line fits in
//!   one place only. Hashes are 64 lower-case hexadecimal digits.
//! - Each file opens with a `file` line, which is chained to the last line of the file before. After a restore it has another
//!   `log`, and the one before as `"after"`: numbers that the lost end of that log had are given a second time, and readers
//!   who know an entry by log and number must not take one for the other.
//! - A `checkpoint` signs the line right before it, by ed25519 over the text of [`Checkpoint::text`].
//! - `head` holds the newest checkpoint as a C2SP signed note, so that cutting lines off the end
//!   shows. `final` is true when the log was closed in an orderly way: nothing may follow.
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::{fmt, io::Write, str::FromStr};

const LINE_DOMAIN: &[u8] = b"doorward/audit/line/v1\n";
pub(crate) const NOTE_NAME: &str = "doorward/audit";
/// The bytes that end a line: `,"hash":"` + 64 digits + `"}`.
const SUFFIX: usize = 9 + 64 + 2;

/// A SHA-256 value; prints as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    fn hex(self) -> [u8; 64] {
        let mut out = [b'0'; 64];
        // The lengths agree, so this cannot fail.
        let _ = hex::encode_to_slice(self.0, &mut out);
        out
    }
}
impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}
impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for ChainHash {
    type Err = &'static str;
    /// Lower case only: a digit whose case was changed is a changed byte and must show.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut out = [0; 32];
        hex::decode_to_slice(s, &mut out).map_err(|_| "a hash is not 64 hexadecimal digits")?;
        if s.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err("a hash is not written in lower case");
        }
        Ok(Self(out))
    }
}

/// The end of a chain: the last line's number and hash. Printed as `SEQ/HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// Its sequence number; 0 before the first line.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
}
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.seq, self.hash)
    }
}
impl FromStr for Head {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (seq, hash) = s.split_once('/').ok_or("a head is written SEQ/HASH")?;
        Ok(Self { seq: seq.parse().map_err(|_| "the sequence is not a number")?, hash: hash.parse()? })
    }
}

/// The line that opens a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileLine {
    pub(crate) number: u64,
    pub(crate) log: String,
    pub(crate) key: String,
    pub(crate) format: u32,
    /// The log that this one goes on from: what came after this line's predecessor in that log is not in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

/// A signed statement that the log has this head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The log's random identifier.
    pub log: String,
    /// The sequence number of the signed line.
    pub seq: u64,
    /// Its hash in hexadecimal.
    pub head: String,
    /// When it was signed, in microseconds since the Unix epoch.
    pub time: u64,
    /// Whether the log was closed in an orderly way after this line.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The ed25519 signature in hexadecimal.
    pub signature: String,
}

impl Checkpoint {
    pub(crate) fn sign(log: &str, head: Head, time: u64, is_final: bool, key: &SigningKey) -> Self {
        let mut c = Self {
            log: log.to_owned(),
            seq: head.seq,
            head: head.hash.to_string(),
            time,
            is_final,
            signature: String::new(),
        };
        c.signature = hex::encode(key.sign(c.text().as_bytes()).to_bytes());
        c
    }

    /// The text that is signed: origin, sequence, head, time and whether it is final, a line each.
    pub fn text(&self) -> String {
        let state = if self.is_final { "final" } else { "open" };
        format!("{NOTE_NAME}/{}\n{}\n{}\ntime {}\n{state}\n", self.log, self.seq, self.head, self.time)
    }

    pub(crate) fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let mut raw = [0; 64];
        hex::decode_to_slice(&self.signature, &mut raw).is_ok()
            && key.verify_strict(self.text().as_bytes(), &Signature::from_bytes(&raw)).is_ok()
    }

    /// The checkpoint as a signed note (C2SP): the text, an empty line, the signature line.
    pub(crate) fn to_note(&self, key: &VerifyingKey) -> String {
        let digest =
            Sha256::new().chain_update(NOTE_NAME).chain_update(b"\n\x01").chain_update(key.as_bytes()).finalize();
        let mut blob: Vec<u8> = digest.iter().copied().take(4).collect();
        blob.extend(hex::decode(&self.signature).unwrap_or_default());
        format!("{}\n\u{2014} {NOTE_NAME} {}\n", self.text(), STANDARD.encode(blob))
    }

    /// Reads a signed note back; `None` unless it is, byte for byte, what [`Self::to_note`] writes.
    pub(crate) fn from_note(note: &str, key: &VerifyingKey) -> Option<Self> {
        let mut lines = note.lines();
        let log = lines.next()?.strip_prefix(NOTE_NAME)?.strip_prefix('/')?.to_owned();
        let seq = lines.next()?.parse().ok()?;
        let head = lines.next()?.to_owned();
        let time = lines.next()?.strip_prefix("time ")?.parse().ok()?;
        let is_final = lines.next()? == "final";
        lines.next().filter(|l| l.is_empty())?;
        let blob = STANDARD.decode(lines.next()?.rsplit_once(' ')?.1).ok()?;
        let signature = hex::encode(blob.get(4..)?);
        let c = Self { log, seq, head, time, is_final, signature };
        (c.to_note(key) == note).then_some(c)
    }

    /// The head it signs, if its hash is well-formed.
    pub fn signed_head(&self) -> Option<Head> {
        Some(Head { seq: self.seq, hash: self.head.parse().ok()? })
    }
}

/// Appends a line to `out` and moves `head` on to it. `json` is one JSON value on one line.
pub(crate) fn push_line(out: &mut Vec<u8>, head: &mut Head, member: &str, json: &[u8]) {
    let start = out.len();
    let seq = head.seq.saturating_add(1);
    // Writing to a Vec does not fail.
    let _ = write!(out, "{{\"seq\":{seq},\"prev\":\"");
    out.extend_from_slice(&head.hash.hex());
    let _ = write!(out, "\",\"{member}\":");
    out.extend_from_slice(json);
    let hash = line_hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(b",\"hash\":\"");
    out.extend_from_slice(&hash.hex());
    out.extend_from_slice(b"\"}\n");
    *head = Head { seq, hash };
}

/// How many bytes [`push_line`] will add for an event of `json` bytes, at most.
pub(crate) const fn line_len(json: usize) -> usize {
    json.saturating_add(7 + 20 + 9 + 64 + 2 + 16 + SUFFIX + 1)
}

fn line_hash(body: &[u8]) -> ChainHash {
    ChainHash(Sha256::new().chain_update(LINE_DOMAIN).chain_update(body).finalize().into())
}

/// What a line says.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    Event(&'a RawValue),
    Checkpoint(Checkpoint),
    File(FileLine),
}

/// A line that was read; whether its hash is right is for the caller to compare.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) seq: u64,
    pub(crate) prev: ChainHash,
    pub(crate) stated: ChainHash,
    pub(crate) computed: ChainHash,
    pub(crate) body: Body<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine<'a> {
    seq: u64,
    prev: &'a str,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    checkpoint: Option<Checkpoint>,
    #[serde(default)]
    file: Option<FileLine>,
    hash: &'a str,
}

/// Reads one line, without its line feed.
pub(crate) fn parse_line(line: &[u8]) -> Result<Line<'_>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let cut = line.len().checked_sub(SUFFIX).ok_or("the line is too short")?;
    let (body, suffix) = line.split_at_checked(cut).ok_or("the line is too short")?;
    if !suffix.starts_with(b",\"hash\":\"") || !suffix.ends_with(b"\"}") {
        return Err("the line does not end with its hash".to_owned());
    }
    let raw: RawLine<'_> = serde_json::from_str(text).map_err(|e| format!("the line is not an audit line: {e}"))?;
    let body_says = match (raw.event, raw.checkpoint, raw.file) {
        (Some(e), None, None) => Body::Event(e),
        (None, Some(c), None) => Body::Checkpoint(c),
        (None, None, Some(f)) => Body::File(f),
        (None, None, None) | (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            return Err("the line holds none or several of event, checkpoint and file".to_owned());
        }
    };
    Ok(Line {
        seq: raw.seq,
        prev: raw.prev.parse()?,
        stated: raw.hash.parse()?,
        computed: line_hash(body),
        body: body_says,
    })
}
