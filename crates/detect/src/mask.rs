//! What replaces a hidden value. The value keeps its type; where an operator has no value of that
//! type, null is sent.
use crate::{Detector, Finding, Hint, TypeSet, ValueShape, calendar};
use doorward_model::{DataType, Operator};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// A value after masking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masked {
    /// No value.
    Null,
    /// Another value.
    Bytes(Vec<u8>),
}

impl Masked {
    fn of(bytes: Option<impl Into<Vec<u8>>>) -> Self {
        bytes.map_or(Self::Null, |b| Self::Bytes(b.into()))
    }
}

/// Masks values with the deployment's key.
pub struct Masker {
    /// HMAC-SHA-256 that has taken in the key and nothing else.
    keyed: Option<Hmac<Sha256>>,
    /// The same for what is found in texts: whoever asks chooses those himself, and what a guess of his becomes must not be
    /// what a column shows.
    found: Option<Hmac<Sha256>>,
    detector: Detector,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masker([secret])")
    }
}

/// How often a hash is hashed again because it looks like what it hides. One in thirty numbers of
/// sixteen digits is somebody's card number.
const ATTEMPTS: usize = 16;

/// What stands before a finding that is hashed: a byte that no text of a database has.
const FOUND: &[u8] = b"\0found\0";

impl Masker {
    /// A masker; `key` is secret and stays the same for a deployment, so that hashes compare.
    pub fn new(key: [u8; 32]) -> Self {
        let keyed: Option<Hmac<Sha256>> = Hmac::new_from_slice(&key).ok();
        let found = keyed.clone().map(|mac| mac.chain_update(FOUND));
        Self { keyed, found, detector: Detector::new() }
    }

    /// What stands in place of a whole value, which is given and answered in the database's text format.
    ///
    /// Never the value itself, but where it is already what the operator makes of it: a first of
    /// January cut to its year, or the fixed text. Whatever `partial` and `hash` make holds nothing
    /// that a [`Detector`] finds.
    pub fn apply(&self, operator: &Operator, label: &str, value: &[u8], shape: ValueShape) -> Masked {
        self.made(self.keyed.as_ref(), operator, label, value, shape)
    }

    /// As [`Masker::apply`], for what a recognizer found rather than for what stands in a hidden column: its hashes compare
    /// with those of other findings alone.
    pub fn apply_found(&self, operator: &Operator, label: &str, value: &[u8], shape: ValueShape) -> Masked {
        self.made(self.found.as_ref(), operator, label, value, shape)
    }

    fn made(
        &self,
        keyed: Option<&Hmac<Sha256>>,
        operator: &Operator,
        label: &str,
        value: &[u8],
        shape: ValueShape,
    ) -> Masked {
        match operator {
            Operator::Null => Masked::Null,
            Operator::Redact => Masked::of(shape.text(format!("[{label}]").as_bytes())),
            Operator::Partial(n) => Masked::of(self.partial(value, *n, shape)),
            Operator::Fixed(text) => Masked::of(shape.fixed(text)),
            Operator::Hash => self.hashed(keyed, value, shape),
            Operator::Date(unit) => match shape {
                ValueShape::Date | ValueShape::Timestamp => {
                    Masked::of(calendar::truncate_text(value, *unit, shape == ValueShape::Timestamp))
                }
                ValueShape::Text
                | ValueShape::Integer(_)
                | ValueShape::Numeric
                | ValueShape::Float
                | ValueShape::Bool
                | ValueShape::Uuid
                | ValueShape::Json
                | ValueShape::Bytea
                | ValueShape::Inet
                | ValueShape::Other => Masked::Null,
            },
        }
    }

