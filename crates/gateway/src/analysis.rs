//! Threads with a big stack, where long or deep texts are read away from the async workers.
use doorward_sql::postgres::BIG_STACK;
use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

type Job = Box<dyn FnOnce() + Send>;

/// A small pool for texts that are too long to be read on an async worker.
#[derive(Debug)]
pub struct AnalysisPool {
    jobs: mpsc::SyncSender<Job>,
}

impl AnalysisPool {
    /// A pool of `threads` threads.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(1024);
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("analysis-{n}")).stack_size(BIG_STACK).spawn(move || {
                loop {
                    let job = match queue.lock() {
                        Ok(queue) => queue.recv(),
                        Err(_) => return,
                    };
                    let Ok(job) = job else { return };
                    job();
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Does a job on one of its threads. False if too many wait already.
    pub(crate) fn run(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}
