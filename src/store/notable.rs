//! The newest entries that people may have to be told of, in memory, so that nobody reads the log after them.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use super::ledger::Ledger;
use super::reader::{ReadError, Reader};
use crate::domain::entry::Entry;
use crate::domain::limits::{NOTABLE_ENTRIES_MAX, PAGE_SIZE_MAX};

/// An entry with its index.
pub type Numbered = (u64, Arc<Entry>);

/// Notable entries from some index on, ascending, the newest [`NOTABLE_ENTRIES_MAX`] of them.
#[derive(Debug)]
pub(super) struct Notable {
    from: u64,
    entries: VecDeque<Numbered>,
}

impl Notable {
    /// None, of a log with `size` entries.
    pub(super) const fn new(size: u64) -> Self {
        Self { from: size, entries: VecDeque::new() }
    }

    /// Adds the next one.
    pub(super) fn push(&mut self, index: u64, entry: Arc<Entry>) {
        if self.entries.len() >= NOTABLE_ENTRIES_MAX
            && let Some((oldest, _)) = self.entries.pop_front()
        {
            self.from = oldest.saturating_add(1);
        }
        self.entries.push_back((index, entry));
    }

    /// All from `index` on; `None` when that is further back than this goes.
    pub(super) fn since(&self, index: u64) -> Option<Vec<Numbered>> {
        let wanted = || self.entries.iter().filter(|(at, _)| *at >= index).cloned().collect();
        (index >= self.from).then(wanted)
    }
}

impl Ledger {
    /// The index after the newest notable entry, to wait for the next one.
    pub fn watch_notable(&self) -> tokio::sync::watch::Receiver<u64> {
        self.shared().notable_end.subscribe()
    }

    /// The durable notable entries from `index` on; `None` when the memory does not go back so far: then
    /// [`Reader::notable`] has them.
    pub fn notable_since(&self, index: u64) -> Option<Vec<Numbered>> {
        self.shared().notable.read().unwrap_or_else(PoisonError::into_inner).since(index)
    }
}

impl Reader {
    /// The notable ones among the next entries from `index` on, and the index to go on from. The end is
    /// reached when that is `index`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn notable(&self, index: u64) -> Result<(Vec<Numbered>, u64), ReadError> {
        let (mut found, mut next) = (Vec::new(), index);
        for json in self.entries(index, PAGE_SIZE_MAX)? {
            if may_be_notable(&json) {
                let entry = Entry::from_json(&json);
                let entry = entry.map_err(|source| ReadError::Entry { index: next, source })?;
                if entry.event.is_notable() {
                    found.push((next, Arc::new(entry)));
                }
            }
            next = next.saturating_add(1);
        }
        Ok((found, next))
    }
}

/// Sorts out the many without parsing them: an entry's first member names its event.
fn may_be_notable(json: &[u8]) -> bool {
    let many: [&[u8]; 3] = [b"{\"event\":{\"issue\"", b"{\"event\":{\"deny\"", b"{\"event\":{\"consume\""];
    !many.iter().any(|start| json.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entry::{Event, Start, VERSION};
    use crate::domain::time::Timestamp;

    #[test]
    fn the_newest_are_remembered_and_the_rest_is_read() {
        let event = Event::Start(Start { dev: true, version: "1".to_owned() });
        let entry = Arc::new(Entry { event, time: Timestamp::from_millis(1), v: VERSION });
        let mut notable = Notable::new(10);
        assert_eq!(notable.since(9), None);
        assert_eq!(notable.since(10), Some(Vec::new()));
        let most = u64::try_from(NOTABLE_ENTRIES_MAX).unwrap();
        (0..=most).for_each(|at| notable.push(10 + 2 * at, Arc::clone(&entry)));
        assert_eq!(notable.since(10), None, "the oldest was forgotten");
        assert_eq!(notable.since(11).map(|all| all.len()), Some(NOTABLE_ENTRIES_MAX));
        let last = notable.since(10 + 2 * most).unwrap();
        assert_eq!(last.first().map(|(at, _)| *at), Some(10 + 2 * most));
        assert!(may_be_notable(&entry.to_canonical_json().unwrap()));
    }
}
