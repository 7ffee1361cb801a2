//! Programs that make files of others: copies, links, packed files, archives.
use crate::{
    files::{BOTH, READ, WRITE, each},
    options::{Arguments, Program},
    scope::{Scope, Value},
    walk::{Context, Walker},
};
use doorward_model::Action;

const MOVE: &[Action] = &[Action::ReadFile, Action::RemoveFile];
const REPLACE: &[Action] = &[Action::ReadFile, Action::WriteFile, Action::RemoveFile];

/// `cp`, `mv`, `ln`, `install`: what comes last, or is named by `-t`, is written, and so is what is put into it.
pub(crate) fn run(w: &mut Walker, kind: &str, args: &Arguments, ctx: &Context, scope: &Scope) {
    if args.has('d') {
        return each(w, WRITE, &args.operands, false, ctx, scope);
    }
    let mut sources = args.operands.clone();
    let mut targets: Vec<Value> = args.of('t').cloned().collect();
    if targets.is_empty() {
        let here = Value::known(".");
        targets.extend(if kind == "link" && sources.len() == 1 { Some(here) } else { sources.pop() });
    }
    let below = kind == "move" || args.has('*') || args.has('s');
    let actions = match kind {
        "move" => MOVE,
        // Through the link, what it leads to can be written.
        "link" => BOTH,
        _ => READ,
    };
    each(w, actions, &sources, below, ctx, scope);
    let whole = below && kind != "link";
    each(w, WRITE, &targets, whole, ctx, scope);
    for target in &targets {
        let places: Vec<Value> = sources.iter().map(|s| within(target, last_part(&s.text), s)).collect();
        each(w, WRITE, &places, whole, ctx, scope);
        if args.has('s') {
            links(w, &sources, target, ctx, scope);
        }
    }
}

/// Where symbolic links lead: their text is read from the directory that they are in.
fn links(w: &mut Walker, sources: &[Value], target: &Value, ctx: &Context, scope: &Scope) {
    let parent = Value { text: format!("{}/..", target.text), ..target.clone() };
    for source in sources.iter().filter(|s| !s.text.starts_with(['/', '~'])) {
        for directory in [target, &parent] {
            each(w, BOTH, &[within(directory, &source.text, source)], true, ctx, scope);
        }
    }
}

fn within(directory: &Value, name: &str, source: &Value) -> Value {
    Value {
        text: format!("{}/{name}", directory.text),
        unknown: directory.unknown.clone().or_else(|| source.unknown.clone()),
    }
}

fn last_part(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The directory that a path is in.
fn parent(path: &Value) -> Value {
    let text = match path.text.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/".to_owned(),
        Some((directory, _)) => directory.to_owned(),
        None => ".".to_owned(),
    };
    Value { text, ..path.clone() }
}

/// Endings of packed files, and what stands for them when they are unpacked (gzip(1), xz(1), bzip2(1), zstd(1)).
const ENDINGS: [(&str, &str); 18] = [
    (".gz", ""),
    ("-gz", ""),
    (".z", ""),
    ("-z", ""),
    ("_z", ""),
    (".Z", ""),
    (".tgz", ".tar"),
    (".taz", ".tar"),
    (".xz", ""),
    (".lzma", ""),
    (".txz", ".tar"),
    (".tlz", ".tar"),
    (".lz", ""),
    (".bz2", ""),
    (".bz", ""),
    (".tbz2", ".tar"),
    (".tbz", ".tar"),
    (".zst", ""),
];

