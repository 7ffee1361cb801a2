//! The client's commands: read, decided, forwarded, held or refused.
use super::{
    After, Awaiting, Event, Hold, Own, Pause, Phase, Prepared, Question, Results, Session, guard, shown::shown,
    veil::Veil,
};
use crate::{
    codec::{
        self,
        client::{self, Bound, BulkExecute, Command, Execute, command},
    },
    facts::{self, Kill, Unreadable},
    grammar,
    render::Rejection,
    startup::Login,
};
use doorward_enforce::{AtOnce, GatewayMessage, Outcome, Refusal, Request, SessionEnd, nothing_else};
use doorward_model::{Access, Facts, Name, Resource, Secret, Timestamp};
use doorward_sql::{Analysis, Catalogue};
use doorward_sql_session::{
    Look, Meaning, Part, Running,
    refusals::{not_understood, nothing_sent, too_many_statements},
};
use std::sync::Arc;

/// What became of a command.
enum Step {
    /// Dealt with.
    Done,
    /// It is read again once what it waits for is there.
    Wait,
}

/// What a text turned out to be.
enum Reading {
    Wait,
    Refused(Rejection),
    Read(Arc<Meaning>),
}

/// What is done once a command may go.
#[derive(Debug)]
enum Next {
    Results { binary: bool, statement: Option<u32> },
    Simple(After),
    Word,
    FieldList,
    Kill(Kill),
}

/// A command to be decided.
#[derive(Debug)]
pub(super) struct Ask {
    via: &'static str,
    pub(super) meaning: Arc<Meaning>,
    /// What is sent, or was prepared, in place of its text.
    pub(super) veil: Option<Veil>,
    /// What is sent: the bytes that the permit is for.
    pub(super) frame: Vec<u8>,
    /// What else an approval binds: parameters, and long data by their digests.
    bound: Vec<u8>,
    /// The prepared statement it runs.
    runs: Option<Runs>,
    next: Next,
}

/// The execution of a prepared statement.
#[derive(Debug)]
pub(super) struct Runs {
    id: u32,
    /// What the upstream will take its parameters for, from then on.
    types: Vec<u16>,
}

/// The longest packet of a log-in, in bytes: a token with room for what is around it.
const LONGEST_LOGIN: usize = 96 * 1024;
/// MariaDB's word for the last statement prepared.
const LAST_PREPARED: u32 = u32::MAX;

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 4);
    codec::put_message(&mut out, 0, payload);
    out
}

impl Session {
    /// Reads commands of the client until there are none, or one has to wait.
    pub(super) fn read_requests(&mut self, now: Timestamp) {
        while !self.ended && self.may_read() && self.knows_the_schema(now) {
            if matches!(self.awaiting, Awaiting::File(_)) {
                if !self.file_packet(now) {
                    return;
                }
                continue;
            }
            let logs_in = matches!(self.pause, Pause::Login { .. });
            let longest = if logs_in { LONGEST_LOGIN } else { self.limits.message };
            let message = match codec::message(&self.client_in, longest) {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(e) => return self.client_misbehaved(&e.to_string(), now),
            };
            let (wire, first, next) = (message.wire, message.sequence, message.next_sequence());
            let frame = self.client_in.split_to(wire);
            let Ok(Some(message)) = codec::message(&frame, self.limits.message) else { return };
            if logs_in {
                if first != self.sequence {
                    return self.client_misbehaved("packets of a log-in out of order", now);
                }
                self.sequence = next;
                self.pause = Pause::Login { asked: false };
                let packet = Secret::new(message.payload.into_owned());
                self.events.push_back(Event::Ask(Question::LoginPacket(packet)));
                continue;
            }
            if first != 0 {
                return self.client_misbehaved("a command that is not numbered 0", now);
            }
            self.sequence = next;
            if matches!(self.request(&message.payload, now), Step::Wait) {
                let rest = std::mem::replace(&mut self.client_in, frame);
                self.client_in.unsplit(rest);
                return;
            }
            (self.looked_again, self.has_heard) = (false, false);
        }
    }

