//! Records for the tests of this floor.

use std::num::NonZeroU8;

use super::approval::{Asked, Terms, Used, Verdict, Vote};
use super::break_glass::{Ask, Asks, Opening, Proposal, Responder, Sign, Signature};
use super::catalogue::{Access, Tier};
use super::credential::{Issuance, Kind};
use super::digest::Digest;
use super::evidence::Selector;
use super::id::{ApprovalId, CredentialId, Lineage};
use super::parameter::{Parameter, Value};
use super::playbook::{Expansion, Quorum, Scope};
use super::request::Confirmation;
use super::revocation::{self, Revocation};
use super::statement::Nonce;
use super::time::{Timestamp, Ttl};

/// A token of the agent `holder` of tenant `t`, minted at `at`.
///
/// # Panics
/// When `holder` is no agent's name.
pub fn issuance(holder: &str, at: Timestamp, random: u8) -> Issuance {
    Issuance {
        action: "demo.read".parse().unwrap(),
        agent: format!("spiffe://td/tenant/t/agent/{holder}").parse().unwrap(),
        approval: None,
        args: None,
        attested: vec![Selector::new("unix.uid", "1000").unwrap()],
        audience: "https://demo.example".parse().unwrap(),
        cnf: Confirmation::default(),
        content: Digest::of(&[random]),
        drill: false,
        evidence: Digest::of(b"evidence"),
        expires: Timestamp::from_seconds(at.seconds() + 120),
        id: CredentialId::new(at, &[random; 10]),
        idempotency: None,
        issued: at,
        key: Some("key-1".into()),
        kind: Kind::Token,
        lineage: Lineage::new(at, &[random; 10]),
        max_calls: None,
        owner: Some("team a".into()),
        parameters: vec![],
        policies: vec![],
        principal: holder.into(),
        purpose: None,
        registry: Digest::of(b"registry"),
        resource: "demo/hello".parse().unwrap(),
        serial: None,
        single_use: false,
        status: None,
        tier: Tier::Auto,
    }
}

/// A revocation by one who may end everything.
///
/// # Panics
/// Never.
pub fn revocation(selector: revocation::Selector) -> Revocation {
    Revocation {
        for_good: false,
        issued_before: None,
        live: None,
        lock: None,
        operator: "alice".parse().unwrap(),
        reason: "test".parse().unwrap(),
        selector,
        tenants: Vec::new(),
    }
}

/// A signature of `operator` on the opening of a session of playbook `repair`, at `now`.
///
/// # Panics
/// When `operator` is no operator's name.
pub fn sign(now: Timestamp, operator: &str) -> Ask {
    let opening = Opening {
        drill: false,
        playbook: "repair".parse().unwrap(),
        reason: "the cluster is down".parse().unwrap(),
        scope: Scope::Expand(Expansion {
            actions: vec!["demo.read".parse().unwrap()],
            agents: vec!["spiffe://td/tenant/t/agent/a".parse().unwrap()],
            resources: vec!["demo".parse().unwrap()],
        }),
        seconds: 600,
        ticket: "INC-1".parse().unwrap(),
    };
    let proposal = Proposal {
        asks: Asks::Open(opening),
        from: now,
        nonce: Nonce::new([7; 16]),
        quorum: Quorum::DEFAULT,
        statement: Digest::of(b"statement"),
        text: "statement".into(),
        until: now.plus_millis(900_000),
    };
    let signature =
        Signature { key: "SHA256:x".into(), operator: operator.parse().unwrap(), signature: "U1NI".into() };
    let responder = |name: &str| Responder { keys: vec!["SHA256:x".to_owned()], name: name.parse().unwrap() };
    let responders = vec![responder("alice"), responder("bob")];
    Ask::Sign(Box::new(Sign { proposal, signature, responders, session: Lineage::new(now, &[5; 10]) }))
}

/// When the requests of [`asked`] are made.
pub const START: Timestamp = Timestamp::from_millis(1_763_900_000_000);

/// A request of the agent `holder` of tenant `t` that `approvals` operators have to approve within an hour.
///
/// # Panics
/// When `holder` is no agent's name.
pub fn asked(holder: &str, random: u8, approvals: u8) -> Asked {
    let terms = Terms {
        action: "demo.read".parse().unwrap(),
        agent: format!("spiffe://td/tenant/t/agent/{holder}").parse().unwrap(),
        args: None,
        audience: "https://demo.example".parse().unwrap(),
        calls: None,
        cnf: Confirmation::default(),
        holder: Digest::of(b"holder"),
        kind: Kind::Token,
        parameters: vec![
            Parameter { name: "amount".parse().unwrap(), value: Value::Integer(7.try_into().unwrap()) },
            Parameter {
                name: "number".parse().unwrap(),
                value: Value::Integer(i64::from(random).try_into().unwrap()),
            },
        ],
        principal: holder.into(),
        purpose: None,
        resource: "demo/hello".parse().unwrap(),
        ttl: Ttl::from_seconds(120).unwrap(),
    };
    Asked {
        access: Access::Write,
        approvals: NonZeroU8::new(approvals).unwrap(),
        attested: vec![Selector::new("unix.uid", "1000").unwrap()],
        evidence: Digest::of(b"evidence"),
        expires: START.plus_millis(super::limits::APPROVAL_MS),
        id: ApprovalId::new(START, &[random; 10]),
        justification: None,
        lineage: Lineage::new(START, &[random; 10]),
        nonce: Nonce::new([random; 16]),
        owner: "team \u{e9}".into(),
        policies: vec![],
        registry: Digest::of(b"registry"),
        request: terms.digest(),
        terms,
    }
}

/// A decision of `operator` on it.
///
/// # Panics
/// When `operator` is no name.
pub fn vote(on: &Asked, operator: &str, verdict: Verdict) -> Vote {
    Vote {
        approval: on.id,
        expires: on.expires,
        fingerprint: "SHA256:uNiVztksCsDhcc0u9e8BrvJkFeDHk5SUkFzEhzyxmNY".parse().unwrap(),
        operator: operator.parse().unwrap(),
        owner: false,
        reason: None,
        signature: "c2lnbmVk".into(),
        statement: Digest::of(b"statement"),
        verdict,
    }
}

/// The credential that was approved.
pub fn issued_on(asked: &Asked) -> Issuance {
    let terms = asked.terms.clone();
    Issuance {
        action: terms.action,
        agent: terms.agent,
        approval: Some(Used { expires: asked.expires, id: asked.id }),
        parameters: terms.parameters,
        principal: terms.principal,
        tier: Tier::Approval,
        ..issuance("a", START, 3)
    }
}
