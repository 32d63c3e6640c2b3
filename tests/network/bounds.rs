//! Bounds of the TCP listeners, each at n and at n + 1.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hotwork::domain::limits::{
    HANDSHAKES_PER_ADDRESS_MAX, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, RESET_STREAMS_MAX,
    TLS_CONNECTIONS_PER_ADDRESS_MAX, TLS_CONNECTIONS_PER_CERTIFICATE_MAX, TLS_STREAMS_MAX,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tonic::Code;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::pki::{Identity, TestCa, address, channel, config};
use crate::raw::Raw;
use crate::support::{self, Daemon, eventually, http};
use crate::wire::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, call, frame, whole};
use crate::{WEB, add_operator, enroll, start};

const AGENT: &str = "HOTWORK_ENDPOINT_TCP";
const WHO_AM_I: &str = "/hotwork.v1.CredentialService/WhoAmI";
const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));
/// SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 section 6.5.2).
const STREAMS: u16 = 3;
const HEADER_LIST: u16 = 6;
/// REFUSED_STREAM, PROTOCOL_ERROR and ENHANCE_YOUR_CALM (RFC 9113 section 7).
const REFUSED: [u8; 4] = [0, 0, 0, 7];
const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
const CALM: [u8; 4] = [0, 0, 0, 0xb];
/// GOAWAY (RFC 9113 section 6.8): the last stream, and why.
const GOAWAY: u8 = 7;

async fn open(daemon: &Daemon, identity: &Identity, from: IpAddr) -> std::io::Result<Raw> {
    Raw::open(address(daemon, AGENT), config(daemon, Some(identity), &["h2"]), from).await
}

fn metrics(daemon: &Daemon) -> String {
    http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics").1
}

const SHARE: &str = "hotwork_connections_refused_total{listener=\"agent_tcp\",reason=\"address-share\"} 1\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_of_connections_and_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let count = TLS_CONNECTIONS_PER_ADDRESS_MAX;
    // Certificates have a smaller share each.
    let each = count / TLS_CONNECTIONS_PER_CERTIFICATE_MAX + 1;
    let identities: Vec<Identity> = (0..each).map(|_| ca.svid(WEB, 600)).collect();
    let mut held = Vec::new();
    for at in 0..count {
        let identity = &identities[at / TLS_CONNECTIONS_PER_CERTIFICATE_MAX];
        held.push(open(&daemon, identity, ONE).await.unwrap_or_else(|error| panic!("{at}: {error}")));
    }
    let last = identities.last().unwrap();
    assert!(open(&daemon, last, ONE).await.is_err(), "one too many");
    let mut other = open(&daemon, last, OTHER).await.expect("another address has its own share");
    let shown = metrics(&daemon);
    assert!(shown.contains(SHARE), "{shown}");
    assert!(shown.contains(&format!("hotwork_connections{{kind=\"agent_tcp\"}} {}\n", count + 1)), "{shown}");
    // All of them are served.
    for raw in held.iter_mut().chain([&mut other]) {
        raw.send(&whole(WHO_AM_I, 1)).await;
        assert!(raw.next_of(1).await.is_good_answer());
    }
    held.pop();
    let line = format!("hotwork_connections{{kind=\"agent_tcp\"}} {count}\n");
    eventually("the place comes free", || metrics(&daemon).contains(&line));
    assert!(open(&daemon, last, ONE).await.is_ok());
}

/// A connection that has begun a handshake.
async fn begun(to: SocketAddr, from: IpAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // One that is not taken may have been closed already.
    let _sent = stream.write_all(&[22, 3, 1, 2, 0]).await;
    stream
}

