//! Spots: where in a text something may be, found in one pass over it, and what is there.
//!
//! INVARIANT: whatever [`Detector::scan`] finds in any contiguous part of a text has a spot that overlaps it.
use crate::{
    Detector, Finding, Hint, TypeSet,
    blocks::{self, Candidate, Next},
    chain, checks, email, ipv6,
    recognizers::{has_secrets, look, of_kind},
    secrets::{self, Kind, Seen},
    text,
};
use doorward_model::DataType;
use std::ops::Range;

/// The shortest value that is found: `123::`.
const SHORTEST: usize = 5;
/// How often what is between findings is looked at again.
const ROUNDS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum What {
    /// A chain of digits.
    Number,
    Iban,
    Colon,
    AtSign,
    Secret(Seen),
}

/// Where something may be: a chain of digits, or a sign or prefix by which a value is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    start: usize,
    end: usize,
    what: What,
}

impl Spot {
    const fn sign(at: usize, what: What) -> Self {
        Self { start: at, end: at + 1, what }
    }

    pub(crate) const fn start(&self) -> usize {
        self.start
    }

    /// Whether words before it can tell what it is.
    pub(crate) const fn is_number(&self) -> bool {
        matches!(self.what, What::Number)
    }

    pub(crate) const fn is_private_key(&self) -> bool {
        matches!(self.what, What::Secret(Seen { kind: Kind::PrivateKey, .. }))
    }

    /// The same in a text that begins at `base` of this one.
    pub(crate) const fn moved(self, base: usize) -> Self {
        let what = match self.what {
            What::Secret(seen) => What::Secret(seen.moved(base)),
            What::Number | What::Iban | What::Colon | What::AtSign => self.what,
        };
        Self { start: self.start - base, end: self.end - base, what }
    }
}

/// What a candidate leads to, and from where to look on.
fn spot(bytes: &[u8], candidate: Candidate, hint: Hint, wanted: TypeSet) -> (Option<Spot>, usize) {
    let (possible, at, what) = match candidate {
        Candidate::Number(i) => {
            let Some(digit) = chain::digit_at(bytes, i) else { return (None, i + 1) };
            let (possible, end) = chain::loose(bytes, digit, wanted, hint.ssn);
            if !possible {
                return (None, end);
            }
            let Range { start, end } = chain::extent(bytes, digit);
            return (Some(Spot { start, end, what: What::Number }), end);
        }
        Candidate::Iban(i) => (bytes.get(i..).and_then(checks::iban).is_some(), i, What::Iban),
        Candidate::Colon(i) => (ipv6::loose(bytes, i), i, What::Colon),
        Candidate::AtSign(i) => (email::loose(bytes, i), i, What::AtSign),
    };
    (possible.then(|| Spot::sign(at, what)), at + 1)
}

impl Detector {
    /// All spots of a text, in order; they hold with any hint that `hint` covers.
    pub(crate) fn spots(&self, bytes: &[u8], hint: Hint, wanted: TypeSet, spots: &mut Vec<Spot>) {
        spots.clear();
        let look = look(wanted);
        if !look.is_empty() {
            blocks::pass(bytes, look, |candidate| {
                let (spot, next) = spot(bytes, candidate, hint, wanted);
                spots.extend(spot);
                Next::From(next)
            });
        }
        if has_secrets(wanted) {
            let mut from = 0;
            while let Some(seen) = self.secrets.next(bytes, from) {
                from = seen.next();
                if wanted.contains(of_kind(seen.kind)) && secrets::loose(bytes, &seen) {
                    spots.push(Spot::sign(seen.start(), What::Secret(seen)));
                }
            }
        }
        spots.sort_unstable_by_key(Spot::start);
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
        let mut spots = Vec::new();
        if text.len() >= SHORTEST {
            self.spots(text, *hint, wanted, &mut spots);
        }
        self.scan_spots(text, &spots, hint, wanted, found);
    }

