//! Break-glass with the real binaries and real SSH keys: who opens, what can be had, and how it ends.

use std::path::Path;

use hotwork::proto::v1;
use hotwork::proto::v1::break_glass_service_client::BreakGlassServiceClient;

use crate::scene::{DELETE, JKT, NAMESPACE, NODE, Scene, path};
use crate::signing::KeyPair;
use crate::support::{channel, claims, code, text};

#[test]
fn two_people_open_a_session_and_what_is_minted_under_it_ends_with_it() {
    let scene = Scene::start();
    let daemon = scene.daemon();
    scene.refuses(scene.run(&["issue", DELETE, "--resource", NODE, "--dpop-jkt", JKT]), "break-glass-only");
    // The first signs here, with the key in a file; the second runs the one command.
    let line =
        ["break-glass", "open", "node-repair", "--reason", "n1 hangs", "--ticket", "INC-7", "--for", "10m"];
    let key = ["--yes", "--ssh-key", path(&scene.bob.private)];
    let first = daemon.json(&[&line[..], &key].concat());
    assert_eq!(
        (&first["progress"]["signedBy"][0], &first["progress"]["signersNeeded"]),
        (&"bob".into(), &2.into())
    );
    assert_eq!(first["progress"]["signersAble"], serde_json::json!(["alice", "carol"]));
    let id = first["progress"]["statementId"].as_str().unwrap();
    let line = ["break-glass", "sign", &id[..12], "--yes", "--ssh-key", path(&scene.carol.private)];
    let second = daemon.json(&line);
    let session = second["progress"]["session"].as_str().unwrap();
    assert_eq!(scene.state(session), "SESSION_STATE_OPEN");

    let token = scene.token(session);
    let said = claims(&token);
    assert_eq!((&said["hotwork_tier"], &said["txn"]), (&"break_glass".into(), &session.into()));
    assert_eq!(said["hotwork_session"], session, "and by its own name");
    assert!(scene.is_live(&token));
    let id = said["jti"].as_str().unwrap();
    let now = |decision: &str| daemon.json(&["explain", decision])["now"].as_str().unwrap().to_owned();
    assert_eq!(now(id), format!("allowed by break-glass session {session}"));
    let (exit, certificate) = scene.issue(session, DELETE, NODE, &["--kind", "cert"]);
    assert_eq!(exit, 0, "{certificate}");
    let leaf = certificate["certificatePem"].as_str().unwrap();
    assert!(scene.is_live(leaf));
    let file = scene.dir.path().join("leaf.pem");
    std::fs::write(&file, leaf).unwrap();
    let decoded = daemon.json(&["credential", "inspect", path(&file)]);
    let extensions = decoded["certificate"]["extensions"].as_array().unwrap();
    let binding = extensions.iter().map(|one| &one["value"]).find(|value| value["tier"] == "break_glass");
    assert_eq!(binding.expect("what it is bound to is shown")["txn"], session, "{decoded}");

    let closed = scene.run(&["break-glass", "close", session, "--reason", "n1 is gone"]);
    assert_eq!(closed.0, 0, "{}", closed.1);
    assert!(!scene.is_live(&token) && !scene.is_live(leaf), "both died with it");
    assert_eq!(now(id), "denied: session-not-open");
    scene.refuses(scene.issue(session, DELETE, NODE, &["--dpop-jkt", JKT]), "session-not-open");
    scene.refuses(scene.run(&["break-glass", "close", session, "--reason", "again"]), "session-not-open");
    // The review is owed; the log has it all.
    assert_eq!(scene.state(session), "SESSION_STATE_REVIEW_OWED");
    let review = scene.run(&["break-glass", "review", session, "--finding", "one node removed"]);
    assert_eq!((review.0, scene.state(session)), (0, String::new()));
    let log = String::from_utf8(daemon.hotwork(&["audit", "tail", "-n", "60"]).stdout).unwrap();
    for step in ["proposed node-repair for INC-7", "opened", "closed", "reviewed", "revoke"] {
        assert!(log.contains(step), "{step}: {log}");
    }
}

