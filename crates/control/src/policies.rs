//! The policies as they are changed while the gateway runs: files that others write, and versions that people write here.
use doorward_enforce::AuditSink;
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use doorward_policy::{Engine, LoadError, Loaded, Source};
use doorward_store::{PolicyActivation, PolicyMode, Store, StoreError};
use std::{fmt::Debug, future::poll_fn, sync::Arc, time::SystemTime};

/// The longest text of policies that people may write, in bytes.
pub(crate) const MAX_TEXT: usize = 1 << 20;

type Files = Box<dyn Fn() -> Result<Vec<Source>, String> + Send + Sync>;
type Changed = Box<dyn Fn() + Send + Sync>;

/// Why policies were not changed. Those that were in force still are.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The files cannot be read.
    #[error("the policy files cannot be read: {0}")]
    Files(String),
    /// The policies are not right.
    #[error("{}", listed(.0))]
    Wrong(Vec<LoadError>),
    /// There is no such version.
    #[error("no such version of the policies")]
    NoSuchVersion,
    /// The audit log or the store cannot keep it, so it does not count.
    #[error("the change cannot be recorded: {0}")]
    Unavailable(String),
}

fn listed(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl From<StoreError> for PolicyError {
    fn from(e: StoreError) -> Self {
        Self::Unavailable(e.to_string())
    }
}

struct Inner {
    engine: Arc<Engine>,
    files: Files,
    changed: Changed,
    store: Store,
    audit: Arc<dyn AuditSink>,
    /// Changes come one after the other.
    turn: tokio::sync::Mutex<()>,
}

/// The policies of one gateway.
#[derive(Clone)]
pub struct PolicyBook(Arc<Inner>);

impl Debug for PolicyBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PolicyBook({:?})", self.0.engine.loaded())
    }
}

impl PolicyBook {
    /// `files` gives what the configuration names; `changed` is called once other policies are in force.
    pub fn new(engine: Arc<Engine>, store: Store, audit: Arc<dyn AuditSink>, files: Files, changed: Changed) -> Self {
        Self(Arc::new(Inner { engine, files, changed, store, audit, turn: tokio::sync::Mutex::default() }))
    }

    /// The policies in force.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// What the configuration names.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(crate) fn files(&self) -> Result<Vec<Source>, PolicyError> {
        (self.0.files)().map_err(PolicyError::Files)
    }

    /// The policies of the files together with a text of ours.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn with(&self, text: Option<Source>) -> Result<Loaded, PolicyError> {
        let mut sources = self.files()?;
        sources.extend(text);
        doorward_policy::load(&sources).map_err(PolicyError::Wrong)
    }

    /// The text of the version that is in force, as a source.
    async fn active(&self) -> Result<Option<Source>, PolicyError> {
        let active = self.0.store.active_policies(PolicyMode::Enforce).await?;
        Ok(active.map(|v| source(v.id, v.text)))
    }

    /// Puts the files and the active version in force as they are now. Written down before it takes effect.
    ///
    /// # Errors
    /// Where they are not right or cannot be recorded; the old ones stay in force.
    pub async fn reload(&self) -> Result<(), PolicyError> {
        let _turn = self.0.turn.lock().await;
        let found = match self.active().await {
            Ok(active) => self.with(active),
            Err(e) => Err(e),
        };
        match found {
            Ok(loaded) => self.force(loaded).await,
            Err(e) => {
                let version = self.0.engine.loaded().version.to_string();
                self.note(AuditKind::PolicyChanged { policy_version: version, refused: Some(e.to_string()) }).await?;
                Err(e)
            }
        }
    }

    /// Puts a version in force; none: that only the files are. Written down before it takes effect.
    ///
    /// # Errors
    /// Where there is no such version, where it is not right together with the files, or cannot be recorded.
    pub async fn activate(
        &self,
        version: Option<i64>,
        mode: PolicyMode,
        by: &str,
        comment: &str,
    ) -> Result<(), PolicyError> {
        let _turn = self.0.turn.lock().await;
        let text = match version {
            Some(id) => {
                let found = self.0.store.policies(id).await?.ok_or(PolicyError::NoSuchVersion)?;
                Some(source(found.id, found.text))
            }
            None => None,
        };
        let loaded = self.with(text)?;
        let which = version.map_or("none".to_owned(), |v| format!("version {v}"));
        let verb = match mode {
            PolicyMode::Enforce => "activate",
            PolicyMode::Monitor => "monitor",
        };
        let what = format!("{verb} policies: {which} ({}): {comment}", loaded.version);
        self.note(AuditKind::Administration { by: by.to_owned(), what }).await?;
        let activation =
            PolicyActivation { version, mode, by: by.to_owned(), comment: comment.to_owned(), time: now() };
        self.0.store.activate_policies(&activation).await?;
        match mode {
            PolicyMode::Enforce => self.force(loaded).await,
            PolicyMode::Monitor => Ok(()),
        }
    }

    async fn force(&self, loaded: Loaded) -> Result<(), PolicyError> {
        if loaded.version == self.0.engine.loaded().version {
            return Ok(());
        }
        let policy_version = loaded.version.to_string();
        self.note(AuditKind::PolicyChanged { policy_version, refused: None }).await?;
        self.0.engine.replace(loaded);
        (self.0.changed)();
        Ok(())
    }

    async fn note(&self, kind: AuditKind) -> Result<(), PolicyError> {
        let event = AuditEvent { time: now(), session: None, kind, parties: None };
        let failed = |e: doorward_enforce::AuditUnavailable| PolicyError::Unavailable(e.to_string());
        let ticket = self.0.audit.append(&event).map_err(failed)?;
        poll_fn(|cx| self.0.audit.poll_committed(ticket, cx)).await.map_err(failed)
    }
}

/// A version as a file among others.
pub(crate) fn source(id: i64, text: String) -> Source {
    Source { name: format!("version {id}"), text }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
