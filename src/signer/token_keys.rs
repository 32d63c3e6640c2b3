//! Which key signs tokens, and since when: a list in which each key takes over from the one before it.
//!
//! All of it follows from the times: from its `use_at` a key signs, until the next one does; it is trusted
//! until the last token that it signed has ended. It knows no files.

use std::fmt;
use std::sync::Arc;

use super::key::VerifyingKey;
use crate::domain::limits::TOKEN_KEY_OVERLAP_SECONDS;
use crate::domain::signer::Signer;
use crate::domain::time::Timestamp;

/// One key.
#[derive(Clone)]
pub struct TokenKey {
    signer: Arc<dyn Signer>,
    verifying: VerifyingKey,
    use_at: Timestamp,
}

/// What a key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is published, and will sign.
    Published,
    /// It signed what may still be live.
    Retiring,
    /// It signs.
    Signing,
}

/// A key's public facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKeyView {
    /// Its id.
    pub kid: String,
    /// Its algorithm's JOSE name.
    pub algorithm: &'static str,
    /// What it does now.
    pub phase: Phase,
    /// When it began or begins to sign; the epoch for the first key.
    pub use_at: Timestamp,
    /// When it is dropped; `None` while no other is to take over.
    pub drop_at: Option<Timestamp>,
}

/// The keys, by the time of their first use. Never empty.
#[derive(Clone)]
pub struct TokenKeys {
    first: TokenKey,
    later: Vec<TokenKey>,
}

impl TokenKey {
    /// A key that signs from `use_at` on.
    pub fn new(signer: Arc<dyn Signer>, use_at: Timestamp) -> Self {
        Self { verifying: VerifyingKey::of(&*signer), signer, use_at }
    }

    /// Signs.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// When it begins to sign.
    pub const fn use_at(&self) -> Timestamp {
        self.use_at
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        self.verifying.kid()
    }
}

impl TokenKeys {
    /// These keys. `None` when there is none.
    pub fn new(mut keys: Vec<TokenKey>) -> Option<Self> {
        // Stable: of two with one time, the later in the list signs.
        keys.sort_by_key(|key| key.use_at);
        let mut keys = keys.into_iter();
        let first = keys.next()?;
        Some(Self { first, later: keys.collect() })
    }

    /// All keys, also those whose time has passed.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &TokenKey> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// With one more.
    pub fn with(&self, key: TokenKey) -> Self {
        let keys = self.all().cloned().chain([key]).collect();
        Self::new(keys).unwrap_or_else(|| self.clone())
    }

    /// The key of tokens that are issued at `time`.
    pub fn signing(&self, time: Timestamp) -> &TokenKey {
        self.all().rev().find(|key| key.use_at <= time).unwrap_or(&self.first)
    }

    /// The keys that verifiers trust at `now`: all but those whose last token has ended.
    pub fn trusted(&self, now: Timestamp) -> impl Iterator<Item = &TokenKey> {
        self.with_ends()
            .filter(move |(_, drop_at)| drop_at.is_none_or(|drop_at| drop_at > now))
            .map(|(key, _)| key)
    }

    /// The keys that stay after a drop at `now`, and the ids of those that go.
    pub fn after_drop(&self, now: Timestamp) -> (Self, Vec<String>) {
        let stay: Vec<TokenKey> = self.trusted(now).cloned().collect();
        let stay = Self::new(stay).unwrap_or_else(|| self.clone());
        let gone = self.all().filter(|key| !stay.all().any(|one| one.kid() == key.kid()));
        let gone = gone.map(|key| key.kid().to_owned()).collect();
        (stay, gone)
    }

    /// Those without the key `kid`; `None` when it is not one that signed before the key of `now`.
    pub fn without(&self, kid: &str, now: Timestamp) -> Option<Self> {
        if !self.has_succeeded(kid, now) {
            return None;
        }
        Self::new(self.all().filter(|key| key.kid() != kid).cloned().collect())
    }

    /// Whether `kid` is a key that another one took over from.
    pub fn has_succeeded(&self, kid: &str, now: Timestamp) -> bool {
        let signing = self.signing(now);
        signing.kid() != kid && self.all().any(|key| key.kid() == kid && key.use_at <= now)
    }

