//! Rows, errors and notifications, masked.
//!
//! What runs over every byte of every result that is shown is `Detector::may_contain` on a whole run of rows; only
//! rows in which something may be found are looked through value by value. Columns that are hidden whole are replaced by
//! their places, and are not looked into: what stands between them goes on in one piece.
//!
//! Known limits: bytes (`bytea`) are looked through where they are UTF-8; JSON is looked through as it
//! stands, so an address spelt with `\u` escapes in a `json` column is not found; 16- and 32-bit
//! integers are not looked at, since no recognised number fits.
mod errors;
mod field;
#[cfg(test)]
mod tests;
mod text;
mod values;

pub(crate) use errors::{ErrorExposure, error_or_notice, function_result, notification, parameter_status};
pub(crate) use field::Field;
pub(crate) use values::{date, numeric};

use crate::codec;
use bytes::BytesMut;
use doorward_detect::Hint;
use doorward_detect::Masked;
use doorward_sql_session::TextMasking;
use doorward_wire::{Reader, WireError};

/// Of longer rows, and runs of them, no second copy is made to look them through: their values are looked at one by one.
const MOST_SEEN: usize = 1 << 20;

/// Rows that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MaskError {
    /// The row is malformed.
    #[error("{0}")]
    Malformed(#[from] WireError),
    /// The row has other columns than its description.
    #[error("a row has {row} columns and its description {description}")]
    Columns {
        /// Columns of the row.
        row: usize,
        /// Columns of the description.
        description: usize,
    },
}

/// Masks the rows of one result.
#[derive(Debug)]
pub(crate) struct RowMasker {
    fields: Vec<Field>,
    /// What becomes of the cell of each field in a row that is otherwise clean.
    places: Vec<Place>,
    text: TextMasking,
    /// A constant stands also in the place of null.
    nulls: bool,
    clear: bool,
    /// Clean raw bytes mean clean rows, and no cell is replaced.
    by_bytes: bool,
    /// What the names of the columns say, together.
    hint: Hint,
}

impl RowMasker {
    /// A masker for rows of these columns.
    pub(crate) fn new(fields: Vec<Field>, text: TextMasking) -> Self {
        let clear = fields.iter().all(Field::is_clear);
        let by_bytes = fields.iter().all(Field::is_told_by_bytes);
        let hint = fields.iter().fold(Hint::default(), |all, f| all.or(f.hint()));
        let places = fields.iter().map(|field| Place::of(field, &text)).collect();
        Self { fields, places, text, nulls: false, clear, by_bytes, hint }
    }

    /// The same, with null shown as any other value is where that is the same for all: whether there is a value is not told.
    pub(crate) fn with_nulls(mut self, nulls: bool) -> Self {
        self.nulls = nulls;
        self
    }

    /// Whether rows pass untouched.
    pub(crate) const fn is_clear(&self) -> bool {
        self.clear
    }

    /// Masks consecutive whole DataRow frames into `out`, counting the masked values.
    ///
    /// # Errors
    /// Where a row is not what its description says. What was written until then is whole rows.
    pub(crate) fn mask_run(&self, run: &[u8], out: &mut BytesMut, masked: &mut u64) -> Result<(), MaskError> {
        if self.clear || (self.by_bytes && !self.text.may_contain_hinted(run, self.hint)) {
            // The caller's driver is not fed what is no row, even where nothing in it is hidden.
            let mut rest = run;
            while let Ok(Some(header)) = codec::peek(rest, usize::MAX) {
                let Some((frame, after)) = rest.split_at_checked(header.total) else { break };
                self.check_row(frame)?;
                rest = after;
            }
            out.extend_from_slice(run);
            return Ok(());
        }
        if !self.by_bytes && run.len() <= MOST_SEEN && self.replaced(run, out, masked) {
            return Ok(());
        }
        let mut rest = run;
        let mut seen = Vec::new();
        while let Ok(Some(header)) = codec::peek(rest, usize::MAX) {
            let Some((frame, after)) = rest.split_at_checked(header.total) else { break };
            rest = after;
            if self.by_bytes && !self.text.may_contain_hinted(frame, self.hint) {
                self.check_row(frame)?;
                out.extend_from_slice(frame);
            } else if self.by_bytes || frame.len() > MOST_SEEN || !self.replaced_row(frame, out, &mut seen, masked)? {
                self.mask_row(frame, out, masked)?;
            }
        }
        Ok(())
    }

