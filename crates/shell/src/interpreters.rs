//! Shells and other programs that run code: from an argument, from standard input, from a file.
use crate::{
    parser::is_name,
    path, programs,
    scope::{Scope, Value},
    walk::{Context, Stdin, Walker},
    wrappers,
};
use doorward_model::Action;

const SHELLS: [&str; 10] = ["sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "zsh", "rbash", "yash"];

/// Programs that run code of a language: the letters of options that code or files of code come with, and
/// those with any other value.
fn language(name: &str) -> Option<(&'static str, &'static str)> {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    Some(match base {
        "python" | "pypy" => ("cm", "WX"),
        "perl" => ("eEMmnpi", "ICFlx0"),
        "ruby" => ("er", "CEFIKTWx"),
        "node" | "nodejs" | "deno" | "bun" => ("epr", "C"),
        "php" => ("rBRE", "cdfSFz"),
        "lua" | "luajit" | "tclsh" | "wish" | "expect" => ("elc", ""),
        "Rscript" | "R" | "julia" | "groovy" | "scala" | "guile" | "racket" | "ghci" | "ocaml" | "elixir" | "erl" => {
            ("eE", "")
        }
        "gdb" | "lldb" | "irb" | "jshell" | "ipython" | "psql" | "mysql" | "mariadb" | "sqlite" | "redis-cli" => {
            ("cexr", "UhpdP")
        }
        _ => return None,
    })
}

/// Programs from which a shell can be had by a keystroke or an option.
const SHELL_ESCAPES: [&str; 27] = [
    "vi", "vim", "nvim", "view", "ex", "ed", "red", "emacs", "nano", "pico", "less", "more", "most", "man", "screen",
    "tmux", "byobu", "script", "mutt", "ftp", "tftp", "telnet", "gnuplot", "dialog", "rlwrap", "mc", "ranger",
];

/// Goes through what an interpreter runs. False if the program is none.
pub(crate) fn run(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) -> bool {
    match name {
        _ if SHELLS.contains(&name) => shell(w, name, arguments, ctx, scope),
        "fish" | "csh" | "tcsh" | "pwsh" | "nu" | "xonsh" | "elvish" => {
            w.opaque(format!("`{name}`, whose language is not read"), ctx);
        }
        "awk" | "gawk" | "mawk" | "nawk" | "original-awk" => awk(w, name, arguments, ctx, scope),
        "sed" | "gsed" => sed(w, arguments, ctx, scope),
        "script" => script(w, arguments, ctx, scope),
        _ if SHELL_ESCAPES.contains(&name) => {
            w.opaque(format!("`{name}`, from which a shell can be opened"), ctx);
            crate::files::run(w, name, arguments, ctx, scope);
        }
        _ => match language(name) {
            Some((code, valued)) => code_of(w, name, (code, valued), arguments, ctx, scope),
            None => return false,
        },
    }
    true
}

/// `sh [options] [-c text [name [argument…]] | file [argument…] | -s]`
fn shell(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let mut rest = arguments;
    let (mut command, mut stdin) = (false, false);
    while let Some((first, tail)) = rest.split_first() {
        let Some(text) = first.as_known() else {
            return w.opaque(format!("`{name}` with an argument that is only known when it runs"), ctx);
        };
        let long = matches!(text, "--login" | "--norc" | "--noprofile" | "--posix" | "--restricted" | "--verbose");
        let letters = text.strip_prefix(['-', '+']).filter(|l| !l.starts_with('-'));
        match letters {
            _ if long => {}
            Some("") => {
                rest = tail;
                break;
            }
            Some(letters) if letters.bytes().all(|b| b"abcefhiklmnpstuvxCEHPTDr".contains(&b)) => {
                command |= letters.contains('c');
                stdin |= letters.contains('s');
            }
            Some("o") if !tail.is_empty() => rest = tail,
            None if text == "--" => {
                rest = tail;
                break;
            }
            None if !text.starts_with('-') => break,
            _ => return w.opaque(format!("an option of `{name}` that is not known: `{text}`"), ctx),
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    match rest.split_first() {
        Some((text, _)) if command => match text.as_known() {
            // What it starts with is what this shell gave its programs, not its own variables.
            Some(text) => {
                let mut own = Scope::in_directories(scope.directories.clone());
                w.text(text, &ctx.inner(), &mut own);
            }
            None => w.opaque(format!("`{name} -c` with a text that is only known when it runs"), ctx),
        },
        None if command => w.opaque(format!("`{name} -c` without a text"), ctx),
        Some((file, arguments)) if !stdin => {
            code_file(w, name, file, ctx, scope);
            w.file(&[Action::ReadFile], file, ctx, scope);
            programs::words(w, &std::iter::once(file).chain(arguments).cloned().collect::<Vec<_>>(), ctx, scope);
        }
        Some(_) | None => match &ctx.stdin {
            Stdin::Text(text) => {
                let mut own = Scope::in_directories(scope.directories.clone());
                // It is read line by line, by the commands in it too.
                let one_line = text.lines().filter(|l| !l.trim().is_empty()).count() < 2;
                let stdin = if one_line { Stdin::Elsewhere } else { Stdin::Commands };
                let before = std::mem::replace(&mut w.by_input, true);
                w.text(&text.clone(), &ctx.with_stdin(stdin), &mut own);
                w.by_input = before;
            }
            Stdin::Caller | Stdin::Elsewhere | Stdin::Commands => wrappers::shell(w, ctx),
        },
    }
}

/// A file of code that is standard input under another name.
fn code_file(w: &mut Walker, name: &str, file: &Value, ctx: &Context, scope: &Scope) {
    if scope.resolve(&file.text).is_ok_and(|paths| paths.iter().any(|p| path::is_input(p))) {
        w.opaque(format!("code that `{name}` reads from standard input"), ctx);
    }
}

/// An interpreter with code, a file of it, or neither.
fn code_of(
    w: &mut Walker,
    name: &str,
    (code, valued): (&str, &str),
    arguments: &[Value],
    ctx: &Context,
    scope: &mut Scope,
) {
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        let text = first.text.as_str();
        if matches!(text, "--version" | "-V" | "--help" | "-h" | "-v") && arguments.len() == 1 {
            return;
        }
        let Some(letters) = text.strip_prefix('-').filter(|l| !l.is_empty()) else { break };
        if letters.starts_with('-') || letters.chars().any(|c| code.contains(c)) {
            return w.opaque(format!("code for `{name}`"), ctx);
        }
        let takes_next = letters.chars().last().is_some_and(|c| valued.contains(c));
        rest = if takes_next { tail.get(1..).unwrap_or_default() } else { tail };
    }
    match rest.first() {
        Some(file) if file.text != "-" => {
            code_file(w, name, file, ctx, scope);
            w.file(&[Action::ReadFile], file, ctx, scope);
            programs::note(w, &file.text, &file.text, rest.get(1..).unwrap_or_default(), ctx);
            crate::files::paths(w, rest.get(1..).unwrap_or_default(), ctx, scope);
        }
        Some(_) | None => w.opaque(format!("code that `{name}` reads from standard input"), ctx),
    }
}

/// An awk program that neither runs nor writes anything is plain.
fn awk(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        match first.text.as_str() {
            "-F" | "-v" => rest = tail.get(1..).unwrap_or_default(),
            text if text.starts_with("-F") || text.starts_with("-v") => rest = tail,
            text if text.starts_with('-') => return w.opaque(format!("an option of `{name}`: `{text}`"), ctx),
            _ => break,
        }
    }
    let Some((program, files)) = rest.split_first() else { return };
    let plain = program.as_known().is_some_and(|p| {
        !["system", "getline", "|", "@", "fflush", "close", "ARG", "SYMTAB"].iter().any(|word| p.contains(word))
            && !writes(p)
    });
    if !plain {
        w.opaque(format!("code for `{name}`"), ctx);
    }
    let sets = |f: &Value| f.text.split_once('=').is_some_and(|(name, _)| is_name(name));
    for file in files.iter().filter(|f| !sets(f)) {
        w.file(&[Action::ReadFile], file, ctx, scope);
    }
}

/// Whether an awk program holds a `>` that could be a redirection: `print … > file`.
fn writes(program: &str) -> bool {
    program.contains('>') && program.contains("print")
}

/// A sed script of substitutions, deletions and prints is plain; `e`, `w`, `r` and all that is longer are not.
fn sed(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let (mut in_place, mut script) = (None, None);
    let mut rest = arguments;
    let mut files: Vec<&Value> = Vec::new();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first.text.as_str() {
            "-n" | "-E" | "-r" | "-s" | "-u" | "-z" | "--quiet" | "--silent" | "--regexp-extended" | "-nE" | "-nr" => {}
            "-e" | "--expression" if script.is_none() => {
                script = tail.first();
                rest = tail.get(1..).unwrap_or_default();
            }
            "-i" | "--in-place" => in_place = Some(""),
            text if text.starts_with("-i") || text.starts_with("--in-place=") => {
                let ending =
                    text.strip_prefix("-i").or_else(|| text.split_once('=').map(|(_, e)| e)).unwrap_or_default();
                if ending.contains(['/', '*']) {
                    return w.opaque("`sed` with a copy of another name", ctx);
                }
                in_place = Some(ending);
            }
            text if text.starts_with('-') && text != "-" => {
                return w.opaque(format!("an option of `sed`: `{text}`"), ctx);
            }
            _ if script.is_none() => script = Some(first),
            _ => files.push(first),
        }
    }
    if script.is_some_and(|s| !s.as_known().is_some_and(is_plain_sed)) {
        w.opaque("code for `sed`", ctx);
    }
    let actions: &[Action] =
        if in_place.is_some() { &[Action::ReadFile, Action::WriteFile] } else { &[Action::ReadFile] };
    for file in files.into_iter().filter(|f| f.text != "-" || in_place.is_some()) {
        w.file(actions, file, ctx, scope);
        if let Some(ending) = in_place.filter(|e| !e.is_empty()) {
            let kept = Value { text: format!("{}{ending}", file.text), ..file.clone() };
            w.file(&[Action::WriteFile], &kept, ctx, scope);
        }
    }
}

