//! One session after log-in, as a pure state machine.
//!
//! ```text
//! client bytes ─ handle_client ─> frames ─> facts ─> outcome ─┬─> to_upstream (behind its audit entry)
//!                                                             ├─> Event::Hold … handle_verdict
//!                                                             └─> refusal in the right place of the answers
//! upstream bytes ─ handle_upstream ─> answers matched with the pipeline ─> masks ─> to_client
//! ```
//!
//! Invariants:
//! - A caller's frame goes upstream only with a permit for exactly its bytes.
//! - A row reaches the client only under a description that was planned for this caller.
//! - Memory is bounded: reading stops while what is written out waits, and frames have a limit.
mod answers;
mod astray;
mod changes;
mod compares;
mod copied;
mod explain;
mod namesakes;
mod order;
mod requests;
mod reveal;
mod stand;
mod tells;
mod veil;

use crate::{
    codec::{FieldDescription, TypeNumbers},
    copy::CopyMasker,
    mask::RowMasker,
    names::{Lookup, Names},
    pipeline::{Expect, InFlight, Pipeline},
    render,
    settings::Settings,
    shown,
};
use ahash::AHashMap;
use bytes::BytesMut;
use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    ApprovalVerdict, Enforcer, Held, NotShown, ProtocolSession, Refusal, SessionEnd, SessionEvent, Shown, UpstreamQueue,
};
use doorward_model::{ApprovalId, AuditKind, Timestamp};
use doorward_sql::{
    Catalogue, ReadUnder as _,
    postgres::{Analysis, AnalysisCache, Cost, Environment, SqlError, analyse, cost},
};
use doorward_sql_session::{Cursor, Freshness, Heard, Known, Meaning, Meanings, Reveals, besides};
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, atomic::Ordering},
};

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest statement text, in bytes.
    pub statement: usize,
    /// The longest message of a client, in bytes.
    pub message: usize,
    /// The longest row or COPY line that is looked into, in bytes.
    pub row: usize,
    /// How much may wait to be written to either side before reading stops, in bytes.
    pub backlog: usize,
    /// How many statements or portals a session may have open.
    pub names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement: 16 * 1024 * 1024,
            message: 64 * 1024 * 1024,
            row: 64 * 1024 * 1024,
            backlog: 256 * 1024,
            names: 10_000,
        }
    }
}

/// A prepared statement of the protocol.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) meaning: Arc<Meaning>,
    /// What it was read under: another search path or catalogue means another reading.
    pub(crate) environment: Arc<Environment>,
    /// What was sent in place of its text.
    pub(crate) veil: Option<Arc<veil::Veil>>,
    /// The types of its parameters, as the client gave them; 0 where it did not.
    pub(crate) given_types: Box<[u32]>,
    /// The same as the upstream has said.
    pub(crate) told_types: OnceLock<Box<[u32]>>,
    /// Its row description, once the upstream has given one.
    pub(crate) fields: OnceLock<Arc<[FieldDescription]>>,
}

impl Prepared {
    /// A statement of which nothing is known but what it means.
    fn new(meaning: Arc<Meaning>, environment: Arc<Environment>) -> Self {
        let (given_types, told_types, fields) = (Box::default(), OnceLock::new(), OnceLock::new());
        Self { meaning, environment, veil: None, given_types, told_types, fields }
    }

    fn told_types(&self, types: TypeNumbers<'_>) {
        let _first_stays = self.told_types.set(types.iter().collect());
    }

    /// The type of a parameter, where it is known.
    fn type_of(&self, parameter: usize) -> Option<u32> {
        // The server finds out what none (0) and `unknown` (705) stand for, and may take it for anything.
        let known = |types: &[u32]| types.get(parameter).copied().filter(|number| !matches!(number, 0 | 705));
        self.told_types.get().and_then(|types| known(types)).or_else(|| known(&self.given_types))
    }
}

/// A statement prepared by `PREPARE`.
#[derive(Debug)]
struct SqlPrepared {
    analysis: Arc<Analysis>,
    /// What was sent with `PREPARE` in it.
    text: Arc<str>,
    /// As the protocol sees it: a statement of that name.
    prepared: Arc<Prepared>,
}

