//! A recording of a session as people read it.
//!
//! [`Overview`] has a line for each request, [`Replayer`] makes lines of what happened, [`Cast`] an asciicast of an `exec`
//! or `attach`. What is shown comes from both peers: nothing passes that a terminal would obey, but drawing. Memory is
//! bounded.
mod cast;
mod event;
mod overview;
mod text;

#[cfg(test)]
mod tests;

pub use cast::{Cast, screen};
pub use doorward_terminal::{SafeTerminal, printable};
pub use event::Event;
pub use overview::{Kind, Overview, Summary};
pub use text::{Options, Replayer};

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// From the caller.
    Client,
    /// To the caller, as he saw them.
    Upstream,
}

/// Channels of `exec` and `attach` (`k8s.io/apimachinery/pkg/util/remotecommand`).
const INPUT: u8 = 0;
const OUTPUT: u8 = 1;
const ERROR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

/// How a command ended, as channel 3 tells it: its exit code, or what went wrong.
fn ending(status: &[u8]) -> Result<i64, String> {
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(status) else {
        // Protocols before v4 say it in words.
        return Err(String::from_utf8_lossy(status).into_owned());
    };
    let text = |field: &str| status.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
    if text("status") == "Success" {
        return Ok(0);
    }
    let causes = status.pointer("/details/causes").and_then(serde_json::Value::as_array);
    let code = causes.into_iter().flatten().find(|c| c.get("reason").and_then(|r| r.as_str()) == Some("ExitCode"));
    let code = code.and_then(|c| c.get("message")?.as_str()?.parse().ok());
    code.ok_or_else(|| text("message").to_owned())
}

/// The size of a terminal, as channel 4 tells it: columns and rows.
fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let of = |name: &str| value.get(name)?.as_u64().and_then(|n| u32::try_from(n).ok());
    // A terminal that is none has no size.
    Some((of("Width")?, of("Height")?)).filter(|(columns, rows)| *columns > 0 && *rows > 0)
}
