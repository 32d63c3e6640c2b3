//! Binds the TCP listeners and gives each its certificate and its belief.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::api::tls::{Acceptor, CertificateSource, TlsListener, TrustSource};
use crate::attest::x509::Accepts;
use crate::broker::Broker;
use crate::config::Config;
use crate::config::edge::{ServerCertificate, TlsListen};

use super::Failure;

/// The root that clients know us by, in the state directory.
const CA_FILE: &str = "tls-ca.pem";

/// The TCP listeners, those that are configured.
#[derive(Debug, Default)]
pub struct EdgeListeners {
    /// For agents.
    pub agent: Option<TlsListener>,
    /// For verifiers.
    pub verifier: Option<TlsListener>,
    /// For operators.
    pub admin: Option<TlsListener>,
}

/// Where they are.
#[derive(Clone, Debug, Default)]
pub struct BoundEdge {
    /// For agents.
    pub agent: Option<SocketAddr>,
    /// For verifiers.
    pub verifier: Option<SocketAddr>,
    /// For operators.
    pub admin: Option<SocketAddr>,
    /// The file with the root that clients know us by, when one of them is on.
    pub ca_file: Option<PathBuf>,
}

/// Binds them.
///
/// # Errors
/// The first that can't be, in words for the operator.
pub async fn bind(config: &Config, broker: &Arc<Broker>) -> Result<(EdgeListeners, BoundEdge), Failure> {
    let enrolled = |accepts| TrustSource::Enrolled(accepts, Arc::clone(broker));
    let edge = &config.edge;
    let workloads = TrustSource::Workloads(config.trust_domain.clone(), edge.bundles.clone());
    let listeners = EdgeListeners {
        agent: one("agent_tcp", edge.agent.as_ref(), workloads, broker).await?,
        verifier: one("verifier_tcp", edge.verifier.as_ref(), enrolled(Accepts::Verifiers), broker).await?,
        admin: one("admin_tcp", edge.admin.as_ref(), enrolled(Accepts::Operators), broker).await?,
    };
    let address = |listener: &Option<TlsListener>| {
        listener.as_ref().and_then(|listener| listener.socket.local_addr().ok())
    };
    let mut bound = BoundEdge {
        agent: address(&listeners.agent),
        verifier: address(&listeners.verifier),
        admin: address(&listeners.admin),
        ca_file: None,
    };
    if bound.agent.or(bound.verifier).or(bound.admin).is_some() {
        match write_ca(config, broker) {
            Ok(path) => bound.ca_file = Some(path),
            Err(failure) => super::emergency::tolerate(broker, Err(failure))?,
        }
    }
    Ok((listeners, bound))
}

async fn one(
    key: &str,
    configured: Option<&TlsListen>,
    trust: TrustSource,
    broker: &Arc<Broker>,
) -> Result<Option<TlsListener>, Failure> {
    let Some(TlsListen { listen, settings, certificate }) = configured else { return Ok(None) };
    let certificate = match certificate {
        ServerCertificate::Files { chain, key } => {
            CertificateSource::Files { chain: chain.clone(), key: key.clone() }
        }
        ServerCertificate::Minted(names) => {
            CertificateSource::Minted { broker: Arc::clone(broker), names: names.clone() }
        }
    };
    let acceptor = Acceptor::new(Arc::clone(broker), certificate, trust, *settings);
    let acceptor = acceptor.map_err(|error| Failure::new(format!("{key}: {error}")))?;
    let socket = tokio::net::TcpListener::bind(listen).await;
    let socket = socket.map_err(|error| Failure::new(format!("{key}: can't listen on {listen}: {error}")))?;
    Ok(Some(TlsListener { socket, acceptor: Arc::new(acceptor) }))
}

/// The root, where clients on this machine find it. It is public; the keys beside it are not.
fn write_ca(config: &Config, broker: &Broker) -> Result<PathBuf, Failure> {
    let path = config.state_dir.join(CA_FILE);
    let written = std::fs::write(&path, broker.minter().keys().root_pem());
    written.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Ok(path)
}
