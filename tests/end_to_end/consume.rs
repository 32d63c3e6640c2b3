//! Promise P7 with the real daemon: a single-use credential is used once, over races, verifiers, retries
//! and `kill -9`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hotwork::proto::v1::consume_request::Credential;
use hotwork::proto::v1::parameter::Value;
use hotwork::proto::v1::{
    ActionRequest, ConsumeRequest, ConsumeResponse, IssueCertificateRequest, IssueTokenRequest, Parameter,
    issue_certificate_request,
};
use tonic::{Code, Status};

use crate::support::{Daemon, code, text};

/// Calls at once.
const RACERS: usize = 64;
/// What `demo.write` counts to in the demo registry.
const COUNTED: usize = 3;

fn request(action: &str) -> ActionRequest {
    let amount = Parameter { name: "amount".to_owned(), value: Some(Value::Integer(5)) };
    ActionRequest {
        action: action.to_owned(),
        resource: "demo/hello".to_owned(),
        parameters: if action == "demo.transfer" { vec![amount] } else { vec![] },
        ..ActionRequest::default()
    }
}

async fn token(daemon: &Daemon, action: &str) -> String {
    let request = IssueTokenRequest { request: Some(request(action)), binding: None };
    daemon.agent().await.issue_token(request).await.unwrap().into_inner().token
}

fn message(token: &str, key: &str) -> ConsumeRequest {
    let credential = Some(Credential::Token(token.to_owned()));
    ConsumeRequest { credential, idempotency_key: key.to_owned() }
}

async fn consume(daemon: &Daemon, token: &str, key: &str) -> Result<ConsumeResponse, Status> {
    daemon.verifier().await.consume(message(token, key)).await.map(tonic::Response::into_inner)
}

fn reason(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_details_error_info().unwrap().reason
}