    /// Replaces cells by their places in all rows of a run, if nothing is to be found in what is shown of them. False, with
    /// nothing written, where something may be, or a row is none.
    fn replaced(&self, run: &[u8], out: &mut BytesMut, masked: &mut u64) -> bool {
        let (start, before) = (out.len(), *masked);
        out.reserve(run.len());
        let mut seen = Vec::with_capacity(run.len());
        let mut rest = run;
        while let Ok(Some(header)) = codec::peek(rest, usize::MAX) {
            let Some((frame, after)) = rest.split_at_checked(header.total) else { break };
            // INVARIANT: no row is left standing that has not been looked through.
            if self.replace(frame, out, &mut seen, masked).is_err() {
                out.truncate(start);
                *masked = before;
                return false;
            }
            rest = after;
        }
        self.keep_if_clean(out, start, &seen, masked, before)
    }

    /// The same of one row.
    fn replaced_row(
        &self,
        frame: &[u8],
        out: &mut BytesMut,
        seen: &mut Vec<u8>,
        masked: &mut u64,
    ) -> Result<bool, MaskError> {
        let (start, before) = (out.len(), *masked);
        seen.clear();
        self.replace(frame, out, seen, masked)?;
        Ok(self.keep_if_clean(out, start, seen, masked, before))
    }

    fn keep_if_clean(&self, out: &mut BytesMut, start: usize, seen: &[u8], masked: &mut u64, before: u64) -> bool {
        let clean = !self.text.may_contain_hinted(seen, self.hint);
        if !clean {
            out.truncate(start);
            *masked = before;
        }
        clean
    }

    /// Writes a row with cells replaced by their places. What is shown as it came is added to `seen`, in pieces as they stand
    /// in the row: nothing within a cell is cut.
    ///
    /// # Errors
    /// Where it is no row of this result: nothing of it is written.
    fn replace(&self, frame: &[u8], out: &mut BytesMut, seen: &mut Vec<u8>, masked: &mut u64) -> Result<(), MaskError> {
        let mut r = self.cells_of(frame)?;
        let start = out.len();
        out.extend_from_slice(frame.get(..7).unwrap_or_default());
        let result = self.replace_cells(frame, &mut r, out, seen, masked);
        self.end_row(start, result, out)
    }

    fn replace_cells(
        &self,
        frame: &[u8],
        r: &mut Reader<'_>,
        out: &mut BytesMut,
        seen: &mut Vec<u8>,
        masked: &mut u64,
    ) -> Result<(), MaskError> {
        let mut from = 7;
        for (place, field) in self.places.iter().zip(&self.fields) {
            let at = frame.len() - r.left();
            let length = r.i32()?;
            let value = match length {
                -1 => &[],
                _ => r.bytes(usize::try_from(length).map_err(|_| r.invalid())?)?,
            };
            if matches!(place, Place::Stands) || length == -1 && !self.replaces_null(place) {
                continue;
            }
            let shown = frame.get(from..at).unwrap_or_default();
            out.extend_from_slice(shown);
            seen.extend_from_slice(shown);
            from = frame.len() - r.left();
            match place {
                Place::Constant(cell) => {
                    *masked += 1;
                    out.extend_from_slice(cell);
                }
                Place::Computed | Place::Stands => self.mask_cell(field, value, out, masked),
            }
        }
        r.all()?;
        let shown = frame.get(from..).unwrap_or_default();
        out.extend_from_slice(shown);
        seen.extend_from_slice(shown);
        Ok(())
    }

