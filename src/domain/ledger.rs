//! The ledger's rules: a command and the state give a change or a refusal, and nothing else.
//!
//! Pure and total: the writer calls [`State::decide`], makes the change's entry durable, then calls
//! [`State::apply`], which can't fail. A [`Change`] carries its entry in private fields, so that state
//! can't change without a record of it. Rebuilding is [`State::replay`] over the log.

use std::collections::HashMap;
use std::sync::Arc;

use super::consumption::{Consumptions, Debit};
use super::credential::{Ended, Idempotency, Issuance};
use super::denial::Denial;
use super::digest::Digest;
use super::enrollment::{EnrollRefusal, Enrollment, Enrollments, Unenroll};
use super::entry::{Call, Entry, Event, Load, Release, Rotation, Start, VERSION};
use super::id::CredentialId;
use super::limits::{CLOCK_BEHIND_MS_MAX, IDEMPOTENCY_KEYS_PER_AGENT_MAX, LEDGER_COMMAND_AGE_MS_MAX};
use super::live::LiveCounts;
use super::name::{AgentId, OperatorName, Reason};
use super::revocation::{self, Revocation, Revocations, Selector};
use super::status_list::{Lists, StatusRef};
use super::time::Timestamp;

/// What is asked of the ledger.
#[derive(Clone, Debug)]
pub enum Command {
    /// Record an operator's call.
    Call(Call),
    /// Debit one call of a counted credential.
    Consume {
        /// The credential's record.
        issuance: Box<Issuance>,
        /// SHA-256 of the verifier's idempotency key.
        key: Digest,
    },
    /// Record a denial.
    Deny(Denial),
    /// Record a certificate of an operator or verifier.
    Enroll(Enrollment),
    /// Record an issuance.
    Issue(Box<Issuance>),
    /// Record a load of the registry.
    Load(Load),
    /// End a credential for its holder.
    Release(Release),
    /// End certificates of an operator or verifier.
    Remove(Unenroll),
    /// End credentials for an operator.
    Revoke {
        /// Who.
        operator: OperatorName,
        /// Why.
        reason: Reason,
        /// What ends.
        selector: Selector,
        /// For a single credential: its holder and expiry, from its record.
        target: Option<Target>,
    },
    /// Record a rotation of the token key.
    Rotate(Rotation),
    /// Record a start.
    Start(Start),
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

/// Why a command changes nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The credential has ended already.
    #[error("the credential has ended already")]
    AlreadyEnded,
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
    /// The calls of the credential are not counted.
    #[error("the calls of this credential are not counted")]
    NotCounted,
    /// A revocation was recorded after the credential was minted.
    #[error("a revocation overtook the request")]
    Overtaken,
    /// The same request was recorded before: here is its record.
    #[error("the request was recorded before")]
    Repeated(Box<Issuance>, u64),
    /// The command waited too long; its id's time is too far from the commit's.
    #[error("the command waited too long")]
    Stale,
}

/// A decided change. It can only be had from [`State::decide`].
#[derive(Clone, Debug)]
pub struct Change {
    entry: Entry,
    released: Option<Target>,
}

impl Change {
    /// The entry that makes it durable.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }
}

/// The ledger's state: what decisions need, and no more. It is bounded by the credentials that can still
/// be live; everything else is in the log.
#[derive(Clone, Debug, Default)]
pub struct State {
    time: Timestamp,
    live: LiveCounts,
    keys: HashMap<AgentId, HashMap<Digest, Known>>,
    consumptions: Consumptions,
    lists: Lists,
    revocations: Arc<Revocations>,
    enrollments: Arc<Enrollments>,
}

#[derive(Clone, Debug)]
struct Known {
    index: u64,
    issuance: Box<Issuance>,
}

impl State {
    /// The time of the newest entry: no later entry is before it, and no clock below it is trusted.
    pub const fn high_water(&self) -> Timestamp {
        self.time
    }

