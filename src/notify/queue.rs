//! What one destination has still to be told: openings of break-glass before everything else, then emergencies, then what
//! goes on, each lane in its order.
//!
//! It is made of the log at a start, so that it may be lost; what bounds it drops the oldest of a lane, never an
//! opening, and counts it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::cursor::Cursor;
use super::document::Document;
use super::notice::{GoingOn, Notice};
use super::openings::Openings;
use crate::domain::id::Lineage;
use crate::domain::limits::{EMERGENCIES_PENDING_MAX, NOTICES_PENDING_MAX, REMINDERS_PENDING_MAX};
use crate::domain::time::Timestamp;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) openings: Openings,
    emergencies: VecDeque<Arc<Document>>,
    ordinary: VecDeque<Arc<Document>>,
    /// What goes on, one for each session: whoever was away is reminded once, and takes no emergency's place.
    reminders: VecDeque<Arc<Document>>,
    /// Whether the last try was of an opening that is aside: whatever else waits has its turn first.
    others_turn: bool,
    /// Entries of the log below were told at an earlier start.
    from: Cursor,
    /// Entries of the log below were looked at.
    reached: u64,
    pub(super) delivered: u64,
    /// Dropped, or refused by the receiver.
    pub(super) failed: u64,
}

impl Queue {
    /// An empty queue that begins at `from`.
    pub(super) fn new(from: Cursor) -> Self {
        Self { from, reached: from.first(), ..Self::default() }
    }

    /// Adds what has to be told, unless it was.
    pub(super) fn push(&mut self, document: Arc<Document>) {
        if document.reminds_of().is_some() {
            return self.push_reminder(document);
        }
        let emergency = document.is_emergency();
        let from = if emergency { self.from.emergency } else { self.from.ordinary };
        if document.index.is_some_and(|index| index < from) {
            return;
        }
        if let (Some(_), Some(index)) = (document.opens(), document.index) {
            return self.openings.push(index, document);
        }
        let (lane, most) = if emergency {
            (&mut self.emergencies, EMERGENCIES_PENDING_MAX)
        } else {
            (&mut self.ordinary, NOTICES_PENDING_MAX)
        };
        if lane.len() >= most {
            lane.pop_front();
            self.failed = self.failed.saturating_add(1);
        }
        lane.push_back(document);
    }

    /// One that waits already says the same. What is open goes before what is overdue, and takes its place.
    fn push_reminder(&mut self, document: Arc<Document>) {
        if self.reminders.iter().any(|one| one.reminds_of() == document.reminds_of()) {
            return;
        }
        let open = self.reminders.iter().take_while(|one| is_open(one)).count();
        let at = if is_open(&document) { open } else { self.reminders.len() };
        if at < REMINDERS_PENDING_MAX {
            self.reminders.truncate(REMINDERS_PENDING_MAX.saturating_sub(1));
            self.reminders.insert(at, document);
        }
    }

    /// Drops reminders of all but these: what is over does not go on.
    pub(super) fn keep_reminders(&mut self, going_on: &HashSet<Lineage>) {
        self.reminders.retain(|one| one.reminds_of().is_some_and(|session| going_on.contains(&session)));
    }

    /// Every entry below `size` was looked at.
    pub(super) fn reach(&mut self, size: u64) {
        self.reached = self.reached.max(size);
    }

    /// What is to be told next.
    pub(super) fn front(&self, now: Instant) -> Option<Arc<Document>> {
        let lanes = [&self.emergencies, &self.reminders, &self.ordinary];
        let other = || lanes.into_iter().find_map(VecDeque::front);
        let opening = self.openings.front(now);
        if self.others_turn && opening.is_some_and(|one| self.openings.is_aside(one)) {
            return other().or(opening).map(Arc::clone);
        }
        opening.or_else(other).map(Arc::clone)
    }

    /// It was tried, whatever came of it. Many openings that time out are always due, and would leave no time for others.
    pub(super) fn tried(&mut self, document: &Document) {
        self.others_turn = self.openings.is_aside(document);
    }

