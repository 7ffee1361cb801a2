//! Real servers on free loopback ports, for tests only.
//!
//! Each server has a directory of its own, is waited for until it answers, and is ended by its process id. Nothing
//! here is a mock: PostgreSQL is PostgreSQL, MySQL and MariaDB are themselves, sshd is OpenSSH's, a Kubernetes cluster is etcd, the API server, its
//! controllers, the scheduler and a kubelet whose containers are processes of this machine, the OIDC provider is the OpenID-certified
//! `oidc-provider` of npm, the SAML provider is Keycloak, Vault is Vault, and the gateway is the `doorward` binary. AWS alone cannot be
//! had: `moto` stands in for it, which is somebody else's picture of it and not ours.
//!
//! Invariants
//! - Servers listen on 127.0.0.1 and on a Unix socket in their own directory, nowhere else.
//! - A server never outlives its test: it is killed when dropped (a panic unwinds through the drop), and the kernel
//!   kills it when the test process itself dies (`setpriv --pdeathsig`).
//! - Only processes that this crate started are signalled.
//! - What is not installed is reported as an [`Unavailable`] error that names what is missing, so that a test can tell
//!   "cannot run here" from "failed".
//!
//! Deliberately absent: installation. `scripts/install-test-deps` does that; this crate only finds.
//!
//! Known limits: Linux only (`setpriv`, `/proc`). A free port is found by binding and letting go, so another program
//! may take it in between; PostgreSQL and MySQL are then started again on another one, the gateway is not.

mod browser;
mod chromium;
mod client_matrix;
mod dev_token;
mod gateway;
mod http;
mod keycloak;
mod kubernetes;
mod kubernetes_matrix;
mod mysql;
mod mysql_matrix;
mod oidc;
mod openssh;
mod paths;
mod ports;
mod postgres;
mod process;
mod saml_attacks;
mod ssh_matrix;
mod tls;
mod vault;

pub use browser::{Browser, Page};
pub use chromium::{Chromium, Screen};
pub use client_matrix::{ClientMatrix, HIDDEN_TAGS, MatrixReport};
pub use dev_token::DevToken;
pub use gateway::{Gateway, GatewayOptions};
pub use http::{HttpReply, http_get, http_post_form};
pub use keycloak::{Keycloak, KeycloakOptions, SamlSigned};
pub use kubernetes::{Cluster, ClusterOptions, Kubectl, KubectlRelease};
pub use kubernetes_matrix::KubernetesMatrix;
pub use mysql::{MySql, MySqlAuth, MySqlOptions, MySqlRelease};
pub use mysql_matrix::{MYSQL_HIDDEN_TAGS, MySqlMatrix};
pub use oidc::{OidcClient, OidcOptions, OidcProvider, WEB_SECRET};
pub use openssh::{OpenSsh, OpenSshOptions, SshClient, SshKey};
pub use paths::{Unavailable, cache_dir, repo_root};
pub use ports::{free_port, wait_for_port};
pub use postgres::{Auth, Postgres, PostgresOptions, PostgresRelease};
pub use process::{Process, ProcessSpec};
pub use saml_attacks::SamlAnswer;
pub use ssh_matrix::SshMatrix;
pub use tls::{Authority, Identity};
pub use vault::{Moto, Vault};
