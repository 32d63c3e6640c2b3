//! A double of the broker's wire: it answers by the action's name and remembers what it was asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hotwork::proto::v1;
use hotwork::proto::v1::admin_service_server::{AdminService, AdminServiceServer};
use hotwork::proto::v1::audit_service_server::AuditServiceServer;
use hotwork::proto::v1::break_glass_service_server::BreakGlassServiceServer;
use hotwork::proto::v1::credential_service_server::CredentialServiceServer;
use hotwork::proto::v1::verification_service_server::VerificationServiceServer;
use prost_types::Timestamp;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

pub use super::double_log::refusal;

use super::double_approval;

pub const ID: &str = "01932b6e-5f2a-7c3d-8e4f-0a1b2c3d4e5f";
pub const AGENT: &str = "spiffe://example.org/tenant/acme/agent/bot";
pub const TOKEN: &str = "eyJhIjoxfQ.eyJqdGkiOiJpIn0.c2ln";
pub const SERIAL: &str = "4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f";

pub type Answer<T> = Result<Response<T>, Status>;

/// What was asked, in words.
#[derive(Clone, Default)]
pub struct Wire {
    pub seen: Arc<Mutex<Vec<String>>>,
    pub(super) requests: Arc<Mutex<Vec<v1::ActionRequest>>>,
}

/// A running double.
pub struct Double {
    dir: tempfile::TempDir,
    wire: Wire,
    _runtime: Runtime,
}

impl Double {
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    pub fn start_in(dir: tempfile::TempDir) -> Self {
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let wire = Wire::default();
        let guard = runtime.enter();
        let incoming = UnixListenerStream::new(UnixListener::bind(dir.path().join("socket")).unwrap());
        drop(guard);
        let server = Server::builder()
            .add_service(CredentialServiceServer::new(wire.clone()))
            .add_service(VerificationServiceServer::new(wire.clone()))
            .add_service(AdminServiceServer::new(wire.clone()))
            .add_service(AuditServiceServer::new(wire.clone()))
            .add_service(BreakGlassServiceServer::new(wire.clone()))
            .serve_with_incoming(incoming);
        runtime.spawn(server);
        Self { dir, wire, _runtime: runtime }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn seen(&self) -> Vec<String> {
        self.wire.seen.lock().unwrap().clone()
    }

    pub fn requests(&self) -> Vec<v1::ActionRequest> {
        self.wire.requests.lock().unwrap().clone()
    }
}

pub fn in_seconds(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: jiff::Timestamp::now().as_second() + seconds, nanos: 0 })
}

pub fn record(kind: v1::CredentialKind) -> v1::Credential {
    v1::Credential {
        id: ID.to_owned(),
        kind: kind.into(),
        agent: AGENT.to_owned(),
        action: "demo.read".to_owned(),
        resource: "demo/hello".to_owned(),
        decision_id: ID.to_owned(),
        state: v1::CredentialState::Live.into(),
        expire_time: in_seconds(112),
        ..v1::Credential::default()
    }
}

impl Wire {
    pub fn saw(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }
}

/// One that has the epoch 42, one that is late, and some that are away.
fn verifiers() -> Vec<v1::Verifier> {
    let verifier = |name: &str, acknowledged_epoch| v1::Verifier {
        name: name.to_owned(),
        connected: true,
        acknowledged_epoch,
        acknowledge_time: in_seconds(0),
        ..v1::Verifier::default()
    };
    let away = |name: &str, streams, away| v1::Verifier {
        streams,
        away,
        away_since: in_seconds(-40),
        away_until: in_seconds(260),
        ..verifier(name, 7)
    };
    vec![
        verifier("unix:uid=1,pid=2#envoy", 42),
        verifier("unix:uid=1,pid=3", 7),
        v1::Verifier { connect_time: in_seconds(-90), ..away("verifier/some", 1, 2) },
        v1::Verifier { connect_time: in_seconds(-90), ..away("verifier/was", 0, 1) },
        v1::Verifier { acknowledge_time: None, acknowledged_epoch: 0, ..away("verifier/never", 0, 1) },
        v1::Verifier { acknowledge_time: None, acknowledged_epoch: 0, ..away("others", 0, 1) },
    ]
}

#[tonic::async_trait]
impl AdminService for Wire {
    async fn list_approvals(
        &self,
        ask: Request<v1::ListApprovalsRequest>,
    ) -> Answer<v1::ListApprovalsResponse> {
        double_approval::list(self, ask.get_ref())
    }

