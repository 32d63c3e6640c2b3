//! The rules of break-glass, one by one and as a whole.

mod attacks;

use proptest::prelude::*;

use super::*;
use crate::domain::credential::Issuance;
use crate::domain::limits::{PROPOSAL_SECONDS_MAX, REVIEW_DUE_SECONDS};
use crate::domain::playbook::Expansion;

mod brakes;

const START: Timestamp = Timestamp::from_seconds(1_763_900_000);
const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn at(seconds: i64) -> Timestamp {
    START.plus_millis(seconds * 1000)
}

fn session(number: u8) -> Lineage {
    Lineage::new(START, &[number; 10])
}

fn opening(playbook: &str, drill: bool) -> Opening {
    Opening {
        drill,
        playbook: playbook.parse().unwrap(),
        reason: "the cluster is down".parse().unwrap(),
        scope: Scope::Expand(Expansion {
            actions: vec!["demo.read".parse().unwrap()],
            agents: vec!["spiffe://td/tenant/t/agent/a".parse().unwrap()],
            resources: vec!["demo".parse().unwrap()],
        }),
        seconds: 600,
        ticket: "INC-1".parse().unwrap(),
    }
}

/// A proposal whose text is unlike all others of another `number`.
fn proposal(number: u8, asks: Asks, from: Timestamp) -> Proposal {
    Proposal {
        asks,
        from,
        nonce: Nonce::new([7; 16]),
        quorum: Quorum::DEFAULT,
        statement: Digest::of(&[number]),
        text: format!("text {number}").into(),
        until: from.plus_millis(PROPOSAL_SECONDS_MAX * 1000),
    }
}

fn open(number: u8, from: Timestamp) -> Proposal {
    proposal(number, Asks::Open(opening("repair", false)), from)
}

fn extend(number: u8, session: Lineage, until: Timestamp, from: Timestamp) -> Proposal {
    proposal(number, Asks::Extend(Extension { reason: "more".parse().unwrap(), session, until }), from)
}

/// Sessions with a log of their own.
#[derive(Default)]
struct Log {
    sessions: Sessions,
    steps: Vec<(Step, Timestamp)>,
}

impl Log {
    fn take(&mut self, ask: Ask, now: Timestamp) -> Result<Step, GlassRefusal> {
        let step = self.sessions.decide(ask, now)?;
        self.sessions.apply(&step, now, self.steps.len() as u64);
        self.steps.push((step.clone(), now));
        Ok(step)
    }

    fn sign(&mut self, proposal: &Proposal, who: &str, id: u8, now: Timestamp) -> Result<Step, GlassRefusal> {
        self.take(ask(proposal, who, id), now)
    }

    /// Opens `session(id)` of the playbook `repair` with two signatures.
    fn opened(&mut self, id: u8, now: Timestamp) -> Lineage {
        let proposal = open(id, now);
        self.sign(&proposal, "alice", id, now).unwrap();
        assert!(matches!(self.sign(&proposal, "bob", id, now), Ok(Step::Open(_))));
        session(id)
    }

    fn close(&mut self, session: Lineage, now: Timestamp) -> Result<Step, GlassRefusal> {
        let (operator, reason) = ("alice".parse().unwrap(), "done".parse().unwrap());
        self.take(Ask::Close(Closing { drill: false, operator, playbook: None, reason, session }), now)
    }

    fn review(&mut self, session: Lineage, who: &str, now: Timestamp) -> Result<Step, GlassRefusal> {
        let (operator, finding) = (who.parse().unwrap(), "as it should".parse().unwrap());
        self.take(Ask::Review(Review { drill: false, finding, operator, playbook: None, session }), now)
    }

    /// The state of this log read again.
    fn replayed(&self) -> Sessions {
        let mut sessions = Sessions::default();
        for ((step, time), index) in self.steps.iter().zip(0..) {
            let json = serde_json::to_vec(step).unwrap();
            sessions.apply(&serde_json::from_slice(&json).unwrap(), *time, index);
        }
        sessions
    }
}

fn ask(proposal: &Proposal, who: &str, id: u8) -> Ask {
    Ask::Sign(Box::new(Sign {
        proposal: proposal.clone(),
        signature: signature(who, "key-1"),
        responders: PEOPLE.iter().map(|name| responder(name, &["key-1", "key-2"])).collect(),
        session: session(id),
    }))
}

fn responder(name: &str, keys: &[&str]) -> Responder {
    Responder { keys: keys.iter().map(|key| (*key).to_owned()).collect(), name: name.parse().unwrap() }
}

fn signature(who: &str, key: &str) -> Signature {
    Signature { key: key.to_owned(), operator: who.parse().unwrap(), signature: who.into() }
}

