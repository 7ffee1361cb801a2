//! Buttons in Slack: an account of a chat says yes or no, for the principal who said that it is theirs.
//!
//! What Slack sends is believed as far as this: that account pressed that button, or typed that. Whose the account is, was said by that
//! account, with a code that the person was given while signed in (`/settings`). No link does: whoever opens one makes nothing theirs,
//! and gives nothing away. Whether they may, is asked of the policies and the desk, as on the page, with the groups of their
//! latest sign-in, and not at all once that is over.
use crate::{
    api::{ApiState, administered, approvals, now},
    problem::Problem,
    rights::Asker,
    serve::Peer,
};
use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use doorward_model::{ChatAccountId, Principal};
use doorward_notify::{Command, MOST_PRESSED, NotPressed, SlackButtons, SlackUser, Verdict};
use doorward_signin::{ChatUser, Claimed, Speaker};
use doorward_store::ApprovalState;

/// The longest body of a command.
const MOST_TYPED: usize = 16 << 10;

pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/auth/slack/{name}", post(pressed).layer(DefaultBodyLimit::max(MOST_PRESSED)))
        .route("/auth/slack/{name}/command", post(typed).layer(DefaultBodyLimit::max(MOST_TYPED)))
}

/// What is to be said of it, in Slack.
enum Said {
    /// To who pressed alone.
    Whisper(String),
    /// Under the message; whether the approval is over by that.
    Outcome(String, bool),
}

async fn pressed(
    State(state): State<ApiState>,
    Extension(from): Extension<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let buttons = state.slack.get(&name).ok_or_else(|| Problem::not_found("app"))?;
    let [at, signature] = signature(&headers);
    let read = buttons.read(at, signature, &body, now());
    let pressed = read.map_err(|why| nothing(&state, why))?;
    let (id, yes) = match pressed.verdict {
        Verdict::Approve(id) => (id, true),
        Verdict::Deny(id) => (id, false),
        Verdict::Nothing => return Ok(StatusCode::OK.into_response()),
    };
    let speaker = state.signin.chat_speaker(&pressed.user.team, &pressed.user.id, now()).await;
    let said = match speaker.map_err(|e| Problem::unavailable(&e))? {
        Speaker::Unknown => Said::Whisper(introduction(&state)),
        Speaker::SignedOut => Said::Whisper(format!(
            "Nothing was decided: sign in first, and press again. {}",
            state.signin.settings().url(&format!("/approvals/{id}"))
        )),
        Speaker::Known(caller) => {
            let SlackUser { team, id: user, .. } = pressed.user.clone();
            let via = ChatAccountId { chat: "slack".into(), team, user };
            decided(&state, Asker::speaking(&state, *caller, from, via), &id.to_string(), yes).await
        }
    };
    // Slack waits three seconds for the answer to this; that to its message may take longer.
    tokio::spawn(async move {
        let Some(buttons) = state.slack.get(&name) else { return };
        let sent = match &said {
            Said::Whisper(text) => buttons.whisper(&pressed, text).await,
            Said::Outcome(text, over) => buttons.update(&pressed, text, *over).await,
        };
        if let Err(why) = sent {
            tracing::warn!(%name, %why, "what came of a button is not shown in Slack");
        }
    });
    Ok(StatusCode::OK.into_response())
}

const fn status(why: NotPressed) -> StatusCode {
    match why {
        NotPressed::Forged | NotPressed::Stale | NotPressed::Repeated => StatusCode::UNAUTHORIZED,
        NotPressed::OtherTeam => StatusCode::FORBIDDEN,
        NotPressed::Malformed(_) => StatusCode::BAD_REQUEST,
        NotPressed::Busy => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// What Slack signed with: nothing where a header is missing, or there twice.
fn signature(headers: &HeaderMap) -> [&str; 2] {
    ["x-slack-request-timestamp", "x-slack-signature"].map(|name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|v| v.to_str().ok()).unwrap_or_default()
    })
}

/// What came counts as nothing, and the log says why.
fn nothing(state: &ApiState, why: NotPressed) -> Problem {
    state.failures.note("slack", &why.to_string());
    Problem::new(status(why), why.to_string())
}

