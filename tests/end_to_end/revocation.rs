//! From an operator's command to those who follow: selectors, locks, the feed, acknowledgements.

use std::time::Duration;

use hotwork::domain::digest::Digest;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use hotwork::proto::v1::{
    AcknowledgeEpochRequest, IntrospectRequest, LockRequest, LockTerms, RevocationSelector, RevokeRequest,
    WatchRevocationsRequest, WatchRevocationsResponse, introspect_request, revocation_selector::Selector,
};
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::support::{Daemon, code, example, text};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn next(feed: &mut Streaming<WatchRevocationsResponse>) -> WatchRevocationsResponse {
    tokio::time::timeout(PATIENCE, feed.message()).await.unwrap().unwrap().unwrap()
}

/// The next message that is no heartbeat.
async fn next_end(feed: &mut Streaming<WatchRevocationsResponse>) -> WatchRevocationsResponse {
    loop {
        let message = next(feed).await;
        if !message.revoked.is_empty() {
            return message;
        }
    }
}

pub async fn watch(
    client: &mut VerificationServiceClient<Channel>,
    after_epoch: u64,
) -> Streaming<WatchRevocationsResponse> {
    let message =
        WatchRevocationsRequest { label: "test".into(), after_epoch, instance: 1, ..Default::default() };
    client.watch_revocations(message).await.unwrap().into_inner()
}

/// From where this message was.
async fn resume(
    client: &mut VerificationServiceClient<Channel>,
    last: &WatchRevocationsResponse,
) -> Streaming<WatchRevocationsResponse> {
    let after_sha256 = last.epoch_sha256.clone();
    let message =
        WatchRevocationsRequest { label: "test".into(), after_epoch: last.epoch, after_sha256, instance: 1 };
    client.watch_revocations(message).await.unwrap().into_inner()
}

pub fn request(selector: Selector) -> RevokeRequest {
    let selector = Some(RevocationSelector { selector: Some(selector) });
    RevokeRequest { selector, reason: "test".into(), ..Default::default() }
}

fn issue(daemon: &Daemon) -> serde_json::Value {
    daemon.json(&["issue", "demo.read", "--resource", "demo/hello"])
}

async fn is_active(client: &mut VerificationServiceClient<Channel>, issued: &serde_json::Value) -> bool {
    let token = issued["token"].as_str().unwrap().to_owned();
    let credential = Some(introspect_request::Credential::Token(token));
    client.introspect(IntrospectRequest { credential }).await.unwrap().into_inner().active
}

#[tokio::test]
async fn what_an_operator_revokes_reaches_who_follows_and_its_acknowledgement_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut verifier = daemon.verifier().await;
    let mut feed = watch(&mut verifier, 0).await;
    let first = next(&mut feed).await;
    assert!(first.snapshot_begins && !first.snapshot_continues && first.revoked.is_empty(), "{first:?}");
    let issued = issue(&daemon);
    assert!(is_active(&mut verifier, &issued).await);

    // Nobody acknowledges: the revocation is in force, and the exit code says that one is late.
    let late =
        daemon.hotwork(&["revoke", "--api", "demo", "--reason", "leak", "--wait", "200ms", "-o", "json"]);
    assert_eq!(code(&late), 10, "{}", text(&late));
    let answer: serde_json::Value = serde_json::from_slice(&late.stdout).unwrap();
    assert_eq!(
        (answer["liveCredentials"].as_str(), answer["verifiers"][0]["connected"].as_bool()),
        (Some("1"), Some(true))
    );
    assert!(answer["residualTime"].is_string(), "{answer}");
    assert!(!is_active(&mut verifier, &issued).await);
    let told = next_end(&mut feed).await;
    assert_eq!(told.epoch.to_string(), answer["epoch"].as_str().unwrap());
    let end = &told.revoked[0];
    assert_eq!(end.selector.clone().unwrap().selector, Some(Selector::Api("demo".into())));
    assert!(end.issued_until.is_some() && end.forget_time.is_some(), "{end:?}");

    // One that acknowledges what it sees.
    let mut acknowledging = verifier.clone();
    let follow = tokio::spawn(async move {
        loop {
            let message = next(&mut feed).await;
            if message.epoch > 0 {
                let (label, epoch, subscription) = ("test".into(), message.epoch, message.subscription);
                let request = AcknowledgeEpochRequest { label, epoch, subscription };
                acknowledging.acknowledge_epoch(request).await.unwrap();
            }
        }
    });
    issue(&daemon);
    let done = tokio::task::spawn_blocking(move || {
        let output =
            daemon.hotwork(&["revoke", "--owner", "you", "--reason", "leak", "--yes", "--wait", "8s"]);
        (daemon, output)
    });
    let (daemon, output) = done.await.unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        shown.contains("#test acknowledged epoch") && shown.contains("ms at those that follow"),
        "{shown}"
    );
    let status = daemon.json(&["status"]);
    assert_eq!(
        (status["verifiersConnected"].as_u64(), status["verifiersCurrent"].as_u64()),
        (Some(1), Some(1))
    );
    follow.abort();
    let _ended = follow.await;
}

