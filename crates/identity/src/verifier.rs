//! From token to principal.
use crate::algorithm::Algorithm;
use crate::claims::{self, Validity};
use crate::config::{ConfigError, IssuerConfig, validate_all};
use crate::error::IdentityError;
use crate::fetch::FetchPolicy;
use crate::issuer::{Issuer, Published};
use crate::jwks::{KeyId, Lookup};
use crate::jwt::{Form, MAX_TOKEN_BYTES, Unverified};
use crate::revocations::Revocations;
use crate::spiffe;
use crate::token_cache::{TokenCache, TokenDigest, Verified, digest_of};
use doorward_model::{Principal, Timestamp};
use std::sync::Arc;
use tokio::time::Instant;

/// Verifies tokens of the configured issuers. Share one by reference or `Arc`; it has its own caches.
#[derive(Debug)]
pub struct Verifier {
    issuers: Vec<Arc<Issuer>>,
    cache: TokenCache,
    revocations: Revocations,
}

/// How an issuer is doing, for health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The configured name.
    pub name: String,
    /// How many usable keys are known.
    pub keys: usize,
    /// Why the last attempt to fetch keys failed; none if it did not.
    pub failure: Option<String>,
}

impl Verifier {
    /// A verifier with the default [`FetchPolicy`]. Nothing is fetched yet: see [`Verifier::warm_up`].
    ///
    /// # Errors
    /// The first problem in the configuration.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, ConfigError> {
        Self::with_fetch_policy(issuers, FetchPolicy::default())
    }

    /// A verifier with other bounds.
    ///
    /// # Errors
    /// The first problem in the configuration.
    pub fn with_fetch_policy(issuers: Vec<IssuerConfig>, policy: FetchPolicy) -> Result<Self, ConfigError> {
        validate_all(&issuers)?;
        let issuers = issuers.into_iter().map(|c| Issuer::new(c, policy.clone()).map(Arc::new));
        Ok(Self {
            issuers: issuers.collect::<Result<_, _>>()?,
            cache: TokenCache::default(),
            revocations: Revocations::default(),
        })
    }

    /// Fetches the keys of all issuers, side by side, and says how each is doing.
    /// Takes at most the fetch policy's `timeout`; needs a tokio runtime.
    pub async fn warm_up(&self) -> Vec<IssuerStatus> {
        let mut tasks = tokio::task::JoinSet::new();
        for issuer in &self.issuers {
            let issuer = Arc::clone(issuer);
            tasks.spawn(async move { issuer.warm_up().await });
        }
        while tasks.join_next().await.is_some() {}
        self.status()
    }

    /// How each issuer is doing, in the order of the configuration.
    pub fn status(&self) -> Vec<IssuerStatus> {
        let status = |i: &Arc<Issuer>| {
            let (keys, failure) = i.state();
            IssuerStatus { name: i.config.name.clone(), keys, failure }
        };
        self.issuers.iter().map(status).collect()
    }

    #[cfg(test)]
    pub(crate) fn cache_len(&self) -> usize {
        self.cache.len()
    }

    /// The configured issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerConfig> {
        self.issuers.iter().map(|i| &i.config)
    }

    /// Checks a token at a point in time and says who is calling.
    ///
    /// No network on the common path. `exp` has no leeway, `nbf` and `iat` have 30 s.
    /// Must run within a tokio runtime (for fetching keys).
    ///
    /// # Errors
    /// The precise reason, for the audit log; the caller is told [`crate::EXTERNAL_MESSAGE`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, IdentityError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(IdentityError::TooLarge);
        }
        let digest = digest_of(token);
        if let Some(known) = self.cache.find(&digest)
            && let Some(principal) = self.still_good(&known, &digest, now).await?
        {
            return Ok(principal);
        }
        let unverified = Unverified::parse(token)?;
        let (place, issuer) = self.issuer_of(&unverified)?;
        let key = verify_signature(issuer, &unverified).await?;
        let (principal, validity) =
            claims::principal(&unverified.claims, &issuer.config, &issuer.config.audience, now)?;
        self.check_revoked(&principal, &validity)?;
        let verified = Verified { principal: principal.clone(), validity, issuer: place, key };
        self.cache.insert(digest, Arc::new(verified));
        Ok(principal)
    }

    /// Whose sessions their providers have ended.
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    pub(crate) fn check_revoked(&self, who: &Principal, token: &Validity) -> Result<(), IdentityError> {
        if self.revocations.refuse_token(who, token.issued) { Err(IdentityError::Revoked) } else { Ok(()) }
    }

    /// The remembered principal, if its time is now and its key is still published.
    async fn still_good(
        &self,
        known: &Verified,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<Principal>, IdentityError> {
        let is_good = known.validity.check(now).and_then(|()| self.check_revoked(&known.principal, &known.validity));
        if let Err(error) = is_good {
            self.cache.remove(digest);
            return Err(error);
        }
        let Some(issuer) = self.issuers.get(known.issuer) else { return Ok(None) };
        let published = issuer.keys().await.ok_or_else(|| unavailable(issuer))?;
        if published.keys.contains(&known.key) {
            return Ok(Some(known.principal.clone()));
        }
        self.cache.remove(digest);
        Ok(None)
    }

    pub(crate) fn issuer_of(&self, unverified: &Unverified<'_>) -> Result<(usize, &Arc<Issuer>), IdentityError> {
        let iss = match unverified.claims.get("iss") {
            None => None,
            Some(iss) => Some(iss.as_str().ok_or(IdentityError::Malformed { what: "claim `iss`" })?),
        };
        let mut issuers = self.issuers.iter().enumerate();
        let of_issuer = |i: &IssuerConfig| i.spiffe_trust_domain.is_none() && Some(i.issuer.as_str()) == iss;
        if let Some(found) = issuers.clone().find(|(_, i)| of_issuer(&i.config)) {
            // `JOSE` may be a signature over anything (RFC 8725 §3.11).
            let is_identity = unverified.form != Form::Jose;
            return if is_identity { Ok(found) } else { Err(IdentityError::Malformed { what: "header `typ`" }) };
        }
        // A JWT-SVID names its trust domain in its subject; `iss` is optional and says nothing (JWT-SVID §3).
        let missing =
            if iss.is_none() { IdentityError::MissingClaim { claim: "iss" } } else { IdentityError::UnknownIssuer };
        if !self.issuers.iter().any(|i| i.config.spiffe_trust_domain.is_some()) {
            return Err(missing);
        }
        let domain = spiffe::of_claims(&unverified.claims).ok_or(missing)??;
        let found = issuers.find(|(_, i)| i.config.spiffe_trust_domain.as_deref() == Some(domain));
        let found = found.ok_or(IdentityError::UnknownIssuer)?;
        if unverified.form == Form::AccessToken {
            return Err(IdentityError::Malformed { what: "header `typ`" });
        }
        // JWT-SVID §2.1: these algorithms, and no others.
        if unverified.algorithm == Algorithm::EdDsa {
            return Err(IdentityError::AlgorithmNotAllowed { for_key: false });
        }
        Ok(found)
    }
}

