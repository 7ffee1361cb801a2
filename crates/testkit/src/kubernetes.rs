//! Kubernetes clusters: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and one node, on loopback.
//!
//! The node's kubelet is the kubelet's own code; its containers are processes of this machine with a root folder, process
//! tree and host name of their own (`e2e/kubernetes/README.md` says what that leaves out). It needs root.
//!
//! RBAC and the node authorizer are on, every request is in the audit log, and each part has a certificate of the
//! cluster's own authority. All containers end with their node.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tempfile::TempDir;

use crate::paths::{Unavailable, cache_dir};
use crate::ports::{free_port, somebody_listens};
use crate::process::{Process, ProcessSpec, is_root};
use crate::tls::{Authority, Identity};

mod kubectl;
mod parts;

pub use kubectl::{Kubectl, KubectlRelease};
use parts::{Certificates, Ports};

const START_LIMIT: Duration = Duration::from_secs(90);
/// The one node's name.
const NODE: &str = "node-1";

/// What cluster to start. Made by [`Cluster::options`].
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    api_flags: Vec<String>,
    folder: Option<PathBuf>,
    emulated: Option<String>,
}

impl ClusterOptions {
    /// Adds a flag of kube-apiserver, such as `--max-requests-inflight=10`.
    #[must_use]
    pub fn api_flag(mut self, flag: &str) -> Self {
        self.api_flags.push(flag.to_owned());
        self
    }

    /// Other programs than the ones in the cache, such as an older API server (see `e2e/kubernetes/build`): controllers and
    /// scheduler then take themselves for this version, such as `1.34`, and use no API that it does not have.
    #[must_use]
    pub fn programs(mut self, folder: impl Into<PathBuf>, version: &str) -> Self {
        self.folder = Some(folder.into());
        self.emulated = Some(format!("--emulated-version={version}"));
        self
    }

    /// Starts the cluster and waits until its node is ready to run pods.
    ///
    /// # Errors
    /// [`Unavailable`] when the parts were not built or the test does not run as root; otherwise whatever went wrong,
    /// with the log of the part.
    pub fn start(self) -> Result<Cluster> {
        if !is_root() {
            let what = "a Kubernetes node".to_owned();
            return Err(Unavailable { what, remedy: "run the tests as root".to_owned() }.into());
        }
        let programs = self.folder.unwrap_or_else(|| cache_dir().join("kubernetes"));
        let directory = tempfile::Builder::new().prefix("doorward-kube-").tempdir()?;
        let ports = Ports::free()?;
        let certificates = Certificates::create(directory.path())?;
        let parts = parts::Parts { programs, directory: directory.path().to_owned(), ports, certificates };
        let etcd = parts.start("etcd", parts.etcd()?)?;
        let mut api = parts.start("kube-apiserver", parts.api(&self.api_flags)?)?;
        wait_until_it_listens(&mut api, parts.ports.api)?;
        let admin = parts.kubeconfig("admin", &parts.certificates.admin)?;
        let controllers = parts.start("kube-controller-manager", parts.controllers()?.args(&self.emulated))?;
        let scheduler = parts.start("kube-scheduler", parts.scheduler()?.args(&self.emulated))?;
        let node = parts.start("kubelet", parts.node()?)?;
        let Certificates { authority, admin: admin_identity, .. } = parts.certificates;
        let mut cluster = Cluster {
            node,
            scheduler,
            controllers,
            api,
            etcd,
            port: parts.ports.api,
            authority,
            admin,
            admin_identity,
            directory,
        };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }
}

/// A running cluster, ended with all that runs in it and its directory removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    // In the order in which they end.
    node: Process,
    scheduler: Process,
    controllers: Process,
    api: Process,
    etcd: Process,
    port: u16,
    authority: Authority,
    admin: PathBuf,
    admin_identity: Identity,
    directory: TempDir,
}

impl Cluster {
    /// A cluster to be described further.
    #[must_use]
    pub fn options() -> ClusterOptions {
        ClusterOptions::default()
    }

    /// A cluster with one node.
    ///
    /// # Errors
    /// As [`ClusterOptions::start`].
    pub fn start() -> Result<Self> {
        Self::options().start()
    }

