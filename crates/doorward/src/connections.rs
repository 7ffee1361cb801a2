//! Connections while the gateway runs: served from the start, registered, changed, tried and removed; and
//! `doorward connections`.
use crate::{
    config::{Backend, Config},
    directory::{Directory, Entry, Failed, Served, Written},
    doors::{Doors, Maker},
    secrets::Secrets,
};
use anyhow::{Result, anyhow};
use doorward_control::{
    ClassificationView, ClassifiedColumn, ConnectionAccess, ConnectionFailure, ConnectionSpec, ConnectionTest,
    ConnectionView, Expected, KnownConnection, LeftOut, Rights,
};
use doorward_enforce::{Refusal, Subject};
use doorward_gateway::{
    Registry, Rotating,
    classify::{Classed, Classified},
    explain::Explained,
    ssh::HostKeys,
};
use doorward_model::{Secret, Timestamp};
use doorward_store::{Store, StoredConnection};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};
use tokio::sync::Mutex;

/// What a name may be made of, and how long it may be.
const LONGEST_NAME: usize = 63;
/// How many there may be in the store: each has a listener and caches of its own.
const MOST: usize = 1_000;

/// All connections, and what serves them.
pub(crate) struct Connections {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) rights: Arc<Rights>,
    pub(crate) directory: Directory,
    pub(crate) maker: Maker,
    /// INVARIANT: whoever changes the directory or the store's connections holds it, so changes come one after the other.
    pub(crate) doors: Mutex<Doors>,
}

/// The connections of the configuration file.
pub(crate) fn of_the_file(config: &Config) -> Result<Vec<Entry>> {
    config.connections.iter().map(|c| Ok(Entry::Served(Served::new(config, c)?))).collect()
}

