//! Keys and tokens, which begin with words that their issuers chose to be found by.
use aho_corasick::packed::Searcher;
use memchr::memmem;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ApiKey,
    PrivateKey,
    Jwt,
}

/// What follows a prefix.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// So many capitals and digits, no more and no fewer.
    Capitals(usize),
    /// At least so many letters and digits.
    Letters(usize),
    /// Of letters, digits, dashes and underscores at least so many, and a digit or a capital among them.
    Mixed(usize),
    /// Base64 with padding, at least so many.
    Base64(usize),
    /// Three characters before, and at least so many after.
    EntraSecret(usize),
    Pem,
    Jwt,
}

const PREFIXES: &[(&str, Kind, Form)] = &[
    // AWS: access keys, lasting and temporary
    ("AKIA", Kind::ApiKey, Form::Capitals(16)),
    ("ASIA", Kind::ApiKey, Form::Capitals(16)),
    // GitHub
    ("ghp_", Kind::ApiKey, Form::Letters(30)),
    ("gho_", Kind::ApiKey, Form::Letters(30)),
    ("ghu_", Kind::ApiKey, Form::Letters(30)),
    ("ghs_", Kind::ApiKey, Form::Letters(30)),
    ("ghr_", Kind::ApiKey, Form::Letters(30)),
    ("github_pat_", Kind::ApiKey, Form::Mixed(22)),
    // GitLab
    ("glpat-", Kind::ApiKey, Form::Mixed(20)),
    // Slack
    ("xoxa-", Kind::ApiKey, Form::Mixed(10)),
    ("xoxb-", Kind::ApiKey, Form::Mixed(10)),
    ("xoxe-", Kind::ApiKey, Form::Mixed(10)),
    ("xoxo-", Kind::ApiKey, Form::Mixed(10)),
    ("xoxp-", Kind::ApiKey, Form::Mixed(10)),
    ("xoxr-", Kind::ApiKey, Form::Mixed(10)),
    ("xoxs-", Kind::ApiKey, Form::Mixed(10)),
    ("xapp-", Kind::ApiKey, Form::Mixed(10)),
    // Stripe
    ("sk_live_", Kind::ApiKey, Form::Letters(16)),
    ("rk_live_", Kind::ApiKey, Form::Letters(16)),
    // Google: API key, OAuth client secret, OAuth access token
    ("AIza", Kind::ApiKey, Form::Mixed(35)),
    ("GOCSPX-", Kind::ApiKey, Form::Mixed(28)),
    ("ya29.", Kind::ApiKey, Form::Mixed(20)),
    // Azure: storage account keys, client secrets of Entra ID
    ("AccountKey=", Kind::ApiKey, Form::Base64(40)),
    ("7Q~", Kind::ApiKey, Form::EntraSecret(31)),
    ("8Q~", Kind::ApiKey, Form::EntraSecret(31)),
    // npm
    ("npm_", Kind::ApiKey, Form::Letters(36)),
    // OpenAI, Anthropic
    ("sk-", Kind::ApiKey, Form::Mixed(20)),
    ("-----BEGIN ", Kind::PrivateKey, Form::Pem),
    ("eyJ", Kind::Jwt, Form::Jwt),
];

/// A prefix that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    form: Form,
    start: usize,
    /// Where the prefix ends.
    end: usize,
}

impl Seen {
    /// Where the prefix begins.
    pub(crate) const fn start(&self) -> usize {
        self.start
    }

    /// The same in a text that begins at `base` of this one.
    pub(crate) const fn moved(self, base: usize) -> Self {
        Self { start: self.start - base, end: self.end - base, ..self }
    }

    /// From where to look for the next.
    pub(crate) const fn next(&self) -> usize {
        self.start + 1
    }
}

#[derive(Debug)]
pub(crate) struct Secrets {
    /// `None` on a machine without the vector instructions it is made of.
    packed: Option<Searcher>,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        Self { packed: Searcher::new(PREFIXES.iter().map(|(p, ..)| p)) }
    }

    /// The first prefix at or after a place. Prefixes that overlap are all seen by asking again from
    /// one byte after the start of the last.
    pub(crate) fn next(&self, bytes: &[u8], from: usize) -> Option<Seen> {
        if from >= bytes.len() {
            return None;
        }
        match &self.packed {
            Some(packed) => {
                let hit = packed.find_in(bytes, (from..bytes.len()).into())?;
                seen(hit.pattern().as_usize(), hit.start())
            }
            None => plainly(bytes, from),
        }
    }
}

fn seen(pattern: usize, start: usize) -> Option<Seen> {
    let (prefix, kind, form) = *PREFIXES.get(pattern)?;
    Some(Seen { kind, form, start, end: start + prefix.len() })
}

