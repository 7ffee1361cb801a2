//! Connections with lines to copy, and settings.
use super::{
    Parts,
    page::{self, Answer},
};
use crate::{
    api::ApiState,
    rights::{Asker, KnownConnection},
};
use axum::{Extension, extract::State};
use doorward_model::{Administration, PrincipalKind};
use doorward_ui::{ClientLine, Connection, ConnectionsPage, Issuer, Section, SettingsPage};

/// An issuer, for people.
#[derive(Clone, Debug)]
pub struct IssuerView {
    /// Its name here.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What its tokens are for.
    pub audience: Vec<String>,
    /// What its principals are.
    pub kind: PrincipalKind,
}

pub(crate) async fn list(State(state): State<ApiState>, asker: Asker, Extension(parts): Parts) -> Answer {
    asker.may_on_any(Administration::ViewConnections)?;
    let live = state.sessions.list();
    let known = state.rights.connections();
    let seen = known.iter().filter(|c| {
        let name = c.info.name.as_str();
        asker.sees(Administration::ViewConnections, name)
    });
    let connections = seen.map(|c| {
        let mut shown = connection(c, &parts.public_host);
        if asker.sees(Administration::ViewSessions, c.info.name.as_str()) {
            shown.live = live.iter().filter(|s| s.connection == c.info.name.as_str()).count();
        }
        shown
    });
    let connections = connections.collect();
    let shell = page::shell(&state, &asker, Section::Connections, "Connections").await?;
    page::ok(&ConnectionsPage { shell, connections })
}

fn connection(c: &KnownConnection, public_host: &str) -> Connection {
    let info = &c.info;
    // Where it listens everywhere, people reach it as they reach this page.
    let host = if c.listen.ip().is_unspecified() { public_host.to_owned() } else { c.listen.ip().to_string() };
    let host = if c.listen.ip().is_loopback() { "localhost".to_owned() } else { host };
    let database = info.database.as_ref().map(ToString::to_string);
    Connection {
        name: info.name.to_string().into(),
        kind: info.kind.clone().into(),
        endpoint: format!("{host}:{}", c.listen.port()).into(),
        upstream: c.upstream.clone().into(),
        lines: lines(&info.kind, &host, c.listen.port(), database.as_deref(), info.name.as_str()),
        database: database.map(Into::into),
        labels: info.labels.iter().map(|(k, v)| format!("{k}={v}").into()).collect(),
        tags: info
            .tags
            .iter()
            .map(|(name, tags)| {
                let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
                (name.to_string().into(), tags.join(", ").into())
            })
            .collect(),
        live: 0,
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

pub(crate) async fn settings(State(state): State<ApiState>, asker: Asker, Extension(parts): Parts) -> Answer {
    asker.may(Administration::ViewSettings)?;
    let issuer = |i: &IssuerView| Issuer {
        name: i.name.clone().into(),
        url: i.url.clone().into(),
        audience: i.audience.join(", ").into(),
        kind: match i.kind {
            PrincipalKind::Agent => "agent",
            PrincipalKind::User => "person",
        },
    };
    page::ok(&SettingsPage {
        shell: page::shell(&state, &asker, Section::Settings, "Settings").await?,
        version: env!("CARGO_PKG_VERSION"),
        policy_version: state.book.engine().loaded().version.to_string(),
        public_url: parts.public_url.clone().into(),
        issuers: parts.issuers.iter().map(issuer).collect(),
        groups: asker.who.groups.iter().map(|g| g.clone().into()).collect(),
        until: asker.who.expires_at,
    })
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
