//! Signing in, as `doorward.toml` has it, and the first administrator.
mod saml;

use crate::{
    config::{Config, Credential},
    dev::duration,
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_model::Timestamp;
use doorward_signin::{LOCAL, ProviderConfig, SessionLimits, Settings, SignIn};
use doorward_store::Store;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// `[server.sessions]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sessions {
    idle: Option<String>,
    absolute: Option<String>,
    cli: Option<String>,
}

impl Sessions {
    fn limits(&self) -> Result<SessionLimits> {
        let usual = SessionLimits::default();
        let read = |text: &Option<String>, usual| text.as_deref().map_or(Ok(usual), duration);
        Ok(SessionLimits {
            idle: read(&self.idle, usual.idle).context("idle")?,
            absolute: read(&self.absolute, usual.absolute).context("absolute")?,
            cli: read(&self.cli, usual.cli).context("cli")?,
        })
    }
}

/// One `[[identity.providers]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    name: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    issuer: String,
    /// Our name there.
    client_id: Option<String>,
    client_secret: Option<Credential>,
    scopes: Option<Vec<String>>,
    #[serde(default = "default_groups_claim")]
    groups_claim: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    tls_ca: Option<PathBuf>,
    // For SAML alone.
    /// A file, or the document itself.
    metadata: Option<String>,
    sso_url: Option<String>,
    /// Files, or PEM.
    #[serde(default)]
    certificates: Vec<String>,
    subject_claim: Option<String>,
    /// What tokens of the same provider have in `iss`, where that is not its entity ID.
    token_issuer: Option<String>,
    signing_key: Option<Credential>,
    signing_certificate: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Oidc,
    Saml,
}

fn default_scopes() -> Vec<String> {
    ["openid", "profile", "email", "groups"].map(str::to_owned).to_vec()
}

fn default_groups_claim() -> String {
    "groups".into()
}

impl Config {
    /// Where people reach the gateway.
    pub(crate) fn public_url(&self) -> String {
        self.server.public_url.clone().unwrap_or_else(|| {
            format!("{}://{}", if self.server.tls.is_some() { "https" } else { "http" }, self.server.api_listen)
        })
    }

    fn sign_in_settings(&self) -> Result<Settings> {
        Ok(Settings::new(&self.public_url(), self.server.sessions.limits().context("[server.sessions]")?)?)
    }

    fn providers(&self) -> Result<Vec<ProviderConfig>> {
        let build = |p: &Provider| {
            p.has_only_what_oidc_has()?;
            let client_id = p.client_id.clone();
            let secret = p.client_secret.as_ref().map(|c| self.resolved(c)).transpose();
            Ok(ProviderConfig {
                name: p.name.clone(),
                issuer: p.issuer.clone(),
                client_id: client_id.ok_or_else(|| anyhow!("provider `{}`: `client_id` is missing", p.name))?,
                client_secret: secret.map_err(|e| anyhow!("provider `{}`: client_secret: {e:#}", p.name))?,
                scopes: p.scopes.clone().unwrap_or_else(default_scopes),
                groups_claim: p.groups_claim.clone(),
                tags: p.tags.clone(),
                tls_ca: p.tls_ca.as_ref().map(|path| self.path(path)),
            })
        };
        self.identity.providers.iter().filter(|p| p.kind == Kind::Oidc).map(build).collect()
    }

    /// What does not need a running gateway.
    pub(crate) fn check_sign_in(&self) -> Result<()> {
        self.sign_in_settings()?;
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        let saml = self.saml_providers()?;
        let issuers = self.identity.issuers.iter().map(|i| (i.name.as_str(), i.issuer.as_str()));
        let (oidc, by_saml) = self.identity.providers.iter().partition::<Vec<_>, _>(|p| p.kind == Kind::Oidc);
        let providers = oidc.into_iter().map(|p| (p.name.as_str(), p.issuer.as_str()));
        let providers = providers.chain(
            by_saml
                .into_iter()
                .zip(&saml)
                .map(|(p, read)| (p.name.as_str(), p.token_issuer.as_deref().unwrap_or(&read.provider.entity_id))),
        );
        for (name, url) in issuers.clone().chain(providers) {
            if name == LOCAL {
                bail!("issuer name `{LOCAL}` is the gateway's own");
            }
            // Whoever comes by token and by browser must be one person: nobody approves what they asked for themselves.
            let other = known.iter().find(|(n, u)| (**n == name) != (**u == url));
            if let Some((other, _)) = other.filter(|_| !url.is_empty()) {
                bail!(
                    "`{name}` and `{other}`: an issuer and a provider have one name exactly where they have one URL, so \
                     that a person is the same by token and by browser (`token_issuer` says what tokens of a SAML \
                     provider have in `iss`)"
                );
            }
            known.insert(name, url);
        }
        let mut names = BTreeSet::new();
        for provider in &self.identity.providers {
            if !names.insert(&provider.name) {
                bail!("provider name `{}` is used twice", provider.name);
            }
        }
        self.providers()?.iter().try_for_each(ProviderConfig::validate)?;
        for provider in &saml {
            provider.validate()?;
            // A NameID is rarely what tokens of the same provider call somebody.
            if provider.subject_claim.is_none() && issuers.clone().any(|(name, _)| name == provider.name) {
                bail!(
                    "`{0}` is a SAML provider and an issuer: set `subject_claim` to the attribute that has what tokens of \
                     `{0}` have in `sub`, so that a person is the same by token and by browser",
                    provider.name
                );
            }
        }
        Ok(())
    }

