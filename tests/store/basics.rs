//! Submit, read, reopen.

use hotwork::domain::credential::State;
use hotwork::domain::ledger::Refusal;
use hotwork::domain::revocation::Selector;
use hotwork::store::{Filter, LedgerError, OpenError};

use crate::support::*;

#[test]
fn a_record_is_read_back_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let recorded = submit(&ledger, issue(START, 1, "a")).unwrap();
    assert_eq!((recorded.index(), recorded.time(), recorded.live_ended()), (0, START, None));
    let check = |ledger: &hotwork::store::Ledger| {
        let found = ledger.reader().credential(id(START, 1)).unwrap().unwrap();
        assert_eq!((found.issuance, found.index, found.ended), (issuance(START, 1, "a"), 0, None));
        assert_eq!(ledger.reader().credential(id(START, 2)).unwrap(), None);
        assert_eq!(ledger.live_of(&agent("a"), START), 1);
        assert_eq!(ledger.live_total(START), 1);
        assert_eq!(ledger.reader().last_issue(&agent("a")).unwrap(), Some(START));
    };
    check(&ledger);
    let status = ledger.status();
    drop(ledger);
    let ledger = open(dir.path(), &clock);
    assert_eq!(ledger.status(), status);
    check(&ledger);
}

#[test]
fn a_revocation_is_in_the_snapshot_and_stays_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    for number in 0..3 {
        submit(&ledger, issue(START, number, "a")).unwrap();
    }
    submit(&ledger, issue(START, 3, "b")).unwrap();
    let one = submit(&ledger, revoke_one(&issuance(START, 0, "a"))).unwrap();
    assert_eq!(one.live_ended(), Some(1));
    assert_eq!(
        submit(&ledger, revoke_one(&issuance(START, 0, "a"))).unwrap_err(),
        LedgerError::Refused(Refusal::AlreadyEnded)
    );
    let many = submit(&ledger, revoke(Selector::Agent(agent("a")))).unwrap();
    assert_eq!(many.live_ended(), Some(2));
    let check = |ledger: &hotwork::store::Ledger| {
        let ended = |number, name| {
            ledger.revocations().ended(&id(START, number), &agent(name), START).map(|ended| ended.index)
        };
        assert_eq!(
            [ended(0, "a"), ended(1, "a"), ended(2, "a"), ended(3, "b")],
            [Some(4), Some(5), Some(5), None]
        );
        let reader = ledger.reader();
        let state = |number| reader.credential(id(START, number)).unwrap().unwrap().state(START);
        assert_eq!([state(0), state(1), state(3)], [State::Revoked, State::Revoked, State::Live]);
        let filter = Filter { agent: None, tenants: vec![], include_ended: false, now: START };
        let page = reader.credentials(&filter, 10, None).unwrap();
        assert_eq!(page.credentials.iter().map(|c| c.index).collect::<Vec<_>>(), [3]);
        let filter = Filter { include_ended: true, ..filter };
        let page = reader.credentials(&filter, 10, None).unwrap();
        assert_eq!(page.credentials.iter().map(|c| c.index).collect::<Vec<_>>(), [3, 2, 1, 0]);
        assert_eq!(ledger.live_total(START), 1);
    };
    check(&ledger);
    drop(ledger);
    check(&open(dir.path(), &clock));
}

#[test]
fn a_second_process_is_refused_with_a_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let _ledger = open(dir.path(), &clock);
    let error = hotwork::store::Ledger::open(options(dir.path(), &clock)).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    assert!(error.to_string().contains("another hotworkd"), "{error}");
}

#[test]
fn a_retry_gets_the_same_record_also_after_a_restart_and_never_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    submit(&ledger, issue_with_key(START, 1, "a", b"key", b"request")).unwrap();
    let check = |ledger: &hotwork::store::Ledger| {
        let again = submit(ledger, issue_with_key(START, 2, "a", b"key", b"request")).unwrap_err();
        let LedgerError::Refused(Refusal::Repeated(issuance, 0)) = again else { panic!("{again:?}") };
        assert_eq!(issuance.id, id(START, 1));
        let other = submit(ledger, issue_with_key(START, 3, "a", b"key", b"other")).unwrap_err();
        assert_eq!(other, LedgerError::Refused(Refusal::KeyReused));
    };
    check(&ledger);
    drop(ledger);
    let ledger = open(dir.path(), &clock);
    check(&ledger);
    assert_eq!(ledger.status().size, 1);
}

#[test]
fn a_clock_behind_the_log_mints_nothing_and_still_revokes() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    submit(&ledger, issue(START, 1, "a")).unwrap();
    for back in [2_000, 2_001] {
        clock.set(START.plus_millis(-back));
        let result = submit(&ledger, issue(START.plus_millis(-back), u64::try_from(back).unwrap(), "a"));
        let refused = matches!(result, Err(LedgerError::ClockBehind { behind_ms }) if behind_ms == back);
        assert_eq!(refused, back > 2_000, "{result:?}");
    }
    clock.break_by(5_000);
    assert!(matches!(submit(&ledger, issue(START, 3, "a")), Err(LedgerError::Clock(_))));
    let revoked = submit(&ledger, revoke(Selector::All)).unwrap();
    assert_eq!((revoked.time(), revoked.live_ended()), (START, Some(2)));
}

#[test]
fn a_credential_minted_before_a_revocation_is_never_recorded_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    submit(&ledger, issue(START, 1, "a")).unwrap();
    submit(&ledger, revoke(Selector::Agent(agent("a")))).unwrap();
    let overtaken = submit(&ledger, issue(START, 2, "a")).unwrap_err();
    assert_eq!(overtaken, LedgerError::Refused(Refusal::Overtaken));
    let ahead = submit(&ledger, issue(START.plus_millis(1), 3, "a")).unwrap_err();
    assert_eq!(ahead, LedgerError::Refused(Refusal::Stale), "minted after its own commit");
    clock.advance_millis(1);
    submit(&ledger, issue(START.plus_millis(1), 3, "a")).unwrap();
    submit(&ledger, issue(START, 4, "b")).unwrap();
}

#[test]
fn a_command_at_the_age_bound_is_recorded_and_found_and_one_beyond_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    clock.advance_millis(10_000);
    submit(&ledger, issue(START, 1, "a")).unwrap();
    assert!(ledger.reader().credential(id(START, 1)).unwrap().is_some());
    clock.advance_millis(1);
    let stale = submit(&ledger, issue(START, 2, "a")).unwrap_err();
    assert_eq!(stale, LedgerError::Refused(Refusal::Stale));
}

#[test]
fn the_epoch_is_of_the_newest_end_and_grows_with_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let epochs = ledger.watch_revocations();
    assert_eq!((*epochs.borrow(), ledger.revocations().epoch()), (0, 0));
    submit(&ledger, issue(START, 1, "a")).unwrap();
    assert!(!epochs.has_changed().unwrap(), "an issuance ends nothing");
    let revoked = submit(&ledger, revoke_one(&issuance(START, 1, "a"))).unwrap();
    submit(&ledger, issue(START, 2, "a")).unwrap();
    assert_eq!(*epochs.borrow(), revoked.index() + 1);
    assert!(ledger.revocations().ended_issuance(&issuance(START, 1, "a")).is_some());
    drop(ledger);
    let ledger = open(dir.path(), &clock);
    assert_eq!(*ledger.watch_revocations().borrow(), revoked.index() + 1, "after a restart");
}
