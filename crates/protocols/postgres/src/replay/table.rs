//! Values and result tables of PostgreSQL.
use crate::{codec::FieldDescription, mask};
use doorward_sql_session::replay::{self, Shown, WIDEST, clipped, printable_bytes};

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
    clipped(shown)
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
    of: replay::Table,
}

impl Table {
    /// A result of these columns, in the formats that they say.
    pub(super) fn of(fields: Vec<FieldDescription>) -> Self {
        Self { fields, ..Self::default() }
    }

    /// Takes a row; those beyond `limit` are counted.
    pub(super) fn push<'a>(&mut self, cells: impl Iterator<Item = Option<&'a [u8]>>, limit: usize) {
        let (fields, formats) = (&self.fields, &self.formats);
        let format = |i: usize| match formats.as_slice() {
            [] => fields.get(i).map_or(0, |f| f.format),
            [one] => *one,
            many => many.get(i).copied().unwrap_or(0),
        };
        self.of.push(limit, || cells.enumerate().map(|(i, c)| cell(c, fields.get(i), format(i))).collect());
    }

    /// A row that was too long to be kept.
    pub(super) const fn skip_row(&mut self) {
        self.of.skip_row();
    }

    /// Whether nothing of it is known yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.of.is_empty()
    }

    /// The result; none where there is nothing to show.
    pub(super) fn shown(self) -> Option<Shown> {
        let names = self.fields.iter().map(|f| cell(Some(f.name.as_bytes()), None, 0)).collect();
        self.of.shown(names)
    }
}
