//! Values of rows and parameters, in the text and the binary protocol (manual, "Binary Protocol Value").
use super::{WireError, string};
use doorward_wire::Reader;
use std::fmt;

/// The types of columns and parameters (manual, `enum_field_types`).
#[allow(missing_docs, reason = "the manual's own names")]
pub mod types {
    pub const DECIMAL: u8 = 0;
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const VECTOR: u8 = 242;
    pub const BOOL: u8 = 244;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// How a value of a type stands in the binary protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A number of so many bytes.
    Integer(usize),
    /// Four or eight bytes.
    Float(usize),
    /// A length byte, then year, month, day, and what is not zero of the time.
    DateTime,
    /// A length byte, then sign, days and time.
    Time,
    /// A length-encoded string.
    Bytes,
    /// Nothing: always null.
    Null,
}

/// How values of `kind` stand in the binary protocol; `None` for a type that is not known.
pub const fn layout(kind: u8) -> Option<Layout> {
    Some(match kind {
        types::TINY | types::BOOL => Layout::Integer(1),
        types::SHORT | types::YEAR => Layout::Integer(2),
        types::LONG | types::INT24 => Layout::Integer(4),
        types::LONGLONG => Layout::Integer(8),
        types::FLOAT => Layout::Float(4),
        types::DOUBLE => Layout::Float(8),
        types::TIMESTAMP | types::DATE | types::DATETIME | types::NEWDATE => Layout::DateTime,
        types::TIME => Layout::Time,
        types::NULL => Layout::Null,
        types::DECIMAL
        | types::VARCHAR
        | types::BIT
        | types::VECTOR
        | types::JSON
        | types::NEWDECIMAL
        | types::ENUM
        | types::SET
        | types::TINY_BLOB
        | types::MEDIUM_BLOB
        | types::LONG_BLOB
        | types::BLOB
        | types::VAR_STRING
        | types::STRING
        | types::GEOMETRY => Layout::Bytes,
        _ => return None,
    })
}

/// A binary value, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Null.
    Null,
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    UInt(u64),
    /// A number with a point.
    Float(f64),
    /// A string of any type.
    Bytes(&'a [u8]),
    /// Year, month, day; hour, minute, second; microseconds.
    DateTime {
        /// Year, month, day.
        date: (u16, u8, u8),
        /// Hour, minute, second.
        time: (u8, u8, u8),
        /// Microseconds.
        micros: u32,
    },
    /// A span of time.
    Time {
        /// Before zero.
        negative: bool,
        /// Whole days.
        days: u32,
        /// Hour, minute, second.
        time: (u8, u8, u8),
        /// Microseconds.
        micros: u32,
    },
}

impl fmt::Display for Value<'_> {
    /// As the text protocol would show it; bytes that are no text are replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction =
            |f: &mut fmt::Formatter<'_>, micros: u32| if micros == 0 { Ok(()) } else { write!(f, ".{micros:06}") };
        match *self {
            Self::Null => f.write_str("NULL"),
            Self::Int(n) => write!(f, "{n}"),
            Self::UInt(n) => write!(f, "{n}"),
            Self::Float(n) => write!(f, "{n}"),
            Self::Bytes(b) => f.write_str(&String::from_utf8_lossy(b)),
            Self::DateTime { date: (y, m, d), time: (h, min, s), micros } => {
                write!(f, "{y:04}-{m:02}-{d:02}")?;
                if (h, min, s, micros) != (0, 0, 0, 0) {
                    write!(f, " {h:02}:{min:02}:{s:02}")?;
                }
                fraction(f, micros)
            }
            Self::Time { negative, days, time: (h, m, s), micros } => {
                let hours = u64::from(days) * 24 + u64::from(h);
                write!(f, "{}{hours:02}:{m:02}:{s:02}", if negative { "-" } else { "" })?;
                fraction(f, micros)
            }
        }
    }
}

/// Reads one binary value that is not null.
///
/// # Errors
/// Where it is cut off, its length is none of the manual's, or its type is not known.
pub fn value<'a>(r: &mut Reader<'a>, kind: u8, unsigned: bool) -> Result<Value<'a>, WireError> {
    match layout(kind).ok_or(r.invalid())? {
        Layout::Integer(size) => integer(r, size, unsigned),
        Layout::Float(4) => Ok(Value::Float(f64::from(f32::from_bits(r.u32_le()?)))),
        Layout::Float(_) => Ok(Value::Float(f64::from_bits(r.u64_le()?))),
        Layout::DateTime => date_time(r),
        Layout::Time => time(r),
        Layout::Bytes => string(r).map(Value::Bytes),
        Layout::Null => Ok(Value::Null),
    }
}

fn integer<'a>(r: &mut Reader<'a>, size: usize, unsigned: bool) -> Result<Value<'a>, WireError> {
    let (signed, plain) = match size {
        1 => r.u8().map(|n| (i64::from(i8::from_le_bytes([n])), u64::from(n)))?,
        2 => r.u16_le().map(|n| (i64::from(n.cast_signed()), u64::from(n)))?,
        4 => r.u32_le().map(|n| (i64::from(n.cast_signed()), u64::from(n)))?,
        _ => r.u64_le().map(|n| (n.cast_signed(), n))?,
    };
    Ok(if unsigned { Value::UInt(plain) } else { Value::Int(signed) })
}

