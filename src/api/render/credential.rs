//! Credentials as the wire shows them.

use crate::domain::catalogue::Tier;
use crate::domain::credential::{Credential, Ended, Kind, State};
use crate::domain::name::AgentId;
use crate::domain::parameter::{Parameter, Value};
use crate::domain::request::{Confirmation, Thumbprint};
use crate::domain::time::Timestamp;
use crate::proto::v1;
use crate::store::Page;

use super::timestamp;

/// The record, with its state at `now`.
pub fn credential(credential: &Credential, now: Timestamp) -> v1::Credential {
    let issuance = &credential.issuance;
    let agent: &AgentId = &issuance.agent;
    v1::Credential {
        id: issuance.id.to_string(),
        kind: kind(issuance.kind).into(),
        agent: agent.to_string(),
        principal: issuance.principal.to_string(),
        tenant: agent.tenant().to_string(),
        api: issuance.action.api().to_owned(),
        action: issuance.action.to_string(),
        resource: issuance.resource.to_string(),
        audience: issuance.audience.to_string(),
        parameters: issuance.parameters.iter().map(parameter).collect(),
        issue_time: Some(timestamp(issuance.issued)),
        expire_time: Some(timestamp(issuance.expires)),
        lineage: issuance.lineage.to_string(),
        decision_id: issuance.id.to_string(),
        tier: tier(issuance.tier).into(),
        state: state(credential.state(now)).into(),
        binding: binding(&issuance.cnf),
        serial: issuance.serial.map(|serial| serial.to_string()).unwrap_or_default(),
        log_index: credential.index,
        evidence_sha256: issuance.evidence.to_string(),
        revocation: credential.ended.as_ref().map(revocation),
        drill: issuance.drill,
    }
}

/// A page of records with the token of the next, and the time whose states it shows.
pub fn page(page: &Page, now: Timestamp) -> (Vec<v1::Credential>, String, prost_types::Timestamp) {
    let credentials = page.credentials.iter().map(|each| credential(each, now)).collect();
    let next = page.next.as_ref().map(ToString::to_string).unwrap_or_default();
    (credentials, next, timestamp(now))
}

/// A credential's form.
pub const fn kind(kind: Kind) -> v1::CredentialKind {
    match kind {
        Kind::Certificate => v1::CredentialKind::Certificate,
        Kind::Token => v1::CredentialKind::Token,
    }
}

const fn state(state: State) -> v1::CredentialState {
    match state {
        State::Expired => v1::CredentialState::Expired,
        State::Live => v1::CredentialState::Live,
        State::Released => v1::CredentialState::Released,
        State::Revoked => v1::CredentialState::Revoked,
    }
}

/// How an action is allowed.
pub const fn tier(tier: Tier) -> v1::Tier {
    match tier {
        Tier::Approval => v1::Tier::Approval,
        Tier::Auto => v1::Tier::Auto,
        Tier::BreakGlass => v1::Tier::BreakGlass,
    }
}

/// A parameter.
pub fn parameter(parameter: &Parameter) -> v1::Parameter {
    let value = match &parameter.value {
        Value::Flag(flag) => v1::parameter::Value::Flag(*flag),
        Value::Integer(integer) => v1::parameter::Value::Integer(i64::from(*integer)),
        Value::Text(text) => v1::parameter::Value::Text(text.to_string()),
    };
    v1::Parameter { name: parameter.name.to_string(), value: Some(value) }
}

fn binding(confirmation: &Confirmation) -> Option<v1::KeyBinding> {
    let text =
        |thumbprint: &Option<Thumbprint>| thumbprint.as_ref().map(Thumbprint::to_string).unwrap_or_default();
    let binding = || v1::KeyBinding { jkt: text(&confirmation.jkt), x5t_s256: text(&confirmation.x5t_s256) };
    (!confirmation.is_bearer()).then(binding)
}

fn revocation(ended: &Ended) -> v1::Revocation {
    v1::Revocation {
        time: Some(timestamp(ended.time)),
        reason: ended.reason.to_string(),
        actor: ended.actor.to_string(),
        log_index: ended.index,
    }
}

#[cfg(test)]
pub(in crate::api) mod tests {
    use super::*;
    use crate::domain::credential::{EndedHow, Issuance};
    use crate::domain::digest::Digest;
    use crate::domain::id::{CredentialId, Lineage, Serial};

    const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    /// A certificate's record that lives from 1,000 s to 1,060 s.
    pub(in crate::api) fn record() -> Credential {
        let issued = Timestamp::from_seconds(1_000);
        let digest = Digest::from_bytes([1; 32]);
        let issuance = Issuance {
            action: "pay.invoice.settle".parse().unwrap(),
            agent: "spiffe://td/tenant/acme/agent/buyer".parse().unwrap(),
            approval: None,
            args: None,
            attested: Vec::new(),
            audience: "https://pay.example".parse().unwrap(),
            cnf: Confirmation { jkt: THUMBPRINT.parse().ok(), x5t_s256: None },
            content: digest,
            drill: false,
            evidence: digest,
            expires: Timestamp::from_seconds(1_060),
            id: CredentialId::new(issued, &[2; 10]),
            idempotency: None,
            issued,
            key: None,
            kind: Kind::Certificate,
            lineage: Lineage::new(issued, &[3; 10]),
            max_calls: None,
            owner: None,
            parameters: vec![Parameter {
                name: "amount".parse().unwrap(),
                value: Value::Integer(5.try_into().unwrap()),
            }],
            policies: vec!["pay#0".parse().unwrap()],
            principal: "finance@acme.example".into(),
            purpose: None,
            registry: digest,
            resource: "invoice/7".parse().unwrap(),
            serial: Some(Serial::new([4; 16])),
            single_use: true,
            status: None,
            tier: Tier::Auto,
        };
        Credential { issuance, index: 9, ended: None }
    }

    #[test]
    fn a_record_shows_every_fact_and_its_state_at_the_time() {
        let mut credential = record();
        let at = |credential: &Credential, seconds| {
            super::credential(credential, Timestamp::from_seconds(seconds)).state()
        };
        assert_eq!(at(&credential, 1_059), v1::CredentialState::Live);
        assert_eq!(at(&credential, 1_060), v1::CredentialState::Expired);
        let time = Timestamp::from_seconds(1_010);
        let ended =
            Ended { how: EndedHow::Revoked, actor: "ann".into(), reason: "leaked".into(), time, index: 12 };
        credential.ended = Some(ended.clone());
        assert_eq!(at(&credential, 1_020), v1::CredentialState::Revoked);
        credential.ended = Some(Ended { how: EndedHow::Released, ..ended });
        assert_eq!(at(&credential, 1_020), v1::CredentialState::Released);
        let shown = super::credential(&credential, time);
        assert_eq!((shown.tenant.as_str(), shown.api.as_str()), ("acme", "pay"));
        assert_eq!(shown.binding.map(|binding| binding.jkt), Some(THUMBPRINT.to_owned()));
        assert_eq!(shown.serial.len(), 32);
        assert_eq!(shown.revocation.map(|revocation| revocation.log_index), Some(12));
    }

    #[test]
    fn a_bearer_token_shows_no_binding() {
        let mut credential = record();
        credential.issuance.cnf = Confirmation::default();
        assert_eq!(super::credential(&credential, Timestamp::default()).binding, None);
    }
}
