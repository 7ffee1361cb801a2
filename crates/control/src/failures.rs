//! Failed sign-ins in the audit log. Anybody who reaches the port can make them: each is an entry of its own as long as
//! they are few, and the rest of a flood is counted, so that it neither fills the disk nor goes unsaid.
use doorward_enforce::AuditSink;
use doorward_model::{AuditEvent, AuditKind, Timestamp};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt::{Debug, Formatter},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// How many entries of one way in there are at most in [`WINDOW`].
const MOST: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);
/// Of a reason, in characters.
const MAX_REASON: usize = 500;

/// What became of one way in since a time.
#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    written: u32,
    unwritten: u64,
}

/// Writes down who did not get in.
#[derive(Clone)]
pub struct Failures(Arc<Inner>);

struct Inner {
    audit: Arc<dyn AuditSink>,
    /// By way in: `api`, `web`, `cli`, `event`.
    counts: Mutex<HashMap<&'static str, Count>>,
}

impl Debug for Failures {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failures")
    }
}

impl Failures {
    /// Writes to this log.
    pub fn new(audit: Arc<dyn AuditSink>) -> Self {
        Self(Arc::new(Inner { audit, counts: Mutex::new(HashMap::new()) }))
    }

    /// Somebody did not get in by the way `user`. The entry need not be on the disk for that. Has to be called within a
    /// runtime.
    pub(crate) fn note(&self, user: &'static str, reason: &str) {
        let now = Instant::now();
        let mut counts = self.0.counts.lock();
        let count = counts.entry(user).or_insert(Count { since: now, written: 0, unwritten: 0 });
        // While some are unwritten, the task that will write their number begins anew.
        if count.unwritten == 0 && now.duration_since(count.since) >= WINDOW {
            *count = Count { since: now, written: 0, unwritten: 0 };
        }
        if count.written < MOST && count.unwritten == 0 {
            count.written += 1;
            drop(counts);
            self.0.append(user, reason.chars().take(MAX_REASON).collect());
            return;
        }
        count.unwritten = count.unwritten.saturating_add(1);
        if count.unwritten == 1 {
            let (inner, end) = (Arc::clone(&self.0), count.since + WINDOW);
            tokio::spawn(async move {
                tokio::time::sleep_until(end).await;
                inner.sum_up(user);
            });
        }
    }
}

impl Inner {
    fn sum_up(&self, user: &'static str) {
        let Some(count) = self.counts.lock().remove(user).filter(|c| c.unwritten > 0) else { return };
        let (n, most, secs) = (count.unwritten, MOST, WINDOW.as_secs());
        self.append(user, format!("{n} more that failed: within {secs} seconds at most {most} are written one by one"));
    }

    fn append(&self, user: &str, reason: String) {
        let time: Timestamp = SystemTime::now().into();
        let kind = AuditKind::AuthenticationFailed { user: user.into(), reason };
        if let Err(why) = self.audit.append(&AuditEvent { time, session: None, kind, parties: None }) {
            tracing::error!(%why, "a failed sign-in is not in the audit log");
        }
    }
}

impl Drop for Inner {
    /// What was not written yet is written when the gateway ends.
    fn drop(&mut self) {
        let users: Vec<_> = self.counts.get_mut().keys().copied().collect();
        for user in users {
            self.sum_up(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_enforce::{AuditUnavailable, Ticket};
    use std::task::{Context, Poll};

    #[derive(Debug, Default)]
    struct Log(Mutex<Vec<String>>);

    impl AuditSink for Log {
        fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
            if let AuditKind::AuthenticationFailed { user, reason } = &event.kind {
                self.0.lock().push(format!("{user}: {reason}"));
            }
            Ok(self.committed())
        }
        fn committed(&self) -> Ticket {
            Ticket(1)
        }
        fn poll_committed(&self, _: Ticket, _: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_and_the_few_are_written() {
        let log = Arc::new(Log::default());
        let failures = Failures::new(Arc::clone(&log) as Arc<dyn AuditSink>);
        for n in 0..1_000 {
            failures.note("web", &format!("junk {n}"));
        }
        // Another way in has entries of its own.
        failures.note("api", "a bad key");
        let len = || log.0.lock().len();
        assert_eq!((len(), log.0.lock().last().cloned().unwrap().as_str()), (101, "api: a bad key"));
        tokio::time::sleep(WINDOW + Duration::from_millis(1)).await;
        let last = log.0.lock().last().cloned().unwrap();
        assert_eq!(last, "web: 900 more that failed: within 10 seconds at most 100 are written one by one");
        // Then it begins anew, and what is unwritten at the end is said at the end.
        for _ in 0..102 {
            failures.note("web", "junk");
        }
        assert_eq!(len(), 202);
        drop(failures);
        tokio::time::sleep(WINDOW + Duration::from_millis(1)).await;
        assert_eq!(log.0.lock().last().unwrap(), &last.replace("900", "2"));
    }
}
