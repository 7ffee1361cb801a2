//! Tab in a governed shell: the names of files that could follow.
use super::{
    channel::Channel,
    flow::{self, Far},
    inbox::Item,
    program,
    session::{Asked, Gone},
};
use doorward_ssh::shown::Around;
use doorward_ssh::{
    codec::Stream,
    completion::{Completion, Partial},
    facts,
};
use std::time::Duration;

/// How long the target may take to list a directory.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest list that is read, in bytes.
const LONGEST_LIST: usize = 256 * 1024;

impl Channel {
    /// Completes the path that a line ends with, or rings the bell.
    pub(super) async fn complete(&mut self, line: &str) -> Result<(), Gone> {
        let directory = self.governed.as_ref().and_then(|g| g.directory.as_deref());
        let completion = match Partial::of(line, directory) {
            Some(partial) => match self.listing(&partial).await? {
                Some(listing) => partial.complete(&listing),
                None => Completion::Nothing,
            },
            None => Completion::Nothing,
        };
        let Some(governed) = &mut self.governed else { return Ok(()) };
        let mut out = Vec::new();
        match completion {
            Completion::Nothing => out.push(0x07),
            Completion::Insert(text) => governed.editor.insert(&text, &mut out),
            Completion::Choices(names, more) => {
                let more = if more > 0 { format!("  … and {more} more") } else { String::new() };
                out.extend_from_slice(format!("\r\n{}{more}\r\n", names.join("  ")).as_bytes());
                governed.editor.again(&mut out);
            }
        }
        self.near.show(&self.session, Stream::Data, &out).await
    }

    /// Has the target list a directory, if policy allows it without asking anybody. What the caller may not see in
    /// what programs write is masked in it, too.
    async fn listing(&self, partial: &Partial) -> Result<Option<Vec<u8>>, Gone> {
        let session = &self.session;
        let command = partial.command();
        let meaning = facts::exec(command.as_bytes(), session.login);
        let asked =
            Asked { via: "completion", meaning: &meaning, payload: command.as_bytes(), around: Around::default() };
        let Some(permit) = session.decide_at_once(asked) else { return Ok(None) };
        let command = session.redeem(permit, command.as_bytes()).await?;
        let Ok(channel) = session.upstream.handle.channel_open_session().await else { return Ok(None) };
        let far = Far { inbox: session.upstream.inbox(channel.id()), end: channel.split().1 };
        let listed = async {
            far.end.exec(false, command).await?;
            read(&far).await
        };
        let listed = tokio::time::timeout(PATIENCE, listed).await;
        let _gone = far.end.close().await;
        session.upstream.inboxes.lock().remove(&far.end.id());
        Ok(listed.ok().transpose()?.map(|listing| program::masked(session, &listing)))
    }
}

/// What a program writes, until it ends or has written enough.
async fn read(far: &Far) -> Result<Vec<u8>, Gone> {
    let mut all = Vec::new();
    while all.len() < LONGEST_LIST {
        match far.inbox.next().await {
            Item::Data(stream, bytes) => {
                if stream == Stream::Data {
                    all.extend_from_slice(&bytes);
                }
                flow::grant(&far.end, bytes.len()).await?;
            }
            Item::Closed | Item::Eof => break,
            Item::Exit(_) | Item::ExitSignal { .. } | Item::Request(_) => {}
        }
    }
    Ok(all)
}
