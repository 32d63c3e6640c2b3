//! What of an entry the index and a replay need, read from canonical JSON without the rest.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::mark::FOR_GOOD;
use crate::domain::entry::{Entry, Event};
use crate::domain::id::{ApprovalId, CredentialId};
use crate::domain::limits::{APPROVAL_COOL_DOWN_MS, PROPOSAL_SECONDS_MAX};
use crate::domain::revocation::{Selector, watermark};
use crate::domain::status_list::StatusRef;
use crate::domain::time::Timestamp;

/// What the index has to know of an entry. It is read from canonical JSON without the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brief<'a> {
    /// A request that operators decide.
    Ask {
        /// The decision that is not made yet.
        id: ApprovalId,
        /// Who asked.
        agent: &'a str,
        /// When it no longer matters.
        expires: Timestamp,
    },
    /// A debit, which the state and the log keep.
    Consume,
    /// A denial.
    Deny {
        /// The decision.
        id: CredentialId,
        /// Who asked.
        agent: &'a str,
    },
    /// What the state is made of until a time, for longer than a credential lives: certificates of operators and
    /// verifiers and their removals, steps of break-glass, decisions on requests for approval.
    Enroll {
        /// When it no longer matters.
        expires: Timestamp,
    },
    /// A credential.
    Issue {
        /// Its id.
        id: CredentialId,
        /// Its holder.
        agent: &'a str,
        /// When it ends by itself.
        expires: Timestamp,
        /// When the approval that it was issued on ends: until then the use must not be forgotten.
        approval: Option<Timestamp>,
        /// Whether it has a retry key.
        has_key: bool,
        /// Where its status stands.
        status: Option<StatusRef>,
    },
    /// The registry was loaded.
    Load,
    /// A holder ended a credential.
    Release(CredentialId),
    /// An operator locked something, until then.
    Lock(Timestamp),
    /// An operator ended credentials.
    Revoke(Revoked),
    /// An operator ended the lock that this entry made.
    Unlock(u64),
    /// Something that only the log keeps.
    Other,
}

/// What the index has to know of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// What ended.
    pub selector: Selector,
    /// Whether it is of a key that ended for good.
    pub for_good: bool,
    /// Only what was minted before, when given.
    pub issued_before: Option<Timestamp>,
    /// Whether it is of some tenants only; the entry has their names.
    pub scoped: bool,
    /// When the lock that goes with it ends, when there is one.
    pub lock: Option<Timestamp>,
}

/// When a request that ends at `expires` no longer matters: a no in its last moment has the agent wait, and what it is
/// to wait with is in the request.
const fn cooled(expires: Timestamp) -> Timestamp {
    expires.plus_millis(APPROVAL_COOL_DOWN_MS)
}

impl Revoked {
    /// As [`crate::domain::revocation::Revocation::until`].
    pub fn until(&self, time: Timestamp) -> Option<Timestamp> {
        if self.for_good { None } else { watermark(&self.selector, self.issued_before, time) }
    }
}

impl<'a> Brief<'a> {
    /// Of an entry.
    pub fn of(entry: &'a Entry) -> Self {
        match &entry.event {
            Event::Ask(asked) => {
                Self::Ask { id: asked.id, agent: asked.terms.agent.as_str(), expires: cooled(asked.expires) }
            }
            // Without an end of its own it matters for good.
            Event::BreakGlass(step) => Self::Enroll { expires: step.matters_until().unwrap_or(FOR_GOOD) },
            Event::Consume(_) => Self::Consume,
            Event::Decide(vote) => Self::Enroll { expires: cooled(vote.expires) },
            Event::Deny(denial) => Self::Deny { id: denial.id, agent: denial.agent.as_str() },
            Event::Enroll(enrollment) => Self::Enroll { expires: enrollment.expires },
            Event::Remove(removal) => Self::Enroll { expires: removal.expires },
            Event::Issue(issuance) => Self::Issue {
                id: issuance.id,
                agent: issuance.agent.as_str(),
                expires: issuance.expires,
                approval: issuance.approval.map(|used| used.expires),
                has_key: issuance.idempotency.is_some(),
                status: issuance.status,
            },
            Event::Release(release) => Self::Release(release.credential),
            Event::Lock(lock) => Self::Lock(lock.terms.expires),
            Event::Revoke(revocation) => Self::Revoke(Revoked {
                selector: revocation.selector.clone(),
                for_good: revocation.for_good,
                issued_before: revocation.issued_before,
                scoped: !revocation.tenants.is_empty(),
                lock: revocation.lock.as_ref().map(|terms| terms.expires),
            }),
            Event::Unlock(unlock) => Self::Unlock(unlock.lock),
            Event::Load(_) => Self::Load,
            Event::Call(_) | Event::Emergency(_) | Event::Merge(_) | Event::Rotate(_) | Event::Start(_) => {
                Self::Other
            }
        }
    }

