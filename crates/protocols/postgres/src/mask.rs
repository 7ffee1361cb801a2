//! Rows, errors and notifications, masked.
//!
//! What runs over every byte of every result is `Detector::may_contain` on a whole run of rows; only
//! rows in which something may be found are taken apart.
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
    text: TextMasking,
    clear: bool,
    /// Clean raw bytes mean clean rows.
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
        Self { fields, text, clear, by_bytes, hint }
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
        let mut rest = run;
        while let Ok(Some(header)) = codec::peek(rest, usize::MAX) {
            let Some((frame, after)) = rest.split_at_checked(header.total) else { break };
            if self.by_bytes && !self.text.may_contain_hinted(frame, self.hint) {
                self.check_row(frame)?;
                out.extend_from_slice(frame);
            } else {
                self.mask_row(frame, out, masked)?;
            }
            rest = after;
        }
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
        if let Err(e) = result {
            out.truncate(start);
            return Err(e);
        }
        let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
        if let Some(word) = out.get_mut(start + 1..start + 5) {
            word.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn mask_cells(&self, r: &mut Reader<'_>, out: &mut BytesMut, masked: &mut u64) -> Result<(), MaskError> {
        for field in &self.fields {
            let length = r.i32()?;
            if length == -1 {
                out.extend_from_slice(&length.to_be_bytes());
                continue;
            }
            let value = r.bytes(usize::try_from(length).map_err(|_| r.invalid())?)?;
            match field.apply(&self.text, value) {
                None => {
                    out.extend_from_slice(&length.to_be_bytes());
                    out.extend_from_slice(value);
                }
                Some(Masked::Null) => {
                    *masked += 1;
                    out.extend_from_slice(&(-1_i32).to_be_bytes());
                }
                Some(Masked::Bytes(bytes)) => {
                    *masked += 1;
                    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
                    out.extend_from_slice(&bytes);
                }
            }
        }
        r.all()?;
        Ok(())
    }
}
