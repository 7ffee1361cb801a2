//! Where in a text control characters are, sixteen bytes at a time.
use wide::i8x16;

const BLOCK: usize = 64;

/// Whether a byte is shown as it stands.
#[cfg(test)]
pub(super) const fn is_visible(b: u8) -> bool {
    (b >= 0x20 && b != 0x7f) || matches!(b, b'\t' | b'\n')
}

/// Control characters but tabs and line ends, one after the other.
#[derive(Debug)]
pub(super) struct Controls<'a> {
    bytes: &'a [u8],
    /// Where the bytes of the map begin.
    base: usize,
    /// A bit for each of the next bytes.
    map: u64,
}

fn map(block: &[u8; BLOCK]) -> u64 {
    let is = |v: i8x16, byte: u8| v.simd_eq(i8x16::splat(byte.cast_signed()));
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().rev().fold(0, |map, lane| {
        let v = i8x16::new(lane.map(u8::cast_signed));
        let low = v.simd_lt(i8x16::splat(0x20)) & v.simd_gt(i8x16::splat(-1));
        let odd = (low & !(is(v, b'\t') | is(v, b'\n'))) | is(v, 0x7f);
        map << 16 | u64::from(odd.to_bitmask() & 0xffff)
    })
}

impl<'a> Controls<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut controls = Self { bytes, base: 0, map: 0 };
        controls.load(0);
        controls
    }

    fn load(&mut self, base: usize) {
        let rest = self.bytes.get(base..).unwrap_or_default();
        self.base = base;
        self.map = match rest.first_chunk::<BLOCK>() {
            Some(block) => map(block),
            None => {
                let mut block = [b' '; BLOCK];
                block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                map(&block)
            }
        };
    }

    /// The first at or after a place; places do not go back.
    #[inline]
    pub(super) fn next_from(&mut self, at: usize) -> Option<usize> {
        let ahead = at.saturating_sub(self.base);
        if ahead >= BLOCK {
            self.load(at);
        } else {
            self.map &= u64::MAX << ahead;
        }
        while self.map == 0 {
            let base = self.base + BLOCK;
            if base >= self.bytes.len() {
                return None;
            }
            self.load(base);
        }
        Some(self.base + self.map.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_do_what_bytes_would(bytes in prop::collection::vec(prop_oneof![4 => Just(b'x'), 1 => any::<u8>()], 0..400),
            steps in prop::collection::vec(1..200_usize, 1..9)) {
            for steps in [vec![1], steps] {
                let (mut controls, mut steps) = (Controls::new(&bytes), steps.iter().cycle());
                let mut at = 0;
                while at <= bytes.len() {
                    let next = bytes.iter().skip(at).position(|b| !is_visible(*b)).map(|i| at + i);
                    prop_assert_eq!(controls.next_from(at), next);
                    at += steps.next().copied().unwrap_or(1);
                }
            }
        }
    }
}
