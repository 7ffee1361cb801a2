//! A whole text: its statements, what they ask for, what they show, and what is forwarded.
use super::{
    Environment, MAX_TEXT,
    facts::Walk,
    lexer,
    lineage::Reading,
    named,
    parser::{Fail, Parser},
    reads, render, settings,
    tree::{Body, Note, Tree},
    writes,
};
use crate::meaning::{Analysis, Effect, Kill, Reads, Reference, Statement};
use crate::tags;
use doorward_model::{Access, Action, Facts, Name, Resource};
use std::{collections::BTreeSet, sync::Arc};

/// How many texts within texts are read: `PREPARE s FROM 'PREPARE …'`.
const MAX_NESTED: u8 = 2;

/// Reads a text. What is not understood becomes an `opaque` access and a statement without a text: only a
/// statement with a text may be forwarded.
pub fn analyse(text: &[u8], env: &Environment) -> Analysis {
    if text.len() > MAX_TEXT {
        return unreadable("a text that is too long");
    }
    let tokens = match lexer::tokens(text, env.upstream, env.mode) {
        Ok(tokens) => tokens,
        Err(e) => return unreadable(&format!("{} at byte {}", e.what, e.at)),
    };
    let mut parser = Parser::new(text, tokens, env, 0);
    let (trees, fail) = parser.statements();
    let mut reading = Whole { env: env.clone(), accesses: Vec::new(), statements: Vec::new(), commands: String::new() };
    let count = trees.len();
    for (n, tree) in trees.iter().enumerate() {
        reading.statement(&parser, tree);
        if n + 1 < count || fail.is_some() {
            reading.rest_is_read_alike(tree);
        }
    }
    if let Some(fail) = fail {
        reading.not_understood(&parser, &fail);
    }
    reading.finish()
}

fn opaque(what: &str) -> Access {
    Access::new(Action::Opaque, Resource::Opaque { what: what.into() })
}

fn unreadable(what: &str) -> Analysis {
    let statement = Statement { command: "?".into(), ..Statement::default() };
    Analysis { facts: Arc::new(Facts::new("?", 1, vec![opaque(what)])), statements: vec![statement] }
}

/// A statement within a string: its tree and its text.
pub(super) fn inner(text: &str, env: &Environment, nested: u8) -> Option<(Tree, Vec<u8>)> {
    if nested >= MAX_NESTED {
        return None;
    }
    let tokens = lexer::tokens(text.as_bytes(), env.upstream, env.mode).ok()?;
    let mut parser = Parser::new(text.as_bytes(), tokens, env, nested + 1);
    let (mut trees, fail) = parser.statements();
    if fail.is_some() || trees.len() != 1 {
        return None;
    }
    let tree = trees.pop()?;
    let printed = render::statement(&parser, &tree.tokens);
    Some((tree, printed))
}

/// Whether running a statement changes the schema, be it by one within.
fn changes_schema(tree: &Tree) -> bool {
    let within = |t: &Tree| matches!(&t.body, Body::Within(inner) if changes_schema(inner));
    tree.notes.iter().any(|n| matches!(n, Note::SchemaChanged)) || within(tree) || tree.inner.iter().any(changes_schema)
}

/// The commands of all statements within a statement, however deep, each once.
fn commands_within(tree: &Tree) -> Vec<Name> {
    fn collect<'t>(tree: &'t Tree, out: &mut BTreeSet<&'t str>) {
        let body = if let Body::Within(inner) = &tree.body { Some(&**inner) } else { None };
        for inner in tree.inner.iter().chain(body) {
            out.insert(&inner.command);
            collect(inner, out);
        }
    }
    let mut out = BTreeSet::new();
    collect(tree, &mut out);
    out.into_iter().map(Name::from).collect()
}

struct Whole {
    /// Changes from statement to statement.
    env: Environment,
    accesses: Vec<Access>,
    statements: Vec<Statement>,
    commands: String,
}

impl Whole {
    fn statement(&mut self, parser: &Parser<'_>, tree: &Tree) {
        let before = self.accesses.len();
        let mut walk = Walk::new(&self.env);
        walk.tree(tree);
        let (mut accesses, found) = walk.into_parts();
        self.accesses.append(&mut accesses);
        if self.accesses.len() == before {
            self.accesses.push(Access::new(Action::Connect, Resource::Connection));
        }
        let mut reading = Reading::new(&self.env);
        let lineage = reading.tree(tree);
        let (moves, weighs) = reading.into_moves_and_weighs();
        let (text, reads) = reads::located(parser, tree, &found);
        let named = named::columns(tree, lineage.as_ref(), &self.env);
        self.changes_tags(before, &text);
        let mut statement = Statement {
            command: tree.command.as_str().into(),
            lineage,
            moves,
            writes: writes::of(parser, tree, &self.env),
            reads: Reads {
                weighs,
                named,
                limited: reads::limited(tree, &self.env),
                deleted: reads::deleted(tree, &self.env),
                hinted: reads::hinted(tree),
                tells: reads::tells(tree),
                ..reads
            },
            text: Some(text.into()),
            within: commands_within(tree),
            ..Statement::default()
        };
        self.notes(tree, &mut statement);
        self.name(&tree.command);
        self.statements.push(statement);
    }

