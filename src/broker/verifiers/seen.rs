//! The streams of one verifier, and what they tell of its instances.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::{AWAY, Away, Instance, VerifierId, VerifierView};
use crate::domain::time::Timestamp;

/// The streams of one verifier by their numbers: those that are live, and of each instance that went the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(pub(super) BTreeMap<u64, Stream>);

/// One stream of an instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) instance: Instance,
    pub(super) since: Timestamp,
    pub(super) acknowledged: Option<(u64, Timestamp)>,
    /// When it ended.
    pub(super) gone: Option<Instant>,
}

impl Stream {
    pub(super) const fn is_live(&self) -> bool {
        self.gone.is_none()
    }

    /// Whether its instance may still take what it has not heard of: it follows, or went not long ago.
    pub(super) fn counts(&self) -> bool {
        self.gone.is_none_or(|gone| gone.elapsed() < AWAY)
    }
}

impl Seen {
    /// An instance begins a stream. What it had before, and is gone, tells nothing any more.
    pub(super) fn begin(&mut self, number: u64, stream: Stream) {
        self.0
            .retain(|_, before| before.counts() && (before.is_live() || before.instance != stream.instance));
        self.0.insert(number, stream);
    }

    /// A stream ends. Its instance is away, when it has no other.
    pub(super) fn end(&mut self, number: u64) {
        let Some(mut ended) = self.0.remove(&number) else { return };
        if !self.0.values().any(|stream| stream.instance == ended.instance && stream.is_live()) {
            ended.gone = Some(Instant::now());
            // Of an instance that had several the last to end tells of it.
            self.0.retain(|_, before| before.instance != ended.instance);
            self.0.insert(number, ended);
        }
    }

    pub(super) fn live(&self) -> usize {
        self.0.values().filter(|stream| stream.is_live()).count()
    }

    /// Of each of its instances the stream that tells of it, the last: one that has gone is kept when there is no other.
    pub(super) fn instances(&self) -> impl Iterator<Item = &Stream> {
        let by_instance = self.0.values().map(|stream| (stream.instance, stream));
        by_instance.collect::<HashMap<_, _>>().into_values()
    }

    /// Whether all of its instances that may still run have acknowledged `epoch`.
    pub(super) fn has_reached(&self, epoch: u64) -> bool {
        let has = |stream: &Stream| stream.acknowledged.is_some_and(|(reached, _)| reached >= epoch);
        self.instances().all(|stream| has(stream) || !stream.counts())
    }

    /// How it is by those of its instances that count; by those of its last time when none does.
    pub(super) fn view(
        &self,
        id: &VerifierId,
        now: Timestamp,
        counts: impl Fn(&Stream) -> bool,
    ) -> VerifierView {
        let mut counted: Vec<&Stream> = self.instances().filter(|stream| counts(stream)).collect();
        let gone: Vec<Instant> = counted.iter().filter_map(|stream| stream.gone).collect();
        if counted.is_empty() {
            counted = self.instances().collect();
        }
        // Of those that are as far the last one to say so; of those that said nothing the first to begin.
        let far = |stream: &&&Stream| {
            (stream.acknowledged.map(|(epoch, time)| (epoch, Reverse(time))), stream.since)
        };
        let last = counted.iter().min_by_key(far);
        VerifierView {
            id: id.clone(),
            streams: self.live(),
            away: gone.iter().max().map(|last| away(gone.len(), *last, now)),
            since: last.map(|stream| stream.since),
            acknowledged: last.and_then(|stream| stream.acknowledged),
        }
    }
}

/// Instances that went at `since`, at the latest.
pub(super) fn away(instances: usize, since: Instant, now: Timestamp) -> Away {
    // By a clock that nobody sets.
    let millis = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
    Away { instances, since: now.plus_millis(millis.saturating_neg()) }
}