/// A portal: a prepared statement with its parameters.
#[derive(Debug)]
pub(crate) struct Portal {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) meaning: Arc<Meaning>,
    /// The Bind message, which an approval binds.
    pub(crate) bind: Vec<u8>,
    pub(crate) result_formats: Box<[i16]>,
    /// Its row description with formats, once known.
    pub(crate) fields: OnceLock<Arc<[FieldDescription]>>,
    /// Whether an Execute of it has gone upstream.
    pub(crate) started: std::sync::atomic::AtomicBool,
    /// Whether what it changes for later statements has been taken note of.
    pub(crate) applied: std::sync::atomic::AtomicBool,
}

impl Portal {
    /// What people are shown of it besides its text.
    fn shown(&self) -> Result<Shown, NotShown> {
        let sent = self.prepared.veil.as_ref().map(|veil| &*veil.text);
        let parameters = shown::parameters(&self.bind, |parameter| self.prepared.type_of(parameter))?;
        Ok(Shown { parameters, ..besides(&self.meaning, sent) })
    }

    /// Whether it was bound under what its statement was prepared under.
    fn means_as_prepared(&self) -> bool {
        Arc::ptr_eq(&self.meaning, &self.prepared.meaning)
    }

    /// Its row description, if one is known. Read anew under another search path, the statement shows other tables.
    fn described(&self) -> Option<&Arc<[FieldDescription]>> {
        let prepared = if self.means_as_prepared() { self.prepared.fields.get() } else { None };
        self.fields.get().or(prepared)
    }
}

/// What only this protocol asks of its driver.
#[derive(Debug)]
pub enum Question {
    /// Read a text on a thread with a big stack.
    Analyse(Arc<str>, Arc<Environment>),
    /// A snapshot of the schema: made after this, where it has changed, or of a while ago at most.
    Catalogue {
        /// It has changed, or may have.
        changed: bool,
        /// Views that it is waited for, a while at most, that they are not locked.
        locked: Vec<u32>,
    },
}

/// What it comes to.
#[derive(Debug)]
pub enum Answer {
    /// What a text means.
    Analysis(Result<Arc<Analysis>, SqlError>),
    /// A newer snapshot of the schema, or why there is none.
    Catalogue(Result<Arc<Catalogue>, String>),
}

/// What the driver has to do for the session.
pub type Event = SessionEvent<Question>;

/// What a paused message waits for.
#[derive(Debug)]
enum Pause {
    None,
    /// Earlier answers, because they change what the next text means.
    Answers,
    /// The reading of a text on another thread.
    Analysis {
        text: Arc<str>,
        result: Option<Result<Arc<Analysis>, SqlError>>,
    },
    /// A fresh catalogue.
    Catalogue,
    /// A human.
    Approval(Box<Waiting>),
}

/// A held request with what is needed to go on.
#[derive(Debug)]
struct Waiting {
    held: Held,
    frame: bytes::Bytes,
    meaning: Arc<Meaning>,
    portal: Option<Arc<Portal>>,
}

/// What the session keeps of answers in progress.
#[derive(Debug, Default)]
struct Answering {
    /// The masks for the rows that follow.
    masker: Option<Arc<RowMasker>>,
    copy_out: Option<Box<CopyMasker>>,
    /// The client may send COPY data, and Sync is ignored by the upstream.
    copy_in: bool,
    /// Bytes of a frame that is passed through without being kept.
    passing: usize,
    /// An error was answered in this transaction, and nothing was rolled back to since.
    failed: bool,
    /// What was refused in place of rows that could not be masked.
    discarding: Option<Refusal>,
}

/// What a session is made of.
#[derive(Debug)]
pub struct SessionParts {
    /// The enforcement point of the session.
    pub enforcer: Enforcer,
    /// Finds sensitive values.
    pub detector: Arc<Detector>,
    /// Masks them.
    pub masker: Arc<Masker>,
    /// Remembers what texts mean.
    pub cache: Arc<AnalysisCache>,
    /// The schema.
    pub catalogue: Arc<Catalogue>,
    /// What it has heard of changes of the schema.
    pub heard: Heard,
    /// The search path the session starts with.
    pub search_path: String,
    /// The user whose session it is.
    pub user: String,
    /// The role that it starts with, where that is another.
    pub role: Option<String>,
    /// Its bounds.
    pub limits: Limits,
    /// Whether the server keeps names as UTF-8. In another encoding it cuts them elsewhere, and takes some for one that are two.
    pub names_are_utf8: bool,
}

