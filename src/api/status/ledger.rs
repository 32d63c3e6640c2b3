//! Errors of the record.

use tonic::Code;

use crate::broker::consume::ConsumeError;
use crate::broker::publish::PublishError;
use crate::domain::enrollment::EnrollRefusal;
use crate::domain::ledger::Refusal;
use crate::store::{LedgerError, ReadError};

use super::{BUSY_RETRY, Refused, internal};

/// What a caller is told of an emergency.
const EMERGENCY: &str = "the broker runs in an emergency: nothing is issued but under an open break-glass session (`hotwork status` says why)";

impl From<LedgerError> for Refused {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Busy => {
                let message = "the broker has more requests than it can record; try again";
                Self::new(Code::ResourceExhausted, "ledger-busy", message).retry(BUSY_RETRY)
            }
            LedgerError::Clock(error) => error.into(),
            LedgerError::ClockAhead { .. } => {
                let message = "the broker's clock is far ahead of its own log; nothing is issued until an operator says that it is right";
                internal(Code::Unavailable, "clock-ahead", message, &error)
            }
            LedgerError::ClockBehind { .. } => {
                let message = "the broker's clock is behind its own log; nothing is issued until it is not";
                internal(Code::Unavailable, "clock-behind", message, &error)
            }
            LedgerError::Emergency => Self::new(Code::Unavailable, "emergency", EMERGENCY),
            LedgerError::EmergencyFull => {
                let message = "the emergency journal has no room for this: locking, revoking and closing have a share of their own; for the \
                     rest an operator must give the broker's disk room";
                internal(Code::Unavailable, "emergency-full", message, &error)
            }
            LedgerError::Refused(refusal) => refusal.into(),
            LedgerError::Stopped(_) => {
                let message = "the broker's record has stopped; nothing is issued until it has started anew, in an emergency if need be";
                internal(Code::Unavailable, "ledger-stopped", message, &error)
            }
            LedgerError::TooLong(_) => {
                let message = "the request's record would be longer than the log takes";
                Self::new(Code::InvalidArgument, "record-too-long", message)
            }
        }
    }
}

impl From<&PublishError> for Refused {
    fn from(error: &PublishError) -> Self {
        let message = "it can't be made now; try again";
        internal(Code::Unavailable, "not-published", message, error).retry(BUSY_RETRY)
    }
}

impl From<ConsumeError> for Refused {
    fn from(error: ConsumeError) -> Self {
        match error {
            ConsumeError::Ledger(error) => error.into(),
            ConsumeError::NotLive => {
                let message = "the credential is not live; the call must not go ahead";
                Self::new(Code::PermissionDenied, "credential-not-live", message)
            }
            ConsumeError::Read(error) => error.into(),
        }
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        let message = "the records can't be read now";
        internal(Code::Unavailable, "records-unreadable", message, &error)
    }
}

impl From<EnrollRefusal> for Refused {
    fn from(refusal: EnrollRefusal) -> Self {
        match refusal {
            EnrollRefusal::Exhausted => {
                let message = format!("{}; remove some first", EnrollRefusal::Exhausted);
                Self::new(Code::ResourceExhausted, "enrollments-exhausted", message)
            }
            EnrollRefusal::Unknown => Self::not_found("certificate"),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AlreadyEnded => {
                let message = "the credential has ended already; there is nothing left to end";
                Self::new(Code::FailedPrecondition, "already-ended", message)
            }
            Refusal::Approval(refusal) => refusal.into(),
            Refusal::BreakGlass(refusal) => refusal.into(),
            Refusal::CallsExhausted => {
                let message = "all calls of the credential have been used";
                Self::new(Code::PermissionDenied, "calls-exhausted", message)
            }
            Refusal::ClockBehind(_) => {
                let message = "the broker's clock is behind its own log; nothing is issued until it is not";
                internal(Code::Unavailable, "clock-behind", message, &refusal)
            }
            Refusal::Enroll(refusal) => refusal.into(),
            Refusal::KeyReused => {
                let message = "the idempotency key was used for another request; use a new key";
                Self::new(Code::AlreadyExists, "idempotency-key-reused", message)
            }
            Refusal::KeysExhausted => {
                let message =
                    "the agent has too many idempotency keys in use; wait for their credentials to end";
                Self::new(Code::ResourceExhausted, "idempotency-keys-exhausted", message)
            }
            Refusal::NotCounted => {
                let message = "the calls of this credential are not counted; ask `Introspect`";
                Self::new(Code::FailedPrecondition, "calls-not-counted", message)
            }
            Refusal::LineageOver => {
                let message = "the request's lineage is over; ask anew";
                Self::new(Code::Aborted, "lineage-over", message)
            }
            // The use case makes a recorded denial of it; here it is the answer without one.
            Refusal::Locked(held) => {
                let message = format!("an operator has locked it for now: {}", held.lock.terms.message);
                Self::new(Code::PermissionDenied, "locked", message)
            }
            Refusal::LockUnknown(_) => Self::not_found("lock"),
            Refusal::LocksExhausted(share) => {
                let message = format!("{share}; remove some with `hotwork lock rm`, or lock more broadly");
                Self::new(Code::ResourceExhausted, "locks-exhausted", message)
            }
            Refusal::Overtaken => {
                let message = "a revocation overtook the request; ask again if it is still wanted";
                Self::new(Code::Aborted, "overtaken-by-revocation", message)
            }
            Refusal::Debited(_) | Refusal::Repeated(..) => {
                Self::new(Code::AlreadyExists, "already-recorded", "the same request was recorded before")
            }
            // The use case makes a recorded denial of it; here it is the answer without one.
            Refusal::SessionOver => {
                Self::new(Code::PermissionDenied, "session-not-open", refusal.to_string())
            }
            Refusal::Stale => {
                let message = "the request waited too long for its record; ask again";
                Self::new(Code::Aborted, "waited-too-long", message).retry(BUSY_RETRY)
            }
        }
    }
}
