//! Notices of the real daemon: they arrive, signed and once; they survive what kills the daemon; nobody's failure
//! keeps another from being told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    dead_code,
    missing_docs,
    reason = "tests"
)]

mod glass;
mod receiver;
#[path = "../end_to_end/scene.rs"]
mod scene;
#[path = "../end_to_end/signing.rs"]
mod signing;
#[path = "../end_to_end/support.rs"]
mod support;
mod underway;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use receiver::Receiver;
use ring::hmac;
use support::{Daemon, code, eventually, example, http, text};

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const SECRET: &str = "s3cr3t-of-the-receiver";

/// A deployment whose configuration ends with `sections`, where `{dir}` is a directory of its own.
struct Site {
    dir: tempfile::TempDir,
    config: PathBuf,
}

impl Site {
    fn new(sections: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example("coding", dir.path());
        secret(&dir.path().join("secret"), SECRET, 0o600);
        let site = Self { dir, config };
        site.append(sections);
        site
    }

    fn append(&self, sections: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let sections = sections.replace("{dir}", &self.dir.path().display().to_string());
        std::fs::write(&self.config, format!("{text}\n{sections}")).unwrap();
    }

    fn start(&self) -> Daemon {
        Daemon::serve(&self.config, &self.dir.path().join("state"))
    }

    fn check(&self) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_hotworkd"))
            .arg("check")
            .arg("--config")
            .arg(&self.config)
            .output()
            .unwrap()
    }
}

fn secret(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn webhook(name: &str, port: u16) -> String {
    format!(
        "[[notify]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook\"\n\
         secret_file = \"{{dir}}/secret\"\n"
    )
}

fn lock(daemon: &Daemon, what: &[&str]) {
    let done = daemon.hotwork(&[&["lock", "create"], what, &["--message", "incident 42"]].concat());
    assert_eq!(code(&done), 0, "{}", text(&done));
}

fn revoke_all(daemon: &Daemon) {
    let done = daemon.hotwork(&["revoke", "--all", "--yes", "--reason", "words for the log"]);
    assert_eq!(code(&done), 0, "{}", text(&done));
}

/// The level of the line of the daemon's own log that says this, when there is one.
fn level(daemon: &Daemon, what: &str) -> Option<String> {
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("notice: ") && line.contains(what))?;
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    Some(line["level"].as_str().unwrap().to_owned())
}

fn pending(daemon: &Daemon) -> serde_json::Value {
    daemon.json(&["status"])["notifiers"].clone()
}

#[test]
fn a_notice_is_signed_and_says_what_happened_and_nothing_private() {
    let receiver = Receiver::start(200);
    let site = Site::new(&webhook("oncall", receiver.port));
    let daemon = site.start();
    lock(&daemon, &["--attested", &format!("unix.sha256={DIGEST}")]);
    revoke_all(&daemon);
    eventually("both are told", || {
        receiver.taken("locked").len() == 1 && receiver.taken("revoked").len() == 1
    });
    let got = receiver.got();
    let first = got.iter().find(|got| got.json()["kind"] == "locked").unwrap();
    assert_eq!(first.path, "/hook");
    // As docs/operations/notifiers.md tells receivers to check it.
    let header = &first.headers["hotwork-signature"];
    let (time, signature) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = [time.as_bytes(), b".", &first.body].concat();
    hmac::verify(&key, &signed, &hex::decode(signature).unwrap()).unwrap();
    let json = first.json();
    assert_eq!(
        (json["severity"].as_str(), json["trust_domain"].as_str()),
        (Some("warning"), Some("example.org"))
    );
    assert_eq!(json["details"]["selector"], "attested unix.sha256", "the fact is evidence");
    assert_eq!(receiver.taken("revoked")[0]["severity"], "critical");
    for got in &got {
        let body = String::from_utf8_lossy(&got.body);
        for private in [SECRET, "words for the log", "incident 42", DIGEST] {
            assert!(!body.contains(private), "{private}: {body}");
        }
    }
    assert!(!daemon.log().contains(SECRET));
}