fn issuance(session: Lineage, now: Timestamp) -> Issuance {
    let mut issuance = crate::domain::fixture::issuance("a", now, 9);
    (issuance.lineage, issuance.tier) = (session, crate::domain::catalogue::Tier::BreakGlass);
    issuance
}

#[test]
fn one_signer_fewer_than_the_quorum_opens_nothing() {
    let mut log = Log::default();
    let proposal = open(1, START);
    assert!(matches!(log.sign(&proposal, "alice", 1, START), Ok(Step::Propose(_))));
    assert_eq!(log.sessions.iter().count(), 0);
    assert!(matches!(log.sign(&proposal, "bob", 1, at(1)), Ok(Step::Open(_))));
    let held = log.sessions.get(session(1)).unwrap();
    assert_eq!((held.until, held.phase(at(1))), (at(601), Phase::Open));
}

#[test]
fn one_person_with_two_keys_is_one_person() {
    let mut log = Log::default();
    let proposal = open(1, START);
    log.sign(&proposal, "alice", 1, START).unwrap();
    let Ask::Sign(mut second) = ask(&proposal, "alice", 1) else { panic!() };
    second.signature = signature("alice", "key-2");
    let refused = log.take(Ask::Sign(second), START);
    assert_eq!(refused, Err(GlassRefusal::AlreadySigned("alice".parse().unwrap())));
}

#[test]
fn a_stranger_signs_nothing_and_who_left_is_not_counted() {
    let mut log = Log::default();
    let proposal = open(1, START);
    assert!(matches!(log.sign(&proposal, "mallory", 1, START), Err(GlassRefusal::NotResponder(_))));
    log.sign(&proposal, "alice", 1, START).unwrap();
    let Ask::Sign(mut later) = ask(&proposal, "bob", 1) else { panic!() };
    later.responders.retain(|one| one.name.as_str() != "alice");
    assert!(
        matches!(log.take(Ask::Sign(later), START), Ok(Step::Sign(_))),
        "alice left; two are needed still"
    );
    assert!(matches!(log.sign(&proposal, "carol", 1, START), Ok(Step::Open(_))));
}

#[test]
fn a_statement_is_good_once_and_between_its_times() {
    let mut log = Log::default();
    let proposal = open(1, START);
    assert_eq!(log.sign(&proposal, "alice", 1, at(-1)), Err(GlassRefusal::Expired));
    log.sign(&proposal, "alice", 1, START).unwrap();
    assert_eq!(log.sign(&proposal, "bob", 1, at(PROPOSAL_SECONDS_MAX)), Err(GlassRefusal::Expired));
    log.sign(&proposal, "bob", 1, at(PROPOSAL_SECONDS_MAX - 1)).unwrap();
    assert_eq!(log.sign(&proposal, "carol", 2, at(PROPOSAL_SECONDS_MAX - 1)), Err(GlassRefusal::Spent));
    assert_eq!(log.sign(&proposal, "carol", 2, at(PROPOSAL_SECONDS_MAX)), Err(GlassRefusal::Expired));
    for millis in [1, -1] {
        let mut other = open(2, START);
        other.until = other.until.plus_millis(millis);
        assert_eq!(log.sign(&other, "alice", 2, START), Err(GlassRefusal::Expired), "no other window is one");
    }
    let mut sessions = log.replayed();
    assert_eq!(
        sessions.decide(ask(&proposal, "carol", 2), at(1)),
        Err(GlassRefusal::Spent),
        "after a restart"
    );
    sessions.forget(at(PROPOSAL_SECONDS_MAX));
    assert_eq!(
        sessions.decide(ask(&proposal, "carol", 2), at(PROPOSAL_SECONDS_MAX)),
        Err(GlassRefusal::Expired)
    );
}

#[test]
fn proposals_are_bounded_for_each_signer_and_nobody_takes_anothers_place() {
    let mut log = Log::default();
    let flood = u8::try_from(PROPOSALS_PER_SIGNER_MAX).unwrap();
    let mine = open(200, START);
    log.sign(&mine, "alice", 200, START).unwrap();
    for number in 0..flood {
        log.sign(&open(number, START), "dave", number, START).unwrap();
    }
    assert!(matches!(log.sign(&open(99, START), "dave", 99, START), Err(GlassRefusal::TooManyProposals(_))));
    assert!(matches!(log.sign(&mine, "bob", 200, START), Ok(Step::Open(_))));
    let others = open(201, START);
    log.sign(&others, "bob", 201, START).unwrap();
    assert!(log.sign(&others, "dave", 201, START).is_ok(), "to sign what others propose takes no place");
    let later = at(PROPOSAL_SECONDS_MAX);
    log.sessions.forget(later);
    assert!(log.sign(&open(99, later), "dave", 99, later).is_ok());
}

