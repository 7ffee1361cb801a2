//! Who a bearer token says is calling, and whether to believe it.
//!
//! Purpose: turn a JSON Web Token into a [`doorward_model::Principal`], by the keys that the
//! configured OpenID Connect issuers publish. Start at [`Verifier::verify`].
//!
//! Invariants:
//! - No claim leaves this crate before the signature over it was checked with a key that the
//!   issuer named by the token published for that very algorithm.
//! - The token chooses among configured issuers and their published keys and nothing else:
//!   `jwk`, `jku`, `x5u` and `x5c` headers are never read, symmetric algorithms do not exist here.
//! - No error, log line or debug print holds any part of a token. The caller is always told
//!   [`EXTERNAL_MESSAGE`]; the reason is for the audit log.
//! - An agent that acts for a person is never taken for the person: see `delegation`.
//! - What is fetched, kept and cached is bounded, whatever tokens and issuers send: see [`FetchPolicy`].
//! - An issuer that fails or stalls affects its own tokens only.
//!
//! Deliberately absent: encrypted tokens (JWE), opaque tokens and introspection, the flows of
//! signing in (`doorward-signin`), and the clock for token times (a parameter; only the age of fetched keys is
//! measured by the runtime's monotonic clock).
//!
//! Known limits: no TokenReview is asked: a token of a Kubernetes service account outlives its pod until it expires. A token is valid until it expires, as there is no revocation list to ask, or until its provider says that its person's sessions are over ([`Revocations`]).
//! Every configured issuer may assert any group name; policies that must tell issuers apart
//! have to look at the principal's issuer.
mod algorithm;
mod ci;
mod claims;
mod config;
mod delegation;
pub mod dev;
mod error;
mod fetch;
mod id_token;
mod issuer;
mod jwks;
mod jwt;
pub mod oauthbearer;
mod openpubkey;
mod revocations;
mod security_event;
mod spiffe;
mod strict_json;
mod token_cache;
mod verifier;
mod words;

pub use ci::{CiTokenError, github_actions_token};
pub use config::{ConfigError, IssuerConfig};
pub use error::{EXTERNAL_MESSAGE, IdentityError};
pub use fetch::{FetchPolicy, client_without_redirects};
pub use id_token::{IdToken, groups_of_userinfo};
pub use jwt::MAX_TOKEN_BYTES;
pub use openpubkey::CallerKey;
pub use revocations::Revocations;
pub use security_event::SessionRevoked;
pub use verifier::{IssuerStatus, Verifier};
pub use words::{check_groups, check_tags};

#[cfg(test)]
mod tests;
