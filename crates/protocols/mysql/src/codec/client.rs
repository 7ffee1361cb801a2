//! The client's commands (manual, "Command Phase"; MariaDB, "2 - Text Protocol", "3 - Binary Protocol").
use super::{
    WireError, count, length,
    rows::{Nulls, Value, types, value},
    string,
};
use crate::capabilities::Capabilities;
use doorward_wire::Reader;

/// A command of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'a> {
    /// `COM_QUIT`.
    Quit,
    /// `COM_INIT_DB`: the schema for names without one.
    InitDb(&'a [u8]),
    /// `COM_QUERY`.
    Query {
        /// Query attributes: names and values beside the text.
        attributes: Vec<Parameter<'a>>,
        /// The text.
        text: &'a [u8],
    },
    /// `COM_FIELD_LIST`.
    FieldList {
        /// The table.
        table: &'a [u8],
        /// Which of its columns, as for `LIKE`.
        wildcard: &'a [u8],
    },
    /// `COM_CREATE_DB`.
    CreateDb(&'a [u8]),
    /// `COM_DROP_DB`.
    DropDb(&'a [u8]),
    /// `COM_REFRESH`: flushes what the bits say.
    Refresh(u8),
    /// `COM_SHUTDOWN`.
    Shutdown,
    /// `COM_STATISTICS`.
    Statistics,
    /// `COM_PROCESS_INFO`.
    ProcessInfo,
    /// `COM_PROCESS_KILL`.
    ProcessKill(u32),
    /// `COM_DEBUG`.
    Debug,
    /// `COM_PING`.
    Ping,
    /// `COM_CHANGE_USER`.
    ChangeUser(ChangeUser<'a>),
    /// `COM_STMT_PREPARE`.
    Prepare(&'a [u8]),
    /// `COM_STMT_EXECUTE`.
    Execute(Execute<'a>),
    /// `COM_STMT_BULK_EXECUTE` of MariaDB: one statement with many sets of parameters.
    BulkExecute(BulkExecute<'a>),
    /// `COM_STMT_SEND_LONG_DATA`: no answer.
    LongData {
        /// The statement.
        statement: u32,
        /// The parameter, from 0.
        parameter: u16,
        /// More of its value.
        data: &'a [u8],
    },
    /// `COM_STMT_CLOSE`: no answer.
    CloseStatement(u32),
    /// `COM_STMT_RESET`.
    ResetStatement(u32),
    /// `COM_STMT_FETCH`.
    Fetch {
        /// The statement whose cursor is read.
        statement: u32,
        /// How many rows.
        rows: u32,
    },
    /// `COM_SET_OPTION`: 0 lets several statements come in one text, 1 does not.
    SetOption(u16),
    /// `COM_RESET_CONNECTION`.
    ResetConnection,
    /// A command of replication, backup or clones: by its number.
    Replication(u8),
    /// A command that only servers use within themselves, or that no server takes any more.
    Internal(u8),
    /// No command that is known.
    Unknown(u8),
}

/// `COM_CHANGE_USER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeUser<'a> {
    /// Who wants to be let in.
    pub user: &'a [u8],
    /// The answer to the scramble of the greeting, or the token itself.
    pub response: &'a [u8],
    /// The schema, or nothing.
    pub database: &'a [u8],
    /// The collation of the connection.
    pub collation: u16,
    /// The method that `response` is for.
    pub plugin: &'a [u8],
}

/// `COM_STMT_EXECUTE` up to its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The statement; MariaDB reads all ones as the last one prepared.
    pub statement: u32,
    /// Cursor flags, and whether a count of parameters follows.
    pub flags: u8,
    /// Always 1.
    pub iterations: u32,
    /// The rest, for [`parameters`].
    pub rest: &'a [u8],
}

/// `COM_STMT_BULK_EXECUTE` up to its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkExecute<'a> {
    /// The statement; all ones are the last one prepared.
    pub statement: u32,
    /// 64: results of each row; 128: types follow.
    pub flags: u16,
    /// The rest, for [`bulk_parameters`].
    pub rest: &'a [u8],
}

/// A parameter or query attribute with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter<'a> {
    /// Its name; empty for the parameters of a statement.
    pub name: &'a [u8],
    /// Its type with the unsigned bit (0x8000).
    pub kind: u16,
    /// Its value; `None` where it came as long data.
    pub value: Option<Value<'a>>,
}

/// What has to be known of a statement to read its parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound<'a> {
    /// How many it has.
    pub count: usize,
    /// The types that were sent with an earlier execution.
    pub types: &'a [u16],
    /// Which of them came as long data.
    pub long: &'a [u16],
}

/// `CURSOR_TYPE_READ_ONLY`, `…_FOR_UPDATE`, `…_SCROLLABLE`.
pub const CURSOR_FLAGS: u8 = 7;
/// `PARAMETER_COUNT_AVAILABLE`.
const COUNT_AVAILABLE: u8 = 8;
/// The bit of a parameter's type that makes it unsigned.
const UNSIGNED: u16 = 0x8000;
/// `STMT_BULK_FLAG_SEND_TYPES_TO_SERVER`.
const BULK_TYPES: u16 = 128;

/// Reads a command.
///
/// # Errors
/// Where its body is not what its manual page says.
pub fn command<'a>(payload: &'a [u8], capabilities: Capabilities) -> Result<Command<'a>, WireError> {
    let mut r = Reader::new(payload, "command");
    let number = r.u8()?;
    let command = match number {
        0x01 => Command::Quit,
        0x02 => Command::InitDb(r.rest()),
        0x03 => query(&mut r, capabilities)?,
        0x04 => Command::FieldList { table: r.cstr()?, wildcard: r.rest() },
        0x05 => Command::CreateDb(r.rest()),
        0x06 => Command::DropDb(r.rest()),
        0x07 => Command::Refresh(r.u8()?),
        // An old client says what kind of shutdown it wants.
        0x08 => {
            r.rest();
            Command::Shutdown
        }
        0x09 => Command::Statistics,
        0x0a => Command::ProcessInfo,
        0x0c => Command::ProcessKill(r.u32_le()?),
        0x0d => Command::Debug,
        0x0e => Command::Ping,
        0x11 => Command::ChangeUser(change_user(&mut r, capabilities)?),
        0x16 => Command::Prepare(r.rest()),
        0x17 => {
            let (statement, flags, iterations) = (r.u32_le()?, r.u8()?, r.u32_le()?);
            Command::Execute(Execute { statement, flags, iterations, rest: r.rest() })
        }
        0x18 => Command::LongData { statement: r.u32_le()?, parameter: r.u16_le()?, data: r.rest() },
        0x19 => Command::CloseStatement(r.u32_le()?),
        0x1a => Command::ResetStatement(r.u32_le()?),
        0x1b => Command::SetOption(r.u16_le()?),
        0x1c => Command::Fetch { statement: r.u32_le()?, rows: r.u32_le()? },
        0x1f => Command::ResetConnection,
        0xfa if capabilities.has(Capabilities::BULK_OPERATIONS) => {
            let (statement, flags) = (r.u32_le()?, r.u16_le()?);
            Command::BulkExecute(BulkExecute { statement, flags, rest: r.rest() })
        }
        0x12 | 0x13 | 0x15 | 0x1e | 0x20 | 0x21 => {
            r.rest();
            Command::Replication(number)
        }
        0x00 | 0x0b | 0x0f | 0x10 | 0x14 | 0x1d | 0xfb..=0xfe => {
            r.rest();
            Command::Internal(number)
        }
        _ => {
            r.rest();
            Command::Unknown(number)
        }
    };
    r.all()?;
    Ok(command)
}

