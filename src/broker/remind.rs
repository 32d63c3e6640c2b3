//! Remind: what goes on is told again and again while it goes on: an open session, a review that is overdue.
//!
//! When somebody was reminded last is known to this process only: a start reminds at once of all that goes on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::break_glass::{Held, Phase};
use crate::domain::id::Lineage;
use crate::domain::limits::REVIEW_REMIND_SECONDS;
use crate::notify::notice::{GoingOn, Reminder};

use super::Broker;

/// When the next reminder of each session is due.
pub(super) struct Due {
    /// How often an open session is told of.
    every: Duration,
    next: HashMap<Lineage, (GoingOn, Instant)>,
    /// Whether this has looked before: who finds something going on at the first look tells of it at once.
    looked: bool,
}

impl Due {
    /// Nothing is known to go on.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, next: HashMap::new(), looked: false }
    }

    /// The sessions to be reminded of at `now`, of all that go on.
    fn take(&mut self, going_on: &[(Lineage, GoingOn)], now: Instant) -> HashSet<Lineage> {
        let mut due = HashSet::new();
        let mut next = HashMap::new();
        for (session, going) in going_on {
            let every = match going {
                GoingOn::Open => self.every,
                GoingOn::ReviewOverdue => Duration::from_secs(REVIEW_REMIND_SECONDS),
            };
            let known = self.next.get(session).filter(|(before, _)| before == going).map(|(_, at)| *at);
            // What was opened just now was told as a step, so the first reminder is due after a while.
            let new = || if self.looked && *going == GoingOn::Open { now + every } else { now };
            let mut at = known.unwrap_or_else(new);
            if at <= now {
                due.insert(*session);
                at = now + every;
            }
            next.insert(*session, (*going, at));
        }
        (self.next, self.looked) = (next, true);
        due
    }
}

impl Broker {
    /// Tells again of what goes on and is due.
    pub(super) fn remind(&self, due: &mut Due, now: Instant) {
        let (sessions, time) = (self.ledger.sessions(), self.log_time());
        self.outbox.keep_openings(&sessions.iter().map(|held| held.session).collect());
        let going = |held: &Held| match held.phase(time) {
            Phase::Open => Some(GoingOn::Open),
            Phase::Over => None,
            Phase::Overdue => Some(GoingOn::ReviewOverdue),
        };
        let held: Vec<_> = sessions.iter().filter_map(|held| Some((held, going(held)?))).collect();
        let all: Vec<(Lineage, GoingOn)> = held.iter().map(|(held, going)| (held.session, *going)).collect();
        self.outbox.keep_reminders(&all.iter().map(|(session, _)| *session).collect());
        let due = due.take(&all, now);
        for (held, going) in held.into_iter().filter(|(held, _)| due.contains(&held.session)) {
            let reminder = Reminder {
                drill: held.opening.drill,
                going,
                playbook: held.opening.playbook.clone(),
                session: held.session,
                until: held.until,
            };
            self.outbox.remind(reminder, &self.told_of(&held.opening.playbook));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn session(number: u8) -> Lineage {
        Lineage::new(Timestamp::from_millis(1), &[number; 10])
    }

    #[test]
    fn a_session_is_due_after_each_interval_at_once_after_a_start_and_never_once_it_is_over() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (one, two) = ((session(1), GoingOn::Open), (session(2), GoingOn::Open));
        let mut due = Due::new(Duration::from_secs(60));
        let mut take = |all: &[(Lineage, GoingOn)], seconds| {
            let mut found: Vec<_> = due.take(all, at(seconds)).into_iter().collect();
            found.sort();
            found
        };
        assert_eq!(take(&[one], 0), [one.0], "it was open before this start");
        assert_eq!(take(&[one, two], 1), [], "the second was told of as an opening");
        assert_eq!(take(&[one, two], 59), []);
        assert_eq!(take(&[one, two], 60), [one.0]);
        assert_eq!(take(&[one, two], 61), [two.0]);
        assert_eq!(take(&[two], 200), [two.0], "a late look is one reminder, not three");
        assert_eq!(take(&[two], 201), []);
        let overdue = (two.0, GoingOn::ReviewOverdue);
        assert_eq!(take(&[overdue], 202), [two.0], "a review that becomes overdue is told at once");
        assert_eq!(take(&[overdue], 201 + REVIEW_REMIND_SECONDS), []);
        assert_eq!(take(&[overdue], 202 + REVIEW_REMIND_SECONDS), [two.0]);
        assert_eq!(take(&[], 203 + REVIEW_REMIND_SECONDS), []);
    }
}
