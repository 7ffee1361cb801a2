//! Versions of the policies: written, checked, compared, back-tested, put in force, rolled back.
use super::{
    page::{self, Answer},
    policies::shown_version,
};
use crate::{
    api::{
        ApiState,
        policies::{self as api, DEFAULT_DAYS, MAX_DAYS},
    },
    policies::source,
    problem::Problem,
    rights::Asker,
    types::{Activate, BackTestReport, NewPolicyVersion, OutcomeView, PolicyCheck, PolicyProblem},
};
use axum::{
    Form,
    extract::{
        Path, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
};
use doorward_model::Administration;
use doorward_store::PolicyMode;
use doorward_ui::{
    BackTest, BackTestGroup, Cedar, Checked, DiffLine, Inert, Notice, POLICY, PolicyEditPage, PolicyError,
    PolicyVersionPage, Section,
};
use serde::Deserialize;

/// Versions that one can be compared with.
const OTHERS: u32 = 50;

/// What is written before anything is.
const FIRST: &str = "\
// What no policy permits is refused. docs/policy.md has the words; each policy needs an @id of its own.

";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct From {
    /// Empty: what the version was made from.
    from: String,
    done: String,
}

fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(q)| q).map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))
}

fn sent<T>(form: Result<Form<T>, FormRejection>) -> Result<T, Problem> {
    form.map(|Form(f)| f).map_err(|e| Problem::new(e.status(), e.body_text()))
}

/// A number of a version, where there is one.
fn some_number(text: &str) -> Result<Option<i64>, Problem> {
    if text.trim().is_empty() { Ok(None) } else { api::number(text.trim()).map(Some) }
}

/// A text field for a new version: with the text of another, else of the one in force.
pub(crate) async fn edit(
    State(state): State<ApiState>,
    asker: Asker,
    query: Result<Query<From>, QueryRejection>,
) -> Answer {
    asker.may(Administration::EditPolicies)?;
    let from = some_number(&asked(query)?.from)?;
    let parent = match from {
        Some(id) => Some(id),
        None => api::in_force(&state, &asker).await?.active,
    };
    let draft = match parent {
        Some(id) => api::version(&state, id).await?.text,
        None => FIRST.to_owned(),
    };
    edited(&state, &asker, Written { text: draft, comment: String::new(), parent }, None, None).await
}

/// What the form of the text field has.
#[derive(Debug, Deserialize)]
pub(crate) struct Draft {
    text: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    parent: String,
}

struct Written {
    text: String,
    comment: String,
    parent: Option<i64>,
}

impl Draft {
    fn read(self) -> Result<Written, Problem> {
        // Browsers send line ends as two characters.
        let text = self.text.replace("\r\n", "\n");
        Ok(Written { text, comment: self.comment.trim().to_owned(), parent: some_number(&self.parent)? })
    }
}

async fn edited(
    state: &ApiState,
    asker: &Asker,
    written: Written,
    check: Option<PolicyCheck>,
    notice: Option<Notice>,
) -> Answer {
    // A check that finds something has done what it was asked for.
    let status = if notice.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let files = api::in_force(state, asker).await?.sources;
    let page = PolicyEditPage {
        shell: page::shell(state, asker, Section::Policies, "Write a version").await?,
        draft: written.text,
        comment: written.comment,
        parent: written.parent,
        files: files.into_iter().filter(|s| s.read_only).map(|s| s.name.into()).collect(),
        checked: check.map(checked),
        notice,
    };
    Ok(page::answer(status, &page, POLICY))
}

