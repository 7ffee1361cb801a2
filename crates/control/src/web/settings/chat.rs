//! Accounts of a chat that are one's own: listed, and taken back. One becomes somebody's in the chat alone, by a code.
use crate::{
    api::{ApiState, administered},
    problem::Problem,
    rights::Asker,
    signin::named,
    web::page::{self, Answer},
};
use axum::extract::{Path, State};
use doorward_signin::ChatUser;

pub(crate) async fn unlink(
    State(state): State<ApiState>,
    asker: Asker,
    Path((team, user)): Path<(String, String)>,
) -> Answer {
    let own = state.signin.chat_accounts_of(&asker.who).await.map_err(|e| Problem::unavailable(&e))?;
    let found = own.into_iter().find(|a| a.team == team && a.user == user);
    let found = found.ok_or_else(|| Problem::not_found("account of yours"))?;
    let account = ChatUser { team, user, name: found.name };
    administered(&state, &asker.who, None, format!("unlink {}", named(&account))).await?;
    let done = state.signin.unlink_chat_account(&account.team, &account.user, &asker.who).await;
    done.map_err(|e| Problem::unavailable(&e))?;
    Ok(page::see_other("/settings?done=unlinked#chat"))
}
