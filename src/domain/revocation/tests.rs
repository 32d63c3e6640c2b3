//! Selectors against the record, one by one.

use super::*;
use crate::domain::fixture::{issuance, revocation};
use crate::domain::id::Lineage;

const AT: Timestamp = Timestamp::from_seconds(1_763_900_000);

fn record() -> Issuance {
    let mut record = issuance("a", AT, 1);
    record.serial = Some(crate::domain::id::Serial::new([7; 16]));
    record
}

fn ended(revoked: &Revocation, record: &Issuance, time: Timestamp) -> bool {
    let mut revocations = Revocations::default();
    revocations.end_many(&revoked.selector, Mark::of(revoked, time, 1));
    revocations.ended_issuance(record).is_some()
}

/// Every kind with a selector that names the record, and one that does not.
fn selectors() -> Vec<(Selector, Option<Selector>)> {
    let fact = |value| crate::domain::evidence::Selector::new("unix.uid", value).unwrap();
    let other = Lineage::new(AT, &[9; 10]);
    vec![
        (
            Selector::Action("demo.read".parse().unwrap()),
            Some(Selector::Action("demo.write".parse().unwrap())),
        ),
        (
            Selector::Agent("spiffe://td/tenant/t/agent/a".parse().unwrap()),
            Some(Selector::Agent("spiffe://td/tenant/u/agent/a".parse().unwrap())),
        ),
        (Selector::All, None),
        (Selector::Api("demo".parse().unwrap()), Some(Selector::Api("dem".parse().unwrap()))),
        (Selector::Attested(fact("1000")), Some(Selector::Attested(fact("100")))),
        (Selector::Key("key-1".parse().unwrap()), Some(Selector::Key("key-2".parse().unwrap()))),
        (Selector::Lineage(record().lineage), Some(Selector::Lineage(other))),
        (Selector::Owner("team a".parse().unwrap()), Some(Selector::Owner("team".parse().unwrap()))),
        (Selector::Principal("a".parse().unwrap()), Some(Selector::Principal("b".parse().unwrap()))),
        (Selector::Resource("demo".parse().unwrap()), Some(Selector::Resource("dem".parse().unwrap()))),
        (
            Selector::Resource("demo/hello".parse().unwrap()),
            Some(Selector::Resource("demo/hello/x".parse().unwrap())),
        ),
        (
            Selector::Serial(crate::domain::id::Serial::new([7; 16])),
            Some(Selector::Serial(crate::domain::id::Serial::new([8; 16]))),
        ),
        (Selector::Tenant("t".parse().unwrap()), Some(Selector::Tenant("u".parse().unwrap()))),
    ]
}

#[test]
fn each_selector_ends_what_it_names_and_nothing_else() {
    for (names, other) in selectors() {
        assert!(ended(&revocation(names.clone()), &record(), AT), "{names}");
        if let Some(other) = other {
            assert!(!ended(&revocation(other.clone()), &record(), AT), "{other}");
        }
    }
}

#[test]
fn a_watermark_ends_what_was_minted_then_or_before_and_a_lineage_ends_for_good() {
    let mut later = record();
    later.issued = AT.plus_millis(1);
    for (selector, _) in selectors() {
        let for_good = matches!(selector, Selector::Lineage(_));
        assert_eq!(ended(&revocation(selector.clone()), &later, AT), for_good, "{selector}");
    }
}

#[test]
fn issued_before_spares_that_very_instant_and_can_not_reach_the_future() {
    for (selector, _) in selectors() {
        let before = |at| Revocation { issued_before: Some(at), ..revocation(selector.clone()) };
        assert!(!ended(&before(AT), &record(), AT.plus_millis(50)), "{selector}");
        assert!(ended(&before(AT.plus_millis(1)), &record(), AT.plus_millis(50)), "{selector}");
        let mut later = record();
        later.issued = AT.plus_millis(51);
        assert!(!ended(&before(AT.plus_millis(90)), &later, AT.plus_millis(50)), "{selector}");
    }
}

#[test]
fn a_scoped_revocation_ends_nothing_of_other_tenants() {
    for (selector, _) in selectors() {
        let scoped = |name: &str| Revocation {
            tenants: vec!["x".parse().unwrap(), name.parse().unwrap()],
            ..revocation(selector.clone())
        };
        assert!(ended(&scoped("t"), &record(), AT), "{selector}");
        assert!(!ended(&scoped("u"), &record(), AT), "{selector}");
    }
}

#[test]
fn a_narrower_watermark_never_takes_the_place_of_a_wider_one() {
    let selector = Selector::Action("demo.read".parse().unwrap());
    let all = revocation(selector.clone());
    let old = Revocation { issued_before: Some(AT), ..all.clone() };
    let scoped = Revocation { tenants: vec!["u".parse().unwrap()], ..all.clone() };
    for order in [[&all, &old, &scoped], [&old, &scoped, &all], [&scoped, &all, &old]] {
        let mut revocations = Revocations::default();
        for (index, revoked) in (0_u64..).zip(order) {
            revocations.end_many(&selector, Mark::of(revoked, AT, index));
        }
        assert!(revocations.ended_issuance(&record()).is_some());
    }
}

