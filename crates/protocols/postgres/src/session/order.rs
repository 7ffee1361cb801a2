//! In what order the rows of a derived table come. An index over a hidden column and something else gives them in the order of
//! what is hidden, whenever the planner takes it: for a condition on the other column, for the other column's sake, or since
//! it is told to. So do partitions by one, and views that sort, join or group by one. So where there is one, rows are sorted by what the caller may see: then it makes no difference what is read.
use super::{
    Session,
    compares::counts,
    stand::{Stand, stand},
    tells::is_own,
    veil::identifier,
};
use doorward_enforce::{Refusal, RefusalKind};
use doorward_model::{Action, Name, Resource, Timestamp};
use doorward_sql::{Catalogue, Column, Orders, Reach, Relation, RelationKind, SourceColumn};
use doorward_sql_session::{Asking, Meaning};
use std::{collections::BTreeSet, sync::Arc};

/// Types that the server can sort: `bool`, `bytea`, `char`, `name`, integers, `text`, `oid`, `float4`, `float8`, `money`,
/// `macaddr`, `inet`, `cidr`, `bpchar`, `varchar`, dates and times, `interval`, bits, `numeric`, `uuid`, `pg_lsn`, `macaddr8`.
const SORTABLE: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 26, 700, 701, 790, 829, 869, 650, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266,
    1560, 1562, 1700, 2950, 3220, 774,
];

impl Session {
    /// What the rows of a relation are sorted by, whose hidden columns are constants. Empty: they come as they are stored.
    pub(super) fn order(&mut self, catalogue: &Catalogue, relation: &Relation, now: Timestamp) -> Vec<String> {
        if !self.may_tell(catalogue, relation, now) {
            return Vec::new();
        }
        let is_table = relation.kind == RelationKind::Table;
        let key = catalogue.orders(relation.oid).map(|orders| orders.key.as_slice()).unwrap_or_default();
        let key: Vec<&Column> = key.iter().filter_map(|n| relation.columns.iter().find(|c| c.number == *n)).collect();
        // Below a table that others inherit from, its key is not unique.
        let is_unique =
            is_table && (catalogue.is_partitioned(relation.oid) || catalogue.shows(relation.oid).is_empty());
        if !key.is_empty() && is_unique && key.iter().all(|c| !self.is_hidden(relation.oid, c.number, now)) {
            return key.into_iter().map(|column| identifier(&column.name)).collect();
        }
        // Rows that are alike in all that is seen may come in any order. INVARIANT: what a mask shows is written out: its column's
        // name would be the value itself, where COPY leaves the column out.
        let key = |session: &mut Self, column: &Column| match session.stands(relation.oid, column, now) {
            Some(Stand::Shown(mask)) => Some(format!("({mask})")),
            Some(Stand::Constant(_) | Stand::Itself) => None,
            None => {
                let name = identifier(&column.name);
                Some(if SORTABLE.contains(&column.type_oid) { name } else { format!("{name}::pg_catalog.text") })
            }
        };
        relation.columns.iter().filter_map(|column| key(self, column)).collect()
    }

    /// Whether rows of a relation may come in the order of a hidden column.
    fn may_tell(&mut self, catalogue: &Catalogue, relation: &Relation, now: Timestamp) -> bool {
        if relation.kind == RelationKind::Table {
            return self.table_tells(catalogue, relation.oid, now);
        }
        let hides_some = |session: &mut Self| {
            relation.columns.iter().any(|column| session.is_hidden(relation.oid, column.number, now))
        };
        if !relation.kind.is_view() {
            // What is elsewhere comes in an order that nobody here knows of.
            return hides_some(self);
        }
        // A materialised view was filled when other indexes may have been there.
        let is_stored = relation.kind == RelationKind::MaterialisedView;
        self.view_tells(relation, now) || is_stored && self.any_table_tells(catalogue, now) && hides_some(self)
    }

    /// Whether rows of a view may come in the order of a hidden column of a table that it reads, shown by it or not.
    pub(super) fn view_tells(&mut self, view: &Relation, now: Timestamp) -> bool {
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if let Some(known) = self.reveals.plans(&asking).orders.get(&view.oid) {
            return *known;
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        let tells = match catalogue.view_reads(view.oid) {
            Reach::Anything => self.any_table_tells(&catalogue, now) || self.weighs_hidden(&catalogue, view.oid, now),
            Reach::Relations(reads) => std::iter::once(view.oid)
                .chain(reads)
                .any(|oid| self.table_tells(&catalogue, oid, now) || self.weighs_hidden(&catalogue, oid, now)),
        };
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            self.reveals.plans(&asking).orders.insert(view.oid, tells);
        }
        tells
    }

    /// Joins, sorts and groups give rows in the order of what they are by, or of its hashes, whatever index there is.
    fn weighs_hidden(&mut self, catalogue: &Catalogue, view: u32, now: Timestamp) -> bool {
        let Some(weighs) = catalogue.view_weighs(view) else {
            let kind = catalogue.relation(view).filter(|r| !is_own(&r.schema)).map(|r| r.kind);
            let is_view = kind.is_some_and(RelationKind::is_view);
            return is_view && self.hides_anything(now);
        };
        let mut asking = Asking { enforcer: &mut self.enforcer, now };
        weighs.iter().any(|source| self.reveals.source(source, &mut asking).is_some())
    }

