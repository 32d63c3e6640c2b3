//! What the verifiers of an API do when they no longer hear of revocations: the API's owner decides, once for all
//! of them.

use std::num::NonZeroU32;

use super::limits::FEED_AGE_SECONDS_MAX;

/// What the verifiers of an API do when they no longer hear of revocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLostFeed {
    /// They go on with what they last heard, for as long. Meanwhile a revoked credential may pass.
    DangerousBestEffort(Grace),
    /// They refuse everything until they hear again.
    #[default]
    Strict,
}

impl OnLostFeed {
    /// The word in files and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DangerousBestEffort(_) => "dangerous-best-effort",
            Self::Strict => "strict",
        }
    }

    /// For how long they go on; `None` when they do not.
    pub const fn grace(self) -> Option<Grace> {
        match self {
            Self::DangerousBestEffort(grace) => Some(grace),
            Self::Strict => None,
        }
    }
}

/// How long a verifier goes on without a word, counted from the last one: 1 s to [`FEED_AGE_SECONDS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(NonZeroU32);

impl Grace {
    /// So many seconds; `None` when that is out of bounds.
    pub fn from_seconds(seconds: u32) -> Option<Self> {
        NonZeroU32::new(seconds).filter(|seconds| seconds.get() <= FEED_AGE_SECONDS_MAX).map(Self)
    }

    /// In seconds.
    pub const fn seconds(self) -> u32 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_bounded_at_n_and_refused_at_n_plus_one() {
        assert_eq!(Grace::from_seconds(0), None);
        assert_eq!(Grace::from_seconds(1).map(Grace::seconds), Some(1));
        assert!(Grace::from_seconds(FEED_AGE_SECONDS_MAX).is_some());
        assert_eq!(Grace::from_seconds(FEED_AGE_SECONDS_MAX + 1), None);
    }
}