fn date_time<'a>(r: &mut Reader<'a>) -> Result<Value<'a>, WireError> {
    let size = usize::from(r.u8()?);
    if !matches!(size, 0 | 4 | 7 | 11) {
        return Err(r.invalid());
    }
    let mut r = r.sub(size)?;
    let date = if size >= 4 { (r.u16_le()?, r.u8()?, r.u8()?) } else { (0, 0, 0) };
    let time = if size >= 7 { (r.u8()?, r.u8()?, r.u8()?) } else { (0, 0, 0) };
    let micros = if size >= 11 { r.u32_le()? } else { 0 };
    Ok(Value::DateTime { date, time, micros })
}

fn time<'a>(r: &mut Reader<'a>) -> Result<Value<'a>, WireError> {
    let size = usize::from(r.u8()?);
    if !matches!(size, 0 | 8 | 12) {
        return Err(r.invalid());
    }
    let mut r = r.sub(size)?;
    let (negative, days) = if size >= 8 { (r.u8()? != 0, r.u32_le()?) } else { (false, 0) };
    let time = if size >= 8 { (r.u8()?, r.u8()?, r.u8()?) } else { (0, 0, 0) };
    let micros = if size >= 12 { r.u32_le()? } else { 0 };
    Ok(Value::Time { negative, days, time, micros })
}

/// One cell of a row in the text protocol: `None` for null.
///
/// # Errors
/// Where it is cut off.
pub fn text_cell<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, WireError> {
    let mut ahead = r.clone();
    if ahead.u8()? == 0xfb {
        *r = ahead;
        return Ok(None);
    }
    string(r).map(Some)
}

/// The bits of a row or of parameters that say which of `count` are null, beginning at bit `offset`.
#[derive(Clone, Copy, Debug)]
pub struct Nulls<'a> {
    bits: &'a [u8],
    offset: usize,
}

impl<'a> Nulls<'a> {
    /// Reads the bits for `count` values.
    ///
    /// # Errors
    /// Where they are cut off.
    pub fn read(r: &mut Reader<'a>, count: usize, offset: usize) -> Result<Self, WireError> {
        Ok(Self { bits: r.bytes(count.saturating_add(offset).div_ceil(8))?, offset })
    }

    /// Whether value number `index` is null.
    pub fn is_null(&self, index: usize) -> bool {
        let bit = index + self.offset;
        self.bits.get(bit / 8).is_some_and(|b| b >> (bit % 8) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(kind: u8, unsigned: bool, bytes: &[u8]) -> String {
        let mut r = Reader::new(bytes, "test");
        let read = value(&mut r, kind, unsigned).map(|v| v.to_string());
        assert_eq!(r.left(), 0);
        read.unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn values_read_as_the_text_protocol_shows_them() {
        assert_eq!(shown(types::TINY, false, b"\xff"), "-1");
        assert_eq!(shown(types::TINY, true, b"\xff"), "255");
        assert_eq!(shown(types::LONGLONG, false, &i64::MIN.to_le_bytes()), "-9223372036854775808");
        assert_eq!(shown(types::INT24, false, b"\xfe\xff\xff\xff"), "-2");
        assert_eq!(shown(types::YEAR, true, b"\xea\x07"), "2026");
        assert_eq!(shown(types::DOUBLE, false, &1.5_f64.to_le_bytes()), "1.5");
        assert_eq!(shown(types::DATE, false, b"\x04\xea\x07\x0b\x1a"), "2026-11-26");
        assert_eq!(shown(types::DATETIME, false, b"\x07\xea\x07\x0b\x1a\x0c\x01\x02"), "2026-11-26 12:01:02");
        assert_eq!(
            shown(types::TIMESTAMP, false, b"\x0b\xea\x07\x0b\x1a\x0c\x01\x02\x01\0\0\0"),
            "2026-11-26 12:01:02.000001"
        );
        assert_eq!(shown(types::TIME, false, b"\x08\x01\x01\0\0\0\x02\x03\x04"), "-26:03:04");
        assert_eq!(shown(types::TIME, false, b"\0"), "00:00:00");
        assert_eq!(shown(types::NEWDECIMAL, false, b"\x041.50"), "1.50");
        assert_eq!(shown(types::NULL, false, b""), "NULL");
    }

    #[test]
    fn what_has_no_known_length_is_refused() {
        for (kind, bytes) in [(types::DATE, &b"\x05\0\0\0\0\0"[..]), (types::TIME, b"\x04\0\0\0\0"), (17, b"\0\0")] {
            assert!(value(&mut Reader::new(bytes, "test"), kind, false).is_err(), "{kind}");
        }
        assert!(value(&mut Reader::new(b"\x05abc", "test"), types::STRING, false).is_err());
    }

    #[test]
    fn nulls_are_found_behind_their_offset() {
        let mut r = Reader::new(&[0b0000_0100, 0b1], "test");
        let nulls = Nulls::read(&mut r, 7, 2).unwrap();
        assert_eq!(
            (0..7).map(|i| nulls.is_null(i)).collect::<Vec<_>>(),
            [true, false, false, false, false, false, true]
        );
        assert!(Nulls::read(&mut Reader::new(&[0], "test"), 7, 2).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_are_read_or_refused(bytes: Vec<u8>, kind: u8, unsigned: bool) {
            let mut r = Reader::new(&bytes, "test");
            let _read = value(&mut r, kind, unsigned).map(|v| v.to_string());
            let _read = text_cell(&mut Reader::new(&bytes, "test"));
        }
    }
}
