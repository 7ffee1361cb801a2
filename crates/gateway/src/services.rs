//! What every session uses: the parts that the binary wires together.
use crate::{AnalysisPool, Arrivals, Credentials, Memory, Registry};
use doorward_detect::{Detector, Masker};
use doorward_enforce::{ApprovalDesk, AuditSink, DecisionPoint, Parked, TraceSink};
use doorward_identity::CallerKey;
use doorward_model::{Principal, Timestamp};
use doorward_record::RecordStore;
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::SystemTime};

/// A token that was not accepted: the precise reason is for the audit log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedToken {
    /// The reason.
    pub reason: String,
}

/// The answer to whose a token is, when it is known.
pub type Known<'a> = Pin<Box<dyn Future<Output = Result<Principal, RejectedToken>> + Send + 'a>>;

/// Checks identity tokens.
pub trait Authenticate: Send + Sync + fmt::Debug {
    /// Who a token stands for.
    fn verify<'a>(&'a self, token: &'a str, now: Timestamp) -> Known<'a>;
    /// Who a token stands for that is bound to a key which the caller has shown to hold (OpenPubkey).
    fn verify_bound<'a>(&'a self, token: &'a str, key: CallerKey<'a>, now: Timestamp) -> Known<'a>;
    /// Whether what was made for somebody at a time, for a token that was good then, is so no more: their provider has ended
    /// their sessions since.
    fn is_revoked(&self, _who: &Principal, _made: Timestamp) -> bool {
        false
    }
    /// What SASL `OAUTHBEARER` tells a client that came without a valid token (RFC 7628 §3.2.2), as JSON.
    fn oauth_challenge(&self) -> String;
}

/// The parts that all sessions share.
#[derive(Clone, Debug)]
pub struct Services {
    /// Identity.
    pub identity: Arc<dyn Authenticate>,
    /// Short-lived credentials.
    pub credentials: Arc<Credentials>,
    /// Policy.
    pub pdp: Arc<dyn DecisionPoint>,
    /// The audit log.
    pub audit: Arc<dyn AuditSink>,
    /// Recordings.
    pub recordings: Arc<RecordStore>,
    /// Approvals.
    pub approvals: Arc<dyn ApprovalDesk>,
    /// Held requests whose callers do not wait.
    pub parked: Arc<Parked>,
    /// Live sessions.
    pub registry: Arc<Registry>,
    /// Callers on their way in.
    pub arrivals: Arc<Arrivals>,
    /// Reads long texts.
    pub analysis: Arc<AnalysisPool>,
    /// Finds sensitive values.
    pub detector: Arc<Detector>,
    /// Masks them.
    pub masker: Arc<Masker>,
    /// Room for values that are taken apart.
    pub memory: Arc<Memory>,
    /// Traces, where they are switched on.
    pub traces: Option<Arc<dyn TraceSink>>,
}

/// The time, read here and nowhere below.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
