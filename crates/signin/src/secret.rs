//! Secrets that somebody signs in with: drawn here, kept as hashes.
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward_model::Secret;
use doorward_store::SecretHash;

/// 32 bytes in base64url.
const LENGTH: usize = 43;

/// 256 random bits behind a word that says what they are: scanners of repositories find it by the word.
pub(crate) fn fresh(prefix: &str) -> Secret<String> {
    let bytes: [u8; 32] = rand::random();
    Secret::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether a text has the form that [`fresh`] gives: what has not is not looked up.
pub(crate) fn looks_like(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == LENGTH && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

/// What is kept of it. Such a secret cannot be guessed, so that no slow hash is needed.
pub(crate) fn hash(secret: &str) -> SecretHash {
    let mut out = SecretHash::default();
    out.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_different_and_known_by_their_form() {
        let (a, b) = (fresh("dwk_"), fresh("dwk_"));
        assert_ne!(a.expose(), b.expose());
        assert!(looks_like("dwk_", a.expose()) && !looks_like("dwl_", a.expose()));
        for bad in ["", "dwk_", "dwk_x", &format!("{}=", a.expose()), &a.expose().replace("dwk_", "dwk_\u{e9}")] {
            assert!(!looks_like("dwk_", bad), "{bad}");
        }
        assert_ne!(hash(a.expose()), hash(b.expose()));
        assert_eq!(format!("{a:?}"), "[secret]");
    }
}
