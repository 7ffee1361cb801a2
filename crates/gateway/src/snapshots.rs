//! Snapshots of what upstreams have, read through the gateway's own log-in: kept, renewed, and read once for all who ask.
use doorward_sql::postgres::BIG_STACK;
use doorward_sql_session::{Changes, Heard};
use std::{
    collections::HashMap,
    fmt::Display,
    future::Future,
    hash::{Hash, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// No session begins with a snapshot older than this; one of half that age is renewed behind its back.
const FRESH: Duration = Duration::from_secs(30);

/// Who hears that it could not be read may ask again at once: not before this.
const AGAIN: Duration = Duration::from_secs(1);

/// How many are kept of one endpoint.
const MOST: usize = 256;

/// How long it may be waited for that the upstream is read.
const READING: Duration = Duration::from_secs(120);

/// What makes a snapshot, away from the async workers.
pub(crate) type Building<T> = Box<dyn FnOnce() -> T + Send>;

/// Where snapshots come from: an endpoint.
pub(crate) trait Source: Send + Sync + 'static {
    /// What is read.
    type Raw: Send;
    /// What it is made into.
    type Snapshot: Clone + Send + 'static;
    /// Why it could not be read.
    type Error: Clone + Display + Send;

    /// Where they are kept.
    fn snapshots(&self) -> &Snapshots<Self::Snapshot, Self::Error>;
    /// The connection's name.
    fn connection(&self) -> &str;
    /// Reads a part of the upstream (a database), or all of it.
    fn read(&self, part: &str) -> impl Future<Output = Result<Self::Raw, Self::Error>> + Send;
    /// The same for the same content.
    fn fingerprint(raw: &Self::Raw) -> u64;
    /// What makes a snapshot of it. `generation` counts those of a part.
    fn building(&self, raw: Self::Raw, generation: u64) -> Building<Self::Snapshot>;
    /// Why there is none, in words.
    fn unbuilt(why: String) -> Self::Error;
}

#[derive(Clone, Debug)]
struct Known<T> {
    snapshot: T,
    content: u64,
    generation: u64,
    read: Instant,
    /// How many changes sessions had made before.
    changes: u64,
}

/// What is known of one part.
#[derive(Debug)]
struct Part<T, E> {
    known: parking_lot::Mutex<Option<Known<T>>>,
    /// When it was last tried in vain, and why.
    failed: parking_lot::Mutex<Option<(Instant, E)>>,
    /// One reading at a time; whoever waits takes what the one before has read, or why it could not.
    reading: Mutex<()>,
}

/// The newest snapshots of one endpoint, by what they are of.
#[derive(Debug)]
pub(crate) struct Snapshots<T, E> {
    parts: parking_lot::Mutex<HashMap<String, Arc<Part<T, E>>>>,
    /// What sessions have changed.
    changes: Changes,
}

impl<T, E> Default for Snapshots<T, E> {
    fn default() -> Self {
        Self { parts: parking_lot::Mutex::default(), changes: Changes::default() }
    }
}

impl<T, E> Snapshots<T, E> {
    /// What a session that begins has heard of changes: to be asked for before [`current`].
    pub(crate) fn heard(&self) -> Heard {
        self.changes.heard()
    }

    fn part(&self, name: &str) -> Arc<Part<T, E>> {
        let mut parts = self.parts.lock();
        if let Some(part) = parts.get(name) {
            return Arc::clone(part);
        }
        if parts.len() >= MOST {
            parts.clear();
        }
        let (known, failed) = (parking_lot::Mutex::default(), parking_lot::Mutex::default());
        let part = Arc::new(Part { known, failed, reading: Mutex::default() });
        parts.insert(name.to_owned(), Arc::clone(&part));
        part
    }
}

/// The upstream as it was at most a while ago, and no sooner than the last change that a session has made.
pub(crate) async fn current<S: Source>(source: &Arc<S>, part: &str) -> Result<S::Snapshot, S::Error> {
    let known = source.snapshots().part(part).known.lock().clone();
    // INVARIANT: what nobody has looked at for long is read again first. A view may be another one since.
    let changes = source.snapshots().changes.count();
    let Some(known) = known.filter(|known| known.read.elapsed() <= FRESH && known.changes == changes) else {
        return refresh(&**source, part).await;
    };
    if known.read.elapsed() > FRESH / 2 {
        let (source, part) = (Arc::clone(source), part.to_owned());
        tokio::spawn(async move {
            if let Err(e) = refresh(&*source, &part).await {
                tracing::warn!(connection = %source.connection(), "the schema could not be read again: {e}");
            }
        });
    }
    Ok(known.snapshot)
}

/// For a session that goes on: the upstream as it is now where it has `changed`, and else as it was a while ago at most.
/// Bad news take their time.
pub(crate) async fn renewed<S: Source>(source: &S, part: &str, changed: bool) -> Result<S::Snapshot, S::Error> {
    let read = if changed { refresh(source, part).await } else { recent(source, part).await };
    if let Err(e) = &read {
        tracing::warn!(connection = %source.connection(), "the schema could not be read again: {e}");
        tokio::time::sleep(AGAIN).await;
    }
    read
}

/// The upstream as it was at most a while ago, read again now where that is too long ago.
async fn recent<S: Source>(source: &S, part: &str) -> Result<S::Snapshot, S::Error> {
    let known = source.snapshots().part(part).known.lock().clone();
    match known.filter(|known| known.read.elapsed() <= FRESH / 2) {
        Some(known) => Ok(known.snapshot),
        None => refresh(source, part).await,
    }
}

/// The upstream as it is now. The same content stays the same snapshot, so that what was read under it is still good.
pub(crate) async fn refresh<S: Source>(source: &S, part: &str) -> Result<S::Snapshot, S::Error> {
    let asked = Instant::now();
    let of = source.snapshots().part(part);
    let _one_at_a_time = of.reading.lock().await;
    let before = of.known.lock().clone();
    if let Some(known) = &before
        && known.read > asked
    {
        return Ok(known.snapshot.clone());
    }
    if let Some((tried, why)) = &*of.failed.lock()
        && *tried > asked
    {
        return Err(why.clone());
    }
    let tried = Instant::now();
    let read = read_anew(source, part, before).await;
    match &read {
        Ok(known) => *of.known.lock() = Some(known.clone()),
        Err(why) => *of.failed.lock() = Some((tried, why.clone())),
    }
    read.map(|known| known.snapshot)
}

async fn read_anew<S: Source>(
    source: &S,
    part: &str,
    before: Option<Known<S::Snapshot>>,
) -> Result<Known<S::Snapshot>, S::Error> {
    let (read, changes) = (Instant::now(), source.snapshots().changes.count());
    let raw = tokio::time::timeout(READING, source.read(part)).await;
    let raw = raw.map_err(|_| S::unbuilt(format!("it was not read within {} seconds", READING.as_secs())))??;
    let content = S::fingerprint(&raw);
    match before {
        Some(known) if known.content == content => Ok(Known { read, changes, ..known }),
        before => {
            let generation = before.map_or(1, |b| b.generation + 1);
            let snapshot = build(source.building(raw, generation)).await.map_err(S::unbuilt)?;
            Ok(Known { snapshot, content, generation, read, changes })
        }
    }
}

/// Makes a snapshot on a thread of its own: it takes long where a schema is large, and a deep stack where a definition is.
async fn build<T: Send + 'static>(building: Building<T>) -> Result<T, String> {
    let (tell, built) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("schema".into())
        .stack_size(BIG_STACK)
        .spawn(move || {
            let _nobody_waits = tell.send(building());
        })
        .map_err(|e| format!("no thread reads it: {e}"))?;
    built.await.map_err(|_| "what was read cannot be made sense of".to_owned())
}

