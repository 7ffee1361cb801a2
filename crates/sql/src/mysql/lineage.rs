//! Which columns each output shows.
//!
//! Sound in the conservative direction, by the rules of the PostgreSQL reader: what is not resolved counts as every
//! relation it could come from; what only filters, joins, groups or sorts does not count. Depth is bounded by the
//! parser, work by a budget, beyond which the answer is every relation there is.
use super::{Environment, facts::users_functions, tree::*};
use crate::meaning::{Lineage, Output, SourceColumn};
use doorward_model::Name;
use std::{collections::BTreeSet, rc::Rc};

/// The server's own limit of columns.
const MAX_COLUMNS: usize = 4096;
/// Work allowed for one statement, in columns touched.
const BUDGET: usize = 200_000;

type Set = BTreeSet<SourceColumn>;

/// One column, or (`star`) any number of unknown ones.
#[derive(Clone, Debug)]
struct Col {
    name: Option<Name>,
    set: Set,
    star: bool,
}

/// One name of a FROM clause.
#[derive(Clone, Debug)]
struct Entry {
    alias: Name,
    schema: Option<Name>,
    cols: Vec<Col>,
    /// A relation that the catalogue does not know.
    unknown: Option<(Name, Name)>,
}

#[derive(Default)]
struct Scope<'a> {
    entries: Vec<Entry>,
    windows: &'a [(Name, Expr)],
    /// Outputs so far: a subquery among the outputs may name one before it.
    outputs: Vec<(Name, Set)>,
}

pub(super) struct Reading<'a, 'e> {
    env: &'e Environment,
    scopes: Vec<Scope<'a>>,
    ctes: Vec<(Name, Rc<Vec<Col>>)>,
    moves: Set,
    budget: usize,
    gave_up: bool,
}

fn union(cols: &[Col]) -> Set {
    cols.iter().flat_map(|c| c.set.iter().cloned()).collect()
}

fn tables_of(walk: super::facts::Walk<'_>) -> Set {
    let tables = walk.into_accesses().into_iter().filter_map(|a| {
        if let doorward_model::Resource::Table { schema, name } = a.resource {
            Some(SourceColumn { schema, table: name, column: None })
        } else {
            None
        }
    });
    tables.collect()
}

fn star_of(set: Set) -> Col {
    Col { name: None, set, star: true }
}

fn rename(cols: &mut [Col], names: &[Name]) {
    for (col, name) in cols.iter_mut().zip(names) {
        if col.star {
            return;
        }
        col.name = Some(name.clone());
    }
}

impl<'a, 'e> Reading<'a, 'e> {
    pub(super) fn new(env: &'e Environment) -> Self {
        Self { env, scopes: Vec::new(), ctes: Vec::new(), moves: Set::new(), budget: BUDGET, gave_up: false }
    }

    /// Columns whose values the statement stores or sends.
    pub(super) fn into_moves(self) -> Set {
        self.moves
    }

    /// The outputs of a statement; `None` if it returns no rows.
    pub(super) fn tree(&mut self, tree: &'a Tree) -> Option<Lineage> {
        let cols = self.top(tree);
        if self.gave_up {
            let all = self.all_relations(tree);
            self.moves.extend(all.iter().cloned());
            return cols.map(|_| Lineage { outputs: vec![Output::Star], anywhere: all });
        }
        cols.map(|cols| {
            let anywhere = union(&cols);
            let outputs = cols.into_iter().map(|c| if c.star { Output::Star } else { Output::Made(c.set) }).collect();
            Lineage { outputs, anywhere }
        })
    }

