//! Serves the door on its Unix socket: HTTP/1 for nginx, HTTP/2 for Envoy, told apart by the preface.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::JoinSet;

use crate::api::drain::Drain;
use crate::api::guard::{ACCEPT_PAUSE, Guarded, Places, is_of_one_connection};
use crate::attest::unix::{Connection, Listener};
use crate::domain::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX, DRAIN_SECONDS_MAX, HEADER_BYTES_MAX, KEEPALIVE_SECONDS,
    PREFACE_SECONDS_MAX, STREAMS_MAX,
};

/// Bytes of one HTTP/1 request's header: a token, a proof and an escaped certificate fit.
const HEADER_BUFFER_BYTES: usize = 128 * 1024;
/// Header fields of one HTTP/1 request.
const HEADERS_MAX: usize = 100;
const NAME: &str = "authz";
/// The user of peers that can't be believed; they share one user's share of the connections.
pub(super) const NOBODY: u32 = u32::MAX;

/// Serves `router` until the drain, and then ends what is in flight.
pub async fn serve(listener: Listener, router: Router, open: Gauge, drain: Drain) {
    let places = Places::new(CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX, open);
    let builder = Arc::new(builder());
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = places.free().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = drain.begun() => break,
            next = next => next,
        };
        // Ended connections leave the set; otherwise it would only grow.
        while connections.try_join_next().is_some() {}
        match (permit, accepted) {
            (Some(permit), Ok(stream)) => {
                let peer = stream.peer();
                let user = peer.credentials().map_or(NOBODY, |credentials| credentials.uid);
                let Some(place) = places.take(permit, user) else {
                    tracing::warn!(listener = NAME, user, "a user has its share of connections");
                    continue;
                };
                let guarded = Guarded::new(stream, place);
                // Who asks for a certificate has to be attested.
                let router = router.clone().layer(Extension(peer));
                connections.spawn(connection(guarded, router, Arc::clone(&builder), drain.clone()));
            }
            (None, _) => break,
            (_, Err(error)) if is_of_one_connection(&error) => {}
            (_, Err(error)) => {
                tracing::error!(listener = NAME, %error, "can't accept connections, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS_MAX), ended).await.is_err() {
        tracing::warn!(listener = NAME, "requests were still in flight at the end of the drain");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(PREFACE_SECONDS_MAX))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(Duration::from_secs(KEEPALIVE_SECONDS))
        .keep_alive_timeout(Duration::from_secs(KEEPALIVE_SECONDS));
    builder
}

async fn connection(
    stream: Guarded<Connection, u32>,
    router: Router,
    builder: Arc<Builder<TokioExecutor>>,
    drain: Drain,
) {
    let service = TowerToHyperService::new(router);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut draining = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = drain.begun(), if !draining => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
