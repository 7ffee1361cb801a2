//! Bytes to messages (PostgreSQL manual, "Frontend/Backend Protocol", "Message Formats").
//!
//! Frames are cut by their declared length before anything reads them, are read to their last
//! byte, and stay bytes: every message borrows from its frame.
mod client;
#[cfg(test)]
pub(crate) mod traffic;
mod upstream;

pub use client::{
    Bind, ClientMessage, SaslInitialResponse, Startup, Target, client_message, function_arguments, password,
    portal_of_bind, sasl_initial_response, startup,
};
pub use upstream::{
    Authentication, DataRow, FieldDescription, Fields, RowDescription, UpstreamMessage, error_fields, error_text,
    run_of_rows, severity, sqlstate, upstream_message,
};

pub use doorward_wire::WireError;

/// Numbers of types (`pg_type.oid`), as they are on the wire, after their count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeNumbers<'a>(&'a [u8]);

impl TypeNumbers<'_> {
    /// They, in order; 0 where it is for the server to say.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (chunks, _) = self.0.as_chunks::<4>();
        chunks.iter().map(|c| u32::from_be_bytes(*c))
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its message type.
    pub tag: u8,
    /// Its length in bytes, with type and length word.
    pub total: usize,
}

/// A frame whose length cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length word does not even cover itself.
    #[error("invalid message length {length} in message type 0x{tag:02x}")]
    Length {
        /// The message type.
        tag: u8,
        /// The length as a signed number, as the protocol has it.
        length: i32,
    },
    /// Longer than is read here.
    #[error("message type 0x{tag:02x} of {length} bytes is longer than the {limit} bytes that are read here")]
    TooLong {
        /// The message type.
        tag: u8,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Reads the head of a frame; `None` while it is not complete.
///
/// # Errors
/// Where the length is impossible or beyond `limit` bytes; known from the head alone.
pub fn peek(buffer: &[u8], limit: usize) -> Result<Option<Header>, FrameError> {
    let Some(&[tag, a, b, c, d]) = buffer.first_chunk::<5>() else { return Ok(None) };
    let length = i32::from_be_bytes([a, b, c, d]);
    let total = usize::try_from(length).ok().filter(|l| *l >= 4).ok_or(FrameError::Length { tag, length })? + 1;
    if total > limit {
        return Err(FrameError::TooLong { tag, length: total, limit });
    }
    Ok(Some(Header { tag, total }))
}

/// The body of a whole frame.
fn body(frame: &[u8]) -> &[u8] {
    frame.get(5..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_cannot_be_are_known_from_the_head() {
        for length in [0_i32, 3, -1, i32::MIN] {
            let mut frame = vec![b'Q'];
            frame.extend(length.to_be_bytes());
            assert_eq!(peek(&frame, 100), Err(FrameError::Length { tag: b'Q', length }));
        }
        let mut frame = vec![b'Q'];
        frame.extend(i32::MAX.to_be_bytes());
        assert!(matches!(peek(&frame, 100), Err(FrameError::TooLong { .. })));
        assert_eq!(peek(b"Q\0\0\0", 100), Ok(None));
        assert_eq!(peek(b"S\0\0\0\x04", 100), Ok(Some(Header { tag: b'S', total: 5 })));
    }
}
