//! Why a request is refused: stable codes that callers and scripts can rely on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::credential::Kind;
use super::digest::Digest;
use super::id::{CredentialId, Lineage};
use super::name::{ActionName, AgentId, PolicyName, Purpose};
use super::parameter::{Parameter, ParameterName};
use super::resource::Resource;
use super::time::Ttl;

/// A refusal's stable reason. The kebab-case form is in the log and on the wire.
///
/// What lies in another tenant gives the same reason as what does not exist (promise P12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No such action for this agent's tenant.
    ActionUnknown,
    /// The agent is suspended.
    AgentSuspended,
    /// An operator denied the request.
    ApprovalDenied,
    /// The approval is over.
    ApprovalExpired,
    /// The approval would be for a key that is made anew each time.
    ApprovalKey,
    /// Somebody who approved it no longer may.
    ApprovalLapsed,
    /// The action needs operators' approval.
    ApprovalRequired,
    /// There is no such approval of this agent for this request.
    ApprovalUnknown,
    /// A credential was issued on the approval already.
    ApprovalUsed,
    /// An operator denied this action a short time ago.
    ApprovalsCooling,
    /// Too many requests of the agent wait for approval.
    ApprovalsExhausted,
    /// The API does not take bearer tokens.
    BindingRequired,
    /// The action is for break-glass sessions only.
    BreakGlassOnly,
    /// A policy forbids it.
    Forbidden,
    /// An operator has locked it for now.
    Locked,
    /// No policy permits it, or the resource is not of the action's shape.
    NotPermitted,
    /// A required parameter is missing.
    ParameterMissing,
    /// A parameter is outside the bounds that the action declares.
    ParameterOutOfBounds,
    /// The action declares no such parameter, or of another type.
    ParameterUnknown,
    /// The agent's entry is past its review day.
    ReviewOverdue,
    /// There is no such break-glass session, it is not open, or it is not for this agent.
    SessionNotOpen,
    /// The break-glass session does not cover this action on this resource.
    SessionScope,
    /// The lifetime is above the action's maximum.
    TtlAboveMaximum,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 23] = [
        Self::ActionUnknown,
        Self::AgentSuspended,
        Self::ApprovalDenied,
        Self::ApprovalExpired,
        Self::ApprovalKey,
        Self::ApprovalLapsed,
        Self::ApprovalRequired,
        Self::ApprovalUnknown,
        Self::ApprovalUsed,
        Self::ApprovalsCooling,
        Self::ApprovalsExhausted,
        Self::BindingRequired,
        Self::BreakGlassOnly,
        Self::Forbidden,
        Self::Locked,
        Self::NotPermitted,
        Self::ParameterMissing,
        Self::ParameterOutOfBounds,
        Self::ParameterUnknown,
        Self::ReviewOverdue,
        Self::SessionNotOpen,
        Self::SessionScope,
        Self::TtlAboveMaximum,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ActionUnknown => "action-unknown",
            Self::AgentSuspended => "agent-suspended",
            Self::ApprovalDenied => "approval-denied",
            Self::ApprovalExpired => "approval-expired",
            Self::ApprovalKey => "approval-key",
            Self::ApprovalLapsed => "approval-lapsed",
            Self::ApprovalRequired => "approval-required",
            Self::ApprovalUnknown => "approval-unknown",
            Self::ApprovalUsed => "approval-used",
            Self::ApprovalsCooling => "approvals-cooling",
            Self::ApprovalsExhausted => "approvals-exhausted",
            Self::BindingRequired => "binding-required",
            Self::BreakGlassOnly => "break-glass-only",
            Self::Forbidden => "forbidden",
            Self::Locked => "locked",
            Self::NotPermitted => "not-permitted",
            Self::ParameterMissing => "parameter-missing",
            Self::ParameterOutOfBounds => "parameter-out-of-bounds",
            Self::ParameterUnknown => "parameter-unknown",
            Self::ReviewOverdue => "review-overdue",
            Self::SessionNotOpen => "session-not-open",
            Self::SessionScope => "session-scope",
            Self::TtlAboveMaximum => "ttl-above-maximum",
        }
    }

    /// What the code means, and what the caller can do.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ActionUnknown => {
                "there is no such action for this agent; `hotwork actions` lists those there are"
            }
            Self::AgentSuspended => "the agent is suspended; its owner can end that in the registry",
            Self::ApprovalDenied => "an operator denied the request",
            Self::ApprovalExpired => "the approval is over; ask for a new one",
            Self::ApprovalKey => {
                "an approval is for one key, and the broker would make another one each time; bring a key with a CSR"
            }
            Self::ApprovalLapsed => "an operator who approved the request no longer may; ask another one",
            Self::ApprovalRequired => "the action needs an operator's approval",
            Self::ApprovalUnknown => {
                "there is no such approval of this agent for exactly this request; ask without one"
            }
            Self::ApprovalUsed => "the approval was used already, and is good for one credential; ask anew",
            Self::ApprovalsCooling => {
                "an operator denied this action a short time ago; wait before asking again"
            }
            Self::ApprovalsExhausted => {
                "too many requests of this agent wait for approval; wait until some are decided or over"
            }
            Self::BindingRequired => {
                "the API takes no bearer tokens; bind the token to a key, or ask for a certificate"
            }
            Self::BreakGlassOnly => "the action is for open break-glass sessions only",
            Self::Forbidden => "a policy forbids it",
            Self::Locked => "an operator has locked it for now",
            Self::NotPermitted => "no policy permits it",
            Self::ParameterMissing => {
                "a required parameter is missing; `hotwork actions` shows the parameters"
            }
            Self::ParameterOutOfBounds => {
                "a parameter is outside the action's bounds; `hotwork actions` shows them"
            }
            Self::ParameterUnknown => {
                "the action has no such parameter of this type; `hotwork actions` shows them"
            }
            Self::ReviewOverdue => {
                "the agent's registry entry is past its review day; its owner must review it"
            }
            Self::SessionNotOpen => {
                "there is no such break-glass session that is open for this agent; a responder sees \
                 `hotwork break-glass list`"
            }
            Self::SessionScope => "the break-glass session does not cover this action on this resource",
            Self::TtlAboveMaximum => "the lifetime is above the action's maximum; `hotwork actions` shows it",
        }
    }
}

/// The record of one denial. Fields in alphabetical order, as canonical JSON needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// What was asked.
    pub action: ActionName,
    /// Who asked.
    pub agent: AgentId,
    /// SHA-256 of the attestation evidence.
    pub evidence: Digest,
    /// The decision's id.
    pub id: CredentialId,
    /// The form asked for.
    pub kind: Kind,
    /// The lock that refused it: the log index of the entry that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<u64>,
    /// The parameter that was refused, for reasons about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<ParameterName>,
    /// What was asked with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// The policies that forbade it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyName>,
    /// The accountable party.
    pub principal: Arc<str>,
    /// Why, as the caller's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// The stable reason.
    pub reason: Reason,
    /// SHA-256 of the registry that it was decided on.
    pub registry: Digest,
    /// To what.
    pub resource: Resource,
    /// The break-glass session that it was asked under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Lineage>,
    /// The lifetime asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_code_in_json_and_a_meaning() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.code()));
            assert!(!reason.meaning().is_empty());
        }
    }
}
