//! The upstream's messages: matched with what was asked, masked, passed on.
use super::{
    Session,
    changes::{changes_for_all, may_rename},
    veil::is_sent_as_it_is,
};
use crate::{
    codec::{self, FieldDescription, UpstreamMessage},
    mask::{self, ErrorExposure},
    pipeline::{Expect, InFlight, Running},
    render,
    session::reveal::Masking,
};
use doorward_model::Timestamp;
use doorward_sql::postgres::{Effect, Transaction};
use doorward_sql_session::{Cursor, Meaning};
use std::sync::{Arc, atomic::Ordering};

/// The longest message of an upstream other than rows and COPY data, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

impl Session {
    pub(super) fn read_answers(&mut self, bytes: &[u8], now: Timestamp) {
        if self.upstream_in.is_empty() {
            let used = self.answers(bytes, now);
            self.upstream_in.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return;
        }
        // A frame was cut off: it is completed first, and what follows is read in place.
        let mut buffer = std::mem::take(&mut self.upstream_in);
        buffer.extend_from_slice(bytes);
        let used = self.answers(&buffer, now);
        let _done = buffer.split_to(used);
        self.upstream_in = buffer;
    }

    /// Reads whole messages; says how many bytes they had.
    fn answers(&mut self, bytes: &[u8], now: Timestamp) -> usize {
        let mut used = 0;
        while !self.ended {
            let rest = bytes.get(used..).unwrap_or_default();
            if self.answering.passing > 0 {
                let n = self.answering.passing.min(rest.len());
                if n == 0 {
                    return used;
                }
                self.to_client.extend_from_slice(rest.get(..n).unwrap_or_default());
                self.answering.passing -= n;
                used += n;
                if self.answering.passing == 0 {
                    let late = std::mem::take(&mut self.late);
                    self.to_client.extend_from_slice(&late);
                }
                continue;
            }
            let limit = if matches!(rest.first(), Some(b'D' | b'd' | b'V')) { usize::MAX } else { LONGEST };
            let header = match codec::peek(rest, limit) {
                Ok(Some(header)) => header,
                Ok(None) => return used,
                Err(e) => {
                    self.upstream_misbehaved(&e.to_string(), now);
                    return bytes.len();
                }
            };
            if header.total > rest.len() {
                if self.pass_through(&header) {
                    continue;
                }
                if header.total > self.limits.row {
                    // How long it is tells how long what is masked is.
                    let what = "a message that is too long to be looked into";
                    self.fatal("upstream", "54000", what, Some("select the large value in parts"), now);
                    return bytes.len();
                }
                return used;
            }
            used += match header.tag {
                b'D' => self.rows(rest, now),
                _ => {
                    self.answer(rest.get(..header.total).unwrap_or_default(), now);
                    header.total
                }
            };
        }
        bytes.len()
    }

    /// Lets a long row or COPY block through without keeping it, where nothing in it is hidden.
    fn pass_through(&mut self, header: &codec::Header) -> bool {
        let clear = self.answering.discarding.is_none()
            && match header.tag {
                b'D' => self.answering.masker.as_ref().is_some_and(|m| m.is_clear()),
                b'd' => self.answering.copy_out.as_ref().is_some_and(|c| c.is_clear()),
                _ => false,
            };
        if !clear {
            return false;
        }
        if header.tag == b'D'
            && let Some(running) = self.running_front()
        {
            running.of.rows += 1;
        }
        self.answering.passing = header.total;
        true
    }

    fn running_front(&mut self) -> Option<&mut Running> {
        match self.pipeline.front() {
            Some(InFlight { expect: Expect::Execute(r) | Expect::Query(r), .. }) => Some(r),
            _ => None,
        }
    }

