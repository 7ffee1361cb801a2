//! The audit log: opening it, appending to it, waiting for the disk.
use crate::{
    audit_files::{self, LogFile, MAX_LINE, Scan},
    audit_writer,
    chain::{Checkpoint, FileLine, Head, line_len, push_line},
    restored,
};
use doorward_enforce::{AuditSink, AuditUnavailable, Ticket};
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use ed25519_dalek::SigningKey;
use parking_lot::{Condvar, Mutex};
use std::{
    cell::RefCell,
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

/// How an audit log behaves. The default is meant for production.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// A file is followed by a new one beyond this many bytes.
    pub file_bytes: u64,
    /// A checkpoint is signed after this many lines…
    pub checkpoint_lines: u64,
    /// …or after this time, if there are unsigned entries.
    pub checkpoint_every: Duration,
    /// How many bytes may wait for the disk; more are refused.
    pub queue_bytes: usize,
    /// How many bytes of disk are set aside in advance, so that a full disk shows before an entry is
    /// accepted. At least twice `queue_bytes`, or bursts are refused.
    pub reserve_bytes: u64,
    /// How often the disk is tried again while it is full.
    pub retry_every: Duration,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            checkpoint_lines: 8192,
            checkpoint_every: Duration::from_secs(1),
            queue_bytes: 4 << 20,
            reserve_bytes: 16 << 20,
            retry_every: Duration::from_millis(200),
        }
    }
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read or written.
    #[error("the audit log cannot be opened at `{path}`: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open: two writers would fork the chain.
    #[error("the audit log in `{dir}` is open in another process")]
    InUse {
        /// Which log.
        dir: PathBuf,
    },
    /// The log was begun under another key.
    #[error("`{path}` was written under another signing key: restore that key, or move the log elsewhere")]
    OtherKey {
        /// Which file.
        path: PathBuf,
    },
    /// Something that was signed is missing or changed: this is no crash.
    #[error("the audit log is damaged in `{path}` after line {seq}: {what}. Verify it, and move it elsewhere to go on")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The last good line.
        seq: u64,
        /// What is wrong after it.
        what: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// What appenders and the writer thread share under one short lock.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) head: Head,
    pub(crate) buffer: Vec<u8>,
    /// Reserved bytes of the current file that nothing in `buffer` or on its way needs.
    pub(crate) room: u64,
    /// Events since the last checkpoint.
    pub(crate) unsigned: u64,
    pub(crate) stop: bool,
    pub(crate) writer_waits: bool,
    /// Somebody waits for what is queued.
    pub(crate) urgent: bool,
    /// Why nothing is accepted at the moment, if so.
    pub(crate) refusal: Option<String>,
    /// Why the last try to set disk aside failed, if it did.
    pub(crate) shortage: Option<String>,
}

pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) options: AuditOptions,
    pub(crate) key: SigningKey,
    pub(crate) log: String,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) work: Condvar,
    pub(crate) committed: AtomicU64,
    pub(crate) waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    pub(crate) list: Vec<(u64, Waker)>,
    /// Set once nothing more can become durable.
    pub(crate) broken: Option<String>,
}

/// Room kept back for the lines that the writer itself adds.
pub(crate) const OWN_LINES: u64 = 4096;

impl Queue {
    pub(crate) fn push(&mut self, member: &str, json: &[u8]) {
        let before = self.buffer.len();
        push_line(&mut self.buffer, &mut self.head, member, json);
        self.room = self.room.saturating_sub(self.buffer.len().saturating_sub(before) as u64);
    }

    /// Signs the head and chains the checkpoint to it. Under the lock, so that a checkpoint always
    /// speaks of the line right before it; that is some 30 µs a second.
    pub(crate) fn push_checkpoint(&mut self, shared: &Shared, is_final: bool) -> Checkpoint {
        let checkpoint = Checkpoint::sign(&shared.log, self.head, now().as_micros(), is_final, &shared.key);
        // Plain strings and numbers: serialising them does not fail.
        let json = serde_json::to_vec(&checkpoint).unwrap_or_default();
        self.push("checkpoint", &json);
        self.unsigned = 0;
        checkpoint
    }

