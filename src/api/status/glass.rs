//! Errors of break-glass.

use tonic::Code;

use crate::broker::announce::NotPut;
use crate::broker::break_glass::GlassError;
use crate::domain::break_glass::GlassRefusal;

use super::{Refused, internal};

impl From<GlassError> for Refused {
    fn from(error: GlassError) -> Self {
        match error {
            GlassError::Changed => {
                Self::new(Code::FailedPrecondition, "statement-changed", error.to_string())
            }
            GlassError::Clock(error) => error.into(),
            GlassError::Entropy(error) => error.into(),
            GlassError::Interrupted => Self::new(Code::Internal, "signing-interrupted", error.to_string()),
            GlassError::Ledger(error) => error.into(),
            GlassError::Mark(error) => {
                let message =
                    "the text can't be marked, because the log's key can't sign; an operator must act";
                internal(Code::Unavailable, "signer-failed", message, &error)
            }
            GlassError::NotFound(what) => Self::not_found(what),
            GlassError::NotPut(error) => error.into(),
            GlassError::OtherAct(_) => Self::new(Code::InvalidArgument, "statement-other", error.to_string()),
            GlassError::Signature(error) => error.into(),
            GlassError::Statement(error) => {
                Self::new(Code::InvalidArgument, "statement-form", format!("the statement: {error}"))
            }
            GlassError::TooLong(_) => Self::new(Code::InvalidArgument, "session-too-long", error.to_string()),
        }
    }
}

impl From<NotPut> for Refused {
    fn from(error: NotPut) -> Self {
        let message =
            "nobody might be told of this session, so nothing comes of it; an operator restarts the broker";
        internal(Code::Unavailable, "not-announced", message, &error)
    }
}

impl From<GlassRefusal> for Refused {
    fn from(refusal: GlassRefusal) -> Self {
        let code = match refusal {
            GlassRefusal::AlreadySigned(_) | GlassRefusal::Spent => Code::AlreadyExists,
            GlassRefusal::BadEnd => Code::InvalidArgument,
            GlassRefusal::Expired
            | GlassRefusal::NotOpen
            | GlassRefusal::StillOpen
            | GlassRefusal::WeakerQuorum => Code::FailedPrecondition,
            GlassRefusal::NotResponder(_) | GlassRefusal::OwnReview(_) => Code::PermissionDenied,
            GlassRefusal::SessionsExhausted | GlassRefusal::TooManyProposals(_) => Code::ResourceExhausted,
            GlassRefusal::Unknown => return Self::not_found("session"),
        };
        Self::new(code, refusal.code(), refusal.to_string())
    }
}
