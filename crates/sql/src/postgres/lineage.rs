//! Which columns each output shows.
//!
//! Sound in the conservative direction: what is not resolved counts as every relation it could come
//! from. What only filters, joins, groups or sorts does not count: inference is not this module's.
//! The walk counts its depth and its work; beyond either it answers with every relation there is.
use super::{Environment, Lineage, Output, SourceColumn, analysis, children::children, names};
use doorward_model::Name;
use pg_raw_parse::{Node, list::NodeList, nodes};
use std::{collections::BTreeSet, rc::Rc};

/// Nesting of queries and joins that fits a stack of 2 MiB.
pub(super) const INLINE_DEPTH: usize = 40;
/// Nesting that fits the big stack.
pub(super) const OFFLOAD_DEPTH: usize = 1000;
/// The server's own limit of columns in a result.
const MAX_COLUMNS: usize = 1664;
/// Work allowed for one statement, in columns touched.
const BUDGET: usize = 200_000;

type Set = BTreeSet<SourceColumn>;

/// One column, or (`star`) any number of unknown ones.
#[derive(Clone, Debug, PartialEq)]
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
    /// A base relation: it has system columns, which show nothing.
    base: bool,
}

/// Names visible to an expression, innermost last.
#[derive(Default)]
struct Scope<'a> {
    entries: Vec<Entry>,
    windows: Option<&'a NodeList>,
}

pub(super) struct Reading<'a, 'e> {
    env: &'e Environment,
    scopes: Vec<Scope<'a>>,
    ctes: Vec<(Name, Rc<Vec<Col>>)>,
    moves: Set,
    depth: usize,
    limit: usize,
    budget: usize,
    gave_up: bool,
}

impl<'a, 'e> Reading<'a, 'e> {
    pub(super) fn new(env: &'e Environment, limit: usize) -> Self {
        Self {
            env,
            scopes: Vec::new(),
            ctes: Vec::new(),
            moves: Set::new(),
            depth: 0,
            limit,
            budget: BUDGET,
            gave_up: false,
        }
    }

    /// Columns whose values the statement stores or sends.
    pub(super) fn into_moves(self) -> Set {
        self.moves
    }

