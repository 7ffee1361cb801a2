//! The walk that collects accesses. It keeps its own stack, so no text overflows the thread's.
use super::{
    Environment, Tell,
    children::children,
    dotted::{self, Dotted},
    names, older, query, reads, settings,
};
use crate::meaning::{Reads, Writes};
use ahash::AHashSet;
use doorward_model::{Access, Action, Name, Resource};
use pg_raw_parse::{Node, list::NodeList, nodes};

/// What is still to do.
pub(super) enum Todo<'a> {
    /// Walk a node and all below it.
    Visit(Node<'a>),
    /// A common table expression is visible from here on.
    Name(&'a str),
    /// The common table expressions of a statement begin.
    OpenScope,
    /// They end.
    CloseScope,
}

/// Collects the accesses of one query string.
pub(super) struct Walk<'a, 'e> {
    pub(super) env: &'e Environment,
    pub(super) accesses: Vec<Access>,
    pub(super) todo: Vec<Todo<'a>>,
    scopes: Vec<AHashSet<&'a str>>,
    /// How many texts within texts (bodies of functions) lead here.
    pub(super) nested: u8,
    pub(super) made_temporary: Vec<Name>,
    pub(super) schema_changed: bool,
    /// Where CREATE SCHEMA makes its elements.
    pub(super) new_schema: Option<Name>,
    /// Settings that `set_config` changes.
    pub(super) settings: Vec<super::Effect>,
    /// Calls whose first argument is a column that holds one setting's name alone, by their addresses (`settings::named`).
    pub(super) named_settings: Vec<(usize, String)>,
    /// The relations that are read, and what forbids to read others in their places.
    pub(super) reads: Reads,
    /// What the statement writes.
    pub(super) writes: Writes,
    /// Whether constants may be values that are written.
    pub(super) keeps_texts: bool,
    /// What else of them matters.
    pub(super) found: reads::Found,
    /// Fields that may be functions.
    pub(super) dotted: Dotted,
    /// The node visited last was a statement that a rule names.
    known: bool,
}

impl<'a, 'e> Walk<'a, 'e> {
    pub(super) fn new(env: &'e Environment, nested: u8) -> Self {
        Self {
            env,
            accesses: Vec::with_capacity(4),
            todo: Vec::with_capacity(16),
            scopes: Vec::new(),
            nested,
            made_temporary: Vec::new(),
            schema_changed: false,
            new_schema: None,
            settings: Vec::new(),
            named_settings: Vec::new(),
            reads: Reads::default(),
            writes: Writes::default(),
            keeps_texts: false,
            found: reads::Found::default(),
            dotted: Dotted::default(),
            known: false,
        }
    }

    /// Walks a statement to its end.
    pub(super) fn statement(&mut self, node: Node<'a>) {
        let before = self.accesses.len();
        self.known = false;
        let mut root = None;
        self.push(node);
        while let Some(todo) = self.todo.pop() {
            match todo {
                Todo::Visit(node) => {
                    self.visit(node);
                    root.get_or_insert(self.known);
                }
                Todo::Name(name) => {
                    if let Some(scope) = self.scopes.last_mut() {
                        scope.insert(name);
                    }
                }
                Todo::OpenScope => self.scopes.push(AHashSet::new()),
                Todo::CloseScope => {
                    self.scopes.pop();
                }
            }
        }
        self.scopes.clear();
        self.new_schema = None;
        dotted::calls(self, node);
        settings::changes_by_a_view(self, node, before);
        if root == Some(false) {
            // A statement that no rule names: whatever its parts ask for is not all that it does.
            self.opaque("a kind of statement that is not understood");
        }
        if self.accesses.len() == before {
            self.add(Action::Connect, Resource::Connection);
        }
    }

    pub(super) fn add(&mut self, action: Action, resource: Resource) {
        self.accesses.push(Access::new(action, resource));
    }

    /// What was asked for. Rows of a partition, or of a table that inherits, are rows of the tables above it
    /// too: who reads or changes them by the partition's own name needs the same right up there.
    pub(super) fn into_accesses(self) -> Vec<Access> {
        let mut out = self.accesses;
        for i in 0..out.len() {
            let Some(Access { action, resource: Resource::Table { schema, name }, has_where, as_root }) = out.get(i)
            else {
                continue;
            };
            if !of_rows(*action) {
                continue;
            }
            let Some(relation) = self.env.catalogue.named(schema, name) else { continue };
            let (action, has_where, as_root) = (*action, *has_where, *as_root);
            for above in self.env.catalogue.ancestors(relation.oid) {
                let resource = Resource::Table { schema: above.schema.clone(), name: above.name.clone() };
                out.push(Access { action, resource, has_where, as_root });
            }
        }
        out
    }

    pub(super) fn opaque(&mut self, what: impl Into<Name>) {
        self.add(Action::Opaque, Resource::Opaque { what: what.into() });
    }

    /// Asks `action` on a relation.
    pub(super) fn on_relation(&mut self, action: Action, r: &nodes::RangeVar) {
        if let Some(catalog) = r.catalogname() {
            self.opaque(format!("a relation of database `{catalog}`"));
        }
        self.dotted.row(r.alias().map_or(r.relname(), nodes::Alias::aliasname));
        let (schema, name) = self.relation(r);
        self.add(action, Resource::Table { schema, name });
    }

    /// The relation that a node of the tree means, and takes note of it where that depends on the search path.
    pub(super) fn relation(&mut self, r: &nodes::RangeVar) -> (Name, Name) {
        let found = self.env.range_var(r);
        if r.schemaname().is_none() {
            self.reads.bare.insert(found.clone());
        }
        found
    }

    pub(super) fn push(&mut self, node: Node<'a>) {
        if !matches!(node, Node::None) {
            self.todo.push(Todo::Visit(node));
        }
    }

    pub(super) fn push_list(&mut self, list: &'a NodeList) {
        for node in list {
            self.push(node);
        }
    }

    pub(super) fn push_children(&mut self, node: Node<'a>) {
        let todo = &mut self.todo;
        let known = children(node, &mut |child| {
            if !matches!(child, Node::None) {
                todo.push(Todo::Visit(child));
            }
        });
        if !known {
            self.opaque("a part of the statement that the grammar should not make");
        }
    }

    /// The common table expressions of a statement: to be called after its own parts are pushed.
    pub(super) fn push_with(&mut self, with: Option<&'a nodes::WithClause>) {
        let Some(with) = with else { return };
        let ctes: Vec<&'a nodes::CommonTableExpr> = with.ctes().iter().collect();
        // A stack: what is pushed last is done first. Each query sees the names before it; all of
        // them see all names under RECURSIVE.
        if with.recursive {
            for cte in &ctes {
                self.push(cte.ctequery());
                self.push_search(cte);
            }
            for cte in &ctes {
                self.todo.push(Todo::Name(cte.ctename().unwrap_or_default()));
            }
        } else {
            for cte in ctes.iter().rev() {
                self.todo.push(Todo::Name(cte.ctename().unwrap_or_default()));
                self.push(cte.ctequery());
                self.push_search(cte);
            }
        }
    }

    fn push_search(&mut self, cte: &'a nodes::CommonTableExpr) {
        if let Some(cycle) = cte.cycle_clause() {
            self.push(cycle.cycle_mark_value());
            self.push(cycle.cycle_mark_default());
        }
    }

    /// Whether it names a common table expression.
    pub(super) fn is_cte(&self, r: &nodes::RangeVar) -> bool {
        let name = r.relname().unwrap_or_default();
        r.schemaname().is_none() && self.scopes.iter().any(|s| s.contains(&name))
    }

    /// What an item of a FROM clause goes by, other than a relation.
    #[allow(clippy::wildcard_enum_match_arm, reason = "nothing else has an alias")]
    fn alias(&mut self, node: Node<'a>) {
        let alias = match node {
            Node::RangeSubselect(n) => n.alias(),
            Node::RangeFunction(n) => {
                reads::function(self, n);
                self.dotted.function();
                return reads::alias(self, n.alias().and_then(nodes::Alias::aliasname));
            }
            Node::RangeTableFunc(n) => n.alias().or_else(|| reads::nameless(self)),
            Node::JsonTable(n) => n.alias().or_else(|| reads::nameless(self)),
            Node::JoinExpr(n) => {
                let merged = n.join_using_alias().and_then(nodes::Alias::aliasname);
                self.dotted.row(merged);
                reads::alias(self, merged);
                n.alias()
            }
            _ => return,
        };
        let alias = alias.and_then(nodes::Alias::aliasname);
        self.dotted.row(alias);
        reads::alias(self, alias);
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the rest goes to `query`, `ddl` and `utility`, then to `children`, which names every kind"
    )]
    fn visit(&mut self, node: Node<'a>) {
        match node {
            Node::A_Const(_) => {
                if let Some(text) = query::constant(node).filter(|_| self.keeps_texts) {
                    self.writes.text(&text);
                }
            }
            Node::None
            | Node::ParamRef(_)
            | Node::A_Star(_)
            | Node::String(_)
            | Node::WithClause(_)
            | Node::IntoClause(_)
            | Node::LockingClause(_) => {}
            Node::ColumnRef(c) => {
                reads::column(self, c);
                self.dotted.column(c);
            }
            Node::A_Indirection(i) => {
                self.dotted.indirection(i);
                self.push_children(node);
            }
            Node::RangeVar(r) => {
                self.dotted.row(r.alias().map_or(r.relname(), nodes::Alias::aliasname));
                reads::alias(self, r.alias().and_then(nodes::Alias::aliasname));
                if self.is_cte(r) {
                    reads::alias(self, r.relname());
                } else {
                    self.on_relation(Action::Select, r);
                    reads::relation(self, r);
                }
            }
            Node::FuncCall(call) => {
                older::accesses(self, node);
                // In a FROM clause it goes by its own name.
                let name = names::strings(call.funcname()).last().copied();
                reads::alias(self, name);
                query::function(self, call);
                self.push_children(node);
            }
            Node::CurrentOfExpr(_) => {
                self.reads.tells.insert(Tell::ComeUpon("CURRENT OF (name the row by its key)"));
            }
            Node::A_Expr(e) => {
                query::operator(self, e.name());
                self.push_children(node);
            }
            Node::SubLink(s) => {
                query::operator(self, s.oper_name());
                self.push_children(node);
            }
            Node::SortBy(s) => {
                query::operator(self, s.use_op());
                self.push_children(node);
            }
            Node::RangeTableSample(s) => {
                reads::obstacle(self, "TABLESAMPLE");
                // Which rows it takes goes by where they are stored.
                self.reads.tells.insert(Tell::Sizes("TABLESAMPLE"));
                let method = names::strings(s.method());
                if !matches!(method.as_slice(), ["bernoulli" | "system"] | ["pg_catalog", "bernoulli" | "system"]) {
                    for resource in self.env.functions(&method) {
                        self.add(Action::Call, resource);
                    }
                }
                self.push_children(node);
            }
            other => {
                self.alias(other);
                older::accesses(self, other);
                if query::statement(self, other)
                    || super::utility::statement(self, other)
                    || super::ddl::statement(self, other)
                {
                    self.known = true;
                } else {
                    self.push_children(other);
                }
            }
        }
    }
}

/// Whether an action is done to the rows of a table, and not to the table.
fn of_rows(action: Action) -> bool {
    matches!(
        action,
        Action::Select | Action::Insert | Action::Update | Action::Delete | Action::Truncate | Action::Lock
    )
}
