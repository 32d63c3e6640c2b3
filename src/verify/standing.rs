//! Whether a credential was ended: what a verifier asks on every request, and a state in memory that answers.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::authority::Authority;
use super::ends::{End, Ends};
use crate::domain::limits::FEED_AGE_SECONDS_MAX;
use crate::domain::lost_feed::Grace;
use crate::domain::name::Audience;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenLost {
    /// What the API's entry in the broker's registry says, as the feed told last.
    #[default]
    AsRegistered,
    /// Whatever the entry says, it goes on with what it last heard, for as many seconds, [`FEED_AGE_SECONDS_MAX`] at most. Meanwhile a
    /// revoked credential may pass.
    DangerousBestEffort(u32),
    /// Whatever the entry says, it refuses everything until it hears again.
    Strict,
}

/// A state that follows a feed of revocations. What feeds it calls [`Followed::begin`] with each snapshot, and
/// [`Followed::hear`] with each message after it, empty ones too; and with each the time at which the broker was there for
/// certain, that is before a call that it answered, and not when a message was read.
#[derive(Debug)]
pub struct Followed {
    heard: RwLock<Heard>,
    /// How long after the last word the feed counts as lost, in seconds.
    silence_seconds: u32,
    when_lost: WhenLost,
}

#[derive(Debug, Default)]
struct Heard {
    ends: Ends,
    epoch: u64,
    /// When the feed was there for certain; never, at the start.
    last: Option<Timestamp>,
    /// For how long to go on without a word, by audience; any other not at all.
    graces: HashMap<Audience, Grace>,
    /// When what no longer matters was last forgotten.
    tidied: Timestamp,
}

/// How often what no longer matters is forgotten, in milliseconds.
const TIDY_EVERY_MS: i64 = 60_000;

impl Followed {
    /// A state that knows nothing yet. The feed counts as lost after `silence_seconds` without a word,
    /// [`FEED_AGE_SECONDS_MAX`] at most: so long after a verifier went away the broker still names it.
    pub fn new(silence_seconds: u32, when_lost: WhenLost) -> Self {
        let silence_seconds = silence_seconds.min(FEED_AGE_SECONDS_MAX);
        Self { heard: RwLock::default(), silence_seconds, when_lost }
    }

    /// Takes a whole snapshot of `epoch`. One of an earlier epoch than the state's is left alone, and the
    /// answer is `false`: a feed that went back would bring ended credentials to life.
    pub fn begin(&self, ends: Ends, epoch: u64, now: Timestamp) -> bool {
        let mut heard = self.write();
        if epoch < heard.epoch {
            return false;
        }
        let graces = std::mem::take(&mut heard.graces);
        *heard = Heard { ends, epoch, last: Some(now), graces, tidied: now };
        true
    }

    /// Takes what ended after the state's epoch, up to `epoch`. Before the first snapshot it says nothing.
    pub fn hear(&self, ends: impl IntoIterator<Item = End>, epoch: u64, now: Timestamp) {
        let mut heard = self.write();
        if heard.last.is_none() {
            return;
        }
        ends.into_iter().for_each(|end| heard.ends.add(end));
        heard.epoch = heard.epoch.max(epoch);
        heard.last = Some(now);
        if now.millis_since(heard.tidied) > TIDY_EVERY_MS {
            heard.ends.forget(now);
            heard.tidied = now;
        }
    }

    /// Takes what the registry says of APIs whose verifiers go on for a while; those of every other one refuse. It
    /// takes the place of what was told before, and counts for [`WhenLost::AsRegistered`].
    pub fn go_by(&self, graces: HashMap<Audience, Grace>) {
        self.write().graces = graces;
    }

    /// The epoch up to which everything is known; 0 before the first snapshot.
    pub fn epoch(&self) -> u64 {
        self.read().epoch
    }

    /// How long after the last word something is said of an API, in seconds.
    fn allowed(&self, heard: &Heard, audience: &Audience) -> u32 {
        match self.when_lost {
            WhenLost::AsRegistered => {
                let grace = heard.graces.get(audience).map_or(0, |grace| grace.seconds());
                self.silence_seconds.max(grace)
            }
            WhenLost::DangerousBestEffort(seconds) => {
                self.silence_seconds.max(seconds).min(FEED_AGE_SECONDS_MAX)
            }
            WhenLost::Strict => self.silence_seconds,
        }
    }

    fn is_current(&self, heard: &Heard, audience: &Audience, now: Timestamp) -> bool {
        let allowed = self.allowed(heard, audience);
        // A word from the future is of a clock that was set back since: its age is not known.
        let age = heard.last.map(|last| now.millis_since(last));
        age.is_some_and(|age| (0..=i64::from(allowed) * 1000).contains(&age))
    }

