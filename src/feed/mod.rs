//! Follows the broker over gRPC, for services that verify themselves: whom to trust, and what ended.
//!
//! It keeps a [`Followed`] state up to date and does not judge: that a feed was lost the state finds out by
//! itself, from the silence.

pub mod connect;
mod read;

use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::domain::clock::Clock;
use crate::domain::limits::FEED_HEARTBEAT_SECONDS;
use crate::proto::v1;
use crate::proto::v1::verification_service_client::VerificationServiceClient;
use crate::signer::extension::OidArc;
use crate::signer::jwk::{self, BadJwks};
use crate::signer::verify::Trust;
use crate::verify::{Ends, Followed, Verifier};

/// Largest message in bytes: a part of a snapshot.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Seconds without any message after which a connection is taken for dead: three heartbeats.
const STALLED_SECONDS: u64 = 3 * FEED_HEARTBEAT_SECONDS;
/// How often the broker's keys are asked for. A new key is mostly published long before it signs; after `keys rotate token
/// --now` it signs at once, and for so long its tokens are refused here. The broker answers from memory in a fraction of a
/// millisecond and bounds nobody's calls: the 20 a second of a hundred verifiers are nothing to it.
const TRUST_EVERY: Duration = Duration::from_secs(5);
/// Waits between two tries: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Why the broker could not be followed, for now.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The broker's answer is not of its form.
    #[error("the broker's `{0}` is not of its form")]
    Form(&'static str),
    /// The feed told of an epoch before one that it told of already.
    #[error("the feed went back to epoch {0}")]
    Back(u64),
    /// The keys can't be read.
    #[error("the broker's keys")]
    Keys(#[from] BadJwks),
    /// The call failed.
    #[error("the call failed: {}", .0.message())]
    Call(#[from] Status),
    /// The clock jumped.
    #[error("the clock can't be trusted")]
    Clock,
    /// No message or answer came in time.
    #[error("no message or answer for {STALLED_SECONDS} s")]
    Stalled,
}

/// Whom to trust, as the broker says now. The connection has to be one that is the broker's for certain: its Unix socket, or
/// [`connect::Remote`]. Over TLS below its root stand agents that are servers, too, so that the SPIFFE ID of the certificate
/// has to be the broker's.
///
/// # Errors
/// [`FeedError`].
pub async fn trust(channel: Channel, oid_arc: OidArc) -> Result<Trust, FeedError> {
    let mut client = VerificationServiceClient::new(channel);
    let bundle = answered(client.get_trust_bundle(v1::GetTrustBundleRequest {})).await?;
    let issuer = bundle.issuer.parse().map_err(|_| FeedError::Form("issuer"))?;
    let keys = jwk::parse_jwks(&bundle.jwks)?;
    let action_ca = read::first_certificate(&bundle.action_ca_pem).ok_or(FeedError::Form("action_ca_pem"))?;
    Ok(Trust::new(issuer, keys, Some((action_ca, oid_arc))))
}

/// Keeps the verifier's trust that of the broker, for ever: keys rotate, and a new one is published before it
/// signs. While the broker can't be asked, what was trusted last stays.
pub async fn follow_trust(channel: Channel, verifier: Arc<Verifier>, oid_arc: OidArc) {
    loop {
        tokio::time::sleep(TRUST_EVERY).await;
        match trust(channel.clone(), oid_arc.clone()).await {
            Ok(newer) => verifier.trust(&Arc::new(newer)),
            Err(error) => tracing::warn!(%error, "the broker's keys could not be asked for"),
        }
    }
}

/// Keeps `state` up to date for ever, and tells the broker how far it is. It comes back by itself after every
/// failure; meanwhile the state does what it is configured to do.
pub async fn follow(channel: Channel, state: Arc<Followed>, clock: Arc<dyn Clock>, label: &str) {
    let (mut wait, mut place) = (FIRST_WAIT, Place::default());
    let mut instance = 0;
    loop {
        let before = state.epoch();
        if instance == 0 {
            instance = drawn();
        }
        let who = Who { label, instance };
        if let Err(error) = once(&channel, &state, &*clock, who, &mut place).await {
            tracing::warn!(%error, "the feed of revocations was lost");
        }
        wait = if state.epoch() > before { FIRST_WAIT } else { (wait * 2).min(LAST_WAIT) };
        tokio::time::sleep(wait).await;
    }
}

/// Who follows, in its own words.
#[derive(Clone, Copy, Debug)]
struct Who<'a> {
    label: &'a str,
    /// By it the broker knows that this one came back, and not another with the same label.
    instance: u64,
}

/// A random number; 0, which the broker does not take, while there is none.
fn drawn() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 0,
    }
}

/// Where the last stream was left, in the words of the log that told it. A number alone could be another end's by now.
#[derive(Debug, Default)]
struct Place {
    epoch: u64,
    sha256: Vec<u8>,
}

/// Follows one stream to its end.
async fn once(
    channel: &Channel,
    state: &Followed,
    clock: &dyn Clock,
    who: Who<'_>,
    place: &mut Place,
) -> Result<(), FeedError> {
    let mut client =
        VerificationServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = v1::WatchRevocationsRequest {
        label: who.label.to_owned(),
        after_epoch: place.epoch,
        after_sha256: place.sha256.clone(),
        instance: who.instance,
    };
    let trusted = || clock.now().map_err(|_| FeedError::Clock);
    // When the broker was there for certain, and this stream with it: before a call that it answered. Not when a message was
    // read, which may have lain here for as long as this process was stopped.
    let mut there = trusted()?;
    let mut stream = answered(client.watch_revocations(Request::new(request))).await?;
    let mut snapshot: Option<Ends> = None;
    let mut graces = None;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(STALLED_SECONDS), stream.message());
        let Some(message) = next.await.map_err(|_| FeedError::Stalled)?? else { return Ok(()) };
        let ends: Option<Vec<_>> = message.revoked.iter().map(read::end).collect();
        let ends = ends.ok_or(FeedError::Form("revoked"))?;
        if let Some(lost_feed) = &message.lost_feed {
            graces = Some(read::graces(lost_feed).ok_or(FeedError::Form("lost_feed"))?);
        }
        if message.snapshot_begins {
            snapshot = Some(Ends::default());
        }
        match snapshot.take() {
            Some(mut whole) => {
                ends.into_iter().for_each(|end| whole.add(end));
                if message.snapshot_continues {
                    snapshot = Some(whole);
                    continue;
                }
                if !state.begin(whole, message.epoch, there) {
                    return Err(FeedError::Back(message.epoch));
                }
            }
            None => state.hear(ends, message.epoch, there),
        }
        *place = Place { epoch: message.epoch, sha256: message.epoch_sha256 };
        // Of a feed that is believed.
        if let Some(graces) = graces.take() {
            state.go_by(graces);
        }
        let (epoch, subscription) = (state.epoch(), message.subscription);
        let acknowledge = v1::AcknowledgeEpochRequest { label: who.label.to_owned(), epoch, subscription };
        let asked = trusted()?;
        answered(client.acknowledge_epoch(Request::new(acknowledge))).await?;
        there = asked;
        state.hear(None, epoch, there);
    }
}

/// What a call is answered, within the time that a message has: whoever waits for ever for a host that is gone does not
/// hear of the one in its place.
async fn answered<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, FeedError> {
    let limit = Duration::from_secs(STALLED_SECONDS);
    let answer = tokio::time::timeout(limit, call).await.map_err(|_| FeedError::Stalled)?;
    Ok(answer?.into_inner())
}

#[cfg(test)]
mod tests;
