//! `CredentialService`: what an agent may ask. Handlers convert, call and render; they decide nothing.

use std::sync::Arc;
use std::time::Instant;

use tonic::{Request, Response, Status};

use crate::attest::{AttestError, Presented};
use crate::broker::approve::WaitError;
use crate::broker::issue::CertifiedKey;
use crate::broker::release::OwnError;
use crate::broker::{Broker, IssueError, Issued};
use crate::domain::credential::Kind;
use crate::domain::request::{ActionRequest, Justification};
use crate::proto::v1;
use crate::proto::v1::credential_service_server::CredentialService;
use crate::signer::certificate::Certificate;
use crate::signer::csr::{self, SubjectKey};
use crate::signer::secret::SecretKeyPem;

use super::approvals::{Follower, Outcome, Waiters};
use super::convert::issue::KeySource;
use super::convert::{self, BadField};
use super::drain::Drain;
use super::metrics::Metrics;
use super::peer::presented;
use super::published::Published;
use super::render;
use super::status::{Refused, status};

/// The service for agents.
pub struct Agents {
    broker: Arc<Broker>,
    metrics: Arc<Metrics>,
    published: Arc<Published>,
    drain: Drain,
    waiters: Arc<Waiters>,
}

impl Agents {
    /// The service over these parts.
    pub fn new(broker: Arc<Broker>, metrics: Arc<Metrics>, published: Arc<Published>, drain: Drain) -> Self {
        Self { broker, metrics, published, drain, waiters: Arc::default() }
    }

    async fn certificate(
        &self,
        presented: &Presented,
        request: ActionRequest,
        key: CertifiedKey,
        words: Option<Justification>,
    ) -> Result<Issued<Certificate>, Status> {
        let started = Instant::now();
        let result = self.broker.issue_certificate(presented, request, key, words).await;
        self.count(Kind::Certificate, started, &result);
        result.map_err(status)
    }

    fn count<M>(&self, kind: Kind, started: Instant, result: &Result<Issued<M>, IssueError>) {
        self.metrics.issue(kind, started.elapsed(), result);
    }

    /// Counts a caller that was not attested, and gives its status.
    fn stranger(&self, error: AttestError) -> Status {
        self.metrics.attestation(&error);
        status(error)
    }

    fn own(&self, error: OwnError) -> Status {
        match error {
            OwnError::Attest(error) => self.stranger(error),
            OwnError::Ledger(_) | OwnError::NotFound(_) | OwnError::Read(_) => status(error),
        }
    }

    fn shown(&self, credential: &crate::domain::credential::Credential) -> v1::Credential {
        render::credential::credential(credential, self.broker.time())
    }
}

/// The key of a certificate, and its private part when the broker made it.
fn subject_key(source: KeySource) -> Result<(CertifiedKey, Option<SecretKeyPem>), Status> {
    match source {
        KeySource::Csr(der) => {
            let key = SubjectKey::from_csr(&der).map_err(|error| BadField::from_error("csr_der", &error));
            Ok((CertifiedKey::Brought(key.map_err(status)?), None))
        }
        KeySource::Generated => {
            let (key, secret) = csr::generate().map_err(status)?;
            Ok((CertifiedKey::Made(key), Some(secret)))
        }
    }
}

