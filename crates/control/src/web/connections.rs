//! Connections with lines to copy.
use super::{
    Parts,
    page::{self, Answer},
};
use crate::{
    api::{ApiState, Expected, connections as api},
    problem::Problem,
    rights::Asker,
    types::{ConnectionSource, ConnectionTest, ConnectionView, LiveSession},
};
use axum::{
    Extension, Form,
    extract::{Path, Query, State, rejection::FormRejection},
};
use doorward_model::{Administration, Secret};
use doorward_ui::{ClientLine, Connection, ConnectionPage, ConnectionsPage, Inert, Notice, Section, Trial};
use serde::Deserialize;
use std::net::SocketAddr;

/// What was done before this page is shown.
#[derive(Deserialize)]
pub(crate) struct Done {
    done: Option<String>,
}

fn notice(done: Option<&str>) -> Option<Notice> {
    let text = match done? {
        "saved" => "It is served so from now on.",
        "removed" => "It was removed; its sessions have ended.",
        "replaced" => "The credential was replaced: new log-ins take it.",
        _ => return None,
    };
    Some(Notice { bad: false, text: text.into() })
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Query(Done { done }): Query<Done>,
) -> Answer {
    asker.may_on_any(Administration::ViewConnections)?;
    let live = state.sessions.list();
    let seen = api::seen(&state, &asker);
    let connections = seen.iter().map(|c| connection(&asker, c, &live, &parts.public_host)).collect();
    page::ok(&ConnectionsPage {
        shell: page::shell(&state, &asker, Section::Connections, "Connections").await?,
        connections,
        notice: notice(done.as_deref()),
        may_add: asker.may_on_any(Administration::EditConnections).is_ok(),
    })
}

pub(crate) async fn show(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Path(name): Path<String>,
    Query(Done { done }): Query<Done>,
) -> Answer {
    one(&state, &asker, &parts.public_host, &name, notice(done.as_deref()), None).await
}

async fn one(
    state: &ApiState,
    asker: &Asker,
    public_host: &str,
    name: &str,
    notice: Option<Notice>,
    trial: Option<Trial>,
) -> Answer {
    let view = api::one(state, asker, name)?;
    let c = connection(asker, &view, &state.sessions.list(), public_host);
    let may_edit = asker.may_on(Administration::EditConnections, name).is_ok();
    let secret = view.spec.as_ref().and_then(|s| s.secret.clone());
    let written = view.version.zip(view.updated);
    page::ok(&ConnectionPage {
        shell: page::shell(state, asker, Section::Connections, name).await?,
        c,
        notice,
        trial,
        written: written.map(|(version, at)| (view.updated_by.unwrap_or_default().into(), version, at)),
        may_edit,
        may_test: asker.may_on(Administration::TestConnection, name).is_ok(),
        may_rotate: secret.is_some() && asker.may(Administration::EditSecrets).is_ok(),
        secret: secret.map(Inert::from),
    })
}

pub(crate) async fn test(
    State(state): State<ApiState>,
    asker: Asker,
    Extension(parts): Parts,
    Path(name): Path<String>,
) -> Answer {
    let tested = api::tested(&state, &asker, &name).await?;
    one(&state, &asker, &parts.public_host, &name, None, Some(trial(tested))).await
}

/// What came of a trial, in words.
pub(super) fn trial(test: ConnectionTest) -> Trial {
    let text = match &test.failure {
        Some(why) => format!("It cannot be used: {why}"),
        None => {
            let server = test.server.as_deref().map(|s| format!(" ({s})")).unwrap_or_default();
            let entered =
                if test.logged_in { "Logged in" } else { "Reached; callers log in there under their own names" };
            let way = if test.encrypted { "encrypted" } else { "not encrypted" };
            format!("{entered}{server}, {way}, in {} ms.", test.milliseconds)
        }
    };
    Trial { ok: test.ok, text: text.into(), host_key: test.host_key.map(Inert::from) }
}

#[derive(Deserialize)]
pub(crate) struct Replacement {
    credential: String,
}

pub(crate) async fn replace(
    State(state): State<ApiState>,
    asker: Asker,
    Path(name): Path<String>,
    form: Result<Form<Replacement>, FormRejection>,
) -> Answer {
    let Form(Replacement { credential }) = form.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let view = api::one(&state, &asker, &name)?;
    let secret = view.spec.and_then(|s| s.secret).ok_or_else(|| Problem::not_found("secret of that connection"))?;
    let credential = Secret::new(credential.trim_end_matches(['\r', '\n']).replace("\r\n", "\n"));
    super::connection_form::stored_as(&state, &asker, &secret, credential).await?;
    Ok(page::see_other(&format!("/connections/{}?done=replaced", page::percent(&name))))
}

