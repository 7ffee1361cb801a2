//! What statements that write give back, and where the values they write come from.
use super::*;

impl<'a> Reading<'a, '_> {
    pub(super) fn insert(&mut self, s: &'a nodes::InsertStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let source = if matches!(s.select_stmt(), Node::None) { Vec::new() } else { self.query(s.select_stmt()) };
        self.moves.extend(union(&source));
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.target_relation(target);
        self.scopes.push(Scope::default());
        for column in s.cols() {
            if let Node::ResTarget(column) = column {
                self.discard_list(column.indirection());
            }
        }
        self.scopes.pop();
        // What is being inserted, whose sources are among what is moved already: not what is stored.
        let mut excluded = Entry { alias: "excluded".into(), unknown: None, ..entry.clone() };
        excluded.cols.iter_mut().for_each(|col| col.set.clear());
        self.scopes.push(Scope { entries: vec![entry.clone(), excluded], windows: None });
        if let Some(conflict) = s.on_conflict_clause() {
            self.weigh_conflict(conflict, &entry);
            for target in conflict.target_list() {
                self.assign(target, &entry);
            }
            self.discard(conflict.where_clause());
        }
        // `excluded` holds what is being inserted, and is not visible to RETURNING.
        self.scopes.pop();
        self.returning(s.returning_clause(), &entry, vec![entry.clone()], entry.cols.clone())
    }

    pub(super) fn update(&mut self, s: &'a nodes::UpdateStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.target_relation(target);
        self.scopes.push(Scope { entries: vec![entry.clone()], windows: None });
        let star = [entry.cols.clone(), self.from(s.from_clause())].concat();
        for target in s.target_list() {
            self.assign(target, &entry);
        }
        self.discard(s.where_clause());
        let scope = self.scopes.pop().unwrap_or_default();
        self.returning(s.returning_clause(), &entry, scope.entries, star)
    }

    pub(super) fn delete(&mut self, s: &'a nodes::DeleteStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.target_relation(target);
        self.scopes.push(Scope { entries: vec![entry.clone()], windows: None });
        let star = [entry.cols.clone(), self.from(s.using_clause())].concat();
        self.discard(s.where_clause());
        let scope = self.scopes.pop().unwrap_or_default();
        self.returning(s.returning_clause(), &entry, scope.entries, star)
    }

    pub(super) fn merge(&mut self, s: &'a nodes::MergeStmt) -> Vec<Col> {
        self.with(s.with_clause());
        let Some(target) = s.relation() else { return Vec::new() };
        let entry = self.target_relation(target);
        self.scopes.push(Scope { entries: vec![entry.clone()], windows: None });
        // The source first.
        let star = [self.item(s.source_relation()), entry.cols.clone()].concat();
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
        let entries = self.scopes.pop().unwrap_or_default().entries;
        self.returning(s.returning_clause(), &entry, entries, star)
    }

    /// `SET column = expression`: moves what it is made of, except the column itself.
    pub(super) fn assign(&mut self, target: &'a nodes::ResTarget, entry: &Entry) {
        let mut set = Set::new();
        self.expr(target.val(), &mut set);
        self.discard_list(target.indirection());
        let own = target.name().and_then(|n| column_of(entry, n));
        if !target.indirection().is_empty() {
            // A part of it (`SET j['a']`, `SET a[1]`, `SET p.x`) fails by what the rest is.
            self.weighs.extend(own.clone().unwrap_or_else(|| whole(entry)));
        }
        if let Some(own) = own {
            set.retain(|c| !own.contains(c));
        }
        self.moves.extend(set);
    }

    /// `old` and `new` are rows of the target, and stand for nothing where something else goes by that name.
    pub(super) fn returning(
        &mut self,
        clause: Option<&'a nodes::ReturningClause>,
        target: &Entry,
        entries: Vec<Entry>,
        star: Vec<Col>,
    ) -> Vec<Col> {
        let Some(clause) = clause else { return Vec::new() };
        let scope = Scope { entries, windows: None };
        let mut aliases: Vec<Name> = vec!["old".into(), "new".into()];
        aliases.extend(clause.options().iter().filter_map(|o| o.value()).map(Name::from));
        self.scopes.push(Scope::default());
        let outer: Vec<Entry> = aliases.into_iter().map(|alias| Entry { alias, ..target.clone() }).collect();
        if let Some(s) = self.scopes.last_mut() {
            s.entries = outer;
        }
        self.scopes.push(scope);
        let cols = self.targets(clause.exprs().iter(), &star);
        self.scopes.pop();
        self.scopes.pop();
        cols
    }
}
