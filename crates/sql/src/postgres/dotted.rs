//! Functions that are called as fields: `(x).f` is `f(x)` of whatever `x` is, and `t.f` is `f(t)`, where there is no such field
//! (PostgreSQL, `ParseFuncOrColumn`; manual, "Using Composite Types in Queries").
use super::{functions, names, query, walk::Walk};
use ahash::AHashSet;
use doorward_model::Name;
use pg_raw_parse::{Node, nodes};

/// What a statement has of them.
#[derive(Default)]
pub(super) struct Dotted {
    /// Fields, with what stands before the dot where that is a name.
    fields: Vec<(Option<Name>, Name)>,
    /// What is a row: tables, queries and joins, by the names that they go by.
    rows: AHashSet<Name>,
    /// Functions stand in FROM clauses: then any name may be a value of any type, since not all of them say what they go by
    /// (`FROM coalesce(…)`, `FROM CAST(…)`).
    has_functions: bool,
}

impl Dotted {
    pub(super) fn row(&mut self, name: Option<&str>) {
        self.rows.extend(name.map(Name::from));
    }

    pub(super) const fn function(&mut self) {
        self.has_functions = true;
    }

    pub(super) fn column(&mut self, c: &nodes::ColumnRef) {
        let parts = names::strings(c.fields());
        for pair in parts.windows(2) {
            let [before, name] = pair else { continue };
            // With more names than two, the first is a schema's, or a function's of which the second is an argument.
            let before = (parts.len() == 2).then(|| Name::from(*before));
            self.fields.push((before, (*name).into()));
        }
    }

    pub(super) fn indirection(&mut self, i: &nodes::A_Indirection) {
        self.fields.extend(names::strings(i.indirection()).into_iter().map(|name| (None, name.into())));
    }
}

/// Asks for what is called so in a statement that has been walked.
pub(super) fn calls(walk: &mut Walk<'_, '_>, statement: Node<'_>) {
    let dotted = std::mem::take(&mut walk.dotted);
    // In a body, a name may be an argument's wherever no table goes by it.
    let has_values = dotted.has_functions || walk.nested > 0 || matches!(statement, Node::CreateFunctionStmt(_));
    for (before, name) in &dotted.fields {
        let is_row =
            !has_values && before.as_ref().is_some_and(|before| dotted.rows.contains(before) || is_given(before));
        if may_call(walk, name, is_row) {
            query::called(walk, &[name], 1);
            if query::reads_file(name) {
                walk.opaque(format!("{name} of a path that is computed"));
            }
        }
    }
}

/// Rows that no FROM clause names.
fn is_given(name: &str) -> bool {
    matches!(name, "excluded" | "new" | "old")
}

/// Whether there is a function of this name that a field may be; of rows, one that a row is enough for.
fn may_call(walk: &Walk<'_, '_>, name: &str, is_row: bool) -> bool {
    let mut of_users = walk.env.catalogue.functions_named(name).filter(|f| &*f.schema != "pg_catalog");
    if is_row {
        return of_users.any(|f| f.of_row);
    }
    of_users.next().is_some() || functions::builtin(name) == Some(false) || query::tells_or_runs(name)
}

/// Whether a field that an expression names may be a function that keeps what it is given.
pub(super) fn may_keep(env: &super::Environment, i: &nodes::A_Indirection) -> bool {
    names::strings(i.indirection()).iter().any(|name| {
        env.catalogue.functions_named(name).any(|f| &*f.schema != "pg_catalog")
            || functions::builtin(name) == Some(false)
    })
}
