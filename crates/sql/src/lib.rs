//! SQL meaning: statement text to facts, lineage and session effects.
//!
//! One module per dialect. The PostgreSQL module reads text with the server's own grammar
//! (libpg_query) and never with regular expressions.
//!
//! Invariants:
//! - What is not understood becomes an `opaque` access, never a missing one.
//! - No text overflows a stack: depth is capped by a token scan before the parser sees it, and
//!   costly texts are meant to be analysed on a thread with a big stack ([`postgres::Cost`]).
//! - Time and memory are linear in the text.
//!
//! Deliberately absent: policy, sockets, the database itself. What has to be known of the database
//! comes in as a [`Catalogue`].
mod catalogue;
pub mod postgres;

pub use catalogue::{Catalogue, Column, Function, Relation, RelationKind, Volatility};
