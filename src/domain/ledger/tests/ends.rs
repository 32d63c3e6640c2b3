//! Locks, and what selectors end.

use super::*;
use crate::domain::break_glass::{Ask, Asks};
use crate::domain::fixture;
use crate::domain::limits::{
    LOCKS_MAX, LOCKS_PER_OPERATOR_MAX, LOCKS_PER_TENANT_MAX, LOCKS_RESERVED, LOCKS_RESERVED_FOR_ALL,
};
use crate::domain::playbook::{Quorum, Restriction, Scope};
use crate::domain::revocation::LockShare;

#[test]
fn a_lock_refuses_from_its_commit_to_its_end_and_a_retry_does_not_get_around_it() {
    let mut log = Log::default();
    let first = keyed("a", START, 1, "k", "r");
    log.issue(&first).unwrap();
    let end = START.plus_millis(5000);
    let selector = Selector::Action("demo.read".parse().unwrap());
    log.submit(Command::Lock(lock(selector, end)), START.plus_millis(1)).unwrap();
    let refused = |result| matches!(result, Err(Refusal::Locked(held)) if held.index == 1);
    assert!(refused(log.issue(&issuance("a", START.plus_millis(1), 2))), "minted at the same instant");
    assert!(refused(log.issue(&keyed("a", START.plus_millis(2), 3, "k", "r"))));
    assert!(refused(log.issue(&issuance("b", end.plus_millis(-1), 4))));
    assert!(!log.ended(&first), "what was issued lives on");
    assert!(log.issue(&issuance("a", end, 5)).is_ok(), "it ends by itself");
    let again = log.submit(Command::Unlock(Unlock { lock: 1, operator: "alice".parse().unwrap() }), end);
    assert_eq!(again, Err(Refusal::LockUnknown(1)), "what has ended can't be ended");
}

#[test]
fn an_unlock_ends_its_lock_and_no_other() {
    let mut log = Log::default();
    let end = START.plus_millis(50_000);
    log.submit(Command::Lock(lock(Selector::All, end)), START).unwrap();
    log.submit(Command::Lock(lock(Selector::Agent(agent("a")), end)), START).unwrap();
    let unlock = |lock| Command::Unlock(Unlock { lock, operator: "alice".parse().unwrap() });
    assert_eq!(log.submit(unlock(7), START), Err(Refusal::LockUnknown(7)));
    log.submit(unlock(0), START).unwrap();
    assert!(log.issue(&issuance("b", START, 1)).is_ok());
    assert!(matches!(log.issue(&issuance("a", START, 2)), Err(Refusal::Locked(held)) if held.index == 1));
}

/// The lock of an operator of these tenants, of one agent.
fn lock_of(operator: &str, tenants: &[&str], number: usize, end: Timestamp) -> Command {
    Command::Lock(Lock {
        operator: operator.parse().unwrap(),
        tenants: tenants.iter().map(|tenant| tenant.parse().unwrap()).collect(),
        ..lock(Selector::Agent(agent(&number.to_string())), end)
    })
}

#[test]
fn an_operator_and_a_tenant_have_a_share_of_the_locks() {
    let mut log = Log::default();
    let end = START.plus_millis(1000);
    let full = |share| Err(Refusal::LocksExhausted(share));
    for number in 0..LOCKS_PER_OPERATOR_MAX {
        log.submit(lock_of("mallory", &["t"], number, end), START).unwrap();
    }
    assert_eq!(log.submit(lock_of("mallory", &["t"], 0, end), START), full(LockShare::Operator));
    for number in LOCKS_PER_OPERATOR_MAX..LOCKS_PER_TENANT_MAX {
        let operator = format!("m{}", number / LOCKS_PER_OPERATOR_MAX);
        log.submit(lock_of(&operator, &["t"], number, end), START).unwrap();
    }
    assert_eq!(log.submit(lock_of("trudy", &["t"], 0, end), START), full(LockShare::Tenant));
    assert_eq!(log.submit(lock_of("trudy", &["u", "t"], 0, end), START), full(LockShare::Tenant));
    let with_lock = Revocation {
        operator: "mallory".parse().unwrap(),
        tenants: vec!["t".parse().unwrap()],
        lock: Some(Terms { expires: end, message: "frozen".parse().unwrap() }),
        ..revocation(Selector::All)
    };
    let revoke = Command::Revoke { revocation: with_lock, target: None };
    assert_eq!(log.submit(revoke, START), full(LockShare::Operator), "and nothing is revoked");
    // Nobody else is kept out.
    log.submit(lock_of("olga", &["u"], 0, end), START).unwrap();
    log.submit(Command::Lock(lock(Selector::All, end)), START).unwrap();
    assert!(log.submit(lock_of("mallory", &["t"], 0, end), end).is_ok(), "those that ended make room");
}

