//! That somebody looks at what was recorded is in the audit log before they see it: once for a while of looking, as a page asks again and
//! again.
use super::{ApiState, administered, now};
use crate::problem::Problem;
use doorward_model::{Principal, SessionId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long one entry is good for.
const WHILE: Duration = Duration::from_secs(600);
/// Who looks at what: beyond that each look is written down.
const MOST: usize = 10_000;

/// Who looks at which recordings, since when it is written down.
#[derive(Debug, Default)]
pub(crate) struct Replays(Mutex<HashMap<(String, SessionId), Timestamp>>);

impl Replays {
    fn is_noted(&self, who: &Principal, session: SessionId, now: Timestamp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(who.id(), session)).is_some_and(|at| now.since(*at) < WHILE && *at <= now)
    }

    fn note(&self, who: &Principal, session: SessionId, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, at| now.since(*at) < WHILE);
        }
        if known.len() < MOST {
            known.insert((who.id(), session), now);
        }
    }
}

/// Writes down that somebody looks at what was recorded of a session, unless that was done a moment ago.
///
/// # Errors
/// 503 where it cannot be written down: nothing is shown then.
pub(crate) async fn looks_at(state: &ApiState, who: &Principal, session: SessionId) -> Result<(), Problem> {
    let at = now();
    if state.records.replays.is_noted(who, session, at) {
        return Ok(());
    }
    administered(state, who, Some(session), format!("replay the recording of {session}")).await?;
    state.records.replays.note(who, session, at);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::turns::tests::person, *};

    #[test]
    fn a_look_is_written_down_again_after_a_while_and_for_everybody() {
        let (replays, session) = (Replays::default(), SessionId::from_uuid(uuid::Uuid::from_u128(1)));
        let at = Timestamp::from_secs;
        assert!(!replays.is_noted(&person("ada"), session, at(1_000)));
        replays.note(&person("ada"), session, at(1_000));
        assert!(replays.is_noted(&person("ada"), session, at(1_599)));
        assert!(!replays.is_noted(&person("ada"), session, at(1_600)));
        assert!(!replays.is_noted(&person("ada"), session, at(999)), "the clock was put back");
        assert!(!replays.is_noted(&person("bob"), session, at(1_001)));
        assert!(!replays.is_noted(&person("ada"), SessionId::from_uuid(uuid::Uuid::from_u128(2)), at(1_001)));
        for n in 0..2 * MOST {
            replays.note(&person(&n.to_string()), session, at(1_100));
        }
        assert!(replays.0.lock().unwrap().len() <= MOST);
    }
}
