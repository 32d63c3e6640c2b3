//! Whether the clock is believed: entries never go back in time, and a log is not led far into the future by one start.

use super::error::LedgerError;
use super::journal::recovery::Found;
use crate::domain::break_glass::Ask;
use crate::domain::clock::Clock;
use crate::domain::ledger::Command;
use crate::domain::limits::{CLOCK_AHEAD_MS_MAX, CLOCK_BEHIND_MS_MAX};
use crate::domain::time::Timestamp;

/// The time, unless it can't be trusted: the clock says so, it is behind the newest entry (promise P11), or so far ahead
/// that somebody has to say that it is right.
pub(super) fn trusted(
    now: Result<Timestamp, LedgerError>,
    high_water: Timestamp,
    doubted: bool,
) -> Result<Timestamp, LedgerError> {
    let now = now?;
    let behind_ms = high_water.millis_since(now);
    if behind_ms > CLOCK_BEHIND_MS_MAX {
        return Err(LedgerError::ClockBehind { behind_ms });
    }
    let ahead_ms = now.millis_since(high_water);
    if doubted && ahead_ms > CLOCK_AHEAD_MS_MAX { Err(LedgerError::ClockAhead { ahead_ms }) } else { Ok(now) }
}

/// Whether the clock is so far ahead of a log that has begun that it has to be confirmed. Asked at a start only: from then
/// on it is held to the boot clock.
pub(super) fn is_far_ahead(clock: &dyn Clock, found: &Found) -> bool {
    let ahead_ms = clock.now().map_or(0, |now| now.millis_since(found.time));
    let far = found.size > 0 && ahead_ms > CLOCK_AHEAD_MS_MAX;
    if far {
        tracing::error!(
            days = ahead_ms / 86_400_000,
            newest = found.time.to_rfc3339(),
            "the clock is far ahead of the log's newest entry: nothing is issued. Is it right? Then restart with \
             --accept-clock (HOTWORK_ACCEPT_CLOCK=1), or sign for break-glass; else set it right and restart"
        );
    }
    far
}

/// Whether people have signed what it says, and when it is.
pub(super) const fn is_signed(command: &Command) -> bool {
    matches!(command, Command::BreakGlass(Ask::Sign(_)))
}
