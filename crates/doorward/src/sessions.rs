//! `doorward sessions`: through the API (`remote_sessions.rs`), or recorded ones from the state directory.
use crate::{
    approvals::{api_of, client, one_line, plain, remote},
    cli::{ExportFormat, Output, SessionsCommand, StateArgs},
    remote_sessions, sessions_kubernetes, sessions_ssh, state,
};
use anyhow::{Context as _, Result, bail};
use doorward_control::recordings::{ShowError, kubernetes, sql, ssh};
use doorward_record::{Reader, export_json_lines, export_pcapng, keys, verify_recording};
use doorward_sql_session::replay::Options;
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

pub(crate) fn run(command: SessionsCommand) -> Result<ExitCode> {
    match command {
        SessionsCommand::List { live, search, place } => match remote(&place)? {
            Some(client) => remote_sessions::list(&client, live, &search, place.output)?,
            None if live => {
                let url = place.url.clone().unwrap_or_else(|| "http://127.0.0.1:8443".to_owned());
                let api = api_of(&place, url);
                remote_sessions::list(&client(&api)?, live, &search, place.output)?;
            }
            None if search.is_any() => bail!("sessions are searched by the API: give --url"),
            None => list(&place.state, place.output)?,
        },
        SessionsCommand::Show { id, place } => match remote(&place)? {
            Some(client) => return remote_sessions::show(&client, &id, place.output),
            None => return show(&id, &place.state, place.output),
        },
        SessionsCommand::Replay { id, speed, rows, channel, request, place } => {
            if let Some(client) = remote(&place)? {
                if channel.is_some() || request.is_some() {
                    bail!("terminals of the API: `doorward sessions export {id} --format asciicast`, and play that");
                }
                remote_sessions::replay(&client, &id, rows, speed)?;
                return Ok(ExitCode::SUCCESS);
            }
            let state = place.state;
            let (path, key) = (path(&id, &state)?, public_key(&state)?);
            let again = || again(&path, &key);
            let reader = again()?;
            match reader.meta().protocol.as_str() {
                "ssh" => sessions_ssh::replay(&again, sessions_ssh::Options { speed, lines: rows, channel })?,
                "kubernetes" => {
                    let options = sessions_kubernetes::Options { speed, lines: rows, request };
                    sessions_kubernetes::replay(&again, options)?;
                }
                _ => replay(reader, rows, speed)?,
            }
        }
        SessionsCommand::Export { id, format, channel, request, file, place } => {
            if let Some(client) = remote(&place)? {
                remote_sessions::export(&client, &id, format, (channel, request), file.as_deref())?;
                return Ok(ExitCode::SUCCESS);
            }
            let state = place.state;
            let (path, key) = (path(&id, &state)?, public_key(&state)?);
            let again = || again(&path, &key);
            let mut reader = again()?;
            let protocol = reader.meta().protocol.clone();
            if format == ExportFormat::Asciicast && !["ssh", "kubernetes"].contains(&protocol.as_str()) {
                bail!("only recordings of SSH and Kubernetes have terminals; this is one of {protocol}");
            }
            let mut out = state::writer(file.as_deref())?;
            match format {
                ExportFormat::Jsonl => export_json_lines(&mut reader, &mut out)?,
                ExportFormat::Pcapng => export_pcapng(&mut reader, &mut out)?,
                ExportFormat::Asciicast if protocol == "kubernetes" => {
                    kubernetes::export(&again, request, &mut out)?;
                }
                ExportFormat::Asciicast => ssh::export(&again, channel, &mut out)?,
            }
            out.flush()?;
        }
        SessionsCommand::Kill { id, api } => crate::runtime()?.block_on(async {
            client(&api)?.kill(id.parse().context("not a session's id")?).await?;
            println!("session {id} ended");
            Ok::<_, anyhow::Error>(())
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn path(id: &str, state: &StateArgs) -> Result<PathBuf> {
    let id: doorward_model::SessionId = id.parse().with_context(|| format!("`{id}` is not a session's id"))?;
    let path = state::dir(state)?.join("recordings").join(format!("{id}.dwr"));
    if !path.exists() {
        bail!("no recording of session {id} in {}", path.parent().unwrap_or(&path).display());
    }
    Ok(path)
}

fn public_key(state: &StateArgs) -> Result<doorward_record::VerifyingKey> {
    Ok(keys::load_public(&state::dir(state)?.join("keys").join(keys::PUBLIC_KEY_FILE))?)
}

fn open(id: &str, state: &StateArgs) -> Result<Reader> {
    Ok(Reader::open(&path(id, state)?, Some(&public_key(state)?))?)
}

fn again(path: &Path, key: &doorward_record::VerifyingKey) -> Result<Reader, ShowError> {
    Ok(Reader::open(path, Some(key))?)
}

/// What a replay begins with.
pub(crate) fn title(reader: &Reader) -> String {
    let m = reader.meta();
    plain(&format!("session {} on {}, from {}", m.session, m.connection, state::time(m.started)))
}

/// Recordings, newest first: their names are UUIDs of version 7, which sort by time.
fn list(state: &StateArgs, output: Output) -> Result<()> {
    let dir = state::dir(state)?.join("recordings");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&dir)
        .with_context(|| format!("no recordings in {}", dir.display()))?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "dwr"))
        .collect();
    names.sort();
    for path in names.iter().rev() {
        // One damaged recording does not hide the others.
        match Reader::open(path, None) {
            Ok(reader) => {
                let m = reader.meta();
                match output {
                    Output::Text => {
                        println!("{}  {:<12} {:<22} {}", m.session, m.connection, m.client, state::time(m.started))
                    }
                    Output::Json => println!("{}", serde_json::json!(m)),
                }
            }
            Err(e) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                match output {
                    Output::Text => println!("{name}  unreadable: {e}"),
                    Output::Json => println!("{}", serde_json::json!({ "session": name, "unreadable": e.to_string() })),
                }
            }
        }
    }
    Ok(())
}

