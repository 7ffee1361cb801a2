//! What an upstream sends.
use super::{TypeNumbers, body, peek};
use doorward_wire::{Reader, WireError};

/// An authentication request.
#[derive(Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Logged in.
    Ok,
    /// The password in clear.
    CleartextPassword,
    /// The password hashed with this salt.
    Md5 {
        /// The salt.
        salt: [u8; 4],
    },
    /// SASL, by one of these mechanisms.
    Sasl {
        /// Their names.
        mechanisms: Vec<&'a str>,
    },
    /// A SASL challenge.
    SaslContinue(&'a [u8]),
    /// The outcome of SASL.
    SaslFinal(&'a [u8]),
    /// Kerberos, GSS, SSPI: not spoken.
    Other(i32),
}

/// One field of a RowDescription.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldDescription {
    /// Its name.
    pub name: Box<str>,
    /// The table it comes straight from; 0 if it does not.
    pub table_oid: u32,
    /// The number of the column in that table; 0 if it does not come from one.
    pub column: i16,
    /// Its type.
    pub type_oid: u32,
    /// Text (0) or binary (1).
    pub format: i16,
}

/// A RowDescription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDescription<'a> {
    fields: Reader<'a>,
    count: usize,
}

impl RowDescription<'_> {
    /// Its fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = FieldDescription> + '_ {
        let mut r = self.fields.clone();
        (0..self.count).map_while(move |_| field(&mut r).ok())
    }
}

fn field(r: &mut Reader<'_>) -> Result<FieldDescription, WireError> {
    let name = String::from_utf8_lossy(r.cstr()?).into();
    let (table_oid, column, type_oid) = (r.u32()?, r.i16()?, r.u32()?);
    r.bytes(6)?;
    Ok(FieldDescription { name, table_oid, column, type_oid, format: r.i16()? })
}

/// A DataRow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRow<'a> {
    cells: Reader<'a>,
    /// How many cells.
    pub count: usize,
}

impl<'a> DataRow<'a> {
    /// Its cells; `None` is null. Ends early where the row is malformed.
    pub fn cells(&self) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        let mut r = self.cells.clone();
        (0..self.count).map_while(move |_| cell(&mut r).ok())
    }
}

fn cell<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, WireError> {
    match r.i32()? {
        -1 => Ok(None),
        n => r.bytes(usize::try_from(n).map_err(|_| r.invalid())?).map(Some),
    }
}

/// The fields of an error or a notice: one letter and a text each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a>(Reader<'a>);

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        match self.0.u8() {
            Ok(0) | Err(_) => None,
            Ok(code) => self.0.cstr().ok().map(|text| (code, text)),
        }
    }
}

