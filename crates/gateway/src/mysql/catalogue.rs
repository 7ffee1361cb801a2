//! Snapshots of what the server has, read through the gateway's own log-in.
mod details;

use super::{
    Endpoint,
    packets::Packets,
    upstream::{self, Connected, UpstreamError},
};
use crate::snapshots::{Building, Snapshots, Source, fingerprint};
use doorward_model::{Action, Name};
use doorward_mysql::{
    Capabilities,
    codec::{self, rows, upstream::First},
    grammar::Grammar,
    startup::Greeting,
};
use doorward_sql::{
    Catalogue, Column, Function, Output, Relation, RelationKind, SourceColumn, Volatility, may_mix_rows,
    mysql::{self, AnalysisCache, Environment, Upstream},
};
use doorward_wire::Reader;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::Arc,
    time::Duration,
};

/// The longest packet of an answer to a question of the gateway's own, in bytes. What is longer than 64 KiB of definitions is not
/// asked for: a row has some of them.
const LONGEST: usize = 4 << 20;
/// How much it may be in all, in bytes.
const MOST: usize = 256 << 20;

/// A server as new sessions find it.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) greeting: Greeting,
    pub(super) reader: Arc<Grammar>,
}

/// What a server says of itself.
pub(crate) struct Raw {
    greeting: Greeting,
    lower_case_names: bool,
    kept: Kept,
}

/// What it answers, question by question.
#[derive(Hash)]
struct Kept {
    tables: Vec<Row>,
    columns: Vec<Row>,
    routines: Vec<Row>,
    views: Vec<Row>,
    indexes: Vec<Row>,
    partitions: Vec<Row>,
    /// Tables that could not be looked into, since they were locked.
    locked: Vec<Row>,
    triggered: Vec<Row>,
    referred: Vec<Row>,
    checks: Vec<Row>,
    bodies: Vec<Row>,
}

impl Source for Endpoint {
    type Raw = Raw;
    type Snapshot = Snapshot;
    type Error = UpstreamError;

    fn snapshots(&self) -> &Snapshots<Snapshot, UpstreamError> {
        &self.snapshots
    }

    fn connection(&self) -> &str {
        self.connection.info.name.as_str()
    }

    /// There is one part: a session reaches all databases.
    fn read(&self, _: &str) -> impl Future<Output = Result<Raw, UpstreamError>> + Send {
        read_all(self)
    }

    fn fingerprint(raw: &Raw) -> u64 {
        let Raw { greeting: Greeting { version, capabilities, .. }, lower_case_names, kept } = raw;
        fingerprint(&(version, capabilities.0, lower_case_names, kept))
    }

    fn building(&self, raw: Raw, generation: u64) -> Building<Snapshot> {
        let cache = Arc::clone(&self.cache);
        Box::new(move || snapshot(raw, generation, cache))
    }

    fn unbuilt(why: String) -> UpstreamError {
        UpstreamError::Schema(why)
    }
}

fn snapshot(raw: Raw, generation: u64, cache: Arc<AnalysisCache>) -> Snapshot {
    let Raw { greeting, lower_case_names, kept } = raw;
    let Kept { tables, columns, routines, views, indexes, partitions, locked, triggered, referred, checks, bodies } =
        kept;
    let catalogue = Arc::new(build(generation, &tables, &columns, &routines));
    let (mut made_of, weighs) = view_columns(&catalogue, &views, &greeting.version, lower_case_names);
    let generated = generated_columns(&catalogue, &columns);
    made_of.extend(generated.iter().cloned());
    let invisible = invisible_columns(&catalogue, &columns);
    let tags = details::tags(&catalogue, &tables, &columns);
    let of = |row: &Row| table_of(&catalogue, row).map(|table| table.oid);
    let cascading = referred.iter().filter(|row| row.get(4).is_some_and(|cascades| cascades == "1"));
    let acting: Vec<u32> = cascading.filter_map(of).chain(triggered.iter().filter_map(of)).collect();
    let catalogue = Arc::unwrap_or_clone(catalogue).with_acting(acting);
    let catalogue = details::all(catalogue, &columns, &indexes, &routines, &views, &referred).with_tags(tags);
    let keys = details::partition_keys(&catalogue, &partitions);
    let unread = details::unread(&catalogue, &locked);
    let referrers: Vec<(u32, u32)> = referred
        .iter()
        .filter_map(|row| Some((table_of(&catalogue, row)?.oid, table_of(&catalogue, row.get(2..)?)?.oid)))
        .collect();
    let references: Vec<_> = referred
        .iter()
        .filter_map(|row| {
            let index = row.get(5).filter(|name| !name.is_empty()).map(|name| Name::from(name.as_str()));
            Some((table_of(&catalogue, row.get(2..)?)?.oid, (table_of(&catalogue, row)?.oid, index)))
        })
        .collect();
    let checks = details::checks(&catalogue, &checks).into_iter();
    let checks = checks.chain(details::computed(&catalogue, &generated, &partitions));
    let checks: Vec<_> = checks.collect();
    let mentions = details::mentions([&routines, &bodies]);
    let called = details::called(&routines, [&views, &routines, &bodies]);
    let checking = details::checking(&catalogue, &views);
    let mixed = views.iter().filter(|row| row.get(2).is_some_and(|query| may_mix_rows(query)));
    let mixed: Vec<u32> = mixed.filter_map(|row| table_of(&catalogue, row)).map(|view| view.oid).collect();
    let catalogue = catalogue.with_checking(checking).with_view_weighs(weighs).with_mixed(mixed);
    let catalogue = catalogue.with_partition_keys(keys).with_unread(unread).with_checks(checks);
    let catalogue =
        catalogue.with_referrers(referrers).with_references(references).with_called(called).with_mentions(mentions);
    let catalogue = Arc::new(catalogue.with_view_columns(made_of).with_invisible(invisible));
    Snapshot { greeting, reader: Arc::new(Grammar::new(catalogue, lower_case_names, cache)) }
}