/// A fingerprint, to be compared with others of this process alone.
pub(crate) fn fingerprint(content: &impl Hash) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    #[derive(Default)]
    struct Server {
        reads: AtomicU32,
        fails: AtomicBool,
        /// Nothing is read before it is let.
        gate: Option<tokio::sync::Semaphore>,
        snapshots: Snapshots<u32, String>,
    }

    impl Source for Server {
        type Raw = u32;
        type Snapshot = u32;
        type Error = String;

        fn snapshots(&self) -> &Snapshots<u32, String> {
            &self.snapshots
        }
        fn connection(&self) -> &str {
            "orders"
        }
        async fn read(&self, _: &str) -> Result<u32, String> {
            let read = self.reads.fetch_add(1, Ordering::Relaxed);
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            if self.fails.load(Ordering::Relaxed) { Err(format!("attempt {read}")) } else { Ok(read) }
        }
        fn fingerprint(raw: &u32) -> u64 {
            u64::from(*raw)
        }
        fn building(&self, raw: u32, _: u64) -> Building<u32> {
            Box::new(move || if raw == 77 { panic!("of its own accord") } else { raw })
        }
        fn unbuilt(why: String) -> String {
            why
        }
    }

    fn made_old(server: &Server) {
        let long_ago = Instant::now().checked_sub(FRESH * 2).unwrap();
        server.snapshots.part("").known.lock().as_mut().unwrap().read = long_ago;
    }

    #[tokio::test]
    async fn no_session_begins_with_what_nobody_has_looked_at_for_long() {
        let server = Arc::new(Server::default());
        assert_eq!(current(&server, "").await.unwrap(), 0);
        assert_eq!(current(&server, "").await.unwrap(), 0, "a moment later it is still good");
        made_old(&server);
        assert_eq!(current(&server, "").await.unwrap(), 1, "read again before the session begins");
        made_old(&server);
        assert_eq!(renewed(&*server, "", false).await.unwrap(), 2);
        assert_eq!(renewed(&*server, "", false).await.unwrap(), 2);
        assert_eq!(renewed(&*server, "", true).await.unwrap(), 3, "it has changed");
        assert_eq!(current(&server, "").await.unwrap(), 3);
        server.snapshots.heard().made();
        assert_eq!(current(&server, "").await.unwrap(), 4, "a session has changed it");
        assert_eq!(current(&server, "").await.unwrap(), 4);
    }

    #[tokio::test]
    async fn who_waits_takes_what_the_one_before_has_read_or_why_it_could_not() {
        for fails in [false, true] {
            let server = Arc::new(Server { gate: Some(tokio::sync::Semaphore::new(0)), ..Server::default() });
            server.fails.store(fails, Ordering::Relaxed);
            let refreshing = |part: &'static str| {
                let server = Arc::clone(&server);
                tokio::spawn(async move { refresh(&*server, part).await })
            };
            let first = refreshing("");
            while server.reads.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            // They ask while the first is still read, and wait for one that begins afterwards.
            let rest: Vec<_> = (0..20).map(|_| refreshing("")).collect();
            let other = refreshing("another database");
            while server.reads.load(Ordering::Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
            server.gate.as_ref().unwrap().add_permits(100);
            assert_eq!(first.await.unwrap().is_err(), fails);
            assert_eq!(other.await.unwrap().is_err(), fails, "it did not wait for the first");
            let mut said = Vec::new();
            for one in rest {
                said.push(one.await.unwrap().map_or_else(|e| e, |read| format!("attempt {read}")));
            }
            assert_eq!(said, vec!["attempt 2"; 20], "one reading for all of them");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_made_sense_of_is_an_error() {
        let server = Server { reads: AtomicU32::new(77), ..Server::default() };
        assert_eq!(refresh(&server, "").await.unwrap_err(), "what was read cannot be made sense of");
        assert_eq!(refresh(&server, "").await.unwrap(), 78);
    }
}
