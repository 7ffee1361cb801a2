//! What would become of a text in a new session: nothing is decided, sent or written down.
use super::Session;
use doorward_enforce::Refusal;
use doorward_model::Timestamp;
use doorward_sql::postgres::{Cost, SqlError, analyse, cost};
use doorward_sql_session::{
    Asking, Meaning,
    explained::{Explained, Sent, columns, scans},
    refusals::not_understood,
};
use std::sync::Arc;

impl Session {
    /// What would become of a text if it came now. To be called on a thread with a stack of
    /// [`doorward_sql::postgres::BIG_STACK`] bytes.
    ///
    /// # Errors
    /// Where it cannot be read, in the words that its caller would get.
    pub fn explain(mut self, text: &str, now: Timestamp) -> Result<Explained, Refusal> {
        let environment = self.settings.environment(self.reveals.catalogue()).map_err(|why| unread(why.to_owned()))?;
        if let Cost::TooDeep(what) = cost(text) {
            return Err(unread(SqlError::TooDeep { what }.to_string()));
        }
        let analysis = analyse(text, &environment).map_err(|e| unread(e.to_string()))?;
        let meaning = Arc::new(Meaning::resolve(Arc::from(text), &analysis, &self));
        let admissible = self.admissible(&meaning, now);
        let (veil, admissible) = self.veiled(admissible, &meaning, now);
        let sent = admissible.map(|()| Sent {
            text: veil.as_ref().map_or_else(|| text.to_owned(), |veil| veil.text.to_string()),
            is_rewritten: veil.is_some(),
        });
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let columns = columns(&meaning, &mut self.reveals, asking);
        let scans = scans(&mut self.reveals, asking);
        let subject = Arc::clone(self.enforcer.subject());
        Ok(Explained { subject, facts: Arc::clone(&meaning.facts), sent, columns, scans })
    }
}

fn unread(why: String) -> Refusal {
    not_understood(why, None)
}
