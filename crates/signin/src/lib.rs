//! How people sign in, and what they show from then on: sessions, API keys, identity providers.
//!
//! Purpose: whoever calls the API or opens a page becomes a [`doorward_model::Principal`]. Start at
//! [`SignIn::authenticate`], which takes a session's cookie, a bearer token or an API key.
//!
//! Invariants:
//! - Of every secret a hash is stored and nothing else; each is 256 random bits. Hashes are looked up, never compared.
//! - A request that changes something by cookie says that it comes from a page of ours, or is refused.
//! - A session begins under a new secret, whatever the browser brought along.
//! - What ends (a session, a key) is gone for the very next request, as each is looked up in the store.
//! - An API key may never do more than its scope, and never makes another key or session.
//! - What is fetched and kept is bounded.
//!
//! Deliberately absent: who may do what (policies), HTTP routes and pages (`doorward-control`), the clock (a parameter).
//!
//! Known limits: groups are those of the moment of signing in, or of making a key, until it ends. Sign-ins that are
//! under way are kept in memory: a restart makes people begin again.
mod bootstrap;
mod caller;
mod chat;
mod chat_codes;
mod cli;
mod cookie;
mod events;
mod keys;
mod oidc;
mod origin;
mod provider;
mod saml;
mod secret;
mod sessions;
mod settings;
mod waiting;

pub use bootstrap::{ADMINS, BOOTSTRAP_TTL};
pub use caller::{By, Caller, Refused, TokenAnswer, TokenCheck};
pub use chat::{ChatUser, Claimed, Speaker};
pub use chat_codes::CHAT_CODE_TTL;
pub use cli::DeviceBegun;
pub use cookie::{Cookie, CookieTwice};
pub use keys::{DEFAULT_KEY_TTL, KeyError, LONGEST_KEY_TTL, NewKey};
pub use oidc::{Away, SIGN_IN_TTL, SignInError, SignedIn};
pub use provider::ProviderConfig;
pub use saml::SamlConfig;
pub use sessions::{Begun, Ended};
pub use settings::{SessionLimits, Settings, SettingsError};

use chat_codes::Codes;
use cli::{Device, Vouched};
use doorward_store::Store;
use oidc::Pending;
use parking_lot::Mutex;
use provider::Provider;
use saml::{SamlDone, SamlPending, Used};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::broadcast;
use waiting::Waiting;

/// The name of the issuer that is the gateway itself.
pub const LOCAL: &str = "local";

/// How many sign-ins may be under way.
const MOST_PENDING: usize = 16 * 1024;

/// Signing in, and everything that comes of it.
#[derive(Debug)]
pub struct SignIn {
    store: Store,
    settings: Settings,
    ended: broadcast::Sender<Ended>,
    providers: BTreeMap<String, Arc<Provider>>,
    saml: BTreeMap<String, Arc<SamlConfig>>,
    pending: Waiting<Pending>,
    saml_pending: Waiting<SamlPending>,
    saml_done: Waiting<SamlDone>,
    saml_used: Used,
    vouched: Waiting<Vouched>,
    devices: Waiting<Device>,
    chat_codes: Mutex<Codes>,
}

impl SignIn {
    /// Keeps sessions and keys in `store`. Nobody can sign in anywhere yet: see [`SignIn::with_providers`].
    pub fn new(store: Store, settings: Settings) -> Self {
        Self {
            store,
            settings,
            ended: broadcast::channel(256).0,
            providers: BTreeMap::new(),
            saml: BTreeMap::new(),
            pending: Waiting::new(MOST_PENDING),
            saml_pending: Waiting::new(MOST_PENDING),
            saml_done: Waiting::new(1024),
            saml_used: Used::default(),
            vouched: Waiting::new(1024),
            devices: Waiting::new(1024),
            chat_codes: Mutex::default(),
        }
    }

    /// Where people reach the gateway.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
mod tests;
