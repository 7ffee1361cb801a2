//! A second wall for texts that are sent as they were written: which columns of the tables that a statement reads it may decide by,
//! going by names alone.
//!
//! It knows nothing of scopes, and shares nothing with [`super::lineage`]: whatever stands anywhere in the text and is called as
//! a column of any table of the text counts as that column. Left out are only
//! - what a list of outputs shows as it is (an output that goes by another name carries its columns to wherever that name stands);
//! - columns whose qualifier one item of the whole text goes by: a table, then it is that table's; or what is made of its arguments or
//!   of constants alone (`unnest(…) AS x`, `(VALUES …) AS x`, `excluded`), since its arguments are looked at by themselves.
use super::{Environment, SourceColumn, children::children, functions, names, older};
use ahash::AHashMap;
use doorward_model::Name;
use pg_raw_parse::{Node, list::NodeList, nodes};
use std::collections::{BTreeMap, BTreeSet};

/// Rounds in which outputs carry columns from name to name, one for each query that a column goes through.
const ROUNDS: usize = 40;
/// How many nodes are looked at to find that a list of VALUES names no column.
const MOST_VALUES: usize = 20_000;
/// How many names are looked for in how many tables. With more, every column of every table counts.
const MOST_LOOKUPS: usize = 200_000;
/// How many tables names are looked for in, and columns found for them, each time that one is looked at. With more, every column of every table counts.
const MOST_FOUND: usize = 1_000_000;

type Set = BTreeSet<SourceColumn>;

/// What is done with the outputs of a query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outputs {
    /// They are shown, or it is only asked whether there are rows.
    Shown,
    /// Others refer to them by their names.
    Named,
    /// Something is decided by them.
    Used,
}

/// What goes by a name in a FROM clause.
#[derive(Clone, Copy)]
enum Item {
    /// A table, by its place in the list of them.
    Table(usize),
    /// It is made of what is looked at by itself.
    Given,
    /// Several things, or a query.
    Unclear,
}

#[derive(Default)]
struct Found<'a> {
    todo: Vec<(Node<'a>, Outputs)>,
    refs: Vec<&'a nodes::ColumnRef>,
    /// Names of columns that do not stand as references.
    words: BTreeSet<&'a str>,
    /// Outputs that are columns as they are, with what they go by.
    outputs: Vec<(&'a str, &'a nodes::ColumnRef)>,
    tables: Vec<(Name, Name)>,
    /// Where each of them stands in that list.
    places: AHashMap<(Name, Name), usize>,
    ranges: Vec<&'a nodes::RangeVar>,
    queries: BTreeSet<&'a str>,
    items: BTreeMap<&'a str, Item>,
    /// Names that were given by place.
    by_place: BTreeSet<&'a str>,
    /// What an item goes by is not known.
    has_nameless: bool,
    /// It may decide by any column.
    all: bool,
    carried: BTreeMap<&'a str, Set>,
}

/// The columns that a statement may decide by.
#[allow(clippy::wildcard_enum_match_arm, reason = "no other statement reads rows of tables")]
pub(super) fn columns(node: Node<'_>, env: &Environment) -> Set {
    let mut found = Found::default();
    let mut node = node;
    let mut outputs = Outputs::Shown;
    loop {
        node = match node {
            Node::ExplainStmt(s) => s.query(),
            Node::DeclareCursorStmt(s) => s.query(),
            Node::PrepareStmt(s) => s.query(),
            Node::CopyStmt(s) if !s.is_from => s.query(),
            Node::CreateTableAsStmt(s) => {
                outputs = Outputs::Used;
                s.query()
            }
            Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)
            | Node::CallStmt(_) => break,
            _ => return Set::new(),
        };
    }
    found.todo.push((node, outputs));
    while let Some((node, outputs)) = found.todo.pop() {
        found.visit(node, outputs);
    }
    found.tables(env);
    let names = found.refs.len() + found.outputs.len() + found.words.len();
    found.all |= names.saturating_mul(found.tables.len()) > MOST_LOOKUPS;
    let decided_by = if found.all { None } else { found.decided_by(env) };
    // INVARIANT: what is too large to be looked through has one entry for each table.
    decided_by.unwrap_or_else(|| found.everything())
}

impl<'a> Found<'a> {
    fn push(&mut self, node: Node<'a>) {
        self.todo.push((node, Outputs::Used));
    }

    fn push_list(&mut self, list: &'a NodeList) {
        list.iter().for_each(|node| self.push(node));
    }

    fn push_children(&mut self, node: Node<'a>) {
        let todo = &mut self.todo;
        self.all |= !children(node, &mut |child| todo.push((child, Outputs::Used)));
    }