    pub(crate) fn sign_in(&self, store: Store) -> Result<SignIn> {
        Ok(SignIn::new(store, self.sign_in_settings()?)
            .with_providers(self.providers()?)?
            .with_saml(self.saml_providers()?)?)
    }
}

/// Shows the code of the first administrator, once in the life of a gateway. Not by the log, which others may read.
pub(crate) async fn show_bootstrap(sign_in: &SignIn, now: Timestamp) -> Result<()> {
    if std::env::var_os("DOORWARD_BOOTSTRAP").is_some_and(|v| v == "again") {
        sign_in.withdraw_bootstrap().await?;
    }
    if let Some(code) = sign_in.offer_bootstrap(now).await? {
        let link = sign_in.settings().url(&format!("/auth/bootstrap?code={}", code.expose()));
        eprintln!(
            "\n  First administrator: sign in within the hour at\n\n    {link}\n\n  It is good once, and is not shown again.\n"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(more: &str) -> Result<Config> {
        // Whoever comes first.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("doorward.toml");
        let rest = "[policy]\nfiles = [\"a.cedar\"]\n";
        std::fs::write(&path, format!("[server]\nstate_dir = \"state\"\n{more}\n{rest}")).unwrap();
        Config::load(&path)
    }

    const CORP: &str = "[[identity.providers]]\nname = \"corp\"\nissuer = \"https://idp.example.com\"\n\
                        client_id = \"doorward\"\nclient_secret = { value = \"hunter2\" }\n";

    #[test]
    fn providers_are_read_and_show_no_secret() {
        let config = load(&format!("[server.sessions]\nidle = \"15m\"\n{CORP}")).unwrap();
        let providers = config.providers().unwrap();
        assert_eq!((providers.len(), providers[0].groups_claim.as_str()), (1, "groups"));
        assert_eq!(config.sign_in_settings().unwrap().limits().idle.as_secs(), 900);
        assert!(!format!("{config:?} {providers:?}").contains("hunter2"));
    }

    #[test]
    fn mistakes_are_named() {
        let issuer = |name: &str, url: &str| {
            format!(
                "[[identity.issuers]]\nname = \"{name}\"\nissuer = \"{url}\"\naudience = [\"a\"]\nprincipal = \"user\"\n"
            )
        };
        for (text, want) in [
            (CORP.replace("https://", "http://"), "plain http is for loopback only"),
            (CORP.replace("\"doorward\"", "\"\""), "`client_id` must not be empty"),
            (CORP.replace("client_id = \"doorward\"\n", ""), "`client_id` is missing"),
            (format!("{CORP}subject_claim = \"uid\"\n"), "`subject_claim` is for kind \"saml\""),
            (CORP.replace("\"corp\"", "\"local\""), "the gateway's own"),
            (format!("{CORP}kind = \"ldap\"\n"), "unknown variant `ldap`"),
            (format!("{CORP}scopes = [\"a b\"]\n"), "`scopes` must be words"),
            (format!("{CORP}{CORP}"), "is used twice"),
            (format!("{CORP}{}", issuer("people", "https://idp.example.com")), "one name exactly where"),
            (format!("{CORP}{}", issuer("corp", "https://other.example.com")), "one name exactly where"),
            ("[server.sessions]\nidle = \"2d\"\n".into(), "`idle` is longer than `absolute`"),
            ("[server.sessions]\nidle = \"soon\"\n".into(), "idle"),
            ("public_url = \"http://doors.example.com\"\n".into(), "has to be https"),
        ] {
            let e = format!("{:#}", load(&text).unwrap_err());
            assert!(e.contains(want), "{text}: {e}");
        }
        load(&format!("{CORP}{}", issuer("corp", "https://idp.example.com"))).unwrap();
    }
}
