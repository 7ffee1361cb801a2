//! `doorward kubeconfig`: what kubectl needs to reach a cluster through the gateway. No token is in it.
use crate::{
    BadConfiguration,
    cli::{ExecApi, KubeconfigArgs, Output},
    config::Config,
};
use anyhow::{Context as _, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorward_gateway::tls;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub(crate) fn run(args: &KubeconfigArgs) -> Result<()> {
    let (server, ca) = match &args.server {
        Some(server) if server.starts_with("https://") => (server.clone(), args.ca.clone()),
        Some(server) => bail!("--server `{server}`: clusters are reached at https://host:port"),
        None => configured(args)?,
    };
    let ca = match ca {
        Some(path) => Some(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let written = kubeconfig(args, &server, ca.as_deref(), &user(args)?);
    let text = match args.output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&written)?),
        Output::Text => yaml(&written, 0),
    };
    match &args.file {
        Some(path) => put(path, &text),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

/// Never over a file that is there: it may be the caller's own, with other clusters in it.
fn put(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut f| f.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot create {} (KUBECONFIG may name several files)", path.display()))
}

/// The address of a connection, and the certificate that its callers have to be given.
fn configured(args: &KubeconfigArgs) -> Result<(String, Option<PathBuf>)> {
    let config = Config::load(&args.config.config).context(BadConfiguration)?;
    let name = &args.connection;
    let found = config.connections.iter().find(|c| c.name == *name && c.kind == "kubernetes");
    let connection = found.ok_or_else(|| anyhow!("no connection `{name}` of kind \"kubernetes\" is configured"))?;
    let public = config.server.public_url.as_deref().and_then(host);
    let server = address(connection.listen, public)?;
    let ca = match (&args.ca, &config.server.tls) {
        (Some(ca), _) => Some(ca.clone()),
        (None, Some(own)) => {
            let cert = config.path(&own.cert);
            tls::is_self_signed(&cert)?.then_some(cert)
        }
        (None, None) => {
            let cert = config.state_dir().join("dev-tls.crt");
            if !cert.exists() {
                bail!("{} is not there yet: `doorward serve` makes it", cert.display());
            }
            Some(cert)
        }
    };
    Ok((server, ca))
}

/// Where callers reach an endpoint: by the public name, whose certificate it shows; on loopback as it is.
fn address(listen: SocketAddr, public: Option<&str>) -> Result<String> {
    let port = listen.port();
    match public.filter(|_| !listen.ip().is_loopback()) {
        Some(host) => Ok(format!("https://{host}:{port}")),
        None if listen.ip().is_unspecified() => {
            bail!("the connection listens on every address: give --server, or set public_url")
        }
        None => Ok(format!("https://{listen}")),
    }
}

/// The host of a URL, with its brackets where it is an IPv6 address.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.find(']') {
        Some(end) => authority.get(..=end)?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

fn user(args: &KubeconfigArgs) -> Result<Value> {
    let absolute = |path: &Path| -> Result<String> {
        let path = std::path::absolute(path).with_context(|| format!("`{}`", path.display()))?;
        path.into_os_string().into_string().map_err(|_| anyhow!("the path of the token file is not UTF-8"))
    };
    let source = &args.source;
    let file = source.token_file.as_deref().map(absolute).transpose()?;
    if let (true, Some(file)) = (args.no_plugin, &file) {
        return Ok(json!({ "tokenFile": file }));
    }
    let command = match &args.exec_command {
        Some(command) => command.clone(),
        None => std::env::current_exe().context("where this program is")?.display().to_string(),
    };
    let mut words = vec!["kube-token".to_owned()];
    for (flag, value) in [("--token-file", &file), ("--token-env", &source.token_env)] {
        words.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
    if source.audience != "doorward" {
        words.extend(["--audience".to_owned(), source.audience.clone()]);
    }
    let version = match args.exec_api {
        ExecApi::V1 => "v1",
        ExecApi::V1beta1 => "v1beta1",
    };
    Ok(json!({ "exec": {
        "apiVersion": format!("client.authentication.k8s.io/{version}"),
        "command": command,
        "args": words,
        "interactiveMode": "Never",
        "provideClusterInfo": false,
        "installHint": "doorward is needed to log in to this cluster",
    } }))
}

fn kubeconfig(args: &KubeconfigArgs, server: &str, ca: Option<&[u8]>, user: &Value) -> Value {
    // Names of their own, so that it can stand beside other files in KUBECONFIG.
    let name = format!("doorward-{}", args.connection);
    let mut cluster = json!({ "server": server });
    if let (Some(pem), Some(cluster)) = (ca, cluster.as_object_mut()) {
        cluster.insert("certificate-authority-data".into(), STANDARD.encode(pem).into());
    }
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": user }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
    })
}

/// JSON as YAML: strings are written as JSON has them, which YAML reads the same.
fn yaml(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let below = |value: &Value| match value {
        Value::Object(map) if !map.is_empty() => format!("\n{}", yaml(value, depth + 1)),
        Value::Array(list) if !list.is_empty() => format!("\n{}", yaml(value, depth + 1)),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            format!(" {value}\n")
        }
    };
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| format!("{pad}{name}:{}", below(value))).collect(),
        Value::Array(list) => list.iter().map(|value| format!("{pad}-{}", below(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => format!("{pad}{value}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_sent_to_where_they_can_go() {
        let at = |listen: &str, url: Option<&str>| address(listen.parse().unwrap(), url.and_then(host));
        assert_eq!(at("127.0.0.1:6443", Some("https://gw.example.com")).unwrap(), "https://127.0.0.1:6443");
        assert_eq!(at("0.0.0.0:6443", Some("https://gw.example.com:8443/x")).unwrap(), "https://gw.example.com:6443");
        assert_eq!(at("10.0.0.5:6443", None).unwrap(), "https://10.0.0.5:6443");
        assert_eq!(at("[::]:6443", Some("https://[fd00::1]:8443")).unwrap(), "https://[fd00::1]:6443");
        assert!(at("[::]:6443", None).is_err());
    }

    #[test]
    fn yaml_is_what_json_is() {
        let text = yaml(&json!({ "a": [{ "b": "x: y\n", "c": [] }, "d"], "e": false, "f": { "g": "1" } }), 0);
        let wanted = "a:\n  -\n    b: \"x: y\\n\"\n    c: []\n  - \"d\"\ne: false\nf:\n  g: \"1\"\n";
        assert_eq!(text, wanted);
    }
}
