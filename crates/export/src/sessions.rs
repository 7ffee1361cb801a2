//! Who a session belongs to: an entry must mean something by itself where it arrives.
use doorward_model::{AuditEvent, ConnectionName, Principal, SessionId, SessionPart};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// So many sessions are known at most; the oldest are forgotten first.
const MOST: usize = 20_000;

/// What earlier entries said of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) connection: Option<ConnectionName>,
    /// The kind of the connection, as it is now.
    pub(crate) kind: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) principal: Option<Principal>,
}

type Look = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The kind of a connection, by its name: looked up as a session is met, since connections come and go.
#[derive(Clone)]
pub struct Kinds(Arc<Look>);

impl Kinds {
    /// Kinds as this function says.
    pub fn new(of: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kinds")
    }
}

/// Sessions by identifier, which is by age.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: BTreeMap<SessionId, Known>,
    kinds: Kinds,
}

impl Sessions {
    pub(crate) const fn new(kinds: Kinds) -> Self {
        Self { known: BTreeMap::new(), kinds }
    }

    pub(crate) fn learn(&mut self, event: &AuditEvent) {
        let Some(session) = event.session else { return };
        match event.kind.of_session() {
            SessionPart::Opened { connection, client } => {
                let known = self.known.entry(session).or_default();
                known.kind = (self.kinds.0)(connection.as_str());
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
