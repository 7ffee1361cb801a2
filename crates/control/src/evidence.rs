//! What the audit log and the recordings say, for pages: newest first, and never more than a bounded part of the log at once.
use doorward_model::{
    ApprovalId, AuditEvent, AuditKind, AuditOutcome as Outcome, Principal, RequestId, SessionId, SessionPart, Timestamp,
};
use doorward_record::{Backwards, Entry, Reader, keys};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

/// Entries that one page looks through.
pub(crate) const MOST_ENTRIES: usize = 100_000;
/// Decisions of a session that are shown.
const MOST_DECISIONS: usize = 200;

/// Where the evidence is.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The folder of the audit log.
    pub audit: PathBuf,
    /// The folder of the recordings.
    pub recordings: PathBuf,
    /// The folder of the gateway's keys.
    pub keys: PathBuf,
}

/// A session, read out of the log.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: SessionId,
    pub(crate) connection: String,
    pub(crate) client: String,
    pub(crate) principal: Option<String>,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<(Timestamp, String)>,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) held: u64,
    matched: bool,
}

/// What sessions are looked for. Everything given has to hold; texts of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) principal: String,
    pub(crate) connection: String,
    pub(crate) text: String,
    pub(crate) outcome: Option<Outcome>,
}

/// Whether `text` has `part` in it, whatever the case.
pub(crate) fn has(text: &str, part: &str) -> bool {
    part.is_empty() || text.to_lowercase().contains(&part.to_lowercase())
}

impl Wanted {
    fn asks_for_requests(&self) -> bool {
        !self.text.is_empty() || self.outcome.is_some()
    }

    fn wants(&self, found: &Found) -> bool {
        has(found.principal.as_deref().unwrap_or_default(), &self.principal)
            && has(&found.connection, &self.connection)
            && (found.matched || !self.asks_for_requests())
    }

    fn wants_request(&self, kind: &AuditKind) -> bool {
        let SessionPart::Request { outcome, statement, facts, .. } = kind.of_session() else { return false };
        self.outcome.is_none_or(|o| o == outcome)
            && (has(statement, &self.text)
                || has(&facts.command, &self.text)
                || facts.accesses.iter().any(|a| has(&a.to_string(), &self.text)))
    }
}

impl Found {
    const fn new(id: SessionId) -> Self {
        Self {
            id,
            connection: String::new(),
            client: String::new(),
            principal: None,
            started: Timestamp::from_micros(0),
            ended: None,
            requests: 0,
            refused: 0,
            held: 0,
            matched: false,
        }
    }

    fn take(&mut self, event: &AuditEvent) {
        match event.kind.of_session() {
            SessionPart::Opened { connection, client } => {
                self.connection = connection.to_string();
                self.client = client.to_owned();
                self.started = event.time;
            }
            // The first: a session may change its user, and the log is read backwards.
            SessionPart::Caller(principal) => self.principal = Some(principal.to_string()),
            SessionPart::Ended { reason } => self.ended = Some((event.time, reason.to_owned())),
            SessionPart::Request { outcome, .. } => {
                self.requests += 1;
                self.refused += u64::from(outcome == Outcome::Refuse);
                self.held += u64::from(outcome == Outcome::Hold);
            }
            SessionPart::Other => {}
        }
    }
}

/// One decided request of a session.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) time: Timestamp,
    pub(crate) outcome: Outcome,
    pub(crate) statement: String,
    pub(crate) why: String,
    pub(crate) approval: Option<ApprovalId>,
    pub(crate) result: Option<String>,
}

impl Evidence {
    /// Of a state directory.
    pub fn of(state: &Path) -> Self {
        Self { audit: state.join("audit"), recordings: state.join("recordings"), keys: state.join("keys") }
    }

