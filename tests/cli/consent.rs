//! What is signed is what was asked for: against an endpoint that answers with another text.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::double::{Double, ID};
use super::terminal::{in_terminal, rest, until};
use super::{at, json};

/// A key of whoever signs.
fn key(double: &Double) -> PathBuf {
    let key = double.dir().join("id_ed25519");
    if !key.exists() {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).output();
        assert!(made.unwrap().status.success());
    }
    key
}

/// Runs it with the key, with nobody at a terminal who could say yes.
fn with_key(double: &Double, words: &[&str]) -> Output {
    at(double).args(words).arg("--ssh-key").arg(key(double)).args(["-o", "json"]).output().unwrap()
}

/// As [`with_key`], with the yes among the words.
fn signs(double: &Double, words: &[&str]) -> Output {
    with_key(double, &[words, &["--yes"]].concat())
}

const DRILL: [&str; 3] = ["break-glass", "drill", "node-repair"];

fn drill(reason: &str) -> Vec<&str> {
    [&DRILL[..], &["--ticket", "DRILL-3", "--for", "10m", "--reason", reason]].concat()
}

#[test]
fn nothing_is_signed_for_break_glass_that_was_not_asked_for() {
    let double = Double::start();
    assert_eq!(signs(&double, &drill("quarterly drill")).status.code(), Some(0));
    let extend = |reason| vec!["break-glass", "extend", ID, "--for", "10m", "--reason", reason];
    assert_eq!(signs(&double, &extend("two more")).status.code(), Some(0));
    assert_eq!(double.seen(), ["drill signed", "extend signed"]);
    for reason in [
        "asks lies open",
        "asks lies extend",
        "playbook lies freeze",
        "ticket lies INC-4711",
        "reason lies the other",
        "seconds lies 14400",
        "not-before lies 2031-01-01T00:00:00Z",
        "not-after lies 2031-01-01T00:00:00Z",
    ] {
        let refused = signs(&double, &drill(reason));
        assert_eq!(refused.status.code(), Some(1), "{reason}");
        assert_eq!(json(&refused)["reason"], "statement-not-asked", "{reason}: {refused:?}");
        // Nor is it handed on to be signed elsewhere.
        let printed = at(&double).args(drill(reason)).output().unwrap();
        assert_eq!(printed.stdout, b"", "{reason}");
    }
    for reason in [
        "session lies 01932b6e-5f2a-7c3d-8e4f-0a1b2c3d4e60",
        "reason lies the other",
        "new-end lies 2031-01-01T00:00:00Z",
        "asks lies drill",
    ] {
        assert_eq!(json(&signs(&double, &extend(reason)))["reason"], "statement-not-asked", "{reason}");
    }
    // A time that nobody asked for is one that a session can have.
    let unasked = [&DRILL[..], &["--ticket", "DRILL-3", "--reason", "seconds lies 14401"]].concat();
    assert_eq!(json(&signs(&double, &unasked))["reason"], "statement-not-asked");
    assert_eq!(double.seen().len(), 2, "nothing of it was signed");
}

#[test]
fn nothing_is_signed_unseen_on_a_clock_that_the_broker_doubts() {
    let double = Double::start();
    let refused = signs(&double, &drill("clock in doubt"));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = json(&refused);
    assert_eq!(said["reason"], "clock-doubted");
    assert!(said["message"].as_str().unwrap().contains("2023-11-14T22:13:20Z"), "{said}");
    // Nor by whoever signs next. The double writes the text anew each second, and so under another id.
    let again = (0..50).map(|_| {
        let listed = json(&at(&double).args(["break-glass", "list", "-o", "json"]).output().unwrap());
        let id = listed["proposals"][0]["statementId"].as_str().unwrap().get(..12).unwrap().to_owned();
        json(&signs(&double, &["break-glass", "sign", &id]))["reason"].clone()
    });
    let again = again.into_iter().find(|reason| reason != "statement-unknown");
    assert_eq!(again.unwrap(), "clock-doubted");
    assert_eq!(double.seen(), ["prepare: clock in doubt"], "nothing was signed");
    // A person at a terminal is told, and can go on.
    let words = format!(
        "break-glass drill node-repair --ticket DRILL-3 --for 10m --reason 'clock in doubt' --ssh-key {}",
        key(&double).display()
    );
    let (mut child, mut out) = in_terminal(&double, &words);
    let shown = until(&mut out, b'?');
    assert!(shown.contains("CAREFUL") && shown.contains("2023-11-14T22:13:20Z"), "{shown}");
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"y\n").unwrap();
    rest(out);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(double.seen().last().unwrap(), "drill signed");
}

