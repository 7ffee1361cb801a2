//! The inbox, and the page of one approval.
use super::page::{self, Answer, Failure};
use crate::{
    Change,
    api::{ApiState, approvals as api, now},
    problem::Problem,
    rights::Asker,
    serve::stopped,
    types::ApprovalView,
};
use axum::{
    Extension, Form,
    extract::{
        Path, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::StatusCode,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use doorward_model::{ApprovalId, PrincipalKind};
use doorward_store::ApprovalState;
use doorward_ui::{
    Approval, ApprovalPage, Inbox, InboxList, Inert, Notice, POLICY, Requirement, Section, Shown, State as Stands,
    Status, Verdict,
};
use futures_util::stream;
use serde::Deserialize;
use std::{collections::VecDeque, convert::Infallible, future::Future, pin::Pin, time::Duration};
use tokio::sync::{broadcast, watch};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Changes that come close together are shown together.
const SETTLE: Duration = Duration::from_millis(60);
/// Ended approvals on a page.
const ENDED: u32 = 25;

impl From<ApprovalView> for Approval {
    fn from(a: ApprovalView) -> Self {
        Self {
            id: a.id.to_string(),
            state: match a.state {
                ApprovalState::Pending => Stands::Pending,
                ApprovalState::Approved => Stands::Approved,
                ApprovalState::Denied => Stands::Denied,
                ApprovalState::Expired => Stands::Expired,
                ApprovalState::Withdrawn => Stands::Withdrawn,
            },
            session: a.session.to_string(),
            principal: a.principal.into(),
            kind: match a.kind {
                PrincipalKind::Agent => "agent",
                PrincipalKind::User => "person",
            },
            connection: a.connection.into(),
            statement: a.statement.into(),
            shown: Shown {
                parameters: inert(a.parameters),
                rows: a.rows.into_iter().map(inert).collect(),
                parts: a.parts.into_iter().map(|p| (p.name.into(), p.text.into())).collect(),
                unseen: inert(a.unseen),
                notes: inert(a.notes),
            },
            abridged: a.abridged,
            forgotten: a.forgotten,
            command: a.command.into(),
            accesses: a.accesses.into_iter().map(Inert::from).collect(),
            digest: a.digest,
            requirements: a.requirements.into_iter().map(requirement).collect(),
            asked: a.asked,
            expires: a.expires,
            ended: a.ended,
            reason: a.reason.map(Inert::from),
            verdicts: a.verdicts.into_iter().map(verdict).collect(),
            may_decide: a.may_decide,
            may_break_glass: a.may_break_glass,
        }
    }
}

fn inert(texts: Vec<String>) -> Vec<Inert> {
    texts.into_iter().map(Inert::from).collect()
}

fn requirement(r: crate::RequirementView) -> Requirement {
    let groups = r.groups.into_iter().map(Inert::from).collect();
    let later = r.escalation.map(|e| (e.groups.join(", ").into(), e.at));
    let glass = (!r.break_glass.is_empty()).then(|| r.break_glass.join(", ").into());
    Requirement { policy: r.policy.into(), reason: r.reason.map(Inert::from), groups, quorum: r.quorum, later, glass }
}

fn verdict(v: crate::VerdictView) -> Verdict {
    let via = v.via.map(|a| Inert::from(format!("{} account {}/{}", a.chat, a.team, a.user)));
    Verdict { by: v.by.into(), yes: v.yes, comment: v.comment.into(), time: v.time, glass: v.break_glass, via }
}

#[derive(Debug, Deserialize)]
pub(crate) struct InboxQuery {
    before: Option<String>,
    /// An approval that was decided here just now.
    #[serde(default)]
    decided: Option<String>,
}

async fn waiting(state: &ApiState, asker: &Asker) -> Result<InboxList, Problem> {
    let list = api::pending(state, asker).await?;
    Ok(InboxList { approvals: list.into_iter().map(Approval::from).collect(), now: now() })
}

pub(crate) async fn inbox(
    State(state): State<ApiState>,
    asker: Asker,
    query: Result<Query<InboxQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let list = waiting(&state, &asker).await?;
    let asked = api::page(query.before.as_deref(), ENDED.saturating_mul(2))?;
    let found = api::visible(&state.store, &asker, None, &asked).await?;
    let mut ended: Vec<ApprovalView> =
        found.approvals.into_iter().filter(|a| a.state != ApprovalState::Pending).collect();
    let most = usize::try_from(ENDED).unwrap_or(usize::MAX);
    let cut = ended.len() > most;
    ended.truncate(most);
    let older = if cut { ended.last().map(|a| asked.next(&a.id)) } else { found.next };
    let notice = match &query.decided {
        Some(id) => api::find(&state, &asker, id).await.ok().and_then(|a| decided(&a, &asker)),
        None => None,
    };
    page::ok(&Inbox {
        shell: page::shell(&state, &asker, Section::Approvals, "Approvals").await?,
        list,
        ended: ended.into_iter().map(Approval::from).collect(),
        older,
        notice,
    })
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Done {
    /// Whether it was decided here just now.
    decided: Option<String>,
}

/// What this person said of it, as it is kept: an address says nothing that is not so.
fn decided(a: &ApprovalView, asker: &Asker) -> Option<Notice> {
    let id = asker.who.id();
    let said = a.verdicts.iter().rev().find(|v| v.by == id)?;
    let text = match (said.yes, said.break_glass) {
        (true, true) => "You broke the glass. It is written down as that, and others are told.",
        (true, false) => "Your approval is recorded.",
        (false, _) => "Denied: the caller has been told.",
    };
    Some(Notice { bad: false, text: text.into() })
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    query: Result<Query<Done>, QueryRejection>,
) -> Answer {
    let is_decided = query.is_ok_and(|q| q.0.decided.is_some());
    let notice = if is_decided { decided(&api::find(&state, &asker, &id).await?, &asker) } else { None };
    one(&state, &asker, &id, StatusCode::OK, notice, String::new()).await
}

async fn one(
    state: &ApiState,
    asker: &Asker,
    id: &str,
    status: StatusCode,
    notice: Option<Notice>,
    comment: String,
) -> Answer {
    let approval = Approval::from(api::find(state, asker, id).await?);
    let shell = page::shell(state, asker, Section::Approvals, "Approval").await?;
    let page = ApprovalPage { shell, status: Status { approval, now: now() }, notice, comment };
    Ok(page::answer(status, &page, POLICY))
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Decision {
    #[serde(default)]
    comment: String,
    #[serde(default)]
    back: String,
}

type Decided = Result<Form<Decision>, FormRejection>;

pub(crate) async fn approve(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    form: Decided,
) -> Answer {
    decide(&state, &asker, &id, Some(true), form).await
}

pub(crate) async fn break_glass(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
    form: Decided,
) -> Answer {
    decide(&state, &asker, &id, None, form).await
}

pub(crate) async fn deny(State(state): State<ApiState>, asker: Asker, Path(id): Path<String>, form: Decided) -> Answer {
    decide(&state, &asker, &id, Some(false), form).await
}

/// None: the glass is broken.
async fn decide(state: &ApiState, asker: &Asker, id: &str, yes: Option<bool>, form: Decided) -> Answer {
    let Form(decision) = form.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    // Browsers send line ends as two characters.
    let comment = decision.comment.replace("\r\n", "\n");
    let said = match yes {
        Some(yes) => api::decide(state, asker, id, yes, comment.trim()).await,
        None => api::glass_broken(state, asker, id, comment.trim()).await,
    };
    match said {
        Ok(_) => {
            let back = if decision.back == "inbox" { format!("?decided={id}") } else { format!("/{id}?decided=1") };
            Ok(page::see_other(&format!("/approvals{back}")))
        }
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Err(problem.into()),
        Err(problem) => {
            let notice = Notice { bad: true, text: format!("Nothing was decided: {}.", problem.detail()) };
            one(state, asker, id, problem.status(), Some(notice), decision.comment).await
        }
    }
}

/// What a page hears of: an event stream until the session ends or the gateway stops.
struct Watch {
    state: ApiState,
    asker: Asker,
    /// The one approval that is looked at; none: the inbox.
    id: Option<ApprovalId>,
    changes: broadcast::Receiver<Change>,
    ready: VecDeque<Event>,
    ended: bool,
    shutdown: watch::Receiver<bool>,
    /// The person has signed out, or was signed out.
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

pub(crate) async fn inbox_events(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(shutdown): Extension<watch::Receiver<bool>>,
) -> Response {
    watch(state, asker, None, shutdown).await
}

pub(crate) async fn events(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(shutdown): Extension<watch::Receiver<bool>>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let view = api::find(&state, &asker, &id).await?;
    Ok(watch(state, asker, Some(view.id), shutdown).await)
}

async fn watch(state: ApiState, asker: Asker, id: Option<ApprovalId>, shutdown: watch::Receiver<bool>) -> Response {
    // Subscribed before anything is read: a change may show twice, but never not at all.
    let changes = state.desk.subscribe();
    let gone = Box::pin(state.signin.until_ended(asker.shown()));
    let mut watch = Watch { state, asker, id, changes, ready: VecDeque::new(), ended: false, shutdown, gone };
    // What changed between the page and this stream.
    watch.look(None).await;
    let events = stream::unfold(watch, |mut w| async move {
        let event = w.next().await?;
        Some((Ok::<_, Infallible>(event), w))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let change = tokio::select! {
                () = stopped(&mut self.shutdown) => return None,
                () = &mut self.gone => return None,
                () = tokio::time::sleep(self.asker.who.expires_at.since(now())) => return None,
                change = self.changes.recv() => change,
            };
            match change {
                Ok(change) if self.id.is_some_and(|id| id != change.id) => {}
                Ok(change) => {
                    tokio::time::sleep(SETTLE).await;
                    self.look(Some(change)).await;
                }
                // Too slow: how it is now stands for what was missed.
                Err(broadcast::error::RecvError::Lagged(_)) => self.look(None).await,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Shows how it is now, and says what has changed to who cannot see it. Ends the stream where nothing can be read:
    /// the browser comes again.
    async fn look(&mut self, change: Option<Change>) {
        let looked = match self.id {
            None => self.look_at_inbox(change).await,
            Some(id) => self.look_at_one(id).await,
        };
        self.ended |= looked.is_err();
    }

    async fn look_at_inbox(&mut self, change: Option<Change>) -> Result<(), Problem> {
        let list = waiting(&self.state, &self.asker.afresh()).await?;
        self.ready.push_back(Event::default().event("count").data(list.approvals.len().to_string()));
        if let Some(change) = change {
            let id = change.id.to_string();
            let said = match list.approvals.iter().find(|a| a.id == id) {
                Some(a) => Some(format!("{} asks for approval on {}", a.principal.line(60), a.connection.line(40))),
                // Said only of what this person may see.
                None => api::find(&self.state, &self.asker.afresh(), &id)
                    .await
                    .ok()
                    .map(|a| format!("An approval was {}", stands(a.state))),
            };
            self.ready.extend(said.map(|text| Event::default().event("said").data(escaped(&text))));
        }
        self.ready.push_back(Event::default().event("inbox").data(rendered(&list)?));
        Ok(())
    }

    async fn look_at_one(&mut self, id: ApprovalId) -> Result<(), Problem> {
        let view = api::find(&self.state, &self.asker.afresh(), &id.to_string()).await?;
        let state = view.state;
        let status = Status { approval: Approval::from(view), now: now() };
        self.ready.push_back(Event::default().event("status").data(rendered(&status)?));
        if state != ApprovalState::Pending {
            let text = format!("This approval is {}", stands(state));
            self.ready.push_back(Event::default().event("said").data(text));
            self.ready.push_back(Event::default().event("ended").data("ended"));
            self.ended = true;
        }
        Ok(())
    }
}

const fn stands(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Pending => "pending",
        ApprovalState::Approved => "approved",
        ApprovalState::Denied => "denied",
        ApprovalState::Expired => "expired",
        ApprovalState::Withdrawn => "withdrawn",
    }
}

/// A carriage return would end a line of an event; a page does not need it.
fn rendered(part: &impl doorward_ui::Template) -> Result<String, Problem> {
    part.render().map(|text| text.replace('\r', "")).map_err(|e| Problem::unavailable(&e))
}

/// For the place of what is said, which takes markup.
fn escaped(text: &str) -> String {
    Inert::new(text).to_string().replace(['\r', '\n'], " ")
}
