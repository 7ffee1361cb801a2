//! What of an answer the caller may see: masks planned from row descriptions, lineage and tags.
use super::{
    Session,
    stand::{Stand, stand},
    tells::is_own,
    veil::{Veil, is_sent_as_it_is},
};
use crate::{
    codec::{Bind, FieldDescription},
    copy::CopyMasker,
    mask::{ErrorExposure, Field, RowMasker},
    pipeline::Expect,
};
use ahash::AHashMap;
use doorward_detect::Hint;
use doorward_enforce::{MaskRule, Refusal};
use doorward_model::{Access, Action, Name, Operator, Resource, Timestamp};
use doorward_sql::{
    Column, Reach, Relation,
    postgres::{CopyFormat, Lineage, SourceColumn},
};
use doorward_sql_session::{
    Asking, Dialect, FieldPlan, Meaning, TextMasking, is_in_place, output_sources, redacted, refusals::not_understood,
    whole,
};
use std::{collections::BTreeSet, sync::Arc};

/// The number of the type `text`.
const TEXT: u32 = 25;

/// How many plans a session remembers.
const PLANS: usize = 256;

/// What PostgreSQL has of its own.
pub(super) const DIALECT: Dialect = Dialect {
    folds_columns: false,
    unknown_is_a_view: false,
    is_made_up: |_| false,
    own_schemas: &["pg_catalog", "information_schema", "pg_toast", "pg_temp"],
    system_columns: &[("ctid", -1), ("tableoid", -6)],
};

/// What was found out of texts and results that have been seen, with the meaning whose address they are found by.
#[derive(Debug, Default)]
pub(super) struct Plans {
    masks: AHashMap<PlanKey, (Arc<Meaning>, Arc<RowMasker>)>,
    pub(super) veils: AHashMap<usize, (Arc<Meaning>, Option<Arc<Veil>>)>,
    /// Whether texts read or change something hidden that they do not name.
    pub(super) beneath: AHashMap<usize, (Arc<Meaning>, bool)>,
    /// What tells of nothing hidden by another way than a query.
    pub(super) tell_nothing: AHashMap<usize, Arc<Meaning>>,
    /// By names of relations, the schemas in which they are hidden.
    pub(super) namesakes: AHashMap<Name, Arc<[Name]>>,
    /// Of views, whether the order of their rows may tell.
    pub(super) orders: AHashMap<u32, bool>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PlanKey {
    /// The address of the meaning.
    meaning: usize,
    part: usize,
    fields: Arc<[FieldDescription]>,
    formats: Box<[i16]>,
}

/// What rows are to be masked.
pub(super) struct Masking<'a> {
    pub(super) meaning: &'a Arc<Meaning>,
    pub(super) part: usize,
    pub(super) fields: &'a Arc<[FieldDescription]>,
    /// The format codes of Bind, where the description does not know them.
    pub(super) formats: Option<&'a [i16]>,
}

