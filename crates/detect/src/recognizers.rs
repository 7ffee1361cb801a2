//! Finds exactly what is where in one value, and quickly says that nothing is.
use crate::{
    TypeSet,
    blocks::{self, Candidate, Look, Next},
    chain, checks, email, ipv6,
    secrets::{self, Kind, Secrets},
    text,
};
use doorward_model::DataType;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Its surroundings speak of social security numbers: nine digits are one without dashes.
    pub ssn: bool,
}

impl Hint {
    /// A hint from the name of the column a value is in. Names are read by their words: `customer_ssn`,
    /// `ssnLast`, `tax_id`; not `className` or `rating`.
    pub fn from_column(name: &str) -> Self {
        let words = words(name);
        let has = |w: &str| words.iter().any(|word| word == w);
        let pair =
            |a: &str, b: &[&str]| words.windows(2).any(|w| matches!(w, [x, y] if x == a && b.contains(&y.as_str())));
        let one = words.iter().any(|w| {
            w.ends_with("ssn")
                || matches!(w.as_str(), "itin" | "taxid" | "socialsecurity" | "socialsecuritynumber" | "ssnum")
        });
        Self {
            ssn: one
                || has("tin")
                || pair("social", &["security", "sec", "insurance"])
                || pair("tax", &["id", "number", "payer"])
                || has("ssn"),
        }
    }

    /// What holds for either: a hint for bytes of several columns.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { ssn: self.ssn || other.ssn }
    }
}

/// The words of a name, in lower case: cut at what is no letter, and before capitals that follow others.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in name.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && small) {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if let (true, Some(word)) = (c.is_alphabetic(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// The shortest value that is found: `123::`.
const SHORTEST: usize = 5;
/// How many prefixes of secrets are tried at the end of a text.
const MOST_OPEN: usize = 64;
/// How often what is between findings is looked at again.
const ROUNDS: usize = 4;

/// Finds sensitive values. Immutable; built once, shared by everything.
#[derive(Debug)]
pub struct Detector {
    secrets: Secrets,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

const fn look(wanted: TypeSet) -> Look {
    Look {
        cards: wanted.contains(DataType::CreditCard),
        ssns: wanted.contains(DataType::UsSsn),
        phones: wanted.contains(DataType::Phone),
        ips: wanted.contains(DataType::IpAddress),
        ibans: wanted.contains(DataType::Iban),
        emails: wanted.contains(DataType::Email),
    }
}

const fn of_kind(kind: Kind) -> DataType {
    match kind {
        Kind::ApiKey => DataType::ApiKey,
        Kind::PrivateKey => DataType::PrivateKey,
        Kind::Jwt => DataType::Jwt,
    }
}

fn has_secrets(wanted: TypeSet) -> bool {
    [Kind::ApiKey, Kind::PrivateKey, Kind::Jwt].iter().any(|k| wanted.contains(of_kind(*k)))
}

impl Detector {
    /// All recognizers. Takes some microseconds.
    pub fn new() -> Self {
        Self { secrets: Secrets::new() }
    }

    /// A fast superset test over raw bytes, which may be many values with binary lengths between
    /// them: false means that [`Detector::scan`] finds no wanted type in any contiguous part of them,
    /// with any hint. Where the hints are known, [`Detector::may_contain_hinted`] says no more often.
    pub fn may_contain(&self, bytes: &[u8], wanted: TypeSet) -> bool {
        self.may_contain_hinted(bytes, Hint { ssn: true }, wanted)
    }

    /// As [`Detector::may_contain`], for values whose hints are all covered by `hint` ([`Hint::or`] of
    /// the columns): without the SSN hint, numbers of nine and more digits pass.
    pub fn may_contain_hinted(&self, bytes: &[u8], hint: Hint, wanted: TypeSet) -> bool {
        let look = look(wanted);
        let number_like = !look.is_empty()
            && blocks::pass(bytes, look, |candidate| {
                let (hit, next) = match candidate {
                    Candidate::Number(i) => match chain::digit_at(bytes, i) {
                        Some(digit) => chain::loose(bytes, digit, wanted, hint.ssn),
                        None => (false, i + 1),
                    },
                    Candidate::Iban(i) => (bytes.get(i..).and_then(checks::iban).is_some(), i + 1),
                    Candidate::Colon(i) => (ipv6::loose(bytes, i), i + 1),
                    Candidate::AtSign(i) => (email::loose(bytes, i), i + 1),
                };
                if hit { Next::Stop } else { Next::From(next) }
            });
        number_like || (has_secrets(wanted) && self.may_contain_secret(bytes, wanted))
    }

