//! One issuer's keys, kept fresh: who waits for a fetch, who does not, and how often one is made.
//!
//! | keys are | a token's `kid` is known | unknown |
//! |---|---|---|
//! | fresh | no network | wait for a fetch, at most one per `unknown_kid_interval` |
//! | due (once the fresh time again) | fetch in the background | the same |
//! | overdue | wait for a fetch, unless the last one failed | the same |
//! | past the stale limit, or none | wait for a fetch; without one, unavailable | |
//!
//! At most one fetch of an issuer runs at a time; whoever needs one joins it. It runs in a task
//! of its own, so that a caller who hangs up does not waste the attempt for the others.
use crate::config::{ConfigError, IssuerConfig};
use crate::fetch::{self, FetchError, FetchPolicy};
use crate::jwks::KeySet;
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use reqwest::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Keys with their age.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) keys: KeySet,
    fetched: Instant,
    fresh_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Fresh,
    Due,
    Overdue,
    Gone,
}

/// Why a fetch is asked for; each reason has its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Age,
    UnknownKid,
}

#[derive(Debug, Default)]
struct Attempts {
    /// Its sender lives as long as the fetch runs.
    running: Option<watch::Receiver<()>>,
    last_unknown_kid: Option<Instant>,
    /// When the last fetch failed and with what; none once one succeeds.
    failure: Option<(Instant, FetchError)>,
}

#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    policy: FetchPolicy,
    client: Client,
    published: ArcSwapOption<Published>,
    attempts: Mutex<Attempts>,
}

impl Issuer {
    pub(crate) fn new(config: IssuerConfig, policy: FetchPolicy) -> Result<Self, ConfigError> {
        let client = fetch::client(&config, &policy)?;
        Ok(Self { config, policy, client, published: ArcSwapOption::empty(), attempts: Mutex::default() })
    }

    /// The keys to judge by now; `None` when there are none and none are to be had.
    pub(crate) async fn keys(self: &Arc<Self>) -> Option<Arc<Published>> {
        let current = self.published.load_full();
        match self.freshness(current.as_deref()) {
            Freshness::Fresh => return current,
            Freshness::Due => {
                self.begin(Reason::Age, Instant::now());
                return current;
            }
            Freshness::Overdue if self.attempts.lock().failure.is_some() => {
                self.begin(Reason::Age, Instant::now());
                return current;
            }
            Freshness::Overdue | Freshness::Gone => self.refresh(Reason::Age, Instant::now()).await,
        }
        let current = self.published.load_full();
        if self.freshness(current.as_deref()) == Freshness::Gone { None } else { current }
    }

    /// The keys after having looked for new ones, as far as the limits let us. No fetch is made
    /// if one ended after the question was `asked`: what it brought is the answer.
    pub(crate) async fn keys_for_unknown_kid(self: &Arc<Self>, asked: Instant) -> Option<Arc<Published>> {
        self.refresh(Reason::UnknownKid, asked).await;
        self.published.load_full()
    }

    /// Fetches if there are no fresh keys.
    pub(crate) async fn warm_up(self: &Arc<Self>) {
        if self.freshness(self.published.load().as_deref()) != Freshness::Fresh {
            self.refresh(Reason::Age, Instant::now()).await;
        }
    }

    /// How many usable keys there are, and what the last fetch failed with, if it did.
    pub(crate) fn state(&self) -> (usize, Option<String>) {
        let keys = self.published.load().as_ref().map_or(0, |p| p.keys.len());
        (keys, self.attempts.lock().failure.as_ref().map(|(_, e)| e.to_string()))
    }

    fn freshness(&self, published: Option<&Published>) -> Freshness {
        let Some(p) = published else { return Freshness::Gone };
        let age = p.fetched.elapsed();
        if age < p.fresh_for {
            Freshness::Fresh
        } else if age >= p.fresh_for.saturating_add(self.policy.stale_limit) {
            Freshness::Gone
        } else if age < p.fresh_for.saturating_mul(2) {
            Freshness::Due
        } else {
            Freshness::Overdue
        }
    }

    async fn refresh(self: &Arc<Self>, reason: Reason, asked: Instant) {
        if let Some(mut done) = self.begin(reason, asked) {
            // An error is the sender's end, which is what is waited for.
            let _ = done.changed().await;
        }
    }

    /// Joins the running fetch or starts one; `None` if the limits forbid one now.
    fn begin(self: &Arc<Self>, reason: Reason, asked: Instant) -> Option<watch::Receiver<()>> {
        let mut attempts = self.attempts.lock();
        if let Some(running) = attempts.running.as_ref().filter(|r| r.has_changed().is_ok()) {
            return Some(running.clone());
        }
        if !self.may_start(&attempts, reason, asked) {
            return None;
        }
        let (sender, receiver) = watch::channel(());
        attempts.running = Some(receiver.clone());
        if reason == Reason::UnknownKid {
            attempts.last_unknown_kid = Some(Instant::now());
        }
        drop(attempts);
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            issuer.fetch().await;
            drop(sender);
        });
        Some(receiver)
    }

    fn may_start(&self, attempts: &Attempts, reason: Reason, asked: Instant) -> bool {
        let within = |at: Option<Instant>, interval| at.is_some_and(|at| at.elapsed() < interval);
        if within(attempts.failure.as_ref().map(|f| f.0), self.policy.retry_interval) {
            return false;
        }
        // What a fetch brought after the caller came has answered the question already.
        let answered = self.published.load().as_ref().is_some_and(|p| p.fetched > asked);
        !answered && (reason == Reason::Age || !within(attempts.last_unknown_kid, self.policy.unknown_kid_interval))
    }

    async fn fetch(&self) {
        let name = &self.config.name;
        match fetch::fetch(&self.client, &self.config, &self.policy).await {
            Ok(fetched) => {
                tracing::debug!(issuer = %name, keys = fetched.keys.len(), "fetched the issuer's keys");
                let published = Published { keys: fetched.keys, fetched: Instant::now(), fresh_for: fetched.fresh_for };
                self.published.store(Some(Arc::new(published)));
                self.attempts.lock().failure = None;
            }
            Err(error) => {
                tracing::warn!(issuer = %name, %error, "could not fetch the issuer's keys");
                self.attempts.lock().failure = Some((Instant::now(), error));
            }
        }
    }
}
