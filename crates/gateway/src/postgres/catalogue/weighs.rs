//! By what the queries of views decide, sort, join and group: their rows may come in an order that it gives.
use super::{environment, everything};
use doorward_sql::{Catalogue, SourceColumn, postgres::analyse};
use std::collections::{BTreeSet, HashMap};

/// Of each view that is not the server's own; one that is not understood decides by everything.
pub(super) fn view_weighs(catalogue: &Catalogue, views: &[(u32, String)]) -> HashMap<u32, BTreeSet<SourceColumn>> {
    let environment = environment(catalogue);
    let is_own = |schema: &str| matches!(schema, "pg_catalog" | "information_schema");
    let views = views.iter().filter(|(oid, _)| catalogue.relation(*oid).is_some_and(|view| !is_own(&view.schema)));
    views
        .map(|(oid, definition)| {
            let weighs = analyse(definition, &environment).map_or_else(
                |_| everything(catalogue),
                |analysis| analysis.statements.into_iter().flat_map(|statement| statement.reads.weighs).collect(),
            );
            (*oid, weighs)
        })
        .collect()
}
