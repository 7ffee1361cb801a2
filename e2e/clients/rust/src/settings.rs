//! What both programs share: the settings, the sample row, and one line for each check.

use std::env;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

pub struct Settings {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: String,
    pub ca: PathBuf,
    pub items: String,
    pub samples: String,
    pub bulk: String,
    pub copied: String,
    pub hidden: String,
    /// Whether what `hidden` holds is hidden from this caller.
    pub is_hidden: bool,
}

impl Settings {
    pub fn from_env() -> Result<Self> {
        let need = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
        let password = match env::var("DOORWARD_TOKEN_FILE") {
            Ok(file) => fs::read_to_string(file)?.trim().to_owned(),
            Err(_) => need("PGPASSWORD")?,
        };
        let prefix = env::var("E2E_PREFIX").unwrap_or_else(|_| "e2e_".to_owned());
        let table = |name: &str| format!("{prefix}{name}");
        Ok(Self {
            host: need("PGHOST")?,
            port: need("PGPORT")?.parse()?,
            database: need("PGDATABASE")?,
            user: need("PGUSER")?,
            password,
            ca: need("PGSSLROOTCERT")?.into(),
            items: table("items"),
            samples: table("samples"),
            bulk: table("bulk"),
            copied: table("copied"),
            hidden: table("hidden"),
            is_hidden: env::var_os("E2E_HIDDEN").is_some(),
        })
    }
}

/// The columns t, b, j, ints, texts, n, ts, d, u, f, yes, nothing.
pub const COLUMNS: &str = "t, b, j, ints, texts, n, ts, d, u, f, yes, nothing";

pub type Sample = (
    String,
    Vec<u8>,
    Value,
    Vec<Option<i32>>,
    Vec<Option<String>>,
    Decimal,
    DateTime<Utc>,
    NaiveDate,
    Uuid,
    f64,
    bool,
    Option<String>,
);

pub fn sample() -> Result<Sample> {
    Ok((
        "žluťoučký 🐘 你好".to_owned(),
        vec![0, 0xff, 0x10],
        json!({"k": [1, null, "ü"]}),
        vec![Some(1), None, Some(3)],
        vec![Some("a b".to_owned()), None, Some("\"q\"".to_owned())],
        "98765432.1234567891".parse()?,
        "2024-02-29T12:34:56.789012Z".parse()?,
        "1999-12-31".parse()?,
        "6f9619ff-8b86-d011-b42d-00cf4fc964ff".parse()?,
        0.1,
        true,
        None,
    ))
}

/// Columns of a table of which most show nothing to this caller: statements over it are rewritten on their way.
pub const HIDDEN_COLUMNS: &str = "id, name, ssn, mail, code, big, pay, born, seen, who, raw, doc";
pub const HIDDEN_TYPES: [&str; 12] =
    ["int4", "text", "text", "varchar", "int4", "int8", "numeric", "date", "timestamptz", "uuid", "bytea", "jsonb"];

pub type Hidden = (
    i32,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i32>,
    Option<i64>,
    Option<Decimal>,
    Option<NaiveDate>,
    Option<DateTime<Utc>>,
    Option<Uuid>,
    Option<Vec<u8>>,
    Option<Value>,
);

/// A row as it is shown.
pub fn hidden_row(id: i32) -> Result<Hidden> {
    let text = |text: &str| Some(text.to_owned());
    Ok((
        id,
        (id != 5).then(|| format!("Name {id}")),
        text("[ssn]"),
        text("nobody@example.com"),
        None,
        Some(7),
        Some("12.34".parse()?),
        NaiveDate::from_ymd_opt(1900, 1, 1),
        None,
        None,
        None,
        Some(json!("[masked]")),
    ))
}

/// What is in the fourth row.
pub struct HiddenValues {
    pub pay: Decimal,
    pub born: NaiveDate,
    pub seen: DateTime<Utc>,
    pub who: Uuid,
}

impl HiddenValues {
    pub fn new() -> Result<Self> {
        Ok(Self {
            pay: "402.00".parse()?,
            born: "1970-01-05".parse()?,
            seen: "2024-03-04T12:00:00Z".parse()?,
            who: "00000000-0000-4000-8000-000000000004".parse()?,
        })
    }
}

pub fn expect<T: Debug + PartialEq>(expected: T, actual: T) -> Result<()> {
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
                println!("FAIL {name}: {:.400}", format!("{error:#}").replace('\n', " "));
            }
        }
    }
}