    /// What is revoked, as a snapshot.
    pub fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.revocations)
    }

    /// Which certificates of operators and verifiers are good, as a snapshot.
    pub fn enrollments(&self) -> Arc<Enrollments> {
        Arc::clone(&self.enrollments)
    }

    /// Counts of live credentials.
    pub const fn live(&self) -> &LiveCounts {
        &self.live
    }

    /// Which status lists there are.
    pub const fn status_lists(&self) -> &Lists {
        &self.lists
    }

    /// Decides `command` at `now`. The entry's time is never before the last one's.
    ///
    /// # Errors
    /// [`Refusal`], when nothing changes.
    pub fn decide(&self, command: Command, now: Timestamp) -> Result<Change, Refusal> {
        let time = now.max(self.time);
        let change = |event| Ok(Change { entry: Entry { event, time, v: VERSION }, released: None });
        match command {
            Command::Call(call) => change(Event::Call(call)),
            Command::Consume { issuance, key } => self.decide_consume(&issuance, key, time),
            Command::Deny(denial) => {
                fresh(denial.id, time)?;
                change(Event::Deny(denial))
            }
            Command::Enroll(enrollment) => {
                self.enrollments.admit(&enrollment, time)?;
                change(Event::Enroll(enrollment))
            }
            Command::Issue(issuance) => {
                self.may_issue(&issuance, now, time)?;
                change(Event::Issue(issuance))
            }
            Command::Load(load) => change(Event::Load(load)),
            Command::Release(release) => self.decide_release(release, time),
            Command::Remove(asked) => change(Event::Remove(self.enrollments.removal(asked, time)?)),
            Command::Revoke { operator, reason, selector, target } => {
                self.decide_revoke(operator, reason, selector, target, time)
            }
            Command::Rotate(rotation) => change(Event::Rotate(rotation)),
            Command::Start(start) => change(Event::Start(start)),
        }
    }

    fn may_issue(&self, issuance: &Issuance, now: Timestamp, time: Timestamp) -> Result<(), Refusal> {
        let behind = self.time.millis_since(now);
        if behind > CLOCK_BEHIND_MS_MAX {
            return Err(Refusal::ClockBehind(behind));
        }
        fresh(issuance.id, time)?;
        // A credential minted after its own commit would slip under a watermark that comes after it.
        if issuance.issued > time {
            return Err(Refusal::Stale);
        }
        if let Some(Idempotency { key, request }) = issuance.idempotency {
            let keys = self.keys.get(&issuance.agent);
            let known = keys.and_then(|keys| keys.get(&key));
            if let Some(known) = known.filter(|known| known.issuance.expires > time) {
                return Err(self.repeated(known, request));
            }
            if keys.is_some_and(|keys| keys.len() >= IDEMPOTENCY_KEYS_PER_AGENT_MAX) {
                return Err(Refusal::KeysExhausted);
            }
        }
        let ended = self.revocations.ended(&issuance.id, &issuance.agent, issuance.issued);
        if ended.is_some() { Err(Refusal::Overtaken) } else { Ok(()) }
    }

    fn repeated(&self, known: &Known, request: Digest) -> Refusal {
        let Issuance { id, agent, issued, idempotency, .. } = &*known.issuance;
        if idempotency.is_none_or(|idempotency| idempotency.request != request) {
            Refusal::KeyReused
        } else if self.revocations.ended(id, agent, *issued).is_some() {
            // A retry does not bring back what was ended.
            Refusal::AlreadyEnded
        } else {
            Refusal::Repeated(known.issuance.clone(), known.index)
        }
    }

    fn decide_consume(&self, issuance: &Issuance, key: Digest, time: Timestamp) -> Result<Change, Refusal> {
        // First: a retry does not bring back what was ended.
        let ended = self.revocations.ended(&issuance.id, &issuance.agent, issuance.issued).is_some();
        if ended || issuance.expires <= time {
            return Err(Refusal::AlreadyEnded);
        }
        let consumption = self.consumptions.debit(issuance, key)?;
        let entry = Entry { event: Event::Consume(consumption), time, v: VERSION };
        Ok(Change { entry, released: None })
    }

    fn decide_release(&self, release: Release, time: Timestamp) -> Result<Change, Refusal> {
        let target = Target {
            agent: release.agent.clone(),
            issued: release.credential.time(),
            expires: release.expires,
        };
        self.is_live(release.credential, &target, time)?;
        let entry = Entry { event: Event::Release(release), time, v: VERSION };
        Ok(Change { entry, released: Some(target) })
    }

    fn decide_revoke(
        &self,
        operator: OperatorName,
        reason: Reason,
        selector: Selector,
        target: Option<Target>,
        time: Timestamp,
    ) -> Result<Change, Refusal> {
        let live = match (&selector, &target) {
            (Selector::All, _) => self.live.total(time),
            (Selector::Agent(agent), _) => self.live.of_agent(agent, time),
            (Selector::Credential(id), Some(target)) => {
                self.is_live(*id, target, time)?;
                1
            }
            (Selector::Credential(_), None) => 0,
        };
        let event = Event::Revoke(Revocation { live, operator, reason, selector });
        Ok(Change { entry: Entry { event, time, v: VERSION }, released: target })
    }

    fn is_live(&self, id: CredentialId, target: &Target, time: Timestamp) -> Result<(), Refusal> {
        let ended = self.revocations.ended(&id, &target.agent, target.issued).is_some();
        if ended || target.expires <= time { Err(Refusal::AlreadyEnded) } else { Ok(()) }
    }

    /// Applies a change whose entry is durable at `index`.
    pub fn apply(&mut self, change: &Change, index: u64) {
        self.apply_entry(&change.entry, change.released.as_ref(), index);
    }

    /// Applies an entry of the log again. `target` looks up the record of a credential that a single
    /// revocation names; only credentials that can still be live matter.
    pub fn replay(&mut self, entry: &Entry, index: u64, target: impl Fn(CredentialId) -> Option<Target>) {
        let found = match &entry.event {
            Event::Revoke(Revocation { selector: Selector::Credential(id), .. }) => target(*id),
            Event::Release(release) => Some(Target {
                agent: release.agent.clone(),
                issued: release.credential.time(),
                expires: release.expires,
            }),
            Event::Call(_)
            | Event::Consume(_)
            | Event::Deny(_)
            | Event::Enroll(_)
            | Event::Issue(_)
            | Event::Load(_)
            | Event::Remove(_)
            | Event::Revoke(_)
            | Event::Rotate(_)
            | Event::Start(_) => None,
        };
        self.apply_entry(entry, found.as_ref(), index);
    }

    /// Counts a live issuance of the log again, when nothing else of it matters: it has no retry key.
    /// What [`Self::replay`] would do, without the whole record.
    pub fn replay_live(&mut self, agent: &AgentId, expires: Timestamp, time: Timestamp) {
        self.time = self.time.max(time);
        self.live.add(agent, expires);
    }

    /// Notes the status list of an issuance of the log again, whether or not anything else of it matters.
    pub fn replay_status(&mut self, status: StatusRef, expires: Timestamp) {
        self.lists.note(status, expires);
    }

    /// The state of a log whose older entries matter only by these revocations, and whose newest entry is
    /// at `time`.
    pub fn starting_from(revocations: Revocations, time: Timestamp) -> Self {
        Self { time, revocations: Arc::new(revocations), ..Self::default() }
    }

    fn apply_entry(&mut self, entry: &Entry, target: Option<&Target>, index: u64) {
        self.time = self.time.max(entry.time);
        match &entry.event {
            Event::Consume(consumption) => self.consumptions.apply(consumption, index),
            Event::Issue(issuance) => self.apply_issue(issuance, index),
            Event::Release(release) => {
                let ended = Arc::new(revocation::release(&release.agent, entry.time, index));
                self.end_one(release.credential, target, ended);
            }
            Event::Revoke(revocation) => {
                let ended = Arc::new(revocation::revoke(revocation, entry.time, index));
                self.apply_revoke(revocation, target, ended);
            }
            Event::Enroll(_) | Event::Remove(_) => Arc::make_mut(&mut self.enrollments).apply(&entry.event),
            Event::Call(_) | Event::Deny(_) | Event::Load(_) | Event::Rotate(_) | Event::Start(_) => {}
        }
    }

    fn apply_issue(&mut self, issuance: &Issuance, index: u64) {
        self.live.add(&issuance.agent, issuance.expires);
        self.lists.note_issuance(issuance);
        if let Some(Idempotency { key, .. }) = issuance.idempotency {
            let known = Known { index, issuance: Box::new(issuance.clone()) };
            self.keys.entry(issuance.agent.clone()).or_default().insert(key, known);
        }
    }

    fn apply_revoke(&mut self, revocation: &Revocation, target: Option<&Target>, ended: Arc<Ended>) {
        match &revocation.selector {
            Selector::Agent(agent) => {
                Arc::make_mut(&mut self.revocations).end_agent(agent.clone(), ended);
                self.live.clear_agent(agent);
            }
            Selector::All => {
                Arc::make_mut(&mut self.revocations).end_all(ended);
                self.live.clear();
            }
            Selector::Credential(id) => self.end_one(*id, target, ended),
        }
    }

    fn end_one(&mut self, id: CredentialId, target: Option<&Target>, ended: Arc<Ended>) {
        // Without a record the credential has left the index, so it expired long ago.
        if let Some(target) = target {
            Arc::make_mut(&mut self.revocations).end_one(id, target.expires, ended);
            self.live.remove(&target.agent, target.expires);
        }
    }

    /// Drops what has expired by itself. Called now and then; it changes no answer.
    pub fn forget(&mut self, now: Timestamp) {
        let now = now.max(self.time);
        self.live.forget(now);
        self.lists.forget(now);
        self.consumptions.forget(now);
        for keys in self.keys.values_mut() {
            keys.retain(|_, known| known.issuance.expires > now);
        }
        self.keys.retain(|_, keys| !keys.is_empty());
        Arc::make_mut(&mut self.revocations).forget(now);
        if self.enrollments.has_ended(now) {
            Arc::make_mut(&mut self.enrollments).forget(now);
        }
    }
}

/// The index finds a record by the time in its id, so that time must be the commit's or shortly before.
fn fresh(id: CredentialId, time: Timestamp) -> Result<(), Refusal> {
    let age = time.millis_since(id.time());
    if (0..=LEDGER_COMMAND_AGE_MS_MAX).contains(&age) { Ok(()) } else { Err(Refusal::Stale) }
}

#[cfg(test)]
mod tests;
