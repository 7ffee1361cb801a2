//! Which columns each output shows.
//!
//! Sound in the conservative direction, by the rules of the PostgreSQL reader: what is not resolved counts as every
//! relation it could come from; what only filters, joins, groups or sorts is no output: that is kept beside, as what the
//! statement weighs. Depth is bounded by the parser, work by a budget, beyond which the answer is every relation there is.
mod changes;
mod columns;
mod names;
mod weighed;

use super::{
    Environment,
    facts::users_functions,
    functions::{Known, known},
    tree::*,
};
use crate::meaning::{Lineage, Output, SourceColumn};
use columns::{Col, Entry, Found, Set, column_of, joined, rename, star_of, union};
use doorward_model::Name;
use std::rc::Rc;

/// The server's own limit of columns.
const MAX_COLUMNS: usize = 4096;
/// Work allowed for one statement, in columns touched.
const BUDGET: usize = 200_000;

#[derive(Default)]
struct Scope<'a> {
    entries: Vec<Entry>,
    windows: &'a [(Name, Expr)],
    /// Outputs so far: a subquery among the outputs may name one before it.
    outputs: Vec<(Name, Set)>,
    /// Names of outputs, where those may be named (GROUP BY, HAVING, ORDER BY).
    named: std::collections::BTreeSet<Name>,
    /// Whether the server may see less of it where the reading is: then a name that is found here may be an outer query's
    /// all the same.
    is_loose: bool,
}

pub(super) struct Reading<'a, 'e> {
    env: &'e Environment,
    scopes: Vec<Scope<'a>>,
    ctes: Vec<(Name, Rc<Vec<Col>>)>,
    moves: Set,
    weighs: Set,
    /// Columns that are named anywhere, where a plan is to be shown: it may quote values of rows that were read for it.
    named: Option<Set>,
    /// Whether names were given by place to columns that the text does not name.
    names_by_place: bool,
    budget: usize,
    gave_up: bool,
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

impl<'a, 'e> Reading<'a, 'e> {
    pub(super) fn new(env: &'e Environment) -> Self {
        Self {
            env,
            scopes: Vec::new(),
            ctes: Vec::new(),
            moves: Set::new(),
            weighs: Set::new(),
            named: None,
            names_by_place: false,
            budget: BUDGET,
            gave_up: false,
        }
    }

    /// Columns whose values the statement stores or sends, and those that it decides by.
    pub(super) fn into_moves_and_weighs(self) -> (Set, Set) {
        (self.moves, self.weighs)
    }

    /// The outputs of a statement; `None` if it returns no rows.
    pub(super) fn tree(&mut self, tree: &'a Tree) -> Option<Lineage> {
        let cols = self.top(tree);
        if self.gave_up {
            let all = self.all_relations(tree);
            self.moves.extend(all.iter().cloned());
            self.weighs.extend(all.iter().cloned());
            return cols.map(|_| Lineage { outputs: vec![Output::Star], anywhere: all, ..Lineage::default() });
        }
        cols.map(|cols| {
            // A plan that is a document is one column; those in a table of many quote nothing.
            let anywhere = if is_plan(tree) { Set::new() } else { union(&cols) };
            let label = |(n, col): (usize, &Col)| col.is_placed.then(|| (n, col.name.clone().unwrap_or_default()));
            let placed = cols.iter().enumerate().filter_map(label).collect();
            let outputs = cols.into_iter().map(|c| if c.star { Output::Star } else { Output::Made(c.set) }).collect();
            Lineage { outputs, anywhere, placed, names_by_place: self.names_by_place }
        })
    }

    fn top(&mut self, tree: &'a Tree) -> Option<Vec<Col>> {
        let depth = self.scopes.len();
        if let Some(table) = &tree.row_of {
            self.row_of(table);
        }
        let cols = self.parts(tree);
        self.scopes.truncate(depth);
        cols
    }

    /// Makes a table's row known by the names that it has in triggers and in ALTER TABLE.
    fn row_of(&mut self, table: &ObjectName) {
        let own = self.relation(table, None);
        let named = |alias: &str| Entry { alias: alias.into(), schema: None, ..own.clone() };
        let entries = vec![named("new"), named("old"), own.clone()];
        self.scopes.push(Scope { entries, ..Scope::default() });
    }

