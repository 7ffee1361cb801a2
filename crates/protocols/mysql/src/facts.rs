//! From a command to its facts.
//!
//! Texts are read by a [`SqlReader`], which the gateway brings: the grammar is no part of the protocol. Commands of old
//! that carry no text are read as the statement that took their place, so that one policy serves both.
use crate::codec::client::Command;
use ahash::AHashMap;
use doorward_model::{Access, Action, Facts, Name, Resource};
use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

/// What has to be known of the session to read a text as the upstream will.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Environment {
    /// The version of the upstream's greeting.
    pub version: Arc<str>,
    /// `@@sql_mode`.
    pub sql_mode: Arc<str>,
    /// `@@character_set_client`.
    pub charset: Arc<str>,
    /// `DATABASE()`.
    pub schema: Option<Name>,
}

/// A column whose values may show in an output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceColumn {
    /// Schema of the relation.
    pub schema: Name,
    /// The relation.
    pub table: Name,
    /// The column; `None` for any column of the relation.
    pub column: Option<Name>,
}

/// Which columns one output of a statement may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Made of these columns and nothing else of any table.
    Made(BTreeSet<SourceColumn>),
    /// One or more outputs of a `*` that could not be expanded.
    Star,
}

/// The outputs of a statement that returns rows, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// In order.
    pub outputs: Vec<Output>,
    /// Every column that an output could come from: the bound for an output whose place is not known.
    pub anywhere: BTreeSet<SourceColumn>,
}

impl Lineage {
    /// The columns that output `index` of `total` may show.
    pub(crate) fn sources(&self, index: usize, total: usize) -> &BTreeSet<SourceColumn> {
        let is_exact = self.outputs.len() == total && !self.outputs.contains(&Output::Star);
        match self.outputs.get(index) {
            Some(Output::Made(sources)) if is_exact => sources,
            Some(Output::Made(_) | Output::Star) | None => &self.anywhere,
        }
    }
}

/// What a statement changes for later statements, once it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `SET SESSION name = …`, `SET NAMES …` (`names`): the upstream reports the value.
    Set {
        /// The variable, lower case.
        name: Name,
    },
    /// `PREPARE name FROM …`.
    Prepare {
        /// The name.
        name: Name,
        /// What it would do.
        meaning: Arc<Meaning>,
    },
    /// `DEALLOCATE PREPARE name`.
    Deallocate {
        /// The name.
        name: Name,
    },
    /// The schema changed in some way.
    SchemaChanged,
}

/// `KILL [CONNECTION | QUERY] number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The number as the caller knows it.
    pub id: u64,
    /// Only what runs, not the session.
    pub query_only: bool,
}

/// One statement of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The command as users name it.
    pub command: Name,
    /// What goes upstream in place of the caller's text: the statement as it was read. `None`: nothing may be sent.
    pub text: Option<Arc<[u8]>>,
    /// What its rows show.
    pub lineage: Option<Lineage>,
    /// Columns whose values it would carry to where no mask reaches them.
    pub moves: BTreeSet<SourceColumn>,
    /// What it changes for later statements.
    pub effects: Vec<Effect>,
    /// `EXECUTE name`: what was prepared under that name in this session.
    pub executes: Option<Name>,
    /// The caller's own file that the upstream may ask for.
    pub upload: Option<Name>,
    /// The upstream knows connections by other numbers than the caller.
    pub kill: Option<Kill>,
}

/// What a text means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The caller's text, for people.
    pub text: Arc<str>,
    /// The rights it asks for.
    pub facts: Arc<Facts>,
    /// Its statements.
    pub statements: Vec<Statement>,
}

/// Why a text was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not understood, or a character set that cannot be read: words for the caller.
    Refused(String),
    /// The grammar does not accept it.
    Syntax(String),
    /// It takes long, and has to be read elsewhere: ask again by [`crate::session::Event::Read`].
    Later,
}

