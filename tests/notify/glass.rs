//! Break-glass is never silent: who hears of a session, again while it goes on, and after whatever kills the daemon.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use hotwork::app::build::App;
use hotwork::clock::{ManualClock, SystemClock};
use hotwork::config::Config;
use hotwork::domain::clock::Clock as _;
use serde_json::Value;

use crate::receiver::Receiver;
use crate::scene::Scene;
use crate::support::{code, eventually, text};
use crate::{SECRET, level, secret, webhook};

/// A scene with these sections, where `{dir}` is its directory, and these destinations in its playbook `node-repair`.
fn scene(sections: &str, named: &str) -> Scene {
    Scene::with(|dir| set_up(dir, sections, named))
}

fn set_up(dir: &Path, sections: &str, named: &str) {
    secret(&dir.join("secret"), SECRET, 0o600);
    let config = dir.join("config/hotworkd.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let sections = sections.replace("{dir}", &dir.display().to_string());
    std::fs::write(config, format!("{before}\n{sections}")).unwrap();
    let playbook = dir.join("config/playbooks/node-repair.toml");
    let before = std::fs::read_to_string(&playbook).unwrap();
    let after = before.replace("notify = []", &format!("notify = [{named}]"));
    assert!(after != before || named.is_empty());
    std::fs::write(playbook, after).unwrap();
}

const OFTEN: &str = "[break_glass]\nremind_every = \"1s\"\n";

/// What was taken of break-glass with this step, each notice once.
fn told(receiver: &Receiver, step: &str) -> Vec<Value> {
    let mut seen = HashSet::new();
    let all = receiver.taken("break-glass").into_iter();
    all.filter(|json| json["details"]["step"] == step && seen.insert(json["id"].to_string())).collect()
}

fn of<'a>(all: &'a [Value], session: &str) -> Vec<&'a Value> {
    all.iter().filter(|json| json["details"]["session"] == session).collect()
}

fn close(scene: &Scene, session: &str) {
    let closed = scene.run(&["break-glass", "close", session, "--reason", "done"]);
    assert_eq!(closed.0, 0, "{}", closed.1);
}

/// A webhook, a chat, a pager and a program; the daemon's own log is told without being named.
fn each_kind(hook: &Receiver, pager: &Receiver) -> String {
    format!(
        "{}[[notify]]\nname = \"chat\"\nkind = \"slack\"\nsecret_file = \"{{dir}}/chat\"\n\
         [[notify]]\nname = \"pager\"\nkind = \"pagerduty\"\nurl = \"http://127.0.0.1:{}/v2/enqueue\"\n\
         secret_file = \"{{dir}}/secret\"\nseverity_min = \"critical\"\n\
         [[notify]]\nname = \"page\"\nkind = \"command\"\n\
         command = [\"/bin/sh\", \"-c\", \"cat >> {{dir}}/told && echo >> {{dir}}/told\"]\n",
        webhook("oncall", hook.port),
        pager.port
    )
}

