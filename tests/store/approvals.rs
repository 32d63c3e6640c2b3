//! Requests for approval on real files: they outlive what replay looks back at, and so does that they were used.

use hotwork::domain::approval::{ApprovalRefusal, Asked, State, Terms, Used, Verdict, Vote};
use hotwork::domain::catalogue::{Access, Tier};
use hotwork::domain::credential::{Issuance, Kind};
use hotwork::domain::digest::Digest;
use hotwork::domain::id::{ApprovalId, Lineage};
use hotwork::domain::ledger::{Command, Refusal};
use hotwork::domain::limits::APPROVAL_MS;
use hotwork::domain::statement::Nonce;
use hotwork::domain::time::Ttl;
use hotwork::store::LedgerError;

use crate::support::{START, block_on, clock, issuance, issue, open};

pub fn asked(number: u8) -> Asked {
    let record = issuance(START, 1, "a");
    let terms = Terms {
        action: record.action,
        agent: record.agent,
        args: None,
        audience: record.audience,
        calls: None,
        cnf: record.cnf,
        holder: Digest::of(&[number]),
        kind: Kind::Token,
        parameters: Vec::new(),
        principal: record.principal,
        purpose: format!("p{number}").parse().ok(),
        resource: record.resource,
        ttl: Ttl::from_seconds(120).unwrap(),
    };
    Asked {
        access: Access::Write,
        approvals: std::num::NonZeroU8::MIN,
        attested: Vec::new(),
        evidence: record.evidence,
        expires: START.plus_millis(APPROVAL_MS),
        id: ApprovalId::new(START, &[number; 10]),
        justification: None,
        lineage: Lineage::new(START, &[number; 10]),
        nonce: Nonce::new([number; 16]),
        owner: "o".into(),
        policies: Vec::new(),
        registry: record.registry,
        request: terms.digest(),
        terms,
    }
}

pub fn vote(on: &Asked) -> Command {
    decision(on, Verdict::Approve)
}

fn decision(on: &Asked, verdict: Verdict) -> Command {
    Command::Decide(Box::new(Vote {
        approval: on.id,
        expires: on.expires,
        fingerprint: "SHA256:uNiVztksCsDhcc0u9e8BrvJkFeDHk5SUkFzEhzyxmNY".parse().unwrap(),
        operator: "alice".parse().unwrap(),
        owner: false,
        reason: None,
        signature: "c2lnbmVk".into(),
        statement: Digest::of(b"statement"),
        verdict,
    }))
}

#[test]
fn waiting_approved_and_used_requests_stay_so_long_after_with_and_without_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let (waiting, approved, used) = (asked(1), asked(2), asked(3));
    block_on(async {
        for one in [&waiting, &approved, &used] {
            ledger.submit(Command::Ask(Box::new(one.clone()))).await.unwrap();
        }
        ledger.submit(vote(&approved)).await.unwrap();
        ledger.submit(vote(&used)).await.unwrap();
        let approval = Some(Used { expires: used.expires, id: used.id });
        let purpose = used.terms.purpose.clone();
        let record = Issuance { approval, purpose, tier: Tier::Approval, ..issuance(START, 9, "a") };
        ledger.submit(Command::Issue(Box::new(record))).await.unwrap();
    });
    // Later than anything that a credential of then could bear on.
    let later = START.plus_millis(APPROVAL_MS - 60_000);
    clock.set(later);
    block_on(ledger.submit(issue(later, 20, "b"))).unwrap();
    let expected = ledger.approvals();
    drop(ledger);
    for keep_index in [true, false] {
        if !keep_index {
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let ledger = open(dir.path(), &clock);
        assert_eq!(ledger.approvals(), expected);
        for (one, state) in [(&waiting, State::Pending), (&approved, State::Approved), (&used, State::Used)] {
            assert_eq!(ledger.approvals().get(one.id).unwrap().state(later), state);
        }
        drop(ledger);
    }
    clock.set(used.expires);
    let ledger = open(dir.path(), &clock);
    block_on(ledger.submit(issue(used.expires, 30, "b"))).unwrap();
    drop(ledger);
    let ledger = open(dir.path(), &clock);
    assert_eq!(ledger.approvals().iter().count(), 0, "what is over is in the log only");
}

#[test]
fn the_wait_after_a_no_outlives_the_request_and_a_restart() {
    const MINUTE: i64 = 60_000;
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let first = asked(1);
    block_on(ledger.submit(Command::Ask(Box::new(first.clone())))).unwrap();
    clock.set(START.plus_millis(58 * MINUTE));
    block_on(ledger.submit(decision(&first, Verdict::Deny))).unwrap();
    // The request is over, and the wait is not.
    let over = START.plus_millis(61 * MINUTE);
    clock.set(over);
    block_on(ledger.submit(issue(over, 20, "b"))).unwrap();
    drop(ledger);
    let again = |number: u8, at: hotwork::domain::time::Timestamp| {
        let expires = at.plus_millis(APPROVAL_MS);
        Command::Ask(Box::new(Asked { id: ApprovalId::new(at, &[number; 10]), expires, ..asked(number) }))
    };
    for keep_index in [true, false] {
        if !keep_index {
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let ledger = open(dir.path(), &clock);
        let refused = block_on(ledger.submit(again(2, over))).unwrap_err();
        assert_eq!(refused, LedgerError::Refused(Refusal::Approval(ApprovalRefusal::CoolingDown)));
    }
    let waited = START.plus_millis(63 * MINUTE);
    clock.set(waited);
    let ledger = open(dir.path(), &clock);
    assert!(block_on(ledger.submit(again(3, waited))).is_ok());
}