impl Session {
    /// Recognizers for what this caller may not see.
    pub(super) fn text_masking(&mut self, now: Timestamp) -> TextMasking {
        self.reveals.text_masking(&mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// The masks for the rows of a result.
    pub(super) fn row_masker(&mut self, masking: &Masking<'_>, now: Timestamp) -> Arc<RowMasker> {
        let key = PlanKey {
            meaning: Arc::as_ptr(masking.meaning).addr(),
            part: masking.part,
            fields: Arc::clone(masking.fields),
            formats: masking.formats.unwrap_or_default().into(),
        };
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if let Some((_, known)) = self.reveals.plans(&asking).masks.get(&key) {
            return Arc::clone(known);
        }
        let masker = Arc::new(self.plan(masking, now));
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            let plans = &mut self.reveals.plans(&asking).masks;
            if plans.len() >= PLANS {
                plans.clear();
            }
            plans.insert(key, (Arc::clone(masking.meaning), Arc::clone(&masker)));
        }
        masker
    }

    fn plan(&mut self, masking: &Masking<'_>, now: Timestamp) -> RowMasker {
        let text = self.text_masking(now);
        let lineage = masking.meaning.parts.get(masking.part).and_then(|p| p.lineage.clone());
        let total = masking.fields.len();
        let mut fields = Vec::with_capacity(total);
        let is_in_place = lineage.as_deref().is_none_or(|lineage| self.is_as_read(lineage, masking, now));
        for (i, field) in masking.fields.iter().enumerate() {
            let format = match masking.formats {
                None => field.format,
                Some([]) => 0,
                Some([one]) => *one,
                Some(codes) => codes.get(i).copied().unwrap_or(0),
            };
            let sources = lineage.as_deref().map(|lineage| match is_in_place {
                true => (output_sources(lineage, i, total), true),
                false => (&lineage.anywhere, false),
            });
            let plan = self.field_plan(field, sources, masking.meaning, now);
            fields.push(Field::new(plan, field.type_oid, format));
        }
        RowMasker::new(fields, text).with_nulls(is_not_rewritten(masking.meaning, masking.part))
    }

    fn field_plan(
        &mut self,
        field: &FieldDescription,
        sources: Option<(&BTreeSet<SourceColumn>, bool)>,
        meaning: &Arc<Meaning>,
        now: Timestamp,
    ) -> FieldPlan {
        // Where the server names the column a value comes straight from, that is exact.
        // A column that the snapshot does not know yet is judged by its name, through the lineage.
        let known = |r: &Relation| field.column < 0 || r.columns.iter().any(|c| c.number == field.column);
        let origin = (field.table_oid != 0 && self.reveals.catalogue().relation(field.table_oid).is_some_and(known))
            .then_some((field.table_oid, field.column));
        let rule = match (origin, sources) {
            (Some((oid, number)), _) => {
                self.reveals.column(oid, number, &mut Asking { enforcer: &mut self.enforcer, now })
            }
            (None, Some((sources, true))) => self.made_rule(sources, field.type_oid, meaning, now),
            (None, Some((sources, false))) => {
                self.reveals.sources(sources, &mut Asking { enforcer: &mut self.enforcer, now }).map(whole)
            }
            // Rows of a statement that has none: of a rule.
            (None, None) => self.hides_anything(now).then(redacted),
        };
        let rule = rule.or_else(|| if origin.is_none() { self.new_column_rule(field, now) } else { None });
        let rule = rule.or_else(|| match (origin, sources) {
            (Some((oid, number)), _) => self.telling_column(oid, number, now),
            (None, Some((sources, _))) => self.telling_rule(sources, now),
            (None, None) => None,
        });
        match rule {
            Some(rule) => FieldPlan::Mask(rule),
            None if self.text_masking(now).wanted.is_empty() => FieldPlan::Clear,
            None => FieldPlan::Scan(Hint::from_column(&field.name)),
        }
    }

    /// Whether the fields of a result are the outputs of its text, in their places: the server says so, or was told which columns
    /// there are.
    fn is_as_read(&mut self, lineage: &Lineage, masking: &Masking<'_>, now: Timestamp) -> bool {
        let total = masking.fields.len();
        let is_said = is_in_place(lineage, total, |i, sources| {
            masking.fields.get(i).is_some_and(|field| self.is_one_of(field, sources, now))
        });
        is_said || (is_in_place(lineage, total, |_, _| true) && self.is_pinned(masking.meaning, masking.part, now))
    }

    /// Whether the server says that a field is one of these columns. Something that is hidden may stand there as anything: it is
    /// masked.
    fn is_one_of(&mut self, field: &FieldDescription, sources: &BTreeSet<SourceColumn>, now: Timestamp) -> bool {
        let relation = self.reveals.catalogue().relation(field.table_oid);
        let column = relation.and_then(|r| r.columns.iter().find(|c| c.number == field.column).map(|c| (r, c)));
        let is_named = column.is_some_and(|(relation, column)| {
            let of = |s: &SourceColumn| s.schema == relation.schema && s.table == relation.name;
            sources.iter().any(|source| of(source) && source.column.as_ref() == Some(&column.name))
        });
        is_named || self.reveals.sources(sources, &mut Asking { enforcer: &mut self.enforcer, now }).is_some()
    }

    /// Whether the relations of a text have the columns that they had when it was read, as the server is told which: something
    /// stands for each of them.
    fn is_pinned(&mut self, meaning: &Arc<Meaning>, part: usize, now: Timestamp) -> bool {
        let Some(part) = meaning.parts.get(part).filter(|part| part.reads.obstacle.is_none()) else { return false };
        let is_rewritten = matches!(self.veil(meaning, now), Ok(Some(_)));
        is_rewritten
            && !part.reads.places.is_empty()
            && part.reads.places.iter().all(|read| {
                let (schema, name) = (read.schema.clone(), read.table.clone());
                self.source_is_hidden(&Resource::Table { schema, name }, now)
            })
    }

    /// How what is made of these columns is masked. Where the server itself has made what their masks show, as they say: it is
    /// made of nothing else.
    fn made_rule(
        &mut self,
        sources: &BTreeSet<SourceColumn>,
        type_oid: u32,
        meaning: &Arc<Meaning>,
        now: Timestamp,
    ) -> Option<Arc<MaskRule>> {
        let first = self.reveals.sources(sources, &mut Asking { enforcer: &mut self.enforcer, now })?;
        let is_so = matches!(first.operator, Operator::Partial(_) | Operator::Date(_))
            && matches!(self.veil(meaning, now), Ok(Some(_)))
            && sources.iter().all(|source| self.is_made_so(source, (&first, type_oid), now));
        Some(if is_so { first } else { whole(first) })
    }

    /// Whether a column is not hidden, or masked in this way and by the server where more than shown. Of another type, its values
    /// have become others (UNION ALL).
    fn is_made_so(&mut self, source: &SourceColumn, (rule, type_oid): (&MaskRule, u32), now: Timestamp) -> bool {
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let Some(own) = self.reveals.source(source, asking) else { return true };
        let relation = self.reveals.catalogue().named(&source.schema, &source.table);
        let column = relation.and_then(|r| r.columns.iter().find(|c| source.column.as_ref() == Some(&c.name)));
        let is_shown = |column: &Column| column.type_oid == type_oid && matches!(stand(column, &own), Stand::Shown(_));
        own.operator == rule.operator && column.is_some_and(is_shown)
    }

    fn telling_column(&mut self, oid: u32, number: i16, now: Timestamp) -> Option<Arc<MaskRule>> {
        let relation = self.reveals.catalogue().relation(oid).filter(|r| &*r.schema == "pg_catalog")?;
        let column = relation.columns.iter().find(|c| c.number == number)?.name.clone();
        let source =
            SourceColumn { schema: relation.schema.clone(), table: relation.name.clone(), column: Some(column) };
        self.telling_rule([&source], now)
    }

    /// A column of a known table that is newer than the snapshot, judged by the name it is shown under.
    fn new_column_rule(&mut self, field: &FieldDescription, now: Timestamp) -> Option<Arc<MaskRule>> {
        let relation = self.reveals.catalogue().relation(field.table_oid)?;
        let column = Some((*field.name).into());
        let source = SourceColumn { schema: relation.schema.clone(), table: relation.name.clone(), column };
        self.reveals.source(&source, &mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// The masks for COPY data.
    pub(super) fn copy_masker(
        &mut self,
        meaning: &Arc<Meaning>,
        part: usize,
        now: Timestamp,
    ) -> Result<CopyMasker, String> {
        let spec = meaning.parts.get(part).and_then(|p| p.copy.as_ref()).filter(|c| c.out);
        let Some(spec) = spec else { return Err("the statement was not read as one that copies out".into()) };
        let text = self.text_masking(now);
        let binary = i16::from(spec.format == CopyFormat::Binary);
        let mut fields = Vec::new();
        let is_in_place = is_in_place(&spec.lineage, spec.lineage.outputs.len(), |_, _| true)
            && (spec.lineage.placed.is_empty() || self.is_pinned(meaning, part, now));
        for output in &spec.lineage.outputs {
            let (sources, name, type_oid) = match output {
                doorward_sql::postgres::Output::Made(sources) => {
                    // What is computed has a type that is not known here: in binary only null fits it.
                    let (name, type_oid) = self.single_column(sources, if binary == 0 { TEXT } else { 0 });
                    (sources.clone(), name, type_oid)
                }
                doorward_sql::postgres::Output::Star => {
                    return Err("the columns of a `*` are not known".into());
                }
            };
            let other = if binary == 0 { TEXT } else { 0 };
            let (sources, type_oid) =
                if is_in_place { (sources, type_oid) } else { (spec.lineage.anywhere.clone(), other) };
            let rule = if !spec.of_table || !is_in_place {
                // Of which type it is then, is not known.
                self.reveals.sources(&sources, &mut Asking { enforcer: &mut self.enforcer, now }).map(whole)
            } else {
                self.reveals.sources(&sources, &mut Asking { enforcer: &mut self.enforcer, now })
            };
            let plan = match rule.or_else(|| self.telling_rule(&sources, now)) {
                Some(rule) => FieldPlan::Mask(rule),
                None if text.wanted.is_empty() => FieldPlan::Clear,
                None => FieldPlan::Scan(Hint::from_column(&name)),
            };
            fields.push(Field::new(plan, type_oid, binary));
        }
        let masker = CopyMasker::new(spec.format.clone(), spec.header, fields, text, self.limits.row);
        Ok(masker.with_nulls(is_not_rewritten(meaning, part)))
    }

    /// Name and type of an output that is one column of a known table; `other` otherwise.
    fn single_column(&self, sources: &BTreeSet<SourceColumn>, other: u32) -> (String, u32) {
        let mut iter = sources.iter();
        let (Some(SourceColumn { schema, table, column: Some(name) }), None) = (iter.next(), iter.next()) else {
            return (String::new(), other);
        };
        let found =
            self.reveals.catalogue().named(schema, table).and_then(|r| r.columns.iter().find(|c| c.name == *name));
        found.map_or((name.to_string(), other), |c| (name.to_string(), c.type_oid))
    }

    /// Whether a text touches hidden columns: then its errors may quote hidden values.
    pub(super) fn hides(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        self.reveals.hides(meaning, &mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// What the upstream is answering, if it has a meaning.
    fn answered(&mut self) -> Option<Arc<Meaning>> {
        self.pipeline.front().and_then(|m| match &m.expect {
            Expect::Parse { prepared, .. } => Some(Arc::clone(&prepared.meaning)),
            Expect::Bind { portal, .. } | Expect::DescribePortal(Some(portal)) => Some(Arc::clone(&portal.meaning)),
            Expect::DescribeStatement(Some(prepared)) => Some(Arc::clone(&prepared.meaning)),
            Expect::Execute(r) | Expect::Query(r) | Expect::FunctionCall(r) => Some(Arc::clone(&r.of.meaning)),
            Expect::DescribeStatement(None)
            | Expect::DescribePortal(None)
            | Expect::CloseStatement { .. }
            | Expect::ClosePortal { .. }
            | Expect::Refused
            | Expect::Sync
            | Expect::CopyEnd => None,
        })
    }

    /// What was sent in place of what the upstream is answering, with the caller's text.
    pub(super) fn answered_veil(&mut self, now: Timestamp) -> Option<(Arc<Veil>, Arc<str>)> {
        let meaning = self.answered()?;
        let veil = self.veil(&meaning, now).ok().flatten()?;
        Some((veil, Arc::clone(&meaning.text)))
    }

    /// How much of an error or notice the caller may see now.
    pub(super) fn exposure(&mut self, now: Timestamp) -> ErrorExposure {
        let answered = self.answered();
        // A deferred constraint of an earlier statement fails at the end of its transaction.
        let of_all = |meaning: &Arc<Meaning>| meaning.facts.accesses.iter().any(maintains_all);
        let hides_all = answered.as_ref().is_some_and(of_all) && self.hides_anything(now);
        if self.touched_hidden || hides_all || answered.as_ref().is_some_and(|meaning| self.hides(meaning, now)) {
            let catalogue = Arc::clone(self.reveals.catalogue());
            let tells = self.has_kept_apart(&catalogue, now);
            return if tells { ErrorExposure::HideNames } else { ErrorExposure::HideValues };
        }
        let is_plain = answered.is_some_and(|meaning| self.only_reads(&meaning));
        match is_plain || !self.hides_anything(now) {
            true => ErrorExposure::ScanOnly,
            // By which name something goes, and what it reads, is not certain then.
            false if self.settings.has_changed_schema() => ErrorExposure::HideValues,
            false => ErrorExposure::HideNested,
        }
    }

    /// Whether nothing runs by a text but queries: no triggers, whenever they are due, no functions that change rows.
    fn only_reads(&self, meaning: &Meaning) -> bool {
        let catalogue = self.reveals.catalogue();
        let ends = |part: &doorward_sql_session::Part| {
            ["COMMIT", "PREPARE TRANSACTION", "SET CONSTRAINTS"].contains(&&*part.command)
        };
        !meaning.parts.iter().any(ends)
            && meaning.facts.accesses.iter().all(|access| {
                if let (Action::Call, Resource::Function { schema, name }) = (access.action, &access.resource) {
                    let is_built_in = is_own(schema) && catalogue.functions_named(name).all(|f| is_own(&f.schema));
                    return is_built_in || !catalogue.changes_rows(schema, name);
                }
                matches!(access.action, Action::Connect | Action::Select | Action::Set | Action::Lock)
            })
    }

    /// Refuses parameters that are what a mask shows, where they would be written over what it hides.
    pub(super) fn binds_no_mask(
        &mut self,
        bind: &Bind<'_>,
        meaning: &Arc<Meaning>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if meaning.parts.iter().all(|part| part.writes.columns.is_empty()) || !self.hides(meaning, now) {
            return Ok(());
        }
        let values: Vec<&[u8]> = bind.parameters().filter_map(|(_, value)| value).collect();
        // In binary, a text has the same bytes, and a `jsonb` its version before them.
        let values: Vec<&[u8]> = values.into_iter().map(|value| value.strip_prefix(b"\x01").unwrap_or(value)).collect();
        let texts = values.iter().filter_map(|value| std::str::from_utf8(value).ok());
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        meaning.parts.iter().try_for_each(|part| self.reveals.writes_no_mask(part, texts.clone(), asking))
    }

    /// Whether something hidden is read or changed that is not named: by a view, a rule, a policy or a function, or since it inherits.
    /// Errors quote that without saying that they come from there.
    pub(super) fn goes_beneath(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        if !self.hides_anything(now) {
            return false;
        }
        let key = Arc::as_ptr(meaning).addr();
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if let Some((_, known)) = self.reveals.plans(&asking).beneath.get(&key) {
            return *known;
        }
        let found = meaning.facts.accesses.iter().any(|access| {
            if let Resource::Table { schema, name } = &access.resource {
                return self.hides_beneath(access.action, schema, name, now);
            }
            let Resource::Function { schema, name } = &access.resource else { return false };
            let catalogue = Arc::clone(self.reveals.catalogue());
            let Some(Reach::Relations(reach)) = catalogue.reach(schema, name) else { return false };
            reach.iter().any(|oid| self.reach_is_hidden(&catalogue.view_reads(*oid), now))
        });
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            let known = &mut self.reveals.plans(&asking).beneath;
            if known.len() >= PLANS {
                known.clear();
            }
            known.insert(key, (Arc::clone(meaning), found));
        }
        found
    }

    fn hides_beneath(&mut self, action: Action, schema: &Name, name: &Name, now: Timestamp) -> bool {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let Some(relation) = catalogue.named(schema, name).filter(|_| !is_own(schema)) else {
            return false;
        };
        let reads = catalogue.view_reads(relation.oid);
        let below: BTreeSet<u32> = catalogue.shows(relation.oid).into_iter().map(|r| r.oid).collect();
        let decides = below.iter().chain([&relation.oid]).filter_map(|oid| catalogue.policies(*oid)).cloned();
        if self.reach_is_hidden(&reads, now) || decides.collect::<Vec<_>>().iter().any(|r| self.reach_is_hidden(r, now))
        {
            return true;
        }
        changes_rows(action) && self.reach_is_hidden(&Reach::Relations(below), now)
    }

    /// Refuses what would carry hidden values to where no mask reaches them.
    pub(super) fn hidden_moves(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        let hides = self.hides(meaning, now);
        self.touched_hidden |= hides || self.goes_beneath(meaning, now);
        self.reveals.admit(meaning, &mut Asking { enforcer: &mut self.enforcer, now })?;
        if !hides {
            return Ok(());
        }
        for part in &meaning.parts {
            self.copies_readably(part, now)?;
            self.copies_no_guess(part, now)?;
            if let Some(copy) = part.copy.as_ref().filter(|copy| copy.out)
                && let CopyFormat::NotUnderstood(what) = &copy.format
            {
                let message = format!("{} refused: its data could not be masked: {what}", part.command);
                return Err(not_understood(message, Some("use FORMAT text, csv or binary with plain options")));
            }
        }
        Ok(())
    }
}

/// Whether rows come of tables as they are, so that null would tell.
fn is_not_rewritten(meaning: &Meaning, part: usize) -> bool {
    meaning.parts.get(part).is_some_and(|part| match &*part.command {
        // Plans are the server's own.
        "EXPLAIN" => false,
        "FETCH" | "MOVE" => part.fetches_as_written,
        _ => is_sent_as_it_is(meaning),
    })
}

/// `VACUUM`, `ANALYZE` and their kin without a table: of all, also those that are hidden.
const fn maintains_all(access: &Access) -> bool {
    matches!(access.action, Action::Maintain) && !matches!(access.resource, Resource::Table { .. })
}

const fn changes_rows(action: Action) -> bool {
    matches!(action, Action::Insert | Action::Update | Action::Delete | Action::Truncate)
}