    fn item(&mut self, name: Option<&'a str>, item: Item) {
        match name {
            Some(name) => {
                self.items.entry(name).and_modify(|known| *known = Item::Unclear).or_insert(item);
            }
            None => self.has_nameless = true,
        }
    }

    fn named_by_place(&mut self, names: &'a NodeList) {
        self.by_place.extend(names::strings(names));
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest goes to `children`, which names every kind")]
    fn visit(&mut self, node: Node<'a>, outputs: Outputs) {
        match node {
            // Types, what is locked, what is made: no columns of tables.
            Node::TypeName(_) | Node::LockingClause(_) | Node::IntoClause(_) | Node::Alias(_) => {}
            Node::SelectStmt(s) => self.select(s, outputs),
            Node::ColumnRef(c) => self.refs.push(c),
            Node::RangeVar(r) => self.ranges.push(r),
            Node::SubLink(link) => {
                self.push(link.testexpr());
                let is_exists = link.sub_link_type == nodes::SubLinkType::EXISTS_SUBLINK;
                self.todo.push((link.subselect(), if is_exists { Outputs::Shown } else { Outputs::Used }));
            }
            Node::CommonTableExpr(cte) => self.cte(cte),
            Node::JoinExpr(j) => self.join(j),
            Node::RangeSubselect(_) | Node::RangeFunction(_) | Node::RangeTableFunc(_) | Node::JsonTable(_) => {
                self.listed(node);
            }
            Node::A_Indirection(i) => {
                self.words.extend(names::strings(i.indirection()));
                self.push_children(node);
            }
            Node::IndexElem(elem) => {
                self.words.extend(elem.name());
                self.push_children(node);
            }
            Node::OnConflictClause(_) => {
                self.item(Some("excluded"), Item::Given);
                self.push_children(node);
            }
            Node::ReturningClause(r) => {
                ["old", "new"].into_iter().for_each(|name| self.item(Some(name), Item::Unclear));
                r.options().iter().filter_map(|o| o.value()).for_each(|name| self.item(Some(name), Item::Unclear));
                r.exprs().iter().for_each(|target| self.output(target));
            }
            _ if older::is_system_user(node) => {
                self.words.insert(older::SYSTEM_USER);
            }
            other => self.push_children(other),
        }
    }

    /// An output that is a column as it is shows it, and decides nothing.
    fn output(&mut self, node: Node<'a>) {
        let Node::ResTarget(target) = node else { return self.push(node) };
        let Node::ColumnRef(c) = target.val() else { return self.push(node) };
        if c.fields().iter().any(|field| matches!(field, Node::A_Star(_))) {
            return;
        }
        if let Some(name) = target.name().or_else(|| names::strings(c.fields()).last().copied()) {
            self.outputs.push((name, c));
        }
    }

    fn select(&mut self, s: &'a nodes::SelectStmt, outputs: Outputs) {
        if let (Some(left), Some(right)) = (s.larg(), s.rarg()) {
            let is_appended = s.all && s.op == nodes::SetOperation::SETOP_UNION && s.sort_clause().is_empty();
            let arms = if outputs == Outputs::Shown && is_appended { Outputs::Shown } else { Outputs::Used };
            self.todo.extend([(left.into(), arms), (right.into(), arms)]);
        }
        // `ORDER BY 1` and DISTINCT are about outputs, whatever they are called.
        let by_place = |node: Node<'_>| matches!(node, Node::A_Const(_) | Node::None | Node::GroupingSet(_));
        let is_used = outputs == Outputs::Used
            || s.into_clause().is_some()
            || s.distinct_clause().iter().chain(s.group_clause()).any(by_place)
            || s.sort_clause().iter().any(|sort| by_place(sort.node()));
        for target in s.target_list() {
            if is_used { self.push(target.into()) } else { self.output(target.into()) }
        }
        for list in [s.distinct_clause(), s.from_clause(), s.group_clause(), s.window_clause(), s.values_lists()] {
            self.push_list(list);
        }
        s.sort_clause().iter().for_each(|sort| self.push(sort.into()));
        for node in [s.where_clause(), s.having_clause(), s.limit_count(), s.limit_offset()] {
            self.push(node);
        }
        s.with_clause().into_iter().for_each(|with| self.push(with.into()));
    }

    fn cte(&mut self, cte: &'a nodes::CommonTableExpr) {
        self.queries.extend(cte.ctename());
        self.named_by_place(cte.aliascolnames());
        if let Some(search) = cte.search_clause() {
            self.words.extend(names::strings(search.search_col_list()));
            self.by_place.extend(search.search_seq_column());
        }
        if let Some(cycle) = cte.cycle_clause() {
            self.words.extend(names::strings(cycle.cycle_col_list()));
            self.by_place.extend([cycle.cycle_mark_column(), cycle.cycle_path_column()].into_iter().flatten());
            self.push(cycle.cycle_mark_value());
            self.push(cycle.cycle_mark_default());
        }
        self.todo.push((cte.ctequery(), Outputs::Named));
    }

    fn join(&mut self, j: &'a nodes::JoinExpr) {
        // Which columns it compares is not looked for.
        self.all |= j.is_natural;
        self.words.extend(j.using_clause().iter().filter_map(|name| name.sval()));
        if let Some(alias) = j.join_using_alias() {
            self.item(alias.aliasname(), Item::Unclear);
        }
        if let Some(alias) = j.alias() {
            self.item(alias.aliasname(), Item::Unclear);
            self.named_by_place(alias.colnames());
        }
        [j.larg(), j.rarg(), j.quals()].into_iter().for_each(|node| self.push(node));
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "called for these alone")]
    fn listed(&mut self, node: Node<'a>) {
        match node {
            Node::RangeSubselect(sub) => {
                let is_given = is_given(sub.subquery());
                // Without an alias nothing refers to it but by its columns.
                if let Some(alias) = sub.alias() {
                    self.item(alias.aliasname(), if is_given { Item::Given } else { Item::Unclear });
                    if !is_given {
                        self.named_by_place(alias.colnames());
                    }
                }
                self.todo.push((sub.subquery(), Outputs::Named));
            }
            Node::RangeFunction(f) => {
                let called = || {
                    let Node::NodeList(pair) = f.functions().iter().next()? else { return None };
                    let Some(Node::FuncCall(call)) = pair.iter().next() else { return None };
                    names::strings(call.funcname()).last().copied()
                };
                self.item(f.alias().and_then(nodes::Alias::aliasname).or_else(called), Item::Given);
                self.push_children(node);
            }
            Node::RangeTableFunc(t) => {
                self.item(t.alias().and_then(nodes::Alias::aliasname), Item::Given);
                self.push_children(node);
            }
            Node::JsonTable(t) => {
                self.item(t.alias().and_then(nodes::Alias::aliasname), Item::Given);
                self.push_children(node);
            }
            _ => self.all = true,
        }
    }

