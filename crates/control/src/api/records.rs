//! What the interface reads besides the store, and what it keeps in memory: verifications, answers that may be repeated.
use super::{
    repeat::Repeats,
    replays::Replays,
    turns::{Turn, Turns},
    verify::Verifications,
};
use crate::{
    evidence::Evidence,
    problem::Problem,
    types::{ExportView, IssuerEntry},
};
use axum::body::{Body, Bytes};
use doorward_model::Principal;
use futures_util::stream;
use std::{
    fmt::Debug,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, mpsc},
    time::timeout,
};

/// Long readings of logs and recordings at once: each has a thread.
const READINGS: usize = 8;
/// Of these, those of one principal.
const READINGS_OF_ONE: usize = 3;
/// Logs and recordings that are given away at once: a slow reader holds one of these, and nothing of the others.
const STREAMS: usize = 16;
/// Of these, those of one principal.
const STREAMS_OF_ONE: usize = 4;
/// Who takes nothing of a stream for so long is cut off.
const STALL: Duration = Duration::from_secs(30);
/// After so long an answer begins, whether or not there is anything to send: a search may find nothing for long.
const BEGIN: Duration = Duration::from_secs(5);
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
    pub(crate) replays: Replays,
    /// Changes that depend on what is there come one after the other.
    changes: Arc<Mutex<()>>,
    readings: Turns,
    streams: Turns,
    stall: Duration,
    begin: Duration,
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
            replays: Replays::default(),
            changes: Arc::default(),
            readings: Turns::new(READINGS, READINGS_OF_ONE),
            streams: Turns::new(STREAMS, STREAMS_OF_ONE),
            stall: STALL,
            begin: BEGIN,
        }
    }

    /// The turn for a change that depends on what is there: it goes along into the task that makes the change, so that a
    /// caller who hangs up lets nobody in before it is made.
    pub(crate) async fn change(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.changes).lock_owned().await
    }

    async fn turn(of: &Turns, who: &Principal) -> Result<Turn, Problem> {
        let why = "too many logs and recordings are being read, by you or by all: try again in a moment";
        of.take(who).await.ok_or_else(|| Problem::busy(why))
    }

    /// Reads files for somebody elsewhere than where connections are served.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        who: &Principal,
        read: impl FnOnce(&Evidence) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (turn, evidence) = (Self::turn(&self.readings, who).await?, self.evidence.clone());
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
        who: &Principal,
        write: impl FnOnce(&Evidence, &mut Chunks) -> Result<(), E> + Send + 'static,
        problem: impl FnOnce(E) -> Problem,
    ) -> Result<Body, Problem>
    where
        E: std::fmt::Display + From<io::Error> + Send + 'static,
    {
        let (turn, evidence) = (Self::turn(&self.streams, who).await?, self.evidence.clone());
        let (to, mut chunks) = mpsc::channel::<Bytes>(4);
        let mut out = Chunks { to, buffer: Vec::new(), runtime: Handle::current(), stall: self.stall };
        let writing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            write(&evidence, &mut out)?;
            Ok::<_, E>(out.flush()?)
        });
        let first = match timeout(self.begin, chunks.recv()).await {
            // It failed before there was anything to send, or there is nothing.
            Ok(None) => match writing.await.map_err(|e| Problem::unavailable(&e))? {
                Ok(()) => return Ok(Body::empty()),
                Err(e) => return Err(problem(e)),
            },
            Ok(first) => first,
            Err(_) => None,
        };
        Ok(Body::from_stream(stream::unfold(Some((first, chunks, writing)), |at| async move {
            let (first, mut chunks, writing) = at?;
            let chunk = match first {
                Some(first) => Some(first),
                None => chunks.recv().await,
            };
            if let Some(chunk) = chunk {
                return Some((Ok(chunk), Some((None, chunks, writing))));
            }
            // INVARIANT: it ends as what is whole ends only where all of it was written.
            let why = match writing.await {
                Ok(Ok(())) => return None,
                Ok(Err(e)) => e.to_string(),
                Err(e) => e.to_string(),
            };
            tracing::warn!("a log or recording was not given away whole: {why}");
            Some((Err(io::Error::other(why)), None))
        })))
    }
}

