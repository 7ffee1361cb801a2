//! What people are shown of a held request: how it is sent, and its body. Of a Secret, digests in place of the values.
use crate::{
    facts::{Road, road},
    json,
    target::{ResourcePath, Target},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_enforce::{MOST_SHOWN, NotShown, Shown, ShownPart};
use doorward_model::Action;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The most memory that the tree of a body may take, in bytes, as [`json::weight`] has it.
const LARGEST_TREE: usize = 64 * MOST_SHOWN;

/// A request as it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its first line and its headers, but for what names the run of a client.
    pub head: &'a str,
    /// The type of its body, as its header has it.
    pub media_type: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

/// The name of a parameter, in quotes where it is none that the API has: it must not look like another line.
fn plain(name: &str) -> String {
    let is_plain =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if is_plain { name.to_owned() } else { format!("{name:?}") }
}

/// Everything that would be done, besides the line that names it.
///
/// # Errors
/// Where its body cannot be shown whole, or has more than one reading.
pub fn shown(target: &Target, sent: &Sent<'_>) -> Result<Shown, NotShown> {
    let mut shown = Shown::default();
    let page_only = |name: &str, text: String| ShownPart { name: name.to_owned(), text, page_only: true };
    shown.parts.push(page_only("Request", sent.head.trim_end().replace("\r\n", "\n")));
    let parameters: Vec<String> = target.query().map(|(name, value)| format!("{} = {value:?}", plain(name))).collect();
    if !parameters.is_empty() {
        shown.parts.push(page_only("Its parameters", parameters.join("\n")));
    }
    if let Some(path) = target.resource()
        && let Road::Stream(stream) = road(path, target.verb)
    {
        shown.notes.push(of_stream(stream).to_owned());
    }
    if !sent.body.is_empty() {
        let text = body(target.resource(), sent, &mut shown)?;
        let media_type = if sent.media_type.is_empty() { "no type given" } else { sent.media_type };
        shown.parts.push(page_only(&format!("Body ({media_type})"), text));
    }
    Ok(shown)
}

const fn of_stream(stream: Action) -> &'static str {
    if matches!(stream, Action::Exec | Action::Attach) {
        "What the caller types or sends to its standard input is not shown here, and no part of what is approved."
    } else {
        "What goes through the connection is not shown here, and no part of what is approved."
    }
}

/// Whether a body of this type can be JSON, and whether it can be YAML.
fn is_text(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        essence.as_str(),
        "" | "application/json"
            | "application/json-patch+json"
            | "application/merge-patch+json"
            | "application/strategic-merge-patch+json"
            | "application/yaml"
            | "application/apply-patch+yaml"
    )
}

fn body(path: Option<&ResourcePath>, sent: &Sent<'_>, shown: &mut Shown) -> Result<String, NotShown> {
    let unreadable =
        |what: String| NotShown { what, next: "send it as JSON, which people can read before they approve" };
    if sent.body.len() > MOST_SHOWN {
        return Err(NotShown::too_long("its body", sent.body.len()));
    }
    if !is_text(sent.media_type) {
        return Err(unreadable(format!("its body is `{}`, which people cannot read", sent.media_type.escape_debug())));
    }
    let Ok(text) = std::str::from_utf8(sent.body) else {
        return Err(unreadable("its body is no UTF-8".into()));
    };
    if json::weight(sent.body) > LARGEST_TREE {
        return Err(NotShown::too_long("its body", json::weight(sent.body)));
    }
    let read = json::read(sent.body).ok();
    if read.as_ref().is_some_and(|(_, is_twofold)| *is_twofold) {
        let what = "a name stands twice in one object of its body, which can be read in two ways";
        return Err(NotShown { what: what.into(), next: "send each name once" });
    }
    let is_secret = path.is_some_and(|path| path.group.is_empty() && path.resource == "secrets")
        || read.as_ref().is_some_and(|(value, _)| value.get("kind").and_then(Value::as_str) == Some("Secret"));
    match read {
        Some((value, _)) if is_secret => {
            shown.unseen.push(
                "the values of the Secret and of its annotations: the SHA-256 of each stands in its place".into(),
            );
            shown.notes.push(
                "A digest is of the value itself, without its Base64. Who guesses a value can tell by its digest."
                    .into(),
            );
            let hidden = hidden(value);
            Ok(serde_json::to_string_pretty(&hidden).unwrap_or_default())
        }
        None if is_secret => {
            let what = "the body is a Secret's and no JSON, so that its values cannot be kept out of what people read";
            Err(unreadable(what.into()))
        }
        Some(_) => Ok(indented(text).unwrap_or_else(|| text.to_owned())),
        None => Ok(text.to_owned()),
    }
}

/// A Secret, or a patch of one, without its values. What is not known to be none is one.
fn hidden(value: Value) -> Value {
    if let Value::Array(operations) = value {
        return Value::Array(operations.into_iter().map(hidden_operation).collect());
    }
    hide(value, &[])
}

