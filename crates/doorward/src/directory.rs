//! Which connections there are: those of the configuration file, and those of the store.
use crate::{
    config::{Backend, Config, ConnectionConfig, Rotation},
    secrets::Origin,
};
use anyhow::Result;
use doorward_control::{ConnectionSource, ConnectionSpec, ConnectionView, KnownConnection};
use doorward_gateway::{Connection, ssh::SshConnection};
use doorward_model::{ConnectionInfo, ConnectionName, Timestamp};
use doorward_store::StoredConnection;
use parking_lot::RwLock;
use std::{net::SocketAddr, sync::Arc};

/// What the store has of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) spec: ConnectionSpec,
    pub(crate) version: i64,
    created: Timestamp,
    updated: Timestamp,
    updated_by: String,
}

impl Written {
    pub(crate) fn new(row: &StoredConnection, spec: ConnectionSpec) -> Self {
        let StoredConnection { version, created, updated, updated_by, .. } = row;
        Self { spec, version: *version, created: *created, updated: *updated, updated_by: updated_by.clone() }
    }
}

/// A connection that is served.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) backend: Backend,
    /// What policies see of it: what its sessions have, too.
    pub(crate) info: Arc<ConnectionInfo>,
    pub(crate) ends_on_rotation: bool,
    /// Where its credential comes from, if it may change.
    pub(crate) origin: Option<Origin>,
    /// None: it is of the file.
    pub(crate) written: Option<Written>,
}

impl Served {
    /// # Errors
    /// Where the configuration of the connection is not right.
    pub(crate) fn new(config: &Config, c: &ConnectionConfig) -> Result<Self> {
        let backend = config.backend(c)?;
        let info = Arc::clone(backend.info());
        let (ends_on_rotation, origin) = (c.rotation == Rotation::End, config.origin(c));
        Ok(Self { backend, info, ends_on_rotation, origin, written: None })
    }

    pub(crate) fn name(&self) -> &str {
        self.info.name.as_str()
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.backend.place().1
    }

    pub(crate) fn known(&self) -> KnownConnection {
        let (info, upstream) = ((*self.info).clone(), self.backend.upstream());
        // Whoever writes the file says what its names are.
        let since = self.written.as_ref().map_or(Timestamp::default(), |w| w.created);
        KnownConnection { info, listen: self.listen(), upstream, since }
    }

    fn view(&self) -> ConnectionView {
        let info = (*self.info).clone();
        let written = self.written.as_ref();
        ConnectionView {
            name: info.name.to_string(),
            kind: info.kind,
            listen: self.listen().to_string(),
            upstream: self.backend.upstream(),
            database: info.database.map(|d| d.to_string()),
            labels: info.labels,
            tags: info.tags,
            source: if written.is_some() { ConnectionSource::Store } else { ConnectionSource::File },
            failure: None,
            version: written.map(|w| w.version),
            updated: written.map(|w| w.updated),
            updated_by: written.map(|w| w.updated_by.clone()),
            spec: written.map(|w| w.spec.clone()),
        }
    }
}

/// A connection of the store that cannot be served.
#[derive(Clone)]
pub(crate) struct Failed {
    pub(crate) name: String,
    pub(crate) written: Written,
    pub(crate) why: String,
}

impl Failed {
    /// Policies judge it by what was written, served or not.
    fn known(&self) -> KnownConnection {
        let spec = &self.written.spec;
        let info = ConnectionInfo {
            name: ConnectionName::new(&self.name),
            kind: spec.kind.clone(),
            database: spec.database.as_deref().map(Into::into),
            labels: spec.labels.clone(),
            tags: spec.tags.clone(),
        };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let listen = spec.listen.parse().unwrap_or(nowhere);
        KnownConnection { info, listen, upstream: spec.upstream.clone(), since: self.written.created }
    }

    fn view(&self) -> ConnectionView {
        let ConnectionSpec { kind, listen, upstream, database, labels, tags, .. } = self.written.spec.clone();
        ConnectionView {
            name: self.name.clone(),
            kind,
            listen,
            upstream,
            database,
            labels,
            tags,
            source: ConnectionSource::Store,
            failure: Some(self.why.clone()),
            version: Some(self.written.version),
            updated: Some(self.written.updated),
            updated_by: Some(self.written.updated_by.clone()),
            spec: Some(self.written.spec.clone()),
        }
    }
}

/// One connection of the directory.
#[derive(Clone)]
pub(crate) enum Entry {
    Served(Served),
    Failed(Failed),
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Served(s) => s.name(),
            Self::Failed(f) => &f.name,
        }
    }

    pub(crate) fn written(&self) -> Option<&Written> {
        match self {
            Self::Served(s) => s.written.as_ref(),
            Self::Failed(f) => Some(&f.written),
        }
    }

    fn known(&self) -> KnownConnection {
        match self {
            Self::Served(s) => s.known(),
            Self::Failed(f) => f.known(),
        }
    }

    pub(crate) fn view(&self) -> ConnectionView {
        match self {
            Self::Served(s) => s.view(),
            Self::Failed(f) => f.view(),
        }
    }
}

/// All connections; whoever changes it holds a lock of its own over the whole change.
#[derive(Clone, Default)]
pub(crate) struct Directory(Arc<RwLock<Vec<Entry>>>);

impl Directory {
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        Self(Arc::new(RwLock::new(entries)))
    }

    pub(crate) fn all(&self) -> Vec<Entry> {
        self.0.read().clone()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Entry> {
        self.0.read().iter().find(|e| e.name() == name).cloned()
    }

    /// The kind of a connection.
    pub(crate) fn kind(&self, name: &str) -> Option<String> {
        Some(match self.find(name)? {
            Entry::Served(s) => s.info.kind.clone(),
            Entry::Failed(f) => f.written.spec.kind,
        })
    }

    pub(crate) fn served(&self) -> Vec<Served> {
        let of = |e: &Entry| match e {
            Entry::Served(s) => Some(s.clone()),
            Entry::Failed(_) => None,
        };
        self.0.read().iter().filter_map(of).collect()
    }

    /// Puts an entry in the place of the one of its name.
    pub(crate) fn put(&self, entry: Entry) {
        let mut all = self.0.write();
        all.retain(|e| e.name() != entry.name());
        all.push(entry);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.write().retain(|e| e.name() != name);
    }

    pub(crate) fn known(&self) -> Vec<KnownConnection> {
        self.all().iter().map(Entry::known).collect()
    }

    pub(crate) fn ssh(&self) -> Vec<SshConnection> {
        let of = |s: Served| match s.backend {
            Backend::Ssh(c) => Some(*c),
            Backend::Postgres(_) | Backend::MySql(..) | Backend::Kubernetes(_) => None,
        };
        self.served().into_iter().filter_map(of).collect()
    }

    pub(crate) fn mysql(&self, name: &str) -> Option<Connection> {
        match self.find(name)? {
            Entry::Served(Served { backend: Backend::MySql(c, _), .. }) => Some(*c),
            Entry::Served(_) | Entry::Failed(_) => None,
        }
    }
}
