//! Goes through the commands in the order in which a shell would, and notes what each would do.
use crate::{
    ast::{After, Assignment, Node, Part, Pipeline, Redirect, Script, Simple, Target, Word},
    builtins, parser, path, programs,
    scope::{Scope, Value},
    transfer::Protocol,
};
use doorward_model::{Access, Action, Resource};
use std::collections::BTreeSet;

/// How many commands are gone through, and how many rights a command line may ask for.
pub(crate) const MOST: usize = 4000;
/// Loops over no more words than this are gone through word by word.
const UNROLLED: usize = 16;

/// What a command reads from standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// What the caller sends.
    Caller,
    /// A text that is in the command line.
    Text(String),
    /// A file, a pipe.
    Elsewhere,
    /// The commands that follow it, of which it may read some.
    Commands,
}

/// Under which circumstances a command runs.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// With the rights of the superuser.
    pub(crate) root: bool,
    pub(crate) stdin: Stdin,
    /// It is all that the command line does.
    pub(crate) alone: bool,
    /// How deep texts are nested in texts.
    pub(crate) depth: u32,
}

impl Context {
    pub(crate) fn inner(&self) -> Self {
        Self { alone: false, ..self.clone() }
    }

    /// For what runs in the course of a command, and has the same standard input.
    pub(crate) fn within(&self) -> Self {
        if self.stdin == Stdin::Commands { self.inner() } else { self.with_stdin(Stdin::Elsewhere) }
    }

    pub(crate) fn with_stdin(&self, stdin: Stdin) -> Self {
        Self { stdin, ..self.inner() }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    pub(crate) accesses: BTreeSet<Access>,
    pub(crate) programs: Vec<String>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) steps: usize,
    /// How many programs that run others it is in.
    pub(crate) nested: u32,
    /// How long the commands gone through were together.
    pub(crate) weight: usize,
    /// More lines follow in the same shell, which are read on their own.
    pub(crate) lives_on: bool,
    /// The commands at hand come by the standard input of their shell.
    pub(crate) by_input: bool,
}

impl Walker {
    pub(crate) fn add(&mut self, action: Action, resource: Resource, ctx: &Context) {
        if self.accesses.len() < MOST {
            self.accesses.insert(Access::new(action, resource).with_root(ctx.root));
        } else {
            self.opaque("more than can be listed", ctx);
        }
    }

    pub(crate) fn opaque(&mut self, what: impl Into<String>, ctx: &Context) {
        let what: String = what.into().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(200).collect();
        let resource = Resource::Opaque { what: what.into() };
        self.accesses.insert(Access::new(Action::Opaque, resource).with_root(ctx.root));
    }

    /// A file that is named by a word.
    pub(crate) fn file(&mut self, actions: &[Action], value: &Value, ctx: &Context, scope: &Scope) {
        let Some(path) = value.as_known() else {
            return self.opaque(format!("a file that is only known when it is used: `{}`", value.text), ctx);
        };
        match scope.resolve(path) {
            Ok(paths) => {
                for path in paths.into_iter().filter(|p| !path::is_standard(p)) {
                    // What `find` puts there is anything below.
                    if let Some(start) = path.strip_suffix("{}").filter(|s| s.ends_with('/')) {
                        for action in actions {
                            self.add(*action, Resource::File { path: start.into() }, ctx);
                        }
                    }
                    for action in actions {
                        self.add(*action, Resource::File { path: path.as_str().into() }, ctx);
                    }
                }
            }
            Err(why) => self.opaque(format!("{why}: `{path}`"), ctx),
        }
    }

    /// A text that a shell reads.
    pub(crate) fn text(&mut self, text: &str, ctx: &Context, scope: &mut Scope) {
        match parser::parse(text, ctx.depth) {
            Ok(script) => self.script(&script, &Context { depth: ctx.depth + 2, ..ctx.clone() }, scope),
            Err(parser::NotRead(why)) => self.opaque(format!("a command line that could not be read: {why}"), ctx),
        }
    }

