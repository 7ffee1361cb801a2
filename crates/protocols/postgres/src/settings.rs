//! Session settings that change what a text means: `search_path`, the role, what is in `pg_temp`.
//!
//! They follow the server's rules for transactions: what a transaction set is gone when it is
//! rolled back, `SET LOCAL` is gone when it ends. Where the state cannot be known (a rollback to a
//! savepoint after a change), statements are refused until it is known again.
use crate::startup::split_search_path;
use doorward_model::Name;
use doorward_sql::{Catalogue, postgres::Environment};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Environments are numbered process-wide, so that a shared cache never takes one for another.
static NEXT_ENVIRONMENT: AtomicU64 = AtomicU64::new(1);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Values {
    search_path: Arc<[Name]>,
    role: Name,
}

/// The tracked settings of one session.
#[derive(Debug)]
pub(crate) struct Settings {
    at_start: Values,
    /// As of the last time no transaction was open.
    at_idle: Values,
    /// What the session-level value will be if the open transaction commits.
    committed: Values,
    current: Values,
    uncertain: bool,
    temporary: BTreeSet<Name>,
    changed_in_transaction: bool,
    schema_changed: bool,
    /// Others are still to hear of it.
    to_be_told: bool,
    environment: Option<(Arc<Catalogue>, Arc<Environment>)>,
}

impl Settings {
    pub(crate) fn new(search_path: &str, role: &str) -> Self {
        let role = Name::from(role);
        let values = Values { search_path: resolve_path(search_path, &role), role };
        Self {
            at_start: values.clone(),
            at_idle: values.clone(),
            committed: values.clone(),
            current: values,
            uncertain: false,
            temporary: BTreeSet::new(),
            changed_in_transaction: false,
            schema_changed: false,
            to_be_told: false,
            environment: None,
        }
    }

    /// What texts mean now, or why that is not known.
    pub(crate) fn environment(&mut self, catalogue: &Arc<Catalogue>) -> Result<Arc<Environment>, &'static str> {
        if self.uncertain {
            return Err("after ROLLBACK TO SAVEPOINT the search path is not known: end the transaction first");
        }
        if let Some((of, environment)) = &self.environment
            && Arc::ptr_eq(of, catalogue)
        {
            return Ok(Arc::clone(environment));
        }
        // A temporary relation that may be gone must not hide a permanent one of its name.
        let temporary = self
            .temporary
            .iter()
            .filter(|t| !self.current.search_path.iter().any(|s| catalogue.named(s, t).is_some()))
            .cloned()
            .collect();
        let environment = Arc::new(Environment {
            catalogue: Arc::clone(catalogue),
            search_path: Arc::clone(&self.current.search_path),
            temporary: Arc::new(temporary),
            generation: NEXT_ENVIRONMENT.fetch_add(1, Ordering::Relaxed),
        });
        self.environment = Some((Arc::clone(catalogue), Arc::clone(&environment)));
        Ok(environment)
    }

    /// Whether statements read under this path mean the same now.
    pub(crate) fn is_search_path(&self, path: &[Name]) -> bool {
        !self.uncertain && *self.current.search_path == *path
    }

    /// The path of the moment.
    pub(crate) fn search_path(&self) -> &Arc<[Name]> {
        &self.current.search_path
    }

    /// A `SET` or `RESET` has succeeded.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>, local: bool) {
        let mut new = self.current.clone();
        match name {
            "search_path" => {
                new.search_path = match value {
                    Some(v) => resolve_path(v, &new.role),
                    None => Arc::clone(&self.at_start.search_path),
                };
            }
            "role" | "session_authorization" => {
                new.role = match value {
                    Some("none") | None => self.at_start.role.clone(),
                    Some(role) => Name::from(role),
                };
            }
            _ => return,
        }
        if !local {
            self.committed = new.clone();
        }
        self.become_values(new);
        self.changed_in_transaction = true;
    }

    pub(crate) fn reset_all(&mut self) {
        self.committed = self.at_start.clone();
        self.become_values(self.at_start.clone());
        self.changed_in_transaction = true;
    }

    pub(crate) fn made_temporary(&mut self, name: &Name) {
        // INVARIANT: bounded; a name that is not remembered resolves to a permanent relation, which is the stricter reading.
        if self.temporary.len() < 4096 && self.temporary.insert(name.clone()) {
            self.environment = None;
        }
    }

    pub(crate) fn schema_changed(&mut self) {
        self.schema_changed = true;
        self.to_be_told = true;
    }

    /// Whether others have to hear that the schema has changed: once, when no transaction is open any more.
    pub(crate) fn tell_schema_changed(&mut self) -> bool {
        std::mem::take(&mut self.to_be_told)
    }

    /// Whether the catalogue is out of date.
    pub(crate) const fn has_changed_schema(&self) -> bool {
        self.schema_changed
    }

    /// Whether the catalogue is out of date since this was last asked.
    pub(crate) fn take_schema_changed(&mut self) -> bool {
        std::mem::take(&mut self.schema_changed)
    }

    /// A command that ends or rewinds a transaction has succeeded.
    pub(crate) fn transaction_command(&mut self, tag: &str) {
        match tag {
            "COMMIT" | "PREPARE TRANSACTION" => {
                self.at_idle = self.committed.clone();
                self.become_values(self.committed.clone());
                self.settle();
            }
            "ROLLBACK" if self.changed_in_transaction => self.uncertain = true,
            _ => {}
        }
    }

    /// No transaction is open any more.
    pub(crate) fn idle(&mut self, failed_or_rolled_back: bool) {
        let values = if failed_or_rolled_back { self.at_idle.clone() } else { self.committed.clone() };
        self.at_idle = values.clone();
        self.committed = values.clone();
        self.become_values(values);
        self.settle();
    }

    fn settle(&mut self) {
        self.uncertain = false;
        self.changed_in_transaction = false;
    }

    fn become_values(&mut self, values: Values) {
        if self.current != values {
            self.current = values;
            self.environment = None;
        }
    }
}

