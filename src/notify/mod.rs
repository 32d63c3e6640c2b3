//! Who is told when something happens that a person should know.
//!
//! A notifier must not block and must not fail the use case: what has to be durable is in the ledger.

use crate::domain::enrollment::Enrolled;
use crate::domain::id::ApprovalId;
use crate::domain::name::{AgentId, OperatorName};
use crate::domain::revocation::Selector;

/// What a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An agent asked for what operators have to approve.
    Asked {
        /// Who.
        agent: AgentId,
        /// The request.
        id: ApprovalId,
    },
    /// Somebody got a certificate for the network.
    Enrolled {
        /// By whom.
        operator: OperatorName,
        /// Who.
        who: Enrolled,
    },
    /// The ledger has stopped; nothing is issued until a verified restart.
    LedgerStopped {
        /// Why.
        problem: String,
    },
    /// Something was locked.
    Locked {
        /// Who.
        operator: OperatorName,
        /// What.
        selector: Selector,
    },
    /// A registry load was refused; the one in force stays.
    LoadFailed {
        /// Number of problems.
        problems: usize,
    },
    /// Certificates of somebody ended.
    Removed {
        /// By whom.
        operator: OperatorName,
        /// Whose.
        who: Enrolled,
    },
    /// Credentials were revoked.
    Revoked {
        /// Who.
        operator: OperatorName,
        /// What ended.
        selector: Selector,
    },
}

/// Tells somebody. An implementer promises not to block, not to panic, and never to send evidence, tokens
/// or keys.
pub trait Notifier: Send + Sync {
    /// Tells of `notice`.
    fn notify(&self, notice: &Notice);
}

/// Tells the daemon's own log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogNotifier;

impl Notifier for LogNotifier {
    fn notify(&self, notice: &Notice) {
        match notice {
            Notice::Asked { agent, id } => tracing::warn!(%agent, request = %id, "approval asked for"),
            Notice::Enrolled { operator, who } => tracing::warn!(%operator, %who, "enrolled"),
            Notice::LedgerStopped { problem } => {
                tracing::error!(%problem, "the ledger has stopped, nothing is issued");
            }
            Notice::LoadFailed { problems } => {
                tracing::error!(problems, "registry load refused, the one in force stays");
            }
            Notice::Locked { operator, selector } => {
                tracing::warn!(%operator, %selector, "locked");
            }
            Notice::Removed { operator, who } => tracing::warn!(%operator, %who, "certificates removed"),
            Notice::Revoked { operator, selector } => {
                tracing::warn!(%operator, %selector, "credentials revoked");
            }
        }
    }
}

/// The test double: keeps what it was told.
#[derive(Debug, Default)]
pub struct KeptNotices(std::sync::Mutex<Vec<Notice>>);

impl KeptNotices {
    /// What was told so far, oldest first.
    pub fn all(&self) -> Vec<Notice> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Notifier for KeptNotices {
    fn notify(&self, notice: &Notice) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(notice.clone());
    }
}
