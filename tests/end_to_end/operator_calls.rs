//! Promise P9 for operators: each call of theirs is in the log once, whatever became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use hotwork::api::authz;
use hotwork::broker::operate::Audit;
use hotwork::domain::digest::Digest;
use hotwork::domain::entry::{Call, Entry, Event};
use hotwork::proto::v1::admin_service_client::AdminServiceClient;
use hotwork::proto::v1::{ListAgentsRequest, ReloadRegistryRequest};
use tonic_types::StatusExt as _;

use crate::bad_input::contract::{call, methods};
use crate::scene::{NAMESPACE, Scene};
use crate::support::{Daemon, eventually, text};

/// The calls in the log from the entry `from` on, but for the one that asks for them; and how many entries there are.
fn calls(daemon: &Daemon, from: u64) -> (Vec<Call>, u64) {
    let tail = daemon.hotwork(&["audit", "tail", "-n", "1000", "-o", "json"]);
    let tail: serde_json::Value =
        serde_json::from_slice(&tail.stdout).unwrap_or_else(|_| panic!("{}", text(&tail)));
    let index =
        |entry: &serde_json::Value| entry["index"].as_str().map_or(0, |index| index.parse::<u64>().unwrap());
    let entries = tail["entries"].as_array().unwrap();
    let newer = entries.iter().filter(|entry| index(entry) >= from);
    let events =
        newer.map(|entry| Entry::from_json(entry["json"].as_str().unwrap().as_bytes()).unwrap().event);
    let calls = events.filter_map(|event| if let Event::Call(call) = event { Some(call) } else { None });
    let mut calls: Vec<Call> = calls.collect();
    calls.pop();
    (calls, tail["logSize"].as_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn every_call_of_an_operator_is_in_the_log_once_also_when_nothing_in_it_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let channel = daemon.channel("HOTWORK_ADMIN_ENDPOINT").await;
    let mut changes = 0;
    // Of the table, so that no RPC that comes can be forgotten here.
    for row in authz::TABLE {
        let method = methods()
            .into_iter()
            .find(|method| row.rpc == format!("{}/{}", method.parent_service().full_name(), method.name()));
        let (_, from) = calls(&daemon, u64::MAX);
        // Nothing is filled in.
        let answer = call(&channel, &method.unwrap(), Vec::new()).await;
        let (calls, _) = calls(&daemon, from);
        let own: Vec<&Call> = calls.iter().filter(|call| call.rpc == row.rpc).collect();
        if *row == authz::RELOAD_REGISTRY {
            // There is nothing to be filled in, so it is done, and the load is its entry.
            assert!(answer.is_ok() && own.is_empty(), "{calls:?}");
            let log = text(&daemon.hotwork(&["audit", "tail", "-n", "5"]));
            assert!(log.lines().any(|line| line.contains("  load   me ")), "{log}");
            continue;
        }
        let [own] = own[..] else { panic!("{}: {calls:?}", row.rpc) };
        match row.audit {
            Audit::Change => {
                let refused = answer.expect_err(row.rpc).get_details_error_info().unwrap();
                assert_eq!(
                    (own.allowed, own.reason.as_deref()),
                    (false, Some(&*refused.reason)),
                    "{}",
                    row.rpc
                );
                changes += 1;
            }
            Audit::Attempt | Audit::Call | Audit::Urgent => assert!(own.allowed, "{}", row.rpc),
        }
    }
    assert!(changes >= 10, "{changes}");
}

#[test]
fn what_an_operator_may_not_or_can_not_do_is_in_the_log_with_why() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let unknown = "0193595e-7c00-7000-8000-000000000000";
    let tries: [(&[&str], &str, &str); 4] = [
        (&["lock", "rm", "3"], "AdminService/Unlock", "not-found"),
        (&["revoke", "--credential", unknown, "--reason", "r", "--yes"], "AdminService/Revoke", "not-found"),
        (&["break-glass", "close", unknown, "--reason", "r"], "BreakGlassService/Close", "not-found"),
        (&["break-glass", "review", unknown, "--finding", "f"], "BreakGlassService/Review", "not-found"),
    ];
    for (line, rpc, reason) in tries {
        let (_, from) = calls(&daemon, u64::MAX);
        assert!(!daemon.hotwork(line).status.success(), "{line:?}");
        let (calls, _) = calls(&daemon, from);
        let own: Vec<&Call> = calls.iter().filter(|call| call.rpc.ends_with(rpc) && !call.allowed).collect();
        let [own] = own[..] else { panic!("{line:?}: {calls:?}") };
        assert_eq!(own.reason.as_deref(), Some(reason), "{line:?}");
    }
}

