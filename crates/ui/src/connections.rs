//! Connections, and how to reach them; settings.
use crate::{Inert, Shell};
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
}

/// All connections.
#[derive(Debug, Template)]
#[template(path = "connections.html")]
pub struct ConnectionsPage {
    /// The frame.
    pub shell: Shell,
    /// Those that the person may see.
    pub connections: Vec<Connection>,
}

/// An issuer whose tokens are taken.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name here.
    pub name: Inert,
    /// Its address.
    pub url: Inert,
    /// What its tokens are for.
    pub audience: Inert,
    /// `agent` or `person`.
    pub kind: &'static str,
}

/// How the gateway is set up.
#[derive(Debug, Template)]
#[template(path = "settings.html")]
pub struct SettingsPage {
    /// The frame.
    pub shell: Shell,
    /// The program's version.
    pub version: &'static str,
    /// The policies' version.
    pub policy_version: String,
    /// Where people reach it.
    pub public_url: Inert,
    /// Issuers.
    pub issuers: Vec<Issuer>,
    /// Who looks.
    pub groups: Vec<Inert>,
    /// Until when they are signed in.
    pub until: doorward_model::Timestamp,
}
