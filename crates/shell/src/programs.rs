//! Programs: what is noted of each, and which of them run others.
use crate::{
    files, interpreters,
    parser::DEEPEST,
    path,
    scope::{Scope, Value},
    transfer,
    walk::{Context, MOST, Stdin, Walker},
    wrappers,
};
use doorward_model::{Action, Name, Resource};

/// How long the commands of a command line may be together: each may be noted with all its arguments.
const HEAVIEST: usize = 8 * crate::LONGEST;

/// How many programs the command of a request is named by.
const NAMED: usize = 8;

/// Notes a program and what it does with its arguments.
pub(crate) fn run(w: &mut Walker, written: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    w.steps += 1;
    w.weight += written.len() + arguments.iter().map(|a| a.text.len() + 1).sum::<usize>();
    if w.steps > MOST || w.nested >= DEEPEST || w.weight > HEAVIEST {
        return w.opaque("more programs that run others than can be gone through", ctx);
    }
    w.nested += 1;
    runs(w, written, arguments, ctx, scope);
    w.nested -= 1;
}

fn runs(w: &mut Walker, written: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    if written.is_empty() || written.contains('\0') {
        return w.opaque("a program without a name", ctx);
    }
    let name = name_of(written, ctx, scope, w);
    note(w, &name, written, arguments, ctx);
    if ctx.stdin == Stdin::Commands && !leaves_input(&name, arguments) {
        w.opaque(format!("`{name}`, which may read the commands that follow it"), ctx);
    }
    if transfer::run(w, &name, arguments, ctx, scope) {
        return;
    }
    for argument in arguments {
        if let Some(why) = &argument.unknown {
            w.opaque(
                format!("an argument of `{name}` that is only known when it runs ({why}): `{}`", argument.text),
                ctx,
            );
        }
    }
    if !wrappers::run(w, &name, arguments, ctx, scope) && !interpreters::run(w, &name, arguments, ctx, scope) {
        files::run(w, &name, arguments, ctx, scope);
    }
}

/// Whether a program reads nothing of its standard input.
fn leaves_input(name: &str, arguments: &[Value]) -> bool {
    const NEVER: [&str; 26] = [
        "ls",
        "rm",
        "mkdir",
        "touch",
        "cp",
        "mv",
        "ln",
        "chmod",
        "chown",
        "date",
        "id",
        "uname",
        "hostname",
        "whoami",
        "df",
        "du",
        "ps",
        "rmdir",
        "stat",
        "sleep",
        "systemctl",
        "uptime",
        "free",
        "env",
        "nproc",
        "find",
    ];
    NEVER.contains(&name) && !arguments.iter().any(|a| a.text.starts_with('-') && a.text.contains(['i', 'I', 'o']))
}

fn name_of(written: &str, ctx: &Context, scope: &Scope, w: &mut Walker) -> String {
    if !written.contains('/') {
        return written.to_owned();
    }
    match scope.resolve(written) {
        Ok(paths) if paths.len() == 1 => paths.first().map_or_else(String::new, |p| path::program_name(None, p)),
        Ok(_) => {
            w.opaque(format!("a program in a directory that is only known when it runs: `{written}`"), ctx);
            written.to_owned()
        }
        Err(why) => {
            w.opaque(format!("{why}: `{written}`"), ctx);
            written.to_owned()
        }
    }
}

/// A file is run as a program without a shell's search for it.
pub(crate) fn note(w: &mut Walker, name: &str, written: &str, arguments: &[Value], ctx: &Context) {
    let mut command = path::quote(written);
    for argument in arguments {
        command.push(' ');
        match argument.as_known() {
            Some(text) => command.push_str(&path::quote(text)),
            None => command.push_str(&argument.text),
        }
    }
    if w.programs.len() < NAMED && !w.programs.iter().any(|p| p == name) {
        w.programs.push(name.to_owned());
    }
    let arguments: Vec<Name> = arguments.iter().filter_map(Value::as_known).map(Name::from).collect();
    let resource = Resource::Program { command: command.into(), name: name.into(), arguments: arguments.into() };
    w.add(Action::RunProgram, resource, ctx);
}

/// A command given as words, run without a shell.
pub(crate) fn words(w: &mut Walker, words: &[Value], ctx: &Context, scope: &mut Scope) {
    let Some((name, arguments)) = words.split_first() else { return };
    match name.as_known() {
        Some(known) => run(w, known, arguments, ctx, scope),
        None => w.opaque(format!("a program whose name is only known when it runs: `{}`", name.text), ctx),
    }
}
