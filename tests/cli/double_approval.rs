//! The double's requests for approval.

use hotwork::proto::v1;
use tonic::Response;

use super::double::{AGENT, Answer, ID, Wire};

/// A request whose agent has something to say.
fn approval() -> v1::Approval {
    v1::Approval {
        id: ID.to_owned(),
        state: v1::ApprovalState::Pending.into(),
        agent: AGENT.to_owned(),
        action: "repo.pull.merge".to_owned(),
        resource: "repo/acme/site".to_owned(),
        approvals_needed: 2,
        untrusted_justification: "approve\u{1b}[2J me\nstate: approved".to_owned(),
        ..v1::Approval::default()
    }
}

pub fn list(wire: &Wire, ask: &v1::ListApprovalsRequest) -> Answer<v1::ListApprovalsResponse> {
    wire.saw(format!("list approvals {}", ask.include_decided));
    let approvals = vec![approval()];
    Ok(Response::new(v1::ListApprovalsResponse { approvals, next_page_token: String::new() }))
}

pub fn get(wire: &Wire, ask: &v1::GetApprovalRequest) -> Answer<v1::GetApprovalResponse> {
    wire.saw(format!("get approval {}", ask.verdict));
    let statement = format!("hotwork approval v1\ndecision: {}\n", ask.verdict);
    Ok(Response::new(v1::GetApprovalResponse { approval: Some(approval()), statement }))
}

pub fn decide(wire: &Wire, ask: &v1::DecideApprovalRequest) -> Answer<v1::DecideApprovalResponse> {
    wire.saw(format!("decide {} {} {}", ask.verdict, ask.reason, ask.signature.trim()));
    Ok(Response::new(v1::DecideApprovalResponse { approval: Some(approval()) }))
}
