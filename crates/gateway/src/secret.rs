//! The gateway's own credentials for upstreams, which may be replaced while sessions live.
//!
//! Two kinds: those that are handed over when they change (the store, a file), and those that are asked for at each
//! log-in (Vault and its like, which keep what they said for a while).
use arc_swap::ArcSwapOption;
use doorward_model::Secret;
use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// What a source lends with a credential.
pub trait Loan: Send + Sync {
    /// An upstream has accepted the credential.
    fn worked(&self);
}

/// What a source lends with a credential, and has back once it is dropped: kept by what is logged in with it, for as long as it is.
#[derive(Clone, Default)]
pub struct Lent(Option<Arc<dyn Loan>>);

impl Lent {
    /// Something of the source's.
    pub fn new(what: impl Loan + 'static) -> Self {
        Self(Some(Arc::new(what)))
    }

    /// Tells the source that an upstream has accepted it: one that was lent in another's place takes it then.
    pub(crate) fn worked(&self) {
        if let Some(loan) = &self.0 {
            loan.worked();
        }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}

/// What the gateway logs in with.
#[derive(Clone)]
pub struct UpstreamLogin {
    /// The user, where it comes with the password.
    pub user: Option<String>,
    /// The password, token or private key.
    pub password: Secret<String>,
    /// To be kept while something is logged in with it.
    pub lent: Lent,
}

impl fmt::Debug for UpstreamLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamLogin([secret])")
    }
}

impl UpstreamLogin {
    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        self.user == other.user && self.password.expose() == other.password.expose()
    }
}

/// What a source says, later.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where credentials are asked for.
pub trait LoginSource: Send + Sync {
    /// What to log in with now; within a few seconds, or what is wrong, without a secret in it.
    fn login(&self) -> Asking<'_, Result<UpstreamLogin, String>>;

    /// The upstream did not accept this one. What may be tried in its place, if there is something.
    fn refused<'a>(&'a self, login: &'a UpstreamLogin) -> Asking<'a, Option<UpstreamLogin>>;
}

/// A credential: each log-in at the upstream takes what it is then. Sessions that are logged in go on.
#[derive(Clone)]
pub struct Rotating(Arc<Inner>);

struct Inner {
    /// What it is called where it is kept; for messages.
    name: String,
    value: Value,
}

enum Value {
    Held(ArcSwapOption<Secret<String>>),
    Asked(Arc<dyn LoginSource>),
}

/// A credential that is configured and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingSecret {
    /// Nobody has stored it.
    #[error("the upstream's credential `{0}` is not there: store it, and try again")]
    NotThere(String),
    /// Its source does not give it.
    #[error("the upstream's credential `{name}` cannot be had: {why}")]
    Source {
        /// Which.
        name: String,
        /// What its source answered.
        why: String,
    },
    /// It is another user's.
    #[error(
        "the upstream's credential is of user `{theirs}`, and the connection says user = `{ours}`: take one of them out"
    )]
    OtherUser {
        /// Of the credential.
        theirs: String,
        /// Of the connection.
        ours: String,
    },
}

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
        Self(Arc::new(Inner { name: name.to_owned(), value: Value::Held(ArcSwapOption::empty()) }))
    }

    /// One that is asked for.
    pub fn asked(name: &str, source: Arc<dyn LoginSource>) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), value: Value::Asked(source) }))
    }

    /// Replaces it; none takes it away. One that is asked for is its source's to replace.
    pub fn set(&self, secret: Option<Secret<String>>) {
        if let Value::Held(value) = &self.0.value {
            value.store(secret.map(Arc::new));
        }
    }

    /// Whether it is asked for.
    pub fn is_asked(&self) -> bool {
        matches!(self.0.value, Value::Asked(_))
    }

    /// What it is now, as far as that is known without asking.
    ///
    /// # Errors
    /// Where it is not there, or would have to be asked for.
    pub fn current(&self) -> Result<Secret<String>, MissingSecret> {
        let value = match &self.0.value {
            Value::Held(value) => value.load_full(),
            Value::Asked(_) => None,
        };
        value.map(|s| (*s).clone()).ok_or_else(|| MissingSecret::NotThere(self.0.name.clone()))
    }

    /// What to log in with now.
    ///
    /// # Errors
    /// Where it is not there, or its source does not give it.
    pub async fn login(&self) -> Result<UpstreamLogin, MissingSecret> {
        match &self.0.value {
            Value::Held(_) => Ok(UpstreamLogin { user: None, password: self.current()?, lent: Lent::default() }),
            Value::Asked(source) => {
                let said = source.login().await;
                said.map_err(|why| MissingSecret::Source { name: self.0.name.clone(), why })
            }
        }
    }

    /// After the upstream did not accept it: what is newer. Asked once for a log-in; and told of what was newer, where that is not
    /// accepted either.
    ///
    /// INVARIANT: only for what says that the credential itself is wrong, and that callers cannot bring about by what they ask
    /// for: a source may have another one made for it.
    pub async fn refused(&self, login: &UpstreamLogin) -> Option<UpstreamLogin> {
        match &self.0.value {
            // Whatever is newer was handed over since.
            Value::Held(_) => {
                let password = self.current().ok()?;
                let newer = UpstreamLogin { user: None, password, lent: Lent::default() };
                (newer.password.expose() != login.password.expose()).then_some(newer)
            }
            Value::Asked(source) => source.refused(login).await,
        }
    }
}

impl UpstreamLogin {
    /// Who logs in: the user of the connection, else the one that came with the password.
    ///
    /// # Errors
    /// Where both are there and differ: the password would be shown for somebody whose it is not.
    pub(crate) fn user<'a>(&'a self, pinned: Option<&'a str>) -> Result<Option<&'a str>, MissingSecret> {
        match (self.user.as_deref(), pinned) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                Err(MissingSecret::OtherUser { theirs: theirs.to_owned(), ours: ours.to_owned() })
            }
            (theirs, ours) => Ok(ours.or(theirs)),
        }
    }

    /// Whether it is for a user whom the connection or the source says. Where callers say who logs in, a refusal may be because
    /// of the name: it is no word on the credential.
    pub(crate) const fn has_user(&self, pinned: Option<&str>) -> bool {
        self.user.is_some() || pinned.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_never_shown_for_another_user() {
        let login =
            UpstreamLogin { user: Some("v-1".into()), password: Secret::new("x".into()), lent: Lent::default() };
        assert_eq!(login.user(None).unwrap(), Some("v-1"));
        assert_eq!(login.user(Some("v-1")).unwrap(), Some("v-1"));
        assert!(login.user(Some("app")).unwrap_err().to_string().contains("is of user `v-1`"));
        let held = Rotating::new("p", Secret::new("x".into()));
        let login = held.login().await.unwrap();
        assert_eq!(login.user(Some("app")).unwrap(), Some("app"));
        assert!(!login.has_user(None) && login.has_user(Some("app")), "else it is the caller's to say");
        assert!(held.refused(&login).await.is_none(), "nothing is newer");
        held.set(Some(Secret::new("y".into())));
        assert_eq!(held.refused(&login).await.unwrap().password.expose(), "y");
        held.set(None);
        assert_eq!(held.login().await.unwrap_err(), MissingSecret::NotThere("p".into()));
    }
}
