//! The one writer: it drains the queue, decides in order, makes the group durable, publishes, answers.
//!
//! Nobody is answered before the sync, not even with a refusal: a refusal can tell of an entry in the same
//! group. After the first failure nothing is acknowledged until a restart (promise P2).

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::emergency::{Holder, Room, Shadow};
use super::engine::{Batch, Place, Store};
use super::error::LedgerError;
use super::gather::patience;
use super::index::note_issues;
use super::index::record::{Brief, Chunk};
use super::journal::group::GroupBuffer;
use super::ledger::{Head, Job, Recorded, Shared};
use super::lock::DirectoryLock;
use super::queue::Exit;
use super::tree::FullTile;
use super::trust::{is_signed, trusted};
use crate::domain::break_glass::Ask;
use crate::domain::clock::Clock;
use crate::domain::digest::Digest;
use crate::domain::entry::BadEntry;
use crate::domain::ledger::{Change, Command, State};
use crate::domain::limits::LEDGER_GROUP_MAX;
use crate::domain::merkle::{Frontier, leaf_hash};
use crate::domain::note::Checkpoint;
use crate::domain::revocation::feed::Delta;
use crate::domain::signer::Signer;
use crate::domain::time::Timestamp;
use crate::domain::wording::causes;

/// How often expired state is dropped, in milliseconds of the log's time.
const FORGET_EVERY_MS: i64 = 5_000;

/// The writer's parts.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Box<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) frontier: Frontier,
    pub(super) sequence: u64,
    pub(super) forgotten: Timestamp,
    pub(super) buffer: GroupBuffer,
    /// A group has failed: nothing is acknowledged any more.
    pub(super) stopped: bool,
    /// Commands in the last group.
    pub(super) crowd: u32,
    /// The index has failed: it gets no more, and nothing is minted.
    pub(super) index_failed: bool,
    /// How much the emergency journal takes, in an emergency.
    pub(super) room: Option<Arc<Room>>,
    /// Held until the writer has ended.
    pub(super) _lock: DirectoryLock,
    /// As the lock.
    pub(super) _shadow: Option<Shadow>,
}

/// One group on its way.
struct Group {
    now: Result<Timestamp, LedgerError>,
    /// What the clock says, far ahead or not.
    said: Result<Timestamp, LedgerError>,
    changes: Vec<Change>,
    answers: Vec<(Answer, Result<Recorded, LedgerError>)>,
    frontier: Frontier,
    leaves: Vec<Digest>,
}

type Answer = tokio::sync::oneshot::Sender<Result<Recorded, LedgerError>>;

impl Group {
    const fn is_doubted(&self) -> bool {
        matches!(self.now, Err(LedgerError::ClockAhead { .. }))
    }
}

impl Writer {
    /// Works until the last handle has gone.
    pub(super) fn run(mut self, queue: &Exit) {
        let _note = PanicNote(Arc::clone(&self.shared));
        let mut jobs = VecDeque::with_capacity(LEDGER_GROUP_MAX);
        loop {
            if jobs.is_empty() {
                match queue.wait() {
                    Ok(job) => jobs.push_back(job),
                    Err(_) => break,
                }
            }
            drain(queue, &mut jobs);
            if let Some(patience) = patience(self.crowd, &jobs) {
                queue.gather(patience);
                drain(queue, &mut jobs);
            }
            self.serve(&mut jobs);
        }
        if let Err(error) = self.shared.index.flush() {
            tracing::warn!(%error, "index not flushed; the next start catches up from the journal");
        }
    }

    fn serve(&mut self, jobs: &mut VecDeque<Job>) {
        if self.stopped {
            let reason = self.shared.problem.load_full().unwrap_or_default();
            for job in jobs.drain(..) {
                drop(job.answer.send(Err(LedgerError::Stopped(reason.as_str().into()))));
            }
            return;
        }
        self.crowd = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        let group = self.decide(jobs);
        let tiles = self.commit(&group);
        if let Err(problem) = &tiles {
            self.stopped = true;
            self.stop(problem);
            for (answer, _) in group.answers {
                drop(answer.send(Err(LedgerError::Stopped(problem.as_str().into()))));
            }
            return;
        }
        for (answer, outcome) in group.answers {
            // A caller that has gone away learns the outcome by its retry.
            drop(answer.send(outcome));
        }
        self.store_tiles(&tiles.unwrap_or_default());
        self.remember_credentials(group.changes);
        self.forget();
    }

    /// After everybody is answered: who comes before looks at the index.
    fn remember_credentials(&self, changes: Vec<Change>) {
        let mut given = changes.into_iter().filter_map(Change::into_issuance).peekable();
        if given.peek().is_some() {
            let mut recent = self.shared.recent.write().unwrap_or_else(PoisonError::into_inner);
            given.for_each(|issuance| recent.push(issuance));
        }
    }

