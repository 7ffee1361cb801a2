//! What is asked of the server, and how.
use super::Row;
use crate::postgres::{
    Endpoint,
    upstream::{self, UpstreamError},
};
use bytes::BytesMut;
use doorward_postgres::{
    codec::{self, UpstreamMessage},
    render,
};

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
pub(super) async fn read_schema(endpoint: &Endpoint, database: &str) -> Result<Vec<Vec<Row>>, UpstreamError> {
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
