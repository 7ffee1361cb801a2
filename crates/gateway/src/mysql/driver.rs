//! What MySQL sessions ask of the gateway: texts read on threads with a big stack, fresh schemas, other sessions of the
//! caller ended.
use super::{
    Endpoint,
    identity::{self, Again, Caller, Next},
    rejected::Rejected,
    upstream,
};
use crate::{parked, relay::Driver, services::Services, snapshots};
use doorward_enforce::Ticket;
use doorward_mysql::{Answer, Question, Session, facts::Kill, grammar::Grammar, render::Rejection};
use parking_lot::Mutex;
use std::{future::poll_fn, sync::Arc};
use tokio::sync::mpsc::UnboundedSender;

/// One session's ends outside of it.
pub(super) struct MySql {
    endpoint: Arc<Endpoint>,
    caller: Arc<Caller>,
    /// Whose session it is ([`doorward_model::Principal::ids`]).
    parties: Vec<String>,
    /// A log-in under way in which the client was asked something.
    again: Mutex<Option<Again>>,
    reader: Arc<Mutex<Arc<Grammar>>>,
    /// The number by which the upstream knows the session.
    number: u32,
}

impl MySql {
    pub(super) fn new(endpoint: &Arc<Endpoint>, caller: Caller, reader: &Arc<Grammar>, number: u32) -> Self {
        let reader = Arc::new(Mutex::new(Arc::clone(reader)));
        let (parties, again) = (caller.principal.ids(), Mutex::default());
        Self { endpoint: Arc::clone(endpoint), caller: Arc::new(caller), parties, again, reader, number }
    }

    fn refresh(&self, changed: bool, tell: UnboundedSender<Answer>) {
        let (endpoint, reader) = (Arc::clone(&self.endpoint), Arc::clone(&self.reader));
        tokio::spawn(async move {
            let fresh = snapshots::renewed(&*endpoint, "", changed).await;
            let fresh = fresh.map(|snapshot| snapshot.reader).map_err(|e| e.to_string());
            if let Ok(fresh) = &fresh {
                *reader.lock() = Arc::clone(fresh);
            }
            let _gone = tell.send(Answer::Reader(fresh));
        });
    }

    /// The next step of a log-in in the middle of the session.
    fn go_on(&self, next: Result<Next, Rejected>, tell: UnboundedSender<Answer>) {
        match next {
            Ok(Next::Ask(again, packet)) => {
                *self.again.lock() = Some(again);
                let _gone = tell.send(Answer::Say(packet, true));
            }
            Ok(Next::Look(introduction, last, shown)) => {
                let (endpoint, caller) = (Arc::clone(&self.endpoint), Arc::clone(&self.caller));
                tokio::spawn(async move {
                    let outcome = identity::is_same(&endpoint, &caller, introduction, shown).await;
                    if let (Ok(_), Some(packet)) = (&outcome, last) {
                        let _gone = tell.send(Answer::Say(packet, false));
                    }
                    let _gone = tell.send(Answer::User(outcome.map_err(|rejected| rejected.rejection)));
                });
            }
            Err(rejected) => drop(tell.send(Answer::User(Err(rejected.rejection)))),
        }
    }

    /// Ends another session of the same caller on the same connection, or what it runs, once that is written down.
    fn kill(&self, kill: Kill, ticket: Ticket, tell: UnboundedSender<Answer>) {
        let (endpoint, parties) = (Arc::clone(&self.endpoint), self.parties.clone());
        tokio::spawn(async move {
            let services = &endpoint.services;
            let name = endpoint.connection.info.name.as_str();
            let find = |number| services.registry.end_of(number, name, &parties, kill.query_only);
            let outcome = match poll_fn(|cx| services.audit.poll_committed(ticket, cx)).await {
                Ok(()) if u32::try_from(kill.id).is_ok_and(find) => Ok(()),
                Ok(()) => Err(Rejection::new(1094, "HY000", format!("Unknown thread id: {}", kill.id))),
                Err(e) => Err(Rejection::new(1290, "HY000", format!("KILL refused: {e}"))),
            };
            let _gone = tell.send(Answer::Killed(outcome));
        });
    }
}

impl Driver for MySql {
    type Session = Session;

    fn services(&self) -> &Services {
        &self.endpoint.services
    }

    fn ask(&self, question: Question, tell: UnboundedSender<Answer>) -> Result<(), String> {
        match question {
            Question::Park(waiting) => {
                if waiting.is_new {
                    parked::ask(self.services(), &waiting.approval);
                }
            }
            Question::Read(text, environment) => {
                let reader = Arc::clone(&self.reader.lock());
                let read = Box::new(move || {
                    // Of a session that is gone nothing is read any more.
                    if tell.is_closed() {
                        return;
                    }
                    let _gone = tell.send(Answer::Reading(reader.read(&text, &environment, true)));
                });
                if !self.services().analysis.run(read) {
                    return Err("too many long statements wait to be read: try again later".into());
                }
            }
            Question::Schema { changed } => self.refresh(changed, tell),
            Question::Kill(kill, ticket) => self.kill(kill, ticket, tell),
            Question::ChangeUser(login) => self.go_on(Again::begin(&self.endpoint, &self.caller, login), tell),
            Question::LoginPacket(packet) => {
                let again = self.again.lock().take();
                let unasked = || Rejected::new("client", 1043, "08S01", "a log-in that did not begin");
                self.go_on(again.ok_or_else(unasked).and_then(|again| again.handle(&packet)), tell);
            }
        }
        Ok(())
    }

    /// `KILL QUERY` by the upstream's own number, over a connection of its own.
    fn cancel_upstream(&self) {
        let (endpoint, number) = (Arc::clone(&self.endpoint), self.number);
        tokio::spawn(async move {
            if let Err(e) = upstream::kill_query(&endpoint, number).await {
                tracing::warn!(connection = %endpoint.connection.info.name, "a statement was not cancelled: {e}");
            }
        });
    }
}
