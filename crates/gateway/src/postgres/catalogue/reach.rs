//! What functions may read, read out of their bodies: of SQL by its grammar, of PL/pgSQL by the words in it, of anything else
//! nothing is known. And what views show by calling them.
use super::{building::View, number, text};
use doorward_model::{Action, Name, Resource};
use doorward_sql::{
    Catalogue, Reach,
    postgres::{
        Analysis, Environment, SettingClass, analyse, is_plain_function, measures, setting_class, shows_values,
        telling_columns,
    },
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Extensions whose functions read no table, but what they are given.
const PLAIN_EXTENSIONS: &[&str] = &[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intagg",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pg_uuidv7",
    "pgcrypto",
    "seg",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// How often what functions call is followed. What is called deeper may read anything.
pub(super) const DEEPEST: usize = 32;

type Row = super::Row;
type Key = (Name, Name);

/// What was read out of one or more functions of a name.
#[derive(Clone, Debug, Default)]
struct Body {
    reads: BTreeSet<u32>,
    calls: BTreeSet<Key>,
    is_anything: bool,
    /// It changes rows: of what is beneath what it names, too (views, rules, tables that inherit), and it fails by those.
    changes: bool,
    /// It looks at what an error says, which quotes rows: also of what triggers and foreign keys change.
    quotes: bool,
}

impl Body {
    const ANYTHING: Self =
        Self { reads: BTreeSet::new(), calls: BTreeSet::new(), is_anything: true, changes: false, quotes: false };

    fn add(&mut self, other: Self) {
        self.reads.extend(other.reads);
        self.calls.extend(other.calls);
        self.is_anything |= other.is_anything;
        self.changes |= other.changes;
        self.quotes |= other.quotes;
    }

    fn into_reach(self, beneath: &Beneath<'_>) -> Reach {
        if self.is_anything || (self.changes && self.quotes) {
            return Reach::Anything;
        }
        Reach::Relations(if self.changes || self.quotes { beneath.all(self.reads) } else { self.reads })
    }
}

/// Which rows change with those of which relations.
pub(super) struct Beneath<'c> {
    catalogue: &'c Catalogue,
    /// What views read, and what rules name.
    named: HashMap<u32, Vec<u32>>,
}

impl<'c> Beneath<'c> {
    /// `reads`: number of a view or of a table with rules at 0, of what it reads at 1.
    pub(super) fn new<'r>(catalogue: &'c Catalogue, reads: impl IntoIterator<Item = &'r Row>) -> Self {
        let mut named: HashMap<u32, Vec<u32>> = HashMap::new();
        for row in reads {
            named.entry(number(row, 0)).or_default().push(number(row, 1));
        }
        Self { catalogue, named }
    }

    fn all(&self, relations: BTreeSet<u32>) -> BTreeSet<u32> {
        let mut todo: Vec<u32> = relations.iter().copied().collect();
        let mut seen = relations;
        while let Some(next) = todo.pop() {
            let named = self.named.get(&next).into_iter().flatten().copied();
            let below = self.catalogue.shows(next).into_iter().map(|relation| relation.oid);
            todo.extend(named.chain(below).filter(|oid| seen.insert(*oid)));
        }
        seen
    }
}

/// Words of statements that change rows, or fail by what they are.
const CHANGING: &[&str] = &[
    "insert",
    "update",
    "delete",
    "merge",
    "truncate",
    "refresh",
    "reindex",
    "cluster",
    "analyze",
    "vacuum",
    "call",
    "constraints",
];

/// Words by which a body in PL/pgSQL looks at what an error says.
const QUOTING: &[&str] = &["sqlerrm", "stacked"];

/// The names that bodies may use without a schema.
struct Names<'c> {
    environment: &'c Environment,
    relations: HashMap<String, Vec<u32>>,
    /// Those that are no words.
    odd: Vec<(String, u32)>,
    functions: HashMap<String, Vec<Key>>,
    odd_functions: Vec<(String, Key)>,
}

