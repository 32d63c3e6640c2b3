//! The bounded queue before the ledger's writer: one order for all, and places that only some may take.
//!
//! It knows how many wait, not what they wait for. Agents that fill it keep no operator out: the kill switch and
//! break-glass find a place. There is no lock on the way in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, TrySendError, sync_channel};

use super::ledger::Job;
use crate::domain::ledger::Waits;
use crate::domain::limits::{LEDGER_QUEUE_CALLS, LEDGER_QUEUE_MAX, LEDGER_QUEUE_VITAL};

/// Places for everybody.
const PLACES: usize = LEDGER_QUEUE_MAX + LEDGER_QUEUE_CALLS + LEDGER_QUEUE_VITAL;

/// Where commands come in.
pub(super) struct Entrance {
    jobs: SyncSender<Job>,
    waiting: Arc<AtomicUsize>,
}

/// Where the writer takes them out.
pub(super) struct Exit {
    jobs: Receiver<Job>,
    waiting: Arc<AtomicUsize>,
}

/// Why a command did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// There is no place for it.
    Full,
    /// The writer has gone.
    Gone,
}

/// An empty queue.
pub(super) fn queue() -> (Entrance, Exit) {
    let (sender, receiver) = sync_channel(PLACES);
    let waiting = Arc::new(AtomicUsize::new(0));
    (Entrance { jobs: sender, waiting: Arc::clone(&waiting) }, Exit { jobs: receiver, waiting })
}

impl Entrance {
    /// Lets a command in, in its order, if there is a place for such a one.
    pub(super) fn enter(&self, job: Job) -> Result<(), Outside> {
        let places = match job.command.waits() {
            Waits::Anybody => LEDGER_QUEUE_MAX,
            Waits::Operator => LEDGER_QUEUE_MAX + LEDGER_QUEUE_CALLS,
            Waits::Vital => PLACES,
        };
        // Counted before it is there: the count is never below what the channel holds, so `try_send` finds room.
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let entered = if before < places { self.jobs.try_send(job) } else { Err(TrySendError::Full(job)) };
        entered.map_err(|error| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Disconnected(_) => Outside::Gone,
                TrySendError::Full(_) => Outside::Full,
            }
        })
    }
}

impl Exit {
    /// The next command, as soon as there is one.
    pub(super) fn wait(&self) -> Result<Job, RecvError> {
        let job = self.jobs.recv()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(job)
    }

    /// The next command, if there is one.
    pub(super) fn next(&self) -> Result<Job, TryRecvError> {
        let job = self.jobs.try_recv()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(job)
    }
}
