//! Who follows the revocations, and what they have acknowledged. Kept in memory: a verifier that is there
//! says so again after a restart.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::limits::{SUBSCRIBERS_MAX, SUBSCRIBERS_PER_VERIFIER_MAX, VERIFIERS_MAX};
use crate::domain::name::VerifierLabel;
use crate::domain::time::Timestamp;

/// A verifier: what its transport proves, and the label that it gives itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierId {
    /// Who the transport proves it to be.
    pub identity: Arc<str>,
    /// What it calls itself; empty when it does not.
    pub label: Option<VerifierLabel>,
}

/// A verifier as it stands. It may be several instances, each with a stream of its own: it is as far as the last of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierView {
    /// Who.
    pub id: VerifierId,
    /// On how many streams it follows now.
    pub streams: usize,
    /// When that of its streams began which is behind the others; that of the last time when there is none.
    pub since: Timestamp,
    /// The newest epoch that it acknowledged on each of its streams, and when; `None` before the first.
    pub acknowledged: Option<(u64, Timestamp)>,
}

impl VerifierView {
    /// Whether it follows the feed.
    pub const fn is_connected(&self) -> bool {
        self.streams > 0
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

/// The verifiers that there are, at most [`VERIFIERS_MAX`].
#[derive(Debug)]
pub struct Verifiers {
    known: Mutex<Known>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Known {
    verifiers: HashMap<VerifierId, Seen>,
    /// How many streams there were: the number of the last one.
    streams: u64,
}

/// The streams of one verifier by their numbers; those of its last time when none is live.
#[derive(Clone, Debug, Default)]
struct Seen(BTreeMap<u64, Stream>);

#[derive(Clone, Copy, Debug)]
struct Stream {
    is_live: bool,
    since: Timestamp,
    acknowledged: Option<(u64, Timestamp)>,
}

impl Seen {
    fn live(&self) -> usize {
        self.0.values().filter(|stream| stream.is_live).count()
    }

    fn view(&self, id: &VerifierId) -> VerifierView {
        // Of those that are as far the last one to say so; of those that said nothing the first to begin.
        let far = |stream: &&Stream| {
            (stream.acknowledged.map(|(epoch, time)| (epoch, Reverse(time))), stream.since)
        };
        let last = self.0.values().min_by_key(far);
        VerifierView {
            id: id.clone(),
            streams: self.live(),
            since: last.map(|stream| stream.since).unwrap_or_default(),
            acknowledged: last.and_then(|stream| stream.acknowledged),
        }
    }
}

impl Default for Verifiers {
    fn default() -> Self {
        Self { known: Mutex::default(), changed: watch::channel(()).0 }
    }
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
        if let Some(seen) = self.verifiers.lock().verifiers.get_mut(&self.id) {
            // The last one tells how far the verifier was.
            if seen.live() > 1 {
                seen.0.remove(&self.number);
            } else if let Some(stream) = seen.0.get_mut(&self.number) {
                stream.is_live = false;
            }
        }
        self.verifiers.changed.send_replace(());
    }
}

impl Verifiers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `id` begins to follow the feed at `now`.
    ///
    /// # Errors
    /// When there are too many.
    pub fn connect(self: &Arc<Self>, id: VerifierId, now: Timestamp) -> Result<Subscription, VerifierError> {
        let mut known = self.lock();
        if known.verifiers.values().map(Seen::live).sum::<usize>() >= SUBSCRIBERS_MAX {
            return Err(VerifierError::Full);
        }
        let same = known.verifiers.iter().filter(|(other, _)| other.identity == id.identity);
        if same.map(|(_, seen)| seen.live()).sum::<usize>() >= SUBSCRIBERS_PER_VERIFIER_MAX {
            return Err(VerifierError::Full);
        }
        if known.verifiers.len() >= VERIFIERS_MAX && !known.verifiers.contains_key(&id) {
            known.verifiers.retain(|_, seen| seen.live() > 0);
        }
        known.streams = known.streams.saturating_add(1);
        let number = known.streams;
        let seen = known.verifiers.entry(id.clone()).or_default();
        seen.0.retain(|_, stream| stream.is_live);
        seen.0.insert(number, Stream { is_live: true, since: now, acknowledged: None });
        drop(known);
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
        let stream = stream.filter(|stream| stream.is_live).ok_or(VerifierError::Unknown)?;
        // An acknowledgement that comes late takes nothing back.
        if stream.acknowledged.is_none_or(|(before, _)| before < epoch) {
            stream.acknowledged = Some((epoch, now));
        }
        drop(known);
        self.changed.send_replace(());
        Ok(())
    }

    /// All, sorted by identity and label.
    pub fn list(&self) -> Vec<VerifierView> {
        let known = self.lock();
        let mut views: Vec<VerifierView> = known.verifiers.iter().map(|(id, seen)| seen.view(id)).collect();
        drop(known);
        views.sort_by(|a, b| a.id.cmp(&b.id));
        views
    }

    /// How those stand to `epoch` that follow the feed now: as soon as all have acknowledged it, each of their instances,
    /// and after `wait` at the latest. One that goes away meanwhile has not acknowledged.
    pub async fn reached(&self, epoch: u64, wait: Duration) -> Vec<VerifierView> {
        // The runtime's timers count whole milliseconds, and would make one or two of none.
        if wait.is_zero() {
            return self.connected().collect();
        }
        let mut changed = self.changed.subscribe();
        let mut asked = self.following();
        let all = async {
            while !self.have_reached(epoch, &mut asked) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Out of time is an answer too: the list shows who is missing.
        let _in_time = tokio::time::timeout(wait, all).await;
        asked.iter().map(|(id, seen)| seen.view(id)).collect()
    }

    /// Those that follow the feed now, with the streams they do it on.
    fn following(&self) -> BTreeMap<VerifierId, Seen> {
        let known = self.lock();
        let live = known.verifiers.iter().filter(|(_, seen)| seen.live() > 0);
        live.map(|(id, seen)| (id.clone(), seen.clone())).collect()
    }

    /// Whether there is nobody left to wait for: each of the streams `asked` has acknowledged `epoch`, or is gone. Notes how
    /// they are.
    fn have_reached(&self, epoch: u64, asked: &mut BTreeMap<VerifierId, Seen>) -> bool {
        let known = self.lock();
        let mut all = true;
        for (id, seen) in asked {
            let now = known.verifiers.get(id);
            for (number, stream) in &mut seen.0 {
                match now.and_then(|now| now.0.get(number)) {
                    Some(now) => *stream = *now,
                    // What it had acknowledged is what was seen last.
                    None => stream.is_live = false,
                }
                let has = stream.acknowledged.is_some_and(|(reached, _)| reached >= epoch);
                all = all && (has || !stream.is_live);
            }
        }
        all
    }

    /// Those that follow the feed now.
    pub fn connected(&self) -> impl Iterator<Item = VerifierView> {
        self.list().into_iter().filter(VerifierView::is_connected)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_763_900_000);

    fn id(name: &str) -> VerifierId {
        VerifierId { identity: name.into(), label: None }
    }

    #[test]
    fn an_acknowledgement_needs_a_subscription_and_an_epoch_that_exists_and_never_goes_back() {
        let verifiers = Arc::new(Verifiers::default());
        assert_eq!(verifiers.acknowledge(&id("a"), 1, 1, 5, NOW), Err(VerifierError::Unknown));
        let subscription = verifiers.connect(id("a"), NOW).unwrap();
        assert_eq!(verifiers.acknowledge(&id("a"), 0, 1, 5, NOW), Err(VerifierError::Unknown));
        assert_eq!(verifiers.acknowledge(&id("a"), 1, 6, 5, NOW), Err(VerifierError::Ahead(6)));
        verifiers.acknowledge(&id("a"), 1, 5, 5, NOW).unwrap();
        verifiers.acknowledge(&id("a"), 1, 3, 5, NOW.plus_millis(9)).unwrap();
        assert_eq!(verifiers.list().first().unwrap().acknowledged, Some((5, NOW)));
        drop(subscription);
        assert!(!verifiers.list().first().unwrap().is_connected());
        assert_eq!(verifiers.acknowledge(&id("a"), 1, 5, 5, NOW), Err(VerifierError::Unknown));
    }

    #[test]
    fn no_verifier_takes_more_than_its_share() {
        let verifiers = Arc::new(Verifiers::default());
        let labelled = |label: &str| VerifierId { label: Some(label.parse().unwrap()), ..id("a") };
        let _held: Vec<_> =
            (0..SUBSCRIBERS_PER_VERIFIER_MAX).map(|_| verifiers.connect(id("a"), NOW).unwrap()).collect();
        assert_eq!(verifiers.connect(id("a"), NOW).unwrap_err(), VerifierError::Full);
        assert_eq!(verifiers.connect(labelled("other"), NOW).unwrap_err(), VerifierError::Full);
        assert!(verifiers.connect(id("b"), NOW).is_ok());
    }

    #[test]
    fn subscribers_are_bounded_at_n_and_refused_at_n_plus_one() {
        let verifiers = Arc::new(Verifiers::default());
        let share = |at: usize| id(&format!("of-{}", at / SUBSCRIBERS_PER_VERIFIER_MAX));
        let mut held: Vec<_> =
            (0..SUBSCRIBERS_MAX).map(|at| verifiers.connect(share(at), NOW).unwrap()).collect();
        assert_eq!(verifiers.connect(id("b"), NOW).unwrap_err(), VerifierError::Full);
        held.pop();
        assert!(verifiers.connect(id("b"), NOW).is_ok());
    }

    #[test]
    fn verifiers_that_are_gone_make_room() {
        let verifiers = Arc::new(Verifiers::default());
        for number in 0..VERIFIERS_MAX {
            drop(verifiers.connect(id(&number.to_string()), NOW).unwrap());
        }
        let _held = verifiers.connect(id("one more"), NOW).unwrap();
        assert_eq!(verifiers.list().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_all_have_acknowledged_or_time_is_over() {
        let verifiers = Arc::new(Verifiers::default());
        let (_a, b) = (verifiers.connect(id("a"), NOW).unwrap(), verifiers.connect(id("b"), NOW).unwrap());
        let wait = Duration::from_secs(5);
        let waiting = tokio::spawn({
            let verifiers = Arc::clone(&verifiers);
            async move { verifiers.reached(7, wait).await }
        });
        tokio::task::yield_now().await;
        verifiers.acknowledge(&id("a"), 1, 7, 9, NOW).unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        verifiers.acknowledge(&id("b"), 2, 8, 9, NOW).unwrap();
        assert_eq!(waiting.await.unwrap().len(), 2);
        let late = verifiers.reached(9, wait).await;
        assert!(late.iter().all(|view| view.acknowledged.is_some_and(|(epoch, _)| epoch < 9)));
        drop(b);
        let gone = verifiers.reached(9, wait).await;
        assert_eq!(gone.len(), 1, "who is not there is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_verifier_of_several_instances_is_as_far_as_the_last_of_them() {
        let verifiers = Arc::new(Verifiers::default());
        let (one, two) = (verifiers.connect(id("a"), NOW).unwrap(), verifiers.connect(id("a"), NOW).unwrap());
        let ack = |number, epoch, at| verifiers.acknowledge(&id("a"), number, epoch, 9, NOW.plus_millis(at));
        assert_eq!(ack(0, 7, 1), Err(VerifierError::Unknown));
        assert_eq!(ack(two.number() + 1, 7, 1), Err(VerifierError::Unknown));
        let other = verifiers.connect(id("b"), NOW).unwrap();
        assert_eq!(ack(other.number(), 7, 1), Err(VerifierError::Unknown), "another verifier's");
        drop(other);
        ack(one.number(), 7, 1).unwrap();
        let wait = Duration::from_secs(5);
        let view = |views: Vec<VerifierView>| {
            let view = views.into_iter().find(|view| view.id == id("a")).unwrap();
            (view.streams, view.acknowledged)
        };
        assert_eq!(view(verifiers.reached(7, wait).await), (2, None));
        assert_eq!(view(verifiers.list()), (2, None));
        ack(two.number(), 8, 2).unwrap();
        ack(one.number(), 8, 3).unwrap();
        let last = (2, Some((8, NOW.plus_millis(3))));
        assert_eq!(view(verifiers.reached(8, wait).await), last, "when the last of them did");
        // One that goes away without a word has not acknowledged, whatever the others have.
        let waiting = tokio::spawn({
            let verifiers = Arc::clone(&verifiers);
            async move { verifiers.reached(9, Duration::from_secs(3600)).await }
        });
        tokio::task::yield_now().await;
        drop(two);
        ack(one.number(), 9, 4).unwrap();
        assert_eq!(view(waiting.await.unwrap()), (1, Some((8, NOW.plus_millis(2)))));
        assert_eq!(view(verifiers.reached(9, wait).await).0, 1, "who is left has");
        assert_eq!(ack(0, 9, 5), Err(VerifierError::Unknown), "nobody knows to be the only one");
        drop(one);
        assert_eq!(view(verifiers.list()), (0, Some((9, NOW.plus_millis(4)))));
        let _again = verifiers.connect(id("a"), NOW).unwrap();
        assert_eq!(view(verifiers.list()), (1, None), "it has to say so again");
        let later = verifiers.connect(id("a"), NOW.plus_millis(9)).unwrap();
        ack(later.number(), 9, 10).unwrap();
        let behind = verifiers.list().into_iter().find(|view| view.id == id("a")).unwrap();
        assert_eq!(behind.since, NOW, "how late it is, is counted from the one that said nothing");
    }

    #[tokio::test]
    async fn who_does_not_wait_is_answered_at_once() {
        let verifiers = Arc::new(Verifiers::default());
        let _behind = verifiers.connect(id("a"), NOW).unwrap();
        let answered =
            pin!(verifiers.reached(7, Duration::ZERO)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(answered.is_ready(), "an acknowledgement that nobody waits for costs a revocation nothing");
    }
}