/// What is known of functions and of views that call some.
#[derive(Default)]
pub(super) struct Reaches {
    pub(super) functions: HashMap<Key, Reach>,
    pub(super) views: HashMap<u32, Reach>,
    /// The functions that change rows.
    pub(super) changing: Vec<Key>,
}

/// What each function may read, and each view by calling them. `rows`: schema and name at 1 and 2, language at 5, extension
/// at 6, body at 7; of SQL that is its definition, of aggregates the names of what they call. Defaults of arguments at 10.
pub(super) fn reaches(environment: &Environment, rows: &[Row], views: &[View], beneath: &Beneath<'_>) -> Reaches {
    let rows: Vec<&Row> = rows.iter().filter(|row| !is_own(text(row, 1))).collect();
    let names = Names::new(environment, &rows);
    let mut bodies: HashMap<Key, Body> = HashMap::new();
    for row in &rows {
        bodies.entry(key(row)).or_default().add(names.body(row));
    }
    follow(&mut bodies);
    let mut of_views: HashMap<u32, Body> = HashMap::new();
    for View { oid, analysis } in views {
        let read = analysis.as_ref().map_or(Body::ANYTHING, |analysis| names.shown(analysis));
        of_views.insert(*oid, resolved(&read, &bodies));
    }
    let views = through_views(&environment.catalogue, views, of_views);
    let views = views.into_iter().map(|(oid, body)| (oid, body.into_reach(beneath)));
    let views = views.collect();
    let changing =
        bodies.iter().filter(|(_, body)| body.changes || body.is_anything).map(|(key, _)| key.clone()).collect();
    let functions = bodies.into_iter().map(|(key, body)| (key, body.into_reach(beneath))).collect();
    Reaches { functions, views, changing }
}

