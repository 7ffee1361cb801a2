//! What is done each second: values are asked for anew, leases are renewed, and those that nobody uses are given back.
//!
//! Renewing and giving back what others have taken the place of are errands of their own: nobody waits for them, each has one
//! under way at most, and one that takes long delays neither the other nor the value that is in use.
use super::{Asked, Held, LONG_PAUSE, PATIENCE, Source, State, in_time};
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::{JoinHandle, JoinSet};

/// Leases that others have taken the place of, and that are made longer at once.
const RENEWED_AT_ONCE: usize = 8;
/// Leases that are given back in one errand, one after the other.
const GIVEN_BACK_AT_ONCE: usize = 16;

/// Something that is under way once at a time.
#[derive(Debug, Default)]
pub(super) struct Errand(Mutex<Option<JoinHandle<()>>>);

impl Errand {
    /// Begins it, unless it is under way.
    fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.as_ref().is_none_or(JoinHandle::is_finished) {
            *under_way = Some(tokio::spawn(work));
        }
    }

    fn taken(&self) -> Option<JoinHandle<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until it is done.
    #[cfg(test)]
    pub(super) async fn done(&self) {
        if let Some(under_way) = self.taken() {
            under_way.await.unwrap();
        }
    }

    /// Gives it up.
    async fn stop(&self) {
        if let Some(under_way) = self.taken() {
            under_way.abort();
            let _given_up = under_way.await;
        }
    }
}

impl Source {
    /// To be called each second or so: asks again for what is no longer fresh, so that a change is noticed, and renews
    /// leases. Nothing is asked for that nobody has used.
    pub async fn tend(self: &Arc<Self>) {
        self.tend_at(Asked::now()).await;
    }

    pub(super) async fn tend_at(self: &Arc<Self>, asked: Asked) {
        self.run_errands(asked.at);
        self.tend_value(asked).await;
        // What has been replaced by now.
        self.run_errands(asked.at);
    }

    async fn tend_value(&self, asked: Asked) {
        let now = asked.at;
        let mut state = self.state.lock().await;
        self.take_late(&mut state, asked, Duration::ZERO).await;
        self.settle(&mut state, now);
        let era = self.provider.era();
        let State { value: Some(held), failed, .. } = &mut *state else { return };
        let has_failed = failed.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < LONG_PAUSE);
        let is_good = held.is_good(era, now);
        let lease = match &mut held.lease {
            Some(lease) if lease.lease.era != era => {
                tracing::info!("the credential `{}` ends with the log-in that it was given under", self.path);
                self.retire(&mut state);
                return;
            }
            _ if has_failed => return,
            Some(lease) if lease.is_due(now) => lease.lease.clone(),
            Some(_) => return,
            None if is_good => return,
            None => {
                if let Err(e) = self.fetch(&mut state, asked).await {
                    tracing::warn!("the secret `{}`: {e}", self.path);
                }
                return;
            }
        };
        // Nobody who logs in waits for it.
        drop(state);
        let said = in_time(self.provider.renew(&lease)).await;
        let mut state = self.state.lock().await;
        if let Some(Held { lease: Some(held), .. }) = state.value.as_mut().filter(|h| h.is_of(&lease.id)) {
            held.renewed(&said, now);
        } else {
            self.leases.renewed(&lease.id, &said, now, &self.path);
        }
        if let Err(e) = said {
            tracing::warn!("the lease of `{}` was not renewed: {e}", self.path);
            state.failed = Some((now, e));
        }
    }

    fn run_errands(self: &Arc<Self>, now: Instant) {
        let leases = self.leases.to_renew(now, RENEWED_AT_ONCE);
        if !leases.is_empty() {
            let this = Arc::clone(self);
            self.renewing.begin(async move {
                let mut work = JoinSet::new();
                for lease in leases {
                    let this = Arc::clone(&this);
                    work.spawn(async move {
                        let said = in_time(this.provider.renew(&lease)).await;
                        this.leases.renewed(&lease.id, &said, now, &this.path);
                    });
                }
                while work.join_next().await.is_some() {}
            });
        }
        let mut due = self.leases.due(now, &self.path);
        if !due.is_empty() {
            due.truncate(GIVEN_BACK_AT_ONCE);
            let this = Arc::clone(self);
            self.giving_back.begin(async move { this.give_back(due, now).await });
        }
    }

    /// Revokes these, until one cannot be.
    async fn give_back(&self, leases: Vec<String>, now: Instant) {
        for lease in leases {
            match in_time(self.provider.revoke(&lease)).await {
                Ok(()) => self.leases.forget(&lease),
                Err(e) => return self.leases.not_revoked(&lease, &e, now, &self.path),
            }
        }
    }

    /// To be called each second or so in place of [`Source::tend`] where nothing is configured to use it: forgets its value, and gives
    /// back what was given for a time.
    pub async fn rest(self: &Arc<Self>) {
        let asked = Asked::now();
        let mut state = self.state.lock().await;
        self.take_late(&mut state, asked, Duration::ZERO).await;
        self.drop_next(&mut state);
        self.retire(&mut state);
        drop(state);
        self.run_errands(asked.at);
    }

    /// Forgets its value, and revokes what was given for a time, whoever uses it.
    pub async fn close(&self) {
        let asked = Asked::now();
        let mut state = self.state.lock().await;
        self.take_late(&mut state, asked, PATIENCE).await;
        if state.pending.is_some() {
            tracing::warn!("what `{}` was asked for has not come: if it is a credential, it ends by itself", self.path);
        }
        self.drop_next(&mut state);
        self.retire(&mut state);
        drop(state);
        self.renewing.stop().await;
        self.giving_back.stop().await;
        self.give_back(self.leases.all(), asked.at).await;
    }
}
