//! Explain: why a decision went as it did, and what would be said to the same request now.

use crate::domain::approval::Terms;
use crate::domain::catalogue::{Action, Tier};
use crate::domain::credential::{Issuance, Kind};
use crate::domain::denial::{Denial, Reason};
use crate::domain::entry::{Entry, Event};
use crate::domain::evidence::Selector;
use crate::domain::id::CredentialId;
use crate::domain::name::{AgentId, PolicyName};
use crate::domain::request::{ActionRequest, Confirmation};
use crate::domain::time::Ttl;
use crate::store::ReadError;

use super::decide::{Denied, Holder, judge, query, unlocked};
use super::operate::Authorized;
use super::{Broker, Rules};

/// A recorded decision, and what would be said now.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The entry.
    pub entry: Entry,
    /// Its place in the log.
    pub index: u64,
    /// What the rules in force now say to the same request.
    pub now: String,
    /// The smallest change that would allow it, where one is known.
    pub suggestion: String,
}

/// Why a decision was not explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such decision that this operator sees.
    #[error("decision `{0}` not found")]
    NotFound(CredentialId),
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Broker {
    /// Explains the decision `id`.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub async fn explain(&self, by: &Authorized, id: CredentialId) -> Result<Explained, ExplainError> {
        let found = self.read(move |reader| reader.decision(id)).await?;
        let (index, entry) = found.ok_or(ExplainError::NotFound(id))?;
        let asked = Asked::of(&entry).ok_or(ExplainError::NotFound(id))?;
        if !by.operator().sees(asked.agent.tenant()) {
            return Err(ExplainError::NotFound(id));
        }
        let (now, suggestion) = self.now(&self.rules(), &asked);
        Ok(Explained { entry, index, now, suggestion })
    }

    fn now(&self, rules: &Rules, asked: &Asked) -> (String, String) {
        let Some(agent) = rules.registry.agent_by_id(&asked.agent) else {
            return ("the agent is no longer registered".to_owned(), "register the agent".to_owned());
        };
        let (now, locks) = (self.time(), self.ledger.locks());
        let (request, holder) = (&asked.request, &asked.holder);
        // A session that nobody was told of lets nothing happen, as one that is not there.
        let session = request.session.and_then(|id| self.announced(id).ok().flatten());
        let judged = judge(rules, session.as_ref(), &agent, request, holder, now);
        let open = |_: &_| unlocked(&locks, &agent, &asked.attested, request, now);
        match judged.and_then(|judged| open(&judged).map(|()| judged)) {
            Ok((_, Some(held))) => {
                (format!("allowed by break-glass session {}", held.session), String::new())
            }
            Ok(((policies, _, action), None)) => by_tier(&policies, action),
            Err(denied) => {
                let suggestion = suggest(rules, &agent, asked, &denied);
                (format!("denied: {}", denied.reason.code()), suggestion)
            }
        }
    }
}

/// What becomes of what the policies allow.
fn by_tier(policies: &[PolicyName], action: &Action) -> (String, String) {
    let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    match action.tier {
        Tier::Approval => {
            let (asked, count) = (Reason::ApprovalRequired, action.approvals);
            (format!("allowed by {names}; approvals needed: {count}"), asked.meaning().to_owned())
        }
        Tier::Auto => (format!("allowed by {names}"), String::new()),
        Tier::BreakGlass => {
            let denied = Reason::BreakGlassOnly;
            (format!("denied: {}", denied.code()), denied.meaning().to_owned())
        }
    }
}

fn suggest(rules: &Rules, agent: &crate::domain::agent::Agent, asked: &Asked, denied: &Denied) -> String {
    let action = rules.registry.action(agent.id.tenant(), &asked.request.action);
    match (denied.reason, action) {
        (Reason::NotPermitted, Some((api, action))) => {
            if !action.resource.matches(&asked.request.resource, agent.id.tenant()) {
                let pattern = action.resource.as_str();
                return format!(
                    "the resource must have the action's shape `{pattern}` in the agent's tenant"
                );
            }
            rules.policies.explain(&query(agent, api, action, &asked.request)).suggestion
        }
        (Reason::TtlAboveMaximum, Some((_, action))) => {
            format!("ask for at most {} or raise `ttl_max` of `{}`", action.ttl_max, action.name)
        }
        (Reason::ParameterMissing | Reason::ParameterOutOfBounds | Reason::ParameterUnknown, Some(_)) => {
            let name = denied.parameter.as_ref().map_or("", |name| name.as_str());
            format!("parameter `{name}`: {}", denied.reason.meaning())
        }
        (Reason::Locked, _) => {
            let said = denied.lock.as_ref().map(|held| (held.index, &held.lock.terms.message));
            said.map_or_else(
                || Reason::Locked.meaning().to_owned(),
                |(lock, message)| format!("locked ({message}); `hotwork lock rm {lock}` ends that"),
            )
        }
        (reason, _) => reason.meaning().to_owned(),
    }
}

