//! Code of others that runs over rows (triggers, constraints, views…) names tables and functions, and the server finds them when it runs.
//! Whoever makes something of such a name, in a schema that is looked at before, or takes away what was meant, has that code give
//! hidden values to what he chooses; so does whoever puts other code in the place of a function. So that is refused to who may not
//! see everything.
use super::{Session, tells::refused};
use doorward_enforce::Refusal;
use doorward_model::{Access, Action, Name, Resource, Timestamp};
use doorward_sql::{Catalogue, Reach, Relation, RelationKind};
use doorward_sql_session::Meaning;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Session {
    /// Why what is made, dropped or called otherwise could lead the code of others astray, if it could.
    pub(super) fn leads_astray(&mut self, access: &Access, meaning: &Meaning, now: Timestamp) -> Option<String> {
        if access.action == Action::Create
            && let Some(why) = self.stands_before_hidden(&access.resource, now)
        {
            return Some(why);
        }
        if access.action == Action::Drop
            && let Some(why) = self.is_dropped_with_hidden(&access.resource, now)
        {
            return Some(why);
        }
        match (access.action, &access.resource) {
            (action @ (Action::Create | Action::Alter | Action::Drop), Resource::Function { name, .. }) => {
                self.stands_for_code(action, name, meaning)
            }
            (Action::Create | Action::Drop, resource @ (Resource::Table { .. } | Resource::Object { .. })) => {
                self.is_called_by_code(resource)
            }
            (Action::Drop, Resource::Schema { name }) => self.holds_what_code_names(name),
            _ => None,
        }
    }

    /// Refuses what has code run over hidden values under a search path by which it finds others than its makers meant.
    pub(super) fn runs_code_as_meant(&mut self, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let may_run = |access: &Access| match (access.action, &access.resource) {
            (Action::Insert | Action::Update | Action::Delete | Action::Truncate, Resource::Table { .. }) => true,
            (Action::Select, Resource::Table { schema, name }) => {
                catalogue.named(schema, name).is_some_and(|relation| relation.kind == RelationKind::View)
            }
            _ => false,
        };
        if !meaning.facts.accesses.iter().any(may_run) || self.settings.leaves_code_alone(&catalogue) {
            return Ok(());
        }
        for Access { action, resource, .. } in &meaning.facts.accesses {
            let Resource::Table { schema, name } = resource else { continue };
            let changes = matches!(action, Action::Insert | Action::Update | Action::Delete | Action::Truncate);
            let Some(relation) = catalogue.named(schema, name).filter(|_| changes || *action == Action::Select) else {
                continue;
            };
            let concerned = concerned(&catalogue, relation);
            let runs = |r: &&Relation| changes || r.kind == RelationKind::View;
            let codes: Vec<_> = concerned.values().copied().filter(runs).flat_map(|r| catalogue.codes(r.oid)).collect();
            if codes.is_empty() {
                continue;
            }
            let reaches = codes.iter().filter_map(|(schema, name)| catalogue.reach(schema, name));
            let is_hidden = concerned.values().any(|r| self.has_hidden(r, now))
                || reaches.cloned().collect::<Vec<Reach>>().iter().any(|reach| self.reach_is_hidden(reach, now));
            if is_hidden && !self.may_bypass(resource, now) {
                let why = format!(
                    "code that runs over rows of `{schema}.{name}` would find others of the names in it, by the search path"
                );
                return Err(refused(&meaning.facts.command, &why));
            }
        }
        Ok(())
    }

    fn has_hidden(&mut self, relation: &Relation, now: Timestamp) -> bool {
        let (schema, name) = (relation.schema.clone(), relation.name.clone());
        self.source_is_hidden(&Resource::Table { schema, name }, now)
    }

    /// A temporary relation is found before others of its name: what is hidden would be read where it was meant, as the gateway
    /// cannot always tell when it is gone. One in another schema is found before, or after, by whoever has another path: code of others
    /// that puts names together, and whoever means the other.
    pub(super) fn stands_before_hidden(&mut self, resource: &Resource, now: Timestamp) -> Option<String> {
        let Resource::Table { schema, name } = resource else { return None };
        let hidden = self.hidden_under(name, now);
        let of = hidden.first()?;
        if &**schema == "pg_temp" {
            return Some(format!(
                "a temporary `{name}` would stand before `{of}.{name}`, which has columns that you may not see"
            ));
        }
        let why =
            || format!("`{schema}.{name}` would be called as `{of}.{name}`, which has columns that you may not see");
        (!hidden.contains(schema)).then(why)
    }

    /// Why a table with hidden columns is not dropped: another of its name has other columns.
    fn is_dropped_with_hidden(&mut self, resource: &Resource, now: Timestamp) -> Option<String> {
        let Resource::Table { schema, name } = resource else { return None };
        let why = || format!("`{schema}.{name}` has columns that you may not see, which are masked by their names");
        self.source_is_hidden(resource, now).then(why)
    }

    /// Why a function is left as it is, or not made.
    ///
    /// INVARIANT: in which schema it is, is not asked: which of several is meant depends on the path, on what schemas there are, and
    /// on the arguments. What this transaction has made, nothing of others knows yet.
    fn stands_for_code(&self, action: Action, name: &Name, meaning: &Meaning) -> Option<String> {
        let catalogue = self.reveals.catalogue();
        let says = |command: &Name| matches!(&**command, "COMMENT" | "SECURITY LABEL");
        if action == Action::Alter && meaning.parts.iter().all(|part| says(&part.command)) {
            return None;
        }
        if catalogue.functions_named(name).next().is_some() {
            return Some(format!("others may call `{name}` for rows that you may not see, and it is another one then"));
        }
        let is_named = action == Action::Create && catalogue.mentions().names(name);
        is_named.then(|| in_a_body(name))
    }

    /// Why nothing may come to be called so, or cease to.
    pub(super) fn is_called_by_code(&self, resource: &Resource) -> Option<String> {
        let mentions = self.reveals.catalogue().mentions();
        let name = if let Resource::Table { name, .. } = resource {
            &**name
        } else if let Resource::Function { name, .. } = resource {
            return mentions.names(name).then(|| in_a_body(name));
        } else if let Resource::Object { kind, name } = resource {
            match &**kind {
                "type" | "domain" => name.rsplit('.').next().unwrap_or_default(),
                "owned by" => {
                    let why = || "code that runs over rows that you may not see may name what is dropped".to_owned();
                    return mentions.runs_anything().then(why);
                }
                _ => return None,
            }
        } else {
            return None;
        };
        mentions.runs(name).then(|| names(name))
    }

    fn holds_what_code_names(&self, schema: &Name) -> Option<String> {
        let catalogue = self.reveals.catalogue();
        let mut tables = catalogue.relations().filter(|r| r.schema == *schema).map(|r| &r.name);
        let mut functions = catalogue.functions().filter(|f| f.schema == *schema).map(|f| &f.name);
        let is_named = |name: &&Name| catalogue.mentions().runs(name);
        let named = tables.find(is_named).or_else(|| functions.find(is_named));
        named.map(|name| names(name))
    }
}

/// A relation, those of which rows are its rows, and what it reads as a view.
fn concerned<'c>(catalogue: &'c Catalogue, relation: &'c Relation) -> BTreeMap<u32, &'c Relation> {
    let reads = match catalogue.view_reads(relation.oid) {
        Reach::Relations(reads) if relation.kind == RelationKind::View => reads,
        Reach::Relations(_) | Reach::Anything => BTreeSet::new(),
    };
    let read = reads.iter().filter_map(|oid| catalogue.relation(*oid));
    let all = read
        .chain([relation])
        .flat_map(|r| catalogue.shows(r.oid).into_iter().chain(catalogue.ancestors(r.oid)).chain([r]));
    all.map(|r| (r.oid, r)).collect()
}

fn names(name: &str) -> String {
    format!(
        "code that runs over rows that you may not see (a trigger, a constraint, a view) names `{name}`, and would find another"
    )
}

fn in_a_body(name: &str) -> String {
    format!("the body of a function names `{name}`, and may find another then")
}
