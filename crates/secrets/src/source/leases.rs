//! Credentials that were given for a time and that others have taken the place of: given back once nobody uses them.
//!
//! Invariant: a lease leaves the list when it was revoked, has ended by itself, or was named in the log.
use super::SourceError;
use aws_lc_rs::digest;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// How many that somebody still uses are left to them; beyond it, the oldest are revoked.
const MOST_USED: usize = 64;
/// How many are remembered in all, where they cannot be revoked.
const MOST: usize = 4096;
/// After one was not revoked, none is tried for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// Something that is logged in with a credential, for as long as it or a copy of it is there.
#[derive(Clone, Debug, Default)]
pub struct InUse(Option<Arc<()>>);

impl InUse {
    pub(super) fn begin() -> Self {
        Self(Some(Arc::default()))
    }
}

/// What a lease is called in the log: nobody can revoke one by it, and whoever has its id finds it.
pub(super) fn digest_of(id: &str) -> String {
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    hex::encode(hash.as_ref().get(..8).unwrap_or_default())
}

#[derive(Debug)]
struct Old {
    id: String,
    uses: Weak<()>,
    /// When it ends by itself.
    ends: Instant,
    is_told: bool,
}

impl Old {
    fn is_over(&self, now: Instant) -> bool {
        self.uses.strong_count() == 0 || now >= self.ends
    }
}

/// Those of a source, oldest first.
#[derive(Debug, Default)]
pub(super) struct Leases {
    old: Mutex<VecDeque<Old>>,
    failed: Mutex<Option<Instant>>,
}

impl Leases {
    fn old(&self) -> MutexGuard<'_, VecDeque<Old>> {
        self.old.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is no longer handed out.
    pub(super) fn retire(&self, id: String, uses: &InUse, ends: Instant, path: &str) {
        let mut old = self.old();
        while old.len() >= MOST {
            if let Some(lost) = old.pop_front() {
                say(path, &lost.id, &format!("more than {MOST} leases could not be revoked"));
            }
        }
        let uses = uses.0.as_ref().map_or_else(Weak::new, Arc::downgrade);
        old.push_back(Old { id, uses, ends, is_told: false });
    }

    /// Those that nobody uses any more, and the oldest beyond the bound.
    pub(super) fn due(&self, now: Instant, path: &str) -> Vec<String> {
        if self.failed().is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return Vec::new();
        }
        let old = self.old();
        let mut beyond = old.iter().filter(|o| !o.is_over(now)).count().saturating_sub(MOST_USED);
        let mut due = Vec::new();
        for lease in old.iter() {
            if !lease.is_over(now) {
                if beyond == 0 {
                    continue;
                }
                beyond -= 1;
                let lease = digest_of(&lease.id);
                tracing::warn!(
                    "`{path}`: sessions use more than {MOST_USED} old leases; the oldest ({lease}) is revoked"
                );
            }
            due.push(lease.id.clone());
        }
        due
    }

    /// All that are left.
    pub(super) fn all(&self) -> Vec<String> {
        self.old().iter().map(|o| o.id.clone()).collect()
    }

    /// It was revoked.
    pub(super) fn forget(&self, id: &str) {
        *self.failed() = None;
        self.old().retain(|o| o.id != id);
    }

    /// It was not revoked, and is tried again until it ends by itself.
    pub(super) fn not_revoked(&self, id: &str, why: &SourceError, now: Instant, path: &str) {
        *self.failed() = Some(now);
        let mut old = self.old();
        if let Some(lease) = old.iter_mut().find(|o| o.id == id && !o.is_told) {
            lease.is_told = true;
            say(path, id, &why.to_string());
        }
        old.retain(|o| o.id != id || now < o.ends);
    }
}

/// A lease that is not given back is never lost without a word.
fn say(path: &str, id: &str, why: &str) {
    let lease = digest_of(id);
    tracing::warn!("a lease of `{path}` (the SHA-256 of its id begins with {lease}) was not revoked: {why}");
}
