//! Groups in memory: those that are durable elsewhere, and that the directory readers look into has no room for.
//!
//! There are some in an emergency only, so all of them are no more than an emergency journal has.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use super::group::{Group, parse_record};
use crate::store::engine::Place;

/// What no segment has as its first index: the place of a group in memory is named by its own.
const NO_SEGMENT: u64 = u64::MAX;

/// Groups by their first index, each as it was written.
#[derive(Debug, Default)]
pub(super) struct Kept(RwLock<BTreeMap<u64, Arc<[u8]>>>);

impl Kept {
    /// Adds the next group.
    pub(super) fn push(&self, first: u64, group: &[u8]) -> Place {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(first, group.into());
        Place { segment: NO_SEGMENT, offset: first }
    }

    /// The first index of the first one.
    pub(super) fn first(&self) -> Option<u64> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.first_key_value().map(|(first, _)| *first)
    }

    /// Adds its entries from `next` on until `found` has `count`.
    ///
    /// # Errors
    /// When memory has changed.
    pub(super) fn add_to(&self, found: &mut Vec<Vec<u8>>, mut next: u64, count: usize) -> io::Result<()> {
        while found.len() < count {
            let Some((first, bytes)) = self.at_or_before(next) else { break };
            let group = Group::parse(&bytes).map_err(|bad| io::Error::other(bad.flaw))?;
            let from = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            let before = found.len();
            let entries = group.entries().skip(from).map(|(_, entry)| entry.to_vec());
            found.extend(entries.take(count - before));
            if found.len() == before {
                break;
            }
            next = next.saturating_add(u64::try_from(found.len() - before).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// The entry of a record, when its group is here.
    pub(super) fn record(&self, place: Place, offset: u32) -> Option<io::Result<Vec<u8>>> {
        if place.segment != NO_SEGMENT {
            return None;
        }
        let found = self.at_or_before(place.offset).filter(|(first, _)| *first == place.offset);
        let bytes = found.map(|(_, bytes)| bytes).unwrap_or_default();
        let record = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        Some(parse_record(record).map(|(entry, _)| entry.to_vec()).map_err(io::Error::other))
    }

    fn at_or_before(&self, index: u64) -> Option<(u64, Arc<[u8]>)> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.range(..=index).next_back().map(|(first, bytes)| (*first, Arc::clone(bytes)))
    }
}
