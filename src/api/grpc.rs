//! The gRPC servers: which services stand on which listener, and within what bounds.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::attest::unix::{Connection, Listener};
use crate::broker::Broker;
use crate::domain::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX, DRAIN_SECONDS_MAX, HEADER_BYTES_MAX, KEEPALIVE_SECONDS,
    MESSAGE_BYTES_MAX, REQUEST_SECONDS_MAX, RESET_STREAMS_MAX, STREAMS_MAX, TLS_STREAMS_MAX,
};
use crate::proto::v1::admin_service_server::AdminServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::break_glass_service_server::BreakGlassServiceServer;
use crate::proto::v1::credential_service_server::CredentialServiceServer;
use crate::proto::v1::verification_service_server::VerificationServiceServer;

use super::admin::Operators;
use super::agent::Agents;
use super::audit::Audit;
use super::break_glass::Responders;
use super::drain::Drain;
use super::guard::{ACCEPT_PAUSE, Guarded, Places, is_of_one_connection};
use super::metrics::Metrics;
use super::published::Published;
use super::strangers::WatchStrangers;
use super::tls::standing::HeldToCertificate;
use super::tls::{self, TlsListener};
use super::verify::Verification;

/// Largest answer in bytes: a page of [`crate::domain::limits::PAGE_SIZE_MAX`] log entries or credentials.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often health follows the broker. A failed ledger stops issuance at once; this only tells watchers.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);
/// The user of peers that can't be believed; they share one user's share of the connections.
const NOBODY: u32 = u32::MAX;
/// Bytes of one stream's request that may be on their way: a request fits in two windows.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Bytes of one connection's requests that may be on their way.
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// Where a server's connections come from.
#[derive(Debug)]
pub enum Door {
    /// TCP, with certificates.
    Tls(TlsListener),
    /// A Unix socket.
    Unix(Listener),
}

/// What the gRPC services are made of.
#[derive(Clone)]
pub struct Edge {
    /// The use cases.
    pub broker: Arc<Broker>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What anybody may know.
    pub published: Arc<Published>,
    /// When to stop.
    pub drain: Drain,
    /// Whether the listeners describe themselves (`hotworkd dev`).
    pub reflection: bool,
}

