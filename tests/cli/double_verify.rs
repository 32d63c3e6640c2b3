//! What the double answers verifiers.

use std::collections::HashMap;

use hotwork::proto::v1;
use hotwork::proto::v1::verification_service_server::VerificationService;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::double::{Answer, TOKEN, Wire, record};

/// The reason of a revocation that takes as long as it may.
pub const SLOW: &str = "slow";

/// Waits as a broker does whose verifiers don't acknowledge.
pub async fn slowly(request: &v1::RevokeRequest) {
    if let Some(wait) = request.wait.filter(|_| request.reason == SLOW) {
        tokio::time::sleep(wait.try_into().unwrap()).await;
    }
}

#[tonic::async_trait]
impl VerificationService for Wire {
    type WatchRevocationsStream = tokio_stream::Empty<Result<v1::WatchRevocationsResponse, Status>>;

    async fn watch_revocations(
        &self,
        _: Request<v1::WatchRevocationsRequest>,
    ) -> Answer<Self::WatchRevocationsStream> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn acknowledge_epoch(
        &self,
        _: Request<v1::AcknowledgeEpochRequest>,
    ) -> Answer<v1::AcknowledgeEpochResponse> {
        Ok(Response::new(v1::AcknowledgeEpochResponse::default()))
    }

    async fn consume(&self, request: Request<v1::ConsumeRequest>) -> Answer<v1::ConsumeResponse> {
        let message = request.into_inner();
        self.saw(format!("consume {}", message.idempotency_key));
        if message.idempotency_key == "too-late" {
            let details = ErrorDetails::with_error_info("calls-exhausted", "hotwork", HashMap::new());
            return Err(Status::with_error_details(Code::PermissionDenied, "all calls used", details));
        }
        let credential = Some(record(v1::CredentialKind::Token));
        Ok(Response::new(v1::ConsumeResponse { calls_left: 2, log_index: 7, credential }))
    }

    async fn introspect(&self, request: Request<v1::IntrospectRequest>) -> Answer<v1::IntrospectResponse> {
        use v1::introspect_request::Credential;
        let active = request.into_inner().credential == Some(Credential::Token(TOKEN.to_owned()));
        let credential = active.then(|| record(v1::CredentialKind::Token));
        Ok(Response::new(v1::IntrospectResponse { active, credential }))
    }

    async fn get_trust_bundle(
        &self,
        _: Request<v1::GetTrustBundleRequest>,
    ) -> Answer<v1::GetTrustBundleResponse> {
        let log_verifier_key = "example.org/log+00000000+AQ==".to_owned();
        Ok(Response::new(v1::GetTrustBundleResponse {
            log_verifier_key,
            ..v1::GetTrustBundleResponse::default()
        }))
    }
}
