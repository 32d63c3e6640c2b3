//! A start on a clock that is far ahead: it records nothing on it, so that a clock that is put right finds a log that goes
//! on, and whoever knows that the clock is right is not kept out.

use std::path::Path;
use std::sync::Arc;

use hotwork::clock::ManualClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::digest::Digest;
use hotwork::domain::enrollment::{Enrolled, Enrollment};
use hotwork::domain::entry::Rotation;
use hotwork::domain::id::{Lineage, Serial};
use hotwork::domain::ledger::{Command, Refusal};
use hotwork::domain::limits::CLOCK_AHEAD_MS_MAX;
use hotwork::domain::revocation::{KEPT_MS, Selector};
use hotwork::domain::time::Timestamp;
use hotwork::store::ends::EndsCursor;
use hotwork::store::{Ledger, LedgerError, prepare_emergency};

use crate::emergency::lock_out;
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
    let command = Command::Issue(Box::new(record));
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

#[test]
fn a_sweep_asks_no_clock_so_that_what_is_live_and_what_ended_are_known_when_it_is_right_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path(), &clock());
    let token = issuance(START, 1, "a");
    let mut leaf = issuance(START, 2, "b");
    leaf.serial = Some(Serial::new([2; 16]));
    for record in [&token, &leaf] {
        submit(&ledger, Command::Issue(Box::new(record.clone()))).unwrap();
    }
    let enrolled = Enrollment {
        content: Digest::of(b"certificate"),
        evidence: None,
        expires: START.plus_millis(CLOCK_AHEAD_MS_MAX),
        issued: START,
        operator: Some("olga".parse().unwrap()),
        serial: Serial::new([9; 16]),
        spki: Digest::of(b"key"),
        who: Enrolled::Operator("ann".parse().unwrap()),
    };
    submit(&ledger, Command::Enroll(enrolled)).unwrap();
    submit(&ledger, revoke_one(&token)).unwrap();
    submit(&ledger, revoke(Selector::Agent(agent("b")))).unwrap();
    let digest = ledger.index_digest().unwrap();
    drop(ledger);
    let ahead = START.plus_millis(CLOCK_AHEAD_MS_MAX * 4);
    let ledger = open(dir.path(), &at(ahead));
    assert_eq!(ledger.reader().sweep().unwrap(), 0);
    assert_eq!(ledger.index_digest().unwrap(), digest);
    drop(ledger);
    let now = START.plus_millis(60_000);
    let ledger = open(dir.path(), &at(now));
    assert!(ledger.revocations().ended_issuance(&token).is_some());
    assert_eq!(ledger.enrollments().live(now).len(), 1);
    let (ends, _) = ledger.reader().ends(EndsCursor::default(), now).unwrap();
    assert!(ends.iter().any(|end| end.serial == leaf.serial), "a CRL has it: {ends:?}");
}

#[test]
fn a_merge_takes_the_emergency_s_time_so_that_a_clock_that_is_far_ahead_stays_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path());
    let emergency =
        || Ledger::open_emergency(options(dir.path(), &at(START.plus_millis(1))), &std::env::temp_dir());
    lock_out(&unlocked(emergency).unwrap(), "one").unwrap();
    let years = START.plus_millis(CLOCK_AHEAD_MS_MAX * 120);
    let ledger = open(dir.path(), &at(years));
    assert!(ledger.merged_from().is_some());
    assert_eq!(ledger.status().high_water, START.plus_millis(1));
    assert!(matches!(mint(&ledger, years, 2), Err(LedgerError::ClockAhead { .. })));
    drop(ledger);
    let now = START.plus_millis(60_000);
    assert_eq!(mint(&open(dir.path(), &at(now)), now, 3), Ok(now));
}

#[test]
fn a_rotation_waits_for_a_clock_that_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path());
    let rotate = |now: Timestamp| {
        let rotation = Rotation { kid: "new".into(), operator: "olga".parse().unwrap(), use_at: now };
        submit(&open(dir.path(), &at(now)), Command::Rotate(rotation)).map(|recorded| recorded.time())
    };
    let ahead = START.plus_millis(CLOCK_AHEAD_MS_MAX * 12);
    assert!(matches!(rotate(ahead), Err(LedgerError::ClockAhead { .. })));
    let behind = START.plus_millis(-60_000);
    assert!(matches!(rotate(behind), Err(LedgerError::ClockBehind { behind_ms: 60_000 })));
    assert_eq!(rotate(START.plus_millis(1)), Ok(START.plus_millis(1)));
}

#[test]
fn a_single_revocation_whose_record_left_the_index_refuses_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut kept = options(dir.path(), &clock);
    kept.retention = std::time::Duration::ZERO;
    let ledger = Ledger::open(kept).unwrap();
    let token = issuance(START, 1, "a");
    submit(&ledger, Command::Issue(Box::new(token.clone()))).unwrap();
    submit(&ledger, revoke_one(&token)).unwrap();
    clock.set(token.expires.plus_millis(1));
    submit(&ledger, call()).unwrap();
    assert_eq!(ledger.reader().sweep().unwrap(), 1);
    drop(ledger);
    assert!(open(dir.path(), &clock).revocations().ended_issuance(&token).is_some());
    // And no longer than any credential lives.
    clock.advance_millis(KEPT_MS);
    let ledger = open(dir.path(), &clock);
    submit(&ledger, call()).unwrap();
    drop(ledger);
    assert!(open(dir.path(), &clock).revocations().ended_issuance(&token).is_none());
}

#[test]
fn whoever_confirmed_the_clock_is_not_asked_again_in_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    begun(dir.path());
    let clock = at(START.plus_millis(CLOCK_AHEAD_MS_MAX + 86_400_000));
    let ledger = open(dir.path(), &clock);
    assert!(matches!(ledger.believes(&*clock), Err(LedgerError::ClockAhead { .. })));
    let now = clock.now().unwrap();
    sign(&ledger, &proposal("night", now), "ann", Lineage::new(now, &[1; 10])).unwrap();
    // Nothing happens for more than a month, and the clock is watched all the time.
    clock.advance_millis(CLOCK_AHEAD_MS_MAX + 1);
    let now = clock.now().unwrap();
    assert_eq!(ledger.believes(&*clock), Ok(now));
    assert_eq!(mint(&ledger, now, 2), Ok(now));
}
