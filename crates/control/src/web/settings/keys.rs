//! Everybody's API keys.
use super::{key, tabs};
use crate::{
    api::{ApiState, keys as api, now},
    rights::Asker,
    types::{KeyOwner, KeysQuery},
    web::page::{self, Answer},
};
use axum::{
    extract::{Path, Query, State},
    http::HeaderMap,
};
use doorward_model::Administration;
use doorward_ui::{KeysPage, Notice, Section, SettingsTab};
use serde::Deserialize;

/// Keys on a page.
const KEYS: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    cursor: Option<String>,
    done: String,
}

pub(crate) async fn everybodys(State(state): State<ApiState>, asker: Asker, Query(asked): Query<Asked>) -> Answer {
    let wanted = KeysQuery { owner: Some(KeyOwner::All), cursor: asked.cursor, limit: Some(KEYS) };
    let found = api::listed(&state, &asker, &wanted).await?;
    let revoked = (asked.done == "revoked").then(|| Notice { bad: false, text: "The key was revoked.".into() });
    page::ok(&KeysPage {
        shell: page::shell(&state, &asker, Section::Settings, "API keys").await?,
        tabs: tabs(&asker, SettingsTab::Keys),
        notice: revoked,
        keys: found.keys.into_iter().map(|k| key(k, now())).collect(),
        older: found.next,
        may_edit: asker.may(Administration::EditKeys).is_ok(),
    })
}

pub(crate) async fn revoke(State(state): State<ApiState>, asker: Asker, Path(id): Path<String>) -> Answer {
    api::revoked(&state, &asker, &id, &HeaderMap::new()).await?;
    Ok(page::see_other("/settings/keys?done=revoked"))
}
