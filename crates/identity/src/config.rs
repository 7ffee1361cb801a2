//! What the administrator says of an issuer.
use crate::spiffe;
use doorward_model::PrincipalKind;
use reqwest::Url;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use thiserror::Error;

/// One `[[identity.issuers]]` entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The name that principals carry: letters, digits, `.`, `_`, `-`; at most 64.
    pub name: String,
    /// The issuer's URL, exactly as in the tokens' `iss` (a final slash counts). `http://` on loopback only. Where the keys
    /// come from elsewhere (`jwks_file`, `jwks_url`) any text. Empty where there is a `spiffe_trust_domain`.
    #[serde(default)]
    pub issuer: String,
    /// JWT-SVIDs of this trust domain, in place of an issuer's tokens: the subject is a SPIFFE ID in it, and the keys are
    /// those of its bundle with `use: jwt-svid`. `iss` is not asked.
    #[serde(default)]
    pub spiffe_trust_domain: Option<String>,
    /// The keys are in this file, which is read again as it changes; nothing is discovered.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// The keys are at this URL; nothing is discovered.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// The authorities (PEM) by which the issuer's certificate is checked; those of the system where there is none.
    #[serde(default)]
    pub tls_ca: Option<PathBuf>,
    /// A file with the bearer token that the keys are fetched with, read each time: an API server shows them to who is
    /// logged in. Sent to `issuer` or `jwks_url` and to no other origin.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// A token must be for one of these (`aud`). May be empty where `openpubkey_audience` is not.
    pub audience: Vec<String>,
    /// Whom tokens may be for that are bound to a key of the caller's (OpenPubkey over SSH): the client id of opkssh.
    /// None of `audience`: such a token is shown to every server that it is used at, and alone must be good for nothing.
    #[serde(default)]
    pub openpubkey_audience: Vec<String>,
    /// The claim that lists the groups. A dotted path reaches into nested claims
    /// (`realm_access.roles`), but a claim with exactly this name comes first.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// What kind of caller the issuer vouches for.
    pub principal: PrincipalKind,
    /// Tag for policies → claim (or dotted path) that it is taken from.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// If not empty, a token's `azp` must be one of these.
    #[serde(default)]
    pub authorized_parties: Vec<String>,
    /// Whether tokens may say that an agent acts for their subject (`act`, RFC 8693): both are asked for what the agent
    /// does, then. Such a token is refused where this is not set.
    #[serde(default)]
    pub delegation: bool,
}

fn default_groups_claim() -> String {
    String::from("groups")
}