    /// Goes through the log, newest first, until told to stop. True: there is more than was looked at.
    pub(crate) fn look(&self, before: Option<u64>, mut each: impl FnMut(Entry) -> ControlFlow<()>) -> io::Result<bool> {
        for (n, entry) in Backwards::open(&self.audit, before)?.enumerate() {
            if n >= MOST_ENTRIES {
                return Ok(true);
            }
            if each(entry?).is_break() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Sessions that began before the entry `before`, newest first, and the `before` of older ones.
    pub(crate) fn sessions(
        &self,
        wanted: &Wanted,
        sees: &dyn Fn(&Found) -> bool,
        before: Option<u64>,
        most: usize,
    ) -> io::Result<(Vec<Found>, Option<u64>)> {
        let mut open: HashMap<SessionId, Found> = HashMap::new();
        let (mut out, mut next) = (Vec::new(), None);
        // Always from the end: what a session did may be anywhere behind its beginning.
        self.look(None, |entry| {
            let Some(id) = entry.event.session else { return ControlFlow::Continue(()) };
            let found = open.entry(id).or_insert_with(|| Found::new(id));
            found.take(&entry.event);
            found.matched |= wanted.asks_for_requests() && wanted.wants_request(&entry.event.kind);
            if !matches!(entry.event.kind, AuditKind::SessionOpened { .. }) {
                return ControlFlow::Continue(());
            }
            let found = open.remove(&id).filter(|f| wanted.wants(f) && before.is_none_or(|b| entry.seq < b) && sees(f));
            if let Some(found) = found {
                if out.len() == most {
                    return ControlFlow::Break(());
                }
                next = Some(entry.seq);
                out.push(found);
            }
            if out.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let next = if out.len() == most { next } else { None };
        Ok((out, next))
    }

    /// What entries before `before` say of a session, with its newest decisions, oldest of them first, and whether there are
    /// more.
    pub(crate) fn session(&self, id: SessionId, before: Option<u64>) -> io::Result<(Found, Vec<Decided>, bool)> {
        let mut found = Found::new(id);
        let mut more = false;
        let mut decisions = Vec::new();
        let mut results: HashMap<RequestId, String> = HashMap::new();
        let began = began(id);
        let cut = self.look(before, |entry| {
            // Nothing of it is older than its number, but for clocks that were put back.
            if entry.event.time.after(Duration::from_secs(60)) < began {
                return ControlFlow::Break(());
            }
            if entry.event.session != Some(id) {
                return ControlFlow::Continue(());
            }
            found.take(&entry.event);
            let opened = matches!(entry.event.kind, AuditKind::SessionOpened { .. });
            if decisions.len() < MOST_DECISIONS {
                decisions.extend(decided(entry.event, &mut results));
            } else {
                more |= matches!(entry.event.kind, AuditKind::Request { .. });
            }
            if opened { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        decisions.reverse();
        Ok((found, decisions, more || cut))
    }

    /// Who asked in a session by the time of an entry, on which connection, from where.
    pub(crate) fn who_asked(&self, id: SessionId, seq: u64) -> io::Result<Option<(Principal, String, IpAddr)>> {
        let (mut who, mut found) = (None, None);
        let began = began(id);
        self.look(Some(seq), |entry| {
            if entry.event.time.after(Duration::from_secs(60)) < began {
                return ControlFlow::Break(());
            }
            if entry.event.session != Some(id) {
                return ControlFlow::Continue(());
            }
            match entry.event.kind.of_session() {
                // The newest: a session may change its user.
                SessionPart::Caller(principal) => who = who.take().or_else(|| Some(principal.clone())),
                SessionPart::Opened { connection, client } => {
                    let ip = client.parse::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |a| a.ip());
                    found = who.take().map(|who| (who, connection.to_string(), ip));
                    return ControlFlow::Break(());
                }
                SessionPart::Ended { .. } | SessionPart::Request { .. } | SessionPart::Other => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn recording_file(&self, id: SessionId) -> PathBuf {
        self.recordings.join(format!("{id}.dwr"))
    }

    /// Whether there is a recording of a session.
    pub(crate) fn has_recording(&self, id: SessionId) -> bool {
        self.recording_file(id).exists()
    }

    /// Opens a recording, checked against the gateway's key.
    pub(crate) fn recording(&self, id: SessionId) -> Result<Option<Reader>, String> {
        let path = self.recording_file(id);
        if !path.exists() {
            return Ok(None);
        }
        let key = keys::load_public(&self.keys.join(keys::PUBLIC_KEY_FILE)).map_err(|e| e.to_string())?;
        Reader::open(&path, Some(&key)).map(Some).map_err(|e| e.to_string())
    }
}

/// When a session began, by its number (RFC 9562, version 7: milliseconds in the first six bytes).
fn began(id: SessionId) -> Timestamp {
    let digits: String = id.to_string().chars().filter(|c| *c != '-').take(12).collect();
    let millis = u64::from_str_radix(&digits, 16).unwrap_or(0);
    Timestamp::from_micros(millis.saturating_mul(1000))
}

fn decided(event: AuditEvent, results: &mut HashMap<RequestId, String>) -> Option<Decided> {
    if let AuditKind::Completed { request, result, rows, masked } = &event.kind {
        let rows = if *rows == 0 { String::new() } else { format!(", {rows} rows") };
        let masked = if *masked == 0 { String::new() } else { format!(", {masked} values masked") };
        results.insert(*request, format!("{result}{rows}{masked}"));
    }
    let AuditKind::Request { request, outcome, statement, policies, reason, approval, .. } = event.kind else {
        return None;
    };
    Some(Decided {
        time: event.time,
        outcome,
        statement: statement.to_string(),
        why: reason.unwrap_or_else(|| policies.join(", ")),
        approval,
        result: (outcome == Outcome::Forward).then(|| results.remove(&request)).flatten(),
    })
}