    /// The outputs of a statement; `None` if it returns no rows.
    pub(super) fn statement(&mut self, node: Node<'a>) -> Option<Lineage> {
        let cols = self.top(node);
        if self.gave_up {
            let all = all_relations(node, self.env);
            if stores(node) {
                self.moves.extend(all.iter().cloned());
            }
            return cols.map(|_| Lineage { outputs: vec![Output::Star], anywhere: all });
        }
        cols.map(|cols| {
            let anywhere = union(&cols);
            let outputs = cols.into_iter().map(|c| if c.star { Output::Star } else { Output::Made(c.set) }).collect();
            Lineage { outputs, anywhere }
        })
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "no other statement returns rows of tables")]
    fn top(&mut self, node: Node<'a>) -> Option<Vec<Col>> {
        match node {
            Node::SelectStmt(s) => {
                let cols = self.select(s);
                if s.into_clause().is_some() {
                    self.moves.extend(union(&cols));
                    return None;
                }
                Some(cols)
            }
            Node::InsertStmt(_) | Node::UpdateStmt(_) | Node::DeleteStmt(_) | Node::MergeStmt(_) => {
                let cols = self.query(node);
                (returning(node)).then_some(cols)
            }
            // EXPLAIN shows plans: constants of the statement, and its own text.
            Node::ExplainStmt(s) => {
                self.top(s.query());
                Some(vec![Col { name: Some("QUERY PLAN".into()), set: Set::new(), star: false }])
            }
            Node::CreateTableAsStmt(s) => {
                if let Some(cols) = self.top(s.query()) {
                    self.moves.extend(union(&cols));
                }
                None
            }
            Node::DeclareCursorStmt(s) => {
                let cols = self.top(s.query()).unwrap_or_default();
                if analysis::with_hold(s) {
                    self.moves.extend(union(&cols));
                }
                None
            }
            Node::CopyStmt(s) => Some(self.copy(s)),
            Node::CallStmt(s) => {
                let mut set = Set::new();
                if let Some(call) = s.funccall() {
                    self.expr(call.into(), &mut set);
                }
                Some(vec![Col { name: None, set, star: true }])
            }
            Node::VariableShowStmt(_) | Node::ExecuteStmt(_) | Node::FetchStmt(_) => Some(Vec::new()),
            _ => None,
        }
    }

    fn copy(&mut self, s: &'a nodes::CopyStmt) -> Vec<Col> {
        let Some(r) = s.relation() else { return self.top(s.query()).unwrap_or_default() };
        let entry = self.relation(r);
        if s.attlist().is_empty() {
            return entry.cols;
        }
        let wanted = names::strings(s.attlist());
        wanted
            .into_iter()
            .map(|n| Col {
                name: Some(n.into()),
                set: column_of(&entry, n).unwrap_or_else(|| whole(&entry)),
                star: false,
            })
            .collect()
    }

    fn enter(&mut self) -> bool {
        if self.depth >= self.limit || self.gave_up {
            self.gave_up = true;
            return false;
        }
        self.depth += 1;
        true
    }

    fn spend(&mut self, work: usize) {
        match self.budget.checked_sub(work) {
            Some(left) => self.budget = left,
            None => self.gave_up = true,
        }
    }

    fn query(&mut self, node: Node<'a>) -> Vec<Col> {
        if let Node::SelectStmt(s) = node {
            return self.select(s);
        }
        if !self.enter() {
            return Vec::new();
        }
        let ctes = self.ctes.len();
        let cols = if let Node::InsertStmt(s) = node {
            self.insert(s)
        } else if let Node::UpdateStmt(s) = node {
            self.update(s)
        } else if let Node::DeleteStmt(s) = node {
            self.delete(s)
        } else if let Node::MergeStmt(s) = node {
            self.merge(s)
        } else {
            self.gave_up = true;
            Vec::new()
        };
        self.ctes.truncate(ctes);
        self.depth -= 1;
        cols
    }

    fn insert(&mut self, s: &'a nodes::InsertStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let source = if matches!(s.select_stmt(), Node::None) { Vec::new() } else { self.query(s.select_stmt()) };
        self.moves.extend(union(&source));
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.relation(target);
        let excluded = Entry { alias: "excluded".into(), ..entry.clone() };
        self.scopes.push(Scope { entries: vec![entry.clone(), excluded], windows: None });
        if let Some(conflict) = s.on_conflict_clause() {
            for target in conflict.target_list() {
                self.assign(target, &entry);
            }
            self.discard(conflict.where_clause());
        }
        // `excluded` holds what is being inserted, and is not visible to RETURNING.
        self.scopes.pop();
        self.returning(s.returning_clause(), vec![entry])
    }

    fn update(&mut self, s: &'a nodes::UpdateStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.relation(target);
        self.scopes.push(Scope { entries: vec![entry.clone()], windows: None });
        self.from(s.from_clause());
        for target in s.target_list() {
            self.assign(target, &entry);
        }
        self.discard(s.where_clause());
        let scope = self.scopes.pop().unwrap_or_default();
        self.returning(s.returning_clause(), scope.entries)
    }

    fn delete(&mut self, s: &'a nodes::DeleteStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.relation(target);
        self.scopes.push(Scope { entries: vec![entry], windows: None });
        self.from(s.using_clause());
        self.discard(s.where_clause());
        let scope = self.scopes.pop().unwrap_or_default();
        self.returning(s.returning_clause(), scope.entries)
    }

    fn merge(&mut self, s: &'a nodes::MergeStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.relation(target);
        self.scopes.push(Scope { entries: vec![entry.clone()], windows: None });
        self.item(s.source_relation());
        self.discard(s.join_condition());
        for clause in s.merge_when_clauses() {
            self.discard(clause.condition());
            for node in clause.target_list() {
                if let Node::ResTarget(target) = node {
                    self.assign(target, &entry);
                }
            }
            let mut set = Set::new();
            for value in clause.values() {
                self.expr(value, &mut set);
            }
            self.moves.extend(set);
        }
        let mut entries = self.scopes.pop().unwrap_or_default().entries;
        // RETURNING * shows the source first.
        if !entries.is_empty() {
            entries.rotate_left(1);
        }
        self.returning(s.returning_clause(), entries)
    }

    /// `SET column = expression`: moves what it is made of, except the column itself.
    fn assign(&mut self, target: &'a nodes::ResTarget, entry: &Entry) {
        let mut set = Set::new();
        self.expr(target.val(), &mut set);
        if let Some(own) = target.name().and_then(|n| column_of(entry, n)) {
            set.retain(|c| !own.contains(c));
        }
        self.moves.extend(set);
    }

    fn returning(&mut self, clause: Option<&'a nodes::ReturningClause>, entries: Vec<Entry>) -> Vec<Col> {
        let Some(clause) = clause else { return Vec::new() };
        let mut scope = Scope { entries, windows: None };
        let mut aliases: Vec<Name> = vec!["old".into(), "new".into()];
        aliases.extend(clause.options().iter().filter_map(|o| o.value()).map(Name::from));
        self.scopes.push(Scope::default());
        if let Some(target) = scope.entries.iter().find(|e| e.base).cloned() {
            let outer: Vec<Entry> = aliases.into_iter().map(|alias| Entry { alias, ..target.clone() }).collect();
            if let Some(s) = self.scopes.last_mut() {
                s.entries = outer;
            }
        }
        scope.windows = None;
        self.scopes.push(scope);
        let cols = self.targets(clause.exprs().iter());
        self.scopes.pop();
        self.scopes.pop();
        cols
    }

    fn with(&mut self, with: Option<&'a nodes::WithClause>) {
        let Some(with) = with else { return };
        let ctes: Vec<&'a nodes::CommonTableExpr> = with.ctes().iter().collect();
        if with.recursive {
            // A name may be used before its query was read: until then it shows anything.
            for cte in &ctes {
                let set = all_relations(cte.ctequery(), self.env);
                self.spend(set.len() + 1);
                let col = Col { name: None, set, star: true };
                self.ctes.push((cte.ctename().unwrap_or_default().into(), Rc::new(vec![col])));
            }
        }
        for cte in ctes {
            let mut cols = self.cte(cte, with.recursive);
            rename(&mut cols, cte.aliascolnames());
            let all = union(&cols);
            let extra = |name: Option<&str>| Col { name: name.map(Name::from), set: all.clone(), star: false };
            if let Some(search) = cte.search_clause() {
                cols.push(extra(search.search_seq_column()));
            }
            if let Some(cycle) = cte.cycle_clause() {
                cols.push(extra(cycle.cycle_mark_column()));
                cols.push(extra(cycle.cycle_path_column()));
            }
            self.spend(cols.len());
            self.ctes.push((cte.ctename().unwrap_or_default().into(), Rc::new(cols)));
        }
    }

    fn cte(&mut self, cte: &'a nodes::CommonTableExpr, recursive: bool) -> Vec<Col> {
        let name: Name = cte.ctename().unwrap_or_default().into();
        if let (true, Node::SelectStmt(s)) = (recursive, cte.ctequery())
            && let (Some(left), Some(_)) = (s.larg(), s.rarg())
        {
            // What the first arm shows, then both arms over that. If the second pass shows more, every
            // column shows all that any of them does: a third pass could not add to that.
            let depth = self.ctes.len();
            self.with(s.with_clause());
            let mut first = self.select(left);
            rename(&mut first, cte.aliascolnames());
            self.ctes.push((name, Rc::new(first.clone())));
            let mut second = self.select(s);
            self.ctes.truncate(depth);
            let same = first.len() == second.len() && first.iter().zip(&second).all(|(a, b)| a.set == b.set && !b.star);
            if !same {
                let mut all = union(&first);
                all.extend(union(&second));
                for col in &mut second {
                    col.set = all.clone();
                }
            }
            return second;
        }
        self.query(cte.ctequery())
    }

    fn select(&mut self, s: &'a nodes::SelectStmt) -> Vec<Col> {
        if !self.enter() {
            return Vec::new();
        }
        let ctes = self.ctes.len();
        self.with(s.with_clause());
        let cols = if let (Some(left), Some(right)) = (s.larg(), s.rarg()) {
            self.set_operation(left, right)
        } else if s.values_lists().is_empty() {
            self.plain(s)
        } else {
            self.values(s.values_lists())
        };
        self.ctes.truncate(ctes);
        self.depth -= 1;
        self.spend(cols.len() + 1);
        if cols.len() > MAX_COLUMNS {
            return vec![Col { name: None, set: union(&cols), star: true }];
        }
        cols
    }

    fn set_operation(&mut self, left: &'a nodes::SelectStmt, right: &'a nodes::SelectStmt) -> Vec<Col> {
        let (mut left, right) = (self.select(left), self.select(right));
        if left.len() != right.len() || left.iter().chain(&right).any(|c| c.star) {
            let mut set = union(&left);
            set.extend(union(&right));
            // Names of the first arm stay usable from outside.
            let mut out: Vec<Col> = left
                .into_iter()
                .filter(|c| c.name.is_some())
                .map(|c| Col { set: set.clone(), star: true, ..c })
                .collect();
            out.truncate(0);
            out.push(Col { name: None, set, star: true });
            return out;
        }
        for (l, r) in left.iter_mut().zip(right) {
            l.set.extend(r.set);
        }
        left
    }

    fn values(&mut self, rows: &'a NodeList) -> Vec<Col> {
        let mut out: Vec<Col> = Vec::new();
        self.scopes.push(Scope::default());
        for row in rows {
            let Node::NodeList(row) = row else { continue };
            for (i, value) in row.iter().enumerate() {
                if out.len() <= i {
                    let name = format!("column{}", i + 1).into();
                    out.push(Col { name: Some(name), set: Set::new(), star: false });
                }
                let mut set = Set::new();
                self.expr(value, &mut set);
                if let Some(col) = out.get_mut(i) {
                    col.set.extend(set);
                }
            }
        }
        self.scopes.pop();
        out
    }

    fn plain(&mut self, s: &'a nodes::SelectStmt) -> Vec<Col> {
        self.scopes.push(Scope { entries: Vec::new(), windows: Some(s.window_clause()) });
        let star = self.from(s.from_clause());
        let mut cols = Vec::new();
        for target in s.target_list() {
            self.target(target, Some(&star), &mut cols);
        }
        self.discard(s.where_clause());
        self.discard(s.having_clause());
        self.discard_list(s.group_clause());
        self.discard_list(s.distinct_clause());
        for sort in s.sort_clause() {
            self.discard(sort.node());
        }
        self.discard(s.limit_count());
        self.discard(s.limit_offset());
        self.scopes.pop();
        cols
    }

    /// Reads what shows in no output, for the functions in it that send their arguments away.
    fn discard(&mut self, node: Node<'a>) {
        let mut unused = Set::new();
        self.expr(node, &mut unused);
    }

    fn discard_list(&mut self, list: &'a NodeList) {
        for node in list {
            self.discard(node);
        }
    }

    fn targets(&mut self, list: impl Iterator<Item = Node<'a>>) -> Vec<Col> {
        let mut cols = Vec::new();
        for node in list {
            if let Node::ResTarget(target) = node {
                self.target(target, None, &mut cols);
            } else {
                self.gave_up = true;
            }
        }
        cols
    }

    fn target(&mut self, target: &'a nodes::ResTarget, star: Option<&[Col]>, out: &mut Vec<Col>) {
        if let Node::ColumnRef(c) = target.val()
            && c.fields().iter().next_back().is_some_and(|n| matches!(n, Node::A_Star(_)))
        {
            let qualifier = names::strings(c.fields());
            let cols = self.star(&qualifier, star);
            self.spend(cols.len());
            out.extend(cols);
            return;
        }
        let mut set = Set::new();
        self.expr(target.val(), &mut set);
        let star = if let Node::A_Indirection(i) = target.val() {
            i.indirection().iter().any(|n| matches!(n, Node::A_Star(_)))
        } else {
            false
        };
        let name = target.name().map(Name::from).or_else(|| implied_name(target.val()));
        self.spend(set.len());
        out.push(Col { name, set, star });
    }

    fn star(&self, qualifier: &[&str], star: Option<&[Col]>) -> Vec<Col> {
        if qualifier.is_empty() {
            if let Some(star) = star {
                return star.to_vec();
            }
            let entries = self.scopes.last().map(|s| s.entries.as_slice()).unwrap_or_default();
            return entries.iter().flat_map(|e| e.cols.clone()).collect();
        }
        match self.entry(qualifier) {
            Some(entry) => entry.cols.clone(),
            None => vec![Col { name: None, set: self.everything(), star: true }],
        }
    }

    /// The entry that `alias` or `schema.alias` names.
    fn entry(&self, qualifier: &[&str]) -> Option<&Entry> {
        let (alias, schema) = match qualifier {
            [alias] => (*alias, None),
            [.., schema, alias] => (*alias, Some(*schema)),
            [] => return None,
        };
        let mut all = self.scopes.iter().rev().flat_map(|s| s.entries.iter());
        all.find(|e| &*e.alias == alias && schema.is_none_or(|s| e.schema.as_deref() == Some(s)))
    }

    fn everything(&self) -> Set {
        self.scopes.iter().flat_map(|s| s.entries.iter()).flat_map(whole).collect()
    }

    /// Adds what an expression shows. Expressions keep their own stack; queries in them recurse.
    fn expr(&mut self, node: Node<'a>, out: &mut Set) {
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            if matches!(node, Node::None) {
                continue;
            }
            self.spend(1);
            if self.gave_up {
                return;
            }
            if let Node::ColumnRef(c) = node {
                self.column(c, out);
            } else if let Node::SubLink(link) = node {
                todo.push(link.testexpr());
                let cols = self.query(link.subselect());
                if link.sub_link_type != nodes::SubLinkType::EXISTS_SUBLINK {
                    out.extend(union(&cols));
                }
            } else if matches!(node, Node::SelectStmt(_)) {
                let cols = self.query(node);
                out.extend(union(&cols));
            } else if let Node::WindowDef(w) = node {
                if w.name().is_some() || w.refname().is_some() {
                    let windows = self.scopes.last().and_then(|s| s.windows);
                    for window in windows.into_iter().flatten() {
                        if let Node::WindowDef(d) = window {
                            todo.extend(d.partition_clause().iter());
                            todo.extend(d.order_clause().iter().map(|s| s.node()));
                        }
                    }
                }
                todo.extend(w.partition_clause().iter());
                todo.extend(w.order_clause().iter().map(|s| s.node()));
            } else if let Node::FuncCall(call) = node {
                let parts = names::strings(call.funcname());
                if !self.env.functions(&parts).is_empty() {
                    // It may send its arguments anywhere.
                    let mut sent = Set::new();
                    if self.enter() {
                        for arg in call.args() {
                            self.expr(arg, &mut sent);
                        }
                        self.depth -= 1;
                    }
                    self.moves.extend(sent);
                }
                children(node, &mut |child| todo.push(child));
            } else {
                children(node, &mut |child| todo.push(child));
            }
        }
    }

    fn column(&self, c: &nodes::ColumnRef, out: &mut Set) {
        let fields = names::strings(c.fields());
        let star = c.fields().iter().any(|n| matches!(n, Node::A_Star(_)));
        match fields.as_slice() {
            _ if star => match self.entry(&fields) {
                Some(entry) => out.extend(whole(entry)),
                None => out.extend(self.everything()),
            },
            [name] => self.unqualified(name, out),
            [qualifier @ .., name] => match self.entry(qualifier) {
                Some(entry) => out.extend(column_of(entry, name).unwrap_or_else(|| whole(entry))),
                None => out.extend(self.everything()),
            },
            [] => out.extend(self.everything()),
        }
    }

    fn unqualified(&self, name: &str, out: &mut Set) {
        let mut found = false;
        for scope in self.scopes.iter().rev() {
            let mut certain = false;
            for entry in &scope.entries {
                if let Some(set) = column_of(entry, name) {
                    out.extend(set);
                    found = true;
                    certain |= entry.cols.iter().any(|c| c.name.as_deref() == Some(name));
                }
            }
            for entry in scope.entries.iter().filter(|e| &*e.alias == name) {
                out.extend(whole(entry));
                found = true;
                certain = true;
            }
            if certain {
                return;
            }
        }
        if !found {
            out.extend(self.everything());
        }
    }

    /// Adds the names of a FROM clause; returns what `*` shows.
    fn from(&mut self, list: &'a NodeList) -> Vec<Col> {
        list.iter().flat_map(|node| self.item(node)).collect()
    }

    fn add(&mut self, entry: Entry) -> Vec<Col> {
        self.spend(entry.cols.len() + 1);
        let cols = entry.cols.clone();
        if let Some(scope) = self.scopes.last_mut() {
            scope.entries.push(entry);
        }
        cols
    }

    fn item(&mut self, node: Node<'a>) -> Vec<Col> {
        if !self.enter() {
            return Vec::new();
        }
        let cols = if let Node::RangeVar(r) = node {
            let entry = self.relation(r);
            self.add(entry)
        } else if let Node::JoinExpr(j) = node {
            self.join(j)
        } else if let Node::RangeSubselect(sub) = node {
            // INVARIANT: without LATERAL a subquery does not see its neighbours: a neighbour's column must
            // not stand in for one of an outer query.
            let hidden = if sub.lateral { None } else { self.scopes.last_mut().map(std::mem::take) };
            let cols = self.query(sub.subquery());
            if let (Some(hidden), Some(scope)) = (hidden, self.scopes.last_mut()) {
                *scope = hidden;
            }
            self.derived(cols, sub.alias())
        } else if let Node::RangeTableSample(t) = node {
            self.item(t.relation())
        } else if let Node::RangeFunction(f) = node {
            self.function(f)
        } else {
            let mut set = Set::new();
            children_expr(self, node, &mut set);
            let alias = if let Node::JsonTable(t) = node {
                t.alias()
            } else if let Node::RangeTableFunc(t) = node {
                t.alias()
            } else {
                None
            };
            self.derived(vec![Col { name: None, set, star: true }], alias)
        };
        self.depth -= 1;
        cols
    }

    fn derived(&mut self, mut cols: Vec<Col>, alias: Option<&'a nodes::Alias>) -> Vec<Col> {
        if let Some(alias) = alias {
            rename(&mut cols, alias.colnames());
        }
        let alias = alias.and_then(nodes::Alias::aliasname).unwrap_or_default().into();
        self.add(Entry { alias, schema: None, cols, unknown: None, base: false })
    }

    fn function(&mut self, f: &'a nodes::RangeFunction) -> Vec<Col> {
        let mut set = Set::new();
        let mut name = "";
        for node in f.functions() {
            let Node::NodeList(pair) = node else { continue };
            for part in pair {
                if let Node::FuncCall(call) = part {
                    name = names::strings(call.funcname()).last().copied().unwrap_or_default();
                }
                if let Node::NodeList(_) = part {
                    continue;
                }
                self.expr(part, &mut set);
            }
        }
        let mut cols: Vec<Col> = f
            .coldeflist()
            .iter()
            .map(|d| Col { name: d.colname().map(Name::from), set: set.clone(), star: false })
            .collect();
        if cols.is_empty() {
            cols.push(Col { name: None, set, star: true });
        }
        if let Some(alias) = f.alias() {
            rename(&mut cols, alias.colnames());
            name = alias.aliasname().unwrap_or(name);
        }
        self.add(Entry { alias: name.into(), schema: None, cols, unknown: None, base: false })
    }

    fn join(&mut self, j: &'a nodes::JoinExpr) -> Vec<Col> {
        let before = self.scopes.last().map_or(0, |s| s.entries.len());
        let left = self.item(j.larg());
        let right = self.item(j.rarg());
        self.discard(j.quals());
        let unknown = left.iter().chain(&right).any(|c| c.star);
        let using: Vec<Name> = if j.is_natural {
            left.iter()
                .filter_map(|c| c.name.clone())
                .filter(|n| right.iter().any(|r| r.name.as_ref() == Some(n)))
                .collect()
        } else {
            j.using_clause().iter().filter_map(|s| s.sval()).map(Name::from).collect()
        };
        let mut cols = if unknown && (j.is_natural || !using.is_empty()) {
            let mut set = union(&left);
            set.extend(union(&right));
            vec![Col { name: None, set, star: true }]
        } else {
            merge_columns(left, right, &using)
        };
        if let Some(alias) = j.join_using_alias() {
            let merged: Vec<Col> = cols.iter().take(using.len()).cloned().collect();
            self.derived(merged, Some(alias));
        }
        if let Some(alias) = j.alias() {
            // Its alias hides the names within.
            if let Some(scope) = self.scopes.last_mut() {
                scope.entries.truncate(before);
            }
            cols = self.derived(cols, Some(alias));
        }
        cols
    }

    fn relation(&self, r: &nodes::RangeVar) -> Entry {
        let relname = r.relname().unwrap_or_default();
        let alias: Name = r.alias().and_then(nodes::Alias::aliasname).unwrap_or(relname).into();
        let cte = if r.schemaname().is_none() { self.ctes.iter().rev().find(|(n, _)| &**n == relname) } else { None };
        let mut entry = if let Some((_, cols)) = cte {
            Entry { alias, schema: None, cols: cols.to_vec(), unknown: None, base: false }
        } else {
            self.base(r, alias)
        };
        if let Some(renamed) = r.alias() {
            rename(&mut entry.cols, renamed.colnames());
        }
        entry
    }

    fn base(&self, r: &nodes::RangeVar, alias: Name) -> Entry {
        let (schema, table) = self.env.range_var(r);
        let source = |column: Option<Name>| SourceColumn { schema: schema.clone(), table: table.clone(), column };
        let known = if r.catalogname().is_none() { self.env.catalogue.named(&schema, &table) } else { None };
        let named_schema = if r.alias().is_some() { None } else { Some(schema.clone()) };
        let cols = match known {
            Some(relation) if !relation.columns.is_empty() => relation
                .columns
                .iter()
                .map(|c| Col {
                    name: Some(c.name.clone()),
                    set: Set::from([source(Some(c.name.clone()))]),
                    star: false,
                })
                .collect(),
            Some(_) | None => vec![Col { name: None, set: Set::from([source(None)]), star: true }],
        };
        let unknown = cols.iter().any(|c| c.star).then(|| (schema.clone(), table.clone()));
        Entry { alias, schema: named_schema, cols, unknown, base: true }
    }
}

