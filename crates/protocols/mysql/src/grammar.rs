//! `doorward_sql`'s reader of MySQL behind [`SqlReader`].
//!
//! Known limit: a session's own temporary tables are asked for like tables of their database.
use crate::facts::{self, Environment, Meaning, SqlReader, Unreadable};
use doorward_model::{Access, Action, Facts, Name, Resource};
use doorward_sql::{
    Analysis, Catalogue, Effect, Output, Reference, RelationKind, SourceColumn, Statement,
    mysql::{self, SqlMode, Upstream, readable_charset},
};
use std::sync::Arc;

/// Texts longer than this are read elsewhere, in bytes.
const INLINE: usize = 16 * 1024;

/// Schemas of the server itself.
const OWN: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Reads texts by the grammar of the upstream in use.
#[derive(Clone, Debug)]
pub struct Grammar {
    catalogue: Arc<Catalogue>,
    lower_case_names: bool,
}

impl Grammar {
    /// A reader that knows these tables; `lower_case_names` where `lower_case_table_names` is not 0.
    pub const fn new(catalogue: Arc<Catalogue>, lower_case_names: bool) -> Self {
        Self { catalogue, lower_case_names }
    }

    fn everything(&self) -> Vec<facts::SourceColumn> {
        let tables = self.catalogue.relations();
        let tables = tables.filter(|r| r.kind == RelationKind::Table && !OWN.contains(&&*r.schema));
        tables.map(|r| facts::SourceColumn { schema: r.schema.clone(), table: r.name.clone(), column: None }).collect()
    }

    fn environment(&self, environment: &Environment) -> Result<mysql::Environment, Unreadable> {
        let refuse = |why: String| Unreadable::Refused(format!("refused by Doorward: {why}"));
        let upstream = Upstream::from_greeting(&environment.version)
            .ok_or_else(|| refuse(format!("the server's version `{}` is not read", environment.version)))?;
        let mode = SqlMode::parse(&environment.sql_mode)
            .map_err(|mode| refuse(format!("sql_mode `{mode}` changes how statements are read")))?;
        // `latin1` would have to be decoded; its other half is no UTF-8.
        if !readable_charset(&environment.charset) || &*environment.charset == "latin1" {
            return Err(refuse(format!("character set `{}` cannot be read safely: use utf8mb4", environment.charset)));
        }
        Ok(mysql::Environment {
            catalogue: Arc::clone(&self.catalogue),
            database: environment.schema.clone(),
            upstream,
            mode,
            lower_case_names: self.lower_case_names,
            ..mysql::Environment::default()
        })
    }
}

impl SqlReader for Grammar {
    fn read(&self, text: &[u8], environment: &Environment, patient: bool) -> Result<Arc<Meaning>, Unreadable> {
        if !patient && text.len() > INLINE {
            return Err(Unreadable::Later);
        }
        let Ok(shown) = std::str::from_utf8(text) else {
            return Err(Unreadable::Refused("refused by Doorward: the statement is no UTF-8".into()));
        };
        let environment = self.environment(environment)?;
        Ok(Arc::new(meaning(shown, &mysql::analyse(text, &environment))))
    }

    fn columns(&self, schema: &str, table: &str) -> Option<Vec<Name>> {
        let relation = self.catalogue.named(schema, table)?;
        Some(relation.columns.iter().map(|c| c.name.clone()).collect())
    }

    fn behind(&self, schema: &str, view: &str, column: &str) -> Vec<facts::SourceColumn> {
        if OWN.contains(&schema) || schema == "pg_temp" {
            return Vec::new();
        }
        // INVARIANT: what is not known may be a view that others have made since.
        let Some(view) = self.catalogue.named(schema, view) else { return self.everything() };
        if view.kind != RelationKind::View {
            return Vec::new();
        }
        let of = |name: &str| view.columns.iter().find(|c| *c.name == *name);
        let column = of(column).or_else(|| of(&column.to_lowercase()));
        match column.and_then(|column| self.catalogue.view_column(view.oid, column.number)) {
            Some(made_of) => made_of.iter().map(source).collect(),
            // INVARIANT: of what a view is made that is not known, it may be any column of any table.
            None => self.everything(),
        }
    }
}

