//! `doorward connections`: through the API of a running gateway; `list` reads a file where it is told to.
use crate::{
    BadConfiguration,
    approvals::{client, one_line},
    cli::{ConnectionsCommand, Output},
    config::Config,
};
use anyhow::{Context as _, Result, bail};
use doorward_control::{
    ClassificationView, Client, ClientError, ConnectionSource, ConnectionSpec, ConnectionTest, ConnectionView, LeftOut,
    NewClassification, NewConnection, NewConnectionTest,
};
use serde_json::json;
use std::{collections::BTreeSet, io::Read as _, path::Path, process::ExitCode};

/// More than this is not read of a description of a connection.
const MOST: u64 = 1 << 20;

pub(crate) fn run(command: ConnectionsCommand) -> Result<ExitCode> {
    if let ConnectionsCommand::List { config: Some(path), api } = &command {
        of_file(&Config::load(path).context(BadConfiguration)?, api.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    crate::runtime()?.block_on(asked(command))
}

async fn asked(command: ConnectionsCommand) -> Result<ExitCode> {
    match command {
        ConnectionsCommand::List { api, .. } => {
            for view in client(&api)?.connections().await? {
                listed(&view, api.output);
            }
        }
        ConnectionsCommand::Show { name, api } => {
            let view = client(&api)?.connection(&name).await?;
            match api.output {
                Output::Json => println!("{}", json!(view)),
                Output::Text => shown(&view)?,
            }
        }
        ConnectionsCommand::Set { name, file, no_test, api } => {
            let (spec, client) = (read(&file)?, client(&api)?);
            if !no_test {
                let trial = NewConnectionTest { name: Some(name.clone()), spec: spec.clone(), credential: None };
                let test = client.try_connection(&trial).await?;
                if !test.ok {
                    bail!("{}; nothing was changed (--no-test registers it all the same)", verdict(&test));
                }
                if api.output == Output::Text {
                    println!("{}", verdict(&test));
                }
            }
            let view = set(&client, name, spec).await?;
            match api.output {
                Output::Json => println!("{}", json!(view)),
                Output::Text => println!("connection {} is served on {}", view.name, view.listen),
            }
        }
        ConnectionsCommand::Test { name, api } => {
            let test = client(&api)?.test_connection(&name).await?;
            match api.output {
                Output::Json => println!("{}", json!(test)),
                Output::Text => println!("{}", verdict(&test)),
            }
            return Ok(if test.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        ConnectionsCommand::Classify { name, sample, database, apply, api } => {
            let view = client(&api)?.classify(&name, &NewClassification { sample, database, apply }).await?;
            match api.output {
                Output::Json => println!("{}", json!(view)),
                Output::Text => classified(&view),
            }
        }
        ConnectionsCommand::Delete { name, api } => {
            client(&api)?.remove_connection(&name).await?;
            println!("connection {name} is removed; its sessions have ended");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes it, or registers it where there is none.
async fn set(client: &Client, name: String, spec: ConnectionSpec) -> Result<ConnectionView> {
    match client.change_connection(&name, &spec).await {
        Err(ClientError::Refused { status: 404, .. }) => {
            Ok(client.create_connection(&NewConnection { name, spec }).await?)
        }
        other => Ok(other?),
    }
}

fn read(path: &Path) -> Result<ConnectionSpec> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(MOST).read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        file.take(MOST).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    }
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).with_context(|| path.display().to_string());
    }
    toml::from_str(&text).map_err(|e| anyhow::anyhow!("{}: {}", path.display(), e.to_string().trim_end()))
}

fn of_file(config: &Config, output: Output) -> Result<()> {
    for c in &config.connections {
        let backend = config.backend(c)?;
        let (name, listen) = backend.place();
        let (info, upstream) = (config.info(c), backend.upstream());
        match output {
            Output::Text => println!("{name:<16} {:<10} {listen:<22} -> {upstream}", info.kind),
            Output::Json => println!("{}", json!({ "connection": &*info, "listen": listen, "upstream": upstream })),
        }
    }
    Ok(())
}

fn listed(view: &ConnectionView, output: Output) {
    if output == Output::Json {
        println!("{}", json!(view));
        return;
    }
    let source = match view.source {
        ConnectionSource::File => "file",
        ConnectionSource::Store => "store",
    };
    let failure = view.failure.as_ref().map(|why| format!("  NOT SERVED: {}", one_line(why))).unwrap_or_default();
    let (name, kind, listen, upstream) = (&view.name, &view.kind, &view.listen, one_line(&view.upstream));
    println!("{name:<16} {kind:<10} {listen:<22} -> {upstream:<28} {source}{failure}");
}

fn shown(view: &ConnectionView) -> Result<()> {
    listed(view, Output::Text);
    for (key, value) in &view.labels {
        println!("  label {} = {}", one_line(key), one_line(value));
    }
    for (name, tags) in &view.tags {
        let tags: Vec<_> = tags.iter().map(|t| one_line(t)).collect();
        println!("  tag   {} = {}", one_line(name), tags.join(", "));
    }
    if let Some(spec) = &view.spec {
        let by = view.updated_by.as_deref().unwrap_or_default();
        println!("\n# version {} by {}", view.version.unwrap_or_default(), one_line(by));
        print!("{}", toml::to_string(spec)?);
    }
    Ok(())
}

fn classified(view: &ClassificationView) {
    for column in &view.columns {
        let mut evidence: Vec<String> =
            column.found.iter().map(|(kind, n)| format!("{kind} in {n} of {}", column.sampled)).collect();
        evidence.extend(column.named.iter().map(|kind| format!("named like {kind}")));
        let tags = |tags: &BTreeSet<String>| tags.iter().map(|t| one_line(t)).collect::<Vec<_>>().join(", ");
        let verdict = match (column.proposed.is_empty(), column.tags.is_empty(), view.applied) {
            (false, _, true) => format!("tagged {}", tags(&column.proposed)),
            (false, _, false) => format!("propose {}", tags(&column.proposed)),
            (true, false, _) => format!("has {}", tags(&column.tags)),
            (true, true, _) => "nothing proposed".to_owned(),
        };
        println!("{:<40} {:<32} {}", one_line(&column.column), verdict, evidence.join("; "));
    }
    for LeftOut { table, why } in &view.left_out {
        println!("{:<40} NOT LOOKED AT: {}", one_line(table), one_line(why));
    }
    let proposed = view.columns.iter().filter(|c| !c.proposed.is_empty()).count();
    let end = if view.applied { "tagged" } else { "to be tagged" };
    println!("{} columns, {} rows of each table at most: {proposed} {end}", view.looked_at, view.sample);
}

fn verdict(test: &ConnectionTest) -> String {
    if let Some(why) = &test.failure {
        return format!("it cannot be used: {}", one_line(why));
    }
    let server = test.server.as_deref().map(|s| format!(" ({})", one_line(s))).unwrap_or_default();
    let logged_in =
        if test.logged_in { "logged in" } else { "reached, not logged in: callers log in there themselves" };
    let way = if test.encrypted { "encrypted" } else { "NOT encrypted" };
    let key = test.host_key.as_deref().map(|k| format!("\nhost key: {}", one_line(k))).unwrap_or_default();
    format!("{logged_in}{server}, {way}, in {} ms{key}", test.milliseconds)
}
