//! Tunnels to ports over SPDY/3.1, passed as they are and recorded.
use super::{
    answer::{self, Answered},
    message::Message,
    session::{Part, Session},
    spdy_wire::{Opened, dial},
    upgrade::Upgrade,
};
use doorward_enforce::StreamPermit;
use doorward_kubernetes::render;
use doorward_model::DataType;
use doorward_record::Direction;
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
    let (upstream, protocol) = match dial(session, message, &upgrade.protocols).await? {
        Opened::Stream(upstream, protocol) => (upstream, protocol),
        Opened::Not(response) => return Ok(answer::pass(Arc::clone(session), number, permit, *response).await),
    };
    let answered = upgrade.accept(protocol);
    let live = session.stream(number);
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
            () = self.session.live.ended() => {}
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
