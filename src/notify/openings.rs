//! The openings of one destination that it has not been told of: a lane that nothing is dropped from.
//!
//! Attack: whoever opens a session at night has the receiver refuse the notice (a proxy's 403), or floods it with
//! emergencies until the oldest make room. So these wait for themselves. One that is refused is tried again and again,
//! beside what else is to be told, until it is taken, or until somebody who did not sign has reviewed the session. When
//! there are more than memory is for, the log has them, and they are read off it again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::document::Document;
use crate::domain::id::Lineage;
use crate::domain::limits::{NOTICE_BACKOFF_SECONDS_MAX, OPENINGS_PENDING_MAX};
use crate::domain::time::Timestamp;

/// How long a refused one waits for its next try, at first; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(4);

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Openings {
    waiting: VecDeque<Arc<Document>>,
    /// Those that the receiver refuses, or breaks on.
    aside: Vec<Aside>,
    /// The first entry of the log from which on openings found no place: they are read again.
    beyond: Option<u64>,
    /// When they were read again, there was no place either.
    stuck: bool,
}

#[derive(Debug)]
struct Aside {
    document: Arc<Document>,
    /// Whether its last try was refused as such.
    refused: bool,
    due: Instant,
    wait: Duration,
}

impl Openings {
    /// Adds one that the log has at `index`.
    pub(super) fn push(&mut self, index: u64, document: Arc<Document>) {
        if self.beyond.is_some_and(|beyond| index >= beyond) {
            return;
        }
        if self.is_full() {
            self.beyond = Some(index);
        } else {
            self.waiting.push_back(document);
        }
    }

    /// The entry from which on the log has to be read again, when there is room for what it has.
    pub(super) fn behind(&mut self) -> Option<u64> {
        if self.len() > OPENINGS_PENDING_MAX / 2 {
            return None;
        }
        self.stuck = false;
        self.beyond
    }

    /// Adds one that was read again.
    pub(super) fn again(&mut self, index: u64, document: Arc<Document>) {
        if self.stuck || self.beyond.is_none_or(|beyond| index < beyond) {
            return;
        }
        self.stuck = self.is_full();
        self.beyond = Some(if self.stuck { index } else { index.saturating_add(1) });
        if !self.stuck {
            self.waiting.push_back(document);
        }
    }

    /// All of the log was read again.
    pub(super) fn level(&mut self) {
        if !self.stuck {
            self.beyond = None;
        }
    }

    /// What is to be told next: what was never refused, or a refused one that is due.
    pub(super) fn front(&self, now: Instant) -> Option<&Arc<Document>> {
        let due = || self.aside.iter().filter(|one| one.due <= now).min_by_key(|one| one.due);
        self.waiting.front().or_else(|| due().map(|one| &one.document))
    }

