//! The gateway's certificate authority for callers: short-lived certificates over keys that never leave them.
//!
//! A certificate stands for a token that was shown when it was issued, and says what that said: the principal, as
//! JSON, in an extension of our own. Whoever holds the private key may log in with it until the token's end.
use super::keys::{self, HostKeyError};
use doorward_model::{Principal, Timestamp};
use russh::keys::{
    Certificate, HashAlg, PrivateKey, PublicKey,
    ssh_key::{
        self,
        certificate::{Builder, CertType},
    },
};
use std::{path::Path, time::Duration};

/// The name of the private key's file.
const CA_FILE: &str = "ssh_user_ca_ed25519_key";
/// The extension that holds the principal. Not a secret: it is what the caller's own token says.
const PRINCIPAL: &str = "principal@doorward";
/// How much clocks may differ.
const SKEW: Duration = Duration::from_secs(60);

/// Issues and checks the certificates that callers log in with.
#[derive(Debug)]
pub struct UserCa {
    key: PrivateKey,
}

/// Why a key was given no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It is no public key.
    #[error("no public key in OpenSSH's format: {0}")]
    Malformed(ssh_key::Error),
    /// It is too weak, or of a kind that is not taken.
    #[error("keys of this kind get no certificate: use Ed25519, ECDSA or RSA of 2048 bits and more")]
    Unfit,
    /// It could not be made.
    #[error("the certificate cannot be made: {0}")]
    Failed(String),
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// In OpenSSH's format, one line.
    pub certificate: String,
    /// Its number, for the audit log.
    pub serial: u64,
    /// The key it is for.
    pub fingerprint: String,
    /// When it ends.
    pub expires: Timestamp,
}

impl UserCa {
    /// Loads the authority's key out of `dir`, or makes it there.
    ///
    /// # Errors
    /// Where the key cannot be read or made.
    pub fn open(dir: &Path) -> Result<Self, HostKeyError> {
        Ok(Self { key: keys::load_or_create(dir, CA_FILE)? })
    }

    /// A certificate over a caller's public key, until the token ends or `longest` is over.
    ///
    /// # Errors
    /// Where the key is none, or unfit.
    pub fn issue(
        &self,
        public_key: &str,
        principal: &Principal,
        longest: Duration,
        now: Timestamp,
    ) -> Result<Issued, CertificateError> {
        let key = PublicKey::from_openssh(public_key.trim()).map_err(CertificateError::Malformed)?;
        if !is_fit(&key) {
            return Err(CertificateError::Unfit);
        }
        let expires = principal.expires_at.min(now.after(longest));
        let serial = rand::random();
        let certificate = self.sign(&key, principal, serial, (now, expires));
        let certificate = certificate.map_err(|e| CertificateError::Failed(e.to_string()))?;
        Ok(Issued { certificate, serial, fingerprint: key.fingerprint(HashAlg::Sha256).to_string(), expires })
    }

