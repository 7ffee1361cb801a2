//! The streams of `exec` and `attach`, on either wire
//! (<https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go>).

/// A stream of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Standard input.
    Stdin = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// How it ended.
    Error = 3,
    /// The terminal's size.
    Resize = 4,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Error, Self::Resize];

    /// Its number over WebSocket, and in recordings.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name over SPDY: the header `streamType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Error => "error",
            Self::Resize => "resize",
        }
    }

    /// The one of this number.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.number() == number)
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Whether bytes of it are the caller's to send. The others are the cluster's.
    pub const fn is_from_caller(self) -> bool {
        matches!(self, Self::Stdin | Self::Resize)
    }
}

/// A message over WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// Bytes on a channel.
    Bytes(Channel, &'a [u8]),
    /// The end of a channel (`v5.channel.k8s.io`).
    End(Channel),
    /// Nothing that means anything.
    Nothing,
}

/// Reads a message: the number of its channel, and what is said there.
pub fn said(message: &[u8]) -> Said<'_> {
    match message.split_first() {
        Some((255, [number])) => Channel::numbered(*number).map_or(Said::Nothing, Said::End),
        Some((number, bytes)) => Channel::numbered(*number).map_or(Said::Nothing, |c| Said::Bytes(c, bytes)),
        None => Said::Nothing,
    }
}
