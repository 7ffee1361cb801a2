//! Finds exactly what is where in one value.
use crate::{TypeSet, checks, prefilter::Prefilter};
use doorward_model::DataType;
use regex_automata::{Input, meta::Regex};
use std::ops::Range;

/// A sensitive value and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub data_type: DataType,
    /// Where, in bytes.
    pub range: Range<usize>,
}

/// What is known of a value besides itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Words of its surroundings speak of social security numbers.
    pub ssn: bool,
}

impl Hint {
    /// A hint from the name of the column a value is in.
    pub fn from_column(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        Self { ssn: ["ssn", "social", "sozial", "tax_id", "taxid", "tin"].iter().any(|w| name.contains(w)) }
    }
}

type Check = fn(&[u8], Range<usize>, &Hint) -> Option<Range<usize>>;

struct Recognizer {
    data_type: DataType,
    pattern: Regex,
    check: Check,
}

impl std::fmt::Debug for Recognizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recognizer({})", self.data_type.as_str())
    }
}

/// Patterns on bytes. Every match is bounded in length or ends at a line, so that a match that the
/// check turns down cannot make the search quadratic.
const PATTERNS: &[(DataType, &str, Check)] = &[
    (
        DataType::PrivateKey,
        r"(?s-u)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY( BLOCK)?-----.*?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY( BLOCK)?-----|\z)",
        whole,
    ),
    (DataType::Jwt, r"(?-u)eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*", token),
    (
        DataType::ApiKey,
        r"(?-u)(A(KIA|SIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}|xox[bpars]-[A-Za-z0-9-]{10,128}|[sr]k_live_[A-Za-z0-9]{16,128}|AIza[A-Za-z0-9_-]{35}|sk-[A-Za-z0-9_-]{20,200}|npm_[A-Za-z0-9]{36})",
        token,
    ),
    (
        DataType::Email,
        r"(?-u)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\x80-\xff-]{1,64}@([A-Za-z0-9\x80-\xff]([A-Za-z0-9\x80-\xff-]{0,62})\.){1,8}[A-Za-z\x80-\xff]{2,63}",
        whole,
    ),
    (DataType::Iban, r"(?-u)[A-Z]{2}[0-9]{2}( ?[A-Z0-9]){11,30}", iban),
    (DataType::CreditCard, r"(?-u)[0-9]([ -]?[0-9]){11,18}", card),
    (DataType::UsSsn, r"(?-u)[0-9]{3}([ -]?)[0-9]{2}([ -]?)[0-9]{4}", ssn),
    (
        DataType::Phone,
        r"(?-u)(\+[1-9]([ ().-]{0,2}[0-9]){7,14}|(\([0-9]{3}\) ?|[0-9]{3}[.-])[0-9]{3}[.-][0-9]{4})",
        phone,
    ),
    (DataType::IpAddress, r"(?-u)([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:]{2,39}(:[0-9]{1,3}(\.[0-9]{1,3}){3})?)", ip),
];

/// Finds sensitive values. Built once, shared by everything.
#[derive(Debug)]
pub struct Detector {
    prefilter: Prefilter,
    recognizers: Vec<Recognizer>,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// All recognizers. Compiling them takes some milliseconds.
    pub fn new() -> Self {
        let recognizers = PATTERNS
            .iter()
            .filter_map(|(data_type, pattern, check)| {
                // The patterns are constants; a test compiles each of them.
                let pattern = Regex::builder()
                    .syntax(regex_automata::util::syntax::Config::new().utf8(false))
                    .configure(Regex::config().utf8_empty(false))
                    .build(pattern)
                    .ok()?;
                Some(Recognizer { data_type: *data_type, pattern, check: *check })
            })
            .collect();
        Self { prefilter: Prefilter::new(), recognizers }
    }

    /// A fast superset test over raw bytes, which may be many cells with binary lengths between
    /// them: false means that no contiguous part holds a value of a wanted type.
    pub fn may_contain(&self, bytes: &[u8], wanted: TypeSet) -> bool {
        !wanted.is_empty() && self.prefilter.types(bytes, wanted).intersects(wanted)
    }