impl Connections {
    /// Has all connections known before anybody asks: those of the store as not served yet.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn announce(&self) -> Result<()> {
        for row in self.store.connections().await? {
            if self.directory.find(&row.name).is_none() {
                let spec = serde_json::from_str(&row.spec).unwrap_or_default();
                let (name, written) = (row.name.clone(), Written::new(&row, spec));
                let why = "the gateway is starting".to_owned();
                self.directory.put(Entry::Failed(Failed { name, written, why }));
            }
        }
        self.rights.know(self.directory.known());
        Ok(())
    }

    /// Serves the connections of the file, which all have to work, and those of the store, of which one that does not is
    /// shown as such and holds up nobody.
    ///
    /// # Errors
    /// Where one of the file cannot be served.
    pub(crate) async fn start(&self) -> Result<()> {
        let mut doors = self.doors.lock().await;
        let mut groups: BTreeMap<SocketAddr, Vec<Backend>> = BTreeMap::new();
        for served in self.directory.served() {
            if served.listen().port() == 0 {
                let ready = doors.ready(&self.maker, served.listen(), &[served.backend]).await?;
                doors.open(ready);
            } else {
                groups.entry(served.listen()).or_default().push(served.backend);
            }
        }
        for (address, backends) in groups {
            let ready = doors.ready(&self.maker, address, &backends).await?;
            doors.open(ready);
        }
        for row in self.store.connections().await? {
            self.start_stored(&mut doors, &row).await;
        }
        self.rights.know(self.directory.known());
        Ok(())
    }

    async fn start_stored(&self, doors: &mut Doors, row: &StoredConnection) {
        let (spec, why) = match serde_json::from_str::<ConnectionSpec>(&row.spec) {
            Ok(spec) => (spec, None),
            Err(e) => (ConnectionSpec::default(), Some(format!("it cannot be read: {e}"))),
        };
        let written = Written::new(row, spec);
        if self.directory.find(&row.name).is_some_and(|e| e.written().is_none()) {
            // The one of the file is in force, and is what policies and people see.
            tracing::error!(
                "connection `{}` is in the store and in the configuration file, which is in force",
                row.name
            );
            return;
        }
        let begun = match why {
            Some(why) => Err(anyhow!(why)),
            None => self.serve(doors, &row.name, &written).await,
        };
        if let Err(e) = begun {
            let why = format!("{e:#}");
            tracing::error!("connection `{}` of the store is not served: {why}", row.name);
            self.directory.put(Entry::Failed(Failed { name: row.name.clone(), written, why }));
        }
    }

    /// Serves a connection of the store.
    async fn serve(&self, doors: &mut Doors, name: &str, written: &Written) -> Result<()> {
        let served = self.made(name, &written.spec)?;
        let served = Served { written: Some(written.clone()), ..served };
        self.check_neighbours(&served)?;
        let ready = doors.ready(&self.maker, served.listen(), &self.group(&served)).await?;
        self.secrets.fill().await;
        doors.open(ready);
        self.directory.put(Entry::Served(served));
        Ok(())
    }

    fn made(&self, name: &str, spec: &ConnectionSpec) -> Result<Served> {
        let config = self.config.stored(name, spec)?;
        Served::new(&self.config, &config).map_err(|e| anyhow!("{}", plain(&e, name)))
    }

    /// Everything that is to be served at the address of a connection, itself included.
    fn group(&self, new: &Served) -> Vec<Backend> {
        let mut all: Vec<Backend> = self.others_at(new.name(), new.listen()).map(|s| s.backend).collect();
        all.push(new.backend.clone());
        all
    }

    fn others_at(&self, name: &str, address: SocketAddr) -> impl Iterator<Item = Served> {
        let name = name.to_owned();
        self.directory.served().into_iter().filter(move |s| s.listen() == address && s.name() != name)
    }

    /// Only SSH servers share an address.
    fn check_neighbours(&self, new: &Served) -> Result<()> {
        let kind = &new.info.kind;
        match self.others_at(new.name(), new.listen()).find(|o| kind != "ssh" || o.info.kind != "ssh") {
            Some(other) => Err(anyhow!("{} is the address of connection `{}`", new.listen(), other.name())),
            None => Ok(()),
        }
    }

    /// Stops serving one at its address; others there are served on.
    async fn leave(&self, doors: &mut Doors, old: &Served) -> Result<()> {
        let rest: Vec<Backend> = self.others_at(old.name(), old.listen()).map(|s| s.backend).collect();
        if rest.is_empty() {
            doors.close(old.listen());
            return Ok(());
        }
        let ready = doors.ready(&self.maker, old.listen(), &rest).await?;
        doors.open(ready);
        Ok(())
    }

    /// Takes no more callers. Sessions that live go on.
    pub(crate) async fn close(&self) {
        self.doors.lock().await.close_all();
    }

    fn row(name: &str, spec: &ConnectionSpec, version: i64, by: &str) -> Result<StoredConnection, ConnectionFailure> {
        let spec = serde_json::to_string(spec).map_err(|e| ConnectionFailure::Unavailable(e.to_string()))?;
        let (created, updated) = (now(), now());
        Ok(StoredConnection { name: name.to_owned(), version, spec, created, updated, updated_by: by.to_owned() })
    }

    /// The one that is to be replaced, if it is what is expected.
    fn before(&self, name: &str, expected: Expected) -> Result<Option<Entry>, ConnectionFailure> {
        let found = self.directory.find(name);
        let Some(entry) = &found else {
            return if expected == Expected::Nothing { Ok(None) } else { Err(ConnectionFailure::Missing) };
        };
        let Some(written) = entry.written() else { return Err(ConnectionFailure::ReadOnly(name.to_owned())) };
        match expected {
            Expected::Nothing => Err(ConnectionFailure::Taken(format!("there is a connection `{name}`"))),
            Expected::Version(v) if v != written.version => Err(ConnectionFailure::Changed(name.to_owned())),
            Expected::Any | Expected::Version(_) => Ok(found),
        }
    }

    /// What makes room for the one that comes: its sessions end, its door closes where the new one has another.
    async fn retire(&self, doors: &mut Doors, old: &Served, message: &str, keeps_door: bool) {
        if !keeps_door && let Err(e) = self.leave(doors, old).await {
            tracing::error!("connections at {}: {e:#}", old.listen());
            doors.close(old.listen());
        }
        self.registry.retire(&old.info, message);
    }

    async fn secret_is_there(&self, spec: &ConnectionSpec) -> Result<(), ConnectionFailure> {
        let Some(name) = &spec.secret else { return Ok(()) };
        match self.secrets.has(name).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ConnectionFailure::Wrong(format!("there is no secret `{name}`: store it first"))),
            Err(why) => Err(ConnectionFailure::Unavailable(why)),
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// An error without the name that everybody knows.
fn plain(e: &anyhow::Error, name: &str) -> String {
    let text = format!("{e:#}");
    text.strip_prefix(&format!("connection `{name}`: ")).map(str::to_owned).unwrap_or(text)
}

