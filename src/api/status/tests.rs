//! A table over every error: its code, its stable reason, and what must not leave.

use std::sync::Arc;

use super::*;
use crate::attest::{AttestError, Failure, Rejected};
use crate::broker::consume::ConsumeError;
use crate::broker::explain::ExplainError;
use crate::broker::limit::TooMany;
use crate::broker::operate::{Caller, OperateError};
use crate::broker::release::OwnError;
use crate::broker::revoke::RevokeError;
use crate::broker::rotate::RotateError;
use crate::broker::underway::{Share, TooManyCalls};
use crate::broker::{EntropyFailed, IssueError, LoadFailed, SealError};
use crate::domain::clock::Untrustworthy;
use crate::domain::consumption::Debit;
use crate::domain::denial::Reason;
use crate::domain::enrollment::EnrollRefusal;
use crate::domain::ledger::Refusal;
use crate::domain::operator::Role;
use crate::domain::registry::Unidentified;
use crate::domain::signer::SigningFailed;
use crate::domain::time::Timestamp;
use crate::signer::key::BadKey;
use crate::signer::keystore::KeyStoreError;
use crate::signer::mint::{LintError, MintError};
use crate::signer::minter::MintFailed;
use crate::store::{LedgerError, ReadError};

/// What stands in internal errors and must never be seen by a caller.
const INNER: &str = "/var/lib/hotwork/journal";

fn id() -> CredentialId {
    CredentialId::new(Timestamp::from_seconds(1_000), &[1; 10])
}

fn check(error: impl Into<Refused>, code: Code, reason: &str) -> Status {
    let status = status(error);
    let details = status.get_error_details();
    let info = details.error_info().expect("every status has its reason");
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, DOMAIN));
    assert!(!status.message().is_empty());
    assert!(!status.message().contains(INNER), "{}", status.message());
    assert!(reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{reason}");
    status
}

#[test]
fn attestation_is_unauthenticated_or_unavailable() {
    for rejected in [
        Rejected::Changed,
        Rejected::DescriptorsPassed,
        Rejected::Expired,
        Rejected::Gone,
        Rejected::NoEvidence,
        Rejected::OtherSender,
        Rejected::Oversized,
        Rejected::UnknownProcess,
        Rejected::Unidentified(Unidentified::Ambiguous(2)),
        Rejected::Unidentified(Unidentified::Unknown),
        Rejected::UnmappedUser,
    ] {
        let code = rejected.code();
        check(rejected.clone(), Code::Unauthenticated, code);
        check(IssueError::Attest(rejected.into()), Code::Unauthenticated, code);
    }
    let source = Failure::unavailable("proc", std::io::Error::other(INNER));
    let error = AttestError::Unavailable { attestor: "unix", source };
    let status = check(OwnError::Attest(error), Code::Unavailable, "attestor-unavailable");
    assert!(status.get_details_retry_info().is_some());
}

#[test]
fn every_denial_has_its_reason_its_meaning_and_the_decision() {
    for reason in Reason::ALL {
        let parameter = "amount".parse().ok();
        let error = IssueError::Denied { id: id(), reason, parameter, lock: None };
        let status = check(error, Code::PermissionDenied, reason.code());
        assert!(status.message().contains(reason.meaning()) && status.message().contains("`amount`"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata.get("decision_id"), Some(&id().to_string()));
    }
}

#[test]
fn issuing_fails_closed_with_a_reason() {
    check(
        IssueError::Ledger(LedgerError::Clock(Untrustworthy { drift_ms: 5 })),
        Code::Unavailable,
        "clock-untrusted",
    );
    check(IssueError::NotRepeatable, Code::FailedPrecondition, "not-repeatable");
    check(IssueError::Seal(SealError::Entropy(EntropyFailed)), Code::Unavailable, "entropy-unavailable");
    check(EntropyFailed, Code::Unavailable, "entropy-unavailable");
    check(IssueError::Seal(SealError::ClockBehind), Code::Unavailable, "clock-behind");
    for failed in [
        MintFailed::Lint(LintError::Rule(INNER)),
        MintFailed::Mint(MintError::Expired),
        MintFailed::Sign(SigningFailed { kid: INNER.into() }),
    ] {
        check(IssueError::Seal(SealError::Mint(failed)), Code::Internal, "minting-failed");
    }
    check(BadKey::NoRandomness, Code::Unavailable, "key-generation-failed");
    let retry = Duration::from_millis(1_500);
    let status = check(IssueError::TooMany(TooMany { retry }), Code::ResourceExhausted, "rate-limited");
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry));
}

