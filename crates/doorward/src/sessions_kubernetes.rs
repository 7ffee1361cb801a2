//! `doorward sessions show`, `replay` and `export` of Kubernetes: requests, what commands showed, asciicasts.
use crate::{
    playback::{self, Shown},
    sessions::title,
    terminal_keys::Keys,
};
use anyhow::Result;
use doorward_control::recordings::{
    Open,
    kubernetes::{chosen, overview, side},
};
use doorward_kubernetes::replay::{self, Kind, Overview, Replayer, screen};
use doorward_record::{FrameBody, Reader};
use std::io::{self, IsTerminal as _, Write};

/// How a session is replayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Times as fast; 0 at once.
    pub(crate) speed: f64,
    /// Lines shown of each stream of each request.
    pub(crate) lines: usize,
    /// Which request.
    pub(crate) request: Option<u32>,
}

fn is_terminal(overview: &Overview, request: u32) -> bool {
    overview.requests.get(&request).is_some_and(|r| r.kind == Kind::Stream { terminal: true })
}

/// Plays a session: a terminal as it looked where there is one to play it on, else lines.
pub(crate) fn replay(open: Open<'_>, options: Options) -> Result<()> {
    let (overview, damage) = overview(open()?);
    let chosen = chosen(&overview, options.request)?;
    match chosen.filter(|n| is_terminal(&overview, *n)) {
        Some(request) if io::stdout().is_terminal() => {
            let mut keys = Keys::of_terminal(options.speed);
            let played = play(open()?, request, &mut keys, &mut io::stdout().lock());
            keys.give_back();
            played?;
        }
        _ => lines(open()?, overview, options, &mut io::stdout().lock())?,
    }
    damage.map_or(Ok(()), |e| Err(e.into()))
}

fn lines(reader: Reader, overview: Overview, options: Options, out: &mut impl Write) -> Result<()> {
    let mut replayer = Replayer::new(replay::Options { lines: options.lines, request: options.request }, overview);
    writeln!(out, "{}", title(&reader))?;
    let show = |body: Option<&FrameBody>| match body {
        Some(FrameBody::Bytes(direction, bytes)) => replayer.feed(side(*direction), bytes),
        Some(FrameBody::Meta(value)) => replayer.event(value),
        Some(_) => Vec::new(),
        None => replayer.finish(),
    };
    playback::print(reader, options.speed, show, out)
}

fn play(reader: Reader, request: u32, keys: &mut Keys, out: &mut impl Write) -> Result<()> {
    let title = format!("{}, request {request}", title(&reader));
    let is_it = |value: &serde_json::Value| {
        replay::Event::from_json(value).is_some_and(|e| e.request == request && e.what == "request")
    };
    playback::play(
        reader,
        &title,
        |body| match body {
            FrameBody::Bytes(direction, bytes) => {
                screen(request, side(*direction), bytes).map_or(Shown::Nothing, Shown::Bytes)
            }
            // What was before it is not waited for.
            FrameBody::Meta(value) if is_it(value) => Shown::Skip,
            FrameBody::Meta(_) | FrameBody::Redacted { .. } | FrameBody::Gap { .. } => Shown::Nothing,
        },
        keys,
        out,
    )
}
