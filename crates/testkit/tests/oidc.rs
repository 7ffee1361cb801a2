//! The provider issues the tokens that it was told to.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use doorward_testkit::{OidcClient, OidcProvider, http_get};
use serde_json::{Value, json};

fn part(token: &str, index: usize) -> Result<Value> {
    let text = token.split('.').nth(index).context("a JWT has three parts")?;
    Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text)?)?)
}

fn key_ids(provider: &OidcProvider) -> Result<Vec<Value>> {
    let discovery = http_get(&format!("{}/.well-known/openid-configuration", provider.issuer()))?.json()?;
    assert_eq!(discovery.get("issuer"), Some(&json!(provider.issuer())));
    let address = discovery.get("jwks_uri").and_then(Value::as_str).context("a jwks_uri")?;
    let keys = http_get(address)?.json()?;
    let keys = keys.get("keys").and_then(Value::as_array).context("keys")?;
    Ok(keys.iter().filter_map(|key| key.get("kid").cloned()).collect())
}

#[test]
fn tokens_carry_what_the_client_was_given() -> Result<()> {
    let mut options = OidcProvider::options();
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let client = OidcClient::new(&format!("bot-{algorithm}")).algorithm(algorithm).groups(&["agents", "sre"]);
        options = options.client(client.claim("repository", json!("acme/shop")).lifetime(Duration::from_secs(90)));
    }
    let mut provider = options.client(OidcClient::new("big").claim("pad", json!("x".repeat(5_000)))).start()?;
    let ids = key_ids(&provider)?;
    assert_eq!(ids.len(), 4);
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = provider.token(&format!("bot-{algorithm}"))?;
        let (header, claims) = (part(&token, 0)?, part(&token, 1)?);
        assert_eq!(header["alg"], json!(algorithm));
        assert_eq!(header["typ"], json!("at+jwt"));
        assert!(ids.contains(&header["kid"]));
        assert_eq!(claims["iss"], json!(provider.issuer()));
        assert_eq!(claims["aud"], json!("doorward"));
        assert_eq!(claims["sub"], json!(format!("bot-{algorithm}")));
        assert_eq!(claims["groups"], json!(["agents", "sre"]));
        assert_eq!(claims["repository"], json!("acme/shop"));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 90);
    }
    assert!(provider.token("big")?.len() > 5_000);
    assert!(provider.token("nobody").is_err());

    provider.rotate_keys()?;
    let rotated = key_ids(&provider)?;
    assert!(rotated.iter().all(|id| !ids.contains(id)));
    assert!(rotated.contains(&part(&provider.token("bot-ES256")?, 0)?["kid"]));
    Ok(())
}
