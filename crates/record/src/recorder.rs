//! Writing recordings: a cheap handle per session, a few threads for all of them.
use crate::{
    recorder_thread,
    recording::{
        BLOCK, Direction, FRAME_CLIENT, FRAME_GAP, FRAME_META, FRAME_REDACTED_CLIENT, FRAME_REDACTED_UPSTREAM,
        FRAME_UPSTREAM, Footer, MAX_FRAME, RecordingMeta, put_varint,
    },
};
use doorward_model::Timestamp;
use ed25519_dalek::SigningKey;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread::JoinHandle,
    time::Duration,
};

/// How recordings are written. The default is meant for production.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// The zstd level; negative ones are faster.
    pub level: i32,
    /// Threads that compress and write.
    pub threads: usize,
    /// A frame is with the system at most this long after it was given, the disk permitting.
    pub flush_every: Duration,
    /// Bytes of one session that may wait for the disk before [`Recording::poll_ready`] says wait.
    /// Eight times as many are kept at most; what comes beyond becomes a gap frame.
    pub session_bytes: usize,
    /// The same for all sessions together; twice as many are kept at most.
    pub store_bytes: usize,
    /// How often the disk is tried again while it is full.
    pub retry_every: Duration,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            level: 1,
            threads: 2,
            flush_every: Duration::from_millis(200),
            session_bytes: 512 << 10,
            store_bytes: 256 << 20,
            retry_every: Duration::from_millis(200),
        }
    }
}

/// What the threads do for one recording, in order.
#[derive(Debug)]
pub(crate) enum Work {
    Begin(Box<RecordingMeta>),
    Block(Block),
    Finish(Footer),
}

/// Frames on their way to the disk, with the totals after them.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) raw: Vec<u8>,
    pub(crate) frames: u32,
    pub(crate) first_frame: u64,
    pub(crate) time: u64,
    pub(crate) client_bytes: u64,
    pub(crate) upstream_bytes: u64,
    pub(crate) lost_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) inner: Arc<Inner>,
    pub(crate) work: Work,
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) jobs: Mutex<VecDeque<Job>>,
    pub(crate) work: Condvar,
    /// Why the lane's thread cannot write at the moment.
    pub(crate) trouble: Mutex<Option<String>>,
}

pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) key: SigningKey,
    pub(crate) options: RecordOptions,
    pub(crate) lanes: Vec<Lane>,
    next_lane: AtomicUsize,
    /// Recordings whose buffer holds something.
    pub(crate) dirty: Mutex<Vec<Arc<Inner>>>,
    pub(crate) dirty_work: Condvar,
    pub(crate) backlog: AtomicUsize,
    waiters: Mutex<Vec<Waker>>,
    pub(crate) spare: Mutex<Vec<Vec<u8>>>,
    pub(crate) stop: AtomicBool,
}

/// The directory of recordings and the threads that write them.
pub struct RecordStore {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for RecordStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStore").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl RecordStore {
    /// Opens the store in `dir` (made if missing) and starts its threads.
    ///
    /// # Errors
    /// Where the directory or a thread cannot be made.
    pub fn open(dir: &Path, key: SigningKey, options: RecordOptions) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            key,
            lanes: (0..options.threads.max(1)).map(|_| Lane::default()).collect(),
            options,
            next_lane: AtomicUsize::new(0),
            dirty: Mutex::default(),
            dirty_work: Condvar::new(),
            backlog: AtomicUsize::new(0),
            waiters: Mutex::default(),
            spare: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let threads = recorder_thread::start(&shared)?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// The file of a session's recording.
    pub fn path_of(&self, session: &str) -> PathBuf {
        path_of(&self.shared.dir, session)
    }

