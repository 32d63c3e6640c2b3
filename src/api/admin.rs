//! `AdminService`: inventory and control for operators. Each call passes the authorization table first.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::inventory::AgentView;
use crate::broker::operate::{Authorized, Requirement};
use crate::broker::revoke::{Revoked, Revoking};
use crate::domain::operator::Operator;
use crate::proto::v1;
use crate::proto::v1::admin_service_server::AdminService;
use crate::signer::token_keys::{Phase, TokenKeyView};
use crate::store::Filter;

use super::call::{authorize, change};
use super::convert::operate::AgentRef;
use super::convert::{self, page};
use super::published::{Published, PublishedKey};
use super::render;
use super::status::{Refused, status};
use super::{approvals, authz};

/// The service for operators.
pub struct Operators {
    broker: Arc<Broker>,
    published: Arc<Published>,
}

impl Operators {
    /// The service over these parts.
    pub fn new(broker: Arc<Broker>, published: Arc<Published>) -> Self {
        Self { broker, published }
    }

    async fn authorize<T>(&self, request: &Request<T>, row: Requirement) -> Result<Authorized, Status> {
        authorize(&self.broker, request, row).await
    }

    /// The one agent that goes by this name, among those the operator sees.
    async fn agent(&self, operator: &Operator, named: AgentRef) -> Result<AgentView, Status> {
        let views = self.broker.agents(operator).await.map_err(status)?;
        let fits = |view: &AgentView| match &named {
            AgentRef::Id(id) => view.id == id.as_str(),
            AgentRef::Name(name) => view.entry.name.as_str() == name.as_str(),
            AgentRef::Template(text) => view.id == *text,
        };
        let mut found: Vec<AgentView> = views.into_iter().filter(fits).collect();
        match (found.pop(), found.is_empty(), named) {
            (Some(view), true, _) => Ok(view),
            (Some(_), false, _) => Err(Refused::ambiguous("agent").into()),
            // An instance of a template has no entry of its own.
            (None, _, AgentRef::Id(id)) => {
                let view = self.broker.agent_instance(operator, &id).await.map_err(status)?;
                view.ok_or_else(|| Refused::not_found("agent").into())
            }
            (None, _, AgentRef::Name(_) | AgentRef::Template(_)) => Err(Refused::not_found("agent").into()),
        }
    }
}

/// What became of a call of `Revoke`.
enum Revoke {
    /// It is durable; how long its caller waits for verifiers.
    Done(Box<Revoking>, Duration),
    /// It was only counted.
    Dry(Revoked),
}

fn key(key: &PublishedKey) -> v1::Key {
    v1::Key {
        kid: key.kid.clone(),
        r#use: key.usage.to_owned(),
        algorithm: key.algorithm.to_owned(),
        expire_time: key.expires.map(render::timestamp),
        ..v1::Key::default()
    }
}

fn token_key(view: &TokenKeyView) -> v1::Key {
    let state = match view.phase {
        Phase::Published => "published",
        Phase::Retiring => "retiring",
        Phase::Signing => "signing",
    };
    v1::Key {
        kid: view.kid.clone(),
        r#use: "token".to_owned(),
        algorithm: view.algorithm.to_owned(),
        expire_time: None,
        state: state.to_owned(),
        use_time: Some(view.use_at).filter(|time| time.millis() > 0).map(render::timestamp),
        drop_time: view.drop_at.map(render::timestamp),
    }
}