/// Whether it is closed long before a handshake's time is over.
async fn is_closed(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0])).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_of_handshakes_and_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let to = address(&daemon, AGENT);
    let mut held = Vec::new();
    for _ in 0..HANDSHAKES_PER_ADDRESS_MAX {
        held.push(begun(to, ONE).await);
    }
    assert!(is_closed(&mut begun(to, ONE).await).await, "one too many");
    assert!(!is_closed(held.last_mut().unwrap()).await, "the last one is waited for");
    assert!(open(&daemon, &ca.svid(WEB, 600), OTHER).await.is_ok(), "another address has its own share");
    let shown = metrics(&daemon);
    assert!(shown.contains(SHARE), "{shown}");
    drop(held);
    let mut again = open(&daemon, &ca.svid(WEB, 600), ONE).await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        again = open(&daemon, &ca.svid(WEB, 600), ONE).await;
    }
    assert!(again.is_ok(), "the places come free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_a_bounded_number_of_streams() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let mut raw = open(&daemon, &ca.svid(WEB, 600), ONE).await.unwrap();
    assert_eq!(raw.settings.setting(STREAMS), Some(TLS_STREAMS_MAX));
    let first_beyond = 2 * TLS_STREAMS_MAX + 1;
    for stream in (1..=first_beyond).step_by(2) {
        raw.send(&frame(HEADERS, END_HEADERS, stream, &call(WHO_AM_I))).await;
    }
    let refused = raw.next_of(first_beyond).await;
    assert_eq!((refused.kind, &refused.payload[..]), (RST_STREAM, &REFUSED[..]), "{refused:?}");
    // The last of those that may be there is answered, and makes room.
    let last = first_beyond - 2;
    raw.send(&frame(DATA, END_STREAM, last, &[0; 5])).await;
    assert!(raw.next_of(last).await.is_good_answer());
    raw.send(&whole(WHO_AM_I, first_beyond + 2)).await;
    assert!(raw.next_of(first_beyond + 2).await.is_good_answer());
}

/// Bytes of the header list of [`call`] (RFC 9113 section 6.5.2).
fn list_bytes(path: &str) -> usize {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
}

/// A call whose header list has so many bytes.
fn call_of(bytes: usize) -> Vec<u8> {
    let length = bytes - list_bytes(WHO_AM_I) - 1 - 32;
    // A literal without indexing; the length has a prefix of seven bits (RFC 7541 sections 5.1 and 6.2.2).
    let rest = length - 127;
    let mut block = call(WHO_AM_I);
    block.extend([0, 1, b'a', 0x7f, 0x80 | (rest % 128) as u8, (rest / 128) as u8]);
    block.extend(vec![b'b'; length]);
    block
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_a_bounded_header() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let mut raw = open(&daemon, &ca.svid(WEB, 600), ONE).await.unwrap();
    assert_eq!(raw.settings.setting(HEADER_LIST), Some(HEADER_BYTES_MAX));
    let most = HEADER_BYTES_MAX as usize;
    for (stream, bytes, good) in [(1, most - 1, true), (3, most + 1, false), (5, most - 1, true)] {
        raw.send(&frame(HEADERS, END_HEADERS, stream, &call_of(bytes))).await;
        if good {
            raw.send(&frame(DATA, END_STREAM, stream, &[0; 5])).await;
        }
        let answer = raw.next_of(stream).await;
        assert_eq!(answer.is_good_answer(), good, "{bytes}: {answer:?}");
        assert_eq!(answer.kind, HEADERS, "{bytes}: {answer:?}");
    }
}

/// Waits until the server says that it is enough, and closes.
async fn is_told_to_calm_down(mut raw: Raw) {
    let away = raw.next_kind(GOAWAY).await;
    assert_eq!(away.payload[4..8], CALM, "{away:?}");
    let closed = tokio::time::timeout(Duration::from_secs(30), raw.until_closed());
    closed.await.expect("told to calm down, and still there");
}

