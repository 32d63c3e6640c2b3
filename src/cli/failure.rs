//! What goes wrong, what to do next, and the exit code that scripts rely on.
//!
//! One failure is one object `{code, reason, message, decisionId}` under `-o json`, and one message on
//! standard error otherwise. It never holds a token or a key.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::duration::spoken;
use super::text::clean;

/// How the command ends. The numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Operators must approve first.
    ApprovalPending,
    /// `exec`: the command can't be executed.
    CannotExecute,
    /// `exec`: there is no such command.
    CommandNotFound,
    /// The state is in the way.
    Conflict,
    /// The broker denied it.
    Denied,
    /// It failed, in no way that has a number of its own.
    Failed,
    /// `exec`: hotwork itself failed.
    HotworkFailed,
    /// Ended by this signal.
    Interrupted(u8),
    /// The answer to the question is no.
    NegativeVerdict,
    /// The broker does not know the caller.
    NotAttested,
    /// Only a part was done.
    Partial,
    /// The reader of our output went away: nobody is left to tell.
    Quiet,
    /// Too often.
    RateLimited,
    /// The broker can't be reached or can't work now.
    Unavailable,
    /// The command line is wrong.
    Usage,
}

impl Exit {
    /// The exit code.
    pub const fn number(self) -> u8 {
        match self {
            Self::Quiet => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::NotAttested => 4,
            Self::ApprovalPending => 5,
            Self::NegativeVerdict => 6,
            Self::Unavailable => 7,
            Self::RateLimited => 8,
            Self::Conflict => 9,
            Self::Partial => 10,
            Self::HotworkFailed => 125,
            Self::CannotExecute => 126,
            Self::CommandNotFound => 127,
            Self::Interrupted(signal) => 128_u8.saturating_add(signal),
        }
    }

    /// The name of the gRPC code that says the same, for what the command finds out by itself.
    const fn grpc(self) -> &'static str {
        match self {
            Self::Quiet => "OK",
            Self::Failed | Self::HotworkFailed | Self::CannotExecute | Self::Partial => "UNKNOWN",
            Self::Usage => "INVALID_ARGUMENT",
            Self::Denied => "PERMISSION_DENIED",
            Self::NotAttested => "UNAUTHENTICATED",
            Self::ApprovalPending | Self::NegativeVerdict => "FAILED_PRECONDITION",
            Self::Unavailable => "UNAVAILABLE",
            Self::RateLimited => "RESOURCE_EXHAUSTED",
            Self::Conflict => "ABORTED",
            Self::CommandNotFound => "NOT_FOUND",
            Self::Interrupted(_) => "CANCELLED",
        }
    }
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// The gRPC code's name.
    pub code: &'static str,
    /// The stable kebab-case reason.
    pub reason: String,
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// The broker's decision, when there is one.
    pub decision_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    code: &'a str,
    reason: &'a str,
    message: String,
    decision_id: &'a str,
}

impl Failure {
    /// A failure that the command found by itself.
    pub fn new(exit: Exit, reason: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: exit.grpc(),
            reason: reason.to_owned(),
            message: message.into(),
            hint: String::new(),
            decision_id: String::new(),
        }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message).hint("`hotwork --help` shows commands and examples")
    }

    /// A file or stream that can't be used. `what` is said as in "cannot `what` `path`".
    pub fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        let path = clean(&path.to_string_lossy());
        Self::new(Exit::Failed, "file", format!("cannot {what} `{path}`: {error}"))
            .hint("check the path and its permissions")
    }

    /// The failure that a write to standard output makes.
    pub fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Quiet, "output-closed", "");
        }
        Self::new(Exit::Failed, "output", format!("cannot write to standard output: {error}"))
            .hint("check the disk or the program that reads it")
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same in `exec`, where 1 belongs to the command that runs.
    #[must_use]
    pub fn in_exec(mut self) -> Self {
        if self.exit == Exit::Failed {
            self.exit = Exit::HotworkFailed;
        }
        self
    }

    /// The one line of JSON.
    pub fn to_json(&self) -> String {
        let message = [self.message.as_str(), self.hint.as_str()];
        let message: Vec<&str> = message.into_iter().filter(|part| !part.is_empty()).collect();
        let wire = Wire {
            code: self.code,
            reason: &self.reason,
            message: message.join("; "),
            decision_id: &self.decision_id,
        };
        // A struct of strings always has a JSON form.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map(|info| clean(&info.reason)).filter(|reason| !reason.is_empty());
        // A request that waits for operators is a decision, too.
        let fact = |name: &str| info.and_then(|info| info.metadata.get(name)).map(|id| clean(id));
        let decision = fact("decision_id").or_else(|| fact("approval_id"));
        let code = status.code();
        let reason = reason.unwrap_or_else(|| name(code).to_ascii_lowercase().replace('_', "-"));
        let retry = details.retry_info().and_then(|retry| retry.retry_delay);
        let exit = exit(code, &reason);
        let decision_id = decision.unwrap_or_default();
        let missing = details.resource_info().map_or("", |info| info.resource_type.as_str());
        Self {
            exit,
            code: name(code),
            hint: of_reason(&reason, missing).unwrap_or_else(|| advice(exit, code, &decision_id, retry)),
            message: message(&status),
            reason,
            decision_id,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.code != self.exit.grpc() || self.exit == Exit::Denied {
            write!(f, " ({})", self.reason)?;
        }
        if !self.decision_id.is_empty() {
            write!(f, "\ndecision: {}", self.decision_id)?;
        }
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\nnext: {}", self.hint) }
    }
}

