//! A caller on the way in, for every protocol alike: what is written down, the decision on `connect`, and what a session
//! begins with. How callers are spoken to is each protocol's own.
use crate::{
    registry::{Control, SessionSummary},
    services::{Services, now},
};
use doorward_enforce::{AuditUnavailable, Enforcer, EnforcerParts, Outcome, Refusal, Request, Subject, nothing_else};
use doorward_model::{ApprovalId, AuditEvent, AuditKind, ConnectionInfo, Facts, Principal, SessionId, Timestamp};
use doorward_record::{Recording, RecordingMeta};
use std::{future::poll_fn, net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;
use uuid::Uuid;

/// A session that is not one yet.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) id: SessionId,
    pub(crate) peer: SocketAddr,
    pub(crate) services: Services,
    connection: Arc<ConnectionInfo>,
    /// Where it leads to.
    place: Arc<str>,
    protocol: &'static str,
    strict_audit: bool,
    /// When the caller came.
    came: Timestamp,
}

/// Why a session may not begin.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// Policy.
    Refused(Refusal),
    /// People would have to be asked, and a log-in cannot wait.
    Held,
    /// The audit log.
    Unavailable(AuditUnavailable),
}

/// The start of a session, as it is decided.
pub(crate) struct Start<'a> {
    pub(crate) via: &'static str,
    pub(crate) facts: Arc<Facts>,
    pub(crate) statement: &'a str,
    pub(crate) payload: &'a [u8],
}

impl Admission {
    pub(crate) fn new(
        services: &Services,
        (connection, place): (&Arc<ConnectionInfo>, Arc<str>),
        protocol: &'static str,
        peer: SocketAddr,
        strict_audit: bool,
    ) -> Self {
        Self {
            id: SessionId::from_uuid(Uuid::now_v7()),
            peer,
            services: services.clone(),
            connection: Arc::clone(connection),
            place,
            protocol,
            strict_audit,
            came: now(),
        }
    }

    /// Of a caller who came at that time, before it was known who that is.
    pub(crate) fn since(self, came: Timestamp) -> Self {
        Self { came, ..self }
    }

    /// With an identifier that is known already.
    pub(crate) fn of(self, id: SessionId) -> Self {
        Self { id, ..self }
    }

    /// Writes an entry of this session.
    pub(crate) fn note(&self, kind: AuditKind) -> Result<(), AuditUnavailable> {
        let event = AuditEvent { time: now(), session: Some(self.id), kind, parties: None };
        self.services.audit.append(&event).map(drop)
    }

    /// As [`Admission::note`], where nothing waits for it.
    pub(crate) fn note_late(&self, kind: AuditKind) {
        if let Err(e) = self.note(kind) {
            tracing::error!(session = %self.id, "an entry is not in the audit log: {e}");
        }
    }

    /// Writes down that a caller has come.
    pub(crate) fn note_opened(&self) -> Result<(), AuditUnavailable> {
        let connection = self.connection.name.clone();
        self.note(AuditKind::SessionOpened { connection, client: self.peer.to_string() })
    }

    /// Writes down who came, or that it is not known. `user`: the name that was given; callers choose how long it is.
    pub(crate) fn note_identity(
        &self,
        user: &str,
        checked: &Result<Principal, String>,
    ) -> Result<(), AuditUnavailable> {
        self.note_identity_by(None, user, checked)
    }

    /// As [`Admission::note_identity`], by something else than a token.
    pub(crate) fn note_identity_by(
        &self,
        by: Option<&str>,
        user: &str,
        checked: &Result<Principal, String>,
    ) -> Result<(), AuditUnavailable> {
        let user: String = user.chars().take(256).collect();
        self.note(match checked {
            Ok(principal) => AuditKind::Authenticated { principal: principal.clone(), user, by: by.map(str::to_owned) },
            Err(reason) => AuditKind::AuthenticationFailed { user, reason: reason.clone() },
        })
    }

