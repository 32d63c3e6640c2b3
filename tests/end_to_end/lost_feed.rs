//! What verifiers do when they lose the feed: the API's registry entry says it, and the feed tells them.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotwork::clock::SystemClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::time::Timestamp;
use hotwork::signer::extension::OidArc;
use hotwork::signer::verify::Moment;
use hotwork::verify::{Authority, Followed, Standing as _, Status, WhenLost};

use crate::support::{self, Daemon, channel, eventually, text};

const SILENCE_SECONDS: u32 = 15;
const BEST_EFFORT: &str = "on_lost_feed = \"dangerous-best-effort\"\non_lost_feed_max = \"60s\"\n";

fn now() -> Timestamp {
    SystemClock::new().now().unwrap()
}

/// A certificate in DER.
fn der(path: &Path) -> Vec<u8> {
    let pem = std::fs::read_to_string(path).unwrap();
    let body: String = pem.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

/// Puts these lines before the API's first action.
fn set(api: &Path, lines: &str) {
    let text = std::fs::read_to_string(api).unwrap().replace(BEST_EFFORT, "");
    std::fs::write(api, text.replacen("\n[[action]]", &format!("\n{lines}[[action]]"), 1)).unwrap();
}

#[test]
fn the_apis_entry_says_how_long_its_verifiers_go_on_without_the_feed() {
    let dir = tempfile::tempdir().unwrap();
    let config = support::example("coding", dir.path());
    let api = config.with_file_name("apis").join("repo.toml");
    set(&api, BEST_EFFORT);
    let daemon = Daemon::serve(&config, &dir.path().join("state"));
    let shown = daemon.json(&["api", "list"]);
    assert_eq!(shown["apis"][0]["onLostFeed"], "dangerous-best-effort", "{shown}");
    assert_eq!(shown["apis"][0]["onLostFeedSecondsMax"], 60, "{shown}");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let socket = daemon.env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap().to_owned();
    let arc: OidArc = OidArc::EXAMPLE.parse().unwrap();
    let trust = {
        let socket = socket.clone();
        runtime.block_on(async move { hotwork::feed::trust(channel(&socket).await, arc).await.unwrap() })
    };
    let follower = |when_lost| {
        let state = Arc::new(Followed::new(SILENCE_SECONDS, when_lost));
        let (followed, socket) = (Arc::clone(&state), socket.clone());
        runtime.spawn(async move {
            let channel = channel(&socket).await;
            hotwork::feed::follow(channel, followed, Arc::new(SystemClock::new()), "a-test").await;
        });
        state
    };
    let (registered, strict) = (follower(WhenLost::AsRegistered), follower(WhenLost::Strict));
    let out = dir.path().join("certificate");
    let ask = ["issue", "repo.file.read", "--resource", "repo/acme/site", "--kind", "cert", "--ttl", "15m"];
    daemon.json(&[&ask[..], &["--out", out.to_str().unwrap()]].concat());
    let der = der(&out.join("cert.pem"));
    let moment = Moment { now: now(), leeway_seconds: 30 };
    let authority: Authority = trust.certificate(&der, moment).unwrap().into();
    // What each would say if nothing came for as long.
    let after =
        |state: &Followed, seconds: i64| state.standing(&authority, now().plus_millis(seconds * 1000));
    let beyond = i64::from(SILENCE_SECONDS) + 1;
    eventually("both have begun", || {
        after(&registered, 0) == Status::Live && after(&strict, 0) == Status::Live
    });
    eventually("the entry's word has come", || after(&registered, beyond) == Status::Live);
    assert_eq!(after(&registered, 61), Status::Unknown, "best effort is for a minute");
    assert_eq!(after(&strict, beyond), Status::Unknown, "the service's own word goes first");

    // The owner changes their mind: the next heartbeat tells.
    set(&api, "");
    assert_eq!(daemon.json(&["reload"])["changed"], true);
    eventually("strict has come", || after(&registered, beyond) == Status::Unknown);
    assert_eq!(after(&registered, 0), Status::Live, "the feed is not lost");
    set(&api, BEST_EFFORT);
    assert_eq!(daemon.json(&["reload"])["changed"], true);
    eventually("best effort has come", || after(&registered, beyond) == Status::Live);

    // The broker is gone. What was told last holds, and what ended before stays ended.
    daemon.kill_nine();
    assert_eq!(after(&registered, 0), Status::Live);
    assert_eq!(after(&registered, beyond), Status::Live);
    assert_eq!(after(&registered, 62), Status::Unknown);
    assert_eq!(after(&strict, beyond), Status::Unknown);
}

/// Ends what nobody has, until the log has this epoch; gives the newest.
fn end_until(daemon: &Daemon, epoch: u64) -> u64 {
    loop {
        let line = ["revoke", "--resource-prefix", "demo/other", "--reason", "r", "--yes"];
        let newest = daemon.json(&line)["epoch"].as_str().unwrap().parse().unwrap();
        if newest >= epoch {
            return newest;
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).output().unwrap();
    assert!(copied.status.success(), "{}", text(&copied));
}

#[test]
fn a_verifier_does_not_resume_on_a_log_that_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (state, kept) = (dir.path().join("state"), dir.path().join("kept"));
    let daemon = Daemon::dev(&state);
    end_until(&daemon, 0);
    let socket = daemon.env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap().to_owned();
    assert_eq!(daemon.stop(), 0);
    copy(&state, &kept);

    let daemon = Daemon::dev(&state);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let followed = Arc::new(Followed::new(SILENCE_SECONDS, WhenLost::Strict));
    let arc: OidArc = OidArc::EXAMPLE.parse().unwrap();
    let channel = runtime.block_on(async { channel(&socket).await });
    let trust = runtime.block_on(hotwork::feed::trust(channel.clone(), arc)).unwrap();
    let state_of = Arc::clone(&followed);
    runtime.spawn(async move {
        hotwork::feed::follow(channel, state_of, Arc::new(SystemClock::new()), "a-test").await;
    });
    let reached = (0..8).map(|_| end_until(&daemon, 0)).max().unwrap();
    eventually("it has the newest", || followed.epoch() >= reached);
    daemon.kill_nine();

    // The copy goes on. What it ends first has a lower number than the verifier has heard of.
    std::fs::rename(&state, dir.path().join("lost")).unwrap();
    copy(&kept, &state);
    let daemon = Daemon::dev(&state);
    let issued = daemon.json(&["issue", "demo.read", "--resource", "demo/hello", "--ttl", "15m"]);
    let (token, id) = (issued["token"].as_str().unwrap(), issued["credential"]["id"].as_str().unwrap());
    let moment = Moment { now: now(), leeway_seconds: 30 };
    let authority: Authority = trust.token(token, moment).unwrap().into();
    let ended = daemon.json(&["revoke", "--credential", id, "--reason", "r", "--yes"])["epoch"].clone();
    assert!(ended.as_str().unwrap().parse::<u64>().unwrap() < reached, "{ended} is in the gap");
    let newest = end_until(&daemon, reached + 1);
    eventually("it follows again", || followed.epoch() >= newest);
    assert_eq!(followed.standing(&authority, now()), Status::Ended);
}
