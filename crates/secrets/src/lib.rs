//! Secrets in the store, under envelope encryption, and secrets that are kept elsewhere (`source/`).
//!
//! Purpose: each version of a secret is sealed with a key of its own (AES-256-GCM), which is wrapped by the gateway's key;
//! that one is never in the store. Who has the database alone has nothing.
//!
//! Invariants:
//! - A secret does not come back out but to the gateway itself ([`Keeper::open`]): nothing here prints or serializes one.
//! - A sealed secret is bound to its name and version: one cannot be put in another's place, nor an old one in the new one's.
//! - A key that does not fit is an error that names both, never an empty secret.
//!
//! Deliberately absent: where secrets go. The gateway takes them at each log-in.
mod key;
mod program;
mod rewrap;
mod source;

pub use key::{KeyError, Keyring, MasterKey};
pub use rewrap::Rewrapped;
pub use source::{
    AwsSecrets, AwsSettings, Content, Fetched, Given, InUse, KubernetesSecrets, KubernetesSettings, Lease, Login,
    Provider, Rules, Source, SourceError, SourceTls, Vault, VaultAuth, VaultSettings,
};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use doorward_model::{Secret, Timestamp};
use doorward_store::{SealedSecret, Store, StoreError};
use zeroize::Zeroizing;

/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 64 * 1024;
/// The longest name, in characters.
pub const MAX_NAME: usize = 100;

/// Why a secret cannot be kept or opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The name is not one.
    #[error("a secret's name has 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`")]
    Name,
    /// It is empty, or too long.
    #[error("a secret has 1 to {MAX_SECRET} bytes")]
    Size,
    /// It was sealed under another key.
    #[error(
        "the secret `{name}` was sealed under key {wrapped_by}, and the gateway has key {have}: give the other one in old_keys"
    )]
    OtherKey {
        /// Which secret.
        name: String,
        /// The key that wraps it.
        wrapped_by: String,
        /// The key that is there.
        have: String,
    },
    /// It was changed, or put in another's place.
    #[error("the secret `{0}` is not as it was sealed")]
    Changed(String),
    /// The cipher failed.
    #[error("the secret cannot be sealed")]
    Cipher,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is called.
    pub name: String,
    /// How often it was written.
    pub version: i64,
    /// When it was written.
    pub updated: Timestamp,
    /// By whom.
    pub updated_by: String,
}

impl From<SealedSecret> for Known {
    fn from(s: SealedSecret) -> Self {
        Self { name: s.name, version: s.version, updated: s.updated, updated_by: s.updated_by }
    }
}

/// Keeps secrets.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    keys: ArcSwap<Keyring>,
}

impl Keeper {
    /// Keeps them in this store, under these keys.
    pub fn new(store: Store, keys: impl Into<Keyring>) -> Self {
        Self { store, keys: ArcSwap::from_pointee(keys.into()) }
    }

    /// What there is, by name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list(&self) -> Result<Vec<Known>, SecretError> {
        Ok(self.store.secrets().await?.into_iter().map(Known::from).collect())
    }

    /// Keeps a secret in place of the one before.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn put(
        &self,
        name: &str,
        secret: &Secret<String>,
        by: &str,
        now: Timestamp,
    ) -> Result<Known, SecretError> {
        check_name(name)?;
        if secret.expose().is_empty() || secret.expose().len() > MAX_SECRET {
            return Err(SecretError::Size);
        }
        let version = self.store.secret(name).await?.map_or(0, |s| s.version).saturating_add(1);
        let own: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
        let keys = self.keys.load_full();
        let sealed = SealedSecret {
            name: name.to_owned(),
            version,
            wrapped_by: keys.current().id().to_owned(),
            wrapped_key: seal(keys.current().bytes(), &bound(name, version, "key"), &*own)?,
            sealed: seal(&own, &bound(name, version, "secret"), secret.expose().as_bytes())?,
            updated: now,
            updated_by: by.to_owned(),
        };
        self.store.put_secret(&sealed).await?;
        Ok(sealed.into())
    }

    /// Forgets a secret. False if there was none.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn forget(&self, name: &str) -> Result<bool, SecretError> {
        Ok(self.store.forget_secret(name).await?)
    }

    /// The secret itself, for the gateway. None where there is none of this name.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn open(&self, name: &str) -> Result<Option<Secret<String>>, SecretError> {
        let Some(s) = self.store.secret(name).await? else { return Ok(None) };
        let changed = || SecretError::Changed(name.to_owned());
        let own = own_key(&self.keys.load(), &s)?;
        let own: &[u8; 32] = own.as_slice().try_into().map_err(|_| changed())?;
        let text = open(own, &bound(name, s.version, "secret"), &s.sealed).ok_or_else(changed)?;
        let text = std::str::from_utf8(&text).map_err(|_| changed())?;
        Ok(Some(Secret::new(text.to_owned())))
    }
}

/// The key of a secret's own, unwrapped.
fn own_key(keys: &Keyring, s: &SealedSecret) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let key = keys.find(&s.wrapped_by).ok_or_else(|| SecretError::OtherKey {
        name: s.name.clone(),
        wrapped_by: s.wrapped_by.clone(),
        have: keys.current().id().to_owned(),
    })?;
    let own = open(key.bytes(), &bound(&s.name, s.version, "key"), &s.wrapped_key);
    own.ok_or_else(|| SecretError::Changed(s.name.clone()))
}

fn check_name(name: &str) -> Result<(), SecretError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(fits) {
        return Err(SecretError::Name);
    }
    Ok(())
}

/// What a sealed text is bound to.
fn bound(name: &str, version: i64, what: &str) -> Vec<u8> {
    format!("doorward secret 1\0{what}\0{version}\0{name}").into_bytes()
}

/// Nonce, then ciphertext with its tag. Nonces are random; a key of its own seals one text.
fn seal(key: &[u8; 32], bound: &[u8], text: &[u8]) -> Result<Vec<u8>, SecretError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| SecretError::Cipher)?;
    let nonce: [u8; NONCE_LEN] = rand::random();
    let mut sealed = text.to_vec();
    let at = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(at, Aad::from(bound), &mut sealed).map_err(|_| SecretError::Cipher)?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(key: &[u8; 32], bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).ok()?;
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let length = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bound), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

#[cfg(test)]
mod tests;
