//! The one thread that writes the audit log.
use crate::{
    audit::{Notes, Queue, Shared, now},
    audit_files::{LogFile, file_name, write_head},
    chain::Checkpoint,
};
use parking_lot::MutexGuard;
use std::{
    io,
    sync::{Arc, atomic::Ordering},
    task::Waker,
    thread::JoinHandle,
    time::{Duration, Instant},
};

struct Writer {
    shared: Arc<Shared>,
    file: LogFile,
    spare: Vec<u8>,
    woken: Vec<Waker>,
    last_checkpoint: Instant,
    last_reserve: Instant,
}

/// How long an entry that nobody waits for may wait for one that somebody does.
const CARRY: Duration = Duration::from_millis(50);

/// What one round has to write.
struct Batch {
    bytes: Vec<u8>,
    last_seq: u64,
    checkpoint: Option<Checkpoint>,
    next_file: Option<LogFile>,
    stop: bool,
}

/// Puts the opening lines into the file, durably, and starts the thread.
pub(crate) fn start(
    shared: Arc<Shared>,
    file: LogFile,
    notes: &Notes,
    after: Option<String>,
) -> io::Result<JoinHandle<()>> {
    let now = Instant::now();
    let mut writer =
        Writer { shared, file, spare: Vec::new(), woken: Vec::new(), last_checkpoint: now, last_reserve: now };
    writer.open(notes, after)?;
    std::thread::Builder::new().name("audit-writer".to_owned()).spawn(move || writer.run())
}

