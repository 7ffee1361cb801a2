//! Sessions of people: begun at sign-in, used by cookie or by `doorward login`'s file, ended.
use crate::{SignIn, SignedIn, secret};
use doorward_model::{Principal, Secret, Timestamp};
use doorward_store::{SessionPurpose, StoreError, WebSession};
use std::time::Duration;
use tokio::sync::broadcast;
use uuid::Uuid;

/// What the secret of the command line begins with; that of a browser is in a cookie and needs no name.
pub(crate) const CLI_PREFIX: &str = "dwl_";
/// That a session was used is written down at most this often.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// A session that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Shown once.
    pub secret: Secret<String>,
    /// The session.
    pub session: WebSession,
}

/// What has ended, for those who keep something open for its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A session.
    Session(String),
    /// All sessions of a principal.
    Principal {
        /// The issuer's name.
        issuer: String,
        /// Who.
        subject: String,
    },
    /// An API key.
    Key(String),
}

const fn prefix(purpose: SessionPurpose) -> &'static str {
    match purpose {
        SessionPurpose::Browser => "",
        SessionPurpose::Cli => CLI_PREFIX,
    }
}

impl SignIn {
    /// Begins a session for somebody who has just signed in (`auth`: how), under a new secret. It is over no later than
    /// the provider wants it to be.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn begin(
        &self,
        who: SignedIn,
        auth: &str,
        purpose: SessionPurpose,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let limits = self.settings.limits;
        let length = match purpose {
            SessionPurpose::Browser => limits.absolute,
            SessionPurpose::Cli => limits.cli,
        };
        // The identity token proved who signed in; how long that is believed is for the session to say.
        let longest = now.after(length);
        let expires_at = who.ends.map_or(longest, |ends| ends.min(longest));
        let principal = Principal { expires_at, ..who.principal };
        // Those that are over make room.
        self.store.web_sessions_swept(now, earlier(now, limits.idle.max(limits.cli))).await?;
        let session = WebSession {
            id: Uuid::now_v7().to_string(),
            purpose,
            principal,
            auth: auth.to_owned(),
            provider_session: who.provider_session,
            provider_ends: who.ends,
            created: now,
            last_seen: now,
        };
        // Those that nobody has used for long are good for nothing, and come back by no way.
        for old in self.store.web_sessions_of(&session.principal.issuer, &session.principal.subject).await? {
            if old.purpose == SessionPurpose::Browser && now.since(old.last_seen) >= limits.idle {
                self.store.web_session_ended(&old.id).await?;
            }
        }
        let secret = secret::fresh(prefix(purpose));
        self.store.web_session_began(&secret::hash(secret.expose()), &session).await?;
        Ok(Begun { secret, session })
    }

    /// Begins a session of a browser for the holder of a token: it ends with the token, if not before, and so does all
    /// that it vouches for.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn begin_with_token(&self, who: Principal, now: Timestamp) -> Result<Begun, StoreError> {
        let who = SignedIn { ends: Some(who.expires_at), ..SignedIn::new(who) };
        self.begin(who, "token", SessionPurpose::Browser, now).await
    }

    /// The session with this secret, if it is not over.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn session(
        &self,
        secret: &str,
        purpose: SessionPurpose,
        now: Timestamp,
    ) -> Result<Option<WebSession>, StoreError> {
        if !secret::looks_like(prefix(purpose), secret) {
            return Ok(None);
        }
        let found = self.store.web_session(&secret::hash(secret)).await?;
        let Some(session) = found.filter(|s| s.purpose == purpose && s.principal.expires_at > now) else {
            return Ok(None);
        };
        let unused = now.since(session.last_seen);
        let limits = self.settings.limits;
        if purpose == SessionPurpose::Browser && unused >= limits.idle {
            return Ok(None);
        }
        if unused >= SEEN_EVERY.min(limits.idle / 4) {
            self.store.web_session_seen(&session.id, now).await?;
        }
        Ok(Some(session))
    }

    /// The session with this secret, also one that nobody has used for long: to be ended.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn held(&self, secret: &str, purpose: SessionPurpose) -> Result<Option<WebSession>, StoreError> {
        if !secret::looks_like(prefix(purpose), secret) {
            return Ok(None);
        }
        Ok(self.store.web_session(&secret::hash(secret)).await?.filter(|s| s.purpose == purpose))
    }

    /// Ends a session. False where it was over.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn end(&self, id: &str) -> Result<bool, StoreError> {
        let done = self.store.web_session_ended(id).await?;
        self.tell(Ended::Session(id.to_owned()));
        Ok(done)
    }

    /// Ends all sessions of a principal, of browsers and command lines; API keys stay. Says how many.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn end_all(&self, issuer: &str, subject: &str) -> Result<u64, StoreError> {
        self.end_all_begun_by(issuer, subject, Timestamp::from_micros(u64::MAX)).await
    }

    pub(crate) async fn end_all_begun_by(&self, issuer: &str, subject: &str, by: Timestamp) -> Result<u64, StoreError> {
        let done = self.store.web_sessions_ended(issuer, subject, by).await?;
        self.tell(Ended::Principal { issuer: issuer.to_owned(), subject: subject.to_owned() });
        Ok(done)
    }

    /// A principal's sessions that are not over, newest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn sessions_of(&self, who: &Principal, now: Timestamp) -> Result<Vec<WebSession>, StoreError> {
        let mut found = self.store.web_sessions_of(&who.issuer, &who.subject).await?;
        let idle = self.settings.limits.idle;
        found.retain(|s| {
            let used = s.purpose == SessionPurpose::Cli || now.since(s.last_seen) < idle;
            used && s.principal.expires_at > now
        });
        Ok(found)
    }

    /// Hears of what ends from now on. Who falls behind has to look again whether its caller is still there.
    pub fn endings(&self) -> broadcast::Receiver<Ended> {
        self.ended.subscribe()
    }

    pub(crate) fn tell(&self, what: Ended) {
        // Nobody may be listening.
        let _heard = self.ended.send(what);
    }
}

/// A time before another.
fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(micros))
}
