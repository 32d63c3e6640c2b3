//! Each status and reason: exit code, words and advice.

use std::collections::HashMap;

use tonic_types::ErrorDetails;

use super::*;

fn status(code: Code, reason: &str, decision: &str) -> Status {
    let metadata = HashMap::from([("decision_id".to_owned(), decision.to_owned())]);
    Status::with_error_details(code, "no", ErrorDetails::with_error_info(reason, "hotwork", metadata))
}

#[test]
fn each_grpc_code_has_its_exit_code_and_advice() {
    let table = [
        (Code::Cancelled, 1),
        (Code::Unknown, 1),
        (Code::InvalidArgument, 2),
        (Code::DeadlineExceeded, 7),
        (Code::NotFound, 1),
        (Code::AlreadyExists, 9),
        (Code::PermissionDenied, 3),
        (Code::ResourceExhausted, 8),
        (Code::FailedPrecondition, 9),
        (Code::Aborted, 9),
        (Code::OutOfRange, 2),
        (Code::Unimplemented, 1),
        (Code::Internal, 1),
        (Code::Unavailable, 7),
        (Code::DataLoss, 1),
        (Code::Unauthenticated, 4),
    ];
    for (code, number) in table {
        let failure = Failure::from(Status::new(code, "x"));
        assert_eq!(failure.exit.number(), number, "{code:?}");
        assert!(!failure.hint.is_empty() && !failure.reason.is_empty(), "{code:?}");
    }
}

#[test]
fn a_denial_names_reason_and_decision() {
    let failure = Failure::from(status(Code::PermissionDenied, "not-permitted", "id-1"));
    assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Denied, "not-permitted"));
    let json: serde_json::Value = serde_json::from_str(&failure.to_json()).unwrap();
    let message = "no; an operator can see why with `hotwork explain id-1`";
    let wanted = serde_json::json!({"code": "PERMISSION_DENIED", "reason": "not-permitted",
        "message": message, "decisionId": "id-1"});
    assert_eq!(json, wanted);
}

#[test]
fn waiting_for_approval_is_not_a_denial() {
    for code in [Code::PermissionDenied, Code::FailedPrecondition] {
        assert_eq!(Failure::from(status(code, "approval-required", "")).exit, Exit::ApprovalPending);
    }
}

#[test]
fn what_was_not_found_says_where_to_look() {
    for (kind, place) in [("agent", "agent list"), ("decision", "audit tail"), ("lock", "the lists")] {
        let mut details = ErrorDetails::with_error_info("not-found", "hotwork", HashMap::new());
        details.set_resource_info(kind, "", "", "");
        let failure = Failure::from(Status::with_error_details(Code::NotFound, "no", details));
        assert!(failure.hint.contains(place), "{kind}: {}", failure.hint);
    }
}

#[test]
fn exec_leaves_one_to_its_command() {
    assert_eq!(Failure::new(Exit::Failed, "x", "x").in_exec().exit.number(), 125);
    assert_eq!(Failure::new(Exit::Denied, "x", "x").in_exec().exit.number(), 3);
    assert_eq!(Exit::Interrupted(15).number(), 143);
}

#[test]
fn a_hostile_message_cannot_steer_the_terminal() {
    let failure = Failure::from(Status::new(Code::Internal, "\u{1b}]0;x\u{7}"));
    assert!(!failure.to_string().contains('\u{1b}'));
}
