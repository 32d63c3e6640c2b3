//! A merge that does not get to its end: what it left is gone on with, by the next start and by the next emergency.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hotwork::domain::entry::{Entry, Event};
use hotwork::store::fault::{FaultyFileSystem, Operation};
use hotwork::store::{Ledger, LedgerError, OpenError};

use crate::emergency::*;
use crate::support::*;

/// Two groups and the entry that closes them.
const APPENDED: u64 = 3;

/// A merge whose `step`-th call of `operation` fails; `None` when it has no such step.
fn cut(dir: &Path, operation: Operation, step: u64) -> Option<Result<Ledger, OpenError>> {
    let faults = FaultyFileSystem::default();
    faults.arm(operation, step, EIO);
    let opened = unlocked(|| {
        let mut broken = options(dir, &clock());
        broken.medium = Arc::new(faults.clone());
        Ledger::open(broken)
    });
    if faults.failures() == 0 {
        drop(opened.unwrap());
        return None;
    }
    Some(opened)
}

/// Runs `then` on what a merge leaves that stops at each of its steps in turn.
fn at_each_step(then: impl Fn(&Path, Operation, u64)) {
    for operation in [Operation::Write, Operation::Sync] {
        for step in 0.. {
            let dir = tempfile::tempdir().unwrap();
            in_emergency(dir.path());
            let Some(opened) = cut(dir.path(), operation, step) else {
                assert!(step >= 2 * APPENDED, "what is appended, and three steps of emptying: {step}");
                break;
            };
            // Without an empty journal the merge is whole all the same.
            assert_eq!(opened.is_err(), step < APPENDED, "{operation:?} {step}");
            if let Ok(ledger) = &opened {
                submit(ledger, issue(START, 20, "a")).unwrap();
            }
            drop(opened);
            then(dir.path(), operation, step);
        }
    }
}

fn is_empty(dir: &Path) -> bool {
    fs::read(file(dir)).unwrap().iter().all(|byte| *byte == 0)
}

/// Each revocation of the log by what it is of, and how many merges there are.
fn told(ledger: &Ledger) -> (Vec<String>, usize) {
    let all: Vec<Event> = entries(ledger).iter().map(|json| Entry::from_json(json).unwrap().event).collect();
    let merges = all.iter().filter(|event| matches!(event, Event::Merge(_))).count();
    let revoked = all.into_iter().filter_map(|event| match event {
        Event::Revoke(revocation) => Some(revocation.selector.to_string()),
        _ => None,
    });
    (revoked.collect(), merges)
}

#[test]
fn a_merge_that_is_cut_at_any_step_goes_on_at_the_next_start() {
    at_each_step(|dir, operation, step| {
        // What a crash leaves can be audited, merged or not.
        let torn = operation == Operation::Write && step < APPENDED;
        assert!(audit(dir).is_ok() || torn, "{operation:?} {step}");
        if step < APPENDED {
            is_merged(dir);
        } else {
            let ledger = open(dir, &clock());
            assert_eq!((entries(&ledger).len(), told(&ledger).1), (7, 1), "{operation:?} {step}");
            assert!(is_empty(dir), "{operation:?} {step}");
        }
    });
}

#[test]
fn an_emergency_takes_what_any_step_of_a_merge_left() {
    at_each_step(|dir, operation, step| {
        let ledger = emergency(dir).unwrap();
        assert!(ledger.revocations().epoch() >= 5, "{operation:?} {step}");
        let at = ledger.status().size;
        assert_eq!(lock_out(&ledger, "three"), Ok(at), "{operation:?} {step}");
        drop(ledger);
        let again = emergency(dir).unwrap();
        assert_eq!(lock_out(&again, "four"), Ok(at + 1), "{operation:?} {step}");
        drop(again);
        let ledger = open(dir, &clock());
        let (revoked, merges) = told(&ledger);
        let names = ["one", "two", "three", "four"].map(|name| format!("tenant {name}"));
        assert_eq!(revoked, names, "{operation:?} {step}");
        assert!((1..=2).contains(&merges) && is_empty(dir), "{operation:?} {step}: {merges}");
        drop(ledger);
        assert_eq!(audit(dir).unwrap().emergency, 0);
    });
}

#[test]
fn what_is_merged_already_is_found_to_be_so_however_far_the_log_went() {
    let dir = tempfile::tempdir().unwrap();
    in_emergency(dir.path());
    let kept = fs::read(file(dir.path())).unwrap();
    is_merged(dir.path());
    fs::write(file(dir.path()), &kept).unwrap();
    assert_eq!(audit(dir.path()).unwrap().emergency, 0);
    is_merged(dir.path());
    // Also when the log went on meanwhile.
    let ledger = open(dir.path(), &clock());
    submit(&ledger, issue(START, 20, "a")).unwrap();
    drop(ledger);
    fs::write(file(dir.path()), &kept).unwrap();
    assert_eq!(entries(&open(dir.path(), &clock())).len(), 7);
    fs::write(file(dir.path()), &kept).unwrap();
    assert_eq!(lock_out(&emergency(dir.path()).unwrap(), "three"), Ok(7));
}

