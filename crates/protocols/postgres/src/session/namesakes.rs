//! Names without a schema, where a relation with hidden columns has the same name in another schema. The gateway finds a
//! relation by the search path and the schema that it knows of; the server by those of the moment in which it reads the text.
//! Where the two could differ, a hidden relation would be read as one that is not.
//!
//! | what | what happens |
//! |---|---|
//! | a query that can be rewritten | the schema that was found is sent with the name ([`super::veil`]) |
//! | anything else, wherever such a relation is | refused: the schema has to be written |
//!
//! INVARIANT: whether it is in the search path is not asked. What the gateway takes for the path would be all that stands between
//! the caller and the values: each way to change it that is not noticed would show them.
//!
//! What is found hidden is written with its schema, too, or decides by nothing hidden: so schemas whose tables are all hidden
//! alike are as before.
use super::Session;
use doorward_enforce::Refusal;
use doorward_model::{Access, Action, Name, Resource, Timestamp};
use doorward_sql::{
    SourceColumn,
    postgres::{Effect, shows_values, telling_columns},
};
use doorward_sql_session::{Asking, Meaning, Part, refusals::not_understood};
use std::sync::Arc;

/// How many names are remembered.
const REMEMBERED: usize = 1024;

impl Session {
    /// The schemas in which a relation of this name has hidden columns, or tells of values.
    pub(super) fn hidden_under(&mut self, name: &Name, now: Timestamp) -> Arc<[Name]> {
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if let Some(known) = self.reveals.plans(&asking).namesakes.get(name) {
            return Arc::clone(known);
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        let mut schemas = Vec::new();
        for relation in catalogue.relations_named(name) {
            let is_hidden = match &*relation.schema {
                "pg_catalog" => shows_values("pg_catalog", name) || !telling_columns("pg_catalog", name).is_empty(),
                "information_schema" => false,
                _ => {
                    let (schema, table) = (relation.schema.clone(), relation.name.clone());
                    let all = SourceColumn { schema, table, column: None };
                    let is_hidden =
                        self.reveals.source(&all, &mut Asking { enforcer: &mut self.enforcer, now }).is_some();
                    // A view tells by what fails below it, whatever it shows.
                    is_hidden || (relation.kind.is_view() && self.reads_hidden(&relation.schema, name, now))
                }
            };
            if is_hidden {
                schemas.push(relation.schema.clone());
            }
        }
        let schemas: Arc<[Name]> = schemas.into();
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            let known = &mut self.reveals.plans(&asking).namesakes;
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(name.clone(), Arc::clone(&schemas));
        }
        schemas
    }

    /// The schemas in which a relation of the same name is hidden, where one that was found is not. None: there is none.
    pub(super) fn hidden_namesakes(&mut self, schema: &Name, name: &Name, now: Timestamp) -> Option<Arc<[Name]>> {
        let hidden = self.hidden_under(name, now);
        (!hidden.is_empty() && !hidden.contains(schema)).then_some(hidden)
    }

    /// Whether a text names a relation without its schema that has such a namesake.
    pub(super) fn has_namesakes(&mut self, meaning: &Meaning, now: Timestamp) -> bool {
        if !self.hides_anything(now) {
            return false;
        }
        let mut bare = meaning.parts.iter().flat_map(|part| &part.reads.bare);
        bare.any(|(schema, name)| self.hidden_namesakes(schema, name, now).is_some())
    }

    /// Refuses a text that is sent as it was written, where what it names without a schema may be another relation to the
    /// server, which is hidden.
    pub(super) fn names_are_certain(&mut self, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        for part in &meaning.parts {
            for (schema, name) in &part.reads.bare {
                if let Some(hidden) = self.hidden_namesakes(schema, name, now)
                    && let Some(other) = hidden.first()
                {
                    return Err(uncertain(&part.command, name, other));
                }
            }
        }
        Ok(())
    }

    /// Refuses a text that is sent as it was written, and reads what may have changed since the schema was read beside what
    /// is hidden: a column that is gone from the one may be one of the other.
    pub(super) fn columns_are_certain(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        let changes = |part: &Part| part.effects.iter().any(|effect| matches!(effect, Effect::SchemaChanged));
        let before = meaning.parts.split_last().map_or(&[][..], |(_, before)| before);
        let has_changed = self.settings.has_changed_schema() || before.iter().any(changes);
        let finds = |part: &Part| !part.reads.weighs.is_empty() || !part.moves.is_empty() || part.lineage.is_some();
        if !has_changed || !meaning.parts.iter().any(finds) || !self.hides(meaning, now) {
            return Ok(());
        }
        for Access { action, resource, .. } in &meaning.facts.accesses {
            let Resource::Table { schema, name } = resource else { continue };
            let reads = matches!(action, Action::Select | Action::Update | Action::Delete);
            if reads && !self.hidden_under(name, now).contains(schema) && &**schema != "pg_catalog" {
                let message = format!(
                    "{} refused: `{schema}.{name}` may have changed in this transaction, and is read beside columns that you may not see",
                    meaning.facts.command
                );
                return Err(not_understood(message, Some("end the transaction first")));
            }
        }
        Ok(())
    }
}

/// Whether a body is made, which the server reads when it is called.
pub(super) fn makes_a_body(part: &Part) -> bool {
    part.is_or_runs("CREATE FUNCTION") || part.is_or_runs("CREATE PROCEDURE")
}

/// What has to be said of a name that may mean a hidden relation.
pub(super) fn uncertain(command: &str, name: &str, hidden: &str) -> Refusal {
    let message = format!(
        "{command} refused: `{name}` without its schema may mean `{hidden}.{name}`, which has columns that you may not see"
    );
    not_understood(message, Some("write the schema before the name"))
}
