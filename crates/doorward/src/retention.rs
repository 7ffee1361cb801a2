//! `[retention]`: how long the audit log and recordings are kept.
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

/// Without a number, everything is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetentionSection {
    pub(crate) audit_days: Option<u32>,
    pub(crate) recordings_days: Option<u32>,
}

impl RetentionSection {
    pub(crate) fn check(self) -> Result<()> {
        if self.audit_days == Some(0) || self.recordings_days == Some(0) {
            bail!("[retention]: 0 days would keep nothing: take the line out to keep everything");
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
        if self.rules.audit_days.is_none() && self.rules.recordings_days.is_none() {
            return;
        }
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
            keeper.recordings(&held, now).context("recordings")
        })
        .await?
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
    use doorward_export::{ExportConfig, Format, Pace, Source, Target};
    use doorward_record::{AuditOptions, VerifyOptions, verify_log};
    use doorward_store::LegalHold;

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
            rules: RetentionSection { audit_days: Some(30), recordings_days: Some(30) },
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

    #[test]
    fn sessions_say_when_they_began() {
        let session = "01700000-0000-7000-8000-000000000000".parse().unwrap();
        assert_eq!(began(session), Timestamp::from_secs(1_580_547_964));
        let other = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        assert_eq!(began(other), Timestamp::default());
        assert!(RetentionSection { audit_days: Some(0), recordings_days: None }.check().is_err());
    }
}
