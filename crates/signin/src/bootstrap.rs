//! The first administrator: a code that a new gateway shows once, before any provider is set up.
use crate::{LOCAL, SignIn, secret};
use doorward_model::{Principal, PrincipalKind, Secret, Timestamp};
use doorward_store::StoreError;
use std::time::Duration;

/// The group of the first administrator.
pub const ADMINS: &str = "doorward-admins";
/// How long the code is good for.
pub const BOOTSTRAP_TTL: Duration = Duration::from_secs(3600);
const PREFIX: &str = "dwb_";

impl SignIn {
    /// The code, the first time that this is asked of a store; never again, whether or not it was used.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn offer_bootstrap(&self, now: Timestamp) -> Result<Option<Secret<String>>, StoreError> {
        let code = secret::fresh(PREFIX);
        let offered = self.store.bootstrap_offered(&secret::hash(code.expose()), now.after(BOOTSTRAP_TTL)).await?;
        Ok(offered.then_some(code))
    }

    /// Forgets the code, so that another is offered: for who holds the machine and has no other way in.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn withdraw_bootstrap(&self) -> Result<(), StoreError> {
        self.store.bootstrap_withdrawn().await
    }

    /// The first administrator, for the right code, once.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn use_bootstrap(&self, code: &str, now: Timestamp) -> Result<Option<Principal>, StoreError> {
        if !secret::looks_like(PREFIX, code) || !self.store.bootstrap_used(&secret::hash(code), now).await? {
            return Ok(None);
        }
        Ok(Some(Principal {
            kind: PrincipalKind::User,
            issuer: LOCAL.into(),
            subject: "admin".into(),
            groups: [ADMINS.to_owned()].into(),
            tags: [].into(),
            token_id: None,
            expires_at: now.after(self.settings.limits.absolute),
            on_behalf_of: None,
        }))
    }
}