    /// After everybody is answered: tiles are derived, and a reader that comes before makes its own.
    fn store_tiles(&self, tiles: &[FullTile]) {
        for tile in tiles {
            if let Err(error) = self.shared.tree.store(tile) {
                tracing::warn!(%error, "tile not stored; it is made from the journal when needed");
            }
        }
    }

    /// Decides the commands in order on the state, each seeing those before it, until the group is full.
    /// The state runs ahead of the disk here; if the group fails, the writer stops and the state with it.
    fn decide(&mut self, jobs: &mut VecDeque<Job>) -> Group {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let said = self.clock.now().map_err(LedgerError::from);
        let mut group = Group {
            now: trusted(said.clone(), state.high_water(), shared.doubted.load(Ordering::Acquire)),
            said,
            changes: Vec::with_capacity(jobs.len()),
            answers: Vec::with_capacity(jobs.len()),
            frontier: self.frontier.clone(),
            leaves: Vec::with_capacity(jobs.len()),
        };
        self.buffer.begin();
        while !self.buffer.is_full() {
            let vouches = group.is_doubted() && jobs.front().is_some_and(|job| is_signed(&job.command));
            // It has a time of its own, and so has its group.
            if vouches && !group.changes.is_empty() {
                break;
            }
            let Some(Job { command, answer }) = jobs.pop_front() else { break };
            let outcome = if vouches {
                self.decide_vouched(command, &mut state, &mut group)
            } else {
                self.decide_one(command, &mut state, &mut group)
            };
            group.answers.push((answer, outcome));
        }
        group
    }

    /// People have signed a text with this time, by their own clocks, so it is right: for them, and once it is recorded
    /// for everybody. Break-glass must not wait for an option of a unit after a month without a broker.
    fn decide_vouched(
        &mut self,
        command: Command,
        state: &mut State,
        group: &mut Group,
    ) -> Result<Recorded, LedgerError> {
        let doubted = std::mem::replace(&mut group.now, group.said.clone());
        let outcome = self.decide_one(command, state, group);
        if outcome.is_err() {
            group.now = doubted;
        }
        outcome
    }

    fn decide_one(
        &mut self,
        command: Command,
        state: &mut State,
        group: &mut Group,
    ) -> Result<Recorded, LedgerError> {
        if let Some(room) = &self.room {
            room.fits(self.buffer.bytes(), &command)?;
        }
        let holder = self.room.as_ref().and_then(|_| Holder::of(&command));
        // What lets something happen needs a clock that can be trusted.
        let lets = matches!(
            command,
            Command::Ask(_)
                | Command::BreakGlass(Ask::Sign(_))
                | Command::Consume { .. }
                | Command::Decide(_)
                | Command::Enroll(_)
                | Command::Issue(_)
        );
        // A rotation says when its key signs, which is wrong for as long as the clock was.
        if lets || matches!(command, Command::Rotate(_)) {
            group.now.clone()?;
        }
        if lets && self.index_failed {
            return Err(LedgerError::Stopped("the index has failed".into()));
        }
        // What ends or denies goes through on a bad clock, at the time of the newest entry.
        let now = group.now.as_ref().copied().unwrap_or(state.high_water());
        let change = state.decide(command, now)?;
        let leaf = self.buffer.push(change.entry()).map_err(|error| match error {
            BadEntry::TooLong(bytes) => LedgerError::TooLong(bytes),
            BadEntry::Form(_) => LedgerError::TooLong(0),
        })?;
        if let (Some(room), Some(holder)) = (&self.room, &holder) {
            room.took(holder, leaf.len());
        }
        let index = group.frontier.size();
        let leaf = leaf_hash(leaf);
        group.frontier.push(leaf);
        group.leaves.push(leaf);
        state.apply(&change, index);
        let recorded = Recorded::new(index, &change);
        group.changes.push(change);
        Ok(recorded)
    }