    /// A run of consecutive rows, read and masked in one go. Returns its length in bytes.
    fn rows(&mut self, rest: &[u8], now: Timestamp) -> usize {
        let (len, count) = codec::run_of_rows(rest);
        let run = rest.get(..len).unwrap_or_default();
        if self.answering.discarding.is_some() {
            return len;
        }
        self.plan_of_front(now);
        let Some(masker) = self.answering.masker.clone() else {
            self.upstream_misbehaved("rows before their description", now);
            return len;
        };
        let mut masked = 0;
        if let Err(e) = masker.mask_run(run, &mut self.to_client, &mut masked) {
            self.upstream_misbehaved(&e.to_string(), now);
            return len;
        }
        match self.running_front() {
            Some(running) => {
                running.of.rows += count;
                running.of.masked += masked;
            }
            None => self.upstream_misbehaved("rows that nobody asked for", now),
        }
        len
    }

    /// Rows that cannot be masked are refused: the rest is dropped, and the caller hears why.
    fn stop_rows(&mut self, why: &str, now: Timestamp) {
        let message = format!("rows refused by Doorward: they could not be masked: {why}");
        self.fatal("upstream", "42501", &message, Some("select fewer columns"), now);
    }

    /// An Execute whose rows were described earlier gets its masks from that description.
    fn plan_of_front(&mut self, now: Timestamp) {
        if self.answering.masker.is_some() {
            return;
        }
        let Some(InFlight { expect: Expect::Execute(running), .. }) = self.pipeline.front() else { return };
        let (Some(portal), meaning) = (running.portal.clone(), Arc::clone(&running.of.meaning)) else { return };
        let fields = portal.described().cloned();
        if let Some(fields) = fields {
            let masking =
                Masking { meaning: &meaning, part: 0, fields: &fields, formats: Some(&portal.result_formats) };
            self.answering.masker = Some(self.row_masker(&masking, now));
        }
    }

    fn answer(&mut self, frame: &[u8], now: Timestamp) {
        self.drop_copy_ends();
        let message = match codec::upstream_message(frame) {
            Ok(message) => message,
            Err(e) => return self.upstream_misbehaved(&e.to_string(), now),
        };
        match message {
            UpstreamMessage::ParseComplete => self.parse_complete(frame, now),
            UpstreamMessage::BindComplete => self.bind_complete(frame, now),
            UpstreamMessage::CloseComplete => self.close_complete(frame, now),
            UpstreamMessage::ParameterDescription(types) => match self.pipeline.front() {
                Some(InFlight { expect: Expect::DescribeStatement(of), own, .. }) => {
                    if let Some(prepared) = of {
                        prepared.told_types(types);
                    }
                    if !*own {
                        self.to_client.extend_from_slice(frame);
                    }
                }
                _ => self.upstream_misbehaved("an unexpected ParameterDescription", now),
            },
            UpstreamMessage::RowDescription(row) => {
                let fields: Arc<[FieldDescription]> = row.fields().collect();
                self.described(Some(fields), frame, now);
            }
            UpstreamMessage::NoData => self.described(None, frame, now),
            UpstreamMessage::DataRow(_) => self.upstream_misbehaved("a row out of place", now),
            UpstreamMessage::CommandComplete { tag } => self.command_complete(tag, frame, now),
            UpstreamMessage::EmptyQueryResponse => self.command_complete("", frame, now),
            UpstreamMessage::PortalSuspended => self.portal_suspended(frame, now),
            UpstreamMessage::ReadyForQuery { status } => self.ready(status, frame, now),
            UpstreamMessage::ErrorResponse(_) => self.error(frame, now),
            UpstreamMessage::NoticeResponse(_) => {
                let exposure = self.exposure(now);
                self.pass_notice(frame, exposure, now);
            }
            UpstreamMessage::NotificationResponse { .. } => {
                let masked = mask::notification(frame, &self.text_masking(now));
                self.to_client.extend_from_slice(&masked);
            }
            UpstreamMessage::ParameterStatus { name, value } => self.parameter(name, value, now),
            UpstreamMessage::FunctionCallResponse(_) => {
                let masked = mask::function_result(frame, &self.text_masking(now));
                self.to_client.extend_from_slice(&masked);
                self.answered_function(now);
            }
            UpstreamMessage::CopyInResponse(_) => self.copy_in(frame, now),
            UpstreamMessage::CopyOutResponse(_) => self.copy_out(frame, now),
            UpstreamMessage::CopyData(data) => self.copy_data(data, frame, now),
            UpstreamMessage::CopyDone => self.copy_done(frame, now),
            UpstreamMessage::CopyBothResponse(_) => {
                self.upstream_misbehaved("replication data that nobody asked for", now)
            }
            UpstreamMessage::Authentication(_)
            | UpstreamMessage::BackendKeyData { .. }
            | UpstreamMessage::NegotiateProtocolVersion { .. } => {
                self.upstream_misbehaved("a log-in message after log-in", now);
            }
            UpstreamMessage::Unknown(tag) => {
                self.upstream_misbehaved(&format!("unknown message type 0x{tag:02x}"), now);
            }
        }
    }

