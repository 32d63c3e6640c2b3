//! Envoy's secret discovery (SDS), state of the world: Envoy names what it wants, gets it at once, and again
//! whenever a CRL or an authority changes, or its own certificate is made anew. It takes or refuses each answer by its nonce.
//!
//! There is one task for each stream. It holds one version and waits for its subscriber; what a slow one has
//! missed it gets as the newest.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::api::convert::BadField;
use crate::api::drain::Drain;
use crate::api::guard::{Place, Places};
use crate::api::peer::presented;
use crate::api::status::{Refused, status};
use crate::attest::Presented;
use crate::broker::Broker;
use crate::broker::identity::AgentIdentity;
use crate::domain::limits::{
    FEED_STALL_SECONDS_MAX, SECRET_NAMES_MAX, SECRET_STREAMS_MAX, SECRET_STREAMS_PER_USER_MAX,
    SECRETS_BYTES_MAX, SECRETS_LOOK_SECONDS,
};
use crate::proto::sds::secret_discovery_service_server::SecretDiscoveryService;
use crate::proto::sds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use crate::signer::crl::Crls;

use super::identities::Identities;
use super::secrets::{Context, SECRET_TYPE, Snapshot, snapshot};
use super::serve::NOBODY;

/// Characters of a subscriber's own words that get into the log.
const WORDS_MAX: usize = 200;

type Answer = Result<DiscoveryResponse, Status>;

/// Answers Envoy.
pub(super) struct Secrets {
    broker: Arc<Broker>,
    drain: Drain,
    identities: Arc<Identities>,
    places: Places<u32>,
}

impl Secrets {
    pub(super) fn new(broker: Arc<Broker>, drain: Drain) -> Self {
        let identities = Arc::new(Identities::new(Arc::clone(&broker)));
        identities.keep_tidy();
        let places = Places::new(SECRET_STREAMS_MAX, SECRET_STREAMS_PER_USER_MAX, Gauge::default());
        Self { broker, drain, identities, places }
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Secrets {
    type DeltaSecretsStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;
    type StreamSecretsStream = ReceiverStream<Answer>;

    async fn delta_secrets(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented("use the state-of-the-world variant (`api_type: GRPC`)"))
    }

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let presented = presented(&request);
        let peer = presented.unix.as_ref().and_then(|peer| peer.credentials().ok());
        let user = peer.map_or(NOBODY, |credentials| credentials.uid);
        let place = self.places.try_free().and_then(|permit| self.places.take(permit, user));
        let place = place.ok_or_else(|| status(Refused::secrets_full()))?;
        // One at a time: a subscriber gets the next when it took the last.
        let (sender, answers) = mpsc::channel(1);
        let stream = Stream {
            broker: Arc::clone(&self.broker),
            ends: self.broker.ledger().watch_revocations(),
            sender,
            identities: Arc::clone(&self.identities),
            presented,
            own: None,
            refused: false,
            subscription: Subscription::default(),
            seen: None,
            failing: false,
            _place: place,
        };
        tokio::spawn(stream.run(request.into_inner(), self.drain.clone()));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn fetch_secrets(
        &self,
        request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        let presented = presented(&request);
        let wanted = wanted(&request.into_inner()).map_err(status)?;
        let own = if wanted.contains(&Context::Certificate) {
            // It waits for it, as for every resource that is not there.
            self.identities.current(&presented).await.ok()
        } else {
            None
        };
        let crls = self.broker.crls().await.map_err(|error| status(&error))?;
        let now = snapshot(self.broker.minter(), &crls, own.as_deref(), &wanted);
        Ok(Response::new(DiscoveryResponse {
            version_info: now.version,
            resources: now.resources,
            type_url: SECRET_TYPE.to_owned(),
            nonce: String::new(),
        }))
    }
}

/// The secrets that a request names. A name that is none of ours is passed over, as for every resource of
/// xDS that is not there: Envoy waits for it.
fn wanted(request: &DiscoveryRequest) -> Result<Vec<Context>, BadField> {
    if !request.type_url.is_empty() && request.type_url != SECRET_TYPE {
        return Err(BadField::new("type_url", format!("`{SECRET_TYPE}`")));
    }
    if request.resource_names.len() > SECRET_NAMES_MAX {
        return Err(BadField::new("resource_names", format!("at most {SECRET_NAMES_MAX} names")));
    }
    let mut wanted: Vec<Context> =
        request.resource_names.iter().filter_map(|name| Context::named(name)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}

/// More has been revoked than an answer can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer has {SECRETS_BYTES_MAX} bytes at most, and with these CRLs it would have `{bytes}`")]
struct TooLarge {
    bytes: usize,
}

/// What a subscriber wants and has. Pure.
#[derive(Debug, Default)]
struct Subscription {
    wanted: Vec<Context>,
    /// The version that was sent last; `None` when the next has to be sent in any case.
    sent: Option<String>,
    /// How many were sent: the nonce of the last.
    count: u64,
    /// Which of them it refused last.
    refused: u64,
}

/// What a request meant.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    /// Another subscription than before.
    Asked,
    /// It refuses what was sent last, in these words.
    Refused(String),
    /// It took what was sent last, or speaks of something older.
    Took,
}

impl Subscription {
    fn take(&mut self, request: &DiscoveryRequest) -> Result<Meant, BadField> {
        let wanted = wanted(request)?;
        // A word about an older answer: the one about the newest is on its way.
        if self.count > 0 && request.response_nonce != self.count.to_string() {
            return Ok(Meant::Took);
        }
        if wanted != self.wanted || self.count == 0 {
            (self.wanted, self.sent) = (wanted, None);
            return Ok(Meant::Asked);
        }
        // Whether it took it or not: the same is not sent again. Nor is a refusal heard twice, or a subscriber could fill
        // the log with it.
        let error = request.error_detail.as_ref().filter(|_| self.refused != self.count);
        let Some(error) = error else { return Ok(Meant::Took) };
        self.refused = self.count;
        Ok(Meant::Refused(words(&error.message)))
    }

