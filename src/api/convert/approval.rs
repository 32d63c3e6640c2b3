//! What operators and agents say of requests for approval.

use crate::broker::approve::Decision;
use crate::domain::approval::Verdict;
use crate::domain::id::ApprovalId;
use crate::domain::limits::{SSH_SIGNATURE_BYTES_MAX, STATEMENT_BYTES_MAX};
use crate::domain::name::Reason;
use crate::proto::v1;

use super::{BadField, optional, parsed};

/// A request's id.
///
/// # Errors
/// When it is none.
pub fn id(text: &str) -> Result<ApprovalId, BadField> {
    parsed("approval_id", text)
}

/// Which statement is wanted, when one is: its verdict and its reason.
///
/// # Errors
/// When one of them is none, or there is a reason for nothing.
pub fn wanted(message: &v1::GetApprovalRequest) -> Result<Option<(Verdict, Option<Reason>)>, BadField> {
    let reason = reason(&message.reason)?;
    match verdict(message.verdict) {
        Ok(verdict) => Ok(Some((verdict, reason))),
        Err(_) if message.verdict == 0 && reason.is_none() => Ok(None),
        Err(bad) => Err(bad),
    }
}

/// Parses a decision. Whether text and signature are right is not looked at here.
///
/// # Errors
/// The first bad field.
pub fn decision(message: v1::DecideApprovalRequest) -> Result<Decision, BadField> {
    let decision = Decision {
        id: id(&message.approval_id)?,
        verdict: verdict(message.verdict)?,
        reason: reason(&message.reason)?,
        statement: message.statement,
        signature: message.signature,
    };
    let sized = [
        ("statement", decision.statement.len(), STATEMENT_BYTES_MAX),
        ("signature", decision.signature.len(), SSH_SIGNATURE_BYTES_MAX),
    ];
    for (field, length, most) in sized {
        if length == 0 || length > most {
            return Err(BadField::new(field, format!("1 to {most} bytes, got `{length}`")));
        }
    }
    Ok(decision)
}

fn verdict(number: i32) -> Result<Verdict, BadField> {
    match v1::ApprovalVerdict::try_from(number) {
        Ok(v1::ApprovalVerdict::Approve) => Ok(Verdict::Approve),
        Ok(v1::ApprovalVerdict::Deny) => Ok(Verdict::Deny),
        Ok(v1::ApprovalVerdict::Unspecified) | Err(_) => Err(BadField::new("verdict", "approve or deny")),
    }
}

/// A reason as it can stand in a statement.
fn reason(text: &str) -> Result<Option<Reason>, BadField> {
    if text.trim() != text {
        return Err(BadField::new("reason", "a line without spaces at its ends"));
    }
    optional("reason", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> v1::DecideApprovalRequest {
        v1::DecideApprovalRequest {
            approval_id: "019aae53-0000-7000-8000-000000000001".into(),
            verdict: v1::ApprovalVerdict::Deny.into(),
            reason: "not today".into(),
            statement: "s".into(),
            signature: "s".into(),
        }
    }

    #[test]
    fn a_decision_has_every_field_in_its_bounds() {
        let read = decision(good()).unwrap();
        assert_eq!((read.verdict, read.reason.unwrap().as_str()), (Verdict::Deny, "not today"));
        type Change = fn(&mut v1::DecideApprovalRequest);
        let bad: [(Change, &str); 8] = [
            (|it| it.approval_id.clear(), "approval_id"),
            (|it| it.verdict = 0, "verdict"),
            (|it| it.verdict = 9, "verdict"),
            (|it| it.reason = " x".into(), "reason"),
            (|it| it.reason = "a\nb".into(), "reason"),
            (|it| it.statement.clear(), "statement"),
            (|it| it.statement = "x".repeat(STATEMENT_BYTES_MAX + 1), "statement"),
            (|it| it.signature = "x".repeat(SSH_SIGNATURE_BYTES_MAX + 1), "signature"),
        ];
        for (change, field) in bad {
            let mut message = good();
            change(&mut message);
            assert_eq!(decision(message).unwrap_err().field, field);
        }
        let ask = |verdict: i32, reason: &str| {
            wanted(&v1::GetApprovalRequest { verdict, reason: reason.into(), ..Default::default() })
        };
        assert_eq!(ask(0, ""), Ok(None));
        assert_eq!(ask(1, ""), Ok(Some((Verdict::Approve, None))));
        assert!(ask(0, "why").is_err() && ask(7, "").is_err());
    }
}
