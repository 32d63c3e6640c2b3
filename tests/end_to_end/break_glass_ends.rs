//! How break-glass ends, and what it is besides: the brake, drills, crashes between the steps, and those who follow.

use hotwork::proto::v1;
use serde_json::Value;

use crate::scene::{DELETE, JKT, NODE, Scene};
use crate::support::{eventually, http};

#[test]
fn one_person_pulls_the_brake() {
    let scene = Scene::start();
    let scale =
        ["issue", "infra.service.scale", "--resource", "cluster/prod/service/web", "--param", "replicas=3"];
    let scale = [&scale[..], &["--dpop-jkt", JKT]].concat();
    let (exit, before) = scene.run(&scale);
    assert_eq!(exit, 0, "{before}");
    let token = before["token"].as_str().unwrap();
    assert!(scene.is_live(token));
    let text = scene.text("open", "freeze");
    let (exit, answer) = scene.sign(&text, &scene.bob);
    assert_eq!((exit, answer["progress"]["locks"].as_array().map(Vec::len)), (0, Some(1)), "{answer}");
    assert!(!scene.is_live(token), "what the agent had has ended");
    scene.refuses(scene.run(&scale), "locked");
}

#[test]
fn a_drill_is_the_whole_path_with_credentials_that_nobody_takes() {
    let scene = Scene::start();
    let daemon = scene.daemon();
    let metric = |name: &str| {
        let (_, text) = http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics");
        text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    assert_eq!(metric("hotwork_break_glass_drill_age_seconds").as_deref(), Some("inf"));
    let session = scene.opened("drill", "node-repair");
    assert_eq!(metric("hotwork_break_glass_sessions_open").as_deref(), Some("1"));
    let (exit, answer) = scene.issue(&session, DELETE, NODE, &["--dpop-jkt", JKT]);
    assert_eq!((exit, &answer["credential"]["drill"]), (0, &true.into()), "{answer}");
    let token = answer["token"].as_str().unwrap();
    assert!(!scene.is_live(token), "the broker itself refuses it");
    let jwks = http(&daemon.env["HOTWORK_HTTP"], "GET", "/jwks.json").1;
    let kid = kid(token);
    assert!(!kid.is_empty() && !jwks.contains(&kid), "no verifier has its key: {jwks}");
    let (exit, certificate) = scene.issue(&session, DELETE, NODE, &["--kind", "cert"]);
    assert_eq!(exit, 0, "{certificate}");
    assert!(!scene.is_live(certificate["certificatePem"].as_str().unwrap()));
    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);
    assert_eq!(scene.run(&["break-glass", "review", &session, "--finding", "it works"]).0, 0);
    let age: f64 = metric("hotwork_break_glass_drill_age_seconds").unwrap().parse().unwrap();
    assert!((0.0..60.0).contains(&age), "{age}");
    // A drill stands in nobody's way.
    scene.opened("open", "node-repair");
}

fn kid(token: &str) -> String {
    use base64::Engine as _;
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
    let head: Value = serde_json::from_slice(&head.unwrap()).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

#[test]
fn kill_nine_between_every_two_steps_loses_nothing_and_opens_nothing() {
    let mut scene = Scene::start();
    let text = scene.text("open", "node-repair");
    scene.killed();
    assert_eq!(
        scene.sign(&text, &scene.bob).0,
        0,
        "a text is good after a start: it is written anew and compared"
    );
    scene.killed();
    scene.refuses(scene.sign(&text, &scene.bob), "already-signed");
    let session = scene.sign(&text, &scene.carol).1["progress"]["session"].as_str().unwrap().to_owned();
    scene.killed();
    scene.refuses(scene.sign(&text, &scene.alice[0]), "statement-spent");
    let token = scene.token(&session);
    scene.killed();
    assert!(scene.is_live(&token));
    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);
    scene.killed();
    assert!(!scene.is_live(&token));
    scene.refuses(scene.issue(&session, DELETE, NODE, &["--dpop-jkt", JKT]), "session-not-open");
    assert_eq!(scene.state(&session), "SESSION_STATE_REVIEW_OWED");
    assert_eq!(scene.run(&["break-glass", "review", &session, "--finding", "fine"]).0, 0);
    scene.killed();
    assert_eq!(scene.state(&session), "");
}

#[test]
fn those_who_follow_the_feed_hear_of_a_session_s_end() {
    let scene = Scene::start();
    let session = scene.opened("open", "node-repair");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let heard = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let told = std::sync::Arc::clone(&heard);
    let mut verifier = runtime.block_on(scene.daemon().verifier());
    runtime.spawn(async move {
        let request =
            v1::WatchRevocationsRequest { label: "tests".into(), instance: 1, ..Default::default() };
        let mut feed = verifier.watch_revocations(request).await.unwrap().into_inner();
        while let Ok(Some(message)) = feed.message().await {
            told.lock().unwrap().push_str(&format!("{message:?}\n"));
        }
    });
    eventually("the feed begins", || !heard.lock().unwrap().is_empty());
    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);
    eventually("the feed tells the lineage", || heard.lock().unwrap().contains(&session));
}