    /// The answer with what is new; `None` when the subscriber was sent it.
    fn answer(&mut self, now: Snapshot) -> Result<Option<DiscoveryResponse>, TooLarge> {
        if self.sent.as_ref() == Some(&now.version) {
            return Ok(None);
        }
        let count = self.count.saturating_add(1);
        let answer = DiscoveryResponse {
            version_info: now.version.clone(),
            resources: now.resources,
            type_url: SECRET_TYPE.to_owned(),
            nonce: count.to_string(),
        };
        let bytes = answer.encoded_len();
        if bytes > SECRETS_BYTES_MAX {
            return Err(TooLarge { bytes });
        }
        (self.count, self.sent) = (count, Some(now.version));
        Ok(Some(answer))
    }
}

/// A stranger's words for the log: bounded, and nothing that a terminal obeys.
fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

struct Stream {
    broker: Arc<Broker>,
    ends: watch::Receiver<u64>,
    sender: mpsc::Sender<Answer>,
    identities: Arc<Identities>,
    /// Who asks, for its own certificate.
    presented: Presented,
    /// The certificate that was sent last.
    own: Option<Arc<AgentIdentity>>,
    /// Whether it got none at the last look.
    refused: bool,
    subscription: Subscription,
    /// The CRLs that were looked at last: while they are the same, nothing is encoded.
    seen: Option<Arc<Crls>>,
    /// Whether there were none at the last look, or too many.
    failing: bool,
    _place: Place<u32>,
}

/// Why a stream ended.
enum Ended {
    /// The subscriber went away.
    Gone,
    /// It was ended.
    Refused(Refused),
}

impl Stream {
    async fn run(mut self, mut requests: Streaming<DiscoveryRequest>, drain: Drain) {
        let ended = tokio::select! {
            ended = self.follow(&mut requests) => ended,
            () = drain.begun() => Ended::Refused(Refused::draining()),
        };
        if let Ended::Refused(refused) = ended {
            // Who does not take answers does not get this one either.
            let _told = self.sender.try_send(Err(refused.into()));
        }
    }

