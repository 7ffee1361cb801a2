//! Keycloak, as a SAML provider: `scripts/install-test-deps` unpacks and builds it, each test has a folder and a database
//! in memory of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::http_get;
use crate::paths::{Unavailable, cache_dir, find_program};
use crate::ports::free_port;
use crate::process::{Process, ProcessSpec};

/// It is Java, and makes its tables anew; CI's machine may be busy.
const START_LIMIT: Duration = Duration::from_secs(240);
/// The password of everybody.
const PASSWORD: &str = "x";

/// What Keycloak signs of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamlSigned {
    /// The assertion alone.
    Assertion,
    /// The answer alone.
    Response,
    /// Each of them.
    Both,
}

/// What Keycloak to start. Made by [`Keycloak::options`].
#[derive(Debug, Clone)]
pub struct KeycloakOptions {
    people: Vec<Value>,
    groups: Vec<Value>,
    clients: Vec<Value>,
}

impl KeycloakOptions {
    /// Adds a person, in one group, with an e-mail address and the password `x`.
    #[must_use]
    pub fn person(mut self, name: &str, group: &str) -> Self {
        if !self.groups.iter().any(|g| g.get("name").and_then(Value::as_str) == Some(group)) {
            self.groups.push(json!({ "name": group }));
        }
        self.people.push(json!({
            "username": name, "enabled": true, "email": format!("{name}@example.com"), "emailVerified": true,
            "firstName": name, "lastName": name, "groups": [format!("/{group}")],
            "credentials": [{ "type": "password", "value": PASSWORD }],
        }));
        self
    }

    /// Adds a service provider by its entity id, whose answers go to `acs`.
    #[must_use]
    pub fn client(mut self, entity_id: &str, acs: &str, signed: SamlSigned) -> Self {
        let yes = |is: bool| if is { "true" } else { "false" };
        self.clients.push(json!({
            "clientId": entity_id, "protocol": "saml", "enabled": true, "fullScopeAllowed": false,
            "redirectUris": [acs], "defaultClientScopes": [],
            "attributes": {
                "saml.assertion.signature": yes(signed != SamlSigned::Response),
                "saml.server.signature": yes(signed != SamlSigned::Assertion),
                "saml.client.signature": "false", "saml.signature.algorithm": "RSA_SHA256",
                "saml_signature_canonicalization_method": "http://www.w3.org/2001/10/xml-exc-c14n#",
                "saml_name_id_format": "username", "saml.force.post.binding": "true", "saml.authnstatement": "true",
                "saml_assertion_consumer_url_post": acs,
            },
            "protocolMappers": [
                { "name": "groups", "protocol": "saml", "protocolMapper": "saml-group-membership-mapper",
                  "config": { "attribute.name": "groups", "attribute.nameformat": "Basic", "single": "false", "full.path": "false" } },
                { "name": "uid", "protocol": "saml", "protocolMapper": "saml-user-property-mapper",
                  "config": { "attribute.name": "uid", "attribute.nameformat": "Basic", "user.attribute": "id" } },
                { "name": "mail", "protocol": "saml", "protocolMapper": "saml-user-property-mapper",
                  "config": { "attribute.name": "mail", "attribute.nameformat": "Basic", "user.attribute": "email" } },
            ],
        }));
        self
    }

    /// Encrypts the assertions for the client that was added last, with this certificate (base64, without lines).
    #[must_use]
    pub fn encrypts(self, certificate: &str) -> Self {
        self.with("saml.encrypt", "true").with("saml.encryption.certificate", certificate)
    }

    /// Takes requests of the client that was added last only if they are signed by this certificate's key (base64, without
    /// lines).
    #[must_use]
    pub fn signs_requests(self, certificate: &str) -> Self {
        self.with("saml.client.signature", "true").with("saml.signing.certificate", certificate)
    }

    fn with(mut self, attribute: &str, value: &str) -> Self {
        let attributes = self.clients.last_mut().and_then(|client| client.get_mut("attributes"));
        if let Some(attributes) = attributes.and_then(Value::as_object_mut) {
            attributes.insert(attribute.to_owned(), json!(value));
        }
        self
    }

    /// Starts it, and waits until it gives out its metadata.
    ///
    /// # Errors
    /// [`Unavailable`] when it or Java is not installed.
    pub fn start(self) -> Result<Keycloak> {
        let server = cache_dir().join("keycloak/server");
        let server = fs::canonicalize(&server).map_err(|_| Unavailable::new("Keycloak"))?;
        let java = find_program("java")?;
        let home = TempDir::with_prefix("doorward-keycloak-")?;
        for folder in ["lib", "conf", "providers", "themes"] {
            symlink(server.join(folder), home.path().join(folder))?;
        }
        let import = home.path().join("data/import");
        fs::create_dir_all(&import)?;
        let realm = json!({
            "realm": "people", "enabled": true, "sslRequired": "none",
            "groups": self.groups, "users": self.people, "clients": self.clients,
        });
        fs::write(import.join("people-realm.json"), realm.to_string())?;
        let port = free_port()?;
        let spec = program(java, &server, home.path(), port);
        let process = Process::start(spec, home.path().join("log"))?;
        let mut keycloak = Keycloak { process, port, _home: home };
        let descriptor = format!("{}/protocol/saml/descriptor", keycloak.entity_id());
        keycloak.process.wait_until(START_LIMIT, |_| {
            std::thread::sleep(Duration::from_millis(200));
            http_get(&descriptor).is_ok_and(|reply| reply.status == 200)
        })?;
        Ok(keycloak)
    }
}

/// What its own script runs, without the shell around it, in a folder that is not that of the installation.
fn program(java: impl Into<std::path::PathBuf>, server: &Path, home: &Path, port: u16) -> ProcessSpec {
    let open = ["java.util", "java.util.concurrent", "java.security"]
        .map(|p| format!("--add-opens=java.base/{p}=ALL-UNNAMED"));
    ProcessSpec::new(java)
        // Little memory, and compiled no better than a short life deserves.
        .args(["-Xms64m", "-Xmx512m", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(open)
        .arg(format!("-Dkc.home.dir={}", home.display()))
        .arg(format!("-Djboss.server.config.dir={}", home.join("conf").display()))
        .arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager")
        .arg("-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory")
        .arg("-cp")
        .arg(server.join("lib/quarkus-run.jar"))
        .arg("io.quarkus.bootstrap.runner.QuarkusEntryPoint")
        .args(["start", "--optimized", "--http-enabled=true", "--http-host=127.0.0.1", "--hostname-strict=false"])
        .args(["--cache=local", "--import-realm"])
        .arg(format!("--http-port={port}"))
        .directory(home)
}

/// A running Keycloak on `http://127.0.0.1:PORT`, with a realm `people`.
#[derive(Debug)]
pub struct Keycloak {
    process: Process,
    port: u16,
    _home: TempDir,
}

impl Keycloak {
    /// One without people and service providers, to be described further.
    #[must_use]
    pub fn options() -> KeycloakOptions {
        KeycloakOptions { people: Vec::new(), groups: Vec::new(), clients: Vec::new() }
    }

    /// The name of the realm as a provider.
    #[must_use]
    pub fn entity_id(&self) -> String {
        format!("http://127.0.0.1:{}/realms/people", self.port)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metadata(&self) -> Result<String> {
        let reply = http_get(&format!("{}/protocol/saml/descriptor", self.entity_id())).context("no metadata")?;
        Ok(reply.body)
    }

    /// All that it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
