//! `doorward token`: what a token says, and whether this gateway would accept it.
use crate::{
    BadConfiguration,
    cli::{Output, TokenArgs},
    config::Config,
    state,
};
use anyhow::{Context as _, Result};
use doorward_identity::Verifier;
use doorward_model::Timestamp;
use std::{io::Read as _, process::ExitCode, time::SystemTime};

pub(crate) fn run(args: &TokenArgs) -> Result<ExitCode> {
    let config = Config::load(&args.config.config).context(BadConfiguration)?;
    let token = match &args.token {
        Some(token) => token.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin().take(64 * 1024).read_to_string(&mut text)?;
            text
        }
    };
    let verifier = Verifier::new(config.identity.issuers).context(BadConfiguration)?;
    let verified = crate::runtime()?.block_on(verifier.verify(token.trim(), Timestamp::from(SystemTime::now())));
    match (verified, args.output) {
        (Ok(principal), Output::Text) => {
            let groups: Vec<&str> = principal.groups.iter().map(String::as_str).collect();
            println!("accepted: {} ({:?})", principal.id(), principal.kind);
            println!("  groups:  {}", groups.join(", "));
            println!("  expires: {}", state::time(principal.expires_at));
            Ok(ExitCode::SUCCESS)
        }
        (Ok(principal), Output::Json) => {
            println!("{}", serde_json::to_string_pretty(&principal)?);
            Ok(ExitCode::SUCCESS)
        }
        (Err(e), _) => {
            eprintln!("not accepted: {e}");
            Ok(ExitCode::FAILURE)
        }
    }
}