/// Calls from this stream on that are begun and reset in one breath, so that nobody has looked at them yet.
fn resets(first: u32, count: usize) -> Vec<u8> {
    let streams = (first..).step_by(2).take(count);
    let both = |stream| {
        let begun = frame(HEADERS, END_HEADERS | END_STREAM, stream, &call(WHO_AM_I));
        [begun, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    streams.flat_map(both).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_resets_a_bounded_number_of_calls_that_nobody_has_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let web = ca.svid(WEB, 600);
    let mut good = open(&daemon, &web, OTHER).await.unwrap();
    let mut borne = open(&daemon, &web, ONE).await.unwrap();
    // When they have been looked at, there is room for as many again.
    for first in [1, 1_001] {
        borne.send(&resets(first, RESET_STREAMS_MAX)).await;
        borne.send(&whole(WHO_AM_I, first + 500)).await;
        assert!(borne.next_of(first + 500).await.is_good_answer());
    }
    let mut beyond = open(&daemon, &web, ONE).await.unwrap();
    beyond.send(&resets(1, RESET_STREAMS_MAX + 1)).await;
    is_told_to_calm_down(beyond).await;
    for (raw, stream) in [(&mut good, 1), (&mut borne, 2_001)] {
        raw.send(&whole(WHO_AM_I, stream)).await;
        assert!(raw.next_of(stream).await.is_good_answer(), "whoever is good goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_a_bounded_number_of_calls_that_are_against_the_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    let web = ca.svid(WEB, 600);
    let mut good = open(&daemon, &web, OTHER).await.unwrap();
    let mut bad = open(&daemon, &web, ONE).await.unwrap();
    // No call speaks of its connection (RFC 9113 section 8.2.2).
    let block = [&call(WHO_AM_I)[..], b"\x00\x0aconnection\x05close"].concat();
    let malformed = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    let most = 2 * u32::try_from(RESET_STREAMS_MAX).unwrap();
    for stream in (1..most).step_by(2) {
        bad.send(&malformed(stream)).await;
        let reset = bad.next_of(stream).await;
        assert_eq!((reset.kind, &reset.payload[..]), (RST_STREAM, &PROTOCOL_ERROR[..]), "{reset:?}");
    }
    bad.send(&whole(WHO_AM_I, most + 1)).await;
    assert!(bad.next_of(most + 1).await.is_good_answer(), "all of them are borne");
    bad.send(&malformed(most + 3)).await;
    is_told_to_calm_down(bad).await;
    good.send(&whole(WHO_AM_I, 1)).await;
    assert!(good.next_of(1).await.is_good_answer(), "whoever is good goes on");
}

/// A field that no request has: what reads strictly refuses it, what doesn't passes it over.
#[derive(Clone, PartialEq, prost::Message)]
struct Filler {
    #[prost(bytes = "vec", tag = "15")]
    bytes: Vec<u8>,
}

impl Filler {
    /// A message of so many bytes: its tag takes one, and its length three.
    fn of(bytes: usize) -> Self {
        let filler = Self { bytes: vec![0; bytes - 4] };
        assert_eq!(prost::Message::encoded_len(&filler), bytes);
        filler
    }
}

async fn send(channel: &Channel, path: &'static str, message: Filler) -> (Code, String) {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    let codec = ProstCodec::<Filler, Filler>::default();
    match client.unary(tonic::Request::new(message), path, codec).await {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    }
}

/// Each service of each listener has its own decoder.
const SERVICES: [(&str, &[&str]); 5] = [
    (AGENT, &["/hotwork.v1.CredentialService/IssueToken", HEALTH]),
    ("HOTWORK_ENDPOINT", &["/hotwork.v1.CredentialService/IssueToken", VERIFY, HEALTH]),
    ("HOTWORK_VERIFIER_ENDPOINT", &[VERIFY, HEALTH]),
    (
        "HOTWORK_ADMIN_ENDPOINT_TCP",
        &[
            "/hotwork.v1.AdminService/Revoke",
            "/hotwork.v1.AuditService/GetEntry",
            "/hotwork.v1.BreakGlassService/Open",
            VERIFY,
            HEALTH,
        ],
    ),
    (
        "authz.sock",
        &[
            "/envoy.service.auth.v3.Authorization/Check",
            "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets",
        ],
    ),
];
const VERIFY: &str = "/hotwork.v1.VerificationService/Introspect";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_a_bounded_size_at_each_service_of_each_listener() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let daemon = start(dir.path(), &ca);
    add_operator(&daemon, "alice", "\"admin\"");
    let web = ca.svid(WEB, 600);
    let verifier = enroll(&daemon, "verifier", "v", dir.path());
    let operator = enroll(&daemon, "operator", "alice", dir.path());
    let said = format!("found {} bytes, the limit is: {MESSAGE_BYTES_MAX} bytes", MESSAGE_BYTES_MAX + 1);
    for (listener, paths) in SERVICES {
        let open = match listener {
            "authz.sock" => support::channel(daemon.state.join(listener).to_str().unwrap()).await,
            "HOTWORK_ENDPOINT" => daemon.channel(listener).await,
            AGENT => channel(&daemon, listener, Some(&web)).await.unwrap(),
            "HOTWORK_VERIFIER_ENDPOINT" => channel(&daemon, listener, Some(&verifier)).await.unwrap(),
            _ => channel(&daemon, listener, Some(&operator)).await.unwrap(),
        };
        for path in paths {
            let strict = path.starts_with("/hotwork.v1.");
            let read = if strict { Code::InvalidArgument } else { Code::Ok };
            let (code, message) = send(&open, path, Filler::of(MESSAGE_BYTES_MAX)).await;
            assert_eq!(code, read, "{listener} {path}: {message}");
            assert!(!strict || message.contains("15"), "{listener} {path}: {message}");
            let (code, message) = send(&open, path, Filler::of(MESSAGE_BYTES_MAX + 1)).await;
            assert_eq!(code, Code::OutOfRange, "{listener} {path}: {message}");
            assert!(message.contains(&said), "{listener} {path}: {message}");
        }
    }
}
