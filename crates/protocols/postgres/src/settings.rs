//! Session settings that change what a text means: `search_path`, the role, what is in `pg_temp`.
//!
//! They follow the server's rules for transactions: what a transaction set is gone when it is
//! rolled back, what was set since a savepoint when it is rolled back to that, `SET LOCAL` is gone
//! when the transaction ends. Where the state cannot be known (a savepoint that was not noticed),
//! statements are refused until it is known again.
use crate::startup::split_search_path;
use doorward_model::Name;
use doorward_sql::{Catalogue, Dropped, postgres::Environment};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Environments are numbered process-wide, so that a shared cache never takes one for another.
static NEXT_ENVIRONMENT: AtomicU64 = AtomicU64::new(1);

/// As they were set: what `"$user"` is depends on the role of the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values {
    search_path: Arc<str>,
    /// Of SET SESSION AUTHORIZATION.
    user: Name,
    /// Of SET ROLE; none where it is the user's own.
    role: Option<Name>,
    /// What is in `pg_temp`, and whether it may be dropped with something else.
    temporary: Arc<BTreeMap<Name, bool>>,
}

/// The values of a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moment {
    /// What the session-level value will be if the open transaction commits.
    committed: Values,
    current: Values,
}

/// A savepoint, or several that were made one right after the other, by the same name and with nothing set in between: as
/// drivers make one before each statement.
#[derive(Debug)]
struct Savepoint {
    name: Name,
    moment: Moment,
    /// How many, at least one.
    count: usize,
}

/// How many savepoints are remembered, those of one kind in a row as one.
const SAVEPOINTS: usize = 1024;

/// Savepoints beyond those that are remembered.
#[derive(Debug)]
struct Beyond {
    /// The values when the first of them was made.
    moment: Moment,
    /// Something was set since: what one of them goes back to is not known.
    changed: bool,
}

/// The tracked settings of one session.
#[derive(Debug)]
pub(crate) struct Settings {
    at_start: Values,
    /// As of the last time no transaction was open.
    at_idle: Values,
    now: Moment,
    /// The schemas of the path of the moment.
    path: Arc<[Name]>,
    /// Where some are beyond them, some of these may be gone.
    savepoints: Vec<Savepoint>,
    beyond: Option<Beyond>,
    uncertain: bool,
    schema_changed: bool,
    /// Something may go by another name since then.
    renamed: bool,
    temporary_views: BTreeSet<Name>,
    /// Others are still to hear of it.
    to_be_told: bool,
    /// Others have heard of it while it could still be rolled back.
    told_early: bool,
    environment: Option<(Arc<Catalogue>, Arc<Environment>)>,
}

impl Settings {
    /// As they are where the start of the session asks for another role.
    pub(crate) fn begun_as(mut self, role: Option<&str>) -> Self {
        if let Some(role) = role.filter(|role| *role != "none") {
            let role = Some(Name::from(role));
            for values in [&mut self.at_start, &mut self.at_idle, &mut self.now.committed, &mut self.now.current] {
                values.role.clone_from(&role);
            }
            self.path = self.now.current.path();
        }
        self
    }

    pub(crate) fn new(search_path: &str, role: &str) -> Self {
        let values =
            Values { search_path: search_path.into(), user: Name::from(role), role: None, temporary: Arc::default() };
        Self {
            path: values.path(),
            at_start: values.clone(),
            at_idle: values.clone(),
            now: Moment { committed: values.clone(), current: values },
            savepoints: Vec::new(),
            beyond: None,
            uncertain: false,
            schema_changed: false,
            renamed: false,
            temporary_views: BTreeSet::new(),
            to_be_told: false,
            told_early: false,
            environment: None,
        }
    }

