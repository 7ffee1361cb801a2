//! Recognizers of sensitive values, and the operators that mask them.
//!
//! Two steps, because most data is clean and the first has to run over every byte of every result:
//! [`Detector::may_contain`] says in one pass over raw wire bytes that nothing can be there, and
//! [`Detector::scan`] finds exactly what is where in one value. [`Masker`] replaces it.
//!
//! Invariants:
//! - `may_contain` is never false where `scan` would find something in any contiguous part.
//! - Both are linear in their input and never panic, whatever the bytes.
//! - A masked value never is, nor contains, the original; what cannot be masked becomes null.
//!
//! Deliberately absent: I/O, clocks, names of tables (tags are policy's business).
//!
//! Known limits: values split over several cells, spelt out, or encoded (base64, hex) are not found;
//! nine bare digits count as an SSN only beside words that say so.
mod checks;
mod mask;
mod prefilter;
mod recognizers;
mod types;

pub use mask::{Masked, Masker, ValueShape};
pub use recognizers::{Detector, Finding, Hint};
pub use types::TypeSet;
