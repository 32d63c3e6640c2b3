//! Bad input on the wire: the right status, a message that names the field, and a broker that goes on.

use hotwork::proto::v1::issue_certificate_request::Key;
use hotwork::proto::v1::parameter::Value;
use hotwork::proto::v1::{
    ActionRequest, EnrollRequest, EnrolledAs, ExplainRequest, GetAgentRequest, GetCredentialRequest,
    GetEntryRequest, GetMyCredentialRequest, IntrospectRequest, IssueCertificateRequest, IssueTokenRequest,
    IssueTokenResponse, KeyBinding, ListAgentsRequest, ListCredentialsRequest, ListEnrollmentsRequest,
    ListEntriesRequest, ListKeysRequest, ListMyCredentialsRequest, Parameter, ProveConsistencyRequest,
    ProveInclusionRequest, ReleaseRequest, RemoveEnrollmentRequest, RevocationSelector, RevokeRequest,
    RotateKeyRequest, revocation_selector,
};
use prost_types::Duration;
use tonic::{Code, Status};

use crate::support::Daemon;

fn good() -> ActionRequest {
    ActionRequest { action: "demo.read".into(), resource: "demo/x".into(), ..ActionRequest::default() }
}

fn text(name: &str, value: &str) -> Parameter {
    Parameter { name: name.into(), value: Some(Value::Text(value.into())) }
}

/// Requests with one thing wrong, and the field that the message must name.
fn bad_requests() -> Vec<(ActionRequest, &'static str)> {
    let duration = |seconds, nanos| Some(Duration { seconds, nanos });
    let parameters = |list: Vec<Parameter>| ActionRequest { parameters: list, ..good() };
    vec![
        (ActionRequest::default(), "action"),
        (ActionRequest { action: "demo".into(), ..good() }, "action"),
        (ActionRequest { action: "x".repeat(129), ..good() }, "action"),
        (ActionRequest { action: "demo.*".into(), ..good() }, "action"),
        (ActionRequest { resource: String::new(), ..good() }, "resource"),
        (ActionRequest { resource: "demo/../x".into(), ..good() }, "resource"),
        (ActionRequest { resource: "demo/%2e".into(), ..good() }, "resource"),
        (ActionRequest { resource: "demo/hеllo".into(), ..good() }, "resource"),
        (ActionRequest { resource: "a".repeat(513), ..good() }, "resource"),
        (ActionRequest { ttl: duration(0, 0), ..good() }, "ttl"),
        (ActionRequest { ttl: duration(-5, 0), ..good() }, "ttl"),
        (ActionRequest { ttl: duration(901, 0), ..good() }, "ttl"),
        (ActionRequest { ttl: duration(1, 1), ..good() }, "ttl"),
        (ActionRequest { ttl: duration(i64::MAX, i32::MAX), ..good() }, "ttl"),
        (ActionRequest { args_sha256: vec![1; 31], ..good() }, "args_sha256"),
        (ActionRequest { purpose: "Because I said so".into(), ..good() }, "purpose"),
        (ActionRequest { idempotency_key: "a b".into(), ..good() }, "idempotency_key"),
        (ActionRequest { idempotency_key: "k".repeat(65), ..good() }, "idempotency_key"),
        (parameters(vec![Parameter { name: "amount".into(), value: None }]), "parameters"),
        (parameters(vec![text("amount", "1"), text("amount", "2")]), "parameters"),
        (parameters(vec![text("Note", "1")]), "parameters"),
        (parameters(vec![text("note", "")]), "parameters"),
        (parameters(vec![text("note", "é")]), "parameters"),
        (parameters(vec![text("note", &"x".repeat(257))]), "parameters"),
        (parameters((0..17).map(|n| text(&format!("p{n}"), "v")).collect()), "parameters"),
    ]
}

#[track_caller]
fn assert_names<T: std::fmt::Debug>(result: Result<T, Status>, field: &str, what: &dyn std::fmt::Debug) {
    let status = result.expect_err("bad input was taken");
    assert_eq!(status.code(), Code::InvalidArgument, "{what:?}: {status:?}");
    assert!(status.message().contains(field), "{what:?}: `{}` does not name `{field}`", status.message());
}

