//! The client's messages: read, decided, forwarded, held or refused.
mod reading;

use super::{
    Event, Pause, Portal, Prepared, Question, Session, Waiting,
    veil::{veiled_parse, veiled_query},
};
use crate::{
    codec::{self, ClientMessage, Target, TypeNumbers},
    facts,
    names::{self, Lookup},
    pipeline::{Expect, InFlight, Running},
    render::{self, Rejection},
    shown,
};
use doorward_enforce::{
    ApprovalVerdict, GatewayMessage, Held, Outcome, Permit, Refusal, Request, SessionEnd, Shown, nothing_else,
};
use doorward_model::{Name, Timestamp};
use doorward_sql::postgres::Environment;
use doorward_sql_session::{
    Look, Meaning, besides,
    refusals::{not_understood, too_many_statements},
};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// What became of a frame.
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
    Read(Arc<Meaning>, Arc<Environment>),
}

/// The name under which a text that fails on purpose is sent: it fails before it is stored.
const STAND_IN: &str = "doorward refused";
/// A text that no PostgreSQL accepts: it puts the server where an error of its own would have.
const STAND_IN_TEXT: &str = "refused by doorward";

impl Session {
    /// Reads whole frames of the client until there are none, or one has to wait.
    pub(super) fn read_requests(&mut self, now: Timestamp) {
        while !self.ended && self.may_read() && self.knows_the_schema(now) {
            if self.dropping > 0 {
                let n = self.dropping.min(self.client_in.len());
                let _dropped = self.client_in.split_to(n);
                self.dropping -= n;
                if self.dropping > 0 {
                    return;
                }
            }
            let header = match codec::peek(&self.client_in, self.limits.message) {
                Ok(Some(header)) => header,
                Ok(None) => return,
                Err(e) => return self.client_misbehaved(&e.to_string(), now),
            };
            if matches!(header.tag, b'Q' | b'P') && header.total > self.limits.statement.saturating_add(4096) {
                self.drop_oversized(header, now);
                continue;
            }
            if self.client_in.len() < header.total {
                return;
            }
            let frame = self.client_in.split_to(header.total);
            match self.request(&frame, now) {
                Step::Done => {
                    self.flushed_for_pause = false;
                    (self.looked_again, self.has_heard) = (false, false);
                }
                Step::Wait => {
                    let rest = std::mem::replace(&mut self.client_in, frame);
                    self.client_in.unsplit(rest);
                    return;
                }
            }
        }
    }

    fn may_read(&mut self) -> bool {
        match &self.pause {
            Pause::None => self.to_upstream.len() < self.limits.backlog && !self.pipeline.is_full(),
            Pause::Approval(_) | Pause::Catalogue | Pause::Analysis { result: None, .. } => false,
            Pause::Analysis { .. } => true,
            Pause::Answers => {
                // Tried again: the frame itself finds out whether it still has to wait.
                self.pause = Pause::None;
                true
            }
        }
    }

    /// Whether the next message may be read: under a snapshot that is not too old.
    fn knows_the_schema(&mut self, now: Timestamp) -> bool {
        if self.client_in.is_empty() {
            return true;
        }
        // Nothing is lost with what was read of a text: it means another thing now.
        if !self.has_heard && matches!(self.pause, Pause::None | Pause::Analysis { .. }) && self.heard.hears() {
            self.has_heard = true;
            let _waits = self.ask_for_the_schema(Vec::new());
            return false;
        }
        let look = self.freshness.look(now);
        if matches!(look, Look::Ask | Look::Wait { ask: true }) {
            self.events.push_back(Event::Ask(Question::Catalogue { changed: false, locked: Vec::new() }));
        }
        let waits = matches!(look, Look::Wait { .. }) && matches!(self.pause, Pause::None);
        if waits {
            self.pause = Pause::Catalogue;
        }
        !waits
    }

