//! A connection ends with the certificate that opened it, though nobody calls anything on it; and while it is still
//! there, nothing is served on it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hotwork::clock::{ManualClock, SystemClock};
use hotwork::domain::clock::Clock as _;
use hotwork::proto::v1;
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt as _;

use crate::pki::{TestCa, address, channel, config};
use crate::raw::Raw;
use crate::within::Within;
use crate::{WEB, start};

const AGENT: &str = "HOTWORK_ENDPOINT_TCP";
const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// Seconds that are left of a certificate.
const LEFT: u64 = 4;
/// How much later than it should a busy machine may be.
const LATE: Duration = Duration::from_secs(5);
/// For ever, as far as these tests are concerned: a connection may last an hour.
const LONGEST: Duration = Duration::from_secs(30);

/// Follows the listener's health: a stream on which nothing comes while nothing changes.
async fn watch(channel: &Channel) -> Streaming<HealthCheckResponse> {
    let mut client = HealthClient::new(channel.clone());
    let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some(), "the first one comes at once");
    stream
}

/// Waits for the end of a stream, and asks nothing meanwhile.
async fn end<M>(mut stream: Streaming<M>) {
    while let Ok(Some(_)) = stream.message().await {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_idle_connection_of_a_workload_ends_with_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let lasting = channel(&daemon, AGENT, Some(&ca.svid(WEB, 600))).await.unwrap();
    let mut untouched = watch(&lasting).await;
    // Its end is a whole second.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(now + LEFT);
    let ending = ca.svid(WEB, LEFT.cast_signed());
    let followed = watch(&channel(&daemon, AGENT, Some(&ending)).await.unwrap()).await;
    let silent = Raw::open(address(&daemon, AGENT), config(&daemon, Some(&ending), &["h2"]), FROM).await;
    let silent = silent.unwrap();
    let at = |what: &'static str| {
        let late = SystemTime::now().duration_since(expires);
        let late = late.unwrap_or_else(|early| panic!("{what}: {:?} early", early.duration()));
        assert!(late < LATE + Duration::from_secs(1), "{what}: {late:?} late");
    };
    let both = async {
        let follows = async {
            end(followed).await;
            at("a stream");
        };
        let says_nothing = async {
            silent.until_closed().await;
            at("a connection without one");
        };
        tokio::join!(follows, says_nothing)
    };
    tokio::time::timeout(LONGEST, both).await.expect("a connection that outlives its certificate");
    let more = tokio::time::timeout(Duration::from_millis(100), untouched.message()).await;
    assert!(more.is_err(), "another one's stream is still open: {more:?}");
    let served = CredentialServiceClient::new(lasting).who_am_i(v1::WhoAmIRequest {}).await;
    assert!(served.is_ok(), "{served:?}");
}

/// An enrolled certificate has a minute at least. With a clock of the test's most of it passes at once; what is left when
/// it connects passes for the connection alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_feed_ends_with_its_verifier_s_certificate_and_no_call_is_served_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(SystemClock::new().now().unwrap()));
    let daemon = Within::start(dir.path(), Arc::clone(&clock) as _, None, "60s").await;
    let trust = || v1::GetTrustBundleRequest::default();
    // Opened early, this one is not cut before the test is over.
    let mut open = daemon.verifier().await;
    assert!(open.get_trust_bundle(trust()).await.is_ok());
    clock.advance_millis(60_000 - i64::try_from(LEFT).unwrap() * 1_000);
    assert!(open.get_trust_bundle(trust()).await.is_ok(), "it is still good");
    let begun = Instant::now();
    let mut verifier = daemon.verifier().await;
    let follow =
        verifier.watch_revocations(v1::WatchRevocationsRequest { instance: 1, ..Default::default() });
    let feed = follow.await.unwrap().into_inner();
    tokio::time::timeout(LONGEST, end(feed)).await.expect("a feed that outlives its certificate");
    // It ends with a whole second, and so up to one earlier.
    let (took, left) = (begun.elapsed(), Duration::from_secs(LEFT));
    assert!(took > left - Duration::from_secs(1) && took < left + LATE, "{took:?}");
    let served = open.get_trust_bundle(trust()).await;
    assert!(served.is_ok(), "by the clock it is not over: {served:?}");
    clock.advance_millis(i64::try_from(LEFT).unwrap() * 1_000);
    let refused = open.get_trust_bundle(trust()).await.unwrap_err();
    let reason = refused.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((refused.code(), reason.as_deref()), (Code::Unauthenticated, Some("certificate-expired")));
}
