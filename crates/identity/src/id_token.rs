//! Identity tokens: what a provider says of a person who signed in (OpenID Connect Core 1.0, section 3.1.3.7).
use crate::{
    IdentityError, Verifier,
    claims::{self, Claims},
    jwt::{Form, Unverified},
    strict_json,
    verifier::verify_signature,
};
use aws_lc_rs::constant_time;
use doorward_model::{Principal, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdToken {
    /// Who. It ends with the token.
    pub principal: Principal,
    /// The provider's name for its session with them (`sid`), where it says one.
    pub session: Option<String>,
    /// Whether the token has the groups claim at all: some providers have it at the userinfo endpoint alone.
    pub has_groups: bool,
}

const fn malformed(what: &'static str) -> IdentityError {
    IdentityError::Malformed { what }
}

impl Verifier {
    /// Checks an identity token that was issued to `client_id` for a sign-in with this `nonce`; without one (the device
    /// flow has none), whatever nonce it has.
    ///
    /// Must run within a tokio runtime (for fetching keys). Nothing is remembered: such a token is used once.
    ///
    /// # Errors
    /// The precise reason, for the audit log.
    pub async fn verify_id_token(
        &self,
        token: &str,
        client_id: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<IdToken, IdentityError> {
        let unverified = Unverified::parse(token)?;
        // An access token is signed by the same keys and is shown to others (RFC 9068 §4).
        if unverified.form != Form::Jwt {
            return Err(malformed("header `typ`"));
        }
        let (_, issuer) = self.issuer_of(&unverified)?;
        verify_signature(issuer, &unverified).await?;
        let said = &unverified.claims;
        if let Some(nonce) = nonce {
            check_nonce(said, nonce)?;
        }
        check_party(said, client_id)?;
        if !said.contains_key("iat") {
            return Err(IdentityError::MissingClaim { claim: "iat" });
        }
        let (principal, _) = claims::in_person(said, &issuer.config, &[client_id.to_owned()], now)?;
        Ok(IdToken {
            principal,
            session: claims::text(said, "sid", 512, "claim `sid`")?,
            has_groups: claims::find(said, &issuer.config.groups_claim).is_some(),
        })
    }
}

fn check_nonce(said: &Claims, nonce: &str) -> Result<(), IdentityError> {
    let theirs = said.get("nonce").ok_or(IdentityError::MissingClaim { claim: "nonce" })?;
    let theirs = theirs.as_str().unwrap_or_default();
    constant_time::verify_slices_are_equal(theirs.as_bytes(), nonce.as_bytes()).map_err(|_| IdentityError::WrongNonce)
}

/// `azp` is the client where it is there, and it is there where others may read the token as well.
fn check_party(said: &Claims, client_id: &str) -> Result<(), IdentityError> {
    let several = said.get("aud").and_then(Value::as_array).is_some_and(|a| a.len() > 1);
    match said.get("azp") {
        None if several => Err(IdentityError::MissingClaim { claim: "azp" }),
        None => Ok(()),
        Some(azp) if azp.as_str() == Some(client_id) => Ok(()),
        Some(_) => Err(IdentityError::WrongParty),
    }
}

/// The groups in an answer of the userinfo endpoint (OpenID Connect Core 1.0, section 5.3.2), which has to be of the same
/// subject as the identity token. It is as good as the connection that it came by.
///
/// # Errors
/// Where it is of somebody else, or is not understood.
pub fn groups_of_userinfo(
    document: &[u8],
    subject: &str,
    groups_claim: &str,
) -> Result<BTreeSet<String>, IdentityError> {
    let said = strict_json::object(document).ok_or(malformed("the answer of the userinfo endpoint"))?;
    if said.get("sub").and_then(Value::as_str) != Some(subject) {
        return Err(malformed("the answer of the userinfo endpoint is of another subject"));
    }
    claims::groups(&said, groups_claim)
}

#[cfg(test)]
#[path = "tests/id_token.rs"]
mod tests;
