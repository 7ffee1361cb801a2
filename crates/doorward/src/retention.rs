//! `[retention]`: how long the audit log, recordings and the texts of approvals are kept.
use crate::exports;
use anyhow::{Context as _, Result, bail};
use doorward_enforce::AuditSink as _;
use doorward_export::Exporters;
use doorward_gateway::Registry;
use doorward_model::{AuditEvent, AuditKind, SessionId, Timestamp};
use doorward_record::{AuditLog, PruneError, SigningKey, finish_pruning, prunable, prune, prune_recordings};
use doorward_store::{HoldsAsOfNow, Store};
use serde::Deserialize;
use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::watch};

const EVERY: Duration = Duration::from_secs(3600);
const DAY: u64 = 86_400;
/// What people were shown of an approval goes so long after its end, where nothing else is said.
const APPROVALS_DAYS: u32 = 90;

/// Without a number, all of the audit log and of recordings is kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionSection {
    pub(crate) audit_days: Option<u32>,
    pub(crate) recordings_days: Option<u32>,
    pub(crate) approvals_days: u32,
}

impl Default for RetentionSection {
    fn default() -> Self {
        Self { audit_days: None, recordings_days: None, approvals_days: APPROVALS_DAYS }
    }
}

impl RetentionSection {
    pub(crate) fn check(self) -> Result<()> {
        if self.audit_days == Some(0) || self.recordings_days == Some(0) {
            bail!("[retention]: 0 days would keep nothing: take the line out to keep everything");
        }
        if self.approvals_days == 0 {
            bail!(
                "[retention]: approvals_days = 0 would leave nothing to look up: take the line out for {APPROVALS_DAYS} days"
            );
        }
        Ok(())
    }
}

/// What is pruned, and what says that something is still needed.
pub(crate) struct Keeper {
    pub(crate) rules: RetentionSection,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) key: SigningKey,
    pub(crate) recordings: PathBuf,
    pub(crate) store: Store,
    pub(crate) exporters: Arc<Exporters>,
    pub(crate) registry: Arc<Registry>,
}

