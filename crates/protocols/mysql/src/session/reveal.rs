//! What of the answers the caller may see: masks planned from column definitions, lineage and tags.
use super::{Session, tells, veil::Veils};
use crate::{
    codec::upstream::{self, Column},
    facts,
    mask::{Field, RowMasker},
};
use ahash::AHashMap;
use doorward_detect::Hint;
use doorward_enforce::{MaskRule, Refusal};
use doorward_model::{Action, Name, Operator, Resource, Timestamp};
use doorward_sql::{Reach, RelationKind, SourceColumn};
use doorward_sql_session::{
    Asking, Dialect, FieldPlan, Meaning, Part, TextMasking, is_in_place, output_sources, redacted, whole,
};
use doorward_wire::WireError;
use std::sync::Arc;

/// How many plans a session remembers.
const PLANS: usize = 256;

/// What MySQL and MariaDB have of their own.
pub(super) const DIALECT: Dialect = Dialect {
    folds_columns: true,
    unknown_is_a_view: true,
    is_made_up: |_| false,
    own_schemas: &["information_schema", "mysql", "performance_schema", "sys", "pg_temp"],
    system_columns: &[],
};

/// And MariaDB, besides: its tables of numbers.
pub(super) const MARIADB: Dialect = Dialect { is_made_up: is_of_numbers, ..DIALECT };

/// `seq_1_to_9`, `seq_9_to_1_step_2`: tables of the engine SEQUENCE, which are in no catalogue.
fn is_of_numbers(table: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let table = table.to_ascii_lowercase();
    let parts: Vec<&str> = table.split('_').collect();
    match parts.as_slice() {
        ["seq", from, "to", to] => is_number(from) && is_number(to),
        ["seq", from, "to", to, "step", step] => is_number(from) && is_number(to) && is_number(step),
        _ => false,
    }
}

/// What rests on policies and schema.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// Masks for results that have been seen, with the meaning whose address they are found by.
    rows: AHashMap<PlanKey, (Arc<Meaning>, Arc<RowMasker>)>,
    /// What is sent in place of texts.
    pub(super) veils: Veils,
    /// Of views, whether the order of their rows may tell.
    pub(super) orders: AHashMap<u32, bool>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PlanKey {
    /// The address of the meaning.
    meaning: usize,
    part: usize,
    binary: bool,
    hides_messages: bool,
    /// Whether hashes would be those of other values.
    narrowed: bool,
    /// Whether a part of a value may be one of bytes.
    untranslated: bool,
    definitions: Definitions,
}

/// The definitions of a result's columns as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Definitions {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Definitions {
    /// The longest, in bytes: 4,096 columns have definitions of some hundreds each.
    const LONGEST: usize = 16 << 20;

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(), String> {
        if self.bytes.len() + payload.len() > Self::LONGEST {
            return Err("definitions of columns that are too long".into());
        }
        self.bytes.extend_from_slice(payload);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    const fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, to)| self.bytes.get(from..*to).unwrap_or_default())
    }
}

