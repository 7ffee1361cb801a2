//! Agents that act for people: the `act` claim (RFC 8693, section 4.1).
//!
//! ```json
//! { "iss": "https://sso.example.com", "sub": "dana", "groups": ["analysts"],
//!   "act": { "sub": "sql-bot", "groups": ["agents"], "act": { "sub": "planner" } } }
//! ```
//!
//! `sub` is the person. The outermost `act` is the agent that holds the token; what is nested in it acted before and is
//! for the record alone, as the RFC says. Of the members of an actor those that identify it are read: `sub`, `iss`, and by
//! the configured names groups and tags. `exp`, `nbf` and `aud` within mean nothing there. `may_act` (section 4.4) is for
//! the server that exchanges tokens, and is not read.
use crate::{
    IdentityError,
    claims::{self, Claims},
    config::IssuerConfig,
};
use doorward_model::{Delegation, Principal, PrincipalKind};
use serde_json::Value;

/// How many actors a token may name, the one that acts now among them.
const MOST_ACTORS: usize = 4;

const fn malformed(what: &'static str) -> IdentityError {
    IdentityError::Malformed { what }
}

/// Who holds the token, where the token is of `person`: the agent that acts for them if it names one.
pub(crate) fn caller(person: Principal, claims: &Claims, config: &IssuerConfig) -> Result<Principal, IdentityError> {
    let Some(act) = claims.get("act").filter(|act| !act.is_null()) else { return Ok(person) };
    // To decide for the person alone would give the agent that acts for them all that the person may.
    if !config.delegation {
        return Err(IdentityError::Delegated);
    }
    let (actor, subject) = actor(act, config)?;
    if subject == person.subject {
        return Err(malformed("claim `act` names the subject itself"));
    }
    let principal = Principal {
        kind: PrincipalKind::Agent,
        issuer: config.name.clone(),
        subject,
        groups: claims::groups(actor, &config.groups_claim)?,
        tags: claims::tags(actor, &config.tags)?,
        token_id: person.token_id.clone(),
        expires_at: person.expires_at,
        on_behalf_of: None,
    };
    let prior_actors = prior(actor, config)?;
    Ok(Principal { on_behalf_of: Some(Box::new(Delegation { person, prior_actors })), ..principal })
}

/// Those who acted before, the latest first.
fn prior(actor: &Claims, config: &IssuerConfig) -> Result<Vec<String>, IdentityError> {
    let mut found = Vec::new();
    let mut at = actor;
    while let Some(act) = at.get("act").filter(|act| !act.is_null()) {
        // The one that acts now is one of them.
        if found.len() + 1 >= MOST_ACTORS {
            return Err(malformed("claim `act` names more than 4 actors"));
        }
        let (next, subject) = self::actor(act, config)?;
        found.push(format!("{}/{subject}", config.name));
        at = next;
    }
    Ok(found)
}

/// An actor with its subject. It is of the issuer that vouches for it: another one's name would be taken on trust.
fn actor<'a>(act: &'a Value, config: &IssuerConfig) -> Result<(&'a Claims, String), IdentityError> {
    let actor = act.as_object().ok_or(malformed("claim `act` is not an object"))?;
    match actor.get("iss") {
        None => {}
        Some(Value::String(iss)) if *iss == config.issuer => {}
        Some(_) => return Err(malformed("claim `act` names an actor of another issuer")),
    }
    let subject = claims::text(actor, "sub", claims::MAX_SUBJECT_BYTES, "the `sub` of claim `act`")?;
    Ok((actor, subject.ok_or(malformed("claim `act` has no `sub`"))?))
}

#[cfg(test)]
#[path = "tests/delegation.rs"]
mod tests;
