//! `doorward audit`: list, verify, export.
use crate::{
    approvals::{one_line, remote},
    cli::{AuditCommand, Output, StateArgs},
    remote_audit, state,
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_model::{AUDIT_KINDS, Timestamp};
use doorward_record::{Entries, Filter, Known, VerifyOptions, keys, verify_log};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(crate) fn run(command: AuditCommand) -> Result<ExitCode> {
    match command {
        AuditCommand::List { session, events, since, until, last, place } => {
            let filter = Filter {
                since: since.as_deref().map(time).transpose()?,
                until: until.as_deref().map(time).transpose()?,
                session: session.map(|s| s.parse().with_context(|| format!("`{s}` is not a session"))).transpose()?,
                kinds: events.into_iter().map(kind).collect::<Result<_>>()?,
            };
            match remote(&place)? {
                Some(client) => {
                    let asked = remote_audit::Asked { filter: &filter, since, until, last: last.unwrap_or(100) };
                    remote_audit::list(&client, &asked, place.output)?;
                }
                None => list(&place.state, filter, last, place.output)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Export { file, place } => {
            match remote(&place)? {
                Some(client) => remote_audit::export(&client, file.as_deref())?,
                None => export(&place.state, file.as_deref())?,
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Verify { dir, key, at_least, against, place } => {
            let here = dir.is_some() || key.is_some();
            match remote(&place)?.filter(|_| !here) {
                Some(_) if !against.is_empty() => {
                    bail!("--against is for a log that is here: name its folder by --dir and the public key by --key")
                }
                Some(client) => remote_audit::verify(&client, at_least, place.output),
                None => verify(dir, key, at_least.as_deref(), &against, &place.state, place.output),
            }
        }
    }
}

fn kind(name: String) -> Result<String> {
    if AUDIT_KINDS.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(anyhow!("`{name}` is no kind of entry: there are {}", AUDIT_KINDS.join(", ")))
}

fn time(text: &str) -> Result<Timestamp> {
    let parsed: jiff::Timestamp =
        text.parse().with_context(|| format!("`{text}` is not a time: use 2026-01-31T12:00:00Z"))?;
    let micros = u64::try_from(parsed.as_microsecond()).map_err(|_| anyhow!("`{text}` is before 1970"))?;
    Ok(Timestamp::from_micros(micros))
}

fn list(state: &StateArgs, filter: Filter, last: Option<usize>, output: Output) -> Result<()> {
    let dir = state::dir(state)?.join("audit");
    let mut kept = VecDeque::new();
    let mut out = io::stdout().lock();
    for entry in Entries::open(&dir, filter).with_context(|| format!("no audit log in {}", dir.display()))? {
        let entry = entry?;
        let line = match output {
            Output::Json => entry.json,
            Output::Text => text_line(entry.seq, &entry.event, &entry.json),
        };
        match last {
            Some(0) => break,
            Some(n) => {
                if kept.len() >= n {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
            None => writeln!(out, "{line}")?,
        }
    }
    for line in kept {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

pub(crate) fn text_line(seq: u64, event: &doorward_model::AuditEvent, json: &str) -> String {
    let when = state::time(event.time);
    let session = event.session.map_or_else(
        || "-".repeat(8),
        |s| s.to_string().chars().rev().take(8).collect::<Vec<_>>().iter().rev().collect(),
    );
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let name = value.get("event").and_then(|e| e.as_str()).unwrap_or("?").to_owned();
    let mut rest = Vec::new();
    if let Some(map) = value.as_object() {
        for (key, value) in map {
            if !matches!(key.as_str(), "event" | "time" | "session" | "facts" | "digest" | "policy_version") {
                rest.push(match value {
                    serde_json::Value::String(s) => format!("{key}={}", one_line(s)),
                    other => format!("{key}={}", one_line(&other.to_string())),
                });
            }
        }
    }
    format!("{seq:>8} {when} …{session} {name:<22} {}", rest.join(" "))
}

fn export(state: &StateArgs, file: Option<&Path>) -> Result<()> {
    let dir = state::dir(state)?.join("audit");
    let mut out = state::writer(file)?;
    for entry in Entries::open(&dir, Filter::default()).with_context(|| format!("no audit log in {}", dir.display()))? {
        let entry = entry?;
        let event: serde_json::Value = serde_json::from_str(&entry.json)?;
        let line = serde_json::json!({ "seq": entry.seq, "hash": hex::encode(entry.hash.0), "entry": event });
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

fn verify(
    dir: Option<PathBuf>,
    key: Option<PathBuf>,
    at_least: Option<&str>,
    against: &[PathBuf],
    state: &StateArgs,
    output: Output,
) -> Result<ExitCode> {
    let (dir, key) = match (dir, key) {
        (Some(dir), Some(key)) => (dir, key),
        (dir, key) => {
            let state = state::dir(state)?;
            (
                dir.unwrap_or_else(|| state.join("audit")),
                key.unwrap_or_else(|| state.join("keys").join(keys::PUBLIC_KEY_FILE)),
            )
        }
    };
    let public = keys::load_public(&key)?;
    let mut known = Known::default();
    for path in against {
        let read = File::open(path).and_then(|file| known.read(BufReader::new(file), &public));
        read.with_context(|| format!("--against {}", path.display()))?;
    }
    let options = VerifyOptions {
        known,
        at_least: at_least
            .map(|h| h.parse().map_err(|_| anyhow!("`{h}` is not a head as `audit verify` prints it")))
            .transpose()?,
        progress: None,
    };
    let report = verify_log(&dir, &public, &options).with_context(|| format!("cannot read {}", dir.display()))?;
    match output {
        Output::Json => println!(
            "{}",
            serde_json::json!({
                "intact": report.is_intact(),
                "files": report.files,
                "entries": report.entries,
                "begins_after": report.begins.as_ref().map(|b| b.after.to_string()),
                "head": report.head.to_string(),
                "signed_seq": report.signed_seq,
                "unsigned_entries": report.unsigned_entries,
                "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        ),
        Output::Text => {
            for warning in &report.warnings {
                println!("note: {warning}");
            }
            if let Some(begin) = &report.begins {
                println!(
                    "note: the log begins after sequence {}: what was before was removed by retention, signed {}",
                    begin.after.seq,
                    state::time(begin.time)
                );
            }
            for problem in &report.problems {
                println!("TAMPERED: {problem}");
            }
            let verdict = if report.is_intact() { "intact" } else { "NOT INTACT" };
            println!(
                "{verdict}: {} entries in {} files, signed up to sequence {}, head {}",
                report.entries, report.files, report.signed_seq, report.head
            );
        }
    }
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
