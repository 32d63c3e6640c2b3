//! The handle to the ledger: submit commands, read snapshots. It holds no rules and no files.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{oneshot, watch};

use super::carried::Carrier;
use super::error::LedgerError;
use super::index::{Index, IndexError};
use super::journal::Positions;
use super::notable::Notable;
use super::queue::{Entrance, Outside};
use super::reader::Reader;
use super::recent::Recent;
use super::tree::Tree;
use super::trust::trusted;
use crate::domain::approval::Approvals;
use crate::domain::break_glass::{Sessions, Step};
use crate::domain::clock::Clock;
use crate::domain::digest::Digest;
use crate::domain::enrollment::Enrollments;
use crate::domain::entry::Event;
use crate::domain::ledger::{Change, Command, State};
use crate::domain::name::{AgentId, TenantName};
use crate::domain::note::VerifierKey;
use crate::domain::revocation::feed::{Delta, History};
use crate::domain::revocation::{Locks, Revocations, Selector};
use crate::domain::status_list::Lists;
use crate::domain::time::Timestamp;

/// The ledger. Clones are handles to the same one; dropping the last one ends its writer.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

/// Proof that an entry is durable. Only the writer makes it, after the sync.
#[derive(Debug)]
pub struct Recorded {
    index: u64,
    time: Timestamp,
    live_ended: Option<u64>,
    calls_left: u32,
    step: Option<Box<Step>>,
}

impl Recorded {
    pub(super) fn new(index: u64, change: &Change) -> Self {
        let entry = change.entry();
        let mut step = None;
        let (live_ended, calls_left) = match &entry.event {
            Event::BreakGlass(taken) => {
                step = Some(taken.clone());
                (None, 0)
            }
            Event::Consume(consumption) => (None, consumption.left),
            Event::Remove(removal) => (Some(removal.ended), 0),
            Event::Revoke(revocation) => (revocation.live, 0),
            Event::Ask(_)
            | Event::Call(_)
            | Event::Decide(_)
            | Event::Deny(_)
            | Event::Enroll(_)
            | Event::Issue(_)
            | Event::Emergency(_)
            | Event::Load(_)
            | Event::Merge(_)
            | Event::Lock(_)
            | Event::Release(_)
            | Event::Rotate(_)
            | Event::Start(_)
            | Event::Unlock(_) => (None, 0),
        };
        Self { index, time: entry.time, live_ended, calls_left, step }
    }

    /// The entry's index in the log.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// When it was committed.
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// How many live credentials a revocation ended, when its record has that, or certificates a removal;
    /// `None` for other commands.
    pub const fn live_ended(&self) -> Option<u64> {
        self.live_ended
    }

    /// The step of break-glass that was taken; `None` for other commands.
    pub fn step(&self) -> Option<&Step> {
        self.step.as_deref()
    }

    /// How many calls a debit left; 0 for other commands.
    pub const fn calls_left(&self) -> u32 {
        self.calls_left
    }
}

/// How the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerStatus {
    /// Whether credentials can be recorded.
    pub issuing: bool,
    /// Why not.
    pub problem: Option<String>,
    /// Durable entries.
    pub size: u64,
    /// The tree's root over them.
    pub root: Digest,
    /// The newest signed checkpoint; empty before the first entry.
    pub checkpoint: String,
    /// The newest entry's time.
    pub high_water: Timestamp,
}

/// What is durable, as one value.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) size: u64,
    pub(super) root: Digest,
    pub(super) note: String,
    pub(super) time: Timestamp,
}