    fn parse_complete(&mut self, frame: &[u8], now: Timestamp) {
        match self.pipeline.pop() {
            Some(InFlight { expect: Expect::Parse { name, prepared }, .. }) => {
                self.statements.confirm(&name, &prepared);
                self.to_client.extend_from_slice(frame);
            }
            _ => self.upstream_misbehaved("an unexpected ParseComplete", now),
        }
    }

    fn bind_complete(&mut self, frame: &[u8], now: Timestamp) {
        match self.pipeline.pop() {
            Some(InFlight { expect: Expect::Bind { name, portal }, .. }) => {
                self.portals.confirm(&name, &portal);
                // Cursors are portals: whatever cursor had the name is gone.
                self.cursors.remove(&name);
                self.to_client.extend_from_slice(frame);
            }
            _ => self.upstream_misbehaved("an unexpected BindComplete", now),
        }
    }

    fn close_complete(&mut self, frame: &[u8], now: Timestamp) {
        match self.pipeline.pop().map(|m| m.expect) {
            Some(Expect::CloseStatement { name }) => {
                self.statements.forget(&name);
                self.sql_prepared.remove(&name);
            }
            Some(Expect::ClosePortal { name }) => {
                self.portals.forget(&name);
                self.cursors.remove(&name);
            }
            _ => return self.upstream_misbehaved("an unexpected CloseComplete", now),
        }
        self.to_client.extend_from_slice(frame);
    }

    fn described(&mut self, fields: Option<Arc<[FieldDescription]>>, frame: &[u8], now: Timestamp) {
        let fields_or_none = || fields.clone().unwrap_or_default();
        match self.pipeline.front() {
            Some(InFlight { expect: Expect::DescribeStatement(prepared), own, .. }) => {
                if let Some(prepared) = prepared {
                    let _first = prepared.fields.set(fields_or_none());
                }
                let own = *own;
                self.pipeline.pop();
                if !own {
                    self.to_client.extend_from_slice(frame);
                }
            }
            Some(InFlight { expect: Expect::DescribePortal(portal), own, .. }) => {
                if let Some(portal) = portal {
                    let _first = portal.fields.set(fields_or_none());
                    if portal.means_as_prepared() {
                        let _first = portal.prepared.fields.set(fields_or_none());
                    }
                }
                let own = *own;
                self.pipeline.pop();
                if !own {
                    self.to_client.extend_from_slice(frame);
                }
            }
            Some(InFlight { expect: Expect::Query(running), .. }) if fields.is_some() => {
                let (meaning, part) = (Arc::clone(&running.of.meaning), running.of.part);
                let fields = fields_or_none();
                let masking = Masking { meaning: &meaning, part, fields: &fields, formats: None };
                self.answering.masker = Some(self.row_masker(&masking, now));
                self.to_client.extend_from_slice(frame);
            }
            _ => self.upstream_misbehaved("an unexpected row description", now),
        }
    }

