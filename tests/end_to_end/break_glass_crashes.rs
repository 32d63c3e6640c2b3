//! `kill -9` within every step of break-glass, and between every two: the call was answered, was on its way, or its
//! record has just been written.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scene::{DELETE, JKT, NAMESPACE, NODE, Scene, path};
use crate::signing::KeyPair;
use crate::support::{When, text};

/// Takes a step with a kill at each of these moments, and once more: then it is there, as the success that it is or as
/// the refusal that says so.
fn step(scene: &mut Scene, moments: &[When], line: &[&str], again: &str) {
    watched(scene, moments, line, again, &|_| {});
}

/// The same, with a look at what is there after each start.
pub fn watched(scene: &mut Scene, moments: &[When], line: &[&str], again: &str, look: &dyn Fn(&Scene)) {
    let mut answered = false;
    for when in moments {
        answered |= scene.killed_during(line, *when).is_some();
        look(scene);
    }
    let (exit, answer) = scene.run(line);
    let refused = answer["reason"] == again;
    assert!(refused || (exit == 0 && !answered), "{line:?} {moments:?} {answered}: {answer}");
    look(scene);
}

/// Signs a text; the step is to send it.
fn sign(scene: &mut Scene, moments: &[When], statement: &str, key: fn(&Scene) -> &KeyPair, again: &str) {
    let [text, armored] = signed(scene, statement, key(scene));
    let line = ["break-glass", "send", "--statement", path(&text), "--signature", path(&armored)];
    step(scene, moments, &line, again);
}

/// The files of a text and its signature.
pub fn signed(scene: &Scene, statement: &str, key: &KeyPair) -> [PathBuf; 2] {
    let files = ["step.txt", "step.sig"].map(|name| scene.dir.path().join(name));
    std::fs::write(&files[0], statement).unwrap();
    std::fs::write(&files[1], key.sign(NAMESPACE, statement)).unwrap();
    files
}

pub fn listed(scene: &Scene, what: &str) -> Vec<Value> {
    let list = scene.daemon().json(&["break-glass", "list"]);
    list[what].as_array().cloned().unwrap_or_default()
}

/// Who signed, of the only proposal or session.
fn signers(scene: &Scene, what: &str) -> Vec<String> {
    let all = listed(scene, what);
    assert_eq!(all.len(), 1, "{what}: {all:?}");
    let signed = all[0]["signedBy"].as_array().unwrap();
    signed.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// One session from its proposal to its review; the store takes no writes in it when it is an `emergency`.
fn whole_life(moments: &[When], emergency: bool) {
    let mut scene = Scene::start();
    let scene = &mut scene;
    if emergency {
        scene.unwritable();
    }
    // Shorter than the playbook allows, so that it can be extended at once.
    let line = ["break-glass", "open", "node-repair", "--reason", "r", "--ticket", "INC-7", "--for", "10m"];
    let statement = scene.daemon().json(&line)["statement"].as_str().unwrap().to_owned();
    sign(scene, moments, &statement, |scene| &scene.bob, "already-signed");
    assert!(listed(scene, "sessions").is_empty(), "one person, however often, opens nothing: {moments:?}");
    assert_eq!(signers(scene, "proposals"), ["bob"], "{moments:?}");
    sign(scene, moments, &statement, |scene| &scene.carol, "statement-spent");
    assert_eq!(signers(scene, "sessions"), ["bob", "carol"], "{moments:?}");
    let session = listed(scene, "sessions")[0]["id"].as_str().unwrap().to_owned();

    let line = [
        &["issue", DELETE, "--resource", NODE, "--break-glass", &session, "--dpop-jkt", JKT][..],
        &["--idempotency-key", "once"],
    ];
    let line = line.concat();
    let mut issued = moments.iter().filter_map(|when| scene.killed_during(&line, *when)).collect::<Vec<_>>();
    let (exit, last) = scene.run(&line);
    assert_eq!(exit, 0, "{moments:?}: {last}");
    issued.push(last);
    assert!(issued.iter().all(|one| one["credential"]["id"] == issued[0]["credential"]["id"]), "{moments:?}");
    let token = issued[0]["token"].as_str().unwrap().to_owned();
    assert!(scene.is_live(&token), "{moments:?}");

    let line = ["break-glass", "extend", &session, "--reason", "two more nodes"];
    let statement = scene.daemon().json(&line)["statement"].as_str().unwrap().to_owned();
    sign(scene, moments, &statement, |scene| &scene.carol, "already-signed");
    let end = listed(scene, "sessions")[0]["endTime"].clone();
    sign(scene, moments, &statement, |scene| &scene.bob, "statement-spent");
    assert_ne!(listed(scene, "sessions")[0]["endTime"], end, "{moments:?}");

    let line = ["break-glass", "close", &session, "--reason", "done"];
    step(scene, moments, &line, "session-not-open");
    assert!(!scene.is_live(&token), "{moments:?}");
    assert_eq!(scene.state(&session), "SESSION_STATE_REVIEW_OWED", "{moments:?}");
    step(scene, moments, &["break-glass", "review", &session, "--finding", "fine"], "not-found");
    assert!(listed(scene, "sessions").is_empty(), "{moments:?}");

    // Nothing of it stands in the way, and the log is whole and has each step once.
    let next = scene.opened("open", "node-repair");
    has_each_step_once(scene, moments);
    if emergency {
        assert_eq!(scene.run(&["status"]).0, 7, "{moments:?}");
        scene.writable();
        assert_eq!(scene.run(&["status"]).0, 0, "{moments:?}");
        assert!(!scene.is_live(&token), "{moments:?}");
        assert_eq!(scene.state(&next), "SESSION_STATE_OPEN", "{moments:?}");
        has_each_step_once(scene, moments);
    }
}

fn has_each_step_once(scene: &Scene, moments: &[When]) {
    let log = scene.daemon().hotwork(&["audit", "tail", "-n", "500"]);
    let log = text(&log);
    for (step, times) in
        [("proposed node-repair", 2), (" opened", 2), ("extended", 1), (" closed", 1), ("reviewed", 1)]
    {
        assert_eq!(log.matches(step).count(), times, "{step} {moments:?}: {log}");
    }
    let state = scene.dir.path().join("state");
    let key = state.join("log.pub");
    scene.daemon().json(&["audit", "verify", path(&state), "--key", path(&key)]);
}

#[test]
fn a_kill_within_any_step_loses_no_answer_blocks_nobody_and_counts_no_signature_twice() {
    let begun = Instant::now();
    let asked = |millis| When::Asked(Duration::from_millis(millis));
    whole_life(&[When::Answered], false);
    whole_life(&[asked(10), When::Written], false);
    whole_life(&[asked(35), When::Written], false);
    eprintln!("three lives with a kill in every step in {:?}", begun.elapsed());
}

#[test]
fn nor_does_a_kill_within_any_step_of_an_emergency_and_the_log_has_it_when_the_store_is_mended() {
    let begun = Instant::now();
    whole_life(&[When::Answered], true);
    whole_life(&[When::Asked(Duration::from_millis(20)), When::Written], true);
    eprintln!("two lives in an emergency with a kill in every step in {:?}", begun.elapsed());
}
