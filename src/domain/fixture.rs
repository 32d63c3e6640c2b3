//! Records for the tests of this floor.

use super::catalogue::Tier;
use super::credential::{Issuance, Kind};
use super::digest::Digest;
use super::evidence::Selector;
use super::id::{CredentialId, Lineage};
use super::request::Confirmation;
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
