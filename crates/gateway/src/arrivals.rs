//! Who is on the way in, from where: no address takes all the room, and guessing gets slower.
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

/// How many may be on their way in from one address at once. Those who are in do not count.
const MOST_WAITING: u32 = 256;
/// Failures that are forgiven before answers get slower: a job that starts often with an old token.
const FORGIVEN: u32 = 10;
/// The longest that a failed log-in waits for its answer.
const LONGEST_DELAY: Duration = Duration::from_secs(15);
/// After so long without a failure, half of them are forgotten.
const FORGETS: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond that, those without anybody on the way in are forgotten.
const REMEMBERED: usize = 16 * 1024;

/// What is remembered of addresses, for all endpoints together.
#[derive(Debug, Default)]
pub struct Arrivals {
    known: Mutex<HashMap<IpAddr, Address>>,
}

#[derive(Debug)]
struct Address {
    waiting: u32,
    failures: u32,
    last: Instant,
}

/// A place among those on the way in; it is given back as this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    arrivals: Arc<Arrivals>,
    address: IpAddr,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(known) = self.arrivals.known.lock().get_mut(&self.address) {
            known.waiting = known.waiting.saturating_sub(1);
        }
    }
}

impl Arrivals {
    /// A place for a caller from this address, if there is one left.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Waiting> {
        let address = network(address);
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.retain(|_, a| a.waiting > 0 || (a.failures > 0 && now.duration_since(a.last) < FORGETS));
        }
        let place = known.entry(address).or_insert(Address { waiting: 0, failures: 0, last: now });
        if place.waiting >= MOST_WAITING {
            return None;
        }
        place.waiting += 1;
        Some(Waiting { arrivals: Arc::clone(self), address })
    }

    /// A log-in from this address has failed: how long its answer is to wait.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) -> Duration {
        let mut known = self.known.lock();
        let place = known.entry(network(address)).or_insert(Address { waiting: 0, failures: 0, last: now });
        let halves = now.duration_since(place.last).as_secs() / FORGETS.as_secs();
        place.failures = place.failures.checked_shr(u32::try_from(halves).unwrap_or(u32::MAX)).unwrap_or(0);
        place.failures = place.failures.saturating_add(1);
        place.last = now;
        let over = place.failures.saturating_sub(FORGIVEN);
        if over == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(100).saturating_mul(1 << over.min(10)).min(LONGEST_DELAY)
    }
}

/// A network of IPv6 is one caller: whoever has an address there has 2^64 of them (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_some_of_the_room_and_gives_it_back() {
        let arrivals = Arc::new(Arrivals::default());
        let now = Instant::now();
        let (one, same, other): (IpAddr, IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap());
        let mut all: Vec<_> = (0..MOST_WAITING).map(|_| arrivals.enter(one, now).unwrap()).collect();
        assert!(arrivals.enter(same, now).is_none());
        assert!(arrivals.enter(other, now).is_some());
        all.pop();
        assert!(arrivals.enter(same, now).is_some());
    }

    #[test]
    fn guessing_gets_slower_and_is_forgotten() {
        let arrivals = Arrivals::default();
        let address = "10.0.0.1".parse().unwrap();
        let start = Instant::now();
        let delays: Vec<_> = (0..40).map(|_| arrivals.failed(address, start)).collect();
        assert!(delays.iter().take(10).all(Duration::is_zero));
        assert!(delays.is_sorted());
        assert_eq!(delays.last(), Some(&LONGEST_DELAY));
        assert!(arrivals.failed(address, start + FORGETS).as_secs() >= 1);
        assert_eq!(arrivals.failed(address, start + FORGETS * 20), Duration::ZERO);
        assert_eq!(arrivals.failed("10.0.0.2".parse().unwrap(), start), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let arrivals = Arc::new(Arrivals::default());
        let now = Instant::now();
        for i in 0..2 * u32::try_from(REMEMBERED).unwrap() {
            drop(arrivals.enter(std::net::Ipv4Addr::from_bits(i).into(), now));
        }
        assert!(arrivals.known.lock().len() <= REMEMBERED);
    }
}
