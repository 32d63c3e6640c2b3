//! Who is turned away at a listener: counted, and now and then said in the daemon's log.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// How often somebody who is turned away gets a line in the log; the others are counted only, because anybody
/// who reaches the listener can cause them.
const REJECTED_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Lets through what happened first in each [`REJECTED_LOG_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct Sampled(Mutex<Option<Instant>>);

impl Sampled {
    pub(super) fn is_due(&self) -> bool {
        let now = Instant::now();
        // Whoever holds the lock is about to log.
        let Ok(mut logged) = self.0.try_lock() else { return false };
        let due = logged.is_none_or(|last| now.duration_since(last) >= REJECTED_LOG_INTERVAL);
        if due {
            *logged = Some(now);
        }
        due
    }
}

/// Counters by listener and reason.
pub(super) type Refusals = Family<RefusedLabel, Counter>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusedLabel {
    listener: &'static str,
    reason: &'static str,
}

/// Counts the connections of one listener that came to nothing.
#[derive(Clone, Debug)]
pub struct RefusedConnections {
    counters: Refusals,
    listener: &'static str,
    said: Arc<Sampled>,
}

impl RefusedConnections {
    /// Those of one listener among all.
    pub(super) fn new(counters: &Refusals, listener: &'static str) -> Self {
        Self { counters: counters.clone(), listener, said: Arc::default() }
    }

    /// One more, for this reason: one of a closed set of words.
    pub fn count(&self, reason: &'static str) {
        self.counters.get_or_create(&RefusedLabel { listener: self.listener, reason }).inc();
    }

    /// One more, whose certificate is not believed here: now and then that is said in the log.
    pub fn count_certificate(&self, reason: &'static str, address: SocketAddr) {
        self.count(reason);
        if self.said.is_due() {
            tracing::warn!(
                listener = self.listener,
                reason,
                %address,
                "a certificate was refused; others in this second are counted only"
            );
        }
    }
}

/// Counts the calls at one listener that only operators may make, and none of whom made.
#[derive(Clone, Debug)]
pub struct RejectedOperators {
    counters: Refusals,
    listener: &'static str,
    said: Arc<Sampled>,
}

impl RejectedOperators {
    /// Those of one listener among all.
    pub(super) fn new(counters: &Refusals, listener: &'static str) -> Self {
        Self { counters: counters.clone(), listener, said: Arc::default() }
    }

    /// One more, for this reason: one of a closed set of words. Now and then it is said in the log, with the caller.
    pub fn count(&self, reason: &'static str, rpc: &'static str, caller: impl FnOnce() -> String) {
        self.counters.get_or_create(&RefusedLabel { listener: self.listener, reason }).inc();
        if self.said.is_due() {
            let caller = caller();
            tracing::warn!(
                listener = self.listener,
                reason,
                rpc,
                caller,
                "an operator's call of somebody who is none, or at another door; others in this second are counted only"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_one_of_a_moment_is_said() {
        let (counters, mut said) = (Refusals::default(), 0);
        let rejected = RejectedOperators::new(&counters, "admin");
        for _ in 0..1_000 {
            // Asked for when it is said, and then only.
            rejected.count("not-an-operator", "Service/Method", || {
                said += 1;
                String::new()
            });
        }
        let label = RefusedLabel { listener: "admin", reason: "not-an-operator" };
        assert_eq!(counters.get_or_create(&label).get(), 1_000);
        assert!((1..10).contains(&said), "{said}");
        // Nobody's noise at one listener hides what happens at another.
        let other = RejectedOperators::new(&counters, "break_glass");
        let mut heard = false;
        other.count("not-an-operator", "Service/Method", || {
            heard = true;
            String::new()
        });
        assert!(heard);
    }
}