fn message(status: &Status) -> String {
    let text = clean(status.message());
    if text.is_empty() { format!("the broker answered {}", name(status.code())) } else { text }
}

fn exit(code: Code, reason: &str) -> Exit {
    match code {
        Code::PermissionDenied | Code::FailedPrecondition if reason == "approval-required" => {
            Exit::ApprovalPending
        }
        // The answer to a question, not a refusal to answer it.
        Code::PermissionDenied if matches!(reason, "calls-exhausted" | "credential-not-live") => {
            Exit::NegativeVerdict
        }
        Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
        Code::PermissionDenied => Exit::Denied,
        Code::Unauthenticated => Exit::NotAttested,
        Code::Unavailable | Code::DeadlineExceeded => Exit::Unavailable,
        Code::ResourceExhausted => Exit::RateLimited,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => Exit::Conflict,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::NotFound
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Exit::Failed,
    }
}

/// What to do about reasons that ask for more than their exit code says. `missing` is the kind of thing
/// that was not found.
fn of_reason(reason: &str, missing: &str) -> Option<String> {
    let text = match (reason, missing) {
        ("certificate-expired" | "certificate-removed", _) => {
            "ask an operator for a new one: `hotwork operator enroll`, `hotwork verifier enroll`; an agent's own \
             authority gives it a new one"
        }
        ("idempotency-key-reused", _) => "use a new --idempotency-key for another request",
        ("not-an-operator", _) => {
            "operators are in the registry's operators.toml; `hotwork reload` loads it anew"
        }
        ("not-found", "agent") => "`hotwork agent list` shows them",
        ("not-found", "decision") => "`hotwork audit tail` shows decisions",
        ("registry-invalid", _) => {
            "`hotworkd check --config DIR` shows every problem; the registry in force stays"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn advice(exit: Exit, code: Code, decision: &str, retry: Option<Duration>) -> String {
    let text = match exit {
        Exit::Denied | Exit::ApprovalPending if decision.is_empty() => {
            "`hotwork actions` shows what this agent may ask; the operator of the broker can tell more"
        }
        Exit::Denied => return format!("an operator can see why with `hotwork explain {decision}`"),
        Exit::ApprovalPending => {
            return format!(
                "an approver runs `hotwork request show {decision}`; then ask again with --approval {decision}, or wait: --wait 10m"
            );
        }
        Exit::NotAttested => {
            "no registered agent matches this process: compare its user, unit, container and executable \
             with the rules that an operator sees in `hotwork agent list`"
        }
        Exit::Unavailable => "see `hotwork status` and the broker's log, then try again",
        Exit::RateLimited => {
            let delay = retry.map_or_else(|| "a moment".to_owned(), |delay| spoken(delay.as_secs().max(1)));
            return format!("wait {delay} and try again");
        }
        Exit::Conflict => {
            "look at the state as it is now (`hotwork credential list --ended`) and decide anew"
        }
        Exit::Usage => "correct the named field; `hotwork actions` shows actions, resources and parameters",
        _ if code == Code::NotFound => {
            "check the id; the lists show what there is (`hotwork credential list`)"
        }
        _ if code == Code::Unimplemented => {
            "this listener or version does not offer the call; check the endpoint and `hotwork status`"
        }
        Exit::CannotExecute
        | Exit::CommandNotFound
        | Exit::Failed
        | Exit::HotworkFailed
        | Exit::Interrupted(_)
        | Exit::NegativeVerdict
        | Exit::Partial
        | Exit::Quiet => "the broker's log says more; give its operator the time of this call",
    };
    text.to_owned()
}

/// The canonical name of a gRPC code.
pub const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
