//! The rules: which step may follow which. Pure; time is an argument, and never goes back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::held::{Closed, Held, Pending, Phase};
use super::{
    Ask, Asks, Closing, Extended, Extension, GlassRefusal, Opened, Opening, Proposal, Proposed, Responder,
    Restricted, Review, Sign, Signature, Signed, Step,
};
use crate::domain::credential::Issuance;
use crate::domain::digest::Digest;
use crate::domain::id::Lineage;
use crate::domain::limits::{
    BREAK_GLASS_SECONDS_MAX, BREAK_GLASS_SESSIONS_MAX, PROPOSAL_SECONDS_MAX, PROPOSALS_PER_SIGNER_MAX,
};
use crate::domain::name::{OperatorName, PlaybookName};
use crate::domain::playbook::{Restriction, Scope};
use crate::domain::revocation::Lock;
use crate::domain::time::Timestamp;

/// Sessions and proposals, as an immutable snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    pending: HashMap<Digest, Arc<Pending>>,
    held: BTreeMap<Lineage, Arc<Held>>,
    last_drill: Option<Timestamp>,
}

impl Sessions {
    /// The session of this id, while it is open or its review is owed.
    pub fn get(&self, session: Lineage) -> Option<&Arc<Held>> {
        self.held.get(&session)
    }

