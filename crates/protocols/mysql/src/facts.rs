//! From a command to its facts: what is particular to this protocol.
//!
//! Texts are read by [`crate::grammar`]. Commands of old that carry no text are read as the statement that took their
//! place, so that one policy serves both.
use crate::codec::client::Command;
use doorward_model::Name;
use doorward_sql::{
    Effect, may_mix_rows,
    mysql::{SqlMode, readable_charset},
};
use doorward_sql_session::{Meaning, Part};
use std::sync::Arc;

pub use doorward_sql::Kill;

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

/// Why a text was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not understood, or a character set that cannot be read: words for the caller.
    Refused(String),
    /// The grammar does not accept it.
    Syntax(String),
    /// It takes long, and has to be read elsewhere: ask by [`crate::Question::Read`].
    Later,
}

/// Whether what it returns is made by statements that are not seen here, as many as they like: procedures, prepared
/// statements, blocks.
pub(crate) fn runs_others(part: &Part) -> bool {
    ["CALL", "EXECUTE", "BEGIN NOT ATOMIC"].iter().any(|word| part.is_or_runs(word))
}

/// Whether rows of several queries may come as one result: then a column is not all that stands in its place. Servers name it
/// as the column that is the first query's all the same. What is run and not seen here, or in a text within a text, may be any.
pub(crate) fn mixes_rows(meaning: &Meaning) -> bool {
    meaning.parts.iter().any(|part| {
        let named = part.names.iter().map(|(_, text)| text.as_deref().unwrap_or("union"));
        (runs_others(part) && part.names.is_empty()) || named.into_iter().any(may_mix_rows)
    }) || may_mix_rows(&meaning.text)
}

/// Whether its rows may be messages of statements before it.
pub(crate) fn shows_messages(part: &Part) -> bool {
    runs_others(part) || ["SHOW WARNINGS", "SHOW ERRORS"].iter().any(|word| part.is_or_runs(word))
}

/// Whether results can be told apart by their number: among others, a procedure returns as many as it likes.
pub(crate) fn has_one_result_each(meaning: &Meaning) -> bool {
    meaning.parts.len() == 1 || !meaning.parts.iter().any(runs_others)
}

/// Why no text could be read any more, were a setting set to this.
pub(crate) fn shuts(effect: &Effect) -> Option<String> {
    let Effect::Set { name, value: Some(value), .. } = effect else { return None };
    match &**name {
        "names" | "character_set" | "character_set_client" if !value.eq_ignore_ascii_case("default") => {
            (!is_read(value)).then(|| format!("character set `{value}` cannot be read safely: use utf8mb4"))
        }
        "sql_mode" => {
            SqlMode::parse(value).err().map(|mode| format!("sql_mode `{mode}` changes how statements are read"))
        }
        _ => None,
    }
}

/// Whether texts of a client in this character set are read. `latin1` would have to be decoded: its other half is no UTF-8.
pub(crate) fn is_read(charset: &str) -> bool {
    readable_charset(charset) && !charset.eq_ignore_ascii_case("latin1")
}

/// Whether what follows in the same text would have to be read under something else.
pub(crate) fn changes_reading(part: &Part) -> bool {
    &*part.command == "USE"
        || part.effects.iter().any(|e| match e {
            Effect::Set { name, .. } => {
                &**name == "sql_mode" || &**name == "names" || name.starts_with("character_set")
            }
            Effect::Prepare { .. }
            | Effect::Deallocate { .. }
            | Effect::SchemaChanged
            | Effect::ResetAll
            | Effect::Transaction(_)
            | Effect::ForgetPrepared
            | Effect::Declare { .. }
            | Effect::MadeTemporary { .. }
            | Effect::DroppedTemporary(_) => false,
        })
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

    #[test]
    fn names_of_old_commands_cannot_break_out_of_their_quotes() {
        assert_eq!(stands_for(&Command::DropDb(b"a`; x")).as_deref(), Some("DROP DATABASE `a``; x`"));
        assert_eq!(stands_for(&Command::InitDb(b"\xff")), None);
        assert_eq!(stands_for(&Command::Refresh(0x81)), None);
    }
}
