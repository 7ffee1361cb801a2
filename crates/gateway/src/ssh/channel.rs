//! A session channel: its requests, one after the other, and the program they start.
use super::{
    flow::{self, Far, Near},
    governed::{Governed, NotStarted},
    inbox::{Inbox, Item, Request},
    lines, program,
    session::{Asked, CallerEnd, Gone, Session, Told},
};
use crate::services::now;
use bytes::Bytes;
use doorward_enforce::{Permit, Refusal, RefusalKind, StreamPermit};
use doorward_model::{Access, Action, Facts, Resource};
use doorward_record::Direction;
use doorward_ssh::{
    Protocol,
    codec::Stream,
    facts::{self, Meaning},
    render,
    replay::{Event, Requested},
    shown::Around,
};
use russh::server::Handle;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// A program that runs upstream.
pub(super) struct Running {
    pub(super) permit: Arc<StreamPermit>,
    input: program::Input,
    output: JoinHandle<()>,
}

/// How many variables a caller may set for a program. OpenSSH's servers take as many.
const MOST_VARIABLES: usize = 128;
/// How long they may be together, in bytes.
const LONGEST_ENVIRONMENT: usize = 128 * 1024;

pub(super) struct Channel {
    pub(super) session: Arc<Session>,
    handle: Handle,
    pub(super) near: Arc<Near>,
    pub(super) far: Option<Arc<Far>>,
    terminal: bool,
    /// Variables that the upstream has taken: whoever approves what runs is shown them.
    environment: Vec<(String, String)>,
    columns: u32,
    running: Option<Running>,
    /// A shell whose lines are decided.
    pub(super) governed: Option<Box<Governed>>,
    /// A command was refused: the channel has had its one program.
    over: bool,
    /// What the caller sends is for nobody any more.
    pub(super) no_more_input: bool,
}

/// A session channel, from its opening to its end.
pub(crate) async fn run(session: Arc<Session>, handle: Handle, end: CallerEnd, inbox: Arc<Inbox>) {
    let near = Near::new(end, inbox);
    session.event(&Event::Opened { channel: Some(near.number), kind: "session".into(), target: None });
    let mut channel = Channel {
        session,
        handle,
        near: Arc::new(near),
        far: None,
        terminal: false,
        environment: Vec::new(),
        columns: 80,
        running: None,
        governed: None,
        over: false,
        no_more_input: false,
    };
    let _gone = channel.serve().await;
    channel.close().await;
}

impl Channel {
    async fn serve(&mut self) -> Result<(), Gone> {
        loop {
            let item = tokio::select! {
                item = self.near.inbox.next() => item,
                news = lines::news(&mut self.governed, &self.session) => {
                    self.heard(news).await?;
                    continue;
                }
                () = self.session.live.ended() => Item::Closed,
            };
            match item {
                Item::Request(request) => {
                    self.session.live.room().await;
                    self.request(request).await?;
                }
                Item::Data(stream, bytes) => self.data(stream, &bytes).await?,
                Item::Eof => self.eof().await?,
                Item::Closed => return Ok(()),
                // A caller has none of these to say; the library does not pass them on.
                Item::Exit(_) | Item::ExitSignal { .. } => {}
            }
        }
    }

