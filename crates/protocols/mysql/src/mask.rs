//! Rows and errors, masked.
//!
//! Known limits: bytes are looked through where they are UTF-8; JSON as it stands; numbers of fewer than 64 bits are not
//! looked at, since no recognised number fits.
use crate::codec::{
    put_string,
    rows::{self, Layout, Nulls, Value, types},
    upstream::Column,
};
use bytes::BytesMut;
use doorward_detect::{Hint, Masked, ValueShape};
use doorward_model::Operator;
use doorward_sql_session::{FieldPlan, TextMasking};
use doorward_wire::{Reader, WireError};

/// Of longer rows no second copy is made to look them through: their values are looked at one by one.
const MOST_SEEN: usize = 1 << 20;

/// A column of a result, with its plan.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    plan: FieldPlan,
    kind: u8,
    unsigned: bool,
    binary: bool,
    json: bool,
    /// Clean raw bytes mean a clean value.
    told_by_bytes: bool,
    /// The cell that stands in place of every one in the text protocol, where nothing of a value is left in it.
    constant: Option<Vec<u8>>,
}

impl Field {
    pub(crate) fn new(plan: FieldPlan, column: &Column<'_>) -> Self {
        let json = column.kind == types::JSON || column.type_name == b"json";
        // Numbers too short for anything that is recognised pass.
        let plan = match plan {
            FieldPlan::Scan(_) if is_short(column.kind) => FieldPlan::Clear,
            plan @ (FieldPlan::Scan(_) | FieldPlan::Clear | FieldPlan::Mask(_)) => plan,
        };
        Self {
            plan,
            kind: column.kind,
            unsigned: column.is_unsigned(),
            binary: column.collation == 63,
            json,
            told_by_bytes: true,
            constant: None,
        }
    }

    /// The same, ready for rows of either protocol.
    fn ready(mut self, text: &TextMasking, in_binary: bool) -> Self {
        self.told_by_bytes = match &self.plan {
            FieldPlan::Clear => true,
            FieldPlan::Mask(_) => false,
            FieldPlan::Scan(_) => !in_binary || rows::layout(self.kind) == Some(Layout::Bytes),
        };
        self.constant = match &self.plan {
            FieldPlan::Mask(rule) if !in_binary => match rule.operator {
                Operator::Redact | Operator::Null | Operator::Fixed(_) => self.apply(text, b"").map(cell),
                Operator::Partial(_) | Operator::Hash | Operator::Date(_) => None,
            },
            FieldPlan::Mask(_) | FieldPlan::Scan(_) | FieldPlan::Clear => None,
        };
        self
    }

    /// Whether it is masked, and nothing of a value is left in what replaces it.
    fn shows_nothing(&self) -> bool {
        let FieldPlan::Mask(rule) = &self.plan else { return false };
        matches!(rule.operator, Operator::Redact | Operator::Null | Operator::Fixed(_))
    }

    const fn is_masked(&self) -> bool {
        matches!(self.plan, FieldPlan::Mask(_))
    }

    fn shape(&self) -> ValueShape {
        match self.kind {
            types::TINY | types::SHORT | types::YEAR | types::BOOL => ValueShape::Integer(16),
            types::LONG | types::INT24 => ValueShape::Integer(32),
            types::LONGLONG => ValueShape::Integer(64),
            types::DECIMAL | types::NEWDECIMAL => ValueShape::Numeric,
            types::FLOAT | types::DOUBLE => ValueShape::Float,
            types::DATE | types::NEWDATE => ValueShape::Date,
            types::DATETIME | types::TIMESTAMP => ValueShape::Timestamp,
            types::JSON => ValueShape::Json,
            // Only null fits, and where a text of another kind stands for a value a client could choke on it.
            types::TIME | types::BIT | types::GEOMETRY | types::VECTOR | types::ENUM | types::SET | types::NULL => {
                ValueShape::Other
            }
            _ if self.json => ValueShape::Json,
            _ => ValueShape::Text,
        }
    }

