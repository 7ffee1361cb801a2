//! A client's stream in envelopes: the relay, the session and the recording see the packets in them.
use crate::stream::Stream;
use bytes::{Buf as _, BytesMut};
use doorward_mysql::codec::{
    self,
    compressed::{Algorithm, Envelopes},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is unpacked ahead of its reader, in bytes; an envelope may hold more.
const AHEAD: usize = 64 * 1024;
/// How much is packed at once, in bytes.
const PART: usize = 64 * 1024;

/// A stream whose bytes travel in envelopes, but for the first packet that is written: the client hears in clear that it
/// is let in.
#[derive(Debug)]
pub(crate) struct Compressed {
    inner: Stream,
    envelopes: Envelopes,
    /// How much of the first packet is still to be written; `None` once there is nothing of it.
    clear: Option<Clear>,
    /// Unpacked, and not yet read.
    plain: BytesMut,
    /// Packed, and not yet written.
    packed: BytesMut,
}

#[derive(Debug)]
enum Clear {
    Head(Vec<u8>),
    Body(usize),
}

impl Compressed {
    /// The stream of a client that was let in and has not heard of it yet.
    pub(crate) fn new(inner: Stream, algorithm: Algorithm) -> Self {
        Self {
            inner,
            envelopes: Envelopes::new(algorithm, true),
            clear: Some(Clear::Head(Vec::new())),
            plain: BytesMut::new(),
            packed: BytesMut::new(),
        }
    }

    pub(crate) const fn inner(&self) -> &Stream {
        &self.inner
    }

    /// Takes what `bytes` has of the first packet; how much that is.
    fn take_clear(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        if let Some(Clear::Head(head)) = &mut self.clear {
            taken = bytes.len().min(4 - head.len());
            head.extend_from_slice(bytes.get(..taken).unwrap_or_default());
            let Some((length, _)) = codec::header(head) else { return taken };
            self.packed.extend_from_slice(head);
            self.clear = Some(Clear::Body(length));
        }
        if let Some(Clear::Body(left)) = &mut self.clear {
            let body = bytes.get(taken..).unwrap_or_default();
            let body = body.get(..*left).unwrap_or(body);
            self.packed.extend_from_slice(body);
            *left -= body.len();
            taken += body.len();
            if *left == 0 {
                self.clear = None;
            }
        }
        taken
    }

    /// Writes what is packed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.packed.is_empty() {
            let n = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.packed))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.packed.advance(n);
        }
        self.packed = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn unpack(&mut self, bytes: &[u8]) -> io::Result<()> {
        let unpacked = self.envelopes.unpack(bytes, AHEAD, &mut self.plain);
        unpacked.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }
}

impl AsyncRead for Compressed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.plain.is_empty() && this.envelopes.waiting() > 0 {
                this.unpack(b"")?;
            }
            if !this.plain.is_empty() {
                let n = this.plain.len().min(buf.remaining());
                buf.put_slice(&this.plain.split_to(n));
                if this.plain.is_empty() {
                    this.plain = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            let mut chunk = [0; 8 * 1024];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.unpack(read.filled())?;
        }
    }
}

impl AsyncWrite for Compressed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // INVARIANT: at most one part waits to be written.
        ready!(this.poll_drain(cx))?;
        let n = if this.clear.is_some() {
            this.take_clear(buf)
        } else {
            let part = buf.get(..PART).unwrap_or(buf);
            this.envelopes.pack(part, &mut this.packed);
            part.len()
        };
        if let Poll::Ready(Err(e)) = this.poll_drain(cx) {
            return Poll::Ready(Err(e));
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    async fn pair(algorithm: Algorithm) -> (Compressed, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        (Compressed::new(Stream::Plain(socket), algorithm), peer)
    }

    #[tokio::test]
    async fn the_first_packet_goes_in_clear_however_it_is_cut() {
        for algorithm in [Algorithm::Zlib, Algorithm::Zstd(3)] {
            let (mut stream, mut peer) = pair(algorithm).await;
            for part in [&b"\x03\0"[..], b"\0\x02ab", b"c"] {
                stream.write_all(part).await.unwrap();
            }
            stream.write_all(&[b'x'; 1000]).await.unwrap();
            stream.flush().await.unwrap();
            drop(stream);
            let mut wire = Vec::new();
            peer.read_to_end(&mut wire).await.unwrap();
            let (clear, envelopes) = wire.split_at(7);
            assert_eq!(clear, b"\x03\0\0\x02abc");
            assert!(envelopes.len() < 100, "{}", envelopes.len());
            let mut plain = BytesMut::new();
            Envelopes::new(algorithm, false).unpack(envelopes, usize::MAX, &mut plain).unwrap();
            assert_eq!(plain, &[b'x'; 1000][..]);
        }
    }

    #[tokio::test]
    async fn what_comes_is_read_in_any_size_and_what_is_no_envelope_ends_it() {
        let (mut stream, mut peer) = pair(Algorithm::Zlib).await;
        let text = b"select 1 ".repeat(30_000);
        let mut wire = BytesMut::new();
        Envelopes::new(Algorithm::Zlib, false).pack(&text, &mut wire);
        peer.write_all(&wire).await.unwrap();
        let mut read = vec![0; text.len()];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read, text);
        peer.write_all(b"\x02\0\0\x00\x09\0\0xx").await.unwrap();
        let error = stream.read(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
