//! `doorward policy`, and the loading of policies for the gateway.
use crate::{
    BadConfiguration,
    cli::{PolicyCommand, Who},
    config::Config,
    policy_explain::{self, Question},
};
use anyhow::{Context as _, Result, anyhow, bail};
use doorward_enforce::Subject;
use doorward_model::{Delegation, Principal, PrincipalKind, SessionId, Timestamp};
use doorward_policy::{Loaded, SCHEMA, Source};
use doorward_sql::postgres::Environment;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// The files that a configuration names, in order.
pub(crate) fn files(config: &Config) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for pattern in &config.policy.files {
        let absolute = config.path(Path::new(pattern));
        let text = absolute.to_str().ok_or_else(|| anyhow!("`{pattern}` is not UTF-8"))?;
        let mut found: Vec<PathBuf> = glob::glob(text)
            .with_context(|| format!("`{pattern}` is not a file pattern"))?
            .collect::<Result<_, _>>()?;
        if found.is_empty() {
            bail!("[policy] files: `{pattern}` matches no file");
        }
        found.sort();
        out.extend(found);
    }
    out.dedup();
    Ok(out)
}

/// Reads and checks the policies of a configuration: its files, the roles, and what other settings stand for.
pub(crate) fn load(config: &Config) -> Result<Loaded> {
    load_sources(&sources(config)?)
}

/// The texts that a configuration comes to.
pub(crate) fn sources(config: &Config) -> Result<Vec<Source>> {
    let mut sources = read(&files(config)?)?;
    sources.push(match &config.policy.roles {
        Some(path) => read(&[config.path(path)])?.remove(0),
        None => Source { name: "shipped roles".into(), text: doorward_policy::ROLES.into() },
    });
    if !config.server.operators.is_empty() {
        sources.push(operators(&config.server.operators)?);
    }
    Ok(sources)
}

/// `[server] operators` as a policy.
fn operators(groups: &[String]) -> Result<Source> {
    let mut text = String::new();
    for (n, group) in groups.iter().enumerate() {
        if group.contains(['"', '\\']) || group.chars().any(char::is_control) {
            bail!("[server] operators: `{}` cannot be a group", group.escape_debug());
        }
        text.push_str(&format!(
            "@id(\"server-operators-{n}\")\npermit (principal in Group::\"{group}\", action in \
             [Action::\"view_sessions\", Action::\"kill_session\"], resource);\n"
        ));
    }
    Ok(Source { name: "[server] operators".into(), text })
}

pub(crate) fn load_files(files: &[PathBuf]) -> Result<Loaded> {
    load_sources(&read(files)?)
}

fn read(files: &[PathBuf]) -> Result<Vec<Source>> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Source { name: path.display().to_string(), text })
    };
    files.iter().map(read).collect()
}

pub(crate) fn load_sources(sources: &[Source]) -> Result<Loaded> {
    doorward_policy::load(sources).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    })
}

pub(crate) fn run(command: PolicyCommand) -> Result<ExitCode> {
    match command {
        PolicyCommand::Schema => print!("{SCHEMA}"),
        PolicyCommand::Roles => print!("{}", doorward_policy::ROLES),
        PolicyCommand::Check { files: given, config } => {
            let loaded = if given.is_empty() {
                load(&Config::load(&config.config).context(BadConfiguration)?).context(BadConfiguration)?
            } else {
                load_files(&given).context(BadConfiguration)?
            };
            println!("ok: {} policies (version {})", loaded.policies().count(), loaded.version);
        }
        PolicyCommand::Explain { statement, connection, who, database, config, live, api } => {
            let question = Question { statement, connection, database, who };
            if live {
                policy_explain::live(question, &api)?;
            } else {
                policy_explain::offline(question, &config.config, api.output)?;
            }
        }
        PolicyCommand::Test { files, config, policy } => {
            return crate::policy_test::run(&files, &config.config, &policy);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Somebody who never comes.
fn made_up(kind: PrincipalKind, id: &str, groups: Vec<String>) -> Principal {
    let (issuer, subject) = id.split_once('/').unwrap_or(("dev", id));
    Principal {
        kind,
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        groups: groups.into_iter().collect(),
        tags: Default::default(),
        token_id: None,
        expires_at: Timestamp::from_micros(u64::MAX),
        on_behalf_of: None,
    }
}

/// Somebody made up, on a connection of the configuration.
pub(crate) fn subject(config: &Config, connection: &str, who: Who) -> Result<Arc<Subject>> {
    let found = config.connections.iter().find(|c| c.name == connection);
    let found = found.ok_or_else(|| anyhow!("the configuration has no connection `{connection}`"))?;
    let mut principal =
        made_up(if who.user { PrincipalKind::User } else { PrincipalKind::Agent }, &who.principal, who.groups);
    if let Some(person) = &who.person {
        let person = made_up(PrincipalKind::User, person, who.person_groups);
        principal.on_behalf_of = Some(Box::new(Delegation { person, prior_actors: Vec::new() }));
    }
    Ok(Arc::new(Subject {
        session: SessionId::from_uuid(Default::default()),
        principal,
        connection: (*config.info(found)).clone(),
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        tls: true,
    }))
}

/// What a statement means where no database can be asked: names resolve to `public`.
pub(crate) fn offline() -> Environment {
    Environment { search_path: Arc::from(["public".into()]), ..Environment::default() }
}
