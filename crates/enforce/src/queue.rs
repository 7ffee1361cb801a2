//! The only way to the upstream.
use crate::{Permit, StreamPermit, Ticket, permit::digest};
use bytes::{Buf as _, BytesMut};
use doorward_model::RequestId;
use std::collections::VecDeque;

/// A permit was shown with bytes it was not given for.
#[derive(Debug, thiserror::Error)]
#[error("bytes to be forwarded are not the bytes that were decided (request {request})")]
pub struct PermitMismatch {
    /// The request of the permit.
    pub request: RequestId,
}

/// A message that the gateway itself writes: log-in, end of session, or the harmless stand-in for
/// a refused request. Never made of a caller's request.
#[derive(Debug)]
pub struct GatewayMessage<'a> {
    bytes: &'a [u8],
}

impl<'a> GatewayMessage<'a> {
    /// Bytes that the gateway has written itself.
    pub const fn authored(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

/// Bytes on their way to the upstream, each behind the audit entry it waits for.
#[derive(Debug, Default)]
pub struct UpstreamQueue {
    buffer: BytesMut,
    /// Bytes that have left since the queue was made: where the buffer starts.
    start: u64,
    /// Up to here nothing waits any more.
    cleared: u64,
    /// Ends (counted as `start` is) and the ticket each stretch beyond `cleared` waits for.
    waits: VecDeque<(u64, Ticket)>,
    last: Ticket,
}

impl UpstreamQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues bytes that a permit was given for.
    ///
    /// # Errors
    /// Where the bytes are not the ones that were decided. Nothing is queued then.
    pub fn push(&mut self, permit: Permit, bytes: &[u8]) -> Result<(), PermitMismatch> {
        if digest(bytes) != permit.digest {
            return Err(PermitMismatch { request: permit.request });
        }
        self.put(permit.ticket, bytes);
        Ok(())
    }

    /// Queues data that belong to an allowed request.
    pub fn push_stream(&mut self, permit: &StreamPermit, bytes: &[u8]) {
        self.put(permit.ticket, bytes);
    }

    /// Queues a message of the gateway's own.
    pub fn push_own(&mut self, message: &GatewayMessage<'_>) {
        self.put(Ticket::default(), message.bytes);
    }

    fn put(&mut self, ticket: Ticket, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let end = self.start.saturating_add(self.buffer.len() as u64);
        let ticket = ticket.max(self.last);
        match self.waits.back_mut() {
            Some(back) if self.last == ticket => back.0 = end,
            _ => self.waits.push_back((end, ticket)),
        }
        self.last = ticket;
    }

    /// The bytes that may leave when everything up to `committed` is durable.
    pub fn ready(&mut self, committed: Ticket) -> &[u8] {
        // Each stretch is looked at once, however long the pipeline and however slow its reader.
        while let Some((end, _)) = self.waits.front().filter(|(_, ticket)| *ticket <= committed) {
            self.cleared = *end;
            self.waits.pop_front();
        }
        let ready = usize::try_from(self.cleared.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.buffer.get(..ready).unwrap_or_default()
    }

    /// The ticket that the bytes behind those that are [`ready`](Self::ready) wait for, if any do.
    pub fn waits_for(&self, committed: Ticket) -> Option<Ticket> {
        self.waits.iter().map(|(_, t)| *t).find(|t| *t > committed)
    }

    /// Takes note that the first `n` bytes have left.
    pub fn sent(&mut self, n: usize) {
        let n = n.min(self.buffer.len());
        self.buffer.advance(n);
        self.start = self.start.saturating_add(n as u64);
        if self.buffer.is_empty() && self.buffer.capacity() > 16 * 1024 {
            self.buffer = BytesMut::new();
        }
    }

    /// Bytes queued.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(bytes: &[u8], ticket: u64) -> Permit {
        let facts = std::sync::Arc::new(doorward_model::Facts::new("test", 1, Vec::new()));
        let grant = crate::permit::Grant { facts, approved: None };
        Permit { request: RequestId(1), digest: digest(bytes), ticket: Ticket(ticket), grant }
    }

    #[test]
    fn bytes_wait_for_their_ticket() {
        let mut q = UpstreamQueue::new();
        q.push(permit(b"one", 1), b"one").unwrap();
        q.push(permit(b"two", 2), b"two").unwrap();
        q.push_own(&GatewayMessage::authored(b"own"));
        assert_eq!(q.ready(Ticket(0)), b"");
        assert_eq!(q.ready(Ticket(1)), b"one");
        assert_eq!(q.waits_for(Ticket(1)), Some(Ticket(2)));
        q.sent(2);
        assert_eq!(q.ready(Ticket(1)), b"e");
        assert_eq!(q.ready(Ticket(2)), b"etwoown", "order is kept behind a waiting request");
        q.sent(7);
        assert!(q.is_empty());
        assert_eq!(q.waits_for(Ticket(2)), None);
    }

    #[test]
    fn what_was_cleared_stays_cleared_while_more_is_queued() {
        let mut q = UpstreamQueue::new();
        q.push(permit(b"one", 1), b"one").unwrap();
        assert_eq!(q.ready(Ticket(1)), b"one");
        q.sent(1);
        // The same ticket, after its stretch was cleared; then one that waits.
        q.push(permit(b"uno", 1), b"uno").unwrap();
        q.push(permit(b"two", 2), b"two").unwrap();
        assert_eq!(q.ready(Ticket(1)), b"neuno");
        assert_eq!(q.waits_for(Ticket(1)), Some(Ticket(2)));
        q.sent(5);
        assert_eq!(q.ready(Ticket(1)), b"");
        assert_eq!(q.ready(Ticket(2)), b"two");
        q.sent(3);
        assert!(q.is_empty() && q.waits.is_empty());
    }

    #[test]
    fn other_bytes_are_turned_away() {
        let mut q = UpstreamQueue::new();
        assert!(q.push(permit(b"SELECT 1", 0), b"SELECT 2").is_err());
        assert!(q.is_empty());
    }
}
