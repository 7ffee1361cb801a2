//! What a token's claims must say (RFC 7519, RFC 8725, OpenID Connect Core 3.1.3.7), and what is taken from them.
use crate::config::IssuerConfig;
use crate::delegation;
use crate::error::IdentityError;
use crate::{spiffe, words};
use doorward_model::{Principal, Timestamp};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far `nbf` and `iat` may lie ahead of our clock. `exp` gets no leeway: a token is dead at its `exp`.
pub(crate) const LEEWAY: Duration = Duration::from_secs(30);

pub(crate) const MAX_SUBJECT_BYTES: usize = 1024;
const MAX_TOKEN_ID_BYTES: usize = 1024;

/// Claims as a map of names that occur once each.
pub(crate) type Claims = Map<String, Value>;

/// When a token may be used: checked again each time, also when the rest is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    /// The later of `nbf` and `iat`, if any.
    not_before: Option<Timestamp>,
    pub(crate) expires: Timestamp,
    /// `iat`, if it is there.
    pub(crate) issued: Option<Timestamp>,
}

impl Validity {
    fn of(claims: &Claims) -> Result<Self, IdentityError> {
        let expires = time(claims, "exp", "claim `exp`")?.ok_or(IdentityError::MissingClaim { claim: "exp" })?;
        let issued = time(claims, "iat", "claim `iat`")?;
        let not_before = time(claims, "nbf", "claim `nbf`")?.max(issued);
        Ok(Self { not_before, expires, issued })
    }

    pub(crate) fn check(&self, now: Timestamp) -> Result<(), IdentityError> {
        if now >= self.expires {
            return Err(IdentityError::Expired);
        }
        if self.not_before.is_some_and(|start| start > now.after(LEEWAY)) {
            return Err(IdentityError::NotYetValid);
        }
        Ok(())
    }
}

/// Checks verified claims against the issuer's configuration and makes a principal of them: the subject, who has to come in
/// person. `audience`: whom the token may be for.
pub(crate) fn in_person(
    claims: &Claims,
    config: &IssuerConfig,
    audience: &[String],
    now: Timestamp,
) -> Result<(Principal, Validity), IdentityError> {
    if claims.get("act").is_some_and(|act| !act.is_null()) {
        return Err(IdentityError::NotInPerson);
    }
    subject(claims, config, audience, now)
}

/// As [`in_person`], but for an agent that acts for the subject: it is the principal then.
pub(crate) fn principal(
    claims: &Claims,
    config: &IssuerConfig,
    audience: &[String],
    now: Timestamp,
) -> Result<(Principal, Validity), IdentityError> {
    let (person, validity) = subject(claims, config, audience, now)?;
    Ok((delegation::caller(person, claims, config)?, validity))
}

fn subject(
    claims: &Claims,
    config: &IssuerConfig,
    audience: &[String],
    now: Timestamp,
) -> Result<(Principal, Validity), IdentityError> {
    let validity = Validity::of(claims)?;
    validity.check(now)?;
    check_audience(claims, config, audience)?;
    let longest = if config.spiffe_trust_domain.is_some() { spiffe::LONGEST } else { MAX_SUBJECT_BYTES };
    let subject = text(claims, "sub", longest, "claim `sub`")?.ok_or(IdentityError::MissingClaim { claim: "sub" })?;
    let principal = Principal {
        kind: config.principal,
        issuer: config.name.clone(),
        subject,
        groups: groups(claims, &config.groups_claim)?,
        tags: tags(claims, &config.tags)?,
        token_id: text(claims, "jti", MAX_TOKEN_ID_BYTES, "claim `jti`")?,
        expires_at: validity.expires,
        on_behalf_of: None,
    };
    Ok((principal, validity))
}

const fn malformed(what: &'static str) -> IdentityError {
    IdentityError::Malformed { what }
}

