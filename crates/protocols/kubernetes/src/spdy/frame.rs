//! Bytes ↔ frames (§2.2).
use super::headers::{Headers, Packer, Unpacker};
use bytes::{Buf as _, Bytes, BytesMut};
use doorward_wire::{Reader, WireError};

/// The longest control frame, in bytes. Data may come in frames of any length: it is handed on as it comes.
const LONGEST_CONTROL: usize = 16 * 1024;
/// The longest frame of data that is written.
const LONGEST_DATA: usize = 32 * 1024;
const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;

/// `RST_STREAM`: the stream is not wanted.
pub const REFUSED_STREAM: u32 = 3;
/// `RST_STREAM`: the stream is not needed any longer.
pub const CANCEL: u32 = 5;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's own (§2.6)")]
pub enum Frame {
    SynStream {
        id: u32,
        associated: u32,
        headers: Headers,
        fin: bool,
        unidirectional: bool,
    },
    SynReply {
        id: u32,
        headers: Headers,
        fin: bool,
    },
    RstStream {
        id: u32,
        status: u32,
    },
    Settings,
    Ping {
        id: u32,
    },
    GoAway {
        last: u32,
        status: u32,
    },
    Headers {
        id: u32,
        headers: Headers,
        fin: bool,
    },
    WindowUpdate {
        id: u32,
        delta: u32,
    },
    /// A piece of data; `fin` is with the last piece of its frame.
    Data {
        id: u32,
        bytes: Bytes,
        fin: bool,
    },
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length that does not fit what should be there.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Another protocol, or another version of it.
    #[error("a control frame of version {0}, not 3")]
    Version(u16),
    /// A kind of frame that there is not.
    #[error("a frame of the unknown kind {0}")]
    Kind(u16),
    /// Flags that the kind does not have.
    #[error("flags that a frame of its kind does not have")]
    Flags,
    /// A control frame that is too long.
    #[error("a control frame of {0} bytes")]
    TooLong(usize),
    /// A stream's number is zero, or a status is.
    #[error("a zero where there is none")]
    Zero,
    /// What is no zlib stream with the dictionary.
    #[error("headers that are not packed as they should be")]
    Compression,
    /// More headers than anybody needs.
    #[error("headers that are too large")]
    HeadersTooLarge,
    /// Names that are no names.
    #[error("headers that are none")]
    Headers,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    id: u32,
    left: usize,
    fin: bool,
}

/// Reads frames of one side. After an error it is of no use.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    data: Option<Piece>,
    headers: Unpacker,
}

impl Decoder {
    /// Where bytes of the peer go; a few at a time.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether it stands between two frames: a peer that goes elsewhere has broken off.
    pub fn is_between(&self) -> bool {
        self.buffer.is_empty() && self.data.is_none()
    }

    /// The next frame, or the next piece of one; none until there are more bytes.
    ///
    /// # Errors
    /// Where the bytes are no frame.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(piece) = self.data {
            return Ok(self.piece(piece));
        }
        let Some(head) = self.buffer.get(..8) else { return Ok(None) };
        let mut r = Reader::new(head, "frame");
        let (word, tail) = (r.u32()?, r.u32()?);
        let (flags, length) = ((tail >> 24) as u8, (tail & 0x00ff_ffff) as usize);
        if word >> 31 == 0 {
            if word == 0 {
                return Err(FrameError::Zero);
            }
            if flags & !FIN != 0 {
                return Err(FrameError::Flags);
            }
            self.buffer.advance(8);
            let piece = Piece { id: word, left: length, fin: flags & FIN != 0 };
            self.data = Some(piece);
            return Ok(self.piece(piece));
        }
        let (version, kind) = ((word >> 16) as u16 & 0x7fff, (word & 0xffff) as u16);
        if version != 3 {
            return Err(FrameError::Version(version));
        }
        if length > LONGEST_CONTROL {
            return Err(FrameError::TooLong(length));
        }
        if self.buffer.len() < 8 + length {
            return Ok(None);
        }
        self.buffer.advance(8);
        let body = self.buffer.split_to(length);
        self.control(kind, flags, &body).map(Some)
    }

    fn piece(&mut self, piece: Piece) -> Option<Frame> {
        let here = piece.left.min(self.buffer.len());
        if here == 0 && piece.left > 0 {
            return None;
        }
        let bytes = self.buffer.split_to(here).freeze();
        let left = piece.left - here;
        self.data = (left > 0).then_some(Piece { left, ..piece });
        Some(Frame::Data { id: piece.id, bytes, fin: piece.fin && left == 0 })
    }

    fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> Result<Frame, FrameError> {
        let (what, known) = match kind {
            1 => ("SYN_STREAM", FIN | UNIDIRECTIONAL),
            2 => ("SYN_REPLY", FIN),
            3 => ("RST_STREAM", 0),
            4 => ("SETTINGS", 1),
            6 => ("PING", 0),
            7 => ("GOAWAY", 0),
            8 => ("HEADERS", FIN),
            9 => ("WINDOW_UPDATE", 0),
            _ => return Err(FrameError::Kind(kind)),
        };
        if flags & !known != 0 {
            return Err(FrameError::Flags);
        }
        let (mut r, fin) = (Reader::new(body, what), flags & FIN != 0);
        let frame = match kind {
            1 => {
                let (id, associated) = (number(&mut r)?, r.u32()? & 0x7fff_ffff);
                let _priority_and_slot = r.u16()?;
                let headers = self.headers.block(r.rest())?;
                Frame::SynStream { id, associated, headers, fin, unidirectional: flags & UNIDIRECTIONAL != 0 }
            }
            2 => Frame::SynReply { id: number(&mut r)?, headers: self.headers.block(r.rest())?, fin },
            3 => Frame::RstStream { id: number(&mut r)?, status: not_zero(r.u32()?)? },
            4 => {
                let count = r.u32()? as usize;
                r.bytes(count.saturating_mul(8))?;
                Frame::Settings
            }
            6 => Frame::Ping { id: not_zero(r.u32()?)? },
            7 => Frame::GoAway { last: r.u32()? & 0x7fff_ffff, status: r.u32()? },
            8 => Frame::Headers { id: number(&mut r)?, headers: self.headers.block(r.rest())?, fin },
            // Zero stands for the connection (§2.6.8).
            _ => Frame::WindowUpdate { id: r.u32()? & 0x7fff_ffff, delta: not_zero(r.u32()? & 0x7fff_ffff)? },
        };
        r.all()?;
        Ok(frame)
    }
}

