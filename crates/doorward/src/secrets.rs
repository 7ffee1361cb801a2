//! Credentials that change while the gateway runs: files, and secrets in the store; and `doorward secrets`.
use crate::{
    BadConfiguration,
    cli::{Output, SecretsCommand},
    config::{Config, Credential, Given},
    directory::{Directory, Served},
    sources::Outside,
    state,
};
use anyhow::{Context as _, Result, bail};
use doorward_control::{RewrapView, SecretAccess, SecretFailure, SecretView};
use doorward_gateway::{Registry, Rotating};
use doorward_model::{Secret, Timestamp};
use doorward_secrets::{Keeper, Keyring, Known, MasterKey, Rewrapped, SecretError};
use doorward_store::Store;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// More than this is not read of a secret.
const MOST: u64 = 64 * 1024 + 1;

/// Where a credential comes from that may change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    File(PathBuf),
    Stored(String),
    /// Its source is asked for it at each log-in.
    Outside(Outside),
}

/// Credentials that may change, by where they come from: one for all connections that share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Arc<Mutex<BTreeMap<Origin, Rotating>>>);

impl Slots {
    pub(crate) fn slot(&self, origin: Origin) -> Rotating {
        let name = match &origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Stored(name) => name.clone(),
            Origin::Outside(outside) => outside.to_string(),
        };
        self.0.lock().entry(origin).or_insert_with(|| Rotating::missing(&name)).clone()
    }

    /// Stored secrets that connections ask for and that are not known.
    fn unknown(&self) -> Vec<String> {
        let of = |(origin, credential): (&Origin, &Rotating)| match origin {
            Origin::Stored(name) if credential.current().is_err() => Some(name.clone()),
            Origin::Stored(_) | Origin::File(_) | Origin::Outside(_) => None,
        };
        self.0.lock().iter().filter_map(of).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let of = |origin: &Origin| match origin {
            Origin::File(path) => Some(path.clone()),
            Origin::Stored(_) | Origin::Outside(_) => None,
        };
        self.0.lock().keys().filter_map(of).collect()
    }

    fn set(&self, origin: &Origin, secret: Option<Secret<String>>) {
        if let Some(credential) = self.0.lock().get(origin) {
            credential.set(secret);
        }
    }

    /// Keeps these alone.
    fn retain(&self, used: &BTreeSet<Origin>) {
        self.0.lock().retain(|origin, _| used.contains(origin));
    }
}

/// A key that wraps the keys.
async fn master_key(config: &Config, source: &Credential) -> Result<MasterKey> {
    match source.given()? {
        Given::File(path) => Ok(MasterKey::from_file(&config.path(&path), false)?),
        Given::Env(name) => {
            let text =
                std::env::var(&name).with_context(|| format!("[secrets] key: the environment variable {name}"))?;
            Ok(MasterKey::parse(&text, &name)?)
        }
        Given::Command(command) => {
            let (program, arguments) = command.split_first().context("[secrets] key: the command is empty")?;
            let (program, arguments) = (program.clone(), arguments.to_vec());
            Ok(tokio::task::spawn_blocking(move || MasterKey::from_program(&program, &arguments)).await??)
        }
        Given::Outside(outside) => {
            let text = config.sources.once(&outside).await.context("[secrets] key")?;
            Ok(MasterKey::parse(text.expose(), &outside.to_string())?)
        }
        Given::Stored(_) | Given::Value(_) | Given::Authority => {
            bail!("[secrets] key takes exactly one of file, env, command, vault, aws, kubernetes")
        }
    }
}

/// `key`, and `old_keys`.
async fn keyring(config: &Config) -> Result<Keyring> {
    let current = match &config.secrets.key {
        Some(source) => master_key(config, source).await?,
        None => MasterKey::from_file(&config.state_dir().join("keys/secrets.key"), true)?,
    };
    let mut old = Vec::new();
    for source in &config.secrets.old_keys {
        old.push(master_key(config, source).await.context("[secrets] old_keys")?);
    }
    Ok(Keyring::new(current, old))
}

/// The secrets of a running gateway.
pub(crate) struct Secrets {
    keeper: Keeper,
    slots: Slots,
    config: Arc<Config>,
    started: Timestamp,
    registry: Arc<Registry>,
    /// Who uses them.
    directory: Directory,
    /// INVARIANT: held from the store to the slot, so that what was written last is what is used.
    turn: tokio::sync::Mutex<()>,
    /// INVARIANT: whoever is about to name a secret in a connection reads, whoever forgets one writes: none goes that is about to be used.
    naming: tokio::sync::RwLock<()>,
}

