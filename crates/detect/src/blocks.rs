//! The pass over every byte: forty-eight at a time become bitmaps, and arithmetic on the bitmaps
//! says where something may be. Everything dearer runs only there.
//!
//! A bitmap of 64 bits holds the last sixteen bytes of the block before and the 48 of this one.
//! Nothing that is looked for reaches further back than fifteen bytes, so no carry between blocks is
//! needed but these sixteen bits (double-word shifts, the alternative, took two thirds of the time).
use wide::i8x16;

const BLOCK: usize = 48;
const BEFORE: u32 = 16;

/// What a pass looks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Card numbers: thirteen digits in groups of three and more.
    pub(crate) cards: bool,
    /// Social security numbers: three, two and four digits, or nine.
    pub(crate) ssns: bool,
    /// Telephones: three and four digits, seven after a separator, or a plus sign.
    pub(crate) phones: bool,
    /// IP addresses: three near dots, two colons, three near colons.
    pub(crate) ips: bool,
    /// Two letters and two digits.
    pub(crate) ibans: bool,
    /// At signs.
    pub(crate) emails: bool,
}

impl Look {
    pub(crate) const fn is_empty(self) -> bool {
        !(self.cards || self.ssns || self.phones || self.ips || self.ibans || self.emails)
    }
}

/// A place where something may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// In a chain that can be a card, social security or telephone number (at a digit, or eight bytes
    /// after a plus sign), or at the third dot of an IPv4 address.
    Number(usize),
    /// The first of two letters that two digits follow.
    Iban(usize),
    /// A colon right after another, or the third of three with one to four bytes between them.
    Colon(usize),
    /// An at sign.
    AtSign(usize),
}

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Candidates of this kind before this place are dealt with.
    From(usize),
    /// No further look is needed.
    Stop,
}

/// Where the bytes of each class are; the lowest bit is the first of the sixteen bytes before the block.
#[derive(Clone, Copy, Default)]
struct Bitmaps {
    digit: u64,
    /// Space and everything from `(` to `/`: all that stands between the digits of numbers, and a little
    /// more.
    separator: u64,
    dot: u64,
    plus: u64,
    letter: u64,
    colon: u64,
    at_sign: u64,
}

#[inline(always)]
fn range(v: i8x16, low: u8, high: u8) -> i8x16 {
    v.simd_gt(i8x16::splat(low.cast_signed() - 1)) & v.simd_lt(i8x16::splat(high.cast_signed() + 1))
}

#[inline(always)]
fn is(v: i8x16, byte: u8) -> i8x16 {
    v.simd_eq(i8x16::splat(byte.cast_signed()))
}

/// Moves up by the lane, to the sixteen bits that are its own.
#[inline(always)]
fn bits(v: i8x16, lane: usize) -> u64 {
    u64::from(v.to_bitmask() & 0xffff) << (16 * (lane + 1))
}

impl Bitmaps {
    /// The bitmaps of the next block.
    #[inline(always)]
    fn next(&self, block: &[u8; BLOCK]) -> Self {
        let mut maps = Self {
            digit: self.digit >> BLOCK,
            separator: self.separator >> BLOCK,
            dot: self.dot >> BLOCK,
            plus: self.plus >> BLOCK,
            letter: self.letter >> BLOCK,
            colon: self.colon >> BLOCK,
            at_sign: self.at_sign >> BLOCK,
        };
        let (lanes, _) = block.as_chunks::<16>();
        for (i, lane) in lanes.iter().enumerate() {
            let v = i8x16::new(lane.map(u8::cast_signed));
            maps.digit |= bits(range(v, b'0', b'9'), i);
            maps.separator |= bits(range(v, b'(', b'/') | is(v, b' '), i);
            maps.dot |= bits(is(v, b'.'), i);
            maps.plus |= bits(is(v, b'+'), i);
            maps.letter |= bits(range(v | i8x16::splat(0x20), b'a', b'z'), i);
            maps.colon |= bits(is(v, b':'), i);
            maps.at_sign |= bits(is(v, b'@'), i);
        }
        maps
    }

