//! A governed shell: Doorward reads the line, decides it, and has one shell upstream run it.
//!
//! The shell's own input is not the terminal but a pipe that a second channel writes to, so that nothing a caller
//! types, and no program's output, is ever read as a command: what is typed while a program runs goes to that
//! program. Both pipes lose their names as soon as they are open. The shell is interactive, so that jobs and Ctrl-C
//! work, and starts without the account's start-up files, which could change what a line means.
use super::{
    flow::{self, Far},
    inbox::Item,
    session::{Gone, Session},
};
use bytes::Bytes;
use doorward_enforce::{Refusal, StreamPermit};
use doorward_ssh::codec::Stream;
use doorward_ssh::editor::Editor;
use std::{fmt::Write as _, sync::Arc, time::Duration};

/// How long the shell may take to start.
const START: Duration = Duration::from_secs(10);
/// The longest report of the shell's, in bytes.
const LONGEST_REPORT: usize = 64 * 1024;
/// Run before the shell leaves for good: nothing of it stays behind. A hang-up that comes in the middle would end the shell
/// before it is through, as bash passes hang-ups on to its jobs only while it reads commands.
const END_JOBS: &str = "\\builtin trap \"\" HUP TERM PIPE; for DOORWARD in $(\\builtin jobs -p); do \\builtin kill -HUP -- -$DOORWARD; \\builtin kill -CONT -- -$DOORWARD; \
                        \\builtin kill -KILL -- -$DOORWARD; done 2>/dev/null\n";
/// The end of a report.
const END: &[u8] = b"\x01\n";

/// Run on the second channel: makes the pipes, says where they are, and passes bytes between them and the channel. When
/// that ends, so does all that is left of the shell's session (of Linux): a shell that is killed in its last moments leaves
/// its jobs to nobody.
const PIPES: &str = "exec sh -c 'command -v bash >/dev/null || { echo no-bash; exit 1; }; umask 077; d=$(mktemp -d) && \
                     mkfifo \"$d/c\" \"$d/r\" \"$d/p\" && printf \"%s\\n%s\\n\" \"$d\" \"$(cd 2>/dev/null && pwd -P)\" && \
                     { cat <\"$d/r\" & read -r p <\"$d/p\"; cat >\"$d/c\"; for k in HUP KILL; do \
                     for f in /proc/[0-9]*/stat; do { read -r s <\"$f\"; } 2>/dev/null || continue; set -- ${s##*) }; \
                     n=${f#/proc/}; [ \"$4\" = \"$p\" ] && kill -$k \"${n%/stat}\"; done; sleep 1; done; }'";

/// Why there is no governed shell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error("a governed shell needs a terminal: use `ssh -t`")]
    NoTerminal,
    #[error("a governed shell needs bash on the target")]
    NoBash,
    #[error("the target did not start the shell as it should")]
    Odd,
}

/// What the shell is at.
pub(crate) enum State {
    /// A line is being typed.
    Editing,
    /// A line runs; what is typed goes to it.
    Running(Arc<StreamPermit>),
}

/// The shell, and the line that is typed.
pub(crate) struct Governed {
    control: Far,
    pub(crate) editor: Editor,
    pub(crate) state: State,
    /// Lines of a command that goes on in the next one.
    pub(crate) open: String,
    /// What came in one piece with a line, behind it: lines to follow.
    pub(crate) queued: Vec<u8>,
    /// The shell has said where it is, and lines may be typed.
    pub(crate) started: bool,
    /// The caller has no more input.
    pub(crate) eof: bool,
    /// The shell was told to leave, and may have stayed.
    warned: bool,
    /// Where the shell is, as policies name it; none where that has no plain name.
    pub(crate) directory: Option<String>,
    home: String,
    report: Vec<u8>,
    /// What the report of the line that runs begins with.
    nonce: String,
    name: String,
}

/// What reaches a governed shell from elsewhere.
pub(crate) enum News {
    /// The line is done.
    Done,
    /// What runs may no longer.
    Revoked(Refusal),
    /// The second channel is gone.
    Gone,
}

