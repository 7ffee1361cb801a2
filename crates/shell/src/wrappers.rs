//! Programs that run others: what is run is gone through as if it had been called itself.
use crate::{
    find, programs,
    scope::{Scope, Value},
    walk::{Context, Stdin, Walker, note_variable},
};
use doorward_model::{Action, Resource};

/// How the command line of a wrapper is read.
struct Options {
    /// Letters of options without a value.
    flags: &'static str,
    /// Letters of options with one.
    valued: &'static str,
    /// Long options without a value.
    long: &'static [&'static str],
    /// Long options with one, in the same word or the next.
    long_valued: &'static [&'static str],
    /// How many words stand between the options and the command.
    operands: usize,
    /// `NAME=value` before the command.
    assignments: bool,
}

const NONE: Options = Options { flags: "", valued: "", long: &[], long_valued: &[], operands: 0, assignments: false };

fn options_of(name: &str) -> Option<Options> {
    Some(match name {
        "env" => Options {
            flags: "i0v",
            valued: "uC",
            long: &["ignore-environment", "null", "debug"],
            long_valued: &["unset", "chdir"],
            assignments: true,
            ..NONE
        },
        "nice" => Options { valued: "n", long_valued: &["adjustment"], ..NONE },
        "nohup" => NONE,
        "timeout" => Options {
            flags: "vfp",
            valued: "ks",
            long: &["foreground", "preserve-status", "verbose"],
            long_valued: &["kill-after", "signal"],
            operands: 1,
            ..NONE
        },
        "time" => Options { flags: "pvaq", valued: "of", ..NONE },
        "stdbuf" => Options { valued: "ioe", long_valued: &["input", "output", "error"], ..NONE },
        "setsid" => Options { flags: "cfw", long: &["ctty", "fork", "wait"], ..NONE },
        "ionice" => {
            Options { flags: "t", valued: "cn", long: &["ignore"], long_valued: &["class", "classdata"], ..NONE }
        }
        "chrt" => Options { flags: "bfiorR", operands: 1, ..NONE },
        "taskset" => Options { operands: 1, ..NONE },
        "flock" => Options {
            flags: "sexnuoF",
            valued: "wE",
            long: &["shared", "exclusive", "nonblock", "unlock", "close", "no-fork", "verbose"],
            long_valued: &["wait", "timeout", "conflict-exit-code"],
            operands: 1,
            ..NONE
        },
        "xargs" => Options {
            flags: "0rtpxo",
            valued: "aEdILnPs",
            long: &["null", "no-run-if-empty", "verbose", "interactive", "exit", "open-tty"],
            long_valued: &["arg-file", "delimiter", "replace", "max-lines", "max-args", "max-procs", "max-chars"],
            ..NONE
        },
        "sudo" => Options {
            flags: "ABbEHikKlnPSsVvN",
            valued: "CDghprRtTuUc",
            long: &[
                "askpass",
                "background",
                "preserve-env",
                "set-home",
                "login",
                "shell",
                "non-interactive",
                "stdin",
                "remove-timestamp",
                "reset-timestamp",
                "validate",
                "list",
                "no-update",
                "preserve-groups",
                "version",
            ],
            long_valued: &[
                "close-from",
                "chdir",
                "group",
                "host",
                "prompt",
                "chroot",
                "role",
                "type",
                "command-timeout",
                "user",
                "other-user",
            ],
            assignments: true,
            ..NONE
        },
        "doas" => Options { flags: "nsL", valued: "uC", ..NONE },
        "pkexec" => Options { long: &["disable-internal-agent", "keep-cwd"], long_valued: &["user"], ..NONE },
        _ => return None,
    })
}

/// What stands before the command.
#[derive(Debug, Default)]
struct Read<'a> {
    options: Vec<(String, Option<&'a Value>)>,
    values: Vec<(String, String)>,
    assignments: Vec<&'a str>,
    operands: &'a [Value],
    command: &'a [Value],
}

