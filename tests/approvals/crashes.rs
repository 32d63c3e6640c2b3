//! `kill -9` between every two steps: what was answered stays so, with and without the index.

use crate::office::{JKT, Office, reason, succeeds};

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
