//! Where secrets are kept: HashiCorp Vault, and `moto`, which stands in for AWS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{HttpReply, exchange};
use crate::paths::{Unavailable, cache_dir};
use crate::ports::{free_port, wait_for_port};
use crate::process::{Process, ProcessSpec};
use crate::tls::Identity;

const START_LIMIT: Duration = Duration::from_secs(30);

/// A running Vault, unsealed, with everything in memory.
#[derive(Debug)]
pub struct Vault {
    process: Process,
    port: u16,
    root_token: String,
    _directory: TempDir,
}

impl Vault {
    /// A Vault that speaks in clear.
    ///
    /// # Errors
    /// [`Unavailable`] when it was not built; otherwise what it printed.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// A Vault with this certificate; [`Vault::call`] does not speak to such a one.
    ///
    /// # Errors
    /// As [`Vault::start`].
    pub fn start_tls(identity: &Identity) -> Result<Self> {
        Self::start_with(Some(identity))
    }

    fn start_with(identity: Option<&Identity>) -> Result<Self> {
        let program = cache_dir().join("bin/vault");
        if !program.is_file() {
            return Err(Unavailable::new("Vault").into());
        }
        let directory = tempfile::Builder::new().prefix("doorward-vault-").tempdir()?;
        let port = free_port()?;
        let file = |path: Option<&std::path::Path>| path.map(|p| p.display().to_string()).unwrap_or_default();
        let spec = ProcessSpec::new(program).args([
            format!("127.0.0.1:{port}"),
            file(identity.map(|i| i.cert.as_path())),
            file(identity.map(|i| i.key.as_path())),
        ]);
        let mut process = Process::start(spec, directory.path().join("vault.log"))?;
        let token = |p: &Process| p.log().lines().find(|l| l.starts_with("hvs.")).map(str::to_owned);
        process.wait_until(START_LIMIT, |p| token(p).is_some())?;
        let root_token = token(&process).context("no token")?;
        wait_for_port(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), START_LIMIT)?;
        Ok(Self { process, port, root_token, _directory: directory })
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, when it speaks in clear.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The token that may do all.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// One request as root, below `/v1/`; what it answered.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<HttpReply> {
        let token = format!("X-Vault-Token: {}", self.root_token);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        exchange(&format!("{}/v1/{path}", self.url()), method, &[&token], &body)
    }

    /// As [`Vault::ask`], for what has to succeed; its `data`, or all of it.
    ///
    /// # Errors
    /// What it answered.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let reply = self.ask(method, path, body)?;
        ensure!(reply.status < 300, "{method} {path}: {} {}", reply.status, reply.body);
        if reply.body.is_empty() {
            return Ok(Value::Null);
        }
        let mut said = reply.json()?;
        let data = said.get_mut("data").map(Value::take).filter(|d| !d.is_null());
        Ok(data.unwrap_or(said))
    }

    /// Mounts the engine `kv` in its version 2 and waits until it takes secrets: it makes itself ready for a moment.
    ///
    /// # Errors
    /// What it answered.
    pub fn mount_kv2(&mut self, mount: &str) -> Result<()> {
        self.call("POST", &format!("sys/mounts/{mount}"), &json!({ "type": "kv", "options": { "version": "2" } }))?;
        let path = format!("{mount}/data/ready");
        let ready = |v: &Self| v.ask("POST", &path, &json!({ "data": { "is": "yes" } })).is_ok_and(|r| r.status == 200);
        let deadline = std::time::Instant::now() + START_LIMIT;
        while !ready(self) {
            ensure!(std::time::Instant::now() < deadline, "the kv engine is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A role of AppRole that may do what these lines of policy say: its role and secret id.
    ///
    /// # Errors
    /// What it answered.
    pub fn approle(&self, role: &str, policy: &str, settings: &Value) -> Result<(String, String)> {
        let known = self.ask("GET", "sys/auth", &Value::Null)?.json()?;
        if known.get("approle/").is_none() {
            self.call("POST", "sys/auth/approle", &json!({ "type": "approle" }))?;
        }
        self.call("POST", &format!("sys/policies/acl/{role}"), &json!({ "policy": policy }))?;
        let mut settings = settings.clone();
        if let Some(settings) = settings.as_object_mut() {
            settings.insert("token_policies".to_owned(), json!([role]));
        }
        let at = format!("auth/approle/role/{role}");
        self.call("POST", &at, &settings)?;
        let text = |v: Value, name: &str| v.get(name).and_then(Value::as_str).map(str::to_owned).context("no id");
        let id = text(self.call("GET", &format!("{at}/role-id"), &Value::Null)?, "role_id")?;
        let secret = text(self.call("POST", &format!("{at}/secret-id"), &json!({}))?, "secret_id")?;
        Ok((id, secret))
    }

    /// The process, to end it or to hold it up.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// `moto`, which answers as AWS does. It looks at no signature.
#[derive(Debug)]
pub struct Moto {
    _process: Process,
    port: u16,
    _directory: TempDir,
}

impl Moto {
    /// Starts one.
    ///
    /// # Errors
    /// [`Unavailable`] when it is not installed; otherwise what it printed.
    pub fn start() -> Result<Self> {
        let program = cache_dir().join("venv-aws/bin/moto_server");
        if !program.is_file() {
            return Err(Unavailable::new("moto").into());
        }
        let directory = tempfile::Builder::new().prefix("doorward-moto-").tempdir()?;
        let port = free_port()?;
        let spec = ProcessSpec::new(program).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = Process::start(spec, directory.path().join("moto.log"))?;
        process.wait_for_log("Running on", START_LIMIT)?;
        wait_for_port(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), START_LIMIT)?;
        Ok(Self { _process: process, port, _directory: directory })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// One action of Secrets Manager, such as `CreateSecret`.
    ///
    /// # Errors
    /// What it answered.
    pub fn secrets_manager(&self, action: &str, body: &Value) -> Result<Value> {
        let headers = [
            &format!("X-Amz-Target: secretsmanager.{action}"),
            "Content-Type: application/x-amz-json-1.1",
            "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/eu-central-1/secretsmanager/aws4_request, \
             SignedHeaders=host, Signature=x",
        ];
        let reply = exchange(&format!("{}/", self.url()), "POST", &headers, &body.to_string())?;
        ensure!(reply.status == 200, "{action}: {} {}", reply.status, reply.body);
        reply.json()
    }
}
