//! An answer in JSON, cut into the values that are looked at one by one while it comes: a list is never held whole.
//!
//! What is between them goes through as it is, but for the commas between elements, which are the reader's to write:
//! he may leave elements out.

/// The longest value, in bytes. The API server takes objects of 3 MiB, etcd of half as much.
pub const LONGEST: usize = 4 << 20;

/// What an answer is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An object, or a table with one.
    Whole,
    /// A list (`items`), or a table (`rows`).
    List,
    /// One event after the other.
    Watch,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// To be passed as it is.
    Text(Vec<u8>),
    /// A value that stands for itself: the whole answer, or an event.
    Value(Vec<u8>),
    /// A member of a list or table, but for its elements: its name, and its value. It is to be written as `"NAME":VALUE`.
    Member(Vec<u8>, Vec<u8>),
    /// The next element of `items`.
    Item(Vec<u8>),
    /// The next element of `rows`.
    Row(Vec<u8>),
}

/// What an answer does that no API server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// It is no JSON, or no object where one belongs.
    #[error("it is no JSON of the kind that was asked for")]
    NoJson,
    /// A value is too long.
    #[error("a value in it is longer than {LONGEST} bytes")]
    TooLong,
    /// It ends too early.
    #[error("it ends too early")]
    Short,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    /// Before a value that stands for itself, or after it.
    Between,
    /// In a value, of which the rest tells.
    In(Of),
    /// In a list: before its brace.
    Start,
    /// Before the name of a member, or the end.
    Member,
    /// After a name.
    Colon,
    /// Before a value of a member.
    Before,
    /// After it.
    After,
    /// Before an element, or the end of them.
    Element(Of),
    /// After an element.
    AfterElement(Of),
    /// After the end.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Itself,
    Name,
    Member,
    Item,
    Row,
}

