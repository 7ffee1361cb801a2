//! What replays of all SQL protocols share: texts that a terminal may be shown, and result tables.
//!
//! What is shown comes from both peers and goes to a terminal: it is stripped of everything that a terminal would obey.
use std::fmt::{self, Debug};

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client.
    Client,
    /// To the client.
    Upstream,
}

/// How a session is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rows shown of each result.
    pub rows: usize,
}

/// Turns recorded bytes, cut anywhere, into lines for people.
pub trait Replay: Debug {
    /// Takes recorded bytes, and gives what can be shown of them.
    fn feed(&mut self, side: Side, bytes: &[u8]) -> Vec<Shown>;
    /// Bytes of the client were left out of the recording: messages of a log-in, or what is behind their heads.
    fn skip(&mut self, bytes: u64) -> Vec<Shown>;
    /// Bytes are missing: what was half read is dropped, and the next bytes are taken to begin a message.
    fn gap(&mut self);
    /// The recording says what both sides had agreed to speak.
    fn agreed(&mut self, _capabilities: u64) {}
}

/// What a replay shows next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What the client sent (`> …`), what it got (`< …`), or a remark.
    Line(String),
    /// A result.
    Rows(Rows),
}

/// A result, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The names of its columns.
    pub names: Vec<String>,
    /// Its first rows.
    pub rows: Vec<Vec<String>>,
    /// How many more there were.
    pub more: u64,
}

impl From<String> for Shown {
    fn from(line: String) -> Self {
        Self::Line(line)
    }
}

impl From<&str> for Shown {
    fn from(line: &str) -> Self {
        Self::Line(line.to_owned())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.write_str(line),
            Self::Rows(rows) => write!(f, "\n{}", rows.drawn()),
        }
    }
}

impl PartialEq<&str> for Shown {
    fn eq(&self, other: &&str) -> bool {
        self.to_string() == **other
    }
}

/// What a replay has to show so far.
#[derive(Debug, Default)]
pub struct Script(pub Vec<Shown>);

impl Script {
    /// One more.
    pub fn push(&mut self, shown: impl Into<Shown>) {
        self.0.push(shown.into());
    }
}

/// The widest cell that is shown, in characters.
pub const WIDEST: usize = 60;
/// How much of a statement is shown, in bytes.
const LONGEST_TEXT: usize = 64 * 1024;

/// A text that cannot play tricks on a terminal: control characters and those that turn the direction
/// of writing are shown by their numbers. `lines` keeps line ends and tabs.
pub fn printable(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' if lines => out.push(c),
            '\n' => out.push('⏎'),
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push_str(&c.escape_unicode().to_string());
            }
            c => out.push(c),
        }
    }
    out
}

/// The same of bytes.
pub fn printable_bytes(text: &[u8], lines: bool) -> String {
    printable(&String::from_utf8_lossy(text), lines)
}

/// A statement's text; the beginning of a very long one.
pub fn statement(text: &[u8]) -> String {
    match text.get(..LONGEST_TEXT) {
        Some(start) if text.len() > LONGEST_TEXT => {
            format!("{}… ({} bytes in all)", printable_bytes(start, true), text.len())
        }
        _ => printable_bytes(text, true),
    }
}

/// A cell no wider than is shown.
pub fn clipped(shown: String) -> String {
    if shown.chars().count() > WIDEST { shown.chars().take(WIDEST - 1).chain(['…']).collect() } else { shown }
}

/// A result while it comes in.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    more: u64,
}

impl Table {
    /// Takes a row; those beyond `limit` are counted, and not read.
    pub fn push(&mut self, limit: usize, row: impl FnOnce() -> Vec<String>) {
        if self.rows.len() >= limit {
            self.skip_row();
        } else {
            self.rows.push(row());
        }
    }

    /// A row that is not kept.
    pub const fn skip_row(&mut self) {
        self.more = self.more.saturating_add(1);
    }

    /// Whether no row has come.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.more == 0
    }

    /// The result under these names; none where there is nothing to show.
    pub fn shown(self, names: Vec<String>) -> Option<Shown> {
        let rows = Rows { names, rows: self.rows, more: self.more };
        // Rows without columns are as good as none.
        let nothing = rows.names.is_empty() && rows.rows.iter().all(Vec::is_empty) && rows.more == 0;
        (!nothing).then_some(Shown::Rows(rows))
    }
}

impl Rows {
    /// An aligned table, as psql draws it.
    pub fn drawn(&self) -> String {
        let names = self.names.as_slice();
        let columns = self.rows.iter().map(Vec::len).chain([names.len()]).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for line in self.rows.iter().map(Vec::as_slice).chain([names]) {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |cells: &[String]| {
            let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!(" {c:<w$} ", w = *w)).collect();
            padded.join("|").trim_end().to_owned()
        };
        let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
        let mut text = Vec::new();
        if columns > 0 {
            text.extend([line(names), rule.join("+")]);
            text.extend(self.rows.iter().map(|r| line(r)));
        }
        if self.more > 0 {
            text.push(format!("({} more rows)", self.more));
        }
        text.join("\n")
    }
}