impl Keeper {
    /// Looks every hour until told to stop.
    pub(crate) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let keeper = Arc::new(self);
        loop {
            if let Err(e) = keeper.look(exports::now()).await {
                tracing::error!("retention: {e:#}");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stopped.changed() => return,
            }
        }
    }

    async fn look(self: &Arc<Self>, now: Timestamp) -> Result<()> {
        let held: BTreeSet<SessionId> = self.store.holds().await?.into_iter().map(|h| h.session).collect();
        let keeper = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            keeper.audit_log(&held, now).context("the audit log")?;
            keeper.recordings(&held, now).context("recordings")?;
            keeper.approvals(now).context("approvals")
        })
        .await?
    }

    /// The texts of approvals that ended long ago: what people were shown, not that they were, nor what came of it.
    fn approvals(&self, now: Timestamp) -> Result<()> {
        let days = self.rules.approvals_days;
        loop {
            // INVARIANT: nobody holds a session between this and the removal.
            let mut holds = self.holds()?;
            let old = Handle::current().block_on(holds.approvals_to_forget(days_before(now, days)))?;
            if old.is_empty() {
                drop(holds);
                return self.checkpoint();
            }
            let count = old.len();
            self.note(
                None,
                format!("what was shown of {count} approvals removed: they ended more than {days} days ago"),
            )?;
            let gone = Handle::current().block_on(holds.forget(&old, now))?;
            tracing::info!("retention: what was shown of {gone} approvals removed");
            if gone == 0 {
                bail!("none of {count} approvals that ended more than {days} days ago could be changed");
            }
        }
    }

    /// What was removed, here or to make room, is to be in no write-ahead log either.
    fn checkpoint(&self) -> Result<()> {
        if !Handle::current().block_on(self.store.checkpoint())? {
            tracing::info!("retention: the database's write-ahead log is read by somebody: emptied at the next look");
        }
        Ok(())
    }

    /// A file goes when all in it is old, was exported, and no held session had begun.
    fn audit_log(&self, held: &BTreeSet<SessionId>, now: Timestamp) -> Result<()> {
        let Some(days) = self.rules.audit_days else { return Ok(()) };
        finish_pruning(self.audit.dir(), &self.key.verifying_key())?;
        let before = held.iter().map(|s| began(*s)).fold(days_before(now, days), Timestamp::min);
        let needed = self.exporters.needed_from().unwrap_or(u64::MAX);
        let Some(begin) = prunable(self.audit.dir(), &self.key.verifying_key(), before, needed)? else { return Ok(()) };
        // INVARIANT: nobody holds a session between this and the removal.
        let holds = self.holds()?;
        if holds.sessions().iter().any(|s| began(*s) < before) {
            // It was held meanwhile: the next look spares what it needs.
            return Ok(());
        }
        let seq = begin.after.seq;
        self.note(None, format!("audit entries up to sequence {seq} removed: older than {days} days"))?;
        let files = prune(self.audit.dir(), &self.key, &begin)?;
        tracing::info!("retention: {files} files of the audit log removed, it begins after sequence {seq}");
        Ok(())
    }

    fn recordings(&self, held: &BTreeSet<SessionId>, now: Timestamp) -> Result<()> {
        let Some(days) = self.rules.recordings_days else { return Ok(()) };
        let live: BTreeSet<SessionId> = self.registry.list().into_iter().map(|s| s.id).collect();
        let keeps = |name: &str| name.parse().is_ok_and(|id| held.contains(&id) || live.contains(&id));
        let remove = |name: &str, remove: &dyn Fn() -> io::Result<()>| {
            let failed = |e: anyhow::Error| PruneError::NotNoted(format!("{e:#}"));
            // INVARIANT: nobody holds the session between this and the removal.
            let holds = self.holds().map_err(failed)?;
            let session: Option<SessionId> = name.parse().ok();
            if session.is_some_and(|s| holds.sessions().contains(&s)) {
                return Ok(false);
            }
            // Written down before it is done.
            let what = format!("recording of session {name} removed: older than {days} days");
            self.note(session, what).map_err(failed)?;
            let gone = remove().map_err(|source| PruneError::Io { dir: self.recordings.clone(), source });
            gone.map(|()| true)
        };
        let removed = prune_recordings(&self.recordings, days_before(now, days), keeps, remove)?;
        if removed > 0 {
            tracing::info!("retention: {removed} recordings removed");
        }
        Ok(())
    }

    /// What is held, while it cannot change. On a thread that may wait.
    fn holds(&self) -> Result<HoldsAsOfNow> {
        Ok(Handle::current().block_on(self.store.holds_as_of_now())?)
    }

    /// Durably, before it is done.
    fn note(&self, session: Option<SessionId>, what: String) -> Result<()> {
        let kind = AuditKind::Administration { by: "retention".to_owned(), what };
        let ticket = self.audit.append(&AuditEvent { time: exports::now(), session, kind, parties: None })?;
        Ok(self.audit.wait(ticket)?)
    }
}

fn days_before(now: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_secs(now.as_secs().saturating_sub(u64::from(days).saturating_mul(DAY)))
}

