//! The values of one column, masked.
use super::{
    text::structured,
    values::{Layout, date, elements, integer, layout, numeric, shape, to_date, to_numeric},
};
use doorward_detect::{Hint, Masked};
use doorward_enforce::MaskRule;
use doorward_model::{DataType, Operator};
use doorward_sql_session::{FieldPlan, TextMasking};

/// How deep binary arrays and records within each other are taken apart.
const DEEPEST: usize = 4;

/// One column of a result, ready to be masked.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    plan: FieldPlan,
    layout: Layout,
    binary: bool,
}

impl Field {
    /// A column by its type and format (0: text, 1: binary).
    pub(crate) fn new(plan: FieldPlan, type_oid: u32, format: i16) -> Self {
        let layout = layout(type_oid);
        let plan = match (plan, layout) {
            // An SSN fits, and the column's name speaks of one.
            (FieldPlan::Scan(hint), Layout::Integer(32)) if hint.ssn => FieldPlan::Scan(hint),
            // Nothing else that is recognised fits: a card number has at least twelve digits.
            (
                FieldPlan::Scan(_),
                Layout::Plain | Layout::Date | Layout::Timestamp | Layout::Uuid | Layout::Integer(16 | 32),
            ) => FieldPlan::Clear,
            (plan, _) => plan,
        };
        Self { plan, layout, binary: format != 0 }
    }

    /// What its column's name says of its values.
    pub(crate) fn hint(&self) -> Hint {
        match &self.plan {
            FieldPlan::Scan(hint) => *hint,
            FieldPlan::Clear | FieldPlan::Mask(_) => Hint::default(),
        }
    }

    /// Whether values pass untouched.
    pub(crate) const fn is_clear(&self) -> bool {
        matches!(self.plan, FieldPlan::Clear)
    }

    /// Whether clean raw bytes mean a clean value.
    pub(crate) const fn is_told_by_bytes(&self) -> bool {
        match (&self.plan, self.layout) {
            (FieldPlan::Clear, _) => true,
            (FieldPlan::Mask(_), _) => false,
            (FieldPlan::Scan(_), Layout::Integer(_) | Layout::Numeric | Layout::Inet | Layout::Unknown) => !self.binary,
            // Hexadecimal in text, as it is in binary.
            (FieldPlan::Scan(_), Layout::Bytea) => self.binary,
            (
                FieldPlan::Scan(_),
                Layout::Text
                | Layout::Json
                | Layout::Jsonb
                | Layout::Texts
                | Layout::Date
                | Layout::Timestamp
                | Layout::Uuid
                | Layout::Plain,
            ) => true,
        }
    }

    /// The value to send instead; `None` to leave it as it is.
    pub(crate) fn apply(&self, text: &TextMasking, value: &[u8]) -> Option<Masked> {
        match &self.plan {
            FieldPlan::Clear => None,
            FieldPlan::Mask(rule) => Some(self.whole(text, rule, value)),
            FieldPlan::Scan(hint) => self.scan(text, hint, value),
        }
    }

    /// What stands in place of every value, where nothing of a value is left in it.
    pub(crate) fn constant(&self, text: &TextMasking) -> Option<Masked> {
        let FieldPlan::Mask(rule) = &self.plan else { return None };
        match rule.operator {
            Operator::Redact | Operator::Null | Operator::Fixed(_) => {}
            Operator::Partial(_) | Operator::Hash | Operator::Date(_) => return None,
        }
        Some(match text.masker.apply(&rule.operator, &rule.label, b"", shape(self.layout)) {
            Masked::Bytes(bytes) if self.binary => self.to_binary(bytes),
            shown @ (Masked::Bytes(_) | Masked::Null) => shown,
        })
    }

    fn whole(&self, text: &TextMasking, rule: &MaskRule, value: &[u8]) -> Masked {
        let apply = |readable: &[u8]| text.masker.apply(&rule.operator, &rule.label, readable, shape(self.layout));
        if !self.binary {
            return apply(value);
        }
        let readable = match self.layout {
            Layout::Integer(_) => integer(value).map(|n| n.to_string().into_bytes()),
            Layout::Numeric => numeric(value).map(String::into_bytes),
            Layout::Date => date(value, false).map(String::into_bytes),
            Layout::Timestamp => date(value, true).map(String::into_bytes),
            Layout::Jsonb => value.get(1..).map(<[u8]>::to_vec),
            // The server's text form, so that a hash is the same in both formats.
            Layout::Uuid => Some(uuid(value)),
            Layout::Text
            | Layout::Json
            | Layout::Inet
            | Layout::Bytea
            | Layout::Texts
            | Layout::Plain
            | Layout::Unknown => Some(value.to_vec()),
        };
        match readable.map(|readable| apply(&readable)) {
            Some(Masked::Bytes(bytes)) => self.to_binary(bytes),
            Some(Masked::Null) | None => Masked::Null,
        }
    }