/// An operation of a JSON patch (RFC 6902).
fn hidden_operation(operation: Value) -> Value {
    let Value::Object(mut fields) = operation else { return hide(operation, &["?"]) };
    let path = fields.get("path").and_then(Value::as_str).unwrap_or("/?").to_owned();
    let at: Vec<&str> = path.split('/').skip(1).collect();
    let value = fields.shift_remove("value").map(|value| hide(value, &at));
    let rest = fields.into_iter().map(|(name, field)| {
        let is_plain = matches!(name.as_str(), "op" | "path" | "from");
        (name, if is_plain { field } else { hide(field, &["?"]) })
    });
    Value::Object(rest.chain(value.map(|value| ("value".to_owned(), value))).collect())
}

/// What of a Secret is no value of it.
fn is_plain(at: &[&str]) -> bool {
    match at {
        ["apiVersion" | "kind" | "type" | "immutable"] => true,
        // Annotations may repeat the data: `kubectl apply` keeps the whole object in one of them, other tools in theirs.
        ["metadata", "annotations" | "managedFields", ..] => false,
        ["metadata", _, ..] => true,
        // A directive of strategic merge patches: no key of a Secret is called so.
        [.., last] => *last == "$patch",
        [] => false,
    }
}

fn hide(value: Value, at: &[&str]) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, field)| {
                    let field = hide(field, &[at, &[name.as_str()]].concat());
                    (name, field)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| hide(item, &[at, &["-"]].concat())).collect()),
        Value::String(_) if is_plain(at) => value,
        Value::String(text) => {
            let bytes = match at.first() {
                Some(&"data") => STANDARD.decode(&text).unwrap_or_else(|_| text.into_bytes()),
                Some(_) | None => text.into_bytes(),
            };
            Value::String(digest(&bytes))
        }
        Value::Number(number) if !is_plain(at) => Value::String(digest(number.to_string().as_bytes())),
        Value::Number(_) | Value::Bool(_) | Value::Null => value,
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("[{} bytes, SHA-256 {}]", bytes.len(), hex::encode(Sha256::digest(bytes)))
}