fn number(r: &mut Reader<'_>) -> Result<u32, FrameError> {
    not_zero(r.u32()? & 0x7fff_ffff)
}

const fn not_zero(n: u32) -> Result<u32, FrameError> {
    if n == 0 { Err(FrameError::Zero) } else { Ok(n) }
}

/// Writes frames of one side.
#[derive(Debug, Default)]
pub struct Encoder {
    headers: Packer,
}

impl Encoder {
    /// Puts a frame behind what is there. Data that is too long for one frame becomes several.
    pub fn put(&mut self, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::SynStream { id, associated, headers, fin, unidirectional } => {
                let flags = (u8::from(*fin) * FIN) | (u8::from(*unidirectional) * UNIDIRECTIONAL);
                let body = [&id.to_be_bytes()[..], &associated.to_be_bytes(), &[0, 0], &self.headers.block(headers)];
                control(1, flags, &body.concat(), out);
            }
            Frame::SynReply { id, headers, fin } => {
                let body = [&id.to_be_bytes()[..], &self.headers.block(headers)];
                control(2, u8::from(*fin) * FIN, &body.concat(), out);
            }
            Frame::RstStream { id, status } => control(3, 0, &two(*id, *status), out),
            Frame::Settings => control(4, 0, &0_u32.to_be_bytes(), out),
            Frame::Ping { id } => control(6, 0, &id.to_be_bytes(), out),
            Frame::GoAway { last, status } => control(7, 0, &two(*last, *status), out),
            Frame::Headers { id, headers, fin } => {
                let body = [&id.to_be_bytes()[..], &self.headers.block(headers)];
                control(8, u8::from(*fin) * FIN, &body.concat(), out);
            }
            Frame::WindowUpdate { id, delta } => control(9, 0, &two(*id, *delta), out),
            Frame::Data { id, bytes, fin } => data(*id, bytes, *fin, out),
        }
    }
}

fn data(id: u32, bytes: &[u8], fin: bool, out: &mut BytesMut) {
    let mut rest = bytes;
    loop {
        let (piece, more) = rest.split_at(rest.len().min(LONGEST_DATA));
        let is_last = more.is_empty();
        out.extend_from_slice(&(id & 0x7fff_ffff).to_be_bytes());
        out.extend_from_slice(&head(u8::from(fin && is_last) * FIN, piece.len()));
        out.extend_from_slice(piece);
        if is_last {
            return;
        }
        rest = more;
    }
}

fn control(kind: u16, flags: u8, body: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(&[0x80, 3]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&head(flags, body.len()));
    out.extend_from_slice(body);
}

/// Flags and length. Nothing that is written is longer than its 24 bits.
fn head(flags: u8, length: usize) -> [u8; 4] {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [flags, a, b, c]
}

fn two(a: u32, b: u32) -> [u8; 8] {
    let mut out = [0; 8];
    let (first, second) = out.split_at_mut(4);
    first.copy_from_slice(&a.to_be_bytes());
    second.copy_from_slice(&b.to_be_bytes());
    out
}
