//! Envoy's secret discovery (SDS), state of the world: Envoy names what it wants, gets it at once, and again
//! whenever a CRL or an authority changes, or its own certificate is made anew. It takes or refuses each answer by its nonce.
//!
//! There is one task for each stream. It holds one version and waits for its subscriber; what a slow one has
//! missed it gets as the newest.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
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
    SECRETS_LOOK_SECONDS,
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
    fn answer(&mut self, now: Snapshot) -> Option<DiscoveryResponse> {
        if self.sent.as_ref() == Some(&now.version) {
            return None;
        }
        self.count = self.count.saturating_add(1);
        self.sent = Some(now.version.clone());
        Some(DiscoveryResponse {
            version_info: now.version,
            resources: now.resources,
            type_url: SECRET_TYPE.to_owned(),
            nonce: self.count.to_string(),
        })
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
    /// Whether there were none at the last look.
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
                        Ok(Meant::Asked) => {}
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
                // Nothing is sent. What the proxy has ends within the minute, and then it refuses. Said once: the
                // next look is a second away.
                if !self.failing {
                    tracing::error!(%error, "no CRLs for the proxies");
                }
                self.failing = true;
                return Ok(());
            }
        };
        self.failing = false;
        let same = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &crls)) && self.has(own.as_ref());
        if same && self.subscription.sent.is_some() {
            return Ok(());
        }
        let now = snapshot(self.broker.minter(), &crls, own.as_deref(), &self.subscription.wanted);
        (self.seen, self.own) = (Some(crls), own);
        // Who wants its certificate alone waits for it.
        if now.resources.is_empty() {
            return Ok(());
        }
        let Some(answer) = self.subscription.answer(now) else { return Ok(()) };
        let stall = Duration::from_secs(FEED_STALL_SECONDS_MAX);
        match tokio::time::timeout(stall, self.sender.send(Ok(answer))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Refused(Refused::secrets_stalled())),
        }
    }
}

impl Stream {
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
mod tests {
    use super::*;
    use crate::proto::sds::discovery_request::ErrorDetail;

    const ACTION: &str = "hotwork-action";

    fn request(names: &[&str], nonce: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            type_url: SECRET_TYPE.to_owned(),
            response_nonce: nonce.to_owned(),
            ..DiscoveryRequest::default()
        }
    }

    fn version(version: &str) -> Snapshot {
        Snapshot { version: version.to_owned(), resources: Vec::new() }
    }

    fn subscribed() -> Subscription {
        let mut subscription = Subscription::default();
        assert_eq!(subscription.take(&request(&[ACTION], "")).unwrap(), Meant::Asked);
        assert_eq!(subscription.answer(version("a")).unwrap().nonce, "1");
        subscription
    }

    #[test]
    fn what_was_taken_or_refused_is_not_sent_again_until_it_changes() {
        let mut subscription = subscribed();
        assert_eq!(subscription.take(&request(&[ACTION], "1")).unwrap(), Meant::Took);
        assert!(subscription.answer(version("a")).is_none());
        assert_eq!(subscription.answer(version("b")).unwrap().nonce, "2");
        let error_detail =
            Some(ErrorDetail { code: 13, message: "no\u{1b}[2J".to_owned() + &"x".repeat(900) });
        let refusal = DiscoveryRequest { error_detail, ..request(&[ACTION], "2") };
        let Meant::Refused(words) = subscription.take(&refusal).unwrap() else { panic!("not refused") };
        assert!(words.starts_with("no[2J") && words.chars().count() == WORDS_MAX, "{words}");
        // Said once for each answer: a subscriber could say it for ever.
        assert_eq!(subscription.take(&refusal).unwrap(), Meant::Took);
        assert!(subscription.answer(version("b")).is_none());
        assert!(subscription.answer(version("c")).is_some());
        let refusal = DiscoveryRequest { response_nonce: "3".to_owned(), ..refusal };
        assert!(matches!(subscription.take(&refusal), Ok(Meant::Refused(_))));
    }

    #[test]
    fn a_word_about_an_older_answer_changes_nothing() {
        let mut subscription = subscribed();
        assert!(subscription.answer(version("b")).is_some());
        for nonce in ["1", "", "3", "x"] {
            assert_eq!(subscription.take(&request(&["hotwork-identity"], nonce)).unwrap(), Meant::Took);
            assert!(subscription.answer(version("b")).is_none(), "{nonce}");
        }
        assert_eq!(subscription.wanted, [Context::Action]);
    }

    #[test]
    fn other_names_are_another_subscription_and_are_answered_at_once() {
        let mut subscription = subscribed();
        let both = request(&["hotwork-identity", ACTION, ACTION, "other"], "1");
        assert_eq!(subscription.take(&both).unwrap(), Meant::Asked);
        assert_eq!(subscription.wanted, [Context::Action, Context::Identity]);
        assert!(subscription.answer(version("a")).is_some());
        assert_eq!(subscription.take(&request(&[], "2")).unwrap(), Meant::Asked);
        assert!(subscription.wanted.is_empty());
    }

    #[test]
    fn names_are_bounded_and_of_one_kind() {
        let names = |count| request(&vec![ACTION; count], "");
        assert!(wanted(&names(SECRET_NAMES_MAX)).is_ok());
        assert!(wanted(&names(SECRET_NAMES_MAX + 1)).is_err());
        let other = "type.googleapis.com/envoy.config.listener.v3.Listener".to_owned();
        assert!(wanted(&DiscoveryRequest { type_url: other, ..names(1) }).is_err());
        assert!(wanted(&DiscoveryRequest { type_url: String::new(), ..names(1) }).is_ok());
    }
}