/// Why an issuer's configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The name is empty, too long, or holds other characters.
    #[error("issuer name `{name}`: use 1 to 64 letters, digits, `.`, `_` or `-`")]
    Name {
        /// The name as configured.
        name: String,
    },
    /// Two issuers share a name.
    #[error("issuer name `{name}` is used twice")]
    DuplicateName {
        /// The name as configured.
        name: String,
    },
    /// Two issuers share a URL, so that a token could not tell which one is meant.
    #[error("issuer `{name}`: `{url}` is the URL of another issuer already")]
    DuplicateUrl {
        /// The issuer's name.
        name: String,
        /// The URL as configured.
        url: String,
    },
    /// The URL cannot be an issuer's.
    #[error("issuer `{name}`: `{url}` {problem}")]
    Url {
        /// The issuer's name.
        name: String,
        /// The URL as configured.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A field is empty that must not be.
    #[error("issuer `{name}`: `{field}` {problem}")]
    Field {
        /// The issuer's name.
        name: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The HTTP client could not be made (for example: no root certificates on this machine).
    #[error("issuer `{name}`: the HTTP client could not be set up: {reason}")]
    Client {
        /// The issuer's name.
        name: String,
        /// What the TLS or HTTP library says.
        reason: String,
    },
}

impl IssuerConfig {
    /// Checks this entry alone; [`crate::Verifier::new`] also checks the entries against each other.
    ///
    /// # Errors
    /// The first problem found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let name_ok = (1..=64).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !name_ok {
            return Err(ConfigError::Name { name: self.name.clone() });
        }
        self.validate_source()?;
        let field = |field, problem| self.field_error(field, problem);
        self.validate_audiences()?;
        if self.groups_claim.is_empty() {
            return Err(field("groups_claim", "must not be empty"));
        }
        if self.tags.iter().any(|(tag, claim)| tag.is_empty() || claim.is_empty()) {
            return Err(field("tags", "must not hold an empty tag or claim name"));
        }
        if self.authorized_parties.iter().any(String::is_empty) {
            return Err(field("authorized_parties", "must not hold an empty string"));
        }
        if self.delegation && self.principal == PrincipalKind::Agent {
            return Err(field("delegation", "needs `principal = \"user\"`: it is people that agents act for"));
        }
        if self.delegation && self.spiffe_trust_domain.is_some() {
            return Err(field("delegation", "means nothing beside `spiffe_trust_domain`"));
        }
        Ok(())
    }

    /// Checks every entry, and that no two can be mistaken for each other.
    ///
    /// # Errors
    /// The first problem found.
    pub fn validate_all(all: &[Self]) -> Result<(), ConfigError> {
        validate_all(all)
    }

    fn field_error(&self, field: &'static str, problem: &'static str) -> ConfigError {
        ConfigError::Field { name: self.name.clone(), field, problem }
    }

    /// Where tokens say that they come from, and where the keys do.
    fn validate_source(&self) -> Result<(), ConfigError> {
        match &self.spiffe_trust_domain {
            Some(_) if !self.issuer.is_empty() => {
                return Err(self.field_error("issuer", "means nothing beside `spiffe_trust_domain`"));
            }
            Some(domain) if !spiffe::is_trust_domain(domain) => {
                return Err(
                    self.field_error("spiffe_trust_domain", "is no name of a trust domain, such as `example.org`")
                );
            }
            Some(_) if !self.openpubkey_audience.is_empty() => {
                return Err(self.field_error("openpubkey_audience", "means nothing beside `spiffe_trust_domain`"));
            }
            Some(_) if self.jwks_file.is_none() && self.jwks_url.is_none() => {
                return Err(self.field_error("spiffe_trust_domain", "needs its bundle: `jwks_file` or `jwks_url`"));
            }
            None if self.issuer.is_empty() => {
                return Err(self.field_error("issuer", "must be the tokens' `iss`"));
            }
            Some(_) | None => {}
        }
        match (&self.jwks_file, &self.jwks_url) {
            (Some(_), Some(_)) => Err(self.field_error("jwks_url", "means nothing beside `jwks_file`")),
            (Some(_), None) if self.tls_ca.is_some() || self.token_file.is_some() => {
                Err(self.field_error("jwks_file", "needs neither `tls_ca` nor `token_file`"))
            }
            (Some(_), None) => Ok(()),
            (None, Some(_)) | (None, None) => self.parsed_url().map(|_| ()),
        }
    }

    /// Whether its keys are found by OIDC discovery.
    pub const fn is_discovered(&self) -> bool {
        self.jwks_file.is_none() && self.jwks_url.is_none()
    }

    fn validate_audiences(&self) -> Result<(), ConfigError> {
        if self.audience.is_empty() && self.openpubkey_audience.is_empty() {
            return Err(self.field_error("audience", "must name at least one audience"));
        }
        for (name, list) in [("audience", &self.audience), ("openpubkey_audience", &self.openpubkey_audience)] {
            if list.iter().any(String::is_empty) {
                return Err(self.field_error(name, "must not hold an empty string"));
            }
        }
        if self.openpubkey_audience.iter().any(|a| self.audience.contains(a)) {
            let problem = "must not name one of `audience`: tokens bound to a key are shown to many servers";
            return Err(self.field_error("openpubkey_audience", problem));
        }
        Ok(())
    }

    /// Where the issuer's discovery document is (OpenID Connect Discovery 1.0, section 4).
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'))
    }

    /// Where the keys are asked for: the issuer, or `jwks_url`.
    pub(crate) fn parsed_url(&self) -> Result<Url, ConfigError> {
        let text = self.jwks_url.as_ref().unwrap_or(&self.issuer);
        let refuse = |problem| ConfigError::Url { name: self.name.clone(), url: text.clone(), problem };
        let url = Url::parse(text).map_err(|_| refuse("is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("must not hold a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("must not have a query or a fragment"));
        }
        match url.scheme() {
            "https" if url.host_str().is_some() => Ok(url),
            "http" if is_loopback(&url) => Ok(url),
            "http" => Err(refuse("must be https: plain http is for loopback only")),
            _ => Err(refuse("must be an https URL")),
        }
    }
}