/// Definitions of views come quoted as the mode says. Warnings matter of MariaDB; MySQL lets administrators alone say how many.
const PLAIN: &str = "SET SESSION sql_mode = '' /*M! , max_error_count = 65535 */";
/// MariaDB looks into each table, and waits for one that is locked exclusively (`CREATE TABLE … AS` while it runs); then it leaves
/// the table out, and warns. MySQL looks into no table, and knows no wait shorter than a second.
const IMPATIENT: &str = "SET SESSION lock_wait_timeout = 0";
/// Tables that could not be looked into have no engine.
const LOCKED: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE TABLE_TYPE NOT LIKE '%VIEW%' AND ENGINE IS NULL ORDER BY 1, 2";
const WARNINGS: &str = "SHOW WARNINGS";
/// `ER_LOCK_WAIT_TIMEOUT`, `ER_WARN_I_S_SKIPPED_TABLE`.
const LEFT_OUT: [&str; 2] = ["1205", "1684"];
/// How often it is tried to read all tables while nobody locks one.
const ATTEMPTS: usize = 5;
/// Between the first two; the next are twice as long each.
const PAUSE: Duration = Duration::from_millis(200);
const SETTINGS: &str = "SELECT @@lower_case_table_names";
/// Definitions and bodies that are longer than 64 KiB are not read: anybody may make one, and everybody would have to wait for it.
///
/// INVARIANT: what is not read counts as what is not shown: as opaque, and of columns as made of all.
const VIEWS: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, IF(LENGTH(VIEW_DEFINITION) > 65536, NULL, VIEW_DEFINITION), CHECK_OPTION \
    FROM information_schema.VIEWS";
/// The server's own.
const OWN: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];
const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, \
    IF(LOWER(TABLE_COMMENT) LIKE '%doorward:%', TABLE_COMMENT, '') FROM information_schema.TABLES ORDER BY 1, 2";
/// The fifth is what a generated column, or a default, is made of ([`UNREAD`] where that is too long); the sixth is where tags are.
/// A type is as long as what it lists.
const COLUMNS: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, EXTRA LIKE '%INVISIBLE%', \
    CONCAT_WS(' ', IF(LENGTH(GENERATION_EXPRESSION) > 65536, '`', GENERATION_EXPRESSION), \
      IF(LENGTH(COLUMN_DEFAULT) > 65536, '`', COLUMN_DEFAULT)), \
    IF(LOWER(COLUMN_COMMENT) LIKE '%doorward:%', COLUMN_COMMENT, ''), \
    LEFT(COLUMN_TYPE, 65536), CHARACTER_SET_NAME, COLLATION_NAME \
    FROM information_schema.COLUMNS ORDER BY 1, 2, ORDINAL_POSITION";
const UNREAD: &str = "`";
const ROUTINES: &str = "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, \
    IF(LENGTH(ROUTINE_DEFINITION) > 65536, NULL, ROUTINE_DEFINITION) FROM information_schema.ROUTINES";
const INDEXES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, NON_UNIQUE FROM information_schema.STATISTICS \
    ORDER BY 1, 2, 3, SEQ_IN_INDEX";

