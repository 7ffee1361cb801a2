//! What a StartupMessage asks for beyond a user and a database.
//!
//! Parameters that change meaning are decided like `SET`; harmless ones pass; unknown protocol
//! extensions are negotiated away; what is not understood is refused. Nothing is passed because
//! nobody thought of it.
use doorward_model::{Access, Action, Facts, Name, Resource};
use doorward_sql::postgres::{SettingClass, is_telling_setting, locks_what_is_read, setting_class};

/// What is done with a startup parameter. The list follows the protocol manual ("StartupMessage")
/// and the settings that drivers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sent on as it is.
    Harmless,
    /// Decided as `set` on the setting, then sent on.
    Decided,
    /// Decided as `assume` on the role it names, then sent on.
    Role,
    /// Only UTF-8 is let through.
    Encoding,
}

fn kind(name: &str) -> Kind {
    match name {
        "application_name"
        | "fallback_application_name"
        | "datestyle"
        | "timezone"
        | "intervalstyle"
        | "extra_float_digits"
        | "bytea_output"
        | "client_min_messages"
        | "geqo"
        | "jit"
        | "statement_timeout"
        | "lock_timeout"
        | "idle_in_transaction_session_timeout"
        | "idle_session_timeout"
        | "tcp_keepalives_idle"
        | "tcp_keepalives_interval"
        | "tcp_keepalives_count"
        | "tcp_user_timeout"
        | "default_transaction_read_only"
        | "default_transaction_isolation"
        | "default_transaction_deferrable"
        | "lc_monetary"
        | "lc_numeric"
        | "lc_time"
        | "lc_messages"
        | "xmloption"
        | "work_mem" => Kind::Harmless,
        "client_encoding" => Kind::Encoding,
        "role" | "session_authorization" => Kind::Role,
        _ => Kind::Decided,
    }
}

/// What options of the protocol begin with.
const EXTENSION: &str = "_pq_.";

/// A StartupMessage, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartupPlan {
    /// The user name the client gave. The upstream's own is used instead.
    pub user: String,
    /// The database the client gave.
    pub database: Option<String>,
    /// What is sent on, in order, besides user and database.
    pub parameters: Vec<(String, String)>,
    /// What has to be allowed besides `connect`.
    pub accesses: Vec<Access>,
    /// The search path asked for.
    pub search_path: Option<String>,
    /// The role asked for.
    pub role: Option<String>,
    /// The user to be taken for, as `SET SESSION AUTHORIZATION` has it.
    pub authorization: Option<String>,
    /// `_pq_.` options, which are negotiated away.
    pub unknown_options: Vec<String>,
    /// Whether the client wants to log in by `OAUTHBEARER` (`options=-c doorward.auth=oauth`).
    pub oauth: Option<bool>,
}

impl StartupPlan {
    /// Everything the start of the session asks for.
    pub fn facts(&self) -> Facts {
        let mut accesses = self.accesses.clone();
        accesses.push(Access::new(Action::Connect, Resource::Connection));
        Facts::new("connect", 0, accesses)
    }
}

/// Why a StartupMessage is refused, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupRefusal {
    /// No user name.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// Streaming the write-ahead log is not offered.
    #[error("replication connections are refused by Doorward: rows in the write-ahead log cannot be masked")]
    Replication,
    /// An encoding that we do not read.
    #[error("client_encoding `{0}` is refused by Doorward: only UTF8 can be read safely")]
    Encoding(String),
    /// A setting that changes how text is read.
    #[error("parameter `{0}` is refused by Doorward: it changes how statements are read")]
    Reading(String),
    /// A setting that has the server tell how it runs statements, which is decided in the session.
    #[error("parameter `{0}` is refused by Doorward at the start: SET it once the session has begun")]
    Telling(String),
    /// `options` that were not understood.
    #[error("startup options `{0}` were not understood; use `-c name=value`")]
    Options(String),
    /// A word of the protocol, written otherwise or where a setting is named.
    #[error(
        "startup parameter `{0}` is refused by Doorward: it is no setting; write it in lower case, as a parameter of its own"
    )]
    NotASetting(String),
    /// A parameter twice, once with another value.
    #[error("startup parameter `{0}` is given twice")]
    Twice(String),
}