    fn parts(&mut self, tree: &'a Tree) -> Option<Vec<Col>> {
        let mut given = Set::new();
        tree.exprs.iter().for_each(|e| self.expr(e, &mut given));
        if matches!(tree.body, Body::Unknown | Body::Within(_)) {
            // A procedure, or a prepared statement, may send its arguments anywhere.
            self.moves.extend(given);
        }
        for table in &tree.carries {
            let cols = self.relation(table, None).cols;
            self.moves.extend(union(&cols));
        }
        let prepares = tree.notes.iter().any(|n| matches!(n, Note::Prepare { .. }));
        for query in &tree.queries {
            let cols = self.query(query);
            if tree.command == "DECLARE" {
                // FETCH puts a cursor's rows into variables.
                self.moves.extend(union(&cols));
            }
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
            Body::Explain { tree, into, .. } => self.plan(tree, *into),
            Body::Within(t) => self.top(t),
        }
    }

    /// A plan shows the statement's own constants, and values of rows that were read to make it: of columns that are named.
    fn plan(&mut self, tree: &'a Tree, into: bool) -> Option<Vec<Col>> {
        self.named = Some(Set::new());
        self.top(tree);
        let set = self.named.take().unwrap_or_default();
        if into {
            self.moves.extend(set);
            return None;
        }
        Some(vec![Col { name: None, set, star: false, is_placed: false }])
    }

    fn name(&mut self, set: &Set) {
        if let Some(named) = &mut self.named {
            named.extend(set.iter().cloned());
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
            self.names_by_place |= rename(&mut cols, &cte.columns);
            self.ctes.push((name, Rc::new(cols)));
        }
    }

