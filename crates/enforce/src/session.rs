//! A session of a wire protocol as a pure state machine, as its driver sees it: bytes in and out, and what it asks for.
use crate::{ApprovalRequest, ApprovalVerdict, Refusal, UpstreamQueue};
use bytes::BytesMut;
use doorward_model::{ApprovalId, AuditKind, Timestamp};
use std::{fmt::Debug, ops::Range};

/// What the driver has to do for a session. `Q`: what only this protocol asks.
#[derive(Debug)]
pub enum SessionEvent<Q> {
    /// Ask for an approval, then call [`ProtocolSession::handle_verdict`].
    Hold(Box<ApprovalRequest>),
    /// The caller no longer waits for an approval.
    Withdraw(ApprovalId, &'static str),
    /// Find something out, then call [`ProtocolSession::handle_answer`].
    Ask(Q),
    /// Ask the upstream to cancel what it is doing.
    CancelUpstream,
    /// The session is over once what is queued for the client is written.
    End(SessionEnd),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client said goodbye.
    Terminated,
    /// A peer broke the protocol, or the session may not go on.
    Fault {
        /// `client`, `upstream`, `policy` or `gateway`.
        at_fault: &'static str,
        /// What happened.
        what: String,
    },
}

/// A session after log-in. Nothing in it waits: what takes time is asked for by [`ProtocolSession::poll_event`].
///
/// INVARIANT: bytes of a caller leave by [`ProtocolSession::to_upstream`] alone, each with its permit.
pub trait ProtocolSession: Send {
    /// What is asked of the driver: reading a long text, a fresh schema.
    type Question: Debug;
    /// What it comes to.
    type Answer: Debug + Send + 'static;

    /// Which of the bytes that [`ProtocolSession::handle_client`] gets next are secrets and must not be recorded: in order.
    fn secrets(&mut self, _bytes: &[u8]) -> Vec<Range<usize>> {
        Vec::new()
    }
    /// Bytes from the client.
    fn handle_client(&mut self, bytes: &[u8], now: Timestamp);
    /// Bytes from the upstream.
    fn handle_upstream(&mut self, bytes: &[u8], now: Timestamp);
    /// The verdict on the approval that was asked for by [`SessionEvent::Hold`].
    fn handle_verdict(&mut self, id: ApprovalId, verdict: ApprovalVerdict, now: Timestamp);
    /// What was asked for by [`SessionEvent::Ask`].
    fn handle_answer(&mut self, answer: Self::Answer, now: Timestamp);
    /// The client cancels through another connection.
    fn handle_cancel(&mut self, now: Timestamp);
    /// The client is gone: nothing of it may wait any longer.
    fn handle_client_gone(&mut self);
    /// The upstream is gone.
    fn handle_upstream_gone(&mut self, now: Timestamp);
    /// Goes on with what waited, for instance after the upstream has taken bytes.
    fn pump(&mut self, now: Timestamp);
    /// Tells the client, in the protocol's words, that its request is held: by whom it is decided, where, and how long it
    /// waits.
    fn say_held(&mut self, id: ApprovalId, link: &str, who: &str, expires_in: &str);
    /// The recording cannot be written: requests are refused while a reason is given.
    fn suspend(&mut self, reason: Option<String>);
    /// Whether the session may go on; ends it with a message to the client if it may not.
    fn check_welcome(&mut self, now: Timestamp);
    /// Ends the session with a message: it was killed, or the gateway shuts down.
    fn shut(&mut self, message: &str, now: Timestamp);
    /// Writes an event of this session into the audit log.
    ///
    /// # Errors
    /// Where it cannot be kept.
    fn note(&mut self, kind: AuditKind, now: Timestamp) -> Result<(), Refusal>;
    /// What the driver has to do next.
    fn poll_event(&mut self) -> Option<SessionEvent<Self::Question>>;
    /// Whether a statement that has come is still being read: a cancel now would miss it.
    fn is_reading(&self) -> bool;
    /// Whether more bytes of the client should be read.
    fn wants_client(&self) -> bool;
    /// Whether nothing of an earlier request is on its way, in either direction.
    fn is_at_rest(&self) -> bool;
    /// Whether more bytes of the upstream should be read.
    fn wants_upstream(&self) -> bool;
    /// Bytes for the client.
    fn to_client(&mut self) -> &mut BytesMut;
    /// Bytes for the upstream.
    fn to_upstream(&mut self) -> &mut UpstreamQueue;
    /// Counts changes of the policies this session is judged by.
    fn generation(&self) -> u64;
}
