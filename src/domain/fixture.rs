//! Records for the tests of this floor.

use super::break_glass::{Ask, Asks, Opening, Proposal, Sign, Signature};
use super::catalogue::Tier;
use super::credential::{Issuance, Kind};
use super::digest::Digest;
use super::evidence::Selector;
use super::id::{CredentialId, Lineage};
use super::playbook::{Expansion, Quorum, Scope};
use super::request::Confirmation;
use super::statement::Nonce;
use super::time::Timestamp;

/// A token of the agent `holder` of tenant `t`, minted at `at`.
///
/// # Panics
/// When `holder` is no agent's name.
pub fn issuance(holder: &str, at: Timestamp, random: u8) -> Issuance {
    Issuance {
        action: "demo.read".parse().unwrap(),
        agent: format!("spiffe://td/tenant/t/agent/{holder}").parse().unwrap(),
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
        until: now.plus_millis(900_000),
    };
    let signature =
        Signature { digest: Digest::of(b"s"), key: "SHA256:x".into(), operator: operator.parse().unwrap() };
    let responders = vec!["alice".parse().unwrap(), "bob".parse().unwrap()];
    Ask::Sign(Box::new(Sign { proposal, signature, responders, session: Lineage::new(now, &[5; 10]) }))
}
