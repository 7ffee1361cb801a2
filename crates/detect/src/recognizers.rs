//! Finds exactly what is where in one value, and quickly says that nothing is.
use crate::{
    TypeSet,
    blocks::{self, Candidate, Look, Next},
    chain, checks, email, ipv6,
    secrets::{self, Kind, Secrets},
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
        // Whatever speaks of them has one of these, as `itin` and `social` do: most names are done with here.
        let is_near = |w: &[u8]| match w {
            [a, b, c] => matches!(&[a | 0x20, b | 0x20, c | 0x20], b"ssn" | b"tin" | b"tax" | b"soc"),
            _ => false,
        };
        if !name.as_bytes().windows(3).any(is_near) {
            return Self::default();
        }
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

/// How many prefixes of secrets are tried at the end of a text.
const MOST_OPEN: usize = 64;
/// Finds sensitive values. Immutable; built once, shared by everything.
#[derive(Debug)]
pub struct Detector {
    pub(crate) secrets: Secrets,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) const fn look(wanted: TypeSet) -> Look {
    Look {
        cards: wanted.contains(DataType::CreditCard),
        ssns: wanted.contains(DataType::UsSsn),
        phones: wanted.contains(DataType::Phone),
        ips: wanted.contains(DataType::IpAddress),
        ibans: wanted.contains(DataType::Iban),
        emails: wanted.contains(DataType::Email),
    }
}

pub(crate) const fn of_kind(kind: Kind) -> DataType {
    match kind {
        Kind::ApiKey => DataType::ApiKey,
        Kind::PrivateKey => DataType::PrivateKey,
        Kind::Jwt => DataType::Jwt,
    }
}

pub(crate) fn has_secrets(wanted: TypeSet) -> bool {
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
}
