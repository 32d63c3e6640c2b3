//! The only exit for errors: every error of the rooms below becomes a status with a stable reason.
//!
//! Callers get the public text. What is of use to an operator only, such as which file could not be
//! written, goes to the daemon's log and never into an answer.

mod agent;
mod approval;
mod glass;
mod ledger;
mod operator;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::domain::digest::Digest;
use crate::domain::id::CredentialId;
use crate::domain::wording::causes;

use super::convert::BadField;

/// The domain of our reasons in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "hotwork";
/// When to come back while the ledger's queue or an operator's share is full: there is some 50 ms of work in them.
const BUSY_RETRY: Duration = Duration::from_millis(100);

/// A refusal as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    code: Code,
    reason: &'static str,
    message: String,
    more: Box<More>,
}

/// What few refusals have; apart, so that a refusal is small to hand on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    decision: Option<CredentialId>,
    retry: Option<Duration>,
    field: Option<BadField>,
    /// What kind of thing was not found.
    missing: Option<String>,
    problems: Vec<String>,
    /// What else a program can act on.
    facts: Vec<(&'static str, String)>,
    /// SHA-256 of the signed text that it is about: for the log, not for the caller.
    statement: Option<Digest>,
}

impl Refused {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), more: Box::default() }
    }

    /// The stable reason, kebab-case.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// The public text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// SHA-256 of the signed text that it is about.
    pub fn statement(&self) -> Option<Digest> {
        self.more.statement
    }

    /// As it is, about this text.
    pub fn about(mut self, text: &str) -> Self {
        self.more.statement = Some(Digest::of(text.as_bytes()));
        self
    }

    /// The call broke off inside; what was recorded is done whole all the same.
    pub fn interrupted() -> Self {
        let message = "the call was interrupted; look at what was done before it is tried again";
        Self::new(Code::Internal, "interrupted", message)
    }

    /// What the log has there is no entry.
    pub fn damaged() -> Self {
        let message = "an entry of the log is damaged; run `hotwork audit verify`";
        Self::new(Code::DataLoss, "log-damaged", message)
    }

    /// There is no such thing, or none that the caller may see.
    pub fn not_found(what: &str) -> Self {
        let mut refused = Self::new(Code::NotFound, "not-found", format!("{what} not found"));
        refused.more.missing = Some(what.to_owned());
        refused
    }

    /// More than one thing goes by the name.
    pub fn ambiguous(what: &str) -> Self {
        let message = format!("more than one {what} goes by that name; use the SPIFFE ID");
        Self::new(Code::FailedPrecondition, "name-ambiguous", message)
    }

    /// The operator sees some tenants only, and this can't be shown or done in parts: `why`.
    pub fn all_tenants(why: &str) -> Self {
        let message = format!("{why}; this needs an operator of all tenants");
        Self::new(Code::PermissionDenied, "scope-all-tenants", message)
    }

    /// The call did not come over a transport that proves who the operator is.
    pub fn no_peer() -> Self {
        Self::new(Code::Unauthenticated, "no-evidence", "the connection does not show who is calling")
    }

    /// The caller's transport proves somebody who is no verifier.
    pub fn not_a_verifier() -> Self {
        let message = "the feed names every tenant's agents; it is for enrolled verifiers and for operators of all tenants";
        Self::new(Code::PermissionDenied, "not-a-verifier", message)
    }

    /// The subscriber took no message in time.
    pub fn feed_stalled() -> Self {
        let message = "the subscriber took no message in time; come back with the last epoch";
        Self::new(Code::ResourceExhausted, "feed-stalled", message)
    }

    /// The subscriber has fallen behind what can be told one by one.
    pub fn feed_behind() -> Self {
        let message = "the subscriber has fallen behind the feed; come back for a snapshot";
        Self::new(Code::Aborted, "feed-behind", message)
    }

    /// There are too many streams of secrets.
    pub fn secrets_full() -> Self {
        let message = "there are too many streams of secrets; come back";
        Self::new(Code::ResourceExhausted, "secrets-full", message)
    }

    /// The proxy took no answer in time.
    pub fn secrets_stalled() -> Self {
        let message = "the proxy took no answer in time; come back";
        Self::new(Code::ResourceExhausted, "secrets-stalled", message)
    }

    /// The broker is about to stop.
    pub fn draining() -> Self {
        Self::new(Code::Unavailable, "draining", "the broker is stopping; come back")
    }

    fn retry(mut self, after: Duration) -> Self {
        self.more.retry = Some(after);
        self
    }

    fn decision(mut self, id: CredentialId) -> Self {
        self.more.decision = Some(id);
        self
    }
}

/// The status of any error that has one.
pub fn status(error: impl Into<Refused>) -> Status {
    error.into().into()
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let more = *refused.more;
        let mut metadata = HashMap::new();
        if let Some(id) = more.decision {
            metadata.insert("decision_id".to_owned(), id.to_string());
        }
        metadata.extend(more.facts.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let mut details = ErrorDetails::with_error_info(refused.reason, DOMAIN, metadata);
        if more.retry.is_some() {
            details.set_retry_info(more.retry);
        }
        if let Some(BadField { field, expected }) = more.field {
            details.add_bad_request_violation(field, format!("expected {expected}"));
        }
        if let Some(what) = more.missing {
            // The kind alone: a name could be of what the caller may not see.
            details.set_resource_info(what, "", "", "");
        }
        for problem in more.problems {
            details.add_precondition_failure_violation("REGISTRY", "registry", problem);
        }
        Self::with_error_details(refused.code, refused.message, details)
    }
}

/// A failure that only an operator can mend: its cause goes to the log, the caller learns that there is one.
fn internal(code: Code, reason: &'static str, message: &'static str, error: &dyn Error) -> Refused {
    tracing::error!(reason, error = %causes(error), "a request failed");
    Refused::new(code, reason, message)
}

impl From<BadField> for Refused {
    fn from(field: BadField) -> Self {
        let mut refused = Self::new(Code::InvalidArgument, "invalid-argument", field.to_string());
        refused.more.field = Some(field);
        refused
    }
}
