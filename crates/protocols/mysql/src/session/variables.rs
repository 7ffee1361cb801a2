//! Which user variables a text reads: their values were set earlier in the session, and are in no text.
use std::collections::BTreeSet;

/// So many are named.
const NAMED: usize = 20;

/// What people are told of the variables that these texts read; none where they read none. A text is read in each way that its server
/// may read it (whether a backslash escapes, whether a quote in a comment counts): rather one too many is named than one too few.
pub(super) fn unseen<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut names = BTreeSet::new();
    for text in texts.into_iter().filter(|text| text.contains(&b'@')) {
        let has = |mark: &[u8]| text.windows(mark.len()).any(|w| w == mark);
        for quotes in [Quotes::Escaping, Quotes::Plain] {
            Scan { text, at: 0, quotes }.names(&mut names);
        }
        if has(b"--") || has(b"#") || has(b"/*") {
            Scan { text, at: 0, quotes: Quotes::None }.names(&mut names);
        }
    }
    let named: Vec<String> = names.iter().take(NAMED).map(|name| format!("@{}", name.escape_debug())).collect();
    let more = names.len().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!named.is_empty()).then(|| {
        format!(
            "the values of the user variables that it reads ({}{more}): they were set earlier in the session, unless it sets them itself",
            named.join(", ")
        )
    })
}

/// How texts in quotes end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// A backslash takes the next character.
    Escaping,
    /// It does not.
    Plain,
    /// There are none.
    None,
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    quotes: Quotes,
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at.saturating_add(ahead)).copied().unwrap_or(0)
    }

    fn names(mut self, out: &mut BTreeSet<String>) {
        let sets = self.text.get(..4).is_some_and(|w| w.eq_ignore_ascii_case(b"SET "));
        // Whether what comes next is what a SET puts a value into.
        let mut is_target = sets;
        if sets {
            self.at = 4;
        }
        let (mut depth, mut before) = (0_usize, 0);
        while self.at < self.text.len() {
            let c = self.peek(0);
            let could_be = is_target;
            is_target = sets && depth == 0 && (c == b',' || (could_be && c.is_ascii_whitespace()));
            match c {
                b'@' if self.peek(1) == b'@' => self.at += 2,
                // `user`@`host`
                b'@' if matches!(before, b'`' | b'\'' | b'"') => self.at += 1,
                b'@' => {
                    self.at += 1;
                    let name = self.name();
                    let assigned = self.is_assigned(could_be);
                    if !name.is_empty() && !assigned {
                        out.insert(name);
                    }
                }
                b'\'' | b'"' | b'`' if self.quotes != Quotes::None => drop(self.quoted(c)),
                _ => {
                    depth = match c {
                        b'(' => depth.saturating_add(1),
                        b')' => depth.saturating_sub(1),
                        _ => depth,
                    };
                    self.at += 1;
                }
            }
            before = self.text.get(self.at.saturating_sub(1)).copied().unwrap_or(0);
        }
    }

    fn name(&mut self) -> String {
        let quote = self.peek(0);
        if matches!(quote, b'\'' | b'"' | b'`') {
            return self.quoted(quote);
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.') || !b.is_ascii();
        let length = rest.iter().take_while(|b| part(b)).count();
        self.at = self.at.saturating_add(length);
        String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into_owned()
    }

    /// Goes past what stands in quotes, and gives it.
    fn quoted(&mut self, quote: u8) -> String {
        let mut out = Vec::new();
        self.at += 1;
        while self.at < self.text.len() {
            let c = self.peek(0);
            let escapes = c == b'\\' && quote != b'`' && self.quotes == Quotes::Escaping;
            if escapes || (c == quote && self.peek(1) == quote) {
                out.push(self.peek(1));
                self.at += 2;
            } else if c == quote {
                self.at += 1;
                break;
            } else {
                out.push(c);
                self.at += 1;
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Whether a value is put into the variable: by `:=`, or by `=` where a SET has its variables.
    fn is_assigned(&self, in_set: bool) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default().trim_ascii_start();
        rest.starts_with(b":=") || (in_set && rest.starts_with(b"="))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_named() {
        for (text, named) in [
            ("DELETE FROM t WHERE a = @`x`", "@x"),
            ("DELETE FROM t WHERE a = @x AND b = @'y z' AND c = @@sql_mode AND d = @x", "@x, @y z"),
            ("EXECUTE `p` USING @`a`,@`b`", "@a, @b"),
            ("SELECT '@no', \"@no\", `@no` FROM t", ""),
            ("SELECT 'it''s @no', 'a\\\\', @`x`", "@x"),
            // With and without escapes: either may be how it is read.
            ("SELECT 'a\\', @`x`, 'b'", "@x"),
            ("SELECT 'a\\'', @`x`, '\\'b'", "@x"),
            ("SELECT 1 -- it's\n, @x", "@x"),
            ("SET @`x` = 1, @`y` := @`z`", "@z"),
            ("SET @`x` = f(1, @`y` = 2)", "@y"),
            ("SET @`x` = @`y` = 1, @`z` = not @`w` = 2", "@w, @y"),
            ("SELECT @`a` := @`a` + 1", "@a"),
            ("CREATE USER `u`@`h`", ""),
            ("SELECT @\u{e9}", "@\u{e9}"),
            ("SELECT @`\u{202e}`", "@\\u{202e}"),
        ] {
            let said = unseen([text.as_bytes()]);
            let expected = format!("that it reads ({named}):");
            assert_eq!(said.as_ref().is_some_and(|s| s.contains(&expected)), !named.is_empty(), "{text}: {said:?}");
            assert_eq!(said.is_some(), !named.is_empty(), "{text}: {said:?}");
        }
        let many: String = (0..25).map(|n| format!(" @v{n:02}")).collect();
        assert!(unseen([many.as_bytes()]).unwrap().contains("@v19 and 5 more)"));
        for text in ["@", "@@", "@`", "'@", "SET @"] {
            assert_eq!(unseen([text.as_bytes()]), None, "{text}");
        }
        assert!(unseen([&b"@'\\"[..]]).is_some(), "what is cut off is no reason to say nothing");
    }
}
