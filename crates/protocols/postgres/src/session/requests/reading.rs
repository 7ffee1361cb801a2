//! Texts: what they mean under the settings and the schema of the moment, and what was prepared before.
use super::{
    super::{Event, Pause, Prepared, Question, Session, SqlPrepared, text_of},
    Reading,
};
use crate::{
    codec::{ClientMessage, Target},
    render::Rejection,
};
use doorward_enforce::Refusal;
use doorward_model::{Name, Timestamp};
use doorward_sql::{
    ReadUnder as _,
    postgres::{Analysis, Cost, Effect, Environment, SqlError, Transaction, analyse, cost, has_other_names},
};
use doorward_sql_session::{Meaning, refusals::not_understood};
use std::sync::Arc;

impl Session {
    /// Reads a text under the settings of the moment.
    pub(super) fn read_text(&mut self, query: &[u8], now: Timestamp) -> Reading {
        if self.must_wait() {
            let _step = self.wait_for_answers();
            return Reading::Wait;
        }
        if self.waits_for_a_change() {
            return Reading::Wait;
        }
        let Some(text) = text_of(query) else {
            let message = "invalid byte sequence for encoding \"UTF8\"";
            return Reading::Refused(Rejection::new("22021", message, None));
        };
        if !self.names_are_utf8 && has_other_names(text) {
            return Reading::Refused(other_name());
        }
        let reading = self.read_str(text);
        if let Reading::Read(meaning, _) = &reading
            && !self.looked_again
        {
            // INVARIANT: what is not known may be a view that others have made since. What is not there even now is made in
            // this transaction, and of nothing hidden; or it is not there.
            let is_unknown = self.reveals.names_unknown(meaning);
            let locked = self.reveals.names_unread(meaning);
            // What rows this transaction puts into a table of its own, are many.
            let changes = !self.settings.has_changed_schema() && self.reveals.changes_unknown(meaning);
            if is_unknown || ((changes || !locked.is_empty()) && self.hides_anything(now)) {
                self.looked_again = true;
                return self.ask_for_the_schema(locked);
            }
        }
        reading
    }

    /// Whether the schema has to be read again that this session has changed. Others see what it has changed once its
    /// transaction has ended: not before the Sync after it is answered.
    fn waits_for_a_change(&mut self) -> bool {
        if self.status != b'I' || self.segment_open || !self.settings.has_changed_schema() {
            return false;
        }
        if !self.pipeline.is_empty() {
            let _step = self.wait_for_answers();
            return true;
        }
        self.settings.take_schema_changed();
        let _waits = self.ask_for_the_schema(Vec::new());
        true
    }

    /// Refuses a name of the protocol that the server may keep as another, or as one with another.
    pub(super) fn names_what_it_means(&self, message: &ClientMessage<'_>) -> Result<(), Rejection> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "all that have names are here")]
        let names = match message {
            ClientMessage::Parse { name, .. } => [*name, ""],
            ClientMessage::Bind(bind) => [bind.portal, bind.statement],
            ClientMessage::Describe(Target::Statement(name) | Target::Portal(name))
            | ClientMessage::Close(Target::Statement(name) | Target::Portal(name)) => [*name, ""],
            ClientMessage::Execute { portal, .. } => [*portal, ""],
            _ => return Ok(()),
        };
        if self.names_are_utf8 || names.iter().all(|name| name.is_ascii()) { Ok(()) } else { Err(other_name()) }
    }

    fn read_str(&mut self, text: &str) -> Reading {
        let environment = match self.settings.environment(self.reveals.catalogue()) {
            Ok(environment) => environment,
            Err(why) => return self.read_an_end(text, why),
        };
        if !self.names_are_utf8 && !environment.search_path.iter().all(|name| name.is_ascii()) {
            return self.read_an_end(
                text,
                "statement refused: the search path has a name that this database may keep as another",
            );
        }
        if let Some(analysis) = self.cache.find(text, &environment) {
            return Reading::Read(self.meaning_of(text, &analysis), environment);
        }
        if let Pause::Analysis { text: of, .. } = &self.pause
            && &**of == text
            && let Pause::Analysis { result: Some(result), .. } = std::mem::replace(&mut self.pause, Pause::None)
        {
            return match result {
                Ok(analysis) => Reading::Read(self.meaning_of(text, &analysis), environment),
                Err(e) => Reading::Refused(unreadable(&e)),
            };
        }
        match cost(text) {
            Cost::TooDeep(what) => Reading::Refused(unreadable(&SqlError::TooDeep { what })),
            Cost::Inline => match analyse(text, &environment) {
                Ok(analysis) => {
                    let analysis = Arc::new(analysis);
                    self.cache.insert(text, &environment, Arc::clone(&analysis));
                    Reading::Read(self.meaning_of(text, &analysis), environment)
                }
                Err(e) => Reading::Refused(unreadable(&e)),
            },
            Cost::Offload => {
                let text: Arc<str> = Arc::from(text);
                self.events.push_back(Event::Ask(Question::Analyse(Arc::clone(&text), environment)));
                self.pause = Pause::Analysis { text, result: None };
                Reading::Wait
            }
        }
    }

