//! The double's answers to agents.

use hotwork::proto::v1;
use hotwork::proto::v1::credential_service_server::CredentialService;
use tonic::{Code, Request, Response, Status};

use super::double::{AGENT, Answer, TOKEN, Wire, in_seconds, record, refusal};

impl Wire {
    /// The last word of the action says what comes of it.
    fn decide(&self, request: Option<v1::ActionRequest>) -> Result<(), Status> {
        let request = request.unwrap();
        let verb = request.action.rsplit('.').next().unwrap().to_owned();
        self.requests.lock().unwrap().push(request);
        match verb.as_str() {
            "deny" => Err(refusal(Code::PermissionDenied, "not-permitted")),
            "stranger" => Err(refusal(Code::Unauthenticated, "unidentified")),
            "approve" => Err(refusal(Code::FailedPrecondition, "approval-required")),
            "rush" => Err(refusal(Code::ResourceExhausted, "rate-limited")),
            "conflict" => Err(refusal(Code::AlreadyExists, "idempotency-key-reused")),
            "registry" => Err(refusal(Code::FailedPrecondition, "registry-invalid")),
            "down" => Err(refusal(Code::Unavailable, "ledger-stopped")),
            "bug" => Err(refusal(Code::Internal, "internal")),
            "field" => Err(refusal(Code::InvalidArgument, "bad-field")),
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl CredentialService for Wire {
    type WatchApprovalStream = tokio_stream::Empty<Result<v1::WatchApprovalResponse, Status>>;

    async fn watch_approval(
        &self,
        _: Request<v1::WatchApprovalRequest>,
    ) -> Answer<Self::WatchApprovalStream> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn issue_token(&self, request: Request<v1::IssueTokenRequest>) -> Answer<v1::IssueTokenResponse> {
        let request = request.into_inner();
        let jkt = request.binding.map(|binding| binding.jkt).unwrap_or_default();
        self.saw(format!("issue token {jkt}").trim());
        self.decide(request.request)?;
        let credential = Some(record(v1::CredentialKind::Token));
        Ok(Response::new(v1::IssueTokenResponse { credential, token: TOKEN.to_owned() }))
    }

    async fn issue_certificate(
        &self,
        request: Request<v1::IssueCertificateRequest>,
    ) -> Answer<v1::IssueCertificateResponse> {
        use v1::issue_certificate_request::Key;
        let request = request.into_inner();
        let key = match request.key.unwrap() {
            Key::CsrDer(der) => {
                let sequence = der.first() == Some(&0x30);
                self.saw(format!("issue certificate csr {sequence}"));
                String::new()
            }
            Key::GenerateKey(_) => {
                self.saw("issue certificate generate");
                "-----BEGIN PRIVATE KEY-----\nbroker\n-----END PRIVATE KEY-----\n".to_owned()
            }
        };
        self.decide(request.request)?;
        Ok(Response::new(v1::IssueCertificateResponse {
            credential: Some(record(v1::CredentialKind::Certificate)),
            certificate_pem: "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----\n".to_owned(),
            ca_pem: "-----BEGIN CERTIFICATE-----\nca\n-----END CERTIFICATE-----\n".to_owned(),
            private_key_pem: key,
        }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::ReleaseResponse> {
        self.saw(format!("release {}", request.into_inner().credential_id));
        Ok(Response::new(v1::ReleaseResponse { credential: Some(record(v1::CredentialKind::Token)) }))
    }

    async fn who_am_i(&self, _: Request<v1::WhoAmIRequest>) -> Answer<v1::WhoAmIResponse> {
        let selectors = vec!["unix.uid:1000".to_owned(), "unix.exe:/usr/bin/x\u{1b}]0;t\u{7}".to_owned()];
        Ok(Response::new(v1::WhoAmIResponse {
            agent: AGENT.to_owned(),
            selectors,
            ..v1::WhoAmIResponse::default()
        }))
    }

    async fn list_actions(&self, _: Request<v1::ListActionsRequest>) -> Answer<v1::ListActionsResponse> {
        self.saw("list actions");
        let invoice = v1::ParameterRule {
            name: "invoice".to_owned(),
            r#type: "text".to_owned(),
            ..v1::ParameterRule::default()
        };
        let action = v1::Action {
            name: "demo.pay".to_owned(),
            access: v1::Access::Write.into(),
            tier: v1::Tier::Auto.into(),
            resource_pattern: "demo/{name}".to_owned(),
            parameters: vec![invoice],
            ..v1::Action::default()
        };
        Ok(Response::new(v1::ListActionsResponse { actions: vec![action] }))
    }

    /// Three pages of one.
    async fn list_my_credentials(
        &self,
        request: Request<v1::ListMyCredentialsRequest>,
    ) -> Answer<v1::ListMyCredentialsResponse> {
        let request = request.into_inner();
        let (id, next) = match request.page_token.as_str() {
            "" => ("a", "2"),
            "2" => ("b", "3"),
            _ => ("c", ""),
        };
        let credential = v1::Credential { id: id.to_owned(), ..record(v1::CredentialKind::Token) };
        Ok(Response::new(v1::ListMyCredentialsResponse {
            credentials: vec![credential],
            next_page_token: next.to_owned(),
            read_time: in_seconds(0),
        }))
    }

    async fn get_my_credential(
        &self,
        _: Request<v1::GetMyCredentialRequest>,
    ) -> Answer<v1::GetMyCredentialResponse> {
        Err(Status::not_found("no such credential"))
    }
}