impl Read<'_> {
    fn has(&self, names: &[&str]) -> bool {
        self.options.iter().any(|(o, _)| names.contains(&o.as_str()))
            || self.values.iter().any(|(o, _)| names.contains(&o.as_str()))
    }

    /// The value of the last option of these names; an error where it is not known.
    fn value(&self, names: &[&str]) -> Result<Option<String>, ()> {
        let glued = self.values.iter().rev().find(|(o, _)| names.contains(&o.as_str())).map(|(_, v)| v.clone());
        let apart = self.options.iter().rev().find(|(o, v)| v.is_some() && names.contains(&o.as_str()));
        match (glued, apart.and_then(|(_, v)| *v)) {
            (Some(_), Some(_)) => Err(()),
            (Some(value), None) => Ok(Some(value)),
            (None, Some(value)) => value.as_known().map(|v| Some(v.to_owned())).ok_or(()),
            (None, None) => Ok(None),
        }
    }
}

fn read<'a>(options: &Options, arguments: &'a [Value]) -> Result<Read<'a>, String> {
    let mut out = Read::default();
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        let text = first.as_known().ok_or_else(|| first.text.clone())?;
        // `env -` is `env -i`.
        if text == "-" {
            return Err(text.to_owned());
        }
        if text == "--" {
            rest = tail;
            break;
        }
        if let Some(long) = text.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            rest = tail;
            match value {
                Some(value) if options.long_valued.contains(&name) || options.long.contains(&name) => {
                    out.values.push((name.to_owned(), value.to_owned()));
                }
                None if options.long.contains(&name) => out.options.push((name.to_owned(), None)),
                None if options.long_valued.contains(&name) => {
                    out.options.push((name.to_owned(), tail.first()));
                    rest = tail.get(1..).unwrap_or_default();
                }
                _ => return Err(text.to_owned()),
            }
        } else if let Some(letters) = text.strip_prefix('-').filter(|l| !l.is_empty()) {
            rest = short(options, letters, tail, &mut out).ok_or_else(|| text.to_owned())?;
        } else {
            break;
        }
    }
    let skip = rest.iter().take_while(|a| options.assignments && is_assignment(&a.text)).count();
    out.assignments = rest.iter().take(skip).map(|a| a.text.as_str()).collect();
    rest = rest.get(skip..).unwrap_or_default();
    (out.operands, out.command) = rest.split_at_checked(options.operands).unwrap_or((rest, &[]));
    Ok(out)
}

/// Letters behind one dash; what is left of the arguments after them.
fn short<'a>(options: &Options, letters: &str, tail: &'a [Value], out: &mut Read<'a>) -> Option<&'a [Value]> {
    for (n, letter) in letters.char_indices() {
        if options.flags.contains(letter) {
            out.options.push((letter.into(), None));
        } else if options.valued.contains(letter) {
            let glued = letters.get(n + letter.len_utf8()..).unwrap_or_default();
            if glued.is_empty() {
                out.options.push((letter.into(), tail.first()));
                return Some(tail.get(1..).unwrap_or_default());
            }
            out.values.push((letter.into(), glued.to_owned()));
            return Some(tail);
        } else {
            return None;
        }
    }
    Some(tail)
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| crate::parser::is_name(name))
}

/// Goes through what a wrapper runs. False if the program is none.
pub(crate) fn run(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) -> bool {
    match name {
        "busybox" | "toybox" => {
            programs::words(w, arguments, ctx, scope);
            return true;
        }
        "su" | "runuser" => {
            su(w, name, arguments, ctx, scope);
            return true;
        }
        "find" => {
            find::run(w, arguments, ctx, scope);
            return true;
        }
        "watch" => {
            watch(w, arguments, ctx, scope);
            return true;
        }
        _ if is_opaque_runner(name) => {
            w.opaque(format!("`{name}` runs programs by rules of its own"), ctx);
            return true;
        }
        _ => {}
    }
    let Some(options) = options_of(name) else { return false };
    match read(&options, arguments) {
        Ok(read) => inner(w, name, &read, ctx, scope),
        Err(what) => w.opaque(format!("an option of `{name}` that is not known: `{what}`"), ctx),
    }
    true
}

