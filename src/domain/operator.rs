//! Operators: the people and systems that see and revoke.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::evidence::Selector;
use super::name::{OperatorName, TenantName};
use super::ssh_key::SshKey;

/// A registered operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Their name, as the log has it.
    pub name: OperatorName,
    /// The uid that is this operator on the admin socket.
    pub uid: Option<u32>,
    /// What they may do.
    pub roles: Vec<Role>,
    /// The tenants they see; all when empty.
    pub tenants: Vec<TenantName>,
    /// Their SSH public keys, for approvals and break-glass. No other operator has one of them.
    pub ssh_keys: Vec<SshKey>,
    /// What attestation shows of processes of theirs, beside their uid: `unix.uid` and `x509.spiffe_id`. They call with
    /// none of it, and what such a process asked for is not theirs to approve.
    pub own: Vec<Selector>,
    /// Other names under which they stand as an owner or principal, such as a mail address.
    pub aliases: Vec<Arc<str>>,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reload the registry, rotate keys. Implies `viewer`.
    Admin,
    /// Approve requests. Implies `viewer`.
    Approver,
    /// Break glass. Implies `viewer`.
    Responder,
    /// Revoke and lock. Implies `viewer`.
    Revoker,
    /// See.
    Viewer,
}

impl Operator {
    /// Whether one of the operator's roles covers `role`. Every role covers `viewer`.
    pub fn may(&self, role: Role) -> bool {
        self.roles.iter().any(|held| *held == role || role == Role::Viewer)
    }

    /// Whether an owner or principal of this text is the operator.
    pub fn goes_by(&self, text: &str) -> bool {
        self.name.as_str() == text || self.aliases.iter().any(|alias| **alias == *text)
    }

    /// Whether a process of which this was established is the operator's.
    pub fn runs(&self, fact: &Selector) -> bool {
        let uid =
            self.uid.is_some_and(|uid| fact.kind.as_str() == "unix.uid" && *fact.value == *uid.to_string());
        uid || self.own.contains(fact)
    }

    /// Whether it can be known which processes are the operator's.
    pub const fn is_recognised(&self) -> bool {
        self.uid.is_some() || !self.own.is_empty()
    }

    /// Whether the operator sees `tenant`.
    pub fn sees(&self, tenant: &TenantName) -> bool {
        self.tenants.is_empty() || self.tenants.contains(tenant)
    }
}
