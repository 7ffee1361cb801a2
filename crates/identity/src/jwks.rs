//! The keys that an issuer publishes (RFC 7517), made ready for checking signatures.
use crate::algorithm::Algorithm;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as sig, ParsedPublicKey, RsaPublicKeyComponents};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// More keys than this in one set are not read: issuers publish a handful.
const MAX_KEYS: usize = 64;
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// Identifies a published key by its material, so that "is this key still published" survives a refresh.
pub(crate) type KeyId = [u8; 32];

/// The public key's own bytes.
pub(crate) type Material = Vec<u8>;
/// What a key may be used for, parsed for each use.
type Uses = Vec<(Algorithm, ParsedPublicKey)>;

/// One public key, parsed once for each algorithm it may be used with.
pub(crate) struct VerifyKey {
    pub(crate) id: KeyId,
    kid: Option<String>,
    uses: Uses,
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.uses.iter().map(|(a, _)| a).collect();
        f.debug_struct("VerifyKey").field("kid", &self.kid).field("algorithms", &algorithms).finish_non_exhaustive()
    }
}

impl VerifyKey {
    /// One key by itself (RFC 7517 section 4), and what it is made of. `None` if it is none that can check signatures.
    pub(crate) fn of_jwk(jwk: &Value) -> Option<(Self, Material)> {
        Jwk::deserialize(jwk).ok()?.into_key()
    }

    /// Whether the key may be used with an algorithm: by its type, its curve, and its own `alg`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.uses.iter().any(|(a, _)| *a == algorithm)
    }

    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.uses.iter().any(|(a, key)| *a == algorithm && key.verify_sig(message, signature).is_ok())
    }
}

/// What a key set has to say about a token's `kid` and `alg`.
#[derive(Debug)]
pub(crate) enum Lookup<'a> {
    /// The keys that may have signed it: one, or the few that share a `kid`.
    Keys(Vec<&'a VerifyKey>),
    /// The `kid` is there, but for another algorithm.
    OtherAlgorithm,
    /// No such `kid`; or none given, and not exactly one key fits.
    Unknown,
}

/// An issuer's usable keys.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<VerifyKey>,
}

impl KeySet {
    /// Reads a JWKS document. Keys that cannot check a signature here are left out: other types,
    /// other uses, too small, malformed. `None` when the document is no key set at all.
    /// `usage`: what keys are for, `sig` or, in a SPIFFE bundle, `jwt-svid` (SPIFFE Trust Domain and Bundle §4.2.2), where a
    /// key that does not say so is not one.
    pub(crate) fn parse(document: &[u8], usage: Usage) -> Option<Self> {
        let set: RawSet = serde_json::from_slice(document).ok()?;
        let keys = set.keys.into_iter().take(MAX_KEYS).filter_map(|raw| {
            let jwk: Jwk = serde_json::from_value(raw).ok()?;
            let jwk = jwk.used_for(usage)?;
            jwk.into_key().map(|(key, _)| key)
        });
        Some(Self { keys: keys.collect() })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn contains(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|k| k.id == *id)
    }

    pub(crate) fn lookup(&self, kid: Option<&str>, algorithm: Algorithm) -> Lookup<'_> {
        if let Some(kid) = kid {
            let mut named = self.keys.iter().filter(|k| k.kid.as_deref() == Some(kid)).peekable();
            if named.peek().is_none() {
                return Lookup::Unknown;
            }
            // Some issuers share a `kid` between keys of different types.
            let fitting: Vec<_> = named.filter(|k| k.fits(algorithm)).take(4).collect();
            return if fitting.is_empty() { Lookup::OtherAlgorithm } else { Lookup::Keys(fitting) };
        }
        // OpenID Connect Core section 10.1: without a `kid` the key must be the only one.
        let mut fitting = self.keys.iter().filter(|k| k.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Lookup::Keys(vec![only]),
            _ => Lookup::Unknown,
        }
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Only its presence counts: a private key that is published is nobody's proof.
    d: Option<serde::de::IgnoredAny>,
}

