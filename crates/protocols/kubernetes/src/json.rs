//! JSON with one reading. What an object has twice under one name is read in two ways: what is looked at would not be all
//! that a caller gets.
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{cell::Cell, fmt};

/// Reads a value; also whether a name stood twice in one object: then the bytes that it was read from are not to be passed.
///
/// # Errors
/// Where it is no JSON, or nested more deeply than 128 times.
pub fn read(bytes: &[u8]) -> serde_json::Result<(Value, bool)> {
    let is_twofold = Cell::new(false);
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let value = Once(&is_twofold).deserialize(&mut from)?;
    from.end()?;
    Ok((value, is_twofold.get()))
}

/// What a value takes as a tree, in bytes: one with nothing in it but lists of one element each, as they are allocated.
const OF_A_VALUE: usize = 320;

/// How much memory the tree of a text takes at most, with the text itself and what is written anew of it, in bytes. It is more
/// than what is taken: trees were measured at up to 128 times their text, and mostly take five to ten times.
pub fn weight(bytes: &[u8]) -> usize {
    // In strings, too: more is not less. By so many that a byte can count them: each object of a list is counted, and so
    // it takes a fifth of the time.
    let few =
        |few: &[u8]| few.iter().fold(0_u8, |n, byte| n.wrapping_add(matches!(byte, b',' | b':' | b'[' | b'{').into()));
    let values: usize = bytes.chunks(usize::from(u8::MAX)).map(|bytes| usize::from(few(bytes))).sum();
    bytes.len().saturating_mul(2).saturating_add((values + 1).saturating_mul(OF_A_VALUE))
}

#[derive(Clone, Copy)]
struct Once<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Value, E> {
        Number::from_f64(n).map(Value::Number).ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = from.next_element_seed(self)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let value = from.next_value_seed(self)?;
            if out.insert(name, value).is_some() {
                self.0.set(true);
            }
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stands_twice_is_known() {
        let text = r#"{"a": [1, -2, 2.5, "x\u0000", true, null, {}], "b": {"c": 18446744073709551615}}"#;
        assert_eq!(read(text.as_bytes()).unwrap(), (serde_json::from_str(text).unwrap(), false));
        for twofold in [r#"{"a": 1, "a": 2}"#, r#"{"a": 1, "\u0061": 2}"#] {
            assert_eq!(read(twofold.as_bytes()).unwrap(), (json!({"a": 2}), true));
        }
        assert!(read(br#"[{"x": {"a": [], "a": {}}}]"#).unwrap().1);
        let deep = "[".repeat(10_000);
        for bad in ["", "{", "1 2", "{a: 1}", "\"\u{0}\"", deep.as_str()] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(b"\"\xff\"").is_err());
    }

    /// The memory of a tree, as its parts say it.
    fn size(value: &Value) -> usize {
        let own = std::mem::size_of::<Value>();
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => own,
            Value::String(text) => own + text.capacity(),
            Value::Array(items) => own + (items.capacity() - items.len()) * own + items.iter().map(size).sum::<usize>(),
            // A name, a hash, a place in the table.
            Value::Object(map) => {
                own + map.iter().map(|(name, value)| name.capacity() + 48 + size(value)).sum::<usize>()
            }
        }
    }

    #[test]
    fn a_tree_takes_no_more_than_it_weighs() {
        for part in
            ["0", "[]", "{}", "[0]", "[[[[[0]]]]]", r#"{"a":0}"#, r#"{"a":{"b":{"c":[1,2]}}}"#, r#""""#, r#""abc""#]
        {
            let text = format!("[{}]", vec![part; 10_000].join(","));
            let (tree, _) = read(text.as_bytes()).unwrap();
            assert!(size(&tree) < weight(text.as_bytes()), "{part}: {} {}", size(&tree), weight(text.as_bytes()));
        }
        assert_eq!(weight(&[b'['; 1000]), 2000 + 1001 * OF_A_VALUE);
        let long = format!("\"{}\"", "x".repeat(1 << 20));
        assert!(weight(long.as_bytes()) < 3 << 20, "texts are not trees");
    }
}
