//! The OpenID-certified provider `oidc-provider`, as the issuer of a CI system.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::http::{http_get, http_post_form};
use crate::paths::{Unavailable, find_program, repo_root};
use crate::ports::free_port;
use crate::process::{Process, ProcessSpec};

const START_LIMIT: Duration = Duration::from_secs(30);
const SECRET: &str = "a-secret-that-only-tests-know";

/// Somebody who can ask the provider for tokens; the subject of the tokens.
#[derive(Debug, Clone)]
pub struct OidcClient {
    id: String,
    algorithm: String,
    lifetime: Duration,
    claims: Map<String, Value>,
}

impl OidcClient {
    /// A client whose tokens have the subject `id`, RS256 signatures and an hour to live.
    #[must_use]
    pub fn new(id: &str) -> Self {
        let lifetime = Duration::from_secs(3_600);
        Self { id: id.to_owned(), algorithm: "RS256".to_owned(), lifetime, claims: Map::new() }
    }

    /// Puts these into the `groups` claim.
    #[must_use]
    pub fn groups(self, groups: &[&str]) -> Self {
        self.claim("groups", json!(groups))
    }

    /// Adds a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Signs with `RS256`, `PS256`, `ES256` or `EdDSA`.
    #[must_use]
    pub fn algorithm(mut self, algorithm: &str) -> Self {
        algorithm.clone_into(&mut self.algorithm);
        self
    }

    /// How long a token lives; whole seconds.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.id, "secret": SECRET, "alg": self.algorithm,
            "ttl": self.lifetime.as_secs(), "claims": self.claims,
        })
    }
}

/// The secret of applications that people sign in to.
pub const WEB_SECRET: &str = "another secret, with: odd+characters%";

/// What provider to start. Made by [`OidcProvider::options`].
#[derive(Debug, Clone)]
pub struct OidcOptions {
    audience: String,
    clients: Vec<OidcClient>,
    web: Vec<Value>,
    people: Map<String, Value>,
}

impl OidcOptions {
    /// Adds an application that people sign in to, with its [`WEB_SECRET`]; a public one where `public`.
    #[must_use]
    pub fn web_client(mut self, id: &str, redirect_uris: &[&str], public: bool) -> Self {
        let secret = (!public).then_some(WEB_SECRET);
        self.web.push(json!({ "id": id, "secret": secret, "redirect_uris": redirect_uris }));
        self
    }

    /// Adds a person, who signs in by their name and any password.
    #[must_use]
    pub fn person(mut self, name: &str, groups: &[&str]) -> Self {
        self.people.insert(name.to_owned(), json!({ "groups": groups }));
        self
    }

    /// The `aud` of its tokens, by default `doorward`.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        audience.clone_into(&mut self.audience);
        self
    }

    /// Adds a client.
    #[must_use]
    pub fn client(mut self, client: OidcClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Starts the provider and waits until it answers its discovery document.
    ///
    /// # Errors
    /// [`Unavailable`] when Node or the package is not installed.
    pub fn start(self) -> Result<OidcProvider> {
        OidcProvider::start_with(&self)
    }
}

/// A running provider on `http://127.0.0.1:PORT`.
#[derive(Debug)]
pub struct OidcProvider {
    process: Process,
    port: u16,
    _directory: TempDir,
}

impl OidcProvider {
    /// A provider to be described further.
    #[must_use]
    pub fn options() -> OidcOptions {
        OidcOptions { audience: "doorward".to_owned(), clients: Vec::new(), web: Vec::new(), people: Map::new() }
    }

    /// A provider with one client, `ci-bot` of the group `agents`.
    ///
    /// # Errors
    /// As [`OidcOptions::start`].
    pub fn start() -> Result<Self> {
        Self::options().client(OidcClient::new("ci-bot").groups(&["agents"])).start()
    }

    fn start_with(options: &OidcOptions) -> Result<Self> {
        let home = repo_root().join("e2e/oidc");
        if !home.join("node_modules/oidc-provider").is_dir() {
            return Err(Unavailable::new("npm `oidc-provider`").into());
        }
        let directory = TempDir::with_prefix("doorward-oidc-")?;
        let port = free_port()?;
        let clients: Vec<Value> = options.clients.iter().map(OidcClient::to_json).collect();
        let config = json!({
            "port": port, "audience": options.audience, "clients": clients, "web": options.web, "people": options.people,
        });
        let spec = ProcessSpec::new(find_program("node")?)
            .arg(home.join("provider.mjs"))
            .env("OIDC_CONFIG", config.to_string())
            .directory(home);
        let process = Process::start(spec, directory.path().join("log"))?;
        let mut provider = Self { process, port, _directory: directory };
        provider.wait_until_it_answers()?;
        Ok(provider)
    }

    /// The issuer: the `iss` of its tokens, below which its discovery document is.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A fresh access token for the client `id`.
    ///
    /// # Errors
    /// What the provider answered instead.
    pub fn token(&self, id: &str) -> Result<String> {
        let fields = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", SECRET)];
        let reply = http_post_form(&format!("{}/token", self.issuer()), &fields)?;
        ensure!(reply.status == 200, "the provider refused `{id}` a token: {}", reply.body);
        let token = reply.json()?.get("access_token").and_then(Value::as_str).map(str::to_owned);
        token.context("an answer without an access token")
    }

    /// Restarts with new keys under new ids on the same port: tokens issued before no longer verify.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn rotate_keys(&mut self) -> Result<()> {
        self.process.restart()?;
        self.wait_until_it_answers()
    }

    /// Its process, for killing and pausing it.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer());
        self.process.wait_until(START_LIMIT, |_| http_get(&discovery).is_ok_and(|reply| reply.status == 200))
    }
}
