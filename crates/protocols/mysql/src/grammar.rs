//! `doorward_sql`'s reader of MySQL, for the upstream in use, with the settings of a session.
//!
//! Known limit: a session's own temporary tables are asked for like tables of their database.
use crate::facts::{Environment, Unreadable};
use doorward_model::{Access, Action, Facts, Resource};
use doorward_sql::{
    Analysis, Catalogue,
    mysql::{self, AnalysisCache, SqlMode, Upstream, readable_charset},
};
use std::sync::Arc;

/// Texts longer than this are read elsewhere, in bytes.
const INLINE: usize = 16 * 1024;

/// Reads texts by the grammar of the upstream in use. Pure: the same text in the same environment has the same meaning.
#[derive(Clone, Debug)]
pub struct Grammar {
    catalogue: Arc<Catalogue>,
    lower_case_names: bool,
    cache: Arc<AnalysisCache>,
}

impl Grammar {
    /// A reader that knows these tables; `lower_case_names` where `lower_case_table_names` is not 0.
    pub const fn new(catalogue: Arc<Catalogue>, lower_case_names: bool, cache: Arc<AnalysisCache>) -> Self {
        Self { catalogue, lower_case_names, cache }
    }

    /// The tables that it knows.
    pub const fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// What `text` would do. `patient` is set where the caller of this may wait and has the stack for it.
    ///
    /// # Errors
    /// Why it was not read. [`Unreadable::Later`] only where not `patient`.
    pub fn read(&self, text: &[u8], environment: &Environment, patient: bool) -> Result<Arc<Analysis>, Unreadable> {
        let Ok(shown) = std::str::from_utf8(text) else {
            return Err(Unreadable::Refused("refused by Doorward: the statement is no UTF-8".into()));
        };
        let environment = self.environment(environment)?;
        if let Some(known) = self.cache.find(shown, &environment) {
            return Ok(known);
        }
        if !patient && text.len() > INLINE {
            return Err(Unreadable::Later);
        }
        let analysis = Arc::new(kill_is_ours(mysql::analyse(text, &environment)));
        self.cache.insert(shown, &environment, Arc::clone(&analysis));
        Ok(analysis)
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

/// KILL goes by our numbers, to sessions of the same caller alone, and never upstream: as Ctrl-C is everybody's.
fn kill_is_ours(analysis: Analysis) -> Analysis {
    match analysis.statements.as_slice() {
        [only] if only.kill.is_some() => {
            let connect = Access::new(Action::Connect, Resource::Connection);
            Analysis { facts: Arc::new(Facts::new(&analysis.facts.command, 1, vec![connect])), ..analysis }
        }
        _ => analysis,
    }
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

    fn grammar() -> Grammar {
        Grammar::new(Arc::default(), false, Arc::new(AnalysisCache::new(100, 1 << 20)))
    }

    fn read(text: &str, environment: &Environment) -> Result<Arc<Analysis>, Unreadable> {
        grammar().read(text.as_bytes(), environment, true)
    }

    #[test]
    fn what_goes_upstream_is_what_was_read() {
        let read_as = read("select /*!90000 1, */ 2 -- x", &environment()).unwrap();
        let sent = String::from_utf8(read_as.statements[0].text.as_deref().unwrap().to_vec()).unwrap();
        assert!(sent.contains("1") && sent.contains("2") && !sent.contains("--") && !sent.contains("/*"), "{sent}");
        assert_eq!(read("SELEKT 1", &environment()).unwrap().statements[0].text, None);
        let kill = read("KILL QUERY 7", &environment()).unwrap();
        assert_eq!(kill.statements[0].kill, Some(crate::facts::Kill { id: 7, query_only: true }));
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
        let soon = grammar().read(long.as_bytes(), &environment(), false);
        assert_eq!(soon, Err(Unreadable::Later));
    }
}