    fn top(&mut self, tree: &'a Tree) -> Option<Vec<Col>> {
        let mut given = Set::new();
        tree.exprs.iter().for_each(|e| self.expr(e, &mut given));
        if matches!(tree.body, Body::Unknown) {
            // A procedure, or a prepared statement, may send its arguments anywhere.
            self.moves.extend(given);
        }
        let prepares = tree.notes.iter().any(|n| matches!(n, Note::Prepare { .. }));
        for query in &tree.queries {
            self.query(query);
        }
        for inner in &tree.inner {
            // What a body shows to whoever calls it is not masked there.
            if let Some(cols) = self.top(inner)
                && !prepares
            {
                self.moves.extend(union(&cols));
            }
        }
        match &tree.body {
            Body::Plain => None,
            Body::Rows | Body::Unknown => Some(vec![star_of(Set::new())]),
            Body::Query(q) => {
                let cols = self.query(q);
                if q.into.is_some() { None } else { Some(cols) }
            }
            Body::CreateAs(q) => {
                let cols = self.query(q);
                self.moves.extend(union(&cols));
                None
            }
            Body::Insert(i) => self.insert(i),
            Body::Update(u) => self.update(u),
            Body::Delete(d) => self.delete(d),
            Body::Explain(t) => {
                self.top(t);
                // Plans show the statement's own constants.
                Some(vec![star_of(Set::new())])
            }
            Body::Within(t) => self.top(t),
        }
    }

    /// Every relation that a query names, with any column.
    fn relations_of(&self, query: &Query) -> Set {
        let mut walk = super::facts::Walk::new(self.env);
        walk.query(query);
        tables_of(walk)
    }

    /// Every relation that a statement names, with any column.
    fn all_relations(&self, tree: &Tree) -> Set {
        let mut walk = super::facts::Walk::new(self.env);
        walk.tree(tree);
        tables_of(walk)
    }

    fn spend(&mut self, work: usize) {
        match self.budget.checked_sub(work) {
            Some(left) => self.budget = left,
            None => self.gave_up = true,
        }
    }

    // --- queries ---------------------------------------------------------------------------------------

    fn with(&mut self, with: Option<&'a With>) {
        let Some(with) = with else { return };
        if with.recursive && with.ctes.len() > 1 {
            // Each may name those behind it: to MariaDB that is the other, to MySQL a table.
            for cte in &with.ctes {
                let mut set = self.relations_of(&cte.query);
                let (schema, table) = self.env.relation(None, &cte.name);
                set.insert(SourceColumn { schema, table, column: None });
                self.spend(set.len());
                self.ctes.push((self.env.table_name(&cte.name), Rc::new(vec![star_of(set)])));
            }
        }
        for cte in &with.ctes {
            let name = self.env.table_name(&cte.name);
            if with.recursive {
                self.recursive_cte(cte, name);
                continue;
            }
            let mut cols = self.query(&cte.query);
            rename(&mut cols, &cte.columns);
            self.ctes.push((name, Rc::new(cols)));
        }
    }

    /// What the first arm shows, then all arms over that. If the second pass shows more, every column shows all that
    /// any of them does: a third pass could not add to that.
    fn recursive_cte(&mut self, cte: &'a Cte, name: Name) {
        let depth = self.ctes.len();
        self.with(cte.query.with.as_ref());
        let mut first = cte.query.arms.first().map(|a| self.arm(a)).unwrap_or_default();
        rename(&mut first, &cte.columns);
        self.ctes.truncate(depth);
        self.ctes.push((name.clone(), Rc::new(first.clone())));
        let mut second = self.query(&cte.query);
        self.ctes.truncate(depth);
        rename(&mut second, &cte.columns);
        let same = first.len() == second.len() && first.iter().zip(&second).all(|(a, b)| a.set == b.set && !b.star);
        if !same {
            let mut all = union(&first);
            all.extend(union(&second));
            for col in &mut second {
                col.set = all.clone();
            }
        }
        self.ctes.push((name, Rc::new(second)));
    }

