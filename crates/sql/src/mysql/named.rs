//! A second wall for texts that are sent as they were written: which columns of the tables that a statement reads it may
//! decide by, or show without a mask, going by names alone.
//!
//! It knows nothing of scopes, and shares nothing with [`super::lineage`]: whatever stands anywhere in the text and is called
//! as a column of any table of the text counts as that column. Left out are only
//! - what the statement's own outputs show as it is, where the lineage says the same of them;
//! - outputs of queries within that others refer to by their names: they carry their columns to wherever those names stand;
//! - columns whose qualifier one table of the whole text goes by: then it is that table's.
use super::{Environment, tree::*};
use crate::meaning::{Lineage, Output, SourceColumn};
use ahash::AHashMap;
use doorward_model::Name;
use std::collections::{BTreeMap, BTreeSet};

/// Rounds in which outputs carry columns from name to name, one for each query that a column goes through, and in which it
/// is found of which common table expressions all outputs are used.
const ROUNDS: usize = 40;
/// How many columns are looked at, for each name and each time that one is looked for. With more, every column of every
/// table counts.
const MOST_LOOKUPS: usize = 4_000_000;

/// How many stars of one query are looked for among its tables.
const MOST_STARS: usize = 64;

type Set = BTreeSet<SourceColumn>;

/// What is done with the outputs of a query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outputs {
    /// They are sent, masked by the lineage.
    Shown,
    /// Others refer to them by their names, or it is only asked whether there are rows.
    Named,
    /// Something is decided by them, or they are put elsewhere.
    Used,
}

/// What goes by a name in a FROM clause.
#[derive(Clone, Copy)]
enum Alias {
    /// A table, by its place in the list of them.
    Table(usize),
    /// A query.
    Query,
    /// It is made of what is looked at by itself.
    Given,
    /// Several things.
    Unclear,
}

#[derive(Default)]
struct Found<'a> {
    refs: BTreeSet<&'a [Name]>,
    /// Names of columns that joins compare.
    words: BTreeSet<&'a str>,
    /// Columns that are given values, of tables that are known.
    assigned: Vec<(&'a ObjectName, &'a Name)>,
    /// Outputs that are columns as they are, with what they go by.
    outputs: BTreeSet<(&'a str, &'a [Name])>,
    /// Those that are sent, with their places.
    shown: Vec<(usize, &'a [Name])>,
    shown_stars: BTreeSet<&'a [Name]>,
    reads: Vec<(&'a ObjectName, Option<&'a Name>)>,
    /// Tables that count whole.
    whole: Vec<&'a ObjectName>,
    queries: BTreeSet<String>,
    /// Queries of which all outputs are used.
    starred: BTreeSet<String>,
    /// By names in lower case.
    items: BTreeMap<String, Alias>,
    /// Names that were given by place.
    by_place: BTreeSet<&'a str>,
    /// It may decide by any column.
    all: bool,
    tables: Vec<(Name, Name)>,
    places: AHashMap<(Name, Name), usize>,
    /// How many columns they have.
    width: usize,
    /// Whether some names are such that the server compares them in ways of its own.
    is_odd: bool,
    carried: BTreeMap<&'a str, Set>,
    /// What goes by names that are not plain, which the server compares in ways of its own.
    carried_oddly: Set,
}

/// The columns that a statement may decide by, and those that it may show as others than `lineage` says.
pub(super) fn columns(tree: &Tree, lineage: Option<&Lineage>, env: &Environment) -> Set {
    let mut starred = BTreeSet::new();
    for _ in 0..ROUNDS {
        let before = starred.len();
        let mut found = Found { starred, ..Found::default() };
        found.tree(tree, true);
        if found.starred.len() == before {
            return found.columns(lineage, env);
        }
        starred = found.starred;
    }
    let mut found = Found { all: true, ..Found::default() };
    found.tree(tree, true);
    found.columns(lineage, env)
}