    /// A row that goes on as it is must be one: as many cells as described, and nothing after them.
    fn check_row(&self, frame: &[u8]) -> Result<(), MaskError> {
        let mut r = self.cells_of(frame)?;
        for _ in &self.fields {
            let length = r.i32()?;
            if length != -1 {
                r.bytes(usize::try_from(length).map_err(|_| r.invalid())?)?;
            }
        }
        r.all()?;
        Ok(())
    }

    fn cells_of<'a>(&self, frame: &'a [u8]) -> Result<Reader<'a>, MaskError> {
        let mut r = Reader::new(frame.get(5..).unwrap_or_default(), "DataRow");
        let count = r.count16(4)?;
        if count == self.fields.len() {
            return Ok(r);
        }
        Err(MaskError::Columns { row: count, description: self.fields.len() })
    }

    fn mask_row(&self, frame: &[u8], out: &mut BytesMut, masked: &mut u64) -> Result<(), MaskError> {
        let mut r = self.cells_of(frame)?;
        let start = out.len();
        out.extend_from_slice(frame.get(..7).unwrap_or_default());
        let result = self.mask_cells(&mut r, out, masked);
        self.end_row(start, result, out)
    }

    /// Writes the length of a row that begins at `start`; takes it back where it was none.
    fn end_row(&self, start: usize, result: Result<(), MaskError>, out: &mut BytesMut) -> Result<(), MaskError> {
        if result.is_err() {
            out.truncate(start);
            return result;
        }
        let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
        if let Some(word) = out.get_mut(start + 1..start + 5) {
            word.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn mask_cells(&self, r: &mut Reader<'_>, out: &mut BytesMut, masked: &mut u64) -> Result<(), MaskError> {
        for (place, field) in self.places.iter().zip(&self.fields) {
            let length = r.i32()?;
            if length == -1 && !self.replaces_null(place) {
                out.extend_from_slice(NULL);
                continue;
            }
            let value = match length {
                -1 => &[],
                _ => r.bytes(usize::try_from(length).map_err(|_| r.invalid())?)?,
            };
            match place {
                Place::Constant(cell) => {
                    *masked += 1;
                    out.extend_from_slice(cell);
                }
                Place::Computed | Place::Stands => self.mask_cell(field, value, out, masked),
            }
        }
        r.all()?;
        Ok(())
    }

    const fn replaces_null(&self, place: &Place) -> bool {
        self.nulls && matches!(place, Place::Constant(_))
    }

    fn mask_cell(&self, field: &Field, value: &[u8], out: &mut BytesMut, masked: &mut u64) {
        match field.apply(&self.text, value) {
            None => put_cell(out, value),
            Some(Masked::Null) => {
                *masked += 1;
                out.extend_from_slice(NULL);
            }
            Some(Masked::Bytes(bytes)) => {
                *masked += 1;
                put_cell(out, &bytes);
            }
        }
    }
}

/// What becomes of the cells of a column in a row in which nothing is to be found.
#[derive(Clone, Debug)]
enum Place {
    /// They stand as they are.
    Stands,
    /// They are replaced by the same cell, with its length, whatever they are.
    Constant(Box<[u8]>),
    /// They are replaced by something made of them, or are looked into each: raw bytes do not show them.
    Computed,
}

impl Place {
    fn of(field: &Field, text: &TextMasking) -> Self {
        match field.constant(text) {
            Some(Masked::Null) => Self::Constant(NULL.into()),
            Some(Masked::Bytes(bytes)) => {
                let mut cell = BytesMut::new();
                put_cell(&mut cell, &bytes);
                Self::Constant(cell[..].into())
            }
            None if field.is_told_by_bytes() => Self::Stands,
            None => Self::Computed,
        }
    }
}

/// The length of a cell that is null.
const NULL: &[u8] = &(-1_i32).to_be_bytes();

fn put_cell(out: &mut BytesMut, value: &[u8]) {
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(value);
}
