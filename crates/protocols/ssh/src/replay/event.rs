//! What happens to channels besides their bytes: the meta frames of a recording.
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a caller asked of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requested {
    /// A command.
    Exec,
    /// The login shell.
    Shell,
    /// A subsystem.
    Subsystem,
    /// An environment variable.
    Env,
    /// A signal.
    Signal,
    /// Anything else: agent or X11 forwarding, listening ports.
    Other,
}

impl Requested {
    /// Its name, as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Shell => "shell",
            Self::Subsystem => "subsystem",
            Self::Env => "env",
            Self::Signal => "signal",
            Self::Other => "other",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// It went to the upstream.
    Forward,
    /// It waits for an approval.
    Hold,
    /// It was refused.
    Refuse,
}

impl Decided {
    /// Its name, as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
        }
    }
}

/// Which way a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileDirection {
    /// To the upstream.
    Upload,
    /// To the caller.
    Download,
}

impl FileDirection {
    /// What happened to the file, in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "uploaded",
            Self::Download => "downloaded",
        }
    }
}

/// A meta frame. `channel` is the number that frames of bytes begin with; none where it is of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs, reason = "fields say what they are; `channel` is the same in all")]
pub enum Event {
    /// A channel was opened: `session`, `direct-tcpip`, …
    Opened { channel: Option<u32>, kind: String, target: Option<String> },
    /// It has a terminal.
    Pty { channel: Option<u32>, term: String, columns: u32, rows: u32 },
    /// The terminal has another size.
    Resize { channel: Option<u32>, columns: u32, rows: u32 },
    /// Something was asked.
    Request { channel: Option<u32>, what: Requested, statement: String },
    /// It was decided.
    Decided { channel: Option<u32>, outcome: Decided, reason: Option<String> },
    /// It waits for this approval.
    Held { channel: Option<u32>, approval: String },
    /// The command ended.
    Exit { channel: Option<u32>, status: u32 },
    /// A signal ended the command.
    ExitSignal { channel: Option<u32>, signal: String },
    /// A file went through: over SFTP, scp.
    File { channel: Option<u32>, path: String, direction: FileDirection, bytes: u64, sha256: Option<String> },
    /// The caller sends no more.
    Eof { channel: Option<u32> },
    /// The channel was closed.
    Closed { channel: Option<u32> },
}

/// A recording takes no meta frame of more than 64 KiB.
const LONGEST: usize = 60 * 1024;
/// To this many bytes texts are cut then: JSON makes at most six of one.
const CUT: usize = 4 * 1024;

impl Event {
    /// What a recording holds. Of a text that would not fit, its beginning.
    pub fn to_json(&self) -> Value {
        let json = |event: &Self| serde_json::to_value(event).unwrap_or_default();
        let value = json(self);
        if value.to_string().len() <= LONGEST {
            return value;
        }
        let Value::Object(mut fields) = value else { return value };
        for text in fields.values_mut() {
            if let Value::String(text) = text
                && text.len() > CUT
            {
                text.truncate(text.floor_char_boundary(CUT));
                text.push('…');
            }
        }
        Value::Object(fields)
    }

    /// Reads a meta frame; `None` where it is of another kind.
    pub fn from_json(value: &Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }

    /// Which channel it is about.
    pub const fn channel(&self) -> Option<u32> {
        match self {
            Self::Opened { channel, .. }
            | Self::Pty { channel, .. }
            | Self::Resize { channel, .. }
            | Self::Request { channel, .. }
            | Self::Decided { channel, .. }
            | Self::Held { channel, .. }
            | Self::Exit { channel, .. }
            | Self::ExitSignal { channel, .. }
            | Self::File { channel, .. }
            | Self::Eof { channel }
            | Self::Closed { channel } => *channel,
        }
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Opened { kind, target: Some(target), .. } => write!(f, "opened {kind} to {target}"),
            Self::Opened { kind, target: None, .. } => write!(f, "opened {kind}"),
            Self::Pty { term, columns, rows, .. } => write!(f, "terminal {term}, {columns}x{rows}"),
            Self::Resize { columns, rows, .. } => write!(f, "resized to {columns}x{rows}"),
            Self::Request { what, statement, .. } => write!(f, "{}: {statement}", what.as_str()),
            Self::Decided { outcome, reason: Some(reason), .. } => write!(f, "{}: {reason}", outcome.as_str()),
            Self::Decided { outcome, reason: None, .. } => f.write_str(outcome.as_str()),
            Self::Held { approval, .. } => write!(f, "held for approval {approval}"),
            Self::Exit { status, .. } => write!(f, "exit {status}"),
            Self::ExitSignal { signal, .. } => write!(f, "ended by signal {signal}"),
            Self::File { path, direction, bytes, sha256, .. } => {
                write!(f, "{} {path}, {bytes} bytes", direction.as_str())?;
                sha256.as_ref().map_or(Ok(()), |hash| write!(f, ", sha256 {hash}"))
            }
            Self::Eof { .. } => f.write_str("end of input"),
            Self::Closed { .. } => f.write_str("closed"),
        }
    }
}