#[test]
fn no_signature_but_two_responders_own_opens_anything() {
    let scene = Scene::start();
    let text = scene.text("open", "node-repair");
    // Not signed, by a stranger, by somebody who may only look, for something else.
    let stranger = KeyPair::ed25519(scene.dir.path(), "stranger");
    scene.refuses(scene.sign(&text, &stranger), "signature-unregistered");
    scene.refuses(scene.sign(&text, &scene.viewer), "not-a-responder");
    scene.refuses(scene.send(&text, &scene.bob.sign("hotwork-approval", &text)), "signature-namespace");
    scene.refuses(scene.send(&text, "none"), "invalid-argument");
    let good = scene.bob.sign(NAMESPACE, &text);
    let cut = &good[..good.len() - 60];
    scene.refuses(scene.send(&text, cut), "invalid-argument");
    let garbled = good.replacen("U1NI", "U1NJ", 1);
    scene.refuses(scene.send(&text, &garbled), "signature-form");
    // The signature of another text, and this one's with another text.
    let other = scene.text("open", "node-repair");
    assert_ne!(text, other, "each has its own nonce");
    scene.refuses(scene.send(&text, &scene.bob.sign(NAMESPACE, &other)), "signature-forged");
    for (from, to) in
        [("INC-7", "INC-8"), ("seconds: 1800", "seconds: 1799"), ("n1 does not drain", "n2 does not drain")]
    {
        scene.refuses(scene.send(&text.replace(from, to), &good), "statement-changed");
    }
    // What is signed truly, and is no text of this broker.
    for (from, to, reason) in [
        ("signers: 2", "signers: 1", "statement-changed"),
        ("cluster/prod", "cluster", "statement-changed"),
        ("trust-domain: example.org", "trust-domain: example.com", "statement-changed"),
        ("log: example.org", "log: example.net", "statement-changed"),
        ("seconds: 1800", "seconds: 1801", "session-too-long"),
        ("playbook: node-repair", "playbook: node-repairs", "not-found"),
    ] {
        let edited = text.replace(from, to);
        assert_ne!(edited, text, "{from}");
        scene.refuses(scene.sign(&edited, &scene.bob), reason);
    }
    let old = text.lines().map(|line| match line.split_once(": ") {
        Some(("not-before", _)) => "not-before: 2026-01-01T00:00:00Z\n".to_owned(),
        Some(("not-after", _)) => "not-after: 2026-01-01T00:15:00Z\n".to_owned(),
        _ => format!("{line}\n"),
    });
    scene.refuses(scene.sign(&old.collect::<String>(), &scene.bob), "statement-changed");
    // One person with two keys is one person.
    assert_eq!(scene.sign(&text, &scene.alice[0]).0, 0);
    scene.refuses(scene.sign(&text, &scene.alice[1]), "already-signed");
    assert_eq!(scene.daemon().json(&["break-glass", "list"])["sessions"], serde_json::json!([]));
    // All of that stood in nobody's way, and it is in the log.
    let (exit, answer) = scene.sign(&text, &scene.bob);
    assert_eq!((exit, answer["progress"]["session"].is_string()), (0, true), "{answer}");
    scene.refuses(scene.sign(&text, &scene.carol), "statement-spent");
    let log = String::from_utf8(scene.daemon().hotwork(&["audit", "tail", "-n", "60"]).stdout).unwrap();
    assert!(log.matches("BreakGlassService/Open REFUSED").count() >= 15, "{log}");
}

#[test]
fn a_session_gives_what_its_playbook_says_and_the_caps_hold() {
    let scene = Scene::start();
    let session = scene.opened("open", "node-repair");
    let more = ["--dpop-jkt", JKT];
    scene.refuses(scene.issue(&session, DELETE, "cluster/staging/node/n1", &more), "session-scope");
    let scale = ["--dpop-jkt", JKT, "--param", "replicas=8"];
    scene.refuses(
        scene.issue(&session, "infra.service.scale", "cluster/prod/service/web", &scale),
        "session-scope",
    );
    scene.refuses(scene.issue(&session, DELETE, "cluster/prod", &more), "not-permitted");
    scene.refuses(scene.issue(&session, DELETE, NODE, &[]), "binding-required");
    let long = ["--dpop-jkt", JKT, "--ttl", "10m"];
    scene.refuses(scene.issue(&session, DELETE, NODE, &long), "ttl-above-maximum");
    let unknown = "0190163d-8694-739b-aea5-966c26f8ad91";
    scene.refuses(scene.issue(unknown, DELETE, NODE, &more), "session-not-open");
    let locked = scene.run(&["lock", "create", "--action", DELETE, "--message", "not this one"]);
    assert_eq!(locked.0, 0);
    scene.refuses(scene.issue(&session, DELETE, NODE, &more), "locked");
    // The other action of the playbook needs an approval otherwise.
    let (exit, answer) = scene.issue(&session, "infra.node.drain", NODE, &more);
    assert_eq!(exit, 0, "{answer}");
}

