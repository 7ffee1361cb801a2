//! Kubernetes: requests, and asciicasts of `exec` and `attach`.
use super::{Open, ShowError, gap_line, is_client};
use doorward_kubernetes::replay::{Cast, Kind, Overview, Side};
use doorward_record::{Direction, Frame, FrameBody, ReadError, Reader};
use std::io::Write;

/// Which side sent a frame.
pub const fn side(direction: Direction) -> Side {
    if is_client(direction) { Side::Client } else { Side::Upstream }
}

/// What requests there are, and what kept the recording from being read to its end.
pub fn overview(reader: Reader) -> (Overview, Option<ReadError>) {
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
///
/// # Errors
/// [`ShowError::Absent`] where there is no such request.
pub fn chosen(overview: &Overview, asked: Option<u32>) -> Result<Option<u32>, ShowError> {
    let of =
        |wanted: fn(Kind) -> bool| overview.requests.iter().find(|(_, r)| wanted(r.kind)).map(|(number, _)| *number);
    match asked {
        Some(number) if overview.requests.contains_key(&number) => Ok(Some(number)),
        Some(number) => {
            Err(ShowError::Absent(format!("the session has no request {number}: `sessions show` lists them")))
        }
        None => Ok(of(|kind| kind == Kind::Stream { terminal: true })
            .or_else(|| of(|kind| matches!(kind, Kind::Stream { .. })))),
    }
}

/// Writes an `exec` or `attach` as an asciicast.
///
/// # Errors
/// [`ShowError`]; of a damaged recording after what could be read.
pub fn export(open: Open<'_>, request: Option<u32>, out: &mut impl Write) -> Result<(), ShowError> {
    let absent = |text: String| ShowError::Absent(text);
    let (overview, damage) = overview(open()?);
    let number = chosen(&overview, request)?;
    let number = number.ok_or_else(|| absent("the session has no `exec` and no `attach`".to_owned()))?;
    let summary = overview.requests.get(&number).filter(|r| matches!(r.kind, Kind::Stream { .. }));
    let summary = summary
        .ok_or_else(|| absent(format!("request {number} is neither `exec` nor `attach`: it has no terminal")))?;
    let mut cast = Cast::new(number, summary.time, &summary.statement);
    if summary.kind == (Kind::Stream { terminal: true }) {
        cast.terminal();
    }
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
