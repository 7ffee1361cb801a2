//! The upstream's answers: matched with what was asked, masked, passed on.
use super::{
    After, Awaiting, Event, Own, PROBE, Phase, Prepared, Question, Results, Session, reveal::Definitions, veil::Veil,
};
use crate::{
    capabilities::Capabilities,
    codec::{
        self,
        rows::text_cell,
        upstream::{self, Change, First, OkPacket, status},
    },
    facts::{self, has_one_result_each},
    mask::{self, RowMasker},
    render,
    secrets::Files,
};
use doorward_enforce::{GatewayMessage, SessionEnd};
use doorward_model::{Name, Timestamp};
use doorward_sql::{Effect, mysql::readable_charset};
use doorward_sql_session::{Meaning, Part, Running};
use doorward_wire::{Reader, WireError};
use std::sync::Arc;

/// Errors that name what refers to a row, or what a row refers to: `ER_NO_REFERENCED_ROW`, `ER_ROW_IS_REFERENCED` and their kin with
/// names of tables and constraints.
const KEYS: [u16; 4] = [1216, 1217, 1451, 1452];

/// An answer that is none, in words.
type Answered = Result<(), String>;

impl Session {
    /// Reads whole packets of the upstream.
    pub(super) fn read_answers(&mut self, now: Timestamp) {
        let mut buffer = std::mem::take(&mut self.upstream_in);
        while !self.ended {
            let message = match codec::message(&buffer, self.limits.row) {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(e) => return self.upstream_misbehaved(&e.to_string(), now),
            };
            let wire = message.wire;
            self.upstream_sequence = message.next_sequence();
            if let Err(why) = self.answer(&message.payload, now) {
                return self.upstream_misbehaved(&why, now);
            }
            let _read = buffer.split_to(wire);
        }
        self.upstream_in = buffer;
    }

    fn answer(&mut self, payload: &[u8], now: Timestamp) -> Answered {
        match std::mem::replace(&mut self.awaiting, Awaiting::Idle) {
            Awaiting::Idle => {
                // The server may end a session that idles: it says so, and the client is to hear it.
                let error = payload.first() == Some(&0xff);
                if !error {
                    return Err("a packet that nobody asked for".into());
                }
                self.sequence = 0;
                self.pass_error(payload, None, now)
            }
            Awaiting::Own(own) => self.own_answer(own, payload, now),
            Awaiting::Simple(running, after) => self.simple(running, after, payload, now),
            Awaiting::Word(running) => {
                if payload.first() == Some(&0xff) {
                    return self.failed(&running, payload, now);
                }
                self.say(payload);
                running.completed(&mut self.enforcer, "OK", now);
                Ok(())
            }
            Awaiting::Results(results) => self.results(results, payload, now),
            Awaiting::Prepare { running, meaning, veil, left } => {
                self.prepare(running, (meaning, veil), left, payload, now)
            }
            Awaiting::FieldList(running) => self.field_list(running, payload, now),
            Awaiting::Fetch(running, masker) => self.fetch(running, masker, payload, now),
            Awaiting::File(results) => {
                // It has read enough, or cannot go on: its answer is the answer to the statement.
                self.awaiting = Awaiting::File(results);
                Err("an answer in the middle of the client's file".into())
            }
        }
    }

    fn read_error(&self, payload: &[u8]) -> Result<Option<(u16, String, Vec<u8>)>, String> {
        Ok(match upstream::error(payload, self.upstream).map_err(words)? {
            Ok(e) => Some((e.code, String::from_utf8_lossy(e.sqlstate).into_owned(), e.message.to_vec())),
            Err(_) => None,
        })
    }

    /// Passes an error on as the caller may see it; returns its SQLSTATE.
    fn pass_error(&mut self, payload: &[u8], meaning: Option<&Arc<Meaning>>, now: Timestamp) -> Answered {
        let Some((code, sqlstate, message)) = self.read_error(payload)? else {
            // Progress: what is being done is named by the server, with names of tables at most.
            let hides = meaning.is_some_and(|m| self.may_quote(m, now));
            if !hides {
                self.say(payload);
            }
            return Ok(());
        };
        let mut hides = meaning.is_some_and(|m| self.may_quote(m, now));
        if !hides && KEYS.contains(&code) && self.hides_anything(now) {
            // The same text stands in the warnings.
            self.touched_hidden = true;
            hides = true;
        }
        let shown = mask::error_text(code, &message, hides, &self.text_masking(now));
        self.say(&render::error(code, &sqlstate, &shown));
        Ok(())
    }

