//! SQL meaning: statement text to facts, lineage and session effects.
//!
//! One module per dialect, which share their results. The PostgreSQL module reads text with the server's own grammar
//! (libpg_query); the MySQL module has a reader of its own and says what to forward in place of the text (docs/adr/0011).
//!
//! Invariants:
//! - What is not understood becomes an `opaque` access, never a missing one.
//! - No text overflows a stack: depth is capped by a token scan before the parser sees it, and
//!   costly texts are meant to be analysed on a thread with a big stack ([`postgres::Cost`]).
//! - Time and memory are linear in the text.
//!
//! Deliberately absent: policy, sockets, the database itself. What has to be known of the database
//! comes in as a [`Catalogue`].
//!
//! Known limits:
//! - Casts to a user's types and operators of built-in symbols over a user's types may call functions
//!   that are not asked for; triggers, rules, defaults and views run what their makers were asked for.
//! - `has_where` is true if the condition names a column: `WHERE id = id` counts.
//! - UPDATE and DELETE ask `select` on their target only with RETURNING or other relations beside it.
//! - Lineage does not count what only filters, joins, groups or sorts: queries over hidden columns are rewritten for that
//!   ([`Reads`]).
//! - GRANT on anything but relations names `?` and is opaque too: the binding hides the names.
//! - Bodies of functions in other languages than SQL, and of DO, are opaque.
mod cache;
mod catalogue;
mod meaning;
mod mentions;
pub mod mysql;
pub mod postgres;
pub mod tags;

pub use cache::{AnalysisCache, ReadUnder};
pub use catalogue::{
    Cascade, Catalogue, Column, Function, Index, Orders, Reach, Relation, RelationKind, Volatility, may_mix_rows,
};
pub use meaning::{
    Analysis, CopyFormat, CopySpec, Dropped, Effect, Kill, Limited, Lineage, Output, Prefix, Read, Reads, Reference,
    SourceColumn, SqlError, Statement, Tell, Writes, Written,
};
pub use mentions::Mentions;
