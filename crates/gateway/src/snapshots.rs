//! Snapshots of what upstreams have, read through the gateway's own log-in: kept, renewed, and read once for all who ask.
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

/// Where snapshots come from: an endpoint.
pub(crate) trait Source: Send + Sync + 'static {
    /// What is read.
    type Raw: Send;
    /// What it is made into.
    type Snapshot: Clone + Send;
    /// Why it could not be read.
    type Error: Display + Send;

    /// Where they are kept.
    fn snapshots(&self) -> &Snapshots<Self::Snapshot>;
    /// The connection's name.
    fn connection(&self) -> &str;
    /// Reads a part of the upstream (a database), or all of it.
    fn read(&self, part: &str) -> impl Future<Output = Result<Self::Raw, Self::Error>> + Send;
    /// The same for the same content.
    fn fingerprint(raw: &Self::Raw) -> u64;
    /// Makes a snapshot of it. `generation` counts those of a part.
    fn build(&self, raw: Self::Raw, generation: u64) -> Self::Snapshot;
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

/// The newest snapshots of one endpoint, by what they are of.
#[derive(Debug)]
pub(crate) struct Snapshots<T> {
    known: parking_lot::Mutex<HashMap<String, Known<T>>>,
    /// What sessions have changed.
    changes: Changes,
    /// One reading at a time; whoever waits takes what the one before has read.
    reading: Mutex<()>,
}

impl<T> Default for Snapshots<T> {
    fn default() -> Self {
        let (known, changes) = (parking_lot::Mutex::default(), Changes::default());
        Self { known, changes, reading: Mutex::default() }
    }
}

impl<T> Snapshots<T> {
    /// What a session that begins has heard of changes: to be asked for before [`current`].
    pub(crate) fn heard(&self) -> Heard {
        self.changes.heard()
    }
}

/// The upstream as it was at most a while ago, and no sooner than the last change that a session has made.
pub(crate) async fn current<S: Source>(source: &Arc<S>, part: &str) -> Result<S::Snapshot, S::Error> {
    let known = source.snapshots().known.lock().get(part).cloned();
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
    let known = source.snapshots().known.lock().get(part).cloned();
    match known.filter(|known| known.read.elapsed() <= FRESH / 2) {
        Some(known) => Ok(known.snapshot),
        None => refresh(source, part).await,
    }
}

/// The upstream as it is now. The same content stays the same snapshot, so that what was read under it is still good.
pub(crate) async fn refresh<S: Source>(source: &S, part: &str) -> Result<S::Snapshot, S::Error> {
    let asked = Instant::now();
    let snapshots = source.snapshots();
    let _one_at_a_time = snapshots.reading.lock().await;
    let before = snapshots.known.lock().get(part).cloned();
    if let Some(known) = &before
        && known.read > asked
    {
        return Ok(known.snapshot.clone());
    }
    let (read, changes) = (Instant::now(), snapshots.changes.count());
    let raw = source.read(part).await?;
    let content = S::fingerprint(&raw);
    let known = match before {
        Some(known) if known.content == content => Known { read, changes, ..known },
        before => {
            let generation = before.map_or(1, |b| b.generation + 1);
            Known { snapshot: source.build(raw, generation), content, generation, read, changes }
        }
    };
    let snapshot = known.snapshot.clone();
    let mut all = snapshots.known.lock();
    if all.len() > MOST {
        all.clear();
    }
    all.insert(part.to_owned(), known);
    Ok(snapshot)
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
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Server {
        reads: AtomicU32,
        snapshots: Snapshots<u32>,
    }

    impl Source for Server {
        type Raw = u32;
        type Snapshot = u32;
        type Error = std::io::Error;

        fn snapshots(&self) -> &Snapshots<u32> {
            &self.snapshots
        }
        fn connection(&self) -> &str {
            "orders"
        }
        async fn read(&self, _: &str) -> Result<u32, std::io::Error> {
            Ok(self.reads.fetch_add(1, Ordering::Relaxed))
        }
        fn fingerprint(raw: &u32) -> u64 {
            u64::from(*raw)
        }
        fn build(&self, raw: u32, _: u64) -> u32 {
            raw
        }
    }

    #[tokio::test]
    async fn no_session_begins_with_what_nobody_has_looked_at_for_long() {
        let server = Arc::new(Server::default());
        assert_eq!(current(&server, "").await.unwrap(), 0);
        assert_eq!(current(&server, "").await.unwrap(), 0, "a moment later it is still good");
        let long_ago = Instant::now().checked_sub(FRESH * 2).unwrap();
        server.snapshots.known.lock().get_mut("").unwrap().read = long_ago;
        assert_eq!(current(&server, "").await.unwrap(), 1, "read again before the session begins");
        server.snapshots.known.lock().get_mut("").unwrap().read = long_ago;
        assert_eq!(renewed(&*server, "", false).await.unwrap(), 2);
        assert_eq!(renewed(&*server, "", false).await.unwrap(), 2);
        assert_eq!(renewed(&*server, "", true).await.unwrap(), 3, "it has changed");
        assert_eq!(current(&server, "").await.unwrap(), 3);
        server.snapshots.heard().made();
        assert_eq!(current(&server, "").await.unwrap(), 4, "a session has changed it");
        assert_eq!(current(&server, "").await.unwrap(), 4);
    }
}