    fn command_complete(&mut self, tag: &str, frame: &[u8], now: Timestamp) {
        self.answering.masker = None;
        self.answering.copy_out = None;
        self.answering.copy_in = false;
        let done = match self.pipeline.front() {
            Some(InFlight { expect: Expect::Query(running), .. }) => {
                let part = running.of.part;
                running.of.part += 1;
                Some((Arc::clone(&running.of.meaning), part, None))
            }
            Some(InFlight { expect: Expect::Execute(_), .. }) => match self.pipeline.pop().map(|m| m.expect) {
                Some(Expect::Execute(running)) => Some((Arc::clone(&running.of.meaning), 0, Some(running))),
                _ => None,
            },
            _ => None,
        };
        let Some((meaning, part, running)) = done else {
            return self.upstream_misbehaved("an unexpected CommandComplete", now);
        };
        self.to_client.extend_from_slice(frame);
        match &running {
            Some(running) => self.apply_once(running, tag),
            None => self.apply(&meaning, part, tag),
        }
        self.tell_of_changes(tag, &meaning, part);
        if let Some(running) = running {
            running.of.completed(&mut self.enforcer, tag, now);
        } else if let Some(running) = self.running_front() {
            // The whole message is written down at ReadyForQuery; the last tag speaks for it.
            running.tag = tag.into();
        }
    }

    fn portal_suspended(&mut self, frame: &[u8], now: Timestamp) {
        self.answering.masker = None;
        match self.pipeline.pop() {
            Some(InFlight { expect: Expect::Execute(running), .. }) => {
                self.to_client.extend_from_slice(frame);
                // Its first rows are out: what it sets is set.
                self.apply_once(&running, "");
                running.of.completed(&mut self.enforcer, "PortalSuspended", now);
            }
            _ => self.upstream_misbehaved("an unexpected PortalSuspended", now),
        }
    }

    fn ready(&mut self, status: u8, frame: &[u8], now: Timestamp) {
        match self.pipeline.pop().map(|m| m.expect) {
            Some(Expect::Sync) => {}
            // INVARIANT: what is said to be over was answered: else another one was.
            Some(Expect::Query(running) | Expect::FunctionCall(running)) if running.is_answered() => {
                if !running.failed {
                    running.of.completed(&mut self.enforcer, &running.tag, now);
                }
            }
            _ => return self.upstream_misbehaved("an unexpected ReadyForQuery", now),
        }
        self.answering.masker = None;
        self.answering.copy_out = None;
        self.answering.copy_in = false;
        self.status = status;
        if status == b'I' {
            let failed = std::mem::take(&mut self.answering.failed);
            self.settings.ended(failed);
            self.tell_at_rest(failed);
            self.touched_hidden = self.pipeline.iter().any(|m| m.is_request());
            self.portals.forget_confirmed();
        }
        self.to_client.extend_from_slice(frame);
    }

    fn error(&mut self, frame: &[u8], now: Timestamp) {
        let exposure = self.exposure(now);
        self.answering.masker = None;
        self.answering.copy_out = None;
        self.answering.copy_in = false;
        self.answering.failed = true;
        if codec::severity(frame).is_some_and(|s| matches!(s, "FATAL" | "PANIC")) {
            self.upstream_said_goodbye = true;
        }
        let code = codec::sqlstate(frame).unwrap_or("XX000").to_owned();
        let refusal = self.pipeline.front().and_then(|m| m.refusal.take());
        match refusal {
            Some(refusal) => render::rejection(&mut self.to_client, &refusal),
            None => self.pass_notice(frame, exposure, now),
        }
        let simple = match self.pipeline.front() {
            None => {
                // An error that nobody asked for ends the session (shutdown, a killed backend).
                return;
            }
            Some(InFlight { expect: Expect::Query(running) | Expect::FunctionCall(running), .. }) => {
                running.failed = true;
                running.of.completed(&mut self.enforcer, &code, now);
                true
            }
            Some(_) => false,
        };
        if !simple {
            self.skip_to_sync(&code, now);
        }
    }