    /// What stands in place of a value given as text; `None` where it passes.
    fn apply(&self, text: &TextMasking, value: &[u8]) -> Option<Masked> {
        match &self.plan {
            FieldPlan::Clear => None,
            FieldPlan::Mask(rule) => Some(text.masker.apply(&rule.operator, &rule.label, value, self.shape())),
            FieldPlan::Scan(_) if self.binary && std::str::from_utf8(value).is_err() => None,
            FieldPlan::Scan(hint) if self.shape() == ValueShape::Text => text.text(value, hint).map(Masked::Bytes),
            // A number, a date or a document is hidden as a whole.
            FieldPlan::Scan(hint) => text.whole(value, hint, self.shape()),
        }
    }
}

/// A cell of the text protocol.
fn cell(masked: Masked) -> Vec<u8> {
    let mut out = Vec::new();
    match masked {
        Masked::Bytes(bytes) => put_string(&mut out, &bytes),
        Masked::Null => out.push(0xfb),
    }
    out
}

fn is_short(kind: u8) -> bool {
    matches!(kind, types::TINY | types::SHORT | types::LONG | types::INT24 | types::YEAR | types::BOOL | types::NULL)
}

/// Masks the rows of one result.
#[derive(Debug)]
pub(crate) struct RowMasker {
    fields: Vec<Field>,
    text: TextMasking,
    binary: bool,
    /// What stands for every value stands also for null.
    nulls: bool,
    clear: bool,
    /// Clean raw bytes mean a clean row, and no cell is replaced.
    by_bytes: bool,
    hint: Hint,
}

impl RowMasker {
    pub(crate) fn new(fields: Vec<Field>, text: TextMasking, binary: bool) -> Self {
        let fields: Vec<Field> = fields.into_iter().map(|field| field.ready(&text, binary)).collect();
        let clear = fields.iter().all(|f| matches!(f.plan, FieldPlan::Clear));
        let by_bytes = fields.iter().all(|f| f.told_by_bytes);
        let hint = fields.iter().fold(Hint::default(), |all, f| match f.plan {
            FieldPlan::Scan(hint) => all.or(hint),
            FieldPlan::Clear | FieldPlan::Mask(_) => all,
        });
        Self { fields, text, binary, nulls: false, clear, by_bytes, hint }
    }

    /// The same, with null shown as any other value is where that is the same for all: whether there is a value is not told.
    pub(crate) fn with_nulls(mut self, nulls: bool) -> Self {
        self.nulls = nulls;
        self
    }

    fn replaces_null(&self, field: &Field) -> bool {
        self.nulls && field.shows_nothing()
    }

    /// A row as the caller may see it: `None` where it passes as it is.
    ///
    /// # Errors
    /// Where it is not what its columns say.
    pub(crate) fn row(&self, payload: &[u8], masked: &mut u64) -> Result<Option<Vec<u8>>, WireError> {
        let passes = self.clear || (self.by_bytes && !self.text.may_contain_hinted(payload, self.hint));
        if self.binary { self.binary_row(payload, passes, masked) } else { self.text_row(payload, passes, masked) }
    }

    /// Whether nothing is to be found in what is shown of a row as it came, in pieces as they stand in it.
    fn is_clean(&self, shown: &[u8]) -> bool {
        !self.text.may_contain_hinted(shown, self.hint)
    }

    /// What of a row in the text protocol is not replaced.
    fn shown_text(&self, payload: &[u8]) -> Result<Vec<u8>, WireError> {
        let mut r = Reader::new(payload, "row");
        let mut shown = Vec::with_capacity(payload.len());
        let mut from = 0;
        for field in &self.fields {
            let at = payload.len() - r.left();
            rows::text_cell(&mut r)?;
            if field.is_masked() {
                shown.extend_from_slice(payload.get(from..at).unwrap_or_default());
                from = payload.len() - r.left();
            }
        }
        shown.extend_from_slice(payload.get(from..).unwrap_or_default());
        Ok(shown)
    }

