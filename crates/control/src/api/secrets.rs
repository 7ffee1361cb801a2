//! Secrets: written, never read.
use super::{
    ApiState, administered,
    condition::{if_match, if_none, tag, tagged},
    guard::json_body,
    page::{Page, query},
};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{NewSecret, PageQuery, RewrapView, SecretList, SecretView},
};
use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
};
use doorward_model::{Administration, Secret};

/// Why a secret was not kept or forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFailure {
    /// The name or the secret is not one.
    #[error("{0}")]
    Wrong(String),
    /// A connection uses it.
    #[error("connection `{0}` uses it")]
    InUse(String),
    /// The store or its key fails.
    #[error("{0}")]
    Unavailable(String),
}

/// Keeps secrets.
#[async_trait::async_trait]
pub trait SecretAccess: Send + Sync {
    /// What there is, by name.
    ///
    /// # Errors
    /// [`SecretFailure`].
    async fn list(&self) -> Result<Vec<SecretView>, SecretFailure>;
    /// Keeps a secret in place of the one before; it is used from then on.
    ///
    /// # Errors
    /// [`SecretFailure`].
    async fn put(&self, name: &str, value: Secret<String>, by: &str) -> Result<SecretView, SecretFailure>;
    /// Forgets one that nothing uses. False if there was none.
    ///
    /// # Errors
    /// [`SecretFailure`].
    async fn forget(&self, name: &str) -> Result<bool, SecretFailure>;
    /// Takes the key that the configuration names now, and wraps all by it. Nothing is changed where one cannot be opened
    /// with the keys that the configuration names.
    ///
    /// # Errors
    /// [`SecretFailure`].
    async fn rewrap(&self) -> Result<RewrapView, SecretFailure>;
}

impl From<SecretFailure> for Problem {
    fn from(e: SecretFailure) -> Self {
        match e {
            SecretFailure::Wrong(why) => Self::new(StatusCode::BAD_REQUEST, why),
            SecretFailure::InUse(_) => Self::new(StatusCode::CONFLICT, e.to_string()),
            SecretFailure::Unavailable(why) => Self::unavailable(&why),
        }
    }
}

/// Which secrets there are, and what uses them.
#[utoipa::path(get, path = "/secrets", tag = "secrets", params(PageQuery),
    responses((status = 200, description = "a page of them", body = SecretList), Problems))]
pub(super) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<SecretList>, Problem> {
    asker.may(Administration::ViewSecrets)?;
    let asked = query(asked)?;
    let page = Page::<String>::of("secrets", asked.cursor.as_deref(), asked.limit)?;
    let (secrets, next) = page.cut(state.secrets.list().await?, |s| s.name.clone());
    Ok(Json(SecretList { secrets, next }))
}

async fn find(state: &ApiState, name: &str) -> Result<Option<SecretView>, Problem> {
    Ok(state.secrets.list().await?.into_iter().find(|s| s.name == name))
}

/// What a secret's tag is of: what uses it is no change of it.
fn secret_tag(s: &SecretView) -> String {
    tag(&(&s.name, s.version, s.updated))
}

/// What is known of a secret: not what it is.
#[utoipa::path(get, path = "/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "which")),
    responses((status = 200, description = "what is known of it", body = SecretView,
        headers(("etag" = String, description = "its state"))), (status = 304, description = "it is as it was"), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    asker.may(Administration::ViewSecrets)?;
    let found = find(&state, &name).await?.ok_or_else(|| Problem::not_found("secret"))?;
    Ok(tagged(&headers, &secret_tag(&found), &found))
}

/// Keeps a secret, or replaces it. It never comes back out. New log-ins at upstreams take it at once.
#[utoipa::path(put, path = "/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "which"),
        ("if-match" = Option<String>, Header, description = "only if it is in this state"),
        ("if-none-match" = Option<String>, Header, description = "`*`: only if there is none yet")),
    request_body = NewSecret, responses((status = 200, description = "it is kept", body = SecretView), Problems))]
pub(super) async fn put(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SecretView>, Problem> {
    asker.may(Administration::EditSecrets)?;
    let new: NewSecret = json_body(&headers, body)?;
    let value = Secret::new(new.value);
    let turn = state.records.change().await;
    let known = find(&state, &name).await?.as_ref().map(secret_tag);
    if_match(&headers, known.as_deref())?;
    if_none(&headers, known.as_deref())?;
    administered(&state, &asker.who, None, format!("replace secret {}", shown(&name))).await?;
    // In a task of its own: a caller who hangs up must not leave a secret kept and not used.
    let by = asker.who.id();
    let task = tokio::spawn(async move {
        let _turn = turn;
        state.secrets.put(&name, value, &by).await
    });
    Ok(Json(task.await.map_err(|e| Problem::unavailable(&e))??))
}

/// Forgets a secret that no connection uses.
#[utoipa::path(delete, path = "/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "which"),
        ("if-match" = Option<String>, Header, description = "only if it is in this state")),
    responses((status = 204, description = "it is gone"), Problems))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    asker.may(Administration::EditSecrets)?;
    let _turn = state.records.change().await;
    let known = find(&state, &name).await?.as_ref().map(secret_tag);
    if_match(&headers, known.as_deref())?;
    administered(&state, &asker.who, None, format!("delete secret {}", shown(&name))).await?;
    if state.secrets.forget(&name).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("secret")) }
}

/// Has the key take over that the configuration names now: reads it anew, and wraps all secrets by it. What was
/// wrapped by another one has to open with `old_keys`. Log-ins go on meanwhile; what is interrupted is done by asking again.
#[utoipa::path(post, path = "/secret-rewraps", tag = "secrets",
    responses((status = 200, description = "all are under the new key", body = RewrapView), Problems))]
pub(super) async fn rewrap(State(state): State<ApiState>, asker: Asker) -> Result<Json<RewrapView>, Problem> {
    asker.may(Administration::EditSecrets)?;
    let turn = state.records.change().await;
    administered(&state, &asker.who, None, "wrap all secrets by the key of the configuration".to_owned()).await?;
    let task = tokio::spawn(async move {
        let _turn = turn;
        state.secrets.rewrap().await
    });
    Ok(Json(task.await.map_err(|e| Problem::unavailable(&e))??))
}

/// A name as it goes into the audit log: what is none is cut.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}
