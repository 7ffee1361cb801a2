//! What is asked of the server, and how.
use super::{Row, number, reach, text};
use crate::{
    postgres::{
        Endpoint,
        upstream::{self, UpstreamError},
    },
    stream::Stream,
};
use bytes::BytesMut;
use doorward_postgres::{
    codec::{self, UpstreamMessage},
    render,
};
use std::collections::HashMap;

/// How much a schema may be in all, in bytes, and how many rows.
const MOST: usize = 256 << 20;
const MOST_ROWS: usize = 4_000_000;

/// How often a question is asked again of which an answer waits for a lock.
const ATTEMPTS: u32 = 5;

/// Stands for one of the two below.
const LOCKED: &str = "{locked}";

/// Definitions are not told while the view, or a relation that it reads, is locked by whoever changes it, rewrites it or is
/// about to: of those that are locked now, none is asked for.
///
/// INVARIANT: a relation of which the definition is not told is unknown. It may be another one as soon as the lock is gone, and
/// whoever reads it waits till then.
const SEEN: &str = "SELECT l.relation FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database \
    WHERE d.datname = pg_catalog.current_database() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'";

/// Where the gateway's role may not look at locks.
const UNSEEN: &str = "SELECT c.oid AS relation FROM pg_catalog.pg_class c WHERE false";

const MAY_SEE: &str = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_locks', 'SELECT') \
    AND pg_catalog.has_function_privilege('pg_catalog.pg_lock_status()', 'EXECUTE')";

