//! Who a session belongs to: an entry must mean something by itself where it arrives.
use doorward_model::{AuditEvent, ConnectionName, Principal, SessionId, SessionPart};
use std::collections::BTreeMap;

/// So many sessions are known at most; the oldest are forgotten first.
const MOST: usize = 20_000;

/// What earlier entries said of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) connection: Option<ConnectionName>,
    /// The kind of the connection, as configured now.
    pub(crate) kind: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) principal: Option<Principal>,
}

/// Sessions by identifier, which is by age.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    known: BTreeMap<SessionId, Known>,
    kinds: BTreeMap<String, String>,
}

impl Sessions {
    pub(crate) fn new(kinds: BTreeMap<String, String>) -> Self {
        Self { known: BTreeMap::new(), kinds }
    }

    pub(crate) fn learn(&mut self, event: &AuditEvent) {
        let Some(session) = event.session else { return };
        match event.kind.of_session() {
            SessionPart::Opened { connection, client } => {
                let known = self.known.entry(session).or_default();
                known.kind = self.kinds.get(connection.as_str()).cloned();
                known.connection = Some(connection.clone());
                known.client = Some(client.to_owned());
            }
            SessionPart::Caller(principal) => {
                self.known.entry(session).or_default().principal = Some(principal.clone());
            }
            SessionPart::Request { .. } | SessionPart::Ended { .. } | SessionPart::Other => return,
        }
        while self.known.len() > MOST {
            self.known.pop_first();
        }
    }

    pub(crate) fn of(&self, event: &AuditEvent) -> Option<&Known> {
        self.known.get(&event.session?)
    }
}
