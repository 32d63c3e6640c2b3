//! Log entries: the canonical JSON whose bytes the tree hashes (PROFILES 5).
//!
//! Field names stand in alphabetical order in every type, numbers are integers and texts are ASCII, so
//! that serde_json's compact output is RFC 8785 canonical JSON. Never a token, a key or an agent's prose.

use serde::{Deserialize, Serialize};

use super::approval::{Asked, Vote};
use super::break_glass::Step;
use super::consumption::Consumption;
use super::credential::Issuance;
use super::denial::Denial;
use super::digest::Digest;
use super::emergency::{Emergency, Merge};
use super::enrollment::{Enrollment, Removal};
use super::id::CredentialId;
use super::limits::ENTRY_BYTES_MAX;
use super::name::{AgentId, OperatorName};
use super::revocation::{Lock, Revocation, Unlock};
use super::time::Timestamp;

/// The version of the entry format.
pub const VERSION: u8 = 1;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// When it was committed, milliseconds since the epoch; never before the entry above it.
    pub time: Timestamp,
    /// [`VERSION`].
    pub v: u8,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An agent asked for what operators have to approve.
    Ask(Box<Asked>),
    /// Glass was broken, or a step towards it taken.
    BreakGlass(Box<Step>),
    /// An operator called an RPC that changed nothing, or was refused.
    Call(Call),
    /// A call of a counted credential was debited.
    Consume(Consumption),
    /// An operator decided a request.
    Decide(Box<Vote>),
    /// A request was denied.
    Deny(Denial),
    /// The broker started without all of its parts.
    Emergency(Emergency),
    /// An operator or verifier got a certificate.
    Enroll(Enrollment),
    /// A credential was issued.
    Issue(Box<Issuance>),
    /// The registry was loaded.
    Load(Load),
    /// An operator locked something.
    Lock(Lock),
    /// What an emergency kept elsewhere is part of the log.
    Merge(Merge),
    /// A holder gave a credential back.
    Release(Release),
    /// Certificates of an operator or verifier ended.
    Remove(Removal),
    /// Credentials were revoked.
    Revoke(Revocation),
    /// A new token key was put in force.
    Rotate(Rotation),
    /// The broker started.
    Start(Start),
    /// An operator ended a lock.
    Unlock(Unlock),
}

impl Event {
    /// The credential that was issued.
    pub fn issued(&self) -> Option<&Issuance> {
        if let Self::Issue(issuance) = self { Some(issuance) } else { None }
    }

    /// The lock that was made.
    pub fn lock(&self) -> Option<Lock> {
        match self {
            Self::Lock(lock) => Some(lock.clone()),
            Self::Revoke(revoked) => revoked.lock(),
            Self::Ask(_)
            | Self::BreakGlass(_)
            | Self::Call(_)
            | Self::Consume(_)
            | Self::Decide(_)
            | Self::Deny(_)
            | Self::Emergency(_)
            | Self::Enroll(_)
            | Self::Issue(_)
            | Self::Load(_)
            | Self::Merge(_)
            | Self::Release(_)
            | Self::Remove(_)
            | Self::Rotate(_)
            | Self::Start(_)
            | Self::Unlock(_) => None,
        }
    }

    /// Whether a person may have to be told of it: what `notify` has a notice for. The ledger remembers the
    /// newest ones for those who tell.
    pub const fn is_notable(&self) -> bool {
        match self {
            Self::Ask(_)
            | Self::BreakGlass(_)
            | Self::Emergency(_)
            | Self::Enroll(_)
            | Self::Load(_)
            | Self::Lock(_)
            | Self::Merge(_)
            | Self::Remove(_)
            | Self::Revoke(_)
            | Self::Rotate(_)
            | Self::Start(_)
            | Self::Unlock(_) => true,
            Self::Call(_)
            | Self::Consume(_)
            | Self::Decide(_)
            | Self::Deny(_)
            | Self::Issue(_)
            | Self::Release(_) => false,
        }
    }
}

/// An operator's call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Whether it was let through.
    pub allowed: bool,
    /// Who called.
    pub operator: OperatorName,
    /// The stable code of why not, when the authorization table had let it through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `Service/Method`.
    pub rpc: String,
    /// SHA-256 of the text that came with a signature that counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
}

/// A load of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Number of agents.
    pub agents: u64,
    /// Who asked; absent at start and on a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorName>,
    /// Number of policies.
    pub policies: u64,
    /// SHA-256 of the files.
    pub registry: Digest,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The holder.
    pub agent: AgentId,
    /// The credential.
    pub credential: CredentialId,
    /// When the credential would have expired.
    pub expires: Timestamp,
}

/// A rotation of the token key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The new key's id.
    pub kid: String,
    /// Who asked.
    pub operator: OperatorName,
    /// When it begins to sign, at the earliest.
    pub use_at: Timestamp,
}

/// A start of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Whether it is `hotworkd dev`.
    pub dev: bool,
    /// The version that started.
    pub version: String,
}

/// The entry can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// It is not an entry of a version we know.
    #[error("the entry is not of a form this version knows")]
    Form(#[source] serde_json::Error),
    /// It is longer than [`ENTRY_BYTES_MAX`].
    #[error("the entry has {0} bytes, expected at most {ENTRY_BYTES_MAX}")]
    TooLong(usize),
}

impl Entry {
    /// The canonical JSON: the bytes of the tree's leaf.
    ///
    /// # Errors
    /// When it is too long.
    pub fn to_canonical_json(&self) -> Result<Vec<u8>, BadEntry> {
        let mut bytes = Vec::with_capacity(1024);
        self.append_canonical_json(&mut bytes)?;
        Ok(bytes)
    }

    /// Appends the canonical JSON to `buffer`, which stays as it was on an error.
    ///
    /// # Errors
    /// When it is too long.
    pub fn append_canonical_json(&self, buffer: &mut Vec<u8>) -> Result<(), BadEntry> {
        let before = buffer.len();
        let written = serde_json::to_writer(&mut *buffer, self).map_err(BadEntry::Form);
        let length = buffer.len().saturating_sub(before);
        let fits = if length > ENTRY_BYTES_MAX { Err(BadEntry::TooLong(length)) } else { Ok(()) };
        written.and(fits).inspect_err(|_| buffer.truncate(before))
    }

    /// Reads an entry back.
    ///
    /// # Errors
    /// When it is not one, or not of [`VERSION`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, BadEntry> {
        let entry: Self = serde_json::from_slice(bytes).map_err(BadEntry::Form)?;
        if entry.v == VERSION {
            return Ok(entry);
        }
        Err(BadEntry::Form(serde::de::Error::custom("unknown entry version")))
    }
}
