//! AWS Secrets Manager: `GetSecretValue`, signed (SigV4) by the library that writes exports to S3, which also knows where
//! credentials are to be had.
use super::{Content, Fetched, Provider, SourceError, SourceTls, http};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_model::Secret;
use object_store::{
    aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider},
    client::HttpRequest,
};
use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// How long finding out who we are may take.
const CREDENTIALS: Duration = Duration::from_secs(4);

/// Which Secrets Manager, and as whom.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    /// The region.
    pub region: String,
    /// Where it is, if not where Amazon has it: an endpoint of a VPC.
    pub endpoint: Option<String>,
    /// Identifier and secret of an access key; without them, those of the surroundings are asked for as Amazon's tools do:
    /// the environment, a web identity, a container, the instance.
    pub key: Option<(String, Secret<String>)>,
    /// Certificates.
    pub tls: SourceTls,
}

/// The secrets of an account in a region.
#[derive(Debug)]
pub struct AwsSecrets {
    client: Client,
    url: Url,
    region: String,
    credentials: AwsCredentialProvider,
}

impl AwsSecrets {
    /// Of these settings. Nothing is asked for yet.
    ///
    /// # Errors
    /// Where they are not right.
    pub fn new(settings: AwsSettings) -> Result<Self, SourceError> {
        let AwsSettings { region, endpoint, key, tls } = settings;
        if region.is_empty() || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(SourceError::new(format!("`{}` is no region", region.escape_debug())));
        }
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = http::checked(&endpoint.unwrap_or_else(|| format!("https://secretsmanager.{region}.{domain}")))?;
        let builder = match key {
            Some((id, secret)) => {
                AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret.expose().as_str())
            }
            None => AmazonS3Builder::from_env(),
        };
        // Of the library's client for S3, only who we are is used; the bucket is never asked for.
        let s3 = builder.with_region(&region).with_bucket_name("none").build();
        let s3 = s3.map_err(|e| SourceError::new(format!("credentials for AWS: {e}")))?;
        let credentials = s3.credentials().clone();
        Ok(Self { client: http::client(&url, &tls)?, url, region, credentials })
    }

    async fn signed(&self, body: String) -> Result<HttpRequest, SourceError> {
        let asked = tokio::time::timeout(CREDENTIALS, self.credentials.get_credential()).await;
        let slow = |_| SourceError::away("credentials for AWS were not to be had in time".to_owned());
        let credential = asked.map_err(slow)?;
        // The library's message may hold an address, and no secret; but it is not ours to promise that.
        let credential =
            credential.map_err(|_| SourceError::away("there are no credentials for AWS here".to_owned()))?;
        let mut request = ::http::Request::post(self.url.as_str())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "secretsmanager.GetSecretValue")
            .body(body.into())
            .map_err(|e| SourceError::new(e.to_string()))?;
        AwsAuthorizer::new(&credential, "secretsmanager", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|_| SourceError::new("the request to AWS cannot be signed".to_owned()))?;
        Ok(request)
    }
}

#[async_trait]
impl Provider for AwsSecrets {
    async fn fetch(&self, path: &str) -> Result<Fetched, SourceError> {
        let body = json!({ "SecretId": path, "VersionStage": "AWSCURRENT" }).to_string();
        let request = self.signed(body.clone()).await?;
        let mut headers = request.headers().clone();
        if let Some(value) = headers.get_mut("authorization") {
            value.set_sensitive(true);
        }
        let answer =
            http::send(self.client.post(self.url.clone()).headers(headers).body(body), "AWS Secrets Manager").await?;
        if answer.status == StatusCode::OK {
            return content(answer.body, path);
        }
        Err(failure(answer.status, answer.body.as_ref(), path))
    }
}

fn failure(status: StatusCode, body: Option<&Value>, path: &str) -> SourceError {
    let kind = body.and_then(|b| b.get("__type")).and_then(Value::as_str).unwrap_or_default();
    match kind.rsplit('#').next().unwrap_or_default() {
        "ResourceNotFoundException" => SourceError::new(format!("there is no secret `{path}` in AWS Secrets Manager")),
        "AccessDeniedException" => SourceError::new(format!(
            "AWS does not let us read the secret `{path}`: allow secretsmanager:GetSecretValue (and kms:Decrypt on its key)"
        )),
        "InvalidRequestException" => SourceError::new(format!("the secret `{path}` is marked for deletion in AWS")),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId" => {
            SourceError::new("AWS does not know who we are: are key and region right?".to_owned())
        }
        _ if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            SourceError::new(format!("AWS Secrets Manager answered {status} about `{path}`"))
        }
        _ => SourceError::away(format!("AWS Secrets Manager answered {status}")),
    }
}

fn content(body: Option<Value>, path: &str) -> Result<Fetched, SourceError> {
    let odd = || SourceError::away(format!("the answer of AWS about `{path}` was not understood"));
    let Some(Value::Object(mut body)) = body else { return Err(odd()) };
    let text = match (body.remove("SecretString"), body.remove("SecretBinary")) {
        (Some(Value::String(text)), _) => text,
        (_, Some(Value::String(binary))) => {
            let bytes = STANDARD.decode(binary).map_err(|_| odd())?;
            String::from_utf8(bytes).map_err(|_| SourceError::new(format!("the secret `{path}` is no text")))?
        }
        _ => return Err(odd()),
    };
    let content = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(fields)) => {
            let text = |v: Value| match v {
                Value::String(s) => Some(Secret::new(s)),
                Value::Number(n) => Some(Secret::new(n.to_string())),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            };
            let fields = fields.into_iter().filter_map(|(name, v)| Some((name, text(v)?)));
            Content::Fields(fields.collect::<BTreeMap<_, _>>())
        }
        Ok(_) | Err(_) => Content::Text(Secret::new(text)),
    };
    Ok(Fetched { content, lease: None, good_for: None })
}
