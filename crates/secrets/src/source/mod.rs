//! Secrets that are kept elsewhere: HashiCorp Vault, AWS Secrets Manager, Kubernetes.
//!
//! A [`Source`] is one such secret. What it said is used for a while (`Rules::fresh`), and asked for again before that
//! where the upstream did not accept it; where the source is away, log-ins are refused, or go on with the last good value
//! for as long as `Rules::last_good` says. Dynamic credentials have a lease, which is renewed while it can be, and revoked
//! when another has taken its place and nobody is logged in with it any more, or at the end.
//!
//! Invariants:
//! - Whoever asks has an answer within some seconds, and one failing source is asked once for all who wait for it.
//! - No message holds anything of what a source answered but its status.
mod aws;
mod http;
mod kubernetes;
mod leases;
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
use leases::Leases;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, task::JoinHandle};

/// After a source failed, those who ask within this time hear the same.
const PAUSE: Duration = Duration::from_secs(1);
/// The same, while the last good value goes on.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// An upstream that says no makes a source be asked again no more often than this.
const REFUSALS: Duration = Duration::from_secs(2);

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
    /// To be given back.
    leases: Leases,
}

#[derive(Debug, Default)]
struct State {
    value: Option<Held>,
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

#[derive(Debug)]
struct HeldLease {
    lease: Lease,
    since: Instant,
    first: Duration,
}

impl HeldLease {
    /// Whether a session may still begin under it.
    fn is_good(&self, era: u64, now: Instant) -> bool {
        let margin = (self.first / 4).min(Duration::from_secs(30));
        self.lease.era == era && now.duration_since(self.since) < self.lease.length.saturating_sub(margin)
    }
}

impl Held {
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
            let era = this.provider.era();
            if let Some(held) = state.value.as_ref().filter(|h| h.is_good(era, now)) {
                return Ok(held.login.clone());
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

    /// The upstream did not accept this one. What is newer, if there is something newer.
    pub async fn refused(self: &Arc<Self>, login: &Login) -> Option<Login> {
        self.refused_at(login, Asked::now()).await
    }

    async fn refused_at(self: &Arc<Self>, login: &Login, asked: Asked) -> Option<Login> {
        let (this, login, now) = (Arc::clone(self), login.clone(), asked.at);
        let answer = tokio::spawn(async move {
            let mut state = this.state.lock().await;
            if let Some(held) = state.value.as_ref().filter(|h| !h.login.is(&login)) {
                return Some(held.login.clone());
            }
            if state.asked_again.is_some_and(|at| now.saturating_duration_since(at) < REFUSALS) {
                return None;
            }
            state.asked_again = Some(now);
            // INVARIANT: what an upstream refused is nobody's last good value.
            this.retire(&mut state);
            match this.fetch(&mut state, asked).await {
                Ok(newer) => (!newer.is(&login)).then_some(newer),
                Err(e) => {
                    tracing::warn!("the secret `{}`, which its upstream did not accept: {e}", this.path);
                    None
                }
            }
        });
        answer.await.ok().flatten()
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
                self.leases.retire(held.lease.id, &login.in_use, held.since + held.lease.length, &self.path);
                self.generation.fetch_add(1, Ordering::Relaxed);
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
        let mut login = match pick(&content, self.field.as_deref(), &self.path) {
            Ok(login) => login,
            Err(e) => {
                if let Some(lease) = lease {
                    self.leases.retire(lease.id, &InUse::default(), since + lease.length, &self.path);
                }
                return Err(e);
            }
        };
        state.failed = None;
        self.retire(state);
        if state.before.take().is_some_and(|before| !before.is(&login)) {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        if lease.is_some() {
            login.in_use = InUse::begin();
        }
        state.value = Some(Held {
            login: login.clone(),
            fetched: asked.answered(),
            good_for: good_for.map_or(self.rules.fresh, |g| g.min(self.rules.fresh)),
            lease: lease.map(|lease| HeldLease { since, first: lease.length, lease }),
        });
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

    /// To be called each second or so: asks again for what is no longer fresh, so that a change is noticed, and renews
    /// leases. Nothing is asked for that nobody has used.
    pub async fn tend(&self) {
        self.tend_at(Asked::now()).await;
    }

    async fn tend_at(&self, asked: Asked) {
        self.tend_value(asked).await;
        self.give_back(self.leases.due(asked.at, &self.path), asked.at).await;
    }

    async fn tend_value(&self, asked: Asked) {
        let now = asked.at;
        let mut state = self.state.lock().await;
        self.take_late(&mut state, asked, Duration::ZERO).await;
        let era = self.provider.era();
        let State { value: Some(held), failed, .. } = &mut *state else { return };
        let has_failed = failed.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < LONG_PAUSE);
        let is_good = held.is_good(era, now);
        match &mut held.lease {
            Some(lease) if lease.lease.era != era => {
                tracing::info!("the credential `{}` ends with the log-in that it was given under", self.path);
                self.retire(&mut state);
            }
            _ if has_failed => {}
            Some(lease) if lease.lease.renewable && now.duration_since(lease.since) >= lease.lease.length / 2 => {
                if let Err(e) = self.renew(lease, now).await {
                    tracing::warn!("the lease of `{}` was not renewed: {e}", self.path);
                    state.failed = Some((now, e));
                }
            }
            Some(_) => {}
            None if is_good => {}
            None => {
                if let Err(e) = self.fetch(&mut state, asked).await {
                    tracing::warn!("the secret `{}`: {e}", self.path);
                }
            }
        }
    }

    async fn renew(&self, held: &mut HeldLease, now: Instant) -> Result<(), SourceError> {
        match in_time(self.provider.renew(&held.lease)).await {
            Ok(length) => {
                // It is near its end, whatever is asked for: the next log-in takes a new one.
                held.lease.renewable = length > held.first / 2;
                held.lease.length = length;
                held.since = now;
                Ok(())
            }
            Err(e) => {
                held.lease.renewable = e.is_away;
                Err(e)
            }
        }
    }

    /// Whether nobody asked for it within this time.
    pub async fn is_idle(&self, time: Duration) -> bool {
        self.state.lock().await.last_used.is_none_or(|at| at.elapsed() >= time)
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
    pub async fn rest(&self) {
        self.rest_at(Asked::now()).await;
    }

    async fn rest_at(&self, asked: Asked) {
        let mut state = self.state.lock().await;
        self.take_late(&mut state, asked, Duration::ZERO).await;
        self.retire(&mut state);
        drop(state);
        self.give_back(self.leases.due(asked.at, &self.path), asked.at).await;
    }

    /// Forgets its value, and revokes what was given for a time, whoever uses it.
    pub async fn close(&self) {
        let asked = Asked::now();
        let mut state = self.state.lock().await;
        self.take_late(&mut state, asked, PATIENCE).await;
        if state.pending.is_some() {
            tracing::warn!("what `{}` was asked for has not come: if it is a credential, it ends by itself", self.path);
        }
        self.retire(&mut state);
        drop(state);
        self.give_back(self.leases.all(), asked.at).await;
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
