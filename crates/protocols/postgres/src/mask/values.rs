//! Types by their numbers, and values of them in the binary format.
use doorward_detect::ValueShape;
use doorward_wire::Reader;

/// How the values of a type are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Text, in both formats.
    Text,
    Json,
    /// A version byte before the text, in binary.
    Jsonb,
    Integer(u8),
    Numeric,
    Date,
    Timestamp,
    Uuid,
    /// An address: text in text format.
    Inet,
    /// Bytes, which may be text.
    Bytea,
    /// An array of texts: what is in it lies there as it is, in both formats.
    Texts,
    /// Holds nothing that is recognised.
    Plain,
    /// Any other type: domains come as what they are made of, so these are arrays, records, ranges,
    /// enumerations and types of extensions.
    Unknown,
}

/// Types by their fixed numbers (`pg_type.dat`).
pub(super) const fn layout(type_oid: u32) -> Layout {
    match type_oid {
        // text, varchar, bpchar, name, "char", xml, unknown, cstring
        25 | 1043 | 1042 | 19 | 18 | 142 | 705 | 2275 => Layout::Text,
        114 => Layout::Json,
        3802 => Layout::Jsonb,
        20 => Layout::Integer(64),
        23 => Layout::Integer(32),
        21 => Layout::Integer(16),
        1700 => Layout::Numeric,
        1082 => Layout::Date,
        1114 | 1184 => Layout::Timestamp,
        2950 => Layout::Uuid,
        869 | 650 => Layout::Inet,
        17 => Layout::Bytea,
        // text[], varchar[], bpchar[], name[], "char"[], xml[], json[], cstring[]
        1009 | 1015 | 1014 | 1003 | 1002 | 143 | 199 | 1263 => Layout::Texts,
        // bool, float4, float8, time, timetz, interval, oid, xid, cid, tid, void, bit, varbit, money, macaddr
        16 | 700 | 701 | 1083 | 1266 | 1186 | 26 | 28 | 29 | 27 | 2278 | 1560 | 1562 | 790 | 829 => Layout::Plain,
        _ => Layout::Unknown,
    }
}

pub(super) const fn shape(layout: Layout) -> ValueShape {
    match layout {
        Layout::Text => ValueShape::Text,
        Layout::Json | Layout::Jsonb => ValueShape::Json,
        Layout::Integer(bits) => ValueShape::Integer(bits),
        Layout::Numeric => ValueShape::Numeric,
        Layout::Date => ValueShape::Date,
        Layout::Timestamp => ValueShape::Timestamp,
        Layout::Uuid => ValueShape::Uuid,
        Layout::Inet | Layout::Bytea | Layout::Texts | Layout::Plain | Layout::Unknown => ValueShape::Other,
    }
}

pub(super) fn integer(value: &[u8]) -> Option<i64> {
    match value.len() {
        2 => value.first_chunk().map(|b| i64::from(i16::from_be_bytes(*b))),
        4 => value.first_chunk().map(|b| i64::from(i32::from_be_bytes(*b))),
        8 => value.first_chunk().map(|b| i64::from_be_bytes(*b)),
        _ => None,
    }
}

/// More groups of four digits than any recognised number has, with room for what is hashed.
const MOST_GROUPS: i16 = 256;

/// A binary numeric as the server would print it (`numeric_send`, `numeric_out`). `None` for what is
/// malformed, not a finite number, or longer than is looked at.
pub(crate) fn numeric(value: &[u8]) -> Option<String> {
    let mut r = Reader::new(value, "numeric");
    let (count, weight, sign, scale) = (r.i16().ok()?, r.i16().ok()?, r.u16().ok()?, r.u16().ok()?);
    if !matches!(sign, 0 | 0x4000) || weight > MOST_GROUPS || !(0..=MOST_GROUPS * 2).contains(&count) || scale > 1024 {
        return None;
    }
    let mut groups = Vec::with_capacity(usize::from(count.unsigned_abs()));
    for _ in 0..count {
        groups.push(r.u16().ok().filter(|g| *g < 10_000)?);
    }
    r.all().ok()?;
    // The group of 10,000^at, counted down from `weight`.
    let group = |at: i16| {
        let index = i32::from(weight) - i32::from(at);
        usize::try_from(index).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0)
    };
    let mut out = String::new();
    if sign == 0x4000 {
        out.push('-');
    }
    if weight < 0 {
        out.push('0');
    }
    for at in (0..=weight).rev() {
        let digits = group(at);
        out.push_str(&if at == weight { digits.to_string() } else { format!("{digits:04}") });
    }
    let scale = usize::from(scale);
    if scale > 0 {
        let mut fraction = String::new();
        let mut at = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(at)));
            at -= 1;
        }
        fraction.truncate(scale);
        out.push('.');
        out.push_str(&fraction);
    }
    Some(out)
}

