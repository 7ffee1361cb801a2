//! Values of parameters as people are shown them: by their types where those are known, and whole.
use crate::{
    codec::{self, ClientMessage},
    mask::{date, numeric},
};
use doorward_enforce::{
    MOST_SHOWN, NotShown,
    shown::{binary, bytes, text},
};
use doorward_wire::Reader;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The parameters of a Bind frame; `type_of` says of which type each is.
///
/// # Errors
/// Where they are longer than anybody is shown.
pub(crate) fn parameters(bind: &[u8], type_of: impl Fn(usize) -> Option<u32>) -> Result<Vec<String>, NotShown> {
    if bind.len() > MOST_SHOWN {
        return Err(NotShown::too_long("its parameters", bind.len()));
    }
    let Ok(ClientMessage::Bind(bind)) = codec::client_message(bind) else { return Ok(Vec::new()) };
    Ok(bind.parameters().enumerate().map(|(i, (format, value))| parameter(type_of(i), format, value)).collect())
}

/// The arguments of a function that is called by its number.
///
/// # Errors
/// Where they are longer than anybody is shown.
pub(crate) fn arguments(frame: &[u8]) -> Result<Vec<String>, NotShown> {
    if frame.len() > MOST_SHOWN {
        return Err(NotShown::too_long("its arguments", frame.len()));
    }
    Ok(codec::function_arguments(frame).iter().map(|(format, value)| parameter(None, *format, *value)).collect())
}

fn parameter(type_oid: Option<u32>, format: i16, value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "NULL".into() };
    if format == 0 {
        return bytes(value);
    }
    match type_oid {
        Some(17) => binary(value),
        Some(type_oid) => of_type(type_oid, value).unwrap_or_else(|| unread(type_oid, value)),
        None => guessed(value),
    }
}

fn unread(type_oid: u32, value: &[u8]) -> String {
    format!("{} (of type {type_oid}, which is not read)", binary(value))
}

/// A value whose type nobody has said: what it may be, and the bytes, all of them.
fn guessed(value: &[u8]) -> String {
    let likely = match value.len() {
        2 => value.first_chunk().map(|b| i16::from_be_bytes(*b).to_string()),
        4 => value.first_chunk().map(|b| i32::from_be_bytes(*b).to_string()),
        8 => value.first_chunk().map(|b| i64::from_be_bytes(*b).to_string()),
        _ => None,
    };
    let words = std::str::from_utf8(value).ok().filter(|t| !t.is_empty() && !t.chars().any(char::is_control));
    let likely: Vec<String> = likely.into_iter().chain(words.map(|t| format!("{t:?}"))).collect();
    let of = if likely.is_empty() { String::new() } else { format!(", perhaps {}", likely.join(" or ")) };
    format!("{} (of a type that is not known{of})", binary(value))
}

/// A binary value of a type by its fixed number (`pg_type.dat`), as the server would print it, or nearly so; none where it is
/// no value of that type, or the type is not read.
fn of_type(type_oid: u32, value: &[u8]) -> Option<String> {
    match type_oid {
        16 => match value {
            [0] => Some("false".into()),
            [_] => Some("true".into()),
            _ => None,
        },
        20 => Some(i64::from_be_bytes(value.try_into().ok()?).to_string()),
        21 => Some(i16::from_be_bytes(value.try_into().ok()?).to_string()),
        23 => Some(i32::from_be_bytes(value.try_into().ok()?).to_string()),
        26 => Some(u32::from_be_bytes(value.try_into().ok()?).to_string()),
        700 => Some(f32::from_be_bytes(value.try_into().ok()?).to_string()),
        701 => Some(f64::from_be_bytes(value.try_into().ok()?).to_string()),
        1700 => numeric(value).or_else(|| odd_numeric(value)),
        2950 => uuid(value),
        1082 => day(i64::from(i32::from_be_bytes(value.try_into().ok()?))),
        1083 => time(i64::from_be_bytes(value.try_into().ok()?)),
        1114 | 1184 => moment(i64::from_be_bytes(value.try_into().ok()?), type_oid == 1184),
        // text, varchar, bpchar, name, "char", xml, json; `unknown` may be anything
        25 | 1043 | 1042 | 19 | 18 | 142 | 114 => std::str::from_utf8(value).ok().map(text),
        3802 => match value.split_first() {
            Some((1, json)) => std::str::from_utf8(json).ok().map(text),
            _ => None,
        },
        _ if is_array(type_oid) => array(value),
        _ => None,
    }
}

