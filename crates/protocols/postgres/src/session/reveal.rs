//! What of an answer the caller may see: masks planned from row descriptions, lineage and tags.
use super::{Session, not_understood};
use crate::{
    codec::FieldDescription,
    copy::CopyMasker,
    facts::{Meaning, output_sources},
    mask::{ErrorExposure, Field, FieldPlan, RowMasker, TextMasking},
    pipeline::Expect,
};
use ahash::AHashMap;
use doorward_detect::{Hint, TypeSet};
use doorward_enforce::{MaskRule, Refusal, RefusalKind, Reveal};
use doorward_model::{DataType, Operator, Resource, Timestamp};
use doorward_sql::postgres::{CopyFormat, Lineage, SourceColumn};
use std::{collections::BTreeSet, sync::Arc};

/// The number of the type `text`.
const TEXT: u32 = 25;

/// How deep views may stand on views before their columns count as hidden.
const DEEPEST_VIEW: usize = 16;

/// Plans that were made, for as long as policies and schema stay what they are.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    generation: u64,
    rows: AHashMap<PlanKey, Arc<RowMasker>>,
    columns: AHashMap<(u32, i16), Option<Arc<MaskRule>>>,
    hides: AHashMap<usize, (Arc<Meaning>, bool)>,
    text: Option<TextMasking>,
}

