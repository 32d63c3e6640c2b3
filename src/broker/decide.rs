//! Step 2: may this agent have this credential? The only place where a [`Permitted`] is made.
//!
//! The catalogue's caps stand before and around Cedar, so that no policy can grant past them: tenant,
//! state, review day, resource shape, parameters, lifetime, tier and key binding.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;

use crate::attest::Attested;
use crate::domain::agent::{Agent, AgentState, Day};
use crate::domain::approval::{Approvals, Asked, Part, State, Terms, Used, Vote};
use crate::domain::catalogue::{Access, Action, Api, Binding, Tier};
use crate::domain::credential::Kind;
use crate::domain::denial::Reason;
use crate::domain::digest::Digest;
use crate::domain::evidence::Selector;
use crate::domain::id::{ApprovalId, Lineage};
use crate::domain::name::PolicyName;
use crate::domain::operator::{Operator, Role};
use crate::domain::parameter::{Misfit, Parameter, ParameterName};
use crate::domain::request::{ActionRequest, Confirmation};
use crate::domain::revocation::{Facts, InForce, Locks};
use crate::domain::ssh_key::{Fingerprint, SshKey};
use crate::domain::time::{Timestamp, Ttl};
use crate::policy::{Query, Verdict};

use super::Rules;

/// A request that was allowed: the proof that minting asks for. It has no public constructor and is not
/// `Clone`, so one decision mints one credential.
#[derive(Debug)]
pub struct Permitted {
    pub(super) agent: Agent,
    pub(super) api: Arc<Api>,
    pub(super) action: Arc<Action>,
    pub(super) request: ActionRequest,
    pub(super) confirmation: Confirmation,
    pub(super) kind: Kind,
    pub(super) policies: Vec<PolicyName>,
    pub(super) evidence: Digest,
    pub(super) attested: Vec<Selector>,
    pub(super) registry: Digest,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    /// The approval that it is issued on, and its lineage.
    pub(super) approval: Option<(Used, Lineage)>,
}

/// Why there is no permit.
#[derive(Debug)]
pub enum Undecided {
    /// The decision was no.
    Denied(Denied),
    /// Everything allows it but the operators, who have not been asked or have not decided.
    Pending(Box<Proposal>),
}

impl From<Denied> for Undecided {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// What operators are to be asked.
#[derive(Debug)]
pub struct Proposal {
    pub(super) access: Access,
    pub(super) approvals: NonZeroU8,
    pub(super) policies: Vec<PolicyName>,
    pub(super) terms: Terms,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The stable reason.
    pub reason: Reason,
    /// The parameter it is about, if it is about one.
    pub parameter: Option<ParameterName>,
    /// The policies that forbade it.
    pub policies: Vec<PolicyName>,
    /// The lock that refused it.
    pub lock: Option<Arc<InForce>>,
}

impl From<Reason> for Denied {
    fn from(reason: Reason) -> Self {
        Self { reason, parameter: None, policies: Vec::new(), lock: None }
    }
}

impl From<Arc<InForce>> for Denied {
    fn from(lock: Arc<InForce>) -> Self {
        Self { lock: Some(lock), ..Reason::Locked.into() }
    }
}

/// The form of what is asked, and the holder's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Token or certificate.
    pub kind: Kind,
    /// The key that a token is bound to. A certificate is bound by itself.
    pub confirmation: Confirmation,
    /// SHA-256 of the holder's key in its form; none for a request of the past.
    pub key: Option<Digest>,
}