/// A session after log-in.
#[derive(Debug)]
pub struct Session {
    enforcer: Enforcer,
    reveals: Reveals<reveal::Plans>,
    freshness: Freshness,
    heard: Heard,
    /// The schema was read again for the message at hand.
    looked_again: bool,
    /// A snapshot was asked for since others have changed the schema: once for each message, or changes without end would be
    /// waited for without end.
    has_heard: bool,
    cache: Arc<AnalysisCache>,
    limits: Limits,
    names_are_utf8: bool,
    settings: Settings,
    statements: Names<Prepared>,
    portals: Names<Portal>,
    sql_prepared: AHashMap<Box<str>, SqlPrepared>,
    cursors: AHashMap<Box<str>, Cursor>,
    pipeline: Pipeline,
    answering: Answering,
    meanings: Meanings,
    /// Hidden columns were touched in this transaction.
    touched_hidden: bool,
    client_in: BytesMut,
    upstream_in: BytesMut,
    /// Bytes of an over-long client message that are still to be dropped.
    dropping: usize,
    to_client: BytesMut,
    /// The gateway's own messages that wait for the end of one that is being passed through.
    late: Vec<u8>,
    to_upstream: UpstreamQueue,
    /// The upstream has ended the session with an error of its own.
    upstream_said_goodbye: bool,
    /// The segment that the next client message belongs to.
    segment: u64,
    /// Messages of this segment have gone upstream.
    segment_open: bool,
    /// Everything up to the next Sync is skipped, as after an error.
    skipping: bool,
    /// Transaction status as last told to the client: `I`, `T` or `E`.
    status: u8,
    pause: Pause,
    flushed_for_pause: bool,
    events: VecDeque<Event>,
    ended: bool,
}

impl Session {
    /// A session whose client has been told that it may begin.
    pub fn new(parts: SessionParts) -> Self {
        let limits = parts.limits;
        let mut enforcer = parts.enforcer;
        enforcer.know_tags(parts.catalogue.tags());
        Self {
            settings: Settings::new(&parts.search_path, &parts.user).begun_as(parts.role.as_deref()),
            enforcer,
            reveals: Reveals::new(reveal::DIALECT, parts.catalogue, parts.detector, parts.masker),
            freshness: Freshness::default(),
            heard: parts.heard,
            looked_again: false,
            has_heard: false,
            cache: parts.cache,
            limits,
            names_are_utf8: parts.names_are_utf8,
            statements: Names::new(limits.names),
            portals: Names::new(limits.names),
            sql_prepared: AHashMap::new(),
            cursors: AHashMap::new(),
            pipeline: Pipeline::default(),
            answering: Answering::default(),
            meanings: Meanings::default(),
            touched_hidden: false,
            late: Vec::new(),
            upstream_said_goodbye: false,
            client_in: BytesMut::new(),
            upstream_in: BytesMut::new(),
            dropping: 0,
            to_client: BytesMut::new(),
            to_upstream: UpstreamQueue::new(),
            segment: 1,
            segment_open: false,
            skipping: false,
            status: b'I',
            pause: Pause::None,
            flushed_for_pause: false,
            events: VecDeque::new(),
            ended: false,
        }
    }

    /// Whether a request waits for a human.
    pub const fn is_held(&self) -> bool {
        matches!(self.pause, Pause::Approval(_))
    }

    /// Whether nothing is under way: no answer is owed and no message is half read.
    pub fn is_idle(&self) -> bool {
        self.pipeline.is_empty() && self.client_in.is_empty() && matches!(self.pause, Pause::None)
    }

    /// The reading of a text that was asked for.
    fn take_analysis(&mut self, read: Result<Arc<Analysis>, SqlError>) {
        if let Pause::Analysis { result, .. } = &mut self.pause {
            *result = Some(read);
        }
    }

    /// A newer snapshot of the schema.
    fn take_catalogue(&mut self, catalogue: Arc<Catalogue>) {
        self.enforcer.know_tags(catalogue.tags());
        self.reveals.know(catalogue);
        let is_newest = self.freshness.renewed();
        if is_newest && matches!(self.pause, Pause::Catalogue) {
            self.pause = Pause::None;
        }
    }