#[test]
fn a_session_ends_by_itself_and_by_its_closing() {
    let mut log = Log::default();
    let first = log.opened(1, START);
    assert_eq!(log.sessions.get(first).unwrap().phase(at(599)), Phase::Open);
    assert_eq!(log.sessions.get(first).unwrap().phase(at(600)), Phase::Over);
    assert_eq!(log.close(first, at(600)), Err(GlassRefusal::NotOpen));
    assert_eq!(log.close(session(9), at(1)), Err(GlassRefusal::Unknown));
    assert_eq!(log.sessions.get(first).unwrap().phase(at(600 + REVIEW_DUE_SECONDS)), Phase::Overdue);
    log.review(first, "carol", at(600)).unwrap();
    let second = log.opened(2, at(601));
    log.close(second, at(602)).unwrap();
    assert_eq!(log.close(second, at(602)), Err(GlassRefusal::NotOpen));
    assert_eq!(log.sessions.get(second).unwrap().phase(at(602)), Phase::Over);
}

#[test]
fn an_extension_needs_the_quorum_again_and_an_open_session() {
    let mut log = Log::default();
    let id = log.opened(1, START);
    let longer = extend(2, id, at(1_000), START);
    assert!(matches!(log.sign(&longer, "alice", 2, at(1)), Ok(Step::Propose(_))));
    assert_eq!(log.sessions.get(id).unwrap().until, at(600));
    assert!(matches!(log.sign(&longer, "carol", 2, at(2)), Ok(Step::Extend(_))));
    assert_eq!(log.sessions.get(id).unwrap().until, at(1_000));
    assert_eq!(log.sign(&longer, "dave", 2, at(2)), Err(GlassRefusal::Spent), "it was done");
    assert_eq!(log.sign(&extend(3, id, at(1_000), START), "bob", 3, at(3)), Err(GlassRefusal::BadEnd));
    let longest = 3 + i64::from(BREAK_GLASS_SECONDS_MAX);
    assert_eq!(log.sign(&extend(4, id, at(longest + 1), START), "bob", 4, at(3)), Err(GlassRefusal::BadEnd));
    let mut weaker = extend(5, id, at(1_100), START);
    weaker.quorum = Quorum::try_from(1).unwrap();
    assert_eq!(log.sign(&weaker, "bob", 5, at(3)), Err(GlassRefusal::WeakerQuorum));
    let late = extend(6, id, at(longest), START);
    assert!(log.sign(&late, "bob", 6, at(3)).is_ok());
    log.close(id, at(4)).unwrap();
    assert_eq!(log.sign(&late, "carol", 6, at(4)), Err(GlassRefusal::NotOpen));
    assert_eq!(log.review(id, "carol", at(5)), Err(GlassRefusal::OwnReview("carol".parse().unwrap())));
    log.review(id, "dave", at(5)).unwrap();
}

#[test]
fn the_same_playbook_needs_one_more_signer_until_somebody_else_has_reviewed() {
    let mut log = Log::default();
    let first = log.opened(1, START);
    assert_eq!(log.review(first, "carol", at(1)), Err(GlassRefusal::StillOpen));
    log.close(first, at(1)).unwrap();
    let second = open(2, at(1));
    log.sign(&second, "alice", 2, at(1)).unwrap();
    assert!(matches!(log.sign(&second, "bob", 2, at(1)), Ok(Step::Sign(_))));
    let drill = proposal(3, Asks::Open(opening("repair", true)), at(1));
    log.sign(&drill, "alice", 3, at(1)).unwrap();
    assert!(matches!(log.sign(&drill, "bob", 3, at(1)), Ok(Step::Open(_))), "a drill needs no more");
    let other = proposal(4, Asks::Open(opening("other", false)), at(1));
    log.sign(&other, "alice", 4, at(1)).unwrap();
    assert!(matches!(log.sign(&other, "bob", 4, at(1)), Ok(Step::Open(_))), "nor another playbook");
    assert_eq!(log.review(first, "bob", at(2)), Err(GlassRefusal::OwnReview("bob".parse().unwrap())));
    assert!(matches!(log.sign(&second, "carol", 2, at(2)), Ok(Step::Open(_))));
    log.close(session(2), at(3)).unwrap();
    log.review(first, "carol", at(3)).unwrap();
    log.review(session(2), "dave", at(3)).unwrap();
    log.opened(5, at(4));
}

#[test]
fn a_drill_is_done_when_it_was_reviewed_and_owes_nobody_a_signer() {
    let mut log = Log::default();
    let drill = proposal(1, Asks::Open(opening("repair", true)), START);
    log.sign(&drill, "alice", 1, START).unwrap();
    log.sign(&drill, "bob", 1, START).unwrap();
    log.opened(2, START);
    log.close(session(1), at(1)).unwrap();
    assert_eq!(log.sessions.last_drill(), None);
    log.review(session(1), "carol", at(2)).unwrap();
    assert_eq!(log.sessions.last_drill(), Some(at(2)));
}

