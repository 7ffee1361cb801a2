//! API keys: for machines that have no identity provider.
use crate::{By, Caller, Ended, SignIn, secret};
use doorward_model::{Principal, Secret, Timestamp};
use doorward_store::{ApiKey, KeyScope, Limit, StoreError};
use std::time::Duration;
use uuid::Uuid;

pub(crate) const PREFIX: &str = "dwk_";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a key is good for where nothing else is asked for.
pub const DEFAULT_KEY_TTL: Duration = DAY.saturating_mul(90);
/// The longest that may be asked for.
pub const LONGEST_KEY_TTL: Duration = DAY.saturating_mul(366);
/// That a key was used is written down at most this often.
const USED_EVERY: Duration = Duration::from_secs(60);
/// How many good keys a principal may have.
const MOST_KEYS: u32 = 100;
const MOST_NAMES: usize = 100;
const LONGEST_NAME: usize = 128;

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What it is called.
    pub name: String,
    /// What it may be used for.
    pub scope: KeyScope,
    /// How long it is good for; [`DEFAULT_KEY_TTL`] where nothing is said.
    pub ttl: Option<Duration>,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The caller came with a key.
    #[error("an API key makes no other keys: sign in")]
    ByKey,
    /// Something is wrong with what was asked for.
    #[error("{0}")]
    Asked(&'static str),
    /// The caller has too many.
    #[error("you have {MOST_KEYS} API keys that are good: revoke one first")]
    TooMany,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NewKey {
    fn check(&self) -> Result<(), KeyError> {
        let name_ok = |n: &str| (1..=LONGEST_NAME).contains(&n.len()) && !n.chars().any(char::is_control);
        if !name_ok(&self.name) || self.name.trim() != self.name {
            return Err(KeyError::Asked("a name has 1 to 128 bytes, no control characters, no blanks around it"));
        }
        for limit in [&self.scope.actions, &self.scope.connections] {
            match limit {
                Limit::Only(names) if names.len() > MOST_NAMES || !names.iter().all(|n| name_ok(n)) => {
                    return Err(KeyError::Asked("a scope has at most 100 names of 1 to 128 bytes"));
                }
                Limit::Only(_) | Limit::All => {}
            }
        }
        if self.scope.actions == Limit::Only([].into()) {
            return Err(KeyError::Asked("a key for no action is of no use: name some, or \"all\""));
        }
        if self.ttl.is_some_and(|ttl| ttl < Duration::from_secs(60) || ttl > LONGEST_KEY_TTL) {
            return Err(KeyError::Asked("a key is good for a minute to 366 days"));
        }
        Ok(())
    }
}

impl SignIn {
    /// Makes a key that acts as the caller within its scope, with the groups that the caller has now. The secret is
    /// shown this once.
    ///
    /// # Errors
    /// Why none was made.
    pub async fn make_key(
        &self,
        caller: &Caller,
        new: NewKey,
        now: Timestamp,
    ) -> Result<(Secret<String>, ApiKey), KeyError> {
        match caller.by {
            By::Key { .. } => return Err(KeyError::ByKey),
            By::Token | By::Session { .. } => {}
        }
        new.check()?;
        let id = Uuid::now_v7().to_string();
        let principal = Principal {
            token_id: Some(format!("api-key:{id}")),
            expires_at: now.after(new.ttl.unwrap_or(DEFAULT_KEY_TTL)),
            ..caller.principal.clone()
        };
        let key =
            ApiKey { id, name: new.name, principal, scope: new.scope, created: now, last_used: None, revoked: None };
        let secret = secret::fresh(PREFIX);
        if self.store.api_key_made(&secret::hash(secret.expose()), &key, MOST_KEYS).await? {
            Ok((secret, key))
        } else {
            Err(KeyError::TooMany)
        }
    }

    /// Keys, newest first, at most `limit` (500 at most), of one owner and older than `before` where given; also those
    /// that have expired or were revoked.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn keys(
        &self,
        owner: Option<&Principal>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ApiKey>, StoreError> {
        let owner = owner.map(|o| (o.issuer.as_str(), o.subject.as_str()));
        self.store.api_keys(owner, before, limit).await
    }

    /// The key of this id; whether it is the caller's business is for the caller to see.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn key_of_id(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        self.store.api_key(id).await
    }

    /// Revokes a key. False where there is none, or it was revoked before.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let done = self.store.api_key_revoked(id, now).await?;
        self.tell(Ended::Key(id.to_owned()));
        Ok(done)
    }

    /// The key with this secret, or why it is not good.
    pub(crate) async fn key(&self, secret: &str, now: Timestamp) -> Result<Result<ApiKey, &'static str>, StoreError> {
        let Some(key) = self.store.api_key_by_secret(&secret::hash(secret)).await? else {
            return Ok(Err("the API key is unknown"));
        };
        if key.revoked.is_some() {
            return Ok(Err("the API key was revoked"));
        }
        if key.principal.expires_at <= now {
            return Ok(Err("the API key has expired"));
        }
        if key.last_used.is_none_or(|used| now.since(used) >= USED_EVERY) {
            self.store.api_key_used(&key.id, now).await?;
        }
        Ok(Ok(key))
    }
}
