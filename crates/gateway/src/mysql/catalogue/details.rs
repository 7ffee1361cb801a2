//! What is known of tables besides their columns: types, indexes; and what stored routines may read.
use super::{OWN, Row, column_of};
use doorward_model::Name;
use doorward_sql::{Catalogue, Index, Mentions, Reach, Relation, RelationKind, SourceColumn, tags};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The snapshot with all of it.
pub(super) fn all(
    catalogue: Catalogue,
    columns: &[Row],
    indexes: &[Row],
    routines: &[Row],
    views: &[Row],
    referred: &[Row],
) -> Catalogue {
    let (types, written) = (types(&catalogue, columns), written_names(&catalogue, columns));
    let indexes = indexes_of(&catalogue, indexes);
    let bodies = Bodies::of(&catalogue, routines, views).with_keys(referred);
    let (reads, called): (Vec<_>, Vec<_>) = views_read(&bodies, views).into_iter().unzip();
    let reaches = reaches(&bodies, routines);
    drop(bodies);
    let catalogue = catalogue.with_type_names(types).with_written_names(written);
    let sorting = sorting(&catalogue, views);
    catalogue
        .with_indexes(indexes)
        .with_reaches(reaches)
        .with_view_reads(reads)
        .with_view_reaches(called)
        .with_sorting(sorting)
}

/// `varchar(12) character set utf8mb4 collate utf8mb4_bin`.
fn types(catalogue: &Catalogue, columns: &[Row]) -> Vec<((u32, i16), Name)> {
    let of = |row: &Row| {
        let (relation, number) = column_of(catalogue, row)?;
        let [.., kind, charset, collation] = row.as_slice() else { return None };
        let text = if charset.is_empty() || collation.is_empty() {
            kind.clone()
        } else {
            format!("{kind} character set {charset} collate {collation}")
        };
        (!OWN.contains(&&*relation.schema)).then(|| ((relation.oid, number), text.into()))
    };
    columns.iter().filter_map(of).collect()
}

/// Tags that comments on tables and columns have.
pub(super) fn tags(catalogue: &Catalogue, tables: &[Row], columns: &[Row]) -> Vec<((u32, i16), BTreeSet<String>)> {
    let of_table = |row: &Row| {
        let [schema, table, _, comment] = row.as_slice() else { return None };
        Some(((catalogue.named(schema, table)?.oid, 0), tags::of_comment(comment)))
    };
    let of_column = |row: &Row| {
        let comment = row.get(5).filter(|comment| !comment.is_empty())?;
        let (relation, number) = column_of(catalogue, row)?;
        Some(((relation.oid, number), tags::of_comment(comment)))
    };
    tables.iter().filter_map(of_table).chain(columns.iter().filter_map(of_column)).collect()
}

fn written_names(catalogue: &Catalogue, columns: &[Row]) -> Vec<((u32, i16), Name)> {
    let of = |row: &Row| {
        let (relation, number) = column_of(catalogue, row)?;
        let name = row.get(2).filter(|name| name.to_lowercase() != **name)?;
        Some(((relation.oid, number), name.as_str().into()))
    };
    columns.iter().filter_map(of).collect()
}

fn indexes_of(catalogue: &Catalogue, rows: &[Row]) -> Vec<(u32, Vec<Index>)> {
    let mut out: BTreeMap<u32, BTreeMap<&str, Index>> = BTreeMap::new();
    for row in rows {
        let [schema, table, index, column, repeats] = row.as_slice() else { continue };
        let Some(relation) = catalogue.named(schema, table) else { continue };
        let column = (!column.is_empty()).then(|| column.to_lowercase().into());
        let new = || Index { name: index.as_str().into(), columns: Vec::new(), is_unique: repeats == "0" };
        out.entry(relation.oid).or_default().entry(index).or_insert_with(new).columns.push(column);
    }
    out.into_iter().map(|(oid, indexes)| (oid, indexes.into_values().collect())).collect()
}

/// The columns that decide in which partition a row is kept: those that the expression names. Of keys that are not told
/// (`PARTITION BY KEY ()` is by the primary key), all.
pub(super) fn partition_keys(catalogue: &Catalogue, rows: &[Row]) -> BTreeMap<u32, BTreeSet<i16>> {
    let mut out: BTreeMap<u32, BTreeSet<i16>> = BTreeMap::new();
    for row in rows {
        let [schema, table, expression] = row.as_slice() else { continue };
        let Some(relation) = catalogue.named(schema, table) else { continue };
        let expression = expression.to_lowercase();
        let named = |name: &str| expression.contains(&name.replace('`', "``")) || expression.trim().is_empty();
        let keys = relation.columns.iter().filter(|c| named(&c.name)).map(|c| c.number);
        out.entry(relation.oid).or_default().extend(keys);
    }
    out
}

