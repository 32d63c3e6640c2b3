//! The record of one issuance: everything that was decided, nothing that is secret.
//!
//! Fields stand in alphabetical order, because serde writes them in this order and the log is canonical
//! JSON (RFC 8785). A test holds them to it.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::approval::Used;
use super::catalogue::Tier;
use super::digest::Digest;
use super::evidence::Selector;
use super::id::{CredentialId, Lineage, Serial};
use super::name::{ActionName, AgentId, Audience, PolicyName, Purpose};
use super::parameter::Parameter;
use super::request::Confirmation;
use super::resource::Resource;
use super::status_list::StatusRef;
use super::time::Timestamp;

/// One issuance. The token or certificate is a pure function of this record and the signing keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuance {
    /// The one action.
    pub action: ActionName,
    /// Who holds it.
    pub agent: AgentId,
    /// The approval that it was issued on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Used>,
    /// Digest of the call's arguments, when it is bound to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Digest>,
    /// What attestation established, of the kinds that credentials are revoked by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attested: Vec<Selector>,
    /// The API's audience.
    pub audience: Audience,
    /// The holder's key. A bearer token shows as `{}`: the API's explicit opt-out, marked in the log.
    pub cnf: Confirmation,
    /// SHA-256 of what was signed: a token's signing input, a certificate's TBS.
    pub content: Digest,
    /// Whether it was minted in a drill: every verifier refuses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drill: bool,
    /// SHA-256 of the attestation evidence.
    pub evidence: Digest,
    /// When it ends by itself. Whole seconds.
    pub expires: Timestamp,
    /// Its id, which is the decision's.
    pub id: CredentialId,
    /// The retry key, when the request had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// When it was minted.
    pub issued: Timestamp,
    /// The id of the key that signed it; of a certificate, the issuing authority's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Arc<str>>,
    /// What form it has.
    pub kind: Kind,
    /// What joins it to its request and children.
    pub lineage: Lineage,
    /// How many calls it is good for, when they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<NonZeroU32>,
    /// Who answered for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Arc<str>>,
    /// The parameters, as constrained.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// The policies that decided.
    pub policies: Vec<PolicyName>,
    /// The accountable party.
    pub principal: Arc<str>,
    /// Why, as the caller's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// SHA-256 of the registry that it was decided on.
    pub registry: Digest,
    /// The one resource.
    pub resource: Resource,
    /// A certificate's serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
    /// Whether it is good for one call only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_use: bool,
    /// Where a token's status stands, when it lives long enough to have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusRef>,
    /// How it was allowed.
    pub tier: Tier,
}

impl Issuance {
    /// How many calls it is good for; `None` when they are not counted.
    pub fn calls_max(&self) -> Option<u32> {
        if self.single_use { Some(1) } else { self.max_calls.map(NonZeroU32::get) }
    }

    /// The break-glass session that it was minted under.
    pub fn session(&self) -> Option<Lineage> {
        (self.tier == Tier::BreakGlass).then_some(self.lineage)
    }
}

/// What form a credential has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An X.509 client certificate.
    Certificate,
    /// A signed token.
    Token,
}

/// What a retry is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// SHA-256 of the caller's key; keys are per agent.
    pub key: Digest,
    /// SHA-256 of the request in canonical form, with kind and holder's key.
    pub request: Digest,
}

/// An issuance with what became of it, as the index holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The record of the issuance.
    pub issuance: Issuance,
    /// Its entry in the log.
    pub index: u64,
    /// How it ended early, if it did.
    pub ended: Option<Ended>,
}

/// How a credential ended before its expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Whether its holder gave it back or an operator took it.
    pub how: EndedHow,
    /// Who.
    pub actor: Arc<str>,
    /// What was given as the reason.
    pub reason: Arc<str>,
    /// When it was durable.
    pub time: Timestamp,
    /// The entry in the log.
    pub index: u64,
}

/// Whether its holder gave it back or an operator took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedHow {
    /// Its holder gave it back.
    Released,
    /// An operator took it.
    Revoked,
}

/// Whether a credential can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Past its expiry.
    Expired,
    /// In its lifetime and not ended.
    Live,
    /// Given back by its holder.
    Released,
    /// Ended by an operator.
    Revoked,
}

impl Credential {
    /// Whether it can still be used at `now`. A revocation shows even after the expiry.
    pub fn state(&self, now: Timestamp) -> State {
        match &self.ended {
            Some(Ended { how: EndedHow::Revoked, .. }) => State::Revoked,
            Some(Ended { how: EndedHow::Released, .. }) => State::Released,
            None if now >= self.issuance.expires => State::Expired,
            None => State::Live,
        }
    }
}
