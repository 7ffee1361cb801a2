//! One session after log-in, as a pure state machine.
//!
//! ```text
//! client bytes ─ handle_client ─> command ─> facts ─> outcome ─┬─> to_upstream (behind its audit entry)
//!                                                              ├─> Event::Hold … handle_verdict
//!                                                              └─> ERR
//! upstream bytes ─ handle_upstream ─> the answer to the one command under way ─> masks ─> to_client
//! ```
//!
//! Invariants:
//! - A caller's command goes upstream only with a permit for exactly its bytes, and a text only as it was read.
//! - One command is under way at a time: what a client sends ahead waits, and is read under what the answers before it
//!   have changed.
//! - A row reaches the client only under columns that were planned for this caller.
//! - Memory is bounded: reading stops while what is written out waits, and messages have a limit.
mod ahead;
mod answers;
mod constant;
mod explain;
mod guard;
mod hinted;
mod requests;
mod reveal;
mod shown;
mod tells;
mod variables;
mod veil;

use ahead::{Ahead, Room};

use crate::{
    capabilities::Capabilities,
    codec::{self, upstream::OkPacket},
    facts::{Environment, Kill, Unreadable},
    grammar::{self, Grammar},
    mask::RowMasker,
    render::{self, Rejection},
    secrets::{ClientSecrets, Files},
    startup::Login,
};
use ahash::AHashMap;
use bytes::BytesMut;
use doorward_detect::{Detector, Masker};
use doorward_enforce::{
    ApprovalVerdict, Enforcer, GatewayMessage, Held, Parked, ProtocolSession, Refusal, SessionEnd, SessionEvent,
    StreamPermit, Ticket, UpstreamQueue, Waiting as ParkedWaiting,
};
use doorward_model::{ApprovalId, AuditKind, Name, Secret, Timestamp};
use doorward_sql::{Analysis, Catalogue, mysql::Upstream};
use doorward_sql_session::{Cursor, Freshness, Heard, Known, Meaning, Meanings, Reveals, Running};
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest command of a client, in bytes.
    pub message: usize,
    /// The longest row, in bytes.
    pub row: usize,
    /// How much may wait to be written to either side before reading stops, in bytes.
    pub backlog: usize,
    /// How many prepared statements a session may have.
    pub names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: 64 * 1024 * 1024, row: 64 * 1024 * 1024, backlog: 256 * 1024, names: 10_000 }
    }
}

/// What becomes of a caller whose statement needs an approval: the protocol has no notices.
#[derive(Clone, Debug)]
pub enum Hold {
    /// The statement waits.
    Wait,
    /// It is refused at once with the number of the approval; the same statement passes once approved.
    Retry(Arc<Parked>),
}

/// What only this protocol asks of its driver.
#[derive(Debug)]
pub enum Question {
    /// Ask people about a request whose caller does not wait.
    Park(Box<ParkedWaiting>),
    /// Read a text on a thread with a big stack.
    Read(Arc<[u8]>, Environment),
    /// A reader that knows the schema: as it is now, where it has changed, or as it was a while ago at most.
    Schema {
        /// It has changed, or may have.
        changed: bool,
    },
    /// Once the audit log has the ticket, find the session of this caller with that number, and end it or what it runs.
    Kill(Kill, Ticket),
    /// The client logs in anew: who is it? Packets of the exchange are [`Answer::Say`] and [`Question::LoginPacket`].
    ChangeUser(Login),
    /// A packet of the client meanwhile.
    LoginPacket(Secret<Vec<u8>>),
}

/// What it comes to.
#[derive(Debug)]
pub enum Answer {
    /// What a text means.
    Reading(Result<Arc<Analysis>, Unreadable>),
    /// A reader that knows a newer schema.
    Reader(Result<Arc<Grammar>, String>),
    /// Whether another session was ended.
    Killed(Result<(), Rejection>),
    /// A packet of the log-in for the client; whether it answers.
    Say(Vec<u8>, bool),
    /// Whether the client is who it was, with the schema that it wants.
    User(Result<Option<Vec<u8>>, Rejection>),
}

/// What the driver has to do for the session.
pub type Event = SessionEvent<Question>;