/// Tables that could not be looked into, where there are any also tables and views without columns, and the views that read them.
pub(super) fn unread(catalogue: &Catalogue, locked: &[Row]) -> BTreeSet<u32> {
    if locked.is_empty() {
        return BTreeSet::new();
    }
    let named = |row: &Row| {
        let [schema, table] = row.as_slice() else { return None };
        catalogue.named(schema, table)
    };
    let is_bare = |r: &&Relation| r.columns.is_empty() && matches!(r.kind, RelationKind::Table | RelationKind::View);
    let tables = locked.iter().filter_map(named).chain(catalogue.relations().filter(is_bare));
    let tables: BTreeSet<u32> = tables.filter(|r| !OWN.contains(&&*r.schema)).map(|r| r.oid).collect();
    let is_reader = |r: &&Relation| match catalogue.view_reads(r.oid) {
        Reach::Relations(reads) => !reads.is_disjoint(&tables),
        Reach::Anything => true,
    };
    let readers = catalogue.relations().filter(|r| r.kind == RelationKind::View).filter(is_reader);
    readers.map(|r| r.oid).chain(tables.iter().copied()).collect()
}

/// The columns that each constraint compares: those that its clause names, in backticks as both makes keep them. Of a
/// clause that is not told, all.
pub(super) fn checks(catalogue: &Catalogue, rows: &[Row]) -> Vec<(u32, BTreeSet<i16>)> {
    let of = |row: &Row| {
        let [schema, table, clause] = row.as_slice() else { return None };
        let relation = catalogue.named(schema, table)?;
        let clause = clause.to_lowercase();
        let named = |name: &str| clause.is_empty() || clause.contains(&format!("`{}`", name.replace('`', "``")));
        Some((relation.oid, relation.columns.iter().filter(|c| named(&c.name)).map(|c| c.number).collect()))
    };
    rows.iter().filter_map(of).collect()
}

/// Columns of which one is refused by what the others hold: a computed column with those that it is made of, which its type may have
/// no room for, and those by which a table is partitioned, which no partition may be for.
pub(super) fn computed(
    catalogue: &Catalogue,
    made_of: &[((u32, i16), BTreeSet<SourceColumn>)],
    partitions: &[Row],
) -> Vec<(u32, BTreeSet<i16>)> {
    let of = |((oid, number), sources): &((u32, i16), BTreeSet<SourceColumn>)| {
        let relation = catalogue.relation(*oid)?;
        let is_source = |name: &Name| sources.iter().any(|source| source.column.as_ref() == Some(name));
        let columns = relation.columns.iter().filter(|c| c.number == *number || is_source(&c.name));
        Some((*oid, columns.map(|c| c.number).collect()))
    };
    // What is not told is `KEY ()`, which has a partition for all.
    let told = partitions.iter().filter(|row| row.get(2).is_some_and(|expression| !expression.trim().is_empty()));
    let told: Vec<Row> = told.cloned().collect();
    made_of.iter().filter_map(of).chain(partition_keys(catalogue, &told)).collect()
}

/// The views `WITH CHECK OPTION`.
pub(super) fn checking(catalogue: &Catalogue, views: &[Row]) -> Vec<u32> {
    let of = |row: &Row| {
        let [schema, name, _, option] = row.as_slice() else { return None };
        catalogue.named(schema, name).filter(|_| option != "NONE").map(|view| view.oid)
    };
    views.iter().filter_map(of).collect()
}

/// What one routine names.
struct Body {
    /// It runs texts, or is not shown to the gateway's account.
    opaque: bool,
    relations: BTreeSet<u32>,
    calls: Vec<usize>,
    /// It changes rows: of what views that it names read, too, and it fails by those.
    changes: bool,
    /// It looks at what an error says, which quotes rows: also of what triggers and foreign keys change.
    quotes: bool,
}

/// Words of statements that change rows.
const CHANGING: &[&str] = &["insert", "update", "delete", "replace", "load", "truncate"];

/// Words by which a body looks at what an error says.
const QUOTING: &[&str] = &["diagnostics", "warnings", "errors"];

