//! One destination's place at the outbox: what waits for it, tried until it is told, and how far it is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::cursor::Cursor;
use super::destination::{Destination, Undelivered};
use super::document::Document;
use super::queue::Queue;
use super::refusals::Refusals;
use crate::domain::clock::Clock;
use crate::domain::limits::{NOTICE_BACKOFF_SECONDS_MAX, NOTICE_FAILURES_MAX, NOTICE_REFUSALS_MAX};
use crate::domain::name::NotifierName;
use crate::domain::time::Timestamp;

/// How often a cursor that moved without a delivery is written.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// How a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationView {
    /// Its name.
    pub name: NotifierName,
    /// Notices that it has not been told of.
    pub pending: usize,
    /// When the oldest of them happened.
    pub oldest: Option<Timestamp>,
    /// Delivered since the start.
    pub delivered: u64,
    /// Given up since the start: refused by the receiver, or dropped because too many waited.
    pub failed: u64,
    /// Why the last try failed; `None` after one that did not.
    pub problem: Option<String>,
}

/// One destination's place.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) destination: Destination,
    path: PathBuf,
    /// What was on stable storage when this began.
    pub(super) began: Cursor,
    queue: Mutex<Queue>,
    /// Something was added.
    pub(super) changed: Notify,
    /// What is on stable storage; `None` when nothing could be written.
    saved: Mutex<Option<Cursor>>,
    problem: Mutex<Option<String>>,
}

impl Desk {
    pub(super) fn open(
        directory: &Path,
        destination: Destination,
        size: u64,
        durable: bool,
    ) -> io::Result<Self> {
        let path = directory.join(format!("{}.cursor", destination.name));
        let known = Cursor::read(&path).or_else(|error| if durable { Err(error) } else { Ok(None) })?;
        // A log that was put back from a copy is shorter: what it says from here on is news.
        let cursor = known.map_or(Cursor::at(size), |known| Cursor {
            emergency: known.emergency.min(size),
            ordinary: known.ordinary.min(size),
        });
        if durable && known != Some(cursor) {
            cursor.write(&path)?;
        }
        Ok(Self {
            destination,
            path,
            began: cursor,
            queue: Mutex::new(Queue::new(cursor)),
            changed: Notify::new(),
            saved: Mutex::new(Some(cursor)),
            problem: Mutex::default(),
        })
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view(&self) -> DestinationView {
        let queue = self.queue();
        DestinationView {
            name: self.destination.name.clone(),
            pending: queue.len(),
            oldest: queue.oldest(),
            delivered: queue.delivered,
            failed: queue.failed,
            problem: self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Delivers one notice after the other, the gravest first.
    pub(super) async fn work(&self, clock: &dyn Clock) {
        let mut refusals = Refusals::default();
        loop {
            let now = Instant::now();
            let (document, due) = {
                let queue = self.queue();
                (queue.front(now), queue.openings.next_due())
            };
            let Some(document) = document else {
                let later = now + SAVE_EVERY;
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(due.map_or(later, |due| due.min(later))) => self.save().await,
                }
                continue;
            };
            self.until_told(&document, clock, &mut refusals).await;
            self.save().await;
        }
    }

    /// Tries until it is delivered, given up or put behind, or a graver one has come.
    async fn until_told(&self, document: &Document, clock: &dyn Clock, refusals: &mut Refusals) {
        let (mut waits, mut failures) = (waits(), 0_u32);
        loop {
            let seconds = clock.now().unwrap_or_default().seconds();
            let delivered = self.destination.deliver(document, seconds).await;
            self.queue().tried(document);
            let error = match delivered {
                Ok(()) => return self.delivered(document),
                Err(error) => error,
            };
            let name = &self.destination.name;
            tracing::warn!(%name, id = document.id, %error, "a notice was not delivered");
            *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            let refused = matches!(error, Undelivered::Refused(_));
            if self.queue().openings.is_aside(document) {
                return self.put_aside(document, refused);
            }
            if refused && refusals.one_more(&document.id) >= NOTICE_REFUSALS_MAX {
                return self.given_up(document);
            }
            failures = failures.saturating_add(1);
            if failures >= NOTICE_FAILURES_MAX && self.queue().len() > 1 {
                tracing::warn!(%name, id = document.id, "a notice fails again and again: others go first");
                return self.queue().put_behind(document, Instant::now());
            }
            let longest = Duration::from_secs(NOTICE_BACKOFF_SECONDS_MAX);
            let wait = waits.next().unwrap_or(longest).min(longest);
            if self.is_overtaken(document, Instant::now() + wait).await {
                return;
            }
        }
    }

    fn delivered(&self, document: &Document) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut queue = self.queue();
        queue.take(document);
        queue.delivered = queue.delivered.saturating_add(1);
    }

    fn put_aside(&self, document: &Document, refused: bool) {
        self.queue().openings.put_aside(document, refused, Instant::now());
    }

    /// An opening is tried again beside the rest; everything else has had its tries.
    fn given_up(&self, document: &Document) {
        let name = &self.destination.name;
        if document.opens().is_some() {
            tracing::error!(%name, id = document.id, "an opening is refused by its receiver; it is tried on");
            return self.put_aside(document, true);
        }
        tracing::error!(%name, id = document.id, "a notice was given up: its receiver refuses it");
        let mut queue = self.queue();
        if queue.take(document) {
            queue.failed = queue.failed.saturating_add(1);
        }
    }

    /// Waits until `end`, or until another notice is the one to be told next. Whether it is.
    async fn is_overtaken(&self, document: &Document, end: Instant) -> bool {
        loop {
            let over = tokio::select! {
                () = self.changed.notified() => false,
                () = sleep_until(end) => true,
            };
            // It may have been dropped, too: what went on may be over.
            let overtaken = self.queue().front(Instant::now()).is_none_or(|front| front.id != document.id);
            if over || overtaken {
                return overtaken;
            }
        }
    }

    /// Makes the cursor durable. When that fails, a restart tells again what was told.
    async fn save(&self) {
        let cursor = self.queue().cursor();
        if *self.saved.lock().unwrap_or_else(PoisonError::into_inner) == Some(cursor) {
            return;
        }
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || cursor.write(&path)).await;
        match written {
            Ok(Ok(())) => *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor),
            Ok(Err(error)) => {
                let name = &self.destination.name;
                tracing::warn!(%name, %error, "how far notices were told is not durable; a restart tells them again");
            }
            Err(_) => {}
        }
    }
}

/// One second, then twice as long each time, with some jitter so that brokers don't come all at once.
fn waits() -> impl Iterator<Item = Duration> {
    let longest = Duration::from_secs(NOTICE_BACKOFF_SECONDS_MAX);
    let waits = ExponentialBuilder::default().with_min_delay(Duration::from_secs(1)).with_max_delay(longest);
    waits.with_jitter().without_max_times().build()
}