/// JSON with each value on a line of its own, and every character that is not space between values as it was; none where
/// that would be longer than anybody is shown.
fn indented(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped, mut is_fresh) = (0_usize, false, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for c in text.chars() {
        if out.len() > MOST_SHOWN {
            return None;
        }
        if in_string {
            (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
            out.push(c);
            continue;
        }
        if matches!(c, ' ' | '\t' | '\r' | '\n') {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // Right after an opening bracket, unless it closes at once; before a closing one.
        if is_fresh != closes {
            line(&mut out, depth);
        }
        is_fresh = matches!(c, '{' | '[');
        if is_fresh {
            depth += 1;
        }
        in_string = c == '"';
        out.push(c);
        match c {
            ',' => line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str, media_type: &str, body: &[u8]) -> Result<Shown, NotShown> {
        shown(&Target::parse(method, path).unwrap(), &Sent { head: "HEAD\r\n\r\n", media_type, body })
    }

    fn body_of(path: &str, media_type: &str, body: &[u8]) -> String {
        let shown = of("PATCH", path, media_type, body);
        shown.map_or_else(|why| format!("REFUSED {}", why.what), |shown| shown.parts.last().unwrap().text.clone())
    }

    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/a/deployments/d?fieldManager=k%0Ax&force=true";
    const SECRET: &str = "/api/v1/namespaces/a/secrets/s";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";

    #[test]
    fn a_body_is_shown_as_it_was_sent() {
        let shown = of("PATCH", DEPLOYMENT, STRATEGIC, b"{}").unwrap();
        let parts: Vec<_> = shown.parts.iter().map(|p| (p.name.as_str(), p.text.as_str(), p.page_only)).collect();
        assert_eq!(
            parts,
            [
                ("Request", "HEAD", true),
                ("Its parameters", "fieldManager = \"k\\nx\"\nforce = \"true\"", true),
                ("Body (application/strategic-merge-patch+json)", "{}", true),
            ]
        );
        assert!(shown.is_whole());
        let json = br#"{"a":[1,{"b":"x, {y}: \"z\\"}],"c":[ ],"u":"\u202e"}"#;
        assert_eq!(
            body_of(DEPLOYMENT, "application/json; charset=utf-8", json),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x, {y}: \\\"z\\\\\"\n    }\n  ],\n  \"c\": [],\n  \"u\": \"\\u202e\"\n}"
        );
        let yaml = "a: &x 1\nb: *x # c\n";
        assert_eq!(body_of(DEPLOYMENT, "application/apply-patch+yaml", yaml.as_bytes()), yaml);
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        for (media_type, body, why) in [
            ("application/vnd.kubernetes.protobuf", &b"k8s\0"[..], "which people cannot read"),
            ("application/cbor", b"\xd9\xd9\xf7", "which people cannot read"),
            ("application/json, application/cbor", b"{}", "which people cannot read"),
            ("application/apply-patch+yaml", b"\xff\xfea\0", "no UTF-8"),
            ("application/json", br#"{"a":1,"a":2}"#, "stands twice"),
            ("application/apply-patch+yaml", br#"{"a":{"b":1,"\u0062":2}}"#, "stands twice"),
        ] {
            let shown = body_of(DEPLOYMENT, media_type, body);
            assert!(shown.starts_with("REFUSED") && shown.contains(why), "{media_type}: {shown}");
        }
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(MOST_SHOWN));
        assert!(body_of(DEPLOYMENT, "application/json", long.as_bytes()).contains("1048576"));
        let deep = format!("{}{}", "[".repeat(100), "1,".repeat(30_000));
        let deep = format!("{}1{}", deep, "]".repeat(100));
        assert_eq!(
            body_of(DEPLOYMENT, "application/json", deep.as_bytes()),
            deep,
            "as it is where indented is too long"
        );
    }

    #[test]
    fn values_of_a_secret_are_not_shown() {
        let own = r#"{"kind":"Secret","apiVersion":"v1","type":"Opaque","metadata":{"name":"seen","labels":{"l":"seen"},
            "annotations":{"tool.example/copy":"hunter2","kubectl.kubernetes.io/last-applied-configuration":"{\"stringData\":\"hunter2\"}"}},
            "data":{"p":"aHVudGVyMg==","n":null},"stringData":{"q":"hunter2"},"odd":{"deep":["hunter2",4711]}}"#;
        let shown = body_of(SECRET, "application/json", own.as_bytes());
        assert!(!shown.contains("hunter2") && !shown.contains("aHVu") && !shown.contains("4711"), "{shown}");
        let digest = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        assert_eq!(shown.matches(digest).count(), 4, "{shown}");
        assert_eq!(shown.matches("\"seen\"").count(), 2, "{shown}");
        assert!(shown.contains("\"n\": null") && shown.contains("[7 bytes, SHA-256"), "{shown}");
        for (media_type, body) in [
            ("application/merge-patch+json", r#"{"data":{"p":"aHVudGVyMg=="}}"#),
            (STRATEGIC, r#"{"stringData":{"p":"hunter2","$patch":"replace"}}"#),
            ("application/json-patch+json", r#"[{"op":"add","path":"/data/p","value":"aHVudGVyMg=="}]"#),
            ("application/json-patch+json", r#"[{"op":"replace","path":"","value":{"stringData":{"p":"hunter2"}}}]"#),
            ("application/json-patch+json", r#"[{"op":"add","value":"hunter2","x":"hunter2"},"hunter2"]"#),
            (
                "application/json-patch+json",
                r#"[{"op":"add","path":"/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration","value":"hunter2"}]"#,
            ),
            ("application/json-patch+json", r#"[{"op":"add","path":"/metadata/annotations/a","value":"hunter2"}]"#),
            ("application/json-patch+json", r#"[{"op":"add","path":"/metadata/annotations","value":{"a":"hunter2"}}]"#),
            ("application/merge-patch+json", r#"{"metadata":{"annotations":{"a":"hunter2"}}}"#),
            (STRATEGIC, r#"{"metadata":{"managedFields":[{"fieldsV1":{"f:data":"hunter2"}}]}}"#),
            ("application/apply-patch+yaml", r#"{"stringData":{"p":"hunter2"}}"#),
        ] {
            let shown = body_of(SECRET, media_type, body.as_bytes());
            assert!(!shown.contains("hunter2") && !shown.contains("aHVu") && shown.contains(digest), "{shown}");
        }
        let shown = of("PATCH", SECRET, STRATEGIC, b"{}").unwrap();
        assert!(!shown.is_whole() && shown.unseen[0].contains("SHA-256"), "{shown:?}");
        assert!(body_of(SECRET, "application/apply-patch+yaml", b"stringData: {p: hunter2}").contains("no JSON"));
        // Elsewhere, by what it says it is.
        let shown = body_of(DEPLOYMENT, "application/json", br#"{"kind":"Secret","data":{"p":"aHVudGVyMg=="}}"#);
        assert!(!shown.contains("aHVu"), "{shown}");
    }

    #[test]
    fn what_flows_is_no_part_of_it() {
        let exec = of("POST", "/api/v1/namespaces/a/pods/x/exec?command=sh&stdin=true", "", b"").unwrap();
        assert!(exec.notes[0].contains("standard input") && exec.parts.len() == 2, "{exec:?}");
        let forward = of("POST", "/api/v1/namespaces/a/pods/x/portforward", "", b"").unwrap();
        assert!(forward.notes[0].contains("goes through"), "{forward:?}");
    }
}
