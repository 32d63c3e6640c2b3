//! The service of `docs/recipes/axum.md` and `examples/protected.rs`, following a real broker.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::recipe::block_below;
use crate::scene::{LIFE, READ, SITE, Scene};
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
