//! What of the answers the caller may see: masks by column, and by what is found in values.
use super::{Results, Session};
use crate::{
    codec::upstream::Column,
    facts::{Meaning, SourceColumn},
    mask::{Field, FieldPlan, RowMasker, TextMasking},
};
use ahash::AHashMap;
use doorward_detect::{Hint, TypeSet};
use doorward_enforce::{MaskRule, Refusal, RefusalKind, Reveal};
use doorward_model::{DataType, Name, Operator, Resource, Timestamp};
use std::sync::Arc;

/// Views of views that are followed.
const DEEPEST_VIEW: usize = 16;

/// What was found out under the policies of one generation.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    generation: Option<u64>,
    text: Option<TextMasking>,
    /// Whether a text touches hidden columns, by its address; the meaning is kept so that the address stays its own.
    hides: AHashMap<usize, (Arc<Meaning>, bool)>,
}

impl Session {
    fn refresh(&mut self) {
        let generation = Some(self.enforcer.generation());
        if self.revealed.generation != generation {
            self.revealed = Remembered { generation, ..Remembered::default() };
        }
    }

    /// Which kinds of values are looked for.
    pub(super) fn text_masking(&mut self, now: Timestamp) -> TextMasking {
        self.refresh();
        if let Some(known) = &self.revealed.text {
            return known.clone();
        }
        let mut wanted = TypeSet::NONE;
        let mut rules = Vec::new();
        for kind in DataType::ALL {
            if let Reveal::Masked(rule) = self.enforcer.reveal(&Resource::DataType { data_type: *kind }, now) {
                wanted.insert(*kind);
                rules.push((*kind, rule));
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

    /// The plan for a column of a result.
    pub(super) fn field(
        &mut self,
        results: &Results,
        column: &Column<'_>,
        index: usize,
        total: usize,
        now: Timestamp,
    ) -> Field {
        let meaning = Arc::clone(&results.running.meaning);
        let name = |b: &[u8]| Name::from(&*String::from_utf8_lossy(b));
        // Where the server names the column a value comes straight from, that is one source; what was read out of the
        // text is another, and either is enough to hide it.
        let origin = (!column.org_table.is_empty() && !column.org_name.is_empty())
            .then(|| {
                let (schema, table, column) = (name(column.schema), name(column.org_table), name(column.org_name));
                // Servers name derived tables as well; what the text reads is judged by its lineage.
                if self.reader.columns(&schema, &table).is_none() {
                    return self.column_rule(&schema, &table, &column, now);
                }
                self.source_rule(&SourceColumn { schema, table, column: Some(column) }, now)
            })
            .flatten();
        let computed = column.org_name.is_empty();
        let read = self.lineage_rule(&meaning, results.part, index, total, now);
        let rule = match (origin, read) {
            (Some(rule), _) => Some(rule),
            (None, Some(rule)) if computed => Some(whole(rule)),
            (None, rule) => rule,
        };
        let is_message = column.name.eq_ignore_ascii_case(b"message") && shows_warnings(&meaning);
        let plan = match rule {
            Some(rule) => FieldPlan::Mask(rule),
            None if is_message && self.touched_hidden => FieldPlan::Mask(redacted()),
            None if self.text_masking(now).wanted.is_empty() => FieldPlan::Clear,
            None => FieldPlan::Scan(Hint::from_column(&String::from_utf8_lossy(column.name))),
        };
        Field::new(plan, column)
    }

    fn lineage_rule(
        &mut self,
        meaning: &Arc<Meaning>,
        part: usize,
        index: usize,
        total: usize,
        now: Timestamp,
    ) -> Option<Arc<MaskRule>> {
        if meaning.has_one_result_each() {
            let sources = meaning.statements.get(part)?.lineage.as_ref()?.sources(index, total).clone();
            return sources.iter().find_map(|s| self.source_rule(s, now));
        }
        // Which statement a result belongs to is not known: the bound of all of them.
        let all = meaning.statements.iter().filter_map(|s| s.lineage.as_ref()).flat_map(|l| &l.anywhere);
        all.collect::<Vec<_>>().into_iter().find_map(|s| self.source_rule(s, now))
    }

    fn source_rule(&mut self, source: &SourceColumn, now: Timestamp) -> Option<Arc<MaskRule>> {
        self.rule_of(source, 0, now)
    }

    /// A column of a view is as hidden as what it is made of.
    fn rule_of(&mut self, source: &SourceColumn, depth: usize, now: Timestamp) -> Option<Arc<MaskRule>> {
        if depth > DEEPEST_VIEW {
            return Some(redacted());
        }
        let (schema, table) = (&source.schema, &source.table);
        let columns = match &source.column {
            Some(column) => vec![column.clone()],
            None => self.reader.columns(schema, table).unwrap_or_else(|| vec!["*".into()]),
        };
        columns.iter().find_map(|column| {
            let own = self.column_rule(schema, table, column, now);
            own.or_else(|| {
                let behind = self.reader.behind(schema, table, column);
                behind.iter().find_map(|source| self.rule_of(source, depth + 1, now))
            })
        })
    }

    fn column_rule(&mut self, schema: &Name, table: &Name, name: &Name, now: Timestamp) -> Option<Arc<MaskRule>> {
        let mut rule = |name: Name| {
            let column = Resource::Column { schema: schema.clone(), table: table.clone(), name };
            match self.enforcer.reveal(&column, now) {
                Reveal::Masked(rule) => Some(rule),
                Reveal::Clear => None,
            }
        };
        // Names of columns are the same in either case to the server, and tagged in one of them.
        let lower = name.to_lowercase();
        rule(name.clone()).or_else(|| if *lower == **name { None } else { rule(Name::from(&*lower)) })
    }

    pub(super) fn row_masker(&mut self, fields: Vec<Field>, binary: bool, now: Timestamp) -> Arc<RowMasker> {
        Arc::new(RowMasker::new(fields, self.text_masking(now), binary))
    }

    /// Whether a text touches hidden columns: then its errors may quote hidden values.
    pub(super) fn hides(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        self.refresh();
        let key = Arc::as_ptr(meaning).addr();
        if let Some((_, known)) = self.revealed.hides.get(&key) {
            return *known;
        }
        let mut hides = false;
        for access in &meaning.facts.accesses {
            if let Resource::Table { schema, name } = &access.resource {
                let whole = SourceColumn { schema: schema.clone(), table: name.clone(), column: None };
                hides |= self.source_rule(&whole, now).is_some();
            }
        }
        let sources =
            meaning.statements.iter().flat_map(|s| s.moves.iter().chain(s.lineage.iter().flat_map(|l| &l.anywhere)));
        let sources: Vec<_> = sources.collect();
        hides |= sources.into_iter().any(|s| self.source_rule(s, now).is_some());
        if self.revealed.hides.len() >= 1024 {
            self.revealed.hides.clear();
        }
        self.revealed.hides.insert(key, (Arc::clone(meaning), hides));
        hides
    }

    /// Refuses what would carry hidden values to where no mask reaches them.
    pub(super) fn hidden_moves(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        self.touched_hidden |= self.hides(meaning, now);
        for statement in &meaning.statements {
            if let Some(source) = statement.moves.iter().find(|s| self.source_rule(s, now).is_some()) {
                return Err(carries(&statement.command, source));
            }
        }
        Ok(())
    }
}

fn shows_warnings(meaning: &Meaning) -> bool {
    meaning.statements.iter().any(|s| s.command.starts_with("SHOW WARNINGS") || s.command.starts_with("SHOW ERRORS"))
}

fn redacted() -> Arc<MaskRule> {
    Arc::new(MaskRule { operator: Operator::Redact, label: "masked".into(), by_default: false })
}

/// An expression over a hidden column is masked as a whole: the end of `reverse(card)` is the beginning of the card.
fn whole(rule: Arc<MaskRule>) -> Arc<MaskRule> {
    match rule.operator {
        Operator::Partial(_) | Operator::Date(_) => {
            Arc::new(MaskRule { operator: Operator::Redact, label: rule.label.clone(), by_default: false })
        }
        Operator::Redact | Operator::Hash | Operator::Null | Operator::Fixed(_) => rule,
    }
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
