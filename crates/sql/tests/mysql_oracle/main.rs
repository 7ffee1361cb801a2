//! The real servers say whether we read as they do.
//!
//! Each statement of the corpus is run as it is and as it was printed, on a database that is made anew: the answers, their
//! columns and what the database holds afterwards have to be the same. Where the server says which column an output is of,
//! our lineage has to know; where it prints the query as it resolved it, our facts have to name its tables.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test: rows have the columns that were asked for")]
#![allow(clippy::print_stdout, reason = "says which servers there are none of")]
mod client;
mod grammar;

use anyhow::{Context as _, Result, ensure};
use client::{Answer, Client};
use doorward_model::{Action, Resource};
use doorward_sql::{
    Analysis, Catalogue, Column, Output, Relation, RelationKind, SourceColumn,
    mysql::{Environment, SqlMode, Upstream, analyse},
};
use doorward_testkit::{MySql, MySqlRelease, Unavailable};
use std::{collections::BTreeSet, sync::Arc};

const CORPUS: &str = include_str!("corpus.sql");
const SETUP: &str = include_str!("setup.sql");

/// A line of the corpus.
struct Case {
    text: String,
    mode: &'static str,
    /// The server refuses it too.
    fails: bool,
    /// Its rows change from run to run.
    volatile: bool,
}

fn cases(release: MySqlRelease) -> Vec<Case> {
    CORPUS.lines().filter(|l| !l.is_empty() && !l.starts_with("-- ")).filter_map(|l| case(l, release)).collect()
}

fn case(line: &'static str, release: MySqlRelease) -> Option<Case> {
    let mut out = Case { text: String::new(), mode: "", fails: false, volatile: false };
    let mut rest = line;
    while let Some(tagged) = rest.strip_prefix('@') {
        let Some((tag, after)) = tagged.split_once(' ') else { break };
        match tag {
            "maria" if !release.is_mariadb() => return None,
            "maria11" if release != MySqlRelease::MariaDb11 => return None,
            "mysql" if release.is_mariadb() => return None,
            "maria" | "maria11" | "mysql" => {}
            "fails" => out.fails = true,
            "volatile" => out.volatile = true,
            _ => match tag.strip_prefix("mode=") {
                Some(mode) => out.mode = mode,
                None => break,
            },
        }
        rest = after;
    }
    out.text = rest.replace('⏎', "\n");
    Some(out)
}

struct Oracle {
    server: MySql,
    upstream: Upstream,
    catalogue: Arc<Catalogue>,
}

impl Oracle {
    fn start(release: MySqlRelease) -> Result<Option<Self>> {
        let server =
            match MySql::options().release(release).database("shop").setting("--innodb-flush-method=nosync").start() {
                Ok(server) => server,
                Err(e) if e.is::<Unavailable>() => {
                    println!("SKIP {release:?}: {e}");
                    return Ok(None);
                }
                Err(e) => return Err(e),
            };
        let upstream = Upstream::from_greeting(server.version()).context("a version")?;
        let mut out = Self { server, upstream, catalogue: Arc::default() };
        out.reset()?;
        out.catalogue = Arc::new(out.load_catalogue()?);
        Ok(Some(out))
    }

    fn client(&self, mode: &str) -> Result<Client> {
        let mut client = Client::connect(&self.server.socket(), "shop")?;
        client.query(b"SET NAMES utf8mb4")?;
        client.query(format!("SET SESSION sql_mode = '{mode}'").as_bytes())?;
        Ok(client)
    }

    fn reset(&self) -> Result<()> {
        let mut client = Client::connect(&self.server.socket(), "mysql")?;
        let own = if self.upstream.is_mariadb() { "-- maria " } else { "-- mysql " };
        for line in SETUP.lines().filter(|l| !l.is_empty()) {
            let line = line.strip_prefix(own).unwrap_or(line);
            if line.starts_with("-- ") {
                continue;
            }
            let answers = client.query(line.as_bytes())?;
            ensure!(!answers.iter().any(|a| matches!(a, Answer::Error(_))), "{line}: {answers:?}");
        }
        Ok(())
    }

