//! PostgreSQL: listener, handshake, upstream and relay.
mod catalogue;
mod driver;
mod handshake;
mod questions;
mod upstream;

use crate::{
    Arrivals, Connection, ProbeError, Probed, Services,
    accept::{Door, Full},
    arrivals::Waiting,
    snapshots::Snapshots,
    stream::Stream,
    tls::TlsError,
};
use doorward_sql::postgres::AnalysisCache;
use handshake::Started;
pub(crate) use questions::Questions;
use rustls::{ClientConfig, ServerConfig};
use std::{io, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// One connection's endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) connection: Connection,
    pub(crate) services: Services,
    /// TLS towards callers.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// TLS towards the upstream.
    pub(crate) upstream_tls: Option<Arc<ClientConfig>>,
    pub(crate) snapshots: Snapshots<catalogue::Schema, upstream::UpstreamError>,
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
            snapshots: Snapshots::default(),
            cache: Arc::new(AnalysisCache::new(16_384, 64 << 20)),
            scram_keys: Arc::default(),
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
        let started = handshake::accept(&self, Stream::Plain(socket)).await;
        drop(waiting);
        if let Some(started) = started {
            let Started { joined, cancel_target, database } = *started;
            crate::relay::run(driver::Postgres { endpoint: self, cancel_target, database }, joined).await;
        }
    }

    async fn turn_away(socket: TcpStream, full: Full) -> io::Result<()> {
        handshake::turn_away(socket, full).await
    }
}
