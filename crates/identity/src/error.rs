//! Why a token was not accepted.
use thiserror::Error;

/// All that a caller is ever told. Unknown, expired and forged tokens look the same from outside.
pub const EXTERNAL_MESSAGE: &str = "authentication failed: the token was not accepted";

/// The precise reason, for the audit log only: tell the caller [`EXTERNAL_MESSAGE`].
///
/// No variant carries anything taken from the token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Longer than [`crate::MAX_TOKEN_BYTES`]; refused before any parsing.
    #[error("the token is larger than {} bytes", crate::MAX_TOKEN_BYTES)]
    TooLarge,
    /// Not a JWT in compact form, or a header or claim of the wrong shape.
    #[error("the token is malformed: {what}")]
    Malformed {
        /// What is wrong with it, in words of ours.
        what: &'static str,
    },
    /// The header names an algorithm that is not allowed, or one that the key is not for.
    #[error("the token's algorithm is not allowed{}", for_its_key(.for_key))]
    AlgorithmNotAllowed {
        /// Whether the algorithm as such is allowed, only not with this key.
        for_key: bool,
    },
    /// No configured issuer has exactly the token's `iss`.
    #[error("the token's issuer is not configured")]
    UnknownIssuer,
    /// The issuer's keys are neither known nor to be had.
    #[error("the keys of issuer `{issuer}` are unavailable")]
    IssuerUnavailable {
        /// The configured name of the issuer.
        issuer: String,
    },
    /// The issuer publishes no key with the token's `kid`, or there is no `kid` and not exactly one key fits.
    #[error("issuer `{issuer}` has no key that the token identifies")]
    UnknownKey {
        /// The configured name of the issuer.
        issuer: String,
    },
    /// The signature was not made by the key.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead by more than the leeway.
    #[error("the token is not yet valid")]
    NotYetValid,
    /// `aud` holds none of the configured audiences.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `azp` is not among the authorized parties.
    #[error("the token was issued to a party that is not authorized")]
    WrongParty,
    /// The token was not made for the key that the caller holds.
    #[error("the token is not bound to the caller's key")]
    Unbound,
    /// The identity token answers another question than ours (`nonce`).
    #[error("the token was not made for this sign-in")]
    WrongNonce,
    /// Somebody acts for the subject (RFC 8693, section 4.1), and the issuer's configuration does not allow for that.
    #[error(
        "the token says that somebody acts for its subject (`act`): its issuer may say so where `delegation = true` is set \
         in its [[identity.issuers]]"
    )]
    Delegated,
    /// Somebody acts for the subject where a person has to come themselves: signing in, keys that tokens are bound to.
    #[error("the token says that somebody acts for its subject (`act`), who has to come in person here")]
    NotInPerson,
    /// Its provider has said that the sessions of its person, or of the agent, are over.
    #[error("it is of a session that its provider has ended: get a new one there")]
    Revoked,
    /// A claim that must be there is not.
    #[error("the token has no claim `{claim}`")]
    MissingClaim {
        /// The registered name of the claim.
        claim: &'static str,
    },
}

const fn for_its_key(for_key: &bool) -> &'static str {
    if *for_key { " for its key" } else { "" }
}

impl IdentityError {
    /// A short stable code for logs, metrics and tests.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed { .. } => "malformed",
            Self::AlgorithmNotAllowed { .. } => "algorithm_not_allowed",
            Self::UnknownIssuer => "unknown_issuer",
            Self::IssuerUnavailable { .. } => "issuer_unavailable",
            Self::UnknownKey { .. } => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongAudience => "wrong_audience",
            Self::WrongParty => "wrong_party",
            Self::Unbound => "unbound",
            Self::WrongNonce => "wrong_nonce",
            Self::Delegated => "delegated",
            Self::NotInPerson => "not_in_person",
            Self::Revoked => "revoked",
            Self::MissingClaim { .. } => "missing_claim",
        }
    }
}