/// Reads texts. Pure: the same text in the same environment has the same meaning.
pub trait SqlReader: Debug + Send + Sync {
    /// What `text` would do. `patient` is set where the caller of this may wait and has the stack for it.
    ///
    /// # Errors
    /// Why it was not read. [`Unreadable::Later`] only where not `patient`.
    fn read(&self, text: &[u8], environment: &Environment, patient: bool) -> Result<Arc<Meaning>, Unreadable>;

    /// The columns of a table or view, where they are known.
    fn columns(&self, schema: &str, table: &str) -> Option<Vec<Name>>;

    /// The columns of other tables that a view's column is made of; none for those of tables.
    fn behind(&self, _schema: &str, _view: &str, _column: &str) -> Vec<SourceColumn> {
        Vec::new()
    }
}

impl Meaning {
    /// Something without a text of its own.
    pub(crate) fn without_text(text: &str, facts: &Arc<Facts>) -> Self {
        let statement = Statement { command: facts.command.clone(), ..Statement::default() };
        Self { text: text.into(), facts: Arc::clone(facts), statements: vec![statement] }
    }

    /// The text that goes upstream: what was read, and nothing of what the caller wrote.
    pub(crate) fn forwarded(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for (i, statement) in self.statements.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b"; ");
            }
            out.extend_from_slice(statement.text.as_deref()?);
        }
        Some(out)
    }

    /// Whether results can be told apart by their number: among others, a procedure returns as many as it likes.
    pub(crate) fn has_one_result_each(&self) -> bool {
        self.statements.len() == 1
            || !self.statements.iter().any(|s| s.command.starts_with("CALL") || s.command.starts_with("EXECUTE"))
    }

    /// The same with what only the session knows: what `EXECUTE name` stands for.
    pub(crate) fn resolve(self: &Arc<Self>, prepared: &AHashMap<Name, Arc<Self>>) -> Arc<Self> {
        if self.statements.iter().all(|s| s.executes.is_none()) {
            return Arc::clone(self);
        }
        let mut accesses = self.facts.accesses.clone();
        let mut statements = self.statements.clone();
        for i in 0..statements.len() {
            let Some(name) = statements.get(i).and_then(|s| s.executes.clone()) else { continue };
            // Prepared earlier in the same text: not yet known to the session, and the latest counts.
            let here = self.statements.iter().take(i).flat_map(|s| &s.effects).rev().find_map(|e| match e {
                Effect::Prepare { name: n, meaning } if *n == name => Some(meaning),
                Effect::Prepare { .. } | Effect::Set { .. } | Effect::Deallocate { .. } | Effect::SchemaChanged => None,
            });
            match here.or_else(|| prepared.get(&name)) {
                Some(of) => {
                    accesses.extend(of.facts.accesses.iter().cloned());
                    if let (Some(statement), Some(inner)) = (statements.get_mut(i), of.statements.first()) {
                        statement.lineage = inner.lineage.clone();
                        statement.moves.extend(inner.moves.iter().cloned());
                        statement.effects.extend(inner.effects.iter().cloned());
                        statement.upload = inner.upload.clone();
                    }
                }
                None => accesses.push(opaque(&format!("EXECUTE of `{name}`, which this session has not prepared"))),
            }
        }
        let facts = Arc::new(Facts::new(&self.facts.command, self.facts.statements, accesses));
        Arc::new(Self { text: Arc::clone(&self.text), facts, statements })
    }
}

pub(crate) fn opaque(what: &str) -> Access {
    Access::new(Action::Opaque, Resource::Opaque { what: what.into() })
}

