//! Who follows the revocations, who did and may still run, and what they have acknowledged. Kept in memory: a verifier
//! that is there says so again after a restart, and until it has had the time to, whoever is enrolled counts as away.

mod seen;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use self::seen::{Seen, Stream, away};
use crate::domain::limits::{
    FEED_AGE_SECONDS_MAX, FEED_RETURN_SECONDS_MAX, SUBSCRIBERS_MAX, SUBSCRIBERS_PER_VERIFIER_MAX,
    VERIFIER_STREAMS_MAX,
};
use crate::domain::name::VerifierLabel;
use crate::domain::time::Timestamp;

/// How long one that went away may go on with what it last heard: after that it refuses everything by itself.
const AWAY: Duration = Duration::from_secs(FEED_AGE_SECONDS_MAX as u64);
/// How long after a start nobody knows who is still to come back.
const RETURN: Duration = Duration::from_secs(FEED_RETURN_SECONDS_MAX);
/// Whom the answers call those that can't be told apart any more, or not yet.
const OTHERS: &str = "others";

/// A verifier: what its transport proves, and the label that it gives itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierId {
    /// Who the transport proves it to be.
    pub identity: Arc<str>,
    /// What it calls itself; empty when it does not.
    pub label: Option<VerifierLabel>,
}

/// The number that a verifier draws when it begins to follow: by it one that comes back is known from another.
pub type Instance = NonZeroU64;

/// A verifier as it stands. It may be several instances, each with a stream of its own: it is as far as the last of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierView {
    /// Who.
    pub id: VerifierId,
    /// On how many streams it follows now.
    pub streams: usize,
    /// Its instances that do not follow and may still run.
    pub away: Option<Away>,
    /// When that of its streams began which is behind the others; that of the last time when there is none. `None` when it
    /// has not followed since the broker started.
    pub since: Option<Timestamp>,
    /// The newest epoch that each of its instances acknowledged, those that are away included, and when; `None` before the first.
    pub acknowledged: Option<(u64, Timestamp)>,
}

/// Instances that do not follow and may still run. For [`FEED_AGE_SECONDS_MAX`] after they went they may go on with what they
/// last heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// How many, at least.
    pub instances: usize,
    /// When the last of them went; the broker's start for one that has not come back since.
    pub since: Timestamp,
}

impl Away {
    /// When they refuse everything by themselves at the latest.
    pub fn until(&self) -> Timestamp {
        self.since.plus_millis(i64::from(FEED_AGE_SECONDS_MAX) * 1000)
    }
}

/// Why a subscription or an acknowledgement was not taken.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifierError {
    /// The epoch has not been reached.
    #[error("the epoch `{0}` has not been reached")]
    Ahead(u64),
    /// There is no room for one more, at all or of this verifier.
    #[error("more than {SUBSCRIBERS_MAX} subscribers, or {SUBSCRIBERS_PER_VERIFIER_MAX} of one verifier")]
    Full,
    /// It does not follow the feed.
    #[error("the verifier does not follow the feed on this stream")]
    Unknown,
}

/// The verifiers that there are.
#[derive(Debug)]
pub struct Verifiers {
    known: Mutex<Known>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Known {
    /// With [`VERIFIER_STREAMS_MAX`] streams in all.
    verifiers: HashMap<VerifierId, Seen>,
    /// The number of the last stream. A start begins anywhere: what acknowledges on a stream of the start before is not taken for
    /// another's.
    last: u64,
    /// When the broker started.
    began: Instant,
    /// When others could reach it.
    opened: Option<Instant>,
    /// Who was enrolled then and has not followed since.
    awaited: BTreeSet<Arc<str>>,
    /// When one was forgotten last that may still run, because there was no room.
    forgot: Option<Instant>,
}

/// One of whom no stream is known.
fn unseen(identity: Arc<str>, away: Option<Away>) -> VerifierView {
    let id = VerifierId { identity, label: None };
    VerifierView { id, streams: 0, away, since: None, acknowledged: None }
}

/// One subscription; it ends when dropped.
#[derive(Debug)]
pub struct Subscription {
    verifiers: Arc<Verifiers>,
    id: VerifierId,
    number: u64,
}

impl Subscription {
    /// Its number, never 0: what acknowledges on it says so.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut known = self.verifiers.lock();
        if let Some(seen) = known.verifiers.get_mut(&self.id) {
            seen.end(self.number);
        }
        drop(known);
        self.verifiers.changed.send_replace(());
    }
}

