//! Agents by the certificate of a foreign authority.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hotwork::proto::v1;
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::pki::{Identity, TestCa, channel};
use crate::support::{Daemon, code, text};
use crate::{WEB, hotwork, start};

const AGENT: &str = "HOTWORK_ENDPOINT_TCP";

async fn whoami(daemon: &Daemon, identity: Option<&Identity>) -> Result<String, Code> {
    let Ok(channel) = channel(daemon, AGENT, identity).await else { return Err(Code::Unavailable) };
    let answer = CredentialServiceClient::new(channel).who_am_i(v1::WhoAmIRequest {}).await;
    answer.map(|answer| answer.into_inner().agent).map_err(|status| status.code())
}

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[test]
fn a_workload_is_attested_by_its_certificate_and_gets_nothing_beyond_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let files = dir.path().join("web");
    ca.svid(WEB, 100).write(&files);
    let who = hotwork(&daemon, &files, &["whoami", "-o", "json"]);
    assert!(who.status.success(), "{}", text(&who));
    let who: serde_json::Value = serde_json::from_slice(&who.stdout).unwrap();
    assert_eq!(who["agent"], "spiffe://dev.hotwork.example/tenant/default/agent/web");
    let selectors: Vec<&str> =
        who["selectors"].as_array().unwrap().iter().filter_map(|s| s.as_str()).collect();
    assert!(selectors.contains(&&*format!("x509.spiffe_id:{WEB}")), "{selectors:?}");
    assert_eq!(selectors.len(), 4, "no fact of the process that connected: {selectors:?}");
    let issued = hotwork(
        &daemon,
        &files,
        &["issue", "demo.read", "--resource", "demo/hello", "--ttl", "5m", "-o", "json"],
    );
    assert!(issued.status.success(), "{}", text(&issued));
    let issued: serde_json::Value = serde_json::from_slice(&issued.stdout).unwrap();
    let expires: jiff::Timestamp = issued["credential"]["expireTime"].as_str().unwrap().parse().unwrap();
    let left = expires.as_second() - jiff::Timestamp::now().as_second();
    assert!((80..=100).contains(&left), "{left} s, the certificate had 100");
}

