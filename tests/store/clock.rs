//! A start on a clock that is far ahead: it records nothing on it, so that a clock that is put right finds a log that goes
//! on, and whoever knows that the clock is right is not kept out.

use std::path::Path;
use std::sync::Arc;

use hotwork::clock::ManualClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::id::Lineage;
use hotwork::domain::ledger::Refusal;
use hotwork::domain::limits::CLOCK_AHEAD_MS_MAX;
use hotwork::domain::revocation::Selector;
use hotwork::domain::time::Timestamp;
use hotwork::store::{Ledger, LedgerError, prepare_emergency};

use crate::glass::{proposal, sign};
use crate::support::*;

/// A log whose newest entry is at `START`.
fn begun(dir: &Path) {
    let ledger = open(dir, &clock());
    submit(&ledger, issue(START, 1, "a")).unwrap();
    prepare_emergency(dir).unwrap();
}

fn at(time: Timestamp) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(time))
}

fn mint(ledger: &Ledger, now: Timestamp, number: u64) -> Result<Timestamp, LedgerError> {
    let record = hotwork::domain::credential::Issuance {
        lineage: Lineage::new(now, &[5; 10]),
        ..issuance(now, number, "a")
    };
    let command = hotwork::domain::ledger::Command::Issue(Box::new(record));
    submit(ledger, command).map(|recorded| recorded.time())
}

#[test]
fn a_clock_that_is_far_ahead_at_a_start_mints_nothing_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path());
    let years = START.plus_millis(10 * 365 * 86_400_000);
    let ledger = open(dir.path(), &at(years));
    // The start, calls, and what ends something are recorded, at the time of the newest entry.
    assert_eq!(submit(&ledger, call()).unwrap().time(), START);
    let refused = mint(&ledger, years, 2).unwrap_err();
    assert!(matches!(refused, LedgerError::ClockAhead { ahead_ms } if ahead_ms == years.millis_since(START)));
    let shown = ledger.believes(&*at(years)).unwrap_err();
    assert_eq!(shown, refused, "what operators are shown is what refuses");
    let ended = submit(&ledger, revoke(Selector::Tenant("other".parse().unwrap()))).unwrap();
    assert_eq!(ended.time(), START);
    drop(ledger);
    // The clock is put right: nothing has to be waited for.
    let now = START.plus_millis(60_000);
    let ledger = open(dir.path(), &at(now));
    assert_eq!(mint(&ledger, now, 3), Ok(now));
    assert_eq!(ledger.believes(&*at(now)), Ok(now));
}

#[test]
fn thirty_days_are_no_doubt_one_millisecond_more_is_and_a_new_log_has_none() {
    for (beyond, doubted) in [(0, false), (1, true)] {
        let dir = tempfile::tempdir().unwrap();
        begun(dir.path());
        let now = START.plus_millis(CLOCK_AHEAD_MS_MAX + beyond);
        assert_eq!(mint(&open(dir.path(), &at(now)), now, 2).is_err(), doubted, "{beyond}");
    }
    let dir = tempfile::tempdir().unwrap();
    let now = START.plus_millis(CLOCK_AHEAD_MS_MAX * 100);
    assert!(mint(&open(dir.path(), &at(now)), now, 2).is_ok());
}

#[test]
fn who_has_nothing_to_do_for_a_month_goes_on_and_who_says_that_the_clock_is_right_starts() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path());
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    clock.advance_millis(CLOCK_AHEAD_MS_MAX * 2);
    let now = clock.now().unwrap();
    assert_eq!(mint(&ledger, now, 2), Ok(now), "its clock was watched all the time");
    drop(ledger);
    let later = now.plus_millis(CLOCK_AHEAD_MS_MAX * 2);
    let mut accepted = options(dir.path(), &at(later));
    accepted.accept_clock = true;
    let ledger = Ledger::open(accepted).unwrap();
    assert_eq!(mint(&ledger, later, 3), Ok(later));
    drop(ledger);
    // From then on it is the log's time.
    assert_eq!(mint(&open(dir.path(), &at(later)), later, 4), Ok(later));
    let ledger = open(dir.path(), &at(now));
    let behind = mint(&ledger, now, 5).unwrap_err();
    assert!(matches!(ledger.believes(&*at(now)), Err(LedgerError::ClockBehind { .. })));
    assert!(
        matches!(behind, LedgerError::ClockBehind { .. } | LedgerError::Refused(Refusal::ClockBehind(_))),
        "{behind:?}"
    );
}

#[test]
fn people_who_sign_for_break_glass_say_that_the_clock_is_right_and_nobody_else_does() {
    for emergency in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        begun(dir.path());
        let now = START.plus_millis(CLOCK_AHEAD_MS_MAX + 86_400_000);
        let open = || {
            let options = options(dir.path(), &at(now));
            if emergency {
                Ledger::open_emergency(options, &std::env::temp_dir())
            } else {
                Ledger::open(options)
            }
        };
        let ledger = unlocked(open).unwrap();
        let session = Lineage::new(now, &[1; 10]);
        // What is refused says nothing: a text that has expired by this clock, and a stranger's.
        assert!(sign(&ledger, &proposal("old", START), "ann", session).is_err());
        assert!(sign(&ledger, &proposal("night", now), "eve", session).is_err());
        assert_eq!(submit(&ledger, call()).unwrap().time(), START);
        let night = proposal("night", now);
        for who in ["ann", "ben"] {
            assert_eq!(sign(&ledger, &night, who, session).unwrap().time(), now, "{who} {emergency}");
        }
        assert_eq!(ledger.sessions().iter().count(), 1);
        assert_eq!(submit(&ledger, call()).unwrap().time(), now);
        if !emergency {
            assert_eq!(mint(&ledger, now, 2), Ok(now));
        }
    }
}
