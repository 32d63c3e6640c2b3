//! A credential of a break-glass session is no operator's, whatever its playbook gives: the network's doors do not
//! know it.

use hotwork::proto::v1;
use hotwork::proto::v1::admin_service_client::AdminServiceClient;
use hotwork::proto::v1::break_glass_service_client::BreakGlassServiceClient;
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;

use tonic::Code;

use crate::pki::{Identity, TestCa, channel};
use crate::signing::KeyPair;
use crate::support::{Daemon, eventually, http};
use crate::{add_operator, enroll, start};

const ADMIN: &str = "HOTWORK_ADMIN_ENDPOINT_TCP";
const DOORS: [&str; 3] = [ADMIN, "HOTWORK_ENDPOINT_TCP", "HOTWORK_VERIFIER_ENDPOINT"];

/// A session of the demonstration's playbook, signed by this user and by bob.
fn opened(daemon: &Daemon, dir: &std::path::Path) -> String {
    let (own, bob) = (KeyPair::ed25519(dir, "own"), KeyPair::ed25519(dir, "bob"));
    let path = daemon.state.join("config/operators.toml");
    let registry = std::fs::read_to_string(&path).unwrap();
    let registry = registry.replace("ssh_keys = []", &format!("ssh_keys = [\"{}\"]", own.public()));
    let bobs = format!(
        "\n[[operator]]\nname = \"bob\"\nroles = [\"responder\"]\nssh_keys = [\"{}\"]\n",
        bob.public()
    );
    std::fs::write(&path, registry + &bobs).unwrap();
    daemon.json(&["reload"]);
    let key = |pair: &KeyPair| pair.private.display().to_string();
    let line = ["break-glass", "open", "repair", "--reason", "r", "--ticket", "T-1", "--yes", "--ssh-key"];
    let id = daemon.json(&[&line[..], &[&key(&own)]].concat())["progress"]["statementId"]
        .as_str()
        .unwrap()
        .to_owned();
    let line = ["break-glass", "sign", &id, "--yes", "--ssh-key", &key(&bob)];
    daemon.json(&line)["progress"]["session"].as_str().unwrap().to_owned()
}

/// Whether anything at all is answered at this door.
async fn is_heard(daemon: &Daemon, door: &str, identity: &Identity, session: &str) -> bool {
    let Ok(channel) = channel(daemon, door, Some(identity)).await else { return false };
    let close = v1::CloseRequest { session: session.into(), reason: "mine".into() };
    let extension = v1::PrepareExtension { session: session.into(), reason: "more".into(), duration: None };
    let extend = v1::PrepareRequest { asks: Some(v1::prepare_request::Asks::Extension(extension)) };
    let mut glass = BreakGlassServiceClient::new(channel.clone());
    let mut admin = AdminServiceClient::new(channel.clone());
    let answers = [
        glass.close(close).await.is_ok(),
        glass.prepare(extend).await.is_ok(),
        glass.list(v1::ListRequest {}).await.is_ok(),
        admin.list_agents(v1::ListAgentsRequest::default()).await.is_ok(),
        admin.reload_registry(v1::ReloadRegistryRequest {}).await.is_ok(),
        CredentialServiceClient::new(channel.clone()).who_am_i(v1::WhoAmIRequest {}).await.is_ok(),
        VerificationServiceClient::new(channel).get_trust_bundle(v1::GetTrustBundleRequest {}).await.is_ok(),
    ];
    answers.contains(&true)
}

