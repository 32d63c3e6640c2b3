//! Selectors: which credentials a revocation ends and a lock refuses. Values only; who may use which is not
//! known here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::evidence;
use crate::domain::id::{CredentialId, Lineage, Serial};
use crate::domain::limits::{KEY_ID_BYTES_MAX, PARTY_BYTES_MAX};
use crate::domain::name::{ActionName, AgentId, ApiName, BadName, TenantName, name};
use crate::domain::resource::Resource;

name!(
    /// An owner or a principal, as the registry has it.
    Party, is_party, "a text without control characters, 1 to 2048 bytes"
);
name!(
    /// A signing key's id (`kid`).
    KeyId, is_key_id, "letters, digits, `-`, `_`, `.` or `~`, 128 bytes at most"
);

/// Which credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// Those for one action.
    Action(ActionName),
    /// Everything of one agent.
    Agent(AgentId),
    /// Everything there is.
    All,
    /// Those for one API's actions.
    Api(ApiName),
    /// Those given on this piece of evidence: an executable's digest, a container, a uid.
    Attested(evidence::Selector),
    /// One credential.
    Credential(CredentialId),
    /// Those signed by one key.
    Key(KeyId),
    /// Those of one lineage: a request's credentials and their children.
    Lineage(Lineage),
    /// Those of agents that this party answered for when they were issued.
    Owner(Party),
    /// Those issued on behalf of one accountable party.
    Principal(Party),
    /// Those for a resource or anything below it, by whole path segments.
    Resource(Resource),
    /// One certificate.
    Serial(Serial),
    /// Everything of one tenant's agents.
    Tenant(TenantName),
}

impl Selector {
    /// The kind's word, as on the command line and in the log.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Action(_) => "action",
            Self::Agent(_) => "agent",
            Self::All => "all",
            Self::Api(_) => "api",
            Self::Attested(_) => "attested",
            Self::Credential(_) => "credential",
            Self::Key(_) => "key",
            Self::Lineage(_) => "lineage",
            Self::Owner(_) => "owner",
            Self::Principal(_) => "principal",
            Self::Resource(_) => "resource",
            Self::Serial(_) => "serial",
            Self::Tenant(_) => "tenant",
        }
    }

    /// Whether a credential tells of itself that it is meant. Owner and evidence stand in its record alone: who has only the
    /// credential to judge by can't tell which are meant, and refuses all that may be.
    pub const fn is_told(&self) -> bool {
        match self {
            Self::Attested(_) | Self::Owner(_) => false,
            Self::Action(_)
            | Self::Agent(_)
            | Self::All
            | Self::Api(_)
            | Self::Credential(_)
            | Self::Key(_)
            | Self::Lineage(_)
            | Self::Principal(_)
            | Self::Resource(_)
            | Self::Serial(_)
            | Self::Tenant(_) => true,
        }
    }

    /// Whether it names what exists only once. A lock on that refuses nothing that may come.
    pub const fn is_single(&self) -> bool {
        matches!(self, Self::Credential(_) | Self::Serial(_))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Action(action) => write!(f, "{kind} {action}"),
            Self::Agent(agent) => write!(f, "{kind} {agent}"),
            Self::All => f.write_str("everything"),
            Self::Api(api) => write!(f, "{kind} {api}"),
            Self::Attested(fact) => write!(f, "{kind} {}={}", fact.kind, fact.value),
            Self::Credential(id) => write!(f, "{kind} {id}"),
            Self::Key(key) => write!(f, "{kind} {key}"),
            Self::Lineage(lineage) => write!(f, "{kind} {lineage}"),
            Self::Owner(party) | Self::Principal(party) => write!(f, "{kind} {party}"),
            Self::Resource(resource) => write!(f, "{kind} {resource}"),
            Self::Serial(serial) => write!(f, "{kind} {serial}"),
            Self::Tenant(tenant) => write!(f, "{kind} {tenant}"),
        }
    }
}

fn is_party(text: &str) -> bool {
    (1..=PARTY_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_key_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    (1..=KEY_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_and_a_key_id_are_bounded_and_printable() {
        assert!("team payments <pay@acme.example>".parse::<Party>().is_ok());
        assert!("é".parse::<Party>().is_ok());
        for bad in ["", "a\nb", "a\u{1b}[2J", &"x".repeat(PARTY_BYTES_MAX + 1)] {
            assert!(bad.parse::<Party>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(KEY_ID_BYTES_MAX).parse::<KeyId>().is_ok());
        for bad in ["", "a b", "a/b", &"x".repeat(KEY_ID_BYTES_MAX + 1)] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad:?}");
        }
    }
}
