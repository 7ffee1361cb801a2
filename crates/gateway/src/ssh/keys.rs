//! Host keys: the gateway's own, and those of upstreams.
use doorward_model::Secret;
use russh::keys::{
    Algorithm, PrivateKey, PublicKey,
    ssh_key::{self, LineEnding},
};
use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    /// A file cannot be read or written.
    #[error("`{path}` cannot be used: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{what} is not a key in OpenSSH's format: {source}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong.
        source: ssh_key::Error,
    },
    /// Others than the owner may read the private key.
    #[error("`{path}` may be read by others: `chmod 600` it")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// A list of host keys is empty.
    #[error("no host key for `{host}` in what was given")]
    None {
        /// Which upstream.
        host: String,
    },
}

/// Loads a key out of `dir`, or makes one there, with its public key beside it.
pub(crate) fn load_or_create(dir: &Path, name: &str) -> Result<PrivateKey, HostKeyError> {
    let path = dir.join(name);
    match load(&path) {
        Err(HostKeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => create(&path),
        loaded => loaded,
    }
}

/// Loads a key that only its owner may read.
pub(crate) fn load(path: &Path) -> Result<PrivateKey, HostKeyError> {
    let io = |source| HostKeyError::Io { path: path.to_path_buf(), source };
    let text = fs::read_to_string(path).map_err(io)?;
    if fs::metadata(path).map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(HostKeyError::Exposed { path: path.to_path_buf() });
    }
    parse_private_key(&text, &path.display().to_string())
}

/// A new Ed25519 key.
pub(crate) fn new_key(comment: &str) -> Result<PrivateKey, ssh_key::Error> {
    let mut seed = [0; 32];
    rand::fill(&mut seed);
    PrivateKey::new(ssh_key::private::Ed25519Keypair::from_seed(&seed).into(), comment)
}

fn create(path: &Path) -> Result<PrivateKey, HostKeyError> {
    use io::Write as _;
    let io = |source| HostKeyError::Io { path: path.to_path_buf(), source };
    let malformed = |source| HostKeyError::Malformed { what: "a new key".into(), source };
    let key = new_key("doorward").map_err(malformed)?;
    let text = key.to_openssh(LineEnding::LF).map_err(malformed)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    let public = key.public_key().to_openssh().map_err(malformed)?;
    fs::write(path.with_extension("pub"), format!("{public}\n")).map_err(io)?;
    Ok(key)
}

/// A private key in OpenSSH's format, without a passphrase.
///
/// # Errors
/// Where it is none.
fn parse_private_key(text: &str, what: &str) -> Result<PrivateKey, HostKeyError> {
    PrivateKey::from_openssh(text).map_err(|source| HostKeyError::Malformed { what: what.to_owned(), source })
}

/// A credential that begins as a private key does and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a private key in OpenSSH's format without a passphrase")]
pub struct MalformedKey;

/// The private key that a credential is; none where it is a password.
///
/// # Errors
/// Where it begins as a key does and is none. What is wrong in it is not said: it is a secret.
pub fn private_key(secret: &Secret<String>) -> Result<Option<PrivateKey>, MalformedKey> {
    let text = secret.expose();
    // A key in OpenSSH's format says so in its first line; a password does not look like that.
    if !text.trim_start().starts_with("-----BEGIN") {
        return Ok(None);
    }
    PrivateKey::from_openssh(text).map(Some).map_err(|_| MalformedKey)
}

/// Host keys, one a line, as in `ssh-keyscan`, a `known_hosts` file with plain names, or a `.pub` file. Lines for
/// other hosts, comments and markers are passed over.
///
/// # Errors
/// Where a line holds no key, or none is left.
pub fn parse_host_keys(text: &str, host: &str, port: u16) -> Result<Vec<PublicKey>, HostKeyError> {
    let mut keys = Vec::new();
    let bracketed = format!("[{host}]:{port}");
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with(['#', '@', '|'])) {
        let first = line.split_whitespace().next().unwrap_or_default();
        let is_key = first.parse::<Algorithm>().is_ok_and(|a| !matches!(a, Algorithm::Other(_)));
        let key = if is_key { line } else { line.split_once(char::is_whitespace).map_or("", |(_, key)| key.trim()) };
        let named = first.split(',').any(|n| n == bracketed || (n == host && port == 22));
        if is_key || named {
            let malformed = |source| HostKeyError::Malformed { what: format!("`{line}`"), source };
            keys.push(PublicKey::from_openssh(key).map_err(malformed)?);
        }
    }
    if keys.is_empty() {
        return Err(HostKeyError::None { host: bracketed });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn host_keys_are_read_as_they_are_written_elsewhere() {
        let lines = format!("# c\n{KEY} comment\n[h]:2222 {KEY}\nother {KEY}\n|1|x|y {KEY}\n");
        assert_eq!(parse_host_keys(&lines, "h", 2222).unwrap().len(), 2);
        assert_eq!(parse_host_keys(&format!("a,h {KEY}"), "h", 22).unwrap().len(), 1);
        assert!(parse_host_keys(&format!("h {KEY}"), "h", 2222).is_err());
        assert!(parse_host_keys("h ssh-ed25519 AAAA", "h", 22).is_err());
        assert!(parse_host_keys("", "h", 22).is_err());
    }

    #[test]
    fn the_gateways_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        const NAME: &str = "key";
        let host_key = || load_or_create(dir.path(), NAME);
        let made = host_key().unwrap();
        assert_eq!(host_key().unwrap().public_key(), made.public_key());
        let path = dir.path().join(NAME);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(host_key(), Err(HostKeyError::Exposed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "no key").unwrap();
        assert!(matches!(host_key(), Err(HostKeyError::Malformed { .. })));
    }
}
