//! Digits and what stands between them: cards, social security numbers, telephones, IPv4 addresses.
//!
//! A chain is groups of digits with one or two separators between them. `loose` looks at a chain that
//! may reach beyond a value on both sides, so it asks nothing of neighbours and takes the outer
//! groups for at least as long as they are needed; `exact` looks at the value itself.
use crate::{
    Finding, TypeSet, checks,
    text::{self, Words},
};
use doorward_model::DataType;

/// A group of digits.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    start: usize,
    end: usize,
}

impl Group {
    const fn len(self) -> usize {
        self.end - self.start
    }

    /// The value of some of its digits; the largest number where they are too many.
    fn number(self, bytes: &[u8], from: usize, n: usize) -> u32 {
        let digits = bytes.get(self.start + from..self.start + from + n).unwrap_or_default();
        digits.iter().fold(0_u32, |acc, d| acc.saturating_mul(10).saturating_add(u32::from(d.wrapping_sub(b'0'))))
    }

    fn last(self, bytes: &[u8], n: usize) -> u32 {
        self.number(bytes, self.len().saturating_sub(n), n)
    }
}

const fn is_separator(b: u8) -> bool {
    matches!(b, b' ' | b'-' | b'.' | b'(' | b')' | b'+')
}

/// Walks over the groups of the chain around a place.
struct Chain<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Chain<'a> {
    /// The chain that the digit at `digit` belongs to.
    fn around(bytes: &'a [u8], digit: usize) -> Self {
        let (mut at, mut gap) = (digit, 0);
        for (i, b) in bytes.get(..digit).unwrap_or_default().iter().enumerate().rev() {
            if b.is_ascii_digit() {
                gap = 0;
            } else if is_separator(*b) && gap < 2 {
                gap += 1;
                continue;
            } else {
                break;
            }
            at = i;
        }
        Self { bytes, at }
    }

    /// The group that begins here.
    fn group(&mut self) -> Group {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        self.at += rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        Group { start, end: self.at }
    }

    /// The next group, if no more than two separators are before it.
    fn next(&mut self) -> Option<Group> {
        let gap = match self.bytes.get(self.at..)? {
            [a, digit, ..] if is_separator(*a) && digit.is_ascii_digit() => 1,
            [a, b, digit, ..] if is_separator(*a) && is_separator(*b) && digit.is_ascii_digit() => 2,
            _ => return None,
        };
        self.at += gap;
        Some(self.group())
    }
}

/// A digit of the chain that a candidate is in: here, right after it, or among the last few before.
pub(crate) fn digit_at(bytes: &[u8], candidate: usize) -> Option<usize> {
    let digit = |i: &usize| bytes.get(*i).is_some_and(u8::is_ascii_digit);
    [candidate, candidate + 1].into_iter().chain((candidate.saturating_sub(8)..candidate).rev()).find(digit)
}

/// All of the chain around a digit.
pub(crate) fn extent(bytes: &[u8], digit: usize) -> std::ops::Range<usize> {
    let mut chain = Chain::around(bytes, digit);
    let start = chain.at;
    chain.group();
    while chain.next().is_some() {}
    start..chain.at
}

/// The bytes between two groups.
fn between(bytes: &[u8], a: Group, b: Group) -> &[u8] {
    bytes.get(a.end..b.start).unwrap_or_default()
}

/// Whether a plus sign, and nothing but perhaps a parenthesis, is right before the group.
fn plus_before(bytes: &[u8], g: Group) -> Option<usize> {
    let before = |n: usize| g.start.checked_sub(n).and_then(|i| bytes.get(i).map(|b| (i, *b)));
    match (before(1)?, before(2)) {
        ((i, b'+'), _) | ((_, b'('), Some((i, b'+'))) => Some(i),
        _ => None,
    }
}

/// Digits of a chain that can be one card number: joined by nothing, one space or one dash.
struct CardWindow {
    digits: [u8; 64],
    n: usize,
}

