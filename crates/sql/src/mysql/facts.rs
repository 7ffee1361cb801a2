//! What a tree asks for. Recursion is bounded by the nesting that the parser allows.
use super::{
    Environment,
    functions::{Known, known},
    settings,
    tree::*,
};
use doorward_model::{Access, Action, Name, Resource};

pub(super) struct Walk<'e> {
    env: &'e Environment,
    accesses: Vec<Access>,
    /// Names of common table expressions, innermost last.
    ctes: Vec<Name>,
    /// Those that one server takes for a common table expression where another takes them for a table, in lower case.
    doubtful: Vec<String>,
    nesting: Nesting,
    found: Found,
}

/// What stands of WITH within the reach of another. Servers take names there for different tables: to MariaDB, what an element of
/// the inner one names is no element of the outer one; MySQL looks names in the body of an element up where it is referred to.
#[derive(Debug, Default)]
struct Nesting {
    /// How many are open.
    open: usize,
    is_nested: bool,
    /// How many elements there were as the innermost began whose elements are being read; none where it is no inner one.
    floor: usize,
    crosses: bool,
    /// The names of all elements, and of all tables that are no elements, in lower case.
    elements: Vec<String>,
    tables: Vec<String>,
}

impl Nesting {
    /// Whether a name may be one table to one server, and another to another.
    fn is_doubtful(&self) -> bool {
        let is_twice = |name: &String| self.elements.iter().filter(|other| *other == name).count() > 1;
        self.is_nested
            && (self.crosses || self.elements.iter().any(|name| is_twice(name) || self.tables.contains(name)))
    }
}

/// The names of tables that a statement reads.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Which of the text's names it is ([`Named`]), and the database and table that it means; none for a common table
    /// expression.
    pub(super) names: Vec<(usize, Option<(Name, Name)>)>,
    /// Why nothing else may stand in their places.
    pub(super) obstacle: Option<&'static str>,
}

/// A table that a statement changes, by the name under which its other parts know it.
struct Changed<'a> {
    alias: &'a str,
    db: Option<&'a str>,
    table: (Name, Name),
}

impl<'e> Walk<'e> {
    pub(super) fn new(env: &'e Environment) -> Self {
        let accesses = Vec::with_capacity(4);
        Self {
            env,
            accesses,
            ctes: Vec::new(),
            doubtful: Vec::new(),
            nesting: Nesting::default(),
            found: Found::default(),
        }
    }

    pub(super) fn into_accesses(self) -> Vec<Access> {
        self.into_parts().0
    }

    /// The same with the tables that are read, where the text names them.
    pub(super) fn into_parts(mut self) -> (Vec<Access>, Found) {
        if self.nesting.is_doubtful() {
            self.opaque("a WITH within another, in which a name may mean another table");
        }
        (self.accesses, self.found)
    }

    fn obstacle(&mut self, what: &'static str) {
        self.found.obstacle.get_or_insert(what);
    }

    fn add(&mut self, action: Action, resource: Resource) {
        self.accesses.push(Access::new(action, resource));
    }

    fn opaque(&mut self, what: &str) {
        self.add(Action::Opaque, Resource::Opaque { what: what.into() });
    }

    fn table(&self, name: &ObjectName) -> Resource {
        let (schema, name) = self.env.relation(name.db.as_deref(), &name.name);
        Resource::Table { schema, name }
    }

    fn on_table(&mut self, action: Action, name: &ObjectName) {
        let table = self.table(name);
        self.add(action, table);
    }

    fn on_rows(&mut self, action: Action, (schema, name): (Name, Name), has_where: bool) {
        self.accesses.push(Access { action, resource: Resource::Table { schema, name }, has_where, as_root: false });
    }

    pub(super) fn tree(&mut self, tree: &Tree) {
        tree.demands.iter().for_each(|d| self.demand(d));
        tree.exprs.iter().for_each(|e| self.expr(e));
        tree.queries.iter().for_each(|q| self.query(q));
        for inner in &tree.inner {
            self.tree(inner);
            self.settings_within(inner);
        }
        match &tree.body {
            Body::Plain | Body::Rows | Body::Unknown => {}
            Body::Query(q) => self.query(q),
            Body::CreateAs(q) => self.query(q),
            Body::Insert(i) => self.insert(i),
            Body::Update(u) => self.update(u),
            Body::Delete(d) => self.delete(d),
            Body::Explain { tree: t, .. } | Body::Within(t) => self.tree(t),
        }
    }

