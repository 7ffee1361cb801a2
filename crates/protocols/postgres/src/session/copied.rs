//! COPY data from the client: passed on, unless what a mask shows would be written over what it hides. And what COPY to the
//! client would answer by its options.
use super::Session;
use crate::{
    codec::ClientMessage,
    copy_in::{CopyGuard, Found},
    pipeline::Expect,
    render::{self, Rejection},
};
use doorward_enforce::{GatewayMessage, Refusal, Request, nothing_else};
use doorward_model::Timestamp;
use doorward_sql::{CopyFormat, Output, SourceColumn};
use doorward_sql_session::{
    Asking, Meaning, Part, Targets,
    refusals::{not_understood, writes_mask},
};
use std::{collections::VecDeque, sync::Arc};

/// What the upstream is told where data are not passed on.
const GIVEN_UP: &str = "refused by doorward";

impl Session {
    pub(super) fn on_copy(&mut self, message: &ClientMessage<'_>, frame: &[u8], now: Timestamp) {
        let is_end = !matches!(message, ClientMessage::CopyData(_));
        // Outside of COPY the server ignores these; here they do not even go upstream.
        let Some(running) = self.pipeline.awaits_copy().and_then(|m| m.running()) else { return };
        let found = match (running.guards.front_mut(), message) {
            (Some(Some(guard)), ClientMessage::CopyData(data)) => guard.data(data),
            (Some(Some(guard)), ClientMessage::CopyDone) => guard.finish(),
            _ => Ok(()),
        };
        if let Err(found) = found {
            return self.refuse_data(&found, now);
        }
        if let Some(permit) = &running.copy_in {
            self.to_upstream.push_stream(permit, frame);
        }
        if is_end {
            running.guards.pop_front();
            let is_last = running.guards.is_empty() || !matches!(message, ClientMessage::CopyDone);
            if is_last {
                self.ends_copy();
            } else {
                // Another one of the same text follows.
                self.answering.copy_in = false;
            }
        }
    }

    fn ends_copy(&mut self) {
        self.answering.copy_in = false;
        self.push(Expect::CopyEnd, false, false);
    }

    /// The upstream is told that the data have come to no good end, and the caller hears why. What of them is still on its
    /// way is dropped, as the server would.
    fn refuse_data(&mut self, found: &Found, now: Timestamp) {
        let Some(running) = self.pipeline.awaits_copy().and_then(|m| m.running()) else { return };
        let meaning = Arc::clone(&running.of.meaning);
        let refusal = match (found, running.guards.front()) {
            (Found::Mask { column, text }, Some(Some(guard))) => {
                guard.target(*column).map(|target| writes_mask("COPY", &target.source, text))
            }
            (Found::Mask { .. } | Found::Malformed, _) => None,
        };
        let refusal =
            refusal.unwrap_or_else(|| not_understood("COPY refused: its data are not of their format".into(), None));
        let request =
            Request { via: "copy data", statement: &meaning.text, shown: &nothing_else, bound: &[], payload: &[] };
        let refusal = self.enforcer.refuse(&meaning.facts, &request, refusal, now);
        if let Some(message) = self.pipeline.awaits_copy() {
            message.refusal = Some(Rejection::from(&refusal));
        }
        let mut out = Vec::new();
        render::copy_fail(&mut out, GIVEN_UP);
        self.to_upstream.push_own(&GatewayMessage::authored(&out));
        self.ends_copy();
    }

    /// What looks through the data of each COPY of a text, in their order.
    pub(super) fn copy_guards(&mut self, meaning: &Meaning, now: Timestamp) -> VecDeque<Option<Box<CopyGuard>>> {
        let copies = meaning.parts.iter().filter_map(|part| part.copy.as_ref()).filter(|copy| !copy.out);
        let guard = |copy: &doorward_sql::CopySpec| {
            let targets = self.copied_into(copy, now)?;
            Some(Box::new(CopyGuard::new(copy.format.clone(), copy.header, targets)))
        };
        copies.map(guard).collect()
    }

    /// The masked columns that data are written into; none where there are none.
    fn copied_into(&mut self, copy: &doorward_sql::CopySpec, now: Timestamp) -> Option<Targets> {
        let catalogue = Arc::clone(self.reveals.catalogue());
        let is_generated = |source: &SourceColumn| {
            let relation = catalogue.named(&source.schema, &source.table);
            let column = relation.and_then(|r| r.columns.iter().find(|c| Some(&c.name) == source.column.as_ref()));
            relation.zip(column).is_some_and(|(r, c)| catalogue.is_generated(r.oid, c.number))
        };
        let columns = copy.lineage.outputs.iter().map(|output| match output {
            Output::Made(sources) => sources.first().cloned(),
            Output::Star => None,
        });
        // No data are taken for columns that are computed.
        let columns: Vec<_> = columns.filter(|source| !source.as_ref().is_some_and(is_generated)).collect();
        self.reveals.targets(columns, &mut Asking { enforcer: &mut self.enforcer, now })
    }

    /// Refuses COPY into masked columns whose data could not be looked through.
    pub(super) fn copies_readably(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        let Some(copy) = part.copy.as_ref().filter(|copy| !copy.out) else { return Ok(()) };
        if let CopyFormat::NotUnderstood(what) = &copy.format
            && self.copied_into(copy, now).is_some()
        {
            let message = format!("{} refused: its data could not be looked through: {what}", part.command);
            return Err(not_understood(message, Some("use FORMAT text, csv or binary with plain options")));
        }
        Ok(())
    }

    /// In the text format nothing tells a value from the mark of NULL that is written alike: one of the caller's own would be
    /// answered where it is the value, and a mask where it is not.
    pub(super) fn copies_no_guess(&mut self, part: &Part, now: Timestamp) -> Result<(), Refusal> {
        let Some(copy) = part.copy.as_ref().filter(|copy| copy.out) else { return Ok(()) };
        if !matches!(&copy.format, CopyFormat::Text { null, .. } if null != b"\\N") {
            return Ok(());
        }
        let asking = &mut Asking { enforcer: &mut self.enforcer, now };
        let Some(hidden) = copy.lineage.anywhere.iter().find(|source| self.reveals.source(source, asking).is_some())
        else {
            return Ok(());
        };
        let column = hidden.column.as_deref().unwrap_or("*");
        let message = format!(
            "{} refused: values of the masked column `{}.{}.{column}` could not be told from its NULL",
            part.command, hidden.schema, hidden.table
        );
        Err(not_understood(message, Some("leave the option NULL out, or use FORMAT csv")))
    }
}
