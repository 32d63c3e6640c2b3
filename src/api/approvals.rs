//! Requests for approval at the edge: who waits for their outcome, and what operators are shown.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::Status;

use crate::broker::Broker;
use crate::broker::approve::DecideError;
use crate::broker::operate::Authorized;
use crate::domain::approval::{Approval, Approvals, State, Verdict};
use crate::domain::id::ApprovalId;
use crate::domain::limits::{
    APPROVAL_WATCHERS_MAX, APPROVAL_WATCHERS_PER_AGENT_MAX, APPROVAL_WATCHERS_PER_TENANT_MAX,
};
use crate::domain::name::{AgentId, Reason};
use crate::proto::v1;

use super::convert::page;
use super::drain::Drain;
use super::render;
use super::status::Refused;

/// How often the time is looked at: a request ends by it, and no record says so.
const LOOK: Duration = Duration::from_secs(1);

/// Who waits, by agent, so that no agent and no tenant keeps the others out.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<HashMap<AgentId, usize>>);

/// The place of one that waits; dropped when it does not any more.
#[derive(Debug)]
pub struct Waiting {
    waiters: Arc<Waiters>,
    agent: AgentId,
}

impl Waiters {
    /// A place, if there is one.
    pub fn enter(self: &Arc<Self>, agent: &AgentId) -> Option<Waiting> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.get(agent).copied().unwrap_or_default();
        let neighbours = counts.iter().filter(|(other, _)| other.tenant() == agent.tenant());
        if own >= APPROVAL_WATCHERS_PER_AGENT_MAX
            || neighbours.map(|(_, count)| count).sum::<usize>() >= APPROVAL_WATCHERS_PER_TENANT_MAX
            || counts.values().sum::<usize>() >= APPROVAL_WATCHERS_MAX
        {
            return None;
        }
        counts.insert(agent.clone(), own.saturating_add(1));
        Some(Waiting { waiters: Arc::clone(self), agent: agent.clone() })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut counts = self.waiters.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.agent) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(counts.remove(&self.agent)),
        }
    }
}

/// The messages of one that waits.
#[derive(Debug)]
pub struct Outcome(mpsc::Receiver<Result<v1::WatchApprovalResponse, Status>>);

impl Stream for Outcome {
    type Item = Result<v1::WatchApprovalResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Follows one request for the agent that made it.
pub struct Follower {
    /// The broker, for the time.
    pub broker: Arc<Broker>,
    /// When to stop.
    pub drain: Drain,
    /// The request.
    pub id: ApprovalId,
    /// Where requests are.
    pub approvals: watch::Receiver<Arc<Approvals>>,
}

impl Follower {
    /// Starts to follow. Each message is one change; the sender waits for one that is slow, and holds nothing for it.
    pub fn start(mut self, place: Waiting) -> Outcome {
        let (sender, messages) = mpsc::channel(1);
        tokio::spawn(async move {
            let _place = place;
            let drain = self.drain.clone();
            tokio::select! {
                () = self.run(&sender) => {}
                () = sender.closed() => {}
                // The sender is free or the caller has had its last message.
                () = drain.begun() => drop(sender.try_send(Err(Refused::draining().into()))),
            }
        });
        Outcome(messages)
    }

    async fn run(&mut self, sender: &mpsc::Sender<Result<v1::WatchApprovalResponse, Status>>) {
        let mut last = None;
        loop {
            let found = self.approvals.borrow_and_update().get(self.id).cloned();
            let now = self.broker.time();
            let Some(approval) = found else {
                // What has left the memory has ended; the last message said what it was, if it was decided.
                return self.over(last, sender).await;
            };
            let seen = (approval.state(now), approval.given());
            if last != Some(seen) {
                if sender.send(Ok(render::approval::watched(&approval, now))).await.is_err() {
                    return;
                }
                last = Some(seen);
            }
            match seen.0 {
                State::Denied | State::Expired | State::Used => return,
                State::Approved | State::Pending => {}
            }
            // A change, or time for a look; when the ledger has gone, so has the broker.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, self.approvals.changed()).await {
                return;
            }
        }
    }

    async fn over(
        &self,
        last: Option<(State, usize)>,
        sender: &mpsc::Sender<Result<v1::WatchApprovalResponse, Status>>,
    ) {
        let state = v1::ApprovalState::Expired.into();
        let message =
            v1::WatchApprovalResponse { approval_id: self.id.to_string(), state, ..Default::default() };
        if !matches!(last, Some((State::Denied | State::Expired | State::Used, _))) {
            drop(sender.send(Ok(message)).await);
        }
    }
}

/// A request as operators see it.
pub(super) fn shown(broker: &Broker, approval: &Approval) -> v1::Approval {
    let words = broker.words(approval.asked.id);
    render::approval::approval(approval, words.as_deref(), broker.time())
}

/// One page of those that the operator sees.
pub(super) fn list(
    broker: &Broker,
    by: &Authorized,
    all: bool,
    (size, after): (usize, Option<&str>),
) -> v1::ListApprovalsResponse {
    let now = broker.time();
    let found = broker.approvals(by.operator()).into_iter();
    let open = found.filter(|one| all || matches!(one.state(now), State::Approved | State::Pending));
    let named: Vec<_> = open.map(|one| (one.asked.id.to_string(), one)).collect();
    let (page, next_page_token) = page::cut(named, after, size, |one| &one.0);
    let approvals = page.iter().map(|(_, one)| shown(broker, one)).collect();
    v1::ListApprovalsResponse { approvals, next_page_token }
}

/// One that the operator sees, and the statement that they would sign.
pub(super) fn show(
    broker: &Broker,
    by: &Authorized,
    id: ApprovalId,
    wanted: Option<(Verdict, Option<Reason>)>,
) -> Result<v1::GetApprovalResponse, Refused> {
    let found = broker.approval(by.operator(), id);
    let approval = found.ok_or_else(|| Refused::not_found("request"))?;
    let statement = wanted
        .map(|(verdict, reason)| broker.statement(&approval.asked, by.operator(), verdict, reason.as_ref()))
        .transpose();
    let statement = statement.map_err(DecideError::from)?;
    let statement = statement.map(|text| text.as_str().to_owned()).unwrap_or_default();
    Ok(v1::GetApprovalResponse { approval: Some(shown(broker, &approval)), statement })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(tenant: &str, number: usize) -> AgentId {
        format!("spiffe://td/tenant/{tenant}/agent/a{number}").parse().unwrap()
    }

    #[test]
    fn an_agent_and_a_tenant_keep_nobody_else_from_waiting() {
        let waiters = Arc::new(Waiters::default());
        let mut inside = Vec::new();
        for number in 0..APPROVAL_WATCHERS_PER_TENANT_MAX {
            let agent = agent("a", number / APPROVAL_WATCHERS_PER_AGENT_MAX);
            inside.push(waiters.enter(&agent).unwrap());
        }
        assert!(waiters.enter(&agent("a", 0)).is_none(), "the agent's share");
        assert!(waiters.enter(&agent("a", 99)).is_none(), "the tenant's share");
        let other = waiters.enter(&agent("b", 0));
        assert!(other.is_some(), "another tenant waits all the same");
        drop(inside.pop());
        assert!(waiters.enter(&agent("a", 99)).is_some(), "who goes makes room");
    }
}
