//! An OpenID Connect provider: what it announces, and what is asked of it. All that it sends is untrusted.
use crate::{SignInError, settings::is_loopback};
use doorward_identity::{
    ConfigError, IdToken, IssuerConfig, SessionRevoked, Verifier, client_without_redirects, groups_of_userinfo,
};
use doorward_model::{PrincipalKind, Secret, Timestamp};
use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder, StatusCode, Url, header};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(8);
const MAX_BODY: usize = 256 * 1024;
/// How long what it announces is believed.
const FRESH: Duration = Duration::from_secs(600);

/// One `[[identity.providers]]` entry of kind `oidc`.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The name that principals carry, and that people choose by.
    pub name: String,
    /// Its issuer, exactly as in identity tokens.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// Our secret there; none for a public client.
    pub client_secret: Option<Secret<String>>,
    /// What is asked for, beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that lists groups.
    pub groups_claim: String,
    /// Tag for policies → claim.
    pub tags: BTreeMap<String, String>,
    /// The authorities by which its certificate is checked; those of the system where there is none.
    pub tls_ca: Option<PathBuf>,
}

impl ProviderConfig {
    /// Whether it can be used, as far as can be told without asking the provider.
    ///
    /// # Errors
    /// The first problem.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Provider::new(self.clone()).map(|_| ())
    }

    fn issuer(&self) -> IssuerConfig {
        IssuerConfig {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            spiffe_trust_domain: None,
            jwks_file: None,
            jwks_url: None,
            tls_ca: self.tls_ca.clone(),
            token_file: None,
            audience: vec![self.client_id.clone()],
            openpubkey_audience: Vec::new(),
            groups_claim: self.groups_claim.clone(),
            principal: PrincipalKind::User,
            tags: self.tags.clone(),
            authorized_parties: Vec::new(),
            delegation: false,
        }
    }
}

/// What a provider announces (OpenID Connect Discovery 1.0; RFC 8414; RFC 8628; RFC 9207).
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Url,
    token: Url,
    userinfo: Option<Url>,
    pub(crate) device: Option<Url>,
    /// Its answers say who they are from.
    pub(crate) says_issuer: bool,
    secret_in_body: bool,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What the token endpoint answers (RFC 6749, section 5).
#[derive(Deserialize)]
pub(crate) struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
    pub(crate) error: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) config: ProviderConfig,
    verifier: Verifier,
    http: Client,
    announced: Mutex<Option<(Instant, Arc<Endpoints>)>>,
}

fn odd(what: &str) -> SignInError {
    SignInError::Provider(what.to_owned())
}

fn failed(e: reqwest::Error) -> SignInError {
    let e = e.without_url();
    let cause = std::iter::successors(Some(&e as &dyn std::error::Error), |e| e.source()).last();
    SignInError::Provider(cause.map_or_else(String::new, ToString::to_string))
}

impl Provider {
    pub(crate) fn new(config: ProviderConfig) -> Result<Self, ConfigError> {
        let issuer = config.issuer();
        let field = |field, problem| ConfigError::Field { name: config.name.clone(), field, problem };
        if config.client_id.is_empty() {
            return Err(field("client_id", "must not be empty"));
        }
        let word = |s: &String| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !config.scopes.iter().all(word) {
            return Err(field("scopes", "must be words without blanks"));
        }
        if config.name == crate::LOCAL {
            return Err(field("name", "is the gateway's own"));
        }
        let http = client_without_redirects(&issuer, TIMEOUT)?;
        Ok(Self { verifier: Verifier::new(vec![issuer])?, config, http, announced: Mutex::new(None) })
    }

