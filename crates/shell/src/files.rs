//! Files that well-known programs read, write, remove; for all others, whatever looks like a path is read.
use crate::{
    scope::{Scope, Value},
    walk::{Context, Walker},
};
use doorward_model::{Action, Resource};

const READ: &[Action] = &[Action::ReadFile];
const WRITE: &[Action] = &[Action::WriteFile];
const REMOVE: &[Action] = &[Action::RemoveFile];
const ALTER: &[Action] = &[Action::AlterFile];
const LIST: &[Action] = &[Action::ListFiles];
const MOVE: &[Action] = &[Action::ReadFile, Action::RemoveFile];

/// Notes the files that a program's arguments name.
pub(crate) fn run(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &Scope) {
    match name {
        "cat" | "tac" | "less" | "more" | "wc" | "md5sum" | "sha1sum" | "sha256sum" | "sha512sum" | "cksum"
        | "strings" | "od" | "hexdump" | "base64" | "nl" | "rev" | "paste" | "comm" | "diff" | "cmp" | "fold"
        | "zcat" | "bzcat" | "xzcat" | "jq" | "column" | "cut" => {
            each(w, READ, operands(arguments), ctx, scope);
            long_options(w, arguments, ctx, scope);
        }
        "head" | "tail" => {
            each(w, READ, operands(&without_counts(arguments)), ctx, scope);
            long_options(w, arguments, ctx, scope);
        }
        "sort" => sort(w, arguments, ctx, scope),
        // What comes second is written.
        "uniq" | "xxd" => {
            let files = operands(arguments);
            each(w, WRITE, files.iter().skip(1).copied().collect(), ctx, scope);
            each(w, READ, files, ctx, scope);
            long_options(w, arguments, ctx, scope);
        }
        "ls" | "dir" | "stat" | "file" | "du" | "df" | "readlink" | "realpath" | "tree" => {
            let files = operands(arguments);
            let here = [Value::known(".")];
            if files.is_empty() && name != "df" {
                each(w, LIST, here.iter().collect(), ctx, scope);
            }
            each(w, LIST, files, ctx, scope);
            long_options(w, arguments, ctx, scope);
            // Lists of names, exclusions, output: `file -f`, `du -X`, `tree -o`.
            if matches!(name, "file" | "du" | "tree")
                && arguments.iter().any(|a| is_cluster_with(a, &['f', 'X', 'o', 'm']))
            {
                each(w, &[Action::ReadFile, Action::WriteFile], operands(arguments), ctx, scope);
            }
        }
        "grep" | "egrep" | "fgrep" | "rg" | "zgrep" => grep(w, arguments, ctx, scope),
        "rm" | "rmdir" | "unlink" | "shred" => each(w, REMOVE, operands(arguments), ctx, scope),
        "touch" | "mkdir" | "tee" | "truncate" | "mkfifo" | "mknod" | "fallocate" => {
            each(w, WRITE, operands(arguments), ctx, scope);
        }
        "chmod" | "chown" | "chgrp" | "chattr" | "setfacl" | "setcap" | "chcon" => {
            each(w, ALTER, operands(arguments).into_iter().skip(1).collect(), ctx, scope);
        }
        "cp" | "mv" | "ln" | "install" => copy(w, name, arguments, ctx, scope),
        "dd" => dd(w, arguments, ctx, scope),
        "ssh" | "sftp" | "telnet" | "nc" | "ncat" | "netcat" | "socat" => elsewhere(w, name, arguments, ctx),
        "git" | "tar" | "zip" | "rsync" | "scp" | "curl" | "wget" => {
            runs_by_option(w, name, arguments, ctx);
            only_known(w, name, arguments, ctx);
            paths(w, arguments, ctx, scope);
            if matches!(name, "scp" | "rsync") {
                let local = |a: &&Value| !a.text.split('/').next().unwrap_or_default().contains(':');
                let files = operands(arguments);
                each(w, WRITE, files.last().copied().filter(local).into_iter().collect(), ctx, scope);
                each(w, READ, files.iter().rev().skip(1).copied().filter(local).collect(), ctx, scope);
            }
        }
        "date" if arguments.iter().any(|a| a.text.starts_with("-f") || a.text.starts_with("--f")) => {
            w.opaque("`date` of a file", ctx);
        }
        _ => paths(w, arguments, ctx, scope),
    }
}

/// Arguments that are no options. An option's value may be among them: that asks for more, not for less.
fn operands(arguments: &[Value]) -> Vec<&Value> {
    let end = arguments.iter().position(|a| a.text == "--").unwrap_or(arguments.len());
    let option = |n: usize, a: &Value| n < end && a.text.starts_with('-');
    arguments.iter().enumerate().filter(|(n, a)| *n != end && !option(*n, a)).map(|(_, a)| a).collect()
}