impl Secrets {
    /// Fills what connections use, and follows files that change.
    pub(crate) async fn start(
        config: &Arc<Config>,
        store: Store,
        registry: Arc<Registry>,
        directory: Directory,
    ) -> Result<Arc<Self>> {
        let keeper = Keeper::new(store, keyring(config).await.context(BadConfiguration)?);
        let new = Arc::new(Self {
            keeper,
            slots: config.slots.clone(),
            config: Arc::clone(config),
            started: now(),
            registry,
            directory,
            turn: Default::default(),
            naming: Default::default(),
        });
        new.fill().await;
        tokio::spawn(Arc::clone(&new).follow_sources());
        tokio::spawn(Arc::clone(&new).follow_files());
        Ok(new)
    }

    /// Fetches what connections ask for and is not known yet.
    pub(crate) async fn fill(&self) {
        let _turn = self.turn.lock().await;
        for name in self.slots.unknown() {
            match self.keeper.open(&name).await {
                Ok(Some(secret)) => self.slots.set(&Origin::Stored(name), Some(secret)),
                Ok(None) => tracing::warn!("secret `{name}` is not in the store yet: `doorward secrets set {name}`"),
                // Its connections refuse until it is there; others are not held up.
                Err(e) => tracing::error!("{e}"),
            }
        }
    }

    /// Forgets what no connection asks for any more.
    pub(crate) fn prune(&self) {
        let used = self.directory.served().into_iter().filter_map(|s| s.origin).collect();
        self.slots.retain(&used);
    }

    /// While this is held, none is forgotten: for whoever finds that there is one and names it then.
    pub(crate) async fn naming(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.naming.read().await
    }

    /// Whether there is a secret of that name.
    pub(crate) async fn has(&self, name: &str) -> Result<bool, String> {
        if self.named(name).is_some() {
            return Ok(true);
        }
        let known = self.keeper.list().await.map_err(|e| e.to_string())?;
        Ok(known.iter().any(|k| k.name == name))
    }

    /// A secret of that name, to log in with once.
    pub(crate) async fn open(&self, name: &str) -> Result<Option<Rotating>, String> {
        if let Some(outside) = self.named(name) {
            return self.config.sources.rotating(&outside).map(Some).map_err(|e| format!("{e:#}"));
        }
        let secret = self.keeper.open(name).await.map_err(|e| e.to_string())?;
        Ok(secret.map(|s| Rotating::new("of the test", s)))
    }

    fn named(&self, name: &str) -> Option<Outside> {
        self.config.secrets.named(name).ok().flatten()
    }

