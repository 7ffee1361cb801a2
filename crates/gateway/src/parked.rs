//! What is asked of people for callers who do not wait.
use crate::{Services, services::now};
use doorward_enforce::{ApprovalRequest, ApprovalVerdict, AuditSink, Parked};
use doorward_model::{ApprovalId, AuditEvent, AuditKind, Parties, SessionId};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Puts a request before people. Their verdict is kept for its caller, who asks again; the approval outlives the session.
pub(crate) fn ask(services: &Services, approval: &ApprovalRequest) {
    services.approvals.submit(approval.clone(), kept_for(services, approval));
}

/// What is done with the verdict on a request whose caller does not wait: it is kept until the same is asked again.
pub fn kept_for(services: &Services, approval: &ApprovalRequest) -> Box<dyn FnOnce(ApprovalVerdict) + Send> {
    let kept = Kept {
        parked: Arc::clone(&services.parked),
        audit: Arc::clone(&services.audit),
        id: approval.id,
        session: approval.session,
        parties: approval.principal.parties().map(Arc::new),
    };
    let expires = approval.expires;
    let runtime = Handle::current();
    Box::new(move |verdict: ApprovalVerdict| {
        let was_approved = matches!(verdict, ApprovalVerdict::Approved { .. });
        if let ApprovalVerdict::Unavailable { reason } = &verdict {
            kept.note_end(&format!("could not be asked for: {reason}"));
        }
        kept.parked.ended(kept.id, verdict, now());
        if was_approved {
            runtime.spawn(async move {
                tokio::time::sleep(expires.since(now())).await;
                if kept.parked.lapsed(kept.id, now()) {
                    kept.note_end("approved, but not used in time");
                }
            });
        }
    })
}

/// An approval that is kept for its caller.
struct Kept {
    parked: Arc<Parked>,
    audit: Arc<dyn AuditSink>,
    id: ApprovalId,
    session: SessionId,
    /// Whose it is, where that is two: it may outlast the session.
    parties: Option<Arc<Parties>>,
}

impl Kept {
    fn note_end(&self, reason: &str) {
        let kind = AuditKind::ApprovalEnded { approval: self.id, reason: reason.to_owned() };
        let (session, parties) = (Some(self.session), self.parties.clone());
        if let Err(e) = self.audit.append(&AuditEvent { time: now(), session, parties, kind }) {
            tracing::error!(id = %self.id, "the end of an approval is not in the audit log: {e}");
        }
    }
}