#[test]
fn what_was_given_on_a_certificate_is_revoked_by_each_of_its_facts() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let files = dir.path().join("web");
    ca.svid(WEB, 600).write(&files);
    let ask = |arguments: &[&str]| -> serde_json::Value {
        let output = hotwork(&daemon, &files, &[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let who = ask(&["whoami"]);
    let facts: Vec<String> =
        who["selectors"].as_array().unwrap().iter().map(|fact| fact.as_str().unwrap().to_owned()).collect();
    let kinds: Vec<&str> = facts.iter().map(|fact| fact.split(':').next().unwrap()).collect();
    assert_eq!(kinds, ["x509.issuer_sha256", "x509.spiffe_id", "x509.spki_sha256", "x509.trust_domain"]);
    // Another agent's, on this machine, is not touched.
    let other = daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", "10m"]);
    let live = |issued: &serde_json::Value| {
        let file = dir.path().join("shown");
        std::fs::write(&file, issued["token"].as_str().unwrap()).unwrap();
        daemon.hotwork(&["credential", "verify", file.to_str().unwrap()]).status.success()
    };
    for fact in &facts {
        let issued = ask(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", "5m"]);
        assert!(live(&issued), "{fact}");
        let named = fact.replacen(':', "=", 1);
        let revoked = daemon.hotwork(&["revoke", "--attested", &named, "--reason", "test", "--yes"]);
        assert!(revoked.status.success(), "{}", text(&revoked));
        assert!(!live(&issued), "{fact}");
        assert!(live(&other), "{fact}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_certificate_or_another_authoritys_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (TestCa::new(), TestCa::new());
    let daemon = start(dir.path(), &ca);
    assert!(whoami(&daemon, Some(&ca.svid(WEB, 60))).await.unwrap().ends_with("/agent/web"));
    assert!(whoami(&daemon, None).await.is_err());
    assert!(whoami(&daemon, Some(&other.svid(WEB, 60))).await.is_err());
    assert!(whoami(&daemon, Some(&ca.svid(WEB, -60))).await.is_err(), "expired");
    let foreign = ca.svid("spiffe://dev.hotwork.example/tenant/default/agent/me", 60);
    assert!(whoami(&daemon, Some(&foreign)).await.is_err(), "our own names are ours to give");
    let unknown = whoami(&daemon, Some(&ca.svid("spiffe://prod.example/ns/other", 60))).await;
    assert_eq!(unknown, Err(Code::Unauthenticated), "believed, and nobody");
    let open = channel(&daemon, AGENT, Some(&ca.svid(WEB, 60))).await.unwrap();
    let verifies = VerificationServiceClient::new(open).get_trust_bundle(v1::GetTrustBundleRequest {}).await;
    assert_eq!(verifies.unwrap_err().code(), Code::Unimplemented, "an agent is no verifier");
}

#[test]
fn the_command_says_why_a_certificate_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let files = dir.path().join("web");
    for (identity, word) in [(ca.svid(WEB, -60), "xpired"), (TestCa::new().svid(WEB, 60), "nknown")] {
        identity.write(&files);
        let output = hotwork(&daemon, &files, &["whoami"]);
        assert_eq!(code(&output), 4, "{}", text(&output));
        assert!(text(&output).contains(word) && text(&output).contains("next: "), "{}", text(&output));
    }
    ca.svid(WEB, 60).write(&files);
    let mut wrong_root = crate::command(&daemon, &files, &["whoami"]);
    let output = wrong_root.env("HOTWORK_TLS_CA", dir.path().join("prod.pem")).output().unwrap();
    assert_eq!(code(&output), 7, "{}", text(&output));
    assert!(text(&output).contains("tls-ca.pem"), "{}", text(&output));
}

/// An agent that is a server, and has taken the broker's place on the network: below the same root, with the name that
/// clients know the broker by.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_talks_to_no_agent_that_stands_in_for_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let files = dir.path().join("web");
    ca.svid(WEB, 60).write(&files);
    for (id, taken) in
        [("spiffe://prod.example/tenant/default/agent/edge", false), ("spiffe://prod.example/broker", true)]
    {
        let (chain, key) = ca.server(id, &["localhost"], 60).der();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            tokio_rustls::TlsAcceptor::from(config).accept(stream).await
        });
        let mut command = crate::command(&daemon, &files, &["whoami", "-o", "json"]);
        command.env("HOTWORK_TLS_CA", dir.path().join("prod.pem"));
        command.env("HOTWORK_ENDPOINT", format!("https://localhost:{port}"));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(code(&output), 7, "{}", text(&output));
        // Without `h2` it is no broker either, but that is looked at afterwards.
        let reason = if taken { "no-grpc" } else { "server-certificate" };
        assert!(text(&output).contains(&format!("\"reason\":\"{reason}\"")), "{id}: {}", text(&output));
        assert!(server.await.unwrap().is_ok(), "the handshake is good");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_connection_serves_nothing_after_its_certificates_end() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let lasting = channel(&daemon, AGENT, Some(&ca.svid(WEB, 600))).await.unwrap();
    let mut lasting = CredentialServiceClient::new(lasting);
    let ending = ca.svid(WEB, 6);
    let end = SystemTime::now() + Duration::from_secs(6);
    let mut open = CredentialServiceClient::new(channel(&daemon, AGENT, Some(&ending)).await.unwrap());
    assert!(open.who_am_i(v1::WhoAmIRequest {}).await.is_ok());
    let started = Instant::now();
    let refused = loop {
        let before = SystemTime::now();
        match open.who_am_i(v1::WhoAmIRequest {}).await {
            Ok(_) => assert!(before < end, "served after the end"),
            Err(status) => break status,
        }
        assert!(started.elapsed() < Duration::from_secs(15), "never refused");
    };
    assert!(SystemTime::now() >= end - Duration::from_secs(1), "refused early: {refused}");
    // Either the call was refused, or the connection had gone by then.
    let cut = matches!(refused.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
    assert!(cut || reason(&refused) == "certificate-expired", "{refused:?}");
    assert!(open.who_am_i(v1::WhoAmIRequest {}).await.is_err());
    assert!(lasting.who_am_i(v1::WhoAmIRequest {}).await.is_ok(), "the other one is not touched");
}

#[test]
fn a_certificate_for_an_action_opens_no_listener() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let files = dir.path().join("action");
    let out = files.display().to_string();
    let made =
        daemon.hotwork(&["issue", "demo.read", "--resource", "demo/hello", "--kind", "cert", "--out", &out]);
    assert!(made.status.success(), "{}", text(&made));
    // With its whole chain, so that only the authority is wrong.
    let chain = std::fs::read_to_string(files.join("cert.pem")).unwrap()
        + &std::fs::read_to_string(files.join("ca.pem")).unwrap();
    std::fs::write(files.join("cert.pem"), chain).unwrap();
    for arguments in [&["whoami"][..], &["agent", "list"]] {
        let output = hotwork(&daemon, &files, arguments);
        assert_eq!(code(&output), 4, "{arguments:?}: {}", text(&output));
    }
    let token = dir.path().join("token");
    std::fs::write(&token, "x").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let identity = Identity::read(&files);
    runtime.block_on(async {
        let Ok(channel) = channel(&daemon, "HOTWORK_VERIFIER_ENDPOINT", Some(&identity)).await else {
            return;
        };
        let mut client = VerificationServiceClient::new(channel);
        assert!(client.get_trust_bundle(v1::GetTrustBundleRequest {}).await.is_err());
    });
}

#[test]
fn no_agent_has_a_name_of_the_broker_s_own_listeners() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let file = dir.path().join("state/config/agents/web.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let named = |name: &str| {
        let lines = format!("identity_certificate = true\nserver_names = [\"{name}\"]\n");
        std::fs::write(&file, lines + &plain).unwrap();
        daemon.hotwork(&["reload"])
    };
    let refused = named("localhost");
    assert!(!refused.status.success(), "{}", text(&refused));
    assert!(text(&refused).contains("a listener of this broker has this name"), "{}", text(&refused));
    let taken = named("web.example");
    assert!(taken.status.success(), "{}", text(&taken));
}