    /// The public facts of the keys that are trusted at `now`.
    pub fn views(&self, now: Timestamp) -> Vec<TokenKeyView> {
        let signing = self.signing(now).kid();
        let view = |(key, drop_at): (&TokenKey, Option<Timestamp>)| TokenKeyView {
            kid: key.kid().to_owned(),
            algorithm: key.signer.algorithm().jose(),
            phase: match (key.kid() == signing, key.use_at > now) {
                (true, _) => Phase::Signing,
                (false, true) => Phase::Published,
                (false, false) => Phase::Retiring,
            },
            use_at: key.use_at,
            drop_at,
        };
        self.with_ends().filter(|(_, end)| end.is_none_or(|end| end > now)).map(view).collect()
    }

    /// The public halves of the keys that are trusted at `now`.
    pub fn verifying(&self, now: Timestamp) -> Vec<VerifyingKey> {
        self.trusted(now).map(|key| key.verifying.clone()).collect()
    }

    /// Each key with the time at which it is dropped: when the last token that it signed has ended.
    fn with_ends(&self) -> impl Iterator<Item = (&TokenKey, Option<Timestamp>)> {
        let next = self.all().skip(1).map(|key| Some(key.use_at)).chain([None]);
        let end = |time: Timestamp| time.plus_millis(TOKEN_KEY_OVERLAP_SECONDS * 1000);
        self.all().zip(next).map(move |(key, next)| (key, next.map(end)))
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(TokenKey::kid)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signer::Algorithm;
    use crate::signer::fixture::signer;

    const START: Timestamp = Timestamp::from_seconds(1_795_435_200);

    fn key(seconds: i64) -> TokenKey {
        TokenKey::new(signer(Algorithm::Ed25519), START.plus_millis(seconds * 1000))
    }

    fn at(seconds: i64) -> Timestamp {
        START.plus_millis(seconds * 1000)
    }

    #[test]
    fn a_key_signs_from_its_time_and_is_trusted_until_its_last_token_has_ended() {
        let (old, new) = (TokenKey::new(signer(Algorithm::Ed25519), Timestamp::default()), key(600));
        let keys = TokenKeys::new(vec![old.clone()]).unwrap().with(new.clone());
        for (seconds, signing) in [(0, &old), (599, &old), (600, &new), (10_000, &new)] {
            assert_eq!(keys.signing(at(seconds)).kid(), signing.kid(), "{seconds}");
        }
        let trusted = |seconds| keys.trusted(at(seconds)).count();
        assert_eq!((trusted(0), trusted(600), trusted(1_599), trusted(1_600)), (2, 2, 2, 1));
        // The last token of the old key is minted just before the switch and lives for 900 s.
        let last = at(599).plus_millis(999 + 900_000);
        assert!(keys.trusted(last).any(|key| key.kid() == old.kid()));
        let (stay, gone) = keys.after_drop(at(1_600));
        assert_eq!((stay.all().count(), gone), (1, vec![old.kid().to_owned()]));
        assert_eq!(keys.after_drop(at(1_599)).1, Vec::<String>::new());
    }

    #[test]
    fn phases_follow_the_time() {
        let keys = TokenKeys::new(vec![key(0), key(600)]).unwrap();
        let phases = |seconds| keys.views(at(seconds)).iter().map(|view| view.phase).collect::<Vec<_>>();
        assert_eq!(phases(1), [Phase::Signing, Phase::Published]);
        assert_eq!(phases(600), [Phase::Retiring, Phase::Signing]);
        assert_eq!(phases(1_600), [Phase::Signing]);
    }

    #[test]
    fn the_only_key_is_never_dropped_and_none_is_no_list() {
        let keys = TokenKeys::new(vec![key(0)]).unwrap();
        assert_eq!(keys.after_drop(at(i64::from(u32::MAX))).0.all().count(), 1);
        assert_eq!(keys.signing(Timestamp::default()).kid(), keys.first.kid(), "before all, the first signs");
        assert!(TokenKeys::new(vec![]).is_none());
    }

    #[test]
    fn an_urgent_key_takes_over_from_one_that_waits() {
        let (old, waiting, urgent) = (key(0), key(600), key(100));
        let keys = TokenKeys::new(vec![old, waiting.clone()]).unwrap().with(urgent.clone());
        assert_eq!(keys.signing(at(100)).kid(), urgent.kid());
        assert_eq!(keys.signing(at(600)).kid(), waiting.kid());
    }
}
