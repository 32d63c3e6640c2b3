//! What attackers try against the rules, who have a key, a role or patience.

use super::*;
use crate::domain::playbook::Restriction;
use crate::domain::revocation::Selector;

#[test]
fn what_was_shut_is_left_no_more_until_an_extension_makes_it_last_longer() {
    let mut log = Log::default();
    let all = Restriction {
        lock: vec![Selector::All, Selector::Tenant("t".parse().unwrap())],
        revoke: vec![Selector::All],
    };
    let brake = Opening { scope: Scope::Restrict(all.clone()), ..opening("freeze", false) };
    let drill = proposal(2, Asks::Open(Opening { drill: true, ..brake.clone() }), START);
    let brake = proposal(1, Asks::Open(brake), START);
    for (text, id) in [(&brake, 1), (&drill, 2)] {
        log.sign(text, "alice", id, START).unwrap();
        log.sign(text, "bob", id, START).unwrap();
    }
    let left = |log: &Log, id| log.sessions.get(session(id)).unwrap().left.clone();
    assert_eq!((left(&log, 1), left(&log, 2)), (all.clone(), Restriction::default()));
    let some = Restriction { lock: vec![Selector::All], revoke: vec![] };
    let done = |left: &Restriction, until| {
        Ask::Restrict(Restricted { left: left.clone(), session: session(1), until })
    };
    log.take(done(&some, at(600)), at(1)).unwrap();
    assert_eq!(left(&log, 1), some);
    log.take(done(&Restriction::default(), at(600)), at(1)).unwrap();
    let longer = extend(3, session(1), at(1_000), START);
    log.sign(&longer, "alice", 3, at(2)).unwrap();
    log.sign(&longer, "bob", 3, at(2)).unwrap();
    assert_eq!(left(&log, 1), Restriction { lock: all.lock, revoke: vec![] }, "what was ended stays ended");
    assert_eq!(log.take(done(&some, at(600)), at(3)), Err(GlassRefusal::Spent), "done for the old end");
    assert_eq!(log.replayed(), log.sessions);
}

#[test]
fn a_text_that_is_kept_until_it_is_about_to_end_counts_for_as_long_as_any() {
    let mut log = Log::default();
    let flood = u8::try_from(PROPOSALS_PER_SIGNER_MAX).unwrap();
    // All but the last second of their time is over, and the next ones end a second later.
    let (late, next) = (at(PROPOSAL_SECONDS_MAX - 1), at(PROPOSAL_SECONDS_MAX));
    for number in 0..flood {
        log.sign(&open(number, START), "dave", number, late).unwrap();
    }
    let kept = open(100, at(1));
    let refused = Err(GlassRefusal::TooManyProposals("dave".parse().unwrap()));
    assert_eq!(log.sign(&kept, "dave", 100, next), refused);
    log.sessions.forget(next);
    assert_eq!(log.sign(&kept, "dave", 100, next), refused, "and what is forgotten changes nothing");
    assert_eq!(log.replayed().decide(ask(&kept, "dave", 100), next), refused, "nor does a start");
    // Who completes what another proposed takes no place of theirs.
    let ended = late.plus_millis(PROPOSAL_SECONDS_MAX * 1000);
    log.sessions.forget(ended);
    let free = open(101, ended);
    assert!(log.sign(&free, "dave", 101, ended).is_ok());
    // The index keeps such a step for as long.
    for (step, time) in &log.steps {
        let counts = time.plus_millis(PROPOSAL_SECONDS_MAX * 1000);
        assert!(step.matters_until().is_none_or(|until| until >= counts), "{step:?}");
    }
}

