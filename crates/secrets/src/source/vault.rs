//! HashiCorp Vault (and OpenBao, which speaks the same): secrets of the KV engines, versions 1 and 2, and dynamic
//! credentials, with their leases.
use super::{
    Content, Fetched, Lease, Provider, SourceError, SourceTls,
    http::{self, Answer, read_file},
};
use async_trait::async_trait;
use doorward_model::Secret;
use reqwest::{Client, Method, StatusCode, Url, header::HeaderValue};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};

/// A value of the configuration that is a secret.
#[derive(Clone, Debug)]
pub enum Given {
    /// In a file, read each time that it is needed.
    File(PathBuf),
    /// Here.
    Text(Secret<String>),
}

impl Given {
    fn text(&self) -> Result<Secret<String>, SourceError> {
        match self {
            Self::File(path) => Ok(Secret::new(read_file(path)?.trim().to_owned())),
            Self::Text(text) => Ok(text.clone()),
        }
    }
}

/// How we log in at Vault.
#[derive(Clone, Debug)]
pub enum VaultAuth {
    /// With a token that somebody else keeps alive, as Vault's agent does.
    Token(Given),
    /// By AppRole.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role_id: String,
        /// Its secret.
        secret_id: Given,
    },
    /// By a signed token: the methods `kubernetes` and `jwt`.
    Jwt {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role: String,
        /// The token.
        jwt: Given,
    },
}

/// Which Vault, and as whom.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// `https://HOST:PORT`.
    pub address: String,
    /// The namespace, where there are some.
    pub namespace: Option<String>,
    /// How we log in.
    pub auth: VaultAuth,
    /// Certificates.
    pub tls: SourceTls,
}

/// A Vault.
#[derive(Debug)]
pub struct Vault {
    client: Client,
    base: Url,
    namespace: Option<HeaderValue>,
    auth: VaultAuth,
    token: Mutex<Option<Token>>,
    era: AtomicU64,
}

#[derive(Clone, Debug)]
struct Token {
    text: Secret<String>,
    since: Instant,
    /// None: it does not end.
    length: Option<Duration>,
    first: Duration,
    renewable: bool,
}

impl Token {
    fn is_good(&self) -> bool {
        self.length.is_none_or(|l| self.since.elapsed() < l.saturating_sub(l.min(self.first) / 10))
    }
}

impl Vault {
    /// Of these settings. Nothing is asked for yet.
    ///
    /// # Errors
    /// Where they are not right.
    pub fn new(settings: VaultSettings) -> Result<Self, SourceError> {
        let VaultSettings { address, namespace, auth, tls } = settings;
        let base = http::checked(&address)?;
        let namespace = namespace.map(|n| {
            HeaderValue::from_str(&n).map_err(|_| SourceError::new(format!("`{}` is no namespace", n.escape_debug())))
        });
        if let VaultAuth::AppRole { mount, .. } | VaultAuth::Jwt { mount, .. } = &auth {
            http::under(&base, mount)?;
        }
        Ok(Self {
            client: http::client(&base, &tls)?,
            base,
            namespace: namespace.transpose()?,
            auth,
            token: Mutex::default(),
            era: AtomicU64::new(0),
        })
    }

