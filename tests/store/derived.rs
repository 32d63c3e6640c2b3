//! What is derived can be deleted: index and tiles.

use std::fs;

use hotwork::domain::digest::Digest;
use hotwork::domain::entry::Load;
use hotwork::domain::ledger::Command;
use hotwork::domain::merkle::consistency_holds;
use hotwork::domain::note::Checkpoint;
use hotwork::domain::revocation::Selector;
use hotwork::domain::time::Timestamp;
use hotwork::store::proof::receipt_holds;
use hotwork::store::{Filter, Ledger, prepare_emergency};

use crate::support::*;

/// Issues, ends and denials of several agents over some time.
fn busy(ledger: &Ledger, clock: &hotwork::clock::ManualClock, groups: u64) {
    for number in 0..groups {
        clock.advance_millis(1000);
        let now = START.plus_millis(1000 * (i64::try_from(number).unwrap() + 1));
        let name = ["a", "b", "c"][usize::try_from(number % 3).unwrap()];
        let command = if number % 5 == 4 {
            issue_with_key(now, number, name, &number.to_be_bytes(), b"r")
        } else {
            issue(now, number, name)
        };
        submit(ledger, command).unwrap();
        if number % 7 == 0 {
            submit(ledger, revoke_one(&issuance(now, number, name))).unwrap();
        }
        if number % 50 == 20 {
            submit(ledger, revoke(Selector::Agent(agent("b")))).unwrap();
        }
    }
}

fn everything(ledger: &Ledger, now: Timestamp) -> String {
    let filter = Filter { agent: None, tenants: vec![], include_ended: true, now };
    let mut all = String::new();
    let mut token = None;
    loop {
        let page = ledger.reader().credentials(&filter, 7, token).unwrap();
        for credential in page.credentials {
            let issuance = &credential.issuance;
            let ended = ledger.revocations().ended(&issuance.id, &issuance.agent, issuance.issued).cloned();
            let live_end = ended.filter(|_| issuance.expires > now);
            all += &format!("{credential:?} {live_end:?}\n");
        }
        let Some(next) = page.next else { break };
        token = Some(next.to_string().parse().unwrap());
    }
    for name in ["a", "b", "c"] {
        let last = ledger.reader().last_issue(&agent(name)).unwrap();
        all += &format!("{name} {} {last:?}\n", ledger.live_of(&agent(name), now));
    }
    all += &format!("epoch {}\n", ledger.revocations().epoch());
    all + &format!("{:?} {}", ledger.status(), ledger.index_digest().unwrap())
}

#[test]
fn a_deleted_index_is_rebuilt_to_the_identical_state() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    busy(&ledger, &clock, 200);
    let now = START.plus_millis(200_000);
    let before = everything(&ledger, now);
    assert!(before.lines().count() > 200);
    drop(ledger);
    let ledger = open(dir.path(), &clock);
    assert_eq!(everything(&ledger, now), before, "after a plain restart");
    drop(ledger);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let ledger = open(dir.path(), &clock);
    assert_eq!(everything(&ledger, now), before, "after a rebuild");
    let again = submit(&ledger, issue_with_key(now, 1000, "b", &199_u64.to_be_bytes(), b"r"));
    assert!(again.is_err(), "retry keys are rebuilt too");
}

#[test]
fn the_last_load_is_known_after_a_sweep_a_rebuild_and_an_emergency() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let load = |ledger: &Ledger, text: &str| {
        let registry = Digest::of(text.as_bytes());
        let load = Command::Load(Load { agents: 1, operator: None, policies: 1, registry });
        submit(ledger, load).unwrap();
        registry
    };
    let ledger = open(dir.path(), &clock);
    assert_eq!(ledger.reader().last_load().unwrap(), None);
    load(&ledger, "one");
    let two = load(&ledger, "two");
    // Older than all that the state is made of, and than what the index keeps.
    busy(&ledger, &clock, 20);
    clock.advance_millis(40 * 24 * 3_600_000);
    submit(&ledger, revoke(Selector::All)).unwrap();
    assert!(ledger.reader().sweep().unwrap() > 0);
    assert_eq!(ledger.reader().last_load().unwrap(), Some(two));
    drop(ledger);
    prepare_emergency(dir.path()).unwrap();
    let emergency = Ledger::open_emergency(options(dir.path(), &clock), &std::env::temp_dir()).unwrap();
    assert_eq!(emergency.reader().last_load().unwrap(), Some(two));
    let three = load(&emergency, "three");
    assert_eq!(emergency.reader().last_load().unwrap(), Some(three));
    drop(emergency);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(open(dir.path(), &clock).reader().last_load().unwrap(), Some(three));
}