#[test]
fn a_credential_of_a_session_is_no_operator_s_and_agents_reach_no_session() {
    let scene = Scene::start();
    let session = scene.opened("open", "node-repair");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let agents = scene.daemon().channel("HOTWORK_ENDPOINT").await;
        let close = v1::CloseRequest { session: session.clone(), reason: "mine".into() };
        let refused = BreakGlassServiceClient::new(agents).close(close).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented, "{refused}");
        // The socket of its own has break-glass and nothing else.
        let own = path(&scene.dir.path().join("state/break-glass.sock")).to_owned();
        let list = BreakGlassServiceClient::new(channel(&own).await).list(v1::ListRequest {}).await.unwrap();
        assert_eq!(list.into_inner().sessions.len(), 1);
        let mut admin =
            hotwork::proto::v1::admin_service_client::AdminServiceClient::new(channel(&own).await);
        let refused = admin.get_status(v1::GetStatusRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
    });
    assert_eq!(scene.state(&session), "SESSION_STATE_OPEN");
}

#[test]
fn extending_needs_the_people_again_and_a_second_opening_one_more() {
    let scene = Scene::start();
    let short = ["break-glass", "open", "node-repair", "--reason", "r", "--ticket", "T-1", "--for", "10m"];
    let text = scene.daemon().json(&short)["statement"].as_str().unwrap().to_owned();
    scene.sign(&text, &scene.bob);
    let session = scene.sign(&text, &scene.carol).1["progress"]["session"].as_str().unwrap().to_owned();
    let line = ["break-glass", "extend", &session, "--reason", "two more nodes"];
    let text = scene.daemon().json(&line)["statement"].as_str().unwrap().to_owned();
    assert_eq!(scene.sign(&text, &scene.bob).1["progress"]["session"], "");
    let (exit, extended) = scene.sign(&text, &scene.alice[0]);
    assert_eq!((exit, &extended["progress"]["session"]), (0, &session.clone().into()), "{extended}");
    assert_eq!(scene.run(&["break-glass", "close", &session, "--reason", "done"]).0, 0);
    // Alice has signed the extension, so the look at it is not hers.
    scene.refuses(scene.run(&["break-glass", "review", &session, "--finding", "fine"]), "own-review");
    let again = scene.text("open", "node-repair");
    scene.sign(&again, &scene.bob);
    let two = scene.sign(&again, &scene.carol).1;
    assert_eq!((&two["progress"]["session"], &two["progress"]["signersNeeded"]), (&"".into(), &3.into()));
    assert!(scene.sign(&again, &scene.alice[0]).1["progress"]["session"].as_str().unwrap().len() == 36);
}

#[test]
fn a_broken_registry_stops_no_opening_and_changes_no_playbook() {
    let scene = Scene::start();
    let config = scene.dir.path().join("config");
    let sealed = scene.dir.path().join("state/sealed/current");
    let before = std::fs::read(&sealed).unwrap();
    // An edit that nobody reviewed widens the playbook and breaks something else.
    let playbook = config.join("playbooks/node-repair.toml");
    let wider = std::fs::read_to_string(&playbook).unwrap().replace("cluster/prod", "cluster");
    std::fs::write(&playbook, wider).unwrap();
    std::fs::write(config.join("apis/infra.toml"), "name = ").unwrap();
    assert_ne!(code(&scene.daemon().hotwork(&["reload"])), 0);
    assert_eq!(std::fs::read(&sealed).unwrap(), before, "the copy is of the last good load");
    let session = scene.opened("open", "node-repair");
    scene.refuses(
        scene.issue(&session, DELETE, "cluster/staging/node/n1", &["--dpop-jkt", JKT]),
        "session-scope",
    );
    scene.token(&session);
    // A good load changes what is signed from then on: a text from before is none any more.
    let text = scene.text("open", "node-repair");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/orchestration/apis/infra.toml");
    std::fs::copy(example, config.join("apis/infra.toml")).unwrap();
    let reload = scene.daemon().hotwork(&["reload"]);
    assert!(reload.status.success(), "{}", crate::support::text(&reload));
    assert_ne!(std::fs::read(&sealed).unwrap(), before);
    scene.refuses(scene.sign(&text, &scene.bob), "statement-changed");
}

