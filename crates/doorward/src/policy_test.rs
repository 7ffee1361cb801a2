//! `doorward policy test`: cases in TOML, run against policies without a database.
//!
//! ```toml
//! connection = "orders"
//!
//! [[case]]
//! name      = "an agent cannot drop"
//! groups    = ["agents"]
//! statement = "DROP TABLE orders"
//! expect    = "refuse"            # forward | hold | refuse
//! ```
use crate::{
    BadConfiguration,
    config::Config,
    policy::{self, Who},
};
use anyhow::{Context as _, Result, anyhow};
use doorward_model::Timestamp;
use doorward_policy::{Engine, explain};
use doorward_sql::postgres::analyse;
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    connection: String,
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "anybody")]
    principal: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    user: bool,
    statement: String,
    expect: Expected,
}

fn anybody() -> String {
    "dev/tester".into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Forward,
    Hold,
    Refuse,
}

impl Expected {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
        }
    }
}

pub(crate) fn run(files: &[PathBuf], config: &Path, policies: &[PathBuf]) -> Result<ExitCode> {
    let config = Config::load(config).context(BadConfiguration)?;
    let loaded = if policies.is_empty() { policy::load(&config) } else { policy::load_files(policies) };
    let engine = Engine::new(loaded.context(BadConfiguration)?);
    let (mut passed, mut failed) = (0, 0);
    for path in files {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: TestFile = toml::from_str(&text).map_err(|e| anyhow!("{}: {e}", path.display()))?;
        for case in file.cases {
            let name = case.name.clone();
            match one(&config, &engine, &file.connection, case)? {
                None => {
                    passed += 1;
                    println!("ok    {name}");
                }
                Some(why) => {
                    failed += 1;
                    println!("FAIL  {name}: {why}");
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(config: &Config, engine: &Engine, connection: &str, case: Case) -> Result<Option<String>> {
    let who = Who { principal: case.principal, groups: case.groups, user: case.user };
    let subject = policy::subject(config, connection, who)?;
    let analysis = match analyse(&case.statement, &policy::offline()) {
        Ok(analysis) => analysis,
        Err(e) => return Ok((case.expect != Expected::Refuse).then(|| e.to_string())),
    };
    let got = explain(engine, &subject, &analysis.facts, Timestamp::from(SystemTime::now()));
    Ok((got.outcome != case.expect.as_str()).then(|| format!("expected {}, got\n{got}", case.expect.as_str())))
}
