//! Announce: what the log says that people should know is put before the notifiers, and an emergency may wait
//! for the proof that it will be.
//!
//! The log is the outbox (`docs/decisions/0025`): a recorded entry whose index no destination is past is told
//! sooner or later, whatever happens to this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::break_glass::{Asks, Held, Step};
use crate::domain::id::Lineage;
use crate::domain::limits::NOTICE_SECONDS_MAX;
use crate::domain::name::{NotifierName, OperatorName, PlaybookName};
use crate::domain::time::Timestamp;
use crate::notify::Notice;
use crate::notify::desk::DestinationView;
use crate::notify::destination::Undelivered;
use crate::store::{Numbered, ReadError};

use super::Broker;
use super::operate::Authorized;
use super::remind::Due;

/// How often the ledger is asked whether it has stopped: that stands in no log.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A session whose opening is on stable storage and told to everybody who is to be told, or will be, come what may
/// (`docs/decisions/0031`). Made only here. Nothing is given, shut or ended under a session in any other form, so that
/// none can be silent.
#[derive(Debug)]
pub struct Announced {
    held: Arc<Held>,
}

impl Announced {
    /// The session.
    pub const fn held(&self) -> &Arc<Held> {
        &self.held
    }
}

/// Why it is not certain that somebody will be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPut {
    /// A destination began behind the entry: it would never hear of it.
    #[error("a notifier would not be told of the session")]
    Cursor,
}

/// What came of trying one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub name: NotifierName,
    /// Whether it took the test notice.
    pub outcome: Result<(), Undelivered>,
}

impl Broker {
    /// The session of this id, if there is one, with the proof that it is not silent. What the ledger shows is
    /// durable, and its entry is the outbox's.
    ///
    /// # Errors
    /// [`NotPut`]; then nothing must come of the session.
    pub(super) fn announced(&self, session: Lineage) -> Result<Option<Announced>, NotPut> {
        let Some(held) = self.ledger.sessions().get(session).map(Arc::clone) else { return Ok(None) };
        if self.outbox.covers(held.index) { Ok(Some(Announced { held })) } else { Err(NotPut::Cursor) }
    }

    /// Follows the ledger, delivers, and tells again of what goes on, until the future is dropped. It returns when
    /// one of these has ended, which does not happen: nobody may take a broker that tells nobody for one that does.
    pub async fn announce(&self) {
        let mut workers = self.outbox.deliver();
        let mut due = Due::new(self.remind_every);
        let mut newest = self.ledger.watch_notable();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopped = false;
        let mut next = self.outbox.next();
        loop {
            match self.catch_up(next).await {
                Ok(reached) => next = reached,
                Err(error) => {
                    tracing::error!(%error, "the log can't be read for notices; it is tried again");
                }
            }
            if let Err(error) = self.read_again().await {
                tracing::error!(%error, "the log can't be read again for notices; it is tried again");
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                Some(_) = workers.join_next() => return,
                _ = look.tick() => {
                    self.remind(&mut due, Instant::now());
                    if let Some(problem) = self.ledger.status().problem.filter(|_| !stopped) {
                        stopped = true;
                        self.notifier.notify(&Notice::LedgerStopped { problem });
                    }
                }
            }
        }
    }

    /// Hands the outbox what is notable from `from` on; gives the index up to which everything was looked at.
    async fn catch_up(&self, from: u64) -> Result<u64, ReadError> {
        let mut next = from;
        loop {
            // The size first: what is below it, the memory has.
            let size = self.ledger.status().size;
            if let Some(entries) = self.ledger.notable_since(next) {
                self.hand_over(&entries);
                let last = entries.last().map_or(0, |(index, _)| index.saturating_add(1));
                let reached = next.max(size).max(last);
                self.outbox.reach(reached);
                return Ok(reached);
            }
            let (entries, reached) = self.read(move |reader| reader.notable(next)).await?;
            self.hand_over(&entries);
            self.outbox.reach(reached);
            if reached == next {
                return Ok(next);
            }
            next = reached;
        }
    }

    /// Reads the log again for those who had no room for all of its openings.
    async fn read_again(&self) -> Result<(), ReadError> {
        let Some(mut next) = self.outbox.behind() else { return Ok(()) };
        loop {
            let (entries, reached) = self.read(move |reader| reader.notable(next)).await?;
            self.each(&entries, |index, time, notice, json, named| {
                self.outbox.again(index, time, notice, json, named);
            });
            if reached == next {
                self.outbox.level();
                return Ok(());
            }
            next = reached;
        }
    }

    fn hand_over(&self, entries: &[Numbered]) {
        self.each(entries, |index, time, notice, json, named| {
            self.outbox.recorded(index, time, notice, json, named);
        });
    }

    /// What there is to tell of these entries, and whom their playbooks name.
    fn each(&self, entries: &[Numbered], tell: impl Fn(u64, Timestamp, Notice, &[u8], &[NotifierName])) {
        for (index, entry) in entries {
            if let (Some(notice), Ok(json)) = (Notice::of(entry), entry.to_canonical_json()) {
                let named =
                    if let Notice::BreakGlass(step) = &notice { self.named(step) } else { Vec::new() };
                tell(*index, entry.time, notice, &json, &named);
            }
        }
    }

    /// Whom the playbook of a step names, by the registry in force: they hear of it whatever else they want.
    fn named(&self, step: &Step) -> Vec<NotifierName> {
        let known = step.playbook().cloned();
        let named = known.or_else(|| {
            let sessions = self.ledger.sessions();
            let of = |session| sessions.get(session).map(|held| held.opening.playbook.clone());
            let signed = match step {
                Step::Sign(signed) => sessions.proposal(&signed.statement),
                Step::Close(_)
                | Step::Extend(_)
                | Step::Open(_)
                | Step::Propose(_)
                | Step::Restrict(_)
                | Step::Review(_) => None,
            };
            match signed.map(|pending| &pending.proposal.asks) {
                Some(Asks::Open(opening)) => Some(opening.playbook.clone()),
                Some(Asks::Extend(extension)) => of(extension.session),
                None => step.session().and_then(of),
            }
        });
        named.map(|name| self.told_of(&name)).unwrap_or_default()
    }

    /// Whom a playbook names.
    pub(super) fn told_of(&self, playbook: &PlaybookName) -> Vec<NotifierName> {
        let rules = self.rules();
        rules.registry.playbook(playbook).map(|found| found.notify.clone()).unwrap_or_default()
    }

    /// How the destinations of notices are.
    pub fn notifiers(&self) -> Vec<DestinationView> {
        self.outbox.views()
    }

    /// Sends a test notice to the destination of this name, or to all, and waits for what comes of it, for
    /// [`NOTICE_SECONDS_MAX`] at most. Empty when there is none.
    pub async fn test_notifiers(&self, by: &Authorized, name: Option<&NotifierName>) -> Vec<Tried> {
        let operator: &OperatorName = &by.operator().name;
        let limit = Duration::from_secs(NOTICE_SECONDS_MAX);
        let tried = tokio::time::timeout(limit.saturating_add(LOOK_EVERY), self.outbox.test(operator, name));
        let outcomes = tried.await.unwrap_or_default();
        outcomes.into_iter().map(|(name, outcome)| Tried { name, outcome }).collect()
    }
}
