//! The feed of revocations: one task for each subscriber, which follows the ledger at the subscriber's pace.
//!
//! There is nothing to hold for a slow one but its cursor: what ended is in the ledger's history. One that
//! takes no message in time, or has fallen behind the history, is dropped and comes back for a snapshot.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::Status;

use crate::broker::Broker;
use crate::broker::verifiers::Subscription;
use crate::domain::digest::Digest;
use crate::domain::limits::{
    FEED_HEARTBEAT_SECONDS, FEED_MESSAGE_DELTAS_MAX, FEED_QUEUE_MAX, FEED_STALL_SECONDS_MAX,
};
use crate::domain::revocation::feed::Place;
use crate::proto::v1;

use super::drain::Drain;
use super::render;
use super::status::Refused;

type Message = v1::WatchRevocationsResponse;

/// The messages of one subscriber, and how they ended.
#[derive(Debug)]
pub struct Feed {
    messages: mpsc::Receiver<Message>,
    end: Arc<OnceLock<Status>>,
    ended: bool,
}

impl Stream for Feed {
    type Item = Result<Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.messages.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(self.end.get().cloned().map(Err))
            }
        }
    }
}

/// Whether the subscriber may still follow, asked before each message: a feed outlives registries.
pub type Allowed = Box<dyn Fn() -> bool + Send + Sync>;

/// Starts the feed of one subscriber that has everything up to `after`; without it, with a snapshot.
pub fn follow(
    broker: Arc<Broker>,
    drain: Drain,
    subscription: Subscription,
    allowed: Allowed,
    after: Option<Place>,
) -> Feed {
    let (sender, messages) = mpsc::channel(FEED_QUEUE_MAX);
    let end = Arc::new(OnceLock::new());
    // Subscribed before the first look, so that nothing falls between.
    let epochs = broker.ledger().watch_revocations();
    // A place in another log, or in this one before it was put back, is none.
    let known = after.filter(|after| broker.ledger().leaf_of_epoch(after.epoch) == Some(after.leaf));
    let cursor = known.map_or(0, |known| known.epoch);
    let follower =
        Follower { broker, allowed, sender, epochs, cursor, told: None, subscription: subscription.number() };
    let told = Arc::clone(&end);
    tokio::spawn(async move {
        let _subscription = subscription;
        let mut follower = follower;
        let ended = tokio::select! {
            ended = follower.run() => ended,
            () = drain.begun() => Ended::Refused(Refused::draining()),
        };
        match ended {
            Ended::Gone => {}
            Ended::Refused(refused) => {
                // The first end is the only one.
                let _first = told.set(refused.into());
            }
        }
    });
    Feed { messages, end, ended: false }
}

/// Why a subscriber's feed ended.
enum Ended {
    /// It went away.
    Gone,
    /// It was dropped.
    Refused(Refused),
}

struct Follower {
    broker: Arc<Broker>,
    allowed: Allowed,
    sender: mpsc::Sender<Message>,
    epochs: watch::Receiver<u64>,
    /// The subscriber has been sent everything up to this epoch; 0 when nothing yet.
    cursor: u64,
    /// The registry by whose word on lost feeds it goes.
    told: Option<Digest>,
    /// The number of the subscription.
    subscription: u64,
}

impl Follower {
    async fn run(&mut self) -> Ended {
        let resumable = self.cursor > 0 && self.broker.ledger().ended_since(self.cursor, 1).is_some();
        let began = if resumable { self.send_deltas(true).await } else { self.send_snapshot().await };
        if let Err(ended) = began {
            return ended;
        }
        let heartbeat = Duration::from_secs(FEED_HEARTBEAT_SECONDS);
        loop {
            let next = tokio::select! {
                // Who has gone is not waited for, and not counted as connected.
                () = self.sender.closed() => return Ended::Gone,
                next = tokio::time::timeout(heartbeat, self.epochs.changed()) => next,
            };
            let sent = match next {
                Ok(Ok(())) => self.send_deltas(false).await,
                // The ledger has gone with the broker.
                Ok(Err(_)) => return Ended::Refused(Refused::draining()),
                Err(_) => self.send_deltas(true).await,
            };
            if let Err(ended) = sent {
                return ended;
            }
        }
    }

    /// Sends what ended after the cursor; when nothing did, a heartbeat if one is wanted.
    async fn send_deltas(&mut self, heartbeat: bool) -> Result<(), Ended> {
        let mut first = true;
        loop {
            let deltas = self.broker.ledger().ended_since(self.cursor, FEED_MESSAGE_DELTAS_MAX);
            let deltas = deltas.ok_or_else(|| Ended::Refused(Refused::feed_behind()))?;
            let newest = deltas.last().map_or(self.cursor, |delta| delta.epoch);
            if deltas.is_empty() && !(first && heartbeat) {
                return Ok(());
            }
            let revoked = deltas.iter().map(|delta| render::revocation::delta(delta)).collect();
            self.send(Message { epoch: newest, revoked, ..Message::default() }).await?;
            self.cursor = newest;
            first = false;
            if deltas.len() < FEED_MESSAGE_DELTAS_MAX {
                return Ok(());
            }
        }
    }

    async fn send_snapshot(&mut self) -> Result<(), Ended> {
        let snapshot = self.broker.ledger().revocations();
        let mut deltas = snapshot.deltas();
        let mut first = true;
        loop {
            let part = deltas.by_ref().take(FEED_MESSAGE_DELTAS_MAX);
            let revoked: Vec<_> = part.map(|delta| render::revocation::delta(&delta)).collect();
            let more = revoked.len() == FEED_MESSAGE_DELTAS_MAX;
            let epoch = if more { 0 } else { snapshot.epoch() };
            let message = Message {
                epoch,
                snapshot_begins: first,
                snapshot_continues: more,
                revoked,
                ..Message::default()
            };
            self.send(message).await?;
            first = false;
            if !more {
                self.cursor = snapshot.epoch();
                return Ok(());
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        if !(self.allowed)() {
            return Err(Ended::Refused(Refused::not_a_verifier()));
        }
        let rules = self.broker.rules();
        let digest = Some(rules.registry.digest());
        let lost_feed =
            (self.told != digest).then(|| render::revocation::lost_feed(&rules.registry.graces()));
        self.told = digest;
        let leaf = self.broker.ledger().leaf_of_epoch(message.epoch);
        let message = Message {
            epoch_sha256: leaf.map(|leaf| leaf.as_bytes().to_vec()).unwrap_or_default(),
            lost_feed,
            subscription: self.subscription,
            time: Some(render::timestamp(self.broker.time())),
            ..message
        };
        let stall = Duration::from_secs(FEED_STALL_SECONDS_MAX);
        match tokio::time::timeout(stall, self.sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Refused(Refused::feed_stalled())),
        }
    }
}