    /// Whether the next command may be read: under a snapshot that is not too old.
    fn knows_the_schema(&mut self, now: Timestamp) -> bool {
        if self.client_in.is_empty() || !matches!(self.awaiting, Awaiting::Idle) {
            return true;
        }
        // Nothing is lost with what was read of a text: it means another thing now.
        if !self.has_heard && matches!(self.pause, Pause::None | Pause::Reading { .. }) && self.heard.hears() {
            self.has_heard = true;
            self.freshness.ask();
            self.events.push_back(Event::Ask(Question::Schema { changed: true }));
            self.pause = Pause::Schema;
            return false;
        }
        let look = self.freshness.look(now);
        if matches!(look, Look::Ask | Look::Wait { ask: true }) {
            self.events.push_back(Event::Ask(Question::Schema { changed: false }));
        }
        let waits = matches!(look, Look::Wait { .. }) && matches!(self.pause, Pause::None);
        if waits {
            self.pause = Pause::Schema;
        }
        !waits
    }

    fn may_read(&self) -> bool {
        let is_free = match &self.pause {
            Pause::None | Pause::Login { asked: true } | Pause::Reading { result: Some(_), .. } => true,
            Pause::Reading { result: None, .. }
            | Pause::Schema
            | Pause::Approval(..)
            | Pause::Killing(_)
            | Pause::Login { asked: false } => false,
        };
        is_free
            && !self.schema_due
            && matches!(self.awaiting, Awaiting::Idle | Awaiting::File(_))
            && self.to_upstream.len() < self.limits.backlog
    }

    /// One packet of a file that the upstream has asked for; an empty one ends it.
    fn file_packet(&mut self, now: Timestamp) -> bool {
        let Some((length, number)) = codec::header(&self.client_in) else { return false };
        if number != self.sequence {
            // A command sent ahead is no part of a file.
            self.client_misbehaved("packets of a file out of order", now);
            return false;
        }
        if self.client_in.len() < 4 + length {
            return false;
        }
        let packet = self.client_in.split_to(4 + length);
        let Awaiting::File(results) = &self.awaiting else { return false };
        // Numbered as the upstream counts.
        let mut own = Vec::with_capacity(packet.len());
        own.extend_from_slice(packet.get(..3).unwrap_or_default());
        own.push(self.upstream_sequence);
        own.extend_from_slice(packet.get(4..).unwrap_or_default());
        self.upstream_sequence = self.upstream_sequence.wrapping_add(1);
        self.to_upstream.push_stream(&results.file, &own);
        self.sequence = self.sequence.wrapping_add(1);
        if length == 0
            && let Awaiting::File(results) = std::mem::replace(&mut self.awaiting, Awaiting::Idle)
        {
            self.awaiting = Awaiting::Results(results);
        }
        true
    }

    fn request(&mut self, payload: &[u8], now: Timestamp) -> Step {
        let command = match command(payload, self.client) {
            Ok(command) => command,
            Err(e) => {
                self.refuse_unread(
                    &[],
                    &Rejection::new(1835, "HY000", format!("Malformed communication packet: {e}")),
                    now,
                );
                return Step::Done;
            }
        };
        match command {
            Command::Quit => {
                self.ended = true;
                self.events.push_back(Event::End(SessionEnd::Terminated));
                self.to_upstream.push_own(&GatewayMessage::authored(&framed(b"\x01")));
            }
            Command::Query { text, .. } => {
                let head = payload.len() - text.len();
                return self.on_text(text, payload.get(..head).unwrap_or_default(), now);
            }
            Command::InitDb(_)
            | Command::CreateDb(_)
            | Command::DropDb(_)
            | Command::ProcessInfo
            | Command::ProcessKill(_)
            | Command::Shutdown
            | Command::Refresh(_)
            | Command::FieldList { .. } => return self.on_stand_in(&command, payload, now),
            Command::Ping => self.on_own_kind("PING", payload, Next::Simple(After::Nothing), now),
            Command::Statistics => self.on_own_kind("STATUS", payload, Next::Word, now),
            Command::SetOption(_) => self.on_own_kind("SET OPTION", payload, Next::Simple(After::Nothing), now),
            Command::ResetConnection => self.on_own_kind("RESET CONNECTION", payload, Next::Simple(After::Reset), now),
            Command::Prepare(text) => return self.on_prepare(text, now),
            Command::Execute(execute) => self.on_execute(&execute, payload, now),
            Command::BulkExecute(bulk) => self.on_bulk_execute(&bulk, payload, now),
            Command::LongData { statement, parameter, data } => {
                self.on_long_data(statement, parameter, data, payload, now)
            }
            Command::CloseStatement(id) => self.on_close(id, payload, now),
            Command::ResetStatement(id) => self.on_reset_statement(id, payload, now),
            Command::Fetch { statement, .. } => self.on_fetch(statement, payload, now),
            Command::ChangeUser(_) if payload.len() > LONGEST_LOGIN => {
                self.client_misbehaved("a log-in that is too long", now);
            }
            Command::ChangeUser(change) => {
                self.pause = Pause::Login { asked: false };
                let login = Login {
                    user: change.user.to_vec(),
                    response: change.response.to_vec(),
                    database: Some(change.database.to_vec()).filter(|d| !d.is_empty()),
                    plugin: change.plugin.to_vec(),
                    ..Login::default()
                };
                self.events.push_back(Event::Ask(Question::ChangeUser(login)));
            }
            Command::Debug => self.refuse_unread(b"COM_DEBUG", &Rejection::not_offered("COM_DEBUG"), now),
            Command::Replication(n) | Command::Internal(n) | Command::Unknown(n) => {
                let what = format!("command 0x{n:02x}");
                self.refuse_unread(what.as_bytes(), &Rejection::not_offered(&what), now);
            }
        }
        Step::Done
    }

