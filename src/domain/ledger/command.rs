//! What is asked of the ledger, and why it may refuse. Values only; the rules are beside it.

use std::sync::Arc;

use crate::domain::approval::{ApprovalRefusal, Asked, Vote};
use crate::domain::break_glass::{Ask, Asks, GlassRefusal};
use crate::domain::catalogue::Tier;
use crate::domain::consumption::Debit;
use crate::domain::credential::Issuance;
use crate::domain::denial::Denial;
use crate::domain::digest::Digest;
use crate::domain::emergency::Emergency;
use crate::domain::enrollment::{EnrollRefusal, Enrollment, Unenroll};
use crate::domain::entry::{Call, Load, Release, Rotation, Start};
use crate::domain::id::Lineage;
use crate::domain::limits::IDEMPOTENCY_KEYS_PER_AGENT_MAX;
use crate::domain::name::{AgentId, OperatorName};
use crate::domain::revocation::{InForce, Lock, LockShare, Revocation, Selector, Unlock};
use crate::domain::time::Timestamp;

/// What is asked of the ledger.
#[derive(Clone, Debug)]
pub enum Command {
    /// Record a request for approval.
    Ask(Box<Asked>),
    /// Take a step of break-glass.
    BreakGlass(Ask),
    /// Record an operator's call.
    Call(Call),
    /// Debit one call of a counted credential.
    Consume {
        /// The credential's record.
        issuance: Box<Issuance>,
        /// SHA-256 of the verifier's idempotency key.
        key: Digest,
    },
    /// Record an operator's decision on a request.
    Decide(Box<Vote>),
    /// Record a denial.
    Deny(Denial),
    /// Record a start without all of the broker's parts.
    Emergency(Emergency),
    /// Record a certificate of an operator or verifier.
    Enroll(Enrollment),
    /// Record an issuance.
    Issue(Box<Issuance>),
    /// Record a load of the registry.
    Load(Load),
    /// Refuse what may come.
    Lock(Lock),
    /// End a credential for its holder.
    Release(Release),
    /// End certificates of an operator or verifier.
    Remove(Unenroll),
    /// End credentials for an operator.
    Revoke {
        /// What ends, for whom, and why; `live` is filled in here.
        revocation: Revocation,
        /// For a single credential: its holder and expiry, from its record.
        target: Option<Target>,
    },
    /// Record a rotation of the token key.
    Rotate(Rotation),
    /// Record a start.
    Start(Start),
    /// End a lock before its time.
    Unlock(Unlock),
}

/// Which share of an emergency journal a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InEmergency {
    /// It ends, locks or closes something, or opens what was locked: it has the last share, too.
    Ends,
    /// It is recorded while there is room beside the reserve.
    Kept,
    /// It waits until the emergency is over.
    Refused,
    /// It is what an emergency is about, and has the reserve, but not the last of it.
    Vital,
}

/// Who waits for the ledger with a command. What stops something finds a place when nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// What agents and verifiers can cause, as often as they like.
    Anybody,
    /// What operators' calls leave in the log.
    Operator,
    /// What stops something, or opens and closes break-glass.
    Vital,
}

impl Command {
    /// Whether it takes authority away: it is made durable at once, and waits for no company.
    pub const fn is_urgent(&self) -> bool {
        match self {
            Self::Lock(_) | Self::Remove(_) | Self::Revoke { .. } => true,
            Self::Ask(_)
            | Self::BreakGlass(_)
            | Self::Call(_)
            | Self::Consume { .. }
            | Self::Decide(_)
            | Self::Deny(_)
            | Self::Emergency(_)
            | Self::Enroll(_)
            | Self::Issue(_)
            | Self::Load(_)
            | Self::Release(_)
            | Self::Rotate(_)
            | Self::Start(_)
            | Self::Unlock(_) => false,
        }
    }

    /// Who waits with it.
    pub const fn waits(&self) -> Waits {
        match self {
            Self::Ask(_) | Self::Consume { .. } | Self::Deny(_) | Self::Issue(_) | Self::Release(_) => {
                Waits::Anybody
            }
            // That of an agent's identity, which it asks for itself.
            Self::Enroll(enrollment) if enrollment.operator.is_none() => Waits::Anybody,
            Self::Call(_)
            | Self::Decide(_)
            | Self::Emergency(_)
            | Self::Enroll(_)
            | Self::Load(_)
            | Self::Rotate(_)
            | Self::Start(_) => Waits::Operator,
            Self::BreakGlass(_) | Self::Lock(_) | Self::Remove(_) | Self::Revoke { .. } | Self::Unlock(_) => {
                Waits::Vital
            }
        }
    }

    /// What becomes of it while the store takes no writes. What anybody can cause has no share of the reserve, and who
    /// works under a session, or opens one, none of what can stop them.
    pub fn in_emergency(&self) -> InEmergency {
        match self {
            Self::BreakGlass(Ask::Close(_) | Ask::Restrict(_) | Ask::Review(_))
            | Self::Lock(_)
            | Self::Remove(_)
            | Self::Revoke { .. }
            | Self::Unlock(_) => InEmergency::Ends,
            Self::BreakGlass(Ask::Sign(sign)) if is_drill(&sign.proposal.asks) => InEmergency::Kept,
            Self::BreakGlass(Ask::Sign(_)) => InEmergency::Vital,
            Self::Consume { issuance, .. } | Self::Issue(issuance) if issuance.tier == Tier::BreakGlass => {
                if issuance.drill {
                    InEmergency::Kept
                } else {
                    InEmergency::Vital
                }
            }
            Self::Ask(_)
            | Self::Consume { .. }
            | Self::Decide(_)
            | Self::Enroll(_)
            | Self::Issue(_)
            | Self::Rotate(_) => InEmergency::Refused,
            Self::Call(_)
            | Self::Deny(_)
            | Self::Emergency(_)
            | Self::Load(_)
            | Self::Release(_)
            | Self::Start(_) => InEmergency::Kept,
        }
    }

