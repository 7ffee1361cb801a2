//! Numbers for Prometheus: counted as entries go into the audit log, and read where they are. docs/guide/metrics.md has
//! their names, which are part of the interface.
use crate::types::ExportView;
use doorward_enforce::{AuditSink, AuditUnavailable, Ticket};
use doorward_model::{AuditEvent, AuditKind};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

/// One label: its name is that of the field.
macro_rules! label {
    ($name:ident, $field:ident) => {
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name {
            $field: String,
        }
    };
}
label!(ByOutcome, outcome);
label!(ByVerdict, verdict);
label!(ByFault, at_fault);
label!(ByConnection, connection);
label!(ByExport, export);

/// What is read where it is when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Live sessions by connection, with those that have none.
    pub live: BTreeMap<String, u64>,
    /// Approvals that wait.
    pub pending: u64,
    /// Whether recordings reach the disk.
    pub recording_is_healthy: bool,
    /// How often the policies in force were replaced.
    pub policy_generation: u64,
    /// How each exporter stands.
    pub exports: Vec<ExportView>,
    /// Spans that were sent, and spans that were dropped.
    pub spans: (u64, u64),
}

/// An audit log that counts what goes into it.
pub struct Metrics {
    log: Arc<dyn AuditSink>,
    registry: Registry,
    requests: Family<ByOutcome, Counter>,
    verdicts: Family<ByVerdict, Counter>,
    faults: Family<ByFault, Counter>,
    sessions: Counter,
    rejected: Counter,
    rows: Counter,
    masked: Counter,
    entries: Counter,
    refused: Counter,
    live: Family<ByConnection, Gauge>,
    pending: Gauge,
    recording: Gauge,
    generation: Gauge,
    export_lag: Family<ByExport, Gauge>,
    export_failures: Family<ByExport, Gauge>,
    export_running: Family<ByExport, Gauge>,
    export_acknowledged: Family<ByExport, Counter>,
    export_rejected: Family<ByExport, Counter>,
    spans: Counter,
    dropped_spans: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({:?})", self.log)
    }
}

impl Metrics {
    /// Counts what goes into this log from now on.
    pub fn new(log: Arc<dyn AuditSink>, version: &str) -> Self {
        let mut registry = Registry::with_prefix("doorward");
        let build = Info::new([("version", version.to_owned())]);
        registry.register("build", "The program that runs", build);
        let mut m = Self {
            log,
            registry,
            requests: Family::default(),
            verdicts: Family::default(),
            faults: Family::default(),
            sessions: Counter::default(),
            rejected: Counter::default(),
            rows: Counter::default(),
            masked: Counter::default(),
            entries: Counter::default(),
            refused: Counter::default(),
            live: Family::default(),
            pending: Gauge::default(),
            recording: Gauge::default(),
            generation: Gauge::default(),
            export_lag: Family::default(),
            export_failures: Family::default(),
            export_running: Family::default(),
            export_acknowledged: Family::default(),
            export_rejected: Family::default(),
            spans: Counter::default(),
            dropped_spans: Counter::default(),
        };
        m.register();
        m
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("requests", "Requests decided, by what was done with them", self.requests.clone());
        r.register("verdicts", "Verdicts of people on approvals", self.verdicts.clone());
        r.register("faults", "Faults, by who is at fault", self.faults.clone());
        r.register("sessions", "Sessions that began", self.sessions.clone());
        r.register("rejected_logins", "Callers who did not prove who they are", self.rejected.clone());
        r.register("rows", "Rows sent to callers", self.rows.clone());
        r.register("masked_values", "Values masked in rows", self.masked.clone());
        r.register("audit_entries", "Entries taken by the audit log", self.entries.clone());
        r.register("audit_refusals", "Entries that the audit log could not take", self.refused.clone());
        r.register("live_sessions", "Sessions that are open now, by connection", self.live.clone());
        r.register("pending_approvals", "Approvals that wait for people", self.pending.clone());
        r.register("recording_healthy", "1 while recordings reach the disk, else 0", self.recording.clone());
        r.register("policy_generation", "How often the policies in force were replaced", self.generation.clone());
        r.register("export_lag_lines", "Lines of the audit log that an exporter has not sent", self.export_lag.clone());
        r.register("export_failures", "Failures of an exporter since its last success", self.export_failures.clone());
        r.register("export_running", "0 where an exporter needs somebody, else 1", self.export_running.clone());
        let acknowledged = self.export_acknowledged.clone();
        r.register("export_acknowledged", "Entries that a sink has acknowledged, over restarts", acknowledged);
        r.register("export_rejected", "Entries that a sink took and will not keep", self.export_rejected.clone());
        r.register("trace_spans", "Spans that a collector has taken", self.spans.clone());
        r.register("trace_spans_dropped", "Spans, or steps of one, that were dropped", self.dropped_spans.clone());
    }