fn unavailable(issuer: &Issuer) -> IdentityError {
    IdentityError::IssuerUnavailable { issuer: issuer.config.name.clone() }
}

/// Finds the key, looking for new ones once if the `kid` is unknown, and checks the signature with it.
pub(crate) async fn verify_signature(issuer: &Arc<Issuer>, token: &Unverified<'_>) -> Result<KeyId, IdentityError> {
    let asked = Instant::now();
    let published = issuer.keys().await.ok_or_else(|| unavailable(issuer))?;
    if let Some(verdict) = check(&published, token) {
        return verdict;
    }
    // Without a `kid` there is nothing that new keys could match better.
    if token.kid.is_some()
        && let Some(newer) = issuer.keys_for_unknown_kid(asked).await
        && let Some(verdict) = check(&newer, token)
    {
        return verdict;
    }
    Err(IdentityError::UnknownKey { issuer: issuer.config.name.clone() })
}

/// `None` if the key set has no key that the token identifies.
fn check(published: &Published, token: &Unverified<'_>) -> Option<Result<KeyId, IdentityError>> {
    match published.keys.lookup(token.kid.as_deref(), token.algorithm) {
        Lookup::Unknown => None,
        Lookup::OtherAlgorithm => Some(Err(IdentityError::AlgorithmNotAllowed { for_key: true })),
        Lookup::Keys(keys) => {
            let signer = keys.into_iter().find(|k| k.verifies(token.algorithm, token.message, &token.signature));
            Some(signer.map(|k| k.id).ok_or(IdentityError::BadSignature))
        }
    }
}
