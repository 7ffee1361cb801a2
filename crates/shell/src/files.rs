//! Files that programs read, write, remove: by the table of their options (`options.rs`, `table.txt`); of programs that are
//! not in it, whatever may be the name of a file is read.
use crate::{
    copies, fetch, git,
    options::{self, Arguments, Program},
    scope::{Scope, Value},
    transfer::place,
    walk::{Context, Walker},
};
use doorward_model::{Action, Resource};

pub(crate) const READ: &[Action] = &[Action::ReadFile];
pub(crate) const WRITE: &[Action] = &[Action::WriteFile];
pub(crate) const BOTH: &[Action] = &[Action::ReadFile, Action::WriteFile];
const REMOVE: &[Action] = &[Action::RemoveFile];
const ALTER: &[Action] = &[Action::AlterFile];
const LIST: &[Action] = &[Action::ListFiles];
/// What going through a directory does.
const SEARCH: &[Action] = &[Action::ReadFile, Action::ListFiles];

/// Notes the files that a program's arguments name.
pub(crate) fn run(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &Scope) {
    match name {
        "dd" => dd(w, arguments, ctx, scope),
        "jq" => jq(w, arguments, ctx, scope),
        "chattr" | "setfacl" | "setcap" => attributes(w, name, arguments, ctx, scope),
        "git" => git::run(w, arguments, ctx, scope),
        "ssh" | "sftp" | "telnet" | "nc" | "ncat" | "netcat" | "socat" => fetch::elsewhere(w, name, arguments, ctx),
        "zip" | "rsync" | "scp" => fetch::copies(w, name, arguments, ctx, scope),
        _ => match options::program(name) {
            Some(program) if program.operands == "paths" => {
                runs_by_words(w, name, arguments, ctx);
                paths(w, arguments, ctx, scope);
                behind_options(w, arguments, ctx, scope);
            }
            Some(program) => by_table(w, name, program, arguments, ctx, scope),
            None => names(w, arguments, ctx, scope),
        },
    }
}

fn by_table(w: &mut Walker, name: &str, program: &Program, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let args = match program.read(arguments) {
        Ok(args) => args,
        Err(option) => {
            w.opaque(format!("an option of `{name}` that is not known: `{option}`"), ctx);
            return paths(w, arguments, ctx, scope);
        }
    };
    values(w, name, &args, ctx, scope);
    let below = program.goes_below() || args.has('*');
    let first_is_none = program.operands.starts_with('1') && !args.has('^');
    let mut operands: Vec<Value> = args.operands.iter().skip(usize::from(first_is_none)).cloned().collect();
    if matches!(program.operands.trim_start_matches('1'), "read" | "unpack" | "gzip" | "xz") && !opens_dash(name) {
        operands.retain(|o| o.text != "-");
    }
    if args.operands.len() <= usize::from(first_is_none)
        && program.is_about_here()
        && (program.operands == "list" || below)
    {
        operands.push(Value::known("."));
    }
    match program.operands.trim_start_matches('1') {
        "none" => {}
        _ if args.has('0') => {}
        "read" => each(w, if below { SEARCH } else { READ }, &operands, below, ctx, scope),
        "list" => each(w, LIST, &operands, below, ctx, scope),
        "write" => {
            each(w, WRITE, &operands, false, ctx, scope);
            if args.has('p') {
                each(w, WRITE, &left_again(&operands), false, ctx, scope);
            }
        }
        "remove" => each(w, REMOVE, &operands, below, ctx, scope),
        "alter" => each(w, ALTER, &operands, below, ctx, scope),
        "shred" => each(w, &[Action::RemoveFile, Action::WriteFile], &operands, false, ctx, scope),
        "test" => tests(w, &operands, ctx, scope),
        // What comes second is written.
        "inout" => {
            // `uniq +3 in out` has another first one.
            for (n, file) in operands.iter().enumerate().filter(|(_, f)| f.text != "-") {
                let actions = if n == 0 { READ } else { BOTH };
                each(w, actions, std::slice::from_ref(file), false, ctx, scope);
            }
        }
        "copy" | "move" | "link" | "install" => copies::run(w, program.operands, &args, ctx, scope),
        "gzip" | "xz" | "unpack" => copies::packed(w, program, &operands, &args, ctx, scope),
        "tar" => copies::tar(w, &args, ctx, scope),
        "split" | "csplit" | "mktemp" | "unzip" | "patch" => copies::beside(w, program.operands, &args, ctx, scope),
        "curl" => fetch::curl(w, &args, ctx, scope),
        "wget" => fetch::wget(w, &args, ctx, scope),
        other => w.opaque(format!("`{name}`, whose arguments are `{other}`"), ctx),
    }
}

/// Directories that a path goes into and leaves again by `..`: `mkdir -p` makes them.
fn left_again(paths: &[Value]) -> Vec<Value> {
    let known = paths.iter().filter(|p| p.unknown.is_none());
    let before = |path: &Value| -> Vec<Value> {
        let text = path.text.as_str();
        text.match_indices("/..").filter_map(|(at, _)| text.get(..at)).map(Value::known).collect()
    };
    known.flat_map(before).collect()
}

