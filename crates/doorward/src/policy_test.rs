//! `doorward policy test`: cases in TOML, run against policies without a database.
use crate::{BadConfiguration, config::Config, policy};
use anyhow::{Context as _, Result, anyhow};
use doorward_model::Timestamp;
use doorward_policy::{CaseFile, Engine};
use doorward_sql::postgres::analyse;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

/// Runs files of cases. Each is judged by the policies it names, else by those given, else by the
/// configuration's.
pub(crate) fn run(files: &[PathBuf], config: &Path, policies: &[PathBuf]) -> Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for path in files {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = CaseFile::parse(&text).map_err(|e| anyhow!("{}: {e}", path.display()))?;
        // A file that names its policies and attributes needs no configuration.
        let config = if file.policies.is_empty() || config.exists() { Some(Config::load(config)) } else { None };
        let config = config.transpose().context(BadConfiguration)?;
        let base = path.parent().unwrap_or(Path::new("."));
        let loaded = if !file.policies.is_empty() {
            policy::load_files(&file.policies.iter().map(|p| base.join(p)).collect::<Vec<_>>())
        } else if !policies.is_empty() {
            policy::load_files(policies)
        } else {
            config.as_ref().map_or_else(|| Err(anyhow!("no policies")), policy::load)
        };
        let engine = Engine::new(loaded.context(BadConfiguration)?);
        let info = config
            .as_ref()
            .and_then(|c| c.connections.iter().find(|x| x.name == file.connection).map(|found| c.info(found)));
        let read = |sql: &str| analyse(sql, &policy::offline()).map(|a| (*a.facts).clone()).map_err(|e| e.to_string());
        for result in file.run(&engine, info.as_deref(), &read, Timestamp::from(SystemTime::now())) {
            if result.failure.is_some() {
                failed += 1;
            } else {
                passed += 1;
            }
            println!("{result}");
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