/// A NumericDate (RFC 7519 section 2): seconds, with or without a fraction.
pub(crate) fn time(claims: &Claims, name: &str, what: &'static str) -> Result<Option<Timestamp>, IdentityError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(secs) = value.as_u64() {
        return Ok(Some(Timestamp::from_secs(secs)));
    }
    let secs = value.as_f64().filter(|s| *s >= 0.0).ok_or(malformed(what))?;
    let exact = Duration::try_from_secs_f64(secs).map_err(|_| malformed(what))?;
    Ok(Some(Timestamp::default().after(exact)))
}

/// A string that is fit for logs and names: not empty, bounded, no control characters.
pub(crate) fn text(
    claims: &Claims,
    name: &str,
    max: usize,
    what: &'static str,
) -> Result<Option<String>, IdentityError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(s)) if (1..=max).contains(&s.len()) && !s.chars().any(char::is_control) => {
            Ok(Some(s.clone()))
        }
        Some(_) => Err(malformed(what)),
    }
}

fn check_audience(claims: &Claims, config: &IssuerConfig, ours: &[String]) -> Result<(), IdentityError> {
    let audiences: Vec<&str> = match claims.get("aud") {
        None => return Err(IdentityError::MissingClaim { claim: "aud" }),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(malformed("claim `aud`"))?
        }
        Some(_) => return Err(malformed("claim `aud`")),
    };
    if !audiences.iter().any(|a| ours.iter().any(|ours| ours == a)) {
        return Err(IdentityError::WrongAudience);
    }
    let party = match claims.get("azp") {
        None => None,
        Some(Value::String(party)) => Some(party),
        Some(_) => return Err(malformed("claim `azp`")),
    };
    check_party(party, audiences.len(), config, ours)
}

/// With `authorized_parties`, `azp` must be there and among them. Without, a token for several
/// audiences that says to whom it was issued must have been issued to one of ours; a token for
/// us alone may have been issued to anybody, as access tokens are.
fn check_party(
    party: Option<&String>,
    audiences: usize,
    config: &IssuerConfig,
    ours: &[String],
) -> Result<(), IdentityError> {
    let ok = match party {
        None if config.authorized_parties.is_empty() => true,
        None => return Err(IdentityError::MissingClaim { claim: "azp" }),
        Some(party) if !config.authorized_parties.is_empty() => config.authorized_parties.contains(party),
        Some(party) => audiences <= 1 || ours.contains(party),
    };
    if ok { Ok(()) } else { Err(IdentityError::WrongParty) }
}

/// The claim with exactly this name, or else the one that a path leads to: with slashes, for names with dots in them
/// (`kubernetes.io/namespace`), or with dots.
pub(crate) fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    let along = |separator: char| {
        let mut parts = path.split(separator);
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.as_object()?.get(part))
    };
    claims.get(path).or_else(|| along('/')).or_else(|| along('.'))
}

/// Absent or null: no groups. Anything but strings refuses the token, as a group that is
/// quietly lost could be one that a `forbid` asks for.
pub(crate) fn groups(claims: &Claims, path: &str) -> Result<BTreeSet<String>, IdentityError> {
    let groups: BTreeSet<String> = match find(claims, path) {
        None | Some(Value::Null) => BTreeSet::new(),
        Some(Value::String(list)) => list.split([' ', ',']).filter(|g| !g.is_empty()).map(str::to_owned).collect(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|g| g.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or(malformed("the groups claim"))?,
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(malformed("the groups claim")),
    };
    words::check_groups(&groups)?;
    Ok(groups)
}

/// Strings as they are, numbers and booleans as JSON writes them. Absent or null: no tag.
/// Arrays and objects refuse the token, as they have no one spelling that a policy could compare.
pub(crate) fn tags(
    claims: &Claims,
    wanted: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, IdentityError> {
    let mut tags = BTreeMap::new();
    for (tag, path) in wanted {
        let value = match find(claims, path) {
            None | Some(Value::Null) => continue,
            Some(Value::String(s)) => s.clone(),
            Some(Value::Number(n)) => n.to_string(),
            Some(Value::Bool(b)) => b.to_string(),
            Some(Value::Array(_) | Value::Object(_)) => return Err(malformed("a claim that is configured as a tag")),
        };
        tags.insert(tag.clone(), value);
    }
    words::check_tags(tags.values())?;
    Ok(tags)
}