    pub(crate) fn script(&mut self, script: &Script, ctx: &Context, scope: &mut Scope) {
        let alone = ctx.alone && script.pipelines.len() == 1;
        let ctx = Context { alone, ..ctx.clone() };
        // The states in which the list at hand may have been left early.
        let mut left: Vec<Scope> = Vec::new();
        for pipeline in &script.pipelines {
            match pipeline.after {
                After::Always => left.drain(..).for_each(|other| scope.merge(&other)),
                After::Success => left.push(scope.clone()),
                After::Failure => {
                    left.iter().for_each(|other| scope.merge(other));
                    left.push(scope.clone());
                }
            }
            let before = scope.directories.clone();
            let all_before = pipeline.negated.then(|| scope.clone());
            self.pipeline(pipeline, &ctx, scope);
            if let Some(failed) = all_before {
                scope.merge(&failed);
            }
            // Many states are one that holds what they have in common.
            if left.len() > 16 {
                let mut all = left.split_off(0).into_iter();
                left.extend(all.next().map(|first| {
                    all.fold(first, |mut sum, other| {
                        sum.merge(&other);
                        sum
                    })
                }));
            }
            if scope.directories != before {
                // It may also have failed to change the directory.
                let mut stayed = scope.clone();
                stayed.directories = before;
                left.push(stayed);
            }
        }
        left.iter().for_each(|other| scope.merge(other));
    }

    fn pipeline(&mut self, pipeline: &Pipeline, ctx: &Context, scope: &mut Scope) {
        if let ([node], false) = (pipeline.nodes.as_slice(), pipeline.background) {
            return self.node(node, ctx, scope);
        }
        for (n, node) in pipeline.nodes.iter().enumerate() {
            let ctx = if n == 0 { ctx.inner() } else { ctx.with_stdin(Stdin::Elsewhere) };
            let mut own = scope.clone();
            self.node(node, &ctx, &mut own);
            if !pipeline.background {
                // Some shells run the last one themselves.
                scope.merge(&own);
            }
        }
    }

    fn node(&mut self, node: &Node, ctx: &Context, scope: &mut Scope) {
        self.steps += 1;
        if self.steps > MOST {
            return self.opaque("more commands than can be gone through", ctx);
        }
        match node {
            Node::Simple(simple) => self.simple(simple, ctx, scope),
            Node::Group(script, redirects) => {
                let before = scope.clone();
                let ctx = self.redirected(redirects, ctx, scope);
                self.script(script, &ctx, scope);
                if !redirects.is_empty() {
                    // A redirection that fails keeps it from running.
                    scope.merge(&before);
                }
            }
            Node::Subshell(script, redirects) => {
                let ctx = self.redirected(redirects, ctx, scope);
                self.script(script, &ctx, &mut scope.clone());
            }
            Node::Branches(words, bodies, redirects) => {
                words.iter().for_each(|w| self.visit(&w.parts, ctx, scope));
                let ctx = self.redirected(redirects, ctx, scope).inner();
                for body in bodies {
                    let mut own = scope.clone();
                    self.script(body, &ctx, &mut own);
                    scope.merge(&own);
                }
            }
            Node::Loop { variable, words, bodies, redirects } => {
                let ctx = self.redirected(redirects, ctx, scope).inner();
                self.repeat(variable.as_deref(), words, bodies, &ctx, scope);
            }
            Node::Function { name, body } => {
                // Whether a name is a function where it is called is not followed well enough to build on.
                self.opaque(format!("the function `{name}`"), ctx);
                let mut own = scope.clone();
                own.forget();
                own.functions.insert(name.clone());
                own.in_function = true;
                self.node(body, &ctx.with_stdin(Stdin::Elsewhere), &mut own);
                scope.functions.insert(name.clone());
            }
        }
    }

    fn repeat(&mut self, variable: Option<&str>, words: &[Word], bodies: &[Script], ctx: &Context, scope: &mut Scope) {
        words.iter().for_each(|w| self.visit(&w.parts, ctx, scope));
        let values: Vec<Value> = words.iter().map(|w| scope.value(w)).collect();
        let mut changed = Changes::default();
        bodies.iter().for_each(|b| changed.of_script(b));
        changed.apply(scope);
        let known: Option<Vec<&str>> = values.iter().map(Value::as_known).collect();
        let known = known.filter(|k| k.len() <= UNROLLED).unwrap_or_default();
        let rounds = known.len().max(1);
        for round in 0..rounds {
            if let Some(name) = variable {
                note_variable(self, name, ctx);
                scope.set(name, known.get(round).map(|v| (*v).to_owned()));
            }
            for body in bodies {
                let mut own = scope.clone();
                self.script(body, ctx, &mut own);
                scope.merge(&own);
            }
        }
        if let Some(name) = variable {
            scope.set(name, None);
        }
        changed.apply(scope);
    }