/// What a recorded decision was asked.
struct Asked {
    agent: AgentId,
    request: ActionRequest,
    holder: Holder,
    attested: Vec<Selector>,
}

impl Asked {
    fn of(entry: &Entry) -> Option<Self> {
        match &entry.event {
            Event::Deny(denial) => Some(Self::of_denial(denial)),
            Event::Issue(issuance) => Some(Self::of_issuance(issuance)),
            Event::Ask(asked) => Some(Self::of_asked(&asked.terms, &asked.attested)),
            Event::BreakGlass(_)
            | Event::Call(_)
            | Event::Decide(_)
            | Event::Consume(_)
            | Event::Enroll(_)
            | Event::Emergency(_)
            | Event::Load(_)
            | Event::Merge(_)
            | Event::Lock(_)
            | Event::Release(_)
            | Event::Remove(_)
            | Event::Revoke(_)
            | Event::Rotate(_)
            | Event::Start(_)
            | Event::Unlock(_) => None,
        }
    }

    fn of_asked(terms: &Terms, attested: &[Selector]) -> Self {
        let request = ActionRequest {
            action: terms.action.clone(),
            resource: terms.resource.clone(),
            parameters: terms.parameters.clone(),
            ttl: Some(terms.ttl),
            args: terms.args,
            purpose: terms.purpose.clone(),
            idempotency_key: None,
            approval: None,
            session: None,
        };
        let holder = Holder { kind: terms.kind, confirmation: terms.cnf.clone(), key: None, lasting: true };
        Self { agent: terms.agent.clone(), request, holder, attested: attested.to_vec() }
    }

    fn of_denial(denial: &Denial) -> Self {
        let request = ActionRequest {
            action: denial.action.clone(),
            resource: denial.resource.clone(),
            parameters: denial.parameters.clone(),
            ttl: denial.ttl,
            args: None,
            purpose: denial.purpose.clone(),
            idempotency_key: None,
            approval: None,
            session: denial.session,
        };
        // Whether the holder had shown a key is not recorded. It was missing, or made anew, only for these reasons.
        let bearer = denial.reason == Reason::BindingRequired;
        let holder = Holder { lasting: denial.reason != Reason::ApprovalKey, ..holder(denial.kind, bearer) };
        // What the caller was attested by is in the record as a digest only.
        let attested = Vec::new();
        Self { agent: denial.agent.clone(), request, holder, attested }
    }

    fn of_issuance(issuance: &Issuance) -> Self {
        let lifetime = issuance.expires.seconds().saturating_sub(issuance.issued.seconds());
        let ttl = u32::try_from(lifetime).ok().and_then(|seconds| Ttl::from_seconds(seconds).ok());
        let request = ActionRequest {
            action: issuance.action.clone(),
            resource: issuance.resource.clone(),
            parameters: issuance.parameters.clone(),
            ttl,
            args: issuance.args,
            purpose: issuance.purpose.clone(),
            idempotency_key: None,
            approval: None,
            // What was minted in a session is of the session's lineage.
            session: (issuance.tier == Tier::BreakGlass).then_some(issuance.lineage),
        };
        let holder =
            Holder { kind: issuance.kind, confirmation: issuance.cnf.clone(), key: None, lasting: true };
        Self { agent: issuance.agent.clone(), request, holder, attested: issuance.attested.clone() }
    }
}

fn holder(kind: Kind, bearer: bool) -> Holder {
    let known = || "A".repeat(43).parse().ok();
    let jkt = if bearer { None } else { known() };
    Holder { kind, confirmation: Confirmation { jkt, x5t_s256: None }, key: None, lasting: true }
}
