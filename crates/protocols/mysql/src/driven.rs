//! The session as its driver sees it.
use crate::{
    facts::{Environment, Kill, Meaning, SqlReader, Unreadable},
    render::Rejection,
    session::{End, Event, Session},
    startup::Login,
};
use bytes::BytesMut;
use doorward_enforce::{ApprovalVerdict, ProtocolSession, Refusal, SessionEnd, SessionEvent, UpstreamQueue, Waiting};
use doorward_model::{ApprovalId, AuditKind, Timestamp};
use std::sync::Arc;

/// What only this protocol asks of its driver.
#[derive(Debug)]
pub enum Question {
    /// Ask people about a request whose caller does not wait.
    Park(Box<Waiting>),
    /// Read a text on a thread with a big stack.
    Read(Arc<[u8]>, Environment),
    /// The schema has changed: a reader that knows it as it is now.
    Schema,
    /// End another session of this caller, or what it runs.
    Kill(Kill),
    /// The client logs in anew: who is it?
    ChangeUser(Login),
    /// A packet of the client meanwhile.
    LoginPacket(Vec<u8>),
}

/// What it comes to.
#[derive(Debug)]
pub enum Answer {
    /// What a text means.
    Reading(Result<Arc<Meaning>, Unreadable>),
    /// A reader that knows a newer schema.
    Reader(Arc<dyn SqlReader>),
    /// Whether another session was ended.
    Killed(Result<(), Rejection>),
    /// A packet of the log-in for the client.
    Say(Vec<u8>),
    /// Whether the client is who it was, with the schema that it wants.
    User(Result<Option<Vec<u8>>, Rejection>),
}

impl ProtocolSession for Session {
    type Question = Question;
    type Answer = Answer;

    fn handle_client(&mut self, bytes: &[u8], now: Timestamp) {
        Self::handle_client(self, bytes, now);
    }

    fn handle_upstream(&mut self, bytes: &[u8], now: Timestamp) {
        Self::handle_upstream(self, bytes, now);
    }

    fn handle_verdict(&mut self, id: ApprovalId, verdict: ApprovalVerdict, now: Timestamp) {
        Self::handle_verdict(self, id, verdict, now);
    }

    fn handle_answer(&mut self, answer: Answer, now: Timestamp) {
        match answer {
            Answer::Reading(read) => self.handle_reading(read, now),
            Answer::Reader(reader) => self.handle_reader(reader),
            Answer::Killed(outcome) => self.handle_killed(outcome, now),
            Answer::Say(packet) => self.say(&packet),
            Answer::User(outcome) => self.handle_changed_user(outcome, now),
        }
    }

    fn handle_cancel(&mut self, now: Timestamp) {
        Self::handle_cancel(self, now);
    }

    fn handle_client_gone(&mut self) {
        Self::handle_client_gone(self);
    }

    fn handle_upstream_gone(&mut self, now: Timestamp) {
        Self::handle_upstream_gone(self, now);
    }

    fn pump(&mut self, now: Timestamp) {
        Self::pump(self, now);
    }

    /// The protocol has no notices: nothing can be said before there is an answer.
    fn say_held(&mut self, _id: ApprovalId, _link: &str, _who: &str, _expires_in: &str) {}

    fn suspend(&mut self, reason: Option<String>) {
        Self::suspend(self, reason);
    }

    fn check_welcome(&mut self, now: Timestamp) {
        Self::check_welcome(self, now);
    }

    fn shut(&mut self, message: &str, now: Timestamp) {
        Self::shut(self, message, now);
    }

    fn note(&mut self, kind: AuditKind, now: Timestamp) -> Result<(), Refusal> {
        Self::note(self, kind, now)
    }

    fn poll_event(&mut self) -> Option<SessionEvent<Question>> {
        Some(match Self::poll_event(self)? {
            Event::Hold(request) => SessionEvent::Hold(request),
            Event::Withdraw(id, why) => SessionEvent::Withdraw(id, why),
            Event::CancelUpstream => SessionEvent::CancelUpstream,
            Event::End(End::Terminated) => SessionEvent::End(SessionEnd::Terminated),
            Event::End(End::Fault { at_fault, what }) => SessionEvent::End(SessionEnd::Fault { at_fault, what }),
            Event::Park(waiting) => SessionEvent::Ask(Question::Park(waiting)),
            Event::Read(text, environment) => SessionEvent::Ask(Question::Read(text, environment)),
            Event::SchemaChanged => SessionEvent::Ask(Question::Schema),
            Event::Kill(kill) => SessionEvent::Ask(Question::Kill(kill)),
            Event::ChangeUser(login) => SessionEvent::Ask(Question::ChangeUser(login)),
            Event::LoginPacket(packet) => SessionEvent::Ask(Question::LoginPacket(packet)),
        })
    }

    fn is_reading(&self) -> bool {
        Self::is_reading(self)
    }

    fn wants_client(&self) -> bool {
        Self::wants_client(self)
    }

    fn wants_upstream(&self) -> bool {
        Self::wants_upstream(self)
    }

    fn to_client(&mut self) -> &mut BytesMut {
        Self::to_client(self)
    }

    fn to_upstream(&mut self) -> &mut UpstreamQueue {
        Self::to_upstream(self)
    }

    fn generation(&self) -> u64 {
        Self::generation(self)
    }
}
