//! How the parts of a cluster are started.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::{NODE, Process, ProcessSpec, Unavailable, free_port};
use crate::tls::{Authority, Identity};

const MASTERS: &str = "system:masters";
/// Metadata of every request, once it is answered; of long ones (exec, watch) also when they begin.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
  "rules": [
    { "level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"] },
    { "level": "None", "users": ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"] },
    { "level": "Metadata" }
  ]
}
"#;

pub(super) struct Ports {
    etcd: u16,
    peer: u16,
    pub(super) api: u16,
    node: u16,
}

impl Ports {
    pub(super) fn free() -> Result<Self> {
        Ok(Self { etcd: free_port()?, peer: free_port()?, api: free_port()?, node: free_port()? })
    }
}

pub(super) struct Certificates {
    pub(super) authority: Authority,
    pub(super) admin: Identity,
    server: Identity,
    kubelet: Identity,
    kubelet_client: Identity,
    node: Identity,
    controllers: Identity,
    scheduler: Identity,
    /// Its key alone is used: it signs the tokens of service accounts.
    service_accounts: Identity,
}

impl Certificates {
    pub(super) fn create(directory: &Path) -> Result<Self> {
        let authority = Authority::create(&directory.join("pki"))?;
        Ok(Self {
            admin: authority.member("admin", MASTERS)?,
            server: authority.server("kube-apiserver")?,
            kubelet: authority.server("kubelet")?,
            kubelet_client: authority.member("kube-apiserver-kubelet-client", MASTERS)?,
            node: authority.member(&format!("system:node:{NODE}"), "system:nodes")?,
            controllers: authority.client("system:kube-controller-manager")?,
            scheduler: authority.client("system:kube-scheduler")?,
            service_accounts: authority.client("service-accounts")?,
            authority,
        })
    }
}

pub(super) struct Parts {
    pub(super) programs: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) ports: Ports,
    pub(super) certificates: Certificates,
}

impl Parts {
    pub(super) fn start(&self, name: &str, spec: ProcessSpec) -> Result<Process> {
        Process::start(spec.directory(&self.directory), self.directory.join(format!("{name}.log")))
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let program = self.programs.join(name);
        if program.is_file() { Ok(program) } else { Err(Unavailable::new(format!("`{name}`")).into()) }
    }

    pub(super) fn etcd(&self) -> Result<ProcessSpec> {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.peer);
        let spec =
            ProcessSpec::new(self.program("etcd")?).args(["--log-level=warn", "--unsafe-no-fsync", "--data-dir"]);
        Ok(spec.arg(self.directory.join("etcd")).args([
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
        ]))
    }

    pub(super) fn api(&self, more: &[String]) -> Result<ProcessSpec> {
        fs::write(self.directory.join("audit-policy.json"), AUDIT_POLICY)?;
        let certificates = &self.certificates;
        let ca = certificates.authority.ca_file();
        let file = |flag: &str, file: &Path| format!("--{flag}={}", file.display());
        let spec = ProcessSpec::new(self.program("kube-apiserver")?).args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            format!("--secure-port={}", self.ports.api),
            file("tls-cert-file", &certificates.server.cert),
            file("tls-private-key-file", &certificates.server.key),
            file("client-ca-file", ca),
            file("kubelet-certificate-authority", ca),
            file("kubelet-client-certificate", &certificates.kubelet_client.cert),
            file("kubelet-client-key", &certificates.kubelet_client.key),
            file("service-account-key-file", &certificates.service_accounts.cert),
            file("service-account-signing-key-file", &certificates.service_accounts.key),
            file("audit-policy-file", &self.directory.join("audit-policy.json")),
            file("audit-log-path", &self.directory.join("audit.log")),
        ]);
        let fixed = [
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--kubelet-preferred-address-types=InternalIP",
        ];
        Ok(spec.args(fixed).args(more))
    }

    pub(super) fn controllers(&self) -> Result<ProcessSpec> {
        let kubeconfig = self.kubeconfig("kube-controller-manager", &self.certificates.controllers)?;
        let ca = self.certificates.authority.ca_file();
        let file = |flag: &str, file: &Path| format!("--{flag}={}", file.display());
        Ok(ProcessSpec::new(self.program("kube-controller-manager")?).args([
            file("kubeconfig", &kubeconfig),
            file("root-ca-file", ca),
            file("cluster-signing-cert-file", ca),
            file("cluster-signing-key-file", &ca.with_extension("key")),
            file("service-account-private-key-file", &self.certificates.service_accounts.key),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--node-monitor-period=1s".to_owned(),
            // By default it would wait for seconds before its controllers have their accounts.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ]))
    }

    pub(super) fn scheduler(&self) -> Result<ProcessSpec> {
        let kubeconfig = self.kubeconfig("kube-scheduler", &self.certificates.scheduler)?;
        let spec = ProcessSpec::new(self.program("kube-scheduler")?).arg("--kubeconfig").arg(kubeconfig);
        Ok(spec.args(["--leader-elect=false", "--secure-port=0", "--bind-address=127.0.0.1"]))
    }

    /// In a mount namespace of its own: what the kubelet mounts for its pods is gone when it is.
    pub(super) fn node(&self) -> Result<ProcessSpec> {
        let certificates = &self.certificates;
        let kubeconfig = self.kubeconfig("node", &certificates.node)?;
        let file = |flag: &str, file: &Path| format!("--{flag}={}", file.display());
        let spec = ProcessSpec::new("unshare").args(["--mount", "--"]).arg(self.program("kubelet")?);
        Ok(spec.args([
            format!("--name={NODE}"),
            format!("--port={}", self.ports.node),
            file("root-dir", &self.directory.join("node")),
            file("kubeconfig", &kubeconfig),
            file("client-ca-file", certificates.authority.ca_file()),
            file("tls-cert-file", &certificates.kubelet.cert),
            file("tls-private-key-file", &certificates.kubelet.key),
        ]))
    }

    pub(super) fn kubeconfig(&self, name: &str, identity: &Identity) -> Result<PathBuf> {
        let file = self.directory.join(format!("{name}.kubeconfig"));
        let server = format!("https://127.0.0.1:{}", self.ports.api);
        let user = json!({ "client-certificate": identity.cert, "client-key": identity.key });
        write_kubeconfig(&file, &server, self.certificates.authority.ca_file(), &user)?;
        Ok(file)
    }
}

/// JSON is YAML.
pub(super) fn write_kubeconfig(file: &Path, server: &str, ca: &Path, user: &Value) -> Result<()> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": server, "certificate-authority": ca } }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    });
    Ok(fs::write(file, serde_json::to_vec_pretty(&config)?)?)
}
