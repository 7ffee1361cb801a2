//! IPv6 addresses (RFC 4291 section 2.2, RFC 5952).
use crate::text;
use std::{net::Ipv6Addr, ops::Range};

/// The longest text of an address: eight groups of four, or six and a dotted one.
const LONGEST: usize = 45;

const fn is_part(b: u8) -> bool {
    b.is_ascii_hexdigit() || matches!(b, b':' | b'.')
}

/// The bytes around a colon that an address can be made of, no more than twice the longest.
fn around(bytes: &[u8], colon: usize) -> Range<usize> {
    let left = bytes.get(..colon).unwrap_or_default().iter().rev().take(LONGEST).take_while(|b| is_part(**b)).count();
    let right = bytes.get(colon..).unwrap_or_default().iter().take(LONGEST).take_while(|b| is_part(**b)).count();
    colon - left..colon + right
}

/// Whether an address can be around the colon, whatever belongs to the value.
pub(crate) fn loose(bytes: &[u8], colon: usize) -> bool {
    let range = around(bytes, colon);
    let part = bytes.get(range).unwrap_or_default();
    let (mut colons, mut digits, mut decimal) = (0, 0, false);
    for b in part {
        colons += usize::from(*b == b':');
        digits += usize::from(b.is_ascii_hexdigit());
        decimal |= b.is_ascii_digit();
    }
    let shortened = part.windows(2).any(|w| w == b"::");
    digits >= 3 && decimal && (shortened || colons >= 6)
}

/// An address that the text may end within: from where. More than one colon, as in times too.
pub(crate) fn open(bytes: &[u8]) -> Option<usize> {
    let length = bytes.iter().rev().take(LONGEST).take_while(|b| is_part(**b)).count();
    let start = bytes.len() - length;
    let colons = bytes.get(start..)?.iter().filter(|b| **b == b':').count();
    (colons > 1 && length > 2).then_some(start)
}

/// The address around the colon of a value.
pub(crate) fn exact(bytes: &[u8], colon: usize) -> Option<Range<usize>> {
    let range = around(bytes, colon);
    let part = bytes.get(range.clone()).unwrap_or_default();
    // What ends a sentence or a key does not end an address.
    let cut = part.iter().rev().take_while(|b| matches!(b, b'.' | b':')).count();
    let cut = if part.get(part.len() - cut..).is_some_and(|end| end.starts_with(b"::")) { cut - 2 } else { cut };
    let end = range.end - cut;
    let value = bytes.get(range.start..end).unwrap_or_default();
    let alone = !text::word_before(bytes, range.start) && !text::word_at(bytes, end);
    let parsed = std::str::from_utf8(value).ok().and_then(|v| v.parse::<Ipv6Addr>().ok());
    (alone && parsed.is_some() && is_likely(value)).then_some(range.start..end)
}

/// Whether what parses is meant as an address: not `::1`, `a::b`, a time such as `12::30`, or a hardware
/// address of eight bytes (EUI-64).
fn is_likely(value: &[u8]) -> bool {
    let digits = value.iter().filter(|b| b.is_ascii_hexdigit()).count();
    let first = value.iter().position(|b| *b == b':').unwrap_or(0);
    let full = !value.windows(2).any(|w| w == b"::");
    let hardware = full && value.split(|b| *b == b':').all(|g| g.len() == 2);
    digits >= 3 && value.iter().any(u8::is_ascii_digit) && !hardware && (full || first == 0 || first >= 3)
}
