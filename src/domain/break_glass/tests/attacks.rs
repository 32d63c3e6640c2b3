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