    /// Commands within words.
    fn visit(&mut self, parts: &[Part], ctx: &Context, scope: &Scope) {
        for part in parts {
            match part {
                Part::Command(script) => {
                    self.script(script, &ctx.within(), &mut scope.clone());
                }
                Part::Risky(why) => self.opaque(*why, ctx),
                Part::Text(_)
                | Part::Quoted(_)
                | Part::Pattern(_)
                | Part::Tilde(_)
                | Part::Variable { .. }
                | Part::Unknown(_) => {}
            }
        }
    }

    /// Notes the files of redirections; the circumstances as they change them.
    fn redirected(&mut self, redirects: &[Redirect], ctx: &Context, scope: &Scope) -> Context {
        let mut out = ctx.clone();
        for redirect in redirects {
            if redirect.high && self.lives_on {
                self.opaque("a file descriptor beyond the three that every program has", ctx);
            }
            let (actions, stdin): (&[Action], _) = match &redirect.to {
                Target::Read(_) => (&[Action::ReadFile], Stdin::Elsewhere),
                Target::Write(_) => (&[Action::WriteFile], Stdin::Elsewhere),
                Target::ReadWrite(_) => (&[Action::ReadFile, Action::WriteFile], Stdin::Elsewhere),
                Target::Text(word) => {
                    let text = scope.text_of(&word.parts);
                    (&[], text.map_or(Stdin::Elsewhere, |t| Stdin::Text(t + "\n")))
                }
                Target::Here(body) => {
                    let parts = body.get().map(Vec::as_slice).unwrap_or_default();
                    self.visit(parts, ctx, scope);
                    (&[], scope.text_of(parts).map_or(Stdin::Elsewhere, Stdin::Text))
                }
                Target::Descriptor => (&[], Stdin::Elsewhere),
            };
            if let Target::Read(word) | Target::Write(word) | Target::ReadWrite(word) | Target::Text(word) =
                &redirect.to
            {
                self.visit(&word.parts, ctx, scope);
                if !actions.is_empty() {
                    self.redirect_file(actions, &scope.value(word), ctx, scope);
                }
            }
            if redirect.stdin {
                let empty = matches!(&redirect.to, Target::Read(w) if w.raw == "/dev/null");
                out.stdin = if empty { Stdin::Text(String::new()) } else { stdin };
                out.alone = false;
            }
        }
        out
    }

    fn redirect_file(&mut self, actions: &[Action], value: &Value, ctx: &Context, scope: &Scope) {
        // bash connects to these itself.
        let network = value.text.strip_prefix("/dev/tcp/").or_else(|| value.text.strip_prefix("/dev/udp/"));
        match network.filter(|_| value.unknown.is_none()).and_then(|rest| rest.split_once('/')) {
            Some((host, port)) => match port.parse() {
                Ok(port) => self.add(Action::Forward, Resource::Host { host: host.to_lowercase().into(), port }, ctx),
                Err(_) => self.opaque(format!("a connection to `{}`", value.text), ctx),
            },
            None => self.file(actions, value, ctx, scope),
        }
    }

    fn simple(&mut self, simple: &Simple, ctx: &Context, scope: &mut Scope) {
        let before = (!simple.redirects.is_empty()).then(|| scope.clone());
        for word in &simple.words {
            self.visit(&word.parts, ctx, scope);
        }
        for assignment in &simple.assignments {
            self.visit(&assignment.value.parts, ctx, scope);
        }
        if simple.words.is_empty() && !simple.assignments.is_empty() && !simple.redirects.is_empty() {
            self.opaque("assignments with redirections, whose order shells do not share", ctx);
        }
        let ctx = self.redirected(&simple.redirects, ctx, scope);
        let for_a_program = !simple.words.is_empty();
        for assignment in &simple.assignments {
            self.assign(assignment, for_a_program, &ctx, scope);
        }
        let values: Vec<Value> = simple.words.iter().map(|w| scope.value(w)).collect();
        if self.lives_on && !simple.redirects.is_empty() && values.first().is_some_and(|v| v.text == "exec") {
            self.opaque("`exec` that redirects the shell itself", &ctx);
        }
        if self.by_input && simple.redirects.iter().any(|r| r.stdin) && values.iter().any(|v| v.text == "exec") {
            self.opaque("`exec` by which a shell reads other commands", &ctx);
        }
        if let Some((name, arguments)) = values.split_first() {
            self.command(name, arguments, &ctx, scope);
        }
        if let Some(before) = before {
            // A redirection that fails keeps the command from running.
            scope.merge(&before);
        }
    }

