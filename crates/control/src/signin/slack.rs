//! Buttons in Slack: an account of a chat says yes or no, for the principal who said that it is theirs.
//!
//! What Slack sends is believed as far as this: that account pressed that button. Whose the account is, was said by that person while
//! signed in (`/settings/chat`); whether they may, is asked of the policies and the desk, as on the page, with the groups of their
//! latest sign-in, and not at all once that is over.
use crate::{
    api::{ApiState, approvals, now},
    problem::Problem,
    rights::Asker,
    serve::Peer,
};
use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use doorward_notify::{MOST_PRESSED, NotPressed, Pressed, Verdict};
use doorward_signin::{Caller, Offered, Speaker};
use doorward_store::ApprovalState;

pub(super) fn routes() -> Router<ApiState> {
    Router::new().route("/auth/slack/{name}", post(pressed).layer(DefaultBodyLimit::max(MOST_PRESSED)))
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
    let header = |name: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|v| v.to_str().ok()).unwrap_or_default()
    };
    let read = buttons.read(header("x-slack-request-timestamp"), header("x-slack-signature"), &body, now());
    let pressed = match read {
        Ok(pressed) => pressed,
        Err(why) => {
            state.failures.note("slack", &why.to_string());
            return Err(Problem::new(status(why), why.to_string()));
        }
    };
    let (id, yes) = match pressed.verdict {
        Verdict::Approve(id) => (id, true),
        Verdict::Deny(id) => (id, false),
        Verdict::Nothing => return Ok(StatusCode::OK.into_response()),
    };
    let speaker = state.signin.chat_speaker(&pressed.user.team, &pressed.user.id, now()).await;
    let said = match speaker.map_err(|e| Problem::unavailable(&e))? {
        Speaker::Unknown => Said::Whisper(introduction(&state, &pressed)),
        Speaker::SignedOut => Said::Whisper(format!(
            "Nothing was decided: sign in first, and press again. {}",
            state.signin.settings().url(&format!("/approvals/{id}"))
        )),
        Speaker::Known(caller) => decided(&state, *caller, from, &id.to_string(), yes).await,
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

/// For an account that is nobody's yet: a link for its eyes alone.
fn introduction(state: &ApiState, pressed: &Pressed) -> String {
    let user = &pressed.user;
    let account = Offered { team: user.team.clone(), user: user.id.clone(), name: user.name.clone() };
    let code = state.signin.offer_chat_account(account, now());
    let link = state.signin.settings().url(&format!("/settings/chat?code={}", code.expose()));
    format!(
        "Nothing was decided: Doorward does not know whose Slack account this is. If it is yours, open this link within ten minutes, sign \
         in, and say so; then press the button again. Give the link to nobody: {link}"
    )
}

async fn decided(state: &ApiState, caller: Caller, from: Peer, id: &str, yes: bool) -> Said {
    let asker = Asker::speaking(state, caller, from);
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
