//! The key that wraps the keys: from a file, the environment, or a program that has it from elsewhere (a KMS, an HSM).
use crate::program::{Limits, printed};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    fmt,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// More than this is not read of a file or a program.
const MOST: u64 = 4096;
/// What a program may take, which nobody can serve without.
const PROGRAM: Limits = Limits { time: Duration::from_secs(10), bytes: MOST as usize };

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the key of secrets `{path}`: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not 32 bytes in base64.
    #[error("the key of secrets ({0}) has to be 32 bytes in base64, as `openssl rand -base64 32` makes them")]
    Malformed(String),
    /// The program failed. What it said is not shown: it may be the key.
    #[error("the program `{program}` that has the key of secrets: {why}")]
    Program {
        /// Which.
        program: String,
        /// What went wrong.
        why: String,
    },
}

/// The key.
#[derive(Clone)]
pub struct MasterKey {
    bytes: Zeroizing<[u8; 32]>,
    id: String,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

impl MasterKey {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let hash = digest::digest(&digest::SHA256, &[b"doorward key id".as_slice(), &*bytes].concat());
        let id = hex::encode(hash.as_ref().get(..6).unwrap_or_default());
        Self { bytes, id }
    }

    /// From its text in base64; `what` says where it is from.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn parse(text: &str, what: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(what.to_owned());
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| malformed())?);
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| malformed())?;
        Ok(Self::new(Zeroizing::new(bytes)))
    }

    /// From a file; made there if there is none and `may_make`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_file(path: &Path, may_make: bool) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let mut text = Zeroizing::new(String::new());
        match std::fs::File::open(path) {
            Ok(file) => drop(file.take(MOST).read_to_string(&mut text).map_err(failed)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound && may_make => {
                *text = make(path).map_err(failed)?;
            }
            Err(e) => return Err(failed(e)),
        }
        Self::parse(&text, &path.display().to_string())
    }

    /// What a program prints: so that a KMS can have it. It blocks, for 10 s at most; a program that takes longer, or prints more than
    /// 4,096 bytes, is killed with its process group.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_program(program: &str, arguments: &[String]) -> Result<Self, KeyError> {
        let failed = |why: String| KeyError::Program { program: program.to_owned(), why };
        let printed = printed(program, arguments, PROGRAM).map_err(failed)?;
        let text = std::str::from_utf8(&printed).map_err(|_| failed("it printed no text".into()))?;
        Self::parse(text, program)
    }

    /// What it is called: a digest that says nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

/// The key that wraps, and those that have wrapped before and still open.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: MasterKey,
    old: Vec<MasterKey>,
}

impl Keyring {
    /// Of these.
    pub fn new(current: MasterKey, old: Vec<MasterKey>) -> Self {
        Self { current, old }
    }

    /// What wraps now.
    pub const fn current(&self) -> &MasterKey {
        &self.current
    }

    pub(crate) fn find(&self, id: &str) -> Option<&MasterKey> {
        std::iter::once(&self.current).chain(&self.old).find(|k| k.id() == id)
    }
}

impl From<MasterKey> for Keyring {
    fn from(key: MasterKey) -> Self {
        Self::new(key, Vec::new())
    }
}

/// A new key under its name only when it is whole: a full disk leaves none, not half of one.
fn make(path: &Path) -> io::Result<String> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
    let text = STANDARD.encode(bytes.as_slice());
    let unfinished = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    // Nothing may be sealed under a key whose name a power cut could take.
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(text)
}
