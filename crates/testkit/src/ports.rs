//! Free loopback ports.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
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

/// Waits until something accepts connections at `address`.
///
/// # Errors
/// When nothing did within `limit`.
pub fn wait_for_port(address: SocketAddr, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if accepts(address) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("nothing listens on {address} after {limit:?}")
}

pub(crate) fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}
