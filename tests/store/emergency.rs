//! The emergency journal: what goes into it when the log's disk takes no more, and how it becomes part of the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;

use hotwork::domain::emergency::Merge;
use hotwork::domain::entry::{Call, Entry, Event};
use hotwork::domain::id::Lineage;
use hotwork::domain::ledger::{Command, Refusal};
use hotwork::domain::note::VerifierKey;
use hotwork::domain::revocation::Selector;
use hotwork::domain::signer::Signer as _;
use hotwork::store::fault::{FaultyFileSystem, Operation};
use hotwork::store::verify::{self, AuditError, Report};
use hotwork::store::{Ledger, LedgerError, OpenError, prepare_emergency, proof};

use crate::glass::{proposal, sign, under};
use crate::support::*;

pub const EIO: i32 = 5;

pub fn key() -> VerifierKey {
    VerifierKey::new(ORIGIN.to_owned(), LogKey::new(7).public_key().try_into().unwrap())
}

pub fn audit(dir: &Path) -> Result<Report, AuditError> {
    verify::directory(dir, &key(), None, &mut |_| {})
}

pub fn file(dir: &Path) -> PathBuf {
    dir.join("emergency/journal")
}

pub fn emergency(dir: &Path) -> Result<Ledger, OpenError> {
    unlocked(|| Ledger::open_emergency(options(dir, &clock()), &std::env::temp_dir()))
}

pub fn lock_out(ledger: &Ledger, tenant: &str) -> Result<u64, LedgerError> {
    submit(ledger, revoke(Selector::Tenant(tenant.parse().unwrap()))).map(|recorded| recorded.index())
}

pub fn issue_some(ledger: &Ledger, numbers: std::ops::Range<u64>, name: &str) {
    for number in numbers {
        submit(ledger, issue(START, number, name)).unwrap();
    }
}

/// A log of three entries with an emergency journal ready.
pub fn ready(dir: &Path) {
    let ledger = open(dir, &clock());
    prepare_emergency(dir).unwrap();
    issue_some(&ledger, 0..3, "a");
}

/// As [`ready`], and an emergency that wrote two entries.
pub fn in_emergency(dir: &Path) {
    ready(dir);
    let ledger = emergency(dir).unwrap();
    assert_eq!((lock_out(&ledger, "one"), lock_out(&ledger, "two")), (Ok(3), Ok(4)));
}

pub fn entries(ledger: &Ledger) -> Vec<Vec<u8>> {
    ledger.reader().entries(0, 1000).unwrap()
}

/// What a merged log says: the first three, the two of the emergency, and that they are.
pub fn is_merged(dir: &Path) {
    let ledger = open(dir, &clock());
    let all = entries(&ledger);
    assert_eq!(all.len(), 6);
    let last = Entry::from_json(&all[5]).unwrap();
    assert!(matches!(last.event, Event::Merge(Merge { count: 2, first: 3, .. })), "{last:?}");
    assert!(ledger.revocations().epoch() >= 5);
    let report = audit(dir).unwrap();
    assert_eq!((report.entries, report.emergency), (6, 0));
    assert!(fs::read(file(dir)).unwrap().iter().all(|byte| *byte == 0), "it is ready for the next one");
}

#[test]
fn an_emergency_is_the_log_s_own_continuation() {
    let dir = tempfile::tempdir().unwrap();
    ready(dir.path());
    let before = audit(dir.path()).unwrap();
    let ledger = emergency(dir.path()).unwrap();
    assert!(ledger.is_emergency());
    // Ordinary work waits; what ends something, and break-glass under its session, goes on.
    let refused = submit(&ledger, issue(START, 10, "a"));
    assert_eq!(refused.unwrap_err(), LedgerError::Emergency);
    let (session, night) = (Lineage::new(START, &[1; 10]), proposal("night", START));
    let glass = under(session, START, 11);
    let grant = |ledger: &Ledger| submit(ledger, Command::Issue(Box::new(glass.clone())));
    assert_eq!(grant(&ledger).unwrap_err(), LedgerError::Refused(Refusal::SessionOver));
    let signed = ["ann", "ben"].map(|who| sign(&ledger, &night, who, session).unwrap().index());
    let granted = grant(&ledger).unwrap();
    assert_eq!((signed, granted.index(), lock_out(&ledger, "acme")), ([3, 4], 5, Ok(6)));
    assert!(ledger.revocations().ended_issuance(&glass).is_some());
    assert_eq!(ledger.reader().credential(glass.id).unwrap().unwrap().index, 5);
    assert!(ledger.reader().credential(id(START, 1)).unwrap().is_some(), "what was before is read");
    let (entry, receipt) = (entries(&ledger)[6].clone(), ledger.reader().inclusion(6).unwrap());
    drop(ledger);
    let during = audit(dir.path()).unwrap();
    assert_eq!((before.entries, during.entries, during.emergency), (3, 7, 4));

    // A second start in the same emergency goes on behind it.
    let ledger = emergency(dir.path()).unwrap();
    assert!(ledger.revocations().ended_issuance(&glass).is_some());
    assert_eq!(lock_out(&ledger, "other"), Ok(7));
    let all = entries(&ledger);
    drop(ledger);

    let ledger = open(dir.path(), &clock());
    assert_eq!((ledger.merged_from(), ledger.is_emergency()), (Some(3), false));
    assert_eq!(entries(&ledger)[..8], all, "byte for byte, at the same places");
    assert!(ledger.revocations().ended_issuance(&glass).is_some());
    assert!(proof::receipt_holds(&receipt, &entry, &key()).unwrap(), "receipts stay good");
    let old = proof::parse_receipt(&receipt).unwrap().2.to_owned();
    assert!(verify::directory(dir.path(), &key(), Some(&old), &mut |_| {}).unwrap().witnessed);
    assert_eq!(lock_out(&ledger, "later"), Ok(9));
    drop(ledger);
    let ledger = open(dir.path(), &clock());
    assert_eq!((ledger.merged_from(), entries(&ledger).len()), (None, 10));
    // And the next emergency has the whole room again.
    drop(ledger);
    assert_eq!(lock_out(&emergency(dir.path()).unwrap(), "again"), Ok(10));
}

