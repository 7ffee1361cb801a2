//! Where a secret of the configuration comes from.
use super::{Config, connection::ConnectionConfig};
use crate::{
    secrets::Origin,
    sources::{Outside, Place},
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_gateway::Rotating;
use doorward_model::Secret;
use serde::Deserialize;
use std::path::PathBuf;

const ONE_OF: &str =
    "credential takes exactly one of env, file, secret, value, vault, aws, kubernetes, authority = true";

/// Where a secret comes from, as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credential {
    env: Option<String>,
    file: Option<PathBuf>,
    secret: Option<String>,
    value: Option<String>,
    /// SSH: a certificate for each session, signed by the gateway's own authority.
    #[serde(default)]
    authority: bool,
    /// Vault's path, as its API has it.
    vault: Option<String>,
    /// Name or ARN of a secret in AWS Secrets Manager.
    aws: Option<String>,
    /// `NAMESPACE/NAME` of a secret of Kubernetes.
    kubernetes: Option<String>,
    /// A program that prints it: of the key that wraps secrets alone.
    command: Option<Vec<String>>,
    /// The field of these three; without it they give a password, and its user if they have one.
    field: Option<String>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential([secret])")
    }
}

/// The same, as one of what it can be.
pub(crate) enum Given {
    Env(String),
    File(PathBuf),
    Stored(String),
    Value(String),
    Authority,
    Outside(Outside),
    Command(Vec<String>),
}

impl Credential {
    pub(crate) fn given(&self) -> Result<Given> {
        let outside = |path: &String, made: fn(String) -> Place| {
            Given::Outside(Outside { place: made(path.clone()), field: self.field.clone() })
        };
        let all = [
            self.env.clone().map(Given::Env),
            self.file.clone().map(Given::File),
            self.secret.clone().map(Given::Stored),
            self.value.clone().map(Given::Value),
            self.authority.then_some(Given::Authority),
            self.vault.as_ref().map(|p| outside(p, Place::Vault)),
            self.aws.as_ref().map(|p| outside(p, Place::Aws)),
            self.kubernetes.as_ref().map(|p| outside(p, Place::Kubernetes)),
            self.command.clone().map(Given::Command),
        ];
        let mut all = all.into_iter().flatten();
        let (Some(given), None) = (all.next(), all.next()) else { bail!(ONE_OF) };
        if self.field.is_some() && !matches!(given, Given::Outside(_)) {
            bail!("`field` goes with vault, aws and kubernetes");
        }
        Ok(given)
    }

    pub(super) const fn is_authority(&self) -> bool {
        self.authority
    }
}

impl Config {
    pub(super) fn secret(&self, c: &ConnectionConfig) -> Result<Option<Rotating>> {
        let Some(credential) = &c.credential else { return Ok(None) };
        Ok(Some(match credential.given()? {
            Given::Authority if c.kind != "ssh" => bail!("credential = {{ authority = true }} is for kind \"ssh\""),
            Given::Authority => return Ok(None),
            // Those that may change while the gateway runs are shared by all that is made of the configuration.
            Given::File(path) => {
                let slot = self.slots.slot(Origin::File(self.path(&path)));
                slot.set(Some(self.resolved(credential)?));
                slot
            }
            Given::Stored(name) => match self.secrets.named(&name)? {
                Some(outside) => self.sources.rotating(&outside)?,
                None => self.slots.slot(Origin::Stored(name)),
            },
            Given::Outside(outside) => self.sources.rotating(&outside)?,
            Given::Command(_) => bail!(ONE_OF),
            Given::Env(_) | Given::Value(_) => Rotating::new(&format!("of {}", c.name), self.resolved(credential)?),
        }))
    }

    /// Where the credential of a connection comes from, if it may change.
    pub(crate) fn origin(&self, c: &ConnectionConfig) -> Option<Origin> {
        match c.credential.as_ref()?.given().ok()? {
            Given::File(path) => Some(Origin::File(self.path(&path))),
            Given::Stored(name) => Some(match self.secrets.named(&name).ok().flatten() {
                Some(outside) => Origin::Outside(outside),
                None => Origin::Stored(name),
            }),
            Given::Outside(outside) => Some(Origin::Outside(outside)),
            Given::Env(_) | Given::Value(_) | Given::Authority | Given::Command(_) => None,
        }
    }

    /// A secret, from where it is: of those that do not change.
    pub(crate) fn resolved(&self, credential: &Credential) -> Result<Secret<String>> {
        let secret = match credential.given()? {
            Given::Env(name) => {
                std::env::var(&name).map_err(|_| anyhow!("the environment variable {name} is not set"))?
            }
            Given::File(path) => {
                let path = self.path(&path);
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            Given::Value(value) => value,
            Given::Stored(name) => {
                bail!("`{name}`: only the credential of a connection may come from the store: use env or file")
            }
            Given::Outside(outside) => {
                bail!("`{outside}`: only the credential of a connection may come from there: use env or file")
            }
            Given::Authority | Given::Command(_) => bail!(ONE_OF),
        };
        Ok(Secret::new(secret))
    }
}