/// A prepared statement.
#[derive(Debug)]
struct Prepared {
    meaning: Arc<Meaning>,
    /// What was sent in place of its text.
    veil: Option<veil::Veil>,
    /// What was known of the schema when its text was read.
    catalogue: Arc<Catalogue>,
    parameters: usize,
    /// The types that were sent with its last execution.
    types: Vec<u16>,
    /// Parameters that came ahead.
    ahead: Ahead,
    /// The columns of its cursor's rows, of which masks are made as they are fetched.
    cursor: Option<reveal::Definitions>,
}

/// What changes once a command has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nothing,
    /// Everything is as after log-in.
    Reset,
}

/// The place within the answer to a statement.
#[derive(Debug)]
enum Phase {
    First,
    Columns { left: usize, definitions: reveal::Definitions },
    ColumnsEnd(reveal::Definitions),
    Rows(Arc<RowMasker>),
}

/// The answer to a statement.
#[derive(Debug)]
struct Results {
    running: Running,
    binary: bool,
    /// The prepared statement whose cursor may be opened.
    statement: Option<u32>,
    phase: Phase,
    /// The columns of a cursor that may be opened.
    cursor: Option<reveal::Definitions>,
    /// The right to send a file.
    file: StreamPermit,
}

/// What the upstream owes.
#[derive(Debug)]
enum Awaiting {
    Idle,
    /// The answer to a command of the gateway's own.
    Own(Own),
    /// OK, EOF or an error.
    Simple(Running, After),
    /// A text without a header.
    Word(Running),
    Results(Box<Results>),
    /// A number, then so many definitions of parameters and columns, each with an end behind it.
    Prepare {
        running: Running,
        meaning: Arc<Meaning>,
        veil: Option<veil::Veil>,
        left: Option<(usize, usize)>,
    },
    /// Definitions of columns up to an end.
    FieldList(Running),
    /// Rows of a cursor.
    Fetch(Running, Arc<RowMasker>),
    /// The client's file goes up.
    File(Box<Results>),
}

/// Commands of the gateway's own.
#[derive(Debug, PartialEq, Eq)]
enum Own {
    Reset,
    /// Values that came ahead of a refused execution are forgotten.
    Forget,
    Track,
    Probe {
        columns: Option<usize>,
        ended: bool,
    },
}

/// What a paused command waits for.
#[derive(Debug)]
enum Pause {
    None,
    Reading {
        text: Arc<[u8]>,
        result: Option<Result<Arc<Analysis>, Unreadable>>,
    },
    /// A fresh schema.
    Schema,
    Approval(Box<Held>, Box<requests::Ask>),
    Killing(Box<Running>),
    /// Who the client is now; `asked`: it was asked something, and its answer has not come.
    Login {
        asked: bool,
    },
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
    /// Reads texts.
    pub reader: Arc<Grammar>,
    /// What it has heard of changes of the schema.
    pub heard: Heard,
    /// What client and gateway speak.
    pub client: Capabilities,
    /// What gateway and upstream speak.
    pub upstream: Capabilities,
    /// The version of the upstream's greeting.
    pub version: String,
    /// The schema that the client connects with: decided like `USE`.
    pub database: Option<Vec<u8>>,
    /// The number of the packet by which the client hears that it is let in.
    pub sequence: u8,
    /// What becomes of statements that need an approval.
    pub hold: Hold,
    /// Its bounds.
    pub limits: Limits,
}

/// A session after log-in.
#[derive(Debug)]
pub struct Session {
    enforcer: Enforcer,
    reader: Arc<Grammar>,
    reveals: Reveals<reveal::Plans>,
    freshness: Freshness,
    heard: Heard,
    /// The schema was read again for the command at hand.
    looked_again: bool,
    /// A snapshot was asked for since others have changed the schema: once for each message, or changes without end would be
    /// waited for without end.
    has_heard: bool,
    client: Capabilities,
    upstream: Capabilities,
    hold: Hold,
    limits: Limits,
    environment: Environment,
    /// Why no text can be read now.
    unreadable: Option<String>,
    statements: AHashMap<u32, Prepared>,
    /// How much of what comes ahead may still be kept to be shown.
    room: Room,
    last_prepared: Option<u32>,
    sql_prepared: AHashMap<Name, Arc<Analysis>>,
    meanings: Meanings,
    /// Hidden columns were touched: warnings may quote their values.
    touched_hidden: bool,
    /// Results come in a character set that lacks characters: in their place stand others, the same for many.
    narrowed: bool,
    /// Results come in the character sets of their columns: characters of a value are not known.
    untranslated: bool,
    awaiting: Awaiting,
    /// Said to the client once the session is as after log-in.
    late: Option<Vec<u8>>,
    /// The schema to begin with then.
    database: Option<Vec<u8>>,
    beginning: bool,
    client_in: BytesMut,
    secrets: ClientSecrets,
    /// The files that the client was asked for.
    files: Files,
    upstream_in: BytesMut,
    to_client: BytesMut,
    to_upstream: UpstreamQueue,
    /// The number of the next packet for the client.
    sequence: u8,
    /// The number of the next packet for the upstream, within an answer of its.
    upstream_sequence: u8,
    /// Status flags as last told.
    status: u16,
    pause: Pause,
    /// The schema has changed, and what it is now is not known yet: nothing is read until then.
    schema_due: bool,
    events: VecDeque<Event>,
    ended: bool,
}

