//! Steps into spans.
//!
//! ```text
//! session ─┬─ authenticate      from the connection's first byte to who it is
//!          ├─ request           from its decision to its last answer; its outcome, its policies
//!          │    └─ upstream     from being let through to the last answer
//!          └─ request …
//! ```
//! The trace of a session has its UUID. A request whose caller brought a trace of its own is in that, with a link to the
//! session.
use super::{Counts, Step, What};
use doorward_enforce::{HttpCall, TraceParent};
use doorward_model::{AuditOutcome, RequestId, SessionId, Timestamp};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// How many sessions may be open.
const SESSIONS: usize = 50_000;
/// How many requests of all sessions may be open.
const REQUESTS: usize = 50_000;
/// How many policies are named.
const POLICIES: usize = 20;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Texts(Arc<[String]>),
}

/// Whose work it is (OTLP's `SpanKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Internal,
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
}

/// A span that is over.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) place: Place,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) begin: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) events: Vec<(Timestamp, &'static str)>,
    pub(super) link: Option<Place>,
    pub(super) is_error: bool,
}

#[derive(Debug)]
struct Session {
    place: Place,
    sampled: bool,
    opened: Timestamp,
    connection: Arc<str>,
    client: String,
    principal: Option<String>,
    is_error: bool,
    requests: BTreeMap<RequestId, Request>,
}

#[derive(Debug)]
struct Request {
    id: [u8; 8],
    begin: Timestamp,
    via: String,
    outcome: AuditOutcome,
    policies: Arc<[String]>,
    events: Vec<(Timestamp, &'static str)>,
    forwarded: Option<Timestamp>,
    end: Option<Timestamp>,
    answer: Option<(String, u64, u64)>,
    parent: Option<TraceParent>,
}

/// Makes spans.
#[derive(Debug)]
pub(super) struct Assembler {
    sample: f64,
    sessions: HashMap<SessionId, Session>,
    /// Sessions with requests that are over.
    ripe: Vec<(SessionId, RequestId)>,
    open: usize,
    pub(super) finished: Vec<Span>,
    counts: Arc<Counts>,
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

impl Assembler {
    pub(super) fn new(sample: f64, counts: Arc<Counts>) -> Self {
        Self { sample, sessions: HashMap::new(), ripe: Vec::new(), open: 0, finished: Vec::new(), counts }
    }

    fn is_sampled(&self) -> bool {
        rand::random::<f64>() < self.sample
    }

    pub(super) fn take(&mut self, step: Step) {
        let Step { time, session, what } = step;
        let Some(id) = session else {
            if let What::Call(call) = what {
                self.call(call);
            }
            return;
        };
        match what {
            What::Opened { connection, client } => self.opened(id, time, connection, client),
            What::Ended { client_bytes, upstream_bytes } => self.ended(id, time, client_bytes, upstream_bytes),
            What::Decided { request, outcome, via, policies } => {
                self.decided(id, request, time, outcome, via, policies);
            }
            What::Authenticated { .. }
            | What::NotAuthenticated
            | What::Completed { .. }
            | What::Fault { .. }
            | What::Belongs { .. }
            | What::Call(_) => {
                let Some(session) = self.sessions.get_mut(&id) else { return };
                if let Some(ripe) = session.take(time, what, &mut self.finished) {
                    self.ripe.push((id, ripe));
                }
            }
        }
    }

    fn opened(&mut self, id: SessionId, time: Timestamp, connection: Arc<str>, client: String) {
        if self.sessions.len() >= SESSIONS {
            return self.counts.drop_some(1);
        }
        let place = Place { trace: *id.uuid().as_bytes(), span: rand::random() };
        let session = Session {
            place,
            sampled: self.is_sampled(),
            opened: time,
            connection,
            client,
            principal: None,
            is_error: false,
            requests: BTreeMap::new(),
        };
        self.sessions.insert(id, session);
    }

    fn decided(
        &mut self,
        id: SessionId,
        request: RequestId,
        time: Timestamp,
        outcome: AuditOutcome,
        via: String,
        policies: Arc<[String]>,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !session.requests.contains_key(&request) {
            if self.open >= REQUESTS {
                return self.counts.drop_some(1);
            }
            self.open += 1;
        }
        let kept = session.requests.entry(request).or_insert_with(|| Request {
            id: rand::random(),
            begin: time,
            via,
            outcome,
            policies: Arc::default(),
            events: Vec::new(),
            forwarded: None,
            end: None,
            answer: None,
            parent: None,
        });
        kept.outcome = outcome;
        kept.policies =
            if policies.len() > POLICIES { policies.iter().take(POLICIES).cloned().collect() } else { policies };
        match outcome {
            AuditOutcome::Hold => kept.events.push((time, "held")),
            AuditOutcome::Forward => {
                kept.forwarded = Some(time);
                // Beginnings of sessions have no answer of their own.
                if matches!(kept.via.as_str(), "startup" | "connect" | "login") {
                    kept.end = Some(time);
                }
            }
            AuditOutcome::Refuse => kept.end = Some(time),
        }
        if kept.end.is_some() {
            self.ripe.push((id, request));
        }
    }

    /// Finishes requests that are over. Not at once: the trace that one belongs to may be told a moment later.
    pub(super) fn settle(&mut self) {
        for (id, request) in std::mem::take(&mut self.ripe) {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            if let Some(over) = session.requests.remove(&request) {
                self.open = self.open.saturating_sub(1);
                session.finish(request, over, &mut self.finished);
            }
        }
    }

