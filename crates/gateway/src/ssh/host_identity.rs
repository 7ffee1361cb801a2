//! The gateway's own host keys: the one that it shows, and the one that is to come after it.
//!
//! Callers are told of both after log-in (`hostkeys-00@openssh.com`), and clients with `UpdateHostKeys` add the next one
//! to their `known_hosts`. So it can take the place of the first without a question to anybody.
use super::keys::{self, HostKeyError};
use parking_lot::Mutex;
use russh::{
    keys::{HashAlg, PrivateKey, PublicKey},
    server,
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The host key that is shown (OpenSSH's format, mode 0600).
const CURRENT: &str = "ssh_host_ed25519_key";
/// The one that is announced and takes its place.
const NEXT: &str = "ssh_host_ed25519_key_next";
/// The one that was shown before.
const RETIRED: &str = "ssh_host_ed25519_key_retired";

/// The host keys of a gateway.
#[derive(Debug)]
pub(crate) struct HostIdentity {
    dir: PathBuf,
    make: fn(Vec<PrivateKey>) -> server::Config,
    seen: Mutex<(Stamp, Arc<server::Config>)>,
}

/// What a change of the files changes.
type Stamp = [Option<(u64, i64, i64)>; 2];

fn stamp(dir: &Path) -> Stamp {
    [CURRENT, NEXT].map(|name| fs::metadata(dir.join(name)).ok().map(|m| (m.ino(), m.mtime(), m.mtime_nsec())))
}

/// The host keys in a folder, the one that is shown first; made where there is none.
fn load(dir: &Path) -> Result<Vec<PrivateKey>, HostKeyError> {
    let mut all = vec![keys::load_or_create(dir, CURRENT)?];
    if dir.join(NEXT).exists() {
        all.push(keys::load(&dir.join(NEXT))?);
    }
    Ok(all)
}

impl HostIdentity {
    /// The keys in a folder, with which `make` sets up a server.
    ///
    /// # Errors
    /// Where they cannot be read or made.
    pub(crate) fn open(dir: &Path, make: fn(Vec<PrivateKey>) -> server::Config) -> Result<Self, HostKeyError> {
        let all = load(dir)?;
        let seen = Mutex::new((stamp(dir), Arc::new(make(all))));
        Ok(Self { dir: dir.to_path_buf(), make, seen })
    }

    /// How to serve the next caller: with the keys that are there now, or, where they cannot be read, with those that
    /// were.
    pub(crate) fn config(&self) -> Arc<server::Config> {
        let mut seen = self.seen.lock();
        let now = stamp(&self.dir);
        if now != seen.0 && now[0].is_some() {
            match load(&self.dir) {
                Ok(all) => {
                    let names: Vec<_> = all.iter().map(|k| k.fingerprint(HashAlg::Sha256).to_string()).collect();
                    tracing::info!(keys = names.join(", "), "the host keys have changed");
                    *seen = (now, Arc::new((self.make)(all)));
                }
                Err(e) => tracing::error!("the host keys have changed and cannot be used: {e}"),
            }
        }
        Arc::clone(&seen.1)
    }
}

fn in_known_hosts(key: &PrivateKey) -> Result<String, HostKeyError> {
    let malformed = |source| HostKeyError::Malformed { what: "the host key".into(), source };
    let mut key: PublicKey = key.public_key().clone();
    key.set_comment("");
    Ok(key.to_openssh().map_err(malformed)?.trim().to_owned())
}

/// The public halves of the gateway's host keys, as in `known_hosts`, the one that is shown first.
///
/// # Errors
/// Where the keys cannot be read or made.
pub fn public_host_keys(dir: &Path) -> Result<Vec<String>, HostKeyError> {
    load(dir)?.iter().map(in_known_hosts).collect()
}

/// Makes the next host key, if there is none, and says what its public half is. Callers are told of it from then on.
///
/// # Errors
/// Where it cannot be made.
pub fn prepare_host_key(dir: &Path) -> Result<String, HostKeyError> {
    in_known_hosts(&keys::load_or_create(dir, NEXT)?)
}

/// Puts the next host key in the place of the one that is shown, which is kept aside, and says what it is. Whoever
/// logs in from then on sees it.
///
/// # Errors
/// Where none was prepared, or files cannot be moved. Then the old one stays.
pub fn rotate_host_key(dir: &Path) -> Result<String, HostKeyError> {
    let path = |name: &str| dir.join(name);
    let next = keys::load(&path(NEXT))?;
    let failed = |name: &str| {
        let path = path(name);
        move |source| HostKeyError::Io { path, source }
    };
    for suffix in ["", ".pub"] {
        let [current, next, retired] = [CURRENT, NEXT, RETIRED].map(|n| path(&format!("{n}{suffix}")));
        match fs::remove_file(&retired) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(RETIRED)(e)),
            Ok(()) | Err(_) => {}
        }
        // INVARIANT: there is a current key at each moment; a start without one would make another.
        fs::hard_link(&current, &retired).map_err(failed(CURRENT))?;
        fs::rename(&next, &current).map_err(failed(NEXT))?;
    }
    in_known_hosts(&next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(identity: &HostIdentity) -> Vec<String> {
        identity.config().keys.iter().map(|k| in_known_hosts(k).unwrap()).collect()
    }

    fn make(keys: Vec<PrivateKey>) -> server::Config {
        server::Config { keys, ..server::Config::default() }
    }

    #[test]
    fn the_next_key_is_announced_and_takes_the_place_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let identity = HostIdentity::open(dir.path(), make).unwrap();
        let first = shown(&identity);
        assert_eq!(first.len(), 1);
        assert!(rotate_host_key(dir.path()).is_err(), "nobody has heard of another key");
        assert_eq!(shown(&identity), first);
        let next = prepare_host_key(dir.path()).unwrap();
        assert_eq!(prepare_host_key(dir.path()).unwrap(), next, "made once");
        assert_eq!(public_host_keys(dir.path()).unwrap(), [first[0].clone(), next.clone()]);
        assert_eq!(shown(&identity), [first[0].clone(), next.clone()]);
        assert_eq!(rotate_host_key(dir.path()).unwrap(), next);
        assert_eq!(shown(&identity), std::slice::from_ref(&next));
        let retired = keys::load(&dir.path().join(RETIRED)).unwrap();
        assert_eq!(in_known_hosts(&retired).unwrap(), first[0]);
        // And again.
        let third = prepare_host_key(dir.path()).unwrap();
        assert_eq!(rotate_host_key(dir.path()).unwrap(), third);
        let public = fs::read_to_string(dir.path().join(format!("{CURRENT}.pub"))).unwrap();
        assert!(public.starts_with(&third), "{public}");
    }

    #[test]
    fn keys_that_cannot_be_read_leave_those_that_were() {
        let dir = tempfile::tempdir().unwrap();
        let identity = HostIdentity::open(dir.path(), make).unwrap();
        let first = shown(&identity);
        fs::write(dir.path().join(NEXT), "no key").unwrap();
        assert_eq!(shown(&identity), first);
        fs::remove_file(dir.path().join(CURRENT)).unwrap();
        assert_eq!(shown(&identity), first);
    }
}