    /// What a stored program changes for whoever calls it.
    fn settings_within(&mut self, tree: &Tree) {
        if tree.command.ends_with(" VIEW") && tree.notes.iter().any(|n| matches!(n, Note::SchemaChanged)) {
            // Nobody would hear that what the view shows has changed.
            self.opaque("a stored program that makes or changes a view");
        }
        for note in &tree.notes {
            if let Note::Set { name, .. } = note
                && (settings::changes_reading(name) || &**name == "use")
            {
                self.opaque("a stored program that changes how text is read");
            }
            if matches!(note, Note::Execute { .. } | Note::Prepare { .. }) {
                // Its rows would come out of CALL, or out of a later EXECUTE, where nobody knows of what they are made.
                self.opaque("a stored program that executes what a session prepared, or prepares it");
            }
        }
    }

    fn demand(&mut self, demand: &Demand) {
        let action = demand.action;
        let current = || self.env.database.clone().unwrap_or_else(|| "?".into());
        let in_db = |n: &ObjectName| n.db.as_deref().map_or_else(current, |db| self.env.database_name(db));
        let resource = match &demand.target {
            Target::Connection => Resource::Connection,
            Target::Database(name) => {
                let name = self.env.database_name(name);
                self.add(action, Resource::Schema { name: name.clone() });
                Resource::Database { name }
            }
            Target::Table(name) => self.table(name),
            Target::Temporary(name) => {
                Resource::Table { schema: "pg_temp".into(), name: self.env.table_name(&name.name) }
            }
            Target::Function(name) => {
                let schema = in_db(name);
                if action != Action::Create && !is_itself(self.env, &schema, &name.name) {
                    self.opaque("a routine whose name may be another's");
                }
                Resource::Function { schema, name: name.name.clone() }
            }
            Target::Setting(name) => Resource::Setting { name: name.clone() },
            Target::Role(name) => Resource::Role { name: name.clone() },
            Target::File(path) => Resource::File { path: path.clone() },
            Target::Object(kind, name) => Resource::Object { kind: (*kind).into(), name: name.clone() },
            Target::InDatabase(kind, name) => {
                let name = crate::postgres::dotted(&[&in_db(name), &name.name]);
                Resource::Object { kind: (*kind).into(), name: name.into() }
            }
            Target::Opaque(what) => Resource::Opaque { what: what.as_str().into() },
        };
        self.add(action, resource);
    }

    // --- queries ---------------------------------------------------------------------------------------

    /// Makes the names of WITH known; how many there were before.
    fn with(&mut self, with: Option<&With>) -> usize {
        let before = self.ctes.len();
        let Some(with) = with else { return before };
        let floor = self.nesting.floor;
        if self.nesting.open > 0 {
            self.nesting.is_nested = true;
            self.nesting.floor = before;
        }
        self.nesting.open += 1;
        self.nesting.elements.extend(with.ctes.iter().map(|cte| cte.name.to_lowercase()));
        if with.recursive && with.ctes.len() > 1 {
            self.doubtful.extend(with.ctes.iter().map(|cte| cte.name.to_lowercase()));
        }
        for cte in &with.ctes {
            // One that names another behind it means that one to MariaDB, and a table to MySQL: the table is asked for.
            let name = self.env.table_name(&cte.name);
            if with.recursive {
                self.ctes.push(name);
                self.query(&cte.query);
            } else {
                self.query(&cte.query);
                self.ctes.push(name);
            }
        }
        self.nesting.floor = floor;
        before
    }

    /// What WITH has made known ends.
    fn end_with(&mut self, with: Option<&With>, before: usize) {
        self.ctes.truncate(before);
        self.nesting.open -= usize::from(with.is_some());
    }

    pub(super) fn query(&mut self, query: &Query) {
        let before = self.with(query.with.as_ref());
        for arm in &query.arms {
            match arm {
                Arm::Select(s) => self.select(s),
                Arm::Values(rows) => rows.iter().for_each(|r| self.expr(r)),
                Arm::Table(name, at) => self.reads(name, Some(*at)),
                Arm::Paren(q) => self.query(q),
            }
        }
        query.rest.iter().chain(&query.limits).for_each(|e| self.expr(e));
        if !query.locks.is_empty() {
            self.obstacle("a lock");
        }
        for lock in &query.locks {
            for arm in &query.arms {
                self.lock_arm(arm, &lock.of);
            }
        }
        self.end_with(query.with.as_ref(), before);
    }

