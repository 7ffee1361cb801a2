//! A stream as lines of text.
use crate::{SafeTerminal, Utf8, printable};

/// The longest line that is shown, in bytes.
const LONGEST_LINE: usize = 4 * 1024;

/// One stream while it comes in.
#[derive(Debug)]
pub struct Lines {
    mark: char,
    reader: Reader,
    line: String,
    shown: usize,
    /// What is not shown.
    lines: u64,
    bytes: u64,
    /// No text: bytes are counted.
    binary: bool,
}

/// A terminal's bytes are text with sequences, which are left out; a program's are shown as they are.
#[derive(Debug)]
enum Reader {
    Terminal(SafeTerminal),
    Plain(Utf8),
}

impl Reader {
    fn text(&mut self, bytes: &[u8]) -> String {
        match self {
            Self::Plain(utf8) => utf8.push(bytes),
            Self::Terminal(terminal) => {
                let mut text = String::new();
                terminal.push(bytes, &mut text);
                text
            }
        }
    }
}

impl Lines {
    /// A stream whose lines begin with `mark`, of a terminal or of a program.
    pub fn new(mark: char, terminal: bool) -> Self {
        let reader = if terminal { Reader::Terminal(SafeTerminal::text()) } else { Reader::Plain(Utf8::new()) };
        Self { mark, reader, line: String::new(), shown: 0, lines: 0, bytes: 0, binary: false }
    }

    /// From here on bytes are counted, not shown.
    pub const fn without_text(&mut self) {
        self.binary = true;
    }

    /// Takes bytes; shows the lines that are complete, but no more than `most` of a program.
    pub fn feed(&mut self, bytes: &[u8], most: usize, show: &mut dyn FnMut(String)) {
        self.binary |= matches!(self.reader, Reader::Plain(_)) && bytes.contains(&0);
        if self.binary {
            self.bytes = self.bytes.saturating_add(bytes.len() as u64);
            return;
        }
        let text = self.reader.text(bytes);
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') || self.line.len() > LONGEST_LINE {
                self.end_line(most, show);
            }
        }
    }

    fn end_line(&mut self, most: usize, show: &mut dyn FnMut(String)) {
        let line = std::mem::take(&mut self.line);
        // A terminal is read from its beginning to its end.
        if self.shown >= most && matches!(self.reader, Reader::Plain(_)) {
            self.lines = self.lines.saturating_add(1);
            self.bytes = self.bytes.saturating_add(line.len() as u64);
            return;
        }
        self.shown += 1;
        show(format!("{} {}", self.mark, printable(line.trim_end_matches(['\r', '\n']))));
    }

    /// What is left, and how much was not shown.
    pub fn finish(&mut self, most: usize, show: &mut dyn FnMut(String)) {
        if !self.line.is_empty() {
            self.end_line(most, show);
        }
        match (std::mem::take(&mut self.lines), std::mem::take(&mut self.bytes)) {
            (0, 0) => {}
            (0, bytes) => show(format!("{} ({bytes} bytes that are no text)", self.mark)),
            (lines, bytes) => show(format!("{} ({lines} more lines, {bytes} bytes)", self.mark)),
        }
        self.shown = 0;
    }
}
