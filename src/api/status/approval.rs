//! Errors of what operators have to approve.

use tonic::Code;

use crate::broker::approve::{DecideError, WaitError};
use crate::domain::approval::{Approval, ApprovalRefusal, State};
use crate::domain::statement::Utc;
use crate::domain::wording::counted;

use super::{Refused, internal};

/// Not a no: operators are asked. The agent learns how many and in which role, and not who or by which keys.
impl From<&Approval> for Refused {
    fn from(approval: &Approval) -> Self {
        let asked = &approval.asked;
        let (needed, given) = (asked.approvals, approval.given());
        let ends = Utc(asked.expires);
        // Only what waits and what is approved is answered so.
        let enough = asked.is_enough(approval.votes.iter());
        let message = if enough {
            format!("approved until {ends}: ask again with the approval `{}`", asked.id)
        } else {
            let people = counted(needed.get(), "operator", "operators");
            format!(
                "needs {people} with the role `approver` to approve it until {ends}, {given} so far: \
                 request `{}`",
                asked.id
            )
        };
        let mut refused = Self::new(Code::FailedPrecondition, "approval-required", message);
        refused.more.facts = vec![
            ("approval_id", asked.id.to_string()),
            ("approval_state", if enough { "approved" } else { "pending" }.to_owned()),
            ("approvals_given", given.to_string()),
            ("approvals_needed", needed.to_string()),
            ("approver_role", "approver".to_owned()),
            ("expire_time", ends.to_string()),
        ];
        refused
    }
}

impl From<ApprovalRefusal> for Refused {
    fn from(refusal: ApprovalRefusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            ApprovalRefusal::CoolingDown => Self::new(Code::ResourceExhausted, "approvals-cooling", text),
            ApprovalRefusal::Decided(state) => {
                let now = match state {
                    State::Approved => "approved",
                    State::Denied => "denied",
                    State::Expired => "over",
                    State::Pending => "pending",
                    State::Used => "used",
                };
                Self::new(Code::FailedPrecondition, "approval-decided", format!("{text}: it is {now}"))
            }
            ApprovalRefusal::Exhausted => Self::new(Code::ResourceExhausted, "approvals-exhausted", text),
            ApprovalRefusal::Joined(_) => Self::new(Code::AlreadyExists, "already-recorded", text),
            ApprovalRefusal::Mismatch => Self::new(Code::PermissionDenied, "approval-unknown", text),
            ApprovalRefusal::Repeated => Self::new(Code::AlreadyExists, "already-decided", text),
            ApprovalRefusal::Unknown => Self::not_found("request"),
        }
    }
}

impl From<DecideError> for Refused {
    fn from(error: DecideError) -> Self {
        let text = error.to_string();
        match error {
            DecideError::Ledger(error) => error.into(),
            DecideError::NotFound => Self::not_found("request"),
            DecideError::Requester => Self::new(Code::PermissionDenied, "approver-is-requester", text),
            DecideError::Signature(error) => error.into(),
            DecideError::Signer(_) => Self::new(Code::PermissionDenied, "signer-is-not-caller", text),
            DecideError::Statement => Self::new(Code::FailedPrecondition, "statement-differs", text),
            DecideError::Unstatable(ref cause) => {
                let message = "the request can't be put into a statement; deny it by letting it expire";
                internal(Code::Internal, "request-unstatable", message, cause)
            }
        }
    }
}

impl From<WaitError> for Refused {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Attest(error) => error.into(),
            WaitError::NotFound => Self::not_found("request"),
        }
    }
}

impl Refused {
    /// Too many wait for approvals.
    pub fn watchers_exhausted() -> Self {
        let message = "too many callers wait for approvals; ask again later with the approval's id";
        Self::new(Code::ResourceExhausted, "watchers-exhausted", message)
    }
}
