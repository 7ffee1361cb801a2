//! The first page.
use super::page::{self, Answer};
use crate::{
    api::{ApiState, now, sessions},
    evidence::Evidence,
    rights::Asker,
};
use axum::extract::State;
use doorward_model::{Administration, AuditEvent, AuditKind, AuditOutcome as Outcome, SessionId, Timestamp};
use doorward_ui::{Chart, Inert, Overview, Refused, Section};
use std::{collections::HashMap, io, ops::ControlFlow};

/// Hours that charts show.
const HOURS: usize = 24;
/// Refusals that are shown.
const REFUSED: usize = 12;

/// What the last day was like.
#[derive(Default)]
struct Day {
    requests: [u64; HOURS],
    refused: [u64; HOURS],
    held: [u64; HOURS],
    sessions: [u64; HOURS],
    list: Vec<(Option<SessionId>, Refused)>,
    cut: bool,
}

impl Day {
    fn read(evidence: &Evidence, now: Timestamp) -> io::Result<Self> {
        let mut day = Self::default();
        let mut principals: HashMap<SessionId, String> = HashMap::new();
        day.cut = evidence.look(None, |entry| {
            let hours = now.since(entry.event.time).as_secs() / 3600;
            let Some(place) = usize::try_from(hours).ok().and_then(|h| (HOURS - 1).checked_sub(h)) else {
                return ControlFlow::Break(());
            };
            if let (AuditKind::Authenticated { principal, .. }, Some(id)) = (&entry.event.kind, entry.event.session) {
                principals.insert(id, principal.to_string());
            }
            day.count(&entry.event, place);
            ControlFlow::Continue(())
        })?;
        for (session, refused) in &mut day.list {
            if let Some(id) = session.and_then(|s| principals.get(&s)) {
                refused.principal = id.clone().into();
            }
        }
        Ok(day)
    }

    fn count(&mut self, event: &AuditEvent, place: usize) {
        let add = |counts: &mut [u64; HOURS]| counts.iter_mut().skip(place).take(1).for_each(|c| *c += 1);
        if matches!(event.kind, AuditKind::SessionOpened { .. }) {
            add(&mut self.sessions);
        }
        let AuditKind::Request { outcome, statement, policies, reason, .. } = &event.kind else { return };
        add(&mut self.requests);
        match outcome {
            Outcome::Forward => {}
            Outcome::Hold => add(&mut self.held),
            Outcome::Refuse => add(&mut self.refused),
        }
        if *outcome == Outcome::Refuse && self.list.len() < REFUSED {
            let refused = Refused {
                time: event.time,
                session: event.session.map(|s| s.to_string()),
                principal: Inert::default(),
                statement: statement.to_string().into(),
                why: reason.clone().unwrap_or_else(|| policies.join(", ")).into(),
            };
            self.list.push((event.session, refused));
        }
    }
}

pub(crate) async fn show(State(state): State<ApiState>, asker: Asker) -> Answer {
    let shell = page::shell(&state, &asker, Section::Overview, "Overview").await?;
    // Who may see neither sees what waits for them, and no more.
    let live = sessions::live(&state, &asker).await.ok().map(|live| live.len());
    if asker.may(Administration::ViewAudit).is_err() {
        return page::ok(&Overview { shell, live, charts: vec![], refused: vec![], cut: false });
    }
    let at = now();
    let day = state.records.read(&asker.who, move |evidence| Day::read(evidence, at)).await??;
    let chart = |title, class, counts: [u64; HOURS]| Chart { title, class, counts: counts.to_vec() };
    page::ok(&Overview {
        shell,
        live,
        charts: vec![
            chart("requests", "all", day.requests),
            chart("refused", "refuse", day.refused),
            chart("held", "hold", day.held),
            chart("sessions", "all", day.sessions),
        ],
        refused: day.list.into_iter().map(|(_, r)| r).collect(),
        cut: day.cut,
    })
}
