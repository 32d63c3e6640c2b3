//! The ledger's rules, one by one.

mod approvals;
mod ends;

use super::*;
use crate::domain::consumption::Debit;
use crate::domain::entry::Release;
use crate::domain::fixture::revocation;
use crate::domain::id::Lineage;
use crate::domain::limits::CLOCK_BEHIND_MS_MAX;
use crate::domain::revocation::{KEPT_MS, Terms, Unlock};

const START: Timestamp = Timestamp::from_seconds(1_763_900_000);

fn agent(name: &str) -> AgentId {
    format!("spiffe://td/tenant/t/agent/{name}").parse().unwrap()
}

fn issuance(holder: &str, at: Timestamp, random: u8) -> Box<Issuance> {
    Box::new(crate::domain::fixture::issuance(holder, at, random))
}

fn keyed(holder: &str, at: Timestamp, random: u8, key: &str, request: &str) -> Box<Issuance> {
    let idempotency =
        Idempotency { key: Digest::of(key.as_bytes()), request: Digest::of(request.as_bytes()) };
    Box::new(Issuance { idempotency: Some(idempotency), ..*issuance(holder, at, random) })
}

fn lock(selector: Selector, expires: Timestamp) -> Lock {
    let terms = Terms { expires, message: "frozen".parse().unwrap() };
    Lock { operator: "alice".parse().unwrap(), selector, tenants: Vec::new(), terms }
}

/// A state with a log of its own, as the writer drives it.
#[derive(Default)]
struct Log {
    state: State,
    entries: Vec<Entry>,
}

impl Log {
    fn submit(&mut self, command: Command, now: Timestamp) -> Result<Entry, Refusal> {
        let change = self.state.decide(command, now)?;
        self.state.apply(&change, self.entries.len() as u64);
        self.entries.push(change.entry().clone());
        Ok(change.entry().clone())
    }

    fn issue(&mut self, issuance: &Issuance) -> Result<Entry, Refusal> {
        self.submit(Command::Issue(Box::new(issuance.clone())), issuance.issued)
    }

    fn revoke(
        &mut self,
        selector: Selector,
        target: Option<&Issuance>,
        now: Timestamp,
    ) -> Result<u64, Refusal> {
        let target = target.map(Target::from);
        let entry = self.submit(Command::Revoke { revocation: revocation(selector), target }, now)?;
        match entry.event {
            Event::Revoke(revocation) => Ok(revocation.live.unwrap_or(u64::MAX)),
            other => panic!("{other:?}"),
        }
    }

    fn release(&mut self, issuance: &Issuance, now: Timestamp) -> Result<Entry, Refusal> {
        let (agent, credential, expires) = (issuance.agent.clone(), issuance.id, issuance.expires);
        self.submit(Command::Release(Release { agent, credential, expires }), now)
    }

    fn ended(&self, issuance: &Issuance) -> bool {
        self.state.revocations().ended_issuance(issuance).is_some()
    }
}

#[test]
fn an_entry_is_canonical_json_and_reads_back() {
    let mut log = Log::default();
    let mut record = keyed("a", START, 1, "k", "r");
    record.parameters = vec![crate::domain::parameter::Parameter {
        name: "amount".parse().unwrap(),
        value: crate::domain::parameter::Value::Integer(7.try_into().unwrap()),
    }];
    record.purpose = Some("testing".parse().unwrap());
    log.issue(&record).unwrap();
    log.revoke(Selector::Credential(record.id), Some(&record), START).unwrap();
    log.revoke(Selector::All, None, START).unwrap();
    let whole = Revocation {
        issued_before: Some(START),
        lock: Some(Terms { expires: START, message: "frozen".parse().unwrap() }),
        tenants: vec!["t".parse().unwrap()],
        ..revocation(Selector::Attested(record.attested[0].clone()))
    };
    log.submit(Command::Revoke { revocation: whole, target: None }, START).unwrap();
    let made = log.submit(
        Command::Lock(lock(Selector::Owner("o <o@example>".parse().unwrap()), record.expires)),
        START,
    );
    made.unwrap();
    let lock = log.entries.len() as u64 - 1;
    log.submit(Command::Unlock(Unlock { lock, operator: "alice".parse().unwrap() }), START).unwrap();
    for who in ["alice", "bob"] {
        log.submit(Command::BreakGlass(crate::domain::fixture::sign(START, who)), START).unwrap();
    }
    for entry in &log.entries {
        let bytes = entry.to_canonical_json().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        // serde_json's own map is sorted by key, which for ASCII keys is the order of RFC 8785.
        assert_eq!(serde_json::to_vec(&value).unwrap(), bytes);
        assert_eq!(&Entry::from_json(&bytes).unwrap(), entry);
    }
}