    async fn data(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Gone> {
        self.session.keep(self.near.number, stream, Direction::Client, bytes).await;
        if self.no_more_input {
            return flow::grant(&self.near.end, bytes.len()).await;
        }
        if self.governed.is_some() {
            if stream == Stream::Data {
                self.typed(bytes).await?;
            }
            return flow::grant(&self.near.end, bytes.len()).await;
        }
        if let (Some(running), Some(far), Stream::Data) = (&mut self.running, &self.far, stream) {
            let sent = running.input.take(&self.session, &self.near, far, &running.permit, bytes).await;
            if sent.is_err() && !far.inbox.is_closed() {
                return Err(Gone);
            }
        }
        flow::grant(&self.near.end, bytes.len()).await
    }

    async fn eof(&mut self) -> Result<(), Gone> {
        if self.governed.is_some() {
            return self.no_more_lines().await;
        }
        if let (Some(running), Some(far)) = (&mut self.running, &self.far) {
            self.session.event(&Event::Eof { channel: Some(self.near.number) });
            running.input.end(far).await?;
        }
        Ok(())
    }

    async fn request(&mut self, request: Request) -> Result<(), Gone> {
        match request {
            Request::Exec(command) => {
                let meaning = facts::exec(&command, self.session.login);
                self.program("exec", meaning, &command).await
            }
            Request::Shell => self.shell().await,
            Request::Subsystem(name) => {
                let meaning = facts::subsystem(&name, self.session.login);
                self.program("subsystem", meaning, name.as_bytes()).await
            }
            Request::Pty { term, columns, rows, pixels, modes } => {
                self.pty(&term, (columns, rows), pixels, &modes).await
            }
            Request::Env { name, value } => self.env(&name, &value).await,
            Request::Resize { columns, rows, pixels } => self.resize(columns, rows, pixels).await,
            Request::Signal(signal) => self.signal(signal).await,
            Request::Agent => self.not_offered(facts::agent(self.session.login), "forwarding of an agent").await,
            Request::X11 => self.not_offered(facts::x11(self.session.login), "forwarding of X11").await,
            Request::EndOfWrite => self.end_of_write().await,
            Request::Unknown(name) => {
                let what = format!("the channel request `{}`", name.escape_debug());
                let access = Access::new(Action::Opaque, Resource::Opaque { what: what.as_str().into() });
                let facts = Arc::new(Facts::new("channel request", 1, vec![access]));
                self.not_offered(Meaning { facts, statement: name.into(), protocol: None }, &what).await
            }
        }
    }

    pub(super) fn asked(&self, what: Requested, statement: &str) {
        let statement = statement.to_owned();
        self.session.event(&Event::Request { channel: Some(self.near.number), what, statement });
    }

    async fn answer(&self, success: bool) -> Result<(), Gone> {
        let answered = match success {
            true => self.handle.channel_success(self.near.id).await,
            false => self.handle.channel_failure(self.near.id).await,
        };
        answered.map_err(|()| Gone)
    }

    /// What this version cannot do is refused, whatever policy says.
    async fn not_offered(&self, meaning: Meaning, what: &str) -> Result<(), Gone> {
        let refusal = Refusal {
            kind: RefusalKind::NotUnderstood,
            message: format!("refused: {what} is not offered"),
            detail: None,
            hint: None,
        };
        self.session.refuse(
            Asked { via: "request", meaning: &meaning, payload: meaning.statement.as_bytes(), around: self.around() },
            refusal,
        );
        self.answer(false).await
    }

    pub(super) fn told(&self) -> Told<'_> {
        let near = &self.near;
        Told { channel: near.number, caller: &near.end, inbox: &near.inbox, terminal: self.terminal, aloud: true }
    }

    pub(super) async fn decide(&self, via: &'static str, meaning: &Meaning, payload: &[u8]) -> Result<Permit, Refusal> {
        self.session.decide(Asked { via, meaning, payload, around: self.around() }, &self.told()).await
    }