const CHECKS_MARIADB: &str = "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, \
    IF(LENGTH(CHECK_CLAUSE) > 65536, NULL, CHECK_CLAUSE) FROM information_schema.CHECK_CONSTRAINTS \
    ORDER BY 1, 2, CONSTRAINT_NAME";
/// From 8.0.16 on; those before have no such constraints. An index over an expression is a column that is computed.
const CHECKS_MYSQL: &str = "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, IF(LENGTH(c.CHECK_CLAUSE) > 65536, NULL, c.CHECK_CLAUSE) \
    FROM information_schema.CHECK_CONSTRAINTS c \
    JOIN information_schema.TABLE_CONSTRAINTS t USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME) \
    WHERE t.CONSTRAINT_TYPE = 'CHECK' \
    UNION ALL SELECT TABLE_SCHEMA, TABLE_NAME, IF(LENGTH(EXPRESSION) > 65536, NULL, EXPRESSION) \
    FROM information_schema.STATISTICS WHERE EXPRESSION IS NOT NULL ORDER BY 1, 2, 3";

/// Tables of which a change has others changed.
const TRIGGERS: &str =
    "SELECT DISTINCT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS ORDER BY 1, 2";
/// What runs by itself.
const BODIES: &str = "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, IF(LENGTH(ACTION_STATEMENT) > 65536, NULL, ACTION_STATEMENT) \
    FROM information_schema.TRIGGERS UNION ALL \
    SELECT EVENT_SCHEMA, EVENT_NAME, IF(LENGTH(EVENT_DEFINITION) > 65536, NULL, EVENT_DEFINITION) FROM information_schema.EVENTS \
    ORDER BY 1, 2, 3";
/// Tables that others refer to, which, whether they change with them, and by which unique index rows are found.
const REFERRED: &str = "SELECT DISTINCT UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, CONSTRAINT_SCHEMA, TABLE_NAME, \
    UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION') OR DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION'), UNIQUE_CONSTRAINT_NAME \
    FROM information_schema.REFERENTIAL_CONSTRAINTS ORDER BY 1, 2, 3, 4, 6";

const PARTITIONS: &str = "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, \
    IF(LENGTH(CONCAT(IFNULL(PARTITION_EXPRESSION, ''), IFNULL(SUBPARTITION_EXPRESSION, ''))) > 65536, NULL, \
      CONCAT_WS(' ', PARTITION_EXPRESSION, SUBPARTITION_EXPRESSION)) \
    FROM information_schema.PARTITIONS WHERE PARTITION_NAME IS NOT NULL ORDER BY 1, 2";

