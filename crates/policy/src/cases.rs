//! Policy tests: cases in TOML, run against policies without a database.
//!
//! ```toml
//! connection = "orders"
//!
//! [attributes]                     # what the configuration says of the connection, where it is not asked
//! labels = { environment = "prod" }
//! tags   = { "public.customers.email" = ["pii", "email"] }
//!
//! [[case]]
//! name   = "agents see no e-mail addresses"
//! groups = ["agents"]
//! access = ["reveal Column public.customers.email"]
//! expect = "masked"                # forward | hold | refuse | clear | masked
//! ```
use crate::{Engine, Explanation, explain, kubernetes};
use doorward_enforce::Subject;
use doorward_model::{
    Access, Action, ConnectionInfo, ConnectionName, DataType, Delegation, Facts, Name, Principal, PrincipalKind,
    Resource, SessionId, Timestamp,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Reads the facts of a statement; the caller brings the grammar.
pub type ReadFacts<'a> = dyn Fn(&str) -> Result<Facts, String> + 'a;

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// The connection that the cases are about.
    pub connection: String,
    /// The policy files, from the folder of this file on; the caller's own where it names none.
    #[serde(default)]
    pub policies: Vec<String>,
    #[serde(default)]
    attributes: Attributes,
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Attributes {
    kind: String,
    database: Option<String>,
    labels: BTreeMap<String, String>,
    tags: BTreeMap<String, BTreeSet<String>>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { kind: "postgres".into(), database: None, labels: BTreeMap::new(), tags: BTreeMap::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "anybody")]
    principal: String,
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default)]
    user: bool,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// The person that the agent acts for.
    on_behalf_of: Option<Person>,
    statement: Option<String>,
    #[serde(default)]
    access: Vec<String>,
    /// For update and delete in `access`.
    #[serde(default)]
    has_where: bool,
    /// For `access`: with the rights of the superuser.
    #[serde(default)]
    as_root: bool,
    /// Seconds since 1970 (UTC).
    at: Option<u64>,
    client_ip: Option<IpAddr>,
    tls: Option<bool>,
    expect: Expected,
    /// Policies that must be among those that decided.
    #[serde(default)]
    by: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    principal: String,
    #[serde(default)]
    groups: BTreeSet<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

fn anybody() -> String {
    "dev/tester".into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Forward,
    Hold,
    Refuse,
    Clear,
    Masked,
}

impl Expected {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
            Self::Clear => "clear",
            Self::Masked => "masked",
        }
    }
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CaseResult {
    /// The case.
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl std::fmt::Display for CaseResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.failure {
            None => write!(f, "ok    {}", self.name),
            Some(why) => write!(f, "FAIL  {}: {why}", self.name),
        }
    }
}

impl CaseFile {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Runs every case. `configured` is what the configuration knows of the connection; the file's own
    /// attributes come on top. `now` is the time of cases that name none.
    pub fn run(
        &self,
        engine: &Engine,
        configured: Option<&ConnectionInfo>,
        facts: &ReadFacts<'_>,
        now: Timestamp,
    ) -> Vec<CaseResult> {
        let connection = self.connection(configured);
        let run = |case: &Case| CaseResult {
            name: case.name.clone(),
            failure: case.run(engine, &connection, facts, now).err(),
        };
        self.cases.iter().map(run).collect()
    }

    fn connection(&self, configured: Option<&ConnectionInfo>) -> ConnectionInfo {
        let own = &self.attributes;
        let mut info = configured.cloned().unwrap_or_else(|| ConnectionInfo {
            name: ConnectionName::new(&self.connection),
            kind: own.kind.clone(),
            database: Some(self.connection.as_str().into()),
            labels: BTreeMap::new(),
            tags: BTreeMap::new(),
        });
        if let Some(database) = &own.database {
            info.database = Some(database.as_str().into());
        }
        info.labels.extend(own.labels.clone());
        info.tags.extend(own.tags.clone());
        info
    }
}