impl CardWindow {
    fn push(&mut self, digits: &[u8]) -> bool {
        if let Some(slots) = self.digits.get_mut(self.n..self.n + digits.len()) {
            slots.iter_mut().zip(digits).for_each(|(slot, d)| *slot = d.wrapping_sub(b'0'));
            self.n += digits.len();
            return false;
        }
        for d in digits {
            if self.n == self.digits.len() {
                if self.holds_card() {
                    return true;
                }
                // A card that begins in what is kept ends in what is to come.
                self.digits.copy_within(46.., 0);
                self.n = 18;
            }
            if let Some(slot) = self.digits.get_mut(self.n) {
                *slot = d.wrapping_sub(b'0');
            }
            self.n += 1;
        }
        false
    }

    fn holds_card(&self) -> bool {
        let digits = self.digits.get(..self.n).unwrap_or_default();
        if digits.len() < 13 {
            return false;
        }
        digits.windows(13).enumerate().any(|(i, w)| {
            let lengths = w.first_chunk::<4>().map_or(0, |f| checks::card_lengths(*f));
            lengths != 0 && (13..20).any(|n| lengths & (1 << n) != 0 && digits.get(i..i + n).is_some_and(checks::luhn))
        })
    }

    /// Whether there was a card in what is left; begins anew.
    fn reset(&mut self) -> bool {
        let held = self.n >= 13 && self.holds_card();
        self.n = 0;
        held
    }
}

/// Whether the chain around a digit can hold a wanted value in any of its parts, and where it ends.
/// `bare_ssn`: nine digits without dashes count wherever they are.
pub(crate) fn loose(bytes: &[u8], digit: usize, wanted: TypeSet, bare_ssn: bool) -> (bool, usize) {
    let mut chain = Chain::around(bytes, digit);
    let mut cards = CardWindow { digits: [0; 64], n: 0 };
    let card = wanted.contains(DataType::CreditCard);
    let mut before: [Option<Group>; 3] = [None; 3];
    let mut plus: Option<Plus> = None;
    let mut group = Some(chain.group());
    while let Some(g) = group {
        if card {
            let joined = before[0].is_some_and(|b| matches!(between(bytes, b, g), b" " | b"-"));
            if (!joined && cards.reset()) || cards.push(bytes.get(g.start..g.end).unwrap_or_default()) {
                return (true, chain.at);
            }
        }
        if wanted.contains(DataType::UsSsn) && loose_ssn(bytes, before, g, bare_ssn) {
            return (true, chain.at);
        }
        if wanted.contains(DataType::Phone) {
            if plus_before(bytes, g).is_some() {
                plus = Some(Plus::default());
            }
            if plus.as_mut().is_some_and(|p| p.push(bytes, g)) || loose_nanp(bytes, before, g) {
                return (true, chain.at);
            }
        }
        if wanted.contains(DataType::IpAddress) && loose_ipv4(bytes, before, g) {
            return (true, chain.at);
        }
        before = [Some(g), before[0], before[1]];
        group = chain.next();
    }
    (card && cards.reset(), chain.at)
}

fn loose_ssn(bytes: &[u8], before: [Option<Group>; 3], g: Group, bare: bool) -> bool {
    let in_words = |start: usize| bare || text::speaks_of_ssn(bytes, start, g.end, Words::Anywhere);
    if g.len() >= 9 && in_words(g.start) {
        return true;
    }
    let [Some(b), Some(a), _] = before else { return false };
    if a.len() < 3 || b.len() != 2 || g.len() < 4 || !checks::ssn_area(a.last(bytes, 3)) {
        return false;
    }
    match (between(bytes, a, b), between(bytes, b, g)) {
        (b"-", b"-") => true,
        (b" ", b" ") => in_words(a.start),
        _ => false,
    }
}

