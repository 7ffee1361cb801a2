//! Everybody's API keys.
use super::{key, tabs};
use crate::{
    api::{ApiState, chat, keys as api, now},
    rights::Asker,
    types::{ChatAccountView, KeyOwner, KeysQuery},
    web::page::{self, Answer},
};
use axum::{
    extract::{Path, Query, State},
    http::HeaderMap,
};
use doorward_model::Administration;
use doorward_ui::{ChatAccount, Inert, KeysPage, Notice, Section, SettingsTab};
use serde::Deserialize;

/// Keys on a page.
const KEYS: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    cursor: Option<String>,
    accounts: Option<String>,
    done: String,
}

pub(crate) async fn everybodys(State(state): State<ApiState>, asker: Asker, Query(asked): Query<Asked>) -> Answer {
    let wanted = KeysQuery { owner: Some(KeyOwner::All), cursor: asked.cursor, limit: Some(KEYS) };
    let found = api::listed(&state, &asker, &wanted).await?;
    let chat = chat::listed(&state, &asker, asked.accounts.as_deref(), Some(KEYS)).await?;
    let text = match asked.done.as_str() {
        "revoked" => "The key was revoked.",
        "unlinked" => "The Slack account is nobody's any more.",
        _ => "",
    };
    let done = (!text.is_empty()).then(|| Notice { bad: false, text: text.into() });
    page::ok(&KeysPage {
        shell: page::shell(&state, &asker, Section::Settings, "API keys").await?,
        tabs: tabs(&asker, SettingsTab::Keys),
        notice: done,
        keys: found.keys.into_iter().map(|k| key(k, now())).collect(),
        older: found.next,
        chat: chat.accounts.into_iter().map(account).collect(),
        more_chat: chat.next,
        may_edit: asker.may(Administration::EditKeys).is_ok(),
    })
}

fn account(a: ChatAccountView) -> (ChatAccount, Inert) {
    (ChatAccount { team: a.team, user: a.user, name: a.name.into(), since: a.since }, a.principal.into())
}

pub(crate) async fn revoke(State(state): State<ApiState>, asker: Asker, Path(id): Path<String>) -> Answer {
    api::revoked(&state, &asker, &id, &HeaderMap::new()).await?;
    Ok(page::see_other("/settings/keys?done=revoked"))
}
