//! Who a browser belongs to.
use super::page::{self, Answer};
use crate::{
    api::{ApiState, now},
    problem::Problem,
    rights::NOT_IN_PERSON,
    signin::{note, see_other},
};
use axum::{
    Form,
    extract::{
        Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
};
use doorward_model::{AuditKind, Principal};
use doorward_signin::Cookie;
use doorward_store::SessionPurpose;
use doorward_ui::{POLICY, Shell, SignIn};
use serde::Deserialize;

/// The longest token.
const MAX_TOKEN: usize = 12 * 1024;

#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(crate) struct Presented {
    token: String,
    #[serde(default)]
    next: String,
}

/// The sign-in page, from which one comes back to `path`.
pub(crate) fn address(path: &str) -> String {
    format!("/sign-in?next={}", page::percent(path))
}

/// A path of ours, or the overview: never another site.
fn safe(next: &str) -> &str {
    let path = next.strip_prefix('/').filter(|rest| !rest.starts_with(['/', '\\']));
    let plain = next.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    if path.is_some() && plain { next } else { "/" }
}

fn form(state: &ApiState, status: StatusCode, next: &str, problem: Option<&str>) -> Response {
    let shell = Shell::outside("Sign in", now());
    let next = safe(next).to_owned();
    let provider = |name: &str| {
        let address = format!("/auth/login/{}?return_to={}", page::percent(name), page::percent(&next));
        (name.into(), address)
    };
    let providers = state.signin.providers().map(provider).collect();
    let page = SignIn { shell, problem: problem.map(str::to_owned), next, providers };
    page::answer(status, &page, POLICY)
}

pub(crate) async fn show(State(state): State<ApiState>, query: Result<Query<Next>, QueryRejection>) -> Response {
    form(&state, StatusCode::OK, &query.map(|q| q.0.next).unwrap_or_default(), None)
}

/// Signs in with a token of an issuer: the session ends with it.
pub(crate) async fn begin(
    State(state): State<ApiState>,
    headers: HeaderMap,
    presented: Result<Form<Presented>, FormRejection>,
) -> Answer {
    if !state.signin.comes_from_us(&headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "this was not sent from a page of Doorward").into());
    }
    let Ok(Form(Presented { token, next })) = presented else {
        return Ok(form(&state, StatusCode::BAD_REQUEST, "/", Some("That was not a token.")));
    };
    let token = token.trim();
    let checked = if token.len() > MAX_TOKEN { Err("it is too long".into()) } else { state.tokens.check(token).await };
    let checked = checked.and_then(|p| if p.expires_at > now() { Ok(p) } else { Err("the token has expired".into()) });
    let in_person = |p: Principal| if p.on_behalf_of.is_none() { Ok(p) } else { Err(NOT_IN_PERSON.to_owned()) };
    let who = match checked.and_then(in_person) {
        Ok(who) => who,
        Err(reason) => {
            state.failures.note("web", &reason);
            return Ok(form(&state, StatusCode::UNAUTHORIZED, &next, Some("This token is not accepted.")));
        }
    };
    let by = Some("token, for a session".to_owned());
    note(&state, AuditKind::Authenticated { principal: who.clone(), user: "web".into(), by }).await?;
    end_session_of(&state, &headers).await?;
    let begun = state.signin.begin_with_token(who, now()).await.map_err(|e| Problem::unavailable(&e))?;
    let length = begun.session.principal.expires_at.since(now());
    let cookie = Cookie::Session.set(state.signin.settings(), begun.secret.expose(), Some(length));
    Ok(see_other(safe(&next), [cookie]))
}

/// Signs out: the session is over for the very next request.
pub(crate) async fn end(State(state): State<ApiState>, headers: HeaderMap) -> Answer {
    if !state.signin.comes_from_us(&headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "this was not sent from a page of Doorward").into());
    }
    if let Some(who) = end_session_of(&state, &headers).await? {
        note(&state, AuditKind::Administration { by: who.id(), what: "sign out".into() }).await?;
    }
    Ok(see_other("/sign-in", [Cookie::Session.clear(state.signin.settings())]))
}

/// Ends the session that a browser has, if it has one.
async fn end_session_of(state: &ApiState, headers: &HeaderMap) -> Result<Option<Principal>, Problem> {
    let Ok(Some(secret)) = Cookie::Session.find(state.signin.settings(), headers) else { return Ok(None) };
    let found = state.signin.held(secret, SessionPurpose::Browser).await;
    let Some(session) = found.map_err(|e| Problem::unavailable(&e))? else { return Ok(None) };
    state.signin.end(&session.id).await.map_err(|e| Problem::unavailable(&e))?;
    Ok(Some(session.principal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_back_to_our_own_pages_alone() {
        for ours in ["/", "/approvals/1?x=2"] {
            assert_eq!(safe(ours), ours);
        }
        for theirs in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "/a\\b", "/ü"] {
            assert_eq!(safe(theirs), "/", "{theirs}");
        }
        assert_eq!(address("/a?b=c&d"), "/sign-in?next=/a%3Fb%3Dc%26d");
    }
}
