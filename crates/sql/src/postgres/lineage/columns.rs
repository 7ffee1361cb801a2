//! Columns that an expression names, and what they are made of.
use super::*;

impl<'a> Reading<'a, '_> {
    pub(super) fn star(&self, qualifier: &[&str], star: &[Col]) -> Vec<Col> {
        if qualifier.is_empty() {
            return star.to_vec();
        }
        match self.entry(qualifier) {
            Some(entry) => entry.cols.clone(),
            None => vec![Col { name: None, set: self.everything(), star: true, is_placed: true }],
        }
    }

    /// The entry that `alias` or `schema.alias` names.
    pub(super) fn entry(&self, qualifier: &[&str]) -> Option<&Entry> {
        let (alias, schema) = match qualifier {
            [alias] => (*alias, None),
            [.., schema, alias] => (*alias, Some(*schema)),
            [] => return None,
        };
        let mut all = self.scopes.iter().rev().flat_map(|s| s.entries.iter());
        all.find(|e| &*e.alias == alias && schema.is_none_or(|s| e.schema.as_deref() == Some(s)))
    }

    pub(super) fn everything(&self) -> Set {
        self.scopes.iter().flat_map(|s| s.entries.iter()).flat_map(whole).collect()
    }

    /// Adds what an expression shows. Expressions keep their own stack; queries in them recurse.
    pub(super) fn expr(&mut self, node: Node<'a>, out: &mut Set) {
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
                let mut set = Set::new();
                self.column(c, &mut set);
                self.spend(set.len());
                self.weighs.extend(set.iter().cloned());
                out.extend(set);
            } else if let Node::SubLink(link) = node {
                self.seen.saw(node_at(link));
                todo.push(link.testexpr());
                let cols = self.query(link.subselect());
                if link.sub_link_type != nodes::SubLinkType::EXISTS_SUBLINK {
                    self.weighs.extend(union(&cols));
                    out.extend(union(&cols));
                }
            } else if matches!(node, Node::SelectStmt(_)) {
                let cols = self.query(node);
                self.weighs.extend(union(&cols));
                out.extend(union(&cols));
            } else if let Node::WindowDef(w) = node {
                if w.name().is_some() || w.refname().is_some() {
                    let windows = self.scopes.last().and_then(|s| s.windows);
                    for window in windows.into_iter().flatten() {
                        window_parts(window, &mut todo);
                    }
                }
                window_parts(node, &mut todo);
            } else if older::is_system_user(node) {
                self.system_user(node, out);
            } else if let Node::FuncCall(call) = node {
                let parts = names::strings(call.funcname());
                if !self.env.functions(&parts).is_empty() || self.was_a_call(node) {
                    self.send(call.args().iter());
                }
                children(node, &mut |child| todo.push(child));
            } else if let Node::A_Indirection(i) = node {
                if dotted::may_keep(self.env, i) {
                    self.send(std::iter::once(i.arg()));
                }
                children(node, &mut |child| todo.push(child));
            } else if self.was_a_call(node) {
                let mut args = Vec::new();
                children(node, &mut |child| args.push(child));
                self.send(args.iter().copied());
                todo.extend(args);
            } else if !children(node, &mut |child| todo.push(child)) {
                self.gave_up = true;
            }
        }
    }

    /// What is given to a function may be sent anywhere.
    fn send(&mut self, args: impl Iterator<Item = Node<'a>>) {
        let mut sent = Set::new();
        if self.enter() {
            for arg in args {
                self.expr(arg, &mut sent);
            }
            self.depth -= 1;
        }
        self.moves.extend(sent);
    }

    /// Whether a server of before would call a function of users.
    fn was_a_call(&self, node: Node<'a>) -> bool {
        older::calls(node).iter().any(|name| !self.env.users_functions(name).is_empty())
    }

    /// The column of that name, if there is one, to a server that does not know the keyword.
    fn system_user(&mut self, node: Node<'a>, out: &mut Set) {
        if let Node::FuncCall(call) = node {
            self.seen.saw(node_at(call));
        }
        let mut set = Set::new();
        if !self.look_around() {
            return;
        }
        self.named(older::SYSTEM_USER, &mut set);
        self.weighs.extend(set.iter().cloned());
        out.extend(set);
    }

    pub(super) fn column(&mut self, c: &nodes::ColumnRef, out: &mut Set) {
        self.seen.saw(node_at(c));
        if !self.look_around() {
            return;
        }
        let fields = names::strings(c.fields());
        let star = c.fields().iter().any(|n| matches!(n, Node::A_Star(_)));
        match fields.as_slice() {
            _ if star => match self.entry(&fields) {
                Some(entry) => out.extend(whole(entry)),
                None => out.extend(self.everything()),
            },
            [name] => self.unqualified(name, out),
            [qualifier @ .., name] => match self.entry(qualifier) {
                Some(entry) => {
                    out.extend(column_of(entry, name).unwrap_or_default());
                    if !has(entry, name) {
                        // `t.f` is `f(t)`, of the whole row.
                        out.extend(whole(entry));
                    }
                }
                None => out.extend(self.everything()),
            },
            [] => out.extend(self.everything()),
        }
    }

    fn unqualified(&self, name: &str, out: &mut Set) {
        if !self.named(name, out) {
            out.extend(self.everything());
        }
    }

    /// False where nothing goes by that name.
    ///
    /// INVARIANT: as the server does (colNameToVar, then refnameNamespaceItem): a column of that name, at whatever level, goes
    /// before an alias of that name, which stands for a whole row. Where it is not certain that there is such a column, both
    /// count.
    fn named(&self, name: &str, out: &mut Set) -> bool {
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
            if certain {
                return true;
            }
        }
        for entry in self.scopes.iter().flat_map(|s| &s.entries).filter(|e| &*e.alias == name) {
            out.extend(whole(entry));
            found = true;
        }
        found
    }
}

/// All of a window that is an expression.
pub(super) fn window_parts<'a>(node: Node<'a>, out: &mut Vec<Node<'a>>) {
    let Node::WindowDef(window) = node else { return };
    out.extend(window.partition_clause().iter());
    out.extend(window.order_clause().iter().map(|s| s.node()));
    out.extend([window.start_offset(), window.end_offset()]);
}

pub(super) fn children_expr<'a>(reading: &mut Reading<'a, '_>, node: Node<'a>, out: &mut Set) {
    let mut all = Vec::new();
    children(node, &mut |child| all.push(child));
    for child in all {
        reading.expr(child, out);
    }
}

/// The name that the server gives an output without one, as far as others can refer to it.
pub(super) fn implied_name(node: Node<'_>) -> Option<Name> {
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

pub(super) fn union(cols: &[Col]) -> Set {
    cols.iter().flat_map(|c| c.set.iter().cloned()).collect()
}

/// Everything that a whole-row value of the entry shows.
pub(super) fn whole(entry: &Entry) -> Set {
    union(&entry.cols)
}

/// Whether an entry has a column of that very name.
fn has(entry: &Entry, name: &str) -> bool {
    let is_system = entry.base && SYSTEM.contains(&name);
    is_system || entry.cols.iter().any(|c| c.name.as_deref() == Some(name))
}

/// A column of an entry by name; `None` if it has none.
pub(super) fn column_of(entry: &Entry, name: &str) -> Option<Set> {
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
        // Where a row is stored may tell of what is in it.
        if matches!(name, "ctid" | "tableoid")
            && let Some(of) = entry.cols.iter().find_map(|col| col.set.first())
        {
            set.insert(SourceColumn { column: Some(name.into()), ..of.clone() });
        }
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
