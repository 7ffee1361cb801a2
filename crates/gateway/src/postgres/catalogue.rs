//! Snapshots of a database's schema, read through the gateway's own log-in.
mod reach;
mod weighs;

use super::{Endpoint, upstream};
use crate::snapshots::{Snapshots, Source, fingerprint};
use bytes::BytesMut;
use doorward_model::Name;
use doorward_postgres::{
    codec::{self, UpstreamMessage},
    render,
};
use doorward_sql::{
    Catalogue, Column, Function, Orders, Reach, Relation, RelationKind, Volatility,
    postgres::{Environment, Output, SourceColumn, analyse},
    tags,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::Arc,
};
use upstream::UpstreamError;

/// A database as new sessions find it.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) catalogue: Arc<Catalogue>,
    /// The search path of the gateway's log-in.
    pub(crate) search_path: String,
}

impl Source for Endpoint {
    type Raw = Vec<Vec<Row>>;
    type Snapshot = Schema;
    type Error = UpstreamError;

    fn snapshots(&self) -> &Snapshots<Schema> {
        &self.snapshots
    }

    fn connection(&self) -> &str {
        self.connection.info.name.as_str()
    }

    fn read(&self, database: &str) -> impl Future<Output = Result<Self::Raw, UpstreamError>> + Send {
        read_schema(self, database)
    }

    fn fingerprint(rows: &Self::Raw) -> u64 {
        fingerprint(rows)
    }

    fn build(&self, rows: Self::Raw, generation: u64) -> Schema {
        let (catalogue, search_path) = build(&rows, generation);
        Schema { catalogue: Arc::new(catalogue), search_path }
    }
}

type Row = Vec<Option<String>>;

/// What is asked, in this order. Everything comes back as text.
const QUERIES: [&str; 12] = [
    // Definitions of views are not told while a table of theirs is locked: whoever waits then is told why, and asks again.
    "SET lock_timeout = '5s'",
    "SET statement_timeout = '60s'",
    "SELECT current_setting('search_path')",
    // From here on definitions of views name every schema but pg_catalog.
    "SET search_path = pg_catalog",
    "SELECT c.oid, n.nspname, c.relname, c.relkind, \
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY 1",
    "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), \
       CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END \
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> '' \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
       AND n.nspname !~ '^pg_(toast|temp)' ORDER BY 1, 2",
    "SELECT p.oid, n.nspname, p.proname, p.provolatile, \
       p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1 AND n.nspname <> 'pg_catalog' AND EXISTS ( \
         SELECT FROM pg_catalog.pg_type t WHERE t.oid = p.proargtypes[0] AND t.typtype IN ('c', 'd', 'p')), \
       l.lanname, e.extname, \
       CASE WHEN n.nspname IN ('pg_catalog', 'information_schema') OR e.extname IS NOT NULL THEN NULL \
         WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, \
           a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) \
           FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid) \
         WHEN l.lanname = 'sql' THEN pg_catalog.pg_get_functiondef(p.oid) \
         WHEN l.lanname = 'plpgsql' THEN p.prosrc END \
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
     JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
     LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid \
       AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
     LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid ORDER BY 1",
    "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i ORDER BY 1, 2",
    "SELECT i.indrelid, i.indisprimary, i.indnkeyatts, i.indkey, \
       (SELECT string_agg(d.refobjsubid::text, ' ') FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid \
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid), \
       a.amname IN ('hash', 'gin', 'brin'), i.indisclustered \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_am a ON a.oid = c.relam JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname !~ '^pg_(catalog|toast|temp)' ORDER BY i.indexrelid",
    "SELECT p.partrelid, p.partattrs FROM pg_catalog.pg_partitioned_table p ORDER BY 1",
    "SELECT d.objoid, d.objsubid, d.description FROM pg_catalog.pg_description d \
     WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.description ~* 'doorward:' \
     UNION ALL SELECT l.objoid, l.objsubid, CASE l.provider WHEN 'doorward' THEN 'doorward:' ELSE '' END || l.label \
     FROM pg_catalog.pg_seclabel l WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass \
       AND (l.provider = 'doorward' OR l.label ~* 'doorward:') ORDER BY 1, 2, 3",
    "SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class ORDER BY 1, 2",
];