impl Known {
    /// Whether one more stream of `id` may begin.
    fn has_room(&self, id: &VerifierId) -> bool {
        let live = |seen: &mut dyn Iterator<Item = &Seen>| seen.map(Seen::live).sum::<usize>();
        let mut same =
            self.verifiers.iter().filter(|(other, _)| other.identity == id.identity).map(|(_, seen)| seen);
        live(&mut self.verifiers.values()) < SUBSCRIBERS_MAX && live(&mut same) < SUBSCRIBERS_PER_VERIFIER_MAX
    }

    /// Forgets what takes more than there is room for: first who refuses by itself, then who is away for longest.
    fn keep_to_room(&mut self) {
        let streams = |known: &Self| known.verifiers.values().map(|seen| seen.0.len()).sum::<usize>();
        if streams(self) <= VERIFIER_STREAMS_MAX {
            return;
        }
        self.verifiers.values_mut().for_each(|seen| seen.0.retain(|_, stream| stream.counts()));
        if streams(self) > VERIFIER_STREAMS_MAX {
            let all =
                self.verifiers.iter().flat_map(|(id, seen)| seen.0.iter().map(move |stream| (id, stream)));
            let gone = all.filter_map(|(id, (number, stream))| Some((stream.gone?, *number, id.clone())));
            if let Some((_, number, id)) = gone.min_by_key(|(gone, number, _)| (*gone, *number)) {
                self.verifiers.get_mut(&id).map(|seen| seen.0.remove(&number));
                self.forgot = Some(Instant::now());
            }
        }
        self.verifiers.retain(|_, seen| !seen.0.is_empty());
    }

    /// Who was enrolled at the start and may still go on with what it heard before.
    fn awaited(&self) -> impl Iterator<Item = &Arc<str>> {
        self.awaited.iter().filter(|_| self.began.elapsed() < AWAY)
    }

    /// When those went that can't be told any more and may still run.
    fn others(&self) -> Option<Instant> {
        self.forgot.filter(|forgot| forgot.elapsed() < AWAY)
    }

    /// For how long it is not known who is still to come back after the start.
    fn returning(&self) -> Option<Duration> {
        let open = self.opened.map_or(Duration::ZERO, |opened| opened.elapsed());
        RETURN.checked_sub(open).filter(|left| !left.is_zero())
    }

    /// Whether all that may still run have acknowledged `epoch`.
    fn has_reached(&self, epoch: u64) -> bool {
        let all = self.verifiers.values().all(|seen| seen.has_reached(epoch));
        all && self.awaited().next().is_none() && self.others().is_none()
    }
}

impl Verifiers {
    /// Nobody follows yet; of `enrolled`, who have certificates, it is not known whether they go on with what they heard before.
    /// The numbers of streams begin after `last`, which is random.
    pub fn new(enrolled: BTreeSet<Arc<str>>, last: u32) -> Self {
        let known = Known {
            verifiers: HashMap::new(),
            last: u64::from(last) << 32,
            began: Instant::now(),
            opened: None,
            awaited: enrolled,
            forgot: None,
        };
        Self { known: Mutex::new(known), changed: watch::channel(()).0 }
    }