#[test]
fn a_torn_end_is_cut_and_nothing_that_was_acknowledged_is() {
    let dir = tempfile::tempdir().unwrap();
    in_emergency(dir.path());
    let whole = fs::read(file(dir.path())).unwrap();
    let used = whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count();
    // A third group, of which the disk got some sectors only.
    let ledger = emergency(dir.path()).unwrap();
    assert_eq!(lock_out(&ledger, &"x".repeat(60)), Ok(5));
    drop(ledger);
    let three = fs::read(file(dir.path())).unwrap();
    let end = three.len() - three.iter().rev().take_while(|byte| **byte == 0).count();
    for sector in used.next_multiple_of(512)..end {
        if sector % 512 != 0 {
            continue;
        }
        let mut torn = three.clone();
        torn[sector..].fill(0);
        fs::write(file(dir.path()), &torn).unwrap();
        assert_eq!(audit(dir.path()).unwrap().entries, 5, "cut at {sector}");
    }
    let mut torn = three;
    torn[end.saturating_sub(1) / 512 * 512..].fill(0);
    fs::write(file(dir.path()), &torn).unwrap();
    let ledger = emergency(dir.path()).unwrap();
    assert_eq!(lock_out(&ledger, "three"), Ok(5), "the torn one was never acknowledged");
    drop(ledger);
    assert_eq!(entries(&open(dir.path(), &clock())).len(), 7);
}

#[test]
fn every_flipped_bit_of_an_emergency_halts() {
    let dir = tempfile::tempdir().unwrap();
    in_emergency(dir.path());
    let whole = fs::read(file(dir.path())).unwrap();
    let used = whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count();
    for at in 0..used {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(file(dir.path()), &bad).unwrap();
        let found = audit(dir.path());
        assert!(matches!(found, Err(AuditError::Damaged(_))), "byte {at}: {found:?}");
    }
    let mut bad = whole.clone();
    bad[used / 2] ^= 1;
    fs::write(file(dir.path()), &bad).unwrap();
    for opened in [Ledger::open(options(dir.path(), &clock())), emergency(dir.path())] {
        assert!(matches!(opened, Err(OpenError::Damaged(damage)) if damage.segment == "emergency/journal"));
    }
    // Somebody else's emergency, or one of another log.
    let other = tempfile::tempdir().unwrap();
    let ledger = open(other.path(), &clock());
    prepare_emergency(other.path()).unwrap();
    issue_some(&ledger, 0..3, "b");
    drop(ledger);
    fs::write(file(other.path()), &whole).unwrap();
    for opened in [Ledger::open(options(other.path(), &clock())), emergency(other.path())] {
        assert!(matches!(opened, Err(OpenError::Damaged(_))), "begun behind another log");
    }
    assert!(audit(other.path()).is_err());
}

#[test]
fn a_log_that_went_on_without_its_emergency_halts() {
    let dir = tempfile::tempdir().unwrap();
    in_emergency(dir.path());
    let kept = fs::read(file(dir.path())).unwrap();
    fs::write(file(dir.path()), vec![0; kept.len()]).unwrap();
    let ledger = open(dir.path(), &clock());
    issue_some(&ledger, 3..6, "a");
    drop(ledger);
    fs::write(file(dir.path()), &kept).unwrap();
    assert!(matches!(Ledger::open(options(dir.path(), &clock())), Err(OpenError::Damaged(_))));
    assert!(emergency(dir.path()).is_err() && audit(dir.path()).is_err());
}

