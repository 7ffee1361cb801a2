//! The gateway's signing key: made once, kept readable by its owner alone.
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding},
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The name of the private key's file (PKCS#8 PEM, mode 0600).
pub const PRIVATE_KEY_FILE: &str = "signing-key.pem";
/// The name of the public key's file (SPKI PEM): what an auditor needs.
pub const PUBLIC_KEY_FILE: &str = "signing-key.pub.pem";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file `{path}` cannot be used: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("`{path}` does not hold an ed25519 key in PEM form")]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// Others than the owner may read the private key.
    #[error("`{path}` may be read by others: `chmod 600` it")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
}

/// Loads the signing key out of `dir`, or makes one there, with its public key beside it.
///
/// # Errors
/// [`KeyError`].
pub fn load_or_create(dir: &Path) -> Result<SigningKey, KeyError> {
    let path = dir.join(PRIVATE_KEY_FILE);
    let io = |source| KeyError::Io { path: path.clone(), source };
    let key = match fs::read_to_string(&path) {
        Ok(pem) => {
            let mode = fs::metadata(&path).map_err(io)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(KeyError::Exposed { path });
            }
            SigningKey::from_pkcs8_pem(&pem).map_err(|_| KeyError::Malformed { path: path.clone() })?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(dir, &path)?,
        Err(e) => return Err(io(e)),
    };
    let public = dir.join(PUBLIC_KEY_FILE);
    if !public.exists() {
        let malformed = |_| KeyError::Malformed { path: public.clone() };
        let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(malformed)?;
        fs::write(&public, pem).map_err(|source| KeyError::Io { path: public.clone(), source })?;
    }
    Ok(key)
}

/// Loads a public key for offline verification.
///
/// # Errors
/// [`KeyError`].
pub fn load_public(path: &Path) -> Result<VerifyingKey, KeyError> {
    let pem = fs::read_to_string(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    VerifyingKey::from_public_key_pem(&pem).map_err(|_| KeyError::Malformed { path: path.to_owned() })
}

fn create(dir: &Path, path: &Path) -> Result<SigningKey, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    fs::create_dir_all(dir).map_err(io)?;
    let key = SigningKey::from_bytes(&rand::random::<[u8; 32]>());
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Malformed { path: path.to_owned() })?;
    // A key that is half written when the machine stops must not be taken for the key: a temporary
    // name first, and a hard link so that of two starting processes only one wins.
    let temporary = dir.join(format!("{PRIVATE_KEY_FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(io)?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(io)?;
    linked.map_err(io)?;
    Ok(key)
}
