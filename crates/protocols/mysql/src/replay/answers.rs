//! The upstream's side of a replay.
use super::{Field, MOST_NAMES, Owed, Place, Prepared, Replayer};
use crate::{
    capabilities::Capabilities,
    codec::{
        WireError,
        rows::{self, Nulls, text_cell},
        upstream::{self, First, OkPacket, status},
    },
};
use doorward_sql_session::replay::{Script, clipped, printable, printable_bytes};
use doorward_wire::Reader;

impl Replayer {
    pub(super) fn of_upstream(&mut self, payload: &[u8], out: &mut Script) -> Result<(), WireError> {
        match std::mem::take(&mut self.place) {
            Place::First => self.first(payload, out),
            Place::Columns(left) => self.column(left, payload, out),
            Place::Rows => self.row(payload, out),
            Place::Definitions(left) => {
                if left > 1 {
                    self.place = Place::Definitions(left - 1);
                } else {
                    self.owed.pop_front();
                }
                Ok(())
            }
        }
    }

    fn first(&mut self, payload: &[u8], out: &mut Script) -> Result<(), WireError> {
        if payload.first() == Some(&0xff) && !self.error(payload, out)? {
            return Ok(());
        }
        match self.owed.front() {
            // The end of log-in, or a last word before the connection is closed.
            None => {}
            Some(_) if payload.first() == Some(&0xff) => drop(self.owed.pop_front()),
            Some(Owed::Login) if payload.first() != Some(&0) => {}
            Some(Owed::Login) => {
                self.owed.pop_front();
                out.push("< OK");
            }
            Some(Owed::Simple) => {
                self.owed.pop_front();
                let is_text = !matches!(payload.first(), Some(0 | 0xfe));
                out.push(if is_text { format!("< {}", printable_bytes(payload, false)) } else { "< OK".to_owned() });
            }
            Some(Owed::Prepare(_)) => self.prepared(payload)?,
            Some(Owed::FieldList | Owed::Fetch(_)) => return self.row(payload, out),
            Some(Owed::Results(_)) => self.result(payload, out)?,
        }
        Ok(())
    }

    fn result(&mut self, payload: &[u8], out: &mut Script) -> Result<(), WireError> {
        match upstream::first(payload, self.capabilities)? {
            First::Ok(ok) => {
                out.push(format!("< {}", words(&ok)));
                self.ended(&ok);
            }
            First::Columns(count) => {
                self.fields.clear();
                self.place = Place::Columns(count);
            }
            First::LocalFile(name) => {
                out.push(format!("< (asks for the file {})", printable_bytes(name, false)));
                self.file = Some(0);
            }
            First::Error(_) | First::Progress(_) => {}
        }
        Ok(())
    }

    fn prepared(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let ok = upstream::prepare_ok(payload)?;
        let Some(Owed::Prepare(text)) = self.owed.front_mut() else { return Ok(()) };
        let (text, parameters) = (std::mem::take(text), usize::from(ok.parameters));
        if self.statements.len() >= MOST_NAMES {
            self.statements.clear();
        }
        self.statements.insert(ok.statement, Prepared { text, parameters, ..Prepared::default() });
        self.last_prepared = ok.statement;
        let ends = usize::from(!self.capabilities.has(Capabilities::DEPRECATE_EOF));
        let of = |n: u16| if n == 0 { 0 } else { usize::from(n) + ends };
        match of(ok.parameters) + of(ok.columns) {
            0 => drop(self.owed.pop_front()),
            left => self.place = Place::Definitions(left),
        }
        Ok(())
    }

    fn column(&mut self, left: usize, payload: &[u8], out: &mut Script) -> Result<(), WireError> {
        let waits_for_end = !self.capabilities.has(Capabilities::DEPRECATE_EOF);
        if left == 0 {
            let end = upstream::end_of_rows(payload, self.capabilities)?;
            // A procedure's own cursor is none of the caller's.
            if end.status & status::CURSOR_EXISTS != 0 && matches!(self.owed.front(), Some(Owed::Results(Some(_)))) {
                self.keep_cursor();
                out.push("< (a cursor is open)");
                self.ended(&end);
            } else {
                self.place = Place::Rows;
            }
            return Ok(());
        }
        let column = upstream::column(payload, self.capabilities, false)?;
        let name = clipped(printable_bytes(column.name, false));
        self.fields.push(Field { name, kind: column.kind, unsigned: column.is_unsigned() });
        self.place = if left > 1 || waits_for_end { Place::Columns(left - 1) } else { Place::Rows };
        Ok(())
    }

