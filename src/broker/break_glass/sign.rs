//! Sign: one person's signature on a prepared text. The one that completes the quorum opens or extends.
//!
//! Who sends it does not count: the signature names the person. The text is read, written again from the registry in
//! force and compared, so that an edited one, one of another broker, and one whose playbook has changed since are none.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::break_glass::text::{self, Parts, Said, What};
use crate::domain::break_glass::{
    Ask, Asks, Extended, GlassRefusal, Opened, Opening, Proposal, Proposed, Responder, Sign, Signature,
    Signed, Step,
};
use crate::domain::id::Lineage;
use crate::domain::ledger::Command;
use crate::domain::name::OperatorName;
use crate::domain::operator::Operator;
use crate::domain::playbook::Playbook;
use crate::domain::statement::{Namespace, Statement};
use crate::domain::time::Timestamp;
use crate::ssh;

use super::prepare::within;
use super::{GlassError, Restricted, SessionView};
use crate::broker::operate::Authorized;
use crate::broker::{Broker, Rules};

/// What a caller believes to sign for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A drill.
    Drill,
    /// An extension.
    Extend,
    /// An opening.
    Open,
}

impl Act {
    const fn of(asks: &Asks) -> Self {
        match asks {
            Asks::Extend(_) => Self::Extend,
            Asks::Open(opening) if opening.drill => Self::Drill,
            Asks::Open(_) => Self::Open,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Drill => "a drill",
            Self::Extend => "an extension",
            Self::Open => "an opening",
        }
    }
}

/// A text with a signature over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignGlass {
    /// The text that was prepared, byte for byte.
    pub text: String,
    /// What `ssh-keygen -Y sign` wrote.
    pub signature: String,
}

/// What a signature did.
#[derive(Clone, Debug)]
pub struct GlassProgress {
    /// What was recorded.
    pub step: Step,
    /// Who has signed so far, in their order.
    pub signatures: Vec<Signature>,
    /// How many people must.
    pub needed: usize,
    /// Those who can and have not.
    pub able: Vec<OperatorName>,
    /// How many of them the playbook alone would not ask for.
    pub more: usize,
    /// Other sessions of the playbook that nobody has reviewed: why there are more.
    pub unreviewed: Vec<SessionView>,
    /// The session, once it is open.
    pub session: Option<Lineage>,
    /// Its end.
    pub until: Option<Timestamp>,
    /// What was shut and ended at the opening.
    pub restricted: Option<Restricted>,
    /// When it was durable.
    pub time: Timestamp,
    /// Its entry.
    pub index: u64,
}

impl Broker {
    /// Takes a signature. When the quorum is there the session is open, or extended, and what it shuts is shut, as soon
    /// as this returns.
    ///
    /// # Errors
    /// [`GlassError`].
    pub async fn sign_break_glass(
        self: &Arc<Self>,
        by: &Authorized,
        act: Act,
        given: SignGlass,
    ) -> Result<GlassProgress, GlassError> {
        let (broker, by) = (Arc::clone(self), by.clone());
        // A caller that goes away, on a bad line or on purpose, does not leave a brake open and nothing shut.
        let taken = tokio::spawn(async move { broker.take_signature(&by, act, &given).await });
        taken.await.map_err(|_| GlassError::Interrupted)?
    }

    async fn take_signature(
        &self,
        by: &Authorized,
        act: Act,
        given: &SignGlass,
    ) -> Result<GlassProgress, GlassError> {
        let now = self.clock.now()?;
        let rules = self.rules();
        let (proposal, playbook) = self.read_proposal(&rules, by.operator(), &given.text)?;
        if Act::of(&proposal.asks) != act {
            return Err(GlassError::OtherAct(Act::of(&proposal.asks).words()));
        }
        // Before the signature costs anything.
        if now < proposal.from || now >= proposal.until {
            return Err(GlassRefusal::Expired.into());
        }
        let operators = rules.registry.operators().iter().map(AsRef::as_ref);
        let signed = ssh::verify(Namespace::BreakGlass, given.text.as_bytes(), &given.signature, operators)?;
        let signature = Signature {
            key: signed.fingerprint().to_string(),
            operator: signed.operator().clone(),
            signature: STANDARD.encode(signed.signature()).into(),
        };
        let responders = responders_of(&rules, playbook);
        let session = self.new_session(now)?;
        let sign = Sign { proposal: proposal.clone(), signature, responders: responders.clone(), session };
        let recorded = self.ledger.submit(Command::BreakGlass(Ask::Sign(Box::new(sign)))).await?;
        let Some(step) = recorded.step().cloned() else { return Err(GlassError::NotFound("step")) };
        let (time, index) = (recorded.time(), recorded.index());
        let (session, until) = opened(&step);
        let restricted = match session {
            Some(session) => self.restrict(session).await?,
            None => None,
        };
        let sessions = self.ledger.sessions();
        let signatures = signatures(&step, || {
            let pending = sessions.proposal(&proposal.statement)?;
            Some(Responder::counted(&responders, &pending.signatures))
        });
        let needed = match &step {
            // Its own session is one without a review now.
            Step::Open(_) | Step::Extend(_) => signatures.len(),
            Step::Close(_) | Step::Propose(_) | Step::Restrict(_) | Step::Review(_) | Step::Sign(_) => {
                sessions.needed(&proposal)
            }
        };
        let has = |name: &OperatorName| signatures.iter().any(|one| one.operator == *name);
        let able = responders.into_iter().map(|one| one.name).filter(|name| !has(name)).collect();
        let more = needed.saturating_sub(proposal.quorum.count());
        let unreviewed = self.unreviewed(by.operator(), &proposal.asks, session);
        Ok(GlassProgress {
            step,
            signatures,
            needed,
            able,
            more,
            unreviewed,
            session,
            until,
            restricted,
            time,
            index,
        })
    }