    /// What has been set for what is to run.
    fn around(&self) -> Around<'_> {
        let directory = self.governed.as_ref().and_then(|governed| governed.directory.as_deref());
        Around { environment: &self.environment, directory }
    }

    /// The upstream's side of the channel, opened when the first request needs it.
    async fn far(&mut self) -> Result<Arc<Far>, Gone> {
        if let Some(far) = &self.far {
            return Ok(Arc::clone(far));
        }
        let opened = tokio::select! {
            opened = self.session.upstream.handle.channel_open_session() => opened,
            () = self.session.live.ended() => return Err(Gone),
        };
        let Ok(channel) = opened else {
            // Servers allow so many at once (OpenSSH: `MaxSessions`, 10).
            let text = render::notice("the target opens no more sessions on this connection", self.terminal);
            self.session.say(&self.told(), &text).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.answer(false).await?;
            return Err(Gone);
        };
        let far = Arc::new(Far { inbox: self.session.upstream.inbox(channel.id()), end: channel.split().1 });
        self.far = Some(Arc::clone(&far));
        Ok(far)
    }

    /// What the upstream answered to a request; no answer is a no.
    async fn upstream_says(&self, far: &Far) -> bool {
        tokio::select! {
            reply = far.inbox.replied() => reply.unwrap_or(false),
            () = self.near.inbox.closed() => false,
            () = self.session.live.ended() => false,
        }
    }

    async fn pty(
        &mut self,
        term: &str,
        (columns, rows): (u32, u32),
        (width, height): (u32, u32),
        modes: &[(russh::Pty, u32)],
    ) -> Result<(), Gone> {
        let Ok(permit) = self.session.follow(term.as_bytes()) else { return self.answer(false).await };
        self.session.redeem(permit, term.as_bytes()).await?;
        let far = self.far().await?;
        far.inbox.forget_replies();
        far.end.request_pty(true, term, columns, rows, width, height, modes).await?;
        let success = self.upstream_says(&far).await;
        self.terminal |= success;
        if success {
            self.environment.retain(|(name, _)| name != "TERM");
            self.environment.push(("TERM".to_owned(), term.to_owned()));
        }
        self.columns = columns;
        let term = term.chars().take(256).collect();
        self.session.event(&Event::Pty { channel: Some(self.near.number), term, columns, rows });
        self.answer(success).await
    }

    async fn env(&mut self, name: &str, value: &str) -> Result<(), Gone> {
        let meaning = facts::env(name, value, self.session.login);
        let payload = format!("{name}={value}");
        self.asked(Requested::Env, &payload);
        let kept: usize = self.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.environment.len() >= MOST_VARIABLES || kept + payload.len() > LONGEST_ENVIRONMENT {
            return self.answer(false).await;
        }
        // Told by the failure alone: clients send what nobody asked for, and expect that some of it is not taken.
        let Ok(permit) = self.decide("env", &meaning, payload.as_bytes()).await else {
            return self.answer(false).await;
        };
        self.session.redeem(permit, payload.as_bytes()).await?;
        let far = self.far().await?;
        far.inbox.forget_replies();
        far.end.set_env(true, name, value).await?;
        let success = self.upstream_says(&far).await;
        if success {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self.answer(success).await
    }

    async fn resize(&mut self, columns: u32, rows: u32, (width, height): (u32, u32)) -> Result<(), Gone> {
        if let Some(governed) = &mut self.governed {
            governed.editor.resize(columns);
        }
        let Some(far) = &self.far else { return Ok(()) };
        let payload = format!("{columns}x{rows}");
        // A session that is no longer welcome ends by itself.
        let Ok(permit) = self.session.follow(payload.as_bytes()) else { return Ok(()) };
        self.session.redeem(permit, payload.as_bytes()).await?;
        self.session.event(&Event::Resize { channel: Some(self.near.number), columns, rows });
        Ok(far.end.window_change(columns, rows, width, height).await?)
    }

    /// The caller reads no more: what follows is dropped, and the program is told.
    async fn end_of_write(&self) -> Result<(), Gone> {
        self.near.deaf.send_replace(true);
        let Some(far) = &self.far else { return Ok(()) };
        let Ok(permit) = self.session.follow(b"eow") else { return Ok(()) };
        self.session.redeem(permit, b"eow").await?;
        Ok(far.end.end_of_write().await?)
    }

    async fn signal(&self, signal: russh::Sig) -> Result<(), Gone> {
        let Some(far) = &self.far else { return Ok(()) };
        let payload = format!("{signal:?}");
        let Ok(permit) = self.session.follow(payload.as_bytes()) else { return Ok(()) };
        self.session.redeem(permit, payload.as_bytes()).await?;
        self.asked(Requested::Signal, &payload);
        Ok(far.end.signal(signal).await?)
    }

    /// Recorded, or governed where policy does not let a caller have the other.
    async fn shell(&mut self) -> Result<(), Gone> {
        let (recorded, governed) = (facts::shell(self.session.login), facts::governed_shell(self.session.login));
        let is_governed = {
            let mut enforcer = self.session.live.enforcer.lock();
            enforcer.would_refuse(&recorded.facts, now()) && !enforcer.would_refuse(&governed.facts, now())
        };
        if is_governed { self.governed_shell(&governed).await } else { self.program("shell", recorded, b"shell").await }
    }

    async fn governed_shell(&mut self, meaning: &Meaning) -> Result<(), Gone> {
        if self.running.is_some() || self.over {
            return self.answer(false).await;
        }
        self.asked(Requested::Shell, &meaning.statement);
        let payload = meaning.statement.as_bytes();
        let permit = match self.decide("shell", meaning, payload).await {
            Ok(permit) => permit,
            Err(refusal) => return self.refused("shell", &refusal).await,
        };
        let stream = Arc::new(permit.stream());
        self.session.redeem(permit, payload).await?;
        let far = self.far().await?;
        far.inbox.forget_replies();
        let started = match self.terminal {
            true => Governed::start(&self.session, &far, self.columns).await,
            false => Err(NotStarted::NoTerminal),
        };
        match started {
            Ok(governed) if self.upstream_says(&far).await => {
                self.answer(true).await?;
                self.take_up(&far, Arc::clone(&stream), None);
                // Where it stands is for itself to say.
                self.governed.insert(Box::new(governed)).run(b":", stream).await
            }
            Ok(governed) => {
                governed.close(&self.session).await;
                self.refused("shell", &not_started(&NotStarted::Odd)).await
            }
            Err(why) => self.refused("shell", &not_started(&why)).await,
        }
    }

    /// `exec`, `shell`, `subsystem`: a channel has one of them (RFC 4254 §6.5).
    async fn program(&mut self, via: &'static str, meaning: Meaning, payload: &[u8]) -> Result<(), Gone> {
        if self.running.is_some() || self.over {
            return self.answer(false).await;
        }
        let what = match via {
            "exec" => Requested::Exec,
            "shell" => Requested::Shell,
            _ => Requested::Subsystem,
        };
        self.asked(what, &meaning.statement);
        match self.decide(via, &meaning, payload).await {
            Err(refusal) => self.refused(via, &refusal).await,
            Ok(permit) => {
                let stream = Arc::new(permit.stream());
                let bytes = self.session.redeem(permit, payload).await?;
                self.start(via, &meaning, bytes, stream).await
            }
        }
    }

    async fn start(
        &mut self,
        via: &'static str,
        meaning: &Meaning,
        bytes: Bytes,
        permit: Arc<StreamPermit>,
    ) -> Result<(), Gone> {
        let far = self.far().await?;
        far.inbox.forget_replies();
        match via {
            "exec" => far.end.exec(true, bytes).await?,
            "shell" => far.end.request_shell(true).await?,
            _ => far.end.request_subsystem(true, String::from_utf8_lossy(&bytes)).await?,
        }
        let success = self.upstream_says(&far).await;
        self.answer(success).await?;
        if success {
            self.take_up(&far, permit, meaning.protocol);
        }
        Ok(())
    }

    /// A program was started: what it says flows from now on.
    fn take_up(&mut self, far: &Arc<Far>, permit: Arc<StreamPermit>, protocol: Option<Protocol>) {
        let shared = program::Shared {
            session: Arc::clone(&self.session),
            handle: self.handle.clone(),
            near: Arc::clone(&self.near),
            far: Arc::clone(far),
            permit: Arc::clone(&permit),
            terminal: self.terminal,
        };
        let (input, output) = program::start(shared, protocol);
        self.running = Some(Running { permit, input, output });
    }

    /// Nothing more of the program's output is shown.
    pub(super) fn silence(&mut self) {
        if let Some(running) = &self.running {
            running.output.abort();
        }
    }

    /// What allowed the program that runs.
    pub(super) fn running_permit(&self) -> Option<Arc<StreamPermit>> {
        self.running.as_ref().map(|r| Arc::clone(&r.permit))
    }

    /// A refused command ends as a command does that the shell may not run: words on standard error, status 126.
    /// A refused subsystem fails, as one does that is not there.
    async fn refused(&mut self, via: &'static str, refusal: &Refusal) -> Result<(), Gone> {
        self.over = true;
        let text = render::refusal(refusal, self.terminal);
        if via == "subsystem" {
            self.session.say(&self.told(), &text).await?;
            // OpenSSH's client leaves at the failure, and shows what came before only if it came a moment before.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return self.answer(false).await;
        }
        self.answer(true).await?;
        self.session.say(&self.told(), &text).await?;
        self.near.end.exit_status(render::REFUSED).await?;
        self.session.event(&Event::Exit { channel: Some(self.near.number), status: render::REFUSED });
        self.near.end.eof().await?;
        Ok(self.near.end.close().await?)
    }

    async fn close(mut self) {
        // What the caller had sent and nobody took is on record all the same.
        while let Some(Item::Data(stream, bytes)) = self.near.inbox.try_next() {
            self.session.keep(self.near.number, stream, Direction::Client, &bytes).await;
        }
        if let Some(governed) = &self.governed {
            governed.close(&self.session).await;
        }
        if let Some(far) = &self.far {
            let _gone = far.end.close().await;
        }
        if let Some(running) = self.running.take() {
            // The exit status may come yet, and goes to the caller before the channel is closed.
            let _panicked = running.output.await;
        }
        let _closed_already = self.near.end.close().await;
        if let Some(far) = &self.far {
            self.session.upstream.inboxes.lock().remove(&far.end.id());
        }
        self.session.event(&Event::Closed { channel: Some(self.near.number) });
        self.session.channels.lock().remove(&self.near.id);
    }
}

fn not_started(why: &NotStarted) -> Refusal {
    Refusal { kind: RefusalKind::NotUnderstood, message: format!("refused: {why}"), detail: None, hint: None }
}
