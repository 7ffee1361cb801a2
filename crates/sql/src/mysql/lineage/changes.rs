//! What statements that write give back, where the values they write come from, and what they decide by.
use super::*;

impl<'a> Reading<'a, '_> {
    pub(super) fn insert(&mut self, i: &'a Insert) -> Option<Vec<Col>> {
        let mut moved = Set::new();
        if let Some(query) = &i.query {
            let cols = self.query(query);
            moved.extend(union(&cols));
        }
        let target = self.relation(&i.table, None);
        if i.replace {
            // How many rows it counts tells whether one was there that was all the same.
            self.weighs.extend(union(&target.cols));
            self.weigh_whole(&i.table);
        }
        // Columns of the row itself hold what this statement puts there.
        let mut row = Entry { base: None, ..target.clone() };
        row.cols.iter_mut().for_each(|c| c.set.clear());
        self.scopes.push(Scope { entries: vec![row], ..Scope::default() });
        i.values.iter().for_each(|e| self.expr(e, &mut moved));
        i.set.iter().for_each(|a| self.expr(&a.value, &mut moved));
        self.scopes.pop();
        self.scopes.push(Scope { entries: vec![target.clone()], ..Scope::default() });
        if let Some((alias, columns)) = &i.alias {
            let mut cols = target.cols.clone();
            self.names_by_place |= rename(&mut cols, columns);
            for col in &mut cols {
                col.set.clear();
            }
            let entry = Entry { alias: alias.clone(), schema: None, cols, base: None };
            if let Some(scope) = self.scopes.last_mut() {
                scope.entries.push(entry);
            }
        }
        if let Some(query) = &i.query
            && let Some(Arm::Select(s)) = query.arms.first()
            && !i.on_duplicate.is_empty()
        {
            // ON DUPLICATE KEY UPDATE sees the tables of the query.
            s.from.iter().for_each(|t| drop(self.item(t)));
        }
        i.on_duplicate.iter().for_each(|a| self.assign(a));
        if let Some(scope) = self.scopes.last_mut() {
            scope.entries.truncate(1);
        }
        let out = i.returning.as_ref().map(|items| self.items(items, &target.cols));
        self.scopes.pop();
        self.moves.extend(moved);
        out
    }

    /// `column = expression`: moves what it is made of, except the column itself.
    fn assign(&mut self, a: &'a Assignment) {
        let (mut set, mut own) = (Set::new(), Set::new());
        self.expr(&a.value, &mut set);
        self.column(&a.column, &mut own);
        // Rows that are the same afterwards are not counted as changed: what is there decides.
        self.weighs.extend(own.iter().cloned());
        if own.len() == 1 {
            set.retain(|c| c.column.is_none() || !own.contains(c));
        }
        self.moves.extend(set);
    }

    pub(super) fn update(&mut self, u: &'a Update) -> Option<Vec<Col>> {
        self.with(u.with.as_ref());
        u.tables.iter().for_each(|t| self.weigh_shadowed(t));
        self.scopes.push(Scope::default());
        let star: Vec<Col> = u.tables.iter().flat_map(|t| self.item(t)).collect();
        u.set.iter().for_each(|a| self.assign(a));
        self.discard_all(u.filter.as_slice());
        self.discard_all(&u.rest);
        let out = u.returning.as_ref().map(|items| self.items(items, &star));
        self.scopes.pop();
        out
    }

    pub(super) fn delete(&mut self, d: &'a Delete) -> Option<Vec<Col>> {
        self.with(d.with.as_ref());
        d.tables.iter().for_each(|t| self.weigh_shadowed(t));
        self.scopes.push(Scope::default());
        let star: Vec<Col> = d.tables.iter().flat_map(|t| self.item(t)).collect();
        self.discard_all(d.filter.as_slice());
        self.discard_all(&d.rest);
        let out = d.returning.as_ref().map(|items| self.items(items, &star));
        self.scopes.pop();
        out
    }
}
