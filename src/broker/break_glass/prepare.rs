//! Prepare: the text that responders sign. It changes nothing and promises nothing.

use crate::domain::break_glass::text::{self, Parts};
use crate::domain::break_glass::{Asks, Extension, GlassRefusal, Opening, Phase, Proposal};
use crate::domain::id::Lineage;
use crate::domain::limits::PROPOSAL_SECONDS_MAX;
use crate::domain::name::{OperatorName, PlaybookName, Reason, Ticket};
use crate::domain::playbook::Playbook;
use crate::domain::statement::{Statement, Window};
use crate::domain::time::Timestamp;

use super::{GlassError, SessionView};
use crate::broker::Broker;
use crate::broker::operate::Authorized;

/// What is to be prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// A later end for an open session.
    Extend {
        /// Why.
        reason: Reason,
        /// How long it is to last from now, in seconds; the playbook's time when absent.
        seconds: Option<u32>,
        /// The session.
        session: Lineage,
    },
    /// A session.
    Open {
        /// Whether nothing that is minted under it is to be worth anything.
        drill: bool,
        /// The playbook.
        playbook: PlaybookName,
        /// Why.
        reason: Reason,
        /// How long it is to last, in seconds; the playbook's time when absent.
        seconds: Option<u32>,
        /// The incident.
        ticket: Ticket,
    },
}

/// What is to be signed.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The text.
    pub statement: Statement,
    /// What it is.
    pub proposal: Proposal,
    /// How many people must sign.
    pub needed: usize,
    /// Who can.
    pub able: Vec<OperatorName>,
    /// Sessions of the playbook that nobody has reviewed: why one more must sign.
    pub unreviewed: Vec<SessionView>,
    /// The time of the log's newest entry, when the clock that the text is written by is in doubt.
    pub doubted: Option<Timestamp>,
}

impl Broker {
    /// Writes the text of an opening or extension, good for [`PROPOSAL_SECONDS_MAX`] from now.
    ///
    /// # Errors
    /// [`GlassError`].
    pub fn prepare_break_glass(&self, by: &Authorized, asked: Prepare) -> Result<Prepared, GlassError> {
        let now = self.clock.now()?;
        let rules = self.rules();
        let from = Timestamp::from_seconds(now.seconds());
        let seen = |playbook: &&std::sync::Arc<Playbook>| playbook.scope.seen_by(by.operator());
        let (asks, playbook, ticket) = match asked {
            Prepare::Open { drill, playbook, reason, seconds, ticket } => {
                let found = rules.registry.playbook(&playbook).filter(seen);
                let found = found.ok_or(GlassError::NotFound("playbook"))?;
                let (seconds, scope) = (within(found, seconds)?, found.scope.clone());
                let shown = ticket.clone();
                let opening = Opening { drill, playbook, reason, scope, seconds, ticket };
                (Asks::Open(opening), found, shown)
            }
            Prepare::Extend { reason, seconds, session } => {
                let held = self.session_of(by.operator(), session)?;
                if held.phase(self.log_time()) != Phase::Open {
                    return Err(GlassRefusal::NotOpen.into());
                }
                let found = rules.registry.playbook(&held.opening.playbook);
                let found = found.ok_or(GlassError::NotFound("playbook"))?;
                let until = from.plus_millis(i64::from(within(found, seconds)?) * 1000);
                let extension = Extension { reason, session, until };
                (Asks::Extend(extension), found, held.opening.ticket.clone())
            }
        };
        let quorum = playbook.quorum;
        let until = from.plus_millis(PROPOSAL_SECONDS_MAX.saturating_mul(1000));
        let window = Window { from, until };
        let (nonce, statement) = self.write_marked(|nonce| {
            let (asks, playbook, ticket) = (&asks, &playbook.name, &ticket);
            let parts = Parts { asks, playbook, ticket, quorum, nonce, window };
            self.with_address(&rules, |to| text::statement(to, &parts))
        })?;
        let text = statement.as_str().into();
        let proposal = Proposal { asks, from, nonce, quorum, statement: statement.digest(), text, until };
        let needed = self.ledger.sessions().needed(&proposal);
        let able = rules.registry.responders(playbook).map(|operator| operator.name.clone()).collect();
        let unreviewed = self.unreviewed(by.operator(), &proposal.asks, None);
        Ok(Prepared { statement, proposal, needed, able, unreviewed, doubted: self.doubted() })
    }
}

/// A time that the playbook allows.
pub(super) fn within(playbook: &Playbook, seconds: Option<u32>) -> Result<u32, GlassError> {
    let seconds = seconds.unwrap_or(playbook.seconds_max);
    if (1..=playbook.seconds_max).contains(&seconds) {
        return Ok(seconds);
    }
    Err(GlassError::TooLong(playbook.seconds_max))
}
