//! Recognizers of sensitive values, and the operators that mask them.
//!
//! Two steps, because most data is clean and the first has to run over every byte of every result:
//! [`Detector::may_contain`] says in one pass over raw wire bytes that nothing can be there, and
//! [`Detector::scan`] finds exactly what is where in one value. [`Masker`] replaces it; [`StreamMasker`]
//! does both for a terminal or a program's output while it flows.
//!
//! # Invariants
//! - `may_contain` is never false where `scan` would find something in any contiguous part.
//! - Both are linear in their input and never panic, whatever the bytes.
//! - What cannot be masked becomes null; nothing is passed because no operator fits it.
//! - A partly shown or hashed value holds nothing that `scan` finds.
//!
//! # What is found
//! | type | found | not found, on purpose |
//! |---|---|---|
//! | credit card | 13 to 19 digits of a scheme's range and length with Luhn's check digit, plain or in groups by single spaces or single dashes; a number's `.00` may follow | inside words, hexadecimal, UUIDs, decimals; grouped by dots or mixed separators |
//! | US SSN | `NNN-NN-NNNN` in given-out ranges; nine digits or `NNN NN NNNN` where the column's name says so ([`Hint`]), or `ssn`, `social sec…` or `soc sec` stands 40 bytes before or 24 after | nine digits elsewhere |
//! | e-mail | local part and a domain with a top level of letters | hosts without a dot, quoted local parts, address literals |
//! | phone | `+` and 8 to 15 digits of an assigned country code; ten digits of the North American plan in three groups, with or without `1` | any other run of digits |
//! | IBAN | country's length, mod 97, in either case, plain or in groups of four | |
//! | IP address | four octets; IPv6 with three hexadecimal digits, one of them decimal | `N.0.0.0`, `1.2.3`, `v1.2.3.4`, five numbers and more, `::1`, hardware addresses |
//! | API key | AWS, GitHub, GitLab, Slack, Stripe, Google, Azure storage and Entra ID, npm, `sk-…` (OpenAI, Anthropic) | AWS secret keys, which nothing distinguishes; test keys |
//! | private key | PEM and OpenPGP, from its first line to its last, or to the end of the value | public keys, certificates; a key without its first line |
//! | JWT | three or five parts, the first of them a JSON object | one or two parts |
//!
//! # Deliberately absent
//! I/O, clocks, and names of tables: what is tagged is policy's business.
//!
//! # Known limits
//! - Values split over several cells, spelt out, escaped (`\u0040`), encoded (base64, hex, URL) or in
//!   digits beyond ASCII are not found.
//! - One number in ten has a right Luhn digit and one in thirty is in a scheme's range: some order
//!   numbers of 16 digits will be taken for cards.
//! - Four-part version numbers are addresses to us, unless a letter is before them.
//! - Bare SSNs and the redaction of what stands beside them: a marker is shorter than what it hides, so
//!   words may come nearer and a second masking may hide more than the first.
//! - `partial` shows how long a value was; hashes of a `smallint` collide.
//! - [`Detector::may_contain`] passes all runs of nine digits as SSNs, since it is not told the columns'
//!   names; [`Detector::may_contain_hinted`] is for whoever knows them.
mod blocks;
mod calendar;
mod chain;
mod chance;
mod checks;
mod email;
mod ipv6;
mod mask;
mod recognizers;
mod secrets;
mod shape;
mod spots;
mod stream;
mod text;
mod types;

pub use mask::{Masked, Masker};
pub use recognizers::{Detector, Finding, Hint};
pub use shape::ValueShape;
pub use stream::StreamMasker;
pub use types::TypeSet;