/// An upstream's message.
#[derive(Debug, PartialEq, Eq)]
pub enum UpstreamMessage<'a> {
    /// Any Authentication message.
    Authentication(Authentication<'a>),
    /// BackendKeyData.
    BackendKeyData {
        /// The process id.
        process_id: u32,
        /// The key: 4 bytes, or up to 256 in protocol 3.2.
        key: &'a [u8],
    },
    /// ParameterStatus.
    ParameterStatus {
        /// The setting.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// ReadyForQuery: `I`, `T` or `E`.
    ReadyForQuery {
        /// The transaction status.
        status: u8,
    },
    /// RowDescription.
    RowDescription(RowDescription<'a>),
    /// DataRow.
    DataRow(DataRow<'a>),
    /// CommandComplete.
    CommandComplete {
        /// The command tag.
        tag: &'a str,
    },
    /// EmptyQueryResponse.
    EmptyQueryResponse,
    /// ErrorResponse.
    ErrorResponse(Fields<'a>),
    /// NoticeResponse.
    NoticeResponse(Fields<'a>),
    /// NotificationResponse.
    NotificationResponse {
        /// The notifying process.
        process_id: u32,
        /// The channel.
        channel: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
    /// ParseComplete.
    ParseComplete,
    /// BindComplete.
    BindComplete,
    /// CloseComplete.
    CloseComplete,
    /// NoData.
    NoData,
    /// ParameterDescription: the types of the parameters.
    ParameterDescription(TypeNumbers<'a>),
    /// PortalSuspended.
    PortalSuspended,
    /// CopyInResponse, with the number of columns.
    CopyInResponse(usize),
    /// CopyOutResponse, with the number of columns.
    CopyOutResponse(usize),
    /// CopyBothResponse, with the number of columns.
    CopyBothResponse(usize),
    /// CopyData.
    CopyData(&'a [u8]),
    /// CopyDone.
    CopyDone,
    /// FunctionCallResponse; `None` is null.
    FunctionCallResponse(Option<&'a [u8]>),
    /// NegotiateProtocolVersion.
    NegotiateProtocolVersion {
        /// The newest minor version the server speaks.
        minor: u32,
    },
    /// A message type that the protocol does not have.
    Unknown(u8),
}

/// Reads a whole frame.
///
/// # Errors
/// Where it is malformed or has bytes left over.
pub fn upstream_message(frame: &[u8]) -> Result<UpstreamMessage<'_>, WireError> {
    let tag = frame.first().copied().unwrap_or_default();
    let mut r = Reader::new(body(frame), "message of the database server");
    let message = match tag {
        b'R' => UpstreamMessage::Authentication(authentication(&mut r)?),
        b'K' => key_data(&mut r)?,
        b'S' => UpstreamMessage::ParameterStatus { name: r.text()?, value: r.text()? },
        b'Z' => match r.u8()? {
            status @ (b'I' | b'T' | b'E') => UpstreamMessage::ReadyForQuery { status },
            _ => return Err(r.invalid()),
        },
        b'T' => row_description(&mut r)?,
        b'D' => {
            let count = r.count16(4)?;
            let cells = r.clone();
            for _ in 0..count {
                cell(&mut r)?;
            }
            UpstreamMessage::DataRow(DataRow { cells, count })
        }
        b'C' => UpstreamMessage::CommandComplete { tag: r.text()? },
        b'I' => UpstreamMessage::EmptyQueryResponse,
        b'E' => UpstreamMessage::ErrorResponse(fields(&mut r)?),
        b'N' => UpstreamMessage::NoticeResponse(fields(&mut r)?),
        b'A' => UpstreamMessage::NotificationResponse { process_id: r.u32()?, channel: r.cstr()?, payload: r.cstr()? },
        b'1' => UpstreamMessage::ParseComplete,
        b'2' => UpstreamMessage::BindComplete,
        b'3' => UpstreamMessage::CloseComplete,
        b'n' => UpstreamMessage::NoData,
        b't' => {
            let count = r.count16(4)?;
            UpstreamMessage::ParameterDescription(TypeNumbers(r.bytes(count * 4)?))
        }
        b's' => UpstreamMessage::PortalSuspended,
        b'G' => UpstreamMessage::CopyInResponse(copy_columns(&mut r)?),
        b'H' => UpstreamMessage::CopyOutResponse(copy_columns(&mut r)?),
        b'W' => UpstreamMessage::CopyBothResponse(copy_columns(&mut r)?),
        b'd' => UpstreamMessage::CopyData(r.rest()),
        b'c' => UpstreamMessage::CopyDone,
        b'V' => UpstreamMessage::FunctionCallResponse(cell(&mut r)?),
        b'v' => negotiate(&mut r)?,
        other => {
            r.rest();
            UpstreamMessage::Unknown(other)
        }
    };
    r.all()?;
    Ok(message)
}

fn authentication<'a>(r: &mut Reader<'a>) -> Result<Authentication<'a>, WireError> {
    Ok(match r.i32()? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => {
            let salt = r.bytes(4)?.first_chunk().copied().unwrap_or_default();
            Authentication::Md5 { salt }
        }
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                match r.text()? {
                    "" => break,
                    // Four are known; each costs more than the two bytes it may be sent in.
                    _ if mechanisms.len() >= 32 => return Err(r.invalid()),
                    mechanism => mechanisms.push(mechanism),
                }
            }
            Authentication::Sasl { mechanisms }
        }
        11 => Authentication::SaslContinue(r.rest()),
        12 => Authentication::SaslFinal(r.rest()),
        other => {
            r.rest();
            Authentication::Other(other)
        }
    })
}

fn key_data<'a>(r: &mut Reader<'a>) -> Result<UpstreamMessage<'a>, WireError> {
    let process_id = r.u32()?;
    let key = r.rest();
    if !(4..=256).contains(&key.len()) {
        return Err(r.invalid());
    }
    Ok(UpstreamMessage::BackendKeyData { process_id, key })
}

fn row_description<'a>(r: &mut Reader<'a>) -> Result<UpstreamMessage<'a>, WireError> {
    let count = r.count16(19)?;
    let fields = r.clone();
    for _ in 0..count {
        field(r)?;
    }
    Ok(UpstreamMessage::RowDescription(RowDescription { fields, count }))
}

