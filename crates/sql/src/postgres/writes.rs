//! Which columns a statement writes, and the texts in it that may be what a mask had left there.
use super::walk::Walk;
use crate::meaning::SourceColumn;
use doorward_model::Name;
use pg_raw_parse::{Node, list::NodeList, nodes};

/// Longer texts are no mask, in bytes.
const LONGEST: usize = 256;
/// How many different texts are kept that do not look like a mask.
const MOST_PLAIN: usize = 1000;
/// How many that do.
const MOST_MASKS: usize = 10_000;

/// The columns of a list of targets; all of the table, where the list is empty.
pub(super) fn columns(walk: &mut Walk<'_, '_>, target: &nodes::RangeVar, list: &NodeList) {
    let names: Vec<Option<Name>> = list
        .iter()
        .filter_map(|node| if let Node::ResTarget(target) = node { Some(target.name().map(Name::from)) } else { None })
        .collect();
    add(walk, target, if names.is_empty() { vec![None] } else { names });
}

/// The columns of `SET`.
pub(super) fn set<'a>(
    walk: &mut Walk<'_, '_>,
    target: &nodes::RangeVar,
    list: impl IntoIterator<Item = &'a nodes::ResTarget>,
) {
    let names = list.into_iter().map(|target| target.name().map(Name::from)).collect();
    add(walk, target, names);
}

fn add(walk: &mut Walk<'_, '_>, target: &nodes::RangeVar, names: Vec<Option<Name>>) {
    let (schema, table) = walk.env.range_var(target);
    let columns = names.into_iter().map(|column| SourceColumn { schema: schema.clone(), table: table.clone(), column });
    walk.writes.columns.extend(columns);
    // What writes is seen before what is in it.
    walk.keeps_texts = true;
}

/// A constant of what writes, or may write.
pub(super) fn text(walk: &mut Walk<'_, '_>, text: &str) {
    let writes = &mut walk.writes;
    if text.len() > LONGEST {
        return;
    }
    let most = if text.starts_with(['[', '*']) { MOST_MASKS } else { MOST_PLAIN };
    if writes.texts.len() < most {
        writes.texts.insert(text.into());
    }
}