    /// A text: `head` is what stands before it in its command (query attributes).
    fn on_text(&mut self, text: &[u8], head: &[u8], now: Timestamp) -> Step {
        let meaning = match self.read_text(text) {
            Reading::Wait => return Step::Wait,
            Reading::Refused(rejection) => {
                self.refuse_unread(text, &rejection, now);
                return Step::Done;
            }
            Reading::Read(meaning) => meaning,
        };
        let admissible = self.admissible(&meaning, now);
        let (veil, admissible) = self.veiled(admissible, &meaning, now);
        let payload = [head, &sent(&meaning, veil.as_ref())].concat();
        let next = match meaning.parts.as_slice() {
            [only] if only.kill.is_some() => only.kill.map_or(Next::Word, Next::Kill),
            _ => Next::Results { binary: false, statement: None },
        };
        let bound = head.to_vec();
        let ask = Ask { via: "query", veil, frame: framed(&payload), meaning, bound, runs: None, next };
        self.decide(ask, admissible, now);
        Step::Done
    }

    /// A command of old, decided as the statement that took its place, and sent as that.
    pub(super) fn on_stand_in_text(&mut self, text: &str, now: Timestamp) -> bool {
        let head = self.query_head();
        matches!(self.on_text(text.as_bytes(), head, now), Step::Done)
    }

    fn on_stand_in(&mut self, command: &Command<'_>, payload: &[u8], now: Timestamp) -> Step {
        let Some(text) = facts::stands_for(command) else {
            let rejection = Rejection::not_offered("a command with a name that is no UTF-8, or with unknown options,");
            self.refuse_unread(payload, &rejection, now);
            return Step::Done;
        };
        // Query attributes belong to queries of the client.
        let head: &[u8] =
            if self.upstream.has(crate::Capabilities::QUERY_ATTRIBUTES) { b"\x03\0\x01" } else { b"\x03" };
        if !matches!(command, Command::FieldList { .. }) {
            return self.on_text(text.as_bytes(), head, now);
        }
        match self.read_text(text.as_bytes()) {
            Reading::Wait => return Step::Wait,
            Reading::Refused(rejection) => self.refuse_unread(text.as_bytes(), &rejection, now),
            Reading::Read(meaning) => {
                let frame = framed(payload);
                let next = Next::FieldList;
                let admissible = self.admissible(&meaning, now);
                let (via, veil, bound) = ("field list", None, Vec::new());
                self.decide(Ask { via, veil, frame, meaning, bound, runs: None, next }, admissible, now);
            }
        }
        Step::Done
    }