    /// A thread that died while it wrote left at worst an end out, and that one comes again with the next
    /// snapshot; nothing is written that was not heard.
    fn read(&self) -> RwLockReadGuard<'_, Heard> {
        self.heard.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Heard> {
        self.heard.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing for Followed {
    fn standing(&self, credential: &Authority, now: Timestamp) -> Status {
        let heard = self.read();
        // What ended has ended, however old the news.
        match heard.ends.status(credential) {
            Status::Live if !self.is_current(&heard, &credential.audience, now) => Status::Unknown,
            status @ (Status::Ended | Status::Live | Status::Unknown) => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::ends::Subject;
    use crate::verify::fixture;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(fixture::NOW.seconds() + seconds)
    }

    fn all(time: Timestamp) -> End {
        End { subject: Subject::All, tenants: vec![], until: Some(time), time, forget: Some(at(120)) }
    }

    #[test]
    fn before_the_first_snapshot_nothing_is_known() {
        for when_lost in [WhenLost::AsRegistered, WhenLost::Strict, WhenLost::DangerousBestEffort(60)] {
            let state = Followed::new(5, when_lost);
            state.hear([], 3, at(0));
            assert_eq!(state.standing(&fixture::authority(), at(0)), Status::Unknown);
            assert!(state.begin(Ends::default(), 0, at(0)));
            assert_eq!(state.standing(&fixture::authority(), at(0)), Status::Live);
        }
    }

    #[test]
    fn a_lost_feed_is_unknown_at_once_when_strict_and_in_the_end_always() {
        let lives = |when_lost, seconds| {
            let state = Followed::new(5, when_lost);
            state.begin(Ends::default(), 1, at(0));
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
        let silent = Followed::new(u32::MAX, WhenLost::Strict);
        silent.begin(Ends::default(), 1, at(0));
        let standing = |seconds| silent.standing(&fixture::authority(), at(seconds));
        assert_eq!((standing(bound), standing(bound + 1)), (Status::Live, Status::Unknown));
        // A clock that was set back does not make old news new.
        assert!(!lives(WhenLost::Strict, -1));
    }

    #[test]
    fn the_registry_decides_for_each_api_as_it_was_told_last() {
        let state = Followed::new(5, WhenLost::AsRegistered);
        let lives = |seconds| state.standing(&fixture::authority(), at(seconds)) == Status::Live;
        let of = |audience: &str, seconds| {
            HashMap::from([(audience.parse().unwrap(), Grace::from_seconds(seconds).unwrap())])
        };
        let own = fixture::authority().audience.to_string();
        state.go_by(of(&own, 60));
        assert!(!lives(0), "before the first snapshot nothing is known, whatever an entry says");
        state.begin(Ends::default(), 1, at(0));
        assert!(lives(60) && !lives(61));
        state.go_by(of("https://another.example", 60));
        assert!(lives(5) && !lives(6));
        // It never makes the time shorter than a silence that is none yet.
        state.go_by(of(&own, 1));
        assert!(lives(5) && !lives(6));
        // A new snapshot says nothing of it.
        state.go_by(of(&own, 60));
        state.begin(Ends::default(), 2, at(1));
        assert!(lives(61) && !lives(62));
        // What ended has ended, however good the effort.
        state.hear([all(at(2))], 3, at(2));
        assert_eq!(state.standing(&fixture::authority(), at(30)), Status::Ended);
        // The service's own setting has the last word.
        let strict = Followed::new(5, WhenLost::Strict);
        strict.begin(Ends::default(), 1, at(0));
        strict.go_by(of(&own, 60));
        assert_eq!(strict.standing(&fixture::authority(), at(6)), Status::Unknown);
    }

    #[test]
    fn what_ended_stays_ended_without_the_feed_and_under_an_older_snapshot() {
        let state = Followed::new(5, WhenLost::Strict);
        let authority = fixture::authority();
        assert!(state.begin(Ends::default(), 6, at(0)));
        state.hear([all(at(1))], 7, at(1));
        assert_eq!(state.standing(&authority, at(1)), Status::Ended);
        assert_eq!(state.standing(&authority, at(1_000)), Status::Ended);
        assert!(!state.begin(Ends::default(), 6, at(2)));
        assert_eq!(state.standing(&authority, at(2)), Status::Ended);
        assert_eq!(state.epoch(), 7);
    }

    #[test]
    fn a_word_without_news_keeps_the_state_current_and_tidies_it() {
        let state = Followed::new(5, WhenLost::Strict);
        state.begin(Ends::default(), 3, at(0));
        state.hear([], 3, at(5));
        assert_eq!(state.standing(&fixture::authority(), at(10)), Status::Live);
        assert_eq!(state.epoch(), 3);
        state.hear([all(at(6))], 4, at(6));
        assert_eq!(state.standing(&fixture::authority(), at(7)), Status::Ended);
        // Past its life nothing that it ended could pass: the token has expired.
        state.hear([], 4, at(121));
        assert_eq!(state.standing(&fixture::authority(), at(121)), Status::Live);
    }
}
