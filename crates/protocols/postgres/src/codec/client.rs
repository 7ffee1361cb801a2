//! What a client sends.
use super::{TypeNumbers, body};
use doorward_wire::{Reader, WireError};

/// A packet before the session (no message type).
#[derive(Debug, PartialEq, Eq)]
pub enum Startup<'a> {
    /// SSLRequest.
    Ssl,
    /// GSSENCRequest.
    GssEnc,
    /// CancelRequest.
    Cancel {
        /// The process id of BackendKeyData.
        process_id: u32,
        /// The key of BackendKeyData: 4 bytes in protocol 3.0, up to 256 in 3.2.
        key: &'a [u8],
    },
    /// StartupMessage.
    Start {
        /// Major and minor version.
        version: (u16, u16),
        /// Names and values, in order.
        parameters: Vec<(&'a str, &'a str)>,
    },
}

/// Reads a whole start-up packet, with its length word.
///
/// # Errors
/// Where it is malformed or has bytes left over.
pub fn startup(packet: &[u8]) -> Result<Startup<'_>, WireError> {
    let mut r = Reader::new(packet, "startup packet");
    let length = r.u32()? as usize;
    if length != packet.len() {
        return Err(r.invalid());
    }
    let (major, minor) = (r.u16()?, r.u16()?);
    let read = match (major, minor) {
        (1234, 5679) => Startup::Ssl,
        (1234, 5680) => Startup::GssEnc,
        (1234, 5678) => {
            let process_id = r.u32()?;
            let key = r.rest();
            if !(4..=256).contains(&key.len()) {
                return Err(r.invalid());
            }
            Startup::Cancel { process_id, key }
        }
        (1234, _) => return Err(r.invalid()),
        version => {
            let mut parameters: Vec<(&str, &str)> = Vec::new();
            loop {
                let name = r.text()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, r.text()?));
            }
            Startup::Start { version, parameters }
        }
    };
    r.all()?;
    Ok(read)
}

/// What Describe and Close name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A prepared statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

/// A Bind message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal it makes.
    pub portal: &'a str,
    /// The statement it binds.
    pub statement: &'a str,
    /// Two bytes a format code.
    parameter_formats: &'a [u8],
    /// As they are on the wire, after their count.
    parameters: &'a [u8],
    /// How many parameters.
    pub count: usize,
    result_formats: &'a [u8],
}

impl<'a> Bind<'a> {
    /// The format codes of the result: none (all text), one for all, or one a column.
    pub fn result_formats(&self) -> impl Iterator<Item = i16> + 'a {
        codes(self.result_formats)
    }

    /// The values with their format codes; `None` is null.
    pub fn parameters(&self) -> impl Iterator<Item = (i16, Option<&'a [u8]>)> + 'a {
        let formats: Vec<i16> = codes(self.parameter_formats).collect();
        let mut r = Reader::new(self.parameters, "Bind");
        (0..self.count).map_while(move |i| {
            let value = value(&mut r).ok()?;
            let format = if formats.len() == 1 { formats.first() } else { formats.get(i) };
            Some((format.copied().unwrap_or(0), value))
        })
    }
}

fn codes(bytes: &[u8]) -> impl Iterator<Item = i16> + '_ {
    let (chunks, _) = bytes.as_chunks::<2>();
    chunks.iter().map(|c| i16::from_be_bytes(*c))
}

fn value<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, WireError> {
    match r.i32()? {
        -1 => Ok(None),
        n => r.bytes(usize::try_from(n).map_err(|_| r.invalid())?).map(Some),
    }
}

fn format_codes<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let count = r.count16(2)?;
    let bytes = r.bytes(count * 2)?;
    if codes(bytes).any(|c| !matches!(c, 0 | 1)) {
        return Err(r.invalid());
    }
    Ok(bytes)
}

