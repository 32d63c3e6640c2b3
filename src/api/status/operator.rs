//! Errors of operators' calls.

use tonic::Code;

use crate::broker::LoadFailed;
use crate::broker::enroll::EnrollError;
use crate::broker::explain::ExplainError;
use crate::broker::operate::OperateError;
use crate::broker::revoke::RevokeError;
use crate::broker::rotate::RotateError;
use crate::broker::standing::StandingError;
use crate::broker::underway::TooManyCalls;
use crate::broker::verifiers::VerifierError;
use crate::domain::operator::Role;
use crate::domain::wording::counted;
use crate::signer::keystore::KeyStoreError;

use super::{BUSY_RETRY, Refused, internal};

/// Problems of a registry load that an answer carries: headers are bounded. `hotworkd check` shows all.
const PROBLEMS_MAX: usize = 20;
/// Characters of one such problem.
const PROBLEM_CHARACTERS_MAX: usize = 200;

impl From<EnrollError> for Refused {
    fn from(error: EnrollError) -> Self {
        match error {
            EnrollError::Clock(error) => error.into(),
            EnrollError::Entropy(error) => error.into(),
            EnrollError::Key(error) => error.into(),
            EnrollError::Ledger(error) => error.into(),
            EnrollError::Mint(error) => error.into(),
            EnrollError::NoOperator => {
                let message = "the registry has no operator of that name; declare it in `operators.toml`, \
                               reload, and enrol again";
                Self::new(Code::NotFound, "not-an-operator", message)
            }
            EnrollError::Scope => {
                Self::new(Code::PermissionDenied, "scope-all-tenants", EnrollError::Scope.to_string())
            }
        }
    }
}

impl From<StandingError> for Refused {
    fn from(error: StandingError) -> Self {
        match error {
            StandingError::Clock(error) => error.into(),
            StandingError::Expired => {
                Self::new(Code::Unauthenticated, "certificate-expired", StandingError::Expired.to_string())
            }
            StandingError::Removed => {
                Self::new(Code::Unauthenticated, "certificate-removed", StandingError::Removed.to_string())
            }
        }
    }
}

impl From<ExplainError> for Refused {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NotFound(_) => Self::not_found("decision"),
            ExplainError::Read(error) => error.into(),
        }
    }
}

impl From<TooManyCalls> for Refused {
    fn from(error: TooManyCalls) -> Self {
        Self::new(Code::ResourceExhausted, "operator-busy", error.to_string()).retry(BUSY_RETRY)
    }
}

impl From<RevokeError> for Refused {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Ledger(error) => error.into(),
            RevokeError::NotFound(what) => Self::not_found(what),
            RevokeError::Read(error) => error.into(),
            RevokeError::Scope => {
                Self::new(Code::PermissionDenied, "scope-all-tenants", RevokeError::Scope.to_string())
            }
        }
    }
}

impl From<RotateError> for Refused {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Interrupted => {
                let message = "the rotation was interrupted; a restart finishes or undoes it";
                internal(Code::Internal, "rotation-interrupted", message, &RotateError::Interrupted)
            }
            RotateError::Keys(error @ KeyStoreError::TooManyKeys) => {
                Self::new(Code::FailedPrecondition, "too-many-keys", error.to_string())
            }
            RotateError::Keys(error) => {
                let message =
                    "the keys could not be changed; an operator finds the cause in the broker's log";
                internal(Code::Internal, "keys-unwritable", message, &error)
            }
            RotateError::Ledger(error) => error.into(),
            RotateError::Read(error) => error.into(),
            RotateError::Scope => {
                Self::new(Code::PermissionDenied, "scope-all-tenants", RotateError::Scope.to_string())
            }
        }
    }
}

impl From<VerifierError> for Refused {
    fn from(error: VerifierError) -> Self {
        match error {
            VerifierError::Ahead(_) => Self::new(Code::InvalidArgument, "epoch-ahead", error.to_string()),
            VerifierError::Full => {
                Self::new(Code::ResourceExhausted, "subscribers-exhausted", error.to_string())
            }
            VerifierError::Unknown => {
                let message = "the verifier does not follow the feed on this stream; call `WatchRevocations` first, \
                               with the same label, and give back its `subscription`";
                Self::new(Code::FailedPrecondition, "not-subscribed", message)
            }
        }
    }
}

impl From<OperateError> for Refused {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Ledger(error) => error.into(),
            OperateError::Role { operator, role } => {
                let message = format!("operator `{operator}` lacks the role `{}`", role_name(role));
                Self::new(Code::PermissionDenied, "role-required", message)
            }
            OperateError::Scope(why) => Self::all_tenants(why),
            OperateError::TooMany(error) => error.into(),
            OperateError::Unknown(caller) => {
                let message = format!("{caller} is no operator; operators are declared in `operators.toml`");
                Self::new(Code::Unauthenticated, "not-an-operator", message)
            }
        }
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Approver => "approver",
        Role::Responder => "responder",
        Role::Revoker => "revoker",
        Role::Viewer => "viewer",
    }
}

impl From<LoadFailed> for Refused {
    fn from(error: LoadFailed) -> Self {
        match error {
            LoadFailed::Bad(problems) => {
                let first = problems.first().map(|problem| short(problem)).unwrap_or_default();
                let count = counted(problems.len(), "problem", "problems");
                let message = format!("the registry has {count}, the one in force stays; first: {first}");
                let mut refused = Self::new(Code::FailedPrecondition, "registry-invalid", message);
                refused.more.problems =
                    problems.iter().take(PROBLEMS_MAX).map(|problem| short(problem)).collect();
                refused
            }
            LoadFailed::Interrupted => {
                let message = "the load was interrupted, the registry in force stays";
                internal(Code::Internal, "load-interrupted", message, &LoadFailed::Interrupted)
            }
            LoadFailed::Ledger(error) => error.into(),
            LoadFailed::Seal(error) => {
                let message = "the copy for emergencies could not be made; the registry in force stays";
                internal(Code::Unavailable, "registry-not-sealed", message, &error)
            }
        }
    }
}

fn short(problem: &str) -> String {
    problem.chars().take(PROBLEM_CHARACTERS_MAX).collect()
}
