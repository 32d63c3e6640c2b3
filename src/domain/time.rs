//! Points in time and lifetimes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{TTL_SECONDS_DEFAULT, TTL_SECONDS_MAX};

/// Milliseconds since the Unix epoch, UTC, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The text of RFC 3339; the number of milliseconds when there is none.
    pub fn to_rfc3339(self) -> String {
        let time = jiff::Timestamp::from_millisecond(self.millis());
        time.map_or_else(|_| self.millis().to_string(), |time| time.to_string())
    }

    /// From milliseconds since the epoch; a negative value becomes the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 { 0 } else { millis })
    }

    /// From whole seconds since the epoch; saturating.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0 / 1000
    }

    /// Later by `ttl`.
    pub const fn after(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add(ttl.0 as i64 * 1000))
    }

    /// Later by `millis`; saturating.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to here; negative when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A credential's lifetime: 1 to 900 whole seconds (PROFILES 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Ttl(u32);

/// The lifetime is zero or beyond the bound.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 1 s to {TTL_SECONDS_MAX} s, got `{0} s`")]
pub struct TtlOutOfRange(pub u32);

impl Ttl {
    /// What a request gets that names no lifetime.
    pub const DEFAULT: Self = Self(TTL_SECONDS_DEFAULT);
    /// The longest there is.
    pub const MAX: Self = Self(TTL_SECONDS_MAX);

    /// From whole seconds.
    ///
    /// # Errors
    /// When it is 0 or above [`TTL_SECONDS_MAX`].
    pub const fn from_seconds(seconds: u32) -> Result<Self, TtlOutOfRange> {
        if seconds == 0 || seconds > TTL_SECONDS_MAX {
            return Err(TtlOutOfRange(seconds));
        }
        Ok(Self(seconds))
    }

    /// Whole seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Ttl {
    type Error = TtlOutOfRange;

    fn try_from(seconds: u32) -> Result<Self, TtlOutOfRange> {
        Self::from_seconds(seconds)
    }
}

impl From<Ttl> for u32 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_held_to_its_bounds() {
        assert_eq!(Ttl::from_seconds(0), Err(TtlOutOfRange(0)));
        assert!(Ttl::from_seconds(1).is_ok());
        assert!(Ttl::from_seconds(TTL_SECONDS_MAX).is_ok());
        assert_eq!(Ttl::from_seconds(TTL_SECONDS_MAX + 1), Err(TtlOutOfRange(901)));
    }

    #[test]
    fn time_saturates_and_never_goes_below_the_epoch() {
        assert_eq!(Timestamp::from_millis(-5).millis(), 0);
        assert_eq!(Timestamp::from_millis(i64::MAX).plus_millis(10).millis(), i64::MAX);
        assert_eq!(Timestamp::from_millis(5).plus_millis(-10).millis(), 0);
    }
}
