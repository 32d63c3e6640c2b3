//! Requests that operators decide, through the ledger.

use super::*;
use crate::domain::approval::{ApprovalRefusal, State as Where, Verdict};
use crate::domain::catalogue::Tier;
use crate::domain::fixture::{START, asked, issued_on, vote};

fn refusal(result: Result<Entry, Refusal>) -> ApprovalRefusal {
    match result {
        Err(Refusal::Approval(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_approved_is_issued_once_and_replay_gives_the_same() {
    let mut log = Log::default();
    let one = asked("a", 1, 2);
    log.submit(Command::Ask(Box::new(one.clone())), START).unwrap();
    let credential = issued_on(&one);
    let pending = ApprovalRefusal::Decided(Where::Pending);
    assert_eq!(refusal(log.issue(&credential)), pending);
    for name in ["alice", "bob"] {
        let vote = vote(&one, name, Verdict::Approve);
        log.submit(Command::Decide(Box::new(vote)), START).unwrap();
    }
    log.issue(&credential).unwrap();
    let again = Issuance { id: issuance("a", START, 8).id, ..credential.clone() };
    assert_eq!(refusal(log.issue(&again)), ApprovalRefusal::Decided(Where::Used));
    for entry in &log.entries {
        let bytes = entry.to_canonical_json().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(serde_json::to_vec(&value).unwrap(), bytes);
        assert_eq!(&Entry::from_json(&bytes).unwrap(), entry);
    }
    let mut replayed = State::default();
    for (entry, index) in log.entries.iter().zip(0..) {
        replayed.replay(entry, index, |_| None);
    }
    assert_eq!(replayed.approvals(), log.state.approvals());
    log.state.forget(one.expires);
    assert!(log.state.approvals().get(one.id).is_none(), "what is over leaves the memory");
    assert_eq!(refusal(log.issue(&again)), ApprovalRefusal::Unknown);
}

#[test]
fn the_tier_and_the_approval_go_together() {
    let mut log = Log::default();
    let one = asked("a", 1, 1);
    log.submit(Command::Ask(Box::new(one.clone())), START).unwrap();
    log.submit(Command::Decide(Box::new(vote(&one, "alice", Verdict::Approve))), START).unwrap();
    let good = issued_on(&one);
    let bare = Issuance { approval: None, ..good.clone() };
    assert_eq!(refusal(log.issue(&bare)), ApprovalRefusal::Unknown);
    let other_tier = Issuance { tier: Tier::Auto, ..good.clone() };
    assert_eq!(refusal(log.issue(&other_tier)), ApprovalRefusal::Mismatch);
    assert!(log.issue(&good).is_ok());
}

#[test]
fn nobody_is_asked_on_a_clock_that_was_set_back() {
    let mut log = Log::default();
    let later = START.plus_millis(CLOCK_BEHIND_MS_MAX + 1);
    log.issue(&issuance("a", later, 1)).unwrap();
    let asked = log.submit(Command::Ask(Box::new(asked("a", 1, 1))), START);
    assert_eq!(asked, Err(Refusal::ClockBehind(CLOCK_BEHIND_MS_MAX + 1)));
}