fn is_opaque_runner(name: &str) -> bool {
    const RUNNERS: [&str; 22] = [
        "chroot",
        "nsenter",
        "unshare",
        "setpriv",
        "capsh",
        "systemd-run",
        "machinectl",
        "parallel",
        "at",
        "batch",
        "crontab",
        "start-stop-daemon",
        "run-parts",
        "ld.so",
        "linux64",
        "linux32",
        "setarch",
        "prlimit",
        "firejail",
        "bwrap",
        "catchsegv",
        "faketime",
    ];
    RUNNERS.contains(&name)
        || name.rsplit('/').next().is_some_and(|n| n.starts_with("ld-linux") || n.starts_with("ld-musl"))
}

fn inner(w: &mut Walker, name: &str, read: &Read<'_>, ctx: &Context, scope: &mut Scope) {
    for assignment in &read.assignments {
        let variable = assignment.split('=').next().unwrap_or_default();
        w.add(Action::SetVariable, Resource::Variable { name: variable.into() }, ctx);
        note_variable(w, variable, ctx);
    }
    let ctx = match elevate(w, name, read, ctx) {
        Some(ctx) => ctx,
        None => return,
    };
    if read.has(&["C", "chdir", "D", "R", "chroot"]) && matches!(name, "env" | "sudo") {
        scope.directories = None;
    }
    if matches!(name, "sudo" | "doas") && (read.has(&["i", "s", "login", "shell"])) {
        return login_shell(w, read.command, &ctx, scope);
    }
    if name == "xargs" && read.has(&["a", "arg-file"]) {
        match read.value(&["a", "arg-file"]) {
            Ok(Some(file)) => w.file(&[Action::ReadFile], &Value::known(file), &ctx, scope),
            Ok(None) | Err(()) => w.opaque("`xargs` of a file that is only known when it runs", &ctx),
        }
    }
    // At a terminal, it writes what the program says.
    if name == "nohup" && w.lives_on && scope.resolve("nohup.out").is_ok() {
        for place in ["nohup.out", "~/nohup.out"] {
            w.file(&[Action::WriteFile], &Value::known(place), &ctx, scope);
        }
    }
    if name == "time" && read.has(&["o"]) {
        w.opaque("`time -o` into a file", &ctx);
    }
    match name {
        "xargs" => {
            let mut command = read.command.to_vec();
            if command.is_empty() {
                command.push(Value::known("echo"));
            }
            command.push(Value::unknown("…", "read by `xargs`"));
            programs::words(w, &command, &ctx.with_stdin(Stdin::Elsewhere), scope);
        }
        "flock" => flock(w, read, &ctx, scope),
        _ => programs::words(w, read.command, &ctx, scope),
    }
}

/// The circumstances under another user; none where it cannot be told who that is.
fn elevate(w: &mut Walker, name: &str, read: &Read<'_>, ctx: &Context) -> Option<Context> {
    if !matches!(name, "sudo" | "doas" | "pkexec") {
        return Some(ctx.inner());
    }
    let asks_only = read.has(&["l", "v", "V", "k", "K", "list", "validate", "version", "remove-timestamp"]);
    if asks_only && read.command.is_empty() {
        return None;
    }
    match read.value(&["u", "user"]) {
        Ok(user) => Some(assume(w, user.as_deref().unwrap_or("root"), ctx)),
        Err(()) => {
            w.opaque(format!("`{name}` as a user that is only known when it runs"), ctx);
            None
        }
    }
}

/// Notes that another user is become.
fn assume(w: &mut Walker, user: &str, ctx: &Context) -> Context {
    // Users may be given by their number, however it is written: `#00`, `+0`, `#4294967296` where it wraps.
    let number = user.trim_start_matches(['#', '+', '-']);
    let by_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let root = user == "root" || (by_number && number.parse::<u32>().map_or(true, |n| n == 0));
    if !root && !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-$@\\".contains(&b)) {
        w.opaque(format!("a user by another name than his own: `{user}`"), ctx);
    }
    let user = if root { "root" } else { user };
    let out = Context { root, ..ctx.inner() };
    w.add(Action::Assume, Resource::Role { name: user.into() }, &out);
    out
}

