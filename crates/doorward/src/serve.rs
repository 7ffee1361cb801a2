//! `doorward serve`: the parts, wired together.
use crate::{
    BadConfiguration,
    config::Config,
    connections::{self, Connections},
    credentials::Lending,
    directory::Directory,
    doors::{Doors, Maker},
    exports,
    listeners::Listeners,
    notify, policy,
    retention::Keeper,
    secrets::Secrets,
    ssh_access::Issuing,
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_control::{
    ApiState, Desk, Evidence, Failures, Index, IssuerEntry, IssuerView, LiveSession, LiveSessions, Metrics, PolicyBook,
    PolicyError, Records, Rights, SetUp, TokenAnswer, TokenCheck, Vitals, WebParts,
};
use doorward_detect::{Detector, Masker};
use doorward_enforce::{ApprovalRequest, Attributed, AuditSink, DecisionPoint as _, TraceSink};
use doorward_gateway::{AnalysisPool, Authenticate, Known, Registry, RejectedToken, Services, tls};
use doorward_identity::{CallerKey, IdentityError, SessionRevoked, Verifier, oauthbearer};
use doorward_model::{AuditEvent, AuditKind, Principal, SessionId, Timestamp};
use doorward_policy::Engine;
use doorward_record::{AuditLog, AuditOptions, RecordOptions, RecordStore, keys};
use doorward_store::{ProviderRevocation, Store};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{net::TcpListener, sync::watch};

/// How often policy files are looked at.
const LOOK_AT_POLICIES: Duration = Duration::from_millis(400);

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

pub(crate) fn run(config: Config) -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("DOORWARD_LOG").unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let listeners = Listeners::inherit();
    raise_file_limit();
    let loaded = policy::load(&config).context(BadConfiguration)?;
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
    crate::runtime()?.block_on(serve(config, Engine::new(loaded), Arc::new(listeners)))
}

/// Each session takes three files; the soft limit of many systems is 1,024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!("the limit of open files stays at {:?}: {e}", limit.current);
    }
}

struct Running {
    config: Arc<Config>,
    book: PolicyBook,
    engine: Arc<Engine>,
    audit: Arc<AuditLog>,
    registry: Arc<Registry>,
}