    /// Renews what is lent, and notices what changes elsewhere.
    async fn follow_sources(self: Arc<Self>) {
        let mut seen: BTreeMap<Outside, u64> = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let used = self.directory.served().into_iter().filter_map(|s| match s.origin {
                Some(Origin::Outside(outside)) => Some(outside),
                Some(Origin::File(_) | Origin::Stored(_)) | None => None,
            });
            let now = self.config.sources.tend(&used.collect()).await;
            for (outside, generation) in &now {
                if seen.get(outside).copied().unwrap_or_default() != *generation {
                    tracing::info!("the credential {outside} was replaced");
                    self.replaced(&Origin::Outside(outside.clone()), None);
                }
            }
            seen = now;
        }
    }

    /// Gives back what is lent.
    pub(crate) async fn close(&self) {
        self.config.sources.close().await;
    }

    /// The connections whose credential it is.
    fn users(&self, origin: &Origin) -> impl Iterator<Item = Served> {
        let origin = origin.clone();
        self.directory.served().into_iter().filter(move |s| s.origin.as_ref() == Some(&origin))
    }

    async fn follow_files(self: Arc<Self>) {
        let stamp = |path: &Path| std::fs::metadata(path).ok().and_then(|m| Some((m.len(), m.modified().ok()?)));
        let files = self.slots.files();
        let mut seen: Vec<_> = files.iter().map(|p| stamp(p)).collect();
        loop {
            tokio::time::sleep(LOOK).await;
            for (path, seen) in files.iter().zip(&mut seen) {
                let now = stamp(path);
                if now == *seen {
                    continue;
                }
                *seen = now;
                match read_bounded(path) {
                    Ok(text) => {
                        tracing::info!("the credential {} was replaced", path.display());
                        self.replaced(&Origin::File(path.clone()), Some(text));
                    }
                    // Written this very moment, or gone: what is known goes on.
                    Err(e) => tracing::error!("the credential {} cannot be read: {e}", path.display()),
                }
            }
        }
    }

    /// New log-ins take it from now on.
    fn replaced(&self, origin: &Origin, secret: Option<Secret<String>>) {
        self.slots.set(origin, secret);
        let ends: BTreeSet<String> =
            self.users(origin).filter(|s| s.ends_on_rotation).map(|s| s.name().to_owned()).collect();
        for session in self.registry.list().iter().filter(|s| ends.contains(&s.connection)) {
            self.registry.kill(session.id, "the session was ended: the credential of its connection was replaced");
        }
    }

    fn view(&self, known: Known) -> SecretView {
        let used_by = self.used_by(&Origin::Stored(known.name.clone()));
        let Known { name, version, updated, updated_by } = known;
        SecretView { name, version, updated, updated_by, used_by, source: None }
    }

    fn used_by(&self, origin: &Origin) -> Vec<String> {
        let mut names: Vec<_> = self.users(origin).map(|s| s.name().to_owned()).collect();
        names.sort();
        names
    }

    /// One that is kept elsewhere, as the configuration names it.
    fn view_outside(&self, name: &str, outside: Outside) -> SecretView {
        SecretView {
            name: name.to_owned(),
            version: 0,
            updated: self.started,
            updated_by: "the configuration".to_owned(),
            source: Some(outside.to_string()),
            used_by: self.used_by(&Origin::Outside(outside)),
        }
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Secret<String>> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MOST).read_to_string(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']);
    // As it is between being cut and being written: without a credential some servers take a caller for anybody.
    if text.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is empty"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn failure(e: SecretError) -> SecretFailure {
    match e {
        SecretError::Name | SecretError::Size => SecretFailure::Wrong(e.to_string()),
        SecretError::OtherKey { .. } | SecretError::Changed(_) | SecretError::Cipher | SecretError::Store(_) => {
            SecretFailure::Unavailable(e.to_string())
        }
    }
}

