//! Remembers which tokens' signatures were checked, so that a token in use is checked once and not on every
//! request.
//!
//! A signature does not change its mind, so nothing that a revocation should end is kept: lifetime, proof,
//! status and constraints are judged anew each time, and other trusted keys make other memories.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::authority::Authority;
use crate::domain::digest::Digest;

/// Parts of the memory with a lock each.
const SHARDS: usize = 16;

/// A token that was read and whose signature verified.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) authority: Authority,
    /// Seconds since the epoch.
    pub(super) not_before: i64,
}

/// The tokens that are known.
#[derive(Debug)]
pub(super) struct Known {
    shards: Vec<Mutex<Shard>>,
    most: usize,
}

/// Two generations: what is not asked for while one fills is forgotten with the other.
#[derive(Debug, Default)]
struct Shard {
    newer: HashMap<Digest, Arc<Read>>,
    older: HashMap<Digest, Arc<Read>>,
}

impl Known {
    /// Room for some `most` tokens.
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, most: most.div_ceil(2 * SHARDS) }
    }

    fn shard(&self, key: &Digest) -> Option<&Mutex<Shard>> {
        let first = key.as_bytes().first().copied().unwrap_or(0);
        self.shards.get(usize::from(first) % SHARDS)
    }

    pub(super) fn find(&self, key: &Digest) -> Option<Arc<Read>> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = shard.newer.get(key) {
            return Some(Arc::clone(read));
        }
        let read = shard.older.remove(key)?;
        shard.put(*key, Arc::clone(&read), self.most);
        Some(read)
    }

    pub(super) fn put(&self, key: Digest, read: &Arc<Read>) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).put(key, Arc::clone(read), self.most);
        }
    }
}

impl Shard {
    fn put(&mut self, key: Digest, read: Arc<Read>, most: usize) {
        if self.newer.len() >= most {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture;

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_in_use() {
        let known = Known::new(320);
        let read = Arc::new(Read { authority: fixture::authority(), not_before: 0 });
        let used = Digest::of(b"in use");
        known.put(used, &read);
        for n in 0..10_000_u32 {
            known.put(Digest::of(&n.to_be_bytes()), &read);
            assert!(known.find(&used).is_some(), "{n}");
        }
        let held = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.newer.len() + shard.older.len()
        };
        let all: usize = known.shards.iter().map(held).sum();
        assert!(all <= 320 + SHARDS, "{all}");
    }
}
