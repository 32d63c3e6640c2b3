//! A full disk, for real: a small file system in memory. Needs root; without it the test says so.

use std::process::Command as Process;

use hotwork::store::{Ledger, LedgerError};

use crate::support::*;

struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount =
            Process::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(dir.path()).status();
        mount.is_ok_and(|status| status.success()).then_some(Self(dir))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Process::new("umount").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_means_no_record_and_nothing_acknowledged_is_lost() {
    let Some(disk) = Mounted::new() else {
        eprintln!("SKIPPED: a_full_disk_means_no_record needs root to mount a small file system");
        return;
    };
    let clock = clock();
    let data = disk.0.path().join("data");
    let ledger = open(&data, &clock);
    // Ballast leaves room for some records only.
    let ballast = disk.0.path().join("ballast");
    let mut acknowledged = 0;
    let stopped = loop {
        if acknowledged == 5 {
            let copied = Process::new("dd")
                .args(["if=/dev/zero", "bs=4k"])
                .arg(format!("of={}", ballast.display()))
                .stderr(std::process::Stdio::null())
                .status();
            assert!(!copied.unwrap().success(), "the disk is full");
        }
        match submit(&ledger, issue(START, acknowledged, "a")) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the disk never filled");
    };
    assert!(matches!(&stopped, LedgerError::Stopped(why) if why.contains("No space left")), "{stopped}");
    std::fs::remove_file(&ballast).unwrap();
    assert!(submit(&ledger, issue(START, 20_000, "a")).is_err(), "room again does not start it again");
    drop(ledger);
    let ledger = Ledger::open(options(&data, &clock)).unwrap();
    for number in 0..acknowledged {
        assert!(ledger.reader().credential(id(START, number)).unwrap().is_some(), "{number}");
    }
    submit(&ledger, issue(START, 20_001, "a")).unwrap();
}
