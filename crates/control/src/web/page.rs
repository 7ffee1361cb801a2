//! Answers of pages.
use crate::{
    api::{ApiState, approvals, now},
    problem::Problem,
    rights::Asker,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use doorward_model::{Administration, AuditOutcome as Outcome};
use doorward_ui::{ErrorPage, POLICY, Section, Shell, Template};

/// A page, or why there is none.
pub(crate) type Answer = Result<Response, Failure>;

/// An error as a page.
#[derive(Debug)]
pub(crate) struct Failure(Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(Problem::unavailable(&error))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let (title, advice) = words(status);
        let shell = Shell::outside(title, now());
        let page = ErrorPage { shell, status: status.as_u16(), detail: self.0.detail().to_owned(), advice };
        answer(status, &page, POLICY)
    }
}

fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::NOT_FOUND => {
            ("There is nothing here", "It may have been removed, or it may not be yours to see: both look the same.")
        }
        StatusCode::FORBIDDEN => {
            ("Not for you", "Ask somebody who administers this gateway, if you think that it should be.")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Not available now", "Nothing was changed. The gateway's own log says why; try again in a moment.")
        }
        _ => ("That did not work", "Go back and try again."),
    }
}

/// Renders a page.
pub(crate) fn answer(status: StatusCode, page: &impl Template, policy: &'static str) -> Response {
    match page.render() {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, policy),
                // Without a referrer, browsers do not say which origin a form came from.
                (header::REFERRER_POLICY, "same-origin"),
            ];
            (status, headers, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that is as it should be.
pub(crate) fn ok(page: &impl Template) -> Answer {
    Ok(answer(StatusCode::OK, page, POLICY))
}

/// A text within an address.
pub(crate) fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => {
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

/// A filter by outcome, as the forms send it: empty for none.
///
/// # Errors
/// 400 with the words there are: what is not understood is never taken for "all".
pub(crate) fn outcome(text: &str) -> Result<Option<Outcome>, Problem> {
    let known = [Outcome::Forward, Outcome::Hold, Outcome::Refuse];
    match text {
        "" => Ok(None),
        word => word.parse().map(Some).map_err(|_| {
            let known = known.map(|o| format!("`{}`", o.as_str())).join(", ");
            Problem::new(StatusCode::BAD_REQUEST, format!("`outcome` is one of {known}, not `{word}`"))
        }),
    }
}

/// On to another page.
pub(crate) fn see_other(address: &str) -> Response {
    let location = HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Has a page that asked for a part of itself loaded anew, whole.
pub(crate) fn reload() -> Response {
    (StatusCode::NO_CONTENT, [("hx-refresh", "true")]).into_response()
}

/// The frame of a page for somebody.
pub(crate) async fn shell(
    state: &ApiState,
    asker: &Asker,
    section: Section,
    title: impl Into<String>,
) -> Result<Shell, Failure> {
    let waiting = approvals::pending(state, asker).await?.len();
    let open = open(asker);
    Ok(Shell { title: title.into(), section, who: Some(asker.who.id()), open, waiting, now: now() })
}

/// Where somebody may go, by the rights that the pages themselves ask for.
fn open(asker: &Asker) -> Vec<Section> {
    let on_any = |right| asker.may_on_any(right).is_ok();
    let connections = on_any(Administration::ViewConnections);
    let all = [
        (Section::Overview, true),
        (Section::Approvals, true),
        (Section::Sessions, on_any(Administration::ViewSessions)),
        (Section::Audit, asker.may(Administration::ViewAudit).is_ok()),
        (Section::Policies, asker.may(Administration::ViewPolicies).is_ok()),
        (Section::Connections, connections),
        (Section::Tags, connections),
        (Section::Settings, true),
    ];
    all.into_iter().filter_map(|(section, may)| may.then_some(section)).collect()
}