impl<'a> Found<'a> {
    fn tree(&mut self, tree: &'a Tree, is_shown: bool) {
        if let Some(table) = &tree.row_of {
            self.reads.push((table, None));
            ["new", "old"].into_iter().for_each(|name| self.item(name, Alias::Unclear));
        }
        self.whole.extend(&tree.carries);
        self.exprs(&tree.exprs);
        tree.queries.iter().for_each(|q| self.query(q, Outputs::Used));
        let prepares = tree.notes.iter().any(|n| matches!(n, Note::Prepare { .. }));
        tree.inner.iter().for_each(|inner| self.tree(inner, prepares));
        match &tree.body {
            Body::Plain | Body::Rows | Body::Unknown => {}
            Body::Query(q) => self.query(q, if is_shown { Outputs::Shown } else { Outputs::Used }),
            Body::CreateAs(q) => self.query(q, Outputs::Used),
            Body::Insert(i) => self.insert(i, is_shown),
            Body::Update(u) => self.update(u, is_shown),
            Body::Delete(d) => {
                let parts = [d.filter.as_slice(), &d.rest];
                self.change(d.with.as_ref(), &d.tables, parts, d.returning.as_deref(), is_shown);
            }
            // A plan quotes values of rows that were read for it.
            Body::Explain { tree, .. } => self.tree(tree, false),
            Body::Within(tree) => self.tree(tree, is_shown),
        }
    }

    // --- changes ---------------------------------------------------------------------------------------

    fn insert(&mut self, i: &'a Insert, is_shown: bool) {
        if i.replace {
            self.whole.push(&i.table);
        }
        // What is there already is read by these alone.
        if !i.on_duplicate.is_empty() || i.returning.is_some() {
            self.reads.push((&i.table, None));
        }
        if let Some((alias, _)) = &i.alias {
            self.item(alias, Alias::Given);
        }
        i.query.iter().for_each(|q| self.query(q, Outputs::Used));
        self.exprs(&i.values);
        i.set.iter().for_each(|a| self.expr(&a.value));
        for a in &i.on_duplicate {
            self.assigned.extend(a.column.last().map(|column| (&i.table, column)));
            self.expr(&a.value);
        }
        self.returning(i.returning.as_deref(), is_shown);
    }

    fn update(&mut self, u: &'a Update, is_shown: bool) {
        for a in &u.set {
            match (u.tables.as_slice(), a.column.last()) {
                ([TableRef::Table { name, .. }], Some(column)) => self.assigned.push((name, column)),
                _ => {
                    self.refs.insert(&a.column);
                }
            }
            self.expr(&a.value);
        }
        self.change(u.with.as_ref(), &u.tables, [u.filter.as_slice(), &u.rest], u.returning.as_deref(), is_shown);
    }