    fn lock_arm(&mut self, arm: &Arm, of: &[ObjectName]) {
        match arm {
            Arm::Select(s) => s.from.iter().for_each(|t| self.lock(t, of)),
            Arm::Table(name, _) => self.lock_table(name),
            Arm::Paren(q) => q.arms.iter().for_each(|a| self.lock_arm(a, of)),
            Arm::Values(_) => {}
        }
    }

    fn lock_table(&mut self, name: &ObjectName) {
        if !self.is_cte(name) {
            self.on_table(Action::Lock, name);
        }
    }

    fn lock(&mut self, table: &TableRef, of: &[ObjectName]) {
        let meant = |name: &str| of.is_empty() || of.iter().any(|o| o.name.eq_ignore_ascii_case(name));
        match table {
            TableRef::Table { name, alias, .. } => {
                if meant(alias.as_deref().unwrap_or(&name.name)) {
                    self.lock_table(name);
                }
            }
            TableRef::Derived { query, alias, .. } => {
                if meant(alias.as_deref().unwrap_or_default()) {
                    query.arms.iter().for_each(|a| self.lock_arm(a, &[]));
                }
            }
            TableRef::Json { .. } => {}
            TableRef::Joins { first, rest } => {
                self.lock(first, of);
                rest.iter().for_each(|j| self.lock(&j.table, of));
            }
            TableRef::Group(all) => all.iter().for_each(|t| self.lock(t, of)),
        }
    }

    fn is_cte(&self, name: &ObjectName) -> bool {
        name.db.is_none() && self.ctes.contains(&self.env.table_name(&name.name))
    }

    /// Takes note of what a name without a database means.
    fn notes(&mut self, name: &ObjectName, cte: bool) {
        if self.nesting.open == 0 || name.db.is_some() {
            return;
        }
        let folded = name.name.to_lowercase();
        if !cte {
            self.nesting.tables.push(folded);
        } else if self
            .ctes
            .iter()
            .rposition(|cte| cte.to_lowercase() == folded)
            .is_some_and(|at| at < self.nesting.floor)
        {
            self.nesting.crosses = true;
        }
    }

    fn reads(&mut self, name: &ObjectName, at: Option<usize>) {
        let cte = self.is_cte(name);
        self.notes(name, cte);
        if !cte {
            self.on_table(Action::Select, name);
            let folded = name.name.to_lowercase();
            // Of names that differ in their case alone one server sees one.
            if name.db.is_none()
                && (self.doubtful.contains(&folded) || self.ctes.iter().any(|cte| cte.to_lowercase() == folded))
            {
                self.obstacle("a name that may be a common table expression's");
            }
        }
        if let Some(at) = at {
            let table = (!cte).then(|| self.env.relation(name.db.as_deref(), &name.name));
            self.found.names.push((at, table));
        }
    }

    fn select(&mut self, s: &Select) {
        s.items.iter().for_each(|i| self.expr(&i.expr));
        s.from.iter().for_each(|t| self.from(t));
        s.filter.iter().for_each(|e| self.expr(e));
        s.rest.iter().for_each(|e| self.expr(e));
        s.windows.iter().for_each(|(_, e)| self.expr(e));
    }

    fn from(&mut self, table: &TableRef) {
        match table {
            TableRef::Table { name, at, .. } => self.reads(name, *at),
            TableRef::Derived { query, .. } => self.query(query),
            TableRef::Json { source, .. } => self.expr(source),
            TableRef::Joins { first, rest } => {
                self.from(first);
                for join in rest {
                    self.from(&join.table);
                    join.on.iter().for_each(|e| self.expr(e));
                }
            }
            TableRef::Group(all) => all.iter().for_each(|t| self.from(t)),
        }
    }