fn wrong(e: &anyhow::Error) -> ConnectionFailure {
    ConnectionFailure::Wrong(format!("{e:#}"))
}

pub(crate) fn check_name(name: &str) -> Result<(), ConnectionFailure> {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_one = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if begins && name.len() <= LONGEST_NAME && name.chars().all(is_one) {
        return Ok(());
    }
    Err(ConnectionFailure::Wrong(format!(
        "the name has to be up to {LONGEST_NAME} of a-z, 0-9, `-`, `_` and `.`, a letter or a digit first"
    )))
}

#[async_trait::async_trait]
impl ConnectionAccess for Connections {
    fn list(&self) -> Vec<ConnectionView> {
        let mut all: Vec<_> = self.directory.all().iter().map(Entry::view).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn check(&self, name: &str, spec: &ConnectionSpec) -> Result<KnownConnection, ConnectionFailure> {
        check_name(name)?;
        // Whether there is such a secret is not looked at yet: nobody may be told.
        let nameless = ConnectionSpec { secret: None, ..spec.clone() };
        Ok(self.made(name, &nameless).map_err(|e| wrong(&e))?.known())
    }

    async fn put(
        &self,
        name: &str,
        spec: ConnectionSpec,
        expected: Expected,
        by: &str,
    ) -> Result<ConnectionView, ConnectionFailure> {
        check_name(name)?;
        let mut doors = self.doors.lock().await;
        let before = self.before(name, expected)?;
        let count = self.directory.all().iter().filter(|e| e.written().is_some()).count();
        if before.is_none() && count >= MOST {
            return Err(ConnectionFailure::Taken(format!(
                "there are {MOST} connections in the store: remove one first"
            )));
        }
        let _naming = self.secrets.naming().await;
        self.secret_is_there(&spec).await?;
        // First all that can fail.
        let new = self.made(name, &spec).map_err(|e| wrong(&e))?;
        self.check_neighbours(&new).map_err(|e| ConnectionFailure::Taken(e.to_string()))?;
        let ready = doors.ready(&self.maker, new.listen(), &self.group(&new)).await;
        let ready = ready.map_err(|e| ConnectionFailure::Taken(plain(&e, name)))?;
        let version = before.as_ref().and_then(Entry::written).map_or(1, |w| w.version + 1);
        let row = Self::row(name, &spec, version, by)?;
        let row = self.store.put_connection(&row).await.map_err(|e| ConnectionFailure::Unavailable(e.to_string()))?;
        let row = row.ok_or_else(|| ConnectionFailure::Changed(name.to_owned()))?;
        // Then what cannot.
        let new = Served { written: Some(Written::new(&row, spec)), ..new };
        let entry = Entry::Served(new.clone());
        let view = entry.view();
        self.secrets.fill().await;
        if let Some(Entry::Served(old)) = &before {
            let stays = old.listen() == new.listen();
            if stays {
                // Nobody comes in any more by what was; who waits is taken by what comes.
                doors.close(old.listen());
            }
            self.retire(&mut doors, old, "the session was ended: its connection was changed", stays).await;
            // Only now: who came in before would have kept it again.
            if old.backend.upstream() != new.backend.upstream() {
                forget_host_key(old);
            }
        }
        doors.open(ready);
        self.directory.put(entry);
        self.secrets.prune();
        self.rights.know(self.directory.known());
        Ok(view)
    }

    async fn remove(&self, name: &str, expected: Expected) -> Result<(), ConnectionFailure> {
        let mut doors = self.doors.lock().await;
        let before = self.before(name, if expected == Expected::Nothing { Expected::Any } else { expected })?;
        let gone = self.store.remove_connection(name).await;
        gone.map_err(|e| ConnectionFailure::Unavailable(e.to_string()))?;
        self.directory.remove(name);
        self.rights.know(self.directory.known());
        if let Some(Entry::Served(old)) = &before {
            self.retire(&mut doors, old, "the session was ended: its connection was removed", false).await;
            forget_host_key(old);
        }
        self.secrets.prune();
        Ok(())
    }

    async fn test(&self, name: &str) -> Result<ConnectionTest, ConnectionFailure> {
        match self.directory.find(name).ok_or(ConnectionFailure::Missing)? {
            Entry::Served(served) => Ok(self.tried(&served.backend).await),
            Entry::Failed(failed) => Ok(failed_test(failed.why, Instant::now())),
        }
    }

    async fn try_out(
        &self,
        spec: &ConnectionSpec,
        credential: Option<Secret<String>>,
    ) -> Result<ConnectionTest, ConnectionFailure> {
        let credential = match (credential, &spec.secret) {
            (Some(given), _) => Some(Rotating::new("of the test", given)),
            (None, Some(name)) => {
                self.secret_is_there(spec).await?;
                self.secrets.open(name).await.map_err(ConnectionFailure::Unavailable)?
            }
            (None, None) => None,
        };
        // Nothing that is tried is known to anybody: not as a user of its secret either.
        let nameless = ConnectionSpec { secret: None, ..spec.clone() };
        let made = self.made("connection-test", &nameless).map_err(|e| wrong(&e))?;
        let backend = match credential {
            Some(secret) => made.backend.with_credential(secret).map_err(|e| wrong(&e))?,
            None => made.backend,
        };
        Ok(self.tried(&backend).await)
    }

    async fn classify(
        &self,
        name: &str,
        database: Option<&str>,
        sample: u32,
    ) -> Result<ClassificationView, ConnectionFailure> {
        let served = self.is_served(name)?;
        let Classified { columns, looked_at, left_out } =
            self.maker.classify(&served.backend, database, sample).await?;
        let left_out = left_out.into_iter().map(|(table, why)| LeftOut { table, why }).collect();
        let columns = columns.into_iter().map(classified).collect();
        Ok(ClassificationView { columns, looked_at, sample, left_out, applied: false })
    }

    async fn explain(
        &self,
        name: &str,
        subject: Subject,
        database: Option<&str>,
        statement: String,
    ) -> Result<Result<Explained, Refusal>, ConnectionFailure> {
        let served = self.is_served(name)?;
        self.maker.explain(&served.backend, subject, database, statement).await
    }
}

impl Connections {
    fn is_served(&self, name: &str) -> Result<Served, ConnectionFailure> {
        match self.directory.find(name).ok_or(ConnectionFailure::Missing)? {
            Entry::Served(served) => Ok(served),
            Entry::Failed(failed) => Err(ConnectionFailure::Unusable(format!("it is not served: {}", failed.why))),
        }
    }

