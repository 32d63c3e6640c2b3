//! What comes too late, on a clock that the test holds: signatures after the text's quarter of an hour, decisions and uses
//! after a request's hour. A millisecond before it they count; after it they are refused, and the log has that.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use hotwork::api::authz;
use hotwork::broker::approve::{DecideError, Decision};
use hotwork::broker::operate::Caller;
use hotwork::domain::approval::{ApprovalRefusal, State, Verdict};
use hotwork::domain::clock::Clock as _;
use hotwork::domain::id::ApprovalId;
use hotwork::domain::ledger::Refusal;
use hotwork::domain::limits::{APPROVAL_MS, PROPOSAL_SECONDS_MAX};
use hotwork::proto::v1;
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use hotwork::proto::v1::prepare_request::Asks;
use hotwork::store::LedgerError;
use serde_json::Value;

use crate::later::Later;
use crate::scene::{JKT, NAMESPACE, NODE, Scene, path};
use crate::signing::KeyPair;
use crate::support::channel;

/// Thumbprints of other holders' keys: any 32 bytes will do.
const OTHER_JKT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
const THIRD_JKT: &str = "pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4";

fn sends(later: &Later, scene: &Scene, statement: &str, key: &KeyPair) -> (i32, Value) {
    let (text, armored) = (scene.dir.path().join("late.txt"), scene.dir.path().join("late.sig"));
    std::fs::write(&text, statement).unwrap();
    std::fs::write(&armored, key.sign(NAMESPACE, statement)).unwrap();
    later.run(&["break-glass", "send", "--statement", path(&text), "--signature", path(&armored)])
}

/// Milliseconds of the present second that are over: a text's times are whole seconds.
fn into(later: &Later) -> i64 {
    later.clock.now().unwrap().millis().rem_euclid(1_000)
}

/// The refused calls of this RPC with this code, in the log.
fn refused(later: &Later, rpc: &str, code: &str) -> usize {
    let log = later.hotwork(&["audit", "tail", "-n", "500"]);
    log.lines().filter(|line| line.ends_with(&format!("/{rpc} REFUSED: {code}"))).count()
}

/// Signs what was prepared just now at each side of both ends of the text's time.
fn tries(later: &Later, scene: &Scene, statement: &str, rpc: &str) {
    let into = into(later);
    let refused = |by: &KeyPair, count: usize| {
        let (exit, failure) = sends(later, scene, statement, by);
        assert_eq!((exit != 0, &failure["reason"]), (true, &"statement-expired".into()), "{rpc}: {failure}");
        assert_eq!(refused(later, rpc, "statement-expired"), count, "{rpc}");
    };
    later.clock.advance_millis(-into - 1);
    refused(&scene.bob, 1);
    later.clock.advance_millis(PROPOSAL_SECONDS_MAX * 1_000);
    let (exit, first) = sends(later, scene, statement, &scene.bob);
    assert_eq!((exit, &first["progress"]["signedBy"]), (0, &serde_json::json!(["bob"])), "{rpc}: {first}");
    later.clock.advance_millis(1);
    refused(&scene.carol, 2);
    refused(&scene.bob, 3);
}

fn opening(drill: bool, minutes: i64) -> Asks {
    Asks::Opening(v1::PrepareOpening {
        playbook: "node-repair".into(),
        reason: "n1 hangs".into(),
        ticket: "INC-7".into(),
        duration: Some(prost_types::Duration { seconds: minutes * 60, nanos: 0 }),
        drill,
    })
}

fn listed(later: &Later, what: &str) -> Vec<Value> {
    let (exit, list) = later.run(&["break-glass", "list"]);
    assert_eq!(exit, 0, "{list}");
    list[what].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_signature_before_or_after_its_text_s_time_opens_and_extends_nothing_and_is_recorded() {
    let mut scene = Scene::start();
    scene.kill();
    let later = Later::start(scene.dir.path(), 60_000).await;
    for (drill, rpc) in [(false, "Open"), (true, "Drill")] {
        let prepared = later.prepare(opening(drill, 20)).await;
        tries(&later, &scene, &prepared.statement, rpc);
        assert!(listed(&later, "sessions").is_empty() && listed(&later, "proposals").is_empty(), "{rpc}");
    }
    // The same people in time, so that it was the time.
    let prepared = later.prepare(opening(false, 20)).await;
    for key in [&scene.bob, &scene.carol] {
        assert_eq!(sends(&later, &scene, &prepared.statement, key).0, 0);
    }
    let session = listed(&later, "sessions")[0].clone();
    let id = session["id"].as_str().unwrap().to_owned();
    let extension = v1::PrepareExtension { session: id, reason: "two more nodes".into(), duration: None };
    let prepared = later.prepare(Asks::Extension(extension)).await;
    tries(&later, &scene, &prepared.statement, "Extend");
    assert_eq!(listed(&later, "sessions")[0]["endTime"], session["endTime"]);
}

/// Alice is who runs the agent; bob and carol approve.
fn approvers() -> Scene {
    Scene::with(|dir| {
        let file = dir.join("config/operators.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("\"responder\"", "\"approver\", \"responder\"");
        std::fs::write(file, text).unwrap();
    })
}

fn drain<'a>(jkt: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["issue", "infra.node.drain", "--resource", NODE, "--dpop-jkt", jkt][..], more].concat()
}

