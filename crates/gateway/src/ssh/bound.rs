//! Log-in with OpenPubkey: a certificate that carries an identity token bound to its key, as opkssh makes them.
//!
//! The certificate is signed by the caller's own key and vouches for nothing: it is the envelope. Who calls is what the
//! issuer's token says, which has the hash of the key in it.
use doorward_identity::CallerKey;
use doorward_model::Timestamp;
use russh::keys::{
    Certificate, HashAlg,
    ssh_key::{
        certificate::CertType,
        public::{EcdsaPublicKey, KeyData},
    },
};

/// The extension that holds the token (`sshcert.New` of opkssh).
const TOKEN: &str = "openpubkey-pkt";

/// Whether a certificate is of this kind.
pub(super) fn is_bound(certificate: &Certificate) -> bool {
    certificate.extensions().get(TOKEN).is_some()
}

/// The token of a certificate, and the key that it has to be bound to. That the caller holds that key is for the
/// library to see.
///
/// # Errors
/// Why it is not taken, for the audit log.
pub(super) fn token_of(certificate: &Certificate, now: Timestamp) -> Result<(&str, CallerKey<'_>), String> {
    let token = certificate.extensions().get(TOKEN).ok_or("a certificate without a token")?;
    if certificate.cert_type() != CertType::User {
        return Err("a certificate of a host".into());
    }
    if !certificate.critical_options().is_empty() {
        return Err("a certificate with critical options, which are not known here".into());
    }
    let signer = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(now.as_secs(), [&signer])
        .map_err(|_| "a certificate that is expired, not yet valid, or not signed".to_owned())?;
    let key = caller_key(certificate.public_key()).ok_or("a key of a kind that tokens are not bound to")?;
    Ok((token, key))
}

fn caller_key(key: &KeyData) -> Option<CallerKey<'_>> {
    match key {
        KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) => Some(CallerKey::P256(point.as_bytes())),
        KeyData::Ed25519(key) => Some(CallerKey::Ed25519(&key.0)),
        KeyData::Rsa(rsa) => Some(CallerKey::Rsa { n: rsa.n().as_positive_bytes()?, e: rsa.e().as_positive_bytes()? }),
        KeyData::Dsa(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_)
        | KeyData::Certificate(_)
        | KeyData::Other(_)
        | _ => None,
    }
}