    fn query(&mut self, query: &'a Query) -> Vec<Col> {
        if self.gave_up {
            return Vec::new();
        }
        let ctes = self.ctes.len();
        self.with(query.with.as_ref());
        let mut arms = query.arms.iter();
        let mut cols = arms.next().map(|a| self.arm(a)).unwrap_or_default();
        for arm in arms {
            let right = self.arm(arm);
            cols = Self::set_operation(cols, right);
            self.spend(cols.len() + 1);
        }
        self.discard_all(&query.rest);
        self.ctes.truncate(ctes);
        if query.into.is_some() {
            self.moves.extend(union(&cols));
        }
        if cols.len() > MAX_COLUMNS {
            return vec![star_of(union(&cols))];
        }
        cols
    }

    fn set_operation(mut left: Vec<Col>, right: Vec<Col>) -> Vec<Col> {
        if left.len() != right.len() || left.iter().chain(&right).any(|c| c.star) {
            let mut set = union(&left);
            set.extend(union(&right));
            return vec![star_of(set)];
        }
        for (l, r) in left.iter_mut().zip(right) {
            l.set.extend(r.set);
        }
        left
    }

    fn arm(&mut self, arm: &'a Arm) -> Vec<Col> {
        match arm {
            Arm::Select(s) => self.select(s),
            Arm::Paren(q) => self.query(q),
            Arm::Table(name) => self.relation(name, None).cols,
            Arm::Values(rows) => {
                let mut set = Set::new();
                self.scopes.push(Scope::default());
                rows.iter().for_each(|r| self.expr(r, &mut set));
                self.scopes.pop();
                vec![star_of(set)]
            }
        }
    }

    fn select(&mut self, s: &'a Select) -> Vec<Col> {
        self.scopes.push(Scope { entries: Vec::new(), windows: &s.windows, outputs: Vec::new() });
        let star: Vec<Col> = s.from.iter().flat_map(|t| self.item(t)).collect();
        let cols = self.items(&s.items, &star);
        self.discard_all(s.filter.as_slice());
        self.discard_all(&s.rest);
        self.scopes.pop();
        self.spend(cols.len() + 1);
        cols
    }

    fn items(&mut self, items: &'a [Item], star: &[Col]) -> Vec<Col> {
        let mut cols = Vec::new();
        for item in items {
            if let Expr::Star(path) = &item.expr {
                let found = if path.is_empty() {
                    star.to_vec()
                } else {
                    self.entry(path).map_or_else(|| vec![star_of(self.everything())], |e| e.cols.clone())
                };
                self.spend(found.len());
                cols.extend(found);
                continue;
            }
            let mut set = Set::new();
            self.expr(&item.expr, &mut set);
            self.spend(set.len());
            if let (Some(name), Some(scope), false) = (&item.name, self.scopes.last_mut(), set.is_empty()) {
                scope.outputs.push((name.clone(), set.clone()));
            }
            cols.push(Col { name: item.name.clone(), set, star: false });
        }
        cols
    }

    /// Reads what shows in no output, for what it sends away.
    fn discard_all(&mut self, exprs: &'a [Expr]) {
        let mut unused = Set::new();
        exprs.iter().for_each(|e| self.expr(e, &mut unused));
    }

    // --- FROM ------------------------------------------------------------------------------------------

    fn add(&mut self, entry: Entry) -> Vec<Col> {
        self.spend(entry.cols.len() + 1);
        let cols = entry.cols.clone();
        if let Some(scope) = self.scopes.last_mut() {
            scope.entries.push(entry);
        }
        cols
    }

