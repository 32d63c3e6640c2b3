//! Close and review: the end of a session, and somebody else's look at it.

use crate::domain::break_glass::{Ask, Closing, GlassRefusal, Held, Phase, Review};
use crate::domain::id::Lineage;
use crate::domain::ledger::Command;
use crate::domain::name::Reason;
use crate::domain::operator::{Operator, Role};
use crate::domain::revocation::{Revocation, Selector};
use crate::domain::time::Timestamp;

use super::GlassError;
use crate::broker::Broker;
use crate::broker::operate::Authorized;

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// When it was durable.
    pub time: Timestamp,
    /// Its entry.
    pub index: u64,
}

impl Broker {
    /// Ends a session, and every credential that was minted under it. When this returns `Ok`, both are durable and in
    /// force here.
    ///
    /// The credentials first: a crash between the two leaves a session that is open and gives nothing.
    ///
    /// # Errors
    /// [`GlassError`]; never a silent success.
    pub async fn close_session(
        &self,
        by: &Authorized,
        session: Lineage,
        reason: Reason,
    ) -> Result<Finished, GlassError> {
        let held = self.session_of(by.operator(), session)?;
        if !self.may_close(by.operator(), &held) {
            return Err(GlassRefusal::NotResponder(by.operator().name.clone()).into());
        }
        if held.phase(self.log_time()) != Phase::Open {
            return Err(GlassRefusal::NotOpen.into());
        }
        let operator = by.operator().name.clone();
        let ends = Revocation {
            for_good: false,
            issued_before: None,
            live: None,
            lock: None,
            operator: operator.clone(),
            reason: reason.clone(),
            selector: Selector::Lineage(session),
            // Of all tenants: nobody else's credential has this lineage.
            tenants: Vec::new(),
        };
        self.ledger.submit(Command::Revoke { revocation: ends, target: None }).await?;
        let closing = Closing { drill: false, operator, playbook: None, reason, session };
        self.step(Ask::Close(closing)).await
    }

    /// Whoever may sign for the playbook, and revokers: closing is a revocation. When the playbook is no more, every
    /// responder who sees the session.
    fn may_close(&self, operator: &Operator, held: &Held) -> bool {
        let rules = self.rules();
        let signs = match rules.registry.playbook(&held.opening.playbook) {
            Some(playbook) => playbook.may_sign(operator),
            None => operator.may(Role::Responder),
        };
        signs || operator.may(Role::Revoker)
    }

    /// Notes that somebody who did not sign has looked at what was done: a responder of any playbook, or an admin, so that
    /// the few who may sign for this one can't keep it from being reviewed.
    ///
    /// # Errors
    /// [`GlassError`].
    pub async fn review_session(
        &self,
        by: &Authorized,
        session: Lineage,
        finding: Reason,
    ) -> Result<Finished, GlassError> {
        self.session_of(by.operator(), session)?;
        let operator = by.operator().name.clone();
        let review = Review { drill: false, finding, operator, playbook: None, session };
        self.step(Ask::Review(review)).await
    }

    async fn step(&self, ask: Ask) -> Result<Finished, GlassError> {
        let recorded = self.ledger.submit(Command::BreakGlass(ask)).await?;
        Ok(Finished { time: recorded.time(), index: recorded.index() })
    }

    /// The session, if this operator sees it; one of another tenant is not there.
    pub(super) fn session_of(
        &self,
        operator: &Operator,
        session: Lineage,
    ) -> Result<std::sync::Arc<Held>, GlassError> {
        let sessions = self.ledger.sessions();
        let seen = sessions.get(session).filter(|held| held.opening.scope.seen_by(operator));
        seen.map(std::sync::Arc::clone).ok_or(GlassError::NotFound("session"))
    }
}
