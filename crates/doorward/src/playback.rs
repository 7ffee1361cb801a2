//! Plays what a recorded terminal showed on this one, at its pace.
use crate::{state, terminal_keys::Keys};
use anyhow::Result;
use doorward_control::recordings::gap_line;
use doorward_model::Timestamp;
use doorward_record::{Frame, FrameBody, Reader};
use doorward_terminal::SafeTerminal;
use std::io::Write;

/// What a frame does to the terminal that is played.
#[derive(Debug)]
pub(crate) enum Shown<'a> {
    /// Output.
    Bytes(&'a [u8]),
    /// Nothing; the time until here is not waited for.
    Skip,
    /// Nothing.
    Nothing,
}

/// Plays until the end or a `q`. `screen` says what frames of bytes and of events show.
pub(crate) fn play(
    reader: Reader,
    title: &str,
    screen: impl for<'a> Fn(&'a FrameBody) -> Shown<'a>,
    keys: &mut Keys,
    out: &mut impl Write,
) -> Result<()> {
    let mut terminal = SafeTerminal::new();
    let mut last = reader.meta().started;
    let mut text = format!("{title}\r\n");
    let mut going = true;
    for frame in reader {
        let Frame { time, body, .. } = frame?;
        if let FrameBody::Gap { client, upstream } = &body {
            text.push_str(&format!("\r\n{}\r\n", gap_line(*client, *upstream)));
        } else {
            match screen(&body) {
                Shown::Bytes(bytes) => terminal.push(bytes, &mut text),
                Shown::Skip => {
                    last = time;
                    continue;
                }
                Shown::Nothing => continue,
            }
        }
        going = keys.wait(time.since(last));
        if !going {
            break;
        }
        last = time;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        text.clear();
    }
    text.push_str(terminal.reset());
    text.push_str(if going { "(end of the recording)\r\n" } else { "(stopped)\r\n" });
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints lines of text at the pace of the recording: `show` makes them of frames, and of the end.
pub(crate) fn print(
    reader: Reader,
    speed: f64,
    mut show: impl FnMut(Option<&FrameBody>) -> Vec<String>,
    out: &mut impl Write,
) -> Result<()> {
    let mut keys = Keys::none(speed);
    let mut last = reader.meta().started;
    for frame in reader {
        let Frame { time, body, .. } = frame?;
        let mut shown = match &body {
            FrameBody::Bytes(..) | FrameBody::Meta(_) => show(Some(&body)),
            FrameBody::Redacted { len, why, .. } => vec![format!("({len} bytes not recorded: {why})")],
            FrameBody::Gap { .. } => show(None),
        };
        if let FrameBody::Gap { client, upstream } = &body {
            shown.push(gap_line(*client, *upstream));
        }
        if !shown.is_empty() {
            out.flush()?;
            keys.wait(time.since(last));
            last = time;
        }
        write_lines(time, &shown, out)?;
    }
    write_lines(last, &show(None), out)
}

fn write_lines(time: Timestamp, lines: &[String], out: &mut impl Write) -> Result<()> {
    let plain = crate::approvals::plain;
    lines.iter().try_for_each(|line| Ok(writeln!(out, "[{}] {}", state::time(time), plain(line))?))
}
