//! What a peer sent on a channel, until somebody takes it.
//!
//! The library's session loop puts things in and never waits, so that one slow channel stops no other. What is
//! in here is bounded all the same: data by the channel's window, which grows only when data were taken out,
//! and requests by [`MOST_REQUESTS`].
use bytes::BytesMut;
use doorward_ssh::codec::Stream;
use parking_lot::Mutex;
use russh::{Pty, Sig};
use std::collections::VecDeque;
use tokio::sync::{Notify, watch};

/// How many requests may wait on one channel.
const MOST_REQUESTS: usize = 4096;
/// How many bytes they may have together.
const MOST_REQUEST_BYTES: usize = 1 << 20;
/// Data are put together up to this size.
const PIECE: usize = 64 * 1024;

/// A channel request (RFC 4254 §6).
#[derive(Debug)]
pub(crate) enum Request {
    Pty {
        term: String,
        columns: u32,
        rows: u32,
        pixels: (u32, u32),
        modes: Vec<(Pty, u32)>,
    },
    Env {
        name: String,
        value: String,
    },
    Exec(Vec<u8>),
    Shell,
    Subsystem(String),
    Resize {
        columns: u32,
        rows: u32,
        pixels: (u32, u32),
    },
    Signal(Sig),
    Agent,
    X11,
    /// Nothing more will be read (OpenSSH's PROTOCOL §2.1).
    EndOfWrite,
    Unknown(String),
}

impl Request {
    /// What it takes, but for its fixed part.
    const fn bytes(&self) -> usize {
        match self {
            Self::Pty { term, .. } => term.len(),
            Self::Env { name, value } => name.len().saturating_add(value.len()),
            Self::Exec(command) => command.len(),
            Self::Subsystem(name) | Self::Unknown(name) => name.len(),
            Self::Shell | Self::Resize { .. } | Self::Signal(_) | Self::Agent | Self::X11 | Self::EndOfWrite => 0,
        }
    }
}

/// One thing that happened on a channel.
#[derive(Debug)]
pub(crate) enum Item {
    Data(Stream, BytesMut),
    Request(Request),
    Exit(u32),
    ExitSignal {
        signal: Sig,
        core_dumped: bool,
        message: String,
    },
    Eof,
    /// Nothing comes after this.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    requests: usize,
    request_bytes: usize,
}

/// The inbox of one channel, on one side.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    ready: Notify,
    closed: watch::Sender<bool>,
    /// What the peer answered to requests of ours.
    replies: Mutex<VecDeque<bool>>,
    replied: Notify,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            ready: Notify::new(),
            closed: watch::Sender::new(false),
            replies: Mutex::default(),
            replied: Notify::new(),
        }
    }
}

impl Inbox {
    pub(crate) fn data(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state.lock();
        match state.items.back_mut() {
            Some(Item::Data(last, waiting)) if *last == stream && waiting.len() < PIECE => {
                waiting.extend_from_slice(bytes);
            }
            _ => state.items.push_back(Item::Data(stream, BytesMut::from(bytes))),
        }
        drop(state);
        self.ready.notify_one();
    }

    /// False where too many wait.
    #[must_use]
    pub(crate) fn request(&self, request: Request) -> bool {
        let mut state = self.state.lock();
        // Only the last of several sizes matters.
        if let (Request::Resize { .. }, Some(Item::Request(last @ Request::Resize { .. }))) =
            (&request, state.items.back_mut())
        {
            *last = request;
            return true;
        }
        let bytes = state.request_bytes.saturating_add(request.bytes());
        if state.requests >= MOST_REQUESTS || bytes > MOST_REQUEST_BYTES {
            return false;
        }
        state.requests += 1;
        state.request_bytes = bytes;
        state.items.push_back(Item::Request(request));
        drop(state);
        self.ready.notify_one();
        true
    }

    /// An end of some kind: exit, end of file.
    pub(crate) fn end(&self, item: Item) {
        let mut state = self.state.lock();
        // A peer says each of them once; one that repeats itself is not remembered without end.
        if state.items.len() < 2 * MOST_REQUESTS {
            state.items.push_back(item);
        }
        drop(state);
        self.ready.notify_one();
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
        self.ready.notify_one();
        self.replied.notify_one();
    }