    /// What gives tables or columns tags, or may take them away, changes who may do what. `from`: the first access of the
    /// statement. A column that is defined anew loses its comment.
    fn changes_tags(&mut self, from: usize, text: &[u8]) {
        let accesses = self.accesses.get(from..).unwrap_or_default();
        let defines = |a: &&Access| matches!(a.action, Action::Alter | Action::Create);
        if !accesses.iter().any(|a| defines(&a)) {
            return;
        }
        let text = String::from_utf8_lossy(text).to_ascii_lowercase();
        let gives = text.contains("comment") && tags::may_speak_of_tags(&text);
        let may_take = ["comment", "modify", "change"].iter().any(|word| text.contains(word));
        let catalogue = &self.env.catalogue;
        let is_tagged = |resource: &Resource| {
            let Resource::Table { schema, name } = resource else { return false };
            catalogue.named(schema, name).is_some_and(|relation| catalogue.is_tagged(relation.oid))
        };
        let changed = accesses.iter().filter(defines).map(|a| &a.resource).filter(|resource| {
            matches!(resource, Resource::Table { .. }) && (gives || (may_take && is_tagged(resource)))
        });
        let changed: Vec<Access> = changed.map(|table| Access::new(Action::Grant, table.clone())).collect();
        self.accesses.extend(changed);
    }

    fn name(&mut self, command: &str) {
        if self.commands.len() < 1000 {
            if !self.commands.is_empty() {
                self.commands.push_str("; ");
            }
            self.commands.push_str(command);
        }
    }

    fn notes(&mut self, tree: &Tree, out: &mut Statement) {
        if let Body::Within(inner) = &tree.body {
            self.notes(inner, out);
        }
        for note in &tree.notes {
            match note {
                Note::Set { name, value } => {
                    if &**name == "use"
                        && let Some(db) = value
                    {
                        self.env.database = Some(self.env.database_name(db));
                    }
                    out.effects.push(Effect::Set { name: name.clone(), value: value.clone(), local: false });
                }
                Note::Prepare { name } => {
                    let mut walk = Walk::new(&self.env);
                    tree.inner.iter().for_each(|t| walk.tree(t));
                    let mut reading = Reading::new(&self.env);
                    let inner = tree.inner.first();
                    let command: Name = inner.map_or("?", |t| t.command.as_str()).into();
                    let lineage = inner.and_then(|t| reading.tree(t));
                    let mut accesses = walk.into_accesses();
                    if accesses.is_empty() {
                        accesses.push(Access::new(Action::Connect, Resource::Connection));
                    }
                    let facts = Arc::new(Facts::new(&command, 1, accesses));
                    let (moves, weighs) = reading.into_moves_and_weighs();
                    // What stands in a string is not rewritten.
                    let named = inner.map(|t| named::columns(t, lineage.as_ref(), &self.env)).unwrap_or_default();
                    let hinted = inner.map(reads::hinted).unwrap_or_default();
                    let reads =
                        Reads { weighs, named, hinted, obstacle: Some("PREPARE of a text"), ..Reads::default() };
                    let changes = inner.is_some_and(changes_schema);
                    let effects = if changes { vec![Effect::SchemaChanged] } else { Vec::new() };
                    let within = inner.map(commands_within).unwrap_or_default();
                    let statement =
                        Statement { command, lineage, moves, effects, reads, within, ..Statement::default() };
                    let analysis = Arc::new(Analysis { facts, statements: vec![statement] });
                    out.effects.push(Effect::Prepare { name: name.clone(), analysis });
                }
                Note::Execute { name } => out.references.push(Reference::Prepared(name.clone())),
                Note::Deallocate { name } => out.effects.push(Effect::Deallocate { name: name.clone() }),
                Note::SchemaChanged | Note::Hint(_) => {}
                Note::MadeTemporary(name) => {
                    let key = self.env.relation(name.db.as_deref(), &name.name);
                    if &*key.0 != "pg_temp" {
                        let name = crate::postgres::dotted(&[&key.0, &key.1]).into();
                        // What follows in the text asks for it as for others: it may be dropped again before.
                        out.effects.push(Effect::MadeTemporary { name, until_commit: false, depends: false });
                    }
                }
                Note::Upload(path) => out.upload = Some(path.clone()),
                Note::Kill { id, query_only } => out.kill = Some(Kill { id: *id, query_only: *query_only }),
            }
        }
        if changes_schema(tree) && !out.effects.contains(&Effect::SchemaChanged) {
            out.effects.push(Effect::SchemaChanged);
        }
    }

    /// What follows in the same text was read under the settings from before.
    fn rest_is_read_alike(&mut self, tree: &Tree) {
        let changes = |n: &Note| matches!(n, Note::Set { name, .. } if settings::changes_reading(name));
        let within = |t: &Tree| matches!(&t.body, Body::Within(inner) if inner.notes.iter().any(changes));
        if tree.notes.iter().any(changes) || within(tree) {
            self.accesses.push(opaque("statements behind a setting that changes how they are read"));
            for statement in &mut self.statements {
                statement.text = None;
            }
        }
    }

    fn not_understood(&mut self, parser: &Parser<'_>, fail: &Fail) {
        let place = match parser.tokens.get(fail.token) {
            Some(token) => {
                let near: String = String::from_utf8_lossy(parser.slice(*token)).chars().take(40).collect();
                format!("{} expected at byte {}, near `{near}`", fail.what, token.start)
            }
            None => format!("{} expected at the end", fail.what),
        };
        self.accesses.push(opaque(&place));
        self.name("?");
        self.statements.push(Statement { command: "?".into(), ..Statement::default() });
    }

    fn finish(mut self) -> Analysis {
        if self.accesses.is_empty() {
            self.accesses.push(Access::new(Action::Connect, Resource::Connection));
        }
        let count = u32::try_from(self.statements.len()).unwrap_or(u32::MAX);
        Analysis { facts: Arc::new(Facts::new(&self.commands, count, self.accesses)), statements: self.statements }
    }
}