#[test]
fn only_an_open_session_admits_and_only_what_it_covers() {
    let mut log = Log::default();
    let id = log.opened(1, START);
    let good = issuance(id, at(1));
    assert!(log.sessions.admit(&good, at(1)));
    let refused = [
        Issuance { lineage: session(9), ..good.clone() },
        Issuance { drill: true, ..good.clone() },
        Issuance { action: "demo.write".parse().unwrap(), ..good.clone() },
        Issuance { agent: "spiffe://td/tenant/t/agent/b".parse().unwrap(), ..good.clone() },
        Issuance { resource: "demo2/hello".parse().unwrap(), ..good.clone() },
        Issuance { expires: at(601), ..good.clone() },
    ];
    for one in refused {
        assert!(!log.sessions.admit(&one, at(1)), "{one:?}");
    }
    assert!(log.sessions.admit(&Issuance { expires: at(600), ..good.clone() }, at(599)));
    assert!(!log.sessions.admit(&good, at(600)));
    log.close(id, at(2)).unwrap();
    assert!(!log.sessions.admit(&good, at(2)));
}

/// One thing that somebody tries.
#[derive(Clone, Debug)]
enum Try {
    Close(u8),
    Extend(u8, usize, i64),
    Review(u8, usize),
    Sign(u8, usize),
    Wait(i64),
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = prop_oneof![
        1 => (0_u8..6).prop_map(Try::Close),
        2 => ((0_u8..6), (0_usize..4), (0_i64..20_000)).prop_map(|(id, who, until)| Try::Extend(id, who, until)),
        1 => ((0_u8..6), (0_usize..4)).prop_map(|(id, who)| Try::Review(id, who)),
        6 => ((0_u8..6), (0_usize..4)).prop_map(|(id, who)| Try::Sign(id, who)),
        2 => (0_i64..700).prop_map(Try::Wait),
    ];
    prop::collection::vec(one, 1..120)
}

proptest! {
    #[test]
    fn whatever_is_tried_two_people_stand_behind_what_is_open(tries in tries()) {
        let (mut log, mut now) = (Log::default(), START);
        for one in tries {
            let done = match one {
                Try::Close(id) => log.close(session(id), now),
                Try::Extend(id, who, until) => {
                    log.sign(&extend(id + 100, session(id), at(until), now), PEOPLE[who], id, now)
                }
                Try::Review(id, who) => log.review(session(id), PEOPLE[who], now),
                // Proposals are of the hour, so that the same people meet on the same text.
                Try::Sign(id, who) => {
                    let hour = (now.seconds() - START.seconds()) / 700;
                    let from = at(hour * 700);
                    let text = u8::try_from(hour % 8).unwrap() * 8 + id;
                    log.sign(&open(text, from), PEOPLE[who], text, now)
                }
                Try::Wait(seconds) => {
                    now = now.plus_millis(seconds * 1000);
                    continue;
                }
            };
            if let Ok(step) = &done {
                let count = |signatures: &[Signature]| {
                    signatures.iter().map(|one| &one.operator).collect::<std::collections::HashSet<_>>().len()
                };
                match step {
                    Step::Open(opened) => {
                        prop_assert!(count(&opened.signatures) >= 2);
                        prop_assert_eq!(opened.until, now.plus_millis(600_000));
                    }
                    Step::Extend(extended) => prop_assert!(count(&extended.signatures) >= 2),
                    Step::Review(review) => {
                        // Nobody of the session's own people; it is gone from the state, so the log tells.
                        let signed = log.steps.iter().any(|(step, _)| match step {
                            Step::Open(opened) if opened.session == review.session => {
                                opened.signatures.iter().any(|one| one.operator == review.operator)
                            }
                            Step::Extend(extended) if extended.session == review.session => {
                                extended.signatures.iter().any(|one| one.operator == review.operator)
                            }
                            _ => false,
                        });
                        prop_assert!(!signed);
                    }
                    Step::Close(_) | Step::Propose(_) | Step::Restrict(_) | Step::Sign(_) => {}
                }
            }
            prop_assert_eq!(&log.replayed(), &log.sessions);
            for held in log.sessions.iter() {
                let longest = held.opened.plus_millis(i64::from(BREAK_GLASS_SECONDS_MAX) * 1000);
                prop_assert!(held.until <= longest.max(now.plus_millis(i64::from(BREAK_GLASS_SECONDS_MAX) * 1000)));
                if held.phase(now) != Phase::Open {
                    prop_assert!(!log.sessions.admit(&issuance(held.session, now), now));
                }
            }
            // What is dropped changes no answer.
            let mut without = log.sessions.clone();
            without.forget(now);
            let next = ask(&open(1, START), "dave", 77);
            prop_assert_eq!(without.decide(next.clone(), now), log.sessions.decide(next, now));
        }
    }
}