    /// All numbers in OpenMetrics' text format.
    ///
    /// # Errors
    /// Where they cannot be written, which is a bug.
    pub fn text(&self, now: &Readings) -> Result<String, fmt::Error> {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (connection, count) in &now.live {
            self.live.get_or_create(&ByConnection { connection: connection.clone() }).set(gauge(*count));
        }
        self.pending.set(gauge(now.pending));
        self.recording.set(i64::from(now.recording_is_healthy));
        self.generation.set(gauge(now.policy_generation));
        for export in &now.exports {
            let label = ByExport { export: export.name.clone() };
            self.export_lag.get_or_create(&label).set(gauge(export.lag));
            self.export_failures.get_or_create(&label).set(gauge(export.failures));
            self.export_running.get_or_create(&label).set(i64::from(export.state != "halted"));
            // Both are counted elsewhere, and never fall.
            for (counter, value) in
                [(&self.export_acknowledged, export.acknowledged), (&self.export_rejected, export.rejected)]
            {
                let counter = counter.get_or_create(&label);
                counter.inc_by(value.saturating_sub(counter.get()));
            }
        }
        for (counter, value) in [(&self.spans, now.spans.0), (&self.dropped_spans, now.spans.1)] {
            counter.inc_by(value.saturating_sub(counter.get()));
        }
        let mut out = String::new();
        encode(&mut out, &self.registry)?;
        Ok(out)
    }

    fn count(&self, kind: &AuditKind) {
        match kind {
            AuditKind::Request { outcome, .. } => {
                self.requests.get_or_create(&ByOutcome { outcome: outcome.to_string() }).inc();
            }
            AuditKind::ApprovalDecided { approved, .. } => {
                let verdict = if *approved { "approve" } else { "deny" };
                self.verdicts.get_or_create(&ByVerdict { verdict: verdict.to_owned() }).inc();
            }
            AuditKind::Fault { at_fault, .. } => {
                self.faults.get_or_create(&ByFault { at_fault: at_fault.clone() }).inc();
            }
            AuditKind::SessionOpened { .. } => drop(self.sessions.inc()),
            AuditKind::AuthenticationFailed { .. } => drop(self.rejected.inc()),
            AuditKind::Completed { rows, masked, .. } => {
                self.rows.inc_by(*rows);
                self.masked.inc_by(*masked);
            }
            AuditKind::GatewayStarted { .. }
            | AuditKind::GatewayStopped {}
            | AuditKind::Authenticated { .. }
            | AuditKind::SessionEnded { .. }
            | AuditKind::FileCopied { .. }
            | AuditKind::ApprovalRequested { .. }
            | AuditKind::ApprovalEscalated { .. }
            | AuditKind::ApprovalEnded { .. }
            | AuditKind::Cancel { .. }
            | AuditKind::PolicyChanged { .. }
            | AuditKind::Administration { .. } => {}
        }
    }
}

impl AuditSink for Metrics {
    fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        let appended = self.log.append(event);
        if appended.is_ok() {
            self.entries.inc();
            self.count(&event.kind);
        } else {
            self.refused.inc();
        }
        appended
    }

    fn committed(&self) -> Ticket {
        self.log.committed()
    }

    fn poll_committed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        self.log.poll_committed(ticket, cx)
    }
}