fn is_plain_sed(script: &str) -> bool {
    let address = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b"$,".contains(&b));
    if let Some(command) = script.strip_suffix(['p', 'd', 'q', '=']) {
        let pattern = command.strip_prefix('/').and_then(|c| c.strip_suffix('/')).is_some_and(|p| !p.contains('/'));
        return (address(command) || pattern) && !script.contains('\n');
    }
    let Some((delimiter, body)) = script.strip_prefix('s').and_then(|s| {
        let delimiter = s.chars().next()?;
        Some((delimiter, s.strip_prefix(delimiter)?))
    }) else {
        return false;
    };
    let mut parts = body.split(delimiter);
    let (Some(_), Some(_), Some(flags), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    !delimiter.is_alphanumeric()
        && !body.contains(['\\', '\n'])
        && flags.bytes().all(|b| b"gpiI0123456789".contains(&b))
}

/// `script [-c command] [file]` runs a shell under a recorder of its own.
fn script(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let is_command = |a: &Value| a.text == "--command" || (a.text.ends_with('c') && !a.text.starts_with("--"));
    let at = arguments.iter().position(|a| a.text.starts_with('-') && is_command(a));
    match at.and_then(|n| arguments.get(n + 1)).map(Value::as_known) {
        Some(Some(text)) => w.text(text, &ctx.inner(), &mut scope.clone()),
        Some(None) => w.opaque("`script -c` with a text that is only known when it runs", ctx),
        None => wrappers::shell(w, ctx),
    }
    w.opaque("`script`, which writes what it sees into a file", ctx);
}
