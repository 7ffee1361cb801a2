//! What people are shown of a command that is held, besides its text.
use super::{Prepared, requests::Ask, variables};
use crate::{
    capabilities::Capabilities,
    codec::{
        client::{self, Bound, BulkExecute, Command, Execute, Given, Parameter, command},
        rows::Value,
    },
};
use doorward_enforce::{MOST_SHOWN, NotShown, Shown, shown::bytes};
use doorward_sql_session::besides;

/// Sets of parameters are read no further than this: nobody is shown more values.
const MOST_VALUES: usize = MOST_SHOWN / 32;

/// Everything that would run besides the text.
pub(super) fn shown(ask: &Ask, prepared: Option<&Prepared>, client: Capabilities) -> Result<Shown, NotShown> {
    if ask.frame.len() > MOST_SHOWN {
        return Err(NotShown::too_long("its text and its values", ask.frame.len()));
    }
    let sent = ask.veil.as_ref().map(|veil| veil.to_vec()).or_else(|| ask.meaning.forwarded());
    let text = sent.as_deref().and_then(|sent| std::str::from_utf8(sent).ok());
    let mut shown = besides(&ask.meaning, text);
    if let (Some(sent), None) = (&sent, text) {
        shown.add("Sent, with bytes that are no text as \\xNN", escaped(sent));
    }
    let by_name = ask.meaning.parts.iter().flat_map(|part| &part.names).filter_map(|(_, text)| text.as_deref());
    let read = sent.as_deref().unwrap_or(ask.meaning.text.as_bytes());
    shown.unseen.extend(variables::unseen(by_name.map(str::as_bytes).chain([read])));
    // A message of this length is one packet.
    let payload = ask.frame.get(4..).unwrap_or_default();
    match (command(payload, client), prepared) {
        (Ok(Command::Query { attributes, .. }), _) => shown.parameters = attributes.iter().map(attribute).collect(),
        (Ok(Command::Execute(execute)), Some(prepared)) => shown.parameters = values(&execute, prepared, client)?,
        (Ok(Command::BulkExecute(bulk)), Some(prepared)) => shown.rows = rows(&bulk, prepared)?,
        (Ok(Command::Execute(_) | Command::BulkExecute(_)), None) | (Err(_), Some(_)) => return Err(unreadable()),
        (Ok(_) | Err(_), _) => {}
    }
    Ok(shown)
}

fn unreadable() -> NotShown {
    NotShown { what: "its values cannot be read".into(), next: "prepare it anew, and execute it with its types" }
}

fn values(execute: &Execute<'_>, prepared: &Prepared, client: Capabilities) -> Result<Vec<String>, NotShown> {
    let long = prepared.ahead.parameters();
    let bound = Bound { count: prepared.parameters, types: &prepared.types, long: &long };
    let read = client::parameters(execute, &bound, client).map_err(|_| unreadable())?;
    let each = read.iter().enumerate().map(|(i, parameter)| match &parameter.value {
        _ if i >= prepared.parameters => Ok(attribute(parameter)),
        Some(value) => Ok(text(value)),
        None => prepared.ahead.shown(u16::try_from(i).unwrap_or(u16::MAX)),
    });
    each.collect()
}

fn rows(bulk: &BulkExecute<'_>, prepared: &Prepared) -> Result<Vec<Vec<String>>, NotShown> {
    let bound = Bound { count: prepared.parameters, types: &prepared.types, long: &[] };
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut seen = 0;
    let read = client::bulk_parameters(bulk, &bound, &mut |row, given| {
        seen += 1;
        if seen > MOST_VALUES {
            return;
        }
        let shown = match given {
            Given::Value(value) => text(&value),
            Given::Null => "NULL".to_owned(),
            Given::Default => "DEFAULT".to_owned(),
            Given::Ignore => "IGNORE".to_owned(),
        };
        match rows.get_mut(row) {
            Some(values) => values.push(shown),
            None => rows.push(vec![shown]),
        }
    });
    read.map_err(|_| unreadable())?;
    if seen > MOST_VALUES {
        let what = format!("it has {seen} values, and approvers are shown {MOST_VALUES} of a request, or nothing");
        return Err(NotShown { what, next: "send fewer rows at once, each set of which can be approved" });
    }
    Ok(rows)
}

fn attribute(parameter: &Parameter<'_>) -> String {
    let value = parameter.value.as_ref().map_or_else(|| "NULL".to_owned(), text);
    format!("attribute {} = {value}", bytes(parameter.name))
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Bytes(value) => bytes(value),
        Value::Null
        | Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::DateTime { .. }
        | Value::Time { .. } => value.to_string(),
    }
}

/// Text with bytes in it that are none.
fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}