/// Whether the daemon's log has a warning with all of these words.
fn warned(daemon: &Daemon, words: &[&str]) -> bool {
    let log = daemon.log();
    log.lines().any(|line| line.contains("WARN") && words.iter().all(|word| line.contains(word)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_s_certificate_opens_no_door_of_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    add_operator(&daemon, "alice", "\"admin\", \"responder\"");
    let alice = enroll(&daemon, "operator", "alice", dir.path());
    let session = opened(&daemon, dir.path());
    let out = dir.path().join("minted");
    let under = ["issue", "demo.delete", "--resource", "demo/x", "--break-glass", &session];
    let minted =
        daemon.json(&[&under[..], &["--kind", "cert", "--out", &out.display().to_string()]].concat());
    assert_eq!(minted["credential"]["id"].as_str().map(str::len), Some(36));
    let minted = Identity::read(&out);
    for door in DOORS {
        assert!(!is_heard(&daemon, door, &minted, &session).await, "{door}");
    }
    let state = || daemon.json(&["break-glass", "list"])["sessions"][0]["state"].clone();
    assert_eq!(state(), "SESSION_STATE_OPEN", "nothing that it tried was done");
    let metrics = || http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics").1;
    for listener in ["admin_tcp", "agent_tcp", "verifier_tcp"] {
        let labels = format!("{{listener=\"{listener}\",reason=\"certificate-unknown-issuer\"}} 1\n");
        let refused = format!("hotwork_connections_refused_total{labels}");
        eventually("the refusal is counted", || metrics().contains(&refused));
        assert!(warned(&daemon, &["a certificate was refused", listener]), "{}", daemon.log());
    }
    // The agent that has the session does not end it either: its door is not for that.
    let mut own = BreakGlassServiceClient::new(daemon.channel("HOTWORK_ENDPOINT").await);
    let close = v1::CloseRequest { session: session.clone(), reason: "mine".into() };
    assert_eq!(own.close(close).await.unwrap_err().code(), Code::Unimplemented);
    let rejected = "hotwork_operators_rejected_total{listener=\"agent\",reason=\"not-served-here\"} 1\n";
    assert!(metrics().contains(rejected), "{}", metrics());
    assert!(warned(&daemon, &["BreakGlassService/Close", "caller=\"uid "]), "{}", daemon.log());
    assert_eq!(state(), "SESSION_STATE_OPEN");
    assert!(is_heard(&daemon, ADMIN, &alice, &session).await, "an operator's certificate is heard");
    assert_eq!(state(), "SESSION_STATE_REVIEW_OWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_responder_or_of_another_tenant_ends_extends_and_reviews_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let session = opened(&daemon, dir.path());
    add_operator(&daemon, "victor", "\"approver\", \"viewer\"");
    add_operator(&daemon, "otto", "\"responder\"]\ntenants = [\"other\"");
    for (name, expected) in [("victor", Code::PermissionDenied), ("otto", Code::NotFound)] {
        let identity = enroll(&daemon, "operator", name, dir.path());
        let channel = channel(&daemon, ADMIN, Some(&identity)).await.unwrap();
        let mut glass = BreakGlassServiceClient::new(channel);
        let close = v1::CloseRequest { session: session.clone(), reason: "mine".into() };
        let review = v1::ReviewRequest { session: session.clone(), finding: "fine".into() };
        let extension =
            v1::PrepareExtension { session: session.clone(), reason: "more".into(), duration: None };
        let extend = v1::PrepareRequest { asks: Some(v1::prepare_request::Asks::Extension(extension)) };
        let answers = [
            glass.close(close).await.map(drop),
            glass.review(review).await.map(drop),
            glass.prepare(extend).await.map(drop),
        ];
        for answer in answers {
            assert_eq!(answer.unwrap_err().code(), expected, "{name}");
        }
        let listed = glass.list(v1::ListRequest {}).await.unwrap().into_inner().sessions;
        assert_eq!(listed.len(), usize::from(name == "victor"), "another tenant's is not there");
    }
    let list = daemon.json(&["break-glass", "list"]);
    assert_eq!(list["sessions"][0]["state"], "SESSION_STATE_OPEN", "{list}");
    let log = daemon.hotwork(&["audit", "tail", "-n", "200"]);
    let log = crate::support::text(&log);
    for rpc in ["Close", "Review"] {
        assert_eq!(log.matches(&format!("BreakGlassService/{rpc} REFUSED")).count(), 2, "{rpc}: {log}");
    }
    // Who may have texts prepared has been recorded before, whatever becomes of it.
    for (name, said) in [("victor", " REFUSED"), ("otto", "")] {
        let ends = format!("BreakGlassService/Prepare{said}");
        let prepared = log.lines().filter(|line| line.contains(name) && line.trim_end().ends_with(&ends));
        assert_eq!(prepared.count(), 1, "{name}: {log}");
    }
}
