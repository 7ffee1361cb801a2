//! Secrets: written, never read.
use super::{ApiState, administered, guard::json_body};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{NewSecret, SecretList, SecretView},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
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
#[utoipa::path(get, path = "/secrets", tag = "secrets",
    responses((status = 200, description = "all of them", body = SecretList), Problems))]
pub(super) async fn list(State(state): State<ApiState>, asker: Asker) -> Result<Json<SecretList>, Problem> {
    asker.may(Administration::ViewSecrets)?;
    Ok(Json(SecretList { secrets: state.secrets.list().await? }))
}

/// Keeps a secret, or replaces it. It never comes back out. New log-ins at upstreams take it at once.
#[utoipa::path(put, path = "/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "which")),
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
    administered(&state, &asker.who, None, format!("replace secret {}", shown(&name))).await?;
    // In a task of its own: a caller who hangs up must not leave a secret kept and not used.
    let by = asker.who.id();
    let task = tokio::spawn(async move { state.secrets.put(&name, value, &by).await });
    Ok(Json(task.await.map_err(|e| Problem::unavailable(&e))??))
}

/// Forgets a secret that no connection uses.
#[utoipa::path(delete, path = "/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "which")),
    responses((status = 204, description = "it is gone"), Problems))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    asker.may(Administration::EditSecrets)?;
    administered(&state, &asker.who, None, format!("delete secret {}", shown(&name))).await?;
    if state.secrets.forget(&name).await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("secret")) }
}

/// A name as it goes into the audit log: what is none is cut.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}
