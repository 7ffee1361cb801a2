//! Which columns a statement writes, and the texts in it that may be what a mask had left there.
use super::walk::Walk;
use crate::meaning::SourceColumn;
use doorward_model::Name;
use pg_raw_parse::{Node, list::NodeList, nodes};

/// The columns of a list of targets; all of the table, where the list is empty.
pub(super) fn columns(walk: &mut Walk<'_, '_>, target: &nodes::RangeVar, list: &NodeList) {
    let names: Vec<Option<Name>> = list
        .iter()
        .filter_map(|node| if let Node::ResTarget(target) = node { Some(target.name().map(Name::from)) } else { None })
        .collect();
    add(walk, target, if names.is_empty() { vec![None] } else { names }, false);
}

/// The columns of `SET` in a branch of MERGE.
pub(super) fn given(walk: &mut Walk<'_, '_>, target: &nodes::RangeVar, list: &NodeList) {
    let of = |node| if let Node::ResTarget(target) = node { Some(target.name().map(Name::from)) } else { None };
    add(walk, target, list.iter().filter_map(of).collect(), true);
}

/// The columns of `SET`.
pub(super) fn set<'a>(
    walk: &mut Walk<'_, '_>,
    target: &nodes::RangeVar,
    list: impl IntoIterator<Item = &'a nodes::ResTarget>,
) {
    let names = list.into_iter().map(|target| target.name().map(Name::from)).collect();
    add(walk, target, names, true);
}

fn add(walk: &mut Walk<'_, '_>, target: &nodes::RangeVar, names: Vec<Option<Name>>, sets: bool) {
    let (schema, table) = walk.env.range_var(target);
    let columns = names.into_iter().map(|column| SourceColumn { schema: schema.clone(), table: table.clone(), column });
    let columns: Vec<SourceColumn> = columns.collect();
    if sets {
        walk.writes.sets.extend(columns.iter().cloned());
    }
    walk.writes.times += 1;
    walk.writes.columns.extend(columns);
    // What writes is seen before what is in it.
    walk.keeps_texts = true;
}

#[cfg(test)]
mod tests {
    use crate::postgres::{Environment, analyse};

    #[test]
    fn a_mask_is_found_among_many_texts() {
        let rows: Vec<String> = (0..12_000).map(|n| format!("({n}, '[{n}]', 'x{n}')")).collect();
        let masks = ["[ssn]", "***1", "h:0123456789abcdef01234567", "\"[ssn]\"", "\"h:0123456789abcdef01234567\""];
        let text = format!("insert into t values {}, (0, '{}')", rows.join(", "), masks.join("', '"));
        let read = analyse(&text, &Environment::default()).unwrap();
        let texts = &read.statements.first().unwrap().writes.texts;
        assert!(masks.iter().all(|mask| texts.contains(*mask)) && texts.len() <= 13_004);
        // What only reads keeps none.
        let read = analyse("select '[ssn]' from t", &Environment::default()).unwrap();
        assert!(read.statements.first().unwrap().writes.texts.is_empty());
    }
}
