//! Secrets that are kept elsewhere: HashiCorp Vault, AWS Secrets Manager, Kubernetes.
//!
//! A [`Source`] is one such secret. What it said is used for a while (`Rules::fresh`), and asked for again before that
//! where the upstream did not accept it; where the source is away, log-ins are refused, or go on with the last good value
//! for as long as `Rules::last_good` says. Dynamic credentials have a lease, which is renewed while it can be and somebody uses
//! it (`tending.rs`), and revoked when another has taken its place and nobody is logged in with it any more, or at the end.
//! Another takes its place when it is near its end, or has gone at its source; or, because an upstream did not accept it, once an
//! upstream has accepted the other one (`replacing.rs`).
//!
//! Invariants:
//! - Whoever asks has an answer within some seconds, and one failing source is asked once for all who wait for it.
//! - No message holds anything of what a source answered but its status.
//! - What callers bring about at an upstream takes nobody's lease away, and has no more than one lease made in minutes.
//! - Nothing that is kept good waits for what is given back.
mod aws;
mod http;
mod kubernetes;
mod leases;
mod replacing;
mod tending;
#[cfg(test)]
mod tests;
mod vault;

pub use aws::{AwsSecrets, AwsSettings};
pub use http::SourceTls;
pub use kubernetes::{KubernetesSecrets, KubernetesSettings};
pub use leases::InUse;
pub use vault::{Given, Vault, VaultAuth, VaultSettings};

use async_trait::async_trait;
use doorward_model::Secret;
use leases::{HeldLease, Leases};
use replacing::Pace;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tending::Errand;
use tokio::{sync::Mutex, task::JoinHandle};

/// After a source failed, those who ask within this time hear the same.
const PAUSE: Duration = Duration::from_secs(1);
/// The same, while the last good value goes on.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// Why a source does not give a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    what: String,
    /// It may be otherwise in a moment: the last good value may go on, where that is configured.
    is_away: bool,
}

impl SourceError {
    pub(crate) fn new(what: String) -> Self {
        Self { what, is_away: false }
    }

    pub(crate) fn away(what: String) -> Self {
        Self { what, is_away: true }
    }
}

/// What is logged in with.
#[derive(Clone)]
pub struct Login {
    /// The user, where it comes with the password.
    pub user: Option<String>,
    /// The password, token or private key.
    pub password: Secret<String>,
    /// To be kept for as long as something is logged in with it: its lease is not revoked before.
    pub in_use: InUse,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login([secret])")
    }
}

impl Login {
    fn is(&self, other: &Self) -> bool {
        self.user == other.user && self.password.expose() == other.password.expose()
    }
}

/// What a source keeps under one path.
#[derive(Debug)]
pub enum Content {
    /// Named fields.
    Fields(BTreeMap<String, Secret<String>>),
    /// One text.
    Text(Secret<String>),
}

/// For how long a dynamic credential is good.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What the source calls it.
    pub id: String,
    /// From now on.
    pub length: Duration,
    /// Whether it can be made longer.
    pub renewable: bool,
    /// Under which log-in of ours it was given: it ends with that.
    pub era: u64,
}

/// What a source answered.
pub struct Fetched {
    /// What it keeps there.
    pub content: Content,
    /// Of a dynamic credential.
    pub lease: Option<Lease>,
    /// No longer than this is it good, where the source says so.
    pub good_for: Option<Duration>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched").field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// Something that keeps secrets. Each call ends within a few seconds, but for [`Provider::fetch`].
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// What is under a path. It may go on for a minute after whoever asked has given up: what was made for them is to be given back.
    async fn fetch(&self, path: &str) -> Result<Fetched, SourceError>;
    /// Makes a lease longer; how long it is now.
    async fn renew(&self, lease: &Lease) -> Result<Duration, SourceError> {
        Err(SourceError::new(format!("lease {} cannot be renewed", lease.id)))
    }
    /// Whether the source itself says that a lease is over. False where it does not say.
    async fn is_gone(&self, _lease: &Lease) -> bool {
        false
    }
    /// Ends a lease.
    async fn revoke(&self, _lease: &str) -> Result<(), SourceError> {
        Ok(())
    }
    /// How often we logged in there: leases of before end.
    fn era(&self) -> u64 {
        0
    }
    /// Keeps our own log-in alive.
    async fn tend(&self) {}
    /// Gives our own log-in back.
    async fn close(&self) {}
}