#[test]
fn locks_are_bounded_and_the_last_places_are_for_everything_and_for_brakes() {
    let mut log = Log::default();
    let end = START.plus_millis(1000);
    let full = |share| Err(Refusal::LocksExhausted(share));
    for number in 0..LOCKS_MAX - LOCKS_RESERVED {
        let operator = format!("m{}", number / LOCKS_PER_OPERATOR_MAX);
        log.submit(lock_of(&operator, &[], number, end), START).unwrap();
    }
    assert_eq!(log.submit(lock_of("olga", &[], 0, end), START), full(LockShare::All));
    let of_tenant = Lock { tenants: vec!["t".parse().unwrap()], ..lock(Selector::All, end) };
    assert_eq!(
        log.submit(Command::Lock(of_tenant), START),
        full(LockShare::All),
        "an operator of one tenant"
    );
    // A brake may lock an agent then, but not take the last places.
    let brakes = |log: &Log| {
        let lock = Lock { operator: "olga".parse().unwrap(), ..lock(Selector::Agent(agent("a")), end) };
        log.state.locks.admit(&lock, true, START)
    };
    for _ in 0..LOCKS_RESERVED - LOCKS_RESERVED_FOR_ALL {
        assert_eq!(brakes(&log), Ok(()));
        log.submit(Command::Lock(lock(Selector::All, end)), START).unwrap();
    }
    assert_eq!(brakes(&log), Err(LockShare::All));
    for _ in 0..LOCKS_RESERVED_FOR_ALL {
        log.submit(Command::Lock(lock(Selector::All, end)), START).unwrap();
    }
    assert_eq!(log.submit(Command::Lock(lock(Selector::All, end)), START), full(LockShare::All));
}

#[test]
fn a_copy_for_one_tenant_takes_no_brake_s_place() {
    let (mut log, end) = (Log::default(), START.plus_millis(600_000));
    let Ask::Sign(mut sign) = fixture::sign(START, "alice") else { panic!("no signature") };
    let selector = Selector::Agent(agent("a"));
    if let Asks::Open(opening) = &mut sign.proposal.asks {
        opening.scope = Scope::Restrict(Restriction { lock: vec![selector.clone()], revoke: Vec::new() });
    }
    sign.proposal.quorum = Quorum::try_from(1).unwrap();
    let session = sign.session;
    log.submit(Command::BreakGlass(Ask::Sign(sign)), START).unwrap();
    let held = Arc::clone(log.state.sessions().get(session).unwrap());
    let terms = Terms { expires: held.until, message: held.message().unwrap() };
    let brake = Lock { terms, ..lock(selector, end) };
    let copy =
        Lock { operator: "mallory".parse().unwrap(), tenants: vec!["t".parse().unwrap()], ..brake.clone() };
    log.submit(Command::Lock(copy), START).unwrap();
    for number in 1..LOCKS_MAX - LOCKS_RESERVED {
        let operator = format!("m{}", number / LOCKS_PER_OPERATOR_MAX);
        log.submit(lock_of(&operator, &[], number, end), START).unwrap();
    }
    assert!(log.submit(Command::Lock(brake.clone()), START).is_ok());
    assert!(log.submit(Command::Lock(brake), START).is_err(), "and it is one of a brake once");
}

#[test]
fn an_operator_who_locked_everything_can_leave_room_for_others() {
    let mut log = Log::default();
    let end = START.plus_millis(1000);
    for _ in 0..LOCKS_PER_OPERATOR_MAX + LOCKS_RESERVED {
        log.submit(Command::Lock(lock(Selector::All, end)), START).unwrap();
    }
    let refused = log.submit(Command::Lock(lock(Selector::All, end)), START);
    assert_eq!(refused, Err(Refusal::LocksExhausted(LockShare::Operator)));
    let others = Lock { operator: "olga".parse().unwrap(), ..lock(Selector::All, end) };
    assert!(log.submit(Command::Lock(others), START).is_ok());
}

#[test]
fn a_brake_finds_a_place_beside_the_locks_that_its_person_has_made() {
    let mut log = Log::default();
    let end = START.plus_millis(1000);
    for number in 0..LOCKS_PER_OPERATOR_MAX {
        log.submit(lock_of("olga", &[], number, end), START).unwrap();
    }
    let agent = Lock { operator: "olga".parse().unwrap(), ..lock(Selector::Agent(agent("a")), end) };
    assert_eq!(log.state.locks.admit(&agent, false, START), Err(LockShare::Operator));
    assert_eq!(log.state.locks.admit(&agent, true, START), Ok(()));
}

#[test]
fn a_revocation_with_a_lock_ends_what_was_and_refuses_what_comes_from_the_same_instant() {
    let mut log = Log::default();
    let old = issuance("a", START, 1);
    log.issue(&old).unwrap();
    let at = START.plus_millis(10);
    let terms = Terms { expires: at.plus_millis(1000), message: "frozen".parse().unwrap() };
    let both = Revocation { lock: Some(terms), ..revocation(Selector::Agent(agent("a"))) };
    log.submit(Command::Revoke { revocation: both, target: None }, at).unwrap();
    assert!(log.ended(&old));
    for millis in [0, 1, 999] {
        let late = log.issue(&issuance("a", at.plus_millis(millis), 2));
        assert!(matches!(late, Err(Refusal::Locked(_))), "{late:?}");
    }
    assert_eq!(log.entries.len(), 2, "one record did both");
}