#[test]
fn a_refused_signature_leaves_its_text_and_why() {
    let scene = Scene::start();
    let (statement, other) = (scene.text("open", "node-repair"), scene.text("open", "node-repair"));
    let (_, from) = calls(scene.daemon(), u64::MAX);
    scene.refuses(scene.send(&statement, &scene.bob.sign(NAMESPACE, &other)), "signature-forged");
    assert_eq!(scene.sign(&statement, &scene.bob).0, 0);
    // The rules' own refusals, too.
    scene.refuses(scene.sign(&statement, &scene.bob), "already-signed");
    let (calls, _) = calls(scene.daemon(), from);
    let refused: Vec<&Call> = calls.iter().filter(|call| !call.allowed).collect();
    let reasons: Vec<_> = refused.iter().map(|call| call.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["signature-forged", "already-signed"]);
    let digest = Digest::of(statement.as_bytes());
    assert!(refused.iter().all(|call| call.statement == Some(digest)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_asks_and_goes_away_has_a_bounded_number_of_changes_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(daemon.channel("HOTWORK_ADMIN_ENDPOINT").await);
    }
    // Loads are done one after the other, and each waits for the disk several times.
    let tries = channels.iter().cycle().take(400).map(|channel| {
        let mut admin = AdminServiceClient::new(channel.clone());
        tokio::spawn(async move {
            tokio::time::timeout(Duration::from_millis(500), admin.reload_registry(ReloadRegistryRequest {}))
                .await
        })
    });
    let tries: Vec<_> = tries.collect();
    let mut refused = 0;
    for one in tries {
        if let Ok(Err(status)) = one.await.unwrap() {
            let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            refused += u32::from(reason == "operator-busy");
        }
    }
    assert!(refused > 0, "a thousand could be under way");
    daemon.json(&["lock", "list"]);
    // It is a share, and no punishment.
    eventually("what was under way ends", || daemon.hotwork(&["reload"]).status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_reads_all_they_can_is_refused_at_some_point_and_their_brake_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let channel = daemon.channel("HOTWORK_ADMIN_ENDPOINT").await;
    let (over, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut admin = AdminServiceClient::new(channel.clone());
        let (over, refused) = (Arc::clone(&over), Arc::clone(&refused));
        readers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let Err(status) = admin.list_agents(ListAgentsRequest::default()).await else { continue };
                let info = status.get_details_error_info().unwrap();
                assert_eq!((status.code(), &*info.reason), (tonic::Code::ResourceExhausted, "operator-busy"));
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let braked = tokio::task::spawn_blocking(move || {
        eventually("the share is full", || refused.load(Ordering::Relaxed) > 100);
        for _ in 0..5 {
            let locked = daemon.json(&["lock", "--all", "--message", "stop"]);
            let id = locked["lock"]["id"].as_str().unwrap().to_owned();
            let revoked = daemon.hotwork(&["revoke", "--all", "--reason", "r", "--yes"]);
            assert!(revoked.status.success(), "{}", text(&revoked));
            daemon.json(&["lock", "list"]);
            daemon.json(&["lock", "rm", &id]);
        }
        daemon
    });
    let daemon = braked.await;
    over.store(true, Ordering::Relaxed);
    readers.join_all().await;
    // What it was told of all that is some lines.
    let log = daemon.unwrap().log();
    let told = log.lines().filter(|line| line.contains("too many calls")).count();
    assert!((1..20).contains(&told), "{told} lines");
}