fn loose_nanp(bytes: &[u8], before: [Option<Group>; 3], g: Group) -> bool {
    let area = |a: Group, b: Group| a.len() >= 3 && checks::nanp(a.last(bytes, 3), b.number(bytes, 0, 3));
    if let [Some(a), ..] = before
        && g.len() >= 7
        && between(bytes, a, g).first() == Some(&b')')
        && area(a, g)
    {
        return true;
    }
    let [Some(b), Some(a), _] = before else { return false };
    g.len() >= 4
        && b.len() == 3
        && area(a, b)
        && matches!(between(bytes, b, g), b"-" | b"." | b" ")
        && matches!(between(bytes, a, b), b"-" | b"." | b" " | b")" | b") " | b")-" | b").")
}

fn loose_ipv4(bytes: &[u8], before: [Option<Group>; 3], g: Group) -> bool {
    let [Some(c), Some(b), Some(a)] = before else { return false };
    let dot = |a, b| between(bytes, a, b) == b".";
    let inner = |x: Group| x.len() <= 3 && x.number(bytes, 0, x.len()) < 256;
    dot(c, g) && dot(b, c) && dot(a, b) && inner(b) && inner(c)
}

/// An international number while its groups come in.
#[derive(Default)]
struct Plus {
    digits: [u8; 15],
    n: usize,
}

impl Plus {
    /// True where this and the groups before can be a number, whatever follows.
    fn push(&mut self, bytes: &[u8], g: Group) -> bool {
        for d in bytes.get(g.start..g.end).unwrap_or_default() {
            if let Some(slot) = self.digits.get_mut(self.n) {
                *slot = d.wrapping_sub(b'0');
                self.n += 1;
            }
        }
        self.n >= 8 && self.possible()
    }

    fn possible(&self) -> bool {
        let digits = self.digits.get(..self.n).unwrap_or_default();
        let number = |from: usize| digits.iter().skip(from).take(3).fold(0, |acc, d| acc * 10 + u32::from(*d));
        match checks::country_code(digits) {
            Some(1) if digits.first() == Some(&1) => self.n >= 11 && checks::nanp(number(1), number(4)),
            Some(_) => true,
            None => false,
        }
    }
}

/// Digits that values have at least.
const LEAST_DIGITS: [(DataType, usize); 4] =
    [(DataType::CreditCard, 13), (DataType::UsSsn, 9), (DataType::Phone, 8), (DataType::IpAddress, 4)];

/// Finds what is in the chain around a digit of a value, and says where the chain ends.
pub(crate) fn exact(bytes: &[u8], digit: usize, wanted: TypeSet, bare_ssn: bool, found: &mut Vec<Finding>) -> usize {
    let mut chain = Chain::around(bytes, digit);
    // More than most chains have.
    let mut groups = Vec::with_capacity(16);
    groups.push(chain.group());
    while let Some(g) = chain.next() {
        groups.push(g);
    }
    let digits: usize = groups.iter().map(|g| g.len()).sum();
    let exact = Exact { bytes, groups: &groups, bare_ssn };
    for (data_type, least) in LEAST_DIGITS {
        let mut i = 0;
        while wanted.contains(data_type) && digits >= least && i < groups.len() {
            i = match exact.at_group(data_type, i) {
                Some((range, next)) => {
                    found.push(Finding { data_type, range });
                    next
                }
                None => i + 1,
            };
        }
    }
    chain.at
}

type Found = Option<(std::ops::Range<usize>, usize)>;

/// Looks for a value that begins with a given group; answers with its range and the group after it.
struct Exact<'a> {
    bytes: &'a [u8],
    groups: &'a [Group],
    bare_ssn: bool,
}

