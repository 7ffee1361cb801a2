//! Policies: what is in force, versions, a request tried.
use super::page::{self, Answer};
use crate::{
    api::{ApiState, now, policies as api},
    problem::Problem,
    rights::Asker,
};
use axum::{
    Form,
    extract::{
        Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::StatusCode,
};
use doorward_enforce::Subject;
use doorward_model::{Action, Administration, AuditOutcome as Outcome, Principal, PrincipalKind, SessionId, Timestamp};
use doorward_policy::{Engine, explain};
use doorward_sql::postgres::{Environment, analyse};
use doorward_store::PolicyMode;
use doorward_ui::{
    Activation, Cedar, Explained, Explanation, Inert, Notice, POLICY, PoliciesPage, PolicySource, Question, Section,
    Version,
};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Versions that are listed.
const VERSIONS: u32 = 20;
/// Activations that are listed.
const ACTIVATIONS: usize = 20;
/// As the gateway's own threads for statements have.
const STACK: usize = 64 << 20;

/// What the page was asked.
#[derive(Default)]
struct Asked {
    before: Option<String>,
    done: String,
    question: Option<Question>,
    answer: Option<Result<Explanation, Inert>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Which {
    before: Option<String>,
    done: String,
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    query: Result<Query<Which>, QueryRejection>,
) -> Answer {
    let Query(Which { before, done }) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    page_of(&state, &asker, Asked { before, done, ..Asked::default() }).await
}

async fn page_of(state: &ApiState, asker: &Asker, asked: Asked) -> Answer {
    let view = api::in_force(state, asker).await?;
    let listed = api::list_versions(state, asker, &api::some_versions(asked.before.as_deref(), VERSIONS)?).await?;
    let may_be_tried =
        |name: &String| asker.sees(Administration::ViewConnections, name) && state.rights.info(name).kind == "postgres";
    let question = asked.question.unwrap_or_else(|| Question {
        principal: asker.who.id(),
        groups: asker.who.groups.iter().cloned().collect::<Vec<_>>().join(", "),
        user: asker.who.kind == PrincipalKind::User,
        ..Question::default()
    });
    let (active, monitored) = (view.active, view.monitored);
    let version = |v: crate::PolicyVersionView| shown_version(v, active, monitored);
    // What people wrote here before what the configuration names.
    let written = view.sources.iter().position(|s| !s.read_only).unwrap_or(0);
    let source = |(n, s)| PolicySource { open: n == written, ..source(s) };
    let page = PoliciesPage {
        shell: page::shell(state, asker, Section::Policies, "Policies").await?,
        count: view.policies.len(),
        versions: listed.versions.into_iter().map(version).collect(),
        older: listed.next,
        activations: listed.activations.into_iter().take(ACTIVATIONS).map(activation).collect(),
        version: view.policy_version,
        sources: view.sources.into_iter().enumerate().map(source).collect(),
        may_edit: asker.may(Administration::EditPolicies).is_ok(),
        connections: asker.connections().into_iter().filter(may_be_tried).collect(),
        question,
        answer: asked.answer,
        notice: done(&asked.done),
    };
    Ok(page::answer(StatusCode::OK, &page, POLICY))
}

fn done(what: &str) -> Option<Notice> {
    let text = match what {
        "files" => "No version is in force any more: the files of the configuration alone decide.",
        "unwatch" => "No version is watched any more.",
        _ => return None,
    };
    Some(Notice { bad: false, text: text.into() })
}

fn source(s: crate::PolicySource) -> PolicySource {
    let lines = s.text.lines().count();
    let about = if s.read_only { format!("{lines} lines, from the configuration") } else { format!("{lines} lines") };
    PolicySource { name: s.name.into(), text: Cedar(s.text), about, open: false }
}

/// A version, and whether it is in force or watched.
pub(super) fn shown_version(v: crate::PolicyVersionView, active: Option<i64>, monitored: Option<i64>) -> Version {
    Version {
        id: v.id,
        author: v.author.into(),
        comment: v.comment.into(),
        created: v.created,
        parent: v.parent,
        active: active == Some(v.id),
        monitored: monitored == Some(v.id),
    }
}

fn activation(a: crate::PolicyActivationView) -> Activation {
    Activation {
        version: a.version,
        enforced: a.mode == PolicyMode::Enforce,
        by: a.by.into(),
        comment: a.comment.into(),
        time: a.time,
    }
}

#[derive(Deserialize)]
pub(crate) struct Tried {
    connection: String,
    statement: String,
    principal: String,
    #[serde(default)]
    groups: String,
    #[serde(default)]
    user: String,
}

pub(crate) async fn try_out(
    State(state): State<ApiState>,
    asker: Asker,
    form: Result<Form<Tried>, FormRejection>,
) -> Answer {
    asker.may(Administration::ViewPolicies)?;
    let Form(tried) = form.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    // What decides there says what labels it has.
    asker.may_on(Administration::ViewConnections, &tried.connection)?;
    let subject = subject(&state, &tried);
    let (engine, statement) = (Arc::clone(state.book.engine()), tried.statement.clone());
    let run = move || {
        // Deep statements need a deep stack.
        let thread = std::thread::Builder::new().name("policy-try".into()).stack_size(STACK);
        let explained = thread.spawn(move || explained(&engine, &subject, &statement));
        explained
            .map_err(|e| e.to_string())
            .and_then(|t| t.join().map_err(|_| "it could not be analysed".to_owned())?)
    };
    let answer = tokio::task::spawn_blocking(run).await.map_err(|e| Problem::unavailable(&e))?.map_err(Inert::from);
    let question = Question {
        connection: tried.connection,
        statement: tried.statement,
        principal: tried.principal,
        groups: tried.groups,
        user: !tried.user.is_empty(),
    };
    page_of(&state, &asker, Asked { question: Some(question), answer: Some(answer), ..Asked::default() }).await
}

/// Somebody made up.
fn subject(state: &ApiState, tried: &Tried) -> Arc<Subject> {
    let (issuer, name) = tried.principal.trim().split_once('/').unwrap_or(("dev", tried.principal.trim()));
    let groups = tried.groups.split(',').map(str::trim).filter(|g| !g.is_empty());
    Arc::new(Subject {
        session: SessionId::from_uuid(Default::default()),
        principal: Principal {
            kind: if tried.user.is_empty() { PrincipalKind::Agent } else { PrincipalKind::User },
            issuer: issuer.to_owned(),
            subject: name.to_owned(),
            groups: groups.map(str::to_owned).collect(),
            tags: Default::default(),
            token_id: None,
            expires_at: Timestamp::from_micros(u64::MAX),
            on_behalf_of: None,
        },
        connection: state.rights.info(&tried.connection),
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tls: true,
    })
}

fn explained(engine: &Engine, subject: &Arc<Subject>, statement: &str) -> Result<Explanation, String> {
    let offline = Environment { search_path: Arc::from(["public".into()]), ..Environment::default() };
    let analysis = analyse(statement, &offline).map_err(|e| e.to_string())?;
    let found = explain(engine, subject, &analysis.facts, now());
    Ok(shown_explanation(found))
}

/// A decision, taken apart.
pub(super) fn shown_explanation(found: doorward_policy::Explanation) -> Explanation {
    let step = |s: doorward_policy::Step| {
        let (verdict, class) = match (s.access.action, s.allowed, s.allowed_if_approved) {
            (Action::Reveal, true, _) => ("clear", "clear"),
            (Action::Reveal, false, _) => ("masked", "masked"),
            (_, true, _) => ("allowed", "allowed"),
            (_, false, true) => ("needs an approval", "hold"),
            (_, false, false) => ("denied", "refuse"),
        };
        let mut by: Vec<String> = s.policies.iter().map(ToString::to_string).collect();
        by.extend(s.approvals.iter().map(ToString::to_string));
        by.extend(s.error.map(|e| format!("error: {e}")));
        let by = if by.is_empty() { "no policy allows it".to_owned() } else { by.join("; ") };
        let access = match &s.principal {
            None => s.access.to_string(),
            Some(who) => format!("{who}: {}", s.access),
        };
        Explained { access: access.into(), verdict, class, by: by.into() }
    };
    let outcome = [Outcome::Forward, Outcome::Hold, Outcome::Refuse].map(Outcome::as_str);
    Explanation {
        outcome: outcome.into_iter().find(|o| *o == found.outcome).unwrap_or("refuse"),
        command: found.command.into(),
        steps: found.steps.into_iter().map(step).collect(),
    }
}
