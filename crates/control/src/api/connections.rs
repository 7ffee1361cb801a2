//! Connections: listed, registered, changed, tried and removed while the gateway runs.
use super::{
    ApiState, administered,
    condition::{if_match, tag, tagged},
    guard::json_body,
};
use crate::{
    problem::{Problem, Problems},
    rights::{Asker, KnownConnection},
    types::{
        ClassificationView, ConnectionList, ConnectionSource, ConnectionSpec, ConnectionTest, ConnectionView,
        NewConnection, NewConnectionTest,
    },
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use doorward_enforce::{Refusal, Subject};
use doorward_model::{Administration, Secret};
use doorward_sql_session::explained::Explained;

/// Why a connection was not registered, changed, removed or tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionFailure {
    /// It is not one.
    #[error("{0}")]
    Wrong(String),
    /// There is one of that name, or something else listens there.
    #[error("{0}")]
    Taken(String),
    /// The configuration file defines it.
    #[error("`{0}` is defined in the configuration file: change it there")]
    ReadOnly(String),
    /// It was changed since it was read.
    #[error("`{0}` was changed since you read it: read it again")]
    Changed(String),
    /// There is none.
    #[error("there is no such connection")]
    Missing,
    /// Its upstream cannot be asked now.
    #[error("{0}")]
    Unusable(String),
    /// The store, the audit log or the system fails.
    #[error("{0}")]
    Unavailable(String),
}

impl From<ConnectionFailure> for Problem {
    fn from(e: ConnectionFailure) -> Self {
        match e {
            ConnectionFailure::Wrong(why) => Self::new(StatusCode::BAD_REQUEST, why),
            ConnectionFailure::Taken(_) | ConnectionFailure::ReadOnly(_) | ConnectionFailure::Unusable(_) => {
                Self::new(StatusCode::CONFLICT, e.to_string())
            }
            ConnectionFailure::Changed(_) => Self::new(StatusCode::PRECONDITION_FAILED, e.to_string()),
            ConnectionFailure::Missing => Self::not_found("connection"),
            ConnectionFailure::Unavailable(why) => Self::unavailable(&why),
        }
    }
}

/// What is expected to be there before something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: it is a new one.
    Nothing,
    /// One, in whatever version.
    Any,
    /// This version of it.
    Version(i64),
}

/// Connections, and what serves them.
#[async_trait::async_trait]
pub trait ConnectionAccess: Send + Sync {
    /// All of them, by name.
    fn list(&self) -> Vec<ConnectionView>;
    /// What a connection would be, where it could be one.
    ///
    /// # Errors
    /// [`ConnectionFailure`].
    fn check(&self, name: &str, spec: &ConnectionSpec) -> Result<KnownConnection, ConnectionFailure>;
    /// Registers a connection or changes it, and serves it from then on. Sessions on one that was changed end.
    ///
    /// # Errors
    /// [`ConnectionFailure`]; nothing was changed then.
    async fn put(
        &self,
        name: &str,
        spec: ConnectionSpec,
        expected: Expected,
        by: &str,
    ) -> Result<ConnectionView, ConnectionFailure>;
    /// Removes a connection, and ends its sessions.
    ///
    /// # Errors
    /// [`ConnectionFailure`].
    async fn remove(&self, name: &str, expected: Expected) -> Result<(), ConnectionFailure>;
    /// Tries a connection that is registered.
    ///
    /// # Errors
    /// [`ConnectionFailure`] where there is none. One that cannot be used is a result.
    async fn test(&self, name: &str) -> Result<ConnectionTest, ConnectionFailure>;
    /// Tries one that is not, with a credential or with the secret that it names.
    ///
    /// # Errors
    /// [`ConnectionFailure`] where it could not be one.
    async fn try_out(
        &self,
        spec: &ConnectionSpec,
        credential: Option<Secret<String>>,
    ) -> Result<ConnectionTest, ConnectionFailure>;
    /// What the columns of a database seem to hold, by so many rows of each table: the tags that the database carries already,
    /// and all that are proposed.
    ///
    /// # Errors
    /// [`ConnectionFailure`] where there is no such connection, it is none of SQL, or its upstream cannot be asked.
    async fn classify(
        &self,
        name: &str,
        database: Option<&str>,
        sample: u32,
    ) -> Result<ClassificationView, ConnectionFailure>;
    /// What would become of a statement, under the schema of the moment. A statement that cannot be read is an answer.
    ///
    /// # Errors
    /// [`ConnectionFailure`] where there is no such connection, it is none of SQL, or its schema cannot be read.
    async fn explain(
        &self,
        name: &str,
        subject: Subject,
        database: Option<&str>,
        statement: String,
    ) -> Result<Result<Explained, Refusal>, ConnectionFailure>;
}

