//! How the gateway is set up, and where the audit log goes.
use super::{NotifierView, tabs};
use crate::{
    api::ApiState,
    problem::Problem,
    rights::Asker,
    types::ExportView,
    web::{
        Parts,
        page::{self, Answer},
    },
};
use axum::{Extension, extract::State};
use doorward_model::{Administration, PrincipalKind};
use doorward_ui::{Exporter, ExportersPage, GatewayPage, Issuer, Notifier, Section, SettingsTab};
use std::time::Duration;

pub(crate) async fn gateway(State(state): State<ApiState>, asker: Asker, Extension(parts): Parts) -> Answer {
    asker.may(Administration::ViewSettings)?;
    let issuers = parts.set_up.issuers.iter().map(|i| Issuer {
        name: i.name.clone().into(),
        url: i.url.clone().into(),
        audience: i.audience.join(", ").into(),
        kind: match i.kind {
            PrincipalKind::Agent => "agent",
            PrincipalKind::User => "person",
        },
    });
    let kind = |name: &str| if state.signin.is_saml(name) { "SAML 2.0" } else { "OpenID Connect" };
    let limits = state.signin.settings().limits();
    let mut notifiers = Vec::new();
    for n in &parts.set_up.notifiers {
        notifiers.push(notifier(&state, n).await?);
    }
    page::ok(&GatewayPage {
        shell: page::shell(&state, &asker, Section::Settings, "Gateway").await?,
        tabs: tabs(&asker, SettingsTab::Gateway),
        version: env!("CARGO_PKG_VERSION"),
        policy_version: state.book.engine().loaded().version.to_string(),
        public_url: parts.public_url.clone().into(),
        issuers: issuers.collect(),
        providers: state.signin.providers().map(|name| (name.into(), kind(name))).collect(),
        limits: [limits.idle, limits.absolute, limits.cli].map(length),
        audit_days: parts.set_up.audit_days,
        recordings_days: parts.set_up.recordings_days,
        approvals_days: parts.set_up.approvals_days,
        notifiers,
    })
}

async fn notifier(state: &ApiState, n: &NotifierView) -> Result<Notifier, Problem> {
    let cursor = state.store.export_cursor(&format!("notify:{}", n.name)).await;
    let cursor = cursor.map_err(|e| Problem::unavailable(&e))?;
    let of = |all: &str, names: &[String]| if names.is_empty() { all.to_owned() } else { names.join(", ") };
    let about = format!("{}, on {}", of("everybody's", &n.groups), of("every connection", &n.connections));
    Ok(Notifier {
        name: n.name.clone().into(),
        kind: n.kind,
        about: about.into(),
        told: cursor.map(|c| (c.entries, c.updated)),
    })
}

/// `1 h 30 min`.
fn length(d: Duration) -> String {
    let parts = [
        (d.as_secs() / 86_400, "d"),
        (d.as_secs() / 3600 % 24, "h"),
        (d.as_secs() / 60 % 60, "min"),
        (d.as_secs() % 60, "s"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    parts.join(" ")
}

pub(crate) async fn exporters(State(state): State<ApiState>, asker: Asker) -> Answer {
    asker.may(Administration::ViewExports)?;
    page::ok(&ExportersPage {
        shell: page::shell(&state, &asker, Section::Settings, "Exporters").await?,
        tabs: tabs(&asker, SettingsTab::Exporters),
        exporters: state.records.exports.list().into_iter().map(exporter).collect(),
    })
}

fn exporter(e: ExportView) -> Exporter {
    Exporter {
        good: matches!(e.state.as_str(), "idle" | "sending" | "starting"),
        name: e.name.into(),
        kind: e.kind.into(),
        state: e.state.into(),
        position: e.position,
        lag: e.lag,
        oldest: e.oldest_unsent,
        counts: (e.acknowledged, e.rejected),
        success: e.last_success,
        error: e.last_error.map(|f| (f.what.into(), f.time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_people_say_them() {
        let words = [5400, 43_200, 90_061].map(|s| length(Duration::from_secs(s)));
        assert_eq!(words, ["1 h 30 min", "12 h", "1 d 1 h 1 min 1 s"]);
    }
}