/// How long what a source said is used.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// As if it were new.
    pub fresh: Duration,
    /// Beyond that, while the source is away.
    pub last_good: Duration,
}

/// A secret that is kept elsewhere.
#[derive(Debug)]
pub struct Source {
    provider: Arc<dyn Provider>,
    path: String,
    field: Option<String>,
    rules: Rules,
    state: Mutex<State>,
    /// Counts values that took the place of others.
    generation: AtomicU64,
    /// Those that others have taken the place of.
    leases: Leases,
    /// Under way: makes some of those longer, and gives some of them back.
    renewing: Errand,
    giving_back: Errand,
}

#[derive(Debug, Default)]
struct State {
    value: Option<Held>,
    /// What is to take its place, once an upstream has accepted it.
    next: Option<Held>,
    /// A lease was taken away, and nothing that came in its place was accepted yet.
    is_replaced: bool,
    /// How often refusals may have a lease made.
    pace: Pace,
    /// What was taken away before there was another one.
    before: Option<Login>,
    failed: Option<(Instant, SourceError)>,
    asked_again: Option<Instant>,
    last_used: Option<Instant>,
    /// What the provider was asked for, and has not answered yet.
    pending: Option<Pending>,
}

/// A question that goes on by itself: its answer may be a credential, which has to be given back.
#[derive(Debug)]
struct Pending {
    answer: JoinHandle<Result<Fetched, SourceError>>,
    since: Instant,
}

#[derive(Debug)]
struct Held {
    login: Login,
    fetched: Instant,
    good_for: Duration,
    lease: Option<HeldLease>,
}

impl Held {
    /// Whether it was given under this lease.
    fn is_of(&self, lease: &str) -> bool {
        self.lease.as_ref().is_some_and(|held| held.lease.id == lease)
    }

    fn is_good(&self, era: u64, now: Instant) -> bool {
        match &self.lease {
            Some(lease) => lease.is_good(era, now),
            // What came while somebody waited is new to them, whatever the cache.
            None => now.checked_duration_since(self.fetched).is_none_or(|age| age < self.good_for),
        }
    }
}

/// When somebody asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// What the time was: in tests, what it is taken for.
    at: Instant,
    /// What it was by the clock, to measure how long an answer took.
    by_clock: Instant,
}

impl Asked {
    // INVARIANT: one reading of the clock, so that an answer that comes later is later than whoever asked before it.
    fn now() -> Self {
        let at = Instant::now();
        Self { at, by_clock: at }
    }

    #[cfg(test)]
    fn at(at: Instant) -> Self {
        Self { at, by_clock: Instant::now() }
    }

    /// What the time is now.
    fn answered(self) -> Instant {
        self.at + self.by_clock.elapsed()
    }
}