impl Remembered {
    pub(super) fn clear(&mut self) {
        *self = Self { generation: self.generation, ..Self::default() };
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PlanKey {
    /// The address of the meaning, which `hides` keeps alive.
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
    /// Forgets plans made under other policies.
    fn refresh_plans(&mut self) {
        let generation = self.enforcer.generation();
        if self.revealed.generation != generation {
            self.revealed = Remembered { generation, ..Remembered::default() };
        }
    }

    /// Recognizers for what this caller may not see.
    pub(super) fn text_masking(&mut self, now: Timestamp) -> TextMasking {
        self.refresh_plans();
        if let Some(known) = &self.revealed.text {
            return known.clone();
        }
        let mut wanted = TypeSet::NONE;
        let mut rules = Vec::new();
        for t in DataType::ALL {
            if let Reveal::Masked(rule) = self.enforcer.reveal(&Resource::DataType { data_type: *t }, now) {
                wanted.insert(*t);
                rules.push((*t, rule));
            }
        }
        let text = TextMasking {
            detector: Arc::clone(&self.detector),
            masker: Arc::clone(&self.masker),
            wanted,
            rules: rules.into(),
        };
        self.revealed.text = Some(text.clone());
        text
    }

    /// The masks for the rows of a result.
    pub(super) fn row_masker(&mut self, masking: &Masking<'_>, now: Timestamp) -> Arc<RowMasker> {
        self.refresh_plans();
        let key = PlanKey {
            meaning: Arc::as_ptr(masking.meaning).addr(),
            part: masking.part,
            fields: Arc::clone(masking.fields),
            formats: masking.formats.unwrap_or_default().into(),
        };
        // The meaning is kept alive by `hides`, so that its address stays its own.
        let kept = self.revealed.hides.contains_key(&key.meaning);
        if kept && let Some(known) = self.revealed.rows.get(&key) {
            return Arc::clone(known);
        }
        self.hides(masking.meaning, now);
        let text = self.text_masking(now);
        let lineage = masking.meaning.parts.get(masking.part).and_then(|p| p.lineage.clone());
        let total = masking.fields.len();
        let mut fields = Vec::with_capacity(total);
        for (i, field) in masking.fields.iter().enumerate() {
            let format = match masking.formats {
                None => field.format,
                Some([]) => 0,
                Some([one]) => *one,
                Some(codes) => codes.get(i).copied().unwrap_or(0),
            };
            let plan = self.field_plan(field, lineage.as_deref(), i, total, now);
            fields.push(Field::new(plan, field.type_oid, format));
        }
        let masker = Arc::new(RowMasker::new(fields, text));
        if self.revealed.rows.len() >= 256 {
            self.revealed.rows.clear();
        }
        self.revealed.rows.insert(key, Arc::clone(&masker));
        masker
    }

    fn field_plan(
        &mut self,
        field: &FieldDescription,
        lineage: Option<&Lineage>,
        index: usize,
        total: usize,
        now: Timestamp,
    ) -> FieldPlan {
        // Where the server names the column a value comes straight from, that is exact.
        // A column that the snapshot does not know yet is judged by its name, through the lineage.
        let known = |r: &doorward_sql::Relation| field.column < 0 || r.columns.iter().any(|c| c.number == field.column);
        let origin = (field.table_oid != 0 && self.catalogue.relation(field.table_oid).is_some_and(known))
            .then_some((field.table_oid, field.column));
        let rule = match (origin, lineage) {
            (Some((_, number)), _) if number < 0 => None,
            (Some((oid, number)), _) => self.column_rule(oid, number, 0, now),
            (None, Some(lineage)) => {
                let sources = output_sources(lineage, index, total).clone();
                self.sources_rule(&sources, 0, now).map(whole)
            }
            (None, None) => None,
        };
        let rule = rule.or_else(|| if origin.is_none() { self.new_column_rule(field, now) } else { None });
        match rule {
            Some(rule) => FieldPlan::Mask(rule),
            None if self.text_masking(now).wanted.is_empty() => FieldPlan::Clear,
            None => FieldPlan::Scan(Hint::from_column(&field.name)),
        }
    }

    /// A column of a known table that is newer than the snapshot, judged by the name it is shown under.
    fn new_column_rule(&mut self, field: &FieldDescription, now: Timestamp) -> Option<Arc<MaskRule>> {
        let relation = self.catalogue.relation(field.table_oid)?;
        let column = Some((*field.name).into());
        let source = SourceColumn { schema: relation.schema.clone(), table: relation.name.clone(), column };
        self.source_rule(&source, 0, now)
    }

    /// How the values of a column are masked, if they are. A column of a view is as hidden as what
    /// it is made of.
    fn column_rule(&mut self, oid: u32, number: i16, depth: usize, now: Timestamp) -> Option<Arc<MaskRule>> {
        if let Some(known) = self.revealed.columns.get(&(oid, number)) {
            return known.clone();
        }
        let catalogue = Arc::clone(&self.catalogue);
        let relation = catalogue.relation(oid)?;
        let name = relation.columns.iter().find(|c| c.number == number).map(|c| c.name.clone());
        let rule = self.named_rule(relation, &name.unwrap_or_else(|| "*".into()), now).or_else(|| {
            catalogue.view_column(oid, number).and_then(|made_of| self.sources_rule(made_of, depth + 1, now))
        });
        self.revealed.columns.insert((oid, number), rule.clone());
        rule
    }

    /// How a column is masked by its name. The values of a partition, or of a table that inherits, are values of
    /// the tables above it: hidden there is hidden here. Read through a table above they are as hidden as a
    /// policy says of the partition, and by default as visible as the table that is read.
    fn named_rule(
        &mut self,
        relation: &doorward_sql::Relation,
        name: &doorward_model::Name,
        now: Timestamp,
    ) -> Option<Arc<MaskRule>> {
        let catalogue = Arc::clone(&self.catalogue);
        let mut of = |r: &doorward_sql::Relation| self.plain_rule(&r.schema, &r.name, name, now);
        of(relation)
            .or_else(|| catalogue.ancestors(relation.oid).into_iter().find_map(&mut of))
            .or_else(|| catalogue.shows(relation.oid).into_iter().find_map(|r| of(r).filter(|rule| !rule.by_default)))
    }

    /// How a value made of these columns is masked: by the rule of the first that is hidden.
    fn sources_rule(
        &mut self,
        sources: &BTreeSet<SourceColumn>,
        depth: usize,
        now: Timestamp,
    ) -> Option<Arc<MaskRule>> {
        if depth > DEEPEST_VIEW {
            return Some(Arc::new(MaskRule { operator: Operator::Redact, label: "masked".into(), by_default: false }));
        }
        sources.iter().find_map(|source| self.source_rule(source, depth, now))
    }

    fn source_rule(&mut self, source: &SourceColumn, depth: usize, now: Timestamp) -> Option<Arc<MaskRule>> {
        let catalogue = Arc::clone(&self.catalogue);
        let relation = catalogue.named(&source.schema, &source.table);
        match (&source.column, relation) {
            (Some(name), Some(relation)) => match relation.columns.iter().find(|c| c.name == *name) {
                Some(column) => self.column_rule(relation.oid, column.number, depth, now),
                None => self.named_rule(relation, name, now),
            },
            (None, Some(relation)) => {
                relation.columns.iter().find_map(|c| self.column_rule(relation.oid, c.number, depth, now))
            }
            (Some(name), None) => self.plain_rule(&source.schema, &source.table, name, now),
            (None, None) => self.plain_rule(&source.schema, &source.table, &"*".into(), now),
        }
    }

    /// How this one column is masked by what policies say of it.
    fn plain_rule(
        &mut self,
        schema: &doorward_model::Name,
        table: &doorward_model::Name,
        name: &doorward_model::Name,
        now: Timestamp,
    ) -> Option<Arc<MaskRule>> {
        let column = Resource::Column { schema: schema.clone(), table: table.clone(), name: name.clone() };
        match self.enforcer.reveal(&column, now) {
            Reveal::Masked(rule) => Some(rule),
            Reveal::Clear => None,
        }
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
        let of_query = !copies_a_table(&meaning.text);
        let text = self.text_masking(now);
        let binary = i16::from(spec.format == CopyFormat::Binary);
        let mut fields = Vec::new();
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
            let plan = match self.sources_rule(&sources, 0, now) {
                Some(rule) if of_query => FieldPlan::Mask(whole(rule)),
                Some(rule) => FieldPlan::Mask(rule),
                None if text.wanted.is_empty() => FieldPlan::Clear,
                None => FieldPlan::Scan(Hint::from_column(&name)),
            };
            fields.push(Field::new(plan, type_oid, binary));
        }
        Ok(CopyMasker::new(spec.format.clone(), spec.header, fields, text, self.limits.row))
    }

    /// Name and type of an output that is one column of a known table; `other` otherwise.
    fn single_column(&self, sources: &BTreeSet<SourceColumn>, other: u32) -> (String, u32) {
        let mut iter = sources.iter();
        let (Some(SourceColumn { schema, table, column: Some(name) }), None) = (iter.next(), iter.next()) else {
            return (String::new(), other);
        };
        let found = self.catalogue.named(schema, table).and_then(|r| r.columns.iter().find(|c| c.name == *name));
        found.map_or((name.to_string(), other), |c| (name.to_string(), c.type_oid))
    }

    /// Whether a text touches tables with hidden columns: then its errors may quote hidden values.
    pub(super) fn hides(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        self.refresh_plans();
        let key = Arc::as_ptr(meaning).addr();
        if let Some((_, known)) = self.revealed.hides.get(&key) {
            return *known;
        }
        let mut hides = false;
        for access in &meaning.facts.accesses {
            if let Resource::Table { schema, name } = &access.resource {
                let whole = SourceColumn { schema: schema.clone(), table: name.clone(), column: None };
                hides |= self.source_rule(&whole, 0, now).is_some();
            }
        }
        if self.revealed.hides.len() >= 1024 {
            self.revealed.hides.clear();
            self.revealed.rows.clear();
        }
        self.revealed.hides.insert(key, (Arc::clone(meaning), hides));
        hides
    }

    /// How much of an error or notice the caller may see now.
    pub(super) fn exposure(&mut self, now: Timestamp) -> ErrorExposure {
        let front = self.pipeline.front().and_then(|m| match &m.expect {
            Expect::Parse { prepared, .. } => Some(Arc::clone(&prepared.meaning)),
            Expect::Bind { portal, .. } | Expect::DescribePortal(Some(portal)) => Some(Arc::clone(&portal.meaning)),
            Expect::DescribeStatement(Some(prepared)) => Some(Arc::clone(&prepared.meaning)),
            Expect::Execute(r) | Expect::Query(r) | Expect::FunctionCall(r) => Some(Arc::clone(&r.meaning)),
            Expect::DescribeStatement(None)
            | Expect::DescribePortal(None)
            | Expect::CloseStatement { .. }
            | Expect::ClosePortal { .. }
            | Expect::Refused
            | Expect::Sync
            | Expect::CopyEnd => None,
        });
        match front {
            Some(meaning) if self.hides(&meaning, now) => ErrorExposure::HideValues,
            // A deferred constraint of an earlier statement fails at the end of its transaction.
            None if self.touched_hidden => ErrorExposure::HideValues,
            Some(_) if self.touched_hidden => ErrorExposure::HideValues,
            Some(_) | None => ErrorExposure::ScanOnly,
        }
    }

    /// Refuses what would carry hidden values to where no mask reaches them.
    pub(super) fn hidden_moves(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        let hides = self.hides(meaning, now);
        self.touched_hidden |= hides;
        if !hides {
            return Ok(());
        }
        for part in &meaning.parts {
            if let Some(source) = part.moves.iter().find(|s| self.source_rule(s, 0, now).is_some()).cloned() {
                return Err(carries(&part.command, &source));
            }
            let unreadable = match &part.copy {
                Some(copy) if copy.out => match &copy.format {
                    CopyFormat::NotUnderstood(what) => Some(what.clone()),
                    CopyFormat::Text { .. } | CopyFormat::Csv { .. } | CopyFormat::Binary => None,
                },
                _ => None,
            };
            if let Some(what) = unreadable {
                let message = format!("{} refused: its data could not be masked: {what}", part.command);
                return Err(not_understood(message, Some("use FORMAT text, csv or binary with plain options")));
            }
            if part.command.starts_with("CREATE") || part.command.starts_with("ALTER") {
                return Err(self.defines_over_hidden(&part.command));
            }
        }
        Ok(())
    }

    fn defines_over_hidden(&self, command: &str) -> Refusal {
        Refusal {
            kind: RefusalKind::Policy,
            message: format!("{command} refused: it defines something over columns that you may not see"),
            detail: None,
            hint: Some("someone who may reveal the columns can run it".into()),
        }
    }
}

/// An expression over a hidden column is masked as a whole: the end of `reverse(card)` is the
/// beginning of the card.
fn whole(rule: Arc<MaskRule>) -> Arc<MaskRule> {
    match rule.operator {
        Operator::Partial(_) | Operator::Date(_) => {
            Arc::new(MaskRule { operator: Operator::Redact, label: rule.label.clone(), by_default: false })
        }
        Operator::Redact | Operator::Hash | Operator::Null | Operator::Fixed(_) => rule,
    }
}

/// Whether a text is `COPY table …`, whose columns are those of the table. In doubt it is a query.
fn copies_a_table(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    words.next().is_some_and(|w| w.eq_ignore_ascii_case("copy"))
        && words.next().is_some_and(|w| w.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"'))
}

fn carries(command: &str, source: &SourceColumn) -> Refusal {
    let column = source.column.as_deref().unwrap_or("*");
    Refusal {
        kind: RefusalKind::Policy,
        message: format!(
            "{command} refused: it would carry the masked column `{}.{}.{column}` to where no mask reaches it",
            source.schema, source.table
        ),
        detail: Some(format!("reveal on Column `{}.{}.{column}` is not allowed", source.schema, source.table)),
        hint: Some("leave the column out, or have someone who may see it run the statement".into()),
    }
}
