//! Remembers analyses by exact text and environment.
use super::{Analysis, Environment};
use ahash::AHashMap;
use doorward_model::Name;
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};

/// A bounded, thread-safe memory of analyses.
///
/// An answer is given only for exactly the same text under the same snapshot of the same
/// catalogue, the same search path and the same temporary relations. It holds no rights: facts say what
/// a text would do, not who may.
#[derive(Debug)]
pub struct AnalysisCache {
    inner: Mutex<Inner>,
    max_entries: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// Two generations: what is used moves to the young one; when that is full, the old one is dropped.
    young: AHashMap<Box<str>, Entry>,
    old: AHashMap<Box<str>, Entry>,
    young_bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    key: Key,
    analysis: Arc<Analysis>,
}

#[derive(Debug, Clone)]
struct Key {
    /// Held, so that no other catalogue can come to have its address.
    catalogue: Arc<crate::Catalogue>,
    search_path: Arc<[Name]>,
    temporary: Arc<BTreeSet<Name>>,
}

impl Key {
    fn is(&self, env: &Environment) -> bool {
        Arc::ptr_eq(&self.catalogue, &env.catalogue)
            && (Arc::ptr_eq(&self.search_path, &env.search_path) || self.search_path == env.search_path)
            && (Arc::ptr_eq(&self.temporary, &env.temporary) || self.temporary == env.temporary)
    }
}

impl AnalysisCache {
    /// A cache of at most so many texts and (roughly) bytes.
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { inner: Mutex::default(), max_entries, max_bytes }
    }

    /// The analysis of this text under this environment, if it is remembered.
    pub fn find(&self, text: &str, env: &Environment) -> Option<Arc<Analysis>> {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.young.get(text) {
            return entry.key.is(env).then(|| Arc::clone(&entry.analysis));
        }
        let (text, entry) = inner.old.remove_entry(text)?;
        if !entry.key.is(env) {
            return None;
        }
        let analysis = Arc::clone(&entry.analysis);
        self.keep(&mut inner, text, entry);
        Some(analysis)
    }

    /// Remembers an analysis. Texts longer than an eighth of the cache are not kept.
    pub fn insert(&self, text: &str, env: &Environment, analysis: Arc<Analysis>) {
        if text.len() > self.max_bytes / 8 {
            return;
        }
        let key = Key {
            catalogue: Arc::clone(&env.catalogue),
            search_path: Arc::clone(&env.search_path),
            temporary: Arc::clone(&env.temporary),
        };
        self.keep(&mut self.inner.lock(), text.into(), Entry { key, analysis });
    }

    fn keep(&self, inner: &mut Inner, text: Box<str>, entry: Entry) {
        let size = weight(&text, &entry);
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
fn weight(text: &str, entry: &Entry) -> usize {
    let outputs: usize = entry
        .analysis
        .statements
        .iter()
        .map(|s| s.lineage.as_ref().map_or(0, |l| 64 * (l.outputs.len() + l.anywhere.len())))
        .sum();
    text.len() + 512 + 96 * entry.analysis.facts.accesses.len() + 256 * entry.analysis.statements.len() + outputs
}
