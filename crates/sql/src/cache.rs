//! Remembers analyses by exact text and environment.
use crate::{Analysis, Lineage, Output, Statement};
use ahash::AHashMap;
use parking_lot::Mutex;
use std::sync::Arc;

/// What a text was read under.
pub trait ReadUnder: Clone {
    /// Whether any text means the same under both: same snapshot of the same catalogue, same settings.
    fn reads_as(&self, other: &Self) -> bool;
}

/// A bounded, thread-safe memory of analyses.
///
/// An answer is given only for exactly the same text under an environment that reads it the same. It holds no rights:
/// facts say what a text would do, not who may.
#[derive(Debug)]
pub struct AnalysisCache<E> {
    inner: Mutex<Inner<E>>,
    max_entries: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Inner<E> {
    /// Two generations: what is used moves to the young one; when that is full, the old one is dropped.
    young: AHashMap<Box<str>, Entry<E>>,
    old: AHashMap<Box<str>, Entry<E>>,
    young_bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry<E> {
    /// Held, so that no other catalogue can come to have its address.
    under: E,
    analysis: Arc<Analysis>,
}

impl<E: ReadUnder> AnalysisCache<E> {
    /// A cache of at most so many texts and (roughly) bytes.
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        let inner = Inner { young: AHashMap::new(), old: AHashMap::new(), young_bytes: 0 };
        Self { inner: Mutex::new(inner), max_entries, max_bytes }
    }

    /// The analysis of this text under this environment, if it is remembered.
    pub fn find(&self, text: &str, env: &E) -> Option<Arc<Analysis>> {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.young.get(text) {
            return entry.under.reads_as(env).then(|| Arc::clone(&entry.analysis));
        }
        let (text, entry) = inner.old.remove_entry(text)?;
        if !entry.under.reads_as(env) {
            return None;
        }
        let analysis = Arc::clone(&entry.analysis);
        self.keep(&mut inner, text, entry);
        Some(analysis)
    }

    /// Remembers an analysis. Texts longer than an eighth of the cache are not kept.
    pub fn insert(&self, text: &str, env: &E, analysis: Arc<Analysis>) {
        if text.len() <= self.max_bytes / 8 {
            self.keep(&mut self.inner.lock(), text.into(), Entry { under: env.clone(), analysis });
        }
    }

    fn keep(&self, inner: &mut Inner<E>, text: Box<str>, entry: Entry<E>) {
        let size = weight(&text, &entry.analysis);
        if inner.young.len() >= self.max_entries / 2 || inner.young_bytes + size > self.max_bytes / 2 {
            inner.old = std::mem::take(&mut inner.young);
            inner.young_bytes = 0;
        }
        inner.young_bytes += size;
        if let Some(replaced) = inner.young.insert(text, entry) {
            let _older_weight = &replaced;
        }
    }
}

/// Roughly the bytes that an entry holds.
fn weight(text: &str, analysis: &Analysis) -> usize {
    let sets: usize = analysis.statements.iter().map(|s| 64 * entries(s)).sum();
    // Where the reader is not the server's own, what is sent is kept as well.
    let sent: usize = analysis.statements.iter().map(|s| s.text.as_ref().map_or(0, |t| t.len())).sum();
    text.len() + sent + 512 + 96 * analysis.facts.accesses.len() + 256 * analysis.statements.len() + sets
}

/// How many columns and names the sets of a statement have.
fn entries(s: &Statement) -> usize {
    let sources = |output: &Output| match output {
        Output::Made(sources) => 1 + sources.len(),
        Output::Star => 1,
    };
    let shown = |l: &Lineage| l.anywhere.len() + l.outputs.iter().map(sources).sum::<usize>();
    let reads = &s.reads;
    s.lineage.as_ref().map_or(0, shown)
        + s.moves.len()
        + s.writes.columns.len()
        + s.writes.texts.len()
        + s.references.len()
        + reads.places.len()
        + reads.prefixes.len()
        + reads.kept.len()
        + reads.weighs.len()
        + reads.named.len()
        + reads.bare.len()
        + reads.calls.len()
}
