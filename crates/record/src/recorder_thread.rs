//! The threads behind [`crate::RecordStore`]: they compress, hash and write blocks, and flush what
//! has waited long enough.
use crate::{
    recorder::{Block, Inner, Job, Lane, Shared, Work},
    recording::{BLOCK, BlockHeader, Footer, HEADER, MAGIC, RecordingMeta, block_hash, sign},
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

/// How often an error other than a full disk is tried again before the recording is given up.
const TRIES: u32 = 5;

/// An open recording file: where the next block goes, and what it is chained to.
#[derive(Debug)]
pub(crate) struct Out {
    file: File,
    offset: u64,
    prev: [u8; 32],
}

pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    let store = Arc::clone(shared);
    threads.push(std::thread::Builder::new().name("record-timer".to_owned()).spawn(move || flush_by_timer(&store))?);
    for i in 0..shared.lanes.len() {
        let store = Arc::clone(shared);
        let compressor = zstd::bulk::Compressor::new(shared.options.level)?;
        let worker = Worker { store, lane: i, compressor, block: Vec::new(), packed: Vec::new() };
        threads.push(std::thread::Builder::new().name(format!("record-{i}")).spawn(move || worker.run())?);
    }
    Ok(threads)
}

fn flush_by_timer(store: &Shared) {
    let mut stopping = false;
    while !stopping {
        let mut dirty = store.dirty.lock();
        if dirty.is_empty() && !store.stop.load(Ordering::SeqCst) {
            store.dirty_work.wait(&mut dirty);
        }
        drop(dirty);
        if !store.stop.load(Ordering::SeqCst) {
            // Half the promised time: what comes right after this round waits for the next.
            std::thread::sleep(store.options.flush_every / 2);
        }
        stopping = store.stop.load(Ordering::SeqCst);
        let list = std::mem::take(&mut *store.dirty.lock());
        list.iter().for_each(Inner::flush_by_timer);
    }
}

struct Worker {
    store: Arc<Shared>,
    lane: usize,
    compressor: zstd::bulk::Compressor<'static>,
    block: Vec<u8>,
    packed: Vec<u8>,
}

impl Worker {
    fn run(mut self) {
        let store = Arc::clone(&self.store);
        let Some(lane) = store.lanes.get(self.lane) else { return };
        while let Some(job) = next_job(&store, lane) {
            let bytes = match &job.work {
                Work::Block(b) => b.raw.len(),
                Work::Begin(_) | Work::Finish(_) => 0,
            };
            self.do_job(lane, &job);
            self.settle(job, bytes);
        }
    }

    /// Gives back what the job held and wakes who waits for that.
    fn settle(&self, job: Job, bytes: usize) {
        job.inner.backlog.fetch_sub(bytes, Ordering::AcqRel);
        self.store.backlog.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(waker) = job.inner.waker.lock().take() {
            waker.wake();
        }
        self.store.wake_waiters();
        if let Work::Block(Block { mut raw, .. }) = job.work
            && raw.capacity() >= BLOCK
        {
            raw.clear();
            let mut spare = self.store.spare.lock();
            if spare.len() < 16 {
                spare.push(raw);
            }
        }
    }

    /// Tries until it is done. A full disk holds up the lane: the other recordings on it could not be
    /// written either.
    fn do_job(&mut self, lane: &Lane, job: &Job) {
        let mut tries = 0u32;
        while job.inner.broken.lock().is_none() {
            let Err(e) = self.attempt(job) else {
                lane.trouble.lock().take();
                return;
            };
            let full = matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            tries = tries.saturating_add(1);
            let stopping = self.store.stop.load(Ordering::SeqCst);
            if stopping || (!full && tries >= TRIES) {
                *job.inner.broken.lock() = Some(format!("the recording cannot be written: {e}"));
                break;
            }
            let what = if full { "disk full" } else { "the recording cannot be written" };
            *lane.trouble.lock() = Some(format!("{what}: {e}"));
            self.tell_of_trouble(lane, job);
            let mut jobs = lane.jobs.lock();
            if !self.store.stop.load(Ordering::SeqCst) {
                let until = std::time::Instant::now().checked_add(self.store.options.retry_every);
                while until.is_some_and(|u| !lane.work.wait_until(&mut jobs, u).timed_out())
                    && !self.store.stop.load(Ordering::SeqCst)
                {}
            }
        }
        lane.trouble.lock().take();
    }