pub(crate) async fn remove(State(state): State<ApiState>, asker: Asker, Path(name): Path<String>) -> Answer {
    api::removed(&state, &asker, &name, Expected::Any).await?;
    Ok(page::see_other("/connections?done=removed"))
}

fn connection(asker: &Asker, c: &ConnectionView, live: &[LiveSession], public_host: &str) -> Connection {
    let listen: Option<SocketAddr> = c.listen.parse().ok();
    let (ip, port) = listen.map_or((None, 0), |l| (Some(l.ip()), l.port()));
    // Where it listens everywhere, people reach it as they reach this page.
    let host = match ip {
        Some(ip) if ip.is_loopback() => "localhost".to_owned(),
        Some(ip) if !ip.is_unspecified() => ip.to_string(),
        Some(_) | None => public_host.to_owned(),
    };
    let counts = asker.sees(Administration::ViewSessions, &c.name);
    Connection {
        name: c.name.clone().into(),
        kind: c.kind.clone().into(),
        endpoint: format!("{host}:{port}").into(),
        upstream: c.upstream.clone().into(),
        lines: lines(&c.kind, &host, port, c.database.as_deref(), &c.name),
        database: c.database.clone().map(Into::into),
        labels: c.labels.iter().map(|(k, v)| format!("{k}={v}").into()).collect(),
        tags: c
            .tags
            .iter()
            .map(|(name, tags)| {
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                (name.clone().into(), tags.join(", ").into())
            })
            .collect(),
        live: if counts { live.iter().filter(|s| s.connection == c.name).count() } else { 0 },
        failure: c.failure.clone().map(Into::into),
        stored: c.source == ConnectionSource::Store,
    }
}

/// As docs/guide/connect.md has them.
fn lines(kind: &str, host: &str, port: u16, database: Option<&str>, name: &str) -> Vec<ClientLine> {
    let db = database.unwrap_or("DATABASE");
    let line = |client, line: String| ClientLine { client, line: line.into() };
    match kind {
        "postgres" => vec![
            line(
                "psql",
                format!(
                    "PGPASSWORD=$TOKEN psql 'host={host} port={port} dbname={db} user=me sslmode=verify-full sslrootcert=ca.crt'"
                ),
            ),
            line(
                "psycopg",
                format!(
                    "psycopg.connect(host=\"{host}\", port={port}, dbname=\"{db}\", user=\"me\", password=token, sslmode=\"verify-full\", sslrootcert=\"ca.crt\")"
                ),
            ),
            line("JDBC", format!("jdbc:postgresql://{host}:{port}/{db}?sslmode=verify-full&sslrootcert=ca.crt")),
            line("pgx, URL", format!("postgres://me@{host}:{port}/{db}?sslmode=verify-full&sslrootcert=ca.crt")),
        ],
        "mysql" => vec![
            line(
                "mysql",
                format!(
                    "mysql --enable-cleartext-plugin --ssl-mode=VERIFY_IDENTITY --ssl-ca=ca.crt -h {host} -P {port} -u me -p{}",
                    database.map(|d| format!(" {d}")).unwrap_or_default()
                ),
            ),
            line("any driver", format!("doorward token --for {name}")),
            line(
                "JDBC",
                format!(
                    "jdbc:mysql://{host}:{port}/{db}?sslMode=VERIFY_IDENTITY&trustCertificateKeyStoreUrl=file:ca.p12"
                ),
            ),
        ],
        "ssh" => vec![
            line("ssh", format!("ssh -p {port} me@{host}")),
            line("certificates", "doorward ssh-config >> ~/.ssh/config".to_owned()),
        ],
        "kubernetes" => vec![
            line(
                "kubectl",
                format!(
                    "kubectl --server=https://{host}:{port} --certificate-authority=ca.crt --token=$TOKEN get pods"
                ),
            ),
            line(
                "kubeconfig",
                format!(
                    "kubectl config set-cluster {name} --server=https://{host}:{port} --certificate-authority=ca.crt"
                ),
            ),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_endpoint_and_the_database() {
        for kind in ["postgres", "mysql", "ssh", "kubernetes"] {
            let lines = lines(kind, "gw.example.com", 6432, Some("orders"), "shop");
            let first = lines.first().map(|l| l.line.plain()).unwrap_or_default();
            assert!(first.contains("gw.example.com") && first.contains("6432"), "{kind}: {first}");
        }
        let lines = lines("postgres", "gw", 1, Some("orders"), "x");
        assert!(lines.iter().all(|l| l.line.plain().contains("orders")));
    }
}