    /// After an error in the extended protocol the server skips everything up to the next Sync.
    fn skip_to_sync(&mut self, code: &str, now: Timestamp) {
        let mut first = true;
        loop {
            match self.pipeline.front() {
                Some(InFlight { expect: Expect::Sync, .. }) => return,
                None => {
                    self.skipping = true;
                    return;
                }
                Some(_) => {}
            }
            let Some(message) = self.pipeline.pop() else { return };
            match message.expect {
                Expect::Parse { name, prepared } => self.statements.fail(&name, &prepared),
                Expect::Bind { name, portal } => self.portals.fail(&name, &portal),
                Expect::Execute(running) | Expect::Query(running) | Expect::FunctionCall(running) => {
                    running.of.completed(&mut self.enforcer, if first { code } else { "skipped" }, now);
                }
                Expect::DescribeStatement(_)
                | Expect::DescribePortal(_)
                | Expect::CloseStatement { .. }
                | Expect::ClosePortal { .. }
                | Expect::Refused
                | Expect::Sync
                | Expect::CopyEnd => {}
            }
            first = false;
        }
    }

    /// `CopyDone` has no answer of its own: it is over once anything else is answered.
    fn drop_copy_ends(&mut self) {
        while matches!(self.pipeline.front(), Some(InFlight { expect: Expect::CopyEnd, .. })) {
            self.pipeline.pop();
        }
    }

    fn answered_function(&mut self, now: Timestamp) {
        match self.pipeline.front() {
            Some(InFlight { expect: Expect::FunctionCall(running), .. }) => running.tag = "function call".into(),
            _ => self.upstream_misbehaved("an unexpected function result", now),
        }
    }

    fn pass_notice(&mut self, frame: &[u8], exposure: ErrorExposure, now: Timestamp) {
        let text = self.text_masking(now);
        if exposure == ErrorExposure::ScanOnly && !text.may_contain(frame) {
            return self.to_client.extend_from_slice(frame);
        }
        // How many there are goes by what is read. Their texts tell nothing by then.
        let is_said = codec::severity(frame).is_none_or(|s| !(s.starts_with("DEBUG") || s == "LOG"));
        if exposure != ErrorExposure::ScanOnly && frame.first() == Some(&b'N') && !is_said {
            return;
        }
        let veil = self.answered_veil(now);
        let place = |at| veil.as_ref().map_or(at, |(veil, original)| veil.place(at, original));
        let masked = mask::error_or_notice(frame, exposure, &text, &place);
        self.to_client.extend_from_slice(&masked);
    }

    /// Settings that the upstream reports. Those that would change how texts are read end the session.
    fn parameter(&mut self, name: &str, value: &str, now: Timestamp) {
        let readable = match name {
            "client_encoding" => value.eq_ignore_ascii_case("utf8"),
            "standard_conforming_strings" => value.eq_ignore_ascii_case("on"),
            _ => true,
        };
        if !readable {
            let what = format!("the session was ended: {name} became `{value}`, under which statements cannot be read");
            return self.fatal("policy", "42501", &what, None, now);
        }
        let masked = mask::parameter_status(name, value, &self.text_masking(now));
        self.to_client.extend_from_slice(&masked);
    }

    fn copy_in(&mut self, frame: &[u8], now: Timestamp) {
        let permitted = self.running_front().is_some_and(|r| r.copy_in.is_some());
        if !permitted {
            return self.upstream_misbehaved("a request for COPY data that nobody offered", now);
        }
        if !self.pipeline.copies_in_alone() {
            return self.upstream_misbehaved("a request for COPY data in the middle of others", now);
        }
        let ended = self.pipeline.iter().any(|m| matches!(m.expect, Expect::CopyEnd));
        self.answering.copy_in = !ended;
        self.to_client.extend_from_slice(frame);
    }

    fn copy_out(&mut self, frame: &[u8], now: Timestamp) {
        let Some(running) = self.running_front() else {
            return self.upstream_misbehaved("COPY data that nobody asked for", now);
        };
        let (meaning, part) = (Arc::clone(&running.of.meaning), running.of.part);
        match self.copy_masker(&meaning, part, now) {
            Ok(masker) => {
                self.answering.copy_out = Some(Box::new(masker));
                self.to_client.extend_from_slice(frame);
            }
            Err(why) => self.stop_rows(&why, now),
        }
    }