    /// When the next refused one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.aside.iter().map(|one| one.due).min()
    }

    /// Takes out what was told.
    pub(super) fn take(&mut self, document: &Document) -> bool {
        let before = self.len();
        self.waiting.pop_front_if(|front| front.id == document.id);
        self.aside.retain(|one| one.document.id != document.id);
        self.len() < before
    }

    /// Puts one that was refused, or that fails again and again, aside until it is due again.
    pub(super) fn put_aside(&mut self, document: &Document, refused: bool, now: Instant) {
        let longest = Duration::from_secs(NOTICE_BACKOFF_SECONDS_MAX);
        if let Some(one) = self.aside.iter_mut().find(|one| one.document.id == document.id) {
            one.wait = one.wait.saturating_mul(2).min(longest);
            one.due = now + one.wait;
            one.refused = refused;
        } else if let Some(front) = self.waiting.pop_front_if(|front| front.id == document.id) {
            self.aside.push(Aside { document: front, refused, due: now + FIRST_WAIT, wait: FIRST_WAIT });
        }
    }

    /// Whether it was refused before.
    pub(super) fn is_aside(&self, document: &Document) -> bool {
        self.aside.iter().any(|one| one.document.id == document.id)
    }

    /// Gives up what is refused and was reviewed: of a session that is none of these. Gives how many.
    pub(super) fn reviewed(&mut self, held: &HashSet<Lineage>) -> u64 {
        let before = self.aside.len();
        // A receiver that was away, or that somebody broke, is told all the same.
        let is_held = |one: &Aside| one.document.opens().is_some_and(|session| held.contains(&session));
        self.aside.retain(|one| !one.refused || is_held(one));
        u64::try_from(before - self.aside.len()).unwrap_or(u64::MAX)
    }

    /// The first entry of the log that is not told; `None` when all are.
    pub(super) fn first(&self) -> Option<u64> {
        let all = self.all().filter_map(|document| document.index);
        all.chain(self.beyond).min()
    }

    /// When the oldest happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.all().map(|document| document.time).min()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.aside.len()
    }

    fn is_full(&self) -> bool {
        self.len() >= OPENINGS_PENDING_MAX
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Document>> {
        self.waiting.iter().chain(self.aside.iter().map(|one| &one.document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notice::opening;

    fn document(index: u64) -> Arc<Document> {
        let time = Timestamp::from_millis(i64::try_from(index).unwrap());
        let number = u8::try_from(index % 200).unwrap();
        let trust_domain = "a.example".parse().unwrap();
        let entry = index.to_le_bytes();
        Arc::new(Document::recorded(&trust_domain, index, time, opening(number), &entry))
    }

    fn told(openings: &mut Openings) -> u64 {
        let front = openings.front(Instant::now()).cloned().unwrap();
        assert!(openings.take(&front));
        front.index.unwrap()
    }

    #[test]
    fn none_is_dropped_however_many_there_are_and_each_is_told_once_and_in_order() {
        let mut openings = Openings::default();
        let most = u64::try_from(OPENINGS_PENDING_MAX).unwrap();
        let all = 3 * most + 7;
        (0..all).for_each(|index| openings.push(index, document(index)));
        assert_eq!((openings.len(), openings.beyond), (OPENINGS_PENDING_MAX, Some(most)));
        assert_eq!((openings.behind(), openings.first()), (None, Some(0)), "there is no room yet");
        for wanted in 0..all {
            assert_eq!(told(&mut openings), wanted);
            assert_eq!(openings.first(), (wanted + 1 < all).then_some(wanted + 1), "no cursor passes one");
            if let Some(from) = openings.behind() {
                (from..all).for_each(|index| openings.again(index, document(index)));
                openings.level();
            }
        }
        openings.push(all, document(all));
        assert_eq!((told(&mut openings), openings.beyond, openings.len()), (all, None, 0));
    }

    #[test]
    fn a_refused_one_holds_nothing_back_comes_again_later_each_time_and_goes_when_it_was_reviewed() {
        let mut openings = Openings::default();
        let (one, two) = (document(1), document(2));
        openings.push(1, Arc::clone(&one));
        openings.push(2, Arc::clone(&two));
        let start = Instant::now();
        assert!(!openings.is_aside(&one));
        openings.put_aside(&one, true, start);
        assert!(openings.is_aside(&one));
        assert_eq!(openings.front(start), Some(&two));
        assert!(openings.take(&two) && !openings.take(&two));
        let (mut now, mut waits) = (start, Vec::new());
        for _ in 0..9 {
            assert_eq!(openings.front(now), None);
            let due = openings.next_due().unwrap();
            assert_eq!(openings.front(due), Some(&one));
            waits.push((due - now).as_secs());
            openings.put_aside(&one, true, due);
            now = due;
        }
        assert_eq!(waits, [4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(openings.first(), Some(1));
        assert_eq!(openings.reviewed(&HashSet::from([one.opens().unwrap()])), 0);
        assert_eq!((openings.reviewed(&HashSet::new()), openings.len()), (1, 0));
        // One on which the receiver breaks stays.
        openings.push(9, Arc::clone(&one));
        openings.put_aside(&one, false, start);
        assert_eq!((openings.reviewed(&HashSet::new()), openings.len()), (0, 1));
    }
}