impl Session {
    /// A session whose client has been found to be who it says, and waits to hear so.
    pub fn new(parts: SessionParts) -> Self {
        let catalogue = Arc::clone(parts.reader.catalogue());
        let mut enforcer = parts.enforcer;
        enforcer.know_tags(catalogue.tags());
        let is_mariadb = Upstream::from_greeting(&parts.version).is_some_and(Upstream::is_mariadb);
        let dialect = if is_mariadb { reveal::MARIADB } else { reveal::DIALECT };
        let mut session = Self {
            enforcer,
            reader: parts.reader,
            reveals: Reveals::new(dialect, catalogue, parts.detector, parts.masker),
            freshness: Freshness::default(),
            heard: parts.heard,
            looked_again: false,
            has_heard: false,
            client: parts.client,
            upstream: parts.upstream,
            hold: parts.hold,
            limits: parts.limits,
            environment: Environment { version: parts.version.into(), ..Environment::default() },
            unreadable: None,
            statements: AHashMap::new(),
            last_prepared: None,
            room: Room::default(),
            sql_prepared: AHashMap::new(),
            meanings: Meanings::default(),
            touched_hidden: false,
            narrowed: false,
            untranslated: false,
            awaiting: Awaiting::Idle,
            late: None,
            database: parts.database,
            beginning: true,
            client_in: BytesMut::new(),
            secrets: ClientSecrets::default(),
            files: Files::default(),
            upstream_in: BytesMut::new(),
            to_client: BytesMut::new(),
            to_upstream: UpstreamQueue::new(),
            sequence: parts.sequence,
            upstream_sequence: 0,
            status: codec::upstream::status::AUTOCOMMIT,
            pause: Pause::None,
            schema_due: false,
            events: VecDeque::new(),
            ended: false,
        };
        session.late = Some(session.own_ok());
        session.begin();
        session
    }

    /// Whether a request waits for a human.
    pub const fn is_held(&self) -> bool {
        matches!(self.pause, Pause::Approval(..))
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        matches!(self.awaiting, Awaiting::Idle) && self.client_in.is_empty() && matches!(self.pause, Pause::None)
    }

    /// What became of [`Question::Kill`].
    fn killed(&mut self, outcome: Result<(), Rejection>, now: Timestamp) {
        let Pause::Killing(running) = std::mem::replace(&mut self.pause, Pause::None) else { return };
        match outcome {
            Ok(()) => {
                let ok = self.own_ok();
                self.say(&ok);
                running.completed(&mut self.enforcer, "OK", now);
            }
            Err(rejection) => {
                running.completed(&mut self.enforcer, rejection.sqlstate, now);
                self.reject(&rejection);
            }
        }
    }

    /// The client of [`Question::ChangeUser`] is the caller of this session, or is turned away and the session ends.
    fn changed_user(&mut self, outcome: Result<Option<Vec<u8>>, Rejection>, now: Timestamp) {
        if !matches!(self.pause, Pause::Login { .. }) {
            return;
        }
        self.pause = Pause::None;
        match outcome {
            Ok(database) => {
                self.database = database.filter(|d| !d.is_empty());
                self.beginning = true;
                self.own(Own::Reset, b"\x1f");
            }
            Err(rejection) => {
                let what = rejection.message.clone();
                self.fatal("client", rejection.code, rejection.sqlstate, &what, now);
            }
        }
    }

    /// Writes a packet of the gateway's own to the client.
    fn say(&mut self, payload: &[u8]) {
        crate::mask::put(&mut self.to_client, &mut self.sequence, payload);
    }