impl Writer {
    fn open(&mut self, notes: &Notes, after: Option<String>) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue.lock();
        if queue.head.seq > 0 {
            // From here on the log is open again: a final head would call what follows an addition.
            let open = Checkpoint::sign(&shared.log, queue.head, now().as_micros(), false, &shared.key);
            write_head(&shared.dir, &open, &shared.key.verifying_key(), true)?;
        }
        if self.file.len == 0 {
            queue.push_file_line(&shared, self.file.number, after);
        }
        for event in notes {
            queue.push("event", &serde_json::to_vec(event)?);
        }
        let checkpoint = queue.push_checkpoint(&shared, false);
        let bytes = std::mem::take(&mut queue.buffer);
        let last = queue.head.seq;
        drop(queue);
        self.file.reserve((bytes.len() as u64).saturating_add(shared.options.reserve_bytes))?;
        self.file.write_durably(&bytes)?;
        self.publish(last);
        write_head(&shared.dir, &checkpoint, &shared.key.verifying_key(), true)?;
        let mut queue = shared.queue.lock();
        queue.room = self.file.reserved.saturating_sub(self.file.len);
        queue.refusal = None;
        Ok(())
    }

    fn run(mut self) {
        loop {
            let batch = self.next_batch();
            if let Err(e) = self.write(&batch.bytes) {
                self.fail(&format!("writing failed, restart to recover: {e}"));
                return;
            }
            self.publish(batch.last_seq);
            self.spare = batch.bytes;
            self.spare.clear();
            self.spare.shrink_to(1 << 20);
            if let Some(checkpoint) = &batch.checkpoint {
                // The head file lags for a while where the disk has no room for it; the log itself
                // holds the checkpoint, and the next one tries again.
                let key = self.shared.key.verifying_key();
                let _ = write_head(&self.shared.dir, checkpoint, &key, batch.stop);
            }
            if let Some(next) = batch.next_file {
                self.file.release();
                self.file = next;
            }
            if batch.stop {
                self.file.release();
                self.fail("the audit log is closed");
                return;
            }
            self.keep_room();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() { Ok(()) } else { self.file.write_durably(bytes) }
    }

    /// Waits for something to do and takes it.
    fn next_batch(&mut self) -> Batch {
        let shared = Arc::clone(&self.shared);
        let next_file = self.next_file();
        let mut queue = shared.queue.lock();
        self.wait(&shared, &mut queue);
        let stop = queue.stop;
        let rotate = next_file.is_some();
        let due = queue.unsigned >= shared.options.checkpoint_lines
            || (queue.unsigned > 0 && self.last_checkpoint.elapsed() >= shared.options.checkpoint_every);
        let checkpoint = (stop || rotate || due).then(|| {
            self.last_checkpoint = Instant::now();
            queue.push_checkpoint(&shared, stop)
        });
        let last_seq = queue.head.seq;
        let bytes = std::mem::replace(&mut queue.buffer, std::mem::take(&mut self.spare));
        if let Some(next) = next_file.as_ref().filter(|_| !stop) {
            queue.room = next.reserved;
            queue.push_file_line(&shared, next.number, None);
        }
        drop(queue);
        if let Some(unused) = next_file.as_ref().filter(|_| stop) {
            // Made ahead of need: left behind it would look like a file that was emptied. Should
            // removing it fail, the next open does.
            let _ = std::fs::remove_file(shared.dir.join(file_name(unused.number)));
        }
        Batch { bytes, last_seq, checkpoint, next_file: next_file.filter(|_| !stop), stop }
    }

    fn wait(&self, shared: &Shared, queue: &mut MutexGuard<'_, Queue>) {
        // Entries that nobody waits for are carried by the next that somebody waits for, or by time.
        while !queue.urgent && !queue.stop {
            let mut until = (queue.unsigned > 0).then(|| Instant::now() + CARRY);
            if queue.shortage.is_some() || queue.room < shared.options.reserve_bytes / 2 {
                until = self.last_reserve.checked_add(shared.options.retry_every);
            }
            if queue.unsigned > 0 {
                let due = self.last_checkpoint.checked_add(shared.options.checkpoint_every);
                until = match (until, due) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            queue.writer_waits = true;
            let timed_out = match until {
                Some(t) => shared.work.wait_until(queue, t).timed_out(),
                None => {
                    shared.work.wait(queue);
                    false
                }
            };
            queue.writer_waits = false;
            if timed_out {
                break;
            }
        }
        queue.urgent = false;
    }

    /// Makes the next file in good time. Without room for it the old one simply grows on.
    fn next_file(&self) -> Option<LogFile> {
        if self.file.len < self.shared.options.file_bytes {
            return None;
        }
        let number = self.file.number.checked_add(1)?;
        let mut next = LogFile::create(&self.shared.dir, number).ok()?;
        next.reserve(self.shared.options.reserve_bytes).ok()?;
        Some(next)
    }

    /// Sets more disk aside when half of it is used up. Where there is none, appending refuses as
    /// soon as the rest is used up, and this tries again every now and then.
    fn keep_room(&mut self) {
        let shared = Arc::clone(&self.shared);
        let (scarce, short) = {
            let queue = shared.queue.lock();
            (queue.room < shared.options.reserve_bytes / 2, queue.shortage.is_some())
        };
        let lately = self.last_reserve.elapsed() < shared.options.retry_every;
        if !(scarce || short) || (short && lately) {
            return;
        }
        self.last_reserve = Instant::now();
        let result = self.file.reserve(shared.options.reserve_bytes);
        let mut queue = shared.queue.lock();
        match result {
            Ok(more) => {
                queue.room = queue.room.saturating_add(more);
                queue.shortage = None;
            }
            Err(e) if e.kind() == io::ErrorKind::StorageFull => queue.shortage = Some(format!("disk full: {e}")),
            Err(e) => queue.shortage = Some(format!("no disk can be set aside: {e}")),
        }
    }

    fn publish(&mut self, seq: u64) {
        self.shared.committed.store(seq, Ordering::Release);
        let mut waiters = self.shared.waiters.lock();
        let woken = &mut self.woken;
        waiters.list.retain(|(ticket, waker)| {
            let done = *ticket <= seq;
            if done {
                woken.push(waker.clone());
            }
            !done
        });
        drop(waiters);
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// Nothing more will be written: everybody hears of it.
    fn fail(&self, reason: &str) {
        {
            let mut queue = self.shared.queue.lock();
            queue.refusal = Some(reason.to_owned());
            queue.buffer = Vec::new();
        }
        let mut waiters = self.shared.waiters.lock();
        waiters.broken = Some(reason.to_owned());
        let list = std::mem::take(&mut waiters.list);
        drop(waiters);
        list.into_iter().for_each(|(_, w)| w.wake());
    }
}
