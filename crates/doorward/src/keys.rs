//! `doorward keys` and `doorward exports`: through the API alone, as what they show is the running gateway's.
use crate::{
    approvals::{client, one_line},
    cli::{ExportsCommand, KeysCommand, Output},
    state,
};
use anyhow::Result;
use doorward_control::{
    ApiKeyList, ApiKeyMade, ApiKeyView, ExportList, ExportView, NewApiKey, ScopeView, form_urlencoded,
};
use doorward_store::Limit;

const DAY: u64 = 86_400;

pub(crate) fn run(command: KeysCommand) -> Result<()> {
    crate::runtime()?.block_on(async {
        match command {
            KeysCommand::List { all, api } => {
                let path = format!("keys?owner={}", if all { "all" } else { "mine" });
                let keys = client(&api)?.all(&path, |page: ApiKeyList| (page.keys, page.next)).await?;
                keys.iter().for_each(|k| line(k, api.output));
            }
            KeysCommand::Create { name, actions, connections, days, api } => {
                let limit = |names: Vec<String>| {
                    if names.is_empty() { Limit::All } else { Limit::Only(names.into_iter().collect()) }
                };
                let scope = ScopeView { actions: limit(actions), connections: limit(connections) };
                let new = NewApiKey { name, scope, ttl_seconds: Some(days.saturating_mul(DAY)) };
                let made: ApiKeyMade = client(&api)?.post("keys", &new).await?;
                match api.output {
                    Output::Json => println!("{}", serde_json::json!(made)),
                    Output::Text => {
                        eprintln!(
                            "key {} is good until {}; its secret, shown this once:",
                            made.key.id,
                            state::time(made.key.expires)
                        );
                        println!("{}", made.secret);
                    }
                }
            }
            KeysCommand::Revoke { id, api } => {
                client(&api)?.delete(&format!("keys/{}", form_urlencoded(&id))).await?;
                println!("key {} is revoked", one_line(&id));
            }
        }
        Ok(())
    })
}

fn line(k: &ApiKeyView, output: Output) {
    if output == Output::Json {
        println!("{}", serde_json::json!(k));
        return;
    }
    let used = k.last_used.map_or_else(|| "never used".to_owned(), |t| format!("used {}", state::time(t)));
    let stands = match k.revoked {
        Some(t) => format!("revoked {}", state::time(t)),
        None => format!("until {}", state::time(k.expires)),
    };
    println!("{}  {:<24} {:<24} {used}, {stands}", k.id, one_line(&k.name), one_line(&k.principal));
}

pub(crate) fn exports(command: &ExportsCommand) -> Result<()> {
    let ExportsCommand::List { api } = command;
    let found = crate::runtime()?.block_on(async {
        Ok::<_, anyhow::Error>(client(api)?.all("exports", |page: ExportList| (page.exports, page.next)).await?)
    })?;
    for e in &found {
        match api.output {
            Output::Json => println!("{}", serde_json::json!(e)),
            Output::Text => export(e),
        }
    }
    Ok(())
}

fn export(e: &ExportView) {
    let at = e.position.map_or_else(|| "the beginning".to_owned(), |seq| format!("line {seq}"));
    println!(
        "{:<20} {:<12} {:<9} at {at}, {} lines behind, {} acknowledged",
        e.name, e.kind, e.state, e.lag, e.acknowledged
    );
    if let Some(failure) = &e.last_error {
        println!("    last failure {}: {}", state::time(failure.time), one_line(&failure.what));
    }
}
