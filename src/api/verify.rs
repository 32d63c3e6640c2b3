//! `VerificationService`: what a resource asks before it honours a credential.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::verifiers::VerifierError;
use crate::proto::v1;
use crate::proto::v1::verification_service_server::VerificationService;

use super::convert::{self, BadField};
use super::drain::Drain;
use super::feed::{self, Feed};
use super::published::Published;
use super::render;
use super::status::status;
use super::verifier::verifier;

/// The service for verifiers.
pub struct Verification {
    broker: Arc<Broker>,
    published: Arc<Published>,
    drain: Drain,
}

impl Verification {
    /// The service over these parts.
    pub fn new(broker: Arc<Broker>, published: Arc<Published>, drain: Drain) -> Self {
        Self { broker, published, drain }
    }
}

/// An epoch that is not there yet is a bad field; the rest is not about the request's form.
fn acknowledgement(error: VerifierError, newest: u64) -> Status {
    match error {
        VerifierError::Ahead(_) => {
            status(BadField::new("epoch", format!("one that was sent, at most `{newest}`")))
        }
        VerifierError::Full | VerifierError::Unknown => status(error),
    }
}

#[tonic::async_trait]
impl VerificationService for Verification {
    type WatchRevocationsStream = Feed;

    async fn watch_revocations(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Response<Feed>, Status> {
        let label = convert::selector::label(&request.get_ref().label).map_err(status)?;
        let id = verifier(&self.broker, &request, label.clone())?;
        let after = convert::verify::place(request.get_ref()).map_err(status)?;
        let instance = convert::verify::instance(request.get_ref()).map_err(status)?;
        let subscription =
            self.broker.verifiers().connect(id, instance, self.broker.time()).map_err(status)?;
        let broker = Arc::clone(&self.broker);
        let (_, transport, _) = request.into_parts();
        let allowed = Box::new(move || {
            let mut same = Request::new(());
            *same.extensions_mut() = transport.clone();
            verifier(&broker, &same, label.clone()).is_ok()
        });
        let broker = Arc::clone(&self.broker);
        Ok(Response::new(feed::follow(broker, self.drain.clone(), subscription, allowed, after)))
    }

    async fn acknowledge_epoch(
        &self,
        request: Request<v1::AcknowledgeEpochRequest>,
    ) -> Result<Response<v1::AcknowledgeEpochResponse>, Status> {
        let message = request.get_ref();
        let label = convert::selector::label(&message.label).map_err(status)?;
        let id = verifier(&self.broker, &request, label)?;
        if message.subscription == 0 {
            return Err(status(BadField::new("subscription", "the number that the stream's messages have")));
        }
        let newest_epoch = self.broker.ledger().revocations().epoch();
        let now = self.broker.time();
        let verifiers = self.broker.verifiers();
        let taken = verifiers.acknowledge(&id, message.subscription, message.epoch, newest_epoch, now);
        taken.map_err(|error| acknowledgement(error, newest_epoch))?;
        Ok(Response::new(v1::AcknowledgeEpochResponse { newest_epoch }))
    }

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
