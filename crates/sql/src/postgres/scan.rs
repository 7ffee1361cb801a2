//! How deep and how long a text is, by its tokens: what decides where it is read.
//!
//! The grammar keeps its stack on the heap (10,000 entries, then a syntax error), the walk for facts
//! keeps its own, and the walk for lineage counts its depth and gives up. So nothing here has to be
//! exact: it keeps hostile texts off the shared threads, and refuses what no person or program writes.
use super::Cost;

/// Longer texts are offloaded.
const INLINE_BYTES: usize = 16 * 1024;
/// Deeper texts are offloaded.
const INLINE_DEPTH: usize = 48;
/// More operators in one expression are offloaded.
const INLINE_CHAIN: usize = 200;
/// Deeper texts are refused. The server's own stack ends earlier for most forms.
const MAX_DEPTH: usize = 4_000;
/// Longer chains in one expression are refused.
const MAX_CHAIN: usize = 50_000;
/// Longer chains of UNION, INTERSECT, EXCEPT or JOIN in one query are refused.
const MAX_SETS: usize = 20_000;

/// Scans a text. Linear, without recursion, without allocation beyond the depth.
pub fn cost(text: &str) -> Cost {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, from: 0 };
    let mut levels = vec![Level::default()];
    let (mut deepest, mut longest) = (0_usize, 0_usize);
    while let Some(token) = scan.token() {
        let Some(level) = levels.last_mut() else { break };
        match token {
            Token::Open => {
                if levels.len() > MAX_DEPTH {
                    return Cost::TooDeep("parentheses, brackets or CASE");
                }
                levels.push(Level::default());
                deepest = deepest.max(levels.len());
            }
            Token::Close => {
                if levels.len() > 1 {
                    levels.pop();
                }
            }
            Token::Separator { statement } => {
                level.chain = 0;
                if statement {
                    level.sets = 0;
                }
            }
            Token::Operator => {
                level.chain += 1;
                longest = longest.max(level.chain);
                if level.chain > MAX_CHAIN {
                    return Cost::TooDeep("a chain of operators");
                }
            }
            Token::Set => {
                level.sets += 1;
                longest = longest.max(level.sets);
                if level.sets > MAX_SETS {
                    return Cost::TooDeep("a chain of UNION or JOIN");
                }
            }
            Token::Other => {}
        }
    }
    if text.len() > INLINE_BYTES || deepest > INLINE_DEPTH || longest > INLINE_CHAIN {
        Cost::Offload
    } else {
        Cost::Inline
    }
}

/// Whether a text names something by other letters than those of ASCII, or may (`U&"…"`).
pub fn has_other_names(text: &str) -> bool {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, from: 0 };
    while scan.token().is_some() {
        let token = scan.bytes.get(scan.from..scan.at).unwrap_or_default();
        let before = scan.bytes.get(..scan.from).unwrap_or_default();
        let is_escaped = token.starts_with(b"\"") && (before.ends_with(b"U&") || before.ends_with(b"u&"));
        let is_literal = matches!(token, [b'\'', ..] | [b'$', .., b'$'] | [b'e' | b'E', b'\'', ..]);
        if is_escaped || !(is_literal || token.is_ascii()) {
            return true;
        }
    }
    false
}

#[derive(Default)]
struct Level {
    chain: usize,
    sets: usize,
}