#[test]
fn the_same_key_and_request_give_the_record_that_there_is() {
    let mut log = Log::default();
    let first = keyed("a", START, 1, "k", "r");
    log.issue(&first).unwrap();
    let retry = log.issue(&keyed("a", START.plus_millis(500), 2, "k", "r"));
    assert_eq!(retry, Err(Refusal::Repeated(first, 0)));
    assert_eq!(log.issue(&keyed("a", START, 3, "k", "other")), Err(Refusal::KeyReused));
    assert!(log.issue(&keyed("b", START, 4, "k", "r")).is_ok(), "keys are per agent");
    assert!(
        log.issue(&keyed("a", START.plus_millis(120_000), 5, "k", "r")).is_ok(),
        "keys end with the credential"
    );
}

#[test]
fn a_retry_does_not_bring_back_what_was_revoked() {
    let mut log = Log::default();
    let first = keyed("a", START, 1, "k", "r");
    log.issue(&first).unwrap();
    log.revoke(Selector::Agent(agent("a")), None, START.plus_millis(10)).unwrap();
    let retry = log.issue(&keyed("a", START.plus_millis(500), 2, "k", "r"));
    assert_eq!(retry, Err(Refusal::AlreadyEnded));
}

#[test]
fn idempotency_keys_are_bounded_at_n_and_refused_at_n_plus_one() {
    let mut log = Log::default();
    for n in 0..IDEMPOTENCY_KEYS_PER_AGENT_MAX {
        log.issue(&keyed("a", START, 1, &n.to_string(), "r")).unwrap();
    }
    assert_eq!(log.issue(&keyed("a", START, 1, "one more", "r")), Err(Refusal::KeysExhausted));
    assert!(log.issue(&keyed("b", START, 1, "one more", "r")).is_ok());
}

#[test]
fn a_revocation_ends_what_was_minted_before_and_refuses_what_it_overtook() {
    let mut log = Log::default();
    let (mine, other) = (issuance("a", START, 1), issuance("b", START, 2));
    log.issue(&mine).unwrap();
    log.issue(&other).unwrap();
    let at = START.plus_millis(100);
    assert_eq!(log.revoke(Selector::Agent(agent("a")), None, at), Ok(1));
    assert!(log.ended(&mine) && !log.ended(&other));
    assert_eq!(log.issue(&issuance("a", at, 3)), Err(Refusal::Overtaken), "minted at the same instant");
    assert!(log.issue(&issuance("a", at.plus_millis(1), 4)).is_ok());
    assert_eq!(log.revoke(Selector::All, None, at.plus_millis(2)), Ok(2));
    assert!(log.ended(&other));
    assert_eq!(log.state.live().total(at), 0);
}

#[test]
fn one_credential_ends_once() {
    let mut log = Log::default();
    let record = issuance("a", START, 1);
    log.issue(&record).unwrap();
    assert_eq!(log.revoke(Selector::Credential(record.id), Some(&record), START), Ok(1));
    assert_eq!(log.revoke(Selector::Credential(record.id), Some(&record), START), Err(Refusal::AlreadyEnded));
    assert_eq!(log.release(&record, START), Err(Refusal::AlreadyEnded));
    assert_eq!(log.entries.len(), 2, "a refusal leaves no entry");
}

#[test]
fn an_expired_credential_can_not_be_released() {
    let mut log = Log::default();
    let record = issuance("a", START, 1);
    log.issue(&record).unwrap();
    assert_eq!(log.release(&record, record.expires), Err(Refusal::AlreadyEnded));
    assert!(log.release(&record, record.expires.plus_millis(-1)).is_ok());
}

#[test]
fn a_command_that_waited_too_long_is_refused() {
    let mut log = Log::default();
    let record = issuance("a", START, 1);
    let late = START.plus_millis(LEDGER_COMMAND_AGE_MS_MAX);
    let submit = |log: &mut Log, now| log.submit(Command::Issue(record.clone()), now);
    assert_eq!(submit(&mut log, late.plus_millis(1)), Err(Refusal::Stale));
    assert!(submit(&mut log, late).is_ok());
}

#[test]
fn time_in_the_log_never_goes_back() {
    let mut log = Log::default();
    log.issue(&issuance("a", START.plus_millis(50), 1)).unwrap();
    log.issue(&issuance("a", START, 2)).unwrap();
    assert!(log.entries.is_sorted_by_key(|entry| entry.time));
}

#[test]
fn a_clock_behind_the_log_mints_nothing_and_still_revokes() {
    let mut log = Log::default();
    log.issue(&issuance("a", START, 1)).unwrap();
    let limit = START.plus_millis(-CLOCK_BEHIND_MS_MAX);
    assert!(log.issue(&issuance("a", limit, 2)).is_ok());
    let behind = log.issue(&issuance("a", limit.plus_millis(-1), 3));
    assert_eq!(behind, Err(Refusal::ClockBehind(CLOCK_BEHIND_MS_MAX + 1)));
    assert_eq!(log.revoke(Selector::All, None, limit.plus_millis(-60_000)), Ok(2));
}