async fn read_all(endpoint: &Endpoint) -> Result<Raw, UpstreamError> {
    // Results in their oldest form, which all servers have.
    let Connected { mut packets, greeting, agreed, lent: _lent } =
        upstream::connect(endpoint, Capabilities::default()).await?;
    let mut left = MOST;
    for query in [PLAIN, IMPATIENT] {
        rows_of(&mut packets, agreed, query, &mut left).await?;
    }
    let settings = rows_of(&mut packets, agreed, SETTINGS, &mut left).await?;
    let upstream = Upstream::from_greeting(&greeting.version).unwrap_or_default();
    let mut pause = PAUSE;
    let mut kept = None;
    for _ in 0..ATTEMPTS {
        kept = attempt(&mut packets, agreed, upstream).await?;
        if kept.is_some() {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
    let kept = kept.ok_or_else(|| UpstreamError::Schema("some table was locked whenever it was read".into()))?;
    packets.next = 0;
    let _gone = packets.write(b"\x01").await;
    // Whether names differ in their case decides what they mean.
    let setting = settings.first().and_then(|row| row.first());
    let setting = setting.ok_or_else(|| UpstreamError::Misbehaved("no answer to a question".into()))?;
    let lower_case_names = setting != "0";
    Ok(Raw { greeting, lower_case_names, kept })
}

/// Asks everything once. None where something was left out of an answer, and nobody knows what.
async fn attempt(
    packets: &mut Packets,
    agreed: Capabilities,
    upstream: Upstream,
) -> Result<Option<Kept>, UpstreamError> {
    let mut left = MOST;
    let mut left_out = Vec::new();
    let mut ask = async |query: &str| {
        let rows = rows_of(packets, agreed, query, &mut left).await?;
        let warnings = rows_of(packets, agreed, WARNINGS, &mut left).await?;
        let is_left_out = |row: &&Row| row.get(1).is_some_and(|code| LEFT_OUT.contains(&code.as_str()));
        left_out.push((query == COLUMNS, warnings.iter().filter(is_left_out).count()));
        Ok::<_, UpstreamError>(rows)
    };
    let mut locked = ask(LOCKED).await?;
    let (tables, columns, routines) = (ask(TABLES).await?, ask(COLUMNS).await?, ask(ROUTINES).await?);
    let (views, indexes, partitions) = (ask(VIEWS).await?, ask(INDEXES).await?, ask(PARTITIONS).await?);
    let (triggered, referred, bodies) = (ask(TRIGGERS).await?, ask(REFERRED).await?, ask(BODIES).await?);
    let checks = if upstream.is_mariadb() {
        ask(CHECKS_MARIADB).await?
    } else if upstream.version >= 80_016 {
        ask(CHECKS_MYSQL).await?
    } else {
        Vec::new()
    };
    locked.extend(ask(LOCKED).await?);
    let named = left_out.first().max(left_out.last()).map_or(0, |(_, count)| *count);
    // A table that is broken has no engine either, and is nobody's.
    if named == 0 {
        locked.clear();
    }
    // INVARIANT: what was left out of the answers is known by its name. Of columns, views over what is locked are left out, too; what
    // has none counts as locked then.
    let is_known = left_out.iter().all(|(of_columns, count)| *count <= named || (*of_columns && named > 0));
    let kept =
        Kept { tables, columns, routines, views, indexes, partitions, locked, triggered, referred, checks, bodies };
    Ok(is_known.then_some(kept))
}

type Row = Vec<String>;

/// The rows of a query of the gateway's own, as text.
pub(super) async fn rows_of(
    packets: &mut Packets,
    agreed: Capabilities,
    query: &str,
    left: &mut usize,
) -> Result<Vec<Row>, UpstreamError> {
    let odd = |e: &dyn std::fmt::Display| UpstreamError::Misbehaved(e.to_string());
    packets.next = 0;
    let head: &[u8] = if agreed.has(Capabilities::QUERY_ATTRIBUTES) { b"\x03\0\x01" } else { b"\x03" };
    packets.write(&[head, query.as_bytes()].concat()).await?;
    let packet = packets.read(LONGEST).await?;
    let columns = match codec::upstream::first(&packet, agreed).map_err(|e| odd(&e))? {
        First::Columns(count) => count,
        First::Error(_) => return Err(upstream::refused(&packet, agreed)),
        First::Ok(_) => return Ok(Vec::new()),
        First::Progress(_) | First::LocalFile(_) => {
            return Err(odd(&"no rows in answer to a question"));
        }
    };
    for _ in 0..columns {
        packets.read(LONGEST).await?;
    }
    if !agreed.has(Capabilities::DEPRECATE_EOF) {
        packets.read(LONGEST).await?;
    }
    let mut out = Vec::new();
    loop {
        let packet = packets.read(LONGEST).await?;
        if packet.first() == Some(&0xff) {
            return Err(upstream::refused(&packet, agreed));
        }
        if codec::upstream::is_end_of_rows(&packet, agreed) {
            return Ok(out);
        }
        *left = left.checked_sub(packet.len()).ok_or_else(|| odd(&"its schema is too large"))?;
        let mut r = Reader::new(&packet, "row");
        let mut row = Vec::new();
        for _ in 0..columns {
            let cell = rows::text_cell(&mut r).map_err(|e| odd(&e))?.unwrap_or_default();
            row.push(String::from_utf8_lossy(cell).into_owned());
        }
        out.push(row);
    }
}

fn build(generation: u64, tables: &[Row], columns: &[Row], routines: &[Row]) -> Catalogue {
    let mut by_table: BTreeMap<(&str, &str), Vec<Column>> = BTreeMap::new();
    for row in columns {
        if let [schema, table, column, ..] = row.as_slice() {
            let of = by_table.entry((schema, table)).or_default();
            let number = i16::try_from(of.len() + 1).unwrap_or(i16::MAX);
            of.push(Column { number, name: column.to_lowercase().into(), type_oid: 0 });
        }
    }
    let relations = (1..).zip(tables).filter_map(|(oid, row)| {
        let [schema, name, kind, ..] = row.as_slice() else { return None };
        let kind = if kind.contains("VIEW") { RelationKind::View } else { RelationKind::Table };
        let columns = by_table.remove(&(schema.as_str(), name.as_str())).unwrap_or_default();
        Some(Relation { oid, schema: schema.as_str().into(), name: name.as_str().into(), kind, columns })
    });
    let relations: Vec<_> = relations.collect();
    let functions = (1..).zip(routines).filter_map(|(oid, row)| {
        let [schema, name, ..] = row.as_slice() else { return None };
        let name: Name = name.to_lowercase().into();
        Some(Function { oid, schema: schema.as_str().into(), name, volatility: Volatility::Volatile, of_row: false })
    });
    Catalogue::new(generation, relations, functions)
}

/// What each column of a view is made of, and by what each view decides, read out of the view's definition. Of a definition that is
/// not understood, or not shown to the gateway's account, there is nothing: whoever asks takes its columns for made of everything.
#[allow(clippy::type_complexity, reason = "two answers for each view")]
fn view_columns(
    catalogue: &Arc<Catalogue>,
    views: &[Row],
    version: &str,
    lower_case_names: bool,
) -> (HashMap<(u32, i16), BTreeSet<SourceColumn>>, HashMap<u32, BTreeSet<SourceColumn>>) {
    let environment = Environment {
        catalogue: Arc::clone(catalogue),
        upstream: Upstream::from_greeting(version).unwrap_or_default(),
        lower_case_names,
        ..Environment::default()
    };
    let (mut out, mut weighs) = (HashMap::new(), HashMap::new());
    for row in views {
        let [schema, name, definition, ..] = row.as_slice() else { continue };
        let Some(view) = catalogue.named(schema, name).filter(|_| !OWN.contains(&schema.as_str())) else { continue };
        let analysis = mysql::analyse(definition.as_bytes(), &environment);
        // What a function shows is not known.
        if analysis.facts.accesses.iter().any(|a| a.action == Action::Call) {
            continue;
        }
        let statement = analysis.statements.first().filter(|s| s.text.is_some());
        let lineage = statement.and_then(|s| s.lineage.as_ref());
        weighs.extend(statement.filter(|_| lineage.is_some()).map(|s| (view.oid, s.reads.weighs.clone())));
        for (index, column) in view.columns.iter().enumerate() {
            let Some(lineage) = lineage else { continue };
            let sources = match lineage.outputs.get(index) {
                Some(Output::Made(sources)) if lineage.outputs.len() == view.columns.len() => sources.clone(),
                Some(Output::Made(_) | Output::Star) | None => lineage.anywhere.clone(),
            };
            out.insert((view.oid, column.number), sources);
        }
    }
    (out, weighs)
}

fn table_of<'c>(catalogue: &'c Catalogue, row: &[String]) -> Option<&'c Relation> {
    let [schema, table, ..] = row else { return None };
    catalogue.named(schema, table)
}