enum Token {
    Open,
    Close,
    Separator { statement: bool },
    Operator,
    Set,
    Other,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the last token begins.
    from: usize,
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn token(&mut self) -> Option<Token> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'-' if self.peek(1) == b'-' => self.line_comment(),
                b'/' if self.peek(1) == b'*' => self.block_comment(),
                _ => {
                    self.from = self.at;
                    return Some(self.significant(byte));
                }
            }
        }
    }

    fn significant(&mut self, byte: u8) -> Token {
        match byte {
            b'\'' => {
                self.quoted(b'\'', false);
                Token::Other
            }
            b'"' => {
                self.quoted(b'"', false);
                Token::Other
            }
            b'$' => {
                self.dollar();
                Token::Other
            }
            b'(' | b'[' => self.one(Token::Open),
            b')' | b']' => self.one(Token::Close),
            b',' => self.one(Token::Separator { statement: false }),
            b';' => self.one(Token::Separator { statement: true }),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => self.word(),
            b'0'..=b'9' => {
                while self.peek(0).is_ascii_alphanumeric() || matches!(self.peek(0), b'.' | b'_') {
                    self.at += 1;
                }
                Token::Other
            }
            _ => self.one(Token::Operator),
        }
    }

    fn one(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn line_comment(&mut self) {
        while !matches!(self.peek(0), b'\n' | b'\r') && self.at < self.bytes.len() {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) {
        let mut nested = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    nested += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    nested = nested.saturating_sub(1);
                    self.at += 2;
                    if nested == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn quoted(&mut self, quote: u8, backslash: bool) {
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            self.at += 1;
            if byte == b'\\' && backslash {
                self.at += 1;
            } else if byte == quote {
                if self.peek(0) != quote {
                    return;
                }
                self.at += 1;
            }
        }
    }

    fn dollar(&mut self) {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_ascii_digit() {
            return;
        }
        while self.peek(0).is_ascii_alphanumeric() || self.peek(0) == b'_' || self.peek(0) >= 0x80 {
            self.at += 1;
        }
        if self.peek(0) != b'$' {
            return;
        }
        self.at += 1;
        let Some(tag) = self.bytes.get(start..self.at) else { return };
        // Jumping from `$` to `$` keeps this linear: a tag is at most as long as what was skipped.
        while self.at < self.bytes.len() {
            if self.peek(0) == b'$' && self.bytes.get(self.at..self.at + tag.len()) == Some(tag) {
                self.at += tag.len();
                return;
            }
            self.at += 1;
        }
    }

    fn word(&mut self) -> Token {
        let start = self.at;
        while self.peek(0).is_ascii_alphanumeric() || matches!(self.peek(0), b'_' | b'$') || self.peek(0) >= 0x80 {
            self.at += 1;
        }
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        if self.peek(0) == b'\'' && word.eq_ignore_ascii_case(b"e") {
            self.quoted(b'\'', true);
            return Token::Other;
        }
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        match word.len() {
            2 if is("or") || is("is") || is("in") => Token::Operator,
            3 if is("and") || is("not") => Token::Operator,
            3 if is("end") => Token::Close,
            4 if is("case") => Token::Open,
            4 if is("join") => Token::Set,
            4 if is("like") => Token::Operator,
            5 if is("union") => Token::Set,
            5 if is("ilike") => Token::Operator,
            6 if is("except") => Token::Set,
            6 if is("isnull") => Token::Operator,
            7 if is("collate") || is("notnull") || is("between") || is("similar") => Token::Operator,
            9 if is("intersect") => Token::Set,
            _ => Token::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_letters_are_found() {
        for text in
            ["select é", "select \"é\"", "select 1 /* é */ as x, ü.y", "select U&\"\\00e9\"", "select 'a' \"ß\"", "é"]
        {
            assert!(has_other_names(text), "{text}");
        }
        for text in [
            "select 'é', E'\\'é', $$é$$, $é$é$é$, U&'\\00e9' -- é",
            "/* é /* ü */ é */ select \"a\", $1 'é''é'",
            "select 'é",
            "",
        ] {
            assert!(!has_other_names(text), "{text}");
        }
    }

    #[test]
    fn where_texts_are_read() {
        assert_eq!(cost("select 1"), Cost::Inline);
        assert_eq!(cost(&format!("select '{}'", "(".repeat(10_000))), Cost::Inline);
        assert_eq!(cost(&format!("select '{}'", "x".repeat(100_000))), Cost::Offload);
        assert_eq!(cost(&format!("select {}1{}", "(".repeat(100), ")".repeat(100))), Cost::Offload);
        assert!(matches!(cost(&format!("select {}", "(".repeat(100_000))), Cost::TooDeep(_)));
        assert!(matches!(cost(&format!("select 1{}", "+1".repeat(100_000))), Cost::TooDeep(_)));
        assert!(matches!(cost(&format!("select 1{}", " union select 1".repeat(50_000))), Cost::TooDeep(_)));
        assert_eq!(cost(&format!("insert into t values {}(1)", "(1+1),".repeat(60_000))), Cost::Offload);
        assert_eq!(cost(&format!("/*{}*/ select 1", "((((".repeat(1000))), Cost::Inline);
        assert_eq!(cost("select $a$ (((( $a$, $1"), Cost::Inline);
    }
}
