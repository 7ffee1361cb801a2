//! Bytes to tokens, as `sql_lex.cc` of the server reads them.
//!
//! Texts are bytes, because drivers put raw bytes into string literals (`_binary'…'`). In UTF-8 no byte of a
//! longer character looks like a quote or a backslash, so reading byte by byte is what the server does.
//! One pass, no recursion.
use super::{SqlMode, Upstream};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name without quotes, or a keyword.
    Word,
    /// A name in backticks, or in double quotes under ANSI_QUOTES.
    Quoted,
    /// `'…'` or `"…"`.
    Text,
    /// `N'…'`.
    National,
    /// `0x1F`, `x'1F'`, `0b1`, `b'1'`.
    Bits,
    /// `12`.
    Integer,
    /// `1.5`, `1e3`.
    Decimal,
    /// `@name`, `@'name'`, and the host of an account.
    Variable,
    /// `@@`.
    System,
    /// `?`.
    Parameter,
    /// An operator or a punctuation mark.
    Mark,
    /// `/*+ … */` where the server looks for hints.
    Hint,
}

/// One token: where it is, and what the lexer of the server would know of its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Something stands between it and the token before.
    pub(super) space: bool,
    /// A word with `(` behind it, so that names of functions are functions.
    pub(super) call: bool,
    /// A word that cannot be a keyword, because a dot joins it to a name.
    pub(super) name: bool,
}

/// Why a text has no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) what: &'static str,
    /// In bytes.
    pub(super) at: usize,
}

/// The most tokens of a text.
const MAX_TOKENS: usize = 4_000_000;

/// Reads a text to its end.
pub(super) fn tokens(text: &[u8], upstream: Upstream, mode: SqlMode) -> Result<Vec<Token>, Unreadable> {
    let mut lexer = Lexer {
        text,
        at: 0,
        // A long text is one with long strings.
        out: Vec::with_capacity((text.len() / 4 + 4).min(16 * 1024)),
        upstream,
        ansi: mode.ansi_quotes(),
        plain_backslash: mode.no_backslash_escapes(),
        ignore_space: mode.ignore_space(),
        executed: false,
        zeros: 0,
    };
    lexer.run()?;
    // INVARIANT: a byte zero stands in strings alone. To the server it ends some comments and some names.
    if text.iter().filter(|b| **b == 0).count() != lexer.zeros {
        return Err(Unreadable { what: "a zero byte outside of strings", at: memchr(0, text).unwrap_or(0) });
    }
    Ok(lexer.out)
}

fn memchr(byte: u8, text: &[u8]) -> Option<usize> {
    text.iter().position(|b| *b == byte)
}

struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    out: Vec<Token>,
    upstream: Upstream,
    ansi: bool,
    plain_backslash: bool,
    ignore_space: bool,
    /// Within `/*! … */` that this server runs.
    executed: bool,
    /// How many bytes zero strings have so far.
    zeros: usize,
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | 9..=13)
}

/// `ident_map` of the server.
const fn is_ident(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || b >= 0x80
}

