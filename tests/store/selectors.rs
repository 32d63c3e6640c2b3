//! Every selector against a plain model, over restarts and rebuilds.

use std::fs;

use hotwork::domain::credential::Issuance;
use hotwork::domain::entry::Call;
use hotwork::domain::evidence::Selector as Fact;
use hotwork::domain::id::{Lineage, Serial};
use hotwork::domain::ledger::Command;
use hotwork::domain::limits::{COUNT_ENTRIES, VERIFY_LEEWAY_SECONDS_MAX};
use hotwork::domain::revocation::{KEPT_MS, LINEAGE_MS, Lock, Revocation, Selector, Terms, Unlock};
use hotwork::domain::time::Timestamp;
use hotwork::store::{Covered, Ledger};
use proptest::prelude::*;

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Issue(u8),
    Revoke { kind: u8, value: u8, before: Option<i64>, scoped: bool, lock: bool },
    Unlock,
    Wait(i64),
    Restart { rebuild: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let revoke = (0_u8..13, 0_u8..3, prop::option::of(0_i64..3000), any::<bool>(), prop::bool::weighted(0.2));
    let revoke = revoke.prop_map(|(kind, value, before, scoped, lock)| Step::Revoke {
        kind,
        value,
        before,
        scoped,
        lock: lock && kind < 11 && before.is_none(),
    });
    let step = prop_oneof![
        8 => any::<u8>().prop_map(Step::Issue),
        5 => revoke,
        1 => Just(Step::Unlock),
        2 => (1_i64..4000).prop_map(Step::Wait),
        1 => (KEPT_MS - 2000..KEPT_MS + 2000).prop_map(Step::Wait),
        2 => any::<bool>().prop_map(|rebuild| Step::Restart { rebuild }),
    ];
    prop::collection::vec(step, 1..60)
}

/// A credential whose facts are chosen by the bits of `shape`.
fn shaped(at: Timestamp, number: u64, shape: u8) -> Issuance {
    let pick = |bit: u8| (shape >> bit) & 1;
    let mut record = issuance(at, number, ["a", "b"][usize::from(pick(0))]);
    if pick(1) == 1 {
        record.agent =
            format!("spiffe://example.org/tenant/other/agent/{}", record.agent.name()).parse().unwrap();
    }
    record.action = ["demo.read", "demo.write"][usize::from(pick(2))].parse().unwrap();
    record.resource = ["repo/acme/site", "repo/acmes"][usize::from(pick(3))].parse().unwrap();
    record.owner = Some(["team a", "team b"][usize::from(pick(4))].into());
    record.principal = ["user:1", "user:2"][usize::from(pick(5))].into();
    record.key = Some(["key-1", "key-2"][usize::from(pick(6))].into());
    record.attested = vec![Fact::new("unix.uid", ["1000", "1001"][usize::from(pick(7))]).unwrap()];
    record.lineage = Lineage::new(START, &[shape % 3; 10]);
    record.serial = shape.is_multiple_of(2).then(|| Serial::new([shape; 16]));
    record
}

fn selector(kind: u8, value: u8, credentials: &[(Issuance, Option<u64>)]) -> Selector {
    let one = usize::from(value % 2);
    let known = credentials.get(usize::from(value)).map(|(record, _)| record);
    match kind {
        0 => Selector::Action(["demo.read", "demo.write"][one].parse().unwrap()),
        1 => Selector::Agent(agent(["a", "b"][one])),
        2 => Selector::All,
        3 => Selector::Api(["demo", "other"][one].parse().unwrap()),
        4 => Selector::Attested(Fact::new("unix.uid", ["1000", "1001"][one]).unwrap()),
        5 => Selector::Key(["key-1", "key-2"][one].parse().unwrap()),
        6 => Selector::Lineage(Lineage::new(START, &[value % 3; 10])),
        7 => Selector::Owner(["team a", "team b"][one].parse().unwrap()),
        8 => Selector::Principal(["user:1", "user:2"][one].parse().unwrap()),
        9 => Selector::Resource(["repo/acme", "repo"][one].parse().unwrap()),
        10 => Selector::Tenant(["acme", "other"][one].parse().unwrap()),
        11 => Selector::Serial(known.and_then(|record| record.serial).unwrap_or(Serial::new([9; 16]))),
        _ => known.map_or(Selector::All, |record| Selector::Credential(record.id)),
    }
}

