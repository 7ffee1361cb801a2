//! E-mail addresses as people write them (a part of RFC 5321 section 4.1.2: no quoted local parts, no
//! address literals), with a domain that has a dot.
use crate::text;
use std::ops::Range;

const fn is_local(b: u8) -> bool {
    // Left out of RFC 5322's `atext`: what encloses or joins an address in JSON, arrays, URLs and
    // key=value texts (`/ = ? ^ { | }` and the backtick).
    b.is_ascii_alphanumeric()
        || b >= 0x80
        || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-' | b'&' | b'\'' | b'!' | b'#' | b'$' | b'*' | b'~')
}

const fn is_domain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80 || matches!(b, b'.' | b'-' | b'_')
}

const fn begins_label(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80
}

const fn ends_domain(b: u8) -> bool {
    b.is_ascii_alphabetic() || b >= 0x80
}

/// Bytes after the at sign that can be a domain. RFC 1035 allows 255.
fn domain(bytes: &[u8], at: usize) -> &[u8] {
    let rest = bytes.get(at + 1..).unwrap_or_default();
    let rest = rest.get(..255).unwrap_or(rest);
    rest.get(..rest.iter().position(|b| !is_domain(*b)).unwrap_or(rest.len())).unwrap_or_default()
}

/// Whether an address can be around the at sign, whatever belongs to the value.
pub(crate) fn loose(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| bytes.get(i)).is_some_and(|b| is_local(*b));
    let domain = domain(bytes, at);
    before
        && domain.first().is_some_and(|b| begins_label(*b))
        && domain.windows(3).any(|w| matches!(w, [b'.', a, b] if ends_domain(*a) && ends_domain(*b)))
}

/// An address that the text may end within: from where. A local part and an at sign, and nothing after it that
/// cannot be of a domain.
pub(crate) fn open(bytes: &[u8]) -> Option<usize> {
    let name = bytes.iter().rev().take(255).take_while(|b| is_domain(**b)).count();
    let at = bytes.len().checked_sub(name + 1).filter(|i| bytes.get(*i) == Some(&b'@'))?;
    let local = bytes.get(..at)?.iter().rev().take(255).take_while(|b| is_local(**b)).count();
    (local > 0).then_some(at - local)
}

/// The address around the at sign of a value.
pub(crate) fn exact(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let left = bytes.get(..at)?;
    let local = left.iter().rev().take_while(|b| is_local(**b)).count();
    let local = left.get(at - local..)?;
    // Punctuation before an address is not part of it: `'ada@example.com'`, `...ada@example.com`.
    let from = local.iter().position(|b| begins_label(*b) || *b == b'_')?;
    let start = at - local.len() + from;
    let domain = domain(bytes, at);
    domain.first().filter(|b| begins_label(**b))?;
    let length = domain_length(domain)?;
    (!scaled_image(domain)).then_some(start..at + 1 + length)
}

/// The length up to the last label that can be a top-level domain.
fn domain_length(domain: &[u8]) -> Option<usize> {
    let (mut end, mut best) = (0, None);
    for (i, label) in domain.split(|b| *b == b'.').enumerate() {
        if label.is_empty() {
            break;
        }
        // `example.com-` and `example.com_x` end at the label's letters.
        let clean = label.iter().position(|b| matches!(b, b'-' | b'_')).unwrap_or(label.len());
        let international = label.get(..4).is_some_and(|l| l.eq_ignore_ascii_case(b"xn--"));
        let letters = label.get(..clean).unwrap_or_default();
        let top = letters.len() >= 2 && letters.iter().all(|b| ends_domain(*b));
        if i > 0 && international && text::word_at(label, label.len() - 1) {
            best = Some(end + label.len());
        } else if i > 0 && top {
            best = Some(end + clean);
        }
        end += label.len() + 1;
    }
    best
}

/// `icon@2x.png` names a file.
fn scaled_image(domain: &[u8]) -> bool {
    matches!(domain, [d, b'x', b'.', ..] if d.is_ascii_digit())
}
