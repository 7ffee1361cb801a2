//! The audit log: searched, one entry with its proof, given away as JSON lines; the trail of an approval.
use super::{
    ApiState, approvals,
    page::{Page, query, text},
    time,
};
use crate::{
    evidence::{Evidence, has},
    problem::{Problem, Problems},
    rights::Asker,
    types::{ApprovalTrail, AuditEntryView, AuditList, AuditProofView, AuditQuery, CheckpointView},
};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use doorward_model::{
    AUDIT_KINDS, Administration, AuditEvent, AuditKind, AuditOutcome, Principal, SessionId, SessionPart, Timestamp,
};
use doorward_record::{Entries, Entry, Filter, find_entry, keys, prove_entry};
use doorward_store::{SeenSession, Store};
use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    io::{self, Write as _},
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// Entries that are looked through at once.
const AT_ONCE: usize = 5_000;
/// How often, for one page: a page that is not full then has a next.
const MOST_LOOKS: usize = 20;
/// Microseconds by which clocks may have been put back while a session was open.
const SLACK: u64 = 60_000_000;
/// Sessions that are remembered while the whole log goes out.
const MOST_SESSIONS: usize = 200_000;

/// What is looked for, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) principal: String,
    pub(crate) connection: Option<String>,
    /// A part of its name, as people type it on a page.
    pub(crate) connection_part: String,
    pub(crate) session: Option<SessionId>,
    pub(crate) kind: Option<String>,
    pub(crate) outcome: Option<AuditOutcome>,
    pub(crate) text: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

/// Whose a session is, and where.
#[derive(Clone, Debug, Default)]
struct Whose {
    principal: Option<String>,
    connection: String,
}

impl Wanted {
    fn of(asked: &AuditQuery) -> Result<Self, Problem> {
        let given = |given: &Option<String>| text(given.clone());
        let kind = given(&asked.kind)?;
        if let Some(kind) = kind.as_ref().filter(|k| !AUDIT_KINDS.contains(&k.as_str())) {
            let kind: String = kind.chars().take(40).collect();
            let why = format!("`{kind}` is no kind of entry: there are {}", AUDIT_KINDS.join(", "));
            return Err(Problem::new(StatusCode::BAD_REQUEST, why));
        }
        Ok(Self {
            principal: given(&asked.principal)?.unwrap_or_default(),
            connection: given(&asked.connection)?,
            connection_part: String::new(),
            session: asked.session,
            kind,
            outcome: asked.outcome.map(Into::into),
            text: given(&asked.text)?.unwrap_or_default(),
            since: time::asked(asked.since.as_deref())?,
            until: time::asked(asked.until.as_deref())?,
        })
    }

    /// By what is in the entry itself.
    fn wants(&self, entry: &Entry) -> bool {
        let event = &entry.event;
        let is = |o: AuditOutcome| matches!(&event.kind, AuditKind::Request { outcome, .. } if *outcome == o);
        self.since.is_none_or(|t| event.time >= t)
            && self.until.is_none_or(|t| event.time < t)
            && self.session.is_none_or(|s| event.session == Some(s))
            && self.outcome.is_none_or(is)
            && self.kind.as_ref().is_none_or(|k| event.kind.name() == k)
            && has(&entry.json, &self.text)
    }

    const fn asks_whose(&self) -> bool {
        !self.principal.is_empty() || self.asks_where()
    }

    const fn asks_where(&self) -> bool {
        self.connection.is_some() || !self.connection_part.is_empty()
    }

    /// By whose session it is of, or who used a right.
    fn wants_whose(&self, event: &AuditEvent, whose: Option<&Whose>) -> bool {
        let by = event.kind.done_by().is_some_and(|by| has(by, &self.principal));
        let of = |w: &Whose| w.principal.as_deref().is_some_and(|p| has(p, &self.principal));
        let principal = self.principal.is_empty() || by || whose.is_some_and(of);
        let on = |w: &Whose| {
            self.connection.as_ref().is_none_or(|c| w.connection == *c) && has(&w.connection, &self.connection_part)
        };
        principal && (!self.asks_where() || whose.is_some_and(on))
    }
}

/// Entries of the audit log, newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "a page of them", body = AuditList), Problems))]
pub(super) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<AuditList>, Problem> {
    asker.may(Administration::ViewAudit)?;
    let asked = query(asked)?;
    let page = Page::<u64>::of("audit", asked.cursor.as_deref(), asked.limit)?;
    let wanted = Wanted::of(&asked)?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let (entries, next) = some(&state, &asker.who, wanted, page.after, limit).await?;
    let entries = entries.iter().map(AuditEntryView::from).collect();
    Ok(Json(AuditList { entries, next: next.map(|seq| page.next(&seq)) }))
}