    /// What it announces, fetched anew every ten minutes.
    pub(crate) async fn endpoints(&self) -> Result<Arc<Endpoints>, SignInError> {
        if let Some((at, known)) = &*self.announced.lock()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(known));
        }
        let url = self.config.issuer().discovery_url();
        let (status, body) = read(self.http.get(url).header(header::ACCEPT, "application/json")).await?;
        if status != StatusCode::OK {
            return Err(SignInError::Provider(format!("its discovery document has status {}", status.as_u16())));
        }
        let found: Discovery = serde_json::from_slice(&body).map_err(|_| odd("its discovery document is malformed"))?;
        let endpoints = Arc::new(self.checked(&found)?);
        *self.announced.lock() = Some((Instant::now(), Arc::clone(&endpoints)));
        Ok(endpoints)
    }

    fn checked(&self, found: &Discovery) -> Result<Endpoints, SignInError> {
        if found.issuer != self.config.issuer {
            return Err(odd("its discovery document is of another issuer"));
        }
        let url =
            |text: &String| self.endpoint(text).ok_or_else(|| odd("an endpoint of its is neither https nor local"));
        let methods = found.token_endpoint_auth_methods_supported.as_ref();
        let has = |name: &str| methods.is_some_and(|m| m.iter().any(|its| its == name));
        Ok(Endpoints {
            authorization: url(&found.authorization_endpoint)?,
            token: url(&found.token_endpoint)?,
            userinfo: found.userinfo_endpoint.as_ref().map(url).transpose()?,
            device: found.device_authorization_endpoint.as_ref().map(url).transpose()?,
            says_issuer: found.authorization_response_iss_parameter_supported,
            // Where nothing is announced it is `client_secret_basic`.
            secret_in_body: has("client_secret_post") && !has("client_secret_basic"),
        })
    }

    /// An address of the provider's: https, or on this machine where the provider itself is.
    pub(crate) fn endpoint(&self, text: &str) -> Option<Url> {
        let local = Url::parse(&self.config.issuer).is_ok_and(|u| is_loopback(&u));
        let url = Url::parse(text).ok()?;
        match url.scheme() {
            "https" => Some(url),
            "http" if local && is_loopback(&url) => Some(url),
            _ => None,
        }
    }

    pub(crate) fn scope(&self) -> String {
        let more = self.config.scopes.iter().filter(|s| *s != "openid").map(String::as_str);
        std::iter::once("openid").chain(more).collect::<Vec<_>>().join(" ")
    }

    /// Asks the token endpoint.
    pub(crate) async fn tokens(&self, of: &Endpoints, grant: &[(&str, &str)]) -> Result<Tokens, SignInError> {
        let (_, body) = read(self.post(of, &of.token, grant)).await?;
        serde_json::from_slice(&body).map_err(|_| odd("the answer of its token endpoint is malformed"))
    }

    /// Posts a form as ourselves (RFC 6749, section 2.3.1); gives status and body.
    pub(crate) async fn ask(
        &self,
        of: &Endpoints,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> Result<(StatusCode, Vec<u8>), SignInError> {
        read(self.post(of, url, fields)).await
    }

    fn post(&self, of: &Endpoints, url: &Url, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut fields = fields.to_vec();
        let mut request = self.http.post(url.clone()).header(header::ACCEPT, "application/json");
        match &self.config.client_secret {
            Some(secret) if !of.secret_in_body => {
                request = request.basic_auth(encoded(&self.config.client_id), Some(encoded(secret.expose())));
            }
            Some(secret) => {
                fields.push(("client_id", &self.config.client_id));
                fields.push(("client_secret", secret.expose()));
            }
            None => fields.push(("client_id", &self.config.client_id)),
        }
        request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&fields))
    }

    /// Whose sessions are over, by an event of the provider's.
    pub(crate) async fn session_revoked(
        &self,
        event: &str,
        ours: String,
        now: Timestamp,
    ) -> Result<Option<SessionRevoked>, SignInError> {
        let audience = [ours, self.config.client_id.clone()];
        Ok(self.verifier.verify_session_revoked(event, &audience, now).await?)
    }

    /// Who signed in, by the tokens that the provider gave for it.
    pub(crate) async fn identity(
        &self,
        of: &Endpoints,
        tokens: &Tokens,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<IdToken, SignInError> {
        let token = tokens.id_token.as_deref().ok_or_else(|| odd("it gave no identity token"))?;
        let mut who = self.verifier.verify_id_token(token, &self.config.client_id, nonce, now).await?;
        if let (false, Some(url), Some(access)) = (who.has_groups, &of.userinfo, &tokens.access_token) {
            let (status, body) = read(self.http.get(url.clone()).bearer_auth(access)).await?;
            if status != StatusCode::OK {
                return Err(SignInError::Provider(format!("its userinfo endpoint answers {}", status.as_u16())));
            }
            who.principal.groups = groups_of_userinfo(&body, &who.principal.subject, &self.config.groups_claim)?;
        }
        Ok(who)
    }
}

async fn read(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), SignInError> {
    let mut response = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > MAX_BODY {
            return Err(odd("an answer of its is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), body))
}

/// Fields as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Everything but unreserved characters as `%XX`, which both forms and queries understand.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _never_fails = write!(out, "%{b:02X}");
        }
        out
    })
}
