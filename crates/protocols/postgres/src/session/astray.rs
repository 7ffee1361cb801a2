//! Code of others that runs over rows (triggers, constraints, views…) names tables and functions, and the server finds them when it runs.
//! Whoever makes something of such a name, in a schema that is looked at before, or takes away what was meant, has that code give
//! hidden values to what he chooses; so does whoever puts other code in the place of a function. So that is refused to who may not
//! see everything.
use super::{Session, tells::is_own};
use doorward_model::{Access, Action, Name, Resource};
use doorward_sql_session::Meaning;

impl Session {
    /// Why what is made, dropped or called otherwise could lead the code of others astray, if it could.
    pub(super) fn leads_astray(&self, access: &Access, meaning: &Meaning) -> Option<String> {
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
        if catalogue.functions_named(name).any(|f| !is_own(&f.schema)) {
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

fn names(name: &str) -> String {
    format!(
        "code that runs over rows that you may not see (a trigger, a constraint, a view) names `{name}`, and would find another"
    )
}

fn in_a_body(name: &str) -> String {
    format!("the body of a function names `{name}`, and may find another then")
}