    /// What the first arm shows, then all arms over that. If the second pass shows more, every column shows all that
    /// any of them does: a third pass could not add to that.
    fn recursive_cte(&mut self, cte: &'a Cte, name: Name) {
        let depth = self.ctes.len();
        self.with(cte.query.with.as_ref());
        let mut first = cte.query.arms.first().map(|a| self.arm(a, &[])).unwrap_or_default();
        self.names_by_place |= rename(&mut first, &cte.columns);
        self.ctes.truncate(depth);
        self.ctes.push((name.clone(), Rc::new(first.clone())));
        let mut second = self.query(&cte.query);
        self.ctes.truncate(depth);
        self.names_by_place |= rename(&mut second, &cte.columns);
        // Its rows take the types of the first query: what is longer is cut, or fails.
        self.weighs.extend(union(&second));
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
        // ORDER BY sees what the one SELECT sees, or else the outputs.
        let (own, of_outputs) =
            if query.arms.len() == 1 { (&query.rest[..], &[][..]) } else { (&[][..], &query.rest[..]) };
        let mut arms = query.arms.iter();
        let mut cols = arms.next().map(|a| self.arm(a, own)).unwrap_or_default();
        for arm in arms {
            let right = self.arm(arm, &[]);
            // Its columns have the names of the first.
            self.names_by_place |= right.iter().any(|col| col.is_placed);
            cols = Self::set_operation(cols, right);
            self.spend(cols.len() + 1);
        }
        if query.compares {
            self.weighs.extend(union(&cols));
        }
        self.ordered(&cols, of_outputs);
        self.scopes.push(Scope::default());
        self.discard_all(&query.limits);
        self.scopes.pop();
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

    /// Reads what sorts outputs.
    fn ordered(&mut self, cols: &[Col], rest: &'a [Expr]) {
        if !rest.is_empty() {
            let entry = Entry { alias: "".into(), schema: None, cols: cols.to_vec(), base: None };
            self.scopes.push(Scope { entries: vec![entry], is_loose: true, ..Scope::default() });
            self.weigh_outputs(rest, cols);
            self.scopes.pop();
        }
    }

    /// One operand, with what sorts it where it is the only one.
    fn arm(&mut self, arm: &'a Arm, rest: &'a [Expr]) -> Vec<Col> {
        if let Arm::Select(s) = arm {
            return self.select(s, rest);
        }
        let cols = self.other_arm(arm);
        self.ordered(&cols, rest);
        cols
    }

    fn other_arm(&mut self, arm: &'a Arm) -> Vec<Col> {
        match arm {
            Arm::Select(s) => self.select(s, &[]),
            Arm::Paren(q) => self.query(q),
            Arm::Table(name, _) => {
                let cols = self.relation(name, None).cols;
                self.name(&union(&cols));
                cols
            }
            Arm::Values(rows) => {
                let mut set = Set::new();
                self.scopes.push(Scope::default());
                rows.iter().for_each(|r| self.expr(r, &mut set));
                self.scopes.pop();
                vec![star_of(set)]
            }
        }
    }

    fn select(&mut self, s: &'a Select, rest: &'a [Expr]) -> Vec<Col> {
        self.scopes.push(Scope { entries: Vec::new(), windows: &s.windows, ..Scope::default() });
        let star: Vec<Col> = s.from.iter().flat_map(|t| self.item(t)).collect();
        let cols = self.items(&s.items, &star);
        self.discard_all(s.filter.as_slice());
        if let Some(scope) = self.scopes.last_mut() {
            let names = cols.iter().filter(|col| !col.star).filter_map(|col| col.name.clone());
            scope.named = names.filter(|name| columns::is_plain(name)).collect();
        }
        // HAVING sees outputs and what rows are grouped by, then outer queries, and not what FROM names.
        self.loosen(true);
        self.weigh_outputs(&s.rest, &cols);
        self.weigh_outputs(rest, &cols);
        if s.distinct {
            self.weighs.extend(union(&cols));
        }
        s.windows.iter().for_each(|(_, w)| self.discard_all(std::slice::from_ref(w)));
        self.scopes.pop();
        self.spend(cols.len() + 1);
        cols
    }

    fn items(&mut self, items: &'a [Item], star: &[Col]) -> Vec<Col> {
        let mut cols = Vec::new();
        for item in items {
            if let Expr::Star(path) = &item.expr {
                let found = if path.is_empty() { star.to_vec() } else { self.star(path) };
                self.spend(found.len());
                self.name(&union(&found));
                cols.extend(found);
                continue;
            }
            let mut set = Set::new();
            self.shown(&item.expr, &mut set);
            self.spend(set.len());
            if let (Some(name), Some(scope), false) = (&item.name, self.scopes.last_mut(), set.is_empty()) {
                scope.outputs.push((name.clone(), set.clone()));
            }
            cols.push(Col { name: item.name.clone(), set, star: false, is_placed: false });
        }
        cols
    }

    /// Has the innermost scope count as one of which the server may see less; whether it did before.
    fn loosen(&mut self, is_loose: bool) -> bool {
        self.scopes.last_mut().is_some_and(|scope| std::mem::replace(&mut scope.is_loose, is_loose))
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
            TableRef::Table { name, alias, partition, .. } => {
                let entry = self.relation(name, alias.as_ref());
                if *partition {
                    // By which columns rows are kept apart is not known.
                    self.weighs.extend(union(&entry.cols));
                    self.weigh_whole(name);
                }
                self.add(entry)
            }
            TableRef::Derived { lateral, query, alias, columns } => {
                // INVARIANT: without LATERAL a subquery does not see its neighbours: a neighbour's column must not stand
                // in for one of an outer query.
                let hidden = if *lateral { None } else { self.scopes.last_mut().map(std::mem::take) };
                let was_loose = self.loosen(true);
                let mut cols = self.query(query);
                self.loosen(was_loose);
                if let (Some(hidden), Some(scope)) = (hidden, self.scopes.last_mut()) {
                    *scope = hidden;
                }
                self.names_by_place |= rename(&mut cols, columns);
                let alias = alias.clone().unwrap_or_else(|| "".into());
                self.add(Entry { alias, schema: None, cols, base: None })
            }
            TableRef::Json { source, columns, alias } => {
                let mut set = Set::new();
                let was_loose = self.loosen(true);
                self.expr(source, &mut set);
                self.loosen(was_loose);
                let col =
                    |name: &Name| Col { name: Some(name.clone()), set: set.clone(), star: false, is_placed: false };
                let cols = columns.iter().map(col).collect();
                let alias = alias.clone().unwrap_or_else(|| "".into());
                self.add(Entry { alias, schema: None, cols, base: None })
            }
            TableRef::Joins { first, rest } => {
                let mut cols = self.item(first);
                for join in rest {
                    let right = self.item(&join.table);
                    // It sees what is joined, and then outer queries: no neighbours of the join.
                    let was_loose = self.loosen(true);
                    self.discard_all(&join.on);
                    self.loosen(was_loose);
                    if join.natural || !join.using.is_empty() {
                        self.name(&union(&cols));
                        self.name(&union(&right));
                        self.weigh_merged(&cols, &right, join);
                    }
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
        let mut alike = None;
        if name.db.is_none() {
            match self.cte(&short) {
                (Some(cols), _) => return Entry { alias: alias_or_name, schema: None, cols, base: None },
                (None, of_others) => alike = of_others,
            }
        }
        let (schema, table) = self.env.relation(name.db.as_deref(), &name.name);
        let source = |column: Option<Name>| SourceColumn { schema: schema.clone(), table: table.clone(), column };
        let cols: Vec<Col> = match self.env.catalogue.named(&schema, &table) {
            Some(relation) if !relation.columns.is_empty() => {
                let col = |c: &crate::Column| {
                    let name: Name = c.name.to_lowercase().into();
                    Col { name: Some(name.clone()), set: Set::from([source(Some(name))]), star: false, is_placed: true }
                };
                let shown = |c: &&crate::Column| !self.env.catalogue.is_invisible(relation.oid, c.number);
                relation.columns.iter().filter(shown).map(col).collect()
            }
            Some(_) | None => vec![star_of(Set::from([source(None)]))],
        };
        if let Some(mut set) = alike {
            set.extend(union(&cols));
            return Entry { alias: alias_or_name, schema: None, cols: vec![star_of(set)], base: None };
        }
        let base = Some((schema.clone(), table));
        let schema = Some(schema).filter(|s| &**s != "pg_temp");
        Entry { alias: alias_or_name, schema, cols, base }
    }

    /// The common table expression of this name; or what those show that have it but for its case, which MariaDB does not
    /// look at.
    fn cte(&self, short: &Name) -> (Option<Vec<Col>>, Option<Set>) {
        let folded = short.to_lowercase();
        let mut alike: Option<Set> = None;
        for (name, cols) in self.ctes.iter().rev() {
            if name == short && alike.is_none() {
                return (Some(cols.to_vec()), None);
            }
            if name.to_lowercase() == folded {
                alike.get_or_insert_default().extend(union(cols));
            }
        }
        (None, alike)
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
            Expr::Column(path) => {
                let mut set = Set::new();
                self.column(path, &mut set);
                self.spend(set.len());
                self.name(&set);
                self.weighs.extend(set.iter().cloned());
                out.extend(set);
            }
            Expr::Star(path) => {
                let set = self.rows_of(path);
                self.name(&set);
                self.weighs.extend(set.iter().cloned());
                out.extend(set);
            }
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
                    let all = self.everything();
                    self.weighs.extend(all.iter().cloned());
                    out.extend(all);
                }
            }
            Expr::Query { query, exists } => {
                let cols = self.query(query);
                if !exists {
                    self.weighs.extend(union(&cols));
                    out.extend(union(&cols));
                }
            }
            Expr::Many(all) => all.iter().for_each(|e| self.expr(e, out)),
        }
    }

    fn call(&mut self, call: &'a Call, out: &mut Set) {
        let mut set = Set::new();
        call.args.iter().for_each(|e| self.expr(e, &mut set));
        let keeps = call.db.is_none()
            && (&*call.name == "last_insert_id" || known(call.name.as_bytes(), self.env.upstream) == Known::Effectful);
        if keeps || !users_functions(self.env, call).is_empty() {
            // It may send its arguments anywhere, or keep them.
            self.moves.extend(set.iter().cloned());
        }
        out.extend(set);
    }
}

/// Whether what a statement returns is a plan.
fn is_plan(tree: &Tree) -> bool {
    match &tree.body {
        Body::Explain { .. } => true,
        Body::Within(inner) => is_plan(inner),
        Body::Plain
        | Body::Rows
        | Body::Query(_)
        | Body::Insert(_)
        | Body::Update(_)
        | Body::Delete(_)
        | Body::CreateAs(_)
        | Body::Unknown => false,
    }
}