/// Programs to which `-` is a file of that name, and not standard input.
fn opens_dash(name: &str) -> bool {
    matches!(name, "rev" | "column" | "hexdump" | "more" | "strings" | "shuf" | "tsort" | "lsattr")
}

/// The files that are values of options.
fn values(w: &mut Walker, name: &str, args: &Arguments, ctx: &Context, scope: &Scope) {
    for (role, value) in &args.values {
        let reads = matches!(role, 'r' | 'n' | 'f') && (name, *role) != ("wget", 'r');
        let standard = value.text == "-" && (reads || name == "curl");
        let value = if standard { &[] } else { std::slice::from_ref(value) };
        match role {
            'r' => each(w, READ, value, false, ctx, scope),
            'w' => each(w, WRITE, value, false, ctx, scope),
            'b' | 'f' => each(w, BOTH, value, false, ctx, scope),
            'l' => each(w, LIST, value, false, ctx, scope),
            'D' => each(w, WRITE, value, true, ctx, scope),
            'R' => each(w, READ, value, true, ctx, scope),
            'n' => {
                each(w, READ, value, false, ctx, scope);
                w.opaque(format!("`{name}` with a list of files"), ctx);
            }
            'x' => w.opaque(format!("an option by which `{name}` runs programs"), ctx),
            'o' if !matches!(name, "curl" | "wget") => {
                w.opaque(format!("an option of `{name}` by which files get other names"), ctx);
            }
            _ => {}
        }
    }
}

/// Notes files; `below` where what is in directories of that name is meant as well.
pub(crate) fn each(w: &mut Walker, actions: &[Action], files: &[Value], below: bool, ctx: &Context, scope: &Scope) {
    for file in files {
        // A pattern or a variable is opaque already; its text may still meet a policy.
        if file.unknown.is_none() {
            place(w, actions, file, below, ctx, scope);
        } else if file.text.starts_with('/') {
            place(w, actions, &Value::known(file.text.clone()), below, ctx, scope);
        }
    }
}

/// What `test` asks of files: whether they are there. One that is only known when it runs is not noted.
pub(crate) fn tests(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let known = |n: Option<usize>| n.and_then(|n| arguments.get(n)).and_then(Value::as_known).unwrap_or_default();
    for (n, argument) in arguments.iter().enumerate().filter(|(_, a)| a.unknown.is_none()) {
        let unary = known(n.checked_sub(1))
            .strip_prefix('-')
            .is_some_and(|o| o.len() == 1 && o.bytes().all(|b| b"abcdefghkprsuwxGLNOS".contains(&b)));
        let compares = |text: &str| matches!(text, "-nt" | "-ot" | "-ef");
        let compared = compares(known(n.checked_sub(1))) || compares(known(n.checked_add(1)));
        if (unary || compared) && scope.resolve(&argument.text).is_ok() {
            each(w, LIST, std::slice::from_ref(argument), false, ctx, scope);
        }
    }
}

fn dd(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    for argument in arguments {
        let of =
            |prefix: &str| argument.text.strip_prefix(prefix).map(|f| Value { text: f.into(), ..argument.clone() });
        if let Some(file) = of("if=") {
            w.file(READ, &file, ctx, scope);
        }
        if let Some(file) = of("of=") {
            w.file(WRITE, &file, ctx, scope);
        }
    }
}

/// Programs whose first word, or option, may be what is changed: every word is taken for a file.
fn attributes(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let options = arguments.iter().filter(|a| a.text.starts_with('-'));
    let lists = options.clone().any(|a| {
        ["--restore", "--modify-", "--remove-f", "--set-f"].iter().any(|o| a.text.starts_with(o))
            || (name == "setfacl" && !a.text.starts_with("--") && a.text.contains(['M', 'X']))
    });
    if lists {
        w.opaque(format!("`{name}` with a list that is in a file"), ctx);
    }
    let below = options.clone().any(|a| a.text.contains('R') || a.text.starts_with("--r"));
    let files: Vec<Value> = arguments.iter().filter(|a| !a.text.starts_with('-')).cloned().collect();
    each(w, ALTER, &files, below, ctx, scope);
}