/// Cuts an answer.
#[derive(Debug)]
pub struct Splitter {
    form: Form,
    now: Now,
    value: Vec<u8>,
    name: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    text: Vec<u8>,
    /// A comma was read after which something has to come.
    owed: bool,
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl Splitter {
    /// A splitter for an answer of a form.
    pub const fn new(form: Form) -> Self {
        let now = match form {
            Form::Whole | Form::Watch => Now::Between,
            Form::List => Now::Start,
        };
        Self {
            form,
            now,
            value: Vec::new(),
            name: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            text: Vec::new(),
            owed: false,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What is odd about them: nothing after that is to be passed.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Piece>) -> Result<(), Odd> {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            if let Now::In(of) = self.now {
                let used = self.value(rest, of, out)?;
                rest = rest.get(used..).unwrap_or_default();
                continue;
            }
            if !is_space(byte) {
                self.structure(byte, out)?;
            } else if self.form != Form::List {
                self.text.push(byte);
            }
            // A value begins with the byte that was looked at.
            if !matches!(self.now, Now::In(_)) {
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        self.give_text(out);
        Ok(())
    }

    /// The answer has ended.
    ///
    /// # Errors
    /// Where it ends too early.
    pub fn finish(&mut self, out: &mut Vec<Piece>) -> Result<(), Odd> {
        // A number that stands for itself ends with the answer.
        if self.now == Now::In(Of::Itself) && self.depth == 0 && !self.in_string {
            self.done(Of::Itself, out);
        }
        self.give_text(out);
        match self.now {
            Now::Between | Now::End => Ok(()),
            Now::In(_)
            | Now::Start
            | Now::Member
            | Now::Colon
            | Now::Before
            | Now::After
            | Now::Element(_)
            | Now::AfterElement(_) => Err(Odd::Short),
        }
    }

    fn give_text(&mut self, out: &mut Vec<Piece>) {
        if !self.text.is_empty() {
            out.push(Piece::Text(std::mem::take(&mut self.text)));
        }
    }

    fn begin(&mut self, of: Of) {
        self.now = Now::In(of);
        self.owed = false;
        (self.depth, self.in_string, self.escaped) = (0, false, false);
    }

    /// A byte that is no space, between values.
    fn structure(&mut self, byte: u8, out: &mut Vec<Piece>) -> Result<(), Odd> {
        match (self.now, byte) {
            (Now::Between, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.begin(Of::Itself),
            (Now::Start, b'{') => {
                self.now = Now::Member;
                self.text.push(byte);
            }
            (Now::Member, b'"') => self.begin(Of::Name),
            (Now::Member, b'}') | (Now::After, b'}') if !self.owed => {
                self.now = Now::End;
                self.text.push(byte);
            }
            (Now::Colon, b':') => self.now = Now::Before,
            (Now::Before, b'[') if self.name == b"\"items\"" => self.elements(Of::Item),
            (Now::Before, b'[') if self.name == b"\"rows\"" => self.elements(Of::Row),
            (Now::Before, _) => self.begin(Of::Member),
            (Now::After, b',') => {
                self.now = Now::Member;
                self.owed = true;
                self.text.push(byte);
            }
            (Now::Element(_) | Now::AfterElement(_), b']') if !self.owed => {
                self.now = Now::After;
                self.text.push(byte);
            }
            (Now::Element(of), _) => self.begin(of),
            (Now::AfterElement(of), b',') => {
                self.now = Now::Element(of);
                self.owed = true;
            }
            _ => return Err(Odd::NoJson),
        }
        if matches!(self.now, Now::In(_)) {
            self.give_text(out);
        }
        Ok(())
    }

    fn elements(&mut self, of: Of) {
        self.text.extend_from_slice(&std::mem::take(&mut self.name));
        self.text.extend_from_slice(b":[");
        self.now = Now::Element(of);
    }

    /// Takes as much as belongs to the value; how much that was.
    fn value(&mut self, bytes: &[u8], of: Of, out: &mut Vec<Piece>) -> Result<usize, Odd> {
        let mut used = 0;
        let mut is_over = false;
        while let Some(&byte) = bytes.get(used) {
            if self.in_string {
                used += self.in_string(bytes.get(used..).unwrap_or_default());
                is_over = !self.in_string && self.depth == 0;
            } else {
                // A number, `true`, `null`: ended by what comes after it.
                if self.depth == 0 && (is_space(byte) || matches!(byte, b',' | b'}' | b']' | b':')) {
                    is_over = true;
                    break;
                }
                used += 1;
                is_over = self.outside(byte)?;
            }
            if is_over {
                break;
            }
        }
        self.value.extend_from_slice(bytes.get(..used).unwrap_or_default());
        if self.value.len() > LONGEST {
            return Err(Odd::TooLong);
        }
        if is_over {
            // A name in other letters than its own is none of the API server's.
            if self.value.is_empty() || (of == Of::Name && memchr::memchr(b'\\', &self.value).is_some()) {
                return Err(Odd::NoJson);
            }
            self.done(of, out);
        }
        Ok(used)
    }

    /// A byte of a value, outside strings; whether the value ends with it.
    fn outside(&mut self, byte: u8) -> Result<bool, Odd> {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.checked_sub(1).ok_or(Odd::NoJson)?;
                return Ok(self.depth == 0);
            }
            _ => {}
        }
        Ok(false)
    }

    /// How many of these bytes belong to the string that is open.
    fn in_string(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        if std::mem::take(&mut self.escaped) {
            used = 1;
        }
        while let Some(at) = memchr::memchr2(b'"', b'\\', bytes.get(used..).unwrap_or_default()) {
            used += at + 1;
            if bytes.get(used - 1) == Some(&b'"') {
                self.in_string = false;
                return used;
            }
            if used == bytes.len() {
                self.escaped = true;
                return used;
            }
            used += 1;
        }
        bytes.len()
    }

    fn done(&mut self, of: Of, out: &mut Vec<Piece>) {
        let value = std::mem::take(&mut self.value);
        match of {
            Of::Itself => {
                out.push(Piece::Value(value));
                self.now = if self.form == Form::Watch { Now::Between } else { Now::End };
            }
            Of::Name => {
                self.name = value;
                self.now = Now::Colon;
            }
            Of::Member => {
                out.push(Piece::Member(std::mem::take(&mut self.name), value));
                self.now = Now::After;
            }
            Of::Item => {
                out.push(Piece::Item(value));
                self.now = Now::AfterElement(Of::Item);
            }
            Of::Row => {
                out.push(Piece::Row(value));
                self.now = Now::AfterElement(Of::Row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(form: Form, text: &str, cuts: usize) -> Result<Vec<Piece>, Odd> {
        let (mut splitter, mut out) = (Splitter::new(form), Vec::new());
        for piece in text.as_bytes().chunks(cuts) {
            splitter.push(piece, &mut out)?;
        }
        splitter.finish(&mut out)?;
        Ok(out)
    }

    /// What a reader writes who changes nothing.
    fn again(pieces: &[Piece]) -> String {
        let (mut out, mut first) = (Vec::new(), true);
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    first = true;
                    out.extend_from_slice(text);
                }
                Piece::Value(value) => out.extend_from_slice(value),
                Piece::Member(name, value) => {
                    out.extend_from_slice(&[name.as_slice(), b":", value.as_slice()].concat());
                }
                Piece::Item(value) | Piece::Row(value) => {
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    out.extend_from_slice(value);
                }
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_is_cut_into_its_items() {
        let text = r#"{"kind":"L","metadata":{"continue":"x\"]"},"items":[{"a":"}"},{"b":[1,"\\"]},7],"z":1}"#;
        for cuts in 1..20 {
            let pieces = all(Form::List, text, cuts).unwrap();
            let items: Vec<_> = pieces
                .iter()
                .filter_map(|p| match p {
                    Piece::Item(v) => Some(String::from_utf8_lossy(v).into_owned()),
                    Piece::Text(_) | Piece::Value(_) | Piece::Member(..) | Piece::Row(_) => None,
                })
                .collect();
            assert_eq!(items, [r#"{"a":"}"}"#, r#"{"b":[1,"\\"]}"#, "7"], "{cuts}");
        }
        assert_eq!(again(&all(Form::List, text, 4096).unwrap()), text);
        assert_eq!(again(&all(Form::List, r#"{"items":null,"rows":[]}"#, 3).unwrap()), r#"{"items":null,"rows":[]}"#);
    }

    #[test]
    fn events_come_one_by_one() {
        let text = "{\"type\":\"ADDED\"}\n{\"type\":\"}\"}{\"a\":{}}\n";
        for cuts in 1..9 {
            let pieces = all(Form::Watch, text, cuts).unwrap();
            assert_eq!(pieces.iter().filter(|p| matches!(p, Piece::Value(_))).count(), 3);
            assert_eq!(again(&pieces), text);
        }
    }

    #[test]
    fn what_is_no_json_is_not_passed() {
        for bad in [
            "[]",
            "x",
            "{\"a\" 1}",
            "{\"items\":[1,]}",
            "{,}",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "{\"items\":[1 2]}",
            "{\"a\":}",
        ] {
            assert_eq!(all(Form::List, bad, 2), Err(Odd::NoJson), "{bad}");
        }
        for short in ["", "{", "{\"a", "{\"a\":[", "{\"items\":[{}", "{\"items\":[{},"] {
            assert_eq!(all(Form::List, short, 2), Err(Odd::Short), "{short}");
        }
        assert_eq!(all(Form::Whole, "{} {}", 1), Err(Odd::NoJson));
        let long = format!("{{\"items\":[\"{}\"]}}", "x".repeat(LONGEST));
        assert_eq!(all(Form::List, &long, 1 << 16), Err(Odd::TooLong));
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[\\[\\]{},:\"\\\\ a1]{0,40}", cuts in 1_usize..8, form in 0..3) {
            let form = [Form::Whole, Form::List, Form::Watch][form as usize];
            let whole = all(form, &text, 4096).map(|p| again(&p));
            prop_assert_eq!(all(form, &text, cuts).map(|p| again(&p)), whole);
        }
    }
}
