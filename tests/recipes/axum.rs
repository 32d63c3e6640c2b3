//! The service of `docs/recipes/axum.md` and `examples/protected.rs`, following a real broker.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hotwork::clock::SystemClock;
use hotwork::domain::clock::Clock as _;
use hotwork::feed;
use hotwork::signer::extension::OidArc;
use hotwork::signer::verify::{Moment, NotVerified, Trust};

use crate::prompt::NEW_KEY;
use crate::recipe::block_below;
use crate::scene::{LIFE, READ, SITE, Scene};
use crate::support::part;
use crate::tls::{Answer, Client};

#[path = "../../examples/protected.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod protected;

#[test]
fn the_page_shows_what_the_example_does() {
    let example = include_str!("../../examples/protected.rs");
    for heading in ["", "## Where the broker is"] {
        let shown = block_below("axum.md", heading, "rust");
        assert!(example.contains(&shown), "docs/recipes/axum.md shows something else: {shown}");
    }
}

/// Asks until the answer has this status, or 10 s are over.
fn until(status: u16, mut ask: impl FnMut() -> Answer) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask();
        if answer.status == status || Instant::now() > deadline {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How the service reaches its broker.
#[derive(Clone, Copy)]
enum Way {
    Socket,
    Network,
}

/// The service of the example on a free port; it runs as long as the runtime.
fn serve(scene: &Scene, way: Way) -> (tokio::runtime::Runtime, u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let channel = runtime.block_on(async {
        match way {
            Way::Socket => {
                let socket = scene.daemon.env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap();
                protected::local(PathBuf::from(socket)).await.unwrap()
            }
            Way::Network => {
                let folder = scene.path("verifier");
                let out = folder.to_str().unwrap();
                scene.daemon.json(&["verifier", "enroll", "protected", "--out", out]);
                let endpoint = scene.daemon.env["HOTWORK_VERIFIER_ENDPOINT"].clone();
                assert!(protected::remote(endpoint.clone(), "other.example", &folder).await.is_err());
                protected::remote(endpoint, "example.org", &folder).await.unwrap()
            }
        }
    });
    runtime.spawn(async move {
        protected::serve(channel, listener, "https://git.example.org".parse().unwrap()).await.unwrap();
    });
    (runtime, port)
}

#[test]
fn a_service_on_another_host_follows_its_broker_over_the_network() {
    let scene = Scene::start();
    let (_runtime, port) = serve(&scene, Way::Network);
    let token = scene.token("repo.file.read");
    let mut open = Client::plain(port);
    assert_eq!(until(200, || scene.read(&mut open, &token)).status, 200);
    scene.revoke(&["--credential", &token.id]);
    assert_eq!(until(401, || scene.read(&mut open, &token)).refused(), (401, "credential-ended"));
    let status = scene.daemon.json(&["status"]);
    assert_eq!(
        (&status["verifiersConnected"], &status["verifiersCurrent"]),
        (&1.into(), &1.into()),
        "{status}"
    );
}

#[test]
fn what_expires_on_an_open_connection_is_refused_with_the_next_request() {
    let scene = Scene::start();
    let (_runtime, port) = serve(&scene, Way::Socket);
    let mut open = Client::plain(port);
    let lasting = scene.token("repo.file.read");
    assert_eq!(until(200, || scene.read(&mut open, &lasting)).status, 200);
    let token = scene.agent.token_with(&scene.daemon, "repo.file.read", SITE, &["--ttl", LIFE]);
    Scene::expires(token.end, &mut [&mut || scene.read(&mut open, &token)]);
    assert_eq!(scene.read(&mut open, &lasting).status, 200, "the connection is good for others");
}

#[test]
fn a_service_behind_the_layer_hears_of_a_revocation_and_refuses_on_open_connections() {
    let scene = Scene::start();
    let (_runtime, port) = serve(&scene, Way::Socket);
    let (token, other) = (scene.token("repo.file.read"), scene.token("repo.file.read"));
    let mut open = Client::plain(port);
    // Until the first snapshot nothing is known and nothing passes.
    let permitted = until(200, || scene.read(&mut open, &token));
    assert_eq!(permitted.status, 200, "{permitted:?}");
    assert_eq!(permitted.body, "spiffe://example.org/tenant/default/agent/coder reads repo/acme/site\n");
    assert_eq!(open.ask("GET", READ, &[]).refused(), (401, "credential-missing"));
    let opener = scene.token("repo.pull.open");
    assert_eq!(scene.read(&mut open, &opener).refused(), (403, "action-other"));
    scene.revoke(&["--credential", &token.id]);
    let refused = until(401, || scene.read(&mut open, &token));
    assert_eq!(refused.refused(), (401, "credential-ended"));
    assert_eq!(scene.read(&mut Client::plain(port), &token).refused(), (401, "credential-ended"));
    assert_eq!(scene.read(&mut open, &other).status, 200);
    // An owner stands in no credential: the service can't tell that nobody is meant. What is minted after it is not.
    scene.revoke(&["--owner", "nobody@example.org"]);
    let untold = until(403, || scene.read(&mut open, &other));
    assert_eq!(untold.refused(), (403, "status-unknown"));
    let other = scene.token("repo.file.read");
    assert_eq!(scene.read(&mut open, &other).status, 200);
    scene.revoke(&["--all"]);
    assert_eq!(until(401, || scene.read(&mut open, &other)).refused(), (401, "credential-ended"));
    assert_eq!(scene.read(&mut open, &scene.token("repo.file.read")).status, 200);
    // What was minted under a break-glass session dies with it.
    let session = scene.opened("open", "read");
    let (token, _) = scene.minted(&session, "session");
    assert_eq!(scene.read(&mut open, &token).status, 200);
    scene.close(&session);
    assert_eq!(until(401, || scene.read(&mut open, &token)).refused(), (401, "credential-ended"));
    // What was minted in a drill is nobody's.
    let (token, _) = scene.minted(&scene.opened("drill", "read"), "drill");
    assert_eq!(scene.read(&mut open, &token).refused(), (401, "credential-key"));
}

/// The keys that a service has which asks the broker now and not again.
fn asked_once(scene: &Scene) -> Trust {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let socket = scene.daemon.env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap();
    runtime.block_on(async {
        let channel = protected::local(PathBuf::from(socket)).await.unwrap();
        feed::trust(channel, OidArc::EXAMPLE.parse().unwrap()).await.unwrap()
    })
}

/// Asks until the answer is `wanted`, which has to come in the time that a new key has; until then it is one of `before`.
#[track_caller]
fn becomes(wanted: (u16, &str), before: &[(u16, &str)], mut ask: impl FnMut() -> Answer) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = ask();
        let (got, took) = (answer.refused(), begun.elapsed());
        assert!(took < NEW_KEY, "{got:?} after {took:?}, and not {wanted:?}");
        if got == wanted {
            return took;
        }
        assert!(before.contains(&got), "{got:?} after {took:?}, before {wanted:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_running_service_takes_a_new_token_key_and_drops_one_that_ended() {
    let scene = Scene::start();
    let services = [Way::Socket, Way::Network].map(|way| serve(&scene, way));
    let mut open = services.each_ref().map(|(_, port)| Client::plain(*port));
    let old = scene.token("repo.file.read");
    for client in &mut open {
        assert_eq!(until(200, || scene.read(client, &old)).status, 200);
    }
    let asked_once = asked_once(&scene);
    scene.daemon.json(&["keys", "rotate", "token", "--now"]);
    let new = scene.token("repo.file.read");
    let moment = Moment { now: SystemClock::new().now().unwrap(), leeway_seconds: 30 };
    assert_eq!(asked_once.token(&new.text, moment).unwrap_err(), NotVerified::Key);
    for client in &mut open {
        let took = becomes((200, ""), &[(401, "credential-key")], || scene.read(client, &new));
        eprintln!("a new token key: taken after {took:.1?}");
        assert_eq!(scene.read(client, &old).status, 200, "the key before it is good for what it signed");
    }
    let kid = part(&old.text, 0)["kid"].as_str().unwrap().to_owned();
    scene.revoke(&["--key", &kid]);
    for client in &mut open {
        // The feed says at once that what it signed has ended; then the key is gone.
        let refused = until(401, || scene.read(client, &old));
        assert_eq!(refused.status, 401, "{refused:?}");
        becomes((401, "credential-key"), &[(401, "credential-ended")], || scene.read(client, &old));
        assert_eq!(scene.read(client, &new).status, 200);
    }
}

#[test]
fn a_service_behind_the_layer_refuses_soon_after_the_acknowledgement() {
    let scene = Scene::start();
    for (way, what) in [(Way::Socket, "axum"), (Way::Network, "axum on another host")] {
        let (_runtime, port) = serve(&scene, way);
        let mut open = Client::plain(port);
        let first = scene.token("repo.file.read");
        assert_eq!(until(200, || scene.read(&mut open, &first)).status, 200);
        scene.felt(
            what,
            || scene.token("repo.file.read"),
            |token| {
                let answer = scene.read(&mut open, token);
                assert!(answer.status == 200 || answer.refused() == (401, "credential-ended"), "{answer:?}");
                answer.status != 200
            },
        );
    }
}