/// A client's message after start-up.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// Query, its text without the terminator.
    Query {
        /// The text, in the session's encoding.
        query: &'a [u8],
    },
    /// Parse.
    Parse {
        /// The statement's name; empty: the unnamed one.
        name: &'a str,
        /// The text.
        query: &'a [u8],
        /// The parameter types that are given.
        types: TypeNumbers<'a>,
    },
    /// Bind.
    Bind(Bind<'a>),
    /// Describe.
    Describe(Target<'a>),
    /// Execute.
    Execute {
        /// The portal.
        portal: &'a str,
        /// How many rows at most; 0: all.
        max_rows: u32,
    },
    /// Close.
    Close(Target<'a>),
    /// Sync.
    Sync,
    /// Flush.
    Flush,
    /// CopyData.
    CopyData(&'a [u8]),
    /// CopyDone.
    CopyDone,
    /// CopyFail.
    CopyFail {
        /// Why.
        reason: &'a [u8],
    },
    /// FunctionCall.
    FunctionCall {
        /// The function's number.
        oid: u32,
        /// How many arguments.
        arguments: usize,
    },
    /// Terminate.
    Terminate,
    /// A password-class message.
    Password(&'a [u8]),
    /// A message type that the protocol does not have.
    Unknown(u8),
}

impl ClientMessage<'_> {
    /// Whether it belongs to COPY data.
    pub const fn is_copy(&self) -> bool {
        matches!(self, Self::CopyData(_) | Self::CopyDone | Self::CopyFail { .. })
    }
}

/// Reads a whole frame.
///
/// # Errors
/// Where it is malformed or has bytes left over.
pub fn client_message(frame: &[u8]) -> Result<ClientMessage<'_>, WireError> {
    let tag = frame.first().copied().unwrap_or_default();
    let mut r = Reader::new(body(frame), name_of(tag));
    let message = match tag {
        b'Q' => ClientMessage::Query { query: r.cstr()? },
        b'P' => parse(&mut r)?,
        b'B' => ClientMessage::Bind(bind(&mut r)?),
        b'D' => ClientMessage::Describe(target(&mut r)?),
        b'E' => ClientMessage::Execute { portal: r.text()?, max_rows: r.u32()? },
        b'C' => ClientMessage::Close(target(&mut r)?),
        b'S' => ClientMessage::Sync,
        b'H' => ClientMessage::Flush,
        b'd' => ClientMessage::CopyData(r.rest()),
        b'c' => ClientMessage::CopyDone,
        b'f' => ClientMessage::CopyFail { reason: r.cstr()? },
        b'F' => function_call(&mut r)?,
        b'X' => ClientMessage::Terminate,
        b'p' => ClientMessage::Password(r.rest()),
        other => {
            r.rest();
            ClientMessage::Unknown(other)
        }
    };
    r.all()?;
    Ok(message)
}

const fn name_of(tag: u8) -> &'static str {
    match tag {
        b'Q' => "Query",
        b'P' => "Parse",
        b'B' => "Bind",
        b'D' => "Describe",
        b'E' => "Execute",
        b'C' => "Close",
        b'S' => "Sync",
        b'H' => "Flush",
        b'd' => "CopyData",
        b'c' => "CopyDone",
        b'f' => "CopyFail",
        b'F' => "FunctionCall",
        b'X' => "Terminate",
        _ => "message",
    }
}

fn parse<'a>(r: &mut Reader<'a>) -> Result<ClientMessage<'a>, WireError> {
    let (name, query) = (r.text()?, r.cstr()?);
    let count = r.count16(4)?;
    let types = TypeNumbers(r.bytes(count * 4)?);
    Ok(ClientMessage::Parse { name, query, types })
}

fn bind<'a>(r: &mut Reader<'a>) -> Result<Bind<'a>, WireError> {
    let (portal, statement) = (r.text()?, r.text()?);
    let parameter_formats = format_codes(r)?;
    let count = r.count16(4)?;
    let formats = parameter_formats.len() / 2;
    if formats > 1 && formats != count {
        return Err(r.invalid());
    }
    let start = r.clone();
    for _ in 0..count {
        value(r)?;
    }
    let parameters = start.clone().bytes(start.left() - r.left())?;
    let result_formats = format_codes(r)?;
    Ok(Bind { portal, statement, parameter_formats, parameters, count, result_formats })
}

fn target<'a>(r: &mut Reader<'a>) -> Result<Target<'a>, WireError> {
    match r.u8()? {
        b'S' => Ok(Target::Statement(r.text()?)),
        b'P' => Ok(Target::Portal(r.text()?)),
        _ => Err(r.invalid()),
    }
}

fn function_call<'a>(r: &mut Reader<'a>) -> Result<ClientMessage<'a>, WireError> {
    let oid = r.u32()?;
    let formats = format_codes(r)?.len() / 2;
    let arguments = r.count16(4)?;
    if formats > 1 && formats != arguments {
        return Err(r.invalid());
    }
    for _ in 0..arguments {
        value(r)?;
    }
    if !matches!(r.i16()?, 0 | 1) {
        return Err(r.invalid());
    }
    Ok(ClientMessage::FunctionCall { oid, arguments })
}

/// The body of a PasswordMessage: text up to its terminator.
///
/// # Errors
/// Where it has none, or bytes after it.
pub fn password(body: &[u8]) -> Result<&[u8], WireError> {
    let mut r = Reader::new(body, "PasswordMessage");
    let text = r.cstr()?;
    r.all()?;
    Ok(text)
}

