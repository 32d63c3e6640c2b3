//! `VerificationService`: what a resource asks before it honours a credential.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::proto::v1;
use crate::proto::v1::verification_service_server::VerificationService;

use super::convert;
use super::published::Published;
use super::render;
use super::status::status;

/// The service for verifiers.
pub struct Verification {
    broker: Arc<Broker>,
    published: Arc<Published>,
}

impl Verification {
    /// The service over these parts.
    pub fn new(broker: Arc<Broker>, published: Arc<Published>) -> Self {
        Self { broker, published }
    }
}

#[tonic::async_trait]
impl VerificationService for Verification {
    async fn introspect(
        &self,
        request: Request<v1::IntrospectRequest>,
    ) -> Result<Response<v1::IntrospectResponse>, Status> {
        let shown = convert::verify::shown(request.into_inner()).map_err(status)?;
        let found = self.broker.introspect(&shown).await.map_err(status)?;
        let credential =
            found.map(|credential| render::credential::credential(&credential, self.broker.time()));
        Ok(Response::new(v1::IntrospectResponse { active: credential.is_some(), credential }))
    }

    async fn consume(
        &self,
        request: Request<v1::ConsumeRequest>,
    ) -> Result<Response<v1::ConsumeResponse>, Status> {
        let (shown, key) = convert::verify::consume(request.into_inner()).map_err(status)?;
        let consumed = self.broker.consume(&shown, &key).await.map_err(status)?;
        Ok(Response::new(v1::ConsumeResponse {
            calls_left: consumed.left,
            log_index: consumed.index,
            credential: Some(render::credential::credential(&consumed.credential, self.broker.time())),
        }))
    }

    async fn get_trust_bundle(
        &self,
        _: Request<v1::GetTrustBundleRequest>,
    ) -> Result<Response<v1::GetTrustBundleResponse>, Status> {
        Ok(Response::new(v1::GetTrustBundleResponse {
            trust_domain: self.published.trust_domain.to_string(),
            issuer: self.published.issuer.to_string(),
            jwks: self.broker.minter().jwks(self.broker.time()),
            action_ca_pem: self.published.action_ca_pem.clone(),
            log_verifier_key: self.published.log_verifier_key.clone(),
        }))
    }
}