    fn change(
        &mut self,
        with: Option<&'a With>,
        tables: &'a [TableRef],
        parts: [&'a [Expr]; 2],
        returning: Option<&'a [Item]>,
        is_shown: bool,
    ) {
        tables.iter().for_each(|t| self.table(t, &[]));
        parts.into_iter().for_each(|exprs| self.exprs(exprs));
        self.returning(returning, is_shown);
        self.with(with);
    }

    fn returning(&mut self, items: Option<&'a [Item]>, is_shown: bool) {
        if let Some(items) = items {
            let outputs = if is_shown { Outputs::Shown } else { Outputs::Used };
            let stars = self.outputs(items, outputs);
            if !stars.is_empty() {
                self.all = true;
            }
        }
    }

    // --- queries ---------------------------------------------------------------------------------------

    fn with(&mut self, with: Option<&'a With>) {
        // Those behind may use all of those before.
        for cte in with.into_iter().flat_map(|with| with.ctes.iter().rev()) {
            let name = cte.name.to_lowercase();
            self.by_place.extend(cte.columns.iter().map(|name| &**name));
            let is_used = self.starred.contains(&name) || (!cte.columns.is_empty() && has_star(&cte.query));
            self.queries.insert(name);
            self.query(&cte.query, if is_used { Outputs::Used } else { Outputs::Named });
        }
    }

    fn query(&mut self, q: &'a Query, outputs: Outputs) {
        // Sets of rows go by the names of the first alone.
        let is_mixed = q.arms.len() > 1 && (outputs == Outputs::Named || !q.rest.is_empty());
        let is_used = is_mixed || q.compares || q.into.is_some() || q.rest.iter().any(is_constant);
        let outputs = if is_used { Outputs::Used } else { outputs };
        for arm in &q.arms {
            match arm {
                Arm::Select(s) => self.select(s, outputs),
                Arm::Values(rows) => self.exprs(rows),
                Arm::Table(name, _) => self.named(name, None, outputs == Outputs::Used),
                Arm::Paren(q) => self.query(q, outputs),
            }
        }
        self.exprs(&q.rest);
        self.exprs(&q.limits);
        self.with(q.with.as_ref());
    }

    fn select(&mut self, s: &'a Select, outputs: Outputs) {
        // `GROUP BY 1` and DISTINCT are about outputs, whatever they are called.
        let is_used = s.distinct || s.rest.iter().any(is_constant);
        let stars = self.outputs(&s.items, if is_used { Outputs::Used } else { outputs });
        s.from.iter().for_each(|t| self.table(t, &stars));
        self.exprs(s.filter.as_slice());
        self.exprs(&s.rest);
        s.windows.iter().for_each(|(_, window)| self.expr(window));
    }

    /// The stars among outputs that are used.
    fn outputs(&mut self, items: &'a [Item], outputs: Outputs) -> Vec<&'a [Name]> {
        let mut stars: Vec<&'a [Name]> = Vec::new();
        // How many columns a star stands for is not looked for: what is shown beside it has no place.
        let has_star = items.iter().any(|item| matches!(item.expr, Expr::Star(_)));
        for (at, item) in items.iter().enumerate() {
            match (&item.expr, outputs) {
                (Expr::Star(path), Outputs::Used) => stars.push(path),
                (Expr::Star(path), Outputs::Shown) => {
                    self.shown_stars.insert(path);
                }
                (Expr::Star(_), Outputs::Named) => {}
                (Expr::Column(path), Outputs::Shown) if !has_star => {
                    self.shown.push((at, path));
                    self.carries(item, path);
                }
                (Expr::Column(path), Outputs::Named) => self.carries(item, path),
                (other, _) => self.expr(other),
            }
        }
        // Each is looked for among all tables.
        if stars.len() > MOST_STARS {
            self.all = true;
            stars.clear();
        }
        stars
    }

    fn carries(&mut self, item: &'a Item, path: &'a [Name]) {
        if let Some(name) = item.name.as_ref().or(path.last()) {
            self.outputs.insert((name, path));
        }
    }

    // --- FROM ------------------------------------------------------------------------------------------

    fn item(&mut self, name: &str, item: Alias) {
        self.items.entry(name.to_lowercase()).and_modify(|known| *known = Alias::Unclear).or_insert(item);
    }

    fn named(&mut self, name: &'a ObjectName, alias: Option<&'a Name>, is_whole: bool) {
        self.reads.push((name, alias));
        if is_whole {
            self.whole.push(name);
            if name.db.is_none() {
                self.starred.insert(name.name.to_lowercase());
            }
        }
    }

    /// `stars`: those outputs that are used and may be all of it.
    fn table(&mut self, table: &'a TableRef, stars: &[&'a [Name]]) {
        let is_starred = |alias: Option<&Name>| {
            let is_it =
                |name: &Name| alias.is_none_or(|a| !a.is_ascii() || !name.is_ascii() || a.eq_ignore_ascii_case(name));
            stars.iter().any(|path| path.last().is_none_or(is_it))
        };
        match table {
            TableRef::Table { name, alias, partition, .. } => {
                let is_whole = *partition || is_starred(Some(alias.as_ref().unwrap_or(&name.name)));
                self.named(name, alias.as_ref(), is_whole);
            }
            TableRef::Derived { query, alias, columns, .. } => {
                self.by_place.extend(columns.iter().map(|name| &**name));
                alias.iter().for_each(|alias| self.item(alias, Alias::Query));
                // By the time the server reads it, a star may stand for other columns: a name may be any output's.
                let is_used = is_starred(alias.as_ref()) || (!columns.is_empty() && has_star(query));
                let outputs = if is_used { Outputs::Used } else { Outputs::Named };
                self.query(query, outputs);
            }
            TableRef::Json { source, alias, .. } => {
                alias.iter().for_each(|alias| self.item(alias, Alias::Given));
                self.expr(source);
            }
            TableRef::Joins { first, rest } => {
                self.table(first, stars);
                for join in rest {
                    // Which columns it compares is not looked for.
                    self.all |= join.natural;
                    self.words.extend(join.using.iter().map(|name| &**name));
                    self.table(&join.table, stars);
                    self.exprs(&join.on);
                }
            }
            TableRef::Group(all) => all.iter().for_each(|t| self.table(t, stars)),
        }
    }

    fn exprs(&mut self, exprs: &'a [Expr]) {
        exprs.iter().for_each(|e| self.expr(e));
    }

    fn expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Nothing | Expr::Text(_) | Expr::Variable | Expr::System { .. } | Expr::Window(_) => {}
            Expr::Column(path) => {
                self.refs.insert(path);
            }
            Expr::Star(_) => self.all = true,
            Expr::Assign(value) => self.expr(value),
            Expr::Call(call) => self.exprs(&call.args),
            Expr::Query { query, exists } => {
                self.query(query, if *exists { Outputs::Named } else { Outputs::Used });
            }
            Expr::Many(all) => self.exprs(all),
        }
    }

    // --- what was found --------------------------------------------------------------------------------

    fn columns(mut self, lineage: Option<&Lineage>, env: &Environment) -> Set {
        self.tables(env);
        let columns =
            |(schema, table): &(Name, Name)| env.catalogue.named(schema, table).map_or(0, |r| r.columns.len());
        self.width = self.tables.iter().map(|table| columns(table) + 1).sum();
        self.is_odd =
            self.items.keys().any(|item| !item.is_ascii()) || self.by_place.iter().any(|name| !is_plain(name));
        // INVARIANT: what is too large to be looked through has one entry for each table.
        let looked = if self.all { None } else { self.decided_by(lineage, env) };
        looked.unwrap_or_else(|| self.everything())
    }

    /// What the names of tables mean, once it is known which of them are those of common table expressions.
    fn tables(&mut self, env: &Environment) {
        for (name, alias) in std::mem::take(&mut self.reads) {
            let table = env.relation(name.db.as_deref(), &name.name);
            let called = alias.unwrap_or(&name.name);
            // A name may be that of a query in one place, and of a table in another.
            let is_query = name.db.is_none() && self.queries.contains(&name.name.to_lowercase());
            if is_query && env.catalogue.named(&table.0, &table.1).is_none() {
                self.item(called, Alias::Query);
                continue;
            }
            let at = *self.places.entry(table).or_insert_with_key(|table| {
                self.tables.push(table.clone());
                self.tables.len() - 1
            });
            self.item(called, if is_query { Alias::Unclear } else { Alias::Table(at) });
        }
    }

    /// None: that is too much to be looked for.
    fn decided_by(&mut self, lineage: Option<&Lineage>, env: &Environment) -> Option<Set> {
        let mut left = MOST_LOOKUPS;
        self.carry(env, &mut left)?;
        let mut out = Set::new();
        for path in &self.refs {
            out.extend(self.found(path, env, &mut left)?);
        }
        for word in &self.words {
            out.extend(self.found(&[Name::from(*word)], env, &mut left)?);
        }
        for (name, column) in &self.assigned {
            let (schema, table) = env.relation(name.db.as_deref(), &name.name);
            out.insert(SourceColumn { schema, table, column: Some((*column).clone()) });
        }
        for name in &self.whole {
            let is_query = name.db.is_none() && self.queries.contains(&name.name.to_lowercase());
            let (schema, table) = env.relation(name.db.as_deref(), &name.name);
            if !is_query || env.catalogue.named(&schema, &table).is_some() {
                out.insert(SourceColumn { schema, table, column: None });
            }
        }
        if let Some(lineage) = lineage {
            let is_placed = lineage.outputs.iter().all(|o| matches!(o, Output::Made(_)));
            for (at, path) in &self.shown {
                let known = said_of(lineage, *at, is_placed);
                let is_said =
                    |s: &SourceColumn| known.contains(s) || known.contains(&SourceColumn { column: None, ..s.clone() });
                out.extend(self.found(path, env, &mut left)?.into_iter().filter(|source| !is_said(source)));
            }
        }
        let is_unclear = |path: &&[Name]| path.last().is_some_and(|item| matches!(self.only(item), Alias::Unclear));
        if self.shown_stars.iter().any(is_unclear) {
            out.extend(self.everything());
        }
        Some(out)
    }

    /// What each output carries, to wherever its name stands. None: that is not known after many rounds.
    fn carry(&mut self, env: &Environment, left: &mut usize) -> Option<()> {
        for _ in 0..ROUNDS {
            let mut is_settled = true;
            for (name, path) in &self.outputs {
                let set = self.found(path, env, left)?;
                if !is_plain(name) {
                    self.carried_oddly.extend(set.iter().cloned());
                }
                let carried = self.carried.entry(name).or_default();
                let before = carried.len();
                carried.extend(set);
                is_settled &= carried.len() == before;
            }
            if is_settled {
                return Some(());
            }
        }
        None
    }

    /// What a reference may mean. None: with what was found before it is too much.
    fn found(&self, path: &[Name], env: &Environment, left: &mut usize) -> Option<Set> {
        let mut set = Set::new();
        match path {
            [name] => self.by_name(name, env, &mut set),
            [.., item, name] => match self.only(item) {
                Alias::Table(at) if self.is_of(at, path) => self.column(at, name, env, &mut set),
                Alias::Given if path.len() == 2 => {}
                Alias::Table(_) | Alias::Query | Alias::Given | Alias::Unclear => self.by_name(name, env, &mut set),
            },
            [] => set = self.everything(),
        }
        *left = left.checked_sub(1 + set.len() + self.width + self.carried_oddly.len())?;
        Some(set)
    }

    /// Whether a table is in the database that is named before it, if one is.
    fn is_of(&self, at: usize, path: &[Name]) -> bool {
        let [db, _, _] = path else { return true };
        self.tables.get(at).is_some_and(|(schema, _)| schema == db)
    }

    fn everything(&self) -> Set {
        let any = |(schema, table): &(Name, Name)| SourceColumn {
            schema: schema.clone(),
            table: table.clone(),
            column: None,
        };
        self.tables.iter().map(any).collect()
    }

    /// What goes by a name.
    fn only(&self, name: &str) -> Alias {
        // By which table the server folds other letters is not known.
        if self.is_odd || !name.is_ascii() {
            return Alias::Unclear;
        }
        self.items.get(&name.to_lowercase()).copied().unwrap_or(Alias::Unclear)
    }

    /// Every column of the name.
    fn by_name(&self, name: &str, env: &Environment, out: &mut Set) {
        if self.by_place.contains(name) || self.is_odd || !is_plain(name) {
            out.extend(self.everything());
        }
        out.extend(self.carried.get(name).into_iter().flatten().cloned());
        out.extend(self.carried_oddly.iter().cloned());
        for at in 0..self.tables.len() {
            let Some((schema, table)) = self.tables.get(at) else { continue };
            let relation = env.catalogue.named(schema, table);
            let is_it = |c: &crate::Column| c.name.eq_ignore_ascii_case(name) || !is_plain(&c.name);
            let may_have = |r: &crate::Relation| r.columns.is_empty() || r.columns.iter().any(is_it);
            if name == "_rowid" || relation.is_none_or(may_have) {
                self.column(at, name, env, out);
            }
        }
    }

    /// A column of one table; all of it where the name may be any of its columns'.
    fn column(&self, at: usize, name: &str, env: &Environment, out: &mut Set) {
        let Some((schema, table)) = self.tables.get(at) else { return };
        let relation = env.catalogue.named(schema, table);
        let has_odd = relation.is_some_and(|r| r.columns.iter().any(|c| !is_plain(&c.name)));
        let is_any = !is_plain(name) || name == "_rowid" || has_odd;
        let column = (!is_any).then(|| Name::from(name));
        out.insert(SourceColumn { schema: schema.clone(), table: table.clone(), column });
    }
}

/// Whether a query shows columns that its text does not name.
fn has_star(query: &Query) -> bool {
    query.arms.iter().any(|arm| match arm {
        Arm::Select(s) => s.items.iter().any(|item| matches!(item.expr, Expr::Star(_))),
        Arm::Table(..) => true,
        Arm::Values(_) => false,
        Arm::Paren(query) => has_star(query),
    })
}

/// What the lineage says of one output.
fn said_of(lineage: &Lineage, at: usize, is_placed: bool) -> &Set {
    match lineage.outputs.get(at).filter(|_| is_placed) {
        Some(Output::Made(set)) => set,
        Some(Output::Star) | None => &lineage.anywhere,
    }
}

/// Whether an expression names nothing: a number may be the place of an output.
fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Nothing | Expr::Text(_) => true,
        Expr::Many(all) => all.iter().all(is_constant),
        Expr::Column(_)
        | Expr::Star(_)
        | Expr::Variable
        | Expr::Assign(_)
        | Expr::System { .. }
        | Expr::Call(_)
        | Expr::Window(_)
        | Expr::Query { .. } => false,
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && name.trim() == name
}
