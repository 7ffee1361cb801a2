//! Reading recordings back, each block checked before its frames are given.
use crate::recording::{
    BlockHeader, Direction, FRAME_CLIENT, FRAME_GAP, FRAME_META, FRAME_REDACTED_CLIENT, FRAME_REDACTED_UPSTREAM,
    FRAME_UPSTREAM, Footer, Frame, FrameBody, HEADER, MAGIC, MAX_BLOCK, RecordingMeta, SIGNATURE, block_hash,
    is_signed, take_varint,
};
use doorward_model::Timestamp;
use ed25519_dalek::VerifyingKey;
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the recording cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is not as it was written.
    #[error("the recording was changed or is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the bad block begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

/// How a recording ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a footer.
    Footer {
        /// Why the session ended.
        reason: String,
        /// False where the session was dropped rather than ended.
        finished: bool,
        /// When.
        ended: Timestamp,
    },
    /// Without one: the gateway was stopped hard, or the end was cut off.
    NoFooter {
        /// The end of the last whole block.
        offset: u64,
        /// Bytes of a torn block after it.
        torn: u64,
    },
}

/// Iterates over the frames of a recording.
#[derive(Debug)]
pub struct Reader {
    from: BufReader<File>,
    key: Option<VerifyingKey>,
    meta: RecordingMeta,
    offset: u64,
    prev: [u8; 32],
    raw: Vec<u8>,
    at: usize,
    left: u32,
    time: u64,
    next_frame: u64,
    counts: Counts,
    stated: Counts,
    ending: Option<Ending>,
    failed: bool,
}

/// Byte totals: from the client, to the client, lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    client: u64,
    upstream: u64,
    lost: u64,
}

enum Raw {
    Block(BlockHeader, Vec<u8>),
    End { torn: u64 },
}

impl Reader {
    /// Opens a recording. With a key the signatures of header and footer are checked too.
    ///
    /// # Errors
    /// [`ReadError`], also where the header is not whole.
    pub fn open(path: &Path, key: Option<&VerifyingKey>) -> Result<Self, ReadError> {
        let mut from = BufReader::with_capacity(128 << 10, File::open(path)?);
        let mut magic = [0; 8];
        let damaged = |offset, what: &str| ReadError::Damaged { offset, what: what.to_owned() };
        let n = read_full(&mut from, &mut magic)?;
        if n < magic.len() || magic != *MAGIC {
            return Err(damaged(0, "it does not begin as a recording does"));
        }
        let meta = RecordingMeta {
            session: String::new(),
            connection: String::new(),
            protocol: String::new(),
            started: Timestamp::default(),
            client: String::new(),
            more: serde_json::Value::Null,
        };
        let mut reader = Self {
            from,
            key: key.copied(),
            meta,
            offset: MAGIC.len() as u64,
            prev: [0; 32],
            raw: Vec::new(),
            at: 0,
            left: 0,
            time: 0,
            next_frame: 0,
            counts: Counts::default(),
            stated: Counts::default(),
            ending: None,
            failed: false,
        };
        match reader.block()? {
            Raw::Block(head, payload) if head.kind == b'H' => {
                let json = reader.signed(&head, &payload)?;
                reader.meta = serde_json::from_slice(json).map_err(|e| damaged(8, &e.to_string()))?;
            }
            Raw::Block(..) | Raw::End { .. } => return Err(damaged(8, "the header block is missing")),
        }
        Ok(reader)
    }

    /// What the recording says about itself.
    pub fn meta(&self) -> &RecordingMeta {
        &self.meta
    }