    async fn get_approval(&self, ask: Request<v1::GetApprovalRequest>) -> Answer<v1::GetApprovalResponse> {
        double_approval::get(self, ask.get_ref())
    }

    async fn decide_approval(
        &self,
        ask: Request<v1::DecideApprovalRequest>,
    ) -> Answer<v1::DecideApprovalResponse> {
        double_approval::decide(self, ask.get_ref())
    }

    async fn list_agents(&self, _: Request<v1::ListAgentsRequest>) -> Answer<v1::ListAgentsResponse> {
        let agent = v1::Agent { id: AGENT.to_owned(), state: "active".to_owned(), ..v1::Agent::default() };
        Ok(Response::new(v1::ListAgentsResponse { agents: vec![agent], next_page_token: String::new() }))
    }

    async fn get_agent(&self, request: Request<v1::GetAgentRequest>) -> Answer<v1::GetAgentResponse> {
        if request.into_inner().id != "bot" {
            return Err(Status::not_found("no such agent"));
        }
        let agent = Some(v1::Agent { id: AGENT.to_owned(), ..v1::Agent::default() });
        Ok(Response::new(v1::GetAgentResponse { agent }))
    }

    async fn list_credentials(
        &self,
        request: Request<v1::ListCredentialsRequest>,
    ) -> Answer<v1::ListCredentialsResponse> {
        let request = request.into_inner();
        self.saw(format!("list {} {}", request.agent, request.include_ended));
        Ok(Response::new(v1::ListCredentialsResponse::default()))
    }

    async fn get_credential(
        &self,
        _: Request<v1::GetCredentialRequest>,
    ) -> Answer<v1::GetCredentialResponse> {
        let credential = Some(record(v1::CredentialKind::Token));
        Ok(Response::new(v1::GetCredentialResponse { credential }))
    }

    async fn list_apis(&self, _: Request<v1::ListApisRequest>) -> Answer<v1::ListApisResponse> {
        let api = v1::Api { name: "demo".to_owned(), ..v1::Api::default() };
        Ok(Response::new(v1::ListApisResponse { apis: vec![api] }))
    }

    async fn revoke(&self, request: Request<v1::RevokeRequest>) -> Answer<v1::RevokeResponse> {
        let request = request.into_inner();
        super::double_verify::slowly(&request).await;
        let selector = request.selector.unwrap().selector.unwrap();
        self.saw(format!("revoke {selector:?} {} {}", request.reason, request.dry_run));
        let done = !request.dry_run;
        Ok(Response::new(v1::RevokeResponse {
            live_credentials: 2,
            time: done.then(|| in_seconds(0)).flatten(),
            log_index: done.then_some(41),
            epoch: done.then_some(42),
            verifiers: request.wait.iter().flat_map(|_| verifiers()).collect(),
            lock_id: request.lock.as_ref().filter(|_| done).map(|_| 41),
            agents_stopped: request.lock.as_ref().map(|_| 1),
            approvals_stopped: request.lock.map(|_| 2),
            ..v1::RevokeResponse::default()
        }))
    }

    async fn lock(&self, request: Request<v1::LockRequest>) -> Answer<v1::LockResponse> {
        let request = request.into_inner();
        let (selector, terms) = (request.selector.unwrap().selector.unwrap(), request.terms.unwrap());
        self.saw(format!("lock {selector:?} {} {}", terms.ttl.unwrap().seconds, terms.message));
        let lock = Some(v1::Lock { id: 43, message: terms.message, ..v1::Lock::default() });
        Ok(Response::new(v1::LockResponse {
            lock,
            agents_stopped: Some(1),
            approvals_stopped: 2,
            live_credentials: 3,
            ..v1::LockResponse::default()
        }))
    }

    async fn unlock(&self, request: Request<v1::UnlockRequest>) -> Answer<v1::UnlockResponse> {
        match request.into_inner().lock_id {
            43 => Ok(Response::new(v1::UnlockResponse { time: in_seconds(0), log_index: 44 })),
            _ => Err(Status::not_found("lock not found")),
        }
    }

