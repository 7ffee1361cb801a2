//! Trying an upstream: whether it can be reached and takes the gateway's credential. Nothing is asked of it but to let the
//! gateway in, and no caller has a part in it.

/// What an upstream answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What it says of itself: its version.
    pub server: Option<String>,
    /// Whether TLS, or SSH's own encryption, was spoken.
    pub encrypted: bool,
    /// Whether the gateway logged in. False where callers log in under their own names: there is nobody to try it as.
    pub logged_in: bool,
    /// SSH: the host key that it shows, as in a `.pub` file.
    pub host_key: Option<String>,
}

/// Why an upstream cannot be used, in words for its operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(String);

/// What an upstream says is as untrusted as a caller's text, and is cut.
const LONGEST: usize = 300;

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

impl ProbeError {
    pub(crate) fn new(error: &impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        // The innermost says most: which certificate, which address.
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text.push_str(": ");
                text.push_str(&inner_text);
            }
            source = inner.source();
        }
        Self(cut(&text))
    }

    pub(crate) fn text(text: &str) -> Self {
        Self(cut(text))
    }
}

/// A version as it is shown.
pub(crate) fn version(text: &str) -> Option<String> {
    Some(cut(text)).filter(|v| !v.is_empty())
}
