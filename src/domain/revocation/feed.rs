//! What a verifier that follows the feed is told, and how far back it can resume. Values only.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{KEPT_MS, Revocations, Selector, forget_time};
use crate::domain::digest::Digest;
use crate::domain::entry::{Entry, Event};
use crate::domain::limits::FEED_HISTORY_MAX;
use crate::domain::name::TenantName;
use crate::domain::time::Timestamp;

/// One end, as verifiers need it: refuse what the selector names and was minted at `until` or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The epoch that it makes: its log index plus 1.
    pub epoch: u64,
    /// When it was durable.
    pub time: Timestamp,
    /// The watermark; `None` refuses whatever was or will be minted.
    pub until: Option<Timestamp>,
    /// Only agents of these tenants; all when empty.
    pub tenants: Arc<[TenantName]>,
    /// What ended.
    pub selector: Selector,
    /// From then on nothing that it ended could be used anyway; `None` keeps it for good.
    pub forget: Option<Timestamp>,
}

impl Delta {
    /// Of an entry at `index`, when it ended something.
    pub fn of(entry: &Entry, index: u64) -> Option<Self> {
        let (selector, tenants, until) = match &entry.event {
            Event::Release(release) => (Selector::Credential(release.credential), Arc::default(), None),
            Event::Revoke(revoked) => {
                (revoked.selector.clone(), revoked.tenants.as_slice().into(), revoked.until(entry.time))
            }
            Event::Ask(_)
            | Event::BreakGlass(_)
            | Event::Call(_)
            | Event::Decide(_)
            | Event::Consume(_)
            | Event::Deny(_)
            | Event::Enroll(_)
            | Event::Issue(_)
            | Event::Emergency(_)
            | Event::Load(_)
            | Event::Merge(_)
            | Event::Remove(_)
            | Event::Lock(_)
            | Event::Rotate(_)
            | Event::Start(_)
            | Event::Unlock(_) => return None,
        };
        let forget = forget_time(&selector, until, entry.time);
        Some(Self { epoch: index.saturating_add(1), time: entry.time, until, tenants, selector, forget })
    }
}

impl Revocations {
    /// Everything in here that a verifier must know, in no order.
    pub fn deltas(&self) -> impl Iterator<Item = Delta> {
        let marks = self.marks.iter().flat_map(|(selector, marks)| {
            marks.iter().map(move |mark| {
                let time = mark.ended.time;
                Delta {
                    epoch: mark.ended.index.saturating_add(1),
                    time,
                    until: mark.until,
                    tenants: Arc::clone(&mark.tenants),
                    selector: selector.clone(),
                    forget: forget_time(&selector, mark.until, time),
                }
            })
        });
        let singles = self.singles.iter().map(|(id, ended)| Delta {
            epoch: ended.index.saturating_add(1),
            time: ended.time,
            until: None,
            tenants: Arc::default(),
            selector: Selector::Credential(*id),
            forget: Some(ended.time.plus_millis(KEPT_MS)),
        });
        marks.chain(singles)
    }
}

/// An epoch of one log: the hash of the entry that made it tells it from the same number in another log, or in this one
/// after it was put back from a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The epoch.
    pub epoch: u64,
    /// The leaf of its entry.
    pub leaf: Digest,
}

/// The newest ends in order, so that a verifier that was away for a moment gets what it missed.
#[derive(Debug)]
pub struct History {
    /// Each with the leaf of its entry.
    deltas: VecDeque<(Arc<Delta>, Digest)>,
    /// Everything after this epoch is here.
    start: u64,
    /// The leaf of the entry that made it; `None` when it is not known.
    leaf: Option<Digest>,
}

impl History {
    /// An empty history after `epoch`, whose entry has this leaf.
    pub const fn new(epoch: u64, leaf: Option<Digest>) -> Self {
        Self { deltas: VecDeque::new(), start: epoch, leaf }
    }

    /// Adds the next end, whose entry has this leaf.
    pub fn push(&mut self, delta: Delta, leaf: Digest) {
        if self.deltas.len() >= FEED_HISTORY_MAX
            && let Some((oldest, leaf)) = self.deltas.pop_front()
        {
            (self.start, self.leaf) = (oldest.epoch, Some(leaf));
        }
        self.deltas.push_back((Arc::new(delta), leaf));
    }

