//! The proof that bytes were allowed.
use crate::{Approver, Ticket};
use doorward_model::{Facts, RequestId};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// SHA-256 of the bytes a decision was made on.
pub(crate) type PayloadDigest = [u8; 32];

pub(crate) fn digest(bytes: &[u8]) -> PayloadDigest {
    Sha256::digest(bytes).into()
}

/// What was allowed, so that it can be asked whether it still is.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) facts: Arc<Facts>,
    /// Who approved it, where it had to wait for that.
    pub(crate) approved: Option<Arc<[Approver]>>,
}

/// Proof that exactly these bytes were allowed, and when they may leave.
///
/// INVARIANT: minted by [`crate::Enforcer`] alone, for one request and one digest, used up by
/// [`crate::UpstreamQueue::push`].
#[derive(Debug)]
#[must_use = "a permit that is not used forwards nothing"]
pub struct Permit {
    pub(crate) request: RequestId,
    pub(crate) digest: PayloadDigest,
    pub(crate) ticket: Ticket,
    pub(crate) grant: Grant,
}

impl Permit {
    /// The request it was given for.
    pub const fn request(&self) -> RequestId {
        self.request
    }

    /// What has to be durable before it takes effect.
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Who approved it; nobody where it did not have to wait for that.
    pub fn approved_by(&self) -> &[Approver] {
        self.grant.approved.as_deref().unwrap_or_default()
    }

    /// The right to send the data that an allowed request asks for (`COPY … FROM STDIN`).
    /// It ends with the value; the data are recorded, and decided as part of the request. Whether it is still
    /// allowed is for [`crate::Enforcer::still_allows`] to say.
    pub fn stream(&self) -> StreamPermit {
        StreamPermit { request: self.request, ticket: self.ticket, grant: self.grant.clone() }
    }
}

/// Proof that an allowed request may be followed by a stream of data of its own.
#[derive(Debug)]
pub struct StreamPermit {
    pub(crate) request: RequestId,
    pub(crate) ticket: Ticket,
    pub(crate) grant: Grant,
}

impl StreamPermit {
    /// The request it belongs to.
    pub const fn request(&self) -> RequestId {
        self.request
    }

    /// What was allowed.
    pub fn facts(&self) -> &Facts {
        &self.grant.facts
    }
}
