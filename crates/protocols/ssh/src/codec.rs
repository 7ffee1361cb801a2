//! How the channels of a session stand in its recording.
//!
//! The transport's own bytes are encrypted and of no use; what is recorded is what it carries. A frame of a
//! recording holds `channel u32 | stream u8 | bytes`, numbers big-endian; requests, sizes and exits are meta
//! frames (JSON with `channel` and `event`).
use doorward_wire::Reader;

/// Bytes before the data of a frame.
pub const HEADER: usize = 5;

/// Which of a channel's streams bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Data: standard input, standard output, a forwarded connection.
    Data,
    /// Extended data of type 1: standard error.
    Error,
}

/// The head of a frame.
pub const fn header(channel: u32, stream: Stream) -> [u8; HEADER] {
    let [a, b, c, d] = channel.to_be_bytes();
    let stream = match stream {
        Stream::Data => 0,
        Stream::Error => 1,
    };
    [a, b, c, d, stream]
}

/// Reads a frame.
///
/// # Errors
/// Where it is none.
pub fn frame(bytes: &[u8]) -> Result<(u32, Stream, &[u8]), doorward_wire::WireError> {
    let mut reader = Reader::new(bytes, "a recorded frame");
    let channel = reader.u32()?;
    let stream = match reader.u8()? {
        0 => Stream::Data,
        1 => Stream::Error,
        _ => return Err(reader.invalid()),
    };
    Ok((channel, stream, reader.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_are_written() {
        let bytes = [header(7, Stream::Error).as_slice(), b"oops"].concat();
        assert_eq!(frame(&bytes).unwrap(), (7, Stream::Error, b"oops".as_slice()));
        assert!(frame(&[0, 0, 0, 1]).is_err());
        assert!(frame(&[0, 0, 0, 1, 9]).is_err());
    }
}
