//! Turns at what is bounded: so many at once in all, and fewer for one principal, so that nobody takes all there are.
use doorward_model::Principal;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long somebody waits for a turn.
const WAIT: Duration = Duration::from_secs(5);

/// The turns.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    /// Those of who has one, or waits for one.
    ones: Mutex<HashMap<String, Arc<Semaphore>>>,
    wait: Duration,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] [OwnedSemaphorePermit; 2]);

impl Turns {
    /// So many in all, of which one principal has `of_one` at most.
    pub(crate) fn new(all: usize, of_one: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_one, ones: Mutex::default(), wait: WAIT }
    }

    /// A turn for this principal, whatever they come with. None where there is none for some seconds.
    pub(crate) async fn take(&self, who: &Principal) -> Option<Turn> {
        let own = self.of(who.id());
        let both = async {
            // First the own: who waits for that takes nothing from others.
            let own = own.acquire_owned().await.ok()?;
            let one = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Turn([own, one]))
        };
        timeout(self.wait, both).await.ok().flatten()
    }

    fn of(&self, who: String) -> Arc<Semaphore> {
        let mut ones = self.ones.lock().unwrap_or_else(PoisonError::into_inner);
        // A turn, and who waits for one, holds its own: what only this map holds is idle.
        ones.retain(|_, own| Arc::strong_count(own) > 1);
        Arc::clone(ones.entry(who).or_insert_with(|| Arc::new(Semaphore::new(self.of_one))))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use doorward_model::{PrincipalKind, Timestamp};

    pub(crate) fn person(subject: &str) -> Principal {
        Principal {
            kind: PrincipalKind::User,
            issuer: "corp".into(),
            subject: subject.into(),
            groups: [].into(),
            tags: [].into(),
            token_id: None,
            expires_at: Timestamp::from_secs(0),
            on_behalf_of: None,
        }
    }

    #[tokio::test]
    async fn nobody_takes_all_and_a_turn_comes_back() {
        let turns = Turns { wait: Duration::from_millis(20), ..Turns::new(3, 2) };
        let (ada, bob) = (person("ada"), person("bob"));
        let first = turns.take(&ada).await.unwrap();
        let second = turns.take(&ada).await.unwrap();
        assert!(turns.take(&ada).await.is_none(), "there is one left, but not for her");
        let bobs = turns.take(&bob).await.unwrap();
        assert!(turns.take(&bob).await.is_none(), "there is none left");
        drop(first);
        assert!(turns.take(&ada).await.is_some());
        assert!(turns.take(&bob).await.is_some());
        drop((second, bobs));
        drop(turns.take(&person("eve")).await);
        assert!(turns.take(&person("eve")).await.is_some());
        assert_eq!(turns.ones.lock().unwrap().len(), 1, "who has none is forgotten");
    }
}