    /// What needs nothing but the session itself.
    fn on_own_kind(&mut self, command: &str, payload: &[u8], next: Next, now: Timestamp) {
        let facts = Arc::clone(self.enforcer.connect_facts());
        let facts = Arc::new(Facts::new(command, 1, facts.accesses.clone()));
        let meaning = Arc::new(Meaning::without_text(command, Arc::clone(&facts)));
        let frame = framed(payload);
        match self.enforcer.follow(&facts, &frame, now) {
            Ok(permit) => {
                let ask = Ask { via: "command", meaning, veil: None, frame, bound: Vec::new(), runs: None, next };
                self.carry_out(Outcome::Forward(permit), ask, now);
            }
            Err(refusal) => self.reject(&Rejection::from(&refusal)),
        }
    }

    fn on_prepare(&mut self, text: &[u8], now: Timestamp) -> Step {
        self.last_prepared = None;
        let meaning = match self.read_text(text) {
            Reading::Wait => return Step::Wait,
            Reading::Refused(rejection) => {
                self.refuse_unread(text, &rejection, now);
                return Step::Done;
            }
            Reading::Read(meaning) => meaning,
        };
        let fits = |s: &Part| s.kill.is_none() && !s.by_name && s.upload.is_none();
        if meaning.parts.len() != 1 || !meaning.parts.iter().all(fits) {
            let message = "This command is not supported in the prepared statement protocol yet";
            self.refuse_unread(text, &Rejection::new(1295, "HY000", message), now);
            return Step::Done;
        }
        let is_full = self.statements.len() >= self.limits.names;
        let admissible =
            if is_full { Err(too_many_statements(self.limits.names)) } else { self.admissible(&meaning, now) };
        let (veil, admissible) = self.veiled(admissible, &meaning, now);
        let payload = [b"\x16", sent(&meaning, veil.as_ref()).as_slice()].concat();
        let frame = framed(&payload);
        let request =
            Request { via: "prepare", statement: &meaning.text, shown: &nothing_else, bound: &[], payload: &frame };
        match self.enforcer.prepare_if(admissible, &meaning.facts, &request, now) {
            Ok(permit) => {
                let running = self.running(&meaning);
                if let Err(e) = self.to_upstream.push(permit, &frame) {
                    self.fatal("gateway", 1105, "HY000", &e.to_string(), now);
                }
                self.awaiting = Awaiting::Prepare { running, meaning, veil, left: None };
            }
            Err(refusal) => self.reject(&Rejection::from(&refusal)),
        }
        Step::Done
    }

    /// A prepared statement by the number that the client gives it.
    fn prepared(&mut self, id: u32, command: &str) -> Option<u32> {
        let id = if id == LAST_PREPARED { self.last_prepared.unwrap_or(id) } else { id };
        if self.statements.contains_key(&id) {
            return Some(id);
        }
        self.reject(&Rejection::no_such_statement(id, command));
        None
    }

    fn on_execute(&mut self, execute: &Execute<'_>, payload: &[u8], now: Timestamp) {
        let Some(id) = self.prepared(execute.statement, "mysqld_stmt_execute") else { return };
        let Some(meaning) = self.statements.get(&id).map(|prepared| Arc::clone(&prepared.meaning)) else { return };
        let writes_hidden = self.writes_hidden(&meaning, now);
        let Some(prepared) = self.statements.get_mut(&id) else { return };
        let long = prepared.ahead.parameters();
        let bound = Bound { count: prepared.parameters, types: &prepared.types, long: &long };
        let parameters = match client::parameters(execute, &bound, self.client) {
            Ok(parameters) if execute.iterations == 1 => parameters,
            Ok(_) | Err(_) => {
                return self.reject(&Rejection::new(1210, "HY000", "Incorrect arguments to mysqld_stmt_execute"));
            }
        };
        let types: Vec<u16> = parameters.iter().map(|p| p.kind).collect();
        let bound = values(prepared, u16::from(execute.flags), &types, execute.rest);
        prepared.cursor = None;
        let texts = if writes_hidden { guard::short_texts(prepared, &parameters) } else { Ok(Vec::new()) };
        let veil = prepared.veil.clone();
        let catalogue = Arc::clone(&prepared.catalogue);
        // What runs others has results of theirs, and cursors of theirs are told of as if they were the caller's.
        let is_query =
            matches!(meaning.parts.as_slice(), [part] if matches!(&*part.command, "SELECT" | "VALUES" | "TABLE"));
        let statement = (execute.flags & client::CURSOR_FLAGS != 0 && is_query).then_some(id);
        let payload = with_statement(payload, id);
        let frame = framed(&if is_query { payload } else { without_cursor(payload) });
        let next = Next::Results { binary: true, statement };
        let runs = Some(Runs { id, types });
        let admissible = self.still_means(&meaning, &catalogue, now).and_then(|()| self.admissible(&meaning, now));
        let admissible = admissible.and_then(|()| self.still_veiled(veil.as_ref(), &meaning, now));
        let admissible = admissible.and(texts).and_then(|texts| self.binds_no_mask(&meaning, &texts, now));
        self.decide(Ask { via: "execute", meaning, veil, frame, bound, runs, next }, admissible, now);
    }

