//! Keeps what the audit log says of sessions, principals and approvals in the store, where it can be searched.
//!
//! One task follows the log behind what is durable. Where its cursor does not fit the log (the store is new, the log is
//! another), all is made anew from the log.
use doorward_enforce::AuditSink;
use doorward_model::{AuditEvent, Timestamp};
use doorward_record::{Head, Tail, TailError, TailLine, oldest_line};
use doorward_store::{Store, StoreError, StoredCursor};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(10);
/// Lines that are taken in at once.
const AT_ONCE: usize = 5_000;
/// Bytes of entries that are taken in at once.
const BYTES_AT_ONCE: usize = 8 << 20;
/// How often what the log has lost is forgotten here.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// The task.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    audit: Arc<dyn AuditSink>,
    store: Store,
    tail: Option<Tail>,
    entries: u64,
    forgot: Option<Instant>,
}

/// Why nothing more was taken in.
#[derive(Debug, thiserror::Error)]
enum IndexError {
    #[error(transparent)]
    Log(#[from] TailError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the audit log cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// What was read: entries, each with its line.
type Entries = Vec<(u64, AuditEvent)>;

impl Index {
    /// Follows the log in `dir`, as far as `audit` says that it is durable, until `stopped` is true.
    pub fn start(
        dir: PathBuf,
        audit: Arc<dyn AuditSink>,
        store: Store,
        stopped: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let index = Self { dir, audit, store, tail: None, entries: 0, forgot: None };
        tokio::spawn(index.run(stopped))
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let pause = match self.step().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK,
                Err(IndexError::Log(why @ (TailError::Gone { .. } | TailError::Changed { .. }))) => {
                    tracing::warn!("what is known of sessions is made anew from the audit log: {why}");
                    self.tail = None;
                    if let Err(why) = self.store.unsee_all().await {
                        tracing::error!("what is known of sessions cannot be forgotten: {why}");
                    }
                    PAUSE
                }
                Err(why) => {
                    tracing::error!("the audit log cannot be taken in for searching: {why}");
                    self.tail = None;
                    PAUSE
                }
            };
            let ends = tokio::select! {
                () = sleep(pause) => false,
                () = crate::serve::stopped(&mut stopped) => true,
            };
            if ends {
                // What is left is known at the next start at once; what fails now is taken in then.
                while matches!(self.step().await, Ok(true)) {}
                return;
            }
        }
    }

    /// True where there is more at once.
    async fn step(&mut self) -> Result<bool, IndexError> {
        let committed = self.audit.committed().0;
        let tail = match self.tail.take() {
            Some(tail) => Some(tail),
            None => self.open().await?,
        };
        let Some(mut tail) = tail else { return Ok(false) };
        if tail.at().seq >= committed {
            self.tail = Some(tail);
            self.forget().await?;
            return Ok(false);
        }
        let read = tokio::task::spawn_blocking(move || {
            let entries = read(&mut tail, committed)?;
            Ok::<_, TailError>((tail, entries))
        });
        let (tail, entries) = read.await.map_err(std::io::Error::from)??;
        let at = tail.at();
        self.entries += u64::try_from(entries.len()).unwrap_or(0);
        let updated: Timestamp = SystemTime::now().into();
        let cursor = StoredCursor { seq: at.seq, hash: at.hash.to_string(), entries: self.entries, updated };
        self.store.saw(&entries, &cursor).await?;
        self.tail = Some(tail);
        Ok(at.seq < committed)
    }

    async fn open(&mut self) -> Result<Option<Tail>, IndexError> {
        let kept = self.store.seen_cursor().await?;
        self.entries = kept.as_ref().map_or(0, |c| c.entries);
        let wrong = |_: &str| StoreError::Unreadable("cursor");
        let after = kept.map(|c| Ok(Head { seq: c.seq, hash: c.hash.parse().map_err(wrong)? }));
        let after = after.transpose().map_err(|e: StoreError| e)?;
        let dir = self.dir.clone();
        let open = move || Tail::open(&dir, after);
        Ok(tokio::task::spawn_blocking(open).await.map_err(std::io::Error::from)??)
    }

    async fn forget(&mut self) -> Result<(), IndexError> {
        if self.forgot.is_some_and(|at| at.elapsed() < FORGET_EVERY) {
            return Ok(());
        }
        self.forgot = Some(Instant::now());
        let oldest = oldest(self.dir.clone()).await?;
        if oldest > 1 {
            self.store.unsee_before(oldest).await?;
        }
        Ok(())
    }
}

async fn oldest(dir: PathBuf) -> Result<u64, IndexError> {
    let look = move || oldest_line(Path::new(&dir));
    Ok(tokio::task::spawn_blocking(look).await.map_err(std::io::Error::from)??.unwrap_or(0))
}

fn read(tail: &mut Tail, committed: u64) -> Result<Entries, TailError> {
    let (mut entries, mut bytes) = (Entries::new(), 0);
    for _ in 0..AT_ONCE {
        match tail.next(committed)? {
            None => break,
            Some(TailLine::Own) => {}
            Some(TailLine::Entry(entry)) => {
                bytes += entry.json.len();
                entries.push((entry.seq, entry.event));
                if bytes > BYTES_AT_ONCE {
                    break;
                }
            }
        }
    }
    Ok(entries)
}
