//! Why a request is refused: one reason, the first in the order of checks, and what HTTP makes of it.

use super::nonce::Nonce;
use crate::domain::name::ActionName;
use crate::signer::verify::NotVerified;

/// Why a request is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The credential is for another action.
    #[error("the credential is for another action")]
    Action,
    /// The credential is bound to other arguments, or the call's are not known.
    #[error("the credential is bound to other arguments")]
    Arguments,
    /// The credential is for another API.
    #[error("the credential is for another audience")]
    Audience,
    /// It was minted under break-glass, and this resource is none that an emergency opens.
    #[error("the credential was minted under break-glass, which this resource refuses")]
    BreakGlass,
    /// The clock can't be trusted.
    #[error("the clock can't be trusted")]
    Clock,
    /// A certificate whose constraints only its token says.
    #[error("the certificate is constrained in ways that it does not say itself")]
    ConstraintUnknown,
    /// The credential's form, signature or lifetime.
    #[error("{0}")]
    Credential(NotVerified),
    /// It is good for a number of calls, and nobody counts them here.
    #[error("the credential is good for a number of calls, which are not counted here")]
    Debit,
    /// It was revoked or given back.
    #[error("the credential was ended")]
    Ended,
    /// All calls that it was good for were made.
    #[error("all calls of the credential were made")]
    Exhausted,
    /// The credentials are not presented in one way, once.
    #[error("expected one credential, presented once")]
    Malformed,
    /// No credential.
    #[error("a credential is needed")]
    Missing,
    /// The proof needs a nonce of ours.
    #[error("the proof needs this server's nonce")]
    Nonce(Nonce),
    /// A parameter of the call is outside its constraint, or one of the two is without the other.
    #[error("a parameter is not within the credential's constraints")]
    Parameter,
    /// The proof of possession is missing, or of another key, request, token or time.
    #[error("{0}")]
    Proof(BadProof),
    /// The credential is for another resource.
    #[error("the credential is for another resource")]
    Resource,
    /// Whether it was ended is not known now.
    #[error("whether the credential was ended is not known")]
    StatusUnknown,
    /// A bearer token where a key is required.
    #[error("the token is bound to no key")]
    Unbound,
    /// The request is no action that is known here.
    #[error("the request is no known action")]
    Unmapped,
}

/// What is wrong with a proof of possession.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadProof {
    /// It is for another access token.
    #[error("the proof is for another token")]
    Ath,
    /// The client's certificate is not the one that the token is bound to.
    #[error("the client's certificate is not the one that the token is bound to")]
    Certificate,
    /// It is not of its form, or its signature does not verify.
    #[error("the proof does not verify")]
    Form,
    /// More proofs than are remembered; a replay could not be told.
    #[error("too many proofs to remember")]
    Full,
    /// It is of another key than the token's.
    #[error("the proof is of another key")]
    Key,
    /// It is for another method.
    #[error("the proof is for another method")]
    Method,
    /// There is none.
    #[error("a proof of possession is needed")]
    Missing,
    /// It was seen before.
    #[error("the proof was used before")]
    Replayed,
    /// It is too old, or of the future.
    #[error("the proof is too old, or of the future")]
    Time,
    /// It is for another URI.
    #[error("the proof is for another URI")]
    Url,
}

impl BadProof {
    /// A stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ath => "proof-token",
            Self::Certificate => "proof-certificate",
            Self::Form => "proof-form",
            Self::Full => "proof-full",
            Self::Key => "proof-key",
            Self::Method => "proof-method",
            Self::Missing => "proof-missing",
            Self::Replayed => "proof-replayed",
            Self::Time => "proof-time",
            Self::Url => "proof-url",
        }
    }
}

