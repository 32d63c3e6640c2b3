//! Who is told when something happens that a person should know.
//!
//! A notifier must not block and must not fail the use case: what has to be durable is in the ledger.

use crate::domain::break_glass::{Asks, Signature, Step};
use crate::domain::enrollment::Enrolled;
use crate::domain::name::OperatorName;
use crate::domain::revocation::Selector;

/// What a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Glass was broken, or a step towards it or back was taken. It is recorded already.
    BreakGlass(Box<Step>),
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
            Notice::BreakGlass(step) => break_glass(step),
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

/// An emergency is said at the level at which a person must act.
fn break_glass(step: &Step) {
    let people = |signatures: &[Signature]| {
        signatures.iter().map(|one| one.operator.as_str()).collect::<Vec<_>>().join(", ")
    };
    match step {
        Step::Close(closing) => {
            tracing::warn!(session = %closing.session, operator = %closing.operator, "break-glass closed");
        }
        Step::Extend(extended) => {
            let (session, until) = (extended.session, extended.until.millis());
            tracing::error!(%session, until, signers = people(&extended.signatures), "break-glass extended");
        }
        Step::Open(opened) => {
            let (session, until) = (opened.session, opened.until.millis());
            if let Asks::Open(opening) = &opened.proposal.asks {
                let (playbook, ticket, drill) = (&opening.playbook, &opening.ticket, opening.drill);
                let signers = people(&opened.signatures);
                tracing::error!(%session, %playbook, %ticket, drill, until, signers, "break-glass opened");
            }
        }
        Step::Propose(proposed) => {
            let (operator, statement) = (&proposed.signature.operator, proposed.proposal.statement);
            tracing::warn!(%operator, %statement, "break-glass proposed");
        }
        Step::Review(review) => {
            tracing::info!(session = %review.session, operator = %review.operator, "break-glass reviewed");
        }
        Step::Sign(signed) => {
            let (operator, statement) = (&signed.signature.operator, signed.statement);
            tracing::warn!(%operator, %statement, "break-glass signed");
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