/// What writer and readers share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The writer decides on it. While a group is being written it is ahead of the disk, so only counts
    /// are read from it elsewhere.
    pub(super) state: RwLock<State>,
    pub(super) revocations: ArcSwap<Revocations>,
    /// The epoch of `revocations`, for those who wait.
    pub(super) epoch: watch::Sender<u64>,
    pub(super) enrollments: watch::Sender<Arc<Enrollments>>,
    pub(super) locks: ArcSwap<Locks>,
    pub(super) approvals: watch::Sender<Arc<Approvals>>,
    pub(super) sessions: watch::Sender<Arc<Sessions>>,
    /// The newest ends, for verifiers that follow.
    pub(super) history: RwLock<History>,
    /// The newest entries that people may have to be told of.
    pub(super) notable: RwLock<Notable>,
    /// The index after the newest of them, for those who wait.
    pub(super) notable_end: watch::Sender<u64>,
    pub(super) recent: RwLock<Recent>,
    /// The load of the registry that was carried forward, with the registry's digest: its entry is not read.
    pub(super) loaded: Option<(u64, Digest)>,
    pub(super) head: ArcSwap<Head>,
    /// Why nothing is issued any more.
    pub(super) problem: ArcSwapOption<String>,
    pub(super) last_issue: RwLock<HashMap<String, Timestamp>>,
    pub(super) index: Index,
    /// Entries on stable storage: the index has none beyond them, while the head comes a moment later.
    pub(super) durable: AtomicU64,
    pub(super) positions: Arc<Positions>,
    pub(super) tree: Tree,
    pub(super) key: VerifierKey,
    pub(super) retention_ms: i64,
    /// Carries forward what matters, on an ordinary day.
    pub(super) carrier: Option<Carrier>,
    /// The first entry that this start has read.
    pub(super) read_from: u64,
    /// This start found the clock far ahead of the log, and nobody has said yet that it is right.
    pub(super) doubted: AtomicBool,
    /// Whether the emergency journal is what makes entries durable.
    pub(super) emergency: bool,
    /// The first of the entries that this start took over from an emergency journal.
    pub(super) merged: Option<u64>,
}

impl Shared {
    /// Shows where requests for approval are, to those who watch too.
    pub(super) fn show_approvals(&self, now: Arc<Approvals>) {
        self.approvals.send_if_modified(|shown| {
            let changed = !Arc::ptr_eq(shown, &now);
            *shown = now;
            changed
        });
    }

    /// Shows which certificates of operators and verifiers are good, to those who watch too.
    pub(super) fn show_enrollments(&self, now: Arc<Enrollments>) {
        show(&self.enrollments, now);
    }

    /// Shows the break-glass sessions, to those who watch too.
    pub(super) fn show_sessions(&self, now: Arc<Sessions>) {
        show(&self.sessions, now);
    }
}

fn show<T>(to: &watch::Sender<Arc<T>>, now: Arc<T>) {
    to.send_if_modified(|shown| {
        let changed = !Arc::ptr_eq(shown, &now);
        *shown = now;
        changed
    });
}

/// A command with its answer's way back.
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<Recorded, LedgerError>>,
}

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    queue: Option<Entrance>,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("size", &self.shared.head.load().size).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    /// Lets the writer finish what it has, so that the directory is free when the last handle has gone.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has left its mark in `problem`; there is nobody left to tell.
            drop(writer.join());
        }
    }
}

impl Ledger {
    pub(super) fn new(shared: Arc<Shared>, queue: Entrance, writer: JoinHandle<()>) -> Self {
        Self { inner: Arc::new(Inner { shared, queue: Some(queue), writer: Some(writer) }) }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Records `command`. `Ok` means that its entry is on stable storage, that readers see it, and that
    /// [`Self::revocations`] has it.
    ///
    /// # Errors
    /// [`LedgerError`]. Only after `Stopped` may the entry be in the log all the same.
    pub async fn submit(&self, command: Command) -> Result<Recorded, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let job = Job { command, answer };
        let Some(queue) = &self.inner.queue else { return Err(self.stopped()) };
        match queue.enter(job) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(self.stopped())),
            Err(Outside::Full) => Err(LedgerError::Busy),
            Err(Outside::Gone) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> LedgerError {
        let problem = self.shared().problem.load_full();
        LedgerError::Stopped(
            problem.map_or_else(|| "the writer has ended".into(), |text| text.as_str().into()),
        )
    }

    /// What is revoked, as an immutable snapshot. A revocation is in it when its `submit` returns.
    pub fn revocations(&self) -> Arc<Revocations> {
        self.shared().revocations.load_full()
    }

    /// Which certificates of operators and verifiers are good, as an immutable snapshot. An enrolment or
    /// removal is in it when its `submit` returns.
    pub fn enrollments(&self) -> Arc<Enrollments> {
        Arc::clone(&self.shared().enrollments.borrow())
    }

    /// As [`Self::enrollments`], to wait for the next change.
    pub fn watch_enrollments(&self) -> watch::Receiver<Arc<Enrollments>> {
        self.shared().enrollments.subscribe()
    }

    /// Which requests wait for operators or are decided, as an immutable snapshot, to wait for the next change. A
    /// request, a decision or a use is in it when its `submit` returns.
    pub fn watch_approvals(&self) -> watch::Receiver<Arc<Approvals>> {
        self.shared().approvals.subscribe()
    }

    /// As [`Self::watch_approvals`], now.
    pub fn approvals(&self) -> Arc<Approvals> {
        Arc::clone(&self.shared().approvals.borrow())
    }

