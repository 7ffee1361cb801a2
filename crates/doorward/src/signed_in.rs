//! What `doorward login` keeps: a short-lived credential for each gateway, in a file for its owner alone.
use crate::ssh_cert::put;
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_control::CliCredential;
use doorward_model::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    gateways: BTreeMap<String, CliCredential>,
}

/// `$DOORWARD_CREDENTIALS`, or a file in the user's folder for configurations.
pub(crate) fn file() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = set("DOORWARD_CREDENTIALS") {
        return Ok(path);
    }
    let home = || std::env::home_dir().map(|h| h.join(".config"));
    let folder = set("XDG_CONFIG_HOME").filter(|p| p.is_absolute()).or_else(home);
    let folder = folder.ok_or_else(|| anyhow!("there is no home directory: set DOORWARD_CREDENTIALS"))?;
    Ok(folder.join("doorward").join("credentials.json"))
}

fn read(path: &Path) -> Result<Kept> {
    let at = || path.display().to_string();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(e) => return Err(e).with_context(at),
    };
    if fs::metadata(path).with_context(at)?.permissions().mode() & 0o077 != 0 {
        bail!("{}: others may read it: `chmod 600` it, and run `doorward logout`", at());
    }
    serde_json::from_slice(&text).map_err(|_| anyhow!("{} is not what `doorward login` writes", at()))
}

fn write(path: &Path, kept: &Kept) -> Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("cannot create {}", folder.display()))?;
    }
    put(path, &serde_json::to_string_pretty(kept)?, 0o600)
}

fn key(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// The credential for a gateway, unless it is over.
pub(crate) fn find(path: &Path, url: &str) -> Result<Option<CliCredential>> {
    let found = read(path)?.gateways.remove(key(url));
    Ok(found.filter(|c| c.expires > Timestamp::from(SystemTime::now())))
}

/// The gateway where one is signed in, if it is one.
pub(crate) fn only(path: &Path) -> Result<Option<String>> {
    let now = Timestamp::from(SystemTime::now());
    let mut good = read(path)?.gateways.into_iter().filter(|(_, c)| c.expires > now).map(|(url, _)| url);
    Ok(good.next().filter(|_| good.next().is_none()))
}

pub(crate) fn keep(path: &Path, url: &str, credential: CliCredential) -> Result<()> {
    let mut kept = read(path)?;
    let now = Timestamp::from(SystemTime::now());
    kept.gateways.retain(|_, c| c.expires > now);
    kept.gateways.insert(key(url).to_owned(), credential);
    write(path, &kept)
}

/// Takes it out. None where there was none.
pub(crate) fn forget(path: &Path, url: &str) -> Result<Option<CliCredential>> {
    let mut kept = read(path)?;
    let found = kept.gateways.remove(key(url));
    if found.is_some() {
        write(path, &kept)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn credential(token: &str, secs: u64) -> CliCredential {
        let expires = Timestamp::from(SystemTime::now()).after(Duration::from_secs(secs));
        CliCredential { token: token.into(), principal: "corp/a".into(), expires }
    }

    #[test]
    fn it_is_for_its_owner_and_its_gateway_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/credentials.json");
        assert!(find(&path, "https://a").unwrap().is_none());
        keep(&path, "https://a/", credential("one", 60)).unwrap();
        keep(&path, "https://b", credential("two", 0)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(find(&path, "https://a").unwrap().unwrap().token, "one");
        assert!(find(&path, "https://b").unwrap().is_none() && find(&path, "https://c").unwrap().is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(find(&path, "https://a").unwrap_err().to_string().contains("others may read it"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(forget(&path, "https://a").unwrap().unwrap().token, "one");
        assert!(forget(&path, "https://a").unwrap().is_none());
    }
}
