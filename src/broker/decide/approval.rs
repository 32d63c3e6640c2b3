//! Decisions on what operators have to approve first.

use std::num::NonZeroU32;

use crate::domain::agent::Agent;
use crate::domain::approval::{Approvals, Asked, Part, State, Terms, Used, Vote};
use crate::domain::catalogue::{Access, Action, Api, Tier};
use crate::domain::denial::Reason;
use crate::domain::digest::Digest;
use crate::domain::id::{ApprovalId, Lineage};
use crate::domain::operator::{Operator, Role};
use crate::domain::request::ActionRequest;
use crate::domain::ssh_key::{Fingerprint, SshKey};
use crate::domain::time::Timestamp;

use super::{Allowed, Denied, Holder, Proposal, Rules, Undecided, lifetime, tier};

/// The approval that a request of this tier is issued on; none when it needs none.
pub(super) fn needed(
    rules: &Rules,
    approvals: &Approvals,
    agent: &Agent,
    allowed: &Allowed<'_>,
    request: &ActionRequest,
    holder: &Holder,
    now: Timestamp,
) -> Result<Option<(Used, Lineage)>, Undecided> {
    let (policies, api, action) = allowed;
    match action.tier {
        Tier::Approval => {
            // An approval is for one key: nobody could use this one, and operators would read it for nothing.
            if !holder.lasting {
                return Err(Reason::ApprovalKey.into());
            }
            let terms = terms(agent, api, action, request, holder);
            // One that waits is asked for again, and joined.
            let waits = |id: &ApprovalId| {
                let own = approvals.get(*id).filter(|one| one.asked.terms == terms);
                own.is_some_and(|one| one.state(now) == State::Pending)
            };
            let Some(id) = request.approval.filter(|id| !waits(id)) else {
                return Err(Undecided::Pending(Box::new(Proposal {
                    access: action.access,
                    approvals: action.approvals,
                    policies: policies.clone(),
                    terms,
                })));
            };
            Ok(Some(approved(rules, approvals, action, &terms, (id, request), now)?))
        }
        Tier::Auto | Tier::BreakGlass => {
            tier(action).map_err(Denied::from)?;
            none(request)
        }
    }
}

/// What needs no approval was not approved: a caller that names one believes something that is not so.
pub(super) fn none(request: &ActionRequest) -> Result<Option<(Used, Lineage)>, Undecided> {
    if request.approval.is_some() { Err(Reason::ApprovalUnknown.into()) } else { Ok(None) }
}

/// What an approval of this request is bound to.
fn terms(agent: &Agent, api: &Api, action: &Action, request: &ActionRequest, holder: &Holder) -> Terms {
    let single = action.single_use.then_some(NonZeroU32::MIN);
    Terms {
        action: request.action.clone(),
        agent: agent.id.clone(),
        args: request.args,
        audience: api.audience.clone(),
        calls: single.or(action.max_calls),
        cnf: holder.confirmation.clone(),
        holder: holder.key.unwrap_or_else(|| Digest::of(b"")),
        kind: holder.kind,
        parameters: request.parameters.clone(),
        principal: agent.principal().into(),
        purpose: request.purpose.clone(),
        resource: request.resource.clone(),
        ttl: lifetime(request, action),
    }
}

/// The approval that the request names, when it is for exactly this and can be used. What is somebody else's is
/// not there. The operators who approved are looked at again: who left or lost a key since does not count.
fn approved(
    rules: &Rules,
    approvals: &Approvals,
    action: &Action,
    terms: &Terms,
    named: (ApprovalId, &ActionRequest),
    now: Timestamp,
) -> Result<(Used, Lineage), Denied> {
    let (id, request) = named;
    let found = approvals.get(id).filter(|found| found.asked.terms == *terms);
    let found = found.ok_or(Reason::ApprovalUnknown)?;
    match found.state(now) {
        State::Approved => {}
        State::Pending => return Err(Reason::ApprovalRequired.into()),
        State::Denied => return Err(Reason::ApprovalDenied.into()),
        State::Expired => return Err(Reason::ApprovalExpired.into()),
        // The ledger knows whether it is the retry of that use, or else refuses.
        State::Used if request.idempotency_key.is_some() => {}
        State::Used => return Err(Reason::ApprovalUsed.into()),
    }
    let stands = |vote: &&Vote| {
        let operator = rules.registry.operator_by_name(&vote.operator);
        operator.is_some_and(|operator| may_decide(operator, &vote.fingerprint, &found.asked))
    };
    let asked = Asked {
        access: if action.access == Access::Destructive { action.access } else { found.asked.access },
        approvals: action.approvals.max(found.asked.approvals),
        ..(*found.asked).clone()
    };
    if !asked.is_enough(found.votes.iter().filter(stands)) {
        return Err(Reason::ApprovalLapsed.into());
    }
    Ok((Used { expires: found.asked.expires, id }, found.asked.lineage))
}

/// Whether an operator's word on a request counts, given with the key of this fingerprint.
pub(in crate::broker) fn may_decide(operator: &Operator, fingerprint: &Fingerprint, asked: &Asked) -> bool {
    let has = |key: &SshKey| key.fingerprint().is_ok_and(|own| own == *fingerprint);
    operator.may(Role::Approver)
        && operator.sees(asked.terms.agent.tenant())
        && operator.ssh_keys.iter().any(has)
        && asked.part_of(operator) != Part::Requester
}