#[test]
fn every_ledger_error_has_its_status() {
    let busy = check(LedgerError::Busy, Code::ResourceExhausted, "ledger-busy");
    assert!(busy.get_details_retry_info().is_some());
    check(LedgerError::Clock(Untrustworthy { drift_ms: 5 }), Code::Unavailable, "clock-untrusted");
    check(LedgerError::ClockAhead { ahead_ms: 5 }, Code::Unavailable, "clock-ahead");
    check(LedgerError::Emergency, Code::Unavailable, "emergency");
    check(LedgerError::EmergencyFull, Code::Unavailable, "emergency-full");
    check(LedgerError::Stopped(INNER.into()), Code::Unavailable, "ledger-stopped");
    check(LedgerError::TooLong(70_000), Code::InvalidArgument, "record-too-long");
    check(ConsumeError::NotLive, Code::PermissionDenied, "credential-not-live");
    let ended = ConsumeError::from(LedgerError::Refused(Refusal::AlreadyEnded));
    check(ended, Code::PermissionDenied, "credential-not-live");
    check(ConsumeError::Read(ReadError::Interrupted), Code::Unavailable, "records-unreadable");
    check(ConsumeError::Ledger(LedgerError::Busy), Code::ResourceExhausted, "ledger-busy");
    check(ReadError::Interrupted, Code::Unavailable, "records-unreadable");
    let record = crate::api::render::credential::tests::record().issuance;
    for (refusal, code, reason) in [
        (Refusal::AlreadyEnded, Code::FailedPrecondition, "already-ended"),
        (Refusal::CallsExhausted, Code::PermissionDenied, "calls-exhausted"),
        (Refusal::ClockBehind(5), Code::Unavailable, "clock-behind"),
        (Refusal::Debited(Debit { index: 1, left: 0 }), Code::AlreadyExists, "already-recorded"),
        (Refusal::NotCounted, Code::FailedPrecondition, "calls-not-counted"),
        (Refusal::Enroll(EnrollRefusal::Exhausted), Code::ResourceExhausted, "enrollments-exhausted"),
        (Refusal::Enroll(EnrollRefusal::Unknown), Code::NotFound, "not-found"),
        (Refusal::KeyReused, Code::AlreadyExists, "idempotency-key-reused"),
        (Refusal::KeysExhausted, Code::ResourceExhausted, "idempotency-keys-exhausted"),
        (Refusal::Overtaken, Code::Aborted, "overtaken-by-revocation"),
        (Refusal::Repeated(Box::new(record), 1), Code::AlreadyExists, "already-recorded"),
        (Refusal::Stale, Code::Aborted, "waited-too-long"),
        (Refusal::SessionOver, Code::PermissionDenied, "session-not-open"),
    ] {
        check(IssueError::Ledger(LedgerError::Refused(refusal.clone())), code, reason);
        check(RevokeError::Ledger(LedgerError::Refused(refusal)), code, reason);
    }
}

#[test]
fn every_refusal_of_break_glass_has_its_status() {
    use crate::domain::break_glass::GlassRefusal as Refused;
    let who = || "ann".parse().unwrap();
    for (refusal, code, reason) in [
        (Refused::AlreadySigned(who()), Code::AlreadyExists, "already-signed"),
        (Refused::BadEnd, Code::InvalidArgument, "session-end-refused"),
        (Refused::Expired, Code::FailedPrecondition, "statement-expired"),
        (Refused::NotOpen, Code::FailedPrecondition, "session-not-open"),
        (Refused::NotResponder(who()), Code::PermissionDenied, "not-a-responder"),
        (Refused::OwnReview(who()), Code::PermissionDenied, "own-review"),
        (Refused::SessionsExhausted, Code::ResourceExhausted, "sessions-exhausted"),
        (Refused::Spent, Code::AlreadyExists, "statement-spent"),
        (Refused::StillOpen, Code::FailedPrecondition, "session-open"),
        (Refused::TooManyProposals(who()), Code::ResourceExhausted, "proposals-exhausted"),
        (Refused::Unknown, Code::NotFound, "not-found"),
        (Refused::WeakerQuorum, Code::FailedPrecondition, "session-quorum-lowered"),
    ] {
        check(LedgerError::Refused(Refusal::BreakGlass(refusal)), code, reason);
    }
}

