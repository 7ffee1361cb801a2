//! Connections, and how to reach them.
use crate::{Inert, Notice, Shell};
use askama::Template;

/// A line for a client.
#[derive(Clone, Debug)]
pub struct ClientLine {
    /// Which client.
    pub client: &'static str,
    /// The line.
    pub line: Inert,
}

/// A registered backend.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its name.
    pub name: Inert,
    /// Its kind.
    pub kind: Inert,
    /// Where callers reach it.
    pub endpoint: Inert,
    /// Where it leads to.
    pub upstream: Inert,
    /// Its database, where it is pinned.
    pub database: Option<Inert>,
    /// Labels, `name=value`.
    pub labels: Vec<Inert>,
    /// What is tagged: names and tags.
    pub tags: Vec<(Inert, Inert)>,
    /// Lines to copy.
    pub lines: Vec<ClientLine>,
    /// Sessions that are open.
    pub live: usize,
    /// Why it is not served.
    pub failure: Option<Inert>,
    /// Whether it was registered here, and may be changed here.
    pub stored: bool,
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Whether the upstream can be used.
    pub ok: bool,
    /// What happened.
    pub text: Inert,
    /// SSH: the host key that was shown.
    pub host_key: Option<Inert>,
}

/// One connection.
#[derive(Debug, Template)]
#[template(path = "connection.html")]
pub struct ConnectionPage {
    /// The frame.
    pub shell: Shell,
    /// The connection.
    pub c: Connection,
    /// What to say first.
    pub notice: Option<Notice>,
    /// What came of a trial.
    pub trial: Option<Trial>,
    /// Who wrote it, and which version it is: of one that is kept here.
    pub written: Option<(Inert, i64, doorward_model::Timestamp)>,
    /// The secret that it uses.
    pub secret: Option<Inert>,
    /// Whether the person may change and remove it.
    pub may_edit: bool,
    /// Whether the person may try it.
    pub may_test: bool,
    /// Whether the person may replace its credential.
    pub may_rotate: bool,
}

/// What was typed, as it was typed: the credential is not among it.
#[derive(Clone, Debug, Default)]
pub struct ConnectionFields {
    /// What it is called.
    pub name: String,
    /// `postgres`, `mysql`, `ssh`, `kubernetes`.
    pub kind: String,
    /// Where callers connect.
    pub listen: String,
    /// Where it leads to.
    pub upstream: String,
    /// The database, pinned.
    pub database: String,
    /// Who logs in.
    pub user: String,
    /// A secret that is kept already.
    pub secret: String,
    /// TLS towards the upstream.
    pub tls: String,
    /// Authorities, in PEM.
    pub tls_ca: String,
    /// Host keys, one a line.
    pub host_keys: String,
    /// Whether the first host key is to be trusted.
    pub trust: bool,
    /// Whether the gateway speaks in the caller's name.
    pub impersonate: bool,
    /// `wait` or `retry`.
    pub held: String,
    /// Whether sessions end when the credential is replaced.
    pub ends: bool,
    /// `name = value`, one a line.
    pub labels: String,
    /// `name = tag, tag`, one a line.
    pub tags: String,
}

/// A form for a connection.
#[derive(Debug, Template)]
#[template(path = "connection_form.html")]
pub struct ConnectionForm {
    /// The frame.
    pub shell: Shell,
    /// What was typed.
    pub f: ConnectionFields,
    /// Whether it is one that there is not yet.
    pub new: bool,
    /// The version that is changed.
    pub version: Option<i64>,
    /// What is wrong.
    pub problem: Option<Inert>,
    /// What came of a trial.
    pub trial: Option<Trial>,
    /// Secrets that are kept, by name.
    pub secrets: Vec<Inert>,
    /// Whether the person may store a secret.
    pub may_store: bool,
}

impl ConnectionForm {
    /// Kinds, with their names for people.
    pub const fn kinds(&self) -> [(&'static str, &'static str); 4] {
        [("postgres", "PostgreSQL"), ("mysql", "MySQL, MariaDB"), ("ssh", "SSH"), ("kubernetes", "Kubernetes")]
    }

    /// An upstream to show as an example.
    pub fn example(&self) -> &'static str {
        match self.f.kind.as_str() {
            "mysql" => "db.internal:3306",
            "ssh" => "host.internal:22",
            "kubernetes" => "cluster.internal:6443",
            _ => "db.internal:5432",
        }
    }
}

/// All connections.
#[derive(Debug, Template)]
#[template(path = "connections.html")]
pub struct ConnectionsPage {
    /// The frame.
    pub shell: Shell,
    /// Those that the person may see.
    pub connections: Vec<Connection>,
    /// What to say first.
    pub notice: Option<Notice>,
    /// Whether the person may register one.
    pub may_add: bool,
}