    fn on_bulk_execute(&mut self, bulk: &BulkExecute<'_>, payload: &[u8], now: Timestamp) {
        let Some(id) = self.prepared(bulk.statement, "mysqld_stmt_bulk_execute") else { return };
        let Some(meaning) = self.statements.get(&id).map(|prepared| Arc::clone(&prepared.meaning)) else { return };
        let writes_hidden = self.writes_hidden(&meaning, now);
        let Some(prepared) = self.statements.get_mut(&id) else { return };
        let bound = Bound { count: prepared.parameters, types: &prepared.types, long: &[] };
        let Ok(rows) = client::bulk_parameters(bulk, &bound, &mut |_, _| {}) else {
            return self.reject(&Rejection::new(1210, "HY000", "Incorrect arguments to mysqld_stmt_bulk_execute"));
        };
        let bound = values(prepared, bulk.flags, &rows.types, bulk.rest);
        let texts = if writes_hidden { guard::short_texts_of_rows(prepared, bulk) } else { Vec::new() };
        let runs = Some(Runs { id, types: rows.types });
        let veil = prepared.veil.clone();
        let catalogue = Arc::clone(&prepared.catalogue);
        let frame = framed(&with_statement(payload, id));
        let next = Next::Results { binary: true, statement: None };
        let admissible = self.still_means(&meaning, &catalogue, now).and_then(|()| self.admissible(&meaning, now));
        let admissible = admissible.and_then(|()| self.still_veiled(veil.as_ref(), &meaning, now));
        let admissible = admissible.and_then(|()| self.binds_no_mask(&meaning, &texts, now));
        self.decide(Ask { via: "bulk execute", meaning, veil, frame, bound, runs, next }, admissible, now);
    }

    /// Refuses what was to be run. Values that came ahead are with the upstream already, which forgets them with an
    /// execution, as the client knows: it is told to forget them, or they would be those of the next one.
    fn refuse(&mut self, rejection: &Rejection, runs: Option<&Runs>) {
        self.reject(rejection);
        let Some((id, prepared)) = runs.and_then(|r| Some((r.id, self.statements.get_mut(&r.id)?))) else { return };
        if prepared.ahead.clear(&mut self.room) {
            self.own(Own::Forget, &with_statement(b"\x1a\0\0\0\0", id));
        }
    }

    fn on_long_data(&mut self, id: u32, parameter: u16, data: &[u8], payload: &[u8], now: Timestamp) {
        // No answer, whatever happens: an unknown statement shows when it is executed.
        let id = if id == LAST_PREPARED { self.last_prepared.unwrap_or(id) } else { id };
        let Some(prepared) = self.statements.get_mut(&id) else { return };
        if usize::from(parameter) >= prepared.parameters {
            return;
        }
        let frame = framed(&with_statement(payload, id));
        if let Ok(permit) = self.enforcer.follow(&Arc::clone(&prepared.meaning.facts), &frame, now) {
            prepared.ahead.add(parameter, data, &mut self.room);
            if let Err(e) = self.to_upstream.push(permit, &frame) {
                self.fatal("gateway", 1105, "HY000", &e.to_string(), now);
            }
        }
    }

    fn on_close(&mut self, id: u32, payload: &[u8], now: Timestamp) {
        let Some(mut closed) = self.statements.remove(&id) else { return };
        closed.ahead.clear(&mut self.room);
        let facts = Arc::clone(self.enforcer.connect_facts());
        let frame = framed(payload);
        if let Ok(permit) = self.enforcer.follow(&facts, &frame, now)
            && let Err(e) = self.to_upstream.push(permit, &frame)
        {
            self.fatal("gateway", 1105, "HY000", &e.to_string(), now);
        }
    }