impl Session {
    /// Which kinds of values are looked for.
    pub(super) fn text_masking(&mut self, now: Timestamp) -> TextMasking {
        self.reveals.text_masking(&mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// The masks for the rows of a result: of which statement of a text, and whether they are binary.
    pub(super) fn row_masker(
        &mut self,
        (meaning, part, binary): (&Arc<Meaning>, usize, bool),
        definitions: Definitions,
        now: Timestamp,
    ) -> Result<Arc<RowMasker>, WireError> {
        let key = PlanKey {
            meaning: Arc::as_ptr(meaning).addr(),
            part,
            binary,
            hides_messages: self.touched_hidden && meaning.parts.iter().any(facts::shows_messages),
            narrowed: self.narrowed,
            untranslated: self.untranslated,
            definitions,
        };
        let asking = Asking { enforcer: &mut self.enforcer, now };
        let moment = asking.moment();
        if let Some((_, known)) = self.reveals.plans(&asking).rows.get(&key) {
            return Ok(Arc::clone(known));
        }
        let masker = Arc::new(self.plan(meaning, &key, now)?);
        let asking = Asking { enforcer: &mut self.enforcer, now };
        if asking.moment() == moment {
            let plans = &mut self.reveals.plans(&asking).rows;
            if plans.len() >= PLANS {
                plans.clear();
            }
            plans.insert(key, (Arc::clone(meaning), Arc::clone(&masker)));
        }
        Ok(masker)
    }

    fn plan(&mut self, meaning: &Arc<Meaning>, key: &PlanKey, now: Timestamp) -> Result<RowMasker, WireError> {
        let columns: Vec<Column<'_>> =
            key.definitions.iter().map(|d| upstream::column(d, self.upstream, false)).collect::<Result<_, _>>()?;
        let is_in_place = self.is_in_place(meaning, key, &columns, now);
        let mut fields = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let plan = self.field_plan(meaning, (key, is_in_place), column, index, now);
            fields.push(Field::new(plan, column));
        }
        // Rows of tables as they are: null would tell.
        let is_rewritten = meaning.parts.get(key.part).is_none_or(|part| self.can_be_woven(part, now));
        Ok(RowMasker::new(fields, self.text_masking(now), key.binary).with_nulls(!is_rewritten))
    }

    /// Whether the outputs of a statement are where its text was read to have them: another session may have moved columns in
    /// between. Where something stands for each of its tables, what the server reads has its columns in order.
    fn is_in_place(&mut self, meaning: &Meaning, key: &PlanKey, columns: &[Column<'_>], now: Timestamp) -> bool {
        let Some(part) = meaning.parts.get(key.part) else { return true };
        let Some(lineage) = &part.lineage else { return true };
        let is_so = |index: usize, _: &_| match (lineage.placed.get(&index), columns.get(index)) {
            (Some(name), Some(column)) => str::from_utf8(column.name).is_ok_and(|n| n.to_lowercase() == **name),
            _ => false,
        };
        is_in_place(lineage, columns.len(), is_so) || self.is_pinned(part, now)
    }

    fn field_plan(
        &mut self,
        meaning: &Arc<Meaning>,
        (key, is_in_place): (&PlanKey, bool),
        column: &Column<'_>,
        index: usize,
        now: Timestamp,
    ) -> FieldPlan {
        // Where the server names the column a value comes straight from, that is one source; what was read out of the
        // text is another, and either is enough to hide it. INVARIANT: a mask that shows something is that of the text's own
        // reading, of one column and nothing else. Servers name derived tables by their aliases, which may be those of others.
        let origin = self.origin_rule(meaning, column, now);
        let read = self.lineage_rule(meaning, (key, is_in_place), index, now);
        let rule = match (origin, read) {
            (_, Some((rule, true))) if !column.org_name.is_empty() && !cuts_bytes(&rule, key, column) => Some(rule),
            (_, Some((rule, _))) | (Some(rule), None) => Some(whole(rule)),
            (None, None) => None,
        };
        match rule {
            Some(rule) => FieldPlan::Mask(rule),
            None if self.tells(meaning, key.part, column, now) => FieldPlan::Mask(redacted()),
            None if key.hides_messages && column.name.eq_ignore_ascii_case(b"message") => FieldPlan::Mask(redacted()),
            None if self.text_masking(now).wanted.is_empty() => FieldPlan::Clear,
            None => FieldPlan::Scan(Hint::from_column(&String::from_utf8_lossy(column.name))),
        }
    }

    /// Whether a column of what SHOW shows, or a statement that is not seen here may show, tells of hidden values.
    fn tells(&mut self, meaning: &Meaning, part: usize, column: &Column<'_>, now: Timestamp) -> bool {
        if !tells::is_shown(column.name) {
            return false;
        }
        let name = |b: &[u8]| Name::from(&*String::from_utf8_lossy(b));
        let (schema, table) = (name(column.schema), name(column.org_table));
        let is_own = DIALECT.own_schemas.contains(&&*schema.to_lowercase());
        if !is_own && self.reveals.catalogue().named(&schema, &table).is_some() {
            return false;
        }
        // What a procedure runs is not known here.
        let may_show = |part: &Part| tells::shows_sizes(part) || part.is_or_runs("CALL");
        let shows = if facts::has_one_result_each(meaning) {
            meaning.parts.get(part).is_some_and(may_show)
        } else {
            meaning.parts.iter().any(may_show)
        };
        shows && self.hides_anything(now)
    }

    fn origin_rule(&mut self, meaning: &Meaning, column: &Column<'_>, now: Timestamp) -> Option<Arc<MaskRule>> {
        if column.org_table.is_empty() || column.org_name.is_empty() {
            return None;
        }
        let name = |b: &[u8]| Name::from(&*String::from_utf8_lossy(b));
        let (schema, table, column) = (name(column.schema), name(column.org_table), name(column.org_name));
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        // Servers name derived tables as well; what the text reads is judged by its lineage. Of what a procedure reads there
        // is none.
        // A table of no schema is of the server's making: there is no lineage of it where others made it.
        let is_judged = !schema.is_empty() || !meaning.parts.iter().any(facts::runs_others);
        if is_judged && facts::has_one_result_each(meaning) && self.reveals.catalogue().named(&schema, &table).is_none()
        {
            return self.reveals.plain(&schema, &table, &column, asking);
        }
        self.reveals.source(&SourceColumn { schema, table, column: Some(column) }, asking)
    }

    /// How a value is masked by what the text says it is made of, and whether it is one column and nothing else.
    fn lineage_rule(
        &mut self,
        meaning: &Arc<Meaning>,
        (key, is_in_place): (&PlanKey, bool),
        index: usize,
        now: Timestamp,
    ) -> Option<(Arc<MaskRule>, bool)> {
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        if let Some(part) = meaning.parts.get(key.part).filter(|_| facts::has_one_result_each(meaning)) {
            let lineage = part.lineage.as_ref()?;
            if !is_in_place {
                return self.reveals.sources(&lineage.anywhere, asking).map(|rule| (rule, false));
            }
            let sources = output_sources(lineage, index, key.definitions.len());
            let rule = self.reveals.sources(sources, asking)?;
            let is_one = sources.len() == 1 && sources.iter().all(|source| source.column.is_some());
            let is_mixed = || rule.operator == Operator::Hash && (key.narrowed || facts::mixes_rows(meaning));
            return Some((Arc::clone(&rule), is_one && !is_mixed()));
        }
        // Which statement a result belongs to is not known: the bound of all of them.
        let all = meaning.parts.iter().filter_map(|s| s.lineage.as_ref()).flat_map(|l| &l.anywhere);
        self.reveals.sources(all, asking).map(|rule| (rule, false))
    }

    /// Whether a text touches hidden columns: then its errors may quote hidden values.
    pub(super) fn hides(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        self.reveals.hides(meaning, &mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// Whether errors of a text may quote hidden values: where it touches some, or changes what has other tables changed.
    pub(super) fn may_quote(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        self.hides(meaning, now) || (self.acts(meaning) && self.hides_anything(now))
    }

    /// Whether a text may have tables changed that it does not name. A table that is not known may have triggers.
    fn acts(&self, meaning: &Meaning) -> bool {
        let catalogue = self.reveals.catalogue();
        let any = |reach: &Reach| match reach {
            Reach::Anything => true,
            Reach::Relations(relations) => relations.iter().any(|oid| catalogue.acts(*oid)),
        };
        meaning.facts.accesses.iter().any(|access| match (access.action, &access.resource) {
            (Action::Insert | Action::Update | Action::Delete, Resource::Table { schema, name }) => {
                catalogue.named(schema, name).is_none_or(|table| {
                    let is_view = table.kind == RelationKind::View;
                    catalogue.acts(table.oid) || (is_view && any(&catalogue.view_reads(table.oid)))
                })
            }
            (Action::Call, Resource::Function { schema, name }) => catalogue.reach(schema, name).is_some_and(any),
            _ => false,
        })
    }

    /// Refuses what would carry hidden values to where no mask reaches them.
    pub(super) fn hidden_moves(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> Result<(), Refusal> {
        self.touched_hidden |= self.may_quote(meaning, now);
        self.reveals.admit(meaning, &mut Asking { enforcer: &mut self.enforcer, now })
    }
}

/// Whether a mask that shows a part would count bytes where a character may be several of them that are no UTF-8.
fn cuts_bytes(rule: &MaskRule, key: &PlanKey, column: &Column<'_>) -> bool {
    key.untranslated && matches!(rule.operator, Operator::Partial(_)) && !is_readable(column.collation)
}

/// Whether values of a collation are UTF-8, or have a byte for each character (`latin1`, `ascii`): by the numbers in `information_schema.COLLATIONS`,
/// to which MariaDB adds 1,024 for those without padding.
const fn is_readable(collation: u16) -> bool {
    let number = if collation >= 1024 && collation < 2048 { collation - 1024 } else { collation };
    matches!(
        number,
        5 | 8 | 11 | 15 | 31 | 33 | 45..=49 | 63 | 65 | 76 | 83 | 94 | 192..=215 | 223..=247 | 255..=323 | 576..=578
            | 608..=610 | 2048..=2559
    )
}

#[cfg(test)]
mod tests {
    use super::{is_of_numbers, is_readable};

    #[test]
    fn collations_of_which_characters_are_known() {
        for readable in [8, 11, 33, 45, 46, 63, 83, 224, 255, 309, 1069, 2304] {
            assert!(is_readable(readable), "{readable}");
        }
        // Big5, Shift-JIS, GBK, UCS-2, UTF-16, UTF-32, GB 18030.
        for other in [1, 13, 28, 35, 54, 60, 101, 160, 248, 1024 + 28, 672, 736] {
            assert!(!is_readable(other), "{other}");
        }
    }

    #[test]
    fn tables_of_numbers_by_their_names() {
        for name in ["seq_1_to_3", "SEQ_10_TO_1_STEP_2", "seq_0_to_0"] {
            assert!(is_of_numbers(name), "{name}");
        }
        for name in
            ["seq_1_to_", "seq_1_to_x", "seq_1_to_3_step_", "xseq_1_to_3", "seq_1_to_3_", "seq_1_to_3_step_1_x", "seq"]
        {
            assert!(!is_of_numbers(name), "{name}");
        }
    }
}