impl Exact<'_> {
    fn at_group(&self, data_type: DataType, i: usize) -> Found {
        match data_type {
            DataType::CreditCard => self.card(i),
            DataType::UsSsn => self.ssn(i),
            DataType::Phone => self.phone(i),
            DataType::IpAddress => self.ipv4(i),
            DataType::Email | DataType::Iban | DataType::ApiKey | DataType::PrivateKey | DataType::Jwt => None,
        }
    }

    fn at(&self, i: usize) -> Option<Group> {
        self.groups.get(i).copied()
    }

    /// What is between a group and the one before it; empty at the ends of the chain.
    fn gap(&self, i: usize) -> &[u8] {
        match (i.checked_sub(1).and_then(|i| self.at(i)), self.at(i)) {
            (Some(a), Some(b)) => between(self.bytes, a, b),
            _ => b"",
        }
    }

    /// Whether nothing ties the groups `i..next` to longer words, numbers or decimals.
    fn stands_alone(&self, i: usize, next: usize) -> bool {
        let (Some(first), Some(last)) = (self.at(i), self.at(next - 1)) else { return false };
        !text::word_before(self.bytes, first.start)
            && !text::word_at(self.bytes, last.end)
            && !matches!(self.gap(i), b"." | b"-")
            && !matches!(self.gap(next), b"." | b"-")
    }

    fn card(&self, i: usize) -> Found {
        let first = self.at(i)?;
        if first.len() < 4 || text::word_before(self.bytes, first.start) || self.gap(i) == b"." {
            return None;
        }
        let mut digits = [0_u8; 19];
        let (mut n, mut best) = (0, None);
        let separator = self.gap(i + 1);
        for j in i..self.groups.len() {
            let g = self.at(j)?;
            // In a written card number only the last group is shorter than three.
            let previous = j.checked_sub(1).filter(|_| j > i).and_then(|j| self.at(j));
            if n + g.len() > 19 || previous.is_some_and(|p| p.len() < 3) {
                break;
            }
            if j > i && (self.gap(j) != separator || !matches!(separator, b" " | b"-")) {
                break;
            }
            for (slot, d) in digits.iter_mut().skip(n).zip(self.bytes.get(g.start..g.end)?) {
                *slot = d.wrapping_sub(b'0');
            }
            n += g.len();
            if n >= 13 && checks::card(digits.get(..n)?) && self.card_ends(i, j) {
                best = Some((first.start..g.end, j + 1));
            }
        }
        best.filter(|(range, _)| !text::in_uuid(self.bytes, range))
    }

    fn card_ends(&self, i: usize, j: usize) -> bool {
        let Some(last) = self.at(j) else { return false };
        let after = self.bytes.get(last.end..).unwrap_or_default();
        // A whole number may be shown with decimals that are all zero.
        let fraction = match after.split_first() {
            Some((b'.', rest)) => {
                let digits = rest.iter().take_while(|b| b.is_ascii_digit());
                !digits.clone().all(|d| *d == b'0')
            }
            _ => false,
        };
        let dashed = j > i && (self.gap(i) == b"-" || self.gap(j + 1) == b"-") && self.gap(j) == b"-";
        !fraction && !dashed && !text::word_at(self.bytes, last.end)
    }

    fn ssn(&self, i: usize) -> Found {
        let a = self.at(i)?;
        let valid = |area, group, serial| checks::ssn_area(area) && group != 0 && serial != 0;
        if a.len() == 9 && self.stands_alone(i, i + 1) {
            let n = |from, n| a.number(self.bytes, from, n);
            let found = valid(n(0, 3), n(3, 2), n(5, 4)) && self.ssn_in_words(a.start, a.end);
            return found.then_some((a.start..a.end, i + 1));
        }
        if a.len() != 3 {
            return None;
        }
        let (b, c) = (self.at(i + 1)?, self.at(i + 2)?);
        if (b.len(), c.len()) != (2, 4) || !self.stands_alone(i, i + 3) {
            return None;
        }
        let n = |g: Group| g.number(self.bytes, 0, g.len());
        if !valid(n(a), n(b), n(c)) {
            return None;
        }
        let said = match (self.gap(i + 1), self.gap(i + 2)) {
            (b"-", b"-") => true,
            (b" ", b" ") => self.ssn_in_words(a.start, c.end),
            _ => false,
        };
        said.then_some((a.start..c.end, i + 3))
    }

    fn ssn_in_words(&self, start: usize, end: usize) -> bool {
        self.bare_ssn || text::speaks_of_ssn(self.bytes, start, end, Words::Whole)
    }

    fn phone(&self, i: usize) -> Found {
        match plus_before(self.bytes, self.at(i)?) {
            Some(start) => self.international(i, start),
            None => self.national(i),
        }
    }

    fn international(&self, i: usize, start: usize) -> Found {
        if text::word_before(self.bytes, start) {
            return None;
        }
        let mut number = Plus::default();
        let (mut n, mut best) = (0, None);
        for j in i..self.groups.len() {
            let g = self.at(j)?;
            n += g.len();
            let plus_again = j > i && plus_before(self.bytes, g).is_some();
            if n > 15 || plus_again {
                break;
            }
            number.push(self.bytes, g);
            // North America has eleven digits; elsewhere a number written in one piece ends with it.
            let american = number.digits.first() == Some(&1);
            let fits = if american { n == 11 } else { n >= 8 };
            if fits && number.possible() && !text::word_at(self.bytes, g.end) {
                best = Some((start..g.end, j + 1));
            }
            if (american && n >= 11) || (j == i && n >= 8) {
                break;
            }
        }
        best
    }

    fn national(&self, i: usize) -> Found {
        let (a, b) = (self.at(i)?, self.at(i + 1)?);
        if a.len() != 3 {
            return None;
        }
        let gap = self.gap(i + 1);
        // A parenthesis that closes elsewhere is around the whole number.
        let closed = gap.first() == Some(&b')');
        let opened = a.start.checked_sub(1).filter(|p| closed && self.bytes.get(*p) == Some(&b'('));
        let (next, end) = match self.at(i + 2) {
            Some(c) if b.len() == 3 && c.len() == 4 && matches!(self.gap(i + 2), b"-" | b"." | b" ") => (i + 3, c.end),
            _ if b.len() == 7 && closed => (i + 2, b.end),
            _ => return None,
        };
        let written = match opened {
            Some(_) => matches!(gap, b")" | b") " | b")-" | b")."),
            None => matches!(gap, b"-" | b"." | b" ") && self.gap(i + 2) == gap,
        };
        let valid = checks::nanp(a.number(self.bytes, 0, 3), b.number(self.bytes, 0, 3));
        if !written || !valid {
            return None;
        }
        // The trunk prefix belongs to the number: `1-415-555-2671`.
        let trunk = i.checked_sub(1).filter(|_| opened.is_none() && self.gap(i) == gap).and_then(|t| {
            let g = self.at(t)?;
            (g.len() == 1 && self.bytes.get(g.start) == Some(&b'1')).then_some((t, g.start))
        });
        let (first, start) = trunk.unwrap_or((i, opened.unwrap_or(a.start)));
        let alone = if opened.is_some() {
            !text::word_at(self.bytes, end) && !matches!(self.gap(next), b"." | b"-")
        } else {
            self.stands_alone(first, next)
        };
        alone.then_some((start..end, next))
    }

    fn ipv4(&self, i: usize) -> Found {
        if self.gap(i + 1) != b"." {
            return None;
        }
        let groups = [self.at(i)?, self.at(i + 1)?, self.at(i + 2)?, self.at(i + 3)?];
        let [a, b, c, d] = groups;
        if !(1..4).all(|n| self.gap(i + n) == b".") || self.gap(i) == b"." || self.gap(i + 4) == b"." {
            return None;
        }
        let octet = |g: Group| {
            g.len() <= 3 && g.number(self.bytes, 0, g.len()) < 256 && (g.len() == 1 || g.number(self.bytes, 0, 1) != 0)
        };
        // `120.0.0.0` is a network or a version, nobody's address.
        let network = [b, c, d].iter().all(|g| g.number(self.bytes, 0, g.len()) == 0);
        let alone = !text::word_before(self.bytes, a.start) && !text::word_at(self.bytes, d.end);
        (groups.iter().all(|g| octet(*g)) && !network && alone).then_some((a.start..d.end, i + 4))
    }
}