#[test]
fn an_end_is_forgotten_when_nobody_can_take_what_it_ended() {
    for (selector, _) in selectors() {
        let day = if matches!(selector, Selector::Lineage(_)) { LINEAGE_MS } else { 0 };
        let kept = day + KEPT_MS;
        let mut revocations = Revocations::default();
        revocations.end_many(&selector, Mark::of(&revocation(selector.clone()), AT, 1));
        let told = revocations.deltas().next().unwrap().forget;
        assert_eq!(told, Some(AT.plus_millis(kept)), "{selector}");
        revocations.forget(&selector, AT.plus_millis(kept - 1));
        assert_eq!(revocations.len(), 1, "{selector}");
        revocations.forget(&selector, AT.plus_millis(kept));
        assert!(revocations.is_empty(), "{selector}");
    }
}

#[test]
fn a_key_that_ended_for_good_ends_what_it_signs_with_whatever_time_and_is_never_forgotten() {
    let selector = Selector::Key("key-1".parse().unwrap());
    let revoked = Revocation { for_good: true, ..revocation(selector.clone()) };
    let mut revocations = Revocations::default();
    revocations.end_many(&selector, Mark::of(&revoked, AT, 1));
    let mut later = record();
    later.issued = AT.plus_millis(KEPT_MS * 100);
    assert!(revocations.ended_issuance(&later).is_some());
    assert!(revocations.key_ended("key-1") && !revocations.key_ended("key-2"));
    let delta = revocations.deltas().next().unwrap();
    assert_eq!((delta.until, delta.forget), (None, None));
    revocations.forget(&selector, AT.plus_millis(KEPT_MS * 1000));
    assert!(revocations.key_ended("key-1"));
    // An ordinary end of the key is none for good.
    let mut ordinary = Revocations::default();
    ordinary.end_many(&selector, Mark::of(&revocation(selector.clone()), AT, 1));
    assert!(!ordinary.key_ended("key-1"));
}

#[test]
fn counts_are_exact_until_something_ended_that_they_can_not_tell() {
    for (selector, _) in selectors() {
        let told = matches!(selector, Selector::Agent(_) | Selector::All | Selector::Tenant(_));
        let mut revocations = Revocations::default();
        assert!(!revocations.is_untold(AT));
        revocations.end_many(&selector, Mark::of(&revocation(selector.clone()), AT, 1));
        assert_eq!(revocations.is_untold(AT.plus_millis(KEPT_MS - 1)), !told, "{selector}");
        assert!(!revocations.is_untold(AT.plus_millis(KEPT_MS)), "{selector}");
        let before = Revocation { issued_before: Some(AT), ..revocation(selector.clone()) };
        let mut revocations = Revocations::default();
        revocations.end_many(&selector, Mark::of(&before, AT, 1));
        assert!(revocations.is_untold(AT), "{selector}");
        // The newest counts, and one that counts tell takes nothing back.
        let later = AT.plus_millis(KEPT_MS / 2);
        revocations.end_many(&selector, Mark::of(&before, later, 2));
        revocations.end_many(&Selector::All, Mark::of(&revocation(Selector::All), later, 3));
        assert!(revocations.is_untold(AT.plus_millis(KEPT_MS - 1)), "{selector}");
        assert!(!revocations.is_untold(later.plus_millis(KEPT_MS)), "{selector}");
    }
}

#[test]
fn the_feed_tells_every_end_that_is_in_force() {
    let mut revocations = Revocations::default();
    for (index, (selector, _)) in (0_u64..).zip(selectors()) {
        revocations.end_many(&selector, Mark::of(&revocation(selector.clone()), AT, index));
    }
    revocations.end_one(record().id, Arc::new(release(&record().agent, AT, 99)));
    let told: std::collections::HashSet<Selector> =
        revocations.deltas().map(|delta| delta.selector).collect();
    assert!(selectors().iter().all(|(selector, _)| told.contains(selector)));
    assert!(told.contains(&Selector::Credential(record().id)));
    assert_eq!(told.len(), revocations.len());
}

#[test]
fn a_lock_refuses_what_it_names_until_it_expires() {
    for (selector, other) in selectors() {
        let terms = Terms { expires: AT.plus_millis(1000), message: "frozen".parse().unwrap() };
        let lock = Lock {
            operator: "olga".parse().unwrap(),
            selector: selector.clone(),
            tenants: vec!["t".parse().unwrap()],
            terms,
        };
        let mut locks = Locks::default();
        locks.add(InForce { index: 5, time: AT, lock: lock.clone() });
        let record = record();
        let refuses = |locks: &Locks, at| locks.refusing(&Facts::from(&record), at).is_some();
        assert!(refuses(&locks, AT.plus_millis(999)), "{selector}");
        assert!(!refuses(&locks, AT.plus_millis(1000)), "{selector}");
        locks.remove(5);
        assert!(!refuses(&locks, AT), "{selector}");
        let tenants = vec!["u".parse().unwrap()];
        locks.add(InForce { index: 6, time: AT, lock: Lock { tenants, ..lock.clone() } });
        assert!(!refuses(&locks, AT), "{selector}");
        if let Some(other) = other {
            locks.add(InForce { index: 7, time: AT, lock: Lock { selector: other, ..lock } });
            assert!(!refuses(&locks, AT), "{selector}");
        }
    }
}