fn query<'a>(r: &mut Reader<'a>, capabilities: Capabilities) -> Result<Command<'a>, WireError> {
    let mut attributes = Vec::new();
    if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
        let (n, sets) = (count(r)?, length(r)?);
        if sets != 1 {
            return Err(r.invalid());
        }
        if n > 0 {
            attributes = values(r, n, &Bound::default(), true)?;
        }
    }
    Ok(Command::Query { attributes, text: r.rest() })
}

fn change_user<'a>(r: &mut Reader<'a>, capabilities: Capabilities) -> Result<ChangeUser<'a>, WireError> {
    let user = r.cstr()?;
    let response = if capabilities.has(Capabilities::SECURE_CONNECTION) {
        let n = usize::from(r.u8()?);
        r.bytes(n)?
    } else {
        r.cstr()?
    };
    let mut out = ChangeUser { user, response, database: r.cstr()?, collation: 0, plugin: b"" };
    // What follows came later in the protocol's life: old clients end here.
    if r.left() > 0 {
        out.collation = r.u16_le()?;
    }
    if capabilities.has(Capabilities::PLUGIN_AUTH) && r.left() > 0 {
        out.plugin = r.cstr()?;
    }
    if capabilities.has(Capabilities::CONNECT_ATTRS) && r.left() > 0 {
        let n = count(r)?;
        r.bytes(n)?;
    }
    Ok(out)
}

