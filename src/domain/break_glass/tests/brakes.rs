//! What an open brake shuts, and what only looks like it.

use super::*;
use crate::domain::playbook::Restriction;
use crate::domain::revocation::{Lock, Selector, Terms};

#[test]
fn the_locks_of_an_open_brake_are_known_and_nothing_that_only_looks_like_them() {
    let action: Selector = Selector::Action("demo.read".parse().unwrap());
    let restriction = Restriction { lock: vec![action.clone()], revoke: Vec::new() };
    let brake = |drill| Opening { scope: Scope::Restrict(restriction.clone()), ..opening("freeze", drill) };
    let opened = |brake: Opening| {
        let proposal = proposal(1, Asks::Open(brake), START);
        let mut log = Log::default();
        let mut now = START;
        for person in ["alice", "bob"] {
            now = now.plus_millis(1);
            log.sign(&proposal, person, 1, now).unwrap();
        }
        (log.sessions, now)
    };
    let (sessions, now) = opened(brake(false));
    let held = sessions.get(session(1)).unwrap();
    let good = Lock {
        operator: "bob".parse().unwrap(),
        selector: action,
        tenants: Vec::new(),
        terms: Terms { expires: held.until, message: held.message().unwrap() },
    };
    assert!(sessions.brakes(&good, now));
    assert!(!sessions.brakes(&good, held.until), "it is over");
    for bad in [
        Lock { selector: Selector::All, ..good.clone() },
        Lock { tenants: vec!["t".parse().unwrap()], ..good.clone() },
        Lock { terms: Terms { message: "frozen".parse().unwrap(), ..good.terms.clone() }, ..good.clone() },
        Lock { terms: Terms { expires: held.until.plus_millis(1), ..good.terms.clone() }, ..good.clone() },
    ] {
        assert!(!sessions.brakes(&bad, now), "{bad:?}");
    }
    let (drill, now) = opened(brake(true));
    assert!(!drill.brakes(&good, now));
}