#[test]
fn an_opening_is_told_to_every_kind_of_destination_in_its_own_form() {
    let (hook, chat, pager) = (Receiver::start(200), Receiver::start(200), Receiver::start(202));
    let url = format!("http://127.0.0.1:{}/services/T0/B0/XYZZY", chat.port);
    let scene = Scene::with(|dir| {
        secret(&dir.join("chat"), &url, 0o600);
        set_up(dir, &each_kind(&hook, &pager), "");
    });
    let session = scene.opened("open", "node-repair");
    let opened =
        format!("glass was opened with playbook node-repair, signed last by carol: session {session}");
    eventually("the webhook", || of(&told(&hook, "open"), &session).len() == 1);
    let notice = of(&told(&hook, "open"), &session)[0].clone();
    assert_eq!((&notice["severity"], &notice["summary"]), (&"critical".into(), &opened.as_str().into()));

    let said = || chat.got().into_iter().find(|got| got.json()["text"].to_string().contains("was opened"));
    eventually("the chat", || said().is_some());
    let text = said().unwrap().json()["text"].as_str().unwrap().to_owned();
    let (begins, id) =
        (format!("[critical] hotwork example.org: {opened} ("), notice["id"].as_str().unwrap());
    assert!(text.starts_with(&begins) && text.contains(id), "{text}");

    eventually("the pager", || !pager.got().is_empty());
    // Proposals and signatures are no emergencies.
    let [event] = &pager.got()[..] else { panic!("{:?}", pager.got()) };
    let event = event.json();
    assert_eq!((&event["routing_key"], &event["event_action"]), (&SECRET.into(), &"trigger".into()));
    assert_eq!(event["dedup_key"], format!("break-glass-{session}"), "what is told of it later joins it");
    let payload = &event["payload"];
    assert_eq!((&payload["class"], &payload["severity"]), (&"break-glass".into(), &"critical".into()));
    assert_eq!(payload["summary"], format!("hotwork example.org: {opened}"));
    assert_eq!(payload["custom_details"], notice);

    let told_program = || std::fs::read_to_string(scene.dir.path().join("told")).unwrap_or_default();
    eventually("the program", || {
        told_program().lines().any(|line| serde_json::from_str(line).ok().as_ref() == Some(&notice))
    });

    eventually("the daemon's own log", || level(scene.daemon(), &opened).is_some());
    assert_eq!(level(scene.daemon(), &opened).as_deref(), Some("ERROR"));
    // Nobody is told what people wrote, and the log not whom it told with which secret.
    let all = [hook.got(), chat.got(), pager.got()].concat();
    let bodies = all.iter().map(|got| String::from_utf8_lossy(&got.body).into_owned());
    for told in bodies.chain([told_program(), scene.daemon().log()]) {
        assert!(!told.contains("n1 does not drain") && !told.contains("INC-7"), "{told}");
    }
    assert!(!scene.daemon().log().contains("XYZZY") && !scene.daemon().log().contains(SECRET));

    close(&scene, &session);
    let drill = scene.opened("drill", "node-repair");
    let opened = format!(
        "a break-glass drill was opened with playbook node-repair, signed last by carol: session {drill}"
    );
    eventually("the drill", || level(scene.daemon(), &opened).is_some());
    assert_eq!(level(scene.daemon(), &opened).as_deref(), Some("WARN"));
}

#[test]
fn an_open_session_is_told_again_until_it_is_closed_and_after_a_kill() {
    let receiver = Receiver::start(200);
    let mut scene = scene(&format!("{OFTEN}{}", webhook("oncall", receiver.port)), "");
    let session = scene.opened("open", "node-repair");
    let reminded = |session: &str| of(&told(&receiver, "still-open"), session).len();
    eventually("it is told of twice more", || reminded(&session) >= 2);
    let all = told(&receiver, "still-open");
    let one = of(&all, &session)[0];
    assert_eq!((&one["severity"], &one["details"]["drill"]), (&"critical".into(), &false.into()), "{one}");
    assert_eq!(one["details"]["playbook"], "node-repair");
    assert!(one["details"]["until"].as_str().unwrap().ends_with('Z'), "{one}");
    assert!(!one.to_string().contains("n1 does not drain") && !one.to_string().contains("INC-7"), "{one}");
    assert!(scene.daemon().log().contains("is still open"), "the daemon's log says it, too");

    let before = reminded(&session);
    scene.killed();
    eventually("a start tells of what it finds open", || reminded(&session) > before);
    close(&scene, &session);
    eventually("the end is told", || of(&told(&receiver, "close"), &session).len() == 1);
    // A drill is told again, too, and is no emergency. While it is, the closed one is not.
    let drill = scene.opened("drill", "node-repair");
    eventually("the drill is told of again", || reminded(&drill) >= 1);
    let over = reminded(&session);
    eventually("and again", || reminded(&drill) >= 3);
    assert_eq!(reminded(&session), over, "what is over is not told of again");
    let all = told(&receiver, "still-open");
    assert!(of(&all, &drill).iter().all(|one| one["severity"] == "warning"), "{all:?}");
}

#[test]
fn whoever_was_away_is_reminded_once_and_an_opening_comes_first() {
    let receiver = Receiver::start(503);
    let scene = scene(&format!("{OFTEN}{}", webhook("oncall", receiver.port)), "");
    let session = scene.opened("open", "node-repair");
    let lines = || scene.daemon().log().matches("is still open").count();
    eventually("it is due some times", || lines() >= 3);
    let waiting = scene.daemon().json(&["status"])["notifiers"][0]["pending"].clone();
    // The proposal, the opening, and one reminder.
    assert_eq!(waiting, "3");
    receiver.answer(200);
    eventually("all is told", || !told(&receiver, "propose").is_empty());
    let taken = receiver.taken("break-glass");
    assert_eq!(taken[0]["details"]["step"], "open", "{taken:?}");
    assert_eq!(taken[0]["details"]["session"], session);
}

