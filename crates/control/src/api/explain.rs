//! How a statement would be decided, and what would become of it.
use super::{ApiState, administered, guard::json_body};
use crate::{
    problem::{Problem, Problems},
    rights::Asker,
    types::{ExplanationView, NewExplanation},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use doorward_enforce::Subject;
use doorward_model::{Administration, ConnectionInfo, Delegation, Principal, PrincipalKind, SessionId, Timestamp};
use doorward_policy::explain;
use std::net::{IpAddr, Ipv4Addr};

/// The longest statement that is explained, in bytes.
const LONGEST: usize = 256 * 1024;

/// How a statement of somebody made up would be decided, what would be sent, and what its results are made of. It is not
/// run: the gateway logs in upstream to read the schema.
#[utoipa::path(post, path = "/connections/{name}/explain", tag = "connections", request_body = NewExplanation,
    params(("name" = String, Path, description = "which")),
    responses((status = 200, description = "what would come of it; a refusal is one answer", body = ExplanationView), Problems))]
pub(super) async fn explain_statement(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ExplanationView>, Problem> {
    asker.may(Administration::ViewPolicies)?;
    // It logs in upstream, and says what is there.
    asker.may_on(Administration::TestConnection, &name)?;
    let asked: NewExplanation = json_body(&headers, body)?;
    if asked.statement.len() > LONGEST {
        let why = format!("a statement of more than {LONGEST} bytes is not explained");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    if !state.connections.list().iter().any(|c| c.name == name) {
        return Err(Problem::not_found("connection"));
    }
    administered(&state, &asker.who, None, format!("explain a statement on connection {name}")).await?;
    let subject = made_up(&asked, state.rights.info(&name));
    let found = state.connections.explain(&name, subject, asked.database.as_deref(), asked.statement).await?;
    let engine = state.book.engine();
    Ok(Json(match found {
        Ok(explained) => {
            let decided = explain(engine, &explained.subject, &explained.facts, super::now());
            ExplanationView::new(decided, &explained, true)
        }
        Err(refusal) => ExplanationView::unread(&refusal, &engine.loaded().version, true),
    }))
}

/// Somebody who never comes, on a connection.
fn made_up(asked: &NewExplanation, connection: ConnectionInfo) -> Subject {
    let one = |kind, id: &str, groups: &[String]| {
        let (issuer, subject) = id.split_once('/').unwrap_or(("dev", id));
        Principal {
            kind,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            groups: groups.iter().cloned().collect(),
            tags: Default::default(),
            token_id: None,
            expires_at: Timestamp::from_micros(u64::MAX),
            on_behalf_of: None,
        }
    };
    let kind = if asked.user { PrincipalKind::User } else { PrincipalKind::Agent };
    let mut principal = one(kind, &asked.principal, &asked.groups);
    principal.on_behalf_of = asked.person.as_ref().map(|person| {
        let person = one(PrincipalKind::User, person, &asked.person_groups);
        Box::new(Delegation { person, prior_actors: Vec::new() })
    });
    Subject {
        session: SessionId::from_uuid(Default::default()),
        principal,
        connection,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tls: true,
    }
}
