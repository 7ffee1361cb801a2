//! Kubernetes: an HTTPS endpoint that clients use as a cluster's API server.
//!
//! | file | what is in it |
//! |---|---|
//! | `connection.rs` | a caller's TCP connection: TLS, HTTP/1.1 and HTTP/2, who each request is of |
//! | `session.rs` | an identity on a connection: decisions, recording, its end |
//! | `sessions.rs` | the identities of a connection, each of which begins by itself |
//! | `handler.rs` | a request, from its head to its answer |
//! | `inquiry.rs` | what is looked up for a decision |
//! | `cluster.rs` | the API server, with the gateway's credential |
//! | `slots.rs` | connections to the API server: so many, each with a place |
//! | `message.rs` | a request as it is decided and sent: these bytes and no others |
//! | `upgrade.rs` | a wish for a stream, and the answer that grants it |
//! | `stream.rs` | exec, attach, port-forward over WebSocket |
//! | `view.rs` | what a caller may see of the objects of a request |
//! | `filter.rs` | objects on their way to the caller, one by one |
//! | `spdy.rs`, `spdy_held.rs` | exec and attach over SPDY; while they wait for people |
//! | `spdy_wire.rs` | frames read and written, on either side |
//! | `shown.rs` | what the caller sees of a command, over either wire |
//! | `splice.rs` | port-forward over SPDY, passed as it is |
//! | `pages.rs` | where a list in pages goes on, sealed |
//! | `answer.rs` | bodies on their way back: recorded, masked, ended when policy says so |
mod answer;
mod cluster;
mod connection;
mod filter;
mod handler;
mod inquiry;
mod message;
mod pages;
mod session;
mod sessions;
mod shown;
mod slots;
mod spdy;
mod spdy_held;
mod spdy_wire;
mod splice;
mod stream;
mod upgrade;
mod view;

use crate::{
    Arrivals, ProbeError, Probed, Services,
    accept::{self, Door, Full},
    arrivals::Waiting,
    connection::{Upstream, WhenHeld},
    probe,
    tls::{self, TlsError},
};
use cluster::Cluster;
pub use doorward_kubernetes::{Naming, field::Fields};
use doorward_model::ConnectionInfo;
use pages::Pages;
use rustls::ServerConfig;
use slots::Limits;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// Bodies of requests that are read at once, of all callers; each is of 4 MiB at most.
const MOST_BODIES: usize = 32;
/// Requests of one cluster that look things up at once.
const MOST_LOOKING: usize = 512;

/// A registered cluster.
#[derive(Clone, Debug)]
pub struct KubernetesConnection {
    /// What policy knows of it.
    pub info: Arc<ConnectionInfo>,
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Its API server; the password is a bearer token.
    pub upstream: Upstream,
    /// Fields whose values are to be protected.
    pub fields: Arc<Fields>,
    /// Who callers are in the cluster; none where all is done as the gateway.
    pub impersonate: Option<Naming>,
    /// What becomes of callers whose requests are held.
    pub held: WhenHeld,
    /// Whether requests wait until their audit entry is durable.
    pub strict_audit: bool,
    /// How many connections of callers may be open at once.
    pub max_sessions: usize,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no randomness for a key.
    #[error("no key for the pages of lists could be made")]
    Key,
    /// The client of the API server cannot be set up.
    #[error("the client of the API server: {0}")]
    Client(String),
}

/// One cluster's endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) connection: KubernetesConnection,
    pub(crate) services: Services,
    pub(crate) cluster: Cluster,
    /// Room for requests that look things up.
    pub(crate) looking: Arc<Semaphore>,
    /// Room for bodies that are being read.
    pub(crate) bodies: Semaphore,
    pub(crate) pages: Pages,
    tls: Arc<ServerConfig>,
    slots: Arc<Semaphore>,
}

impl Endpoint {
    /// An endpoint for a cluster.
    ///
    /// # Errors
    /// Where TLS towards the API server cannot be set up.
    pub fn new(
        connection: KubernetesConnection,
        services: Services,
        server: &ServerConfig,
    ) -> Result<Self, EndpointError> {
        let mut server = server.clone();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            slots: Arc::new(Semaphore::new(connection.max_sessions.min(Semaphore::MAX_PERMITS))),
            cluster: Cluster::new(&connection.upstream, tls::client(&connection.upstream)?, Limits::default())?,
            looking: Arc::new(Semaphore::new(MOST_LOOKING)),
            bodies: Semaphore::new(MOST_BODIES),
            pages: Pages::new().map_err(|_| EndpointError::Key)?,
            tls: Arc::new(server),
            connection,
            services,
        })
    }

    /// Accepts callers until told to stop. Sessions that live go on.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: watch::Receiver<bool>) {
        accept::serve(self, listener, stop).await;
    }

    /// Asks the API server for its version, with the gateway's credential.
    ///
    /// # Errors
    /// Where it cannot be reached, or does not take the credential.
    pub async fn probe(&self) -> Result<Probed, ProbeError> {
        let places = Arc::new(Semaphore::new(1));
        let room = self.services.memory.request(&places).await.map_err(|e| ProbeError::new(&e))?;
        let answer = self.cluster.get("/version", &room).await.map_err(|e| ProbeError::new(&e))?;
        if !answer.status.is_success() {
            let why = answer.body.get("message").and_then(serde_json::Value::as_str).unwrap_or("no reason given");
            return Err(ProbeError::text(&format!("the API server answers {}: {why}", answer.status)));
        }
        let version = answer.body.get("gitVersion").and_then(serde_json::Value::as_str);
        let upstream = &self.connection.upstream;
        Ok(Probed {
            server: version.and_then(|v| probe::version(&format!("Kubernetes {v}"))),
            encrypted: upstream.tls != crate::UpstreamTls::Disable,
            logged_in: upstream.password.is_some() || upstream.tls_client.is_some(),
            host_key: None,
        })
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
        connection::serve(self, socket, waiting).await;
    }

    async fn turn_away(_: TcpStream, _: Full) -> io::Result<()> {
        // Before TLS there is no way to say anything that a client would read.
        Ok(())
    }
}
