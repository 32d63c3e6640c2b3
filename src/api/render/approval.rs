//! Domain to proto: requests for approval.

use std::num::NonZeroU32;

use crate::domain::approval::{Approval, State, Verdict, Vote};
use crate::domain::request::Justification;
use crate::domain::time::Timestamp;
use crate::proto::v1;

use super::credential::{kind, parameter};
use super::inventory::access;
use super::timestamp;

/// A request as it is at `now`, with what the agent said of it.
pub fn approval(approval: &Approval, words: Option<&Justification>, now: Timestamp) -> v1::Approval {
    let asked = &approval.asked;
    let terms = &asked.terms;
    v1::Approval {
        id: asked.id.to_string(),
        state: state(approval.state(now)).into(),
        agent: terms.agent.to_string(),
        owner: asked.owner.to_string(),
        principal: terms.principal.to_string(),
        action: terms.action.to_string(),
        access: access(asked.access).into(),
        resource: terms.resource.to_string(),
        parameters: terms.parameters.iter().map(parameter).collect(),
        audience: terms.audience.to_string(),
        kind: kind(terms.kind).into(),
        ttl: Some(prost_types::Duration { seconds: terms.ttl.seconds().into(), nanos: 0 }),
        calls: terms.calls.map_or(0, NonZeroU32::get),
        purpose: terms.purpose.as_ref().map(ToString::to_string).unwrap_or_default(),
        args_sha256: terms.args.map(|digest| digest.as_bytes().to_vec()).unwrap_or_default(),
        approvals_needed: asked.approvals.get().into(),
        approvals_given: given(approval),
        votes: approval.votes.iter().map(vote).collect(),
        create_time: Some(timestamp(approval.time)),
        expire_time: Some(timestamp(asked.expires)),
        untrusted_justification: words.map(|words| words.as_str().to_owned()).unwrap_or_default(),
        justification_sha256: asked.justification.map(|digest| digest.to_string()).unwrap_or_default(),
        request_sha256: asked.request.to_string(),
        credential_id: approval.used.map(|id| id.to_string()).unwrap_or_default(),
        log_index: approval.index,
    }
}

/// One message of the stream for the agent: where it is, and not who decides.
pub fn watched(approval: &Approval, now: Timestamp) -> v1::WatchApprovalResponse {
    v1::WatchApprovalResponse {
        approval_id: approval.asked.id.to_string(),
        state: state(approval.state(now)).into(),
        approvals_needed: approval.asked.approvals.get().into(),
        approvals_given: given(approval),
        expire_time: Some(timestamp(approval.asked.expires)),
    }
}

fn given(approval: &Approval) -> u32 {
    u32::try_from(approval.given()).unwrap_or(u32::MAX)
}

const fn state(state: State) -> v1::ApprovalState {
    match state {
        State::Approved => v1::ApprovalState::Approved,
        State::Denied => v1::ApprovalState::Denied,
        State::Expired => v1::ApprovalState::Expired,
        State::Pending => v1::ApprovalState::Pending,
        State::Used => v1::ApprovalState::Used,
    }
}

fn vote(vote: &Vote) -> v1::ApprovalVote {
    let verdict = match vote.verdict {
        Verdict::Approve => v1::ApprovalVerdict::Approve,
        Verdict::Deny => v1::ApprovalVerdict::Deny,
    };
    v1::ApprovalVote {
        operator: vote.operator.to_string(),
        verdict: verdict.into(),
        reason: vote.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
        key_fingerprint: vote.fingerprint.to_string(),
        owner: vote.owner,
    }
}