/// Reads the value of a parameter.
///
/// INVARIANT: only types of which all servers take as many bytes as are read here. Those that values in *rows* have besides
/// (`YEAR`, `INT24`, `BIT`, …) are read otherwise by one server or another: as strings, as nothing, or not at all.
fn parameter<'a>(r: &mut Reader<'a>, kind: u16) -> Result<Value<'a>, WireError> {
    let [number, _] = kind.to_le_bytes();
    let is_plain = matches!(
        number,
        types::TINY
            | types::SHORT
            | types::LONG
            | types::LONGLONG
            | types::FLOAT
            | types::DOUBLE
            | types::DATE
            | types::TIME
            | types::DATETIME
            | types::TIMESTAMP
            | types::DECIMAL
            | types::NEWDECIMAL
            | types::VARCHAR
            | types::VAR_STRING
            | types::STRING
            | types::ENUM
            | types::SET
            | types::TINY_BLOB
            | types::MEDIUM_BLOB
            | types::LONG_BLOB
            | types::BLOB
    );
    if is_plain { value(r, number, kind & UNSIGNED != 0) } else { Err(r.invalid()) }
}

/// Reads the parameters of an execution.
///
/// # Errors
/// Where they are not those of the statement.
pub fn parameters<'a>(
    execute: &Execute<'a>,
    bound: &Bound<'_>,
    capabilities: Capabilities,
) -> Result<Vec<Parameter<'a>>, WireError> {
    let mut r = Reader::new(execute.rest, "COM_STMT_EXECUTE");
    let named = capabilities.has(Capabilities::QUERY_ATTRIBUTES);
    let mut n = bound.count;
    if named && (n > 0 || execute.flags & COUNT_AVAILABLE != 0) {
        n = count(&mut r)?;
        if n < bound.count {
            return Err(r.invalid());
        }
    }
    let out = if n == 0 { Vec::new() } else { values(&mut r, n, bound, named)? };
    r.all()?;
    Ok(out)
}

