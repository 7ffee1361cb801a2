//! From a token to a session: identity, policy, the connection to the upstream.
use super::{
    Endpoint, bound,
    session::Session,
    upstream::{self, Incoming},
};
use crate::{
    live::Live,
    registry::{Control, SessionSummary},
    services::now,
};
use doorward_enforce::{Enforcer, EnforcerParts, Outcome, Refusal, Request, Subject};
use doorward_model::{ApprovalId, AuditEvent, AuditKind, Principal, SessionId};
use doorward_record::{Recording, RecordingMeta};
use doorward_ssh::{Login, facts, render};
use parking_lot::Mutex;
use russh::keys::Certificate;
use std::{future::poll_fn, net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Forwarded connections that the upstream may open before the gateway has looked at them.
const MOST_INCOMING: usize = 64;

/// A caller on its way in.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) id: SessionId,
    pub(crate) peer: SocketAddr,
}

/// A session that may begin, with what it is told from elsewhere.
pub(crate) struct Started {
    pub(crate) session: Arc<Session>,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    pub(crate) incoming: mpsc::Receiver<Incoming>,
}

/// Why a log-in did not lead to a session.
#[derive(Debug)]
pub(crate) enum NoSession {
    /// The token was not accepted. The caller may try again.
    Rejected,
    /// The caller is known, but may not, or cannot, go on: with what he is told.
    Refused(String),
}

impl Arrival {
    pub(crate) fn note(&self, kind: AuditKind) -> Result<(), NoSession> {
        let event = AuditEvent { time: now(), session: Some(self.id), kind };
        match self.endpoint.services.audit.append(&event) {
            Ok(_) => Ok(()),
            Err(e) => Err(NoSession::Refused(format!("refused: {e}"))),
        }
    }

    /// Who a token stands for.
    pub(crate) async fn identify(&self, user: &str, token: &str) -> Result<Principal, NoSession> {
        let checked = match token {
            "" => Err("an empty password".to_owned()),
            token => self.endpoint.services.identity.verify(token, now()).await.map_err(|e| e.reason),
        };
        self.identified(user, checked)
    }

