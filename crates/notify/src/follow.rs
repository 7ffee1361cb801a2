//! One task for each channel: follows the audit log, sends until it is taken, keeps how far it is.
use crate::{
    channel::{Channel, SendError},
    config::{ChannelConfig, Misconfigured},
    notice::{Event, Notice},
};
use doorward_enforce::AuditSink;
use doorward_model::{ApprovalId, ApprovalPart, AuditKind, Timestamp};
use doorward_record::{Head, Tail, TailError, TailLine};
use doorward_store::{ApprovalState, Store, StoreError, StoredCursor};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(300);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Lines that are read at once.
const AT_ONCE: usize = 10_000;
/// A position that moved without anything to tell is written down after so many lines.
const QUIET_LINES: u64 = 1_000;
/// An approval is in the store a moment after it is in the log.
const TRIES: u32 = 20;

/// What all channels draw on.
#[derive(Clone, Debug)]
pub struct Source {
    /// The folder of the audit log.
    pub dir: PathBuf,
    /// The log itself: says how much of it is durable.
    pub audit: Arc<dyn AuditSink>,
    /// Where a new channel begins.
    pub head: Head,
    /// Approvals, and where cursors are kept.
    pub store: Store,
    /// Where people reach the gateway.
    pub public_url: String,
}

/// Running channels.
#[derive(Debug)]
pub struct Notifiers {
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Notifiers {
    /// Whether a channel could be made of this. Connects nowhere.
    ///
    /// # Errors
    /// [`Misconfigured`].
    pub fn check(config: &ChannelConfig) -> Result<(), Misconfigured> {
        Channel::new(config).map(drop)
    }

    /// Starts them, each where it left off.
    ///
    /// # Errors
    /// Where one is misconfigured.
    pub fn start(source: &Source, configs: Vec<ChannelConfig>) -> Result<Self, Misconfigured> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for config in configs {
            let channel = Channel::new(&config)?;
            let one = Follower {
                source: source.clone(),
                config,
                channel,
                stopped: stopped.clone(),
                entries: 0,
                kept: 0,
                tail: None,
            };
            tasks.push(tokio::spawn(one.run()));
        }
        Ok(Self { tasks, stop })
    }

    /// Ends them. What was not taken goes with the next start.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(Duration::from_secs(2), task).await.is_err() {
                abort.abort();
            }
        }
    }
}

struct Follower {
    source: Source,
    config: ChannelConfig,
    channel: Channel,
    stopped: watch::Receiver<bool>,
    entries: u64,
    /// The line that is in the store.
    kept: u64,
    /// Kept open: to find a line means to read up to it.
    tail: Option<Tail>,
}

/// What was read: events in order, each with its line.
type Found = Vec<(Head, Timestamp, ApprovalId, Event)>;

impl Follower {
    fn cursor_name(&self) -> String {
        format!("notify:{}", self.config.name)
    }

