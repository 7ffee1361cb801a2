//! Pauses between tries.
use std::time::Duration;

/// Exponential, with jitter: many gateways that lost the same sink do not come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause: between half and all of the doubled one, and at least what the sink asked for.
    pub(crate) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(20)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let jittered = doubled.mul_f64(rand::random_range(0.5..=1.0));
        // A sink cannot stop us for good.
        jittered.max(asked.unwrap_or_default().min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut b = Backoff::new(first, longest);
        assert!(b.pause(None) <= first);
        for _ in 0..100 {
            assert!(b.pause(None) <= longest);
        }
        assert!(b.pause(None) >= longest / 2);
        assert_eq!(b.pause(Some(Duration::from_secs(3600))), longest);
        b.reset();
        assert!(b.pause(None) <= first);
        assert_eq!(b.pause(Some(Duration::from_secs(1))), Duration::from_secs(1));
    }
}