fn values<'a>(r: &mut Reader<'a>, n: usize, bound: &Bound<'_>, named: bool) -> Result<Vec<Parameter<'a>>, WireError> {
    let nulls = Nulls::read(r, n, 0)?;
    // INVARIANT: from here on `n` is at most eight times the bytes of the message.
    let mut out = Vec::with_capacity(n);
    match r.u8()? {
        0 if bound.types.len() >= n => {
            out.extend(bound.types.iter().take(n).map(|kind| Parameter { name: b"", kind: *kind, value: None }));
        }
        1 => {
            for _ in 0..n {
                let kind = r.u16_le()?;
                let name = if named { string(r)? } else { b"" };
                out.push(Parameter { name, kind, value: None });
            }
        }
        _ => return Err(r.invalid()),
    }
    for (i, parameter) in out.iter_mut().enumerate() {
        let is_long = u16::try_from(i).is_ok_and(|i| bound.long.contains(&i));
        parameter.value = match (nulls.is_null(i), is_long) {
            (_, true) => None,
            (true, false) => Some(Value::Null),
            (false, false) => Some(self::parameter(r, parameter.kind)?),
        };
    }
    Ok(out)
}

/// Reads every value of a bulk execution; `each` is given them in order, with the number of their row from 0.
///
/// # Errors
/// Where they are not those of a statement with `bound.count` parameters.
pub fn bulk_parameters<'a>(
    bulk: &BulkExecute<'a>,
    bound: &Bound<'_>,
    each: &mut dyn FnMut(usize, Given<'a>),
) -> Result<BulkRows, WireError> {
    let mut r = Reader::new(bulk.rest, "COM_STMT_BULK_EXECUTE");
    let mut types = bound.types.to_vec();
    if bulk.flags & BULK_TYPES != 0 {
        types.clear();
        for _ in 0..bound.count {
            types.push(r.u16_le()?);
        }
    }
    if bound.count == 0 || types.len() < bound.count {
        return Err(r.invalid());
    }
    let mut out = BulkRows { types, rows: 0 };
    while r.left() > 0 {
        for kind in out.types.iter().take(bound.count) {
            let read = match r.u8()? {
                0 => Given::Value(parameter(&mut r, *kind)?),
                1 => Given::Null,
                2 => Given::Default,
                3 => Given::Ignore,
                _ => return Err(r.invalid()),
            };
            each(out.rows, read);
        }
        out.rows += 1;
    }
    Ok(out)
}

/// A value of a bulk execution (`STMT_INDICATOR_*`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Given<'a> {
    /// It.
    Value(Value<'a>),
    /// Null.
    Null,
    /// The default of its column.
    Default,
    /// Its column stays as it is.
    Ignore,
}

