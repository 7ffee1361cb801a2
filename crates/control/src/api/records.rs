//! What the interface reads besides the store, and what it keeps in memory: verifications, answers that may be repeated.
use super::{repeat::Repeats, verify::Verifications};
use crate::{
    evidence::Evidence,
    problem::Problem,
    types::{ExportView, IssuerEntry},
};
use axum::body::{Body, Bytes};
use futures_util::stream;
use std::{
    fmt::Debug,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

/// Long readings of logs and recordings at once: each has a thread.
const READINGS: usize = 8;
/// Logs and recordings that are given away at once: a slow reader holds one of these, and nothing of the others.
const STREAMS: usize = 16;
/// Who takes nothing of a stream for so long is cut off.
const STALL: Duration = Duration::from_secs(30);
/// Bytes that are handed on at once.
const CHUNK: usize = 64 << 10;

/// The exporters of the audit log.
pub trait ExportAccess: Send + Sync {
    /// How each stands.
    fn list(&self) -> Vec<ExportView>;
}

/// What the interface reads besides the store.
pub struct Records {
    pub(crate) evidence: Evidence,
    pub(crate) issuers: Vec<IssuerEntry>,
    pub(crate) exports: Arc<dyn ExportAccess>,
    pub(crate) verifications: Verifications,
    pub(crate) repeats: Repeats,
    /// Changes that depend on what is there come one after the other.
    changes: Arc<Mutex<()>>,
    readings: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({:?})", self.evidence)
    }
}

impl Records {
    /// Reads this evidence; `issuers` are those of the configuration.
    pub fn new(evidence: Evidence, issuers: Vec<IssuerEntry>, exports: Arc<dyn ExportAccess>) -> Self {
        Self {
            evidence,
            issuers,
            exports,
            verifications: Verifications::default(),
            repeats: Repeats::default(),
            changes: Arc::default(),
            readings: Arc::new(Semaphore::new(READINGS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// The turn for a change that depends on what is there: it goes along into the task that makes the change, so that a
    /// caller who hangs up lets nobody in before it is made.
    pub(crate) async fn change(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.changes).lock_owned().await
    }

    fn turn(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(of).try_acquire_owned();
        turn.map_err(|_| Problem::busy("too many logs and recordings are being read: try again in a moment"))
    }

    /// Reads files elsewhere than where connections are served.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Evidence) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (turn, evidence) = (Self::turn(&self.readings)?, self.evidence.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&evidence)
        });
        reading.await.map_err(|e| Problem::unavailable(&e))
    }

    /// A body that is written elsewhere while it is sent. Nothing is held for a reader who does not read; what fails once it
    /// has begun breaks the connection off, so that nobody takes a part for the whole.
    pub(crate) async fn stream<E>(
        &self,
        write: impl FnOnce(&Evidence, &mut Chunks) -> Result<(), E> + Send + 'static,
        problem: impl FnOnce(E) -> Problem,
    ) -> Result<Body, Problem>
    where
        E: std::fmt::Display + Send + 'static,
    {
        let (turn, evidence) = (Self::turn(&self.streams)?, self.evidence.clone());
        let (to, mut chunks) = mpsc::channel::<io::Result<Bytes>>(4);
        let mut out = Chunks { to: to.clone(), buffer: Vec::new(), runtime: Handle::current(), stall: STALL };
        let writing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let written = write(&evidence, &mut out);
            match &written {
                Ok(()) => drop(out.flush()),
                Err(e) => drop(out.send(Err(io::Error::other(e.to_string())))),
            }
            written
        });
        drop(to);
        let first = match chunks.recv().await {
            // It failed before there was anything to send, or there is nothing.
            None | Some(Err(_)) => match writing.await.map_err(|e| Problem::unavailable(&e))? {
                Ok(()) => return Ok(Body::empty()),
                Err(e) => return Err(problem(e)),
            },
            Some(first) => first,
        };
        let rest = stream::unfold((Some(first), chunks), |(first, mut chunks)| async move {
            let next = match first {
                Some(first) => Some(first),
                None => chunks.recv().await,
            };
            next.map(|chunk| (chunk, (None, chunks)))
        });
        Ok(Body::from_stream(rest))
    }
}

/// What is written goes on in chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    to: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    runtime: Handle,
    stall: Duration,
}

impl Chunks {
    /// Waits for the reader, but not for ever.
    fn send(&self, chunk: io::Result<Bytes>) -> io::Result<()> {
        let sent = self.runtime.block_on(async { timeout(self.stall, self.to.send(chunk)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads on")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the reader takes nothing")),
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.send(Ok(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_holds_no_thread() {
        let (to, chunks) = mpsc::channel(1);
        let stall = Duration::from_millis(50);
        let mut out = Chunks { to, buffer: Vec::new(), runtime: Handle::current(), stall };
        let writing = tokio::task::spawn_blocking(move || {
            (0..10).try_for_each(|_| out.write_all(&[0; CHUNK])).map_err(|e| e.kind())
        });
        assert_eq!(writing.await.unwrap(), Err(io::ErrorKind::TimedOut));
        drop(chunks);
    }
}
