//! The service of `docs/recipes/axum.md` and `examples/protected.rs`, following a real broker.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::recipe::block;
use crate::scene::{READ, SITE, Scene};
use crate::tls::{Answer, Client};

#[path = "../../examples/protected.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod protected;

#[test]
fn the_page_shows_what_the_example_does() {
    let example = include_str!("../../examples/protected.rs");
    assert!(example.contains(&block("axum.md", "rust")), "docs/recipes/axum.md shows something else");
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

#[test]
fn a_service_behind_the_layer_hears_of_a_revocation_and_refuses_on_open_connections() {
    let scene = Scene::start();
    let socket = PathBuf::from(scene.daemon.env["HOTWORK_ADMIN_ENDPOINT"].strip_prefix("unix://").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        let channel = protected::broker(socket).await.unwrap();
        protected::serve(channel, listener, "https://git.example.org".parse().unwrap()).await.unwrap();
    });
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
    let session = scene.session();
    let more = ["--break-glass", session.as_str()];
    let token = scene.agent.token_with(&scene.daemon, "repo.file.read", SITE, &more);
    assert_eq!(scene.read(&mut open, &token).status, 200);
    scene.close(&session);
    assert_eq!(until(401, || scene.read(&mut open, &token)).refused(), (401, "credential-ended"));
}