    fn failed(&mut self, running: &Running, payload: &[u8], now: Timestamp) -> Answered {
        self.pass_error(payload, Some(&running.meaning), now)?;
        let state = self.read_error(payload)?.map_or_else(String::new, |(_, state, _)| state);
        running.completed(&mut self.enforcer, &state, now);
        if self.beginning {
            // The schema it wanted to begin with is none of its: not let in.
            self.ended = true;
            let what = format!("the schema could not be chosen (SQLSTATE {state})");
            self.events.push_back(Event::End(SessionEnd::Fault { at_fault: "client", what }));
        }
        Ok(())
    }

    fn is_progress(&self, payload: &[u8]) -> bool {
        payload.first() == Some(&0xff) && matches!(upstream::error(payload, self.upstream), Ok(Err(_)))
    }

    /// Takes note of what an OK packet says of the session, and passes it on.
    fn pass_ok(&mut self, packet: &OkPacket<'_>) -> Answered {
        self.note_state(packet)?;
        self.say(&render::ok(packet, self.client));
        Ok(())
    }

    fn note_state(&mut self, packet: &OkPacket<'_>) -> Answered {
        self.status = packet.status & !(status::STATE_CHANGED | status::MORE_RESULTS | status::CURSOR_EXISTS);
        for change in upstream::changes(packet.state).map_err(words)? {
            match change {
                Change::Schema(name) => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    self.environment.schema = Some(Name::from(name.as_str())).filter(|n| !n.is_empty());
                }
                Change::Variable { name, value } => {
                    let value = String::from_utf8_lossy(value).into_owned();
                    self.variable(&String::from_utf8_lossy(name), Some(&value));
                }
                Change::Other(_) => {}
            }
        }
        // Flags that the server sets in every answer: they say what an untracked change has done.
        let escapes = has_no_escapes(&self.environment.sql_mode);
        let quotes = self.environment.sql_mode.contains("ANSI_QUOTES");
        let is_maria = self.upstream.is_mariadb();
        let differs = escapes != (packet.status & status::NO_BACKSLASH_ESCAPES != 0)
            || (is_maria && quotes != (packet.status & status::ANSI_QUOTES != 0));
        if differs {
            self.unreadable = Some("refused by Doorward: sql_mode is not what this session was seen to set".into());
        }
        Ok(())
    }

    /// A variable has a new value.
    fn variable(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else {
            if matches!(name, "sql_mode" | "names" | "character_set_client") {
                self.unreadable =
                    Some(format!("refused by Doorward: {name} was set to a value that is not known here"));
            }
            return;
        };
        match name {
            "sql_mode" => {
                let mode = value.to_ascii_uppercase();
                if *self.environment.sql_mode != *mode {
                    self.environment.sql_mode = mode.into();
                    self.forget_prepared();
                }
            }
            "names" | "character_set_client" => {
                let charset = value.to_ascii_lowercase();
                if *self.environment.charset != *charset {
                    self.environment.charset = charset.into();
                    self.forget_prepared();
                }
            }
            "character_set_results" => {
                // NULL, as the server tells it, or bytes as they are.
                let is_plain = matches!(value, "" | "NULL" | "binary");
                if self.untranslated != is_plain {
                    // Its rows come in the character set of now, and were described in that of then.
                    self.statements.values_mut().for_each(|prepared| prepared.cursor = None);
                }
                self.narrowed = !is_plain && value != "utf8mb4";
                self.untranslated = is_plain;
                if !is_plain && !readable_charset(value) {
                    self.unreadable =
                        Some(format!("refused by Doorward: results in the character set `{value}` cannot be masked"));
                }
            }
            _ => {}
        }
    }

    /// Forgets prepared statements: servers read a text anew when its tables have changed, under the mode and the character set of
    /// then, by which it may say something else.
    fn forget_prepared(&mut self) {
        self.sql_prepared.clear();
        for id in std::mem::take(&mut self.statements).into_keys() {
            let mut close = Vec::new();
            codec::put_message(&mut close, 0, &[&b"\x19"[..], &id.to_le_bytes()].concat());
            self.to_upstream.push_own(&GatewayMessage::authored(&close));
        }
    }

    /// What statements change, besides what the upstream reports.
    fn apply(&mut self, statement: &Part) {
        for effect in &statement.effects {
            match effect {
                // Reported by the upstream itself.
                Effect::Set { .. } => {}
                Effect::Prepare { name, analysis } if self.sql_prepared.len() < self.limits.names => {
                    self.sql_prepared.insert(name.clone(), Arc::clone(analysis));
                }
                // What is not remembered is opaque when it is executed.
                Effect::Prepare { name, .. } | Effect::Deallocate { name } => {
                    self.sql_prepared.remove(name);
                }
                Effect::SchemaChanged => self.schema_changed(),
                // Of the other dialect, or not followed here.
                Effect::ResetAll
                | Effect::Transaction(_)
                | Effect::ForgetPrepared
                | Effect::Declare { .. }
                | Effect::MadeTemporary { .. }
                | Effect::DroppedTemporary(_) => {}
            }
        }
    }

    fn schema_changed(&mut self) {
        self.heard.made();
        self.look_again();
    }

    /// This session reads the schema again, and no other has to.
    fn look_again(&mut self) {
        self.schema_due = true;
        self.freshness.ask();
        self.events.push_back(Event::Ask(Question::Schema { changed: true }));
    }

    /// A text has failed: which of its statements had been run by then is not known where they are run within others, and
    /// what fails may have done a part of its work. What they were to prepare is nothing that is known.
    fn unsettle(&mut self, running: &Running) {
        let meaning = Arc::clone(&running.meaning);
        let settled = if has_one_result_each(&meaning) { running.part } else { 0 };
        let mut changed = false;
        if meaning.parts.iter().any(may_set_a_part) {
            self.unreadable = Some(
                "refused by Doorward: a text has failed that changes how texts are read, and nobody was told how far it came; begin a new session"
                    .into(),
            );
            self.forget_prepared();
        }
        // A definition that fails by itself has changed nothing that shows more: at most, something is gone.
        let alone = has_one_result_each(&meaning) && meaning.parts.iter().all(|part| part.runs.is_empty());
        for effect in meaning.parts.iter().skip(settled).flat_map(|part| &part.effects) {
            match effect {
                Effect::Prepare { name, .. } | Effect::Deallocate { name } => {
                    self.sql_prepared.remove(name);
                }
                Effect::SchemaChanged => changed = true,
                // Settings are reported by the upstream itself; the others are of the other dialect, or not followed here.
                Effect::Set { .. }
                | Effect::ResetAll
                | Effect::Transaction(_)
                | Effect::ForgetPrepared
                | Effect::Declare { .. }
                | Effect::MadeTemporary { .. }
                | Effect::DroppedTemporary(_) => {}
            }
        }
        if changed && alone {
            self.look_again();
        } else if changed {
            self.schema_changed();
        }
    }

    fn own_answer(&mut self, own: Own, payload: &[u8], now: Timestamp) -> Answered {
        let failed = payload.first() == Some(&0xff);
        match own {
            Own::Reset if failed => return Err("the session could not be reset".into()),
            Own::Reset => {
                let packet = upstream::ok(payload, self.upstream).map_err(words)?;
                self.note_state(&packet)?;
                self.late = Some(self.own_ok());
                self.begin();
            }
            Own::Forget => {}
            Own::Track if failed || !self.upstream.has(Capabilities::SESSION_TRACK) => {
                return Err("it cannot report changes of sql_mode, character set and schema".into());
            }
            Own::Track => {
                // The probe tells what is; the changes in this answer are the gateway's own.
                upstream::ok(payload, self.upstream).map_err(words)?;
                let query = [self.query_head(), PROBE.as_bytes()].concat();
                self.own(Own::Probe { columns: None, ended: false }, &query);
            }
            Own::Probe { .. } if failed => return Err("the settings of the session could not be read".into()),
            Own::Probe { columns, ended } => self.probed(columns, ended, payload, now)?,
        }
        Ok(())
    }

    /// What stands before the text of a query of our own.
    pub(super) fn query_head(&self) -> &'static [u8] {
        if self.upstream.has(Capabilities::QUERY_ATTRIBUTES) { b"\x03\0\x01" } else { b"\x03" }
    }

    fn probed(&mut self, columns: Option<usize>, ended: bool, payload: &[u8], now: Timestamp) -> Answered {
        let waits_for_end = !self.upstream.has(Capabilities::DEPRECATE_EOF);
        let next = match columns {
            None => match upstream::first(payload, self.upstream).map_err(words)? {
                First::Columns(n) => Own::Probe { columns: Some(n), ended: false },
                First::Ok(_) | First::Error(_) | First::Progress(_) | First::LocalFile(_) => {
                    return Err("no settings where they were asked for".into());
                }
            },
            Some(0) if waits_for_end && !ended => Own::Probe { columns: Some(0), ended: true },
            Some(0) if upstream::is_end_of_rows(payload, self.upstream) => {
                let end = upstream::end_of_rows(payload, self.upstream).map_err(words)?;
                self.note_state(&end)?;
                self.begun(now);
                return Ok(());
            }
            Some(0) => {
                self.settings(payload).map_err(words)?;
                Own::Probe { columns: Some(0), ended: true }
            }
            Some(n) => Own::Probe { columns: Some(n - 1), ended: false },
        };
        self.awaiting = Awaiting::Own(next);
        Ok(())
    }

    fn settings(&mut self, row: &[u8]) -> Result<(), WireError> {
        let mut r = Reader::new(row, "settings");
        let mut cell = || text_cell(&mut r).map(|c| c.map(|c| String::from_utf8_lossy(c).into_owned()));
        let (mode, charset, schema) = (cell()?, cell()?, cell()?);
        r.all()?;
        self.variable("sql_mode", mode.as_deref());
        self.variable("character_set_client", charset.as_deref());
        // Log-in sets both alike, and what sets one of them later is told.
        self.narrowed = charset.as_deref() != Some("utf8mb4");
        self.untranslated = false;
        self.environment.schema = schema.as_deref().map(Name::from);
        Ok(())
    }

    /// The session is as after log-in: the client hears so, or its schema is chosen first.
    fn begun(&mut self, now: Timestamp) {
        let late = self.late.take();
        match self.database.take() {
            Some(database) if self.beginning => {
                let text = crate::facts::stands_for(&codec::client::Command::InitDb(&database));
                let read = text.is_some_and(|text| self.on_stand_in_text(&text, now));
                if !read && !self.ended {
                    // `USE` is never put off; a name that is no UTF-8 is no schema.
                    self.fatal("client", 1049, "42000", "Unknown database", now);
                }
            }
            Some(_) | None => {
                self.beginning = false;
                if let Some(late) = late {
                    self.say(&late);
                }
            }
        }
    }

    fn simple(&mut self, running: Running, after: After, payload: &[u8], now: Timestamp) -> Answered {
        match payload.first() {
            Some(0xff) => return self.failed(&running, payload, now),
            Some(0xfe) => {
                let end = upstream::end_of_rows(payload, self.upstream).map_err(words)?;
                self.note_state(&end)?;
                self.pass_end(&end);
            }
            Some(0x00) if after == After::Reset => {
                let packet = upstream::ok(payload, self.upstream).map_err(words)?;
                self.late = Some(render::ok(&packet, self.client));
                running.completed(&mut self.enforcer, "OK", now);
                self.begin();
                return Ok(());
            }
            Some(0x00) => {
                let packet = upstream::ok(payload, self.upstream).map_err(words)?;
                self.pass_ok(&packet)?;
            }
            Some(_) | None => return Err("an answer that is neither OK nor an error".into()),
        }
        running.completed(&mut self.enforcer, "OK", now);
        Ok(())
    }

    /// The end of columns or rows, in the shape that was agreed on.
    fn pass_end(&mut self, end: &OkPacket<'_>) {
        let packet = if self.client.has(Capabilities::DEPRECATE_EOF) {
            render::ok(end, self.client)
        } else {
            render::eof(end.status, end.warnings)
        };
        self.say(&packet);
    }

    fn results(&mut self, mut results: Box<Results>, payload: &[u8], now: Timestamp) -> Answered {
        if self.is_progress(payload) {
            self.pass_error(payload, Some(&results.running.meaning), now)?;
            self.awaiting = Awaiting::Results(results);
            return Ok(());
        }
        match std::mem::replace(&mut results.phase, Phase::First) {
            Phase::First => self.first(results, payload, now),
            Phase::Columns { left, mut definitions } => {
                upstream::column(payload, self.upstream, false).map_err(words)?;
                definitions.push(payload)?;
                self.say(payload);
                results.phase = match left {
                    0 | 1 if self.upstream.has(Capabilities::DEPRECATE_EOF) => {
                        Phase::Rows(self.result_masker(&mut results, definitions, now)?)
                    }
                    0 | 1 => Phase::ColumnsEnd(definitions),
                    _ => Phase::Columns { left: left - 1, definitions },
                };
                self.awaiting = Awaiting::Results(results);
                Ok(())
            }
            Phase::ColumnsEnd(definitions) => {
                let end = upstream::end_of_rows(payload, self.upstream).map_err(words)?;
                self.pass_end(&end);
                let masker = self.result_masker(&mut results, definitions, now)?;
                // A procedure's own cursor is none of the caller's.
                let is_open = end.status & (status::CURSOR_EXISTS | status::MORE_RESULTS) == status::CURSOR_EXISTS;
                if is_open && results.statement.is_some() {
                    return self.end_of_result(results, &end, true, now);
                }
                results.phase = Phase::Rows(masker);
                self.awaiting = Awaiting::Results(results);
                Ok(())
            }
            Phase::Rows(masker) => self.row(results, masker, payload, now),
        }
    }

    fn first(&mut self, mut results: Box<Results>, payload: &[u8], now: Timestamp) -> Answered {
        match upstream::first(payload, self.upstream).map_err(words)? {
            First::Ok(packet) => {
                self.pass_ok(&packet)?;
                self.end_of_result(results, &packet, false, now)
            }
            First::Error(_) => {
                self.unsettle(&results.running);
                self.failed(&results.running, payload, now)
            }
            First::Progress(_) => Err("progress out of place".into()),
            First::LocalFile(name) => {
                let meaning = Arc::clone(&results.running.meaning);
                // INVARIANT: only the file that the statement names: a server may ask for any.
                let asked = meaning.parts.get(results.running.part).and_then(|s| s.upload.as_ref());
                if asked.is_none_or(|asked| asked.as_bytes() != name) {
                    return Err("it asks for a file of the client that the statement does not name".into());
                }
                self.say(payload);
                self.files = Files { asked: self.files.asked + 1, first: self.sequence };
                self.awaiting = Awaiting::File(results);
                Ok(())
            }
            First::Columns(total) => {
                self.say(payload);
                results.phase = Phase::Columns { left: total, definitions: Definitions::default() };
                self.awaiting = Awaiting::Results(results);
                Ok(())
            }
        }
    }

    fn row(&mut self, mut results: Box<Results>, masker: Arc<RowMasker>, payload: &[u8], now: Timestamp) -> Answered {
        if payload.first() == Some(&0xff) {
            self.unsettle(&results.running);
            return self.failed(&results.running, payload, now);
        }
        if upstream::is_end_of_rows(payload, self.upstream) {
            let end = upstream::end_of_rows(payload, self.upstream).map_err(words)?;
            self.note_state(&end)?;
            self.pass_end(&end);
            return self.end_of_result(results, &end, end.status & status::CURSOR_EXISTS != 0, now);
        }
        self.pass_row(&masker, payload, &mut results.running)?;
        results.phase = Phase::Rows(masker);
        self.awaiting = Awaiting::Results(results);
        Ok(())
    }

    fn pass_row(&mut self, masker: &RowMasker, payload: &[u8], running: &mut Running) -> Answered {
        let row = masker.row(payload, &mut running.masked).map_err(words)?;
        running.rows += 1;
        self.say(row.as_deref().unwrap_or(payload));
        Ok(())
    }

    fn result_masker(
        &mut self,
        results: &mut Results,
        columns: Definitions,
        now: Timestamp,
    ) -> Result<Arc<RowMasker>, String> {
        results.cursor = results.statement.is_some().then(|| columns.clone());
        let Running { meaning, part, .. } = &results.running;
        self.row_masker((meaning, *part, results.binary), columns, now).map_err(words)
    }

    fn end_of_result(
        &mut self,
        mut results: Box<Results>,
        end: &OkPacket<'_>,
        has_cursor: bool,
        now: Timestamp,
    ) -> Answered {
        if let (Some(columns), Some(id)) = (results.cursor.take().filter(|_| has_cursor), results.statement)
            && let Some(prepared) = self.statements.get_mut(&id)
        {
            prepared.cursor = Some(columns);
        }
        let more = end.status & status::MORE_RESULTS != 0;
        let meaning = Arc::clone(&results.running.meaning);
        if has_one_result_each(&meaning) {
            if let Some(part) = meaning.parts.get(results.running.part) {
                self.apply(part);
            }
            results.running.part += 1;
        } else if !more {
            meaning.parts.iter().for_each(|part| self.apply(part));
        }
        if more {
            results.phase = Phase::First;
            self.awaiting = Awaiting::Results(results);
            return Ok(());
        }
        self.beginning = false;
        results.running.completed(&mut self.enforcer, "OK", now);
        Ok(())
    }

    fn prepare(
        &mut self,
        running: Running,
        (meaning, veil): (Arc<Meaning>, Option<Veil>),
        left: Option<(usize, usize)>,
        payload: &[u8],
        now: Timestamp,
    ) -> Answered {
        let ends = usize::from(!self.upstream.has(Capabilities::DEPRECATE_EOF));
        let left = match left {
            None if payload.first() == Some(&0xff) => return self.failed(&running, payload, now),
            None => {
                let ok = upstream::prepare_ok(payload).map_err(words)?;
                let parameters = usize::from(ok.parameters);
                let prepared = Prepared {
                    meaning: Arc::clone(&meaning),
                    veil: veil.clone(),
                    catalogue: Arc::clone(self.reveals.catalogue()),
                    parameters,
                    types: Vec::new(),
                    ahead: Default::default(),
                    cursor: None,
                };
                self.statements.insert(ok.statement, prepared);
                self.last_prepared = Some(ok.statement);
                let of = |n: u16| if n == 0 { 0 } else { usize::from(n) + ends };
                (of(ok.parameters), of(ok.columns))
            }
            Some((0, columns)) => {
                self.definition(payload, columns, ends)?;
                (0, columns - 1)
            }
            Some((parameters, columns)) => {
                self.definition(payload, parameters, ends)?;
                (parameters - 1, columns)
            }
        };
        self.say(payload);
        if left == (0, 0) {
            running.completed(&mut self.enforcer, "OK", now);
        } else {
            self.awaiting = Awaiting::Prepare { running, meaning, veil, left: Some(left) };
        }
        Ok(())
    }

    /// A definition that is passed as it is has to be one; the last of them is the end, where there is one.
    fn definition(&self, payload: &[u8], left: usize, ends: usize) -> Answered {
        if left == ends && ends == 1 {
            return upstream::end_of_rows(payload, self.upstream).map(drop).map_err(words);
        }
        upstream::column(payload, self.upstream, false).map(drop).map_err(words)
    }

    fn field_list(&mut self, running: Running, payload: &[u8], now: Timestamp) -> Answered {
        if payload.first() == Some(&0xff) {
            return self.failed(&running, payload, now);
        }
        if upstream::is_end_of_rows(payload, self.upstream) {
            let end = upstream::end_of_rows(payload, self.upstream).map_err(words)?;
            self.note_state(&end)?;
            self.pass_end(&end);
            running.completed(&mut self.enforcer, "OK", now);
            return Ok(());
        }
        // Its default value is part of the definition of the table, which `SHOW COLUMNS` was allowed to see.
        upstream::column(payload, self.upstream, true).map_err(words)?;
        self.say(payload);
        self.awaiting = Awaiting::FieldList(running);
        Ok(())
    }

    fn fetch(&mut self, mut running: Running, masker: Arc<RowMasker>, payload: &[u8], now: Timestamp) -> Answered {
        if payload.first() == Some(&0xff) {
            return self.failed(&running, payload, now);
        }
        if upstream::is_end_of_rows(payload, self.upstream) {
            let end = upstream::end_of_rows(payload, self.upstream).map_err(words)?;
            self.note_state(&end)?;
            self.pass_end(&end);
            running.completed(&mut self.enforcer, "OK", now);
            return Ok(());
        }
        self.pass_row(&masker, payload, &mut running)?;
        self.awaiting = Awaiting::Fetch(running, masker);
        Ok(())
    }
}

fn has_no_escapes(sql_mode: &str) -> bool {
    sql_mode.contains("NO_BACKSLASH_ESCAPES")
}

fn words(e: WireError) -> String {
    e.to_string()
}

/// Whether a statement that fails may have changed how texts are read by then: one that sets that and something else.
fn may_set_a_part(part: &Part) -> bool {
    let sets_more = part.text.as_deref().is_none_or(|text| text.contains(&b','));
    &*part.command != "USE" && facts::changes_reading(part) && (&*part.command != "SET" || sets_more)
}