#[test]
fn an_opening_that_was_answered_is_told_after_kill_nine() {
    let receiver = Receiver::start(503);
    let mut scene = scene(&webhook("oncall", receiver.port), "");
    for _ in 0..3 {
        let session = scene.opened("drill", "node-repair");
        scene.kill();
        assert!(of(&told(&receiver, "open"), &session).is_empty(), "nobody could be told before");
        receiver.answer(200);
        scene.restart();
        eventually("it is told", || of(&told(&receiver, "open"), &session).len() == 1);
        close(&scene, &session);
        eventually("the end is told", || of(&told(&receiver, "close"), &session).len() == 1);
        receiver.answer(503);
    }
}

/// A proxy in front of the receiver says 403: an emergency is given up then, an opening is not, and nothing is held back.
#[test]
fn an_opening_that_is_refused_is_tried_until_it_is_taken_over_a_kill_and_holds_nothing_back() {
    let receiver = Receiver::start(403);
    let mut scene = scene(&webhook("oncall", receiver.port), "");
    let session = scene.opened("open", "node-repair");
    let tries = || {
        let all = receiver.got().into_iter().map(|got| got.json());
        all.filter(|json| json["details"]["step"] == "open").count()
    };
    let status = |scene: &Scene| scene.daemon().json(&["status"])["notifiers"][0].clone();
    eventually("it was refused more often than anything else is tried", || tries() > 3);
    eventually("the proposal is given up", || status(&scene)["pending"] == "1");
    assert!(scene.daemon().log().contains("an opening is refused by its receiver; it is tried on"));
    let before = tries();
    scene.killed();
    eventually("it is tried after a start", || tries() > before);
    eventually("and three times", || tries() >= before + 3);
    receiver.answer(200);
    let locked = scene.daemon().hotwork(&["lock", "create", "--tenant", "acme", "--message", "x"]);
    assert_eq!(code(&locked), 0, "{}", text(&locked));
    eventually("the lock is told", || receiver.taken("locked").len() == 1);
    eventually("the opening is told", || of(&told(&receiver, "open"), &session).len() == 1);
    eventually("nothing waits", || status(&scene)["pending"] == "0");
}

#[test]
fn an_opening_on_which_its_receiver_breaks_holds_no_other_back_and_is_told_when_it_no_longer_does() {
    let receiver = Receiver::start(200);
    receiver.breaks_on(Some("node-repair"));
    let scene = scene(&webhook("oncall", receiver.port), "");
    let session = scene.opened("open", "node-repair");
    let tried = || receiver.got().iter().any(|got| got.json()["details"]["step"] == "open");
    eventually("it is tried", tried);
    let freeze = scene.text("open", "freeze");
    assert_eq!(scene.sign(&freeze, &scene.bob).0, 0);
    eventually("the other opening is told", || told(&receiver, "open").len() == 1);
    // That its session was reviewed meanwhile is no reason to keep it from anybody.
    close(&scene, &session);
    let review = scene.run(&["break-glass", "review", &session, "--finding", "fine"]);
    assert_eq!(review.0, 0, "{}", review.1);
    let locked = scene.daemon().hotwork(&["lock", "--tenant", "acme", "--message", "x"]);
    assert_eq!(code(&locked), 0, "{}", text(&locked));
    eventually("what comes later is told", || receiver.taken("locked").len() == 1);
    assert!(of(&told(&receiver, "open"), &session).is_empty());
    receiver.breaks_on(None);
    eventually("it is told", || of(&told(&receiver, "open"), &session).len() == 1);
}

#[test]
fn an_opening_that_nobody_takes_is_given_up_when_the_session_was_reviewed() {
    let receiver = Receiver::start(400);
    let scene = scene(&webhook("oncall", receiver.port), "");
    let session = scene.opened("open", "node-repair");
    let status = || scene.daemon().json(&["status"])["notifiers"][0].clone();
    close(&scene, &session);
    eventually("the opening alone is left", || {
        status()["pending"] == "1"
            && receiver.got().iter().any(|got| got.json()["details"]["step"] == "close")
    });
    let review = scene.run(&["break-glass", "review", &session, "--finding", "fine"]);
    assert_eq!(review.0, 0, "{}", review.1);
    eventually("nobody waits for it", || status()["pending"] == "0");
    assert!(receiver.taken("break-glass").is_empty());
}

