//! What would become of a text in a new session: nothing is decided, sent or written down.
use super::{Session, requests::sent};
use crate::facts::{Environment, Unreadable};
use doorward_enforce::Refusal;
use doorward_model::Timestamp;
use doorward_sql_session::{
    Asking, Meaning,
    explained::{Explained, Sent, columns, scans},
    refusals::not_understood,
};
use std::sync::Arc;

/// What a new session reads texts under, but for its schema and the server's version.
const SQL_MODE: &str = "STRICT_TRANS_TABLES";

impl Session {
    /// What would become of a text if it came now, in this schema, under `utf8mb4` and the usual `sql_mode`. To be called
    /// on a thread with a big stack.
    ///
    /// # Errors
    /// Where it cannot be read, in the words that its caller would get.
    pub fn explain(mut self, text: &str, schema: Option<&str>, now: Timestamp) -> Result<Explained, Refusal> {
        let version = Arc::clone(&self.environment.version);
        let (sql_mode, charset) = (SQL_MODE.into(), "utf8mb4".into());
        self.environment = Environment { version, sql_mode, charset, schema: schema.map(Into::into) };
        let read = self.reader.read(text.as_bytes(), &self.environment, true);
        let analysis = read.map_err(|e| {
            let why = match e {
                Unreadable::Refused(why) | Unreadable::Syntax(why) => why,
                Unreadable::Later => "it is too long to be read here".to_owned(),
            };
            not_understood(why, None)
        })?;
        let meaning = Arc::new(Meaning::resolve(Arc::from(text), &analysis, &self));
        let admissible = self.admissible(&meaning, now);
        let (veil, admissible) = self.veiled(admissible, &meaning, now);
        let sent = admissible.map(|()| Sent {
            text: String::from_utf8_lossy(&sent(&meaning, veil.as_ref())).into_owned(),
            is_rewritten: veil.is_some(),
        });
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let columns = columns(&meaning, &mut self.reveals, asking);
        let scans = scans(&mut self.reveals, asking);
        let subject = Arc::clone(self.enforcer.subject());
        Ok(Explained { subject, facts: Arc::clone(&meaning.facts), sent, columns, scans })
    }
}
