//! Other ways out: what is not a query over a table with hidden columns, and could tell of them all the same. It is refused
//! to whoever may not see some column of the database, but where a policy permits `bypass` on it by name.
use super::{Session, changes::may_rename, namesakes::makes_a_body};
use doorward_enforce::{MaskRule, Refusal, RefusalKind};
use doorward_model::{Access, Action, Name, Operator, Resource, Timestamp};
use doorward_sql::{
    Reach, Relation, RelationKind, SourceColumn,
    postgres::{
        COMPUTED_CHANNEL, Tell, counting_columns, is_plain_function, is_telling_setting, shows_values, telling_columns,
    },
};
use doorward_sql_session::{Asking, Meaning, Part};
use std::{collections::BTreeSet, sync::Arc};

/// Kinds of objects that run code of their own, send rows elsewhere, or read tables by another way.
const REACHING: &[&str] = &[
    "access method",
    "cast",
    "conversion",
    "event trigger",
    "extension",
    "foreign data wrapper",
    "foreign schema",
    "language",
    "operator",
    "operator class",
    "operator family",
    "publication",
    "server",
    "subscription",
    "text search parser",
    "text search template",
    "transform",
    "user mapping",
];

/// Words in the names of commands that make what reads or changes tables whenever another is read or changed.
const MAKING: &[&str] = &["CREATE VIEW", "CREATE RULE", "CREATE SCHEMA", "POLICY"];

/// How many texts a session remembers to tell nothing.
const REMEMBERED: usize = 256;

impl Session {
    /// Whether the caller may not see some column of some table.
    pub(super) fn hides_anything(&mut self, now: Timestamp) -> bool {
        self.reveals.hides_anything(&mut Asking { enforcer: &mut self.enforcer, now })
    }

    pub(super) fn may_bypass(&mut self, what: &Resource, now: Timestamp) -> bool {
        self.enforcer.may_bypass(what, now)
    }

