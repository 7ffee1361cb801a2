//! Where a list in pages goes on (`continue`), sealed where objects are left out: the API server writes the name of the last
//! object of a page into it, and takes any other one, so that callers could learn the names of what they do not see.
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rand,
};

/// What sealed ones begin with; those of API servers are base64 of JSON.
const SEALED: &str = "doorward.";

/// The key of a process: pages that were begun before it are begun anew.
#[derive(Debug)]
pub(crate) struct Pages(RandomizedNonceKey);

impl Pages {
    pub(crate) fn new() -> Result<Self, Unspecified> {
        let mut key = [0; 32];
        rand::fill(&mut key)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).map(Self)
    }

    pub(crate) fn seal(&self, token: &str) -> Result<String, Unspecified> {
        let mut text = token.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::empty(), &mut text)?;
        Ok(format!("{SEALED}{}{}", hex::encode(nonce.as_ref()), hex::encode(text)))
    }

    pub(crate) fn is_sealed(token: &str) -> bool {
        token.starts_with(SEALED)
    }

    /// What was sealed; none where it was not by this process.
    pub(crate) fn open(&self, token: &str) -> Option<String> {
        let bytes = hex::decode(token.strip_prefix(SEALED)?).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
        std::str::from_utf8(opened).ok().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_here_alone() {
        let pages = Pages::new().unwrap();
        let sealed = pages.seal("eyJzdGFydCI6Ingi").unwrap();
        assert!(Pages::is_sealed(&sealed) && !sealed.contains("eyJ"));
        assert_eq!(pages.open(&sealed).as_deref(), Some("eyJzdGFydCI6Ingi"));
        assert_eq!(Pages::new().unwrap().open(&sealed), None);
        for other in [
            "",
            "doorward.",
            "doorward.00",
            "eyJzdGFydCI6Ingi",
            &format!("{sealed}00"),
            sealed.get(..40).unwrap_or_default(),
        ] {
            assert_eq!(pages.open(other), None, "{other}");
        }
    }
}
