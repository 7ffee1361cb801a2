//! `git`: subcommands and options that run no program of the caller's choice, by the table.
//!
//! What is in the repository and its work tree is not listed by file, and what its configuration and hooks run is not
//! seen.
use crate::{
    files::{READ, WRITE, each, names, paths},
    options,
    scope::{Scope, Value},
    walk::{Context, Walker},
};
use doorward_model::Action;

pub(crate) fn run(w: &mut Walker, arguments: &[Value], ctx: &Context, scope: &Scope) {
    let mut place = scope.clone();
    let mut rest = arguments;
    while let Some((first, tail)) = rest.split_first() {
        match first.text.as_str() {
            "--no-pager" => rest = tail,
            "-C" => {
                each(w, &[Action::ListFiles], tail.get(..1).unwrap_or_default(), false, ctx, &place);
                place.enter(tail.first().and_then(Value::as_known).filter(|t| !t.is_empty()));
                rest = tail.get(1..).unwrap_or_default();
            }
            _ => break,
        }
    }
    let Some((sub, rest)) = rest.split_first() else { return };
    if matches!(sub.text.as_str(), "--version" | "--help") && rest.is_empty() {
        return;
    }
    let odd = |what: &str, w: &mut Walker| {
        w.opaque(format!("`git {what}`, which may run programs or read elsewhere"), ctx);
        paths(w, arguments, ctx, scope);
    };
    let Some(program) = options::program(&format!("git-{}", sub.text)).filter(|p| p.operands == "git") else {
        return odd(&sub.text, w);
    };
    let args = match program.read(rest) {
        Ok(args) => args,
        Err(option) => return odd(&format!("{} {option}", sub.text), w),
    };
    if let Some(remote) = args.operands.iter().find(|o| o.text.contains("::")) {
        odd(&remote.text, w);
    }
    let said = args.has('m') || args.of('m').chain(args.of('f')).next().is_some();
    if !said && (sub.text == "commit" || (sub.text == "tag" && args.has('a'))) {
        w.opaque(format!("`git {}`, which opens an editor", sub.text), ctx);
    }
    each(w, READ, &args.of('f').cloned().collect::<Vec<_>>(), false, ctx, &place);
    match sub.text.as_str() {
        // Outside of a repository, and for files outside of it, it compares any two.
        "diff" => names(w, &args.operands, ctx, &place),
        "add" => each(w, READ, &args.operands, true, ctx, &place),
        "rm" => each(w, &[Action::RemoveFile], &args.operands, true, ctx, &place),
        "mv" => {
            each(w, &[Action::ReadFile, Action::RemoveFile], &args.operands, true, ctx, &place);
            each(w, WRITE, &args.operands, true, ctx, &place);
        }
        "clone" => {
            let local: Vec<Value> = args.operands.iter().take(1).filter(|o| !o.text.contains(':')).cloned().collect();
            each(w, READ, &local, true, ctx, &place);
            paths(w, &args.operands, ctx, &place);
            let into = args.operands.get(1).map(|d| d.text.as_str());
            let name = args.operands.first().map(|u| u.text.trim_end_matches('/').trim_end_matches(".git"));
            let name = into.or_else(|| name.and_then(|n| n.rsplit(['/', ':']).next())).unwrap_or(".");
            each(w, WRITE, &[Value::known(name)], true, ctx, &place);
        }
        "init" => {
            let here = Value::known(".");
            each(w, WRITE, &[args.operands.first().cloned().unwrap_or(here)], true, ctx, &place);
        }
        _ => paths(w, &args.operands, ctx, &place),
    }
}
