//! Which columns each output shows.
//!
//! Sound in the conservative direction: what is not resolved counts as every relation it could come
//! from. What only filters, joins, groups or sorts is no output: that is kept beside, as what the statement weighs.
//! The walk counts its depth and its work; beyond either it answers with every relation there is.
mod columns;
mod dml;
mod from;
mod seen;
mod weighed;

use self::{
    columns::window_parts,
    columns::{children_expr, column_of, implied_name, union, whole},
    seen::{Seen, node_at},
};
use super::{Environment, Lineage, Output, SourceColumn, analysis, children::children, dotted, names, older};
use doorward_model::Name;
use pg_raw_parse::{Node, list::NodeList, nodes};
use std::{cell::Cell, collections::BTreeSet, rc::Rc};

/// Nesting of queries and joins that fits a stack of 2 MiB.
pub(super) const INLINE_DEPTH: usize = 40;
/// Nesting that fits the big stack.
pub(super) const OFFLOAD_DEPTH: usize = 1000;
/// The server's own limit of columns in a result.
const MAX_COLUMNS: usize = 1664;
/// Work allowed for one statement, in columns touched.
const BUDGET: usize = 200_000;
/// How often a name is compared with that of a column, a relation or a common table expression, in one statement.
const LOOKS: usize = 5_000_000;

type Set = BTreeSet<SourceColumn>;

/// One column, or (`star`) any number of unknown ones.
#[derive(Clone, Debug, PartialEq)]
struct Col {
    name: Option<Name>,
    set: Set,
    star: bool,
    /// It stands where it does by `*`, and not by the text.
    is_placed: bool,
}

/// One name of a FROM clause.
#[derive(Clone, Debug)]
struct Entry {
    alias: Name,
    schema: Option<Name>,
    cols: Vec<Col>,
    /// A relation that the catalogue does not know.
    unknown: Option<(Name, Name)>,
    /// A base relation: it has system columns, which show nothing, but where a row is stored.
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
    weighs: Set,
    depth: usize,
    limit: usize,
    budget: usize,
    looks: usize,
    gave_up: bool,
    /// Names were given by place to what stands there by `*`, or as a relation has it.
    names_by_place: Cell<bool>,
    /// What of the statement was read.
    seen: Seen,
}

impl<'a, 'e> Reading<'a, 'e> {
    pub(super) fn new(env: &'e Environment, limit: usize) -> Self {
        Self {
            env,
            scopes: Vec::new(),
            ctes: Vec::new(),
            moves: Set::new(),
            weighs: Set::new(),
            depth: 0,
            limit,
            budget: BUDGET,
            looks: LOOKS,
            gave_up: false,
            names_by_place: Cell::new(false),
            seen: Seen::default(),
        }
    }

    /// Columns whose values the statement stores or sends, and those that it decides by.
    pub(super) fn into_moves_and_weighs(self) -> (Set, Set) {
        (self.moves, self.weighs)
    }