fn checked(check: PolicyCheck) -> Checked {
    let error = |e: PolicyProblem| {
        let at = e.line.zip(e.column).filter(|_| e.file == "text");
        let place = match (e.line, e.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            (Some(line), None) => format!(":{line}"),
            (None, _) => String::new(),
        };
        PolicyError {
            place: format!("{}{place}", Inert::new(e.file).plain()),
            at,
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

/// Says what is wrong with a text; keeps nothing.
pub(crate) async fn check(
    State(state): State<ApiState>,
    asker: Asker,
    form: Result<Form<Draft>, FormRejection>,
) -> Answer {
    asker.may(Administration::ViewPolicies)?;
    let written = sent(form)?.read()?;
    let check = api::checked(&state, written.text.clone()).await?;
    edited(&state, &asker, written, Some(check), None).await
}

/// Keeps a text as a version, if it is right.
pub(crate) async fn write(
    State(state): State<ApiState>,
    asker: Asker,
    form: Result<Form<Draft>, FormRejection>,
) -> Answer {
    asker.may(Administration::EditPolicies)?;
    let written = sent(form)?.read()?;
    let check = api::checked(&state, written.text.clone()).await?;
    if !check.ok {
        let notice = Notice { bad: true, text: "Nothing was saved: the policies are not right.".into() };
        return edited(&state, &asker, written, Some(check), Some(notice)).await;
    }
    let Written { text, comment, parent } = written;
    let id = api::write(&state, &asker, &NewPolicyVersion { text, comment, parent }).await?;
    Ok(page::see_other(&format!("/policies/versions/{id}?done=written")))
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    query: Result<Query<From>, QueryRejection>,
) -> Answer {
    let From { from, done } = asked(query)?;
    let text = match done.as_str() {
        "written" => "It is saved. Nothing is in force by that: compare it, back-test it, then put it in force.",
        "enforce" => "It is in force.",
        "monitor" => "It is watched: it decides nothing.",
        _ => "",
    };
    let notice = (!text.is_empty()).then(|| Notice { bad: false, text: text.into() });
    let more = More { from: some_number(&from)?, notice, ..More::default() };
    one(&state, &asker, api::number(&id)?, StatusCode::OK, more).await
}

/// What the page of a version shows besides.
#[derive(Default)]
struct More {
    from: Option<i64>,
    back_test: Option<BackTest>,
    days: Option<u32>,
    notice: Option<Notice>,
}

async fn one(state: &ApiState, asker: &Asker, id: i64, status: StatusCode, more: More) -> Answer {
    let view = api::in_force(state, asker).await?;
    let version = api::version(state, id).await?;
    let from = more.from.or(version.parent);
    let difference = api::difference(state, &version, from).await?;
    let others = api::list_versions(state, asker, &api::some_versions(None, OTHERS)?).await?.versions;
    let page = PolicyVersionPage {
        shell: page::shell(state, asker, Section::Policies, format!("Version {id}")).await?,
        text: Cedar(version.text.clone()),
        version: shown_version(version.into(), view.active, view.monitored),
        from,
        diff: DiffLine::of(&difference.diff),
        others: others.into_iter().map(|v| v.id).filter(|other| *other != id).collect(),
        back_test: more.back_test,
        days: more.days.unwrap_or(DEFAULT_DAYS),
        may_edit: asker.may(Administration::EditPolicies).is_ok(),
        may_activate: asker.may(Administration::ActivatePolicies).is_ok(),
        notice: more.notice,
    };
    Ok(page::answer(status, &page, POLICY))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Days {
    days: u32,
}

/// Judges what was recorded by a version.
pub(crate) async fn back_test(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    form: Result<Form<Days>, FormRejection>,
) -> Answer {
    asker.may(Administration::ViewPolicies)?;
    asker.may(Administration::ViewAudit)?;
    let id = api::number(&id)?;
    let days = sent(form)?.days.clamp(1, MAX_DAYS);
    let version = api::version(&state, id).await?;
    let mut more = More { days: Some(days), ..More::default() };
    match api::tested(&state, source(id, version.text), days).await {
        Ok(report) => more.back_test = Some(tested(report, days)),
        Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => return Err(problem.into()),
        Err(problem) => {
            let notice = Notice { bad: true, text: format!("It was not tested: {}.", problem.detail()) };
            more.notice = Some(notice);
            return one(&state, &asker, id, problem.status(), more).await;
        }
    }
    one(&state, &asker, id, StatusCode::OK, more).await
}

const fn outcome(o: OutcomeView) -> &'static str {
    match o {
        OutcomeView::Forward => "forward",
        OutcomeView::Hold => "hold",
        OutcomeView::Refuse => "refuse",
    }
}

fn tested(report: BackTestReport, days: u32) -> BackTest {
    let remark = |count: u64, text: &str| (count > 0).then(|| format!("{count} {text}"));
    let policies = |ids: Vec<String>| if ids.is_empty() { "no policy".into() } else { Inert::from(ids.join(", ")) };
    let group = |g: crate::BackTestGroup| BackTestGroup {
        connection: g.connection.into(),
        principal: g.principal.into(),
        command: g.command.into(),
        before: outcome(g.before),
        before_policies: policies(g.before_policies),
        after: outcome(g.after),
        after_policies: policies(g.after_policies),
        count: g.count,
        examples: g.examples.into_iter().map(|e| (e.statement.into(), e.session.to_string())).collect(),
    };
    BackTest {
        days,
        requests: report.requests,
        differences: report.differences,
        remarks: [
            remark(report.unknown, "requests were not judged: who asked is not known any more."),
            remark(report.unreadable, "entries of the audit log could not be read."),
            remark(report.left_out, "differences are in none of these groups: there are too many."),
        ]
        .into_iter()
        .flatten()
        .collect(),
        groups: report.groups.into_iter().map(group).collect(),
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Put {
    /// `enforce`, `monitor`, `files`, `unwatch`.
    what: String,
    /// The version whose page sent it.
    page: String,
    #[serde(default)]
    comment: String,
}

/// Puts a version in force, has it watched, or ends either.
pub(crate) async fn activate(
    State(state): State<ApiState>,
    asker: Asker,
    form: Result<Form<Put>, FormRejection>,
) -> Answer {
    asker.may(Administration::ActivatePolicies)?;
    let Put { what, page, comment } = sent(form)?;
    let id = api::number(&page)?;
    let (version, mode) = match what.as_str() {
        "enforce" => (Some(id), PolicyMode::Enforce),
        "monitor" => (Some(id), PolicyMode::Monitor),
        "files" => (None, PolicyMode::Enforce),
        "unwatch" => (None, PolicyMode::Monitor),
        _ => return Err(Problem::new(StatusCode::BAD_REQUEST, "there is no such button").into()),
    };
    let activate = Activate { version, mode, comment: comment.trim().to_owned() };
    match api::put_in_force(&state, &asker, &HeaderMap::new(), activate).await {
        Ok(()) if version.is_some() => Ok(page::see_other(&format!("/policies/versions/{id}?done={what}"))),
        Ok(()) => Ok(page::see_other(&format!("/policies?done={what}"))),
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            let text = format!("Nothing was changed: with the files of now it is not right: {}", problem.detail());
            let more = More { notice: Some(Notice { bad: true, text }), ..More::default() };
            one(&state, &asker, id, problem.status(), more).await
        }
        Err(problem) => Err(problem.into()),
    }
}
