//! The gateway's own credentials for upstreams, which may be replaced while sessions live.
use arc_swap::ArcSwapOption;
use doorward_model::Secret;
use std::{fmt, sync::Arc};

/// A credential: each log-in at the upstream takes what it is then. Sessions that are logged in go on.
#[derive(Clone)]
pub struct Rotating(Arc<Inner>);

struct Inner {
    /// What it is called where it is kept; for messages.
    name: String,
    value: ArcSwapOption<Secret<String>>,
}

/// A credential that is configured and not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's credential `{0}` is not there: store it, and try again")]
pub struct MissingSecret(pub String);

impl fmt::Debug for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rotating({})", self.0.name)
    }
}

impl Rotating {
    /// One that is there.
    pub fn new(name: &str, secret: Secret<String>) -> Self {
        let new = Self::missing(name);
        new.set(Some(secret));
        new
    }

    /// One that is still to come.
    pub fn missing(name: &str) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), value: ArcSwapOption::empty() }))
    }

    /// Replaces it; none takes it away.
    pub fn set(&self, secret: Option<Secret<String>>) {
        self.0.value.store(secret.map(Arc::new));
    }

    /// What it is now.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn current(&self) -> Result<Secret<String>, MissingSecret> {
        let value = self.0.value.load_full();
        value.map(|s| (*s).clone()).ok_or_else(|| MissingSecret(self.0.name.clone()))
    }
}
