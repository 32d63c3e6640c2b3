//! A journal that was cut back, or put back from a copy, beside what was carried forward of a longer one: nothing is lifted
//! and nothing counts as heard that this journal does not have.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hotwork::clock::ManualClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::digest::Digest;
use hotwork::domain::entry::Load;
use hotwork::domain::ledger::Command;
use hotwork::domain::signer::Signer as _;
use hotwork::store::Ledger;

use crate::carried::{carried, emergency, file, known, segmented, tenant, unlock, walk};
use crate::emergency::lock_out;
use crate::support::*;

/// An emergency start, as of a host that had none before: what an earlier one wrote holds the journal to its length.
fn first_emergency(dir: &Path, clock: &Arc<ManualClock>) -> Ledger {
    fs::write(crate::emergency::file(dir), vec![0; 2 * 1024 * 1024]).unwrap();
    emergency(dir, clock)
}

/// Copies the files of `from` over those of `to`, and removes what is there beside them.
fn put_back(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    fs::create_dir(to).unwrap();
    for path in walk(from) {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn what_was_carried_behind_entries_that_the_journal_has_not_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let from = carried(dir.path(), &clock);
    let now = clock.now().unwrap();
    let (journal, copy) = (dir.path().join("journal"), tempfile::tempdir().unwrap());
    let aside = copy.path().join("journal");
    fs::create_dir(&aside).unwrap();
    put_back(&journal, &aside);
    let knows = known(&first_emergency(dir.path(), &clock), now);
    assert!(knows["locks"].contains("kept"), "{}", knows["locks"]);
    // The log goes on, and its next start carries forward the same segment, as it is by then.
    let ledger = segmented(dir.path(), &clock);
    let kept = ledger.locks().iter().map(|lock| lock.index).next().unwrap();
    unlock(&ledger, kept);
    submit(&ledger, revoke(tenant("later"))).unwrap();
    let registry = Digest::of(b"later");
    submit(&ledger, Command::Load(Load { agents: 1, operator: None, policies: 1, registry })).unwrap();
    assert_eq!(ledger.reader().carry_forward().unwrap(), Some(from));
    let later = known(&ledger, now);
    assert!(!later["locks"].contains("kept"), "{}", later["locks"]);
    drop(ledger);
    let whole = first_emergency(dir.path(), &clock);
    assert_eq!((whole.read_from(), known(&whole, now)), (from, later));
    drop(whole);
    // The journal alone is put back; and it went on otherwise, as far and further.
    for added in [0, 3, 10] {
        put_back(&aside, &journal);
        fs::remove_dir_all(dir.path().join("index")).unwrap();
        fs::write(crate::emergency::file(dir.path()), vec![0; 2 * 1024 * 1024]).unwrap();
        let carried = fs::read(file(dir.path())).unwrap();
        let ledger = segmented(dir.path(), &clock);
        for _ in 0..added {
            submit(&ledger, call()).unwrap();
        }
        drop(ledger);
        assert!(fs::read(file(dir.path())).unwrap() == carried);
        let cut = first_emergency(dir.path(), &clock);
        assert_eq!(cut.read_from(), 0, "{added}");
        let knows_now = known(&cut, now);
        for what in ["ends", "locks", "enrollments", "sessions", "approvals", "last"] {
            assert_eq!(knows_now[what], knows[what], "{what} {added}");
        }
        assert!(cut.revocations().epoch() <= cut.status().size);
        let epoch = cut.revocations().epoch();
        lock_out(&cut, "new").unwrap();
        assert!(cut.revocations().epoch() > epoch, "whoever follows hears of it");
        drop(cut);
    }
}

#[test]
fn a_file_of_an_older_form_is_passed_over_and_all_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    carried(dir.path(), &clock);
    let knows = known(&emergency(dir.path(), &clock), clock.now().unwrap());
    let good = fs::read(file(dir.path())).unwrap();
    // Without the size and the leaf, and signed by the log's key as the form before was.
    let (head, rest) = good[..good.len() - 64].split_at(17 + 8 + 32);
    let mut old = [head, &rest[8 + 32..]].concat();
    old[16] = 1;
    let message = [&old[..17], Digest::of(&old).as_bytes()].concat();
    old.extend(LogKey::new(7).sign(&message).unwrap());
    fs::write(file(dir.path()), &old).unwrap();
    let ledger = emergency(dir.path(), &clock);
    assert_eq!(ledger.read_from(), 0);
    assert_eq!(known(&ledger, clock.now().unwrap()), knows);
}
