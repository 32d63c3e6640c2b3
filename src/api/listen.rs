//! The HTTP/1 listeners: an accept loop with bounds and shares for each address, for documents that anybody
//! may read.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::domain::limits::{
    DRAIN_SECONDS_MAX, HTTP_CONNECTION_SECONDS_MAX, HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_ADDRESS_MAX,
    PREFACE_SECONDS_MAX,
};

use super::drain::Drain;
use super::guard::{self, ACCEPT_PAUSE, Network, Place, Places, is_of_one_connection};
use super::metrics::RefusedConnections;

/// Bytes of one request's header, and of what is read ahead.
const HEADER_BUFFER_BYTES: usize = 16 * 1024;
/// Header fields of one request.
const HEADERS_MAX: usize = 64;

/// Serves `router` until the drain, and then ends what is in flight.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    router: Router,
    (open, refused): (Gauge, RefusedConnections),
    drain: Drain,
) {
    let places = Places::new(HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_ADDRESS_MAX, open);
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
            (Some(permit), Ok((stream, address))) => {
                let Some(place) = places.take(permit, Network::of(address.ip())) else {
                    refused.count("address-share");
                    tracing::debug!(listener = name, %address, "an address has its share of connections");
                    continue;
                };
                connections.spawn(connection(stream, router.clone(), place, drain.clone()));
            }
            (None, _) => break,
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

async fn connection(stream: TcpStream, router: Router, _place: Place<Network>, drain: Drain) {
    guard::settle(&stream);
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
