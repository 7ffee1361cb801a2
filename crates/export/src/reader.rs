//! From the log to a batch. Blocks on the disk: it runs on a thread for that.
use crate::{
    config::Pace,
    format::{Item, Renderer},
    sessions::Sessions,
};
use doorward_model::Timestamp;
use doorward_record::{Head, Tail, TailError, TailLine, session_entries};
use std::{path::PathBuf, sync::Arc};

const HOUR: u64 = 3600;
/// So many lines are read at most before the caller has a look at the clock again.
const LINES_AT_ONCE: usize = 20_000;

/// Entries that are sent together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    pub(crate) bytes: usize,
    /// The last line of the log that is done once this is sent.
    pub(crate) end: Option<Head>,
    /// Nothing more goes into it.
    pub(crate) full: bool,
}

impl Batch {
    /// When its first entry happened.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.items.first().map(|i| i.time)
    }

    /// The hour of its first entry, since 1970.
    pub(crate) fn hour(&self) -> Option<u64> {
        self.oldest().map(hour)
    }

    fn push(&mut self, item: Item) {
        self.bytes = self.bytes.saturating_add(item.text.len());
        self.items.push(item);
    }
}

fn hour(t: Timestamp) -> u64 {
    t.as_secs() / HOUR
}

/// Reads the log for one exporter.
#[derive(Debug)]
pub(crate) struct Reader {
    dir: PathBuf,
    tail: Option<Tail>,
    at: Option<Head>,
    sessions: Sessions,
    renderer: Arc<Renderer>,
    events: Vec<String>,
    hourly: bool,
    pace: Pace,
    /// An entry that belongs to the hour after the batch, with the line before it.
    carried: Option<Item>,
    knows_earlier: bool,
}

/// How a reader works.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) dir: PathBuf,
    pub(crate) after: Option<Head>,
    pub(crate) sessions: Sessions,
    pub(crate) renderer: Arc<Renderer>,
    pub(crate) events: Vec<String>,
    pub(crate) hourly: bool,
    pub(crate) pace: Pace,
}

impl Reader {
    pub(crate) fn new(r: Reading) -> Self {
        Self {
            dir: r.dir,
            tail: None,
            at: r.after,
            sessions: r.sessions,
            renderer: r.renderer,
            events: r.events,
            hourly: r.hourly,
            pace: r.pace,
            carried: None,
            knows_earlier: false,
        }
    }

    /// The log's identifier, once something was read.
    pub(crate) fn log(&self) -> Option<&str> {
        self.tail.as_ref().map(Tail::log)
    }

    /// Puts what is committed into the batch, until it is full.
    pub(crate) fn fill(&mut self, committed: u64, batch: &mut Batch) -> Result<(), TailError> {
        let result = self.read(committed, batch);
        if result.is_err() {
            // Somebody may put back what is missing.
            self.tail = None;
        }
        result
    }

    fn read(&mut self, committed: u64, batch: &mut Batch) -> Result<(), TailError> {
        if let Some(item) = self.carried.take() {
            batch.push(item);
            batch.end = self.at;
            self.close_if_full(batch);
        }
        if self.tail.is_none() {
            self.tail = Tail::open(&self.dir, self.at)?;
            self.learn_earlier()?;
        }
        for _ in 0..LINES_AT_ONCE {
            let Some(tail) = self.tail.as_mut().filter(|_| !batch.full) else { return Ok(()) };
            let Some(line) = tail.next(committed)? else { return Ok(()) };
            let (before, at) = (self.at, tail.at());
            self.at = Some(at);
            if let Some(item) = self.item(line) {
                if self.hourly && batch.hour().is_some_and(|h| hour(item.time) > h) {
                    self.carried = Some(item);
                    batch.end = before;
                    batch.full = true;
                    return Ok(());
                }
                batch.push(item);
            }
            batch.end = Some(at);
            self.close_if_full(batch);
        }
        Ok(())
    }

    fn item(&mut self, line: TailLine) -> Option<Item> {
        let TailLine::Entry(entry) = line else { return None };
        self.sessions.learn(&entry.event);
        let name = entry.event.kind.name();
        if !self.events.is_empty() && !self.events.iter().any(|e| e == name) {
            return None;
        }
        let log = self.tail.as_ref().map_or("", Tail::log);
        Some(self.renderer.item(log, &entry, self.sessions.of(&entry.event)))
    }

    /// Where an object is cut depends on the log alone, so that what is sent again is the same object.
    fn close_if_full(&self, batch: &mut Batch) {
        batch.full |= if self.hourly {
            batch.bytes >= self.pace.object_bytes
        } else {
            batch.bytes >= self.pace.batch_bytes || batch.items.len() >= self.pace.batch_entries
        };
    }

    fn learn_earlier(&mut self) -> Result<(), TailError> {
        let Some(at) = self.at.filter(|_| !self.knows_earlier) else {
            self.knows_earlier = true;
            return Ok(());
        };
        let sessions = &mut self.sessions;
        session_entries(&self.dir, at.seq, self.pace.look_back, |e| sessions.learn(&e))
            .map_err(|source| TailError::Io { path: self.dir.clone(), source })?;
        self.knows_earlier = true;
        Ok(())
    }
}