#[tonic::async_trait]
impl CredentialService for Agents {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let presented = presented(&request);
        let words = convert::issue::justification(request.get_ref().request.as_ref()).map_err(status)?;
        let (request, confirmation) = convert::issue::token(request.into_inner()).map_err(status)?;
        let started = Instant::now();
        let result = self.broker.issue_token(&presented, request, confirmation, words).await;
        self.count(Kind::Token, started, &result);
        let issued = result.map_err(status)?;
        let credential =
            Some(render::credential::credential(&issued.credential, issued.credential.issuance.issued));
        Ok(Response::new(v1::IssueTokenResponse { credential, token: issued.material.expose().to_owned() }))
    }

    async fn issue_certificate(
        &self,
        request: Request<v1::IssueCertificateRequest>,
    ) -> Result<Response<v1::IssueCertificateResponse>, Status> {
        let presented = presented(&request);
        let words = convert::issue::justification(request.get_ref().request.as_ref()).map_err(status)?;
        let (request, source) = convert::issue::certificate(request.into_inner()).map_err(status)?;
        let (key, secret) = subject_key(source)?;
        let issued = self.certificate(&presented, request, key, words).await?;
        Ok(Response::new(v1::IssueCertificateResponse {
            credential: Some(self.shown(&issued.credential)),
            certificate_pem: issued.material.pem(),
            ca_pem: self.published.action_ca_pem.clone(),
            private_key_pem: secret.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
        }))
    }

    type WatchApprovalStream = Outcome;

    async fn watch_approval(
        &self,
        request: Request<v1::WatchApprovalRequest>,
    ) -> Result<Response<Outcome>, Status> {
        let id = convert::approval::id(&request.get_ref().approval_id).map_err(status)?;
        let (agent, approvals) = match self.broker.watch_approval(&presented(&request), id).await {
            Ok(watched) => watched,
            Err(WaitError::Attest(error)) => return Err(self.stranger(error)),
            Err(error @ WaitError::NotFound) => return Err(status(error)),
        };
        let place = self.waiters.enter(&agent).ok_or_else(|| status(Refused::watchers_exhausted()))?;
        let follower =
            Follower { broker: Arc::clone(&self.broker), drain: self.drain.clone(), id, approvals };
        Ok(Response::new(follower.start(place)))
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        let id = convert::credential_id(&request.get_ref().credential_id).map_err(status)?;
        let released = self.broker.release(&presented(&request), id).await;
        let credential = released.map_err(|error| self.own(error))?;
        Ok(Response::new(v1::ReleaseResponse { credential: Some(self.shown(&credential)) }))
    }

    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let attested = self.broker.attest(&presented(&request)).await;
        let attested = attested.map_err(|error| self.stranger(error))?;
        Ok(Response::new(render::inventory::who_am_i(&attested)))
    }

    async fn list_actions(
        &self,
        request: Request<v1::ListActionsRequest>,
    ) -> Result<Response<v1::ListActionsResponse>, Status> {
        let found = self.broker.own_actions(&presented(&request)).await;
        let found = found.map_err(|error| self.stranger(error))?;
        let mut actions: Vec<v1::Action> =
            found.iter().map(|(api, action)| render::inventory::action(api, action)).collect();
        actions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(v1::ListActionsResponse { actions }))
    }

    async fn list_my_credentials(
        &self,
        request: Request<v1::ListMyCredentialsRequest>,
    ) -> Result<Response<v1::ListMyCredentialsResponse>, Status> {
        let message = request.get_ref();
        let size = convert::page::size(message.page_size).map_err(status)?;
        let after = convert::page::credentials(&message.page_token).map_err(status)?;
        let page =
            self.broker.own_credentials(&presented(&request), message.include_ended, size, after).await;
        let page = page.map_err(|error| self.own(error))?;
        let (credentials, next_page_token, now) = render::credential::page(&page, self.broker.time());
        Ok(Response::new(v1::ListMyCredentialsResponse {
            credentials,
            next_page_token,
            read_time: Some(now),
        }))
    }

    async fn get_my_credential(
        &self,
        request: Request<v1::GetMyCredentialRequest>,
    ) -> Result<Response<v1::GetMyCredentialResponse>, Status> {
        let id = convert::credential_id(&request.get_ref().credential_id).map_err(status)?;
        let found = self.broker.own_credential(&presented(&request), id).await;
        let credential = found.map_err(|error| self.own(error))?;
        Ok(Response::new(v1::GetMyCredentialResponse { credential: Some(self.shown(&credential)) }))
    }
}
