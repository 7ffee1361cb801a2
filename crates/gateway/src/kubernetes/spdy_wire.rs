//! The wire of SPDY on either side: frames are read and written, and a stream to the cluster is asked for.
use super::{
    handler,
    message::Message,
    session::Session,
    slots::{Sent, Upgraded},
    upgrade::STREAM_PROTOCOL,
};
use bytes::{Buf as _, BytesMut};
use doorward_kubernetes::{
    render,
    spdy::{Decoder, Encoder, Frame, FrameError, Misbehaved},
};
use http::{HeaderValue, StatusCode, header};
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

/// What is read at once, in bytes.
const PIECE: usize = 32 * 1024;
pub(super) type Upstream = Upgraded;

/// Why a direction has ended.
#[derive(Debug)]
pub(super) enum End {
    /// A side has left.
    Left,
    /// A side has done what cannot be.
    Fault { at_fault: &'static str, what: String },
}

impl From<Misbehaved> for End {
    fn from(e: Misbehaved) -> Self {
        let at_fault = match e {
            Misbehaved::Client(_) => "client",
            Misbehaved::Upstream(_) => "upstream",
        };
        Self::Fault { at_fault, what: format!("SPDY: {e}") }
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

/// Reads frames. A read that is given up loses nothing.
pub(super) struct Source<S> {
    from: ReadHalf<S>,
    decoder: Decoder,
    side: &'static str,
}

impl<S: tokio::io::AsyncRead> Source<S> {
    /// The next frame.
    pub(super) async fn frame(&mut self) -> Result<Frame, End> {
        let fault = |side: &'static str, e: FrameError| End::Fault { at_fault: side, what: format!("SPDY: {e}") };
        loop {
            if let Some(frame) = self.decoder.frame().map_err(|e| fault(self.side, e))? {
                return Ok(frame);
            }
            let buffer = self.decoder.buffer();
            buffer.reserve(PIECE);
            if self.from.read_buf(buffer).await? == 0 {
                return Err(End::Left);
            }
        }
    }
}

/// Writes frames. A write that is given up goes on with the next.
pub(super) struct Sink<S> {
    to: WriteHalf<S>,
    encoder: Encoder,
    out: BytesMut,
}

impl<S: tokio::io::AsyncWrite> Sink<S> {
    pub(super) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.encoder.put(frame, &mut self.out);
        while !self.out.is_empty() {
            match self.to.write(&self.out).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => self.out.advance(n),
            }
        }
        self.to.flush().await
    }

    /// Nothing more will be written.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        self.to.shutdown().await
    }
}

pub(super) fn halves<S: tokio::io::AsyncRead + tokio::io::AsyncWrite>(
    stream: S,
    side: &'static str,
) -> (Source<S>, Sink<S>) {
    let (from, to) = tokio::io::split(stream);
    let source = Source { from, decoder: Decoder::default(), side };
    (source, Sink { to, encoder: Encoder::default(), out: BytesMut::new() })
}

/// What became of a stream to the cluster.
pub(super) enum Opened {
    Stream(Upstream, &'static str),
    /// The cluster's answer, which is no stream.
    Not(Box<Sent>),
}

pub(super) async fn dial(
    session: &Session,
    message: &Message,
    protocols: &[&'static str],
) -> Result<Opened, render::Answer> {
    let mut message = message.clone();
    message.headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    message.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for protocol in protocols {
        message.headers.append(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let response = session.endpoint.cluster.send(&message, false).await.map_err(|e| handler::unreachable(&e))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Opened::Not(Box::new(response)));
    }
    let odd = || render::status(502, "BadGateway", "doorward: the API server's answer to an upgrade is not understood");
    let text = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
    let is_spdy = text(header::UPGRADE).eq_ignore_ascii_case("SPDY/3.1");
    let chosen = protocols.iter().copied().find(|p| is_spdy && *p == text(STREAM_PROTOCOL));
    let protocol = chosen.ok_or_else(odd)?;
    Ok(Opened::Stream(response.upgrade().await.map_err(|_| odd())?, protocol))
}