/// Entries before `before`, newest first, and the `before` of what comes behind them.
pub(crate) async fn some(
    state: &ApiState,
    who: &Principal,
    mut wanted: Wanted,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<Entry>, Option<u64>), Problem> {
    let Some(mut before) = bounded(state, &mut wanted, before).await? else { return Ok((Vec::new(), None)) };
    let mut sessions = HashMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..MOST_LOOKS {
        let look = wanted.clone();
        let looked = state.records.read(who, move |evidence| scan(evidence, &look, before)).await?;
        let looked = looked.map_err(|e| Problem::unavailable(&e))?;
        for entry in looked.entries {
            let whose = whose(&state.store, &wanted, &entry.event, &mut sessions).await?;
            if !wanted.wants_whose(&entry.event, whose) {
                continue;
            }
            if entries.len() == limit {
                let last = entries.last().map(|e| e.seq);
                return Ok((entries, last));
            }
            entries.push(entry);
        }
        before = looked.next;
        if before.is_none() {
            break;
        }
    }
    Ok((entries, before))
}

/// Where entries of a session may be, by what is known of it: not before it began, and not behind the last that is known of
/// it. None where there is no such session.
async fn bounded(state: &ApiState, wanted: &mut Wanted, before: Option<u64>) -> Result<Option<Option<u64>>, Problem> {
    let Some(id) = wanted.session else { return Ok(Some(before)) };
    let (seen, knows_all) = known(state, id).await?;
    let Some(seen) = seen else { return Ok((!knows_all).then_some(before)) };
    let began = Timestamp::from_micros(seen.started.as_micros().saturating_sub(SLACK));
    wanted.since = Some(wanted.since.map_or(began, |t| t.max(began)));
    let behind = seen.last_line.saturating_add(1);
    Ok(Some(if knows_all { Some(before.map_or(behind, |b| b.min(behind))) } else { before }))
}

/// How long is waited for what the log has by now to be known of.
const CATCH_UP: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is known of a session, and whether all that the log says of sessions is known. One that is not known is waited for
/// until it could be: a list that was read out of the log itself may have named it.
pub(crate) async fn known(state: &ApiState, id: SessionId) -> Result<(Option<SeenSession>, bool), Problem> {
    let failed = |e: &dyn std::fmt::Display| Problem::unavailable(e);
    // What is committed first: what comes meanwhile is not known then.
    let committed = state.audit.committed().0;
    let end = Instant::now() + CATCH_UP;
    loop {
        let cursor = state.store.seen_cursor().await.map_err(|e| failed(&e))?;
        let seen = state.store.seen_session(id).await.map_err(|e| failed(&e))?;
        let knows_all = cursor.is_some_and(|c| c.seq >= committed);
        if seen.is_some() || knows_all || Instant::now() >= end {
            return Ok((seen, knows_all));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A part of the log.
struct Looked {
    entries: Vec<Entry>,
    /// The oldest entry that was looked at, where there are older ones.
    next: Option<u64>,
}

fn scan(evidence: &Evidence, wanted: &Wanted, before: Option<u64>) -> io::Result<Looked> {
    let mut looked = Looked { entries: Vec::new(), next: None };
    let mut seen = 0;
    evidence.look(before, |entry| {
        if wanted.since.is_some_and(|t| entry.event.time < t) {
            looked.next = None;
            return ControlFlow::Break(());
        }
        seen += 1;
        looked.next = Some(entry.seq);
        if wanted.wants(&entry) {
            looked.entries.push(entry);
        }
        if seen >= AT_ONCE { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if seen < AT_ONCE {
        looked.next = None;
    }
    Ok(looked)
}

async fn whose<'a>(
    store: &Store,
    wanted: &Wanted,
    event: &AuditEvent,
    known: &'a mut HashMap<SessionId, Whose>,
) -> Result<Option<&'a Whose>, Problem> {
    let Some(id) = event.session.filter(|_| wanted.asks_whose()) else { return Ok(None) };
    Ok(Some(match known.entry(id) {
        Slot::Occupied(known) => known.into_mut(),
        Slot::Vacant(slot) => {
            let seen = store.seen_session(id).await.map_err(|e| Problem::unavailable(&e))?;
            let whose = seen.map(|s| Whose { principal: s.principal, connection: s.connection });
            slot.insert(whose.unwrap_or_default())
        }
    }))
}

/// One entry, with what proves it.
#[utoipa::path(get, path = "/audit/{seq}", tag = "audit", params(("seq" = u64, Path, description = "its number")),
    responses((status = 200, description = "the entry", body = AuditProofView), Problems))]
pub(super) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Path(seq): Path<String>,
) -> Result<Json<AuditProofView>, Problem> {
    asker.may(Administration::ViewAudit)?;
    let none = || Problem::not_found("audit entry");
    // A number has one way to be written.
    let seq: u64 = seq.parse().ok().filter(|n: &u64| n.to_string() == seq).ok_or_else(none)?;
    let read = move |evidence: &Evidence| {
        let key = keys::load_public(&evidence.keys.join(keys::PUBLIC_KEY_FILE)).map_err(io::Error::other)?;
        Ok::<_, io::Error>((prove_entry(&evidence.audit, seq)?, key))
    };
    let (proof, key) = state.records.read(&asker.who, read).await?.map_err(|e| Problem::unavailable(&e))?;
    let proof = proof.ok_or_else(none)?;
    let AuditEntryView { seq, hash, entry } = AuditEntryView::from(&proof.entry);
    let checkpoint = proof.checkpoint.map(|c| CheckpointView {
        seq: c.seq,
        text: c.text(),
        head: c.head,
        time: c.time,
        signature: c.signature,
    });
    let public_key = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let previous = proof.previous.to_string();
    Ok(Json(AuditProofView { seq, hash, entry, previous, lines: proof.lines, checkpoint, public_key }))
}

/// All entries that are looked for, oldest first, one JSON object a line: `seq`, `hash`, `entry`. It ends where it is
/// whole, or the connection breaks off.
#[utoipa::path(get, path = "/audit/export", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "the entries", content_type = "application/x-ndjson", body = String), Problems))]
pub(super) async fn export(
    State(state): State<ApiState>,
    asker: Asker,
    asked: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    asker.may(Administration::ExportAudit)?;
    let asked = query(asked)?;
    if asked.cursor.is_some() || asked.limit.is_some() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "an export has no pages: leave `cursor` and `limit` out"));
    }
    given_away(&state, &asker, Wanted::of(&asked)?).await
}

