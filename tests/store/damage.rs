//! Edited files, torn tails and failing disks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotwork::domain::note::VerifierKey;
use hotwork::domain::revocation::Selector;
use hotwork::domain::signer::Signer as _;
use hotwork::store::fault::{FailingStore, FaultyFileSystem, Operation};
use hotwork::store::verify::{self, AuditError, Report};
use hotwork::store::{Ledger, LedgerError, OpenError};

use crate::support::*;

fn key() -> VerifierKey {
    VerifierKey::new(ORIGIN.to_owned(), LogKey::new(7).public_key().try_into().unwrap())
}

fn audit(dir: &Path) -> Result<Report, AuditError> {
    verify::directory(dir, &key(), None, &mut |_| {})
}

fn segment(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("journal/{first:020}.hwj"))
}

/// A closed ledger of four groups; gives the offset of each group in its only segment, and the end.
fn closed(dir: &Path) -> Vec<usize> {
    let clock = clock();
    let ledger = open(dir, &clock);
    let length = || usize::try_from(fs::metadata(segment(dir, 0)).unwrap().len()).unwrap();
    let mut ends = vec![length()];
    for number in 0..3 {
        submit(&ledger, issue(START, number, "a")).unwrap();
        ends.push(length());
    }
    submit(&ledger, revoke(Selector::All)).unwrap();
    ends.push(length());
    ends
}

fn copy_journal(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("journal")).unwrap();
    for file in fs::read_dir(from.join("journal")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join("journal").join(file.file_name())).unwrap();
    }
}

#[test]
fn an_untouched_log_passes_the_audit_with_every_group_and_the_witnessed_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    let report = audit(dir.path()).unwrap();
    assert_eq!((report.entries, report.groups, report.segments), (4, 4, 1));
    let status = open(dir.path(), &clock()).status();
    assert_eq!((report.root, &report.checkpoint), (status.root, &status.checkpoint));
    let report = verify::directory(dir.path(), &key(), Some(&status.checkpoint), &mut |_| {}).unwrap();
    assert!(report.witnessed);
    let other = VerifierKey::new(ORIGIN.to_owned(), LogKey::new(8).public_key().try_into().unwrap());
    assert!(verify::directory(dir.path(), &other, None, &mut |_| {}).is_err(), "another key");
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found_and_its_byte_named() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    let path = segment(dir.path(), 0);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        let Err(AuditError::Damaged(damage)) = audit(dir.path()) else { panic!("byte {at} not found") };
        assert_eq!(damage.offset, u64::try_from(at).unwrap(), "{damage}");
    }
    fs::write(&path, &good).unwrap();
    assert!(audit(dir.path()).is_ok());
}

#[test]
fn a_flipped_bit_halts_the_start_and_the_files_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path());
    let path = segment(dir.path(), 0);
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(41) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let error = Ledger::open(options(dir.path(), &clock())).expect_err("damage");
        assert!(matches!(error, OpenError::Damaged(_)), "byte {at}: {error}");
        assert_eq!(fs::read(&path).unwrap(), bad, "byte {at}");
    }
}

#[test]
fn a_torn_last_group_is_cut_at_every_byte_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let ends = closed(dir.path());
    let good = fs::read(segment(dir.path(), 0)).unwrap();
    let (start, end) = (ends[3], ends[4]);
    for length in (start..end).step_by(7).chain([end - 1]) {
        let crashed = tempfile::tempdir().unwrap();
        copy_journal(dir.path(), crashed.path());
        fs::write(segment(crashed.path(), 0), &good[..length]).unwrap();
        let ledger = open(crashed.path(), &clock());
        assert_eq!(ledger.status().size, 3, "length {length}");
        assert_eq!(submit(&ledger, issue(START, 9, "b")).unwrap().index(), 3);
        drop(ledger);
        assert_eq!(audit(crashed.path()).unwrap().entries, 4);
    }
}

#[test]
fn a_last_group_with_an_unwritten_sector_is_cut_and_one_before_it_never() {
    let dir = tempfile::tempdir().unwrap();
    let ends = closed(dir.path());
    let good = fs::read(segment(dir.path(), 0)).unwrap();
    for sector in 0..good.len().div_ceil(512) {
        let (from, to) = (sector * 512, good.len().min(sector * 512 + 512));
        for group_start in [ends[3], 0] {
            // What of the sector belongs to the last group, or all of it.
            let from = from.max(group_start);
            if from >= to {
                continue;
            }
            let mut bad = good.clone();
            bad[from..to].fill(0);
            let crashed = tempfile::tempdir().unwrap();
            copy_journal(dir.path(), crashed.path());
            fs::write(segment(crashed.path(), 0), &bad).unwrap();
            let opened = Ledger::open(options(crashed.path(), &clock()));
            if from >= ends[3] {
                assert_eq!(opened.unwrap().status().size, 3, "sector {sector}");
            } else {
                assert!(matches!(opened, Err(OpenError::Damaged(_))), "sector {sector}");
            }
        }
    }
}

