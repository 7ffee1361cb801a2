//! Commands that the shell runs itself (POSIX.1-2024 §2.15; bash's manual, "Shell Builtin Commands").
use crate::{
    files,
    parser::{DEEPEST, is_name},
    programs,
    scope::{Scope, Value},
    walk::{Context, Stdin, Walker, note_variable},
};
use doorward_model::{Action, Resource};

/// Those that change nothing but the shell's own course.
const HARMLESS: [&str; 33] = [
    ":", "true", "false", "test", "[", "[[", "pwd", "exit", "return", "break", "continue", "shift", "wait", "jobs",
    "fg", "bg", "umask", "times", "type", "dirs", "getopts", "disown", "suspend", "logout", "caller", "help",
    "history", "fc", "ulimit", "compgen", "hash", "unalias", "unset",
];

/// Those that take any argument for what it says: a text, a number.
const ANY_ARGUMENT: [&str; 10] = [":", "true", "false", "pwd", "exit", "return", "break", "continue", "shift", "times"];

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
    let is_builtin = HARMLESS.contains(&name) || DECLARING.contains(&name) || REFUSED.contains(&name);
    if is_builtin || matches!(name, "read" | "cd" | "pushd" | "popd") {
        subscripts(w, name, arguments, ctx);
    }
    match name {
        _ if REFUSED.contains(&name) => w.opaque(format!("`{name}` changes how commands are read"), ctx),
        _ if DECLARING.contains(&name) => declare(w, name, arguments, ctx, scope),
        _ if HARMLESS.contains(&name) => harmless(w, name, arguments, ctx, scope),
        "cd" => cd(w, arguments, ctx, scope),
        "pushd" | "popd" => scope.enter(None),
        "set" => set(w, arguments, ctx),
        "read" => read(w, arguments, ctx, scope),
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
        // What is printed goes to whoever reads it: no program runs, whatever the words are.
        "echo" => {}
        "printf" => match arguments.first() {
            // `-v` sets a variable, or an element whose number is evaluated.
            Some(first) if first.unknown.is_some() || (first.text.starts_with('-') && first.text != "--") => {
                w.opaque("`printf` with an option, or a format that is only known when it runs", ctx);
            }
            Some(format) if counts(&format.text) => w.opaque("`printf` that sets a variable (`%n`)", ctx),
            Some(_) | None => {}
        },
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
    let option = |letter: char| arguments.iter().any(|a| a.text.starts_with('-') && a.text.contains(letter));
    let tests = matches!(name, "test" | "[" | "[[");
    if !tests && !ANY_ARGUMENT.contains(&name) && arguments.iter().any(|a| a.unknown.is_some()) {
        w.opaque(format!("`{name}` with an argument that is only known when it runs"), ctx);
    }
    if tests {
        files::tests(w, arguments, ctx, scope);
    }
    match name {
        "getopts" | "unset" => {
            for argument in arguments {
                note_variable(w, &argument.text, ctx);
                scope.set(&argument.text, None);
                scope.functions.remove(&argument.text);
            }
            scope.set("OPTARG", None);
        }
        // `-v` evaluates a name; numbers are evaluated as arithmetic by `[[` alone.
        _ if tests && (option('v') || option('R') || unclear_test(name, arguments)) => {
            w.opaque(format!("`{name}` whose operators are not plain"), ctx);
        }
        "[[" if arguments.iter().any(|a| matches!(a.text.as_str(), "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge")) => {
            w.opaque("arithmetic on variables", ctx);
        }
        "hash" if arguments.iter().any(|a| a.text != "-r") => w.opaque("`hash` changes what a name runs", ctx),
        "jobs" if option('x') => w.opaque("`jobs -x` runs a command", ctx),
        "wait" if option('p') => w.opaque("`wait -p` into a variable", ctx),
        "disown" if w.lives_on => w.opaque("`disown`: what it lets go outlives the shell", ctx),
        "fc" | "history" | "compgen" => w.opaque(format!("`{name}`"), ctx),
        _ => {}
    }
}

/// Whether an argument of a test that is only known when it runs may be an operator: one that no known operator stands
/// before or behind.
fn unclear_test(name: &str, arguments: &[Value]) -> bool {
    const BINARY: [&str; 14] =
        ["=", "==", "!=", "<", ">", "=~", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot"];
    let close = usize::from(name != "test");
    let known = |n: Option<usize>| n.and_then(|n| arguments.get(n)).and_then(Value::as_known);
    let binary = |n| known(n).is_some_and(|text| BINARY.contains(&text));
    let unary = |n| {
        known(n).is_some_and(|t| {
            t.len() == 2 && t.starts_with('-') && t.ends_with(|c| "bcdefghknprstuwxzGLNOS".contains(c))
        })
    };
    (0..arguments.len().saturating_sub(close)).any(|n| {
        let Some(argument) = arguments.get(n).filter(|a| a.unknown.is_some()) else { return false };
        // Outside quotes, and of `"$@"`, there may come several words, with operators among them.
        let text = argument.text.as_str();
        let one_word = text.len() > 1 && text.starts_with('"') && text.ends_with('"') && !text.contains('@');
        let placed = binary(n.checked_add(1)) || binary(n.checked_sub(1)) || unary(n.checked_sub(1));
        !(placed && (one_word || name == "[["))
    })
}

/// `read`: into names that are known, with options that are.
fn read(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    if ctx.stdin == Stdin::Commands {
        w.opaque("`read` of the commands that follow it", ctx);
    }
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        let Some(letters) = first.as_known().and_then(|t| t.strip_prefix('-')).filter(|l| !l.is_empty()) else { break };
        rest = tail;
        match letters {
            "-" => break,
            // With a value of their own, which is the next argument.
            "p" | "rp" | "sp" | "t" | "rt" | "n" | "rn" | "N" | "d" | "rd" => {
                if tail.first().is_some_and(|value| value.unknown.is_some()) {
                    // Outside quotes it may become several words, and options among them.
                    w.opaque(format!("`read -{letters}` with a value that is only known when it runs"), ctx);
                }
                rest = tail.get(1..).unwrap_or_default();
            }
            _ if letters.bytes().all(|b| b"rs".contains(&b)) => {}
            // `-e` opens an editor that runs what it is told to; `-a`, `-i`, `-u` and what is glued to a letter.
            _ => w.opaque(format!("`read -{letters}`"), ctx),
        }
    }
    for argument in rest {
        match argument.as_known().filter(|name| is_name(name)) {
            Some(name) => {
                note_variable(w, name, ctx);
                scope.set(name, None);
            }
            None => w.opaque("`read` into a name that is only known when it runs", ctx),
        }
    }
    scope.set("REPLY", None);
}