    fn item(&mut self, table: &'a TableRef) -> Vec<Col> {
        if self.gave_up {
            return Vec::new();
        }
        match table {
            TableRef::Table { name, alias } => {
                let entry = self.relation(name, alias.as_ref());
                self.add(entry)
            }
            TableRef::Derived { lateral, query, alias, columns } => {
                // INVARIANT: without LATERAL a subquery does not see its neighbours: a neighbour's column must not stand
                // in for one of an outer query.
                let hidden = if *lateral { None } else { self.scopes.last_mut().map(std::mem::take) };
                let mut cols = self.query(query);
                if let (Some(hidden), Some(scope)) = (hidden, self.scopes.last_mut()) {
                    *scope = hidden;
                }
                rename(&mut cols, columns);
                let alias = alias.clone().unwrap_or_else(|| "".into());
                self.add(Entry { alias, schema: None, cols, unknown: None })
            }
            TableRef::Json { source, columns, alias } => {
                let mut set = Set::new();
                self.expr(source, &mut set);
                let col = |name: &Name| Col { name: Some(name.clone()), set: set.clone(), star: false };
                let cols = columns.iter().map(col).collect();
                let alias = alias.clone().unwrap_or_else(|| "".into());
                self.add(Entry { alias, schema: None, cols, unknown: None })
            }
            TableRef::Joins { first, rest } => {
                let mut cols = self.item(first);
                for join in rest {
                    let right = self.item(&join.table);
                    self.discard_all(&join.on);
                    cols = joined(cols, right, join);
                    self.spend(cols.len());
                    if self.gave_up {
                        break;
                    }
                }
                cols
            }
            TableRef::Group(all) => all.iter().flat_map(|t| self.item(t)).collect(),
        }
    }

    fn relation(&self, name: &ObjectName, alias: Option<&Name>) -> Entry {
        let short = self.env.table_name(&name.name);
        let alias_or_name = alias.unwrap_or(&name.name).clone();
        let cte = if name.db.is_none() { self.ctes.iter().rev().find(|(n, _)| *n == short) } else { None };
        if let Some((_, cols)) = cte {
            return Entry { alias: alias_or_name, schema: None, cols: cols.to_vec(), unknown: None };
        }
        let (schema, table) = self.env.relation(name.db.as_deref(), &name.name);
        let source = |column: Option<Name>| SourceColumn { schema: schema.clone(), table: table.clone(), column };
        let cols: Vec<Col> = match self.env.catalogue.named(&schema, &table) {
            Some(relation) if !relation.columns.is_empty() => {
                let col = |c: &crate::Column| {
                    let name: Name = c.name.to_lowercase().into();
                    Col { name: Some(name.clone()), set: Set::from([source(Some(name))]), star: false }
                };
                relation.columns.iter().map(col).collect()
            }
            Some(_) | None => vec![star_of(Set::from([source(None)]))],
        };
        let unknown = cols.iter().any(|c| c.star).then(|| (schema.clone(), table.clone()));
        let schema = if alias.is_some() { None } else { Some(schema) };
        Entry { alias: alias_or_name, schema, cols, unknown }
    }