impl Governed {
    /// Starts the shell on a channel that has a terminal. The caller hears nothing of the second channel.
    pub(crate) async fn start(session: &Session, far: &Far, columns: u32) -> Result<Self, NotStarted> {
        let channel = session.upstream.handle.channel_open_session().await.map_err(|_| NotStarted::Odd)?;
        let control = Far { inbox: session.upstream.inbox(channel.id()), end: channel.split().1 };
        let opened = tokio::time::timeout(START, open(&control)).await.unwrap_or(Err(NotStarted::Odd));
        let (directory, home) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                shut(&control, session).await;
                return Err(why);
            }
        };
        let quoted = directory.replace('\'', "'\\''");
        let shell = format!(
            "exec sh -c 'echo $$ >\"$0/p\"; exec 4>\"$0/r\" <\"$0/c\"; rm -r \"$0\"; unset ENV BASH_ENV PROMPT_COMMAND PS0 CDPATH GLOBIGNORE HISTFILE MAIL MAILCHECK; \
             PS1= PS2=; export PS1 PS2; exec bash --norc --noprofile --noediting +o history +H -P -i' '{quoted}'"
        );
        far.end.exec(true, shell.into_bytes()).await.map_err(|_| NotStarted::Odd)?;
        // However it ends, by its input or by a signal: its jobs do, too.
        let at_exit = format!("trap '{}' EXIT\n", END_JOBS.trim_end());
        control.end.data_bytes(Bytes::from(at_exit)).await.map_err(|_| NotStarted::Odd)?;
        Ok(Self {
            control,
            editor: Editor::new(columns),
            state: State::Editing,
            open: String::new(),
            queued: Vec::new(),
            started: false,
            eof: false,
            warned: false,
            directory: None,
            home,
            report: Vec::new(),
            nonce: String::new(),
            name: session.endpoint.connection.info.name.to_string(),
        })
    }

    /// What stands before a line.
    pub(crate) fn prompt(&self, is_root: bool) -> String {
        let place = self.directory.as_deref().unwrap_or("?");
        if self.open.is_empty() {
            format!("{}:{place}{} ", self.name, if is_root { '#' } else { '$' })
        } else {
            "> ".to_owned()
        }
    }

    /// Has the shell run a line that was allowed.
    pub(crate) async fn run(&mut self, line: &[u8], permit: Arc<StreamPermit>) -> Result<(), Gone> {
        // Octal, so that it is one line, and text to nobody but `eval`. The report is asked for on a line of its own:
        // Ctrl-C makes the shell forget the rest of the one it is at. It has to hold a number that no line could know,
        // and a shell that no longer reads its pipe ends at once.
        let mut text = String::with_capacity(line.len() * 5 + 160);
        self.nonce = format!("{:032x}", rand::random::<u128>());
        text.push_str("eval \"$(printf %b '");
        for byte in line {
            let _never_fails = write!(text, "\\0{byte:03o}");
        }
        let _never_fails = write!(
            text,
            "')\" </dev/tty 4>&-\nprintf '{} %s %s\\001\\n' \"$?\" \"$(builtin pwd -P)\" >&4; \\builtin test -p /dev/stdin || \\builtin kill -9 $$\n",
            self.nonce
        );
        self.state = State::Running(permit);
        self.warned = false;
        Ok(self.control.end.data_bytes(Bytes::from(text)).await?)
    }

    /// Leaves, as Ctrl-D does. The first time, bash stays if jobs are stopped; `for_good`, or right after the first
    /// time, it leaves whatever there is.
    pub(crate) async fn leave(&mut self, permit: Arc<StreamPermit>, for_good: bool) -> Result<(), Gone> {
        if for_good || std::mem::replace(&mut self.warned, true) {
            self.state = State::Running(permit);
            return Ok(self.control.end.data_bytes(Bytes::from([END_JOBS, "exit\nexit\n"].concat())).await?);
        }
        self.run(b"exit", permit).await?;
        self.warned = true;
        Ok(())
    }

    /// The end of the line that runs, or what else happens.
    pub(crate) async fn news(&mut self, session: &Session) -> News {
        let running = match &self.state {
            State::Running(permit) => Some(Arc::clone(permit)),
            State::Editing => None,
        };
        let revoked = async {
            match &running {
                Some(permit) => session.revoked(permit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = self.reported() => if done { News::Done } else { News::Gone },
            refusal = revoked => News::Revoked(refusal),
        }
    }

    /// Waits for a report. False if there will be none: the channel is gone, or what came is no report.
    async fn reported(&mut self) -> bool {
        loop {
            if let Some(at) = self.report.windows(END.len()).position(|w| w == END) {
                let report: Vec<u8> = self.report.drain(..at + END.len()).take(at).collect();
                // One line, one report: a second one would be of somebody else's making.
                return self.report.is_empty() && self.take_report(&report);
            }
            match self.control.inbox.next().await {
                Item::Data(stream, bytes) => {
                    if stream == Stream::Data {
                        self.report.extend_from_slice(&bytes);
                    }
                    let granted = flow::grant(&self.control.end, bytes.len()).await;
                    if granted.is_err() || self.report.len() > LONGEST_REPORT {
                        return false;
                    }
                }
                Item::Closed | Item::Eof => return false,
                Item::Exit(_) | Item::ExitSignal { .. } | Item::Request(_) => {}
            }
        }
    }

    fn take_report(&mut self, report: &[u8]) -> bool {
        if !matches!(self.state, State::Running(_)) {
            return false;
        }
        let Some(rest) = report.strip_prefix(self.nonce.as_bytes()).and_then(|r| r.strip_prefix(b" ")) else {
            return false;
        };
        self.started = true;
        let text = std::str::from_utf8(rest).ok();
        let Some((status, place)) = text.and_then(|t| t.split_once(' ')) else {
            // A directory whose name is not text: paths in it have no name that a policy could know.
            self.directory = None;
            self.state = State::Editing;
            return true;
        };
        self.directory = (status.parse::<u8>().is_ok() && place.starts_with('/') && !place.contains(char::is_control))
            .then(|| below(&self.home, place));
        self.state = State::Editing;
        true
    }

    /// Ends the second channel, and the jobs of the shell if it still reads.
    pub(crate) async fn close(&self, session: &Session) {
        let _gone = self.control.end.data_bytes(Bytes::from([END_JOBS, "exit\nexit\n"].concat())).await;
        shut(&self.control, session).await;
    }
}

async fn shut(control: &Far, session: &Session) {
    let _gone = control.end.close().await;
    session.upstream.inboxes.lock().remove(&control.end.id());
}

/// A directory as policies name it: below the home directory with a `~`.
fn below(home: &str, place: &str) -> String {
    match place.strip_prefix(home) {
        // No home directory, or one that is the root: nothing is below it in particular.
        _ if !home.starts_with('/') || home == "/" => place.to_owned(),
        Some("") => "~".to_owned(),
        Some(rest) if rest.starts_with('/') => format!("~{rest}"),
        Some(_) | None => place.to_owned(),
    }
}

/// Makes the pipes by the second channel: their directory, and the home directory.
async fn open(control: &Far) -> Result<(String, String), NotStarted> {
    control.inbox.forget_replies();
    control.end.exec(true, PIPES).await.map_err(|_| NotStarted::Odd)?;
    let mut said = Vec::new();
    loop {
        let lines: Vec<&[u8]> = said.split_inclusive(|b| *b == b'\n').collect();
        if let [first, second] = lines.as_slice()
            && second.ends_with(b"\n")
        {
            let line = |l: &[u8]| std::str::from_utf8(l).ok().map(|t| t.trim_end_matches('\n').to_owned());
            let (Some(pipes), Some(home)) = (line(first), line(second)) else { return Err(NotStarted::Odd) };
            if !pipes.starts_with('/') || pipes.contains(char::is_control) {
                return Err(NotStarted::Odd);
            }
            return Ok((pipes, home.trim_end_matches('/').to_owned()));
        }
        match control.inbox.next().await {
            Item::Data(stream, bytes) if said.len() < 8192 => {
                if stream == Stream::Data {
                    said.extend_from_slice(&bytes);
                }
                flow::grant(&control.end, bytes.len()).await.map_err(|Gone| NotStarted::Odd)?;
            }
            Item::Closed | Item::Eof if said.starts_with(b"no-bash") => return Err(NotStarted::NoBash),
            Item::Data(..) | Item::Closed | Item::Eof => return Err(NotStarted::Odd),
            Item::Exit(_) | Item::ExitSignal { .. } | Item::Request(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_have_the_names_that_policies_use() {
        assert_eq!(below("/home/u", "/home/u"), "~");
        assert_eq!(below("/home/u", "/home/u/a"), "~/a");
        assert_eq!(below("/home/u", "/home/user2"), "/home/user2");
        for none in ["/", "", "home"] {
            assert_eq!(below(none, "/etc"), "/etc");
        }
        assert_eq!(below("/home/u", "/"), "/");
    }
}
