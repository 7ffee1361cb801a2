//! Words: quotes and expansions (POSIX.1-2024, "Shell Command Language" §2.2 and §2.6).
use crate::{
    ast::{Part, Word},
    parser::{Parser, Read, is_name, not_read, parse},
};

const DIFFERENT: &str = "quotes that shells read differently";

impl Parser<'_> {
    /// A word; an empty one where none begins here.
    pub(crate) fn word(&mut self) -> Read<Word> {
        self.word_with(false)
    }

    /// The right side of an assignment: `~` also counts after a colon.
    pub(crate) fn value_word(&mut self) -> Read<Word> {
        self.word_with(true)
    }

    fn word_with(&mut self, assigned: bool) -> Read<Word> {
        let from = self.at;
        let mut parts = Vec::new();
        while let Some(b) = self.peek() {
            let first = self.at == from || (assigned && self.slice(from).ends_with(':'));
            match b {
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' => break,
                b'<' | b'>' if self.peek_at(1) != Some(b'(') => break,
                b'<' | b'>' => {
                    self.at += 2;
                    parts.push(Part::Command(Box::new(self.substitution()?)));
                    parts.push(Part::Unknown("the output of a command"));
                }
                b'~' if first => parts.push(self.tilde()),
                b'{' if self.is_brace_expansion() => {
                    self.at += 1;
                    parts.push(Part::Unknown("braces that shells read differently"));
                }
                _ => self.part(&mut parts)?,
            }
        }
        Ok(Word { parts, raw: self.slice(from).to_owned() })
    }

    /// One part of a word, outside quotes.
    fn part(&mut self, parts: &mut Vec<Part>) -> Read<()> {
        match self.peek() {
            Some(b'\\') => {
                self.at += 1;
                match self.next_char() {
                    Some('\n') => {}
                    Some(c) => parts.push(Part::Quoted(c.into())),
                    None => parts.push(Part::Unknown(DIFFERENT)),
                }
            }
            Some(b'\'') => {
                self.at += 1;
                parts.push(Part::Quoted(self.until_quote()?));
            }
            Some(b'"') => {
                self.at += 1;
                self.nested(|p| p.double_quoted(parts))?;
            }
            Some(b'`') => parts.extend(self.backquoted(false)?),
            Some(b'$') => self.dollar(false, parts)?,
            Some(b @ (b'*' | b'?' | b'[')) => {
                self.at += 1;
                parts.push(Part::Pattern(char::from(b)));
            }
            Some(_) => {
                let Some(c) = self.next_char() else { return Ok(()) };
                plain(parts, c);
            }
            None => {}
        }
        Ok(())
    }

    fn until_quote(&mut self) -> Read<String> {
        let from = self.at;
        while let Some(b) = self.peek() {
            if b == b'\'' {
                let text = self.slice(from).to_owned();
                self.at += 1;
                return Ok(text);
            }
            self.at += 1;
        }
        not_read("syntax error: a quote is not closed")
    }

    fn tilde(&mut self) -> Part {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let end = rest.find(|c: char| " \t\n;&|<>()/:".contains(c)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.+".contains(&b)) {
            self.at += 1 + name.len();
            Part::Tilde(name.to_owned())
        } else {
            self.at += 1;
            Part::Unknown("a `~` that shells read differently")
        }
    }

    /// Whether bash would make several words of `{…}`; other shells do not.
    fn is_brace_expansion(&self) -> bool {
        // Looked for within a bound, so that a text of braces takes no longer than any other.
        // Alone, or empty, it is what it is.
        !matches!(self.peek_at(1), None | Some(b'}' | b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b')'))
    }

    fn double_quoted(&mut self, parts: &mut Vec<Part>) -> Read<()> {
        let mut text = String::new();
        let before = parts.len();
        loop {
            match self.peek() {
                None => return not_read("syntax error: a quote is not closed"),
                Some(b'"') => {
                    self.at += 1;
                    if !text.is_empty() || parts.len() == before {
                        parts.push(Part::Quoted(text));
                    }
                    return Ok(());
                }
                Some(_) => self.in_double_quotes(&mut text, parts, b"$`\"\\\n")?,
            }
        }
    }

    /// The text of a here-document whose end was not quoted.
    pub(crate) fn here_parts(&mut self) -> Read<Vec<Part>> {
        let (mut text, mut parts) = (String::new(), Vec::new());
        while self.peek().is_some() {
            self.in_double_quotes(&mut text, &mut parts, b"$`\\\n")?;
        }
        parts.push(Part::Quoted(text));
        Ok(parts)
    }

    fn in_double_quotes(&mut self, text: &mut String, parts: &mut Vec<Part>, escapable: &[u8]) -> Read<()> {
        match self.peek() {
            Some(b'\\') if self.peek_at(1).is_some_and(|b| escapable.contains(&b)) => {
                self.at += 1;
                match self.next_char() {
                    Some('\n') | None => {}
                    Some(c) => text.push(c),
                }
            }
            Some(b'$' | b'`') => {
                if !text.is_empty() {
                    parts.push(Part::Quoted(std::mem::take(text)));
                }
                if self.peek() == Some(b'`') {
                    parts.extend(self.backquoted(true)?);
                } else {
                    self.dollar(true, parts)?;
                }
            }
            _ => text.extend(self.next_char()),
        }
        Ok(())
    }

    fn backquoted(&mut self, in_quotes: bool) -> Read<[Part; 2]> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next_char() {
                None => return not_read("syntax error: a backquote is not closed"),
                Some('`') => break,
                Some('\\') => match self.next_char() {
                    Some(c @ ('\\' | '$' | '`')) => text.push(c),
                    // Shells do not agree on what a backslash before a double quote is here.
                    Some('"') if in_quotes => return not_read(DIFFERENT),
                    Some(c) => text.extend(['\\', c]),
                    None => return not_read("syntax error: a backquote is not closed"),
                },
                Some(c) => text.push(c),
            }
        }
        let script = parse(&text, self.depth)?;
        Ok([Part::Command(Box::new(script)), Part::Unknown("the output of a command")])
    }

    fn dollar(&mut self, quoted: bool, parts: &mut Vec<Part>) -> Read<()> {
        self.at += 1;
        match self.peek() {
            Some(b'(') if self.peek_at(1) == Some(b'(') => parts.push(self.arithmetic()?),
            Some(b'(') => {
                self.at += 1;
                parts.push(Part::Command(Box::new(self.substitution()?)));
                parts.push(Part::Unknown("the output of a command"));
            }
            Some(b'{') => self.nested(|p| p.parameter(quoted, parts))?,
            Some(b'[') => return not_read("`$[`, which shells read differently"),
            Some(b'\'') if !quoted => {
                self.at += 1;
                self.ansi_c()?;
                parts.push(Part::Unknown(DIFFERENT));
            }
            Some(b'"') if !quoted => {
                self.at += 1;
                self.nested(|p| p.double_quoted(parts))?;
                parts.push(Part::Unknown(DIFFERENT));
            }
            Some(b) if b.is_ascii_alphabetic() || b == b'_' => {
                let from = self.at;
                while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    self.at += 1;
                }
                parts.push(Part::Variable { name: self.slice(from).to_owned(), quoted });
            }
            Some(b) if b.is_ascii_digit() || b"@*#?$!-".contains(&b) => {
                self.at += 1;
                parts.push(Part::Variable { name: char::from(b).into(), quoted });
            }
            _ => parts.push(Part::Quoted("$".into())),
        }
        Ok(())
    }

    fn ansi_c(&mut self) -> Read<()> {
        loop {
            match self.next_char() {
                None => return not_read("syntax error: a quote is not closed"),
                Some('\'') => return Ok(()),
                Some('\\') => {
                    self.next_char();
                }
                Some(_) => {}
            }
        }
    }

    /// `$((…))`. With variables in it, their values are evaluated as well, and may run code.
    fn arithmetic(&mut self) -> Read<Part> {
        self.at += 2;
        let (from, mut open) = (self.at, 0_u32);
        loop {
            match self.next_char() {
                Some('(') => open += 1,
                Some(')') if open > 0 => open -= 1,
                Some(')') => break,
                Some(c) if c.is_ascii_alphanumeric() || " \t\n_$+-*/%<>=!&|^~?:,".contains(c) => {}
                _ => return not_read("arithmetic that is not plain"),
            }
        }
        let plain = !self.slice(from).contains(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
        if !self.eat(")") {
            return not_read("arithmetic that is not plain");
        }
        // What cannot be divided ends the command, and what was to come after it.
        let plain = plain && !self.slice(from).contains(['/', '%']);
        Ok(if plain { Part::Unknown("arithmetic") } else { Part::Risky("arithmetic on variables") })
    }

    /// `${…}`, at the brace.
    fn parameter(&mut self, quoted: bool, parts: &mut Vec<Part>) -> Read<()> {
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let name = rest.split('}').next().unwrap_or_default();
        let special = name.len() == 1 && name.bytes().all(|b| b"@*#?$!-".contains(&b));
        if is_name(name) || special || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())) {
            self.at += name.len() + 1;
            parts.push(Part::Variable { name: name.to_owned(), quoted });
            return Ok(());
        }
        let from = self.at;
        loop {
            match self.peek() {
                None => return not_read("syntax error: a brace is not closed"),
                Some(b'}') => break,
                Some(b'\'') if quoted => return not_read(DIFFERENT),
                Some(b'~') => {
                    self.at += 1;
                }
                Some(b'<' | b'>') if !quoted && self.peek_at(1) == Some(b'(') => {
                    self.at += 2;
                    parts.push(Part::Command(Box::new(self.substitution()?)));
                }
                Some(_) => self.part(parts)?,
            }
        }
        let inside = self.slice(from);
        self.at += 1;
        // Indirection, transformation (`@P` expands a prompt), subscripts and offsets evaluate what a variable
        // holds; `=` assigns.
        let end = inside
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && !"@*#?$!-".contains(c))
            .unwrap_or(inside.len());
        let named = inside
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(inside.len())
            .max(usize::from(end > 0));
        let operator = inside.get(named..).unwrap_or_default();
        let tests = [":-", ":+", ":?", "-", "+", "?"].iter().any(|o| operator.starts_with(o));
        let cuts = operator.starts_with(['#', '%']) && !operator.contains(':');
        let risky = inside.starts_with('!') || inside.contains(['@', '[', '=']) || !(tests || cuts);
        parts.push(if risky {
            Part::Risky("an expansion that may run code")
        } else {
            Part::Unknown("an expansion with an operator")
        });
        Ok(())
    }
}

/// Adds a plain character to the text before it.
fn plain(parts: &mut Vec<Part>, c: char) {
    if c.is_control() && c != '\t' && c != '\n' {
        parts.push(Part::Unknown("a control character"));
    } else if let Some(Part::Text(text)) = parts.last_mut() {
        text.push(c);
    } else {
        parts.push(Part::Text(c.into()));
    }
}