    /// Begins a recording. Does not touch the disk.
    pub fn start(&self, meta: RecordingMeta) -> Recording {
        let lanes = self.shared.lanes.len().max(1);
        let inner = Arc::new(Inner {
            lane: self.shared.next_lane.fetch_add(1, Ordering::Relaxed) % lanes,
            store: Arc::clone(&self.shared),
            state: Mutex::new(State { last_time: meta.started.as_micros(), ..State::default() }),
            backlog: AtomicUsize::new(0),
            waker: Mutex::new(None),
            broken: Mutex::new(None),
            out: Mutex::new(None),
            path: path_of(&self.shared.dir, &meta.session),
        });
        inner.hand_over(Work::Begin(Box::new(meta)), 0);
        Recording { inner }
    }

    /// Why recordings cannot be written at the moment, if so.
    ///
    /// # Errors
    /// The reason.
    pub fn health(&self) -> Result<(), String> {
        let trouble = self.shared.lanes.iter().find_map(|l| l.trouble.lock().clone());
        trouble.map_or(Ok(()), Err)
    }

    /// Writes all that was given, then ends the threads. Recordings that are not finished by then
    /// have no footer. What the disk does not take is lost. Dropping the store does the same.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.lock().drain(..) {
            self.shared.wake_all();
            // A thread that panicked has nothing left to say here.
            let _ = thread.join();
        }
    }
}

impl Drop for RecordStore {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A session's file. Names that could leave the directory are replaced by their bytes in hexadecimal.
fn path_of(dir: &Path, session: &str) -> PathBuf {
    let plain = !session.is_empty() && session.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let name = if plain { session.to_owned() } else { format!("x{}", hex::encode(session)) };
    dir.join(format!("{name}.dwr"))
}

impl Shared {
    pub(crate) fn wake_all(&self) {
        // Under each lock: a thread between looking and waiting would miss it otherwise.
        {
            let _guard = self.dirty.lock();
            self.dirty_work.notify_all();
        }
        for lane in &self.lanes {
            let _guard = lane.jobs.lock();
            lane.work.notify_all();
        }
    }

    pub(crate) fn wake_waiters(&self) {
        if self.backlog.load(Ordering::Acquire) < self.options.store_bytes {
            self.wake_all_waiters();
        }
    }