#[test]
fn replaying_the_log_gives_the_same_answers() {
    let mut log = Log::default();
    let records: Vec<_> = (0..20).map(|n| issuance(["a", "b"][n % 2], START, n as u8)).collect();
    for record in &records {
        log.issue(record).unwrap();
    }
    log.revoke(Selector::Credential(records[3].id), Some(&records[3]), START).unwrap();
    log.release(&records[4], START).unwrap();
    log.revoke(Selector::Agent(agent("b")), None, START.plus_millis(1)).unwrap();
    let mut again = State::default();
    for (index, entry) in log.entries.iter().enumerate() {
        again.replay(entry, index as u64, |id| {
            records.iter().find(|record| record.id == id).map(|found| Target::from(&**found))
        });
    }
    for record in &records {
        let ended = |state: &State| state.revocations().ended_issuance(record).cloned();
        assert_eq!(ended(&again), ended(&log.state));
    }
    assert_eq!(again.live().total(START), log.state.live().total(START));
    assert_eq!(again.high_water(), log.state.high_water());
    again.forget(START.plus_millis(119_000));
    assert_eq!(again.live().total(START), log.state.live().total(START), "forgetting changes no answer");
}

fn counted(calls: u32, random: u8) -> Box<Issuance> {
    let mut record = issuance("a", START, random);
    record.max_calls = std::num::NonZeroU32::new(calls);
    record
}

fn consume(log: &mut Log, issuance: &Issuance, key: &str, now: Timestamp) -> Result<u32, Refusal> {
    let command = Command::Consume { issuance: Box::new(issuance.clone()), key: Digest::of(key.as_bytes()) };
    match log.submit(command, now)?.event {
        Event::Consume(consumption) => Ok(consumption.left),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_counted_credential_is_good_for_exactly_its_calls() {
    let mut log = Log::default();
    let record = counted(3, 1);
    log.issue(&record).unwrap();
    let left: Vec<_> = ["x", "y", "z"].map(|key| consume(&mut log, &record, key, START)).to_vec();
    assert_eq!(left, [Ok(2), Ok(1), Ok(0)]);
    assert_eq!(consume(&mut log, &record, "w", START), Err(Refusal::CallsExhausted));
    // A retry gets the answer that was given, and debits nothing.
    assert_eq!(consume(&mut log, &record, "y", START), Err(Refusal::Debited(Debit { index: 2, left: 1 })));
    let single = Box::new(Issuance { single_use: true, ..*issuance("a", START, 2) });
    log.issue(&single).unwrap();
    assert_eq!(consume(&mut log, &single, "x", START), Ok(0), "keys are per credential");
    assert_eq!(consume(&mut log, &single, "y", START), Err(Refusal::CallsExhausted));
    let free = issuance("a", START, 3);
    log.issue(&free).unwrap();
    assert_eq!(consume(&mut log, &free, "x", START), Err(Refusal::NotCounted));
}

#[test]
fn what_has_ended_is_not_consumed_even_by_a_retry() {
    let mut log = Log::default();
    let (released, expired) = (counted(3, 1), counted(3, 2));
    log.issue(&released).unwrap();
    log.issue(&expired).unwrap();
    consume(&mut log, &released, "x", START).unwrap();
    log.release(&released, START).unwrap();
    for key in ["x", "y"] {
        assert_eq!(consume(&mut log, &released, key, START), Err(Refusal::AlreadyEnded), "{key}");
    }
    assert!(consume(&mut log, &expired, "x", expired.expires.plus_millis(-1)).is_ok());
    assert_eq!(consume(&mut log, &expired, "y", expired.expires), Err(Refusal::AlreadyEnded));
}

#[test]
fn debits_come_back_by_replay_and_go_with_their_credentials() {
    let mut log = Log::default();
    let record = counted(2, 1);
    log.issue(&record).unwrap();
    consume(&mut log, &record, "x", START).unwrap();
    consume(&mut log, &record, "y", START).unwrap();
    let mut again = State::default();
    for (index, entry) in (0..).zip(&log.entries) {
        again.replay(entry, index, |_| None);
    }
    log.state = again;
    assert_eq!(consume(&mut log, &record, "z", START), Err(Refusal::CallsExhausted));
    assert_eq!(consume(&mut log, &record, "x", START), Err(Refusal::Debited(Debit { index: 1, left: 1 })));
    assert_eq!(log.state.consumptions.len(), 1);
    log.state.forget(record.expires);
    assert!(log.state.consumptions.is_empty());
}

#[test]
fn what_agents_cause_waits_in_nobody_else_s_place() {
    let enrolled = |operator: Option<&str>| {
        let who = match operator {
            None => Enrolled::Agent(agent("edge")),
            Some(_) => Enrolled::Verifier("web".parse().unwrap()),
        };
        Command::Enroll(Enrollment {
            content: Digest::of(b"content"),
            evidence: None,
            expires: START.plus_millis(1000),
            issued: START,
            operator: operator.map(|name| name.parse().unwrap()),
            serial: crate::domain::id::Serial::new([1; 16]),
            spki: Digest::of(b"key"),
            who,
        })
    };
    assert_eq!(enrolled(None).waits(), Waits::Anybody);
    assert_eq!(enrolled(Some("root")).waits(), Waits::Operator);
}
