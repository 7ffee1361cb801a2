//! Accounts of a chat, and whose they are: seen and removed. One becomes somebody's in the chat alone.
use super::{
    ApiState, administered,
    page::{Page, query},
};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    signin::named,
    types::{ChatAccountList, ChatAccountView, PageQuery},
};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use doorward_model::{Administration, Principal};
use doorward_signin::ChatUser;
use doorward_store::ChatAccount;
use std::sync::Arc;

/// Everybody's accounts of a chat, by workspace and account.
#[utoipa::path(get, path = "/chat-accounts", tag = "keys", params(PageQuery),
    responses((status = 200, description = "a page of them", body = ChatAccountList), Problems))]
pub(super) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<ChatAccountList>, Problem> {
    asker.may(Administration::ViewKeys)?;
    let asked = query(asked)?;
    listed(&state, &asker, asked.cursor.as_deref(), asked.limit).await.map(Json)
}

pub(crate) async fn listed(
    state: &ApiState,
    asker: &Asker,
    cursor: Option<&str>,
    limit: Option<u32>,
) -> Result<ChatAccountList, Problem> {
    asker.may(Administration::ViewKeys)?;
    let page = Page::<(String, String)>::of("chat-accounts", cursor, limit)?;
    let fetch = |behind: Option<(String, String)>, most| {
        let store = &state.store;
        async move { store.chat_accounts(behind.as_ref(), most).await.map_err(|e| Problem::unavailable(&e)) }
    };
    let key = |a: &ChatAccount| (a.team.clone(), a.user.clone());
    let (accounts, next) = page.fill(fetch, key, |a| Some(ChatAccountView::from(a))).await?;
    Ok(ChatAccountList { accounts, next })
}

/// Removes an account of a chat from whose it is: one's own, or anybody's (`edit_keys`). Its buttons decide nothing any more.
#[utoipa::path(delete, path = "/chat-accounts/{team}/{user}", tag = "keys",
    params(("team" = String, Path, description = "of which workspace"), ("user" = String, Path, description = "which")),
    responses((status = 204, description = "it is nobody's"), Problems))]
pub(super) async fn remove(
    State(state): State<ApiState>,
    asker: Asker,
    Path(of): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    removed(&state, &asker, of).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn removed(state: &ApiState, asker: &Asker, (team, user): (String, String)) -> Result<(), Problem> {
    let found = state.store.chat_account(&team, &user).await.map_err(|e| Problem::unavailable(&e))?;
    // A limited key is no master of what is its owner's otherwise.
    let is_own = |a: &ChatAccount| asker.is_whole() && is_of(a, &asker.who);
    let account = match found {
        Some(account) if is_own(&account) => account,
        // Who may not look is told the same of all.
        found => {
            asker.may(Administration::EditKeys)?;
            found.ok_or_else(|| Problem::not_found("account"))?
        }
    };
    let owner = (account.issuer.clone(), account.subject.clone());
    let whose = if is_own(&account) { String::new() } else { format!(" of {}/{}", owner.0, owner.1) };
    let name = named(&ChatUser { team, user, name: account.name });
    // In a task of its own: a caller who hangs up must not leave an audited removal undone.
    let (state, who) = (state.clone(), Arc::clone(&asker.who));
    let task = tokio::spawn(async move {
        administered(&state, &who, None, format!("unlink {name}{whose}")).await?;
        let done = state.store.chat_account_unlinked(&account.team, &account.user, &owner.0, &owner.1).await;
        done.map_err(|e| Problem::unavailable(&e))
    });
    let gone = task.await.map_err(|e| Problem::unavailable(&e))??;
    if gone { Ok(()) } else { Err(Problem::not_found("account")) }
}

fn is_of(account: &ChatAccount, who: &Principal) -> bool {
    account.issuer == who.issuer && account.subject == who.subject
}