#[test]
fn a_tail_that_the_index_has_applied_is_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    let ends = closed(dir.path());
    let path = segment(dir.path(), 0);
    let good = fs::read(&path).unwrap();
    for length in [ends[3], ends[3] + 1, ends[4] - 1] {
        fs::write(&path, &good[..length]).unwrap();
        let error = Ledger::open(options(dir.path(), &clock())).expect_err("acknowledged entries are gone");
        assert!(matches!(error, OpenError::Damaged(_)), "{error}");
        assert_eq!(fs::read(&path).unwrap().len(), length, "nothing was cut");
    }
}

#[test]
fn a_clean_truncation_passes_alone_and_is_found_by_the_witnessed_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let ends = closed(dir.path());
    let witnessed = audit(dir.path()).unwrap().checkpoint;
    let path = segment(dir.path(), 0);
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..ends[3]]).unwrap();
    assert_eq!(audit(dir.path()).unwrap().entries, 3);
    let error = verify::directory(dir.path(), &key(), Some(&witnessed), &mut |_| {}).unwrap_err();
    let AuditError::Damaged(damage) = error else { panic!("{error}") };
    assert!(damage.what.contains("truncated"), "{damage}");
    assert_eq!((damage.entry, damage.offset), (3, u64::try_from(ends[3]).unwrap()));
}

#[test]
fn swapped_deleted_and_rewritten_groups_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let ends = closed(dir.path());
    let path = segment(dir.path(), 0);
    let good = fs::read(&path).unwrap();
    let part = |n: usize| &good[ends[n]..ends[n + 1]];
    let head = &good[..ends[0]];
    for (what, bytes) in [
        ("swapped", [head, part(1), part(0), part(2), part(3)].concat()),
        ("deleted", [head, part(0), part(2), part(3)].concat()),
        ("doubled", [head, part(0), part(0), part(1), part(2), part(3)].concat()),
    ] {
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(audit(dir.path()), Err(AuditError::Damaged(_))), "{what}");
        assert!(Ledger::open(options(dir.path(), &clock())).is_err(), "{what}");
    }
    // Another log's key can write a log with right checksums, but not this one's checkpoints.
    let forged = tempfile::tempdir().unwrap();
    let mut options = options(forged.path(), &clock());
    options.signer = Arc::new(LogKey::new(9));
    submit(&Ledger::open(options).unwrap(), issue(START, 1, "a")).unwrap();
    assert!(matches!(audit(forged.path()), Err(AuditError::Damaged(_))));
}

#[test]
fn the_first_failed_write_or_sync_stops_the_ledger_and_loses_nothing_acknowledged() {
    for operation in [Operation::Write, Operation::Sync] {
        for code in [5, 28] {
            for nth in 0..3 {
                let dir = tempfile::tempdir().unwrap();
                let (clock, faults) = (clock(), FaultyFileSystem::default());
                let mut options = options(dir.path(), &clock);
                options.medium = Arc::new(faults.clone());
                let ledger = Ledger::open(options).unwrap();
                faults.arm(operation, nth, code);
                for number in 0..nth {
                    submit(&ledger, issue(START, number, "a")).unwrap();
                }
                let failed = submit(&ledger, issue(START, 77, "a"));
                assert!(matches!(failed, Err(LedgerError::Stopped(_))), "{failed:?}");
                // The disk works again, and still nothing is acknowledged.
                let after = submit(&ledger, issue(START, 78, "a"));
                assert!(matches!(after, Err(LedgerError::Stopped(_))), "{after:?}");
                let status = ledger.status();
                assert!(!status.issuing && status.problem.is_some() && status.size == nth);
                assert!(ledger.reader().credential(id(START, 77)).unwrap().is_none());
                assert_eq!(ledger.reader().entries(0, 10).unwrap().len(), usize::try_from(nth).unwrap());
                drop(ledger);
                let ledger = open(dir.path(), &clock);
                for number in 0..nth {
                    assert!(ledger.reader().credential(id(START, number)).unwrap().is_some());
                }
                submit(&ledger, issue(START, 79, "a")).unwrap();
            }
        }
    }
}

#[test]
fn a_failing_engine_means_nothing_is_recorded_and_revocations_are_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let wrap = |engine| Box::new(FailingStore::after(2, engine)) as Box<_>;
    let ledger = Ledger::open_with(options(dir.path(), &clock), wrap).unwrap();
    submit(&ledger, issue(START, 1, "a")).unwrap();
    submit(&ledger, revoke(Selector::All)).unwrap();
    assert!(submit(&ledger, issue(START.plus_millis(1), 2, "a")).is_err());
    assert!(ledger.revocations().ended(&id(START, 1), &agent("a"), START).is_some());
}