#[tokio::test]
async fn a_cursor_resumes_where_it_was_and_after_a_kill_a_snapshot_has_the_same_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let mut admin = daemon.admin().await;
    let issued = issue(&daemon);
    let mut verifier = daemon.verifier().await;
    let mut feed = watch(&mut verifier, 0).await;
    assert!(next(&mut feed).await.snapshot_begins);
    admin.revoke(request(Selector::Action("demo.read".into()))).await.unwrap();
    let first = next_end(&mut feed).await;
    assert_eq!(first.epoch_sha256.len(), 32);
    let second = admin.revoke(request(Selector::ResourcePrefix("demo".into()))).await.unwrap().into_inner();
    let mut feed = resume(&mut verifier, &first).await;
    let resumed = next(&mut feed).await;
    assert!(!resumed.snapshot_begins, "{resumed:?}");
    assert_eq!(resumed.revoked.iter().map(|end| end.epoch).collect::<Vec<_>>(), [second.epoch.unwrap()]);
    for (other, why) in [
        (WatchRevocationsResponse { epoch: u64::MAX, ..first.clone() }, "an epoch that never was"),
        (WatchRevocationsResponse { epoch_sha256: vec![7; 32], ..first.clone() }, "another log's"),
        (WatchRevocationsResponse { epoch: first.epoch + 1, ..first.clone() }, "no end's"),
        (WatchRevocationsResponse { epoch_sha256: Vec::new(), ..first.clone() }, "a number alone"),
    ] {
        let mut feed = resume(&mut verifier, &other).await;
        assert!(next(&mut feed).await.snapshot_begins, "{why}");
    }
    daemon.kill_nine();

    let daemon = Daemon::dev(&state);
    let mut verifier = daemon.verifier().await;
    assert!(!is_active(&mut verifier, &issued).await, "loaded before the listener opened");
    let mut feed = resume(&mut verifier, &first).await;
    let snapshot = next(&mut feed).await;
    assert!(snapshot.snapshot_begins, "the history is of this run");
    assert_eq!((Some(snapshot.epoch), snapshot.revoked.len()), (second.epoch, 2));
    let mut current = resume(&mut verifier, &snapshot).await;
    assert!(!next(&mut current).await.snapshot_begins, "whoever is current needs none");
}

#[test]
fn a_lock_refuses_with_its_message_until_it_is_removed_and_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let issued = issue(&daemon);
    let lock = daemon.json(&[
        "lock",
        "create",
        "--action",
        "demo.read",
        "--ttl",
        "30m",
        "--message",
        "frozen until noon",
    ]);
    let id = lock["lock"]["id"].as_str().unwrap().to_owned();
    let refused =
        |daemon: &Daemon| daemon.hotwork(&["issue", "demo.read", "--resource", "demo/hello", "-o", "json"]);
    let output = refused(&daemon);
    assert_eq!(code(&output), 3, "{}", text(&output));
    let failure: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(failure["reason"], "locked");
    assert!(failure["message"].as_str().unwrap().contains("frozen until noon"), "{failure}");
    let decision = failure["decisionId"].as_str().unwrap();
    let explained = daemon.json(&["explain", decision]);
    assert_eq!(explained["reason"], "locked", "the denial is recorded");
    assert!(explained["suggestion"].as_str().unwrap().contains(&format!("lock rm {id}")), "{explained}");
    // What was issued lives on, and what is not locked is issued.
    assert_eq!(
        daemon.json(&["credential", "show", issued["credential"]["id"].as_str().unwrap()])["credential"]["state"],
        "CREDENTIAL_STATE_LIVE"
    );
    daemon.json(&["issue", "demo.write", "--resource", "demo/hello"]);
    daemon.kill_nine();

    let daemon = Daemon::dev(&state);
    assert_eq!(code(&refused(&daemon)), 3);
    assert_eq!(daemon.json(&["lock", "list"])["locks"][0]["id"], id.as_str());
    daemon.json(&["lock", "rm", &id]);
    assert_eq!(code(&daemon.hotwork(&["lock", "rm", &id])), 1, "it is gone");
    issue(&daemon);
}