    fn copy_data(&mut self, data: &[u8], frame: &[u8], now: Timestamp) {
        let Some(copy) = self.answering.copy_out.as_mut() else {
            return self.upstream_misbehaved("COPY data out of place", now);
        };
        if copy.is_clear() {
            return self.to_client.extend_from_slice(frame);
        }
        let mut masked = 0;
        if let Err(e) = copy.data(data, &mut self.to_client, &mut masked) {
            return self.stop_rows(&e.to_string(), now);
        }
        if let Some(running) = self.running_front() {
            running.of.masked += masked;
        }
    }

    fn copy_done(&mut self, frame: &[u8], now: Timestamp) {
        let Some(mut copy) = self.answering.copy_out.take() else {
            return self.upstream_misbehaved("an unexpected CopyDone", now);
        };
        let mut masked = 0;
        match copy.finish(&mut self.to_client, &mut masked) {
            Ok(()) => self.to_client.extend_from_slice(frame),
            Err(e) => self.stop_rows(&e.to_string(), now),
        }
    }

    /// What a portal has changed, at its first answer: later ones only fetch the rest of its rows.
    fn apply_once(&mut self, running: &Running, tag: &str) {
        let again = running.portal.as_ref().is_some_and(|p| p.applied.swap(true, Ordering::Relaxed));
        if !again {
            self.apply(&running.of.meaning, 0, tag);
        }
    }

    /// What was set since a transaction or a savepoint began lasts or is gone; and what comes after is another's.
    fn in_transaction(&mut self, what: &Transaction, tag: &str) {
        match what {
            // What failed before is rolled back by COMMIT, too.
            Transaction::End => {
                self.answering.failed = false;
                if tag == "ROLLBACK" {
                    self.tell_rolled_back();
                }
                self.settings.ended(tag == "ROLLBACK");
            }
            Transaction::RollbackTo(name) => {
                self.answering.failed = false;
                self.settings.rolled_back_to(name);
            }
            Transaction::Savepoint(name) => self.settings.savepoint(name),
            Transaction::Release(name) => self.settings.released(name),
        }
    }

    /// What a statement has changed for those that follow it.
    fn apply(&mut self, meaning: &Arc<Meaning>, part: usize, tag: &str) {
        let Some(part) = meaning.parts.get(part) else { return };
        let for_all = changes_for_all(part, meaning);
        if for_all && may_rename(part, meaning, self.reveals.catalogue()) {
            self.settings.may_be_renamed();
        }
        for effect in &part.effects {
            match effect {
                Effect::Set { name, value, local } => self.settings.set(name, value.as_deref(), *local),
                Effect::ResetAll => self.settings.reset_all(),
                Effect::Transaction(what) => self.in_transaction(what, tag),
                Effect::ForgetPrepared => {
                    self.statements.forget_confirmed();
                    self.sql_prepared.clear();
                }
                Effect::Prepare { name, analysis } => self.remember_prepared(name, analysis, &meaning.text),
                Effect::Deallocate { name } => {
                    self.statements.forget(name);
                    self.sql_prepared.remove(&**name);
                }
                Effect::Declare { name, lineage, facts } => {
                    // What had the name before is gone: neither an old cursor nor a portal may speak for this one.
                    self.portals.forget(name);
                    self.cursors.remove(&**name);
                    if self.cursors.len() < self.limits.names {
                        let as_written = is_sent_as_it_is(meaning);
                        let cursor =
                            Cursor { facts: Arc::clone(facts), lineage: Arc::new(lineage.clone()), as_written };
                        self.cursors.insert((&**name).into(), cursor);
                    }
                }
                Effect::MadeTemporary { name, until_commit, depends } => {
                    self.settings.made_temporary(name, *until_commit, *depends);
                    if part.is_or_runs("VIEW") {
                        self.settings.made_temporary_view(name);
                    }
                }
                Effect::DroppedTemporary(what) => self.settings.dropped_temporary(what),
                Effect::SchemaChanged if for_all => self.settings.schema_changed(),
                // Of what it has made itself.
                Effect::SchemaChanged => {}
            }
        }
    }
}