/// What stored routines are read out of.
struct Bodies<'c> {
    catalogue: &'c Catalogue,
    names: Names,
    all: Vec<Body>,
    /// What views name, and tables that change with others, by foreign keys.
    beneath: HashMap<u32, BTreeSet<u32>>,
    /// Tables in which rows are looked for that refer, or are referred to.
    beside: HashMap<u32, BTreeSet<u32>>,
}

impl<'c> Bodies<'c> {
    fn of(catalogue: &'c Catalogue, routines: &[Row], views: &[Row]) -> Self {
        let names = Names::of(catalogue, routines);
        let all = routines.iter().map(|row| names.body_of(row)).collect();
        let named = |row: &Row| {
            let [schema, name, definition, ..] = row.as_slice() else { return None };
            Some((catalogue.named(schema, name)?.oid, names.body(schema, definition).relations))
        };
        let beneath = views.iter().filter_map(named).collect();
        Self { catalogue, names, all, beneath, beside: HashMap::new() }
    }

    /// The same, knowing foreign keys: what is referred to, what refers, and whether it changes with that.
    fn with_keys(mut self, referred: &[Row]) -> Self {
        for row in referred {
            let named = |at: usize| self.catalogue.named(row.get(at)?, row.get(at + 1)?).map(|table| table.oid);
            let (Some(parent), Some(child)) = (named(0), named(2)) else { continue };
            if row.get(4).is_some_and(|cascades| cascades == "1") {
                self.beneath.entry(parent).or_default().insert(child);
            }
            self.beside.entry(parent).or_default().insert(child);
            self.beside.entry(child).or_default().insert(parent);
        }
        self
    }

    fn with_beneath(&self, relations: BTreeSet<u32>) -> BTreeSet<u32> {
        let mut todo: Vec<u32> = relations.iter().copied().collect();
        let mut seen = relations;
        while let Some(next) = todo.pop() {
            let named = self.beneath.get(&next).into_iter().flatten().copied();
            todo.extend(named.filter(|oid| seen.insert(*oid)));
        }
        let beside: Vec<u32> = seen.iter().filter_map(|oid| self.beside.get(oid)).flatten().copied().collect();
        seen.extend(beside);
        seen
    }

    fn reach_of(&self, of: usize) -> Reach {
        let (mut seen, mut todo) = (HashSet::from([of]), vec![of]);
        let mut relations = BTreeSet::new();
        let (mut changes, mut quotes) = (false, false);
        while let Some(body) = todo.pop().and_then(|at| self.all.get(at)) {
            if body.opaque {
                return Reach::Anything;
            }
            changes |= body.changes;
            quotes |= body.quotes;
            relations.extend(body.relations.iter().copied());
            todo.extend(body.calls.iter().copied().filter(|call| seen.insert(*call)));
        }
        if !changes {
            return Reach::Relations(relations);
        }
        let relations = self.with_beneath(relations);
        if quotes && relations.iter().any(|oid| self.catalogue.acts(*oid)) {
            return Reach::Anything;
        }
        Reach::Relations(relations)
    }
}

/// What stored routines may read: the tables that are named in them, or in those that are named in them.
///
/// INVARIANT: none can read what neither it nor one that it calls names, unless it runs texts that it makes up.
fn reaches(bodies: &Bodies<'_>, routines: &[Row]) -> Vec<((Name, Name), Reach)> {
    let key = |row: &Row| {
        let [schema, name, ..] = row.as_slice() else { return None };
        Some((Name::from(schema.as_str()), Name::from(name.to_lowercase())))
    };
    let mut out: HashMap<(Name, Name), Reach> = HashMap::new();
    for (at, row) in routines.iter().enumerate() {
        let Some(key) = key(row) else { continue };
        let reach = bodies.reach_of(at);
        // A function and a procedure may have one name.
        let both = match (out.remove(&key), reach) {
            (None, reach) => reach,
            (Some(Reach::Relations(mut one)), Reach::Relations(other)) => {
                one.extend(other);
                Reach::Relations(one)
            }
            (Some(_), _) => Reach::Anything,
        };
        out.insert(key, both);
    }
    out.into_iter().collect()
}

