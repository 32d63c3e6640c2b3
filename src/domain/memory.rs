//! A bounded memory of what does not change, for answers that would cost too much to make again.
//!
//! It holds two generations: what is not asked for while one fills is forgotten with the other.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// Parts of the memory with a lock each.
const SHARDS: usize = 16;

/// Values by key, `most` of them or a few more.
#[derive(Debug)]
pub struct Memory<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: RandomState,
    most: usize,
}

#[derive(Debug)]
struct Shard<K, V> {
    newer: HashMap<K, Arc<V>>,
    older: HashMap<K, Arc<V>>,
}

impl<K: Copy + Eq + Hash, V> Memory<K, V> {
    /// Room for some `most` values.
    pub fn new(most: usize) -> Self {
        let shard = || Mutex::new(Shard { newer: HashMap::new(), older: HashMap::new() });
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { shards, hasher: RandomState::new(), most: most.div_ceil(2 * SHARDS) }
    }

    /// The value of `key`, if it is remembered.
    pub fn find(&self, key: &K) -> Option<Arc<V>> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shard.newer.get(key) {
            return Some(Arc::clone(value));
        }
        let value = shard.older.remove(key)?;
        shard.put(*key, Arc::clone(&value), self.most);
        Some(value)
    }

    /// Remembers `value`.
    pub fn put(&self, key: K, value: Arc<V>) {
        if let Some(shard) = self.shard(&key) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).put(key, value, self.most);
        }
    }

    fn shard(&self, key: &K) -> Option<&Mutex<Shard<K, V>>> {
        let at = self.hasher.hash_one(key) % SHARDS as u64;
        self.shards.get(usize::try_from(at).unwrap_or(0))
    }
}

impl<K: Eq + Hash, V> Shard<K, V> {
    fn put(&mut self, key: K, value: Arc<V>, most: usize) {
        if self.newer.len() >= most {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_in_use() {
        let memory = Memory::new(320);
        memory.put(u32::MAX, Arc::new(7));
        for n in 0..10_000_u32 {
            memory.put(n, Arc::new(0));
            assert_eq!(memory.find(&u32::MAX).as_deref(), Some(&7), "{n}");
        }
        let held = |shard: &Mutex<Shard<u32, i32>>| {
            let shard = shard.lock().unwrap();
            shard.newer.len() + shard.older.len()
        };
        let all: usize = memory.shards.iter().map(held).sum();
        assert!(all <= 320 + SHARDS, "{all}");
    }
}