fn children_expr<'a>(reading: &mut Reading<'a, '_>, node: Node<'a>, out: &mut Set) {
    let mut all = Vec::new();
    children(node, &mut |child| all.push(child));
    for child in all {
        reading.expr(child, out);
    }
}

/// Columns of a join: the merged ones, then the rest of the left, then of the right.
fn merge_columns(left: Vec<Col>, right: Vec<Col>, using: &[Name]) -> Vec<Col> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    for name in using {
        let mut set = Set::new();
        for col in left.iter().chain(&right).filter(|c| c.name.as_ref() == Some(name)) {
            set.extend(col.set.iter().cloned());
        }
        out.push(Col { name: Some(name.clone()), set, star: false });
    }
    let rest = left.into_iter().chain(right);
    out.extend(rest.filter(|c| !c.name.as_ref().is_some_and(|n| using.contains(n))));
    out
}

/// The name that the server gives an output without one, as far as others can refer to it.
fn implied_name(node: Node<'_>) -> Option<Name> {
    let mut node = node;
    loop {
        if let Node::TypeCast(c) = node {
            // The type's name only counts over what has none: then any name may mean the output.
            node = c.arg();
        } else if let Node::CollateClause(c) = node {
            node = c.arg();
        } else if let Node::ColumnRef(c) = node {
            return names::strings(c.fields()).last().map(|n| (*n).into());
        } else if let Node::A_Indirection(i) = node {
            let last = names::strings(i.indirection()).last().map(|n| Name::from(*n));
            if last.is_some() {
                return last;
            }
            node = i.arg();
        } else if let Node::FuncCall(f) = node {
            return names::strings(f.funcname()).last().map(|n| (*n).into());
        } else {
            return None;
        }
    }
}

