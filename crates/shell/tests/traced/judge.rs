//! What was done beside what was foreseen.
use crate::{
    sandbox::Sandbox,
    trace::{Event, Kind, events},
};
use doorward_model::{Access, Action, Resource};
use doorward_shell::{Login, analyse};

/// What a text did that its facts do not hold; none where it is opaque: there is nothing to judge then.
pub(crate) fn holes(sandbox: &Sandbox, text: &str) -> Option<Vec<String>> {
    let facts = analyse(text.as_bytes(), Login::default()).facts;
    let path = |r: &Resource| matches!(r, Resource::Variable { name } if matches!(&**name, "PATH" | "HOME" | "BASH_ENV" | "ENV"));
    let asks = |a: &Access| matches!(a.action, Action::Opaque | Action::Shell) || path(&a.resource);
    if facts.accesses.iter().any(asks) {
        return None;
    }
    Some(compare(text, &sandbox.run(text)))
}

/// What is in the log and not among the facts.
pub(crate) fn compare(text: &str, log: &str) -> Vec<String> {
    let facts = analyse(text.as_bytes(), Login::default()).facts;
    let files: Vec<(Action, String)> = facts
        .accesses
        .iter()
        .filter_map(|a| match &a.resource {
            Resource::File { path } => Some((a.action, path.to_string())),
            _ => None,
        })
        .collect();
    let programs: Vec<String> = facts
        .accesses
        .iter()
        .filter_map(|a| match &a.resource {
            Resource::Program { name, .. } => Some(name.to_string()),
            _ => None,
        })
        .collect();
    let mut out: Vec<String> = Vec::new();
    // The first one is the shell itself.
    for event in events(log).iter().skip(1) {
        let foreseen = match event.kind {
            Kind::Run => runs(event, &programs),
            _ => !event.path.starts_with('~') || opens(event, &files) || programs.contains(&event.path),
        };
        let hole = format!("`{}`: {:?} {}", event.program, event.kind, event.path);
        if !foreseen && !out.contains(&hole) {
            out.push(hole);
        }
    }
    out
}

/// Programs that run these by themselves.
const HELPERS: [(&str, &str); 10] = [
    ("diff3", "diff"),
    ("zcat", "gzip"),
    ("gunzip", "gzip"),
    ("egrep", "grep"),
    ("fgrep", "grep"),
    ("zgrep", "gzip grep sed expr mktemp rm cat"),
    ("tar", "gzip xz bzip2 zstd lzma lzip compress sh"),
    ("sdiff", "diff"),
    ("gzip", "gzip"),
    ("file", "gzip xz bzip2 zstd"),
];

fn runs(event: &Event, programs: &[String]) -> bool {
    let name = match event.path.rsplit_once('/') {
        Some(("/bin" | "/usr/bin" | "/usr/sbin", name)) => name.to_owned(),
        _ => event.path.clone(),
    };
    programs.contains(&name)
        // Whose child it is may be lost where the time was over.
        || HELPERS.iter().any(|(by, them)| (*by == event.program || event.program.is_empty()) && them.split(' ').any(|t| t == name))
}

fn opens(event: &Event, files: &[(Action, String)]) -> bool {
    let path = event.path.as_str();
    let has = |actions: &[Action]| {
        files.iter().any(|(action, file)| {
            actions.contains(action)
                && (file == path
                    || (file.ends_with('/') && (path.starts_with(file.as_str()) || format!("{path}/") == *file)))
        })
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    // What they write before it takes the place of the file, or what a file is called before it goes.
    let own = match event.program.as_str() {
        "sed" => name.len() == 9 && name.starts_with("sed"),
        "zip" => name.len() == 8 && name.starts_with("zi"),
        "ln" | "cp" | "mv" => name.len() == 8 && name.starts_with("Cu"),
        "curl" => name.ends_with(".tmp") || name.ends_with("curlrc"),
        // What they read as they start.
        "wget" => name.starts_with(".wget"),
        "jq" => name == ".jq",
        "shred" => name.chars().all(|c| c == '0'),
        _ => false,
    };
    // They show nothing of what is in a file.
    let looks = matches!(event.program.as_str(), "find" | "df" | "sync" | "lsattr");
    let above = || files.iter().any(|(a, f)| *a == Action::WriteFile && f.starts_with(&format!("{path}/")));
    own || match event.kind {
        Kind::Run => false,
        // A directory is listed by another call.
        Kind::Read => has(&[Action::ReadFile]) || looks && listed(&has) || is_directory(path),
        // Names that the shell itself looks for: `echo *`.
        Kind::List => listed(&has) || event.program == "bash" || event.program == "sh",
        // sync opens what it cannot read to write, and writes nothing.
        Kind::Write => has(&[Action::WriteFile]) || event.program == "sync" && listed(&has),
        Kind::Remove => has(&[Action::RemoveFile, Action::WriteFile]),
        Kind::Alter => has(&[Action::AlterFile, Action::WriteFile]),
        Kind::MakeDirectory => has(&[Action::WriteFile]) || above(),
        Kind::Link => has(&[Action::ReadFile, Action::WriteFile]),
    }
}

/// Those of the tree that texts run in.
fn is_directory(path: &str) -> bool {
    matches!(path, "~" | "~/d" | "~/d/s" | "~/e" | "~/g")
}

fn listed(has: &dyn Fn(&[Action]) -> bool) -> bool {
    has(&[Action::ListFiles, Action::ReadFile, Action::WriteFile, Action::RemoveFile, Action::AlterFile])
}