    fn load_catalogue(&self) -> Result<Catalogue> {
        let mut client = self.client("")?;
        let answers = client.query(
            b"SELECT table_schema, table_name, column_name FROM information_schema.columns \
              WHERE table_schema IN ('shop', 'other', 'fixed') AND extra NOT LIKE '%INVISIBLE%' ORDER BY 1, 2, ordinal_position",
        )?;
        let Some(Answer::Rows { rows, .. }) = answers.first() else { anyhow::bail!("no columns: {answers:?}") };
        let mut relations: Vec<Relation> = Vec::new();
        for row in rows {
            let cell = |i: usize| String::from_utf8_lossy(row[i].as_deref().unwrap_or_default()).into_owned();
            if relations.last().is_none_or(|r| *r.schema != *cell(0) || *r.name != *cell(1)) {
                relations.push(Relation {
                    oid: u32::try_from(relations.len())? + 1,
                    schema: cell(0).into(),
                    name: cell(1).into(),
                    kind: RelationKind::Table,
                    columns: Vec::new(),
                });
            }
            let columns = &mut relations.last_mut().context("a relation")?.columns;
            let number = i16::try_from(columns.len())? + 1;
            columns.push(Column { number, name: cell(2).into(), type_oid: 0 });
        }
        Ok(Catalogue::new(1, relations, []))
    }

    fn environment(&self, mode: &str) -> Environment {
        Environment {
            catalogue: Arc::clone(&self.catalogue),
            database: Some("shop".into()),
            upstream: self.upstream,
            mode: SqlMode::parse(mode).unwrap(),
            ..Environment::default()
        }
    }

    /// What the databases hold.
    fn state(&self) -> Result<Vec<Vec<Answer>>> {
        let mut client = self.client("")?;
        let mut out = Vec::new();
        let tables = client.query(
            b"SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables \
              WHERE table_schema IN ('shop', 'other', 'fresh') AND table_type = 'BASE TABLE' ORDER BY 1",
        )?;
        if let Some(Answer::Rows { rows, .. }) = tables.first() {
            for row in rows {
                let name = String::from_utf8_lossy(row[0].as_deref().unwrap_or_default()).into_owned();
                out.push(client.query(format!("SELECT * FROM {name} ORDER BY 1").as_bytes())?);
            }
        }
        for query in [
            "SELECT table_schema, table_name, column_name, column_default, is_nullable, column_type, extra, collation_name \
             FROM information_schema.columns WHERE table_schema IN ('shop', 'other', 'fresh') ORDER BY 1, 2, ordinal_position",
            "SELECT table_schema, table_name, view_definition FROM information_schema.views WHERE table_schema = 'shop' ORDER BY 1, 2",
            "SELECT table_name, index_name, column_name, sub_part FROM information_schema.statistics WHERE table_schema IN ('shop', 'fresh') ORDER BY 1, 2, seq_in_index",
            "SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema IN ('shop', 'fresh') ORDER BY 1",
            "SELECT trigger_name, event_object_table FROM information_schema.triggers WHERE trigger_schema = 'shop' ORDER BY 1",
            "SELECT event_name, event_definition IS NULL FROM information_schema.events WHERE event_schema = 'shop' ORDER BY 1",
            "SELECT grantee, privilege_type FROM information_schema.user_privileges WHERE grantee LIKE '%bob%' ORDER BY 1, 2",
            "SELECT grantee, table_schema, privilege_type FROM information_schema.schema_privileges WHERE grantee LIKE '%bob%' ORDER BY 1, 2, 3",
        ] {
            out.push(client.query(query.as_bytes())?);
        }
        // How the server works its own views out is its own business.
        for answer in out.iter_mut().flatten() {
            if let Answer::Rows { columns, .. } = answer {
                columns.clear();
            }
        }
        Ok(out)
    }