    fn reject(&mut self, rejection: &Rejection) {
        let packet = render::rejection(rejection);
        self.say(&packet);
        if self.beginning {
            // Not let in after all: the schema that it wanted is none of its.
            self.ended = true;
            let what = rejection.message.clone();
            self.events.push_back(Event::End(SessionEnd::Fault { at_fault: "policy", what }));
        }
    }

    fn own_ok(&self) -> Vec<u8> {
        render::ok(&OkPacket { status: self.status, ..OkPacket::default() }, self.client)
    }

    /// Begins as after log-in: asks the upstream to tell what changes, and for what is.
    fn begin(&mut self) {
        self.statements.clear();
        self.room = Room::default();
        self.sql_prepared.clear();
        self.last_prepared = None;
        self.touched_hidden = false;
        self.unreadable = None;
        let query = [self.query_head(), TRACK.as_bytes()].concat();
        self.own(Own::Track, &query);
    }

    fn own(&mut self, own: Own, payload: &[u8]) {
        let mut out = Vec::new();
        codec::put_message(&mut out, 0, payload);
        self.to_upstream.push_own(&GatewayMessage::authored(&out));
        self.awaiting = Awaiting::Own(own);
    }

    fn withdraw(&mut self, why: &'static str) {
        if let Pause::Approval(held, _) = std::mem::replace(&mut self.pause, Pause::None) {
            self.events.push_back(Event::Withdraw(held.approval().id, why));
        }
    }

    /// Ends the session with an error in the protocol's own words.
    fn fatal(&mut self, at_fault: &'static str, code: u16, sqlstate: &'static str, message: &str, now: Timestamp) {
        if self.ended {
            return;
        }
        self.withdraw("the session ended");
        let packet = render::error(code, sqlstate, message.as_bytes());
        self.say(&packet);
        self.ended = true;
        let fault = AuditKind::Fault { at_fault: at_fault.to_owned(), what: message.to_owned() };
        // The session ends either way; an audit log that cannot take this has refused everything else too.
        let _kept = self.enforcer.note(fault, now);
        self.events.push_back(Event::End(SessionEnd::Fault { at_fault, what: message.to_owned() }));
    }

    fn client_misbehaved(&mut self, what: &str, now: Timestamp) {
        self.fatal("client", 1156, "08S01", &format!("protocol violation by the client: {what}"), now);
    }

    fn upstream_misbehaved(&mut self, what: &str, now: Timestamp) {
        self.fatal("upstream", 1835, "HY000", &format!("protocol violation by the database server: {what}"), now);
    }
}

/// Asks to be told of what changes how texts are read, besides what servers tell by default. All that are supported can
/// (MySQL 5.7, MariaDB 10.2); with one that cannot, no session is had.
const TRACK: &str = "SET SESSION session_track_schema = ON, session_track_system_variables = \
    'autocommit,character_set_client,character_set_connection,character_set_results,time_zone,sql_mode'";
/// Asks how texts are read.
const PROBE: &str = "SELECT @@sql_mode, @@character_set_client, DATABASE()";

impl Known for Session {
    fn prepared(&self, name: &str) -> Option<Arc<Analysis>> {
        self.sql_prepared.get(name).cloned()
    }

    fn prepared_text(&self, name: &str) -> Option<Arc<str>> {
        let texts = self.sql_prepared.get(name)?.statements.iter().map(|s| s.text.as_deref());
        let texts: Option<Vec<_>> = texts.map(|text| text.map(grammar::shown)).collect();
        Some(texts?.join("; ").into())
    }

    /// Cursors live in procedures alone.
    fn cursor(&self, _: &str) -> Option<Cursor> {
        None
    }
}

impl ProtocolSession for Session {
    type Question = Question;
    type Answer = Answer;

    fn secrets(&mut self, bytes: &[u8]) -> Vec<Range<usize>> {
        self.secrets.find(bytes, self.files)
    }

    fn handle_client(&mut self, bytes: &[u8], now: Timestamp) {
        self.client_in.extend_from_slice(bytes);
        self.pump(now);
    }

    fn handle_upstream(&mut self, bytes: &[u8], now: Timestamp) {
        self.upstream_in.extend_from_slice(bytes);
        self.read_answers(now);
        self.pump(now);
    }