/// What views read: the tables that are named in their definitions, and what the routines named there reach; and the latter by
/// itself. A view runs no texts but by a routine.
#[allow(clippy::type_complexity, reason = "two answers for each view")]
fn views_read(bodies: &Bodies<'_>, views: &[Row]) -> Vec<((u32, Reach), (u32, Reach))> {
    let Bodies { catalogue, names, .. } = bodies;
    let of = |row: &Row| {
        let [schema, name, definition, ..] = row.as_slice() else { return None };
        let view = catalogue.named(schema, name).filter(|_| !OWN.contains(&schema.as_str()))?;
        let body = names.body(schema, definition);
        let (mut called, mut is_known) = (BTreeSet::new(), true);
        for call in body.calls {
            match bodies.reach_of(call) {
                Reach::Relations(more) => called.extend(more),
                Reach::Anything => is_known = false,
            }
        }
        let mut relations = body.relations;
        relations.extend(&called);
        relations.remove(&view.oid);
        let of = |known: bool, relations| if known { Reach::Relations(relations) } else { Reach::Anything };
        let reads = of(is_known && !definition.is_empty(), relations);
        Some(((view.oid, reads), (view.oid, of(is_known, called))))
    };
    // The server's own read nothing of others that is looked for by their names.
    let own =
        catalogue.relations().filter(|r| r.kind == RelationKind::View && OWN.contains(&&*r.schema.to_lowercase()));
    let none = |oid| (oid, Reach::Relations(BTreeSet::new()));
    let own = own.map(|view| (none(view.oid), none(view.oid)));
    views.iter().filter_map(of).chain(own).collect()
}

/// The views that may make an order of values: all but those that filter one table, by the words of their definitions.
fn sorting(catalogue: &Catalogue, views: &[Row]) -> Vec<u32> {
    let makes_order = |definition: &str| {
        let definition = definition.to_lowercase();
        let words = || definition.split(|c| !is_of_words(c));
        words().filter(|word| *word == "select").count() != 1 || words().any(|word| SORTING.contains(&word))
    };
    let of = |row: &Row| {
        let [schema, name, definition, ..] = row.as_slice() else { return None };
        catalogue.named(schema, name).filter(|_| makes_order(definition)).map(|view| view.oid)
    };
    views.iter().filter_map(of).collect()
}

/// Names that may stand in a body, in lower case.
struct Names {
    /// With the database, where that is the server's own: its names are words that stand for other things.
    relations: HashMap<String, Vec<(u32, Option<String>)>>,
    /// Those that are no single words.
    odd_relations: Vec<(String, u32)>,
    routines: HashMap<String, Vec<usize>>,
    odd_routines: Vec<(String, usize)>,
}

/// Words by which a query may make an order of what it reads.
const SORTING: [&str; 10] =
    ["order", "group", "distinct", "having", "limit", "over", "join", "straight_join", "table", "values"];

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_of_words)
}

