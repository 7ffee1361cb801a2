//! What sessions of all SQL protocols have in common. A protocol brings its codec, its grammar and its rendering.
//!
//! | file | what is in it |
//! |---|---|
//! | `meaning.rs` | what a text means in a session, with the names that only the session knows put in |
//! | `reveal.rs` | which columns a caller may not see, through views, partitions and what is not known |
//! | `guard.rs` | values on their way in that are what a mask shows |
//! | `freshness.rs` | how old what is known of the schema may become |
//! | `text.rs` | recognizers over values |
//! | `running.rs` | a request that the upstream is running, and how it ended |
//! | `replay.rs` | a recording, readable: texts and tables |
//! | `shown.rs` | what people are shown of a held statement besides its text |
//! | `explained.rs` | what becomes of a text, for people who ask before |
//! | `refusals.rs` | what is refused before any policy is asked |
//!
//! Invariants: no clock, no randomness, no I/O; what is not known is hidden, not shown.
//!
//! Deliberately absent: bytes of any protocol, and policy (above the enforcement point).
pub mod explained;
mod freshness;
mod guard;
mod meaning;
pub mod refusals;
pub mod replay;
mod reveal;
mod running;
mod shown;
mod text;

pub use freshness::{Changes, Freshness, Heard, Look};
pub use guard::{Arriving, LONGEST_MASK, Target, Targets};
pub use meaning::{Cursor, Known, Meaning, Meanings, Part, is_in_place, opaque, output_sources};
pub use reveal::{Asking, Dialect, Reveals, redacted, whole};
pub use running::Running;
pub use shown::besides;
pub use text::{FieldPlan, TextMasking};