#[test]
fn nothing_is_minted_in_a_lineage_that_was_ended() {
    let mut log = Log::default();
    let root = issuance("a", START, 1);
    log.issue(&root).unwrap();
    log.revoke(Selector::Lineage(root.lineage), None, START.plus_millis(1)).unwrap();
    let child = |at| Issuance { lineage: root.lineage, ..*issuance("b", at, 2) };
    assert!(log.ended(&root));
    let over = START.plus_millis(LINEAGE_MS);
    for at in [START.plus_millis(2), START.plus_millis(KEPT_MS * 3), over] {
        log.state.forget(at);
        assert_eq!(log.issue(&child(at)), Err(Refusal::Overtaken));
    }
    // Its end is forgotten when the last that it could have minted has expired. It mints nothing all the same.
    let forgotten = over.plus_millis(KEPT_MS + 1001);
    log.state.forget(forgotten);
    assert!(log.state.revocations().is_empty());
    for at in [over.plus_millis(1), forgotten, forgotten.plus_millis(LINEAGE_MS)] {
        assert_eq!(log.issue(&child(at)), Err(Refusal::LineageOver));
    }
}

#[test]
fn a_lineage_is_minted_in_for_a_day_and_not_before_it_began() {
    let root = issuance("a", START, 1);
    for (millis, expected) in [(0, Ok(())), (LINEAGE_MS, Ok(())), (LINEAGE_MS + 1, Err(Refusal::LineageOver))]
    {
        let child = Issuance { lineage: root.lineage, ..*issuance("b", START.plus_millis(millis), 2) };
        assert_eq!(Log::default().issue(&child).map(drop), expected, "{millis}");
    }
    let early =
        Issuance { lineage: Lineage::new(START.plus_millis(1), &[1; 10]), ..*issuance("b", START, 2) };
    assert_eq!(Log::default().issue(&early).map(drop), Err(Refusal::LineageOver));
}

#[test]
fn only_a_whole_key_ends_for_good() {
    let key = Selector::Key("key-1".parse().unwrap());
    let for_good = |revocation: Revocation| {
        let mut log = Log::default();
        let asked = Revocation { for_good: true, ..revocation };
        log.submit(Command::Revoke { revocation: asked, target: None }, START).unwrap();
        log.state.revocations().deltas().next().unwrap().until.is_none()
    };
    assert!(for_good(revocation(key.clone())));
    assert!(!for_good(revocation(Selector::All)));
    assert!(!for_good(Revocation { issued_before: Some(START), ..revocation(key.clone()) }));
    assert!(!for_good(Revocation { tenants: vec!["t".parse().unwrap()], ..revocation(key) }));
}

#[test]
fn what_no_longer_matters_is_forgotten_and_what_does_is_not() {
    let mut log = Log::default();
    let (one, many) = (issuance("a", START, 1), issuance("b", START, 2));
    log.issue(&one).unwrap();
    log.issue(&many).unwrap();
    log.revoke(Selector::Credential(one.id), Some(&one), START).unwrap();
    log.revoke(Selector::Api("demo".parse().unwrap()), None, START).unwrap();
    // Verifiers take a credential a little longer than we do.
    log.state.forget(one.expires.plus_millis(29_000));
    assert!(log.state.revocations().ended_issuance(&one).is_some());
    assert_eq!(log.state.revocations().len(), 2);
    log.state.forget(START.plus_millis(KEPT_MS - 1));
    assert_eq!(log.state.revocations().len(), 1);
    let epoch = log.state.revocations().epoch();
    log.state.forget(START.plus_millis(KEPT_MS + 1000));
    assert!(log.state.revocations().is_empty());
    assert_eq!(log.state.revocations().epoch(), epoch);
}

#[test]
fn a_retry_does_not_get_around_a_lock_on_what_the_first_one_was_given_on() {
    let mut log = Log::default();
    let first = keyed("a", START, 1, "k", "r");
    log.issue(&first).unwrap();
    // Since then the agent was moved: other evidence, another owner.
    let fact = |value| crate::domain::evidence::Selector::new("unix.uid", value).unwrap();
    let at = START.plus_millis(10);
    let moved = |at| Issuance {
        attested: vec![fact("1001")],
        owner: Some("team b".into()),
        ..*keyed("a", at, 2, "k", "r")
    };
    assert_eq!(log.issue(&moved(at)), Err(Refusal::Repeated(first.clone(), 0)), "the same credential again");
    for selector in [Selector::Attested(fact("1000")), Selector::Owner("team a".parse().unwrap())] {
        let mut log = Log::default();
        log.issue(&first).unwrap();
        log.submit(Command::Lock(lock(selector.clone(), at.plus_millis(1000))), at).unwrap();
        let retry = log.issue(&moved(at.plus_millis(1)));
        assert!(matches!(retry, Err(Refusal::Locked(_))), "{selector}: {retry:?}");
        // What is asked for anew on other evidence is not what the lock names.
        assert!(log.issue(&Issuance { idempotency: None, ..moved(at.plus_millis(2)) }).is_ok(), "{selector}");
    }
}