    /// The next thing; [`Item::Closed`] once nothing is left and the channel is closed.
    pub(crate) async fn next(&self) -> Item {
        loop {
            if let Some(item) = self.try_next() {
                return item;
            }
            self.ready.notified().await;
        }
    }

    pub(crate) fn try_next(&self) -> Option<Item> {
        let mut state = self.state.lock();
        if let Some(item) = state.items.pop_front() {
            if let Item::Request(request) = &item {
                state.requests = state.requests.saturating_sub(1);
                state.request_bytes = state.request_bytes.saturating_sub(request.bytes());
            }
            return Some(item);
        }
        self.closed.borrow().then_some(Item::Closed)
    }

    /// Resolves when the peer has closed the channel, whatever still waits.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives as long as `self`.
        let _closed = closed.wait_for(|closed| *closed).await;
    }

    /// Whether the peer has closed the channel.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Whether Ctrl-C is among the data that wait.
    pub(crate) fn has_interrupt(&self) -> bool {
        let state = self.state.lock();
        state.items.iter().any(|item| match item {
            Item::Data(Stream::Data, bytes) => bytes.contains(&3),
            Item::Data(Stream::Error, _)
            | Item::Request(_)
            | Item::Exit(_)
            | Item::ExitSignal { .. }
            | Item::Eof
            | Item::Closed => false,
        })
    }

    /// Resolves when something new is there to be taken.
    pub(crate) async fn stirred(&self) {
        self.ready.notified().await;
    }

    pub(crate) fn reply(&self, success: bool) {
        let mut replies = self.replies.lock();
        // One request of ours waits at a time; a peer that answers more often is not listened to.
        if replies.len() < 8 {
            replies.push_back(success);
        }
        drop(replies);
        self.replied.notify_one();
    }

    /// Answers to requests that nobody waits for any more.
    pub(crate) fn forget_replies(&self) {
        self.replies.lock().clear();
    }

    /// The answer to the request that was sent last; `None` where the channel was closed instead.
    pub(crate) async fn replied(&self) -> Option<bool> {
        loop {
            if let Some(success) = self.replies.lock().pop_front() {
                return Some(success);
            }
            if *self.closed.borrow() {
                return None;
            }
            self.replied.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn things_come_out_in_order_and_the_end_last() {
        let inbox = Inbox::default();
        inbox.data(Stream::Data, b"one ");
        inbox.data(Stream::Data, b"two");
        inbox.data(Stream::Error, b"oops");
        assert!(inbox.request(Request::Shell));
        inbox.close();
        assert!(matches!(inbox.next().await, Item::Data(Stream::Data, d) if d == "one two"));
        assert!(matches!(inbox.next().await, Item::Data(Stream::Error, d) if d == "oops"));
        assert!(matches!(inbox.next().await, Item::Request(Request::Shell)));
        assert!(matches!(inbox.next().await, Item::Closed));
        assert!(matches!(inbox.next().await, Item::Closed));
        assert_eq!(inbox.replied().await, None);
    }

    #[test]
    fn requests_are_bounded_and_sizes_replace_each_other() {
        let inbox = Inbox::default();
        for columns in 0..10_000 {
            assert!(inbox.request(Request::Resize { columns, rows: 1, pixels: (0, 0) }));
        }
        assert!(matches!(inbox.try_next(), Some(Item::Request(Request::Resize { columns: 9_999, .. }))));
        assert!(inbox.try_next().is_none());
        let taken = (0..10_000).take_while(|_| inbox.request(Request::Agent)).count();
        assert_eq!(taken, MOST_REQUESTS);
        let inbox = Inbox::default();
        let large = || Request::Exec(vec![0; 100_000]);
        assert_eq!((0..100).take_while(|_| inbox.request(large())).count(), 10);
        assert!(inbox.try_next().is_some() && inbox.request(large()) && !inbox.request(large()));
    }
}