fn is_of_words(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

impl Names {
    fn of(catalogue: &Catalogue, routines: &[Row]) -> Self {
        let mut out = Self {
            relations: HashMap::new(),
            odd_relations: Vec::new(),
            routines: HashMap::new(),
            odd_routines: Vec::new(),
        };
        for relation in catalogue.relations() {
            let name = relation.name.to_lowercase().replace('`', "``");
            if is_word(&name) {
                let own = OWN.contains(&&*relation.schema.to_lowercase()).then(|| relation.schema.to_lowercase());
                out.relations.entry(name).or_default().push((relation.oid, own));
            } else {
                out.odd_relations.push((name, relation.oid));
            }
        }
        for (at, row) in routines.iter().enumerate() {
            let name = row.get(1).map_or_else(String::new, |name| name.to_lowercase().replace('`', "``"));
            if is_word(&name) {
                out.routines.entry(name).or_default().push(at);
            } else {
                out.odd_routines.push((name, at));
            }
        }
        out
    }

    /// The body of a routine.
    fn body_of(&self, row: &Row) -> Body {
        let of = |at: usize| row.get(at).map_or("", String::as_str);
        self.body(of(0), of(2))
    }

    /// `schema`: the database that the body is in.
    fn body(&self, schema: &str, text: &str) -> Body {
        let is_own = OWN.contains(&&*schema.to_lowercase());
        let text = text.to_lowercase();
        let words: HashSet<&str> = text.split(|c| !is_of_words(c)).filter(|word| !word.is_empty()).collect();
        let opaque = text.is_empty() || ["prepare", "execute", "immediate"].iter().any(|word| words.contains(word));
        // A body in another database names the server's own by its name.
        let is_meant = |own: &Option<String>| own.as_ref().is_none_or(|own| is_own || words.contains(own.as_str()));
        let named = words.iter().filter_map(|word| self.relations.get(*word)).flatten();
        let mut relations: BTreeSet<u32> = named.filter(|(_, own)| is_meant(own)).map(|(oid, _)| *oid).collect();
        relations.extend(self.odd_relations.iter().filter(|(name, _)| text.contains(name)).map(|(_, oid)| *oid));
        let mut calls: Vec<usize> =
            words.iter().filter_map(|word| self.routines.get(*word)).flatten().copied().collect();
        calls.extend(self.odd_routines.iter().filter(|(name, _)| text.contains(name)).map(|(_, at)| *at));
        let has = |these: &[&str]| these.iter().any(|word| words.contains(word));
        Body { opaque, relations, calls, changes: has(CHANGING), quotes: has(QUOTING) }
    }
}

/// What bodies of routines, triggers and events name. One that is not shown may name anything.
pub(super) fn mentions(bodies: [&[Row]; 2]) -> Mentions {
    let mut out = Mentions::default();
    let of_users = |row: &&Row| row.first().is_none_or(|schema| !matches!(&**schema, "mysql" | "sys"));
    for row in bodies.into_iter().flatten().filter(of_users) {
        match row.get(2).filter(|body| !body.is_empty()) {
            Some(body) => out.add(body, true),
            None => out.add_anything(),
        }
    }
    out
}

/// Which routines are called by what others have made, going by words; none where one of those is not shown.
pub(super) fn called(routines: &[Row], bodies: [&[Row]; 3]) -> Option<BTreeSet<Name>> {
    let names: BTreeSet<String> =
        routines.iter().filter_map(|row| row.get(1)).map(|name| name.to_lowercase()).collect();
    let mut out = BTreeSet::new();
    let of_users = |row: &&Row| row.first().is_none_or(|schema| !matches!(&**schema, "mysql" | "sys"));
    for row in bodies.into_iter().flatten().filter(of_users) {
        let body = row.get(2).filter(|body| !body.is_empty())?.to_lowercase();
        let own = row.get(1).map(|name| name.to_lowercase());
        let is_end = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' && c != '$';
        let words: BTreeSet<&str> = body.split(is_end).collect();
        let is_word = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'));
        let is_in = |name: &&String| {
            Some(*name) != own.as_ref()
                && (words.contains(name.as_str()) || (!is_word(name) && body.contains(name.as_str())))
        };
        out.extend(names.iter().filter(is_in).map(|name| Name::from(name.as_str())));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routines_read_what_they_name_or_what_those_name_that_they_call() {
        let relation = |oid, name: &str| Relation {
            oid,
            schema: "shop".into(),
            name: name.into(),
            kind: RelationKind::Table,
            columns: Vec::new(),
        };
        let view = Relation { kind: RelationKind::View, ..relation(4, "named") };
        let relations = [relation(1, "people"), relation(2, "odd t"), relation(3, "orders"), view, relation(5, "acts")];
        let catalogue = Catalogue::new(0, relations, []).with_acting([5]);
        let row = |name: &str, body: &str| vec!["shop".to_owned(), name.to_owned(), body.to_owned()];
        let routines = [
            row("Peek", "return (select 1 from `shop`.People)"),
            row("outer", "return peek(1) + (select count(*) from `Odd T`)"),
            row("calm", "begin select 1 from orders, peoples; call calm(); end"),
            row("dynamic", "begin execute immediate 'select 1'; end"),
            row("above", "call dynamic()"),
            row("unseen", ""),
            row("reads", "return (select 1 from named)"),
            row("changes", "begin update named set id = 1; end"),
            row("quotes", "begin call changes(); get diagnostics condition 1 @m = message_text; end"),
            row("fires", "begin insert into acts values (1); end"),
            row("tells", "begin call fires(); get diagnostics condition 1 @m = message_text; end"),
        ];
        let views = [row("named", "select id from people")];
        let all: BTreeMap<_, _> = reaches(&Bodies::of(&catalogue, &routines, &views), &routines).into_iter().collect();
        let of = |name: &str| all.get(&("shop".into(), name.into())).unwrap().clone();
        let these = |oids: &[u32]| Reach::Relations(oids.iter().copied().collect());
        assert_eq!(of("peek"), these(&[1]));
        assert_eq!(of("outer"), these(&[1, 2]));
        assert_eq!(of("calm"), these(&[3]));
        assert_eq!(of("reads"), these(&[4]));
        assert_eq!(of("changes"), these(&[1, 4]));
        assert_eq!(of("quotes"), these(&[1, 4]));
        assert_eq!(of("fires"), these(&[5]));
        for name in ["dynamic", "above", "unseen", "tells"] {
            assert_eq!(of(name), Reach::Anything, "{name}");
        }
    }
}