    fn run(&self, text: &[u8], mode: &str, changes: bool) -> Result<(Vec<Answer>, Vec<Vec<Answer>>)> {
        if changes {
            self.reset()?;
        }
        for file in std::fs::read_dir(self.server.files())? {
            std::fs::remove_file(file?.path())?;
        }
        let answers = self.client(mode)?.query(text)?;
        let state = if changes { self.state()? } else { Vec::new() };
        Ok((answers, state))
    }

    fn check(&self, case: &Case) -> std::result::Result<(), String> {
        let env = self.environment(case.mode);
        let text = case.text.replace("$DIR", &self.server.files().display().to_string());
        let analysis = analyse(text.as_bytes(), &env);
        let printed = printed(&analysis).ok_or_else(|| format!("not understood: {:?}", analysis.facts.accesses))?;
        let show = String::from_utf8_lossy(&printed).into_owned();
        let again = analyse(&printed, &env);
        if self::printed(&again).as_deref() != Some(&printed) || again.facts != analysis.facts {
            return Err(format!("is no fixed point: {show}\n  {:?}\n  {:?}", analysis.facts, again.facts));
        }
        let changes =
            !matches!(&*analysis.facts.command, "SELECT" | "EXPLAIN") && !analysis.facts.command.starts_with("SHOW");
        let fail = |e: anyhow::Error| format!("{e:#}: {show}");
        let (mut before, state_before) = self.run(text.as_bytes(), case.mode, changes).map_err(fail)?;
        let (mut after, state_after) = self.run(&printed, case.mode, changes).map_err(fail)?;
        let failed = before.iter().any(|a| matches!(a, Answer::Error(_)));
        if failed != case.fails {
            return Err(format!("the server says {before:?}; printed: {show}"));
        }
        if case.volatile {
            for answer in before.iter_mut().chain(&mut after) {
                if let Answer::Rows { rows, .. } = answer {
                    rows.clear();
                }
            }
        }
        for answer in before.iter_mut().chain(&mut after) {
            if let Answer::Rows { columns, .. } = answer {
                // MySQL keeps a blank behind some outputs' names.
                columns.iter_mut().for_each(|c| c.name = c.name.trim_end().to_owned());
            }
        }
        if before != after {
            return Err(format!("answers differ: {show}\n  {before:?}\n  {after:?}"));
        }
        if state_before != state_after {
            let differ: Vec<_> = state_before.iter().zip(&state_after).filter(|(a, b)| a != b).collect();
            return Err(format!("leaves something else behind: {show}\n  {differ:?}"));
        }
        if failed {
            return Ok(());
        }
        self.check_lineage(&analysis, &before)?;
        self.check_tables(&analysis, &text, case.mode)
    }

    /// The server names the column of a table that an output is.
    fn check_lineage(&self, analysis: &Analysis, answers: &[Answer]) -> std::result::Result<(), String> {
        if answers.len() != analysis.statements.len() {
            return Ok(());
        }
        for (answer, statement) in answers.iter().zip(&analysis.statements) {
            let Answer::Rows { columns, .. } = answer else { continue };
            let Some(lineage) = &statement.lineage else {
                return Err("returns rows that we do not know of".to_owned());
            };
            let stars = lineage.outputs.iter().filter(|o| matches!(o, Output::Star)).count();
            // A plan is one output where it is a document, and a table of many whose values are none of rows.
            let is_plan = ["EXPLAIN", "ANALYZE"].iter().any(|word| statement.command.starts_with(word));
            if stars == 0 && lineage.outputs.len() != columns.len() && !(is_plan && lineage.anywhere.is_empty()) {
                return Err(format!("{} outputs, not {}", columns.len(), lineage.outputs.len()));
            }
            for (i, column) in columns.iter().enumerate() {
                let source = SourceColumn {
                    schema: column.schema.as_str().into(),
                    table: column.org_table.as_str().into(),
                    column: Some(column.org_name.to_lowercase().into()),
                };
                // Views and what the server makes up as it goes are not tables of ours.
                let known = self
                    .catalogue
                    .named(&source.schema, &source.table)
                    .is_some_and(|r| r.columns.iter().any(|c| c.name.to_lowercase() == column.org_name.to_lowercase()));
                if !known || lineage.anywhere.is_empty() && stars > 0 {
                    continue;
                }
                let holds = |set: &BTreeSet<SourceColumn>| {
                    set.contains(&source) || set.contains(&SourceColumn { column: None, ..source.clone() })
                };
                let ok = match lineage.outputs.get(i) {
                    Some(Output::Made(set)) if stars == 0 => holds(set),
                    _ => holds(&lineage.anywhere),
                };
                if !ok {
                    return Err(format!("output {i} is {source:?}, which is not in {:?}", lineage.outputs.get(i)));
                }
            }
        }
        Ok(())
    }

