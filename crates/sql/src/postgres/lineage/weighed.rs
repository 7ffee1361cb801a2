//! What a statement decides by without naming it in an expression: by its place, by an output's name, by equality of rows.
use super::*;

impl<'a> Reading<'a, '_> {
    /// Rows of a set operation are compared as wholes, but for UNION ALL.
    pub(super) fn weigh_set_operation(&mut self, s: &'a nodes::SelectStmt, cols: &[Col]) {
        if !(s.all && s.op == nodes::SetOperation::SETOP_UNION) {
            self.weighs.extend(union(cols));
        }
        self.scopes.push(Scope::default());
        self.weigh_order(s, cols);
        self.discard(s.limit_count());
        self.discard(s.limit_offset());
        self.scopes.pop();
    }

    /// What rows are sorted, grouped and told apart by.
    pub(super) fn weigh_order(&mut self, s: &'a nodes::SelectStmt, cols: &[Col]) {
        for node in s.distinct_clause() {
            if matches!(node, Node::None) {
                // Plain DISTINCT compares whole rows.
                self.weighs.extend(union(cols));
            } else {
                self.weigh_output(node, cols);
            }
        }
        if s.group_distinct || !s.group_clause().is_empty() {
            self.weigh_groups(s.group_clause(), cols);
        }
        for sort in s.sort_clause() {
            self.weigh_output(sort.node(), cols);
        }
    }

    fn weigh_groups(&mut self, list: &'a NodeList, cols: &[Col]) {
        let mut todo: Vec<Node<'a>> = list.iter().collect();
        while let Some(node) = todo.pop() {
            if let Node::GroupingSet(set) = node {
                todo.extend(set.content().iter());
            } else {
                self.weigh_output(node, cols);
            }
        }
    }

    /// `ORDER BY 2`, `ORDER BY output`, or by an expression.
    fn weigh_output(&mut self, node: Node<'a>, cols: &[Col]) {
        if let Node::A_Const(_) = node {
            self.weighs.extend(union(cols));
            return;
        }
        let mut known = false;
        if let Some(name) = self.single_name(node) {
            let named = cols.iter().filter(|col| col.star || col.name.as_deref().is_none_or(|n| n == name));
            for col in named {
                known |= col.name.as_deref() == Some(name);
                self.weighs.extend(col.set.iter().cloned());
            }
            let entries = self.scopes.last().map(|s| s.entries.as_slice()).unwrap_or_default();
            known &= !entries.iter().any(|e| column_of(e, name).is_some() || &*e.alias == name);
        }
        // SYSTEM_USER is read as what it may be else.
        known &= matches!(node, Node::ColumnRef(_));
        if !known {
            self.discard(node);
        }
    }

    /// The name that an output may go by.
    fn single_name(&mut self, node: Node<'a>) -> Option<&'a str> {
        if older::is_system_user(node) {
            return Some(older::SYSTEM_USER);
        }
        let Node::ColumnRef(c) = node else { return None };
        let [name] = names::strings(c.fields())[..] else { return None };
        self.seen.saw(node_at(c));
        Some(name)
    }

    /// Columns that a join compares by their names.
    pub(super) fn weigh_using(&mut self, left: &[Col], right: &[Col], using: &[Name]) {
        for col in left.iter().chain(right) {
            let is_nameless = col.star || col.name.is_none();
            if col.name.as_ref().is_some_and(|name| using.contains(name)) || (is_nameless && !using.is_empty()) {
                self.weighs.extend(col.set.iter().cloned());
            }
        }
    }

    /// What decides whether a row is there already.
    pub(super) fn weigh_conflict(&mut self, conflict: &'a nodes::OnConflictClause, entry: &Entry) {
        let Some(infer) = conflict.infer() else { return };
        if infer.conname().is_some() {
            // Of which columns a constraint is made is not known.
            self.weighs.extend(whole(entry));
        }
        for elem in infer.index_elems() {
            if let Node::IndexElem(elem) = elem {
                if let Some(name) = elem.name() {
                    self.weighs.extend(column_of(entry, name).unwrap_or_else(|| whole(entry)));
                }
                self.discard(elem.expr());
            }
        }
        self.discard(infer.where_clause());
    }
}
