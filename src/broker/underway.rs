//! Under way: how many calls of one operator are worked on at once, by what they are for.
//!
//! A call goes on when its caller goes away, so no connection and no stream bounds it: without this, whoever opens and
//! resets streams would have thousands of them at once, and the processor with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::limits::{
    BRAKES_PER_OPERATOR_MAX, CALLS_REFUSED_LOG_SECONDS, CHANGES_PER_OPERATOR_MAX, COUNTS_PER_OPERATOR_MAX,
    READS_PER_OPERATOR_MAX, URGENT_READS_PER_OPERATOR_MAX,
};

use super::Broker;
use super::operate::Caller;

/// What a call is for. Each has places of its own, so that none keeps another out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// It takes authority away.
    Brake,
    /// It changes something else.
    Change,
    /// It counts what a revocation ended, after that was done: no call waits for its place.
    Count,
    /// It looks at something.
    Read,
    /// It looks at what leads to a session, or to what ends something.
    Urgent,
}

impl Share {
    /// How many of one operator are under way at most.
    pub const fn places(self) -> usize {
        match self {
            Self::Brake => BRAKES_PER_OPERATOR_MAX,
            Self::Change => CHANGES_PER_OPERATOR_MAX,
            Self::Count => COUNTS_PER_OPERATOR_MAX,
            Self::Read => READS_PER_OPERATOR_MAX,
            Self::Urgent => URGENT_READS_PER_OPERATOR_MAX,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Brake => "revoke, lock or end something",
            Self::Change => "change something",
            Self::Count => "count what they ended",
            Self::Read => "read something",
            Self::Urgent => "look at locks or break-glass",
        }
    }
}

/// The operator has as many of the kind under way as one may.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{} calls of this operator that {} are under way; wait for them", .0.places(), .0.what())]
pub struct TooManyCalls(pub Share);

/// What is under way. Each operator has shares of their own and takes none of another's, so all together are bounded by the
/// registry; and those of the certificate are not those of the user, so that whoever has stolen the one does not fill the
/// places of the other.
#[derive(Clone, Debug, Default)]
pub struct Underway(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    counts: HashMap<(Caller, Share), usize>,
    logged: Option<Instant>,
}

/// The place of one call; free again when dropped.
#[derive(Debug)]
pub struct Place {
    underway: Underway,
    held: (Caller, Share),
}

impl Underway {
    /// Begins a call.
    ///
    /// # Errors
    /// [`TooManyCalls`]. Of those that come in ten seconds one is a line of the daemon's log.
    pub fn begin(&self, caller: &Caller, share: Share) -> Result<Place, TooManyCalls> {
        let held = (caller.clone(), share);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.counts.get(&held).copied().unwrap_or_default();
        if count >= share.places() {
            let due = known.is_due();
            drop(known);
            if due {
                tracing::warn!(%caller, ?share, "too many calls of one operator are under way; others are not told of");
            }
            return Err(TooManyCalls(share));
        }
        known.counts.insert(held.clone(), count.saturating_add(1));
        drop(known);
        Ok(Place { underway: self.clone(), held })
    }

    /// How many calls are under way.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counts.values().sum()
    }
}

impl Known {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let quiet = Duration::from_secs(CALLS_REFUSED_LOG_SECONDS);
        let due = self.logged.is_none_or(|last| now.duration_since(last) >= quiet);
        if due {
            self.logged = Some(now);
        }
        due
    }
}

impl Place {
    /// Whose it is.
    pub const fn caller(&self) -> &Caller {
        &self.held.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.underway.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.counts.get_mut(&self.held) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => {
                known.counts.remove(&self.held);
            }
        }
    }
}

impl Broker {
    /// The calls of operators that are under way.
    pub const fn underway(&self) -> &Underway {
        &self.underway
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Share; 5] = [Share::Brake, Share::Change, Share::Count, Share::Read, Share::Urgent];

    #[test]
    fn each_operator_has_their_own_shares_and_what_is_over_is_free_again() {
        let underway = Underway::default();
        let [alice, bob] = ["alice", "bob"].map(|name| Caller::Certificate(name.parse().unwrap()));
        for share in ALL {
            let begun: Vec<Place> =
                (0..share.places()).map(|_| underway.begin(&alice, share).unwrap()).collect();
            assert_eq!(underway.begin(&alice, share).err(), Some(TooManyCalls(share)));
            let other = underway.begin(&bob, share).unwrap();
            assert_eq!(underway.count(), share.places() + 1);
            drop(begun);
            assert_eq!(underway.count(), 1);
            assert!(underway.begin(&alice, share).is_ok());
            drop(other);
            assert_eq!(underway.count(), 0);
        }
        assert!(underway.0.lock().unwrap().counts.is_empty(), "nobody is remembered who does nothing");
    }

    #[test]
    fn no_kind_of_call_keeps_another_out_and_no_certificate_the_socket() {
        for full in ALL {
            let (underway, stolen) = (Underway::default(), Caller::Certificate("alice".parse().unwrap()));
            let _begun: Vec<Place> =
                (0..full.places()).map(|_| underway.begin(&stolen, full).unwrap()).collect();
            for share in ALL {
                assert_eq!(underway.begin(&stolen, share).is_ok(), share != full, "{full:?}, {share:?}");
                assert!(underway.begin(&Caller::Uid(1000), share).is_ok(), "{full:?}, {share:?}");
            }
        }
    }
}
