//! Recordings as steps: what was said, answered, written, asked; for pages and the interface.
use super::{Open, ShowError, gap_line, kubernetes, sql, ssh};
use doorward_model::Timestamp;
use doorward_record::{FrameBody, Reader};
use doorward_sql_session::replay::{Options, Rows, Shown};

/// Rows shown of each result.
const ROWS: usize = 20;
/// Lines shown of what a command of SSH writes.
const LINES: usize = 200;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client said it.
    Sent(String),
    /// The upstream answered it, or a program wrote it.
    Answered(String),
    /// An error.
    Failed(String),
    /// Rows of a result.
    Rows(Rows),
    /// A request of Kubernetes: its number, what was asked, what came of it.
    Request(u32, String),
    /// Something about the recording.
    Note(String),
}

impl From<Shown> for Step {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::Rows(rows) => Self::Rows(rows),
            Shown::Line(line) => match (line.strip_prefix("> "), line.strip_prefix("< ")) {
                (Some(text), _) => Self::Sent(text.into()),
                (_, Some(text)) if text.starts_with("ERROR") || text.starts_with("FATAL") => Self::Failed(text.into()),
                (_, Some(text)) => Self::Answered(text.into()),
                (None, None) => Self::Note(line),
            },
        }
    }
}

/// Shows a recording step by step, as long as `each` says to go on.
///
/// # Errors
/// [`ShowError`]; of a damaged recording after what could be read.
pub fn play(open: Open<'_>, mut each: impl FnMut(Timestamp, Step) -> bool) -> Result<(), ShowError> {
    let reader = open()?;
    match reader.meta().protocol.clone().as_str() {
        "ssh" => ssh_lines(reader, each),
        "kubernetes" => {
            let (overview, damage) = kubernetes::overview(reader);
            for (number, request) in &overview.requests {
                let text = format!("{}: {}", request.statement, request.result());
                if !each(request.time, Step::Request(*number, text)) {
                    return Ok(());
                }
            }
            damage.map_or(Ok(()), |e| Err(e.into()))
        }
        protocol => match sql::replayer(protocol, Options { rows: ROWS }) {
            Some(mut replayer) => sql::play(reader, replayer.as_mut(), |time, shown| Ok(each(time, shown.into()))),
            None => Ok(()),
        },
    }
}

fn ssh_lines(reader: Reader, mut each: impl FnMut(Timestamp, Step) -> bool) -> Result<(), ShowError> {
    let mut lines = doorward_ssh::replay::Replayer::new(doorward_ssh::replay::Options { lines: LINES });
    for frame in reader {
        let frame = frame?;
        let shown = match &frame.body {
            FrameBody::Bytes(direction, bytes) => lines.feed(ssh::side(*direction), bytes),
            FrameBody::Meta(value) => lines.event(value),
            FrameBody::Redacted { len, why, .. } => vec![format!("({len} bytes not recorded: {why})")],
            FrameBody::Gap { client, upstream } => {
                let mut shown = lines.gap();
                shown.push(gap_line(*client, *upstream));
                shown
            }
        };
        for line in shown {
            if !each(frame.time, Step::Answered(line)) {
                return Ok(());
            }
        }
    }
    Ok(())
}