fn resolve_path(value: &str, role: &Name) -> Arc<[Name]> {
    split_search_path(value).into_iter().map(|s| if s == "$user" { role.clone() } else { Name::from(s) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(s: &mut Settings) -> String {
        let environment = s.environment(&Arc::new(Catalogue::default())).unwrap();
        environment.search_path.join(",")
    }

    #[test]
    fn a_rollback_takes_a_change_back() {
        let mut s = Settings::new("\"$user\", public", "app");
        assert_eq!(path(&mut s), "app,public");
        s.set("search_path", Some("evil"), false);
        assert_eq!(path(&mut s), "evil");
        s.idle(true);
        assert_eq!(path(&mut s), "app,public");
        s.set("search_path", Some("a, \"B c\""), false);
        s.idle(false);
        assert_eq!(path(&mut s), "a,B c");
    }

    #[test]
    fn set_local_ends_with_its_transaction() {
        let mut s = Settings::new("public", "app");
        s.set("search_path", Some("x"), true);
        assert_eq!(path(&mut s), "x");
        s.transaction_command("COMMIT");
        s.idle(false);
        assert_eq!(path(&mut s), "public");
    }

    #[test]
    fn a_rollback_to_a_savepoint_after_a_change_is_not_guessed() {
        let mut s = Settings::new("public", "app");
        s.set("search_path", Some("x"), false);
        s.transaction_command("ROLLBACK");
        assert!(s.environment(&Arc::new(Catalogue::default())).is_err());
        s.idle(true);
        assert_eq!(path(&mut s), "public");
    }

    #[test]
    fn a_temporary_relation_does_not_hide_a_permanent_one() {
        let mut s = Settings::new("public", "app");
        s.made_temporary(&Name::from("scratch"));
        let environment = s.environment(&Arc::new(Catalogue::default())).unwrap();
        assert!(environment.temporary.contains("scratch"));
    }
}