    fn text_row(&self, payload: &[u8], passes: bool, masked: &mut u64) -> Result<Option<Vec<u8>>, WireError> {
        let small = !self.by_bytes && payload.len() <= MOST_SEEN;
        let clean = passes || (small && self.is_clean(&self.shown_text(payload)?));
        let mut r = Reader::new(payload, "row");
        let mut out = Vec::with_capacity(if passes { 0 } else { payload.len() + 64 });
        let before = *masked;
        // From where on the row stands as it came and is not written yet.
        let mut from = 0;
        for field in &self.fields {
            let at = payload.len() - r.left();
            let value = rows::text_cell(&mut r)?;
            if clean && field.told_by_bytes || value.is_none() && !self.replaces_null(field) {
                continue;
            }
            let made;
            let replacement = match &field.constant {
                Some(constant) => constant,
                None => match field.apply(&self.text, value.unwrap_or_default()) {
                    None => continue,
                    Some(masked) => {
                        made = cell(masked);
                        &made
                    }
                },
            };
            *masked += 1;
            out.extend_from_slice(payload.get(from..at).unwrap_or_default());
            out.extend_from_slice(replacement);
            from = payload.len() - r.left();
        }
        r.all()?;
        if *masked == before {
            return Ok(None);
        }
        out.extend_from_slice(payload.get(from..).unwrap_or_default());
        Ok(Some(out))
    }

    /// What of a row in the binary protocol passes if its bytes are clean.
    fn shown_binary(&self, mut r: Reader<'_>, nulls: Nulls<'_>) -> Result<Vec<u8>, WireError> {
        let mut shown = Vec::with_capacity(r.left());
        for (i, field) in self.fields.iter().enumerate() {
            if nulls.is_null(i) {
                continue;
            }
            let mut ahead = r.clone();
            rows::value(&mut ahead, field.kind, field.unsigned)?;
            let raw = r.bytes(r.left() - ahead.left())?;
            if field.told_by_bytes {
                shown.extend_from_slice(raw);
            }
        }
        Ok(shown)
    }

    fn binary_row(&self, payload: &[u8], passes: bool, masked: &mut u64) -> Result<Option<Vec<u8>>, WireError> {
        let mut r = Reader::new(payload, "row");
        if r.u8()? != 0 {
            return Err(r.invalid());
        }
        let nulls = Nulls::read(&mut r, self.fields.len(), 2)?;
        let mut bits = payload.get(1..payload.len() - r.left()).unwrap_or_default().to_vec();
        let small = !self.by_bytes && payload.len() <= MOST_SEEN;
        let clean = passes || (small && self.is_clean(&self.shown_binary(r.clone(), nulls)?));
        let mut out = Vec::with_capacity(if passes { 0 } else { payload.len() + 64 });
        let before = *masked;
        for (i, field) in self.fields.iter().enumerate() {
            if nulls.is_null(i) {
                if self.replaces_null(field)
                    && let Some(Masked::Bytes(constant)) = field.apply(&self.text, b"")
                    && let Some(bytes) = field.to_binary(&constant)
                {
                    *masked += 1;
                    out.extend_from_slice(&bytes);
                    if let Some(byte) = bits.get_mut((i + 2) / 8) {
                        *byte &= !(1 << ((i + 2) % 8));
                    }
                }
                continue;
            }
            let mut ahead = r.clone();
            let value = rows::value(&mut ahead, field.kind, field.unsigned)?;
            let raw = r.bytes(r.left() - ahead.left())?;
            if passes {
                continue;
            }
            if clean && field.told_by_bytes {
                out.extend_from_slice(raw);
                continue;
            }
            match field.apply_binary(&self.text, value) {
                None => out.extend_from_slice(raw),
                Some(replacement) => {
                    *masked += 1;
                    match replacement {
                        Some(bytes) => out.extend_from_slice(&bytes),
                        None => {
                            if let Some(byte) = bits.get_mut((i + 2) / 8) {
                                *byte |= 1 << ((i + 2) % 8);
                            }
                        }
                    }
                }
            }
        }
        r.all()?;
        Ok((*masked > before).then(|| [&[0][..], &bits, &out].concat()))
    }

    /// As [`RowMasker::row`], appended to `out` as it is or masked.
    #[cfg(test)]
    fn shown(&self, payload: &[u8]) -> Vec<u8> {
        self.row(payload, &mut 0).unwrap().unwrap_or_else(|| payload.to_vec())
    }
}