    fn row(&mut self, payload: &[u8], out: &mut Script) -> Result<(), WireError> {
        if payload.first() == Some(&0xff) {
            if self.error(payload, out)? {
                self.owed.pop_front();
            } else {
                self.place = Place::Rows;
            }
            return Ok(());
        }
        if upstream::is_end_of_rows(payload, self.capabilities) {
            let end = upstream::end_of_rows(payload, self.capabilities)?;
            if end.status & status::CURSOR_EXISTS != 0 && matches!(self.owed.front(), Some(Owed::Results(Some(_)))) {
                self.keep_cursor();
                out.push("< (a cursor is open)");
            } else {
                self.show_table(out);
                out.push(format!("< {}", words(&end)));
            }
            self.ended(&end);
            return Ok(());
        }
        self.place = Place::Rows;
        let (fields, binary) = match self.owed.front() {
            Some(Owed::Fetch(id)) => {
                let cursor = self.statements.get(id).map(|p| p.cursor.clone()).unwrap_or_default();
                self.fields = cursor;
                (&self.fields, true)
            }
            Some(Owed::Results(Some(_))) => (&self.fields, true),
            Some(Owed::FieldList) => return Ok(()),
            Some(_) | None => (&self.fields, false),
        };
        let mut wrong = None;
        self.table.push(self.options.rows, || {
            let read = if binary { binary_row(payload, fields) } else { text_row(payload, fields.len()) };
            read.unwrap_or_else(|e| {
                wrong = Some(e);
                Vec::new()
            })
        });
        wrong.map_or(Ok(()), Err)
    }

    fn keep_cursor(&mut self) {
        if let Some(Owed::Results(Some(id))) = self.owed.front()
            && let Some(prepared) = self.statements.get_mut(id)
        {
            prepared.cursor = self.fields.clone();
        }
    }

    /// A result is over; more of them follow, or the command is answered.
    fn ended(&mut self, ok: &OkPacket<'_>) {
        self.place = Place::First;
        if ok.status & status::MORE_RESULTS == 0 {
            self.owed.pop_front();
        }
    }

    /// Shows an error; false: it was a report of progress.
    fn error(&mut self, payload: &[u8], out: &mut Script) -> Result<bool, WireError> {
        let Ok(error) = upstream::error(payload, self.capabilities)? else { return Ok(false) };
        let (state, message) = (printable_bytes(error.sqlstate, false), printable_bytes(error.message, true));
        let code = error.code;
        self.show_table(out);
        out.push(format!("< ERROR {code} ({state}): {message}"));
        self.file = None;
        Ok(true)
    }

    fn show_table(&mut self, out: &mut Script) {
        let names: Vec<String> = std::mem::take(&mut self.fields).into_iter().map(|f| f.name).collect();
        if let Some(rows) = std::mem::take(&mut self.table).shown(names) {
            out.push(rows);
        }
    }
}

fn words(ok: &OkPacket<'_>) -> String {
    let mut out = "OK".to_owned();
    if ok.affected > 0 {
        out.push_str(&format!(", {} rows affected", ok.affected));
    }
    if ok.warnings > 0 {
        out.push_str(&format!(", {} warnings", ok.warnings));
    }
    out
}

fn text_row(payload: &[u8], columns: usize) -> Result<Vec<String>, WireError> {
    let mut r = Reader::new(payload, "row");
    (0..columns).map(|_| text_cell(&mut r).map(|cell| cell.map_or_else(|| "NULL".into(), shown))).collect()
}

fn binary_row(payload: &[u8], fields: &[Field]) -> Result<Vec<String>, WireError> {
    let mut r = Reader::new(payload, "row");
    r.u8()?;
    let nulls = Nulls::read(&mut r, fields.len(), 2)?;
    let mut out = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        if nulls.is_null(i) {
            out.push("NULL".into());
            continue;
        }
        let value = rows::value(&mut r, field.kind, field.unsigned)?;
        let text = || clipped(printable(&value.to_string(), false));
        out.push(if let rows::Value::Bytes(bytes) = value { shown(bytes) } else { text() });
    }
    Ok(out)
}

/// Text, or bytes that are none in hexadecimal, as the clients show them.
fn shown(cell: &[u8]) -> String {
    use std::fmt::Write as _;
    let start = cell.get(..240).unwrap_or(cell);
    if std::str::from_utf8(cell).is_ok() || start.len() < cell.len() {
        return clipped(printable_bytes(start, false));
    }
    let mut out = "0x".to_owned();
    for byte in start {
        let _never = write!(out, "{byte:02X}");
    }
    clipped(out)
}
