//! What the upstream still owes an answer for, in order.
//!
//! The server answers messages in the order it got them, with two exceptions: after an error in
//! the extended protocol it skips everything up to the next Sync, and while it reads COPY data it
//! ignores Sync and Flush. The first is mirrored here, and none of the latter is sent, so that every
//! answer is read as the answer to the message that caused it.
use crate::copy_in::CopyGuard;
use crate::render::Rejection;
use crate::session::{Portal, Prepared};
use doorward_enforce::StreamPermit;
use doorward_model::RequestId;
use doorward_sql_session::{self as shared, Meaning};
use std::{collections::VecDeque, sync::Arc};

/// A request that the upstream is running.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) of: shared::Running,
    pub(crate) portal: Option<Arc<Portal>>,
    /// The right to send COPY data, where the request asks for some.
    pub(crate) copy_in: Option<StreamPermit>,
    /// What looks through those data, for each COPY of the request that has not got all of its own.
    pub(crate) guards: VecDeque<Option<Box<CopyGuard>>>,
    /// The last command tag.
    pub(crate) tag: Box<str>,
    /// An error was answered, and written down.
    pub(crate) failed: bool,
}

impl Running {
    pub(crate) fn new(request: RequestId, meaning: &Arc<Meaning>, portal: Option<Arc<Portal>>) -> Self {
        let of = shared::Running::new(request, meaning);
        Self { of, portal, copy_in: None, guards: VecDeque::new(), tag: "".into(), failed: false }
    }

    /// Whether the upstream has answered it, before it says that it is ready for more.
    pub(crate) fn is_answered(&self) -> bool {
        self.failed || self.of.part > 0 || !self.tag.is_empty()
    }
}

/// What kind of answer is owed.
#[derive(Debug)]
pub(crate) enum Expect {
    Parse {
        name: Box<str>,
        prepared: Arc<Prepared>,
    },
    Bind {
        name: Box<str>,
        portal: Arc<Portal>,
    },
    DescribeStatement(Option<Arc<Prepared>>),
    DescribePortal(Option<Arc<Portal>>),
    CloseStatement {
        name: Box<str>,
    },
    ClosePortal {
        name: Box<str>,
    },
    Execute(Running),
    Query(Running),
    FunctionCall(Running),
    /// A stand-in for a refused message of the extended protocol.
    Refused,
    Sync,
    /// `CopyDone` or `CopyFail`: no answer of its own.
    CopyEnd,
}

/// A message that went to the upstream.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) expect: Expect,
    /// The caller hears this instead of the upstream's error.
    pub(crate) refusal: Option<Rejection>,
    /// Asked by the gateway itself: the answer does not reach the client.
    pub(crate) own: bool,
    /// Later texts can only be read once this is answered.
    pub(crate) barrier: bool,
}

impl InFlight {
    /// The request, where it is one that may read COPY data.
    pub(crate) const fn running(&mut self) -> Option<&mut Running> {
        match &mut self.expect {
            Expect::Execute(running) | Expect::Query(running) => Some(running),
            Expect::Parse { .. }
            | Expect::Bind { .. }
            | Expect::DescribeStatement(_)
            | Expect::DescribePortal(_)
            | Expect::CloseStatement { .. }
            | Expect::ClosePortal { .. }
            | Expect::FunctionCall(_)
            | Expect::Refused
            | Expect::Sync
            | Expect::CopyEnd => None,
        }
    }

    const fn may_copy_in(&self) -> bool {
        matches!(&self.expect, Expect::Execute(running) | Expect::Query(running) if running.copy_in.is_some())
    }

    /// Whether it is one that touches data.
    pub(crate) const fn is_request(&self) -> bool {
        matches!(self.expect, Expect::Execute(_) | Expect::Query(_) | Expect::FunctionCall(_))
    }
}

/// Everything that is owed.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    queue: VecDeque<InFlight>,
    barriers: usize,
    /// How many of them may read COPY data.
    copies: usize,
}

/// More than this many unanswered messages stop the reading from the client.
const LIMIT: usize = 4096;

impl Pipeline {
    pub(crate) fn push(&mut self, message: InFlight) {
        self.barriers += usize::from(message.barrier);
        self.copies += usize::from(message.may_copy_in());
        self.queue.push_back(message);
    }

    pub(crate) fn front(&mut self) -> Option<&mut InFlight> {
        self.queue.front_mut()
    }

    pub(crate) fn pop(&mut self) -> Option<InFlight> {
        let message = self.queue.pop_front()?;
        self.barriers -= usize::from(message.barrier);
        self.copies -= usize::from(message.may_copy_in());
        Some(message)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.queue.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= LIMIT
    }

    /// Whether an unanswered message may change what later texts mean.
    pub(crate) fn has_barrier(&self) -> bool {
        self.barriers > 0
    }

    /// The request that COPY data belong to which the client sends now, if there is one on its way.
    pub(crate) fn awaits_copy(&mut self) -> Option<&mut InFlight> {
        let is_it = |message: &InFlight| match &message.expect {
            Expect::CopyEnd => Some(false),
            Expect::Execute(r) | Expect::Query(r) => Some(r.copy_in.is_some()),
            Expect::Parse { .. }
            | Expect::Bind { .. }
            | Expect::DescribeStatement(_)
            | Expect::DescribePortal(_)
            | Expect::CloseStatement { .. }
            | Expect::ClosePortal { .. }
            | Expect::FunctionCall(_)
            | Expect::Refused
            | Expect::Sync => None,
        };
        let (last, awaits) = self.queue.iter().enumerate().rev().find_map(|(i, m)| Some((i, is_it(m)?)))?;
        self.queue.get_mut(last).filter(|_| awaits)
    }

    /// Whether the upstream may be reading COPY data, or be about to: it ignores every Sync in them, and answers those behind them.
    ///
    /// INVARIANT: nothing but COPY data goes upstream meanwhile, so that each Sync that does is answered. A text of several
    /// statements may read more of them, until all of it is answered.
    pub(crate) fn may_copy_in(&self) -> bool {
        let mut ended = false;
        self.copies > 0
            && self.queue.iter().rev().any(|message| match &message.expect {
                Expect::CopyEnd => {
                    ended = true;
                    false
                }
                Expect::Execute(running) => running.copy_in.is_some() && !ended,
                Expect::Query(running) => running.copy_in.is_some(),
                Expect::Parse { .. }
                | Expect::Bind { .. }
                | Expect::DescribeStatement(_)
                | Expect::DescribePortal(_)
                | Expect::CloseStatement { .. }
                | Expect::ClosePortal { .. }
                | Expect::FunctionCall(_)
                | Expect::Refused
                | Expect::Sync => false,
            })
    }

    /// Whether nothing but the end of COPY data was sent behind the front message, which reads such.
    pub(crate) fn copies_in_alone(&self) -> bool {
        self.queue.iter().skip(1).all(|message| matches!(message.expect, Expect::CopyEnd))
    }
}
