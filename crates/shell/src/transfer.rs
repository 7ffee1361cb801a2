//! The far ends of `scp`, `rsync`, `git` and `sftp`, which OpenSSH and its like start as commands.
use crate::{
    scope::{Scope, Value},
    walk::{Context, Stdin, Walker},
};
use doorward_model::{Action, Resource};

/// What the bytes after the command mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The old protocol of `scp`, towards the upstream (`scp -t`).
    ScpSink,
    /// The old protocol of `scp`, from the upstream (`scp -f`).
    ScpSource,
    /// `rsync --server`.
    Rsync,
    /// `git-upload-pack`, `git-upload-archive`.
    GitUploadPack,
    /// `git-receive-pack`.
    GitReceivePack,
    /// SFTP (`sftp-server` started by name).
    Sftp,
}

/// Notes a transfer. False if the program is none.
pub(crate) fn run(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &mut Scope) -> bool {
    let sftp = ["sftp-server", "internal-sftp", "/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server"];
    let protocol = match name {
        "scp" => scp(w, arguments, ctx, scope),
        "rsync" => rsync(w, arguments, ctx, scope),
        "git-upload-pack" | "git-upload-archive" => git(w, name, arguments, ctx, scope),
        "git-receive-pack" => git(w, name, arguments, ctx, scope),
        "git" => match arguments.split_first() {
            Some((sub, rest)) if matches!(sub.text.as_str(), "upload-pack" | "upload-archive" | "receive-pack") => {
                git(w, &format!("git-{}", sub.text), rest, ctx, scope)
            }
            _ => None,
        },
        _ if sftp.contains(&name) || name.ends_with("/sftp-server") => {
            let resource = Resource::Object { kind: "subsystem".into(), name: "sftp".into() };
            w.add(Action::Subsystem, resource, ctx);
            if !arguments.is_empty() {
                w.opaque("`sftp-server` with options", ctx);
            }
            Some(Protocol::Sftp)
        }
        _ => None,
    };
    let Some(protocol) = protocol else { return false };
    if ctx.alone && ctx.stdin == Stdin::Caller {
        w.protocol = Some(protocol);
    } else {
        w.opaque(format!("`{name}` among other commands"), ctx);
    }
    true
}

fn is_long(a: &Value, name: &str) -> bool {
    a.text.strip_prefix("--").is_some_and(|o| o == name)
}

fn scp(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) -> Option<Protocol> {
    let options: Vec<&str> =
        arguments.iter().take_while(|a| a.text != "--").filter_map(|a| a.text.strip_prefix('-')).collect();
    let letter = |l: char| options.iter().any(|o| o.contains(l));
    let protocol = match (letter('t'), letter('f')) {
        (true, false) => Protocol::ScpSink,
        (false, true) => Protocol::ScpSource,
        _ => return None,
    };
    if !options.iter().all(|o| o.bytes().all(|b| b"tfrpdvq".contains(&b))) {
        w.opaque("`scp` with options that are not known", ctx);
    }
    let end = arguments.iter().position(|a| a.text == "--");
    let paths = match end {
        Some(n) => arguments.get(n + 1..).unwrap_or_default(),
        None => {
            let n = arguments.iter().take_while(|a| a.text.starts_with('-')).count();
            arguments.get(n..).unwrap_or_default()
        }
    };
    let own = if protocol == Protocol::ScpSink { Action::WriteFile } else { Action::ReadFile };
    for path in paths {
        place(w, &[Action::Scp, own], path, letter('r') || letter('d'), ctx, scope);
    }
    Some(protocol)
}

/// A path, and where directories are meant, also what is below it.
pub(crate) fn place(w: &mut Walker, actions: &[Action], path: &Value, below: bool, ctx: &Context, scope: &Scope) {
    w.file(actions, path, ctx, scope);
    let Some(text) = path.as_known().filter(|_| below) else { return };
    for path in scope.resolve(text).unwrap_or_default() {
        for action in actions {
            let path = format!("{}/", path.trim_end_matches('/'));
            w.add(*action, Resource::File { path: path.into() }, ctx);
        }
    }
}

fn rsync(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) -> Option<Protocol> {
    if !arguments.first().is_some_and(|a| is_long(a, "server")) {
        return None;
    }
    let sender = arguments.iter().any(|a| is_long(a, "sender"));
    let dot = arguments.iter().position(|a| a.text == ".");
    let (options, paths) = match dot {
        Some(n) => (arguments.get(..n).unwrap_or_default(), arguments.get(n + 1..).unwrap_or_default()),
        None => (arguments, [].as_slice()),
    };
    let flag = |name: &str| options.iter().any(|o| o.text.starts_with(name));
    if flag("--daemon") || flag("--config") || flag("-s") || flag("--files-from") || flag("--write-batch") {
        w.opaque("`rsync` with options that hide its paths", ctx);
    }
    let mut actions = vec![Action::Rsync, if sender { Action::ReadFile } else { Action::WriteFile }];
    if flag("--delete") || flag("--remove-s") {
        actions.push(Action::RemoveFile);
    }
    if paths.is_empty() {
        w.opaque("`rsync` without a path", ctx);
    }
    for path in paths {
        place(w, &actions, path, true, ctx, scope);
    }
    for value in options.iter().filter_map(|o| o.text.split_once('=')).map(|(_, v)| v).filter(|v| v.contains('/')) {
        w.file(&[Action::ReadFile, Action::WriteFile], &Value::known(value), ctx, scope);
    }
    Some(Protocol::Rsync)
}

fn git(w: &mut Walker, name: &str, arguments: &[Value], ctx: &Context, scope: &Scope) -> Option<Protocol> {
    let (action, own, protocol) = if name == "git-receive-pack" {
        (Action::GitReceivePack, Action::WriteFile, Protocol::GitReceivePack)
    } else {
        (Action::GitUploadPack, Action::ReadFile, Protocol::GitUploadPack)
    };
    let known = ["--strict", "--no-strict", "--stateless-rpc", "--advertise-refs"];
    let mut repositories = 0;
    for argument in arguments.iter().filter(|a| !known.contains(&a.text.as_str())) {
        if argument.text.starts_with('-') && !argument.text.starts_with("--timeout=") {
            w.opaque(format!("an option of `{name}` that is not known: `{}`", argument.text), ctx);
        } else if !argument.text.starts_with('-') {
            repositories += 1;
            w.file(&[action, own], argument, ctx, scope);
        }
    }
    (repositories == 1).then_some(protocol)
}
