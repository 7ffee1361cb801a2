//! Packets of log-in and of the gateway's own questions, one after the other.
use crate::stream::Stream;
use doorward_mysql::codec;
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A side that is spoken to packet by packet.
#[derive(Debug)]
pub(super) struct Packets {
    pub(super) stream: Stream,
    /// The number of the next packet.
    pub(super) next: u8,
}

impl Packets {
    pub(super) const fn new(stream: Stream) -> Self {
        Self { stream, next: 0 }
    }

    /// Reads a packet of at most `longest` bytes, and of at least as much as its head says.
    pub(super) async fn read(&mut self, longest: usize) -> io::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await?;
        let (length, sequence) = codec::header(&head).unwrap_or_default();
        let odd = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
        if length > longest || length == codec::FULL {
            return odd("a packet that is too long");
        }
        if sequence != self.next {
            return odd("packets out of order");
        }
        self.next = sequence.wrapping_add(1);
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        Ok(payload)
    }

    pub(super) async fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        self.next = codec::put_message(&mut out, self.next, payload);
        self.stream.write_all(&out).await?;
        self.stream.flush().await
    }
}
