//! An object with a field that is hidden, as a fuzzer makes it up: the first line names the field (`KIND:PATH`), the second
//! selectors, the rest is JSON. Shared with `fuzz/`.
use doorward_detect::{Detector, Masker};
use doorward_kubernetes::{
    field::Field,
    json, patch,
    veil::{Hidden, Told, Veil},
};
use doorward_model::{DataType, Operator};
use serde_json::Value;
use std::sync::LazyLock;

static DETECTOR: LazyLock<Detector> = LazyLock::new(Detector::new);
static MASKER: LazyLock<Masker> = LazyLock::new(|| Masker::new([7; 32]));
static TYPES: LazyLock<Vec<(DataType, Operator)>> =
    LazyLock::new(|| DataType::ALL.iter().map(|kind| (*kind, Operator::Redact)).collect());

/// Whether it came as far as an object with something hidden.
pub fn play(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let mut parts = text.splitn(3, '\n');
    let (name, selectors, body) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let plain: Option<Value> = serde_json::from_str(body).ok();
    patched(body, plain.as_ref());
    let read = json::read(body.as_bytes()).ok();
    assert_eq!(read.as_ref().map(|(value, _)| value), plain.as_ref(), "the last of two names counts, as elsewhere");
    assert!(json::weight(body.as_bytes()) >= body.len());
    let (Ok(field), Some((before, _))) = (Field::parse(name), read) else { return false };
    let (labels, fields) = selectors.split_once('|').unwrap_or((selectors, ""));
    let _asks = field.is_selected(labels, fields);
    let hidden = [Hidden { field: &field, operator: &Operator::Redact, label: "x" }];
    let told = Told::of(&before, &hidden);
    let mut errors = before.clone();
    told.hide_in(&mut errors);
    let values = told_texts(&errors);
    assert!(
        values.iter().all(|text| !told.is_in(text) || told.is_in("[masked: it held a value that you may not see]"))
    );
    veiled(&before, &field, &hidden)
}

/// Values that are texts, without names.
fn told_texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(told_texts).collect(),
        Value::Object(map) => map.values().flat_map(told_texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// What is hidden is not shown, and what is shown is hidden no more.
fn veiled(before: &Value, field: &Field, hidden: &[Hidden<'_>]) -> bool {
    let kind = field.kind.to_string();
    let fields_alone = Veil { detector: &DETECTOR, masker: &MASKER, types: &[] };
    let all = Veil { types: &TYPES, ..fields_alone };
    let mut once = before.clone();
    let changed = fields_alone.object(&mut once, &kind, hidden);
    assert!(changed || once == *before, "what is not changed is as it was");
    let mut twice = once.clone();
    fields_alone.object(&mut twice, &kind, hidden);
    assert_eq!(once, twice, "a mask is its own mask");
    let mut found = before.clone();
    all.object(&mut found, &kind, hidden);
    let mut again = found.clone();
    assert!(!all.found(&mut again), "something is found in what was masked: {found} {again}");
    let _loses = all.loses(before, &once, &kind, hidden);
    let _bares = all.bares(before, &once, hidden);
    changed
}

/// A patch that is let through has no operation that looks at values.
fn patched(body: &str, plain: Option<&Value>) {
    if patch::looks_at_values(body.as_bytes()).is_some() {
        return;
    }
    for operation in plain.and_then(Value::as_array).into_iter().flatten() {
        let op = operation.get("op").and_then(Value::as_str);
        assert!(matches!(op, Some("add" | "remove" | "replace" | "test")), "{op:?} is let through");
    }
}