    /// A bit of the result says that something ends at its place.
    #[inline(always)]
    fn hits(&self, look: Look) -> Hits {
        let mut hits = Hits::default();
        let (digit, separator) = (self.digit, self.separator);
        let digits_2 = digit & (digit << 1);
        if look.ssns || look.phones {
            let digits_3 = digit & (digits_2 << 1);
            let digits_4 = digits_2 & (digits_2 << 2);
            let digits_7 = digits_4 & (digits_3 << 4);
            if look.ssns {
                hits.number |= digits_7 & (digits_2 << 7);
                hits.number |= digits_4 & (separator << 4) & (digits_2 << 5) & (separator << 7) & (digits_3 << 8);
            }
            if look.phones {
                hits.number |= digits_4 & (separator << 4) & (digits_3 << 5) & (separator << 8);
                hits.number |= digits_7 & (separator << 7);
                // Eight more bytes of number: not the time zone `+02`.
                let number = digit | separator;
                let two = number & (number << 1);
                let four = two & (two << 2);
                hits.number |= four & (four << 4) & (self.plus << 8);
            }
        }
        if look.cards {
            // Separators with at least three other bytes since the one before: those of written card
            // numbers, not of dates and times.
            let close = separator & ((separator << 1) | (separator << 2) | (separator << 3));
            let part = digit | (separator & !close);
            let two = part & (part << 1);
            let four = two & (two << 2);
            let eight = four & (four << 4);
            hits.number |= eight & (eight << 5) & digit;
        }
        if look.ips {
            hits.number |= self.dot & near_dots(self.dot & near_dots(self.dot));
            hits.colon = self.colon & ((self.colon << 1) | near_colons(self.colon & near_colons(self.colon)));
        }
        if look.ibans {
            hits.iban = digits_2 & (self.letter << 2) & (self.letter << 3);
        }
        if look.emails {
            hits.at_sign = self.at_sign;
        }
        hits
    }
}

/// Places at two to four bytes after a bit: one to three digits between.
#[inline(always)]
const fn near_dots(map: u64) -> u64 {
    ((map | (map << 1)) | (map << 2)) << 2
}

/// Places at two to five bytes after a bit: one to four digits between.
#[inline(always)]
const fn near_colons(map: u64) -> u64 {
    let two = map | (map << 1);
    (two | (two << 2)) << 2
}

/// What candidates a block has.
#[derive(Clone, Copy, Default)]
struct Hits {
    number: u64,
    iban: u64,
    colon: u64,
    at_sign: u64,
}

/// Runs over `bytes` and tells `sink` of every candidate, in order within each kind.
/// True where the sink stopped it.
#[inline(always)]
pub(crate) fn pass(bytes: &[u8], look: Look, mut sink: impl FnMut(Candidate) -> Next) -> bool {
    let mut done = Done::default();
    let mut maps = Bitmaps::default();
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut base = 0;
    for block in blocks {
        maps = maps.next(block);
        let hits = maps.hits(look);
        if hits.any() && report(hits, base, &mut done, &mut sink) {
            return true;
        }
        base += BLOCK;
    }
    if rest.is_empty() {
        return false;
    }
    let mut last = [0_u8; BLOCK];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let hits = maps.next(&last).hits(look);
    hits.any() && report(hits, base, &mut done, &mut sink)
}

/// Up to where each kind of candidate is dealt with.
#[derive(Default)]
struct Done {
    number: usize,
    iban: usize,
    colon: usize,
    at_sign: usize,
}

impl Hits {
    #[inline(always)]
    const fn any(&self) -> bool {
        // What ends before the block was seen with the block before.
        (self.number | self.iban | self.colon | self.at_sign) >> BEFORE != 0
    }
}

fn report(hits: Hits, base: usize, done: &mut Done, sink: &mut impl FnMut(Candidate) -> Next) -> bool {
    each(hits.at_sign, base, &mut done.at_sign, |i| sink(Candidate::AtSign(i)))
        || each(hits.number, base, &mut done.number, |i| sink(Candidate::Number(i)))
        // The bit stands at the second check digit.
        || each(hits.iban, base, &mut done.iban, |i| sink(Candidate::Iban(i.saturating_sub(3))))
        || each(hits.colon, base, &mut done.colon, |i| sink(Candidate::Colon(i)))
}

