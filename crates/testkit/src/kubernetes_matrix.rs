//! The real Kubernetes clients of `e2e/clients`, run by `scripts/run-kubernetes-matrix`.

use std::path::Path;

use anyhow::Result;

use crate::client_matrix::{MatrixReport, run_script};

/// A run of the Kubernetes client matrix against one endpoint.
#[derive(Debug, Clone)]
pub struct KubernetesMatrix {
    envs: Vec<(String, String)>,
    clients: Vec<String>,
}

impl KubernetesMatrix {
    /// All clients, towards the API server at `server` (`https://…`), trusting `ca`, with a bearer token.
    #[must_use]
    pub fn new(server: &str, ca: &Path, token: &str) -> Self {
        let matrix = Self { envs: Vec::new(), clients: Vec::new() };
        matrix.env("E2E_KUBE_SERVER", server).env("E2E_KUBE_CA", &ca.display().to_string()).env("E2E_KUBE_TOKEN", token)
    }

    /// These clients alone, such as `client-go` or `python`.
    #[must_use]
    pub fn clients(mut self, clients: &[&str]) -> Self {
        self.clients = clients.iter().map(|&client| client.to_owned()).collect();
        self
    }

    /// The namespace that the clients work in, which has to be there; `default` otherwise.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        self.env("E2E_KUBE_NAMESPACE", namespace)
    }

    /// Any other variable of the clients, such as `E2E_TIMEOUT`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the clients one after the other.
    ///
    /// # Errors
    /// When the script cannot be run. Clients that fail are no error: see [`MatrixReport::passed`].
    pub fn run(&self) -> Result<MatrixReport> {
        run_script("run-kubernetes-matrix", &self.envs, &self.clients)
    }
}