    /// How it ends; known once all frames were read.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    fn damaged(&self, what: &str) -> ReadError {
        ReadError::Damaged { offset: self.offset, what: what.to_owned() }
    }

    /// Reads the next whole block and checks its hash and place.
    fn block(&mut self) -> Result<Raw, ReadError> {
        let mut bytes = vec![0; HEADER];
        let n = read_full(&mut self.from, &mut bytes)?;
        if n < HEADER {
            return Ok(Raw::End { torn: n as u64 });
        }
        let header = bytes.first_chunk::<HEADER>().and_then(BlockHeader::read);
        let header = header.ok_or_else(|| self.damaged("no block begins here"))?;
        let stored = header.stored_len as usize;
        if stored > MAX_BLOCK || header.raw_len as usize > MAX_BLOCK {
            return Err(self.damaged("the block is too long"));
        }
        bytes.resize(HEADER.saturating_add(stored), 0);
        let n = read_full(&mut self.from, bytes.get_mut(HEADER..).unwrap_or_default())?;
        let mut hash = [0; 32];
        let m = if n == stored { read_full(&mut self.from, &mut hash)? } else { 0 };
        if n < stored || m < hash.len() {
            return Ok(Raw::End { torn: (HEADER as u64).saturating_add(n as u64).saturating_add(m as u64) });
        }
        if block_hash(&bytes) != hash {
            return Err(self.damaged("the block does not have the hash it states"));
        }
        if header.prev != self.prev || header.offset != self.offset {
            return Err(self.damaged("the block does not follow the one before it"));
        }
        self.prev = hash;
        Ok(Raw::Block(header, bytes))
    }

    /// Checks a signed block, whose bytes are header, JSON and signature; gives the JSON and moves on.
    fn signed<'a>(&mut self, head: &BlockHeader, bytes: &'a [u8]) -> Result<&'a [u8], ReadError> {
        let (text, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or_else(|| self.damaged("no signature"))?;
        let json = text.get(HEADER..).ok_or_else(|| self.damaged("no signature"))?;
        if self.key.is_some_and(|key| !is_signed(&key, text, signature)) {
            return Err(self.damaged("the signature is not the gateway's"));
        }
        self.passed(head);
        Ok(json)
    }

    fn passed(&mut self, head: &BlockHeader) {
        let block = (HEADER as u64).saturating_add(u64::from(head.stored_len)).saturating_add(32);
        self.offset = self.offset.saturating_add(block);
    }

    /// Loads the next data block; false at the end.
    fn load(&mut self) -> Result<bool, ReadError> {
        if self.counts != self.stated {
            return Err(self.damaged("its byte counts are not those of its frames"));
        }
        let (head, bytes) = match self.block()? {
            Raw::Block(head, bytes) => (head, bytes),
            Raw::End { torn } => {
                self.ending = Some(Ending::NoFooter { offset: self.offset, torn });
                return Ok(false);
            }
        };
        let counts = Counts { client: head.client_bytes, upstream: head.upstream_bytes, lost: head.lost_bytes };
        if head.first_frame != self.next_frame {
            return Err(self.damaged("frames are missing"));
        }
        match head.kind {
            b'D' => {
                self.unpack(&head, bytes.get(HEADER..).unwrap_or_default())?;
                self.stated = counts;
                self.passed(&head);
                Ok(true)
            }
            b'F' => {
                self.footer(&head, &bytes, counts)?;
                Ok(false)
            }
            _ => Err(self.damaged("the block is of no known kind")),
        }
    }

    fn footer(&mut self, head: &BlockHeader, bytes: &[u8], counts: Counts) -> Result<(), ReadError> {
        if counts != self.counts {
            return Err(self.damaged("the footer's byte counts are not those of the frames"));
        }
        let json = self.signed(head, bytes)?;
        let footer: Footer = serde_json::from_slice(json).map_err(|e| self.damaged(&e.to_string()))?;
        if read_full(&mut self.from, &mut [0])? > 0 {
            return Err(self.damaged("something follows the footer"));
        }
        let ended = Timestamp::from_micros(footer.ended);
        self.ending = Some(Ending::Footer { reason: footer.reason, finished: footer.finished, ended });
        Ok(())
    }

    fn unpack(&mut self, head: &BlockHeader, payload: &[u8]) -> Result<(), ReadError> {
        self.raw = match head.compression {
            0 => payload.to_vec(),
            1 => zstd::bulk::decompress(payload, head.raw_len as usize)
                .map_err(|e| self.damaged(&format!("it cannot be unpacked: {e}")))?,
            _ => return Err(self.damaged("it is packed in an unknown way")),
        };
        if self.raw.len() != head.raw_len as usize {
            return Err(self.damaged("its length is not what it states"));
        }
        self.at = 0;
        self.left = head.frames;
        self.time = head.time;
        Ok(())
    }

    fn frame(&mut self) -> Result<Option<Frame>, ReadError> {
        if self.ending.is_some() {
            return Ok(None);
        }
        while self.left == 0 {
            if self.at != self.raw.len() {
                return Err(self.damaged("bytes follow the last frame of a block"));
            }
            if !self.load()? {
                return Ok(None);
            }
        }
        let rest = self.raw.get(self.at..).unwrap_or_default();
        let (body, delta, used) = parse_frame(rest).ok_or_else(|| self.damaged("a frame is malformed"))?;
        self.at = self.at.saturating_add(used);
        self.left = self.left.saturating_sub(1);
        self.time = self.time.saturating_add(delta);
        let seq = self.next_frame;
        self.next_frame = seq.saturating_add(1);
        self.tally(&body);
        Ok(Some(Frame { seq, time: Timestamp::from_micros(self.time), body }))
    }

    fn tally(&mut self, body: &FrameBody) {
        let c = &mut self.counts;
        let (client, upstream) = match body {
            FrameBody::Bytes(Direction::Client, b) => (b.len() as u64, 0),
            FrameBody::Bytes(Direction::Upstream, b) => (0, b.len() as u64),
            FrameBody::Redacted { direction: Direction::Client, len, .. } => (*len, 0),
            FrameBody::Redacted { direction: Direction::Upstream, len, .. } => (0, *len),
            FrameBody::Gap { client, upstream } => {
                c.lost = c.lost.saturating_add(*client).saturating_add(*upstream);
                (*client, *upstream)
            }
            FrameBody::Meta(_) => (0, 0),
        };
        c.client = c.client.saturating_add(client);
        c.upstream = c.upstream.saturating_add(upstream);
    }
}

