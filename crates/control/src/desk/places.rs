//! How many approvals may wait, and of whom: one caller takes neither all places nor all memory from the others.
use doorward_enforce::{ApprovalRequest, shown::weight};
use std::collections::HashMap;

/// Approvals that may be pending at once.
const MOST: usize = 10_000;
/// Bytes that they may take.
const MOST_BYTES: u64 = 512 << 20;
/// Approvals of one caller.
const MOST_OF_ONE: usize = 100;
/// Bytes that those may take.
const MOST_BYTES_OF_ONE: u64 = 16 << 20;
/// What an approval takes besides its texts.
const AROUND: usize = 256;
/// What a right takes besides its names.
const RIGHT: usize = 96;

/// What an approval takes, and of whose places.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// `issuer/subject` of who asks: the agent, whomever it acts for.
    caller: String,
    /// What is shown, and the list of its rights.
    pub(super) bytes: u64,
}

impl Want {
    pub(super) fn of(r: &ApprovalRequest) -> Self {
        let rights = r.facts.accesses.iter().map(|a| a.resource.to_string().len().saturating_add(RIGHT));
        let shown = weight(&r.statement).saturating_add(r.shown.weight());
        let bytes = rights.fold(shown.saturating_add(AROUND), usize::saturating_add);
        Self { caller: r.principal.id(), bytes: u64::try_from(bytes).unwrap_or(u64::MAX) }
    }
}

/// Why an approval cannot wait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error(
        "{caller} has {count} approvals pending, as many as one caller may: have some decided first, or let them expire"
    )]
    Count { caller: String, count: usize },
    #[error(
        "{caller} has approvals pending that take {bytes} bytes, and with this one it would be more than the {MOST_BYTES_OF_ONE} that \
         one caller may have: have some decided first, or let them expire"
    )]
    Bytes { caller: String, bytes: u64 },
    #[error("{count} approvals of {bytes} bytes are pending on this gateway, and there is no room for more")]
    All { count: usize, bytes: u64 },
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    count: usize,
    bytes: u64,
}

impl Taken {
    fn add(&mut self, bytes: u64) {
        (self.count, self.bytes) = (self.count.saturating_add(1), self.bytes.saturating_add(bytes));
    }

    fn remove(&mut self, bytes: u64) {
        (self.count, self.bytes) = (self.count.saturating_sub(1), self.bytes.saturating_sub(bytes));
    }

    const fn has_room(self, bytes: u64, most: usize, most_bytes: u64) -> bool {
        self.count < most && self.bytes.saturating_add(bytes) <= most_bytes
    }
}

/// The places that are taken.
#[derive(Debug)]
pub(super) struct Places {
    all: Taken,
    by_caller: HashMap<String, Taken>,
    most_of_one: usize,
    most_bytes_of_one: u64,
}

impl Default for Places {
    fn default() -> Self {
        Self::of(MOST_OF_ONE, MOST_BYTES_OF_ONE)
    }
}

impl Places {
    /// With so many, and so many bytes, for each caller.
    pub(super) fn of(most_of_one: usize, most_bytes_of_one: u64) -> Self {
        Self { all: Taken::default(), by_caller: HashMap::new(), most_of_one, most_bytes_of_one }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Where the caller has taken theirs, or there is none.
    pub(super) fn take(&mut self, want: &Want) -> Result<(), Full> {
        let of_one = self.by_caller.get(&want.caller).copied().unwrap_or_default();
        let caller = want.caller.clone();
        if of_one.count >= self.most_of_one {
            return Err(Full::Count { caller, count: of_one.count });
        }
        if !of_one.has_room(want.bytes, self.most_of_one, self.most_bytes_of_one) {
            return Err(Full::Bytes { caller, bytes: of_one.bytes });
        }
        if !self.all.has_room(want.bytes, MOST, MOST_BYTES) {
            return Err(Full::All { count: self.all.count, bytes: self.all.bytes });
        }
        self.all.add(want.bytes);
        self.by_caller.entry(caller).or_default().add(want.bytes);
        Ok(())
    }

    /// Gives a place back that was taken.
    pub(super) fn leave(&mut self, want: &Want) {
        self.all.remove(want.bytes);
        if let Some(of_one) = self.by_caller.get_mut(&want.caller) {
            of_one.remove(want.bytes);
            if of_one.count == 0 {
                self.by_caller.remove(&want.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(caller: &str, bytes: u64) -> Want {
        Want { caller: caller.into(), bytes }
    }

    #[test]
    fn one_caller_takes_no_more_than_their_places() {
        let mut places = Places::default();
        for _ in 0..MOST_OF_ONE {
            places.take(&want("corp/a", 10)).unwrap();
        }
        let full = places.take(&want("corp/a", 10)).unwrap_err();
        assert_eq!(
            full.to_string(),
            "corp/a has 100 approvals pending, as many as one caller may: have some decided first, or let them expire"
        );
        places.take(&want("corp/b", MOST_BYTES_OF_ONE)).unwrap();
        let full = places.take(&want("corp/b", 1)).unwrap_err();
        assert!(full.to_string().contains("more than the 16777216 that one caller may have"), "{full}");
        places.leave(&want("corp/a", 10));
        places.take(&want("corp/a", 10)).unwrap();
        places.leave(&want("corp/b", MOST_BYTES_OF_ONE));
        places.take(&want("corp/b", 1)).unwrap();
        assert_eq!((places.all.count, places.all.bytes), (101, 1001));
    }

    #[test]
    fn there_is_an_end_to_all_places() {
        let mut places = Places::default();
        for n in 0..MOST / MOST_OF_ONE {
            for _ in 0..MOST_OF_ONE {
                places.take(&want(&n.to_string(), 1)).unwrap();
            }
        }
        assert!(matches!(places.take(&want("x", 1)), Err(Full::All { .. })));
        let mut places = Places::default();
        for n in 0..MOST_BYTES / MOST_BYTES_OF_ONE {
            places.take(&want(&n.to_string(), MOST_BYTES_OF_ONE)).unwrap();
        }
        assert!(matches!(places.take(&want("x", 1)), Err(Full::All { .. })));
        places.leave(&want("0", MOST_BYTES_OF_ONE));
        assert!(!places.by_caller.contains_key("0"), "who has none takes no room");
        places.take(&want("x", 1)).unwrap();
    }
}
