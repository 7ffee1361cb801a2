//! From rows to a catalogue.
use super::{
    Row, mentions, number,
    reach::{self, Beneath, Reaches},
    text,
};
use doorward_model::Name;
use doorward_sql::{
    Cascade, Catalogue, Column, Function, Orders, Reach, Relation, RelationKind, Volatility, may_mix_rows,
    postgres::{Analysis, Environment, Output, SourceColumn, analyse, never_fails},
    tags,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// What columns of views and generated columns are made of.
type MadeOf = HashMap<(u32, i16), BTreeSet<SourceColumn>>;

pub(super) fn build(rows: &[Vec<Row>], generation: u64) -> (Catalogue, String) {
    let [
        _,
        _,
        path,
        _set,
        relations,
        columns,
        functions,
        inheritance,
        indexes,
        keys,
        comments,
        reads,
        constraints,
        checking,
        policies,
        cascades,
    ] = rows
    else {
        return (Catalogue::default(), String::new());
    };
    let search_path = path.first().map(|r| text(r, 0).to_owned()).unwrap_or_default();
    let mut by_relation: BTreeMap<u32, Vec<Column>> = BTreeMap::new();
    let mut type_names: Vec<((u32, i16), Name)> = Vec::new();
    let mut generated: Vec<((u32, i16), Option<String>)> = Vec::new();
    // Texts of any length: what is computed is not too long for them.
    let mut texts: BTreeSet<(u32, i16)> = BTreeSet::new();
    for row in columns {
        if text(row, 6) == "t" {
            if matches!(text(row, 4), "text" | "character varying") {
                texts.insert((number(row, 0), number(row, 1)));
            }
            generated.push(((number(row, 0), number(row, 1)), row.get(5).cloned().flatten()));
        }
        type_names.push(((number(row, 0), number(row, 1)), Name::from(text(row, 4))));
        by_relation.entry(number(row, 0)).or_default().push(Column {
            number: number(row, 1),
            name: Name::from(text(row, 2)),
            type_oid: number(row, 3),
        });
    }
    let mut views = Vec::new();
    let mut out = Vec::new();
    for row in relations {
        let oid = number(row, 0);
        let relation = Relation {
            oid,
            schema: Name::from(text(row, 1)),
            name: Name::from(text(row, 2)),
            kind: kind(text(row, 3)),
            columns: by_relation.remove(&oid).unwrap_or_default(),
        };
        if let Some(Some(definition)) = row.get(4) {
            views.push((oid, definition.clone()));
        }
        out.push(relation);
    }
    let bodies = functions;
    let functions = functions.iter().map(|row| Function {
        oid: number(row, 0),
        schema: Name::from(text(row, 1)),
        name: Name::from(text(row, 2)),
        volatility: match text(row, 3) {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            _ => Volatility::Volatile,
        },
        of_row: text(row, 4) == "t",
    });
    let inheritance = inheritance.iter().map(|row| (number(row, 0), number(row, 1)));
    let partitioned = relations.iter().filter(|row| text(row, 3) == "p").map(|row| number(row, 0));
    let catalogue = Catalogue::new(generation, out, functions)
        .with_inheritance(inheritance)
        .with_partitioned(partitioned)
        .with_generated(generated.iter().map(|(column, _)| *column))
        .with_tags(comments.iter().map(|row| ((number(row, 0), number(row, 1)), tags::of_comment(text(row, 2)))));
    let catalogue = Arc::new(catalogue);
    let environment = environment(&catalogue);
    let unread = unread(&catalogue, &views, &generated, reads);
    let mixed: Vec<u32> = views.iter().filter(|(_, text)| may_mix_rows(text)).map(|(oid, _)| *oid).collect();
    let views = View::read(&views, &environment);
    let mut made_of = view_columns(&catalogue, &views);
    made_of.extend(generated_columns(&environment, &generated));
    let failing: Vec<(u32, i16)> = generated
        .iter()
        .filter(|(column, of)| !(texts.contains(column) && of.as_deref().is_some_and(never_fails)))
        .map(|(column, _)| *column)
        .collect();
    let checks = checks(&catalogue, [constraints, keys], indexes, (&failing, &made_of));
    let children: Vec<Row> =
        cascades.iter().map(|row| [0, 2].map(|at| row.get(at).cloned().flatten()).to_vec()).collect();
    let beneath = Beneath::new(&catalogue, reads.iter().chain(&children));
    let Reaches { functions: reaches, views: view_reaches, changing } =
        reach::reaches(&environment, bodies, &views, &beneath);
    let policies = policies_read(&catalogue, policies, &reaches);
    let weighs = view_weighs(&views);
    drop((environment, views, beneath));
    let catalogue = Arc::unwrap_or_clone(catalogue).with_view_columns(made_of).with_type_names(type_names);
    let catalogue = catalogue
        .with_view_weighs(weighs)
        .with_mixed(mixed)
        .with_checks(checks)
        .with_checking(checking.iter().map(|row| number(row, 0)))
        .with_mentions(mentions::mentions(bodies))
        .with_own_path(&search_path);
    let catalogue = catalogue.with_codes(mentions::codes(bodies));
    let catalogue = catalogue
        .with_reaches(reaches)
        .with_changing(changing)
        .with_view_reaches(view_reaches)
        .with_orders(orders(indexes, constraints));
    let keys = keys.iter().map(|row| (number(row, 0), numbers(row, 1).collect()));
    let views: Vec<u32> = catalogue.relations().filter(|r| r.kind == RelationKind::View).map(|r| r.oid).collect();
    let mut named: HashMap<u32, BTreeSet<u32>> = views.into_iter().map(|oid| (oid, BTreeSet::new())).collect();
    for row in reads {
        named.entry(number(row, 0)).or_default().insert(number(row, 1));
    }
    let reads = named.into_iter().map(|(view, reads)| (view, Reach::Relations(reads)));
    let catalogue = catalogue.with_policies(policies).with_cascades(cascades.iter().map(cascade));
    (catalogue.with_partition_keys(keys).with_view_reads(reads).with_unread(unread), search_path)
}

/// What policies read: relations, and what the functions reach that they call.
fn policies_read(catalogue: &Catalogue, rows: &[Row], reaches: &HashMap<(Name, Name), Reach>) -> Vec<(u32, Reach)> {
    let mut out: BTreeMap<u32, Option<BTreeSet<u32>>> = BTreeMap::new();
    for row in rows {
        let (table, other) = (number(row, 0), number(row, 2));
        let entry = out.entry(table).or_insert_with(|| Some(BTreeSet::new()));
        let Some(known) = entry else { continue };
        if text(row, 1) != "t" {
            known.insert(other);
            continue;
        }
        let Some(function) = catalogue.function(other).filter(|f| !reach::is_own(&f.schema)) else { continue };
        match reaches.get(&(function.schema.clone(), function.name.clone())) {
            Some(Reach::Relations(more)) => known.extend(more),
            Some(Reach::Anything) | None => *entry = None,
        }
    }
    let of = |(table, known): (u32, Option<BTreeSet<u32>>)| (table, known.map_or(Reach::Anything, Reach::Relations));
    out.into_iter().map(of).collect()
}

fn cascade(row: &Row) -> (u32, Cascade) {
    let changes = |at| matches!(text(row, at), "c" | "n" | "d");
    let cascade = Cascade {
        of: numbers(row, 1).collect(),
        table: number(row, 2),
        columns: numbers(row, 3).collect(),
        on_update: changes(4),
        on_delete: matches!(text(row, 5), "n" | "d"),
        deletes: text(row, 5) == "c",
    };
    (number(row, 0), cascade)
}

/// Views of which the definition was not told, tables of which the expression of a generated column was not, the tables above those,
/// and the views that read them.
fn unread(
    catalogue: &Catalogue,
    told: &[(u32, String)],
    generated: &[((u32, i16), Option<String>)],
    reads: &[Row],
) -> BTreeSet<u32> {
    let told: BTreeSet<u32> = told.iter().map(|(oid, _)| *oid).collect();
    let is_view = |r: &&Relation| r.kind.is_view();
    let views = catalogue.relations().filter(is_view).filter(|r| !reach::is_own(&r.schema));
    let mut out: BTreeSet<u32> = views.map(|r| r.oid).filter(|oid| !told.contains(oid)).collect();
    for ((table, _), _) in generated.iter().filter(|(_, expression)| expression.is_none()) {
        out.insert(*table);
        out.extend(catalogue.ancestors(*table).into_iter().map(|above| above.oid));
    }
    let mut readers: HashMap<u32, Vec<u32>> = HashMap::new();
    for row in reads.iter().filter(|_| !out.is_empty()) {
        readers.entry(number(row, 1)).or_default().push(number(row, 0));
    }
    let mut todo: Vec<u32> = out.iter().copied().collect();
    while let Some(next) = todo.pop() {
        todo.extend(readers.get(&next).into_iter().flatten().filter(|reader| out.insert(**reader)));
    }
    out
}

/// Numbers with blanks between them.
fn numbers(row: &Row, index: usize) -> impl Iterator<Item = i16> {
    text(row, index).split_ascii_whitespace().filter_map(|n| n.parse().ok())
}

/// The columns that constraints, keys of partitions, unique indexes and computed columns compare.
fn checks(
    catalogue: &Catalogue,
    constraints: [&[Row]; 2],
    indexes: &[Row],
    (failing, made_of): (&[(u32, i16)], &MadeOf),
) -> Vec<(u32, BTreeSet<i16>)> {
    let of_rows = constraints.into_iter().flatten().map(|row| (number(row, 0), numbers(row, 1).collect()));
    // A row that has one of its columns from the caller, and another of its own, is there already or not.
    let unique = indexes.iter().filter(|row| text(row, 7) == "t");
    let of_unique = unique.map(|row| (number(row, 0), index_columns(row)));
    let of_generated = failing.iter().filter_map(|column| {
        let (sources, table) = (made_of.get(column)?, catalogue.relation(column.0)?);
        let number = |source: &SourceColumn| {
            let column = table.columns.iter().find(|c| source.column.as_ref() == Some(&c.name));
            column.map_or(0, |c| c.number)
        };
        Some((column.0, sources.iter().map(number).collect()))
    });
    of_rows.chain(of_unique).chain(of_generated).collect()
}

/// Of an expression that is the number 0, and what it is made of is among what the index depends on.
fn index_columns(row: &Row) -> BTreeSet<i16> {
    let named = numbers(row, 3).filter(|column| *column != 0);
    named.chain(numbers(row, 4)).collect()
}

fn orders(indexes: &[Row], constraints: &[Row]) -> HashMap<u32, Orders> {
    let mut out: HashMap<u32, Orders> = HashMap::new();
    for row in indexes {
        let orders = out.entry(number(row, 0)).or_default();
        let columns = index_columns(row);
        if text(row, 1) == "t" {
            orders.key = numbers(row, 3).take(number(row, 2)).collect();
        }
        orders.indexed.extend(&columns);
        if text(row, 6) == "t" {
            orders.stored.clone_from(&columns);
        }
        if text(row, 5) != "t" {
            orders.indexes.push(columns);
        }
    }
    for row in constraints.iter().filter(|row| text(row, 2) == "t") {
        out.entry(number(row, 0)).or_default().indexed.extend(numbers(row, 1));
    }
    out
}

fn kind(relkind: &str) -> RelationKind {
    match relkind {
        "r" | "p" => RelationKind::Table,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterialisedView,
        "f" => RelationKind::ForeignTable,
        "S" => RelationKind::Sequence,
        _ => RelationKind::Other,
    }
}

/// A view of a user's with what its definition says.
pub(super) struct View {
    pub(super) oid: u32,
    /// None: it is not understood.
    pub(super) analysis: Option<Analysis>,
}

impl View {
    /// Reads each definition once.
    fn read(definitions: &[(u32, String)], environment: &Environment) -> Vec<Self> {
        let is_own = |oid: u32| environment.catalogue.relation(oid).is_none_or(|view| reach::is_own(&view.schema));
        let of_users = definitions.iter().filter(|(oid, _)| !is_own(*oid));
        of_users.map(|(oid, text)| Self { oid: *oid, analysis: analyse(text, environment).ok() }).collect()
    }
}

/// What each column of a view is made of, read out of the view's definition. Of one that is not understood there is nothing:
/// whoever asks takes its columns for made of everything.
fn view_columns(catalogue: &Catalogue, views: &[View]) -> HashMap<(u32, i16), BTreeSet<SourceColumn>> {
    let mut out = HashMap::new();
    for View { oid, analysis } in views {
        let Some(view) = catalogue.relation(*oid) else { continue };
        let lineage = analysis.as_ref().and_then(|a| a.statements.first()).and_then(|s| s.lineage.as_ref());
        let Some(lineage) = lineage else { continue };
        for (index, column) in view.columns.iter().enumerate() {
            let sources = match lineage.outputs.get(index) {
                Some(Output::Made(sources)) if lineage.outputs.len() == view.columns.len() => sources.clone(),
                Some(Output::Made(_) | Output::Star) | None => lineage.anywhere.clone(),
            };
            out.insert((*oid, column.number), sources);
        }
    }
    out
}

/// By what the queries of views decide, sort, join and group. Of one that is not understood there is nothing: whoever asks takes it to
/// decide by everything.
fn view_weighs(views: &[View]) -> HashMap<u32, BTreeSet<SourceColumn>> {
    let understood = views.iter().filter_map(|view| view.analysis.as_ref().map(|analysis| (view.oid, analysis)));
    understood
        .map(|(oid, analysis)| (oid, analysis.statements.iter().flat_map(|s| &s.reads.weighs).cloned().collect()))
        .collect()
}

/// What each generated column is made of, read out of its expression. One that is not understood, or not told while the table is
/// locked ([`unread`]), is made of all of its table.
fn generated_columns(
    environment: &Environment,
    generated: &[((u32, i16), Option<String>)],
) -> HashMap<(u32, i16), BTreeSet<SourceColumn>> {
    let mut out = HashMap::new();
    for ((oid, number), expression) in generated {
        let Some(table) = environment.catalogue.relation(*oid) else { continue };
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let from = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
        let query = expression.as_ref().map(|expression| format!("SELECT {expression} FROM {from}"));
        let analysis = query.and_then(|query| analyse(&query, environment).ok());
        let lineage = analysis.as_ref().and_then(|a| a.statements.first()).and_then(|s| s.lineage.as_ref());
        let sources = match lineage.map(|l| l.outputs.as_slice()) {
            Some([Output::Made(sources)]) => sources.clone(),
            Some(_) | None => {
                BTreeSet::from([SourceColumn { schema: table.schema.clone(), table: table.name.clone(), column: None }])
            }
        };
        out.insert((*oid, *number), sources);
    }
    out
}

/// Definitions, as the server writes them, name every schema.
pub(super) fn environment(catalogue: &Arc<Catalogue>) -> Environment {
    Environment {
        search_path: Arc::from([]),
        temporary: Arc::default(),
        doubtful: Arc::default(),
        generation: 0,
        catalogue: Arc::clone(catalogue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Row> {
        let cell = |cell: &&str| (*cell != "-").then(|| (*cell).to_owned());
        rows.iter().map(|row| row.iter().map(cell).collect()).collect()
    }

    /// As the queries give them; `-` is NULL.
    fn built(relations: &[&[&str]], columns: &[&[&str]], reads: &[&[&str]]) -> Catalogue {
        let mut all = vec![Vec::new(); 16];
        (all[4], all[5], all[11]) = (rows(relations), rows(columns), rows(reads));
        build(&all, 1).0
    }

    #[test]
    fn what_is_not_told_is_unknown_and_so_is_what_reads_it() {
        let catalogue = built(
            &[
                &["1", "public", "people", "r", "-"],
                &["2", "public", "locked", "v", "-"],
                &["3", "public", "above", "v", "SELECT locked.a FROM public.locked"],
                &["4", "public", "top", "m", "SELECT above.a FROM public.above"],
                &["5", "public", "other", "v", "SELECT people.a FROM public.people"],
                &["6", "pg_catalog", "pg_views", "v", "-"],
            ],
            &[
                &["1", "1", "a", "25", "text", "-", "f"],
                &["2", "1", "a", "25", "text", "-", "f"],
                &["3", "1", "a", "25", "text", "-", "f"],
                &["4", "1", "a", "25", "text", "-", "f"],
                &["5", "1", "a", "25", "text", "-", "f"],
            ],
            &[&["2", "1"], &["3", "2"], &["4", "3"], &["5", "1"]],
        );
        let unread: Vec<u32> = (1..=6).filter(|oid| catalogue.is_unread(*oid)).collect();
        assert_eq!(unread, [2, 3, 4]);
        assert_eq!(catalogue.view_column(2, 1), None, "made of everything");
        assert!(catalogue.view_column(5, 1).is_some());
    }

    #[test]
    fn a_generated_column_that_is_not_told_is_made_of_all_of_its_table() {
        let catalogue = built(
            &[
                &["1", "public", "people", "r", "-"],
                &["2", "public", "of_people", "v", "SELECT people.a FROM public.people"],
                &["3", "public", "told", "r", "-"],
                &["4", "public", "of_told", "v", "SELECT told.b FROM public.told"],
            ],
            &[
                &["1", "1", "a", "25", "text", "-", "f"],
                &["1", "2", "told", "25", "text", "(a || 'x'::text)", "t"],
                &["1", "3", "locked", "25", "text", "-", "t"],
                &["3", "1", "a", "25", "text", "-", "f"],
                &["3", "2", "b", "25", "text", "(a || 'x'::text)", "t"],
            ],
            &[&["2", "1"], &["4", "3"]],
        );
        // Which columns that are is not known: who may not see everything is refused.
        let unread: Vec<u32> = (1..=4).filter(|oid| catalogue.is_unread(*oid)).collect();
        assert_eq!(unread, [1, 2]);
        let of =
            |column| catalogue.view_column(1, column).unwrap().iter().map(|s| s.column.clone()).collect::<Vec<_>>();
        assert_eq!((of(2), of(3)), (vec![Some("a".into())], vec![None]));
        assert!(catalogue.is_generated(1, 3) && !catalogue.is_generated(1, 1));
    }
}