/// A decimal number as a binary numeric (`numeric_recv`): groups of four digits on both sides of the point.
pub(super) fn to_numeric(text: &str) -> Option<Vec<u8>> {
    let (sign, digits) = text.strip_prefix('-').map_or((0_u16, text), |digits| (0x4000, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |part: &str| part.len() <= 64 && part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || digits.ends_with('.') {
        return None;
    }
    let group = |chunk: &[u8]| std::str::from_utf8(chunk).ok()?.parse::<u16>().ok();
    let mut groups = Vec::new();
    for chunk in whole.as_bytes().rchunks(4).rev() {
        groups.push(group(chunk)?);
    }
    let weight = i16::try_from(groups.len()).ok()? - 1;
    for chunk in fraction.as_bytes().chunks(4) {
        groups.push(group(format!("{:0<4}", std::str::from_utf8(chunk).ok()?).as_bytes())?);
    }
    let mut out = Vec::new();
    out.extend_from_slice(&i16::try_from(groups.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::try_from(fraction.len()).ok()?.to_be_bytes());
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Some(out)
}

/// Days from 1970-01-01 to 2000-01-01, from which the server counts.
const EPOCH: i64 = 10_957;
const DAY: i64 = 86_400_000_000;

/// A binary date or timestamp as `YYYY-MM-DD`, with midnight for a timestamp. `None` for infinity and
/// years of other than four digits.
pub(crate) fn date(value: &[u8], timestamp: bool) -> Option<String> {
    let days = if timestamp {
        i64::from_be_bytes(value.try_into().ok()?).div_euclid(DAY)
    } else {
        i64::from(i32::from_be_bytes(value.try_into().ok()?))
    };
    let (year, month, day) = civil(days.checked_add(EPOCH)?);
    (1..=9999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}{}", if timestamp { " 00:00:00" } else { "" }))
}

/// The reverse of [`date`], with the time of day to the second.
pub(super) fn to_date(text: &str, timestamp: bool) -> Option<Vec<u8>> {
    let mut parts = text.get(..10)?.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let days = days_of(year, month, day) - EPOCH;
    if timestamp {
        let clock = text.get(11..).filter(|clock| !clock.is_empty());
        let seconds = clock.map_or(Some(0), |clock| {
            let mut parts = clock.get(..8)?.splitn(3, ':').map(|p| p.parse::<i64>().ok());
            Some(parts.next()?? * 3600 + parts.next()?? * 60 + parts.next()??)
        })?;
        Some((days * DAY + seconds * 1_000_000).to_be_bytes().to_vec())
    } else {
        Some(i32::try_from(days).ok()?.to_be_bytes().to_vec())
    }
}

/// Year, month and day of a day of the Gregorian calendar, counted from 1970-01-01
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// The elements of a binary array or record with their types (`array_send`, `record_send`); nothing
/// where the bytes are neither.
pub(super) fn elements(value: &[u8]) -> Vec<(u32, &[u8])> {
    array(value).or_else(|| record(value)).unwrap_or_default()
}

fn array(value: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut r = Reader::new(value, "array");
    let (dimensions, flags, type_oid) = (r.i32().ok()?, r.i32().ok()?, r.u32().ok()?);
    if !(1..=6).contains(&dimensions) || !matches!(flags, 0 | 1) {
        return None;
    }
    let mut count = 1_usize;
    for _ in 0..dimensions {
        count = count.checked_mul(usize::try_from(r.i32().ok()?).ok()?)?;
        r.i32().ok()?;
    }
    if count > r.left() / 4 {
        return None;
    }
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        if let Some(element) = element(&mut r)? {
            found.push((type_oid, element));
        }
    }
    r.all().ok()?;
    Some(found)
}

fn record(value: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let mut r = Reader::new(value, "record");
    let count = usize::try_from(r.i32().ok()?).ok()?;
    if count > r.left() / 8 {
        return None;
    }
    let mut found = Vec::with_capacity(count);
    for _ in 0..count {
        let type_oid = r.u32().ok()?;
        if let Some(element) = element(&mut r)? {
            found.push((type_oid, element));
        }
    }
    r.all().ok()?;
    Some(found)
}

fn element<'a>(r: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    match r.i32().ok()? {
        -1 => Some(None),
        length => r.bytes(usize::try_from(length).ok()?).ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_server_prints_them() {
        // numeric_send of each, taken from PostgreSQL 15
        for (hex, want) in [
            ("0003000100000002000c0d801e78", Some("123456.78")),
            ("0002000100000000000109a4", Some("12468")),
            ("0001000000000000002a", Some("42")),
            ("0000000000000000", Some("0")),
            ("0002000000000002007b1194", Some("123.45")),
            ("0002000040000002007b1194", Some("-123.45")),
            ("0001ffff000000040005", Some("0.0005")),
            ("0004000300000000100f045704570457", Some("4111111111111111")),
            ("00010001000000000001", Some("10000")),
            ("00010005000000000001", Some("100000000000000000000")),
            ("00000000c0000000", None),
        ] {
            let bytes = hex::decode(hex).unwrap();
            assert_eq!(numeric(&bytes).as_deref(), want, "{hex}");
        }
        assert_eq!(to_numeric("4111111111111111").and_then(|b| numeric(&b)).as_deref(), Some("4111111111111111"));
        for text in ["0", "12.34", "-12.34", "0.5", "10000", "123456789.000012345", "0.00", "7."] {
            let wanted = (!text.ends_with('.')).then_some(text);
            assert_eq!(to_numeric(text).and_then(|b| numeric(&b)).as_deref(), wanted, "{text}");
        }
        assert_eq!(numeric(&[0, 0, 0x7f, 0xff, 0, 0, 0, 0]), None, "a short value cannot ask for a long text");
    }

    #[test]
    fn dates_go_there_and_back() {
        for (days, want) in
            [(0, "2000-01-01"), (59, "2000-02-29"), (-1, "1999-12-31"), (8902, "2024-05-16"), (-730_119, "0001-01-01")]
        {
            let bytes = i32::to_be_bytes(days);
            assert_eq!(date(&bytes, false).as_deref(), Some(want));
            assert_eq!(to_date(want, false).as_deref(), Some(&bytes[..]));
            let bytes = (i64::from(days) * DAY).to_be_bytes();
            assert_eq!(to_date(&date(&bytes, true).unwrap(), true).as_deref(), Some(&bytes[..]));
        }
        let noon = to_date("2000-01-01 12:30:05", true);
        assert_eq!(noon.as_deref(), Some(&45_005_000_000_i64.to_be_bytes()[..]));
        for infinite in [i32::MAX, i32::MIN] {
            assert_eq!(date(&infinite.to_be_bytes(), false), None);
        }
        assert_eq!(date(&i64::MIN.to_be_bytes(), true), None);
        assert_eq!(date(&i64::MAX.to_be_bytes(), true), None);
    }

    #[test]
    fn counts_of_elements_are_checked_before_anything_is_allocated() {
        let lying =
            [&1_i32.to_be_bytes()[..], &[0; 4], &25_u32.to_be_bytes(), &i32::MAX.to_be_bytes(), &[0; 4]].concat();
        assert!(elements(&lying).is_empty());
        assert!(elements(&i32::MAX.to_be_bytes()).is_empty());
        assert!(elements(&(-1_i32).to_be_bytes()).is_empty());
    }
}