#[test]
fn nothing_is_signed_where_nobody_says_yes() {
    let double = Double::start();
    let opening = ["break-glass", "open", "node-repair", "--ticket", "INC-7", "--reason", "r"];
    let extension = ["break-glass", "extend", ID, "--reason", "r"];
    let lines: [&[&str]; 5] = [
        &opening,
        &["break-glass", "drill", "node-repair", "--ticket", "INC-7", "--reason", "r"],
        &extension,
        &["request", "approve", ID],
        &["request", "deny", ID],
    ];
    for line in lines {
        let refused = with_key(&double, line);
        assert_eq!(refused.status.code(), Some(2), "{line:?}: {refused:?}");
        let shown = String::from_utf8_lossy(&refused.stderr);
        assert!(shown.contains("trust-domain: example.org"), "{shown}");
        assert!(json(&refused).to_string().contains("--yes"), "{refused:?}");
    }
    assert!(!double.seen().iter().any(|one| one.contains("signed") || one.starts_with("decide")));
    // The environment says which key for all of them, and stands in no other one's way.
    for line in lines {
        let by_variable = |more: &[&str]| {
            let mut command = at(&double);
            command.env("HOTWORK_SSH_KEY", key(&double)).args(line).args(more).output().unwrap()
        };
        assert_eq!(by_variable(&["--yes", "-o", "json"]).status.code(), Some(0), "{line:?}");
        let file = double.dir().join("statement.txt");
        let elsewhere = match line[0] {
            "request" => vec!["--print"],
            _ => vec!["--statement", file.to_str().unwrap()],
        };
        let seen = double.seen().len();
        assert_eq!(by_variable(&elsewhere).status.code(), Some(0), "{line:?}");
        let done = double.seen()[seen..].iter().filter(|one| !one.starts_with("get approval")).count();
        assert_eq!(done, 0, "{line:?}: it was to be signed elsewhere");
    }
}

#[test]
fn nothing_is_signed_for_a_broker_of_another_trust_domain() {
    let double = Double::start();
    let meant = |name| signs(&double, &[&drill("r")[..], &["--trust-domain", name]].concat());
    assert_eq!(meant("example.org").status.code(), Some(0));
    assert_eq!(json(&meant("staging.example.org"))["reason"], "statement-not-asked");
    let approve = |name| signs(&double, &["request", "approve", ID, "--trust-domain", name]);
    assert_eq!(approve("example.org").status.code(), Some(0));
    assert_eq!(json(&approve("staging.example.org"))["reason"], "statement-not-asked");
    assert_eq!(
        double.seen().iter().filter(|one| one.contains("BEGIN SSH")).count(),
        1,
        "{:?}",
        double.seen()
    );
}

#[test]
fn a_prepared_text_is_the_one_of_its_id() {
    let double = Double::start();
    let sign = |id: &str, more: &[&str]| with_key(&double, &[&["break-glass", "sign", id], more].concat());
    // The double writes the text anew each second, and so under another id: asked until both calls are in one second.
    let signed = |digits: usize| {
        for _ in 0..50 {
            let listed = json(&at(&double).args(["break-glass", "list", "-o", "json"]).output().unwrap());
            let id = listed["proposals"][0]["statementId"].as_str().unwrap();
            let output = sign(id.get(..digits).unwrap(), &["--yes"]);
            if output.status.code() == Some(0) || json(&output)["reason"] != "statement-unknown" {
                return output.status.code();
            }
        }
        panic!("never within one second");
    };
    assert_eq!(signed(64), Some(0));
    assert_eq!(signed(12), Some(0));
    assert_eq!(signed(11), Some(2), "with --yes nobody reads the text");
    assert_eq!(json(&sign("555555555555", &["--yes"]))["reason"], "statement-not-asked");
    assert_eq!(double.seen(), ["open signed", "open signed"]);
}

#[test]
fn nothing_is_signed_for_a_request_that_was_not_asked_for() {
    let double = Double::start();
    let decide = |reason| signs(&double, &["request", "deny", ID, "--reason", reason]);
    assert_eq!(decide("not today").status.code(), Some(0));
    for reason in [
        "decision lies approve",
        "request lies 01932b6e-5f2a-7c3d-8e4f-0a1b2c3d4e60",
        "action lies pay.invoice.pay",
        "agent lies spiffe://example.org/tenant/acme/agent/other",
        "resource lies repo/acme/other",
        // Another request's text, whole, with the digest of its own terms.
        "request swaps 01932b6e-5f2a-7c3d-8e4f-0a1b2c3d4e60",
        "agent swaps spiffe://example.org/tenant/acme/agent/other",
        "action swaps pay.invoice.pay",
        "resource swaps repo/acme/other",
        "holder swaps another",
        // The answer shows another request than the one that was asked for.
        "request shows 01932b6e-5f2a-7c3d-8e4f-0a1b2c3d4e60",
        "reason lies the other",
        "not-before lies 2031-01-01T00:00:00Z",
    ] {
        assert_eq!(json(&decide(reason))["reason"], "statement-not-asked", "{reason}");
        let print = ["request", "deny", ID, "--print", "--reason", reason];
        assert_eq!(at(&double).args(print).output().unwrap().stdout, b"", "{reason}");
    }
    let decided = double.seen().into_iter().filter(|one| one.starts_with("decide"));
    assert_eq!(decided.count(), 1);
}

#[test]
fn a_terminal_shows_the_text_and_asks_before_break_glass_is_signed() {
    for (answer, code, calls) in [("n\n", 1, 0), ("\n", 1, 0), ("y\n", 0, 1)] {
        let double = Double::start();
        let key = key(&double);
        let words = format!(
            "break-glass open node-repair --reason r --ticket INC-7 -o name --ssh-key {}",
            key.display()
        );
        let (mut child, mut out) = in_terminal(&double, &words);
        let question = until(&mut out, b'?');
        assert!(question.contains("asks: open") && question.contains("ticket: INC-7"), "{question}");
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), answer.as_bytes()).unwrap();
        rest(out);
        assert_eq!((child.wait().unwrap().code(), double.seen().len()), (Some(code), calls), "{answer:?}");
    }
}
