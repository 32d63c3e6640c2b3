//! The bounded queue before the ledger's writer: one order for all, and places that only some may take.
//!
//! It knows how many wait, not what they wait for. Agents that fill it keep no operator out: the kill switch and
//! break-glass find a place. There is no lock on the way in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use super::ledger::Job;
use crate::domain::ledger::Waits;
use crate::domain::limits::{LEDGER_QUEUE_CALLS, LEDGER_QUEUE_MAX, LEDGER_QUEUE_VITAL};

/// Places for everybody.
const PLACES: usize = LEDGER_QUEUE_MAX + LEDGER_QUEUE_CALLS + LEDGER_QUEUE_VITAL;

/// Where commands come in.
pub(super) struct Entrance {
    jobs: SyncSender<Job>,
    waiting: Arc<AtomicUsize>,
    gathering: Arc<OnceLock<Thread>>,
}

/// Where the writer takes them out.
pub(super) struct Exit {
    jobs: Receiver<Job>,
    waiting: Arc<AtomicUsize>,
    /// The thread that takes them out, once it does.
    gathering: Arc<OnceLock<Thread>>,
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
    let gathering = Arc::new(OnceLock::new());
    let entrance =
        Entrance { jobs: sender, waiting: Arc::clone(&waiting), gathering: Arc::clone(&gathering) };
    (entrance, Exit { jobs: receiver, waiting, gathering })
}

impl Entrance {
    /// Lets a command in, in its order, if there is a place for such a one. What takes authority away ends the wait for company.
    pub(super) fn enter(&self, job: Job) -> Result<(), Outside> {
        let urgent = job.command.is_urgent();
        let places = match job.command.waits() {
            Waits::Anybody => LEDGER_QUEUE_MAX,
            Waits::Operator => LEDGER_QUEUE_MAX + LEDGER_QUEUE_CALLS,
            Waits::Vital => PLACES,
        };
        // Counted before it is there: the count is never below what the channel holds, so `try_send` finds room.
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let entered = if before < places { self.jobs.try_send(job) } else { Err(TrySendError::Full(job)) };
        if urgent
            && entered.is_ok()
            && let Some(writer) = self.gathering.get()
        {
            writer.unpark();
        }
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
        self.gathering.get_or_init(std::thread::current);
        let job = self.jobs.recv()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(job)
    }

    /// Lets more commands come in, for `patience` at the longest, or until one comes that must not wait.
    pub(super) fn gather(&self, patience: Duration) {
        // It may return early, which makes a smaller group. One that came in between is noted, and ends it at once.
        std::thread::park_timeout(patience);
    }

    /// The next command, if there is one.
    pub(super) fn next(&self) -> Result<Job, TryRecvError> {
        let job = self.jobs.try_recv()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use crate::domain::ledger::Command;
    use crate::domain::revocation::Selector;
    use crate::domain::time::Timestamp;

    /// So long that a test which waits for it has failed.
    const LONG: Duration = Duration::from_secs(60);

    fn job(command: Command) -> Job {
        Job { command, answer: tokio::sync::oneshot::channel().0 }
    }

    fn issue() -> Command {
        Command::Issue(Box::new(fixture::issuance("a", Timestamp::from_seconds(1_790_000_000), 1)))
    }

    fn revoke() -> Command {
        Command::Revoke { revocation: fixture::revocation(Selector::All), target: None }
    }

    #[test]
    fn what_takes_authority_away_ends_the_wait_for_company_of_those_before_it() {
        for early in [true, false] {
            let (entrance, exit) = queue();
            let (gathers, gathering) = std::sync::mpsc::channel();
            entrance.enter(job(issue())).unwrap();
            let writer = std::thread::spawn(move || {
                exit.wait().unwrap();
                gathers.send(()).unwrap();
                let began = std::time::Instant::now();
                if early {
                    // It comes between the look into the queue and the wait.
                    while exit.waiting.load(Ordering::Relaxed) == 0 {
                        std::thread::yield_now();
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                exit.gather(LONG);
                (began.elapsed(), exit.next().is_ok())
            });
            gathering.recv().unwrap();
            if !early {
                std::thread::sleep(Duration::from_millis(20));
            }
            entrance.enter(job(revoke())).unwrap();
            let (waited, found) = writer.join().unwrap();
            assert!(waited < LONG / 2, "it waited {waited:?}");
            assert!(found, "it is there");
        }
    }
}
