//! `doorward token`: what a token says, and whether this gateway would accept it; with `--for`, what drivers that cannot
//! send it get in exchange.
use crate::{
    BadConfiguration,
    approvals::client,
    cli::{ApiArgs, Output, TokenArgs, TokenOutput},
    config::Config,
    dev::duration,
    ssh_cert::api_host,
    state,
};
use anyhow::{Context as _, Result, bail};
use doorward_control::CredentialView;
use doorward_identity::Verifier;
use doorward_model::Timestamp;
use std::{fmt::Write as _, io::Read as _, process::ExitCode, time::SystemTime};

pub(crate) fn run(args: &TokenArgs) -> Result<ExitCode> {
    match (&args.connection, args.output) {
        (Some(connection), _) => exchange(connection, args).map(|()| ExitCode::SUCCESS),
        (None, TokenOutput::Text | TokenOutput::Json) => show(args),
        (None, TokenOutput::Password | TokenOutput::Env | TokenOutput::MyCnf) => {
            bail!("this --output is for --for CONNECTION: use text or json")
        }
    }
}

fn show(args: &TokenArgs) -> Result<ExitCode> {
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
    match verified {
        Ok(principal) if args.output == TokenOutput::Json => {
            println!("{}", serde_json::to_string_pretty(&principal)?);
            Ok(ExitCode::SUCCESS)
        }
        Ok(principal) => {
            let groups: Vec<&str> = principal.groups.iter().map(String::as_str).collect();
            println!("accepted: {principal} ({:?})", principal.kind);
            println!("  groups:  {}", groups.join(", "));
            if let Some(person) = principal.person() {
                let groups: Vec<&str> = person.groups.iter().map(String::as_str).collect();
                println!("  groups of {}:  {}", person.id(), groups.join(", "));
            }
            println!("  expires: {}", state::time(principal.expires_at));
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => {
            eprintln!("not accepted: {e}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Shows the token to the gateway, and prints what comes back.
fn exchange(connection: &str, args: &TokenArgs) -> Result<()> {
    let ttl = args.ttl.as_deref().map(duration).transpose()?;
    let api = ApiArgs {
        url: args.url.clone(),
        token: args.token.clone().or_else(|| std::env::var("DOORWARD_TOKEN").ok().filter(|t| !t.is_empty())),
        token_file: args.token_file.clone(),
        ca: args.ca.clone(),
        output: Output::Text,
    };
    let issued = crate::runtime()?.block_on(async { anyhow::Ok(client(&api)?.credential(connection, ttl).await?) })?;
    let host = issued.host.clone().unwrap_or_else(|| api_host(&args.url));
    match args.output {
        TokenOutput::Json => {
            let issued = CredentialView { host: Some(host), ..issued };
            println!("{}", serde_json::to_string_pretty(&issued)?);
        }
        TokenOutput::Password => {
            eprintln!("user {}", issued.user);
            println!("{}", issued.password);
        }
        TokenOutput::Text => {
            println!("user     {}", issued.user);
            println!("password {}", issued.password);
            println!("host     {host}");
            println!("port     {}", issued.port);
            println!("for {}, to log in until {}", issued.principal, state::time(issued.expires));
        }
        TokenOutput::Env => print!("{}", variables(&issued, &host)),
        TokenOutput::MyCnf => print!("{}", option_file(&issued, &host)?),
    }
    Ok(())
}

/// The variables that MySQL's and MariaDB's clients read, and two that they do not: the user, and the database.
fn variables(issued: &CredentialView, host: &str) -> String {
    let port = issued.port.to_string();
    let database = issued.database.as_deref().map(|d| ("MYSQL_DATABASE", d));
    let all = [
        ("MYSQL_HOST", host),
        ("MYSQL_TCP_PORT", &port),
        ("MYSQL_USER", &issued.user),
        ("MYSQL_PWD", &issued.password),
    ];
    all.into_iter().chain(database).fold(String::new(), |mut out, (name, value)| {
        let _never_fails = writeln!(out, "export {name}='{}'", value.replace('\'', "'\\''"));
        out
    })
}

/// What every client of MySQL and MariaDB takes by `--defaults-extra-file`.
fn option_file(issued: &CredentialView, host: &str) -> Result<String> {
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-_".contains(c)) {
        bail!("the host `{}` cannot stand in an option file: use --output env", host.escape_debug());
    }
    let CredentialView { port, user, password, .. } = issued;
    Ok(format!("[client]\nprotocol=tcp\nhost={host}\nport={port}\nuser={user}\npassword={password}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(database: Option<&str>) -> CredentialView {
        CredentialView {
            connection: "orders".into(),
            kind: "mysql".into(),
            host: None,
            port: 3306,
            database: database.map(str::to_owned),
            user: "dw_1".into(),
            password: "abc".into(),
            principal: "ci/bot".into(),
            expires: Timestamp::default(),
        }
    }

    #[test]
    fn a_shell_and_the_clients_can_read_it() {
        assert_eq!(
            variables(&issued(Some("it's")), "gw"),
            "export MYSQL_HOST='gw'\nexport MYSQL_TCP_PORT='3306'\nexport MYSQL_USER='dw_1'\nexport MYSQL_PWD='abc'\n\
             export MYSQL_DATABASE='it'\\''s'\n"
        );
        assert_eq!(
            option_file(&issued(None), "::1").unwrap(),
            "[client]\nprotocol=tcp\nhost=::1\nport=3306\nuser=dw_1\npassword=abc\n"
        );
        assert!(option_file(&issued(None), "a\nb").is_err());
    }
}