fn parse_frame(bytes: &[u8]) -> Option<(FrameBody, u64, usize)> {
    let mut rest = bytes;
    let (kind, after) = rest.split_first()?;
    rest = after;
    let delta = take_varint(&mut rest)?;
    let len = usize::try_from(take_varint(&mut rest)?).ok()?;
    let (mut content, rest) = rest.split_at_checked(len)?;
    let used = bytes.len().checked_sub(rest.len())?;
    let mut redacted = |direction| {
        let len = take_varint(&mut content)?;
        Some(FrameBody::Redacted { direction, len, why: String::from_utf8_lossy(content).into_owned() })
    };
    let body = match *kind {
        FRAME_CLIENT => FrameBody::Bytes(Direction::Client, content.to_vec()),
        FRAME_UPSTREAM => FrameBody::Bytes(Direction::Upstream, content.to_vec()),
        FRAME_REDACTED_CLIENT => redacted(Direction::Client)?,
        FRAME_REDACTED_UPSTREAM => redacted(Direction::Upstream)?,
        FRAME_GAP => FrameBody::Gap { client: take_varint(&mut content)?, upstream: take_varint(&mut content)? },
        FRAME_META => FrameBody::Meta(serde_json::from_slice(content).ok()?),
        _ => return None,
    };
    Some((body, delta, used))
}

/// Reads until the buffer is full or the file ends; says how much.
fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while let Some(rest) = into.get_mut(n..).filter(|r| !r.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(k) => n = n.saturating_add(k),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

impl Iterator for Reader {
    type Item = Result<Frame, ReadError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.frame();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// The result of verifying a recording.
#[derive(Debug)]
pub struct RecordingReport {
    /// What it says about itself, if its header is whole.
    pub meta: Option<RecordingMeta>,
    /// Whole frames.
    pub frames: u64,
    /// Bytes from the client, lost ones included.
    pub client_bytes: u64,
    /// Bytes to the client, lost ones included.
    pub upstream_bytes: u64,
    /// Bytes that are known to be lost (gap frames).
    pub lost_bytes: u64,
    /// How it ends, if all before can be read.
    pub ending: Option<Ending>,
    /// Damage or tampering, with its place.
    pub problem: Option<String>,
}

impl RecordingReport {
    /// Whether every byte is as it was written, up to a signed footer.
    pub fn is_intact(&self) -> bool {
        self.problem.is_none() && matches!(self.ending, Some(Ending::Footer { .. }))
    }
}

/// Verifies a recording offline.
///
/// # Errors
/// Where the file cannot be read at all; what is wrong with it is in the report.
pub fn verify_recording(path: &Path, key: &VerifyingKey) -> io::Result<RecordingReport> {
    let mut report = RecordingReport {
        meta: None,
        frames: 0,
        client_bytes: 0,
        upstream_bytes: 0,
        lost_bytes: 0,
        ending: None,
        problem: None,
    };
    let mut reader = match Reader::open(path, Some(key)) {
        Ok(reader) => reader,
        Err(ReadError::Io(e)) => return Err(e),
        Err(e @ ReadError::Damaged { .. }) => {
            report.problem = Some(e.to_string());
            return Ok(report);
        }
    };
    report.meta = Some(reader.meta().clone());
    for frame in &mut reader {
        match frame {
            Ok(_) => report.frames = report.frames.saturating_add(1),
            Err(ReadError::Io(e)) => return Err(e),
            Err(e @ ReadError::Damaged { .. }) => report.problem = Some(e.to_string()),
        }
    }
    report.client_bytes = reader.counts.client;
    report.upstream_bytes = reader.counts.upstream;
    report.lost_bytes = reader.counts.lost;
    report.ending = reader.ending;
    Ok(report)
}
