//! `[[identity.providers]]` of kind `saml`.
use super::{Kind, Provider};
use crate::config::Config;
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_saml::{Certificate, IdentityProvider, SigningKey};
use doorward_signin::SamlConfig;
use std::{path::Path, sync::Arc};

/// The largest file that is read for a provider; the reader of documents refuses less.
const MAX_FILE: u64 = 1024 * 1024;

impl Provider {
    /// Refuses what would be ignored.
    pub(super) fn has_only_what_oidc_has(&self) -> Result<()> {
        let odd = [
            ("metadata", self.metadata.is_some()),
            ("sso_url", self.sso_url.is_some()),
            ("certificates", !self.certificates.is_empty()),
            ("subject_claim", self.subject_claim.is_some()),
            ("token_issuer", self.token_issuer.is_some()),
            ("signing_key", self.signing_key.is_some()),
            ("signing_certificate", self.signing_certificate.is_some()),
        ];
        self.refuse(&odd, "saml")
    }

    fn has_only_what_saml_has(&self) -> Result<()> {
        let odd = [
            ("client_secret", self.client_secret.is_some()),
            ("scopes", self.scopes.is_some()),
            ("tls_ca", self.tls_ca.is_some()),
        ];
        self.refuse(&odd, "oidc")
    }

    fn refuse(&self, odd: &[(&str, bool)], kind: &str) -> Result<()> {
        match odd.iter().find(|(_, there)| *there) {
            Some((field, _)) => bail!("provider `{}`: `{field}` is for kind \"{kind}\"", self.name),
            None => Ok(()),
        }
    }
}

impl Config {
    pub(super) fn saml_providers(&self) -> Result<Vec<SamlConfig>> {
        let saml = self.identity.providers.iter().filter(|p| p.kind == Kind::Saml);
        saml.map(|p| self.saml_provider(p).with_context(|| format!("provider `{}`", p.name))).collect()
    }

    fn saml_provider(&self, p: &Provider) -> Result<SamlConfig> {
        p.has_only_what_saml_has()?;
        Ok(SamlConfig {
            name: p.name.clone(),
            provider: self.identity_provider(p)?,
            entity_id: p.client_id.clone(),
            subject_claim: p.subject_claim.clone(),
            groups_claim: p.groups_claim.clone(),
            tags: p.tags.clone(),
            signing: self.signing(p)?.map(Arc::new),
        })
    }

    /// By its metadata, or by hand.
    fn identity_provider(&self, p: &Provider) -> Result<IdentityProvider> {
        let Some(metadata) = &p.metadata else {
            let read = |text: &String| self.certificate(text);
            return Ok(IdentityProvider {
                entity_id: p.issuer.clone(),
                sso_url: p
                    .sso_url
                    .clone()
                    .ok_or_else(|| anyhow!("`metadata`, or `issuer`, `sso_url` and `certificates`, are missing"))?,
                certificates: p.certificates.iter().map(read).collect::<Result<_>>()?,
            });
        };
        if p.sso_url.is_some() || !p.certificates.is_empty() {
            bail!("`metadata` has `sso_url` and `certificates` in it: leave them out");
        }
        let text = if metadata.trim_start().starts_with('<') {
            metadata.clone()
        } else {
            self.small_file(Path::new(metadata))?
        };
        let found = IdentityProvider::of_metadata(&text).map_err(|e| anyhow!("`metadata` {e}"))?;
        if !p.issuer.is_empty() && p.issuer != found.entity_id {
            bail!("`metadata` is of `{}`, and not of `{}`", found.entity_id, p.issuer);
        }
        Ok(found)
    }

    fn certificate(&self, text: &str) -> Result<Certificate> {
        let pem = if text.contains("-----BEGIN") { text.to_owned() } else { self.small_file(Path::new(text))? };
        Certificate::read(&pem).map_err(|e| anyhow!("`certificates`: one {e}"))
    }

    fn signing(&self, p: &Provider) -> Result<Option<SigningKey>> {
        match (&p.signing_key, &p.signing_certificate) {
            (None, None) => Ok(None),
            (Some(key), Some(certificate)) => {
                let certificate = Certificate::read(&self.small_file(certificate)?);
                let certificate = certificate.map_err(|e| anyhow!("`signing_certificate` {e}"))?;
                let key = self.resolved(key).context("signing_key")?;
                Ok(Some(SigningKey::read(&key, certificate).map_err(|e| anyhow!("`signing_key` {e}"))?))
            }
            (Some(_), None) | (None, Some(_)) => bail!("`signing_key` and `signing_certificate` come together"),
        }
    }

