//! From a token to a session: identity, policy, the connection to the upstream.
use super::{
    Endpoint, bound, ca,
    session::Session,
    upstream::{self, Incoming},
};
use crate::{
    admission::{Admission, NotAdmitted, Registered, Start},
    live::Live,
    registry::Control,
    services::now,
};
use doorward_enforce::{AuditUnavailable, Enforcer, Refusal};
use doorward_model::{Principal, SessionId, Timestamp};
use doorward_ssh::{Login, facts, render};
use parking_lot::Mutex;
use russh::keys::Certificate;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;

/// Forwarded connections that the upstream may open before the gateway has looked at them.
const MOST_INCOMING: usize = 64;

/// A caller on its way in.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) id: SessionId,
    pub(crate) peer: SocketAddr,
    /// When the caller came.
    pub(crate) came: Timestamp,
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
    /// Where the caller wants to go may change until a session begins.
    pub(crate) fn admission(&self) -> Admission {
        let connection = &self.endpoint.connection;
        let (services, strict_audit) = (&self.endpoint.services, connection.strict_audit);
        Admission::new(
            services,
            (&connection.info, crate::connection::place(&connection.host, connection.port)),
            "ssh",
            self.peer,
            strict_audit,
        )
        .of(self.id)
        .since(self.came)
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
            let who = self.endpoint.ca.verify(certificate, now())?;
            let is_over = self.endpoint.services.identity.is_revoked(&who, ca::issued(certificate));
            return if is_over {
                Err("a certificate of a session that its provider has ended".into())
            } else {
                Ok(who)
            };
        }
        let (token, key) = bound::token_of(certificate, now())?;
        self.endpoint.services.identity.verify_bound(token, key, now()).await.map_err(|e| e.reason)
    }

    pub(crate) fn identified(&self, user: &str, checked: Result<Principal, String>) -> Result<Principal, NoSession> {
        self.admission().note_identity(user, &checked)?;
        // Unknown, expired and forged tokens look the same from outside.
        checked.map_err(|_| NoSession::Rejected)
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
        let who = principal.clone();
        let admission = self.admission();
        let recording = admission.record(serde_json::json!({ "principal": who.to_string(), "user": upstream_user }));
        let begun = self.connect(&admission, &upstream_user, login, principal).await;
        let (enforcer, upstream, incoming) = match begun {
            Ok(begun) => begun,
            Err(refused) => {
                admission.give_up(recording, refused.reason());
                return Err(refused);
            }
        };
        let Registered { control, is_served, .. } = admission.register(&who);
        if !is_served {
            endpoint.services.registry.remove(admission.id, None);
            let why = "refused: the connection was changed or removed meanwhile; try again";
            admission.give_up(recording, why);
            return Err(NoSession::Refused(why.into()));
        }
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
        admission: &Admission,
        upstream_user: &str,
        login: Login,
        principal: Principal,
    ) -> Result<(Enforcer, upstream::Connected, mpsc::Receiver<Incoming>), NoSession> {
        let mut enforcer = admission.enforcer(principal.clone(), None, true);
        self.decide(admission, &mut enforcer, upstream_user, login).await?;
        let (tell, incoming) = mpsc::channel(MOST_INCOMING);
        let entry = upstream::Entry { user: upstream_user, principal: &principal, session: self.id };
        let connected = upstream::connect(&self.endpoint, entry, tell).await;
        let upstream = connected.map_err(|e| {
            self.endpoint.note_fault(Some(self.id), "upstream", &e.to_string());
            NoSession::Refused(e.for_the_caller().to_owned())
        })?;
        Ok((enforcer, upstream, incoming))
    }

    async fn decide(
        &self,
        admission: &Admission,
        enforcer: &mut Enforcer,
        user: &str,
        login: Login,
    ) -> Result<(), NoSession> {
        let is_chosen = self.endpoint.connection.user.is_none();
        let meaning = facts::connect(user, is_chosen, login);
        let start =
            Start { via: "connect", facts: meaning.facts, statement: &meaning.statement, payload: user.as_bytes() };
        admission.decide(enforcer, start).await.map_err(|why| match why {
            NotAdmitted::Refused(refusal) => refused(&refusal),
            NotAdmitted::Unavailable(e) => e.into(),
            NotAdmitted::Held => NoSession::Refused(
                "opening this session needs an approval, and a log-in cannot wait for one; ask for a policy that \
                 holds commands instead of `connect`"
                    .into(),
            ),
        })
    }
}

impl NoSession {
    fn reason(&self) -> &str {
        match self {
            Self::Rejected => "the token was not accepted",
            Self::Refused(why) => why.as_str(),
        }
    }
}

impl From<AuditUnavailable> for NoSession {
    fn from(e: AuditUnavailable) -> Self {
        Self::Refused(format!("refused: {e}"))
    }
}

fn refused(refusal: &Refusal) -> NoSession {
    let hint = refusal.hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default();
    NoSession::Refused(format!("{}{hint}", render::refusal_line(refusal)))
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
