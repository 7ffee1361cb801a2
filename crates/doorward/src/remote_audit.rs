//! `doorward audit` through the API.
use crate::{audit::text_line, cli::Output, state};
use anyhow::{Context as _, Result, bail};
use doorward_control::{
    AuditEntryView, AuditList, Client, VerificationReport, VerificationState, VerificationView, form_urlencoded,
};
use doorward_record::Filter;
use std::{io::Write as _, path::Path, process::ExitCode, time::Duration};

/// How often a verification is asked for.
const ASK: Duration = Duration::from_millis(300);

pub(crate) struct Asked<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) last: usize,
}

impl Asked<'_> {
    fn path(&self) -> String {
        let mut path = "audit?".to_owned();
        let session = self.filter.session.map(|s| s.to_string());
        // One kind the API looks for; of several, this program picks.
        let kind = self.filter.kinds.first().filter(|_| self.filter.kinds.len() == 1).cloned();
        for (name, value) in
            [("session", session), ("kind", kind), ("since", self.since.clone()), ("until", self.until.clone())]
        {
            if let Some(value) = value {
                path.push_str(&format!("{name}={}&", form_urlencoded(&value)));
            }
        }
        path.pop();
        path
    }
}

pub(crate) fn list(client: &Client, asked: &Asked<'_>, output: Output) -> Result<()> {
    crate::runtime()?.block_on(async {
        let (path, mut found, mut cursor) = (asked.path(), Vec::<AuditEntryView>::new(), None::<String>);
        while found.len() < asked.last {
            let page: AuditList = client.page(&path, cursor.as_deref()).await?;
            let kinds = &asked.filter.kinds;
            let wanted = |e: &AuditEntryView| {
                kinds.is_empty() || kinds.iter().any(|k| e.entry.get("event").and_then(|v| v.as_str()) == Some(k))
            };
            found.extend(page.entries.into_iter().filter(wanted));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        found.truncate(asked.last);
        let mut out = std::io::stdout().lock();
        for entry in found.iter().rev() {
            let json = entry.entry.to_string();
            match output {
                Output::Json => writeln!(out, "{json}")?,
                Output::Text => match serde_json::from_value(entry.entry.clone()) {
                    Ok(event) => writeln!(out, "{}", text_line(entry.seq, &event, &json))?,
                    // Of a gateway that is newer than this program.
                    Err(_) => writeln!(out, "{:>8} {}", entry.seq, crate::approvals::one_line(&json))?,
                },
            }
        }
        Ok(())
    })
}

pub(crate) fn export(client: &Client, file: Option<&Path>) -> Result<()> {
    let mut out = state::writer(file)?;
    let streamed = crate::runtime()?.block_on(client.stream("audit/export", |chunk| out.write_all(chunk)));
    streamed.map_err(|e| state::broke_off(e, file))?;
    Ok(out.flush()?)
}

pub(crate) fn verify(client: &Client, at_least: Option<String>, output: Output) -> Result<ExitCode> {
    let report = crate::runtime()?.block_on(async {
        let body = serde_json::json!({ "at_least": at_least });
        let mut found: VerificationView = client.post("audit/verifications", &body).await?;
        while found.state == VerificationState::Running {
            tokio::time::sleep(ASK).await;
            found = client.read(&format!("audit/verifications/{}", found.id)).await?;
        }
        if found.state == VerificationState::Failed {
            bail!("the gateway cannot read its audit log, or its key: see its log");
        }
        found.report.context("a verification without a report")
    })?;
    show(&report, output)
}

fn show(report: &VerificationReport, output: Output) -> Result<ExitCode> {
    match output {
        Output::Json => println!("{}", serde_json::to_string(report)?),
        Output::Text => {
            for warning in &report.warnings {
                println!("note: {warning}");
            }
            if let Some(begin) = &report.begins_after {
                println!("note: the log begins after {begin}: what was before was removed by retention");
            }
            for problem in &report.problems {
                println!("TAMPERED: {problem}");
            }
            println!(
                "{}: {} entries in {} files, signed up to sequence {}, head {}, as the gateway says of itself",
                if report.intact { "intact" } else { "NOT INTACT" },
                report.entries,
                report.files,
                report.signed_seq,
                report.head
            );
        }
    }
    Ok(if report.intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