#[inline(always)]
fn each(map: u64, base: usize, done: &mut usize, mut sink: impl FnMut(usize) -> Next) -> bool {
    let mut map = map >> BEFORE;
    while map != 0 {
        let skip = done.saturating_sub(base);
        if skip >= BLOCK {
            return false;
        }
        map &= u64::MAX << skip;
        if map == 0 {
            return false;
        }
        match sink(base + map.trailing_zeros() as usize) {
            Next::Stop => return true,
            Next::From(next) => *done = next,
        }
        map &= map - 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { cards: true, ssns: true, phones: true, ips: true, ibans: true, emails: true };

    fn candidates(bytes: &[u8]) -> Vec<Candidate> {
        let mut found = Vec::new();
        pass(bytes, LOOK, |c| {
            found.push(c);
            Next::From(0)
        });
        found
    }

    /// What the bitmaps compute, said byte by byte.
    #[allow(clippy::needless_range_loop, reason = "what is computed is about places")]
    fn plainly(bytes: &[u8]) -> Vec<Candidate> {
        let at = |i: usize, n: usize| i.checked_sub(n).map_or(0, |i| bytes[i]);
        let separator = |b: u8| (b'('..=b'/').contains(&b) || b == b' ';
        // `d` is a digit, `s` a separator; the last of the pattern stands at `i`.
        let ends = |i: usize, pattern: &str| {
            pattern.bytes().rev().enumerate().all(|(n, p)| {
                let b = at(i, n);
                if p == b'd' { b.is_ascii_digit() } else { separator(b) }
            })
        };
        let near = |i: usize, byte: u8, far: usize, what: &dyn Fn(usize) -> bool| {
            bytes[i] == byte && (2..=far).any(|n| i >= n && bytes[i - n] == byte && what(i - n))
        };
        let card_part =
            |i: usize| bytes[i].is_ascii_digit() || (separator(bytes[i]) && (1..=3).all(|n| !separator(at(i, n))));
        let mut found = Vec::new();
        for i in 0..bytes.len() {
            let card = i >= 12 && bytes[i].is_ascii_digit() && (0..13).all(|n| card_part(i - n));
            let dots = near(i, b'.', 4, &|i| near(i, b'.', 4, &|_| true));
            if card
                || dots
                || (at(i, 8) == b'+' && (0..8).all(|n| separator(at(i, n)) || at(i, n).is_ascii_digit()))
                || ["ddddddddd", "dddsddsdddd", "sdddsdddd", "sddddddd"].iter().any(|p| ends(i, p))
            {
                found.push(Candidate::Number(i));
            }
            if (0..2).all(|n| at(i, n).is_ascii_digit()) && (2..4).all(|n| at(i, n).is_ascii_alphabetic()) {
                found.push(Candidate::Iban(i - 3));
            }
            if bytes[i] == b':' && (at(i, 1) == b':' || near(i, b':', 5, &|i| near(i, b':', 5, &|_| true))) {
                found.push(Candidate::Colon(i));
            }
            if bytes[i] == b'@' {
                found.push(Candidate::AtSign(i));
            }
        }
        found
    }

    proptest::proptest! {
        #[test]
        fn blocks_do_what_bytes_would(
            digits in "[0-9]{0,20}([0-9]{1,5}[ .:+-]{1,2}){0,60}",
            text in "[0-9:a@ /.\\-G\\xff]{0,300}",
            any in proptest::prelude::any::<Vec<u8>>(),
        ) {
            for bytes in [digits.as_bytes(), text.as_bytes(), &any] {
                let (mut a, mut b) = (candidates(bytes), plainly(bytes));
                a.sort_by_key(|c| format!("{c:?}"));
                b.sort_by_key(|c| format!("{c:?}"));
                proptest::prop_assert_eq!(a, b);
            }
        }
    }
}
