//! What is known of a shell while its commands are gone through: variables, directory, functions.
use crate::{
    ast::{Part, Word},
    path,
};
use std::collections::{BTreeSet, HashMap};

/// How many variables are followed.
const VARIABLES: usize = 256;
/// In how many directories a command may be before that counts as not known.
const DIRECTORIES: usize = 4;

/// What a word will be when it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    /// The text; as written where it is not known.
    pub(crate) text: String,
    /// Why the text is not known.
    pub(crate) unknown: Option<String>,
}

impl Value {
    pub(crate) fn known(text: impl Into<String>) -> Self {
        Self { text: text.into(), unknown: None }
    }

    pub(crate) fn unknown(raw: &str, why: impl Into<String>) -> Self {
        Self { text: raw.to_owned(), unknown: Some(why.into()) }
    }

    /// The text, where it is known.
    pub(crate) fn as_known(&self) -> Option<&str> {
        self.unknown.is_none().then_some(self.text.as_str())
    }
}

/// The state of one shell.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// By name; none where the value is only known when it runs. A name that is not here may have been set
    /// before the shell began.
    variables: HashMap<String, Option<String>>,
    /// The directories it may be in; none where that is not known.
    pub(crate) directories: Option<Vec<String>>,
    pub(crate) functions: BTreeSet<String>,
    /// Names that cannot be set any more.
    frozen: BTreeSet<String>,
    /// Within the body of a function.
    pub(crate) in_function: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            variables: HashMap::new(),
            directories: Some(vec!["~".to_owned()]),
            functions: BTreeSet::new(),
            frozen: BTreeSet::new(),
            in_function: false,
        }
    }
}

impl Scope {
    pub(crate) fn set(&mut self, name: &str, value: Option<String>) {
        if self.variables.len() >= VARIABLES && !self.variables.contains_key(name) {
            return;
        }
        let value = value.filter(|_| !self.frozen.contains(name));
        self.variables.insert(name.to_owned(), value);
    }

    /// Whether setting it is an error, which ends more than the command.
    pub(crate) fn is_frozen(&self, name: &str) -> bool {
        self.frozen.contains(name)
    }

    /// A name that keeps its value, whatever is said later: what it is, is not known from then on.
    pub(crate) fn freeze(&mut self, name: &str) {
        self.frozen.insert(name.to_owned());
        self.set(name, None);
    }

    pub(crate) fn forget(&mut self) {
        self.variables.clear();
        self.directories = None;
    }

    /// A shell that is started in these directories, with no variables of its own.
    pub(crate) fn in_directories(directories: Option<Vec<String>>) -> Self {
        Self { directories, ..Self::default() }
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        if is_set_by_shells(name) {
            return None;
        }
        self.variables.get(name)?.as_deref()
    }

    /// Keeps what is the same in both: what holds after a part that may have run or not.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.variables.retain(|name, value| other.variables.get(name) == Some(value));
        self.directories = match (self.directories.take(), &other.directories) {
            (Some(mut own), Some(others)) => {
                own.extend(others.iter().filter(|d| !own.contains(d)).cloned().collect::<Vec<_>>());
                Some(own).filter(|d| d.len() <= DIRECTORIES)
            }
            _ => None,
        };
        self.functions.retain(|f| other.functions.contains(f));
        self.frozen.extend(other.frozen.iter().cloned());
    }

    /// Changes the working directory.
    pub(crate) fn enter(&mut self, to: Option<&str>) {
        self.directories = to.and_then(|to| self.resolve(to).ok());
    }

    /// The files that a path may mean.
    pub(crate) fn resolve(&self, path: &str) -> Result<Vec<String>, path::Unclear> {
        let rooted = path.starts_with('/') || path == "~" || path.starts_with("~/");
        match &self.directories {
            Some(directories) if !rooted => directories.iter().map(|d| path::resolve(Some(d), path)).collect(),
            Some(_) | None => Ok(vec![path::resolve(None, path)?]),
        }
    }

    pub(crate) fn value(&self, word: &Word) -> Value {
        let mut out = Value::default();
        for part in &word.parts {
            self.add(&mut out, part);
        }
        if is_pattern(&word.parts) {
            out.unknown.get_or_insert_with(|| "a pattern that the shell expands".to_owned());
        }
        if out.unknown.is_some() {
            out.text.clone_from(&word.raw);
        }
        out
    }

    pub(crate) fn text_of(&self, parts: &[Part]) -> Option<String> {
        let mut out = Value::default();
        parts.iter().for_each(|part| self.add(&mut out, part));
        out.unknown.is_none().then_some(out.text)
    }

    fn add(&self, out: &mut Value, part: &Part) {
        let unknown = |out: &mut Value, why: &str| {
            out.unknown.get_or_insert_with(|| why.to_owned());
        };
        match part {
            // The home directory is written with a `~`; one that was quoted is another file.
            Part::Quoted(text) if out.text.is_empty() && text.starts_with('~') => unknown(out, "a quoted `~`"),
            Part::Text(text) | Part::Quoted(text) => out.text.push_str(text),
            Part::Pattern(c) => out.text.push(*c),
            Part::Tilde(user) if user.is_empty() => out.text.push('~'),
            Part::Tilde(_) => unknown(out, "a home directory by name"),
            Part::Variable { name, quoted } => match self.variable(name) {
                Some(value) if *quoted => out.text.push_str(value),
                Some(value) if is_one_word(value) => out.text.push_str(value),
                Some(_) => unknown(out, "a variable that the shell splits into words"),
                None => unknown(out, "a variable"),
            },
            Part::Command(_) => {}
            Part::Unknown(why) | Part::Risky(why) => unknown(out, why),
        }
    }
}

/// Variables that shells set themselves, whatever was put into them (bash's manual, "Bash Variables").
fn is_set_by_shells(name: &str) -> bool {
    const OWN: [&str; 28] = [
        "_",
        "PWD",
        "OLDPWD",
        "RANDOM",
        "SRANDOM",
        "SECONDS",
        "EPOCHSECONDS",
        "EPOCHREALTIME",
        "LINENO",
        "PPID",
        "UID",
        "EUID",
        "FUNCNAME",
        "GROUPS",
        "DIRSTACK",
        "HISTCMD",
        "PIPESTATUS",
        "REPLY",
        "OPTARG",
        "OPTIND",
        "MAPFILE",
        "COPROC",
        "COLUMNS",
        "LINES",
        "SHELLOPTS",
        "SHLVL",
        "MACHTYPE",
        "HOSTTYPE",
    ];
    OWN.contains(&name) || ["BASH", "COMP_", "READLINE_"].iter().any(|p| name.starts_with(p))
}

/// Whether an unquoted variable of this value stays the one word it is.
fn is_one_word(value: &str) -> bool {
    !value.is_empty() && !value.starts_with('~') && !value.contains(|c: char| " \t\n*?[\\".contains(c))
}

/// Whether the shell looks for file names that fit. A lone `[` is a program, `[` without `]` plain.
fn is_pattern(parts: &[Part]) -> bool {
    let open = parts.iter().position(|p| matches!(p, Part::Pattern('[')));
    let closed = |from: usize| {
        parts.iter().skip(from + 1).any(|p| match p {
            Part::Text(t) | Part::Quoted(t) => t.contains(']'),
            Part::Variable { .. } | Part::Command(_) | Part::Unknown(_) | Part::Risky(_) => true,
            Part::Pattern(_) | Part::Tilde(_) => false,
        })
    };
    parts.iter().any(|p| matches!(p, Part::Pattern('*' | '?'))) || open.is_some_and(closed)
}
