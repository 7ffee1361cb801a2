//! COPY data on their way in, looked through for what masks show: text, CSV and binary, cut anywhere (manual, COPY, "File
//! Formats").
//!
//! Nothing is kept but the field that is being read, and of that so much as a mask may have. What it lets pass it has read
//! as the server does.
use doorward_sql::postgres::CopyFormat;
use doorward_sql_session::{Arriving, LONGEST_MASK, Target, Targets};

/// Why data may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The field of this column, counted from 0, is what its mask shows.
    Mask { column: usize, text: String },
    /// Binary data that are not of their format.
    Malformed,
}

/// The signature of binary COPY data.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Looks through the data of one COPY.
#[derive(Debug)]
pub(crate) struct CopyGuard {
    format: CopyFormat,
    targets: Targets,
    /// The first line is names.
    header: bool,
    /// The column that is being read, from 0.
    column: usize,
    value: Arriving,
    state: State,
}

/// Where in the data the next byte is.
#[derive(Debug)]
enum State {
    Lines(Line),
    /// A fixed part of binary data, so far.
    Part(Part, Vec<u8>),
    /// Bytes of a binary field, or of the header, that are still to come.
    Field(usize),
    Extension(usize),
    /// Behind the trailer of binary data, where the server takes nothing.
    Over,
}

#[derive(Debug, Default)]
struct Line {
    /// The field as it stands, which a null is told by.
    raw: Arriving,
    quoted: bool,
    /// Whether the field has had quotes.
    had_quotes: bool,
    escape: Escape,
    /// Whether there is anything of the line yet.
    begun: bool,
}

/// What stands behind a backslash, so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// A backslash, or in CSV what may escape the next byte.
    Begun,
    /// Digits of a number: how many, and what they come to.
    Octal(u8, u8),
    Hex(u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Signature, flags, length of the extension.
    Header,
    /// How many fields a tuple has.
    Count,
    /// How long a field is.
    Length,
}

impl Part {
    const fn length(self) -> usize {
        match self {
            Self::Header => SIGNATURE.len() + 8,
            Self::Count => 2,
            Self::Length => 4,
        }
    }
}

impl CopyGuard {
    /// For data of these columns. `header`: the first line is names.
    pub(crate) fn new(format: CopyFormat, header: bool, targets: Targets) -> Self {
        let state = match format {
            CopyFormat::Binary => State::Part(Part::Header, Vec::new()),
            CopyFormat::Text { .. } | CopyFormat::Csv { .. } | CopyFormat::NotUnderstood(_) => {
                State::Lines(Line::default())
            }
        };
        let header = header && format != CopyFormat::Binary;
        Self { format, targets, header, column: 0, value: Arriving::default(), state }
    }

    /// The masked column that was found.
    pub(crate) fn target(&self, column: usize) -> Option<&Target> {
        self.targets.get(column).and_then(Option::as_ref)
    }

    /// Reads the payload of one CopyData message.
    ///
    /// # Errors
    /// What was found: nothing of this message may go on.
    pub(crate) fn data(&mut self, payload: &[u8]) -> Result<(), Found> {
        match self.format.clone() {
            CopyFormat::Text { delimiter, null } => payload.iter().try_for_each(|b| self.text(*b, delimiter, &null)),
            CopyFormat::Csv { delimiter, null, quote, escape } => {
                let csv = Csv { delimiter, null: &null, quote, escape };
                payload.iter().try_for_each(|b| self.csv(*b, &csv))
            }
            CopyFormat::Binary => self.binary(payload),
            CopyFormat::NotUnderstood(_) => Err(Found::Malformed),
        }
    }

    /// The data are complete: the last line may have had no end.
    ///
    /// # Errors
    /// What was found in it.
    pub(crate) fn finish(&mut self) -> Result<(), Found> {
        if !matches!(&self.state, State::Lines(line) if line.begun) {
            return Ok(());
        }
        match self.format.clone() {
            CopyFormat::Text { null, .. } | CopyFormat::Csv { null, .. } => self.ends_field(&null, true),
            CopyFormat::Binary | CopyFormat::NotUnderstood(_) => Ok(()),
        }
    }

    fn is_target(&self) -> bool {
        !self.header && self.targets.get(self.column).is_some_and(Option::is_some)
    }