#[async_trait::async_trait]
impl SecretAccess for Secrets {
    async fn list(&self) -> Result<Vec<SecretView>, SecretFailure> {
        let known = self.keeper.list().await.map_err(failure)?;
        let names: Vec<_> = self.config.secrets.names().collect();
        // The configuration is in force where the store has the same name.
        let stored = known.into_iter().filter(|k| names.iter().all(|(name, _)| *name != k.name));
        let mut all: Vec<_> = stored.map(|k| self.view(k)).collect();
        all.extend(names.into_iter().map(|(name, outside)| self.view_outside(name, outside)));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    async fn put(&self, name: &str, value: Secret<String>, by: &str) -> Result<SecretView, SecretFailure> {
        if let Some(outside) = self.named(name) {
            return Err(SecretFailure::Wrong(format!("`{name}` is kept elsewhere ({outside}): change it there")));
        }
        let _turn = self.turn.lock().await;
        let known = self.keeper.put(name, &value, by, now()).await.map_err(failure)?;
        self.replaced(&Origin::Stored(name.to_owned()), Some(value));
        Ok(self.view(known))
    }

    async fn forget(&self, name: &str) -> Result<bool, SecretFailure> {
        let _naming = self.naming.write().await;
        let _turn = self.turn.lock().await;
        let origin = Origin::Stored(name.to_owned());
        if let Some(connection) = self.users(&origin).next() {
            return Err(SecretFailure::InUse(connection.name().to_owned()));
        }
        self.keeper.forget(name).await.map_err(failure)
    }

    async fn rewrap(&self) -> Result<RewrapView, SecretFailure> {
        let wrong = |e: anyhow::Error| SecretFailure::Wrong(format!("{e:#}"));
        // As the file is now: the key of a running gateway is replaced by editing it.
        let config = Config::load(&self.config.file).map_err(wrong)?;
        let keys = keyring(&config).await.map_err(wrong)?;
        let _turn = self.turn.lock().await;
        let done = self.keeper.rewrap(keys).await.map_err(|e| match e {
            SecretError::OtherKey { .. } => SecretFailure::Wrong(e.to_string()),
            other => failure(other),
        })?;
        let Rewrapped { key, rewrapped, secrets } = done;
        tracing::info!(rewrapped, secrets, "secrets are wrapped by key {key}");
        Ok(RewrapView { key, rewrapped, secrets })
    }
}

/// `doorward secrets`, through the API.
pub(crate) fn run(command: SecretsCommand) -> Result<ExitCode> {
    crate::runtime()?.block_on(async {
        match command {
            SecretsCommand::List { api } => {
                for s in crate::approvals::client(&api)?.secrets().await? {
                    match api.output {
                        Output::Json => println!("{}", serde_json::json!(s)),
                        Output::Text => {
                            let used = if s.used_by.is_empty() { "nothing".into() } else { s.used_by.join(", ") };
                            let (when, by) = (state::time(s.updated), crate::approvals::one_line(&s.updated_by));
                            match s.source {
                                Some(source) => println!("{:<24} in {source}, used by {used}", s.name),
                                None => {
                                    println!("{:<24} version {:<4} {when} by {by}, used by {used}", s.name, s.version);
                                }
                            }
                        }
                    }
                }
            }
            SecretsCommand::Set { name, file, api } => {
                let secret = match file {
                    Some(path) => read_bounded(&path).with_context(|| format!("cannot read {}", path.display()))?,
                    None => {
                        let mut text = String::new();
                        std::io::stdin().take(MOST).read_to_string(&mut text).context("cannot read standard input")?;
                        Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())
                    }
                };
                let kept = crate::approvals::client(&api)?.put_secret(&name, secret.expose()).await?;
                match api.output {
                    Output::Json => println!("{}", serde_json::json!(kept)),
                    Output::Text => println!("secret {} is kept: version {}", kept.name, kept.version),
                }
            }
            SecretsCommand::Rewrap { api } => {
                let done = crate::approvals::client(&api)?.rewrap_secrets().await?;
                match api.output {
                    Output::Json => println!("{}", serde_json::json!(done)),
                    Output::Text => println!(
                        "{} of {} secrets were wrapped anew: all are under key {}",
                        done.rewrapped, done.secrets, done.key
                    ),
                }
            }
            SecretsCommand::Delete { name, api } => {
                crate::approvals::client(&api)?.delete_secret(&name).await?;
                println!("secret {name} is deleted");
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn secrets(dir: &Path) -> Arc<Secrets> {
        let store = Store::open(dir, now()).await.unwrap();
        let keeper = Keeper::new(store, MasterKey::from_file(&dir.join("secrets.key"), true).unwrap());
        let (slots, registry, directory) = (Slots::default(), Arc::new(Registry::new()), Directory::default());
        let config = dir.join("doorward.toml");
        let text = "[server]\nstate_dir = \"state\"\n[policy]\nfiles = [\"a.cedar\"]\n";
        std::fs::write(&config, text).unwrap();
        let config = Arc::new(Config::load(&config).unwrap());
        let (turn, naming) = Default::default();
        Arc::new(Secrets { keeper, slots, config, started: now(), registry, directory, turn, naming })
    }

    /// Whether it waits: long enough that it would have been done else.
    async fn waits(task: &mut tokio::task::JoinHandle<bool>) -> bool {
        tokio::time::timeout(Duration::from_millis(300), task).await.is_err()
    }

    #[tokio::test]
    async fn a_secret_is_not_forgotten_while_it_is_written_or_about_to_be_named() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = secrets(dir.path()).await;
        let put = async || secrets.put("db", Secret::new("x".to_owned()), "corp/ada").await.unwrap();
        let forget = || {
            let secrets = Arc::clone(&secrets);
            tokio::spawn(async move { secrets.forget("db").await.unwrap() })
        };
        put().await;
        let turn = secrets.turn.lock().await;
        let mut writing = forget();
        assert!(waits(&mut writing).await);
        drop(turn);
        assert!(writing.await.unwrap());
        put().await;
        let named = secrets.naming().await;
        let mut naming = forget();
        assert!(secrets.has("db").await.unwrap() && waits(&mut naming).await);
        assert!(secrets.has("db").await.unwrap());
        drop(named);
        assert!(naming.await.unwrap());
    }
}