#[test]
fn a_full_emergency_refuses_and_keeps_its_reserve_for_what_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    ready(dir.path());
    let ledger = emergency(dir.path()).unwrap();
    let call = || {
        Command::Call(Call {
            allowed: true,
            operator: "olga".parse().unwrap(),
            reason: None,
            rpc: "x".repeat(4000),
            statement: None,
        })
    };
    let mut calls = 0;
    let full = loop {
        match submit(&ledger, call()) {
            Ok(_) => calls += 1,
            Err(error) => break error,
        }
        assert!(calls < 10_000, "it never filled");
    };
    assert_eq!(full, LedgerError::EmergencyFull);
    let mut vital = 0;
    let full = loop {
        match lock_out(&ledger, &format!("t{vital}")) {
            Ok(_) => vital += 1,
            Err(error) => break error,
        }
        assert!(vital < 100_000, "it never filled");
    };
    assert_eq!(full, LedgerError::EmergencyFull);
    assert!(calls > 100 && vital > 500, "{calls} calls, {vital} revocations");
    assert!(ledger.status().issuing, "it refuses, it does not stop");
    drop(ledger);
    let merged = open(dir.path(), &clock());
    assert_eq!(merged.status().size, 3 + calls + vital + 1);
}

#[test]
fn an_emergency_that_can_not_be_written_acknowledges_nothing() {
    for operation in [Operation::Write, Operation::Sync] {
        let dir = tempfile::tempdir().unwrap();
        ready(dir.path());
        let faults = FaultyFileSystem::default();
        let mut broken = options(dir.path(), &clock());
        broken.medium = Arc::new(faults.clone());
        let ledger = Ledger::open_emergency(broken, &std::env::temp_dir()).unwrap();
        assert_eq!(lock_out(&ledger, "one"), Ok(3));
        faults.arm(operation, 0, EIO);
        assert!(matches!(lock_out(&ledger, "two"), Err(LedgerError::Stopped(_))));
        assert!(
            matches!(lock_out(&ledger, "three"), Err(LedgerError::Stopped(_))),
            "not even when it works again"
        );
        drop(ledger);
        let all = entries(&open(dir.path(), &clock()));
        let first = Entry::from_json(&all[3]).unwrap();
        assert!(matches!(first.event, Event::Revoke(_)), "what was acknowledged is there: {first:?}");
    }
}

#[test]
fn without_a_journal_that_was_made_ready_nothing_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &clock()));
    let ledger = emergency(dir.path()).unwrap();
    assert!(matches!(lock_out(&ledger, "one"), Err(LedgerError::Stopped(_))));
    let beside = Ledger::open_emergency(options(dir.path(), &clock()), &std::env::temp_dir());
    assert!(matches!(beside, Err(OpenError::Locked(_))), "nor beside a daemon that runs");
    drop(ledger);
    prepare_emergency(dir.path()).unwrap();
    assert_eq!(lock_out(&emergency(dir.path()).unwrap(), "one"), Ok(0));
}

pub struct Mounted(pub tempfile::TempDir);

impl Mounted {
    pub fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Process::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(dir.path()).status();
        status.is_ok_and(|status| status.success()).then_some(Self(dir))
    }

    /// Takes what room is left; gives the file that has it.
    pub fn fill(&self) -> PathBuf {
        let ballast = self.0.path().join("ballast");
        let mut filler = Process::new("dd");
        filler.args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", ballast.display()));
        assert!(!filler.stderr(std::process::Stdio::null()).status().unwrap().success(), "the disk is full");
        ballast
    }

    fn remount(&self, how: &str) {
        let mut mount = Process::new("mount");
        assert!(mount.args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Process::new("umount").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_takes_an_emergency_and_a_disk_that_is_read_only_is_read() {
    let Some(disk) = Mounted::new() else {
        eprintln!("SKIPPED: a_full_disk_takes_an_emergency needs root to mount a small file system");
        return;
    };
    let dir = disk.0.path().join("data");
    ready(&dir);
    let ballast = disk.fill();
    let ledger = emergency(&dir).unwrap();
    (0..50).for_each(|at| assert_eq!(lock_out(&ledger, &format!("t{at}")), Ok(3 + at)));
    drop(ledger);
    // Read only, not even the emergency journal takes anything: what was revoked is told, and no more.
    disk.remount("ro");
    let ledger = emergency(&dir).unwrap();
    assert!(matches!(lock_out(&ledger, "never"), Err(LedgerError::Stopped(_))));
    assert_eq!((ledger.revocations().epoch(), entries(&ledger).len()), (53, 53));
    drop(ledger);
    disk.remount("rw");
    fs::remove_file(&ballast).unwrap();
    let merged = open(&dir, &clock());
    assert_eq!((merged.merged_from(), merged.status().size), (Some(3), 54));
}
