//! How old what is known of the schema may become.
use doorward_model::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A snapshot older than this is renewed while the session goes on.
const RENEW: Duration = Duration::from_secs(15);
/// Nothing is decided under a snapshot that was taken longer ago than this.
const OLDEST: Duration = Duration::from_secs(30);
/// How often a snapshot that is waited for is asked for, where the upstream does not give one. The driver waits a while
/// before it says so.
const ATTEMPTS: u32 = 20;

/// Counts changes that sessions of one connection have made to its schema. All of them share it.
#[derive(Clone, Debug, Default)]
pub struct Changes(Arc<AtomicU64>);

impl Changes {
    /// How many were made so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// What a session that begins now has heard of: to be asked for before its snapshot is taken.
    pub fn heard(&self) -> Heard {
        Heard { changes: self.clone(), seen: self.count() }
    }
}

/// What one session has heard of changes.
///
/// INVARIANT: nothing is decided under a snapshot that is older than a change which another session has been told to have
/// succeeded.
#[derive(Debug, Default)]
pub struct Heard {
    changes: Changes,
    seen: u64,
}

impl Heard {
    /// This session has made one: before it is told so. It looks after its own snapshot itself.
    pub fn made(&mut self) {
        if self.changes.0.fetch_add(1, Ordering::AcqRel) == self.seen {
            self.seen += 1;
        }
    }

    /// Whether others have made one since it last heard. From then on it has: a newer snapshot is to be asked for.
    pub fn hears(&mut self) -> bool {
        let count = self.changes.count();
        std::mem::replace(&mut self.seen, count) != count
    }
}

/// When a session's snapshot was taken, and whether a newer one was asked for.
///
/// INVARIANT: what others have made of views and tables is known to a session within a minute: a snapshot may be as old as
/// [`OLDEST`] when it is taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Freshness {
    since: Option<Timestamp>,
    /// How many answers are still to come.
    due: u32,
    failed: u32,
}

/// What to do before the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Fresh,
    /// Ask for a newer snapshot, and go on.
    Ask,
    /// Wait for a newer snapshot; `ask` for it first.
    Wait {
        /// Whether it is yet to be asked for.
        ask: bool,
    },
}

impl Freshness {
    /// Before a request.
    pub fn look(&mut self, now: Timestamp) -> Look {
        let since = *self.since.get_or_insert(now);
        let age = now.since(since);
        let ask = self.due == 0;
        if age >= OLDEST {
            self.due = self.due.max(1);
            Look::Wait { ask }
        } else if age >= RENEW && ask {
            self.due = 1;
            Look::Ask
        } else {
            Look::Fresh
        }
    }

    /// A newer snapshot is asked for, whatever the age of this one.
    pub const fn ask(&mut self) {
        self.due = self.due.saturating_add(1);
    }

    /// One is there. Whether it is the last that was asked for.
    ///
    /// INVARIANT: one that was asked for before a change does not end the wait for the one behind it.
    pub const fn renewed(&mut self) -> bool {
        // Its time is taken at the next look: no later than it was needed.
        *self = Self { since: None, due: self.due.saturating_sub(1), failed: 0 };
        self.due == 0
    }

    /// It could not be had. `waits`: whether the session waits for it. False: it has been asked for often enough.
    pub const fn failed(&mut self, waits: bool) -> bool {
        self.due = self.due.saturating_sub(1);
        self.failed = if waits { self.failed + 1 } else { 0 };
        self.failed < ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_others_are_heard_of_once() {
        let changes = Changes::default();
        let (mut one, mut other) = (changes.heard(), changes.heard());
        assert!(!one.hears() && !other.hears());
        one.made();
        assert!(!one.hears(), "its own");
        assert!(other.hears() && !other.hears());
        other.made();
        one.made();
        assert!(one.hears(), "the other's, which was first");
        assert!(other.hears());
        assert!(!changes.heard().hears());
    }

    #[test]
    fn a_busy_session_does_not_wait_and_an_idle_one_does() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut busy = Freshness::default();
        let looks: Vec<Look> = [100, 110, 115, 120, 129].into_iter().map(|s| busy.look(at(s))).collect();
        assert_eq!(looks, [Look::Fresh, Look::Fresh, Look::Ask, Look::Fresh, Look::Fresh]);
        assert_eq!(busy.look(at(130)), Look::Wait { ask: false }, "it was asked for, and has not come");
        assert!(busy.renewed());
        assert_eq!(busy.look(at(131)), Look::Fresh);
        assert!(busy.failed(false), "the one there is is good enough for now");
        assert_eq!((1..=ATTEMPTS).filter(|_| busy.failed(true)).count(), 19);
        let mut twice = Freshness::default();
        twice.ask();
        twice.ask();
        assert!(!twice.renewed(), "another was asked for since");
        assert!(twice.renewed());
        let mut idle = Freshness::default();
        assert_eq!(idle.look(at(100)), Look::Fresh);
        assert_eq!(idle.look(at(4000)), Look::Wait { ask: true });
    }
}