    fn on_reset_statement(&mut self, id: u32, payload: &[u8], now: Timestamp) {
        let Some(id) = self.prepared(id, "mysqld_stmt_reset") else { return };
        if let Some(prepared) = self.statements.get_mut(&id) {
            prepared.ahead.clear(&mut self.room);
            prepared.cursor = None;
        }
        self.on_own_kind("RESET STATEMENT", &with_statement(payload, id), Next::Simple(After::Nothing), now);
    }

    fn on_fetch(&mut self, id: u32, payload: &[u8], now: Timestamp) {
        let Some(id) = self.prepared(id, "mysqld_stmt_fetch") else { return };
        let open = |p: &Prepared| Some((Arc::clone(&p.meaning), p.veil.clone(), p.cursor.clone()?));
        let Some((meaning, veil, columns)) = self.statements.get(&id).and_then(open) else {
            return self.reject(&Rejection::new(1421, "HY000", format!("The statement ({id}) has no open cursor.")));
        };
        // What is hidden by now is hidden in the rows that are left, or they are not shown.
        let admissible = self.admissible(&meaning, now).and_then(|()| self.still_veiled(veil.as_ref(), &meaning, now));
        if let Err(refusal) = admissible {
            return self.reject(&Rejection::from(&refusal));
        }
        let masker = match self.row_masker((&meaning, 0, true), columns, now) {
            Ok(masker) => masker,
            Err(e) => return self.fatal("gateway", 1105, "HY000", &e.to_string(), now),
        };
        let frame = framed(&with_statement(payload, id));
        // More rows of what was decided: judged anew, but not approved anew.
        match self.enforcer.follow(&meaning.facts, &frame, now) {
            Ok(permit) => {
                let running = self.running(&meaning);
                if let Err(e) = self.to_upstream.push(permit, &frame) {
                    return self.fatal("gateway", 1105, "HY000", &e.to_string(), now);
                }
                self.awaiting = Awaiting::Fetch(running, masker);
            }
            Err(refusal) => self.reject(&Rejection::from(&refusal)),
        }
    }

    fn running(&self, meaning: &Arc<Meaning>) -> Running {
        Running::new(self.enforcer.last_request(), meaning)
    }

    fn decide(&mut self, ask: Ask, admissible: Result<(), Refusal>, now: Timestamp) {
        let facts = Arc::clone(&ask.meaning.facts);
        let prepared = ask.runs.as_ref().and_then(|runs| self.statements.get(&runs.id));
        let client = self.client;
        let shown = || shown(&ask, prepared, client);
        let text = ask.meaning.text.as_bytes();
        let request = Request {
            via: ask.via,
            statement: &ask.meaning.text,
            shown: &shown,
            bound: &[text, &ask.bound],
            payload: &ask.frame,
        };
        let outcome = match (admissible, &self.hold) {
            (Err(refusal), _) => Outcome::Refuse(self.enforcer.refuse(&facts, &request, refusal, now)),
            (Ok(()), Hold::Wait) => self.enforcer.decide(&facts, &request, now),
            (Ok(()), Hold::Retry(parked)) => {
                let parked = Arc::clone(parked);
                match self.enforcer.decide_at_once(&facts, &request, &[text, &ask.bound], &parked, now) {
                    AtOnce::Forward { permit, .. } => Outcome::Forward(permit),
                    AtOnce::Refuse(refusal) => Outcome::Refuse(refusal),
                    AtOnce::Wait(waiting) => {
                        let id = waiting.approval.id;
                        let message = format!(
                            "{} waits for approval {id}; once it is approved, run the same statement again",
                            facts.command
                        );
                        self.events.push_back(Event::Ask(Question::Park(waiting)));
                        return self.refuse(&Rejection::new(1142, "42000", message), ask.runs.as_ref());
                    }
                }
            }
        };
        self.carry_out(outcome, ask, now);
    }

