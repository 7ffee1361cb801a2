//! What a caller may not see of objects, taken out of them: fields, and values of kinds that recognizers find.
//!
//! The types of values stay: numbers become 0, truth becomes false, what is base64 stays base64.
use crate::field::Field;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use doorward_detect::{Detector, Hint, Masked, Masker, TypeSet, ValueShape};
use doorward_model::{DataType, Operator};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What was applied last, as a text in an annotation (`kubectl apply`).
const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
/// Stands for a text in which a value was that is hidden.
pub const HELD_ONE: &str = "[masked: it held a value that you may not see]";
/// How many times a text of an error is compared with a hidden value.
const MOST_COMPARED: usize = 1 << 20;

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
        let told = Told::of(object, hidden);
        let mut changed = self.fields(object, kind, hidden);
        if !told.is_empty() {
            changed |= forget_managed(object, &told);
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
        // In most objects nothing is found, and most of their texts are short: one look at all of them does.
        let mut all = Texts { detector: self.detector, wanted, hint: Hint::default(), bytes: Vec::new(), hit: false };
        all.add(value, Hint::default());
        all.finish() && self.found_in(value, Hint::default(), wanted)
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
        if !may_be_bytes(text) {
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
            let (was, is) = (one.field.places(before), one.field.places(after));
            // Elements of a list move when others come before them.
            let masks = |object: &Value, places: &[String]| {
                places
                    .iter()
                    .filter(|place| object.pointer(place).is_some_and(|v| self.is_mask(v, place, kind, one)))
                    .count()
            };
            masks(after, &is) > masks(before, &was)
        })
    }

    /// Whether fewer values are picked by what is beside them after a change: those that are left may be shown.
    pub fn bares(&self, before: &Value, after: &Value, hidden: &[Hidden<'_>]) -> bool {
        let picked = |one: &Hidden<'_>, object: &Value| one.field.places(object).len();
        hidden.iter().filter(|one| one.field.picks()).any(|one| picked(one, after) < picked(one, before))
    }

    /// Whether a value is what would be shown instead of it.
    fn is_mask(&self, value: &Value, place: &str, kind: &str, hidden: &Hidden<'_>) -> bool {
        let mut masked = value.clone();
        self.cover(&mut masked, place, kind, hidden) && masked == *value
    }
}

/// How much text is looked at at once, in bytes.
const AT_ONCE: usize = 64 * 1024;

/// Texts of a value, a line each: whether anything may be found in any of them. Says yes more often than looking at each.
struct Texts<'a> {
    detector: &'a Detector,
    wanted: TypeSet,
    hint: Hint,
    bytes: Vec<u8>,
    hit: bool,
}

impl Texts<'_> {
    fn add(&mut self, value: &Value, hint: Hint) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.line(number.to_string().as_bytes(), hint),
            Value::String(text) => {
                self.line(text.as_bytes(), hint);
                if may_be_bytes(text) {
                    let before = self.bytes.len();
                    if BASE64_STANDARD.decode_vec(text.as_bytes(), &mut self.bytes).is_err() {
                        self.bytes.truncate(before);
                    }
                    self.bytes.push(b'\n');
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item, hint)),
            Value::Object(map) => {
                for (name, value) in map {
                    self.line(name.as_bytes(), Hint::default());
                    self.add(value, Hint::from_column(name));
                }
            }
        }
    }

    fn line(&mut self, text: &[u8], hint: Hint) {
        if self.bytes.len() + text.len() > AT_ONCE {
            self.look();
        }
        self.hint = self.hint.or(hint);
        self.bytes.extend_from_slice(text);
        self.bytes.push(b'\n');
    }

    fn look(&mut self) {
        self.hit = self.hit || self.detector.may_contain_hinted(&self.bytes, self.hint, self.wanted);
        self.bytes.clear();
    }

    fn finish(mut self) -> bool {
        self.look();
        self.hit
    }
}

/// Whether a text may be the base64 of something that is looked for: the shortest such value is longer than that.
const fn may_be_bytes(text: &str) -> bool {
    text.len() >= 8 && text.len().is_multiple_of(4)
}

