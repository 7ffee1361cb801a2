//! Characters whose bytes come in pieces.

/// Joins bytes to text; what is no UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character: three bytes at most.
    begun: Vec<u8>,
}

impl Utf8 {
    /// At the beginning of a character.
    pub const fn new() -> Self {
        Self { begun: Vec::new() }
    }

    /// The text that is complete.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let joined;
        let mut rest = bytes;
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.begun);
            rest = &joined;
        }
        let mut text = String::with_capacity(rest.len());
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            text.push_str(std::str::from_utf8(valid).unwrap_or_default());
            let Some(bad) = error.error_len() else {
                self.begun = after.to_vec();
                return text;
            };
            text.push(char::REPLACEMENT_CHARACTER);
            rest = after.get(bad..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_joined() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.push(&[b'a', 0xe2, 0x82]), "a");
        assert_eq!(utf8.push(&[0xac, b'b', 0xff, b'c', 0xc3]), "€b\u{fffd}c");
        assert_eq!(utf8.push(b"x"), "\u{fffd}x");
    }
}