impl Case {
    fn run(
        &self,
        engine: &Engine,
        connection: &ConnectionInfo,
        read: &ReadFacts<'_>,
        now: Timestamp,
    ) -> Result<(), String> {
        let facts = match self.facts(read) {
            Ok(facts) => facts,
            // What cannot be read is refused.
            Err(_) if self.expect == Expected::Refuse && self.statement.is_some() && self.by.is_empty() => {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        if self.user && self.on_behalf_of.is_some() {
            return Err("it is agents that act `on_behalf_of` somebody, not a `user`".into());
        }
        let now = self.at.map_or(now, Timestamp::from_secs);
        let got = explain(engine, &Arc::new(self.subject(connection)), &facts, now);
        let outcome = match self.expect {
            Expected::Forward | Expected::Hold | Expected::Refuse => got.outcome,
            Expected::Clear | Expected::Masked => revealed(&got),
        };
        let expected = self.expect.as_str();
        if outcome != expected {
            return Err(format!("expected {expected}, got {outcome}\n{got}"));
        }
        let decided = |id: &String| got.steps.iter().flat_map(|s| &s.policies).any(|p| p.id == *id);
        match self.by.iter().find(|id| !decided(id)) {
            Some(id) => Err(format!("expected `{id}` to decide\n{got}")),
            None => Ok(()),
        }
    }

    fn facts(&self, read: &ReadFacts<'_>) -> Result<Facts, String> {
        match (&self.statement, self.access.is_empty()) {
            (Some(statement), true) => read(statement),
            (None, false) => {
                let accesses = self.access.iter().map(|text| self.access(text)).collect::<Result<Vec<_>, _>>()?;
                let command = accesses.first().map_or("", |a| a.action.as_str()).to_uppercase();
                Ok(Facts::new(&command, 1, accesses))
            }
            (Some(_), false) | (None, true) => Err("a case needs either `statement` or `access`".into()),
        }
    }

    fn access(&self, text: &str) -> Result<Access, String> {
        let bad = || format!("`{text}` is not an access such as `select Table public.orders`");
        let (action, resource) = text.trim().split_once(' ').unwrap_or((text.trim(), "Connection"));
        let action: Action = action.parse().map_err(|()| bad())?;
        let (kind, name) = resource.trim().split_once(' ').unwrap_or((resource.trim(), ""));
        let resource = resource_of(kind, name.trim()).ok_or_else(bad)?;
        let has_where = self.has_where && matches!(action, Action::Update | Action::Delete);
        Ok(Access { action, resource, has_where, as_root: self.as_root })
    }

    fn subject(&self, connection: &ConnectionInfo) -> Subject {
        let kind = if self.user { PrincipalKind::User } else { PrincipalKind::Agent };
        let delegation = |p: &Person| Delegation {
            person: made_up(PrincipalKind::User, &p.principal, &p.groups, &p.tags),
            prior_actors: Vec::new(),
        };
        Subject {
            session: SessionId::from_uuid(Default::default()),
            principal: Principal {
                on_behalf_of: self.on_behalf_of.as_ref().map(|p| Box::new(delegation(p))),
                ..made_up(kind, &self.principal, &self.groups, &self.tags)
            },
            connection: connection.clone(),
            client_ip: self.client_ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tls: self.tls.unwrap_or(true),
        }
    }
}

/// Somebody who never comes: `issuer/subject`.
fn made_up(kind: PrincipalKind, id: &str, groups: &BTreeSet<String>, tags: &BTreeMap<String, String>) -> Principal {
    let (issuer, subject) = id.split_once('/').unwrap_or(("dev", id));
    Principal {
        kind,
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        groups: groups.clone(),
        tags: tags.clone(),
        token_id: None,
        expires_at: Timestamp::from_micros(u64::MAX),
        on_behalf_of: None,
    }
}

fn revealed(got: &Explanation) -> &'static str {
    let reveals: Vec<_> = got.steps.iter().filter(|s| s.access.action == Action::Reveal).collect();
    match reveals.iter().all(|s| s.allowed && s.error.is_none()) {
        _ if reveals.is_empty() => "no reveal",
        true => "clear",
        false => "masked",
    }
}

/// A resource by its type and its name within the connection, as [`Resource::local_id`] prints it.
fn resource_of(kind: &str, id: &str) -> Option<Resource> {
    let whole = || Some(Name::from(id)).filter(|n| !n.is_empty());
    let one = || <[Name; 1]>::try_from(parts(id)?).ok().map(|[name]| name);
    let two = || <[Name; 2]>::try_from(parts(id)?).ok();
    Some(match kind {
        "Connection" if id.is_empty() => Resource::Connection,
        "Database" => Resource::Database { name: one()? },
        "Schema" => Resource::Schema { name: one()? },
        "Setting" => Resource::Setting { name: one()? },
        "Role" => Resource::Role { name: one()? },
        "Channel" => Resource::Channel { name: one()? },
        "Table" => two().map(|[schema, name]| Resource::Table { schema, name })?,
        "Function" => two().map(|[schema, name]| Resource::Function { schema, name })?,
        "Column" => {
            let [schema, table, name] = <[Name; 3]>::try_from(parts(id)?).ok()?;
            Resource::Column { schema, table, name }
        }
        "File" => Resource::File { path: whole()? },
        "Program" => {
            let mut words = id.split_whitespace().map(Name::from);
            let name = words.next()?;
            Resource::Program { command: whole()?, name, arguments: words.collect() }
        }
        "Variable" => Resource::Variable { name: whole()? },
        "Host" => {
            let (host, port) = id.rsplit_once(':')?;
            Resource::Host { host: host.into(), port: port.parse().ok()? }
        }
        "Opaque" => Resource::Opaque { what: whole()? },
        "Object" => {
            let (kind, name) = id.split_once(':')?;
            Resource::Object { kind: kind.into(), name: name.into() }
        }
        "DataType" => Resource::DataType { data_type: *DataType::ALL.iter().find(|d| d.as_str() == id)? },
        kind => return kubernetes::resource_of(kind, id),
    })
}

/// The parts of a dotted name; those in double quotes as they are.
fn parts(id: &str) -> Option<Vec<Name>> {
    let (mut out, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = id.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => out.push(Name::from(std::mem::take(&mut part))),
            _ => part.push(c),
        }
    }
    out.push(Name::from(part));
    (!quoted && out.iter().all(|p| !p.is_empty())).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed() {
        let table = |schema: &str, name: &str| Resource::Table { schema: schema.into(), name: name.into() };
        for resource in [table("public", "orders"), table("a.b", "c\"d"), table("Public", "x y")] {
            assert_eq!(resource_of("Table", &resource.local_id()), Some(resource));
        }
        assert_eq!(resource_of("Table", "orders"), None);
        assert_eq!(resource_of("Table", "public.\"orders"), None);
        assert_eq!(resource_of("Tabel", "public.orders"), None);
    }
}
