//! The outbox: for each destination what it has still to be told, delivered at least once.
//!
//! The log is the outbox. What has to be told is read off its entries, which are on stable storage before
//! anything comes of them; beside it stands one durable cursor for each destination. A crash, a restart or a
//! receiver that is away for a week cost a second delivery of the same id, never the notice.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::desk::{Desk, DestinationView};
use super::destination::{Destination, Undelivered};
use super::document::Document;
use super::notice::{Notice, Reminder};
use super::{LogNotifier, Notifier};
use crate::domain::clock::Clock;
use crate::domain::id::Lineage;
use crate::domain::name::{NotifierName, OperatorName, TrustDomain};
use crate::domain::time::Timestamp;

/// All destinations.
pub struct Outbox {
    desks: Vec<Arc<Desk>>,
    trust_domain: TrustDomain,
    clock: Arc<dyn Clock>,
    /// The entries that the log had when this began.
    size: u64,
    /// What is below was told in the daemon's own log.
    logged: AtomicU64,
    /// Tells apart notices that stand in no log.
    salt: AtomicU64,
}

impl Outbox {
    /// The outbox over the cursors in `directory`. A destination that is new is told of what comes after `size`
    /// entries. Where the directory takes no writes (`durable` is false) a new one is told all the same, and once
    /// more after the next good start. Blocking.
    ///
    /// # Errors
    /// When a cursor can't be read, or a new one not be made durable.
    pub fn open(
        directory: &Path,
        destinations: Vec<Destination>,
        trust_domain: TrustDomain,
        size: u64,
        clock: Arc<dyn Clock>,
        durable: bool,
    ) -> io::Result<Self> {
        if durable && !destinations.is_empty() {
            std::fs::create_dir_all(directory)?;
        }
        let desk = |destination| Desk::open(directory, destination, size, durable).map(Arc::new);
        let desks = destinations.into_iter().map(desk).collect::<io::Result<_>>()?;
        let (logged, salt) = (AtomicU64::new(size), AtomicU64::new(0));
        Ok(Self { desks, trust_domain, clock, size, logged, salt })
    }

    /// The index of the entry to be looked at next: the first that somebody, if only the daemon's own log, was not told of.
    pub fn next(&self) -> u64 {
        let logged = self.logged.load(Ordering::Relaxed);
        self.desks.iter().map(|desk| desk.queue().cursor().first()).fold(logged, u64::min)
    }

    /// Takes what the entry at `index` has to tell. The daemon's own log says it at once, and once; `entry` is its canonical
    /// bytes; the destinations in `named` are told whatever else they want.
    pub fn recorded(
        &self,
        index: u64,
        time: Timestamp,
        notice: Notice,
        entry: &[u8],
        named: &[NotifierName],
    ) {
        // A destination that is behind has entries handed over that were logged before, by an earlier start, too.
        let next = index.saturating_add(1);
        if self.logged.fetch_max(next, Ordering::Relaxed) < next {
            LogNotifier.notify(&notice);
        }
        let document = Document::recorded(&self.trust_domain, index, time, notice, entry);
        self.add(&Arc::new(document), named);
    }

    /// Tells, the daemon's log too, of what goes on. It may be lost: it is told again.
    pub fn remind(&self, reminder: Reminder, named: &[NotifierName]) {
        let notice = Notice::Reminder(reminder);
        LogNotifier.notify(&notice);
        self.add(&Arc::new(self.direct(notice)), named);
    }

    /// Drops the reminders that wait, but for those of these sessions.
    pub fn keep_reminders(&self, going_on: &HashSet<Lineage>) {
        self.desks.iter().for_each(|desk| desk.queue().keep_reminders(going_on));
    }

    /// Openings that are refused are tried until their sessions were reviewed: these were not.
    pub fn keep_openings(&self, held: &HashSet<Lineage>) {
        self.desks.iter().for_each(|desk| desk.queue().reviewed(held));
    }

    /// The entry from which on the log has to be read again, because a destination had no room for its openings and
    /// has now.
    pub fn behind(&self) -> Option<u64> {
        self.desks.iter().filter_map(|desk| desk.queue().openings.behind()).min()
    }

    /// As [`Self::recorded`], of an entry that is read again: for those who had no room for it.
    pub fn again(&self, index: u64, time: Timestamp, notice: Notice, entry: &[u8], named: &[NotifierName]) {
        let document = Arc::new(Document::recorded(&self.trust_domain, index, time, notice, entry));
        if document.opens().is_none() {
            return;
        }
        for desk in self.wanting(&document, named) {
            desk.queue().openings.again(index, Arc::clone(&document));
            desk.changed.notify_one();
        }
    }

    /// The log was read again to its end.
    pub fn level(&self) {
        self.desks.iter().for_each(|desk| desk.queue().openings.level());
    }

    /// All entries below `size` were looked at.
    pub fn reach(&self, size: u64) {
        self.desks.iter().for_each(|desk| desk.queue().reach(size));
    }