async fn serve(config: Config, engine: Engine, listeners: Arc<Listeners>) -> Result<()> {
    let state = config.state_dir();
    private_dir(&state)?;
    let key = keys::load_or_create(&private_dir(&state.join("keys"))?)?;
    let audit = AuditLog::open(&private_dir(&state.join("audit"))?, key.clone(), AuditOptions::default())?;
    let recordings =
        Arc::new(RecordStore::open(&private_dir(&state.join("recordings"))?, key.clone(), RecordOptions::default())?);
    let store = Store::open(&state, now()).await?;
    let metrics = Arc::new(Metrics::new(Arc::clone(&audit) as _, env!("CARGO_PKG_VERSION")));
    let tracer = crate::telemetry::start(&config).context(BadConfiguration)?;
    let kept = match &tracer {
        Some(tracer) => tracer.over(Arc::clone(&metrics) as _),
        None => Arc::clone(&metrics) as _,
    };
    let sink: Arc<dyn AuditSink> = Arc::new(Attributed::new(kept));
    let traces = tracer.clone().map(|t| t as Arc<dyn TraceSink>);
    let sign_in = Arc::new(config.sign_in(store.clone()).context(BadConfiguration)?);
    let desk = Desk::new(store.clone(), Arc::clone(&sink), &config.public_url(), tokio::runtime::Handle::current());
    let verifier =
        Arc::new(Identity { verifier: Verifier::new(config.identity.issuers.clone()).context(BadConfiguration)? });
    for ProviderRevocation { issuer, subject, until, heard } in store.provider_revocations().await? {
        verifier.verifier.revocations().note(&SessionRevoked { issuer, subject, until, id: String::new() }, heard);
    }
    let (engine, registry, config) = (Arc::new(engine), Arc::new(Registry::new()), Arc::new(config));
    let book = book(&config, &engine, &registry, &store, &sink);
    // What people wrote here is in force with the files from the start, or nothing is.
    book.reload()
        .await
        .map_err(|e| anyhow!("{e}"))
        .context("the version of the policies that is in force")
        .context(BadConfiguration)?;
    let running = Running { engine, registry, audit, config, book };
    let services = Services {
        identity: Arc::clone(&verifier) as _,
        credentials: Arc::default(),
        pdp: Arc::clone(&running.engine) as _,
        audit: Arc::clone(&sink),
        recordings: Arc::clone(&recordings),
        approvals: Arc::new(desk.clone()),
        parked: Arc::default(),
        registry: Arc::clone(&running.registry),
        arrivals: Arc::default(),
        analysis: Arc::new(AnalysisPool::start(2)?),
        detector: Arc::new(Detector::new()),
        masker: Arc::new(Masker::new(masking_key(&state.join("keys"))?)),
        memory: Arc::default(),
        traces: traces.clone(),
    };
    let directory = Directory::of(connections::of_the_file(&running.config).context(BadConfiguration)?);
    let secrets =
        Secrets::start(&running.config, store.clone(), Arc::clone(&running.registry), directory.clone()).await?;
    let keys = state.join("keys");
    let issuing = Arc::new(Issuing::new(&keys, Arc::clone(&running.engine), directory.clone())?);
    let rights = Arc::new(Rights::new(Arc::clone(&running.engine), directory.known()));
    let connections = Arc::new(Connections {
        config: Arc::clone(&running.config),
        store: store.clone(),
        secrets: Arc::clone(&secrets),
        registry: Arc::clone(&running.registry),
        rights: Arc::clone(&rights),
        directory: directory.clone(),
        maker: running.maker(&services, &state, &issuing)?,
        doors: tokio::sync::Mutex::new(Doors::new(Arc::clone(&listeners))),
    });
    let (stop, stopped) = watch::channel(false);
    let (drain, draining) = watch::channel(false);
    let taking_up = desk.clone();
    let exporters = exports::start(&running.config, &running.audit, &store, &directory).await?;
    let api = ApiState {
        tokens: Arc::clone(&verifier) as _,
        signin: Arc::clone(&sign_in),
        desk,
        store: store.clone(),
        audit: Arc::clone(&sink),
        failures: Failures::new(Arc::clone(&sink)),
        sessions: Arc::new(Live(Arc::clone(&running.registry))),
        ssh: Arc::clone(&issuing) as _,
        credentials: Arc::new(Lending {
            credentials: Arc::clone(&services.credentials),
            engine: Arc::clone(&running.engine),
            directory: directory.clone(),
        }),
        rights,
        connections: Arc::clone(&connections) as _,
        book: running.book.clone(),
        audit_dir: state.join("audit"),
        secrets: Arc::clone(&secrets) as _,
        metrics,
        vitals: Arc::new(Alive { audit: Arc::clone(&running.audit), recordings: Arc::clone(&recordings), draining }),
        back_tests: Arc::new(tokio::sync::Semaphore::new(1)),
        records: Arc::new(Records::new(
            Evidence::of(&state),
            running.issuers(),
            Arc::new(exports::Statuses(Arc::clone(&exporters))),
        )),
        slack: Arc::new(notify::buttons(&running.config).context(BadConfiguration)?),
        web: Some(Arc::new(running.pages())),
        traces,
    };
    let issuers = verifier;
    running.note(AuditKind::GatewayStarted {
        version: env!("CARGO_PKG_VERSION").into(),
        policy_version: running.engine.loaded().version.to_string(),
    })?;
    let (stop_index, index_stopped) = watch::channel(false);
    let index = Index::start(state.join("audit"), Arc::clone(&running.audit) as _, store.clone(), index_stopped);
    let notifiers = notify::start(&running.config, &running.audit, &store, &directory)?;
    let keeper = Keeper {
        rules: running.config.retention,
        audit: Arc::clone(&running.audit),
        key: key.clone(),
        recordings: state.join("recordings"),
        store: store.clone(),
        exporters: Arc::clone(&exporters),
        registry: Arc::clone(&running.registry),
    };
    tokio::spawn(keeper.run(stopped.clone()));
    // Before anybody can decide one.
    let left = |approval: &ApprovalRequest| {
        services.parked.take_up(approval, now()).then(|| doorward_gateway::kept_for(&services, approval))
    };
    let taken_up = taking_up.take_up(left).await.context("approvals that were pending")?;
    if taken_up > 0 {
        tracing::info!(taken_up, "approvals of callers who do not wait are asked for as before");
    }
    connections.announce().await?;
    let api_done = running.start_api(api, stopped.clone(), &listeners).await?;
    connections.start().await?;
    crate::sign_in::show_bootstrap(&sign_in, now()).await?;
    // The issuers' keys are fetched before the first caller needs them.
    for status in issuers.verifier.warm_up().await {
        if let Some(failure) = status.failure {
            tracing::warn!("issuer `{}` cannot be reached yet: {failure}", status.name);
        }
    }
    tracing::info!(connections = directory.served().len(), "ready");
    listeners.ready();
    running.until_told_to_stop().await?;
    Listeners::stopping();
    // The API goes on meanwhile: probes hear of it, and people decide what sessions wait for.
    drain.send_replace(true);
    connections.close().await;
    running.drain().await;
    secrets.close().await;
    stop.send_replace(true);
    let _ended = tokio::time::timeout(Duration::from_secs(5), api_done).await;
    running.note(AuditKind::GatewayStopped {})?;
    exports::stop(&exporters, &running.audit).await;
    notifiers.stop().await;
    if let Some(tracer) = tracer {
        tracer.stop(Duration::from_secs(2)).await;
    }
    stop_index.send_replace(true);
    let _ended = tokio::time::timeout(Duration::from_secs(2), index).await;
    store.close().await;
    let audit = Arc::clone(&running.audit);
    tokio::task::spawn_blocking(move || {
        recordings.stop();
        audit.stop();
    })
    .await?;
    Ok(())
}

