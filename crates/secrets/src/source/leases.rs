//! Credentials that were given for a time and that others have taken the place of: kept good while somebody uses them, given
//! back once nobody does.
//!
//! Invariant: a lease leaves the list when it was revoked, has ended by itself, or was named in the log.
use super::{Lease, SourceError};
use aws_lc_rs::digest;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How many that somebody still uses are left to them; beyond it, the oldest are revoked.
const MOST_USED: usize = 64;
/// How many are remembered in all, where they cannot be revoked.
const MOST: usize = 4096;
/// After one was not revoked, none is tried for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// What is known of a credential by those who use it.
#[derive(Debug, Default)]
pub(super) struct Use {
    worked: AtomicBool,
}

/// Something that is logged in with a credential, for as long as it or a copy of it is there.
#[derive(Clone, Debug, Default)]
pub struct InUse(Option<Arc<Use>>);

impl InUse {
    pub(super) fn begin() -> Self {
        Self(Some(Arc::default()))
    }

    /// An upstream has accepted the credential.
    pub fn worked(&self) {
        if let Some(used) = &self.0 {
            used.worked.store(true, Ordering::Relaxed);
        }
    }

    /// Whether an upstream has.
    pub(super) fn has_worked(&self) -> bool {
        self.0.as_ref().is_some_and(|used| used.worked.load(Ordering::Relaxed))
    }
}

/// A lease, and how it stands.
#[derive(Clone, Debug)]
pub(super) struct HeldLease {
    pub(super) lease: Lease,
    pub(super) since: Instant,
    first: Duration,
}

impl HeldLease {
    pub(super) fn new(lease: Lease, since: Instant) -> Self {
        Self { since, first: lease.length, lease }
    }

    /// Whether a session may still begin under it.
    pub(super) fn is_good(&self, era: u64, now: Instant) -> bool {
        let margin = (self.first / 4).min(Duration::from_secs(30));
        self.lease.era == era && now.saturating_duration_since(self.since) < self.lease.length.saturating_sub(margin)
    }

    /// Whether it is time to make it longer, and it can be.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.lease.renewable && now.saturating_duration_since(self.since) >= self.lease.length / 2
    }

    /// When it ends by itself.
    pub(super) fn ends(&self) -> Instant {
        self.since + self.lease.length
    }

    /// What a source said who was asked to make it longer.
    pub(super) fn renewed(&mut self, said: &Result<Duration, SourceError>, now: Instant) {
        match said {
            Ok(length) => {
                // It is near its end, whatever is asked for: the next log-in takes a new one.
                self.lease.renewable = *length > self.first / 2;
                self.lease.length = *length;
                self.since = now;
            }
            Err(e) => self.lease.renewable = e.is_away,
        }
    }
}

/// What a lease is called in the log: nobody can revoke one by it, and whoever has its id finds it.
pub(super) fn digest_of(id: &str) -> String {
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    hex::encode(hash.as_ref().get(..8).unwrap_or_default())
}

#[derive(Debug)]
struct Old {
    held: HeldLease,
    uses: Weak<Use>,
    is_told: bool,
    /// When it was last asked for to be longer, in vain.
    asked: Option<Instant>,
}

impl Old {
    fn id(&self) -> &str {
        &self.held.lease.id
    }

    fn is_over(&self, now: Instant) -> bool {
        self.uses.strong_count() == 0 || now >= self.held.ends()
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
    pub(super) fn retire(&self, held: HeldLease, uses: &InUse, path: &str) {
        let mut old = self.old();
        while old.len() >= MOST {
            if let Some(lost) = old.pop_front() {
                say(path, lost.id(), &format!("more than {MOST} leases could not be revoked"));
            }
        }
        let uses = uses.0.as_ref().map_or_else(Weak::new, Arc::downgrade);
        old.push_back(Old { held, uses, is_told: false, asked: None });
    }

    /// Some that sessions use, and that have to be made longer now: those that end first, and `most` at the most.
    pub(super) fn to_renew(&self, now: Instant, most: usize) -> Vec<Lease> {
        let rests = |o: &Old| o.asked.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        let old = self.old();
        let mut due: Vec<_> = old.iter().filter(|o| !o.is_over(now) && o.held.is_due(now) && !rests(o)).collect();
        due.sort_by_key(|o| o.held.ends());
        due.iter().take(most).map(|o| o.held.lease.clone()).collect()
    }

    /// What came of that.
    pub(super) fn renewed(&self, id: &str, said: &Result<Duration, SourceError>, now: Instant, path: &str) {
        let mut old = self.old();
        let Some(lease) = old.iter_mut().find(|o| o.id() == id) else { return };
        lease.held.renewed(said, now);
        lease.asked = said.is_err().then_some(now);
        if let Err(e) = said {
            tracing::warn!("a lease of `{path}` that sessions use ({}) was not renewed: {e}", digest_of(id));
        }
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
                let lease = digest_of(lease.id());
                tracing::warn!(
                    "`{path}`: sessions use more than {MOST_USED} old leases; the oldest ({lease}) is revoked"
                );
            }
            due.push(lease.id().to_owned());
        }
        due
    }

    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        self.failed().is_some()
    }

    /// All that are left.
    pub(super) fn all(&self) -> Vec<String> {
        self.old().iter().map(|o| o.id().to_owned()).collect()
    }

    /// It was revoked.
    pub(super) fn forget(&self, id: &str) {
        *self.failed() = None;
        self.old().retain(|o| o.id() != id);
    }

    /// It was not revoked, and is tried again until it ends by itself.
    pub(super) fn not_revoked(&self, id: &str, why: &SourceError, now: Instant, path: &str) {
        *self.failed() = Some(now);
        let mut old = self.old();
        let Some(mut lease) = old.iter().position(|o| o.id() == id).and_then(|at| old.remove(at)) else { return };
        if !lease.is_told {
            lease.is_told = true;
            say(path, id, &why.to_string());
        }
        // Behind the others: one that is never revoked keeps none of them.
        if now < lease.held.ends() {
            old.push_back(lease);
        }
    }
}

/// A lease that is not given back is never lost without a word.
fn say(path: &str, id: &str, why: &str) {
    let lease = digest_of(id);
    tracing::warn!("a lease of `{path}` (the SHA-256 of its id begins with {lease}) was not revoked: {why}");
}