#[tokio::test]
async fn each_bad_field_of_an_issue_request_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut agent = daemon.agent().await;
    assert_names(agent.issue_token(IssueTokenRequest::default()).await, "request", &"no request");
    for (request, field) in bad_requests() {
        let token = IssueTokenRequest { request: Some(request.clone()), binding: None };
        assert_names(agent.issue_token(token).await, field, &request);
        let key = Some(Key::GenerateKey(true));
        let certificate = IssueCertificateRequest { request: Some(request.clone()), key };
        assert_names(agent.issue_certificate(certificate).await, field, &request);
    }
    for jkt in ["x", &"A".repeat(44), &"=".repeat(43)] {
        let binding = Some(KeyBinding { jkt: jkt.into(), x5t_s256: String::new() });
        assert_names(
            agent.issue_token(IssueTokenRequest { request: Some(good()), binding }).await,
            "jkt",
            &jkt,
        );
    }
    let token = IssueTokenRequest { request: Some(good()), binding: None };
    assert!(agent.issue_token(token).await.is_ok(), "the broker goes on");
}

#[tokio::test]
async fn each_bad_certificate_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut agent = daemon.agent().await;
    let csr = |bytes: Vec<u8>| Some(Key::CsrDer(bytes));
    for (key, field) in [
        (None, "key"),
        (Some(Key::GenerateKey(false)), "generate_key"),
        (csr(vec![]), "csr_der"),
        (csr(vec![0x30; 100]), "csr_der"),
        (csr(vec![0; 8 * 1024 + 1]), "csr_der"),
    ] {
        let request = IssueCertificateRequest { request: Some(good()), key: key.clone() };
        assert_names(agent.issue_certificate(request).await, field, &key);
    }
    let keyed = ActionRequest { idempotency_key: "k".into(), ..good() };
    let request = IssueCertificateRequest { request: Some(keyed), key: Some(Key::GenerateKey(true)) };
    assert_names(agent.issue_certificate(request).await, "idempotency_key", &"a generated key is not kept");
}

#[tokio::test]
async fn each_bad_id_is_named_and_an_unknown_one_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let (mut agent, mut admin) = (daemon.agent().await, daemon.admin().await);
    let unknown = "0193595e-7c00-7000-8000-000000000000";
    for bad in ["", "x", "0193595E-7C00-7000-8000-000000000000", "f47ac10b-58cc-4372-a567-0e02b2c3d479"] {
        let id = || bad.to_owned();
        let field = "credential_id";
        assert_names(agent.release(ReleaseRequest { credential_id: id() }).await, field, &bad);
        assert_names(
            agent.get_my_credential(GetMyCredentialRequest { credential_id: id() }).await,
            field,
            &bad,
        );
        assert_names(admin.get_credential(GetCredentialRequest { credential_id: id() }).await, field, &bad);
        assert_names(admin.explain(ExplainRequest { decision_id: id() }).await, "decision_id", &bad);
    }
    let not_found = |status: Status| assert_eq!(status.code(), Code::NotFound, "{status:?}");
    not_found(agent.release(ReleaseRequest { credential_id: unknown.into() }).await.unwrap_err());
    not_found(
        admin.get_credential(GetCredentialRequest { credential_id: unknown.into() }).await.unwrap_err(),
    );
    not_found(admin.explain(ExplainRequest { decision_id: unknown.into() }).await.unwrap_err());
    not_found(admin.get_agent(GetAgentRequest { id: "nobody".into() }).await.unwrap_err());
}

#[tokio::test]
async fn each_bad_operator_request_is_named_and_revokes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut admin = daemon.admin().await;
    let selector = |selector| Some(RevocationSelector { selector: Some(selector) });
    let all = || selector(revocation_selector::Selector::All(true));
    let request =
        |selector, reason: &str| RevokeRequest { selector, reason: reason.into(), ..Default::default() };
    for (bad, field) in [
        (request(None, "r"), "selector"),
        (request(Some(RevocationSelector { selector: None }), "r"), "selector"),
        (request(selector(revocation_selector::Selector::All(false)), "r"), "all"),
        (request(selector(revocation_selector::Selector::Agent("me".into())), "r"), "agent"),
        (request(selector(revocation_selector::Selector::CredentialId("x".into())), "r"), "credential_id"),
        (request(all(), ""), "reason"),
        (request(all(), "two\nlines"), "reason"),
        (request(all(), &"x".repeat(201)), "reason"),
    ] {
        assert_names(admin.revoke(bad.clone()).await, field, &bad);
    }
    let page = |page_size, page_token: &str| ListCredentialsRequest {
        page_size,
        page_token: page_token.into(),
        ..ListCredentialsRequest::default()
    };
    assert_names(admin.list_credentials(page(-1, "")).await, "page_size", &-1);
    assert_names(admin.list_credentials(page(1001, "")).await, "page_size", &1001);
    assert_names(admin.list_credentials(page(0, "nonsense")).await, "page_token", &"nonsense");
    let mut agent = daemon.agent().await;
    let own = ListMyCredentialsRequest { page_size: 1001, ..ListMyCredentialsRequest::default() };
    assert_names(agent.list_my_credentials(own).await, "page_size", &1001);
}

