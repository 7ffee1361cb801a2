//! What MySQL sessions ask of the gateway: texts read on threads with a big stack, fresh schemas, other sessions of the
//! caller ended, who logs in anew.
use super::{Endpoint, handshake::Again, upstream};
use crate::{
    parked,
    relay::Driver,
    services::{Services, now},
};
use doorward_mysql::{
    Answer, ClientLogin, Question, Session,
    facts::{Kill, SqlReader},
    login::{Expectation, LoginAsk},
    render::Rejection,
    startup::Login,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// One session's ends outside of it.
pub(super) struct MySql {
    endpoint: Arc<Endpoint>,
    /// The caller ([`doorward_model::Principal::id`]).
    who: String,
    again: Again,
    changing: Mutex<Option<(ClientLogin, Option<Vec<u8>>)>>,
    reader: Arc<Mutex<Arc<dyn SqlReader>>>,
    /// The number by which the upstream knows the session.
    number: u32,
}

impl MySql {
    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        who: String,
        again: Again,
        reader: &Arc<dyn SqlReader>,
        number: u32,
    ) -> Self {
        let reader = Arc::new(Mutex::new(Arc::clone(reader)));
        Self { endpoint: Arc::clone(endpoint), who, again, changing: Mutex::default(), reader, number }
    }

    fn refresh(&self, tell: UnboundedSender<Answer>) {
        let (endpoint, reader) = (Arc::clone(&self.endpoint), Arc::clone(&self.reader));
        tokio::spawn(async move {
            match endpoint.snapshots.refresh(&endpoint).await {
                Ok(snapshot) => {
                    *reader.lock() = Arc::clone(&snapshot.reader);
                    let _gone = tell.send(Answer::Reader(snapshot.reader));
                }
                Err(e) => {
                    tracing::warn!(connection = %endpoint.connection.info.name, "the schema could not be read: {e}")
                }
            }
        });
    }

    /// Ends another session of the same caller on the same connection, or what it runs.
    fn kill(&self, kill: Kill) -> Result<(), Rejection> {
        let unknown = || Rejection::new(1094, "HY000", format!("Unknown thread id: {}", kill.id));
        let number = u32::try_from(kill.id).map_err(|_| unknown())?;
        let name = self.endpoint.connection.info.name.to_string();
        let ended = self.services().registry.end_of(number, &name, &self.who, kill.query_only);
        if ended { Ok(()) } else { Err(unknown()) }
    }

    fn step(&self, mut ask: LoginAsk, tell: &UnboundedSender<Answer>) {
        let denied = || Rejection::new(1045, "28000", "Access denied: the caller of a session cannot change");
        loop {
            let mut changing = self.changing.lock();
            let Some((login, database)) = changing.as_mut() else { return };
            ask = match ask {
                LoginAsk::Who(who) => {
                    *database = who.database;
                    match login.answer(Expectation::Token) {
                        Ok(next) => next,
                        Err(_) => LoginAsk::Refuse(denied()),
                    }
                }
                LoginAsk::Send(payload) => {
                    let _gone = tell.send(Answer::Say(payload));
                    return;
                }
                LoginAsk::Token(token) => {
                    let database = database.take();
                    let (identity, who, tell) = (Arc::clone(&self.services().identity), self.who.clone(), tell.clone());
                    tokio::spawn(async move {
                        let known = identity.verify(token.expose(), now()).await;
                        let same = known.is_ok_and(|principal| principal.id() == who);
                        let _gone = tell.send(Answer::User(if same { Ok(database) } else { Err(denied()) }));
                    });
                    return;
                }
                LoginAsk::Refuse(rejection) => {
                    let _gone = tell.send(Answer::User(Err(rejection)));
                    return;
                }
                LoginAsk::Tls | LoginAsk::Proven(_) => {
                    let _gone = tell.send(Answer::User(Err(denied())));
                    return;
                }
            };
        }
    }

    fn change_user(&self, login: Login, tell: &UnboundedSender<Answer>) {
        let Again { agreed, tls, clear_allowed, nonce } = self.again;
        let (login, ask) = ClientLogin::again(agreed, nonce, tls, clear_allowed, login);
        *self.changing.lock() = Some((login, None));
        self.step(ask, tell);
    }

    fn login_packet(&self, packet: &[u8], tell: &UnboundedSender<Answer>) {
        let ask = self.changing.lock().as_mut().map(|(login, _)| login.handle(packet));
        let odd = || LoginAsk::Refuse(Rejection::new(1043, "08S01", "Bad handshake"));
        self.step(ask.and_then(Result::ok).unwrap_or_else(odd), tell);
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
                    let _gone = tell.send(Answer::Reading(reader.read(&text, &environment, true)));
                });
                if !self.services().analysis.run(read) {
                    return Err("too many long statements wait to be read: try again later".into());
                }
            }
            Question::Schema => self.refresh(tell),
            Question::Kill(kill) => drop(tell.send(Answer::Killed(self.kill(kill)))),
            Question::ChangeUser(login) => self.change_user(login, &tell),
            Question::LoginPacket(packet) => self.login_packet(&packet, &tell),
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
