//! Bounds of the TCP listeners, each at n and at n + 1.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hotwork::domain::limits::{
    HANDSHAKES_PER_ADDRESS_MAX, HEADER_BYTES_MAX, TLS_CONNECTIONS_PER_ADDRESS_MAX,
    TLS_CONNECTIONS_PER_CERTIFICATE_MAX, TLS_STREAMS_MAX,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::pki::{Identity, TestCa, address, config};
use crate::raw::Raw;
use crate::support::{Daemon, eventually, http};
use crate::wire::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, call, frame, whole};
use crate::{WEB, start};

const AGENT: &str = "HOTWORK_ENDPOINT_TCP";
const WHO_AM_I: &str = "/hotwork.v1.CredentialService/WhoAmI";
const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 3));
/// SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 section 6.5.2).
const STREAMS: u16 = 3;
const HEADER_LIST: u16 = 6;
/// REFUSED_STREAM (RFC 9113 section 7).
const REFUSED: [u8; 4] = [0, 0, 0, 7];

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