/// The connections that the caller may see.
#[utoipa::path(get, path = "/connections", tag = "connections",
    responses((status = 200, description = "by name", body = ConnectionList), Problems))]
pub(super) async fn list(State(state): State<ApiState>, asker: Asker) -> Result<Json<ConnectionList>, Problem> {
    asker.may_on_any(Administration::ViewConnections)?;
    Ok(Json(ConnectionList { connections: seen(&state, &asker) }))
}

/// Those that somebody may see.
pub(crate) fn seen(state: &ApiState, asker: &Asker) -> Vec<ConnectionView> {
    let mut all = state.connections.list();
    all.retain(|c| asker.sees(Administration::ViewConnections, &c.name));
    all
}

/// One connection.
#[utoipa::path(get, path = "/connections/{name}", tag = "connections",
    params(("name" = String, Path, description = "which")),
    responses((status = 200, description = "the connection; the `ETag` is that of its state", body = ConnectionView), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = one(&state, &asker, &name)?;
    Ok(tagged(&headers, &tag(&view), &view))
}

/// One that somebody may see; what they may not see is not there.
pub(crate) fn one(state: &ApiState, asker: &Asker, name: &str) -> Result<ConnectionView, Problem> {
    asker.may_on(Administration::ViewConnections, name)?;
    let found = state.connections.list().into_iter().find(|c| c.name == name);
    found.ok_or_else(|| Problem::not_found("connection"))
}

/// What was written, with its tag.
fn answer(status: StatusCode, view: &ConnectionView) -> Response {
    let mut answer = tagged(&HeaderMap::new(), &tag(view), view);
    *answer.status_mut() = status;
    answer
}

/// Registers a connection. It is served from then on.
#[utoipa::path(post, path = "/connections", tag = "connections", request_body = NewConnection,
    responses((status = 201, description = "it is served", body = ConnectionView), Problems))]
pub(super) async fn create(
    State(state): State<ApiState>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let NewConnection { name, spec } = json_body(&headers, body)?;
    let view = written(&state, &asker, &name, spec, Expected::Nothing).await?;
    Ok(answer(StatusCode::CREATED, &view))
}

/// Changes a connection that was registered here. Sessions on it end; `If-Match` keeps changes of others.
#[utoipa::path(put, path = "/connections/{name}", tag = "connections",
    params(("name" = String, Path, description = "which"),
           ("If-Match" = Option<String>, Header, description = "the version that is to be replaced")),
    request_body = ConnectionSpec,
    responses((status = 200, description = "it is served so", body = ConnectionView), Problems))]
pub(super) async fn change(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    asker.may_on(Administration::EditConnections, &name)?;
    let expected = expected(&state, &name, &headers)?;
    let view = written(&state, &asker, &name, json_body(&headers, body)?, expected).await?;
    Ok(answer(StatusCode::OK, &view))
}

/// The version that is to be there: the one that has the tag which the caller names.
fn expected(state: &ApiState, name: &str, headers: &HeaderMap) -> Result<Expected, Problem> {
    let found = state.connections.list().into_iter().find(|c| c.name == name);
    if_match(headers, found.as_ref().map(tag).as_deref())?;
    // Also without `If-Match`: what was judged is what is replaced.
    let version = found.and_then(|c| c.version);
    Ok(version.map_or(Expected::Any, Expected::Version))
}