    /// The entry that `alias` or `db.alias` names.
    fn entry(&self, path: &[Name]) -> Option<&Entry> {
        let (alias, schema) = match path {
            [alias] => (alias, None),
            [.., schema, alias] => (alias, Some(schema)),
            [] => return None,
        };
        let of_schema =
            |e: &&Entry| schema.is_none_or(|s| e.schema.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(s)));
        let all = || self.scopes.iter().rev().flat_map(|s| s.entries.iter()).filter(of_schema);
        all().find(|e| e.alias == *alias).or_else(|| all().find(|e| e.alias.to_lowercase() == alias.to_lowercase()))
    }

    fn everything(&self) -> Set {
        self.scopes.iter().flat_map(|s| s.entries.iter()).flat_map(|e| union(&e.cols)).collect()
    }

    // --- expressions -----------------------------------------------------------------------------------

    /// Adds what an expression shows.
    fn expr(&mut self, expr: &'a Expr, out: &mut Set) {
        self.spend(1);
        if self.gave_up {
            return;
        }
        match expr {
            Expr::Nothing | Expr::Text(_) | Expr::Variable | Expr::System { .. } => {}
            Expr::Column(path) => self.column(path, out),
            Expr::Star(path) => match self.entry(path) {
                Some(entry) => out.extend(union(&entry.cols)),
                None => out.extend(self.everything()),
            },
            Expr::Assign(value) => {
                // Whatever a variable holds is no longer known for what it is.
                let mut set = Set::new();
                self.expr(value, &mut set);
                self.moves.extend(set.iter().cloned());
                out.extend(set);
            }
            Expr::Call(call) => self.call(call, out),
            Expr::Window(name) => {
                let windows = self.scopes.last().map_or(&[][..], |s| s.windows);
                // A window may build on one before it: each is named once on the way.
                if let Some(at) = windows.iter().position(|(n, _)| n == name)
                    && let Some((_, window)) = windows.get(at)
                {
                    let scope_windows = windows.get(..at).unwrap_or_default();
                    if let Some(scope) = self.scopes.last_mut() {
                        scope.windows = scope_windows;
                    }
                    self.expr(window, out);
                    if let Some(scope) = self.scopes.last_mut() {
                        scope.windows = windows;
                    }
                } else if !windows.is_empty() {
                    out.extend(self.everything());
                }
            }
            Expr::Query { query, exists } => {
                let cols = self.query(query);
                if !exists {
                    out.extend(union(&cols));
                }
            }
            Expr::Many(all) => all.iter().for_each(|e| self.expr(e, out)),
        }
    }

    fn call(&mut self, call: &'a Call, out: &mut Set) {
        let mut set = Set::new();
        call.args.iter().for_each(|e| self.expr(e, &mut set));
        if !users_functions(self.env, call).is_empty() {
            // It may send its arguments anywhere.
            self.moves.extend(set.iter().cloned());
        }
        out.extend(set);
    }

    fn column(&self, path: &[Name], out: &mut Set) {
        match path {
            [name] => self.unqualified(name, out),
            [qualifier @ .., name] => match self.entry(qualifier) {
                Some(entry) => out.extend(column_of(entry, name).unwrap_or_else(|| union(&entry.cols))),
                None => out.extend(self.everything()),
            },
            [] => out.extend(self.everything()),
        }
    }

    fn unqualified(&self, name: &str, out: &mut Set) {
        let mut found = false;
        for scope in self.scopes.iter().rev() {
            let mut certain = false;
            for (_, set) in scope.outputs.iter().filter(|(n, _)| &**n == name) {
                out.extend(set.iter().cloned());
            }
            for entry in &scope.entries {
                if let Some(set) = column_of(entry, name) {
                    out.extend(set);
                    found = true;
                    certain |= entry.cols.iter().any(|c| c.name.as_deref() == Some(name));
                }
            }
            if certain {
                return;
            }
        }
        if !found {
            out.extend(self.everything());
        }
    }

    // --- changes ---------------------------------------------------------------------------------------

    fn insert(&mut self, i: &'a Insert) -> Option<Vec<Col>> {
        let mut moved = Set::new();
        if let Some(query) = &i.query {
            let cols = self.query(query);
            moved.extend(union(&cols));
        }
        let target = self.relation(&i.table, None);
        self.scopes.push(Scope { entries: vec![target.clone()], ..Scope::default() });
        // Columns of the row itself hold what this statement puts there.
        let mut own = Set::new();
        i.values.iter().for_each(|e| self.expr(e, &mut own));
        i.set.iter().for_each(|a| self.expr(&a.value, &mut own));
        own.retain(|c| !target.cols.iter().any(|t| t.set.contains(c)));
        moved.extend(own);
        if let Some((alias, columns)) = &i.alias {
            let mut cols = target.cols.clone();
            rename(&mut cols, columns);
            for col in &mut cols {
                col.set.clear();
            }
            let entry = Entry { alias: alias.clone(), schema: None, cols, unknown: None };
            if let Some(scope) = self.scopes.last_mut() {
                scope.entries.push(entry);
            }
        }
        if let Some(query) = &i.query
            && let Some(Arm::Select(s)) = query.arms.first()
            && !i.on_duplicate.is_empty()
        {
            // ON DUPLICATE KEY UPDATE sees the tables of the query.
            s.from.iter().for_each(|t| drop(self.item(t)));
        }
        i.on_duplicate.iter().for_each(|a| self.assign(a));
        if let Some(scope) = self.scopes.last_mut() {
            scope.entries.truncate(1);
        }
        let out = i.returning.as_ref().map(|items| self.items(items, &target.cols));
        self.scopes.pop();
        self.moves.extend(moved);
        out
    }

    /// `column = expression`: moves what it is made of, except the column itself.
    fn assign(&mut self, a: &'a Assignment) {
        let (mut set, mut own) = (Set::new(), Set::new());
        self.expr(&a.value, &mut set);
        self.column(&a.column, &mut own);
        if own.len() == 1 {
            set.retain(|c| c.column.is_none() || !own.contains(c));
        }
        self.moves.extend(set);
    }

    fn update(&mut self, u: &'a Update) -> Option<Vec<Col>> {
        self.with(u.with.as_ref());
        self.scopes.push(Scope::default());
        let star: Vec<Col> = u.tables.iter().flat_map(|t| self.item(t)).collect();
        u.set.iter().for_each(|a| self.assign(a));
        self.discard_all(u.filter.as_slice());
        self.discard_all(&u.rest);
        let out = u.returning.as_ref().map(|items| self.items(items, &star));
        self.scopes.pop();
        out
    }

    fn delete(&mut self, d: &'a Delete) -> Option<Vec<Col>> {
        self.with(d.with.as_ref());
        self.scopes.push(Scope::default());
        let star: Vec<Col> = d.tables.iter().flat_map(|t| self.item(t)).collect();
        self.discard_all(d.filter.as_slice());
        self.discard_all(&d.rest);
        let out = d.returning.as_ref().map(|items| self.items(items, &star));
        self.scopes.pop();
        out
    }
}

