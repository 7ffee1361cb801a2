//! What the requests of SFTP would do.
use super::{
    codec::Attrs,
    paths::{self, Named, shown},
    request::{AttrsVerb, PairVerb, PathVerb, SelfVerb},
};
use doorward_model::{Access, Action, Facts, Resource};
use doorward_shell::Login;
use std::{fmt::Write as _, sync::Arc};

const READ: u32 = 1;
const WRITE: u32 = 2;
const APPEND: u32 = 4;
const CREAT: u32 = 8;
const TRUNC: u32 = 16;
const EXCL: u32 = 32;

/// A request, as it is decided.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) facts: Arc<Facts>,
    pub(super) statement: Arc<str>,
}

/// Accesses being gathered.
struct Accesses {
    login: Login,
    all: Vec<Access>,
}

impl Accesses {
    const fn new(login: Login) -> Self {
        Self { login, all: Vec::new() }
    }

    fn add(&mut self, action: Action, resource: Resource) {
        self.all.push(Access::new(action, resource).with_root(self.login.is_root));
    }

    fn opaque(&mut self, what: &str) {
        self.add(Action::Opaque, Resource::Opaque { what: what.into() });
    }

    fn file(&mut self, actions: &[Action], file: &Named) {
        for action in actions {
            self.add(*action, Resource::File { path: Arc::clone(&file.name) });
        }
        if let Some(why) = file.unclear {
            self.opaque(&format!("{why}: `{}`", shown(file.name.as_bytes())));
        }
    }

    /// Attributes that are set: a size cuts the file off or fills it up.
    fn attrs(&mut self, actions: &[Action], file: &Named, attrs: Attrs) {
        self.file(actions, file);
        if attrs.size.is_some() {
            self.file(&[Action::WriteFile], file);
        }
        if attrs.extended {
            self.opaque("attributes that SFTP does not define");
        }
    }

    fn meaning(self, verb: &str, statement: String) -> Meaning {
        let facts = Arc::new(Facts::new(&format!("sftp {verb}"), 1, self.all));
        Meaning { facts, statement: statement.into() }
    }
}

/// What an open file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) read: bool,
    pub(super) write: bool,
}

/// `SSH_FXP_OPEN`. Servers open for reading what is not opened for writing, whatever else is asked.
pub(super) fn open(path: &[u8], file: &Named, flags: u32, attrs: Attrs, login: Login) -> (Meaning, Rights) {
    let rights =
        Rights { read: flags & READ != 0 || flags & WRITE == 0, write: flags & (WRITE | APPEND | CREAT | TRUNC) != 0 };
    let mut out = Accesses::new(login);
    if rights.read {
        out.file(&[Action::ReadFile], file);
    }
    if rights.write {
        out.file(&[Action::WriteFile], file);
    }
    if attrs.extended {
        out.opaque("attributes that SFTP does not define");
    }
    if !attrs.is_empty() && flags & CREAT == 0 {
        out.attrs(&[Action::AlterFile], file, attrs);
    }
    let known = [
        (READ, "read"),
        (WRITE, "write"),
        (APPEND, "append"),
        (CREAT, "create"),
        (TRUNC, "truncate"),
        (EXCL, "exclusive"),
    ];
    let unknown = known.iter().fold(flags, |left, (bit, _)| left & !bit);
    if unknown != 0 {
        out.opaque("flags of an open that SFTP does not define");
    }
    let mut words: Vec<String> =
        known.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, w)| (*w).to_owned()).collect();
    words.extend((unknown != 0).then(|| format!("{unknown:#x}")));
    words.extend(attrs_words(attrs));
    let statement = format!("sftp open {}{}", shown(path), in_brackets(&words));
    (out.meaning("open", statement), rights)
}

fn in_brackets(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn attrs_words(attrs: Attrs) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(attrs.size.map(|n| format!("size {n}")));
    words.extend(attrs.owner.map(|(user, group)| format!("owner {user}:{group}")));
    words.extend(attrs.mode.map(|m| format!("mode {m:o}")));
    words.extend(attrs.times.then(|| "times".to_owned()));
    words.extend(attrs.extended.then(|| "extended".to_owned()));
    words
}