fn fields<'a>(r: &mut Reader<'a>) -> Result<Fields<'a>, WireError> {
    let all = Fields(r.clone());
    while r.u8()? != 0 {
        r.cstr()?;
    }
    Ok(all)
}

fn copy_columns(r: &mut Reader<'_>) -> Result<usize, WireError> {
    if !matches!(r.u8()?, 0 | 1) {
        return Err(r.invalid());
    }
    let count = r.count16(2)?;
    r.bytes(count * 2)?;
    Ok(count)
}

fn negotiate<'a>(r: &mut Reader<'a>) -> Result<UpstreamMessage<'a>, WireError> {
    let minor = r.u32()?;
    for _ in 0..r.u32()? {
        r.cstr()?;
    }
    Ok(UpstreamMessage::NegotiateProtocolVersion { minor })
}

/// How many bytes of consecutive whole DataRow frames `buffer` begins with, and how many rows.
pub fn run_of_rows(buffer: &[u8]) -> (usize, u64) {
    let (mut used, mut count) = (0, 0);
    while let Some(rest) = buffer.get(used..)
        && rest.first() == Some(&b'D')
        && let Ok(Some(header)) = peek(rest, usize::MAX)
        && header.total <= rest.len()
    {
        used += header.total;
        count += 1;
    }
    (used, count)
}

/// The fields of an ErrorResponse or NoticeResponse frame.
pub fn error_fields(frame: &[u8]) -> Option<Fields<'_>> {
    match upstream_message(frame) {
        Ok(UpstreamMessage::ErrorResponse(fields) | UpstreamMessage::NoticeResponse(fields)) => Some(fields),
        _ => None,
    }
}

/// The SQLSTATE of an ErrorResponse frame.
pub fn sqlstate(frame: &[u8]) -> Option<&str> {
    let (_, code) = error_fields(frame)?.find(|(code, _)| *code == b'C')?;
    std::str::from_utf8(code).ok()
}

/// The severity of an ErrorResponse frame, not translated.
pub fn severity(frame: &[u8]) -> Option<&str> {
    let (_, text) = error_fields(frame)?.find(|(code, _)| *code == b'V')?;
    std::str::from_utf8(text).ok()
}

/// The message of an ErrorResponse frame.
pub fn error_text(frame: &[u8]) -> Option<String> {
    let (_, text) = error_fields(frame)?.find(|(code, _)| *code == b'M')?;
    Some(String::from_utf8_lossy(text).into_owned())
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
    fn counts_that_lie_are_refused() {
        for (tag, body) in [
            (b'D', &b"\xff\xff"[..]),
            (b'D', b"\0\x01\0\0\0\x05abcd"),
            (b'D', b"\0\x01\xff\xff\xff\xfe"),
            (b'D', b"\0\x01\0\0\0\x01ab"),
            (b'T', b"\xff\xff"),
            (b'T', b"\0\x01name\0"),
            (b't', b"\0\x02\0\0\0\x17"),
            (b'E', b"Sx\0"),
            (b'K', b"\0\0\0\x01abc"),
            (b'Z', b"X"),
            (b'v', b"\0\0\0\0\xff\xff\xff\xff"),
        ] {
            assert!(upstream_message(&frame(tag, body)).is_err(), "{} {body:?}", tag as char);
        }
    }

    #[test]
    fn a_run_of_rows_ends_at_the_first_that_is_cut_off() {
        let row = frame(b'D', b"\0\x01\0\0\0\x01a");
        let mut run = [row.clone(), row.clone(), frame(b'C', b"SELECT 2\0")].concat();
        assert_eq!(run_of_rows(&run), (row.len() * 2, 2));
        run.truncate(row.len() + 3);
        assert_eq!(run_of_rows(&run), (row.len(), 1));
    }

    #[test]
    fn an_error_gives_its_fields() {
        let error = frame(b'E', b"SERROR\0VERROR\0C42601\0Msyntax error\0\0");
        assert_eq!(sqlstate(&error), Some("42601"));
        assert_eq!(error_text(&error).as_deref(), Some("syntax error"));
    }
}
