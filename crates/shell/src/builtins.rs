//! Commands that the shell runs itself (POSIX.1-2024 §2.15; bash's manual, "Shell Builtin Commands").
use crate::{
    parser::is_name,
    programs,
    scope::{Scope, Value},
    walk::{Context, Stdin, Walker, note_variable},
};
use doorward_model::Action;

/// Those that change nothing but the shell's own course.
const HARMLESS: [&str; 33] = [
    ":", "true", "false", "test", "[", "[[", "pwd", "exit", "return", "break", "continue", "shift", "wait", "jobs",
    "fg", "bg", "umask", "times", "type", "dirs", "getopts", "disown", "suspend", "logout", "caller", "help",
    "history", "fc", "ulimit", "compgen", "hash", "unalias", "unset",
];

/// Those that set variables from their arguments.
const DECLARING: [&str; 5] = ["export", "readonly", "local", "declare", "typeset"];

/// Those whose effect on the commands after them is not followed.
const REFUSED: [&str; 9] = ["alias", "enable", "shopt", "bind", "complete", "compopt", "let", "mapfile", "readarray"];

/// Whether a command may change what later commands mean.
pub(crate) fn changes_the_shell(name: &str) -> bool {
    const CHANGING: [&str; 12] =
        ["cd", "pushd", "popd", "eval", ".", "source", "command", "builtin", "trap", "set", "getopts", "unset"];
    CHANGING.contains(&name) || DECLARING.contains(&name) || REFUSED.contains(&name)
}

/// Notes what a builtin does. False if it is none.
pub(crate) fn run(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) -> bool {
    let printing = matches!(name, "echo" | "printf");
    let is_builtin = HARMLESS.contains(&name) || DECLARING.contains(&name) || REFUSED.contains(&name);
    if is_builtin || matches!(name, "read" | "cd" | "pushd" | "popd") {
        subscripts(w, name, arguments, ctx);
    }
    match name {
        _ if REFUSED.contains(&name) => w.opaque(format!("`{name}` changes how commands are read"), ctx),
        _ if DECLARING.contains(&name) => declare(w, name, arguments, ctx, scope),
        _ if HARMLESS.contains(&name) => harmless(w, name, arguments, ctx, scope),
        "cd" => cd(arguments, scope),
        "pushd" | "popd" => scope.enter(None),
        "set" => set(w, arguments, ctx),
        "read" => {
            arguments.iter().for_each(|a| scope.set(&a.text, None));
            scope.set("REPLY", None);
        }
        "eval" => eval(w, arguments, ctx, scope),
        "trap" => trap(w, arguments, ctx, scope),
        "." | "source" => {
            if let Some(file) = arguments.first() {
                w.file(&[Action::ReadFile], file, ctx, scope);
            }
            w.opaque("commands read from a file", ctx);
            scope.forget();
        }
        "exec" => exec(w, arguments, ctx, scope),
        "command" | "builtin" => prefix(w, name, arguments, ctx, scope),
        _ if printing => {
            if name == "printf" && arguments.first().is_some_and(|a| a.text == "-v") {
                w.opaque("`printf -v` into a variable", ctx);
            }
            // What is printed goes to whoever reads it: no program runs, whatever the words are.
        }
        _ => return false,
    }
    true
}

/// Names with a subscript are evaluated, and with them commands that are in it.
fn subscripts(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    let last = if matches!(name, "[" | "[[") { arguments.len().saturating_sub(1) } else { arguments.len() };
    if arguments.iter().take(last).any(|a| a.text.contains('[')) {
        w.opaque(format!("a subscript in the arguments of `{name}`"), ctx);
    }
}

fn harmless(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let flag = |f: &str| arguments.iter().any(|a| a.text.starts_with(f));
    match name {
        "getopts" | "unset" => {
            for argument in arguments {
                scope.set(&argument.text, None);
                scope.functions.remove(&argument.text);
            }
            scope.set("OPTARG", None);
        }
        // `-v` evaluates a name; numbers are evaluated as arithmetic by `[[` alone.
        "test" | "[" | "[[" if flag("-v") || flag("-R") => w.opaque(format!("`{name} -v`"), ctx),
        "[[" if arguments.iter().any(|a| matches!(a.text.as_str(), "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge")) => {
            w.opaque("arithmetic on variables", ctx);
        }
        "hash" if flag("-p") => w.opaque("`hash -p` changes what a name runs", ctx),
        "fc" | "history" | "compgen" => w.opaque(format!("`{name}`"), ctx),
        _ => {}
    }
}