/// The arguments of `head` and `tail` without numbers that follow `-n` and `-c`: they are no files.
fn without_counts(arguments: &[Value]) -> Vec<Value> {
    let is_number = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text).trim_end_matches(|c: char| c.is_ascii_alphabetic());
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let counts = |n: usize| {
        let before = n.checked_sub(1).and_then(|n| arguments.get(n)).map(|a| a.text.as_str());
        matches!(before, Some("-n" | "-c" | "--lines" | "--bytes"))
    };
    let kept = arguments.iter().enumerate().filter(|(n, a)| !(counts(*n) && is_number(&a.text)));
    kept.map(|(_, a)| a.clone()).collect()
}

/// Whether an argument is short options in one, with one of these among them.
fn is_cluster_with(argument: &Value, options: &[char]) -> bool {
    argument.text.starts_with('-') && !argument.text.starts_with("--") && argument.text.contains(options)
}

/// Long options with values that are no files. Of any other (`--files0-from=F`, `--output=F`, also shortened), the
/// value is taken for a file that is read and written.
const NO_FILES: &str = " --lines --bytes --key --field-separator --delimiter --fields --characters --output-delimiter \
    --color --colour --sort --time --time-style --format --printf --block-size --width --max-depth --threshold --hide \
    --ignore --quoting-style --indicator-style --tabsize --wrap --skip-fields --skip-chars --check-chars --group \
    --all-repeated --parallel --buffer-size --pid --sleep-interval --max-unchanged-stats --follow --check --unified \
    --context --label --type --exclude --exclude-type --total ";

fn long_options(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    for argument in arguments {
        let Some((name, value)) = argument.text.split_once('=').filter(|(name, _)| name.starts_with("--")) else {
            continue;
        };
        if name.contains("prog") || name.starts_with("--co") {
            w.opaque(format!("an option that runs a program: `{}`", argument.text), ctx);
        } else if !NO_FILES.contains(&format!(" {name} ")) {
            each(w, &[Action::ReadFile, Action::WriteFile], vec![&Value::known(value)], ctx, scope);
        }
    }
}

fn sort(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let files = operands(arguments);
    // `-o FILE` may be among other letters, and its file may stand in the next argument, which is an operand to us.
    if arguments.iter().any(|a| is_cluster_with(a, &['o', 'T']) || a.text.starts_with("--o")) {
        each(w, WRITE, files.clone(), ctx, scope);
        let glued = arguments.iter().filter(|a| is_cluster_with(a, &['o', 'T']));
        let values: Vec<Value> =
            glued.filter_map(|a| a.text.split_once(['o', 'T'])).map(|(_, file)| Value::known(file)).collect();
        each(w, WRITE, values.iter().filter(|v| !v.text.is_empty()).collect(), ctx, scope);
    }
    each(w, READ, files, ctx, scope);
    long_options(w, arguments, ctx, scope);
    if arguments.iter().any(|a| a.text.starts_with("--co")) {
        w.opaque("`sort` with an option that runs a program", ctx);
    }
}

fn each(w: &mut Walker, actions: &[Action], files: Vec<&Value>, ctx: &Context, scope: &Scope) {
    for file in files.into_iter().filter(|f| f.text != "-") {
        // A pattern or a variable is opaque already; its text may still meet a policy.
        if file.unknown.is_none() {
            w.file(actions, file, ctx, scope);
        } else if file.text.starts_with('/') {
            w.file(actions, &Value::known(file.text.clone()), ctx, scope);
        }
    }
}

fn grep(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let has_pattern = arguments.iter().any(|a| a.text.starts_with("-e") || a.text.starts_with("--regexp"));
    let files = operands(arguments);
    each(w, READ, files.into_iter().skip(usize::from(!has_pattern)).collect(), ctx, scope);
    if arguments.iter().any(|a| a.text.starts_with("-f") || a.text.starts_with("--pre")) {
        w.opaque("`grep` with an option that reads or runs something else", ctx);
    }
}

