//! Errors of SSH signatures: the same words wherever a signature is asked for.

use tonic::Code;

use super::Refused;
use crate::ssh::BadSignature;

/// What is said of keys is public: a fingerprint is no secret.
impl From<BadSignature> for Refused {
    fn from(error: BadSignature) -> Self {
        let (code, reason) = match error {
            BadSignature::Forged => (Code::PermissionDenied, "signature-forged"),
            BadSignature::Form | BadSignature::Text => (Code::InvalidArgument, "signature-form"),
            BadSignature::Hash => (Code::InvalidArgument, "signature-hash"),
            BadSignature::Key(_) => (Code::InvalidArgument, "signature-key"),
            BadSignature::Namespace(_) => (Code::PermissionDenied, "signature-namespace"),
            BadSignature::Presence => (Code::PermissionDenied, "signature-presence"),
            BadSignature::Shared(_) => (Code::PermissionDenied, "signature-shared"),
            BadSignature::Unregistered(_) => (Code::PermissionDenied, "signature-unregistered"),
        };
        Self::new(code, reason, error.to_string())
    }
}
