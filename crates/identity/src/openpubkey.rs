//! OpenPubkey: an identity token that is bound to a key of the caller's (PK token, <https://eprint.iacr.org/2023/296>).
//!
//! The caller makes a key pair and puts the hash of its public half, with a random value, into the `nonce` of its
//! request for an identity token. Whoever shows that token, what was hashed, and a signature of that key, is who the
//! token says. The compact form, as openpubkey and opkssh write it, is
//! `payload:header:signature:header:signature`, base64url, with the issuer's pair and the caller's.
//!
//! INVARIANT: such tokens are shown to every server that the caller logs in to. Each of these could show it again, but
//! not use the key: an audience is either of bearer tokens or of bound ones, never both ([`crate::IssuerConfig`]).
use crate::{
    IdentityError, MAX_TOKEN_BYTES, Verifier,
    algorithm::Algorithm,
    claims,
    jwks::{Material, VerifyKey},
    jwt::{self, Unverified},
    strict_json,
    verifier::verify_signature,
};
use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward_model::{Principal, Timestamp};
use serde_json::Value;

/// The public key whose private half the caller has shown to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKey<'a> {
    /// ECDSA on P-256: the point, uncompressed (SEC 1 §2.3.3).
    P256(&'a [u8]),
    /// Ed25519 (RFC 8032).
    Ed25519(&'a [u8; 32]),
    /// RSA: modulus and exponent, big-endian, without leading zeros.
    Rsa {
        /// The modulus.
        n: &'a [u8],
        /// The public exponent.
        e: &'a [u8],
    },
}

impl CallerKey<'_> {
    fn material(self) -> Material {
        match self {
            Self::P256(point) => point.to_vec(),
            Self::Ed25519(key) => key.to_vec(),
            Self::Rsa { n, e } => [n, e].concat(),
        }
    }
}

const fn malformed(what: &'static str) -> IdentityError {
    IdentityError::Malformed { what }
}

/// The parts of a PK token, as JWTs: the issuer's, and the caller's, with its header.
struct Parts {
    issuers: String,
    callers_message: String,
    callers_signature: Vec<u8>,
    callers_header: Vec<u8>,
}

impl Parts {
    fn of(token: &str) -> Result<Self, IdentityError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(IdentityError::TooLarge);
        }
        // What follows the dot is a refreshed identity token: it is bound to nothing, and is not read.
        let bound = token.split_once('.').map_or(token, |(bound, _)| bound);
        let parts: Vec<&str> = bound.split(':').collect();
        let [payload, header, signature, callers_header, callers_signature] = parts.as_slice() else {
            return Err(malformed("not the five parts of a PK token without a cosigner"));
        };
        Ok(Self {
            issuers: format!("{header}.{payload}.{signature}"),
            callers_message: format!("{callers_header}.{payload}"),
            callers_signature: jwt::decode(callers_signature)?,
            callers_header: jwt::decode(callers_header)?,
        })
    }

    /// Whether the caller's header is of this key, and the key signed it with the payload.
    fn check_key(&self, key: CallerKey<'_>) -> Result<(), IdentityError> {
        let header = strict_json::object(&self.callers_header).ok_or(malformed("the caller's header"))?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        if text("typ") != Some("CIC") || text("rz").is_none_or(str::is_empty) || header.contains_key("crit") {
            return Err(malformed("the caller's header"));
        }
        let alg = text("alg").ok_or(malformed("the caller's header `alg`"))?;
        let algorithm = Algorithm::from_jose(alg).ok_or(IdentityError::AlgorithmNotAllowed { for_key: false })?;
        let jwk = header.get("upk").ok_or(malformed("the caller's header `upk`"))?;
        let (upk, material) = VerifyKey::of_jwk(jwk).ok_or(malformed("the caller's header `upk`"))?;
        if material != key.material() {
            return Err(IdentityError::Unbound);
        }
        if !upk.fits(algorithm) {
            return Err(IdentityError::AlgorithmNotAllowed { for_key: true });
        }
        if !upk.verifies(algorithm, self.callers_message.as_bytes(), &self.callers_signature) {
            return Err(IdentityError::BadSignature);
        }
        Ok(())
    }

    /// Whether the issuer's token was asked for with the caller's header: its hash is the `nonce`.
    fn check_commitment(&self, claims: &claims::Claims) -> Result<(), IdentityError> {
        let nonce = claims.get("nonce").ok_or(IdentityError::MissingClaim { claim: "nonce" })?;
        let expected = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA3_256, &self.callers_header));
        let nonce = nonce.as_str().unwrap_or_default();
        constant_time::verify_slices_are_equal(nonce.as_bytes(), expected.as_bytes())
            .map_err(|_| IdentityError::Unbound)
    }
}

impl Verifier {
    /// Checks a PK token in compact form, bound to a key that the caller has shown to hold, and says who it is.
    ///
    /// The token is good until its own `exp`. Not taken: cosigners, GQ signatures, bindings by another claim than
    /// `nonce`. Must run within a tokio runtime (for fetching keys).
    ///
    /// # Errors
    /// The precise reason, for the audit log; the caller is told [`crate::EXTERNAL_MESSAGE`].
    pub async fn verify_bound(
        &self,
        token: &str,
        key: CallerKey<'_>,
        now: Timestamp,
    ) -> Result<Principal, IdentityError> {
        let parts = Parts::of(token)?;
        parts.check_key(key)?;
        let unverified = Unverified::parse(&parts.issuers)?;
        let (_, issuer) = self.issuer_of(&unverified)?;
        verify_signature(issuer, &unverified).await?;
        parts.check_commitment(&unverified.claims)?;
        let audience = &issuer.config.openpubkey_audience;
        let (principal, validity) = claims::in_person(&unverified.claims, &issuer.config, audience, now)?;
        self.check_revoked(&principal, &validity)?;
        Ok(principal)
    }
}

#[cfg(test)]
#[path = "tests/openpubkey.rs"]
mod tests;
