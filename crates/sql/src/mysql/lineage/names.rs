//! What names of columns and of tables mean.
//!
//! The server goes from the innermost query outwards, and stops at the first that has the column. Here all queries count up
//! to the first that has it for certain: by a name written alike, in a place from where the server sees all of the query.
use super::*;

impl Reading<'_, '_> {
    /// Whether an entry goes by `alias` or `db.alias`, and if so whether that is certain.
    fn goes_by(&self, entry: &Entry, path: &[Name]) -> Option<bool> {
        let (alias, schema) = match path {
            [alias] => (alias, None),
            [.., schema, alias] => (alias, Some(schema)),
            [] => return None,
        };
        let is_alike = self.is_alike(&entry.alias, alias)?;
        let is_there = match (schema, &entry.schema) {
            (None, _) => true,
            (Some(named), Some(own)) => self.is_alike(own, named)?,
            // A query has no database, and is not found by one. A temporary table has one that is not known here.
            (Some(_), None) => false,
        };
        Some(is_alike && is_there)
    }

    /// Whether the server may take two names of tables or databases for the same, and if so whether that is certain.
    fn is_alike(&self, one: &str, other: &str) -> Option<bool> {
        if one == other {
            return Some(true);
        }
        if one.is_ascii() && other.is_ascii() {
            return one.eq_ignore_ascii_case(other).then_some(self.env.lower_case_names);
        }
        // By which table it folds other letters is not known.
        let folds = |(a, b): (char, char)| a.eq_ignore_ascii_case(&b) || !a.is_ascii() || !b.is_ascii();
        let is_as_long = one.chars().count() == other.chars().count();
        let is_alike =
            (is_as_long && one.chars().zip(other.chars()).all(folds)) || one.to_lowercase() == other.to_lowercase();
        is_alike.then_some(false)
    }

    /// The columns of `t.*` among outputs: of all tables of the query that go by the name.
    pub(super) fn star(&self, path: &[Name]) -> Vec<Col> {
        let entries = self.scopes.last().into_iter().flat_map(|scope| &scope.entries);
        let found: Vec<(bool, &Entry)> = entries.filter_map(|e| Some((self.goes_by(e, path)?, e))).collect();
        if found.is_empty() {
            return vec![star_of(self.everything())];
        }
        let cols: Vec<Col> = found.iter().flat_map(|(_, entry)| entry.cols.iter().cloned()).collect();
        if found.iter().all(|(is_certain, _)| *is_certain) { cols } else { vec![star_of(union(&cols))] }
    }

    /// Whatever the tables of a name show.
    pub(super) fn rows_of(&self, path: &[Name]) -> Set {
        let entries = self.scopes.iter().flat_map(|scope| &scope.entries);
        let mut found = entries.filter(|entry| self.goes_by(entry, path).is_some()).peekable();
        if found.peek().is_none() {
            return self.everything();
        }
        found.flat_map(|entry| union(&entry.cols)).collect()
    }

    pub(super) fn everything(&self) -> Set {
        self.scopes.iter().flat_map(|s| s.entries.iter()).flat_map(|e| union(&e.cols)).collect()
    }

    pub(super) fn column(&self, path: &[Name], out: &mut Set) {
        match path {
            [name] => self.unqualified(name, out),
            [qualifier @ .., name] => self.qualified(qualifier, name, out),
            [] => out.extend(self.everything()),
        }
    }

    fn qualified(&self, qualifier: &[Name], name: &str, out: &mut Set) {
        let mut is_known = false;
        for scope in self.scopes.iter().rev() {
            let mut is_found = false;
            for entry in &scope.entries {
                let Some(is_certain) = self.goes_by(entry, qualifier) else { continue };
                is_known = true;
                match column_of(entry, name) {
                    Found::Exact(set) => {
                        out.extend(set);
                        is_found |= is_certain;
                    }
                    Found::Maybe(set) if entry.is_unknown() => out.extend(set),
                    Found::Maybe(set) => {
                        out.extend(set);
                        out.extend(union(&entry.cols));
                    }
                    Found::Nothing => out.extend(union(&entry.cols)),
                }
            }
            if is_found && !scope.is_loose {
                return;
            }
        }
        if !is_known {
            out.extend(self.everything());
        }
    }

    fn unqualified(&self, name: &str, out: &mut Set) {
        if !self.resolved(name, out) {
            out.extend(self.everything());
        }
    }

    /// Adds the columns that a name is known to be, or may be; false where it may be any.
    fn resolved(&self, name: &str, out: &mut Set) -> bool {
        // What is the name of an output is that, or a column of just this name.
        let mut found = self.scopes.iter().any(|scope| scope.named.contains(&Name::from(name)));
        for scope in self.scopes.iter().rev() {
            let (mut certain, mut maybe) = (false, Set::new());
            for (_, set) in scope.outputs.iter().filter(|(n, _)| &**n == name) {
                out.extend(set.iter().cloned());
            }
            for entry in &scope.entries {
                match column_of(entry, name) {
                    Found::Exact(set) => {
                        out.extend(set);
                        certain = true;
                    }
                    Found::Maybe(set) if entry.is_unknown() => {
                        out.extend(set);
                        found = true;
                    }
                    Found::Maybe(set) => maybe.extend(set),
                    Found::Nothing => {}
                }
            }
            if certain && !scope.is_loose {
                return true;
            }
            found |= certain;
            // INVARIANT: a name that is not known here may be one all the same: then that of an outer query is not meant.
            out.extend(maybe);
        }
        found
    }
}
