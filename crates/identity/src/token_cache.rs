//! Tokens that were verified, so that the next connection with the same one costs a hash.
use crate::claims::Validity;
use crate::jwks::KeyId;
use aws_lc_rs::digest;
use doorward_model::Principal;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// SHA-256 of the token: the token itself is not kept.
pub(crate) type TokenDigest = [u8; 32];

pub(crate) fn digest_of(token: &str) -> TokenDigest {
    let mut out = TokenDigest::default();
    out.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    out
}

/// What was found out about a token. Whoever uses it checks the time, and that the key is still published.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) principal: Principal,
    pub(crate) validity: Validity,
    /// The place of the issuer in the verifier's list.
    pub(crate) issuer: usize,
    pub(crate) key: KeyId,
}

/// Two generations of bounded size: when the young one is full, the old one is forgotten.
#[derive(Debug, Default)]
pub(crate) struct TokenCache {
    generations: Mutex<(Generation, Generation)>,
}

type Generation = HashMap<TokenDigest, Arc<Verified>>;

/// Entries in a generation. An entry is at most a few times as large as its token.
const GENERATION: usize = 1024;

impl TokenCache {
    pub(crate) fn find(&self, digest: &TokenDigest) -> Option<Arc<Verified>> {
        let generations = self.generations.lock();
        generations.0.get(digest).or_else(|| generations.1.get(digest)).cloned()
    }

    pub(crate) fn insert(&self, digest: TokenDigest, verified: Arc<Verified>) {
        let mut generations = self.generations.lock();
        if generations.0.len() >= GENERATION {
            generations.1 = std::mem::take(&mut generations.0);
        }
        generations.0.insert(digest, verified);
    }

    pub(crate) fn remove(&self, digest: &TokenDigest) {
        let mut generations = self.generations.lock();
        generations.0.remove(digest);
        generations.1.remove(digest);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let generations = self.generations.lock();
        generations.0.len() + generations.1.len()
    }
}
