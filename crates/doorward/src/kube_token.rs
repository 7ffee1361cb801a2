//! `doorward kube-token`: a client-go credential plugin (Kubernetes, "Client Authentication (v1)"). It hands on the token that
//! the caller has; whether it is a good one is the gateway's to say.
use crate::cli::{KubeTokenArgs, TokenSource};
use anyhow::{Context as _, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doorward_identity::{MAX_TOKEN_BYTES, github_actions_token};
use serde_json::{Value, json};
use std::{
    io::Read as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

pub(crate) fn run(args: &KubeTokenArgs) -> Result<()> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let version = version(env("KUBERNETES_EXEC_INFO").as_deref())?;
    let token = token(&args.source, &env)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    println!("{}", credential(version, token.trim(), now)?);
    Ok(())
}

/// The version that the client speaks.
fn version(info: Option<&str>) -> Result<&'static str> {
    let Some(info) = info else { return Ok(V1) };
    let info: Value = serde_json::from_str(info).context("KUBERNETES_EXEC_INFO is not JSON")?;
    match info.get("apiVersion").and_then(Value::as_str) {
        Some(V1) => Ok(V1),
        Some(V1BETA1) => Ok(V1BETA1),
        Some(other) => bail!("the client speaks `{}`: use {V1} or {V1BETA1}", other.escape_debug()),
        None => bail!("KUBERNETES_EXEC_INFO has no apiVersion"),
    }
}

fn token(source: &TokenSource, env: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    if let Some(path) = &source.token_file {
        return file(path);
    }
    if let Some(name) = &source.token_env {
        return env(name).ok_or_else(|| anyhow!("the environment variable {name} is not set"));
    }
    if let Some(token) = env("DOORWARD_TOKEN") {
        return Ok(token);
    }
    if let Some(path) = env("DOORWARD_TOKEN_FILE") {
        return file(Path::new(&path));
    }
    if let (Some(url), Some(bearer)) = (env("ACTIONS_ID_TOKEN_REQUEST_URL"), env("ACTIONS_ID_TOKEN_REQUEST_TOKEN")) {
        return Ok(crate::runtime()?.block_on(github_actions_token(&url, &bearer, &source.audience))?);
    }
    bail!("no identity token: give --token-file or --token-env, or set DOORWARD_TOKEN or DOORWARD_TOKEN_FILE")
}

fn file(path: &Path) -> Result<String> {
    let context = || format!("cannot read {}", path.display());
    let mut text = String::new();
    std::fs::File::open(path).with_context(context)?.take(64 * 1024).read_to_string(&mut text).with_context(context)?;
    Ok(text)
}

fn credential(version: &str, token: &str, now: Duration) -> Result<Value> {
    let expires = expiry(token)?;
    if expires <= now.as_secs() {
        bail!("the token has expired ({} s ago): get a new one", now.as_secs() - expires);
    }
    let time = i64::try_from(expires).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let time = time.ok_or_else(|| anyhow!("the token's `exp` is no time"))?;
    Ok(json!({
        "apiVersion": version, "kind": "ExecCredential",
        "status": { "token": token, "expirationTimestamp": time.to_string() },
    }))
}

/// When a token says that it ends. The signature is not checked: the gateway does that, and this only tells the client when
/// to ask again.
fn expiry(token: &str) -> Result<u64> {
    let not_one = || anyhow!("what was found is not a JSON Web Token");
    let parts: Vec<&str> = token.split('.').collect();
    let ([_, claims, _], true) = (parts.as_slice(), token.len() <= MAX_TOKEN_BYTES) else { return Err(not_one()) };
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| not_one())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| not_one())?;
    let exp = claims.get("exp").and_then(|exp| exp.as_u64().or_else(|| exp.as_f64().map(|s| s as u64)));
    exp.ok_or_else(|| anyhow!("the token does not say when it ends (`exp`)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn a_credential_says_when_it_ends() {
        let token = jwt(&json!({ "exp": 1_800_000_060 }));
        assert_eq!(
            credential(V1, &token, NOW).unwrap(),
            json!({ "apiVersion": V1, "kind": "ExecCredential",
                "status": { "token": token, "expirationTimestamp": "2027-01-15T08:01:00Z" } })
        );
        for (token, why) in [
            (jwt(&json!({ "exp": 1_799_999_990 })), "has expired (10 s ago)"),
            (jwt(&json!({})), "does not say when it ends"),
            ("hunter2".into(), "not a JSON Web Token"),
            ("a.b.c".into(), "not a JSON Web Token"),
        ] {
            let said = credential(V1, &token, NOW).unwrap_err().to_string();
            assert!(said.contains(why) && !said.contains(&token), "{said}");
        }
    }

    #[test]
    fn the_clients_version_is_answered_in() {
        let info = |v: &str| {
            json!({ "apiVersion": v, "kind": "ExecCredential", "spec": { "interactive": false } }).to_string()
        };
        assert_eq!(version(None).unwrap(), V1);
        assert_eq!(version(Some(&info(V1))).unwrap(), V1);
        assert_eq!(version(Some(&info(V1BETA1))).unwrap(), V1BETA1);
        for bad in [info("client.authentication.k8s.io/v1alpha1"), info("v1"), "{}".into(), "x".into()] {
            assert!(version(Some(&bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_named_comes_before_what_is_found() {
        let source = |file: Option<&Path>, env: Option<&str>| TokenSource {
            token_file: file.map(Path::to_path_buf),
            token_env: env.map(str::to_owned),
            audience: "doorward".into(),
        };
        let env = |name: &str| match name {
            "DOORWARD_TOKEN" => Some("a".to_owned()),
            "CI_TOKEN" => Some("b".to_owned()),
            _ => None,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "c").unwrap();
        assert_eq!(token(&source(None, None), &env).unwrap(), "a");
        assert_eq!(token(&source(None, Some("CI_TOKEN")), &env).unwrap(), "b");
        assert_eq!(token(&source(Some(&path), None), &env).unwrap(), "c");
        assert!(token(&source(None, Some("OTHER")), &env).is_err());
        assert!(token(&source(None, None), &|_| None).unwrap_err().to_string().contains("--token-file"));
    }
}