    pub(crate) fn push_file_line(&mut self, shared: &Shared, number: u64, after: Option<String>) {
        let key = hex::encode(shared.key.verifying_key().as_bytes());
        let line = FileLine { number, log: shared.log.clone(), key, format: 1, after };
        self.push("file", &serde_json::to_vec(&line).unwrap_or_default());
    }
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// An append-only log of [`AuditEvent`]s. See the module documentation of `chain` for its form.
///
/// One thread writes all that is queued by one `write` and one `fdatasync`.
pub struct AuditLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the log is open.
    _lock: File,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("dir", &self.shared.dir).field("log", &self.shared.log).finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Opens the log in `dir`, or begins one there. What a crash left is put in order, and an entry
    /// says so.
    ///
    /// # Errors
    /// [`OpenError`]. A log whose signed part is damaged is not continued.
    pub fn open(dir: &Path, key: SigningKey, options: AuditOptions) -> Result<Arc<Self>, OpenError> {
        let io_in = |e| OpenError::io(dir, e);
        fs::create_dir_all(dir).map_err(io_in)?;
        let lock = lock(dir)?;
        let numbers = audit_files::numbers(dir).map_err(io_in)?;
        let (mut file, scan, mut notes) = match numbers.last() {
            Some(&last) => resume(dir, last, &key)?,
            None => begin(dir, &key)?,
        };
        let new_log = || hex::encode(rand::random::<[u8; 16]>());
        let (log, after) = match (scan.log.clone(), restored::read(dir).map_err(io_in)?) {
            (Some(before), Some(from)) => {
                file.release();
                file = LogFile::create(dir, file.number.saturating_add(1)).map_err(io_in)?;
                notes.push(restored::note(&from, &before, scan.head));
                (new_log(), Some(before))
            }
            (Some(log), None) => (log, None),
            (None, Some(_)) => {
                let what = "it was restored, and no line of it is there".to_owned();
                return Err(OpenError::Damaged { path: dir.to_owned(), seq: 0, what });
            }
            (None, None) => (new_log(), None),
        };
        let queue = Queue {
            head: scan.head,
            buffer: Vec::new(),
            room: 0,
            unsigned: 0,
            stop: false,
            writer_waits: false,
            urgent: false,
            refusal: Some("no room is reserved yet".to_owned()),
            shortage: None,
        };
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            options,
            key,
            log,
            committed: AtomicU64::new(scan.head.seq),
            queue: Mutex::new(queue),
            work: Condvar::new(),
            waiters: Mutex::default(),
        });
        let writer = audit_writer::start(Arc::clone(&shared), file, &notes, after).map_err(io_in)?;
        restored::forget(dir).map_err(io_in)?;
        Ok(Arc::new(Self { shared, writer: Mutex::new(Some(writer)), _lock: lock }))
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The last line that was accepted; not necessarily durable yet.
    pub fn head(&self) -> Head {
        self.shared.queue.lock().head
    }

    /// Why entries are refused at the moment, if they are.
    ///
    /// # Errors
    /// The reason.
    pub fn health(&self) -> Result<(), AuditUnavailable> {
        let queue = self.shared.queue.lock();
        let short = queue.shortage.as_ref().filter(|_| queue.room < OWN_LINES.saturating_mul(2));
        match queue.refusal.as_ref().or(short) {
            Some(reason) => Err(AuditUnavailable { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Blocks until `ticket` is durable: for threads. Tasks use [`AuditSink::poll_committed`].
    ///
    /// # Errors
    /// Where it can never become durable.
    pub fn wait(&self, ticket: Ticket) -> Result<(), AuditUnavailable> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            match self.poll_committed(ticket, &mut cx) {
                Poll::Ready(r) => return r,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// Writes what is queued, signs a final checkpoint and closes the log. Blocks on the disk.
    /// Appending is refused from then on. Dropping the log does the same.
    pub fn stop(&self) {
        self.shared.queue.lock().stop = true;
        self.shared.work.notify_all();
        if let Some(writer) = self.writer.lock().take() {
            // A writer that panicked has nothing left to say here.
            let _ = writer.join();
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Unpark(std::thread::Thread);
impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// Serialising needs no lock and, after the first time, no allocation.
    static JSON: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AuditSink for AuditLog {
    fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        JSON.with_borrow_mut(|json| {
            json.clear();
            let refuse = |reason: &str| Err(AuditUnavailable { reason: reason.to_owned() });
            if serde_json::to_writer(&mut *json, event).is_err() {
                return refuse("the entry cannot be serialised");
            }
            // What was done is done: nothing waits for its entry.
            let urgent = !matches!(event.kind, AuditKind::Completed { .. });
            let ticket = append_json(&self.shared, json, urgent);
            // One odd statement must not hold its memory in every thread for ever.
            json.shrink_to(64 << 10);
            ticket
        })
    }

    fn committed(&self) -> Ticket {
        Ticket(self.shared.committed.load(Ordering::Acquire))
    }

    fn poll_committed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        if self.committed() >= ticket {
            return Poll::Ready(Ok(()));
        }
        let mut waiters = self.shared.waiters.lock();
        // The writer publishes before it takes this lock to wake: looking again under the lock
        // leaves no moment in which a wake-up could be lost.
        if self.committed() >= ticket {
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = &waiters.broken {
            return Poll::Ready(Err(AuditUnavailable { reason: reason.clone() }));
        }
        let known = waiters.list.iter().any(|(t, w)| *t == ticket.0 && w.will_wake(cx.waker()));
        if !known {
            waiters.list.push((ticket.0, cx.waker().clone()));
        }
        Poll::Pending
    }
}

fn append_json(shared: &Shared, json: &[u8], urgent: bool) -> Result<Ticket, AuditUnavailable> {
    let len = line_len(json.len());
    let refuse = |reason: String| Err(AuditUnavailable { reason });
    if len > MAX_LINE {
        return refuse(format!("an entry of {len} bytes is longer than {MAX_LINE}"));
    }
    let mut queue = shared.queue.lock();
    if queue.stop {
        return refuse("the audit log is closed".to_owned());
    }
    if let Some(reason) = &queue.refusal {
        return refuse(reason.clone());
    }
    if queue.buffer.len().saturating_add(len) > shared.options.queue_bytes {
        return refuse(format!("{} bytes wait for the disk already", queue.buffer.len()));
    }
    if queue.room < (len as u64).saturating_add(OWN_LINES) {
        return refuse(queue.shortage.clone().unwrap_or_else(|| "no disk is set aside for it yet".to_owned()));
    }
    // The writer looks at the time only while something is unsigned; the first such entry wakes it.
    let urgent = urgent || queue.unsigned == 0 || queue.buffer.len() > shared.options.queue_bytes / 8;
    queue.urgent |= urgent;
    queue.push("event", json);
    queue.unsigned = queue.unsigned.saturating_add(1);
    let ticket = Ticket(queue.head.seq);
    let wake = urgent && std::mem::take(&mut queue.writer_waits);
    drop(queue);
    if wake {
        shared.work.notify_one();
    }
    Ok(ticket)
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(|e| OpenError::io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(fs::TryLockError::Error(e)) => Err(OpenError::io(&path, e)),
    }
}

/// What is to be written into the log about what was found on opening it.
pub(crate) type Notes = Vec<AuditEvent>;

fn note(what: String) -> AuditEvent {
    AuditEvent {
        time: now(),
        session: None,
        kind: AuditKind::Fault { at_fault: "gateway".to_owned(), what },
        parties: None,
    }
}

fn begin(dir: &Path, key: &SigningKey) -> Result<(LogFile, Scan, Notes), OpenError> {
    if let Some(c) = read_head(dir, key)? {
        let what = format!("the head file says that there are {} lines, but there is no file", c.seq);
        return Err(OpenError::Damaged { path: audit_files::head_path(dir), seq: 0, what });
    }
    let file = LogFile::create(dir, 1).map_err(|e| OpenError::io(dir, e))?;
    Ok((file, Scan::default(), Vec::new()))
}

fn resume(dir: &Path, last: u64, key: &SigningKey) -> Result<(LogFile, Scan, Notes), OpenError> {
    let path = dir.join(audit_files::file_name(last));
    let public = key.verifying_key();
    let mut number = last;
    let mut scan = audit_files::scan(dir, number, &public)?;
    let mut notes = Vec::new();
    // A crash between making a file and writing its first line leaves it empty, or with a torn line.
    let newest_is_void = scan.good == 0;
    if newest_is_void && last > 1 {
        set_aside(dir, number, &scan, &mut notes)?;
        fs::remove_file(&path).map_err(|e| OpenError::io(&path, e))?;
        number = last.saturating_sub(1);
        scan = audit_files::scan(dir, number, &public)?;
    }
    let damaged = |what: String| Err(OpenError::Damaged { path: path.clone(), seq: scan.head.seq, what });
    if let Some(c) = read_head(dir, key)? {
        if c.seq > scan.head.seq {
            return damaged(format!("line {} was signed and is not there. {}", c.seq, scan.why));
        }
        if c.is_final && scan.torn > 0 {
            return damaged(format!("the log was closed, yet more follows. {}", scan.why));
        }
    }
    if number != last && scan.torn > 0 {
        return damaged(format!("a later file follows. {}", scan.why));
    }
    set_aside(dir, number, &scan, &mut notes)?;
    if scan.unsigned > 0 {
        notes.push(note(format!(
            "the audit log was not closed: its last {} entries, up to {}, were not signed before",
            scan.unsigned, scan.head.seq
        )));
    }
    let file = LogFile::open_at(dir, number, scan.good).map_err(|e| OpenError::io(&path, e))?;
    file.release();
    Ok((file, scan, notes))
}

fn set_aside(dir: &Path, number: u64, scan: &Scan, notes: &mut Notes) -> Result<(), OpenError> {
    if scan.torn == 0 {
        return Ok(());
    }
    let aside = audit_files::set_torn_tail_aside(dir, number, scan).map_err(|e| OpenError::io(dir, e))?;
    let name = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    notes.push(note(format!(
        "{} bytes after line {} were torn and are in `{name}`: {}",
        scan.torn, scan.head.seq, scan.why
    )));
    Ok(())
}

fn read_head(dir: &Path, key: &SigningKey) -> Result<Option<Checkpoint>, OpenError> {
    let path = audit_files::head_path(dir);
    match fs::read_to_string(&path) {
        Ok(text) => {
            Ok(Checkpoint::from_note(&text, &key.verifying_key()).filter(|c| c.is_signed_by(&key.verifying_key())))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(OpenError::io(&path, e)),
    }
}
