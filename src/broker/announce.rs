//! Announce: what the log says that people should know is put before the notifiers, and an emergency may wait
//! for the proof that it will be.
//!
//! The log is the outbox (`docs/decisions/0025`): a recorded entry whose index no destination is past is told
//! sooner or later, whatever happens to this process.

use std::time::Duration;

use crate::domain::limits::NOTICE_SECONDS_MAX;
use crate::domain::name::{NotifierName, OperatorName};
use crate::notify::Notice;
use crate::notify::destination::Undelivered;
use crate::notify::outbox::DestinationView;
use crate::store::{Numbered, ReadError, Recorded};

use super::Broker;
use super::operate::Authorized;

/// How often the ledger is asked whether it has stopped: that stands in no log.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Proof that a recorded entry will be told to everybody who is configured to be told, come what may. Made only
/// here; what must not be silent asks for it before it takes effect.
#[derive(Debug)]
pub struct Put {
    index: u64,
}

impl Put {
    /// The entry's index.
    pub const fn index(&self) -> u64 {
        self.index
    }
}

/// Why it is not certain that somebody will be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPut {
    /// A destination's cursor is not on stable storage, or is past the entry.
    #[error("how far a notifier has been told is not durable")]
    Cursor,
}

/// What came of trying one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub name: NotifierName,
    /// Whether it took the test notice.
    pub outcome: Result<(), Undelivered>,
}

impl Broker {
    /// Makes sure that a recorded entry will be told: it is on stable storage, and so is that nobody was told of
    /// it yet.
    ///
    /// # Errors
    /// [`NotPut`]; then what was recorded must not take effect.
    pub fn put(&self, recorded: &Recorded) -> Result<Put, NotPut> {
        let index = recorded.index();
        if self.outbox.covers(index) { Ok(Put { index }) } else { Err(NotPut::Cursor) }
    }

    /// Tells again of what goes on, such as an open session. It stands in the log already, so that this one may
    /// be lost.
    pub fn remind(&self, notice: Notice) {
        self.outbox.tell(notice);
    }

    /// Follows the ledger and delivers, until the future is dropped.
    pub async fn announce(&self) {
        let _workers = self.outbox.deliver();
        let mut newest = self.ledger.watch_notable();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopped = false;
        let mut next = self.outbox.next();
        loop {
            if let Some(from) = next {
                match self.catch_up(from).await {
                    Ok(reached) => next = Some(reached),
                    Err(error) => {
                        tracing::error!(%error, "the log can't be read for notices; it is tried again");
                    }
                }
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                _ = look.tick() => {
                    if let Some(problem) = self.ledger.status().problem.filter(|_| !stopped) {
                        stopped = true;
                        self.notifier.notify(&Notice::LedgerStopped { problem });
                    }
                }
            }
        }
    }

    /// Hands the outbox what is notable from `from` on; gives the index up to which everything was looked at.
    async fn catch_up(&self, from: u64) -> Result<u64, ReadError> {
        let mut next = from;
        loop {
            // The size first: what is below it, the memory has.
            let size = self.ledger.status().size;
            if let Some(entries) = self.ledger.notable_since(next) {
                self.hand_over(&entries);
                let last = entries.last().map_or(0, |(index, _)| index.saturating_add(1));
                let reached = next.max(size).max(last);
                self.outbox.reach(reached);
                return Ok(reached);
            }
            let (entries, reached) = self.read(move |reader| reader.notable(next)).await?;
            self.hand_over(&entries);
            self.outbox.reach(reached);
            if reached == next {
                return Ok(next);
            }
            next = reached;
        }
    }

    fn hand_over(&self, entries: &[Numbered]) {
        for (index, entry) in entries {
            if let (Some(notice), Ok(json)) = (Notice::of(entry), entry.to_canonical_json()) {
                self.outbox.recorded(*index, entry.time, notice, &json);
            }
        }
    }

    /// How the destinations of notices are.
    pub fn notifiers(&self) -> Vec<DestinationView> {
        self.outbox.views()
    }

    /// Sends a test notice to the destination of this name, or to all, and waits for what comes of it, for
    /// [`NOTICE_SECONDS_MAX`] at most. Empty when there is none.
    pub async fn test_notifiers(&self, by: &Authorized, name: Option<&NotifierName>) -> Vec<Tried> {
        let operator: &OperatorName = &by.operator().name;
        let limit = Duration::from_secs(NOTICE_SECONDS_MAX);
        let tried = tokio::time::timeout(limit.saturating_add(LOOK_EVERY), self.outbox.test(operator, name));
        let outcomes = tried.await.unwrap_or_default();
        outcomes.into_iter().map(|(name, outcome)| Tried { name, outcome }).collect()
    }
}
