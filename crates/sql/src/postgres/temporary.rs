//! Which relations of the session's own a statement makes, and which are gone behind it.
//!
//! What is forgotten though it is there is read as a relation of the search path that is not known: more strictly. What is
//! remembered though it is gone would hide one that was made since.
use super::{Effect, names, objects};
use crate::meaning::Dropped;
use doorward_model::Name;
use pg_raw_parse::{Node, nodes};

/// What a statement does in `pg_temp`, with the names of what it makes there.
#[allow(clippy::wildcard_enum_match_arm, reason = "other statements neither drop nor rename relations")]
pub(super) fn effects(node: Node<'_>, made: &[Name]) -> Vec<Effect> {
    let (until_commit, depends) = lasts(node);
    let made = made.iter().map(|name| Effect::MadeTemporary { name: name.clone(), until_commit, depends });
    let mut out: Vec<Effect> = made.collect();
    match node {
        Node::DropStmt(s) => {
            let is_relation = matches!(objects::kind(s.remove_type), objects::Kind::Relation);
            let named = s.objects().iter().filter(|_| is_relation).map(objects::parts);
            out.extend(named.filter_map(|parts| dropped(&parts)));
            if s.behavior == nodes::DropBehavior::DROP_CASCADE {
                out.push(Effect::DroppedTemporary(Dropped::Dependent));
            }
        }
        Node::DropOwnedStmt(_) => out.push(Effect::DroppedTemporary(Dropped::All)),
        Node::RenameStmt(s) if matches!(objects::kind(s.rename_type), objects::Kind::Relation) => {
            let Some(r) = s.relation() else { return out };
            let parts: Vec<&str> = r.schemaname().into_iter().chain(r.relname()).collect();
            out.extend(dropped(&parts));
        }
        _ => {}
    }
    out
}

/// A name without a schema may be that of one.
fn dropped(parts: &[&str]) -> Option<Effect> {
    let is_temporary = match parts {
        [_] => true,
        [.., schema, _] => names::is_temporary_schema(schema),
        [] => false,
    };
    let name = parts.last().filter(|_| is_temporary)?;
    Some(Effect::DroppedTemporary(Dropped::One((*name).into())))
}

/// Whether what a statement makes is dropped at the end of the transaction, and whether it may be by CASCADE.
#[allow(clippy::wildcard_enum_match_arm, reason = "other statements make no tables")]
fn lasts(node: Node<'_>) -> (bool, bool) {
    const DROP: nodes::OnCommitAction::Type = nodes::OnCommitAction::ONCOMMIT_DROP;
    match node {
        Node::CreateStmt(s) => {
            let depends = !s.inh_relations().is_empty() || s.partbound().is_some() || s.of_typename().is_some();
            (s.oncommit == DROP, depends)
        }
        Node::CreateTableAsStmt(s) => (s.into().is_some_and(|into| into.on_commit == DROP), false),
        Node::SelectStmt(s) => (s.into_clause().is_some_and(|into| into.on_commit == DROP), false),
        Node::ExplainStmt(s) => lasts(s.query()),
        _ => (false, true),
    }
}

#[cfg(test)]
mod tests {
    use crate::postgres::{Effect, Environment, analyse};
    use std::sync::Arc;

    fn effects(text: &str) -> String {
        let temporary = Arc::new(["scratch".into()].into());
        let read = analyse(text, &Environment { temporary, ..Environment::default() }).unwrap();
        let all = read.statements.iter().flat_map(|s| &s.effects);
        let said = all.filter_map(|effect| match effect {
            Effect::MadeTemporary { name, until_commit, depends } => {
                let until = if *until_commit { " until commit" } else { "" };
                Some(format!("+{name}{until}{}", if *depends { " depends" } else { "" }))
            }
            Effect::DroppedTemporary(what) => Some(format!("-{what:?}")),
            Effect::Set { .. }
            | Effect::ResetAll
            | Effect::Transaction(_)
            | Effect::ForgetPrepared
            | Effect::Prepare { .. }
            | Effect::Deallocate { .. }
            | Effect::Declare { .. }
            | Effect::SchemaChanged => None,
        });
        said.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_made_and_dropped_in_the_sessions_own_schema() {
        for (text, wanted) in [
            ("create temp table x (a int)", "+x"),
            ("create temp table x (a int) on commit drop", "+x until commit"),
            ("create temp table x on commit drop as select 1", "+x until commit"),
            ("create temp table x (a int) inherits (t)", "+x depends"),
            ("create temp view x as select 1", "+x depends"),
            ("select 1 as a into temp x", "+x"),
            ("create table x (a int)", ""),
            ("drop table x, pg_temp.y, public.z", "-One(\"x\"), -One(\"y\")"),
            ("drop view if exists x cascade", "-One(\"x\"), -Dependent"),
            ("drop function f cascade", "-Dependent"),
            ("drop function f", ""),
            ("drop owned by me", "-All"),
            ("discard temp", "-All"),
            ("discard all", "-All"),
            ("discard plans", ""),
            ("alter table scratch rename to x", "-One(\"scratch\")"),
            ("alter table public.scratch rename to x", ""),
            ("alter table scratch rename column a to b", ""),
        ] {
            assert_eq!(effects(text), wanted, "{text}");
        }
    }
}
