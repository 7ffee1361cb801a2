//! Streams over SPDY/3.1, passed as they are: for callers from whom nothing is hidden, and tunnels to ports. Both ways are
//! recorded.
use super::{
    answer::{self, Answered},
    handler,
    message::Message,
    session::{Part, Session},
    upgrade::{STREAM_PROTOCOL, Upgrade},
};
use doorward_enforce::StreamPermit;
use doorward_kubernetes::render;
use doorward_model::DataType;
use doorward_record::Direction;
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::{io, sync::Arc};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What is passed at once, in bytes.
const PIECE: usize = 32 * 1024;

/// Opens a stream that was allowed.
pub(super) async fn open(
    session: &Arc<Session>,
    number: u32,
    permit: StreamPermit,
    message: &Message,
    upgrade: Upgrade,
) -> Result<Answered, render::Answer> {
    let hidden = session.hidden();
    if !hidden.is_empty() && upgrade.cannot_mask().is_some() {
        return Err(render::status(409, "Conflict", "doorward: what you may see has changed; ask again"));
    }
    let mut message = message.clone();
    message.headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    message.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    for protocol in &upgrade.protocols {
        message.headers.append(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    }
    let response = session.endpoint.cluster.send(&message).await.map_err(|e| handler::unreachable(&e))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer::pass(Arc::clone(session), number, permit, response).await);
    }
    let odd = || render::status(502, "BadGateway", "doorward: the API server's answer to an upgrade is not understood");
    let chosen = response.headers().get(STREAM_PROTOCOL).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let protocol = upgrade.protocols.iter().copied().find(|p| *p == chosen).ok_or_else(odd)?;
    let upstream = response.upgrade().await.map_err(|_| odd())?;
    let answered = upgrade.accept(protocol);
    let live = session.stream();
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let _live = live;
        let Some(on) = upgrade.on else { return };
        let Ok(caller) = on.await else { return };
        let splice = Splice { session, number, hidden };
        splice.run(TokioIo::new(caller), upstream, permit).await;
    });
    Ok(answered)
}

struct Splice {
    session: Arc<Session>,
    number: u32,
    /// Nothing, but in tunnels.
    hidden: Vec<DataType>,
}

impl Splice {
    async fn run(
        &self,
        caller: impl AsyncRead + AsyncWrite + Unpin,
        upstream: impl AsyncRead + AsyncWrite + Unpin,
        permit: StreamPermit,
    ) {
        let (from_caller, to_caller) = tokio::io::split(caller);
        let (from_upstream, to_upstream) = tokio::io::split(upstream);
        let both = async {
            tokio::join!(
                self.pass(from_caller, to_upstream, Direction::Client),
                self.pass(from_upstream, to_caller, Direction::Upstream),
            )
        };
        tokio::select! {
            _ended = both => {}
            refusal = self.session.revoked(&permit, &self.hidden) => self.session.note_revoked(self.number, &refusal),
            () = self.session.ended() => {}
        }
    }

    async fn pass(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        direction: Direction,
    ) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let n = from.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
            self.session.keep(self.number, Part::Tunnel, direction, bytes).await;
            to.write_all(bytes).await?;
        }
        to.shutdown().await
    }
}
