//! An emergency in which the store takes no writes, from its first session to its last review: what people do in the night
//! they do by command, as on any other day, and it is all there when the store is mended.

use serde_json::Value;

use crate::scene::{DELETE, JKT, NODE, Scene, path};
use crate::signing::KeyPair;

/// One person's command with their key; gives the answer.
#[track_caller]
fn signed(scene: &Scene, line: &[&str], key: &KeyPair) -> Value {
    good(scene, &[line, &["--yes", "--ssh-key", path(&key.private)]].concat())
}

#[track_caller]
fn good(scene: &Scene, line: &[&str]) -> Value {
    let (exit, answer) = scene.run(line);
    assert_eq!(exit, 0, "{line:?}: {answer}");
    answer
}

/// What `line` asks for, signed by bob, who begins it, and by carol.
#[track_caller]
fn by_two(scene: &Scene, line: &[&str]) -> Value {
    let begun = signed(scene, line, &scene.bob);
    let statement = begun["progress"]["statementId"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned();
    signed(scene, &["break-glass", "sign", &statement], &scene.carol)
}

fn end_of(scene: &Scene, session: &str) -> Value {
    let list = scene.daemon().json(&["break-glass", "list"]);
    let sessions = list["sessions"].as_array().cloned().unwrap_or_default();
    sessions
        .into_iter()
        .find(|one| one["id"] == session)
        .map(|one| one["endTime"].clone())
        .unwrap_or_default()
}

fn session_of(answer: &Value) -> String {
    answer["progress"]["session"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn extending_closing_reviewing_and_drills_go_by_command_in_an_emergency() {
    let mut scene = Scene::start();
    scene.unwritable();
    let scene = &mut scene;
    let why = ["--reason", "n1 hangs", "--ticket", "INC-7"];
    let open = [&["break-glass", "open", "node-repair", "--for", "10m"][..], &why].concat();
    let session = session_of(&by_two(scene, &open));
    let token = scene.token(&session);
    assert!(scene.is_live(&token));

    let end = end_of(scene, &session);
    by_two(scene, &["break-glass", "extend", &session, "--reason", "two more nodes"]);
    let extended = end_of(scene, &session);
    assert!(extended.is_string() && extended != end, "{end} {extended}");
    assert!(scene.is_live(&scene.token(&session)));

    good(scene, &["break-glass", "close", &session, "--reason", "n1 is gone"]);
    assert!(!scene.is_live(&token), "it ends with its session");
    let more = ["--dpop-jkt", JKT];
    let (exit, refused) = scene.issue(&session, DELETE, NODE, &more);
    assert_ne!(exit, 0, "{refused}");
    assert_eq!(scene.state(&session), "SESSION_STATE_REVIEW_OWED");
    good(scene, &["break-glass", "review", &session, "--finding", "as agreed"]);
    assert_eq!(scene.state(&session), "", "nothing is owed");

    let drill = [&["break-glass", "drill", "node-repair"][..], &why].concat();
    let drill = session_of(&by_two(scene, &drill));
    let (exit, answer) = scene.issue(&drill, DELETE, NODE, &more);
    assert_eq!((exit, &answer["credential"]["drill"]), (0, &true.into()), "{answer}");
    assert!(!scene.is_live(answer["token"].as_str().unwrap()), "no verifier takes it");
    good(scene, &["break-glass", "close", &drill, "--reason", "done"]);
    // Its review is owed over the end of the emergency.
    assert_eq!(scene.run(&["status"]).0, 7, "it was an emergency all the time");
    scene.writable();
    assert_eq!(scene.run(&["status"]).0, 0);
    assert_eq!(scene.state(&session), "");
    assert!(!scene.is_live(&token));
    assert_eq!(scene.state(&drill), "SESSION_STATE_REVIEW_OWED");
    good(scene, &["break-glass", "review", &drill, "--finding", "it works"]);
    assert_eq!(scene.state(&drill), "");
}
