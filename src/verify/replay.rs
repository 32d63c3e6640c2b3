//! Remembers the DPoP proofs that were used, as long as they could be used again (RFC 9449 section 11.1).
//!
//! Bounded in number and by holder: who floods it with proofs is refused before anybody else is.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::refusal::BadProof;
use crate::domain::digest::Digest;
use crate::domain::time::Timestamp;

/// Parts of the memory with a lock each.
const SHARDS: usize = 16;
/// Seconds of proofs' making that one generation holds.
const GENERATION_SECONDS: i64 = 30;

/// The proofs that were used.
#[derive(Debug)]
pub struct Replays {
    shards: Vec<Mutex<Shard>>,
    /// Proofs of one shard.
    most: usize,
}

/// 128 bits of a digest over holder and `jti`: nobody finds two proofs of one.
type Key = [u8; 16];

#[derive(Debug, Default)]
struct Shard {
    generations: VecDeque<Generation>,
    held: usize,
}

#[derive(Debug)]
struct Generation {
    /// The proofs' `iat` by [`GENERATION_SECONDS`].
    number: i64,
    seen: HashSet<Key>,
    /// How many of them are whose.
    holders: HashMap<Key, usize>,
}

impl Replays {
    /// Room for some `most` proofs.
    pub fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, most: most.div_ceil(SHARDS) }
    }

    /// Notes the proof `jti` of the key `jkt`, made at `iat` seconds. It is remembered until `lives_seconds` after.
    ///
    /// # Errors
    /// When it was noted before, or there is no room to tell.
    pub fn note(
        &self,
        jkt: &str,
        jti: &str,
        iat: i64,
        lives_seconds: i64,
        now: Timestamp,
    ) -> Result<(), BadProof> {
        let key = short(&format!("{jkt}\0{jti}"));
        let holder = short(jkt);
        let at = usize::from(key.first().copied().unwrap_or(0)) % SHARDS;
        let Some(shard) = self.shards.get(at) else { return Err(BadProof::Full) };
        // A thread that died here left the sets whole: each is changed by one call.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.forget(now.seconds().saturating_sub(lives_seconds));
        if shard.generations.iter().any(|generation| generation.seen.contains(&key)) {
            return Err(BadProof::Replayed);
        }
        let own: usize =
            shard.generations.iter().filter_map(|generation| generation.holders.get(&holder)).sum();
        // Half, so that no holder keeps the others out.
        if shard.held >= self.most || own >= self.most.div_ceil(2) {
            return Err(BadProof::Full);
        }
        shard.add(iat.div_euclid(GENERATION_SECONDS), key, holder);
        Ok(())
    }
}

impl Shard {
    /// Drops the generations whose proofs are all older than `oldest` seconds.
    fn forget(&mut self, oldest: i64) {
        let live = |generation: &Generation| (generation.number + 1) * GENERATION_SECONDS > oldest;
        self.generations.retain(live);
        self.held = self.generations.iter().map(|generation| generation.seen.len()).sum();
    }

    fn add(&mut self, number: i64, key: Key, holder: Key) {
        let found = self.generations.iter_mut().find(|generation| generation.number == number);
        let generation = match found {
            Some(generation) => generation,
            None => {
                self.generations.push_back(Generation {
                    number,
                    seen: HashSet::new(),
                    holders: HashMap::new(),
                });
                let Some(newest) = self.generations.back_mut() else { return };
                newest
            }
        };
        generation.seen.insert(key);
        *generation.holders.entry(holder).or_default() += 1;
        self.held += 1;
    }
}

fn short(text: &str) -> Key {
    let digest = Digest::of(text.as_bytes());
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: i64 = 60;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(9_000 + seconds)
    }

    #[test]
    fn a_proof_is_taken_once_as_long_as_it_lives() {
        let replays = Replays::new(1024);
        let note = |jkt: &str, jti: &str, now| replays.note(jkt, jti, at(0).seconds(), LIVES, at(now));
        assert_eq!(note("a", "1", 0), Ok(()));
        for now in [0, 1, 59, 60] {
            assert_eq!(note("a", "1", now), Err(BadProof::Replayed), "{now}");
        }
        // The same number of another holder is another proof.
        assert_eq!(note("b", "1", 1), Ok(()));
        // Nor is the border between the two names ambiguous.
        assert_eq!(note("a1", "", 1), Ok(()));
    }

    #[test]
    fn what_can_no_longer_be_used_is_forgotten() {
        let replays = Replays::new(1024);
        for n in 0..500 {
            let _ = replays.note("a", &n.to_string(), at(0).seconds(), LIVES, at(0));
        }
        let held = || -> usize { replays.shards.iter().map(|shard| shard.lock().unwrap().held).sum() };
        assert!(held() > 400);
        for n in 0..500 {
            let _ = replays.note("b", &n.to_string(), at(200).seconds(), LIVES, at(200));
        }
        assert!(held() <= 500, "{}", held());
    }

    #[test]
    fn a_flood_by_one_holder_leaves_room_for_others_and_memory_is_bounded() {
        let most = 1600;
        let replays = Replays::new(most);
        let flood = |jkt: &str| {
            let taken = (0..4 * most)
                .filter(|n| replays.note(jkt, &n.to_string(), at(0).seconds(), LIVES, at(0)).is_ok());
            taken.count()
        };
        let first = flood("attacker");
        assert!(first <= most / 2 + SHARDS, "{first}");
        assert_eq!(replays.note("attacker", "x", at(0).seconds(), LIVES, at(0)), Err(BadProof::Full));
        assert_eq!(replays.note("somebody", "x", at(0).seconds(), LIVES, at(0)), Ok(()));
        let all = first + flood("another") + flood("a third");
        assert!(all <= most + SHARDS, "{all}");
    }
}
