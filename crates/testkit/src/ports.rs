//! Free loopback ports.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Below the kernel's range for outgoing connections (from 32768), so that no client's own port is in the way.
const FIRST: u16 = 15_000;
const COUNT: u64 = 17_000;

/// A TCP port of 127.0.0.1 on which nobody listens and that this process has not handed out before.
///
/// # Errors
/// When no free port was found.
pub fn free_port() -> Result<u16> {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    for attempt in 0_u32..2_000 {
        // `RandomState` is seeded per process by the system: two test processes do not walk the same ports.
        let offset = RandomState::new().hash_one((std::process::id(), attempt)) % COUNT;
        let port = FIRST + u16::try_from(offset)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            continue;
        }
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get_or_insert_default().insert(port) {
            return Ok(port);
        }
    }
    bail!("no free loopback port between {FIRST} and {}", u64::from(FIRST) + COUNT)
}

/// Waits until something listens at `address`. Nothing connects: a server that keeps a log of its callers, as the
/// gateway does, sees nobody.
///
/// # Errors
/// When nothing did within `limit`.
pub fn wait_for_port(address: SocketAddr, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if somebody_listens(address) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("nothing listens on {address} after {limit:?}")
}

pub(crate) fn somebody_listens(address: SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let port = format!("{:04X}", address.port());
    std::fs::read_to_string(table).unwrap_or_default().lines().any(|line| {
        // `sl local_address rem_address st …`, an address being ADDRESS:PORT in hexadecimal.
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.split_once(':'));
        local.is_some_and(|(_, number)| number == port) && fields.nth(1) == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use super::{free_port, somebody_listens, wait_for_port};
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    #[test]
    fn listening_is_seen_without_connecting() {
        let address = (Ipv4Addr::LOCALHOST, free_port().unwrap()).into();
        assert!(wait_for_port(address, Duration::from_millis(50)).is_err());
        let listener = TcpListener::bind(address).unwrap();
        wait_for_port(address, Duration::from_secs(1)).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody has called");
        drop(listener);
        assert!(!somebody_listens(address));
    }

    #[test]
    fn no_port_is_handed_out_twice() {
        let mut ports: Vec<u16> = (0..200).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 200);
    }
}