    /// The outputs of a statement; `None` if it returns no rows.
    pub(super) fn statement(&mut self, node: Node<'a>) -> Option<Lineage> {
        let cols = self.top(node);
        if self.gave_up || !self.seen.is_all_of(node) {
            let all = all_relations(node, self.env);
            self.weighs.extend(all.iter().cloned());
            if stores(node) {
                self.moves.extend(all.iter().cloned());
            }
            return cols.map(|_| Lineage { outputs: vec![Output::Star], anywhere: all, ..Lineage::default() });
        }
        if self.names_by_place.get() {
            self.weighs.extend(all_relations(node, self.env));
        }
        cols.map(|cols| {
            let mut anywhere = union(&cols);
            if self.names_by_place.get() {
                anywhere.extend(all_relations(node, self.env));
            }
            let label = |(n, col): (usize, &Col)| col.is_placed.then(|| (n, col.name.clone().unwrap_or_default()));
            let placed = cols.iter().enumerate().filter_map(label).collect();
            let outputs = cols.into_iter().map(|c| if c.star { Output::Star } else { Output::Made(c.set) }).collect();
            Lineage { outputs, anywhere, placed, names_by_place: self.names_by_place.get() }
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
                Some(vec![Col { name: Some("QUERY PLAN".into()), set: Set::new(), star: false, is_placed: false }])
            }
            Node::CreateTableAsStmt(s) => {
                if let Some(cols) = self.top(s.query()) {
                    self.moves.extend(union(&cols));
                }
                None
            }
            // It shows them to whoever reads it, also before anybody knows what it is made of.
            Node::ViewStmt(s) => {
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
            // Where its text cannot be rewritten, what it would decide by counts when it is prepared. What it moves, when it
            // is run.
            Node::PrepareStmt(s) => {
                let moves = self.moves.clone();
                self.top(s.query());
                self.moves = moves;
                None
            }
            Node::CopyStmt(s) => Some(self.copy(s)),
            Node::CallStmt(s) => {
                let mut set = Set::new();
                if let Some(call) = s.funccall() {
                    self.expr(call.into(), &mut set);
                }
                Some(vec![Col { name: None, set, star: true, is_placed: true }])
            }
            Node::VariableShowStmt(_) | Node::ExecuteStmt(_) | Node::FetchStmt(_) => Some(Vec::new()),
            _ => None,
        }
    }

    fn copy(&mut self, s: &'a nodes::CopyStmt) -> Vec<Col> {
        let Some(r) = s.relation() else { return self.top(s.query()).unwrap_or_default() };
        let entry = self.target_relation(r);
        if s.attlist().is_empty() {
            return entry.cols.into_iter().map(|col| Col { is_placed: true, ..col }).collect();
        }
        let wanted = names::strings(s.attlist());
        wanted
            .into_iter()
            .map(|n| Col {
                name: Some(n.into()),
                set: column_of(&entry, n).unwrap_or_else(|| whole(&entry)),
                star: false,
                is_placed: false,
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

    /// A name is looked for among this many.
    fn look(&mut self, among: usize) {
        match self.looks.checked_sub(among) {
            Some(left) => self.looks = left,
            None => self.gave_up = true,
        }
    }

    /// A name is looked for among all that an expression sees. False where that is too much.
    fn look_around(&mut self) -> bool {
        let among = self.scopes.iter().flat_map(|s| &s.entries).map(|entry| entry.cols.len() + 1).sum();
        self.look(among);
        !self.gave_up
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

    fn with(&mut self, with: Option<&'a nodes::WithClause>) {
        let Some(with) = with else { return };
        let ctes: Vec<&'a nodes::CommonTableExpr> = with.ctes().iter().collect();
        if with.recursive {
            // A name may be used before its query was read: until then it shows anything that any of them may read, also by
            // names of one another, and of queries outside.
            let mut set: Set = self.ctes.iter().flat_map(|(_, cols)| union(cols)).collect();
            for cte in &ctes {
                set.extend(all_relations(cte.ctequery(), self.env));
            }
            for cte in &ctes {
                self.spend(set.len() + 1);
                let col = Col { name: None, set: set.clone(), star: true, is_placed: true };
                self.ctes.push((cte.ctename().unwrap_or_default().into(), Rc::new(vec![col])));
            }
        }
        for cte in ctes {
            let mut cols = self.cte(cte, with.recursive);
            self.rename(&mut cols, cte.aliascolnames());
            let all = union(&cols);
            let extra = |name: Option<&str>| Col {
                name: name.map(Name::from),
                set: all.clone(),
                star: false,
                is_placed: false,
            };
            if let Some(search) = cte.search_clause() {
                cols.push(extra(search.search_seq_column()));
            }
            if let Some(cycle) = cte.cycle_clause() {
                self.discard(cycle.cycle_mark_value());
                self.discard(cycle.cycle_mark_default());
                cols.push(extra(cycle.cycle_mark_column()));
                cols.push(extra(cycle.cycle_path_column()));
            }
            if cte.search_clause().is_some() || cte.cycle_clause().is_some() {
                self.weighs.extend(all);
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
            self.rename(&mut first, cte.aliascolnames());
            let own = self.ctes.len();
            self.ctes.push((name, Rc::new(first.clone())));
            let mut second = self.select(s);
            let same = first.len() == second.len() && first.iter().zip(&second).all(|(a, b)| a.set == b.set && !b.star);
            if !same {
                let mut all = union(&first);
                all.extend(union(&second));
                for col in &mut second {
                    col.set = all.clone();
                }
                // What is decided by a column counts for all that it comes to show.
                let mut over = second.clone();
                self.rename(&mut over, cte.aliascolnames());
                if let Some((_, cols)) = self.ctes.get_mut(own) {
                    *cols = Rc::new(over);
                }
                self.select(s);
            }
            self.ctes.truncate(depth);
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
            let cols = self.set_operation(left, right);
            self.weigh_set_operation(s, &cols);
            cols
        } else if s.values_lists().is_empty() {
            self.plain(s)
        } else {
            self.values(s)
        };
        self.ctes.truncate(ctes);
        self.depth -= 1;
        self.spend(cols.len() + 1);
        if cols.len() > MAX_COLUMNS {
            return vec![Col { name: None, set: union(&cols), star: true, is_placed: true }];
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
            out.push(Col { name: None, set, star: true, is_placed: true });
            return out;
        }
        // Further out, what stands there by place goes by the names of the first.
        let is_placed = left.iter().chain(&right).any(|col| col.is_placed);
        if is_placed && self.depth > 1 {
            self.names_by_place.set(true);
        }
        for (l, r) in left.iter_mut().zip(right) {
            l.set.extend(r.set);
            l.is_placed |= r.is_placed;
        }
        left
    }

    fn values(&mut self, s: &'a nodes::SelectStmt) -> Vec<Col> {
        let mut out: Vec<Col> = Vec::new();
        self.scopes.push(Scope::default());
        for row in s.values_lists() {
            let Node::NodeList(row) = row else { continue };
            for (i, value) in row.iter().enumerate() {
                if out.len() <= i {
                    let name = format!("column{}", i + 1).into();
                    out.push(Col { name: Some(name), set: Set::new(), star: false, is_placed: false });
                }
                let mut set = Set::new();
                self.expr(value, &mut set);
                if let Some(col) = out.get_mut(i) {
                    col.set.extend(set);
                }
            }
        }
        self.derived(out.clone(), None);
        self.weigh_order(s, &out);
        self.discard(s.limit_count());
        self.discard(s.limit_offset());
        self.scopes.pop();
        out
    }

    fn plain(&mut self, s: &'a nodes::SelectStmt) -> Vec<Col> {
        self.scopes.push(Scope { entries: Vec::new(), windows: Some(s.window_clause()) });
        let star = self.from(s.from_clause());
        let mut cols = Vec::new();
        for target in s.target_list() {
            self.target(target, &star, &mut cols);
        }
        self.discard(s.where_clause());
        self.discard(s.having_clause());
        for window in s.window_clause() {
            // Also those that no function goes over.
            let mut parts = Vec::new();
            window_parts(window, &mut parts);
            parts.into_iter().for_each(|part| self.discard(part));
        }
        self.weigh_order(s, &cols);
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

    /// `star`: what `*` shows.
    fn targets(&mut self, list: impl Iterator<Item = Node<'a>>, star: &[Col]) -> Vec<Col> {
        let mut cols = Vec::new();
        for node in list {
            if let Node::ResTarget(target) = node {
                self.target(target, star, &mut cols);
            } else {
                self.gave_up = true;
            }
        }
        cols
    }

    /// A column is shown as it is, or nothing: it is made of what its conditions decide by, and of the column, by which nothing is
    /// decided. Of several results the values may become those of another type.
    fn case(&mut self, case: &'a nodes::CaseExpr, out: &mut Set) {
        self.expr(case.arg(), out);
        let mut results = vec![case.defresult()];
        for branch in case.args() {
            if let Node::CaseWhen(when) = branch {
                self.expr(when.expr(), out);
                results.push(when.result());
            } else {
                self.expr(branch, out);
            }
        }
        let is_null =
            |node: Node<'_>| if let Node::A_Const(of) = node { of.isnull } else { matches!(node, Node::None) };
        results.retain(|result| !is_null(*result));
        if let [Node::ColumnRef(c)] = results[..] {
            self.column(c, out);
        } else {
            results.into_iter().for_each(|result| self.expr(result, out));
        }
    }

    fn target(&mut self, target: &'a nodes::ResTarget, star: &[Col], out: &mut Vec<Col>) {
        if let Node::ColumnRef(c) = target.val()
            && c.fields().iter().next_back().is_some_and(|n| matches!(n, Node::A_Star(_)))
        {
            self.seen.saw(node_at(c));
            if !self.look_around() {
                return;
            }
            let qualifier = names::strings(c.fields());
            let cols = self.star(&qualifier, star);
            self.spend(cols.len());
            out.extend(cols.into_iter().map(|col| Col { is_placed: true, ..col }));
            return;
        }
        let mut set = Set::new();
        if let Node::ColumnRef(c) = target.val() {
            // Shown as it is: nothing is decided by it.
            self.column(c, &mut set);
        } else if let Node::CaseExpr(case) = target.val() {
            self.case(case, &mut set);
        } else {
            self.expr(target.val(), &mut set);
        }
        let star = if let Node::A_Indirection(i) = target.val() {
            i.indirection().iter().any(|n| matches!(n, Node::A_Star(_)))
        } else {
            false
        };
        let name = target.name().map(Name::from).or_else(|| implied_name(target.val()));
        self.spend(set.len());
        out.push(Col { name, set, star, is_placed: star });
    }
}

const SYSTEM: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

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