pub(super) fn is_own(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

fn key(row: &Row) -> Key {
    (Name::from(text(row, 1)), Name::from(text(row, 2)))
}

/// What a body reads by what it calls.
fn resolved(body: &Body, bodies: &HashMap<Key, Body>) -> Body {
    let mut out = body.clone();
    for call in &body.calls {
        match bodies.get(call) {
            Some(called) => out.add(called.clone()),
            None => out.is_anything = true,
        }
    }
    out
}

fn follow(bodies: &mut HashMap<Key, Body>) {
    for depth in 0..=DEEPEST {
        let next: Vec<(Key, Body)> = bodies.iter().map(|(key, body)| (key.clone(), resolved(body, bodies))).collect();
        let size = |b: &Body| (b.is_anything, b.changes, b.quotes, b.reads.len(), b.calls.len());
        let mut has_changed = false;
        for (key, mut body) in next {
            if let Some(before) = bodies.get_mut(&key)
                && size(before) != size(&body)
            {
                has_changed = true;
                body.is_anything |= depth == DEEPEST;
                *before = body;
            }
        }
        if !has_changed {
            return;
        }
    }
}

/// A view of a view shows what that one does. Only views that show something are kept.
fn through_views(catalogue: &Catalogue, views: &[View], mut of: HashMap<u32, Body>) -> HashMap<u32, Body> {
    let read: HashMap<u32, Vec<u32>> = views
        .iter()
        .map(|View { oid, analysis }| {
            let tables = analysis.iter().flat_map(|a| &a.facts.accesses).filter_map(|access| {
                let Resource::Table { schema, name } = &access.resource else { return None };
                catalogue.named(schema, name).map(|r| r.oid)
            });
            (*oid, tables.collect())
        })
        .collect();
    // What is known of them only grows, and ends at all that there is.
    loop {
        let mut more = Vec::new();
        for (oid, tables) in &read {
            for body in tables.iter().filter_map(|table| of.get(table)) {
                more.push((*oid, body.clone()));
            }
        }
        let of_body =
            |b: &Body| b.reads.len() + [b.is_anything, b.changes, b.quotes].map(usize::from).iter().sum::<usize>();
        let size = |of: &HashMap<u32, Body>| of.values().map(of_body).sum::<usize>();
        let before = size(&of);
        more.into_iter().for_each(|(oid, body)| of.entry(oid).or_default().add(body));
        if before == size(&of) {
            break;
        }
    }
    of.into_iter().filter(|(_, body)| body.is_anything || body.changes || !body.reads.is_empty()).collect()
}

impl<'c> Names<'c> {
    fn new(environment: &'c Environment, rows: &[&Row]) -> Self {
        let (mut relations, mut odd) = (HashMap::<String, Vec<u32>>::new(), Vec::new());
        for relation in environment.catalogue.relations().filter(|r| !is_own(&r.schema)) {
            let name = relation.name.to_lowercase();
            if !name.chars().all(is_of_word) {
                odd.push((name.replace('"', "\"\""), relation.oid));
            }
            relations.entry(name).or_default().push(relation.oid);
        }
        let mut functions = HashMap::<String, Vec<Key>>::new();
        let mut odd_functions = Vec::new();
        for row in rows {
            let name = text(row, 2).to_lowercase();
            if !name.chars().all(is_of_word) {
                odd_functions.push((name.replace('"', "\"\""), key(row)));
            }
            functions.entry(name).or_default().push(key(row));
        }
        Self { environment, relations, odd, functions, odd_functions }
    }

    fn body(&self, row: &Row) -> Body {
        if row.get(6).is_some_and(Option::is_some) {
            let is_plain = PLAIN_EXTENSIONS.contains(&text(row, 6));
            return if is_plain { Body::default() } else { Body::ANYTHING };
        }
        let Some(Some(body)) = row.get(7) else { return Body::ANYTHING };
        let mut out = match text(row, 5) {
            "sql" => analyse(body, self.environment).map_or(Body::ANYTHING, |read| self.of_sql(&read)),
            // Aggregates are `internal`, and what stands there are names. Nothing stands there of what makes ranges: it calls
            // what a cast to them calls.
            "plpgsql" | "internal" => self.of_words(body),
            _ => Body::ANYTHING,
        };
        // What stands for arguments that are not given is called as the body is.
        if let Some(Some(defaults)) = row.get(10) {
            let read = analyse(&format!("SELECT {defaults}"), self.environment);
            out.add(read.map_or(Body::ANYTHING, |read| self.of_sql(&read)));
        }
        out
    }

    fn of_sql(&self, analysis: &Analysis) -> Body {
        let mut out = Body { is_anything: tells(analysis) || shows_what_tells(analysis), ..Body::default() };
        // Which one of a name is called depends on the path and on the arguments: also where the server brings one itself.
        for name in analysis.statements.iter().flat_map(|statement| &statement.reads.calls) {
            out.calls.extend(self.functions.get(&name.to_lowercase()).into_iter().flatten().cloned());
        }
        for access in &analysis.facts.accesses {
            match (access.action, &access.resource) {
                // The function itself, and what is set while it runs.
                (Action::Create, Resource::Function { .. }) | (Action::Connect | Action::Set, _) => {}
                (Action::Call, Resource::Function { schema, name }) => self.calls(schema, name, &mut out),
                (action, Resource::Table { schema, name }) => {
                    out.changes |= !matches!(action, Action::Select | Action::Lock);
                    let known = self.environment.catalogue.named(schema, name).map(|r| vec![r.oid]);
                    match known.or_else(|| self.relations.get(&name.to_lowercase()).cloned()) {
                        Some(relations) => out.reads.extend(relations),
                        None => out.is_anything = true,
                    }
                }
                _ => out.is_anything = true,
            }
        }
        out
    }

    /// What a view shows that its columns do not say.
    fn shown(&self, analysis: &Analysis) -> Body {
        let mut out = Body { is_anything: tells(analysis) || shows_what_tells(analysis), ..Body::default() };
        for access in &analysis.facts.accesses {
            match (access.action, &access.resource) {
                (_, Resource::Function { schema, name }) => self.calls(schema, name, &mut out),
                (_, Resource::Table { schema, name }) if shows_values(schema, name) => {
                    out.reads.extend(self.environment.catalogue.named(schema, name).map(|r| r.oid));
                }
                (Action::Opaque, _) => out.is_anything = true,
                _ => {}
            }
        }
        out
    }

    fn calls(&self, schema: &Name, name: &Name, out: &mut Body) {
        if &**schema == "pg_catalog" {
            out.is_anything |= !leaves_all_as_it_is(name);
            return;
        }
        if &**schema == "information_schema" {
            return;
        }
        let named = self.functions.get(&name.to_lowercase()).into_iter().flatten();
        let mut found = named.filter(|key| key.0 == *schema || &**schema == "?").peekable();
        // One of that name in another schema is not the one that is called.
        out.is_anything |= found.peek().is_none();
        out.calls.extend(found.cloned());
    }

    /// Whatever it names it may read or call.
    fn of_words(&self, body: &str) -> Body {
        let body = body.to_lowercase();
        let words: HashSet<&str> = body.split(|c| !is_of_word(c)).filter(|word| !word.is_empty()).collect();
        let runs_text = ["execute", "program", "dblink"].iter().any(|word| words.contains(word));
        let bare = without_comments(&body);
        let fetches = words.contains("fetch") || words.contains("move");
        let is_anything = runs_text
            || body.contains("u&\"")
            || [&*body, &*bare]
                .into_iter()
                .any(|body| changes_names(body) || (fetches && fetches_from_others(body, &bare)));
        let has = |these: &[&str]| these.iter().any(|word| words.contains(word));
        let mut out = Body { is_anything, changes: has(CHANGING), quotes: has(QUOTING), ..Body::default() };
        for word in &words {
            out.reads.extend(self.relations.get(*word).into_iter().flatten());
            out.calls.extend(self.functions.get(*word).into_iter().flatten().cloned());
            let is_risky = doorward_sql::postgres::is_builtin(word) && !leaves_all_as_it_is(word);
            let tells = shows_values("pg_catalog", word) || !telling_columns("pg_catalog", word).is_empty();
            out.is_anything |= is_risky || measures(word) || tells;
        }
        out.reads.extend(self.odd.iter().filter(|(name, _)| body.contains(name)).map(|(_, oid)| oid));
        out.calls.extend(self.odd_functions.iter().filter(|(name, _)| body.contains(name)).map(|(_, key)| key.clone()));
        out
    }
}

/// Whether a text carries, or decides by, columns of the server's own that tell of values: nobody masks them there.
fn shows_what_tells(analysis: &Analysis) -> bool {
    analysis.statements.iter().any(|statement| {
        let shown = statement.lineage.iter().flat_map(|lineage| &lineage.anywhere);
        let mut all = shown.chain(&statement.reads.weighs).chain(&statement.moves);
        all.any(|source| {
            let telling = telling_columns(&source.schema, &source.table);
            source.column.as_ref().map_or(!telling.is_empty(), |column| telling.contains(&&**column))
        })
    })
}

/// Whether a function of the server's own shows nothing, and names mean the same after it.
fn leaves_all_as_it_is(name: &str) -> bool {
    is_plain_function(name) && name != "set_config"
}

/// Whether a body in PL/pgSQL, in lower case, has a statement after which names may mean something else: of settings, of
/// what is there, of what is prepared. A temporary relation only hides others.
fn changes_names(body: &str) -> bool {
    const BEFORE: &[&str] = &["begin", "then", "else", "loop"];
    let mut last: Option<&str> = None;
    let mut words =
        body.split_inclusive(|c: char| c.is_whitespace() || c == ';').map(str::trim).filter(|w| !w.is_empty());
    while let Some(word) = words.next() {
        let begins = last.is_none_or(|last| last.ends_with([';', '>']) || BEFORE.contains(&last));
        last = Some(word);
        let mut next = words.clone();
        let changes = match word.trim_end_matches(';') {
            "alter" | "drop" | "prepare" | "deallocate" | "discard" | "load" => true,
            "create" => !matches!(next.next(), Some("temp" | "temporary" | "local" | "global")),
            "set" | "reset" => {
                let name = next.find(|word| !matches!(*word, "local" | "session")).unwrap_or_default();
                let name = name.split(|c| !is_of_word(c)).find(|name| !name.is_empty()).unwrap_or_default();
                !matches!(name, "constraints" | "transaction") && setting_class(name, None) != SettingClass::Harmless
            }
            _ => false,
        };
        if begins && changes {
            return true;
        }
    }
    false
}

/// Whether a body in PL/pgSQL, in lower case, fetches from a cursor that may not be its own: one of the session, which who calls
/// may name. Its own are those that it declares with their queries, and gives no other name.
fn fetches_from_others(body: &str, bare: &str) -> bool {
    let own = own_cursors(&without_texts(bare));
    let words = pieces(body);
    words.iter().enumerate().filter(|(_, word)| matches!(word_of(word), "fetch" | "move")).any(|(at, _)| {
        let (mut before, mut last) = (None, None);
        for word in words.iter().skip(at + 1) {
            match word_of(word) {
                "into" => break,
                "" => {}
                name => (before, last) = (last, Some(name)),
            }
            if word.ends_with(|c: char| !is_of_word(c)) {
                break;
            }
        }
        // FETCH FIRST … ROWS ONLY of a query.
        let ends_query = matches!((before, last), (Some("row" | "rows"), Some("only")) | (Some("with"), Some("ties")));
        !(ends_query || last.is_some_and(|name| own.contains(name)))
    })
}

fn own_cursors(body: &str) -> HashSet<String> {
    let words = pieces(body);
    let declares = |at: usize| match words.get(at..) {
        Some([_, "cursor", ..] | [_, "scroll", "cursor", ..] | [_, "no", "scroll", "cursor", ..]) => true,
        Some(_) | None => false,
    };
    let declared = (0..words.len()).filter(|at| declares(*at)).filter_map(|at| words.get(at)).map(|word| word_of(word));
    declared.filter(|name| !name.is_empty() && !is_given(&words, name)).map(str::to_owned).collect()
}

/// Whether a variable is set to something, or read into.
fn is_given(words: &[&str], name: &str) -> bool {
    words.iter().enumerate().filter(|(_, word)| word_of(word) == name).any(|(at, word)| {
        let sets = |word: &&str| word.starts_with([':', '=']);
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        word.ends_with([':', '='])
            || words.get(at + 1).is_some_and(sets)
            || before.is_some_and(|word| *word == "into" || word.ends_with(','))
    })
}

/// Words, each with the one character behind it that is of no word, where that is no space.
fn pieces(body: &str) -> Vec<&str> {
    body.split_inclusive(|c| !is_of_word(c)).map(str::trim).filter(|word| !word.is_empty()).collect()
}

fn word_of(piece: &str) -> &str {
    piece.trim_end_matches(|c| !is_of_word(c))
}

/// A body without what stands between single quotes.
fn without_texts(body: &str) -> String {
    body.split('\'').step_by(2).collect::<Vec<_>>().join(" ' ")
}

/// A body without its comments, and without what looks like one.
fn without_comments(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find("--").into_iter().chain(rest.find("/*")).min() {
        let (before, comment) = rest.split_at(at);
        out.push_str(before);
        out.push(' ');
        let end = if comment.starts_with("--") { comment.find('\n') } else { comment.find("*/").map(|end| end + 2) };
        rest = end.and_then(|end| comment.get(end..)).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn tells(analysis: &Analysis) -> bool {
    analysis.statements.iter().any(|statement| !statement.reads.tells.is_empty())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_sql::{Relation, RelationKind};
    use std::sync::Arc;

    #[test]
    fn statements_in_bodies_that_change_what_names_mean() {
        for body in [
            "begin set search_path = public; end",
            "declare x int; begin x := 1; set local role alice; end",
            "begin if x then reset role; end if; end",
            "begin\n -- a\n drop table x;\n end",
            "begin /* set */ deallocate q; end",
            "begin set session \"search_path\" to x; end",
            "begin perform 1; prepare q as select 1; end",
            "begin create table x (); end",
        ] {
            assert!(changes_names(body) || changes_names(&without_comments(body)), "{body}");
        }
        for body in [
            "begin update t set role = 'x'; end",
            "begin insert into t values (1) on conflict do update set search_path = 'x'; return new; end",
            "declare r t%rowtype; begin create temp table x (a int); return (select drop from t); end",
            "begin set local statement_timeout = 0; set constraints all deferred; return x * 2; end",
        ] {
            assert!(!changes_names(body), "{body}");
        }
    }

    fn row(schema: &str, name: &str, language: &str, body: &str) -> Row {
        ["", schema, name, "", "", language, "", body]
            .iter()
            .enumerate()
            .map(|(n, value)| (n != 6).then(|| (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_function_reaches_what_any_function_of_the_name_does_that_it_calls() {
        let relation = Relation {
            oid: 7,
            schema: "public".into(),
            name: "customers".into(),
            kind: RelationKind::Table,
            columns: Vec::new(),
        };
        let catalogue = Catalogue::new(1, [relation], []);
        let sql = |name: &str, body: &str| {
            row("dec", name, "sql", &format!("CREATE FUNCTION dec.{name}() RETURNS text LANGUAGE sql {body}"))
        };
        let rows = [
            sql("lower", "AS $$ select ssn from customers $$"),
            sql("calls", "AS $$ select lower('x') $$"),
            sql("calls_none", "AS $$ select upper('x') $$"),
            sql("sets", "AS $$ select set_config('search_path', 'public', false) $$"),
            sql("sets_too", "AS $$ set search_path = public $$"),
            sql("drops", "AS $$ drop table customers $$"),
            sql("has_its_own", "SET search_path TO 'public' AS $$ select upper('x') $$"),
            sql("changes", "AS $$ delete from customers $$"),
            row(
                "dec",
                "changes_too",
                "plpgsql",
                "begin perform changes(); return 'ok'; exception when others then return 'no'; end",
            ),
            row(
                "dec",
                "quotes",
                "plpgsql",
                "begin perform changes(); return 'ok'; exception when others then return sqlerrm; end",
            ),
            row("dec", "set_tenant", "plpgsql", "begin perform set_config('search_path', t, false); end"),
        ];
        let environment = super::super::building::environment(&Arc::new(catalogue));
        let beneath = [[Some("7".to_owned()), Some("8".to_owned())].into_iter().collect()];
        let beneath = Beneath::new(&environment.catalogue, &beneath);
        let Reaches { functions: reaches, changing, .. } = reaches(&environment, &rows, &[], &beneath);
        assert!(
            changing.contains(&("dec".into(), "changes_too".into()))
                && !changing.contains(&("dec".into(), "lower".into()))
        );
        let reach = |name: &str| reaches.get(&("dec".into(), name.into())).cloned().unwrap();
        for name in ["lower", "calls"] {
            assert_eq!(reach(name), Reach::Relations(BTreeSet::from([7])), "{name}");
        }
        for name in ["changes", "changes_too"] {
            assert_eq!(reach(name), Reach::Relations(BTreeSet::from([7, 8])), "{name}");
        }
        for name in ["calls_none", "has_its_own"] {
            assert_eq!(reach(name), Reach::Relations(BTreeSet::new()), "{name}");
        }
        for name in ["sets", "sets_too", "drops", "set_tenant", "quotes"] {
            assert_eq!(reach(name), Reach::Anything, "{name}");
        }
    }
}