/// Decides one request of an attested agent.
///
/// # Errors
/// [`Denied`] with the first reason found; the order is fixed, so the same request gives the same answer.
pub fn decide(
    rules: &Rules,
    ledger: (&Locks, &Approvals),
    attested: &Attested,
    request: ActionRequest,
    holder: Holder,
    now: Timestamp,
) -> Result<Permitted, Undecided> {
    let agent = attested.agent();
    let kept = attested.evidence().kept();
    let (verdict, api, action) = judge_untiered(rules, agent, &request, &holder, now)?;
    // After everything else: who may not have it at all does not learn that it is locked, nor is anybody asked.
    unlocked(ledger.0, agent, &kept, &request, now)?;
    let ttl = lifetime(&request, action);
    let approval = match action.tier {
        Tier::Approval => {
            let terms = terms(agent, api, action, &request, &holder);
            // One that waits is asked for again, and joined.
            let waits = |id: &ApprovalId| {
                let own = ledger.1.get(*id).filter(|one| one.asked.terms == terms);
                own.is_some_and(|one| one.state(now) == State::Pending)
            };
            let usable = request.approval.filter(|id| !waits(id));
            let Some(id) = usable else {
                let (access, approvals) = (action.access, action.approvals);
                return Err(Undecided::Pending(Box::new(Proposal {
                    access,
                    approvals,
                    policies: verdict,
                    terms,
                })));
            };
            Some(approved(rules, ledger.1, action, &terms, (id, &request), now)?)
        }
        Tier::Auto | Tier::BreakGlass => {
            tier(action).map_err(Denied::from)?;
            if request.approval.is_some() {
                // What needs no approval was not approved: the caller believes something that is not so.
                return Err(Denied::from(Reason::ApprovalUnknown).into());
            }
            None
        }
    };
    let expires = Timestamp::from_seconds(now.seconds()).after(ttl);
    Ok(Permitted {
        agent: agent.clone(),
        api: Arc::clone(api),
        action: Arc::clone(action),
        request,
        confirmation: holder.confirmation,
        kind: holder.kind,
        policies: verdict,
        evidence: attested.evidence().digest(),
        attested: kept,
        registry: rules.registry.digest(),
        issued: now,
        // Nothing outlives the evidence it was given on.
        expires: attested.evidence().expires().map_or(expires, |end| expires.min(end)),
        approval,
    })
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
pub(super) fn may_decide(operator: &Operator, fingerprint: &Fingerprint, asked: &Asked) -> bool {
    let has = |key: &SshKey| key.fingerprint().is_ok_and(|own| own == *fingerprint);
    operator.may(Role::Approver)
        && operator.sees(asked.terms.agent.tenant())
        && operator.ssh_keys.iter().any(has)
        && asked.part_of(operator) != Part::Requester
}

/// What a request is allowed by, and what it is allowed for.
pub(super) type Allowed<'a> = (Vec<PolicyName>, &'a Arc<Api>, &'a Arc<Action>);

/// The decision itself, without the proof: also what `explain` asks of past requests.
pub(super) fn judge<'a>(
    rules: &'a Rules,
    agent: &Agent,
    request: &ActionRequest,
    holder: &Holder,
    now: Timestamp,
) -> Result<Allowed<'a>, Denied> {
    let allowed = judge_untiered(rules, agent, request, holder, now)?;
    // After the policies: who may not have it at all does not learn that an approval would do.
    tier(allowed.2)?;
    Ok(allowed)
}

fn judge_untiered<'a>(
    rules: &'a Rules,
    agent: &Agent,
    request: &ActionRequest,
    holder: &Holder,
    now: Timestamp,
) -> Result<Allowed<'a>, Denied> {
    standing(agent, now)?;
    let tenant = agent.id.tenant();
    let (api, action) = rules.registry.action(tenant, &request.action).ok_or(Reason::ActionUnknown)?;
    // The wrong shape and another tenant's resource give the same answer as a missing permit (promise P12).
    if !action.resource.matches(&request.resource, tenant) {
        return Err(Reason::NotPermitted.into());
    }
    parameters(action, &request.parameters)?;
    if request.ttl.is_some_and(|ttl| ttl > action.ttl_max) {
        return Err(Reason::TtlAboveMaximum.into());
    }
    binding(api, holder)?;
    let policies = consult(rules, &query(agent, api, action, request))?;
    Ok((policies, api, action))
}

/// Whether no lock refuses it. The ledger asks again, so that none is issued after a lock was acknowledged.
pub(super) fn unlocked(
    locks: &Locks,
    agent: &Agent,
    attested: &[Selector],
    request: &ActionRequest,
    now: Timestamp,
) -> Result<(), Denied> {
    let facts = Facts {
        action: &request.action,
        agent: &agent.id,
        attested,
        key: None,
        lineage: None,
        owner: Some(&agent.entry.owner),
        principal: agent.principal(),
        resource: &request.resource,
        serial: None,
    };
    locks.refusing(&facts, now).map_or(Ok(()), |held| Err(Arc::clone(held).into()))
}