    pub(super) fn carry_out(&mut self, outcome: Outcome, ask: Ask, now: Timestamp) {
        let permit = match outcome {
            Outcome::Forward(permit) => permit,
            Outcome::Hold(held) => {
                self.events.push_back(Event::Hold(Box::new(held.approval().clone())));
                self.pause = Pause::Approval(held, Box::new(ask));
                return;
            }
            Outcome::Refuse(refusal) => return self.refuse(&Rejection::from(&refusal), ask.runs.as_ref()),
        };
        if let Some(Runs { id, types }) = ask.runs
            && let Some(prepared) = self.statements.get_mut(&id)
        {
            prepared.ahead.clear(&mut self.room);
            prepared.types = types;
        }
        let running = self.running(&ask.meaning);
        if let Next::Kill(kill) = ask.next {
            // The number is ours: it means another connection upstream, or none.
            self.pause = Pause::Killing(Box::new(running));
            self.events.push_back(Event::Ask(Question::Kill(kill, permit.ticket())));
            return;
        }
        let file = permit.stream();
        if let Err(e) = self.to_upstream.push(permit, &ask.frame) {
            return self.fatal("gateway", 1105, "HY000", &e.to_string(), now);
        }
        self.awaiting = match ask.next {
            Next::Results { binary, statement } => {
                let (phase, cursor) = (Phase::First, None);
                Awaiting::Results(Box::new(Results { running, binary, statement, phase, cursor, file }))
            }
            Next::Simple(after) => Awaiting::Simple(running, after),
            Next::FieldList => Awaiting::FieldList(running),
            Next::Word | Next::Kill(_) => Awaiting::Word(running),
        };
    }

    /// Refuses what could not be read, with an audit entry of its own.
    fn refuse_unread(&mut self, text: &[u8], rejection: &Rejection, now: Timestamp) {
        self.enforcer.refuse_unread("command", text, &rejection.message, now);
        self.reject(rejection);
    }

    /// Reads a text under the settings of the moment.
    fn read_text(&mut self, text: &[u8]) -> Reading {
        if let Some(why) = &self.unreadable {
            return Reading::Refused(Rejection::new(1227, "42000", why.clone()));
        }
        let read = match std::mem::replace(&mut self.pause, Pause::None) {
            Pause::Reading { text: of, result: Some(result) } if *of == *text => result,
            Pause::None
            | Pause::Reading { .. }
            | Pause::Schema
            | Pause::Approval(..)
            | Pause::Killing(_)
            | Pause::Login { .. } => self.reader.read(text, &self.environment, false),
        };
        match read {
            Ok(analysis) => {
                let meaning = self.meaning_of(text, &analysis);
                self.looked_at(meaning)
            }
            Err(Unreadable::Refused(why)) => Reading::Refused(Rejection::new(1227, "42000", why)),
            Err(Unreadable::Syntax(why)) => Reading::Refused(Rejection::new(1064, "42000", why)),
            Err(Unreadable::Later) => {
                let text: Arc<[u8]> = text.into();
                self.events.push_back(Event::Ask(Question::Read(Arc::clone(&text), self.environment.clone())));
                self.pause = Pause::Reading { text, result: None };
                Reading::Wait
            }
        }
    }

    /// What is not known may be a view that others have made since, or was locked: it is looked for once more.
    fn looked_at(&mut self, meaning: Arc<Meaning>) -> Reading {
        let is_known = !self.reveals.names_unknown(&meaning) && self.reveals.names_unread(&meaning).is_empty();
        if self.looked_again || is_known {
            return Reading::Read(meaning);
        }
        self.looked_again = true;
        self.freshness.ask();
        self.events.push_back(Event::Ask(Question::Schema { changed: true }));
        self.pause = Pause::Schema;
        Reading::Wait
    }

    fn meaning_of(&mut self, text: &[u8], analysis: &Arc<Analysis>) -> Arc<Meaning> {
        if let Some(known) = self.meanings.known(analysis) {
            return known;
        }
        let meaning = Arc::new(Meaning::resolve(grammar::shown(text).into(), analysis, self));
        self.meanings.keep(analysis, &meaning);
        meaning
    }

