//! The sockets that callers come to. A service manager may keep them while the gateway is restarted (sd_listen_fds(3), and
//! the file descriptor store of sd_notify(3)): whoever comes meanwhile waits until it is there again, and nobody is
//! refused. Without a manager they are made here and end with the process.
use listenfd::ListenFd;
use parking_lot::Mutex;
use sd_notify::NotifyState;
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::AsFd,
};
use tokio::net::TcpListener;

/// Those that were handed over, until each is taken for what is served there.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    inherited: Mutex<HashMap<SocketAddr, StdListener>>,
}

/// How the manager knows it: a name has no colon.
fn name(address: SocketAddr) -> String {
    format!("doorward-{}", address.to_string().replace(':', "."))
}

/// A manager that does not hear is no reason to stop; that it did not is said.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told: {e}");
    }
}

impl Listeners {
    /// Takes what the service manager has handed over. To be called once, before there is a second thread.
    pub(crate) fn inherit() -> Self {
        let mut handed = ListenFd::from_env();
        let mut inherited = HashMap::new();
        for n in 0..handed.len() {
            let found = handed.take_tcp_listener(n).and_then(|listener| {
                let listener = listener.ok_or(io::ErrorKind::NotFound)?;
                listener.set_nonblocking(true)?;
                Ok((listener.local_addr()?, listener))
            });
            match found {
                Ok((address, listener)) => drop(inherited.insert(address, listener)),
                Err(e) => tracing::warn!("file {n} of the service manager is not used: {e}"),
            }
        }
        Self { inherited: Mutex::new(inherited) }
    }

    /// The socket at an address: the one that was handed over, else a new one.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub(crate) async fn bind(&self, address: SocketAddr) -> io::Result<StdListener> {
        if let Some(kept) = self.inherited.lock().remove(&address) {
            tracing::info!("{address} was kept by the service manager");
            return Ok(kept);
        }
        let made = match TcpListener::bind(address).await {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && self.gives_up(address.port()) => {
                TcpListener::bind(address).await
            }
            made => made,
        };
        made?.into_std()
    }

    /// Closes what was handed over at a port under another address (`0.0.0.0`, where it is `127.0.0.1` now).
    fn gives_up(&self, port: u16) -> bool {
        let others: Vec<_> = self.inherited.lock().extract_if(|other, _| other.port() == port).collect();
        for (other, _closed) in &others {
            tracing::warn!("{other} was kept by the service manager, and is in the way: it is closed");
            Self::forget(*other);
        }
        !others.is_empty()
    }

    /// Asks the manager to keep a socket at which something is served now.
    pub(crate) fn keep(address: SocketAddr, listener: &impl AsFd) {
        // With port 0 it would be another one after the restart.
        if address.port() != 0 {
            let name = name(address);
            let keep = [NotifyState::FdStore, NotifyState::FdName(&name)];
            if let Err(e) = sd_notify::notify_with_fds(&keep, &[listener.as_fd()]) {
                tracing::warn!("the service manager cannot be asked to keep {address}: {e}");
            }
        }
    }

    /// Nothing is served at an address any more.
    pub(crate) fn forget(address: SocketAddr) {
        tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name(address))]);
    }

    /// All that is served is served: sockets that nobody has taken are closed, or callers would wait at them in vain.
    pub(crate) fn ready(&self) {
        for (address, _closed) in self.inherited.lock().drain() {
            tracing::warn!("{address} was kept by the service manager, and nothing is served there: it is closed");
            Self::forget(address);
        }
        tell(&[NotifyState::Ready]);
    }

    /// The gateway is about to end. What is kept stays open.
    pub(crate) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }
}