/// For an account that is nobody's yet. It holds nothing that proves anything: the page gives a code to who is signed in.
fn introduction(state: &ApiState) -> String {
    let page = state.signin.settings().url("/settings");
    format!(
        "Nothing was decided: Doorward does not know whose Slack account this is. If you are one of those who decide, sign in at {page}, \
         ask there for a code for Slack, and type it here yourself, with the app's command; then press the button again."
    )
}

/// The app's command: `link` and a code.
async fn typed(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let buttons = state.slack.get(&name).ok_or_else(|| Problem::not_found("app"))?;
    let [at, signature] = signature(&headers);
    let Command { user, text } = buttons.command(at, signature, &body, now()).map_err(|why| nothing(&state, why))?;
    let said = match text.split_once(char::is_whitespace) {
        Some(("link", code)) => {
            // In a task of its own: Slack waits three seconds, and what is in the log has to be done.
            let (state, code) = (state.clone(), code.trim().to_owned());
            let task = tokio::spawn(async move { claimed(&state, user, &code).await });
            task.await.map_err(|e| Problem::unavailable(&e))??
        }
        Some(_) | None => USAGE.to_owned(),
    };
    Ok(Json(SlackButtons::only_for_them(&said)).into_response())
}

/// What a command is told that is none.
const USAGE: &str =
    "Type `link` and the code that Doorward shows you under Settings, You: it makes this Slack account yours there.";

/// What comes of a code that an account has typed, in words for it alone.
async fn claimed(state: &ApiState, user: SlackUser, code: &str) -> Result<String, Problem> {
    let account = ChatUser { team: user.team, user: user.id, name: user.name };
    let claimed = state.signin.claim_chat_account(code, &account, now()).await;
    let told = |text: &str| Ok(text.to_owned());
    match claimed.map_err(|e| Problem::unavailable(&e))? {
        Claimed::By(who) => linked(state, account, &who).await,
        Claimed::Before => told(
            "Nothing was linked: this Slack account is somebody's already. Who has it removes it under Settings, You; an administrator \
             removes it, too.",
        ),
        Claimed::Wrong => {
            state.failures.note("slack", "a code that was typed in Slack is wrong, used or old");
            told(
                "Nothing was linked: this is no code that is good. Each is good once, and for ten minutes: ask for another.",
            )
        }
        Claimed::TooOften => {
            state.failures.note("slack", "too many wrong codes were typed in Slack");
            told("Nothing was linked: too many wrong codes came. Try again in ten minutes, with another code.")
        }
        Claimed::SignedOut => {
            told("Nothing was linked: who the code was given to has signed out. Sign in, and ask for another.")
        }
    }
}

/// How an account is written down.
pub(crate) fn named(a: &ChatUser) -> String {
    format!("Slack account {}/{} ({})", a.team, a.user, a.name)
}

async fn linked(state: &ApiState, account: ChatUser, who: &Principal) -> Result<String, Problem> {
    let name = named(&account);
    // In the log before anything comes of it.
    administered(state, who, None, format!("link {name}, by a code that was typed there")).await?;
    let linked = state.signin.link_chat_account(account, who, now()).await;
    if linked.map_err(|e| Problem::unavailable(&e))? {
        let id = who.id();
        return Ok(format!(
            "This Slack account is {id}'s from now on: its buttons decide in that name, while {id} is signed in."
        ));
    }
    administered(state, who, None, format!("nothing was linked: {name}")).await?;
    Ok("Nothing was linked: you have ten accounts, or this one is somebody's already.".to_owned())
}

async fn decided(state: &ApiState, asker: Asker, id: &str, yes: bool) -> Said {
    let who = asker.who.id();
    match approvals::decide(state, &asker, id, yes, "by a button in Slack").await {
        Ok(after) => {
            let verb = if yes { "Approved" } else { "Denied" };
            match after.0.state {
                ApprovalState::Pending => Said::Outcome(format!("{verb} by {who}; it waits for more people."), false),
                ApprovalState::Approved | ApprovalState::Denied | ApprovalState::Expired | ApprovalState::Withdrawn => {
                    Said::Outcome(format!("{verb} by {who}."), true)
                }
            }
        }
        Err(problem) => Said::Whisper(format!("Nothing was decided, as {who}: {}.", problem.detail())),
    }
}
