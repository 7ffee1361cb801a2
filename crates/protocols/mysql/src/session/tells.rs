//! Other ways out: what is not a query over a table with hidden columns, and tells of them all the same.
mod held;
mod order;
mod own;

use super::{Session, veil::source_of};
use doorward_enforce::{Refusal, RefusalKind};
use doorward_model::{Access, Action, Name, Resource, Timestamp};
use doorward_sql::{
    Column, Effect, Reach, Relation, RelationKind, SourceColumn,
    mysql::{is_native_function, is_telling_setting, locks_what_is_read},
};
use doorward_sql_session::{Asking, Meaning, Part, refusals::weighs};
use std::sync::Arc;

pub(super) use own::{columns, is_shown, may_name};

/// Kinds of objects that run code of their own, send rows elsewhere, or read tables by another way.
const REACHING: &[&str] = &["plugin", "replication", "server"];

/// Who may go a way that policies may open.
const PERMITTED: &str =
    "someone who may reveal the columns can run it, or who is permitted to `bypass` it by a policy that names that";

impl Session {
    /// Whether the caller may not see some column of some table.
    pub(super) fn hides_anything(&mut self, now: Timestamp) -> bool {
        self.reveals.hides_anything(&mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// Refuses what tells of hidden columns by another way than a query over their table.
    pub(super) fn tells_nothing_hidden(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        if let Some(oid) = self.reveals.names_unread(meaning).first()
            && self.hides_anything(now)
        {
            return Err(locked(&meaning.facts.command, self.reveals.catalogue().relation(*oid)));
        }
        for part in &meaning.parts {
            self.is_no_other_way(part, meaning, now)?;
        }
        for access in &meaning.facts.accesses {
            if let Some(why) = plain_way_out(access)
                && self.hides_anything(now)
                && !(may_be_permitted(access) && self.enforcer.may_bypass(&access.resource, now))
            {
                let mut refusal = refused(&meaning.facts.command, &why);
                if may_be_permitted(access) {
                    refusal.hint = Some(PERMITTED.into());
                }
                return Err(refusal);
            }
            if let Some(why) = self.takes_what_others_call(access, now)
                && self.hides_anything(now)
                && !self.enforcer.may_bypass(&access.resource, now)
            {
                let mut refusal = refused(&meaning.facts.command, &why);
                refusal.hint = Some(PERMITTED.into());
                return Err(refusal);
            }
            if access.action == Action::Create {
                self.stands_before_nothing_hidden(meaning, &access.resource, now)?;
            }
            if let Resource::Table { schema, name } = &access.resource
                && self.hides_anything(now)
            {
                let why = if self.view_tells(schema, name) {
                    format!("the view `{schema}.{name}` shows statements, values or statistics of all tables")
                } else if self.view_calls_out(schema, name, now) {
                    format!("the view `{schema}.{name}` calls what may read columns that you may not see")
                } else {
                    continue;
                };
                return Err(refused(&meaning.facts.command, &why));
            }
            if let Resource::Function { schema, name } = &access.resource
                && access.action == Action::Call
            {
                self.reaches_nothing_hidden(meaning, schema, name, now)?;
            }
        }
        Ok(())
    }

    /// Views, triggers and events of others call routines and write tables by their names: something else in that place would be
    /// given what they read.
    fn takes_what_others_call(&mut self, access: &Access, now: Timestamp) -> Option<String> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        if let Some(why) = self.takes_what_bodies_name(access, now) {
            return Some(why);
        }
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        match (access.action, &access.resource) {
            (Action::Drop | Action::Alter, Resource::Function { name, .. }) => catalogue
                .may_be_called(name)
                .then(|| format!("what others have made may call `{name}`, and would call what takes its place")),
            (Action::Drop, Resource::Table { schema, name }) => {
                let source = SourceColumn { schema: schema.clone(), table: name.clone(), column: None };
                let is_hidden =
                    catalogue.named(schema, name).is_some() && self.reveals.source(&source, asking).is_some();
                is_hidden.then(|| format!("what takes the place of `{schema}.{name}` would be given masked columns"))
            }
            (Action::Drop, Resource::Database { name }) => {
                let mut within = catalogue.relations().filter(|r| r.schema == *name);
                let hides =
                    within.any(|r| r.columns.iter().any(|c| self.reveals.column(r.oid, c.number, asking).is_some()));
                let calls = || catalogue.functions().any(|f| f.schema == *name && catalogue.may_be_called(&f.name));
                (hides || calls()).then(|| format!("what takes the place of `{name}` would be given masked columns"))
            }
            _ => None,
        }
    }

    /// Bodies of routines, triggers and events, be they the caller's own, are judged by what their names mean as they are made: nothing
    /// else comes to be called so, and no view that reads something hidden goes by another name.
    fn takes_what_bodies_name(&mut self, access: &Access, now: Timestamp) -> Option<String> {
        let Resource::Table { schema, name } = &access.resource else { return None };
        let catalogue = Arc::clone(self.reveals.catalogue());
        let known = catalogue.named(schema, name);
        let is_made = access.action == Action::Create && &**schema != "pg_temp";
        if is_made && known.is_none_or(|r| r.kind == RelationKind::View) && catalogue.mentions().names(name) {
            return Some(format!("a routine, trigger or event names `{name}`, and would find another"));
        }
        let changes = matches!(access.action, Action::Create | Action::Alter | Action::Drop);
        let view = known.filter(|r| changes && r.kind == RelationKind::View)?;
        let reads_hidden = self.reach_is_hidden(&catalogue.view_reads(view.oid), now);
        reads_hidden.then(|| format!("the view `{schema}.{name}` reads columns that you may not see"))
    }

    /// Refuses a temporary table, also one that is renamed, of the name of a relation with hidden columns: what the caller writes
    /// into it would be masked as those are, and could be compared with them.
    fn stands_before_nothing_hidden(
        &mut self,
        meaning: &Meaning,
        made: &Resource,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Resource::Table { schema, name } = made else { return Ok(()) };
        let is_temporary = &**schema == "pg_temp";
        if !is_temporary && !meaning.parts.iter().any(|p| p.is_or_runs("ALTER") || p.is_or_runs("RENAME")) {
            return Ok(());
        }
        let catalogue = Arc::clone(self.reveals.catalogue());
        let mut alike = catalogue
            .relations()
            .filter(|r| r.name.eq_ignore_ascii_case(name) && (is_temporary || r.schema.eq_ignore_ascii_case(schema)));
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let hidden = alike.find(|r| {
            let source = SourceColumn { schema: r.schema.clone(), table: r.name.clone(), column: None };
            self.reveals.source(&source, asking).is_some()
        });
        let Some(hidden) = hidden else { return Ok(()) };
        let of = format!("`{}.{}`, which has columns that you may not see", hidden.schema, hidden.name);
        Err(refused(&meaning.facts.command, &format!("a table `{name}` would stand before {of}")))
    }

    /// Whether a view of somebody's reads what tells in the server's own, or shows its columns that tell. Of what a view is
    /// made that is not known, its columns are hidden.
    fn view_tells(&self, schema: &Name, name: &Name) -> bool {
        let catalogue = self.reveals.catalogue();
        let view = catalogue.named(schema, name).filter(|r| r.kind == RelationKind::View && !own::is_own(schema));
        let Some((view, Reach::Relations(reads))) = view.map(|view| (view, catalogue.view_reads(view.oid))) else {
            return false;
        };
        let shows = |r: &Relation| {
            let made_of = r.columns.iter().filter_map(|column| catalogue.view_column(r.oid, column.number));
            made_of.flatten().any(is_telling)
        };
        let read = |r: &Relation| own::tells(&r.schema, &r.name) || shows(r);
        shows(view) || reads.iter().filter_map(|oid| catalogue.relation(*oid)).any(read)
    }

    /// Whether a view, or one that it reads, calls a routine that may read what is hidden.
    fn view_calls_out(&mut self, schema: &Name, name: &Name, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let Some(view) = catalogue.named(schema, name).filter(|r| r.kind == RelationKind::View) else { return false };
        let mut views = vec![view.oid];
        if let Reach::Relations(reads) = catalogue.view_reads(view.oid) {
            views.extend(reads);
        }
        views.into_iter().filter_map(|oid| catalogue.view_reach(oid)).any(|reach| self.reach_is_hidden(reach, now))
    }

    fn reach_is_hidden(&mut self, reach: &Reach, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let Reach::Relations(relations) = reach else { return self.hides_anything(now) };
        relations.iter().filter_map(|oid| catalogue.relation(*oid)).any(|relation| {
            let (schema, table) = (relation.schema.clone(), relation.name.clone());
            let tells = own::tells(&schema, &table) || own::columns(&schema, &table).is_some();
            let source = SourceColumn { schema, table, column: None };
            let asking = &mut Asking { enforcer: &mut self.enforcer, now };
            // What is locked may have other columns as soon as it is not.
            catalogue.is_unread(relation.oid)
                || self.reveals.source(&source, asking).is_some()
                || (tells && self.hides_anything(now))
                || self.view_is_in_hidden_order(&catalogue, relation, now)
        })
    }

    fn is_no_other_way(&mut self, part: &Part, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        if part.is_or_runs("HANDLER") && self.hides_anything(now) {
            return Err(refused(&part.command, "HANDLER reads rows where no mask is sure to reach them"));
        }
        if part.is_or_runs("CHECKSUM") && self.hides(meaning, now) {
            return Err(refused(&part.command, "a checksum is made of all columns"));
        }
        let text = part.text.as_deref().filter(|_| !part.by_name).unwrap_or_default();
        let mut commands = std::iter::once(&part.command).chain(&part.runs);
        if commands.any(|command| own::shows_counters(command, text)) && self.hides_anything(now) {
            let mut refusal = refused(&part.command, "its counters may tell how long values are");
            refusal.hint =
                Some("what counts no bytes passes by its name: SHOW STATUS LIKE 'Threads%', 'Uptime', 'Ssl%'".into());
            return Err(refusal);
        }
        if shows_sizes(part) {
            let text = part.text.as_deref().unwrap_or_default();
            let has_where = text.windows(5).any(|here| here.eq_ignore_ascii_case(b"where"));
            // Of what was prepared by its name the text is not here.
            if (has_where || part.by_name) && self.hides_anything(now) {
                return Err(refused(&part.command, "its WHERE may decide by statistics of all columns"));
            }
        }
        self.plans_nothing_hidden(part, meaning, now)?;
        self.shows_no_statistics(part, now)?;
        self.compares_nothing_hidden(part, meaning, now)?;
        self.checks_nothing_hidden(part, meaning, now)?;
        self.locks_not_what_is_read(part, now)?;
        self.reads_in_no_hidden_order(part, meaning, now)?;
        self.finds_no_hidden_row(part, meaning, now)?;
        self.refers_to_no_hidden_row(part, meaning, now)?;
        self.holds_no_hidden_place(part, meaning, now)?;
        self.changes_no_first_rows(part, now)?;
        self.reads_no_hidden_index(part, now)
    }

    /// Where all that is read is locked, also in views, others learn by waiting where it is in an index.
    fn locks_not_what_is_read(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        let locks = part.effects.iter().any(
            |effect| matches!(effect, Effect::Set { name, value, .. } if locks_what_is_read(name, value.as_deref())),
        );
        if !locks || !self.hides_anything(now) {
            return Ok(());
        }
        let mut refusal = refused(&part.command, "SERIALIZABLE locks indexes over columns that you may not see");
        refusal.hint = Some("use REPEATABLE READ, and SELECT … FOR UPDATE where rows have to be locked".into());
        Err(refusal)
    }

    /// A plan that is a document quotes rows that were read to make it: any column of what stands for a table, and of what a view
    /// decides by.
    fn plans_nothing_hidden(&mut self, part: &Part, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        let is_table = &*part.command == "EXPLAIN" && part.reads.tells.is_empty();
        if is_table || !part.is_or_runs("EXPLAIN") || !(self.hides(meaning, now) || self.views_hide(meaning, now)) {
            return Ok(());
        }
        let mut refusal =
            refused(&part.command, "a plan in this format may quote values of tables that you may not see whole");
        refusal.hint = Some("use EXPLAIN FORMAT=TRADITIONAL, without ANALYZE".into());
        Err(refusal)
    }

    /// Whether a view that is read, whatever it shows, reads something hidden.
    fn views_hide(&mut self, meaning: &Meaning, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        meaning.facts.accesses.iter().any(|access| {
            let Resource::Table { schema, name } = &access.resource else { return false };
            let view = catalogue.named(schema, name).filter(|r| r.kind == RelationKind::View && !own::is_own(schema));
            view.is_some_and(|view| self.reach_is_hidden(&catalogue.view_reads(view.oid), now))
        })
    }

    /// A view that refuses rows which it would not show would answer whatever is written through it.
    fn checks_nothing_hidden(&mut self, part: &Part, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        for access in meaning.facts.accesses.iter().filter(|a| matches!(a.action, Action::Insert | Action::Update)) {
            let Resource::Table { schema, name } = &access.resource else { continue };
            let Some(checked) = self.checked(schema, name) else {
                if self.hides_anything(now) {
                    let why = format!("what the view `{schema}.{name}` checks is not known");
                    return Err(refused(&part.command, &why));
                }
                continue;
            };
            let asking = &mut Asking { enforcer: &mut self.enforcer, now };
            for source in &checked {
                if self.reveals.source(source, asking).is_some() && !self.reveals.may_filter(source, asking) {
                    return Err(weighs(&part.command, source, Some("a view WITH CHECK OPTION that decides by it")));
                }
            }
        }
        Ok(())
    }

    /// By what a view, or one that it reads, decides whether a row may be written; none where that is not known.
    fn checked(&self, schema: &Name, name: &Name) -> Option<Vec<SourceColumn>> {
        let catalogue = self.reveals.catalogue();
        let Some(view) = catalogue.named(schema, name).filter(|r| r.kind == RelationKind::View) else {
            return Some(Vec::new());
        };
        let mut views = vec![view.oid];
        match catalogue.view_reads(view.oid) {
            Reach::Relations(reads) => views.extend(reads),
            // Which views it reads is not known, nor whether they check.
            Reach::Anything => return None,
        }
        let mut out = Vec::new();
        if views.iter().any(|oid| catalogue.is_checking(*oid)) {
            let is_view = |oid: &&u32| catalogue.relation(**oid).is_some_and(|r| r.kind == RelationKind::View);
            for view in views.iter().filter(is_view) {
                out.extend(catalogue.view_weighs(*view)?.iter().cloned());
            }
        }
        Some(out)
    }

    /// A constraint that compares a column with a hidden one would answer whatever the first is set to; so would a column that is
    /// made of both, or a partition.
    fn compares_nothing_hidden(&mut self, part: &Part, meaning: &Meaning, now: Timestamp) -> Result<(), Refusal> {
        for access in meaning.facts.accesses.iter().filter(|access| access.action == Action::Update) {
            let Resource::Table { schema, name } = &access.resource else { continue };
            for source in self.compared(part, schema, name) {
                let asking = &mut Asking { enforcer: &mut self.enforcer, now };
                if self.reveals.source(&source, asking).is_some() && !self.reveals.may_filter(&source, asking) {
                    return Err(weighs(
                        &part.command,
                        &source,
                        Some("a constraint, computed column or partition with it"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The columns that constraints compare with those that a statement sets in a table, or in what a view reads: of a view it
    /// is not looked for which of its columns is which.
    fn compared(&self, part: &Part, schema: &Name, name: &Name) -> Vec<SourceColumn> {
        let catalogue = self.reveals.catalogue();
        let Some(table) = catalogue.named(schema, name) else { return Vec::new() };
        let behind = match catalogue.view_reads(table.oid) {
            Reach::Relations(reads) if table.kind == RelationKind::View => reads.into_iter().collect(),
            Reach::Relations(_) | Reach::Anything => vec![table.oid],
        };
        let sets = |column: &Column| {
            part.reads
                .weighs
                .iter()
                .filter(|set| set.schema == *schema && set.table == *name)
                .any(|set| set.column.as_ref().is_none_or(|set| set.eq_ignore_ascii_case(&column.name)))
        };
        // One that is computed is set by what it is made of.
        let computes = |relation: &Relation, column: &Column| {
            let made_of = catalogue.view_column(relation.oid, column.number).into_iter().flatten();
            let named = made_of.filter_map(|source| source.column.as_ref());
            named.filter_map(|name| relation.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))).any(sets)
        };
        let mut out = Vec::new();
        for relation in behind.into_iter().filter_map(|oid| catalogue.relation(oid)) {
            for check in catalogue.checks(relation.oid) {
                let columns = || relation.columns.iter().filter(|column| check.contains(&column.number));
                if relation.oid != table.oid || columns().any(|c| sets(c) || computes(relation, c)) {
                    out.extend(columns().map(|column| source_of(relation, column)));
                }
            }
        }
        out
    }

    /// Columns of the server's own views that tell of values have NULL in their places where a query names the view. What
    /// is not written anew shows none of them, and decides by none.
    fn shows_no_statistics(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        if part.reads.obstacle.is_none() && !part.by_name && !part.reads.places.is_empty() {
            return Ok(());
        }
        let shown = part.lineage.iter().flat_map(|lineage| &lineage.anywhere);
        let mut all = shown.chain(&part.moves).chain(&part.reads.weighs);
        if all.any(is_telling) && self.hides_anything(now) {
            return Err(refused(&part.command, "it reads statistics of tables that you may not see whole"));
        }
        Ok(())
    }

    /// A stored routine may read what its caller may not see, and nobody knows what it makes of it.
    fn reaches_nothing_hidden(
        &mut self,
        meaning: &Meaning,
        schema: &Name,
        name: &Name,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let reads_hidden = match catalogue.reach(schema, name) {
            Some(reach) => self.reach_is_hidden(reach, now),
            None if &**schema == "mysql" && is_native_function(name) => false,
            None => self.hides_anything(now),
        };
        if reads_hidden {
            return Err(refused(
                &meaning.facts.command,
                &format!("`{schema}.{name}` may read columns that you may not see"),
            ));
        }
        Ok(())
    }
}

/// What a relation has is not known while it is locked, and may be something else as soon as it is not.
fn locked(command: &str, relation: Option<&Relation>) -> Refusal {
    let name = relation.map_or_else(|| "?".to_owned(), |r| format!("{}.{}", r.schema, r.name));
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: `{name}` cannot be looked into while it is locked"),
        detail: Some("another session makes or changes it".into()),
        hint: Some("ask again when that session's statement has ended".into()),
    }
}

/// Whether a column is one of the server's own that tells of values.
fn is_telling(source: &SourceColumn) -> bool {
    let columns = own::columns(&source.schema, &source.table).unwrap_or_default();
    match &source.column {
        Some(column) => columns.iter().any(|telling| telling.eq_ignore_ascii_case(column)),
        None => !columns.is_empty(),
    }
}

/// Whether rows of a statement may be those of a SHOW that shows sizes.
pub(super) fn shows_sizes(part: &Part) -> bool {
    std::iter::once(&part.command).chain(&part.runs).any(|command| own::shows_sizes(command))
}

/// Why what is asked for could tell of hidden columns, whatever the server has.
fn plain_way_out(access: &Access) -> Option<String> {
    use Action::{
        Alter, Call, Configure, Connect, Create, Delete, Drop, Execute, Grant, Insert, LoadLibrary, Lock, Maintain,
        Opaque, ReadFile, Replicate, RunProgram, Select, Set, Truncate, Update, WriteFile,
    };
    match (access.action, &access.resource) {
        (Opaque, _) => Some("what is not understood may show columns that you may not see".into()),
        (Select | Lock, Resource::Table { schema, name }) if own::tells(schema, name) => {
            Some(format!("`{schema}.{name}` shows statements, values or statistics of all tables"))
        }
        (
            Insert | Update | Delete | Truncate | Create | Alter | Drop,
            Resource::Table { schema, .. }
            | Resource::Function { schema, .. }
            | Resource::Schema { name: schema }
            | Resource::Database { name: schema },
        ) if own::is_own(schema) => Some(format!("what is in `{schema}` decides what is masked")),
        (Create | Alter | Drop, Resource::Object { kind, name })
            if matches!(&**kind, "event" | "trigger") && name.split('.').next().is_some_and(own::is_own) =>
        {
            Some(format!("what `{name}` is in decides what is masked"))
        }
        (Create | Alter, Resource::Object { kind, name }) if REACHING.contains(&&**kind) => {
            Some(format!("the {kind} `{name}` may reach columns that you may not see"))
        }
        // Comments on tables, which may be tags, are asked for as that, too.
        (Grant, resource) if !matches!(resource, Resource::Table { .. }) => {
            Some("who may do what decides what the gateway can see, and so what is masked".into())
        }
        (LoadLibrary, _) => Some("a library may read columns that you may not see".into()),
        (RunProgram, _) => Some("a program on the server may read columns that you may not see".into()),
        (Replicate, _) => Some("the log of changes holds columns that you may not see".into()),
        (Configure, Resource::Setting { name }) => {
            Some(format!("`{name}` is the whole server's, and may have it tell what is masked"))
        }
        (Set, Resource::Setting { name }) if is_telling_setting(name) => {
            Some(format!("`{name}` may change how masked columns are kept out of answers"))
        }
        (
            Connect | Select | Lock | Insert | Update | Delete | Truncate | Create | Alter | Drop | Call | Grant | Maintain
            | Set | Action::Assume | Configure,
            _,
        )
        // What a block does is asked for beside it; files have rights of their own.
        | (Execute | ReadFile | WriteFile, _) => None,
        (other, _) => Some(format!("`{}` may show columns that you may not see", other.as_str())),
    }
}

/// Whether a policy may permit a way out by its name: what the server does with its settings, files and logs, and not what
/// shows values or decides what is masked.
const fn may_be_permitted(access: &Access) -> bool {
    matches!(
        access.action,
        Action::Configure | Action::Set | Action::Replicate | Action::LoadLibrary | Action::RunProgram
    )
}

pub(super) fn refused(command: &str, what: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Policy,
        message: format!("{command} refused: {what}"),
        detail: Some("some columns of this connection are masked for you".into()),
        hint: Some("someone who may reveal the columns can run it".into()),
    }
}