    /// Whether code of others finds what it names where its makers' path has it: whether of the schemas that hold something
    /// of such a name, the path of the moment has the same in the same order as that of a log-in.
    pub(crate) fn leaves_code_alone(&self, catalogue: &Catalogue) -> bool {
        let own = Values { search_path: (&**catalogue.own_path()).into(), role: None, ..self.at_start.clone() }.path();
        let holding = |path: &Arc<[Name]>| -> Vec<Name> {
            let is_first = !path.iter().any(|schema| &**schema == "pg_catalog");
            let all = is_first.then(|| Name::from("pg_catalog")).into_iter().chain(path.iter().cloned());
            all.filter(|schema| &**schema == "pg_catalog" || catalogue.holds_what_code_names(schema)).collect()
        };
        Arc::ptr_eq(&own, &self.path) || own == self.path || holding(&own) == holding(&self.path)
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
        let environment = Arc::new(self.environment_under(catalogue));
        self.environment = Some((Arc::clone(catalogue), Arc::clone(&environment)));
        Ok(environment)
    }

    /// The same, if it is known, without keeping it.
    pub(crate) fn environment_now(&self, catalogue: &Arc<Catalogue>) -> Option<Arc<Environment>> {
        match &self.environment {
            _ if self.uncertain => None,
            Some((of, environment)) if Arc::ptr_eq(of, catalogue) => Some(Arc::clone(environment)),
            Some(_) | None => Some(Arc::new(self.environment_under(catalogue))),
        }
    }

