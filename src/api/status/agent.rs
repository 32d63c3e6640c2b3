//! Errors of the road to a credential.

use tonic::Code;

use crate::attest::{AttestError, Rejected};
use crate::broker::limit::TooMany;
use crate::broker::release::OwnError;
use crate::broker::{EntropyFailed, IssueError, SealError};
use crate::domain::clock::Untrustworthy;
use crate::domain::denial::Reason;
use crate::domain::id::CredentialId;
use crate::domain::parameter::ParameterName;
use crate::domain::revocation::InForce;
use crate::signer::key::BadKey;
use crate::signer::minter::MintFailed;

use super::{BUSY_RETRY, Refused, internal};

impl From<Rejected> for Refused {
    fn from(rejected: Rejected) -> Self {
        // The text is ours and says nothing about who else is registered.
        let next = "an operator finds why in `hotwork agent list` (the rules) and the metrics";
        let message = format!("not attested: {rejected}; {next}");
        Self::new(Code::Unauthenticated, rejected.code(), message)
    }
}

impl From<AttestError> for Refused {
    fn from(error: AttestError) -> Self {
        match error {
            AttestError::Rejected(rejected) => rejected.into(),
            AttestError::Unavailable { .. } => {
                let message = "the caller can't be attested now; try again";
                internal(Code::Unavailable, "attestor-unavailable", message, &error).retry(BUSY_RETRY)
            }
        }
    }
}

impl From<Untrustworthy> for Refused {
    fn from(error: Untrustworthy) -> Self {
        let message = "the broker's clock can't be trusted; nothing is issued until it can";
        internal(Code::Unavailable, "clock-untrusted", message, &error)
    }
}

impl From<EntropyFailed> for Refused {
    fn from(error: EntropyFailed) -> Self {
        let message = "the broker has no randomness; nothing is issued without";
        internal(Code::Unavailable, "entropy-unavailable", message, &error)
    }
}

impl From<TooMany> for Refused {
    fn from(error: TooMany) -> Self {
        // The time itself is in RetryInfo.
        let message = "too many requests of this agent for this action";
        Self::new(Code::ResourceExhausted, "rate-limited", message).retry(error.retry)
    }
}

/// A decision that was no: its reason code, what it means, and the decision's id for `explain`.
fn denied(
    id: CredentialId,
    reason: Reason,
    parameter: Option<&ParameterName>,
    lock: Option<&InForce>,
) -> Refused {
    let about = parameter.map(|name| format!(" (`{name}`)")).unwrap_or_default();
    let said = lock.map(|held| format!(": {}", held.lock.terms.message)).unwrap_or_default();
    let message = format!("denied{about}: {}{said}", reason.meaning());
    Refused::new(Code::PermissionDenied, reason.code(), message).decision(id)
}

impl From<IssueError> for Refused {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Attest(error) => error.into(),
            IssueError::Denied { id, reason, parameter, lock } => {
                denied(id, reason, parameter.as_ref(), lock.as_deref())
            }
            IssueError::Ledger(error) => error.into(),
            IssueError::NotRepeatable => {
                let message = "the idempotency key's first request can't be repeated: keys have changed since; \
                               use a new key";
                Self::new(Code::FailedPrecondition, "not-repeatable", message)
            }
            IssueError::NotPut(error) => error.into(),
            IssueError::Pending(approval) => (&*approval).into(),
            IssueError::Seal(error) => error.into(),
            IssueError::TooMany(error) => error.into(),
        }
    }
}

impl From<OwnError> for Refused {
    fn from(error: OwnError) -> Self {
        match error {
            OwnError::Attest(error) => error.into(),
            OwnError::Ledger(error) => error.into(),
            OwnError::NotFound(_) => Self::not_found("credential"),
            OwnError::Read(error) => error.into(),
        }
    }
}

impl From<SealError> for Refused {
    fn from(error: SealError) -> Self {
        match error {
            SealError::ClockBehind => {
                let message = "the broker's clock can't be trusted; nothing is issued until it can";
                internal(Code::Unavailable, "clock-behind", message, &error)
            }
            SealError::Entropy(error) => error.into(),
            SealError::Mint(error) => error.into(),
        }
    }
}

impl From<MintFailed> for Refused {
    fn from(error: MintFailed) -> Self {
        let message = "the credential could not be minted; an operator finds the cause in the broker's log";
        internal(Code::Internal, "minting-failed", message, &error)
    }
}

impl From<BadKey> for Refused {
    fn from(error: BadKey) -> Self {
        let message = "the key pair could not be made; try again, or send a request with your own key";
        internal(Code::Unavailable, "key-generation-failed", message, &error)
    }
}
