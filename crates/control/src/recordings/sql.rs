//! SQL: statements, outcomes and result tables.
use super::{ShowError, is_client};
use doorward_model::Timestamp;
use doorward_record::{FrameBody, Reader};
use doorward_sql_session::replay::{Options, Replay, Shown, Side};

/// What shows recordings of a protocol, if it is one of SQL.
pub fn replayer(protocol: &str, options: Options) -> Option<Box<dyn Replay>> {
    match protocol {
        "postgres" => Some(Box::new(doorward_postgres::replay::Replayer::new(options))),
        "mysql" => Some(Box::new(doorward_mysql::replay::Replayer::new(options))),
        _ => None,
    }
}

/// Shows a recording, step by step, as long as `show` says to go on.
///
/// # Errors
/// [`ShowError`], also of `show`.
pub fn play(
    reader: Reader,
    replayer: &mut dyn Replay,
    mut show: impl FnMut(Timestamp, Shown) -> Result<bool, ShowError>,
) -> Result<(), ShowError> {
    for frame in reader {
        let frame = frame?;
        let events = match &frame.body {
            FrameBody::Bytes(direction, bytes) => {
                replayer.feed(if is_client(*direction) { Side::Client } else { Side::Upstream }, bytes)
            }
            FrameBody::Redacted { len, why, .. } => {
                let mut lines = vec![Shown::Line(format!("({len} bytes not recorded: {why})"))];
                lines.extend(replayer.skip(*len));
                lines
            }
            FrameBody::Gap { client, upstream } => {
                replayer.gap();
                vec![format!("(GAP: {client} bytes of the client and {upstream} to it were lost)").into()]
            }
            FrameBody::Meta(value) => match value.get("capabilities").and_then(serde_json::Value::as_u64) {
                Some(capabilities) => {
                    replayer.agreed(capabilities);
                    Vec::new()
                }
                None => vec![format!("({value})").into()],
            },
        };
        for event in events {
            if !show(frame.time, event)? {
                return Ok(());
            }
        }
    }
    Ok(())
}
