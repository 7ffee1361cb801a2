//! Connections to an API server: each request has one to itself until its answer has ended. There are so many, and who finds
//! none waits a while.
use super::cluster::ClusterError;
use crate::secret::Lent;
use reqwest::{Response, StatusCode, header::HeaderMap};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// How many there are, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Requests of callers that are under way, watches and streams among them.
    pub(super) requests: usize,
    /// What the gateway asks itself for its decisions.
    pub(super) inquiries: usize,
    /// How long a place is waited for.
    pub(super) wait: Duration,
    /// How long the API server may take for the head of an answer. Its own limit is 60 s (`--request-timeout`).
    pub(super) head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 4096, inquiries: 256, wait: Duration::from_secs(10), head: Duration::from_secs(120) }
    }
}

/// A place; it is given back as this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _place: OwnedSemaphorePermit,
    /// With what the request in it was sent.
    pub(super) lent: Lent,
}

/// Places.
///
/// INVARIANT: those of inquiries are others than those of requests, since answers that are under way ask for namespaces.
#[derive(Debug)]
pub(super) struct Slots(Arc<Semaphore>, Duration);

impl Slots {
    pub(super) fn new(most: usize, wait: Duration) -> Self {
        Self(Arc::new(Semaphore::new(most)), wait)
    }

    /// A place, once there is one.
    pub(super) async fn take(&self) -> Result<Slot, ClusterError> {
        let place = Arc::clone(&self.0).acquire_owned();
        let place = tokio::time::timeout(self.1, place).await.map_err(|_| ClusterError::Busy)?;
        Ok(Slot { _place: place.map_err(|_| ClusterError::Busy)?, lent: Lent::default() })
    }
}

/// An answer that has begun, with its place.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(super) response: Response,
    pub(super) slot: Slot,
}

impl Sent {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Its body, as it comes, and its place, to be kept as long as that.
    pub(super) fn into_body(self) -> (reqwest::Body, Slot) {
        (http::Response::<reqwest::Body>::from(self.response).into_body(), self.slot)
    }

    pub(super) async fn upgrade(self) -> Result<Upgraded, reqwest::Error> {
        Ok(Upgraded { io: self.response.upgrade().await?, _slot: self.slot })
    }
}

/// A connection that speaks another protocol now.
#[derive(Debug)]
pub(crate) struct Upgraded {
    io: reqwest::Upgraded,
    _slot: Slot,
}

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