/// All entries that are looked for, for somebody who may have them.
pub(crate) async fn given_away(state: &ApiState, asker: &Asker, wanted: Wanted) -> Result<Response, Problem> {
    super::administered(state, &asker.who, None, "export audit log".into()).await?;
    let write = move |evidence: &Evidence, out: &mut super::records::Chunks| {
        let mut sessions: HashMap<SessionId, Whose> = HashMap::new();
        if wanted.asks_whose() {
            // A session begins before it is known whose it is.
            for entry in Entries::open(&evidence.audit, Filter::default())? {
                out.still_read()?;
                learn(&mut sessions, &entry?.event);
            }
        }
        for entry in Entries::open(&evidence.audit, Filter::default())? {
            out.still_read()?;
            let entry = entry?;
            let whose = entry.event.session.and_then(|id| sessions.get(&id));
            if wanted.wants(&entry) && wanted.wants_whose(&entry.event, whose) {
                writeln!(out, "{{\"seq\":{},\"hash\":\"{}\",\"entry\":{}}}", entry.seq, entry.hash, entry.json)?;
            }
        }
        Ok::<_, io::Error>(())
    };
    let body = state.records.stream(&asker.who, write, |e| Problem::unavailable(&e)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"doorward-audit.jsonl\""),
    ];
    Ok((headers, body).into_response())
}

fn learn(sessions: &mut HashMap<SessionId, Whose>, event: &AuditEvent) {
    let Some(id) = event.session else { return };
    match event.kind.of_session() {
        SessionPart::Opened { connection, .. } if sessions.len() < MOST_SESSIONS => {
            sessions.entry(id).or_default().connection = connection.to_string();
        }
        SessionPart::Caller(principal) => {
            if let Some(known) = sessions.get_mut(&id) {
                known.principal.get_or_insert_with(|| principal.to_string());
            }
        }
        SessionPart::Opened { .. } | SessionPart::Request { .. } | SessionPart::Ended { .. } | SessionPart::Other => {}
    }
}

/// Who approved this, what exactly, what came of it: the approval, and every entry of the audit log about it.
#[utoipa::path(get, path = "/approvals/{id}/trail", tag = "approvals",
    params(("id" = String, Path, description = "which")),
    responses((status = 200, description = "the trail", body = ApprovalTrail), Problems))]
pub(super) async fn trail(
    State(state): State<ApiState>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<ApprovalTrail>, Problem> {
    let approval = approvals::find(&state, &asker, &id).await?;
    let lines = state.store.seen_lines(approval.id).await.map_err(|e| Problem::unavailable(&e))?;
    let read = move |evidence: &Evidence| {
        let found = lines.into_iter().map(|seq| find_entry(&evidence.audit, seq));
        found.filter_map(Result::transpose).collect::<io::Result<Vec<Entry>>>()
    };
    let entries = state.records.read(&asker.who, read).await?.map_err(|e| Problem::unavailable(&e))?;
    let mut trail = ApprovalTrail { approval, outcome: None, result: None, entries: Vec::new() };
    for entry in entries {
        if let AuditKind::Request { outcome, .. } = &entry.event.kind
            && *outcome != AuditOutcome::Hold
        {
            trail.outcome = Some((*outcome).into());
        }
        if let AuditKind::Completed { result, .. } = &entry.event.kind {
            trail.result = Some(result.clone());
        }
        trail.entries.push(AuditEntryView::from(&entry));
    }
    Ok(Json(trail))
}
