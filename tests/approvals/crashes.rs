//! `kill -9` between every two steps: what was answered stays so, with and without the index.

use std::process::Command;
use std::time::Duration;

use crate::office::{JKT, MERGE, Office, reason, succeeds};
use crate::support::{When, code};

#[test]
fn what_waits_is_approved_or_used_stays_so_over_kills() {
    for keep_index in [true, false] {
        let office = Office::coding();
        let id = office.asked(JKT);
        let office = office.killed(keep_index);
        assert_eq!(office.state(&id), "PENDING");
        assert_eq!(office.asked(JKT), id, "joined to what was there before");
        succeeds(&office.decides("olga", "approve", &id, None));
        let office = office.killed(keep_index);
        assert_eq!(office.state(&id), "PENDING");
        assert_eq!(reason(&office.decides("olga", "approve", &id, None)), "already-decided");
        succeeds(&office.decides("alice", "approve", &id, None));
        let office = office.killed(keep_index);
        assert_eq!(office.state(&id), "APPROVED");
        let keyed = ["--approval", &id, "--idempotency-key", "once"];
        assert_eq!(office.merge(JKT, &keyed).0, 0);
        let office = office.killed(keep_index);
        assert_eq!(office.state(&id), "USED");
        assert_eq!(office.merge(JKT, &["--approval", &id]).1, "approval-used");
        assert_eq!(office.merge(JKT, &keyed).0, 0, "the retry of the one use");
        let report = office.daemon.hotwork(&["audit", "tail", "-n", "500"]);
        let report = String::from_utf8_lossy(&report.stdout);
        let issued =
            report.lines().filter(|line| line.contains("issue ") && line.contains("repo.pull.merge"));
        assert_eq!(issued.count(), 1, "{report}");
    }
}

#[test]
fn a_denial_and_its_wait_stay_over_a_kill() {
    let office = Office::coding();
    let id = office.asked(JKT);
    succeeds(&office.decides("bob", "deny", &id, None));
    let office = office.killed(true);
    assert_eq!(office.state(&id), "DENIED");
    assert_eq!(office.merge(JKT, &[]).1, "approvals-cooling");
}

#[test]
fn what_the_agent_said_is_in_memory_only_and_there_again_when_it_says_it_again() {
    let office = Office::coding();
    let shown = |office: &Office, id: &str| {
        let mut command = office.command("alice", env!("CARGO_BIN_EXE_hotwork"));
        let output = command.args(["request", "show", id]).output().unwrap();
        succeeds(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let ask = |office: &Office, words: &str| office.merge(JKT, &["--justification", words]).2;
    let id = ask(&office, "pineapple");
    assert!(shown(&office, &id).contains("  | pineapple"));
    let office = office.killed(true);
    let after = shown(&office, &id);
    assert!(!after.contains("pineapple") && after.contains("has restarted since"), "{after}");
    // Other words are none of this request's.
    assert_eq!(ask(&office, "papaya"), id);
    assert!(!shown(&office, &id).contains("papaya"));
    assert_eq!(ask(&office, "pineapple"), id);
    assert!(shown(&office, &id).contains("  | pineapple"));
}

/// A command, made for the daemon that serves it.
type Make<'a> = &'a dyn Fn(&Office) -> Command;

/// Takes one step with a kill at each of these moments, and once more. Whether it was taken before that: answered, or
/// found in the log.
fn step(mut office: Office, moments: &[When], codes: &[i32], make: Make<'_>) -> (Office, bool) {
    let mut answered = false;
    for when in moments {
        let (next, answer) = office.killed_during(make, *when, codes);
        office = next;
        answered |= answer.is_some();
    }
    (office, answered)
}

fn agent(office: &Office, more: &[&str]) -> Command {
    office.daemon.command(&[&MERGE[..], &["--dpop-jkt", JKT], more, &["-o", "json"]].concat())
}

fn approvals(office: &Office) -> Vec<serde_json::Value> {
    let output = office.operator("victor", &["request", "list", "--decided"]);
    succeeds(&output);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["approvals"].as_array().cloned().unwrap_or_default()
}

/// Decides with a kill at each of these moments; then it is decided, once.
fn decided(office: Office, moments: &[When], name: &str, id: &str, given: u64) -> Office {
    let make = |office: &Office| office.decision(name, "approve", id, None);
    let (office, answered) = step(office, moments, &[0], &make);
    let again = office.decides(name, "approve", id, None);
    let refused = reason(&again) == "already-decided";
    assert!(
        refused || (code(&again) == 0 && !answered),
        "{name} {moments:?}: {}",
        crate::support::text(&again)
    );
    let all = approvals(&office);
    assert_eq!((all.len(), &all[0]["approvalsGiven"]), (1, &given.into()), "{name} {moments:?}: {all:?}");
    office
}

/// Each step of an approval, killed while it is on its way and when it was answered: nothing that was acknowledged is
/// lost, nobody's word counts twice, and one use is one credential.
#[test]
fn a_kill_within_any_step_loses_no_answer_and_counts_nothing_twice() {
    let asked = |millis| When::Asked(Duration::from_millis(millis));
    for moments in [&[When::Answered][..], &[asked(15), When::Written], &[asked(60), When::Written]] {
        let office = Office::coding();
        let (office, _) = step(office, moments, &[5], &|office| agent(office, &[]));
        let id = office.asked(JKT);
        let all = approvals(&office);
        assert_eq!((all.len(), all[0]["id"].as_str()), (1, Some(&*id)), "{moments:?}: {all:?}");

        let office = decided(office, moments, "olga", &id, 1);
        assert_eq!(office.state(&id), "PENDING", "{moments:?}");
        let office = decided(office, moments, "alice", &id, 2);
        assert_eq!(office.state(&id), "APPROVED", "{moments:?}");

        let keyed = ["--approval", &id, "--idempotency-key", "once"];
        let (mut office, mut first) = (office, None);
        for when in moments {
            let answer;
            (office, answer) = office.killed_during(|office| agent(office, &keyed), *when, &[0]);
            first = first.or(answer);
        }
        let (exit, used) = office.agent(&[&MERGE[..], &["--dpop-jkt", JKT], &keyed].concat());
        assert_eq!(exit, 0, "{moments:?}: {used}");
        let same = first.is_none_or(|first| first["credential"]["id"] == used["credential"]["id"]);
        assert!(same, "{moments:?}");
        assert_eq!(office.state(&id), "USED");
        assert_eq!(approvals(&office)[0]["credentialId"], used["credential"]["id"], "{moments:?}");
        assert_eq!(office.merge(JKT, &["--approval", &id]).1, "approval-used", "{moments:?}");
        // And nobody who asks anew is in the way of anything.
        let other = office.asked(JKT);
        assert_ne!(other, id);

        // A no is as good as a yes: it is there once, and so is the wait that comes of it.
        let make = |office: &Office| office.decision("bob", "deny", &other, None);
        let (office, answered) = step(office, moments, &[0], &make);
        let again = office.decides("bob", "deny", &other, None);
        let refused = reason(&again) == "approval-decided";
        assert!(refused || (code(&again) == 0 && !answered), "{moments:?}: {}", crate::support::text(&again));
        let office = office.killed(true);
        assert_eq!(office.state(&other), "DENIED", "{moments:?}");
        assert_eq!(office.merge(JKT, &[]).1, "approvals-cooling", "{moments:?}");
        let log = crate::support::text(&office.daemon.hotwork(&["audit", "tail", "-n", "500"]));
        assert_eq!(log.matches(&format!("deny {other}")).count(), 1, "{moments:?}: {log}");
    }
}
