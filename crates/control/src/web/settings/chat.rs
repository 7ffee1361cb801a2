//! Accounts of a chat that are one's own: said while signed in, and taken back.
use crate::{
    api::{ApiState, administered, now},
    problem::Problem,
    rights::Asker,
    web::page::{self, Answer},
};
use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    http::StatusCode,
};
use doorward_signin::Offered;
use doorward_ui::{ChatAccount, ChatOfferPage, Section};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Code {
    #[serde(default)]
    code: String,
}

fn gone() -> Problem {
    let why = "this link was used before, or is older than ten minutes: press the button in the chat again for another";
    Problem::new(StatusCode::GONE, why)
}

/// How an account is written down.
fn named(a: &Offered) -> String {
    format!("Slack account {}/{} ({})", a.team, a.user, a.name)
}

/// Asks whether the account that a link was given to is the visitor's. To look uses nothing up.
pub(crate) async fn offered(State(state): State<ApiState>, asker: Asker, Query(Code { code }): Query<Code>) -> Answer {
    let account = state.signin.offered_chat_account(&code, now()).ok_or_else(gone)?;
    page::ok(&ChatOfferPage {
        shell: page::shell(&state, &asker, Section::Settings, "Is this Slack account yours?").await?,
        account: ChatAccount { team: account.team, user: account.user, name: account.name.into(), since: now() },
        code,
    })
}

pub(crate) async fn link(
    State(state): State<ApiState>,
    asker: Asker,
    sent: Result<Form<Code>, FormRejection>,
) -> Answer {
    let Form(Code { code }) = sent.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let account = state.signin.take_chat_account(&code, now()).ok_or_else(gone)?;
    let taken = || {
        Problem::new(StatusCode::CONFLICT, "nothing was linked: that account is somebody's already, or you have ten")
    };
    let before = state.store.chat_account(&account.team, &account.user).await;
    if before.map_err(|e| Problem::unavailable(&e))?.is_some() {
        return Err(taken().into());
    }
    // In the log before anything comes of it.
    let name = named(&account);
    administered(&state, &asker.who, None, format!("link {name}")).await?;
    let linked = state.signin.link_chat_account(account, &asker.who, now()).await;
    if linked.map_err(|e| Problem::unavailable(&e))? {
        return Ok(page::see_other("/settings?done=linked#chat"));
    }
    administered(&state, &asker.who, None, format!("nothing was linked: {name}")).await?;
    Err(taken().into())
}

pub(crate) async fn unlink(
    State(state): State<ApiState>,
    asker: Asker,
    Path((team, user)): Path<(String, String)>,
) -> Answer {
    let own = state.signin.chat_accounts_of(&asker.who).await.map_err(|e| Problem::unavailable(&e))?;
    let found = own.into_iter().find(|a| a.team == team && a.user == user);
    let found = found.ok_or_else(|| Problem::not_found("account of yours"))?;
    let account = Offered { team, user, name: found.name };
    administered(&state, &asker.who, None, format!("unlink {}", named(&account))).await?;
    let done = state.signin.unlink_chat_account(&account.team, &account.user, &asker.who).await;
    done.map_err(|e| Problem::unavailable(&e))?;
    Ok(page::see_other("/settings?done=unlinked#chat"))
}