    pub(crate) fn wake_all_waiters(&self) {
        let woken = std::mem::take(&mut *self.waiters.lock());
        woken.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    frames: u32,
    base_time: u64,
    last_time: u64,
    next_frame: u64,
    client_bytes: u64,
    upstream_bytes: u64,
    lost_bytes: u64,
    /// Lost since the last gap frame: from the client, to the client.
    gap: (u64, u64),
    dirty: bool,
    bulk: bool,
    ended: bool,
}

/// What handle and threads share of one recording.
pub(crate) struct Inner {
    pub(crate) store: Arc<Shared>,
    lane: usize,
    state: Mutex<State>,
    pub(crate) backlog: AtomicUsize,
    pub(crate) waker: Mutex<Option<Waker>>,
    /// Why this one recording cannot go on.
    pub(crate) broken: Mutex<Option<String>>,
    /// The open file; only the lane's thread uses it.
    pub(crate) out: Mutex<Option<recorder_thread::Out>>,
    pub(crate) path: PathBuf,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Inner {
    fn hand_over(self: &Arc<Self>, work: Work, bytes: usize) {
        self.backlog.fetch_add(bytes, Ordering::AcqRel);
        self.store.backlog.fetch_add(bytes, Ordering::AcqRel);
        if let Some(lane) = self.store.lanes.get(self.lane) {
            lane.jobs.lock().push_back(Job { inner: Arc::clone(self), work });
            lane.work.notify_one();
        }
    }

    /// Hands the buffer over, if it holds something.
    fn flush(self: &Arc<Self>, state: &mut State) {
        if state.buffer.is_empty() {
            return;
        }
        let raw = std::mem::take(&mut state.buffer);
        let bytes = raw.len();
        let block = Block {
            raw,
            frames: state.frames,
            first_frame: state.next_frame.saturating_sub(u64::from(state.frames)),
            time: state.base_time,
            client_bytes: state.client_bytes,
            upstream_bytes: state.upstream_bytes,
            lost_bytes: state.lost_bytes,
        };
        state.frames = 0;
        self.hand_over(Work::Block(block), bytes);
    }

    pub(crate) fn flush_by_timer(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.dirty = false;
        state.bulk = false;
        self.flush(&mut state);
    }

    fn put(self: &Arc<Self>, state: &mut State, kind: u8, time: Timestamp, parts: [&[u8]; 3]) {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        if !state.buffer.is_empty() && state.buffer.len().saturating_add(len) > BLOCK {
            state.bulk = true;
            self.flush(state);
        }
        if state.buffer.is_empty() {
            state.base_time = state.last_time;
            if state.bulk {
                let spare = self.store.spare.lock().pop();
                state.buffer = spare.unwrap_or_else(|| Vec::with_capacity(BLOCK + 64));
            }
        }
        // A clock that steps back does not make time run backwards here.
        let time = time.as_micros().max(state.last_time);
        state.buffer.push(kind);
        put_varint(&mut state.buffer, time.saturating_sub(state.last_time));
        put_varint(&mut state.buffer, len as u64);
        parts.iter().for_each(|p| state.buffer.extend_from_slice(p));
        state.last_time = time;
        state.frames = state.frames.saturating_add(1);
        state.next_frame = state.next_frame.saturating_add(1);
        if !state.dirty {
            state.dirty = true;
            self.store.dirty.lock().push(Arc::clone(self));
            self.store.dirty_work.notify_one();
        }
    }

    /// Whether memory for more bytes is there; writes the gap frame that is due once it is again.
    fn has_room(self: &Arc<Self>, state: &mut State, time: Timestamp) -> bool {
        let o = &self.store.options;
        let full = self.backlog.load(Ordering::Acquire) > o.session_bytes.saturating_mul(8)
            || self.store.backlog.load(Ordering::Acquire) > o.store_bytes.saturating_mul(2);
        if !full && state.gap != (0, 0) {
            self.put_gap(state, time);
        }
        !full
    }

    fn put_gap(self: &Arc<Self>, state: &mut State, time: Timestamp) {
        let (client, upstream) = std::mem::take(&mut state.gap);
        let mut note = Vec::new();
        put_varint(&mut note, client);
        put_varint(&mut note, upstream);
        self.put(state, FRAME_GAP, time, [&note, &[], &[]]);
        Self::count(state, Direction::Client, client);
        Self::count(state, Direction::Upstream, upstream);
        state.lost_bytes = state.lost_bytes.saturating_add(client).saturating_add(upstream);
    }

    fn lose(state: &mut State, direction: Direction, len: u64) {
        match direction {
            Direction::Client => state.gap.0 = state.gap.0.saturating_add(len),
            Direction::Upstream => state.gap.1 = state.gap.1.saturating_add(len),
        }
    }

    /// After the frame is in the buffer: a block's totals speak of its own frames and those before.
    fn count(state: &mut State, direction: Direction, len: u64) {
        match direction {
            Direction::Client => state.client_bytes = state.client_bytes.saturating_add(len),
            Direction::Upstream => state.upstream_bytes = state.upstream_bytes.saturating_add(len),
        }
    }

    fn end(self: &Arc<Self>, reason: &str, finished: bool, time: Option<Timestamp>) {
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        state.ended = true;
        let time = time.map_or(state.last_time, Timestamp::as_micros).max(state.last_time);
        if state.gap != (0, 0) {
            self.put_gap(&mut state, Timestamp::from_micros(time));
        }
        self.flush(&mut state);
        let footer = Footer {
            reason: reason.to_owned(),
            finished,
            frames: state.next_frame,
            client_bytes: state.client_bytes,
            upstream_bytes: state.upstream_bytes,
            lost_bytes: state.lost_bytes,
            ended: time,
        };
        self.hand_over(Work::Finish(footer), 0);
    }
}

/// The handle of one session's recording. Nothing here blocks on the disk.
#[derive(Debug)]
pub struct Recording {
    inner: Arc<Inner>,
}

impl Recording {
    /// Adds bytes as they go over the wire. The caller has redacted them.
    pub fn frame(&self, direction: Direction, time: Timestamp, bytes: &[u8]) {
        let kind = match direction {
            Direction::Client => FRAME_CLIENT,
            Direction::Upstream => FRAME_UPSTREAM,
        };
        let mut state = self.inner.state.lock();
        for piece in bytes.chunks(MAX_FRAME) {
            if !state.ended && self.inner.has_room(&mut state, time) {
                self.inner.put(&mut state, kind, time, [piece, &[], &[]]);
                Inner::count(&mut state, direction, piece.len() as u64);
            } else {
                Inner::lose(&mut state, direction, piece.len() as u64);
            }
        }
    }

