//! `doorward dev`: for trying and testing.
use crate::cli::DevCommand;
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_identity::dev;
use doorward_model::Timestamp;
use std::{
    path::Path,
    time::{Duration, SystemTime},
};

/// The file in the issuer's folder that says where it was served last.
const URL_FILE: &str = "issuer-url";

pub(crate) fn run(command: DevCommand) -> Result<()> {
    match command {
        DevCommand::Issuer { dir, listen } => crate::runtime()?.block_on(issuer(&dir, listen)),
        DevCommand::Token { sub, groups, act, act_groups, claims, ttl, audience, issuer, dir } => {
            let issuer = match issuer {
                Some(issuer) => issuer,
                None => std::fs::read_to_string(dir.join(URL_FILE)).with_context(|| {
                    format!(
                        "no development issuer was served from {}: run `doorward dev issuer` or give --issuer",
                        dir.display()
                    )
                })?,
            };
            let mut claims = claims.iter().map(|c| claim(c)).collect::<Result<Vec<_>>>()?;
            if let Some(agent) = act {
                claims.push(("act".to_owned(), serde_json::json!({ "sub": agent, "groups": act_groups })));
            }
            let ttl = duration(&ttl)?;
            let request = dev::TokenRequest { issuer: issuer.trim().to_owned(), sub, groups, audience, claims, ttl };
            println!("{}", dev::mint(&dir, &request, Timestamp::from(SystemTime::now()))?);
            Ok(())
        }
    }
}

async fn issuer(dir: &Path, listen: std::net::SocketAddr) -> Result<()> {
    eprintln!("{}", dev::NOTICE);
    let served = dev::Issuer::open(dir)?.serve(listen).await?;
    std::fs::write(dir.join(URL_FILE), served.url()).with_context(|| format!("cannot write into {}", dir.display()))?;
    println!("development issuer at {}", served.url());
    crate::serve::stop_signal().await?;
    served.stop().await;
    Ok(())
}

fn claim(text: &str) -> Result<(String, serde_json::Value)> {
    let (name, value) = text.split_once('=').ok_or_else(|| anyhow!("`{text}` is not name=value"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// `30s`, `15m`, `1h`, `2d`.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let bad = || anyhow!("`{text}` is not a duration: use 30s, 15m, 1h or 2d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let number: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| bad())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => bail!(bad()),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("2h").unwrap(), Duration::from_secs(7200));
        for bad in ["", "h", "5", "1y", "-1s", "1.5h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