    /// What the names of relations mean, once it is known which of them are those of common table expressions.
    fn tables(&mut self, env: &Environment) {
        for r in std::mem::take(&mut self.ranges) {
            let name = r.relname().unwrap_or_default();
            let table = env.range_var(r);
            let is_query = r.schemaname().is_none() && self.queries.contains(name);
            if let Some(alias) = r.alias() {
                self.named_by_place(alias.colnames());
            }
            let called = r.alias().and_then(nodes::Alias::aliasname).unwrap_or(name);
            // A name may be that of a query in one place, and of a table in another.
            if is_query && env.catalogue.named(&table.0, &table.1).is_none() {
                self.item(Some(called), Item::Unclear);
                continue;
            }
            let at = *self.places.entry(table).or_insert_with_key(|table| {
                self.tables.push(table.clone());
                self.tables.len() - 1
            });
            let is_renamed = r.alias().is_some_and(|alias| !alias.colnames().is_empty());
            self.item(Some(called), if is_query || is_renamed { Item::Unclear } else { Item::Table(at) });
        }
    }

    /// None: any column, or that is too much to be looked for.
    fn decided_by(&mut self, env: &Environment) -> Option<Set> {
        let mut left = MOST_FOUND;
        self.carry(env, &mut left)?;
        let mut out = Set::new();
        for c in &self.refs {
            out.extend(self.found(c, env, &mut left)?);
        }
        // A whole row, or a function of one, is not shown as it is.
        for (_, c) in &self.outputs {
            let set = self.found(c, env, &mut left)?;
            let is_known = |source: &SourceColumn| env.catalogue.named(&source.schema, &source.table).is_some();
            out.extend(set.into_iter().filter(|source| source.column.is_none() && is_known(source)));
        }
        for word in &self.words {
            let mut set = Set::new();
            self.by_name(word, env, &mut set);
            self.whole(word, &mut set);
            left = left.checked_sub(set.len() + self.tables.len())?;
            out.extend(set);
        }
        Some(out)
    }