    /// Adds a placeholder for `len` bytes that are left out on purpose.
    pub fn redacted(&self, direction: Direction, time: Timestamp, len: u64, why: &str) {
        let kind = match direction {
            Direction::Client => FRAME_REDACTED_CLIENT,
            Direction::Upstream => FRAME_REDACTED_UPSTREAM,
        };
        let mut note = Vec::new();
        put_varint(&mut note, len);
        let mut state = self.inner.state.lock();
        if !state.ended && self.inner.has_room(&mut state, time) {
            let why = why.as_bytes().get(..why.len().min(1024)).unwrap_or_default();
            self.inner.put(&mut state, kind, time, [&note, why, &[]]);
            Inner::count(&mut state, direction, len);
        } else {
            Inner::lose(&mut state, direction, len);
        }
    }

    /// Adds what was learnt of the session, such as the principal. More than 64 KiB is left out.
    pub fn meta(&self, time: Timestamp, json: &serde_json::Value) {
        let text = json.to_string();
        let mut state = self.inner.state.lock();
        if text.len() <= MAX_FRAME && !state.ended {
            self.inner.put(&mut state, FRAME_META, time, [text.as_bytes(), &[], &[]]);
        }
    }

    /// Bytes that wait for the disk.
    pub fn backlog(&self) -> usize {
        self.inner.backlog.load(Ordering::Acquire)
    }

    /// Ready while little enough waits for the disk; otherwise wakes the task when it does. A session
    /// that reads no more from its peers until then loses nothing and stays small.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (inner, store) = (&self.inner, &self.inner.store);
        let session = || inner.backlog.load(Ordering::Acquire) < store.options.session_bytes;
        let all = || store.backlog.load(Ordering::Acquire) < store.options.store_bytes;
        if session() && all() {
            return Poll::Ready(());
        }
        // Registered first, looked at again after: no wake-up falls between.
        *inner.waker.lock() = Some(cx.waker().clone());
        if session() {
            let mut waiters = store.waiters.lock();
            if !waiters.iter().any(|w| w.will_wake(cx.waker())) {
                waiters.push(cx.waker().clone());
            }
        }
        if session() && all() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether what is recorded reaches the disk. While it does not, requests must be refused; it
    /// recovers by itself when space returns.
    ///
    /// # Errors
    /// What is wrong.
    pub fn health(&self) -> Result<(), String> {
        if let Some(reason) = self.inner.broken.lock().clone() {
            return Err(reason);
        }
        let lane = self.inner.store.lanes.get(self.inner.lane);
        lane.and_then(|l| l.trouble.lock().clone()).map_or(Ok(()), Err)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Ends the recording with a signed footer that gives the reason.
    pub fn finish(self, time: Timestamp, reason: &str) {
        self.end(time, reason);
    }

    /// As [`finish`](Self::finish), where several tasks share the recording. Nothing is kept after it.
    pub fn end(&self, time: Timestamp, reason: &str) {
        self.inner.end(reason, true, Some(time));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.inner.end("the session was dropped", false, None);
    }
}
