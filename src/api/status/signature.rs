//! Errors of SSH signatures: the same words wherever a signature is asked for.

use tonic::Code;

use super::Refused;
use crate::ssh::BadSignature;

/// What is said of keys is public: a fingerprint is no secret.
impl From<BadSignature> for Refused {
    fn from(error: BadSignature) -> Self {
        let code = match error {
            BadSignature::Form | BadSignature::Hash | BadSignature::Key(_) | BadSignature::Text => {
                Code::InvalidArgument
            }
            BadSignature::Forged
            | BadSignature::Namespace(_)
            | BadSignature::Presence
            | BadSignature::Shared(_)
            | BadSignature::Unregistered(_) => Code::PermissionDenied,
        };
        Self::new(code, error.code(), error.to_string())
    }
}