    pub(super) fn table_tells(&mut self, catalogue: &Catalogue, oid: u32, now: Timestamp) -> bool {
        let below = catalogue.shows(oid).into_iter().map(|r| r.oid);
        std::iter::once(oid)
            .chain(below)
            .any(|oid| self.order_tells(catalogue, oid, now) || self.is_kept_apart(catalogue, oid, now))
    }

    fn any_table_tells(&mut self, catalogue: &Catalogue, now: Timestamp) -> bool {
        catalogue.ordered().any(|(oid, _)| self.order_tells(catalogue, oid, now)) || self.has_kept_apart(catalogue, now)
    }

    /// Whether rows come partition by partition, as a hidden column says.
    fn is_kept_apart(&mut self, catalogue: &Catalogue, oid: u32, now: Timestamp) -> bool {
        catalogue.partition_key(oid).into_iter().any(|column| self.is_hidden(oid, column, now))
    }

    /// Whether some table is partitioned by a hidden column.
    pub(super) fn has_kept_apart(&mut self, catalogue: &Catalogue, now: Timestamp) -> bool {
        catalogue.partitioned_by_key().any(|oid| self.is_kept_apart(catalogue, oid, now))
    }

    /// Refuses a text that is sent as it is, and shows or stores rows in the order of a hidden column. What is run by its
    /// name was rewritten when it was made.
    pub(super) fn orders_nothing_hidden(&mut self, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let obstacle = meaning.parts.iter().find_map(|part| part.reads.obstacle).unwrap_or("a text so large");
        for part in &meaning.parts {
            let read: Vec<(&Name, &Name)> = match &*part.command {
                "SELECT" | "COPY" | "DECLARE CURSOR" | "PREPARE" => {
                    let tables = meaning.facts.accesses.iter().filter(|access| access.action == Action::Select);
                    tables.filter_map(|access| table(&access.resource)).collect()
                }
                // What is stored or decided comes from there; not what is changed in its place.
                _ => {
                    let is_target = |s: &&SourceColumn| {
                        part.writes.columns.iter().any(|w| w.table == s.table && w.schema == s.schema)
                    };
                    let moved = part.moves.iter().filter(|source| !is_target(source));
                    let moved = moved.map(|source| (&source.schema, &source.table));
                    let counts = counts(meaning);
                    let from = part.reads.from.iter().filter(|(.., in_any_order)| counts || !in_any_order);
                    moved.chain(from.map(|(schema, table, _)| (schema, table))).collect()
                }
            };
            for (schema, name) in read {
                if let Some(relation) = catalogue.named(schema, name)
                    && self.may_tell(&catalogue, relation, now)
                {
                    return Err(in_order(&part.command, relation, obstacle));
                }
            }
        }
        Ok(())
    }

    fn is_hidden(&mut self, relation: u32, column: i16, now: Timestamp) -> bool {
        self.reveals.column(relation, column, &mut Asking { enforcer: &mut self.enforcer, now }).is_some()
    }

    fn stands(&mut self, relation: u32, column: &Column, now: Timestamp) -> Option<Stand> {
        let rule = self.reveals.column(relation, column.number, &mut Asking { enforcer: &mut self.enforcer, now });
        rule.map(|rule| stand(column, &rule))
    }

    /// Whether an index of a table is over a hidden column and something else, or rows are stored in the order of one. By one
    /// over nothing else, no row is told from another.
    fn order_tells(&mut self, catalogue: &Catalogue, oid: u32, now: Timestamp) -> bool {
        let Some(Orders { indexes, stored, .. }) = catalogue.orders(oid) else { return false };
        let has_hidden = |session: &mut Self, columns: &BTreeSet<i16>| {
            let all = catalogue.relation(oid).into_iter().flat_map(|r| &r.columns).map(|c| c.number);
            let all = all.filter(|_| columns.contains(&0));
            columns.iter().copied().chain(all).any(|column| session.is_hidden(oid, column, now))
        };
        has_hidden(self, stored)
            || indexes.iter().any(|columns| {
                has_hidden(self, columns)
                    && columns.iter().any(|column| *column == 0 || !self.is_constant(oid, *column, now))
            })
    }

    fn is_constant(&mut self, relation: u32, column: i16, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let column = catalogue.relation(relation).and_then(|r| r.columns.iter().find(|c| c.number == column));
        let stands = column.and_then(|column| self.stands(relation, column, now));
        matches!(stands, Some(Stand::Constant(_)))
    }
}

const fn table(resource: &Resource) -> Option<(&Name, &Name)> {
    let Resource::Table { schema, name } = resource else { return None };
    Some((schema, name))
}

pub(super) fn in_order(command: &str, relation: &Relation, obstacle: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!(
            "{command} refused: rows of `{}.{}` may come in the order of masked columns",
            relation.schema, relation.name
        ),
        detail: Some(format!(
            "an index of it is over such a column and others, it is kept apart by one, or a view sorts, joins or groups by one; \
             and {obstacle} cannot be rewritten"
        )),
        hint: Some("send a plain query as a statement of its own".into()),
    }
}