#[test]
fn revoke_with_lock_ends_and_refuses_in_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    issue(&daemon);
    let dry = daemon.json(&["revoke", "--tenant", "default", "--reason", "r", "--dry-run"]);
    assert_eq!(dry["liveCredentials"], "1");
    let done = daemon.json(&[
        "revoke",
        "--tenant",
        "default",
        "--reason",
        "compromised",
        "--lock",
        "--lock-ttl",
        "5m",
    ]);
    assert_eq!(
        (done["lockId"].clone(), done["liveCredentials"].as_str()),
        (done["logIndex"].clone(), Some("1"))
    );
    let refused = daemon.hotwork(&["issue", "demo.read", "--resource", "demo/hello"]);
    assert!(code(&refused) == 3 && text(&refused).contains("compromised"), "{}", text(&refused));
    assert_eq!(daemon.json(&["status"])["locks"], 1);
}

#[tokio::test]
async fn each_bad_field_of_locks_and_of_the_feed_is_named_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let (mut admin, mut verifier) = (daemon.admin().await, daemon.verifier().await);
    let size = daemon.json(&["status"])["logSize"].as_str().unwrap().parse::<u64>().unwrap();
    let all = || Some(RevocationSelector { selector: Some(Selector::All(true)) });
    let terms = |message: &str| Some(LockTerms { ttl: None, message: message.into() });
    for (message, field) in [
        (LockRequest { selector: None, terms: terms("x") }, "selector"),
        (LockRequest { selector: all(), terms: None }, "terms"),
        (LockRequest { selector: all(), terms: terms("") }, "terms.message"),
        (LockRequest { selector: all(), terms: terms("a\nb") }, "terms.message"),
    ] {
        let status = admin.lock(message).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().starts_with(field), "{status:?}");
    }
    let watch = WatchRevocationsRequest { label: "a b".into(), instance: 1, ..Default::default() };
    let status = verifier.watch_revocations(watch).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().starts_with("label"), "{status:?}");
    let ack = |label: &str, epoch| AcknowledgeEpochRequest { label: label.into(), epoch, subscription: 7 };
    let status = verifier.acknowledge_epoch(ack("a b", 0)).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().starts_with("label"), "{status:?}");
    let status = verifier.acknowledge_epoch(ack("", u64::MAX)).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().starts_with("epoch"), "{status:?}");
    let status = verifier.acknowledge_epoch(ack("", 0)).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::FailedPrecondition,
        "who does not follow acknowledges nothing: {status:?}"
    );
    assert!(daemon.json(&["lock", "list"])["locks"].as_array().is_none_or(Vec::is_empty));
    // The refused calls of operators are in the log, with those that looked, and nothing else is.
    let log = String::from_utf8(daemon.hotwork(&["audit", "tail", "-n", "50"]).stdout).unwrap();
    let words = log.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let new: Vec<_> = words.filter(|line| line[0].parse::<u64>().unwrap() >= size).collect();
    assert!(new.iter().all(|line| line[2] == "call"), "{log}");
    let refused = new.iter().filter(|line| line[4].ends_with("/Lock") && line.contains(&"REFUSED:"));
    assert_eq!(refused.count(), 4, "{log}");
}

/// The support example with one operator, of the tenant `acme` only.
fn scoped(dir: &std::path::Path) -> Daemon {
    let config = example("support", dir);
    let uid = rustix::process::getuid().as_raw();
    let operators = format!(
        "[[operator]]\nname = \"carol\"\nuid = {uid}\nroles = [\"revoker\", \"viewer\"]\ntenants = [\"acme\"]\n"
    );
    std::fs::write(config.parent().unwrap().join("operators.toml"), operators).unwrap();
    let mut daemon = Daemon::serve(&config, &dir.join("state"));
    let socket = |name: &str| format!("unix://{}", dir.join("state").join(name).display());
    daemon.env.insert("HOTWORK_ENDPOINT".into(), socket("agent.sock"));
    daemon.env.insert("HOTWORK_ADMIN_ENDPOINT".into(), socket("admin.sock"));
    daemon
}