fn copy(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let source: &[Action] = if name == "mv" { MOVE } else { READ };
    let into = arguments.iter().position(|a| matches!(a.text.as_str(), "-t" | "--target-directory"));
    let mut files = operands(arguments);
    if let Some(target) = arguments.iter().find_map(|a| a.text.strip_prefix("--target-directory=")) {
        each(w, WRITE, vec![&Value::known(target)], ctx, scope);
        return each(w, source, files, ctx, scope);
    }
    let target = match into {
        Some(n) => arguments.get(n + 1),
        None => files.pop(),
    };
    each(w, WRITE, target.into_iter().collect(), ctx, scope);
    each(w, source, files, ctx, scope);
    if name == "ln" {
        // Through the link, what it leads to can be written.
        each(w, WRITE, operands(arguments), ctx, scope);
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

/// Programs that reach other machines: what happens there is out of sight.
fn elsewhere(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    if arguments.iter().any(|a| a.text.starts_with("-o") || a.text.starts_with("-e") || a.text.starts_with("-c")) {
        w.opaque(format!("`{name}` with an option that may run programs"), ctx);
    }
    let host = operands(arguments).into_iter().find(|a| a.unknown.is_none() && !a.text.contains('/'));
    match host {
        Some(host) if name == "ssh" || name == "sftp" => {
            let host = host.text.rsplit('@').next().unwrap_or_default().to_lowercase();
            w.add(Action::Forward, Resource::Host { host: host.into(), port: 22 }, ctx);
        }
        _ => {}
    }
    w.opaque(format!("`{name}`, which reaches other machines"), ctx);
}

/// Options by which programs that copy run others.
fn runs_by_option(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    let options: &[&str] = match name {
        "git" => &[
            "-c",
            "--config-env",
            "--exec",
            "--upload-pack",
            "--receive-pack",
            "-u",
            "--exec-path",
            "-O",
            "--ext-diff",
        ],
        "tar" => &[
            "--checkpoint-action",
            "--to-command",
            "-I",
            "--use-compress-program",
            "-F",
            "--info-script",
            "--new-volume-script",
            "--rsh-command",
            "--rmt-command",
        ],
        "zip" => &["-TT", "--unzip-command"],
        "rsync" => &["-e", "--rsh", "--rsync-path"],
        "scp" => &["-S", "-o", "-J"],
        "wget" => &["--use-askpass", "-e", "--execute", "--config"],
        "curl" => &["-K", "--config"],
        _ => &[],
    };
    let clustered = |text: &str| name == "tar" && !text.starts_with("--") && text.contains(['I', 'F']);
    for argument in arguments {
        if options.iter().any(|o| argument.text.starts_with(o)) || clustered(&argument.text) {
            w.opaque(format!("an option by which `{name}` runs programs: `{}`", argument.text), ctx);
        }
    }
}

/// Programs with options that run others, in clusters and abbreviations: what is not known of them is opaque.
fn only_known(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context) {
    const GIT: [&str; 36] = [
        "status",
        "log",
        "diff",
        "show",
        "fetch",
        "pull",
        "push",
        "clone",
        "init",
        "add",
        "commit",
        "checkout",
        "switch",
        "branch",
        "tag",
        "merge",
        "rev-parse",
        "ls-files",
        "ls-remote",
        "remote",
        "describe",
        "blame",
        "shortlog",
        "reset",
        "restore",
        "stash",
        "rm",
        "mv",
        "cat-file",
        "rev-list",
        "count-objects",
        "fsck",
        "gc",
        "help",
        "version",
        "ls-tree",
    ];
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
        "--coress",
        "--quiet",
        "--version",
        "--help",
        "--itemize-changes",
    ];
    let clusters = |known: &str| {
        let known = known.to_owned();
        move |text: &str| text.strip_prefix('-').is_some_and(|o| !o.is_empty() && o.chars().all(|c| known.contains(c)))
    };
    let unknown = match name {
        "scp" => {
            let plain = clusters("346ABCpqrTv");
            arguments.iter().find(|a| a.text.starts_with('-') && a.text != "--" && !plain(&a.text))
        }
        "rsync" => {
            let plain = clusters("avrtpogDnzhPucHAXSWxLKkOJiq");
            let long = |t: &str| RSYNC.contains(&t) || t.starts_with("--exclude=") || t.starts_with("--include=");
            arguments.iter().find(|a| a.text.starts_with('-') && a.text != "--" && !plain(&a.text) && !long(&a.text))
        }
        "git" => {
            let mut rest = arguments;
            while let Some((first, tail)) = rest.split_first() {
                match first.text.as_str() {
                    "--no-pager" => rest = tail,
                    "-C" => rest = tail.get(1..).unwrap_or_default(),
                    _ => break,
                }
            }
            let plain = |a: &Value| GIT.contains(&a.text.as_str()) || matches!(a.text.as_str(), "--version" | "--help");
            let odd = |a: &&Value| a.text == "--no-index" || a.text.contains("::");
            rest.first().filter(|a| !plain(a)).or_else(|| rest.iter().find(odd))
        }
        _ => None,
    };
    if let Some(argument) = unknown {
        w.opaque(format!("`{name} {}`, which may run programs or read elsewhere", argument.text), ctx);
    }
}

/// Whatever looks like a path is taken to be read.
pub(crate) fn paths(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    for argument in arguments.iter().filter(|a| a.unknown.is_none()) {
        let text = argument.text.as_str();
        let value = match text.strip_prefix('-') {
            Some(option) => match text.split_once('=') {
                Some((_, value)) => value,
                None => option.find('/').and_then(|n| option.get(n..)).unwrap_or_default(),
            },
            None => text.split_once('=').map_or(text, |(_, v)| v),
        };
        let value = value.trim_start_matches('@');
        let is_url = value.contains("://");
        if !is_url && (value.contains('/') || value.starts_with('~') || matches!(value, "." | "..")) {
            w.file(READ, &Value::known(value), ctx, scope);
        }
    }
}