    // --- expressions -----------------------------------------------------------------------------------

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Nothing | Expr::Text(_) | Expr::Variable | Expr::System { .. } | Expr::Window(_) => {}
            // What stands for a table has no database.
            Expr::Column(path) if path.len() > 2 => self.obstacle("a column that is named with its database"),
            Expr::Star(path) if path.len() > 1 => self.obstacle("a table that is named with its database"),
            Expr::Column(_) | Expr::Star(_) => {}
            Expr::Assign(e) => self.expr(e),
            Expr::Query { query, .. } => self.query(query),
            Expr::Many(all) => all.iter().for_each(|e| self.expr(e)),
            Expr::Call(call) => {
                self.call(call);
                call.args.iter().for_each(|e| self.expr(e));
            }
        }
    }

    fn call(&mut self, call: &Call) {
        let native = |name: &str| Resource::Function { schema: "mysql".into(), name: name.into() };
        if let Some(sequence) = &call.sequence {
            self.on_table(Action::Select, sequence);
            if &*call.name != "lastval" {
                self.add(Action::Call, native(&call.name));
            }
            return;
        }
        for resource in users_functions(self.env, call) {
            if let Resource::Function { schema, name } = &resource
                && !is_itself(self.env, schema, name)
            {
                self.opaque("a function whose name may be another's");
            }
            self.add(Action::Call, resource);
        }
        if call.db.is_some() || known(call.name.as_bytes(), self.env.upstream) != Known::Effectful {
            return;
        }
        self.add(Action::Call, native(&call.name));
        if &*call.name == "load_file" {
            match call.args.as_slice() {
                [Expr::Text(path)] => self.add(Action::ReadFile, Resource::File { path: path.clone() }),
                _ => self.opaque("load_file of a path that is computed"),
            }
        }
    }

    // --- changes ---------------------------------------------------------------------------------------

    fn insert(&mut self, i: &Insert) {
        let table = self.env.relation(i.table.db.as_deref(), &i.table.name);
        self.on_table(Action::Insert, &i.table);
        // Which rows go or change is decided by their keys: that limits them as a WHERE would.
        if i.replace {
            self.on_rows(Action::Delete, table.clone(), true);
        }
        if !i.on_duplicate.is_empty() {
            self.on_rows(Action::Update, table, true);
        }
        if let Some(items) = &i.returning {
            self.on_table(Action::Select, &i.table);
            items.iter().for_each(|item| self.expr(&item.expr));
        }
        i.values.iter().for_each(|e| self.expr(e));
        i.set.iter().for_each(|a| self.expr(&a.value));
        i.on_duplicate.iter().for_each(|a| self.expr(&a.value));
        i.query.iter().for_each(|q| self.query(q));
    }

    fn update(&mut self, u: &Update) {
        let before = self.with(u.with.as_ref());
        let mut changed = Vec::new();
        u.tables.iter().for_each(|t| self.changeable(t, &mut changed));
        let single = matches!(u.tables.as_slice(), [TableRef::Table { .. }]);
        if !single {
            u.tables.iter().for_each(|t| self.from(t));
        }
        // Its place is one where hints may stand.
        if let [TableRef::Table { name, at: Some(at), .. }] = u.tables.as_slice() {
            self.found.names.push((*at, Some(self.env.relation(name.db.as_deref(), &name.name))));
        }
        for target in &changed {
            if single || u.set.iter().any(|a| self.may_assign(&a.column, target, changed.len())) {
                let has_where = limits(u.filter.as_ref(), target.alias);
                self.on_rows(Action::Update, target.table.clone(), has_where);
            }
        }
        if changed.is_empty() {
            self.opaque("which table UPDATE changes");
        }
        if let Some(items) = &u.returning {
            changed.iter().for_each(|t| self.on_rows(Action::Select, t.table.clone(), false));
            items.iter().for_each(|i| self.expr(&i.expr));
        }
        u.set.iter().for_each(|a| self.expr(&a.value));
        u.filter.iter().for_each(|e| self.expr(e));
        u.rest.iter().for_each(|e| self.expr(e));
        self.end_with(u.with.as_ref(), before);
    }

    /// Whether an assignment may be to a column of this table.
    fn may_assign(&self, column: &[Name], target: &Changed<'_>, tables: usize) -> bool {
        match column {
            [_] if tables == 1 => true,
            [name] => {
                // The catalogue may tell that the column is another table's.
                let relation = self.env.catalogue.named(&target.table.0, &target.table.1);
                relation
                    .is_none_or(|r| r.columns.is_empty() || r.columns.iter().any(|c| c.name.to_lowercase() == **name))
            }
            [.., db, table, _] => {
                target.alias.eq_ignore_ascii_case(table) && target.db.is_none_or(|d| d.eq_ignore_ascii_case(db))
            }
            [table, _] => target.alias.eq_ignore_ascii_case(table),
            [] => true,
        }
    }

    /// The tables among what UPDATE and DELETE name, with their aliases.
    fn changeable<'a>(&self, table: &'a TableRef, out: &mut Vec<Changed<'a>>) {
        match table {
            TableRef::Table { name, alias, .. } => {
                // What is changed is a table, whatever WITH names.
                let table = self.env.relation(name.db.as_deref(), &name.name);
                out.push(Changed { alias: alias.as_deref().unwrap_or(&name.name), db: name.db.as_deref(), table });
            }
            TableRef::Derived { .. } | TableRef::Json { .. } => {}
            TableRef::Joins { first, rest } => {
                self.changeable(first, out);
                rest.iter().for_each(|j| self.changeable(&j.table, out));
            }
            TableRef::Group(all) => all.iter().for_each(|t| self.changeable(t, out)),
        }
    }

    fn delete(&mut self, d: &Delete) {
        let before = self.with(d.with.as_ref());
        let mut named = Vec::new();
        d.tables.iter().for_each(|t| self.changeable(t, &mut named));
        if d.targets.is_empty() {
            for target in &named {
                self.on_rows(Action::Delete, target.table.clone(), limits(d.filter.as_ref(), target.alias));
            }
        } else {
            d.tables.iter().for_each(|t| self.from(t));
        }
        for wanted in &d.targets {
            let mut found = false;
            for target in named.iter().filter(|t| t.alias.eq_ignore_ascii_case(&wanted.name)) {
                found = true;
                self.on_rows(Action::Delete, target.table.clone(), limits(d.filter.as_ref(), target.alias));
            }
            if !found {
                let table = self.env.relation(wanted.db.as_deref(), &wanted.name);
                self.on_rows(Action::Delete, table, false);
            }
        }
        if let Some(items) = &d.returning {
            named.iter().for_each(|t| self.on_rows(Action::Select, t.table.clone(), false));
            items.iter().for_each(|i| self.expr(&i.expr));
        }
        d.filter.iter().for_each(|e| self.expr(e));
        d.rest.iter().for_each(|e| self.expr(e));
        self.end_with(d.with.as_ref(), before);
    }
}

