//! What strace wrote, as what was done to which file.
use std::collections::HashMap;

/// What a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The program of the process.
    pub(crate) program: String,
    pub(crate) kind: Kind,
    /// Below `~`, or whole.
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Run,
    Read,
    List,
    Write,
    Remove,
    Alter,
    MakeDirectory,
    /// It has another name from now on.
    Link,
}

#[derive(Default)]
struct Process {
    directory: String,
    program: String,
}

/// Reads a log of `strace -f -y -o`.
pub(crate) fn events(log: &str) -> Vec<Event> {
    let mut parents: HashMap<&str, &str> = HashMap::new();
    let lines: Vec<(&str, String)> = joined(log);
    for (pid, line) in &lines {
        let starts = ["clone", "fork", "vfork"].iter().any(|c| line.starts_with(c));
        if let Some(child) = log_word(line).filter(|_| starts) {
            let child = lines.iter().map(|(p, _)| *p).find(|p| *p == child);
            parents.extend(child.map(|c| (c, *pid)));
        }
    }
    let mut processes: HashMap<&str, Process> = HashMap::new();
    let mut out = Vec::new();
    for (pid, line) in &lines {
        if !processes.contains_key(pid) {
            let parent = parents.get(pid).and_then(|p| processes.get(p));
            let start = parent.map_or(("~".to_owned(), String::new()), |p| (p.directory.clone(), p.program.clone()));
            processes.insert(pid, Process { directory: start.0, program: start.1 });
        }
        let process = processes.get_mut(pid).unwrap();
        if let Some(at) = line.split("AT_FDCWD<").nth(1).and_then(|rest| rest.split('>').next()) {
            process.directory = at.to_owned();
        }
        call(process, line, &mut out);
    }
    out
}

/// Lines with the halves of calls that others came between put together.
fn joined(log: &str) -> Vec<(&str, String)> {
    let mut open: HashMap<&str, String> = HashMap::new();
    let mut out = Vec::new();
    for line in log.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(first) = call.strip_suffix("<unfinished ...>") {
            open.insert(pid, first.to_owned());
        } else if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|c| c.split_once(" resumed>")) {
            out.push((pid, open.remove(pid).unwrap_or_default() + rest));
        } else {
            out.push((pid, call.to_owned()));
        }
    }
    out
}

/// What a call returned.
fn log_word(line: &str) -> Option<&str> {
    line.rsplit_once(" = ").map(|(_, r)| r.split_whitespace().next().unwrap_or_default())
}

fn call(process: &mut Process, line: &str, out: &mut Vec<Event>) {
    let Some((name, rest)) = line.split_once('(') else { return };
    let Some(result) = log_word(line) else { return };
    // What is not there was asked for all the same.
    let missing = line.contains(" ENOENT ") && !name.starts_with("exec") && !name.ends_with("chdir");
    if (result.starts_with('-') && !missing) || result == "?" {
        return;
    }
    let texts = strings(rest);
    let text = |n: usize| texts.get(n).map(|(d, t)| resolve(d.as_deref().unwrap_or(&process.directory), t));
    let mut did = |kind: Kind, path: Option<String>| {
        out.extend(path.map(|path| Event { program: process.program.clone(), kind, path }));
    };
    match name {
        "chdir" => process.directory = text(0).unwrap_or_default(),
        "fchdir" => {
            process.directory = rest.split('<').nth(1).and_then(|r| r.split('>').next()).unwrap_or("~").to_owned()
        }
        "execve" | "execveat" => {
            let path = text(0).unwrap_or_default();
            did(Kind::Run, Some(path.clone()));
            let name = path.rsplit('/').next().unwrap_or_default();
            // The shell that tar starts to start gzip is a part of it.
            if (process.program.as_str(), name) != ("tar", "sh") {
                name.clone_into(&mut process.program);
            }
        }
        "open" | "openat" | "openat2" | "creat" => {
            // Where it ended, after links were followed, is what `-y` says; what was asked for is what counts.
            let writes =
                name == "creat" || ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|f| rest.contains(f));
            if rest.contains("O_PATH") || rest.contains("O_DIRECTORY") {
                return;
            }
            let kind = if writes { Kind::Write } else { Kind::Read };
            did(kind, text(0));
        }
        "getdents64" => did(
            Kind::List,
            strings(&format!("{}\"\"", rest.split(',').next().unwrap_or_default())).into_iter().find_map(|(d, _)| d),
        ),
        "unlink" | "unlinkat" | "rmdir" => did(Kind::Remove, text(0)),
        "rename" | "renameat" | "renameat2" => {
            did(Kind::Remove, text(0));
            did(Kind::Write, text(1));
        }
        "link" | "linkat" => {
            did(Kind::Link, text(0));
            did(Kind::Write, text(1));
        }
        "symlink" | "symlinkat" => {
            did(Kind::Write, text(1));
            let made = text(1).unwrap_or_default();
            let directory = made.rsplit_once('/').map_or("~", |(d, _)| d).to_owned();
            did(Kind::Link, texts.first().map(|(_, t)| resolve(&directory, t)));
        }
        "mkdir" | "mkdirat" => did(Kind::MakeDirectory, text(0)),
        "truncate" => did(Kind::Write, text(0)),
        "chmod" | "fchmodat" => did(Kind::Alter, text(0)),
        _ => {}
    }
}

/// The texts of a call, each with the directory that stands before it.
fn strings(arguments: &str) -> Vec<(Option<String>, String)> {
    let mut out = Vec::new();
    let mut rest = arguments;
    let mut directory = None;
    while let Some(at) = rest.find(['"', '<']) {
        let tail = &rest[at + 1..];
        if rest[at..].starts_with('<') {
            let end = tail.find('>').unwrap_or(tail.len());
            directory = Some(tail[..end].to_owned());
            rest = tail.get(end + 1..).unwrap_or_default();
            continue;
        }
        let mut text = String::new();
        let mut chars = tail.char_indices();
        let mut end = tail.len();
        while let Some((n, c)) = chars.next() {
            match c {
                '"' => {
                    end = n + 1;
                    break;
                }
                '\\' => text.extend(chars.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                c => text.push(c),
            }
        }
        out.push((directory.take(), text));
        rest = tail.get(end..).unwrap_or_default();
    }
    out
}

fn resolve(directory: &str, path: &str) -> String {
    let whole = if path.starts_with(['/', '~']) { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if whole.starts_with('~') { joined } else { format!("/{joined}") }
}