#[tokio::test]
async fn an_operator_of_one_tenant_reaches_nothing_of_another_and_can_not_tell_it_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = scoped(dir.path());
    let said = |arguments: &[&str]| {
        let output = daemon.hotwork(&[arguments, &["--reason", "r", "-o", "json"]].concat());
        (code(&output), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for [theirs, none] in [
        ["spiffe://example.org/tenant/globex/agent/desk", "spiffe://example.org/tenant/nowhere/agent/desk"],
        ["globex", "nowhere"],
    ] {
        let flag = if theirs.contains('/') { "--agent" } else { "--tenant" };
        assert_eq!(said(&["revoke", flag, theirs]), said(&["revoke", flag, none]));
        assert_ne!(said(&["revoke", flag, theirs]).0, 0);
    }
    assert_eq!(said(&["revoke", "--all"]).0, 3);
    // What reaches over tenants is recorded for theirs only.
    let done = daemon.json(&["revoke", "--principal", "user:1", "--reason", "r", "--lock"]);
    let locks = daemon.json(&["lock", "list"]);
    assert_eq!(
        (&locks["locks"][0]["id"], &locks["locks"][0]["tenants"]),
        (&done["lockId"], &serde_json::json!(["acme"]))
    );
    let mut verifier = daemon.verifier().await;
    let status = verifier
        .watch_revocations(WatchRevocationsRequest { instance: 1, ..Default::default() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "the feed names every tenant's agents: {status:?}");
    let status = verifier.acknowledge_epoch(AcknowledgeEpochRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn what_a_broad_revocation_ended_can_not_be_given_back_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let issued = daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let id = issued["credential"]["id"].as_str().unwrap();
    daemon.json(&["revoke", "--action", "demo.read", "--reason", "test"]);
    let released = daemon.hotwork(&["credential", "release", id]);
    assert_eq!(released.status.code(), Some(9), "{}", crate::support::text(&released));
    let log = crate::support::text(&daemon.hotwork(&["audit", "tail", "-o", "json"]));
    assert!(log.contains("revoke") && !log.contains("\\\"release\\\""), "{log}");
}

#[tokio::test]
async fn what_has_ended_is_not_revoked_again_whether_its_record_is_in_memory_or_on_disk_only() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let by_id = |issued: &serde_json::Value| {
        request(Selector::CredentialId(issued["credential"]["id"].as_str().unwrap().to_owned()))
    };
    let first = issue(&daemon);
    let mut admin = daemon.admin().await;
    admin.revoke(request(Selector::Action("demo.read".into()))).await.unwrap();
    let second = issue(&daemon);
    let again = admin.revoke(by_id(&first)).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "{again:?}");
    daemon.kill_nine();

    let daemon = Daemon::dev(&state);
    let mut admin = daemon.admin().await;
    let still = admin.revoke(by_id(&first)).await.unwrap_err();
    assert_eq!((still.code(), still.message()), (again.code(), again.message()));
    assert_eq!(admin.revoke(by_id(&second)).await.unwrap().into_inner().live_credentials, 1);
    let ended = admin.revoke(by_id(&second)).await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition, "{ended:?}");
}

#[test]
fn live_counts_are_exact_after_every_kind_of_revocation() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let counts = || {
        let agents = daemon.json(&["agent", "list"]);
        let status = daemon.json(&["status"]);
        let at_most = |answer: &serde_json::Value| answer["liveIsUpperBound"] == true;
        assert!(!at_most(&agents["agents"][0]) && !at_most(&status));
        let count = |answer: &serde_json::Value| answer["liveCredentials"].as_str().unwrap_or("0").to_owned();
        (count(&agents["agents"][0]), count(&status))
    };
    let uid = format!("unix.uid={}", rustix::process::getuid().as_raw());
    let program = Digest::of(&std::fs::read(env!("CARGO_BIN_EXE_hotwork")).unwrap());
    let program = format!("unix.sha256={program}");
    for selector in [
        ["--api", "demo"],
        ["--attested", &uid],
        ["--attested", &program],
        ["--resource-prefix", "demo"],
        ["--action", "demo.read"],
    ] {
        issue(&daemon);
        issue(&daemon);
        assert_eq!(counts(), ("2".into(), "2".into()), "{selector:?}");
        let output = daemon.hotwork(&[&["revoke", "--reason", "test", "--yes"], &selector[..]].concat());
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(counts(), ("0".into(), "0".into()), "{selector:?}");
    }
    // What comes after it counts again, and what an ordinary end takes is told as ever.
    let one = issue(&daemon);
    assert_eq!(counts(), ("1".into(), "1".into()));
    let id = one["credential"]["id"].as_str().unwrap();
    assert!(daemon.hotwork(&["revoke", "--credential", id, "--reason", "test"]).status.success());
    assert_eq!(counts(), ("0".into(), "0".into()));
}