    fn ended(&mut self, id: SessionId, time: Timestamp, client_bytes: u64, upstream_bytes: u64) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        for (number, mut request) in std::mem::take(&mut session.requests) {
            self.open = self.open.saturating_sub(1);
            request.end.get_or_insert(time);
            session.finish(number, request, &mut self.finished);
        }
        if !session.sampled {
            return;
        }
        let Session { place, opened, connection, client, principal, is_error, .. } = session;
        let mut attributes = vec![
            ("doorward.session", text(id.to_string())),
            ("doorward.connection", text(&*connection)),
            ("client.address", text(client)),
            ("doorward.client_bytes", Value::Number(client_bytes)),
            ("doorward.upstream_bytes", Value::Number(upstream_bytes)),
        ];
        attributes.extend(principal.map(|p| ("enduser.id", text(p))));
        self.finished.push(Span {
            place,
            parent: None,
            name: "session".to_owned(),
            kind: Kind::Server,
            begin: opened,
            end: time,
            attributes,
            events: Vec::new(),
            link: None,
            is_error,
        });
    }

    /// A session whose end was not heard of.
    pub(super) fn forget(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.open = self.open.saturating_sub(session.requests.len());
            self.counts.drop_some(session.requests.len() + 1);
        }
    }

    fn call(&mut self, call: HttpCall) {
        let HttpCall { parent, method, route, status, began, ended } = call;
        if !parent.map_or_else(|| self.is_sampled(), |p| p.sampled) {
            return;
        }
        let trace = parent.map_or_else(rand::random, |p| p.trace);
        self.finished.push(Span {
            place: Place { trace, span: rand::random() },
            parent: parent.map(|p| p.span),
            name: format!("{method} {route}"),
            kind: Kind::Server,
            begin: began,
            end: ended,
            attributes: vec![
                ("http.request.method", text(method)),
                ("http.route", text(route)),
                ("http.response.status_code", Value::Number(status.into())),
            ],
            events: Vec::new(),
            link: None,
            is_error: status >= 500,
        });
    }
}

impl Session {
    /// A step within the session. Says which request is over by it.
    fn take(&mut self, time: Timestamp, what: What, finished: &mut Vec<Span>) -> Option<RequestId> {
        match what {
            What::Authenticated { principal } => {
                self.authenticated(time, finished, false);
                self.principal = Some(principal);
            }
            What::NotAuthenticated => {
                self.is_error = true;
                self.authenticated(time, finished, true);
            }
            What::Completed { request, result, rows, masked } => {
                let kept = self.requests.get_mut(&request)?;
                kept.answer = Some((result, rows, masked));
                kept.end = Some(time);
                return Some(request);
            }
            What::Fault { at_fault } => self.is_error |= at_fault != "policy",
            What::Belongs { request, parent } => {
                self.requests.get_mut(&request)?.parent = Some(parent);
            }
            What::Opened { .. } | What::Decided { .. } | What::Ended { .. } | What::Call(_) => {}
        }
        None
    }

    fn authenticated(&self, time: Timestamp, finished: &mut Vec<Span>, is_error: bool) {
        if !self.sampled {
            return;
        }
        finished.push(Span {
            place: Place { trace: self.place.trace, span: rand::random() },
            parent: Some(self.place.span),
            name: "authenticate".to_owned(),
            kind: Kind::Internal,
            begin: self.opened,
            end: time,
            attributes: vec![("doorward.connection", text(&*self.connection))],
            events: Vec::new(),
            link: None,
            is_error,
        });
    }

    fn finish(&self, number: RequestId, request: Request, finished: &mut Vec<Span>) {
        if !request.parent.map_or(self.sampled, |p| p.sampled) {
            return;
        }
        let Request { id, begin, via, outcome, policies, events, forwarded, end, answer, parent } = request;
        let end = end.unwrap_or(begin);
        let place = Place { trace: parent.map_or(self.place.trace, |p| p.trace), span: id };
        let mut attributes = vec![
            ("doorward.session", text(format!("{}", uuid::Uuid::from_bytes(self.place.trace)))),
            ("doorward.connection", text(&*self.connection)),
            ("doorward.request", Value::Number(number.0)),
            ("doorward.via", text(via)),
            ("doorward.outcome", text(outcome.to_string())),
            ("doorward.policies", Value::Texts(policies)),
        ];
        if let Some((result, rows, masked)) = &answer {
            attributes.extend([
                ("doorward.result", text(result)),
                ("doorward.rows", Value::Number(*rows)),
                ("doorward.masked", Value::Number(*masked)),
            ]);
        }
        let (begun, link) = (forwarded.filter(|_| answer.is_some()), parent.map(|_| self.place));
        finished.push(Span {
            place,
            parent: Some(parent.map_or(self.place.span, |p| p.span)),
            name: "request".to_owned(),
            kind: Kind::Server,
            begin,
            end,
            attributes,
            events,
            link,
            is_error: false,
        });
        if let Some(begun) = begun {
            finished.push(Span {
                place: Place { trace: place.trace, span: rand::random() },
                parent: Some(id),
                name: "upstream".to_owned(),
                kind: Kind::Client,
                begin: begun,
                end,
                attributes: vec![("doorward.connection", text(&*self.connection))],
                events: Vec::new(),
                link: None,
                is_error: false,
            });
        }
    }
}
