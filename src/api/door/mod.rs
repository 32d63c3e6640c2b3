//! The door for servers that stand in front of an API: Envoy asks over gRPC (`ext_authz`), nginx over HTTP
//! (`auth_request`), both on one Unix socket, and the same check answers both from memory. Envoy also gets
//! here what it verifies client certificates with, and its own certificate (SDS).
//!
//! It is no public endpoint. Who may connect is the socket's mode; what they learn is whether a credential
//! that they hold permits a request, and never anything about another. A certificate gets only who is attested.

mod auth_request;
pub mod certificate;
mod ext_authz;
mod gate;
mod identities;
mod sds;
mod secrets;
mod serve;

use std::sync::Arc;

use axum::Router;
use tonic::service::Routes;

use crate::broker::Broker;
use crate::domain::limits::{MESSAGE_BYTES_MAX, SECRETS_BYTES_MAX};
use crate::proto::envoy::authorization_server::AuthorizationServer;
use crate::proto::sds::secret_discovery_service_server::SecretDiscoveryServiceServer;

use super::drain::Drain;

use ext_authz::ExtAuthz;
use sds::Secrets;

pub use gate::Gate;
pub use serve::serve;

/// Both protocols over one gate, and the secrets beside it.
pub fn routes(broker: Arc<Broker>, drain: Drain) -> Router {
    let secrets = SecretDiscoveryServiceServer::new(Secrets::new(Arc::clone(&broker), drain))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(SECRETS_BYTES_MAX);
    let gate = Arc::new(Gate::new(broker));
    let envoy = AuthorizationServer::new(ExtAuthz::new(Arc::clone(&gate)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let envoy = Routes::new(envoy).add_service(secrets);
    envoy.prepare().into_axum_router().merge(auth_request::routes(gate))
}
