//! The lines of an asciicast, version 3 (<https://docs.asciinema.org/manual/asciicast/v3/>).
//!
//! Output has to pass through [`SafeTerminal`](crate::SafeTerminal) before: players write it to terminals as it is.
use doorward_model::Timestamp;
use serde_json::{Value, json};

/// Lines that wait until it is known what the header says.
const MOST_WAITING: usize = 1000;

/// The size of a terminal that no one named.
const COLUMNS: u32 = 80;
const ROWS: u32 = 24;

/// Makes lines of an asciicast, without line ends.
#[derive(Debug)]
pub struct Asciicast {
    started: Timestamp,
    last: Timestamp,
    size: (u32, u32),
    term: Option<String>,
    command: Option<String>,
    /// Lines before the header; `None` once that was given out.
    waiting: Option<Vec<String>>,
    exited: bool,
    /// Whether a terminal is at the other end, which sees to line ends itself.
    terminal: bool,
    /// Whether the last that was written is a carriage return.
    returned: bool,
}

impl Asciicast {
    /// A cast that begins then.
    pub const fn new(started: Timestamp) -> Self {
        Self {
            started,
            last: started,
            size: (COLUMNS, ROWS),
            term: None,
            command: None,
            waiting: Some(Vec::new()),
            exited: false,
            terminal: false,
            returned: false,
        }
    }

    /// Whether the header was given out.
    pub const fn has_begun(&self) -> bool {
        self.waiting.is_none()
    }

    /// The cast begins at another time.
    pub const fn starts(&mut self, time: Timestamp) {
        (self.started, self.last) = (time, time);
    }

    /// What the header says of the terminal's kind.
    pub fn term(&mut self, name: &str) {
        self.term = Some(name.to_owned());
    }

    /// The terminal's size as the header says it.
    pub const fn size(&mut self, columns: u32, rows: u32) {
        self.size = (columns, rows);
    }

    /// What the header says was run.
    pub fn command(&mut self, command: &str) {
        self.command = Some(command.to_owned());
    }

    /// What is written comes from a terminal. What comes from none has line feeds alone, at which players do not go back
    /// to the beginning of a line: they are written with a carriage return.
    pub const fn terminal(&mut self) {
        self.terminal = true;
    }

    fn with_returns(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if c == '\n' && !self.returned {
                out.push('\r');
            }
            self.returned = c == '\r';
            out.push(c);
        }
        out
    }

    /// Text that was read (`i`) or written (`o`); before the first of it stands the header.
    pub fn text(&mut self, time: Timestamp, code: &str, text: &str, out: &mut Vec<String>) {
        if text.is_empty() {
            return;
        }
        self.begin(out);
        if code == "o" && !self.terminal {
            let text = self.with_returns(text);
            self.line(time, code, &text, out);
        } else {
            self.line(time, code, text, out);
        }
    }

    /// The terminal has another size.
    pub fn resize(&mut self, time: Timestamp, columns: u32, rows: u32, out: &mut Vec<String>) {
        self.line(time, "r", &format!("{columns}x{rows}"), out);
    }

    /// Something else that is to be seen at its time.
    pub fn marker(&mut self, time: Timestamp, text: &str, out: &mut Vec<String>) {
        self.line(time, "m", text, out);
    }

    /// The command has ended. The first time counts.
    pub fn exit(&mut self, time: Timestamp, status: &str, out: &mut Vec<String>) {
        if !std::mem::replace(&mut self.exited, true) {
            self.begin(out);
            self.line(time, "x", status, out);
        }
    }

    /// Gives out the header and what waited for it, if that was not done.
    pub fn begin(&mut self, out: &mut Vec<String>) {
        let Some(waiting) = self.waiting.take() else { return };
        let mut term = json!({ "cols": self.size.0, "rows": self.size.1 });
        if let (Some(name), Value::Object(fields)) = (&self.term, &mut term) {
            fields.insert("type".to_owned(), json!(name));
        }
        // By hand: the version comes first, as tools that look at the beginning of files expect.
        let seconds = self.started.as_micros() / 1_000_000;
        let command = self.command.as_ref().map(|c| format!(r#","command":{}"#, json!(c))).unwrap_or_default();
        out.push(format!(r#"{{"version":3,"term":{term},"timestamp":{seconds}{command}}}"#));
        out.extend(waiting);
    }

    /// `[interval, code, data]`: seconds since the line before.
    fn line(&mut self, time: Timestamp, code: &str, data: &str, out: &mut Vec<String>) {
        let micros = time.as_micros().saturating_sub(self.last.as_micros());
        let line = format!("[{}.{:06}, {}, {}]", micros / 1_000_000, micros % 1_000_000, json!(code), json!(data));
        match &mut self.waiting {
            Some(waiting) if waiting.len() < MOST_WAITING => waiting.push(line),
            Some(_) => return,
            None => out.push(line),
        }
        self.last = time.max(self.last);
    }
}