/// Columns of a join: the merged ones, then the rest of the left, then of the right.
fn joined(left: Vec<Col>, right: Vec<Col>, join: &Join) -> Vec<Col> {
    let merges = join.natural || !join.using.is_empty();
    if join.odd || (merges && (join.right || left.iter().chain(&right).any(|c| c.star))) {
        let mut set = union(&left);
        set.extend(union(&right));
        return vec![star_of(set)];
    }
    if !merges {
        return left.into_iter().chain(right).collect();
    }
    let merged = |c: &Col, other: &[Col]| {
        c.name.as_ref().is_some_and(|n| {
            if join.natural { other.iter().any(|o| o.name.as_ref() == Some(n)) } else { join.using.contains(n) }
        })
    };
    let mut out: Vec<Col> = Vec::with_capacity(left.len() + right.len());
    for col in left.iter().filter(|c| merged(c, &right)) {
        let mut col = col.clone();
        for same in right.iter().filter(|r| r.name == col.name) {
            col.set.extend(same.set.iter().cloned());
        }
        out.push(col);
    }
    out.extend(left.iter().filter(|c| !merged(c, &right)).cloned());
    out.extend(right.iter().filter(|c| !merged(c, &left)).cloned());
    out
}

/// A column of an entry by name; `None` if it has none.
fn column_of(entry: &Entry, name: &str) -> Option<Set> {
    let mut found = false;
    let mut set = Set::new();
    for col in entry.cols.iter().filter(|c| c.name.as_deref() == Some(name)) {
        set.extend(col.set.iter().cloned());
        found = true;
    }
    if found {
        return Some(set);
    }
    if let Some((schema, table)) = &entry.unknown {
        // The server compares names of columns in ways that ours does not for letters beyond ASCII.
        let column = name.is_ascii().then(|| name.into());
        return Some(Set::from([SourceColumn { schema: schema.clone(), table: table.clone(), column }]));
    }
    for col in entry.cols.iter().filter(|c| c.star || c.name.is_none()) {
        set.extend(col.set.iter().cloned());
        found = true;
    }
    found.then_some(set)
}
