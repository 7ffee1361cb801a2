//! `doorward_sql`'s reader of MySQL, for the upstream in use, with the settings of a session.
//!
//! Known limit: a session's own temporary tables are asked for like tables of their database.
use crate::facts::{Environment, Unreadable};
use doorward_model::{Access, Action, Facts, Resource};
use doorward_sql::{
    Analysis, Catalogue,
    mysql::{self, AnalysisCache, SqlMode, Upstream},
};
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, sync::Arc};

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
        let environment = self.environment(environment)?;
        let shown = shown(text);
        if let Some(known) = self.cache.find(&shown, &environment) {
            return Ok(known);
        }
        if !patient && text.len() > INLINE {
            return Err(Unreadable::Later);
        }
        let analysis = Arc::new(kill_is_ours(mysql::analyse(text, &environment)));
        self.cache.insert(&shown, &environment, Arc::clone(&analysis));
        Ok(analysis)
    }

    fn environment(&self, environment: &Environment) -> Result<mysql::Environment, Unreadable> {
        let refuse = |why: String| Unreadable::Refused(format!("refused by Doorward: {why}"));
        let upstream = Upstream::from_greeting(&environment.version)
            .ok_or_else(|| refuse(format!("the server's version `{}` is not read", environment.version)))?;
        let mode = SqlMode::parse(&environment.sql_mode)
            .map_err(|mode| refuse(format!("sql_mode `{mode}` changes how statements are read")))?;
        if !crate::facts::is_read(&environment.charset) {
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

/// A text for people. Drivers put bytes into string literals: what is no UTF-8 shows as U+FFFD.
///
/// INVARIANT: no two texts that may be forwarded show alike, since approvals are for what was shown: the digest tells
/// those with bytes apart, and what begins with a bracket is no SQL.
pub(crate) fn shown(text: &[u8]) -> Cow<'_, str> {
    let Err(_) = std::str::from_utf8(text) else { return String::from_utf8_lossy(text) };
    let digest = Sha256::digest(text);
    let mut out = String::with_capacity(text.len() + 84);
    out.push_str("[bytes, SHA-256 ");
    for byte in digest {
        out.push_str(&format!("{byte:02x}"));
    }
    out.push_str("] ");
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() && !out.ends_with('\u{fffd}') {
            out.push('\u{fffd}');
        }
    }
    Cow::Owned(out)
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
    fn bytes_in_strings_go_as_they_came_and_are_told_apart() {
        let read = |text: &[u8]| grammar().read(text, &environment(), true).unwrap();
        let sent = |a: &Analysis| a.statements.iter().find_map(|s| s.text.as_deref().map(<[u8]>::to_vec));
        let opaque = |a: &Analysis| a.facts.accesses.iter().any(|a| a.action == Action::Opaque);
        let one = read(b"insert into t values (_binary'\xe2'\xff\xfe\\'\\0', 1)");
        assert!(sent(&one).is_none(), "a quote ends the string, whatever stands before it");
        let text = b"insert into t values (_binary'\xe2\xff\xfe\\'\\0', 1)";
        let as_sent = sent(&read(text)).unwrap();
        assert!(as_sent.windows(8).any(|w| w == b"\xe2\xff\xfe''\\0'"), "{}", as_sent.escape_ascii());
        let other = b"insert into t values (_binary'\xe2\xff\xfd\\'\\0', 1)";
        assert!(shown(text).starts_with("[bytes") && shown(text) != shown(other), "{}", shown(text));
        for (text, why) in [
            (&b"select * from `a\xff`"[..], "a name"),
            (b"select 1 \xff", "a word"),
            (b"prepare p from 'select _binary\"\xff\"'", "a text within a text"),
            (b"select 1 into outfile '/a\xff'", "a path"),
        ] {
            assert!(opaque(&read(text)), "{why}");
        }
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
