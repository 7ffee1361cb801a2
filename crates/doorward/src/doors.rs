//! Where callers connect: the listeners, and what is behind each.
//!
//! A door is opened in two steps: first all that can fail, then what cannot, so that a change that is not possible leaves
//! what was there before.
use crate::{BadConfiguration, config::Backend, listeners::Listeners};
use anyhow::{Context as _, Result, bail};
use doorward_control::ConnectionFailure;
use doorward_enforce::{Refusal, Subject};
use doorward_gateway::{
    Connection, Probed, Services, WhenHeld,
    classify::{Classified, Sampling},
    explain::{Explained, Unexplained},
    kubernetes,
    kubernetes::KubernetesConnection,
    mysql, postgres, ssh,
    ssh::UserCa,
};
use rustls::ServerConfig;
use std::{
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    sync::Arc,
};
use tokio::{net::TcpListener, sync::watch};

/// A listener with what is behind it.
struct Door {
    /// As it is configured; with port 0 each has an address of its own.
    address: SocketAddr,
    /// Kept, so that what is behind may be replaced and nobody who waits is turned away.
    listener: StdListener,
    stop: watch::Sender<bool>,
    /// The machines behind it, if it is one of SSH: what is not changed is kept.
    machines: Option<Arc<ssh::Listener>>,
}

/// What is behind a listener.
enum Behind {
    Postgres(Arc<postgres::Endpoint>),
    MySql(Arc<mysql::Endpoint>),
    Kubernetes(Arc<kubernetes::Endpoint>),
    Ssh(Arc<ssh::Listener>),
}

/// A door that is ready to be opened.
pub(crate) struct Ready {
    address: SocketAddr,
    names: Vec<String>,
    listener: StdListener,
    accepting: TcpListener,
    behind: Behind,
}

/// Makes what is behind doors.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) services: Services,
    /// TLS towards callers.
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) keys: PathBuf,
    pub(crate) ca: Arc<UserCa>,
}

impl Maker {
    fn behind(&self, backends: &[Backend], before: Option<&ssh::Listener>) -> Result<Behind> {
        let (first, others) = backends.split_first().context("nothing is to be served there")?;
        if let Backend::Ssh(_) = first {
            let machine = |b: &Backend| match before.and_then(|l| l.endpoint(b.info())) {
                Some(as_it_is) => Ok(as_it_is),
                None => self.machine(b).map(Arc::new),
            };
            let machines = backends.iter().map(machine).collect::<Result<_>>()?;
            let listener = ssh::Listener::new(machines).context("nothing is to be served there")?;
            return Ok(Behind::Ssh(Arc::new(listener)));
        }
        anyhow::ensure!(others.is_empty(), "only SSH servers share an address");
        let named = || format!("connection `{}`", first.info().name);
        Ok(match first.clone() {
            Backend::Postgres(c) => {
                Behind::Postgres(Arc::new(self.postgres(*c).with_context(named).context(BadConfiguration)?))
            }
            Backend::MySql(c, held) => {
                Behind::MySql(Arc::new(self.mysql(*c, held).with_context(named).context(BadConfiguration)?))
            }
            Backend::Kubernetes(c) => {
                Behind::Kubernetes(Arc::new(self.kubernetes(*c).with_context(named).context(BadConfiguration)?))
            }
            Backend::Ssh(_) => bail!("SSH is served above"),
        })
    }

    fn postgres(&self, connection: Connection) -> Result<postgres::Endpoint> {
        Ok(postgres::Endpoint::new(connection, self.services.clone(), Some(Arc::clone(&self.server)))?)
    }

    fn mysql(&self, connection: Connection, held: WhenHeld) -> Result<mysql::Endpoint> {
        Ok(mysql::Endpoint::new(connection, held, self.services.clone(), Some(Arc::clone(&self.server)))?)
    }

    fn kubernetes(&self, connection: KubernetesConnection) -> Result<kubernetes::Endpoint> {
        Ok(kubernetes::Endpoint::new(connection, self.services.clone(), &self.server)?)
    }

    fn machine(&self, backend: &Backend) -> Result<ssh::Endpoint> {
        let Backend::Ssh(connection) = backend else { bail!("only SSH servers share an address") };
        ssh::Endpoint::new((**connection).clone(), self.services.clone(), &self.keys, Arc::clone(&self.ca))
            .with_context(|| format!("connection `{}`", backend.info().name))
            .context(BadConfiguration)
    }

    /// Tries a backend's upstream.
    pub(crate) async fn probe(&self, backend: &Backend) -> Result<Probed, String> {
        let made = |e: anyhow::Error| format!("{e:#}");
        let probed = match backend.clone() {
            Backend::Postgres(c) => self.postgres(*c).map_err(made)?.probe().await,
            Backend::MySql(c, held) => self.mysql(*c, held).map_err(made)?.probe().await,
            Backend::Kubernetes(c) => self.kubernetes(*c).map_err(made)?.probe().await,
            Backend::Ssh(_) => self.machine(backend).map_err(made)?.probe().await,
        };
        probed.map_err(|e| e.to_string())
    }