    /// The newest durable epoch ([`Revocations::epoch`]), to wait for the next. When it shows one,
    /// [`Self::revocations`] has it.
    pub fn watch_revocations(&self) -> watch::Receiver<u64> {
        self.shared().epoch.subscribe()
    }

    /// What ended after `epoch`, oldest first, at most `count`. `None` when the history does not go back so
    /// far, or the log never had that epoch: the caller takes a snapshot.
    pub fn ended_since(&self, epoch: u64, count: usize) -> Option<Vec<Arc<Delta>>> {
        let since = || {
            let history = self.shared().history.read().unwrap_or_else(PoisonError::into_inner);
            history.since(epoch, count)
        };
        // A snapshot has an end a moment before the history has: who was given the newest is not behind.
        let newest = || (epoch == self.revocations().epoch()).then(Vec::new);
        since().or_else(newest).or_else(since)
    }

    /// The leaf of the entry that made `epoch`: who was told both can go on from there. `None` when the history does not go
    /// back so far, or the epoch is being shown just now.
    pub fn leaf_of_epoch(&self, epoch: u64) -> Option<Digest> {
        self.shared().history.read().unwrap_or_else(PoisonError::into_inner).leaf_of(epoch)
    }

    /// What may not be issued for now, as an immutable snapshot. A lock is in it when its `submit` returns.
    pub fn locks(&self) -> Arc<Locks> {
        self.shared().locks.load_full()
    }

    /// Break-glass sessions and proposals, as an immutable snapshot. A step is in it when its `submit` returns.
    pub fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.shared().sessions.borrow())
    }

    /// Live credentials that `selector` names of the agents of `tenants` (of all when empty); `None` where
    /// only a look at the records tells. It may count a group that is being written.
    pub fn live_covered(&self, selector: &Selector, tenants: &[TenantName], now: Timestamp) -> Option<u64> {
        let state = self.shared().state.read().unwrap_or_else(PoisonError::into_inner);
        state.live().covered(selector, tenants, now)
    }

    /// Live credentials of `agent` at `now`. It may count a group that is being written.
    pub fn live_of(&self, agent: &AgentId, now: Timestamp) -> u64 {
        self.shared().state.read().unwrap_or_else(PoisonError::into_inner).live().of_agent(agent, now)
    }

    /// Which status lists there are. It may know of a list whose first token is being written.
    pub fn status_lists(&self) -> Lists {
        self.shared().state.read().unwrap_or_else(PoisonError::into_inner).status_lists().clone()
    }

    /// Live credentials at `now`. It may count a group that is being written.
    pub fn live_total(&self, now: Timestamp) -> u64 {
        self.shared().state.read().unwrap_or_else(PoisonError::into_inner).live().total(now)
    }

    /// How the ledger is.
    pub fn status(&self) -> LedgerStatus {
        let head = self.shared().head.load();
        let problem = self.shared().problem.load_full().map(|problem| problem.to_string());
        LedgerStatus {
            issuing: problem.is_none(),
            problem,
            size: head.size,
            root: head.root,
            checkpoint: head.note.clone(),
            high_water: head.time,
        }
    }

    /// The time that a clock says, unless the log does not believe it: then nothing is minted.
    ///
    /// # Errors
    /// The clock's own, or that it is behind the newest entry, or far ahead and nobody has confirmed it.
    pub fn believes(&self, clock: &dyn Clock) -> Result<Timestamp, LedgerError> {
        let shared = self.shared();
        let doubted = shared.doubted.load(Ordering::Acquire);
        trusted(clock.now().map_err(LedgerError::from), shared.head.load().time, doubted)
    }

    /// Whether the store takes no writes and the emergency journal does: see [`Self::open_emergency`].
    pub fn is_emergency(&self) -> bool {
        self.shared().emergency
    }

    /// The index of the first entry that this start took over from an emergency journal. Nobody may have been
    /// told of them.
    pub fn merged_from(&self) -> Option<u64> {
        self.shared().merged
    }

    /// The first entry of those that this start has read one by one: what was before had been carried forward. Zero on
    /// an ordinary day.
    pub fn read_from(&self) -> u64 {
        self.shared().read_from
    }

    /// The key that verifies the log's checkpoints.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.shared().key
    }

    /// A digest of the whole index, to show that a rebuilt one is identical (promise P14). Reads it all.
    ///
    /// # Errors
    /// When the index fails.
    pub fn index_digest(&self) -> Result<Digest, IndexError> {
        self.shared().index.digest()
    }

    /// Reads records and entries. Its calls block; async callers use `spawn_blocking`.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.inner))
    }
}
