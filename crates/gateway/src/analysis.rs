//! Threads with a big stack, where long or deep texts are read away from the async workers.
use doorward_sql::postgres::{Analysis, BIG_STACK, Environment, SqlError, analyse};
use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};

type Answer = Box<dyn FnOnce(Result<Arc<Analysis>, SqlError>) + Send>;
type Job = (Arc<str>, Arc<Environment>, Answer);

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
                    let Ok((text, environment, answer)) = job else { return };
                    answer(analyse(&text, &environment).map(Arc::new));
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Reads a text; `answer` is called from another thread. False if too many texts wait already.
    pub fn read(&self, text: Arc<str>, environment: Arc<Environment>, answer: Answer) -> bool {
        self.jobs.try_send((text, environment, answer)).is_ok()
    }
}
