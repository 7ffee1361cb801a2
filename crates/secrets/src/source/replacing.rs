//! What becomes of a credential that an upstream did not accept.
//!
//! That may be because it is no longer right, and because of something that a caller does: whoever brings that about may not
//! take away what others are logged in with. So a lease that is refused stays in use until an upstream has accepted another
//! one, and another one is asked for at a pace; unless the source itself says that the lease has gone.
use super::{Asked, Held, InUse, Login, Source, State, in_time};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// An upstream that says no makes a source be asked again no more often than this.
const REFUSALS: Duration = Duration::from_secs(2);
/// After a refusal had a lease made, the next one has none made for so long; twice as long after each, up to the second.
const PACE: (Duration, Duration) = (Duration::from_secs(180), Duration::from_secs(3600));
/// Refusals that are so far from the last one begin anew.
const CALM: Duration = Duration::from_secs(2 * 3600);
/// For how long one that nobody has logged in with is kept to take another's place.
const UNPROVEN: Duration = Duration::from_secs(60);

/// How often refusals have had a lease made.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<(Instant, Duration)>,
}

impl Pace {
    fn lets(&self, now: Instant) -> bool {
        self.last.is_none_or(|(at, pause)| now.saturating_duration_since(at) >= pause)
    }

    fn took(&mut self, now: Instant) {
        let before = self.last.filter(|(at, _)| now.saturating_duration_since(*at) < CALM);
        self.last = Some((now, before.map_or(PACE.0, |(_, pause)| (pause * 2).min(PACE.1))));
    }
}

impl Source {
    /// The upstream did not accept this one. What may be tried in its place, if there is something.
    pub async fn refused(self: &Arc<Self>, login: &Login) -> Option<Login> {
        self.refused_at(login, Asked::now()).await
    }

    pub(super) async fn refused_at(self: &Arc<Self>, login: &Login, asked: Asked) -> Option<Login> {
        let (this, login) = (Arc::clone(self), login.clone());
        // In a task of its own: a credential that was made for somebody who has left is kept, not lost.
        let answer = tokio::spawn(async move {
            let mut state = this.state.lock().await;
            this.settle(&mut state, asked.at);
            this.instead_of(&mut state, &login, asked).await
        });
        answer.await.ok().flatten()
    }

    async fn instead_of(&self, state: &mut State, login: &Login, asked: Asked) -> Option<Login> {
        if state.next.as_ref().is_some_and(|next| next.login.is(login)) {
            // The one that was made in its place is not accepted either.
            self.drop_next(state);
            return None;
        }
        if let Some(held) = state.value.as_ref().filter(|h| !h.login.is(login)) {
            return Some(held.login.clone());
        }
        if let Some(next) = &state.next {
            return Some(next.login.clone());
        }
        if state.asked_again.is_some_and(|at| asked.at.saturating_duration_since(at) < REFUSALS) {
            return None;
        }
        state.asked_again = Some(asked.at);
        let is_lent = match self.is_lent(state).await {
            Lent::No | Lent::Gone => {
                // INVARIANT: what an upstream refused is nobody's last good value.
                self.retire(state);
                false
            }
            Lent::Yes if !state.pace.lets(asked.at) => return None,
            Lent::Yes => true,
        };
        match self.fetch(state, asked).await {
            Ok(newer) => {
                if is_lent {
                    state.pace.took(asked.at);
                }
                (!newer.is(login)).then_some(newer)
            }
            Err(e) => {
                tracing::warn!("the secret `{}`, which its upstream did not accept: {e}", self.path);
                None
            }
        }
    }

    /// Whether the value was lent for a time, and that time is not over.
    async fn is_lent(&self, state: &State) -> Lent {
        let Some(Held { lease: Some(held), .. }) = &state.value else { return Lent::No };
        let is_over = held.lease.era != self.provider.era()
            || in_time(async { Ok(self.provider.is_gone(&held.lease).await) }).await.unwrap_or(false);
        if is_over { Lent::Gone } else { Lent::Yes }
    }

    /// Takes notice of what upstreams have accepted meanwhile.
    pub(super) fn settle(&self, state: &mut State, now: Instant) {
        let has_worked = |held: &mut Held| held.login.in_use.has_worked();
        if let Some(next) = state.next.take_if(has_worked) {
            self.retire(state);
            state.value = Some(next);
        }
        if state.next.as_ref().is_some_and(|h| now.saturating_duration_since(h.fetched) >= UNPROVEN) {
            self.drop_next(state);
        }
        // INVARIANT: sessions are not ended for one that nobody could log in with.
        if state.is_replaced && state.value.as_mut().is_some_and(has_worked) {
            state.is_replaced = false;
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was to take the value's place is given back.
    pub(super) fn drop_next(&self, state: &mut State) {
        let Some(Held { lease, login, .. }) = state.next.take() else { return };
        let uses: &InUse = &login.in_use;
        if let Some(lease) = lease {
            self.leases.retire(lease, uses, &self.path);
        }
    }
}

/// Whether a credential was given for a time.
enum Lent {
    /// It is good until somebody changes it.
    No,
    /// And the time is not over.
    Yes,
    /// And the source says that it is over.
    Gone,
}
