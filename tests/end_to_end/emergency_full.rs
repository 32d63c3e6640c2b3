//! An emergency in which somebody has used up what is not kept for it: the way in and the brake still work, and who is
//! refused is told why.

use hotwork::domain::limits::READS_PER_OPERATOR_MAX;
use hotwork::proto::v1;
use tokio::task::JoinSet;

use crate::scene::{DELETE, JKT, NODE, Scene};
use crate::support::{code, text};

/// Calls at once: as many as one operator may have under way.
const AT_ONCE: usize = READS_PER_OPERATOR_MAX;

/// The scene in an emergency, with no room left for records of calls.
fn full() -> Scene {
    let mut scene = Scene::start();
    scene.unwritable();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let audit = scene.daemon().audit().await;
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            let mut audit = audit.clone();
            calls.spawn(async move {
                for _ in 0..10_000 {
                    if let Err(refused) = audit.get_checkpoint(v1::GetCheckpointRequest {}).await {
                        return refused;
                    }
                }
                panic!("it never filled");
            });
        }
        for refused in calls.join_all().await {
            assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
            assert!(refused.message().contains("no room"), "{refused}");
        }
    });
    scene
}

#[test]
fn a_viewer_s_calls_keep_nobody_from_looking_opening_locking_and_revoking() {
    let scene = full();
    let run = |line: &[&str]| {
        let output = scene.daemon().hotwork(line);
        assert_eq!(code(&output), 0, "{line:?}: {}", text(&output));
    };
    let refused = scene.daemon().hotwork(&["agent", "list"]);
    assert!(code(&refused) == 7 && text(&refused).contains("no room"), "{}", text(&refused));
    run(&["break-glass", "list"]);
    run(&["lock", "list"]);
    let session = scene.opened("open", "node-repair");
    assert!(!scene.token(&session).is_empty());
    run(&["revoke", "--all", "--dry-run"]);
    run(&["revoke", "--tenant", "other", "--yes", "--reason", "incident 42"]);
    let lock = scene.daemon().json(&["lock", "create", "--tenant", "other", "--message", "not now"]);
    let lock = lock["lock"]["id"].as_str().unwrap_or_else(|| panic!("{lock}")).to_owned();
    run(&["lock", "rm", &lock]);
    run(&["break-glass", "close", &session, "--reason", "done"]);
    let said = scene.daemon().log();
    assert!(said.contains("a call is not in the log"), "{said}");
    assert!(said.contains("BreakGlassService/Prepare"), "{said}");
}

#[test]
fn who_is_refused_is_told_why_and_not_that_it_could_not_be_recorded() {
    let scene = full();
    let text = scene.text("open", "node-repair");
    let stranger = crate::signing::KeyPair::ed25519(scene.dir.path(), "stranger");
    scene.refuses(scene.sign(&text, &stranger), "signature-unregistered");
    assert_eq!(scene.sign(&text, &scene.bob).0, 0);
    scene.refuses(scene.sign(&text, &scene.bob), "already-signed");
    assert_eq!(scene.sign(&text, &scene.carol).0, 0);
    let list = scene.daemon().json(&["break-glass", "list"]);
    let session = list["sessions"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);
    scene.refuses(scene.run(&["break-glass", "close", &session, "--reason", "twice"]), "session-not-open");
    let more = ["--dpop-jkt", JKT];
    let (exit, _) = scene.issue(&session, DELETE, NODE, &more);
    assert_ne!(exit, 0);
}
