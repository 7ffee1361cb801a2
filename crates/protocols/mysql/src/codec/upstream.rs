//! The upstream's packets (manual, "Generic Response Packets", "COM_QUERY Response", "COM_STMT_PREPARE Response").
use super::{WireError, count, length, string};
use crate::capabilities::Capabilities;
use doorward_wire::Reader;

/// Status flags of OK and EOF packets.
#[allow(missing_docs, reason = "the manual's own names")]
pub mod status {
    pub const IN_TRANSACTION: u16 = 0x0001;
    pub const AUTOCOMMIT: u16 = 0x0002;
    pub const MORE_RESULTS: u16 = 0x0008;
    pub const CURSOR_EXISTS: u16 = 0x0040;
    pub const LAST_ROW_SENT: u16 = 0x0080;
    pub const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
    pub const OUT_PARAMETERS: u16 = 0x1000;
    pub const STATE_CHANGED: u16 = 0x4000;
    /// MariaDB only.
    pub const ANSI_QUOTES: u16 = 0x8000;
}

/// An OK packet, or an EOF packet in the shape of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OkPacket<'a> {
    /// `0x00`, or `0xfe` at the end of rows.
    pub header: u8,
    /// Rows that were changed.
    pub affected: u64,
    /// The last `AUTO_INCREMENT` value.
    pub last_insert: u64,
    /// Status flags.
    pub status: u16,
    /// How many warnings.
    pub warnings: u16,
    /// Words for people.
    pub info: &'a [u8],
    /// Changes of the session's state, raw.
    pub state: &'a [u8],
}

/// An ERR packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error<'a> {
    /// Its number.
    pub code: u16,
    /// Its SQLSTATE.
    pub sqlstate: &'a [u8],
    /// Its words.
    pub message: &'a [u8],
}

/// A progress report of MariaDB, in the shape of an ERR packet with the number 65535.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Stage, stages and percentage, raw.
    pub figures: &'a [u8],
    /// What is being done.
    pub info: &'a [u8],
}

/// A change of the session's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A system variable.
    Variable {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// The schema for names without one.
    Schema(&'a [u8]),
    /// Anything else: its number.
    Other(u8),
}

/// What a packet in the place of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// OK.
    Ok(OkPacket<'a>),
    /// An error.
    Error(Error<'a>),
    /// Progress of a statement that goes on.
    Progress(Progress<'a>),
    /// The upstream asks the client for a file.
    LocalFile(&'a [u8]),
    /// A result with so many columns follows.
    Columns(usize),
}

/// A definition of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// The schema of its table.
    pub schema: &'a [u8],
    /// The table as the statement names it.
    pub table: &'a [u8],
    /// The table itself; empty for what is computed.
    pub org_table: &'a [u8],
    /// The column as the statement names it.
    pub name: &'a [u8],
    /// The column itself; empty for what is computed.
    pub org_name: &'a [u8],
    /// MariaDB's own word for the type: `json`, `uuid`, `inet6`, …
    pub type_name: &'a [u8],
    /// The collation: 63 is binary.
    pub collation: u16,
    /// How many characters it may show.
    pub length: u32,
    /// The type.
    pub kind: u8,
    /// Flags: 32 unsigned, 128 binary.
    pub flags: u16,
}

/// The first packet of an answer to `COM_STMT_PREPARE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareOk {
    /// The statement's number.
    pub statement: u32,
    /// How many columns its result has.
    pub columns: u16,
    /// How many parameters it has.
    pub parameters: u16,
}

impl Column<'_> {
    /// Whether its numbers have no sign.
    pub const fn is_unsigned(&self) -> bool {
        self.flags & 32 != 0
    }
}

/// Reads an OK packet, whatever its header.
///
/// # Errors
/// Where it is malformed.
pub fn ok(payload: &[u8], capabilities: Capabilities) -> Result<OkPacket<'_>, WireError> {
    let mut r = Reader::new(payload, "OK packet");
    let mut out = OkPacket {
        header: r.u8()?,
        affected: length(&mut r)?,
        last_insert: length(&mut r)?,
        status: r.u16_le()?,
        warnings: r.u16_le()?,
        ..OkPacket::default()
    };
    // Servers leave an empty text out.
    if r.left() > 0 {
        out.info = string(&mut r)?;
    }
    if capabilities.has(Capabilities::SESSION_TRACK) && out.status & status::STATE_CHANGED != 0 && r.left() > 0 {
        out.state = string(&mut r)?;
    }
    r.all()?;
    Ok(out)
}

