//! Trees back to text: each token by the role that the grammar gave it.
//!
//! What comes out holds no comment but hints that are known, every name is in backticks, every string in single
//! quotes, every operator stands free. Whatever of our reading the server could have read otherwise in the
//! caller's text, it reads as we did in this one.
use super::{
    SqlMode,
    lexer::{Kind, Token},
    parser::{Edit, Parser, Role},
    words::listed,
};
use std::ops::Range;

/// The text of a statement.
pub(super) fn statement(parser: &Parser<'_>, tokens: &Range<usize>) -> Vec<u8> {
    range(parser, tokens.start, tokens.end)
}

/// The text of some tokens.
pub(super) fn range(parser: &Parser<'_>, start: usize, end: usize) -> Vec<u8> {
    placed(parser, start, end, &mut |_, _| {})
}

/// The text of some tokens; `place` hears where each of them stands in it.
pub(super) fn placed(
    parser: &Parser<'_>,
    start: usize,
    end: usize,
    place: &mut dyn FnMut(usize, Range<usize>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity((end - start) * 8);
    let first_edit = parser.edits.partition_point(|(token, _)| *token < start);
    let mut edits = parser.edits.get(first_edit..).unwrap_or_default().iter().peekable();
    let mut before: Option<(Token, Role)> = None;
    for index in start..end {
        let (Some(token), Some(role)) = (parser.tokens.get(index).copied(), parser.roles.get(index).copied()) else {
            break;
        };
        let mut replaced = None;
        let mut appended: Vec<&[u8]> = Vec::new();
        while let Some((_, edit)) = edits.next_if(|(at, _)| *at == index) {
            match edit {
                Edit::Append(text) => appended.push(text),
                Edit::Replace(text) => replaced = Some(text),
            }
        }
        if role == Role::Dropped {
            continue;
        }
        if before.is_some_and(|(t, r)| spaced(parser, t, r, token)) {
            out.push(b' ');
        }
        let begin = out.len();
        match replaced {
            Some(text) => out.extend_from_slice(text),
            None => push_token(parser, &mut out, token, role),
        }
        place(index, begin..out.len());
        appended.iter().for_each(|text| out.extend_from_slice(text));
        before = Some((token, role));
    }
    out
}

/// Whether a blank has to stand between two tokens; where it need not, the caller's text decides, because the
/// server names outputs by their text.
fn spaced(parser: &Parser<'_>, before: Token, role: Role, token: Token) -> bool {
    let mark = |t: Token| if t.kind == Kind::Mark { parser.slice(t) } else { b"" };
    let (left, right) = (mark(before), mark(token));
    if left == b"." || right == b"." || before.kind == Kind::System || left == b"(" {
        return false;
    }
    if right == b"(" {
        // A blank here would make a name of a function.
        return role != Role::Function && (token.space || (!left.is_empty() && left != b")"));
    }
    if matches!(right, b"," | b")" | b";") {
        return false;
    }
    if left == b"," {
        return token.space;
    }
    if token.kind == Kind::Variable && !token.space && left.is_empty() {
        return false;
    }
    // A sign keeps to its number; two signs would be a comment.
    !(matches!(left, b"-" | b"+" | b"~" | b"!") && right.is_empty() && !token.space)
}

fn push_token(parser: &Parser<'_>, out: &mut Vec<u8>, token: Token, role: Role) {
    let raw = parser.slice(token);
    match token.kind {
        Kind::Quoted => push_quoted(out, &parser.name_of(token)),
        Kind::Word if role == Role::Name => push_quoted(out, &parser.name_of(token)),
        Kind::Text => push_string(out, raw, parser.env.mode),
        Kind::National => {
            out.push(b'N');
            push_string(out, raw.get(1..).unwrap_or_default(), parser.env.mode);
        }
        Kind::Variable => {
            out.push(b'@');
            push_quoted(out, &variable_name(raw, parser.env.mode));
        }
        Kind::Word
        | Kind::Bits
        | Kind::Integer
        | Kind::Decimal
        | Kind::System
        | Kind::Parameter
        | Kind::Mark
        | Kind::Hint => out.extend_from_slice(raw),
    }
}

/// A name in backticks.
pub(super) fn push_quoted(out: &mut Vec<u8>, name: &str) {
    out.push(b'`');
    for b in name.bytes() {
        if b == b'`' {
            out.push(b'`');
        }
        out.push(b);
    }
    out.push(b'`');
}

/// The name within quotes that are doubled inside.
pub(super) fn unquoted(raw: &[u8], quote: u8) -> String {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(b) = bytes.next() {
        out.push(b);
        if b == quote {
            bytes.next();
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The name of `@name` in any of its forms.
pub(super) fn variable_name(raw: &[u8], mode: SqlMode) -> String {
    let name = raw.get(1..).unwrap_or_default();
    match name.first() {
        Some(b'"') if mode.ansi_quotes() => unquoted(name, b'"'),
        Some(b'\'' | b'"') => String::from_utf8_lossy(&string_value(name, mode)).into_owned(),
        Some(b'`') => unquoted(name, b'`'),
        Some(_) | None => String::from_utf8_lossy(name).into_owned(),
    }
}

/// What a string literal stands for.
pub(super) fn string_value(raw: &[u8], mode: SqlMode) -> Vec<u8> {
    let quote = raw.first().copied().unwrap_or(b'\'');
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(b) = bytes.next() {
        if b == quote {
            bytes.next();
            out.push(b);
        } else if b == b'\\' && !mode.no_backslash_escapes() {
            match bytes.next() {
                Some(b'0') => out.push(0),
                Some(b'b') => out.push(8),
                Some(b'n') => out.push(b'\n'),
                Some(b'r') => out.push(b'\r'),
                Some(b't') => out.push(b'\t'),
                Some(b'Z') => out.push(26),
                // The pattern of a LIKE keeps its backslash.
                Some(escaped @ (b'%' | b'_')) => out.extend_from_slice(&[b'\\', escaped]),
                Some(other) => out.push(other),
                None => {}
            }
        } else {
            out.push(b);
        }
    }
    out
}

/// A string literal that stands for a value.
pub(super) fn string_literal(value: &[u8], mode: SqlMode) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 2);
    out.push(b'\'');
    for b in value {
        match b {
            b'\'' => out.extend_from_slice(b"''"),
            b'\\' if !mode.no_backslash_escapes() => out.extend_from_slice(b"\\\\"),
            0 if !mode.no_backslash_escapes() => out.extend_from_slice(b"\\0"),
            26 if !mode.no_backslash_escapes() => out.extend_from_slice(b"\\Z"),
            other => out.push(*other),
        }
    }
    out.push(b'\'');
    out
}

fn push_string(out: &mut Vec<u8>, raw: &[u8], mode: SqlMode) {
    if raw.first() == Some(&b'\'') && !raw.contains(&b'\\') {
        return out.extend_from_slice(raw);
    }
    out.extend_from_slice(&string_literal(&string_value(raw, mode), mode));
}

const HINTS: &str = " JOIN_FIXED_ORDER JOIN_ORDER JOIN_PREFIX JOIN_SUFFIX BKA NO_BKA BNL NO_BNL DERIVED_CONDITION_PUSHDOWN HASH_JOIN \
NO_HASH_JOIN MERGE NO_MERGE GROUP_INDEX NO_GROUP_INDEX INDEX NO_INDEX INDEX_MERGE NO_INDEX_MERGE JOIN_INDEX NO_JOIN_INDEX MRR \
NO_MRR NO_ICP NO_RANGE_OPTIMIZATION ORDER_INDEX NO_ORDER_INDEX SKIP_SCAN NO_SKIP_SCAN SEMIJOIN NO_SEMIJOIN SUBQUERY \
MAX_EXECUTION_TIME QB_NAME ";

/// Whether all of a hint is known: names of hints with names in parentheses. `SET_VAR` is not among them.
pub(super) fn is_known_hint(raw: &[u8]) -> bool {
    let inner = raw.get(3..raw.len().saturating_sub(2)).unwrap_or_default();
    let mut rest = inner.trim_ascii();
    while !rest.is_empty() {
        let Some(open) = rest.iter().position(|b| *b == b'(') else { return false };
        let Some(close) = rest.iter().position(|b| *b == b')') else { return false };
        let (name, args) =
            (rest.get(..open).unwrap_or_default().trim_ascii(), rest.get(open + 1..close).unwrap_or_default());
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'@' | b',' | b' ' | b'`' | b'.');
        // INVARIANT: a quote that is open at `)` would go on behind the hint, and take what follows into it.
        let quotes_end = args.iter().filter(|b| **b == b'`').count() % 2 == 0;
        if !listed(HINTS, name) || !args.iter().all(plain) || !quotes_end {
            return false;
        }
        rest = rest.get(close + 1..).unwrap_or_default().trim_ascii();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        let mode = SqlMode::default();
        let plain = SqlMode::parse("NO_BACKSLASH_ESCAPES").unwrap();
        assert_eq!(string_value(br#""a""b\'\n\%\Z\q""#, mode), b"a\"b'\n\\%\x1aq");
        assert_eq!(string_literal(b"a'b\\%\0", mode), b"'a''b\\\\%\\0'");
        assert_eq!(string_value(br"'a\n'", plain), br"a\n");
        assert_eq!(string_literal(br"a\n'", plain), br"'a\n'''");
        assert_eq!(unquoted(b"`a``b`", b'`'), "a`b");
        assert_eq!(variable_name(b"@'a b'", mode), "a b");
    }

    #[test]
    fn hints() {
        assert!(is_known_hint(b"/*+ MAX_EXECUTION_TIME(1000) NO_INDEX(t1 i1, i2) */"));
        assert!(!is_known_hint(b"/*+ SET_VAR(sql_mode='ANSI_QUOTES') */"));
        assert!(is_known_hint(b"/*+ BKA(`t 1`) */") && !is_known_hint(b"/*+ QB_NAME(`x) */"));
        assert!(!is_known_hint(b"/*+ BKA(t1 */") && !is_known_hint(b"/*+ x */"));
    }
}