    /// As [`Masker::apply`], for a value in PostgreSQL's binary format (`*send` functions of its types).
    /// JSON is `json`; a `jsonb` has a version byte that the caller takes off and puts back. Numeric,
    /// addresses and everything else without a simple layout become null, as does what is not as long
    /// as its type.
    pub fn apply_binary(&self, operator: &Operator, label: &str, value: &[u8], shape: ValueShape) -> Masked {
        match (operator, shape) {
            (_, ValueShape::Text | ValueShape::Json) => self.apply(operator, label, value, shape),
            (Operator::Date(unit), ValueShape::Date | ValueShape::Timestamp) => {
                Masked::of(calendar::truncate_binary(value, *unit))
            }
            (Operator::Hash | Operator::Fixed(_) | Operator::Redact | Operator::Partial(_) | Operator::Date(_), _) => {
                let Some(text) = shape.readable(value) else { return Masked::Null };
                match self.apply(operator, label, &text, shape) {
                    Masked::Null => Masked::Null,
                    Masked::Bytes(masked) => Masked::of(shape.binary(&masked, value.len())),
                }
            }
            (Operator::Null, _) => Masked::Null,
        }
    }

    /// Writes a text with its findings replaced. Findings are in order and do not overlap.
    pub fn mask_text<'o>(
        &self,
        text: &[u8],
        findings: &[Finding],
        operator_of: impl Fn(DataType) -> &'o Operator,
        out: &mut Vec<u8>,
    ) {
        let mut from = 0;
        for f in findings {
            out.extend_from_slice(text.get(from..f.range.start).unwrap_or_default());
            let value = text.get(f.range.clone()).unwrap_or_default();
            let (operator, label) = (operator_of(f.data_type), f.data_type.as_str());
            match operator {
                // As `apply_found` would, without a text of its own.
                Operator::Redact => [b"[", label.as_bytes(), b"]"].iter().for_each(|part| out.extend_from_slice(part)),
                Operator::Partial(_) | Operator::Hash | Operator::Null | Operator::Fixed(_) | Operator::Date(_) => {
                    match self.apply_found(operator, label, value, ValueShape::Text) {
                        Masked::Bytes(bytes) => out.extend_from_slice(&bytes),
                        // In the middle of a text there is no null.
                        Masked::Null => out.extend_from_slice(b"[masked]"),
                    }
                }
            }
            from = f.range.end;
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
    }

    /// All but the last `n` characters become `*`; a value of no more than twice as many shows nothing,
    /// nor does one whose end is itself something sensitive.
    fn partial(&self, value: &[u8], n: u8, shape: ValueShape) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(value);
        let count = text.chars().count();
        let hidden = count - if count > 2 * usize::from(n) { usize::from(n) } else { 0 };
        let stars = |hidden: usize| {
            let masked: String = text.chars().enumerate().map(|(i, c)| if i < hidden { '*' } else { c }).collect();
            shape.text(masked.as_bytes())
        };
        stars(hidden).filter(|masked| self.is_clean(masked)).or_else(|| stars(count))
    }

    fn is_clean(&self, masked: &[u8]) -> bool {
        // Most are told by the fast test alone.
        !self.detector.may_contain_hinted(masked, Hint::default(), TypeSet::all())
            || self.detector.scan(masked, &Hint::default(), TypeSet::all()).is_empty()
    }

    /// HMAC-SHA-256, as much of it as the shape has room for (96 bits of text).
    fn hashed(&self, keyed: Option<&Hmac<Sha256>>, value: &[u8], shape: ValueShape) -> Masked {
        let digest_of = |value: &[u8]| -> Option<[u8; 32]> {
            Some(keyed?.clone().chain_update(value).finalize().into_bytes().into())
        };
        let mut digest = digest_of(value);
        for _ in 0..ATTEMPTS {
            let Some(d) = digest else { return Masked::Null };
            match shape.hash(&d) {
                Some(masked) if masked == value || !self.is_clean(&masked) => digest = digest_of(&d),
                masked => return Masked::of(masked),
            }
        }
        Masked::Null
    }
}

/// Hexadecimal digits of the first `n` bytes.
pub(crate) fn hex(bytes: &[u8], n: usize) -> String {
    let mut out = String::with_capacity(2 * bytes.len().min(n));
    for b in bytes.iter().take(n) {
        out.extend([b >> 4, b & 15].iter().filter_map(|digit| char::from_digit(u32::from(*digit), 16)));
    }
    out
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