impl Field {
    /// `Some(None)`: null.
    #[allow(clippy::option_option, reason = "passes, null, or other bytes")]
    fn apply_binary(&self, text: &TextMasking, value: Value<'_>) -> Option<Option<Vec<u8>>> {
        if matches!(self.plan, FieldPlan::Clear) {
            return None;
        }
        let shown;
        let readable = match value {
            Value::Bytes(bytes) => bytes,
            Value::Null
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::DateTime { .. }
            | Value::Time { .. } => {
                shown = value.to_string();
                shown.as_bytes()
            }
        };
        Some(match self.apply(text, readable)? {
            Masked::Null => None,
            Masked::Bytes(bytes) => self.to_binary(&bytes),
        })
    }

    /// A replacement in the binary layout of the column; null where it does not fit.
    fn to_binary(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(bytes).ok();
        match rows::layout(self.kind)? {
            Layout::Bytes => {
                let mut out = Vec::new();
                put_string(&mut out, bytes);
                Some(out)
            }
            Layout::Integer(size) => {
                let number: i64 = text?.parse().ok()?;
                let bits = size * 8;
                let fits = bits == 64 || (number >> (bits - 1) == 0) || (!self.unsigned && number >> (bits - 1) == -1);
                fits.then(|| number.to_le_bytes().get(..size).unwrap_or_default().to_vec())
            }
            Layout::Float(4) => text?.parse::<f32>().ok().map(|n| n.to_le_bytes().to_vec()),
            Layout::Float(_) => text?.parse::<f64>().ok().map(|n| n.to_le_bytes().to_vec()),
            Layout::DateTime => date(text?),
            Layout::Time | Layout::Null => None,
        }
    }
}

/// `YYYY-MM-DD` and what follows it, in the binary layout.
fn date(text: &str) -> Option<Vec<u8>> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let numbers = |text: &str, by: char| text.split(by).map(|n| n.parse::<u16>().ok()).collect::<Option<Vec<_>>>();
    let (Some([y, m, d]), Some([h, min, s])) =
        (numbers(date, '-')?.first_chunk().copied(), numbers(time, ':')?.first_chunk().copied())
    else {
        return None;
    };
    let small = |n: u16| u8::try_from(n).ok();
    let [low, high] = y.to_le_bytes();
    let mut out = vec![4, low, high, small(m)?, small(d)?];
    if (h, min, s) != (0, 0, 0) {
        out.extend([small(h)?, small(min)?, small(s)?]);
        if let Some(length) = out.first_mut() {
            *length = 7;
        }
    }
    Some(out)
}

/// What stands in place of a message that may quote hidden values.
const HIDDEN: &str = "details hidden by Doorward: the statement touches masked columns";

/// The text of an error as the caller may see it. Where the statement touches hidden columns it may quote their values:
/// a number does not say where a text comes from (`SIGNAL` sets both), so that only texts of our own remain.
pub(crate) fn error_text(code: u16, message: &[u8], hides: bool, text: &TextMasking) -> Vec<u8> {
    if !hides {
        return text.text(message, &Hint::default()).unwrap_or_else(|| message.to_vec());
    }
    let known = match code {
        1205 => "Lock wait timeout exceeded; try restarting transaction",
        1213 => "Deadlock found when trying to get lock; try restarting transaction",
        1317 => "Query execution was interrupted",
        1969 | 3024 => "Query execution was interrupted, maximum statement execution time exceeded",
        _ => HIDDEN,
    };
    known.as_bytes().to_vec()
}

