//! The system clock, and a clock that tests set. They know time and nothing of what it is for.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::domain::clock::{Clock, Untrustworthy};
use crate::domain::limits::CLOCK_DRIFT_MS_MAX;
use crate::domain::time::Timestamp;

/// The wall clock, watched against the boot clock, which nobody can set and which runs on in suspend.
///
/// Time services that slew move both alike; only steps drive them apart. Beyond [`CLOCK_DRIFT_MS_MAX`]
/// there is no time until the wall clock comes back or the daemon restarts. Answers never go backwards.
#[derive(Debug)]
pub struct SystemClock {
    /// Wall clock minus boot clock at the start, in milliseconds.
    apart_ms: i64,
    newest_ms: AtomicI64,
}

impl SystemClock {
    /// A clock that trusts the wall clock as it is now.
    pub fn new() -> Self {
        Self { apart_ms: wall_ms().saturating_sub(boot_ms()), newest_ms: AtomicI64::new(0) }
    }

    fn judge(&self, wall_ms: i64, boot_ms: i64) -> Result<Timestamp, Untrustworthy> {
        let drift_ms = wall_ms.saturating_sub(boot_ms).saturating_sub(self.apart_ms);
        if !(-CLOCK_DRIFT_MS_MAX..=CLOCK_DRIFT_MS_MAX).contains(&drift_ms) {
            return Err(Untrustworthy { drift_ms });
        }
        let newest = self.newest_ms.fetch_max(wall_ms, Ordering::AcqRel);
        Ok(Timestamp::from_millis(newest.max(wall_ms)))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Result<Timestamp, Untrustworthy> {
        self.judge(wall_ms(), boot_ms())
    }
}

fn wall_ms() -> i64 {
    millis(clock_gettime(ClockId::Realtime))
}

fn boot_ms() -> i64 {
    millis(clock_gettime(ClockId::Boottime))
}

const fn millis(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// A clock that stands still until it is told: the test double.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<Result<Timestamp, Untrustworthy>>,
    kept: Mutex<Timestamp>,
}

impl ManualClock {
    /// A clock that says `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new(Ok(now)), kept: Mutex::new(now) }
    }

    /// Moves on by `millis`; a negative number moves back. Mends a broken clock.
    pub fn advance_millis(&self, millis: i64) {
        let now = self.kept.lock().unwrap_or_else(PoisonError::into_inner).plus_millis(millis);
        self.set(now);
    }

    /// Says `now` from here on. Mends a broken clock.
    pub fn set(&self, now: Timestamp) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = now;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Ok(now);
    }

    /// Has jumped by `drift_ms` from here on.
    pub fn break_by(&self, drift_ms: i64) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Err(Untrustworthy { drift_ms });
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Result<Timestamp, Untrustworthy> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> SystemClock {
        SystemClock { apart_ms: 1_000_000, newest_ms: AtomicI64::new(0) }
    }

    #[test]
    fn a_step_up_to_the_bound_is_time_and_one_beyond_is_none() {
        for step in [CLOCK_DRIFT_MS_MAX, -CLOCK_DRIFT_MS_MAX] {
            assert!(clock().judge(1_000_500 + step, 500).is_ok());
            let beyond = step + step.signum();
            assert_eq!(clock().judge(1_000_500 + beyond, 500), Err(Untrustworthy { drift_ms: beyond }));
        }
    }

    #[test]
    fn answers_never_go_backwards_within_the_bound() {
        let clock = clock();
        assert_eq!(clock.judge(1_001_000, 500), Ok(Timestamp::from_millis(1_001_000)));
        assert_eq!(clock.judge(1_000_400, 600), Ok(Timestamp::from_millis(1_001_000)));
    }

    #[test]
    fn the_system_clock_tells_the_time_of_this_century() {
        let now = SystemClock::new().now().unwrap();
        assert!(now > Timestamp::from_seconds(1_700_000_000), "{now:?}");
    }

    #[test]
    fn a_manual_clock_breaks_and_mends() {
        let clock = ManualClock::new(Timestamp::from_seconds(10));
        clock.break_by(-5);
        assert_eq!(clock.now(), Err(Untrustworthy { drift_ms: -5 }));
        clock.advance_millis(7);
        assert_eq!(clock.now(), Ok(Timestamp::from_millis(10_007)));
    }
}
