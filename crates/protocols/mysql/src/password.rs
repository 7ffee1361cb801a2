//! What is kept of a password that callers prove, and how a proof is checked: as servers do it, by hashes of a hash.
use crate::auth::{sha1, sha256, xor};
use aws_lc_rs::constant_time;
use doorward_model::Secret;
use std::fmt;

/// What is kept of a password, enough to check proofs of it. The password has to be random: its hashes are quickly made.
///
/// Who has this and sees a proof by `mysql_native_password` can make others, so it is as secret as the password.
#[derive(Clone)]
pub struct KeptPassword {
    native: Secret<[u8; 20]>,
    sha2: Secret<[u8; 32]>,
}

impl fmt::Debug for KeptPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl KeptPassword {
    /// What is kept of this one.
    pub fn of(password: &Secret<String>) -> Self {
        let password = password.expose().as_bytes();
        Self { native: Secret::new(sha1(&[&sha1(&[password])])), sha2: Secret::new(sha256(&[&sha256(&[password])])) }
    }

    /// One that nobody has, for a user that there is not: no hash is known to be all zeros.
    pub fn of_nobody() -> Self {
        Self { native: Secret::new([0; 20]), sha2: Secret::new([0; 32]) }
    }

    /// `SHA1(password) XOR SHA1(nonce SHA1(SHA1(password)))`: whether the first of them hashes to what is kept.
    pub(crate) fn is_proved_natively(&self, proof: &[u8], nonce: &[u8]) -> bool {
        let Ok(proof) = <[u8; 20]>::try_from(proof) else { return false };
        let once = xor(proof, &sha1(&[nonce, self.native.expose()]));
        constant_time::verify_slices_are_equal(&sha1(&[&once]), self.native.expose()).is_ok()
    }

    /// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) nonce)`, likewise.
    pub(crate) fn is_proved_by_sha2(&self, proof: &[u8], nonce: &[u8]) -> bool {
        let Ok(proof) = <[u8; 32]>::try_from(proof) else { return false };
        let once = xor(proof, &sha256(&[self.sha2.expose(), nonce]));
        constant_time::verify_slices_are_equal(&sha256(&[&once]), self.sha2.expose()).is_ok()
    }

    /// Whether this is the password.
    pub(crate) fn is(&self, password: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&sha256(&[&sha256(&[password])]), self.sha2.expose()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{native_proof, sha2_proof};
    use proptest::prelude::*;

    const NONCE: &[u8] = b"abcdefghijklmnopqrst";

    #[test]
    fn what_is_kept_checks_proofs_and_shows_nothing() {
        let kept = KeptPassword::of(&Secret::new("pw".into()));
        assert!(kept.is_proved_natively(&native_proof("pw", NONCE), NONCE));
        assert!(kept.is_proved_by_sha2(&sha2_proof("pw", NONCE), NONCE));
        assert!(kept.is(b"pw") && !kept.is(b"pw\0") && !kept.is(b""));
        let other = b"bbcdefghijklmnopqrst";
        assert!(!kept.is_proved_natively(&native_proof("pw", NONCE), other), "a scramble that was seen before");
        assert!(!kept.is_proved_by_sha2(&sha2_proof("pw", NONCE), other));
        assert!(!kept.is_proved_natively(&native_proof("Pw", NONCE), NONCE));
        assert!(!kept.is_proved_by_sha2(&sha2_proof("Pw", NONCE), NONCE));
        assert_eq!(format!("{kept:?}"), "[secret]");
    }

    proptest! {
        #[test]
        fn nothing_else_proves_it(proof: Vec<u8>, native: [u8; 20], sha2: [u8; 32]) {
            for kept in [KeptPassword::of(&Secret::new("pw".into())), KeptPassword::of_nobody()] {
                prop_assert!(!kept.is_proved_natively(&proof, NONCE) && !kept.is_proved_by_sha2(&proof, NONCE));
                prop_assert!(!kept.is_proved_natively(&native, NONCE) && !kept.is_proved_by_sha2(&sha2, NONCE));
                prop_assert!(!kept.is(&proof));
            }
        }
    }
}