    /// Gives memory back that an idle session does not need.
    fn release(&mut self) {
        for buffer in [&mut self.client_in, &mut self.upstream_in] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                *buffer = BytesMut::new();
            }
        }
    }

    fn push(&mut self, expect: Expect, own: bool, barrier: bool) {
        let message = InFlight { expect, refusal: None, own, barrier };
        self.pipeline.push(message);
    }

    /// Ends the session with a FATAL error in the protocol's own words.
    fn fatal(&mut self, at_fault: &'static str, code: &str, message: &str, hint: Option<&str>, now: Timestamp) {
        if self.ended {
            return;
        }
        if let Pause::Approval(waiting) = std::mem::replace(&mut self.pause, Pause::None) {
            self.events.push_back(Event::Withdraw(waiting.held.approval().id, "the session ended"));
        }
        if self.answering.passing == 0 {
            // In the middle of a message of the upstream there is no place for one of ours.
            render::error(&mut self.to_client, "FATAL", code, message, None, hint);
        }
        self.ended = true;
        let fault = AuditKind::Fault { at_fault: at_fault.to_owned(), what: message.to_owned() };
        // The session ends either way; an audit log that cannot take this has refused everything else too.
        let _kept = self.enforcer.note(fault, now);
        self.events.push_back(Event::End(SessionEnd::Fault { at_fault, what: message.to_owned() }));
    }

    fn client_misbehaved(&mut self, what: &str, now: Timestamp) {
        self.fatal("client", "08P01", &format!("protocol violation by the client: {what}"), None, now);
    }

    fn upstream_misbehaved(&mut self, what: &str, now: Timestamp) {
        self.fatal("upstream", "08P01", &format!("protocol violation by the database server: {what}"), None, now);
    }
}

impl ProtocolSession for Session {
    type Question = Question;
    type Answer = Answer;

    fn handle_client(&mut self, bytes: &[u8], now: Timestamp) {
        self.client_in.extend_from_slice(bytes);
        self.pump(now);
    }

    fn handle_upstream(&mut self, bytes: &[u8], now: Timestamp) {
        self.read_answers(bytes, now);
        if self.skipping
            && let Pause::Approval(waiting) = &self.pause
        {
            let id = waiting.held.approval().id;
            self.events.push_back(Event::Withdraw(id, "a statement before it failed"));
            return self.handle_verdict(id, ApprovalVerdict::Withdrawn, now);
        }
        self.pump(now);
    }

    fn pump(&mut self, now: Timestamp) {
        self.read_requests(now);
        self.release();
    }

    fn handle_verdict(&mut self, id: ApprovalId, verdict: ApprovalVerdict, now: Timestamp) {
        match std::mem::replace(&mut self.pause, Pause::None) {
            Pause::Approval(waiting) if waiting.held.approval().id == id => self.settle(*waiting, verdict, now),
            other @ (Pause::None | Pause::Answers | Pause::Analysis { .. } | Pause::Catalogue | Pause::Approval(_)) => {
                self.pause = other;
            }
        }
        self.pump(now);
    }

    fn handle_cancel(&mut self, now: Timestamp) {
        if let Pause::Approval(waiting) = &self.pause {
            let id = waiting.held.approval().id;
            self.events.push_back(Event::Withdraw(id, "cancelled by the caller"));
            self.handle_verdict(id, ApprovalVerdict::Withdrawn, now);
        } else {
            self.events.push_back(Event::CancelUpstream);
        }
    }

    fn is_reading(&self) -> bool {
        matches!(self.pause, Pause::Analysis { .. } | Pause::Catalogue)
    }

    fn handle_client_gone(&mut self) {
        if let Pause::Approval(waiting) = std::mem::replace(&mut self.pause, Pause::None) {
            self.events.push_back(Event::Withdraw(waiting.held.approval().id, "the caller went away"));
        }
        self.ended = true;
    }

    fn handle_upstream_gone(&mut self, now: Timestamp) {
        if !self.upstream_said_goodbye {
            self.fatal("upstream", "08006", "the database server closed the connection", None, now);
        }
        self.ended = true;
    }

    fn handle_answer(&mut self, answer: Answer, now: Timestamp) {
        match answer {
            Answer::Analysis(read) => self.take_analysis(read),
            Answer::Catalogue(Ok(catalogue)) => self.take_catalogue(catalogue),
            Answer::Catalogue(Err(why)) => {
                let waits = matches!(self.pause, Pause::Catalogue);
                if !self.freshness.failed(waits) {
                    return self.shut(&format!("the schema of the database could not be read: {why}"), now);
                }
                if waits {
                    self.freshness.ask();
                    self.events.push_back(Event::Ask(Question::Catalogue { changed: true, locked: Vec::new() }));
                }
            }
        }
        self.pump(now);
    }