/// Arrays of the types that are read: bool, bytea, the integers, floats, numeric, uuid, dates and times, texts and JSON.
const fn is_array(type_oid: u32) -> bool {
    matches!(
        type_oid,
        1000 | 1001
            | 1002
            | 1003
            | 1005
            | 1007
            | 1009
            | 1014
            | 1015
            | 1016
            | 1021
            | 1022
            | 1028
            | 1115
            | 1182
            | 1183
            | 1185
            | 1231
            | 143
            | 199
            | 2951
            | 3807
    )
}

/// `array_recv`: dimensions, whether there are nulls, the type of the elements, then how long each dimension is and where
/// it begins, then the elements.
fn array(value: &[u8]) -> Option<String> {
    let mut r = Reader::new(value, "array");
    let (dimensions, flags, element) = (r.i32().ok()?, r.i32().ok()?, r.u32().ok()?);
    if !(0..=6).contains(&dimensions) || !matches!(flags, 0 | 1) {
        return None;
    }
    let (mut count, mut lengths) = (usize::from(dimensions > 0), Vec::new());
    for _ in 0..dimensions {
        let (length, begins) = (usize::try_from(r.i32().ok()?).ok()?, r.i32().ok()?);
        count = count.checked_mul(length)?;
        lengths.push(if begins == 1 { length.to_string() } else { format!("{length} from {begins}") });
    }
    if count > r.left() / 4 {
        return None;
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(match r.i32().ok()? {
            -1 => "NULL".to_owned(),
            length => of_element(element, r.bytes(usize::try_from(length).ok()?).ok()?)?,
        });
    }
    r.all().ok()?;
    let plain = lengths.len() < 2 && lengths.iter().all(|l| !l.contains("from"));
    let head = if plain { String::new() } else { format!("[{}] ", lengths.join("] [")) };
    Some(format!("{head}{{{}}}", elements.join(", ")))
}

/// Texts stand in quotes, so that none looks like two.
fn of_element(type_oid: u32, value: &[u8]) -> Option<String> {
    let quoted = |bytes| std::str::from_utf8(bytes).ok().map(|t| format!("{t:?}"));
    match type_oid {
        17 => Some(binary(value)),
        25 | 1043 | 1042 | 19 | 18 | 142 | 114 => quoted(value),
        3802 => value.split_first().filter(|(version, _)| **version == 1).and_then(|(_, json)| quoted(json)),
        _ if is_array(type_oid) => None,
        _ => of_type(type_oid, value),
    }
}

/// `numeric_recv` knows three that are no numbers, by their sign.
fn odd_numeric(value: &[u8]) -> Option<String> {
    let word = match value.get(4..6)? {
        [0xc0, 0] => "NaN",
        [0xd0, 0] => "Infinity",
        [0xf0, 0] => "-Infinity",
        _ => return None,
    };
    (value.len() == 8 && value.starts_with(&[0, 0])).then(|| word.to_owned())
}