/// What a bulk execution comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkRows {
    /// The types, which later executions may leave out.
    pub types: Vec<u16>,
    /// How many sets of parameters.
    pub rows: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Capabilities = Capabilities(0);

    #[test]
    fn commands_are_read_to_their_last_byte() {
        assert_eq!(command(b"\x03SELECT 1", PLAIN), Ok(Command::Query { attributes: vec![], text: b"SELECT 1" }));
        assert!(command(b"\x0ePING", PLAIN).is_err());
        assert!(command(b"\x0c\x01\0", PLAIN).is_err());
        assert!(command(b"", PLAIN).is_err());
        assert_eq!(command(b"\xfa\0\0\0\0\0\0", PLAIN), Ok(Command::Unknown(0xfa)));
    }

    #[test]
    fn a_query_with_attributes_is_parted_from_its_text() {
        let bytes = b"\x03\x01\x01\0\x01\xfe\0\x02id\x03abcSELECT 1";
        let read = command(bytes, Capabilities::QUERY_ATTRIBUTES).unwrap();
        let value = Some(Value::Bytes(b"abc"));
        let attribute = Parameter { name: b"id", kind: 254, value };
        assert_eq!(read, Command::Query { attributes: vec![attribute], text: b"SELECT 1" });
        let none = command(b"\x03\0\x01SELECT 1", Capabilities::QUERY_ATTRIBUTES).unwrap();
        assert_eq!(none, Command::Query { attributes: vec![], text: b"SELECT 1" });
        // Read without them, the text would begin elsewhere: a count of sets other than one is none of ours.
        assert!(command(b"\x03\0\x02SELECT 1", Capabilities::QUERY_ATTRIBUTES).is_err());
    }

    #[test]
    fn types_that_servers_read_otherwise_are_no_parameters() {
        // YEAR has two bytes in rows, and is a string to MySQL as a parameter: the text would begin elsewhere.
        for kind in [6, 9, 13, 14, 16, 242, 244, 245, 255] {
            let bytes = [b"\x03\x01\x01\0\x01", &[kind][..], b"\0\x01a\x01 SELECT 1"].concat();
            assert!(command(&bytes, Capabilities::QUERY_ATTRIBUTES).is_err(), "{kind}");
            let rest = [b"\0\x01", &[kind][..], b"\0\x01a"].concat();
            let run = Execute { statement: 1, flags: 0, iterations: 1, rest: &rest };
            assert!(parameters(&run, &Bound { count: 1, types: &[], long: &[] }, PLAIN).is_err(), "{kind}");
        }
        let null = Execute { statement: 1, flags: 0, iterations: 1, rest: b"\x01\x01\x06\0" };
        assert!(parameters(&null, &Bound { count: 1, types: &[], long: &[] }, PLAIN).is_ok());
    }

    #[test]
    fn parameters_are_read_with_the_types_of_before() {
        let run = |rest| Execute { statement: 1, flags: 0, iterations: 1, rest };
        let bound = Bound { count: 2, types: &[], long: &[] };
        let first = run(b"\x02\x01\x08\0\xfe\0\x07\0\0\0\0\0\0\0");
        let read = parameters(&first, &bound, PLAIN).unwrap();
        assert_eq!(read.iter().map(|p| p.value.unwrap().to_string()).collect::<Vec<_>>(), ["7", "NULL"]);
        let again = run(b"\0\0\x08\0\0\0\0\0\0\0\x01x");
        assert!(parameters(&again, &bound, PLAIN).is_err(), "types were never sent");
        let bound = Bound { count: 2, types: &[8, 254], long: &[1] };
        let long = run(b"\0\0\x08\0\0\0\0\0\0\0");
        assert_eq!(parameters(&long, &bound, PLAIN).unwrap()[1].value, None);
        assert!(parameters(&again, &bound, PLAIN).is_err(), "bytes are left over");
    }

    #[test]
    fn bulk_rows_are_counted() {
        let bulk = BulkExecute { statement: 1, flags: 128, rest: b"\x03\0\0\x07\0\0\0\x01\0\x08\0\0\0" };
        let mut each = Vec::new();
        let one = Bound { count: 1, ..Bound::default() };
        let read = bulk_parameters(&bulk, &one, &mut |row, given| each.push((row, given))).unwrap();
        assert_eq!(read.rows, 3);
        assert_eq!(each, [(0, Given::Value(Value::Int(7))), (1, Given::Null), (2, Given::Value(Value::Int(8)))]);
        assert!(bulk_parameters(&BulkExecute { flags: 0, ..bulk }, &one, &mut |_, _| {}).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_are_read_or_refused(bytes: Vec<u8>, bits: u64, n in 0_usize..300) {
            let capabilities = Capabilities(bits);
            let bound = Bound { count: n, types: &[8, 254, 12], long: &[1] };
            match command(&bytes, capabilities) {
                Ok(Command::Execute(e)) => drop(parameters(&e, &bound, capabilities)),
                Ok(Command::BulkExecute(b)) => drop(bulk_parameters(&b, &bound, &mut |_, _| {})),
                _ => {}
            }
        }

        #[test]
        fn random_parameters_are_read_or_refused(rest: Vec<u8>, bits: u64, n in 0_usize..300, flags: u8) {
            let bound = Bound { count: n, types: &[8, 254, 12], long: &[1] };
            drop(parameters(&Execute { statement: 1, flags, iterations: 1, rest: &rest }, &bound, Capabilities(bits)));
            drop(bulk_parameters(&BulkExecute { statement: 1, flags: u16::from(flags), rest: &rest }, &bound, &mut |_, _| {}));
        }
    }
}