#[test]
fn what_is_not_the_caller_s_does_not_exist() {
    let own = check(OwnError::NotFound(id()), Code::NotFound, "not-found");
    let other = check(RevokeError::NotFound("credential"), Code::NotFound, "not-found");
    assert_eq!(own.message(), other.message());
    assert_eq!(own.details(), other.details());
    let kind = own.get_details_resource_info().unwrap();
    assert_eq!((kind.resource_type.as_str(), kind.resource_name.as_str()), ("credential", ""));
    check(ExplainError::NotFound(id()), Code::NotFound, "not-found");
    check(OwnError::Read(ReadError::Interrupted), Code::Unavailable, "records-unreadable");
    check(OwnError::Ledger(LedgerError::Busy), Code::ResourceExhausted, "ledger-busy");
    check(ExplainError::Read(ReadError::Interrupted), Code::Unavailable, "records-unreadable");
    check(RevokeError::Read(ReadError::Interrupted), Code::Unavailable, "records-unreadable");
}

#[test]
fn an_operator_learns_what_is_missing() {
    for role in [Role::Admin, Role::Approver, Role::Responder, Role::Revoker, Role::Viewer] {
        let error = OperateError::Role { operator: "ann".into(), role };
        let status = check(error, Code::PermissionDenied, "role-required");
        let word = serde_json::to_value(role).unwrap();
        assert!(status.message().contains(&format!("`{}`", word.as_str().unwrap())));
    }
    check(OperateError::Unknown(Caller::Uid(7)), Code::Unauthenticated, "not-an-operator");
    let named = Caller::Certificate("alice".parse().unwrap());
    check(OperateError::Unknown(named), Code::Unauthenticated, "not-an-operator");
    check(OperateError::Ledger(LedgerError::Busy), Code::ResourceExhausted, "ledger-busy");
    check(RotateError::Scope, Code::PermissionDenied, "scope-all-tenants");
    check(RotateError::Interrupted, Code::Internal, "rotation-interrupted");
    check(RotateError::Ledger(LedgerError::Busy), Code::ResourceExhausted, "ledger-busy");
    check(RotateError::Read(ReadError::Interrupted), Code::Unavailable, "records-unreadable");
    check(
        RotateError::Ledger(LedgerError::Clock(Untrustworthy { drift_ms: 5 })),
        Code::Unavailable,
        "clock-untrusted",
    );
    check(RotateError::Keys(KeyStoreError::TooManyKeys), Code::FailedPrecondition, "too-many-keys");
    let list = KeyStoreError::List(INNER.into());
    check(RotateError::Keys(list), Code::Internal, "keys-unwritable");
    check(RevokeError::Scope, Code::PermissionDenied, "scope-all-tenants");
    check(Refused::all_tenants("the log is of all tenants"), Code::PermissionDenied, "scope-all-tenants");
    check(OperateError::Scope("verifiers serve every tenant"), Code::PermissionDenied, "scope-all-tenants");
    for share in [Share::Brake, Share::Change, Share::Read, Share::Urgent] {
        check(OperateError::TooMany(TooManyCalls(share)), Code::ResourceExhausted, "operator-busy");
    }
    check(Refused::ambiguous("agent"), Code::FailedPrecondition, "name-ambiguous");
    check(Refused::damaged(), Code::DataLoss, "log-damaged");
    check(Refused::no_peer(), Code::Unauthenticated, "no-evidence");
}

#[test]
fn a_bad_registry_shows_its_problems_within_the_bound_of_headers() {
    let problems: Vec<String> =
        (0..1_000).map(|at| format!("apis/a.toml:{at}:1: {}", "é".repeat(1_000))).collect();
    let status = check(LoadFailed::Bad(problems), Code::FailedPrecondition, "registry-invalid");
    assert!(status.message().contains("1000 problems"));
    let shown = status.get_details_precondition_failure().unwrap().violations;
    assert_eq!(shown.len(), 20);
    assert!(status.details().len() < 12 * 1024, "{}", status.details().len());
    check(LoadFailed::Interrupted, Code::Internal, "load-interrupted");
    let sealed = LoadFailed::Seal(crate::signer::sealed::SealedError::Damaged(INNER.into()));
    check(sealed, Code::Unavailable, "registry-not-sealed");
    check(LoadFailed::Ledger(LedgerError::Stopped(Arc::from(INNER))), Code::Unavailable, "ledger-stopped");
}

#[test]
fn a_bad_field_is_named_in_the_text_and_in_the_details() {
    let field = BadField::new("request.resource", "a canonical path");
    let status = check(field, Code::InvalidArgument, "invalid-argument");
    assert_eq!(status.message(), "request.resource: expected a canonical path");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].field, "request.resource");
    assert_eq!(violations[0].description, "expected a canonical path");
}