/// The policies: the files of the configuration, and what is written through the API.
fn book(
    config: &Arc<Config>,
    engine: &Arc<Engine>,
    registry: &Arc<Registry>,
    store: &Store,
    sink: &Arc<dyn AuditSink>,
) -> PolicyBook {
    let (config, registry) = (Arc::clone(config), Arc::clone(registry));
    let files = Box::new(move || policy::sources(&config).map_err(|e| format!("{e:#}")));
    let changed = Box::new(move || registry.check_all());
    PolicyBook::new(Arc::clone(engine), store.clone(), Arc::clone(sink), files, changed)
}

impl Running {
    fn note(&self, kind: AuditKind) -> Result<()> {
        self.audit.append(&AuditEvent { time: now(), session: None, kind, parties: None })?;
        Ok(())
    }

    fn pages(&self) -> WebParts {
        let issuers = self.config.identity.issuers.iter().map(|i| IssuerView {
            name: i.name.clone(),
            url: i.issuer.clone(),
            audience: i.audience.clone(),
            kind: i.principal,
        });
        let retention = self.config.retention;
        let set_up = SetUp {
            issuers: issuers.collect(),
            notifiers: self.config.notify.iter().map(notify::NotifySection::view).collect(),
            audit_days: retention.audit_days,
            recordings_days: retention.recordings_days,
            approvals_days: retention.approvals_days,
        };
        WebParts::new(set_up, &self.config.public_url())
    }

    fn issuers(&self) -> Vec<IssuerEntry> {
        let issuers = self.config.identity.issuers.iter().map(|i| IssuerEntry {
            name: i.name.clone(),
            issuer: i.issuer.clone(),
            audience: i.audience.clone(),
            principal: i.principal,
        });
        issuers.collect()
    }

    async fn start_api(
        &self,
        state: ApiState,
        stopped: watch::Receiver<bool>,
        listeners: &Listeners,
    ) -> Result<tokio::task::JoinHandle<()>> {
        let address = self.config.server.api_listen;
        let listener = listeners.bind(address).await.and_then(TcpListener::from_std);
        let listener = listener.with_context(|| format!("cannot listen on {address} (api_listen)"))?;
        Listeners::keep(address, &listener);
        let acceptor = match &self.config.server.tls {
            Some(files) => {
                let server = tls::server(&self.config.path(&files.cert), &self.config.path(&files.key))?;
                let mut server = (*server).clone();
                server.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(tokio_rustls::TlsAcceptor::from(Arc::new(server)))
            }
            None => None,
        };
        tracing::info!("API on {address}");
        Ok(tokio::spawn(async move {
            if let Err(e) = doorward_control::serve(listener, acceptor, state, stopped).await {
                tracing::error!("the API ended: {e}");
            }
        }))
    }

    fn maker(&self, services: &Services, state: &Path, issuing: &Issuing) -> Result<Maker> {
        let server = match &self.config.server.tls {
            Some(files) => tls::server(&self.config.path(&files.cert), &self.config.path(&files.key)),
            None => tls::self_signed(state),
        }
        .context(BadConfiguration)?;
        Ok(Maker { services: services.clone(), server, keys: state.join("keys"), ca: Arc::clone(&issuing.ca) })
    }

