//! Step 2: may this agent have this credential? The only place where a [`Permitted`] is made.
//!
//! The catalogue's caps stand before and around Cedar, so that no policy can grant past them: tenant,
//! state, review day, resource shape, parameters, lifetime, tier and key binding.

mod approval;
mod session;
mod signable;

use std::num::NonZeroU8;
use std::sync::Arc;

use crate::attest::Attested;
use crate::domain::agent::{Agent, AgentState, Day};
use crate::domain::approval::{Approvals, Terms, Used};
use crate::domain::break_glass::Held;
use crate::domain::catalogue::{Access, Action, Api, Binding, Tier};
use crate::domain::credential::Kind;
use crate::domain::denial::Reason;
use crate::domain::digest::Digest;
use crate::domain::evidence::Selector;
use crate::domain::id::Lineage;
use crate::domain::name::PolicyName;
use crate::domain::parameter::{Misfit, Parameter, ParameterName};
use crate::domain::request::{ActionRequest, Confirmation};
use crate::domain::revocation::{Facts, InForce, Locks};
use crate::domain::time::{Timestamp, Ttl};
use crate::policy::{Query, Verdict};

pub(super) use self::approval::may_decide;
pub(super) use self::signable::{Signable, signable};
use super::Rules;
use super::announce::Announced;

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
    /// The break-glass session that it is allowed by, instead of policies.
    pub(super) session: Option<Arc<Held>>,
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

impl From<Reason> for Undecided {
    fn from(reason: Reason) -> Self {
        Self::Denied(reason.into())
    }
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
    /// Whether the holder can show the key again. One that the broker made is gone with the answer.
    pub lasting: bool,
}

/// What operators have said for now: beside the rules, which are declared.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What operators were asked.
    pub approvals: &'a Approvals,
    /// What is locked.
    pub locks: &'a Locks,
    /// The session that the request names, when there is one.
    pub session: Option<&'a Announced>,
}

/// Decides one request of an attested agent.
///
/// # Errors
/// [`Denied`] with the first reason found; the order is fixed, so the same request gives the same answer.
pub fn decide(
    rules: &Rules,
    standing: Standing<'_>,
    attested: &Attested,
    request: ActionRequest,
    holder: Holder,
    now: Timestamp,
) -> Result<Permitted, Undecided> {
    let agent = attested.agent();
    let kept = attested.evidence().kept();
    let (allowed, session) = judge(rules, standing.session, agent, &request, &holder, now)?;
    // After everything else: who may not have it at all does not learn that it is locked, nor is anybody asked.
    unlocked(standing.locks, agent, &kept, &request, now)?;
    let (_, api, action) = allowed;
    let ttl = lifetime(&request, action);
    let approval = match &session {
        None => approval::needed(rules, standing.approvals, agent, &allowed, &request, &holder, now)?,
        // Its signatures stand in the place of an approval.
        Some(_) => approval::none(&request)?,
    };
    let expires = Timestamp::from_seconds(now.seconds()).after(ttl);
    // Nothing outlives the session, or the evidence it was given on.
    let ends = [session.as_ref().map(|held| held.until), attested.evidence().expires()];
    let expires = ends.into_iter().flatten().fold(expires, Timestamp::min);
    let expires = Timestamp::from_seconds(expires.seconds());
    if session.is_some() && expires <= now {
        return Err(Reason::SessionNotOpen.into());
    }
    Ok(Permitted {
        agent: agent.clone(),
        api: Arc::clone(api),
        action: Arc::clone(action),
        request,
        confirmation: holder.confirmation,
        kind: holder.kind,
        policies: allowed.0,
        evidence: attested.evidence().digest(),
        attested: kept,
        registry: rules.registry.digest(),
        issued: now,
        expires,
        approval,
        session,
    })
}

/// What a request is allowed by, and what it is allowed for.
pub(super) type Allowed<'a> = (Vec<PolicyName>, &'a Arc<Api>, &'a Arc<Action>);

/// The decision itself, without tier, locks and proof: also what `explain` asks of past requests. Beside it the
/// session that it was made under.
pub(super) fn judge<'a>(
    rules: &'a Rules,
    session: Option<&Announced>,
    agent: &Agent,
    request: &ActionRequest,
    holder: &Holder,
    now: Timestamp,
) -> Result<(Allowed<'a>, Option<Arc<Held>>), Denied> {
    let Some(id) = request.session else {
        return Ok((by_policies(rules, agent, request, holder, now)?, None));
    };
    let held = session::open(session, id, agent, now)?;
    Ok((session::judge(&held, rules, agent, request, holder, now)?, Some(held)))
}

fn by_policies<'a>(
    rules: &'a Rules,
    agent: &Agent,
    request: &ActionRequest,
    holder: &Holder,
    now: Timestamp,
) -> Result<Allowed<'a>, Denied> {
    let (api, action) = capped(rules, agent, request, holder, now)?;
    let policies = consult(rules, &query(agent, api, action, request))?;
    Ok((policies, api, action))
}

/// What no policy and no session can lift.
fn capped<'a>(
    rules: &'a Rules,
    agent: &Agent,
    request: &ActionRequest,
    holder: &Holder,
    now: Timestamp,
) -> Result<(&'a Arc<Api>, &'a Arc<Action>), Denied> {
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
    Ok((api, action))
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

/// Whether the entry lets the agent have anything at all now.
pub(super) fn standing(agent: &Agent, now: Timestamp) -> Result<(), Reason> {
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
