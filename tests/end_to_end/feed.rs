//! The feed under load and at the end: a subscriber that stalls, a drain, races, and the bench.

use std::time::{Duration, Instant};

use hotwork::proto::v1::{
    IntrospectRequest, IssueTokenRequest, ListVerifiersRequest, WatchRevocationsRequest, introspect_request,
    revocation_selector::Selector,
};
use tonic::Code;
use tonic::transport::Channel;

use crate::revocation::{PATIENCE, next, request, watch};
use crate::support::Daemon;

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_dropped_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut stalled_client = daemon.verifier().await;
    let message = WatchRevocationsRequest { label: "stalled".into(), instance: 1, ..Default::default() };
    let mut stalled = stalled_client.watch_revocations(message).await.unwrap().into_inner();
    let mut good_client = daemon.verifier().await;
    let mut good = watch(&mut good_client, 0).await;
    let mut admin = daemon.admin().await;
    let connected = async |admin: &mut hotwork::proto::v1::admin_service_client::AdminServiceClient<
        Channel,
    >| {
        let list = admin.list_verifiers(ListVerifiersRequest {}).await.unwrap().into_inner();
        list.verifiers.into_iter().any(|verifier| verifier.name.ends_with("#stalled") && verifier.connected)
    };
    let reading = tokio::spawn(async move {
        let mut newest = 0;
        while let Ok(Some(message)) = good.message().await {
            newest = message.epoch.max(newest);
            if message.revoked.iter().any(|end| {
                end.tenants.is_empty()
                    && end
                        .selector
                        .as_ref()
                        .is_some_and(|selector| selector.selector == Some(Selector::Owner("last".into())))
            }) {
                break;
            }
        }
        newest
    });
    // Long owners fill the windows soon; more than they hold must wait.
    let until = Instant::now() + Duration::from_secs(60);
    let mut number = 0;
    while connected(&mut admin).await {
        assert!(Instant::now() < until, "still connected");
        let calls = (0..16).map(|_| {
            number += 1;
            let mut admin = admin.clone();
            let owner = format!("{number} {}", "x".repeat(2000));
            tokio::spawn(async move { admin.revoke(request(Selector::Owner(owner))).await.map(drop) })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
    }
    let last = admin.revoke(request(Selector::Owner("last".into()))).await.unwrap().into_inner();
    let seen = tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert_eq!(Some(seen), last.epoch);
    let status = loop {
        match tokio::time::timeout(PATIENCE, stalled.message()).await.unwrap() {
            Ok(Some(_)) => {}
            other => break other.unwrap_err(),
        }
    };
    assert!(matches!(status.code(), Code::ResourceExhausted | Code::Aborted), "{status:?}");
}

#[tokio::test]
async fn a_drain_ends_the_feed_and_not_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut verifier = daemon.verifier().await;
    let mut feed = watch(&mut verifier, 0).await;
    next(&mut feed).await;
    let stopped = tokio::task::spawn_blocking(move || daemon.stop());
    let status = loop {
        match tokio::time::timeout(PATIENCE, feed.message()).await.unwrap() {
            Ok(Some(_)) => {}
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(stopped.await.unwrap(), 0);
}

#[test]
fn the_bench_of_revocation_runs_and_every_subscriber_sees_everything() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let figures = daemon.json(&[
        "bench",
        "revoke",
        "--subscribers",
        "5",
        "--callers",
        "2",
        "--revocations",
        "40",
        "--credentials",
        "64",
        "--revoked-before",
        "64",
        "--live-before",
        "128",
        "--fetch",
        &daemon.env["HOTWORK_HTTP"],
    ]);
    assert_eq!((figures["missed"].as_u64(), figures["revocations"].as_u64()), (Some(0), Some(40)));
    assert_eq!(figures["bulkCredentials"].as_u64(), Some(64));
    // Half of those that were live are certificates, and on the CRL: 67 bytes each.
    assert!(figures["fetched"].as_u64() >= Some(2), "{figures}");
    assert!(figures["fetchedBytesMax"].as_u64() > Some(64 * 67), "{figures}");
}

#[tokio::test]
async fn a_credential_minted_while_its_revocation_was_recorded_is_dead() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let (mut admin, mut verifier) = (daemon.admin().await, daemon.verifier().await);
    for _ in 0..50 {
        let mut agent = daemon.agent().await;
        let issuing = tokio::spawn(async move {
            let request = Some(hotwork::proto::v1::ActionRequest {
                action: "demo.read".into(),
                resource: "demo/hello".into(),
                ..Default::default()
            });
            agent.issue_token(IssueTokenRequest { request, binding: None }).await
        });
        let revoked = admin.revoke(request(Selector::Action("demo.read".into()))).await.unwrap().into_inner();
        if let Ok(issued) = issuing.await.unwrap() {
            let issued = issued.into_inner();
            let before = issued.credential.unwrap().log_index < revoked.log_index.unwrap();
            let credential = Some(introspect_request::Credential::Token(issued.token));
            let active =
                verifier.introspect(IntrospectRequest { credential }).await.unwrap().into_inner().active;
            assert_eq!(active, !before);
        }
    }
}

#[tokio::test]
async fn who_is_no_operator_any_more_follows_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut client = daemon.verifier().await;
    let mut feed = watch(&mut client, 0).await;
    assert!(feed.message().await.unwrap().is_some(), "the snapshot");
    let path = daemon.state.join("config/operators.toml");
    let mine = std::fs::read_to_string(&path).unwrap();
    let scoped = mine.replace("tenants = []", "tenants = [\"default\"]");
    assert_ne!(scoped, mine);
    std::fs::write(&path, scoped).unwrap();
    assert_eq!(daemon.json(&["reload"])["changed"], true);
    let ended = async {
        while let Some(message) = feed.message().await? {
            assert!(message.revoked.is_empty());
        }
        Ok(())
    };
    // Heartbeats alone would keep it open for good.
    let ended: Result<(), tonic::Status> = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    let ended = ended.unwrap_err();
    assert_eq!(ended.code(), Code::PermissionDenied, "{ended:?}");
}