#[tonic::async_trait]
impl AdminService for Operators {
    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let by = self.authorize(&request, authz::LIST_AGENTS).await?;
        let size = page::size(request.get_ref().page_size).map_err(status)?;
        let after = page::text_key(&request.get_ref().page_token).map_err(status)?;
        let views = self.broker.agents(by.operator()).await.map_err(status)?;
        let (views, next_page_token) = page::cut(views, after.as_deref(), size, |view| &view.id);
        let agents = views.iter().map(render::inventory::agent).collect();
        Ok(Response::new(v1::ListAgentsResponse { agents, next_page_token }))
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        let by = self.authorize(&request, authz::GET_AGENT).await?;
        let trust_domain = self.broker.rules().registry.trust_domain().clone();
        let named = convert::operate::agent(request.get_ref(), &trust_domain).map_err(status)?;
        let view = self.agent(by.operator(), named).await?;
        Ok(Response::new(v1::GetAgentResponse { agent: Some(render::inventory::agent(&view)) }))
    }

    async fn list_credentials(
        &self,
        request: Request<v1::ListCredentialsRequest>,
    ) -> Result<Response<v1::ListCredentialsResponse>, Status> {
        let by = self.authorize(&request, authz::LIST_CREDENTIALS).await?;
        let message = request.get_ref();
        let size = page::size(message.page_size).map_err(status)?;
        let after = page::credentials(&message.page_token).map_err(status)?;
        let agent = convert::operate::agent_filter(&message.agent).map_err(status)?;
        let now = self.broker.time();
        let tenants = by.operator().tenants.clone();
        let filter = Filter { agent, tenants, include_ended: message.include_ended, now };
        let found = self.broker.credentials(filter, size, after).await.map_err(status)?;
        let (credentials, next_page_token, now) = render::credential::page(&found, now);
        Ok(Response::new(v1::ListCredentialsResponse { credentials, next_page_token, read_time: Some(now) }))
    }

    async fn get_credential(
        &self,
        request: Request<v1::GetCredentialRequest>,
    ) -> Result<Response<v1::GetCredentialResponse>, Status> {
        let by = self.authorize(&request, authz::GET_CREDENTIAL).await?;
        let id = convert::credential_id(&request.get_ref().credential_id).map_err(status)?;
        let found = self.broker.credential(id).await.map_err(status)?;
        let seen = found.filter(|found| by.operator().sees(found.issuance.agent.tenant()));
        let credential = seen.ok_or_else(|| Refused::not_found("credential"))?;
        let shown = render::credential::credential(&credential, self.broker.time());
        Ok(Response::new(v1::GetCredentialResponse { credential: Some(shown) }))
    }

    async fn list_apis(
        &self,
        request: Request<v1::ListApisRequest>,
    ) -> Result<Response<v1::ListApisResponse>, Status> {
        let by = self.authorize(&request, authz::LIST_APIS).await?;
        let rules = self.broker.rules();
        let seen = rules.registry.apis().iter().filter(|api| by.operator().sees(&api.tenant));
        let mut apis: Vec<v1::Api> = seen.map(|api| render::inventory::api(api)).collect();
        apis.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(v1::ListApisResponse { apis }))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        let done = change(&self.broker, request, authz::REVOKE, |broker, by, message| async move {
            let asked = convert::selector::revocation(&message)?;
            if asked.dry_run {
                return Ok(Revoke::Dry(broker.revoke_dry_run(&by, &asked.revoke).await?));
            }
            Ok(Revoke::Done(Box::new(broker.revoke(&by, asked.revoke).await?), asked.wait))
        })
        .await?;
        // Nobody is waited for whose caller has gone: that changes nothing any more.
        let revoked = match done.into_inner() {
            Revoke::Dry(counted) => counted,
            Revoke::Done(done, wait) => self.broker.revoked(*done, wait).await,
        };
        Ok(Response::new(render::revocation::revoked(&revoked)))
    }

    async fn lock(&self, request: Request<v1::LockRequest>) -> Result<Response<v1::LockResponse>, Status> {
        change(&self.broker, request, authz::LOCK, |broker, by, message| async move {
            let (selector, terms) = convert::selector::lock(&message)?;
            Ok(render::revocation::locked(&broker.lock(&by, selector, terms).await?))
        })
        .await
    }

    async fn unlock(
        &self,
        request: Request<v1::UnlockRequest>,
    ) -> Result<Response<v1::UnlockResponse>, Status> {
        change(&self.broker, request, authz::UNLOCK, |broker, by, message| async move {
            let (time, log_index) = broker.unlock(&by, message.lock_id).await?;
            Ok(v1::UnlockResponse { time: Some(render::timestamp(time)), log_index })
        })
        .await
    }

    async fn list_locks(
        &self,
        request: Request<v1::ListLocksRequest>,
    ) -> Result<Response<v1::ListLocksResponse>, Status> {
        let by = self.authorize(&request, authz::LIST_LOCKS).await?;
        let held = self.broker.locks(by.operator());
        let locks = held.iter().map(|held| render::revocation::lock(held)).collect();
        Ok(Response::new(v1::ListLocksResponse { locks }))
    }

    async fn list_verifiers(
        &self,
        request: Request<v1::ListVerifiersRequest>,
    ) -> Result<Response<v1::ListVerifiersResponse>, Status> {
        self.authorize(&request, authz::LIST_VERIFIERS).await?;
        let verifiers = self.broker.verifiers().list().iter().map(render::revocation::verifier).collect();
        let epoch = self.broker.ledger().revocations().epoch();
        Ok(Response::new(v1::ListVerifiersResponse { verifiers, epoch }))
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let by = self.authorize(&request, authz::LIST_APPROVALS).await?;
        let size = page::size(request.get_ref().page_size).map_err(status)?;
        let after = page::text_key(&request.get_ref().page_token).map_err(status)?;
        let all = request.get_ref().include_decided;
        Ok(Response::new(approvals::list(&self.broker, &by, all, (size, after.as_deref()))))
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        let by = self.authorize(&request, authz::GET_APPROVAL).await?;
        let id = convert::approval::id(&request.get_ref().approval_id).map_err(status)?;
        let wanted = convert::approval::wanted(request.get_ref()).map_err(status)?;
        approvals::show(&self.broker, &by, id, wanted).map(Response::new)
    }

    async fn decide_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::DecideApprovalResponse>, Status> {
        change(&self.broker, request, authz::DECIDE_APPROVAL, |broker, by, message| async move {
            let text = message.statement.clone();
            let taken = async {
                let decision = convert::approval::decision(message)?;
                Ok::<_, Refused>(broker.decide_approval(&by, decision).await?)
            };
            let approval = taken.await.map_err(|refused| refused.about(&text))?;
            Ok(v1::DecideApprovalResponse { approval: Some(approvals::shown(&broker, &approval)) })
        })
        .await
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let by = self.authorize(&request, authz::EXPLAIN).await?;
        let id = convert::decision_id(&request.get_ref().decision_id).map_err(status)?;
        let explained = self.broker.explain(&by, id).await.map_err(status)?;
        let shown = render::inventory::explanation(&explained);
        shown.map(Response::new).ok_or_else(|| Refused::not_found("decision").into())
    }

    async fn reload_registry(
        &self,
        request: Request<v1::ReloadRegistryRequest>,
    ) -> Result<Response<v1::ReloadRegistryResponse>, Status> {
        change(&self.broker, request, authz::RELOAD_REGISTRY, |broker, by, _| async move {
            let loaded = broker.reload(Some(by.operator().name.clone())).await?;
            Ok(v1::ReloadRegistryResponse {
                registry_sha256: loaded.registry.to_string(),
                changed: loaded.changed,
                warnings: loaded.warnings,
            })
        })
        .await
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        self.authorize(&request, authz::LIST_KEYS).await?;
        let others = self.published.keys.iter().filter(|key| key.usage != "token").map(key);
        let (tokens, _) = self.broker.token_keys();
        let keys = others.chain(tokens.iter().map(token_key)).collect();
        Ok(Response::new(v1::ListKeysResponse { keys }))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        change(&self.broker, request, authz::ROTATE_KEY, |broker, by, message| async move {
            convert::operate::rotated_use(&message.r#use)?;
            let view = broker.rotate_token_key(&by, message.at_once).await?;
            Ok(v1::RotateKeyResponse { key: Some(token_key(&view)) })
        })
        .await
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        self.authorize(&request, authz::GET_STATUS).await?;
        let live = self.broker.live().await.map_err(status)?;
        let now = self.broker.status();
        let shown = render::inventory::status(&now, live, &self.broker.rules(), &self.published);
        Ok(Response::new(shown))
    }

    async fn test_notifier(
        &self,
        request: Request<v1::TestNotifierRequest>,
    ) -> Result<Response<v1::TestNotifierResponse>, Status> {
        let by = self.authorize(&request, authz::TEST_NOTIFIER).await?;
        let name = convert::operate::notifier(request.get_ref()).map_err(status)?;
        let tried = self.broker.test_notifiers(&by, name.as_ref()).await;
        if tried.is_empty() {
            return Err(Refused::not_found("notifier").into());
        }
        let tests = tried.iter().map(render::inventory::notifier_test).collect();
        Ok(Response::new(v1::TestNotifierResponse { tests }))
    }

    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        change(&self.broker, request, authz::ENROLL, |broker, by, message| async move {
            let asked = convert::enroll::enrollment(&message)?;
            let done = broker.enroll(&by, asked.who, &asked.key, asked.seconds).await?;
            Ok(render::enrollment::admitted(&done, broker.minter().keys()))
        })
        .await
    }

    async fn list_enrollments(
        &self,
        request: Request<v1::ListEnrollmentsRequest>,
    ) -> Result<Response<v1::ListEnrollmentsResponse>, Status> {
        self.authorize(&request, authz::LIST_ENROLLMENTS).await?;
        let size = page::size(request.get_ref().page_size).map_err(status)?;
        let after = page::text_key(&request.get_ref().page_token).map_err(status)?;
        let wanted = convert::enroll::kind(request.get_ref().enrolled_as).map_err(status)?;
        let shown =
            render::enrollment::list(&self.broker.enrollments(), wanted, &self.published.trust_domain);
        let (shown, next_page_token) = page::cut(shown, after.as_deref(), size, |one| &one.0);
        let enrollments = shown.into_iter().map(|(_, enrollment)| enrollment).collect();
        Ok(Response::new(v1::ListEnrollmentsResponse { enrollments, next_page_token }))
    }

    async fn remove_enrollment(
        &self,
        request: Request<v1::RemoveEnrollmentRequest>,
    ) -> Result<Response<v1::RemoveEnrollmentResponse>, Status> {
        change(&self.broker, request, authz::REMOVE_ENROLLMENT, |broker, by, message| async move {
            let asked = convert::enroll::removal(&message)?;
            let done = broker.unenroll(&by, asked.who, asked.serial, asked.reason).await?;
            let time = Some(render::timestamp(done.time));
            Ok(v1::RemoveEnrollmentResponse { removed: done.ended, time, log_index: done.index })
        })
        .await
    }
}
