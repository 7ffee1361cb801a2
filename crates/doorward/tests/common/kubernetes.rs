//! A real cluster, a development issuer and a gateway.
use super::{DOORWARD, Issuer, doorward};
use doorward_testkit::{Cluster, Gateway, Kubectl, KubectlRelease, free_port};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

pub struct KubernetesWorld {
    pub cluster: Cluster,
    pub gateway: Gateway,
    pub issuer: Issuer,
    pub port: u16,
    pub api: u16,
}

/// What a configuration has besides.
#[derive(Default)]
pub struct More {
    pub issuers: String,
    /// Lines of the connection, and whatever comes after it.
    pub connection: String,
    pub files: Vec<(&'static str, String)>,
}

impl KubernetesWorld {
    pub fn start(policy: &str) -> Self {
        Self::with(policy, |_, _| More::default())
    }

    /// `more` is given the cluster and the gateway's token.
    pub fn with(policy: &str, more: impl FnOnce(&Cluster, &str) -> More) -> Self {
        let cluster = Cluster::start().unwrap();
        let token = cluster.service_account_token("doorward", "gateway", "cluster-admin").unwrap();
        let More { issuers, connection, files } = more(&cluster, &token);
        let issuer = Issuer::start();
        let (port, api) = (free_port().unwrap(), free_port().unwrap());
        let config = format!(
            r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["sre"]
[[identity.issuers]]
name = "dev"
issuer = "{}"
audience = ["doorward"]
principal = "agent"
{issuers}
[[connections]]
name = "k8s"
kind = "kubernetes"
listen = "127.0.0.1:{port}"
upstream = "{}"
credential = {{ value = "{token}" }}
tls_ca = "{}"
{connection}
[policy]
files = ["policy.cedar"]
"#,
            issuer.url,
            cluster.address(),
            cluster.ca_file().display(),
        );
        let options = Gateway::options(&config).program(DOORWARD).file("policy.cedar", policy);
        let gateway = files.iter().fold(options, |o, (name, text)| o.file(*name, text)).start().unwrap();
        Self { cluster, gateway, issuer, port, api }
    }

    pub fn state(&self) -> PathBuf {
        self.gateway.directory().join("state")
    }

    pub fn ca(&self) -> PathBuf {
        self.state().join("dev-tls.crt")
    }

    pub fn token(&self, sub: &str, group: &str) -> String {
        self.issuer.token(sub, &[group], &[])
    }

    /// A kubectl that knows nothing but the gateway and a token.
    pub fn kubectl(&self, sub: &str, group: &str) -> Kubectl {
        self.kubectl_with(KubectlRelease::Current, &self.token(sub, group))
    }

    pub fn kubectl_with(&self, release: KubectlRelease, token: &str) -> Kubectl {
        let server = format!("https://127.0.0.1:{}", self.port);
        // A file each: two callers are two.
        static CALLERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("caller-{release:?}-{}", CALLERS.fetch_add(1, Ordering::Relaxed));
        let file = self.cluster.token_kubeconfig(&name, &server, &self.ca(), token).unwrap();
        self.cluster.kubectl_of(release).unwrap().kubeconfig(&file)
    }

    pub fn doorward(&self, token: &str, args: &[&str]) -> (bool, String) {
        doorward(&self.state(), self.api, token, args)
    }

    pub fn audit(&self, kind: &str) -> Vec<serde_json::Value> {
        let (ok, said) = self.doorward("", &["audit", "list", "--event", kind, "--output", "json"]);
        assert!(ok, "{said}");
        said.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}
