//! Arrays and records in which sensitive values are found and replaced.
use doorward_detect::Hint;
use doorward_sql_session::TextMasking;

/// How deep arrays and records within each other are taken apart.
const DEEPEST: usize = 3;

/// Text of a type that is not known here. Arrays `{…}` and records `(…)` are masked element by
/// element, so that their structure stays what a client can read; anything else as plain text.
pub(super) fn structured(masking: &TextMasking, text: &[u8], hint: &Hint) -> Option<Vec<u8>> {
    if masking.may_contain(text) { element(masking, text, hint, 0) } else { None }
}

fn element(masking: &TextMasking, text: &[u8], hint: &Hint, depth: usize) -> Option<Vec<u8>> {
    let structure: &[u8] = match (text.first(), text.last()) {
        (Some(b'{' | b'['), Some(b'}')) => b"{},;",
        (Some(b'('), Some(b')')) => b"(),",
        _ => return masking.text(text, hint),
    };
    if depth >= DEEPEST {
        return masking.text(text, hint);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut found = false;
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let (raw, content) = if structure.contains(&first) {
            (rest.get(..1).unwrap_or_default(), None)
        } else if first == b'"' {
            let (raw, content) = unquoted(rest);
            (raw, Some(content))
        } else {
            let end = rest.iter().position(|b| structure.contains(b) || *b == b'"').unwrap_or(rest.len());
            let raw = rest.get(..end).unwrap_or_default();
            (raw, Some(raw.to_vec()))
        };
        match content.and_then(|content| element(masking, &content, hint, depth + 1)) {
            Some(masked) => {
                found = true;
                quote(&masked, &mut out);
            }
            None => out.extend_from_slice(raw),
        }
        rest = rest.get(raw.len().max(1)..).unwrap_or_default();
    }
    found.then_some(out)
}
/// A quoted element at the beginning of `text`: as it stands, and what it says. Arrays escape by
/// backslash, records double their quotes.
fn unquoted(text: &[u8]) -> (&[u8], Vec<u8>) {
    let mut content = Vec::new();
    let mut i = 1;
    while let Some(b) = text.get(i).copied() {
        match (b, text.get(i + 1)) {
            (b'\\', Some(next)) | (b'"', Some(next @ b'"')) => {
                content.push(*next);
                i += 2;
            }
            (b'"', _) => return (text.get(..=i).unwrap_or(text), content),
            _ => {
                content.push(b);
                i += 1;
            }
        }
    }
    (text, content)
}

fn quote(content: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for b in content {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out.push(b'"');
}