    /// What columns seem to hold.
    pub(crate) async fn classify(
        &self,
        backend: &Backend,
        database: Option<&str>,
        rows: u32,
    ) -> Result<Classified, ConnectionFailure> {
        let made = |e: anyhow::Error| ConnectionFailure::Unusable(format!("{e:#}"));
        let sampling = Sampling { rows };
        let classified = match backend.clone() {
            Backend::Postgres(c) => {
                let endpoint = self.postgres(*c).map_err(made)?;
                let database = endpoint.database_of(database).map_err(|e| ConnectionFailure::Wrong(e.to_string()))?;
                endpoint.classify(&database, sampling).await
            }
            Backend::MySql(c, held) => {
                let only = c.database.clone();
                self.mysql(*c, held).map_err(made)?.classify(only.as_deref().or(database), sampling).await
            }
            Backend::Kubernetes(_) | Backend::Ssh(_) => return Err(not_of_sql(backend)),
        };
        classified.map_err(|e| ConnectionFailure::Unusable(e.to_string()))
    }

    /// What would become of a statement.
    pub(crate) async fn explain(
        &self,
        backend: &Backend,
        subject: Subject,
        database: Option<&str>,
        text: String,
    ) -> Result<Result<Explained, Refusal>, ConnectionFailure> {
        let made = |e: anyhow::Error| ConnectionFailure::Unusable(format!("{e:#}"));
        let explained = match backend.clone() {
            Backend::Postgres(c) => self.postgres(*c).map_err(made)?.explain(subject, database, text).await,
            Backend::MySql(c, held) => self.mysql(*c, held).map_err(made)?.explain(subject, database, text).await,
            Backend::Kubernetes(_) | Backend::Ssh(_) => return Err(not_of_sql(backend)),
        };
        explained.map_err(|e| match e {
            Unexplained::WhichDatabase | Unexplained::OtherDatabase(_) => ConnectionFailure::Wrong(e.to_string()),
            Unexplained::Upstream(_) | Unexplained::Busy => ConnectionFailure::Unusable(e.to_string()),
        })
    }
}

fn not_of_sql(backend: &Backend) -> ConnectionFailure {
    let info = backend.info();
    ConnectionFailure::Wrong(format!("`{}` is of {}: this is for databases", info.name, info.kind))
}

/// All doors.
pub(crate) struct Doors {
    listeners: Arc<Listeners>,
    open: Vec<Door>,
    /// The gateway is about to end: no door is opened any more.
    closed: bool,
}

impl Doors {
    /// None yet.
    pub(crate) const fn new(listeners: Arc<Listeners>) -> Self {
        Self { listeners, open: Vec::new(), closed: false }
    }

    /// Gets all ready that is needed to serve these at an address, in place of what is served there. At least one; more than
    /// one of SSH alone.
    ///
    /// # Errors
    /// Where the address cannot be had, or an endpoint cannot be made.
    pub(crate) async fn ready(&self, maker: &Maker, address: SocketAddr, backends: &[Backend]) -> Result<Ready> {
        anyhow::ensure!(!self.closed, "the gateway is about to end");
        let here = self.open.iter().find(|d| address.port() != 0 && d.address == address);
        let behind = maker.behind(backends, here.and_then(|d| d.machines.as_deref()))?;
        let names: Vec<String> = backends.iter().map(|b| b.info().name.to_string()).collect();
        let listener = match here {
            Some(door) => door.listener.try_clone(),
            None => self.listeners.bind(address).await,
        };
        let listener =
            listener.with_context(|| format!("connection `{}`: cannot listen on {address}", names.join("`, `")))?;
        let accepting = listener.try_clone().and_then(TcpListener::from_std)?;
        Ok(Ready { address, names, listener, accepting, behind })
    }

    /// Opens a door, in place of the one that is at its address.
    pub(crate) fn open(&mut self, ready: Ready) {
        let Ready { address, names, listener, accepting, behind } = ready;
        if address.port() != 0 {
            self.shut(address);
        }
        Listeners::keep(address, &listener);
        let (stop, stopped) = watch::channel(false);
        let machines = if let Behind::Ssh(machines) = &behind { Some(Arc::clone(machines)) } else { None };
        match behind {
            Behind::Postgres(e) => drop(tokio::spawn(e.serve(accepting, stopped))),
            Behind::MySql(e) => drop(tokio::spawn(e.serve(accepting, stopped))),
            Behind::Kubernetes(e) => drop(tokio::spawn(e.serve(accepting, stopped))),
            Behind::Ssh(e) => drop(tokio::spawn(e.serve(accepting, stopped))),
        }
        for name in names {
            tracing::info!("connection `{name}` on {address}");
        }
        self.open.push(Door { address, listener, stop, machines });
    }

    /// Closes the door at an address. Sessions that live go on.
    pub(crate) fn close(&mut self, address: SocketAddr) {
        self.shut(address);
        Listeners::forget(address);
    }

    fn shut(&mut self, address: SocketAddr) {
        self.open.retain(|door| {
            let goes = door.address == address;
            if goes {
                door.stop.send_replace(true);
            }
            !goes
        });
    }

    /// Closes all doors for good. Sessions that live go on.
    pub(crate) fn close_all(&mut self) {
        self.closed = true;
        for door in self.open.drain(..) {
            door.stop.send_replace(true);
        }
    }
}
