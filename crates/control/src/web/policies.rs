//! Policies: what is in force, a text checked, a request tried.
use super::page::{self, Answer};
use crate::{
    api::{ApiState, now, policies as api},
    problem::Problem,
    rights::Asker,
    types::{PolicyCheck, PolicyProblem},
};
use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::StatusCode,
};
use doorward_enforce::Subject;
use doorward_model::{Action, Administration, AuditOutcome as Outcome, Principal, PrincipalKind, SessionId, Timestamp};
use doorward_policy::{Engine, explain};
use doorward_sql::postgres::{Environment, analyse};
use doorward_ui::{
    Cedar, Checked, Explained, Explanation, Inert, POLICY, PoliciesPage, PolicyError, PolicySource, Question, Section,
    Version,
};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Versions that are listed.
const VERSIONS: u32 = 20;
/// As the gateway's own threads for statements have.
const STACK: usize = 64 << 20;

/// What the page was asked.
#[derive(Default)]
struct Asked {
    draft: Option<String>,
    checked: Option<PolicyCheck>,
    question: Option<Question>,
    answer: Option<Result<Explanation, Inert>>,
}

pub(crate) async fn show(State(state): State<ApiState>, asker: Asker) -> Answer {
    page_of(&state, &asker, Asked::default()).await
}

async fn page_of(state: &ApiState, asker: &Asker, asked: Asked) -> Answer {
    let view = api::in_force(state, asker).await?;
    let versions = api::list_versions(state, asker, None, VERSIONS).await?.versions;
    let draft = view.sources.iter().find(|s| !s.read_only).map(|s| s.text.clone());
    let may_be_tried = |name: &String| state.rights.info(name).kind == "postgres";
    let question = asked.question.unwrap_or_else(|| Question {
        principal: asker.who.id(),
        groups: asker.who.groups.iter().cloned().collect::<Vec<_>>().join(", "),
        user: asker.who.kind == PrincipalKind::User,
        ..Question::default()
    });
    let source = |s: crate::PolicySource| {
        let lines = s.text.lines().count();
        let about =
            if s.read_only { format!("{lines} lines, from the configuration") } else { format!("{lines} lines") };
        PolicySource { name: s.name.into(), text: Cedar(s.text), about }
    };
    let version = |v: crate::PolicyVersionView| Version {
        id: v.id,
        author: v.author.into(),
        comment: v.comment.into(),
        created: v.created,
        active: view.active == Some(v.id),
        monitored: view.monitored == Some(v.id),
    };
    let page = PoliciesPage {
        shell: page::shell(state, asker, Section::Policies, "Policies").await?,
        count: view.policies.len(),
        versions: versions.into_iter().map(version).collect(),
        version: view.policy_version,
        sources: view.sources.into_iter().map(source).collect(),
        draft: asked.draft.or(draft).unwrap_or_default(),
        checked: asked.checked.map(checked),
        connections: asker.connections().into_iter().filter(may_be_tried).collect(),
        question,
        answer: asked.answer,
    };
    Ok(page::answer(StatusCode::OK, &page, POLICY))
}

fn checked(check: PolicyCheck) -> Checked {
    let error = |e: PolicyProblem| {
        let at = match (e.line, e.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            (Some(line), None) => format!(":{line}"),
            (None, _) => String::new(),
        };
        PolicyError {
            place: format!("{}{at}", Inert::new(e.file).plain()),
            message: e.message.into(),
            snippet: e.snippet.map(Inert::from),
        }
    };
    Checked {
        policies: check.ok.then_some(check.policies),
        errors: check.errors.into_iter().map(error).collect(),
        warnings: check.warnings.into_iter().map(error).collect(),
    }
}

#[derive(Deserialize)]
pub(crate) struct Text {
    text: String,
}

pub(crate) async fn check(
    State(state): State<ApiState>,
    asker: Asker,
    form: Result<Form<Text>, FormRejection>,
) -> Answer {
    asker.may(Administration::ViewPolicies)?;
    let Form(Text { text }) = form.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    // Browsers send line ends as two characters.
    let text = text.replace("\r\n", "\n");
    let check = api::checked(&state, text.clone()).await?;
    page_of(&state, &asker, Asked { draft: Some(text), checked: Some(check), ..Asked::default() }).await
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
    let answer = super::sessions::blocking(run).await?.map_err(Inert::from);
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
        Explained { access: s.access.to_string().into(), verdict, class, by: by.into() }
    };
    let outcome = [Outcome::Forward, Outcome::Hold, Outcome::Refuse].map(super::sessions::outcome_name);
    Ok(Explanation {
        outcome: outcome.into_iter().find(|o| *o == found.outcome).unwrap_or("refuse"),
        command: found.command.into(),
        steps: found.steps.into_iter().map(step).collect(),
    })
}
