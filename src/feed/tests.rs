//! Following a broker, and one that goes wrong.

use std::pin::Pin;
use std::sync::Mutex;

use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Endpoint, Server};

use crate::proto::v1::verification_service_server::{VerificationService, VerificationServiceServer};

use super::*;
use crate::clock::ManualClock;
use crate::domain::time::Timestamp;
use crate::verify::fixture;
use crate::verify::{Standing as _, Status as Known, WhenLost};

#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_a_call_and_says_nothing_is_given_up() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let silent = tower::service_fn(move |_| {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        held.lock().unwrap().push(theirs);
        std::future::ready(Ok::<_, std::io::Error>(TokioIo::new(ours)))
    });
    let channel = Endpoint::from_static("http://silent.example").connect_with_connector_lazy(silent);
    let patience = Duration::from_secs(10 * STALLED_SECONDS);
    let state = Followed::new(5, WhenLost::Strict);
    let clock = ManualClock::new(Timestamp::from_seconds(1_763_900_000));
    let (who, mut place) = (Who { label: "a", instance: drawn() }, Place::default());
    let followed = tokio::time::timeout(patience, once(&channel, &state, &clock, who, &mut place));
    assert!(matches!(followed.await.expect("it waits for ever"), Err(FeedError::Stalled)));
    let trusted = tokio::time::timeout(patience, trust(channel, OidArc::EXAMPLE.parse().unwrap()));
    assert!(matches!(trusted.await.expect("it waits for ever"), Err(FeedError::Stalled)));
}

type Message = Result<v1::WatchRevocationsResponse, Status>;

/// A broker whose messages and answers the test gives.
struct Given {
    /// Taken by the one stream that there is.
    messages: Arc<Mutex<Option<mpsc::Receiver<Message>>>>,
    /// What each acknowledgement is answered; it is not before there is one.
    answers: tokio::sync::Mutex<mpsc::Receiver<Result<(), Status>>>,
}

type Answer<T> = Result<Response<T>, Status>;
type Messages =
    Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::WatchRevocationsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl VerificationService for Given {
    type WatchRevocationsStream = Messages;

    async fn watch_revocations(&self, ask: Request<v1::WatchRevocationsRequest>) -> Answer<Messages> {
        assert_ne!(ask.get_ref().instance, 0, "it has drawn a number");
        let messages = self.messages.lock().unwrap().take().unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }

    async fn acknowledge_epoch(
        &self,
        _: Request<v1::AcknowledgeEpochRequest>,
    ) -> Answer<v1::AcknowledgeEpochResponse> {
        let answer = self.answers.lock().await.recv().await.unwrap();
        answer.map(|()| Response::new(v1::AcknowledgeEpochResponse::default()))
    }

    async fn consume(&self, _: Request<v1::ConsumeRequest>) -> Answer<v1::ConsumeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn introspect(&self, _: Request<v1::IntrospectRequest>) -> Answer<v1::IntrospectResponse> {
        Err(Status::unimplemented(""))
    }

    async fn get_trust_bundle(
        &self,
        _: Request<v1::GetTrustBundleRequest>,
    ) -> Answer<v1::GetTrustBundleResponse> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_late_is_not_taken_for_news() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (message, messages) = mpsc::channel(8);
    let (answer, answers) = mpsc::channel(8);
    let messages = Arc::new(Mutex::new(Some(messages)));
    let given = Given { messages: Arc::clone(&messages), answers: tokio::sync::Mutex::new(answers) };
    let incoming = tokio_stream::once(Ok::<_, std::io::Error>(far));
    tokio::spawn(
        Server::builder().add_service(VerificationServiceServer::new(given)).serve_with_incoming(incoming),
    );
    let near = Mutex::new(Some(TokioIo::new(near)));
    let connect = tower::service_fn(move |_| {
        std::future::ready(
            near.lock().unwrap().take().ok_or(std::io::Error::from(std::io::ErrorKind::NotConnected)),
        )
    });
    let given = Endpoint::from_static("http://given.example");
    let channel = given.connect_with_connector(connect).await.unwrap();

    let state = Arc::new(Followed::new(15, WhenLost::Strict));
    let at = |seconds| Timestamp::from_seconds(fixture::NOW.seconds() + seconds);
    let clock = Arc::new(ManualClock::new(at(0)));
    let (followed, told) = (Arc::clone(&state), Arc::clone(&clock));
    let following = tokio::spawn(async move {
        let (who, mut place) = (Who { label: "a", instance: drawn() }, Place::default());
        once(&channel, &followed, &*told, who, &mut place).await
    });
    let epoch = |epoch| v1::WatchRevocationsResponse { epoch, subscription: 1, ..Default::default() };
    let standing = |seconds| state.standing(&fixture::authority(), at(seconds));
    let heard = |epoch| {
        let state = Arc::clone(&state);
        async move {
            while state.epoch() < epoch {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };

    while messages.lock().unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // As long as no acknowledgement was answered, the broker was there when it was asked for the stream.
    clock.set(at(10));
    message.send(Ok(v1::WatchRevocationsResponse { snapshot_begins: true, ..epoch(1) })).await.unwrap();
    heard(1).await;
    assert_eq!((standing(15), standing(16)), (Known::Live, Known::Unknown));
    // One that is answered was asked at 10.
    answer.send(Ok(())).await.unwrap();
    message.send(Ok(epoch(2))).await.unwrap();
    heard(2).await;
    assert_eq!((standing(25), standing(26)), (Known::Live, Known::Unknown));
    answer.send(Ok(())).await.unwrap();
    // The process stands still. What lay here meanwhile counts for what it says, and not for when it is read.
    message.send(Ok(epoch(3))).await.unwrap();
    heard(3).await;
    clock.set(at(100));
    answer.send(Ok(())).await.unwrap();
    message.send(Ok(epoch(4))).await.unwrap();
    heard(4).await;
    assert_eq!((standing(25), standing(100)), (Known::Live, Known::Unknown));
    // The broker knows the stream no more.
    answer.send(Err(Status::failed_precondition("gone"))).await.unwrap();
    let ended = following.await.unwrap();
    assert!(matches!(ended, Err(FeedError::Call(_))), "{ended:?}");
    assert_eq!((standing(25), standing(100)), (Known::Live, Known::Unknown));
}
