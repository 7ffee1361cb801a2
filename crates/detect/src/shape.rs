//! What values of a type look like, in PostgreSQL's text and binary formats.
use crate::{calendar, mask::hex};
use std::str::FromStr as _;

/// What a value has to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueShape {
    /// Any text.
    Text,
    /// A whole number of so many bits: 16, 32 or 64.
    Integer(u8),
    /// A decimal number.
    Numeric,
    /// A floating point number, `float4` or `float8`.
    Float,
    /// True or false.
    Bool,
    /// A calendar date.
    Date,
    /// A point in time, with or without a zone.
    Timestamp,
    /// A UUID.
    Uuid,
    /// JSON: the replacement is a JSON string.
    Json,
    /// Bytes.
    Bytea,
    /// An IP address or network.
    Inet,
    /// Anything else: only null fits.
    Other,
}

impl ValueShape {
    /// A text as a value of this shape, where the shape is one of text.
    pub(crate) fn text(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Text => Some(text.to_vec()),
            Self::Json => Some(json_string(text)),
            Self::Integer(_)
            | Self::Numeric
            | Self::Float
            | Self::Bool
            | Self::Date
            | Self::Timestamp
            | Self::Uuid
            | Self::Bytea
            | Self::Inet
            | Self::Other => None,
        }
    }

    /// What an administrator wrote, if it is a value of this shape.
    pub(crate) fn fixed(self, text: &str) -> Option<Vec<u8>> {
        let valid = match self {
            Self::Text | Self::Json => return self.text(text.as_bytes()),
            Self::Bytea => return Some(format!("\\x{}", hex(text.as_bytes(), usize::MAX)).into_bytes()),
            Self::Bool => match text {
                "t" | "true" => return Some(b"t".to_vec()),
                "f" | "false" => return Some(b"f".to_vec()),
                _ => false,
            },
            Self::Integer(bits) => return integer(text, bits).map(|n| n.to_string().into_bytes()),
            Self::Numeric => is_decimal(text),
            Self::Float => is_decimal(text) && f64::from_str(text).is_ok_and(f64::is_finite),
            Self::Date => calendar::date(text.as_bytes()).is_some() && text.len() == 10,
            Self::Timestamp => calendar::timestamp(text.as_bytes()).is_some(),
            Self::Uuid => uuid_bytes(text).is_some(),
            Self::Inet => is_inet(text),
            Self::Other => false,
        };
        valid.then(|| text.as_bytes().to_vec())
    }

    /// As much of a digest as the shape has room for.
    pub(crate) fn hash(self, digest: &[u8; 32]) -> Option<Vec<u8>> {
        let number = digest.first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
        match self {
            Self::Text | Self::Json => self.text(format!("h:{}", hex(digest, 12)).as_bytes()),
            Self::Bytea => Some(format!("\\x{}", hex(digest, 12)).into_bytes()),
            Self::Integer(bits) => {
                let keep = u32::from(bits.clamp(8, 64)) - 1;
                Some((number >> (64 - keep)).to_string().into_bytes())
            }
            // Of 53 bits, which a double holds exactly.
            Self::Numeric | Self::Float => Some((number >> 11).to_string().into_bytes()),
            Self::Uuid => {
                // Version 8 (RFC 9562 section 5.8): custom content.
                let mut b = *digest.first_chunk::<16>()?;
                b[6] = (b[6] & 0x0f) | 0x80;
                b[8] = (b[8] & 0x3f) | 0x80;
                Some(uuid_text(&b).into_bytes())
            }
            Self::Bool | Self::Date | Self::Timestamp | Self::Inet | Self::Other => None,
        }
    }

    /// A binary value in text format, where masking it needs that; `None` where it cannot be masked.
    pub(crate) fn readable(self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Integer(bits) => {
                let n = match (bits, value.len()) {
                    (16, 2) => i64::from(i16::from_be_bytes(*value.first_chunk()?)),
                    (32, 4) => i64::from(i32::from_be_bytes(*value.first_chunk()?)),
                    (64, 8) => i64::from_be_bytes(*value.first_chunk()?),
                    _ => return None,
                };
                Some(n.to_string().into_bytes())
            }
            Self::Uuid => (value.len() == 16).then(|| value.first_chunk().map(|b| uuid_text(b).into_bytes()))?,
            Self::Bytea => Some(format!("\\x{}", hex(value, usize::MAX)).into_bytes()),
            // Only their lengths are needed: what replaces them does not come from them.
            Self::Bool => (value.len() == 1).then(Vec::new),
            Self::Float => matches!(value.len(), 4 | 8).then(|| value.to_vec()),
            Self::Date => (value.len() == 4).then(Vec::new),
            Self::Timestamp => (value.len() == 8).then(Vec::new),
            Self::Text | Self::Json | Self::Numeric | Self::Inet | Self::Other => None,
        }
    }

    /// A masked value in binary format, as long as the one it replaces where lengths are fixed.
    pub(crate) fn binary(self, masked: &[u8], length: usize) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(masked).ok()?;
        match self {
            Self::Integer(bits) => {
                let n = integer(text, bits)?.to_be_bytes();
                n.get(8_usize.checked_sub(length)?..).map(<[u8]>::to_vec)
            }
            Self::Float if length == 4 => f32::from_str(text).ok().map(|n| n.to_be_bytes().to_vec()),
            Self::Float => f64::from_str(text).ok().map(|n| n.to_be_bytes().to_vec()),
            Self::Bool => Some(vec![u8::from(text == "t")]),
            Self::Uuid => uuid_bytes(text).map(|b| b.to_vec()),
            Self::Bytea => text.strip_prefix("\\x").and_then(unhex),
            Self::Date => {
                let days = i32::try_from(calendar::date(masked)?).ok()?;
                Some(days.to_be_bytes().to_vec())
            }
            Self::Timestamp => Some(calendar::timestamp(masked)?.to_be_bytes().to_vec()),
            Self::Text | Self::Json | Self::Numeric | Self::Inet | Self::Other => None,
        }
    }
}

fn integer(text: &str, bits: u8) -> Option<i64> {
    let n = text.parse::<i64>().ok()?;
    let fits = match bits {
        16 => i16::try_from(n).is_ok(),
        32 => i32::try_from(n).is_ok(),
        _ => true,
    };
    fits.then_some(n)
}

/// Digits with perhaps a sign and a point.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|d| !d.is_empty() && d.len() < 1000 && d.bytes().all(|b| b.is_ascii_digit()))
}

fn is_inet(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    address.parse::<std::net::IpAddr>().is_ok_and(|a| {
        let most = if a.is_ipv4() { 32 } else { 128 };
        bits.parse::<u8>().is_ok_and(|b| b <= most)
    })
}

fn uuid_text(b: &[u8; 16]) -> String {
    let h = hex(b, 16);
    let part = |from: usize, to: usize| h.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let dashes = text.len() == 36 && [8, 13, 18, 23].iter().all(|i| text.as_bytes().get(*i) == Some(&b'-'));
    let bytes = unhex(&text.replace('-', "")).filter(|_| dashes)?;
    bytes.try_into().ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}

/// A JSON string (RFC 8259 section 7).
pub(crate) fn json_string(text: &[u8]) -> Vec<u8> {
    let mut out = String::from("\"");
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out.into_bytes()
}