    /// What is where in one value, in order and without overlaps; what begins first and is longest wins.
    pub fn scan(&self, text: &[u8], hint: &Hint, wanted: TypeSet) -> Vec<Finding> {
        let mut found: Vec<Finding> = Vec::new();
        if wanted.is_empty() {
            return found;
        }
        let possible = self.prefilter.types(text, wanted);
        for recognizer in &self.recognizers {
            let t = recognizer.data_type;
            if wanted.contains(t) && possible.contains(t) {
                recognizer.scan(text, hint, &mut found);
            }
        }
        // The order of the recognizers breaks ties: a key block is not a card number.
        found.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
        let mut end = 0;
        found.retain(|f| {
            let keep = f.range.start >= end;
            if keep {
                end = f.range.end;
            }
            keep
        });
        found
    }
}

impl Recognizer {
    fn scan(&self, text: &[u8], hint: &Hint, found: &mut Vec<Finding>) {
        let mut at = 0;
        while at < text.len() {
            let Some(hit) = self.pattern.find(Input::new(text).range(at..)) else { return };
            match (self.check)(text, hit.range(), hint) {
                Some(range) => {
                    at = range.end.max(at + 1);
                    found.push(Finding { data_type: self.data_type, range });
                }
                // The next try begins where another reading of these bytes could.
                None => at = hit.start() + 1,
            }
        }
    }
}

fn at(text: &[u8], i: Option<usize>) -> Option<u8> {
    i.and_then(|i| text.get(i)).copied()
}

fn is_word(b: Option<u8>) -> bool {
    b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn whole(_: &[u8], range: Range<usize>, _: &Hint) -> Option<Range<usize>> {
    Some(range)
}

/// Not the middle of a longer word.
fn token(text: &[u8], range: Range<usize>, _: &Hint) -> Option<Range<usize>> {
    (!is_word(at(text, range.start.checked_sub(1)))).then_some(range)
}

/// Not the middle of a longer number, of a decimal or of a hexadecimal string.
fn stands_alone(text: &[u8], range: &Range<usize>) -> bool {
    let before = at(text, range.start.checked_sub(1));
    let after = at(text, Some(range.end));
    let joined = |sep: Option<u8>, next: Option<u8>| {
        matches!(sep, Some(b'.' | b'-')) && next.is_some_and(|b| b.is_ascii_digit())
    };
    !is_word(before)
        && !is_word(after)
        && !joined(before, at(text, range.start.checked_sub(2)))
        && !joined(after, at(text, Some(range.end + 1)))
}

fn card(text: &[u8], range: Range<usize>, _: &Hint) -> Option<Range<usize>> {
    if !stands_alone(text, &range) {
        return None;
    }
    let digits = checks::digits(text.get(range.clone())?);
    (checks::card_range(&digits) && checks::luhn(&digits)).then_some(range)
}

fn ssn(text: &[u8], range: Range<usize>, hint: &Hint) -> Option<Range<usize>> {
    let value = text.get(range.clone())?;
    let digits = checks::digits(value);
    if !stands_alone(text, &range) || !checks::ssn(&digits) {
        return None;
    }
    let separators = value.len() - digits.len();
    let dashed = separators == 2 && value.get(3) == value.get(6) && value.get(3) == Some(&b'-');
    (dashed || hint.ssn || speaks_of_ssn(text, range.start)).then_some(range)
}

/// Whether a few words before a number speak of social security.
fn speaks_of_ssn(text: &[u8], start: usize) -> bool {
    let from = start.saturating_sub(40);
    let before = text.get(from..start).unwrap_or_default().to_ascii_lowercase();
    [&b"ssn"[..], b"social security", b"soc sec", b"social-security"]
        .iter()
        .any(|w| before.windows(w.len()).any(|part| part == *w))
}

fn phone(text: &[u8], range: Range<usize>, _: &Hint) -> Option<Range<usize>> {
    let digits = text.get(range.clone())?.iter().filter(|b| b.is_ascii_digit()).count();
    let international = text.get(range.start) == Some(&b'+');
    let enough = if international { (8..=15).contains(&digits) } else { digits == 10 };
    (enough && stands_alone(text, &range)).then_some(range)
}

fn iban(text: &[u8], range: Range<usize>, _: &Hint) -> Option<Range<usize>> {
    if is_word(at(text, range.start.checked_sub(1))) {
        return None;
    }
    let len = checks::iban(text.get(range.start..)?)?;
    Some(range.start..range.start + len)
}

fn ip(text: &[u8], range: Range<usize>, _: &Hint) -> Option<Range<usize>> {
    let value = std::str::from_utf8(text.get(range.clone())?).ok()?;
    if !stands_alone(text, &range) || at(text, Some(range.end)) == Some(b':') {
        return None;
    }
    match value.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(_) => Some(range),
        // `::` and times such as `::1:2` are too short to be anybody's address.
        std::net::IpAddr::V6(_) => (value.bytes().filter(u8::is_ascii_alphanumeric).count() >= 3).then_some(range),
    }
}

