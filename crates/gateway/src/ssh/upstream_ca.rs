//! The gateway's certificate authority towards upstreams: for each session a key that is used once, and a
//! certificate that ends in minutes. The target trusts one public key (`TrustedUserCAKeys` of sshd_config(5)), holds
//! none of the gateway's, and its own log says whom it let in.
use super::keys::{self, HostKeyError};
use doorward_model::{Principal, SessionId, Timestamp};
use russh::keys::{
    Certificate, PrivateKey,
    ssh_key::{
        self,
        certificate::{Builder, CertType},
    },
};
use std::{path::Path, sync::Arc, time::Duration};

/// The name of the private key's file.
const CA_FILE: &str = "ssh_upstream_ca_ed25519_key";
/// How long a certificate may be logged in with. What was logged in goes on.
const VALID: Duration = Duration::from_secs(5 * 60);
/// How much clocks may differ.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// What a session may be used for at the target; what is asked for in it is decided here.
const ALLOWED: [&str; 3] = ["permit-port-forwarding", "permit-pty", "permit-user-rc"];

/// Signs what the gateway logs in with.
#[derive(Debug)]
pub(crate) struct UpstreamCa {
    key: PrivateKey,
}

impl UpstreamCa {
    pub(crate) fn open(dir: &Path) -> Result<Self, HostKeyError> {
        Ok(Self { key: keys::load_or_create(dir, CA_FILE)? })
    }

    /// A new key, and a certificate for it to log in as `user`.
    pub(crate) fn issue(
        &self,
        user: &str,
        who: &Principal,
        session: SessionId,
        now: Timestamp,
    ) -> Result<(Arc<PrivateKey>, Certificate), ssh_key::Error> {
        let key = keys::new_key("")?;
        let nonce: [u8; 32] = rand::random();
        let from = now.as_secs().saturating_sub(SKEW.as_secs());
        let mut builder = Builder::new(nonce, key.public_key().key_data().clone(), from, now.after(VALID).as_secs())?;
        builder.serial(rand::random())?.cert_type(CertType::User)?.valid_principal(user)?;
        builder.key_id(format!("{who} through doorward, session {session}"))?;
        for extension in ALLOWED {
            builder.extension(extension, "")?;
        }
        Ok((Arc::new(key), builder.sign(&self.key)?))
    }
}