    /// Lets the others of its lane go first, for it fails again and again: nothing is dropped.
    pub(super) fn put_behind(&mut self, document: &Document, now: Instant) {
        if document.opens().is_some() {
            return self.openings.put_aside(document, false, now);
        }
        let lane = self.lane(document);
        let at = lane.iter().position(|one| one.id == document.id);
        if let Some(one) = at.and_then(|at| lane.remove(at)) {
            lane.push_back(one);
        }
    }

    /// The lane of one that is no opening.
    fn lane(&mut self, document: &Document) -> &mut VecDeque<Arc<Document>> {
        if document.reminds_of().is_some() {
            &mut self.reminders
        } else if document.is_emergency() {
            &mut self.emergencies
        } else {
            &mut self.ordinary
        }
    }

    /// Gives up the openings that are refused and whose sessions are none of these: somebody has reviewed them.
    pub(super) fn reviewed(&mut self, held: &HashSet<Lineage>) {
        self.failed = self.failed.saturating_add(self.openings.reviewed(held));
    }

    /// Takes out what was told or given up. It may have been dropped meanwhile.
    pub(super) fn take(&mut self, document: &Document) -> bool {
        if document.opens().is_some() {
            return self.openings.take(document);
        }
        let lane = self.lane(document);
        // The first, but for a reminder that another one has gone before.
        let at = lane.iter().position(|one| one.id == document.id);
        at.and_then(|at| lane.remove(at)).is_some()
    }

    /// How far both lanes are.
    pub(super) fn cursor(&self) -> Cursor {
        let of = |lane: &VecDeque<Arc<Document>>, from: u64| {
            // One that was put behind is not told either.
            lane.iter().filter_map(|document| document.index).min().unwrap_or(self.reached).max(from)
        };
        let opening = self.openings.first().unwrap_or(u64::MAX).max(self.from.emergency);
        Cursor {
            emergency: of(&self.emergencies, self.from.emergency).min(opening),
            ordinary: of(&self.ordinary, self.from.ordinary),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        let others = [&self.emergencies, &self.reminders, &self.ordinary].into_iter().map(VecDeque::len);
        others.sum::<usize>() + self.openings.len()
    }

    /// When the oldest happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        [self.emergencies.front(), self.reminders.front(), self.ordinary.front()]
            .into_iter()
            .flatten()
            .map(|document| document.time)
            .chain(self.openings.oldest())
            .min()
    }
}

