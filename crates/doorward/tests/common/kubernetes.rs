//! A real cluster, a development issuer and a gateway.
use super::{DOORWARD, Issuer, doorward};
use doorward_testkit::{Cluster, Gateway, Kubectl, KubectlRelease, free_port};
use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
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

/// A configuration of one connection. `issuers`: others, besides that of the tests; `upstream`: lines of the connection,
/// and whatever comes after it.
fn config(issuer: &Issuer, [port, api]: [u16; 2], issuers: &str, upstream: &str) -> String {
    format!(
        r#"
[server]
state_dir = "state"
api_listen = "127.0.0.1:{api}"
operators = ["sre"]
[policy]
files = ["policy.cedar"]
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
{upstream}
"#,
        issuer.url
    )
}

/// A gateway before something that is no cluster, in clear on loopback.
pub struct BeforeAnything {
    pub gateway: Gateway,
    pub issuer: Issuer,
    pub port: u16,
    pub api: u16,
}

impl BeforeAnything {
    pub fn start(upstream: &str, policy: &str) -> Self {
        let issuer = Issuer::start();
        let (port, api) = (free_port().unwrap(), free_port().unwrap());
        let upstream = format!("upstream = \"{upstream}\"\ncredential = {{ value = \"token\" }}\ntls = \"disable\"");
        let config = config(&issuer, [port, api], "", &upstream);
        let gateway = Gateway::options(&config).program(DOORWARD).file("policy.cedar", policy).start().unwrap();
        Self { gateway, issuer, port, api }
    }

    /// Before a server of the test's own: `answer` has each connection to itself.
    pub fn serving(answer: fn(TcpStream), policy: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        });
        Self::start(&upstream, policy)
    }
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
        let upstream = format!(
            "upstream = \"{}\"\ncredential = {{ value = \"{token}\" }}\ntls_ca = \"{}\"\n{connection}",
            cluster.address(),
            cluster.ca_file().display(),
        );
        let config = config(&issuer, [port, api], &issuers, &upstream);
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
