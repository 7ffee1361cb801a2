//! Accepting callers, for every protocol alike.
use crate::arrivals::{Arrivals, Waiting};
use std::{
    future::Future,
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// What there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// One more session on this connection.
    Sessions,
    /// One more log-in from this address.
    Address,
}

impl Full {
    const fn what(self) -> &'static str {
        match self {
            Self::Sessions => "no room for more sessions on this connection",
            Self::Address => "too many log-ins from this address at once",
        }
    }
}

/// What a listener is for.
pub(crate) trait Door: Send + Sync + 'static {
    /// The connection's name, for the log.
    fn name(&self) -> &str;
    /// Room for sessions.
    fn slots(&self) -> &Arc<Semaphore>;
    /// Who is on the way in.
    fn arrivals(&self) -> &Arc<Arrivals>;
    /// A session, from its first byte to its last. `waiting` is given back once the caller is in.
    fn session(self: Arc<Self>, socket: TcpStream, waiting: Waiting) -> impl Future<Output = ()> + Send;
    /// Tells a caller that there is no room.
    fn turn_away(socket: TcpStream, full: Full) -> impl Future<Output = io::Result<()>> + Send;
}

/// Accepts callers until told to stop. Sessions that live go on. One silent caller delays nobody: each has a
/// task of its own from the start.
pub(crate) async fn serve<D: Door>(door: Arc<D>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((socket, from)) => take(Arc::clone(&door), socket, from.ip()),
            Err(e) => {
                // Out of file descriptors, or a client that left at once: neither is a reason to stop.
                tracing::warn!(connection = %door.name(), "cannot accept a client: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn take<D: Door>(door: Arc<D>, socket: TcpStream, from: IpAddr) {
    let slot = Arc::clone(door.slots()).try_acquire_owned().map_err(|_| Full::Sessions);
    let place = slot.and_then(|slot| {
        let waiting = door.arrivals().enter(from, Instant::now()).ok_or(Full::Address)?;
        Ok((slot, waiting))
    });
    let (slot, waiting) = match place {
        Ok(place) => place,
        Err(full) => {
            tracing::warn!(connection = %door.name(), %from, "turned away: {}", full.what());
            tokio::spawn(async move {
                let _told = tokio::time::timeout(Duration::from_secs(5), D::turn_away(socket, full)).await;
            });
            return;
        }
    };
    tokio::spawn(async move {
        if let Err(e) = prepare(&socket) {
            tracing::debug!("a client left at once: {e}");
            return;
        }
        door.session(socket, waiting).await;
        drop(slot);
    });
}

/// Small messages go at once, and a peer that vanished is noticed.
pub(crate) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive =
        socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}
