//! Rate limits, keyed on the attested identity: for each agent and action, by the catalogue's rate.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::catalogue::Rate;
use crate::domain::name::{ActionName, AgentId};

/// Requests for actions that the agent does not have, in one second: enough for a mistake in a loop to
/// be seen in the log, too few to fill it.
const UNKNOWN_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

type Key = (AgentId, Option<ActionName>);

/// All limiters. One for each distinct rate; actions of the same rate share it under different keys.
#[derive(Debug, Default)]
pub struct Limits {
    by_rate: RwLock<HashMap<Rate, Arc<DefaultKeyedRateLimiter<Key>>>>,
}

/// Too many requests.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("too many requests, retry in {} ms", .retry.as_millis())]
pub struct TooMany {
    /// When the next one would be let through.
    pub retry: Duration,
}

impl Limits {
    /// Counts one request of `agent` for an action with its rate, or for one that it does not have.
    ///
    /// # Errors
    /// [`TooMany`] when the rate is used up.
    pub fn check(&self, agent: &AgentId, action: Option<(&ActionName, Rate)>) -> Result<(), TooMany> {
        let unknown = Rate { count: UNKNOWN_PER_SECOND, seconds: NonZeroU32::MIN };
        let rate = action.map_or(unknown, |(_, rate)| rate);
        let key = (agent.clone(), action.map(|(name, _)| name.clone()));
        let clock = DefaultClock::default();
        self.of(rate).check_key(&key).map_err(|wait| TooMany { retry: wait.wait_time_from(clock.now()) })
    }

    /// Forgets agents that have been quiet long enough for their limits to be full again.
    pub fn forget(&self) {
        let limiters: Vec<_> =
            self.by_rate.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for limiter in limiters {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    fn of(&self, rate: Rate) -> Arc<DefaultKeyedRateLimiter<Key>> {
        // A read lock on a map that is written once for each distinct rate of the registry.
        if let Some(limiter) = self.by_rate.read().unwrap_or_else(PoisonError::into_inner).get(&rate) {
            return Arc::clone(limiter);
        }
        let mut limiters = self.by_rate.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limiters.entry(rate).or_insert_with(|| Arc::new(RateLimiter::keyed(quota(rate)))))
    }
}

fn quota(rate: Rate) -> Quota {
    let period = Duration::from_secs(u64::from(rate.seconds.get())) / rate.count.get();
    // The period is zero only for rates above one a nanosecond.
    Quota::with_period(period)
        .map_or_else(|| Quota::per_second(rate.count), |quota| quota.allow_burst(rate.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_at_n_and_refuses_n_plus_one_for_each_agent() {
        let limits = Limits::default();
        let agent: AgentId = "spiffe://td/tenant/t/agent/a".parse().unwrap();
        let other: AgentId = "spiffe://td/tenant/t/agent/b".parse().unwrap();
        let action: ActionName = "demo.read".parse().unwrap();
        let rate: Rate = "3/h".parse().unwrap();
        for _ in 0..3 {
            assert_eq!(limits.check(&agent, Some((&action, rate))), Ok(()));
        }
        let refused = limits.check(&agent, Some((&action, rate))).unwrap_err();
        assert!(refused.retry > Duration::from_secs(60), "{refused:?}");
        assert_eq!(limits.check(&other, Some((&action, rate))), Ok(()));
        let second: ActionName = "demo.write".parse().unwrap();
        assert_eq!(limits.check(&agent, Some((&second, rate))), Ok(()), "actions are counted apart");
    }
}