#[test]
fn a_responder_who_floods_stands_in_nobody_s_way() {
    let mut scene = Scene::start();
    let own = scene.text("open", "node-repair");
    assert_eq!(scene.sign(&own, &scene.bob).0, 0);
    for _ in 0..8 {
        let text = scene.text("open", "node-repair");
        assert_eq!(scene.sign(&text, &scene.alice[0]).0, 0);
    }
    for kill in [false, true] {
        if kill {
            scene.killed();
        }
        let ninth = scene.text("open", "node-repair");
        scene.refuses(scene.sign(&ninth, &scene.alice[0]), "proposals-exhausted");
        scene.refuses(scene.sign(&ninth, &scene.alice[1]), "proposals-exhausted");
    }
    // What was there before is there, others can begin anew, and one of hers would do, too.
    let fresh = scene.text("open", "node-repair");
    assert_eq!(scene.sign(&fresh, &scene.carol).1["progress"]["session"], "");
    let (exit, opened) = scene.sign(&own, &scene.carol);
    assert_eq!((exit, opened["progress"]["session"].as_str().map(str::len)), (0, Some(36)), "{opened}");
}

/// What tells two brokers apart is the log, with its key, and the mark in the nonce.
#[test]
fn another_broker_of_the_same_trust_domain_with_the_same_people_takes_no_text_of_this_one() {
    let one = Scene::start();
    let two = Scene::with(|dir| {
        let operators = "config/operators.toml";
        std::fs::copy(one.dir.path().join(operators), dir.join(operators)).unwrap();
    });
    let line = |scene: &Scene, key: &str| {
        let text = scene.text("open", "node-repair");
        text.lines().find(|line| line.starts_with(key)).unwrap().to_owned()
    };
    assert_eq!(line(&one, "trust-domain: "), line(&two, "trust-domain: "));
    let (from, to) = (line(&one, "log: "), line(&two, "log: "));
    assert_ne!(from, to);
    let sessions = |scene: &Scene, what: &str| {
        scene.daemon().json(&["break-glass", "list"])[what].as_array().map_or(0, Vec::len)
    };
    let mut refused = 0;
    for verb in ["open", "drill"] {
        let text = one.text(verb, "node-repair");
        let moved = text.replace(&from, &to);
        for key in [&one.bob, &one.carol] {
            let signature = key.sign(NAMESPACE, &text);
            // Replayed as it is, said to be for this one, and signed for this one, too.
            two.refuses(two.send(&text, &signature), "statement-changed");
            two.refuses(two.send(&moved, &signature), "statement-changed");
            two.refuses(two.sign(&moved, key), "statement-changed");
            refused += 3;
            assert_eq!(one.send(&text, &signature).0, 0, "where it belongs it is good");
        }
    }
    assert_eq!((sessions(&one, "sessions"), sessions(&two, "sessions")), (2, 0));
    assert_eq!(sessions(&two, "proposals"), 0);
    let log = text(&two.daemon().hotwork(&["audit", "tail", "-n", "500"]));
    assert_eq!(log.matches("REFUSED: statement-changed").count(), refused, "{log}");
    // The same keys open there what is there.
    let own = two.text("open", "node-repair");
    assert_eq!(two.sign(&own, &one.bob).0, 0);
    assert_eq!(two.sign(&own, &one.carol).0, 0);
    assert_eq!(sessions(&two, "sessions"), 1);
}
