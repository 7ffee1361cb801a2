//! SFTP as a pure state machine: each operation decided before it goes upstream.
//!
//! Version 3 (draft-ietf-secsh-filexfer-02) as OpenSSH speaks it, with OpenSSH's extensions: [`COVERAGE`] says
//! what each packet comes to. Bytes go in by [`Sftp::handle_client`] and [`Sftp::handle_upstream`]; what goes
//! upstream comes out of [`Sftp::next`], what goes to the client out of [`Sftp::to_client`].
//!
//! | file | what is in it |
//! |---|---|
//! | `codec.rs` | packets, attributes, answers of Doorward's own |
//! | `coverage.rs` | what is understood, as a table |
//! | `request.rs`, `reply.rs` | bytes → requests, replies |
//! | `meaning.rs`, `paths.rs` | requests → facts; the names of files |
//! | `client.rs`, `upstream.rs` | the two sides of the state machine |
//! | `handles.rs` | what is open, and what was decided when it was opened |
//! | `contents.rs` | what is read, inspected |
//! | `transfers.rs` | what was copied, for the recording |
//!
//! # Invariants
//! - A request goes upstream after it was decided, or with a handle whose opening was. All else is answered here.
//! - A packet is read to its last byte; a reply answers a request that waits for it, and has its shape.
//! - Memory: at most [`LONGEST`] and what is fed at once on each side, [`MOST_HANDLES`] handles,
//!   [`MOST_REQUESTS`] requests, 2 MiB of reads under inspection.
//! - Nothing depends on how the streams are cut.
//!
//! # Deliberately absent
//! Clocks, I/O, policies; masks in files: a masked file would be another file, so it is refused.
//!
//! # Known limits
//! - Relative paths are taken to be below the home directory: servers that start elsewhere (`-d`) are not known.
//! - A symbolic link is taken for the file it is; names that differ by case, or by `\`, are different files.
//! - Across the edge of a read, values of up to [`MARGIN`] bytes are found.
//! - Short e-mail and IP addresses amid bytes that are no text are taken for chance; archives are not unpacked.
//! - Only what is read is inspected: not names of files, nor what is written.
mod client;
mod codec;
mod contents;
mod coverage;
mod handles;
mod meaning;
mod paths;
mod reply;
mod request;
mod transfers;
mod upstream;

#[cfg(test)]
mod tests;

pub use codec::LONGEST;
pub use contents::{ContentCheck, MARGIN};
pub use coverage::{COVERAGE, Row};
pub use handles::{HandleKey, MOST_HANDLES};
pub use transfers::{Direction, Event, Transfer};

use ahash::AHashMap;
use bytes::{Bytes, BytesMut};
use codec::Code;
use contents::Gather;
use doorward_detect::TypeSet;
use doorward_enforce::StreamPermit;
use doorward_model::Facts;
use doorward_shell::Login;
use handles::{Handles, Opening};
use meaning::{Meaning, Rights};
use paths::Named;
use reply::Shape;
use std::{collections::VecDeque, sync::Arc};

/// The most requests that wait for the upstream at once.
pub const MOST_REQUESTS: usize = 1024;
/// How many bytes may wait for the client before no more are made.
const MOST_TO_CLIENT: usize = 512 * 1024;
/// How many events may wait for the driver before no more are made.
const MOST_EVENTS: usize = 1024;
/// The version that is spoken.
const VERSION: u32 = 3;

/// Why a channel has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The client broke the protocol.
    #[error("the client broke the protocol of SFTP: {what}")]
    ClientMisbehaved {
        /// How.
        what: &'static str,
    },
    /// The upstream broke the protocol.
    #[error("the upstream broke the protocol of SFTP: {what}")]
    UpstreamMisbehaved {
        /// How.
        what: &'static str,
    },
    /// The driver did what it must not.
    #[error("a bug in Doorward: {what}")]
    Bug {
        /// What.
        what: &'static str,
    },
}

