//! What happens to requests besides their bytes: the meta frames of a recording.
use serde_json::Value;
use std::fmt;

/// A meta frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which request it is about.
    pub request: u32,
    /// What happened: `request`, `held`, `approved`, `refused`, `in vain`, `ended`, `file`, `copy`.
    pub what: String,
    /// What there is to say about it.
    pub details: Value,
}

impl Event {
    /// Reads a meta frame; none where it is of another kind.
    pub fn from_json(value: &Value) -> Option<Self> {
        let request = u32::try_from(value.get("request")?.as_u64()?).ok()?;
        let what = value.get("what")?.as_str()?.to_owned();
        Some(Self { request, what, details: value.get("details").cloned().unwrap_or_default() })
    }

    /// A text of the details.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.details.get(name)?.as_str()
    }

    /// A number of the details.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.details.get(name)?.as_u64()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name| self.text(name).unwrap_or_default();
        let number = |name| self.number(name).unwrap_or_default();
        match self.what.as_str() {
            "request" => f.write_str(text("statement")),
            "held" => write!(f, "held for approval {}", text("approval")),
            "approved" => write!(f, "approved by {}", text("by")),
            "refused" => write!(f, "refused ({}): {}", number("code"), text("message")),
            "in vain" => write!(f, "answered without being sent: it could not succeed ({})", number("code")),
            "ended" => write!(f, "ended: {}", text("reason")),
            "file" => {
                write!(f, "{} {}, {} bytes", text("direction"), text("path"), number("bytes"))?;
                if let Some(mode) = self.number("mode") {
                    write!(f, ", mode {mode:04o}")?;
                }
                self.text("to").map_or(Ok(()), |to| write!(f, ", {} {to}", text("kind")))?;
                self.text("sha256").map_or(Ok(()), |hash| write!(f, ", sha256 {hash}"))
            }
            "copy" => {
                write!(f, "{} {} files, {} bytes", text("direction"), number("files"), number("bytes"))?;
                self.text("problem").map_or(Ok(()), |what| write!(f, "; not all of it is known: {what}"))
            }
            other => write!(f, "{other}: {}", self.details),
        }
    }
}