/// What stands in hidden fields of an object: texts, also what they are the base64 of and as Go's `%q` and JSON write
/// them, numbers, and whether there is a truth.
#[derive(Clone, Debug, Default)]
pub struct Told {
    texts: HashSet<String>,
    numbers: HashSet<String>,
    has_truth: bool,
}

impl Told {
    /// Of an object.
    pub fn of(object: &Value, hidden: &[Hidden<'_>]) -> Self {
        let mut out = Self::default();
        let places = hidden.iter().flat_map(|one| one.field.places(object));
        let mut todo: Vec<&Value> = places.filter_map(|place| object.pointer(&place)).collect();
        while let Some(value) = todo.pop() {
            match value {
                Value::String(text) => out.text(text),
                Value::Number(number) => {
                    let text = number.to_string();
                    // A column of integers shows what is before the point.
                    let whole = text.split(['.', 'e']).next().unwrap_or_default().to_owned();
                    out.numbers.extend([text, whole]);
                }
                Value::Bool(_) => out.has_truth = true,
                Value::Array(items) => todo.extend(items),
                Value::Object(map) => todo.extend(map.values()),
                Value::Null => {}
            }
        }
        out
    }

    fn text(&mut self, text: &str) {
        let decoded = BASE64_STANDARD.decode(text.as_bytes()).ok().and_then(|b| String::from_utf8(b).ok());
        for text in [Some(text), decoded.as_deref()].into_iter().flatten().filter(|text| !text.is_empty()) {
            let quoted = Value::String(text.to_owned()).to_string();
            let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned();
            self.texts.extend([text.to_owned(), inner]);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.numbers.is_empty() && !self.has_truth
    }

    /// Whether a text has one of the values in it.
    pub fn is_in(&self, text: &str) -> bool {
        self.texts.iter().chain(&self.numbers).any(|value| text.contains(value.as_str()))
    }

    /// Texts of an answer that is no object (`Status`): those that tell a value are replaced.
    pub fn hide_in(&self, answer: &mut Value) -> bool {
        // So many errors are not told apart: each would be looked for each value.
        let mut left = MOST_COMPARED;
        self.walk(answer, &mut |value| match value {
            Value::String(text) => {
                left = left.saturating_sub(self.texts.len() + self.numbers.len());
                let tells = left == 0 || self.is_in(text);
                if tells {
                    HELD_ONE.clone_into(text);
                }
                tells
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
        })
    }

    /// The same for what was made of an object: cells, a scale. Numbers and truth are values there, too.
    pub fn hide_in_made(&self, made: &mut Value) -> bool {
        let changed = self.walk(made, &mut |value| match value {
            Value::Number(number) if self.numbers.contains(&number.to_string()) => {
                *value = 0.into();
                true
            }
            Value::Bool(flag) if self.has_truth => {
                *flag = false;
                true
            }
            Value::String(text) if self.has_truth && text == "true" => {
                "false".clone_into(text);
                true
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                false
            }
        });
        self.hide_in(made) | changed
    }

    fn walk(&self, of: &mut Value, each: &mut dyn FnMut(&mut Value) -> bool) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut changed = false;
        let mut todo = vec![of];
        while let Some(value) = todo.pop() {
            changed |= each(value);
            match value {
                Value::Array(items) => todo.extend(items),
                Value::Object(map) => todo.extend(map.values_mut()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        changed
    }

    /// Whether a part of what is written in JSON is one of the values.
    fn names(&self, json: &str) -> bool {
        let Ok(parsed) = serde_json::from_str::<Value>(json) else { return true };
        let mut todo = vec![&parsed];
        while let Some(value) = todo.pop() {
            let is_one = match value {
                Value::String(text) => self.texts.contains(text),
                Value::Number(number) => self.numbers.contains(&number.to_string()),
                Value::Bool(_) => self.has_truth,
                Value::Null | Value::Array(_) | Value::Object(_) => false,
            };
            if is_one {
                return true;
            }
            match value {
                Value::Array(items) => todo.extend(items),
                Value::Object(map) => todo.extend(map.values()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        false
    }
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

/// Who manages which field: keys of lists and elements of sets are named by their values, in JSON.
fn forget_managed(object: &mut Value, told: &Told) -> bool {
    let names_one = |name: &str| {
        let json = name.strip_prefix("k:").or_else(|| name.strip_prefix("v:"));
        json.is_some_and(|json| told.names(json))
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