    /// Refuses what could tell of hidden columns by another way than a query over their table.
    pub(super) fn tells_nothing_hidden(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        if !self.hides_anything(now) {
            return Ok(());
        }
        self.runs_code_as_meant(meaning, now)?;
        // What the session has made of names changes while the text stays.
        for access in &meaning.facts.accesses {
            if let Some(why) = self.may_be_a_view(access, meaning)
                && !self.may_bypass(&access.resource, now)
            {
                return Err(refused(&meaning.facts.command, &why));
            }
        }
        if self.settings.has_changed_schema() {
            return self.is_no_way_out(meaning, now);
        }
        let key = Arc::as_ptr(meaning).addr();
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if self.reveals.plans(&asking).tell_nothing.contains_key(&key) {
            return Ok(());
        }
        self.is_no_way_out(meaning, now)?;
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            let known = &mut self.reveals.plans(&asking).tell_nothing;
            if known.len() >= REMEMBERED {
                known.clear();
            }
            // The entry keeps the meaning alive, so that its address stays its own.
            known.insert(key, Arc::clone(meaning));
        }
        Ok(())
    }

    fn is_no_way_out(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        let facts = Arc::clone(&meaning.facts);
        if let Some(relation) = self.reveals.names_unread(meaning).first() {
            return Err(locked(&facts.command, self.reveals.catalogue().relation(*relation)));
        }
        for access in &facts.accesses {
            let Some(why) = self.way_out(access, meaning, now) else { continue };
            if !self.may_bypass(&access.resource, now) {
                return Err(refused(&facts.command, &why));
            }
        }
        for part in &meaning.parts {
            let keeps =
                |access: &Access| access.action == Action::Create && matches!(access.resource, Resource::Table { .. });
            if (meaning.by_name || part.is_or_runs("EXECUTE")) && facts.accesses.iter().any(keeps) {
                return Err(refused(&part.command, "what a prepared statement shows would be kept as it is"));
            }
            self.measures_nothing_hidden(part, meaning, now)?;
            self.weighs_nothing_telling(part, now)?;
            self.body_calls_nothing_hidden(part, now)?;
            self.compares_nothing_hidden(part, meaning, now)?;
        }
        Ok(())
    }

    /// Why what is asked for could tell of hidden columns, if it could.
    fn way_out(&mut self, access: &Access, meaning: &Meaning, now: Timestamp) -> Option<String> {
        if let Some(why) = plain_way_out(access) {
            return Some(why);
        }
        if let Some(why) = self.is_apart(access, now) {
            return Some(why);
        }
        if let Some(why) = self.leads_astray(access, meaning, now) {
            return Some(why);
        }
        if let Some(why) = self.is_made_over(access, meaning, now) {
            return Some(why);
        }
        match (access.action, &access.resource) {
            (Action::Call, Resource::Function { schema, name }) => self.reaches_out(schema, name, now),
            (Action::Select, Resource::Table { schema, name }) => {
                let relation = self.reveals.catalogue().named(schema, name)?.oid;
                let reach = self.reveals.catalogue().view_reach(relation).cloned()?;
                let why = || format!("the view `{schema}.{name}` may show columns that you may not see");
                self.reach_is_hidden(&reach, now).then(why)
            }
            (Action::Insert | Action::Update | Action::Delete, Resource::Table { schema, name }) => {
                let catalogue = self.reveals.catalogue();
                let is_own = match catalogue.view_reads(catalogue.named(schema, name)?.oid) {
                    Reach::Relations(reads) => {
                        reads.iter().filter_map(|oid| catalogue.relation(*oid)).any(|read| is_own(&read.schema))
                    }
                    Reach::Anything => true,
                };
                is_own.then(|| format!("by `{schema}.{name}` the server's own catalogues may change"))
            }
            (Action::Maintain, Resource::Table { schema, name })
                if meaning.parts.iter().any(|part| part.is_or_runs("REFRESH MATERIALIZED VIEW")) =>
            {
                let is_hidden = self.source_is_hidden(&access.resource, now) || self.reads_hidden(schema, name, now);
                is_hidden.then(|| format!("what changes in `{schema}.{name}`, or fails, tells of masked columns"))
            }
            // Without a table: all that were clustered before.
            (Action::Maintain, resource @ (Resource::Table { .. } | Resource::Connection)) => {
                let clusters = meaning.parts.iter().any(|part| part.is_or_runs("CLUSTER"));
                let is_hidden = *resource == Resource::Connection || self.source_is_hidden(resource, now);
                (clusters && is_hidden).then(|| "the order that rows then have tells of masked columns".into())
            }
            (Action::Alter, Resource::Schema { name }) => {
                let renames = meaning.parts.iter().any(|part| part.is_or_runs("RENAME"));
                renames.then(|| format!("columns in `{name}` are masked by its name"))
            }
            _ => None,
        }
    }

    /// What changes is looked for before: of what views and foreign keys it is, where it has another name since, or is the session's own,
    /// is not known.
    fn may_be_a_view(&self, access: &Access, meaning: &Meaning) -> Option<String> {
        let Resource::Table { schema, name } = &access.resource else { return None };
        let changes = matches!(
            access.action,
            Action::Insert | Action::Update | Action::Delete | Action::Truncate | Action::Maintain
        );
        if !changes || is_own(schema) || self.reveals.catalogue().named(schema, name).is_some() {
            return None;
        }
        let catalogue = self.reveals.catalogue();
        let renames = meaning.parts.iter().any(|part| may_rename(part, meaning, catalogue));
        let is_view = if &**schema == "pg_temp" {
            self.settings.is_temporary_view(name) || meaning.parts.iter().any(|part| part.is_or_runs("CREATE VIEW"))
        } else {
            renames || self.settings.has_renamed()
        };
        is_view.then(|| format!("what `{schema}.{name}` is may have changed in this session, and is not known"))
    }

    /// What is made of a view or its name is not known until the transaction has ended, or to nobody else (temporary): so no view
    /// of something hidden comes to be called otherwise, and none is made over it, or over what tells.
    fn is_made_over(&mut self, access: &Access, meaning: &Meaning, now: Timestamp) -> Option<String> {
        let Resource::Table { schema, name } = &access.resource else { return None };
        let is = |words: &[&str]| meaning.parts.iter().any(|part| words.iter().any(|word| part.is_or_runs(word)));
        let reads = matches!(access.action, Action::Select | Action::Insert | Action::Update | Action::Delete);
        // By a text of several statements, the others may be those that matter.
        let only_says = |part: &Part| ["COMMENT", "SECURITY LABEL", "INDEX"].iter().any(|word| part.is_or_runs(word));
        let alters = access.action == Action::Alter && !meaning.parts.iter().all(only_says);
        let is_asked = alters || (reads && is(MAKING));
        if !is_asked {
            return None;
        }
        let all = SourceColumn { schema: schema.clone(), table: name.clone(), column: None };
        // What a view shows is carried to it, column by column.
        let is_rule = is(&["CREATE RULE", "CREATE SCHEMA", "POLICY"]);
        if access.action == Action::Select && is_rule && self.is_telling(&all, now) {
            return Some(format!("what `{schema}.{name}` tells of masked values would be shown by what it makes"));
        }
        if access.action == Action::Alter {
            let catalogue = Arc::clone(self.reveals.catalogue());
            let below = catalogue.named(schema, name).map(|relation| catalogue.shows(relation.oid)).unwrap_or_default();
            let below: BTreeSet<u32> = below.into_iter().map(|relation| relation.oid).collect();
            if self.reach_is_hidden(&Reach::Relations(below), now) {
                return Some(format!(
                    "what inherits from `{schema}.{name}`, and has columns that you may not see, changes with it"
                ));
            }
        }
        let view = self.reveals.catalogue().named(schema, name).filter(|relation| relation.kind.is_view());
        let reads_hidden = view.is_some() && !is_own(schema) && self.reads_hidden(schema, name, now);
        reads_hidden.then(|| format!("the view `{schema}.{name}` reads columns that you may not see"))
    }

    /// Which rows are in a partition tells of the columns that it is one by.
    fn is_apart(&mut self, access: &Access, now: Timestamp) -> Option<String> {
        let reads = matches!(
            access.action,
            Action::Select
                | Action::Update
                | Action::Delete
                | Action::Lock
                | Action::Truncate
                | Action::Drop
                | Action::Maintain
        );
        let Resource::Table { schema, name } = &access.resource else { return None };
        let relation = self.reveals.catalogue().named(schema, name).filter(|_| reads)?.oid;
        let is_apart = self.reveals.is_apart(relation, &mut Asking { enforcer: &mut self.enforcer, now });
        is_apart.then(|| format!("rows are in the partition `{schema}.{name}` by columns that you may not see"))
    }

    pub(super) fn source_is_hidden(&mut self, resource: &Resource, now: Timestamp) -> bool {
        let Resource::Table { schema, name } = resource else { return false };
        let source = SourceColumn { schema: schema.clone(), table: name.clone(), column: None };
        self.reveals.source(&source, &mut Asking { enforcer: &mut self.enforcer, now }).is_some()
    }

    /// A routine may read what its caller may not see, and nobody knows what it makes of it.
    fn reaches_out(&mut self, schema: &Name, name: &Name, now: Timestamp) -> Option<String> {
        let out = || Some(format!("the function `{schema}.{name}` may read columns that you may not see"));
        if &**schema == "pg_catalog" {
            return if is_plain_function(name) { None } else { out() };
        }
        if &**schema == "information_schema" {
            return None;
        }
        // In an open transaction that has changed the schema, a name may stand for something that nobody has looked at.
        if self.settings.has_changed_schema() {
            return out();
        }
        match self.reveals.catalogue().reach(schema, name).cloned() {
            Some(reach) => self.reach_is_hidden(&reach, now).then(out).flatten(),
            // Where it was not found, it is the server's own, if that has one.
            None if self.reveals.catalogue().functions_named(name).all(|f| &*f.schema == "pg_catalog")
                && is_plain_function(name) =>
            {
                None
            }
            None => out(),
        }
    }

    pub(super) fn reach_is_hidden(&mut self, reach: &Reach, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        match reach {
            Reach::Anything => true,
            Reach::Relations(relations) => {
                relations.iter().filter_map(|oid| catalogue.relation(*oid)).any(|relation| {
                    let (schema, name) = (relation.schema.clone(), relation.name.clone());
                    shows_values(&schema, &name)
                        || self.source_is_hidden(&Resource::Table { schema, name }, now)
                        // Its rows are sorted for nobody where a function reads it.
                        || (relation.kind.is_view() && !is_own(&relation.schema) && self.view_tells(relation, now))
                })
            }
        }
    }

    /// Which function of a name the body of another calls depends on the path of whoever calls that one.
    fn body_calls_nothing_hidden(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let called = part.reads.calls.iter().filter(|_| makes_a_body(part));
        for function in called.flat_map(|name| catalogue.functions_named(name)).filter(|f| !is_own(&f.schema)) {
            let resource = Resource::Function { schema: function.schema.clone(), name: function.name.clone() };
            if let Some(why) = self.reaches_out(&function.schema, &function.name, now)
                && !self.may_bypass(&resource, now)
            {
                return Err(refused(&part.command, &why));
            }
        }
        Ok(())
    }

    /// How much room tables take tells how long their values are, also those that are hidden.
    fn measures_nothing_hidden(&mut self, part: &Part, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        for tell in &part.reads.tells {
            let (is_hidden, resource, what) = match tell {
                Tell::Function(name) => {
                    let resource = Resource::Function { schema: "pg_catalog".into(), name: name.clone() };
                    (true, resource, format!("{name} tells how much room masked values take"))
                }
                Tell::Sizes(what) => {
                    let name = part.command.to_ascii_lowercase().into();
                    let resource = Resource::Object { kind: "sizes".into(), name };
                    let what = format!("{what} tells how much room masked values take, or where they are");
                    // Without a table it is all of them.
                    let of_all = meaning.facts.accesses.iter().any(|access| {
                        access.action == Action::Maintain && !matches!(access.resource, Resource::Table { .. })
                    });
                    let is_hidden = self.hides(meaning, now)
                        || self.goes_beneath(meaning, now)
                        || self.inherits_hidden(meaning, now)
                        || self.views_hide(meaning, now)
                        || (of_all && self.hides_anything(now));
                    (is_hidden, resource, what)
                }
                Tell::Object(kind, name) => {
                    let resource = Resource::Object { kind: (*kind).into(), name: name.clone() };
                    let what = match *kind {
                        "type" => {
                            format!("tables made of the type `{name}` change with it, and may have masked columns")
                        }
                        _ => format!("the {kind} `{name}` may then show what you may not see"),
                    };
                    (true, resource, what)
                }
                Tell::ComeUpon(what) => {
                    let name = part.command.to_ascii_lowercase().into();
                    let resource = Resource::Object { kind: "rows".into(), name };
                    let what = format!("{what} tells which rows something has come upon, which masked columns decide");
                    (self.hides_anything(now), resource, what)
                }
                Tell::Names => {
                    let name = part.command.to_ascii_lowercase().into();
                    let resource = Resource::Object { kind: "names".into(), name };
                    (
                        true,
                        resource,
                        "what it makes changes what names mean, to whoever calls it or begins a session".into(),
                    )
                }
                Tell::Called(resource) => {
                    let why = self.is_called_by_code(resource);
                    let why = why.or_else(|| self.stands_before_hidden(resource, now));
                    (why.is_some(), resource.clone(), why.unwrap_or_default())
                }
            };
            if is_hidden && !self.may_bypass(&resource, now) {
                return Err(refused(&part.command, &what));
            }
        }
        Ok(())
    }

    /// Whether a table is read from which one inherits that has hidden columns.
    fn inherits_hidden(&mut self, meaning: &Meaning, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let below = meaning.facts.accesses.iter().filter_map(|access| {
            let Resource::Table { schema, name } = &access.resource else { return None };
            catalogue.named(schema, name)
        });
        let below: BTreeSet<u32> = below.flat_map(|r| catalogue.shows(r.oid)).map(|r| r.oid).collect();
        self.reach_is_hidden(&Reach::Relations(below), now)
    }

    /// Whether a view that is read, whatever it shows, reads something hidden.
    fn views_hide(&mut self, meaning: &Meaning, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        meaning.facts.accesses.iter().any(|access| {
            let Resource::Table { schema, name } = &access.resource else { return false };
            let view = catalogue.named(schema, name).filter(|r| r.kind == RelationKind::View && !is_own(schema));
            view.is_some() && self.reads_hidden(schema, name, now)
        })
    }

    /// Whether a view, be it a materialised one, reads something hidden.
    pub(super) fn reads_hidden(&mut self, schema: &Name, name: &Name, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let view = catalogue.named(schema, name);
        view.is_some_and(|view| self.reach_is_hidden(&catalogue.view_reads(view.oid), now))
    }

    fn is_telling(&mut self, source: &SourceColumn, now: Timestamp) -> bool {
        if is_among(telling_columns(&source.schema, &source.table), source) {
            return true;
        }
        let counts = is_among(counting_columns(&source.schema, &source.table), source);
        let catalogue = Arc::clone(self.reveals.catalogue());
        counts && self.has_kept_apart(&catalogue, now)
    }

    /// Columns of the server's own catalogues that tell of values may be asked for, and are masked; but nothing is decided
    /// by them.
    fn weighs_nothing_telling(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        // What is carried away is masked nowhere.
        let all = part.reads.weighs.iter().chain(&part.moves);
        let telling: Vec<&SourceColumn> = all.filter(|source| self.is_telling(source, now)).collect();
        for source in telling {
            let resource = Resource::Table { schema: source.schema.clone(), name: source.table.clone() };
            if !self.may_bypass(&resource, now) {
                let column = source.column.as_deref().unwrap_or("*");
                let why = format!("`{}.{}.{column}` tells of masked values", source.schema, source.table);
                return Err(refused(&part.command, &why));
            }
        }
        Ok(())
    }

    /// How a column of the server's own catalogues is masked that tells of values.
    pub(super) fn telling_rule<'s>(
        &mut self,
        sources: impl IntoIterator<Item = &'s SourceColumn>,
        now: Timestamp,
    ) -> Option<Arc<MaskRule>> {
        let telling = sources.into_iter().find(|source| self.is_telling(source, now))?;
        let resource = Resource::Table { schema: telling.schema.clone(), name: telling.table.clone() };
        let is_hidden = self.hides_anything(now) && !self.may_bypass(&resource, now);
        is_hidden.then(|| Arc::new(MaskRule { operator: Operator::Null, label: "masked".into(), by_default: false }))
    }
}