    fn pump(&mut self, now: Timestamp) {
        self.read_requests(now);
        for buffer in [&mut self.client_in, &mut self.upstream_in] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                *buffer = BytesMut::new();
            }
        }
    }

    fn handle_verdict(&mut self, id: ApprovalId, verdict: ApprovalVerdict, now: Timestamp) {
        match std::mem::replace(&mut self.pause, Pause::None) {
            Pause::Approval(held, ask) if held.approval().id == id => {
                let verdict = match self.would_send(&ask, now) {
                    Ok(()) => verdict,
                    // Somebody may have said yes to it; what is hidden since is not theirs to show.
                    Err(refusal) => ApprovalVerdict::Unavailable { reason: refusal.message },
                };
                let outcome = self.enforcer.settle(*held, verdict, now);
                self.carry_out(outcome, *ask, now);
            }
            other @ (Pause::None
            | Pause::Reading { .. }
            | Pause::Schema
            | Pause::Approval(..)
            | Pause::Killing(_)
            | Pause::Login { .. }) => {
                self.pause = other;
            }
        }
        self.pump(now);
    }

    fn handle_answer(&mut self, answer: Answer, now: Timestamp) {
        match answer {
            Answer::Reading(read) => {
                if let Pause::Reading { result, .. } = &mut self.pause {
                    *result = Some(read);
                }
            }
            Answer::Reader(Ok(reader)) => {
                self.enforcer.know_tags(reader.catalogue().tags());
                self.reveals.know(Arc::clone(reader.catalogue()));
                self.reader = reader;
                if self.freshness.renewed() {
                    self.schema_due = false;
                    if matches!(self.pause, Pause::Schema) {
                        self.pause = Pause::None;
                    }
                }
            }
            Answer::Reader(Err(why)) => {
                let waits = self.schema_due || matches!(self.pause, Pause::Schema);
                if !self.freshness.failed(waits) {
                    return self.shut(&format!("the schema of the database could not be read: {why}"), now);
                }
                if waits {
                    self.freshness.ask();
                    self.events.push_back(Event::Ask(Question::Schema { changed: true }));
                }
            }
            Answer::Killed(outcome) => self.killed(outcome, now),
            Answer::Say(packet, asks) => {
                if let Pause::Login { asked } = &mut self.pause {
                    *asked = asks;
                    self.say(&packet);
                }
            }
            Answer::User(outcome) => self.changed_user(outcome, now),
        }
        self.pump(now);
    }

    /// `KILL QUERY` with our number, through another connection.
    fn handle_cancel(&mut self, now: Timestamp) {
        if let Pause::Approval(held, _) = &self.pause {
            let id = held.approval().id;
            self.events.push_back(Event::Withdraw(id, "cancelled by the caller"));
            self.handle_verdict(id, ApprovalVerdict::Withdrawn, now);
        } else if !matches!(self.awaiting, Awaiting::Idle | Awaiting::Own(_)) {
            self.events.push_back(Event::CancelUpstream);
        }
    }

    fn handle_client_gone(&mut self) {
        self.withdraw("the caller went away");
        self.ended = true;
    }

    fn handle_upstream_gone(&mut self, now: Timestamp) {
        self.fatal("upstream", 1927, "70100", "the database server closed the connection", now);
        self.ended = true;
    }

    /// The protocol has no notices: nothing can be said before there is an answer.
    fn say_held(&mut self, _id: ApprovalId, _link: &str, _who: &str, _expires_in: &str) {}

    fn suspend(&mut self, reason: Option<String>) {
        self.enforcer.suspend(reason);
    }

    fn check_welcome(&mut self, now: Timestamp) {
        if let Err(refusal) = self.enforcer.still_welcome(now) {
            let message = Rejection::from(&refusal).message;
            self.fatal("policy", 1927, "70100", &message, now);
        }
    }

    fn shut(&mut self, message: &str, now: Timestamp) {
        self.fatal("gateway", 1053, "08S01", message, now);
    }

    fn note(&mut self, kind: AuditKind, now: Timestamp) -> Result<(), Refusal> {
        self.enforcer.note(kind, now).map(|_| ())
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn is_reading(&self) -> bool {
        matches!(self.pause, Pause::Reading { .. } | Pause::Schema)
    }

    fn wants_client(&self) -> bool {
        let waits = self.schema_due
            || !matches!(self.pause, Pause::None | Pause::Login { asked: true })
            || !matches!(self.awaiting, Awaiting::Idle | Awaiting::File(_));
        !self.ended && self.to_upstream.len() < self.limits.backlog && (!waits || self.client_in.len() < 64 * 1024)
    }

    fn is_at_rest(&self) -> bool {
        matches!(self.awaiting, Awaiting::Idle) && self.to_upstream.is_empty()
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
}
