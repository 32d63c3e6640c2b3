//! Break-glass sessions on real files: what is open, signed and owed is the same after every start.

use std::sync::Arc;

use hotwork::clock::ManualClock;
use hotwork::domain::break_glass::{
    Ask, Asks, Closing, GlassRefusal, Opening, Phase, Proposal, Responder, Review, Sign, Signature, Step,
};
use hotwork::domain::catalogue::Tier;
use hotwork::domain::credential::Issuance;
use hotwork::domain::digest::Digest;
use hotwork::domain::id::Lineage;
use hotwork::domain::ledger::{Command, Refusal};
use hotwork::domain::playbook::{Expansion, Quorum, Scope};
use hotwork::domain::revocation::Selector;
use hotwork::domain::statement::Nonce;
use hotwork::domain::time::Timestamp;
use hotwork::store::{Ledger, LedgerError, Recorded};

use crate::support::*;

fn after(seconds: i64) -> Timestamp {
    START.plus_millis(seconds * 1000)
}

pub fn proposal(text: &str, from: Timestamp) -> Proposal {
    let opening = Opening {
        drill: false,
        playbook: "repair".parse().unwrap(),
        reason: "down".parse().unwrap(),
        scope: Scope::Expand(Expansion {
            actions: vec!["demo.read".parse().unwrap()],
            agents: vec![agent("a")],
            resources: vec!["demo".parse().unwrap()],
        }),
        seconds: 3_600,
        ticket: "INC-1".parse().unwrap(),
    };
    let until = from.plus_millis(900_000);
    let statement = Digest::of(text.as_bytes());
    Proposal {
        asks: Asks::Open(opening),
        from,
        nonce: Nonce::new([7; 16]),
        quorum: Quorum::DEFAULT,
        statement,
        text: text.into(),
        until,
    }
}

pub fn sign(
    ledger: &Ledger,
    proposal: &Proposal,
    who: &str,
    session: Lineage,
) -> Result<Recorded, LedgerError> {
    let signature =
        Signature { key: "SHA256:x".to_owned(), operator: who.parse().unwrap(), signature: "U1NI".into() };
    let responder = |name: &str| Responder { keys: vec!["SHA256:x".to_owned()], name: name.parse().unwrap() };
    let responders = ["ann", "ben", "cyd"].map(responder).to_vec();
    let sign = Sign { proposal: proposal.clone(), signature, responders, session };
    submit(ledger, Command::BreakGlass(Ask::Sign(Box::new(sign))))
}

pub fn under(session: Lineage, now: Timestamp, number: u64) -> Issuance {
    Issuance { lineage: session, tier: Tier::BreakGlass, ..issuance(now, number, "a") }
}

fn issue_under(
    ledger: &Ledger,
    session: Lineage,
    now: Timestamp,
    number: u64,
) -> Result<Recorded, LedgerError> {
    submit(ledger, Command::Issue(Box::new(under(session, now, number))))
}

/// The same ledger, opened again; with its index or without.
fn again(ledger: Ledger, dir: &std::path::Path, clock: &Arc<ManualClock>, index: bool) -> Ledger {
    let before = ledger.sessions();
    drop(ledger);
    if !index {
        std::fs::remove_dir_all(dir.join("index")).unwrap();
    }
    let ledger = open(dir, clock);
    // Proposals that nobody can sign any more may have been dropped meanwhile.
    let now = ledger.status().high_water;
    let kept = |sessions: &hotwork::domain::break_glass::Sessions| {
        let mut sessions = sessions.clone();
        sessions.forget(now);
        sessions
    };
    assert_eq!(kept(&ledger.sessions()), kept(&before));
    ledger
}

