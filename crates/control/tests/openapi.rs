//! The description of the interface that is checked in, and what may not be changed in it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api").join(name)
}

fn described() -> Value {
    serde_json::to_value(doorward_control::openapi()).unwrap()
}

/// `UPDATE_EXPECT=1` writes it anew.
#[test]
fn the_file_that_is_checked_in_is_what_the_types_say() {
    let text = format!("{}\n", serde_json::to_string_pretty(&described()).unwrap());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(file("openapi.json"), &text).unwrap();
    }
    let known = std::fs::read_to_string(file("openapi.json")).unwrap();
    assert!(
        known == text,
        "docs/api/openapi.json is not what the types say: run with UPDATE_EXPECT=1, and read the diff"
    );
}

/// `released.json` is the interface that others rely on. It is replaced at a release, by nothing but additions.
#[test]
fn nothing_that_others_rely_on_is_broken() {
    let released: Value = serde_json::from_str(&std::fs::read_to_string(file("released.json")).unwrap()).unwrap();
    let broken = breaks(&released, &described());
    assert!(broken.is_empty(), "this breaks callers of version 1:\n{}", broken.join("\n"));
}

/// What a caller of the old interface would stumble over in the new one.
fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for (path, item) in old["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            match new["paths"][path].get(method) {
                None => out.push(format!("{at}: gone")),
                Some(now) => operation_breaks(&at, operation, now, old, new, &mut out),
            }
        }
    }
    out
}

fn operation_breaks(at: &str, old: &Value, new: &Value, before: &Value, after: &Value, out: &mut Vec<String>) {
    let parameters = |of: &Value| of["parameters"].as_array().cloned().unwrap_or_default();
    for p in parameters(new).iter().filter(|p| p["required"] == true) {
        if !parameters(old).iter().any(|o| o["name"] == p["name"] && o["required"] == true) {
            out.push(format!("{at}: parameter {} is required", p["name"]));
        }
    }
    for p in parameters(old) {
        if !parameters(new).iter().any(|n| n["name"] == p["name"] && n["in"] == p["in"]) {
            out.push(format!("{at}: parameter {} is gone", p["name"]));
        }
    }
    for (status, answer) in old["responses"].as_object().unwrap() {
        match new["responses"].get(status) {
            None => out.push(format!("{at}: no answer {status}")),
            Some(now) => body_breaks(&format!("{at} {status}"), answer, now, (before, after), false, out),
        }
    }
    if new["requestBody"]["required"] == true && old["requestBody"]["required"] != true {
        out.push(format!("{at}: a body is required"));
    }
    body_breaks(&format!("{at} body"), &old["requestBody"], &new["requestBody"], (before, after), true, out);
}

fn body_breaks(at: &str, old: &Value, new: &Value, whole: (&Value, &Value), is_sent: bool, out: &mut Vec<String>) {
    for (kind, content) in old["content"].as_object().into_iter().flatten() {
        match new["content"].get(kind) {
            None => out.push(format!("{at}: no {kind}")),
            Some(now) => schema_breaks(at, &content["schema"], &now["schema"], whole, is_sent, 0, out),
        }
    }
}

fn followed<'a>(schema: &'a Value, whole: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => &whole["components"]["schemas"][name.rsplit('/').next().unwrap()],
        None => schema,
    }
}

fn schema_breaks(
    at: &str,
    old: &Value,
    new: &Value,
    whole: (&Value, &Value),
    is_sent: bool,
    depth: usize,
    out: &mut Vec<String>,
) {
    let (old, new) = (followed(old, whole.0), followed(new, whole.1));
    if depth > 12 {
        return;
    }
    if old["type"] != new["type"] {
        out.push(format!("{at}: {} became {}", old["type"], new["type"]));
    }
    let required = |of: &Value| -> BTreeSet<String> {
        of["required"].as_array().into_iter().flatten().filter_map(|r| r.as_str().map(ToOwned::to_owned)).collect()
    };
    if is_sent {
        out.extend(required(new).difference(&required(old)).map(|r| format!("{at}.{r}: required of callers")));
    } else {
        out.extend(required(old).difference(&required(new)).map(|r| format!("{at}.{r}: may be missing")));
    }
    for (name, property) in old["properties"].as_object().into_iter().flatten() {
        match new["properties"].get(name) {
            None => out.push(format!("{at}.{name}: gone")),
            Some(now) => schema_breaks(&format!("{at}.{name}"), property, now, whole, is_sent, depth + 1, out),
        }
    }
    if old.get("items").is_some() {
        schema_breaks(&format!("{at}[]"), &old["items"], &new["items"], whole, is_sent, depth + 1, out);
    }
}

/// The check finds what it is for.
#[test]
fn breaking_changes_are_found() {
    let old = described();
    assert_eq!(breaks(&old, &old), Vec::<String>::new());
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        breaks(&old, &new)
    };
    let gone = edit(&|n| drop(n["paths"].as_object_mut().unwrap().remove("/api/v1/sessions")));
    assert_eq!(gone, ["get /api/v1/sessions: gone"]);
    let property = edit(&|n| {
        drop(n["components"]["schemas"]["SessionView"]["properties"].as_object_mut().unwrap().remove("client"));
    });
    let at = |what: &str| {
        [format!("get /api/v1/sessions 200.sessions[].{what}"), format!("get /api/v1/sessions/{{id}} 200.{what}")]
    };
    assert_eq!(property, at("client: gone"));
    let kind = edit(&|n| n["components"]["schemas"]["SessionView"]["properties"]["started"]["type"] = json!("string"));
    assert_eq!(kind, at("started: \"integer\" became \"string\""));
    let sent = edit(&|n| n["components"]["schemas"]["CredentialRequest"]["required"] = json!(["connection", "why"]));
    assert_eq!(sent, ["post /api/v1/credentials body.why: required of callers"]);
    let parameter = edit(&|n| {
        n["paths"]["/api/v1/approvals"]["get"]["parameters"][0]["required"] = json!(true);
    });
    assert_eq!(parameter.len(), 1, "{parameter:?}");
    let added = edit(&|n| n["components"]["schemas"]["SessionView"]["properties"]["more"] = json!({"type": "string"}));
    assert_eq!(added, Vec::<String>::new());
}
