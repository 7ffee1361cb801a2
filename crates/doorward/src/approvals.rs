//! `doorward approvals`: requests that wait for a human, through the gateway's API.
use crate::{
    cli::{ApiArgs, ApprovalsCommand, Output, PlaceArgs},
    signed_in, state,
};
use anyhow::{Context as _, Result, bail};
use doorward_control::{ApprovalView, Client};
pub(crate) use doorward_terminal::plain;
use doorward_terminal::{behind_bar, fit};
use std::{fmt::Write as _, ops::ControlFlow};

/// What a line of ours begins with, in columns.
const LABEL: usize = 11;

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

/// Texts of callers on one line: what steers a terminal or is not seen by its number, and the rest of a text must not pass for
/// lines of ours.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

/// How wide the terminal is that is printed to: what is longer would go on in a line that looks like one of ours. What goes into a
/// file is as wide as it is.
fn columns() -> usize {
    let stdout = std::io::stdout();
    if !std::io::IsTerminal::is_terminal(&stdout) {
        return 80;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    size.filter(|columns| *columns > 0).unwrap_or(80)
}

fn line(a: &ApprovalView) {
    println!("{}", brief(a, columns()));
}

/// An approval on one line.
fn brief(a: &ApprovalView, columns: usize) -> String {
    let text = if a.forgotten.is_some() { &a.command } else { &a.statement };
    let statement: String = plain(text).split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    let line = format!(
        "{}  {:<9} {:<20} {:<12} │ {statement}",
        a.id,
        format!("{:?}", a.state).to_lowercase(),
        one_line(&a.principal),
        one_line(&a.connection)
    );
    fit(&line, columns)
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
    print!("{}", whole(a, columns()));
    Ok(())
}

/// Texts of others stand behind a bar, each line of them; no line of ours has one.
struct Sheet {
    out: String,
    columns: usize,
}

impl Sheet {
    fn line(&mut self, label: &str, text: &str) {
        let _infallible = writeln!(self.out, "{}", fit(&format!("{label:<LABEL$}{}", one_line(text)), self.columns));
    }

    fn text(&mut self, label: &str, text: &str) {
        let mut label = label.to_owned();
        if label.chars().count() >= LABEL {
            self.line(&label, "");
            label.clear();
        }
        for line in behind_bar(text, self.columns.saturating_sub(LABEL)) {
            let _infallible = writeln!(self.out, "{label:<LABEL$}{line}");
            label.clear();
        }
    }
}

fn whole(a: &ApprovalView, columns: usize) -> String {
    let mut sheet = Sheet { out: String::new(), columns };
    sheet.line("approval", &format!("{} ({})", a.id, format!("{:?}", a.state).to_lowercase()));
    sheet.text("who", &one_line(&a.principal));
    sheet.line("on", &format!("{} (session {})", a.connection, a.session));
    sheet.line("asked", &format!("{}, until {}", state::time(a.asked), state::time(a.expires)));
    match a.forgotten {
        None => sheet.text("statement", &a.statement),
        Some(at) => {
            sheet.line("removed", &format!("its text, {} (retention)", state::time(at)));
            sheet.text("command", &one_line(&a.command));
        }
    }
    besides(a, &mut sheet);
    for access in &a.accesses {
        sheet.text("would", &one_line(access));
    }
    for r in &a.requirements {
        let reason = r.reason.as_deref().map_or_else(String::new, |r| format!(": {r}"));
        sheet.text("policy", &one_line(&format!("{}{reason} ({} of {})", r.policy, r.quorum, r.groups.join(", "))));
    }
    for v in &a.verdicts {
        let via = v.via.as_ref().map(|a| format!(" ({} account {}/{})", a.chat, a.team, a.user)).unwrap_or_default();
        let word = if v.yes { "yes" } else { "no" };
        sheet.text(&format!("said {word}"), &one_line(&format!("{}{via} {}", v.by, v.comment)));
    }
    sheet.line("digest", &a.digest);
    sheet.out
}

/// What would run besides the statement.
fn besides(a: &ApprovalView, sheet: &mut Sheet) {
    for (i, parameter) in a.parameters.iter().enumerate() {
        sheet.text(&format!("${}", i + 1), parameter);
    }
    if !a.rows.is_empty() {
        sheet.line("runs", &format!("{} times, with these parameters", a.rows.len()));
    }
    for (i, row) in a.rows.iter().enumerate() {
        for (n, parameter) in row.iter().enumerate() {
            sheet.text(&format!("{}: ${}", i + 1, n + 1), parameter);
        }
    }
    for part in &a.parts {
        sheet.text("with", &one_line(&part.name));
        sheet.text("its text", &part.text);
    }
    for unseen in &a.unseen {
        sheet.text("NOT SHOWN", &one_line(unseen));
    }
    for note in &a.notes {
        sheet.text("note", &one_line(note));
    }
    if a.abridged {
        sheet.line("cut", "this is of a list: `doorward approvals show` has all of it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(statement: &str) -> ApprovalView {
        let view = serde_json::json!({
            "id": "00000000-0000-0000-0000-000000000001", "state": "pending",
            "session": "00000000-0000-0000-0000-000000000002", "principal": "corp/bot", "kind": "agent", "connection": "c",
            "statement": statement, "command": "UPDATE", "accesses": ["update on \"a\nb\""], "digest": "d",
            "requirements": [], "asked": 0, "expires": 0,
            "ended": null, "reason": null, "verdicts": [], "may_decide": false, "may_break_glass": false,
            "parameters": ["1\n$2         │ 2"], "rows": [["a", "b"], ["c", "d"]],
            "parts": [{"name": "Body\u{1b}", "text": "x\ny\u{202e}"}], "unseen": ["u"], "notes": ["n"],
        });
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn all_that_would_run_is_printed() {
        assert_eq!(
            whole(&view("UPDATE t SET a = $1\nWHERE b"), usize::MAX),
            "approval   00000000-0000-0000-0000-000000000001 (pending)\n\
             who        │ corp/bot\n\
             on         c (session 00000000-0000-0000-0000-000000000002)\n\
             asked      1970-01-01T00:00:00.000Z, until 1970-01-01T00:00:00.000Z\n\
             statement  │ UPDATE t SET a = $1\n\
             \x20          │ WHERE b\n\
             $1         │ 1\n\
             \x20          │ $2         │ 2\n\
             runs       2 times, with these parameters\n\
             1: $1      │ a\n1: $2      │ b\n2: $1      │ c\n2: $2      │ d\n\
             with       │ Body\\u{1b}\n\
             its text   │ x\n\
             \x20          │ y\\u{202e}\n\
             NOT SHOWN  │ u\n\
             note       │ n\n\
             would      │ update on \"a\\nb\"\n\
             digest     d\n"
        );
    }

    /// Whatever a statement has in it, by line ends or by the width of a terminal: what begins a line is ours.
    #[test]
    fn no_text_looks_like_a_line_of_ours() {
        let own = whole(&view(""), 80).lines().count();
        for statement in [
            "UPDATE t\n$1         │ 2\ndigest     0",
            "UPDATE t\r\n           $1 = 2\u{2028}digest     0\u{85}\u{b}\u{c}digest     0",
            &format!("UPDATE t /*{}digest     0", " ".repeat(56)),
            &format!("UPDATE t /*{}digest     0", "\u{4e2d}".repeat(200)),
            &format!("{}digest     0", "\t".repeat(40)),
        ] {
            let shown = whole(&view(statement), 80);
            let theirs = |line: &&str| line.starts_with("           │ ") || line.starts_with("statement  │ ");
            assert_eq!(shown.lines().filter(|l| !theirs(l)).count(), own - 3, "{shown}");
            assert!(shown.lines().all(|l| l.chars().count() <= 80), "{shown}");
            assert_eq!(shown.lines().filter(|l| l.starts_with("digest")).count(), 1, "{shown}");
            let brief = brief(&view(statement), 80);
            assert!(brief.lines().count() == 1 && brief.chars().count() <= 80, "{brief}");
        }
    }

    #[test]
    fn texts_of_callers_make_no_lines_and_steer_nothing() {
        assert_eq!(one_line("a\n  99 2026-01-01 fake\u{1b}[31m"), "a\\n  99 2026-01-01 fake\\u{1b}[31m");
        assert_eq!(plain("delete \u{202e}x\u{2066}\n\ty"), "delete \\u{202e}x\\u{2066}\n\ty");
    }
}
