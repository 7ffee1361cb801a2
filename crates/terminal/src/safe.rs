//! What a recording may do to the terminal that plays it: draw.
//!
//! Passed are text, line ends, tabs, backspaces; colours; movements of the cursor, erasing, inserting, deleting,
//! scrolling; margins, the other screen, line wrapping, hiding the cursor; the two common character sets. All
//! else is dropped: control strings (titles, the clipboard, hyperlinks, images), questions that a terminal
//! answers as if typed, windows, key and mouse modes, resets, the 8-bit forms of all of these.
use crate::{Utf8, turns_direction};

/// The longest sequence that is passed.
const LONGEST: usize = 64;
/// The longest control string that is dropped as one; an image has less.
const LONGEST_STRING: usize = 8 * 1024 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// Intermediates of an escape sequence, the first of them.
    Middle(char),
    Control,
    /// In a control sequence that is too long.
    Lost,
    /// In a control string: whether BEL ends it, and whether ESC was last.
    String {
        bell: bool,
        escape: bool,
    },
}

/// How much of a terminal's language passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passes {
    Drawing,
    Text,
}

/// Lets through what is harmless in the output of programs.
#[derive(Debug)]
pub struct SafeTerminal {
    passes: Passes,
    utf8: Utf8,
    state: State,
    /// Parameters of the control sequence.
    parameters: String,
    /// Characters of the control string.
    passed: usize,
    alternate: bool,
}

impl Default for SafeTerminal {
    fn default() -> Self {
        Self::new()
    }
}

impl SafeTerminal {
    /// Passes what draws.
    pub const fn new() -> Self {
        Self::of(Passes::Drawing)
    }

    /// Passes text and line ends alone.
    pub const fn text() -> Self {
        Self::of(Passes::Text)
    }

    const fn of(passes: Passes) -> Self {
        let utf8 = Utf8::new();
        Self { passes, utf8, state: State::Ground, parameters: String::new(), passed: 0, alternate: false }
    }

    /// Takes bytes, cut anywhere, and appends what passes.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        for c in self.utf8.push(bytes).chars() {
            self.char(c, out);
        }
    }

    /// What makes the terminal usable after the last byte, whatever was drawn.
    pub const fn reset(&self) -> &'static str {
        if self.alternate {
            "\x1b[?1049l\x1b[0m\x1b(B\x1b[r\x1b[4l\x1b[?7h\x1b[?25h\x1b[999;1H\r\n"
        } else {
            "\x1b[0m\x1b(B\x1b[r\x1b[4l\x1b[?7h\x1b[?25h\x1b[999;1H\r\n"
        }
    }

    fn char(&mut self, c: char, out: &mut String) {
        match (self.state, c) {
            (State::String { bell, escape }, _) => self.string(c, bell, escape, out),
            (_, '\x18' | '\x1a') => self.state = State::Ground,
            (_, '\x1b') => self.state = State::Escape,
            (State::Ground, _) => self.plain(c, out),
            // A terminal obeys control characters within sequences; nothing needs them there.
            (_, c) if is_control(c) => {}
            (State::Escape, _) => self.escape(c, out),
            (State::Middle(first), '0'..='~') => {
                if self.passes == Passes::Drawing && first == '(' && matches!(c, '0' | 'B') {
                    out.extend(['\x1b', '(', c]);
                }
                self.state = State::Ground;
            }
            (State::Middle(_), ' '..='/') => self.state = State::Middle('\0'),
            (State::Control | State::Lost, '@'..='~') => {
                if self.state == State::Control {
                    self.control(c, out);
                }
                self.state = State::Ground;
            }
            (State::Control, ' '..='?') if self.parameters.len() < LONGEST => self.parameters.push(c),
            (State::Control | State::Lost, ' '..='?') => self.state = State::Lost,
            // What is no sequence is dropped as far as it looked like one.
            (State::Middle(_) | State::Control | State::Lost, _) => {
                self.state = State::Ground;
                self.plain(c, out);
            }
        }
    }

    fn plain(&mut self, c: char, out: &mut String) {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' | '\x08' if self.passes == Passes::Drawing => out.push(c),
            // C1, and what turns the direction of writing.
            '\u{80}'..='\u{9f}' => out.push(char::REPLACEMENT_CHARACTER),
            c if is_control(c) || turns_direction(c) => {}
            c => out.push(c),
        }
    }

    fn escape(&mut self, c: char, out: &mut String) {
        self.state = match c {
            '[' => {
                self.parameters.clear();
                State::Control
            }
            ']' | 'P' | 'X' | '^' | '_' => {
                self.passed = 0;
                State::String { bell: c == ']', escape: false }
            }
            ' '..='/' => State::Middle(c),
            // Save and restore the cursor, index, next line, reverse index.
            '7' | '8' | 'D' | 'E' | 'M' if self.passes == Passes::Drawing => {
                out.extend(['\x1b', c]);
                State::Ground
            }
            _ => State::Ground,
        };
    }

    fn string(&mut self, c: char, bell: bool, escape: bool, out: &mut String) {
        self.passed += 1;
        self.state = match c {
            '\x18' | '\x1a' => State::Ground,
            '\x07' if bell => State::Ground,
            '\\' if escape => State::Ground,
            // ESC ends the string, and begins a sequence.
            _ if escape => {
                self.state = State::Escape;
                return self.char(c, out);
            }
            _ if self.passed > LONGEST_STRING => State::Ground,
            c => State::String { bell, escape: c == '\x1b' },
        };
    }

    fn control(&mut self, last: char, out: &mut String) {
        if self.passes == Passes::Text {
            return;
        }
        let parameters = self.parameters.as_str();
        let numbers = parameters.bytes().all(|b| b.is_ascii_digit() || matches!(b, b';' | b':'))
            && parameters.split([';', ':']).all(|n| n.len() <= 4);
        let single = !parameters.contains([';', ':']);
        let passes = match last {
            'm' | 'A'..='H' | 'f' | 'd' | 'e' | 'a' | '`' => numbers,
            // With five parameters, `T` begins tracking the mouse; with two, `s` sets margins.
            'I' | 'J' | 'K' | 'L' | 'M' | 'P' | 'S' | 'T' | 'X' | 'Z' | '@' | 'b' => numbers && single,
            'r' => numbers,
            's' | 'u' => parameters.is_empty(),
            'h' | 'l' => matches!(parameters, "?25" | "?7" | "?47" | "?1047" | "?1049" | "4"),
            _ => false,
        };
        if !passes {
            return;
        }
        if matches!(parameters, "?47" | "?1047" | "?1049") {
            self.alternate = last == 'h';
        }
        out.push_str("\x1b[");
        out.push_str(parameters);
        out.push(last);
    }
}

const fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}')
}