/// Reads an ERR packet; `None` where it is a report of progress.
///
/// # Errors
/// Where it is malformed.
pub fn error(payload: &[u8], capabilities: Capabilities) -> Result<Result<Error<'_>, Progress<'_>>, WireError> {
    let mut r = Reader::new(payload, "ERR packet");
    r.u8()?;
    let code = r.u16_le()?;
    if code == 0xffff && capabilities.has(Capabilities::PROGRESS) {
        // The number of strings, always 1; stage, stages; thousandths of a percent.
        let figures = r.bytes(6)?;
        let info = string(&mut r)?;
        r.all()?;
        return Ok(Err(Progress { figures, info }));
    }
    // An error before the capabilities are agreed has no SQLSTATE.
    let mut ahead = r.clone();
    let sqlstate = if ahead.u8() == Ok(b'#') {
        let state = ahead.bytes(5)?;
        r = ahead;
        state
    } else {
        &b"HY000"[..]
    };
    Ok(Ok(Error { code, sqlstate, message: r.rest() }))
}

/// Reads the first packet of an answer to a statement.
///
/// # Errors
/// Where it is none.
pub fn first(payload: &[u8], capabilities: Capabilities) -> Result<First<'_>, WireError> {
    let mut r = Reader::new(payload, "answer");
    let mut ahead = r.clone();
    match ahead.u8()? {
        0x00 => ok(payload, capabilities).map(First::Ok),
        0xff => Ok(match error(payload, capabilities)? {
            Ok(error) => First::Error(error),
            Err(progress) => First::Progress(progress),
        }),
        0xfb => Ok(First::LocalFile(ahead.rest())),
        _ => {
            let columns = count(&mut r)?;
            r.all()?;
            // The server's own limit is 4096.
            if columns == 0 || columns > 65_535 { Err(r.invalid()) } else { Ok(First::Columns(columns)) }
        }
    }
}

/// Whether a packet in the place of a row ends the rows: an EOF packet, or with `DEPRECATE_EOF` an OK packet with the
/// header of one. A row beginning with `0xfe` has a cell of more than 16 MiB, and so has a full packet.
pub fn is_end_of_rows(payload: &[u8], capabilities: Capabilities) -> bool {
    let most = if capabilities.has(Capabilities::DEPRECATE_EOF) { super::FULL } else { 9 };
    payload.first() == Some(&0xfe) && payload.len() < most
}

/// Reads the packet that ends rows or columns: as an OK packet, whichever of the two shapes it has.
///
/// # Errors
/// Where it is malformed.
pub fn end_of_rows(payload: &[u8], capabilities: Capabilities) -> Result<OkPacket<'_>, WireError> {
    if capabilities.has(Capabilities::DEPRECATE_EOF) {
        return ok(payload, capabilities);
    }
    let mut r = Reader::new(payload, "EOF packet");
    let header = r.u8()?;
    let (warnings, status) = (r.u16_le()?, r.u16_le()?);
    r.all()?;
    Ok(OkPacket { header, status, warnings, ..OkPacket::default() })
}

/// Reads the definition of a column. `COM_FIELD_LIST` puts a default value behind it (`with_default`).
///
/// # Errors
/// Where it is malformed.
pub fn column(payload: &[u8], capabilities: Capabilities, with_default: bool) -> Result<Column<'_>, WireError> {
    let mut r = Reader::new(payload, "column definition");
    let _catalog = string(&mut r)?;
    let schema = string(&mut r)?;
    let (table, org_table) = (string(&mut r)?, string(&mut r)?);
    let (name, org_name) = (string(&mut r)?, string(&mut r)?);
    let extended = capabilities.has(Capabilities::EXTENDED_METADATA);
    let type_name = if extended { type_name(string(&mut r)?)? } else { b"" };
    let fixed = count(&mut r)?;
    let mut f = r.sub(fixed)?;
    let (collation, length, kind, flags) = (f.u16_le()?, f.u32_le()?, f.u8()?, f.u16_le()?);
    if with_default && r.left() > 0 {
        // The default value: a string or null.
        let _default = super::rows::text_cell(&mut r)?;
    }
    r.all()?;
    Ok(Column { schema, table, org_table, name, org_name, type_name, collation, length, kind, flags })
}

