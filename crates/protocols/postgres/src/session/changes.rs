//! Changes of the schema that this session makes: when others hear of them, and of which they need not.
//!
//! ```text
//! CommandComplete of a definition ── others look again: while it is locked, what it changes is unknown to them
//! CommandComplete of COMMIT       ── it counts: before the caller is told so
//! CommandComplete of ROLLBACK     ── it is gone: those who looked when it was locked look again
//! ReadyForQuery, no transaction   ── both hold of what had neither of its own
//! ```
use super::Session;
use doorward_model::{Action, Resource};
use doorward_sql::{Catalogue, postgres::Effect};
use doorward_sql_session::{Meaning, Part};

/// Words in the names of commands that lock what others read while they are under way: until the transaction ends, it is unknown.
const LOCKING: &[&str] = &["DOMAIN", "EXTENSION", "OWNED", "RENAME", "RULE", "SCHEMA", "TABLE", "TYPE", "VIEW"];

/// What is locked by nobody while it is made, or new: until its transaction ends, nothing is another thing.
const QUIET: &[&str] =
    &["CREATE MATERIALIZED VIEW", "CREATE SCHEMA", "CREATE TABLE", "CREATE TABLE AS", "CREATE DOMAIN", "CREATE TYPE"];

impl Session {
    /// A statement has succeeded, of which the caller is about to be told; what it does is applied.
    pub(super) fn tell_of_changes(&mut self, tag: &str, meaning: &Meaning, part: usize) {
        if tag == "COMMIT PREPARED" {
            // Whatever another session has prepared.
            self.settings.schema_changed();
        }
        if matches!(tag, "COMMIT" | "COMMIT PREPARED") {
            let _told_now = self.settings.take_told_early();
            if self.settings.tell_schema_changed() {
                self.heard.made();
            }
            return;
        }
        if tag == "ROLLBACK PREPARED" {
            // What another session had locked with it is free.
            return self.heard.made();
        }
        let Some(part) = meaning.parts.get(part).filter(|part| changes_for_all(part, meaning)) else { return };
        // Outside of a transaction it may have been committed already. It is told once more when that is certain.
        let locks = || part.command.split(' ').any(|word| LOCKING.contains(&word)) && !QUIET.contains(&&*part.command);
        if self.status == b'I' || locks() {
            self.heard.made();
            self.settings.told_early();
        }
    }

    /// A transaction was rolled back. Nobody has to hear of what is not there, but those who have heard of it: what was locked
    /// when they looked is unknown to them.
    pub(super) fn tell_rolled_back(&mut self) {
        let _gone = self.settings.tell_schema_changed();
        if self.settings.take_told_early() {
            self.heard.made();
        }
    }

    /// No transaction is open any more.
    pub(super) fn tell_at_rest(&mut self, rolled_back: bool) {
        if rolled_back {
            return self.tell_rolled_back();
        }
        let _told_now = self.settings.take_told_early();
        if self.settings.tell_schema_changed() {
            self.heard.made();
        }
    }
}

/// Whether a statement has changed what other sessions see, or may have.
pub(super) fn changes_for_all(part: &Part, meaning: &Meaning) -> bool {
    part.effects.iter().any(|effect| matches!(effect, Effect::SchemaChanged)) && !is_of_the_session(part, meaning)
}

/// Whether a statement may have something that is there go by another name, or make what is no plain table.
pub(super) fn may_rename(part: &Part, meaning: &Meaning, catalogue: &Catalogue) -> bool {
    const PLAIN: &[&str] =
        &["TABLE", "INDEX", "SEQUENCE", "TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "COMMENT", "INTO"];
    if part.is_or_runs("RENAME") || part.is_or_runs("OBJECT SCHEMA") {
        // Of what this transaction has made itself, nothing is there.
        let is_new = |resource: &Resource| matches!(resource, Resource::Table { schema, name } if catalogue.named(schema, name).is_none());
        let mut altered = meaning.facts.accesses.iter().filter(|access| access.action == Action::Alter).peekable();
        return altered.peek().is_none() || !altered.all(|access| is_new(&access.resource));
    }
    let changes = part.effects.iter().any(|effect| matches!(effect, Effect::SchemaChanged));
    let is_plain = part.command.split(' ').any(|word| PLAIN.contains(&word)) || part.command.starts_with("DROP");
    part.is_or_runs("VIEW") && !part.command.starts_with("DROP") || (changes && !is_plain)
}

/// Whether what a statement makes or removes is a temporary table: no other session can name it, nor does the catalogue have it.
fn is_of_the_session(part: &Part, meaning: &Meaning) -> bool {
    // The accesses are those of the whole text.
    if meaning.parts.len() != 1 {
        return false;
    }
    let makes = matches!(&*part.command, "CREATE TABLE" | "CREATE TABLE AS" | "SELECT INTO")
        && part.effects.iter().any(|effect| matches!(effect, Effect::MadeTemporary { .. }));
    let drops = &*part.command == "DROP TABLE";
    let defines =
        meaning.facts.accesses.iter().filter(|a| matches!(a.action, Action::Create | Action::Alter | Action::Drop));
    let is_temporary =
        |resource: &Resource| matches!(resource, Resource::Table { schema, .. } if &**schema == "pg_temp");
    (makes || drops) && defines.into_iter().all(|access| is_temporary(&access.resource))
}