    /// The leaf of the entry that made `epoch`; `None` when that is further back than this goes, or no end's.
    pub fn leaf_of(&self, epoch: u64) -> Option<Digest> {
        if epoch == self.start {
            return self.leaf;
        }
        let at = self.deltas.binary_search_by_key(&epoch, |(delta, _)| delta.epoch).ok()?;
        self.deltas.get(at).map(|(_, leaf)| *leaf)
    }

    /// Up to `count` ends after `epoch`, oldest first. `None` when some of them have been dropped, or the
    /// epoch is one that this log never had.
    pub fn since(&self, epoch: u64, count: usize) -> Option<Vec<Arc<Delta>>> {
        let newest = self.deltas.back().map_or(self.start, |(delta, _)| delta.epoch);
        if epoch < self.start || epoch > newest {
            return None;
        }
        let from = self.deltas.partition_point(|(delta, _)| delta.epoch <= epoch);
        Some(self.deltas.iter().skip(from).take(count).map(|(delta, _)| Arc::clone(delta)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(epoch: u64) -> Delta {
        Delta {
            epoch,
            time: Timestamp::default(),
            until: None,
            tenants: Arc::default(),
            selector: Selector::All,
            forget: None,
        }
    }

    fn leaf(epoch: u64) -> Digest {
        Digest::of(&epoch.to_le_bytes())
    }

    fn push(history: &mut History, epoch: u64) {
        history.push(delta(epoch), leaf(epoch));
    }

    #[test]
    fn an_epoch_is_known_by_the_entry_that_made_it_and_a_number_between_two_is_none() {
        let mut history = History::new(10, Some(leaf(10)));
        assert_eq!(
            (history.leaf_of(10), history.leaf_of(11), history.leaf_of(9)),
            (Some(leaf(10)), None, None)
        );
        [12, 15].into_iter().for_each(|epoch| push(&mut history, epoch));
        let known = |history: &History| [10, 12, 13, 15, 16].map(|epoch| history.leaf_of(epoch));
        assert_eq!(known(&history), [Some(leaf(10)), Some(leaf(12)), None, Some(leaf(15)), None]);
        let most = u64::try_from(FEED_HISTORY_MAX).unwrap();
        (0..most - 1).for_each(|at| push(&mut history, 100 + at));
        assert_eq!(known(&history), [None, Some(leaf(12)), None, Some(leaf(15)), None], "12 is the start");
        assert_eq!(History::new(0, None).leaf_of(0), None);
    }

    #[test]
    fn a_cursor_in_the_history_resumes_and_any_other_does_not() {
        let mut history = History::new(10, None);
        assert_eq!(history.since(10, 5), Some(vec![]));
        assert_eq!((history.since(9, 5), history.since(11, 5)), (None, None));
        for epoch in [12, 15, 20] {
            push(&mut history, epoch);
        }
        let epochs = |from, count| {
            history
                .since(from, count)
                .map(|deltas| deltas.iter().map(|delta| delta.epoch).collect::<Vec<_>>())
        };
        assert_eq!(epochs(10, 5), Some(vec![12, 15, 20]));
        assert_eq!(epochs(12, 1), Some(vec![15]));
        assert_eq!(epochs(13, 5), Some(vec![15, 20]));
        assert_eq!((epochs(20, 5), epochs(21, 5), epochs(9, 5)), (Some(vec![]), None, None));
    }

    #[test]
    fn the_history_is_bounded_and_an_older_cursor_is_told() {
        let mut history = History::new(0, None);
        let bound = u64::try_from(FEED_HISTORY_MAX).unwrap();
        for epoch in 1..=bound {
            push(&mut history, epoch);
        }
        assert!(history.since(0, 1).is_some());
        push(&mut history, bound + 1);
        assert!(history.since(0, 1).is_none());
        assert_eq!(history.since(1, usize::MAX).map(|deltas| deltas.len()), Some(FEED_HISTORY_MAX));
    }
}