#[test]
fn garbage_in_the_index_is_dropped_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    busy(&ledger, &clock, 30);
    let now = START.plus_millis(30_000);
    let before = everything(&ledger, now);
    drop(ledger);
    for file in ["conf", "db"] {
        let path = dir.path().join("index").join(file);
        let length = fs::read(&path).unwrap().len();
        fs::write(&path, vec![0x5a; length.min(4096)]).unwrap();
        assert_eq!(everything(&open(dir.path(), &clock), now), before, "{file}");
    }
}

#[test]
fn a_sweep_takes_old_records_out_of_the_index_and_leaves_the_log_whole() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut options = options(dir.path(), &clock);
    options.retention = std::time::Duration::from_secs(60);
    let ledger = Ledger::open(options).unwrap();
    busy(&ledger, &clock, 100);
    let size = ledger.status().size;
    // Record 0 expires at START + 121 s: it goes when the retention after that is over, not before.
    let sweep_at = |millis: i64| {
        clock.set(START.plus_millis(millis));
        assert_eq!(ledger.reader().sweep().unwrap(), 0, "the log's time counts, not the clock's");
        submit(&ledger, call()).unwrap();
        ledger.reader().sweep().unwrap()
    };
    assert_eq!((sweep_at(181_000), sweep_at(181_001)), (0, 1));
    let swept = sweep_at(200_500);
    assert!(swept > 10, "{swept}");
    assert!(ledger.reader().credential(id(START.plus_millis(1000), 0)).unwrap().is_none());
    assert!(ledger.reader().credential(id(START.plus_millis(100_000), 99)).unwrap().is_some());
    assert_eq!(ledger.status().size, size + 3);
    assert!(ledger.reader().entry(0).unwrap().is_some());
    let digest = ledger.index_digest().unwrap();
    drop(ledger);
    let ledger = open(dir.path(), &clock);
    assert_eq!(ledger.index_digest().unwrap(), digest, "no gap and no rebuild");
    assert!(ledger.reader().credential(id(START.plus_millis(1000), 0)).unwrap().is_none());
}

#[test]
fn every_entry_has_a_receipt_that_holds_also_when_the_tiles_are_gone_or_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut options_ = options(dir.path(), &clock);
    options_.segment_bytes_max = 50_000;
    let ledger = Ledger::open(options_).unwrap();
    let mut heads = Vec::new();
    for number in 0..700 {
        submit(&ledger, issue(START, number, "a")).unwrap();
        if number % 37 == 0 {
            heads.push(ledger.status());
        }
    }
    let check = |ledger: &Ledger| {
        let reader = ledger.reader();
        for index in (0..700).step_by(13).chain([255, 256, 511, 512, 699]) {
            let (entry, receipt) = (reader.entry(index).unwrap().unwrap(), reader.inclusion(index).unwrap());
            assert!(receipt_holds(&receipt, &entry, ledger.verifier_key()).unwrap(), "{index}");
            assert!(!receipt_holds(&receipt, b"{}", ledger.verifier_key()).unwrap(), "{index}");
        }
        assert!(reader.inclusion(700).is_err());
        for old in &heads {
            let (proof, note) = reader.consistency(old.size).unwrap();
            let (new, _) = Checkpoint::parse(&note, ledger.verifier_key()).unwrap();
            assert!(consistency_holds(old.size, &old.root, new.size, &new.root, &proof), "{}", old.size);
        }
        assert!(reader.consistency(0).is_err());
        assert!(reader.consistency(701).is_err());
    };
    check(&ledger);
    let tile = dir.path().join("tiles/tile/0/001");
    let good = fs::read(&tile).unwrap();
    fs::write(&tile, vec![7; good.len()]).unwrap();
    check(&ledger);
    assert_eq!(fs::read(&tile).unwrap(), good, "the tile was mended");
    drop(ledger);
    fs::write(&tile, vec![7; good.len()]).unwrap();
    check(&open(dir.path(), &clock));
    fs::remove_dir_all(dir.path().join("tiles")).unwrap();
    check(&open(dir.path(), &clock));
    assert!(fs::read_dir(dir.path().join("journal")).unwrap().count() > 5, "several segments");
}
