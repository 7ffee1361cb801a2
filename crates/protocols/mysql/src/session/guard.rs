//! Parameters that are what a mask shows, where they would be written over what it hides.
use super::{Prepared, Session};
use crate::codec::{
    client::{self, Bound, BulkExecute, Given, Parameter},
    rows::Value,
};
use doorward_enforce::Refusal;
use doorward_model::Timestamp;
use doorward_sql_session::{Asking, LONGEST_MASK, Meaning, refusals::not_understood};
use std::{collections::HashSet, sync::Arc};

impl Session {
    /// Whether a statement writes something that is hidden: else its parameters are not looked at.
    pub(super) fn writes_hidden(&mut self, meaning: &Arc<Meaning>, now: Timestamp) -> bool {
        meaning.parts.iter().any(|part| !part.writes.columns.is_empty()) && self.hides(meaning, now)
    }

    /// Refuses texts that are what a mask shows.
    pub(super) fn binds_no_mask(
        &mut self,
        meaning: &Arc<Meaning>,
        texts: &[String],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let texts = texts.iter().map(|text| &**text);
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        meaning.parts.iter().try_for_each(|part| self.reveals.writes_no_mask(part, texts.clone(), asking))
    }
}

/// Those parameters of an execution that may be masks.
///
/// # Errors
/// A value that came ahead may be one, and was not kept.
pub(super) fn short_texts(prepared: &Prepared, parameters: &[Parameter<'_>]) -> Result<Vec<String>, Refusal> {
    let mut out = Vec::new();
    for (i, parameter) in parameters.iter().enumerate().take(prepared.parameters) {
        let value = match &parameter.value {
            Some(Value::Bytes(bytes)) => Some(*bytes),
            Some(_) => None,
            None => prepared.ahead.short(u16::try_from(i).unwrap_or(u16::MAX)).map_err(|()| unkept())?,
        };
        out.extend(value.and_then(short_text));
    }
    Ok(out)
}

/// So many different values of a bulk execution are looked at.
const LOOKED_AT: usize = 10_000;

/// Those of the values of a bulk execution that may be masks, each once.
pub(super) fn short_texts_of_rows(prepared: &Prepared, bulk: &BulkExecute<'_>) -> Vec<String> {
    let bound = Bound { count: prepared.parameters, types: &prepared.types, long: &[] };
    let mut out = HashSet::new();
    // What cannot be read is not run.
    let _read = client::bulk_parameters(bulk, &bound, &mut |_, given| {
        if let Given::Value(Value::Bytes(bytes)) = given
            && out.len() < LOOKED_AT
        {
            out.extend(short_text(bytes));
        }
    });
    out.into_iter().collect()
}

fn short_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_MASK).map(str::to_owned)
}

fn unkept() -> Refusal {
    let why = "refused: a value that was sent ahead may be what a mask shows, and was not kept";
    not_understood(
        why.to_owned(),
        Some("send fewer values ahead (COM_STMT_SEND_LONG_DATA), or short ones with the execution"),
    )
}