    /// Tells, as well as it goes, of what stands in no log. It is lost with the process.
    pub fn tell(&self, notice: Notice) {
        self.add(&Arc::new(self.direct(notice)), &[]);
    }

    /// Whether every destination was told of the entry at `index`, or will be, come what may. The entry is durable
    /// when it has an index, and no cursor on stable storage was past it when this began: since then only what came
    /// of telling moves one. Entries of earlier starts were looked at by those.
    pub fn covers(&self, index: u64) -> bool {
        index < self.size || self.desks.iter().all(|desk| desk.began.first() <= index)
    }

    /// How the destinations are, in the order of the configuration.
    pub fn views(&self) -> Vec<DestinationView> {
        self.desks.iter().map(|desk| desk.view()).collect()
    }

    /// Tries the destination of this name, or all, and tells what came of each. Nothing is kept of it.
    pub async fn test(
        &self,
        operator: &OperatorName,
        name: Option<&NotifierName>,
    ) -> Vec<(NotifierName, Result<(), Undelivered>)> {
        let document = Arc::new(self.direct(Notice::Test { operator: operator.clone() }));
        let seconds = self.now().seconds();
        let wanted = self.desks.iter().filter(|desk| name.is_none_or(|name| desk.destination.name == *name));
        let mut tries = JoinSet::new();
        for (at, desk) in wanted.enumerate() {
            let (desk, document) = (Arc::clone(desk), Arc::clone(&document));
            tries.spawn(async move {
                (at, desk.destination.name.clone(), desk.destination.deliver(&document, seconds).await)
            });
        }
        let mut outcomes = tries.join_all().await;
        outcomes.sort_by_key(|(at, ..)| *at);
        outcomes.into_iter().map(|(_, name, outcome)| (name, outcome)).collect()
    }

    /// Delivers until the set is dropped.
    pub fn deliver(&self) -> JoinSet<()> {
        let mut workers = JoinSet::new();
        for desk in &self.desks {
            let (desk, clock) = (Arc::clone(desk), Arc::clone(&self.clock));
            workers.spawn(async move { desk.work(&*clock).await });
        }
        workers
    }

    fn direct(&self, notice: Notice) -> Document {
        let salt = self.salt.fetch_add(1, Ordering::Relaxed);
        Document::direct(&self.trust_domain, self.now(), notice, salt)
    }

    fn add(&self, document: &Arc<Document>, named: &[NotifierName]) {
        for desk in self.wanting(document, named) {
            desk.queue().push(Arc::clone(document));
            desk.changed.notify_one();
        }
    }

    /// Those who are told of it.
    fn wanting<'a>(
        &'a self,
        document: &'a Document,
        named: &'a [NotifierName],
    ) -> impl Iterator<Item = &'a Arc<Desk>> {
        let told = |destination: &Destination| {
            destination.wanted.wants(&document.notice) || named.contains(&destination.name)
        };
        self.desks.iter().filter(move |desk| told(&desk.destination))
    }

    /// For ids and views; a clock that jumped is no reason to be silent.
    fn now(&self) -> Timestamp {
        self.clock.now().unwrap_or_default()
    }
}

impl Notifier for Outbox {
    /// What stands in no log, at once: the daemon's own log and the destinations. Everything else is read off the log.
    fn notify(&self, notice: &Notice) {
        LogNotifier.notify(notice);
        self.tell(notice.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::domain::clock::Untrustworthy;
    use crate::notify::cursor::Cursor;
    use crate::notify::destination::{Program, Target, Wanted};
    use crate::notify::notice::Severity;

    /// Always the same time.
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Result<Timestamp, Untrustworthy> {
            Ok(Timestamp::from_seconds(1_763_900_000))
        }
    }

    fn outbox(directory: &Path, size: u64) -> Outbox {
        let destination = Destination {
            name: "oncall".parse().unwrap(),
            target: Target::Command(Program { path: "/bin/true".into(), arguments: Vec::new() }),
            wanted: Wanted { severity_min: Severity::Info, kinds: Vec::new() },
        };
        let trust_domain = "a.example".parse().unwrap();
        Outbox::open(directory, vec![destination], trust_domain, size, Arc::new(Stopped), true).unwrap()
    }

    #[tokio::test]
    async fn an_entry_is_covered_until_and_after_it_was_told_and_not_when_somebody_began_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = outbox(dir.path(), 5);
        assert!(outbox.covers(5) && outbox.covers(6));
        assert!(outbox.covers(4), "what came before this start was that start's to look at");
        let workers = outbox.deliver();
        let operator: OperatorName = "ann".parse().unwrap();
        outbox.recorded(5, Timestamp::from_millis(1), Notice::Unlocked { operator, lock: 1 }, b"x", &[]);
        outbox.reach(9);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Cursor::read(&dir.path().join("oncall.cursor")).unwrap() != Some(Cursor::at(9)) {
            assert!(Instant::now() < deadline, "it was not told: {:?}", outbox.views());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(outbox.covers(5), "it was told, however quickly");
        drop(workers);
        outbox.size = 3;
        assert!(!outbox.covers(4), "nobody would hear of it");
    }
}