    fn text(&mut self, byte: u8, delimiter: u8, null: &[u8]) -> Result<(), Found> {
        let is_target = self.is_target();
        let State::Lines(line) = &mut self.state else { return Err(Found::Malformed) };
        line.begun = true;
        match line.escape {
            Escape::Octal(digits, so_far) if digits < 3 && matches!(byte, b'0'..=b'7') => {
                line.escape = Escape::Octal(digits + 1, so_far.wrapping_mul(8).wrapping_add(byte - b'0'));
                line.raw.add(&[byte]);
                return Ok(());
            }
            Escape::Hex(digits, so_far) if digits < 2 && byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0);
                line.escape = Escape::Hex(digits + 1, so_far.wrapping_mul(16).wrapping_add(digit));
                line.raw.add(&[byte]);
                return Ok(());
            }
            Escape::Begun => {
                line.escape = match byte {
                    b'0'..=b'7' => Escape::Octal(1, byte - b'0'),
                    b'x' => Escape::Hex(0, 0),
                    _ => Escape::None,
                };
                if is_target {
                    line.raw.add(&[b'\\', byte]);
                    if line.escape == Escape::None {
                        self.value.add(&[escaped(byte)]);
                    }
                }
                return Ok(());
            }
            Escape::Octal(..) | Escape::Hex(..) | Escape::None => {}
        }
        // What was a number is over.
        self.ends_number(is_target);
        if byte == delimiter || matches!(byte, b'\n' | b'\r') {
            return self.ends_field(null, byte != delimiter);
        }
        let State::Lines(line) = &mut self.state else { return Err(Found::Malformed) };
        if byte == b'\\' {
            line.escape = Escape::Begun;
        } else if is_target {
            line.raw.add(&[byte]);
            self.value.add(&[byte]);
        }
        Ok(())
    }

    fn ends_number(&mut self, is_target: bool) {
        let State::Lines(line) = &mut self.state else { return };
        let byte = match std::mem::take(&mut line.escape) {
            Escape::Octal(_, byte) => byte,
            // `\x` without digits is an x.
            Escape::Hex(0, _) => b'x',
            Escape::Hex(_, byte) => byte,
            Escape::None | Escape::Begun => return,
        };
        if is_target {
            self.value.add(&[byte]);
        }
    }

    fn csv(&mut self, byte: u8, csv: &Csv<'_>) -> Result<(), Found> {
        let is_target = self.is_target();
        let State::Lines(line) = &mut self.state else { return Err(Found::Malformed) };
        line.begun = true;
        if std::mem::take(&mut line.escape) == Escape::Begun {
            if byte == csv.quote || byte == csv.escape {
                if is_target {
                    self.value.add(&[byte]);
                }
                return Ok(());
            }
            // It escaped nothing: it was the end of the quotes, or itself.
            if csv.escape == csv.quote {
                line.quoted = false;
            } else if is_target {
                self.value.add(&[csv.escape]);
            }
        }
        if line.quoted && byte == csv.escape {
            line.escape = Escape::Begun;
        } else if byte == csv.quote {
            line.quoted = !line.quoted;
            line.had_quotes = true;
        } else if !line.quoted && (byte == csv.delimiter || matches!(byte, b'\n' | b'\r')) {
            return self.ends_field(csv.null, byte != csv.delimiter);
        } else if is_target {
            self.value.add(&[byte]);
        }
        Ok(())
    }

    /// A field of a line ends, and the line with it or not.
    fn ends_field(&mut self, null: &[u8], ends_line: bool) -> Result<(), Found> {
        let is_target = self.is_target();
        self.ends_number(is_target);
        let State::Lines(line) = &mut self.state else { return Err(Found::Malformed) };
        let is_null = match self.format {
            // Only what is not in quotes is a null, and then it is its own value.
            CopyFormat::Csv { .. } => !line.had_quotes && self.value.value() == Some(null),
            CopyFormat::Text { .. } | CopyFormat::Binary | CopyFormat::NotUnderstood(_) => {
                line.raw.value() == Some(null)
            }
        };
        line.raw.clear();
        (line.quoted, line.had_quotes, line.begun) = (false, false, !ends_line);
        let found = if is_target && !is_null { self.found() } else { Ok(()) };
        self.value.clear();
        if ends_line {
            self.column = 0;
            self.header = false;
        } else {
            self.column = self.column.saturating_add(1);
        }
        found
    }

    fn found(&self) -> Result<(), Found> {
        let text = self.target(self.column).zip(self.value.value()).and_then(|(target, value)| target.shows(value));
        text.map_or(Ok(()), |text| Err(Found::Mask { column: self.column, text: text.to_owned() }))
    }

    fn binary(&mut self, mut rest: &[u8]) -> Result<(), Found> {
        while !rest.is_empty() || matches!(self.state, State::Field(0) | State::Extension(0)) {
            match &mut self.state {
                State::Part(part, so_far) => {
                    let part = *part;
                    let (now, later) = rest.split_at(part.length().saturating_sub(so_far.len()).min(rest.len()));
                    so_far.extend_from_slice(now);
                    rest = later;
                    if so_far.len() == part.length() {
                        let whole = std::mem::take(so_far);
                        self.state = self.behind(part, &whole)?;
                    }
                }
                State::Extension(left) => {
                    let n = (*left).min(rest.len());
                    *left -= n;
                    rest = rest.get(n..).unwrap_or_default();
                    if *left == 0 {
                        self.state = State::Part(Part::Count, Vec::new());
                    }
                }
                State::Field(left) => {
                    let (now, later) = rest.split_at((*left).min(rest.len()));
                    *left -= now.len();
                    rest = later;
                    let is_over = *left == 0;
                    if self.is_target() {
                        now.chunks(LONGEST_MASK).for_each(|piece| self.value.add(piece));
                    }
                    if is_over {
                        self.found()?;
                        self.next_binary();
                    }
                }
                State::Over => return Err(Found::Malformed),
                State::Lines(_) => return Err(Found::Malformed),
            }
        }
        Ok(())
    }

    /// What follows a part of binary data.
    fn behind(&mut self, part: Part, whole: &[u8]) -> Result<State, Found> {
        let number = |from: usize| {
            let bytes = whole.get(from..)?.first_chunk::<4>()?;
            Some(i32::from_be_bytes(*bytes))
        };
        match part {
            Part::Header => {
                let (flags, extension) =
                    number(SIGNATURE.len()).zip(number(SIGNATURE.len() + 4)).ok_or(Found::Malformed)?;
                // The upper half of the flags says that the data are of another kind: with OIDs, for one.
                let is_plain = whole.starts_with(SIGNATURE) && (flags >> 16) == 0;
                let extension = usize::try_from(extension).ok().filter(|_| is_plain).ok_or(Found::Malformed)?;
                Ok(State::Extension(extension))
            }
            Part::Count => {
                let count = whole.first_chunk::<2>().map(|b| i16::from_be_bytes(*b));
                self.column = 0;
                match count {
                    Some(-1) => Ok(State::Over),
                    Some(count) if usize::try_from(count).is_ok_and(|count| count == self.targets.len()) => {
                        let is_empty = self.targets.is_empty();
                        Ok(State::Part(if is_empty { Part::Count } else { Part::Length }, Vec::new()))
                    }
                    // The server takes no other number.
                    Some(_) | None => Err(Found::Malformed),
                }
            }
            Part::Length => match number(0) {
                Some(-1) => {
                    self.next_binary();
                    Ok(std::mem::replace(&mut self.state, State::Over))
                }
                Some(length) => usize::try_from(length).map(State::Field).map_err(|_| Found::Malformed),
                None => Err(Found::Malformed),
            },
        }
    }

    /// The next field of a tuple, or the next tuple.
    fn next_binary(&mut self) {
        self.value.clear();
        self.column = self.column.saturating_add(1);
        let part = if self.column < self.targets.len() { Part::Length } else { Part::Count };
        self.state = State::Part(part, Vec::new());
    }
}

struct Csv<'a> {
    delimiter: u8,
    null: &'a [u8],
    quote: u8,
    escape: u8,
}

/// What a letter stands for behind a backslash.
const fn escaped(byte: u8) -> u8 {
    match byte {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        other => other,
    }
}

#[cfg(test)]
mod tests;