/// An operation that has to be decided before it goes upstream.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The rights it needs.
    pub facts: Arc<Facts>,
    /// What it says, for people: `sftp open /etc/passwd (read)`.
    pub statement: Arc<str>,
    /// The whole packet to be forwarded.
    pub packet: Bytes,
}

/// What was refused and answered without a decision, to be audited.
#[derive(Clone, Debug)]
pub struct Refused {
    /// An `opaque` access that says why.
    pub facts: Arc<Facts>,
    /// What it says, for people.
    pub statement: Arc<str>,
    /// Why it was refused, as the client was told.
    pub what: Arc<str>,
    /// The packet that was not forwarded.
    pub packet: Bytes,
}

/// What is to be done next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Doorward's own first packet, in place of the client's.
    Greet {
        /// The whole packet.
        packet: Bytes,
    },
    /// To be decided; answer with [`Sftp::allowed`] or [`Sftp::refused`]. The same until answered.
    Decide(Operation),
    /// Goes with what was decided when its handle was opened ([`Sftp::stream_permit`]).
    Follow {
        /// The whole packet.
        packet: Bytes,
        /// The handle it belongs to.
        handle: HandleKey,
    },
    /// Has been refused and answered; to be audited.
    Refused(Refused),
    /// Nothing, until more bytes have come from either side, or waiting ones or events were taken away.
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    Greeted,
    Open,
}

/// What an allowed operation's reply comes to.
#[derive(Debug)]
enum Then {
    Reply(Shape),
    Open { file: Named, rights: Option<Rights> },
}

#[derive(Debug)]
struct Pending {
    id: u32,
    operation: Operation,
    then: Then,
}

/// A request that the upstream has.
#[derive(Debug)]
enum Waiting {
    Reply(Shape),
    Opening(Box<Opening>),
    Close(HandleKey),
    Read { key: HandleKey, offset: u64, count: u32 },
    Inspect { key: HandleKey, gather: Box<Gather> },
    Write { key: HandleKey, count: u64 },
}

impl Waiting {
    const fn shape(&self) -> Shape {
        match self {
            Self::Reply(shape) => *shape,
            Self::Opening(_) => Shape::Handle,
            Self::Close(_) | Self::Write { .. } => Shape::Status,
            Self::Read { .. } | Self::Inspect { .. } => Shape::Data,
        }
    }
}

/// The enforcement of one SFTP channel.
#[derive(Debug)]
pub struct Sftp {
    login: Login,
    contents: ContentCheck,
    phase: Phase,
    from_client: BytesMut,
    from_upstream: BytesMut,
    to_client: BytesMut,
    handles: Handles,
    waiting: AHashMap<u32, Waiting>,
    /// How many opens the upstream has not answered.
    opening: usize,
    pending: Option<Pending>,
    /// Reads that go on: what was cut short.
    rereads: VecDeque<(Bytes, HandleKey)>,
    /// Bytes kept of reads that go on.
    held: usize,
    extensions: Vec<&'static str>,
    events: VecDeque<Event>,
    fault: Option<Fault>,
}

impl Sftp {
    /// A channel on which nothing has been said yet.
    pub fn new(login: Login, contents: ContentCheck) -> Self {
        Self {
            login,
            contents,
            phase: Phase::Start,
            from_client: BytesMut::new(),
            from_upstream: BytesMut::new(),
            to_client: BytesMut::new(),
            handles: Handles::default(),
            waiting: AHashMap::new(),
            opening: 0,
            pending: None,
            rereads: VecDeque::new(),
            held: 0,
            extensions: Vec::new(),
            events: VecDeque::new(),
            fault: None,
        }
    }