/// What is written goes on in chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    to: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    runtime: Handle,
    stall: Duration,
}

impl Chunks {
    /// # Errors
    /// Where nobody reads any more. What looks through much before it has something to write asks now and then.
    pub(crate) fn still_read(&self) -> io::Result<()> {
        if self.to.is_closed() { Err(gone()) } else { Ok(()) }
    }

    /// Waits for the reader, but not for ever.
    fn send(&self, chunk: Bytes) -> io::Result<()> {
        let sent = self.runtime.block_on(async { timeout(self.stall, self.to.send(chunk)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the reader takes nothing")),
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads on")
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
        self.send(chunk)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{super::turns::tests::person, *};
    use futures_util::StreamExt as _;
    use std::sync::mpsc as std_mpsc;

    struct NoExports;

    impl ExportAccess for NoExports {
        fn list(&self) -> Vec<ExportView> {
            Vec::new()
        }
    }

    /// Of nothing, for readers that are slow soon.
    pub(crate) fn records() -> Records {
        let records = Records::new(Evidence::of("/nowhere".as_ref()), Vec::new(), Arc::new(NoExports));
        Records { stall: Duration::from_millis(50), begin: Duration::from_millis(50), ..records }
    }

    async fn body(
        records: &Records,
        write: impl FnOnce(&mut Chunks) -> io::Result<()> + Send + 'static,
    ) -> Result<Body, Problem> {
        let who = person("ada");
        records.stream(&who, move |_, out: &mut Chunks| write(out), |e| Problem::unavailable(&e)).await
    }

    #[tokio::test]
    async fn who_takes_nothing_holds_no_thread_and_does_not_take_a_part_for_the_whole() {
        let records = records();
        let (done, written) = tokio::sync::oneshot::channel();
        let body = body(&records, |out| {
            let written = (0..10).try_for_each(|_| out.write_all(&[0; CHUNK]));
            let _nobody = done.send(written.as_ref().map_err(io::Error::kind).err());
            written
        });
        let mut body = body.await.unwrap().into_data_stream();
        assert_eq!(written.await.unwrap(), Some(io::ErrorKind::TimedOut));
        let mut pieces = Vec::new();
        while let Some(piece) = body.next().await {
            pieces.push(piece.map(|p| p.len()).map_err(drop));
        }
        assert_eq!(pieces.pop(), Some(Err(())), "it is said that it is not whole");
        assert!(pieces.iter().all(Result::is_ok) && pieces.len() < 10, "{pieces:?}");
    }

    #[tokio::test]
    async fn the_last_piece_counts_as_well() {
        let (records, ada) = (records(), person("ada"));
        // As much as there is room for, and a piece that is handed on at the end.
        let body = body(&records, |out| {
            (0..5).try_for_each(|_| out.write_all(&[0; CHUNK]))?;
            out.write_all(b"the last")
        });
        let mut body = body.await.unwrap().into_data_stream();
        // All of hers are free again: the writing is over.
        let mut turns = Vec::new();
        for _ in 0..STREAMS_OF_ONE {
            turns.push(records.streams.take(&ada).await.unwrap());
        }
        let mut last = None;
        while let Some(piece) = body.next().await {
            last = Some(piece.is_ok());
        }
        assert_eq!(last, Some(false));
    }

    #[tokio::test]
    async fn an_answer_begins_before_anything_is_found() {
        let records = records();
        let (go, gone_on) = std_mpsc::channel::<()>();
        let body = body(&records, move |out| {
            gone_on.recv().unwrap();
            out.write_all(b"found")
        });
        let body = body.await.unwrap();
        go.send(()).unwrap();
        assert_eq!(axum::body::to_bytes(body, 100).await.unwrap(), "found");
        let failed = self::body(&records, |_| Err(io::Error::other("no such log"))).await;
        assert!(failed.is_err(), "what fails at once is an answer of its own");
    }

    #[tokio::test]
    async fn nobody_searches_for_who_has_hung_up() {
        let records = records();
        let (done, ended) = tokio::sync::oneshot::channel();
        let body = body(&records, |out| {
            while out.still_read().is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _nobody = done.send(());
            out.still_read()
        });
        drop(body.await.unwrap());
        ended.await.unwrap();
    }
}
