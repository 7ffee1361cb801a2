//! What a caller may not see of objects, taken out of them: fields, and values of kinds that recognizers find.
//!
//! The types of values stay: numbers become 0, truth becomes false, what is base64 stays base64.
use crate::field::Field;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use doorward_detect::{Detector, Hint, Masked, Masker, TypeSet, ValueShape};
use doorward_model::{DataType, Operator};
use serde_json::{Map, Value};

/// What was applied last, as a text in an annotation (`kubectl apply`).
const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
/// Stands for a text in which a value was that is hidden.
const HELD_ONE: &str = "[masked: it held a value that you may not see]";

/// A field that is hidden from a caller, and what stands in its place.
#[derive(Clone, Copy, Debug)]
pub struct Hidden<'a> {
    /// Which.
    pub field: &'a Field,
    /// What makes the mask.
    pub operator: &'a Operator,
    /// What the mask is called.
    pub label: &'a str,
}

/// What masks.
#[derive(Clone, Copy, Debug)]
pub struct Veil<'a> {
    /// The recognizers.
    pub detector: &'a Detector,
    /// The operators.
    pub masker: &'a Masker,
    /// Kinds of values that are hidden, and their operators.
    pub types: &'a [(DataType, Operator)],
}

impl Veil<'_> {
    /// Takes out of an object what is hidden. Whether that changed it.
    pub fn object(&self, object: &mut Value, kind: &str, hidden: &[Hidden<'_>]) -> bool {
        let values = hidden_values(object, hidden);
        let mut changed = self.fields(object, kind, hidden);
        if !values.is_empty() {
            changed |= forget_managed(object, &values);
        }
        changed | self.found_in_applied(object) | self.found(object)
    }

    /// What recognizers find in what was applied last, while it still has its values one by one.
    fn found_in_applied(&self, object: &mut Value) -> bool {
        let Some(Value::String(text)) = object.pointer_mut(LAST_APPLIED) else { return false };
        let Ok(mut applied) = serde_json::from_str::<Value>(text) else { return false };
        let changed = self.found(&mut applied);
        if changed {
            *text = applied.to_string();
        }
        changed
    }

    /// Fields alone, in the object and in what was applied last.
    fn fields(&self, object: &mut Value, kind: &str, hidden: &[Hidden<'_>]) -> bool {
        let mut changed = false;
        for one in hidden {
            for place in one.field.places(object) {
                if let Some(value) = object.pointer_mut(&place) {
                    changed |= self.cover(value, &place, kind, one);
                }
            }
        }
        if let (Some(Value::String(text)), false) = (object.pointer_mut(LAST_APPLIED), hidden.is_empty()) {
            match serde_json::from_str::<Value>(text) {
                Ok(mut applied) => {
                    if self.fields(&mut applied, kind, hidden) {
                        *text = applied.to_string();
                        changed = true;
                    }
                }
                Err(_) => {
                    HELD_ONE.clone_into(text);
                    changed = true;
                }
            }
        }
        changed
    }

    /// What stands in a field, in all of it.
    fn cover(&self, value: &mut Value, place: &str, kind: &str, hidden: &Hidden<'_>) -> bool {
        match value {
            Value::Null => return false,
            Value::Bool(flag) => *flag = false,
            Value::Number(_) => *value = 0.into(),
            Value::String(text) => {
                let masked = if is_bytes(kind, place) {
                    let bytes = BASE64_STANDARD.decode(text.as_bytes()).unwrap_or_else(|_| text.as_bytes().to_vec());
                    self.masked(&bytes, hidden).map(|masked| BASE64_STANDARD.encode(masked))
                } else {
                    self.masked(text.as_bytes(), hidden).map(|masked| String::from_utf8_lossy(&masked).into_owned())
                };
                *value = masked.map_or(Value::Null, Value::String);
            }
            Value::Array(items) => {
                return items.iter_mut().fold(false, |any, item| self.cover(item, place, kind, hidden) | any);
            }
            Value::Object(map) => {
                return map.values_mut().fold(false, |any, item| self.cover(item, place, kind, hidden) | any);
            }
        }
        true
    }

    fn masked(&self, value: &[u8], hidden: &Hidden<'_>) -> Option<Vec<u8>> {
        match self.masker.apply(hidden.operator, hidden.label, value, ValueShape::Text) {
            Masked::Null => None,
            Masked::Bytes(bytes) => Some(bytes),
        }
    }

    /// What recognizers find, in names and values.
    pub fn found(&self, value: &mut Value) -> bool {
        if self.types.is_empty() {
            return false;
        }
        let wanted = self.types.iter().map(|(kind, _)| *kind).collect();
        self.found_in(value, Hint::default(), wanted)
    }

    fn found_in(&self, value: &mut Value, hint: Hint, wanted: TypeSet) -> bool {
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => {
                let hit = self.text(number.to_string().as_bytes(), hint, wanted).is_some();
                if hit {
                    *value = 0.into();
                }
                hit
            }
            Value::String(text) => self.found_in_text(text, hint, wanted),
            Value::Array(items) => items.iter_mut().fold(false, |any, item| self.found_in(item, hint, wanted) | any),
            Value::Object(map) => self.found_in_map(map, wanted),
        }
    }

    fn found_in_map(&self, map: &mut Map<String, Value>, wanted: TypeSet) -> bool {
        let mut changed = false;
        for (name, value) in map.iter_mut() {
            changed |= self.found_in(value, Hint::from_column(name), wanted);
        }
        if map.keys().any(|name| self.text(name.as_bytes(), Hint::default(), wanted).is_some()) {
            let renamed = std::mem::take(map).into_iter().map(|(name, value)| {
                match self.text(name.as_bytes(), Hint::default(), wanted) {
                    Some(masked) => (String::from_utf8_lossy(&masked).into_owned(), value),
                    None => (name, value),
                }
            });
            *map = renamed.collect();
            changed = true;
        }
        changed
    }

    /// In a text, or in what it is the base64 of.
    fn found_in_text(&self, text: &mut String, hint: Hint, wanted: TypeSet) -> bool {
        if let Some(masked) = self.text(text.as_bytes(), hint, wanted) {
            *text = String::from_utf8_lossy(&masked).into_owned();
            return true;
        }
        // The shortest value that anything is found in is longer than that.
        if text.len() < 8 || !text.len().is_multiple_of(4) {
            return false;
        }
        let Ok(bytes) = BASE64_STANDARD.decode(text.as_bytes()) else { return false };
        let Some(masked) = self.text(&bytes, hint, wanted) else { return false };
        *text = BASE64_STANDARD.encode(masked);
        true
    }

    /// A text without what is found in it; none where nothing is.
    fn text(&self, text: &[u8], hint: Hint, wanted: TypeSet) -> Option<Vec<u8>> {
        if !self.detector.may_contain_hinted(text, hint, wanted) {
            return None;
        }
        let found = self.detector.scan(text, &hint, wanted);
        if found.is_empty() {
            return None;
        }
        let operator = |of| self.types.iter().find(|(kind, _)| *kind == of).map_or(&Operator::Redact, |(_, o)| o);
        let mut out = Vec::with_capacity(text.len());
        self.masker.mask_text(text, &found, operator, &mut out);
        Some(out)
    }

    /// Whether what an object would become has masks where values were that the caller may not see.
    pub fn loses(&self, before: &Value, after: &Value, kind: &str, hidden: &[Hidden<'_>]) -> bool {
        hidden.iter().any(|one| {
            one.field.places(before).iter().any(|place| {
                let (Some(was), Some(is)) = (before.pointer(place), after.pointer(place)) else { return false };
                let mut masked = was.clone();
                was != is && self.cover(&mut masked, place, kind, one) && masked == *is
            })
        })
    }

    /// Texts of an answer that is no object (`Status`): those that tell a hidden value of an object are replaced.
    pub fn tales(&self, answer: &mut Value, values: &[String]) -> bool {
        let tells = |text: &str| values.iter().any(|value| text.contains(value.as_str()));
        let mut changed = false;
        let mut todo = vec![answer];
        while let Some(value) = todo.pop() {
            match value {
                Value::String(text) if tells(text) => {
                    HELD_ONE.clone_into(text);
                    changed = true;
                }
                Value::Array(items) => todo.extend(items),
                Value::Object(map) => todo.extend(map.values_mut()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        changed
    }
}

/// The texts that stand in hidden fields of an object, and what they are the base64 of.
pub fn hidden_values(object: &Value, hidden: &[Hidden<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    let places = hidden.iter().flat_map(|one| one.field.places(object));
    let mut todo: Vec<&Value> = places.filter_map(|place| object.pointer(&place)).collect();
    while let Some(value) = todo.pop() {
        match value {
            Value::String(text) => {
                let decoded = BASE64_STANDARD.decode(text.as_bytes()).ok().and_then(|b| String::from_utf8(b).ok());
                out.extend([Some(text.clone()), decoded].into_iter().flatten().filter(|text| !text.is_empty()));
            }
            Value::Number(number) => out.push(number.to_string()),
            Value::Array(items) => todo.extend(items),
            Value::Object(map) => todo.extend(map.values()),
            Value::Null | Value::Bool(_) => {}
        }
    }
    out
}

/// A mask as it stands where the API has bytes.
pub fn in_bytes(mask: &str) -> String {
    BASE64_STANDARD.encode(mask)
}

/// Whether the API has bytes there, which are base64 in JSON.
fn is_bytes(kind: &str, place: &str) -> bool {
    match kind {
        "secrets" => place.starts_with("/data/"),
        "configmaps" => place.starts_with("/binaryData/"),
        "certificatesigningrequests.certificates.k8s.io" => matches!(place, "/spec/request" | "/status/certificate"),
        _ => place.ends_with("/caBundle"),
    }
}

/// Who manages which field: keys of lists and elements of sets are named by their values.
fn forget_managed(object: &mut Value, values: &[String]) -> bool {
    let quoted: Vec<String> = values.iter().map(|value| Value::String(value.clone()).to_string()).collect();
    let inner = |text: &str| text.get(1..text.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let texts: Vec<String> = quoted.iter().map(|text| inner(text)).collect();
    let names_one = |name: &String| {
        (name.starts_with("k:") || name.starts_with("v:")) && texts.iter().any(|text| name.contains(text.as_str()))
    };
    let mut changed = false;
    let mut todo: Vec<&mut Value> = object.pointer_mut("/metadata/managedFields").into_iter().collect();
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(map) => {
                let before = map.len();
                map.retain(|name, _| !names_one(name));
                changed |= map.len() != before;
                todo.extend(map.values_mut());
            }
            Value::Array(items) => todo.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    changed
}

#[cfg(test)]
#[path = "veil_tests.rs"]
mod tests;
