//! Signing in, as `doorward.toml` has it, and the first administrator.
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
    issuer: String,
    client_id: String,
    client_secret: Option<Credential>,
    #[serde(default = "default_scopes")]
    scopes: Vec<String>,
    #[serde(default = "default_groups_claim")]
    groups_claim: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    tls_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Oidc,
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
            let Kind::Oidc = p.kind;
            let secret = p.client_secret.as_ref().map(|c| self.resolved(c)).transpose();
            Ok(ProviderConfig {
                name: p.name.clone(),
                issuer: p.issuer.clone(),
                client_id: p.client_id.clone(),
                client_secret: secret.map_err(|e| anyhow!("provider `{}`: client_secret: {e:#}", p.name))?,
                scopes: p.scopes.clone(),
                groups_claim: p.groups_claim.clone(),
                tags: p.tags.clone(),
                tls_ca: p.tls_ca.as_ref().map(|path| self.path(path)),
            })
        };
        self.identity.providers.iter().map(build).collect()
    }

    /// What does not need a running gateway.
    pub(crate) fn check_sign_in(&self) -> Result<()> {
        self.sign_in_settings()?;
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        let issuers = self.identity.issuers.iter().map(|i| (i.name.as_str(), i.issuer.as_str()));
        let providers = self.identity.providers.iter().map(|p| (p.name.as_str(), p.issuer.as_str()));
        for (name, url) in issuers.clone().chain(providers) {
            if name == LOCAL {
                bail!("issuer name `{LOCAL}` is the gateway's own");
            }
            // Whoever comes by token and by browser must be one person: nobody approves what they asked for themselves.
            let other = known.iter().find(|(n, u)| (**n == name) != (**u == url));
            if let Some((other, _)) = other.filter(|_| !url.is_empty()) {
                bail!(
                    "`{name}` and `{other}`: an issuer and a provider have one name exactly where they have one URL, so \
                     that a person is the same by token and by browser"
                );
            }
            known.insert(name, url);
        }
        let mut names = BTreeSet::new();
        for provider in self.providers()? {
            provider.validate()?;
            if !names.insert(provider.name.clone()) {
                bail!("provider name `{}` is used twice", provider.name);
            }
        }
        Ok(())
    }

    pub(crate) fn sign_in(&self, store: Store) -> Result<SignIn> {
        Ok(SignIn::new(store, self.sign_in_settings()?).with_providers(self.providers()?)?)
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

    fn load(more: &str) -> Result<Config> {
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
