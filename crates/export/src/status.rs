//! How an exporter stands.
use doorward_model::Timestamp;
use doorward_record::Head;

/// What an exporter does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has begun and not yet looked at the log.
    Starting,
    /// All that there was is sent.
    Idle,
    /// It gathers or sends a batch.
    Sending,
    /// Its sink failed; it tries again after a pause.
    Retrying,
    /// What it would read next is gone, changed or unreadable. It looks again now and then, and needs somebody.
    Halted,
    /// It was told to end.
    Stopped,
}

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
        }
    }
}

/// One exporter, for people and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The kind of its sink: `syslog`, …
    pub kind: &'static str,
    /// What it does.
    pub state: State,
    /// The last line of the log that needs no more work of it: acknowledged, or not asked for. Retention may remove
    /// what is before. `None` as long as nothing was.
    pub position: Option<Head>,
    /// Entries acknowledged since the exporter exists, over restarts; one that was sent again counts once.
    pub acknowledged: u64,
    /// Entries that the sink took and then said it will not keep. Only OTLP says such a thing.
    pub rejected: u64,
    /// Lines of the log after `position`: entries and the log's own checkpoints.
    pub lag: u64,
    /// When the oldest entry happened that is read and not acknowledged.
    pub oldest_unsent: Option<Timestamp>,
    /// When the sink last acknowledged something, since the process began.
    pub last_success: Option<Timestamp>,
    /// The last failure and when it was, since the process began; kept after it is over.
    pub last_error: Option<(Timestamp, String)>,
    /// Failures since the last success.
    pub failures: u64,
}

impl Status {
    pub(crate) fn new(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            state: State::Starting,
            position: None,
            acknowledged: 0,
            rejected: 0,
            lag: 0,
            oldest_unsent: None,
            last_success: None,
            last_error: None,
            failures: 0,
        }
    }

    pub(crate) fn failed(&mut self, state: State, at: Timestamp, what: &str) {
        self.state = state;
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some((at, what.to_owned()));
    }
}
