//! Whether a credential was ended: what a verifier asks on every request, and a state in memory that answers.

use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwap;

use super::authority::Authority;
use crate::domain::limits::FEED_AGE_SECONDS_MAX;
use crate::domain::revocation::Revocations;
use crate::domain::time::Timestamp;

/// Whether a credential was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was revoked or given back.
    Ended,
    /// It was not, as far as was heard up to an age that is acceptable.
    Live,
    /// It can't be said. A verifier refuses.
    Unknown,
}

/// Knows which credentials were ended.
///
/// An implementer promises: the answer comes from memory, without waiting; what was once said to be
/// [`Status::Ended`] is never said to be live again; and [`Status::Live`] is said only of what is known.
pub trait Standing: Send + Sync {
    /// Whether the credential was ended, at `now`.
    fn standing(&self, credential: &Authority, now: Timestamp) -> Status;
}

/// What a verifier does when it no longer hears of revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLost {
    /// It goes on with what it last heard, for as many seconds, [`FEED_AGE_SECONDS_MAX`] at most. Meanwhile a
    /// revoked credential may pass.
    DangerousBestEffort(u32),
    /// It refuses everything until it hears again.
    Strict,
}

/// A state that follows a feed of revocations. What feeds it calls [`Followed::replace`] with each state, and
/// [`Followed::heard`] when there was nothing new.
#[derive(Debug)]
pub struct Followed {
    state: ArcSwap<Heard>,
    /// Makes newer states of the newest only.
    turn: Mutex<()>,
    /// How long after the last word the feed counts as lost, in seconds.
    silence_seconds: u32,
    when_lost: WhenLost,
}

#[derive(Clone, Debug, Default)]
struct Heard {
    revocations: Revocations,
    epoch: u64,
    /// When something was last heard; never, at the start.
    last: Option<Timestamp>,
}

impl Followed {
    /// A state that knows nothing yet. The feed counts as lost after `silence_seconds` without a word.
    pub fn new(silence_seconds: u32, when_lost: WhenLost) -> Self {
        Self { state: ArcSwap::default(), turn: Mutex::new(()), silence_seconds, when_lost }
    }

    /// Takes a newer state. One of an earlier epoch than the state's is left alone: a feed that went back
    /// would bring ended credentials to life.
    pub fn replace(&self, revocations: Revocations, epoch: u64, now: Timestamp) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch < self.state.load().epoch {
            return false;
        }
        self.state.store(Heard { revocations, epoch, last: Some(now) }.into());
        true
    }

    /// Notes that the state is still the newest.
    pub fn heard(&self, now: Timestamp) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state.load();
        // Without a first state there is nothing that could be the newest.
        if state.last.is_some() {
            self.state.store(Heard { last: Some(now), ..Heard::clone(&state) }.into());
        }
    }

    /// The epoch up to which everything is known.
    pub fn epoch(&self) -> u64 {
        self.state.load().epoch
    }

    fn is_current(&self, heard: &Heard, now: Timestamp) -> bool {
        let allowed = match self.when_lost {
            WhenLost::DangerousBestEffort(seconds) => {
                self.silence_seconds.max(seconds.min(FEED_AGE_SECONDS_MAX))
            }
            WhenLost::Strict => self.silence_seconds,
        };
        // A word from the future is of a clock that was set back since: its age is not known.
        let age = heard.last.map(|last| now.millis_since(last));
        age.is_some_and(|age| (0..=i64::from(allowed) * 1000).contains(&age))
    }
}

impl Standing for Followed {
    fn standing(&self, credential: &Authority, now: Timestamp) -> Status {
        let heard = self.state.load();
        // What ended has ended, however old the news.
        if is_ended(&heard.revocations, credential) {
            return Status::Ended;
        }
        if self.is_current(&heard, now) { Status::Live } else { Status::Unknown }
    }
}

/// Whether these revocations end the credential.
pub fn is_ended(revocations: &Revocations, credential: &Authority) -> bool {
    revocations.ended(&credential.id, &credential.agent, credential.issued).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::credential::{Ended, EndedHow};
    use crate::verify::fixture;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(fixture::NOW.seconds() + seconds)
    }

    fn ended(time: Timestamp) -> Arc<Ended> {
        let (actor, reason) = ("alice".into(), "leaked".into());
        Arc::new(Ended { how: EndedHow::Revoked, actor, reason, time, index: 1 })
    }

    #[test]
    fn before_the_first_word_nothing_is_known() {
        for when_lost in [WhenLost::Strict, WhenLost::DangerousBestEffort(60)] {
            let state = Followed::new(5, when_lost);
            state.heard(at(0));
            assert_eq!(state.standing(&fixture::authority(), at(0)), Status::Unknown);
            state.replace(Revocations::default(), 0, at(0));
            assert_eq!(state.standing(&fixture::authority(), at(0)), Status::Live);
        }
    }

    #[test]
    fn a_lost_feed_is_unknown_at_once_when_strict_and_in_the_end_always() {
        let lives = |when_lost, seconds| {
            let state = Followed::new(5, when_lost);
            state.replace(Revocations::default(), 1, at(0));
            state.standing(&fixture::authority(), at(seconds)) == Status::Live
        };
        assert!(lives(WhenLost::Strict, 5));
        assert!(!lives(WhenLost::Strict, 6));
        assert!(lives(WhenLost::DangerousBestEffort(60), 60));
        assert!(!lives(WhenLost::DangerousBestEffort(60), 61));
        // No configuration goes beyond the bound.
        let bound = i64::from(FEED_AGE_SECONDS_MAX);
        assert!(lives(WhenLost::DangerousBestEffort(u32::MAX), bound));
        assert!(!lives(WhenLost::DangerousBestEffort(u32::MAX), bound + 1));
        // A clock that was set back does not make old news new.
        assert!(!lives(WhenLost::Strict, -1));
    }

    #[test]
    fn what_ended_stays_ended_without_the_feed_and_under_an_older_state() {
        let state = Followed::new(5, WhenLost::Strict);
        let authority = fixture::authority();
        let mut revocations = Revocations::default();
        revocations.end_agent(authority.agent.clone(), ended(at(1)));
        assert!(state.replace(revocations, 7, at(1)));
        assert_eq!(state.standing(&authority, at(1)), Status::Ended);
        assert_eq!(state.standing(&authority, at(1_000)), Status::Ended);
        assert!(!state.replace(Revocations::default(), 6, at(2)));
        assert_eq!(state.standing(&authority, at(2)), Status::Ended);
        assert_eq!(state.epoch(), 7);
    }

    #[test]
    fn a_word_without_news_keeps_the_state_current() {
        let state = Followed::new(5, WhenLost::Strict);
        state.replace(Revocations::default(), 3, at(0));
        state.heard(at(5));
        assert_eq!(state.standing(&fixture::authority(), at(10)), Status::Live);
        assert_eq!(state.epoch(), 3);
    }
}