#[test]
fn what_was_not_told_is_told_after_kill_nine_and_once_it_was_not_again() {
    let receiver = Receiver::start(503);
    let site = Site::new(&webhook("oncall", receiver.port));
    let daemon = site.start();
    revoke_all(&daemon);
    eventually("it was tried", || receiver.got().iter().any(|got| got.json()["kind"] == "revoked"));
    let tried = receiver.got().last().unwrap().json();
    let waiting = pending(&daemon);
    assert_eq!(waiting[0]["pending"], "1", "{waiting}");
    assert!(waiting[0]["problem"].as_str().unwrap().contains("503"), "{waiting}");
    let shown = text(&daemon.hotwork(&["status"]));
    assert!(shown.contains("oncall: 1 UNDELIVERED"), "{shown}");
    let metrics = http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics").1;
    assert!(metrics.contains("hotwork_notices_pending{notifier=\"oncall\"} 1"), "{metrics}");
    daemon.kill_nine();

    receiver.answer(200);
    let daemon = site.start();
    eventually("it is told", || receiver.taken("revoked").len() == 1);
    assert_eq!(receiver.taken("revoked")[0]["id"], tried["id"], "receivers know it by its id");
    eventually("it is known to be told", || pending(&daemon)[0]["pending"] == "0");
    // Its cursor is durable when the next notice is on its way.
    lock(&daemon, &["--tenant", "acme"]);
    eventually("the lock is told", || receiver.taken("locked").len() == 1);
    daemon.kill_nine();

    let daemon = site.start();
    lock(&daemon, &["--tenant", "other"]);
    eventually("the second lock is told", || {
        receiver.taken("locked").iter().any(|json| json["details"]["selector"] == "tenant other")
    });
    assert_eq!(receiver.taken("revoked").len(), 1, "and nothing twice that was known to be told");
}

#[test]
fn the_daemon_s_own_log_says_all_of_it_once_whoever_else_is_told() {
    // Nobody else; somebody who is told; and somebody who is not, and whose notices are read off the log again.
    let (takes, refuses) = (Receiver::start(200), Receiver::start(503));
    for sections in [String::new(), webhook("oncall", takes.port), webhook("oncall", refuses.port)] {
        let site = Site::new(&sections);
        let daemon = site.start();
        lock(&daemon, &["--tenant", "acme"]);
        let held = daemon.json(&["lock", "list"])["locks"][0]["id"].as_str().unwrap().to_owned();
        for line in [
            &["lock", "rm", &held][..],
            &["revoke", "--tenant", "acme", "--yes", "--reason", "words for the log"],
            &["keys", "rotate", "token"],
            &["reload"],
        ] {
            assert_eq!(code(&daemon.hotwork(line)), 0, "{line:?}");
        }
        let said = |daemon: &Daemon, what: &str| {
            daemon.log().lines().filter(|line| line.contains("notice: ") && line.contains(what)).count()
        };
        let each = [
            "locked tenant acme",
            "ended the lock",
            "revoked tenant acme",
            "put a new token key in force",
            "started",
            " loaded the registry",
        ];
        for what in each {
            eventually(what, || said(&daemon, what) > 0);
        }
        let often = each.map(|what| said(&daemon, what));
        assert_eq!(often, [1; 6], "{sections}{}", daemon.log());
        assert!(!daemon.log().contains("words for the log"));
        daemon.kill_nine();
        // It says of its start what is new.
        let daemon = site.start();
        lock(&daemon, &["--tenant", "other"]);
        eventually("the second lock is said", || said(&daemon, "locked tenant other") == 1);
        assert_eq!(said(&daemon, "acme"), 0, "{sections}{}", daemon.log());
        assert_eq!(said(&daemon, "started"), 1);
    }
}

#[test]
fn emergencies_are_errors_in_the_daemon_s_own_log_and_the_rest_is_not() {
    let site = Site::new("");
    let daemon = site.start();
    lock(&daemon, &["--tenant", "acme"]);
    lock(&daemon, &["--all"]);
    revoke_all(&daemon);
    for (what, expected) in [
        ("started", "INFO"),
        ("locked tenant acme", "WARN"),
        ("locked everything", "ERROR"),
        ("revoked everything", "ERROR"),
    ] {
        eventually(what, || level(&daemon, what).is_some());
        assert_eq!(level(&daemon, what).as_deref(), Some(expected), "{what}: {}", daemon.log());
    }
}

