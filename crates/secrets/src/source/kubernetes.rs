//! Secrets of a Kubernetes cluster, over its API.
use super::{
    Content, Fetched, Provider, SourceError, SourceTls,
    http::{self, read_file},
};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::Secret;
use reqwest::{Client, StatusCode, Url, header::HeaderValue};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};
use zeroize::Zeroizing;

/// Where a pod finds what its service account is.
const IN_CLUSTER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default)]
pub struct KubernetesSettings {
    /// The API server; the one of the pod that we run in, without it.
    pub server: Option<String>,
    /// The token of a service account; read anew for each request, because it is replaced in place.
    pub token_file: Option<PathBuf>,
    /// Certificates.
    pub tls: SourceTls,
}

/// The secrets of a cluster.
#[derive(Debug)]
pub struct KubernetesSecrets {
    client: Client,
    base: Url,
    /// None where a certificate says who we are.
    token_file: Option<PathBuf>,
}

impl KubernetesSecrets {
    /// Of these settings. Nothing is asked for yet.
    ///
    /// # Errors
    /// Where they are not right.
    pub fn new(mut settings: KubernetesSettings) -> Result<Self, SourceError> {
        let server = match settings.server.take() {
            Some(server) => server,
            None => {
                let part = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
                let outside = || SourceError::new("this is no pod: say which `server`".to_owned());
                let host = part("KUBERNETES_SERVICE_HOST").ok_or_else(outside)?;
                let port = part("KUBERNETES_SERVICE_PORT").ok_or_else(outside)?;
                settings.token_file.get_or_insert_with(|| format!("{IN_CLUSTER}/token").into());
                settings.tls.ca.get_or_insert_with(|| format!("{IN_CLUSTER}/ca.crt").into());
                if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") }
            }
        };
        if settings.token_file.is_none() && settings.tls.client.is_none() {
            return Err(SourceError::new("say who we are: `token_file`, or `tls_cert` and `tls_key`".to_owned()));
        }
        let base = http::checked(&server)?;
        Ok(Self { client: http::client(&base, &settings.tls)?, base, token_file: settings.token_file })
    }

    /// Whether a text names a secret: `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// Where it does not.
    pub fn check(path: &str) -> Result<(), SourceError> {
        let is_name = |s: &str| {
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
            !s.is_empty() && s.len() <= 253 && s.bytes().all(fits) && !s.starts_with('.')
        };
        match path.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(()),
            _ => Err(SourceError::new(format!("`{}` is not NAMESPACE/NAME", path.escape_debug()))),
        }
    }
}

#[async_trait]
impl Provider for KubernetesSecrets {
    async fn fetch(&self, path: &str) -> Result<Fetched, SourceError> {
        Self::check(path)?;
        let (namespace, name) = path.split_once('/').unwrap_or_default();
        let url = http::under(&self.base, &format!("api/v1/namespaces/{namespace}/secrets/{name}"))?;
        let mut request = self.client.get(url).header("accept", "application/json");
        if let Some(file) = &self.token_file {
            let token = read_file(file)?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| SourceError::new(format!("{}: no token", file.display())))?;
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        let answer = http::send(request, "the API server").await?;
        match answer.status {
            StatusCode::OK => content(answer.body, path),
            StatusCode::NOT_FOUND => Err(SourceError::new(format!("there is no secret `{path}` in the cluster"))),
            StatusCode::UNAUTHORIZED => {
                Err(SourceError::new("the API server does not know who we are: is the token right?".to_owned()))
            }
            StatusCode::FORBIDDEN => {
                let what = "the API server does not let us read";
                Err(SourceError::new(format!("{what} the secret `{path}`: give the verb `get` on it")))
            }
            status => Err(SourceError::away(format!("the API server answered {status}"))),
        }
    }
}

fn content(body: Option<Value>, path: &str) -> Result<Fetched, SourceError> {
    let odd = || SourceError::away(format!("the API server's answer about `{path}` was not understood"));
    let data = match body {
        Some(Value::Object(mut object)) => object.remove("data").unwrap_or_default(),
        _ => return Err(odd()),
    };
    let mut fields = BTreeMap::new();
    for (name, value) in data.as_object().into_iter().flatten() {
        let bytes = Zeroizing::new(STANDARD.decode(value.as_str().ok_or_else(odd)?).map_err(|_| odd())?);
        // What is no text is no password: a keystore beside it is nobody's concern.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            fields.insert(name.clone(), Secret::new(text.to_owned()));
        }
    }
    Ok(Fetched { content: Content::Fields(fields), lease: None, good_for: None })
}
