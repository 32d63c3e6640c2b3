//! The shares of an emergency journal: whoever fills what they may use leaves enough to be stopped.

use std::num::NonZeroU32;
use std::path::Path;

use hotwork::domain::break_glass::{Ask, Asks, Phase, Proposal, Review};
use hotwork::domain::catalogue::Tier;
use hotwork::domain::credential::Issuance;
use hotwork::domain::digest::Digest;
use hotwork::domain::entry::Call;
use hotwork::domain::id::Lineage;
use hotwork::domain::ledger::Command;
use hotwork::domain::limits::{EMERGENCY_BYTES, EMERGENCY_LAST_BYTES, EMERGENCY_SESSION_BYTES_MAX};
use hotwork::domain::revocation::{Lock, Revocation, Selector, Terms, Unlock};
use hotwork::store::{Ledger, LedgerError};

use crate::emergency::{emergency, in_emergency, ready};
use crate::glass::{closing, proposal, sign, under};
use crate::support::*;

/// A session of its own playbook.
fn open_session(ledger: &Ledger, number: u8) -> Result<Lineage, LedgerError> {
    let mut text: Proposal = proposal(&format!("text {number}"), START);
    if let Asks::Open(opening) = &mut text.asks {
        opening.playbook = format!("repair-{number}").parse().unwrap();
    }
    let session = Lineage::new(START, &[number; 10]);
    sign(ledger, &text, "ann", session)?;
    sign(ledger, &text, "ben", session)?;
    Ok(session)
}

/// A long record, as many parameters make it.
fn grant(session: Lineage, number: u64) -> Issuance {
    Issuance { owner: Some("x".repeat(6_000).into()), ..under(session, START, number) }
}

/// Mints until it is refused; how many there were.
fn mint_all(ledger: &Ledger, session: Lineage, numbers: &mut u64) -> u64 {
    let before = *numbers;
    loop {
        *numbers += 1;
        match submit(ledger, Command::Issue(Box::new(grant(session, *numbers)))) {
            Ok(_) => assert!(*numbers - before < 10_000, "it is never refused"),
            Err(error) => {
                assert_eq!(error, LedgerError::EmergencyFull);
                return *numbers - before - 1;
            }
        }
    }
}

fn lock(ledger: &Ledger) -> u64 {
    let terms = Terms { expires: START.plus_millis(3_600_000), message: "frozen".parse().unwrap() };
    let selector = Selector::Tenant("acme".parse().unwrap());
    let lock = Lock { operator: "olga".parse().unwrap(), selector, tenants: Vec::new(), terms };
    submit(ledger, Command::Lock(lock)).unwrap().index()
}

fn unlock(ledger: &Ledger, lock: u64) {
    submit(ledger, Command::Unlock(Unlock { lock, operator: "olga".parse().unwrap() })).unwrap();
}

/// Ends it by the operator.
fn end(ledger: &Ledger, who: &str, selector: Selector) -> Result<(), LedgerError> {
    let operator = who.parse().unwrap();
    let revocation = Revocation { operator, ..revocation(selector) };
    submit(ledger, Command::Revoke { revocation, target: None }).map(drop)
}

/// Ends one tenant after the other, until there is no room. Gives how many.
fn fill(ledger: &Ledger, who: &str) -> usize {
    let tenant = |at| Selector::Tenant(format!("t{at}").parse().unwrap());
    let refused = (0..10_000).find_map(|at| end(ledger, who, tenant(at)).err().map(|error| (at, error)));
    let (count, error) = refused.unwrap();
    assert_eq!(error, LedgerError::EmergencyFull);
    count
}

/// One revoker fills their share, and starts anew, and none of it keeps another from stopping anything.
fn one_revoker_takes_no_room_from_others(dir: &Path, ledger: Ledger) -> Ledger {
    let ended = fill(&ledger, "mallory");
    assert!((40..150).contains(&ended), "{ended} revocations");
    drop(ledger);
    let ledger = emergency(dir).unwrap();
    assert_eq!(fill(&ledger, "mallory"), 0, "not after a start either");
    let everything = |who: &str| end(&ledger, who, Selector::All);
    assert_eq!(everything("mallory"), Ok(()), "the kill switch has some more");
    let loops = (0..10_000).take_while(|_| everything("mallory").is_ok()).count();
    assert!(loops < 100, "{loops}");
    let others = fill(&ledger, "ben");
    assert!(others > 20, "{others} revocations of somebody else");
    ledger
}