#[test]
fn an_emergency_overtakes_what_waits() {
    let receiver = Receiver::start(503);
    let site = Site::new(&webhook("oncall", receiver.port));
    let daemon = site.start();
    (0..3).for_each(|at| lock(&daemon, &["--tenant", &format!("t{at}")]));
    eventually("they wait", || pending(&daemon)[0]["pending"] == "3");
    receiver.answer(200);
    revoke_all(&daemon);
    eventually("all are told", || {
        receiver.taken("locked").len() == 3 && receiver.taken("revoked").len() == 1
    });
    let kinds: Vec<_> = receiver
        .got()
        .into_iter()
        .filter(|got| got.status == 200)
        .map(|got| got.json()["kind"].clone())
        .collect();
    // The lock that was being tried may have been taken just before.
    let at = kinds.iter().position(|kind| kind == "revoked").unwrap();
    assert!(at <= 1, "{kinds:?}");
}

#[test]
fn a_notice_that_its_receiver_refuses_does_not_hold_the_next_one_back() {
    let receiver = Receiver::start(400);
    let site = Site::new(&webhook("oncall", receiver.port));
    let daemon = site.start();
    lock(&daemon, &["--tenant", "bad"]);
    eventually("it is given up", || pending(&daemon)[0]["failed"] == "1");
    let metrics = http(&daemon.env["HOTWORK_OPS"], "GET", "/metrics").1;
    assert!(metrics.contains("hotwork_notices_failed_total{notifier=\"oncall\"} 1\n"), "{metrics}");
    assert_eq!(receiver.got().len(), 3);
    receiver.answer(200);
    lock(&daemon, &["--tenant", "good"]);
    eventually("the next is told", || receiver.taken("locked").len() == 1);
    assert_eq!(receiver.taken("locked")[0]["details"]["selector"], "tenant good");
    assert!(daemon.log().contains("a notice was given up"));
}

#[test]
fn programs_chats_and_pagers_are_told_in_their_own_form() {
    let (chat, pager) = (Receiver::start(200), Receiver::start(202));
    let site = Site::new(&format!(
        "[[notify]]\nname = \"chat\"\nkind = \"slack\"\nsecret_file = \"{{dir}}/chat\"\n\
         [[notify]]\nname = \"pager\"\nkind = \"pagerduty\"\nurl = \"http://127.0.0.1:{}/v2/enqueue\"\n\
         secret_file = \"{{dir}}/secret\"\nseverity_min = \"critical\"\n\
         [[notify]]\nname = \"page\"\nkind = \"command\"\ncommand = [\"/bin/sh\", \"-c\", \"cat > {{dir}}/told\"]\n\
         notices = [\"locked\"]\n",
        pager.port
    ));
    secret(
        &site.dir.path().join("chat"),
        &format!("http://127.0.0.1:{}/services/T0/B0/XYZZY", chat.port),
        0o600,
    );
    let daemon = site.start();
    lock(&daemon, &["--tenant", "acme"]);
    revoke_all(&daemon);
    eventually("the chat is told twice", || chat.got().len() == 2);
    assert_eq!(chat.got()[0].path, "/services/T0/B0/XYZZY");
    let said: Vec<String> =
        chat.got().iter().map(|got| got.json()["text"].as_str().unwrap().to_owned()).collect();
    assert!(said.iter().any(|said| said.contains("locked tenant acme")), "{said:?}");
    eventually("the pager is told of the emergency", || pager.got().len() == 1);
    let event = pager.got()[0].json();
    assert_eq!(
        (event["routing_key"].as_str(), event["event_action"].as_str()),
        (Some(SECRET), Some("trigger"))
    );
    assert_eq!(event["payload"]["class"], "revoked");
    let told = site.dir.path().join("told");
    eventually("the program is told", || {
        std::fs::read_to_string(&told).is_ok_and(|told| told.contains("\"locked\""))
    });
    eventually("nothing waits", || {
        pending(&daemon).as_array().unwrap().iter().all(|one| one["pending"] == "0")
    });
    assert!(!daemon.log().contains("XYZZY"), "a chat's URL is its secret");
}

