//! The door to time. Time is an argument everywhere below; this is where it comes from.

use super::time::Timestamp;

/// Tells the time, or that it can't be trusted.
///
/// An implementer promises: successive answers of one process never go backwards by more than the
/// tolerance it documents, and a wall clock that jumped against the monotonic clock is an error, not a
/// time (promise P11).
pub trait Clock: Send + Sync {
    /// The time now.
    ///
    /// # Errors
    /// When wall clock and monotonic clock have drifted apart.
    fn now(&self) -> Result<Timestamp, Untrustworthy>;
}

/// The clock jumped; nothing may be minted on it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the wall clock and the monotonic clock are {drift_ms} ms apart")]
pub struct Untrustworthy {
    /// Wall clock minus monotonic clock since start, in milliseconds.
    pub drift_ms: i64,
}
