//! The grammar: tokens to trees, by recursive descent.
//!
//! Every token of a statement is taken by some rule, which says what it is there ([`Role`]): a keyword, a name,
//! a function, a literal. What no rule takes ends the reading: there is no skipping. The printer prints tokens
//! by their roles, so the server cannot take for a keyword what was a name here.
//!
//! Precedence of operators is not looked at: operands are what counts for what a statement does, and the
//! server finds its own precedence in the same sequence of tokens.
mod accounts;
mod admin;
mod alter;
mod ddl;
mod dml;
mod expr;
mod program;
mod query;
mod set;
mod show;
mod table;

use super::{
    Environment,
    lexer::{Kind, Token},
    render,
    tree::{Body, Demand, Expr, Named, Note, ObjectName, Query, Target, Tree},
    words,
};
use doorward_model::{Action, Name};

/// What a token is in its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A keyword, or a word or literal that is printed as it stands.
    Plain,
    /// A name: printed in backticks.
    Name,
    /// The name of a function of the server's own: printed bare, and `(` follows at once.
    Function,
    /// Printed not at all.
    Dropped,
}

/// Why a text is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fail {
    /// At which token; the number of tokens at the end.
    pub(super) token: usize,
    pub(super) what: &'static str,
}

pub(super) type Parsed<T> = Result<T, Fail>;

/// A change to how tokens are printed.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// After the token.
    Append(Vec<u8>),
    /// Instead of the token.
    Replace(Vec<u8>),
}

/// How deep expressions, queries and statements may be nested in each other.
pub(super) const MAX_DEPTH: usize = 100;

/// What a statement collects besides its body.
#[derive(Debug, Default)]
struct Collected {
    demands: Vec<Demand>,
    exprs: Vec<Expr>,
    queries: Vec<Query>,
    inner: Vec<Tree>,
    notes: Vec<Note>,
    row_of: Option<ObjectName>,
    carries: Vec<ObjectName>,
}

