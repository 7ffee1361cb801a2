//! Asking a provider to sign somebody in: `AuthnRequest` by HTTP-Redirect (SAML Bindings, section 3.4).
use crate::{
    Certificate, IdentityProvider, ServiceProvider,
    names::{POST, SAML, SAMLP},
    time,
    xml::escaped,
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::{Secret, Timestamp};
use std::fmt;

/// What requests are signed with.
pub struct SigningKey {
    pair: Pair,
    certificate: Certificate,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why a key is not taken. Nothing of it is in this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Not a key, or of another kind.
    #[error("is not a PKCS#8 key in PEM, RSA of 2048 to 8192 bits or P-256")]
    Malformed,
    /// The certificate shows another key.
    #[error("does not belong to the certificate")]
    Mismatch,
}

/// A request to sign somebody in.
#[derive(Clone, Copy, Debug)]
pub struct AuthnRequest<'a> {
    /// Whom it is for.
    pub provider: &'a IdentityProvider,
    /// Who asks.
    pub service: &'a ServiceProvider,
    /// Its name, by which the answer is known: begins with a letter or `_`, and cannot be guessed.
    pub id: &'a str,
    /// When.
    pub now: Timestamp,
    /// Comes back with the answer as it is; 80 bytes at most.
    pub relay_state: &'a str,
}

impl SigningKey {
    /// Reads a key in PEM (PKCS#8), and holds it against the certificate that the provider knows it by.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(pem: &Secret<String>, certificate: Certificate) -> Result<Self, SigningKeyError> {
        let inner =
            pem.expose().split_once("-----BEGIN PRIVATE KEY-----").and_then(|(_, rest)| rest.split_once("-----END"));
        let bare: String = inner.ok_or(SigningKeyError::Malformed)?.0.split_ascii_whitespace().collect();
        let der = STANDARD.decode(bare).map_err(|_| SigningKeyError::Malformed)?;
        let rsa = RsaKeyPair::from_pkcs8(&der).map(|pair| Pair::Rsa(Box::new(pair)));
        let pair = rsa.or_else(|_| {
            EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &der)
                .map(|pair| Pair::P256(Box::new(pair)))
        });
        let key = Self { pair: pair.map_err(|_| SigningKeyError::Malformed)?, certificate };
        if key.public() == key.certificate.public() { Ok(key) } else { Err(SigningKeyError::Mismatch) }
    }

    /// What the provider knows it by.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    fn public(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) => pair.public_key().as_ref(),
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Pair::P256(_) => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
        }
    }

    /// None where the library fails, which it does not with a key that it has read.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out).ok()?;
                Some(out)
            }
            Pair::P256(pair) => pair.sign(&random, message).ok().map(|s| s.as_ref().to_vec()),
        }
    }
}

impl AuthnRequest<'_> {
    fn document(&self) -> String {
        format!(
            "<samlp:AuthnRequest xmlns:samlp=\"{SAMLP}\" xmlns:saml=\"{SAML}\" ID=\"{}\" Version=\"2.0\" \
             IssueInstant=\"{}\" Destination=\"{}\" AssertionConsumerServiceURL=\"{}\" ProtocolBinding=\"{POST}\">\
             <saml:Issuer>{}</saml:Issuer><samlp:NameIDPolicy AllowCreate=\"true\"/></samlp:AuthnRequest>",
            escaped(self.id),
            time::write(self.now),
            escaped(&self.provider.sso_url),
            escaped(&self.service.acs_url),
            escaped(&self.service.entity_id),
        )
    }

    /// Where to send the browser. None where the request cannot be signed.
    pub fn location(&self, key: Option<&SigningKey>) -> Option<String> {
        let packed = miniz_oxide::deflate::compress_to_vec(self.document().as_bytes(), 6);
        let mut query =
            format!("SAMLRequest={}&RelayState={}", encoded(&STANDARD.encode(packed)), encoded(self.relay_state));
        if let Some(key) = key {
            // The signature is over the query as it is sent, in this order (section 3.4.4.1).
            query.push_str(&format!("&SigAlg={}", encoded(key.algorithm())));
            let signed = STANDARD.encode(key.sign(query.as_bytes())?);
            query.push_str(&format!("&Signature={}", encoded(&signed)));
        }
        let sso = &self.provider.sso_url;
        let joint = if sso.contains('?') { '&' } else { '?' };
        Some(format!("{sso}{joint}{query}"))
    }
}

/// Everything but unreserved characters as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}