#[tokio::test]
async fn each_bad_page_of_agents_and_enrolments_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut admin = daemon.admin().await;
    let long = "A".repeat(10_000);
    for (page_size, page_token, field) in [
        (-1, "", "page_size"),
        (1001, "", "page_size"),
        (i32::MIN, "", "page_size"),
        (0, "not a token", "page_token"),
        (0, long.as_str(), "page_token"),
    ] {
        let agents = ListAgentsRequest { page_size, page_token: page_token.into() };
        assert_names(admin.list_agents(agents).await, field, &page_size);
        let enrolled = ListEnrollmentsRequest { page_size, page_token: page_token.into(), enrolled_as: 0 };
        assert_names(admin.list_enrollments(enrolled).await, field, &page_size);
    }
    let kind = ListEnrollmentsRequest { enrolled_as: 9, ..ListEnrollmentsRequest::default() };
    assert_names(admin.list_enrollments(kind).await, "enrolled_as", &9);
    let all = ListAgentsRequest { page_size: 1000, page_token: String::new() };
    assert!(!admin.list_agents(all).await.unwrap().into_inner().agents.is_empty(), "the broker goes on");
}

/// A request to enrol a verifier, with nothing wrong.
fn enrollment() -> EnrollRequest {
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    EnrollRequest {
        enrolled_as: EnrolledAs::Verifier.into(),
        name: "envoy".into(),
        csr_der: csr.der().to_vec(),
        lifetime_seconds: 0,
    }
}

#[tokio::test]
async fn each_bad_enrolment_is_named_and_enrols_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut admin = daemon.admin().await;
    let good = enrollment();
    let mut forged = good.csr_der.clone();
    *forged.last_mut().unwrap() ^= 1;
    let csr = |csr_der: Vec<u8>| EnrollRequest { csr_der, ..good.clone() };
    for (bad, field) in [
        (EnrollRequest { enrolled_as: 0, ..good.clone() }, "enrolled_as"),
        (EnrollRequest { enrolled_as: 9, ..good.clone() }, "enrolled_as"),
        (EnrollRequest { name: String::new(), ..good.clone() }, "name"),
        (EnrollRequest { name: "a/b".into(), ..good.clone() }, "name"),
        (csr(Vec::new()), "csr_der"),
        (csr(vec![0x30; 100]), "csr_der"),
        (csr(vec![0; 8 * 1024 + 1]), "csr_der"),
        (csr(forged), "csr_der"),
        (EnrollRequest { lifetime_seconds: 59, ..good.clone() }, "lifetime_seconds"),
        (EnrollRequest { lifetime_seconds: u32::MAX, ..good.clone() }, "lifetime_seconds"),
    ] {
        assert_names(admin.enroll(bad.clone()).await, field, &bad);
    }
    let listed = admin.list_enrollments(ListEnrollmentsRequest::default()).await.unwrap().into_inner();
    assert!(listed.enrollments.is_empty(), "{listed:?}");
    assert!(admin.enroll(good).await.is_ok(), "the broker goes on");
}

