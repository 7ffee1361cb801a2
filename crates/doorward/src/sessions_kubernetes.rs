//! `doorward sessions show`, `replay` and `export` of Kubernetes: requests, what commands showed, asciicasts.
use crate::{
    playback::{self, Shown, gap_line},
    sessions::title,
    terminal_keys::Keys,
};
use anyhow::{Result, bail};
use doorward_kubernetes::replay::{self, Cast, Kind, Overview, Replayer, Side, screen};
use doorward_record::{Direction, Frame, FrameBody, Reader};
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

/// Opens the recording, each time from its beginning.
type Open<'a> = &'a dyn Fn() -> Result<Reader>;

const fn side(direction: Direction) -> Side {
    match direction {
        Direction::Client => Side::Client,
        Direction::Upstream => Side::Upstream,
    }
}

/// What requests there are, and what kept the recording from being read to its end.
pub(crate) fn overview(reader: Reader) -> (Overview, Option<doorward_record::ReadError>) {
    let mut overview = Overview::default();
    for frame in reader {
        match frame {
            Ok(Frame { time, body: FrameBody::Bytes(direction, bytes), .. }) => {
                overview.feed(time, side(direction), &bytes);
            }
            Ok(Frame { time, body: FrameBody::Meta(value), .. }) => overview.event(time, &value),
            Ok(_) => {}
            Err(e) => return (overview, Some(e)),
        }
    }
    (overview, None)
}

/// The `exec` or `attach` that was asked for; else the first terminal, else the first of them.
fn chosen(overview: &Overview, asked: Option<u32>) -> Result<Option<u32>> {
    let of =
        |wanted: fn(Kind) -> bool| overview.requests.iter().find(|(_, r)| wanted(r.kind)).map(|(number, _)| *number);
    match asked {
        Some(number) if overview.requests.contains_key(&number) => Ok(Some(number)),
        Some(number) => bail!("the session has no request {number}: `sessions show` lists them"),
        None => Ok(of(|kind| kind == Kind::Stream { terminal: true })
            .or_else(|| of(|kind| matches!(kind, Kind::Stream { .. })))),
    }
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

/// Writes an `exec` or `attach` as an asciicast.
pub(crate) fn export(open: Open<'_>, request: Option<u32>, out: &mut impl Write) -> Result<()> {
    let (overview, damage) = overview(open()?);
    let Some(number) = chosen(&overview, request)? else { bail!("the session has no `exec` and no `attach`") };
    let Some(summary) = overview.requests.get(&number).filter(|r| matches!(r.kind, Kind::Stream { .. })) else {
        bail!("request {number} is neither `exec` nor `attach`: it has no terminal")
    };
    let mut cast = Cast::new(number, summary.time, &summary.statement);
    for frame in open()? {
        let Frame { time, body, .. } = match (frame, &damage) {
            // What could be read is a cast; that it is not all is said at the end.
            (Err(_), Some(_)) => break,
            (frame, _) => frame?,
        };
        let lines = match &body {
            FrameBody::Bytes(direction, bytes) => cast.feed(time, side(*direction), bytes),
            FrameBody::Meta(value) => cast.event(time, value),
            FrameBody::Gap { client, upstream } => cast.marker(time, &gap_line(*client, *upstream)),
            FrameBody::Redacted { .. } => Vec::new(),
        };
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    cast.finish().iter().try_for_each(|line| writeln!(out, "{line}"))?;
    damage.map_or(Ok(()), |e| Err(e.into()))
}
