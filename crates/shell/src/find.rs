//! `find`: what it looks through, removes, writes, and runs for what it finds (find(1) of findutils 4.9).
use crate::{
    programs,
    scope::{Scope, Value},
    transfer::place,
    walk::{Context, Walker},
};
use doorward_model::Action;

/// Words of an expression that stand alone.
const ALONE: [&str; 34] = [
    "(",
    ")",
    "!",
    ",",
    "-a",
    "-and",
    "-o",
    "-or",
    "-not",
    "-d",
    "-daystart",
    "-depth",
    "-follow",
    "-help",
    "--help",
    "-ignore_readdir_race",
    "-noignore_readdir_race",
    "-mount",
    "-xdev",
    "-noleaf",
    "-nowarn",
    "-warn",
    "-version",
    "--version",
    "-empty",
    "-executable",
    "-false",
    "-true",
    "-nogroup",
    "-nouser",
    "-readable",
    "-writable",
    "-print",
    "-print0",
];

/// Those that a word follows which is no file.
const VALUED: [&str; 32] = [
    "-regextype",
    "-maxdepth",
    "-mindepth",
    "-amin",
    "-atime",
    "-cmin",
    "-context",
    "-ctime",
    "-fstype",
    "-gid",
    "-group",
    "-ilname",
    "-iname",
    "-inum",
    "-ipath",
    "-iregex",
    "-iwholename",
    "-links",
    "-lname",
    "-mmin",
    "-mtime",
    "-name",
    "-path",
    "-perm",
    "-regex",
    "-wholename",
    "-size",
    "-type",
    "-uid",
    "-used",
    "-user",
    "-xtype",
];

pub(crate) fn run(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
    let options = arguments.iter().take_while(|a| matches!(a.text.as_str(), "-H" | "-L" | "-P")).count();
    let arguments = arguments.get(options..).unwrap_or_default();
    let starts = arguments.iter().take_while(|a| !a.text.starts_with(['-', '(', '!', ')', ','])).count();
    let (starts, rest) = arguments.split_at_checked(starts).unwrap_or_default();
    let here = [Value::known(".")];
    let starts = if starts.is_empty() { &here } else { starts };
    for start in starts {
        place(w, &[Action::ListFiles], start, true, ctx, scope);
    }
    expression(w, rest, starts, ctx, scope);
}

fn expression(w: &mut Walker, mut rest: &[Value], starts: &[Value], ctx: &Context, scope: &mut Scope) {
    while let Some((test, tail)) = rest.split_first() {
        let value = tail.first();
        rest = tail;
        let mut takes = usize::from(!ALONE.contains(&test.text.as_str()));
        match test.text.as_str() {
            text if ALONE.contains(&text) || VALUED.contains(&text) => {}
            "-ls" | "-prune" | "-quit" => takes = 0,
            "-printf" => {}
            "-delete" => {
                takes = 0;
                for start in starts {
                    place(w, &[Action::RemoveFile], start, true, ctx, scope);
                }
            }
            "-fprint" | "-fprint0" | "-fls" => written(w, value, ctx, scope),
            "-fprintf" => {
                written(w, value, ctx, scope);
                takes = 2;
            }
            text if matches!(text, "-anewer" | "-cnewer" | "-newer" | "-samefile") || is_newer(text) => {
                if let Some(file) = value.filter(|v| !text.ends_with('t') || scope.resolve(&v.text).is_ok()) {
                    w.file(&[Action::ListFiles], file, ctx, scope);
                }
            }
            "-exec" | "-ok" => takes = command(w, tail, starts, ctx, scope),
            // Where it runs, names without a slash are others.
            "-execdir" | "-okdir" => {
                w.opaque(format!("`find {}`, which runs where the file is", test.text), ctx);
                takes = command(w, tail, starts, ctx, scope);
            }
            other => return w.opaque(format!("an expression of `find` that is not known: `{other}`"), ctx),
        }
        rest = rest.get(takes..).unwrap_or_default();
    }
}

/// `-newerXY`
fn is_newer(text: &str) -> bool {
    text.strip_prefix("-newer").is_some_and(|xy| xy.len() == 2 && xy.bytes().all(|b| b"aBcmt".contains(&b)))
}

fn written(w: &mut Walker, file: Option<&Value>, ctx: &Context, scope: &Scope) {
    if let Some(file) = file {
        w.file(&[Action::WriteFile], file, ctx, scope);
    }
}

/// A command up to `;`, or to `+` behind a `{}`; how many words it is.
fn command(w: &mut Walker, words: &[Value], starts: &[Value], ctx: &Context, scope: &mut Scope) -> usize {
    let text = |n: usize| words.get(n).map(|v| v.text.as_str());
    let many = |n: usize| text(n) == Some("+") && n.checked_sub(1).and_then(text) == Some("{}");
    let end = (0..words.len()).find(|n| text(*n) == Some(";") || many(*n)).unwrap_or(words.len());
    let mut command = words.get(..end).unwrap_or_default().to_vec();
    found(w, &command, starts, ctx, scope);
    if many(end) {
        // As many as there are: what comes last may be written, what comes first be no file.
        command.extend([Value::known("{}"), Value::known("{}")]);
        found(w, &command, starts, ctx, scope);
    }
    end + 1
}

/// A command that is run for what is found: `{}` stands for one of the starts, and for a file below it.
fn found(w: &mut Walker, command: &[Value], starts: &[Value], ctx: &Context, scope: &mut Scope) {
    if command.first().is_some_and(|c| c.text.contains("{}")) {
        return w.opaque("`find` that runs what it finds", ctx);
    }
    // They have its standard input.
    let ctx = ctx.within();
    for start in starts {
        let below =
            Value { text: format!("{}/{{}}", start.text.trim_end_matches('/')), unknown: start.unknown.clone() };
        for found in [start, &below] {
            let words: Vec<Value> = command
                .iter()
                .map(|word| match word.text.as_str() {
                    "{}" => found.clone(),
                    text if text.contains("{}") => Value::unknown(text, "a name that is found"),
                    _ => word.clone(),
                })
                .collect();
            programs::words(w, &words, &ctx, scope);
        }
    }
}
