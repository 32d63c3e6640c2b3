//! Who follows the revocations, and what they have acknowledged. Kept in memory: a verifier that is there
//! says so again after a restart.

use std::collections::HashMap;
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

/// A verifier as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierView {
    /// Who.
    pub id: VerifierId,
    /// Whether it follows the feed now.
    pub connected: bool,
    /// When it began to, the last time.
    pub since: Timestamp,
    /// The newest epoch that it acknowledged, and when; `None` before the first.
    pub acknowledged: Option<(u64, Timestamp)>,
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
    #[error("the verifier does not follow the feed")]
    Unknown,
}

/// The verifiers that there are, at most [`VERIFIERS_MAX`].
#[derive(Debug)]
pub struct Verifiers {
    known: Mutex<HashMap<VerifierId, Seen>>,
    changed: watch::Sender<()>,
}

#[derive(Clone, Debug)]
struct Seen {
    streams: usize,
    since: Timestamp,
    acknowledged: Option<(u64, Timestamp)>,
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
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(seen) = self.verifiers.lock().get_mut(&self.id) {
            seen.streams = seen.streams.saturating_sub(1);
        }
        self.verifiers.changed.send_replace(());
    }
}

impl Verifiers {
    fn lock(&self) -> MutexGuard<'_, HashMap<VerifierId, Seen>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `id` begins to follow the feed at `now`.
    ///
    /// # Errors
    /// When there are too many.
    pub fn connect(self: &Arc<Self>, id: VerifierId, now: Timestamp) -> Result<Subscription, VerifierError> {
        let mut known = self.lock();
        if known.values().map(|seen| seen.streams).sum::<usize>() >= SUBSCRIBERS_MAX {
            return Err(VerifierError::Full);
        }
        let same = known.iter().filter(|(other, _)| other.identity == id.identity);
        if same.map(|(_, seen)| seen.streams).sum::<usize>() >= SUBSCRIBERS_PER_VERIFIER_MAX {
            return Err(VerifierError::Full);
        }
        if known.len() >= VERIFIERS_MAX && !known.contains_key(&id) {
            known.retain(|_, seen| seen.streams > 0);
        }
        let seen = known.entry(id.clone()).or_insert(Seen { streams: 0, since: now, acknowledged: None });
        seen.streams = seen.streams.saturating_add(1);
        seen.since = now;
        drop(known);
        Ok(Subscription { verifiers: Arc::clone(self), id })
    }

    /// `id` has put all up to `epoch` into force, of `newest` that there are.
    ///
    /// # Errors
    /// When it does not follow, or acknowledges what is not there yet.
    pub fn acknowledge(
        &self,
        id: &VerifierId,
        epoch: u64,
        newest: u64,
        now: Timestamp,
    ) -> Result<(), VerifierError> {
        if epoch > newest {
            return Err(VerifierError::Ahead(epoch));
        }
        let mut known = self.lock();
        let seen = known.get_mut(id).filter(|seen| seen.streams > 0).ok_or(VerifierError::Unknown)?;
        // An acknowledgement that comes late takes nothing back.
        if seen.acknowledged.is_none_or(|(before, _)| before < epoch) {
            seen.acknowledged = Some((epoch, now));
        }
        drop(known);
        self.changed.send_replace(());
        Ok(())
    }

    /// All, sorted by identity and label.
    pub fn list(&self) -> Vec<VerifierView> {
        let known = self.lock();
        let mut views: Vec<VerifierView> = known
            .iter()
            .map(|(id, seen)| VerifierView {
                id: id.clone(),
                connected: seen.streams > 0,
                since: seen.since,
                acknowledged: seen.acknowledged,
            })
            .collect();
        drop(known);
        views.sort_by(|a, b| a.id.cmp(&b.id));
        views
    }

    /// How those stand to `epoch` that follow the feed now: as soon as all have acknowledged it, and after
    /// `wait` at the latest. One that goes away meanwhile has not acknowledged.
    pub async fn reached(&self, epoch: u64, wait: Duration) -> Vec<VerifierView> {
        // The runtime's timers count whole milliseconds, and would make one or two of none.
        if wait.is_zero() {
            return self.connected().collect();
        }
        let mut changed = self.changed.subscribe();
        let asked: Vec<VerifierId> = self.connected().map(|view| view.id).collect();
        let has = |view: &VerifierView| view.acknowledged.is_some_and(|(reached, _)| reached >= epoch);
        let those = || self.list().into_iter().filter(|view| asked.contains(&view.id)).collect::<Vec<_>>();
        let all = async {
            while !those().iter().all(|view| has(view) || !view.connected) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Out of time is an answer too: the list shows who is missing.
        let _in_time = tokio::time::timeout(wait, all).await;
        those()
    }

    /// Those that follow the feed now.
    pub fn connected(&self) -> impl Iterator<Item = VerifierView> {
        self.list().into_iter().filter(|view| view.connected)
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
        assert_eq!(verifiers.acknowledge(&id("a"), 1, 5, NOW), Err(VerifierError::Unknown));
        let subscription = verifiers.connect(id("a"), NOW).unwrap();
        assert_eq!(verifiers.acknowledge(&id("a"), 6, 5, NOW), Err(VerifierError::Ahead(6)));
        verifiers.acknowledge(&id("a"), 5, 5, NOW).unwrap();
        verifiers.acknowledge(&id("a"), 3, 5, NOW.plus_millis(9)).unwrap();
        assert_eq!(verifiers.list().first().unwrap().acknowledged, Some((5, NOW)));
        drop(subscription);
        assert!(!verifiers.list().first().unwrap().connected);
        assert_eq!(verifiers.acknowledge(&id("a"), 5, 5, NOW), Err(VerifierError::Unknown));
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
        verifiers.acknowledge(&id("a"), 7, 9, NOW).unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        verifiers.acknowledge(&id("b"), 8, 9, NOW).unwrap();
        assert_eq!(waiting.await.unwrap().len(), 2);
        let late = verifiers.reached(9, wait).await;
        assert!(late.iter().all(|view| view.acknowledged.is_some_and(|(epoch, _)| epoch < 9)));
        drop(b);
        let gone = verifiers.reached(9, wait).await;
        assert_eq!(gone.len(), 1, "who is not there is not waited for");
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
