//! Programs that copy from and to other machines.
use crate::{
    files::{BOTH, READ, WRITE, each, paths, reaches},
    options::Arguments,
    scope::{Scope, Value},
    walk::{Context, Walker},
};
use doorward_model::Action;

/// Programs that reach other machines: what happens there is out of sight.
pub(crate) fn elsewhere(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    if arguments.iter().any(|a| a.text.starts_with("-o") || a.text.starts_with("-e") || a.text.starts_with("-c")) {
        w.opaque(format!("`{name}` with an option that may run programs"), ctx);
    }
    let host = arguments.iter().find(|a| !a.text.starts_with('-') && a.unknown.is_none() && !a.text.contains('/'));
    if let Some(host) = host.filter(|_| matches!(name, "ssh" | "sftp")) {
        reaches(w, host.text.rsplit('@').next().unwrap_or_default(), 22, ctx);
    }
    w.opaque(format!("`{name}`, which reaches other machines"), ctx);
}

/// `curl` by its options; a URL of another kind than these reads files (`file:`), or is not followed.
pub(crate) fn curl(w: &mut Walker, args: &Arguments, ctx: &Context, scope: &Scope) {
    let urls: Vec<&Value> = args.operands.iter().chain(args.of('u')).collect();
    for url in &urls {
        if !is_plain_url(&url.text) {
            w.opaque(format!("`curl` of a URL that is not followed: `{}`", url.text), ctx);
        }
    }
    let mut directories: Vec<Value> = args.of('D').cloned().collect();
    directories.push(Value::known("."));
    for directory in &directories {
        if args.has('O') {
            each(w, WRITE, std::slice::from_ref(directory), true, ctx, scope);
            each(w, WRITE, &urls.iter().map(|u| saved(directory, &u.text)).collect::<Vec<_>>(), false, ctx, scope);
        }
        for out in args.of('o') {
            if out.text.contains('#') {
                w.opaque("`curl -o` into a file that is named by a URL", ctx);
            }
            let joined = Value { text: format!("{}/{}", directory.text, out.text), ..out.clone() };
            let whole = if out.text.starts_with(['/', '~']) || out.text == "-" { out.clone() } else { joined };
            if whole.text != "-" {
                each(w, WRITE, &[whole], false, ctx, scope);
            }
        }
    }
    for (role, value) in &args.values {
        curl_value(w, *role, value, ctx, scope);
    }
}

/// Values that may name a file: `@FILE`, `name=@FILE`, `name@FILE`, a file of cookies.
fn curl_value(w: &mut Walker, role: char, value: &Value, ctx: &Context, scope: &Scope) {
    let text = value.text.as_str();
    let file = match role {
        '@' if text.contains("%output") => return w.opaque("`curl -w` that writes files", ctx),
        '@' => text.strip_prefix('@'),
        '&' => match text.split_once('=') {
            Some((_, content)) if content.starts_with(['@', '<']) => content.get(1..),
            _ => text.split_once('@').map(|(_, file)| file),
        },
        ';' if !text.contains('=') => Some(text),
        'r' if text.contains(['{', '[', ':']) => return w.opaque("`curl` with a file that is named by a pattern", ctx),
        _ => None,
    };
    let Some(file) = file.filter(|f| !f.is_empty()) else { return };
    if role == '&' && file.contains([',', '"', '\\']) {
        return w.opaque("`curl` with files that are not read plainly", ctx);
    }
    let file = if role == '&' { file.split(';').next().unwrap_or_default() } else { file };
    each(w, READ, &[Value { text: file.to_owned(), ..value.clone() }], false, ctx, scope);
}

/// `http://…`, `https://…`, `ftp://…`, or a name of a machine alone.
fn is_plain_url(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let schemed = ["http://", "https://", "ftp://"].iter().any(|s| lower.starts_with(s));
    let bare = lower.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !lower.contains(['{', '[', '\\'])
        && !lower.contains("://")
        && !lower.starts_with("file:");
    schemed || bare
}