    /// Of an entry's canonical JSON.
    ///
    /// # Errors
    /// When it is no entry.
    pub fn of_json(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        let brief: BriefEntry<'a> = serde_json::from_slice(json)?;
        Ok(match brief.event {
            BriefEvent::BreakGlass(step) => Self::Enroll { expires: step.expires() },
            BriefEvent::Consume(IgnoredAny) => Self::Consume,
            BriefEvent::Deny(deny) => Self::Deny { id: deny.id, agent: deny.agent },
            BriefEvent::Ask(ask) => {
                Self::Ask { id: ask.id, agent: ask.terms.agent, expires: cooled(ask.expires) }
            }
            BriefEvent::Decide(kept) => Self::Enroll { expires: cooled(kept.expires) },
            BriefEvent::Enroll(kept) | BriefEvent::Remove(kept) => Self::Enroll { expires: kept.expires },
            BriefEvent::Issue(issue) => Self::Issue {
                id: issue.id,
                agent: issue.agent,
                expires: issue.expires,
                approval: issue.approval.map(|used| used.expires),
                has_key: issue.idempotency.is_some(),
                status: issue.status,
            },
            BriefEvent::Release(release) => Self::Release(release.credential),
            BriefEvent::Lock(lock) => Self::Lock(lock.terms.expires),
            BriefEvent::Revoke(revoke) => Self::Revoke(Revoked {
                selector: revoke.selector,
                for_good: revoke.for_good.unwrap_or_default(),
                issued_before: revoke.issued_before,
                scoped: revoke.tenants.is_some(),
                lock: revoke.lock.map(|terms| terms.expires),
            }),
            BriefEvent::Unlock(unlock) => Self::Unlock(unlock.lock),
            BriefEvent::Load(IgnoredAny) => Self::Load,
            BriefEvent::Call(IgnoredAny)
            | BriefEvent::Emergency(IgnoredAny)
            | BriefEvent::Merge(IgnoredAny)
            | BriefEvent::Rotate(IgnoredAny)
            | BriefEvent::Start(IgnoredAny) => Self::Other,
        })
    }
}

#[derive(Deserialize)]
struct BriefEntry<'a> {
    #[serde(borrow)]
    event: BriefEvent<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BriefEvent<'a> {
    #[serde(borrow)]
    Ask(BriefAsk<'a>),
    BreakGlass(BriefStep),
    Call(IgnoredAny),
    Consume(IgnoredAny),
    Decide(BriefEnroll),
    #[serde(borrow)]
    Deny(BriefDeny<'a>),
    Emergency(IgnoredAny),
    Enroll(BriefEnroll),
    #[serde(borrow)]
    Issue(BriefIssue<'a>),
    Load(IgnoredAny),
    Lock(BriefLock),
    Merge(IgnoredAny),
    Release(BriefRelease),
    Remove(BriefEnroll),
    Revoke(BriefRevoke),
    Rotate(IgnoredAny),
    Start(IgnoredAny),
    Unlock(BriefUnlock),
}

#[derive(Deserialize)]
struct BriefAsk<'a> {
    expires: Timestamp,
    id: ApprovalId,
    #[serde(borrow)]
    terms: BriefAsker<'a>,
}

#[derive(Deserialize)]
struct BriefAsker<'a> {
    agent: &'a str,
}

#[derive(Deserialize)]
struct BriefDeny<'a> {
    agent: &'a str,
    id: CredentialId,
}

#[derive(Deserialize)]
struct BriefEnroll {
    expires: Timestamp,
}

#[derive(Deserialize)]
struct BriefIssue<'a> {
    agent: &'a str,
    approval: Option<BriefEnroll>,
    expires: Timestamp,
    id: CredentialId,
    idempotency: Option<IgnoredAny>,
    status: Option<StatusRef>,
}

/// What [`Step::matters_until`] tells.
///
/// [`Step::matters_until`]: crate::domain::break_glass::Step::matters_until
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BriefStep {
    Close(IgnoredAny),
    Extend(IgnoredAny),
    Open(IgnoredAny),
    Propose(BriefProposed),
    Restrict(IgnoredAny),
    Review(IgnoredAny),
    Sign(BriefUntil),
}

impl BriefStep {
    const fn expires(&self) -> Timestamp {
        match self {
            Self::Close(IgnoredAny)
            | Self::Extend(IgnoredAny)
            | Self::Open(IgnoredAny)
            | Self::Restrict(IgnoredAny)
            | Self::Review(IgnoredAny) => FOR_GOOD,
            Self::Propose(proposed) => {
                proposed.proposal.until.plus_millis(PROPOSAL_SECONDS_MAX.saturating_mul(1000))
            }
            Self::Sign(signed) => signed.until,
        }
    }
}

#[derive(Deserialize)]
struct BriefProposed {
    proposal: BriefUntil,
}

#[derive(Deserialize)]
struct BriefUntil {
    until: Timestamp,
}

#[derive(Deserialize)]
struct BriefRelease {
    credential: CredentialId,
}

#[derive(Deserialize)]
struct BriefRevoke {
    for_good: Option<bool>,
    issued_before: Option<Timestamp>,
    lock: Option<BriefTerms>,
    selector: Selector,
    tenants: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct BriefLock {
    terms: BriefTerms,
}

#[derive(Deserialize)]
struct BriefTerms {
    expires: Timestamp,
}

#[derive(Deserialize)]
struct BriefUnlock {
    lock: u64,
}
