//! Revocation over the network: a revoker at operators' listener, verifiers of different identity at theirs, who follow,
//! acknowledge and race for calls. The crate's own follower reaches its broker over a [`Relay`], which outlives the daemon.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotwork::clock::SystemClock;
use hotwork::feed;
use hotwork::feed::connect::{ConnectError, Remote};
use hotwork::proto::v1;
use hotwork::proto::v1::consume_request::Credential;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use hotwork::signer::extension::OidArc;
use hotwork::verify::{Followed, WhenLost};
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

use crate::pki::{Identity, TestCa, address, channel};
use crate::relay::Relay;
use crate::support::{Daemon, code, text};
use crate::{add_operator, enroll, hotwork, restart, start};

pub const VERIFIER: &str = "HOTWORK_VERIFIER_ENDPOINT";
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls at once.
const RACERS: usize = 64;
/// What `demo.write` counts to in the demo registry.
const COUNTED: usize = 3;

/// The way of an enrolled verifier to its broker.
pub fn remote(dir: &Path, name: &str, at: std::net::SocketAddr) -> Remote {
    let file = |file: &str| dir.join(format!("verifier-{name}")).join(file);
    Remote {
        endpoint: format!("https://{at}"),
        trust_domain: "dev.hotwork.example".parse().unwrap(),
        cert: file("cert.pem"),
        key: file("key.pem"),
        roots: file("ca.pem"),
    }
}

