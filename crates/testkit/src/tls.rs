//! Certificates for tests, made by the `openssl` program.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::paths::find_program;

/// A certificate authority of the test's own.
#[derive(Debug, Clone)]
pub struct Authority {
    directory: PathBuf,
    identity: Identity,
}

/// A certificate and its private key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key (PKCS#8), readable by its owner alone.
    pub key: PathBuf,
}

impl Authority {
    /// Makes a new authority with its files in `directory`.
    ///
    /// # Errors
    /// When `openssl` is missing or fails.
    pub fn create(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let identity = Identity { cert: directory.join("ca.crt"), key: directory.join("ca.key") };
        let mut command = request(&identity.key, "Doorward test authority")?;
        command.args(["-x509", "-days", "30", "-out"]).arg(&identity.cert);
        command.args([
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]);
        run(&mut command)?;
        protect(&identity.key)?;
        Ok(Self { directory: directory.to_owned(), identity })
    }

    /// The authority's certificate (PEM), for clients to trust.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.identity.cert
    }

    /// A server certificate for `localhost` and 127.0.0.1, in files called `name.crt` and `name.key`.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn server(&self, name: &str) -> Result<Identity> {
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";
        self.issue(name, "localhost", extensions)
    }

    /// A client certificate whose common name is `user`, as PostgreSQL's `cert` method wants it.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn client(&self, user: &str) -> Result<Identity> {
        self.issue(&format!("client-{user}"), user, "extendedKeyUsage=clientAuth\n")
    }

    /// A client certificate of `user` as a member of `group`, as Kubernetes reads them: common name and organization.
    ///
    /// # Errors
    /// When `openssl` fails.
    pub fn member(&self, user: &str, group: &str) -> Result<Identity> {
        let name = format!("client-{}", user.replace([':', '/'], "-"));
        self.issue(&name, &format!("{user}/O={group}"), "extendedKeyUsage=clientAuth\n")
    }

    fn issue(&self, name: &str, common_name: &str, extensions: &str) -> Result<Identity> {
        let file = |suffix: &str| self.directory.join(format!("{name}.{suffix}"));
        let identity = Identity { cert: file("crt"), key: file("key") };
        run(request(&identity.key, common_name)?.arg("-out").arg(file("csr")))?;
        fs::write(file("ext"), format!("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n{extensions}"))?;
        let mut command = Command::new(find_program("openssl")?);
        command.args(["x509", "-req", "-days", "30", "-in"]).arg(file("csr"));
        command.arg("-CA").arg(&self.identity.cert).arg("-CAkey").arg(&self.identity.key).arg("-CAcreateserial");
        command.arg("-extfile").arg(file("ext")).arg("-out").arg(&identity.cert);
        run(&mut command)?;
        protect(&identity.key)?;
        Ok(identity)
    }
}

fn request(key: &Path, common_name: &str) -> Result<Command> {
    let mut command = Command::new(find_program("openssl")?);
    command.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]);
    command.arg("-subj").arg(format!("/CN={common_name}")).arg("-keyout").arg(key);
    Ok(command)
}

fn protect(key: &Path) -> Result<()> {
    Ok(fs::set_permissions(key, Permissions::from_mode(0o600))?)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().context("cannot run openssl")?;
    ensure!(output.status.success(), "openssl failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