fn is_among(columns: &[&str], source: &SourceColumn) -> bool {
    match &source.column {
        Some(column) => columns.contains(&&**column),
        None => !columns.is_empty(),
    }
}

/// Why what is asked for could tell of hidden columns, whatever the database has.
fn plain_way_out(access: &Access) -> Option<String> {
    use Action::{
        Alter, Configure, Create, Delete, Execute, Insert, LoadLibrary, Lock, Opaque, ReadFile, Replicate, RunProgram,
        Select, Set, Truncate, Update, WriteFile,
    };
    match (access.action, &access.resource) {
        (Select | Lock, Resource::Table { schema, name }) if shows_values(schema, name) => {
            Some(format!("`{schema}.{name}` shows values, or what is known of them"))
        }
        (Insert | Update | Delete | Truncate, Resource::Table { schema, .. })
            if matches!(&**schema, "pg_catalog" | "pg_toast") =>
        {
            Some("what the catalogues say decides what is masked".into())
        }
        (Execute, _) => Some("code in a statement may read columns that you may not see".into()),
        (Opaque, Resource::Opaque { what }) if &**what == COMPUTED_CHANNEL => None,
        (Opaque, Resource::Opaque { what }) => Some(format!("{what} may show columns that you may not see")),
        (ReadFile | WriteFile | LoadLibrary, Resource::File { path }) => {
            Some(format!("the server's file `{path}` may hold columns that you may not see, or read them"))
        }
        (RunProgram, _) => Some("a program on the server may read columns that you may not see".into()),
        (Replicate, _) => Some("the write-ahead log holds columns that you may not see".into()),
        (Configure, Resource::Setting { name }) => Some(format!("`{name}` may have the server tell what is masked")),
        (Set, Resource::Setting { name }) if is_telling_setting(name) => {
            Some(format!("`{name}` has the server tell how it runs statements, or run code"))
        }
        (Alter, Resource::Object { kind, name }) if &**kind == "domain" => {
            Some(format!("a constraint of the domain `{name}` would be tried on columns that you may not see"))
        }
        (Create | Alter, Resource::Function { schema, .. } | Resource::Schema { name: schema }) if is_own(schema) => {
            Some(format!("what is in `{schema}` is taken for the server's own"))
        }
        (Create, Resource::Table { schema, name }) if &**schema == "pg_temp" && name.starts_with("pg_") => {
            Some(format!("`{name}` would stand in the way of what the server itself has"))
        }
        (Create | Alter, Resource::Object { kind, name }) if REACHING.contains(&&**kind) => {
            Some(format!("the {kind} `{name}` may reach columns that you may not see"))
        }
        _ => None,
    }
}

pub(super) fn is_own(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

/// What a view shows is not known while it is locked, and may be something else as soon as it is not.
fn locked(command: &str, relation: Option<&Relation>) -> Refusal {
    let name = relation.map_or_else(|| "?".to_owned(), |r| format!("{}.{}", r.schema, r.name));
    let is_table = relation.is_some_and(|r| !r.kind.is_view());
    let kind = if is_table { "table" } else { "view" };
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: what the {kind} `{name}` shows cannot be read while it is locked"),
        detail: Some("another session changes it or a relation that it reads, or is about to".into()),
        hint: Some("ask again when that session's transaction has ended".into()),
    }
}

pub(super) fn refused(command: &str, why: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: {why}"),
        detail: Some("some columns of this connection are masked for you".into()),
        hint: Some(
            "someone who may reveal the columns can run it, or who is permitted to `bypass` it by a policy that names that"
                .into(),
        ),
    }
}
