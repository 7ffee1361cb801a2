//! Text to commands: the grammar of POSIX.1-2024 "Shell Command Language" §2.10, and what bash adds to it.
//!
//! Where bash and dash read a text differently, it is read as both would run it, or not at all.
use crate::ast::{After, Assignment, Node, Part, Pipeline, Redirect, Script, Simple, Target, Word};
use std::{cell::OnceCell, rc::Rc};

/// How deep commands may be nested in commands.
pub(crate) const DEEPEST: u32 = 40;

/// The text is not a command line, or not one that every shell reads alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotRead(pub(crate) String);

pub(crate) type Read<T> = Result<T, NotRead>;

pub(crate) fn not_read<T>(why: impl Into<String>) -> Read<T> {
    Err(NotRead(why.into()))
}

/// Where a list of commands ends.
#[derive(Clone, Copy)]
enum Until<'a> {
    End,
    Close,
    Words(&'a [&'a str]),
    /// `;;` or `esac`.
    CaseItem,
}

struct PendingHere {
    delimiter: String,
    strip_tabs: bool,
    expand: bool,
    body: Rc<OnceCell<Vec<Part>>>,
}

/// Reads one text.
pub(crate) struct Parser<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
    pub(crate) depth: u32,
    pending: Vec<PendingHere>,
    /// How many substitutions it is in.
    substitutions: u32,
    /// A here-document has no end.
    open_here: bool,
}

/// Reads a whole text; `depth` is how deep it is nested in others.
pub(crate) fn parse(text: &str, depth: u32) -> Read<Script> {
    joined_tokens(text)?;
    let mut parser = Parser::new(text, depth);
    parser.nested(|p| p.script(Until::End))
}

/// Shells take a backslash and a newline away before they look for words and operators: `$\⏎(`, `(\⏎(`, `$a\⏎b`. Only
/// behind a blank is that the same as what is read here.
fn joined_tokens(text: &str) -> Read<()> {
    let bytes = text.as_bytes();
    let blank_before =
        |at: usize| at.checked_sub(1).and_then(|n| bytes.get(n)).is_none_or(|b| matches!(b, b' ' | b'\t' | b'\n'));
    let mut pairs = bytes.windows(2).enumerate().filter(|(_, w)| *w == b"\\\n");
    match pairs.find(|(at, _)| !blank_before(*at)) {
        Some(_) => not_read("a line that goes on in the next in the middle of a word"),
        None => Ok(()),
    }
}

/// Whether more text could make a command of this.
pub(crate) fn is_incomplete(text: &str) -> bool {
    let mut parser = Parser::new(text, 0);
    let read = parser.nested(|p| p.script(Until::End));
    let joined = text.ends_with('\\') && text.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
    match read {
        // A comment does not go on.
        Ok(_) if joined && text.rsplit('\n').next().is_some_and(|line| line.contains('#')) => false,
        Ok(_) => joined || parser.open_here || !parser.pending.is_empty(),
        Err(_) => parser.at >= text.len(),
    }
}

impl<'a> Parser<'a> {
    pub(crate) const fn new(text: &'a str, depth: u32) -> Self {
        Self { text, at: 0, depth, pending: Vec::new(), substitutions: 0, open_here: false }
    }

