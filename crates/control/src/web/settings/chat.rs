//! Accounts of a chat: taken back by who they are of, or by who administers. One becomes somebody's in the chat alone, by a code.
use crate::{
    api::{ApiState, chat as api},
    problem::Problem,
    rights::Asker,
    web::page::{self, Answer},
};
use axum::extract::{Path, State};

/// One of one's own.
pub(crate) async fn unlink(State(state): State<ApiState>, asker: Asker, Path(of): Path<(String, String)>) -> Answer {
    let own = state.signin.chat_accounts_of(&asker.who).await.map_err(|e| Problem::unavailable(&e))?;
    if !own.iter().any(|a| (&a.team, &a.user) == (&of.0, &of.1)) {
        return Err(Problem::not_found("account of yours").into());
    }
    api::removed(&state, &asker, of).await?;
    Ok(page::see_other("/settings?done=unlinked#chat"))
}

/// Anybody's.
pub(crate) async fn unlink_any(
    State(state): State<ApiState>,
    asker: Asker,
    Path(of): Path<(String, String)>,
) -> Answer {
    api::removed(&state, &asker, of).await?;
    Ok(page::see_other("/settings/keys?done=unlinked#chat"))
}