impl Source {
    /// A secret of a provider: `field` of what is there, or else its `password`, with its `username` if it has one.
    pub fn new(provider: Arc<dyn Provider>, path: &str, field: Option<&str>, rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            provider,
            path: path.to_owned(),
            field: field.map(str::to_owned),
            rules,
            state: Mutex::default(),
            generation: AtomicU64::new(0),
            leases: Leases::default(),
            renewing: Errand::default(),
            giving_back: Errand::default(),
        })
    }

    /// How often its value was replaced by another one.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// What to log in with now.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn login(self: &Arc<Self>) -> Result<Login, SourceError> {
        self.login_at(Asked::now()).await
    }

    async fn login_at(self: &Arc<Self>, asked: Asked) -> Result<Login, SourceError> {
        let (this, now) = (Arc::clone(self), asked.at);
        // In a task of its own: a credential that was made for somebody who has left is kept, not lost.
        let answer = tokio::spawn(async move {
            let mut state = this.state.lock().await;
            state.last_used = Some(now);
            this.settle(&mut state, now);
            if let Some(login) = this.good(&mut state, now) {
                return Ok(login);
            }
            let last_good = this.last_good(&state, now);
            if let Some((at, why)) = &state.failed {
                let pause = if last_good.is_some() { LONG_PAUSE } else { PAUSE };
                if now.saturating_duration_since(*at) < pause {
                    return last_good.ok_or_else(|| why.clone());
                }
            }
            match this.fetch(&mut state, asked).await {
                Err(e) if e.is_away && last_good.is_some() => {
                    tracing::warn!("the secret `{}`: {e}; its last good value goes on", this.path);
                    last_good.ok_or(e)
                }
                said => said,
            }
        });
        answer.await.map_err(|_| SourceError::away("the gateway is ending".to_owned()))?
    }

    /// What is there and good.
    fn good(&self, state: &mut State, now: Instant) -> Option<Login> {
        let era = self.provider.era();
        if state.value.as_ref().is_none_or(|h| !h.is_good(era, now))
            && let Some(next) = state.next.take_if(|h| h.is_good(era, now))
        {
            self.retire(state);
            state.value = Some(next);
        }
        state.value.as_ref().filter(|h| h.is_good(era, now)).map(|h| h.login.clone())
    }

    fn last_good(&self, state: &State, now: Instant) -> Option<Login> {
        let held = state.value.as_ref().filter(|h| h.lease.is_none())?;
        let until = held.good_for.saturating_add(self.rules.last_good);
        (now.saturating_duration_since(held.fetched) < until).then(|| held.login.clone())
    }

    /// Takes the value away; its lease is revoked once nobody uses it.
    fn retire(&self, state: &mut State) {
        match state.value.take() {
            Some(Held { lease: Some(held), login, .. }) => {
                self.leases.retire(held, &login.in_use, &self.path);
                state.is_replaced = true;
            }
            Some(Held { login, .. }) => state.before = Some(login),
            None => {}
        }
    }

    async fn fetch(&self, state: &mut State, asked: Asked) -> Result<Login, SourceError> {
        let said = in_time(self.ask(state, asked)).await;
        said.and_then(|(fetched, since)| self.keep(state, fetched, since, asked)).inspect_err(|e| {
            state.failed = Some((asked.answered(), e.clone()));
        })
    }

    /// What the provider says, and since when it was asked. Whoever does not wait for it leaves the question to the next one.
    async fn ask(&self, state: &mut State, asked: Asked) -> Result<(Fetched, Instant), SourceError> {
        if let Some(pending) = &mut state.pending {
            let (said, since) = ((&mut pending.answer).await, pending.since);
            state.pending = None;
            // What was merely read then may be otherwise by now.
            if let Ok(Ok(fetched)) = said
                && fetched.lease.is_some()
            {
                return Ok((fetched, since));
            }
        }
        let (provider, path) = (Arc::clone(&self.provider), self.path.clone());
        let answer = tokio::spawn(async move { provider.fetch(&path).await });
        let pending = state.pending.insert(Pending { answer, since: asked.at });
        let said = (&mut pending.answer).await;
        state.pending = None;
        let fetched = said.map_err(|_| SourceError::away("the gateway is ending".to_owned()))??;
        Ok((fetched, asked.at))
    }

    /// What is kept has the time at which the answer came, so that whoever waited meanwhile takes it for theirs.
    fn keep(&self, state: &mut State, said: Fetched, since: Instant, asked: Asked) -> Result<Login, SourceError> {
        let Fetched { content, lease, good_for } = said;
        let lease = lease.map(|lease| HeldLease::new(lease, since));
        let mut login = match pick(&content, self.field.as_deref(), &self.path) {
            Ok(login) => login,
            Err(e) => {
                if let Some(lease) = lease {
                    self.leases.retire(lease, &InUse::default(), &self.path);
                }
                return Err(e);
            }
        };
        state.failed = None;
        if lease.is_some() {
            login.in_use = InUse::begin();
        }
        let good_for = good_for.map_or(self.rules.fresh, |g| g.min(self.rules.fresh));
        let new = Held { login: login.clone(), fetched: asked.answered(), good_for, lease };
        let (era, now) = (self.provider.era(), asked.answered());
        // INVARIANT: a lease that is good stays in use until an upstream has accepted another one.
        if state.value.as_ref().is_some_and(|h| h.lease.is_some() && h.is_good(era, now)) {
            self.drop_next(state);
            state.next = Some(new);
            return Ok(login);
        }
        self.retire(state);
        if state.before.take().is_some_and(|before| !before.is(&login)) {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        state.value = Some(new);
        Ok(login)
    }

    /// An answer that nobody waits for any more: what it gives for a time is the next one's, or to be given back.
    async fn take_late(&self, state: &mut State, asked: Asked, patience: Duration) {
        let Some(pending) = &mut state.pending else { return };
        let Ok(said) = tokio::time::timeout(patience, &mut pending.answer).await else { return };
        let since = pending.since;
        state.pending = None;
        if let Ok(Ok(fetched)) = said
            && fetched.lease.is_some()
            && let Err(e) = self.keep(state, fetched, since, asked)
        {
            tracing::warn!("the secret `{}`: {e}", self.path);
        }
    }

    /// Whether nobody asked for it within this time.
    pub async fn is_idle(&self, time: Duration) -> bool {
        self.state.lock().await.last_used.is_none_or(|at| at.elapsed() >= time)
    }

    /// What is still to be given back, for the log: digests of leases.
    pub fn not_given_back(&self) -> Vec<String> {
        self.leases.all().iter().map(|id| leases::digest_of(id)).collect()
    }
}