/// What a selector names, said once more in plain words.
fn names(selector: &Selector, record: &Issuance) -> bool {
    match selector {
        Selector::Action(action) => record.action == *action,
        Selector::Agent(agent) => record.agent == *agent,
        Selector::All => true,
        Selector::Api(api) => record.action.as_str().starts_with(&format!("{api}.")),
        Selector::Attested(fact) => record.attested.contains(fact),
        Selector::Credential(id) => record.id == *id,
        Selector::Key(key) => record.key.as_deref() == Some(key.as_str()),
        Selector::Lineage(lineage) => record.lineage == *lineage,
        Selector::Owner(owner) => record.owner.as_deref() == Some(owner.as_str()),
        Selector::Principal(principal) => *record.principal == *principal.as_str(),
        Selector::Resource(above) => {
            format!("{}/", record.resource.as_str()).starts_with(&format!("{}/", above.as_str()))
        }
        Selector::Serial(serial) => record.serial == Some(*serial),
        Selector::Tenant(tenant) => record.agent.tenant() == tenant,
    }
}

struct Ended {
    revocation: Revocation,
    time: Timestamp,
}

impl Ended {
    fn covers(&self, record: &Issuance) -> bool {
        let Revocation { selector, issued_before, tenants, .. } = &self.revocation;
        let mine = tenants.is_empty() || tenants.contains(record.agent.tenant());
        let for_good = matches!(selector, Selector::Lineage(_) | Selector::Credential(_));
        let minted = match issued_before {
            Some(before) if !matches!(selector, Selector::Credential(_)) => {
                record.issued < *before && record.issued <= self.time
            }
            _ => for_good || record.issued <= self.time,
        };
        mine && minted && names(selector, record)
    }
}

struct Model {
    credentials: Vec<(Issuance, Option<u64>)>,
    ends: Vec<Ended>,
    locks: Vec<(u64, Selector, Vec<String>, Timestamp)>,
    size: u64,
    epoch: u64,
}

impl Model {
    fn locked(&self, record: &Issuance, now: Timestamp) -> bool {
        self.locks.iter().any(|(_, selector, tenants, expires)| {
            let mine =
                tenants.is_empty() || tenants.iter().any(|name| name == record.agent.tenant().as_str());
            mine && now < *expires && names(selector, record)
        })
    }

