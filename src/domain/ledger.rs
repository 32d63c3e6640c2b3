//! The ledger's rules: a command and the state give a change or a refusal, and nothing else.
//!
//! Pure and total: the writer calls [`State::decide`], makes the change's entry durable, then calls
//! [`State::apply`], which can't fail. A [`Change`] carries its entry in private fields, so that state
//! can't change without a record of it. Rebuilding is [`State::replay`] over the log.

mod approve;
mod command;
mod end;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use self::command::{Command, InEmergency, Refusal, Target, Waits};
use super::approval::Approvals;
use super::break_glass::Sessions;
use super::catalogue::Tier;
use super::consumption::Consumptions;
use super::credential::{Ended, Idempotency, Issuance};
use super::digest::Digest;
use super::enrollment::{Enrolled, Enrollment, Enrollments};
use super::entry::{Entry, Event, VERSION};
use super::id::CredentialId;
use super::limits::{
    IDEMPOTENCY_KEYS_PER_AGENT_MAX, LEDGER_COMMAND_AGE_MS_MAX, TTL_SECONDS_MAX, VERIFY_LEEWAY_SECONDS_MAX,
};
use super::live::LiveCounts;
use super::name::AgentId;
use super::revocation::{
    self, Facts, InForce, LINEAGE_MS, Lock, Locks, Mark, Revocation, Revocations, Selector,
};
use super::status_list::{Lists, StatusRef};
use super::time::Timestamp;

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

    /// The credential that it gives, if it gives one.
    pub fn into_issuance(self) -> Option<Issuance> {
        if let Event::Issue(issuance) = self.entry.event { Some(*issuance) } else { None }
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
    locks: Arc<Locks>,
    approvals: Arc<Approvals>,
    sessions: Arc<Sessions>,
    /// What of `revocations` no longer matters from a second on.
    due: BTreeMap<i64, Vec<Selector>>,
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

    /// What may not be issued for now, as a snapshot.
    pub fn locks(&self) -> Arc<Locks> {
        Arc::clone(&self.locks)
    }

    /// Break-glass sessions and proposals, as a snapshot.
    pub fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.sessions)
    }

    /// Counts of live credentials: exact for what was ended by itself, its agent, its tenant or with
    /// everything; what another selector ended counts until its expiry.
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
            Command::Ask(asked) => change(self.decide_ask(asked, now, time)?),
            Command::BreakGlass(ask) => change(Event::BreakGlass(Box::new(self.sessions.decide(ask, time)?))),
            Command::Call(call) => change(Event::Call(call)),
            Command::Consume { issuance, key } => self.decide_consume(&issuance, key, time),
            Command::Decide(vote) => change(self.decide_vote(vote, time)?),
            Command::Deny(denial) => {
                fresh(denial.id, time)?;
                change(Event::Deny(denial))
            }
            Command::Emergency(emergency) => change(Event::Emergency(emergency)),
            Command::Enroll(enrollment) => {
                self.enrollments.admit(&enrollment, time)?;
                self.may_identify(&enrollment)?;
                change(Event::Enroll(enrollment))
            }
            Command::Issue(issuance) => {
                self.may_issue(&issuance, now, time)?;
                change(Event::Issue(issuance))
            }
            Command::Load(load) => change(Event::Load(load)),
            Command::Lock(lock) => {
                self.may_lock(&lock, time)?;
                change(Event::Lock(lock))
            }
            Command::Release(release) => self.decide_release(release, time),
            Command::Remove(asked) => change(Event::Remove(self.enrollments.removal(asked, time)?)),
            Command::Revoke { revocation, target } => self.decide_revoke(revocation, target, time),
            Command::Rotate(rotation) => change(Event::Rotate(rotation)),
            Command::Start(start) => change(Event::Start(start)),
            Command::Unlock(unlock) => {
                let held = self.locks.get(unlock.lock);
                let in_force = held.filter(|held| time < held.lock.terms.expires);
                in_force.ok_or(Refusal::LockUnknown(unlock.lock))?;
                change(Event::Unlock(unlock))
            }
        }
    }

    fn may_issue(&self, issuance: &Issuance, now: Timestamp, time: Timestamp) -> Result<(), Refusal> {
        self.clock_holds(now)?;
        fresh(issuance.id, time)?;
        // A credential minted after its own commit would slip under a watermark that comes after it.
        if issuance.issued > time {
            return Err(Refusal::Stale);
        }
        // What ended a lineage is forgotten when the lineage is over, so from then on it mints nothing either way.
        if !(0..=LINEAGE_MS).contains(&time.millis_since(issuance.lineage.time())) {
            return Err(Refusal::LineageOver);
        }
        // Before the retry keys: a retry does not get around a lock.
        if let Some(held) = self.locks.refusing(&Facts::from(issuance), time) {
            return Err(Refusal::Locked(Arc::clone(held)));
        }
        if let Some(Idempotency { key, request }) = issuance.idempotency {
            let keys = self.keys.get(&issuance.agent);
            let known = keys.and_then(|keys| keys.get(&key));
            if let Some(known) = known.filter(|known| known.issuance.expires > time) {
                return Err(self.repeated(known, request, time));
            }
            if keys.is_some_and(|keys| keys.len() >= IDEMPOTENCY_KEYS_PER_AGENT_MAX) {
                return Err(Refusal::KeysExhausted);
            }
        }
        if issuance.tier == Tier::BreakGlass && !self.sessions.admit(issuance, time) {
            return Err(Refusal::SessionOver);
        }
        // After the retry keys: a retry of the one use is that use.
        self.is_approved(issuance, time)?;
        let ended = self.revocations.ended_issuance(issuance);
        if ended.is_some() { Err(Refusal::Overtaken) } else { Ok(()) }
    }

    /// The identity of an agent, all of whose credentials up to then were ended meanwhile, is not given.
    fn may_identify(&self, enrollment: &Enrollment) -> Result<(), Refusal> {
        let Enrolled::Agent(agent) = &enrollment.who else { return Ok(()) };
        let ended = self.revocations.ended_of(agent, enrollment.issued);
        if ended.is_some() { Err(Refusal::Overtaken) } else { Ok(()) }
    }

    fn repeated(&self, known: &Known, request: Digest, time: Timestamp) -> Refusal {
        if known.issuance.idempotency.is_none_or(|idempotency| idempotency.request != request) {
            Refusal::KeyReused
        } else if self.revocations.ended_issuance(&known.issuance).is_some() {
            // A retry does not bring back what was ended.
            Refusal::AlreadyEnded
        } else if let Some(held) = self.locks.refusing(&Facts::from(&*known.issuance), time) {
            // Nor does it get around a lock on what the first one was given on.
            Refusal::Locked(Arc::clone(held))
        } else {
            Refusal::Repeated(known.issuance.clone(), known.index)
        }
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
            Event::Ask(_)
            | Event::BreakGlass(_)
            | Event::Call(_)
            | Event::Consume(_)
            | Event::Decide(_)
            | Event::Deny(_)
            | Event::Enroll(_)
            | Event::Issue(_)
            | Event::Emergency(_)
            | Event::Load(_)
            | Event::Merge(_)
            | Event::Lock(_)
            | Event::Remove(_)
            | Event::Revoke(_)
            | Event::Rotate(_)
            | Event::Start(_)
            | Event::Unlock(_) => None,
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

    /// The state of a log whose older entries matter only by these revocations and locks, and whose newest
    /// entry is at `time`.
    pub fn starting_from(revocations: Revocations, locks: Locks, time: Timestamp) -> Self {
        let due: Vec<_> =
            revocations.deltas().filter_map(|delta| Some((delta.forget?, delta.selector))).collect();
        let revocations = Arc::new(revocations);
        let mut state = Self { time, revocations, locks: Arc::new(locks), ..Self::default() };
        due.into_iter().for_each(|(forget, selector)| state.due_at(forget, selector));
        state
    }

    fn apply_entry(&mut self, entry: &Entry, target: Option<&Target>, index: u64) {
        self.time = self.time.max(entry.time);
        match &entry.event {
            Event::Ask(_) | Event::Decide(_) => Arc::make_mut(&mut self.approvals).apply(entry, index),
            Event::BreakGlass(step) => Arc::make_mut(&mut self.sessions).apply(step, entry.time, index),
            Event::Consume(consumption) => self.consumptions.apply(consumption, index),
            Event::Enroll(_) | Event::Remove(_) => {
                Arc::make_mut(&mut self.enrollments).apply(&entry.event, entry.time);
            }
            Event::Issue(issuance) => self.apply_issue(issuance, index),
            Event::Lock(lock) => self.add_lock(lock.clone(), entry.time, index),
            Event::Release(release) => {
                let ended = Arc::new(revocation::release(&release.agent, entry.time, index));
                self.end_one(release.credential, target, ended);
            }
            Event::Revoke(revoked) => self.apply_revoke(revoked, target, entry.time, index),
            Event::Unlock(unlock) => Arc::make_mut(&mut self.locks).remove(unlock.lock),
            Event::Call(_)
            | Event::Deny(_)
            | Event::Emergency(_)
            | Event::Load(_)
            | Event::Merge(_)
            | Event::Rotate(_)
            | Event::Start(_) => {}
        }
    }

    fn add_lock(&mut self, lock: Lock, time: Timestamp, index: u64) {
        Arc::make_mut(&mut self.locks).add(InForce { index, time, lock });
    }

    fn apply_issue(&mut self, issuance: &Issuance, index: u64) {
        self.live.add(&issuance.agent, issuance.expires);
        self.lists.note_issuance(issuance);
        if issuance.approval.is_some() {
            Arc::make_mut(&mut self.approvals).apply_issue(issuance);
        }
        if let Some(Idempotency { key, .. }) = issuance.idempotency {
            let known = Known { index, issuance: Box::new(issuance.clone()) };
            self.keys.entry(issuance.agent.clone()).or_default().insert(key, known);
        }
    }

    fn apply_revoke(&mut self, revoked: &Revocation, target: Option<&Target>, time: Timestamp, index: u64) {
        if let Selector::Credential(id) = &revoked.selector {
            self.end_one(*id, target, Arc::new(revocation::revoke(revoked, time, index)));
        } else {
            let mark = Mark::of(revoked, time, index);
            if let Some(forget) = revocation::forget_time(&revoked.selector, mark.until, time) {
                self.due_at(forget, revoked.selector.clone());
            }
            if revoked.issued_before.is_none() {
                self.live.clear(&revoked.selector, &revoked.tenants);
            }
            let revocations = Arc::make_mut(&mut self.revocations);
            revocations.reach(index.saturating_add(1));
            revocations.end_many(&revoked.selector, mark);
        }
        if let Some(lock) = revoked.lock() {
            self.add_lock(lock, time, index);
        }
    }

    fn end_one(&mut self, id: CredentialId, target: Option<&Target>, ended: Arc<Ended>) {
        let revocations = Arc::make_mut(&mut self.revocations);
        revocations.reach(ended.index.saturating_add(1));
        revocations.end_one(id, ended);
        let expires = match target {
            Some(target) => {
                self.live.remove(&target.agent, target.expires);
                target.expires
            }
            // Its record has left the index, so it should have expired long ago; the id alone is enough to refuse it for as
            // long as any could live.
            None => id.time().plus_millis(i64::from(TTL_SECONDS_MAX) * 1000 + LEDGER_COMMAND_AGE_MS_MAX),
        };
        // A verifier may take it a little longer than we do.
        let leeway_ms = i64::from(VERIFY_LEEWAY_SECONDS_MAX) * 1000;
        self.due_at(expires.plus_millis(leeway_ms), Selector::Credential(id));
    }

    fn due_at(&mut self, time: Timestamp, selector: Selector) {
        self.due.entry(time.seconds().saturating_add(1)).or_default().push(selector);
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
        let later = self.due.split_off(&now.seconds().saturating_add(1));
        let due = std::mem::replace(&mut self.due, later);
        for selector in due.values().flatten() {
            Arc::make_mut(&mut self.revocations).forget(selector, now);
        }
        if self.enrollments.has_ended(now) {
            Arc::make_mut(&mut self.enrollments).forget(now);
        }
        if self.approvals.has_ended(now) {
            Arc::make_mut(&mut self.approvals).forget(now);
        }
        if self.sessions.has_ended(now) {
            Arc::make_mut(&mut self.sessions).forget(now);
        }
        for lock in self.locks.expired(now) {
            Arc::make_mut(&mut self.locks).remove(lock);
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