    /// Whose share of the last part of an emergency journal it uses: who ends, locks or closes something.
    pub const fn ended_by(&self) -> Option<&OperatorName> {
        match self {
            Self::BreakGlass(Ask::Close(closing)) => Some(&closing.operator),
            Self::BreakGlass(Ask::Review(review)) => Some(&review.operator),
            Self::Lock(lock) => Some(&lock.operator),
            Self::Remove(removal) => Some(&removal.operator),
            Self::Revoke { revocation, .. } => Some(&revocation.operator),
            Self::Unlock(unlock) => Some(&unlock.operator),
            Self::Ask(_)
            | Self::BreakGlass(Ask::Restrict(_) | Ask::Sign(_))
            | Self::Call(_)
            | Self::Consume { .. }
            | Self::Decide(_)
            | Self::Deny(_)
            | Self::Emergency(_)
            | Self::Enroll(_)
            | Self::Issue(_)
            | Self::Load(_)
            | Self::Release(_)
            | Self::Rotate(_)
            | Self::Start(_) => None,
        }
    }

    /// Whether it stops everything at once, or a whole session.
    pub const fn stops_all(&self) -> bool {
        match self {
            Self::BreakGlass(Ask::Close(_)) => true,
            Self::Lock(lock) => matches!(lock.selector, Selector::All),
            Self::Revoke { revocation, .. } => matches!(revocation.selector, Selector::All),
            Self::Ask(_)
            | Self::BreakGlass(Ask::Restrict(_) | Ask::Review(_) | Ask::Sign(_))
            | Self::Call(_)
            | Self::Consume { .. }
            | Self::Decide(_)
            | Self::Deny(_)
            | Self::Emergency(_)
            | Self::Enroll(_)
            | Self::Issue(_)
            | Self::Load(_)
            | Self::Release(_)
            | Self::Remove(_)
            | Self::Rotate(_)
            | Self::Start(_)
            | Self::Unlock(_) => false,
        }
    }

    /// The break-glass session whose share of an emergency journal it uses.
    pub fn session(&self) -> Option<Lineage> {
        match self {
            Self::Consume { issuance, .. } | Self::Issue(issuance) => issuance.session(),
            Self::Ask(_)
            | Self::BreakGlass(_)
            | Self::Call(_)
            | Self::Decide(_)
            | Self::Deny(_)
            | Self::Emergency(_)
            | Self::Enroll(_)
            | Self::Load(_)
            | Self::Lock(_)
            | Self::Release(_)
            | Self::Remove(_)
            | Self::Revoke { .. }
            | Self::Rotate(_)
            | Self::Start(_)
            | Self::Unlock(_) => None,
        }
    }
}

const fn is_drill(asks: &Asks) -> bool {
    match asks {
        Asks::Extend(_) => false,
        Asks::Open(opening) => opening.drill,
    }
}

/// What a single revocation or release has to know of its credential's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The holder.
    pub agent: AgentId,
    /// When it was minted.
    pub issued: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
}

impl From<&Issuance> for Target {
    fn from(given: &Issuance) -> Self {
        Self { agent: given.agent.clone(), issued: given.issued, expires: given.expires }
    }
}

/// Why a command changes nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The credential has ended already.
    #[error("the credential has ended already")]
    AlreadyEnded,
    /// The request for approval, the decision on it or its use is refused.
    #[error(transparent)]
    Approval(#[from] ApprovalRefusal),
    /// The step of break-glass can't be taken.
    #[error(transparent)]
    BreakGlass(#[from] GlassRefusal),
    /// All calls of the credential have been debited.
    #[error("all calls of the credential have been used")]
    CallsExhausted,
    /// The clock is behind the newest entry: it was set back, and nothing is minted on it (promise P11).
    #[error("the clock is {0} ms behind the log")]
    ClockBehind(i64),
    /// The call was debited before, under the same key.
    #[error("the call was debited before")]
    Debited(Debit),
    /// The certificate can't be added or removed.
    #[error(transparent)]
    Enroll(#[from] EnrollRefusal),
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The agent has too many idempotency keys in use.
    #[error("more than {IDEMPOTENCY_KEYS_PER_AGENT_MAX} idempotency keys are in use")]
    KeysExhausted,
    /// Its lineage began too long ago, or has not begun.
    #[error("the lineage is over")]
    LineageOver,
    /// A lock refuses it.
    #[error("a lock refuses it")]
    Locked(Arc<InForce>),
    /// There is no such lock in force.
    #[error("there is no lock `{0}` in force")]
    LockUnknown(u64),
    /// There is no room for one more lock.
    #[error(transparent)]
    LocksExhausted(LockShare),
    /// The calls of the credential are not counted.
    #[error("the calls of this credential are not counted")]
    NotCounted,
    /// A revocation was recorded after the credential was minted.
    #[error("a revocation overtook the request")]
    Overtaken,
    /// The same request was recorded before: here is its record.
    #[error("the request was recorded before")]
    Repeated(Box<Issuance>, u64),
    /// The break-glass session ended, or does not cover it.
    #[error("the break-glass session has ended")]
    SessionOver,
    /// The command waited too long; its id's time is too far from the commit's.
    #[error("the command waited too long")]
    Stale,
}