/// What a URL is saved as.
fn saved(directory: &Value, url: &str) -> Value {
    let name = url.split(['?', '#']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    Value::known(format!("{}/{name}", directory.text))
}

/// `wget` writes what it loads into a directory, unless it is told where.
pub(crate) fn wget(w: &mut Walker, args: &Arguments, ctx: &Context, scope: &Scope) {
    for url in args.operands.iter().filter(|u| !is_plain_url(&u.text)) {
        w.opaque(format!("`wget` of a URL that is not followed: `{}`", url.text), ctx);
    }
    let outputs: Vec<Value> = args.of('o').cloned().collect();
    each(w, WRITE, &outputs.iter().filter(|o| o.text != "-").cloned().collect::<Vec<_>>(), false, ctx, scope);
    if outputs.is_empty() && !args.has('k') {
        let directory = args.of('D').next().cloned().unwrap_or_else(|| Value::known("."));
        let files: Vec<Value> = args.operands.iter().map(|u| saved(&directory, &u.text)).collect();
        each(w, WRITE, &[directory], true, ctx, scope);
        each(w, WRITE, &files, false, ctx, scope);
    }
}

/// `scp`, `rsync`, `zip` as their callers use them.
pub(crate) fn copies(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &Scope) {
    runs_by_option(w, name, arguments, ctx);
    only_known(w, name, arguments, ctx);
    paths(w, arguments, ctx, scope);
    let files: Vec<Value> = arguments.iter().filter(|a| !a.text.starts_with('-')).cloned().collect();
    if name == "zip" {
        if let Some(archive) = files.first() {
            each(
                w,
                BOTH,
                &[archive.clone(), Value { text: format!("{}.zip", archive.text), ..archive.clone() }],
                false,
                ctx,
                scope,
            );
        }
        return each(w, READ, files.get(1..).unwrap_or_default(), true, ctx, scope);
    }
    let local = |a: &&Value| !a.text.split('/').next().unwrap_or_default().contains(':');
    let Some((target, sources)) = files.split_last() else { return };
    let sources: Vec<Value> = sources.iter().filter(local).cloned().collect();
    each(w, READ, &sources, true, ctx, scope);
    if local(&target) {
        let mut actions = WRITE.to_vec();
        actions.extend(arguments.iter().any(|a| a.text == "--delete").then_some(Action::RemoveFile));
        each(w, &actions, std::slice::from_ref(target), true, ctx, scope);
        let names = files.iter().map(|s| s.text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default());
        let within: Vec<Value> = names.map(|n| Value::known(format!("{}/{n}", target.text))).collect();
        each(w, WRITE, within.get(..sources.len().max(1)).unwrap_or_default(), false, ctx, scope);
    }
}

/// Options by which programs that copy run others.
fn runs_by_option(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    let options: &[&str] = match name {
        "zip" => &["-T", "-@", "--"],
        "rsync" => &["-e", "--rsh", "--rsync-path"],
        "scp" => &["-S", "-o", "-J"],
        _ => &[],
    };
    for argument in arguments {
        if options.iter().any(|o| argument.text.starts_with(o)) && argument.text != "--" {
            w.opaque(format!("an option by which `{name}` runs programs: `{}`", argument.text), ctx);
        }
    }
}

/// Programs with options that run others, in clusters and abbreviations: what is not known of them is opaque.
fn only_known(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    const RSYNC: [&str; 22] = [
        "--archive",
        "--verbose",
        "--delete",
        "--dry-run",
        "--recursive",
        "--times",
        "--perms",
        "--stats",
        "--progress",
        "--partial",
        "--human-readable",
        "--checksum",
        "--update",
        "--inplace",
        "--size-only",
        "--ignore-existing",
        "--links",
        "--compress",
        "--quiet",
        "--version",
        "--help",
        "--itemize-changes",
    ];
    let clusters = |known: &'static str| {
        move |text: &str| text.strip_prefix('-').is_some_and(|o| !o.is_empty() && o.chars().all(|c| known.contains(c)))
    };
    let odd = |plain: &dyn Fn(&str) -> bool| {
        arguments.iter().find(|a| a.text.starts_with('-') && a.text != "--" && !plain(&a.text)).cloned()
    };
    let unknown = match name {
        "scp" => odd(&clusters("346ABCpqrTv")),
        "zip" => odd(&clusters("rqj0123456789yuvXD")),
        "rsync" => {
            let plain = clusters("avrtpogDnzhPucHAXSWxLKkOJiq");
            let long = |t: &str| RSYNC.contains(&t) || t.starts_with("--exclude=") || t.starts_with("--include=");
            odd(&|t: &str| plain(t) || long(t))
        }
        _ => None,
    };
    if let Some(argument) = unknown {
        w.opaque(format!("`{name} {}`, which may run programs or read elsewhere", argument.text), ctx);
    }
}