fn plainly(bytes: &[u8], from: usize) -> Option<Seen> {
    (from..bytes.len()).find_map(|start| {
        let rest = bytes.get(start..)?;
        PREFIXES.iter().position(|(p, ..)| rest.starts_with(p.as_bytes())).and_then(|p| seen(p, start))
    })
}

const fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

const fn is_entra(b: u8) -> bool {
    is_token(b) || matches!(b, b'.' | b'~')
}

const fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}

const fn is_letter(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

const fn is_capital(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

fn run(bytes: &[u8], from: usize, mut of: impl FnMut(u8) -> bool) -> &[u8] {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.get(..rest.iter().position(|b| !of(*b)).unwrap_or(rest.len())).unwrap_or_default()
}

/// As [`run`]; the dashes of a PEM line that follows without a blank are not of the token.
fn run_to_dashes(bytes: &[u8], from: usize, of: impl Fn(u8) -> bool) -> &[u8] {
    let mut dashes = 0;
    let token = run(bytes, from, |b| {
        dashes = if b == b'-' { dashes + 1 } else { 0 };
        of(b) && dashes < 5
    });
    if dashes < 5 { token } else { token.get(..token.len().saturating_sub(4)).unwrap_or_default() }
}

/// No more is looked at than says whether it can be a secret; keys are shorter.
const FAR: usize = 64;

/// Whether a secret can begin with the prefix, whatever belongs to the value.
pub(crate) fn loose(bytes: &[u8], seen: &Seen) -> bool {
    let near = bytes.get(..seen.end + FAR).unwrap_or(bytes);
    match seen.form {
        Form::Capitals(n) => run(near, seen.end, is_capital).len() >= n,
        Form::Letters(n) => run(near, seen.end, is_letter).len() >= n,
        // Where the digit is may be further than what is looked at here.
        Form::Mixed(n) => run(near, seen.end, is_token).len() >= n,
        Form::Base64(n) => run(near, seen.end, is_base64).len() >= n,
        Form::EntraSecret(n) => run(near, seen.end, is_entra).len() >= n,
        Form::Pem => pem_label(bytes, seen.end).is_some(),
        Form::Jwt => run(near, seen.end, is_token).len() >= SHORTEST_HEADER,
    }
}

/// How far a key is looked at to decide on it.
const DECIDED: usize = 512;

/// The secret that begins with the prefix in a value. `no_token` is up to where a JWT was looked for in
/// vain: it is kept between the calls for one value, and without it repeated headers cost their square.
pub(crate) fn exact(bytes: &[u8], seen: &Seen, no_token: &mut usize) -> Option<Range<usize>> {
    if let Form::Pem = seen.form {
        return pem(bytes, seen);
    }
    let start = if let Form::EntraSecret(_) = seen.form { seen.start.checked_sub(3)? } else { seen.start };
    if crate::text::word_before(bytes, start) {
        return None;
    }
    let near = bytes.get(..seen.end + DECIDED).unwrap_or(bytes);
    // A run is followed to its end only once it is known to be a key: what is found is not looked at again.
    let to_end = |of: fn(u8) -> bool| start..seen.end + run_to_dashes(bytes, seen.end, of).len();
    match seen.form {
        Form::Capitals(n) => {
            let length = run(near, seen.end, is_capital).len();
            (length == n && !crate::text::word_at(bytes, seen.end + n)).then_some(start..seen.end + n)
        }
        Form::Letters(n) => (run(near, seen.end, is_letter).len() >= n).then(|| to_end(is_letter)),
        Form::Mixed(n) => {
            let token = run_to_dashes(near, seen.end, is_token);
            let mixed = token.iter().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
            (token.len() >= n && mixed).then(|| to_end(is_token))
        }
        Form::Base64(n) => (run(near, seen.end, is_base64).len() >= n).then(|| seen.end..to_end(is_base64).end),
        Form::EntraSecret(n) => {
            let before = bytes.get(start..seen.start)?;
            let secret = run(near, seen.end, is_entra);
            let length = secret.len() - secret.iter().rev().take_while(|b| **b == b'.').count();
            (length >= n && before.iter().all(|b| is_entra(*b))).then_some(start..seen.end + length)
        }
        Form::Jwt => jwt(bytes, seen, no_token),
        Form::Pem => None,
    }
}

/// Where the label of a private key's first line ends (RFC 7468 section 2, and OpenPGP's).
fn pem_label(bytes: &[u8], from: usize) -> Option<usize> {
    let line = bytes.get(from..)?;
    let line = line.get(..64).unwrap_or(line);
    let label = line.get(..memmem::find(line, b"-----")?)?;
    let private = label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK");
    let letters = label.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ');
    (private && letters).then_some(from + label.len() + 5)
}

/// From the first line of a private key to its last, or to the end of a text that lacks it.
fn pem(bytes: &[u8], seen: &Seen) -> Option<Range<usize>> {
    let body = pem_label(bytes, seen.end)?;
    Some(seen.start..pem_end(bytes, body).unwrap_or(bytes.len()))
}

/// Where the first last line after a place ends.
pub(crate) fn pem_end(bytes: &[u8], from: usize) -> Option<usize> {
    let label = from + memmem::find(bytes.get(from..)?, b"-----END ")? + 9;
    let line = bytes.get(label..).unwrap_or_default();
    let line = line.get(..64).unwrap_or(line);
    memmem::find(line, b"-----").map(|dashes| label + dashes + 5)
}

/// Whether a private key begins that does not end.
pub(crate) fn is_pem_open(bytes: &[u8]) -> bool {
    let mut from = 0;
    while let Some(begin) = bytes.get(from..).and_then(|rest| memmem::find(rest, b"-----BEGIN ")) {
        from += begin + 11;
        if let Some(body) = pem_label(bytes, from) {
            match pem_end(bytes, body) {
                Some(end) => from = end,
                None => return true,
            }
        }
    }
    false
}

/// Whether what begins with the prefix may go on after the end of the text.
pub(crate) fn open(bytes: &[u8], seen: &Seen) -> bool {
    let start = if let Form::EntraSecret(_) = seen.form { seen.start.saturating_sub(3) } else { seen.start };
    let of: fn(u8) -> bool = match seen.form {
        Form::Capitals(_) => is_capital,
        Form::Letters(_) => is_letter,
        Form::Mixed(_) => is_token,
        Form::Base64(_) => is_base64,
        Form::EntraSecret(_) => is_entra,
        Form::Jwt => |b| is_token(b) || b == b'.',
        Form::Pem => return false,
    };
    !crate::text::word_before(bytes, start) && seen.end + run(bytes, seen.end, of).len() == bytes.len()
}

/// `{"alg":` and its two smallest companions make at least this many characters after `eyJ`.
const SHORTEST_HEADER: usize = 8;

/// Three parts of which the first is a JSON object (RFC 7515 section 7.1); five where it is encrypted
/// (RFC 7516).
fn jwt(bytes: &[u8], seen: &Seen, no_token: &mut usize) -> Option<Range<usize>> {
    let near = bytes.get(..seen.end + FAR).unwrap_or(bytes);
    let head = run(near, seen.start, is_token);
    if seen.start < *no_token || head.len() < SHORTEST_HEADER + 3 || !is_json_object(head) {
        return None;
    }
    let header = run(bytes, seen.start, is_token);
    let mut end = seen.start + header.len();
    let mut parts = 1;
    // An encrypted token may lack its key, which is its second part; a signed one has a payload there.
    let mut payload = false;
    while parts < 5 && bytes.get(end) == Some(&b'.') {
        let text = run(bytes, end + 1, is_token);
        // After three parts a full stop ends a sentence.
        if parts > 2 && text.is_empty() {
            break;
        }
        payload |= parts == 1 && text.len() > 1;
        parts += 1;
        end += 1 + text.len();
    }
    let whole = if payload { parts > 2 } else { parts == 5 };
    if !whole {
        *no_token = seen.start + header.len();
    }
    whole.then_some(seen.start..end)
}

/// Whether base64url decodes to something in braces with a quoted name in it.
fn is_json_object(text: &[u8]) -> bool {
    let mut decoded = [0_u8; 48];
    let decoded_length = text.len() / 4 * 3;
    let mut out = decoded.iter_mut();
    let value = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    for four in text.chunks_exact(4) {
        let bits = four.iter().fold(0_u32, |acc, b| acc << 6 | u32::from(value(*b)));
        for (slot, byte) in out.by_ref().take(3).zip(bits.to_be_bytes().iter().skip(1)) {
            *slot = *byte;
        }
    }
    let head = decoded.get(..decoded_length.min(48)).unwrap_or_default();
    head.starts_with(b"{\"")
        && head.iter().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
        && memmem::find(head, b"\":").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine without vector instructions sees the same prefixes.
    #[test]
    fn without_vectors_nothing_is_missed() {
        let text: String = PREFIXES.iter().map(|(p, ..)| format!("{p}AKIA AKI{p} x{p}{p}")).collect();
        let (packed, plain) = (Secrets::new(), Secrets { packed: None });
        let all = |secrets: &Secrets| {
            let (mut from, mut starts) = (0, Vec::new());
            while let Some(seen) = secrets.next(text.as_bytes(), from) {
                starts.push((seen.start, seen.end));
                from = seen.next();
            }
            starts
        };
        assert!(packed.packed.is_some() || !cfg!(target_arch = "x86_64"));
        assert_eq!(all(&packed), all(&plain));
        assert!(all(&plain).len() >= 5 * PREFIXES.len());
    }
}