    /// A recording of this session.
    pub(crate) fn record(&self, more: serde_json::Value) -> Recording {
        self.services.recordings.start(RecordingMeta {
            session: self.id.to_string(),
            connection: self.connection.name.to_string(),
            protocol: self.protocol.into(),
            started: now(),
            client: self.peer.to_string(),
            more,
        })
    }

    /// Its enforcement point.
    pub(crate) fn enforcer(&self, principal: Principal, database: Option<&str>, tls: bool) -> Enforcer {
        let mut connection = (*self.connection).clone();
        if let Some(database) = database {
            connection.database = Some(database.into());
        }
        let subject = Subject { session: self.id, principal, connection, client_ip: self.peer.ip(), tls };
        Enforcer::new(EnforcerParts {
            subject: Arc::new(subject),
            pdp: Arc::clone(&self.services.pdp),
            audit: Arc::clone(&self.services.audit),
            strict_audit: self.strict_audit,
            place: Arc::clone(&self.place),
            new_approval: Box::new(|| ApprovalId::from_uuid(Uuid::now_v7())),
        })
    }

    /// The start of a session is a request like any other: decided, and durable before it takes effect.
    pub(crate) async fn decide(&self, enforcer: &mut Enforcer, start: Start<'_>) -> Result<(), NotAdmitted> {
        self.decide_now(enforcer, &start)?;
        let (audit, ticket) = (&self.services.audit, enforcer.last_ticket());
        poll_fn(|cx| audit.poll_committed(ticket, cx)).await.map_err(NotAdmitted::Unavailable)
    }

    fn decide_now(&self, enforcer: &mut Enforcer, start: &Start<'_>) -> Result<(), NotAdmitted> {
        let request = Request {
            via: start.via,
            statement: &start.statement.into(),
            shown: &nothing_else,
            bound: &[],
            payload: start.payload,
        };
        match enforcer.decide(&start.facts, &request, now()) {
            Outcome::Forward(_permit_for_no_bytes) => Ok(()),
            Outcome::Refuse(refusal) => Err(NotAdmitted::Refused(refusal)),
            Outcome::Hold(held) => {
                let approval = held.approval().id;
                let ended = AuditKind::ApprovalEnded { approval, reason: "a log-in cannot wait".into() };
                self.note(ended).map_err(NotAdmitted::Unavailable)?;
                Err(NotAdmitted::Held)
            }
        }
    }

    /// Makes the session known: it can be listed, and ended from elsewhere.
    pub(crate) fn register(&self, who: &Principal) -> Registered {
        let (to_self, control) = mpsc::unbounded_channel();
        let summary = SessionSummary {
            id: self.id,
            connection: self.connection.name.to_string(),
            principal: who.to_string(),
            parties: who.ids(),
            client: self.peer.to_string(),
            started: now(),
        };
        let is_served = self.services.registry.add(summary, &self.connection, to_self.clone());
        // INVARIANT: looked at after it was added. Whoever ends sessions does it the other way round, so one of the two sees the
        // other. What counts is when the caller came: the token was looked at after that, and an event may have come since.
        if self.services.identity.is_revoked(who, self.came) {
            let _gone = to_self.send(Control::Shut("the identity provider has ended the session".to_owned()));
        }
        Registered { to_self, control, is_served }
    }

    /// Writes down that no session came of it.
    pub(crate) fn give_up(&self, recording: Recording, reason: &str) {
        recording.finish(now(), reason);
        self.note_late(AuditKind::SessionEnded { reason: reason.to_owned(), client_bytes: 0, upstream_bytes: 0 });
    }
}

/// The two ends of what reaches a session from elsewhere.
pub(crate) struct Registered {
    pub(crate) to_self: mpsc::UnboundedSender<Control>,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    /// False where the connection was changed or removed meanwhile.
    pub(crate) is_served: bool,
}
