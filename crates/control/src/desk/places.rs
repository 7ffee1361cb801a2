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
/// What one agent may have of that for all whom it acts for: so many times what one caller may.
pub(super) const FOR_ALL: u32 = 10;
/// What an approval takes besides its texts.
const AROUND: usize = 256;
/// What a right takes besides its names.
const RIGHT: usize = 96;

/// What an approval takes, and of whose places.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// Who asks: its key, and as it is shown.
    caller: (String, String),
    /// The agent that asks (`issuer/subject`), where it acts for somebody.
    agent: Option<String>,
    /// What is shown, and the list of its rights.
    pub(super) bytes: u64,
}

impl Want {
    pub(super) fn of(r: &ApprovalRequest) -> Self {
        let rights = r.facts.accesses.iter().map(|a| a.resource.to_string().len().saturating_add(RIGHT));
        let shown = weight(&r.statement).saturating_add(r.shown.weight());
        let bytes = rights.fold(shown.saturating_add(AROUND), usize::saturating_add);
        Self {
            caller: (r.principal.key(), r.principal.to_string()),
            agent: r.principal.person().map(|_| r.principal.id()),
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        }
    }

    /// Whose places it takes, by key and as they are shown, and how many times those of one caller they have.
    fn of_whom(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        let (key, shown) = &self.caller;
        std::iter::once((&**key, &**shown, 1)).chain(self.agent.iter().map(|agent| (&**agent, &**agent, FOR_ALL)))
    }
}

/// Why an approval cannot wait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("{whose} has {count} approvals pending, as many as {may}: have some decided first, or let them expire")]
    Count { whose: String, count: usize, may: &'static str },
    #[error(
        "{whose} has approvals pending that take {bytes} bytes, and with this one it would be more than the {most} that {may} have: \
         have some decided first, or let them expire"
    )]
    Bytes { whose: String, bytes: u64, most: u64, may: &'static str },
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
    /// Of callers by their keys, and of agents (true) for all whom they act for. What an agent asks for itself is its own.
    of: HashMap<(String, bool), Taken>,
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
        Self { all: Taken::default(), of: HashMap::new(), most_of_one, most_bytes_of_one }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Where the caller has taken theirs, or there is none.
    pub(super) fn take(&mut self, want: &Want) -> Result<(), Full> {
        for (whose, shown, times) in want.of_whom() {
            self.has_room(whose, shown, times, want.bytes)?;
        }
        if !self.all.has_room(want.bytes, MOST, MOST_BYTES) {
            return Err(Full::All { count: self.all.count, bytes: self.all.bytes });
        }
        self.all.add(want.bytes);
        for (whose, _, times) in want.of_whom() {
            self.of.entry(key(whose, times)).or_default().add(want.bytes);
        }
        Ok(())
    }

    fn has_room(&self, whose: &str, shown: &str, times: u32, bytes: u64) -> Result<(), Full> {
        let taken = self.of.get(&key(whose, times)).copied().unwrap_or_default();
        let most = self.most_of_one.saturating_mul(times as usize);
        let most_bytes = self.most_bytes_of_one.saturating_mul(times.into());
        let may = if times == 1 { "one caller may" } else { "one agent may for all whom it acts for" };
        let whose = shown.to_owned();
        if taken.count >= most {
            return Err(Full::Count { whose, count: taken.count, may });
        }
        if !taken.has_room(bytes, most, most_bytes) {
            return Err(Full::Bytes { whose, bytes: taken.bytes, most: most_bytes, may });
        }
        Ok(())
    }

    /// Gives a place back that was taken.
    pub(super) fn leave(&mut self, want: &Want) {
        self.all.remove(want.bytes);
        for (whose, _, times) in want.of_whom() {
            let key = key(whose, times);
            if let Some(taken) = self.of.get_mut(&key) {
                taken.remove(want.bytes);
                if taken.count == 0 {
                    self.of.remove(&key);
                }
            }
        }
    }
}

fn key(whose: &str, times: u32) -> (String, bool) {
    (whose.to_owned(), times > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(caller: &str, bytes: u64) -> Want {
        Want { caller: (caller.into(), caller.into()), agent: None, bytes }
    }

    fn for_person(agent: &str, person: &str) -> Want {
        Want {
            caller: (format!("{agent}\0{person}"), format!("{agent} for {person}")),
            agent: Some(agent.into()),
            bytes: 1,
        }
    }

    #[test]
    fn one_person_takes_no_places_from_the_others_of_an_agent() {
        let mut places = Places::default();
        for n in 0..FOR_ALL {
            let want = for_person("corp/bot", &format!("corp/{n}"));
            for _ in 0..MOST_OF_ONE {
                places.take(&want).unwrap();
            }
            let full = places.take(&want).unwrap_err();
            assert!(full.to_string().starts_with(&format!("corp/bot for corp/{n} has 100 approvals")), "{full}");
        }
        let full = places.take(&for_person("corp/bot", "corp/last")).unwrap_err();
        assert_eq!(
            full.to_string(),
            "corp/bot has 1000 approvals pending, as many as one agent may for all whom it acts for: have some decided first, or let \
             them expire"
        );
        places.take(&want("corp/bot", 1)).unwrap();
        places.take(&for_person("corp/other", "corp/0")).unwrap();
        places.leave(&for_person("corp/bot", "corp/0"));
        places.take(&for_person("corp/bot", "corp/last")).unwrap();
        assert_eq!(places.all.count, 1002);
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
        assert!(!places.of.contains_key(&key("0", 1)), "who has none takes no room");
        places.take(&want("x", 1)).unwrap();
    }
}
