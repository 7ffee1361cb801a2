//! JSON patches (RFC 6902), as far as they look at what is there: with `copy` and `move` a value that is hidden goes where
//! it is not, with `test` it can be guessed. Patches of other kinds hold all that they write.
use serde_json::Value;

/// Places that anybody may test: what clients make sure of before they write.
const PLAIN: [&str; 4] = ["/metadata/resourceVersion", "/metadata/uid", "/metadata/generation", "/metadata/name"];

/// The operation of a patch that looks at values of the object; none where there is none, or where it is another kind of
/// patch.
pub fn looks_at_values(patch: &[u8]) -> Option<String> {
    let first = patch.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        return None;
    }
    let Ok(Value::Array(operations)) = serde_json::from_slice::<Value>(patch) else {
        return Some("what is no JSON".into());
    };
    operations.iter().find_map(|operation| {
        let of = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
        match of("op") {
            "add" | "remove" | "replace" => None,
            "test" if PLAIN.contains(&of("path")) => None,
            other => Some(other.escape_debug().to_string()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_at_values_is_found() {
        for (patch, found) in [
            ("", None),
            (r#"{"op": "copy"}"#, None),
            (r#"[{"op": "add", "path": "/a", "value": 1}, {"op": "replace"}, {"op": "remove"}]"#, None),
            (r#"[{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]"#, None),
            (r#"[{"op": "test", "path": "/data/p", "value": "x"}]"#, Some("test")),
            (r#" [{"op": "add"}, {"op": "copy", "from": "/data", "path": "/metadata/annotations"}]"#, Some("copy")),
            (r#"[{"op": "m\u006fve"}]"#, Some("move")),
            (r#"[{"op": "add", "op": "copy"}]"#, Some("copy")),
            (r#"[{"OP": "copy"}]"#, Some("")),
            ("[1]", Some("")),
            ("[", Some("what is no JSON")),
        ] {
            assert_eq!(looks_at_values(patch.as_bytes()).as_deref(), found, "{patch}");
        }
    }
}