    /// As [`Detector::scan_into`], for a text whose spots are known.
    pub(crate) fn scan_spots(
        &self,
        text: &[u8],
        spots: &[Spot],
        hint: &Hint,
        wanted: TypeSet,
        found: &mut Vec<Finding>,
    ) {
        found.clear();
        if text.len() < SHORTEST || spots.is_empty() {
            return;
        }
        verify(text, spots, hint, wanted, found);
        // What was tied to a finding stands alone when that is masked: look again at what is between,
        // a few times only, so that no text can make this quadratic.
        for _ in 0..ROUNDS {
            let more = self.between(text, spots, hint, wanted, found);
            if more.is_empty() {
                break;
            }
            found.extend(more);
            merge(found);
        }
    }

    fn between(&self, text: &[u8], spots: &[Spot], hint: &Hint, wanted: TypeSet, found: &[Finding]) -> Vec<Finding> {
        let mut more = Vec::new();
        if found.is_empty() {
            return more;
        }
        let (mut from, mut next, mut chain) = (0, 0, 0);
        for to in found.iter().map(|f| f.range.clone()).chain(std::iter::once(text.len()..text.len())) {
            // Chains do not overlap each other: of those that begin before the part, the last alone can reach it.
            while let Some(spot) = spots.get(next).filter(|s| s.start < from) {
                if spot.is_number() {
                    chain = spot.end;
                }
                next += 1;
            }
            let part = text.get(from..to.start).unwrap_or_default();
            let inside = spots.get(next..).unwrap_or_default().iter().take_while(|s| s.start < to.start);
            let possible =
                |s: &Spot| s.end <= to.start || !s.is_number() || rest_holds(part, s.start - from, hint, wanted);
            if part.len() >= SHORTEST
                && ((chain > from && rest_holds(part, 0, hint, wanted)) || inside.clone().any(possible))
            {
                let found = self.scan_once(part, hint, wanted);
                more.extend(
                    found.into_iter().map(|f| Finding { range: f.range.start + from..f.range.end + from, ..f }),
                );
            }
            from = to.end;
        }
        more
    }

    /// What is in a text as it stands, whatever would stand alone without it.
    fn scan_once(&self, text: &[u8], hint: &Hint, wanted: TypeSet) -> Vec<Finding> {
        let (mut spots, mut found) = (Vec::new(), Vec::new());
        self.spots(text, *hint, wanted, &mut spots);
        verify(text, &spots, hint, wanted, &mut found);
        found
    }
}

/// Whether what is left of a chain, at `from` in a part, can hold a value by itself.
fn rest_holds(part: &[u8], from: usize, hint: &Hint, wanted: TypeSet) -> bool {
    let rest = part.get(from..).unwrap_or_default();
    let Some(digit) = rest.iter().position(u8::is_ascii_digit) else { return false };
    chain::loose(part, from + digit, wanted, hint.ssn).0
}

/// What is at the spots, in order.
fn verify(text: &[u8], spots: &[Spot], hint: &Hint, wanted: TypeSet, found: &mut Vec<Finding>) {
    let (mut after_secret, mut no_token) = (0, 0);
    for spot in spots {
        let at = spot.start;
        let (data_type, range) = match &spot.what {
            What::Number => {
                chain::exact(text, at, wanted, hint.ssn, found);
                continue;
            }
            What::Iban => (DataType::Iban, iban(text, at)),
            What::Colon => (DataType::IpAddress, ipv6::exact(text, at)),
            What::AtSign => (DataType::Email, email::exact(text, at)),
            What::Secret(_) if at < after_secret => continue,
            What::Secret(seen) => {
                let range = secrets::exact(text, seen, &mut no_token);
                after_secret = range.as_ref().map_or(after_secret, |r| after_secret.max(r.end));
                (of_kind(seen.kind), range)
            }
        };
        found.extend(range.map(|range| Finding { data_type, range }));
    }
    merge(found);
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
            let found = Detector::new().scan_once(&text, &hint, TypeSet::all());
            prop_assert_eq!(found, everywhere, "{}", String::from_utf8_lossy(&text));
        }
    }
}
