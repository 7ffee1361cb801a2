//! Text in which sensitive values are found and replaced: plain and JSON.
use doorward_detect::{Detector, Hint, Masked, Masker, TypeSet, ValueShape};
use doorward_enforce::MaskRule;
use doorward_model::{DataType, Operator};
use std::sync::Arc;

/// What is done with the values of one column.
#[derive(Clone, Debug)]
pub enum FieldPlan {
    /// Nothing.
    Clear,
    /// They are looked through.
    Scan(Hint),
    /// They are replaced whole.
    Mask(Arc<MaskRule>),
}

/// Recognizers and what replaces what they find, for one session.
#[derive(Clone, Debug)]
pub struct TextMasking {
    /// Finds.
    pub detector: Arc<Detector>,
    /// Replaces.
    pub masker: Arc<Masker>,
    /// Which types may not be revealed.
    pub wanted: TypeSet,
    /// With what each of them is replaced.
    pub rules: Arc<[(DataType, Arc<MaskRule>)]>,
}

impl TextMasking {
    /// With what values of a type are replaced.
    pub fn operator(&self, t: DataType) -> &Operator {
        self.rules.iter().find(|(of, _)| *of == t).map_or(&Operator::Redact, |(_, rule)| &rule.operator)
    }

    /// Whether raw bytes may hold anything that has to be hidden.
    pub fn may_contain(&self, bytes: &[u8]) -> bool {
        self.detector.may_contain(bytes, self.wanted)
    }

    /// The same, where what is known of the columns rules some readings out: nine bare digits are an
    /// SSN only beside words that say so.
    pub fn may_contain_hinted(&self, bytes: &[u8], hint: Hint) -> bool {
        self.detector.may_contain_hinted(bytes, hint, self.wanted)
    }

    /// Whether a value holds something that has to be hidden.
    pub fn finds(&self, text: &[u8], hint: &Hint) -> bool {
        !self.detector.scan(text, hint, self.wanted).is_empty()
    }

    /// The text with what was found replaced; `None` where nothing was.
    pub fn text(&self, text: &[u8], hint: &Hint) -> Option<Vec<u8>> {
        let findings = self.detector.scan(text, hint, self.wanted);
        if findings.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(text.len());
        self.masker.mask_text(text, &findings, |t| self.operator(t), &mut out);
        Some(out)
    }

    /// A value that is sensitive as a whole if anything in it is (a number, an address): what stands in its place.
    pub fn whole(&self, readable: &[u8], hint: &Hint, shape: ValueShape) -> Option<Masked> {
        let first = self.detector.scan(readable, hint, self.wanted).first()?.data_type;
        Some(self.masker.apply_found(self.operator(first), first.as_str(), readable, shape))
    }

    /// JSON with what was found replaced: within a string by text, elsewhere by `null`.
    pub fn json(&self, text: &[u8], hint: &Hint) -> Option<Vec<u8>> {
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
                let (operator, label) = (self.operator(f.data_type), f.data_type.as_str());
                match self.masker.apply_found(operator, label, value, ValueShape::Json) {
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