pub(super) struct Parser<'t> {
    pub(super) text: &'t [u8],
    pub(super) tokens: Vec<Token>,
    pub(super) roles: Vec<Role>,
    pub(super) edits: Vec<(usize, Edit)>,
    /// Where tables are named to be read.
    pub(super) named: Vec<Named>,
    /// The words that begin queries, or the hints behind them.
    pub(super) selects: Vec<usize>,
    pub(super) env: &'t Environment,
    at: usize,
    depth: usize,
    collected: Collected,
    /// The names that outputs without one get must fit a column of a view.
    in_view: bool,
    /// Within the body of a procedure, function, trigger or event.
    in_program: bool,
    /// Parameters and variables of the program.
    locals: Vec<Name>,
    /// What is made is in another database than that of the session.
    is_elsewhere: bool,
    /// Where `VALUES(column)` is a function.
    on_duplicate: bool,
    /// Texts within texts (PREPARE FROM '…').
    nested: u8,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t [u8], tokens: Vec<Token>, env: &'t Environment, nested: u8) -> Self {
        let roles = vec![Role::Plain; tokens.len()];
        Self {
            text,
            tokens,
            roles,
            edits: Vec::new(),
            named: Vec::new(),
            selects: Vec::new(),
            env,
            at: 0,
            depth: 0,
            collected: Collected::default(),
            in_view: false,
            in_program: false,
            locals: Vec::new(),
            is_elsewhere: false,
            on_duplicate: false,
            nested,
        }
    }

    /// All statements of the text, and why the rest was not understood.
    pub(super) fn statements(&mut self) -> (Vec<Tree>, Option<Fail>) {
        let mut out = Vec::new();
        loop {
            while self.eat_mark(";") {}
            if self.at >= self.tokens.len() {
                return (out, None);
            }
            match self.statement().and_then(|tree| self.end().map(|()| tree)) {
                Ok(tree) => out.push(tree),
                Err(fail) => return (out, Some(fail)),
            }
        }
    }

    fn end(&self) -> Parsed<()> {
        if self.at >= self.tokens.len() || self.is_mark(";") { Ok(()) } else { self.fail("the end of the statement") }
    }

    /// One statement, at the top or within another.
    fn statement(&mut self) -> Parsed<Tree> {
        self.enter()?;
        let start = self.at;
        let outer = std::mem::take(&mut self.collected);
        let parsed = self.verb();
        let collected = std::mem::replace(&mut self.collected, outer);
        let (command, body) = parsed?;
        self.leave();
        let Collected { demands, exprs, queries, inner, notes, row_of, carries } = collected;
        Ok(Tree { command, body, demands, exprs, queries, inner, notes, row_of, carries, tokens: start..self.at })
    }

    fn verb(&mut self) -> Parsed<(String, Body)> {
        if self.is_mark("(") || self.is_any(&["SELECT", "WITH", "VALUES", "TABLE"]) {
            return self.query_statement();
        }
        let Some(token) = self.peek().filter(|t| t.kind == Kind::Word) else { return self.fail("a statement") };
        let mut word = self.slice(token).to_ascii_uppercase();
        word.truncate(24);
        match word.as_slice() {
            b"INSERT" | b"REPLACE" => self.insert(),
            b"UPDATE" => self.update(),
            b"DELETE" => self.delete(),
            b"SET" => self.set_statement(),
            b"SHOW" => self.show(),
            b"DESC" | b"DESCRIBE" | b"EXPLAIN" | b"ANALYZE" => self.explain(),
            b"CREATE" => self.create(),
            b"ALTER" => self.alter(),
            b"DROP" => self.drop_statement(),
            b"RENAME" | b"TRUNCATE" => self.rename_or_truncate(),
            b"GRANT" | b"REVOKE" => self.grant_or_revoke(),
            b"CALL" | b"DO" | b"HANDLER" | b"LOAD" | b"PREPARE" | b"EXECUTE" | b"DEALLOCATE" => self.runs(),
            _ => self.admin(&word),
        }
    }

    // --- looking ---------------------------------------------------------------------------------------

    pub(super) fn slice(&self, token: Token) -> &'t [u8] {
        self.text.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn nth(&self, n: usize) -> Option<Token> {
        self.tokens.get(self.at + n).copied()
    }

    fn kind(&self) -> Option<Kind> {
        self.peek().map(|t| t.kind)
    }

    fn is_nth(&self, n: usize, word: &str) -> bool {
        self.nth(n)
            .is_some_and(|t| t.kind == Kind::Word && !t.name && self.slice(t).eq_ignore_ascii_case(word.as_bytes()))
    }

    fn is(&self, word: &str) -> bool {
        self.is_nth(0, word)
    }

    fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|w| self.is(w))
    }

    fn is_all(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, w)| self.is_nth(n, w))
    }

    fn is_mark_nth(&self, n: usize, mark: &str) -> bool {
        self.nth(n).is_some_and(|t| t.kind == Kind::Mark && self.slice(t) == mark.as_bytes())
    }

    fn is_mark(&self, mark: &str) -> bool {
        self.is_mark_nth(0, mark)
    }

    fn fail<T>(&self, what: &'static str) -> Parsed<T> {
        Err(Fail { token: self.at, what })
    }

    // --- taking ----------------------------------------------------------------------------------------

    /// Takes a token in a role.
    fn take(&mut self, role: Role) {
        if let Some(slot) = self.roles.get_mut(self.at) {
            *slot = role;
            self.at += 1;
        }
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.take(Role::Plain);
        }
        found
    }

    fn eat_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|w| self.eat(w))
    }

    fn eat_all(&mut self, words: &[&str]) -> bool {
        let found = self.is_all(words);
        if found {
            words.iter().for_each(|_| self.take(Role::Plain));
        }
        found
    }

    fn expect(&mut self, word: &'static str) -> Parsed<()> {
        if self.eat(word) { Ok(()) } else { self.fail(word) }
    }

    fn expect_all(&mut self, words: &[&'static str]) -> Parsed<()> {
        words.iter().try_for_each(|w| self.expect(w))
    }

    fn expect_any(&mut self, words: &[&str], what: &'static str) -> Parsed<()> {
        if self.eat_any(words) { Ok(()) } else { self.fail(what) }
    }

    fn eat_mark(&mut self, mark: &str) -> bool {
        let found = self.is_mark(mark);
        if found {
            self.take(Role::Plain);
        }
        found
    }

    fn expect_mark(&mut self, mark: &'static str) -> Parsed<()> {
        if self.eat_mark(mark) { Ok(()) } else { self.fail(mark) }
    }

    fn eat_kind(&mut self, kind: Kind) -> bool {
        let found = self.kind() == Some(kind);
        if found {
            self.take(Role::Plain);
        }
        found
    }

    /// `item, item, …`
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut out = vec![item(self)?];
        while self.eat_mark(",") {
            out.push(item(self)?);
        }
        Ok(out)
    }

    /// `(item, …)`
    fn parens<T>(&mut self, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect_mark("(")?;
        let out = self.list(item)?;
        self.expect_mark(")")?;
        Ok(out)
    }

    fn enter(&mut self) -> Parsed<()> {
        if self.depth >= MAX_DEPTH {
            return self.fail("less nesting");
        }
        self.depth += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    // --- names and literals ----------------------------------------------------------------------------

    /// Whether a token can be a name.
    fn is_name_nth(&self, n: usize) -> bool {
        self.nth(n).is_some_and(|t| match t.kind {
            Kind::Quoted => true,
            Kind::Word => t.name || !words::reserved(self.slice(t), self.env.upstream),
            Kind::Text
            | Kind::National
            | Kind::Bits
            | Kind::Integer
            | Kind::Decimal
            | Kind::Variable
            | Kind::System
            | Kind::Parameter
            | Kind::Mark
            | Kind::Hint => false,
        })
    }

    fn is_name(&self) -> bool {
        self.is_name_nth(0)
    }

    /// A name as it is written, without its quotes.
    fn name(&mut self) -> Parsed<Name> {
        let Some(token) = self.peek().filter(|_| self.is_name()) else { return self.fail("a name") };
        self.take(Role::Name);
        Ok(self.name_of(token).as_str().into())
    }

    /// A name of something whose names know no case.
    fn folded(&mut self) -> Parsed<Name> {
        let Some(token) = self.peek().filter(|_| self.is_name()) else { return self.fail("a name") };
        self.take(Role::Name);
        Ok(self.name_of(token).to_lowercase().into())
    }

    pub(super) fn name_of(&self, token: Token) -> String {
        let bytes = self.slice(token);
        match bytes.first() {
            Some(q @ (b'`' | b'"')) if token.kind == Kind::Quoted => render::unquoted(bytes, *q),
            Some(_) | None => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// The name, or the string that stands for one, that a token is.
    pub(super) fn called(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at).copied()?;
        match token.kind {
            Kind::Text => self.string_of(token),
            Kind::Quoted | Kind::Word => Some(self.name_of(token)),
            Kind::National
            | Kind::Bits
            | Kind::Integer
            | Kind::Decimal
            | Kind::Variable
            | Kind::System
            | Kind::Parameter
            | Kind::Mark
            | Kind::Hint => None,
        }
    }

    /// `name` or `db.name`.
    fn object(&mut self) -> Parsed<ObjectName> {
        let name = self.name()?;
        if self.is_mark(".") && self.is_name_nth(1) {
            self.take(Role::Plain);
            return Ok(ObjectName { db: Some(name), name: self.name()? });
        }
        Ok(ObjectName { db: None, name })
    }

    /// `db.name` with the name folded: functions, procedures, triggers, events.
    fn routine(&mut self) -> Parsed<ObjectName> {
        let object = self.object()?;
        Ok(ObjectName { db: object.db, name: object.name.to_lowercase().into() })
    }

    /// A string literal: its value.
    fn string(&mut self) -> Parsed<String> {
        let Some(token) = self.peek().filter(|t| t.kind == Kind::Text) else { return self.fail("a string") };
        self.take(Role::Plain);
        match self.string_of(token) {
            Some(value) => Ok(value),
            None => self.fail("a string that is UTF-8"),
        }
    }

    /// The value of a string literal; `None` for bytes that are no text.
    pub(super) fn string_of(&self, token: Token) -> Option<String> {
        String::from_utf8(render::string_value(self.slice(token), self.env.mode)).ok()
    }

    /// A name or a string.
    fn name_or_string(&mut self) -> Parsed<Name> {
        if self.kind() == Some(Kind::Text) { self.string().map(Into::into) } else { self.name() }
    }

    /// A word that is printed as it stands: a character set, an engine.
    fn plain_word(&mut self) -> Parsed<Name> {
        let Some(token) = self.peek().filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted)) else {
            return self.fail("a word");
        };
        let plain = token.kind == Kind::Word && self.slice(token).is_ascii();
        self.take(if plain { Role::Plain } else { Role::Name });
        Ok(self.name_of(token).to_ascii_lowercase().into())
    }

    fn word_or_string(&mut self) -> Parsed<Name> {
        if self.kind() == Some(Kind::Text) { self.string().map(Into::into) } else { self.plain_word() }
    }

    fn integer(&mut self) -> Parsed<u64> {
        let Some(token) = self.peek().filter(|t| t.kind == Kind::Integer) else { return self.fail("a number") };
        let number = std::str::from_utf8(self.slice(token)).ok().and_then(|s| s.parse().ok());
        let Some(number) = number else { return self.fail("a smaller number") };
        self.take(Role::Plain);
        Ok(number)
    }

    /// `[+|-] number`
    fn number(&mut self) -> Parsed<()> {
        let _signed = self.eat_mark("-") || self.eat_mark("+");
        if self.eat_kind(Kind::Integer) || self.eat_kind(Kind::Decimal) || self.eat_kind(Kind::Bits) {
            Ok(())
        } else {
            self.fail("a number")
        }
    }

    /// A literal of any kind.
    fn literal(&mut self) -> Parsed<()> {
        if self.eat_kind(Kind::Text) || self.eat_any(&["NULL", "TRUE", "FALSE"]) { Ok(()) } else { self.number() }
    }

    fn equals(&mut self) {
        let _optional = self.eat_mark("=");
    }

    // --- collecting ------------------------------------------------------------------------------------

    fn demand(&mut self, action: Action, target: Target) {
        self.collected.demands.push(Demand { action, target });
    }

    fn connect(&mut self) {
        self.demand(Action::Connect, Target::Connection);
    }

    fn opaque(&mut self, what: impl Into<String>) {
        self.demand(Action::Opaque, Target::Opaque(what.into()));
    }

    /// What a value is kept as something else for: a variable, a default, a column that is made of others.
    fn kept(&mut self, value: Expr) {
        self.collected.exprs.push(Expr::Assign(Box::new(value)));
    }

    fn note(&mut self, note: Note) {
        self.collected.notes.push(note);
    }

    fn edit(&mut self, token: usize, edit: Edit) {
        self.edits.push((token, edit));
    }

    /// `[IF NOT EXISTS]`
    fn if_not_exists(&mut self) {
        let _optional = self.eat_all(&["IF", "NOT", "EXISTS"]);
    }

    fn if_exists(&mut self) {
        let _optional = self.eat_all(&["IF", "EXISTS"]);
    }

    /// A plain statement with this name.
    fn plain(command: &str) -> Parsed<(String, Body)> {
        Ok((command.to_owned(), Body::Plain))
    }
}