fn uuid(value: &[u8]) -> Option<String> {
    let hex = hex::encode(<[u8; 16]>::try_from(value).ok()?);
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    Some([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-"))
}

/// Days from 2000-01-01.
fn day(days: i64) -> Option<String> {
    let days = i32::try_from(days).ok()?;
    match days {
        i32::MAX => Some("infinity".into()),
        i32::MIN => Some("-infinity".into()),
        days => date(&days.to_be_bytes(), false),
    }
}

fn time(micros: i64) -> Option<String> {
    if !(0..=DAY).contains(&micros) {
        return None;
    }
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    Some(format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

fn moment(micros: i64, in_utc: bool) -> Option<String> {
    match micros {
        i64::MAX => Some("infinity".into()),
        i64::MIN => Some("-infinity".into()),
        _ => {
            let (day, time) = (day(micros.div_euclid(DAY))?, time(micros.rem_euclid(DAY))?);
            Some(format!("{day} {time}{}", if in_utc { "+00" } else { "" }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(type_oid: u32, hex: &str, shown: &str) {
        let value = hex::decode(hex).unwrap();
        assert_eq!(parameter(Some(type_oid), 1, Some(&value)), shown, "type {type_oid}");
    }

    #[test]
    fn values_are_read_by_their_types() {
        // As the `_send` functions of PostgreSQL lay them out.
        for (type_oid, hex, shown) in [
            (16, "01", "true"),
            (16, "00", "false"),
            (20, "fffffffffffffffe", "-2"),
            (21, "0007", "7"),
            (23, "0000002a", "42"),
            (26, "ffffffff", "4294967295"),
            (700, "3fc00000", "1.5"),
            (701, "3fb999999999999a", "0.1"),
            (1700, "0002000040000002007b1194", "-123.45"),
            (1700, "00000000c0000000", "NaN"),
            (1700, "00000000f0000000", "-Infinity"),
            (2950, "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (25, "6120", "'a '"),
            (25, "4e554c4c", "'NULL'"),
            (17, "6162", "binary \\x6162"),
            (114, "7b7d", "{}"),
            (3802, "017b7d", "{}"),
            (3802, "7b7d", "binary \\x7b7d (of type 3802, which is not read)"),
            (1082, "00000000", "2000-01-01"),
            (1082, "7fffffff", "infinity"),
            (1083, "00000009cd2e2100", "11:41:37.058048"),
            (1114, "0000000000000001", "2000-01-01 00:00:00.000001"),
            (1184, "ffffffffffffffff", "1999-12-31 23:59:59.999999+00"),
            (1007, "00000001000000000000001700000002000000010000000400000001000000040000000a", "{1, 10}"),
            (
                1009,
                "000000010000000100000019000000030000000100000004612c2062ffffffff0000000161",
                "{\"a, b\", NULL, \"a\"}",
            ),
            (1007, "000000000000000000000017", "{}"),
            (23, "00", "binary \\x00 (of type 23, which is not read)"),
            (99_999, "6162", "binary \\x6162 (of type 99999, which is not read)"),
        ] {
            check(type_oid, hex, shown);
        }
    }

    #[test]
    fn what_is_not_known_is_shown_whole() {
        let long = vec![0xab; 5000];
        let shown = parameter(None, 1, Some(&long));
        assert!(shown.contains(&"ab".repeat(5000)), "{}", shown.len());
        assert_eq!(
            parameter(None, 1, Some(&[0, 0, 0, 42])),
            "binary \\x0000002a (of a type that is not known, perhaps 42)"
        );
        assert_eq!(
            parameter(None, 1, Some(b"word")),
            "binary \\x776f7264 (of a type that is not known, perhaps 2003792484 or \"word\")"
        );
        assert_eq!(parameter(Some(23), 0, Some(b"\xff")), "binary \\xff", "text that is none");
        assert_eq!(parameter(Some(23), 0, None), "NULL");
    }

    #[test]
    fn arrays_that_lie_are_bytes() {
        for value in [
            &[0_u8; 11][..],
            &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 23],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1],
            &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 23],
        ] {
            assert_eq!(array(value), None);
        }
        let mut bind = vec![0; MOST_SHOWN + 1];
        bind[0] = b'B';
        assert!(parameters(&bind, |_| None).is_err());
    }
}