    fn to_binary(&self, bytes: Vec<u8>) -> Masked {
        let ascii = || std::str::from_utf8(&bytes).ok();
        let encoded = match self.layout {
            Layout::Text | Layout::Json => Some(bytes),
            Layout::Jsonb => Some([&[1], &bytes[..]].concat()),
            Layout::Integer(64) => ascii().and_then(|t| t.parse::<i64>().ok()).map(|n| n.to_be_bytes().to_vec()),
            Layout::Integer(32) => ascii().and_then(|t| t.parse::<i32>().ok()).map(|n| n.to_be_bytes().to_vec()),
            Layout::Integer(16) => ascii().and_then(|t| t.parse::<i16>().ok()).map(|n| n.to_be_bytes().to_vec()),
            Layout::Uuid => ascii().and_then(|t| hex::decode(t.replace('-', "")).ok()).filter(|b| b.len() == 16),
            Layout::Numeric => ascii().and_then(to_numeric),
            Layout::Date => ascii().and_then(|t| to_date(t, false)),
            Layout::Timestamp => ascii().and_then(|t| to_date(t, true)),
            Layout::Integer(_) | Layout::Inet | Layout::Bytea | Layout::Texts | Layout::Plain | Layout::Unknown => None,
        };
        encoded.map_or(Masked::Null, Masked::Bytes)
    }

    fn scan(&self, text: &TextMasking, hint: &Hint, value: &[u8]) -> Option<Masked> {
        match (self.layout, self.binary) {
            (Layout::Text, _) => text.text(value, hint).map(Masked::Bytes),
            (Layout::Texts | Layout::Unknown, false) => structured(text, value, hint).map(Masked::Bytes),
            (Layout::Json, _) | (Layout::Jsonb, false) => text.json(value, hint).map(Masked::Bytes),
            (Layout::Jsonb, true) => {
                let (version, json) = value.split_first()?;
                text.json(json, hint).map(|json| Masked::Bytes([&[*version], &json[..]].concat()))
            }
            (Layout::Integer(_) | Layout::Numeric | Layout::Inet, false) => self.found(text, hint, value),
            (Layout::Integer(_), true) => self.found(text, hint, integer(value)?.to_string().as_bytes()),
            // What has no decimal text is not a number that is recognised.
            (Layout::Numeric, true) => self.found(text, hint, numeric(value)?.as_bytes()),
            // Bytes are replaced whole: a text within them may have a length before it.
            (Layout::Bytea, binary) => is_in_bytes(text, hint, value, binary).then_some(Masked::Null),
            (Layout::Inet | Layout::Texts | Layout::Unknown, true) => {
                is_within(text, hint, self.layout, value, 0).then_some(Masked::Null)
            }
            (Layout::Plain | Layout::Date | Layout::Timestamp | Layout::Uuid, _) => None,
        }
    }

    /// A number or an address that is sensitive as a whole.
    fn found(&self, text: &TextMasking, hint: &Hint, readable: &[u8]) -> Option<Masked> {
        let masked = text.whole(readable, hint, shape(self.layout))?;
        Some(match masked {
            Masked::Bytes(bytes) if self.binary => self.to_binary(bytes),
            Masked::Bytes(bytes) => Masked::Bytes(bytes),
            Masked::Null => Masked::Null,
        })
    }
}

fn uuid(value: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(36);
    for (i, b) in value.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{b:02x}"));
    }
    out.into_bytes()
}

/// Bytes are looked through where they are text: in pictures and archives there is always something
/// that looks like an address.
fn is_in_bytes(text: &TextMasking, hint: &Hint, value: &[u8], binary: bool) -> bool {
    let decoded = match value.strip_prefix(b"\\x") {
        Some(digits) if !binary => hex::decode(digits).ok(),
        _ => None,
    };
    let bytes = decoded.as_deref().unwrap_or(value);
    std::str::from_utf8(bytes).is_ok() && text.finds(bytes, hint)
}

/// Whether something sensitive is in a binary value of any type. Arrays and records say the types of
/// their elements; what else there is lies in them as text, if at all.
fn is_within(text: &TextMasking, hint: &Hint, layout_of: Layout, value: &[u8], depth: usize) -> bool {
    match layout_of {
        Layout::Plain | Layout::Date | Layout::Timestamp | Layout::Uuid => false,
        Layout::Integer(_) => integer(value).is_some_and(|n| text.finds(n.to_string().as_bytes(), hint)),
        Layout::Numeric => numeric(value).is_some_and(|n| text.finds(n.as_bytes(), hint)),
        // An address in binary is nothing but an address.
        Layout::Inet => text.wanted.contains(DataType::IpAddress),
        Layout::Bytea => is_in_bytes(text, hint, value, true),
        Layout::Text | Layout::Json | Layout::Jsonb => text.finds(value, hint),
        Layout::Texts | Layout::Unknown => {
            if depth >= DEEPEST {
                return true;
            }
            let within = elements(value);
            if within.is_empty() {
                return text.finds(value, hint);
            }
            // The description has said what the elements of an array of texts are.
            let layout_in = |oid| if layout_of == Layout::Texts { Layout::Text } else { layout(oid) };
            within.into_iter().any(|(oid, element)| is_within(text, hint, layout_in(oid), element, depth + 1))
        }
    }
}