    /// Those that are open or whose review is owed, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.held.values()
    }

    /// The proposals that others can sign at `now`, in no order.
    pub fn pending(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Pending>> {
        self.pending.values().filter(move |pending| !pending.done && now < pending.proposal.until)
    }

    /// The proposal whose text has this digest.
    pub fn proposal(&self, statement: &Digest) -> Option<&Arc<Pending>> {
        self.pending.get(statement)
    }

    /// When the last drill was done whole, its review with it.
    pub const fn last_drill(&self) -> Option<Timestamp> {
        self.last_drill
    }

    /// Whether a credential of this record may be issued at `now`: its session is open, covers it and outlives it.
    pub fn admit(&self, issuance: &Issuance, now: Timestamp) -> bool {
        let Some(held) = self.held.get(&issuance.lineage) else { return false };
        let open = held.phase(now) == Phase::Open && issuance.expires <= held.until;
        let covers = |expansion: &crate::domain::playbook::Expansion| {
            expansion.covers(&issuance.agent, &issuance.action, &issuance.resource)
        };
        open && issuance.drill == held.opening.drill && held.opening.scope.expansion().is_some_and(covers)
    }

    /// Whether `lock` is what an open session of a playbook that restricts shuts, as [`Held::message`] says it.
    pub fn brakes(&self, lock: &Lock, now: Timestamp) -> bool {
        let shuts = |held: &Held| match &held.opening.scope {
            Scope::Expand(_) => false,
            Scope::Restrict(restriction) => restriction.lock.contains(&lock.selector),
        };
        self.held.values().any(|held| {
            !held.opening.drill
                && held.phase(now) == Phase::Open
                && lock.terms.expires == held.until
                && lock.tenants.is_empty()
                && shuts(held)
                && held.message().as_ref() == Some(&lock.terms.message)
        })
    }

    /// How many signers `proposal` needs. An opening: one more than its quorum when a session of the same playbook was not
    /// reviewed; a drill stands in nobody's way. An extension: at least as many as the opening had, or it would be a way
    /// around the one more.
    pub fn needed(&self, proposal: &Proposal) -> usize {
        let quorum = proposal.quorum.count();
        match &proposal.asks {
            Asks::Extend(extension) => {
                let opened = self.held.get(&extension.session).map_or(0, |held| held.openers);
                quorum.max(opened)
            }
            Asks::Open(opening) => {
                let owed = !opening.drill && self.unreviewed(&opening.playbook).next().is_some();
                quorum.saturating_add(usize::from(owed))
            }
        }
    }

    /// The sessions of a playbook that nobody has reviewed, drills apart, oldest first. One that is still open is not reviewed
    /// either, and a second one beside it needs the same care.
    pub fn unreviewed(&self, playbook: &PlaybookName) -> impl Iterator<Item = &Arc<Held>> {
        self.held.values().filter(move |held| held.opening.playbook == *playbook && !held.opening.drill)
    }

    /// Decides one step at `now`, which is never before the last step's.
    ///
    /// # Errors
    /// [`GlassRefusal`], when nothing changes.
    pub fn decide(&self, ask: Ask, now: Timestamp) -> Result<Step, GlassRefusal> {
        match ask {
            Ask::Close(closing) => {
                let opening = &self.open(closing.session, now)?.opening;
                let (drill, playbook) = (opening.drill, Some(opening.playbook.clone()));
                Ok(Step::Close(Closing { drill, playbook, ..closing }))
            }
            Ask::Restrict(restricted) => self.decide_restricted(restricted),
            Ask::Review(review) => self.decide_review(review, now),
            Ask::Sign(sign) => self.decide_sign(*sign, now),
        }
    }

    fn open(&self, session: Lineage, now: Timestamp) -> Result<&Arc<Held>, GlassRefusal> {
        let held = self.held.get(&session).ok_or(GlassRefusal::Unknown)?;
        match held.phase(now) {
            Phase::Open => Ok(held),
            Phase::Over | Phase::Overdue => Err(GlassRefusal::NotOpen),
        }
    }

    /// What was done before an extension was done for another end, and says nothing of the new one.
    fn decide_restricted(&self, restricted: Restricted) -> Result<Step, GlassRefusal> {
        let held = self.held.get(&restricted.session).ok_or(GlassRefusal::Unknown)?;
        if held.until == restricted.until { Ok(Step::Restrict(restricted)) } else { Err(GlassRefusal::Spent) }
    }

    fn decide_review(&self, review: Review, now: Timestamp) -> Result<Step, GlassRefusal> {
        let held = self.held.get(&review.session).ok_or(GlassRefusal::Unknown)?;
        match held.phase(now) {
            Phase::Open => return Err(GlassRefusal::StillOpen),
            Phase::Over | Phase::Overdue => {}
        }
        if held.signed_by(&review.operator) {
            return Err(GlassRefusal::OwnReview(review.operator));
        }
        let (drill, playbook) = (held.opening.drill, Some(held.opening.playbook.clone()));
        Ok(Step::Review(Review { drill, playbook, ..review }))
    }

    fn decide_sign(&self, sign: Sign, now: Timestamp) -> Result<Step, GlassRefusal> {
        let Sign { proposal, signature, responders, session } = sign;
        let lasts = proposal.until.millis_since(proposal.from);
        if lasts != PROPOSAL_SECONDS_MAX.saturating_mul(1000) || now < proposal.from || now >= proposal.until
        {
            return Err(GlassRefusal::Expired);
        }
        if Responder::counted(&responders, std::slice::from_ref(&signature)).is_empty() {
            return Err(GlassRefusal::NotResponder(signature.operator));
        }
        // The digest is of the whole text, so the same digest is the same proposal.
        let known = self.pending.get(&proposal.statement);
        // Before what it asks for is looked at: whoever lost the answer learns that it was done.
        if known.is_some_and(|pending| pending.done) {
            return Err(GlassRefusal::Spent);
        }
        self.may_ask(&proposal, now)?;
        let mut signatures = match known {
            // A key that was taken from the registry, because somebody else has it, signs for nobody any more, and its person
            // can sign with the new one.
            Some(pending) => Responder::counted(&responders, &pending.signatures),
            None => {
                self.may_propose(&signature.operator, now)?;
                Vec::new()
            }
        };
        if signatures.iter().any(|one| one.operator == signature.operator) {
            return Err(GlassRefusal::AlreadySigned(signature.operator));
        }
        signatures.push(signature.clone());
        if people(&signatures) >= self.needed(&proposal) {
            return self.complete(proposal, signatures, session, now);
        }
        Ok(match known {
            None => Step::Propose(Proposed { proposal, signature }),
            Some(_) => Step::Sign(Signed { signature, statement: proposal.statement, until: proposal.until }),
        })
    }

    /// Whether what is asked can be done at all.
    fn may_ask(&self, proposal: &Proposal, now: Timestamp) -> Result<(), GlassRefusal> {
        match &proposal.asks {
            Asks::Extend(Extension { session, until, .. }) => {
                let held = self.open(*session, now)?;
                let longest = now.plus_millis(i64::from(BREAK_GLASS_SECONDS_MAX) * 1000);
                if proposal.quorum < held.quorum {
                    return Err(GlassRefusal::WeakerQuorum);
                }
                if *until <= held.until || *until > longest {
                    return Err(GlassRefusal::BadEnd);
                }
            }
            Asks::Open(opening) => {
                if !(1..=BREAK_GLASS_SECONDS_MAX).contains(&opening.seconds) {
                    return Err(GlassRefusal::BadEnd);
                }
                // Of this playbook alone, and drills apart: whoever signs for one must not stand in the way of another.
                let alike = |held: &&Arc<Held>| {
                    held.opening.playbook == opening.playbook && held.opening.drill == opening.drill
                };
                if self.held.values().filter(alike).count() >= BREAK_GLASS_SESSIONS_MAX {
                    return Err(GlassRefusal::SessionsExhausted);
                }
            }
        }
        Ok(())
    }

    /// Proposals are counted for each who signed first: nobody takes another's place.
    fn may_propose(&self, operator: &OperatorName, now: Timestamp) -> Result<(), GlassRefusal> {
        let own = self.pending.values().filter(|pending| {
            let (first, _) = &pending.proposed;
            now < pending.counts_until() && first == operator
        });
        if own.count() < PROPOSALS_PER_SIGNER_MAX {
            return Ok(());
        }
        Err(GlassRefusal::TooManyProposals(operator.clone()))
    }

    fn complete(
        &self,
        proposal: Proposal,
        signatures: Vec<Signature>,
        session: Lineage,
        now: Timestamp,
    ) -> Result<Step, GlassRefusal> {
        match &proposal.asks {
            Asks::Extend(Extension { session, until, .. }) => {
                let (session, until) = (*session, *until);
                let opening = &self.open(session, now)?.opening;
                let (drill, playbook) = (opening.drill, Some(opening.playbook.clone()));
                Ok(Step::Extend(Extended { drill, playbook, proposal, session, signatures, until }))
            }
            Asks::Open(opening) => {
                if self.held.contains_key(&session) {
                    return Err(GlassRefusal::Spent);
                }
                let until = now.plus_millis(i64::from(opening.seconds) * 1000);
                Ok(Step::Open(Opened { proposal, session, signatures, until }))
            }
        }
    }

    /// Applies a step that is durable as the entry `index` of `time`.
    pub fn apply(&mut self, step: &Step, time: Timestamp, index: u64) {
        match step {
            Step::Close(closing) => self.change(closing.session, |held| {
                held.closed = Some(Closed { closing: closing.clone(), time });
            }),
            Step::Extend(extended) => {
                self.keep(&extended.proposal, &extended.signatures, true, time);
                self.change(extended.session, |held| {
                    held.until = extended.until;
                    // What was ended stays ended; the locks end with the session, and are made for longer.
                    held.left.lock = restriction(&held.opening).lock;
                    held.signatures.extend(extended.signatures.iter().cloned());
                });
            }
            Step::Open(opened) => self.apply_open(opened, time, index),
            Step::Propose(proposed) => {
                self.keep(&proposed.proposal, std::slice::from_ref(&proposed.signature), false, time);
            }
            Step::Restrict(restricted) => self.change(restricted.session, |held| {
                held.left = restricted.left.clone();
            }),
            Step::Review(review) => {
                self.held.remove(&review.session);
                if review.drill {
                    self.last_drill = self.last_drill.max(Some(time));
                }
            }
            Step::Sign(signed) => {
                if let Some(pending) = self.pending.get_mut(&signed.statement) {
                    Arc::make_mut(pending).signatures.push(signed.signature.clone());
                }
            }
        }
    }

    fn apply_open(&mut self, opened: &Opened, time: Timestamp, index: u64) {
        self.keep(&opened.proposal, &opened.signatures, true, time);
        if let Asks::Open(opening) = &opened.proposal.asks {
            let held = Held {
                session: opened.session,
                opening: opening.clone(),
                quorum: opened.proposal.quorum,
                signatures: opened.signatures.clone(),
                openers: people(&opened.signatures),
                opened: time,
                until: opened.until,
                closed: None,
                left: restriction(opening),
                index,
            };
            self.held.insert(opened.session, Arc::new(held));
        }
    }

    fn keep(&mut self, proposal: &Proposal, signatures: &[Signature], done: bool, time: Timestamp) {
        let known = self.pending.get(&proposal.statement).map(|pending| pending.proposed.clone());
        let first = signatures.first().map(|first| (first.operator.clone(), time));
        // A step without a signature is none.
        let Some(proposed) = known.or(first) else { return };
        let signatures = signatures.to_vec();
        let pending = Pending { proposal: proposal.clone(), signatures, proposed, done };
        self.pending.insert(proposal.statement, Arc::new(pending));
    }

    fn change(&mut self, session: Lineage, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.get_mut(&session) {
            change(Arc::make_mut(held));
        }
    }

    /// Whether [`Self::forget`] has something to do.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.pending.values().any(|pending| pending.counts_until() <= now)
    }

    /// Drops proposals that nobody can sign any more and that count for nobody. It changes no answer.
    pub fn forget(&mut self, now: Timestamp) {
        self.pending.retain(|_, pending| now < pending.counts_until());
    }
}

/// How many different people signed.
fn people(signatures: &[Signature]) -> usize {
    signatures.iter().map(|one| &one.operator).collect::<HashSet<&OperatorName>>().len()
}

/// What an opening shuts and ends: a drill and what expands nothing.
fn restriction(opening: &Opening) -> Restriction {
    match &opening.scope {
        Scope::Restrict(restriction) if !opening.drill => restriction.clone(),
        Scope::Expand(_) | Scope::Restrict(_) => Restriction::default(),
    }
}