/// Whether it reminds of a session that is open.
fn is_open(document: &Document) -> bool {
    matches!(&document.notice, Notice::Reminder(reminder) if reminder.going == GoingOn::Open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::revocation::Selector;
    use crate::notify::notice::{Reminder, opening, reminder};

    fn document(index: u64, emergency: bool) -> Arc<Document> {
        let selector = if emergency { Selector::All } else { Selector::Tenant("acme".parse().unwrap()) };
        let notice = Notice::Locked { operator: "ann".parse().unwrap(), selector };
        let time = Timestamp::from_millis(i64::try_from(index).unwrap());
        let entry = index.to_le_bytes();
        Arc::new(Document::recorded(&"a.example".parse().unwrap(), index, time, notice, &entry))
    }

    #[test]
    fn emergencies_go_first_and_each_lane_keeps_its_own_cursor() {
        let mut queue = Queue::new(Cursor::at(5));
        for (index, emergency) in [(4, true), (5, false), (6, true), (8, false)] {
            queue.push(document(index, emergency));
        }
        queue.reach(10);
        assert_eq!((queue.len(), queue.cursor()), (3, Cursor { emergency: 6, ordinary: 5 }));
        assert_eq!(queue.oldest(), Some(Timestamp::from_millis(5)));
        let first = queue.front(Instant::now()).unwrap();
        assert_eq!(first.index, Some(6));
        assert!(queue.take(&first) && !queue.take(&first));
        assert_eq!(queue.cursor(), Cursor { emergency: 10, ordinary: 5 });
        for index in [5, 8] {
            let front = queue.front(Instant::now()).unwrap();
            assert_eq!(front.index, Some(index));
            assert!(queue.take(&front));
        }
        assert_eq!((queue.front(Instant::now()), queue.cursor()), (None, Cursor::at(10)));
    }

    #[test]
    fn one_that_fails_again_and_again_holds_no_other_back_and_is_not_lost() {
        let now = Instant::now();
        let mut queue = Queue::new(Cursor::at(0));
        for index in [1, 2, 3] {
            queue.push(document(index, false));
        }
        queue.reach(4);
        let first = queue.front(now).unwrap();
        queue.put_behind(&first, now);
        assert_eq!(queue.front(now).unwrap().index, Some(2));
        assert_eq!((queue.len(), queue.cursor().ordinary), (3, 1), "after a restart it is told, too");
        for index in [2, 3, 1] {
            let front = queue.front(now).unwrap();
            assert_eq!(front.index, Some(index));
            assert!(queue.take(&front));
        }
        assert_eq!(queue.cursor().ordinary, 4);
    }

    #[test]
    fn openings_that_are_always_due_leave_every_second_turn_to_the_others() {
        let mut now = Instant::now();
        let mut queue = Queue::new(Cursor::at(0));
        let opened = |index| {
            let time = Timestamp::from_millis(1);
            Arc::new(Document::recorded(
                &"a.example".parse().unwrap(),
                index,
                time,
                opening(u8::try_from(index).unwrap()),
                &index.to_le_bytes(),
            ))
        };
        for index in [1, 2] {
            queue.push(opened(index));
            let front = queue.front(now).unwrap();
            assert_eq!(front.index, Some(index), "a new one goes before all");
            queue.tried(&front);
            queue.put_behind(&front, now);
        }
        queue.push(document(3, true));
        queue.push(document(4, false));
        now += std::time::Duration::from_secs(3_600);
        let mut turns = Vec::new();
        for _ in 0..5 {
            let front = queue.front(now).unwrap();
            turns.push(front.index.unwrap());
            queue.tried(&front);
            if front.opens().is_none() {
                queue.take(&front);
            } else {
                queue.put_behind(&front, now - std::time::Duration::from_secs(3_000));
            }
        }
        assert_eq!(turns.iter().filter(|index| **index >= 3).count(), 2, "{turns:?}");
        assert!(turns[1] == 3 && turns[3] == 4, "{turns:?}");
    }

    #[test]
    fn a_full_queue_drops_its_oldest_that_is_no_emergency_and_counts_it() {
        let mut queue = Queue::new(Cursor::at(0));
        queue.push(document(0, true));
        let most = u64::try_from(NOTICES_PENDING_MAX).unwrap();
        (1..=most).for_each(|index| queue.push(document(index, false)));
        assert_eq!((queue.failed, queue.cursor().ordinary), (0, 1));
        queue.push(document(most + 1, false));
        assert_eq!((queue.failed, queue.cursor().ordinary, queue.len()), (1, 2, NOTICES_PENDING_MAX + 1));
        assert_eq!(queue.front(Instant::now()).unwrap().index, Some(0), "the emergency stays");
    }

    #[test]
    fn a_session_is_reminded_of_once_however_long_nobody_was_told_and_not_when_it_is_over() {
        let remind = |number: u8, salt| {
            let notice = Notice::Reminder(reminder(number, false, GoingOn::Open));
            Arc::new(Document::direct(&"a.example".parse().unwrap(), Timestamp::from_millis(1), notice, salt))
        };
        let mut queue = Queue::new(Cursor::at(0));
        queue.push(document(0, false));
        for salt in 0..1_000 {
            queue.push(remind(1, salt));
            queue.push(remind(2, salt));
        }
        queue.push(document(1, true));
        queue.reach(2);
        assert_eq!(queue.len(), 4);
        let mut indexes = Vec::new();
        for _ in 0..2 {
            let front = queue.front(Instant::now()).unwrap();
            indexes.push((front.index, front.reminds_of().is_some()));
            assert!(queue.take(&front));
        }
        assert_eq!(indexes, [(Some(1), false), (None, true)], "emergencies, and then what goes on");
        queue.keep_reminders(&HashSet::new());
        assert_eq!((queue.len(), queue.front(Instant::now()).unwrap().index), (1, Some(0)));
        assert_eq!(queue.cursor(), Cursor { emergency: 2, ordinary: 0 });
        queue.push(remind(2, 1_001));
        assert_eq!(queue.len(), 2, "what is told can be reminded of again");
    }

    #[test]
    fn what_is_open_is_reminded_of_before_what_is_overdue_and_in_its_place() {
        let remind = |number: u16, going| {
            let session = Lineage::new(Timestamp::from_millis(number.into()), &[1; 10]);
            let notice = Notice::Reminder(Reminder { session, ..reminder(1, false, going) });
            Arc::new(Document::direct(&"a.example".parse().unwrap(), Timestamp::from_millis(1), notice, 0))
        };
        let mut queue = Queue::new(Cursor::at(0));
        let most = u16::try_from(REMINDERS_PENDING_MAX).unwrap();
        (0..=most).for_each(|number| queue.push(remind(number, GoingOn::ReviewOverdue)));
        assert_eq!(queue.len(), REMINDERS_PENDING_MAX);
        let told = queue.front(Instant::now()).unwrap();
        for number in [10_000, 10_001] {
            queue.push(remind(number, GoingOn::Open));
        }
        assert_eq!(queue.len(), REMINDERS_PENDING_MAX);
        assert!(queue.take(&told), "what is being told meanwhile is not told twice");
        for number in [10_000, 10_001] {
            let front = queue.front(Instant::now()).unwrap();
            assert_eq!(front.id, remind(number, GoingOn::Open).id);
            assert!(queue.take(&front));
        }
        (0..=most).for_each(|number| queue.push(remind(number + 20_000, GoingOn::Open)));
        assert_eq!(queue.len(), REMINDERS_PENDING_MAX);
    }

    #[test]
    fn emergencies_push_out_emergencies_and_no_opening() {
        let mut queue = Queue::new(Cursor::at(0));
        let trust_domain = "a.example".parse().unwrap();
        let opening = |index| {
            let time = Timestamp::from_millis(1);
            Arc::new(Document::recorded(&trust_domain, index, time, opening(1), &[0]))
        };
        queue.push(document(0, true));
        queue.push(opening(1));
        let most = u64::try_from(EMERGENCIES_PENDING_MAX).unwrap();
        (2..=most + 1).for_each(|index| queue.push(document(index, true)));
        queue.reach(most + 2);
        assert_eq!(queue.failed, 1, "the first revocation of a loop");
        assert_eq!(queue.cursor().emergency, 1);
        let front = queue.front(Instant::now()).unwrap();
        assert_eq!(front.index, Some(1), "before everything else");
        // Refused, it is behind, and the cursor is not past it while the others are told.
        queue.openings.put_aside(&front, true, Instant::now());
        let next = queue.front(Instant::now()).unwrap();
        assert_eq!((next.index, queue.take(&next)), (Some(2), true));
        assert_eq!(queue.cursor().emergency, 1);
        queue.reviewed(&HashSet::new());
        assert_eq!((queue.failed, queue.cursor().emergency), (2, 3));
        // What an earlier start has told is not told again.
        let mut later = Queue::new(Cursor::at(5));
        later.push(opening(4));
        later.push(opening(5));
        assert_eq!(later.len(), 1);
    }

    #[test]
    fn what_stands_in_no_log_does_not_move_the_cursor() {
        let mut queue = Queue::new(Cursor::at(3));
        let notice = Notice::LoadFailed { problems: 1 };
        let direct = Document::direct(&"a.example".parse().unwrap(), Timestamp::from_millis(1), notice, 0);
        queue.push(Arc::new(direct));
        queue.push(document(7, false));
        queue.reach(9);
        assert_eq!(queue.cursor(), Cursor { emergency: 9, ordinary: 7 });
    }
}