    fn suspend(&mut self, reason: Option<String>) {
        self.enforcer.suspend(reason);
    }

    fn check_welcome(&mut self, now: Timestamp) {
        if let Err(refusal) = self.enforcer.still_welcome(now) {
            self.fatal("policy", "57P01", &refusal.message, refusal.hint.as_deref(), now);
        }
    }

    fn shut(&mut self, message: &str, now: Timestamp) {
        self.fatal("gateway", "57P01", message, None, now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn wants_client(&self) -> bool {
        !self.ended
            && matches!(self.pause, Pause::None | Pause::Approval(_))
            && self.to_upstream.len() < self.limits.backlog
            && !self.pipeline.is_full()
            && (matches!(self.pause, Pause::None) || self.client_in.len() < 64 * 1024)
    }

    fn is_at_rest(&self) -> bool {
        self.pipeline.is_empty() && self.to_upstream.is_empty()
    }

    fn wants_upstream(&self) -> bool {
        !self.ended && self.to_client.len() < self.limits.backlog
    }

    fn to_client(&mut self) -> &mut BytesMut {
        &mut self.to_client
    }

    fn to_upstream(&mut self) -> &mut UpstreamQueue {
        &mut self.to_upstream
    }

    fn generation(&self) -> u64 {
        self.enforcer.generation()
    }

    fn note(&mut self, kind: AuditKind, now: Timestamp) -> Result<(), Refusal> {
        self.enforcer.note(kind, now).map(|_| ())
    }

    fn say_held(&mut self, id: ApprovalId, link: &str, who: &str, expires_in: &str) {
        let message = format!("waiting for approval {id} by {who}, for at most {expires_in}");
        let hint = format!("decide at {link} or with: doorward approvals approve {id}");
        let mut out = Vec::new();
        render::notice(&mut out, "00000", &message, Some(&hint));
        self.say(&out);
    }
}

impl Session {
    /// What a text prepares under a name, read now.
    fn prepared_anew(&self, name: &str, text: &Arc<str>, now: &Environment) -> Option<Arc<Analysis>> {
        let read = match self.cache.find(text, now) {
            Some(read) => read,
            None if cost(text) == Cost::Inline => {
                let read = Arc::new(analyse(text, now).ok()?);
                self.cache.insert(text, now, Arc::clone(&read));
                read
            }
            None => return None,
        };
        let mut effects = read.statements.iter().rev().flat_map(|statement| statement.effects.iter().rev());
        effects.find_map(|effect| effect.prepares(name)).cloned()
    }
}

impl Known for Session {
    fn prepared(&self, name: &str) -> Option<Arc<Analysis>> {
        let known = self.sql_prepared.get(name)?;
        let now = self.settings.environment_now(self.reveals.catalogue())?;
        if now.reads_as(&known.prepared.environment) {
            return Some(Arc::clone(&known.analysis));
        }
        // Under another search path or schema it may mean something else: the server reads what it was sent anew.
        self.prepared_anew(name, &known.text, &now).filter(|read| *read == known.analysis)
    }

    fn prepared_text(&self, name: &str) -> Option<Arc<str>> {
        self.sql_prepared.get(name).map(|known| Arc::clone(&known.text))
    }

    fn cursor(&self, name: &str) -> Option<Cursor> {
        match self.portals.lookup(name, self.segment) {
            // FETCH runs a portal that nobody has executed: what it would do has not been decided yet.
            Lookup::One(portal) if portal.started.load(Ordering::Relaxed) => {
                let lineage = portal.meaning.parts.first().and_then(|p| p.lineage.clone())?;
                let as_written = veil::is_sent_as_it_is(&portal.meaning);
                Some(Cursor { facts: Arc::clone(&portal.meaning.facts), lineage, as_written })
            }
            Lookup::One(_) | Lookup::Ambiguous => None,
            Lookup::Unknown => self.cursors.get(name).cloned(),
        }
    }
}

/// The text of a message as UTF-8: the session's encoding, which the server checks too.
fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