    /// The server prints the query with its tables resolved.
    fn check_tables(&self, analysis: &Analysis, text: &str, mode: &str) -> std::result::Result<(), String> {
        if &*analysis.facts.command != "SELECT" || text.contains(";") {
            return Ok(());
        }
        let fail = |e: anyhow::Error| format!("{e:#}");
        let mut client = self.client(mode).map_err(fail)?;
        let explain = if self.upstream.is_mariadb() { "EXPLAIN EXTENDED " } else { "EXPLAIN " };
        client.query(format!("{explain}{text}").as_bytes()).map_err(fail)?;
        let warnings = client.query(b"SHOW WARNINGS").map_err(fail)?;
        let Some(Answer::Rows { rows, .. }) = warnings.first() else { return Ok(()) };
        let note = rows.iter().find(|r| r[1].as_deref() == Some(b"1003")).and_then(|r| r[2].clone());
        let Some(note) = note else { return Ok(()) };
        let resolved = analyse(&note, &self.environment(mode));
        let tables = |a: &Analysis| -> BTreeSet<Resource> {
            let tables = a.facts.accesses.iter().filter(|a| a.action == Action::Select);
            tables.filter(|a| matches!(a.resource, Resource::Table { .. })).map(|a| a.resource.clone()).collect()
        };
        let (ours, theirs) = (tables(analysis), tables(&resolved));
        // It looks into views, which we do not.
        if ours.iter().any(|r| r.local_id() == "shop.v") {
            return Ok(());
        }
        let real: Vec<_> = theirs
            .difference(&ours)
            .filter(|r| matches!(r, Resource::Table { schema, name } if self.catalogue.named(schema, name).is_some()))
            .collect();
        if real.is_empty() {
            Ok(())
        } else {
            Err(format!("the server reads {real:?} too: {}", String::from_utf8_lossy(&note)))
        }
    }
}

/// All of what is forwarded, if all was understood.
fn printed(analysis: &Analysis) -> Option<Vec<u8>> {
    let texts: Option<Vec<&[u8]>> = analysis.statements.iter().map(|s| s.text.as_deref()).collect();
    texts.map(|t| t.join(&b"; "[..]))
}

fn corpus_against(release: MySqlRelease) -> Result<()> {
    let Some(oracle) = Oracle::start(release)? else { return Ok(()) };
    let cases = cases(release);
    let wrong: Vec<String> =
        cases.iter().filter_map(|case| oracle.check(case).err().map(|e| format!("{}\n  {e}", case.text))).collect();
    ensure!(wrong.is_empty(), "{} of {} on {release:?}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    println!("{} statements on {release:?} {}", cases.len(), oracle.server.version());
    Ok(())
}

#[test]
fn mariadb_10_reads_what_we_read() -> Result<()> {
    corpus_against(MySqlRelease::DebianMariaDb)
}

#[test]
fn mariadb_11_reads_what_we_read() -> Result<()> {
    corpus_against(MySqlRelease::MariaDb11)
}

#[test]
fn mysql_9_reads_what_we_read() -> Result<()> {
    corpus_against(MySqlRelease::MySql9)
}