/// Whether no lock refuses what the key `kid` would sign of it. Asked before the key is used; the ledger asks again.
pub(super) fn signable(
    locks: &Locks,
    permitted: Permitted,
    kid: &str,
    now: Timestamp,
) -> Result<Permitted, Denied> {
    let facts = Facts {
        action: &permitted.request.action,
        agent: &permitted.agent.id,
        attested: &permitted.attested,
        key: Some(kid),
        lineage: None,
        owner: Some(&permitted.agent.entry.owner),
        principal: permitted.agent.principal(),
        resource: &permitted.request.resource,
        serial: None,
    };
    match locks.refusing(&facts, now) {
        None => Ok(permitted),
        Some(held) => Err(Arc::clone(held).into()),
    }
}

/// The policy question that a request is.
pub(super) fn query<'a>(
    agent: &'a Agent,
    api: &'a Api,
    action: &'a Action,
    request: &'a ActionRequest,
) -> Query<'a> {
    Query {
        agent,
        api,
        action,
        resource: &request.resource,
        ttl: lifetime(request, action),
        parameters: &request.parameters,
        purpose: request.purpose.as_ref(),
    }
}

fn lifetime(request: &ActionRequest, action: &Action) -> Ttl {
    request.ttl.unwrap_or_else(|| Ttl::DEFAULT.min(action.ttl_max))
}

fn standing(agent: &Agent, now: Timestamp) -> Result<(), Reason> {
    match agent.entry.state {
        AgentState::Active => {}
        AgentState::Suspended => return Err(Reason::AgentSuspended),
    }
    let today = Day(now.seconds() / 86_400);
    if agent.entry.review < today { Err(Reason::ReviewOverdue) } else { Ok(()) }
}

fn parameters(action: &Action, given: &[Parameter]) -> Result<(), Denied> {
    let about =
        |reason: Reason, name: &ParameterName| Denied { parameter: Some(name.clone()), ..reason.into() };
    for parameter in given {
        let rule = action.parameters.iter().find(|rule| rule.name == parameter.name);
        let rule = rule.ok_or_else(|| about(Reason::ParameterUnknown, &parameter.name))?;
        rule.check(&parameter.value).map_err(|misfit| match misfit {
            Misfit::Bounds => about(Reason::ParameterOutOfBounds, &parameter.name),
            Misfit::Type => about(Reason::ParameterUnknown, &parameter.name),
        })?;
    }
    let missing = |name: &ParameterName| !given.iter().any(|parameter| parameter.name == *name);
    match action.parameters.iter().find(|rule| rule.required && missing(&rule.name)) {
        Some(rule) => Err(about(Reason::ParameterMissing, &rule.name)),
        None => Ok(()),
    }
}

fn tier(action: &Action) -> Result<(), Reason> {
    match action.tier {
        Tier::Auto => Ok(()),
        Tier::Approval => Err(Reason::ApprovalRequired),
        Tier::BreakGlass => Err(Reason::BreakGlassOnly),
    }
}

fn binding(api: &Api, holder: &Holder) -> Result<(), Reason> {
    match (holder.kind, api.binding) {
        (Kind::Certificate, _) | (Kind::Token, Binding::DangerousBearer) => Ok(()),
        (Kind::Token, Binding::Required) if holder.confirmation.is_bearer() => Err(Reason::BindingRequired),
        (Kind::Token, Binding::Required) => Ok(()),
    }
}

fn consult(rules: &Rules, query: &Query<'_>) -> Result<Vec<PolicyName>, Denied> {
    match rules.policies.decide(query) {
        Verdict::Allow { policies } => Ok(policies),
        Verdict::Forbid { policies } => Err(Denied { policies, ..Reason::Forbidden.into() }),
        // A policy that can't be evaluated permits nothing.
        Verdict::Failed | Verdict::NoPermit => Err(Reason::NotPermitted.into()),
    }
}