fn declare(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    for argument in arguments {
        if argument.text.starts_with('-') {
            if argument.text.contains(['n', 'i', 'a', 'A', 'f']) && !(name == "export" && argument.text == "-n") {
                w.opaque(format!("`{name} {}`", argument.text), ctx);
            }
            continue;
        }
        let (variable, value) = match argument.text.split_once('=') {
            Some((variable, value)) => (variable, argument.as_known().map(|_| value.to_owned())),
            None => (argument.text.as_str(), None),
        };
        if !is_name(variable) {
            w.opaque(format!("`{name} {}`", argument.text), ctx);
            continue;
        }
        note_variable(w, variable, ctx);
        if argument.text.contains('=') {
            scope.set(variable, value);
        }
    }
}

fn cd(arguments: &[Value], scope: &mut Scope) {
    let to = arguments.iter().find(|a| !matches!(a.text.as_str(), "-L" | "-P" | "-e" | "-@" | "--"));
    match to {
        None => scope.enter(Some("~")),
        Some(to) => scope.enter(to.as_known().filter(|t| *t != "-" && !t.is_empty())),
    }
}

fn set(w: &mut Walker, arguments: &[Value], ctx: &Context) {
    let mut named = false;
    for argument in arguments {
        let text = argument.text.as_str();
        let plain = text.strip_prefix(['-', '+']).is_some_and(|f| f.bytes().all(|b| b"euxovfCab".contains(&b)));
        let option = matches!(text, "pipefail" | "errexit" | "nounset" | "xtrace" | "verbose" | "noglob" | "noclobber");
        if text == "--" {
            return;
        }
        if !(plain || named && option) {
            return w.opaque(format!("`set {text}`"), ctx);
        }
        named = text.ends_with('o');
    }
}

fn eval(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let known: Option<Vec<&str>> = arguments.iter().map(Value::as_known).collect();
    match known {
        Some(words) => w.text(&words.join(" "), &ctx.inner(), scope),
        None => {
            w.opaque("`eval` of a text that is only known when it runs", ctx);
            scope.forget();
        }
    }
}

fn trap(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let action = arguments.iter().find(|a| a.text != "--");
    match action.map(Value::as_known) {
        None => {}
        Some(Some(text)) if matches!(text, "-" | "" | "-l" | "-p") || text.bytes().all(|b| b.is_ascii_digit()) => {}
        Some(Some(text)) => {
            let mut own = scope.clone();
            own.forget();
            w.text(text, &ctx.with_stdin(Stdin::Elsewhere), &mut own);
        }
        Some(None) => w.opaque("`trap` with a text that is only known when it runs", ctx),
    }
}

fn exec(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        match first.text.as_str() {
            "-c" | "-l" | "-cl" | "--" => rest = tail,
            "-a" => rest = tail.get(1..).unwrap_or_default(),
            _ => break,
        }
    }
    if let Some((name, arguments)) = rest.split_first() {
        match name.as_known() {
            Some(known) => programs::run(w, known, arguments, ctx, scope),
            None => w.opaque(format!("a program whose name is only known when it runs: `{}`", name.text), ctx),
        }
    }
}

/// `command` and `builtin` run what follows, but no function of that name.
fn prefix(w: &mut Walker, by: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let rest = arguments.iter().position(|a| !matches!(a.text.as_str(), "-p" | "--"));
    let Some((name, arguments)) = rest.and_then(|n| arguments.get(n..)).and_then(<[_]>::split_first) else { return };
    match name.as_known() {
        Some("-v" | "-V") if by == "command" => {}
        Some(known) if run(w, known, arguments, ctx, scope) => {}
        Some(_) if by == "builtin" => {}
        Some(known) => programs::run(w, known, arguments, ctx, scope),
        None => w.opaque(format!("a program whose name is only known when it runs: `{}`", name.text), ctx),
    }
}
