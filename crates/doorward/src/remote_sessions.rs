//! `doorward sessions` through the API.
use crate::{
    approvals::{one_line, plain},
    cli::{ExportFormat, Output, SessionSearch},
    state,
};
use anyhow::{Context as _, Result};
use doorward_control::{
    Client, ClientError, RecordingCheck, SessionList, SessionView, StepKind, StepList, StepView, form_urlencoded,
};
use doorward_model::{SessionId, Timestamp};
use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

fn parsed(id: &str) -> Result<SessionId> {
    id.parse().with_context(|| format!("`{id}` is not a session's id"))
}

pub(crate) fn list(client: &Client, live: bool, search: &SessionSearch, output: Output) -> Result<()> {
    let mut path = format!("sessions?state={}", if live { "live" } else { "all" });
    for (name, value) in [
        ("principal", &search.principal),
        ("connection", &search.connection),
        ("table", &search.table),
        ("command", &search.command),
        ("outcome", &search.outcome),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", form_urlencoded(value)));
        }
    }
    crate::runtime()?.block_on(async {
        let (mut shown, mut cursor) = (0, None::<String>);
        loop {
            let page: SessionList = client.page(&path, cursor.as_deref()).await?;
            for s in page.sessions.iter().take(search.last.saturating_sub(shown)) {
                line(s, output);
                shown += 1;
            }
            cursor = page.next;
            if cursor.is_none() || shown >= search.last {
                return Ok(());
            }
        }
    })
}

fn line(s: &SessionView, output: Output) {
    if output == Output::Json {
        println!("{}", serde_json::json!(s));
        return;
    }
    let rest = match (s.live, s.waits_for.first()) {
        (_, Some(id)) => format!("  waits for approval {id}"),
        (true, None) => "  open".to_owned(),
        (false, None) => {
            let ended = s.reason.as_deref().map_or_else(|| "no end".to_owned(), one_line);
            format!("  {} requests, {} refused, {} held; {ended}", s.requests, s.refused, s.held)
        }
    };
    println!(
        "{}  {:<12} {:<24} {:<22} {}{rest}",
        s.id,
        one_line(&s.connection),
        one_line(s.principal.as_deref().unwrap_or("-")),
        one_line(&s.client),
        state::time(s.started)
    );
}

pub(crate) fn show(client: &Client, id: &str, output: Output) -> Result<ExitCode> {
    let id = parsed(id)?;
    let (session, check) = crate::runtime()?.block_on(async {
        let session: SessionView = client.read(&format!("sessions/{id}")).await?;
        let check: Result<RecordingCheck, ClientError> =
            client.post(&format!("sessions/{id}/recording/verify"), &serde_json::json!({})).await;
        Ok::<_, anyhow::Error>((session, check))
    })?;
    let intact = check.as_ref().is_ok_and(|c| c.intact);
    match output {
        Output::Json => {
            let check = check.map_err(|e| e.to_string());
            let (recording, problem) = (check.as_ref().ok(), check.as_ref().err());
            println!("{}", serde_json::json!({ "session": session, "recording": recording, "problem": problem }));
        }
        Output::Text => {
            line(&session, Output::Text);
            match check {
                Ok(RecordingCheck { problem: Some(problem), .. }) => {
                    println!("recording   DAMAGED: {}", one_line(&problem));
                }
                Ok(c) => {
                    let ending = c.ending.as_deref().map_or_else(|| "nowhere".to_owned(), one_line);
                    println!(
                        "frames      {} ({} bytes from the client, {} to it)",
                        c.frames, c.client_bytes, c.upstream_bytes
                    );
                    println!("recording   {}; ends: {ending}", if c.intact { "intact" } else { "without a footer" });
                }
                Err(e) => println!("recording   {}", one_line(&e.to_string())),
            }
        }
    }
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) fn replay(client: &Client, id: &str, rows: usize, speed: f64) -> Result<()> {
    let path = format!("sessions/{}/recording/steps", parsed(id)?);
    crate::runtime()?.block_on(async {
        let (mut cursor, mut last) = (None::<String>, None::<Timestamp>);
        loop {
            let page: StepList = client.page(&path, cursor.as_deref()).await?;
            for s in &page.steps {
                if speed > 0.0
                    && let Some(last) = last
                {
                    let pause = (s.time.since(last).as_secs_f64() / speed).min(3600.0);
                    tokio::time::sleep(Duration::from_secs_f64(pause)).await;
                }
                last = Some(s.time);
                step(s, rows)?;
            }
            if let Some(problem) = page.problem {
                anyhow::bail!("the recording cannot be read on: {problem}");
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    })
}

fn step(s: &StepView, rows: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mark = match s.kind {
        StepKind::Sent => "> ",
        StepKind::Failed | StepKind::Answered => "< ",
        StepKind::Rows | StepKind::Request | StepKind::Note => "",
    };
    writeln!(out, "[{}] {mark}{}", state::time(s.time), plain(&s.text))?;
    if s.kind == StepKind::Rows {
        let cells = |cells: &[String]| cells.iter().map(|c| one_line(c)).collect::<Vec<_>>().join(" | ");
        writeln!(out, "    {}", cells(&s.columns))?;
        for row in s.rows.iter().take(rows) {
            writeln!(out, "    {}", cells(row))?;
        }
        let left = s.rows.len().saturating_sub(rows);
        let more = s.more.saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
        if more > 0 {
            writeln!(out, "    ({more} more rows)")?;
        }
    }
    out.flush()
}

pub(crate) fn export(
    client: &Client,
    id: &str,
    format: ExportFormat,
    (channel, request): (Option<u32>, Option<u32>),
    file: Option<&Path>,
) -> Result<()> {
    let id = parsed(id)?;
    let path = match format {
        ExportFormat::Jsonl => format!("sessions/{id}/recording/content?format=jsonl"),
        ExportFormat::Pcapng => format!("sessions/{id}/recording/content?format=pcapng"),
        ExportFormat::Asciicast => {
            let part = |name: &str, n: Option<u32>| n.map_or_else(String::new, |n| format!("{name}={n}&"));
            format!("sessions/{id}/recording/cast?{}{}", part("channel", channel), part("request", request))
        }
    };
    let path = path.trim_end_matches(['?', '&']);
    let mut out = state::writer(file)?;
    let streamed = crate::runtime()?.block_on(client.stream(path, |chunk| out.write_all(chunk)));
    streamed.map_err(|e| state::broke_off(e, file))?;
    Ok(out.flush()?)
}