    /// What is refused before any policy is asked: texts that the gateway cannot follow, and values that would be carried
    /// out of the reach of masks.
    pub(super) fn admissible(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        let command = &meaning.facts.command;
        // What was prepared is read anew by the server.
        if let Some(why) = &self.unreadable {
            return Err(not_understood(why.clone(), None));
        }
        if meaning.parts.iter().any(|p| p.text.is_none()) {
            return Err(nothing_sent(&meaning.facts));
        }
        let before = meaning.parts.split_last().map_or(&[][..], |(_, before)| before);
        if before.iter().any(facts::changes_reading) {
            let what = "what follows USE or a change of sql_mode or character set in one text cannot be read";
            return Err(not_understood(format!("{command} refused: {what}"), Some("send it as a text of its own")));
        }
        if !before.is_empty() && meaning.parts.iter().any(|s| s.kill.is_some()) {
            return Err(not_understood(format!("{command} refused: KILL goes in a text of its own"), None));
        }
        if let Some(why) = meaning.parts.iter().flat_map(|part| &part.effects).find_map(facts::shuts) {
            return Err(not_understood(format!("{command} refused: {why}"), None));
        }
        // INVARIANT: no KILL goes upstream with a number, where it would be that of anybody's session.
        if meaning.parts.iter().any(|part| part.runs.iter().any(|run| matches!(&**run, "KILL" | "KILL QUERY"))) {
            let message =
                format!("{command} refused: KILL goes in a text of its own, and not within another statement");
            return Err(not_understood(message, Some("send KILL with the number that this gateway gave the session")));
        }
        if self.touched_hidden && meaning.parts.iter().any(|s| s.is_or_runs("GET DIAGNOSTICS")) {
            let why = "GET DIAGNOSTICS refused: the messages of this session may quote masked columns";
            return Err(not_understood(why.to_owned(), Some("use a new session")));
        }
        self.hidden_moves(meaning, now)?;
        self.tells_nothing_hidden(meaning, now)
    }

    /// Servers read a prepared text anew where its tables have changed: its names may mean others then than those that were read.
    fn still_means(&mut self, meaning: &Meaning, was: &Arc<Catalogue>, now: Timestamp) -> Result<(), Refusal> {
        let is = Arc::clone(self.reveals.catalogue());
        if Arc::ptr_eq(was, &is) || !self.hides_anything(now) {
            return Ok(());
        }
        let columns = |of: &Catalogue, schema: &Name, name: &Name| of.named(schema, name).map(|r| r.columns.clone());
        let has_changed = |access: &Access| {
            let Resource::Table { schema, name } = &access.resource else { return false };
            columns(was, schema, name) != columns(&is, schema, name)
        };
        if !meaning.facts.accesses.iter().any(has_changed) {
            return Ok(());
        }
        let message = format!(
            "{} refused: a table that it names has other columns than when the statement was prepared",
            meaning.facts.command
        );
        Err(not_understood(message, Some("prepare it again")))
    }

    /// Whether what was held would be sent today as it was when it was held.
    pub(super) fn would_send(&mut self, ask: &Ask, now: Timestamp) -> Result<(), Refusal> {
        self.hidden_moves(&ask.meaning, now)?;
        self.tells_nothing_hidden(&ask.meaning, now)?;
        self.still_veiled(ask.veil.as_ref(), &ask.meaning, now)
    }
}

/// The text that goes upstream.
pub(super) fn sent(meaning: &Meaning, veil: Option<&Veil>) -> Vec<u8> {
    veil.map_or_else(|| meaning.forwarded().unwrap_or_default(), |veil| veil.to_vec())
}

/// What an approval of an execution binds besides its text: the values, as they are read, and those that came ahead by
/// their digests.
///
/// INVARIANT: the types are part of it. An execution may leave them out, and the same bytes mean other values under others.
fn values(prepared: &Prepared, flags: u16, types: &[u16], rest: &[u8]) -> Vec<u8> {
    let mut out = (rest.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(rest);
    out.extend(flags.to_le_bytes());
    out.extend(types.iter().flat_map(|kind| kind.to_le_bytes()));
    prepared.ahead.bind(&mut out);
    out
}

/// An execution whose rows come at once.
fn without_cursor(mut payload: Vec<u8>) -> Vec<u8> {
    if let Some(flags) = payload.get_mut(5) {
        *flags &= !client::CURSOR_FLAGS;
    }
    payload
}

/// A command with the number of its statement.
fn with_statement(payload: &[u8], id: u32) -> Vec<u8> {
    let mut out = payload.to_vec();
    if let Some(place) = out.get_mut(1..5) {
        place.copy_from_slice(&id.to_le_bytes());
    }
    out
}