#[test]
fn whom_a_playbook_names_hears_of_it_whatever_else_they_want_and_nobody_is_left_out_for_it() {
    let (named, all) = (Receiver::start(200), Receiver::start(200));
    let pager =
        format!("{}severity_min = \"critical\"\nnotices = [\"locked\"]\n", webhook("pager", named.port));
    let sections = format!("{OFTEN}{pager}{}", webhook("oncall", all.port));
    let scene = scene(&sections, "\"pager\"");
    let session = scene.opened("open", "node-repair");
    eventually("the named one is reminded", || !told(&named, "still-open").is_empty());
    close(&scene, &session);
    let review = scene.run(&["break-glass", "review", &session, "--finding", "fine"]);
    assert_eq!(review.0, 0, "{}", review.1);
    // Another playbook does not name it.
    let freeze = scene.text("open", "freeze");
    assert_eq!(scene.sign(&freeze, &scene.bob).0, 0);
    for step in ["propose", "open", "still-open", "close", "review"] {
        eventually(step, || !told(&named, step).is_empty());
        eventually(step, || !told(&all, step).is_empty());
        assert!(told(&named, step).iter().all(|one| one["details"]["playbook"] == "node-repair"), "{step}");
    }
    eventually("the other playbook's opening is told", || told(&all, "open").len() == 2);
    assert_eq!(told(&named, "open").len(), 1);
    let revoked = scene.daemon().hotwork(&["revoke", "--all", "--yes", "--reason", "test"]);
    assert_eq!(code(&revoked), 0, "{}", text(&revoked));
    eventually("the revocation is told", || {
        all.taken("revoked").iter().any(|json| json["details"]["selector"] == "everything")
    });
    assert!(named.taken("revoked").is_empty(), "it is named for its playbook and nothing else");
}

#[test]
fn a_playbook_that_names_nobody_there_is_no_good_registry() {
    let receiver = Receiver::start(200);
    let scene = scene(&webhook("oncall", receiver.port), "\"oncall\"");
    let playbook = scene.dir.path().join("config/playbooks/node-repair.toml");
    let good = std::fs::read_to_string(&playbook).unwrap();
    std::fs::write(&playbook, good.replace("\"oncall\"", "\"oncal\"")).unwrap();
    let config = scene.dir.path().join("config/hotworkd.toml");
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hotworkd"));
        command.args(["check", "--config"]).arg(&config).output().unwrap()
    };
    let bad = check();
    let expected =
        "playbooks/node-repair.toml:13:1: notify: no [[notify]] of hotworkd.toml has this name: `oncal`";
    assert!(code(&bad) == 1 && text(&bad).contains(expected), "{}", text(&bad));
    let reload = scene.daemon().hotwork(&["reload"]);
    assert!(code(&reload) != 0 && text(&reload).contains(expected), "{}", text(&reload));
    std::fs::write(&playbook, good).unwrap();
    assert_eq!(code(&check()), 0, "{}", text(&check()));
    let reload = scene.daemon().hotwork(&["reload"]);
    assert_eq!(code(&reload), 0, "{}", text(&reload));
}

/// The daemon in this process, because days pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_review_that_is_overdue_is_told_of() {
    let receiver = Receiver::start(200);
    let mut scene = scene(&webhook("oncall", receiver.port), "");
    let freeze = scene.text("open", "freeze");
    let (exit, opened) = scene.sign(&freeze, &scene.bob);
    assert_eq!(exit, 0, "{opened}");
    let session = opened["progress"]["session"].as_str().unwrap().to_owned();
    scene.kill();
    let config = scene.dir.path().join("config/hotworkd.toml");
    let config = Config::load(&config).unwrap_or_else(|bad| panic!("{bad}"));
    let clock = Arc::new(ManualClock::new(SystemClock::new().now().unwrap()));
    let app = App::build_on(config, None, Arc::clone(&clock) as _).await.unwrap();
    let broker = Arc::clone(&app.broker);
    let announcing = tokio::spawn(async move { broker.announce().await });
    eventually("it is open at the start", || of(&told(&receiver, "still-open"), &session).len() == 1);
    assert!(told(&receiver, "review-overdue").is_empty());
    clock.advance_millis((3_600 + 3 * 86_400) * 1_000 + 1);
    eventually("its review is overdue", || of(&told(&receiver, "review-overdue"), &session).len() == 1);
    let one = &told(&receiver, "review-overdue")[0];
    assert_eq!(
        (&one["severity"], &one["details"]["playbook"]),
        (&"warning".into(), &"freeze".into()),
        "{one}"
    );
    announcing.abort();
}
