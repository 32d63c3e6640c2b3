//! The read-only HTTP listener and the ops port of the real daemon.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hotwork::domain::limits::HTTP_CONNECTIONS_PER_ADDRESS_MAX;

use crate::support::{Daemon, eventually, http};

#[test]
fn keys_and_metadata_are_served_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let address = &daemon.env["HOTWORK_HTTP"];
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks.json"]
    {
        let (status, body) = http(address, "GET", path);
        assert_eq!(status, 200, "{path}");
        assert!(serde_json::from_str::<serde_json::Value>(&body).unwrap().is_object(), "{path}: {body}");
    }
    let (status, body) = http(address, "GET", "/ca.pem");
    assert!(status == 200 && body.contains("BEGIN CERTIFICATE"), "{body}");
    assert_eq!(http(address, "POST", "/jwks.json").0, 405);
    assert_eq!(http(address, "GET", "/nothing").0, 404);
    assert_eq!(http(address, "GET", "/../keys/token.key").0, 404);
}

#[test]
fn health_and_metrics_show_the_work_and_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let address = &daemon.env["HOTWORK_OPS"];
    assert_eq!(http(address, "GET", "/healthz").0, 200);
    assert_eq!(http(address, "GET", "/readyz").0, 200);
    daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
    let _ = daemon.hotwork(&["issue", "demo.delete", "--resource", "demo/hello"]);
    let (_, metrics) = http(address, "GET", "/metrics");
    let lines: Vec<&str> = metrics.lines().filter(|line| !line.starts_with('#')).collect();
    let counted = |name: &str, label: &str| {
        lines.iter().any(|line| line.contains(name) && line.contains(label) && line.ends_with(" 1"))
    };
    assert!(counted("hotwork_credentials_issued_total", "token"), "{metrics}");
    assert!(counted("hotwork_requests_denied_total", "approval-required"), "{metrics}");
    assert!(!metrics.contains("spiffe://"), "{metrics}");
}

/// A connection from a loopback address that has asked and keeps its place; `None` when it was closed.
fn connection(to: &str, from: [u8; 4]) -> Option<std::net::TcpStream> {
    let to: SocketAddr = to.strip_prefix("http://").unwrap().parse().unwrap();
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
    let socket = socket.unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(IpAddr::from(from), 0)).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET /jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).ok()?;
    assert_eq!(&first, b"HTTP/1.1 200");
    Some(stream)
}

#[test]
fn one_address_has_its_share_of_the_public_listener_and_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let address = &daemon.env["HOTWORK_HTTP"];
    let (greedy, good) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let mut held = Vec::new();
    for at in 0..HTTP_CONNECTIONS_PER_ADDRESS_MAX {
        held.push(connection(address, greedy).unwrap_or_else(|| panic!("connection {at}")));
    }
    assert!(connection(address, greedy).is_none(), "one too many");
    assert!(connection(address, good).is_some(), "another address has its own share");
    held.pop();
    eventually("the place comes free", || connection(address, greedy).is_some());
}
