//! Data of a channel, both ways: recorded, masked on the way to the caller, never buffered beyond a window.
use super::{
    inbox::{Inbox, Item},
    session::{CallerEnd, Gone, Session, UpstreamEnd},
};
use bytes::Bytes;
use doorward_enforce::{StreamPermit, UpstreamQueue};
use doorward_record::Direction;
use doorward_ssh::codec::Stream;
use russh::{ChannelId, ChannelMsg, ChannelWriteHalf};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How long a caller who has closed the channel may still be waited for by what he sent before.
const LINGER: Duration = Duration::from_secs(5);

/// The upstream's side of a channel.
pub(crate) struct Far {
    pub(crate) end: UpstreamEnd,
    pub(crate) inbox: Arc<Inbox>,
}

/// The caller's side of a channel.
pub(crate) struct Near {
    pub(crate) number: u32,
    pub(crate) id: ChannelId,
    pub(crate) end: CallerEnd,
    pub(crate) inbox: Arc<Inbox>,
    /// The caller reads no more.
    pub(crate) deaf: watch::Sender<bool>,
    /// The caller has typed something, and its echo has not come yet.
    pub(crate) typed: AtomicBool,
    /// Whether what was shown last ended a line.
    pub(crate) fresh_line: AtomicBool,
}

/// Room for as much as was passed on.
pub(crate) async fn grant<S>(end: &ChannelWriteHalf<S>, bytes: usize) -> Result<(), Gone>
where
    S: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    Ok(end.grant_window(u32::try_from(bytes).unwrap_or(u32::MAX)).await?)
}

impl Near {
    pub(crate) fn new(end: CallerEnd, inbox: Arc<Inbox>) -> Self {
        let (number, id) = (end.id().number(), end.id());
        Self { number, id, end, inbox, deaf: watch::Sender::new(false), typed: false.into(), fresh_line: true.into() }
    }

    /// Shows bytes to the caller; they are recorded as he sees them.
    pub(crate) async fn show(&self, session: &Session, stream: Stream, bytes: &[u8]) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        session.keep(self.number, stream, Direction::Upstream, bytes).await;
        self.fresh_line.store(bytes.ends_with(b"\n"), Ordering::Relaxed);
        let bytes = Bytes::copy_from_slice(bytes);
        let sent = async {
            match stream {
                Stream::Data => self.end.data_bytes(bytes).await,
                Stream::Error => self.end.extended_data_bytes(1, bytes).await,
            }
        };
        let mut deaf = self.deaf.subscribe();
        tokio::select! {
            sent = sent => Ok(sent?),
            // What nobody reads is dropped; the program is told, and its exit status still counts.
            _ = deaf.wait_for(|deaf| *deaf) => Ok(()),
            () = self.inbox.closed() => Err(Gone),
            () = session.live.ended() => Err(Gone),
        }
    }
}

impl Far {
    /// Sends data that belong to a request that was allowed.
    pub(crate) async fn send(
        &self,
        session: &Session,
        near: &Near,
        permit: &StreamPermit,
        bytes: &[u8],
    ) -> Result<(), Gone> {
        let mut queue = UpstreamQueue::new();
        queue.push_stream(permit, bytes);
        let bytes = session.release(&mut queue).await?;
        self.pass(session, near, bytes).await
    }

    /// Sends bytes that came out of a queue.
    pub(crate) async fn pass(&self, session: &Session, near: &Near, bytes: Bytes) -> Result<(), Gone> {
        let left = async {
            near.inbox.closed().await;
            tokio::time::sleep(LINGER).await;
        };
        tokio::select! {
            sent = self.end.data_bytes(bytes) => Ok(sent?),
            () = self.inbox.closed() => Err(Gone),
            () = left => Err(Gone),
            () = session.live.ended() => Err(Gone),
        }
    }
}

/// Carries a forwarded connection from the caller to the upstream, as it is.
pub(crate) async fn up(session: &Session, near: &Near, far: &Far, permit: &StreamPermit) {
    let carry = async || -> Result<(), Gone> {
        loop {
            match near.inbox.next().await {
                Item::Data(stream, bytes) => {
                    session.keep(near.number, stream, Direction::Client, &bytes).await;
                    if stream == Stream::Data {
                        far.send(session, near, permit, &bytes).await?;
                    }
                    grant(&near.end, bytes.len()).await?;
                }
                Item::Eof => far.end.eof().await?,
                Item::Closed => return Err(Gone),
                // A forwarded connection has none of these.
                Item::Request(_) | Item::Exit(_) | Item::ExitSignal { .. } => {}
            }
        }
    };
    let _over = carry().await;
    let _gone = far.end.close().await;
}

/// Carries a forwarded connection from the upstream to the caller, as it is.
pub(crate) async fn down(session: &Session, near: &Near, far: &Far) {
    let carry = async || -> Result<(), Gone> {
        loop {
            match far.inbox.next().await {
                Item::Data(Stream::Data, bytes) => {
                    near.show(session, Stream::Data, &bytes).await?;
                    grant(&far.end, bytes.len()).await?;
                }
                Item::Eof => near.end.eof().await?,
                Item::Closed => return Err(Gone),
                Item::Data(Stream::Error, bytes) => grant(&far.end, bytes.len()).await?,
                Item::Request(_) | Item::Exit(_) | Item::ExitSignal { .. } => {}
            }
        }
    };
    let _over = carry().await;
    let _gone = near.end.close().await;
}
