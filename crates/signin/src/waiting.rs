//! What waits for somebody to come back: bounded in number and time, each taken once.
use crate::secret;
use doorward_model::Timestamp;
use doorward_store::SecretHash;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

/// Things kept under the hash of a secret. Where there are too many, the oldest goes: whoever begins sign-ins by the
/// thousand makes others begin again, and fills nothing.
pub(crate) struct Waiting<T> {
    most: usize,
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    items: HashMap<SecretHash, (Timestamp, T)>,
    order: VecDeque<SecretHash>,
}

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<T> Waiting<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::new(Kept { items: HashMap::new(), order: VecDeque::new() }) }
    }

    pub(crate) fn put(&self, secret: &str, expires: Timestamp, item: T) {
        let key = secret::hash(secret);
        let mut kept = self.kept.lock();
        while kept.order.len() >= self.most {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.items.remove(&oldest);
        }
        kept.order.push_back(key);
        kept.items.insert(key, (expires, item));
    }

    pub(crate) fn take(&self, secret: &str, now: Timestamp) -> Option<T> {
        let (expires, item) = self.kept.lock().items.remove(&secret::hash(secret))?;
        (expires > now).then_some(item)
    }

    /// Looks at one, or changes it, without taking it.
    pub(crate) fn with<R>(&self, secret: &str, now: Timestamp, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut kept = self.kept.lock();
        let (expires, item) = kept.items.get_mut(&secret::hash(secret))?;
        (*expires > now).then(|| look(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_number_and_time() {
        let at = Timestamp::from_secs;
        let waiting = Waiting::new(2);
        for (key, n) in [("a", 1), ("b", 2), ("c", 3)] {
            waiting.put(key, at(10), n);
        }
        assert_eq!((waiting.take("a", at(5)), waiting.take("b", at(5))), (None, Some(2)));
        assert_eq!(waiting.take("b", at(5)), None);
        assert_eq!(waiting.with("c", at(5), |n| std::mem::replace(n, 9)), Some(3));
        assert_eq!((waiting.with("c", at(10), |n| *n), waiting.take("c", at(10))), (None, None));
        for n in 0..1000 {
            waiting.put(&n.to_string(), at(10), n);
            waiting.take(&n.to_string(), at(5));
        }
        assert!(waiting.kept.lock().order.len() <= 2 && waiting.kept.lock().items.is_empty());
    }
}
