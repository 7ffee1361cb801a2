//! The lines of a governed shell: typed, decided, run.
use super::{
    channel::Channel,
    governed::{Governed, News, State},
    session::{Gone, Session},
};
use doorward_ssh::{
    codec::Stream,
    editor::Edited,
    facts, is_incomplete, render,
    replay::{Event, Requested},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How long what a program wrote last may still be on its way when the shell says that it is done.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// The longest command, in bytes, of however many lines.
const LONGEST: usize = 16 * 1024;
/// The most lines that a command goes on for.
const MOST_LINES: usize = 500;

/// What a governed shell says; never, where there is none.
pub(super) async fn news(governed: &mut Option<Box<Governed>>, session: &Session) -> News {
    match governed {
        Some(governed) => governed.news(session).await,
        None => std::future::pending().await,
    }
}

impl Channel {
    /// Takes what the caller has typed.
    pub(super) async fn typed(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        loop {
            let Some(governed) = &mut self.governed else { return Ok(()) };
            if !governed.started {
                // Typed before there was a prompt.
                let room = LONGEST.saturating_sub(governed.queued.len());
                governed.queued.extend(rest.iter().take(room));
                return Ok(());
            }
            if let State::Running(permit) = &governed.state {
                let permit = Arc::clone(permit);
                let Some(far) = self.far.clone().filter(|_| !rest.is_empty()) else { return Ok(()) };
                self.near.typed.store(true, Ordering::Relaxed);
                return far.send(&self.session, &self.near, &permit, rest).await;
            }
            let mut out = Vec::new();
            let mut edited = None;
            while let (None, Some((byte, tail))) = (&edited, rest.split_first()) {
                edited = governed.editor.key(*byte, &mut out);
                rest = tail;
            }
            self.near.show(&self.session, Stream::Data, &out).await?;
            match edited {
                None => return Ok(()),
                Some(edited) => self.edited(edited).await?,
            }
            // Lines that came in one piece run one after the other, and are not input of the first.
            if let Some(governed) = &mut self.governed
                && matches!(governed.state, State::Running(_))
            {
                governed.queued.splice(0..0, rest.iter().copied());
                return Ok(());
            }
        }
    }

    async fn edited(&mut self, edited: Edited) -> Result<(), Gone> {
        let Some(governed) = &mut self.governed else { return Ok(()) };
        match edited {
            Edited::Line(line) => {
                governed.open.push_str(&line);
                let may_go_on = governed.open.len() < LONGEST && governed.open.matches('\n').count() < MOST_LINES;
                if may_go_on && is_incomplete(&governed.open) {
                    governed.open.push('\n');
                    return self.prompt().await;
                }
                let command = std::mem::take(&mut governed.open);
                governed.editor.remember(&command.replace('\n', " "));
                if command.trim().is_empty() {
                    return self.prompt().await;
                }
                self.run_line(&command).await
            }
            Edited::Interrupt => {
                governed.open.clear();
                governed.queued.clear();
                self.prompt().await
            }
            Edited::End if governed.open.is_empty() => self.leave().await,
            Edited::End => {
                governed.open.clear();
                self.near.show(&self.session, Stream::Data, b"\r\n").await?;
                self.prompt().await
            }
            Edited::Complete(line) => self.complete(&line).await,
        }
    }

    /// Decides a line, and has the shell run it.
    async fn run_line(&mut self, command: &str) -> Result<(), Gone> {
        let directory = self.governed.as_ref().and_then(|g| g.directory.clone());
        let meaning = facts::line(command, self.session.login, directory.as_deref());
        self.asked(Requested::Exec, command);
        match self.decide("line", &meaning, command.as_bytes()).await {
            Ok(permit) => {
                let stream = Arc::new(permit.stream());
                let line = self.session.redeem(permit, command.as_bytes()).await?;
                let Some(governed) = &mut self.governed else { return Ok(()) };
                governed.run(&line, stream).await
            }
            Err(refusal) => {
                // At a terminal there is but one stream.
                let text = render::refusal(&refusal, true);
                self.near.show(&self.session, Stream::Data, text.as_bytes()).await?;
                self.prompt().await
            }
        }
    }

    /// Shows the prompt, on a row of its own.
    pub(super) async fn prompt(&mut self) -> Result<(), Gone> {
        let is_root = self.session.login.is_root;
        let Some(governed) = &mut self.governed else { return Ok(()) };
        let mut out = Vec::new();
        if !self.near.fresh_line.load(Ordering::Relaxed) {
            out.extend_from_slice(b"\r\n");
        }
        let prompt = governed.prompt(is_root);
        governed.editor.begin(&prompt, &mut out);
        self.near.show(&self.session, Stream::Data, &out).await?;
        self.near.fresh_line.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What reaches the shell from elsewhere.
    pub(super) async fn heard(&mut self, news: News) -> Result<(), Gone> {
        match news {
            News::Done => {
                tokio::time::sleep(LAST_WORDS).await;
                self.prompt().await?;
                let queued = self.governed.as_mut().map(|g| std::mem::take(&mut g.queued)).unwrap_or_default();
                self.typed(&queued).await?;
                self.leave_if_over().await
            }
            News::Revoked(refusal) => {
                self.session.note_revoked(self.near.number, &refusal);
                self.silence();
                if let Some(far) = &self.far {
                    // An interactive shell takes no SIGTERM, and passes SIGHUP on to what it runs; then it is ended.
                    far.end.signal(russh::Sig::HUP).await?;
                    far.end.signal(russh::Sig::KILL).await?;
                }
                self.session.say(&self.told(), &render::refusal(&refusal, true)).await?;
                self.near.end.exit_status(render::REFUSED).await?;
                self.session.event(&Event::Exit { channel: Some(self.near.number), status: render::REFUSED });
                self.near.end.eof().await?;
                self.near.end.close().await?;
                Err(Gone)
            }
            News::Gone => {
                // The shell has left, and its terminal's channel says how.
                if let Some(governed) = self.governed.take() {
                    governed.close(&self.session).await;
                }
                self.no_more_input = true;
                Ok(())
            }
        }
    }

    /// The caller has no more input: what is there runs, and then the shell leaves.
    pub(super) async fn no_more_lines(&mut self) -> Result<(), Gone> {
        if let Some(governed) = &mut self.governed {
            governed.eof = true;
        }
        self.leave_if_over().await
    }

    async fn leave_if_over(&mut self) -> Result<(), Gone> {
        match &self.governed {
            Some(g) if g.eof && g.queued.is_empty() && matches!(g.state, State::Editing) => self.leave().await,
            Some(_) | None => Ok(()),
        }
    }

    async fn leave(&mut self) -> Result<(), Gone> {
        let (Some(permit), Some(governed)) = (self.running_permit(), &mut self.governed) else { return Ok(()) };
        let for_good = governed.eof;
        governed.leave(permit, for_good).await
    }
}
