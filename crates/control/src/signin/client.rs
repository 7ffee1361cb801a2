//! What `doorward login` says to the gateway.
use crate::{Client, ClientError};
use doorward_model::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// Where people may sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderView {
    /// Its name.
    pub name: String,
    /// `oidc` or `saml`.
    pub kind: String,
}

/// All providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderList {
    /// In the order of their names.
    pub providers: Vec<ProviderView>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceAsk {
    pub(crate) provider: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceHandle {
    pub(crate) handle: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CliRedeem {
    pub(crate) code: String,
    pub(crate) verifier: String,
}

/// What the person has to do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStart {
    /// What to ask again with.
    pub handle: String,
    /// To be typed in.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Seconds between two questions.
    pub interval: u64,
    /// Seconds until it is over.
    pub expires_in: u64,
}

impl std::fmt::Debug for DeviceStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceStart").field("verification_uri", &self.verification_uri).finish_non_exhaustive()
    }
}

/// Whether the person has signed in by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePolled {
    /// Once they have.
    pub credential: Option<CliCredential>,
}

/// What the command line shows from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CliCredential {
    /// In place of an issuer's token.
    pub token: String,
    /// Who.
    pub principal: String,
    /// Until when.
    pub expires: Timestamp,
}

impl std::fmt::Debug for CliCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CliCredential").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl Client {
    /// Where people may sign in.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn providers(&self) -> Result<Vec<ProviderView>, ClientError> {
        Ok(self.json::<ProviderList>(self.bare(Method::GET, "/auth/providers")).await?.providers)
    }

    /// Begins a sign-in by a code that the person types in on any device.
    ///
    /// # Errors
    /// See [`ClientError`]; the status is 404 where the provider has no such flow.
    pub async fn begin_device(&self, provider: &str) -> Result<DeviceStart, ClientError> {
        let body = DeviceAsk { provider: provider.to_owned() };
        self.json(self.bare(Method::POST, "/auth/cli/device").json(&body)).await
    }

    /// Whether the person has signed in by now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn poll_device(&self, handle: &str) -> Result<Option<CliCredential>, ClientError> {
        let body = DeviceHandle { handle: handle.to_owned() };
        let request = self.bare(Method::POST, "/auth/cli/device/token").json(&body);
        Ok(self.json::<DevicePolled>(request).await?.credential)
    }

    /// A credential for a code that a browser brought.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn redeem(&self, code: &str, verifier: &str) -> Result<CliCredential, ClientError> {
        let body = CliRedeem { code: code.to_owned(), verifier: verifier.to_owned() };
        self.json(self.bare(Method::POST, "/auth/cli/token").json(&body)).await
    }

    /// Ends the session whose credential this client has.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sign_out(&self) -> Result<(), ClientError> {
        self.send(self.bare(Method::POST, "/auth/logout").bearer_auth(&self.token)).await.map(|_| ())
    }
}
