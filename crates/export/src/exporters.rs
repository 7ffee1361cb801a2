//! All exporters of a gateway.
use crate::{
    config::{ExportConfig, Misconfigured, Pace},
    exporter::Exporter,
    format::Renderer,
    reader::{Reader, Reading},
    sessions::{Kinds, Sessions},
    sink::Sink,
    status::Status,
};
use doorward_enforce::AuditSink;
use doorward_record::Head;
use doorward_store::{Store, StoreError};
use parking_lot::Mutex;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// What all exporters draw on.
#[derive(Clone, Debug)]
pub struct Source {
    /// The folder of the audit log.
    pub dir: PathBuf,
    /// The log itself: says how much of it is durable.
    pub audit: Arc<dyn AuditSink>,
    /// Where cursors are kept.
    pub store: Store,
    /// The kind of each connection, by name.
    pub kinds: Kinds,
}

/// Running exporters.
#[derive(Debug)]
pub struct Exporters {
    audit: Arc<dyn AuditSink>,
    statuses: Vec<Arc<Mutex<Status>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Exporters {
    /// Whether an exporter could be made of this. Connects nowhere.
    ///
    /// # Errors
    /// [`Misconfigured`].
    pub fn check(config: &ExportConfig) -> Result<(), Misconfigured> {
        Sink::new(config).map(drop).map_err(|e| named(config, e))
    }

    /// Starts them. Each goes on behind the last line that its sink has acknowledged; a new one begins with the oldest
    /// line that there is.
    ///
    /// # Errors
    /// Where one is misconfigured, or the store cannot be read.
    pub async fn start(source: &Source, configs: Vec<ExportConfig>, pace: &Pace) -> Result<Self, StartError> {
        let (stop, stopped) = watch::channel(false);
        let mut made = Vec::new();
        for config in configs {
            made.push(exporter(source, config, pace, stopped.clone()).await?);
        }
        let statuses = made.iter().map(|e| Arc::clone(&e.status)).collect();
        let tasks = made.into_iter().map(|e| tokio::spawn(e.run())).collect();
        Ok(Self { audit: Arc::clone(&source.audit), statuses, tasks: Mutex::new(tasks), stop })
    }

    /// How each stands.
    pub fn statuses(&self) -> Vec<Status> {
        let committed = self.audit.committed().0;
        let of = |s: &Arc<Mutex<Status>>| {
            let mut status = s.lock().clone();
            status.lag = committed.saturating_sub(status.position.map_or(0, |h| h.seq));
            status
        };
        self.statuses.iter().map(of).collect()
    }

    /// The first line that some exporter still needs; `None` where there is no exporter.
    pub fn needed_from(&self) -> Option<u64> {
        self.statuses.iter().map(|s| s.lock().position.map_or(1, |h| h.seq.saturating_add(1))).min()
    }

    /// Lets each send what is committed now, for so long at most, and ends them. What is not acknowledged by then goes
    /// with the next start.
    pub async fn stop(&self, limit: Duration) {
        self.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + limit;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for mut task in tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// Why exporters cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One is misconfigured.
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn named(config: &ExportConfig, e: Misconfigured) -> Misconfigured {
    Misconfigured(format!("export `{}`: {}", config.name, e.0))
}

async fn exporter(
    source: &Source,
    config: ExportConfig,
    pace: &Pace,
    stopped: watch::Receiver<bool>,
) -> Result<Exporter, StartError> {
    let sink = Sink::new(&config).map_err(|e| named(&config, e))?;
    let kept = source.store.export_cursor(&config.name).await?;
    let head = kept.as_ref().map(|c| Ok(Head { seq: c.seq, hash: c.hash.parse()? })).transpose();
    let head = head.map_err(|_: &str| StoreError::Unreadable("cursor"))?;
    let mut status = Status::new(&config.name, config.target.kind());
    let acknowledged = kept.map_or(0, |c| c.entries);
    status.position = head;
    status.acknowledged = acknowledged;
    let reader = Reader::new(Reading {
        dir: source.dir.clone(),
        after: head,
        sessions: Sessions::new(source.kinds.clone()),
        renderer: Arc::new(Renderer { format: config.format }),
        events: config.events,
        hourly: sink.is_hourly(),
        pace: pace.clone(),
    });
    Ok(Exporter {
        name: config.name,
        sink,
        reader: Some(reader),
        audit: Arc::clone(&source.audit),
        store: source.store.clone(),
        pace: pace.clone(),
        status: Arc::new(Mutex::new(status)),
        stopped,
        kept: head,
        acknowledged,
    })
}
