//! Memory for values that are taken apart, of all callers together.
//!
//! A tree takes up to 128 times as much as its text ([`doorward_kubernetes::json::weight`]). Who takes a value apart has room
//! for all of it first, in the order of asking, and gives it back before anything is sent to anybody. So nobody who has
//! room waits for a peer that does not read; for the API server's answers alone, which have a time limit.
//!
//! INVARIANT: who has room never waits for more of the same: it is refused what is not there at once. So nobody waits for ever.
use doorward_kubernetes::json::weight;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For objects of answers, in bytes.
const VALUES: usize = 384 << 20;
/// For what requests look up for their decisions, in bytes: large answers do not stand in their way.
const REQUESTS: usize = 128 << 20;
/// For namespaces that are looked up for the objects of answers, while there is room for an object, in bytes.
const NAMESPACES: usize = 32 << 20;
/// What a request has before it is known how much it needs, in bytes: an object, its namespace, what it would become.
const AT_FIRST: usize = 128 << 10;
/// What is counted, in bytes.
const UNIT: usize = 1 << 10;
/// How long a request waits.
const WAIT: Duration = Duration::from_secs(10);

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// For so many of them.
    #[error("there is no room for so many large objects at once")]
    Now,
    /// Nor will there be.
    #[error("a value in it has too many parts")]
    Ever,
}

/// The bound of a process.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    values: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    namespaces: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(VALUES, REQUESTS, NAMESPACES)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Memory {
    fn of(values: usize, requests: usize, namespaces: usize) -> Self {
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self { most: values, values: room(values), requests: room(requests), namespaces: room(namespaces) }
    }

    /// Room for the tree of a text, once there is some.
    pub(crate) async fn value(&self, text: &[u8]) -> Result<Room, NoRoom> {
        let wanted = weight(text);
        if wanted > self.most {
            return Err(NoRoom::Ever);
        }
        taken(&self.values, wanted).await
    }

    /// Room for what a request looks up. `places`: those of its cluster, so that one that does not answer leaves room for
    /// others.
    pub(crate) async fn request(&self, places: &Arc<Semaphore>) -> Result<Room, NoRoom> {
        let room = async {
            let place = Arc::clone(places).acquire_owned().await.map_err(|_| NoRoom::Now)?;
            let room = taken(&self.requests, AT_FIRST).await?;
            Ok(Room { _place: Some(place), ..room })
        };
        tokio::time::timeout(WAIT, room).await.map_err(|_| NoRoom::Now)?
    }

    /// Room for a namespace.
    pub(crate) async fn namespace(&self) -> Result<Room, NoRoom> {
        tokio::time::timeout(WAIT, taken(&self.namespaces, AT_FIRST)).await.map_err(|_| NoRoom::Now)?
    }
}

async fn taken(of: &Arc<Semaphore>, bytes: usize) -> Result<Room, NoRoom> {
    let permit = Arc::clone(of).acquire_many_owned(units(bytes)).await.map_err(|_| NoRoom::Now)?;
    Ok(Room { of: Arc::clone(of), held: Mutex::new(Held { permit, used: 0 }), _place: None })
}

/// Room that somebody has; it is given back as this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    of: Arc<Semaphore>,
    held: Mutex<Held>,
    _place: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Held {
    permit: OwnedSemaphorePermit,
    used: usize,
}

impl Room {
    /// Takes some of it, and what is lacking from what nobody has: nothing is waited for.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut held = self.held.lock();
        held.used = held.used.saturating_add(bytes);
        if held.used > REQUESTS {
            return Err(NoRoom::Ever);
        }
        let lacking = units(held.used).saturating_sub(u32::try_from(held.permit.num_permits()).unwrap_or(u32::MAX));
        if lacking > 0 {
            let more = Arc::clone(&self.of).try_acquire_many_owned(lacking).map_err(|_| NoRoom::Now)?;
            held.permit.merge(more);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_room_waits_for_no_more_of_it() {
        let memory = Memory::of(2 * AT_FIRST, 2 * AT_FIRST, AT_FIRST);
        let places = Arc::new(Semaphore::new(8));
        let one = memory.request(&places).await.unwrap();
        one.take(AT_FIRST).unwrap();
        let two = memory.request(&places).await.unwrap();
        assert_eq!(one.take(1), Err(NoRoom::Now));
        let third = tokio::time::timeout(Duration::from_millis(50), memory.request(&places)).await;
        assert!(third.is_err(), "it waits");
        drop(two);
        let mut waits = std::pin::pin!(memory.value(b"{}"));
        let room = tokio::time::timeout(Duration::from_secs(1), &mut waits).await.unwrap().unwrap();
        one.take(AT_FIRST / 2).unwrap();
        drop((one, room));
        for all in [&memory.values, &memory.requests] {
            assert_eq!(all.available_permits() * UNIT, 2 * AT_FIRST, "all of it is given back");
        }
    }

    #[tokio::test]
    async fn neither_a_silent_cluster_nor_a_large_answer_is_in_others_way() {
        let memory = Memory::of(2 * AT_FIRST, 2 * AT_FIRST, AT_FIRST);
        let (silent, other) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let _held = memory.request(&silent).await.unwrap();
        let _large = memory.value(&[b'x'; 2 * UNIT]).await.unwrap();
        let text = vec![b'x'; AT_FIRST - UNIT];
        let mut waits = std::pin::pin!(memory.value(&text));
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut waits).await.is_err());
        let again = tokio::time::timeout(Duration::from_millis(50), memory.request(&silent)).await;
        assert!(again.is_err(), "its places are taken");
        let room = tokio::time::timeout(Duration::from_millis(50), memory.request(&other)).await.unwrap().unwrap();
        assert_eq!(room.take(REQUESTS + 1), Err(NoRoom::Ever));
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_at_once() {
        let memory = Memory::default();
        assert_eq!(memory.value(&vec![b'['; 4 << 20]).await.unwrap_err(), NoRoom::Ever);
        assert!(memory.value(&vec![b'x'; 4 << 20]).await.is_ok());
    }

    #[tokio::test]
    async fn large_ones_wait_their_turn_and_all_are_done() {
        let memory = Arc::new(Memory::of(8 << 20, REQUESTS, NAMESPACES));
        let text = Arc::new(vec![b'x'; 256 << 10]);
        let each = |n: usize| {
            let (memory, text) = (Arc::clone(&memory), Arc::clone(&text));
            async move {
                let text = if n.is_multiple_of(4) { text.as_slice() } else { b"{}" };
                let _room = memory.value(text).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let all: Vec<_> = (0..256).map(|n| tokio::spawn(each(n))).collect();
        for one in all {
            tokio::time::timeout(Duration::from_secs(20), one).await.unwrap().unwrap();
        }
    }
}