    /// Sessions that wait for room look at [`Recording::health`](crate::Recording::health) again, and refuse.
    fn tell_of_trouble(&self, lane: &Lane, job: &Job) {
        let waiting: Vec<_> = lane.jobs.lock().iter().map(|j| Arc::clone(&j.inner)).collect();
        for inner in waiting.iter().chain([&job.inner]) {
            if let Some(waker) = inner.waker.lock().take() {
                waker.wake();
            }
        }
        self.store.wake_all_waiters();
    }

    fn attempt(&mut self, job: &Job) -> io::Result<()> {
        let mut slot = job.inner.out.lock();
        match &job.work {
            Work::Begin(meta) => self.begin(&job.inner, &mut slot, meta),
            Work::Block(block) => self.write_block(out(&mut slot)?, block),
            Work::Finish(footer) => {
                self.finish(out(&mut slot)?, footer)?;
                *slot = None;
                Ok(())
            }
        }
    }

    fn begin(&mut self, inner: &Inner, slot: &mut Option<Out>, meta: &RecordingMeta) -> io::Result<()> {
        if slot.is_none() {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&inner.path)?;
            *slot = Some(Out { file, offset: 0, prev: [0; 32] });
        }
        let out = out(slot)?;
        out.file.write_all_at(MAGIC, 0)?;
        let offset = MAGIC.len() as u64;
        let mut at = Out { file: out.file.try_clone()?, offset, prev: [0; 32] };
        let head = BlockHeader { kind: b'H', time: meta.started.as_micros(), offset, ..BlockHeader::default() };
        self.write_signed(&mut at, head, &serde_json::to_vec(meta)?)?;
        *slot = Some(at);
        Ok(())
    }

    fn write_block(&mut self, out: &mut Out, block: &Block) -> io::Result<()> {
        let mut head = BlockHeader {
            kind: b'D',
            compression: 1,
            raw_len: len_u32(block.raw.len())?,
            frames: block.frames,
            first_frame: block.first_frame,
            time: block.time,
            client_bytes: block.client_bytes,
            upstream_bytes: block.upstream_bytes,
            lost_bytes: block.lost_bytes,
            offset: out.offset,
            prev: out.prev,
            ..BlockHeader::default()
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(block.raw.len()));
        let packed = self.compressor.compress_to_buffer(&block.raw, &mut self.packed);
        let payload = match packed {
            Ok(n) if n < block.raw.len() => &self.packed,
            Ok(_) | Err(_) => {
                head.compression = 0;
                &block.raw
            }
        };
        head.stored_len = len_u32(payload.len())?;
        self.block.clear();
        head.write(&mut self.block);
        self.block.extend_from_slice(payload);
        self.write_out(out)
    }

    fn finish(&mut self, out: &mut Out, footer: &Footer) -> io::Result<()> {
        let head = BlockHeader {
            kind: b'F',
            first_frame: footer.frames,
            time: footer.ended,
            client_bytes: footer.client_bytes,
            upstream_bytes: footer.upstream_bytes,
            lost_bytes: footer.lost_bytes,
            offset: out.offset,
            prev: out.prev,
            ..BlockHeader::default()
        };
        self.write_signed(out, head, &serde_json::to_vec(footer)?)
    }

    fn write_signed(&mut self, out: &mut Out, mut head: BlockHeader, json: &[u8]) -> io::Result<()> {
        let len = len_u32(json.len().saturating_add(crate::recording::SIGNATURE))?;
        head.raw_len = len;
        head.stored_len = len;
        self.block.clear();
        head.write(&mut self.block);
        self.block.extend_from_slice(json);
        let signature = sign(&self.store.key, &self.block);
        self.block.extend_from_slice(&signature);
        self.write_out(out)
    }

    /// Adds the hash and writes the block where it belongs: trying again overwrites a torn one.
    fn write_out(&mut self, out: &mut Out) -> io::Result<()> {
        debug_assert!(self.block.len() >= HEADER);
        let hash = block_hash(&self.block);
        self.block.extend_from_slice(&hash);
        out.file.write_all_at(&self.block, out.offset)?;
        out.offset = out.offset.saturating_add(self.block.len() as u64);
        out.prev = hash;
        Ok(())
    }
}

fn out(slot: &mut Option<Out>) -> io::Result<&mut Out> {
    slot.as_mut().ok_or_else(|| io::Error::other("the recording was not begun"))
}

fn len_u32(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(|_| io::Error::other("a block is too long"))
}

fn next_job(store: &Shared, lane: &Lane) -> Option<Job> {
    let mut jobs = lane.jobs.lock();
    loop {
        if let Some(job) = jobs.pop_front() {
            return Some(job);
        }
        if store.stop.load(Ordering::SeqCst) {
            return None;
        }
        lane.work.wait(&mut jobs);
    }
}