    /// Whether a path can be one.
    ///
    /// # Errors
    /// Where it cannot.
    pub fn check(path: &str) -> Result<(), SourceError> {
        let base = Url::parse("https://vault").map_err(|e| SourceError::new(e.to_string()))?;
        http::under(&base, path).map(drop)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret<String>>,
        body: Option<&Value>,
    ) -> Result<Answer, SourceError> {
        let url = http::under(&self.base, &format!("v1/{path}"))?;
        // INVARIANT: what a read gives for a time is waited for longer than whoever asked does, so that it can be given back.
        let is_read = method == Method::GET && !path.starts_with("auth/");
        let mut request = self.client.request(method, url).header("x-vault-request", "true");
        if is_read {
            request = request.timeout(http::LATE);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            let value = HeaderValue::from_str(token.expose());
            let mut value = value.map_err(|_| SourceError::new("the token for Vault is no header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        http::send(request, "Vault").await
    }

    /// Our token; logs in where there is none.
    async fn token(&self) -> Result<Secret<String>, SourceError> {
        if let VaultAuth::Token(given) = &self.auth {
            return given.text();
        }
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|t| t.is_good()) {
            return Ok(token.text.clone());
        }
        let token = self.log_in().await?;
        self.era.fetch_add(1, Ordering::Relaxed);
        Ok(kept.insert(token).text.clone())
    }

    async fn log_in(&self) -> Result<Token, SourceError> {
        let (mount, shown) = match &self.auth {
            VaultAuth::Token(_) => return Err(SourceError::new("the token for Vault is not ours to get".to_owned())),
            VaultAuth::AppRole { mount, role_id, secret_id } => {
                (mount, json!({ "role_id": role_id, "secret_id": secret_id.text()?.expose() }))
            }
            VaultAuth::Jwt { mount, role, jwt } => (mount, json!({ "role": role, "jwt": jwt.text()?.expose() })),
        };
        let answer = self.ask(Method::POST, &format!("auth/{mount}/login"), None, Some(&shown)).await?;
        if answer.status != StatusCode::OK {
            let what = format!("the log-in at Vault (auth/{mount}) failed: it answered {}", answer.status);
            let is_ours = answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS;
            return Err(if is_ours { SourceError::new(what) } else { SourceError::away(what) });
        }
        let odd = || SourceError::away("Vault's answer to the log-in was not understood".to_owned());
        let mut body = answer.body.ok_or_else(odd)?;
        let auth = body.get_mut("auth").ok_or_else(odd)?;
        let Some(Value::String(text)) = auth.get_mut("client_token").map(Value::take) else { return Err(odd()) };
        let length = seconds(auth, "lease_duration");
        Ok(Token {
            text: Secret::new(text),
            since: Instant::now(),
            length,
            first: length.unwrap_or_default(),
            renewable: auth.get("renewable").and_then(Value::as_bool).unwrap_or_default(),
        })
    }

    /// Asks with our token; where Vault does not know that any more, with a new one.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, SourceError> {
        let token = self.token().await?;
        let answer = self.ask(method.clone(), path, Some(&token), body).await?;
        if answer.status != StatusCode::FORBIDDEN || matches!(self.auth, VaultAuth::Token(_)) {
            return Ok(answer);
        }
        // Is it what we may not, or who we are no longer?
        let known = self.ask(Method::GET, "auth/token/lookup-self", Some(&token), None).await?;
        if known.status != StatusCode::FORBIDDEN {
            return Ok(answer);
        }
        let mut kept = self.token.lock().await;
        if kept.as_ref().is_some_and(|k| k.text.expose() == token.expose()) {
            *kept = None;
        }
        drop(kept);
        let token = self.token().await?;
        self.ask(method, path, Some(&token), body).await
    }

    async fn renew_token(&self, token: &mut Token) -> Result<(), SourceError> {
        let answer = self.ask(Method::POST, "auth/token/renew-self", Some(&token.text), Some(&json!({}))).await?;
        if answer.status != StatusCode::OK {
            return Err(SourceError::new(format!("Vault answered {}", answer.status)));
        }
        let length = answer.body.as_ref().and_then(|b| b.get("auth")).and_then(|a| seconds(a, "lease_duration"));
        token.since = Instant::now();
        token.renewable = length.is_some_and(|l| l > token.first / 2);
        token.length = length.or(token.length);
        Ok(())
    }
}

/// No time that a server gives is longer, in seconds: ten years.
const LONGEST: u64 = 10 * 365 * 24 * 3600;

fn seconds(of: &Value, name: &str) -> Option<Duration> {
    of.get(name).and_then(Value::as_u64).filter(|s| *s > 0).map(|s| Duration::from_secs(s.min(LONGEST)))
}

fn failure(status: StatusCode, path: &str) -> SourceError {
    match status {
        StatusCode::FORBIDDEN => {
            SourceError::new(format!("Vault does not let us read `{path}`: is the token good, and may its policy?"))
        }
        StatusCode::NOT_FOUND => SourceError::new(format!(
            "there is nothing at `{path}` in Vault (of a KV engine of version 2, `data/` stands after the mount)"
        )),
        StatusCode::SERVICE_UNAVAILABLE => SourceError::away("Vault is sealed, or in maintenance".to_owned()),
        s if s.is_client_error() && s != StatusCode::TOO_MANY_REQUESTS => {
            SourceError::new(format!("Vault answered {s} about `{path}`"))
        }
        s => SourceError::away(format!("Vault answered {s} about `{path}`")),
    }
}

/// The fields: those of a version (KV 2), or those that are there.
fn fields(data: Map<String, Value>) -> Content {
    let is_version =
        data.get("data").is_some_and(Value::is_object) && data.get("metadata").is_some_and(Value::is_object);
    let data = match data {
        mut d if is_version => match d.remove("data") {
            Some(Value::Object(inner)) => inner,
            Some(_) | None => Map::new(),
        },
        d => d,
    };
    let text = |v: Value| match v {
        Value::String(s) => Some(Secret::new(s)),
        Value::Number(n) => Some(Secret::new(n.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    Content::Fields(data.into_iter().filter_map(|(name, v)| Some((name, text(v)?))).collect::<BTreeMap<_, _>>())
}

#[async_trait]
impl Provider for Vault {
    async fn fetch(&self, path: &str) -> Result<Fetched, SourceError> {
        let answer = self.call(Method::GET, path, None).await?;
        if answer.status != StatusCode::OK {
            return Err(failure(answer.status, path));
        }
        let odd = || SourceError::away(format!("Vault's answer about `{path}` was not understood"));
        let Some(Value::Object(mut body)) = answer.body else { return Err(odd()) };
        let Some(Value::Object(data)) = body.remove("data") else { return Err(odd()) };
        // A static role of the database engine says when its password will be another.
        let good_for = data.get("ttl").and_then(Value::as_u64).map(Duration::from_secs);
        let body = Value::Object(body);
        let lease = body.get("lease_id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(|id| Lease {
            id: id.to_owned(),
            length: seconds(&body, "lease_duration").unwrap_or(Duration::from_secs(60)),
            renewable: body.get("renewable").and_then(Value::as_bool).unwrap_or_default(),
            era: self.era.load(Ordering::Relaxed),
        });
        Ok(Fetched { content: fields(data), good_for: good_for.filter(|_| lease.is_none()), lease })
    }

    async fn renew(&self, lease: &Lease) -> Result<Duration, SourceError> {
        let body = json!({ "lease_id": lease.id });
        let answer = self.call(Method::PUT, "sys/leases/renew", Some(&body)).await?;
        if answer.status != StatusCode::OK {
            return Err(failure(answer.status, "sys/leases/renew"));
        }
        let length = answer.body.as_ref().and_then(|b| seconds(b, "lease_duration"));
        length.ok_or_else(|| SourceError::new("Vault did not say how long".to_owned()))
    }

    async fn is_gone(&self, lease: &Lease) -> bool {
        // Vault answers 400 about a lease that it does not know; where we may not ask (403), it does not say.
        let body = json!({ "lease_id": lease.id });
        let answer = self.call(Method::PUT, "sys/leases/lookup", Some(&body)).await;
        answer.is_ok_and(|a| matches!(a.status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND))
    }

    async fn revoke(&self, lease: &str) -> Result<(), SourceError> {
        let answer = self.call(Method::PUT, "sys/leases/revoke", Some(&json!({ "lease_id": lease }))).await?;
        if answer.status.is_success() { Ok(()) } else { Err(failure(answer.status, "sys/leases/revoke")) }
    }

    fn era(&self) -> u64 {
        self.era.load(Ordering::Relaxed)
    }

    async fn tend(&self) {
        let mut kept = self.token.lock().await;
        let Some(token) = kept.as_mut() else { return };
        let is_due = token.length.is_some_and(|l| token.since.elapsed() >= l / 2);
        if !token.renewable || !is_due {
            return;
        }
        if let Err(e) = self.renew_token(token).await {
            tracing::warn!("the token for Vault was not renewed: {e}");
            token.renewable = e.is_away;
        }
    }

    async fn close(&self) {
        // What was given under it ends with it.
        let Some(token) = self.token.lock().await.take() else { return };
        let revoked = self.ask(Method::POST, "auth/token/revoke-self", Some(&token.text), Some(&json!({}))).await;
        match revoked {
            Ok(answer) if answer.status.is_success() => {}
            Ok(answer) => tracing::warn!("the token for Vault was not revoked: Vault answered {}", answer.status),
            Err(e) => tracing::warn!("the token for Vault was not revoked: {e}"),
        }
    }
}