#[test]
fn sessions_that_nobody_reviews_stand_in_the_way_of_no_other_playbook_and_drills_of_no_opening() {
    let mut log = Log::default();
    let one = Quorum::try_from(1).unwrap();
    let numbered = |number: usize, playbook: &str, drill: bool, from| {
        let statement = Digest::of(format!("{number} {playbook} {drill}").as_bytes());
        Proposal { quorum: one, statement, ..proposal(0, Asks::Open(opening(playbook, drill)), from) }
    };
    let mut now = START;
    for number in 0..BREAK_GLASS_SESSIONS_MAX {
        now = at(i64::try_from(number).unwrap() * 1_000);
        log.sign(&numbered(number, "brake", true, now), "dave", u8::try_from(number).unwrap(), now).unwrap();
    }
    let more = numbered(99, "brake", true, now);
    assert_eq!(log.sign(&more, "dave", 99, now), Err(GlassRefusal::SessionsExhausted));
    assert_eq!(log.sign(&more, "bob", 99, now), Err(GlassRefusal::SessionsExhausted));
    assert!(matches!(log.sign(&numbered(99, "other", true, now), "bob", 99, now), Ok(Step::Open(_))));
    assert!(matches!(log.sign(&numbered(100, "brake", false, now), "bob", 100, now), Ok(Step::Open(_))));
    log.review(session(0), "bob", now).unwrap();
    assert!(matches!(log.sign(&more, "dave", 101, now), Ok(Step::Open(_))));
    // Openings have their own bound.
    for number in 1..BREAK_GLASS_SESSIONS_MAX {
        now = now.plus_millis(1_000_000);
        let again = numbered(100 + number, "brake", false, now);
        log.sign(&again, "alice", 110, now).unwrap();
        log.sign(&again, "bob", u8::try_from(110 + number).unwrap(), now).unwrap();
    }
    let again = numbered(200, "brake", false, now);
    assert_eq!(log.sign(&again, "carol", 200, now), Err(GlassRefusal::SessionsExhausted));
}

#[test]
fn a_key_that_was_taken_from_the_registry_signs_for_nobody_any_more() {
    let mut log = Log::default();
    let proposal = open(1, START);
    // A thief signs with alice's key, and is found out: she has another one now.
    log.sign(&proposal, "alice", 1, START).unwrap();
    let replaced = |who: &str, key: &str| {
        let Ask::Sign(mut sign) = ask(&proposal, who, 1) else { panic!() };
        sign.responders.retain(|one| one.name.as_str() != "alice");
        sign.responders.push(responder("alice", &["key-2"]));
        sign.signature = signature(who, key);
        Ask::Sign(sign)
    };
    assert!(matches!(log.take(replaced("bob", "key-1"), at(1)), Ok(Step::Sign(_))), "bob is the first");
    assert_eq!(
        log.take(replaced("alice", "key-1"), at(2)),
        Err(GlassRefusal::NotResponder("alice".parse().unwrap()))
    );
    let Ok(Step::Open(opened)) = log.take(replaced("alice", "key-2"), at(3)) else { panic!("two people") };
    let by: Vec<_> = opened.signatures.iter().map(|one| (one.operator.as_str(), one.key.as_str())).collect();
    assert_eq!(by, [("bob", "key-1"), ("alice", "key-2")], "the thief's is no part of it");
    assert_eq!(log.replayed(), log.sessions);
}

#[test]
fn what_three_people_opened_no_two_extend() {
    let mut log = Log::default();
    log.opened(1, START);
    // The first is not reviewed, so the second takes three, and two can't go around them.
    let second = open(2, START);
    for who in ["alice", "bob", "carol"] {
        log.sign(&second, who, 2, START).unwrap();
    }
    let longer = extend(3, session(2), at(10_000), START);
    assert_eq!(log.sessions.needed(&longer), 3);
    log.sign(&longer, "alice", 3, at(1)).unwrap();
    assert!(matches!(log.sign(&longer, "bob", 3, at(1)), Ok(Step::Sign(_))));
    assert_eq!(log.sessions.get(session(2)).unwrap().until, at(600));
    assert!(matches!(log.sign(&longer, "dave", 3, at(1)), Ok(Step::Extend(_))));
    // An extension with more people does not make the next one harder, and two are enough for what two opened.
    assert_eq!(log.sessions.needed(&extend(4, session(2), at(11_000), START)), 3);
    assert_eq!(log.sessions.needed(&extend(5, session(1), at(11_000), START)), 2);
    assert_eq!(log.replayed(), log.sessions);
}
