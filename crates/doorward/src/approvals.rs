//! `doorward approvals`: requests that wait for a human, through the gateway's API.
use crate::{
    cli::{ApiArgs, ApprovalsCommand, Output},
    state,
};
use anyhow::{Context as _, Result, bail};
use doorward_control::{ApprovalView, Client};
use std::ops::ControlFlow;

/// A client of the API, with the caller's token.
pub(crate) fn client(api: &ApiArgs) -> Result<Client> {
    let token = match (&api.token, &api.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        (None, None) => bail!("the API wants your identity token: give --token, --token-file or DOORWARD_TOKEN"),
    };
    let ca = match &api.ca {
        Some(path) => Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    Ok(Client::new(&api.url, token.trim(), ca)?)
}

pub(crate) fn run(command: ApprovalsCommand) -> Result<()> {
    crate::runtime()?.block_on(async {
        match command {
            ApprovalsCommand::List { state, api } => {
                let wanted = (state != "all").then_some(state.as_str());
                let found = client(&api)?.approvals(wanted).await?;
                if api.output == Output::Json {
                    println!("{}", serde_json::to_string_pretty(&found)?);
                    return Ok(());
                }
                if found.is_empty() {
                    println!("nothing {}", if state == "all" { "there" } else { &state });
                }
                for a in &found {
                    line(a);
                }
                Ok(())
            }
            ApprovalsCommand::Show { id, api } => {
                let a = client(&api)?.approval(id.parse().context("not an approval's id")?).await?;
                show(&a, api.output)
            }
            ApprovalsCommand::Approve { id, comment, api } => {
                let a = client(&api)?.approve(id.parse().context("not an approval's id")?, &comment).await?;
                show_verdict(&a, api.output)
            }
            ApprovalsCommand::Deny { id, comment, api } => {
                let a = client(&api)?.deny(id.parse().context("not an approval's id")?, &comment).await?;
                show_verdict(&a, api.output)
            }
            ApprovalsCommand::Watch { api } => {
                let client = client(&api)?;
                let output = api.output;
                let watching = client.watch(move |a| {
                    match output {
                        Output::Text => line(&a),
                        Output::Json => println!("{}", serde_json::json!(a)),
                    }
                    ControlFlow::Continue(())
                });
                Ok(watching.await?)
            }
        }
    })
}

/// Texts of callers are shown without control characters: a statement must not steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn line(a: &ApprovalView) {
    let statement: String =
        plain(&a.statement).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    println!(
        "{}  {:<9} {:<20} {:<12} {statement}",
        a.id,
        format!("{:?}", a.state).to_lowercase(),
        a.principal,
        a.connection
    );
}

fn show_verdict(a: &ApprovalView, output: Output) -> Result<()> {
    if output == Output::Json {
        return show(a, output);
    }
    println!("{} {}", a.id, format!("{:?}", a.state).to_lowercase());
    Ok(())
}

fn show(a: &ApprovalView, output: Output) -> Result<()> {
    if output == Output::Json {
        println!("{}", serde_json::to_string_pretty(a)?);
        return Ok(());
    }
    println!("approval   {} ({})", a.id, format!("{:?}", a.state).to_lowercase());
    println!("who        {} on {} (session {})", a.principal, a.connection, a.session);
    println!("asked      {}, until {}", state::time(a.asked), state::time(a.expires));
    println!("statement  {}", plain(&a.statement).replace('\n', "\n           "));
    for (i, parameter) in a.parameters.iter().enumerate() {
        println!("           ${} = {}", i + 1, plain(parameter));
    }
    println!("would      {}", a.accesses.join(", "));
    for r in &a.requirements {
        let reason = r.reason.as_deref().map_or_else(String::new, |r| format!(": {r}"));
        println!("policy     {}{reason} ({} of {})", r.policy, r.quorum, r.groups.join(", "));
    }
    for v in &a.verdicts {
        println!("verdict    {} by {} {}", if v.yes { "yes" } else { "no" }, v.by, plain(&v.comment));
    }
    println!("digest     {}", a.digest);
    Ok(())
}