/// Writes a connection for somebody who may do so with it as it was and as it is to be.
pub(crate) async fn written(
    state: &ApiState,
    asker: &Asker,
    name: &str,
    spec: ConnectionSpec,
    expected: Expected,
) -> Result<ConnectionView, Problem> {
    let new = state.connections.check(name, &spec)?;
    asker.may_on_new(Administration::EditConnections, &new.info)?;
    if spec.secret.is_some() {
        // Whoever says where a secret is sent to has it.
        asker.may(Administration::EditSecrets)?;
    }
    let verb = if expected == Expected::Nothing { "register" } else { "change" };
    let what = format!("{verb} connection {name}: {} on {} to {}", spec.kind, spec.listen, spec.upstream);
    administered(state, &asker.who, None, what.chars().take(1_000).collect()).await?;
    // In a task of its own: a caller who hangs up must not leave a connection written and not served.
    let (access, by, name) = (state.connections.clone(), asker.who.id(), name.to_owned());
    let task = tokio::spawn(async move { access.put(&name, spec, expected, &by).await });
    Ok(task.await.map_err(|e| Problem::unavailable(&e))??)
}

/// Removes a connection that was registered here, and ends its sessions.
#[utoipa::path(delete, path = "/connections/{name}", tag = "connections",
    params(("name" = String, Path, description = "which"),
           ("If-Match" = Option<String>, Header, description = "the version that is to be removed")),
    responses((status = 204, description = "it is gone"), Problems))]
pub(super) async fn remove(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    asker.may_on(Administration::EditConnections, &name)?;
    let expected = expected(&state, &name, &headers)?;
    removed(&state, &asker, &name, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn removed(state: &ApiState, asker: &Asker, name: &str, expected: Expected) -> Result<(), Problem> {
    asker.may_on(Administration::EditConnections, name)?;
    let found = state.connections.list().into_iter().find(|c| c.name == name);
    match found.ok_or(ConnectionFailure::Missing)?.source {
        ConnectionSource::Store => {}
        ConnectionSource::File => return Err(ConnectionFailure::ReadOnly(name.to_owned()).into()),
    }
    administered(state, &asker.who, None, format!("remove connection {name}")).await?;
    let (access, name) = (state.connections.clone(), name.to_owned());
    let task = tokio::spawn(async move { access.remove(&name, expected).await });
    Ok(task.await.map_err(|e| Problem::unavailable(&e))??)
}

/// Tries whether a connection's upstream can be reached, and lets the gateway in.
#[utoipa::path(post, path = "/connections/{name}/test", tag = "connections",
    params(("name" = String, Path, description = "which")),
    responses((status = 200, description = "what came of it", body = ConnectionTest), Problems))]
pub(super) async fn test(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<ConnectionTest>, Problem> {
    Ok(Json(tested(&state, &asker, &name).await?))
}

pub(crate) async fn tested(state: &ApiState, asker: &Asker, name: &str) -> Result<ConnectionTest, Problem> {
    asker.may_on(Administration::TestConnection, name)?;
    administered(state, &asker.who, None, format!("test connection {name}").chars().take(1_000).collect()).await?;
    Ok(state.connections.test(name).await?)
}

/// Tries a connection before it is registered. Nothing of it is kept.
#[utoipa::path(post, path = "/connection-tests", tag = "connections", request_body = NewConnectionTest,
    responses((status = 200, description = "what came of it", body = ConnectionTest), Problems))]
pub(super) async fn try_out(
    State(state): State<ApiState>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ConnectionTest>, Problem> {
    let NewConnectionTest { name, spec, credential } = json_body(&headers, body)?;
    Ok(Json(tried(&state, &asker, name.as_deref(), &spec, credential.map(Secret::new)).await?))
}

/// Tries what somebody might register: it sends a secret to an address of theirs.
pub(crate) async fn tried(
    state: &ApiState,
    asker: &Asker,
    name: Option<&str>,
    spec: &ConnectionSpec,
    credential: Option<Secret<String>>,
) -> Result<ConnectionTest, Problem> {
    let new = state.connections.check(name.unwrap_or("connection-test"), spec)?;
    asker.may_on_new(Administration::EditConnections, &new.info)?;
    if spec.secret.is_some() && credential.is_none() {
        asker.may(Administration::EditSecrets)?;
    }
    let what = format!("try {} at {}", spec.kind, spec.upstream);
    administered(state, &asker.who, None, what.chars().take(1_000).collect()).await?;
    Ok(state.connections.try_out(spec, credential).await?)
}