#[test]
fn grants_that_fill_what_they_may_leave_room_to_close_lock_and_revoke() {
    let dir = tempfile::tempdir().unwrap();
    ready(dir.path());
    let ledger = emergency(dir.path()).unwrap();
    let (mut sessions, mut numbers, mut grants) = (Vec::new(), 100, 0);
    for number in 1.. {
        match open_session(&ledger, number) {
            Ok(session) => sessions.push(session),
            Err(error) => {
                assert_eq!(error, LedgerError::EmergencyFull);
                break;
            }
        }
        grants += mint_all(&ledger, sessions[sessions.len() - 1], &mut numbers);
    }
    // Nobody opens and nobody mints; each session had a share, so that the first did not take the others'.
    assert!(sessions.len() >= 3, "{} sessions", sessions.len());
    let usable = usize::try_from(EMERGENCY_BYTES - EMERGENCY_LAST_BYTES).unwrap() - 80_000;
    assert!(usize::try_from(grants).unwrap() * 6_500 > usable * 9 / 10, "{grants} grants");
    let held = lock(&ledger);
    for session in &sessions {
        submit(&ledger, revoke(Selector::Lineage(*session))).unwrap();
        submit(&ledger, Command::BreakGlass(Ask::Close(closing(*session)))).unwrap();
        assert_eq!(ledger.sessions().get(*session).unwrap().phase(START), Phase::Over);
    }
    let (finding, operator) = ("as it should".parse().unwrap(), "cyd".parse().unwrap());
    let review = Review { drill: false, finding, operator, playbook: None, session: sessions[0] };
    submit(&ledger, Command::BreakGlass(Ask::Review(review))).unwrap();
    unlock(&ledger, held);
    let ledger = one_revoker_takes_no_room_from_others(dir.path(), ledger);
    // It is all there at the next start.
    drop(ledger);
    let merged = open(dir.path(), &clock());
    assert!(sessions[1..].iter().all(|session| {
        merged.sessions().get(*session).is_some_and(|held| held.phase(START) == Phase::Over)
    }));
}

#[test]
fn a_session_s_share_is_the_same_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    ready(dir.path());
    let ledger = emergency(dir.path()).unwrap();
    let first = open_session(&ledger, 1).unwrap();
    let mut numbers = 100;
    let grants = mint_all(&ledger, first, &mut numbers);
    let most = EMERGENCY_SESSION_BYTES_MAX / 6_000;
    assert!((most - 15..=most).contains(&grants), "{grants} of {most}");
    drop(ledger);
    let ledger = emergency(dir.path()).unwrap();
    assert_eq!(mint_all(&ledger, first, &mut numbers), 0, "it begins no new share");
    let second = open_session(&ledger, 2).unwrap();
    assert!(mint_all(&ledger, second, &mut numbers) > 0, "and has nobody else's");
}

#[test]
fn what_was_debited_before_a_start_is_of_the_share_after_it() {
    let dir = tempfile::tempdir().unwrap();
    ready(dir.path());
    let ledger = emergency(dir.path()).unwrap();
    let mut numbers = 100;
    let whole = open_session(&ledger, 1).unwrap();
    let grants = mint_all(&ledger, whole, &mut numbers);
    // As many but for one, and what is left is debited.
    let session = open_session(&ledger, 2).unwrap();
    let counted = Issuance { max_calls: NonZeroU32::new(1_000), ..grant(session, 10_000) };
    submit(&ledger, Command::Issue(Box::new(counted.clone()))).unwrap();
    for number in 10_001..10_000 + grants - 1 {
        submit(&ledger, Command::Issue(Box::new(grant(session, number)))).unwrap();
    }
    let debit = |ledger: &Ledger, call: u32| {
        let key = Digest::of(&call.to_be_bytes());
        submit(ledger, Command::Consume { issuance: Box::new(counted.clone()), key }).map(drop)
    };
    let debits = (0..1_000).take_while(|call| debit(&ledger, *call).is_ok()).count();
    assert!((1..100).contains(&debits), "{debits} debits");
    assert_eq!(debit(&ledger, 1_000), Err(LedgerError::EmergencyFull));
    drop(ledger);
    let ledger = emergency(dir.path()).unwrap();
    assert_eq!(debit(&ledger, 1_001), Err(LedgerError::EmergencyFull), "it begins no new share");
}

#[test]
fn a_counted_credential_of_a_session_is_good_for_its_calls_and_no_other_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let ordinary = Issuance { single_use: true, ..issuance(START, 50, "a") };
    ready(dir.path());
    {
        let ledger = open(dir.path(), &clock());
        submit(&ledger, Command::Issue(Box::new(ordinary.clone()))).unwrap();
    }
    let ledger = emergency(dir.path()).unwrap();
    let session = open_session(&ledger, 1).unwrap();
    let two = NonZeroU32::new(2);
    let counted = Issuance { max_calls: two, ..under(session, START, 60) };
    submit(&ledger, Command::Issue(Box::new(counted.clone()))).unwrap();
    let debit = |issuance: &Issuance, call: u8| {
        let command = Command::Consume { issuance: Box::new(issuance.clone()), key: Digest::of(&[call]) };
        submit(&ledger, command).map(|recorded| recorded.index())
    };
    let first = debit(&counted, 1).unwrap();
    assert_eq!(debit(&counted, 2), Ok(first + 1));
    assert!(matches!(debit(&counted, 3), Err(LedgerError::Refused(_))), "two are two");
    assert_eq!((ordinary.tier, debit(&ordinary, 1)), (Tier::Auto, Err(LedgerError::Emergency)));
}

#[test]
fn what_only_keeps_a_record_stands_in_no_one_s_way_back() {
    let dir = tempfile::tempdir().unwrap();
    in_emergency(dir.path());
    let ledger = emergency(dir.path()).unwrap();
    let held = lock(&ledger);
    let call = || {
        Command::Call(Call {
            allowed: true,
            operator: "olga".parse().unwrap(),
            reason: None,
            rpc: "x".repeat(4000),
            statement: None,
        })
    };
    let calls = (0..10_000).take_while(|_| submit(&ledger, call()).is_ok()).count();
    assert!(calls > 100, "{calls}");
    unlock(&ledger, held);
    open_session(&ledger, 1).unwrap();
}
