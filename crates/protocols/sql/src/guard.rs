//! Values on their way in, held against what masks show: a row that was read through Doorward and written back whole would
//! lose what it hides.
use doorward_enforce::MaskRule;
use doorward_model::Operator;
use doorward_sql::SourceColumn;
use std::sync::Arc;

/// Longer values are no mask, in bytes.
pub const LONGEST_MASK: usize = 256;

/// A masked column that data are written into.
#[derive(Clone, Debug)]
pub struct Target {
    /// The column.
    pub source: SourceColumn,
    /// How it is masked.
    pub rule: Arc<MaskRule>,
}

/// The columns that data are written into, in their order; none where a column is not masked, or its mask shows what may be
/// a value as well.
pub type Targets = Arc<[Option<Target>]>;

impl Target {
    /// The value, where it is what the mask shows. In binary, a text has the same bytes, and a `jsonb` one more.
    pub fn shows<'v>(&self, value: &'v [u8]) -> Option<&'v str> {
        let text = std::str::from_utf8(value.strip_prefix(b"\x01").unwrap_or(value)).ok()?;
        is_shown(&self.rule, text).then_some(text)
    }
}

/// A value that comes in pieces, of which so much is kept as a mask may have.
#[derive(Debug, Default)]
pub struct Arriving {
    kept: Vec<u8>,
    is_long: bool,
}

impl Arriving {
    /// More of it.
    pub fn add(&mut self, bytes: &[u8]) {
        if self.is_long || self.kept.len() + bytes.len() > LONGEST_MASK {
            self.is_long = true;
            self.kept.clear();
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    /// It, unless it is too long to be a mask.
    pub fn value(&self) -> Option<&[u8]> {
        (!self.is_long).then_some(&self.kept)
    }

    /// The next one begins.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.is_long = false;
    }
}

/// Whether a text may be told from a value at all: `date` and `null` show what may be a value as well.
pub(crate) const fn is_looked_for(rule: &MaskRule) -> bool {
    match rule.operator {
        Operator::Redact | Operator::Fixed(_) | Operator::Partial(_) | Operator::Hash => true,
        Operator::Null | Operator::Date(_) => false,
    }
}

/// Whether a text is what a mask shows, by itself or as a string of JSON.
pub(crate) fn is_shown(rule: &MaskRule, text: &str) -> bool {
    let shows = |text: &str| match &rule.operator {
        Operator::Redact => text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) == Some(&*rule.label),
        Operator::Fixed(fixed) => text == &**fixed,
        Operator::Partial(n) => {
            let rest = text.trim_start_matches('*');
            text.len() - rest.len() >= 2 && rest.chars().count() <= usize::from(*n)
        }
        Operator::Hash => text
            .strip_prefix("h:")
            .is_some_and(|t| t.len() == 24 && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))),
        Operator::Null | Operator::Date(_) => false,
    };
    let within = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    shows(text) || within.is_some_and(shows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_detect::{Masked, Masker, ValueShape};

    fn target(operator: Operator) -> Target {
        let source = SourceColumn { schema: "public".into(), table: "t".into(), column: Some("ssn".into()) };
        Target { source, rule: Arc::new(MaskRule { operator, label: "ssn".into(), by_default: false }) }
    }

    #[test]
    fn what_masks_show_is_told_from_values() {
        for (operator, shown, others) in [
            (Operator::Redact, &["[ssn]", "\"[ssn]\"", "\u{1}\"[ssn]\""][..], &["[email]", "ssn", "[ssn] ", ""][..]),
            (Operator::Fixed("gone".into()), &["gone"][..], &["Gone", "\"gone"][..]),
            (Operator::Partial(4), &["****1234", "*****", "**é"][..], &["*1234", "****12345", "1234"][..]),
            (
                Operator::Hash,
                &["h:0123456789abcdef01234567"][..],
                &["h:0123456789ABCDEF01234567", "0123456789abcdef01234567", "h:0123"][..],
            ),
            (Operator::Null, &[][..], &["", "null"][..]),
        ] {
            let target = target(operator);
            assert!(shown.iter().all(|text| target.shows(text.as_bytes()).is_some()), "{target:?}");
            assert!(others.iter().all(|text| target.shows(text.as_bytes()).is_none()), "{target:?}");
        }
        assert_eq!(target(Operator::Redact).shows(b"\xff"), None);
    }

    #[test]
    fn a_value_in_pieces_is_kept_up_to_its_bound() {
        let mut value = Arriving::default();
        value.add(b"[s");
        value.add(b"sn]");
        assert_eq!(value.value(), Some(&b"[ssn]"[..]));
        value.add(&[b'x'; LONGEST_MASK]);
        value.add(b"x");
        assert_eq!((value.value(), value.kept.capacity() <= 2 * LONGEST_MASK), (None, true));
        value.clear();
        assert_eq!(value.value(), Some(&b""[..]));
    }

    #[test]
    fn what_a_mask_makes_of_a_text_is_known_again() {
        let masker = Masker::new([1; 32]);
        for operator in ["redact", "partial:4", "hash", "fixed:gone"] {
            let rule = MaskRule { operator: operator.parse().unwrap(), label: "pii".into(), by_default: false };
            let value = b"a text of some length";
            let Masked::Bytes(made) = masker.apply(&rule.operator, &rule.label, value, ValueShape::Text) else {
                unreachable!("a text is made of a text")
            };
            let made = String::from_utf8(made).unwrap();
            assert!(is_shown(&rule, &made), "{operator}: {made}");
            assert!(!is_shown(&rule, "another text"), "{operator}");
        }
    }
}
