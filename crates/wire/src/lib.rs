//! Bounded readers and writers for wire formats.
//!
//! Invariants: a [`Reader`] never reads beyond the slice it was given, a message is read to its last
//! byte ([`Reader::all`]), and nothing is allocated for a count that the bytes cannot hold.
//!
//! Deliberately absent: any one protocol, sockets, growth without a bound.

/// Bytes that are not what their format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end too early.
    #[error("{what}: cut off")]
    CutOff {
        /// What was being read.
        what: &'static str,
    },
    /// Bytes are left over.
    #[error("{what}: {left} bytes too many")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// How many.
        left: usize,
    },
    /// A value is out of its range.
    #[error("{what}: invalid value")]
    Invalid {
        /// What was being read.
        what: &'static str,
    },
}

/// Reads a slice from front to back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`; `what` names them in errors.
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The error for bytes that are out of range.
    pub const fn invalid(&self) -> WireError {
        WireError::Invalid { what: self.what }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(WireError::CutOff { what: self.what })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::CutOff { what: self.what })?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// Where none is left.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[b]| b)
    }

    /// A big-endian 16-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A big-endian signed 16-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn i16(&mut self) -> Result<i16, WireError> {
        self.array().map(i16::from_be_bytes)
    }

    /// A big-endian 32-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A big-endian signed 32-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A little-endian 16-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn u16_le(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A little-endian 24-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn u24_le(&mut self) -> Result<u32, WireError> {
        self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// A little-endian 32-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn u32_le(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian 64-bit number.
    ///
    /// # Errors
    /// Where fewer bytes are left.
    pub fn u64_le(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes up to the next NUL, which is read too.
    ///
    /// # Errors
    /// Where there is no NUL.
    pub fn cstr(&mut self) -> Result<&'a [u8], WireError> {
        let end = self.rest.iter().position(|b| *b == 0).ok_or(WireError::CutOff { what: self.what })?;
        let text = self.bytes(end)?;
        self.u8()?;
        Ok(text)
    }

    /// The bytes up to the next NUL as UTF-8.
    ///
    /// # Errors
    /// Where there is no NUL, or the text is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, WireError> {
        let invalid = self.invalid();
        std::str::from_utf8(self.cstr()?).map_err(|_| invalid)
    }

    /// A reader of the next `n` bytes alone.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, WireError> {
        Ok(Reader { rest: self.bytes(n)?, what: self.what })
    }

    /// A count of items of at least `size` bytes each, checked against what is left.
    ///
    /// # Errors
    /// Where so many cannot follow.
    pub fn count16(&mut self, size: usize) -> Result<usize, WireError> {
        let count = usize::from(self.u16()?);
        if count.saturating_mul(size) > self.rest.len() {
            return Err(WireError::CutOff { what: self.what });
        }
        Ok(count)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// How much is left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Where something is.
    pub const fn all(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::TooLong { what: self.what, left: self.rest.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_stays_within_its_slice() {
        let mut r = Reader::new(b"\x00\x02ab\x00rest", "test");
        assert_eq!(r.u16(), Ok(2));
        assert_eq!(r.text(), Ok("ab"));
        let mut sub = r.sub(2).unwrap();
        assert_eq!(sub.bytes(3), Err(WireError::CutOff { what: "test" }));
        assert_eq!(r.all(), Err(WireError::TooLong { what: "test", left: 2 }));
        assert_eq!(r.cstr(), Err(WireError::CutOff { what: "test" }));
    }

    #[test]
    fn numbers_of_both_orders() {
        let mut r = Reader::new(b"\x01\x02\x01\x02\x01\x02\x03\x01\0\0\x80\x02\0\0\0\0\0\0\0\x01", "test");
        assert_eq!((r.u16(), r.u16_le(), r.u24_le()), (Ok(0x0102), Ok(0x0201), Ok(0x03_0201)));
        assert_eq!((r.u32_le(), r.u64_le()), (Ok(0x8000_0001), Ok(2)));
        assert_eq!(r.u16_le(), Err(WireError::CutOff { what: "test" }));
    }

    #[test]
    fn a_count_that_cannot_follow_is_refused_before_anything_is_allocated() {
        let mut r = Reader::new(b"\xff\xff\x00", "test");
        assert!(r.count16(2).is_err());
    }
}
