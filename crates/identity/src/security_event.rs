//! Security events that a provider sends (RFC 8417), as far as they end sessions (OpenID CAEP 1.0, `session-revoked`).
use crate::{
    IdentityError, Verifier,
    claims::{self, Claims, LEEWAY},
    jwt::Unverified,
    verifier::verify_signature,
};
use doorward_model::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// CAEP 1.0, section 3.1.
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// A provider says that a person's sessions are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRevoked {
    /// The issuer's configured name.
    pub issuer: String,
    /// Who.
    pub subject: String,
    /// Sessions that began later are not meant: whoever sends an old event again ends nothing new. It is the last moment that the
    /// event's time may stand for: where that has whole seconds, the end of its second.
    pub until: Timestamp,
    /// The event's own name (`jti`).
    pub id: String,
}

const fn malformed(what: &'static str) -> IdentityError {
    IdentityError::Malformed { what }
}

impl Verifier {
    /// Checks a security event token that is for one of `audience`. None where it is of a kind that says nothing of
    /// sessions.
    ///
    /// Must run within a tokio runtime (for fetching keys).
    ///
    /// # Errors
    /// The precise reason, for the audit log.
    pub async fn verify_session_revoked(
        &self,
        token: &str,
        audience: &[String],
        now: Timestamp,
    ) -> Result<Option<SessionRevoked>, IdentityError> {
        let unverified = Unverified::parse_event(token)?;
        let (_, issuer) = self.issuer_of(&unverified)?;
        verify_signature(issuer, &unverified).await?;
        let said = &unverified.claims;
        check_audience(said, audience)?;
        let made = claims::time(said, "iat", "claim `iat`")?.ok_or(IdentityError::MissingClaim { claim: "iat" })?;
        if made > now.after(LEEWAY) {
            return Err(IdentityError::NotYetValid);
        }
        let id = claims::text(said, "jti", 1024, "claim `jti`")?.ok_or(IdentityError::MissingClaim { claim: "jti" })?;
        let events = said.get("events").and_then(Value::as_object).ok_or(malformed("claim `events`"))?;
        let Some(event) = events.get(SESSION_REVOKED) else { return Ok(None) };
        let event = event.as_object().ok_or(malformed("the event"))?;
        let happened = claims::time(event, "event_timestamp", "`event_timestamp`")?;
        let subject = subject(said, event, &issuer.config.issuer)?;
        Ok(Some(SessionRevoked {
            issuer: issuer.config.name.clone(),
            subject,
            // An event is not about what happens after it was told.
            until: happened.map_or(whole(made), |at| whole(at).min(whole(made))),
            id,
        }))
    }
}

/// The last moment that a time may stand for. Most providers count in seconds: what began within that second, began by then.
fn whole(at: Timestamp) -> Timestamp {
    let begins = Timestamp::from_secs(at.as_secs());
    if at == begins { begins.after(Duration::from_micros(999_999)) } else { at }
}

fn check_audience(said: &Claims, ours: &[String]) -> Result<(), IdentityError> {
    let is_ours = |v: &Value| v.as_str().is_some_and(|a| ours.iter().any(|o| o == a));
    match said.get("aud") {
        None => Err(IdentityError::MissingClaim { claim: "aud" }),
        Some(Value::Array(several)) if several.iter().any(is_ours) => Ok(()),
        Some(one) if is_ours(one) => Ok(()),
        Some(_) => Err(IdentityError::WrongAudience),
    }
}

/// Whom the event is about: `sub_id` of RFC 9493 (SSF 1.0), or `subject` in the event as drafts before it had it; by
/// `iss_sub`, alone or as the `user` of a complex subject.
fn subject(said: &Claims, event: &Map<String, Value>, issuer: &str) -> Result<String, IdentityError> {
    let found = said.get("sub_id").or_else(|| event.get("subject")).and_then(Value::as_object);
    let found = found.ok_or(IdentityError::MissingClaim { claim: "sub_id" })?;
    let found = match found.get("user") {
        None => found,
        Some(user) => user.as_object().ok_or(malformed("the event's subject"))?,
    };
    let text = |name: &str| found.get(name).and_then(Value::as_str);
    // What is known by e-mail or telephone alone is known by nobody here.
    if text("format").is_some_and(|f| f != "iss_sub") || text("iss") != Some(issuer) {
        return Err(malformed("the event's subject is not `iss_sub` of this issuer"));
    }
    text("sub").filter(|s| !s.is_empty()).map(str::to_owned).ok_or(malformed("the event's subject"))
}

#[cfg(test)]
#[path = "tests/security_event.rs"]
mod tests;