#[test]
fn an_emergency_that_wrote_nothing_stands_in_no_other_one_s_way() {
    let dir = tempfile::tempdir().unwrap();
    ready(dir.path());
    drop(emergency(dir.path()).unwrap());
    let kept = fs::read(file(dir.path())).unwrap();
    assert!(kept.iter().any(|byte| *byte != 0), "it has begun");
    let ledger = open(dir.path(), &clock());
    issue_some(&ledger, 3..6, "a");
    drop(ledger);
    fs::write(file(dir.path()), &kept).unwrap();
    assert_eq!(lock_out(&emergency(dir.path()).unwrap(), "one"), Ok(6));
    assert_eq!(entries(&open(dir.path(), &clock())).len(), 8);
    // But it has seen a log of three entries, and a shorter one is none that went on.
    let other = tempfile::tempdir().unwrap();
    drop(open(other.path(), &clock()));
    fs::create_dir_all(other.path().join("emergency")).unwrap();
    fs::write(file(other.path()), &kept).unwrap();
    assert!(matches!(emergency(other.path()), Err(OpenError::Damaged(_))));
}

#[test]
fn a_disk_with_little_room_takes_the_merge_and_is_ready_for_the_next_emergency() {
    let Some(disk) = Mounted::new() else {
        eprintln!("SKIPPED: a_disk_with_little_room_takes_the_merge needs root to mount a small file system");
        return;
    };
    let dir = disk.0.path().join("data");
    in_emergency(&dir);
    // Less than a second emergency journal would take.
    let ballast = disk.fill();
    let full = fs::metadata(&ballast).unwrap().len();
    let left = full - 1_500 * 1024;
    fs::OpenOptions::new().write(true).open(&ballast).unwrap().set_len(left).unwrap();
    let ledger = open(&dir, &clock());
    assert_eq!((ledger.merged_from(), ledger.status().size), (Some(3), 6));
    assert!(is_empty(&dir) && !file(&dir).with_extension("new").exists());
    drop(ledger);
    fs::remove_file(&ballast).unwrap();
    disk.fill();
    let ledger = emergency(&dir).unwrap();
    assert_eq!(lock_out(&ledger, "three"), Ok(6));
    let refused = submit(&ledger, issue(START, 30, "a")).unwrap_err();
    assert_eq!(refused, LedgerError::Emergency);
}

/// As the operator of a host would who takes the journal for a file that does no good.
fn without_its_journal(dir: &Path, then: impl FnOnce(&Ledger)) {
    let kept = fs::read(file(dir)).unwrap();
    fs::write(file(dir), vec![0; kept.len()]).unwrap();
    then(&open(dir, &clock()));
    fs::write(file(dir), kept).unwrap();
}

fn damage(opened: Result<Ledger, OpenError>) -> String {
    match opened {
        Err(error @ OpenError::Damaged(_)) => error.to_string(),
        other => panic!("not damaged: {other:?}"),
    }
}

#[test]
fn an_emergency_is_merged_into_no_log_that_went_on_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    in_emergency(dir.path());
    without_its_journal(dir.path(), |ledger| issue_some(ledger, 3..6, "a"));
    for opened in [unlocked(|| Ledger::open(options(dir.path(), &clock()))), emergency(dir.path())] {
        let said = damage(opened);
        assert!(said.contains("the journal has another entry in its place"), "{said}");
    }
}

#[test]
fn an_emergency_that_was_merged_and_not_closed_is_not_gone_on_with_behind_other_entries() {
    let dir = tempfile::tempdir().unwrap();
    in_emergency(dir.path());
    assert!(cut(dir.path(), Operation::Write, APPENDED - 1).unwrap().is_err());
    without_its_journal(dir.path(), |ledger| {
        assert_eq!(ledger.status().size, 5, "both groups, and nothing that closes them");
        issue_some(ledger, 5..6, "a");
    });
    for opened in [unlocked(|| Ledger::open(options(dir.path(), &clock()))), emergency(dir.path())] {
        let said = damage(opened);
        assert!(said.contains("the journal went on without it"), "{said}");
    }
}

#[test]
fn a_merge_on_a_clock_that_is_behind_the_emergency_has_no_earlier_time() {
    let dir = tempfile::tempdir().unwrap();
    ready(dir.path());
    let later = clock();
    later.set(START.plus_millis(3_600_000));
    let ledger = unlocked(|| Ledger::open_emergency(options(dir.path(), &later), &std::env::temp_dir()));
    lock_out(&ledger.unwrap(), "one").unwrap();
    let times: Vec<_> = entries(&open(dir.path(), &clock()))
        .iter()
        .map(|json| Entry::from_json(json).unwrap())
        .map(|entry| (entry.time, matches!(entry.event, Event::Merge(_))))
        .collect();
    assert_eq!(times.last(), Some(&(START.plus_millis(3_600_000), true)), "{times:?}");
    assert!(times.is_sorted_by_key(|(time, _)| *time), "{times:?}");
}