impl Lexer<'_> {
    /// The byte at a distance; 0 beyond the end, which is no byte of a text.
    fn peek(&self, n: usize) -> u8 {
        self.text.get(self.at + n).copied().unwrap_or(0)
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Unreadable> {
        Err(Unreadable { what, at: self.at })
    }

    fn run(&mut self) -> Result<(), Unreadable> {
        loop {
            let before = self.at;
            self.blank()?;
            if self.at >= self.text.len() {
                break;
            }
            let start = self.at;
            let after_word =
                before == start && self.out.last().is_some_and(|t| t.kind == Kind::Word && t.end as usize == start);
            let kind = self.token(after_word)?;
            let token = self.finish(kind, start, before < start)?;
            self.out.push(token);
            if self.out.len() > MAX_TOKENS {
                return self.fail("too many tokens");
            }
        }
        if self.executed { self.fail("a versioned comment without an end") } else { Ok(()) }
    }

    fn finish(&self, kind: Kind, start: usize, space: bool) -> Result<Token, Unreadable> {
        let place = |n: usize| u32::try_from(n).map_err(|_| Unreadable { what: "too long", at: n });
        let (mut call, mut name) = (false, false);
        if kind == Kind::Word {
            let mut n = 0;
            while self.ignore_space && is_space(self.peek(n)) {
                n += 1;
            }
            call = self.peek(n) == b'(';
            let after_dot = self.out.last().is_some_and(|t| {
                t.kind == Kind::Mark && t.end as usize == start && self.text.get(t.start as usize) == Some(&b'.')
            });
            name = after_dot || (self.peek(0) == b'.' && is_ident(self.peek(1)));
            self.check_name(start, self.at)?;
        }
        Ok(Token { kind, start: place(start)?, end: place(self.at)?, space, call, name })
    }

    /// Names are UTF-8 of at most three bytes a character: the server turns others into `?`.
    fn check_name(&self, start: usize, end: usize) -> Result<(), Unreadable> {
        let bytes = self.text.get(start..end).unwrap_or_default();
        if bytes.contains(&0) {
            return Err(Unreadable { what: "a zero byte in a name", at: start });
        }
        if bytes.is_ascii() {
            return Ok(());
        }
        match std::str::from_utf8(bytes) {
            Ok(s) if s.chars().all(|c| u32::from(c) <= 0xFFFF && !is_like_ascii(c)) => Ok(()),
            Ok(_) | Err(_) => {
                Err(Unreadable { what: "a name with characters that the server does not keep", at: start })
            }
        }
    }

    /// White space and comments.
    fn blank(&mut self) -> Result<(), Unreadable> {
        loop {
            let b = self.peek(0);
            if is_space(b) {
                self.at += 1;
            } else if b == b'#' {
                self.line();
            } else if b == b'-' && self.peek(1) == b'-' {
                // `1--1` is an expression: a comment needs a blank or a control character, or the end.
                let third = self.peek(2);
                if !(is_space(third) || third.is_ascii_control()) {
                    return Ok(());
                }
                self.line();
            } else if b == b'*' && self.peek(1) == b'/' && self.executed {
                self.executed = false;
                self.at += 2;
            } else if b == b'/' && self.peek(1) == b'*' {
                if self.executed {
                    return self.fail("a comment within a versioned comment");
                }
                if self.peek(2) == b'+' && self.hint_place() {
                    return Ok(());
                }
                self.comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn line(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += memchr(b'\n', rest).unwrap_or(rest.len());
    }

    /// Whether the server of MySQL looks for hints here. To MariaDB they are comments.
    fn hint_place(&self) -> bool {
        let word = self.out.last().filter(|t| t.kind == Kind::Word && !t.name);
        let word = word.and_then(|t| self.text.get(t.start as usize..t.end as usize)).unwrap_or_default();
        let verbs: [&[u8]; 5] = [b"SELECT", b"INSERT", b"REPLACE", b"UPDATE", b"DELETE"];
        !self.upstream.is_mariadb() && verbs.iter().any(|v| word.eq_ignore_ascii_case(v))
    }

    fn comment(&mut self) -> Result<(), Unreadable> {
        let maria_only = self.peek(2) == b'M' && self.peek(3) == b'!';
        if self.peek(2) != b'!' && !(maria_only && self.upstream.is_mariadb()) {
            return self.skip_comment(2);
        }
        let prefix = if maria_only { 4 } else { 3 };
        let digits = (0..6).take_while(|n| self.peek(prefix + n).is_ascii_digit()).count();
        if digits < 5 {
            // No version: run by every server. What digits there are belong to the content.
            return self.enter(prefix);
        }
        let number = |n: usize| (0..n).fold(0u32, |v, i| v * 10 + u32::from(self.peek(prefix + i) - b'0'));
        if self.upstream.is_mariadb() {
            let version = number(digits);
            // MariaDB leaves out what is meant for newer MySQL.
            let foreign = (50_700..=99_999).contains(&version) && !maria_only;
            return if version <= self.upstream.version && !foreign {
                self.enter(prefix + digits)
            } else {
                self.skip_versioned(prefix)
            };
        }
        let five = number(5) <= self.upstream.version;
        if digits == 5 {
            return if five { self.enter(prefix + 5) } else { self.skip_versioned(prefix) };
        }
        // Servers before and after 8.0.34 read six digits differently.
        if five { self.fail("a versioned comment of six digits") } else { self.skip_versioned(prefix) }
    }

    fn enter(&mut self, prefix: usize) -> Result<(), Unreadable> {
        self.at += prefix;
        self.executed = true;
        Ok(())
    }

    fn skip_comment(&mut self, prefix: usize) -> Result<(), Unreadable> {
        let rest = self.text.get(self.at + prefix..).unwrap_or_default();
        match rest.windows(2).position(|w| w == b"*/") {
            Some(n) => {
                self.at += prefix + n + 2;
                Ok(())
            }
            None => self.fail("a comment without an end"),
        }
    }

    /// A comment for other versions may hold a comment; whether it ends with the first `*/` then depends on
    /// the server.
    fn skip_versioned(&mut self, prefix: usize) -> Result<(), Unreadable> {
        let start = self.at;
        self.skip_comment(prefix)?;
        let inside = self.text.get(start + prefix..self.at).unwrap_or_default();
        if inside.windows(2).any(|w| w == b"/*") {
            self.at = start;
            return self.fail("a comment within a versioned comment");
        }
        Ok(())
    }

    fn token(&mut self, after_word: bool) -> Result<Kind, Unreadable> {
        let b = self.peek(0);
        match b {
            b'/' if self.peek(1) == b'*' => {
                self.skip_comment(3)?;
                Ok(Kind::Hint)
            }
            b'\'' => self.string(0).map(|()| Kind::Text),
            b'"' if self.ansi => self.quoted().map(|()| Kind::Quoted),
            b'"' => self.string(0).map(|()| Kind::Text),
            b'`' => self.quoted().map(|()| Kind::Quoted),
            b'x' | b'X' if self.peek(1) == b'\'' => self.digits_in_quotes(u8::is_ascii_hexdigit, 2),
            b'b' | b'B' if self.peek(1) == b'\'' => self.digits_in_quotes(|b| matches!(b, b'0' | b'1'), 1),
            b'n' | b'N' if self.peek(1) == b'\'' => self.string(1).map(|()| Kind::National),
            b'0'..=b'9' if self.dot_before() => Ok(self.word()),
            b'0'..=b'9' => self.number(),
            b'.' if !after_word && self.peek(1).is_ascii_digit() => self.real(),
            b'@' => self.at_sign(),
            b'?' if is_ident(self.peek(1)) => self.fail("`?` that is no parameter"),
            b'?' => {
                self.at += 1;
                Ok(Kind::Parameter)
            }
            _ if is_ident(b) => Ok(self.word()),
            _ => self.mark(),
        }
    }

    /// Whether the token before is a dot that touches this place: what follows is a name, even of digits.
    fn dot_before(&self) -> bool {
        self.out.last().is_some_and(|t| {
            t.kind == Kind::Mark && t.end as usize == self.at && self.text.get(t.start as usize) == Some(&b'.')
        })
    }

    fn word(&mut self) -> Kind {
        while is_ident(self.peek(0)) {
            self.at += 1;
        }
        Kind::Word
    }

    fn string(&mut self, prefix: usize) -> Result<(), Unreadable> {
        let mut n = self.at + prefix;
        let quote = self.text.get(n).copied().unwrap_or(0);
        n += 1;
        loop {
            match self.text.get(n).copied() {
                None => return self.fail("a string without an end"),
                Some(b'\\') if !self.plain_backslash => n += 2,
                Some(b) if b == quote => {
                    n += 1;
                    if self.text.get(n) != Some(&quote) {
                        break;
                    }
                    n += 1;
                }
                Some(_) => n += 1,
            }
        }
        let Some(string) = self.text.get(self.at..n) else { return self.fail("a string without an end") };
        self.zeros += string.iter().filter(|b| **b == 0).count();
        self.at = n;
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), Unreadable> {
        let (start, quote) = (self.at, self.peek(0));
        let mut n = self.at + 1;
        loop {
            let rest = self.text.get(n..).unwrap_or_default();
            match memchr(quote, rest) {
                None => return self.fail("a name without an end"),
                Some(i) if rest.get(i + 1) == Some(&quote) => n += i + 2,
                Some(i) => {
                    n += i + 1;
                    break;
                }
            }
        }
        self.check_name(start, n)?;
        if n - start == 2 {
            return self.fail("an empty name");
        }
        self.at = n;
        Ok(())
    }

    fn digits_in_quotes(&mut self, digit: fn(&u8) -> bool, group: usize) -> Result<Kind, Unreadable> {
        let rest = self.text.get(self.at + 2..).unwrap_or_default();
        let n = rest.iter().take_while(|b| digit(b)).count();
        if rest.get(n) != Some(&b'\'') || n % group != 0 {
            return self.fail("a literal of hexadecimal or binary digits");
        }
        self.at += n + 3;
        Ok(Kind::Bits)
    }

    /// A number, or a name that starts with digits.
    fn number(&mut self) -> Result<Kind, Unreadable> {
        let prefixed: Option<fn(&u8) -> bool> = match (self.peek(0), self.peek(1)) {
            (b'0', b'x') => Some(u8::is_ascii_hexdigit),
            (b'0', b'b') => Some(|b| matches!(b, b'0' | b'1')),
            _ => None,
        };
        if let Some(digit) = prefixed {
            let n = (2..).take_while(|n| digit(&self.peek(*n))).count();
            if n > 0 && !is_ident(self.peek(n + 2)) {
                self.at += n + 2;
                return Ok(Kind::Bits);
            }
            return Ok(self.word());
        }
        let start = self.at;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        let b = self.peek(0);
        if b == b'.' {
            self.at = start;
            return self.real();
        }
        if !is_ident(b) {
            return Ok(Kind::Integer);
        }
        if matches!(b, b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                while self.peek(0).is_ascii_digit() {
                    self.at += 1;
                }
                return Ok(Kind::Decimal);
            }
        }
        Ok(self.word())
    }

    fn real(&mut self) -> Result<Kind, Unreadable> {
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        self.at += 1;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if !self.peek(1 + sign).is_ascii_digit() {
                return self.fail("a number without digits in its exponent");
            }
            self.at += 1 + sign;
            while self.peek(0).is_ascii_digit() {
                self.at += 1;
            }
        }
        Ok(Kind::Decimal)
    }

    fn at_sign(&mut self) -> Result<Kind, Unreadable> {
        self.at += 1;
        match self.peek(0) {
            b'@' => {
                self.at += 1;
                if is_ident(self.peek(0)) || self.peek(0) == b'`' {
                    Ok(Kind::System)
                } else {
                    self.fail("`@@` without a name")
                }
            }
            b'\'' | b'"' if self.peek(0) == b'\'' || !self.ansi => {
                let start = self.at;
                self.string(0)?;
                self.check_name(start, self.at)?;
                Ok(Kind::Variable)
            }
            b'`' | b'"' => self.quoted().map(|()| Kind::Variable),
            b if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.') => {
                while matches!(self.peek(0), b'_' | b'$' | b'.') || self.peek(0).is_ascii_alphanumeric() {
                    self.at += 1;
                }
                if is_ident(self.peek(0)) {
                    return self.fail("the name of a variable");
                }
                Ok(Kind::Variable)
            }
            _ => self.fail("`@` without a name"),
        }
    }

    fn mark(&mut self) -> Result<Kind, Unreadable> {
        let here = self.text.get(self.at..).unwrap_or_default();
        let json: &[&[u8]] = if self.upstream.is_mariadb() { &[] } else { &[b"->>", b"->"] };
        let long: &[&[u8]] = &[b"<=>", b"<>", b"!=", b"<=", b">=", b"<<", b">>", b":=", b"&&", b"||"];
        if let Some(mark) = json.iter().chain(long).find(|m| here.starts_with(m)) {
            self.at += mark.len();
            return Ok(Kind::Mark);
        }
        if !b"+-*/%^~!<>=&|(),.;:{}".contains(&self.peek(0)) {
            return self.fail("a character that is no part of SQL");
        }
        self.at += 1;
        Ok(Kind::Mark)
    }
}

