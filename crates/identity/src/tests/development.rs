//! The development issuer, and agreement with another JOSE implementation.
use super::support::*;
use crate::dev::{self, DevError, Issuer, TokenRequest};
use crate::{IssuerConfig, Verifier};
use doorward_model::{PrincipalKind, Timestamp};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

fn request(issuer: &str) -> TokenRequest {
    TokenRequest {
        issuer: issuer.into(),
        sub: "ci-bot".into(),
        groups: vec!["agents".into()],
        audience: vec!["doorward".into()],
        claims: vec![("ref".into(), json!("main"))],
        ttl: Duration::from_secs(3600),
    }
}

fn config(issuer: &str) -> IssuerConfig {
    IssuerConfig {
        spiffe_trust_domain: None,
        jwks_file: None,
        jwks_url: None,
        tls_ca: None,
        token_file: None,
        name: "dev".into(),
        issuer: issuer.into(),
        audience: vec!["doorward".into()],
        openpubkey_audience: Vec::new(),
        groups_claim: "groups".into(),
        principal: PrincipalKind::User,
        tags: [("branch".to_owned(), "ref".to_owned())].into(),
        authorized_parties: Vec::new(),
        delegation: false,
    }
}

#[tokio::test]
async fn its_tokens_verify_and_its_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("issuer");
    let issuer = Issuer::open(&keys).unwrap();
    let served = issuer.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let verifier = Verifier::new(vec![config(served.url())]).unwrap();
    // Minted by another process, which has the directory only.
    let token = dev::mint(&keys, &request(served.url()), NOW).unwrap();
    let p = accept(&verifier, &token).await;
    assert_eq!((p.id().as_str(), p.kind, p.tags["branch"].as_str()), ("dev/ci-bot", PrincipalKind::User, "main"));
    assert_eq!(p.expires_at, NOW.after(Duration::from_secs(3600)));
    served.stop().await;
    let files: Vec<_> = std::fs::read_dir(&keys).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keys.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::set_permissions(&files[0], std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Issuer::open(&keys), Err(DevError::KeyExposed(_))));
}

#[tokio::test]
async fn it_rotates_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::open(dir.path()).unwrap();
    let served = issuer.serve("[::1]:0".parse().unwrap()).await.unwrap();
    let verifier = Verifier::new(vec![config(served.url())]).unwrap();
    let mint = |issuer: &Issuer| issuer.mint(&request(served.url()), NOW).unwrap();
    let old = mint(&issuer);
    accept(&verifier, &old).await;
    issuer.rotate(true).unwrap();
    accept(&verifier, &mint(&issuer)).await;
    accept(&verifier, &old).await;
    issuer.rotate(false).unwrap();
    let fresh = Verifier::new(vec![config(served.url())]).unwrap();
    accept(&fresh, &mint(&issuer)).await;
    assert_eq!(code(&fresh, &old).await, "unknown_key");
    let address = served.address();
    served.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn it_refuses_what_it_must_not_do() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::open(dir.path()).unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let refused = issuer.serve(address.parse().unwrap()).await;
        assert!(matches!(refused, Err(DevError::NotLoopback(_))), "{address}");
    }
    let claims = vec![("sub".to_owned(), json!("admin"))];
    let refused = issuer.mint(&TokenRequest { claims, ..request("http://127.0.0.1:1") }, NOW);
    assert!(matches!(refused, Err(DevError::ReservedClaim(c)) if c == "sub"));
    std::fs::write(dir.path().join("dev-issuer-key.p8"), b"garbage").unwrap();
    assert!(matches!(Issuer::open(dir.path()), Err(DevError::Key(_))));
}

#[tokio::test]
async fn another_implementation_agrees() {
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::open(dir.path()).unwrap();
    let served = issuer.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let now = Timestamp::from(SystemTime::now());
    // Theirs reads what ours signs.
    let jwks: Value = reqwest::get(format!("{}/jwks", served.url())).await.unwrap().json().await.unwrap();
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwks["keys"][0].clone()).unwrap();
    let token = issuer.mint(&request(served.url()), now).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["doorward"]);
    let theirs = jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
    assert_eq!(theirs.claims["sub"], "ci-bot");
    // Ours reads what theirs signs.
    let pkcs8 = std::fs::read(dir.path().join("dev-issuer-key.p8")).unwrap();
    let header = Header { kid: jwk.common.key_id.clone(), ..Header::new(Algorithm::ES256) };
    let token = jsonwebtoken::encode(&header, &theirs.claims, &EncodingKey::from_ec_der(&pkcs8)).unwrap();
    let verifier = Verifier::new(vec![config(served.url())]).unwrap();
    assert_eq!(verifier.verify(&token, now).await.unwrap().id(), "dev/ci-bot");
}