/// The statement that took the place of a command: what is decided, and (but for `COM_FIELD_LIST`) what is sent.
/// `None` for a name that is no UTF-8.
pub(crate) fn stands_for(command: &Command<'_>) -> Option<String> {
    let quoted = |name: &[u8]| std::str::from_utf8(name).ok().map(|n| format!("`{}`", n.replace('`', "``")));
    Some(match command {
        Command::InitDb(name) => format!("USE {}", quoted(name)?),
        Command::CreateDb(name) => format!("CREATE DATABASE {}", quoted(name)?),
        Command::DropDb(name) => format!("DROP DATABASE {}", quoted(name)?),
        Command::FieldList { table, .. } => format!("SHOW COLUMNS FROM {}", quoted(table)?),
        Command::ProcessInfo => "SHOW PROCESSLIST".to_owned(),
        Command::ProcessKill(id) => format!("KILL CONNECTION {id}"),
        Command::Shutdown => "SHUTDOWN".to_owned(),
        Command::Refresh(bits) => refresh(*bits)?,
        Command::Quit
        | Command::Query { .. }
        | Command::Statistics
        | Command::Debug
        | Command::Ping
        | Command::ChangeUser(_)
        | Command::Prepare(_)
        | Command::Execute(_)
        | Command::BulkExecute(_)
        | Command::LongData { .. }
        | Command::CloseStatement(_)
        | Command::ResetStatement(_)
        | Command::Fetch { .. }
        | Command::SetOption(_)
        | Command::ResetConnection
        | Command::Replication(_)
        | Command::Internal(_)
        | Command::Unknown(_) => return None,
    })
}

/// One thing at a time, as the clients ask for; the bits for hosts and threads have no statement any more.
fn refresh(bits: u8) -> Option<String> {
    let what = match bits {
        0x01 => "PRIVILEGES",
        0x02 => "LOGS",
        0x04 => "TABLES",
        0x10 => "STATUS",
        _ => return None,
    };
    Some(format!("FLUSH {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(text: &str, statements: Vec<Statement>) -> Arc<Meaning> {
        let facts = Arc::new(Facts::new("X", 1, vec![Access::new(Action::Connect, Resource::Connection)]));
        Arc::new(Meaning { text: text.into(), facts, statements })
    }

    #[test]
    fn what_is_sent_is_what_was_read() {
        let read = |text: Option<&str>| Statement { text: text.map(|t| t.as_bytes().into()), ..Statement::default() };
        assert_eq!(meaning("a", vec![read(Some("A")), read(Some("B"))]).forwarded().as_deref(), Some(&b"A; B"[..]));
        assert_eq!(meaning("a", vec![read(Some("A")), read(None)]).forwarded(), None);
        assert_eq!(meaning("-- nothing", vec![]).forwarded().as_deref(), Some(&b""[..]));
    }

    #[test]
    fn execute_asks_for_what_was_prepared() {
        let drop = Arc::new(Facts::new("DROP", 1, vec![Access::new(Action::Drop, Resource::Connection)]));
        let inner = Arc::new(Meaning { text: "drop".into(), facts: drop, statements: vec![Statement::default()] });
        let run = Statement { executes: Some("p".into()), ..Statement::default() };
        let asked = |m: &Arc<Meaning>, known: &AHashMap<Name, Arc<Meaning>>| {
            m.resolve(known).facts.accesses.iter().map(|a| a.action).collect::<Vec<_>>()
        };
        let execute = meaning("EXECUTE p", vec![run.clone()]);
        assert!(asked(&execute, &AHashMap::new()).contains(&Action::Opaque));
        let known = AHashMap::from_iter([(Name::from("p"), Arc::clone(&inner))]);
        assert!(asked(&execute, &known).contains(&Action::Drop));
        let prepare = Effect::Prepare { name: "p".into(), meaning: inner };
        let both = meaning("…", vec![Statement { effects: vec![prepare], ..Statement::default() }, run]);
        assert!(asked(&both, &AHashMap::new()).contains(&Action::Drop));
    }

    #[test]
    fn names_of_old_commands_cannot_break_out_of_their_quotes() {
        assert_eq!(stands_for(&Command::DropDb(b"a`; x")).as_deref(), Some("DROP DATABASE `a``; x`"));
        assert_eq!(stands_for(&Command::InitDb(b"\xff")), None);
        assert_eq!(stands_for(&Command::Refresh(0x81)), None);
    }
}
