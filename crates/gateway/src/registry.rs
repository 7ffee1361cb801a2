//! The live sessions: who they are, how to reach them, and the keys that cancel them.
use doorward_enforce::ApprovalVerdict;
use doorward_model::{ApprovalId, ConnectionInfo, SessionId, Timestamp};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};
use subtle::ConstantTimeEq as _;
use tokio::sync::mpsc;

/// What reaches a live session from elsewhere.
#[derive(Debug)]
pub(crate) enum Control {
    Verdict(ApprovalId, ApprovalVerdict),
    /// The caller cancels through another connection.
    Cancel,
    /// The policies have changed, or an identity may have ended.
    CheckWelcome,
    /// End with this message.
    Shut(String),
}

/// A live session as administrators see it.
#[derive(Clone, Debug)]
pub struct SessionSummary {
    /// Which.
    pub id: SessionId,
    /// On which connection.
    pub connection: String,
    /// Who, to be shown: `issuer/subject`, with the person that they act for.
    pub principal: String,
    /// The identifiers of all who stand behind it ([`doorward_model::Principal::ids`]).
    pub parties: Vec<String>,
    /// From where.
    pub client: String,
    /// Since when.
    pub started: Timestamp,
}

#[derive(Debug)]
struct Entry {
    summary: SessionSummary,
    connection: Arc<ConnectionInfo>,
    control: mpsc::UnboundedSender<Control>,
}

#[derive(Debug)]
struct CancelKey {
    key: Box<[u8]>,
    session: SessionId,
}

/// All live sessions of this process.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<HashMap<SessionId, Entry>>,
    /// By process id: the number that clients send back in a CancelRequest.
    keys: Mutex<HashMap<u32, CancelKey>>,
    /// Connections that are served no more, while somebody may still be on the way in.
    retired: Mutex<Vec<(Weak<ConnectionInfo>, String)>>,
}

impl Registry {
    /// No sessions.
    pub fn new() -> Self {
        Self::default()
    }

    /// The live sessions.
    pub fn list(&self) -> Vec<SessionSummary> {
        self.sessions.lock().values().map(|e| e.summary.clone()).collect()
    }

    /// How many sessions live.
    pub fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a session with a message. False if it does not live.
    pub fn kill(&self, id: SessionId, message: &str) -> bool {
        self.send(id, Control::Shut(message.to_owned()))
    }

    /// Has every session check whether it may go on.
    pub fn check_all(&self) {
        for entry in self.sessions.lock().values() {
            let _gone = entry.control.send(Control::CheckWelcome);
        }
    }

    /// Ends every session on a connection with a message, and each that is on its way in as soon as it is there. Another
    /// connection may have the same name: it is this very one that is meant.
    pub fn retire(&self, connection: &Arc<ConnectionInfo>, message: &str) {
        {
            let mut retired = self.retired.lock();
            retired.retain(|(of, _)| of.strong_count() > 0);
            retired.push((Arc::downgrade(connection), message.to_owned()));
        }
        for entry in self.sessions.lock().values().filter(|e| Arc::ptr_eq(&e.connection, connection)) {
            let _gone = entry.control.send(Control::Shut(message.to_owned()));
        }
    }

    /// Ends every session with a message.
    pub fn shut_all(&self, message: &str) {
        for entry in self.sessions.lock().values() {
            let _gone = entry.control.send(Control::Shut(message.to_owned()));
        }
    }