/// Whether a URL's host can only be this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Checks every entry, and that no two can be mistaken for each other.
pub(crate) fn validate_all(configs: &[IssuerConfig]) -> Result<(), ConfigError> {
    let (mut names, mut urls, mut domains) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for config in configs {
        config.validate()?;
        if !names.insert(config.name.as_str()) {
            return Err(ConfigError::DuplicateName { name: config.name.clone() });
        }
        if let Some(domain) = &config.spiffe_trust_domain {
            if !domains.insert(domain) {
                return Err(config.field_error("spiffe_trust_domain", "is that of another issuer already"));
            }
        } else if !urls.insert(config.issuer.as_str()) {
            return Err(ConfigError::DuplicateUrl { name: config.name.clone(), url: config.issuer.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<IssuerConfig, String> {
        let config: IssuerConfig = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    fn with_url(url: &str) -> Result<IssuerConfig, String> {
        parse(&format!("name = 'ci'\nissuer = '{url}'\naudience = ['doorward']\nprincipal = 'agent'"))
    }

    #[test]
    fn the_documented_entry_is_read() {
        let c = parse(
            "name='ci'\nissuer='https://idp.example.com/'\naudience=['doorward']\nprincipal='user'\ntags={ref='ref'}",
        )
        .unwrap();
        assert_eq!((c.groups_claim.as_str(), c.principal), ("groups", PrincipalKind::User));
        assert_eq!(c.discovery_url(), "https://idp.example.com/.well-known/openid-configuration");
    }

    #[test]
    fn urls_are_https_or_loopback() {
        for ok in [
            "https://idp.example.com",
            "http://127.0.0.1:80",
            "http://127.8.8.8",
            "http://[::1]:9",
            "http://localhost:1/realms/x",
        ] {
            with_url(ok).unwrap();
        }
        for (bad, message) in [
            ("http://idp.example.com", "plain http is for loopback only"),
            ("http://127.0.0.1.example.com", "plain http is for loopback only"),
            ("http://localhost.example.com", "plain http is for loopback only"),
            ("http://[::2]", "plain http is for loopback only"),
            ("http://127.0.0.1@example.com", "user name"),
            ("https://u:p@example.com", "user name"),
            ("https://example.com?x", "query"),
            ("https://example.com#x", "fragment"),
            ("ftp://127.0.0.1", "https URL"),
            ("file:///etc/passwd", "https URL"),
            ("idp.example.com", "not a URL"),
        ] {
            let e = with_url(bad).unwrap_err();
            assert!(e.contains(message) && e.contains("`ci`"), "{bad}: {e}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let base = "name='ci'\nissuer='https://a'\nprincipal='agent'\n";
        for (text, message) in [
            (format!("{base}audience=[]"), "`audience` must name"),
            (format!("{base}audience=['']"), "`audience` must not hold an empty"),
            (format!("{base}audience=['x']\ngroup_claim='g'"), "unknown field `group_claim`"),
            (format!("{base}audience=['x']\ngroups_claim=''"), "`groups_claim`"),
            (base.to_owned(), "missing field `audience`"),
            ("name='a'\nprincipal='agent'\naudience=['x']".into(), "`issuer` must be"),
            (format!("{base}audience=['x']\njwks_file='a'\njwks_url='https://a'"), "`jwks_url` means nothing"),
            (format!("{base}audience=['x']\njwks_file='a'\ntls_ca='b'"), "needs neither"),
            (format!("{base}audience=['x']\njwks_url='http://a.example/keys'"), "plain http"),
            (format!("{base}audience=['x']\nspiffe_trust_domain='a'\njwks_file='b'"), "`issuer` means nothing"),
            ("name='a'\nprincipal='agent'\naudience=['x']\nspiffe_trust_domain='a'".into(), "needs its bundle"),
            (
                "name='a'\nprincipal='agent'\naudience=['x']\nspiffe_trust_domain='spiffe://a'\njwks_file='b'".into(),
                "no name of a trust domain",
            ),
            (format!("{base}audience=['x']\ndelegation=true"), "`delegation` needs `principal = \"user\"`"),
            (
                "name='a'\nprincipal='user'\naudience=['x']\nspiffe_trust_domain='a'\njwks_file='b'\ndelegation=true"
                    .into(),
                "`delegation` means nothing",
            ),
            ("name='a/b'\nissuer='https://a'\nprincipal='agent'\naudience=['x']".into(), "issuer name `a/b`"),
            ("name='a'\nissuer='https://a'\nprincipal='robot'\naudience=['x']".into(), "unknown variant `robot`"),
        ] {
            let e = parse(&text).unwrap_err();
            assert!(e.contains(message), "{text}: {e}");
        }
    }

    #[test]
    fn two_issuers_cannot_be_mistaken_for_each_other() {
        let a = with_url("https://a").unwrap();
        let named = |name: &str, issuer: &str| IssuerConfig { name: name.into(), issuer: issuer.into(), ..a.clone() };
        assert_eq!(
            validate_all(&[a.clone(), named("ci", "https://b")]),
            Err(ConfigError::DuplicateName { name: "ci".into() })
        );
        assert!(matches!(validate_all(&[a.clone(), named("x", "https://a")]), Err(ConfigError::DuplicateUrl { .. })));
        validate_all(&[a.clone(), named("x", "https://a/")]).unwrap();
    }
}
