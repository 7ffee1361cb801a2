//! Times as people read them.
use doorward_model::Timestamp;
use std::fmt;

/// A time: how long ago or ahead, with the exact one for machines and on hovering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// When the page was made.
    pub now: Timestamp,
}

/// `2026-01-31T12:00:00.123Z`.
pub(crate) fn exact(t: Timestamp) -> String {
    let micros = i64::try_from(t.as_micros()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "?".into(), |t| format!("{t:.3}"))
}

/// `42 s`, `5 min`, `3 h`, `2 d`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        172_800.. => format!("{} d", seconds / 86_400),
    }
}

impl Moment {
    /// In words.
    pub fn words(&self) -> String {
        let (at, now) = (self.at.as_secs(), self.now.as_secs());
        match (at.checked_sub(now), now.saturating_sub(at)) {
            (_, 1..) => format!("{} ago", span(now.saturating_sub(at))),
            (Some(ahead @ 1..), _) => format!("in {}", span(ahead)),
            (Some(0) | None, 0) => "now".to_owned(),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = exact(self.at);
        write!(f, "<time datetime=\"{exact}\" title=\"{exact}\">{}</time>", self.words())
    }
}

impl askama::filters::HtmlSafe for Moment {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let words = |offset: i64| {
            let at = now.as_micros().checked_add_signed(offset * 1_000_000).unwrap();
            Moment { at: Timestamp::from_micros(at), now }.words()
        };
        assert_eq!([0, -5, -61, -7200, -200_000].map(words), ["now", "5 s ago", "1 min ago", "2 h ago", "2 d ago"]);
        assert_eq!([1, 900].map(words), ["in 1 s", "in 15 min"]);
        assert_eq!(
            Moment { at: now, now }.to_string(),
            "<time datetime=\"2023-11-14T22:13:20.000Z\" title=\"2023-11-14T22:13:20.000Z\">now</time>"
        );
    }
}
