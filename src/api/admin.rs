//! `AdminService`: inventory and control for operators. Each call passes the authorization table first.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::inventory::AgentView;
use crate::broker::revoke::{Revoked, Revoking};
use crate::domain::operator::Operator;
use crate::proto::v1;
use crate::proto::v1::admin_service_server::AdminService;
use crate::signer::token_keys::{Phase, TokenKeyView};
use crate::store::Filter;

use super::call::call;
use super::convert::operate::AgentRef;
use super::convert::{self, page};
use super::published::{Published, PublishedKey};
use super::render;
use super::status::Refused;
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
}

/// The one agent that goes by this name, among those the operator sees.
async fn agent(broker: &Broker, operator: &Operator, named: AgentRef) -> Result<AgentView, Refused> {
    let views = broker.agents(operator).await?;
    let fits = |view: &AgentView| match &named {
        AgentRef::Id(id) => view.id == id.as_str(),
        AgentRef::Name(name) => view.entry.name.as_str() == name.as_str(),
        AgentRef::Template(text) => view.id == *text,
    };
    let mut found: Vec<AgentView> = views.into_iter().filter(fits).collect();
    match (found.pop(), found.is_empty(), named) {
        (Some(view), true, _) => Ok(view),
        (Some(_), false, _) => Err(Refused::ambiguous("agent")),
        // An instance of a template has no entry of its own.
        (None, _, AgentRef::Id(id)) => {
            let view = broker.agent_instance(operator, &id).await?;
            view.ok_or_else(|| Refused::not_found("agent"))
        }
        (None, _, AgentRef::Name(_) | AgentRef::Template(_)) => Err(Refused::not_found("agent")),
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
        call(&self.broker, request, authz::LIST_AGENTS, |broker, by, message| async move {
            let size = page::size(message.page_size)?;
            let after = page::text_key(&message.page_token)?;
            let views = broker.agents(by.operator()).await?;
            let (views, next_page_token) = page::cut(views, after.as_deref(), size, |view| &view.id);
            let agents = views.iter().map(render::inventory::agent).collect();
            Ok(v1::ListAgentsResponse { agents, next_page_token })
        })
        .await
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        call(&self.broker, request, authz::GET_AGENT, |broker, by, message| async move {
            let trust_domain = broker.rules().registry.trust_domain().clone();
            let named = convert::operate::agent(&message, &trust_domain)?;
            let view = agent(&broker, by.operator(), named).await?;
            Ok(v1::GetAgentResponse { agent: Some(render::inventory::agent(&view)) })
        })
        .await
    }

    async fn list_credentials(
        &self,
        request: Request<v1::ListCredentialsRequest>,
    ) -> Result<Response<v1::ListCredentialsResponse>, Status> {
        call(&self.broker, request, authz::LIST_CREDENTIALS, |broker, by, message| async move {
            let size = page::size(message.page_size)?;
            let after = page::credentials(&message.page_token)?;
            let agent = convert::operate::agent_filter(&message.agent)?;
            let now = broker.time();
            let tenants = by.operator().tenants.clone();
            let filter = Filter { agent, tenants, include_ended: message.include_ended, now };
            let found = broker.credentials(filter, size, after).await?;
            let (credentials, next_page_token, now) = render::credential::page(&found, now);
            Ok(v1::ListCredentialsResponse { credentials, next_page_token, read_time: Some(now) })
        })
        .await
    }

    async fn get_credential(
        &self,
        request: Request<v1::GetCredentialRequest>,
    ) -> Result<Response<v1::GetCredentialResponse>, Status> {
        call(&self.broker, request, authz::GET_CREDENTIAL, |broker, by, message| async move {
            let id = convert::credential_id(&message.credential_id)?;
            let found = broker.credential(id).await?;
            let seen = found.filter(|found| by.operator().sees(found.issuance.agent.tenant()));
            let credential = seen.ok_or_else(|| Refused::not_found("credential"))?;
            let shown = render::credential::credential(&credential, broker.time());
            Ok(v1::GetCredentialResponse { credential: Some(shown) })
        })
        .await
    }

    async fn list_apis(
        &self,
        request: Request<v1::ListApisRequest>,
    ) -> Result<Response<v1::ListApisResponse>, Status> {
        call(&self.broker, request, authz::LIST_APIS, |broker, by, _| async move {
            let rules = broker.rules();
            let seen = rules.registry.apis().iter().filter(|api| by.operator().sees(&api.tenant));
            let mut apis: Vec<v1::Api> = seen.map(|api| render::inventory::api(api)).collect();
            apis.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(v1::ListApisResponse { apis })
        })
        .await
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        let row = if request.get_ref().dry_run { authz::REVOKE_DRY_RUN } else { authz::REVOKE };
        let done = call(&self.broker, request, row, |broker, by, message| async move {
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
        call(&self.broker, request, authz::LOCK, |broker, by, message| async move {
            let (selector, terms) = convert::selector::lock(&message)?;
            Ok(render::revocation::locked(&broker.lock(&by, selector, terms).await?))
        })
        .await
    }

    async fn unlock(
        &self,
        request: Request<v1::UnlockRequest>,
    ) -> Result<Response<v1::UnlockResponse>, Status> {
        call(&self.broker, request, authz::UNLOCK, |broker, by, message| async move {
            let (time, log_index) = broker.unlock(&by, message.lock_id).await?;
            Ok(v1::UnlockResponse { time: Some(render::timestamp(time)), log_index })
        })
        .await
    }

    async fn list_locks(
        &self,
        request: Request<v1::ListLocksRequest>,
    ) -> Result<Response<v1::ListLocksResponse>, Status> {
        call(&self.broker, request, authz::LIST_LOCKS, |broker, by, _| async move {
            let held = broker.locks(by.operator());
            let locks = held.iter().map(|held| render::revocation::lock(held)).collect();
            Ok(v1::ListLocksResponse { locks })
        })
        .await
    }

    async fn list_verifiers(
        &self,
        request: Request<v1::ListVerifiersRequest>,
    ) -> Result<Response<v1::ListVerifiersResponse>, Status> {
        call(&self.broker, request, authz::LIST_VERIFIERS, |broker, _, _| async move {
            let verifiers = broker.followers().iter().map(render::revocation::verifier).collect();
            let epoch = broker.ledger().revocations().epoch();
            Ok(v1::ListVerifiersResponse { verifiers, epoch })
        })
        .await
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        call(&self.broker, request, authz::LIST_APPROVALS, |broker, by, message| async move {
            let size = page::size(message.page_size)?;
            let after = page::text_key(&message.page_token)?;
            let all = message.include_decided;
            Ok(approvals::list(&broker, &by, all, (size, after.as_deref())))
        })
        .await
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        call(&self.broker, request, authz::GET_APPROVAL, |broker, by, message| async move {
            let id = convert::approval::id(&message.approval_id)?;
            let wanted = convert::approval::wanted(&message)?;
            approvals::show(&broker, &by, id, wanted)
        })
        .await
    }

    async fn decide_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::DecideApprovalResponse>, Status> {
        call(&self.broker, request, authz::DECIDE_APPROVAL, |broker, by, message| async move {
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
        call(&self.broker, request, authz::EXPLAIN, |broker, by, message| async move {
            let id = convert::decision_id(&message.decision_id)?;
            let explained = broker.explain(&by, id).await?;
            let shown = render::inventory::explanation(&explained);
            shown.ok_or_else(|| Refused::not_found("decision"))
        })
        .await
    }

    async fn reload_registry(
        &self,
        request: Request<v1::ReloadRegistryRequest>,
    ) -> Result<Response<v1::ReloadRegistryResponse>, Status> {
        call(&self.broker, request, authz::RELOAD_REGISTRY, |broker, by, _| async move {
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
        let published = Arc::clone(&self.published);
        call(&self.broker, request, authz::LIST_KEYS, move |broker, _, _| async move {
            let others = published.keys.iter().filter(|key| key.usage != "token").map(key);
            let (tokens, _) = broker.token_keys();
            let keys = others.chain(tokens.iter().map(token_key)).collect();
            Ok(v1::ListKeysResponse { keys })
        })
        .await
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        call(&self.broker, request, authz::ROTATE_KEY, |broker, by, message| async move {
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
        let published = Arc::clone(&self.published);
        call(&self.broker, request, authz::GET_STATUS, move |broker, _, _| async move {
            let live = broker.live().await?;
            let now = broker.status();
            Ok(render::inventory::status(&now, live, &broker.rules(), &published))
        })
        .await
    }

    async fn test_notifier(
        &self,
        request: Request<v1::TestNotifierRequest>,
    ) -> Result<Response<v1::TestNotifierResponse>, Status> {
        call(&self.broker, request, authz::TEST_NOTIFIER, |broker, by, message| async move {
            let name = convert::operate::notifier(&message)?;
            let tried = broker.test_notifiers(&by, name.as_ref()).await;
            if tried.is_empty() {
                return Err(Refused::not_found("notifier"));
            }
            let tests = tried.iter().map(render::inventory::notifier_test).collect();
            Ok(v1::TestNotifierResponse { tests })
        })
        .await
    }

    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        call(&self.broker, request, authz::ENROLL, |broker, by, message| async move {
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
        let published = Arc::clone(&self.published);
        call(&self.broker, request, authz::LIST_ENROLLMENTS, move |broker, _, message| async move {
            let size = page::size(message.page_size)?;
            let after = page::text_key(&message.page_token)?;
            let wanted = convert::enroll::kind(message.enrolled_as)?;
            let shown = render::enrollment::list(&broker.enrollments(), wanted, &published.trust_domain);
            let (shown, next_page_token) = page::cut(shown, after.as_deref(), size, |one| &one.0);
            let enrollments = shown.into_iter().map(|(_, enrollment)| enrollment).collect();
            Ok(v1::ListEnrollmentsResponse { enrollments, next_page_token })
        })
        .await
    }

    async fn remove_enrollment(
        &self,
        request: Request<v1::RemoveEnrollmentRequest>,
    ) -> Result<Response<v1::RemoveEnrollmentResponse>, Status> {
        call(&self.broker, request, authz::REMOVE_ENROLLMENT, |broker, by, message| async move {
            let asked = convert::enroll::removal(&message)?;
            let done = broker.unenroll(&by, asked.who, asked.serial, asked.reason).await?;
            let time = Some(render::timestamp(done.time));
            Ok(v1::RemoveEnrollmentResponse { removed: done.ended, time, log_index: done.index })
        })
        .await
    }
}
