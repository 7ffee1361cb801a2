//! The `doorward` command.
mod approvals;
mod audit;
mod backup;
mod cli;
mod config;
mod connection_commands;
mod connections;
mod credentials;
mod dev;
mod directory;
mod doors;
mod exports;
mod keys;
mod kube_token;
mod kubeconfig;
mod listeners;
mod login;
mod notify;
mod playback;
mod policy;
mod policy_explain;
mod policy_test;
mod remote_audit;
mod remote_sessions;
mod retention;
mod secrets;
mod serve;
mod sessions;
mod sessions_kubernetes;
mod sessions_ssh;
mod sign_in;
mod signed_in;
mod sources;
mod ssh_access;
mod ssh_cert;
mod ssh_host_key;
mod state;
mod telemetry;
mod terminal_keys;
mod token;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use cli::{Cli, Command};
use config::Config;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bad configuration or policies.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    quiet_broken_pipe();
    let cli = Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("doorward: the cryptographic provider was installed twice");
        return ExitCode::FAILURE;
    }
    match run(cli) {
        Ok(code) => code,
        // A reader that has seen enough (`| head`) is no error.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("doorward: {e:#}");
            if e.is::<BadConfiguration>() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

/// `println!` panics when its reader has seen enough (`| head`): that ends the program, quietly.
fn quiet_broken_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.contains("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Marks errors that end with exit code 2.
#[derive(Debug)]
struct BadConfiguration;

impl std::fmt::Display for BadConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bad configuration")
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => {
            let config = Config::load(&args.config).context(BadConfiguration)?;
            serve::run(config)?;
        }
        Command::Check(args) => {
            let config = Config::load(&args.config).context(BadConfiguration)?;
            let loaded = policy::load(&config).context(BadConfiguration)?;
            let n = loaded.policies().count();
            for warning in loaded.warnings() {
                eprintln!("warning: {warning}");
            }
            println!("ok: {} connections, {n} policies (version {})", config.connections.len(), loaded.version);
        }
        Command::Policy(command) => return policy::run(command),
        Command::Connections(command) => return connection_commands::run(command),
        Command::Approvals(command) => approvals::run(command)?,
        Command::Secrets(command) => return secrets::run(command),
        Command::Sessions(command) => return sessions::run(command),
        Command::Audit(command) => return audit::run(command),
        Command::Backup(args) => backup::back_up(&args)?,
        Command::Restore(args) => backup::restore(&args)?,
        Command::Exports(command) => keys::exports(&command)?,
        Command::Keys(command) => keys::run(command)?,
        Command::Login(args) => login::login(&args)?,
        Command::Logout(args) => login::logout(&args)?,
        Command::Token(args) => return token::run(&args),
        Command::Kubeconfig(args) => kubeconfig::run(&args)?,
        Command::KubeToken(args) => kube_token::run(&args)?,
        Command::SshCert(args) => ssh_cert::certificate(&args)?,
        Command::SshConfig(args) => ssh_cert::config(&args)?,
        Command::SshHostKey(command) => ssh_host_key::run(&command)?,
        Command::Dev(command) => dev::run(command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The async runtime of commands that talk to a network.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the async runtime")
}