const fn path_verb(verb: PathVerb) -> (&'static str, Action) {
    match verb {
        PathVerb::Lstat => ("lstat", Action::ListFiles),
        PathVerb::Stat => ("stat", Action::ListFiles),
        PathVerb::Opendir => ("opendir", Action::ListFiles),
        PathVerb::Readlink => ("readlink", Action::ListFiles),
        PathVerb::Realpath => ("realpath", Action::ListFiles),
        PathVerb::Statvfs => ("statvfs", Action::ListFiles),
        PathVerb::ExpandPath => ("expand-path", Action::ListFiles),
        PathVerb::Remove => ("remove", Action::RemoveFile),
        PathVerb::Rmdir => ("rmdir", Action::RemoveFile),
    }
}

/// Requests that name one path and nothing else.
pub(super) fn path(verb: PathVerb, path: &[u8], login: Login) -> Meaning {
    let (word, action) = path_verb(verb);
    let mut out = Accesses::new(login);
    let statement = format!("sftp {word} {}", shown(path));
    let names_only = matches!(verb, PathVerb::Realpath | PathVerb::ExpandPath);
    // Every client begins by asking where it is.
    if names_only && (matches!(path, b"" | b".") || (verb == PathVerb::ExpandPath && path == b"~")) {
        out.add(Action::Connect, Resource::Connection);
        return out.meaning(word, statement);
    }
    let mut file = if verb == PathVerb::ExpandPath { paths::expanded(path) } else { paths::named(path) };
    if names_only && file.climbs {
        // What comes back is the name that all that follows is decided on.
        file.unclear = None;
    }
    out.file(&[action], &file);
    out.meaning(word, statement)
}

/// Requests that set the attributes of what a path names.
pub(super) fn attrs(verb: AttrsVerb, path: &[u8], attrs: Attrs, login: Login) -> Meaning {
    let (word, action) = match verb {
        AttrsVerb::Setstat => ("setstat", Action::AlterFile),
        AttrsVerb::Lsetstat => ("lsetstat", Action::AlterFile),
        AttrsVerb::Mkdir => ("mkdir", Action::WriteFile),
    };
    let mut out = Accesses::new(login);
    out.attrs(&[action], &paths::named(path), attrs);
    let statement = format!("sftp {word} {}{}", shown(path), in_brackets(&attrs_words(attrs)));
    out.meaning(word, statement)
}

/// `SSH_FXP_FSETSTAT`: sets the attributes of an open file.
pub(super) fn fsetstat(file: &Named, attrs: Attrs, login: Login) -> Meaning {
    let mut out = Accesses::new(login);
    out.attrs(&[Action::AlterFile], file, attrs);
    let mut statement = format!("sftp fsetstat {}", shown(file.name.as_bytes()));
    let _infallible = write!(statement, "{}", in_brackets(&attrs_words(attrs)));
    out.meaning("fsetstat", statement)
}

/// Requests that give a file another name, by which it can be reached from then on.
pub(super) fn pair(verb: PairVerb, first: &[u8], second: &[u8], login: Login) -> Meaning {
    const BOTH: &[Action] = &[Action::ReadFile, Action::WriteFile];
    const MOVE: &[Action] = &[Action::ReadFile, Action::RemoveFile];
    const NEW: &[Action] = &[Action::WriteFile];
    let (word, from, to) = match verb {
        PairVerb::Rename => ("rename", MOVE, NEW),
        PairVerb::PosixRename => ("posix-rename", MOVE, NEW),
        // OpenSSH puts the target first, others the link as the draft has it: either may be either.
        PairVerb::Symlink => ("symlink", BOTH, BOTH),
        PairVerb::Hardlink => ("hardlink", BOTH, BOTH),
    };
    let old = match verb {
        PairVerb::Symlink => paths::target(second, first),
        PairVerb::Rename | PairVerb::PosixRename | PairVerb::Hardlink => paths::named(first),
    };
    let mut out = Accesses::new(login);
    out.file(from, &old);
    out.file(to, &paths::named(second));
    let statement = format!("sftp {word} {} to {}", shown(first), shown(second));
    out.meaning(word, statement)
}

/// Requests about the server and the account.
pub(super) fn own(verb: SelfVerb, login: Login) -> Meaning {
    let word = match verb {
        SelfVerb::Limits => "limits",
        SelfVerb::HomeDirectory => "home-directory",
        SelfVerb::UsersGroups => "users-groups-by-id",
    };
    let mut out = Accesses::new(login);
    out.add(Action::Connect, Resource::Connection);
    out.meaning(word, format!("sftp {word}"))
}

/// What never becomes a request.
pub(super) fn refused(what: &str, login: Login) -> Arc<Facts> {
    let mut out = Accesses::new(login);
    out.opaque(what);
    Arc::new(Facts::new("sftp", 1, out.all))
}
