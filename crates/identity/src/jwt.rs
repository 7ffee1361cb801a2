//! A token's outer form (RFC 7515 compact serialisation), before anything in it is believed.
use crate::algorithm::Algorithm;
use crate::error::IdentityError;
use crate::strict_json;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::fmt;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

const MAX_KID_BYTES: usize = 512;

/// What a token's header says it is (`typ`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A JWT, or nothing said.
    Jwt,
    /// An access token (RFC 9068).
    AccessToken,
    /// Whatever is signed: what a JWT-SVID may say (JWT-SVID §2.3).
    Jose,
    /// A security event (RFC 8417): never an identity.
    SecurityEvent,
}

/// A token cut into its parts. Its claims are **unverified** until the signature was checked.
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    /// What the header says it is.
    pub(crate) form: Form,
    pub(crate) claims: Map<String, Value>,
    /// The bytes that are signed: header and payload as they came.
    pub(crate) message: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

const fn malformed(what: &'static str) -> IdentityError {
    IdentityError::Malformed { what }
}

impl<'a> Unverified<'a> {
    /// Cuts and decodes. Checks the header's `alg`, `typ`, `crit` and `kid`; ignores every other parameter.
    pub(crate) fn parse(token: &'a str) -> Result<Self, IdentityError> {
        let parsed = Self::parse_any(token)?;
        if parsed.form == Form::SecurityEvent { Err(malformed("header `typ`")) } else { Ok(parsed) }
    }

    /// As [`Unverified::parse`], for security events alone.
    pub(crate) fn parse_event(token: &'a str) -> Result<Self, IdentityError> {
        let parsed = Self::parse_any(token)?;
        if parsed.form == Form::SecurityEvent { Ok(parsed) } else { Err(malformed("header `typ`")) }
    }

    fn parse_any(token: &'a str) -> Result<Self, IdentityError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(IdentityError::TooLarge);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(malformed("not three parts"))?;
        let (header, payload) = message.split_once('.').ok_or(malformed("not three parts"))?;
        if payload.contains('.') {
            return Err(malformed("not three parts"));
        }
        let (algorithm, kid, form) = parse_header(&decode(header)?)?;
        let signature = decode(signature)?;
        if signature.is_empty() {
            return Err(IdentityError::BadSignature);
        }
        let claims = strict_json::object(&decode(payload)?).ok_or(malformed("claims"))?;
        Ok(Self { algorithm, kid, form, claims, message: message.as_bytes(), signature })
    }
}

pub(crate) fn decode(part: &str) -> Result<Vec<u8>, IdentityError> {
    // This engine refuses padding, other alphabets and non-zero spare bits: one token has one spelling.
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("base64url"))
}

fn parse_header(json: &[u8]) -> Result<(Algorithm, Option<String>, Form), IdentityError> {
    let header = strict_json::object(json).ok_or(malformed("header"))?;
    let alg = header.get("alg").and_then(Value::as_str).ok_or(malformed("header `alg`"))?;
    let algorithm = Algorithm::from_jose(alg).ok_or(IdentityError::AlgorithmNotAllowed { for_key: false })?;
    // RFC 7515 section 4.1.11: an extension marked critical that is not understood refuses the token.
    if header.contains_key("crit") {
        return Err(malformed("header `crit`"));
    }
    let form = header.get("typ").map_or(Some(Form::Jwt), form_of).ok_or(malformed("header `typ`"))?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.clone()),
        Some(_) => return Err(malformed("header `kid`")),
    };
    Ok((algorithm, kid, form))
}

/// RFC 8725 section 3.11: a logout token, a DPoP proof or a security event is signed by the same
/// keys and must not pass for an identity.
fn form_of(typ: &Value) -> Option<Form> {
    const TYPES: [(&str, Form); 7] = [
        ("JWT", Form::Jwt),
        ("application/jwt", Form::Jwt),
        ("at+jwt", Form::AccessToken),
        ("application/at+jwt", Form::AccessToken),
        ("JOSE", Form::Jose),
        ("secevent+jwt", Form::SecurityEvent),
        ("application/secevent+jwt", Form::SecurityEvent),
    ];
    let typ = typ.as_str()?;
    TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(typ)).map(|(_, form)| *form)
}
