//! The sessions of a caller's connection, by the token that each is of.
//!
//! INVARIANT: no lock is held while a session begins: who signs in with one token waits for nobody with another.
use parking_lot::Mutex;
use std::{collections::HashMap, future::Future, sync::Arc};
use tokio::sync::OnceCell;

/// A digest of a token.
pub(super) type Key = [u8; 32];

/// Why there is no session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotBegun<S, E> {
    /// There are too many others.
    Full,
    /// The connection is gone.
    Gone,
    /// It is gone, and this session has begun all the same: it is to be closed.
    Late(Arc<S>),
    /// It did not begin.
    Failed(E),
}

#[derive(Debug)]
struct Known<S> {
    all: HashMap<Key, Arc<OnceCell<Arc<S>>>>,
    is_closed: bool,
}

/// Sessions that have begun, or are about to.
#[derive(Debug)]
pub(super) struct Sessions<S> {
    most: usize,
    known: Mutex<Known<S>>,
}

impl<S> Sessions<S> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: Mutex::new(Known { all: HashMap::new(), is_closed: false }) }
    }

    /// The session of a token. Of those who come with the same one, one begins it, and the others wait.
    pub(super) async fn of<E>(
        &self,
        key: Key,
        begin: impl Future<Output = Result<Arc<S>, E>>,
    ) -> Result<Arc<S>, NotBegun<S, E>> {
        let place = {
            let mut known = self.known.lock();
            if known.is_closed {
                return Err(NotBegun::Gone);
            }
            if known.all.len() >= self.most && !known.all.contains_key(&key) {
                // Those that nobody is about to begin any more.
                known.all.retain(|_, place| place.initialized() || Arc::strong_count(place) > 1);
                if known.all.len() >= self.most {
                    return Err(NotBegun::Full);
                }
            }
            Arc::clone(known.all.entry(key).or_default())
        };
        let session = place.get_or_try_init(|| begin).await.map(Arc::clone).map_err(NotBegun::Failed)?;
        let mut known = self.known.lock();
        if known.is_closed {
            return Err(known.all.remove(&key).map_or(NotBegun::Gone, |_| NotBegun::Late(session)));
        }
        Ok(session)
    }

    /// Those that have begun.
    pub(super) fn begun(&self) -> Vec<Arc<S>> {
        self.known.lock().all.values().filter_map(|place| place.get().cloned()).collect()
    }

    /// The connection is gone: the sessions that have begun. None begins any more.
    pub(super) fn close(&self) -> Vec<Arc<S>> {
        let mut known = self.known.lock();
        known.is_closed = true;
        let begun = known.all.extract_if(|_, place| place.initialized());
        begun.filter_map(|(_, place)| place.get().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    type Begun<T> = Result<Arc<T>, &'static str>;

    async fn soon<T>(f: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(5), f).await.unwrap()
    }

    #[tokio::test]
    async fn a_slow_sign_in_delays_nobody_else() {
        let sessions = Arc::new(Sessions::new(2));
        let (go, wait) = oneshot::channel::<()>();
        let slow = {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move {
                let begin = async {
                    let _gone = wait.await;
                    Begun::Ok(Arc::new("slow"))
                };
                sessions.of([1; 32], begin).await
            })
        };
        tokio::task::yield_now().await;
        let other = soon(sessions.of([2; 32], async { Begun::Ok(Arc::new("other")) })).await;
        assert_eq!(other, Ok(Arc::new("other")));
        assert_eq!(sessions.begun().len(), 1);
        let full = sessions.of([3; 32], async { Begun::Ok(Arc::new("third")) }).await;
        assert_eq!(full, Err(NotBegun::Full));
        // With the same token it is the same session.
        let same = {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move { sessions.of([1; 32], async { Begun::Err("another") }).await })
        };
        go.send(()).unwrap();
        assert_eq!(soon(slow).await.unwrap(), Ok(Arc::new("slow")));
        assert_eq!(soon(same).await.unwrap(), Ok(Arc::new("slow")));
    }

    #[tokio::test]
    async fn what_failed_takes_no_place() {
        let sessions = Sessions::<u8>::new(1);
        for n in 0..3 {
            let failed = sessions.of([n; 32], async { Begun::<u8>::Err("no") }).await;
            assert_eq!(failed, Err(NotBegun::Failed("no")));
        }
        assert!(sessions.of([9; 32], async { Begun::Ok(Arc::new(1)) }).await.is_ok());
    }

    #[tokio::test]
    async fn what_begins_after_the_end_is_closed_once() {
        let sessions = Arc::new(Sessions::new(8));
        assert!(sessions.of([0; 32], async { Begun::Ok(Arc::new("early")) }).await.is_ok());
        let (go, wait) = oneshot::channel::<()>();
        let late = {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move {
                let begin = async {
                    let _gone = wait.await;
                    Begun::Ok(Arc::new("late"))
                };
                sessions.of([1; 32], begin).await
            })
        };
        tokio::task::yield_now().await;
        let other = {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move { sessions.of([1; 32], async { Begun::Err("no") }).await })
        };
        tokio::task::yield_now().await;
        assert_eq!(sessions.close(), [Arc::new("early")]);
        go.send(()).unwrap();
        let mut ends = vec![soon(late).await.unwrap(), soon(other).await.unwrap()];
        ends.sort_by_key(|end| matches!(end, Err(NotBegun::Gone)));
        assert_eq!(ends, [Err(NotBegun::Late(Arc::new("late"))), Err(NotBegun::Gone)]);
        let none = sessions.of([2; 32], async { Begun::Ok(Arc::new("x")) }).await;
        assert_eq!(none, Err(NotBegun::Gone));
    }
}