    async fn follow(&mut self, requests: &mut Streaming<DiscoveryRequest>) -> Ended {
        let mut looks = tokio::time::interval(Duration::from_secs(SECRETS_LOOK_SECONDS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.sender.closed() => return Ended::Gone,
                request = requests.message() => {
                    let Ok(Some(request)) = request else { return Ended::Gone };
                    match self.subscription.take(&request) {
                        // Whatever came of the look before, it was at something else.
                        Ok(Meant::Asked) => self.seen = None,
                        Ok(Meant::Took) => continue,
                        Ok(Meant::Refused(why)) => {
                            tracing::warn!(why, "a proxy did not take its trust and CRLs; it keeps what it has");
                            continue;
                        }
                        Err(bad) => return Ended::Refused(bad.into()),
                    }
                }
                changed = self.ends.changed() => if changed.is_err() {
                    // The ledger has gone with the broker.
                    return Ended::Refused(Refused::draining());
                },
                _ = looks.tick() => {}
            }
            if let Err(ended) = self.send_if_new().await {
                return ended;
            }
        }
    }

    async fn send_if_new(&mut self) -> Result<(), Ended> {
        if self.subscription.wanted.is_empty() {
            return Ok(());
        }
        let own = self.own_certificate().await;
        if own.is_none() {
            // Its key is let go of whatever comes of the rest.
            self.own = None;
        }
        let crls = match self.broker.crls().await {
            Ok(crls) => crls,
            Err(error) => {
                self.seen = None;
                return self.fails(&error);
            }
        };
        let same = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &crls)) && self.has(own.as_ref());
        if same && (self.failing || self.subscription.sent.is_some()) {
            return Ok(());
        }
        let now = snapshot(self.broker.minter(), &crls, own.as_deref(), &self.subscription.wanted);
        (self.seen, self.own) = (Some(crls), own);
        // Who wants its certificate alone waits for it.
        if now.resources.is_empty() {
            return Ok(());
        }
        let answer = match self.subscription.answer(now) {
            Ok(answer) => answer,
            Err(error) => return self.fails(&error),
        };
        self.failing = false;
        let Some(answer) = answer else { return Ok(()) };
        let stall = Duration::from_secs(FEED_STALL_SECONDS_MAX);
        match tokio::time::timeout(stall, self.sender.send(Ok(answer))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Refused(Refused::secrets_stalled())),
        }
    }

    /// Nothing is sent. What the proxy has ends within the minute, and then it refuses. Said once: the next look is a
    /// second away.
    fn fails(&mut self, error: &dyn std::error::Error) -> Result<(), Ended> {
        if !self.failing {
            tracing::error!(%error, "no CRLs for the proxies");
        }
        self.failing = true;
        Ok(())
    }

    /// The subscriber's own certificate, when it wants one and may have it.
    async fn own_certificate(&mut self) -> Option<Arc<AgentIdentity>> {
        if !self.subscription.wanted.contains(&Context::Certificate) {
            return None;
        }
        match self.identities.current(&self.presented).await {
            Ok(own) => {
                self.refused = false;
                Some(own)
            }
            Err(error) => {
                // It keeps what it has until that ends. Said once: the next look is a second away.
                if !self.refused {
                    tracing::warn!(%error, "a proxy gets no certificate of its own");
                }
                self.refused = true;
                None
            }
        }
    }

    /// Whether that is the certificate that was sent last.
    fn has(&self, own: Option<&Arc<AgentIdentity>>) -> bool {
        match (&self.own, own) {
            (None, None) => true,
            (Some(sent), Some(own)) => Arc::ptr_eq(sent, own),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests;