/// Sends all calls at once over several verifiers' connections; gives what was granted.
async fn race(daemon: &Daemon, token: &str) -> Vec<ConsumeResponse> {
    let mut calls = Vec::new();
    for verifier in 0..4 {
        // Each half of the verifiers is on one of the two sockets.
        let variable = if verifier % 2 == 0 { "HOTWORK_ENDPOINT" } else { "HOTWORK_ADMIN_ENDPOINT" };
        let channel = daemon.channel(variable).await;
        for call in 0..RACERS / 4 {
            let client = hotwork::proto::v1::verification_service_client::VerificationServiceClient::new(
                channel.clone(),
            );
            let message = message(token, &format!("call-{verifier}-{call}"));
            calls.push(tokio::spawn(async move { client.clone().consume(message).await }));
        }
    }
    let mut granted = Vec::new();
    for call in calls {
        match call.await.unwrap() {
            Ok(answer) => granted.push(answer.into_inner()),
            Err(status) => {
                assert_eq!(
                    (status.code(), reason(&status).as_str()),
                    (Code::PermissionDenied, "calls-exhausted")
                );
            }
        }
    }
    granted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixty_four_racers_exactly_as_many_win_as_there_are_calls() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    for _ in 0..5 {
        let granted = race(&daemon, &token(&daemon, "demo.transfer").await).await;
        assert_eq!(granted.len(), 1);
        assert_eq!(granted[0].calls_left, 0);
    }
    let granted = race(&daemon, &token(&daemon, "demo.write").await).await;
    let mut left: Vec<u32> = granted.iter().map(|answer| answer.calls_left).collect();
    left.sort_unstable();
    assert_eq!(left, (0..COUNTED as u32).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_gets_the_same_answer_over_kill_nine_and_debits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let daemon = Daemon::dev(&state);
    let token = token(&daemon, "demo.write").await;
    let first = consume(&daemon, &token, "call-1").await.unwrap();
    assert_eq!(consume(&daemon, &token, "call-1").await.unwrap(), first);
    daemon.kill_nine();
    // The index is disposable: the debits are in the journal.
    std::fs::remove_dir_all(state.join("index")).unwrap();
    let daemon = Daemon::dev(&state);
    assert_eq!(consume(&daemon, &token, "call-1").await.unwrap(), first);
    assert_eq!(consume(&daemon, &token, "call-2").await.unwrap().calls_left, 1);
    assert_eq!(consume(&daemon, &token, "call-3").await.unwrap().calls_left, 0);
    let refused = consume(&daemon, &token, "call-4").await.unwrap_err();
    assert_eq!(reason(&refused), "calls-exhausted");
}

/// Verifiers race for calls while the daemon is killed. What was acknowledged before, counts after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_debit_is_lost_over_kill_nine() {
    let cycles: u64 = std::env::var("HOTWORK_KILL_CYCLES").map_or(10, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut acknowledged_in_all = 0;
    for cycle in 0..cycles {
        let daemon = Daemon::dev(&state);
        let mut tokens = Vec::new();
        for _ in 0..50 {
            tokens.push(token(&daemon, "demo.write").await);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut verifiers = Vec::new();
        for verifier in 0..4 {
            let (mut client, stop, tokens) = (daemon.verifier().await, Arc::clone(&stop), tokens.clone());
            verifiers.push(tokio::spawn(async move {
                let mut acknowledged = vec![0_usize; tokens.len()];
                for (at, token) in tokens.iter().enumerate() {
                    for call in 0..COUNTED {
                        if stop.load(Ordering::Relaxed) {
                            return acknowledged;
                        }
                        match client.consume(message(token, &format!("{verifier}-{call}"))).await {
                            Ok(_) => acknowledged[at] += 1,
                            Err(status) if status.code() == Code::PermissionDenied => {}
                            Err(_) => return acknowledged,
                        }
                    }
                }
                acknowledged
            }));
        }
        tokio::time::sleep(Duration::from_millis(3 + cycle * 13 % 40)).await;
        daemon.kill_nine();
        stop.store(true, Ordering::Relaxed);
        let mut acknowledged = vec![0; tokens.len()];
        for verifier in verifiers {
            for (sum, more) in acknowledged.iter_mut().zip(verifier.await.unwrap()) {
                *sum += more;
            }
        }
        let daemon = Daemon::dev(&state);
        for (token, before) in tokens.iter().zip(&acknowledged) {
            let mut after = 0;
            while consume(&daemon, token, &format!("after-{after}")).await.is_ok() {
                after += 1;
            }
            // A debit that was recorded and not acknowledged takes a call away; never is there one more.
            assert!(before + after <= COUNTED, "{before} before and {after} after");
            acknowledged_in_all += before;
        }
    }
    assert!(acknowledged_in_all > 0, "the load must reach the broker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_live_or_not_counted_is_not_consumed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let (write, read) = (token(&daemon, "demo.write").await, token(&daemon, "demo.read").await);
    let refused = |result: Result<ConsumeResponse, Status>| {
        let status = result.unwrap_err();
        (status.code(), reason(&status))
    };
    let not_live = (Code::PermissionDenied, "credential-not-live".to_owned());
    let not_counted = (Code::FailedPrecondition, "calls-not-counted".to_owned());
    assert_eq!(refused(consume(&daemon, &read, "k").await), not_counted);
    assert_eq!(refused(consume(&daemon, "a.b.c", "k").await), not_live);
    // Not the last character: it has bits that say nothing.
    let (head, tail) = write.split_at(write.len() - 10);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    let forged = format!("{head}{other}{}", &tail[1..]);
    assert_eq!(refused(consume(&daemon, &forged, "k").await), not_live);
    for key in ["", "a b", "\n", &"k".repeat(65)] {
        let status = consume(&daemon, &write, key).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{key:?}");
        assert!(status.message().starts_with("idempotency_key: expected"), "{}", status.message());
    }
    assert!(consume(&daemon, &write, &"k".repeat(64)).await.is_ok());
    assert!(daemon.hotwork(&["revoke", "--all", "--reason", "test", "--yes"]).status.success());
    for key in [&"k".repeat(64)[..], "other"] {
        assert_eq!(refused(consume(&daemon, &write, key).await), not_live, "also a retry");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_consumed_as_a_token_is() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let key = Some(issue_certificate_request::Key::GenerateKey(true));
    let issue = IssueCertificateRequest { request: Some(request("demo.transfer")), key };
    let issued = daemon.agent().await.issue_certificate(issue).await.unwrap().into_inner();
    let file = dir.path().join("cert.pem");
    std::fs::write(&file, issued.certificate_pem).unwrap();
    let file = file.to_str().unwrap();
    let consume = |key: &str| daemon.hotwork(&["credential", "consume", file, "--idempotency-key", key]);
    for (key, expected) in [("one", 0), ("two", 6), ("one", 0)] {
        let output = consume(key);
        assert_eq!(code(&output), expected, "{key}: {}", text(&output));
    }
    let entries = daemon.json(&["audit", "tail", "-n", "50"]).to_string();
    assert_eq!(entries.matches("consume").count(), 1, "one debit, one entry: {entries}");
}