    /// The broker's listeners take connections from now on.
    pub fn open(&self) {
        self.lock().opened = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `instance` of `id` begins a stream of the feed at `now`.
    ///
    /// # Errors
    /// When there are too many.
    pub fn connect(
        self: &Arc<Self>,
        id: VerifierId,
        instance: Instance,
        now: Timestamp,
    ) -> Result<Subscription, VerifierError> {
        let mut known = self.lock();
        if !known.has_room(&id) {
            return Err(VerifierError::Full);
        }
        known.last = known.last.saturating_add(1);
        let number = known.last;
        let stream = Stream { instance, since: now, acknowledged: None, gone: None };
        known.verifiers.entry(id.clone()).or_default().begin(number, stream);
        known.awaited.remove(&id.identity);
        known.keep_to_room();
        drop(known);
        self.changed.send_replace(());
        Ok(Subscription { verifiers: Arc::clone(self), id, number })
    }

    /// `id` has put all up to `epoch` into force, of `newest` that there are: the instance whose stream has the number
    /// `subscription`.
    ///
    /// # Errors
    /// When it does not follow on that stream, or acknowledges what is not there yet.
    pub fn acknowledge(
        &self,
        id: &VerifierId,
        subscription: u64,
        epoch: u64,
        newest: u64,
        now: Timestamp,
    ) -> Result<(), VerifierError> {
        if epoch > newest {
            return Err(VerifierError::Ahead(epoch));
        }
        let mut known = self.lock();
        let stream = known.verifiers.get_mut(id).and_then(|seen| seen.0.get_mut(&subscription));
        let stream = stream.filter(|stream| stream.is_live()).ok_or(VerifierError::Unknown)?;
        // An acknowledgement that comes late takes nothing back.
        if stream.acknowledged.is_none_or(|(before, _)| before < epoch) {
            stream.acknowledged = Some((epoch, now));
        }
        drop(known);
        self.changed.send_replace(());
        Ok(())
    }

    /// All that are known, and those of `enrolled` that are not, sorted.
    pub fn list(&self, enrolled: BTreeSet<Arc<str>>, now: Timestamp) -> Vec<VerifierView> {
        let known = self.lock();
        let mut views: Vec<_> =
            known.verifiers.iter().map(|(id, seen)| seen.view(id, now, Stream::counts)).collect();
        let awaited: BTreeSet<_> = known.awaited().cloned().collect();
        let seen: BTreeSet<_> = known.verifiers.keys().map(|id| &id.identity).collect();
        let unknown = enrolled.into_iter().filter(|name| !seen.contains(name));
        let unknown: BTreeSet<_> = unknown.chain(awaited.iter().cloned()).collect();
        let since = away(1, known.began, now);
        views.extend(unknown.into_iter().map(|name| {
            let away = awaited.contains(&name).then_some(since);
            unseen(name, away)
        }));
        views.extend(known.others().map(|forgot| unseen(OTHERS.into(), Some(away(1, forgot, now)))));
        drop(known);
        views.sort_by(|a, b| a.id.cmp(&b.id));
        views
    }

    /// Those that follow now, by the streams that they do it on.
    pub fn connected(&self, now: Timestamp) -> Vec<VerifierView> {
        let known = self.lock();
        let live = known.verifiers.iter().filter(|(_, seen)| seen.live() > 0);
        live.map(|(id, seen)| seen.view(id, now, Stream::is_live)).collect()
    }

    /// Those that may take what they have not heard of, sorted: who follows, who went not long ago, and who was enrolled at
    /// the start and is not back.
    pub fn standing(&self, now: Timestamp) -> Vec<VerifierView> {
        let mut views = self.list(BTreeSet::new(), now);
        views.retain(|view| view.streams > 0 || view.away.is_some());
        views
    }

    /// How those of [`Self::standing`] are as soon as all have acknowledged `epoch`, each of their instances, and after
    /// `wait` at the latest. One that is away may come back in time. Soon after a start nobody knows who else is to come: that is
    /// waited for, too, and named when there was no time for it.
    pub async fn reached(
        &self,
        epoch: u64,
        wait: Duration,
        now: impl Fn() -> Timestamp,
    ) -> Vec<VerifierView> {
        let mut changed = self.changed.subscribe();
        let all = async {
            let returning = self.lock().returning();
            if let Some(returning) = returning {
                tokio::time::sleep(returning).await;
            }
            while !self.lock().has_reached(epoch) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Out of time is an answer too: the list shows who is missing.
        let _in_time = tokio::time::timeout(wait, all).await;
        let mut views = self.standing(now());
        let known = self.lock();
        if known.returning().is_some() && known.others().is_none() {
            views.push(unseen(OTHERS.into(), Some(away(1, known.began, now()))));
        }
        drop(known);
        views
    }
}

#[cfg(test)]
mod tests;
