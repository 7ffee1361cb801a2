//! Connections of the interface: accept, TLS, HTTP/1.1, each with a deadline.
use crate::api::{ApiState, router};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

const MAX_CONNECTIONS: usize = 512;
const TLS_DEADLINE: Duration = Duration::from_secs(10);
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// What a client that reads nothing, or watches for ever, may hold a place for.
const MAX_AGE: Duration = Duration::from_secs(3600);
const DRAIN: Duration = Duration::from_secs(5);
/// The longest request head.
const MAX_HEAD: usize = 32 * 1024;

/// Where a caller's connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
}

/// Serves the interface until `shutdown` is true or its sender is gone, then drains for a few seconds.
///
/// HTTP/1.1 only: a TLS acceptor must not offer `h2`. Beyond 512 connections new ones wait in the
/// listener's backlog.
///
/// # Errors
/// None today: a failing accept is retried, a failing connection ends alone.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: ApiState,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let app = router(state, shutdown.clone());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = stopped(&mut shutdown) => break,
            next = next => next,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let app = app.clone().layer(Extension(Peer { ip: peer.ip(), tls: tls.is_some() }));
                let (tls, shutdown) = (tls.clone(), shutdown.clone());
                tasks.spawn(async move {
                    let _slot = slot;
                    connection(tcp, tls, app, shutdown).await;
                });
            }
            // Out of descriptors, or a client that left: neither ends the listener.
            Err(error) => {
                tracing::warn!(%error, "a connection to the API could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Ready once `shutdown` is true or can never become so.
pub(crate) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _sender_gone = shutdown.wait_for(|s| *s).await;
}

async fn connection(tcp: TcpStream, tls: Option<TlsAcceptor>, app: Router, mut shutdown: watch::Receiver<bool>) {
    let Some(tls) = tls else { return http(tcp, app, shutdown).await };
    let shaken = tokio::select! {
        () = stopped(&mut shutdown) => return,
        shaken = timeout(TLS_DEADLINE, tls.accept(tcp)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => http(stream, app, shutdown).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake with the API failed"),
        Err(_) => tracing::debug!("a TLS handshake with the API took too long"),
    }
}

async fn http<S>(stream: S, app: Router, mut shutdown: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut served = pin!(served);
    let drain = tokio::select! {
        result = served.as_mut() => return log(result),
        () = stopped(&mut shutdown) => DRAIN,
        () = sleep(MAX_AGE) => DRAIN,
    };
    served.as_mut().graceful_shutdown();
    if let Ok(result) = timeout(drain, served).await {
        log(result);
    }
}

fn log(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the API ended early");
    }
}