/// What is asked, in this order. Everything comes back as text. [`LOCKED`] stands for the relations that are locked.
///
/// Definitions and bodies that are longer than 1 MiB are not asked for: anybody may make one, and everybody would have to wait for it.
///
/// INVARIANT: what is not told is unknown, of functions as of views and generated columns.
const QUERIES: [&str; 16] = [
    "SET lock_timeout = '1s'",
    "SET statement_timeout = '60s'",
    "SELECT current_setting('search_path')",
    // From here on definitions of views name every schema but pg_catalog.
    "SET search_path = pg_catalog",
    "SELECT c.oid, n.nspname, c.relname, c.relkind \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)' ORDER BY 1",
    "WITH locked AS MATERIALIZED ({locked}) \
     SELECT a.attrelid, a.attnum, a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), \
       CASE WHEN a.attgenerated <> '' AND a.attrelid NOT IN (SELECT l.relation FROM locked l) \
         THEN (SELECT CASE WHEN octet_length(e.text) <= 1048576 THEN e.text END \
           FROM (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) OFFSET 0) e(text)) END, \
       a.attgenerated <> '' \
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> '' \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
       AND n.nspname !~ '^pg_(toast|temp)' ORDER BY 1, 2",
    "WITH locked AS MATERIALIZED ({locked}), held AS MATERIALIZED ( \
       SELECT d.objid FROM pg_catalog.pg_depend d \
       JOIN locked l ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = l.relation \
       WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass) \
     SELECT p.oid, n.nspname, p.proname, p.provolatile, \
       p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1 AND n.nspname <> 'pg_catalog' AND (p.provariadic <> 0 OR EXISTS ( \
         SELECT FROM pg_catalog.pg_type t WHERE t.oid = p.proargtypes[0] AND t.typtype IN ('c', 'd', 'p'))), \
       l.lanname, e.extname, \
       CASE WHEN n.nspname IN ('pg_catalog', 'information_schema') OR e.extname IS NOT NULL THEN NULL \
         WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, \
           a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) \
           FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid) \
         WHEN l.lanname = 'sql' AND p.oid IN (SELECT h.objid FROM held h) THEN NULL \
         WHEN octet_length(p.prosrc) > 1048576 THEN NULL \
         WHEN l.lanname = 'sql' THEN (SELECT CASE WHEN octet_length(f.text) <= 1048576 THEN f.text END \
           FROM (SELECT pg_catalog.pg_get_functiondef(p.oid) OFFSET 0) f(text)) \
         WHEN l.lanname = 'internal' AND p.prosrc ~ '^(multi)?range_constructor[0-3]$' THEN '' \
         WHEN l.lanname NOT IN ('internal', 'c', 'sql') THEN p.prosrc END, \
       u.relations, EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) o(own) WHERE o.own LIKE 'search_path=%'), \
       CASE WHEN p.pronargdefaults > 0 THEN pg_catalog.pg_get_expr(p.proargdefaults, 0) END \
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
     JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
     LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid \
       AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
     LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
     LEFT JOIN ( \
       SELECT s.refobjid, pg_catalog.string_agg(DISTINCT COALESCE(t.tgrelid::pg_catalog.text, \
         NULLIF(k.conrelid, 0)::pg_catalog.text, (SELECT pg_catalog.string_agg(c.attrelid::pg_catalog.text, ' ') \
           FROM pg_catalog.pg_attribute c WHERE c.atttypid = NULLIF(k.contypid, 0)), \
         a.adrelid::pg_catalog.text, i.indrelid::pg_catalog.text, o.polrelid::pg_catalog.text, \
         r.ev_class::pg_catalog.text, '0'), ' ') AS relations \
       FROM pg_catalog.pg_depend s \
       LEFT JOIN pg_catalog.pg_trigger t ON s.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND t.oid = s.objid \
       LEFT JOIN pg_catalog.pg_constraint k ON s.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = s.objid \
       LEFT JOIN pg_catalog.pg_attrdef a ON s.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND a.oid = s.objid \
       LEFT JOIN pg_catalog.pg_index i ON s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.indexrelid = s.objid \
       LEFT JOIN pg_catalog.pg_policy o ON s.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND o.oid = s.objid \
       LEFT JOIN pg_catalog.pg_rewrite r ON s.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = s.objid \
       WHERE s.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
         AND s.classid NOT IN ('pg_catalog.pg_proc'::pg_catalog.regclass, 0) GROUP BY 1 \
     ) u ON u.refobjid = p.oid ORDER BY 1",
    "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i ORDER BY 1, 2",
    "SELECT i.indrelid, i.indisprimary, i.indnkeyatts, i.indkey, \
       (SELECT string_agg(d.refobjsubid::text, ' ') FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid \
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid), \
       a.amname IN ('hash', 'gin', 'brin'), i.indisclustered, i.indisunique \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_am a ON a.oid = c.relam JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname !~ '^pg_(catalog|toast|temp)' ORDER BY i.indexrelid",
    "SELECT p.partrelid, p.partattrs FROM pg_catalog.pg_partitioned_table p ORDER BY 1",
    "SELECT d.objoid, d.objsubid, left(d.description, 1048576) FROM pg_catalog.pg_description d \
     WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.description ~* 'doorward:' \
     UNION ALL SELECT l.objoid, l.objsubid, CASE l.provider WHEN 'doorward' THEN 'doorward:' ELSE '' END || left(l.label, 1048576) \
     FROM pg_catalog.pg_seclabel l WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass \
       AND (l.provider = 'doorward' OR l.label ~* 'doorward:') ORDER BY 1, 2, 3",
    "SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r \
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class ORDER BY 1, 2",
    // A row that is there already may break, whatever is written, what is not validated, and what is not the same for ever: that has -1.
    // From PostgreSQL 17 on, an expression is told by who locks its table.
    "WITH locked AS MATERIALIZED ({locked}) \
     SELECT c.conrelid, CASE WHEN c.contype = 'n' OR c.contype = 'c' AND (NOT c.convalidated OR EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = c.oid \
           AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass) \
         OR CASE WHEN c.conrelid IN (SELECT l.relation FROM locked l) THEN true ELSE COALESCE(pg_catalog.pg_get_expr(c.conbin, c.conrelid) \
           ~* '[^'']::(date|time|interval|money|reg)|current_|local|now[(]|clock_|timeof|to_|age[(]|user|setting', true) END) \
         THEN '-1 ' ELSE '' END || COALESCE(NULLIF(pg_catalog.array_to_string(c.conkey, ' '), ''), '0'), \
       c.contype = 'f' FROM pg_catalog.pg_constraint c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace \
     WHERE (c.contype IN ('c', 'f', 'x') OR (c.contype = 'n' AND NOT c.convalidated)) \
       AND c.conrelid <> 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
     UNION ALL SELECT a.attrelid, a.attnum::pg_catalog.text, false FROM pg_catalog.pg_attribute a \
     JOIN pg_catalog.pg_class r ON r.oid = a.attrelid WHERE r.relispartition AND a.attnotnull AND a.attnum > 0 AND NOT a.attisdropped \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_attribute b ON b.attrelid = i.inhparent \
         WHERE i.inhrelid = a.attrelid AND b.attname = a.attname AND b.attnotnull) \
     UNION ALL SELECT p.polrelid, (SELECT pg_catalog.string_agg(DISTINCT d.refobjsubid::pg_catalog.text, ' ') \
       FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'n' \
         AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = p.polrelid), false \
     FROM pg_catalog.pg_policy p ORDER BY 1, 2",
    "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'v' \
       AND pg_catalog.array_to_string(c.reloptions, ' ') LIKE '%check_option=%' ORDER BY 1",
    // What policies read besides their own table.
    "SELECT DISTINCT p.polrelid, d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass, d.refobjid \
     FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid \
       AND d.refclassid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass) \
       AND NOT (d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = p.polrelid) ORDER BY 1, 2, 3",
    // Foreign keys by which rows change that are not named.
    "SELECT c.confrelid, pg_catalog.array_to_string(c.confkey, ' '), c.conrelid, pg_catalog.array_to_string(c.conkey, ' '), \
       c.confupdtype, c.confdeltype FROM pg_catalog.pg_constraint c \
     WHERE c.contype = 'f' AND (c.confupdtype IN ('c', 'n', 'd') OR c.confdeltype IN ('c', 'n', 'd')) ORDER BY 1, 2, 3, 4, 5, 6",
];

/// Where the relations are in the answers to [`QUERIES`].
const RELATIONS: usize = 4;

