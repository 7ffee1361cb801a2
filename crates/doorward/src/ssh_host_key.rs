//! `doorward ssh-host-key`: the keys by which callers know the gateway, and changing them.
use crate::{cli::SshHostKeyCommand, state};
use anyhow::{Context as _, Result};
use doorward_gateway::ssh;

pub(crate) fn run(command: &SshHostKeyCommand) -> Result<()> {
    let (SshHostKeyCommand::Show(args) | SshHostKeyCommand::Prepare(args) | SshHostKeyCommand::Rotate(args)) = command;
    let state = state::dir(args)?;
    // A mistyped folder is not to get keys.
    let keys = std::fs::canonicalize(state.join("keys"))
        .with_context(|| format!("no keys in {}: has `doorward serve` run with it?", state.display()))?;
    match command {
        SshHostKeyCommand::Show(_) => {
            let all = ssh::public_host_keys(&keys)?;
            for (key, what) in all.iter().zip(["shown to callers", "announced to callers, to be shown next"]) {
                println!("{key}  # {what}");
            }
        }
        SshHostKeyCommand::Prepare(_) => {
            println!("{}", ssh::prepare_host_key(&keys)?);
            eprintln!(
                "announced to every caller from now on. When all have been here, or know it by other means: \
                 doorward ssh-host-key rotate"
            );
        }
        SshHostKeyCommand::Rotate(_) => {
            let key = ssh::rotate_host_key(&keys).context("`doorward ssh-host-key prepare` makes the next key")?;
            println!("{key}");
            eprintln!("shown to callers from now on; sessions that are open go on. The old key is kept aside.");
        }
    }
    Ok(())
}