    async fn run(mut self) {
        let mut at = loop {
            match self.begin().await {
                Ok(at) => break at,
                Err(e) => tracing::error!(channel = %self.config.name, "its cursor cannot be read: {e}"),
            }
            if self.pause(LONGEST_PAUSE).await {
                return;
            }
        };
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look(at).await {
                Ok((end, found)) => {
                    pause = FIRST_PAUSE;
                    for (head, time, id, event) in found {
                        if self.tell(head, time, id, event).await {
                            return;
                        }
                    }
                    at = end;
                    if at.seq.saturating_sub(self.kept) >= QUIET_LINES {
                        // Should it fail, the same lines are looked through again.
                        let _unkept = self.keep(at).await;
                    }
                }
                // Old files go once all in them is old: whoever asked then waits no more.
                Err(TailError::Gone { .. }) if at != self.source.head => {
                    tracing::warn!(channel = %self.config.name, "what was not read yet was removed: going on from the newest line");
                    at = self.source.head;
                }
                Err(why) => {
                    tracing::error!(channel = %self.config.name, "the audit log cannot be followed: {why}");
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    if self.pause(pause).await {
                        return;
                    }
                }
            }
            if self.pause(LOOK).await {
                return;
            }
        }
    }

    /// True where it is time to end.
    async fn pause(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = sleep(time) => false,
            _ = self.stopped.wait_for(|s| *s) => true,
        }
    }

    async fn begin(&mut self) -> Result<Head, StoreError> {
        let Some(kept) = self.source.store.export_cursor(&self.cursor_name()).await? else {
            let head = self.source.head;
            self.keep(head).await?;
            return Ok(head);
        };
        self.entries = kept.entries;
        self.kept = kept.seq;
        Ok(Head { seq: kept.seq, hash: kept.hash.parse().map_err(|_| StoreError::Unreadable("cursor"))? })
    }

    async fn keep(&mut self, head: Head) -> Result<(), StoreError> {
        let updated = std::time::SystemTime::now().into();
        let cursor = StoredCursor { seq: head.seq, hash: head.hash.to_string(), entries: self.entries, updated };
        self.source.store.export_acknowledged(&self.cursor_name(), &cursor).await?;
        self.kept = head.seq;
        Ok(())
    }

    /// What came after a line, on a thread that may wait for the disk.
    async fn look(&mut self, at: Head) -> Result<(Head, Found), TailError> {
        let (dir, committed, open) = (self.source.dir.clone(), self.source.audit.committed().0, self.tail.take());
        let read = tokio::task::spawn_blocking(move || read(&dir, at, committed, open));
        let broken = |e: tokio::task::JoinError| TailError::Io { path: self.source.dir.clone(), source: e.into() };
        let (tail, found) = read.await.map_err(broken)??;
        let end = tail.as_ref().map_or(at, Tail::at);
        self.tail = tail;
        Ok((end, found))
    }

    /// Sends until it is taken. True where it is time to end.
    async fn tell(&mut self, head: Head, time: Timestamp, id: ApprovalId, event: Event) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            // Looked up each time: what is decided meanwhile need not be asked for.
            let sent = match self.notice(head, time, id, &event).await {
                Ok(Some(notice)) => self.channel.send(&notice).await,
                Ok(None) => Ok(()),
                Err(e) => Err(SendError::new(e.to_string())),
            };
            match sent {
                Ok(()) => break,
                Err(e) => {
                    tracing::warn!(channel = %self.config.name, "a message was not taken, trying again: {e}");
                    let jittered = pause.mul_f64(rand::random_range(0.5..=1.0));
                    let asked = e.wait.unwrap_or_default().min(LONGEST_PAUSE);
                    if self.pause(jittered.max(asked)).await {
                        return true;
                    }
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
        self.entries = self.entries.saturating_add(1);
        if let Err(e) = self.keep(head).await {
            tracing::error!(channel = %self.config.name, "its cursor cannot be kept, a message may come twice: {e}");
        }
        false
    }

    async fn notice(
        &mut self,
        head: Head,
        time: Timestamp,
        id: ApprovalId,
        event: &Event,
    ) -> Result<Option<Notice>, StoreError> {
        let mut found = self.source.store.approval(id).await?;
        for _ in 0..TRIES {
            if found.is_some() || *event != Event::Asked {
                break;
            }
            sleep(Duration::from_millis(50)).await;
            found = self.source.store.approval(id).await?;
        }
        let Some(approval) = found else { return Ok(None) };
        let r = &approval.request;
        let ours = |groups: &[String]| groups.iter().any(|g| self.config.groups.contains(g));
        let is_asked = self.config.groups.is_empty() || r.requirements.iter().any(|q| ours(&q.groups));
        let theirs = match event {
            Event::Escalated { groups } => self.config.groups.is_empty() || ours(groups),
            // Loud: whoever is told of anything hears of it.
            Event::GlassBroken { .. } => true,
            Event::Asked | Event::Decided { .. } | Event::Ended { .. } => is_asked,
        };
        let here = self.config.connections.iter().any(|c| c == r.connection.as_str());
        let is_over =
            matches!(event, Event::Asked | Event::Escalated { .. }) && approval.state != ApprovalState::Pending;
        if is_over || !theirs || !(here || self.config.connections.is_empty()) {
            return Ok(None);
        }
        let link = format!("{}/approvals/{id}", self.source.public_url.trim_end_matches('/'));
        // Whoever is told because it is loud is not told what it was about.
        let shows = self.config.statement && (is_asked || !matches!(event, Event::GlassBroken { .. }));
        Ok(Some(Notice::new(head.seq, time, event.clone(), &approval, link, shows)))
    }
}

fn read(dir: &Path, at: Head, committed: u64, open: Option<Tail>) -> Result<(Option<Tail>, Found), TailError> {
    let mut found = Found::new();
    let open = match open {
        Some(tail) => Some(tail),
        None => Tail::open(dir, Some(at))?,
    };
    let Some(mut tail) = open else { return Ok((None, found)) };
    for _ in 0..AT_ONCE {
        match tail.next(committed)? {
            None => break,
            Some(TailLine::Entry(entry)) => {
                let time = entry.event.time;
                found.extend(event(&entry.event.kind).map(|(id, event)| (tail.at(), time, id, event)));
            }
            Some(TailLine::Own) => {}
        }
    }
    Ok((Some(tail), found))
}

fn event(kind: &AuditKind) -> Option<(ApprovalId, Event)> {
    let (id, part) = kind.of_approval()?;
    let event = match part {
        ApprovalPart::Asked { .. } => Event::Asked,
        ApprovalPart::Escalated { groups } => Event::Escalated { groups: groups.to_vec() },
        ApprovalPart::Decided { break_glass: true, by, comment, .. } => {
            Event::GlassBroken { by: by.to_owned(), reason: comment.to_owned() }
        }
        ApprovalPart::Decided { approved, by, comment, .. } => {
            Event::Decided { by: by.to_owned(), approved, comment: comment.to_owned() }
        }
        ApprovalPart::Ended { reason } => Event::Ended { reason: reason.to_owned() },
        ApprovalPart::Request { .. } => return None,
    };
    Some((id, event))
}