/// Definitions of these views. The server keeps what it reads for them locked against changes until the statement ends, and has
/// room for some thousands of such locks in all: so they are asked for in parts.
const DEFINITIONS: &str = "WITH locked AS MATERIALIZED ({locked}), held AS MATERIALIZED ( \
       SELECT l.relation FROM locked l UNION SELECT r.ev_class FROM pg_catalog.pg_rewrite r \
       JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid \
       JOIN locked l ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = l.relation) \
     SELECT v.oid, (SELECT CASE WHEN octet_length(d.text) <= 1048576 THEN d.text END \
         FROM (SELECT pg_catalog.pg_get_viewdef(v.oid) OFFSET 0) d(text)) \
     FROM pg_catalog.unnest('{views}'::pg_catalog.oid[]) v(oid) WHERE v.oid NOT IN (SELECT h.relation FROM held h)";
const AT_ONCE: usize = 200;

/// A log-in that reads a schema.
struct Reading {
    stream: Stream,
    bytes: usize,
    rows: usize,
}

pub(super) async fn read_schema(endpoint: &Endpoint, database: &str) -> Result<Vec<Vec<Row>>, UpstreamError> {
    let user = endpoint.connection.upstream.user.clone().unwrap_or_else(|| "postgres".into());
    let parameters =
        [("client_encoding", "UTF8"), ("application_name", "doorward")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let login = upstream::Login { user: &user, database, parameters: &parameters, version: (3, 0) };
    let greeted = upstream::connect(endpoint, &login).await?;
    let mut reading = Reading { stream: greeted.stream, bytes: 0, rows: 0 };
    let may_see = reading.ask(MAY_SEE).await?;
    let locked = if may_see.first().is_some_and(|row| text(row, 0) == "t") { SEEN } else { UNSEEN };
    let mut out = Vec::new();
    for query in QUERIES {
        out.push(reading.ask_patiently(&query.replace(LOCKED, locked)).await?);
    }
    if let Some(relations) = out.get_mut(RELATIONS) {
        reading.definitions(relations, locked).await?;
    }
    let mut goodbye = BytesMut::new();
    render::terminate(&mut goodbye);
    let _gone = upstream::send(&mut reading.stream, &goodbye).await;
    Ok(out)
}

impl Reading {
    /// Adds definitions to the rows of views.
    async fn definitions(&mut self, relations: &mut [Row], locked: &str) -> Result<(), UpstreamError> {
        let is_view = |row: &&Row| matches!(text(row, 3), "v" | "m") && !reach::is_own(text(row, 1));
        let views: Vec<u32> = relations.iter().filter(is_view).map(|row| number(row, 0)).collect();
        let mut told: HashMap<u32, Option<String>> = HashMap::new();
        for some in views.chunks(AT_ONCE) {
            let some: Vec<String> = some.iter().map(u32::to_string).collect();
            let query = DEFINITIONS.replace(LOCKED, locked).replace("{views}", &format!("{{{}}}", some.join(",")));
            let rows = self.ask_patiently(&query).await?;
            told.extend(rows.into_iter().map(|row| (number(&row, 0), row.into_iter().nth(1).flatten())));
        }
        for row in relations {
            let definition = told.remove(&number(row, 0)).flatten();
            row.push(definition);
        }
        Ok(())
    }

    /// Asks again where something was locked in between.
    async fn ask_patiently(&mut self, query: &str) -> Result<Vec<Row>, UpstreamError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.ask(query).await {
                // lock_not_available
                Err(UpstreamError::Refused { code, .. }) if code == "55P03" && attempt < ATTEMPTS => {}
                done => return done,
            }
        }
    }

    /// The rows of one question. An error of the server's leaves it ready for the next.
    #[allow(clippy::wildcard_enum_match_arm, reason = "answers to questions of our own: only rows and errors matter")]
    async fn ask(&mut self, query: &str) -> Result<Vec<Row>, UpstreamError> {
        let mut message = BytesMut::new();
        render::query(&mut message, query);
        upstream::send(&mut self.stream, &message).await?;
        let (mut rows, mut refused) = (Vec::new(), None);
        loop {
            let frame = upstream::read_long_frame(&mut self.stream).await?;
            self.bytes = self.bytes.saturating_add(frame.len());
            let message = codec::upstream_message(&frame).map_err(|e| UpstreamError::Misbehaved(e.to_string()))?;
            match message {
                UpstreamMessage::DataRow(row) => {
                    self.rows += 1;
                    let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
                    rows.push(row.cells().map(|c| c.map(text)).collect());
                }
                UpstreamMessage::ErrorResponse(_) => refused = Some(upstream::refused(&frame)),
                UpstreamMessage::ReadyForQuery { .. } => return refused.map_or(Ok(rows), Err),
                _ => {}
            }
            if self.bytes > MOST || self.rows > MOST_ROWS {
                return Err(UpstreamError::Schema(format!(
                    "it is too large: more than {} MiB, or {MOST_ROWS} columns, functions and the like",
                    MOST >> 20
                )));
            }
        }
    }
}