impl Refusal {
    /// A stable code, for headers, logs and counters. It says nothing that the holder does not know.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Action => "action-other",
            Self::Arguments => "arguments-other",
            Self::Audience => "audience-other",
            Self::BreakGlass => "break-glass-refused",
            Self::Clock => "clock-untrusted",
            Self::ConstraintUnknown => "constraint-unknown",
            Self::Credential(why) => credential_code(*why),
            Self::Debit => "calls-not-counted",
            Self::Ended => "credential-ended",
            Self::Exhausted => "calls-exhausted",
            Self::Malformed => "credential-malformed",
            Self::Missing => "credential-missing",
            Self::Nonce(_) => "proof-nonce",
            Self::Parameter => "parameter-out-of-bounds",
            Self::Proof(why) => why.code(),
            Self::Resource => "resource-other",
            Self::StatusUnknown => "status-unknown",
            Self::Unbound => "binding-required",
            Self::Unmapped => "action-unknown",
        }
    }

    /// 401 when another credential or proof would help, 403 when it would not.
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Audience
            | Self::Credential(_)
            | Self::Ended
            | Self::Exhausted
            | Self::Malformed
            | Self::Missing
            | Self::Nonce(_)
            | Self::Proof(_)
            | Self::Unbound => 401,
            Self::Action
            | Self::Arguments
            | Self::BreakGlass
            | Self::Clock
            | Self::ConstraintUnknown
            | Self::Debit
            | Self::Parameter
            | Self::Resource
            | Self::StatusUnknown
            | Self::Unmapped => 403,
        }
    }

    /// The code of the gRPC status: UNAUTHENTICATED (16) for 401 and PERMISSION_DENIED (7) for 403, but UNAVAILABLE (14)
    /// when it is the verifier that can't tell: that is not the caller's fault. (Proxies that ask by HTTP know no third answer
    /// beside 401 and 403.)
    pub const fn grpc_status(&self) -> u16 {
        match (self, self.http_status()) {
            (Self::Clock | Self::StatusUnknown, _) => 14,
            (_, 401) => 16,
            _ => 7,
        }
    }

    /// The challenge (RFC 6750 section 3, RFC 9449 section 7.1). `action` is what would have been needed.
    pub fn challenge(&self, action: Option<&ActionName>) -> String {
        let error = match self {
            Self::Missing => None,
            Self::Nonce(_) => Some("use_dpop_nonce"),
            Self::Proof(BadProof::Certificate) => Some("invalid_token"),
            Self::Proof(_) => Some("invalid_dpop_proof"),
            Self::Audience
            | Self::Credential(_)
            | Self::Ended
            | Self::Exhausted
            | Self::Malformed
            | Self::Unbound => Some("invalid_token"),
            Self::Action
            | Self::Arguments
            | Self::BreakGlass
            | Self::Clock
            | Self::ConstraintUnknown
            | Self::Debit
            | Self::Parameter
            | Self::Resource
            | Self::StatusUnknown
            | Self::Unmapped => Some("insufficient_scope"),
        };
        let mut challenge = String::from("DPoP algs=\"ES256 Ed25519\"");
        if let Some(error) = error {
            challenge.push_str(&format!(", error=\"{error}\", error_description=\"{}\"", self.code()));
        }
        if let Some(action) = action {
            challenge.push_str(&format!(", scope=\"{action}\""));
        }
        challenge
    }
}

const fn credential_code(why: NotVerified) -> &'static str {
    match why {
        NotVerified::Algorithm => "credential-algorithm",
        NotVerified::Expired => "credential-expired",
        NotVerified::Form => "credential-form",
        NotVerified::Issuer => "credential-issuer",
        NotVerified::Key => "credential-key",
        NotVerified::NotYet => "credential-not-yet",
        NotVerified::Signature => "credential-signature",
        NotVerified::TooLong => "credential-too-long",
        NotVerified::Type => "credential-type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Nonces;
    use crate::verify::fixture::NOW;

    fn all() -> Vec<Refusal> {
        let mut all = vec![
            Refusal::Action,
            Refusal::Arguments,
            Refusal::Audience,
            Refusal::BreakGlass,
            Refusal::Clock,
            Refusal::ConstraintUnknown,
            Refusal::Debit,
            Refusal::Ended,
            Refusal::Exhausted,
            Refusal::Malformed,
            Refusal::Missing,
            Refusal::Nonce(Nonces::new(&[1; 32]).current(NOW)),
            Refusal::Parameter,
            Refusal::Resource,
            Refusal::StatusUnknown,
            Refusal::Unbound,
            Refusal::Unmapped,
        ];
        let proofs = [
            BadProof::Ath,
            BadProof::Certificate,
            BadProof::Form,
            BadProof::Full,
            BadProof::Key,
            BadProof::Method,
            BadProof::Missing,
            BadProof::Replayed,
            BadProof::Time,
            BadProof::Url,
        ];
        all.extend(proofs.map(Refusal::Proof));
        let credentials = [
            NotVerified::Algorithm,
            NotVerified::Expired,
            NotVerified::Form,
            NotVerified::Issuer,
            NotVerified::Key,
            NotVerified::NotYet,
            NotVerified::Signature,
            NotVerified::TooLong,
            NotVerified::Type,
        ];
        all.extend(credentials.map(Refusal::Credential));
        all
    }

    #[test]
    fn grpc_says_what_http_says_and_apart_what_is_wrong_with_the_verifier() {
        for refusal in all() {
            let transient = matches!(refusal, Refusal::Clock | Refusal::StatusUnknown);
            let expected = match refusal.http_status() {
                _ if transient => 14,
                401 => 16,
                403 => 7,
                other => panic!("{other}"),
            };
            assert_eq!(refusal.grpc_status(), expected, "{refusal:?}");
            // So it is its own percent-encoding.
            let code = refusal.code();
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        }
    }

    #[test]
    fn every_reason_has_its_own_code_and_a_challenge_that_is_a_header() {
        let all = all();
        let mut codes: Vec<&str> = all.iter().map(Refusal::code).collect();
        codes.sort_unstable();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert_eq!(Refusal::Missing.challenge(None), "DPoP algs=\"ES256 Ed25519\"");
        let action = "repo.pull.open".parse().unwrap();
        assert_eq!(
            Refusal::Action.challenge(Some(&action)),
            "DPoP algs=\"ES256 Ed25519\", error=\"insufficient_scope\", error_description=\"action-other\", scope=\"repo.pull.open\""
        );
    }
}