    /// Takes bytes of the client's, to be gone through by [`Sftp::next`].
    ///
    /// # Errors
    /// What has ended the channel; [`Fault::Bug`] where much more is given than is wanted.
    pub fn handle_client(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.sound()?;
        if self.from_client.len() + bytes.len() > 4 * LONGEST {
            return self.broken(Err(Fault::Bug { what: "more of the client's bytes than are wanted" }));
        }
        self.from_client.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether bytes of the client's are wanted: otherwise leave them with it.
    pub fn wants_client(&self) -> bool {
        self.fault.is_none() && self.from_client.len() < LONGEST + 4 && !self.is_full()
    }

    /// Whether bytes of the upstream's are wanted: otherwise leave them with it.
    pub fn wants_upstream(&self) -> bool {
        self.fault.is_none() && self.to_client.len() < MOST_TO_CLIENT && self.events.len() < MOST_EVENTS
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_REQUESTS || !self.wants_upstream()
    }

    /// What is to be done next, in the order in which it came; reads that go on come first. Call it after
    /// bytes of either side, until it says [`Next::Idle`].
    ///
    /// # Errors
    /// What has ended the channel.
    // Not an iterator: what it says depends on what is done about it.
    #[allow(clippy::should_implement_trait, reason = "it fails, and never ends")]
    pub fn next(&mut self) -> Result<Next, Fault> {
        self.sound()?;
        let next = self.advance();
        self.broken(next)
    }

    /// The operation to be decided was allowed, and goes upstream by its permit.
    pub fn allowed(&mut self, stream: StreamPermit) {
        let Some(Pending { id, then, .. }) = self.pending.take() else { return };
        let waiting = match then {
            Then::Reply(shape) => Waiting::Reply(shape),
            Then::Open { file, rights } => {
                self.opening += 1;
                Waiting::Opening(Box::new(Opening { file, rights, stream }))
            }
        };
        self.waiting.insert(id, waiting);
    }

    /// The operation to be decided was refused: the client is told so.
    pub fn refused(&mut self, message: &str) {
        if let Some(Pending { id, .. }) = self.pending.take() {
            codec::status(&mut self.to_client, id, Code::PermissionDenied, message);
        }
    }

    /// By what the packets of a handle go upstream. Whether it still stands is to be asked while it is open.
    pub fn stream_permit(&self, handle: HandleKey) -> Option<&StreamPermit> {
        self.handles.of(handle).map(|open| &open.stream)
    }

    /// Whether any handle is open.
    pub fn has_open_handles(&self) -> bool {
        self.handles.len() > 0
    }

    /// The handles that are open, in the order in which they were opened.
    pub fn open_handles(&self) -> Vec<HandleKey> {
        self.handles.keys()
    }

    /// Takes back what was decided when a handle was opened: it can be closed, and nothing else.
    pub fn revoke(&mut self, handle: HandleKey, message: &str) {
        if let Some(open) = self.handles.of_mut(handle) {
            open.revoked = Some(message.into());
        }
    }

    /// What the caller may not see, from the next read on.
    pub fn hide(&mut self, hidden: TypeSet) {
        self.contents.hidden = hidden;
    }

    /// Takes bytes of the upstream's, and answers the client. Reads may go on by [`Sftp::next`].
    ///
    /// # Errors
    /// What has ended the channel.
    pub fn handle_upstream(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.sound()?;
        self.from_upstream.extend_from_slice(bytes);
        let done = self.replies();
        codec::shrink(&mut self.from_upstream);
        self.broken(done)
    }

    /// What goes to the client. Take it away.
    pub const fn to_client(&mut self) -> &mut BytesMut {
        &mut self.to_client
    }

    /// What has to be written down. Ask until there is no more.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The channel has ended, and with it all transfers: ask for their events.
    pub fn end(&mut self) {
        let transfers = self.handles.end();
        self.events.extend(transfers.into_iter().map(Event::Transferred));
        self.fault.get_or_insert(Fault::Bug { what: "a channel that has ended is used" });
    }

    const fn sound(&self) -> Result<(), Fault> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// What ended a channel goes on being told.
    fn broken<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &result {
            self.fault = Some(*fault);
        }
        result
    }

    fn pend(&mut self, id: u32, packet: Bytes, meaning: Meaning, then: Then) -> Next {
        let operation = Operation { facts: meaning.facts, statement: meaning.statement, packet };
        self.pending = Some(Pending { id, operation: operation.clone(), then });
        Next::Decide(operation)
    }
}