    fn may_contain_secret(&self, bytes: &[u8], wanted: TypeSet) -> bool {
        let mut from = 0;
        while let Some(seen) = self.secrets.next(bytes, from) {
            if wanted.contains(of_kind(seen.kind)) && secrets::loose(bytes, &seen) {
                return true;
            }
            from = seen.next();
        }
        false
    }

    /// What is where in one value, in order and without overlaps. Of findings that overlap, the one
    /// around the other wins; two that cross become one of the longer one's type, so that no byte of
    /// either is left over.
    pub fn scan(&self, text: &[u8], hint: &Hint, wanted: TypeSet) -> Vec<Finding> {
        let mut found = Vec::new();
        self.scan_into(text, hint, wanted, &mut found);
        found
    }

    /// As [`Detector::scan`], into a buffer that is emptied first.
    pub fn scan_into(&self, text: &[u8], hint: &Hint, wanted: TypeSet, found: &mut Vec<Finding>) {
        found.clear();
        if text.len() < SHORTEST {
            return;
        }
        self.scan_once(text, hint, wanted, found);
        // What was tied to a finding stands alone when that is masked: look again at what is between,
        // a few times only, so that no text can make this quadratic.
        for _ in 0..ROUNDS {
            let more = self.between(text, hint, wanted, found);
            if more.is_empty() {
                break;
            }
            found.extend(more);
            merge(found);
        }
    }

    fn between(&self, text: &[u8], hint: &Hint, wanted: TypeSet, found: &[Finding]) -> Vec<Finding> {
        let (mut more, mut part) = (Vec::new(), Vec::new());
        let mut from = 0;
        if found.is_empty() {
            return more;
        }
        for to in found.iter().map(|f| f.range.clone()).chain(std::iter::once(text.len()..text.len())) {
            if to.start.saturating_sub(from) >= SHORTEST {
                part.clear();
                self.scan_once(text.get(from..to.start).unwrap_or_default(), hint, wanted, &mut part);
                let moved = |f: Finding| Finding { range: f.range.start + from..f.range.end + from, ..f };
                more.extend(part.drain(..).map(moved));
            }
            from = to.end;
        }
        more
    }

    fn scan_once(&self, text: &[u8], hint: &Hint, wanted: TypeSet, found: &mut Vec<Finding>) {
        let look = look(wanted);
        if !look.is_empty() {
            blocks::pass(text, look, |candidate| Self::verify(text, candidate, hint, wanted, found));
        }
        if has_secrets(wanted) {
            self.scan_secrets(text, wanted, found);
        }
        merge(found);
    }

    fn verify(text: &[u8], candidate: Candidate, hint: &Hint, wanted: TypeSet, found: &mut Vec<Finding>) -> Next {
        let (data_type, range, next) = match candidate {
            Candidate::Number(i) => {
                let Some(digit) = chain::digit_at(text, i) else { return Next::From(i + 1) };
                // The cheap look first, because the exact one allocates.
                let (possible, end) = chain::loose(text, digit, wanted, hint.ssn);
                return Next::From(if possible { chain::exact(text, digit, wanted, hint.ssn, found) } else { end });
            }
            Candidate::Iban(i) => (DataType::Iban, iban(text, i), i + 1),
            Candidate::Colon(i) => {
                let range = ipv6::exact(text, i);
                let next = range.as_ref().map_or(i + 1, |r| r.end);
                (DataType::IpAddress, range, next)
            }
            Candidate::AtSign(i) => (DataType::Email, email::exact(text, i), i + 1),
        };
        found.extend(range.map(|range| Finding { data_type, range }));
        Next::From(next)
    }

