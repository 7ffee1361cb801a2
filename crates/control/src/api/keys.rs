//! API keys: made, listed, revoked.
use super::{
    ApiState, administered,
    condition::{if_match, tag, tagged},
    guard::json_body,
    now,
    page::{Page, query},
};
use crate::{
    problem::{Problem, Problems},
    rights::{Asker, Need},
    types::{ApiKeyList, ApiKeyMade, ApiKeyView, KeyOwner, KeysQuery, NewApiKey},
};
use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use doorward_model::{Administration, Principal, Secret};
use doorward_signin::{KeyError, NewKey};
use doorward_store::ApiKey;
use std::{sync::Arc, time::Duration};

impl From<KeyError> for Problem {
    fn from(e: KeyError) -> Self {
        match e {
            KeyError::ByKey => Self::forbidden(e.to_string()),
            KeyError::Asked(_) => Self::new(StatusCode::BAD_REQUEST, e.to_string()),
            KeyError::TooMany => Self::new(StatusCode::CONFLICT, e.to_string()),
            KeyError::Store(why) => Self::unavailable(&why),
        }
    }
}

/// What a key's tag is of: its last use is no change.
fn key_tag(k: &ApiKey) -> String {
    tag(&(&k.id, k.revoked))
}

fn is_own(asker: &Asker, key: &ApiKey) -> bool {
    // A limited key is no master of its owner's other keys.
    asker.is_whole() && asker.who.is_same_caller(&key.principal)
}

/// The key, for whom it is their business.
async fn find(state: &ApiState, asker: &Asker, id: &str) -> Result<ApiKey, Problem> {
    let found = state.signin.key_of_id(id).await.map_err(|e| Problem::unavailable(&e))?;
    let theirs = found.filter(|k| is_own(asker, k) || asker.may(Administration::ViewKeys).is_ok());
    theirs.ok_or_else(|| Problem::not_found("key"))
}

/// API keys, newest first: the caller's own, or with `owner=all` everybody's. Their secrets are nowhere.
#[utoipa::path(get, path = "/keys", tag = "keys", params(KeysQuery),
    responses((status = 200, description = "a page of them", body = ApiKeyList), Problems))]
pub(super) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<KeysQuery>, QueryRejection>,
) -> Result<Json<ApiKeyList>, Problem> {
    listed(&state, &asker, &query(asked)?).await.map(Json)
}

pub(crate) async fn listed(state: &ApiState, asker: &Asker, asked: &KeysQuery) -> Result<ApiKeyList, Problem> {
    let page = Page::<String>::of("keys", asked.cursor.as_deref(), asked.limit)?;
    let owner: Option<&Principal> = match asked.owner.unwrap_or_default() {
        KeyOwner::All => asker.may(Administration::ViewKeys).map(|()| None)?,
        KeyOwner::Mine if asker.is_whole() => Some(&asker.who),
        KeyOwner::Mine => return Err(Problem::forbidden("it is not in the scope of your API key".to_owned())),
    };
    let fetch = |before: Option<String>, most| {
        let signin = &state.signin;
        async move { signin.keys(owner, before.as_deref(), most).await.map_err(|e| Problem::unavailable(&e)) }
    };
    let (keys, next) = page.fill(fetch, |k| k.id.clone(), |k| Some(k.into())).await?;
    Ok(ApiKeyList { keys, next })
}

/// Makes a key that acts as the caller within its scope, with the groups that the caller has now. Its secret is in the
/// answer, and never shown again. Not with a key: a key makes no keys.
#[utoipa::path(post, path = "/keys", tag = "keys", request_body = NewApiKey,
    responses((status = 201, description = "the key, with its secret", body = ApiKeyMade,
        headers(("location" = String, description = "where the key is"))), Problems))]
pub(super) async fn create(
    State(state): State<ApiState>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    asker.may(Administration::CreateKeys)?;
    asker.needs(Need::Same(Box::new((*asker.who).clone())));
    let (secret, key) = made(&state, &asker, json_body(&headers, body)?).await?;
    let place = format!("{}/keys/{}", super::BASE, key.id);
    let etag = HeaderValue::from_str(&key_tag(&key)).map_err(|e| Problem::unavailable(&e))?;
    let made = ApiKeyMade { secret: secret.expose().clone(), key: key.into() };
    let place = HeaderValue::from_str(&place).map_err(|e| Problem::unavailable(&e))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place), (header::ETAG, etag)], Json(made)).into_response())
}

/// Makes a key for somebody who may; its secret is nowhere else.
pub(crate) async fn made(
    state: &ApiState,
    asker: &Asker,
    asked: NewApiKey,
) -> Result<(Secret<String>, ApiKey), Problem> {
    asker.may(Administration::CreateKeys)?;
    let ttl = asked.ttl_seconds.map(Duration::from_secs);
    let new = NewKey { name: asked.name, scope: asked.scope.into(), ttl };
    // In a task of its own: a caller who hangs up must not leave a key that nobody wrote down.
    let (whole, who, shown) = (state.clone(), Arc::clone(&asker.who), asker.shown().clone());
    let task = tokio::spawn(async move {
        let (secret, key) = whole.signin.make_key(&shown, new, now()).await?;
        let what = format!("make API key {}: {}", key.id, key.name);
        if let Err(problem) = administered(&whole, &who, None, what).await {
            // What is not written down is good for nothing.
            let revoked = whole.signin.revoke_key(&key.id, now()).await;
            revoked.map_err(|e| Problem::unavailable(&e))?;
            return Err(problem);
        }
        Ok::<_, Problem>((secret, key))
    });
    task.await.map_err(|e| Problem::unavailable(&e))?
}

/// One key.
#[utoipa::path(get, path = "/keys/{id}", tag = "keys", params(("id" = String, Path, description = "which")),
    responses((status = 200, description = "the key", body = ApiKeyView,
        headers(("etag" = String, description = "its state"))), (status = 304, description = "it is as it was"), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = find(&state, &asker, &id).await?;
    Ok(tagged(&headers, &key_tag(&key), &ApiKeyView::from(key)))
}

/// Revokes a key, for good. What is open by it ends.
#[utoipa::path(delete, path = "/keys/{id}", tag = "keys", params(("id" = String, Path, description = "which"),
        ("if-match" = Option<String>, Header, description = "only if the key is in this state")),
    responses((status = 204, description = "it is good no more"), Problems))]
pub(super) async fn revoke(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    revoked(&state, &asker, &id, &headers).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a key that is somebody's own, or that they may end.
pub(crate) async fn revoked(state: &ApiState, asker: &Asker, id: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let turn = state.records.change().await;
    let key = find(state, asker, id).await?;
    if !is_own(asker, &key) {
        asker.may(Administration::EditKeys)?;
    }
    if_match(headers, Some(&key_tag(&key)))?;
    if key.revoked.is_some() {
        return Err(Problem::new(StatusCode::CONFLICT, "the key was revoked before"));
    }
    // In a task of its own: a caller who hangs up must not leave an audited revocation undone.
    let (state, who) = (state.clone(), Arc::clone(&asker.who));
    let task = tokio::spawn(async move {
        let _turn = turn;
        let what = format!("revoke API key {} of {}", key.id, key.principal.id());
        administered(&state, &who, None, what).await?;
        state.signin.revoke_key(&key.id, now()).await.map_err(|e| Problem::unavailable(&e))
    });
    let revoked = task.await.map_err(|e| Problem::unavailable(&e))??;
    if revoked { Ok(()) } else { Err(Problem::not_found("key")) }
}