/// MariaDB's "extended type info": pairs of a number (0: type, 1: format) and a string.
fn type_name(pairs: &[u8]) -> Result<&[u8], WireError> {
    let mut r = Reader::new(pairs, "extended type info");
    let mut out: &[u8] = b"";
    while r.left() > 0 {
        r.u8()?;
        out = string(&mut r)?;
    }
    Ok(out)
}

/// Reads the first packet of an answer to `COM_STMT_PREPARE`.
///
/// # Errors
/// Where it is malformed.
pub fn prepare_ok(payload: &[u8]) -> Result<PrepareOk, WireError> {
    let mut r = Reader::new(payload, "COM_STMT_PREPARE_OK");
    if r.u8()? != 0 {
        return Err(r.invalid());
    }
    let out = PrepareOk { statement: r.u32_le()?, columns: r.u16_le()?, parameters: r.u16_le()? };
    r.u8()?;
    // The number of warnings; and whether columns follow, where that was agreed (it never is).
    if r.left() > 0 {
        r.u16_le()?;
    }
    r.all()?;
    Ok(out)
}

/// The changes of the session's state in an OK packet.
///
/// # Errors
/// Where they are malformed.
pub fn changes(state: &[u8]) -> Result<Vec<Change<'_>>, WireError> {
    let mut r = Reader::new(state, "session state");
    let mut out = Vec::new();
    while r.left() > 0 {
        let kind = r.u8()?;
        let mut data = Reader::new(string(&mut r)?, "session state");
        match kind {
            0 => {
                while data.left() > 0 {
                    out.push(Change::Variable { name: string(&mut data)?, value: string(&mut data)? });
                }
            }
            1 => out.push(Change::Schema(string(&mut data)?)),
            other => out.push(Change::Other(other)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACKED: Capabilities = Capabilities::SESSION_TRACK;

    #[test]
    fn an_ok_packet_says_what_changed() {
        let bytes = b"\0\x01\x02\x02\x40\0\0\0\x0a\x01\x04\x03abc\0\x02\x00\x00";
        let read = ok(bytes, TRACKED);
        // A variable without a name or value is one all the same.
        assert_eq!(read.as_ref().map(|o| (o.affected, o.last_insert, o.status)), Ok((1, 2, 0x4002)));
        let changed = changes(read.unwrap().state);
        assert_eq!(changed, Ok(vec![Change::Schema(b"abc"), Change::Variable { name: b"", value: b"" }]));
    }

    #[test]
    fn rows_are_told_from_their_end() {
        assert!(is_end_of_rows(b"\xfe\0\0\x02\0", Capabilities(0)));
        assert!(!is_end_of_rows(b"\xfe\0\0\x02\0aaaa", Capabilities(0)));
        assert!(is_end_of_rows(b"\xfe\0\0\x02\0\0\0aaa", Capabilities::DEPRECATE_EOF));
        assert!(!is_end_of_rows(b"\x01a", Capabilities::DEPRECATE_EOF));
    }

    #[test]
    fn progress_is_no_error() {
        let bytes = b"\xff\xff\xff\x01\x01\x02\x10\0\0\x03abc";
        assert!(matches!(first(bytes, Capabilities::PROGRESS), Ok(First::Progress(_))));
        assert!(matches!(first(bytes, Capabilities(0)), Ok(First::Error(_))));
    }

    proptest! {
        #[test]
        fn random_bytes_are_read_or_refused(bytes: Vec<u8>, bits: u64, flag: bool) {
            let c = Capabilities(bits);
            drop((first(&bytes, c), ok(&bytes, c), error(&bytes, c), column(&bytes, c, flag)));
            drop((prepare_ok(&bytes), changes(&bytes), end_of_rows(&bytes, c), is_end_of_rows(&bytes, c)));
        }
    }
}