    fn ask_for_the_schema(&mut self, locked: Vec<u32>) -> Reading {
        self.freshness.ask();
        self.events.push_back(Event::Ask(Question::Catalogue { changed: true, locked }));
        self.pause = Pause::Catalogue;
        Reading::Wait
    }

    fn drop_oversized(&mut self, header: codec::Header, now: Timestamp) {
        let text = format!("a statement of {} bytes", header.total);
        let rejection = Rejection::new(
            "54000",
            &format!(
                "statement refused: it is {} bytes long, and at most {} are read",
                header.total, self.limits.statement
            ),
            Some("send large values as parameters or with COPY"),
        );
        self.dropping = header.total;
        if self.skipping {
            return;
        }
        self.refuse_unread(&text, rejection, header.tag == b'Q', now);
    }

    fn request(&mut self, frame: &[u8], now: Timestamp) -> Step {
        let message = match codec::client_message(frame) {
            Ok(message) => message,
            Err(e) => {
                self.client_misbehaved(&e.to_string(), now);
                return Step::Done;
            }
        };
        if self.skipping && !matches!(message, ClientMessage::Sync | ClientMessage::Terminate) {
            return Step::Done;
        }
        if self.answering.copy_in && !message.is_copy() {
            return self.within_copy(&message, now);
        }
        if !message.is_copy() && self.pipeline.may_copy_in() {
            return self.wait_for_answers();
        }
        if let Err(rejection) = self.names_what_it_means(&message) {
            self.reject(rejection, false);
            return Step::Done;
        }
        match message {
            ClientMessage::Query { query } => self.on_query(query, frame, now),
            ClientMessage::Parse { name, query, types } => self.on_parse((name, query, types), frame, now),
            ClientMessage::Bind(bind) => self.on_bind(&bind, frame, now),
            ClientMessage::Describe(target) => self.on_describe(&target, frame, now),
            ClientMessage::Execute { portal, .. } => self.on_execute(portal, frame, now),
            ClientMessage::Close(target) => self.on_close(&target, frame, now),
            ClientMessage::Sync => self.on_sync(),
            ClientMessage::Flush => self.own(render::flush),
            ClientMessage::CopyData(_) | ClientMessage::CopyDone | ClientMessage::CopyFail { .. } => {
                self.on_copy(&message, frame, now);
                Step::Done
            }
            ClientMessage::FunctionCall { oid, .. } => self.on_function_call(oid, frame, now),
            ClientMessage::Terminate => {
                self.ended = true;
                self.events.push_back(Event::End(SessionEnd::Terminated));
                self.own(render::terminate)
            }
            ClientMessage::Password(_) => {
                self.client_misbehaved("a password message after log-in", now);
                Step::Done
            }
            ClientMessage::Unknown(tag) => {
                self.client_misbehaved(&format!("unknown message type 0x{tag:02x}"), now);
                Step::Done
            }
        }
    }

    /// While the upstream reads COPY data it ignores Sync and Flush, and nothing else may come.
    fn within_copy(&mut self, message: &ClientMessage<'_>, now: Timestamp) -> Step {
        if matches!(message, ClientMessage::Terminate) {
            self.answering.copy_in = false;
            self.ended = true;
            self.events.push_back(Event::End(SessionEnd::Terminated));
            return self.own(render::terminate);
        }
        if !matches!(message, ClientMessage::Sync | ClientMessage::Flush) {
            self.client_misbehaved("unexpected message type during COPY from stdin", now);
        }
        Step::Done
    }

