//! Operators and verifiers by certificates from `enroll`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use hotwork::proto::v1;
use hotwork::proto::v1::admin_service_client::AdminServiceClient;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::pki::{Identity, TestCa, channel};
use crate::support::{Daemon, code, eventually, http, text};
use crate::{add_operator, enroll, hotwork, restart, start};

const ADMIN: &str = "HOTWORK_ADMIN_ENDPOINT_TCP";
const VERIFIER: &str = "HOTWORK_VERIFIER_ENDPOINT";

async fn admin(daemon: &Daemon, identity: &Identity) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(channel(daemon, ADMIN, Some(identity)).await.unwrap())
}

async fn list(client: &mut AdminServiceClient<Channel>) -> Result<(), (Code, String)> {
    let answer = client.list_agents(v1::ListAgentsRequest::default()).await;
    answer.map(|_| ()).map_err(|status| {
        let details = status.get_error_details();
        (status.code(), details.error_info().map(|info| info.reason.clone()).unwrap_or_default())
    })
}

fn remove(daemon: &Daemon, kind: &str, name: &str) {
    let output = daemon.hotwork(&[kind, "remove", name, "--reason", "test", "--yes"]);
    assert!(output.status.success(), "{}", text(&output));
}

/// A call that never gets through any more: refused with a reason, or its connection gone.
fn is_ended(outcome: &Result<(), (Code, String)>, reason: &str) -> bool {
    match outcome {
        Ok(()) => false,
        Err((Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled, _)) => true,
        Err((code, found)) => *code == Code::Unauthenticated && found == reason,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_the_registrys_roles_and_nothing_once_removed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    add_operator(&daemon, "alice", "\"viewer\"");
    add_operator(&daemon, "bob", "\"viewer\"");
    let alice = enroll(&daemon, "operator", "alice", dir.path());
    let bob = enroll(&daemon, "operator", "bob", dir.path());
    let (mut of_alice, mut of_bob) = (admin(&daemon, &alice).await, admin(&daemon, &bob).await);
    assert_eq!(list(&mut of_alice).await, Ok(()));
    assert_eq!(list(&mut of_bob).await, Ok(()));
    let reload = of_alice.reload_registry(v1::ReloadRegistryRequest {}).await;
    assert_eq!(reload.unwrap_err().code(), Code::PermissionDenied, "a viewer does not reload");

    remove(&daemon, "operator", "alice");
    let after = list(&mut of_alice).await;
    assert!(is_ended(&after, "certificate-removed"), "on the open connection: {after:?}");
    let files = dir.path().join("operator-alice");
    let output = hotwork(&daemon, &files, &["agent", "list"]);
    assert_eq!(code(&output), 4, "{}", text(&output));
    assert!(text(&output).contains("not enrolled, or was removed"), "{}", text(&output));
    let counted = |reason: &str| {
        let (_, metrics) = http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics");
        let labels = format!("{{listener=\"admin_tcp\",reason=\"{reason}\"}} ");
        let begin = format!("hotwork_operators_rejected_total{labels}");
        metrics.lines().find_map(|line| line.strip_prefix(&begin)).map(str::to_owned)
    };
    assert!(counted("certificate-removed").is_some());
    assert_eq!(counted("not-an-operator"), None);
    assert_eq!(list(&mut of_bob).await, Ok(()), "the other one is not touched");

    // Out of the registry: the certificate is good, and the operator has nothing.
    let registry = daemon.state.join("config/operators.toml");
    let text = std::fs::read_to_string(&registry).unwrap();
    std::fs::write(&registry, text.replace("name = \"bob\"", "name = \"robert\"")).unwrap();
    daemon.json(&["reload"]);
    assert_eq!(list(&mut of_bob).await, Err((Code::Unauthenticated, "not-an-operator".to_owned())));
    assert_eq!(counted("not-an-operator").as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_may_ask_what_a_credential_is_worth_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    add_operator(&daemon, "alice", "\"admin\"");
    let (envoy, alice) =
        (enroll(&daemon, "verifier", "envoy", dir.path()), enroll(&daemon, "operator", "alice", dir.path()));
    let open = channel(&daemon, VERIFIER, Some(&envoy)).await.unwrap();
    let mut verifier = VerificationServiceClient::new(open.clone());
    let token = daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let token = token["token"].as_str().unwrap().to_owned();
    let ask = || v1::IntrospectRequest {
        credential: Some(v1::introspect_request::Credential::Token(token.clone())),
    };
    assert!(verifier.introspect(ask()).await.unwrap().into_inner().active);
    let wrong = AdminServiceClient::new(open).list_agents(v1::ListAgentsRequest::default()).await;
    assert_eq!(wrong.unwrap_err().code(), Code::Unimplemented);

    // Each at the other's door.
    let swapped = [(ADMIN, &envoy), (VERIFIER, &alice)];
    for (variable, identity) in swapped {
        let Ok(channel) = channel(&daemon, variable, Some(identity)).await else { continue };
        let mut client = VerificationServiceClient::new(channel);
        assert!(client.get_trust_bundle(v1::GetTrustBundleRequest {}).await.is_err(), "{variable}");
    }

    remove(&daemon, "verifier", "envoy");
    assert!(verifier.introspect(ask()).await.is_err(), "on the open connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_ends_streams_that_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let watch = async |name: &str| {
        let identity = enroll(&daemon, "verifier", name, dir.path());
        let channel = channel(&daemon, VERIFIER, Some(&identity)).await.unwrap();
        let mut stream =
            HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        stream
    };
    let (mut removed, mut other) = (watch("one").await, watch("two").await);
    remove(&daemon, "verifier", "one");
    let ended = tokio::time::timeout(Duration::from_secs(5), removed.message()).await;
    assert!(matches!(ended, Ok(Err(_) | Ok(None))), "{ended:?}");
    let open = tokio::time::timeout(Duration::from_millis(200), other.message()).await;
    assert!(open.is_err(), "the other one goes on: {open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolments_and_removals_survive_a_kill_and_a_lost_index() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let kept = enroll(&daemon, "verifier", "kept", dir.path());
    let gone = enroll(&daemon, "verifier", "gone", dir.path());
    remove(&daemon, "verifier", "gone");
    daemon.kill_nine();
    let mut daemon = restart(dir.path());
    for lost in [false, true] {
        if lost {
            daemon.kill_nine();
            std::fs::remove_dir_all(dir.path().join("state/index")).unwrap();
            daemon = restart(dir.path());
        }
        let asks = async |identity: &Identity| {
            let channel = channel(&daemon, VERIFIER, Some(identity)).await.unwrap();
            let mut client = VerificationServiceClient::new(channel);
            client.get_trust_bundle(v1::GetTrustBundleRequest {}).await.is_ok()
        };
        assert!(asks(&kept).await, "index lost: {lost}");
        assert!(!asks(&gone).await, "index lost: {lost}");
        let names = daemon.json(&["verifier", "list"]);
        let names: Vec<_> = names["enrollments"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["kept"]);
    }
}

/// `openssl verify` of an enrolled certificate under the CRLs that are served now.
fn verify(daemon: &Daemon, dir: &Path, name: &str) -> Output {
    let (code, crls) = http(&daemon.env["HOTWORK_HTTP"], "GET", "/crl.pem");
    assert_eq!(code, 200, "{crls}");
    std::fs::write(dir.join("crl.pem"), crls).unwrap();
    let files = dir.join(name);
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-crl_check_all", "-CAfile"]).arg(files.join("ca.pem"));
    // The leaf comes with its issuer.
    command.arg("-untrusted").arg(files.join("cert.pem")).arg("-CRLfile").arg(dir.join("crl.pem"));
    command.arg(files.join("cert.pem")).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_some_tenants_does_not_see_who_verifies_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let registry = daemon.state.join("config/operators.toml");
    let all = std::fs::read_to_string(&registry).unwrap();
    let some = "\n[[operator]]\nname = \"some\"\nroles = [\"admin\"]\ntenants = [\"default\"]\n";
    std::fs::write(&registry, all + some).unwrap();
    daemon.json(&["reload"]);
    add_operator(&daemon, "alice", "\"admin\"");
    for (name, scoped) in [("some", true), ("alice", false)] {
        let mut admin = admin(&daemon, &enroll(&daemon, "operator", name, dir.path())).await;
        let expected = if scoped { Err(Code::PermissionDenied) } else { Ok(()) };
        let verifiers = admin.list_verifiers(v1::ListVerifiersRequest {}).await;
        assert_eq!(verifiers.map(drop).map_err(|status| status.code()), expected, "{name}");
        let enrolled = admin.list_enrollments(v1::ListEnrollmentsRequest::default()).await;
        assert_eq!(enrolled.map(drop).map_err(|status| status.code()), expected, "{name}");
        let loaded = admin.reload_registry(v1::ReloadRegistryRequest {}).await;
        assert_eq!(loaded.map(drop).map_err(|status| status.code()), expected, "{name}");
    }
}

#[test]
fn openssl_refuses_an_enrolled_certificate_that_was_removed_also_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    for name in ["kept", "gone"] {
        enroll(&daemon, "verifier", name, dir.path());
        let said = verify(&daemon, dir.path(), &format!("verifier-{name}"));
        assert!(said.status.success(), "{}", text(&said));
    }
    remove(&daemon, "verifier", "gone");
    let refused = |daemon: &Daemon| {
        let said = verify(daemon, dir.path(), "verifier-gone");
        !said.status.success() && text(&said).contains("certificate revoked")
    };
    eventually("the removal is on the list", || refused(&daemon));
    assert!(verify(&daemon, dir.path(), "verifier-kept").status.success());
    daemon.kill_nine();
    let daemon = restart(dir.path());
    assert!(refused(&daemon), "what was removed stays so");
    assert!(verify(&daemon, dir.path(), "verifier-kept").status.success());
    // Without the index it is made anew from the log.
    daemon.kill_nine();
    std::fs::remove_dir_all(dir.path().join("state/index")).unwrap();
    assert!(refused(&restart(dir.path())));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_has_its_share_of_connections_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let (one, other) =
        (enroll(&daemon, "verifier", "one", dir.path()), enroll(&daemon, "verifier", "two", dir.path()));
    let served = async |identity: &Identity| {
        let channel = channel(&daemon, VERIFIER, Some(identity)).await.ok()?;
        let mut client = VerificationServiceClient::new(channel);
        client.get_trust_bundle(v1::GetTrustBundleRequest {}).await.ok().map(|_| client)
    };
    let mut held = Vec::new();
    for at in 0..16 {
        held.push(served(&one).await.unwrap_or_else(|| panic!("connection {at}")));
    }
    assert!(served(&one).await.is_none(), "one too many");
    assert!(served(&other).await.is_some(), "the other certificate has its own share");
    held.pop();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while served(&one).await.is_none() {
        assert!(std::time::Instant::now() < deadline, "the place did not come free");
    }
}

#[test]
fn enrolling_is_for_admins_of_all_tenants_and_for_operators_of_the_registry() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let out = dir.path().join("x").display().to_string();
    let unknown = daemon.hotwork(&["operator", "enroll", "nobody", "--out", &out]);
    assert_eq!(code(&unknown), 1, "{}", text(&unknown));
    assert!(text(&unknown).contains("operators.toml"), "{}", text(&unknown));
    add_operator(&daemon, "viewer", "\"viewer\"");
    enroll(&daemon, "operator", "viewer", dir.path());
    let files = dir.path().join("operator-viewer");
    let refused = hotwork(&daemon, &files, &["verifier", "enroll", "mine", "--out", &out]);
    assert_eq!(code(&refused), 3, "{}", text(&refused));
    let registry = daemon.state.join("config/operators.toml");
    let all = std::fs::read_to_string(&registry).unwrap();
    let some =
        format!("{all}\n[[operator]]\nname = \"some\"\nroles = [\"admin\"]\ntenants = [\"default\"]\n");
    std::fs::write(&registry, some).unwrap();
    daemon.json(&["reload"]);
    enroll(&daemon, "operator", "some", dir.path());
    let files = dir.path().join("operator-some");
    let refused = hotwork(&daemon, &files, &["operator", "enroll", "me", "--out", &out]);
    assert_eq!(code(&refused), 3, "{}", text(&refused));
    assert!(text(&refused).contains("all tenants"), "{}", text(&refused));
    for command in [&["verifier", "list"][..], &["operator", "list"], &["reload"]] {
        let refused = hotwork(&daemon, &files, command);
        assert_eq!(code(&refused), 3, "{command:?}: {}", text(&refused));
        assert!(text(&refused).contains("needs an operator of all tenants"), "{}", text(&refused));
        assert!(daemon.hotwork(command).status.success(), "one of all tenants may: {command:?}");
    }
    let log = daemon.hotwork(&["audit", "tail", "-n", "100"]);
    assert!(text(&log).contains("enroll") && text(&log).contains("operator/some"), "{}", text(&log));
}
