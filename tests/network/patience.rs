//! What the listeners wait for, and no longer: a handshake, the first bytes of HTTP/2, a call's message, the answer to a
//! ping.

use std::net::IpAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hotwork::clock::SystemClock;
use hotwork::domain::limits::{
    HANDSHAKE_SECONDS_MAX, KEEPALIVE_SECONDS, PREFACE_SECONDS_MAX, REQUEST_SECONDS_MAX,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::pki::{Identity, TestCa, address, config, connect};
use crate::raw::Raw;
use crate::support::{self, Daemon};
use crate::wire::{ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, call, frame, whole};
use crate::within::Within;
use crate::{WEB, start};

const DOORS: [(&str, &str); 3] = [
    ("agent_tcp", "HOTWORK_ENDPOINT_TCP"),
    ("verifier_tcp", "HOTWORK_VERIFIER_ENDPOINT"),
    ("admin_tcp", "HOTWORK_ADMIN_ENDPOINT_TCP"),
];
const AGENT: &str = DOORS[0].1;
const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const WHO_AM_I: &str = "/hotwork.v1.CredentialService/WhoAmI";
/// How much later than it should a busy machine may be.
const LATE: Duration = Duration::from_secs(8);

#[track_caller]
fn in_time(what: &str, since: Instant, seconds: u64) {
    let (took, limit) = (since.elapsed(), Duration::from_secs(seconds));
    assert!(took >= limit && took < limit + LATE, "{what}: {took:?}, and the limit is {limit:?}");
}

/// Reads until the other side has closed. Half a minute is for ever.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    let _closed = tokio::time::timeout(Duration::from_secs(30), read).await.expect("never closed");
}

/// The beginning of a ClientHello record of 512 bytes, and nothing more.
async fn half_a_handshake(daemon: &Daemon, variable: &str) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address(daemon, variable)).await.unwrap();
    stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await.unwrap();
    until_closed(&mut stream).await;
    in_time(variable, begun, HANDSHAKE_SECONDS_MAX);
}

/// A whole handshake, and of HTTP/2 no more than this.
async fn silence_after(daemon: &Daemon, identity: &Identity, said: &[u8]) {
    let begun = Instant::now();
    let mut stream = connect(daemon, AGENT, config(daemon, Some(identity), &["h2"]), FROM).await.unwrap();
    stream.write_all(said).await.unwrap();
    until_closed(&mut stream).await;
    in_time("preface", begun, PREFACE_SECONDS_MAX);
}

/// A call whose message does not come is answered, and the connection goes on.
async fn half_a_call(daemon: &Daemon, identity: &Identity) {
    let config = config(daemon, Some(identity), &["h2"]);
    let mut raw = Raw::open(address(daemon, AGENT), config, FROM).await.unwrap();
    let begun = Instant::now();
    raw.send(&frame(HEADERS, END_HEADERS, 1, &call(WHO_AM_I))).await;
    // Half of gRPC's own prefix.
    raw.send(&frame(DATA, 0, 1, &[0, 0])).await;
    let answer = raw.next_of(1).await;
    in_time("request", begun, REQUEST_SECONDS_MAX);
    assert!(
        answer.kind == HEADERS && answer.flags & END_STREAM != 0,
        "refused, without a message: {answer:?}"
    );
    raw.send(&whole(WHO_AM_I, 3)).await;
    assert!(raw.next_of(3).await.is_good_answer());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_does_not_get_on_is_cut_off_in_time_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let web = ca.svid(WEB, 600);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    tokio::join!(
        half_a_handshake(&daemon, DOORS[0].1),
        half_a_handshake(&daemon, DOORS[1].1),
        half_a_handshake(&daemon, DOORS[2].1),
        silence_after(&daemon, &web, b""),
        silence_after(&daemon, &web, preface),
        half_a_call(&daemon, &web),
    );
    let metrics = || support::http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics").1;
    for (listener, _) in DOORS {
        let line =
            format!("hotwork_connections_refused_total{{listener=\"{listener}\",reason=\"slow\"}} 1\n");
        support::eventually(listener, || metrics().contains(&line));
        // Nobody keeps a place.
        let line = format!("hotwork_connections{{kind=\"{listener}\"}} 0\n");
        support::eventually(listener, || metrics().contains(&line));
    }
}

/// Makes a call on this stream, and takes its answer.
async fn is_served(raw: &mut Raw, stream: u32) {
    raw.send(&whole("/hotwork.v1.VerificationService/GetTrustBundle", stream)).await;
    let answer = raw.next_of(stream).await;
    assert!(answer.is_good_answer(), "{answer:?}");
}

/// On one thread, whose time can be put forward: nobody waits for the 40 seconds that they are.
#[tokio::test]
async fn who_answers_no_ping_is_cut_off_in_time_and_who_does_stays() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Within::start(dir.path(), Arc::new(SystemClock::new()), None, "30d").await;
    let (mut deaf, mut good) = (daemon.raw().await, daemon.raw().await);
    is_served(&mut deaf, 1).await;
    is_served(&mut good, 1).await;
    let second = Duration::from_secs(1);
    let keepalive = Duration::from_secs(KEEPALIVE_SECONDS);
    // While a blocking task runs, time goes by the test's steps alone. This one bounds the test itself, too.
    let (done, wait) = mpsc::channel::<()>();
    let too_long = tokio::task::spawn_blocking(move || wait.recv_timeout(60 * second));
    tokio::time::pause();
    let steps = async {
        // A timer may be a millisecond late.
        tokio::time::advance(keepalive + second / 10).await;
        deaf.next_kind(PING).await;
        let ping = good.next_kind(PING).await;
        good.send(&frame(PING, ACK, 0, &ping.payload)).await;
        // The daemon has read the answer to its ping when it answers what came after.
        is_served(&mut good, 3).await;
        tokio::time::advance(keepalive - second).await;
        is_served(&mut good, 5).await;
        assert!(deaf.is_open().await, "cut off early");
        tokio::time::advance(2 * second).await;
        deaf.until_closed().await;
        is_served(&mut good, 7).await;
    };
    tokio::select! {
        () = steps => {}
        _ = too_long => panic!("a peer that answers no ping stays"),
    }
    drop(done);
}