    async fn list_locks(&self, _: Request<v1::ListLocksRequest>) -> Answer<v1::ListLocksResponse> {
        let selector = Some(v1::revocation_selector::Selector::Tenant("acme".to_owned()));
        let lock = v1::Lock {
            id: 43,
            selector: Some(v1::RevocationSelector { selector }),
            message: "call \u{1b}[2J".to_owned(),
            expire_time: in_seconds(60),
            ..v1::Lock::default()
        };
        Ok(Response::new(v1::ListLocksResponse { locks: vec![lock] }))
    }

    async fn list_verifiers(
        &self,
        _: Request<v1::ListVerifiersRequest>,
    ) -> Answer<v1::ListVerifiersResponse> {
        Ok(Response::new(v1::ListVerifiersResponse { verifiers: verifiers(), epoch: 42 }))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Answer<v1::ExplainResponse> {
        Ok(Response::new(v1::ExplainResponse {
            decision_id: request.into_inner().decision_id,
            effect: v1::Effect::Deny.into(),
            reason: "not-permitted".to_owned(),
            ..v1::ExplainResponse::default()
        }))
    }

    async fn reload_registry(
        &self,
        _: Request<v1::ReloadRegistryRequest>,
    ) -> Answer<v1::ReloadRegistryResponse> {
        Ok(Response::new(v1::ReloadRegistryResponse {
            registry_sha256: "ab".to_owned(),
            changed: true,
            warnings: vec!["agents/a.toml:1:1: owner: empty".to_owned()],
        }))
    }

    async fn rotate_key(&self, request: Request<v1::RotateKeyRequest>) -> Answer<v1::RotateKeyResponse> {
        let message = request.into_inner();
        self.seen.lock().unwrap().push(format!("rotate {} {}", message.r#use, message.at_once));
        let key = v1::Key { kid: "new-key".to_owned(), state: "published".to_owned(), ..Default::default() };
        Ok(Response::new(v1::RotateKeyResponse { key: Some(key) }))
    }

    async fn list_keys(&self, _: Request<v1::ListKeysRequest>) -> Answer<v1::ListKeysResponse> {
        let key = v1::Key { kid: "k".to_owned(), r#use: "log".to_owned(), ..v1::Key::default() };
        Ok(Response::new(v1::ListKeysResponse { keys: vec![key] }))
    }

    async fn enroll(&self, request: Request<v1::EnrollRequest>) -> Answer<v1::EnrollResponse> {
        let request = request.into_inner();
        let sequence = request.csr_der.first() == Some(&0x30);
        self.saw(format!(
            "enroll {} {} csr {sequence} for {}",
            request.enrolled_as, request.name, request.lifetime_seconds
        ));
        if request.name == "nobody" {
            return Err(Status::not_found("no operator of that name"));
        }
        Ok(Response::new(v1::EnrollResponse {
            enrollment: Some(v1::Enrollment {
                name: request.name,
                serial: SERIAL.to_owned(),
                expire_time: in_seconds(3600),
                ..v1::Enrollment::default()
            }),
            certificate_pem: "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n".to_owned(),
            ca_pem: "-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----\n".to_owned(),
            log_index: 7,
        }))
    }

    async fn list_enrollments(
        &self,
        request: Request<v1::ListEnrollmentsRequest>,
    ) -> Answer<v1::ListEnrollmentsResponse> {
        let kind = request.into_inner().enrolled_as;
        let one = v1::Enrollment {
            enrolled_as: kind,
            name: "alice".to_owned(),
            serial: SERIAL.to_owned(),
            ..v1::Enrollment::default()
        };
        Ok(Response::new(v1::ListEnrollmentsResponse { enrollments: vec![one], ..Default::default() }))
    }

    async fn remove_enrollment(
        &self,
        request: Request<v1::RemoveEnrollmentRequest>,
    ) -> Answer<v1::RemoveEnrollmentResponse> {
        let request = request.into_inner();
        self.saw(format!(
            "remove {} {} {} {}",
            request.enrolled_as, request.name, request.serial, request.reason
        ));
        Ok(Response::new(v1::RemoveEnrollmentResponse { removed: 2, time: in_seconds(0), log_index: 8 }))
    }

    async fn test_notifier(
        &self,
        asked: Request<v1::TestNotifierRequest>,
    ) -> Answer<v1::TestNotifierResponse> {
        super::double_log::test_notifier(&asked.into_inner().name)
    }

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Answer<v1::GetStatusResponse> {
        Ok(Response::new(v1::GetStatusResponse {
            issuing: true,
            trust_domain: "example.org".to_owned(),
            ..v1::GetStatusResponse::default()
        }))
    }
}