/// jq 1.6 reads its options itself; `import` and `include` read files.
fn jq(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    const FLAGS: [&str; 16] = [
        "--null-input",
        "--raw-input",
        "--slurp",
        "--compact-output",
        "--raw-output",
        "--join-output",
        "--sort-keys",
        "--color-output",
        "--monochrome-output",
        "--ascii-output",
        "--tab",
        "--exit-status",
        "--stream",
        "--seq",
        "--unbuffered",
        "--version",
    ];
    let (mut rest, mut operands) = (arguments, Vec::new());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first.text.as_str() {
            "--arg" | "--argjson" => rest = tail.get(2..).unwrap_or_default(),
            "--slurpfile" | "--rawfile" => {
                each(w, READ, tail.get(1..2).unwrap_or_default(), false, ctx, scope);
                rest = tail.get(2..).unwrap_or_default();
            }
            "--indent" => rest = tail.get(1..).unwrap_or_default(),
            text if FLAGS.contains(&text) => {}
            text if text.strip_prefix('-').is_some_and(|l| l.bytes().all(|b| b"nRscrjSCMae".contains(&b))) => {}
            text if text.starts_with('-') => {
                w.opaque(format!("an option of `jq` that is not known: `{text}`"), ctx);
                return names(w, arguments, ctx, scope);
            }
            _ => operands.push(first.clone()),
        }
    }
    if operands.first().is_some_and(|f| f.text.contains("import") || f.text.contains("include")) {
        w.opaque("code for `jq` that reads modules", ctx);
    }
    each(w, READ, operands.get(1..).unwrap_or_default(), false, ctx, scope);
}

/// A path in an argument, if there is one that looks like it.
fn path_in(text: &str) -> Option<&str> {
    let value = match text.strip_prefix('-') {
        Some(option) => match text.split_once('=') {
            Some((_, value)) => value,
            None => option.find('/').and_then(|n| option.get(n..)).unwrap_or_default(),
        },
        None => text.split_once('=').map_or(text, |(_, v)| v),
    };
    let value = value.trim_start_matches('@');
    let scheme = value.split_once("://");
    match scheme {
        Some((scheme, path)) if scheme.eq_ignore_ascii_case("file") => Some(path),
        Some(_) => None,
        None => (value.contains('/') || value.starts_with('~') || matches!(value, "." | "..")).then_some(value),
    }
}

/// Whatever looks like a path is taken to be read.
pub(crate) fn paths(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    for path in arguments.iter().filter(|a| a.unknown.is_none()).filter_map(|a| path_in(&a.text)) {
        w.file(READ, &Value::known(path), ctx, scope);
    }
}

/// Of a program that nothing is known of, every word that is no option may be a file.
pub(crate) fn names(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    paths(w, arguments, ctx, scope);
    for argument in arguments.iter().filter(|a| a.unknown.is_none() && path_in(&a.text).is_none()) {
        let text = argument.text.as_str();
        // `--option=FILE`, `name=FILE`, `@FILE`: the word itself, and what is behind the sign.
        let behind = text.split_once('=').map(|(_, value)| value).or_else(|| text.strip_prefix('@'));
        for value in std::iter::once(text).chain(behind) {
            let is_url = value.contains("://");
            if !value.is_empty() && !value.starts_with('-') && !is_url {
                w.file(READ, &Value::known(value), ctx, scope);
            }
        }
    }
}

/// Words and options by which programs of that kind run others.
fn runs_by_words(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    let runs = |text: &str| match name {
        "ip" => text == "exec" || matches!(text, "-b" | "--b") || ["-ba", "--ba"].iter().any(|b| text.starts_with(b)),
        "apt" | "apt-get" | "apt-cache" => ["-o", "-c", "--option", "--config"].iter().any(|o| text.starts_with(o)),
        "yum" | "dnf" => ["-c", "--config", "--setopt"].iter().any(|o| text.starts_with(o)),
        _ => false,
    };
    if let Some(argument) = arguments.iter().find(|a| runs(&a.text)) {
        w.opaque(format!("an option by which `{name}` runs programs: `{}`", argument.text), ctx);
    }
}

/// Of programs whose words are no files, values of options that often name one: `-f x`, `-fx`, `--file=x`, `--config x`.
fn behind_options(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let mut expected = false;
    for argument in arguments.iter().filter(|a| a.unknown.is_none()) {
        let text = argument.text.as_str();
        let long = text.strip_prefix("--").map(|l| l.split_once('=').unwrap_or((l, "")));
        let short = text.strip_prefix('-').filter(|l| !l.starts_with('-'));
        let found = match (long, short) {
            (Some((_, value)), _) => value,
            (None, Some(letters)) => letters.strip_prefix(['f', 'F']).unwrap_or_default(),
            (None, None) if expected => text,
            (None, None) => "",
        };
        let named = |l: &str| ["file", "conf", "batch", "input", "from"].iter().any(|n| l.contains(n));
        let is_file = long.is_none_or(|(name, _)| named(name));
        if is_file && !found.is_empty() && path_in(text).is_none() && !found.contains("://") {
            w.file(READ, &Value::known(found), ctx, scope);
        }
        expected = match long {
            Some((name, value)) => value.is_empty() && named(name),
            None => short.is_some_and(|l| l.ends_with(['f', 'F'])),
        };
    }
}

/// A program that reaches another machine.
pub(crate) fn reaches(w: &mut Walker, host: &str, port: u16, ctx: &Context) {
    w.add(Action::Forward, Resource::Host { host: host.to_lowercase().into(), port }, ctx);
}
