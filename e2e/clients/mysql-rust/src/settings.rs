//! What both programs share: the settings, and one line for each check.

use std::env;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

pub struct Settings {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: String,
    pub ca: PathBuf,
    pub other_ca: PathBuf,
    /// Whether what `e2e_hidden` holds is hidden from this caller.
    pub is_hidden: bool,
}

impl Settings {
    pub fn from_env() -> Result<Self> {
        let need = |name: &str| {
            let name = format!("E2E_MYSQL_{name}");
            env::var(&name).with_context(|| format!("{name} is not set"))
        };
        let password = match env::var("DOORWARD_TOKEN_FILE") {
            Ok(file) => fs::read_to_string(file)?.trim().to_owned(),
            Err(_) => need("PASSWORD")?,
        };
        Ok(Self {
            host: need("HOST")?,
            port: need("PORT")?.parse()?,
            database: need("DATABASE")?,
            user: need("USER")?,
            password,
            ca: need("CA")?.into(),
            other_ca: need("OTHER_CA")?.into(),
            is_hidden: env::var_os("E2E_HIDDEN").is_some(),
        })
    }
}

pub const PEOPLE: &str = "SELECT name, email, card, born, notes FROM e2e_people WHERE id = ?";
pub const LATE: &str = "SELECT count(*) FROM e2e_items WHERE client = ? AND id > 1000";

/// Of a table of which most columns show nothing to this caller: each statement is rewritten on its way.
pub const HIDDEN: &str = "SELECT id, name, ssn, mail, code, big, pay, born, seen, raw, ratio FROM e2e_hidden WHERE client = ? AND id > ? ORDER BY ssn, id";
pub const HIDDEN_COLUMNS: [&str; 11] =
    ["id", "name", "ssn", "mail", "code", "big", "pay", "born", "seen", "raw", "ratio"];
pub const COUNT_HIDDEN: &str = "SELECT count(*) FROM e2e_hidden WHERE client = 'all' AND ";
pub const PUT_HIDDEN: &str = "INSERT INTO e2e_hidden (client, id, name, ssn, code) VALUES (?, ?, 'mine', ?, ?)";
pub const MINE_HIDDEN: &str =
    "SELECT count(*) FROM e2e_hidden WHERE client = ? AND ssn = '[ssn]' AND code IS NULL AND name = 'mine'";

/// 17 MiB that are no text.
pub fn big() -> Vec<u8> {
    vec![0xfe; 17 << 20]
}

pub fn expect<T: PartialEq + Debug>(expected: T, actual: T) -> Result<()> {
    ensure!(expected == actual, "expected {expected:.200?}, got {actual:.200?}");
    Ok(())
}

#[derive(Default)]
pub struct Report {
    pub failed: bool,
}

impl Report {
    pub fn note(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => println!("ok {name}"),
            Err(error) => {
                self.failed = true;
                println!("FAIL {name}: {}", format!("{error:#}").replace('\n', " "));
            }
        }
    }
}