    async fn tried(&self, backend: &Backend) -> ConnectionTest {
        let begun = Instant::now();
        match self.maker.probe(backend).await {
            Ok(probed) => ConnectionTest {
                ok: true,
                failure: None,
                server: probed.server,
                encrypted: probed.encrypted,
                logged_in: probed.logged_in,
                host_key: probed.host_key,
                milliseconds: milliseconds(begun),
            },
            Err(why) => failed_test(why, begun),
        }
    }
}

fn classified(c: Classed) -> ClassifiedColumn {
    let proposed = c.proposed();
    ClassifiedColumn {
        column: c.column,
        type_name: c.type_name,
        sampled: c.sampled,
        found: c.found.into_iter().map(|(kind, n)| (kind.to_owned(), n)).collect(),
        named: c.named.map(str::to_owned),
        tags: c.carried,
        proposed,
    }
}

fn milliseconds(since: Instant) -> u64 {
    since.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

fn failed_test(why: String, begun: Instant) -> ConnectionTest {
    ConnectionTest {
        ok: false,
        failure: Some(why),
        server: None,
        encrypted: false,
        logged_in: false,
        host_key: None,
        milliseconds: milliseconds(begun),
    }
}

/// Another server has another host key: what was kept of the one before is of no use.
fn forget_host_key(old: &Served) {
    let Backend::Ssh(c) = &old.backend else { return };
    let HostKeys::FirstUse(kept) = &c.host_keys else { return };
    match std::fs::remove_file(kept) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => tracing::error!("{} cannot be removed: {e}", kept.display()),
    }
}