    /// Takes a session up. False where its connection is served no more: it has been told to end.
    pub(crate) fn add(
        &self,
        summary: SessionSummary,
        connection: &Arc<ConnectionInfo>,
        control: mpsc::UnboundedSender<Control>,
    ) -> bool {
        let entry = Entry { summary, connection: Arc::clone(connection), control: control.clone() };
        self.sessions.lock().insert(entry.summary.id, entry);
        // INVARIANT: looked at after it was added. `retire` does it the other way round, so one of the two sees the other.
        let retired = self.retired.lock();
        let message = retired.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(connection)));
        if let Some((_, message)) = message {
            let _gone = control.send(Control::Shut(message.clone()));
        }
        message.is_none()
    }

    /// Draws a process id that no live session has.
    pub(crate) fn add_key(&self, session: SessionId, key: &[u8]) -> u32 {
        let mut keys = self.keys.lock();
        loop {
            let id = rand::random_range(1..i32::MAX.unsigned_abs());
            if let std::collections::hash_map::Entry::Vacant(v) = keys.entry(id) {
                v.insert(CancelKey { key: key.into(), session });
                return id;
            }
        }
    }

    /// Ends the session that its caller knows by a number, or only what it runs. False where there is no such session of
    /// that caller on that connection.
    pub(crate) fn end_of(&self, number: u32, connection: &str, parties: &[String], query_only: bool) -> bool {
        let Some(session) = self.keys.lock().get(&number).map(|key| key.session) else { return false };
        let is_theirs = self
            .sessions
            .lock()
            .get(&session)
            .is_some_and(|entry| entry.summary.connection == connection && entry.summary.parties == parties);
        let shut = || Control::Shut("Connection was killed".to_owned());
        is_theirs && self.send(session, if query_only { Control::Cancel } else { shut() })
    }

    pub(crate) fn remove(&self, session: SessionId, process_id: Option<u32>) {
        self.sessions.lock().remove(&session);
        if let Some(id) = process_id {
            self.keys.lock().remove(&id);
        }
    }

    /// Passes a cancel request on to the session whose key it holds. False if there is none.
    pub(crate) fn cancel(&self, process_id: u32, key: &[u8]) -> Option<SessionId> {
        let session = {
            let keys = self.keys.lock();
            let entry = keys.get(&process_id)?;
            // The comparison takes the same time however much of a guess is right.
            if entry.key.len() != key.len() || !bool::from(entry.key.ct_eq(key)) {
                return None;
            }
            entry.session
        };
        self.send(session, Control::Cancel).then_some(session)
    }

    fn send(&self, id: SessionId, control: Control) -> bool {
        self.sessions.lock().get(&id).is_some_and(|e| e.control.send(control).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Arc<ConnectionInfo> {
        Arc::new(ConnectionInfo {
            name: doorward_model::ConnectionName::new("orders"),
            kind: "postgres".into(),
            database: None,
            labels: [].into(),
            tags: [].into(),
        })
    }

    fn summary(id: SessionId) -> SessionSummary {
        SessionSummary {
            id,
            connection: "orders".into(),
            principal: "ci/bot".into(),
            parties: vec!["ci/bot".into()],
            client: "127.0.0.1".into(),
            started: Timestamp::default(),
        }
    }

    #[test]
    fn who_comes_to_a_retired_connection_goes_and_others_of_its_name_stay() {
        let registry = Registry::new();
        let (old, new) = (connection(), connection());
        let come = |n, to| {
            let (tx, rx) = mpsc::unbounded_channel();
            let is_served = registry.add(summary(SessionId::from_uuid(uuid::Uuid::from_u128(n))), to, tx);
            (is_served, rx)
        };
        let ((_, mut before), (_, mut other)) = (come(1, &old), come(2, &new));
        registry.retire(&old, "gone");
        let (is_served, mut after) = come(3, &old);
        assert!(!is_served);
        assert!(matches!(before.try_recv(), Ok(Control::Shut(why)) if why == "gone"));
        assert!(matches!(after.try_recv(), Ok(Control::Shut(why)) if why == "gone"));
        assert!(other.try_recv().is_err());
    }

    #[test]
    fn a_key_reaches_its_own_session_only() {
        let registry = Registry::new();
        let id = SessionId::from_uuid(uuid::Uuid::from_u128(1));
        let (tx, mut rx) = mpsc::unbounded_channel();
        registry.add(summary(id), &connection(), tx);
        let pid = registry.add_key(id, b"1234");
        assert_eq!(registry.cancel(pid, b"1235"), None);
        assert_eq!(registry.cancel(pid, b""), None);
        assert_eq!(registry.cancel(pid.wrapping_add(1), b"1234"), None);
        assert!(rx.try_recv().is_err());
        assert_eq!(registry.cancel(pid, b"1234"), Some(id));
        assert!(matches!(rx.try_recv(), Ok(Control::Cancel)));
        registry.remove(id, Some(pid));
        assert_eq!(registry.cancel(pid, b"1234"), None);
    }
}