#[test]
fn every_step_of_a_session_outlives_a_start_with_or_without_the_index() {
    for index in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let mut ledger = open(dir.path(), &clock);
        let (session, first) = (Lineage::new(START, &[1; 10]), proposal("one", START));
        sign(&ledger, &first, "ann", session).unwrap();
        ledger = again(ledger, dir.path(), &clock, index);
        let recorded = sign(&ledger, &first, "ben", session).unwrap();
        assert!(matches!(recorded.step(), Some(Step::Open(_))));
        ledger = again(ledger, dir.path(), &clock, index);
        let spent = sign(&ledger, &first, "cyd", Lineage::new(START, &[2; 10]));
        let refused = LedgerError::Refused(Refusal::BreakGlass(GlassRefusal::Spent));
        assert_eq!(spent.unwrap_err(), refused, "a signed text is good once, after a restart too");
        issue_under(&ledger, session, START, 1).unwrap();

        // Half an hour of other work: the opening is older than any credential lives.
        for number in 0..6 {
            clock.advance_millis(300_000);
            submit(&ledger, issue(after(300 * (number + 1)), 100 + number.unsigned_abs(), "b")).unwrap();
        }
        ledger = again(ledger, dir.path(), &clock, index);
        assert_eq!(ledger.sessions().get(session).unwrap().phase(after(1_800)), Phase::Open);
        issue_under(&ledger, session, after(1_800), 2).unwrap();

        submit(&ledger, revoke(Selector::Lineage(session))).unwrap();
        ledger = again(ledger, dir.path(), &clock, index);
        let ended = issue_under(&ledger, session, after(1_800), 3);
        assert_eq!(ended.unwrap_err(), LedgerError::Refused(Refusal::Overtaken), "open, and gives nothing");
        let closing = closing(session);
        submit(&ledger, Command::BreakGlass(Ask::Close(closing))).unwrap();
        ledger = again(ledger, dir.path(), &clock, index);
        let over = issue_under(&ledger, session, after(1_800), 4);
        assert_eq!(over.unwrap_err(), LedgerError::Refused(Refusal::SessionOver));

        clock.advance_millis(86_400_000);
        submit(&ledger, issue(after(88_200), 200, "b")).unwrap();
        ledger = again(ledger, dir.path(), &clock, index);
        assert_eq!(ledger.sessions().get(session).unwrap().phase(after(88_200)), Phase::Over);
        let finding = "as it should".parse().unwrap();
        let operator = "cyd".parse().unwrap();
        let review = Review { drill: false, finding, operator, playbook: None, session };
        submit(&ledger, Command::BreakGlass(Ask::Review(review))).unwrap();
        ledger = again(ledger, dir.path(), &clock, index);
        assert_eq!(ledger.sessions().iter().count(), 0);
    }
}

#[test]
fn a_clock_set_back_opens_nothing_and_lengthens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let (session, first) = (Lineage::new(START, &[1; 10]), proposal("one", START));
    sign(&ledger, &first, "ann", session).unwrap();
    sign(&ledger, &first, "ben", session).unwrap();
    clock.advance_millis(3_590_000);
    issue_under(&ledger, session, after(3_590), 1).unwrap_err();
    submit(&ledger, issue(after(3_590), 2, "b")).unwrap();
    clock.set(START);
    let behind = |result: Result<Recorded, LedgerError>| {
        matches!(result, Err(LedgerError::ClockBehind { .. } | LedgerError::Refused(Refusal::ClockBehind(_))))
    };
    assert!(behind(issue_under(&ledger, session, START, 3)));
    assert!(behind(sign(&ledger, &proposal("two", START), "ann", Lineage::new(START, &[2; 10]))));
    let closing = closing(session);
    submit(&ledger, Command::BreakGlass(Ask::Close(closing))).unwrap();
    let held = ledger.sessions().get(session).unwrap().clone();
    assert_eq!(held.closed.as_ref().map(|over| over.time), Some(after(3_590)), "the log's time goes on");
}

pub fn closing(session: Lineage) -> Closing {
    let (operator, reason) = ("ann".parse().unwrap(), "done".parse().unwrap());
    Closing { drill: false, operator, playbook: None, reason, session }
}