#[test]
fn a_test_notice_tells_what_came_of_it_and_shows_no_secret() {
    let receiver = Receiver::start(200);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = Site::new(&format!("{}{}", webhook("good", receiver.port), webhook("dead", dead)));
    let daemon = site.start();
    let all = daemon.hotwork(&["notify", "test", "-o", "json"]);
    assert_eq!(code(&all), 10, "{}", text(&all));
    let json: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(
        (json["tests"][0]["delivered"].as_bool(), json["tests"][1]["delivered"].as_bool()),
        (Some(true), Some(false))
    );
    assert!(json["tests"][1]["problem"].as_str().unwrap().contains("connect"), "{json}");
    assert_eq!(receiver.taken("test").len(), 1);
    assert_eq!(code(&daemon.hotwork(&["notify", "test", "good"])), 0);
    assert_eq!(code(&daemon.hotwork(&["notify", "test", "dead"])), 1);
    assert_eq!(code(&daemon.hotwork(&["notify", "test", "nobody"])), 1);
    // A secret that became readable is not used any more.
    secret(&site.dir.path().join("secret"), SECRET, 0o644);
    let open = daemon.hotwork(&["notify", "test", "good"]);
    assert!(code(&open) == 1 && text(&open).contains("mode 0600"), "{}", text(&open));
    assert!(!text(&open).contains(SECRET) && !daemon.log().contains(SECRET));
}

#[test]
fn only_a_receiver_with_a_certificate_that_is_believed_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (dir.path().join("ours.pem"), dir.path().join("other.pem"));
    let receiver = Receiver::tls(200, &ours);
    let _other = Receiver::tls(200, &other);
    let section = |name: &str, roots: &Path| {
        format!(
            "{}ca_file = \"{}\"\n",
            webhook(name, receiver.port).replace("http:", "https:"),
            roots.display()
        )
    };
    let site = Site::new(&format!("{}{}", section("right", &ours), section("wrong", &other)));
    let daemon = site.start();
    let right = daemon.hotwork(&["notify", "test", "right"]);
    assert_eq!(code(&right), 0, "{}", text(&right));
    let wrong = daemon.hotwork(&["notify", "test", "wrong"]);
    assert!(code(&wrong) == 1 && text(&wrong).contains("TLS"), "{}", text(&wrong));
    assert_eq!(receiver.got().len(), 1);
}

#[test]
fn the_check_finds_what_would_fail_in_an_incident() {
    let site = Site::new(&webhook("oncall", 9));
    assert_eq!(code(&site.check()), 0, "{}", text(&site.check()));
    secret(&site.dir.path().join("secret"), SECRET, 0o640);
    assert!(code(&site.check()) == 1 && text(&site.check()).contains("`oncall`: the secret's file"));
    secret(&site.dir.path().join("secret"), "short", 0o600);
    assert!(text(&site.check()).contains("at least 16 bytes"));
    site.append("[[notify]]\nname = \"x\"\nkind = \"webhook\"\nurl = \"http://hooks.example/\"\nsecret_file = \"/x\"\n");
    assert!(text(&site.check()).contains("notify[1].url: expected an https URL"), "{}", text(&site.check()));
}

#[test]
fn a_program_does_not_inherit_what_attestation_needs() {
    let under = ["setpriv", "--inh-caps", "+sys_ptrace", "--ambient-caps", "+sys_ptrace"];
    let can = Command::new(under[0]).args(&under[1..]).arg("true").status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a_program_does_not_inherit needs setpriv and CAP_SYS_PTRACE");
        return;
    }
    let site = Site::new("");
    let daemon = Daemon::serve_under(&under, &site.config, &site.dir.path().join("state"));
    let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    for thread in threads.map(Result::unwrap) {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap();
        let ambient = status.lines().find_map(|line| line.strip_prefix("CapAmb:")).unwrap();
        assert_eq!(ambient.trim(), "0000000000000000", "{status}");
    }
}
