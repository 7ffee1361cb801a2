//! What the gateway knows of the world: exporters, issuers, principals, groups, tags.
use super::{
    ApiState,
    page::{Page, query},
};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{ExportList, GroupList, IssuerList, PageQuery, PrincipalList, TagList, TagView},
};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use doorward_model::Administration;

type Asked = Result<Query<PageQuery>, QueryRejection>;

/// Where audit entries are sent to, and how far that is.
#[utoipa::path(get, path = "/exports", tag = "exports", params(PageQuery),
    responses((status = 200, description = "a page of them", body = ExportList), Problems))]
pub(super) async fn exports(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Asked,
) -> Result<Json<ExportList>, Problem> {
    asker.may(Administration::ViewExports)?;
    let asked = query(asked)?;
    let page = Page::<String>::of("exports", asked.cursor.as_deref(), asked.limit)?;
    let (exports, next) = page.cut(state.records.exports.list(), |e| e.name.clone());
    Ok(Json(ExportList { exports, next }))
}

/// The issuers whose tokens are taken.
#[utoipa::path(get, path = "/issuers", tag = "principals", params(PageQuery),
    responses((status = 200, description = "a page of them", body = IssuerList), Problems))]
pub(super) async fn issuers(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Asked,
) -> Result<Json<IssuerList>, Problem> {
    asker.may(Administration::ViewSettings)?;
    let asked = query(asked)?;
    let page = Page::<String>::of("issuers", asked.cursor.as_deref(), asked.limit)?;
    let (issuers, next) = page.cut(state.records.issuers.iter().cloned(), |i| i.name.clone());
    Ok(Json(IssuerList { issuers, next }))
}

/// Who opened sessions, as far as the audit log goes back.
#[utoipa::path(get, path = "/principals", tag = "principals", params(PageQuery),
    responses((status = 200, description = "a page of them", body = PrincipalList), Problems))]
pub(super) async fn principals(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Asked,
) -> Result<Json<PrincipalList>, Problem> {
    asker.may(Administration::ViewPrincipals)?;
    let asked = query(asked)?;
    let page = Page::<String>::of("principals", asked.cursor.as_deref(), asked.limit)?;
    let fetch = |after: Option<String>, most| {
        let store = &state.store;
        async move { store.seen_principals(after.as_deref(), most).await.map_err(|e| Problem::unavailable(&e)) }
    };
    let (principals, next) = page.fill(fetch, |p| p.id.clone(), |p| Some(p.into())).await?;
    Ok(Json(PrincipalList { principals, next }))
}

/// The groups that those who opened sessions were in when they last came.
#[utoipa::path(get, path = "/groups", tag = "principals", params(PageQuery),
    responses((status = 200, description = "a page of them", body = GroupList), Problems))]
pub(super) async fn groups(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Asked,
) -> Result<Json<GroupList>, Problem> {
    asker.may(Administration::ViewPrincipals)?;
    let asked = query(asked)?;
    let page = Page::<(String, String)>::of("groups", asked.cursor.as_deref(), asked.limit)?;
    let fetch = |after: Option<(String, String)>, most| {
        let store = &state.store;
        async move {
            let after = after.as_ref().map(|(issuer, name)| (issuer.as_str(), name.as_str()));
            store.seen_groups(after, most).await.map_err(|e| Problem::unavailable(&e))
        }
    };
    let (groups, next) = page.fill(fetch, |g| (g.issuer.clone(), g.name.clone()), |g| Some(g.into())).await?;
    Ok(Json(GroupList { groups, next }))
}

/// What objects of connections are tagged with, of connections that the caller may see.
#[utoipa::path(get, path = "/tags", tag = "principals", params(PageQuery),
    responses((status = 200, description = "a page of them", body = TagList), Problems))]
pub(super) async fn tags(State(state): State<ApiState>, asker: Asker, asked: Asked) -> Result<Json<TagList>, Problem> {
    asker.may_on_any(Administration::ViewConnections)?;
    let asked = query(asked)?;
    let page = Page::<(String, String)>::of("tags", asked.cursor.as_deref(), asked.limit)?;
    let seen = asker.connections().into_iter().filter(|name| asker.sees(Administration::ViewConnections, name));
    let all = seen.flat_map(|connection| {
        let tags = state.rights.info(&connection).tags;
        tags.into_iter().map(move |(object, tags)| TagView {
            connection: connection.clone(),
            object,
            tags: tags.into_iter().collect(),
        })
    });
    let (tags, next) = page.cut(all, |t| (t.connection.clone(), t.object.clone()));
    Ok(Json(TagList { tags, next }))
}
