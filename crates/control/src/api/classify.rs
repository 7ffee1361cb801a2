//! What columns seem to hold: looked at, and tagged.
use super::{
    ApiState, administered,
    connections::{ConnectionFailure, Expected, written},
    guard::json_body,
};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{ClassificationView, ConnectionSpec, ConnectionView, NewClassification},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use doorward_model::Administration;

/// How many rows of a table may be looked at.
const MOST_ROWS: u32 = 1_000;

/// Looks at some rows of each table by the gateway's own log-in, and proposes tags with counts of what was found: never values.
/// With `apply` they are stored with the connection. Takes up to two minutes.
#[utoipa::path(post, path = "/connections/{name}/classify", tag = "connections", request_body = NewClassification,
    params(("name" = String, Path, description = "which")),
    responses((status = 200, description = "what was found", body = ClassificationView), Problems))]
pub(super) async fn classify(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ClassificationView>, Problem> {
    asker.may_on(Administration::EditConnections, &name)?;
    let asked: NewClassification = json_body(&headers, body)?;
    if !(1..=MOST_ROWS).contains(&asked.sample) {
        let why = format!("`sample` has to be from 1 to {MOST_ROWS} rows");
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let view = one(&state, &name)?;
    if asked.apply && view.spec.is_none() {
        return Err(ConnectionFailure::ReadOnly(name).into());
    }
    let what = format!("classify connection {name} by {} rows of each table", asked.sample);
    administered(&state, &asker.who, None, what).await?;
    let mut found = state.connections.classify(&name, asked.database.as_deref(), asked.sample).await?;
    for column in &mut found.columns {
        column.tags.extend(view.tags.get(&column.column).into_iter().flatten().cloned());
        column.proposed.retain(|tag| !column.tags.contains(tag));
    }
    if asked.apply {
        apply(&state, &asker, &view, &mut found).await?;
    }
    Ok(Json(found))
}

fn one(state: &ApiState, name: &str) -> Result<ConnectionView, Problem> {
    let found = state.connections.list().into_iter().find(|c| c.name == name);
    found.ok_or_else(|| Problem::not_found("connection"))
}

/// Stores the proposed tags beside those there are.
async fn apply(
    state: &ApiState,
    asker: &Asker,
    view: &ConnectionView,
    found: &mut ClassificationView,
) -> Result<(), Problem> {
    let (Some(spec), Some(version)) = (&view.spec, view.version) else {
        return Err(ConnectionFailure::ReadOnly(view.name.clone()).into());
    };
    let new: Vec<_> = found.columns.iter().filter(|c| !c.proposed.is_empty()).collect();
    if !new.is_empty() {
        let mut spec: ConnectionSpec = spec.clone();
        for column in &new {
            spec.tags.entry(column.column.clone()).or_default().extend(column.proposed.iter().cloned());
            let tags: Vec<&str> = column.proposed.iter().map(String::as_str).collect();
            let what = format!("tag {} of connection {} as {}", column.column, view.name, tags.join(", "));
            administered(state, &asker.who, None, what.chars().take(1_000).collect()).await?;
        }
        // What was looked at is what is changed.
        written(state, asker, &view.name, spec, Expected::Version(version)).await?;
    }
    found.applied = true;
    Ok(())
}