#[tokio::test]
async fn each_bad_removal_is_named_and_removes_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut admin = daemon.admin().await;
    admin.enroll(enrollment()).await.unwrap();
    let removal = |enrolled_as: i32, name: &str, serial: &str, reason: &str| RemoveEnrollmentRequest {
        enrolled_as,
        name: name.into(),
        serial: serial.into(),
        reason: reason.into(),
    };
    let verifier = EnrolledAs::Verifier.into();
    for (bad, field) in [
        (removal(0, "envoy", "", "gone"), "enrolled_as"),
        (removal(9, "envoy", "", "gone"), "enrolled_as"),
        (removal(verifier, "", "", "gone"), "name"),
        (removal(verifier, "a/b", "", "gone"), "name"),
        (removal(verifier, "envoy", "4f", "gone"), "serial"),
        (removal(verifier, "envoy", &"4F".repeat(16), "gone"), "serial"),
        (removal(verifier, "envoy", "", ""), "reason"),
        (removal(verifier, "envoy", "", "two\nlines"), "reason"),
        (removal(verifier, "envoy", "", &"x".repeat(201)), "reason"),
    ] {
        assert_names(admin.remove_enrollment(bad.clone()).await, field, &bad);
    }
    let listed = admin.list_enrollments(ListEnrollmentsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.enrollments.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn only_the_token_key_is_rotated_and_another_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut admin = daemon.admin().await;
    let before = admin.list_keys(ListKeysRequest {}).await.unwrap().into_inner();
    for bad in ["", "log", "action-ca", "Token", "token "] {
        for at_once in [false, true] {
            let request = RotateKeyRequest { r#use: bad.into(), at_once };
            assert_names(admin.rotate_key(request).await, "use: ", &bad);
        }
    }
    assert_eq!(admin.list_keys(ListKeysRequest {}).await.unwrap().into_inner(), before);
}

#[tokio::test]
async fn log_reads_beyond_the_log_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut audit = daemon.audit().await;
    let index = u64::MAX;
    assert_names(audit.get_entry(GetEntryRequest { index }).await, "index", &index);
    assert_names(audit.prove_inclusion(ProveInclusionRequest { index }).await, "index", &index);
    for old_size in [0, u64::MAX] {
        let proof = audit.prove_consistency(ProveConsistencyRequest { old_size }).await;
        assert_names(proof, "old_size", &old_size);
    }
    let entries = ListEntriesRequest { first_index: None, page_size: 1001 };
    assert_names(audit.list_entries(entries).await, "page_size", &1001);
}

#[tokio::test]
async fn anything_that_is_not_a_live_credential_of_ours_is_inactive() {
    use hotwork::proto::v1::introspect_request::Credential;
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut verifier = daemon.verifier().await;
    assert_names(verifier.introspect(IntrospectRequest { credential: None }).await, "credential", &"none");
    for empty in [Credential::Token(String::new()), Credential::CertificateDer(Vec::new())] {
        let field = if matches!(empty, Credential::Token(_)) { "token" } else { "certificate_der" };
        let request = IntrospectRequest { credential: Some(empty) };
        assert_names(verifier.introspect(request).await, field, &"empty");
    }
    for token in ["a.b.c", "..", "eyJhbGciOiJub25lIn0.e30."] {
        let credential = Some(Credential::Token(token.into()));
        let answer = verifier.introspect(IntrospectRequest { credential }).await.unwrap().into_inner();
        assert!(!answer.active && answer.credential.is_none(), "{token}");
    }
    let credential = Some(Credential::CertificateDer(vec![0x30; 500]));
    assert!(!verifier.introspect(IntrospectRequest { credential }).await.unwrap().into_inner().active);
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_and_the_broker_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut agent = daemon.agent().await;
    let request = Some(ActionRequest { purpose: "x".repeat(10 << 20), ..good() });
    let status = agent.issue_token(IssueTokenRequest { request, binding: None }).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");
    let mut agent = daemon.agent().await;
    let token = IssueTokenRequest { request: Some(good()), binding: None };
    assert!(agent.issue_token(token).await.is_ok());
}

/// A request of a later version: the field can be a limit that its sender believes to be kept.
#[derive(Clone, PartialEq, prost::Message)]
struct LaterRequest {
    #[prost(message, optional, tag = "1")]
    request: Option<ActionRequest>,
    #[prost(string, tag = "999")]
    only_on_weekdays: String,
}

#[tokio::test]
async fn a_field_that_this_version_does_not_know_is_refused_and_nothing_is_issued() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let ask = async |only_on_weekdays: &str| {
        let mut client = tonic::client::Grpc::new(daemon.channel("HOTWORK_ENDPOINT").await);
        client.ready().await.unwrap();
        let message = LaterRequest { request: Some(good()), only_on_weekdays: only_on_weekdays.into() };
        let path = http::uri::PathAndQuery::from_static("/hotwork.v1.CredentialService/IssueToken");
        let codec = tonic_prost::ProstCodec::<LaterRequest, IssueTokenResponse>::default();
        client.unary(tonic::Request::new(message), path, codec).await
    };
    assert_names(ask("yes").await, "999", &"unknown field");
    assert!(daemon.json(&["credential", "list"])["credentials"].as_array().is_none_or(Vec::is_empty));
    assert!(ask("").await.is_ok(), "without it the same request is granted");
}
