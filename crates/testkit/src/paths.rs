//! Where things are: the repository, the cache, programs.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// Something a test needs is not installed on this machine.
///
/// Downcast an [`anyhow::Error`] to it to tell "cannot run here" from "failed".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// What is missing, such as `node`.
    pub what: String,
    /// How to get it.
    pub remedy: String,
}

impl Unavailable {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: "run `scripts/install-test-deps`".to_owned() }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not installed: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Unavailable {}

/// The root of the repository this crate was built from.
#[must_use]
pub fn repo_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// Where things that are slow to make or fetch are kept between runs: `$DOORWARD_TEST_CACHE`, by default
/// `<repository>/.cache`.
#[must_use]
pub fn cache_dir() -> PathBuf {
    env::var_os("DOORWARD_TEST_CACHE").map_or_else(|| repo_root().join(".cache"), PathBuf::from)
}

/// The first program called `name` on `PATH` and in the usual system folders.
pub(crate) fn find_program(name: &str) -> Result<PathBuf, Unavailable> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Unavailable::new(format!("`{name}`")))
}