/// Appends a packet, with its number.
pub(crate) fn put(out: &mut BytesMut, sequence: &mut u8, payload: &[u8]) {
    *sequence = crate::codec::put_message(out, *sequence, payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_detect::{Detector, Masker, TypeSet};
    use doorward_enforce::MaskRule;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn text() -> TextMasking {
        TextMasking {
            detector: Arc::new(Detector::default()),
            masker: Arc::new(Masker::new([1; 32])),
            wanted: TypeSet::all(),
            rules: Arc::from([]),
        }
    }

    fn field(kind: u8, plan: FieldPlan) -> Field {
        let json = kind == types::JSON;
        Field { plan, kind, unsigned: false, binary: false, json, told_by_bytes: true, constant: None }
    }

    fn hidden(operator: Operator) -> FieldPlan {
        FieldPlan::Mask(Arc::new(MaskRule { operator, label: "ssn".into(), by_default: false }))
    }

    fn scan() -> FieldPlan {
        FieldPlan::Scan(Hint::default())
    }

    #[test]
    fn null_is_shown_as_a_value_where_rows_come_as_they_are() {
        let masked = |kind| field(kind, hidden(Operator::Redact));
        let fields =
            || vec![masked(types::VAR_STRING), field(types::VAR_STRING, FieldPlan::Clear), masked(types::LONG)];
        let masker = |nulls, binary| RowMasker::new(fields(), text(), binary).with_nulls(nulls);
        let cells = [&[0xfb, 1, b'a'][..], &[0xfb]].concat();
        assert_eq!(masker(false, false).shown(&cells), cells);
        let value = [&[1, b'x', 1, b'a'][..], &[1, b'7']].concat();
        assert_eq!(masker(true, false).shown(&cells), masker(true, false).shown(&value));
        // The first and the third are null.
        let cells = [0, 0b0001_0100, 1, b'a'];
        let value = [&[0, 0, 1, b'x', 1, b'a'][..], &7_i32.to_le_bytes()].concat();
        assert_eq!(masker(true, true).shown(&cells), masker(true, true).shown(&value));
        assert_eq!(masker(false, true).shown(&cells), cells);
    }

    #[test]
    fn text_rows_are_masked_cell_by_cell() {
        let fields = vec![
            field(types::LONG, FieldPlan::Clear),
            field(types::VAR_STRING, hidden(Operator::Redact)),
            field(types::VAR_STRING, scan()),
            field(types::LONGLONG, hidden(Operator::Redact)),
        ];
        let masker = RowMasker::new(fields, text(), false);
        let row = b"\x011\x09078051120\x13write to a@b.orgnow\x0212";
        let shown = masker.shown(row);
        assert!(!shown.windows(9).any(|w| w == b"078051120") && !shown.windows(7).any(|w| w == b"a@b.org"));
        assert!(shown.starts_with(b"\x011\x05[ssn]") && shown.ends_with(b"\xfb"), "{}", shown.escape_ascii());
        assert!(masker.row(b"\x011", &mut 0).is_err());
        assert!(masker.row(b"\x011\x0112\x00\x01a", &mut 0).is_err(), "a cell too many");
    }

    #[test]
    fn binary_rows_keep_their_layout() {
        let fields = vec![
            field(types::LONG, hidden(Operator::Redact)),
            field(types::VAR_STRING, hidden(Operator::Redact)),
            field(types::DATE, hidden(Operator::Date(doorward_model::DateUnit::Year))),
            field(types::LONG, hidden(Operator::Fixed("7".into()))),
        ];
        let masker = RowMasker::new(fields, text(), true);
        let row = b"\0\0\x05\0\0\0\x03abc\x04\xea\x07\x0b\x1a\x09\0\0\0";
        assert_eq!(masker.shown(row), b"\0\x04\x05[ssn]\x04\xea\x07\x01\x01\x07\0\0\0");
        assert!(masker.row(&row[..row.len() - 1], &mut 0).is_err());
    }

    #[test]
    fn a_card_in_a_number_is_found_in_either_protocol() {
        let number = 4_111_111_111_111_111_i64;
        let fields = || vec![field(types::LONGLONG, scan())];
        let shown = RowMasker::new(fields(), text(), true).shown(&[&[0, 0][..], &number.to_le_bytes()].concat());
        assert_eq!(shown, [0, 4], "null in its place");
        let shown = RowMasker::new(fields(), text(), false).shown(&[&[16][..], number.to_string().as_bytes()].concat());
        assert_eq!(shown, [0xfb]);
    }

    #[test]
    fn errors_over_hidden_columns_say_nothing_of_values() {
        assert_eq!(error_text(1062, b"Duplicate entry '078051120' for key", true, &text()), HIDDEN.as_bytes());
        assert!(error_text(1205, b"078051120", true, &text()).starts_with(b"Lock wait"));
        assert!(!error_text(1062, b"Duplicate entry 'a@b.org'", false, &text()).windows(7).any(|w| w == b"a@b.org"));
    }

    const TEXTS: &[&[u8]] = &[b"plain", b"mail ada@example.com", b"", b"4111 1111 1111 1111", b"ada", b"@example.com"];
    const NUMBERS: &[i64] = &[7, 4_111_111_111_111_111];

    /// A value of a column in either protocol, as it is shown, and the same as it is sent.
    fn value(kind: u8, pick: usize, in_binary: bool) -> (Vec<u8>, Vec<u8>) {
        let mut sent = Vec::new();
        if kind == types::VAR_STRING {
            let text = TEXTS[pick % TEXTS.len()];
            put_string(&mut sent, text);
            return (text.to_vec(), sent);
        }
        let number = NUMBERS[pick % NUMBERS.len()];
        let shown = number.to_string().into_bytes();
        if in_binary {
            sent.extend(number.to_le_bytes())
        } else {
            put_string(&mut sent, &shown)
        }
        (shown, sent)
    }

    proptest! {
        /// Whatever is masked by its place in a row is what it is by itself.
        #[test]
        fn rows_are_masked_as_their_values_are_one_by_one(
            columns in proptest::collection::vec((any::<bool>(), 0_usize..7, 0_usize..8), 1..6),
            in_binary: bool,
        ) {
            let operators = [Operator::Redact, Operator::Null, Operator::Fixed("7".into()), Operator::Hash, Operator::Partial(2)];
            let plan = |which: usize| match which {
                0 => FieldPlan::Clear,
                1 => scan(),
                _ => hidden(operators[which - 2].clone()),
            };
            let text = text();
            let (mut row, mut want, mut bits, mut shown_bits) = (Vec::new(), Vec::new(), [0_u8; 2], [0_u8; 2]);
            let (mut fields, mut count) = (Vec::new(), 0);
            for (i, (is_text, which, pick)) in columns.iter().enumerate() {
                let kind = if *is_text { types::VAR_STRING } else { types::LONGLONG };
                let field = field(kind, plan(*which));
                let bit = (i + 2) / 8;
                if *pick == 7 {
                    bits[bit] |= 1 << ((i + 2) % 8);
                    shown_bits[bit] |= 1 << ((i + 2) % 8);
                    if !in_binary {
                        row.push(0xfb);
                        want.push(0xfb);
                    }
                } else {
                    let (readable, sent) = value(kind, *pick, in_binary);
                    row.extend(&sent);
                    match field.apply(&text, &readable) {
                        None => want.extend(&sent),
                        Some(masked) => {
                            count += 1;
                            let made = match masked {
                                Masked::Bytes(bytes) if in_binary => field.to_binary(&bytes),
                                Masked::Bytes(bytes) => Some(cell(Masked::Bytes(bytes))),
                                Masked::Null => None,
                            };
                            match made {
                                Some(bytes) => want.extend(bytes),
                                None if in_binary => shown_bits[bit] |= 1 << ((i + 2) % 8),
                                None => want.push(0xfb),
                            }
                        }
                    }
                }
                fields.push(field);
            }
            let length = (columns.len() + 2).div_ceil(8);
            let framed = |bits: &[u8], cells: &[u8]| match in_binary {
                true => [&[0], &bits[..length], cells].concat(),
                false => cells.to_vec(),
            };
            let (row, want) = (framed(&bits, &row), framed(&shown_bits, &want));
            let mut masked = 0;
            let got = RowMasker::new(fields, text, in_binary).row(&row, &mut masked).unwrap();
            prop_assert_eq!((got.unwrap_or(row), masked), (want, count));
        }

        #[test]
        fn random_rows_are_masked_or_refused(row: Vec<u8>, kinds in proptest::collection::vec((any::<u8>(), 0_u8..3), 0..12), binary: bool) {
            let fields = kinds.iter().map(|(kind, plan)| field(*kind, match plan {
                0 => FieldPlan::Clear,
                1 => scan(),
                _ => hidden(Operator::Redact),
            })).collect();
            drop(RowMasker::new(fields, text(), binary).row(&row, &mut 0));
        }
    }
}