/// A listener could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors that were compiled in can't be read.
    #[error("the service descriptors can't be read")]
    Descriptors(#[source] tonic_reflection::server::Error),
    /// Requests in flight did not end in time; they were cut off.
    #[error("requests were still in flight after {DRAIN_SECONDS_MAX} s")]
    DrainTimeout,
    /// The transport failed.
    #[error("the transport failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves agents until the drain: credentials, and on this machine verification. Over TCP a verifier is one
/// that was enrolled, and not whoever a foreign authority gave a certificate.
///
/// # Errors
/// [`ServeError`].
pub async fn agents(door: Door, edge: Edge) -> Result<(), ServeError> {
    let (broker, metrics) = (Arc::clone(&edge.broker), Arc::clone(&edge.metrics));
    let agents = Agents::new(broker, metrics, Arc::clone(&edge.published), edge.drain.clone());
    let agents = CredentialServiceServer::new(agents)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let (name, verifies) = match door {
        Door::Tls(_) => ("agent_tcp", false),
        Door::Unix(_) => ("agent", true),
    };
    let mut services = Services::new(name, &edge);
    services.add(agents).await;
    if verifies {
        services.add(verification(&edge)).await;
    }
    services.serve(door).await
}

/// Serves verifiers until the drain.
///
/// # Errors
/// [`ServeError`].
pub async fn verifiers(listener: TlsListener, edge: Edge) -> Result<(), ServeError> {
    let mut services = Services::new("verifier_tcp", &edge);
    services.add(verification(&edge)).await;
    services.serve(Door::Tls(listener)).await
}

/// Serves operators until the drain: control, audit and verification.
///
/// # Errors
/// [`ServeError`].
pub async fn operators(door: Door, edge: Edge) -> Result<(), ServeError> {
    let admin = Operators::new(Arc::clone(&edge.broker), Arc::clone(&edge.published));
    let admin = AdminServiceServer::new(admin)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let audit = AuditServiceServer::new(Audit::new(Arc::clone(&edge.broker)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let name = match door {
        Door::Tls(_) => "admin_tcp",
        Door::Unix(_) => "admin",
    };
    let mut services = Services::new(name, &edge);
    services.add(admin).await;
    services.add(audit).await;
    services.add(break_glass(&edge)).await;
    services.add(verification(&edge)).await;
    services.serve(door).await
}

/// Serves responders until the drain, on the socket that nobody else's connections can fill.
///
/// # Errors
/// [`ServeError`].
pub async fn responders(listener: Listener, edge: Edge) -> Result<(), ServeError> {
    let mut services = Services::new("break_glass", &edge);
    services.add(break_glass(&edge)).await;
    services.serve(Door::Unix(listener)).await
}

fn break_glass(edge: &Edge) -> BreakGlassServiceServer<Responders> {
    BreakGlassServiceServer::new(Responders::new(Arc::clone(&edge.broker)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

fn verification(edge: &Edge) -> VerificationServiceServer<Verification> {
    let service =
        Verification::new(Arc::clone(&edge.broker), Arc::clone(&edge.published), edge.drain.clone());
    VerificationServiceServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

/// The services of one listener, with their health.
struct Services {
    listener: &'static str,
    edge: Edge,
    routes: RoutesBuilder,
    health: HealthReporter,
    names: Vec<&'static str>,
}

impl Services {
    fn new(listener: &'static str, edge: &Edge) -> Self {
        let (health, server) = tonic_health::server::health_reporter();
        let mut routes = Routes::builder();
        routes.add_service(server.max_decoding_message_size(MESSAGE_BYTES_MAX));
        // The empty name stands for the listener as a whole.
        Self { listener, edge: edge.clone(), routes, health, names: vec![""] }
    }

    async fn add<S>(&mut self, service: S)
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.push(S::NAME);
        self.health.set_service_status(S::NAME, ServingStatus::Serving).await;
    }

    async fn serve(mut self, door: Door) -> Result<(), ServeError> {
        if self.edge.reflection {
            let reflection = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(crate::proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .build_v1()
                .map_err(ServeError::Descriptors)?;
            self.routes.add_service(reflection.max_decoding_message_size(MESSAGE_BYTES_MAX));
        }
        match door {
            Door::Tls(listener) => self.serve_tls(listener).await,
            Door::Unix(listener) => self.serve_unix(listener).await,
        }
    }

    async fn serve_unix(self, listener: Listener) -> Result<(), ServeError> {
        let (name, drain) = (self.listener, self.edge.drain.clone());
        let open = self.edge.metrics.connections(name);
        let places = Places::new(CONNECTIONS_MAX, CONNECTIONS_PER_USER_MAX, open);
        let (accepted, connections) = mpsc::channel(1);
        let serving = bounds()
            .layer(WatchStrangers::new(self.edge.metrics.rejected_operators(name)))
            .add_routes(self.routes.clone().routes())
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), drain.begun());
        self.run(accept(name, listener, places, accepted, &drain), serving).await
    }

    async fn serve_tls(self, listener: TlsListener) -> Result<(), ServeError> {
        let (name, drain) = (self.listener, self.edge.drain.clone());
        let open = self.edge.metrics.connections(name);
        let TlsListener { socket, acceptor } = listener;
        let (accepted, connections) = mpsc::channel(1);
        let serving = bounds()
            .max_concurrent_streams(TLS_STREAMS_MAX)
            .max_connection_age(acceptor.max_age())
            .layer(WatchStrangers::new(self.edge.metrics.rejected_operators(name)))
            .layer(HeldToCertificate::new(Arc::clone(&self.edge.broker)))
            .add_routes(self.routes.clone().routes())
            .serve_with_incoming_shutdown(ReceiverStream::new(connections), drain.begun());
        let renewing = Arc::clone(&acceptor).refresh(name, drain.clone());
        let refused = self.edge.metrics.refused_connections(name);
        let accepting = tls::accept(name, socket, acceptor, open, refused, accepted, &drain);
        let beside = async {
            tokio::join!(accepting, renewing);
        };
        self.run(beside, serving).await
    }

    /// Runs the server with what runs beside it, until the drain has ended what is in flight.
    async fn run(
        self,
        accepting: impl Future<Output = ()>,
        serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    ) -> Result<(), ServeError> {
        let drain = self.edge.drain.clone();
        let health = follow(self.health, self.names, &self.edge.broker, &drain);
        let cut_off = async {
            drain.begun().await;
            tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS_MAX)).await;
        };
        let beside = async {
            tokio::join!(accepting, health);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = serving => served.map_err(ServeError::Transport),
            () = cut_off => Err(ServeError::DrainTimeout),
            () = beside => Ok(()),
        }
    }
}

/// The bounds of every gRPC server; `domain/limits.rs` has the reasons.
fn bounds() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(RESET_STREAMS_MAX))
        .http2_keepalive_interval(Some(Duration::from_secs(KEEPALIVE_SECONDS)))
        .http2_keepalive_timeout(Some(Duration::from_secs(KEEPALIVE_SECONDS)))
        .timeout(Duration::from_secs(REQUEST_SECONDS_MAX))
}

/// Accepts connections until the drain. A failed accept is never the end of it: out of descriptors or of
/// memory, it waits and tries again.
async fn accept(
    name: &'static str,
    listener: Listener,
    places: Places<u32>,
    accepted: mpsc::Sender<io::Result<Guarded<Connection, u32>>>,
    drain: &Drain,
) {
    loop {
        let next = async {
            let permit = places.free().await;
            (permit, listener.accept().await)
        };
        let (permit, connection) = tokio::select! {
            () = drain.begun() => return,
            next = next => next,
        };
        match (permit, connection) {
            (Some(permit), Ok(connection)) => {
                let user = connection.peer().credentials().map_or(NOBODY, |credentials| credentials.uid);
                let Some(place) = places.take(permit, user) else {
                    tracing::warn!(listener = name, user, "a user has its share of connections");
                    continue;
                };
                if accepted.send(Ok(Guarded::new(connection, place))).await.is_err() {
                    return;
                }
            }
            (None, _) => return,
            (_, Err(error)) if is_of_one_connection(&error) => {}
            (_, Err(error)) => {
                tracing::error!(listener = name, %error, "can't accept connections, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Keeps gRPC health in step with the broker. At the drain it says so and ends the streams that watch.
async fn follow(mut health: HealthReporter, names: Vec<&'static str>, broker: &Broker, drain: &Drain) {
    let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut shown = ServingStatus::Unknown;
    loop {
        tokio::select! {
            () = drain.begun() => break,
            _ = ticks.tick() => {}
        }
        let now = match broker.status().problem {
            None => ServingStatus::Serving,
            Some(_) => ServingStatus::NotServing,
        };
        if now != shown {
            set(&health, &names, now).await;
            shown = now;
        }
    }
    set(&health, &names, ServingStatus::NotServing).await;
    for name in names {
        health.clear_service_status(name).await;
    }
}

async fn set(health: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names {
        health.set_service_status(name, status).await;
    }
}