/// A request that waits.
fn asks(later: &Later, jkt: &str) -> ApprovalId {
    let (exit, failure) = later.run(&drain(jkt, &[]));
    assert_eq!((exit, &failure["reason"]), (5, &"approval-required".into()), "{failure}");
    failure["decisionId"].as_str().unwrap().parse().unwrap()
}

/// Bob's yes, as it comes over TLS.
async fn approves(later: &Later, scene: &Scene, id: ApprovalId) -> Result<(), DecideError> {
    let caller = Caller::Certificate("bob".parse().unwrap());
    let by = later.broker.authorize(&caller, authz::DECIDE_APPROVAL).await.unwrap();
    let asked = later.broker.approval(by.operator(), id).unwrap();
    let statement = later.broker.statement(&asked.asked, by.operator(), Verdict::Approve, None).unwrap();
    let statement = statement.as_str().to_owned();
    let signature = scene.bob.sign("hotwork-approval", &statement);
    let decision = Decision { id, verdict: Verdict::Approve, reason: None, statement, signature };
    later.broker.decide_approval(&by, decision).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_its_hour_a_request_is_neither_decided_nor_used_and_who_waits_for_it_is_told() {
    let mut scene = approvers();
    scene.kill();
    let later = Later::start(scene.dir.path(), 60_000).await;
    let [used, late, open] = [JKT, OTHER_JKT, THIRD_JKT].map(|jkt| (asks(&later, jkt), jkt));
    for (id, _) in [used, late] {
        approves(&later, &scene, id).await.unwrap();
    }
    let mut agent = CredentialServiceClient::new(channel(later.bound.agent.to_str().unwrap()).await);
    let watch = v1::WatchApprovalRequest { approval_id: open.0.to_string() };
    let mut states = agent.watch_approval(watch).await.unwrap().into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().state(), v1::ApprovalState::Pending);
    let mut waiting = later.command(&drain(open.1, &["--wait", "2h", "-o", "json"]));
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(waiting.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.take(20).any(|line| line.starts_with("waiting up to")), "it waits");

    // All were asked in this second, on a clock that stands.
    later.clock.advance_millis(APPROVAL_MS - into(&later) - 1);
    let uses = |(id, jkt): (ApprovalId, &str)| later.run(&drain(jkt, &["--approval", &id.to_string()]));
    let (exit, answer) = uses(used);
    assert_eq!(exit, 0, "in its last millisecond: {answer}");
    later.clock.advance_millis(1);
    let (exit, failure) = uses(late);
    assert_eq!((exit, &failure["reason"]), (3, &"approval-expired".into()), "{failure}");
    let log = later.hotwork(&["audit", "tail", "-n", "500"]);
    assert_eq!(log.matches(&format!("infra.node.drain on {NODE}: approval-expired")).count(), 1, "{log}");

    let yes = approves(&later, &scene, open.0).await.unwrap_err();
    let over = ApprovalRefusal::Decided(State::Expired);
    assert!(
        matches!(&yes, DecideError::Ledger(LedgerError::Refused(Refusal::Approval(refusal))) if *refusal == over),
        "{yes:?}"
    );
    let (id, key) = (open.0.to_string(), scene.alice[0].private.clone());
    let (_, no) = later.run(&["request", "deny", &id, "--yes", "--ssh-key", path(&key)]);
    assert_eq!(no["reason"], "approval-decided", "{no}");
    assert!(no["message"].as_str().unwrap().contains("it is over"), "{no}");
    assert_eq!(refused(&later, "DecideApproval", "approval-decided"), 1);

    let last = states.message().await.unwrap().unwrap();
    assert_eq!((last.state(), last.approvals_given), (v1::ApprovalState::Expired, 0));
    assert!(states.message().await.unwrap().is_none(), "nothing comes after the end");
    let output = waiting.wait_with_output().unwrap();
    let failure: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &failure["reason"]),
        (Some(3), &"approval-expired".into()),
        "{failure}"
    );

    // Whoever asks anew is a new request; a wait that runs out leaves it as it is.
    let again = asks(&later, open.1);
    assert_ne!(again, open.0);
    let (exit, failure) = later.run(&drain(open.1, &["--wait", "1s"]));
    assert_eq!((exit, &failure["reason"]), (5, &"approval-required".into()), "{failure}");
    assert_eq!(failure["decisionId"], again.to_string());
    approves(&later, &scene, again).await.unwrap();
}
