//! What the session's names stand for: prepared statements and portals.
//!
//! A name offered by a pipelined message is not the server's yet: the message may fail or be
//! skipped. Within one segment (up to the next Sync) the last offer is exact, because whatever
//! follows a failed message is skipped with it. Across segments a name with an unanswered offer is
//! ambiguous, and the session waits for the answer before it decides anything by that name.
use ahash::AHashMap;
use std::{borrow::Cow, sync::Arc};

/// The longest name the server keeps, in bytes (`NAMEDATALEN` - 1).
const LONGEST: usize = 63;

/// A name of the protocol as the server keeps it: cut after 63 bytes, without a look at characters.
/// Two names with the same key are one to the server, so they have to be one here.
pub(crate) fn kept(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST {
        return Cow::Borrowed(name);
    }
    let whole = name.floor_char_boundary(LONGEST);
    let (start, rest) = name.split_at(whole);
    let cut: Vec<u8> = rest.bytes().take(LONGEST - whole).collect();
    // Part of a character is no text; no name holds a NUL, so this is nobody else's key.
    if cut.is_empty() { Cow::Borrowed(start) } else { Cow::Owned(format!("{start}\0{}", cut.escape_ascii())) }
}

/// What a name stands for.
#[derive(Debug)]
pub(crate) enum Lookup<T> {
    /// Exactly this.
    One(Arc<T>),
    /// An earlier segment has to be answered first.
    Ambiguous,
    /// Nothing.
    Unknown,
}

#[derive(Debug)]
struct Slot<T> {
    confirmed: Option<Arc<T>>,
    pending: Vec<(u64, Arc<T>)>,
}

/// Names of one kind. Bounded: see [`Names::is_full`].
#[derive(Debug)]
pub(crate) struct Names<T> {
    slots: AHashMap<Box<str>, Slot<T>>,
    limit: usize,
}

impl<T> Names<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { slots: AHashMap::new(), limit }
    }

    /// Whether one more name would break the bound on a session's memory.
    pub(crate) fn is_full(&self, name: &str) -> bool {
        self.slots.len() >= self.limit && !self.slots.contains_key(name)
    }

    pub(crate) fn offer(&mut self, name: &str, segment: u64, value: Arc<T>) {
        match self.slots.get_mut(name) {
            Some(slot) => slot.pending.push((segment, value)),
            None => {
                self.slots.insert(name.into(), Slot { confirmed: None, pending: vec![(segment, value)] });
            }
        }
    }

    /// The server has taken this offer: whatever the name stood for before is gone.
    pub(crate) fn confirm(&mut self, name: &str, value: &Arc<T>) {
        if let Some(slot) = self.slots.get_mut(name) {
            if let Some(at) = slot.pending.iter().position(|(_, v)| Arc::ptr_eq(v, value)) {
                slot.pending.drain(..=at);
            }
            slot.confirmed = Some(Arc::clone(value));
        }
    }

    /// The server has turned this offer down, or skipped it.
    pub(crate) fn fail(&mut self, name: &str, value: &Arc<T>) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.pending.retain(|(_, v)| !Arc::ptr_eq(v, value));
            if slot.pending.is_empty() && slot.confirmed.is_none() {
                self.slots.remove(name);
            }
        }
    }

    /// The server has closed the name.
    pub(crate) fn forget(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.confirmed = None;
            if slot.pending.is_empty() {
                self.slots.remove(name);
            }
        }
    }

    /// Nothing the server has confirmed is left (`DEALLOCATE ALL`, the end of a transaction).
    pub(crate) fn forget_confirmed(&mut self) {
        self.slots.retain(|_, slot| {
            slot.confirmed = None;
            !slot.pending.is_empty()
        });
    }

    pub(crate) fn lookup(&self, name: &str, segment: u64) -> Lookup<T> {
        let Some(slot) = self.slots.get(name) else { return Lookup::Unknown };
        match (slot.pending.last(), &slot.confirmed) {
            (Some((s, value)), _) if *s == segment => Lookup::One(Arc::clone(value)),
            (Some(_), _) => Lookup::Ambiguous,
            (None, Some(value)) => Lookup::One(Arc::clone(value)),
            (None, None) => Lookup::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &Names<u8>, segment: u64) -> String {
        match names.lookup("s", segment) {
            Lookup::One(v) => v.to_string(),
            Lookup::Ambiguous => "ambiguous".into(),
            Lookup::Unknown => "unknown".into(),
        }
    }

    #[test]
    fn an_unanswered_offer_counts_in_its_own_segment_only() {
        let mut n = Names::new(10);
        let (a, b) = (Arc::new(1), Arc::new(2));
        n.offer("s", 1, Arc::clone(&a));
        assert_eq!(found(&n, 1), "1");
        assert_eq!(found(&n, 2), "ambiguous");
        n.confirm("s", &a);
        assert_eq!(found(&n, 2), "1");
        n.offer("s", 2, Arc::clone(&b));
        assert_eq!(found(&n, 2), "2");
        n.fail("s", &b);
        assert_eq!(found(&n, 3), "1", "a failed Parse leaves what was there");
        n.forget("s");
        assert_eq!(found(&n, 3), "unknown");
    }

    #[test]
    fn a_close_does_not_take_a_later_offer_along() {
        let mut n = Names::new(10);
        let (a, b) = (Arc::new(1), Arc::new(2));
        n.offer("s", 1, Arc::clone(&a));
        n.confirm("s", &a);
        n.offer("s", 2, Arc::clone(&b));
        n.forget("s");
        n.confirm("s", &b);
        assert_eq!(found(&n, 3), "2");
    }

    #[test]
    fn names_are_one_where_the_server_takes_them_for_one() {
        let stem = "n".repeat(62);
        let of = |end: &str| kept(&format!("{stem}{end}")).into_owned();
        assert_eq!(kept("s1"), "s1");
        assert_eq!(of("x"), of("xyz"));
        // The server compares 0xC3 with 0xC3, and with nothing.
        assert_eq!(of("\u{e9}"), of("\u{e3}"));
        assert_ne!(of("\u{e9}"), of("\u{119}"));
        assert_ne!(of("\u{e9}"), of(""));
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let mut n = Names::new(1);
        n.offer("s", 1, Arc::new(1));
        assert!(n.is_full("t"));
        assert!(!n.is_full("s"));
    }
}
