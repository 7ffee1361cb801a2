//! Another key takes over: each secret's own key is wrapped anew, the secrets themselves are not touched.
//!
//! One secret after the other, each in one statement of the database: whenever it ends, a kill -9 included, every secret is
//! under one of the two keys, and opens with both given. Log-ins go on meanwhile.
use crate::{Keeper, Keyring, SecretError, bound, own_key, seal};

/// What became of the secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// The key that wraps them all now.
    pub key: String,
    /// How many were wrapped anew.
    pub rewrapped: usize,
    /// How many there are.
    pub secrets: usize,
}

impl Keeper {
    /// Wraps everything by the current key of `keys`, which are in force from then on.
    ///
    /// # Errors
    /// [`SecretError::OtherKey`] or [`SecretError::Changed`] where a secret cannot be opened with these keys: nothing has been
    /// changed then. Where the store fails in the middle: what is done is done, and doing it again does the rest.
    pub async fn rewrap(&self, keys: Keyring) -> Result<Rewrapped, SecretError> {
        for s in self.store.secrets().await? {
            own_key(&keys, &s)?;
        }
        // INVARIANT: from here on nothing is written under another key, so what is left gets less.
        self.keys.store(keys.clone().into());
        let current = keys.current();
        let mut rewrapped = 0;
        loop {
            let all = self.store.secrets().await?;
            let secrets = all.len();
            let left: Vec<_> = all.into_iter().filter(|s| s.wrapped_by != current.id()).collect();
            if left.is_empty() {
                return Ok(Rewrapped { key: current.id().to_owned(), rewrapped, secrets });
            }
            for s in left {
                let own = own_key(&keys, &s)?;
                let wrapped = seal(current.bytes(), &bound(&s.name, s.version, "key"), &own)?;
                rewrapped += usize::from(self.store.rewrap_secret(&s, current.id(), &wrapped).await?);
            }
        }
    }
}