    /// A key or token that the text may end within: from where.
    pub(crate) fn open_secret(&self, text: &[u8], wanted: TypeSet) -> Option<usize> {
        let mut from = 0;
        for _ in 0..MOST_OPEN {
            let seen = self.secrets.next(text, from)?;
            if wanted.contains(of_kind(seen.kind)) && secrets::open(text, &seen) {
                return Some(seen.start());
            }
            from = seen.next();
        }
        // A text of nothing but prefixes: what is left of it is not looked at.
        Some(from)
    }

    fn scan_secrets(&self, text: &[u8], wanted: TypeSet, found: &mut Vec<Finding>) {
        let (mut from, mut no_token) = (0, 0);
        while let Some(seen) = self.secrets.next(text, from) {
            let data_type = of_kind(seen.kind);
            from = seen.next();
            if wanted.contains(data_type)
                && let Some(range) = secrets::exact(text, &seen, &mut no_token)
            {
                from = from.max(range.end);
                found.push(Finding { data_type, range });
            }
        }
    }
}

fn iban(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let end = start + bytes.get(start..).and_then(checks::iban)?;
    (!text::word_before(bytes, start) && !text::word_at(bytes, end)).then_some(start..end)
}

/// Puts findings in order and overlapping ones together.
fn merge(found: &mut Vec<Finding>) {
    if found.len() < 2 {
        return;
    }
    let length = |f: &Finding| f.range.end - f.range.start;
    found.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    found.dedup_by(|next, kept| {
        if next.range.start >= kept.range.end {
            return false;
        }
        if next.range.end > kept.range.end {
            if length(next) > length(kept) {
                kept.data_type = next.data_type;
            }
            kept.range.end = next.range.end;
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::select};

    const PIECES: &[&str] = &[
        "4111 1111 1111 1111",
        "4111111111111111",
        "3782 822463 10005",
        "3056-930902-5904",
        "4222222222222",
        "ada@example.com",
        "078-05-1120",
        "078051120",
        "078 05 1120",
        "ssn ",
        "+1 415 555 2671",
        "+44 20 7183 8750",
        "+12 34 56 78",
        "+49 (0)89 1234567",
        "+49(0)89-1234567",
        "+4(4)20 71838750",
        "(415) 555-2671",
        "(415)5552671",
        "(415) 5552671",
        "(415).555.2671",
        "1.415.555.2671",
        "DE89 3704 0044 0532 0130 00",
        "gb29nwbk60161331926819",
        "8.8.8.8",
        "1.22.33.44",
        "192.168.100.200",
        "2001:db8::1",
        "1:2:3:4:5:6:7:8",
        "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
        "fe80::",
        "::ffff:10.1.2.3",
        " ",
        "-",
        ".",
        ",",
        "(",
        "+",
        ":",
        "x",
        "1",
        "12",
        "123",
        "1234",
        "\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        /// The bitmaps lead to everything that looking at each place by itself finds.
        #[test]
        fn bitmaps_lead_to_every_finding(pieces in prop::collection::vec(select(PIECES), 1..14), ssn in any::<bool>()) {
            let text = pieces.concat().into_bytes();
            let hint = Hint { ssn };
            let mut everywhere = Vec::new();
            for (i, b) in text.iter().enumerate() {
                if b.is_ascii_digit() {
                    chain::exact(&text, i, TypeSet::all(), ssn, &mut everywhere);
                }
                let mut add = |data_type, range: Option<Range<usize>>| {
                    everywhere.extend(range.map(|range| Finding { data_type, range }));
                };
                match b {
                    b':' => add(DataType::IpAddress, ipv6::exact(&text, i)),
                    b'@' => add(DataType::Email, email::exact(&text, i)),
                    _ => add(DataType::Iban, iban(&text, i)),
                }
            }
            merge(&mut everywhere);
            let mut found = Vec::new();
            Detector::new().scan_once(&text, &hint, TypeSet::all(), &mut found);
            prop_assert_eq!(found, everywhere, "{}", String::from_utf8_lossy(&text));
        }
    }
}
