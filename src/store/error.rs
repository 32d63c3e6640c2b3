//! Why the ledger did not record something.

use std::sync::Arc;

use crate::domain::clock::Untrustworthy;
use crate::domain::ledger::Refusal;

/// Why a command was not recorded.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LedgerError {
    /// The queue is full. Nothing happened; a retry may succeed.
    #[error("the ledger is busy")]
    Busy,
    /// The clock can't be trusted, so nothing is minted.
    #[error(transparent)]
    Clock(#[from] Untrustworthy),
    /// This start found the clock so far ahead of the log's newest entry that somebody has to say that it is right; until
    /// then nothing is minted, and what is recorded has the newest entry's time.
    #[error(
        "the clock is ahead of the log's newest entry by {ahead_ms} ms, which nobody has confirmed: if it is right, \
             restart hotworkd with --accept-clock"
    )]
    ClockAhead {
        /// By how much.
        ahead_ms: i64,
    },
    /// The clock is behind the log's newest entry, so nothing is minted.
    #[error("the clock is behind the log's newest entry by {behind_ms} ms")]
    ClockBehind {
        /// By how much.
        behind_ms: i64,
    },
    /// The store takes no writes, and this is not what the emergency journal is for.
    #[error("the store takes no writes: this waits until the emergency is over")]
    Emergency,
    /// The emergency journal has no room for it, or its session has used its share. What it has stays in force.
    #[error("the emergency journal has no room for it")]
    EmergencyFull,
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger has stopped after a failure. Whether this command was recorded is known after a restart;
    /// it was not acknowledged.
    #[error("the ledger has stopped: {0}")]
    Stopped(Arc<str>),
    /// The entry would be longer than the log takes.
    #[error("the entry has `{0}` bytes, more than the log takes")]
    TooLong(usize),
}