fn declare(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    if name == "local" && !scope.in_function {
        return w.opaque("`local` outside of a function", ctx);
    }
    let (mut freezes, mut exports) = (name == "readonly", name == "export");
    for argument in arguments {
        if argument.text.starts_with('-') || argument.text.starts_with('+') {
            freezes |= argument.text.contains('r');
            exports |= argument.text.contains('x');
            // Others change what is done with a value, or name functions and arrays.
            let plain = matches!(argument.text.as_str(), "-x" | "-r" | "-rx" | "-xr" | "-g" | "--")
                || (name == "export" && argument.text == "-n");
            if !plain {
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
        if exports {
            w.add(Action::SetVariable, Resource::Variable { name: variable.into() }, ctx);
        }
        if freezes {
            scope.freeze(variable);
        } else if argument.text.contains('=') {
            scope.set(variable, value);
        }
    }
}

fn cd(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        let Some(letters) = first.as_known().and_then(|t| t.strip_prefix('-')).filter(|l| !l.is_empty()) else { break };
        rest = tail;
        if letters == "-" {
            break;
        }
        // A shell that lives on knows directories as the kernel does.
        if !letters.bytes().all(|b| b"LPe@".contains(&b)) || (w.lives_on && letters.contains('L')) {
            w.opaque(format!("`cd -{letters}`"), ctx);
        }
    }
    match rest.first() {
        None => scope.enter(Some("~")),
        Some(to) => scope.enter(to.as_known().filter(|t| *t != "-" && !t.is_empty())),
    }
}

fn set(w: &mut Walker, arguments: &[Value], ctx: &Context) {
    let mut named = false;
    for argument in arguments {
        let text = argument.text.as_str();
        let plain = text.strip_prefix(['-', '+']).is_some_and(|f| f.bytes().all(|b| b"euxovfCb".contains(&b)));
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

fn trap(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let rest = arguments
        .strip_prefix(arguments.first().filter(|a| a.text == "--").map(std::slice::from_ref).unwrap_or_default());
    let Some((action, signals)) = rest.unwrap_or(arguments).split_first() else { return };
    match action.as_known() {
        Some("-l" | "-p") => {}
        Some("-") if !w.lives_on && signals.iter().all(|s| s.unknown.is_none()) => {}
        Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {}
        // A signal that is not heard is one that does not end it.
        Some("") if !w.lives_on => {}
        Some(text) if !w.lives_on && signals.iter().all(|s| matches!(s.as_known(), Some("EXIT" | "0"))) => {
            let mut own = scope.clone();
            own.forget();
            w.text(text, &ctx.with_stdin(Stdin::Elsewhere), &mut own);
        }
        // It may run before any command, and change what that means.
        Some(_) | None => {
            w.opaque("`trap`, which may run between any two commands", ctx);
            scope.forget();
        }
    }
}

fn exec(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        let Some(letters) = first.as_known().and_then(|t| t.strip_prefix('-')).filter(|l| !l.is_empty()) else { break };
        rest = tail;
        match letters.trim_start_matches(['c', 'l']) {
            "" => {}
            "-" if letters == "-" => break,
            "a" => rest = tail.get(1..).unwrap_or_default(),
            _ => return w.opaque(format!("an option of `exec` that is not known: `-{letters}`"), ctx),
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
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        let Some(letters) = first.as_known().and_then(|t| t.strip_prefix('-')).filter(|l| !l.is_empty()) else { break };
        rest = tail;
        let says = by == "command" && letters.bytes().all(|b| b"pvV".contains(&b));
        match letters {
            "-" => break,
            // What would run is told, not run.
            _ if says && letters.contains(['v', 'V']) => return,
            _ if says => {}
            _ => return w.opaque(format!("an option of `{by}` that is not known: `-{letters}`"), ctx),
        }
    }
    let Some((name, arguments)) = rest.split_first() else { return };
    w.nested += 1;
    let done = match name.as_known() {
        _ if w.nested > DEEPEST => {
            w.opaque("more commands that run others than can be gone through", ctx);
            true
        }
        Some(known) => run(w, known, arguments, ctx, scope),
        None => false,
    };
    w.nested -= 1;
    match name.as_known() {
        _ if done => {}
        Some(_) if by == "builtin" => {}
        Some(known) => programs::run(w, known, arguments, ctx, scope),
        None => w.opaque(format!("a program whose name is only known when it runs: `{}`", name.text), ctx),
    }
}

/// Whether a format of `printf` has a `%n`, which sets the variable that its argument names.
fn counts(format: &str) -> bool {
    format.split('%').skip(1).any(|rest| {
        let conversion = rest.trim_start_matches(|c: char| c.is_ascii_digit() || "#+-. *'lhjztLq".contains(c));
        conversion.starts_with('n')
    })
}
