//! What of a text's meaning only this protocol looks at.
use doorward_model::{Access, Action, Facts, Resource};
use doorward_sql::{
    Catalogue,
    postgres::{Effect, Transaction},
};
use doorward_sql_session::{Meaning, Part, opaque};

/// Whether later texts can only be read once this has been answered.
pub(crate) fn changes_meaning(meaning: &Meaning) -> bool {
    meaning.parts.iter().any(|p| {
        p.effects.iter().any(|e| match e {
            Effect::Set { .. } => changes_names(e),
            // What is set within them is waited for by itself.
            Effect::Transaction(Transaction::Savepoint(_) | Transaction::Release(_)) => false,
            Effect::ResetAll
            | Effect::Transaction(Transaction::End | Transaction::RollbackTo(_))
            | Effect::ForgetPrepared
            | Effect::Prepare { .. }
            | Effect::Deallocate { .. }
            | Effect::Declare { .. }
            | Effect::MadeTemporary { .. }
            | Effect::DroppedTemporary(_)
            | Effect::SchemaChanged => true,
        })
    })
}

/// A change of the search path or role in the middle of a text: what follows it would be read
/// under the old one.
pub(crate) fn changes_names_midway(meaning: &Meaning) -> bool {
    let (_, before) = meaning.parts.split_last().map_or((None, &[][..]), |(last, before)| (Some(last), before));
    before.iter().any(|p: &Part| p.effects.iter().any(|e| matches!(e, Effect::ResetAll) || changes_names(e)))
}

fn changes_names(effect: &Effect) -> bool {
    matches!(effect, Effect::Set { name, .. } if matches!(&**name, "search_path" | "role" | "session_authorization"))
}

/// Whether it waits for `COPY` data from the client.
pub(crate) fn copies_in(meaning: &Meaning) -> bool {
    meaning.parts.iter().any(|p| p.copy.as_ref().is_some_and(|c| !c.out))
}

/// What a function call message (`F`) asks for: the fast path names a function by its number.
pub(crate) fn function_call(catalogue: &Catalogue, oid: u32) -> Facts {
    let access = match catalogue.function(oid) {
        // Its arguments are not read, and it changes what names mean.
        Some(f) if &*f.name == "set_config" => opaque("set_config by a function call message"),
        Some(f) => Access::new(Action::Call, Resource::Function { schema: f.schema.clone(), name: f.name.clone() }),
        None => opaque(&format!("function call by number {oid}, which is not in the catalogue")),
    };
    Facts::new("function call", 1, vec![access])
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_sql::{Function, Volatility};

    #[test]
    fn set_config_by_its_number_is_opaque_and_its_neighbour_is_not() {
        let function = |oid, name: &str| Function {
            oid,
            schema: "pg_catalog".into(),
            name: name.into(),
            volatility: Volatility::Volatile,
            of_row: false,
        };
        let catalogue = Catalogue::new(1, [], [function(2078, "set_config"), function(2077, "current_setting")]);
        let action = |oid| function_call(&catalogue, oid).accesses.first().map(|a| a.action);
        assert_eq!(action(2078), Some(Action::Opaque));
        assert_eq!(action(2077), Some(Action::Call));
    }

    #[test]
    fn a_function_by_an_unknown_number_is_opaque() {
        let facts = function_call(&Catalogue::default(), 42);
        assert_eq!(facts.accesses.first().map(|a| a.action), Some(Action::Opaque));
    }
}