    fn check(&self, ledger: &Ledger, now: Timestamp) {
        let revocations = ledger.revocations();
        let leeway_ms = i64::from(VERIFY_LEEWAY_SECONDS_MAX) * 1000;
        for (record, ended) in &self.credentials {
            // What verifiers can still take must be in the snapshot.
            if record.expires.plus_millis(leeway_ms) > now {
                assert_eq!(revocations.ended_issuance(record).is_some(), ended.is_some(), "{record:?}");
            }
            let found = ledger.reader().credential(record.id).unwrap().unwrap();
            assert_eq!(found.ended.map(|ended| ended.index), *ended, "{record:?}");
        }
        assert_eq!((revocations.epoch(), ledger.status().size), (self.epoch, self.size));
        let locks = ledger.locks();
        let in_force = locks.iter().filter(|held| now < held.lock.terms.expires).map(|held| held.index);
        let wanted = self.locks.iter().filter(|(.., expires)| now < *expires).map(|(index, ..)| *index);
        assert_eq!(in_force.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn selectors_agree_with_a_plain_model_over_restarts_and_rebuilds(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let mut ledger = Some(open(dir.path(), &clock));
        let mut now = START;
        let mut model = Model { credentials: vec![], ends: vec![], locks: vec![], size: 0, epoch: 0 };
        for (number, step) in (0_u64..).zip(&steps) {
            now = now.plus_millis(1);
            clock.set(now);
            let live = ledger.as_ref().unwrap();
            match step {
                Step::Issue(shape) => {
                    let record = shaped(now, number, *shape);
                    let refused = model.locked(&record, now) || model.ends.iter().any(|end| end.covers(&record));
                    let result = submit(live, Command::Issue(Box::new(record.clone())));
                    prop_assert_eq!(result.is_err(), refused, "{:?}", result);
                    if !refused {
                        model.credentials.push((record, None));
                        model.size += 1;
                    }
                }
                Step::Revoke { kind, value, before, scoped, lock } => {
                    let selector = selector(*kind, *value, &model.credentials);
                    let tenants = if *scoped { vec!["acme".parse().unwrap()] } else { vec![] };
                    let mut revocation = Revocation {
                        issued_before: before.map(|ago| now.plus_millis(-ago)),
                        tenants: tenants.clone(),
                        lock: lock.then(|| Terms { expires: now.plus_millis(3000), message: "x".parse().unwrap() }),
                        ..revocation(selector.clone())
                    };
                    let mut command = Command::Revoke { revocation: revocation.clone(), target: None };
                    if let Selector::Credential(id) = &selector {
                        let (record, ended) = model.credentials.iter().find(|(record, _)| record.id == *id).unwrap();
                        if ended.is_some() || record.expires <= now { continue }
                        revocation = self::revocation(selector.clone());
                        command = revoke_one(record);
                    }
                    let covered = Covered {
                        selector: selector.clone(),
                        tenants: tenants.clone(),
                        until: revocation.until(now),
                    };
                    let end = Ended { revocation, time: now };
                    let known = live.revocations();
                    let wanted: Vec<_> = model.credentials.iter_mut().filter(|(record, ended)| {
                        ended.is_none() && end.covers(record) && record.expires > now
                    }).collect();
                    if !matches!(selector, Selector::Credential(_)) {
                        let later = std::time::Instant::now() + std::time::Duration::from_secs(60);
                        let count = live.reader().count_live(&covered, &known, now, later).unwrap();
                        prop_assert_eq!((count.live, count.complete), (wanted.len() as u64, true));
                    }
                    let recorded = submit(live, command).unwrap();
                    wanted.into_iter().for_each(|(_, ended)| *ended = Some(recorded.index()));
                    if *lock {
                        let tenants = tenants.iter().map(ToString::to_string).collect();
                        model.locks.push((recorded.index(), selector, tenants, now.plus_millis(3000)));
                    }
                    model.ends.push(end);
                    model.size += 1;
                    model.epoch = model.size;
                }
                Step::Unlock => {
                    let Some((index, ..)) = model.locks.iter().find(|(.., expires)| now < *expires).cloned() else {
                        continue;
                    };
                    submit(live, Command::Unlock(Unlock { lock: index, operator: "olga".parse().unwrap() })).unwrap();
                    model.locks.retain(|(other, ..)| *other != index);
                    model.size += 1;
                }
                Step::Wait(millis) => now = now.plus_millis(*millis),
                Step::Restart { rebuild } => {
                    let digest = live.index_digest().unwrap();
                    drop(ledger.take());
                    if *rebuild {
                        fs::remove_dir_all(dir.path().join("index")).unwrap();
                    }
                    let again = open(dir.path(), &clock);
                    prop_assert_eq!(again.index_digest().unwrap(), digest);
                    ledger = Some(again);
                }
            }
            model.check(ledger.as_ref().unwrap(), now);
        }
    }
}

#[test]
fn a_lock_made_long_ago_and_an_ended_lineage_are_found_after_a_restart_and_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let lineage = Lineage::new(START, &[3; 10]);
    submit(&ledger, revoke(Selector::Lineage(lineage))).unwrap();
    let terms = Terms { expires: START.plus_millis(KEPT_MS * 10), message: "frozen".parse().unwrap() };
    let selector = Selector::Action("demo.write".parse().unwrap());
    let lock = Lock { operator: "olga".parse().unwrap(), selector, tenants: Vec::new(), terms };
    submit(&ledger, Command::Lock(lock.clone())).unwrap();
    submit(&ledger, Command::Lock(Lock { selector: Selector::All, ..lock })).unwrap();
    submit(&ledger, Command::Unlock(Unlock { lock: 2, operator: "olga".parse().unwrap() })).unwrap();
    // So much later that neither is replayed.
    let now = START.plus_millis(KEPT_MS * 3);
    clock.set(now);
    let mut other = issuance(now, 1, "a");
    other.lineage = Lineage::new(now, &[4; 10]);
    submit(&ledger, Command::Issue(Box::new(other.clone()))).unwrap();
    let digest = ledger.index_digest().unwrap();
    drop(ledger);
    for rebuild in [false, true] {
        if rebuild {
            fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let ledger = open(dir.path(), &clock);
        assert_eq!(ledger.index_digest().unwrap(), digest);
        let locks: Vec<u64> = ledger.locks().iter().map(|held| held.index).collect();
        assert_eq!(locks, [1]);
        let child = Issuance { lineage, ..issuance(now, 2, "a") };
        assert!(submit(&ledger, Command::Issue(Box::new(child))).is_err());
        let mut locked = other.clone();
        locked.action = "demo.write".parse().unwrap();
        locked.id = id(now, 3);
        assert!(submit(&ledger, Command::Issue(Box::new(locked))).is_err());
        assert_eq!(ledger.revocations().epoch(), 1);
    }
}

#[test]
fn a_sweep_takes_old_watermarks_and_leaves_lineages_and_locks() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut options = options(dir.path(), &clock);
    options.retention = std::time::Duration::from_secs(60);
    let ledger = Ledger::open(options).unwrap();
    submit(&ledger, issue(START, 1, "a")).unwrap();
    submit(&ledger, revoke(Selector::Api("demo".parse().unwrap()))).unwrap();
    submit(&ledger, revoke(Selector::Lineage(Lineage::new(START, &[8; 10])))).unwrap();
    let terms = Terms { expires: START.plus_millis(KEPT_MS * 10), message: "frozen".parse().unwrap() };
    let lock =
        Lock { operator: "olga".parse().unwrap(), selector: Selector::All, tenants: Vec::new(), terms };
    submit(&ledger, Command::Lock(lock)).unwrap();
    let now = START.plus_millis(KEPT_MS * 3);
    clock.set(now);
    let call = Call {
        allowed: true,
        operator: "olga".parse().unwrap(),
        reason: None,
        rpc: "x/Y".to_owned(),
        statement: None,
    };
    submit(&ledger, Command::Call(call)).unwrap();
    assert_eq!(ledger.reader().sweep().unwrap(), 1);
    let epoch = ledger.revocations().epoch();
    drop(ledger);
    let ledger = open(dir.path(), &clock);
    assert_eq!((ledger.locks().iter().count(), ledger.revocations().len()), (1, 1));
    assert_eq!(ledger.revocations().epoch(), epoch, "also when what made it was swept");
}

#[test]
fn a_key_that_ended_for_good_long_ago_is_found_again_and_a_lineage_that_is_over_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let lineage = Lineage::new(START, &[3; 10]);
    submit(&ledger, revoke(Selector::Lineage(lineage))).unwrap();
    let key = Revocation { for_good: true, ..revocation(Selector::Key("old".parse().unwrap())) };
    submit(&ledger, Command::Revoke { revocation: key, target: None }).unwrap();
    drop(ledger);
    let call = || {
        Command::Call(Call {
            allowed: true,
            operator: "olga".parse().unwrap(),
            reason: None,
            rpc: "x/Y".to_owned(),
            statement: None,
        })
    };
    for (millis, kept) in [(LINEAGE_MS, 2), (LINEAGE_MS + KEPT_MS + 2_000, 1)] {
        let now = START.plus_millis(millis);
        clock.set(now);
        for rebuild in [false, true] {
            if rebuild {
                fs::remove_dir_all(dir.path().join("index")).unwrap();
            }
            let ledger = open(dir.path(), &clock);
            // The newest entry says what time it is.
            submit(&ledger, call()).unwrap();
            drop(ledger);
            let ledger = open(dir.path(), &clock);
            assert_eq!(ledger.revocations().len(), kept, "{millis} {rebuild}");
            assert!(ledger.revocations().key_ended("old"), "{millis} {rebuild}");
            let signed = Issuance { key: Some("old".into()), ..issuance(now, 2, "a") };
            let refused = |record: Issuance| submit(&ledger, Command::Issue(Box::new(record))).is_err();
            assert!(refused(signed), "{millis} {rebuild}");
            assert!(refused(Issuance { lineage, ..issuance(now, 3, "a") }), "{millis} {rebuild}");
        }
    }
}

#[test]
fn a_count_whose_time_is_over_stops_and_says_that_it_is_not_all() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let many = u64::try_from(COUNT_ENTRIES).unwrap() * 2;
    for number in 0..many {
        submit(&ledger, issue(START, number, "a")).unwrap();
    }
    let selector = Selector::Api("demo".parse().unwrap());
    let covered = Covered { selector, tenants: vec![], until: None };
    let count = |deadline| {
        let count = ledger.reader().count_live(&covered, &ledger.revocations(), START, deadline).unwrap();
        (count.live, count.complete)
    };
    let now = std::time::Instant::now();
    assert_eq!(count(now + std::time::Duration::from_secs(600)), (many, true));
    let (found, complete) = count(now);
    assert!(!complete && found <= many / 2, "{found} of {many}");
}