    fn environment_under(&self, catalogue: &Arc<Catalogue>) -> Environment {
        // A temporary relation that may be gone must not hide a permanent one of its name.
        let is_there = |schema: &str, name: &Name| catalogue.named(schema, name).is_some();
        let hides = |name: &&Name| is_there("pg_catalog", name) || self.path.iter().any(|s| is_there(s, name));
        let (doubtful, temporary): (BTreeSet<Name>, BTreeSet<Name>) =
            self.now.current.temporary.keys().cloned().partition(|name| hides(&name));
        Environment {
            catalogue: Arc::clone(catalogue),
            search_path: Arc::clone(&self.path),
            temporary: Arc::new(temporary),
            doubtful: Arc::new(doubtful),
            generation: NEXT_ENVIRONMENT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// A `SET` or `RESET` has succeeded.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>, local: bool) {
        let at_start = self.at_start.clone();
        let set = |values: &mut Values| match name {
            "search_path" => values.search_path = value.map_or_else(|| at_start.search_path.clone(), Arc::from),
            "role" => {
                let role = || value.filter(|role| *role != "none").map(Name::from);
                values.role = if value.is_none() { at_start.role.clone() } else { role() };
            }
            "session_authorization" => {
                values.user = value.map_or_else(|| at_start.user.clone(), Name::from);
                values.role = None;
            }
            _ => {}
        };
        let mut now = self.now.clone();
        set(&mut now.current);
        if !local {
            set(&mut now.committed);
        }
        self.become_moment(now);
    }

    /// `RESET ALL` has succeeded. It leaves the role as it is.
    pub(crate) fn reset_all(&mut self) {
        self.set("search_path", None, false);
    }

    /// A relation was made in `pg_temp`.
    ///
    /// INVARIANT: bounded; a name that is not remembered resolves to a permanent relation, which is the stricter reading. So
    /// are names as the server's own have them: none of a session's hides those.
    pub(crate) fn made_temporary(&mut self, name: &Name, until_commit: bool, depends: bool) {
        let known = &self.now.current.temporary;
        if known.len() >= 4096 || name.starts_with("pg_") || known.contains_key(name) {
            return;
        }
        self.change_temporary(!until_commit, |temporary| {
            temporary.insert(name.clone(), depends);
        });
    }

    /// Relations of `pg_temp` are gone: their names mean others again.
    pub(crate) fn dropped_temporary(&mut self, what: &Dropped) {
        self.change_temporary(true, |temporary| match what {
            Dropped::One(name) => {
                temporary.remove(name);
            }
            Dropped::Dependent => temporary.retain(|_, depends| !*depends),
            Dropped::All => temporary.clear(),
        });
    }

    fn change_temporary(&mut self, lasts: bool, change: impl Fn(&mut BTreeMap<Name, bool>)) {
        let mut now = self.now.clone();
        change(Arc::make_mut(&mut now.current.temporary));
        if lasts {
            change(Arc::make_mut(&mut now.committed.temporary));
        }
        self.become_moment(now);
    }

    pub(crate) fn schema_changed(&mut self) {
        self.schema_changed = true;
        self.to_be_told = true;
    }

    /// Whether others have to hear that the schema has changed: once, when no transaction is open any more.
    pub(crate) fn tell_schema_changed(&mut self) -> bool {
        std::mem::take(&mut self.to_be_told)
    }

    /// Others hear of a change before its transaction has ended.
    pub(crate) const fn told_early(&mut self) {
        self.told_early = true;
    }

    /// Whether others have looked at a change that may be gone, or may be free to be looked at: once.
    pub(crate) fn take_told_early(&mut self) -> bool {
        std::mem::take(&mut self.told_early)
    }

    /// Whether the catalogue is out of date.
    pub(crate) const fn has_changed_schema(&self) -> bool {
        self.schema_changed
    }

    /// What is there may go by another name, until the schema is read again.
    pub(crate) const fn may_be_renamed(&mut self) {
        self.renamed = true;
    }

    pub(crate) const fn has_renamed(&self) -> bool {
        self.renamed
    }

    /// A temporary view was made. It may be there again after any rollback.
    pub(crate) fn made_temporary_view(&mut self, name: &Name) {
        self.temporary_views.insert(name.clone());
    }

    /// Whether a temporary relation may be a view.
    pub(crate) fn is_temporary_view(&self, name: &Name) -> bool {
        self.temporary_views.contains(name)
    }

    /// Whether the catalogue is out of date since this was last asked.
    pub(crate) fn take_schema_changed(&mut self) -> bool {
        self.renamed = false;
        std::mem::take(&mut self.schema_changed)
    }

    /// Whether something was set since no transaction was open.
    pub(crate) fn has_set(&self) -> bool {
        self.uncertain || self.now.current != self.at_idle || self.now.committed != self.at_idle
    }

    /// A transaction has ended, whether another begins with it or not.
    pub(crate) fn ended(&mut self, rolled_back: bool) {
        let values = if rolled_back { self.at_idle.clone() } else { self.now.committed.clone() };
        self.at_idle = values.clone();
        self.become_moment(Moment { committed: values.clone(), current: values });
        self.savepoints.clear();
        self.beyond = None;
        self.uncertain = false;
    }

    pub(crate) fn savepoint(&mut self, name: &Name) {
        if self.beyond.is_some() {
            return;
        }
        let is_full = self.savepoints.len() >= SAVEPOINTS;
        match self.savepoints.last_mut().filter(|last| last.name == *name && last.moment == self.now) {
            Some(last) => last.count = last.count.saturating_add(1),
            None if is_full => self.beyond = Some(Beyond { moment: self.now.clone(), changed: false }),
            None => self.savepoints.push(Savepoint { name: name.clone(), moment: self.now.clone(), count: 1 }),
        }
    }

    /// What was set since a savepoint is gone. The savepoint stays.
    pub(crate) fn rolled_back_to(&mut self, name: &Name) {
        if let Some(beyond) = &self.beyond {
            // INVARIANT: which savepoint it was, and which are left, is not known; but that it was one of those of its name. Where
            // nothing was set since any of them, nothing is taken back.
            let mut known = self.savepoints.iter().filter(|known| known.name == *name);
            self.uncertain |= beyond.changed || !known.all(|known| known.moment == beyond.moment);
            return;
        }
        let at = self.last_savepoint(name);
        match at.and_then(|at| self.savepoints.get(at)).map(|known| known.moment.clone()) {
            Some(moment) => {
                self.savepoints.truncate(at.map_or(0, |at| at + 1));
                self.become_moment(moment);
            }
            // It was not noticed.
            None => self.uncertain = true,
        }
    }

    pub(crate) fn released(&mut self, name: &Name) {
        let Some(at) = self.last_savepoint(name).filter(|_| self.beyond.is_none()) else { return };
        self.savepoints.truncate(at + 1);
        if let Some(last) = self.savepoints.last_mut() {
            last.count -= 1;
            if last.count == 0 {
                self.savepoints.pop();
            }
        }
    }

    fn last_savepoint(&self, name: &Name) -> Option<usize> {
        self.savepoints.iter().rposition(|known| known.name == *name)
    }

    fn become_moment(&mut self, now: Moment) {
        if let Some(beyond) = &mut self.beyond {
            beyond.changed |= now != beyond.moment;
        }
        if self.now.current != now.current {
            self.path = now.current.path();
            self.environment = None;
        }
        self.now = now;
    }
}

impl Values {
    fn path(&self) -> Arc<[Name]> {
        let role = self.role.as_ref().unwrap_or(&self.user);
        let schemas = split_search_path(&self.search_path).into_iter();
        schemas.map(|s| if s == "$user" { role.clone() } else { Name::from(s) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_sql::{Relation, RelationKind};

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
        s.ended(true);
        assert_eq!(path(&mut s), "app,public");
        s.set("search_path", Some("a, \"B c\""), false);
        s.ended(false);
        assert_eq!(path(&mut s), "a,B c");
        // What is set after an end is not rolled back by it.
        s.ended(true);
        s.set("search_path", Some("later"), false);
        s.ended(false);
        assert_eq!(path(&mut s), "later");
    }

    #[test]
    fn set_local_ends_with_its_transaction() {
        let mut s = Settings::new("public", "app");
        s.set("search_path", Some("x"), true);
        assert_eq!(path(&mut s), "x");
        s.ended(false);
        assert_eq!(path(&mut s), "public");
        // What else is set for good does not make it last.
        s.set("search_path", Some("\"$user\""), true);
        s.set("role", Some("alice"), false);
        assert_eq!(path(&mut s), "alice");
        s.ended(false);
        assert_eq!(path(&mut s), "public");
    }

    #[test]
    fn a_role_that_a_session_begins_as_is_not_its_user() {
        let mut s = Settings::new("\"$user\", public", "app").begun_as(Some("dec"));
        assert_eq!(path(&mut s), "dec,public");
        s.set("role", Some("none"), false);
        assert_eq!(path(&mut s), "app,public");
        s.set("role", None, false);
        assert_eq!(path(&mut s), "dec,public");
    }

    #[test]
    fn the_user_in_a_path_is_the_role_of_the_moment() {
        let mut s = Settings::new("\"$user\", public", "app");
        s.set("role", Some("alice"), false);
        assert_eq!(path(&mut s), "alice,public");
        s.reset_all();
        assert_eq!(path(&mut s), "alice,public", "RESET ALL leaves the role");
        s.set("role", Some("none"), false);
        assert_eq!(path(&mut s), "app,public");
        s.set("role", Some("alice"), false);
        s.set("session_authorization", Some("bob"), false);
        assert_eq!(path(&mut s), "bob,public");
        s.set("role", Some("alice"), false);
        s.set("role", None, false);
        assert_eq!(path(&mut s), "bob,public");
        s.set("session_authorization", None, false);
        assert_eq!(path(&mut s), "app,public");
    }

    #[test]
    fn savepoints_keep_what_was_set() {
        let mut s = Settings::new("public", "app");
        let (a, b) = (Name::from("a"), Name::from("b"));
        s.savepoint(&a);
        s.set("search_path", Some("x"), false);
        s.savepoint(&b);
        s.set("search_path", Some("y"), true);
        s.savepoint(&a);
        s.set("search_path", Some("z"), false);
        s.rolled_back_to(&a);
        assert_eq!(path(&mut s), "y");
        s.released(&a);
        s.rolled_back_to(&b);
        assert_eq!(path(&mut s), "x");
        s.released(&b);
        s.rolled_back_to(&a);
        assert_eq!(path(&mut s), "public");
        s.rolled_back_to(&a);
        s.ended(false);
        assert_eq!(path(&mut s), "public");
        // One that was not noticed.
        s.rolled_back_to(&a);
        assert!(s.environment(&Arc::new(Catalogue::default())).is_err());
        s.ended(true);
        assert_eq!(path(&mut s), "public");
    }

    #[test]
    fn many_savepoints_in_a_row_are_as_one() {
        let mut s = Settings::new("public", "app");
        let (a, b) = (Name::from("a"), Name::from("b"));
        s.savepoint(&a);
        s.set("search_path", Some("x"), false);
        for _ in 0..10 * SAVEPOINTS {
            s.savepoint(&b);
        }
        s.set("search_path", Some("y"), false);
        s.rolled_back_to(&b);
        assert_eq!(path(&mut s), "x");
        for _ in 1..10 * SAVEPOINTS {
            s.released(&b);
        }
        s.set("search_path", Some("z"), false);
        s.rolled_back_to(&b);
        assert_eq!(path(&mut s), "x", "one is left");
        s.released(&b);
        s.rolled_back_to(&a);
        assert_eq!(path(&mut s), "public");
    }

    #[test]
    fn beyond_what_is_remembered_it_counts_whether_something_was_set() {
        let is_known = |s: &mut Settings| s.environment(&Arc::new(Catalogue::default())).is_ok();
        let name = |n: usize| Name::from(format!("s{n}").as_str());
        let many = || {
            let mut s = Settings::new("public", "app");
            s.savepoint(&"before".into());
            s.set("search_path", Some("x"), false);
            (0..2 * SAVEPOINTS).for_each(|n| s.savepoint(&name(n)));
            s
        };
        let mut s = many();
        s.rolled_back_to(&name(2 * SAVEPOINTS - 1));
        s.released(&name(2 * SAVEPOINTS - 1));
        s.rolled_back_to(&name(7));
        assert_eq!(path(&mut s), "x");
        // There may be another of that name, later.
        s.rolled_back_to(&"before".into());
        assert!(!is_known(&mut s));
        s.ended(true);
        assert_eq!(path(&mut s), "public");
        s.savepoint(&"before".into());
        s.set("search_path", Some("y"), false);
        s.rolled_back_to(&"before".into());
        assert_eq!(path(&mut s), "public", "a new transaction knows its own");
        let mut s = many();
        s.set("search_path", Some("y"), true);
        assert!(is_known(&mut s));
        s.set("search_path", Some("x"), false);
        s.rolled_back_to(&name(2 * SAVEPOINTS - 1));
        assert!(!is_known(&mut s));
    }

    #[test]
    fn what_is_temporary_follows_transactions_and_is_forgotten_when_it_is_dropped() {
        let known = |s: &mut Settings| {
            let environment = s.environment(&Arc::new(Catalogue::default())).unwrap();
            environment.temporary.iter().map(|n| &**n).collect::<Vec<_>>().join(",")
        };
        let one = |name: &str| Dropped::One(name.into());
        let mut s = Settings::new("public", "app");
        s.made_temporary(&"a".into(), false, false);
        s.made_temporary(&"v".into(), false, true);
        s.ended(false);
        assert_eq!(known(&mut s), "a,v");
        // In a transaction that is rolled back.
        s.made_temporary(&"b".into(), false, false);
        s.savepoint(&"s".into());
        s.made_temporary(&"c".into(), false, false);
        s.dropped_temporary(&one("a"));
        assert_eq!(known(&mut s), "b,c,v");
        s.rolled_back_to(&"s".into());
        assert_eq!(known(&mut s), "a,b,v");
        s.dropped_temporary(&Dropped::Dependent);
        assert_eq!(known(&mut s), "a,b");
        s.ended(true);
        assert_eq!(known(&mut s), "a,v");
        // In one that is committed.
        s.made_temporary(&"d".into(), true, false);
        s.made_temporary(&"e".into(), false, false);
        s.dropped_temporary(&one("a"));
        assert_eq!(known(&mut s), "d,e,v");
        s.set("search_path", Some("x"), false);
        s.ended(false);
        assert_eq!(known(&mut s), "e,v", "ON COMMIT DROP");
        s.dropped_temporary(&Dropped::All);
        s.ended(false);
        assert_eq!((known(&mut s), path(&mut s)), (String::new(), "x".into()));
    }

    #[test]
    fn a_temporary_relation_does_not_hide_a_permanent_one() {
        let mut s = Settings::new("public", "app");
        let relation = |oid, schema: &str, name: &str| Relation {
            oid,
            schema: schema.into(),
            name: name.into(),
            kind: RelationKind::View,
            columns: Vec::new(),
        };
        let known = [relation(1, "public", "t"), relation(2, "pg_catalog", "odd")];
        let catalogue = Arc::new(Catalogue::new(1, known, []));
        for name in ["scratch", "t", "odd", "pg_stats"] {
            s.made_temporary(&Name::from(name), false, false);
        }
        let environment = s.environment(&catalogue).unwrap();
        assert_eq!(environment.temporary.iter().map(|n| &**n).collect::<Vec<_>>(), ["scratch"]);
    }
}
