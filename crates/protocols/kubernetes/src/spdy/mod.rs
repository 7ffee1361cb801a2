//! SPDY/3.1, as far as Kubernetes speaks it
//! (<https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/>; the other end is moby/spdystream).
//!
//! | file | what is in it |
//! |---|---|
//! | `headers.rs` | header blocks: zlib with the dictionary of the protocol, names and values |
//! | `frame.rs` | bytes ↔ frames |
//! | `exchange.rs` | which streams there are, and whether what a side says of them can be |
//!
//! Windows are not kept: moby/spdystream neither opens nor respects them, so who waited for a `WINDOW_UPDATE` would wait for
//! ever. What holds a sender back is TCP: who does not write, does not read.
mod exchange;
mod frame;
mod headers;
#[cfg(test)]
mod tests;

pub use exchange::{Exchange, FromCaller, FromUpstream, Misbehaved};
pub use frame::{CANCEL, Decoder, Encoder, Frame, FrameError, REFUSED_STREAM};
pub use headers::Headers;