/// The functions of users that a call may reach. Empty: the server's own.
pub(super) fn users_functions(env: &Environment, call: &Call) -> Vec<Resource> {
    let function = |schema: Name| Resource::Function { schema, name: call.name.clone() };
    if let Some(db) = &call.db {
        return vec![function(env.database_name(db))];
    }
    let current = || env.database.as_deref().map_or_else(|| "?".into(), |db| env.database_name(db));
    let ours = call.native && known(call.name.as_bytes(), env.upstream) != Known::No;
    // The server may be older than the function of ours: then a stored one of its name is meant.
    let stored = env.catalogue.functions_named(&call.name).any(|f| f.schema == current());
    match (ours, stored) {
        (true, false) => Vec::new(),
        (_, true) => vec![function(current())],
        // Not one of this database as far as is known: perhaps a library's, which are in no database.
        (false, false) => vec![function(current()), function("mysql".into())],
    }
}

/// The server compares names of routines without accents and blanks at their end: a name that is not plain means what it
/// says only if there is a routine of just this name.
fn is_itself(env: &Environment, schema: &str, name: &str) -> bool {
    let plain = name.is_ascii() && name.trim() == name;
    plain || env.catalogue.functions_named(name).any(|f| *f.schema == *schema)
}

/// Whether a condition names a column. Within subqueries only columns qualified with the target's name count,
/// since others may be the subquery's own.
fn limits(condition: Option<&Expr>, alias: &str) -> bool {
    condition.is_some_and(|e| names_column(e, None) || names_column(e, Some(alias)))
}

fn names_column(expr: &Expr, within: Option<&str>) -> bool {
    match expr {
        Expr::Column(path) => match (within, path.as_ref()) {
            (None, _) => true,
            (Some(alias), [.., table, _]) => table.eq_ignore_ascii_case(alias),
            (Some(_), _) => false,
        },
        Expr::Many(all) => all.iter().any(|e| names_column(e, within)),
        Expr::Call(call) => call.args.iter().any(|e| names_column(e, within)),
        Expr::Assign(e) => names_column(e, within),
        Expr::Query { query, .. } => within.is_some() && query_names_column(query, within),
        Expr::Nothing | Expr::Text(_) | Expr::Star(_) | Expr::Variable | Expr::System { .. } | Expr::Window(_) => false,
    }
}

fn query_names_column(query: &Query, within: Option<&str>) -> bool {
    query.arms.iter().any(|arm| match arm {
        Arm::Select(s) => {
            s.filter.iter().any(|e| names_column(e, within))
                || s.items.iter().any(|i| names_column(&i.expr, within))
                || s.rest.iter().any(|e| names_column(e, within))
        }
        Arm::Paren(q) => query_names_column(q, within),
        Arm::Values(_) | Arm::Table(..) => false,
    })
}