    fn sign(
        &self,
        key: &PublicKey,
        principal: &Principal,
        serial: u64,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<String, ssh_key::Error> {
        let nonce: [u8; 32] = rand::random();
        let from = from.as_secs().saturating_sub(SKEW.as_secs());
        let mut builder = Builder::new(nonce, key.key_data().clone(), from, to.as_secs())?;
        // An agent that acts for a person is not named as if it came alone.
        let who = principal.to_string();
        let says = serde_json::to_string(principal).map_err(|_| ssh_key::Error::CertificateValidation)?;
        builder.serial(serial)?.cert_type(CertType::User)?.key_id(who.clone())?.valid_principal(who)?;
        builder.extension(PRINCIPAL, says)?;
        builder.sign(&self.key)?.to_openssh()
    }

    /// Who a certificate stands for. That the caller has its key is for the library to see.
    ///
    /// # Errors
    /// Why it is not taken, for the audit log.
    pub fn verify(&self, certificate: &Certificate, now: Timestamp) -> Result<Principal, String> {
        if certificate.signature_key() != self.key.public_key().key_data() {
            return Err("a certificate of another authority".into());
        }
        let fingerprint = self.key.public_key().fingerprint(HashAlg::Sha256);
        certificate
            .validate_at(now.as_secs(), [&fingerprint])
            .map_err(|_| "a certificate that is expired, not yet valid, or not signed".to_owned())?;
        if certificate.cert_type() != CertType::User {
            return Err("a certificate of a host".into());
        }
        if !certificate.critical_options().is_empty() {
            return Err("a certificate with critical options, which are not known here".into());
        }
        let says = certificate.extensions().get(PRINCIPAL).ok_or("a certificate that names no principal")?;
        let mut principal: Principal =
            serde_json::from_str(says).map_err(|e| format!("a certificate whose principal is not understood: {e}"))?;
        principal.expires_at = principal.expires_at.min(Timestamp::from_secs(certificate.valid_before()));
        Ok(principal)
    }
}

/// When a certificate of ours was issued.
pub(super) fn issued(certificate: &Certificate) -> Timestamp {
    Timestamp::from_secs(certificate.valid_after().saturating_add(SKEW.as_secs()))
}

fn is_fit(key: &PublicKey) -> bool {
    use ssh_key::public::KeyData;
    match key.key_data() {
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => true,
        KeyData::Rsa(rsa) => rsa.key_size() >= 2048,
        KeyData::Dsa(_) | KeyData::Certificate(_) | KeyData::Other(_) | _ => false,
    }
}

/// A new key pair, in OpenSSH's formats: private, public.
///
/// # Errors
/// Where it cannot be written in that format.
pub fn new_key_pair(comment: &str) -> Result<(String, String), CertificateError> {
    let failed = |e: ssh_key::Error| CertificateError::Failed(e.to_string());
    let key = keys::new_key(comment).map_err(failed)?;
    let private = key.to_openssh(ssh_key::LineEnding::LF).map_err(failed)?.to_string();
    Ok((private, key.public_key().to_openssh().map_err(failed)?))
}

/// When a certificate in OpenSSH's format ends. `None` if it is none.
pub fn certificate_ends(text: &str) -> Option<Timestamp> {
    Certificate::from_openssh(text.trim()).ok().map(|c| Timestamp::from_secs(c.valid_before()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_model::{Delegation, PrincipalKind};
    use std::fs;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn principal() -> Principal {
        Principal {
            kind: PrincipalKind::Agent,
            issuer: "dev".into(),
            subject: "ci-bot".into(),
            groups: ["agents".to_owned()].into(),
            tags: [("ref".to_owned(), "main".to_owned())].into(),
            token_id: Some("t".into()),
            expires_at: NOW.after(Duration::from_secs(600)),
            on_behalf_of: None,
        }
    }

    fn key() -> PrivateKey {
        keys::new_key("").unwrap()
    }

    fn issue(ca: &UserCa, longest: u64) -> Certificate {
        let public = key().public_key().to_openssh().unwrap();
        let issued = ca.issue(&public, &principal(), Duration::from_secs(longest), NOW).unwrap();
        Certificate::from_openssh(&issued.certificate).unwrap()
    }

    #[test]
    fn a_certificate_says_what_the_token_said_and_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let ca = UserCa::open(dir.path()).unwrap();
        let certificate = issue(&ca, 3600);
        assert_eq!(ca.verify(&certificate, NOW).unwrap(), principal());
        assert!(ca.verify(&certificate, NOW.after(Duration::from_secs(599))).is_ok());
        assert!(ca.verify(&certificate, NOW.after(Duration::from_secs(600))).is_err());
        assert!(ca.verify(&certificate, Timestamp::from_secs(1_000_000 - 61)).is_err(), "not yet");
        assert_eq!(issued(&certificate), NOW, "by which it may be over");
        let short = issue(&ca, 60);
        assert_eq!(ca.verify(&short, NOW).unwrap().expires_at, NOW.after(Duration::from_secs(60)));
        assert_eq!(ca.verify(&issue(&UserCa::open(dir.path()).unwrap(), 60), NOW).unwrap().subject, "ci-bot");
    }

    /// An agent that acts for a person does not come in alone by a certificate.
    #[test]
    fn a_certificate_is_of_the_agent_and_the_person() {
        let dir = tempfile::tempdir().unwrap();
        let ca = UserCa::open(dir.path()).unwrap();
        let dana = Principal { kind: PrincipalKind::User, subject: "dana".into(), ..principal() };
        let on_behalf_of = Some(Box::new(Delegation { person: dana, prior_actors: vec!["dev/planner".into()] }));
        let both = Principal { on_behalf_of, ..principal() };
        let public = key().public_key().to_openssh().unwrap();
        let issued = ca.issue(&public, &both, Duration::from_secs(3600), NOW).unwrap();
        let certificate = Certificate::from_openssh(&issued.certificate).unwrap();
        assert_eq!(ca.verify(&certificate, NOW).unwrap(), both);
        assert_eq!(certificate.key_id(), "dev/ci-bot for dev/dana");
    }

    #[test]
    fn what_this_authority_did_not_issue_for_log_in_is_not_taken() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (ca, other) = (UserCa::open(here.path()).unwrap(), UserCa::open(there.path()).unwrap());
        assert!(ca.verify(&issue(&other, 60), NOW).unwrap_err().contains("another authority"));
        let made = |change: &dyn Fn(&mut Builder)| {
            let mut b = Builder::new([0; 32], key().public_key().key_data().clone(), 0, u64::MAX / 2).unwrap();
            b.valid_principal("x").unwrap();
            change(&mut b);
            b.sign(&ca.key).unwrap()
        };
        let says = serde_json::to_string(&principal()).unwrap();
        let good = made(&|b| drop(b.extension(PRINCIPAL, says.clone())));
        assert_eq!(ca.verify(&good, NOW).unwrap(), principal());
        for (bad, why) in [
            (made(&|_| {}), "names no principal"),
            (made(&|b| drop(b.extension(PRINCIPAL, "{}"))), "not understood"),
            (
                made(&|b| {
                    drop(b.extension(PRINCIPAL, says.clone()));
                    drop(b.critical_option("force-command", "id"));
                }),
                "critical options",
            ),
            (
                made(&|b| {
                    drop(b.extension(PRINCIPAL, says.clone()));
                    drop(b.cert_type(CertType::Host));
                }),
                "of a host",
            ),
        ] {
            assert!(ca.verify(&bad, NOW).unwrap_err().contains(why), "{why}");
        }
        // Another principal under the old signature.
        let text = good.to_bytes().unwrap();
        let at = text.windows(6).position(|w| w == b"ci-bot").unwrap();
        let mut forged = text;
        forged.get_mut(at..at + 6).unwrap().copy_from_slice(b"a-root");
        let forged = Certificate::from_bytes(&forged).unwrap();
        assert!(ca.verify(&forged, NOW).unwrap_err().contains("not signed"));
    }

    #[test]
    fn weak_keys_and_other_texts_get_none() {
        let dir = tempfile::tempdir().unwrap();
        let ca = UserCa::open(dir.path()).unwrap();
        for bad in ["", "ssh-ed25519", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQDJ", "hello world"] {
            assert!(ca.issue(bad, &principal(), Duration::from_secs(60), NOW).is_err(), "{bad}");
        }
        fs::remove_file(dir.path().join(CA_FILE)).unwrap();
        assert!(!dir.path().join(CA_FILE).exists());
    }
}