/// `gzip` and its like put another file in the place of each; `zcat` and its like only read.
pub(crate) fn packed(
    w: &mut Walker,
    program: &Program,
    files: &[Value],
    args: &Arguments,
    ctx: &Context,
    scope: &Scope,
) {
    let reads = program.operands.ends_with("unpack") || args.has('k');
    let below = args.has('*');
    let mut others = Vec::new();
    for file in files {
        // What bunzip2 makes of a name without an ending.
        others.push(Value { text: format!("{}.out", file.text), ..file.clone() });
        for (ending, instead) in ENDINGS {
            // One that is not there is looked for with an ending.
            let fits = |e: &str| match program.operands {
                "xz" => e.contains('x') || e.contains('l'),
                "gzip" | "1unpack" => true,
                _ => e.ends_with(['z', 'Z', '2', 't', 'a']),
            };
            if fits(ending) && !ending.starts_with(".t") {
                others.push(Value { text: format!("{}{ending}", file.text), ..file.clone() });
            }
            if let Some(stem) = file.text.strip_suffix(ending) {
                others.push(Value { text: format!("{stem}{instead}"), ..file.clone() });
            }
        }
    }
    let actions = if reads { READ } else { REPLACE };
    each(w, actions, files, below, ctx, scope);
    each(w, actions, &others, below, ctx, scope);
    if below {
        each(w, &[Action::ListFiles], files, true, ctx, scope);
    }
}

/// `tar`: what is put into an archive is read, what comes out of it may be anything below a directory.
pub(crate) fn tar(w: &mut Walker, args: &Arguments, ctx: &Context, scope: &Scope) {
    if args.values.iter().any(|(role, v)| *role == 'f' && v.text.contains(':')) {
        w.opaque("`tar` with an archive on another machine", ctx);
    }
    let mut places = vec![scope.clone()];
    for directory in args.of('C') {
        let mut next = places.last().cloned().unwrap_or_default();
        next.enter(directory.as_known());
        each(w, &[Action::ListFiles], std::slice::from_ref(directory), false, ctx, scope);
        places.push(next);
    }
    for place in &places {
        if args.has('c') {
            each(w, &[Action::ReadFile, Action::ListFiles], &args.operands, true, ctx, place);
        }
    }
    if args.has('x') && !args.has('k') {
        // The last directory counts, or for members the one before them; without one, that is where it runs.
        let all = if args.operands.is_empty() { places.len() - 1 } else { usize::from(places.len() > 1) };
        for place in places.iter().skip(all) {
            each(w, &[Action::WriteFile, Action::RemoveFile], &[Value::known(".")], true, ctx, place);
        }
    }
    if !args.has('c') && !args.has('x') && !args.has('t') && !args.operands.is_empty() {
        w.opaque("`tar` without saying what to do", ctx);
    }
}

/// Programs that write files whose names they choose, beside one or within a directory.
pub(crate) fn beside(w: &mut Walker, kind: &str, args: &Arguments, ctx: &Context, scope: &Scope) {
    let here = Value::known(".");
    let operand = |n: usize| args.operands.get(n);
    match kind {
        "split" => {
            each(w, READ, args.operands.get(..1).unwrap_or_default(), false, ctx, scope);
            each(w, WRITE, &[operand(1).map_or(here, parent)], true, ctx, scope);
        }
        "csplit" => {
            each(w, READ, args.operands.get(..1).unwrap_or_default(), false, ctx, scope);
            each(w, WRITE, &[here], true, ctx, scope);
        }
        // What it changes is in what it reads; never above where it runs.
        "patch" => {
            let mut place = scope.clone();
            if let Some(directory) = args.of('C').last() {
                place.enter(directory.as_known());
            }
            for place in [scope, &place] {
                each(w, REPLACE, &args.operands, false, ctx, place);
            }
            each(w, REPLACE, &[here], true, ctx, &place);
        }
        "mktemp" if operand(0).is_some() => {
            let place = args.operands.get(..1).unwrap_or_default();
            each(w, WRITE, &place.iter().map(parent).collect::<Vec<_>>(), true, ctx, scope);
        }
        "unzip" => {
            for archive in args.operands.iter().filter(|o| o.text != "-").take(1) {
                for ending in ["", ".zip", ".ZIP"] {
                    let file = Value { text: format!("{}{ending}", archive.text), ..archive.clone() };
                    each(w, READ, &[file], false, ctx, scope);
                }
            }
            if args.of('D').next().is_none() {
                each(w, WRITE, &[here], true, ctx, scope);
            }
        }
        _ => {}
    }
}
