//! Certificates of identity providers: the keys in them are what is trusted.
use aws_lc_rs::{digest, signature};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;
use x509_parser::{oid_registry, prelude::FromDer as _};

/// The algorithms of signatures that are known here. SHA-1 and HMAC are not among them, and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    RsaSha256,
    RsaSha512,
    EcdsaSha256,
}

impl Algorithm {
    /// By its name in XML Signature (RFC 9231).
    pub(crate) fn named(uri: &str) -> Option<Self> {
        match uri {
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => Some(Self::RsaSha256),
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => Some(Self::RsaSha512),
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Some(Self::EcdsaSha256),
            _ => None,
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    /// `RSAPublicKey` of RFC 8017.
    Rsa(Vec<u8>),
    /// A point of P-256.
    P256(Vec<u8>),
}

/// A certificate that a provider signs with. Its dates and its issuer say nothing here: it is good for as long as it is
/// configured (SAML V2.0 Metadata Interoperability Profile, section 2.6.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    key: Key,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

/// Why a text is not taken for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither PEM nor base64 of X.509.
    #[error("is not an X.509 certificate in PEM or base64")]
    Malformed,
    /// Another kind of key.
    #[error("has a key that is neither RSA of 2048 to 8192 bits nor P-256")]
    Key,
}

impl Certificate {
    /// Reads one, in PEM or in the bare base64 that metadata has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, CertificateError> {
        let inner = match text.split_once("-----BEGIN CERTIFICATE-----") {
            Some((_, rest)) => rest.split_once("-----END CERTIFICATE-----").ok_or(CertificateError::Malformed)?.0,
            None => text,
        };
        let bare: String = inner.split_ascii_whitespace().collect();
        let der = STANDARD.decode(bare).map_err(|_| CertificateError::Malformed)?;
        Self::of_der(der)
    }

    fn of_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        let parsed = x509_parser::certificate::X509Certificate::from_der(&der);
        let (rest, certificate) = parsed.map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let info = certificate.public_key();
        let bits = info.subject_public_key.data.to_vec();
        let curve = || info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        let key = if info.algorithm.algorithm == oid_registry::OID_PKCS1_RSAENCRYPTION {
            // Leading zero and the few bytes around the modulus aside.
            if !(256..=1100).contains(&bits.len()) {
                return Err(CertificateError::Key);
            }
            Key::Rsa(bits)
        } else if info.algorithm.algorithm == oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY
            && curve() == Some(oid_registry::OID_EC_P256)
        {
            Key::P256(bits)
        } else {
            return Err(CertificateError::Key);
        };
        Ok(Self { der, key })
    }

    /// The key itself, as its kind writes it.
    pub(crate) fn public(&self) -> &[u8] {
        match &self.key {
            Key::Rsa(bits) | Key::P256(bits) => bits,
        }
    }

    /// As metadata has it.
    pub(crate) fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// SHA-256 of the certificate, as people compare it.
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.der);
        let pairs: Vec<String> = hash.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        pairs.join(":")
    }

    /// Whether the holder of its key signed this.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        match (algorithm, &self.key) {
            (Algorithm::RsaSha256, Key::Rsa(key)) => {
                signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key).verify(message, signed)
            }
            (Algorithm::RsaSha512, Key::Rsa(key)) => {
                signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA512, key).verify(message, signed)
            }
            // XML Signature has r and s side by side, not in ASN.1.
            (Algorithm::EcdsaSha256, Key::P256(key)) => {
                signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key).verify(message, signed)
            }
            (Algorithm::RsaSha256 | Algorithm::RsaSha512, Key::P256(_)) | (Algorithm::EcdsaSha256, Key::Rsa(_)) => {
                return false;
            }
        }
        .is_ok()
    }
}