    /// The end of a transaction means the same whatever the settings are.
    fn read_an_end(&mut self, text: &str, why: &str) -> Reading {
        let environment = Arc::new(Environment::default());
        let is_end = |effect: &Effect| matches!(effect, Effect::Transaction(Transaction::End));
        let read = if cost(text) == Cost::Inline { analyse(text, &environment).ok() } else { None };
        match read
            .filter(|read| read.statements.len() == 1 && read.statements.iter().all(|s| s.effects.iter().any(is_end)))
        {
            Some(analysis) => {
                let meaning = Meaning::resolve(Arc::from(text), &analysis, self);
                Reading::Read(Arc::new(meaning), environment)
            }
            None => Reading::Refused(Rejection::new("0A000", why, None)),
        }
    }

    /// `PREPARE` has succeeded.
    pub(in crate::session) fn remember_prepared(&mut self, name: &Name, analysis: &Arc<Analysis>, said: &Arc<str>) {
        if self.sql_prepared.len() >= self.limits.names {
            // What is not remembered is opaque when it is executed.
            return;
        }
        let Ok(environment) = self.settings.environment(self.reveals.catalogue()) else { return };
        let text = Arc::from(format!("EXECUTE \"{}\"", name.replace('"', "\"\"")));
        let mut meaning = Meaning::resolve(text, analysis, self);
        // Who approves an execution by messages is shown what the name stands for.
        meaning.parts.iter_mut().for_each(|part| part.names.push((name.clone(), Some(Arc::clone(said)))));
        let prepared = Arc::new(Prepared::new(Arc::new(meaning), environment));
        let known = SqlPrepared { analysis: Arc::clone(analysis), text: Arc::clone(said), prepared };
        self.sql_prepared.insert((&**name).into(), known);
    }

    fn meaning_of(&mut self, text: &str, analysis: &Arc<Analysis>) -> Arc<Meaning> {
        if let Some(known) = self.meanings.known(analysis) {
            return known;
        }
        let meaning = Arc::new(Meaning::resolve(Arc::from(text), analysis, self));
        self.meanings.keep(analysis, &meaning);
        meaning
    }

    /// What a prepared statement means now: the server reads it anew under another search path.
    pub(super) fn current_meaning(&mut self, prepared: &Arc<Prepared>) -> Reading {
        if self.must_wait() {
            let _step = self.wait_for_answers();
            return Reading::Wait;
        }
        if self.waits_for_a_change() {
            return Reading::Wait;
        }
        let now = match self.settings.environment(self.reveals.catalogue()) {
            Ok(environment) => environment,
            Err(why) => return self.read_an_end(&Arc::clone(&prepared.meaning.text), why),
        };
        if is_same(&now, &prepared.environment) && !prepared.meaning.by_name {
            return Reading::Read(Arc::clone(&prepared.meaning), now);
        }
        let text = Arc::clone(&prepared.meaning.text);
        self.read_str(&text)
    }

    pub(super) fn means_the_same(&mut self, prepared: &Prepared) -> bool {
        self.settings.environment(self.reveals.catalogue()).is_ok_and(|now| is_same(&now, &prepared.environment))
    }

    /// Whether a portal would run what was read when it was bound: the server looks the names of `FETCH` and
    /// `EXECUTE` up when the portal runs. `None` if that takes a while to find out.
    pub(super) fn still_means(&mut self, bound: &Arc<Meaning>) -> Option<Result<(), Refusal>> {
        if !bound.by_name {
            return Some(Ok(()));
        }
        Some(match self.read_str(&bound.text) {
            Reading::Wait => return None,
            Reading::Read(now, _) if now.same_as(bound) => Ok(()),
            Reading::Read(..) | Reading::Refused(_) => {
                let message =
                    format!("{} refused: what it names is another one since it was bound", bound.facts.command);
                Err(not_understood(message, Some("bind it again")))
            }
        })
    }
}

/// Whether a text read under one means the same under the other.
fn is_same(a: &Arc<Environment>, b: &Arc<Environment>) -> bool {
    Arc::ptr_eq(a, b) || a.reads_as(b)
}

/// In another encoding than UTF-8, the server cuts names elsewhere, and takes some for one that are two.
fn other_name() -> Rejection {
    let message = "statement refused: this database does not keep names as UTF-8, and may take one with other letters than ASCII for another";
    Rejection::new("0A000", message, Some("name things there by ASCII alone, or use a database with the encoding UTF8"))
}

fn unreadable(e: &SqlError) -> Rejection {
    match e {
        SqlError::Syntax { message, position } => Rejection::new("42601", message, None).at(*position),
        SqlError::TooDeep { .. } => {
            Rejection::new("54001", &e.to_string(), Some("split the statement, or send lists as one array parameter"))
        }
    }
}
