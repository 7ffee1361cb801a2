//! How a command ended: a `Status` (`v4.channel.k8s.io` and later), or text (before).
//!
//! An API server can write there what it likes. So what the caller may not see is masked in each text of it, and what is
//! no text is written anew: numbers that are too large for one could be values.
use serde_json::{Map, Value};

/// The longest, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// Causes in its details; those of commands have one.
const MOST_CAUSES: usize = 16;

/// Whether it is a whole `Status`.
pub fn is_whole(bytes: &[u8]) -> bool {
    matches!(serde_json::from_slice::<Value>(bytes), Ok(Value::Object(_)))
}

/// The same, with each text as `mask` leaves it.
pub fn masked(bytes: &[u8], mask: &mut dyn FnMut(&str) -> String) -> Vec<u8> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(status)) => Value::Object(anew(&status, mask)).to_string().into_bytes(),
        Ok(_) | Err(_) => mask(&String::from_utf8_lossy(bytes)).into_bytes(),
    }
}

fn anew(status: &Map<String, Value>, mask: &mut dyn FnMut(&str) -> String) -> Map<String, Value> {
    let mut out = texts(status, &["kind", "apiVersion", "status", "message", "reason"], mask);
    out.insert("metadata".into(), Value::Object(Map::new()));
    number(status, "code", &mut out);
    if let Some(Value::Object(details)) = status.get("details") {
        let mut kept = texts(details, &["name", "group", "kind", "uid"], mask);
        number(details, "retryAfterSeconds", &mut kept);
        if let Some(Value::Array(causes)) = details.get("causes") {
            let causes = causes.iter().take(MOST_CAUSES).filter_map(Value::as_object);
            let causes = causes.map(|c| Value::Object(texts(c, &["reason", "message", "field"], mask)));
            kept.insert("causes".into(), causes.collect());
        }
        out.insert("details".into(), Value::Object(kept));
    }
    out
}

fn texts(from: &Map<String, Value>, names: &[&str], mask: &mut dyn FnMut(&str) -> String) -> Map<String, Value> {
    let text = |name: &&str| Some(((*name).to_owned(), from.get(*name)?.as_str()?));
    names.iter().filter_map(text).map(|(name, text)| (name, Value::String(mask(text)))).collect()
}

/// A number of up to five digits: there is no value that short.
fn number(from: &Map<String, Value>, name: &str, out: &mut Map<String, Value>) {
    if let Some(n) = from.get(name).and_then(Value::as_u64).filter(|n| *n < 100_000) {
        out.insert(name.into(), n.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str) -> String {
        let mut mask = |text: &str| text.replace("4111111111111111", "[card]");
        String::from_utf8(masked(said.as_bytes(), &mut mask)).unwrap()
    }

    #[test]
    fn what_commands_end_with_stays_as_it_is() {
        let ok = r#"{"metadata":{},"status":"Success"}"#;
        let exit = r#"{"details":{"causes":[{"message":"7","reason":"ExitCode"}]},"message":"command terminated with non-zero exit code","metadata":{},"reason":"NonZeroExitCode","status":"Failure"}"#;
        for said in [ok, exit] {
            let (before, after): (Value, Value) =
                (serde_json::from_str(said).unwrap(), serde_json::from_str(&check(said)).unwrap());
            assert_eq!(before, after);
        }
    }

    #[test]
    fn values_in_it_are_masked_wherever_they_stand() {
        for said in [
            r#"{"message":"4111111111111111"}"#,
            r#"{"message":"\u0034111111111111111"}"#,
            r#"{"details":{"causes":[{"message":"x 4111111111111111"}]}}"#,
            r#"{"code":4111111111111111}"#,
            r#"{"4111111111111111":1}"#,
            r#"{"metadata":{"x":"4111111111111111"}}"#,
            "4111111111111111",
            r#""4111111111111111""#,
            r#"["4111111111111111"]"#,
            r#"{"message":"4111111111111111""#,
        ] {
            assert!(!check(said).contains("4111111111111111"), "{said}");
        }
    }
}
