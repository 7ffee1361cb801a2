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

/// For objects of answers, and what requests look up for their decisions, in bytes.
const VALUES: usize = 512 << 20;
/// For namespaces that are looked up for the objects of answers, while there is room for an object, in bytes.
const NAMESPACES: usize = 32 << 20;
/// What a request has before it is known how much it needs, in bytes: an object, its namespace, what it would become.
const AT_FIRST: usize = 512 << 10;
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
    namespaces: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(VALUES, NAMESPACES)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Memory {
    fn of(values: usize, namespaces: usize) -> Self {
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self { most: values, values: room(values), namespaces: room(namespaces) }
    }

    /// Room for the tree of a text, once there is some.
    pub(crate) async fn value(&self, text: &[u8]) -> Result<Room, NoRoom> {
        let wanted = weight(text);
        if wanted > self.most {
            return Err(NoRoom::Ever);
        }
        taken(&self.values, wanted).await
    }

    /// Room for what a request looks up.
    pub(crate) async fn request(&self) -> Result<Room, NoRoom> {
        tokio::time::timeout(WAIT, taken(&self.values, AT_FIRST)).await.map_err(|_| NoRoom::Now)?
    }

    /// Room for a namespace.
    pub(crate) async fn namespace(&self) -> Result<Room, NoRoom> {
        tokio::time::timeout(WAIT, taken(&self.namespaces, AT_FIRST)).await.map_err(|_| NoRoom::Now)?
    }
}

async fn taken(of: &Arc<Semaphore>, bytes: usize) -> Result<Room, NoRoom> {
    let permit = Arc::clone(of).acquire_many_owned(units(bytes)).await.map_err(|_| NoRoom::Now)?;
    Ok(Room { of: Arc::clone(of), held: Mutex::new(Held { permit, used: 0 }) })
}

/// Room that somebody has; it is given back as this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    of: Arc<Semaphore>,
    held: Mutex<Held>,
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
        let memory = Memory::of(2 * AT_FIRST, AT_FIRST);
        let one = memory.request().await.unwrap();
        one.take(AT_FIRST).unwrap();
        let two = memory.request().await.unwrap();
        assert_eq!(one.take(1), Err(NoRoom::Now));
        let third = tokio::time::timeout(Duration::from_millis(50), memory.request()).await;
        assert!(third.is_err(), "it waits");
        drop(two);
        let mut waits = std::pin::pin!(memory.value(b"{}"));
        let room = tokio::time::timeout(Duration::from_secs(1), &mut waits).await.unwrap().unwrap();
        one.take(AT_FIRST / 2).unwrap();
        drop((one, room));
        assert_eq!(memory.values.available_permits() * UNIT, 2 * AT_FIRST, "all of it is given back");
    }

    #[tokio::test]
    async fn what_never_fits_is_refused_at_once() {
        let memory = Memory::default();
        assert_eq!(memory.value(&vec![b'['; 4 << 20]).await.unwrap_err(), NoRoom::Ever);
        assert!(memory.value(&vec![b'x'; 4 << 20]).await.is_ok());
    }

    #[tokio::test]
    async fn large_ones_wait_their_turn_and_all_are_done() {
        let memory = Arc::new(Memory::of(8 << 20, NAMESPACES));
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
