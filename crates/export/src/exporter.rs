//! One exporter: gathers a batch, sends it until it is acknowledged, keeps the cursor, goes on.
use crate::{
    backoff::Backoff,
    config::Pace,
    reader::{Batch, Reader},
    sink::{SendError, Sink, Taken},
    status::{State, Status},
};
use doorward_enforce::{AuditSink, Ticket};
use doorward_model::Timestamp;
use doorward_record::{Head, TailError};
use doorward_store::{Store, StoredCursor};
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

/// A position that moved without anything to send is written down after so many lines.
const QUIET_LINES: u64 = 10_000;

pub(crate) struct Exporter {
    pub(crate) name: String,
    pub(crate) sink: Sink,
    pub(crate) reader: Option<Reader>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) store: Store,
    pub(crate) pace: Pace,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) stopped: watch::Receiver<bool>,
    /// What is in the store.
    pub(crate) kept: Option<Head>,
    pub(crate) acknowledged: u64,
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Exporter {
    pub(crate) async fn run(mut self) {
        let mut batch = Batch::default();
        let mut backoff = Backoff::new(self.pace.first_pause, self.pace.longest_pause);
        let mut due = None;
        loop {
            if let Err(e) = self.fill(&mut batch).await {
                if batch.items.is_empty() {
                    self.halted(&e);
                    if self.pause(backoff.pause(None)).await == Next::Stop {
                        break;
                    }
                    continue;
                }
                // What was read before still goes.
                batch.full = true;
            }
            if self.note(&batch) == State::Halted {
                backoff.reset();
            }
            if batch.items.is_empty() {
                if let Some(end) = batch.end.take() {
                    self.passed(end).await;
                }
                due = None;
            } else if due.is_none() {
                due = Some(self.due(&batch));
            }
            if !batch.items.is_empty() && (batch.full || self.is_due(due)) {
                if self.deliver(&batch, &mut backoff).await == Next::Stop {
                    break;
                }
                batch = Batch::default();
                due = None;
            } else if self.wait(&batch, due).await == Next::Stop {
                break;
            }
        }
        self.status.lock().state = State::Stopped;
    }

    fn stopping(&self) -> bool {
        *self.stopped.borrow()
    }

    /// When what is in the batch should go, whatever comes.
    fn due(&self, batch: &Batch) -> Instant {
        let Some(hour) = batch.hour().filter(|_| self.sink.is_hourly()) else {
            return Instant::now() + self.pace.linger;
        };
        let end = Timestamp::from_secs(hour.saturating_add(1).saturating_mul(3600)).after(self.pace.hour_grace);
        Instant::now() + end.since(now())
    }

    /// On the way out nothing lingers; an hour that is not over stays in the log and goes with the next start.
    fn is_due(&self, due: Option<Instant>) -> bool {
        due.is_some_and(|at| at <= Instant::now()) || (self.stopping() && !self.sink.is_hourly())
    }

    async fn fill(&mut self, batch: &mut Batch) -> Result<(), String> {
        if batch.full {
            return Ok(());
        }
        let Some(mut reader) = self.reader.take() else { return Err("a former read broke off".to_owned()) };
        let committed = self.audit.committed().0;
        let mut moved = std::mem::take(batch);
        let read = tokio::task::spawn_blocking(move || {
            let result = reader.fill(committed, &mut moved);
            (reader, moved, result)
        });
        let (reader, moved, result) = read.await.map_err(|e| e.to_string())?;
        self.reader = Some(reader);
        *batch = moved;
        result.map_err(|e: TailError| e.to_string())
    }

    /// Says what the state was before.
    fn note(&self, batch: &Batch) -> State {
        let mut status = self.status.lock();
        status.oldest_unsent = batch.oldest();
        let state = if batch.items.is_empty() { State::Idle } else { State::Sending };
        std::mem::replace(&mut status.state, state)
    }

    fn halted(&self, what: &str) {
        let mut status = self.status.lock();
        let news = status.last_error.as_ref().is_none_or(|(_, e)| e != what) || status.state != State::Halted;
        status.failed(State::Halted, now(), what);
        drop(status);
        if news {
            tracing::error!(export = %self.name, "nothing more is exported: {what}");
        }
    }

    /// Everything up to `end` was not asked for.
    async fn passed(&mut self, end: Head) {
        self.status.lock().position = Some(end);
        let kept = self.kept.map_or(0, |h| h.seq);
        if end.seq.saturating_sub(kept) >= QUIET_LINES {
            // Should it fail, the same lines are looked through again.
            let _ = self.keep(end).await;
        }
    }

    async fn keep(&mut self, end: Head) -> Result<(), String> {
        let cursor =
            StoredCursor { seq: end.seq, hash: end.hash.to_string(), entries: self.acknowledged, updated: now() };
        self.store.export_acknowledged(&self.name, &cursor).await.map_err(|e| e.to_string())?;
        self.kept = Some(end);
        Ok(())
    }

    /// Sends until it is acknowledged and that is written down.
    async fn deliver(&mut self, batch: &Batch, backoff: &mut Backoff) -> Next {
        let log = self.reader.as_ref().and_then(Reader::log).unwrap_or_default().to_owned();
        loop {
            let limit = self.pace.send_limit;
            let sent = match timeout(limit, self.sink.send(&log, batch)).await {
                Ok(result) => result,
                Err(_) => Err(SendError::new(format!("no acknowledgement within {} s", limit.as_secs_f32()))),
            };
            let (what, wait) = match sent {
                Ok(taken) => {
                    backoff.reset();
                    return self.acknowledged(batch, taken, backoff).await;
                }
                Err(e) => (e.what, e.wait),
            };
            if self.failed(&what, backoff, wait).await == Next::Stop {
                return Next::Stop;
            }
        }
    }

    async fn failed(&mut self, what: &str, backoff: &mut Backoff, wait: Option<Duration>) -> Next {
        let first = {
            let mut status = self.status.lock();
            status.failed(State::Retrying, now(), what);
            status.failures == 1
        };
        if first {
            tracing::warn!(export = %self.name, "not acknowledged, trying again: {what}");
        } else {
            tracing::debug!(export = %self.name, "not acknowledged, trying again: {what}");
        }
        self.pause(backoff.pause(wait)).await
    }

    /// INVARIANT: the cursor moves here alone, after the acknowledgement, and nothing else is sent before it is kept.
    async fn acknowledged(&mut self, batch: &Batch, taken: Taken, backoff: &mut Backoff) -> Next {
        let Some(end) = batch.end else { return Next::Go };
        self.acknowledged = self.acknowledged.saturating_add(batch.items.len() as u64);
        while let Err(e) = self.keep(end).await {
            if self.failed(&format!("sent, but the cursor cannot be kept: {e}"), backoff, None).await == Next::Stop {
                return Next::Stop;
            }
        }
        backoff.reset();
        let recovered = {
            let mut status = self.status.lock();
            let recovered = status.failures;
            status.state = State::Sending;
            status.position = Some(end);
            status.acknowledged = self.acknowledged;
            status.rejected = status.rejected.saturating_add(taken.rejected);
            status.oldest_unsent = None;
            status.last_success = Some(now());
            status.failures = 0;
            if taken.rejected > 0 {
                status.last_error = Some((now(), format!("the sink refuses to keep {} entries", taken.rejected)));
            }
            recovered
        };
        if taken.rejected > 0 {
            tracing::error!(export = %self.name, "the sink refuses to keep {} entries", taken.rejected);
        }
        if recovered > 0 {
            tracing::info!(export = %self.name, "acknowledged again after {recovered} failures");
        }
        Next::Go
    }

    /// A pause that the end of the program cuts short.
    async fn pause(&mut self, how_long: Duration) -> Next {
        if self.stopping() {
            return Next::Stop;
        }
        tokio::select! {
            () = sleep(how_long) => Next::Go,
            _ = self.stopped.changed() => Next::Stop,
        }
    }

    /// Waits for more entries, for the batch to be due, or for the end.
    async fn wait(&mut self, batch: &Batch, due: Option<Instant>) -> Next {
        let at = batch.end.or(self.status.lock().position).map_or(0, |h| h.seq);
        if self.audit.committed().0 > at {
            // There is more than was read at once.
            return Next::Go;
        }
        if self.stopping() {
            return Next::Stop;
        }
        let audit = Arc::clone(&self.audit);
        let more = async move {
            if poll_fn(|cx| audit.poll_committed(Ticket(at.saturating_add(1)), cx)).await.is_err() {
                // The log is closed or broken: there will be no more.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = more => Next::Go,
            () = async { match due { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => Next::Go,
            // What is committed by then still goes.
            _ = self.stopped.changed() => Next::Go,
        }
    }
}