/// Whether a letter may be one of ASCII where names are compared without case (the Kelvin sign, `İ`, `ı`, `ſ`), or becomes several.
fn is_like_ascii(c: char) -> bool {
    let is_odd = |folded: &[char]| folded.len() != 1 || folded.iter().any(char::is_ascii);
    let lower: Vec<char> = c.to_lowercase().collect();
    !c.is_ascii() && (is_odd(&lower) || c.to_uppercase().any(|c| c.is_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn lex(text: &str, greeting: &str, mode: &str) -> String {
        let upstream = Upstream::from_greeting(greeting).unwrap();
        match tokens(text.as_bytes(), upstream, SqlMode::parse(mode).unwrap()) {
            Err(e) => format!("{} at {}", e.what, e.at),
            Ok(all) => {
                let show = |t: &Token| format!("{:?}:{}", t.kind, text.get(t.start as usize..t.end as usize).unwrap());
                all.iter().map(show).collect::<Vec<_>>().join(" ")
            }
        }
    }

    fn check(text: &str, expect: Expect) {
        expect.assert_eq(&lex(text, "8.4.7", ""));
    }

    #[test]
    fn comments() {
        check("1--1", expect!["Integer:1 Mark:- Mark:- Integer:1"]);
        check("1-- 1\n2", expect!["Integer:1 Integer:2"]);
        check("1--", expect!["Integer:1"]);
        check("a#b\nc", expect!["Word:a Word:c"]);
        check("a/* /* b */c", expect!["Word:a Word:c"]);
        check("a/*", expect!["a comment without an end at 1"]);
        check("/*!40000 a*/b", expect!["Word:a Word:b"]);
        check("/*!40000a*/b", expect!["Word:a Word:b"]);
        check("/*!99999 a*/b", expect!["Word:b"]);
        check("/*!99999 a/*b*/c*/d", expect!["a comment within a versioned comment at 0"]);
        check("/*!123 a*/", expect!["Integer:123 Word:a"]);
        check("/*! a", expect!["a versioned comment without an end at 5"]);
        check("/*! '*/' */", expect!["Text:'*/'"]);
        check("/*M! a*/b", expect!["Word:b"]);
        check("/*!080000 a*/b", expect!["a versioned comment of six digits at 0"]);
        check("select /*+ x */ 1 /*+ y */", expect!["Word:select Hint:/*+ x */ Integer:1"]);
    }

    #[test]
    fn mariadb_comments() {
        let check = |text, expect: Expect| expect.assert_eq(&lex(text, "10.11.19-MariaDB", ""));
        check("/*M! a*/b", expect!["Word:a Word:b"]);
        check("/*M!101100 a*/b", expect!["Word:a Word:b"]);
        check("/*M!110000 a*/b", expect!["Word:b"]);
        check("/*!50701 a*/b", expect!["Word:b"]);
        check("/*M!50701 a*/b", expect!["Word:a Word:b"]);
        check("/*!100500 a*/b", expect!["Word:a Word:b"]);
        check("select /*+ x */ 1", expect!["Word:select Integer:1"]);
        check("a->1", expect!["Word:a Mark:- Mark:> Integer:1"]);
    }

    #[test]
    fn strings_and_names() {
        check(r#"'a''b' "c""d" 'e\'f'"#, expect![[r#"Text:'a''b' Text:"c""d" Text:'e\'f'"#]]);
        check(r"'a\", expect!["a string without an end at 0"]);
        check("`a``b`", expect!["Quoted:`a``b`"]);
        check("``", expect!["an empty name at 0"]);
        check("N'x' x'1F' X'1' ", expect!["a literal of hexadecimal or binary digits at 11"]);
        check("0x1F 0X1F 0b1 b'01' 0xg", expect!["Bits:0x1F Word:0X1F Bits:0b1 Bits:b'01' Word:0xg"]);
        check(
            "1a a.1b a.1 `a`.1b",
            expect!["Word:1a Word:a Mark:. Word:1b Word:a Mark:. Word:1 Quoted:`a` Decimal:.1 Word:b"],
        );
        check("1e5 1e5x 1e 1.e5 1.", expect!["Decimal:1e5 Decimal:1e5 Word:x Word:1e Decimal:1.e5 Decimal:1."]);
        check("1.ex", expect!["a number without digits in its exponent at 2"]);
        check(
            "@a @'b c' @`d` @@global.x u@h.i",
            expect![
                "Variable:@a Variable:@'b c' Variable:@`d` System:@@ Word:global Mark:. Word:x Word:u Variable:@h.i"
            ],
        );
        check("@ a", expect!["`@` without a name at 1"]);
        check("a😀", expect!["a name with characters that the server does not keep at 0"]);
        check("'😀'", expect!["Text:'😀'"]);
        check("a\0", expect!["a character that is no part of SQL at 1"]);
        check("'a\0b' N'\0'", expect!["Text:'a\0b' National:N'\0'"]);
        check("1 --\0x\n2", expect!["a zero byte outside of strings at 4"]);
        check("1 #\0x\n2", expect!["a zero byte outside of strings at 3"]);
        check("/*\0*/1", expect!["a zero byte outside of strings at 2"]);
        check("/*!99999 '\0' */1", expect!["a zero byte outside of strings at 10"]);
        check("@'a\0'", expect!["a zero byte in a name at 1"]);
        check("`a\0`", expect!["a zero byte in a name at 0"]);
        expect![[r#"Quoted:"a\" Word:b"#]].assert_eq(&lex(r#""a\"b"#, "8.4.7", "ANSI_QUOTES"));
        expect![[r"Text:'a\' Word:b"]].assert_eq(&lex(r"'a\'b", "8.4.7", "NO_BACKSLASH_ESCAPES"));
    }
}
