//! PostgreSQL: listener, handshake, upstream and relay.
mod catalogue;
mod handshake;
mod relay;
mod upstream;

use crate::{Connection, Services, stream::Stream, tls::TlsError};
use doorward_sql::postgres::AnalysisCache;
use rustls::{ClientConfig, ServerConfig};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// How long a client may take from its first byte to the end of log-in.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// One connection's endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) connection: Connection,
    pub(crate) services: Services,
    /// TLS towards callers.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// TLS towards the upstream.
    pub(crate) upstream_tls: Option<Arc<ClientConfig>>,
    pub(crate) catalogues: catalogue::Catalogues,
    pub(crate) cache: Arc<AnalysisCache>,
    pub(crate) scram_keys: Arc<doorward_postgres::ScramKeys>,
    slots: Arc<Semaphore>,
}

impl Endpoint {
    /// An endpoint for a connection.
    ///
    /// # Errors
    /// Where TLS towards the upstream cannot be set up.
    pub fn new(connection: Connection, services: Services, tls: Option<Arc<ServerConfig>>) -> Result<Self, TlsError> {
        let upstream_tls = crate::tls::client(&connection.upstream)?;
        Ok(Self {
            slots: Arc::new(Semaphore::new(connection.max_sessions)),
            connection,
            services,
            tls,
            upstream_tls,
            catalogues: catalogue::Catalogues::default(),
            cache: Arc::new(AnalysisCache::new(16_384, 64 << 20)),
            scram_keys: Arc::default(),
        })
    }

    /// Accepts callers until told to stop. Sessions that live go on.
    ///
    /// # Errors
    /// Never for a single caller's sake; only where accepting itself is broken for good.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            match accepted {
                Ok((socket, _)) => self.clone().take(socket),
                Err(e) => {
                    // Out of file descriptors, or a client that left at once: neither is a reason to stop.
                    tracing::warn!(connection = %self.connection.info.name, "cannot accept a client: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn take(self: Arc<Self>, socket: TcpStream) {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            tokio::spawn(async move {
                let _told = tokio::time::timeout(Duration::from_secs(5), handshake::turn_away(socket)).await;
            });
            return;
        };
        tokio::spawn(async move {
            if let Err(e) = prepare(&socket) {
                tracing::debug!("a client left at once: {e}");
                return;
            }
            self.session(Stream::Plain(socket)).await;
            drop(slot);
        });
    }

    async fn session(self: Arc<Self>, client: Stream) {
        let started = tokio::time::timeout(HANDSHAKE, handshake::accept(&self, client)).await;
        match started {
            Ok(Some(session)) => relay::run(self, *session).await,
            Ok(None) => {}
            Err(_) => handshake::note_stall(&self),
        }
    }
}

/// Small messages go at once, and a peer that vanished is noticed.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive =
        socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}
