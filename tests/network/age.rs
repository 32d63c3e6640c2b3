//! `max_age`: no connection lasts longer, whatever its peer does with it. The daemon is in this process, because its
//! configuration has a minute at least.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotwork::clock::SystemClock;
use hotwork::domain::limits::REQUEST_SECONDS_MAX;
use hotwork::proto::v1::WatchRevocationsRequest;

use crate::within::Within;

const AGE: Duration = Duration::from_secs(2);
/// GOAWAY (RFC 9113 section 6.8).
const GOAWAY: u8 = 7;
/// How much later than it should a busy machine may be.
const LATE: Duration = Duration::from_secs(8);

/// Who answers what it is asked is asked to go, and goes.
async fn quiet(daemon: &Within) {
    let begun = Instant::now();
    let mut raw = daemon.raw().await;
    let mut asked_to_go = false;
    while let Ok(next) = raw.next().await {
        asked_to_go |= next.kind == GOAWAY;
    }
    ended("quiet", begun, AGE);
    assert!(asked_to_go);
}

/// Who answers nothing is cut when what is in flight must have ended.
async fn deaf(daemon: &Within) {
    let begun = Instant::now();
    let kinds = daemon.raw().await.until_closed().await;
    ended("deaf", begun, AGE + Duration::from_secs(REQUEST_SECONDS_MAX));
    assert!(kinds.contains(&GOAWAY), "{kinds:?}");
}

/// And so is a stream that has no end of its own.
async fn following(daemon: &Within) {
    let begun = Instant::now();
    let mut verifier = daemon.verifier().await;
    let follow = verifier.watch_revocations(WatchRevocationsRequest { instance: 1, ..Default::default() });
    let mut feed = follow.await.unwrap().into_inner();
    while let Ok(Some(_)) = feed.message().await {}
    ended("following", begun, AGE + Duration::from_secs(REQUEST_SECONDS_MAX));
}

#[track_caller]
fn ended(who: &str, begun: Instant, limit: Duration) {
    let took = begun.elapsed();
    assert!(took >= limit && took < limit + LATE, "{who}: {took:?}, and the limit is {limit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_connection_lasts_longer_than_it_may_whatever_its_peer_does() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Within::start(dir.path(), Arc::new(SystemClock::new()), Some(AGE), "30d").await;
    let all = async { tokio::join!(quiet(&daemon), deaf(&daemon), following(&daemon)) };
    tokio::time::timeout(Duration::from_secs(40), all).await.expect("a connection that does not end");
}
