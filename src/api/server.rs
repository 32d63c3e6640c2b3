//! All listeners of the daemon, served as one until told to stop.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::attest::unix::Listener;
use crate::broker::Broker;

use super::drain::Drain;
use super::grpc::{self, Door, Edge};
use super::metrics::Metrics;
use super::oauth::ResourceServers;
use super::published::Published;
use super::tls::TlsListener;
use super::{door, http, listen, ops};

pub use super::grpc::ServeError;

/// The listeners, bound and not yet accepting.
#[derive(Debug)]
pub struct Listeners {
    /// Where agents ask.
    pub agent: Option<Listener>,
    /// Where operators call.
    pub admin: Option<Listener>,
    /// Where agents with certificates ask.
    pub agent_tcp: Option<TlsListener>,
    /// Where verifiers ask.
    pub verifier_tcp: Option<TlsListener>,
    /// Where operators with certificates call.
    pub admin_tcp: Option<TlsListener>,
    /// Keys, certificates and discovery, for anybody.
    pub http: Option<TcpListener>,
    /// Health and metrics, for the machine's own watchers.
    pub ops: Option<TcpListener>,
    /// Where Envoy and nginx ask.
    pub authz: Option<Listener>,
    /// Where responders call when the others can't be reached.
    pub break_glass: Option<Listener>,
}

/// What the listeners do beyond serving.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who may introspect over HTTP.
    pub resource_servers: ResourceServers,
    /// Whether gRPC listeners describe themselves (`hotworkd dev`).
    pub reflection: bool,
}

/// Serves until `stopped` is true or its sender is gone, and then ends what is in flight. The ops port
/// answers until the others have ended, so that a drain can be watched.
///
/// # Errors
/// The first listener's failure. The others are served to their end all the same.
pub async fn serve(
    listeners: Listeners,
    broker: Arc<Broker>,
    settings: Settings,
    stopped: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let drain = Drain::from(stopped);
    let metrics = Arc::new(Metrics::new(broker.status().about.version));
    let published =
        Arc::new(Published::of(broker.minter(), broker.rules().registry.trust_domain(), broker.time()));
    let edge = Edge {
        broker: Arc::clone(&broker),
        metrics: Arc::clone(&metrics),
        published: Arc::clone(&published),
        drain: drain.clone(),
        reflection: settings.reflection,
    };
    let documents = tcp("http", listeners.http, &metrics, drain.clone(), || {
        http::routes(&published, Arc::clone(&broker), settings.resource_servers)
    });
    let proxies = proxies(listeners.authz, &broker, &metrics, drain.clone());
    let (ended, end) = super::drain::drain();
    let watched = tcp("ops", listeners.ops, &metrics, end, || {
        ops::routes(Arc::clone(&broker), Arc::clone(&metrics), drain.clone())
    });
    broker.verifiers().open();
    let served = async {
        let (agents, operators, responders, network, (), ()) = tokio::join!(
            at(listeners.agent, |own| grpc::agents(Door::Unix(own), edge.clone())),
            at(listeners.admin, |own| grpc::operators(Door::Unix(own), edge.clone())),
            at(listeners.break_glass, |own| grpc::responders(own, edge.clone())),
            network(listeners.agent_tcp, listeners.verifier_tcp, listeners.admin_tcp, &edge),
            documents,
            proxies,
        );
        ended.begin();
        agents.and(operators).and(responders).and(network)
    };
    let (served, ()) = tokio::join!(served, watched);
    served
}

/// Serves at a listener, if it is there.
async fn at<F: Future<Output = Result<(), ServeError>>>(
    listener: Option<Listener>,
    serve: impl FnOnce(Listener) -> F,
) -> Result<(), ServeError> {
    match listener {
        None => Ok(()),
        Some(listener) => serve(listener).await,
    }
}

/// The listeners with certificates, those that are configured.
async fn network(
    agent: Option<TlsListener>,
    verifier: Option<TlsListener>,
    admin: Option<TlsListener>,
    edge: &Edge,
) -> Result<(), ServeError> {
    let agents = async {
        let Some(listener) = agent else { return Ok(()) };
        grpc::agents(Door::Tls(listener), edge.clone()).await
    };
    let verifiers = async {
        let Some(listener) = verifier else { return Ok(()) };
        grpc::verifiers(listener, edge.clone()).await
    };
    let operators = async {
        let Some(listener) = admin else { return Ok(()) };
        grpc::operators(Door::Tls(listener), edge.clone()).await
    };
    let (agents, verifiers, operators) = tokio::join!(agents, verifiers, operators);
    agents.and(verifiers).and(operators)
}

async fn proxies(listener: Option<Listener>, broker: &Arc<Broker>, metrics: &Metrics, drain: Drain) {
    if let Some(listener) = listener {
        let routes = door::routes(Arc::clone(broker), drain.clone());
        door::serve(listener, routes, metrics.connections("authz"), drain).await;
    }
}

async fn tcp(
    name: &'static str,
    listener: Option<TcpListener>,
    metrics: &Metrics,
    drain: Drain,
    routes: impl FnOnce() -> axum::Router,
) {
    if let Some(listener) = listener {
        let counts = (metrics.connections(name), metrics.refused_connections(name));
        listen::serve(name, listener, routes(), counts, drain).await;
    }
}