    /// Who a certificate stands for, whose key the caller has shown to have.
    pub(crate) async fn identify_certificate(
        &self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Principal, NoSession> {
        self.identified(user, self.check_certificate(certificate).await)
    }

    /// Who a certificate stands for: one of the gateway's own, or one with a token that is bound to its key.
    pub(crate) async fn check_certificate(&self, certificate: &Certificate) -> Result<Principal, String> {
        if !bound::is_bound(certificate) {
            return self.endpoint.ca.verify(certificate, now());
        }
        let (token, key) = bound::token_of(certificate, now())?;
        self.endpoint.services.identity.verify_bound(token, key, now()).await.map_err(|e| e.reason)
    }

    pub(crate) fn identified(&self, user: &str, checked: Result<Principal, String>) -> Result<Principal, NoSession> {
        let user = shortened(user);
        match checked {
            Ok(principal) => {
                self.note(AuditKind::Authenticated { principal: principal.clone(), user })?;
                Ok(principal)
            }
            Err(reason) => {
                // Unknown, expired and forged tokens look the same from outside.
                self.note(AuditKind::AuthenticationFailed { user, reason })?;
                Err(NoSession::Rejected)
            }
        }
    }

    /// A caller who is known, and gets no session: that is written down.
    pub(crate) fn turned_away(&self, why: &str) {
        self.endpoint.note_no_log_in(self.id, why);
    }

    /// Decides the start of the session and connects to the upstream.
    pub(crate) async fn begin(
        &self,
        user: &str,
        principal: Principal,
        socket: std::net::TcpStream,
    ) -> Result<Started, NoSession> {
        let endpoint = &self.endpoint;
        let upstream_user = endpoint.connection.user.clone().unwrap_or_else(|| user.to_owned());
        let Ok(slot) = Arc::clone(&endpoint.slots).try_acquire_owned() else {
            let why = "refused: too many sessions on this connection";
            self.turned_away(why);
            return Err(NoSession::Refused(why.into()));
        };
        if endpoint.connection.user.is_none() && !is_plain_name(user) {
            let why = "refused: the user name is not a plain one; use letters, digits and . _ - @";
            self.turned_away(why);
            return Err(NoSession::Refused(why.into()));
        }
        let login = Login { is_root: upstream_user == "root" };
        let who = principal.id();
        let recording = endpoint.services.recordings.start(self.meta(&who, &upstream_user));
        let begun = self.connect(&upstream_user, login, principal).await;
        let (enforcer, upstream, incoming) = match begun {
            Ok(begun) => begun,
            Err(refused) => {
                self.give_up(recording, &refused);
                return Err(refused);
            }
        };
        let (to_self, control) = mpsc::unbounded_channel();
        let summary = SessionSummary {
            id: self.id,
            connection: endpoint.connection.info.name.to_string(),
            principal: who,
            client: self.peer.to_string(),
            started: now(),
        };
        endpoint.services.registry.add(summary, to_self);
        let session = Session {
            endpoint: Arc::clone(endpoint),
            _slot: slot,
            live: Live::new(self.id, &endpoint.services, enforcer, recording),
            login,
            upstream,
            channels: Mutex::default(),
            listening: tokio::sync::Mutex::default(),
            socket,
        };
        Ok(Started { session: Arc::new(session), control, incoming })
    }

    async fn connect(
        &self,
        upstream_user: &str,
        login: Login,
        principal: Principal,
    ) -> Result<(Enforcer, upstream::Connected, mpsc::Receiver<Incoming>), NoSession> {
        let mut enforcer = self.enforcer(principal.clone());
        self.decide(&mut enforcer, upstream_user, login).await?;
        let (tell, incoming) = mpsc::channel(MOST_INCOMING);
        let entry = upstream::Entry { user: upstream_user, principal: &principal, session: self.id };
        let connected = upstream::connect(&self.endpoint, entry, tell).await;
        let upstream = connected.map_err(|e| {
            self.endpoint.note_fault(Some(self.id), "upstream", &e.to_string());
            NoSession::Refused(e.for_the_caller().to_owned())
        })?;
        Ok((enforcer, upstream, incoming))
    }

    fn enforcer(&self, principal: Principal) -> Enforcer {
        let services = &self.endpoint.services;
        let subject = Subject {
            session: self.id,
            principal,
            connection: (*self.endpoint.connection.info).clone(),
            client_ip: self.peer.ip(),
            tls: true,
        };
        Enforcer::new(EnforcerParts {
            subject: Arc::new(subject),
            pdp: Arc::clone(&services.pdp),
            audit: Arc::clone(&services.audit),
            strict_audit: self.endpoint.connection.strict_audit,
            new_approval: Box::new(|| ApprovalId::from_uuid(Uuid::now_v7())),
        })
    }

    /// The start of a session is a request like any other: decided, and durable before it takes effect.
    async fn decide(&self, enforcer: &mut Enforcer, user: &str, login: Login) -> Result<(), NoSession> {
        self.decide_start(enforcer, user, login)?;
        let (audit, ticket) = (&self.endpoint.services.audit, enforcer.last_ticket());
        poll_fn(|cx| audit.poll_committed(ticket, cx)).await.map_err(|e| NoSession::Refused(format!("refused: {e}")))
    }

    fn decide_start(&self, enforcer: &mut Enforcer, user: &str, login: Login) -> Result<(), NoSession> {
        let is_chosen = self.endpoint.connection.user.is_none();
        let meaning = facts::connect(user, is_chosen, login);
        let request = Request {
            via: "connect",
            statement: &meaning.statement,
            parameters: &Vec::new,
            bound: &[],
            payload: user.as_bytes(),
        };
        match enforcer.decide(&meaning.facts, &request, now()) {
            Outcome::Forward(_permit_for_no_bytes) => Ok(()),
            Outcome::Refuse(refusal) => Err(refused(&refusal)),
            Outcome::Hold(held) => {
                let approval = held.approval().id;
                self.note(AuditKind::ApprovalEnded { approval, reason: "a log-in cannot wait".into() })?;
                Err(NoSession::Refused(
                    "opening this session needs an approval, and a log-in cannot wait for one; ask for a policy that \
                     holds commands instead of `connect`"
                        .into(),
                ))
            }
        }
    }

    fn meta(&self, who: &str, user: &str) -> RecordingMeta {
        RecordingMeta {
            session: self.id.to_string(),
            connection: self.endpoint.connection.info.name.to_string(),
            protocol: "ssh".into(),
            started: now(),
            client: self.peer.to_string(),
            more: serde_json::json!({ "principal": who, "user": user }),
        }
    }

    fn give_up(&self, recording: Recording, refused: &NoSession) {
        let reason = match refused {
            NoSession::Rejected => "the token was not accepted",
            NoSession::Refused(why) => why.as_str(),
        };
        recording.finish(now(), reason);
        let ended = AuditKind::SessionEnded { reason: reason.to_owned(), client_bytes: 0, upstream_bytes: 0 };
        if self.note(ended).is_err() {
            tracing::error!(session = %self.id, "the end of a session is not in the audit log");
        }
    }
}

fn refused(refusal: &Refusal) -> NoSession {
    let hint = refusal.hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default();
    NoSession::Refused(format!("{}{hint}", render::refusal_line(refusal)))
}

/// A user name as it is kept: callers choose how long they are.
fn shortened(user: &str) -> String {
    user.chars().take(256).collect()
}

/// Servers cut what they are given: OpenSSH's takes `root:x` for `root`, Debian's `root/x` too. What is decided has to be
/// the name that they end up with.
fn is_plain_name(user: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    !user.is_empty() && user.len() <= 256 && !user.starts_with('-') && user.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::is_plain_name;

    #[test]
    fn names_that_servers_cut_are_not_plain() {
        for plain in ["root", "deploy", "svc_web-1", "a.b@example.com"] {
            assert!(is_plain_name(plain), "{plain}");
        }
        for bad in ["", "root:x", "root/x", "root ", "r\0oot", "-oProxyCommand", "r\u{f6}\u{f6}t", "a+b", "a%b", "a\\b"]
        {
            assert!(!is_plain_name(bad), "{bad}");
        }
    }
}