    fn on_query(&mut self, query: &[u8], frame: &[u8], now: Timestamp) -> Step {
        let meaning = match self.read_text(query, now) {
            Reading::Wait => return Step::Wait,
            Reading::Refused(rejection) => {
                self.refuse_unread(&String::from_utf8_lossy(query), rejection, true, now);
                return Step::Done;
            }
            Reading::Read(meaning, _) => meaning,
        };
        let admissible = self.admissible(&meaning, now);
        let (veil, admissible) = self.veiled(admissible, &meaning, now);
        let sent = veil.as_ref().map(|veil| veiled_query(veil));
        let frame = sent.as_deref().unwrap_or(frame);
        let shown = || Ok(besides(&meaning, veil.as_ref().map(|veil| &*veil.text)));
        let request = Request { via: "query", statement: &meaning.text, shown: &shown, bound: &[], payload: frame };
        let outcome = self.enforcer.decide_if(admissible, &meaning.facts, &request, now);
        self.carry_out(outcome, frame, meaning, None, now);
        Step::Done
    }

    fn on_parse(&mut self, parse: (&str, &[u8], TypeNumbers<'_>), frame: &[u8], now: Timestamp) -> Step {
        let (name, query, types) = parse;
        let (meaning, environment) = match self.read_text(query, now) {
            Reading::Wait => return Step::Wait,
            Reading::Refused(rejection) => {
                self.refuse_unread(&String::from_utf8_lossy(query), rejection, false, now);
                return Step::Done;
            }
            Reading::Read(meaning, environment) => (meaning, environment),
        };
        let admissible = self.admissible(&meaning, now);
        let (veil, admissible) = self.veiled(admissible, &meaning, now);
        let sent = veil.as_ref().map(|veil| veiled_parse(veil, name, query, frame));
        let frame = sent.as_deref().unwrap_or(frame);
        let request =
            Request { via: "parse", statement: &meaning.text, shown: &nothing_else, bound: &[], payload: frame };
        let name = &*names::kept(name);
        if self.statements.is_full(name) {
            let refusal = too_many_statements(self.limits.names);
            let refusal = self.enforcer.refuse(&meaning.facts, &request, refusal, now);
            self.reject(Rejection::from(&refusal), false);
            return Step::Done;
        }
        let permit = self.enforcer.prepare_if(admissible, &meaning.facts, &request, now);
        match permit {
            Ok(permit) => {
                let prepared = Arc::new(Prepared {
                    veil,
                    given_types: types.iter().collect(),
                    ..Prepared::new(meaning, environment)
                });
                self.statements.offer(name, self.segment, Arc::clone(&prepared));
                self.forward(permit, frame, Expect::Parse { name: name.into(), prepared }, false, now);
            }
            Err(refusal) => self.reject(Rejection::from(&refusal), false),
        }
        Step::Done
    }

    fn on_bind(&mut self, bind: &codec::Bind<'_>, frame: &[u8], now: Timestamp) -> Step {
        let name = &*names::kept(bind.portal);
        let prepared = match self.prepared_named(bind.statement) {
            Lookup::One(prepared) => prepared,
            Lookup::Ambiguous => return self.wait_for_answers(),
            Lookup::Unknown => return self.no_such_statement(bind.statement),
        };
        let meaning = match self.current_meaning(&prepared) {
            Reading::Wait => return Step::Wait,
            Reading::Refused(rejection) => {
                self.refuse_unread(&prepared.meaning.text, rejection, false, now);
                return Step::Done;
            }
            Reading::Read(meaning, _) => meaning,
        };
        if self.portals.is_full(name) {
            let message = format!("refused: more than {} portals in one session", self.limits.names);
            self.reject(Rejection::new("53400", &message, None), false);
            return Step::Done;
        }
        let admissible = self
            .admissible(&meaning, now)
            .and_then(|()| self.still_veiled(&prepared, &meaning, now))
            .and_then(|()| self.binds_no_mask(bind, &meaning, now));
        match admissible.and_then(|()| self.enforcer.follow(&meaning.facts, frame, now)) {
            Ok(permit) => {
                let portal = Arc::new(Portal {
                    prepared,
                    meaning,
                    bind: frame.to_vec(),
                    result_formats: bind.result_formats().collect(),
                    fields: OnceLock::new(),
                    started: AtomicBool::new(false),
                    applied: AtomicBool::new(false),
                });
                self.portals.offer(name, self.segment, Arc::clone(&portal));
                self.forward(permit, frame, Expect::Bind { name: name.into(), portal }, false, now);
            }
            Err(refusal) => {
                let request =
                    Request { via: "bind", statement: &meaning.text, shown: &nothing_else, bound: &[], payload: frame };
                let refusal = self.enforcer.refuse(&meaning.facts, &request, refusal, now);
                self.reject(Rejection::from(&refusal), false);
            }
        }
        Step::Done
    }

    fn on_describe(&mut self, target: &Target<'_>, frame: &[u8], now: Timestamp) -> Step {
        if self.must_wait() {
            return self.wait_for_answers();
        }
        let (facts, expect) = match target {
            Target::Statement(name) => match self.prepared_named(name) {
                // Described under another search path it shows other tables: nothing to plan masks from.
                Lookup::One(p) => {
                    (Arc::clone(&p.meaning.facts), Expect::DescribeStatement(self.means_the_same(&p).then_some(p)))
                }
                Lookup::Ambiguous => return self.wait_for_answers(),
                Lookup::Unknown => return self.no_such_statement(name),
            },
            Target::Portal(name) => match self.portals.lookup(&names::kept(name), self.segment) {
                Lookup::One(p) => (Arc::clone(&p.meaning.facts), Expect::DescribePortal(Some(p))),
                Lookup::Ambiguous => return self.wait_for_answers(),
                // A cursor of `DECLARE` is a portal too. Its rows come by FETCH, which is decided.
                Lookup::Unknown if self.cursors.contains_key(&*names::kept(name)) => {
                    (Arc::clone(self.enforcer.connect_facts()), Expect::DescribePortal(None))
                }
                Lookup::Unknown => return self.no_such_portal(name),
            },
        };
        match self.enforcer.follow(&facts, frame, now) {
            Ok(permit) => self.forward(permit, frame, expect, false, now),
            Err(refusal) => self.reject(Rejection::from(&refusal), false),
        }
        Step::Done
    }

    fn on_execute(&mut self, name: &str, frame: &[u8], now: Timestamp) -> Step {
        if self.must_wait() {
            return self.wait_for_answers();
        }
        let portal = match self.portals.lookup(&names::kept(name), self.segment) {
            Lookup::One(portal) => portal,
            Lookup::Ambiguous => return self.wait_for_answers(),
            Lookup::Unknown => return self.no_such_portal(name),
        };
        let meaning = Arc::clone(&portal.meaning);
        let shown = || portal.shown();
        let request = Request {
            via: "execute",
            statement: &meaning.text,
            shown: &shown,
            bound: &[meaning.text.as_bytes(), &portal.bind],
            payload: frame,
        };
        let outcome = if portal.started.load(Ordering::Relaxed) {
            // More rows of what was decided: judged anew, but not approved anew. What is hidden by now is hidden in them, or
            // they are not shown.
            let admissible = self.admissible(&meaning, now);
            let admissible = admissible.and_then(|()| self.still_veiled(&portal.prepared, &meaning, now));
            match admissible.and_then(|()| self.enforcer.follow(&meaning.facts, frame, now)) {
                Ok(permit) => Outcome::Forward(permit),
                Err(refusal) => Outcome::Refuse(self.enforcer.refuse(&meaning.facts, &request, refusal, now)),
            }
        } else {
            let Some(still) = self.still_means(&meaning) else { return Step::Wait };
            let admissible = still.and_then(|()| self.admissible(&meaning, now));
            let admissible = admissible.and_then(|()| self.still_veiled(&portal.prepared, &meaning, now));
            self.enforcer.decide_if(admissible, &meaning.facts, &request, now)
        };
        self.carry_out(outcome, frame, meaning, Some(portal), now);
        Step::Done
    }

    fn on_close(&mut self, target: &Target<'_>, frame: &[u8], now: Timestamp) -> Step {
        let expect = match target {
            Target::Statement(name) => Expect::CloseStatement { name: names::kept(name).into() },
            Target::Portal(name) => Expect::ClosePortal { name: names::kept(name).into() },
        };
        let facts = Arc::clone(self.enforcer.connect_facts());
        match self.enforcer.follow(&facts, frame, now) {
            Ok(permit) => self.forward(permit, frame, expect, false, now),
            Err(refusal) => self.reject(Rejection::from(&refusal), false),
        }
        Step::Done
    }

    fn on_sync(&mut self) -> Step {
        self.skipping = false;
        self.push(Expect::Sync, false, false);
        self.segment = self.segment.saturating_add(1);
        self.segment_open = false;
        self.own(render::sync)
    }

    fn on_function_call(&mut self, oid: u32, frame: &[u8], now: Timestamp) -> Step {
        if self.must_wait() {
            return self.wait_for_answers();
        }
        let facts = Arc::new(facts::function_call(self.reveals.catalogue(), oid));
        let meaning = Arc::new(Meaning::without_text(&format!("function call {oid}"), facts));
        let shown = || shown::arguments(frame).map(Shown::of_parameters);
        let request =
            Request { via: "function call", statement: &meaning.text, shown: &shown, bound: &[], payload: frame };
        let admissible = self.tells_nothing_hidden(&meaning, now);
        match self.enforcer.decide_if(admissible, &meaning.facts, &request, now) {
            Outcome::Forward(permit) => {
                let running = Running::new(permit.request(), &meaning, None);
                self.forward(permit, frame, Expect::FunctionCall(running), false, now);
            }
            Outcome::Hold(held) => self.hold(*held, frame, meaning, None),
            Outcome::Refuse(refusal) => self.reject(Rejection::from(&refusal), true),
        }
        Step::Done
    }

    /// Does what was decided about a Query or an Execute.
    fn carry_out(
        &mut self,
        outcome: Outcome,
        frame: &[u8],
        meaning: Arc<Meaning>,
        portal: Option<Arc<Portal>>,
        now: Timestamp,
    ) {
        match outcome {
            Outcome::Forward(permit) => self.run(permit, frame, &meaning, portal, now),
            Outcome::Hold(held) => self.hold(*held, frame, meaning, portal),
            Outcome::Refuse(refusal) => self.reject(Rejection::from(&refusal), portal.is_none()),
        }
    }

    fn run(
        &mut self,
        permit: Permit,
        frame: &[u8],
        meaning: &Arc<Meaning>,
        portal: Option<Arc<Portal>>,
        now: Timestamp,
    ) {
        let barrier = facts::changes_meaning(meaning);
        let mut running = Running::new(permit.request(), meaning, portal.clone());
        if facts::copies_in(meaning) {
            running.copy_in = Some(permit.stream());
            running.guards = self.copy_guards(meaning, now);
        }
        let Some(portal) = portal else {
            let expect =
                if frame.first() == Some(&b'F') { Expect::FunctionCall(running) } else { Expect::Query(running) };
            return self.forward(permit, frame, expect, barrier, now);
        };
        if !self.will_be_described(&portal) {
            // Rows of a portal that the client has not described could not be masked otherwise.
            let Some(name) = codec::portal_of_bind(&portal.bind) else {
                return self.client_misbehaved("a portal without a name", now);
            };
            let mut own = Vec::new();
            render::describe_portal(&mut own, name);
            self.to_upstream.push_own(&GatewayMessage::authored(&own));
            self.push(Expect::DescribePortal(Some(Arc::clone(&portal))), true, false);
        }
        portal.started.store(true, Ordering::Relaxed);
        self.forward(permit, frame, Expect::Execute(running), barrier, now);
    }

    fn will_be_described(&self, portal: &Arc<Portal>) -> bool {
        portal.described().is_some()
            || self.pipeline.iter().any(|m| match &m.expect {
                Expect::DescribePortal(Some(p)) => Arc::ptr_eq(p, portal),
                Expect::DescribeStatement(Some(p)) => portal.means_as_prepared() && Arc::ptr_eq(p, &portal.prepared),
                Expect::DescribePortal(None)
                | Expect::DescribeStatement(None)
                | Expect::Parse { .. }
                | Expect::Bind { .. }
                | Expect::CloseStatement { .. }
                | Expect::ClosePortal { .. }
                | Expect::Execute(_)
                | Expect::Query(_)
                | Expect::FunctionCall(_)
                | Expect::Refused
                | Expect::Sync
                | Expect::CopyEnd => false,
            })
    }

    fn hold(&mut self, held: Held, frame: &[u8], meaning: Arc<Meaning>, portal: Option<Arc<Portal>>) {
        self.events.push_back(Event::Hold(Box::new(held.approval().clone())));
        let frame = bytes::Bytes::copy_from_slice(frame);
        self.pause = Pause::Approval(Box::new(Waiting { held, frame, meaning, portal }));
    }

    /// A verdict is there: the held request goes on, on the same connection, or is refused.
    pub(super) fn settle(&mut self, waiting: Waiting, verdict: ApprovalVerdict, now: Timestamp) {
        let Waiting { held, frame, meaning, portal } = waiting;
        let verdict = match self.would_send(&frame, &meaning, portal.as_ref(), now) {
            Ok(()) => verdict,
            // Somebody may have said yes to it; what is hidden since is not theirs to show.
            Err(refusal) => ApprovalVerdict::Unavailable { reason: refusal.message },
        };
        // What the server would skip is not sent, nor is anything in its place: nobody would answer it.
        let verdict = if self.skipping { ApprovalVerdict::Withdrawn } else { verdict };
        let outcome = self.enforcer.settle(held, verdict, now);
        if self.skipping {
            return;
        }
        // A settled request is never held again: an outcome of hold would be a second approval.
        self.carry_out(outcome, &frame, meaning, portal, now);
    }

    /// Writes a whole message of the gateway's own between two of the upstream's.
    pub(super) fn say(&mut self, message: &[u8]) {
        if self.answering.passing == 0 {
            self.to_client.extend_from_slice(message);
        } else {
            self.late.extend_from_slice(message);
        }
    }

    fn forward(&mut self, permit: Permit, frame: &[u8], expect: Expect, barrier: bool, now: Timestamp) {
        if let Err(e) = self.to_upstream.push(permit, frame) {
            return self.fatal("gateway", "XX000", &e.to_string(), None, now);
        }
        self.segment_open = !matches!(expect, Expect::Query(_) | Expect::FunctionCall(_));
        self.push(expect, false, barrier);
    }

    fn own(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Step {
        let mut out = Vec::with_capacity(8);
        write(&mut out);
        self.to_upstream.push_own(&GatewayMessage::authored(&out));
        Step::Done
    }

    /// Answers with an error in the right place, leaving the transaction as the server would.
    ///
    /// With nothing under way and no transaction open the gateway answers by itself. Otherwise a
    /// stand-in that fails is sent upstream, so that the server's own rules decide what the error
    /// aborts and skips, and its error is replaced by this one.
    fn reject(&mut self, rejection: Rejection, simple: bool) {
        let quiet = self.pipeline.is_empty() && !self.segment_open && self.status != b'T';
        if quiet {
            render::rejection(&mut self.to_client, &rejection);
            if simple {
                render::ready_for_query(&mut self.to_client, self.status);
            } else {
                self.skipping = true;
            }
            return;
        }
        let mut out = Vec::new();
        let expect = if simple {
            render::query(&mut out, STAND_IN_TEXT);
            let facts = Arc::clone(self.enforcer.connect_facts());
            let meaning = Arc::new(Meaning::without_text(STAND_IN_TEXT, facts));
            Expect::Query(Running::new(self.enforcer.last_request(), &meaning, None))
        } else {
            render::parse(&mut out, STAND_IN, STAND_IN_TEXT);
            self.skipping = true;
            Expect::Refused
        };
        self.to_upstream.push_own(&GatewayMessage::authored(&out));
        let message = InFlight { expect, refusal: Some(rejection), own: false, barrier: false };
        self.pipeline.push(message);
    }

    /// Refuses a text that could not be read, with an audit entry of its own.
    fn refuse_unread(&mut self, text: &str, rejection: Rejection, simple: bool, now: Timestamp) {
        let via = if simple { "query" } else { "parse" };
        self.enforcer.refuse_unread(via, text.as_bytes(), &rejection.message, now);
        self.reject(rejection, simple);
    }

    fn no_such_statement(&mut self, name: &str) -> Step {
        let message = if name.is_empty() {
            "unnamed prepared statement does not exist".to_owned()
        } else {
            format!("prepared statement \"{name}\" does not exist")
        };
        self.reject(Rejection::new("26000", &message, None), false);
        Step::Done
    }

    fn no_such_portal(&mut self, name: &str) -> Step {
        self.reject(Rejection::new("34000", &format!("portal \"{name}\" does not exist"), None), false);
        Step::Done
    }

    fn prepared_named(&self, name: &str) -> Lookup<Prepared> {
        let name = &*names::kept(name);
        match self.statements.lookup(name, self.segment) {
            Lookup::Unknown => match self.sql_prepared.get(name) {
                // The protocol and `PREPARE` share their names.
                Some(known) => Lookup::One(Arc::clone(&known.prepared)),
                None => Lookup::Unknown,
            },
            found @ (Lookup::One(_) | Lookup::Ambiguous) => found,
        }
    }

    /// Whether something under way may change what the next text means.
    fn must_wait(&self) -> bool {
        self.pipeline.has_barrier()
    }

    fn wait_for_answers(&mut self) -> Step {
        if self.pipeline.is_empty() {
            // Nothing is owed, so nothing can become clearer by waiting.
            return Step::Done;
        }
        if !self.flushed_for_pause {
            self.flushed_for_pause = true;
            // The server keeps its answers back until a Sync or a Flush.
            let _step = self.own(render::flush);
        }
        self.pause = Pause::Answers;
        Step::Wait
    }

    /// Whether the cursors that are fetched from may still be read: judged anew, but not approved anew.
    fn may_go_on(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        meaning.goes_on.iter().try_for_each(|facts| self.enforcer.follow(facts, &[], now).map(drop))
    }

    /// Procedures and blocks may commit or roll back where nobody has begun a transaction: what was set in one that a pipeline
    /// holds together would last, or be gone, without notice.
    fn ends_no_transaction(&self, meaning: &Meaning) -> Result<(), Refusal> {
        let may_end = |command: &Name| matches!(&**command, "CALL" | "DO");
        let runs = meaning.parts.iter().any(|part| may_end(&part.command) || part.runs.iter().any(may_end));
        if self.status != b'I' || !runs || !self.settings.has_set() {
            return Ok(());
        }
        let message = format!(
            "{} refused: it may end the transaction in which search_path, role or temporary tables were changed just before",
            meaning.facts.command
        );
        Err(not_understood(message, Some("send Sync before it, or begin a transaction in a message of its own")))
    }

    /// What is refused before any policy is asked: texts that the gateway cannot follow, and values
    /// that would be carried out of the reach of masks.
    pub(super) fn admissible(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        if facts::changes_names_midway(meaning) {
            return Err(not_understood(
                format!(
                    "{} refused: what follows a change of search_path or role in one message cannot be read",
                    meaning.facts.command
                ),
                Some("send the SET as a message of its own"),
            ));
        }
        self.ends_no_transaction(meaning)?;
        self.may_go_on(meaning, now)?;
        self.hidden_moves(meaning, now)?;
        self.tells_nothing_hidden(meaning, now)
    }
}
