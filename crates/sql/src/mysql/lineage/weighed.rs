//! What a statement decides by without naming it in an expression: by its place, by an output's name, by equality of rows.
use super::*;

impl<'a> Reading<'a, '_> {
    /// An output: a column that is shown as it is decides nothing.
    pub(super) fn shown(&mut self, expr: &'a Expr, out: &mut Set) {
        if self.gave_up {
            return;
        }
        if let Expr::Column(path) = expr {
            self.spend(1);
            let mut set = Set::new();
            self.column(path, &mut set);
            self.name(&set);
            out.extend(set);
        } else {
            self.expr(expr, out);
        }
    }

    /// What rows are sorted or grouped by: `ORDER BY 2`, `ORDER BY output`, or an expression.
    pub(super) fn weigh_outputs(&mut self, rest: &'a [Expr], cols: &[Col]) {
        for expr in rest {
            self.expr(expr, &mut Set::new());
            if !names_any(expr) {
                // A number may be the place of an output.
                self.weighs.extend(union(cols));
            }
            if let Expr::Column(path) = expr
                && let [name] = &**path
            {
                let named =
                    |col: &&Col| col.star || col.name.as_ref().is_none_or(|n| n == name || !columns::is_plain(n));
                self.weighs.extend(cols.iter().filter(named).flat_map(|col| col.set.iter().cloned()));
            }
        }
    }

    /// Columns that a join compares by their names.
    pub(super) fn weigh_merged(&mut self, left: &[Col], right: &[Col], join: &Join) {
        let is_odd = |col: &Col| col.star || col.name.as_deref().is_none_or(|name| !columns::is_plain(name));
        let any_odd = left.iter().chain(right).any(is_odd);
        let merged = |col: &Col, others: &[Col]| {
            any_odd
                || col.name.as_ref().is_some_and(|name| {
                    if join.natural {
                        others.iter().any(|o| o.name.as_ref() == Some(name))
                    } else {
                        join.using.contains(name)
                    }
                })
        };
        for (one, other) in [(left, right), (right, left)] {
            for col in one.iter().filter(|col| merged(col, other)) {
                self.weighs.extend(col.set.iter().cloned());
            }
        }
    }

    /// All of a table, also what `*` does not show.
    pub(super) fn weigh_whole(&mut self, name: &ObjectName) {
        let (schema, table) = self.env.relation(name.db.as_deref(), &name.name);
        self.weighs.insert(SourceColumn { schema, table, column: None });
    }

    /// What is changed is a table, whatever WITH names: where a name is both, it is not known what is decided by.
    pub(super) fn weigh_shadowed(&mut self, table: &TableRef) {
        match table {
            TableRef::Table { name, .. } if name.db.is_none() => {
                let (exact, alike) = self.cte(&self.env.table_name(&name.name));
                if exact.is_some() || alike.is_some() {
                    self.weigh_whole(name);
                }
            }
            TableRef::Table { .. } | TableRef::Derived { .. } | TableRef::Json { .. } => {}
            TableRef::Joins { first, rest } => {
                self.weigh_shadowed(first);
                rest.iter().for_each(|join| self.weigh_shadowed(&join.table));
            }
            TableRef::Group(all) => all.iter().for_each(|t| self.weigh_shadowed(t)),
        }
    }
}

/// Whether an expression is more than a constant.
fn names_any(expr: &Expr) -> bool {
    match expr {
        Expr::Nothing | Expr::Text(_) => false,
        Expr::Many(all) => all.iter().any(names_any),
        Expr::Column(_)
        | Expr::Star(_)
        | Expr::Variable
        | Expr::Assign(_)
        | Expr::System { .. }
        | Expr::Call(_)
        | Expr::Window(_)
        | Expr::Query { .. } => true,
    }
}