    /// Makes the group durable and shows it. An error says why nothing may be acknowledged any more.
    fn commit(&mut self, group: &Group) -> Result<Vec<FullTile>, String> {
        let Some(time) = group.changes.first().map(|change| change.entry().time) else {
            return Ok(Vec::new());
        };
        let (size, root) = (group.frontier.size(), group.frontier.root());
        let checkpoint = Checkpoint { origin: self.shared.key.name.clone(), size, root };
        let signature = self.signer.sign(checkpoint.body().as_bytes()).map_err(|error| error.to_string())?;
        let note = checkpoint.signed(&self.shared.key, &signature);
        let bytes = self.buffer.finish(self.sequence, self.frontier.size(), time, &note);
        let batch = Batch { sequence: self.sequence, before: &self.frontier, bytes };
        let place = self.store.append(&batch).map_err(|error| causes(&error))?;
        self.shared.durable.store(size, Ordering::Release);
        self.index(group, time, place);
        self.frontier = group.frontier.clone();
        self.sequence = self.sequence.saturating_add(1);
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        let (revocations, locks) = (state.revocations(), state.locks());
        self.shared.show_enrollments(state.enrollments());
        self.shared.show_approvals(state.approvals());
        self.shared.show_sessions(state.sessions());
        drop(state);
        let epoch = revocations.epoch();
        self.shared.locks.store(locks);
        self.shared.revocations.store(revocations);
        self.remember_ends(group);
        self.remember_notable(group);
        self.shared.epoch.send_if_modified(|newest| std::mem::replace(newest, epoch) != epoch);
        // The tree first: a reader that sees the head can prove it.
        let tiles = self.shared.tree.push(group.leaves.iter().copied());
        self.shared.head.store(Arc::new(Head { size, root, note, time }));
        if group.now.is_ok() {
            // The log has this clock's time. From here on it is held to the boot clock, however long nothing happens.
            self.shared.doubted.store(false, Ordering::Release);
        }
        Ok(tiles)
    }

    /// Adds what the group ended to the feed's history.
    fn remember_ends(&self, group: &Group) {
        let first =
            group.frontier.size().saturating_sub(u64::try_from(group.changes.len()).unwrap_or_default());
        let changes = group.changes.iter().zip(first..).zip(&group.leaves);
        let end = |((change, index), leaf): ((&Change, u64), &Digest)| {
            Some((Delta::of(change.entry(), index)?, *leaf))
        };
        let mut ends = changes.filter_map(end).peekable();
        if ends.peek().is_some() {
            let mut history = self.shared.history.write().unwrap_or_else(PoisonError::into_inner);
            ends.for_each(|(delta, leaf)| history.push(delta, leaf));
        }
    }

    /// Keeps what people may have to be told of, for those who tell.
    fn remember_notable(&self, group: &Group) {
        let first =
            group.frontier.size().saturating_sub(u64::try_from(group.changes.len()).unwrap_or_default());
        let entries = (first..).zip(group.changes.iter().map(Change::entry));
        let mut notable = entries.filter(|(_, entry)| entry.event.is_notable()).peekable();
        if notable.peek().is_some() {
            let mut kept = self.shared.notable.write().unwrap_or_else(PoisonError::into_inner);
            let mut end = first;
            for (index, entry) in notable {
                kept.push(index, Arc::new(entry.clone()));
                end = index.saturating_add(1);
            }
            drop(kept);
            self.shared.notable_end.send_replace(end);
        }
    }

    /// Applies the group to the index. When that fails the group is still durable, and the next start
    /// makes the index anew; until then nothing more is minted, and revocations go on.
    fn index(&mut self, group: &Group, time: Timestamp, place: Place) {
        if self.index_failed {
            return;
        }
        let first = self.frontier.size();
        let briefs = group.changes.iter().map(|change| Brief::of(change.entry()));
        let applied =
            self.shared.index.apply(time, first, place, briefs.zip(self.buffer.offsets().iter().copied()));
        if let Err(error) = applied {
            self.index_failed = true;
            self.stop(&format!("{}; a restart rebuilds it", causes(&error)));
            return;
        }
        let mut chunk = Chunk::new(time, first, place);
        for change in &group.changes {
            chunk.push(&Brief::of(change.entry()), 0);
        }
        let mut last = self.shared.last_issue.write().unwrap_or_else(PoisonError::into_inner);
        note_issues(&chunk, &mut last);
    }

    fn stop(&self, problem: &str) {
        tracing::error!(problem, "the ledger stops issuing until a restart");
        self.shared.problem.store(Some(Arc::new(problem.to_owned())));
    }

    fn forget(&mut self) {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let now = state.high_water();
        if now.millis_since(self.forgotten) >= FORGET_EVERY_MS {
            state.forget(now);
            self.forgotten = now;
        }
    }
}

/// Takes out what is there, as far as it goes into one group.
fn drain(queue: &Exit, jobs: &mut VecDeque<Job>) {
    while jobs.len() < LEDGER_GROUP_MAX {
        let Ok(job) = queue.next() else { break };
        jobs.push_back(job);
    }
}

/// Leaves a mark when the writer panics, so that the status tells it.
struct PanicNote(Arc<Shared>);

impl Drop for PanicNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.problem.store(Some(Arc::new("the writer has failed".to_owned())));
        }
    }
}