    /// The proposal that a text is, if this broker would write it now, and its playbook.
    fn read_proposal<'r>(
        &self,
        rules: &'r Rules,
        by: &Operator,
        text: &str,
    ) -> Result<(Proposal, &'r Playbook), GlassError> {
        let statement: Statement = text.parse()?;
        let Said { nonce, window, quorum, what } = text::read(&statement).ok_or(GlassError::Changed)?;
        let (asks, name, ticket) = match what {
            What::Open { drill, playbook, reason, seconds, ticket } => {
                let found = rules.registry.playbook(&playbook).filter(|found| found.scope.seen_by(by));
                let found = found.ok_or(GlassError::NotFound("playbook"))?;
                within(found, Some(seconds))?;
                let scope = found.scope.clone();
                let opening = Opening {
                    drill,
                    playbook: playbook.clone(),
                    reason,
                    scope,
                    seconds,
                    ticket: ticket.clone(),
                };
                (Asks::Open(opening), playbook, ticket)
            }
            What::Extend(extension) => {
                let opening = self.session_of(by, extension.session)?.opening.clone();
                (Asks::Extend(extension), opening.playbook, opening.ticket)
            }
        };
        let playbook = rules.registry.playbook(&name).ok_or(GlassError::NotFound("playbook"))?;
        let playbook_quorum = playbook.quorum;
        if let Asks::Extend(extension) = &asks {
            let lasts = extension.until.millis_since(window.from);
            if lasts > i64::from(playbook.seconds_max) * 1000 {
                return Err(GlassError::TooLong(playbook.seconds_max));
            }
        }
        let ours = self.write_again(nonce, |nonce| {
            let (asks, playbook, ticket) = (&asks, &name, &ticket);
            let parts = Parts { asks, playbook, ticket, quorum: playbook_quorum, nonce, window };
            self.with_address(rules, |to| text::statement(to, &parts))
        })?;
        // By their digests, so that the time tells nobody how much of a nonce they guessed.
        if ours.digest() != statement.digest() || quorum != playbook_quorum {
            return Err(GlassError::Changed);
        }
        let (from, until) = (window.from, window.until);
        let text = statement.as_str().into();
        Ok((
            Proposal { asks, from, nonce, quorum, statement: statement.digest(), text, until },
            playbook.as_ref(),
        ))
    }

    fn new_session(&self, now: Timestamp) -> Result<Lineage, GlassError> {
        let mut random = [0; 10];
        self.entropy.fill(&mut random)?;
        Ok(Lineage::new(now, &random))
    }
}

/// All whose signatures count for a playbook, with the keys that they have now.
pub(super) fn responders_of(rules: &Rules, playbook: &Playbook) -> Vec<Responder> {
    let responder = |operator: &Arc<Operator>| Responder {
        keys: operator.ssh_keys.iter().filter_map(|key| Some(key.fingerprint().ok()?.to_string())).collect(),
        name: operator.name.clone(),
    };
    rules.registry.responders(playbook).map(responder).collect()
}

/// The session that a step opened or extended, and its end.
const fn opened(step: &Step) -> (Option<Lineage>, Option<Timestamp>) {
    match step {
        Step::Extend(Extended { session, until, .. }) | Step::Open(Opened { session, until, .. }) => {
            (Some(*session), Some(*until))
        }
        Step::Close(_) | Step::Propose(_) | Step::Restrict(_) | Step::Review(_) | Step::Sign(_) => {
            (None, None)
        }
    }
}

fn signatures(step: &Step, pending: impl FnOnce() -> Option<Vec<Signature>>) -> Vec<Signature> {
    match step {
        Step::Extend(Extended { signatures, .. }) | Step::Open(Opened { signatures, .. }) => {
            signatures.clone()
        }
        Step::Propose(Proposed { signature, .. }) => vec![signature.clone()],
        Step::Sign(Signed { signature, .. }) => pending().unwrap_or_else(|| vec![signature.clone()]),
        Step::Close(_) | Step::Restrict(_) | Step::Review(_) => Vec::new(),
    }
}
