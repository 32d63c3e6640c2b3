//! The HTTP/1 listeners: an accept loop with bounds, for documents that anybody may read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::domain::limits::{
    DRAIN_SECONDS_MAX, HTTP_CONNECTION_SECONDS_MAX, HTTP_CONNECTIONS_MAX, PREFACE_SECONDS_MAX,
};

use super::drain::Drain;
use super::guard::{ACCEPT_PAUSE, is_of_one_connection};

/// Bytes of one request's header, and of what is read ahead.
const HEADER_BUFFER_BYTES: usize = 16 * 1024;
/// Header fields of one request.
const HEADERS_MAX: usize = 64;

/// Serves `router` until the drain, and then ends what is in flight.
pub async fn serve(name: &'static str, listener: TcpListener, router: Router, open: Gauge, drain: Drain) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&places).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = drain.begun() => break,
            next = next => next,
        };
        // Ended connections leave the set; otherwise it would only grow.
        while connections.try_join_next().is_some() {}
        match (permit, accepted) {
            (Ok(permit), Ok((stream, _))) => {
                let place = Open::new(permit, open.clone());
                connections.spawn(connection(stream, router.clone(), place, drain.clone()));
            }
            (Err(_), _) => break,
            (_, Err(error)) => pause(name, &error).await,
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS_MAX), ended).await.is_err() {
        tracing::warn!(listener = name, "requests were still in flight at the end of the drain");
    }
}

async fn pause(name: &'static str, error: &io::Error) {
    if !is_of_one_connection(error) {
        tracing::error!(listener = name, %error, "can't accept connections, trying again");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// A connection's place, counted while it is open.
struct Open {
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(permit: OwnedSemaphorePermit, open: Gauge) -> Self {
        open.inc();
        Self { open, _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.dec();
    }
}

async fn connection(stream: TcpStream, router: Router, _place: Open, drain: Drain) {
    // A failure to set it costs latency only.
    let _slower = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(PREFACE_SECONDS_MAX))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BUFFER_BYTES);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut age = std::pin::pin!(tokio::time::sleep(Duration::from_secs(HTTP_CONNECTION_SECONDS_MAX)));
    let mut draining = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = age.as_mut() => return,
            () = drain.begun(), if !draining => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