/// How long somebody waits for a provider.
const PATIENCE: Duration = http::ANSWER.saturating_add(Duration::from_secs(1));

/// INVARIANT: whoever waits for a source has an answer well within the time that a log-in at an upstream has.
async fn in_time<T>(asked: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
    let slow = |_| SourceError::away("it did not answer in time".to_owned());
    tokio::time::timeout(PATIENCE, asked).await.map_err(slow)?
}

/// What is logged in with, of what a source keeps.
fn pick(content: &Content, field: Option<&str>, path: &str) -> Result<Login, SourceError> {
    let (user, password) = match (content, field) {
        (Content::Text(text), None) => (None, text.clone()),
        (Content::Text(_), Some(field)) => {
            let what = format!("`{path}` is one text, and has no field `{}`: leave `field` out", field.escape_debug());
            return Err(SourceError::new(what));
        }
        (Content::Fields(fields), field) => {
            let name = field.unwrap_or("password");
            let password = fields.get(name).cloned().ok_or_else(|| {
                let hint = if field.is_some() { "" } else { ": say which `field` it is in" };
                SourceError::new(format!("`{path}` has no field `{}`{hint}", name.escape_debug()))
            })?;
            let user = fields.get("username").filter(|_| field.is_none());
            (user.map(|u| u.expose().trim_end_matches(['\r', '\n']).to_owned()), password)
        }
    };
    let password = Secret::new(password.expose().trim_end_matches(['\r', '\n']).to_owned());
    // Without a credential some servers take a caller for anybody.
    if password.expose().is_empty() || user.as_ref().is_some_and(String::is_empty) {
        return Err(SourceError::new(format!("`{path}`: what is there is empty")));
    }
    Ok(Login { user, password, in_use: InUse::default() })
}