fn show(id: &str, state: &StateArgs, output: Output) -> Result<ExitCode> {
    let report = verify_recording(&path(id, state)?, &public_key(state)?)?;
    let intact = report.is_intact();
    let is_kubernetes = report.meta.as_ref().is_some_and(|m| m.protocol == "kubernetes");
    // Of a damaged one, as far as it can be read.
    let requests = if is_kubernetes { kubernetes::overview(open(id, state)?).0 } else { Default::default() };
    match output {
        Output::Json => println!(
            "{}",
            serde_json::json!({
                "meta": report.meta,
                "frames": report.frames,
                "client_bytes": report.client_bytes,
                "upstream_bytes": report.upstream_bytes,
                "lost_bytes": report.lost_bytes,
                "intact": intact,
                "problem": report.problem,
                "ending": report.ending.map(|e| format!("{e:?}")),
                "requests": requests.requests.iter().map(|(n, r)| r.to_json(*n)).collect::<Vec<_>>(),
            })
        ),
        Output::Text => {
            if let Some(m) = &report.meta {
                println!(
                    "session     {}\nconnection  {} ({})\nclient      {}\nstarted     {}",
                    m.session,
                    m.connection,
                    m.protocol,
                    m.client,
                    state::time(m.started)
                );
            }
            println!(
                "frames      {} ({} bytes from the client, {} to it)",
                report.frames, report.client_bytes, report.upstream_bytes
            );
            match (&report.problem, &report.ending) {
                (Some(problem), _) => println!("recording   DAMAGED: {problem}"),
                (None, Some(ending)) => {
                    println!("recording   {}; ends: {ending:?}", if intact { "intact" } else { "without a footer" })
                }
                (None, None) => println!("recording   without an end"),
            }
            for (number, request) in &requests.requests {
                let line = format!("{} ({})", request.statement, request.result());
                println!("[{}] [{number}] {}", state::time(request.time), one_line(&line));
            }
        }
    }
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn replay(reader: Reader, rows: usize, speed: f64) -> Result<()> {
    let protocol = reader.meta().protocol.clone();
    let Some(mut replayer) = sql::replayer(&protocol, Options { rows }) else {
        bail!("recordings of {protocol} cannot be replayed by this version")
    };
    let mut out = io::stdout().lock();
    let mut last = reader.meta().started;
    writeln!(out, "{}", title(&reader))?;
    sql::play(reader, replayer.as_mut(), |time, event| {
        if speed > 0.0 {
            out.flush()?;
            std::thread::sleep(Duration::from_secs_f64((time.since(last).as_secs_f64() / speed).min(3600.0)));
        }
        last = time;
        writeln!(out, "[{}] {}", state::time(time), plain(&event.to_string()))?;
        Ok(true)
    })?;
    Ok(())
}