    /// What each output carries, to wherever its name stands. None: that is not known after many rounds.
    fn carry(&mut self, env: &Environment, left: &mut usize) -> Option<()> {
        for _ in 0..ROUNDS {
            let mut is_settled = true;
            for (name, c) in &self.outputs {
                let set = self.found(c, env, left)?;
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
    fn found(&self, c: &nodes::ColumnRef, env: &Environment, left: &mut usize) -> Option<Set> {
        let mut set = Set::new();
        self.reference(c, env, &mut set);
        *left = left.checked_sub(set.len() + self.tables.len())?;
        Some(set)
    }

    fn everything(&self) -> Set {
        let any = |(schema, table): &(Name, Name)| SourceColumn {
            schema: schema.clone(),
            table: table.clone(),
            column: None,
        };
        self.tables.iter().map(any).collect()
    }

    /// The item of a name, if nothing else can go by it.
    fn only(&self, name: &str) -> Item {
        if self.has_nameless { Item::Unclear } else { self.items.get(name).copied().unwrap_or(Item::Unclear) }
    }

    fn reference(&self, c: &nodes::ColumnRef, env: &Environment, out: &mut Set) {
        let fields = names::strings(c.fields());
        let is_star = c.fields().iter().any(|field| matches!(field, Node::A_Star(_)));
        match fields.as_slice() {
            [item] if is_star => self.rows(self.only(item), out),
            [name] => {
                self.by_name(name, env, out);
                self.whole(name, out);
            }
            [item, name] if !is_star => match self.only(item) {
                Item::Table(at) => self.column(at, name, env, out),
                Item::Given => {}
                Item::Unclear => {
                    self.by_name(name, env, out);
                    if takes_rows(name, env) {
                        out.extend(self.everything());
                    }
                }
            },
            [schema, table, name] if !is_star => match self.places.get(&(Name::from(*schema), Name::from(*table))) {
                Some(at) => self.column(*at, name, env, out),
                None => self.by_name(name, env, out),
            },
            _ => out.extend(self.everything()),
        }
    }

    /// A name alone stands for whole rows of what goes by it.
    fn whole(&self, name: &str, out: &mut Set) {
        if let Some(item) = self.items.get(name) {
            self.rows(*item, out);
        }
    }

    fn rows(&self, item: Item, out: &mut Set) {
        match item {
            Item::Table(at) => {
                if let Some((schema, table)) = self.tables.get(at) {
                    out.insert(SourceColumn { schema: schema.clone(), table: table.clone(), column: None });
                }
            }
            Item::Given => {}
            Item::Unclear => out.extend(self.everything()),
        }
    }

    /// Every column of the name.
    fn by_name(&self, name: &str, env: &Environment, out: &mut Set) {
        if self.by_place.contains(name) {
            return out.extend(self.everything());
        }
        out.extend(self.carried.get(name).into_iter().flatten().cloned());
        for (schema, table) in &self.tables {
            if has(env, schema, table, name) {
                out.insert(SourceColumn { schema: schema.clone(), table: table.clone(), column: Some(name.into()) });
            }
        }
    }

    /// A column of one table. What it does not have may be a function of its whole row.
    fn column(&self, at: usize, name: &str, env: &Environment, out: &mut Set) {
        let Some((schema, table)) = self.tables.get(at) else { return };
        let column = has(env, schema, table, name).then(|| Name::from(name));
        let is_unknown = env.catalogue.named(schema, table).is_none();
        if is_unknown {
            out.insert(SourceColumn { schema: schema.clone(), table: table.clone(), column: None });
        }
        out.insert(SourceColumn { schema: schema.clone(), table: table.clone(), column });
    }
}

/// Whether a table may have a column. Of one that is not known, or of none, anything is thought.
fn has(env: &Environment, schema: &str, table: &str, name: &str) -> bool {
    matches!(name, "ctid" | "tableoid")
        || env
            .catalogue
            .named(schema, table)
            .is_none_or(|r| r.columns.is_empty() || r.columns.iter().any(|c| *c.name == *name))
}

/// Whether a query is a list of values that names no column.
fn is_given(node: Node<'_>) -> bool {
    let Node::SelectStmt(s) = node else { return false };
    if s.values_lists().is_empty() {
        return false;
    }
    let mut todo = vec![node];
    let mut left = MOST_VALUES;
    while let Some(node) = todo.pop() {
        left = left.saturating_sub(1);
        if left == 0 || matches!(node, Node::ColumnRef(_) | Node::RangeVar(_)) || older::is_system_user(node) {
            return false;
        }
        children(node, &mut |child| todo.push(child));
    }
    true
}

/// Whether `x.name` may be a function of the whole row. Names that outputs often have are thought to be those.
fn takes_rows(name: &str, env: &Environment) -> bool {
    let is_common = matches!(name, "avg" | "count" | "date" | "max" | "min" | "name" | "sum");
    let is_users = || env.catalogue.functions_named(name).any(|f| f.of_row);
    is_users() || (!is_common && functions::builtin(name).is_some())
}
