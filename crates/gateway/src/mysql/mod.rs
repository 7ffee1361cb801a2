//! MySQL and MariaDB: listener, handshake, upstream.
mod catalogue;
mod compressed;
mod driver;
mod handshake;
mod identity;
mod packets;
mod questions;
mod rejected;
mod upstream;

pub(crate) use compressed::Compressed;
pub(crate) use questions::Questions;

use crate::{
    Arrivals, Connection, ProbeError, Probed, Services, WhenHeld,
    accept::{Door, Full},
    arrivals::Waiting,
    snapshots::{self, Snapshots},
    stream::Stream,
    tls::TlsError,
};
use doorward_mysql::{grammar::Grammar, startup::Nonce};
use doorward_sql::mysql::AnalysisCache;
use rustls::{ClientConfig, ServerConfig};
use std::{io, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// A scramble that nobody has seen.
fn fresh_nonce() -> Nonce {
    let mut nonce: Nonce = rand::random();
    // A byte zero would end it early for some clients.
    nonce.iter_mut().for_each(|byte| *byte = *byte % 94 + 33);
    nonce
}

/// One connection's endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) connection: Connection,
    pub(crate) held: WhenHeld,
    pub(crate) services: Services,
    /// TLS towards callers.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// TLS towards the upstream.
    pub(crate) upstream_tls: Option<Arc<ClientConfig>>,
    snapshots: Snapshots<catalogue::Snapshot, upstream::UpstreamError>,
    cache: Arc<AnalysisCache>,
    slots: Arc<Semaphore>,
}

impl Endpoint {
    /// An endpoint for a connection; `held`: what becomes of callers whose statements need an approval.
    ///
    /// # Errors
    /// Where TLS towards the upstream cannot be set up.
    pub fn new(
        connection: Connection,
        held: WhenHeld,
        services: Services,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, TlsError> {
        let upstream_tls = crate::tls::client(&connection.upstream)?;
        Ok(Self {
            slots: Arc::new(Semaphore::new(connection.max_sessions)),
            connection,
            held,
            services,
            tls,
            upstream_tls,
            snapshots: Snapshots::default(),
            cache: Arc::new(AnalysisCache::new(16_384, 64 << 20)),
        })
    }

    /// Accepts callers until told to stop. Sessions that live go on.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: watch::Receiver<bool>) {
        crate::accept::serve(self, listener, stop).await;
    }

    /// Tries to log in at the upstream.
    ///
    /// # Errors
    /// Where it cannot be reached, or does not let the gateway in.
    pub async fn probe(&self) -> Result<Probed, ProbeError> {
        upstream::probe(self).await.map_err(|e| ProbeError::new(&e))
    }

    /// What reads statements under the schema of the moment, and the server's version.
    pub(crate) async fn reader(&self) -> Result<(Arc<Grammar>, String), ProbeError> {
        let snapshot = snapshots::refresh(self, "").await.map_err(|e| ProbeError::new(&e))?;
        Ok((snapshot.reader, snapshot.greeting.version))
    }
}

impl Door for Endpoint {
    fn name(&self) -> &str {
        self.connection.info.name.as_str()
    }

    fn slots(&self) -> &Arc<Semaphore> {
        &self.slots
    }

    fn arrivals(&self) -> &Arc<Arrivals> {
        &self.services.arrivals
    }

    async fn session(self: Arc<Self>, socket: TcpStream, waiting: Waiting) {
        let begun = handshake::accept(&self, Stream::Plain(socket)).await;
        drop(waiting);
        if let Some(begun) = begun {
            let (driver, joined) = *begun;
            crate::relay::run(driver, joined).await;
        }
    }

    async fn turn_away(socket: TcpStream, full: Full) -> io::Result<()> {
        handshake::turn_away(socket, full).await
    }
}