fn b64(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// Like [`b64`] for a number of fixed length.
fn b64_exact(text: Option<&String>, len: usize) -> Option<Vec<u8>> {
    b64(text).filter(|v| v.len() == len)
}

/// What keys of a set are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// `use: sig`, or nothing said.
    Signatures,
    /// `use: jwt-svid`.
    JwtSvid,
}

impl Jwk {
    /// As a key for signatures, where it is for this.
    fn used_for(self, usage: Usage) -> Option<Self> {
        match usage {
            Usage::Signatures => Some(self),
            Usage::JwtSvid if self.usage.as_deref() == Some("jwt-svid") => Some(Self { usage: None, ..self }),
            Usage::JwtSvid => None,
        }
    }

    fn into_key(self) -> Option<(VerifyKey, Material)> {
        let for_signatures = self.usage.as_deref().is_none_or(|u| u == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|o| o == "verify"));
        if !for_signatures || self.d.is_some() {
            return None;
        }
        let (material, mut uses) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => self.rsa()?,
            ("EC", Some("P-256")) => self.ec(32, Algorithm::Es256, &sig::ECDSA_P256_SHA256_FIXED)?,
            ("EC", Some("P-384")) => self.ec(48, Algorithm::Es384, &sig::ECDSA_P384_SHA384_FIXED)?,
            ("OKP", Some("Ed25519")) => {
                let x = b64_exact(self.x.as_ref(), 32)?;
                let key = ParsedPublicKey::new(&sig::ED25519, &x).ok()?;
                (x, vec![(Algorithm::EdDsa, key)])
            }
            _ => return None,
        };
        if let Some(alg) = &self.alg {
            let only = Algorithm::from_jose(alg)?;
            uses.retain(|(a, _)| *a == only);
        }
        if uses.is_empty() {
            return None;
        }
        let id = key_id(self.kid.as_deref(), self.alg.as_deref(), &material);
        Some((VerifyKey { id, kid: self.kid, uses }, material))
    }

    fn rsa(&self) -> Option<(Material, Uses)> {
        // Some issuers send the sign byte of an ASN.1 integer along.
        let trim = |v: Vec<u8>| v.into_iter().skip_while(|b| *b == 0).collect::<Vec<u8>>();
        let (n, e) = (trim(b64(self.n.as_ref())?), trim(b64(self.e.as_ref())?));
        let bits = (n.len() * 8).checked_sub(n.first()?.leading_zeros() as usize)?;
        // An exponent beyond 33 bits only serves to make checking slow.
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) || !(1..=4).contains(&e.len()) {
            return None;
        }
        let parts = RsaPublicKeyComponents { n: &n, e: &e };
        let uses = Algorithm::RSA
            .into_iter()
            .map(|(a, params)| Some((a, parts.to_parsed_public_key(params).ok()?)))
            .collect::<Option<Vec<_>>>()?;
        Some(([n, e].concat(), uses))
    }

    fn ec(
        &self,
        len: usize,
        algorithm: Algorithm,
        how: &'static sig::EcdsaVerificationAlgorithm,
    ) -> Option<(Material, Uses)> {
        let point = [vec![4], b64_exact(self.x.as_ref(), len)?, b64_exact(self.y.as_ref(), len)?].concat();
        // INVARIANT: parsing refuses a point that is not on the curve.
        let key = ParsedPublicKey::new(how, &point).ok()?;
        Some((point, vec![(algorithm, key)]))
    }
}

fn key_id(kid: Option<&str>, alg: Option<&str>, material: &[u8]) -> KeyId {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [kid.unwrap_or_default().as_bytes(), alg.unwrap_or_default().as_bytes(), material] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = KeyId::default();
    id.copy_from_slice(hash.finish().as_ref());
    id
}