/// Reads the parameters of a StartupMessage.
///
/// # Errors
/// What is refused outright. What policy decides is in [`StartupPlan::accesses`].
pub fn plan(parameters: &[(&str, &str)]) -> Result<StartupPlan, StartupRefusal> {
    let mut plan = StartupPlan::default();
    let mut options = Vec::new();
    for (name, value) in parameters {
        match *name {
            "user" => plan.user = (*value).to_owned(),
            "database" => plan.database = Some((*value).to_owned()),
            "options" => options.extend(split_options(value)?),
            "replication" => {
                if !matches!(value.to_ascii_lowercase().as_str(), "false" | "off" | "no" | "0" | "f" | "n") {
                    return Err(StartupRefusal::Replication);
                }
            }
            _ if name.starts_with(EXTENSION) => plan.unknown_options.push((*name).to_owned()),
            _ => options.push(((*name).to_ascii_lowercase(), (*value).to_owned())),
        }
    }
    if plan.user.is_empty() {
        return Err(StartupRefusal::NoUser);
    }
    for (name, value) in options {
        take(&mut plan, name, value)?;
    }
    Ok(plan)
}

fn take(plan: &mut StartupPlan, name: String, value: String) -> Result<(), StartupRefusal> {
    if name == "doorward.auth" {
        plan.oauth = Some(value.eq_ignore_ascii_case("oauth"));
        return Ok(());
    }
    // The server tells these from settings by case, and would take them from the gateway for what they are.
    if matches!(name.as_str(), "user" | "database" | "options" | "replication") || name.starts_with(EXTENSION) {
        return Err(StartupRefusal::NotASetting(name));
    }
    if let Some((_, before)) = plan.parameters.iter().find(|(n, _)| *n == name) {
        // The server would take the last; two different wishes are not guessed between.
        return if *before == value { Ok(()) } else { Err(StartupRefusal::Twice(name)) };
    }
    match kind(&name) {
        Kind::Harmless if locks_what_is_read(&name, Some(&value)) => return Err(StartupRefusal::Telling(name)),
        Kind::Harmless => {}
        Kind::Encoding => {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            if !matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode") {
                return Err(StartupRefusal::Encoding(value));
            }
        }
        Kind::Role => {
            plan.accesses.push(Access::new(Action::Assume, Resource::Role { name: Name::from(value.as_str()) }));
            let asked = if name == "role" { &mut plan.role } else { &mut plan.authorization };
            *asked = Some(value.clone());
        }
        Kind::Decided => {
            if matches!(name.as_str(), "standard_conforming_strings" | "escape_string_warning" | "backslash_quote") {
                if name == "standard_conforming_strings" && matches!(value.as_str(), "on" | "true" | "1" | "yes") {
                    plan.parameters.push((name, value));
                    return Ok(());
                }
                return Err(StartupRefusal::Reading(name));
            }
            if is_telling_setting(&name) {
                return Err(StartupRefusal::Telling(name));
            }
            if let SettingClass::Refused(_) = setting_class(&name, Some(&value)) {
                return Err(StartupRefusal::Reading(name));
            }
            if name == "search_path" {
                plan.search_path = Some(value.clone());
            }
            plan.accesses.push(Access::new(Action::Set, Resource::Setting { name: Name::from(name.as_str()) }));
        }
    }
    plan.parameters.push((name, value));
    Ok(())
}

/// Splits `options` as the server does (`pg_split_opts`: words at white space, backslash escapes)
/// and reads the forms `-c name=value`, `-cname=value` and `--name=value`.
fn split_options(value: &str) -> Result<Vec<(String, String)>, StartupRefusal> {
    let refuse = || StartupRefusal::Options(value.to_owned());
    let mut words = Vec::new();
    let mut word = String::new();
    let mut in_word = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                in_word = true;
                word.push(chars.next().unwrap_or('\\'));
            }
            c if c.is_ascii_whitespace() || c == '\u{b}' => {
                if in_word {
                    words.push(std::mem::take(&mut word));
                    in_word = false;
                }
            }
            c => {
                in_word = true;
                word.push(c);
            }
        }
    }
    if in_word {
        words.push(word);
    }
    let mut out = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or_else(refuse)?
        } else if let Some(rest) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            rest.to_owned()
        } else {
            return Err(refuse());
        };
        let (name, value) = setting.split_once('=').ok_or_else(refuse)?;
        // The server reads `-` in a name as `_`.
        out.push((name.to_ascii_lowercase().replace('-', "_"), value.to_owned()));
    }
    Ok(out)
}

