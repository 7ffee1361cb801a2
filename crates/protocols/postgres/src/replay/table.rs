//! Values and result tables as people read them.
use crate::{codec::FieldDescription, mask};

/// The widest cell that is shown, in characters.
const WIDEST: usize = 60;

/// A text that cannot play tricks on a terminal: control characters and those that turn the direction
/// of writing are shown by their numbers. `lines` keeps line ends and tabs.
pub(super) fn printable(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' if lines => out.push(c),
            '\n' => out.push('⏎'),
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push_str(&c.escape_unicode().to_string());
            }
            c => out.push(c),
        }
    }
    out
}

/// The same of bytes.
pub(super) fn printable_bytes(text: &[u8], lines: bool) -> String {
    printable(&String::from_utf8_lossy(text), lines)
}

/// A cell of a result; `∅` is null.
pub(super) fn cell(value: Option<&[u8]>, field: Option<&FieldDescription>, format: i16) -> String {
    let Some(value) = value else { return "∅".into() };
    // What is longer than a cell shows is not read to its end.
    let start = value.get(..WIDEST * 4).unwrap_or(value);
    let shown = if format == 0 {
        printable_bytes(start, false)
    } else {
        binary(value, field.map_or(0, |f| f.type_oid))
            .unwrap_or_else(|| format!("\\x{}", hex::encode(start.get(..WIDEST / 2).unwrap_or(start))))
    };
    if shown.chars().count() > WIDEST { shown.chars().take(WIDEST - 1).chain(['…']).collect() } else { shown }
}

/// Values of common types in the binary format (`typsend` of each).
fn binary(value: &[u8], type_oid: u32) -> Option<String> {
    Some(match type_oid {
        16 => if value == [1] { "t" } else { "f" }.into(),
        21 => i16::from_be_bytes(value.try_into().ok()?).to_string(),
        23 => i32::from_be_bytes(value.try_into().ok()?).to_string(),
        26 => u32::from_be_bytes(value.try_into().ok()?).to_string(),
        20 => i64::from_be_bytes(value.try_into().ok()?).to_string(),
        700 => f32::from_be_bytes(value.try_into().ok()?).to_string(),
        701 => f64::from_be_bytes(value.try_into().ok()?).to_string(),
        1700 => mask::numeric(value)?,
        1082 => mask::date(value, false)?,
        3802 => printable_bytes(value.get(1..)?, false),
        18 | 19 | 25 | 114 | 142 | 705 | 1042 | 1043 | 2275 => printable_bytes(value, false),
        // An enumeration, citext: text if it looks like it.
        _ => std::str::from_utf8(value).ok().filter(|t| !t.is_empty() && !t.chars().any(char::is_control))?.to_owned(),
    })
}

/// A result while it comes in.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Its columns, where they were described.
    pub(super) fields: Vec<FieldDescription>,
    /// The formats asked for by Bind; empty: those of the description.
    pub(super) formats: Vec<i16>,
    rows: Vec<Vec<String>>,
    more: u64,
}

impl Table {
    /// A result of these columns, in the formats that they say.
    pub(super) fn of(fields: Vec<FieldDescription>) -> Self {
        Self { fields, ..Self::default() }
    }

    /// Takes a row; those beyond `limit` are counted.
    pub(super) fn push<'a>(&mut self, cells: impl Iterator<Item = Option<&'a [u8]>>, limit: usize) {
        if self.rows.len() >= limit {
            self.more = self.more.saturating_add(1);
            return;
        }
        let (fields, formats) = (&self.fields, &self.formats);
        let format = |i: usize| match formats.as_slice() {
            [] => fields.get(i).map_or(0, |f| f.format),
            [one] => *one,
            many => many.get(i).copied().unwrap_or(0),
        };
        self.rows.push(cells.enumerate().map(|(i, c)| cell(c, fields.get(i), format(i))).collect());
    }

    /// A row that was too long to be kept.
    pub(super) fn skip_row(&mut self) {
        self.more = self.more.saturating_add(1);
    }

    /// Whether nothing of it is known yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.rows.is_empty() && self.more == 0
    }

    /// An aligned table, as psql draws it.
    pub(super) fn render(&self) -> String {
        let names: Vec<String> = self.fields.iter().map(|f| cell(Some(f.name.as_bytes()), None, 0)).collect();
        let columns = self.rows.iter().map(Vec::len).chain([names.len()]).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for line in self.rows.iter().chain([&names]) {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!(" {c:<w$} ", w = *w)).collect();
            padded.join("|").trim_end().to_owned()
        };
        let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
        let mut text = Vec::new();
        if columns > 0 {
            text.extend([line(&names), rule.join("+")]);
            text.extend(self.rows.iter().map(|r| line(r)));
        }
        if self.more > 0 {
            text.push(format!("({} more rows)", self.more));
        }
        text.join("\n")
    }
}
