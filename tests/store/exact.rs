//! The first bad byte: the audit names it wherever it is, in logs of many segments and groups of many records.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hotwork::domain::note::VerifierKey;
use hotwork::domain::signer::Signer as _;
use hotwork::store::verify::{self, AuditError};
use hotwork::store::{Damage, Ledger};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::*;

/// The segments of a closed log, by name.
type Files = Vec<(String, Vec<u8>)>;

/// A closed log of several segments, in which groups of one record and groups of many alternate.
fn log() -> &'static Files {
    static LOG: OnceLock<Files> = OnceLock::new();
    LOG.get_or_init(|| {
        let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
        let mut options = options(dir.path(), &clock);
        options.segment_bytes_max = 12_000;
        let ledger = Ledger::open(options).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        for round in 0..8 {
            submit(&ledger, issue(START, round * 100, "a")).unwrap();
            runtime.block_on(async {
                let tasks = (1..20).map(|number| {
                    let ledger = ledger.clone();
                    tokio::spawn(async move { ledger.submit(issue(START, round * 100 + number, "b")).await })
                });
                for task in tasks.collect::<Vec<_>>() {
                    task.await.unwrap().unwrap();
                }
            });
        }
        drop(ledger);
        let mut files: Vec<PathBuf> =
            fs::read_dir(dir.path().join("journal")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let files: Files = files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect();
        assert!(files.len() > 4 && damage(&files).is_none());
        files
    })
}

/// What the audit finds.
fn damage(files: &Files) -> Option<Damage> {
    let dir: TempDir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    let key = VerifierKey::new(ORIGIN.to_owned(), LogKey::new(7).public_key().try_into().unwrap());
    match verify::directory(dir.path(), &key, None, &mut |_| {}) {
        Ok(_) => None,
        Err(AuditError::Damaged(damage)) => Some(damage),
        Err(other) => panic!("{other}"),
    }
}

/// Any byte of the log.
fn place() -> impl Strategy<Value = (usize, usize)> {
    (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(|(file, at)| {
        let file = file.index(log().len());
        (file, at.index(log()[file].1.len()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_one_byte_that_is_wrong_is_named((file, at) in place(), bits in 1..=u8::MAX, one_bit: bool) {
        let bits = if one_bit { 1 << (bits % 8) } else { bits };
        let mut files = log().clone();
        let was = files[file].1[at];
        files[file].1[at] ^= bits;
        let found = damage(&files).expect("a changed byte");
        prop_assert_eq!((&found.segment, found.offset), (&files[file].0, at as u64), "{}", found);
        let says = format!("the byte is 0x{:02x}, and was 0x{was:02x}", was ^ bits);
        prop_assert!(found.what.contains(&says) || found.what.contains("segment header"), "{}", found);
    }

    #[test]
    fn of_two_bytes_that_are_wrong_none_is_before_the_one_that_is_named(
        (file, first) in place(), distance in 1_usize..2000, bits in 1..=u8::MAX,
    ) {
        let mut files = log().clone();
        let second = (first + distance).min(files[file].1.len() - 1);
        prop_assume!(second > first);
        files[file].1[first] ^= bits;
        files[file].1[second] ^= bits.rotate_left(3);
        let found = damage(&files).expect("changed bytes");
        prop_assert_eq!(&found.segment, &files[file].0);
        prop_assert!(found.offset <= first as u64, "{} is behind {}", found, first);
    }

    #[test]
    fn a_file_that_ends_too_early_is_bad_where_it_ends((file, at) in place()) {
        let mut files = log().clone();
        prop_assume!(file + 1 < files.len());
        files[file].1.truncate(at);
        let found = damage(&files).expect("a cut file");
        // Between two groups nothing is missing in this file, but before the next one.
        let here = (&files[file].0, at as u64);
        let next = (&files[file + 1].0, 0);
        let found_at = (&found.segment, found.offset);
        prop_assert!(found_at == here || found_at == next, "{}, cut at {:?}", found, here);
    }
}