fn union(cols: &[Col]) -> Set {
    cols.iter().flat_map(|c| c.set.iter().cloned()).collect()
}

/// Everything that a whole-row value of the entry shows.
fn whole(entry: &Entry) -> Set {
    union(&entry.cols)
}

const SYSTEM: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

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
    if entry.base && SYSTEM.contains(&name) {
        return Some(set);
    }
    if let Some((schema, table)) = &entry.unknown {
        return Some(Set::from([SourceColumn {
            schema: schema.clone(),
            table: table.clone(),
            column: Some(name.into()),
        }]));
    }
    let stars = entry.cols.iter().filter(|c| c.star);
    for col in stars {
        set.extend(col.set.iter().cloned());
        found = true;
    }
    // An output without a name can be meant by a name we did not foresee.
    for col in entry.cols.iter().filter(|c| c.name.is_none() && !c.star) {
        set.extend(col.set.iter().cloned());
        found = true;
    }
    found.then_some(set)
}

/// Renames the first columns of a list, as `AS t(a, b)` does.
fn rename(cols: &mut Vec<Col>, names: &NodeList) {
    for (i, name) in names::strings(names).into_iter().enumerate() {
        match cols.get_mut(i) {
            Some(col) if !col.star => col.name = Some(name.into()),
            Some(_) => {
                // Unknown columns from here on: the new name is one of them.
                let set = union(cols);
                cols.insert(i, Col { name: Some(name.into()), set, star: false });
            }
            None => return,
        }
    }
}

fn returning(node: Node<'_>) -> bool {
    if let Node::InsertStmt(s) = node {
        s.returning_clause().is_some()
    } else if let Node::UpdateStmt(s) = node {
        s.returning_clause().is_some()
    } else if let Node::DeleteStmt(s) = node {
        s.returning_clause().is_some()
    } else if let Node::MergeStmt(s) = node {
        s.returning_clause().is_some()
    } else {
        false
    }
}

/// Whether what could not be read may store or send values: every statement may, by a CTE or a function.
fn stores(node: Node<'_>) -> bool {
    !matches!(node, Node::None)
}

/// Every relation that a statement names, with any column.
fn all_relations(node: Node<'_>, env: &Environment) -> Set {
    let mut out = Set::new();
    let mut todo = vec![node];
    while let Some(node) = todo.pop() {
        if let Node::RangeVar(r) = node {
            let (schema, table) = env.range_var(r);
            out.insert(SourceColumn { schema, table, column: None });
        } else {
            children(node, &mut |child| todo.push(child));
        }
    }
    out
}