    pub(crate) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEEPEST {
            return not_read("commands nested too deep");
        }
        self.depth += 1;
        let out = read(self);
        self.depth -= 1;
        out
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    pub(crate) fn starts(&self, with: &str) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(with))
    }

    pub(crate) fn eat(&mut self, text: &str) -> bool {
        let found = self.starts(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn expect(&mut self, text: &str) -> Read<()> {
        if self.eat(text) { Ok(()) } else { not_read(format!("syntax error: `{text}` is missing")) }
    }

    /// The next character, whole.
    pub(crate) fn next_char(&mut self) -> Option<char> {
        let c = self.text.get(self.at..)?.chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(crate) fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Skips blanks, joined lines and a comment. Ends before a newline.
    fn blanks(&mut self) {
        loop {
            match (self.peek(), self.peek_at(1)) {
                (Some(b' ' | b'\t'), _) => self.at += 1,
                (Some(b'\\'), Some(b'\n')) => self.at += 2,
                (Some(b'#'), _) => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn newline(&mut self) -> Read<()> {
        self.at += 1;
        for here in std::mem::take(&mut self.pending) {
            let text = self.here_text(&here)?;
            let parts = if here.expand {
                Parser::new(&text, self.depth).nested(|p| p.here_parts())?
            } else {
                vec![Part::Quoted(text)]
            };
            let _set_once = here.body.set(parts);
        }
        Ok(())
    }

    fn here_text(&mut self, here: &PendingHere) -> Read<String> {
        let mut text = String::new();
        while self.at < self.text.len() {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let line = rest.split('\n').next().unwrap_or_default();
            self.at += line.len();
            let ended = self.peek().is_some();
            self.at += usize::from(ended);
            let line = if here.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == here.delimiter {
                return Ok(text);
            }
            // Shells join it with the next line, and may find the end in what comes of it.
            if here.expand && line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1 {
                return not_read("a here-document with a line that goes on in the next");
            }
            text.push_str(line);
            text.push('\n');
        }
        self.open_here = true;
        Ok(text)
    }

    /// Skips blanks and newlines.
    fn linebreak(&mut self) -> Read<()> {
        loop {
            self.blanks();
            if self.peek() != Some(b'\n') {
                return Ok(());
            }
            self.newline()?;
        }
    }

    /// The plain word that stands here, if it is one: reserved words are recognised by it.
    fn plain_word(&self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|c| " \t\n;&|<>()\"'\\`$".contains(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let continued = rest.as_bytes().get(end).is_some_and(|b| b"\"'\\`$".contains(b));
        if continued { "" } else { word }
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.plain_word() == word;
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Read<()> {
        self.linebreak()?;
        if self.eat_word(word) { Ok(()) } else { not_read(format!("syntax error: `{word}` is missing")) }
    }

    fn is_over(&self, until: Until<'_>) -> Read<bool> {
        Ok(match until {
            Until::End => self.peek().is_none(),
            _ if self.peek().is_none() => return not_read("syntax error: the text ends too early"),
            Until::Close => self.peek() == Some(b')'),
            Until::Words(words) => words.contains(&self.plain_word()),
            Until::CaseItem => self.starts(";;") || self.starts(";&") || self.plain_word() == "esac",
        })
    }

    fn script(&mut self, until: Until<'_>) -> Read<Script> {
        let mut script = Script::default();
        let mut after = After::Always;
        loop {
            self.linebreak()?;
            if after == After::Always && self.is_over(until)? {
                return Ok(script);
            }
            let mut pipeline = self.pipeline(after)?;
            self.blanks();
            after = if self.eat("&&") {
                After::Success
            } else if self.eat("||") {
                After::Failure
            } else {
                After::Always
            };
            let separated = after != After::Always || {
                let in_case = matches!(until, Until::CaseItem) && (self.starts(";;") || self.starts(";&"));
                pipeline.background = self.peek() == Some(b'&');
                (!in_case && (self.eat(";") || self.eat("&"))) || self.peek() == Some(b'\n')
            };
            script.pipelines.push(pipeline);
            if !separated && !self.is_over(until)? {
                return not_read(format!("syntax error near `{}`", self.near()));
            }
        }
    }

    fn near(&self) -> String {
        self.text.get(self.at..).unwrap_or_default().chars().take(12).collect()
    }

    fn pipeline(&mut self, after: After) -> Read<Pipeline> {
        let mut negated = false;
        loop {
            self.blanks();
            if self.eat_word("!") {
                negated = true;
                continue;
            }
            if !self.eat_word("time") {
                break;
            }
            self.blanks();
            self.eat_word("-p");
        }
        let mut nodes = vec![self.nested(Self::node)?];
        loop {
            self.blanks();
            if self.starts("||") || !self.eat("|") {
                break;
            }
            self.eat("&");
            self.linebreak()?;
            nodes.push(self.nested(Self::node)?);
        }
        Ok(Pipeline { nodes, after, background: false, negated })
    }

    fn node(&mut self) -> Read<Node> {
        match self.plain_word() {
            "{" => {
                self.at += 1;
                let body = self.script(Until::Words(&["}"]))?;
                self.expect_word("}")?;
                Ok(Node::Group(body, self.redirects()?))
            }
            "if" => self.if_clause(),
            "while" | "until" => self.while_clause(),
            "for" => self.for_clause(),
            "case" => self.case_clause(),
            "function" => self.function_keyword(),
            word @ ("select" | "coproc") => not_read(format!("`{word}`, which shells read differently")),
            "then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}" | "in" => {
                not_read(format!("syntax error near `{}`", self.near()))
            }
            _ if self.starts("((") => not_read("`((`, which shells read differently"),
            _ if self.peek() == Some(b'(') => {
                self.at += 1;
                let body = self.script(Until::Close)?;
                self.expect(")")?;
                Ok(Node::Subshell(body, self.redirects()?))
            }
            _ => self.simple(),
        }
    }

    fn if_clause(&mut self) -> Read<Node> {
        self.at += 2;
        let mut bodies = vec![self.script(Until::Words(&["then"]))?];
        loop {
            self.expect_word("then")?;
            bodies.push(self.script(Until::Words(&["elif", "else", "fi"]))?);
            if self.eat_word("elif") {
                bodies.push(self.script(Until::Words(&["then"]))?);
                continue;
            }
            if self.eat_word("else") {
                bodies.push(self.script(Until::Words(&["fi"]))?);
            }
            self.expect_word("fi")?;
            return Ok(Node::Branches(Vec::new(), bodies, self.redirects()?));
        }
    }

    fn while_clause(&mut self) -> Read<Node> {
        self.at += 5;
        let condition = self.script(Until::Words(&["do"]))?;
        let body = self.do_group()?;
        Ok(Node::Loop {
            variable: None,
            words: Vec::new(),
            bodies: vec![condition, body],
            redirects: self.redirects()?,
        })
    }

    fn do_group(&mut self) -> Read<Script> {
        self.expect_word("do")?;
        let body = self.script(Until::Words(&["done"]))?;
        self.expect_word("done")?;
        Ok(body)
    }

    fn for_clause(&mut self) -> Read<Node> {
        self.at += 3;
        self.blanks();
        let name = self.plain_word();
        if !is_name(name) {
            return not_read("a loop that shells read differently");
        }
        self.at += name.len();
        self.linebreak()?;
        let mut words = Vec::new();
        if self.eat_word("in") {
            loop {
                self.blanks();
                let word = self.word()?;
                if word.raw.is_empty() {
                    break;
                }
                words.push(word);
            }
        } else {
            words.push(Word { parts: vec![Part::Unknown("the arguments of the script")], raw: "\"$@\"".into() });
        }
        self.blanks();
        self.eat(";");
        let body = self.do_group()?;
        let redirects = self.redirects()?;
        Ok(Node::Loop { variable: Some(name.to_owned()), words, bodies: vec![body], redirects })
    }

    fn case_clause(&mut self) -> Read<Node> {
        self.at += 4;
        self.blanks();
        let mut words = vec![self.word()?];
        self.expect_word("in")?;
        let mut bodies = Vec::new();
        loop {
            self.linebreak()?;
            if self.eat_word("esac") {
                return Ok(Node::Branches(words, bodies, self.redirects()?));
            }
            self.eat("(");
            loop {
                self.blanks();
                let pattern = self.word()?;
                if pattern.raw.is_empty() {
                    return not_read("syntax error in `case`");
                }
                words.push(pattern);
                self.blanks();
                if !self.eat("|") {
                    break;
                }
            }
            self.expect(")")?;
            bodies.push(self.script(Until::CaseItem)?);
            if self.eat(";;") {
                self.eat("&");
            } else {
                self.eat(";&");
            }
        }
    }

    fn function_keyword(&mut self) -> Read<Node> {
        self.at += "function".len();
        self.blanks();
        let name = self.plain_word();
        self.at += name.len();
        self.blanks();
        if self.eat("(") {
            self.blanks();
            self.expect(")")?;
        }
        self.function(name)
    }

    fn function(&mut self, name: &str) -> Read<Node> {
        if name.is_empty() || name.contains('/') {
            return not_read("syntax error in the name of a function");
        }
        self.linebreak()?;
        let body = self.nested(Self::node)?;
        if matches!(body, Node::Simple(_) | Node::Function { .. }) {
            return not_read("a function that shells read differently");
        }
        Ok(Node::Function { name: name.to_owned(), body: Box::new(body) })
    }

    fn simple(&mut self) -> Read<Node> {
        let mut simple = Simple::default();
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
                continue;
            }
            match self.peek() {
                None | Some(b'\n' | b';' | b'&' | b'|' | b')') => break,
                Some(b'(') => return self.after_word(&simple),
                Some(_) => {}
            }
            if simple.words.is_empty()
                && let Some(assignment) = self.assignment()?
            {
                simple.assignments.push(assignment);
                continue;
            }
            let word = self.word()?;
            let at_redirect = matches!(self.peek(), Some(b'<' | b'>')) && !self.starts("<(") && !self.starts(">(");
            if at_redirect && word.raw.starts_with('{') && word.raw.ends_with('}') {
                return not_read("a redirection that shells read differently");
            }
            simple.words.push(word);
        }
        if simple.words.is_empty() && simple.assignments.is_empty() && simple.redirects.is_empty() {
            return not_read(format!("syntax error near `{}`", self.near()));
        }
        Ok(Node::Simple(simple))
    }

    /// `name ()` begins a function; any other parenthesis has no place there.
    fn after_word(&mut self, simple: &Simple) -> Read<Node> {
        self.at += 1;
        self.blanks();
        let [word] = simple.words.as_slice() else { return not_read("syntax error near `(`") };
        if !self.eat(")") || !simple.assignments.is_empty() || !simple.redirects.is_empty() {
            return not_read("syntax error near `(`");
        }
        let [Part::Text(name)] = word.parts.as_slice() else { return not_read("syntax error near `(`") };
        self.function(name)
    }

    fn assignment(&mut self) -> Read<Option<Assignment>> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end).unwrap_or_default();
        if !is_name(name) {
            return Ok(None);
        }
        let append = after.starts_with("+=");
        if !append && !after.starts_with('=') {
            let element = after.starts_with('[') && after.split(' ').next().is_some_and(|w| w.contains("]="));
            return if element { not_read("an element of an array, which shells read differently") } else { Ok(None) };
        }
        self.at += end + 1 + usize::from(append);
        let value = if self.peek() == Some(b'(') { self.array()? } else { self.value_word()? };
        Ok(Some(Assignment { name: name.to_owned(), append, value }))
    }

    fn array(&mut self) -> Read<Word> {
        let from = self.at;
        self.at += 1;
        let mut parts = vec![Part::Unknown("an array")];
        loop {
            self.linebreak()?;
            if self.eat(")") {
                return Ok(Word { parts, raw: self.slice(from).to_owned() });
            }
            let word = self.word()?;
            if word.raw.is_empty() {
                return not_read("syntax error in an array");
            }
            parts.extend(word.parts);
        }
    }

    fn redirects(&mut self) -> Read<Vec<Redirect>> {
        let mut out = Vec::new();
        loop {
            self.blanks();
            match self.redirect()? {
                Some(redirect) => out.push(redirect),
                None => return Ok(out),
            }
        }
    }

    fn redirect(&mut self) -> Read<Option<Redirect>> {
        let digits = self.text.as_bytes().iter().skip(self.at).take_while(|b| b.is_ascii_digit()).count();
        let at_operator = matches!(self.peek_at(digits), Some(b'<' | b'>'));
        if !at_operator && !self.starts("&>") {
            return Ok(None);
        }
        let process = matches!(self.peek_at(digits + 1), Some(b'('));
        if at_operator && process {
            return Ok(None);
        }
        let number = self.text.get(self.at..self.at + digits).unwrap_or_default();
        let stdin = number.is_empty() || number.trim_start_matches('0').is_empty();
        self.at += digits;
        const OPERATORS: [&str; 12] = ["<<<", "<<-", "<<", "<&", "<>", "<", "&>>", "&>", ">>", ">&", ">|", ">"];
        let operator = OPERATORS.into_iter().find(|o| self.starts(o)).unwrap_or_default();
        self.at += operator.len();
        self.blanks();
        if operator.starts_with("<<") && operator != "<<<" {
            return self.here(operator == "<<-", stdin, is_high(number)).map(Some);
        }
        let word = self.word()?;
        if word.raw.is_empty() {
            return not_read("syntax error: a redirection without a target");
        }
        let target = word.raw.trim_end_matches('-').to_owned();
        let is_descriptor = word.raw.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let to = match operator {
            "<<<" => Target::Text(word),
            "<&" | ">&" if is_descriptor => Target::Descriptor,
            "<&" => return not_read("a redirection from a file descriptor in a variable"),
            "<" => Target::Read(word),
            "<>" => Target::ReadWrite(word),
            _ => Target::Write(word),
        };
        let high = is_high(number) || (matches!(to, Target::Descriptor) && is_high(&target));
        Ok(Some(Redirect { stdin: stdin && operator.starts_with('<'), high, to }))
    }

    fn here(&mut self, strip_tabs: bool, stdin: bool, high: bool) -> Read<Redirect> {
        if self.substitutions > 0 {
            // bash looks for its end in another way there.
            return not_read("a here-document within a substitution");
        }
        let word = self.word()?;
        let (mut delimiter, mut expand) = (String::new(), true);
        for part in &word.parts {
            match part {
                Part::Text(t) => delimiter.push_str(t),
                Part::Quoted(t) => {
                    delimiter.push_str(t);
                    expand = false;
                }
                Part::Pattern(_)
                | Part::Tilde(_)
                | Part::Variable { .. }
                | Part::Command(_)
                | Part::Unknown(_)
                | Part::Risky(_) => return not_read("a here-document whose end is not plain"),
            }
        }
        // Quotes that hold nothing are quotes all the same.
        expand &= !word.raw.contains(['\'', '"', '\\']);
        if word.raw.is_empty() || word.raw.contains('\n') || delimiter.contains('\n') {
            return not_read("a here-document without an end");
        }
        let body = Rc::new(OnceCell::new());
        self.pending.push(PendingHere { delimiter, strip_tabs, expand, body: Rc::clone(&body) });
        Ok(Redirect { stdin, high, to: Target::Here(body) })
    }

    /// The commands of `$(…)`, `<(…)`, after the parenthesis.
    pub(crate) fn substitution(&mut self) -> Read<Script> {
        let waiting = std::mem::take(&mut self.pending);
        self.substitutions += 1;
        let script = self.nested(|p| p.script(Until::Close))?;
        self.substitutions -= 1;
        self.expect(")")?;
        if !self.pending.is_empty() {
            return not_read("a here-document that ends within a substitution");
        }
        self.pending = waiting;
        Ok(script)
    }
}

/// Whether a descriptor is none of the three.
fn is_high(number: &str) -> bool {
    !matches!(number.trim_start_matches('0'), "" | "1" | "2")
}

pub(crate) fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
