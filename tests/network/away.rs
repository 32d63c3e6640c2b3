//! Verifiers that are away: `revoke --wait` names them while they may still run, and no longer.

use std::sync::Arc;
use std::time::Instant;

use hotwork::clock::SystemClock;
use hotwork::feed;
use hotwork::verify::{Followed, WhenLost};
use serde_json::Value;

use crate::pki::{TestCa, address};
use crate::relay::Relay;
use crate::revocation::{VERIFIER, remote, revoke, until};
use crate::support::{code, text};
use crate::{add_operator, enroll, hotwork, restart, start};

/// A way that leads nowhere.
const NOWHERE: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Of each verifier of an answer: name, streams, instances that are away.
fn standing(answer: &Value) -> Vec<(&str, u64, u64)> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let of = |one: &'static str| move |value: &Value| number(&value[one]);
    let verifiers = answer["verifiers"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |value| (of("streams")(value), of("away")(value));
    verifiers.iter().map(|value| (value["name"].as_str().unwrap(), row(value).0, row(value).1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_away_is_named_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Arc::new(start(dir.path(), &TestCa::new()));
    add_operator(&daemon, "rae", "\"revoker\"");
    enroll(&daemon, "operator", "rae", dir.path());
    let rae = dir.path().join("operator-rae");
    enroll(&daemon, "verifier", "one", dir.path());
    enroll(&daemon, "verifier", "two", dir.path());
    let relay = Relay::new(address(&daemon, VERIFIER)).await;
    let channel = remote(dir.path(), "one", relay.address).channel().await.unwrap();
    let state = Arc::new(Followed::new(15, WhenLost::Strict));
    let (followed, clock) = (Arc::clone(&state), Arc::new(SystemClock::new()));
    let follow = tokio::spawn(async move { feed::follow(channel, followed, clock, "crate").await });
    let status = |name: &str| daemon.json(&["status"])[name].as_u64().unwrap_or_default();
    until("it follows", || status("verifiersConnected") == 1).await;

    // Who was enrolled since the start and never came has heard nothing that it could go on with.
    let (exit, answer) = revoke(&daemon, &rae, "8s").await;
    assert_eq!((exit, standing(&answer)), (0, vec![("verifier/one#crate", 1, 0)]), "{answer}");
    let feed = daemon.json(&["feed"]);
    assert_eq!(standing(&feed), [("verifier/one#crate", 1, 0), ("verifier/two", 0, 0)], "{feed}");

    relay.point(NOWHERE);
    relay.cut();
    until("it is away", || (status("verifiersConnected"), status("verifiersAway")) == (0, 1)).await;
    let (exit, answer) = revoke(&daemon, &rae, "1s").await;
    assert_eq!((exit, standing(&answer)), (10, vec![("verifier/one#crate", 0, 1)]), "{answer}");
    let line = ["revoke", "--api", "demo", "--reason", "leak", "--yes", "--wait", "1s"];
    let shown = hotwork(&daemon, &rae, &line);
    assert_eq!(code(&shown), 10, "{}", text(&shown));
    let said = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(said.contains("verifier/one#crate has NOT acknowledged and is away since 20"), "{said}");
    assert!(said.contains("it may run on without hearing of it until 20"), "{said}");
    assert!(text(&daemon.hotwork(&["status"])).contains("0 of 0 current, 1 AWAY"));
    // Without a wait nobody is asked for anything, and it is named all the same.
    let without = daemon.json(&["revoke", "--api", "demo", "--reason", "leak", "--yes"]);
    assert_eq!(standing(&without), [("verifier/one#crate", 0, 1)], "{without}");

    // It comes back while somebody waits, and is known again.
    let ((exit, answer), ()) = tokio::join!(revoke(&daemon, &rae, "8s"), async {
        relay.point(address(&daemon, VERIFIER));
    });
    assert_eq!((exit, standing(&answer)), (0, vec![("verifier/one#crate", 1, 0)]), "{answer}");

    // After a start nobody has been seen, and whoever was enrolled before it may go on with what it heard.
    relay.point(NOWHERE);
    relay.cut();
    Arc::into_inner(daemon).unwrap().kill_nine();
    let daemon = Arc::new(restart(dir.path()));
    let (exit, answer) = revoke(&daemon, &rae, "1s").await;
    let named = vec![("verifier/one", 0, 1), ("verifier/two", 0, 1), ("others", 0, 1)];
    assert_eq!((exit, standing(&answer)), (10, named), "nor does it know who else is to come: {answer}");
    relay.point(address(&daemon, VERIFIER));
    until("it is back", || daemon.json(&["status"])["verifiersConnected"] == 1).await;
    let began = Instant::now();
    let (exit, answer) = revoke(&daemon, &rae, "8s").await;
    let named = vec![("verifier/one#crate", 1, 0), ("verifier/two", 0, 1)];
    assert_eq!((exit, standing(&answer)), (10, named), "after {:?}: {answer}", began.elapsed());
    follow.abort();
}
