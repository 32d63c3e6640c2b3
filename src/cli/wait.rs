//! Waiting for operators: the stream of one request's states, until it is decided or the time is up.

use std::time::Duration;

use tonic::transport::Channel;

use super::client::Context;
use super::duration::{absolute, spoken};
use super::failure::{Exit, Failure};
use super::text::clean;
use crate::proto::v1;
use crate::proto::v1::credential_service_client::CredentialServiceClient;

/// Waits until the request that `pending` is about is approved.
///
/// # Errors
/// When it is denied or over, or `pending` itself when the time is up.
pub async fn until_approved(
    context: &Context,
    client: &mut CredentialServiceClient<Channel>,
    pending: Failure,
    most: Duration,
) -> Result<(), Failure> {
    let id = clean(&pending.decision_id);
    context.screen.note(&format!(
        "{}\nwaiting up to {}; an approver decides it: `hotwork request show {id}`",
        pending.message,
        spoken(most.as_secs())
    ));
    match tokio::time::timeout(most, follow(context, client, &pending.decision_id)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(pending),
    }
}

async fn follow(
    context: &Context,
    client: &mut CredentialServiceClient<Channel>,
    id: &str,
) -> Result<(), Failure> {
    // No deadline on it: the stream lasts as long as the caller waits.
    let request = tonic::Request::new(v1::WatchApprovalRequest { approval_id: id.to_owned() });
    let mut states = context.call(client.watch_approval(request)).await?;
    let mut given = 0;
    while let Some(message) = states.message().await? {
        match message.state() {
            v1::ApprovalState::Approved => return Ok(()),
            v1::ApprovalState::Denied => {
                return Err(ended("approval-denied", "an operator denied the request"));
            }
            v1::ApprovalState::Expired => {
                return Err(ended("approval-expired", "nobody approved the request in time"));
            }
            v1::ApprovalState::Used => return Err(ended("approval-used", "the approval was used already")),
            v1::ApprovalState::Pending | v1::ApprovalState::Unspecified => {}
        }
        if message.approvals_given != given {
            given = message.approvals_given;
            let (needed, ends) = (message.approvals_needed, absolute(message.expire_time.as_ref()));
            context.screen.note(&format!("approved by {given} of {needed}; it ends {ends}"));
        }
    }
    Err(Failure::new(Exit::Unavailable, "approval-stream-ended", "the broker ended the wait")
        .hint(format!("ask again with --approval {id}, which goes on where it is")))
}

fn ended(reason: &str, message: &str) -> Failure {
    Failure::new(Exit::Denied, reason, message)
        .hint("an operator can tell more: `hotwork request list --decided`")
}