/// `sudo -i`, `sudo -s`: a shell, or what its arguments say when a shell reads them.
fn login_shell(w: &mut Walker, command: &[Value], ctx: &Context, scope: &mut Scope) {
    if command.is_empty() {
        return shell(w, ctx);
    }
    // Each word reaches the shell as it is, so the words are the command.
    scope.directories = None;
    programs::words(w, command, ctx, scope);
}

/// A shell that reads what the caller types.
pub(crate) fn shell(w: &mut Walker, ctx: &Context) {
    match &ctx.stdin {
        Stdin::Caller => w.add(Action::Shell, Resource::Connection, ctx),
        Stdin::Text(_) | Stdin::Elsewhere | Stdin::Commands => w.opaque("a text that is read by a shell", ctx),
    }
}

fn su(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let (mut user, mut command, mut program) = (None, None, None);
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let next = tail.first();
        match first.as_known() {
            Some(
                "-" | "-l" | "--login" | "-m" | "-p" | "--preserve-environment" | "-f" | "--fast" | "-P" | "--pty",
            ) => {}
            Some("-c" | "--command" | "--session-command") => {
                (command, rest) = (next, tail.get(1..).unwrap_or_default())
            }
            Some("-s" | "--shell") => {
                program = next;
                rest = tail.get(1..).unwrap_or_default();
            }
            Some("-u" | "--user") if name == "runuser" => {
                (user, rest) = (next.and_then(Value::as_known), tail.get(1..).unwrap_or_default());
                if rest.first().is_some_and(|a| a.text == "--") {
                    rest = rest.get(1..).unwrap_or_default();
                }
                let ctx = assume(w, user.unwrap_or("root"), ctx);
                return programs::words(w, rest, &ctx, scope);
            }
            Some(text) if !text.starts_with('-') && user.is_none() => user = Some(text),
            Some(text) => return w.opaque(format!("an argument of `{name}` that is not known: `{text}`"), ctx),
            None => return w.opaque(format!("`{name}` with an argument that is only known when it runs"), ctx),
        }
    }
    let ctx = assume(w, user.unwrap_or("root"), ctx);
    if program.is_some() {
        w.opaque(format!("`{name}` with a shell of the caller's choice"), &ctx);
    }
    match command.map(Value::as_known) {
        None => shell(w, &ctx),
        Some(Some(text)) => {
            w.text(text, &ctx.inner(), &mut Scope::in_directories(None));
        }
        Some(None) => w.opaque(format!("`{name} -c` with a text that is only known when it runs"), &ctx),
    }
}

fn flock(w: &mut Walker, read: &Read<'_>, ctx: &Context, scope: &mut Scope) {
    let operand = read.operands.first();
    match (operand, read.command.split_first()) {
        (Some(file), Some((dash_c, command))) if matches!(dash_c.text.as_str(), "-c" | "--command") => {
            w.file(&[Action::WriteFile], file, ctx, scope);
            texts(w, command, ctx, scope);
        }
        (Some(file), _) => {
            w.file(&[Action::WriteFile], file, ctx, scope);
            programs::words(w, read.command, ctx, scope);
        }
        (None, _) => {}
    }
}

/// Words that are joined and given to a shell.
fn texts(w: &mut Walker, words: &[Value], ctx: &Context, scope: &mut Scope) {
    let known: Option<Vec<&str>> = words.iter().map(Value::as_known).collect();
    match known {
        Some(words) => w.text(&words.join(" "), &ctx.inner(), &mut scope.clone()),
        None => w.opaque("a text that is only known when a shell reads it", ctx),
    }
}

fn watch(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let options = Options {
        flags: "bcCdegprtwx",
        valued: "nq",
        long: &[
            "beep",
            "color",
            "differences",
            "errexit",
            "chgexit",
            "precise",
            "no-rerun",
            "no-title",
            "no-wrap",
            "exec",
        ],
        long_valued: &["interval", "equexit"],
        ..NONE
    };
    match read(&options, arguments) {
        Ok(read) if read.has(&["x", "exec"]) => programs::words(w, read.command, &ctx.inner(), scope),
        Ok(read) => texts(w, read.command, ctx, scope),
        Err(what) => w.opaque(format!("an option of `watch` that is not known: `{what}`"), ctx),
    }
}