fn meaning(text: &str, analysis: &Analysis) -> Meaning {
    // KILL goes by our numbers, to sessions of the same caller alone, and never upstream: as Ctrl-C is everybody's.
    let facts = match analysis.statements.as_slice() {
        [only] if only.kill.is_some() => {
            let connect = Access::new(Action::Connect, Resource::Connection);
            Arc::new(Facts::new(&analysis.facts.command, 1, vec![connect]))
        }
        _ => Arc::clone(&analysis.facts),
    };
    Meaning { text: text.into(), facts, statements: analysis.statements.iter().map(statement).collect() }
}

fn statement(s: &Statement) -> facts::Statement {
    facts::Statement {
        command: s.command.clone(),
        text: s.text.clone(),
        lineage: s.lineage.as_ref().map(|l| facts::Lineage {
            outputs: l.outputs.iter().map(output).collect(),
            anywhere: l.anywhere.iter().map(source).collect(),
        }),
        moves: s.moves.iter().map(source).collect(),
        effects: s.effects.iter().filter_map(effect).collect(),
        executes: s.references.iter().find_map(|r| match r {
            Reference::Prepared(name) => Some(name.clone()),
            Reference::Cursor(_) => None,
        }),
        upload: s.upload.clone(),
        kill: s.kill.map(|k| facts::Kill { id: k.id, query_only: k.query_only }),
    }
}

fn output(o: &Output) -> facts::Output {
    match o {
        Output::Made(sources) => facts::Output::Made(sources.iter().map(source).collect()),
        Output::Star => facts::Output::Star,
    }
}

fn source(s: &SourceColumn) -> facts::SourceColumn {
    facts::SourceColumn { schema: s.schema.clone(), table: s.table.clone(), column: s.column.clone() }
}

fn effect(e: &Effect) -> Option<facts::Effect> {
    Some(match e {
        Effect::Set { name, .. } => facts::Effect::Set { name: name.clone() },
        Effect::Prepare { name, analysis } => {
            facts::Effect::Prepare { name: name.clone(), meaning: Arc::new(meaning("", analysis)) }
        }
        Effect::Deallocate { name } => facts::Effect::Deallocate { name: name.clone() },
        Effect::SchemaChanged => facts::Effect::SchemaChanged,
        // Of the other dialect, or not followed here.
        Effect::ResetAll | Effect::ForgetPrepared | Effect::Declare { .. } | Effect::MadeTemporary { .. } => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            version: "9.7.4".into(),
            sql_mode: "STRICT_TRANS_TABLES".into(),
            charset: "utf8mb4".into(),
            schema: Some("orders".into()),
        }
    }

    fn read(text: &str, environment: &Environment) -> Result<Arc<Meaning>, Unreadable> {
        Grammar::new(Arc::default(), false).read(text.as_bytes(), environment, true)
    }

    #[test]
    fn what_goes_upstream_is_what_was_read() {
        let meaning = read("select /*!90000 1, */ 2 -- x", &environment()).unwrap();
        let sent = String::from_utf8(meaning.forwarded().unwrap()).unwrap();
        assert!(sent.contains("1") && sent.contains("2") && !sent.contains("--") && !sent.contains("/*"), "{sent}");
        assert_eq!(read("SELEKT 1", &environment()).unwrap().forwarded(), None);
        let kill = read("KILL QUERY 7", &environment()).unwrap();
        assert_eq!(kill.statements[0].kill, Some(facts::Kill { id: 7, query_only: true }));
    }

    #[test]
    fn what_cannot_be_read_safely_is_refused() {
        let base = environment();
        for unsafe_one in [
            Environment { charset: "gbk".into(), ..base.clone() },
            Environment { charset: "latin1".into(), ..base.clone() },
            Environment { sql_mode: "ORACLE".into(), ..base.clone() },
            Environment { version: "5.1.0".into(), ..base },
        ] {
            assert!(matches!(read("SELECT 1", &unsafe_one), Err(Unreadable::Refused(_))), "{unsafe_one:?}");
        }
        let long = format!("SELECT '{}'", "x".repeat(INLINE));
        let soon = Grammar::new(Arc::default(), false).read(long.as_bytes(), &environment(), false);
        assert_eq!(soon, Err(Unreadable::Later));
    }
}