    fn small_file(&self, path: &Path) -> Result<String> {
        let path = self.path(path);
        let read = || {
            let size = std::fs::metadata(&path)?.len();
            if size > MAX_FILE {
                Err(std::io::Error::other("it is larger than 1 MiB"))
            } else {
                std::fs::read_to_string(&path)
            }
        };
        read().with_context(|| format!("cannot read {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    const METADATA: &str = include_str!("../../../saml/testdata/keycloak-metadata.xml");

    fn corp(more: &str) -> String {
        format!("[[identity.providers]]\nname = \"corp\"\nkind = \"saml\"\n{more}\n")
    }

    #[test]
    fn saml_providers_are_read_from_metadata_or_by_hand() {
        let config = load(&corp(&format!("metadata = '''{METADATA}'''"))).unwrap();
        let found = &config.saml_providers().unwrap()[0];
        assert_eq!(
            (found.provider.entity_id.as_str(), found.provider.certificates.len()),
            ("http://127.0.0.1:9998/realms/people", 1)
        );
        assert_eq!((found.groups_claim.as_str(), &found.entity_id, &found.subject_claim), ("groups", &None, &None));

        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sp.crt");
        std::fs::write(&file, &pem).unwrap();
        let by_hand = format!(
            "issuer = \"https://idp.example\"\nsso_url = \"https://idp.example/sso\"\ncertificates = [\"{0}\", '''{pem}''']\n\
             client_id = \"doorward\"\nsubject_claim = \"uid\"\nsigning_certificate = \"{0}\"\nsigning_key = {{ value = '''{1}''' }}",
            file.display(),
            key.serialize_pem()
        );
        let config = load(&corp(&by_hand)).unwrap();
        let found = &config.saml_providers().unwrap()[0];
        assert_eq!((found.provider.certificates.len(), found.entity_id.as_deref()), (2, Some("doorward")));
        assert!(found.signing.is_some() && !format!("{config:?} {found:?}").contains("PRIVATE"));
    }

    #[test]
    fn mistakes_are_named() {
        let given = format!("metadata = '''{METADATA}'''");
        let issuer = "[[identity.issuers]]\nname = \"corp\"\nissuer = \"http://127.0.0.1:9998/realms/people\"\naudience = [\"a\"]\nprincipal = \"user\"\n";
        for (text, want) in [
            (corp(""), "`metadata`, or `issuer`"),
            (corp("metadata = \"nosuch.xml\""), "cannot read"),
            (corp("metadata = \"<!DOCTYPE a><a/>\""), "`metadata` is not read: it has a DOCTYPE"),
            (corp(&format!("{given}\nissuer = \"https://idp.example\"")), "and not of `https://idp.example`"),
            (corp(&format!("{given}\nsso_url = \"https://idp.example\"")), "leave them out"),
            (corp(&format!("{given}\nclient_secret = {{ value = \"x\" }}")), "`client_secret` is for kind \"oidc\""),
            (corp(&format!("{given}\nsigning_certificate = \"x\"")), "come together"),
            (corp(&given.replace("127.0.0.1:9998", "idp.example")), "plain http is for loopback only"),
            (
                corp("issuer = \"https://i.example\"\nsso_url = \"https://i.example\""),
                "without one no answer can be believed",
            ),
            (
                corp(
                    "issuer = \"https://i.example\"\nsso_url = \"https://i.example\"\ncertificates = [\"-----BEGIN x\"]",
                ),
                "not an X.509",
            ),
            (corp(&given).replace("\"corp\"", "\"local\""), "the gateway's own"),
            (format!("{}{}", corp(&given), corp(&given)), "is used twice"),
            (format!("{}{issuer}", corp(&given)), "set `subject_claim`"),
        ] {
            let e = format!("{:#}", load(&text).unwrap_err());
            assert!(e.contains(want), "{text}: {e}");
        }
        let with_uid = corp(&format!("{given}\nsubject_claim = \"uid\""));
        load(&format!("{with_uid}{issuer}")).unwrap();
        // Some providers have an entity ID that is not what their tokens say.
        let elsewhere = issuer.replace("http://127.0.0.1:9998/realms/people", "https://tokens.example");
        let e = format!("{:#}", load(&format!("{with_uid}{elsewhere}")).unwrap_err());
        assert!(e.contains("`token_issuer`"), "{e}");
        let said = with_uid.replace("subject_claim", "token_issuer = \"https://tokens.example\"\nsubject_claim");
        load(&format!("{said}{elsewhere}")).unwrap();
        // The same people under two names.
        let e = load(&format!("{said}{}", elsewhere.replace("\"corp\"", "\"other\""))).unwrap_err();
        assert!(format!("{e:#}").contains("one name exactly where"), "{e:#}");
    }
}