    /// Where the API server listens, with TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The API server as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// The certificate (PEM) that the API server's is to be checked by.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        self.authority.ca_file()
    }

    /// The authority of client certificates: a user is a common name, a group an organization.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A kubeconfig that may do everything (group `system:masters`), by client certificate.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// The certificate in [`Cluster::admin_kubeconfig`].
    #[must_use]
    pub fn admin_identity(&self) -> &Identity {
        &self.admin_identity
    }

    /// The name of the one node.
    #[must_use]
    pub fn node_name(&self) -> &'static str {
        NODE
    }

    /// The cluster's own audit log: a JSON object a line, for every request but the cluster's own parts'.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    /// A folder of this cluster alone, removed with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What a part has logged: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler` or `kubelet`.
    #[must_use]
    pub fn log(&self, part: &str) -> String {
        let log = fs::read(self.directory.path().join(format!("{part}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The API server's process, to be stopped and started again by a test.
    pub fn api_server(&mut self) -> &mut Process {
        &mut self.api
    }

    /// The node's process.
    pub fn node(&mut self) -> &mut Process {
        &mut self.node
    }

    /// The newest kubectl as the administrator.
    ///
    /// # Errors
    /// [`Unavailable`] when it is not installed.
    pub fn kubectl(&self) -> Result<Kubectl> {
        self.kubectl_of(KubectlRelease::Current)
    }

    /// A kubectl as the administrator.
    ///
    /// # Errors
    /// [`Unavailable`] when it is not installed.
    pub fn kubectl_of(&self, release: KubectlRelease) -> Result<Kubectl> {
        Kubectl::new(release, &self.admin, self.directory.path())
    }

    /// Makes a service account (and its namespace, should it be missing) with this cluster role, such as `view` or
    /// `cluster-admin`, and returns a token of it for a day.
    ///
    /// # Errors
    /// What kubectl printed.
    pub fn service_account_token(&self, namespace: &str, account: &str, cluster_role: &str) -> Result<String> {
        let kubectl = self.kubectl()?;
        let subject = json!([{ "kind": "ServiceAccount", "name": account, "namespace": namespace }]);
        let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cluster_role });
        let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } },
            { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account, "namespace": namespace } },
            { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "subjects": subject,
              "metadata": { "name": format!("{namespace}-{account}-{cluster_role}") }, "roleRef": role },
        ] });
        kubectl.apply(&objects.to_string())?;
        let token = kubectl.run(&["create", "token", account, "-n", namespace, "--duration=24h"])?;
        Ok(token.trim().to_owned())
    }

    /// Writes a kubeconfig for the API server at `server` (this cluster's, or a gateway before it) with a bearer token.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn token_kubeconfig(&self, name: &str, server: &str, ca: &Path, token: &str) -> Result<PathBuf> {
        let file = self.directory.path().join(format!("{name}.kubeconfig"));
        parts::write_kubeconfig(&file, server, ca, &json!({ "token": token }))?;
        Ok(file)
    }

    /// Waits for the API server, plays the cloud that knows the node's address (a kubelet does not take a loopback
    /// address by itself), and waits for the node.
    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let kubectl = self.kubectl()?;
        let address = json!({ "status": { "addresses": [
            { "type": "InternalIP", "address": "127.0.0.1" }, { "type": "Hostname", "address": NODE },
        ] } });
        let address = address.to_string();
        let patch = ["patch", "node", NODE, "--subresource=status", "--type=merge", "-p", &address];
        self.retry(deadline, || kubectl.run(&patch))?;
        let taint = "node.cloudprovider.kubernetes.io/uninitialized-";
        self.retry(deadline, || kubectl.run(&["taint", "node", NODE, taint]))?;
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status} {.spec.taints}";
        self.retry(deadline, || match kubectl.run(&["get", "node", NODE, "-o", ready])?.as_str() {
            "True " => kubectl.run(&["get", "serviceaccount", "default", "-n", "default"]),
            other => bail!("the node's state is `{other}`"),
        })
    }

    fn retry(&mut self, deadline: Instant, mut step: impl FnMut() -> Result<String>) -> Result<()> {
        loop {
            let Err(error) = step() else { return Ok(()) };
            for part in [&mut self.etcd, &mut self.api, &mut self.controllers, &mut self.scheduler, &mut self.node] {
                if let Some(status) = part.exited() {
                    bail!("{} ended with {status}:\n{}", part.log_path().display(), part.log_tail());
                }
                if Instant::now() >= deadline {
                    let log = (part.log_path().display().to_string(), part.log_tail());
                    return Err(error).with_context(|| format!("the cluster is not ready; {}:\n{}", log.0, log.1));
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn wait_until_it_listens(process: &mut Process, port: u16) -> Result<()> {
    process.wait_until(START_LIMIT, |_| somebody_listens((Ipv4Addr::LOCALHOST, port).into()))
}
