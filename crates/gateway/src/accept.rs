//! Accepting callers, for every protocol alike.
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// What a listener is for.
pub(crate) trait Door: Send + Sync + 'static {
    /// The connection's name, for the log.
    fn name(&self) -> &str;
    /// Room for sessions.
    fn slots(&self) -> &Arc<Semaphore>;
    /// A session, from its first byte to its last.
    fn session(self: Arc<Self>, socket: TcpStream) -> impl Future<Output = ()> + Send;
    /// Tells a caller that there is no room.
    fn turn_away(socket: TcpStream) -> impl Future<Output = io::Result<()>> + Send;
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
            Ok((socket, _)) => take(Arc::clone(&door), socket),
            Err(e) => {
                // Out of file descriptors, or a client that left at once: neither is a reason to stop.
                tracing::warn!(connection = %door.name(), "cannot accept a client: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn take<D: Door>(door: Arc<D>, socket: TcpStream) {
    let Ok(slot) = Arc::clone(door.slots()).try_acquire_owned() else {
        tokio::spawn(async move {
            let _told = tokio::time::timeout(Duration::from_secs(5), D::turn_away(socket)).await;
        });
        return;
    };
    tokio::spawn(async move {
        if let Err(e) = prepare(&socket) {
            tracing::debug!("a client left at once: {e}");
            return;
        }
        door.session(socket).await;
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
