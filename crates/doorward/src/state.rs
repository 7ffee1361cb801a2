//! Where the gateway's state is, for commands that read it offline.
use crate::{cli::StateArgs, config::Config};
use anyhow::{Context as _, Result};
use doorward_control::ClientError;
use doorward_model::Timestamp;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// The state directory that the arguments name.
pub(crate) fn dir(args: &StateArgs) -> Result<PathBuf> {
    match &args.state_dir {
        Some(dir) => Ok(dir.clone()),
        None => Ok(Config::load(&args.config.config)
            .context("give --state-dir or a configuration with --config")?
            .state_dir()),
    }
}

/// A file to write, or standard output.
pub(crate) fn writer(file: Option<&Path>) -> Result<Box<dyn Write>> {
    Ok(match file {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(io::stdout().lock())),
    })
}

/// Why an export ended before its end, and what that means for what was written.
pub(crate) fn broke_off(e: ClientError, file: Option<&Path>) -> anyhow::Error {
    let is_part = matches!(e, ClientError::Transport { .. });
    let e = anyhow::Error::from(e);
    if !is_part {
        return e;
    }
    let place = file.map_or_else(|| "on standard output".to_owned(), |f| format!("in {}", f.display()));
    e.context(format!("the export broke off: what is {place} is not whole, export it again"))
}

/// A time as people read it, in UTC.
pub(crate) fn time(t: Timestamp) -> String {
    let micros = i64::try_from(t.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "?".into(), |t| format!("{t:.3}"))
}
