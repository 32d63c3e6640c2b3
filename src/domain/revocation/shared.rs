//! A map whose copies share what did not change: two levels of small shards behind reference counts.
//!
//! A snapshot of a million entries is copied in constant time, and a change copies one shard of some
//! sixty and two short lists. It knows nothing of what it holds.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

/// Shards of a block, and blocks of a map: 16,384 shards, so that one of a million entries has some 60.
const FAN: usize = 128;

/// A map from `K` to `V`. Its clone is a snapshot.
#[derive(Clone)]
pub struct SharedMap<K, V> {
    hasher: RandomState,
    blocks: Arc<Vec<Block<K, V>>>,
    len: usize,
}

type Block<K, V> = Arc<Vec<Shard<K, V>>>;
type Shard<K, V> = Arc<HashMap<K, V>>;

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        // All begin as the same empty shard; the first change of one makes it its own.
        let shard: Shard<K, V> = Arc::default();
        let block: Block<K, V> = Arc::new((0..FAN).map(|_| Arc::clone(&shard)).collect());
        let blocks = Arc::new((0..FAN).map(|_| Arc::clone(&block)).collect());
        Self { hasher: RandomState::new(), blocks, len: 0 }
    }
}

impl<K, V> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMap").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<K, V> SharedMap<K, V> {
    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none. A lookup in an empty map costs no hash.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.blocks.iter().flat_map(|block| block.iter()).flat_map(|shard| shard.iter())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> SharedMap<K, V> {
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> (usize, usize) {
        let fan = u64::try_from(FAN).unwrap_or(1);
        let hash = self.hasher.hash_one(key);
        let index = |part: u64| usize::try_from(part % fan).unwrap_or_default();
        (index(hash / fan), index(hash))
    }

    /// The value of `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.is_empty() {
            return None;
        }
        let (block, shard) = self.place(key);
        self.blocks.get(block)?.get(shard)?.get(key)
    }

    /// Changes the value of `key`, from the default when there is none. A value that `keep` does not want
    /// afterwards is taken out.
    pub fn change(&mut self, key: &K, change: impl FnOnce(&mut V), keep: impl FnOnce(&V) -> bool)
    where
        V: Default,
    {
        self.with_shard(key, |shard| {
            let value = shard.entry(key.clone()).or_default();
            change(value);
            if !keep(value) {
                shard.remove(key);
            }
        });
    }

    /// Puts `value` at `key`, unless there is one.
    pub fn insert_first(&mut self, key: K, value: V) {
        if self.get(&key).is_none() {
            self.with_shard(&key.clone(), |shard| {
                shard.insert(key, value);
            });
        }
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &K) {
        if self.get(key).is_some() {
            self.with_shard(key, |shard| {
                shard.remove(key);
            });
        }
    }

    fn with_shard(&mut self, key: &K, change: impl FnOnce(&mut HashMap<K, V>)) {
        let (block, shard) = self.place(key);
        let blocks = Arc::make_mut(&mut self.blocks);
        let shard = blocks.get_mut(block).and_then(|block| Arc::make_mut(block).get_mut(shard));
        if let Some(shard) = shard.map(Arc::make_mut) {
            let before = shard.len();
            change(shard);
            self.len = self.len.saturating_add(shard.len()).saturating_sub(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_a_clone_stays_as_it_was(
            steps in prop::collection::vec((0_u16..50, any::<bool>(), any::<u8>()), 0..200),
        ) {
            let (mut map, mut model) = (SharedMap::default(), HashMap::new());
            let mut snapshots = Vec::new();
            for (key, put, value) in steps {
                if put {
                    map.change(&key, |place: &mut u8| *place = value, |_| true);
                    model.insert(key, value);
                } else {
                    map.remove(&key);
                    model.remove(&key);
                }
                snapshots.push((map.clone(), model.clone()));
            }
            for (at, (map, model)) in snapshots.into_iter().enumerate() {
                prop_assert_eq!(map.len(), model.len());
                // A walk visits every shard, so not at every step.
                if at % 25 == 0 {
                    prop_assert_eq!(map.iter().map(|(k, v)| (*k, *v)).collect::<HashMap<_, _>>(), model.clone());
                }
                prop_assert!((0..50).all(|key| map.get(&key) == model.get(&key)));
            }
        }
    }

    #[test]
    fn the_first_value_stays() {
        let mut map = SharedMap::default();
        map.insert_first(1, 10);
        map.insert_first(1, 20);
        assert_eq!(map.get(&1), Some(&10));
    }
}