/// When a session began: its identifier says so (UUID, version 7). One of another kind is as old as can be.
fn began(session: SessionId) -> Timestamp {
    session.uuid().get_timestamp().map_or(Timestamp::default(), |t| Timestamp::from_secs(t.to_unix().0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_enforce::{ApprovalRequest, Shown};
    use doorward_export::{ExportConfig, Format, Pace, Source, Target};
    use doorward_model::{
        Access, Action, ApprovalId, ConnectionName, Facts, Principal, PrincipalKind, RequestId, Resource,
    };
    use doorward_record::{AuditOptions, VerifyOptions, verify_log};
    use doorward_store::{ApprovalState, LegalHold};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    async fn keeper(dir: &std::path::Path, export_to: PathBuf) -> Arc<Keeper> {
        let options = AuditOptions { file_bytes: 4096, checkpoint_lines: 4, ..AuditOptions::default() };
        let audit = AuditLog::open(&dir.join("audit"), key(), options).unwrap();
        let store = Store::open(dir, Timestamp::default()).await.unwrap();
        let source = Source {
            dir: audit.dir().to_owned(),
            audit: Arc::clone(&audit) as _,
            store: store.clone(),
            kinds: doorward_export::Kinds::new(|_| None),
        };
        let target = Target::File { path: export_to };
        let config = ExportConfig { name: "file".into(), target, format: Format::Json, events: Vec::new() };
        let pace = Pace { longest_pause: Duration::from_millis(50), ..Pace::default() };
        let exporters = Arc::new(Exporters::start(&source, vec![config], &pace).await.unwrap());
        std::fs::create_dir(dir.join("recordings")).unwrap();
        Arc::new(Keeper {
            rules: RetentionSection { audit_days: Some(30), recordings_days: Some(30), approvals_days: 60 },
            audit,
            key: key(),
            recordings: dir.join("recordings"),
            store,
            exporters,
            registry: Arc::new(Registry::new()),
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_needed_or_held_stays() {
        let dir = tempfile::tempdir().unwrap();
        let late = dir.path().join("not there yet");
        let k = keeper(dir.path(), late.join("out")).await;
        for n in 0..60 {
            k.note(None, format!("{n} {}", "x".repeat(300))).unwrap();
        }
        // Version 7, of the year 2020.
        let held: SessionId = "01700000-0000-7000-8000-000000000000".parse().unwrap();
        let free = "01700000-0000-7000-8000-000000000001";
        for session in [held.to_string().as_str(), free] {
            std::fs::write(k.recordings.join(format!("{session}.dwr")), "x").unwrap();
        }
        let hold = LegalHold { session: held, by: "corp/ann".into(), reason: "case 7".into(), time: exports::now() };
        assert!(k.store.hold(&hold).await.unwrap() && !k.store.hold(&hold).await.unwrap());
        assert_eq!(k.store.holds().await.unwrap(), [hold]);
        let report = || verify_log(k.audit.dir(), &key().verifying_key(), &VerifyOptions::default()).unwrap();
        let in_two_months = exports::now().after(Duration::from_secs(60 * DAY));

        k.look(exports::now()).await.unwrap();
        assert!(report().begins.is_none() && k.recordings.join(format!("{free}.dwr")).exists(), "nothing is old");
        k.look(in_two_months).await.unwrap();
        assert!(report().begins.is_none(), "a held session had begun, and the exporter has sent nothing");
        assert!(
            k.recordings.join(format!("{held}.dwr")).exists() && !k.recordings.join(format!("{free}.dwr")).exists()
        );
        assert!(k.store.release(held).await.unwrap() && !k.store.release(held).await.unwrap());
        k.look(in_two_months).await.unwrap();
        assert!(report().begins.is_none(), "the exporter has sent nothing");
        std::fs::create_dir(&late).unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while report().begins.is_none() {
            assert!(std::time::Instant::now() < end, "{:?}", k.exporters.statuses());
            tokio::time::sleep(Duration::from_millis(300)).await;
            k.look(in_two_months).await.unwrap();
        }
        let report = report();
        assert!(report.is_intact(), "{:?}", report.problems);
        let first = std::fs::read_to_string(late.join("out")).unwrap();
        assert!(first.contains(r#""what":"0 xxx"#), "what is gone here has arrived there");
        assert!(first.contains(&format!("recording of session {free} removed")));
    }

    /// What was held at the beginning of a look is not all that is held at its end.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_hold_that_comes_while_one_looks_counts() {
        let dir = tempfile::tempdir().unwrap();
        let k = keeper(dir.path(), dir.path().join("out")).await;
        for n in 0..60 {
            k.note(None, format!("{n} {}", "x".repeat(300))).unwrap();
        }
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while k.exporters.needed_from().is_none_or(|n| n < 60) {
            assert!(std::time::Instant::now() < end, "{:?}", k.exporters.statuses());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let session: SessionId = "01700000-0000-7000-8000-000000000000".parse().unwrap();
        let recording = k.recordings.join(format!("{session}.dwr"));
        std::fs::write(&recording, "x").unwrap();
        let hold = LegalHold { session, by: "corp/ann".into(), reason: "case 7".into(), time: exports::now() };
        k.store.hold(&hold).await.unwrap();
        let look = async || {
            let keeper = Arc::clone(&k);
            let in_two_months = exports::now().after(Duration::from_secs(60 * DAY));
            // As it was seen before the hold.
            let none = BTreeSet::new();
            tokio::task::spawn_blocking(move || {
                keeper.audit_log(&none, in_two_months).unwrap();
                keeper.recordings(&none, in_two_months).unwrap();
            })
            .await
            .unwrap();
            let report = verify_log(k.audit.dir(), &key().verifying_key(), &VerifyOptions::default()).unwrap();
            (report.begins.is_none(), recording.exists())
        };
        assert_eq!(look().await, (true, true), "all is there");
        k.store.release(session).await.unwrap();
        assert_eq!(look().await, (false, false), "nothing else kept it");
    }

    /// One that ended at a time of which `now` is two months ahead.
    async fn ended_approval(k: &Keeper, n: u8, session: SessionId) -> ApprovalId {
        let now = exports::now();
        let asked = ApprovalRequest {
            id: format!("00000000-0000-7000-8000-{n:012x}").parse().unwrap(),
            session,
            request: RequestId(1),
            principal: Principal {
                kind: PrincipalKind::Agent,
                issuer: "corp".into(),
                subject: "bot".into(),
                groups: [].into(),
                tags: [].into(),
                token_id: None,
                expires_at: now,
                on_behalf_of: None,
            },
            connection: ConnectionName::new("orders"),
            statement: "SELECT 'of a customer'".into(),
            shown: Arc::new(Shown::of_parameters(vec!["4711".into()])),
            facts: Arc::new(Facts::new("SELECT", 1, vec![Access::new(Action::Connect, Resource::Connection)])),
            digest: "ab".into(),
            requirements: vec![],
            asked: now,
            expires: now,
            waits: true,
        };
        k.store.approval_asked(&asked).await.unwrap();
        assert!(k.store.approval_ended(asked.id, ApprovalState::Denied, "denied", now).await.unwrap());
        asked.id
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn texts_of_approvals_go_after_their_time_and_stay_under_a_hold() {
        let dir = tempfile::tempdir().unwrap();
        let k = keeper(dir.path(), dir.path().join("out")).await;
        let session = |n: u8| format!("00000000-0000-7000-8000-{n:012x}").parse::<SessionId>().unwrap();
        let (free, held) = (ended_approval(&k, 1, session(1)).await, ended_approval(&k, 2, session(2)).await);
        let hold =
            LegalHold { session: session(2), by: "corp/ann".into(), reason: "case 7".into(), time: exports::now() };
        k.store.hold(&hold).await.unwrap();
        let statement = async |id| {
            let a = k.store.approval(id).await.unwrap().unwrap();
            (a.request.statement.to_string(), a.request.shown.is_empty(), a.state, a.request.digest)
        };
        let whole = ("SELECT 'of a customer'".to_owned(), false, ApprovalState::Denied, "ab".to_owned());
        let gone = (String::new(), true, ApprovalState::Denied, "ab".to_owned());
        let in_days = |days| exports::now().after(Duration::from_secs(days * DAY));
        k.look(in_days(59)).await.unwrap();
        assert_eq!(statement(free).await, whole, "it has a day left");
        k.look(in_days(61)).await.unwrap();
        assert_eq!((statement(free).await, statement(held).await), (gone.clone(), whole));
        k.store.release(session(2)).await.unwrap();
        k.look(in_days(61)).await.unwrap();
        assert_eq!(statement(held).await, gone);
        let log = std::fs::read_dir(k.audit.dir()).unwrap().flatten();
        let log: String = log.filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
        assert_eq!(
            log.matches("what was shown of 1 approvals removed: they ended more than 60 days ago").count(),
            2,
            "{log}"
        );
    }

    #[test]
    fn sessions_say_when_they_began() {
        let session = "01700000-0000-7000-8000-000000000000".parse().unwrap();
        assert_eq!(began(session), Timestamp::from_secs(1_580_547_964));
        let other = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        assert_eq!(began(other), Timestamp::default());
        let kept = RetentionSection::default();
        assert!(kept.check().is_ok() && kept.approvals_days == 90);
        assert!(RetentionSection { audit_days: Some(0), ..kept }.check().is_err());
        assert!(RetentionSection { approvals_days: 0, ..kept }.check().is_err());
    }
}