    async fn until_told_to_stop(&self) -> Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut look = tokio::time::interval(LOOK_AT_POLICIES);
        let mut seen = self.policy_files();
        let stop = stop_signal();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                stopped = &mut stop => return stopped,
                _ = hang_up.recv() => {
                    seen = self.policy_files();
                    self.reload().await?;
                }
                _ = look.tick() => {
                    let found = self.policy_files();
                    if found != seen {
                        seen = found;
                        self.reload().await?;
                    }
                }
            }
        }
    }

    /// The policy files with their sizes and times: what changes when one is written.
    fn policy_files(&self) -> Vec<(PathBuf, Option<(u64, SystemTime)>)> {
        let stamp = |path: &PathBuf| fs::metadata(path).ok().and_then(|m| Some((m.len(), m.modified().ok()?)));
        policy::files(&self.config).unwrap_or_default().into_iter().map(|p| (p.clone(), stamp(&p))).collect()
    }

    /// Puts changed policies in force; bad ones leave the old in force.
    async fn reload(&self) -> Result<()> {
        let generation = self.engine.generation();
        match self.book.reload().await {
            Ok(()) if self.engine.generation() == generation => {}
            Ok(()) => {
                let (generation, version) = (self.engine.generation(), &self.engine.loaded().version);
                tracing::info!(generation, "policies reloaded, version {version}");
            }
            Err(PolicyError::Unavailable(why)) => bail!("a change of the policies cannot be recorded: {why}"),
            Err(e) => tracing::error!("policies not reloaded, the old ones stay in force: {e}"),
        }
        Ok(())
    }

    /// Lets live sessions end by themselves for a while, then ends them.
    async fn drain(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(self.config.server.drain_seconds);
        while !self.registry.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.registry.shut_all("terminating connection due to administrator command");
        // Longer than a client that does not read can keep its session.
        for _ in 0..220 {
            if self.registry.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Ends when the process is asked to stop.
pub(crate) async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}

fn private_dir(path: &Path) -> Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path.to_path_buf())
}

/// The key of hashing masks: drawn once, so that the same value has the same hash for good.
fn masking_key(dir: &Path) -> Result<[u8; 32]> {
    use std::io::Write as _;
    let path = dir.join("masking.key");
    match fs::read(&path) {
        Ok(bytes) => return bytes.try_into().map_err(|_| anyhow::anyhow!("{} is not 32 bytes long", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
    let key: [u8; 32] = rand::random();
    // Under its name only when it is whole: a full disk leaves none, not half of one.
    let unfinished = dir.join("masking.key.new");
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().with_context(|| format!("cannot create {}", path.display()))?;
    Ok(key)
}

#[derive(Debug)]
struct Identity {
    verifier: Verifier,
}

#[expect(clippy::needless_pass_by_value, reason = "it is the end of a result")]
fn rejected(error: IdentityError) -> RejectedToken {
    RejectedToken { reason: error.to_string() }
}

impl Authenticate for Identity {
    fn verify<'a>(&'a self, token: &'a str, now: Timestamp) -> Known<'a> {
        Box::pin(async move { self.verifier.verify(token, now).await.map_err(rejected) })
    }

    fn verify_bound<'a>(&'a self, token: &'a str, key: CallerKey<'a>, now: Timestamp) -> Known<'a> {
        Box::pin(async move { self.verifier.verify_bound(token, key, now).await.map_err(rejected) })
    }

    fn is_revoked(&self, who: &Principal, made: Timestamp) -> bool {
        self.verifier.revocations().is_revoked(who, made)
    }

    fn oauth_challenge(&self) -> String {
        let url =
            self.verifier.issuers().find(|i| i.is_discovered()).map(doorward_identity::IssuerConfig::discovery_url);
        oauthbearer::error_challenge(Some("openid"), url.as_deref())
    }
}

impl TokenCheck for Identity {
    fn check<'a>(&'a self, token: &'a str) -> TokenAnswer<'a> {
        Box::pin(async move { self.verifier.verify(token, now()).await.map_err(|e| e.to_string()) })
    }

    fn revoke(&self, revoked: &SessionRevoked, heard: Timestamp) -> bool {
        self.verifier.revocations().note(revoked, heard)
    }

    fn is_revoked(&self, who: &Principal, since: Timestamp) -> bool {
        self.verifier.revocations().is_revoked(who, since)
    }
}

/// What the gateway cannot serve without.
struct Alive {
    audit: Arc<AuditLog>,
    recordings: Arc<RecordStore>,
    draining: watch::Receiver<bool>,
}

impl Vitals for Alive {
    fn failing(&self) -> Vec<&'static str> {
        let parts = [
            ("audit", self.audit.health().is_err()),
            ("recording", self.recordings.health().is_err()),
            ("draining", *self.draining.borrow()),
        ];
        parts.into_iter().filter_map(|(name, fails)| fails.then_some(name)).collect()
    }
}

struct Live(Arc<Registry>);

impl LiveSessions for Live {
    fn list(&self) -> Vec<LiveSession> {
        let summary = |s: doorward_gateway::SessionSummary| LiveSession {
            id: s.id,
            connection: s.connection,
            principal: s.principal,
            parties: s.parties,
            client: s.client,
            started: s.started,
            // Known to the desk.
            waits_for: Vec::new(),
        };
        self.0.list().into_iter().map(summary).collect()
    }

    fn kill(&self, id: SessionId, message: &str) -> bool {
        self.0.kill(id, message)
    }
}
