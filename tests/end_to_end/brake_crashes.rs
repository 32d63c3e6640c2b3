//! `kill -9` within every step of a brake, of a drill and of a lock: whatever is there after a start is there whole, before
//! anybody is served, and what was lifted stays lifted.

use std::time::Duration;

use serde_json::Value;

use crate::break_glass_crashes::{listed, signed, watched};
use crate::scene::{DELETE, JKT, NODE, Scene, path};
use crate::signing::KeyPair;
use crate::support::{When, text};

/// What the agent may do on any day.
const READ: [&str; 4] = ["issue", "infra.service.read", "--resource", "cluster/prod/service/web"];

/// A token that has nothing to do with break-glass.
pub fn ordinary(scene: &Scene) -> String {
    let (exit, answer) = asked(scene);
    assert_eq!(exit, 0, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

pub fn asked(scene: &Scene) -> (i32, Value) {
    scene.run(&[&READ[..], &["--dpop-jkt", JKT]].concat())
}

pub fn locks(scene: &Scene) -> Vec<Value> {
    scene.daemon().json(&["lock", "list"])["locks"].as_array().cloned().unwrap_or_default()
}

/// How many entries of this kind the log has.
pub fn entries(scene: &Scene, kind: &str) -> usize {
    let log = text(&scene.daemon().hotwork(&["audit", "tail", "-n", "500"]));
    log.lines().filter(|line| line.split_whitespace().nth(2) == Some(kind)).count()
}

pub fn says(scene: &Scene, what: &str) -> usize {
    text(&scene.daemon().hotwork(&["audit", "tail", "-n", "500"])).matches(what).count()
}

/// Ends a lock with a kill at each of these moments; no start brings it back.
pub fn lifted(scene: &mut Scene, moments: &[When], id: &str) {
    watched(scene, moments, &["lock", "rm", id], "not-found", &|_| {});
    for _ in 0..2 {
        assert!(locks(scene).is_empty(), "{moments:?}");
        scene.killed();
    }
}

/// Sends a signature on `statement` with a kill at each of these moments.
fn sends(
    scene: &mut Scene,
    moments: &[When],
    (statement, key): (&str, fn(&Scene) -> &KeyPair),
    again: &str,
    look: &dyn Fn(&Scene),
) {
    let [text, armored] = signed(scene, statement, key(scene));
    let line = ["break-glass", "send", "--statement", path(&text), "--signature", path(&armored)];
    watched(scene, moments, &line, again, look);
}

/// One brake from its opening to its review; the store takes no writes in it when it is an `emergency`.
fn brake(moments: &[When], emergency: bool) {
    let mut scene = Scene::start();
    let scene = &mut scene;
    let token = ordinary(scene);
    assert!(scene.is_live(&token));
    if emergency {
        scene.unwritable();
    }
    // Shorter than the playbook allows, so that it can be extended at once.
    let line = ["break-glass", "open", "freeze", "--reason", "r", "--ticket", "INC-7", "--for", "10m"];
    let statement = scene.daemon().json(&line)["statement"].as_str().unwrap().to_owned();
    // An open session and its brake are one: nobody sees the one without the other.
    let whole = |scene: &Scene| {
        let open = listed(scene, "sessions").len();
        assert_eq!((locks(scene).len(), scene.is_live(&token)), (open, open == 0), "{moments:?}");
    };
    sends(scene, moments, (&statement, |scene| &scene.bob), "statement-spent", &whole);
    assert_eq!(listed(scene, "sessions").len(), 1, "{moments:?}");
    let (exit, refused) = asked(scene);
    assert!(exit != 0 && (emergency || refused["reason"] == "locked"), "{moments:?}: {refused}");
    let own = locks(scene)[0].clone();
    let session = listed(scene, "sessions")[0]["id"].as_str().unwrap().to_owned();
    assert!(own["message"].as_str().unwrap().contains(&session), "{own}");

    lifted(scene, moments, own["id"].as_str().unwrap());
    assert!(!scene.is_live(&token), "what ended stays so: {moments:?}");
    let fresh = (!emergency).then(|| ordinary(scene));

    // An extension is signed anew, and locks anew, once.
    let line = ["break-glass", "extend", &session, "--reason", "it runs wild again"];
    let statement = scene.daemon().json(&line)["statement"].as_str().unwrap().to_owned();
    let end = listed(scene, "sessions")[0]["endTime"].clone();
    let whole = |scene: &Scene| {
        let extended = listed(scene, "sessions")[0]["endTime"] != end;
        assert_eq!(locks(scene).len(), usize::from(extended), "{moments:?}");
    };
    sends(scene, moments, (&statement, |scene| &scene.carol), "statement-spent", &whole);
    assert_ne!(listed(scene, "sessions")[0]["endTime"], end, "{moments:?}");
    assert!(fresh.iter().all(|fresh| scene.is_live(fresh)), "an extension ends nothing: {moments:?}");
    let again = locks(scene)[0]["id"].as_str().unwrap().to_owned();
    lifted(scene, moments, &again);

    watched(
        scene,
        moments,
        &["break-glass", "close", &session, "--reason", "done"],
        "session-not-open",
        &|scene| assert!(locks(scene).is_empty(), "{moments:?}"),
    );
    if emergency {
        assert_eq!(scene.run(&["status"]).0, 7, "{moments:?}");
        scene.writable();
        assert_eq!(scene.run(&["status"]).0, 0, "{moments:?}");
        assert!(!scene.is_live(&token) && locks(scene).is_empty(), "{moments:?}");
    }
    let log = [entries(scene, "lock"), entries(scene, "unlock"), says(scene, "restricted by")];
    assert_eq!(log, [2; 3], "each once for the opening and once for the extension: {moments:?}");
    assert!(entries(scene, "revoke") >= 1);
    let (state, key) = (scene.dir.path().join("state"), scene.dir.path().join("state/log.pub"));
    scene.daemon().json(&["audit", "verify", path(&state), "--key", path(&key)]);
}

fn moments() -> [Vec<When>; 3] {
    let asked = |millis| When::Asked(Duration::from_millis(millis));
    [vec![When::Answered], vec![asked(10), When::Written], vec![asked(35), When::Written]]
}

#[test]
fn a_kill_within_any_step_of_a_brake_leaves_it_whole_and_what_was_lifted_lifted() {
    for moments in moments() {
        brake(&moments, false);
    }
}

#[test]
fn nor_does_a_kill_cut_a_brake_in_an_emergency_and_it_is_whole_when_the_store_is_mended() {
    for moments in &moments()[..2] {
        brake(moments, true);
    }
}

#[test]
fn a_kill_within_a_drill_leaves_nothing_that_is_worth_anything_and_locks_nothing() {
    for moments in moments() {
        let mut scene = Scene::start();
        let scene = &mut scene;
        let token = ordinary(scene);
        let harmless = |scene: &Scene| {
            assert!(locks(scene).is_empty() && scene.is_live(&token), "{moments:?}");
        };
        let freeze = scene.text("drill", "freeze");
        sends(scene, &moments, (&freeze, |scene| &scene.bob), "statement-spent", &harmless);
        let repair = scene.text("drill", "node-repair");
        sends(scene, &moments, (&repair, |scene| &scene.bob), "already-signed", &harmless);
        assert_eq!(listed(scene, "sessions").len(), 1, "one person opens no drill of two: {moments:?}");
        sends(scene, &moments, (&repair, |scene| &scene.carol), "statement-spent", &harmless);
        let sessions = listed(scene, "sessions");
        assert!(sessions.len() == 2 && sessions.iter().all(|one| one["drill"] == true), "{sessions:?}");
        let drill = sessions.iter().find(|one| one["playbook"] == "node-repair").unwrap();
        let (exit, issued) = scene.issue(drill["id"].as_str().unwrap(), DELETE, NODE, &["--dpop-jkt", JKT]);
        assert_eq!(exit, 0, "{issued}");
        for _ in 0..2 {
            assert!(!scene.is_live(issued["token"].as_str().unwrap()), "{moments:?}");
            scene.killed();
        }
        assert_eq!(says(scene, " opened"), 2, "{moments:?}");
    }
}

#[test]
fn a_kill_within_a_lock_or_its_removal_loses_no_answer() {
    let mut scene = Scene::start();
    let scene = &mut scene;
    let moments = moments().concat();
    for when in &moments {
        let before = locks(scene);
        let line = ["lock", "--tenant", "default", "--message", "incident 42"];
        let answer = scene.killed_during(&line, *when);
        let after = locks(scene);
        let new = after.iter().filter(|lock| !before.contains(lock)).collect::<Vec<_>>();
        match &answer {
            Some(answer) => {
                assert!(new.len() == 1 && new[0]["id"] == answer["lock"]["id"], "{when:?}: {after:?}");
            }
            None => assert!(new.len() <= 1, "{when:?}: {after:?}"),
        }
        assert_eq!(after.len(), before.len() + new.len(), "none is lost: {when:?}");
        assert_eq!(asked(scene).1["reason"] == "locked", !after.is_empty(), "{when:?}");
    }
    assert_eq!(entries(scene, "lock"), locks(scene).len());
    assert!(!locks(scene).is_empty(), "one at least was answered");
    for lock in locks(scene) {
        let before = locks(scene).len();
        watched(scene, &moments[1..3], &["lock", "rm", lock["id"].as_str().unwrap()], "not-found", &|_| {});
        assert_eq!(locks(scene).len(), before - 1);
    }
    scene.killed();
    ordinary(scene);
}