/// Splits a `search_path` value as the server does (`SplitIdentifierString`): identifiers at
/// commas, folded to lower case unless quoted, the first 63 bytes of each. Only ASCII counts as white space, and is folded.
pub fn split_search_path(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = value.chars().peekable();
    loop {
        while chars.next_if(|c| is_space(*c)).is_some() {}
        let mut name = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next() {
                if c == '"' && chars.next_if_eq(&'"').is_none() {
                    break;
                }
                name.push(c);
            }
            while chars.next_if(|c| *c != ',').is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                name.push(c.to_ascii_lowercase());
            }
            name.truncate(name.trim_end_matches(is_space).len());
        }
        name.truncate(name.floor_char_boundary(LONGEST_NAME));
        if !name.is_empty() {
            out.push(name);
        }
        if chars.next().is_none() {
            return out;
        }
    }
}

/// `NAMEDATALEN` - 1.
const LONGEST_NAME: usize = 63;

/// As `scanner_isspace` has it, but for the vertical tab, of which servers differ ([`settings`] refuses it).
///
/// [`settings`]: doorward_sql::postgres::setting_class
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_meaning_is_decided() {
        let p = plan(&[
            ("user", "ci"),
            ("database", "orders"),
            ("application_name", "psql"),
            ("options", "-c search_path=evil --role=boss -c statement_timeout=5s"),
        ])
        .unwrap();
        let asked: Vec<String> = p.accesses.iter().map(ToString::to_string).collect();
        assert_eq!(asked, ["set on Setting `search_path`", "assume on Role `boss`"]);
        assert_eq!(p.search_path.as_deref(), Some("evil"));
        assert_eq!(p.parameters.len(), 4);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (name, value) in [
            ("client_encoding", "SJIS"),
            ("replication", "database"),
            ("replication", "true"),
            ("options", "-c standard_conforming_strings=off"),
            ("options", "-c"),
            ("options", "-x"),
            ("options", "-c search_path"),
            ("OPTIONS", "-c jit=off"),
            ("Database", "other"),
            ("USER", "postgres"),
            ("Replication", "off"),
            ("_PQ_.x", "1"),
            ("options", "-c options=-cjit=off"),
            ("options", "--Database=other"),
        ] {
            assert!(plan(&[("user", "a"), (name, value)]).is_err(), "{name}={value}");
        }
        assert!(plan(&[("database", "a")]).is_err());
        assert!(plan(&[("user", "a"), ("client_encoding", "'utf-8'")]).is_ok());
        assert!(
            plan(&[("user", "a"), ("search_path", "a"), ("options", "-c search_path=b")]).is_err(),
            "two wishes are not guessed between"
        );
    }

    #[test]
    fn options_are_split_as_the_server_does() {
        let split = split_options(r"-c search_path=a\ b -cjit=off --Geqo=on").unwrap();
        assert_eq!(
            split,
            [("search_path", "a b"), ("jit", "off"), ("geqo", "on")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }

    #[test]
    fn search_paths_are_split_as_the_server_does() {
        assert_eq!(split_search_path("\"$user\", public"), ["$user", "public"]);
        assert_eq!(split_search_path("A, \"B \"\"c\" ,d"), ["a", "B \"c", "d"]);
        assert_eq!(split_search_path("\"\""), Vec::<String>::new());
        assert_eq!(split_search_path("\u{2003}s2 ,\tÉ\u{c}"), ["\u{2003}s2", "É"]);
        let long = "l".repeat(63);
        assert_eq!(split_search_path(&format!("{long}xx, \"{long}y\"")), [long.clone(), long]);
        assert!(plan(&[("user", "a"), ("search_path", "a\u{b},b")]).is_err());
        assert_eq!(split_search_path(""), Vec::<String>::new());
    }
}
