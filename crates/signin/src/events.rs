//! What a provider tells by itself: that sessions of a person are over (OpenID SSF 1.0 and CAEP 1.0; pushed, RFC 8935).
use crate::{SignIn, SignInError};
use doorward_identity::SessionRevoked;
use doorward_model::Timestamp;
use doorward_store::{ProviderRevocation, StoreError};

impl SignIn {
    /// Where a provider pushes its events to; also whom they may be for, beside our name there.
    pub fn events_url(&self, provider: &str) -> String {
        self.settings().url(&format!("/auth/events/{provider}"))
    }

    /// Whose sessions are over, by an event that a provider signed. None where it says nothing of sessions.
    ///
    /// # Errors
    /// Why the event is not believed.
    pub async fn session_revoked(
        &self,
        provider: &str,
        event: &str,
        now: Timestamp,
    ) -> Result<Option<SessionRevoked>, SignInError> {
        let ours = self.events_url(provider);
        self.provider(provider)?.session_revoked(event, ours, now).await
    }

    /// Ends the sessions that [`SignIn::session_revoked`] says are over, and keeps that they are for gateways that start anew.
    /// Says how many.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn end_revoked(&self, revoked: &SessionRevoked, heard: Timestamp) -> Result<u64, StoreError> {
        let (issuer, subject) = (revoked.issuer.clone(), revoked.subject.clone());
        let kept = ProviderRevocation { issuer, subject, until: revoked.until, heard };
        self.store.provider_revoked(&kept).await?;
        self.end_all_begun_by(&revoked.issuer, &revoked.subject, revoked.until).await
    }
}
