//! Text in which sensitive values are found and replaced: plain, JSON, arrays and records.
use doorward_detect::{Detector, Hint, Masked, Masker, TypeSet, ValueShape};
use doorward_enforce::MaskRule;
use doorward_model::{DataType, Operator};
use std::sync::Arc;

/// How deep arrays and records within each other are taken apart.
const DEEPEST: usize = 3;

/// Recognizers and what replaces what they find, for one session.
#[derive(Clone, Debug)]
pub(crate) struct TextMasking {
    /// Finds.
    pub(crate) detector: Arc<Detector>,
    /// Replaces.
    pub(crate) masker: Arc<Masker>,
    /// Which types may not be revealed.
    pub(crate) wanted: TypeSet,
    /// With what each of them is replaced.
    pub(crate) rules: Arc<[(DataType, Arc<MaskRule>)]>,
}

impl TextMasking {
    pub(super) fn operator(&self, t: DataType) -> &Operator {
        self.rules.iter().find(|(of, _)| *of == t).map_or(&Operator::Redact, |(_, rule)| &rule.operator)
    }

    /// Whether raw bytes may hold anything that has to be hidden.
    pub(crate) fn may_contain(&self, bytes: &[u8]) -> bool {
        self.detector.may_contain(bytes, self.wanted)
    }

    /// The same, where what is known of the columns rules some readings out: nine bare digits are an
    /// SSN only beside words that say so.
    pub(crate) fn may_contain_hinted(&self, bytes: &[u8], hint: Hint) -> bool {
        self.detector.may_contain_hinted(bytes, hint, self.wanted)
    }

    /// Whether a value holds something that has to be hidden.
    pub(super) fn finds(&self, text: &[u8], hint: &Hint) -> bool {
        !self.detector.scan(text, hint, self.wanted).is_empty()
    }

    /// The text with what was found replaced; `None` where nothing was.
    pub(crate) fn text(&self, text: &[u8], hint: &Hint) -> Option<Vec<u8>> {
        let findings = self.detector.scan(text, hint, self.wanted);
        if findings.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(text.len());
        self.masker.mask_text(text, &findings, |t| self.operator(t), &mut out);
        Some(out)
    }

    /// JSON with what was found replaced: within a string by text, elsewhere by `null`.
    pub(super) fn json(&self, text: &[u8], hint: &Hint) -> Option<Vec<u8>> {
        let findings = self.detector.scan(text, hint, self.wanted);
        let first = findings.first()?.data_type;
        let mut out = Vec::with_capacity(text.len());
        let (mut from, mut inside) = (0, false);
        for f in findings {
            let before = text.get(from..f.range.start).unwrap_or_default();
            inside = quoted_after(before, inside);
            out.extend_from_slice(before);
            let value = text.get(f.range.clone()).unwrap_or_default();
            if value.contains(&b'"') {
                // A finding that runs over the end of its string (a key block without an end) would
                // take JSON's own structure with it: the whole value is replaced.
                return Some(format!("\"[{}]\"", first.as_str()).into_bytes());
            }
            if inside {
                match self.masker.apply(self.operator(f.data_type), f.data_type.as_str(), value, ValueShape::Json) {
                    // Without its quotes: those of the string around it stand.
                    Masked::Bytes(b) => out.extend_from_slice(b.get(1..b.len().saturating_sub(1)).unwrap_or_default()),
                    Masked::Null => out.extend_from_slice(b"[masked]"),
                }
            } else {
                out.extend_from_slice(b"null");
            }
            from = f.range.end;
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
        Some(out)
    }

    /// Text of a type that is not known here. Arrays `{…}` and records `(…)` are masked element by
    /// element, so that their structure stays what a client can read; anything else as plain text.
    pub(super) fn structured(&self, text: &[u8], hint: &Hint) -> Option<Vec<u8>> {
        if !self.may_contain(text) {
            return None;
        }
        self.element(text, hint, 0)
    }

    fn element(&self, text: &[u8], hint: &Hint, depth: usize) -> Option<Vec<u8>> {
        let structure: &[u8] = match (text.first(), text.last()) {
            (Some(b'{' | b'['), Some(b'}')) => b"{},;",
            (Some(b'('), Some(b')')) => b"(),",
            _ => return self.text(text, hint),
        };
        if depth >= DEEPEST {
            return self.text(text, hint);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut found = false;
        let mut rest = text;
        while let Some(&first) = rest.first() {
            let (raw, content) = if structure.contains(&first) {
                (rest.get(..1).unwrap_or_default(), None)
            } else if first == b'"' {
                let (raw, content) = unquoted(rest);
                (raw, Some(content))
            } else {
                let end = rest.iter().position(|b| structure.contains(b) || *b == b'"').unwrap_or(rest.len());
                let raw = rest.get(..end).unwrap_or_default();
                (raw, Some(raw.to_vec()))
            };
            match content.and_then(|content| self.element(&content, hint, depth + 1)) {
                Some(masked) => {
                    found = true;
                    quote(&masked, &mut out);
                }
                None => out.extend_from_slice(raw),
            }
            rest = rest.get(raw.len().max(1)..).unwrap_or_default();
        }
        found.then_some(out)
    }
}

/// A quoted element at the beginning of `text`: as it stands, and what it says. Arrays escape by
/// backslash, records double their quotes.
fn unquoted(text: &[u8]) -> (&[u8], Vec<u8>) {
    let mut content = Vec::new();
    let mut i = 1;
    while let Some(b) = text.get(i).copied() {
        match (b, text.get(i + 1)) {
            (b'\\', Some(next)) | (b'"', Some(next @ b'"')) => {
                content.push(*next);
                i += 2;
            }
            (b'"', _) => return (text.get(..=i).unwrap_or(text), content),
            _ => {
                content.push(b);
                i += 1;
            }
        }
    }
    (text, content)
}

fn quote(content: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for b in content {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out.push(b'"');
}

/// Whether JSON text that follows `text` is within a string.
fn quoted_after(text: &[u8], mut inside: bool) -> bool {
    let mut escaped = false;
    for b in text {
        match b {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    inside
}
