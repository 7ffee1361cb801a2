//! Sessions of which retention removes nothing.
use super::tabs;
use crate::{
    api::{ApiState, holds as api},
    problem::Problem,
    rights::Asker,
    web::{
        Parts, WebParts,
        page::{self, Answer},
    },
};
use axum::{
    Extension, Form,
    extract::{Path, Query, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode},
};
use doorward_model::Administration;
use doorward_ui::{Hold, HoldsPage, Notice, POLICY, Section, SettingsTab};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    done: String,
    /// One that is to be held: its page leads here.
    session: String,
}

pub(crate) async fn holds(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Query(asked): Query<Asked>,
) -> Answer {
    let text = match asked.done.as_str() {
        "held" => "It is held: nothing of it is removed.",
        "before" => "It was held before: that stands as it was.",
        "released" => "It is released: retention may remove it from now on.",
        _ => "",
    };
    let notice = (!text.is_empty()).then(|| Notice { bad: false, text: text.into() });
    page_of(&state, &asker, &parts, StatusCode::OK, notice, (asked.session, String::new())).await
}

async fn page_of(
    state: &ApiState,
    asker: &Asker,
    parts: &WebParts,
    status: StatusCode,
    notice: Option<Notice>,
    typed: (String, String),
) -> Answer {
    asker.may(Administration::ViewHolds)?;
    let hold = |h: doorward_store::LegalHold| Hold {
        session: h.session.to_string(),
        by: h.by.into(),
        reason: h.reason.into(),
        time: h.time,
    };
    let page = HoldsPage {
        shell: page::shell(state, asker, Section::Settings, "Legal holds").await?,
        tabs: tabs(asker, SettingsTab::Holds),
        notice,
        holds: api::all(state).await?.into_iter().map(hold).collect(),
        may_edit: asker.may(Administration::EditHolds).is_ok(),
        typed,
        recordings_days: parts.set_up.recordings_days,
    };
    Ok(page::answer(status, &page, POLICY))
}

/// What was typed for a hold.
#[derive(Deserialize)]
pub(crate) struct Wanted {
    session: String,
    reason: String,
}

pub(crate) async fn place(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    sent: Result<Form<Wanted>, FormRejection>,
) -> Answer {
    let Form(Wanted { session, reason }) = sent.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    asker.may(Administration::EditHolds)?;
    // Browsers send line ends as two characters.
    let reason = reason.replace("\r\n", "\n").trim().to_owned();
    match api::placed(&state, &asker, session.trim(), reason.clone(), &HeaderMap::new()).await {
        Ok((StatusCode::CREATED, _)) => Ok(page::see_other("/settings/holds?done=held")),
        Ok(_) => Ok(page::see_other("/settings/holds?done=before")),
        Err(problem) => {
            let why = if problem.status() == StatusCode::NOT_FOUND {
                "that is no number of a session: it is at the end of the address of its page".to_owned()
            } else {
                problem.detail().to_owned()
            };
            let notice = Some(Notice { bad: true, text: format!("Nothing is held: {why}.") });
            page_of(&state, &asker, &parts, problem.status(), notice, (session, reason)).await
        }
    }
}

pub(crate) async fn release(State(state): State<ApiState>, asker: Asker, Path(session): Path<String>) -> Answer {
    api::released(&state, &asker, &session, &HeaderMap::new()).await?;
    Ok(page::see_other("/settings/holds?done=released"))
}
