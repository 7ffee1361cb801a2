//! The items of a FROM clause: relations, derived tables, functions, joins.
use super::*;

impl<'a> Reading<'a, '_> {
    /// Adds the names of a FROM clause; returns what `*` shows.
    pub(super) fn from(&mut self, list: &'a NodeList) -> Vec<Col> {
        list.iter().flat_map(|node| self.item(node)).collect()
    }

    pub(super) fn add(&mut self, entry: Entry) -> Vec<Col> {
        self.spend(entry.cols.len() + 1);
        let cols = entry.cols.clone();
        if let Some(scope) = self.scopes.last_mut() {
            scope.entries.push(entry);
        }
        cols
    }

    pub(super) fn item(&mut self, node: Node<'a>) -> Vec<Col> {
        if !self.enter() {
            return Vec::new();
        }
        let cols = if let Node::RangeVar(r) = node {
            self.look(self.ctes.len());
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
            // What it is a sample of is not seen there.
            self.discard_list(t.args());
            self.discard(t.repeatable());
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
            self.derived(vec![Col { name: None, set, star: true, is_placed: true }], alias)
        };
        self.depth -= 1;
        cols
    }

    pub(super) fn derived(&mut self, mut cols: Vec<Col>, alias: Option<&'a nodes::Alias>) -> Vec<Col> {
        if let Some(alias) = alias {
            self.rename(&mut cols, alias.colnames());
        }
        let alias = alias.and_then(nodes::Alias::aliasname).unwrap_or_default().into();
        self.add(Entry { alias, schema: None, cols, unknown: None, base: false })
    }

    pub(super) fn function(&mut self, f: &'a nodes::RangeFunction) -> Vec<Col> {
        let mut set = Set::new();
        // Without an alias it goes by the first function's name.
        let mut name = "";
        for (n, node) in f.functions().iter().enumerate() {
            let Node::NodeList(pair) = node else { continue };
            for part in pair {
                if let (0, Node::FuncCall(call)) = (n, part) {
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
            .map(|d| Col { name: d.colname().map(Name::from), set: set.clone(), star: false, is_placed: false })
            .collect();
        if cols.is_empty() {
            cols.push(Col { name: None, set, star: true, is_placed: true });
        }
        if let Some(alias) = f.alias() {
            self.rename(&mut cols, alias.colnames());
            name = alias.aliasname().unwrap_or(name);
        }
        self.add(Entry { alias: name.into(), schema: None, cols, unknown: None, base: false })
    }

    pub(super) fn join(&mut self, j: &'a nodes::JoinExpr) -> Vec<Col> {
        let before = self.scopes.last().map_or(0, |s| s.entries.len());
        let left = self.item(j.larg());
        let right = self.item(j.rarg());
        self.on(j.quals(), before);
        // An output without a name may have the name that is asked for.
        let unknown = left.iter().chain(&right).any(|c| c.star || c.name.is_none());
        let using: Vec<Name> = if j.is_natural {
            left.iter()
                .filter_map(|c| c.name.clone())
                .filter(|n| right.iter().any(|r| r.name.as_ref() == Some(n)))
                .collect()
        } else {
            j.using_clause().iter().filter_map(|s| s.sval()).map(Name::from).collect()
        };
        self.weigh_using(&left, &right, &using);
        if j.is_natural && unknown {
            // Which columns it compares is not known.
            self.weighs.extend(union(&left));
            self.weighs.extend(union(&right));
        }
        let mut cols = if unknown && (j.is_natural || !using.is_empty()) {
            let mut set = union(&left);
            set.extend(union(&right));
            vec![Col { name: None, set, star: true, is_placed: true }]
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

    /// INVARIANT: the condition of a join sees what is joined, and what is outside of the query, but no neighbours of the join:
    /// a neighbour's column must not stand in for one of an outer query.
    fn on(&mut self, condition: Node<'a>, before: usize) {
        let Some(scope) = self.scopes.last_mut() else { return };
        let joined = scope.entries.split_off(before);
        let neighbours = std::mem::replace(&mut scope.entries, joined);
        self.discard(condition);
        if let Some(scope) = self.scopes.last_mut() {
            drop(scope.entries.splice(..0, neighbours));
        }
    }

    /// What a statement changes, which is never a common table expression.
    pub(super) fn target_relation(&self, r: &nodes::RangeVar) -> Entry {
        let alias = r.alias().and_then(nodes::Alias::aliasname).or_else(|| r.relname()).unwrap_or_default();
        let mut entry = self.base(r, alias.into());
        if let Some(renamed) = r.alias() {
            self.rename(&mut entry.cols, renamed.colnames());
        }
        entry
    }

    pub(super) fn relation(&self, r: &nodes::RangeVar) -> Entry {
        let relname = r.relname().unwrap_or_default();
        let alias: Name = r.alias().and_then(nodes::Alias::aliasname).unwrap_or(relname).into();
        let cte = if r.schemaname().is_none() { self.ctes.iter().rev().find(|(n, _)| &**n == relname) } else { None };
        let Some((_, cols)) = cte else { return self.target_relation(r) };
        let mut entry = Entry { alias, schema: None, cols: cols.to_vec(), unknown: None, base: false };
        if let Some(renamed) = r.alias() {
            self.rename(&mut entry.cols, renamed.colnames());
        }
        entry
    }

    /// Renames the first columns of a list, as `AS t(a, b)` does.
    pub(super) fn rename(&self, cols: &mut Vec<Col>, names: &NodeList) {
        for (i, name) in names::strings(names).into_iter().enumerate() {
            if cols.get(i).is_some_and(|col| col.is_placed && !col.star) {
                self.names_by_place.set(true);
            }
            match cols.get_mut(i) {
                Some(col) if !col.star => col.name = Some(name.into()),
                Some(_) => {
                    // Unknown columns from here on: the new name is one of them.
                    let set = union(cols);
                    cols.insert(i, Col { name: Some(name.into()), set, star: false, is_placed: false });
                }
                None => return,
            }
        }
    }

    pub(super) fn base(&self, r: &nodes::RangeVar, alias: Name) -> Entry {
        let (schema, table) = self.env.range_var(r);
        let source = |column: Option<Name>| SourceColumn { schema: schema.clone(), table: table.clone(), column };
        let is_doubtful = r.schemaname().is_none() && self.env.doubtful.contains(&table);
        let is_plain = r.catalogname().is_none() && !is_doubtful;
        let known = if is_plain { self.env.catalogue.named(&schema, &table) } else { None };
        let named_schema = if r.alias().is_some() { None } else { Some(schema.clone()) };
        let cols = match known {
            Some(relation) if !relation.columns.is_empty() => relation
                .columns
                .iter()
                .map(|c| Col {
                    name: Some(c.name.clone()),
                    set: Set::from([source(Some(c.name.clone()))]),
                    star: false,
                    is_placed: true,
                })
                .collect(),
            Some(_) | None => vec![Col { name: None, set: Set::from([source(None)]), star: true, is_placed: true }],
        };
        let unknown = cols.iter().any(|c| c.star).then(|| (schema.clone(), table.clone()));
        Entry { alias, schema: named_schema, cols, unknown, base: true }
    }
}

/// Columns of a join: the merged ones, then the rest of the left, then of the right.
pub(super) fn merge_columns(left: Vec<Col>, right: Vec<Col>, using: &[Name]) -> Vec<Col> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    for name in using {
        let mut set = Set::new();
        for col in left.iter().chain(&right).filter(|c| c.name.as_ref() == Some(name)) {
            set.extend(col.set.iter().cloned());
        }
        out.push(Col { name: Some(name.clone()), set, star: false, is_placed: false });
    }
    let rest = left.into_iter().chain(right);
    out.extend(rest.filter(|c| !c.name.as_ref().is_some_and(|n| using.contains(n))));
    out
}