/// A SASLInitialResponse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism chosen.
    pub mechanism: &'a str,
    /// The initial response, if there is one.
    pub data: Option<&'a [u8]>,
}

/// The body of a SASLInitialResponse.
///
/// # Errors
/// Where it is malformed or has bytes left over.
pub fn sasl_initial_response(body: &[u8]) -> Result<SaslInitialResponse<'_>, WireError> {
    let mut r = Reader::new(body, "SASLInitialResponse");
    let read = SaslInitialResponse { mechanism: r.text()?, data: value(&mut r)? };
    r.all()?;
    Ok(read)
}

/// The arguments of a FunctionCall frame with their format codes; `None` is null. Nothing where it is malformed.
pub fn function_arguments(frame: &[u8]) -> Vec<(i16, Option<&[u8]>)> {
    if !matches!(client_message(frame), Ok(ClientMessage::FunctionCall { .. })) {
        return Vec::new();
    }
    let mut r = Reader::new(body(frame), "FunctionCall");
    let mut read = || {
        r.u32()?;
        let formats: Vec<i16> = codes(format_codes(&mut r)?).collect();
        let count = r.count16(4)?;
        let of = |i: usize| if formats.len() == 1 { formats.first() } else { formats.get(i) }.copied().unwrap_or(0);
        (0..count).map(|i| Ok((of(i), value(&mut r)?))).collect::<Result<Vec<_>, WireError>>()
    };
    read().unwrap_or_default()
}

/// The portal that a Bind frame makes.
pub fn portal_of_bind(bind_frame: &[u8]) -> Option<&str> {
    match client_message(bind_frame) {
        Ok(ClientMessage::Bind(bind)) => Some(bind.portal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend((body.len() as u32 + 4).to_be_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn a_bind_is_read_whole() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x2a\xff\xff\xff\xff\0\x01\0\x01";
        let bind = frame(b'B', body);
        let Ok(ClientMessage::Bind(b)) = client_message(&bind) else { panic!("not a Bind") };
        assert_eq!((b.portal, b.statement, b.count), ("p", "s", 2));
        assert_eq!(b.result_formats().collect::<Vec<_>>(), [1]);
        assert_eq!(b.parameters().collect::<Vec<_>>(), [(1, Some(&b"\0\0\0\x2a"[..])), (1, None)]);
        for cut in 0..body.len() {
            assert!(client_message(&frame(b'B', &body[..cut])).is_err(), "cut at {cut}");
        }
        let mut longer = body.to_vec();
        longer.push(0);
        assert!(client_message(&frame(b'B', &longer)).is_err());
    }

    #[test]
    fn arguments_of_functions_have_their_formats() {
        let call = frame(b'F', b"\0\0\0\x07\0\x01\0\x01\0\x02\0\0\0\x01\x09\xff\xff\xff\xff\0\0");
        assert_eq!(function_arguments(&call), [(1, Some(&b"\x09"[..])), (1, None)]);
        assert_eq!(function_arguments(&call[..12]), []);
    }

    #[test]
    fn nothing_may_follow_a_message() {
        for (tag, body) in [
            (b'Q', &b"SELECT 1\0DROP\0"[..]),
            (b'S', b"x"),
            (b'E', b"\0\0\0\0\0x"),
            (b'D', b"Xname\0"),
            (b'P', b"\0SELECT 1\0\xff\xff"),
        ] {
            assert!(client_message(&frame(tag, body)).is_err(), "{}", tag as char);
        }
    }

    #[test]
    fn startup_packets_are_strict() {
        let packet = |body: &[u8]| {
            let mut out = (body.len() as u32 + 4).to_be_bytes().to_vec();
            out.extend(body);
            out
        };
        let start = packet(b"\0\x03\0\x02user\0ci\0database\0orders\0\0");
        assert_eq!(
            startup(&start),
            Ok(Startup::Start { version: (3, 2), parameters: vec![("user", "ci"), ("database", "orders")] })
        );
        assert_eq!(startup(&packet(b"\x04\xd2\x16\x2f")), Ok(Startup::Ssl));
        assert!(startup(&packet(b"\0\x03\0\0user\0ci\0\0trailing")).is_err());
        assert!(startup(&packet(b"\0\x03\0\0user\0")).is_err());
        assert!(startup(&packet(b"\x04\xd2\x16\x2e\0\0\0\x01abc")).is_err(), "a key of three bytes");
        let mut lying = start.clone();
        lying[3] += 1;
        assert!(startup(&lying).is_err());
    }
}