    fn assign(&mut self, a: &Assignment, for_a_program: bool, ctx: &Context, scope: &mut Scope) {
        if scope.is_frozen(&a.name) {
            self.opaque(format!("`{}` is set, which cannot be", a.name), ctx);
        }
        let value = scope.value(&a.value).as_known().map(ToOwned::to_owned);
        let value = match (a.append, value) {
            (false, value) => value,
            (true, Some(more)) => scope.variable(&a.name).map(|own| format!("{own}{more}")),
            (true, None) => None,
        };
        if for_a_program {
            self.add(Action::SetVariable, Resource::Variable { name: a.name.as_str().into() }, ctx);
            scope.set(&a.name, None);
        } else {
            scope.set(&a.name, value);
        }
        note_variable(self, &a.name, ctx);
    }

    /// A command by its words, in a shell.
    pub(crate) fn command(&mut self, name: &Value, arguments: &[Value], ctx: &Context, scope: &mut Scope) {
        let Some(known) = name.as_known() else {
            return self.opaque(format!("a program whose name is only known when it runs: `{}`", name.text), ctx);
        };
        if scope.functions.contains(known) {
            // Its body was gone through where it was defined.
            return scope.forget();
        }
        if !builtins::run(self, known, arguments, ctx, scope) {
            programs::run(self, known, arguments, ctx, scope);
        }
    }
}

/// Notes a variable that programs may have been given: by custom those are in capitals.
pub(crate) fn note_variable(walker: &mut Walker, name: &str, ctx: &Context) {
    if name == "IFS" {
        walker.opaque("`IFS` is changed: words are no longer what they seem", ctx);
    }
    if name == "CDPATH" {
        walker.opaque("`CDPATH` is set: `cd` goes elsewhere", ctx);
    }
    if matches!(name, "POSIXLY_CORRECT" | "_POSIX2_VERSION") {
        walker.opaque(format!("`{name}` is set: options are read by other rules"), ctx);
    }
    // Those that are small and still heard: curl(1), wget(1).
    let proxy = matches!(name, "http_proxy" | "https_proxy" | "ftp_proxy" | "all_proxy" | "no_proxy");
    if proxy || name.len() > 1 && !name.bytes().any(|b| b.is_ascii_lowercase()) {
        walker.add(Action::SetVariable, Resource::Variable { name: name.into() }, ctx);
    }
}

/// What a loop may change between its rounds.
#[derive(Debug, Default)]
struct Changes {
    names: BTreeSet<String>,
    anything: bool,
}

impl Changes {
    fn of_script(&mut self, script: &Script) {
        for node in script.pipelines.iter().flat_map(|p| &p.nodes) {
            self.of_node(node);
        }
    }

    fn of_node(&mut self, node: &Node) {
        match node {
            Node::Simple(simple) => {
                self.names.extend(simple.assignments.iter().map(|a| a.name.clone()));
                let name = simple.words.first().map(|w| w.parts.as_slice());
                self.anything |= match name {
                    Some([Part::Text(name)]) if name == "read" => true,
                    Some([Part::Text(name)]) => builtins::changes_the_shell(name),
                    Some(_) => true,
                    None => false,
                };
            }
            Node::Group(script, _) | Node::Subshell(script, _) => self.of_script(script),
            Node::Branches(_, bodies, _) => bodies.iter().for_each(|b| self.of_script(b)),
            Node::Loop { variable, bodies, .. } => {
                self.names.extend(variable.clone());
                bodies.iter().for_each(|b| self.of_script(b));
            }
            Node::Function { .. } => self.anything = true,
        }
    }

    fn apply(&self, scope: &mut Scope) {
        if self.anything {
            scope.forget();
        }
        for name in &self.names {
            scope.set(name, None);
        }
    }
}
