//! How requests stand in a recording: each frame of bytes begins with `request u32 | part u8`, numbers big-endian; what
//! happened besides are meta frames (JSON with `request`, `what`, `details`).

/// Which of a request's streams bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Head and body of the request, head and body of the answer.
    Message = 0,
    /// A channel of `exec`, `attach`: the byte that stands before it on the wire is kept, in each frame.
    Channel = 1,
    /// A tunnel: `portforward`.
    Tunnel = 2,
}

/// The head of a frame.
pub const fn header(request: u32, part: Part) -> [u8; 5] {
    let [a, b, c, d] = request.to_be_bytes();
    [a, b, c, d, part as u8]
}

/// Bytes as they are recorded: pieces of at most `most` bytes of data, each with its head.
pub fn frames(request: u32, part: Part, bytes: &[u8], most: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut head = header(request, part).to_vec();
    let data = match (part, bytes.split_first()) {
        (Part::Channel, Some((channel, data))) => {
            head.push(*channel);
            data
        }
        _ => bytes,
    };
    // The end of input is a channel without data.
    let empty = (part == Part::Channel && data.is_empty() && !bytes.is_empty()).then(|| head.clone());
    let pieces = data.chunks(most.max(1)).map(move |piece| [head.as_slice(), piece].concat());
    empty.into_iter().chain(pieces)
}

/// Reads a frame; none where it is none of ours.
pub fn frame(bytes: &[u8]) -> Option<(u32, Part, &[u8])> {
    let (request, rest) = bytes.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_first()?;
    let part = match part {
        0 => Part::Message,
        1 => Part::Channel,
        2 => Part::Tunnel,
        _ => return None,
    };
    Some((u32::from_be_bytes(*request), part, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_of_a_channel_says_which() {
        let all: Vec<Vec<u8>> = frames(7, Part::Channel, b"\x01abcde", 3).collect();
        let read: Vec<_> = all.iter().map(|f| frame(f).unwrap()).collect();
        assert_eq!(read, [(7, Part::Channel, b"\x01abc".as_slice()), (7, Part::Channel, b"\x01de")]);
        assert_eq!(frames(7, Part::Channel, b"\x00", 3).count(), 1);
        assert_eq!(frames(7, Part::Channel, b"", 3).count(), 0);
        let all: Vec<Vec<u8>> = frames(7, Part::Message, b"abcd", 3).collect();
        assert_eq!(frame(&all[1]), Some((7, Part::Message, b"d".as_slice())));
        assert_eq!(frame(&[0, 0, 0, 1, 9]), None);
        assert_eq!(frame(&[0, 0, 0, 1]), None);
    }
}
