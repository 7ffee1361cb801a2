//! SSH keys and certificates, made by `ssh-keygen`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::run;
use crate::paths::find_program;

/// A key pair in OpenSSH's own formats, without a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    private: PathBuf,
    public: String,
}

impl SshKey {
    /// Makes an Ed25519 key in the files `name` and `name.pub` of `directory`.
    ///
    /// # Errors
    /// When `ssh-keygen` is missing or fails.
    pub fn create(directory: &Path, name: &str) -> Result<Self> {
        Self::create_of_type(directory, name, "ed25519")
    }

    /// As [`SshKey::create`] with another of `ssh-keygen`'s types, such as `ecdsa` or `rsa`.
    ///
    /// # Errors
    /// As [`SshKey::create`].
    pub fn create_of_type(directory: &Path, name: &str, kind: &str) -> Result<Self> {
        let private = directory.join(name);
        let mut command = Command::new(find_program("ssh-keygen")?);
        command.args(["-q", "-t", kind, "-N", "", "-C", name, "-f"]).arg(&private);
        run(&mut command)?;
        let public = fs::read_to_string(private.with_added_extension("pub"))?;
        Ok(Self { private, public: key_of_line(&public)? })
    }

    /// The file of the private key, readable by its owner alone. `ssh -i` takes it.
    #[must_use]
    pub fn private(&self) -> &Path {
        &self.private
    }

    /// The public key, `ssh-ed25519 AAAA…`, without a comment.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Issues a user certificate for `subject`, as a user CA does, and returns its file, `…-cert.pub` beside the
    /// subject's key. `ssh -i KEY` finds it there by itself.
    ///
    /// `principals` are the accounts it opens, parted by commas; `options` are further arguments of `ssh-keygen`, such
    /// as `["-V", "-1m:+5m"]` or `["-O", "no-pty"]`.
    ///
    /// # Errors
    /// When `ssh-keygen` fails.
    pub fn certify(&self, subject: &Self, principals: &str, options: &[&str]) -> Result<PathBuf> {
        let mut command = Command::new(find_program("ssh-keygen")?);
        command.args(["-q", "-s"]).arg(&self.private).args(["-I", "doorward-test", "-n", principals]).args(options);
        run(command.arg(subject.private.with_added_extension("pub")))?;
        let name = subject.private.file_name().context("a key has a name")?;
        Ok(subject.private.with_file_name(format!("{}-cert.pub", name.display())))
    }
}

/// Type and key of a public key line, without its comment.
fn key_of_line(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let kind = words.next().context("an empty public key")?;
    let key = words.next().with_context(|| format!("`{line}` is no public key"))?;
    Ok(format!("{kind} {key}"))
}