#[allow(clippy::wildcard_enum_match_arm, reason = "answers to questions of our own: only rows and errors matter")]
async fn read_schema(endpoint: &Endpoint, database: &str) -> Result<Vec<Vec<Row>>, UpstreamError> {
    let user = endpoint.connection.upstream.user.clone().unwrap_or_else(|| "postgres".into());
    let parameters =
        [("client_encoding", "UTF8"), ("application_name", "doorward")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let login = upstream::Login { user: &user, database, parameters: &parameters, version: (3, 0) };
    let mut stream = upstream::connect(endpoint, &login).await?.stream;
    let mut out = Vec::new();
    for query in QUERIES {
        let mut message = BytesMut::new();
        render::query(&mut message, query);
        upstream::send(&mut stream, &message).await?;
        let mut rows = Vec::new();
        loop {
            let frame = upstream::read_long_frame(&mut stream).await?;
            let message = codec::upstream_message(&frame).map_err(|e| UpstreamError::Misbehaved(e.to_string()))?;
            match message {
                UpstreamMessage::DataRow(row) => {
                    let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
                    rows.push(row.cells().map(|c| c.map(text)).collect());
                }
                UpstreamMessage::ErrorResponse(_) => return Err(upstream::refused(&frame)),
                UpstreamMessage::ReadyForQuery { .. } => break,
                _ => {}
            }
        }
        out.push(rows);
    }
    let mut goodbye = BytesMut::new();
    render::terminate(&mut goodbye);
    let _gone = upstream::send(&mut stream, &goodbye).await;
    Ok(out)
}

fn text(row: &Row, index: usize) -> &str {
    row.get(index).and_then(Option::as_deref).unwrap_or_default()
}

fn number<T: std::str::FromStr + Default>(row: &Row, index: usize) -> T {
    text(row, index).parse().unwrap_or_default()
}

fn build(rows: &[Vec<Row>], generation: u64) -> (Catalogue, String) {
    let [_, _, path, _set, relations, columns, functions, inheritance, indexes, keys, comments, reads] = rows else {
        return (Catalogue::default(), String::new());
    };
    let search_path = path.first().map(|r| text(r, 0).to_owned()).unwrap_or_default();
    let mut by_relation: BTreeMap<u32, Vec<Column>> = BTreeMap::new();
    let mut type_names: Vec<((u32, i16), Name)> = Vec::new();
    let mut generated: Vec<((u32, i16), String)> = Vec::new();
    for row in columns {
        if let Some(Some(expression)) = row.get(5) {
            generated.push(((number(row, 0), number(row, 1)), expression.clone()));
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
    let mut made_of = view_columns(&catalogue, &views);
    made_of.extend(generated_columns(&catalogue, &generated));
    let weighs = weighs::view_weighs(&catalogue, &views);
    let (reaches, view_reaches) = reach::reaches(&catalogue, bodies, &views);
    let catalogue = catalogue.with_view_columns(made_of).with_view_weighs(weighs).with_type_names(type_names);
    let catalogue = catalogue.with_reaches(reaches).with_view_reaches(view_reaches).with_orders(orders(indexes));
    let keys = keys.iter().map(|row| (number(row, 0), numbers(row, 1).collect()));
    let views: Vec<u32> = catalogue.relations().filter(|r| r.kind == RelationKind::View).map(|r| r.oid).collect();
    let mut named: HashMap<u32, BTreeSet<u32>> = views.into_iter().map(|oid| (oid, BTreeSet::new())).collect();
    for row in reads {
        named.entry(number(row, 0)).or_default().insert(number(row, 1));
    }
    let reads = named.into_iter().map(|(view, reads)| (view, Reach::Relations(reads)));
    (catalogue.with_partition_keys(keys).with_view_reads(reads), search_path)
}

/// Numbers with blanks between them.
fn numbers(row: &Row, index: usize) -> impl Iterator<Item = i16> {
    text(row, index).split_ascii_whitespace().filter_map(|n| n.parse().ok())
}

fn orders(indexes: &[Row]) -> HashMap<u32, Orders> {
    let mut out: HashMap<u32, Orders> = HashMap::new();
    for row in indexes {
        let orders = out.entry(number(row, 0)).or_default();
        // Of an expression that is the number 0, and what it is made of is among what the index depends on.
        let named = numbers(row, 3).filter(|column| *column != 0);
        let columns: BTreeSet<i16> = named.chain(numbers(row, 4)).collect();
        if text(row, 1) == "t" {
            orders.key = numbers(row, 3).take(number(row, 2)).collect();
        }
        if text(row, 6) == "t" {
            orders.stored.clone_from(&columns);
        }
        if text(row, 5) != "t" {
            orders.indexes.push(columns);
        }
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

/// What each column of a view is made of, read out of the view's definition. A definition that is
/// not understood leaves every column made of everything it may read.
fn view_columns(catalogue: &Catalogue, views: &[(u32, String)]) -> HashMap<(u32, i16), BTreeSet<SourceColumn>> {
    let environment = environment(catalogue);
    let mut out = HashMap::new();
    for (oid, definition) in views {
        let Some(view) = catalogue.relation(*oid) else { continue };
        if matches!(&*view.schema, "pg_catalog" | "information_schema") {
            continue;
        }
        let analysis = analyse(definition, &environment).ok();
        let lineage = analysis.as_ref().and_then(|a| a.statements.first()).and_then(|s| s.lineage.as_ref());
        for (index, column) in view.columns.iter().enumerate() {
            let sources = match lineage {
                Some(lineage) if lineage.outputs.len() == view.columns.len() => match lineage.outputs.get(index) {
                    Some(Output::Made(sources)) => sources.clone(),
                    Some(Output::Star) | None => lineage.anywhere.clone(),
                },
                Some(lineage) => lineage.anywhere.clone(),
                None => everything(catalogue),
            };
            out.insert((*oid, column.number), sources);
        }
    }
    out
}

/// What each generated column is made of, read out of its expression. One that is not understood is made of all of its table.
fn generated_columns(
    catalogue: &Catalogue,
    generated: &[((u32, i16), String)],
) -> HashMap<(u32, i16), BTreeSet<SourceColumn>> {
    let environment = environment(catalogue);
    let mut out = HashMap::new();
    for ((oid, number), expression) in generated {
        let Some(table) = catalogue.relation(*oid) else { continue };
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let query = format!("SELECT {expression} FROM {}.{}", quoted(&table.schema), quoted(&table.name));
        let analysis = analyse(&query, &environment).ok();
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
fn environment(catalogue: &Catalogue) -> Environment {
    Environment {
        search_path: Arc::from([]),
        temporary: Arc::default(),
        generation: 0,
        catalogue: Arc::new(catalogue.clone()),
    }
}

/// A view that is not understood may show any column of any table of the database.
fn everything(catalogue: &Catalogue) -> BTreeSet<SourceColumn> {
    catalogue
        .relations()
        .filter(|r| !matches!(&*r.schema, "pg_catalog" | "information_schema"))
        .map(|r| SourceColumn { schema: r.schema.clone(), table: r.name.clone(), column: None })
        .collect()
}
