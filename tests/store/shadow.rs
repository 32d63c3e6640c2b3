//! What readers see of the log in an emergency, when the directory for it takes no more: anybody can fill one that is
//! everybody's, and what is durable is durable all the same.

use std::path::Path;
use std::sync::Arc;

use hotwork::domain::entry::{Entry, Event};
use hotwork::domain::id::Lineage;
use hotwork::domain::ledger::Command;
use hotwork::domain::revocation::Selector;
use hotwork::store::fault::{FaultyFileSystem, Operation};
use hotwork::store::{Ledger, proof};

use crate::emergency::{EIO, entries, key, lock_out, ready};
use crate::glass::{proposal, sign, under};
use crate::support::*;

/// An emergency whose shadow fails on demand.
fn failing(dir: &Path, faults: &FaultyFileSystem) -> Ledger {
    let open = || {
        let mut shadowed = options(dir, &clock());
        shadowed.scratch = Arc::new(faults.clone());
        Ledger::open_emergency(shadowed, &std::env::temp_dir())
    };
    unlocked(open).unwrap()
}

fn revoked(json: &[u8]) -> String {
    match Entry::from_json(json).unwrap().event {
        Event::Revoke(revocation) => revocation.selector.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shadow_that_takes_no_more_stops_nothing_and_hides_nothing() {
    for operation in [Operation::Write, Operation::Sync] {
        let dir = tempfile::tempdir().unwrap();
        ready(dir.path());
        let faults = FaultyFileSystem::default();
        let ledger = failing(dir.path(), &faults);
        assert_eq!(lock_out(&ledger, "one"), Ok(3));
        // Half of the group is left in the segment that readers see.
        faults.arm(operation, 0, EIO);
        assert_eq!(lock_out(&ledger, "two"), Ok(4), "{operation:?}");
        assert_eq!(faults.failures(), 1);
        assert_eq!(lock_out(&ledger, "three"), Ok(5));
        // Who reads sees all of it, from everywhere, and can prove it.
        let all = entries(&ledger);
        assert_eq!(all.len(), 6);
        assert_eq!([3, 4, 5].map(|at| revoked(&all[at])), ["tenant one", "tenant two", "tenant three"]);
        for first in 0..6 {
            let some = ledger.reader().entries(first, 2).unwrap();
            let first = usize::try_from(first).unwrap();
            assert_eq!(some, all[first..(first + 2).min(6)], "{operation:?} {first}");
        }
        for at in 0..6 {
            let receipt = ledger.reader().inclusion(at).unwrap();
            let entry = &all[usize::try_from(at).unwrap()];
            assert!(proof::receipt_holds(&receipt, entry, &key()).unwrap(), "{operation:?} {at}");
        }
        // And people get in.
        let (session, night) = (Lineage::new(START, &[1; 10]), proposal("night", START));
        ["ann", "ben"].iter().for_each(|who| drop(sign(&ledger, &night, who, session).unwrap()));
        let grant = under(session, START, 11);
        let granted = submit(&ledger, Command::Issue(Box::new(grant.clone()))).unwrap().index();
        let found = ledger.reader().credential(grant.id).unwrap().unwrap();
        assert_eq!((found.index, found.issuance), (granted, grant));
        submit(&ledger, revoke(Selector::Lineage(session))).unwrap();
        let all = entries(&ledger);
        drop(ledger);
        let merged = open(dir.path(), &clock());
        assert_eq!(entries(&merged)[..all.len()], all, "byte for byte, at the same places");
    }
}