/// Waits until it holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within half a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `hotwork revoke ... --wait` of an enrolled operator over TCP.
pub async fn revoke(daemon: &Arc<Daemon>, files: &Path, wait: &str) -> (i32, serde_json::Value) {
    let (daemon, files, wait) = (Arc::clone(daemon), files.to_owned(), wait.to_owned());
    let run = move || {
        let line = ["revoke", "--api", "demo", "--reason", "leak", "--yes", "--wait", &wait, "-o", "json"];
        let output = hotwork(&daemon, &files, &line);
        let answer = serde_json::from_slice(&output.stdout);
        (code(&output), answer.unwrap_or_else(|error| panic!("{error}: {}", text(&output))))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Whose acknowledgement there is, by name.
fn acknowledged(answer: &serde_json::Value) -> BTreeMap<String, bool> {
    let number = |value: &serde_json::Value| value.as_str().map_or(0, |text| text.parse::<u64>().unwrap());
    let epoch = number(&answer["epoch"]);
    let of = |verifier: &serde_json::Value| {
        (verifier["name"].as_str().unwrap().to_owned(), number(&verifier["acknowledgedEpoch"]) >= epoch)
    };
    // Of `others` the broker speaks in its first seconds.
    let known =
        answer["verifiers"].as_array().unwrap().iter().filter(|verifier| verifier["name"] != "others");
    known.map(of).collect()
}

async fn watch(client: &mut VerificationServiceClient<Channel>) -> Streaming<v1::WatchRevocationsResponse> {
    let ask = v1::WatchRevocationsRequest { label: "by-hand".into(), instance: 1, ..Default::default() };
    client.watch_revocations(ask).await.unwrap().into_inner()
}

async fn next(feed: &mut Streaming<v1::WatchRevocationsResponse>) -> v1::WatchRevocationsResponse {
    tokio::time::timeout(PATIENCE, feed.message()).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoker_waits_for_enrolled_verifiers_and_hears_which_is_late() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Arc::new(start(dir.path(), &TestCa::new()));
    add_operator(&daemon, "rae", "\"revoker\"");
    enroll(&daemon, "operator", "rae", dir.path());
    let rae = dir.path().join("operator-rae");
    enroll(&daemon, "verifier", "one", dir.path());
    let two = enroll(&daemon, "verifier", "two", dir.path());

    // One follows with the crate, as a service would; the other by hand, and does not acknowledge.
    let channel_of_one = remote(dir.path(), "one", address(&daemon, VERIFIER)).channel().await.unwrap();
    let state = Arc::new(Followed::new(15, WhenLost::Strict));
    let (followed, clock) = (Arc::clone(&state), Arc::new(SystemClock::new()));
    let follow = tokio::spawn(async move { feed::follow(channel_of_one, followed, clock, "crate").await });
    let mut client = VerificationServiceClient::new(channel(&daemon, VERIFIER, Some(&two)).await.unwrap());
    let mut by_hand = watch(&mut client).await;
    assert!(next(&mut by_hand).await.snapshot_begins);
    let both = || daemon.json(&["status"])["verifiersConnected"] == 2;
    until("both follow", both).await;

    daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let (code, answer) = revoke(&daemon, &rae, "2s").await;
    assert_eq!((code, answer["liveCredentials"].as_str()), (10, Some("1")), "{answer}");
    let by_name = acknowledged(&answer);
    let [(one, true), (two, false)] =
        by_name.iter().map(|(name, has)| (&**name, *has)).collect::<Vec<_>>()[..]
    else {
        panic!("{answer}")
    };
    assert!(one.contains("verifier/one") && two.contains("verifier/two"), "{answer}");

    // It acknowledges what it hears from now on.
    let answering = tokio::spawn(async move {
        loop {
            let v1::WatchRevocationsResponse { epoch, subscription, .. } = next(&mut by_hand).await;
            let acknowledge = v1::AcknowledgeEpochRequest { label: "by-hand".into(), epoch, subscription };
            client.acknowledge_epoch(acknowledge).await.unwrap();
        }
    });
    let (code, answer) = revoke(&daemon, &rae, "8s").await;
    assert_eq!(
        (code, acknowledged(&answer).into_values().collect::<Vec<_>>()),
        (0, vec![true, true]),
        "{answer}"
    );
    assert_eq!(answer["epoch"], state.epoch().to_string(), "the crate's follower is there, too");

    // A verifier is no revoker, and a revoker follows no feed.
    let as_verifier =
        hotwork(&daemon, &dir.path().join("verifier-one"), &["revoke", "--all", "--reason", "x", "--yes"]);
    assert_ne!(crate::support::code(&as_verifier), 0);
    let identity = Identity::read(&rae);
    if let Ok(open) = channel(&daemon, VERIFIER, Some(&identity)).await {
        let ask = v1::WatchRevocationsRequest { instance: 1, ..Default::default() };
        assert!(VerificationServiceClient::new(open).watch_revocations(ask).await.is_err());
    }
    follow.abort();
    answering.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_instances_with_one_name_and_label_both_have_to_acknowledge() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Arc::new(start(dir.path(), &TestCa::new()));
    add_operator(&daemon, "rae", "\"revoker\"");
    enroll(&daemon, "operator", "rae", dir.path());
    let rae = dir.path().join("operator-rae");
    let identity = enroll(&daemon, "verifier", "one", dir.path());
    let mut instances = Vec::new();
    for _ in 0..2 {
        let mut client =
            VerificationServiceClient::new(channel(&daemon, VERIFIER, Some(&identity)).await.unwrap());
        let mut feed = watch(&mut client).await;
        let first = next(&mut feed).await;
        assert!(first.snapshot_begins);
        instances.push((client, feed, first.subscription));
    }
    let [(first, first_feed, one), (second, second_feed, two)] = &mut instances[..] else { panic!() };
    let ack =
        |epoch, subscription| v1::AcknowledgeEpochRequest { label: "by-hand".into(), epoch, subscription };
    // What does not say which of them it is, is none of them.
    let unsaid = first.acknowledge_epoch(ack(0, 0)).await.unwrap_err();
    assert!(
        unsaid.code() == tonic::Code::InvalidArgument && unsaid.message().starts_with("subscription"),
        "{unsaid:?}"
    );
    let unknown = first.acknowledge_epoch(ack(0, (*one).max(*two).wrapping_add(1))).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::FailedPrecondition, "{unknown:?}");
    let (revoked, ()) = tokio::join!(revoke(&daemon, &rae, "2s"), async {
        let epoch = next(first_feed).await.epoch;
        first.acknowledge_epoch(ack(epoch, *one)).await.unwrap();
    });
    assert_eq!(revoked.0, 10, "one of the two has not: {}", revoked.1);
    let (revoked, ()) = tokio::join!(revoke(&daemon, &rae, "8s"), async {
        next(second_feed).await;
        for (client, feed, number) in [(&mut *first, first_feed, *one), (&mut *second, second_feed, *two)] {
            let epoch = next(feed).await.epoch;
            client.acknowledge_epoch(ack(epoch, number)).await.unwrap();
        }
    });
    assert_eq!((revoked.0, acknowledged(&revoked.1).len()), (0, 1), "{}", revoked.1);
    assert_eq!(revoked.1["verifiers"][0]["streams"], 2, "{}", revoked.1);
    assert_eq!(daemon.json(&["status"])["verifiersConnected"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_on_another_host_comes_back_after_a_cut_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    enroll(&daemon, "verifier", "one", dir.path());
    let relay = Relay::new(address(&daemon, VERIFIER)).await;
    // The broker of another trust domain is not taken for this one, though the root is the same.
    let other =
        Remote { trust_domain: "other.example".parse().unwrap(), ..remote(dir.path(), "one", relay.address) };
    assert!(matches!(other.channel().await, Err(ConnectError::NotTheBroker)));
    let channel = remote(dir.path(), "one", relay.address).channel().await.unwrap();
    let arc: OidArc = OidArc::EXAMPLE.parse().unwrap();
    feed::trust(channel.clone(), arc.clone()).await.unwrap();
    let state = Arc::new(Followed::new(15, WhenLost::Strict));
    let (followed, clock, followed_by) = (Arc::clone(&state), Arc::new(SystemClock::new()), channel.clone());
    let follow = tokio::spawn(async move { feed::follow(followed_by, followed, clock, "crate").await });
    let revoke = |daemon: &Daemon| {
        let line = ["revoke", "--api", "demo", "--reason", "leak", "--yes"];
        daemon.json(&line)["epoch"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let first = revoke(&daemon);
    until("it follows", || state.epoch() == first).await;
    relay.cut();
    let second = revoke(&daemon);
    until("it comes back after a cut", || state.epoch() == second).await;
    let third = revoke(&daemon);
    daemon.kill_nine();
    let daemon = restart(dir.path());
    relay.point(address(&daemon, VERIFIER));
    let fourth = revoke(&daemon);
    assert!(fourth > third);
    until("it comes back after a kill", || state.epoch() == fourth).await;
    feed::trust(channel, arc).await.unwrap();
    follow.abort();
}

fn token(daemon: &Daemon) -> String {
    let issued = daemon.json(&["issue", "demo.write", "--resource", "demo/hello"]);
    issued["token"].as_str().unwrap().to_owned()
}

/// Two connections of each identity, in turn.
async fn clients(daemon: &Daemon, identities: [&Identity; 2]) -> Vec<VerificationServiceClient<Channel>> {
    let mut clients = Vec::new();
    for identity in [identities, identities].concat() {
        let channel = channel(daemon, VERIFIER, Some(identity)).await.unwrap();
        clients.push(VerificationServiceClient::new(channel));
    }
    clients
}

type Granted = BTreeMap<String, u32>;

/// One call under each key, all at once; which were granted, with the calls that were left, and how many were not answered.
async fn race(
    clients: &[VerificationServiceClient<Channel>],
    token: &str,
    keys: &[String],
) -> (Granted, usize) {
    let mut calls = tokio::task::JoinSet::new();
    for (at, key) in keys.iter().enumerate() {
        let (mut client, key) = (clients[at % clients.len()].clone(), key.clone());
        let credential = Some(Credential::Token(token.to_owned()));
        let ask = v1::ConsumeRequest { credential, idempotency_key: key.clone() };
        calls.spawn(async move { (key, client.consume(ask).await) });
    }
    let (mut granted, mut unanswered) = (Granted::new(), 0);
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            (key, Ok(answer)) => {
                granted.insert(key, answer.into_inner().calls_left);
            }
            (_, Err(status)) if status.code() == Code::PermissionDenied => {
                let reason = status.get_details_error_info().unwrap().reason;
                assert_eq!(reason, "calls-exhausted");
            }
            (_, Err(_)) => unanswered += 1,
        }
    }
    (granted, unanswered)
}

fn left(granted: &Granted) -> Vec<u32> {
    let mut left: Vec<u32> = granted.values().copied().collect();
    left.sort_unstable();
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn two_verifiers_race_for_the_calls_of_one_credential_and_exactly_those_are_granted() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = start(dir.path(), &TestCa::new());
    let (one, two) =
        (enroll(&daemon, "verifier", "one", dir.path()), enroll(&daemon, "verifier", "two", dir.path()));
    let keys: Vec<String> = (0..RACERS).map(|at| format!("call-{at}")).collect();
    let all: Vec<u32> = (0..COUNTED as u32).collect();
    for _ in 0..3 {
        let clients = clients(&daemon, [&one, &two]).await;
        let (granted, unanswered) = race(&clients, &token(&daemon), &keys).await;
        assert_eq!((left(&granted), unanswered), (all.clone(), 0));
    }

    // Killed in the middle of it: whoever was granted a call has it, and all together have as many as there are.
    let mut cut = 0;
    for cycle in 0..4_u64 {
        let token = token(&daemon);
        let racing = clients(&daemon, [&one, &two]).await;
        let (of_race, of_keys) = (token.clone(), keys.clone());
        let race_on = tokio::spawn(async move { race(&racing, &of_race, &of_keys).await });
        tokio::time::sleep(Duration::from_millis(2 + cycle * 6)).await;
        daemon.kill_nine();
        let (before, unanswered) = race_on.await.unwrap();
        cut += unanswered;
        daemon = restart(dir.path());
        let (after, unanswered) = race(&clients(&daemon, [&one, &two]).await, &token, &keys).await;
        assert_eq!((left(&after), unanswered), (all.clone(), 0), "cycle {cycle}");
        for (key, left) in before {
            assert_eq!(after.get(&key), Some(&left), "cycle {cycle}: {key} was granted before the kill");
        }
    }
    assert!(cut > 0, "no race was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_names_a_call_of_a_credential_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = start(dir.path(), &TestCa::new());
    let (one, two) =
        (enroll(&daemon, "verifier", "one", dir.path()), enroll(&daemon, "verifier", "two", dir.path()));
    let clients = clients(&daemon, [&one, &two]).await;
    let token = token(&daemon);
    let mut answers = Vec::new();
    for client in &clients[..2] {
        let (granted, _) = race(std::slice::from_ref(client), &token, &["same".to_owned()]).await;
        answers.push(granted);
    }
    assert_eq!(answers[0], Granted::from([("same".to_owned(), 2)]));
    assert_eq!(answers[1], answers[0], "the other verifier's call with this key is the same call");
    let (granted, _) = race(&clients[1..2], &token, &["another".to_owned()]).await;
    assert_eq!(left(&granted), [1], "one was debited by both together");
}