#[cfg(test)]
#[allow(clippy::string_slice, reason = "findings end at character boundaries in these samples")]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        let detector = Detector::new();
        assert_eq!(detector.recognizers.len(), PATTERNS.len(), "every pattern compiles");
        let hits = detector.scan(text.as_bytes(), &Hint::default(), TypeSet::all());
        if !hits.is_empty() {
            assert!(detector.may_contain(text.as_bytes(), TypeSet::all()), "{text}");
        }
        let shown: Vec<String> =
            hits.iter().map(|f| format!("{}={}", f.data_type.as_str(), &text[f.range.clone()])).collect();
        shown.join(" ")
    }

    #[test]
    fn what_is_found() {
        for (text, want) in [
            ("card 4111 1111 1111 1111 thanks", "credit_card=4111 1111 1111 1111"),
            ("5555-5555-5555-4444", "credit_card=5555-5555-5555-4444"),
            ("378282246310005", "credit_card=378282246310005"),
            ("mail ada@example.com.", "email=ada@example.com"),
            ("o'neil+x@mail.example.co.uk", "email=o'neil+x@mail.example.co.uk"),
            ("078-05-1120", "us_ssn=078-05-1120"),
            ("SSN: 078051120", "us_ssn=078051120"),
            ("call +1 415 555 2671", "phone=+1 415 555 2671"),
            ("(415) 555-2671", "phone=(415) 555-2671"),
            ("415-555-2671", "phone=415-555-2671"),
            ("+442071838750", "phone=+442071838750"),
            ("DE89 3704 0044 0532 0130 00", "iban=DE89 3704 0044 0532 0130 00"),
            (
                "from 192.168.1.10 to 2001:db8::8a2e:370:7334",
                "ip_address=192.168.1.10 ip_address=2001:db8::8a2e:370:7334",
            ),
            ("AKIAIOSFODNN7EXAMPLE", "api_key=AKIAIOSFODNN7EXAMPLE"),
            ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "api_key=ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d", "jwt=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
                "private_key=-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
            ),
        ] {
            assert_eq!(found(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_not_found() {
        for text in [
            "4111111111111112",
            "order 123456789",
            "9f86d081884c7d659a2feaa0c55ad015",
            "550e8400-e29b-41d4-a716-446655440000",
            "v1.2.3",
            "2024-05-17 10:22:33.123456+02",
            "3.14159265358979",
            "1700000000000",
            "user@host",
            "1.2.3.4.5",
            "10:22:33",
            "000-12-3456",
            "12345678901234567890",
            "total 1,234.56",
            "https://example.com/a/b",
        ] {
            assert_eq!(found(text), "", "{text}");
        }
    }
}

#[cfg(test)]
mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_prefilter_misses_nothing_whatever_stands_around(
            before in prop::collection::vec(any::<u8>(), 0..8),
            after in prop::collection::vec(any::<u8>(), 0..8),
            which in 0_usize..10,
        ) {
            let samples = [
                "4111 1111 1111 1111", "378282246310005", "ada@example.com", "078-05-1120", "SSN 078051120",
                "+1 415 555 2671", "(415) 555-2671", "DE89370400440532013000", "192.168.1.10", "2001:db8::1",
            ];
            let sample = samples[which];
            let detector = Detector::new();
            let alone = detector.scan(sample.as_bytes(), &Hint::default(), TypeSet::all());
            prop_assert!(!alone.is_empty());
            let run = [&before[..], sample.as_bytes(), &after[..]].concat();
            for f in alone {
                prop_assert!(detector.may_contain(&run, [f.data_type].into_iter().collect()), "{run:?}");
            }
        }

        #[test]
        fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let detector = Detector::new();
            let hits = detector.scan(&bytes, &Hint::default(), TypeSet::all());
            if !hits.is_empty() {
                prop_assert!(detector.may_contain(&bytes, TypeSet::all()));
            }
        }
    }
}
