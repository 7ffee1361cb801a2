//! `doorward approvals`: requests that wait for a human, through the gateway's API.
use crate::{
    cli::{ApiArgs, ApprovalsCommand, Output, PlaceArgs},
    signed_in, state,
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
        (None, None) => match signed_in::find(&signed_in::file()?, &api.url)? {
            Some(credential) => credential.token,
            None => bail!(
                "the API wants to know who you are: run `doorward login`, or give --token, --token-file or DOORWARD_TOKEN"
            ),
        },
    };
    let ca = match &api.ca {
        Some(path) => Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    Ok(Client::new(&api.url, token.trim(), ca)?)
}

/// The API to read from, if it is to be one: see [`PlaceArgs`].
pub(crate) fn remote(place: &PlaceArgs) -> Result<Option<Client>> {
    let url = match &place.url {
        Some(url) => Some(url.clone()),
        None if place.state.state_dir.is_some() || place.state.config.config.exists() => None,
        None => signed_in::only(&signed_in::file()?)?,
    };
    let Some(url) = url.filter(|_| place.state.state_dir.is_none()) else { return Ok(None) };
    client(&api_of(place, url)).map(Some)
}

/// The API whatever there is here.
pub(crate) fn api_of(place: &PlaceArgs, url: String) -> ApiArgs {
    let PlaceArgs { token, token_file, ca, output, .. } = place;
    ApiArgs { url, token: token.clone(), token_file: token_file.clone(), ca: ca.clone(), output: *output }
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
            ApprovalsCommand::BreakGlass { id, reason, api } => {
                let a = client(&api)?.break_glass(id.parse().context("not an approval's id")?, &reason).await?;
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

/// Texts of callers are shown with numbers in place of control characters, of those that turn the direction of writing and
/// of those that nobody sees: a statement must neither steer a terminal nor look like another one.
pub(crate) fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    // What turns the direction, has no width, or begins a line; as on pages.
    let hides = |c| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) || hides(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// The same for what has one line: the rest of a text must not pass for lines of ours.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

fn line(a: &ApprovalView) {
    let statement: String =
        plain(&a.statement).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    println!(
        "{}  {:<9} {:<20} {:<12} {statement}",
        a.id,
        format!("{:?}", a.state).to_lowercase(),
        one_line(&a.principal),
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
    println!("who        {} on {} (session {})", one_line(&a.principal), a.connection, a.session);
    println!("asked      {}, until {}", state::time(a.asked), state::time(a.expires));
    match a.forgotten {
        None => println!("statement  {}", plain(&a.statement).replace('\n', "\n           ")),
        Some(at) => println!("removed    its text, {} (retention): {}", state::time(at), one_line(&a.command)),
    }
    print!("{}", besides(a));
    println!("would      {}", one_line(&a.accesses.join(", ")));
    for r in &a.requirements {
        let reason = r.reason.as_deref().map_or_else(String::new, |r| format!(": {r}"));
        println!("policy     {}{reason} ({} of {})", r.policy, r.quorum, r.groups.join(", "));
    }
    for v in &a.verdicts {
        let via = v.via.as_ref().map(|a| format!(" ({} account {}/{})", a.chat, a.team, a.user)).unwrap_or_default();
        let word = if v.yes { "yes" } else { "no" };
        println!("verdict    {word} by {}{} {}", one_line(&v.by), one_line(&via), one_line(&v.comment));
    }
    println!("digest     {}", a.digest);
    Ok(())
}

/// What would run besides the statement. Each line of ours begins at the margin or with a number; those of callers are set in.
fn besides(a: &ApprovalView) -> String {
    let mut out = String::new();
    let mut put = |line: String| out.push_str(&(line + "\n"));
    for (i, parameter) in a.parameters.iter().enumerate() {
        put(format!("           ${} = {}", i + 1, one_line(parameter)));
    }
    if !a.rows.is_empty() {
        put(format!("runs       {} times, with these parameters", a.rows.len()));
    }
    for (i, row) in a.rows.iter().enumerate() {
        for (n, parameter) in row.iter().enumerate() {
            put(format!("           run {} ${} = {}", i + 1, n + 1, one_line(parameter)));
        }
    }
    for part in &a.parts {
        put(format!("with       {}:", one_line(&part.name)));
        put(format!("           {}", plain(&part.text).replace('\n', "\n           ")));
    }
    for unseen in &a.unseen {
        put(format!("NOT SHOWN  {}", one_line(unseen)));
    }
    for note in &a.notes {
        put(format!("note       {}", one_line(note)));
    }
    if a.abridged {
        put("cut        this is of a list: `doorward approvals show` has all of it".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_would_run_is_printed() {
        let view = serde_json::json!({
            "id": "00000000-0000-0000-0000-000000000001", "state": "pending",
            "session": "00000000-0000-0000-0000-000000000002", "principal": "p", "kind": "agent", "connection": "c",
            "statement": "s", "command": "c", "accesses": [], "digest": "d", "requirements": [], "asked": 0, "expires": 0,
            "ended": null, "reason": null, "verdicts": [], "may_decide": false, "may_break_glass": false,
            "parameters": ["1\n           $2 = 2"], "rows": [["a", "b"], ["c", "d"]],
            "parts": [{"name": "Body\u{1b}", "text": "x\ny\u{202e}"}], "unseen": ["u"], "notes": ["n"],
        });
        let view: ApprovalView = serde_json::from_value(view).unwrap();
        assert_eq!(
            besides(&view),
            "           $1 = 1\\n           $2 = 2\nruns       2 times, with these parameters\n\
             \x20          run 1 $1 = a\n           run 1 $2 = b\n           run 2 $1 = c\n           run 2 $2 = d\n\
             with       Body\\u{1b}:\n           x\n           y\\u{202e}\nNOT SHOWN  u\nnote       n\n"
        );
    }

    #[test]
    fn texts_of_callers_make_no_lines_and_steer_nothing() {
        assert_eq!(one_line("a\n  99 2026-01-01 fake\u{1b}[31m"), "a\\n  99 2026-01-01 fake\\u{1b}[31m");
        assert_eq!(plain("delete \u{202e}x\u{2066}\n\ty"), "delete \\u{202e}x\\u{2066}\n\ty");
    }
}
