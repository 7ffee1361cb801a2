//! Packets: `length u32 | type u8 | …`, numbers big-endian, strings with a length in four bytes.
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use doorward_wire::{Reader, WireError};

/// The longest packet, without its length: OpenSSH's `SFTP_MAX_MSG_LENGTH`.
pub const LONGEST: usize = 256 * 1024;
/// The longest handle (draft-ietf-secsh-filexfer-02 §6.2).
pub(super) const LONGEST_HANDLE: usize = 256;
/// The most that OpenSSH's server reads or writes at once.
pub(super) const MOST_AT_ONCE: usize = LONGEST - 1024;

/// Bytes before the body: length and type.
const HEAD: usize = 5;

/// Numbers of packets (draft-ietf-secsh-filexfer-02 §3).
pub(super) mod kind {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const VERSION: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const READ: u8 = 5;
    pub(crate) const WRITE: u8 = 6;
    pub(crate) const LSTAT: u8 = 7;
    pub(crate) const FSTAT: u8 = 8;
    pub(crate) const SETSTAT: u8 = 9;
    pub(crate) const FSETSTAT: u8 = 10;
    pub(crate) const OPENDIR: u8 = 11;
    pub(crate) const READDIR: u8 = 12;
    pub(crate) const REMOVE: u8 = 13;
    pub(crate) const MKDIR: u8 = 14;
    pub(crate) const RMDIR: u8 = 15;
    pub(crate) const REALPATH: u8 = 16;
    pub(crate) const STAT: u8 = 17;
    pub(crate) const RENAME: u8 = 18;
    pub(crate) const READLINK: u8 = 19;
    pub(crate) const SYMLINK: u8 = 20;
    pub(crate) const STATUS: u8 = 101;
    pub(crate) const HANDLE: u8 = 102;
    pub(crate) const DATA: u8 = 103;
    pub(crate) const NAME: u8 = 104;
    pub(crate) const ATTRS: u8 = 105;
    pub(crate) const EXTENDED: u8 = 200;
    pub(crate) const EXTENDED_REPLY: u8 = 201;
}

/// Codes of a status (draft-ietf-secsh-filexfer-02 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Eof = 1,
    PermissionDenied = 3,
    Failure = 4,
    BadMessage = 5,
    Unsupported = 8,
}

impl Code {
    pub(super) const fn number(self) -> u32 {
        self as u32
    }
}

/// A length that no packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLength;

/// Takes the next whole packet off a buffer, its length included.
pub(super) fn cut(buffer: &mut BytesMut) -> Result<Option<Bytes>, BadLength> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BadLength)?;
    if length == 0 || length > LONGEST {
        return Err(BadLength);
    }
    if buffer.len() < length + 4 {
        return Ok(None);
    }
    Ok(Some(buffer.split_to(length + 4).freeze()))
}

/// The type and the body of a whole packet.
pub(super) fn open<'a>(packet: &'a [u8], what: &'static str) -> Result<(u8, Reader<'a>), WireError> {
    let mut reader = Reader::new(packet.get(4..).unwrap_or_default(), what);
    Ok((reader.u8()?, reader))
}

pub(super) fn u64(reader: &mut Reader<'_>) -> Result<u64, WireError> {
    Ok((u64::from(reader.u32()?) << 32) | u64::from(reader.u32()?))
}

pub(super) fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let invalid = reader.invalid();
    let length = usize::try_from(reader.u32()?).map_err(|_| invalid)?;
    reader.bytes(length)
}

pub(super) fn handle<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let handle = string(reader)?;
    if handle.is_empty() || handle.len() > LONGEST_HANDLE {
        return Err(reader.invalid());
    }
    Ok(handle)
}

/// A file's attributes, as far as they bear on a decision (draft-ietf-secsh-filexfer-02 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attrs {
    pub(super) size: Option<u64>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: Option<u32>,
    pub(super) times: bool,
    /// Attributes of somebody's own making.
    pub(super) extended: bool,
}

impl Attrs {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

pub(super) fn attrs(reader: &mut Reader<'_>) -> Result<Attrs, WireError> {
    let flags = reader.u32()?;
    let mut left = flags;
    let mut takes = |bit: u32| {
        left &= !bit;
        flags & bit != 0
    };
    let mut attrs = Attrs::default();
    if takes(1) {
        attrs.size = Some(u64(reader)?);
    }
    if takes(2) {
        attrs.owner = Some((reader.u32()?, reader.u32()?));
    }
    if takes(4) {
        attrs.mode = Some(reader.u32()?);
    }
    if takes(8) {
        attrs.times = true;
        reader.bytes(8)?;
    }
    if takes(0x8000_0000) {
        attrs.extended = true;
        for _ in 0..reader.u32()? {
            string(reader)?;
            string(reader)?;
        }
    }
    if left == 0 { Ok(attrs) } else { Err(reader.invalid()) }
}

fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn head(out: &mut BytesMut, kind: u8, body: usize) {
    out.reserve(body + HEAD);
    out.put_u32(length(body + 1));
    out.put_u8(kind);
}

pub(super) fn put_string(out: &mut BytesMut, text: &[u8]) {
    out.put_u32(length(text.len()));
    out.put_slice(text);
}

/// The longest message of ours, in bytes.
const LONGEST_MESSAGE: usize = 1024;

/// Writes a status: an answer of Doorward's own.
pub(super) fn status(out: &mut BytesMut, id: u32, code: Code, message: &str) {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text = String::with_capacity(message.len().min(LONGEST_MESSAGE));
    for c in message.chars().map(plain) {
        if text.len() + c.len_utf8() > LONGEST_MESSAGE {
            break;
        }
        text.push(c);
    }
    head(out, kind::STATUS, 16 + text.len());
    out.put_u32(id);
    out.put_u32(code.number());
    put_string(out, text.as_bytes());
    put_string(out, b"");
}

/// Writes a part of what was read.
pub(super) fn data(out: &mut BytesMut, id: u32, block: &[u8]) {
    head(out, kind::DATA, 8 + block.len());
    out.put_u32(id);
    put_string(out, block);
}

/// A read, as Doorward asks for it.
pub(super) fn read(id: u32, handle: &[u8], offset: u64, count: usize) -> Bytes {
    let mut out = BytesMut::new();
    head(&mut out, kind::READ, 20 + handle.len());
    out.put_u32(id);
    put_string(&mut out, handle);
    out.put_u64(offset);
    out.put_u32(length(count));
    out.freeze()
}

/// The client's first packet, as it goes upstream.
pub(super) fn init(version: u32) -> Bytes {
    let mut out = BytesMut::new();
    head(&mut out, kind::INIT, 4);
    out.put_u32(version);
    out.freeze()
}

/// The upstream's first packet, with the extensions that are understood.
pub(super) fn version(out: &mut BytesMut, version: u32, extensions: &[(&str, &str)]) {
    let body: usize = extensions.iter().map(|(n, v)| 8 + n.len() + v.len()).sum();
    head(out, kind::VERSION, 4 + body);
    out.put_u32(version);
    for (name, value) in extensions {
        put_string(out, name.as_bytes());
        put_string(out, value.as_bytes());
    }
}

/// The reply to `limits@openssh.com`.
pub(super) fn limits(out: &mut BytesMut, id: u32, limits: [u64; 4]) {
    head(out, kind::EXTENDED_REPLY, 36);
    out.put_u32(id);
    for limit in limits {
        out.put_u64(limit);
    }
}

/// Gives back the memory of a buffer that was once needed.
pub(super) fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > 64 * 1024 {
        *buffer = BytesMut::new();
    } else if !buffer.has_remaining() {
        buffer.clear();
    }
}