/// A column by the names in a row of [`COLUMNS`].
fn column_of<'c>(catalogue: &'c Catalogue, row: &Row) -> Option<(&'c Relation, i16)> {
    let [schema, table, column, ..] = row.as_slice() else { return None };
    let relation = catalogue.named(schema, table)?;
    let column = column.to_lowercase();
    let known = relation.columns.iter().find(|c| *c.name == *column)?;
    Some((relation, known.number))
}

/// Columns that `*` does not show.
fn invisible_columns(catalogue: &Catalogue, columns: &[Row]) -> Vec<(u32, i16)> {
    let rows = columns.iter().filter(|row| row.get(3).is_some_and(|invisible| invisible == "1"));
    rows.filter_map(|row| column_of(catalogue, row)).map(|(relation, number)| (relation.oid, number)).collect()
}

/// What each generated column is made of, and each that has an expression for its default: the columns of its own table that
/// are named there, in backticks as both makes keep them.
fn generated_columns(catalogue: &Catalogue, columns: &[Row]) -> Vec<((u32, i16), BTreeSet<SourceColumn>)> {
    let mut out = Vec::new();
    for row in columns.iter().filter(|row| row.get(4).is_some_and(|of| of.contains('`'))) {
        let (Some((relation, number)), Some(of)) = (column_of(catalogue, row), row.get(4)) else { continue };
        if relation.kind == RelationKind::View || OWN.contains(&&*relation.schema) {
            continue;
        }
        let of = of.to_lowercase();
        let unread = of.split(' ').any(|word| word == UNREAD);
        let is_named = |c: &Column| unread || of.contains(&format!("`{}`", c.name.replace('`', "``")));
        let named = |c: &&Column| c.number != number && is_named(c);
        let source = |c: &Column| SourceColumn {
            schema: relation.schema.clone(),
            table: relation.name.clone(),
            column: Some(c.name.clone()),
        };
        out.push(((relation.oid, number), relation.columns.iter().filter(named).map(source).collect()));
    }
    out
}
